//! Values to bytes: ROW and NBCROW, and the value part of RETURNVALUE.
//!
//! A value that does not fit the column's declared type is an error of the engine, never converted here: the row is
//! taken back and the client gets an error instead.

use super::type_info::{decimal_len, time_len};
use crate::collation::{CodePage, CollationInfo, DEFAULT_WIRE};
use crate::session::ColumnMeta;
use crate::value::{SqlType, Value};

const ROW: u8 = 0xD1;
const NBCROW: u8 = 0xD2;
const PLP_NULL: u64 = u64::MAX;
const PLP_CHUNK_BYTES: usize = 1 << 30;

/// A value that its column cannot hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the engine produced {found} for column '{column}' of type {ty:?}")]
pub(super) struct Mismatch {
    pub column: String,
    pub ty: SqlType,
    pub found: String,
}

/// What is wrong with one value; the column is added above.
struct Wrong(&'static str);

/// How a column's values are written, decided once per result.
#[derive(Debug, Clone)]
pub(super) struct ColumnEncoder {
    name: String,
    ty: SqlType,
    code_page: CodePage,
    collation: [u8; 5],
    nullable: bool,
    form: Form,
}

/// The framing around the bytes of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Bytes alone: types that cannot be NULL.
    Bare,
    /// One byte of length, known from the type.
    Counted(u8),
    /// Two bytes of length; the most bytes.
    Short(usize),
    Plp,
    /// text, ntext, image.
    Lob,
    Variant,
}

impl ColumnEncoder {
    pub fn new(column: &ColumnMeta) -> Self {
        let info = CollationInfo::of_column(column.collation.as_ref());
        let code_page = info.map_or(CodePage::Cp1252, |info| info.code_page);
        Self {
            name: column.name.clone(),
            ty: column.ty.clone(),
            code_page,
            collation: info.map_or(DEFAULT_WIRE, |info| info.wire()),
            nullable: column.nullable,
            form: form(&column.ty, column.nullable),
        }
    }

    fn mismatch(&self, value: &Value, wrong: &Wrong) -> Mismatch {
        let mut found = format!("{value:?}");
        if found.len() > 60 {
            let end = (0..=60)
                .rev()
                .find(|&at| found.is_char_boundary(at))
                .unwrap_or(0);
            found.truncate(end);
            found.push('…');
        }
        Mismatch {
            column: self.name.clone(),
            ty: self.ty.clone(),
            found: format!("{found} ({})", wrong.0),
        }
    }

    /// Appends one value with its length, NULL included.
    pub fn put(&self, out: &mut Vec<u8>, value: &Value) -> Result<(), Mismatch> {
        let result = if matches!(value, Value::Null) {
            self.put_null(out)
        } else {
            self.put_value(out, value)
        };
        result.map_err(|wrong| self.mismatch(value, &wrong))
    }

    fn put_null(&self, out: &mut Vec<u8>) -> Result<(), Wrong> {
        match self.form {
            Form::Bare => return Err(Wrong("NULL in a column that has none")),
            Form::Counted(_) | Form::Lob => out.push(0),
            Form::Short(_) => out.extend_from_slice(&[0xFF, 0xFF]),
            Form::Plp => out.extend_from_slice(&PLP_NULL.to_le_bytes()),
            Form::Variant => out.extend_from_slice(&[0; 4]),
        }
        Ok(())
    }

    fn put_value(&self, out: &mut Vec<u8>, value: &Value) -> Result<(), Wrong> {
        match self.form {
            Form::Bare => put_fixed(out, &self.ty, value),
            Form::Counted(length) => {
                out.push(length);
                put_fixed(out, &self.ty, value)
            }
            Form::Short(bytes_max) => {
                let at = out.len();
                out.extend_from_slice(&[0, 0]);
                put_bytes(out, &self.ty, self.code_page, value)?;
                let length = out.len() - at - 2;
                if length > bytes_max {
                    return Err(Wrong("longer than the column"));
                }
                out[at..at + 2].copy_from_slice(&(length as u16).to_le_bytes());
                Ok(())
            }
            Form::Plp => self.put_plp(out, value),
            Form::Lob => {
                out.push(16);
                // A text pointer and a timestamp: nobody can use them, but readers expect some.
                out.extend_from_slice(&[0xFF; 24]);
                let at = out.len();
                out.extend_from_slice(&[0; 4]);
                put_bytes(out, &self.ty, self.code_page, value)?;
                let length = (out.len() - at - 4) as u32;
                out[at..at + 4].copy_from_slice(&length.to_le_bytes());
                Ok(())
            }
            Form::Variant => self.put_variant(out, value),
        }
    }

    /// The whole length, then chunks; one chunk unless it would overflow.
    fn put_plp(&self, out: &mut Vec<u8>, value: &Value) -> Result<(), Wrong> {
        let at = out.len();
        out.extend_from_slice(&[0; 12]);
        put_bytes(out, &self.ty, self.code_page, value)?;
        let length = out.len() - at - 12;
        if length > PLP_CHUNK_BYTES {
            return Err(Wrong("longer than the stand-in sends in one value"));
        }
        out[at..at + 8].copy_from_slice(&(length as u64).to_le_bytes());
        if length == 0 {
            // The chunk's length is already the terminator.
            return Ok(());
        }
        out[at + 8..at + 12].copy_from_slice(&(length as u32).to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        Ok(())
    }

    fn put_variant(&self, out: &mut Vec<u8>, value: &Value) -> Result<(), Wrong> {
        let Value::Variant(inner) = value else {
            return Err(Wrong("not a sql_variant"));
        };
        let (base, value, _) = inner.as_ref();
        let at = out.len();
        out.extend_from_slice(&[0; 4]);
        super::variant::put_properties(out, base, self.collation)
            .map_err(|_| Wrong("a base type that sql_variant cannot hold"))?;
        match form(base, false) {
            Form::Bare | Form::Counted(_) => put_fixed(out, base, value)?,
            Form::Short(_) => put_bytes(out, base, self.code_page, value)?,
            Form::Plp | Form::Lob | Form::Variant => {
                return Err(Wrong("a base type that sql_variant cannot hold"));
            }
        }
        let length = (out.len() - at - 4) as u32;
        out[at..at + 4].copy_from_slice(&length.to_le_bytes());
        Ok(())
    }
}

fn form(ty: &SqlType, nullable: bool) -> Form {
    let fixed = |length| {
        if nullable {
            Form::Counted(length)
        } else {
            Form::Bare
        }
    };
    match ty {
        SqlType::Bit | SqlType::TinyInt => fixed(1),
        SqlType::SmallInt => fixed(2),
        SqlType::Int | SqlType::Real | SqlType::SmallMoney | SqlType::SmallDateTime => fixed(4),
        SqlType::BigInt | SqlType::Float | SqlType::Money | SqlType::DateTime => fixed(8),
        SqlType::Decimal { precision, .. } => Form::Counted(decimal_len(*precision)),
        SqlType::Date => Form::Counted(3),
        SqlType::Time(scale) => Form::Counted(time_len(*scale)),
        SqlType::DateTime2(scale) => Form::Counted(time_len(*scale) + 3),
        SqlType::DateTimeOffset(scale) => Form::Counted(time_len(*scale) + 5),
        SqlType::UniqueIdentifier => Form::Counted(16),
        SqlType::Char(length) | SqlType::Binary(length) => Form::Short(usize::from(*length)),
        SqlType::NChar(length) => Form::Short(usize::from(*length) * 2),
        SqlType::RowVersion => Form::Short(8),
        SqlType::VarChar(length) | SqlType::VarBinary(length) => match length {
            Some(length) => Form::Short(usize::from(*length)),
            None => Form::Plp,
        },
        SqlType::NVarChar(length) => match length {
            Some(length) => Form::Short(usize::from(*length) * 2),
            None => Form::Plp,
        },
        SqlType::Xml | SqlType::HierarchyId | SqlType::Geometry | SqlType::Geography => Form::Plp,
        SqlType::Text | SqlType::NText | SqlType::Image => Form::Lob,
        SqlType::SqlVariant => Form::Variant,
    }
}

/// Appends a row, with a bitmap of its NULLs when it has any; on an error nothing is appended.
pub(super) fn put_row(
    out: &mut Vec<u8>,
    columns: &[ColumnEncoder],
    row: &[Value],
) -> Result<(), Mismatch> {
    let start = out.len();
    let result = put_row_unchecked(out, columns, row);
    if result.is_err() {
        out.truncate(start);
    }
    result
}

fn put_row_unchecked(
    out: &mut Vec<u8>,
    columns: &[ColumnEncoder],
    row: &[Value],
) -> Result<(), Mismatch> {
    if row.len() != columns.len() {
        return Err(Mismatch {
            column: format!("{} columns", columns.len()),
            ty: SqlType::SqlVariant,
            found: format!("a row of {} values", row.len()),
        });
    }
    let has_null = row.iter().any(|value| matches!(value, Value::Null));
    if !has_null {
        out.push(ROW);
        for (column, value) in columns.iter().zip(row) {
            column
                .put_value(out, value)
                .map_err(|wrong| column.mismatch(value, &wrong))?;
        }
        return Ok(());
    }
    out.push(NBCROW);
    let bitmap_at = out.len();
    out.resize(bitmap_at + row.len().div_ceil(8), 0);
    for (at, (column, value)) in columns.iter().zip(row).enumerate() {
        if matches!(value, Value::Null) {
            if !column.nullable {
                let wrong = Wrong("NULL in a column that has none");
                return Err(column.mismatch(value, &wrong));
            }
            out[bitmap_at + at / 8] |= 1 << (at % 8);
        } else {
            column
                .put_value(out, value)
                .map_err(|wrong| column.mismatch(value, &wrong))?;
        }
    }
    Ok(())
}

/// The bytes of a type whose length the type tells.
fn put_fixed(out: &mut Vec<u8>, ty: &SqlType, value: &Value) -> Result<(), Wrong> {
    match (ty, value) {
        (SqlType::Bit, Value::Bit(bit)) => out.push(u8::from(*bit)),
        (SqlType::TinyInt, Value::TinyInt(n)) => out.push(*n),
        (SqlType::SmallInt, Value::SmallInt(n)) => out.extend_from_slice(&n.to_le_bytes()),
        (SqlType::Int, Value::Int(n)) => out.extend_from_slice(&n.to_le_bytes()),
        (SqlType::BigInt, Value::BigInt(n)) => out.extend_from_slice(&n.to_le_bytes()),
        (SqlType::Real, Value::Real(n)) => out.extend_from_slice(&n.to_le_bytes()),
        (SqlType::Float, Value::Float(n)) => out.extend_from_slice(&n.to_le_bytes()),
        (
            SqlType::Decimal {
                precision, scale, ..
            },
            Value::Decimal {
                unscaled,
                scale: value_scale,
            },
        ) => put_decimal(out, (*precision, *scale), (*unscaled, *value_scale))?,
        (SqlType::Money, Value::Money(n)) => {
            out.extend_from_slice(&((*n >> 32) as i32).to_le_bytes());
            out.extend_from_slice(&(*n as u32).to_le_bytes());
        }
        (SqlType::SmallMoney, Value::Money(n)) => {
            let n = i32::try_from(*n).map_err(|_| Wrong("too large"))?;
            out.extend_from_slice(&n.to_le_bytes());
        }
        (SqlType::Date, Value::Date(days)) => put_days(out, *days)?,
        (SqlType::Time(scale), Value::Time(ticks)) => put_time(out, *scale, *ticks)?,
        (SqlType::DateTime, Value::DateTime { days, ticks }) => {
            out.extend_from_slice(&days.to_le_bytes());
            out.extend_from_slice(&ticks.to_le_bytes());
        }
        (SqlType::SmallDateTime, Value::SmallDateTime { days, minutes }) => {
            out.extend_from_slice(&days.to_le_bytes());
            out.extend_from_slice(&minutes.to_le_bytes());
        }
        (SqlType::DateTime2(scale), Value::DateTime2 { days, ticks }) => {
            put_time(out, *scale, *ticks)?;
            put_days(out, *days)?;
        }
        (
            SqlType::DateTimeOffset(scale),
            Value::DateTimeOffset {
                days,
                ticks,
                offset_minutes,
            },
        ) => {
            put_time(out, *scale, *ticks)?;
            put_days(out, *days)?;
            out.extend_from_slice(&offset_minutes.to_le_bytes());
        }
        (SqlType::UniqueIdentifier, Value::Guid(bytes)) => out.extend_from_slice(bytes),
        _ => return Err(Wrong("another type's value")),
    }
    Ok(())
}

/// The bytes of a type whose length the value tells.
fn put_bytes(
    out: &mut Vec<u8>,
    ty: &SqlType,
    code_page: CodePage,
    value: &Value,
) -> Result<(), Wrong> {
    match (ty, value) {
        (SqlType::Char(_) | SqlType::VarChar(_) | SqlType::Text, Value::Str(text)) => {
            code_page.encode(text, out);
        }
        (
            SqlType::NChar(_) | SqlType::NVarChar(_) | SqlType::NText | SqlType::Xml,
            Value::Str(text),
        ) => put_units(out, text),
        (
            SqlType::Binary(_)
            | SqlType::VarBinary(_)
            | SqlType::Image
            | SqlType::RowVersion
            | SqlType::HierarchyId
            | SqlType::Geometry
            | SqlType::Geography,
            Value::Bytes(bytes),
        ) => out.extend_from_slice(bytes),
        _ => return Err(Wrong("another type's value")),
    }
    Ok(())
}

fn put_units(out: &mut Vec<u8>, text: &[u16]) {
    let start = out.len();
    out.resize(start + text.len() * 2, 0);
    for (pair, unit) in out[start..].chunks_exact_mut(2).zip(text) {
        pair.copy_from_slice(&unit.to_le_bytes());
    }
}

fn put_decimal(
    out: &mut Vec<u8>,
    (precision, scale): (u8, u8),
    (unscaled, value_scale): (i128, u8),
) -> Result<(), Wrong> {
    let missing = scale
        .checked_sub(value_scale)
        .ok_or(Wrong("more digits after the point than the column"))?;
    let magnitude = 10u128
        .checked_pow(u32::from(missing))
        .and_then(|factor| unscaled.unsigned_abs().checked_mul(factor))
        .filter(|magnitude| *magnitude < 10u128.pow(u32::from(precision.min(38))))
        .ok_or(Wrong("more digits than the column"))?;
    out.push(u8::from(unscaled >= 0));
    let bytes = usize::from(decimal_len(precision)) - 1;
    out.extend_from_slice(&magnitude.to_le_bytes()[..bytes]);
    Ok(())
}

fn put_days(out: &mut Vec<u8>, days: i32) -> Result<(), Wrong> {
    // 9999-12-31.
    if !(0..=3_652_058).contains(&days) {
        return Err(Wrong("a date outside years 1 to 9999"));
    }
    out.extend_from_slice(&days.to_le_bytes()[..3]);
    Ok(())
}

fn put_time(out: &mut Vec<u8>, scale: u8, ticks: u64) -> Result<(), Wrong> {
    let unit = 10u64.pow(7 - u32::from(scale.min(7)));
    if !ticks.is_multiple_of(unit) {
        return Err(Wrong("more digits of a second than the column"));
    }
    if ticks >= 864_000_000_000 {
        return Err(Wrong("a time past the day's end"));
    }
    let bytes = usize::from(time_len(scale));
    out.extend_from_slice(&(ticks / unit).to_le_bytes()[..bytes]);
    Ok(())
}
