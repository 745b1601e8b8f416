//! Rows of one table into Arrow record batches.
//!
//! The driver hands each value over by a typed call with the column's position; the column's builder was chosen
//! when the decoder was made and checked against the result's metadata before the first row. Those calls cannot
//! fail, so a value that cannot be kept is recorded and raised when its row is complete.

use super::BatchLimits;
use super::columns::{
    EPOCH_FROM_1900, EPOCH_FROM_YEAR_1, Encoding, LAST_DAY, MICROS_A_DAY, Sink,
    THREE_HUNDREDTHS_A_DAY, TICKS_A_DAY,
};
use super::transcode::{append_1252, append_utf8, append_utf16};
use super::vector::append_json;
use super::wire::Wire;
use crate::mssql::error::{ConversionError, MssqlError};
use crate::mssql::sql::variant::SEPARATOR;
use crate::schema::mapping::{SelectExpression, arrow_schema, select_expression};
use crate::schema::{Column, Fidelity, LakeSchema, Role, SqlType, TableSchema};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_cast::CastOptions;
use arrow_schema::{DataType, SchemaRef};
use mssql_tds::datatypes::column_values::{
    SqlDate, SqlDateTime, SqlDateTime2, SqlDateTimeOffset, SqlMoney, SqlSmallDateTime,
    SqlSmallMoney, SqlTime, SqlXml,
};
use mssql_tds::datatypes::decoder::DecimalParts;
use mssql_tds::datatypes::row_writer::RowWriter;
use mssql_tds::datatypes::sql_json::SqlJson;
use mssql_tds::datatypes::sql_string::EncodingType;
use mssql_tds::datatypes::sql_vector::SqlVector;
use mssql_tds::query::metadata::ColumnMetadata;
use std::borrow::Cow;
use uuid::Uuid;

/// Bytes of one batch at most, whatever the limits say: Arrow's offsets are 32 bits wide, and one more value must
/// still fit.
const BATCH_BYTES_MAX: usize = 1 << 30;
const DECIMAL_MAX: u128 = 99_999_999_999_999_999_999_999_999_999_999_999_999;

/// Decodes rows of one table. Its batches hold the lake fields that come from source columns (values and
/// companions) in the lake's order, without the history columns.
pub struct Decoder {
    table: String,
    columns: Vec<Column>,
    sinks: Vec<Sink>,
    /// What each column must be on the wire.
    promised: Vec<Wire>,
    required: Vec<bool>,
    schema: SchemaRef,
    fidelity: Fidelity,
    truncations: u64,
    rows: usize,
    bytes: usize,
    row_width: usize,
    fault: Option<Box<ConversionError>>,
}

/// The lake keeps the widest type that a column ever was: values of a narrower one are widened, exactly or not at all.
fn widened(array: &ArrayRef, ty: &DataType) -> Result<ArrayRef, MssqlError> {
    let exact = CastOptions {
        safe: false,
        ..CastOptions::default()
    };
    arrow_cast::cast_with_options(array, ty, &exact).map_err(arrow_error)
}

/// What to do about a vector that does not arrive in binary.
const VECTOR_REMEDY: &str = "leave it out with `columns: { exclude: [...] }`; or, for a half-precision vector, extract \
    a view that converts it to nvarchar(max) and that to a vector of 32-bit floats, which changes no value";

impl Decoder {
    /// Chooses a builder per column. Every column of the table must have its fields in the lake's schema.
    pub fn new(
        table: &TableSchema,
        shape: &LakeSchema,
        fidelity: Fidelity,
    ) -> Result<Self, MssqlError> {
        let mut sinks = Vec::with_capacity(table.columns.len());
        let mut required = Vec::with_capacity(table.columns.len());
        let mut fields = Vec::new();
        for (source, column) in table.columns.iter().enumerate() {
            let of_column = || {
                shape
                    .fields
                    .iter()
                    .filter(move |field| field.source == Some(source))
            };
            let has = |role| of_column().any(|field| field.role == role);
            let value = of_column()
                .find(|field| field.role == Role::Value)
                .ok_or_else(|| {
                    MssqlError::Shape(format!(
                        "column {} of {} has no field in the lake's schema",
                        column.name, table.name
                    ))
                })?;
            let encoding = encoding(column);
            let sink = Sink::new(column.ty, encoding, has(Role::Ticks), has(Role::Offset));
            required.push(value.required);
            fields.extend(of_column().cloned());
            sinks.push(sink);
        }
        let promised = table
            .columns
            .iter()
            .map(|column| Wire::of(column, encoding(column)))
            .collect();
        let produced = LakeSchema {
            fields,
            key: Vec::new(),
        };
        Ok(Self {
            table: table.name.to_string(),
            columns: table.columns.clone(),
            promised,
            required,
            schema: arrow_schema(&produced),
            fidelity,
            truncations: 0,
            rows: 0,
            bytes: 0,
            row_width: sinks.iter().map(Sink::width).sum(),
            fault: None,
            sinks,
        })
    }

    /// Schema of the batches.
    pub fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    /// Values shortened so far under [`Fidelity::Standard`]: seventh digits, offsets, and units of text that stand
    /// for no character.
    pub fn truncations(&self) -> u64 {
        self.truncations
    }

    /// Checks a result's columns against the promise of the table's schema.
    pub(super) fn check(&self, metadata: &[ColumnMetadata]) -> Result<(), MssqlError> {
        if metadata.len() != self.columns.len() {
            return Err(MssqlError::Shape(format!(
                "{} was read with {} columns, {} arrived",
                self.table,
                self.columns.len(),
                metadata.len()
            )));
        }
        for ((column, promised), found) in self.columns.iter().zip(&self.promised).zip(metadata) {
            promised
                .check(found)
                .map_err(|found| self.not_as_promised(column, &found))?;
        }
        Ok(())
    }

    fn not_as_promised(&self, column: &Column, found: &str) -> MssqlError {
        if matches!(column.ty, SqlType::Vector { .. }) {
            return MssqlError::Conversion(ConversionError {
                table: self.table.clone(),
                column: column.name.clone(),
                ty: column.ty.to_string(),
                problem: format!("it arrives as {found} instead of 32-bit floats in binary"),
                remedy: VECTOR_REMEDY.into(),
            });
        }
        MssqlError::Shape(format!(
            "column {} of {} was promised as {} and arrives as {found}: its definition changed while it was being \
                read; run again",
            column.name, self.table, column.ty
        ))
    }

    /// Rows waiting to be handed over.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Bytes waiting to be handed over.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    #[inline]
    pub(super) fn is_full(&self, limits: BatchLimits) -> bool {
        self.rows >= limits.rows.max(1) || self.bytes >= limits.bytes.min(BATCH_BYTES_MAX)
    }

    /// The first value of the last row that could not be kept.
    #[inline]
    pub(in crate::mssql) fn take_fault(&mut self) -> Option<MssqlError> {
        self.fault.as_ref()?; // not written to for every row
        self.fault
            .take()
            .map(|fault| MssqlError::Conversion(*fault))
    }

    /// Drops what an interrupted read left behind.
    pub(super) fn reset(&mut self) -> Result<(), MssqlError> {
        if self.rows > 0 || self.bytes > 0 || self.fault.is_some() {
            let mut discarded = Vec::new();
            for sink in &mut self.sinks {
                sink.finish(&mut discarded).map_err(arrow_error)?;
            }
        }
        self.rows = 0;
        self.bytes = 0;
        self.fault = None;
        Ok(())
    }

    /// Hands the rows over as a batch.
    pub(in crate::mssql) fn finish(&mut self) -> Result<RecordBatch, MssqlError> {
        let mut arrays = Vec::with_capacity(self.schema.fields().len());
        for sink in &mut self.sinks {
            sink.finish(&mut arrays).map_err(arrow_error)?;
        }
        self.rows = 0;
        self.bytes = 0;
        for (array, field) in arrays.iter_mut().zip(self.schema.fields()) {
            if array.data_type() != field.data_type() {
                *array = widened(array, field.data_type())?;
            }
        }
        RecordBatch::try_new(self.schema.clone(), arrays).map_err(arrow_error)
    }

    #[cold]
    fn fail(&mut self, col: usize, problem: &str, remedy: &str) {
        if self.fault.is_some() {
            return;
        }
        let column = self.columns.get(col);
        self.fault = Some(Box::new(ConversionError {
            table: self.table.clone(),
            column: column.map_or_else(|| col.to_string(), |column| column.name.clone()),
            ty: column.map_or_else(String::new, |column| column.ty.to_string()),
            problem: problem.into(),
            remedy: remedy.into(),
        }));
    }

    #[cold]
    fn unexpected(&mut self, col: usize, found: &str) {
        self.fail(
            col,
            &format!("a value of type {found} arrived"),
            "please report this",
        );
    }

    /// Text arrived that is not text in its encoding.
    #[cold]
    fn malformed(&mut self, col: usize, pieces: usize) {
        if self.fidelity == Fidelity::Standard && self.required.get(col).copied().unwrap_or(false) {
            // Two keys could become one.
            return self.fail(
                col,
                "the key holds a code unit that stands for no character (half of a surrogate pair, or malformed UTF-8)",
                "correct the row at the source",
            );
        }
        match self.fidelity {
            Fidelity::Exact => self.fail(
                col,
                "the text holds a code unit that stands for no character (half of a surrogate pair, or malformed \
                    UTF-8)",
                "correct the row at the source, or use fidelity: standard, which writes U+FFFD in its place and counts \
                    it",
            ),
            Fidelity::Standard => {
                self.truncations += u64::try_from(pieces).unwrap_or(u64::MAX);
            }
        }
    }

    /// Base type, separator and value of a `sql_variant`.
    fn variant(&mut self, col: usize, bytes: &[u8]) {
        let Some(Sink::Variant { values, types }) = self.sinks.get_mut(col) else {
            return self.unexpected(col, "text");
        };
        let before = values.bytes.len();
        let malformed = append_utf16(bytes, &mut values.bytes);
        let value = &values.bytes[before..];
        let Some(length) = value.iter().position(|&byte| byte == SEPARATOR) else {
            return self.fail(
                col,
                "a sql_variant arrived without its base type",
                "please report this",
            );
        };
        self.bytes += value.len();
        types.bytes.extend_from_slice(&value[..length]);
        types.end();
        values.bytes.drain(before..=before + length);
        values.end();
        if malformed > 0 {
            self.malformed(col, malformed);
        }
    }

    fn decimal(&mut self, col: usize, parts: DecimalParts) {
        let Some(Sink::Decimal { values, scale, .. }) = self.sinks.get_mut(col) else {
            return self.unexpected(col, "decimal");
        };
        let magnitude = parts.magnitude();
        if parts.scale != *scale || magnitude > DECIMAL_MAX {
            return self.fail(
                col,
                "a decimal arrived that has more than 38 digits or another scale",
                "please report this",
            );
        }
        // Below 10^38, which is below 2^127.
        let magnitude = magnitude as i128;
        values.push(if parts.is_positive {
            magnitude
        } else {
            -magnitude
        });
    }

    fn unscaled(&mut self, col: usize, ten_thousandths: i64) {
        match self.sinks.get_mut(col) {
            Some(Sink::Decimal {
                values, scale: 4, ..
            }) => values.push(i128::from(ten_thousandths)),
            _ => self.unexpected(col, "money"),
        }
    }

    fn timestamp(&mut self, col: usize, day: i64, micros: i64, tick: u8) {
        if !(-EPOCH_FROM_YEAR_1..=LAST_DAY - EPOCH_FROM_YEAR_1).contains(&day) {
            return self.fail(
                col,
                "a date outside the years 1 to 9999 arrived",
                "please report this",
            );
        }
        let Some(Sink::Timestamp { values, ticks }) = self.sinks.get_mut(col) else {
            return self.unexpected(col, "a date and time");
        };
        values.push(day * MICROS_A_DAY + micros);
        match ticks {
            Some(ticks) => ticks.push(i32::from(tick)),
            None if tick != 0 => self.truncations += 1,
            None => {}
        }
    }
}

fn arrow_error(error: arrow_schema::ArrowError) -> MssqlError {
    let error = crate::secret::arrow_error(error);
    MssqlError::Shape(format!("rows do not make an Arrow batch: {error}"))
}

/// The wire encoding of a character column, after the conversion that its select expression makes.
fn encoding(column: &Column) -> Encoding {
    match (select_expression(column), &column.collation) {
        (SelectExpression::AsIs, Some(collation)) => match collation.code_page {
            65001 => Encoding::Utf8,
            1252 => Encoding::Windows1252,
            _ => Encoding::Utf16,
        },
        (SelectExpression::AsIs, None)
        | (
            SelectExpression::ConvertNVarChar(_)
            | SelectExpression::ConvertNVarCharMax
            | SelectExpression::ConvertVarBinaryMax
            | SelectExpression::TypedText,
            _,
        ) => Encoding::Utf16,
    }
}

/// Splits a time of day in units of 100 ns into microseconds and the seventh digit.
fn split_ticks(time: &SqlTime) -> Option<(i64, u8)> {
    let ticks = time.time_nanoseconds;
    // The driver's field holds units of 100 ns, whatever its name says.
    let micros = i64::try_from(ticks / 10).ok()?;
    (ticks < TICKS_A_DAY).then_some((micros, (ticks % 10) as u8))
}

const BAD_TIME: &str = "a time of day of 24 hours or more arrived";

macro_rules! fixed {
    ($self:ident, $col:ident, $value:expr, $found:literal, $($sink:ident)|+) => {
        match $self.sinks.get_mut($col) {
            $(Some(Sink::$sink(values)) => values.push($value.into()),)+
            _ => $self.unexpected($col, $found),
        }
    };
}

impl RowWriter for Decoder {
    fn write_null(&mut self, col: usize) {
        if self.required.get(col).copied().unwrap_or(false) {
            self.fail(
                col,
                "the key is NULL",
                "name key columns that are never NULL in key:, or use kind: history",
            );
        }
        match self.sinks.get_mut(col) {
            Some(sink) => sink.null(),
            None => self.unexpected(col, "NULL"),
        }
    }

    fn write_bool(&mut self, col: usize, val: bool) {
        match self.sinks.get_mut(col) {
            Some(Sink::Bool { values, nulls }) => {
                values.append(val);
                nulls.append_non_null();
            }
            _ => self.unexpected(col, "bit"),
        }
    }

    fn write_u8(&mut self, col: usize, val: u8) {
        fixed!(self, col, val, "tinyint", Int);
    }

    fn write_i16(&mut self, col: usize, val: i16) {
        fixed!(self, col, val, "smallint", Int);
    }

    fn write_i32(&mut self, col: usize, val: i32) {
        fixed!(self, col, val, "int", Int);
    }

    fn write_i64(&mut self, col: usize, val: i64) {
        fixed!(self, col, val, "bigint", Long);
    }

    fn write_f32(&mut self, col: usize, val: f32) {
        fixed!(self, col, val, "real", Float);
    }

    fn write_f64(&mut self, col: usize, val: f64) {
        fixed!(self, col, val, "float", Double);
    }

    fn write_string(&mut self, col: usize, bytes: Cow<'_, [u8]>, _encoding: EncodingType) {
        let Some(Sink::Text { values, encoding }) = self.sinks.get_mut(col) else {
            return self.variant(col, &bytes);
        };
        let before = values.bytes.len();
        let malformed = match encoding {
            Encoding::Utf16 => append_utf16(&bytes, &mut values.bytes),
            Encoding::Windows1252 => {
                append_1252(&bytes, &mut values.bytes);
                0
            }
            Encoding::Utf8 => append_utf8(&bytes, &mut values.bytes),
        };
        self.bytes += values.bytes.len() - before;
        values.end();
        if malformed > 0 {
            self.malformed(col, malformed);
        }
    }

    fn write_bytes(&mut self, col: usize, bytes: Cow<'_, [u8]>) {
        match self.sinks.get_mut(col) {
            Some(Sink::Bytes(values)) => {
                values.bytes.extend_from_slice(&bytes);
                values.end();
                self.bytes += bytes.len();
            }
            _ => self.unexpected(col, "binary"),
        }
    }

    fn write_decimal(&mut self, col: usize, val: DecimalParts) {
        self.decimal(col, val);
    }

    fn write_numeric(&mut self, col: usize, val: DecimalParts) {
        self.decimal(col, val);
    }

    fn write_date(&mut self, col: usize, val: SqlDate) {
        let day = i64::from(val.get_days()) - EPOCH_FROM_YEAR_1;
        match (self.sinks.get_mut(col), i32::try_from(day)) {
            (Some(Sink::Date(values)), Ok(day)) if i64::from(val.get_days()) <= LAST_DAY => {
                values.push(day);
            }
            (Some(Sink::Date(_)), _) => {
                self.fail(
                    col,
                    "a date after the year 9999 arrived",
                    "please report this",
                );
            }
            _ => self.unexpected(col, "date"),
        }
    }

    fn write_time(&mut self, col: usize, val: SqlTime) {
        let Some((micros, tick)) = split_ticks(&val) else {
            return self.fail(col, BAD_TIME, "please report this");
        };
        let Some(Sink::Time { values, ticks }) = self.sinks.get_mut(col) else {
            return self.unexpected(col, "time");
        };
        values.push(micros);
        match ticks {
            Some(ticks) => ticks.push(i32::from(tick)),
            None if tick != 0 => self.truncations += 1,
            None => {}
        }
    }

    fn write_datetime(&mut self, col: usize, val: SqlDateTime) {
        if val.time >= THREE_HUNDREDTHS_A_DAY {
            return self.fail(col, BAD_TIME, "please report this");
        }
        // Displayed as SQL Server displays it: .000, .003, .007.
        let millis = (i64::from(val.time) * 10 + 1) / 3;
        self.timestamp(col, i64::from(val.days) - EPOCH_FROM_1900, millis * 1000, 0);
    }

    fn write_smalldatetime(&mut self, col: usize, val: SqlSmallDateTime) {
        if val.time >= 1440 {
            return self.fail(col, BAD_TIME, "please report this");
        }
        let micros = i64::from(val.time) * 60_000_000;
        self.timestamp(col, i64::from(val.days) - EPOCH_FROM_1900, micros, 0);
    }

    fn write_datetime2(&mut self, col: usize, val: SqlDateTime2) {
        match split_ticks(&val.time) {
            Some((micros, tick)) => {
                self.timestamp(col, i64::from(val.days) - EPOCH_FROM_YEAR_1, micros, tick);
            }
            None => self.fail(col, BAD_TIME, "please report this"),
        }
    }

    fn write_datetimeoffset(&mut self, col: usize, val: SqlDateTimeOffset) {
        // On the wire the date and time are UTC; the offset stands beside them.
        let days = i64::from(val.datetime2.days);
        let Some((micros, tick)) = split_ticks(&val.datetime2.time).filter(|_| days <= LAST_DAY)
        else {
            return self.fail(col, BAD_TIME, "please report this");
        };
        let Some(Sink::TimestampTz {
            values,
            ticks,
            offset,
        }) = self.sinks.get_mut(col)
        else {
            return self.unexpected(col, "datetimeoffset");
        };
        values.push((days - EPOCH_FROM_YEAR_1) * MICROS_A_DAY + micros);
        let mut lost = false;
        match ticks {
            Some(ticks) => ticks.push(i32::from(tick)),
            None => lost |= tick != 0,
        }
        match offset {
            Some(offset) => offset.push(i32::from(val.offset)),
            None => lost |= val.offset != 0,
        }
        self.truncations += u64::from(lost);
    }

    fn write_money(&mut self, col: usize, val: SqlMoney) {
        let low = u64::from(val.lsb_part as u32);
        let high = i64::from(val.msb_part) << 32;
        self.unscaled(col, high | low as i64);
    }

    fn write_smallmoney(&mut self, col: usize, val: SqlSmallMoney) {
        self.unscaled(col, i64::from(val.int_val));
    }

    fn write_uuid(&mut self, col: usize, val: Uuid) {
        match self.sinks.get_mut(col) {
            Some(Sink::Uuid { bytes, nulls }) => {
                bytes.extend_from_slice(val.as_bytes());
                nulls.append_non_null();
            }
            _ => self.unexpected(col, "uniqueidentifier"),
        }
    }

    fn write_xml(&mut self, col: usize, _val: SqlXml) {
        self.unexpected(col, "xml");
    }

    fn write_json(&mut self, col: usize, _val: SqlJson) {
        self.unexpected(col, "json");
    }

    fn write_vector(&mut self, col: usize, val: SqlVector) {
        let (Some(Sink::Text { values, .. }), Some(elements)) =
            (self.sinks.get_mut(col), val.as_f32())
        else {
            return self.unexpected(col, "vector");
        };
        let before = values.bytes.len();
        let is_whole = append_json(elements, &mut values.bytes);
        self.bytes += values.bytes.len() - before;
        values.end();
        if !is_whole {
            self.fail(
                col,
                "an element of the vector is not a number",
                "correct the row at the source",
            );
        }
    }

    fn end_row(&mut self) {
        self.rows += 1;
        self.bytes += self.row_width;
    }
}

#[cfg(test)]
mod tests;
