//! Assignment to a column.

use crate::engine::convert::{Conversion, convert};
use crate::engine::fault::error;
use crate::engine::schema::Column;
use crate::engine::{collation::Collate, types};
use crate::session::SqlError;
use crate::value::{SqlType, Value};

/// A value as a message shows it.
pub fn show(value: &Value, column: &Column) -> String {
    if matches!(value, Value::Null) {
        return "<NULL>".to_string();
    }
    let collate = Collate::server();
    let to = SqlType::NVarChar(None);
    let style = if types::is_binary(&column.ty) { 1 } else { 0 };
    match convert(
        value,
        Conversion {
            from: &column.ty,
            to: &to,
            style,
            collate: &collate,
            dateformat: "mdy",
        },
    ) {
        Ok(Value::Str(units)) => types::text(&units),
        _ => "?".to_string(),
    }
}

pub(super) fn integral(value: &Value) -> Option<i128> {
    match value {
        Value::Decimal { unscaled, scale: 0 } => Some(*unscaled),
        other => types::integer(other),
    }
}

/// Assignment to a column: what does not fit is refused (2628), only trailing spaces and zero bytes are dropped
/// silently.
pub fn store(
    value: &Value,
    from: &SqlType,
    column: &Column,
    dateformat: &str,
) -> Result<Value, SqlError> {
    if matches!(value, Value::Null) {
        return Ok(Value::Null);
    }
    if !types::implicit(from, &column.ty) && *from != SqlType::SqlVariant {
        return Err(clash(from, &column.ty));
    }
    let server;
    let collate = match &column.collate {
        Some(collate) => collate,
        None => {
            server = Collate::server();
            &server
        }
    };
    let conversion = Conversion {
        from,
        to: &column.ty,
        style: 0,
        collate,
        dateformat,
    };
    check_length(value, column, collate)?;
    convert(value, conversion)
}

/// A conversion that is not made without being asked.
fn clash(from: &SqlType, to: &SqlType) -> SqlError {
    let can = types::explicit(from, to);
    let (number, text) = if can {
        (
            257,
            format!(
                "Implicit conversion from data type {} to {} is not allowed. Use the CONVERT function to run this \
                    query.",
                types::name(from),
                types::name(to)
            ),
        )
    } else {
        (
            206,
            format!(
                "Operand type clash: {} is incompatible with {}",
                types::name(from),
                types::name(to)
            ),
        )
    };
    error(number, 16, text)
}

/// Refuses a value that is longer than the column without its trailing spaces or zero bytes.
fn check_length(value: &Value, column: &Column, collate: &Collate) -> Result<(), SqlError> {
    if let (Value::Str(units), Some(limit)) = (value, types::length(&column.ty))
        && types::is_character(&column.ty)
    {
        let unicode = types::is_unicode(&column.ty);
        let measure = |units: &[u16]| {
            if unicode {
                units.len()
            } else {
                collate.byte_length(units)
            }
        };
        if measure(units) > usize::from(limit) {
            let narrowed = if unicode {
                units.clone()
            } else {
                collate.narrow(units)
            };
            let end = narrowed
                .iter()
                .rposition(|unit| *unit != 0x20)
                .map_or(0, |i| i + 1);
            if measure(&narrowed[..end]) > usize::from(limit) {
                return Err(truncated(column, &types::text(&narrowed)));
            }
        }
    }
    if let (Value::Bytes(bytes), Some(limit)) = (value, types::length(&column.ty))
        && types::is_binary(&column.ty)
        && bytes.len() > usize::from(limit)
    {
        let end = bytes
            .iter()
            .rposition(|byte| *byte != 0)
            .map_or(0, |i| i + 1);
        if end > usize::from(limit) {
            return Err(truncated(column, ""));
        }
    }
    Ok(())
}

pub(super) fn truncated(column: &Column, text: &str) -> SqlError {
    let shown: String = text.chars().take(100).collect();
    error(
        2628,
        16,
        format!(
            "String or binary data would be truncated in table '{{table}}', column '{}'. Truncated value: '{shown}'.",
            column.name
        ),
    )
}
