//! Conversion to dates and times.

use super::*;
use crate::engine::calendar::{
    self, DATETIME_MIN_DAYS, DAYS_TO_1900, MAX_DAYS, Moment, TICKS_PER_DAY, TICKS_PER_MINUTE,
};
use crate::engine::fault::error;
use crate::engine::types::{self};
use crate::session::SqlError;
use crate::value::{SqlType, Value};

pub(super) fn bad_date() -> SqlError {
    error(
        241,
        16,
        "Conversion failed when converting date and/or time from character string.",
    )
}

pub(super) fn out_of_range(c: &Conversion<'_>) -> SqlError {
    error(
        242,
        16,
        format!(
            "The conversion of a {} data type to a {} data type resulted in an out-of-range value.",
            types::name(c.from),
            types::name(c.to)
        ),
    )
}

/// The field order that a CONVERT style reads.
pub(super) fn style_order(style: i32, dateformat: &str) -> &str {
    match style {
        1 | 101 | 7 | 107 | 10 | 110 | 22 => "mdy",
        3 | 103 | 4 | 104 | 5 | 105 | 6 | 106 | 13 | 113 => "dmy",
        2 | 102 | 11 | 111 | 12 | 112 | 20 | 21 | 23 | 25 | 120 | 121 | 126 | 127 => "ymd",
        _ => dateformat,
    }
}

pub(super) fn to_temporal(value: &Value, c: Conversion<'_>) -> Result<Value, SqlError> {
    let scale = match c.from {
        SqlType::Time(s) | SqlType::DateTime2(s) | SqlType::DateTimeOffset(s) => *s,
        _ => 7,
    };
    let moment = match value {
        Value::Str(units) => {
            let text = types::text(units);
            let order = style_order(c.style, c.dateformat);
            let text = year_first(text, order, c);
            let parsed = calendar::parse(&text, order).ok_or_else(|| {
                let digits = text.bytes().filter(u8::is_ascii_digit).count();
                let legacy = matches!(c.to, SqlType::DateTime | SqlType::SmallDateTime);
                if legacy && digits >= 6 && calendar_like(&text) {
                    out_of_range(&c)
                } else {
                    bad_date()
                }
            })?;
            let legacy = matches!(c.to, SqlType::DateTime | SqlType::SmallDateTime);
            if legacy && (parsed.scale > 3 || parsed.offset_minutes.is_some_and(|o| o != 0)) {
                return Err(bad_date());
            }
            parsed
        }
        Value::Bytes(bytes) if matches!(c.to, SqlType::DateTime) => {
            let raw = big_endian(bytes, 8) as u64;
            return checked_datetime((raw >> 32) as u32 as i32, i64::from(raw as u32), &c);
        }
        Value::Bytes(_) => return Err(unsupported_binary(&c)),
        other => match Moment::of(other, scale) {
            Some(moment) => moment,
            None => return number_to_datetime(other, c),
        },
    };
    place(moment, c)
}

/// `2024-03-04` is 3 April where a `datetime` is read day first, though not where ISO 8601's T follows.
fn year_first(text: String, order: &str, c: Conversion<'_>) -> String {
    let legacy = matches!(c.to, SqlType::DateTime | SqlType::SmallDateTime);
    let date = text.trim_start();
    let bytes = date.as_bytes();
    let is_iso = bytes.len() >= 10
        && bytes[..10].iter().enumerate().all(|(at, byte)| match at {
            4 | 7 => *byte == b'-',
            _ => byte.is_ascii_digit(),
        })
        && !matches!(bytes.get(10), Some(b'T'));
    if !legacy || !is_iso || c.style != 0 || !order.starts_with('d') {
        return text;
    }
    format!(
        "{}-{}-{}{}",
        &date[..4],
        &date[8..10],
        &date[5..7],
        &date[10..]
    )
}

pub(super) fn calendar_like(text: &str) -> bool {
    text.bytes()
        .all(|b| b.is_ascii_digit() || matches!(b, b'-' | b'/' | b'.' | b':' | b' ' | b'T'))
}

pub(super) fn number_to_datetime(value: &Value, c: Conversion<'_>) -> Result<Value, SqlError> {
    let days = as_float(value).ok_or_else(|| mismatch(&c))?;
    if !(-60_000.0..3_000_000.0).contains(&days) {
        return Err(overflow_from("expression", types::name(c.to)));
    }
    let whole = days.floor();
    let ticks = ((days - whole) * 300.0 * 86_400.0).round() as i64;
    let moment = Moment {
        days: whole as i32 + DAYS_TO_1900,
        ticks: calendar::from_three_hundredths(ticks as u32),
        offset_minutes: None,
        scale: 3,
        has_date: true,
        has_time: true,
    };
    place(moment, c)
}

pub(super) fn checked_datetime(
    days: i32,
    ticks: i64,
    c: &Conversion<'_>,
) -> Result<Value, SqlError> {
    let per_day = 300 * 86_400;
    let (days, ticks) = if ticks >= per_day {
        (days + 1, ticks - per_day)
    } else {
        (days, ticks)
    };
    if !(DATETIME_MIN_DAYS..=MAX_DAYS - DAYS_TO_1900).contains(&days) || ticks >= per_day {
        return Err(out_of_range(c));
    }
    Ok(Value::DateTime {
        days,
        ticks: ticks as u32,
    })
}

pub(super) fn place(moment: Moment, c: Conversion<'_>) -> Result<Value, SqlError> {
    match c.to {
        SqlType::Date => Ok(Value::Date(moment.days)),
        SqlType::Time(scale) => Ok(Value::Time(moment.rounded(*scale).ticks as u64)),
        SqlType::DateTime => checked_datetime(
            moment.days - DAYS_TO_1900,
            calendar::to_three_hundredths(moment.ticks),
            &c,
        ),
        SqlType::SmallDateTime => {
            let total = moment.total() + 30 * calendar::TICKS_PER_SECOND;
            // 29.998 seconds round down and 29.999 up; the fraction beyond milliseconds never counts.
            let days = total.div_euclid(TICKS_PER_DAY) as i32 - DAYS_TO_1900;
            let minutes = total.rem_euclid(TICKS_PER_DAY) / TICKS_PER_MINUTE;
            let days = u16::try_from(days).map_err(|_| out_of_range(&c))?;
            Ok(Value::SmallDateTime {
                days,
                minutes: minutes as u16,
            })
        }
        SqlType::DateTime2(scale) => {
            let rounded = moment.rounded(*scale);
            // Beyond the last instant the fraction is cut instead.
            let kept = if rounded.days > MAX_DAYS {
                cut(moment, *scale)
            } else {
                rounded
            };
            Ok(Value::DateTime2 {
                days: kept.days,
                ticks: kept.ticks as u64,
            })
        }
        SqlType::DateTimeOffset(scale) => {
            let offset = moment.offset_minutes.unwrap_or(0);
            let rounded = moment.rounded(*scale);
            let kept = if rounded.days > MAX_DAYS {
                cut(moment, *scale)
            } else {
                rounded
            };
            let utc = kept.total() - i64::from(offset) * TICKS_PER_MINUTE;
            let days = utc.div_euclid(TICKS_PER_DAY) as i32;
            if !(0..=MAX_DAYS).contains(&days) {
                return Err(out_of_range(&c));
            }
            Ok(Value::DateTimeOffset {
                days,
                ticks: utc.rem_euclid(TICKS_PER_DAY) as u64,
                offset_minutes: offset,
            })
        }
        _ => Err(mismatch(&c)),
    }
}

pub(super) fn cut(moment: Moment, scale: u8) -> Moment {
    let unit = 10i64.pow(7 - u32::from(scale.min(7)));
    Moment {
        ticks: moment.ticks / unit * unit,
        ..moment
    }
}
