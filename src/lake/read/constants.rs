//! Values that a data file leaves to its partition.
//!
//! A column that a data file does not have is NULL in its rows, with one exception of the specification: where the
//! file's partition spec has an `identity` field on the column, the partition's value is the column's value in each
//! row. Files that an engine took over from a tree of folders (`name=a/part-0.parquet`) are written so.

use crate::lake::read::avro::{Field, Input, Malformed, Type};
use crate::lake::read::rewrite::{Header, Record, header_value};
use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, Decimal128Array, Float32Array, Float64Array, Int64Array,
    UInt32Array, new_null_array,
};
use arrow_cast::CastOptions;
use arrow_schema::{ArrowError, DataType};
use serde::Deserialize;
use std::sync::Arc;

type Result<T> = std::result::Result<T, Malformed>;

/// The value of a column in all rows of a file, as its manifest encodes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::lake) struct Constant {
    /// Field id of the column.
    pub(in crate::lake) id: i32,
    ty: Type,
    value: Box<[u8]>,
}

impl Constant {
    /// Memory that it takes, about.
    pub(in crate::lake) fn memory(&self) -> usize {
        size_of::<Self>() + self.value.len() + 16
    }

    /// A column of one row with this value. An error when it is no value of the type.
    pub(in crate::lake) fn column(&self, ty: &DataType) -> std::result::Result<ArrayRef, String> {
        let wrong = || format!("the value of its partition is no {ty}");
        if self.ty == Type::Null {
            return Ok(new_null_array(ty, 1));
        }
        if !self.fits(ty) {
            return Err(wrong());
        }
        let mut input = Input::new(&self.value);
        let plain: ArrayRef = match &self.ty {
            Type::Boolean => Arc::new(BooleanArray::from(vec![input.take(1)? != [0]])),
            Type::Integer => Arc::new(Int64Array::from(vec![input.long()?])),
            Type::Float => {
                let bytes = input.take(4)?.try_into().map_err(|_| wrong())?;
                Arc::new(Float32Array::from(vec![f32::from_le_bytes(bytes)]))
            }
            Type::Double => {
                let bytes = input.take(8)?.try_into().map_err(|_| wrong())?;
                Arc::new(Float64Array::from(vec![f64::from_le_bytes(bytes)]))
            }
            Type::Bytes | Type::Fixed(_) => {
                let bytes = if let Type::Fixed(size) = &self.ty {
                    input.take(*size)?
                } else {
                    input.bytes()?
                };
                if let DataType::Decimal128(precision, scale) = ty {
                    let number = big_endian(bytes).ok_or_else(wrong)?;
                    let column = Decimal128Array::from(vec![number]);
                    let column = column.with_precision_and_scale(*precision, *scale);
                    return column
                        .map(|column| Arc::new(column) as ArrayRef)
                        .map_err(|_| wrong());
                }
                Arc::new(BinaryArray::from(vec![bytes]))
            }
            Type::Null | Type::Array(_) | Type::Map(_) | Type::Union(_) | Type::Record(_) => {
                return Err(wrong());
            }
        };
        let exact = CastOptions {
            safe: false,
            ..CastOptions::default()
        };
        // Dates are cast from 32 bits only.
        let plain = if *ty == DataType::Date32 {
            arrow_cast::cast_with_options(&plain, &DataType::Int32, &exact)
        } else {
            Ok(plain)
        };
        plain
            .and_then(|plain| arrow_cast::cast_with_options(&plain, ty, &exact))
            .map_err(|_| wrong())
    }

    /// Whether values of the type are encoded so.
    fn fits(&self, ty: &DataType) -> bool {
        use DataType::{
            Binary, Boolean, Date32, Decimal128, FixedSizeBinary, Float32, Float64, Int32, Int64,
            Time64, Timestamp, Utf8,
        };
        matches!(
            (&self.ty, ty),
            (Type::Boolean, Boolean)
                | (
                    Type::Integer,
                    Int32 | Int64 | Date32 | Time64(_) | Timestamp(..)
                )
                | (Type::Float, Float32 | Float64)
                | (Type::Double, Float64)
                | (Type::Bytes, Utf8)
                | (
                    Type::Bytes | Type::Fixed(_),
                    Binary | FixedSizeBinary(_) | Decimal128(..)
                )
        )
    }
}

/// A value of one row in as many.
pub(in crate::lake) fn repeated(
    one: &ArrayRef,
    rows: usize,
) -> std::result::Result<ArrayRef, ArrowError> {
    arrow_select::take::take(one, &UInt32Array::from(vec![0; rows]), None)
}

/// A decimal of the specification: two's complement, the highest byte first, as many bytes as it takes.
fn big_endian(bytes: &[u8]) -> Option<i128> {
    let sign = if bytes.first()? & 0x80 == 0 { 0 } else { 0xFF };
    let mut wide = [sign; 16];
    let start = wide.len().checked_sub(bytes.len())?;
    wide[start..].copy_from_slice(bytes);
    Some(i128::from_be_bytes(wide))
}

/// Which values of a partition are values of columns.
#[derive(Default)]
pub(in crate::lake) struct Identities {
    fields: Vec<Identity>,
    ty: Vec<Field>,
}

/// A field of a partition spec.
#[derive(Deserialize)]
struct Identity {
    name: String,
    transform: String,
    /// None for a transform of several columns, which is no identity.
    #[serde(rename = "source-id")]
    source: Option<i32>,
    #[serde(rename = "field-id")]
    id: Option<i64>,
}

impl Identities {
    /// Of a manifest with this header, whose values of partitions have this type.
    pub(in crate::lake) fn of(header: &Header, partition: Option<&Type>) -> Result<Self> {
        let Some(Type::Record(ty)) = partition else {
            return Ok(Self::default());
        };
        let spec = header_value(header, "partition-spec").unwrap_or(b"[]");
        let spec: Vec<Identity> = serde_json::from_slice(spec)
            .map_err(|error| format!("its partition spec cannot be read: {error}"))?;
        let fields = spec
            .into_iter()
            .filter(|field| field.transform == "identity");
        Ok(Self {
            fields: fields.collect(),
            ty: ty.to_vec(),
        })
    }

    /// The values of a file's columns in a partition as it is encoded.
    pub(in crate::lake) fn constants(&self, partition: &[u8]) -> Result<Box<[Constant]>> {
        if self.fields.is_empty() {
            return Ok(Box::default());
        }
        let record = Record::read(&mut Input::new(partition), &self.ty)?;
        let mut constants = Vec::new();
        for identity in &self.fields {
            let Some(column) = identity.source else {
                continue;
            };
            let found = record
                .iter()
                .find(|(field, _)| match (field.id, identity.id) {
                    (Some(id), Some(wanted)) => id == wanted,
                    (Some(_) | None, Some(_) | None) => field.name == identity.name,
                });
            let Some((field, value)) = found else {
                continue;
            };
            let mut input = Input::new(value);
            let ty = input.variant(&field.ty)?.clone();
            constants.push(Constant {
                id: column,
                value: value[input.position()..].into(),
                ty,
            });
        }
        Ok(constants.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lake::read::avro::{put_bytes, put_long};
    use arrow_cast::display::array_value_to_string;
    use arrow_schema::TimeUnit;

    fn constant(ty: Type, value: &[u8]) -> Constant {
        Constant {
            id: 1,
            ty,
            value: value.into(),
        }
    }

    #[test]
    fn every_type_of_a_partition_becomes_a_column() {
        let number = |value| {
            let mut out = Vec::new();
            put_long(&mut out, value);
            constant(Type::Integer, &out)
        };
        let bytes = |value: &[u8]| {
            let mut out = Vec::new();
            put_bytes(&mut out, value);
            constant(Type::Bytes, &out)
        };
        let micro = TimeUnit::Microsecond;
        for (value, ty, expected) in [
            (constant(Type::Null, &[]), DataType::Int32, ""),
            (constant(Type::Boolean, &[1]), DataType::Boolean, "true"),
            (number(-7), DataType::Int32, "-7"),
            (number(1 << 40), DataType::Int64, "1099511627776"),
            (number(-1), DataType::Date32, "1969-12-31"),
            (
                number(1_000_001),
                DataType::Time64(micro),
                "00:00:01.000001",
            ),
            (
                number(1_000_001),
                DataType::Timestamp(micro, None),
                "1970-01-01T00:00:01.000001",
            ),
            (
                constant(Type::Float, &1.5_f32.to_le_bytes()),
                DataType::Float64,
                "1.5",
            ),
            (
                constant(Type::Double, &2.5_f64.to_le_bytes()),
                DataType::Float64,
                "2.5",
            ),
            (bytes("訂單".as_bytes()), DataType::Utf8, "訂單"),
            (bytes(&[1, 0xAB]), DataType::Binary, "01ab"),
            (
                constant(Type::Fixed(2), &[1, 0xAB]),
                DataType::FixedSizeBinary(2),
                "01ab",
            ),
            (
                constant(Type::Fixed(3), &[0xFF, 0xFF, 0x38]),
                DataType::Decimal128(5, 2),
                "-2.00",
            ),
            (bytes(&[1, 0]), DataType::Decimal128(5, 2), "2.56"),
        ] {
            let column = value.column(&ty).unwrap();
            assert_eq!(column.data_type(), &ty);
            let column = repeated(&column, 3).unwrap();
            assert_eq!(column.len(), 3);
            assert_eq!(array_value_to_string(&column, 2).unwrap(), expected, "{ty}");
        }
        for (value, ty) in [
            (number(1), DataType::Utf8),
            (number(1 << 40), DataType::Int32),
            (bytes(&[0xFF]), DataType::Utf8),
            (bytes(&[1; 17]), DataType::Decimal128(38, 0)),
            (
                constant(Type::Fixed(2), &[1, 2]),
                DataType::FixedSizeBinary(3),
            ),
        ] {
            assert!(value.column(&ty).is_err(), "{ty}");
        }
    }
}
