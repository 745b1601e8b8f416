//! Conversion to the character types.

use super::{Conversion, bytes_to_units, mismatch};
use crate::engine::calendar::Moment;
use crate::engine::fault::{error, overflow};
use crate::engine::types::{self, decimal};
use crate::session::SqlError;
use crate::value::{SqlType, Value};
use std::sync::Arc;

pub fn to_character(value: &Value, c: Conversion<'_>) -> Result<Value, SqlError> {
    let units: Arc<[u16]> = match value {
        Value::Str(units) if (*c.from == SqlType::Xml) != (*c.to == SqlType::Xml) => {
            let units: Arc<[u16]> = match c.to {
                SqlType::Xml => super::xml::parsed(units, c.style).into(),
                _ => super::xml::serialized(units, c.style).into(),
            };
            if types::is_unicode(c.to) {
                units
            } else {
                c.collate.narrow(&units)
            }
        }
        Value::Str(units) => {
            // From nvarchar to varchar the code page decides; within the same kind nothing changes.
            if types::is_unicode(c.to) {
                units.clone()
            } else {
                c.collate.narrow(units)
            }
        }
        Value::Bytes(bytes) => match c.style {
            1 | 2 => types::units(&hex(bytes, c.style == 1)),
            _ => bytes_to_units(bytes, &c),
        },
        other => {
            let text = plain_text(other, &c)?;
            let fits = types::length(c.to).is_none_or(|n| text.len() <= usize::from(n));
            if !fits {
                return too_narrow(other, &c);
            }
            types::units(&text)
        }
    };
    Ok(Value::Str(fit_units(units, &c)))
}

/// A small integer that does not fit into `varchar` becomes `*`; everything else is an error.
fn too_narrow(value: &Value, c: &Conversion<'_>) -> Result<Value, SqlError> {
    let small = matches!(
        value,
        Value::Bit(_) | Value::TinyInt(_) | Value::SmallInt(_) | Value::Int(_)
    );
    match value {
        _ if small && !types::is_unicode(c.to) => Ok(Value::Str(fit_units(types::units("*"), c))),
        Value::Guid(_) => Err(error(
            8170,
            16,
            "Insufficient result space to convert uniqueidentifier value to char.",
        )),
        Value::Money(_) => Err(error(
            234,
            16,
            "There is insufficient result space to convert a money value to varchar.",
        )),
        Value::Date(_)
        | Value::Time(_)
        | Value::DateTime { .. }
        | Value::SmallDateTime { .. }
        | Value::DateTime2 { .. }
        | Value::DateTimeOffset { .. } => {
            let text = plain_text(value, c)?;
            Ok(Value::Str(fit_units(types::units(&text), c)))
        }
        _ => Err(overflow(types::name(c.to))),
    }
}

/// Cut to the length, or padded with spaces for the fixed types.
fn fit_units(units: Arc<[u16]>, c: &Conversion<'_>) -> Arc<[u16]> {
    let Some(limit) = types::length(c.to).map(usize::from) else {
        return units;
    };
    let fixed = matches!(c.to, SqlType::Char(_) | SqlType::NChar(_));
    let measured = if types::is_unicode(c.to) {
        units.len()
    } else {
        c.collate.byte_length(&units)
    };
    if measured == limit || (measured < limit && !fixed) {
        return units;
    }
    let mut out = units.to_vec();
    if measured > limit {
        if types::is_unicode(c.to) {
            out.truncate(limit);
        } else {
            while c.collate.byte_length(&out) > limit {
                out.pop();
            }
        }
    }
    if fixed {
        let now = if types::is_unicode(c.to) {
            out.len()
        } else {
            c.collate.byte_length(&out)
        };
        out.resize(out.len() + limit.saturating_sub(now), 0x20);
    }
    out.into()
}

fn hex(bytes: &[u8], prefix: bool) -> String {
    use std::fmt::Write;
    let mut out = String::with_capacity(bytes.len() * 2 + 2);
    if prefix {
        out.push_str("0x");
    }
    for byte in bytes {
        // Writing to a String cannot fail.
        let _ = write!(out, "{byte:02X}");
    }
    out
}

fn plain_text(value: &Value, c: &Conversion<'_>) -> Result<String, SqlError> {
    Ok(match value {
        Value::Bit(v) => u8::from(*v).to_string(),
        Value::TinyInt(v) => v.to_string(),
        Value::SmallInt(v) => v.to_string(),
        Value::Int(v) => v.to_string(),
        Value::BigInt(v) => v.to_string(),
        Value::Decimal { unscaled, scale } => decimal::display(*unscaled, *scale),
        Value::Money(units) => money(*units, c.style),
        Value::Real(v) => format_float(f64::from(*v), true, c.style),
        Value::Float(v) => format_float(*v, false, c.style),
        Value::Guid(bytes) => uuid::Uuid::from_bytes_le(*bytes).to_string().to_uppercase(),
        Value::Date(_)
        | Value::Time(_)
        | Value::DateTime { .. }
        | Value::SmallDateTime { .. }
        | Value::DateTime2 { .. }
        | Value::DateTimeOffset { .. } => temporal(value, c)?,
        Value::Null | Value::Str(_) | Value::Bytes(_) | Value::Variant(_) => {
            return Err(mismatch(c));
        }
    })
}

fn temporal(value: &Value, c: &Conversion<'_>) -> Result<String, SqlError> {
    let scale = match c.from {
        SqlType::Time(s) | SqlType::DateTime2(s) | SqlType::DateTimeOffset(s) => *s,
        _ => 7,
    };
    let legacy = matches!(value, Value::DateTime { .. } | Value::SmallDateTime { .. });
    let moment = Moment::of(value, scale).ok_or_else(|| mismatch(c))?;
    let style = match c.style {
        0 if !legacy => 121,
        style => style,
    };
    // smalldatetime shows .000 where datetime shows its milliseconds.
    let moment = if matches!(value, Value::SmallDateTime { .. }) {
        Moment { scale: 3, ..moment }
    } else {
        moment
    };
    let shown = if style == 127 {
        match moment.offset_minutes {
            Some(offset) => {
                let utc =
                    moment.total() - i64::from(offset) * crate::engine::calendar::TICKS_PER_MINUTE;
                Moment {
                    offset_minutes: Some(0),
                    ..Moment::at_ticks(utc, moment.scale)
                }
            }
            None => moment,
        }
    } else {
        moment
    };
    shown.format(style).ok_or_else(|| {
        error(
            281,
            16,
            format!(
                "{style} is not a valid style number when converting from {} to a character \
                string.",
                types::name(c.from)
            ),
        )
    })
}

fn money(units: i64, style: i32) -> String {
    match style {
        2 | 126 => decimal::display(i128::from(units), 4),
        1 => {
            let plain = decimal::display(decimal::rescale(i128::from(units), 4, 2).unwrap_or(0), 2);
            let (whole, cents) = plain.split_at(plain.len() - 3);
            let (sign, digits) = whole
                .strip_prefix('-')
                .map_or(("", whole), |rest| ("-", rest));
            let mut grouped = String::new();
            for (index, digit) in digits.chars().enumerate() {
                if index > 0 && (digits.len() - index) % 3 == 0 {
                    grouped.push(',');
                }
                grouped.push(digit);
            }
            format!("{sign}{grouped}{cents}")
        }
        _ => decimal::display(decimal::rescale(i128::from(units), 4, 2).unwrap_or(0), 2),
    }
}

/// Style 0: six significant digits; 1: eight; 2: sixteen; 3: seventeen (nine for real), which reads back the same.
pub fn format_float(value: f64, real: bool, style: i32) -> String {
    let exponential = |digits: usize| {
        let text = format!("{value:.digits$e}");
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let number: i32 = exponent.parse().unwrap_or(0);
        format!(
            "{mantissa}e{}{:03}",
            if number < 0 { '-' } else { '+' },
            number.abs()
        )
    };
    match style {
        1 => exponential(7),
        2 => exponential(15),
        3 if real => exponential(8),
        3 => exponential(16),
        128 | 129 => exponential(16),
        _ => short_float(value),
    }
}

/// C's `%g` with six digits, and SQL Server's three-digit exponent.
fn short_float(value: f64) -> String {
    if value == 0.0 {
        return "0".to_string();
    }
    let text = format!("{value:.5e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let trim = |digits: &str| -> String {
        if digits.contains('.') {
            digits
                .trim_end_matches('0')
                .trim_end_matches('.')
                .to_string()
        } else {
            digits.to_string()
        }
    };
    if (-5..6).contains(&exponent) {
        let decimals = usize::try_from(5 - exponent).unwrap_or(0);
        trim(&format!("{value:.decimals$}"))
    } else {
        let sign = if exponent < 0 { '-' } else { '+' };
        format!("{}e{sign}{:03}", trim(mantissa), exponent.abs())
    }
}
