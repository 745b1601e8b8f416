//! DATEADD, DATETRUNC and EOMONTH.

use super::argument::Arguments;
use super::date::{DatePart, date_type, moment, out_of_range, value_at, week_start};
use super::{Builtin, EvalContext};
use crate::engine::calendar::{DAYS_TO_1900, Moment, TICKS_PER_DAY, civil, days, month_length};
use crate::session::SqlError;
use crate::value::{SqlType, Value};

pub static FUNCTIONS: &[Builtin] = &[
    Builtin {
        name: "DATEADD",
        args: 3..=3,
        result_type: |t| added_type(t),
        eval: date_add,
    },
    Builtin {
        name: "DATETRUNC",
        args: 2..=2,
        result_type: |t| truncated_type(t),
        eval: date_trunc,
    },
    Builtin {
        name: "EOMONTH",
        args: 1..=2,
        result_type: |_| Ok(SqlType::Date),
        eval: eomonth,
    },
];

fn added_type(t: &[SqlType]) -> Result<SqlType, SqlError> {
    date_type(&t[2], SqlType::DateTime, 3, "dateadd")
}

fn truncated_type(t: &[SqlType]) -> Result<SqlType, SqlError> {
    date_type(&t[1], SqlType::DateTime2(7), 2, "datetrunc")
}

fn date_add(v: &[Value], t: &[SqlType], cx: &EvalContext) -> Result<Value, SqlError> {
    let a = Arguments::new(v, t, cx);
    let part = DatePart::of(&v[0], "dateadd")?;
    let ty = added_type(t)?;
    check_addable(part, &ty)?;
    let (Some(count), Some(start)) = (a.int(1)?, moment(&a, 2, &ty)?) else {
        return Ok(Value::Null);
    };
    let count = i64::from(count);
    let total = match part {
        DatePart::Year => plus_months(&start, count * 12),
        DatePart::Quarter => plus_months(&start, count * 3),
        DatePart::Month => plus_months(&start, count),
        DatePart::Week => Some(plus_days(&start, count * 7)),
        DatePart::Day | DatePart::DayOfYear | DatePart::Weekday => Some(plus_days(&start, count)),
        // Hundreds of nanoseconds, half up.
        DatePart::Nanosecond => {
            Some(i128::from(start.total()) + i128::from((count + 50).div_euclid(100)))
        }
        DatePart::Hour
        | DatePart::Minute
        | DatePart::Second
        | DatePart::Millisecond
        | DatePart::Microsecond => part
            .ticks()
            .map(|ticks| i128::from(start.total()) + i128::from(ticks) * i128::from(count)),
        DatePart::TzOffset | DatePart::IsoWeek => None,
    };
    total
        .and_then(|total| value_at(total, &ty, start.offset_minutes.unwrap_or(0)))
        .ok_or_else(|| out_of_range(&ty))
}

fn check_addable(part: DatePart, ty: &SqlType) -> Result<(), SqlError> {
    let fine = matches!(part, DatePart::Microsecond | DatePart::Nanosecond);
    let refused = match ty {
        SqlType::Date => part.is_clock(),
        SqlType::Time(_) => !part.is_clock(),
        SqlType::DateTime | SqlType::SmallDateTime => fine,
        _ => false,
    };
    if refused || matches!(part, DatePart::TzOffset | DatePart::IsoWeek) {
        return Err(part.refused("dateadd", ty));
    }
    Ok(())
}

fn plus_days(start: &Moment, count: i64) -> i128 {
    i128::from(start.total()) + i128::from(count) * i128::from(TICKS_PER_DAY)
}

/// A day past the month's end becomes its last day.
fn plus_months(start: &Moment, count: i64) -> Option<i128> {
    let (year, month, day) = civil(start.days);
    let months = i64::from(year) * 12 + i64::from(month) - 1 + count;
    let year = i32::try_from(months.div_euclid(12)).ok()?;
    let month = months.rem_euclid(12) as u32 + 1;
    let day = day.min(month_length(year, month));
    let days = days(year, month, day)?;
    Some(i128::from(days) * i128::from(TICKS_PER_DAY) + i128::from(start.ticks))
}

fn date_trunc(v: &[Value], t: &[SqlType], cx: &EvalContext) -> Result<Value, SqlError> {
    let a = Arguments::new(v, t, cx);
    let part = DatePart::of(&v[0], "datetrunc")?;
    let ty = truncated_type(t)?;
    let refused = match (&ty, part) {
        (_, DatePart::Weekday | DatePart::TzOffset | DatePart::Nanosecond) => true,
        (SqlType::Date, _) => part.is_clock(),
        (SqlType::Time(_), _) => !part.is_clock(),
        (SqlType::DateTime, DatePart::Microsecond) => true,
        (SqlType::SmallDateTime, DatePart::Millisecond | DatePart::Microsecond) => true,
        _ => false,
    };
    if refused {
        return Err(part.refused("datetrunc", &ty));
    }
    let Some(start) = moment(&a, 1, &ty)? else {
        return Ok(Value::Null);
    };
    let (year, month, _) = civil(start.days);
    let day = match part {
        DatePart::Year => days(year, 1, 1),
        DatePart::Quarter => days(year, (month - 1) / 3 * 3 + 1, 1),
        DatePart::Month => days(year, month, 1),
        DatePart::Week => Some(week_start(start.days, cx.datefirst)),
        DatePart::IsoWeek => Some(week_start(start.days, 1)),
        _ => Some(start.days),
    };
    let ticks = part
        .ticks()
        .map_or(0, |ticks| start.ticks - start.ticks % ticks);
    let total = day.map(|day| i128::from(day) * i128::from(TICKS_PER_DAY) + i128::from(ticks));
    total
        .and_then(|total| value_at(total, &ty, start.offset_minutes.unwrap_or(0)))
        .ok_or_else(|| out_of_range(&ty))
}

fn eomonth(v: &[Value], t: &[SqlType], cx: &EvalContext) -> Result<Value, SqlError> {
    let a = Arguments::new(v, t, cx);
    let ty = date_type(&t[0], SqlType::Date, 1, "eomonth")?;
    let count = if a.is_absent(1) { Some(0) } else { a.int(1)? };
    // Without a count NULL months add nothing.
    let count = count.unwrap_or(0);
    let Some(start) = moment(&a, 0, &ty)? else {
        return Ok(Value::Null);
    };
    let start = if start.has_date {
        start
    } else {
        Moment {
            days: DAYS_TO_1900,
            ..start
        }
    };
    let (year, month, _) = civil(start.days);
    let months = i64::from(year) * 12 + i64::from(month) - 1 + i64::from(count);
    let month = months.rem_euclid(12) as u32 + 1;
    let end = i32::try_from(months.div_euclid(12))
        .ok()
        .and_then(|year| days(year, month, month_length(year, month)));
    end.map(Value::Date)
        .ok_or_else(|| out_of_range(&SqlType::Date))
}
