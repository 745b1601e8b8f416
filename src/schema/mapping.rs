//! The one table of types: SQL Server to Iceberg, Iceberg to Arrow.

use super::{LakeField, LakeSchema, LakeType};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use std::sync::Arc;

/// Time zone of `timestamptz` fields in Arrow, as the Iceberg libraries write it.
pub const UTC: &str = "+00:00";

/// The Arrow type in which a lake field travels between the walls. `uuid` is 16 bytes in RFC 4122 order.
pub fn arrow_type(ty: LakeType) -> DataType {
    match ty {
        LakeType::Boolean => DataType::Boolean,
        LakeType::Int => DataType::Int32,
        LakeType::Long => DataType::Int64,
        LakeType::Float => DataType::Float32,
        LakeType::Double => DataType::Float64,
        LakeType::Decimal { precision, scale } => {
            DataType::Decimal128(precision, i8::try_from(scale).unwrap_or(i8::MAX))
        }
        LakeType::Date => DataType::Date32,
        LakeType::Time => DataType::Time64(TimeUnit::Microsecond),
        LakeType::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
        LakeType::TimestampTz => DataType::Timestamp(TimeUnit::Microsecond, Some(UTC.into())),
        LakeType::String => DataType::Utf8,
        LakeType::Uuid => DataType::FixedSizeBinary(16),
        LakeType::Fixed(length) => DataType::FixedSizeBinary(i32::from(length)),
        LakeType::Binary => DataType::Binary,
    }
}

/// The Arrow schema of record batches of a lake table, one field each in the same order.
pub fn arrow_schema(schema: &LakeSchema) -> SchemaRef {
    let field = |field: &LakeField| Field::new(&field.name, arrow_type(field.ty), !field.required);
    Arc::new(Schema::new(
        schema.fields.iter().map(field).collect::<Vec<_>>(),
    ))
}
