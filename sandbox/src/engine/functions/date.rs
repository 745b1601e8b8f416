//! What the functions of dates share: dateparts, arguments, and the way back from days and ticks to a type.

use super::argument::{Arguments, invalid_argument};
use crate::engine::calendar::{
    DATETIME_MIN_DAYS, DAYS_TO_1900, MAX_DAYS, Moment, TICKS_PER_DAY, TICKS_PER_MINUTE,
    to_three_hundredths,
};
use crate::engine::fault::error;
use crate::engine::types;
use crate::session::SqlError;
use crate::value::{SqlType, Value};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DatePart {
    Year,
    Quarter,
    Month,
    DayOfYear,
    Day,
    Week,
    Weekday,
    Hour,
    Minute,
    Second,
    Millisecond,
    Microsecond,
    Nanosecond,
    TzOffset,
    IsoWeek,
}

const NAMES: &[(DatePart, &[&str])] = &[
    (DatePart::Year, &["year", "yy", "yyyy"]),
    (DatePart::Quarter, &["quarter", "qq", "q"]),
    (DatePart::Month, &["month", "mm", "m"]),
    (DatePart::DayOfYear, &["dayofyear", "dy", "y"]),
    (DatePart::Day, &["day", "dd", "d"]),
    (DatePart::Week, &["week", "wk", "ww"]),
    (DatePart::Weekday, &["weekday", "dw", "w"]),
    (DatePart::Hour, &["hour", "hh"]),
    (DatePart::Minute, &["minute", "mi", "n"]),
    (DatePart::Second, &["second", "ss", "s"]),
    (DatePart::Millisecond, &["millisecond", "ms"]),
    (DatePart::Microsecond, &["microsecond", "mcs"]),
    (DatePart::Nanosecond, &["nanosecond", "ns"]),
    (DatePart::TzOffset, &["tzoffset", "tz"]),
    (DatePart::IsoWeek, &["iso_week", "isowk", "isoww"]),
];

impl DatePart {
    /// Error 155 for another word.
    pub fn of(word: &Value, function: &str) -> Result<Self, SqlError> {
        let text = if let Value::Str(units) = word {
            types::text(units).to_ascii_lowercase()
        } else {
            String::new()
        };
        let found = NAMES
            .iter()
            .find(|(_, names)| names.contains(&text.as_str()));
        found.map(|(part, _)| *part).ok_or_else(|| {
            error(
                155,
                15,
                format!("'{text}' is not a recognized {function} option."),
            )
        })
    }

    pub fn name(self) -> &'static str {
        NAMES
            .iter()
            .find(|(part, _)| *part == self)
            .map_or("", |(_, names)| names[0])
    }

    /// Whether it lies within a day.
    pub fn is_clock(self) -> bool {
        match self {
            Self::Hour
            | Self::Minute
            | Self::Second
            | Self::Millisecond
            | Self::Microsecond
            | Self::Nanosecond => true,
            Self::Year
            | Self::Quarter
            | Self::Month
            | Self::DayOfYear
            | Self::Day
            | Self::Week
            | Self::Weekday
            | Self::TzOffset
            | Self::IsoWeek => false,
        }
    }

    /// 100 ns ticks in one unit of a clock part; a nanosecond is less than one.
    pub fn ticks(self) -> Option<i64> {
        match self {
            Self::Hour => Some(60 * TICKS_PER_MINUTE),
            Self::Minute => Some(TICKS_PER_MINUTE),
            Self::Second => Some(10_000_000),
            Self::Millisecond => Some(10_000),
            Self::Microsecond => Some(10),
            Self::Year
            | Self::Quarter
            | Self::Month
            | Self::DayOfYear
            | Self::Day
            | Self::Week
            | Self::Weekday
            | Self::Nanosecond
            | Self::TzOffset
            | Self::IsoWeek => None,
        }
    }

    pub fn refused(self, function: &str, ty: &SqlType) -> SqlError {
        let message = format!(
            "The datepart {} is not supported by date function {function} for data type {}.",
            self.name(),
            types::name(ty)
        );
        error(9810, 16, message)
    }
}

/// The type as which a date argument is taken: text as `text_as`, numbers as `datetime`.
pub fn date_type(
    ty: &SqlType,
    text_as: SqlType,
    position: usize,
    function: &str,
) -> Result<SqlType, SqlError> {
    match ty {
        _ if types::is_temporal(ty) => Ok(ty.clone()),
        SqlType::Char(_) | SqlType::VarChar(_) | SqlType::NChar(_) | SqlType::NVarChar(_) => {
            Ok(text_as)
        }
        _ if types::is_number(ty) => Ok(SqlType::DateTime),
        other => Err(invalid_argument(other, position, function)),
    }
}

/// The argument as a point in time, taken as `ty`.
pub fn moment(
    arguments: &Arguments<'_>,
    at: usize,
    ty: &SqlType,
) -> Result<Option<Moment>, SqlError> {
    let value = arguments.converted(at, ty)?;
    Ok(Moment::of(&value, scale_of(ty)))
}

pub fn scale_of(ty: &SqlType) -> u8 {
    match ty {
        SqlType::Time(scale) | SqlType::DateTime2(scale) | SqlType::DateTimeOffset(scale) => *scale,
        SqlType::DateTime => 3,
        _ => 0,
    }
}

/// The value of a date and time type that stands at `total` local ticks since 0001-01-01, rounded as the type
/// rounds; none outside its range.
pub fn value_at(total: i128, ty: &SqlType, offset_minutes: i16) -> Option<Value> {
    let unit = 10i128.pow(7 - u32::from(scale_of(ty).min(7)));
    let rounded = |total: i128| (total + unit / 2).div_euclid(unit) * unit;
    let split = |total: i128| {
        let days = i32::try_from(total.div_euclid(i128::from(TICKS_PER_DAY))).ok()?;
        Some((days, total.rem_euclid(i128::from(TICKS_PER_DAY)) as i64))
    };
    let in_range = |days: &i32| (0..=MAX_DAYS).contains(days);
    match ty {
        SqlType::Date => split(total)
            .map(|(days, _)| days)
            .filter(in_range)
            .map(Value::Date),
        SqlType::Time(_) => split(rounded(total)).map(|(_, ticks)| Value::Time(ticks as u64)),
        SqlType::DateTime => {
            let (days, ticks) = split(total)?;
            let per_day = to_three_hundredths(TICKS_PER_DAY);
            let ticks = to_three_hundredths(ticks);
            let days = days - DAYS_TO_1900 + (ticks / per_day) as i32;
            let fits = (DATETIME_MIN_DAYS..=MAX_DAYS - DAYS_TO_1900).contains(&days);
            fits.then_some(Value::DateTime {
                days,
                ticks: (ticks % per_day) as u32,
            })
        }
        SqlType::SmallDateTime => {
            let minute = i128::from(TICKS_PER_MINUTE);
            // 29.998 seconds round down, 29.999 up.
            let (days, ticks) =
                split((total + minute / 2 + 10_000 - 1).div_euclid(minute) * minute)?;
            let days = u16::try_from(days - DAYS_TO_1900).ok()?;
            Some(Value::SmallDateTime {
                days,
                minutes: (ticks / TICKS_PER_MINUTE) as u16,
            })
        }
        SqlType::DateTime2(_) => {
            let (days, ticks) = split(rounded(total))?;
            in_range(&days).then_some(Value::DateTime2 {
                days,
                ticks: ticks as u64,
            })
        }
        SqlType::DateTimeOffset(_) => {
            let local = rounded(total);
            let (days, ticks) =
                split(local - i128::from(offset_minutes) * i128::from(TICKS_PER_MINUTE))?;
            let (local_days, _) = split(local)?;
            (in_range(&days) && in_range(&local_days)).then_some(Value::DateTimeOffset {
                days,
                ticks: ticks as u64,
                offset_minutes,
            })
        }
        _ => None,
    }
}

/// Which day of the week a day is: 0 is Monday.
pub fn weekday_from_monday(days: i32) -> i32 {
    // 0001-01-01 was a Monday.
    days.rem_euclid(7)
}

/// The first day of the week, under `@@DATEFIRST`, that a day lies in.
pub fn week_start(days: i32, datefirst: u8) -> i32 {
    days - (weekday_from_monday(days) - (i32::from(datefirst) - 1)).rem_euclid(7)
}

pub fn out_of_range(ty: &SqlType) -> SqlError {
    error(
        517,
        16,
        format!(
            "Adding a value to a '{}' column caused an overflow.",
            types::name(ty)
        ),
    )
}
