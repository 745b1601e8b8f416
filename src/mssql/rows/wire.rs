//! What a column is on the wire, as promised by the table's schema and as found in a result's metadata.

use super::columns::Encoding;
use crate::schema::mapping::{SelectExpression, select_expression};
use crate::schema::{Column, SqlType};
use mssql_tds::datatypes::sql_string::EncodingType;
use mssql_tds::datatypes::sqldatatypes::{TdsDataType as T, VECTOR_HEADER_SIZE, VectorBaseType};
use mssql_tds::query::metadata::ColumnMetadata;

/// The part of a wire type that decides how its values are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wire {
    Bit,
    /// Integers by width in bytes.
    Int(usize),
    /// Floats by width in bytes.
    Float(usize),
    Decimal {
        precision: u8,
        scale: u8,
    },
    /// By width in bytes.
    Money(usize),
    Date,
    Time(u8),
    /// `datetime` (8 bytes) and `smalldatetime` (4).
    DateTime(usize),
    DateTime2(u8),
    DateTimeOffset(u8),
    Text(Encoding),
    Bytes,
    Guid,
    /// So many 32-bit floats, in binary.
    Vector(u16),
    /// A type that the mapping refuses.
    Nothing,
}

impl Wire {
    /// What the table's schema promises, after the conversion in the select list.
    pub(super) fn of(column: &Column, encoding: Encoding) -> Self {
        match select_expression(column) {
            SelectExpression::ConvertNVarChar(_)
            | SelectExpression::ConvertNVarCharMax
            | SelectExpression::TypedText => {
                return Wire::Text(Encoding::Utf16);
            }
            SelectExpression::ConvertVarBinaryMax => return Wire::Bytes,
            SelectExpression::AsIs => {}
        }
        match column.ty {
            SqlType::Bit => Wire::Bit,
            SqlType::TinyInt => Wire::Int(1),
            SqlType::SmallInt => Wire::Int(2),
            SqlType::Int => Wire::Int(4),
            SqlType::BigInt => Wire::Int(8),
            SqlType::Decimal { precision, scale } | SqlType::Numeric { precision, scale } => {
                Wire::Decimal { precision, scale }
            }
            SqlType::Money => Wire::Money(8),
            SqlType::SmallMoney => Wire::Money(4),
            SqlType::Real => Wire::Float(4),
            SqlType::Float => Wire::Float(8),
            SqlType::Date => Wire::Date,
            SqlType::Time { scale } => Wire::Time(scale),
            SqlType::DateTime => Wire::DateTime(8),
            SqlType::SmallDateTime => Wire::DateTime(4),
            SqlType::DateTime2 { scale } => Wire::DateTime2(scale),
            SqlType::DateTimeOffset { scale } => Wire::DateTimeOffset(scale),
            SqlType::Char { .. } | SqlType::VarChar { .. } => Wire::Text(encoding),
            SqlType::NChar { .. } | SqlType::NVarChar { .. } => Wire::Text(Encoding::Utf16),
            SqlType::Binary { .. } | SqlType::VarBinary { .. } | SqlType::RowVersion => Wire::Bytes,
            SqlType::UniqueIdentifier => Wire::Guid,
            // Always converted.
            SqlType::Text | SqlType::NText | SqlType::Xml | SqlType::Json | SqlType::SqlVariant => {
                Wire::Text(Encoding::Utf16)
            }
            SqlType::Vector { dimensions } => Wire::Vector(dimensions),
            SqlType::Image | SqlType::HierarchyId | SqlType::Geometry | SqlType::Geography => {
                Wire::Bytes
            }
        }
    }

    /// Holds the promise against a result's column; the error names what was found.
    pub(super) fn check(self, found: &ColumnMetadata) -> Result<(), String> {
        let seen = Self::found(found);
        let kept = match (self, seen) {
            // A narrower precision holds nothing that the promised one does not.
            (
                Wire::Decimal { precision, scale },
                Some(Wire::Decimal {
                    precision: narrower,
                    scale: same,
                }),
            ) => narrower <= precision && scale == same,
            (promised, Some(seen)) => promised == seen && promised != Wire::Nothing,
            (_, None) => false,
        };
        if kept {
            Ok(())
        } else {
            Err(match seen {
                Some(seen) => format!("{:?} ({seen:?})", found.data_type),
                None => format!("{:?}", found.data_type),
            })
        }
    }

    fn found(column: &ColumnMetadata) -> Option<Self> {
        let width = column.type_info.length;
        let scale = column.get_scale();
        Some(match column.data_type {
            T::Bit | T::BitN => Wire::Bit,
            T::Int1 => Wire::Int(1),
            T::Int2 => Wire::Int(2),
            T::Int4 => Wire::Int(4),
            T::Int8 => Wire::Int(8),
            T::IntN => Wire::Int(width),
            T::Flt4 => Wire::Float(4),
            T::Flt8 => Wire::Float(8),
            T::FltN => Wire::Float(width),
            T::DecimalN | T::NumericN => Wire::Decimal {
                precision: column.get_precision()?,
                scale: scale?,
            },
            T::Money => Wire::Money(8),
            T::Money4 => Wire::Money(4),
            T::MoneyN => Wire::Money(width),
            T::DateN => Wire::Date,
            T::TimeN => Wire::Time(scale?),
            T::DateTime => Wire::DateTime(8),
            T::DateTim4 => Wire::DateTime(4),
            T::DateTimeN => Wire::DateTime(width),
            T::DateTime2N => Wire::DateTime2(scale?),
            T::DateTimeOffsetN => Wire::DateTimeOffset(scale?),
            T::NVarChar | T::NChar | T::NText => Wire::Text(Encoding::Utf16),
            T::BigVarChar | T::BigChar | T::VarChar | T::Char | T::Text => {
                Wire::Text(narrow_encoding(column)?)
            }
            T::BigVarBinary | T::BigBinary | T::VarBinary | T::Binary | T::Image | T::Udt => {
                Wire::Bytes
            }
            T::Guid => Wire::Guid,
            T::Vector => Wire::Vector(dimensions(width, scale?)?),
            T::Void
            | T::Decimal
            | T::Numeric
            | T::SsVariant
            | T::Xml
            | T::SqlTable
            | T::Json
            | T::None => return None,
        })
    }
}

/// Elements of a vector of 32-bit floats with so many bytes. None: of another base type.
fn dimensions(bytes: usize, base_type: u8) -> Option<u16> {
    let float32 = VectorBaseType::Float32;
    let elements = bytes.checked_sub(VECTOR_HEADER_SIZE)? / float32.element_size_bytes();
    u16::try_from(elements)
        .ok()
        .filter(|_| base_type == float32 as u8)
}

/// The encoding that the result's collation gives to a narrow column. None: one that is not decoded here.
fn narrow_encoding(column: &ColumnMetadata) -> Option<Encoding> {
    let collation = column.get_collation()?;
    if collation.utf8() {
        return Some(Encoding::Utf8);
    }
    let resolved = EncodingType::LcidBased(collation).resolved_encoding()?;
    let encoding = resolved.as_encoding_rs()?;
    (encoding == encoding_rs::WINDOWS_1252).then_some(Encoding::Windows1252)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vector_has_the_dimensions_of_its_base_type() {
        let (float32, float16) = (VectorBaseType::Float32 as u8, VectorBaseType::Float16 as u8);
        assert_eq!(dimensions(8 + 3 * 4, float32), Some(3));
        assert_eq!(dimensions(8 + 1998 * 4, float32), Some(1998));
        assert_eq!(dimensions(8 + 4 * 2, float16), None);
        assert_eq!(dimensions(4, float32), None);
    }
}
