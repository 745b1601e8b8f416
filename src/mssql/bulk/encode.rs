//! Values of Arrow arrays as the bytes of bulk-copy rows. The encoder of a column is chosen once, its arrays are
//! bound once per batch.
//!
//! Every encoder refuses what its type cannot hold exactly: the server would round, cut or fail without naming the row.

mod refusal;
mod sequence;

pub(super) use refusal::{Reason, Refusal};

use super::column::BulkColumn;
use super::page::Page;
use crate::mssql::error::MssqlError;
use crate::mssql::rows::{
    EPOCH_FROM_1900, EPOCH_FROM_YEAR_1, LAST_DAY, MICROS_A_DAY, THREE_HUNDREDTHS_A_DAY, TICKS_A_DAY,
};
use crate::schema::SqlType;
use crate::secret::RowValue;
use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal128Type, Float32Type, Float64Type, Int32Type, Int64Type,
    Time64MicrosecondType, TimestampMicrosecondType,
};
use arrow_array::{
    Array, BinaryArray, BooleanArray, Date32Array, Decimal128Array, FixedSizeBinaryArray,
    Float32Array, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray,
    Time64MicrosecondArray, TimestampMicrosecondArray,
};
use arrow_buffer::NullBuffer;
use sequence::{binary, chunked, fixed, nchar, nvarchar, paged, plain, utf16, varbinary, varchar};

/// Bytes of a decimal's magnitude on the wire.
pub(super) fn magnitude_bytes(precision: u8) -> u8 {
    match precision {
        0..=9 => 4,
        10..=19 => 8,
        20..=28 => 12,
        29..=u8::MAX => 16,
    }
}

/// Bytes of a time of day on the wire.
fn time_bytes(scale: u8) -> u8 {
    match scale {
        0..=2 => 3,
        3..=4 => 4,
        5..=u8::MAX => 5,
    }
}

const NULL_SHORT: [u8; 2] = [0xFF; 2];
const NULL_LONG: [u8; 8] = [0xFF; 8];
/// 1753-01-01 and 9999-12-31, counted from 1900-01-01.
const DATETIME_DAYS: std::ops::RangeInclusive<i64> = -53_690..=2_958_463;
const OFFSET_MAX: i32 = 14 * 60;
const MICROS_A_MINUTE: i64 = 60_000_000;

/// How a column's values are written.
#[derive(Clone, Copy)]
pub(super) enum Encoder {
    Bit,
    /// By width: 1 (unsigned), 2 or 4 bytes.
    Int(u8),
    BigInt,
    Real,
    Float,
    Decimal {
        precision: u8,
        scale: u8,
    },
    /// By width: 8 or 4 bytes.
    Money(u8),
    Date,
    Time(u8),
    DateTime,
    SmallDateTime,
    DateTime2(u8),
    DateTimeOffset(u8),
    /// UTF-16 units at most; none: `max`.
    NVarChar(Option<u16>),
    NChar(u16),
    /// Bytes at most; none: `max`.
    VarChar(Page, Option<u16>),
    Char(Page, u16),
    VarBinary(Option<u16>),
    Binary(u16),
    Guid,
}

/// The code page of a column of characters.
fn page(column: &BulkColumn) -> Result<Page, MssqlError> {
    let collation = column.collation.as_ref();
    collation
        .and_then(|collation| Page::of(collation.code_page))
        .ok_or_else(|| unsupported(column))
}

impl Encoder {
    pub(super) fn new(column: &BulkColumn) -> Result<Self, MssqlError> {
        Ok(match column.ty {
            SqlType::Bit => Encoder::Bit,
            SqlType::TinyInt => Encoder::Int(1),
            SqlType::SmallInt => Encoder::Int(2),
            SqlType::Int => Encoder::Int(4),
            SqlType::BigInt => Encoder::BigInt,
            SqlType::Decimal { precision, scale } | SqlType::Numeric { precision, scale } => {
                Encoder::Decimal { precision, scale }
            }
            SqlType::Money => Encoder::Money(8),
            SqlType::SmallMoney => Encoder::Money(4),
            SqlType::Real => Encoder::Real,
            SqlType::Float => Encoder::Float,
            SqlType::Date => Encoder::Date,
            SqlType::Time { scale } => Encoder::Time(scale),
            SqlType::DateTime => Encoder::DateTime,
            SqlType::SmallDateTime => Encoder::SmallDateTime,
            SqlType::DateTime2 { scale } => Encoder::DateTime2(scale),
            SqlType::DateTimeOffset { scale } => Encoder::DateTimeOffset(scale),
            SqlType::NVarChar { length } => Encoder::NVarChar(length),
            SqlType::NChar { length } => Encoder::NChar(length),
            SqlType::VarChar { length } => Encoder::VarChar(page(column)?, length),
            SqlType::Char { length } => Encoder::Char(page(column)?, length),
            SqlType::VarBinary { length } => Encoder::VarBinary(length),
            SqlType::Binary { length } => Encoder::Binary(length),
            SqlType::UniqueIdentifier => Encoder::Guid,
            SqlType::Text
            | SqlType::NText
            | SqlType::Image
            | SqlType::RowVersion
            | SqlType::Xml
            | SqlType::SqlVariant
            | SqlType::HierarchyId
            | SqlType::Geometry
            | SqlType::Geography
            | SqlType::Json
            | SqlType::Vector { .. } => return Err(unsupported(column)),
        })
    }

    /// Finds the column's arrays in a batch.
    pub(super) fn bind<'a>(
        self,
        column: &BulkColumn,
        batch: &'a RecordBatch,
    ) -> Result<Bound<'a>, MssqlError> {
        let array = |at: usize| {
            batch.columns().get(at).map(AsRef::as_ref).ok_or_else(|| {
                MssqlError::Shape(format!(
                    "column {} is to be filled from column {at} of a batch with {}",
                    column.name,
                    batch.num_columns()
                ))
            })
        };
        let companion = |at: Option<usize>| -> Result<Option<&'a Int32Array>, MssqlError> {
            at.map(|at| {
                let found = array(at)?;
                found
                    .as_primitive_opt::<Int32Type>()
                    .ok_or_else(|| wrong(column, found))
            })
            .transpose()
        };
        let value = array(column.value)?;
        let values = self.values(column, value)?;
        Ok(Bound {
            values,
            nulls: value.nulls(),
            ticks: companion(column.ticks)?,
            offset: companion(column.offset)?,
            nullable: column.nullable,
        })
    }

    fn values<'a>(
        self,
        column: &BulkColumn,
        array: &'a dyn Array,
    ) -> Result<Values<'a>, MssqlError> {
        let decimal = |scale: u8| {
            array
                .as_primitive_opt::<Decimal128Type>()
                .filter(|decimals| i32::from(decimals.scale()) == i32::from(scale))
        };
        let bound = match self {
            Encoder::Bit => array.as_boolean_opt().map(Values::Bit),
            Encoder::Int(width) => array
                .as_primitive_opt::<Int32Type>()
                .map(|values| Values::Int(values, width)),
            Encoder::BigInt => array.as_primitive_opt::<Int64Type>().map(Values::BigInt),
            Encoder::Real => array.as_primitive_opt::<Float32Type>().map(Values::Real),
            Encoder::Float => array.as_primitive_opt::<Float64Type>().map(Values::Float),
            Encoder::Decimal { precision, scale } => decimal(scale).map(|values| Values::Decimal {
                values,
                bytes: magnitude_bytes(precision),
                limit: 10u128.pow(u32::from(precision.min(38))),
            }),
            Encoder::Money(width) => decimal(4).map(|values| Values::Money(values, width)),
            Encoder::Date => array.as_primitive_opt::<Date32Type>().map(Values::Date),
            Encoder::Time(scale) => array
                .as_primitive_opt::<Time64MicrosecondType>()
                .map(|values| Values::Time(values, scale)),
            Encoder::DateTime => array
                .as_primitive_opt::<TimestampMicrosecondType>()
                .map(Values::DateTime),
            Encoder::SmallDateTime => array
                .as_primitive_opt::<TimestampMicrosecondType>()
                .map(Values::SmallDateTime),
            Encoder::DateTime2(scale) => array
                .as_primitive_opt::<TimestampMicrosecondType>()
                .map(|values| Values::DateTime2(values, scale)),
            Encoder::DateTimeOffset(scale) => array
                .as_primitive_opt::<TimestampMicrosecondType>()
                .map(|values| Values::DateTimeOffset(values, scale)),
            Encoder::NVarChar(length) => array
                .as_string_opt::<i32>()
                .map(|values| Values::NVarChar(values, length)),
            Encoder::NChar(length) => array
                .as_string_opt::<i32>()
                .map(|values| Values::NChar(values, length)),
            Encoder::VarChar(page, length) => array
                .as_string_opt::<i32>()
                .map(|values| Values::VarChar(values, page, length)),
            Encoder::Char(page, length) => array
                .as_string_opt::<i32>()
                .map(|values| Values::Char(values, page, length)),
            Encoder::VarBinary(length) => array
                .as_binary_opt::<i32>()
                .map(|values| Values::VarBinary(values, length)),
            Encoder::Binary(length) => array
                .as_binary_opt::<i32>()
                .map(|values| Values::Binary(values, length)),
            Encoder::Guid => array
                .as_fixed_size_binary_opt()
                .filter(|values| values.value_length() == 16)
                .map(Values::Guid),
        };
        bound.ok_or_else(|| wrong(column, array))
    }
}

/// Types that are loaded through another one.
pub(super) fn unsupported(column: &BulkColumn) -> MssqlError {
    MssqlError::Unsupported {
        feature: format!("bulk copy into column {} ({})", column.name, column.ty),
        remedy: format!("stage it as {}", column.ty.facts().staged),
    }
}

fn wrong(column: &BulkColumn, array: &dyn Array) -> MssqlError {
    MssqlError::Shape(format!(
        "column {} ({}) cannot be filled from values of type {}",
        column.name,
        column.ty,
        array.data_type()
    ))
}

enum Values<'a> {
    Bit(&'a BooleanArray),
    Int(&'a Int32Array, u8),
    BigInt(&'a Int64Array),
    Real(&'a Float32Array),
    Float(&'a Float64Array),
    Decimal {
        values: &'a Decimal128Array,
        bytes: u8,
        limit: u128,
    },
    Money(&'a Decimal128Array, u8),
    Date(&'a Date32Array),
    Time(&'a Time64MicrosecondArray, u8),
    DateTime(&'a TimestampMicrosecondArray),
    SmallDateTime(&'a TimestampMicrosecondArray),
    DateTime2(&'a TimestampMicrosecondArray, u8),
    DateTimeOffset(&'a TimestampMicrosecondArray, u8),
    NVarChar(&'a StringArray, Option<u16>),
    NChar(&'a StringArray, u16),
    VarChar(&'a StringArray, Page, Option<u16>),
    Char(&'a StringArray, Page, u16),
    VarBinary(&'a BinaryArray, Option<u16>),
    Binary(&'a BinaryArray, u16),
    Guid(&'a FixedSizeBinaryArray),
}

/// A column's arrays of one batch.
pub(super) struct Bound<'a> {
    values: Values<'a>,
    nulls: Option<&'a NullBuffer>,
    ticks: Option<&'a Int32Array>,
    offset: Option<&'a Int32Array>,
    nullable: bool,
}

impl Bound<'_> {
    /// Appends one value with its length; the error says what is wrong with it.
    pub(super) fn encode(&self, row: usize, out: &mut Vec<u8>) -> Result<(), Refusal> {
        if self.nulls.is_some_and(|nulls| nulls.is_null(row)) {
            return self.null(out);
        }
        match &self.values {
            Values::Bit(values) => sized([u8::from(values.value(row))], out),
            Values::Int(values, width) => int(values.value(row), *width, out)?,
            Values::BigInt(values) => sized(values.value(row).to_le_bytes(), out),
            Values::Real(values) => {
                finite(f64::from(values.value(row)))?;
                sized(values.value(row).to_le_bytes(), out);
            }
            Values::Float(values) => {
                finite(values.value(row))?;
                sized(values.value(row).to_le_bytes(), out);
            }
            Values::Decimal {
                values,
                bytes,
                limit,
            } => decimal(values.value(row), *bytes, *limit, out)?,
            Values::Money(values, width) => money(values.value(row), *width, out)?,
            Values::Date(values) => sized(day(i64::from(values.value(row)))?, out),
            Values::Time(values, scale) => {
                let ticks = self.time_of_day(values.value(row), row)?;
                out.push(time_bytes(*scale));
                time(ticks, *scale, out)?;
            }
            Values::DateTime(values) => datetime(values.value(row), out)?,
            Values::SmallDateTime(values) => smalldatetime(values.value(row), out)?,
            Values::DateTime2(values, scale) => {
                out.push(time_bytes(*scale) + 3);
                self.instant(values.value(row), *scale, row, out)?;
            }
            Values::DateTimeOffset(values, scale) => {
                self.datetimeoffset(values.value(row), *scale, row, out)?;
            }
            Values::NVarChar(values, Some(length)) => {
                nvarchar(values.value(row), *length, out)?;
            }
            Values::NVarChar(values, None) => {
                chunked(out, |out| utf16(values.value(row), out))?;
            }
            Values::NChar(values, length) => nchar(values.value(row), *length, out)?,
            Values::VarChar(values, page, Some(length)) => {
                varchar(values.value(row), *page, *length, out)?;
            }
            Values::VarChar(values, page, None) => {
                chunked(out, |out| paged(values.value(row), *page, out))?;
            }
            Values::Char(values, page, length) => {
                fixed(values.value(row), *page, *length, out)?;
            }
            Values::VarBinary(values, Some(length)) => {
                varbinary(values.value(row), *length, out)?;
            }
            Values::VarBinary(values, None) => {
                chunked(out, |out| plain(values.value(row), out))?;
            }
            Values::Binary(values, length) => binary(values.value(row), *length, out)?,
            Values::Guid(values) => guid(values.value(row), out)?,
        }
        Ok(())
    }

    fn null(&self, out: &mut Vec<u8>) -> Result<(), Refusal> {
        if !self.nullable {
            return Err("the value is NULL and the column takes none".into());
        }
        match &self.values {
            Values::NVarChar(_, Some(_))
            | Values::NChar(..)
            | Values::VarChar(_, _, Some(_))
            | Values::Char(..)
            | Values::VarBinary(_, Some(_))
            | Values::Binary(..) => {
                out.extend_from_slice(&NULL_SHORT);
            }
            Values::NVarChar(_, None)
            | Values::VarChar(_, _, None)
            | Values::VarBinary(_, None) => {
                out.extend_from_slice(&NULL_LONG);
            }
            Values::Bit(_)
            | Values::Int(..)
            | Values::BigInt(_)
            | Values::Real(_)
            | Values::Float(_)
            | Values::Decimal { .. }
            | Values::Money(..)
            | Values::Date(_)
            | Values::Time(..)
            | Values::DateTime(_)
            | Values::SmallDateTime(_)
            | Values::DateTime2(..)
            | Values::DateTimeOffset(..)
            | Values::Guid(_) => out.push(0),
        }
        Ok(())
    }

    /// Microseconds and the companion's digit as units of 100 ns within a day.
    #[inline]
    fn time_of_day(&self, micros: i64, row: usize) -> Result<u64, Refusal> {
        let tick = companion(self.ticks, row);
        let ticks = micros
            .checked_mul(10)
            .and_then(|ticks| u64::try_from(ticks).ok())
            .filter(|&ticks| ticks < TICKS_A_DAY)
            .ok_or("the time of day is not within a day")?;
        match u64::try_from(tick) {
            Ok(tick @ 0..=9) => Ok(ticks + tick),
            _ => Err(format!("its __100ns companion is {}, not a digit", RowValue(tick)).into()),
        }
    }

    #[inline]
    fn instant(
        &self,
        micros: i64,
        scale: u8,
        row: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), Refusal> {
        let date = day(micros.div_euclid(MICROS_A_DAY))?;
        let ticks = self.time_of_day(micros.rem_euclid(MICROS_A_DAY), row)?;
        time(ticks, scale, out)?;
        out.extend_from_slice(&date);
        Ok(())
    }

    #[inline]
    fn datetimeoffset(
        &self,
        micros: i64,
        scale: u8,
        row: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), Refusal> {
        let offset = companion(self.offset, row);
        if offset.abs() > OFFSET_MAX {
            let offset = RowValue(offset);
            return Err(format!("its offset of {offset} minutes is beyond 14 hours").into());
        }
        out.push(time_bytes(scale) + 5);
        self.instant(micros, scale, row, out)?;
        // Within 14 hours.
        out.extend_from_slice(&(offset as i16).to_le_bytes());
        Ok(())
    }
}

/// A value whose length is written in one byte before it.
#[inline]
fn sized<const N: usize>(bytes: [u8; N], out: &mut Vec<u8>) {
    out.push(N as u8);
    out.extend_from_slice(&bytes);
}

/// A companion's value; without one, or where it is null, the value has nothing to add.
fn companion(array: Option<&Int32Array>, row: usize) -> i32 {
    array
        .filter(|array| array.is_valid(row))
        .map_or(0, |array| array.value(row))
}

fn int(value: i32, width: u8, out: &mut Vec<u8>) -> Result<(), Refusal> {
    let outside = || {
        Refusal::from(format!(
            "the value {} is outside the column's range",
            RowValue(value)
        ))
    };
    match width {
        1 => {
            let value = u8::try_from(value).map_err(|_| outside())?;
            out.extend_from_slice(&[1, value]);
        }
        2 => {
            let value = i16::try_from(value).map_err(|_| outside())?;
            out.push(2);
            out.extend_from_slice(&value.to_le_bytes());
        }
        _ => {
            out.push(4);
            out.extend_from_slice(&value.to_le_bytes());
        }
    }
    Ok(())
}

fn finite(value: f64) -> Result<(), Refusal> {
    if value.is_finite() {
        Ok(())
    } else {
        Err(format!("{value} is not a number that SQL Server has").into())
    }
}

/// Its sign, then the low bytes of its magnitude, which is to be below `limit`.
#[inline]
fn decimal(unscaled: i128, bytes: u8, limit: u128, out: &mut Vec<u8>) -> Result<(), Refusal> {
    let magnitude = unscaled.unsigned_abs();
    if magnitude >= limit {
        return Err("the value has more digits than the column".into());
    }
    out.extend_from_slice(&[bytes + 1, u8::from(unscaled >= 0)]);
    low_bytes(magnitude.to_le_bytes(), bytes, out);
    Ok(())
}

fn money(ten_thousandths: i128, width: u8, out: &mut Vec<u8>) -> Result<(), Refusal> {
    let outside = || Refusal::from("the amount is outside the column's range");
    if width == 4 {
        let value = i32::try_from(ten_thousandths).map_err(|_| outside())?;
        out.push(4);
        out.extend_from_slice(&value.to_le_bytes());
    } else {
        let value = i64::try_from(ten_thousandths).map_err(|_| outside())?;
        out.push(8);
        // The high half stands first.
        out.extend_from_slice(&((value >> 32) as i32).to_le_bytes());
        out.extend_from_slice(&(value as i32).to_le_bytes());
    }
    Ok(())
}

/// Days since 1970-01-01 as three bytes of days since 0001-01-01.
fn day(days: i64) -> Result<[u8; 3], Refusal> {
    let days = days + EPOCH_FROM_YEAR_1;
    if !(0..=LAST_DAY).contains(&days) {
        return Err("the date is outside the years 1 to 9999".into());
    }
    let bytes = days.to_le_bytes();
    Ok([bytes[0], bytes[1], bytes[2]])
}

/// A time of day in the unit of its scale.
fn time(ticks: u64, scale: u8, out: &mut Vec<u8>) -> Result<(), Refusal> {
    let time = match scale {
        7.. => ticks,
        scale => {
            let unit = 10u64.pow(u32::from(7 - scale));
            let time = ticks / unit;
            if time * unit != ticks {
                return Err("the second has more digits than the column".into());
            }
            time
        }
    };
    low_bytes(time.to_le_bytes(), time_bytes(scale), out);
    Ok(())
}

/// Appends the first bytes of a number. All of them are copied and the rest is taken back: a copy of a known size
/// is a move or two.
#[inline]
fn low_bytes<const N: usize>(number: [u8; N], count: u8, out: &mut Vec<u8>) {
    let end = out.len() + usize::from(count);
    out.extend_from_slice(&number);
    out.truncate(end);
}

/// The 1/300 s that SQL Server displays as the given millisecond.
fn datetime(micros: i64, out: &mut Vec<u8>) -> Result<(), Refusal> {
    let days = micros.div_euclid(MICROS_A_DAY) + EPOCH_FROM_1900;
    let micros = micros.rem_euclid(MICROS_A_DAY);
    let millis = micros / 1000;
    let three_hundredths = (millis * 3 + 5) / 10;
    let shown = (three_hundredths * 10 + 1) / 3;
    let exact = micros % 1000 == 0
        && shown == millis
        && three_hundredths < i64::from(THREE_HUNDREDTHS_A_DAY);
    if !exact {
        return Err("the time is not one that datetime has (.000, .003, .007)".into());
    }
    if !DATETIME_DAYS.contains(&days) {
        return Err("the date is outside the years 1753 to 9999".into());
    }
    out.push(8);
    out.extend_from_slice(&(days as i32).to_le_bytes());
    out.extend_from_slice(&(three_hundredths as u32).to_le_bytes());
    Ok(())
}

fn smalldatetime(micros: i64, out: &mut Vec<u8>) -> Result<(), Refusal> {
    let days = micros.div_euclid(MICROS_A_DAY) + EPOCH_FROM_1900;
    let micros = micros.rem_euclid(MICROS_A_DAY);
    let days = u16::try_from(days).map_err(|_| "the date is outside 1900-01-01 to 2079-06-06")?;
    if micros % MICROS_A_MINUTE != 0 {
        return Err("the time has seconds, which smalldatetime has not".into());
    }
    out.push(4);
    out.extend_from_slice(&days.to_le_bytes());
    // Below 1440.
    out.extend_from_slice(&((micros / MICROS_A_MINUTE) as u16).to_le_bytes());
    Ok(())
}

fn guid(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Refusal> {
    let bytes = <[u8; 16]>::try_from(bytes).map_err(|_| "it is not 16 bytes long")?;
    sized(uuid::Uuid::from_bytes(bytes).to_bytes_le(), out);
    Ok(())
}

#[cfg(test)]
mod tests;
