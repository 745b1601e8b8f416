//! Values as text that SQL Server converts back to exactly the same value: page cursors and watermarks.

use super::{LakeSchema, MappingError};
use crate::schema::types::Parameter;
use crate::schema::{Collation, Role, SqlType, TableSchema};
use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal128Type, Float32Type, Float64Type, Int32Type, Int64Type,
    Time64MicrosecondType, TimestampMicrosecondType,
};
use arrow_array::{Array, RecordBatch};
use chrono::{Datelike, NaiveDate};
use std::fmt::Write;

const MICROS_A_DAY: i64 = 86_400_000_000;
const MICROS_A_MINUTE: i64 = 60_000_000;
/// 1970-01-01 counted from 0001-01-01 as day 1.
const EPOCH_DAY: i64 = 719_163;

/// A value of a batch as text: the value of the table's column at `column` in row `row`; `None` is NULL. The batch
/// holds the lake's fields in order (history columns may be missing at the end). Dates are in style 121 with every
/// digit of the declared scale, taken from the companions; binary is `0x` and hex digits; numbers are plain.
///
/// Fails where the value cannot be rebuilt: a scale of 7, or an offset, without its companion (`fidelity:
/// standard`), and types that have no order.
pub fn cell_text(
    batch: &RecordBatch,
    shape: &LakeSchema,
    table: &TableSchema,
    row: usize,
    column: usize,
) -> Result<Option<String>, MappingError> {
    let declared = table.columns.get(column);
    let cell = Cell {
        batch,
        shape,
        column,
        row,
    };
    let result = match declared {
        Some(declared) => cell.text(declared.ty),
        None => Err("it is not in the table".into()),
    };
    result.map_err(|problem| MappingError::Value {
        table: table.name.to_string(),
        column: declared.map_or_else(|| column.to_string(), |declared| declared.name.clone()),
        problem,
    })
}

struct Cell<'a> {
    batch: &'a RecordBatch,
    shape: &'a LakeSchema,
    column: usize,
    row: usize,
}

impl Cell<'_> {
    fn array(&self, role: Role) -> Option<&dyn Array> {
        let field = |field: &crate::schema::LakeField| {
            field.source == Some(self.column) && field.role == role
        };
        let at = self.shape.fields.iter().position(field)?;
        let array = self.batch.columns().get(at)?.as_ref();
        (self.row < array.len()).then_some(array)
    }

    fn companion(&self, role: Role) -> Result<i64, String> {
        self.array(role)
            .and_then(|array| array.as_primitive_opt::<Int32Type>())
            .filter(|array| array.is_valid(self.row))
            .map(|array| i64::from(array.value(self.row)))
            .ok_or_else(|| {
                "its full precision is not in the lake; use fidelity: exact or another column"
                    .into()
            })
    }

    fn text(&self, ty: SqlType) -> Result<Option<String>, String> {
        let array = self
            .array(Role::Value)
            .ok_or("its value is not in the batch")?;
        if array.is_null(self.row) {
            return Ok(None);
        }
        self.value_text(array, ty).map(Some)
    }

    fn value_text(&self, array: &dyn Array, ty: SqlType) -> Result<String, String> {
        let row = self.row;
        let other = || format!("the batch holds {} for {ty}", array.data_type());
        macro_rules! primitive {
            ($type:ty) => {
                array
                    .as_primitive_opt::<$type>()
                    .ok_or_else(other)?
                    .value(row)
            };
        }
        Ok(match ty {
            SqlType::Bit => {
                let bits = array.as_boolean_opt().ok_or_else(other)?;
                u8::from(bits.value(row)).to_string()
            }
            SqlType::TinyInt | SqlType::SmallInt | SqlType::Int | SqlType::BigInt => {
                integer_text(array, row).ok_or_else(other)?
            }
            SqlType::Decimal { scale, .. } | SqlType::Numeric { scale, .. } => {
                decimal_text(primitive!(Decimal128Type), scale)
            }
            SqlType::Money | SqlType::SmallMoney => decimal_text(primitive!(Decimal128Type), 4),
            SqlType::Real => format!("{:e}", primitive!(Float32Type)),
            SqlType::Float => format!("{:e}", primitive!(Float64Type)),
            SqlType::Date => date_text(i64::from(primitive!(Date32Type)))?,
            SqlType::Time { scale } => {
                let micros = primitive!(Time64MicrosecondType);
                time_text(micros, self.ticks(scale)?, scale)
            }
            SqlType::DateTime => timestamp_text(primitive!(TimestampMicrosecondType), 0, 3)?,
            SqlType::SmallDateTime => timestamp_text(primitive!(TimestampMicrosecondType), 0, 0)?,
            SqlType::DateTime2 { scale } => timestamp_text(
                primitive!(TimestampMicrosecondType),
                self.ticks(scale)?,
                scale,
            )?,
            SqlType::DateTimeOffset { scale } => {
                self.local_text(primitive!(TimestampMicrosecondType), scale)?
            }
            SqlType::Char { .. }
            | SqlType::VarChar { .. }
            | SqlType::NChar { .. }
            | SqlType::NVarChar { .. } => {
                let texts = array.as_string_opt::<i32>().ok_or_else(other)?;
                texts.value(row).to_owned()
            }
            SqlType::Binary { .. }
            | SqlType::VarBinary { .. }
            | SqlType::RowVersion
            | SqlType::HierarchyId => {
                hex_text(array.as_binary_opt::<i32>().ok_or_else(other)?.value(row))
            }
            SqlType::UniqueIdentifier => guid_text(array, row).ok_or_else(other)?,
            SqlType::Text
            | SqlType::NText
            | SqlType::Image
            | SqlType::Xml
            | SqlType::SqlVariant
            | SqlType::Geometry
            | SqlType::Geography
            | SqlType::Json
            | SqlType::Vector { .. } => {
                return Err(format!("{ty} has no order that rows could be read in"));
            }
        })
    }

    /// An instant in the offset that it was written in.
    fn local_text(&self, micros: i64, scale: u8) -> Result<String, String> {
        let offset = self.companion(Role::Offset)?;
        let local = micros + offset * MICROS_A_MINUTE;
        let mut text = timestamp_text(local, self.ticks(scale)?, scale)?;
        let (sign, minutes) = (if offset < 0 { '-' } else { '+' }, offset.abs());
        // Writing to a String cannot fail.
        let _ = write!(text, " {sign}{:02}:{:02}", minutes / 60, minutes % 60);
        Ok(text)
    }

    /// The seventh digit of a second.
    fn ticks(&self, scale: u8) -> Result<i64, String> {
        if scale > 6 {
            self.companion(Role::Ticks)
        } else {
            Ok(0)
        }
    }
}

/// The lake keeps the widest integer that the column ever was.
fn integer_text(array: &dyn Array, row: usize) -> Option<String> {
    match array.as_primitive_opt::<Int32Type>() {
        Some(narrow) => Some(narrow.value(row).to_string()),
        None => Some(
            array
                .as_primitive_opt::<Int64Type>()?
                .value(row)
                .to_string(),
        ),
    }
}

fn guid_text(array: &dyn Array, row: usize) -> Option<String> {
    let bytes = array.as_fixed_size_binary_opt()?.value(row);
    let bytes = <[u8; 16]>::try_from(bytes).ok()?;
    Some(uuid::Uuid::from_bytes(bytes).hyphenated().to_string())
}

/// An unscaled value with its decimal point, without exponent.
pub fn decimal_text(unscaled: i128, scale: u8) -> String {
    let scale = usize::from(scale);
    let sign = if unscaled < 0 { "-" } else { "" };
    let digits = unscaled.unsigned_abs().to_string();
    if scale == 0 {
        return format!("{sign}{digits}");
    }
    let digits = format!("{digits:0>width$}", width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    format!("{sign}{whole}.{fraction}")
}

fn hex_text(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 + 2 * bytes.len());
    text.push_str("0x");
    for byte in bytes {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02X}");
    }
    text
}

/// Days since 1970-01-01 as `yyyy-mm-dd`.
pub(super) fn date_text(days: i64) -> Result<String, String> {
    i32::try_from(days + EPOCH_DAY)
        .ok()
        .and_then(NaiveDate::from_num_days_from_ce_opt)
        .filter(|date| (1..=9999).contains(&date.year()))
        .map(|date| date.format("%Y-%m-%d").to_string())
        .ok_or_else(|| format!("day {days} is outside the years 1 to 9999"))
}

/// `hh:mm:ss` and as many digits of the second as the scale has.
pub(super) fn time_text(micros: i64, ticks: i64, scale: u8) -> String {
    let seconds = micros / 1_000_000;
    let digits = format!("{:06}{ticks}", micros % 1_000_000);
    let mut text = format!(
        "{:02}:{:02}:{:02}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    );
    if scale > 0 {
        text.push('.');
        text.push_str(&digits[..usize::from(scale.min(7))]);
    }
    text
}

pub(super) fn timestamp_text(micros: i64, ticks: i64, scale: u8) -> Result<String, String> {
    let date = date_text(micros.div_euclid(MICROS_A_DAY))?;
    let time = time_text(micros.rem_euclid(MICROS_A_DAY), ticks, scale);
    Ok(format!("{date} {time}"))
}

/// The expression that turns a text parameter of [`cell_text`]'s form into a value of exactly the column's type,
/// such as `CONVERT(datetime2(7), @P1, 121)`: compared with the column it neither changes the column's type (an
/// index stays usable) nor its order.
///
/// A `varchar` keeps the column's collation, because its order is not that of `nvarchar` under the older SQL
/// collations.
pub fn parameter_conversion(ty: SqlType, collation: Option<&Collation>, parameter: &str) -> String {
    let plain = || format!("CONVERT({ty}, {parameter})");
    match ty.facts().parameter {
        Parameter::Plain => plain(),
        Parameter::Style(style) => format!("CONVERT({ty}, {parameter}, {style})"),
        Parameter::Collated => {
            // A collation's name is never quoted: only names of the documented form are written out.
            let name = collation
                .map(|collation| collation.name.as_str())
                .filter(|name| {
                    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
                });
            match name {
                Some(name) => format!("CONVERT({ty}, {parameter} COLLATE {name})"),
                None => plain(),
            }
        }
        Parameter::Hex(bytes) => format!("CONVERT({ty}, CONVERT({bytes}, {parameter}, 1))"),
        Parameter::HexAs(bytes) => format!("CONVERT({bytes}, {parameter}, 1)"),
    }
}
