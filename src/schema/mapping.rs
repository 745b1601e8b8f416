//! The one table of types: SQL Server to Iceberg, Iceberg to Arrow, and how each column is read, staged and compared.
//!
//! Every function here matches on [`SqlType`] exhaustively, so a new type does not compile until somebody has
//! decided what is kept of it. With [`Fidelity::Exact`] the mapping is invertible: from the lake's value and its
//! companions the source's value is rebuilt bit for bit.
//!
//! | SQL Server | lake | kept besides |
//! |---|---|---|
//! | `bit` | `boolean` | |
//! | `tinyint`, `smallint`, `int` | `int` | |
//! | `bigint` | `long` | |
//! | `decimal(p,s)`, `numeric(p,s)` | `decimal(p,s)` | |
//! | `money`, `smallmoney` | `decimal(19,4)`, `decimal(10,4)` | |
//! | `real`, `float` | `float`, `double` | |
//! | `date` | `date` | |
//! | `time(0..6)`, `time(7)` | `time` | seventh digit in `<name>__100ns` |
//! | `datetime` | `timestamp` | the displayed millisecond (.000, .003, .007), which names the 1/300 s |
//! | `smalldatetime`, `datetime2(0..6)` | `timestamp` | |
//! | `datetime2(7)` | `timestamp` | seventh digit in `<name>__100ns` |
//! | `datetimeoffset(0..7)` | `timestamptz` | `<name>__offset` in minutes, `<name>__100ns` at scale 7 |
//! | character types, `xml`, `json` | `string` | |
//! | `binary`, `varbinary`, `image`, `rowversion` | `binary` | |
//! | `uniqueidentifier` | `uuid` | RFC 4122 byte order |
//! | `hierarchyid`, `geometry`, `geography` | `binary` | the bytes SQL Server stores, spatial reference included |
//! | `sql_variant` | `string` | the base type in `<name>__type` |
//! | `vector` | `string` | the server's own JSON text |

mod text;

pub use text::{cell_text, decimal_text, parameter_conversion};

use super::{
    Collation, Column, Fidelity, KeyFold, LakeField, LakeKeyField, LakeSchema, LakeType, Role,
    SqlType, TableKind, TableSchema,
};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

/// Time zone of `timestamptz` fields in Arrow, as the Iceberg libraries write it.
pub const UTC: &str = "+00:00";

/// Name of the history column that says what happened to the row.
pub const OP: &str = "_op";
/// Name of the history column that orders rows.
pub const SEQ: &str = "_seq";
/// Name of the history column with the time of the commit.
pub const COMMITTED_AT: &str = "_committed_at";

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

impl fmt::Display for SqlType {
    /// As written in a column declaration: `datetime2(7)`, `nvarchar(max)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sized = |f: &mut fmt::Formatter<'_>, name: &str, length: Option<u16>| match length {
            Some(length) => write!(f, "{name}({length})"),
            None => write!(f, "{name}(max)"),
        };
        match *self {
            SqlType::Bit => f.write_str("bit"),
            SqlType::TinyInt => f.write_str("tinyint"),
            SqlType::SmallInt => f.write_str("smallint"),
            SqlType::Int => f.write_str("int"),
            SqlType::BigInt => f.write_str("bigint"),
            SqlType::Decimal { precision, scale } => write!(f, "decimal({precision},{scale})"),
            SqlType::Numeric { precision, scale } => write!(f, "numeric({precision},{scale})"),
            SqlType::Money => f.write_str("money"),
            SqlType::SmallMoney => f.write_str("smallmoney"),
            SqlType::Real => f.write_str("real"),
            SqlType::Float => f.write_str("float"),
            SqlType::Date => f.write_str("date"),
            SqlType::Time { scale } => write!(f, "time({scale})"),
            SqlType::DateTime => f.write_str("datetime"),
            SqlType::SmallDateTime => f.write_str("smalldatetime"),
            SqlType::DateTime2 { scale } => write!(f, "datetime2({scale})"),
            SqlType::DateTimeOffset { scale } => write!(f, "datetimeoffset({scale})"),
            SqlType::Char { length } => sized(f, "char", Some(length)),
            SqlType::VarChar { length } => sized(f, "varchar", length),
            SqlType::Text => f.write_str("text"),
            SqlType::NChar { length } => sized(f, "nchar", Some(length)),
            SqlType::NVarChar { length } => sized(f, "nvarchar", length),
            SqlType::NText => f.write_str("ntext"),
            SqlType::Binary { length } => sized(f, "binary", Some(length)),
            SqlType::VarBinary { length } => sized(f, "varbinary", length),
            SqlType::Image => f.write_str("image"),
            SqlType::UniqueIdentifier => f.write_str("uniqueidentifier"),
            SqlType::RowVersion => f.write_str("rowversion"),
            SqlType::Xml => f.write_str("xml"),
            SqlType::SqlVariant => f.write_str("sql_variant"),
            SqlType::HierarchyId => f.write_str("hierarchyid"),
            SqlType::Geometry => f.write_str("geometry"),
            SqlType::Geography => f.write_str("geography"),
            SqlType::Json => f.write_str("json"),
            SqlType::Vector { dimensions } => write!(f, "vector({dimensions})"),
        }
    }
}

/// A type or name that the lake cannot take.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MappingError {
    #[error("column {column} of {table} is {ty}, which is not supported: {remedy}")]
    Refused {
        table: String,
        column: String,
        ty: String,
        remedy: &'static str,
    },
    #[error(
        "column {column} of {table} has the name that icesync gives to {owner}: rename the column or leave it out of \
            the table's columns"
    )]
    Collision {
        table: String,
        column: String,
        owner: String,
    },
    #[error("column {column} of {table}: {problem}")]
    Value {
        table: String,
        column: String,
        problem: String,
    },
}

/// What a type becomes.
struct Mapped {
    value: LakeType,
    /// Companion fields of [`Fidelity::Exact`].
    companions: &'static [Role],
}

/// The table itself.
fn mapped(ty: SqlType) -> Mapped {
    let plain = |value| Mapped {
        value,
        companions: &[],
    };
    match ty {
        SqlType::Bit => plain(LakeType::Boolean),
        SqlType::TinyInt | SqlType::SmallInt | SqlType::Int => plain(LakeType::Int),
        SqlType::BigInt => plain(LakeType::Long),
        SqlType::Decimal { precision, scale } | SqlType::Numeric { precision, scale } => {
            plain(LakeType::Decimal { precision, scale })
        }
        SqlType::Money => plain(LakeType::Decimal {
            precision: 19,
            scale: 4,
        }),
        SqlType::SmallMoney => plain(LakeType::Decimal {
            precision: 10,
            scale: 4,
        }),
        SqlType::Real => plain(LakeType::Float),
        SqlType::Float => plain(LakeType::Double),
        SqlType::Date => plain(LakeType::Date),
        SqlType::Time { scale } => Mapped {
            value: LakeType::Time,
            companions: if scale > 6 { &[Role::Ticks] } else { &[] },
        },
        SqlType::DateTime | SqlType::SmallDateTime => plain(LakeType::Timestamp),
        SqlType::DateTime2 { scale } => Mapped {
            value: LakeType::Timestamp,
            companions: if scale > 6 { &[Role::Ticks] } else { &[] },
        },
        SqlType::DateTimeOffset { scale } => Mapped {
            value: LakeType::TimestampTz,
            companions: if scale > 6 {
                &[Role::Ticks, Role::Offset]
            } else {
                &[Role::Offset]
            },
        },
        SqlType::Char { .. }
        | SqlType::VarChar { .. }
        | SqlType::Text
        | SqlType::NChar { .. }
        | SqlType::NVarChar { .. }
        | SqlType::NText
        | SqlType::Xml
        | SqlType::Json
        | SqlType::Vector { .. } => plain(LakeType::String),
        SqlType::Binary { .. }
        | SqlType::VarBinary { .. }
        | SqlType::Image
        | SqlType::RowVersion
        | SqlType::HierarchyId
        | SqlType::Geometry
        | SqlType::Geography => plain(LakeType::Binary),
        SqlType::UniqueIdentifier => plain(LakeType::Uuid),
        SqlType::SqlVariant => Mapped {
            value: LakeType::String,
            companions: &[Role::BaseType],
        },
    }
}

/// The name of a companion field.
pub fn companion_name(column: &str, role: Role) -> String {
    let suffix = match role {
        Role::Value => "",
        Role::Ticks => "__100ns",
        Role::Offset => "__offset",
        Role::BaseType => "__type",
        Role::Srid => "__srid",
        Role::Op => return OP.into(),
        Role::Seq => return SEQ.into(),
        Role::CommittedAt => return COMMITTED_AT.into(),
    };
    format!("{column}{suffix}")
}

/// The lake table's shape: for each column its value and then its companions, and for history the three history
/// columns at the end. Key columns are required, everything else is optional, so that a column dropped at the
/// source can go on as NULL.
pub fn lake_schema(
    table: &TableSchema,
    kind: TableKind,
    fidelity: Fidelity,
) -> Result<LakeSchema, MappingError> {
    let mut fields = Vec::new();
    for (source, column) in table.columns.iter().enumerate() {
        let required = is_key(table, source);
        let mapped = mapped(column.ty);
        let is_cut = fidelity == Fidelity::Standard && mapped.companions.contains(&Role::Ticks);
        if kind == TableKind::Mirror && required && is_cut {
            return Err(MappingError::Refused {
                table: table.name.to_string(),
                column: column.name.clone(),
                ty: format!("{} and part of the key", column.ty),
                remedy: "fidelity: standard cuts off its seventh digit, and two rows could become one: use fidelity: \
                    exact, or name other columns in key:",
            });
        }
        // Without its base type a sql_variant would be another value.
        let companions = mapped
            .companions
            .iter()
            .copied()
            .filter(|&role| fidelity == Fidelity::Exact || role == Role::BaseType);
        fields.push(LakeField {
            name: column.name.clone(),
            ty: mapped.value,
            required,
            source: Some(source),
            role: Role::Value,
        });
        fields.extend(companions.map(|role| LakeField {
            name: companion_name(&column.name, role),
            ty: if role == Role::BaseType {
                LakeType::String
            } else {
                LakeType::Int
            },
            required,
            source: Some(source),
            role,
        }));
    }
    if kind == TableKind::History {
        for (role, ty) in [
            (Role::Op, LakeType::String),
            (Role::Seq, LakeType::Long),
            (Role::CommittedAt, LakeType::TimestampTz),
        ] {
            fields.push(LakeField {
                name: companion_name("", role),
                ty,
                required: true,
                source: None,
                role,
            });
        }
    }
    refuse_collisions(table, &fields)?;
    let key = lake_key(table, kind, &fields)?;
    Ok(LakeSchema { fields, key })
}

fn is_key(table: &TableSchema, source: usize) -> bool {
    table
        .key
        .as_ref()
        .is_some_and(|key| key.columns.contains(&source))
}

/// Names that we add must differ from every column's, also for engines that ignore case.
fn refuse_collisions(table: &TableSchema, fields: &[LakeField]) -> Result<(), MappingError> {
    let columns: HashMap<String, &Column> = table
        .columns
        .iter()
        .map(|column| (column.name.to_lowercase(), column))
        .collect();
    for field in fields.iter().filter(|field| field.role != Role::Value) {
        if let Some(column) = columns.get(&field.name.to_lowercase()) {
            let owner = field.source.and_then(|at| table.columns.get(at));
            return Err(MappingError::Collision {
                table: table.name.to_string(),
                column: column.name.clone(),
                owner: match owner {
                    Some(owner) => format!("the companion of {}", owner.name),
                    None => "a history column".into(),
                },
            });
        }
    }
    Ok(())
}

/// The key as the lake compares it. The seventh digit of a second is part of the value and joins the key; the
/// offset of a `datetimeoffset` is not, because SQL Server compares instants: `10:00 +01:00` and `09:00 +00:00` are
/// one key there and must be one here.
fn lake_key(
    table: &TableSchema,
    kind: TableKind,
    fields: &[LakeField],
) -> Result<Vec<LakeKeyField>, MappingError> {
    let mut key = Vec::new();
    let positions = table.key.iter().flat_map(|key| key.columns.iter());
    for (&source, column) in positions.zip(table.key_columns()) {
        if matches!(column.ty, SqlType::Real | SqlType::Float) {
            match kind {
                TableKind::Mirror => {
                    return Err(MappingError::Refused {
                        table: table.name.to_string(),
                        column: column.name.clone(),
                        ty: format!("{} and part of the key", column.ty),
                        remedy: "Iceberg has no floating-point keys: name other columns in key:, or use kind: history",
                    });
                }
                TableKind::History => return Ok(Vec::new()),
            }
        }
        let fold = key_fold(column);
        let of_column = fields.iter().enumerate().filter(|(_, field)| {
            field.source == Some(source) && matches!(field.role, Role::Value | Role::Ticks)
        });
        key.extend(of_column.map(|(at, field)| LakeKeyField {
            field: at,
            fold: if field.role == Role::Value {
                fold
            } else {
                KeyFold::default()
            },
        }));
    }
    Ok(key)
}

/// How two values of a key column are told apart.
pub(super) fn key_fold(column: &Column) -> KeyFold {
    if !is_character(column.ty) {
        return KeyFold::default();
    }
    let ascii_case = column.collation.as_ref().is_some_and(|collation| {
        let name = collation.name.to_ascii_uppercase();
        // There I and i are different letters.
        let dotted = name.contains("TURKISH") || name.contains("AZERI");
        name.contains("_CI_") && !dotted
    });
    KeyFold {
        trim: true,
        ascii_case,
    }
}

fn is_character(ty: SqlType) -> bool {
    match ty {
        SqlType::Char { .. }
        | SqlType::VarChar { .. }
        | SqlType::Text
        | SqlType::NChar { .. }
        | SqlType::NVarChar { .. }
        | SqlType::NText => true,
        SqlType::Bit
        | SqlType::TinyInt
        | SqlType::SmallInt
        | SqlType::Int
        | SqlType::BigInt
        | SqlType::Decimal { .. }
        | SqlType::Numeric { .. }
        | SqlType::Money
        | SqlType::SmallMoney
        | SqlType::Real
        | SqlType::Float
        | SqlType::Date
        | SqlType::Time { .. }
        | SqlType::DateTime
        | SqlType::SmallDateTime
        | SqlType::DateTime2 { .. }
        | SqlType::DateTimeOffset { .. }
        | SqlType::Binary { .. }
        | SqlType::VarBinary { .. }
        | SqlType::Image
        | SqlType::UniqueIdentifier
        | SqlType::RowVersion
        | SqlType::Xml
        | SqlType::SqlVariant
        | SqlType::HierarchyId
        | SqlType::Geometry
        | SqlType::Geography
        | SqlType::Json
        | SqlType::Vector { .. } => false,
    }
}

/// How a column must be read so that its value arrives exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SelectExpression {
    /// The column as it is.
    AsIs,
    /// `CONVERT(nvarchar(n), col)`: the server knows its code pages better than any library.
    ConvertNVarChar(u16),
    /// `CONVERT(nvarchar(max), col)`.
    ConvertNVarCharMax,
    /// `CONVERT(varbinary(max), col)`: the bytes of `image` and of CLR types.
    ConvertVarBinaryMax,
    /// Base type, colon and value of a `sql_variant` as one `nvarchar(max)`.
    TypedText,
}

/// Code pages whose bytes are decoded here exactly as Windows does.
fn is_decoded_here(collation: Option<&Collation>) -> bool {
    collation.is_some_and(|collation| matches!(collation.code_page, 1252 | 65001))
}

/// The longest sized `nvarchar`, in characters.
const NVARCHAR_MAX: u16 = 4000;

/// How a column is read.
pub fn select_expression(column: &Column) -> SelectExpression {
    let of_code_page = |length: Option<u16>| match length {
        _ if is_decoded_here(column.collation.as_ref()) => SelectExpression::AsIs,
        // One byte never becomes more than one UTF-16 unit.
        Some(length) if length <= NVARCHAR_MAX => SelectExpression::ConvertNVarChar(length),
        Some(_) | None => SelectExpression::ConvertNVarCharMax,
    };
    match column.ty {
        SqlType::Char { length } => of_code_page(Some(length)),
        SqlType::VarChar { length } => of_code_page(length),
        SqlType::Text | SqlType::NText | SqlType::Xml | SqlType::Json | SqlType::Vector { .. } => {
            SelectExpression::ConvertNVarCharMax
        }
        SqlType::SqlVariant => SelectExpression::TypedText,
        SqlType::Image | SqlType::HierarchyId | SqlType::Geometry | SqlType::Geography => {
            SelectExpression::ConvertVarBinaryMax
        }
        SqlType::Bit
        | SqlType::TinyInt
        | SqlType::SmallInt
        | SqlType::Int
        | SqlType::BigInt
        | SqlType::Decimal { .. }
        | SqlType::Numeric { .. }
        | SqlType::Money
        | SqlType::SmallMoney
        | SqlType::Real
        | SqlType::Float
        | SqlType::Date
        | SqlType::Time { .. }
        | SqlType::DateTime
        | SqlType::SmallDateTime
        | SqlType::DateTime2 { .. }
        | SqlType::DateTimeOffset { .. }
        | SqlType::NChar { .. }
        | SqlType::NVarChar { .. }
        | SqlType::Binary { .. }
        | SqlType::VarBinary { .. }
        | SqlType::UniqueIdentifier
        | SqlType::RowVersion => SelectExpression::AsIs,
    }
}

/// The declared type of the staging column that takes a column's values in a load. Characters are staged as
/// `nvarchar`, whatever the code page, so that nothing is converted before the server does it.
pub fn staging_type(ty: SqlType) -> SqlType {
    let wide = |length: Option<u16>| SqlType::NVarChar {
        length: length.filter(|&length| length <= NVARCHAR_MAX),
    };
    match ty {
        SqlType::Char { length } => wide(Some(length)),
        SqlType::VarChar { length } => wide(length),
        SqlType::NChar { length } => wide(Some(length)),
        SqlType::NVarChar { length } => wide(length),
        SqlType::Text
        | SqlType::NText
        | SqlType::Xml
        | SqlType::Json
        | SqlType::SqlVariant
        | SqlType::Vector { .. } => wide(None),
        SqlType::RowVersion => SqlType::Binary { length: 8 },
        SqlType::Image | SqlType::Geometry | SqlType::Geography => {
            SqlType::VarBinary { length: None }
        }
        SqlType::HierarchyId => SqlType::VarBinary { length: Some(892) },
        SqlType::Bit
        | SqlType::TinyInt
        | SqlType::SmallInt
        | SqlType::Int
        | SqlType::BigInt
        | SqlType::Decimal { .. }
        | SqlType::Numeric { .. }
        | SqlType::Money
        | SqlType::SmallMoney
        | SqlType::Real
        | SqlType::Float
        | SqlType::Date
        | SqlType::Time { .. }
        | SqlType::DateTime
        | SqlType::SmallDateTime
        | SqlType::DateTime2 { .. }
        | SqlType::DateTimeOffset { .. }
        | SqlType::Binary { .. }
        | SqlType::VarBinary { .. }
        | SqlType::UniqueIdentifier => ty,
    }
}

#[cfg(test)]
mod tests;
