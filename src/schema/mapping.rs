//! The lake's shape of a table: SQL Server to Iceberg, Iceberg to Arrow, and how each column is read.
//!
//! With [`Fidelity::Exact`] the mapping is invertible: from the lake's value and its companions the source's value is
//! rebuilt bit for bit. The rows of this table are in [`types`](super::types).
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
//! | `vector` | `string` | as JSON, with the digits that name each 32-bit float |

pub mod canonical;
mod text;

pub use text::{cell_text, decimal_text, parameter_conversion};

use super::types::{NVARCHAR_MAX, ReadAs};
use super::{
    Collation, Column, Fidelity, KeyFold, LakeField, LakeKeyField, LakeSchema, LakeType, Role,
    SqlType, TableKind, TableSchema,
};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use std::collections::HashMap;
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
        "column {column} of {table} has the name that icesync gives to {owner}: give it another one with `columns: {{ \
            rename: {{ {column}: ... }} }}`, or leave it out with `columns: {{ exclude: [{column}] }}`"
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

/// The name of a companion field.
fn companion_name(column: &str, role: Role) -> String {
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
        let facts = column.ty.facts();
        let is_cut = fidelity == Fidelity::Standard && facts.companions.contains(&Role::Ticks);
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
        let companions = facts
            .companions
            .iter()
            .copied()
            .filter(|&role| fidelity == Fidelity::Exact || role == Role::BaseType);
        fields.push(LakeField {
            name: column.name.clone(),
            ty: facts.lake,
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

/// Collations in which letters without case are not all equal, by a word of their name. I and i are different letters
/// in the first two. In the others some pairs of letters are one letter (`cs`, `aa`, `ch`), which it is as `CS` and
/// `Cs` and not as `cS`: so `cS` and `cs` are different texts.
const CASE_IS_NOT_ALL: [&str; 18] = [
    "TURKISH",
    "AZERI",
    "ALBANIAN",
    "BOSNIAN",
    "BRETON",
    "CROATIAN",
    "CZECH",
    "DANISH",
    "HUNGARIAN",
    "MALTESE",
    "MAPUDUNGAN",
    "NORWEGIAN",
    "SERBIAN",
    "SLOVAK",
    "SORBIAN",
    "TRADITIONAL_SPANISH",
    "VIETNAMESE",
    "WELSH",
];

/// How two values of a key column are told apart.
pub(super) fn key_fold(column: &Column) -> KeyFold {
    if !column.ty.is_text() {
        return KeyFold {
            zeros: matches!(column.ty, SqlType::VarBinary { .. }),
            ..KeyFold::default()
        };
    }
    let ascii_case = column.collation.as_ref().is_some_and(|collation| {
        let name = collation.name.to_ascii_uppercase();
        name.contains("_CI_") && !CASE_IS_NOT_ALL.iter().any(|word| name.contains(word))
    });
    KeyFold {
        trim: true,
        ascii_case,
        zeros: false,
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

/// How a column is read.
pub fn select_expression(column: &Column) -> SelectExpression {
    let of_code_page = |length: Option<u16>| match length {
        _ if is_decoded_here(column.collation.as_ref()) => SelectExpression::AsIs,
        // One byte never becomes more than one UTF-16 unit.
        Some(length) if length <= NVARCHAR_MAX => SelectExpression::ConvertNVarChar(length),
        Some(_) | None => SelectExpression::ConvertNVarCharMax,
    };
    match column.ty.facts().read {
        ReadAs::AsIs => SelectExpression::AsIs,
        ReadAs::CodePage(length) => of_code_page(length),
        ReadAs::Text => SelectExpression::ConvertNVarCharMax,
        ReadAs::Bytes => SelectExpression::ConvertVarBinaryMax,
        ReadAs::TypedText => SelectExpression::TypedText,
    }
}

#[cfg(test)]
mod tests;
