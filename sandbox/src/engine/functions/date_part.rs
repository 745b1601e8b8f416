//! DATEPART, DATENAME, YEAR, MONTH and DAY.

use super::argument::Arguments;
use super::date::{DatePart, date_type, moment, week_start, weekday_from_monday};
use super::{Builtin, EvalContext};
use crate::engine::calendar::{Moment, TICKS_PER_SECOND, civil, days};
use crate::engine::fault::unsupported;
use crate::engine::types;
use crate::session::SqlError;
use crate::value::{SqlType, Value};

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
const WEEKDAYS: [&str; 7] = [
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
];

pub static FUNCTIONS: &[Builtin] = &[
    Builtin {
        name: "DATEPART",
        args: 2..=2,
        result_type: |t| checked_type(&t[1], 2, "datepart", SqlType::Int),
        eval: date_part,
    },
    Builtin {
        name: "DATENAME",
        args: 2..=2,
        result_type: |t| checked_type(&t[1], 2, "datename", SqlType::NVarChar(Some(30))),
        eval: date_name,
    },
    Builtin {
        name: "YEAR",
        args: 1..=1,
        result_type: |t| checked_type(&t[0], 1, "year", SqlType::Int),
        eval: |v, t, cx| named_part(v, t, cx, DatePart::Year),
    },
    Builtin {
        name: "MONTH",
        args: 1..=1,
        result_type: |t| checked_type(&t[0], 1, "month", SqlType::Int),
        eval: |v, t, cx| named_part(v, t, cx, DatePart::Month),
    },
    Builtin {
        name: "DAY",
        args: 1..=1,
        result_type: |t| checked_type(&t[0], 1, "day", SqlType::Int),
        eval: |v, t, cx| named_part(v, t, cx, DatePart::Day),
    },
];

fn argument_type(ty: &SqlType, position: usize, function: &str) -> Result<SqlType, SqlError> {
    date_type(ty, SqlType::DateTimeOffset(7), position, function)
}

fn checked_type(
    ty: &SqlType,
    position: usize,
    function: &str,
    result: SqlType,
) -> Result<SqlType, SqlError> {
    argument_type(ty, position, function)?;
    Ok(result)
}

fn named_part(
    v: &[Value],
    t: &[SqlType],
    cx: &EvalContext,
    part: DatePart,
) -> Result<Value, SqlError> {
    let a = Arguments::new(v, t, cx);
    let ty = argument_type(&t[0], 1, part.name())?;
    if matches!(ty, SqlType::Time(_)) {
        return Err(part.refused(part.name(), &ty));
    }
    Ok(moment(&a, 0, &ty)?.map_or(Value::Null, |moment| {
        Value::Int(number(part, &moment, &ty, cx))
    }))
}

fn date_part(v: &[Value], t: &[SqlType], cx: &EvalContext) -> Result<Value, SqlError> {
    let found = part_and_moment(v, t, cx, "datepart")?;
    Ok(found.map_or(Value::Null, |(part, moment, ty)| {
        Value::Int(number(part, &moment, &ty, cx))
    }))
}

fn part_and_moment(
    v: &[Value],
    t: &[SqlType],
    cx: &EvalContext,
    function: &str,
) -> Result<Option<(DatePart, Moment, SqlType)>, SqlError> {
    let a = Arguments::new(v, t, cx);
    let part = DatePart::of(&v[0], function)?;
    let ty = argument_type(&t[1], 2, function)?;
    let refused = match (&ty, part) {
        (SqlType::DateTime2(_) | SqlType::DateTimeOffset(_), _) => false,
        (_, DatePart::TzOffset) => true,
        (SqlType::Date, _) => part.is_clock(),
        (SqlType::Time(_), _) => !part.is_clock(),
        _ => false,
    };
    if refused {
        return Err(part.refused(function, &ty));
    }
    Ok(moment(&a, 1, &ty)?.map(|moment| (part, moment, ty)))
}

fn number(part: DatePart, moment: &Moment, ty: &SqlType, cx: &EvalContext) -> i32 {
    let (year, month, day) = civil(moment.days);
    let seconds = moment.ticks / TICKS_PER_SECOND;
    let fraction = moment.ticks % TICKS_PER_SECOND;
    let clock = match part {
        DatePart::Hour => seconds / 3600,
        DatePart::Minute => seconds / 60 % 60,
        DatePart::Second => seconds % 60,
        // A datetime's thirds of a millisecond show rounded: .997, not .996.
        DatePart::Millisecond if *ty == SqlType::DateTime => (fraction + 5_000) / 10_000,
        DatePart::Millisecond => fraction / 10_000,
        DatePart::Microsecond => fraction / 10,
        DatePart::Nanosecond => fraction * 100,
        DatePart::Year
        | DatePart::Quarter
        | DatePart::Month
        | DatePart::DayOfYear
        | DatePart::Day
        | DatePart::Week
        | DatePart::Weekday
        | DatePart::TzOffset
        | DatePart::IsoWeek => 0,
    };
    match part {
        DatePart::Year => year,
        DatePart::Quarter => (month as i32 - 1) / 3 + 1,
        DatePart::Month => month as i32,
        DatePart::Day => day as i32,
        DatePart::DayOfYear => moment.days - first_of(year) + 1,
        DatePart::Week => {
            (week_start(moment.days, cx.datefirst) - week_start(first_of(year), cx.datefirst)) / 7
                + 1
        }
        DatePart::Weekday => moment.days - week_start(moment.days, cx.datefirst) + 1,
        DatePart::IsoWeek => iso_week(moment.days),
        DatePart::TzOffset => moment.offset_minutes.unwrap_or(0).into(),
        DatePart::Hour
        | DatePart::Minute
        | DatePart::Second
        | DatePart::Millisecond
        | DatePart::Microsecond
        | DatePart::Nanosecond => clock as i32,
    }
}

fn first_of(year: i32) -> i32 {
    days(year, 1, 1).unwrap_or(0)
}

/// The week of the year that holds its Thursday.
fn iso_week(day: i32) -> i32 {
    let thursday = day - weekday_from_monday(day) + 3;
    let (year, _, _) = civil(thursday);
    (thursday - first_of(year)) / 7 + 1
}

fn date_name(v: &[Value], t: &[SqlType], cx: &EvalContext) -> Result<Value, SqlError> {
    let Some((part, moment, ty)) = part_and_moment(v, t, cx, "datename")? else {
        return Ok(Value::Null);
    };
    let number = number(part, &moment, &ty, cx);
    let text = match part {
        DatePart::Month => english(cx, MONTHS[(number - 1) as usize])?,
        DatePart::Weekday => english(cx, WEEKDAYS[weekday_from_monday(moment.days) as usize])?,
        DatePart::TzOffset => {
            let sign = if number < 0 { '-' } else { '+' };
            format!("{sign}{:02}:{:02}", number.abs() / 60, number.abs() % 60)
        }
        DatePart::Year
        | DatePart::Quarter
        | DatePart::DayOfYear
        | DatePart::Day
        | DatePart::Week
        | DatePart::Hour
        | DatePart::Minute
        | DatePart::Second
        | DatePart::Millisecond
        | DatePart::Microsecond
        | DatePart::Nanosecond
        | DatePart::IsoWeek => number.to_string(),
    };
    Ok(types::string(&text))
}

fn english(cx: &EvalContext, name: &str) -> Result<String, SqlError> {
    let known = cx.language.eq_ignore_ascii_case("us_english")
        || cx.language.to_ascii_lowercase().contains("english");
    if known {
        Ok(name.to_owned())
    } else {
        Err(unsupported(format!(
            "DATENAME in the language {}",
            cx.language
        )))
    }
}
