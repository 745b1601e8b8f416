//! ROUND, CEILING, FLOOR and STR.

use super::argument::{Arguments, INT};
use super::math::number_type;
use super::{Builtin, EvalContext};
use crate::engine::fault::overflow;
use crate::engine::types::{self, decimal};
use crate::session::SqlError;
use crate::value::{SqlType, Value};

pub static FUNCTIONS: &[Builtin] = &[
    Builtin {
        name: "ROUND",
        args: 2..=3,
        result_type: |t| number_type(&t[0], "round"),
        eval: round,
    },
    Builtin {
        name: "CEILING",
        args: 1..=1,
        result_type: |t| whole_type(t, "ceiling"),
        eval: |v, t, cx| whole(v, t, cx, true),
    },
    Builtin {
        name: "FLOOR",
        args: 1..=1,
        result_type: |t| whole_type(t, "floor"),
        eval: |v, t, cx| whole(v, t, cx, false),
    },
    Builtin {
        name: "STR",
        args: 1..=3,
        result_type: |_| Ok(SqlType::VarChar(Some(8000))),
        eval: str,
    },
];

/// A decimal loses its fraction, and keeps its precision.
fn whole_type(t: &[SqlType], function: &str) -> Result<SqlType, SqlError> {
    Ok(match number_type(&t[0], function)? {
        SqlType::Decimal {
            precision, numeric, ..
        } => SqlType::Decimal {
            precision,
            scale: 0,
            numeric,
        },
        other => other,
    })
}

fn whole(v: &[Value], t: &[SqlType], cx: &EvalContext, up: bool) -> Result<Value, SqlError> {
    let a = Arguments::new(v, t, cx);
    let ty = number_type(&t[0], "ceiling")?;
    let step = |value: i128, unit: i128| {
        value.div_euclid(unit) + i128::from(up && value.rem_euclid(unit) != 0)
    };
    Ok(match a.converted(0, &ty)? {
        Value::Decimal { unscaled, scale } => Value::Decimal {
            unscaled: step(unscaled, decimal::POWERS[usize::from(scale)]),
            scale: 0,
        },
        Value::Money(value) => {
            let whole = step(i128::from(value), 10_000) * 10_000;
            Value::Money(i64::try_from(whole).map_err(|_| overflow("money"))?)
        }
        Value::Float(value) => Value::Float(if up { value.ceil() } else { value.floor() }),
        other => other,
    })
}

fn round(v: &[Value], t: &[SqlType], cx: &EvalContext) -> Result<Value, SqlError> {
    let a = Arguments::new(v, t, cx);
    let ty = number_type(&t[0], "round")?;
    let mode = if a.is_absent(2) {
        Some(0)
    } else {
        a.integer(2)?
    };
    let (Some(digits), Some(mode)) = (a.integer(1)?, mode) else {
        return Ok(Value::Null);
    };
    let truncate = mode != 0;
    let exact = |value: i128, scale: u8| at_digit(value, scale, digits, truncate);
    match a.converted(0, &ty)? {
        Value::Int(value) => {
            types::fit_integer(exact(value.into(), 0)?, &INT).map_err(|_| overflow("int"))
        }
        Value::BigInt(value) => types::fit_integer(exact(value.into(), 0)?, &SqlType::BigInt),
        Value::Money(value) => {
            let rounded = exact(value.into(), 4)?;
            i64::try_from(rounded)
                .map(Value::Money)
                .map_err(|_| overflow("money"))
        }
        Value::Decimal { unscaled, scale } => {
            let (precision, _) = types::precision_scale(&ty);
            Ok(Value::Decimal {
                unscaled: decimal::fit(exact(unscaled, scale)?, scale, precision, scale)?,
                scale,
            })
        }
        Value::Float(value) => Ok(Value::Float(float_at_digit(value, digits, truncate))),
        other => Ok(other),
    }
}

/// Half away from zero at the given digit after the point (before it when negative), or cut there.
fn at_digit(value: i128, scale: u8, digits: i64, truncate: bool) -> Result<i128, SqlError> {
    let dropped = i64::from(scale).saturating_sub(digits);
    if dropped <= 0 {
        return Ok(value);
    }
    let Some(unit) = usize::try_from(dropped)
        .ok()
        .and_then(|dropped| decimal::POWERS.get(dropped))
    else {
        return Ok(0);
    };
    let (quotient, remainder) = (value / unit, value % unit);
    let away = !truncate && remainder.unsigned_abs() >= unit.unsigned_abs().div_ceil(2);
    (quotient + if away { value.signum() } else { 0 })
        .checked_mul(*unit)
        .ok_or_else(|| overflow("numeric"))
}

fn float_at_digit(value: f64, digits: i64, truncate: bool) -> f64 {
    let digits = digits.clamp(-330, 330) as i32;
    let cut = |value: f64| {
        if truncate {
            value.trunc()
        } else {
            value.round()
        }
    };
    let unit = 10f64.powi(digits.abs());
    let rounded = if digits >= 0 {
        cut(value * unit) / unit
    } else {
        cut(value / unit) * unit
    };
    // A digit beyond what a float has leaves it as it is.
    if rounded.is_finite() {
        rounded
    } else if digits > 0 {
        value
    } else {
        0.0
    }
}

/// Right-aligned in `length` characters; stars when the whole part does not fit.
fn str(v: &[Value], t: &[SqlType], cx: &EvalContext) -> Result<Value, SqlError> {
    /// The most decimal places that STR shows.
    const PLACES_MAX: usize = 16;
    let a = Arguments::new(v, t, cx);
    let length = if a.is_absent(1) {
        Some(10)
    } else {
        a.integer(1)?
    };
    let places = if a.is_absent(2) {
        Some(0)
    } else {
        a.integer(2)?
    };
    let (Some(value), Some(length), Some(places)) = (a.float(0)?, length, places) else {
        return Ok(Value::Null);
    };
    let (Ok(length), Ok(places)) = (usize::try_from(length), usize::try_from(places)) else {
        return Ok(Value::Null);
    };
    if length == 0 || length > 8000 {
        return Ok(Value::Null);
    }
    let whole = fixed(value, 0);
    if whole.len() > length {
        return Ok(types::string(&"*".repeat(length)));
    }
    // The point needs a place too; places that do not fit are rounded off.
    let fits = length.saturating_sub(whole.len() + 1);
    let text = fixed(value, places.min(PLACES_MAX).min(fits));
    Ok(types::string(&format!("{text:>length$}")))
}

/// The exact value rounded half away from zero.
fn fixed(value: f64, places: usize) -> String {
    /// A double's fraction ends by this place at the latest.
    const EXACT_PLACES: usize = 1074;
    let exact = format!("{:.EXACT_PLACES$}", value.abs());
    let point = exact.find('.').unwrap_or(exact.len());
    let kept = if places == 0 {
        point
    } else {
        point + 1 + places
    };
    let next = if places == 0 { point + 1 } else { kept };
    let up = exact
        .as_bytes()
        .get(next)
        .is_some_and(|digit| *digit >= b'5');
    let mut digits: Vec<u8> = exact.as_bytes()[..kept].to_vec();
    let mut carry = up;
    for digit in digits.iter_mut().rev().filter(|digit| **digit != b'.') {
        if !carry {
            break;
        }
        carry = *digit == b'9';
        *digit = if carry { b'0' } else { *digit + 1 };
    }
    let negative =
        value < 0.0 && (carry || digits.iter().any(|digit| (b'1'..=b'9').contains(digit)));
    let text: String = digits.iter().map(|digit| char::from(*digit)).collect();
    format!(
        "{}{}{text}",
        if negative { "-" } else { "" },
        if carry { "1" } else { "" }
    )
}
