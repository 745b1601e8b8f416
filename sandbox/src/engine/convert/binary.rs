//! Conversion to and from bytes.

use super::*;
use crate::engine::fault::{conversion, error};
use crate::engine::types::{self};
use crate::session::SqlError;
use crate::value::{SqlType, Value};
use std::sync::Arc;

pub(super) fn big_endian(bytes: &[u8], width: usize) -> i128 {
    let tail = &bytes[bytes.len().saturating_sub(width)..];
    tail.iter()
        .fold(0i128, |sum, byte| (sum << 8) | i128::from(*byte))
}

pub(super) fn unsupported_binary(c: &Conversion<'_>) -> SqlError {
    crate::engine::fault::unsupported(format!(
        "Conversion from {} to {}",
        types::name(c.from),
        types::name(c.to)
    ))
}

pub(super) fn to_guid(value: &Value, c: Conversion<'_>) -> Result<Value, SqlError> {
    match value {
        Value::Guid(_) => Ok(value.clone()),
        Value::Bytes(bytes) => {
            let mut out = [0u8; 16];
            for (slot, byte) in out.iter_mut().zip(bytes.iter()) {
                *slot = *byte;
            }
            Ok(Value::Guid(out))
        }
        Value::Str(units) => {
            let text = types::text(units);
            let bad = || {
                error(
                    8169,
                    16,
                    "Conversion failed when converting from a character string to uniqueidentifier.",
                )
            };
            let trimmed = text.trim_start_matches('{');
            let body = trimmed.get(..36).ok_or_else(bad)?;
            let parsed = uuid::Uuid::try_parse(body).map_err(|_| bad())?;
            Ok(Value::Guid(parsed.to_bytes_le()))
        }
        _ => Err(mismatch(&c)),
    }
}

pub(super) fn to_binary(value: &Value, c: Conversion<'_>) -> Result<Value, SqlError> {
    let target = types::length(c.to).map(usize::from);
    let number = |bytes: Vec<u8>| -> Vec<u8> {
        // Numbers keep their low-order bytes, and are padded on the left.
        match (
            target,
            matches!(c.to, SqlType::Binary(_) | SqlType::RowVersion),
        ) {
            (Some(n), _) if bytes.len() > n => bytes[bytes.len() - n..].to_vec(),
            (Some(n), true) => [vec![0; n - bytes.len()], bytes].concat(),
            _ => bytes,
        }
    };
    let bytes: Vec<u8> = match value {
        Value::Bytes(bytes) => bytes.to_vec(),
        Value::Guid(bytes) => bytes.to_vec(),
        Value::Str(units) => text_to_bytes(units, &c)?,
        Value::Bit(v) => number(vec![u8::from(*v)]),
        Value::TinyInt(v) => number(vec![*v]),
        Value::SmallInt(v) => number(v.to_be_bytes().to_vec()),
        Value::Int(v) => number(v.to_be_bytes().to_vec()),
        Value::BigInt(v) => number(v.to_be_bytes().to_vec()),
        Value::Money(v) => number(match c.from {
            SqlType::SmallMoney => (*v as i32).to_be_bytes().to_vec(),
            _ => v.to_be_bytes().to_vec(),
        }),
        Value::Real(v) => number(v.to_be_bytes().to_vec()),
        Value::Float(v) => number(v.to_be_bytes().to_vec()),
        Value::DateTime { days, ticks } => {
            number([days.to_be_bytes(), ticks.to_be_bytes()].concat())
        }
        Value::SmallDateTime { days, minutes } => {
            number([days.to_be_bytes(), minutes.to_be_bytes()].concat())
        }
        Value::Decimal { unscaled, scale } => decimal_bytes(*unscaled, *scale, c.from),
        Value::Date(days) => days.to_le_bytes()[..3].to_vec(),
        Value::Time(_) | Value::DateTime2 { .. } | Value::DateTimeOffset { .. } => {
            return Err(unsupported_binary(&c));
        }
        Value::Null | Value::Variant(_) => return Err(mismatch(&c)),
    };
    Ok(Value::Bytes(fit_bytes(bytes, c.to)))
}

/// Cut or padded on the right to the type's length.
pub fn fit_bytes(mut bytes: Vec<u8>, to: &SqlType) -> Arc<[u8]> {
    if let Some(n) = types::length(to).map(usize::from) {
        bytes.truncate(n);
        if matches!(to, SqlType::Binary(_) | SqlType::RowVersion) {
            bytes.resize(n, 0);
        }
    }
    bytes.into()
}

pub(super) fn decimal_bytes(unscaled: i128, scale: u8, from: &SqlType) -> Vec<u8> {
    let (precision, _) = types::precision_scale(from);
    let width = match precision {
        0..=9 => 4,
        10..=19 => 8,
        20..=28 => 12,
        _ => 16,
    };
    let mut out = vec![precision, scale, 0, u8::from(unscaled >= 0)];
    out.extend_from_slice(&unscaled.unsigned_abs().to_le_bytes()[..width]);
    out
}

pub(super) fn text_to_bytes(units: &[u16], c: &Conversion<'_>) -> Result<Vec<u8>, SqlError> {
    if c.style == 0 {
        return Ok(if types::is_unicode(c.from) {
            units.iter().flat_map(|unit| unit.to_le_bytes()).collect()
        } else {
            c.collate.info.code_page.bytes(units)
        });
    }
    let text = types::text(units);
    let bad = || conversion(types::name(c.from), types::name(c.to));
    let hex = match c.style {
        1 => text
            .strip_prefix("0x")
            .or_else(|| text.strip_prefix("0X"))
            .ok_or_else(bad)?,
        2 => text.as_str(),
        _ => return Err(bad()),
    };
    if hex.len() % 2 != 0 || !hex.is_ascii() {
        return Err(bad());
    }
    (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).map_err(|_| bad()))
        .collect()
}

/// Bytes read as text, for binary to character.
pub(super) fn bytes_to_units(bytes: &[u8], c: &Conversion<'_>) -> Arc<[u16]> {
    if types::is_unicode(c.to) {
        bytes
            .chunks(2)
            .map(|pair| u16::from_le_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]))
            .collect()
    } else {
        c.collate.info.code_page.text(bytes).into()
    }
}
