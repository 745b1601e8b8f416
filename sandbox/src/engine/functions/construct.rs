//! Dates made of parts, and changes of offset.
//!
//! The result's scale is the last argument's value, which a type cannot know: these functions answer with scale 7;
//! the value has no more digits than asked for, so that converting it to the narrower type is exact.

use super::argument::Arguments;
use super::date::{date_type, moment, out_of_range, scale_of, value_at};
use super::{Builtin, EvalContext};
use crate::engine::calendar::{TICKS_PER_DAY, TICKS_PER_MINUTE, TICKS_PER_SECOND, days};
use crate::engine::fault::error;
use crate::engine::types;
use crate::session::SqlError;
use crate::value::{SqlType, Value};

const TIME: SqlType = SqlType::Time(7);
const DATETIME2: SqlType = SqlType::DateTime2(7);
const DATETIMEOFFSET: SqlType = SqlType::DateTimeOffset(7);

pub static FUNCTIONS: &[Builtin] = &[
    Builtin {
        name: "DATEFROMPARTS",
        args: 3..=3,
        result_type: |_| Ok(SqlType::Date),
        eval: |v, t, cx| from_parts(v, t, cx, &SqlType::Date),
    },
    Builtin {
        name: "TIMEFROMPARTS",
        args: 5..=5,
        result_type: |_| Ok(TIME),
        eval: |v, t, cx| from_parts(v, t, cx, &TIME),
    },
    Builtin {
        name: "DATETIMEFROMPARTS",
        args: 7..=7,
        result_type: |_| Ok(SqlType::DateTime),
        eval: |v, t, cx| from_parts(v, t, cx, &SqlType::DateTime),
    },
    Builtin {
        name: "SMALLDATETIMEFROMPARTS",
        args: 5..=5,
        result_type: |_| Ok(SqlType::SmallDateTime),
        eval: |v, t, cx| from_parts(v, t, cx, &SqlType::SmallDateTime),
    },
    Builtin {
        name: "DATETIME2FROMPARTS",
        args: 8..=8,
        result_type: |_| Ok(DATETIME2),
        eval: |v, t, cx| from_parts(v, t, cx, &DATETIME2),
    },
    Builtin {
        name: "DATETIMEOFFSETFROMPARTS",
        args: 10..=10,
        result_type: |_| Ok(DATETIMEOFFSET),
        eval: |v, t, cx| from_parts(v, t, cx, &DATETIMEOFFSET),
    },
    Builtin {
        name: "SWITCHOFFSET",
        args: 2..=2,
        result_type: |t| offset_type(t, "switchoffset"),
        eval: switch_offset,
    },
    Builtin {
        name: "TODATETIMEOFFSET",
        args: 2..=2,
        result_type: |t| offset_type(t, "todatetimeoffset"),
        eval: to_offset,
    },
];

/// The parts as numbers, in the order year, month, day, hour, minute, second, fraction, offset hours, offset
/// minutes, precision.
#[derive(Default)]
struct Parts {
    date: Option<[i32; 3]>,
    clock: [i32; 3],
    fraction: i32,
    offset: [i32; 2],
    precision: i32,
}

fn from_parts(
    v: &[Value],
    t: &[SqlType],
    cx: &EvalContext,
    ty: &SqlType,
) -> Result<Value, SqlError> {
    let a = Arguments::new(v, t, cx);
    let mut numbers = Vec::with_capacity(v.len());
    for at in 0..v.len() {
        let Some(number) = a.int(at)? else {
            return Ok(Value::Null);
        };
        numbers.push(number);
    }
    let parts = match (ty, numbers.as_slice()) {
        (SqlType::Date, &[y, m, d]) => Parts {
            date: Some([y, m, d]),
            ..Parts::default()
        },
        (SqlType::Time(_), &[h, mi, s, f, p]) => Parts {
            clock: [h, mi, s],
            fraction: f,
            precision: p,
            ..Parts::default()
        },
        (SqlType::DateTime, &[y, m, d, h, mi, s, ms]) => Parts {
            date: Some([y, m, d]),
            clock: [h, mi, s],
            fraction: ms,
            precision: 3,
            ..Parts::default()
        },
        (SqlType::SmallDateTime, &[y, m, d, h, mi]) => Parts {
            date: Some([y, m, d]),
            clock: [h, mi, 0],
            ..Parts::default()
        },
        (SqlType::DateTime2(_), &[y, m, d, h, mi, s, f, p]) => Parts {
            date: Some([y, m, d]),
            clock: [h, mi, s],
            fraction: f,
            precision: p,
            ..Parts::default()
        },
        (SqlType::DateTimeOffset(_), &[y, m, d, h, mi, s, f, oh, om, p]) => Parts {
            date: Some([y, m, d]),
            clock: [h, mi, s],
            fraction: f,
            offset: [oh, om],
            precision: p,
        },
        _ => return Err(invalid_parts(ty)),
    };
    if !(0..=7).contains(&parts.precision) {
        return Err(error(
            1002,
            15,
            format!("Specified scale {} is invalid.", parts.precision),
        ));
    }
    parts.value(ty).ok_or_else(|| invalid_parts(ty))
}

impl Parts {
    fn value(&self, ty: &SqlType) -> Option<Value> {
        let day = match self.date {
            Some([year, month, day]) => {
                days(year, u32::try_from(month).ok()?, u32::try_from(day).ok()?)?
            }
            None => 0,
        };
        let [hour, minute, second] = self.clock;
        let on_clock =
            (0..24).contains(&hour) && (0..60).contains(&minute) && (0..60).contains(&second);
        let precision = u32::try_from(self.precision).ok()?;
        let in_second = (0..10i32.pow(precision)).contains(&self.fraction);
        if !on_clock || !in_second {
            return None;
        }
        let seconds = i64::from(hour) * 3600 + i64::from(minute) * 60 + i64::from(second);
        let ticks =
            seconds * TICKS_PER_SECOND + i64::from(self.fraction) * 10i64.pow(7 - precision);
        let offset = offset_of(self.offset[0], self.offset[1])?;
        value_at(
            i128::from(day) * i128::from(TICKS_PER_DAY) + i128::from(ticks),
            ty,
            offset,
        )
    }
}

/// Both parts have one sign, and 14 hours are the most.
fn offset_of(hours: i32, minutes: i32) -> Option<i16> {
    let one_sign = hours == 0 || minutes == 0 || (hours < 0) == (minutes < 0);
    let total = hours.checked_mul(60)?.checked_add(minutes)?;
    (one_sign && minutes.unsigned_abs() < 60 && total.unsigned_abs() <= 14 * 60)
        .then_some(total as i16)
}

fn invalid_parts(ty: &SqlType) -> SqlError {
    error(
        289,
        16,
        format!(
            "Cannot construct data type {}, some of the arguments have values which are not valid.",
            types::name(ty)
        ),
    )
}

fn offset_type(t: &[SqlType], function: &str) -> Result<SqlType, SqlError> {
    let ty = date_type(&t[0], DATETIMEOFFSET, 1, function)?;
    Ok(SqlType::DateTimeOffset(match ty {
        SqlType::DateTime2(_)
        | SqlType::DateTimeOffset(_)
        | SqlType::Time(_)
        | SqlType::DateTime => scale_of(&ty),
        _ => 0,
    }))
}

/// `+hh:mm`, or minutes as a number; error 9812.
fn offset_argument(a: &Arguments<'_>, at: usize, function: &str) -> Result<Option<i16>, SqlError> {
    let invalid = || {
        error(
            9812,
            16,
            format!("The timezone provided to builtin function {function} is invalid."),
        )
    };
    if matches!(a.values[at], Value::Null) {
        return Ok(None);
    }
    if types::is_number(&a.types[at]) {
        let minutes = a.int(at)?.unwrap_or(0);
        return if minutes.unsigned_abs() <= 14 * 60 {
            Ok(Some(minutes as i16))
        } else {
            Err(invalid())
        };
    }
    let text = a
        .text(at)?
        .map(|units| types::text(&units))
        .unwrap_or_default();
    let parsed = parse_offset(text.trim_end());
    parsed.map(Some).ok_or_else(invalid)
}

fn parse_offset(text: &str) -> Option<i16> {
    let sign = match text.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let (hours, minutes) = text[1..].split_once(':')?;
    let digits = |part: &str| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(hours) || !digits(minutes) {
        return None;
    }
    offset_of(hours.parse().ok()?, minutes.parse().ok()?).map(|minutes| minutes * sign)
}

/// The same instant under another offset.
fn switch_offset(v: &[Value], t: &[SqlType], cx: &EvalContext) -> Result<Value, SqlError> {
    let a = Arguments::new(v, t, cx);
    let ty = offset_type(t, "switchoffset")?;
    let (Some(offset), Some(start)) =
        (offset_argument(&a, 1, "switchoffset")?, moment(&a, 0, &ty)?)
    else {
        return Ok(Value::Null);
    };
    let shift = i64::from(offset) - i64::from(start.offset_minutes.unwrap_or(0));
    let total = start.total() + shift * TICKS_PER_MINUTE;
    value_at(total.into(), &ty, offset).ok_or_else(|| out_of_range(&ty))
}

/// The same clock reading under an offset.
fn to_offset(v: &[Value], t: &[SqlType], cx: &EvalContext) -> Result<Value, SqlError> {
    let a = Arguments::new(v, t, cx);
    let ty = offset_type(t, "todatetimeoffset")?;
    let taken = date_type(&t[0], DATETIMEOFFSET, 1, "todatetimeoffset")?;
    let (Some(offset), Some(start)) = (
        offset_argument(&a, 1, "todatetimeoffset")?,
        moment(&a, 0, &taken)?,
    ) else {
        return Ok(Value::Null);
    };
    value_at(start.total().into(), &ty, offset).ok_or_else(|| out_of_range(&ty))
}
