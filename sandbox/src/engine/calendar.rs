//! Days, ticks and their text: what the date and time types share.

use crate::value::Value;

pub const TICKS_PER_SECOND: i64 = 10_000_000;
pub const TICKS_PER_MINUTE: i64 = 60 * TICKS_PER_SECOND;
pub const TICKS_PER_DAY: i64 = 86_400 * TICKS_PER_SECOND;
/// Days from 0001-01-01 to 1900-01-01.
pub const DAYS_TO_1900: i32 = 693_595;
/// 9999-12-31 in days since 0001-01-01.
pub const MAX_DAYS: i32 = 3_652_058;
/// 1753-01-01 in days since 1900-01-01, `datetime`'s first day.
pub const DATETIME_MIN_DAYS: i32 = -53_690;
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// Days since 0001-01-01 of a proleptic Gregorian date; none when the date does not exist.
pub fn days(year: i32, month: u32, day: u32) -> Option<i32> {
    if !(1..=9999).contains(&year)
        || !(1..=12).contains(&month)
        || day < 1
        || day > month_length(year, month)
    {
        return None;
    }
    let y = year - i32::from(month <= 2);
    let era = y.div_euclid(400);
    let of_era = y - era * 400;
    let shifted = (month as i32 + 9) % 12;
    let of_year = (153 * shifted + 2) / 5 + day as i32 - 1;
    Some(era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 306)
}

pub fn month_length(year: i32, month: u32) -> u32 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if (year % 4 == 0 && year % 100 != 0) || year % 400 == 0 => 29,
        2 => 28,
        _ => 31,
    }
}

/// Year, month, day.
pub fn civil(days: i32) -> (i32, u32, u32) {
    let z = days + 306;
    let era = z.div_euclid(146_097);
    let of_era = z - era * 146_097;
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year_of_era + era * 400 + i32::from(month <= 2);
    (year, month as u32, day as u32)
}

/// A point on the calendar as any date or time type gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Since 0001-01-01, local to `offset_minutes`.
    pub days: i32,
    /// 100 ns since midnight.
    pub ticks: i64,
    pub offset_minutes: Option<i16>,
    /// Digits of the second's fraction that the type or the text had.
    pub scale: u8,
    pub has_date: bool,
    pub has_time: bool,
}

/// 1/300 s ticks as 100 ns ticks, exactly as far as the seventh digit goes.
pub fn from_three_hundredths(ticks: u32) -> i64 {
    (i64::from(ticks) * 100_000 + 1) / 3
}

/// 100 ns ticks rounded to 1/300 s; may reach the next midnight.
pub fn to_three_hundredths(ticks: i64) -> i64 {
    (ticks * 3 + 50_000) / 100_000
}

impl Moment {
    pub fn of(value: &Value, scale: u8) -> Option<Self> {
        let at = |days, ticks, has_date, has_time, scale| Self {
            days,
            ticks,
            offset_minutes: None,
            scale,
            has_date,
            has_time,
        };
        Some(match value {
            Value::Date(days) => at(*days, 0, true, false, 0),
            Value::Time(ticks) => at(DAYS_TO_1900, *ticks as i64, false, true, scale),
            Value::DateTime { days, ticks } => at(
                days + DAYS_TO_1900,
                from_three_hundredths(*ticks),
                true,
                true,
                3,
            ),
            Value::SmallDateTime { days, minutes } => at(
                i32::from(*days) + DAYS_TO_1900,
                i64::from(*minutes) * TICKS_PER_MINUTE,
                true,
                true,
                0,
            ),
            Value::DateTime2 { days, ticks } => at(*days, *ticks as i64, true, true, scale),
            Value::DateTimeOffset {
                days,
                ticks,
                offset_minutes,
            } => {
                let local = i64::from(*days) * TICKS_PER_DAY
                    + *ticks as i64
                    + i64::from(*offset_minutes) * TICKS_PER_MINUTE;
                let mut moment = Self::at_ticks(local, scale);
                moment.offset_minutes = Some(*offset_minutes);
                moment
            }
            _ => return None,
        })
    }

    /// From 100 ns ticks since 0001-01-01.
    pub fn at_ticks(total: i64, scale: u8) -> Self {
        Self {
            days: total.div_euclid(TICKS_PER_DAY) as i32,
            ticks: total.rem_euclid(TICKS_PER_DAY),
            offset_minutes: None,
            scale,
            has_date: true,
            has_time: true,
        }
    }

    /// 100 ns ticks since 0001-01-01, local.
    pub fn total(&self) -> i64 {
        i64::from(self.days) * TICKS_PER_DAY + self.ticks
    }

    /// Rounded to `scale` digits, half up.
    pub fn rounded(self, scale: u8) -> Self {
        let unit = 10i64.pow(7 - u32::from(scale.min(7)));
        let total = self.total();
        let rounded = (total + unit / 2).div_euclid(unit) * unit;
        Self {
            days: rounded.div_euclid(TICKS_PER_DAY) as i32,
            ticks: rounded.rem_euclid(TICKS_PER_DAY),
            ..self
        }
    }

    fn clock(&self) -> (i64, i64, i64, i64) {
        let seconds = self.ticks / TICKS_PER_SECOND;
        (
            seconds / 3600,
            seconds / 60 % 60,
            seconds % 60,
            self.ticks % TICKS_PER_SECOND,
        )
    }

    fn fraction(&self) -> String {
        let (_, _, _, fraction) = self.clock();
        let digits = format!("{fraction:07}");
        digits[..usize::from(self.scale.min(7))].to_string()
    }

    fn offset_text(&self) -> String {
        self.offset_minutes.map_or(String::new(), |minutes| {
            let sign = if minutes < 0 { '-' } else { '+' };
            format!(
                "{sign}{:02}:{:02}",
                minutes.unsigned_abs() / 60,
                minutes.unsigned_abs() % 60
            )
        })
    }

    /// The date in a CONVERT style, empty in those of times; none when the style does not exist.
    fn date_text(&self, style: i32) -> Option<String> {
        let (y, m, d) = civil(self.days);
        let month = &MONTHS[(m - 1) as usize][..3];
        let yy = y % 100;
        Some(match style {
            0 | 100 | 9 | 109 => format!("{month} {d:>2} {y:04}"),
            1 => format!("{m:02}/{d:02}/{yy:02}"),
            2 => format!("{yy:02}.{m:02}.{d:02}"),
            3 => format!("{d:02}/{m:02}/{yy:02}"),
            4 => format!("{d:02}.{m:02}.{yy:02}"),
            5 => format!("{d:02}-{m:02}-{yy:02}"),
            6 => format!("{d:02} {month} {yy:02}"),
            7 => format!("{month} {d:02}, {yy:02}"),
            10 => format!("{m:02}-{d:02}-{yy:02}"),
            11 => format!("{yy:02}/{m:02}/{d:02}"),
            12 => format!("{yy:02}{m:02}{d:02}"),
            22 => format!("{m:02}/{d:02}/{yy:02}"),
            101 => format!("{m:02}/{d:02}/{y:04}"),
            102 => format!("{y:04}.{m:02}.{d:02}"),
            103 => format!("{d:02}/{m:02}/{y:04}"),
            104 => format!("{d:02}.{m:02}.{y:04}"),
            105 => format!("{d:02}-{m:02}-{y:04}"),
            106 | 13 | 113 => format!("{d:02} {month} {y:04}"),
            107 => format!("{month} {d:02}, {y:04}"),
            110 => format!("{m:02}-{d:02}-{y:04}"),
            111 => format!("{y:04}/{m:02}/{d:02}"),
            112 => format!("{y:04}{m:02}{d:02}"),
            8 | 108 | 14 | 114 | 24 => String::new(),
            20 | 21 | 23 | 25 | 120 | 121 | 126 | 127 => format!("{y:04}-{m:02}-{d:02}"),
            _ => return None,
        })
    }

    /// The time in a CONVERT style, empty in those of dates.
    fn time_text(&self, style: i32) -> String {
        let (hh, mm, ss, _) = self.clock();
        let fraction = self.fraction();
        let (h12, half) = (
            if hh % 12 == 0 { 12 } else { hh % 12 },
            if hh < 12 { "AM" } else { "PM" },
        );
        let dot = |mark: char| {
            if fraction.is_empty() {
                String::new()
            } else {
                format!("{mark}{fraction}")
            }
        };
        let milli = if self.scale == 3 || self.scale == 0 {
            dot(':')
        } else {
            dot('.')
        };
        match style {
            0 | 100 => format!("{h12:>2}:{mm:02}{half}"),
            9 | 109 => format!("{h12:>2}:{mm:02}:{ss:02}{milli}{half}"),
            8 | 24 | 108 | 20 | 120 => format!("{hh:02}:{mm:02}:{ss:02}"),
            13 | 14 | 113 | 114 => format!("{hh:02}:{mm:02}:{ss:02}{milli}"),
            21 | 25 | 121 => format!("{hh:02}:{mm:02}:{ss:02}{}", dot('.')),
            22 => format!("{h12:>2}:{mm:02}:{ss:02} {half}"),
            126 | 127 => {
                let plain = self.ticks % TICKS_PER_SECOND == 0
                    && self.scale <= 3
                    && self.offset_minutes.is_none();
                format!(
                    "{hh:02}:{mm:02}:{ss:02}{}",
                    if plain { String::new() } else { dot('.') }
                )
            }
            _ => String::new(),
        }
    }

    /// The text in a CONVERT style; none when the style does not exist for dates.
    pub fn format(&self, style: i32) -> Option<String> {
        // `datetime` shows milliseconds rounded from 1/300 s.
        let shown = if self.scale == 3 {
            self.rounded(3)
        } else {
            *self
        };
        let date = shown.date_text(style)?;
        let time = shown.time_text(style);
        let time = if self.has_time { time } else { String::new() };
        let date = if self.has_date { date } else { String::new() };
        let glue = match (date.is_empty() || time.is_empty(), style) {
            (true, _) => "",
            (false, 126 | 127) => "T",
            (false, _) => " ",
        };
        let zone = match (self.offset_minutes, style) {
            (Some(_), 127) => "Z".to_string(),
            (Some(_), 126) => self.offset_text(),
            (Some(_), _) if !time.is_empty() => format!(" {}", self.offset_text()),
            _ => String::new(),
        };
        Some(format!("{date}{glue}{time}{zone}"))
    }
}

/// Reads a date, a time, or both. `order` is SET DATEFORMAT's or the style's (`mdy`, `dmy`, `ymd`).
pub fn parse(text: &str, order: &str) -> Option<Moment> {
    let text = text.trim();
    let mut moment = Moment {
        days: DAYS_TO_1900,
        ticks: 0,
        offset_minutes: None,
        scale: 0,
        has_date: false,
        has_time: false,
    };
    if text.is_empty() {
        return Some(moment);
    }
    let (date_part, time_part) = split_date(text);
    if let Some(date) = date_part {
        moment.days = parse_date(date, order)?;
        moment.has_date = true;
    }
    if let Some(time) = time_part {
        parse_time(time, &mut moment)?;
        moment.has_time = true;
    }
    Some(moment)
}

fn split_date(text: &str) -> (Option<&str>, Option<&str>) {
    let Some(colon) = text.find(':') else {
        // "10 AM" or a date alone.
        let lower = text.to_ascii_lowercase();
        if (lower.ends_with("am") || lower.ends_with("pm")) && text.len() <= 5 {
            return (None, Some(text));
        }
        return (Some(text), None);
    };
    let head = &text[..colon];
    let cut = head.rfind([' ', 'T', 't']).filter(|at| {
        // The T of "Oct" belongs to a month's name.
        !head[*at..].starts_with(['T', 't']) || head[..*at].ends_with(|c: char| c.is_ascii_digit())
    });
    match cut {
        Some(at) => (Some(text[..at].trim()), Some(text[at + 1..].trim())),
        None => (None, Some(text)),
    }
}

fn parse_date(text: &str, order: &str) -> Option<i32> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return match text.len() {
            8 => days(
                text[..4].parse().ok()?,
                text[4..6].parse().ok()?,
                text[6..].parse().ok()?,
            ),
            6 => days(
                two_digit_year(text[..2].parse().ok()?),
                text[2..4].parse().ok()?,
                text[4..].parse().ok()?,
            ),
            4 => days(text.parse().ok()?, 1, 1),
            _ => None,
        };
    }
    let words: Vec<&str> = text
        .split([' ', ',', '-', '/', '.'])
        .filter(|word| !word.is_empty())
        .collect();
    if words.len() != 3 {
        return None;
    }
    let named = words.iter().position(|word| month_number(word).is_some());
    if let Some(index) = named {
        let month = month_number(words[index])?;
        let rest: Vec<&str> = words
            .iter()
            .enumerate()
            .filter(|(i, _)| *i != index)
            .map(|(_, w)| *w)
            .collect();
        let (day, year) = if rest[0].len() == 4 {
            (rest[1], rest[0])
        } else {
            (rest[0], rest[1])
        };
        return days(year_of(year)?, month, day.parse().ok()?);
    }
    if words[0].len() == 4 {
        let (month, day) = if order == "ydm" {
            (words[2], words[1])
        } else {
            (words[1], words[2])
        };
        return days(
            words[0].parse().ok()?,
            month.parse().ok()?,
            day.parse().ok()?,
        );
    }
    let (mut year, mut month, mut day) = ("", "", "");
    for (letter, word) in order.chars().zip(&words) {
        match letter {
            'y' => year = word,
            'm' => month = word,
            _ => day = word,
        }
    }
    if words[2].len() == 4 && !order.ends_with('y') {
        return None;
    }
    days(year_of(year)?, month.parse().ok()?, day.parse().ok()?)
}

fn year_of(text: &str) -> Option<i32> {
    let year: i32 = text.parse().ok()?;
    Some(if text.len() <= 2 {
        two_digit_year(year)
    } else {
        year
    })
}

/// The default two-digit year cutoff is 2049.
fn two_digit_year(year: i32) -> i32 {
    if year < 50 { 2000 + year } else { 1900 + year }
}

fn month_number(word: &str) -> Option<u32> {
    let lower = word.to_ascii_lowercase();
    MONTHS
        .iter()
        .position(|month| {
            let month = month.to_ascii_lowercase();
            month == lower || (lower.len() == 3 && month.starts_with(&lower))
        })
        .map(|index| index as u32 + 1)
}

fn parse_time(text: &str, moment: &mut Moment) -> Option<()> {
    let mut rest = text.trim();
    if let Some(stripped) = rest.strip_suffix(['Z', 'z']) {
        moment.offset_minutes = Some(0);
        rest = stripped.trim_end();
    } else if let Some(at) = rest.rfind(['+', '-']) {
        let zone = &rest[at + 1..];
        let (hours, minutes) = zone.split_once(':')?;
        let (hours, minutes): (i16, i16) = (hours.parse().ok()?, minutes.parse().ok()?);
        if hours > 14 || minutes > 59 || (hours == 14 && minutes > 0) {
            return None;
        }
        let total = hours * 60 + minutes;
        moment.offset_minutes = Some(if rest[at..].starts_with('-') {
            -total
        } else {
            total
        });
        rest = rest[..at].trim_end();
    }
    let lower = rest.to_ascii_lowercase();
    let half = ["am", "pm"].into_iter().find(|half| lower.ends_with(half));
    if half.is_some() {
        rest = rest[..rest.len() - 2].trim_end();
    }
    let mut parts = rest.splitn(4, ':');
    let mut hour: i64 = number(parts.next()?)?;
    let minute: i64 = parts.next().map_or(Some(0), number)?;
    let seconds = parts.next().unwrap_or("0");
    let (second, mut fraction) = seconds.split_once('.').unwrap_or((seconds, ""));
    if let Some(millis) = parts.next() {
        fraction = millis;
    }
    let second: i64 = number(second)?;
    match half {
        Some("am") if (1..=12).contains(&hour) => hour %= 12,
        Some("pm") if (1..=12).contains(&hour) => hour = hour % 12 + 12,
        Some(_) => return None,
        None => {}
    }
    if hour > 23 || minute > 59 || second > 59 || fraction.len() > 7 {
        return None;
    }
    let digits = fraction.len();
    let ticks = if digits == 0 {
        0
    } else {
        number(fraction)? * 10i64.pow(7 - digits as u32)
    };
    moment.scale = digits as u8;
    moment.ticks = ((hour * 60 + minute) * 60 + second) * TICKS_PER_SECOND + ticks;
    Some(())
}

fn number(text: &str) -> Option<i64> {
    (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_calendar_goes_both_ways() {
        assert_eq!(days(1, 1, 1), Some(0));
        assert_eq!(days(1900, 1, 1), Some(DAYS_TO_1900));
        assert_eq!(days(9999, 12, 31), Some(MAX_DAYS));
        for day in [0, 58, 59, 365, 693_595, 730_118, MAX_DAYS] {
            let (y, m, d) = civil(day);
            assert_eq!(days(y, m, d), Some(day));
        }
        assert_eq!(days(2023, 2, 29), None);
    }

    #[test]
    fn texts_are_read_as_the_server_reads_them() {
        let moment = parse("2024-02-29T23:59:59.1234567+05:30", "mdy").unwrap();
        assert_eq!((moment.offset_minutes, moment.scale), (Some(330), 7));
        assert_eq!(
            parse("Feb 29 2024 11:05PM", "mdy").unwrap().ticks,
            (23 * 60 + 5) * TICKS_PER_MINUTE
        );
        assert_eq!(
            parse("20240229", "mdy").unwrap().days,
            days(2024, 2, 29).unwrap()
        );
        assert_eq!(
            parse("29/02/2024", "dmy").unwrap().days,
            days(2024, 2, 29).unwrap()
        );
        assert!(parse("2024-02-30", "mdy").is_none());
    }
}
