//! DATEDIFF and DATEDIFF_BIG: how many boundaries of a datepart lie between two moments. Offsets do not count:
//! moments are compared in UTC.

use super::argument::Arguments;
use super::date::{DatePart, date_type, moment};
use super::{Builtin, EvalContext};
use crate::engine::calendar::{Moment, TICKS_PER_MINUTE, civil};
use crate::engine::fault::error;
use crate::session::SqlError;
use crate::value::{SqlType, Value};

pub static FUNCTIONS: &[Builtin] = &[
    Builtin {
        name: "DATEDIFF",
        args: 3..=3,
        result_type: |t| checked_type(t, "datediff", SqlType::Int),
        eval: date_diff,
    },
    Builtin {
        name: "DATEDIFF_BIG",
        args: 3..=3,
        result_type: |t| checked_type(t, "datediff_big", SqlType::BigInt),
        eval: date_diff_big,
    },
];

/// Text is taken with its offset.
fn argument_type(ty: &SqlType, position: usize, function: &str) -> Result<SqlType, SqlError> {
    date_type(ty, SqlType::DateTimeOffset(7), position, function)
}

fn checked_type(t: &[SqlType], function: &str, result: SqlType) -> Result<SqlType, SqlError> {
    argument_type(&t[1], 2, function)?;
    argument_type(&t[2], 3, function)?;
    Ok(result)
}

fn date_diff(v: &[Value], t: &[SqlType], cx: &EvalContext) -> Result<Value, SqlError> {
    let Some(count) = boundaries(v, t, cx, "datediff")? else {
        return Ok(Value::Null);
    };
    i32::try_from(count)
        .map(Value::Int)
        .map_err(|_| too_many("datediff"))
}

fn date_diff_big(v: &[Value], t: &[SqlType], cx: &EvalContext) -> Result<Value, SqlError> {
    let Some(count) = boundaries(v, t, cx, "datediff_big")? else {
        return Ok(Value::Null);
    };
    i64::try_from(count)
        .map(Value::BigInt)
        .map_err(|_| too_many("datediff_big"))
}

fn boundaries(
    v: &[Value],
    t: &[SqlType],
    cx: &EvalContext,
    function: &str,
) -> Result<Option<i128>, SqlError> {
    let a = Arguments::new(v, t, cx);
    let part = DatePart::of(&v[0], function)?;
    if matches!(part, DatePart::TzOffset | DatePart::IsoWeek) {
        return Err(part.refused(function, &t[1]));
    }
    let place = |at: usize| -> Result<Option<i128>, SqlError> {
        let found = moment(&a, at, &argument_type(&t[at], at + 1, function)?)?;
        Ok(found.map(|found| ordinal(part, &utc(found))))
    };
    Ok(place(1)?.zip(place(2)?).map(|(start, end)| end - start))
}

fn utc(moment: Moment) -> Moment {
    let offset = i64::from(moment.offset_minutes.unwrap_or(0)) * TICKS_PER_MINUTE;
    Moment::at_ticks(moment.total() - offset, moment.scale)
}

/// The number of the unit that a moment lies in. Weeks begin on Sunday, whatever DATEFIRST says.
fn ordinal(part: DatePart, moment: &Moment) -> i128 {
    let (year, month, _) = civil(moment.days);
    let (year, month) = (i128::from(year), i128::from(month) - 1);
    let total = i128::from(moment.total());
    match part {
        DatePart::Year => year,
        DatePart::Quarter => year * 4 + month / 3,
        DatePart::Month => year * 12 + month,
        DatePart::DayOfYear | DatePart::Day | DatePart::Weekday => moment.days.into(),
        // 0001-01-01 was a Monday.
        DatePart::Week => (i128::from(moment.days) + 1).div_euclid(7),
        DatePart::Nanosecond => total * 100,
        DatePart::Hour
        | DatePart::Minute
        | DatePart::Second
        | DatePart::Millisecond
        | DatePart::Microsecond
        | DatePart::TzOffset
        | DatePart::IsoWeek => total.div_euclid(part.ticks().unwrap_or(1).into()),
    }
}

fn too_many(function: &str) -> SqlError {
    let message = format!(
        "The {function} function resulted in an overflow. The number of dateparts separating two date/time instances \
            is too large. Try to use \
         {function} with a less precise datepart."
    );
    error(535, 16, message)
}
