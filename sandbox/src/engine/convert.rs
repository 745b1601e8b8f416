//! CAST, CONVERT and implicit conversion: every value to every type that SQL Server converts it to, exactly as far
//! as SQL Server is exact.
//!
//! Numbers never pass through floating point unless one side is floating point.

use crate::engine::collation::Collate;
use crate::engine::fault::{conversion, error, overflow};
use crate::engine::types::{self, decimal};
use crate::session::SqlError;
use crate::value::{SqlType, Value};

mod binary;
mod temporal;
mod text;
mod xml;

use binary::{big_endian, bytes_to_units, to_binary, to_guid, unsupported_binary};
use temporal::to_temporal;
pub use text::format_float;

/// One conversion, stated in full.
#[derive(Clone, Copy)]
pub struct Conversion<'a> {
    pub from: &'a SqlType,
    pub to: &'a SqlType,
    /// CONVERT's third argument; 0 for CAST.
    pub style: i32,
    /// The collation of the side that is character data (the source's when both are).
    pub collate: &'a Collate,
    pub dateformat: &'a str,
}

/// Converts one value. NULL stays NULL. Character and binary results are cut to the length, as CAST does.
pub fn convert(value: &Value, c: Conversion<'_>) -> Result<Value, SqlError> {
    if matches!(value, Value::Null) {
        return Ok(Value::Null);
    }
    if let Value::Variant(inner) = value {
        if matches!(c.to, SqlType::SqlVariant) {
            return Ok(value.clone());
        }
        return convert(
            &inner.1,
            Conversion {
                from: &inner.0,
                ..c
            },
        );
    }
    match c.to {
        SqlType::SqlVariant => {
            let collation = types::is_character(c.from).then(|| c.collate.name.clone());
            Ok(Value::Variant(Box::new((
                c.from.clone(),
                value.clone(),
                collation,
            ))))
        }
        SqlType::Bit | SqlType::TinyInt | SqlType::SmallInt | SqlType::Int | SqlType::BigInt => {
            to_integer(value, c)
        }
        SqlType::Decimal {
            precision, scale, ..
        } => to_decimal(value, *precision, *scale, c),
        SqlType::Money | SqlType::SmallMoney => to_money(value, c),
        SqlType::Real | SqlType::Float => to_float(value, c),
        SqlType::Date
        | SqlType::Time(_)
        | SqlType::DateTime
        | SqlType::SmallDateTime
        | SqlType::DateTime2(_)
        | SqlType::DateTimeOffset(_) => to_temporal(value, c),
        SqlType::Char(_)
        | SqlType::VarChar(_)
        | SqlType::Text
        | SqlType::NChar(_)
        | SqlType::NVarChar(_)
        | SqlType::NText
        | SqlType::Xml => text::to_character(value, c),
        SqlType::Binary(_) | SqlType::VarBinary(_) | SqlType::Image | SqlType::RowVersion => {
            to_binary(value, c)
        }
        SqlType::UniqueIdentifier => to_guid(value, c),
        SqlType::HierarchyId | SqlType::Geometry | SqlType::Geography => match value {
            Value::Bytes(_) => Ok(value.clone()),
            _ => Err(conversion(types::name(c.from), types::name(c.to))),
        },
    }
}

fn mismatch(c: &Conversion<'_>) -> SqlError {
    error(
        529,
        16,
        format!(
            "Explicit conversion from data type {} to {} is not allowed.",
            types::name(c.from),
            types::name(c.to)
        ),
    )
}

fn failed_text(value: &[u16], c: &Conversion<'_>) -> SqlError {
    error(
        245,
        16,
        format!(
            "Conversion failed when converting the {} value '{}' to data type {}.",
            types::name(c.from),
            types::text(value),
            types::name(c.to)
        ),
    )
}

fn to_integer(value: &Value, c: Conversion<'_>) -> Result<Value, SqlError> {
    let whole = match value {
        Value::Bit(_)
        | Value::TinyInt(_)
        | Value::SmallInt(_)
        | Value::Int(_)
        | Value::BigInt(_) => types::integer(value).unwrap_or(0),
        // To bit anything that is not zero is 1, fractions too.
        Value::Decimal { unscaled, scale } => match c.to {
            SqlType::Bit => i128::from(*unscaled != 0),
            _ => unscaled / decimal::POWERS[usize::from(*scale)],
        },
        Value::Money(units) => match c.to {
            SqlType::Bit => i128::from(*units != 0),
            _ => decimal::rescale(i128::from(*units), 4, 0).unwrap_or(0),
        },
        Value::Real(_) | Value::Float(_) => {
            let float = as_float(value).unwrap_or(0.0);
            if matches!(c.to, SqlType::Bit) {
                i128::from(float != 0.0)
            } else if float.abs() < 1e19 {
                float.trunc() as i128
            } else {
                return Err(overflow(types::name(c.to)));
            }
        }
        Value::Str(units) => return text_to_integer(units, c),
        Value::Bytes(bytes) => {
            let raw = big_endian(bytes, 8);
            return Ok(match c.to {
                SqlType::Bit => Value::Bit(raw != 0),
                SqlType::TinyInt => Value::TinyInt(raw as u8),
                SqlType::SmallInt => Value::SmallInt(raw as i16),
                SqlType::Int => Value::Int(raw as i32),
                _ => Value::BigInt(raw as i64),
            });
        }
        Value::DateTime { days, ticks } => {
            i128::from(*days) + i128::from(u8::from(i64::from(*ticks) * 2 >= 300 * 86_400))
        }
        Value::SmallDateTime { days, minutes } => {
            i128::from(*days) + i128::from(u8::from(*minutes >= 720))
        }
        _ => return Err(mismatch(&c)),
    };
    types::fit_integer(whole, c.to)
}

fn text_to_integer(units: &[u16], c: Conversion<'_>) -> Result<Value, SqlError> {
    let text = types::text(units);
    let trimmed = text.trim();
    if matches!(c.to, SqlType::Bit) {
        match trimmed.to_ascii_lowercase().as_str() {
            "true" => return Ok(Value::Bit(true)),
            "false" => return Ok(Value::Bit(false)),
            _ => {}
        }
    }
    if trimmed.is_empty() {
        return types::fit_integer(0, c.to);
    }
    let (negative, digits) = match trimmed.as_bytes()[0] {
        b'-' => (true, trimmed[1..].trim_start()),
        b'+' => (false, trimmed[1..].trim_start()),
        _ => (false, trimmed),
    };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return match c.to {
            SqlType::BigInt => Err(conversion(types::name(c.from), "bigint")),
            _ => Err(failed_text(units, &c)),
        };
    }
    let magnitude: i128 = digits.parse().unwrap_or(i128::MAX);
    let whole = if negative { -magnitude } else { magnitude };
    types::fit_integer(whole, c.to).map_err(|_| match c.to {
        SqlType::Int => error(
            248,
            16,
            format!("The conversion of the {} value '{text}' overflowed an int column.", types::name(c.from)),
        ),
        SqlType::TinyInt | SqlType::SmallInt => error(
            244,
            16,
            format!(
                "The conversion of the {} value '{text}' overflowed an INT{} column. Use a larger integer column.",
                types::name(c.from),
                if matches!(c.to, SqlType::TinyInt) { 1 } else { 2 }
            ),
        ),
        other => overflow(types::name(other)),
    })
}

fn to_decimal(
    value: &Value,
    precision: u8,
    scale: u8,
    c: Conversion<'_>,
) -> Result<Value, SqlError> {
    let target = types::name(c.to);
    let (unscaled, from) = match value {
        Value::Decimal { unscaled, scale } => (*unscaled, *scale),
        Value::Money(units) => (i128::from(*units), 4),
        Value::Real(_) | Value::Float(_) => {
            let float = as_float(value).unwrap_or(0.0);
            return float_to_decimal(float, precision, scale, c);
        }
        Value::Str(units) => {
            let text = types::text(units);
            match decimal::parse(&text) {
                Some(parsed) => parsed,
                None if text.trim().is_empty() => {
                    return Err(conversion(types::name(c.from), target));
                }
                None => return long_decimal(&text, precision, scale, c),
            }
        }
        Value::DateTime { days, ticks } => {
            // Days with the day's fraction, to the twelfth digit.
            let fraction = i128::from(*ticks) * 1_000_000_000_000 / (300 * 86_400);
            (i128::from(*days) * 1_000_000_000_000 + fraction, 12)
        }
        Value::Bytes(_) => return Err(unsupported_binary(&c)),
        other => match types::integer(other) {
            Some(whole) => (whole, 0),
            None => return Err(mismatch(&c)),
        },
    };
    let fitted = decimal::fit(unscaled, from, precision, scale).map_err(|_| match value {
        Value::Str(_) => overflow_from(types::name(c.from), target),
        _ => overflow_from(types::name(c.from), target),
    })?;
    Ok(Value::Decimal {
        unscaled: fitted,
        scale,
    })
}

/// A text with more digits than 128 bits hold: cut the excess fraction, or refuse.
fn long_decimal(
    text: &str,
    precision: u8,
    scale: u8,
    c: Conversion<'_>,
) -> Result<Value, SqlError> {
    let trimmed = text.trim();
    let well_formed = trimmed
        .trim_start_matches(['-', '+'])
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.');
    if well_formed && let Some(point) = trimmed.find('.') {
        let keep = trimmed.len().min(point + 2 + usize::from(scale));
        if let Some((unscaled, from)) = decimal::parse(&trimmed[..keep]) {
            let fitted = decimal::fit(unscaled, from, precision, scale)?;
            return Ok(Value::Decimal {
                unscaled: fitted,
                scale,
            });
        }
    }
    Err(conversion(types::name(c.from), types::name(c.to)))
}

fn overflow_from(from: &str, to: &str) -> SqlError {
    error(
        8115,
        16,
        format!("Arithmetic overflow error converting {from} to data type {to}."),
    )
}

/// Seventeen significant digits, as SQL Server takes from a float, then rounded to the scale.
fn float_to_decimal(
    float: f64,
    precision: u8,
    scale: u8,
    c: Conversion<'_>,
) -> Result<Value, SqlError> {
    let over = || overflow_from(types::name(c.from), types::name(c.to));
    if !float.is_finite() || float.abs() >= 1e38 {
        return Err(over());
    }
    let digits = if matches!(c.from, SqlType::Real) {
        8
    } else {
        16
    };
    let text = format!("{float:.digits$e}");
    let (mantissa, exponent) = text.split_once('e').ok_or_else(over)?;
    let exponent: i32 = exponent.parse().map_err(|_| over())?;
    let (unscaled, from) = decimal::parse(mantissa).ok_or_else(over)?;
    let have = i32::from(from) - exponent;
    let fitted = if have >= 0 {
        if have > 60 {
            0
        } else {
            rescale_far(unscaled, have, i32::from(scale)).ok_or_else(over)?
        }
    } else {
        let up = usize::try_from(-have + i32::from(scale)).map_err(|_| over())?;
        unscaled
            .checked_mul(*decimal::POWERS.get(up).ok_or_else(over)?)
            .ok_or_else(over)?
    };
    if decimal::digits(fitted) > precision {
        return Err(over());
    }
    Ok(Value::Decimal {
        unscaled: fitted,
        scale,
    })
}

fn rescale_far(value: i128, from: i32, to: i32) -> Option<i128> {
    decimal::rescale(value, u8::try_from(from).ok()?, u8::try_from(to).ok()?)
}

fn to_money(value: &Value, c: Conversion<'_>) -> Result<Value, SqlError> {
    let over = || overflow_from(types::name(c.from), types::name(c.to));
    let units: i128 = match value {
        Value::Money(units) => i128::from(*units),
        Value::Decimal { unscaled, scale } => {
            decimal::rescale(*unscaled, *scale, 4).ok_or_else(over)?
        }
        Value::Real(_) | Value::Float(_) => {
            match float_to_decimal(as_float(value).unwrap_or(0.0), 38, 4, c)? {
                Value::Decimal { unscaled, .. } => unscaled,
                _ => return Err(over()),
            }
        }
        Value::Str(units) => {
            let text = types::text(units);
            let clean: String = text
                .trim()
                .chars()
                .filter(|ch| !matches!(ch, ',' | '$' | '€' | '£' | '¥'))
                .collect();
            let bad = || {
                error(
                    235,
                    16,
                    "Cannot convert a char value to money. The char value has incorrect syntax.",
                )
            };
            let (unscaled, scale) = if clean.is_empty() {
                (0, 0)
            } else {
                decimal::parse(&clean).ok_or_else(bad)?
            };
            decimal::rescale(unscaled, scale, 4).ok_or_else(over)?
        }
        Value::Bytes(bytes) => i128::from(big_endian(bytes, 8) as i64),
        other => types::integer(other).ok_or_else(|| mismatch(&c))? * 10_000,
    };
    let fits = match c.to {
        SqlType::SmallMoney => i32::try_from(units).is_ok(),
        _ => i64::try_from(units).is_ok(),
    };
    if !fits {
        return Err(over());
    }
    Ok(Value::Money(units as i64))
}

/// The value as a double, for the numeric types.
pub fn as_float(value: &Value) -> Option<f64> {
    Some(match value {
        Value::Float(v) => *v,
        Value::Real(v) => f64::from(*v),
        Value::Money(units) => *units as f64 / 10_000.0,
        // The shortest text parses to the nearest double; dividing by a power of ten need not.
        Value::Decimal { unscaled, scale } => decimal::display(*unscaled, *scale).parse().ok()?,
        other => types::integer(other)? as f64,
    })
}

fn to_float(value: &Value, c: Conversion<'_>) -> Result<Value, SqlError> {
    let float = match value {
        Value::Str(units) => {
            let text = types::text(units);
            let trimmed = text.trim();
            let plain = trimmed
                .bytes()
                .all(|b| b.is_ascii_digit() || matches!(b, b'+' | b'-' | b'.' | b'e' | b'E'));
            if trimmed.is_empty() {
                0.0
            } else {
                trimmed
                    .parse::<f64>()
                    .ok()
                    .filter(|_| plain)
                    .ok_or_else(|| conversion(types::name(c.from), types::name(c.to)))?
            }
        }
        Value::DateTime { days, ticks } => {
            f64::from(*days) + f64::from(*ticks) / (300.0 * 86_400.0)
        }
        Value::SmallDateTime { days, minutes } => f64::from(*days) + f64::from(*minutes) / 1440.0,
        other => as_float(other).ok_or_else(|| mismatch(&c))?,
    };
    if matches!(c.to, SqlType::Float) {
        return if float.is_finite() {
            Ok(Value::Float(float))
        } else {
            Err(overflow("float"))
        };
    }
    let narrow = float as f32;
    if narrow.is_finite() {
        Ok(Value::Real(narrow))
    } else {
        Err(overflow_from(types::name(c.from), "real"))
    }
}

#[cfg(test)]
mod tests;
