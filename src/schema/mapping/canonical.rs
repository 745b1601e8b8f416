//! One form of bytes for each value, which SQL Server and icesync derive each for itself: from the column, and from the
//! lake's value with its companions.
//!
//! Two values are the same exactly if their bytes are. The T-SQL of each form is in `mssql/sql/digest.rs`, and depends
//! on no language, date format or collation. What is framed is four bytes of length, big-endian, and the bytes; NULL is
//! the length of all ones and nothing else. So values that stand one after another cannot be taken for others.

use super::text::{date_text, decimal_text, time_text, timestamp_text};
use super::{LakeSchema, MappingError};
use crate::schema::types::NVARCHAR_MAX;
use crate::schema::{KeyFold, Role, SqlType};
use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal128Type, Float32Type, Float64Type, Int32Type, Int64Type,
    Time64MicrosecondType, TimestampMicrosecondType,
};
use arrow_array::{Array, RecordBatch};
use std::fmt::Write;

const MICROS_A_MINUTE: i64 = 60_000_000;
/// Stands for the length of NULL.
const NULL_MARK: [u8; 4] = [0xFF; 4];

/// The form of a type. Two columns can be compared if theirs is the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A whole number as eight bytes, big-endian.
    Integer,
    /// A binary fraction as IEEE 754 stores it, so many bytes, big-endian.
    Fraction(u8),
    /// Digits with all decimals of the scale, in ASCII.
    Decimal {
        scale: u8,
    },
    /// `yyyy-mm-dd`.
    Date,
    /// `hh:mm:ss` and the decimals of the scale.
    Time {
        scale: u8,
    },
    /// Date, space, time.
    DateTime {
        scale: u8,
    },
    /// Date, space, time, space, and the offset from UTC as `+hh:mm`. In a key the instant in UTC.
    Instant {
        scale: u8,
    },
    /// The 16 bytes as SQL Server stores them.
    Guid,
    /// UTF-16, little-endian.
    Characters,
    /// Base type, colon and value, as characters.
    TypedText,
    Bytes,
}

/// The form of a type's values; none for a type whose values the server converts to nothing that icesync can derive.
pub fn form(ty: SqlType) -> Option<Form> {
    use SqlType as T;
    Some(match ty {
        T::Bit | T::TinyInt | T::SmallInt | T::Int | T::BigInt => Form::Integer,
        T::Decimal { scale, .. } | T::Numeric { scale, .. } => Form::Decimal { scale },
        T::Money | T::SmallMoney => Form::Decimal { scale: 4 },
        T::Real => Form::Fraction(4),
        T::Float => Form::Fraction(8),
        T::Date => Form::Date,
        T::Time { scale } => Form::Time { scale },
        T::DateTime => Form::DateTime { scale: 3 },
        T::SmallDateTime => Form::DateTime { scale: 0 },
        T::DateTime2 { scale } => Form::DateTime { scale },
        T::DateTimeOffset { scale } => Form::Instant { scale },
        T::Char { .. }
        | T::VarChar { .. }
        | T::Text
        | T::NChar { .. }
        | T::NVarChar { .. }
        | T::NText
        | T::Xml
        | T::Json => Form::Characters,
        T::SqlVariant => Form::TypedText,
        T::Binary { .. }
        | T::VarBinary { .. }
        | T::Image
        | T::RowVersion
        | T::HierarchyId
        | T::Geometry
        | T::Geography => Form::Bytes,
        T::UniqueIdentifier => Form::Guid,
        T::Vector { .. } => return None,
    })
}

/// How many bytes a value of a type has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    Exactly(u16),
    AtMost(u16),
    /// More than 8,000 at times.
    Long,
}

/// How many bytes the form of a type has.
pub fn size(ty: SqlType) -> Size {
    use SqlType as T;
    let national = |units: u16| match units {
        0..=NVARCHAR_MAX => Size::AtMost(units * 2),
        _ => Size::Long,
    };
    match ty {
        T::Bit | T::TinyInt | T::SmallInt | T::Int | T::BigInt | T::Float | T::RowVersion => {
            Size::Exactly(8)
        }
        T::Real => Size::Exactly(4),
        T::UniqueIdentifier => Size::Exactly(16),
        T::Decimal { .. }
        | T::Numeric { .. }
        | T::Money
        | T::SmallMoney
        | T::Date
        | T::Time { .. }
        | T::DateTime
        | T::SmallDateTime
        | T::DateTime2 { .. }
        | T::DateTimeOffset { .. } => Size::AtMost(41),
        // One byte of a code page never becomes more than one UTF-16 unit.
        T::Char { length } | T::NChar { length } => national(length),
        T::VarChar { length } | T::NVarChar { length } => length.map_or(Size::Long, national),
        T::Binary { length } => Size::Exactly(length),
        T::VarBinary { length } => length.map_or(Size::Long, Size::AtMost),
        T::HierarchyId => Size::AtMost(892),
        T::Text
        | T::NText
        | T::Image
        | T::Xml
        | T::SqlVariant
        | T::Geometry
        | T::Geography
        | T::Json
        | T::Vector { .. } => Size::Long,
    }
}

/// Derives the bytes of a lake table's rows.
#[derive(Debug, Clone)]
pub struct Canonical {
    table: String,
    columns: Vec<Source>,
    /// In key order.
    key: Vec<Source>,
}

/// Where the batches of a lake table have a column.
#[derive(Debug, Clone)]
struct Source {
    name: String,
    form: Form,
    /// Positions of value, seventh digit, offset and base type.
    value: usize,
    ticks: Option<usize>,
    offset: Option<usize>,
    base_type: Option<usize>,
    fold: KeyFold,
}

impl Source {
    /// None where the type has no form, or the lake does not hold the value to its last digit.
    fn of(shape: &LakeSchema, column: usize, ty: SqlType, in_key: bool) -> Option<Self> {
        let field = |role: Role| {
            let mut fields = shape.fields.iter();
            fields.position(|field| field.source == Some(column) && field.role == role)
        };
        let (form, value) = (form(ty)?, field(Role::Value)?);
        let source = Self {
            name: shape.fields[value].name.clone(),
            form,
            value,
            ticks: field(Role::Ticks),
            offset: field(Role::Offset).filter(|_| !in_key),
            base_type: field(Role::BaseType),
            fold: (shape.key.iter().find(|key| key.field == value))
                .map_or_else(KeyFold::default, |key| key.fold),
        };
        let is_whole = match form {
            Form::Time { scale } | Form::DateTime { scale } => scale < 7 || source.ticks.is_some(),
            Form::Instant { scale } => {
                (scale < 7 || source.ticks.is_some()) && (in_key || source.offset.is_some())
            }
            Form::TypedText => source.base_type.is_some(),
            Form::Integer
            | Form::Fraction(_)
            | Form::Decimal { .. }
            | Form::Date
            | Form::Guid
            | Form::Characters
            | Form::Bytes => true,
        };
        is_whole.then_some(source)
    }
}

/// Whether the lake holds every digit of a column's values, in a form that the server can derive, too.
pub fn is_whole(shape: &LakeSchema, column: usize, ty: SqlType) -> bool {
    Source::of(shape, column, ty, false).is_some()
}

/// The same of a column of a key, of which only what tells keys apart is compared.
pub fn is_whole_key(shape: &LakeSchema, column: usize, ty: SqlType) -> bool {
    Source::of(shape, column, ty, true).is_some()
}

impl Canonical {
    /// Of these columns, by their positions as the lake's fields name them. Columns that are not [whole](is_whole) are
    /// left out.
    pub fn new(
        table: String,
        shape: &LakeSchema,
        columns: &[(usize, SqlType)],
        key: &[(usize, SqlType)],
    ) -> Self {
        let sources = |columns: &[(usize, SqlType)], in_key: bool| {
            let columns = columns.iter();
            columns
                .filter_map(|&(at, ty)| Source::of(shape, at, ty, in_key))
                .collect()
        };
        Self {
            table,
            columns: sources(columns, false),
            key: sources(key, true),
        }
    }

    /// Appends the framed values of a row's key. The batch has all fields of the lake table.
    pub fn key(&self, batch: &RecordBatch, row: usize, out: &mut Vec<u8>) -> Result<()> {
        let mut key = self.key.iter();
        key.try_for_each(|source| self.frame(source, batch, row, out))
    }

    /// Appends the framed values of a row.
    pub fn row(&self, batch: &RecordBatch, row: usize, out: &mut Vec<u8>) -> Result<()> {
        let mut columns = self.columns.iter();
        columns.try_for_each(|source| self.frame(source, batch, row, out))
    }

    /// Appends the framed value of one of the columns.
    pub fn value(
        &self,
        column: usize,
        batch: &RecordBatch,
        row: usize,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        match self.columns.get(column) {
            Some(source) => self.frame(source, batch, row, out),
            None => Ok(()),
        }
    }

    /// The bytes of a key as the lake tells keys apart.
    pub fn folded(&self, key: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(key.len());
        for (value, source) in frames(key).zip(&self.key) {
            match value {
                None => out.extend(NULL_MARK),
                Some(bytes) => framed(&folded(bytes, source.form, source.fold), &mut out),
            }
        }
        out
    }

    /// A key as text for people.
    pub fn key_text(&self, key: &[u8]) -> String {
        let values = frames(key)
            .zip(&self.key)
            .map(|(value, source)| match value {
                None => "NULL".to_owned(),
                Some(bytes) => shown(bytes, source.form),
            });
        values.collect::<Vec<_>>().join(", ")
    }

    fn frame(
        &self,
        source: &Source,
        batch: &RecordBatch,
        row: usize,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        let begin = out.len();
        out.extend(NULL_MARK);
        let cell = Cell { source, batch, row };
        let is_null = cell.bytes(out).map_err(|problem| MappingError::Value {
            table: self.table.clone(),
            column: source.name.clone(),
            problem,
        })?;
        if !is_null {
            let length = u32::try_from(out.len() - begin - 4).unwrap_or(u32::MAX);
            out[begin..begin + 4].copy_from_slice(&length.to_be_bytes());
        }
        Ok(())
    }
}

type Result<T> = std::result::Result<T, MappingError>;
type Value<T> = std::result::Result<T, String>;

fn framed(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend(u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend(bytes);
}

/// The values that stand framed one after another; what is cut off at the end is left out.
fn frames(mut bytes: &[u8]) -> impl Iterator<Item = Option<&[u8]>> {
    std::iter::from_fn(move || {
        let (length, rest) = bytes.split_first_chunk::<4>()?;
        if *length == NULL_MARK {
            bytes = rest;
            return Some(None);
        }
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let (value, rest) = rest.split_at_checked(length)?;
        bytes = rest;
        Some(Some(value))
    })
}

/// What of a value tells keys of the lake apart.
fn folded(bytes: &[u8], form: Form, fold: KeyFold) -> Vec<u8> {
    let mut out = bytes.to_vec();
    match form {
        Form::Characters => {
            while fold.trim && out.ends_with(&[b' ', 0]) {
                out.truncate(out.len() - 2);
            }
            if fold.ascii_case {
                for unit in out.chunks_exact_mut(2).filter(|unit| unit[1] == 0) {
                    unit[0] = unit[0].to_ascii_lowercase();
                }
            }
        }
        Form::Bytes => {
            while fold.zeros && out.last() == Some(&0) {
                out.pop();
            }
        }
        Form::Integer
        | Form::Fraction(_)
        | Form::Decimal { .. }
        | Form::Date
        | Form::Time { .. }
        | Form::DateTime { .. }
        | Form::Instant { .. }
        | Form::Guid
        | Form::TypedText => {}
    }
    out
}

fn shown(bytes: &[u8], form: Form) -> String {
    let hex = || {
        bytes.iter().fold("0x".to_owned(), |mut text, byte| {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02X}");
            text
        })
    };
    match form {
        Form::Integer => match <[u8; 8]>::try_from(bytes) {
            Ok(bytes) => i64::from_be_bytes(bytes).to_string(),
            Err(_) => hex(),
        },
        Form::Decimal { .. }
        | Form::Date
        | Form::Time { .. }
        | Form::DateTime { .. }
        | Form::Instant { .. } => String::from_utf8_lossy(bytes).into_owned(),
        Form::Guid => match <[u8; 16]>::try_from(bytes) {
            Ok(bytes) => uuid::Uuid::from_bytes_le(bytes).hyphenated().to_string(),
            Err(_) => hex(),
        },
        Form::Characters | Form::TypedText => {
            let units = bytes.chunks_exact(2);
            let units: Vec<u16> = units
                .map(|unit| u16::from_le_bytes([unit[0], unit[1]]))
                .collect();
            String::from_utf16_lossy(&units)
        }
        Form::Fraction(_) | Form::Bytes => hex(),
    }
}

fn characters(text: &str, out: &mut Vec<u8>) {
    out.extend(text.encode_utf16().flat_map(u16::to_le_bytes));
}

struct Cell<'a> {
    source: &'a Source,
    batch: &'a RecordBatch,
    row: usize,
}

impl Cell<'_> {
    fn array(&self, at: usize) -> Value<&dyn Array> {
        let array = self.batch.columns().get(at);
        let array = array.ok_or("its value is not in the batch")?.as_ref();
        match self.row < array.len() {
            true => Ok(array),
            false => Err("its value is not in the batch".to_owned()),
        }
    }

    /// A companion's number; 0 where the form has none.
    fn companion(&self, at: Option<usize>) -> Value<i64> {
        let Some(at) = at else { return Ok(0) };
        let array = self.array(at)?.as_primitive_opt::<Int32Type>();
        let array = array.filter(|array| array.is_valid(self.row));
        let array = array.ok_or("a companion of its value is missing in the lake")?;
        Ok(i64::from(array.value(self.row)))
    }

    /// Appends the bytes of the value; answers whether it is NULL.
    fn bytes(&self, out: &mut Vec<u8>) -> Value<bool> {
        let array = self.array(self.source.value)?;
        let row = self.row;
        if array.is_null(row) {
            return Ok(true);
        }
        let other = || format!("the batch holds {}", array.data_type());
        macro_rules! primitive {
            ($type:ty) => {
                array
                    .as_primitive_opt::<$type>()
                    .ok_or_else(other)?
                    .value(row)
            };
        }
        match self.source.form {
            Form::Integer => out.extend(integer(array, row).ok_or_else(other)?.to_be_bytes()),
            Form::Fraction(4) => out.extend(primitive!(Float32Type).to_be_bytes()),
            Form::Fraction(_) => out.extend(primitive!(Float64Type).to_be_bytes()),
            Form::Decimal { scale } => {
                out.extend(decimal_text(primitive!(Decimal128Type), scale).bytes());
            }
            Form::Date => out.extend(date_text(i64::from(primitive!(Date32Type)))?.bytes()),
            Form::Time { scale } => {
                let ticks = self.companion(self.source.ticks)?;
                out.extend(time_text(primitive!(Time64MicrosecondType), ticks, scale).bytes());
            }
            Form::DateTime { scale } => {
                let ticks = self.companion(self.source.ticks)?;
                let text = timestamp_text(primitive!(TimestampMicrosecondType), ticks, scale)?;
                out.extend(text.bytes());
            }
            Form::Instant { scale } => {
                let instant = primitive!(TimestampMicrosecondType);
                out.extend(self.instant_text(instant, scale)?.bytes());
            }
            Form::Guid => {
                let bytes = array
                    .as_fixed_size_binary_opt()
                    .ok_or_else(other)?
                    .value(row);
                let bytes = <[u8; 16]>::try_from(bytes).map_err(|_| other())?;
                out.extend(uuid::Uuid::from_bytes(bytes).to_bytes_le());
            }
            Form::Characters => {
                let texts = array.as_string_opt::<i32>().ok_or_else(other)?;
                characters(texts.value(row), out);
            }
            Form::TypedText => {
                let texts = array.as_string_opt::<i32>().ok_or_else(other)?;
                let at = self
                    .source
                    .base_type
                    .ok_or("its base type is not in the lake")?;
                let types = self.array(at)?.as_string_opt::<i32>().ok_or_else(other)?;
                characters(types.value(row), out);
                characters(":", out);
                characters(texts.value(row), out);
            }
            Form::Bytes => {
                let values = array.as_binary_opt::<i32>().ok_or_else(other)?;
                out.extend(values.value(row));
            }
        }
        Ok(false)
    }

    /// In the offset that it was written in; of a key in UTC.
    fn instant_text(&self, micros: i64, scale: u8) -> Value<String> {
        let offset = self.companion(self.source.offset)?;
        let ticks = self.companion(self.source.ticks)?;
        let mut text = timestamp_text(micros + offset * MICROS_A_MINUTE, ticks, scale)?;
        let (sign, minutes) = (if offset < 0 { '-' } else { '+' }, offset.abs());
        // Writing to a String cannot fail.
        let _ = write!(text, " {sign}{:02}:{:02}", minutes / 60, minutes % 60);
        Ok(text)
    }
}

/// The lake keeps the widest integer that the column ever was.
fn integer(array: &dyn Array, row: usize) -> Option<i64> {
    if let Some(bits) = array.as_boolean_opt() {
        return Some(i64::from(bits.value(row)));
    }
    match array.as_primitive_opt::<Int32Type>() {
        Some(narrow) => Some(i64::from(narrow.value(row))),
        None => Some(array.as_primitive_opt::<Int64Type>()?.value(row)),
    }
}

#[cfg(test)]
mod tests;
