//! The type system's tables: names, sizes, precedence, and what two types become together.

use crate::engine::fault::{error, overflow};
use crate::session::SqlError;
use crate::value::{SqlType, Value};
use std::sync::Arc;

mod conversion;
pub mod decimal;

pub use conversion::{common, explicit, implicit, precedence};

/// The type's name without length or precision.
pub fn name(ty: &SqlType) -> &'static str {
    match ty {
        SqlType::Bit => "bit",
        SqlType::TinyInt => "tinyint",
        SqlType::SmallInt => "smallint",
        SqlType::Int => "int",
        SqlType::BigInt => "bigint",
        SqlType::Decimal { numeric: false, .. } => "decimal",
        SqlType::Decimal { numeric: true, .. } => "numeric",
        SqlType::Money => "money",
        SqlType::SmallMoney => "smallmoney",
        SqlType::Real => "real",
        SqlType::Float => "float",
        SqlType::Date => "date",
        SqlType::Time(_) => "time",
        SqlType::DateTime => "datetime",
        SqlType::SmallDateTime => "smalldatetime",
        SqlType::DateTime2(_) => "datetime2",
        SqlType::DateTimeOffset(_) => "datetimeoffset",
        SqlType::Char(_) => "char",
        SqlType::VarChar(_) => "varchar",
        SqlType::Text => "text",
        SqlType::NChar(_) => "nchar",
        SqlType::NVarChar(_) => "nvarchar",
        SqlType::NText => "ntext",
        SqlType::Binary(_) => "binary",
        SqlType::VarBinary(_) => "varbinary",
        SqlType::Image => "image",
        SqlType::UniqueIdentifier => "uniqueidentifier",
        SqlType::RowVersion => "timestamp",
        SqlType::Xml => "xml",
        SqlType::SqlVariant => "sql_variant",
        SqlType::HierarchyId => "hierarchyid",
        SqlType::Geometry => "geometry",
        SqlType::Geography => "geography",
    }
}

/// `sys.types.system_type_id`.
pub fn system_type_id(ty: &SqlType) -> u8 {
    match ty {
        SqlType::Image => 34,
        SqlType::Text => 35,
        SqlType::UniqueIdentifier => 36,
        SqlType::Date => 40,
        SqlType::Time(_) => 41,
        SqlType::DateTime2(_) => 42,
        SqlType::DateTimeOffset(_) => 43,
        SqlType::TinyInt => 48,
        SqlType::SmallInt => 52,
        SqlType::Int => 56,
        SqlType::SmallDateTime => 58,
        SqlType::Real => 59,
        SqlType::Money => 60,
        SqlType::DateTime => 61,
        SqlType::Float => 62,
        SqlType::SqlVariant => 98,
        SqlType::NText => 99,
        SqlType::Bit => 104,
        SqlType::Decimal { numeric: false, .. } => 106,
        SqlType::Decimal { numeric: true, .. } => 108,
        SqlType::SmallMoney => 122,
        SqlType::BigInt => 127,
        SqlType::VarBinary(_) => 165,
        SqlType::VarChar(_) => 167,
        SqlType::Binary(_) => 173,
        SqlType::Char(_) => 175,
        SqlType::RowVersion => 189,
        SqlType::NVarChar(_) => 231,
        SqlType::NChar(_) => 239,
        SqlType::HierarchyId | SqlType::Geometry | SqlType::Geography => 240,
        SqlType::Xml => 241,
    }
}

/// `sys.types.user_type_id` of the built-in type.
pub fn user_type_id(ty: &SqlType) -> i32 {
    match ty {
        SqlType::HierarchyId => 128,
        SqlType::Geometry => 129,
        SqlType::Geography => 130,
        other => i32::from(system_type_id(other)),
    }
}

/// Every built-in type once, with the default size that `sys.types` shows.
pub fn all() -> Vec<SqlType> {
    vec![
        SqlType::Image,
        SqlType::Text,
        SqlType::UniqueIdentifier,
        SqlType::Date,
        SqlType::Time(7),
        SqlType::DateTime2(7),
        SqlType::DateTimeOffset(7),
        SqlType::TinyInt,
        SqlType::SmallInt,
        SqlType::Int,
        SqlType::SmallDateTime,
        SqlType::Real,
        SqlType::Money,
        SqlType::DateTime,
        SqlType::Float,
        SqlType::SqlVariant,
        SqlType::NText,
        SqlType::Bit,
        SqlType::Decimal {
            precision: 38,
            scale: 38,
            numeric: false,
        },
        SqlType::Decimal {
            precision: 38,
            scale: 38,
            numeric: true,
        },
        SqlType::SmallMoney,
        SqlType::BigInt,
        SqlType::HierarchyId,
        SqlType::Geometry,
        SqlType::Geography,
        SqlType::VarBinary(Some(8000)),
        SqlType::VarChar(Some(8000)),
        SqlType::Binary(8000),
        SqlType::Char(8000),
        SqlType::RowVersion,
        SqlType::NVarChar(Some(4000)),
        SqlType::NChar(4000),
        SqlType::Xml,
    ]
}

/// `max_length` in bytes as the catalog shows it; -1 is `max`.
pub fn max_length(ty: &SqlType) -> i16 {
    match ty {
        SqlType::Bit | SqlType::TinyInt => 1,
        SqlType::SmallInt => 2,
        SqlType::Int | SqlType::Real | SqlType::SmallMoney | SqlType::SmallDateTime => 4,
        SqlType::BigInt
        | SqlType::Float
        | SqlType::Money
        | SqlType::DateTime
        | SqlType::RowVersion => 8,
        SqlType::Decimal { precision, .. } => match precision {
            0..=9 => 5,
            10..=19 => 9,
            20..=28 => 13,
            _ => 17,
        },
        SqlType::Date => 3,
        SqlType::Time(scale) => time_bytes(*scale),
        SqlType::DateTime2(scale) => time_bytes(*scale) + 3,
        SqlType::DateTimeOffset(scale) => time_bytes(*scale) + 5,
        SqlType::Char(n) | SqlType::Binary(n) => *n as i16,
        SqlType::NChar(n) => (*n * 2) as i16,
        SqlType::VarChar(n) | SqlType::VarBinary(n) => n.map_or(-1, |n| n as i16),
        SqlType::NVarChar(n) => n.map_or(-1, |n| (n * 2) as i16),
        SqlType::Text | SqlType::NText | SqlType::Image | SqlType::UniqueIdentifier => 16,
        SqlType::Xml | SqlType::Geometry | SqlType::Geography => -1,
        SqlType::SqlVariant => 8016,
        SqlType::HierarchyId => 892,
    }
}

fn time_bytes(scale: u8) -> i16 {
    match scale {
        0..=2 => 3,
        3..=4 => 4,
        _ => 5,
    }
}

/// `precision` and `scale` as the catalog shows them.
pub fn precision_scale(ty: &SqlType) -> (u8, u8) {
    let fraction = |base: u8, scale: u8| {
        if scale == 0 {
            (base, 0)
        } else {
            (base + 1 + scale, scale)
        }
    };
    match ty {
        SqlType::Bit => (1, 0),
        SqlType::TinyInt => (3, 0),
        SqlType::SmallInt => (5, 0),
        SqlType::Int => (10, 0),
        SqlType::BigInt => (19, 0),
        SqlType::Decimal {
            precision, scale, ..
        } => (*precision, *scale),
        SqlType::Money => (19, 4),
        SqlType::SmallMoney => (10, 4),
        SqlType::Real => (24, 0),
        SqlType::Float => (53, 0),
        SqlType::Date => (10, 0),
        SqlType::Time(scale) => fraction(8, *scale),
        SqlType::DateTime => (23, 3),
        SqlType::SmallDateTime => (16, 0),
        SqlType::DateTime2(scale) => fraction(19, *scale),
        SqlType::DateTimeOffset(scale) => fraction(26, *scale),
        SqlType::Char(_)
        | SqlType::VarChar(_)
        | SqlType::Text
        | SqlType::NChar(_)
        | SqlType::NVarChar(_)
        | SqlType::NText
        | SqlType::Binary(_)
        | SqlType::VarBinary(_)
        | SqlType::Image
        | SqlType::UniqueIdentifier
        | SqlType::RowVersion
        | SqlType::Xml
        | SqlType::SqlVariant
        | SqlType::HierarchyId
        | SqlType::Geometry
        | SqlType::Geography => (0, 0),
    }
}

/// The type as one writes it: `decimal(10,2)`, `nvarchar(max)`.
pub fn display(ty: &SqlType) -> String {
    let sized = |n: &Option<u16>| n.map_or("max".to_string(), |n| n.to_string());
    match ty {
        SqlType::Decimal {
            precision, scale, ..
        } => format!("{}({precision},{scale})", name(ty)),
        SqlType::Time(s) | SqlType::DateTime2(s) | SqlType::DateTimeOffset(s) => {
            format!("{}({s})", name(ty))
        }
        SqlType::Char(n) | SqlType::NChar(n) | SqlType::Binary(n) => format!("{}({n})", name(ty)),
        SqlType::VarChar(n) | SqlType::NVarChar(n) | SqlType::VarBinary(n) => {
            format!("{}({})", name(ty), sized(n))
        }
        other => name(other).to_string(),
    }
}

pub fn is_character(ty: &SqlType) -> bool {
    is_unicode(ty) || matches!(ty, SqlType::Char(_) | SqlType::VarChar(_) | SqlType::Text)
}

pub fn is_unicode(ty: &SqlType) -> bool {
    matches!(
        ty,
        SqlType::NChar(_) | SqlType::NVarChar(_) | SqlType::NText | SqlType::Xml
    )
}

pub fn is_binary(ty: &SqlType) -> bool {
    matches!(
        ty,
        SqlType::Binary(_) | SqlType::VarBinary(_) | SqlType::Image | SqlType::RowVersion
    )
}

pub fn is_integer(ty: &SqlType) -> bool {
    matches!(
        ty,
        SqlType::Bit | SqlType::TinyInt | SqlType::SmallInt | SqlType::Int | SqlType::BigInt
    )
}

pub fn is_number(ty: &SqlType) -> bool {
    is_integer(ty)
        || matches!(
            ty,
            SqlType::Decimal { .. }
                | SqlType::Money
                | SqlType::SmallMoney
                | SqlType::Real
                | SqlType::Float
        )
}

pub fn is_temporal(ty: &SqlType) -> bool {
    matches!(
        ty,
        SqlType::Date
            | SqlType::Time(_)
            | SqlType::DateTime
            | SqlType::SmallDateTime
            | SqlType::DateTime2(_)
            | SqlType::DateTimeOffset(_)
    )
}

/// Types that SQL Server neither compares nor sorts (error 306 or 402).
pub fn is_comparable(ty: &SqlType) -> bool {
    !matches!(
        ty,
        SqlType::Text
            | SqlType::NText
            | SqlType::Image
            | SqlType::Xml
            | SqlType::Geometry
            | SqlType::Geography
    )
}

/// Declared length in characters or bytes; none is `max` or unbounded.
pub fn length(ty: &SqlType) -> Option<u16> {
    match ty {
        SqlType::Char(n) | SqlType::NChar(n) | SqlType::Binary(n) => Some(*n),
        SqlType::VarChar(n) | SqlType::NVarChar(n) | SqlType::VarBinary(n) => *n,
        SqlType::RowVersion => Some(8),
        _ => None,
    }
}

/// The type of a value whose type nobody states (a variant's base, a literal).
pub fn of_value(value: &Value) -> SqlType {
    match value {
        Value::Null => SqlType::Int,
        Value::Bit(_) => SqlType::Bit,
        Value::TinyInt(_) => SqlType::TinyInt,
        Value::SmallInt(_) => SqlType::SmallInt,
        Value::Int(_) => SqlType::Int,
        Value::BigInt(_) => SqlType::BigInt,
        Value::Decimal { unscaled, scale } => SqlType::Decimal {
            precision: decimal::digits(*unscaled).max(*scale).max(1),
            scale: *scale,
            numeric: true,
        },
        Value::Money(_) => SqlType::Money,
        Value::Real(_) => SqlType::Real,
        Value::Float(_) => SqlType::Float,
        Value::Date(_) => SqlType::Date,
        Value::Time(_) => SqlType::Time(7),
        Value::DateTime { .. } => SqlType::DateTime,
        Value::SmallDateTime { .. } => SqlType::SmallDateTime,
        Value::DateTime2 { .. } => SqlType::DateTime2(7),
        Value::DateTimeOffset { .. } => SqlType::DateTimeOffset(7),
        Value::Str(text) => {
            SqlType::NVarChar(u16::try_from(text.len().max(1)).ok().filter(|n| *n <= 4000))
        }
        Value::Bytes(bytes) => SqlType::VarBinary(
            u16::try_from(bytes.len().max(1))
                .ok()
                .filter(|n| *n <= 8000),
        ),
        Value::Guid(_) => SqlType::UniqueIdentifier,
        Value::Variant(_) => SqlType::SqlVariant,
    }
}

/// Fits an integer into an integer type; error 220 or 8115 when it does not.
pub fn fit_integer(value: i128, ty: &SqlType) -> Result<Value, SqlError> {
    let out = match ty {
        SqlType::Bit => Some(Value::Bit(value != 0)),
        SqlType::TinyInt => u8::try_from(value).ok().map(Value::TinyInt),
        SqlType::SmallInt => i16::try_from(value).ok().map(Value::SmallInt),
        SqlType::Int => i32::try_from(value).ok().map(Value::Int),
        _ => i64::try_from(value).ok().map(Value::BigInt),
    };
    out.ok_or_else(|| match ty {
        SqlType::TinyInt | SqlType::SmallInt => error(
            220,
            16,
            format!(
                "Arithmetic overflow error for data type {}, value = {value}.",
                name(ty)
            ),
        ),
        other => overflow(name(other)),
    })
}

/// The integer inside a value of an integer type.
pub fn integer(value: &Value) -> Option<i128> {
    Some(match value {
        Value::Bit(v) => i128::from(*v),
        Value::TinyInt(v) => i128::from(*v),
        Value::SmallInt(v) => i128::from(*v),
        Value::Int(v) => i128::from(*v),
        Value::BigInt(v) => i128::from(*v),
        _ => return None,
    })
}

pub fn units(text: &str) -> Arc<[u16]> {
    text.encode_utf16().collect()
}

pub fn text(units: &[u16]) -> String {
    String::from_utf16_lossy(units)
}

/// An `nvarchar` value.
pub fn string(text: &str) -> Value {
    Value::Str(units(text))
}
