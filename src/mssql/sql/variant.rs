//! `sql_variant`: values as text with their base types, and back.
//!
//! A value is read as one text, its base type as declared, a colon, and the value: `decimal(10,2):12.50`,
//! `nvarchar(20) COLLATE X:abc`. In the lake and in the staging table the two stand in columns of their own. T-SQL
//! names a type only literally, so the statement that rebuilds the values has a branch for each base type that is
//! staged: they are asked for first ([`staged_types`]), taken apart, and written anew from their parts, never
//! copied.

use super::{CollationName, Ident, Statement, TableIdent};
use crate::schema::mapping::parameter_conversion;
use crate::schema::{Collation, SqlType, TableName};
use std::fmt;

/// What stands between base type and value. No type and no collation has it in its name.
pub const SEPARATOR: u8 = b':';

/// The base type of a `sql_variant` value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseType {
    pub ty: SqlType,
    /// Of text.
    pub collation: Option<Collation>,
}

impl fmt::Display for BaseType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.collation {
            Some(collation) => write!(f, "{} COLLATE {}", self.ty, CollationName(&collation.name)),
            None => self.ty.fmt(f),
        }
    }
}

impl BaseType {
    /// Reads what `base_type` makes; none for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let (declared, collation) = match text.split_once(" COLLATE ") {
            Some((declared, name)) => (declared, Some(name)),
            None => (text, None),
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if collation.is_some_and(|name| name.is_empty() || !name.chars().all(plain)) {
            return None;
        }
        let (name, sizes) = match declared.strip_suffix(')') {
            Some(open) => open.split_once('(')?,
            None => (declared, ""),
        };
        let sizes: Vec<u16> = match sizes {
            "" => Vec::new(),
            sizes => sizes
                .split(',')
                .map(|size| size.parse().ok())
                .collect::<Option<_>>()?,
        };
        let ty = base(name, &sizes)?;
        // The text says it, whatever else is written: a leading zero is not ours.
        let read = Self {
            ty,
            collation: collation.map(|name| Collation {
                name: name.to_owned(),
                code_page: 0,
            }),
        };
        let is_text = ty.is_text();
        (read.to_string() == text && is_text == read.collation.is_some()).then_some(read)
    }
}

/// The types that a `sql_variant` can hold.
fn base(name: &str, sizes: &[u16]) -> Option<SqlType> {
    let byte = |size: u16| u8::try_from(size).ok();
    Some(match (name, sizes) {
        ("bit", []) => SqlType::Bit,
        ("tinyint", []) => SqlType::TinyInt,
        ("smallint", []) => SqlType::SmallInt,
        ("int", []) => SqlType::Int,
        ("bigint", []) => SqlType::BigInt,
        ("decimal", &[precision, scale]) => SqlType::Decimal {
            precision: byte(precision)?,
            scale: byte(scale)?,
        },
        ("numeric", &[precision, scale]) => SqlType::Numeric {
            precision: byte(precision)?,
            scale: byte(scale)?,
        },
        ("money", []) => SqlType::Money,
        ("smallmoney", []) => SqlType::SmallMoney,
        ("real", []) => SqlType::Real,
        ("float", []) => SqlType::Float,
        ("date", []) => SqlType::Date,
        ("time", &[scale]) => SqlType::Time {
            scale: byte(scale)?,
        },
        ("datetime", []) => SqlType::DateTime,
        ("smalldatetime", []) => SqlType::SmallDateTime,
        ("datetime2", &[scale]) => SqlType::DateTime2 {
            scale: byte(scale)?,
        },
        ("datetimeoffset", &[scale]) => SqlType::DateTimeOffset {
            scale: byte(scale)?,
        },
        ("char", &[length]) => SqlType::Char { length },
        ("varchar", &[length]) => SqlType::VarChar {
            length: Some(length),
        },
        ("nchar", &[length]) => SqlType::NChar { length },
        ("nvarchar", &[length]) => SqlType::NVarChar {
            length: Some(length),
        },
        ("binary", &[length]) => SqlType::Binary { length },
        ("varbinary", &[length]) => SqlType::VarBinary {
            length: Some(length),
        },
        ("uniqueidentifier", []) => SqlType::UniqueIdentifier,
        _ => return None,
    })
}

fn property(value: &str, name: &str) -> String {
    format!("SQL_VARIANT_PROPERTY({value}, '{name}')")
}

fn base_name(value: &str) -> String {
    format!("CONVERT(nvarchar(128), {})", property(value, "BaseType"))
}

/// The base type as [`BaseType`] reads it; NULL for NULL.
pub(super) fn base_type(value: &str) -> String {
    let name = base_name(value);
    let int = |what: &str| format!("CONVERT(int, {})", property(value, what));
    let (precision, scale, bytes) = (int("Precision"), int("Scale"), int("MaxLength"));
    let collation = format!("CONVERT(nvarchar(128), {})", property(value, "Collation"));
    format!(
        "{name} + CASE WHEN {name} IN (N'decimal', N'numeric') THEN CONCAT(N'(', {precision}, N',', {scale}, N')') \
WHEN {name} IN (N'time', N'datetime2', N'datetimeoffset') THEN CONCAT(N'(', {scale}, N')') \
WHEN {name} IN (N'char', N'varchar', N'binary', N'varbinary') THEN CONCAT(N'(', {bytes}, N')') \
WHEN {name} IN (N'nchar', N'nvarchar') THEN CONCAT(N'(', {bytes} / 2, N')') ELSE N'' END + ISNULL(N' COLLATE ' + \
{collation}, N'')"
    )
}

/// The value as text from which exactly the same value is made again: dates in style 121, floating-point numbers
/// with 17 digits, money with all its digits, binary as `0x` and hex digits.
pub(super) fn text(value: &str) -> String {
    let through =
        |ty: &str, style: u8| format!("CONVERT(nvarchar(max), CONVERT({ty}, {value}), {style})");
    let mut sql = format!("CASE {}", base_name(value));
    for (name, text) in [
        ("real", through("real", 3)),
        ("float", through("float", 3)),
        ("money", through("money", 2)),
        ("smallmoney", through("smallmoney", 2)),
        ("date", through("date", 121)),
        ("time", through("time(7)", 121)),
        ("datetime", through("datetime", 121)),
        ("smalldatetime", through("smalldatetime", 121)),
        ("datetime2", through("datetime2(7)", 121)),
        ("datetimeoffset", through("datetimeoffset(7)", 121)),
        ("binary", through("varbinary(8000)", 1)),
        ("varbinary", through("varbinary(8000)", 1)),
    ] {
        sql.push_str(&format!(" WHEN N'{name}' THEN {text}"));
    }
    format!("{sql} ELSE CONVERT(nvarchar(max), {value}) END")
}

/// Base type, separator and value in one text.
pub(super) fn read(value: &str) -> String {
    format!(
        "{} + N'{}' + {}",
        base_type(value),
        char::from(SEPARATOR),
        text(value)
    )
}

/// The distinct base types (`base_type`) in a column of a staging table.
pub fn staged_types(staging: &TableName, column: &str) -> Statement {
    let name = Ident(column);
    Statement::plain(format!(
        "SELECT DISTINCT s.{name} AS base_type FROM {} AS s WHERE s.{name} IS NOT NULL;",
        TableIdent(staging)
    ))
}

/// Staged text and base type as the value that they stand for.
pub(super) fn rebuilt(text: &str, base_type: &str, types: &[BaseType]) -> String {
    if types.is_empty() {
        return "CONVERT(sql_variant, NULL)".to_owned();
    }
    let mut sql = format!("CASE {base_type}");
    for base in types {
        let value = match &base.collation {
            Some(collation) => format!("{text} COLLATE {}", CollationName(&collation.name)),
            None => text.to_owned(),
        };
        let typed = parameter_conversion(base.ty, None, &value);
        sql.push_str(&format!(
            " WHEN N'{base}' THEN CONVERT(sql_variant, {typed})"
        ));
    }
    sql + " END"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_types_read_back_as_written_and_nothing_else_does() {
        for text in [
            "int",
            "decimal(38,10)",
            "numeric(5,0)",
            "datetime2(7)",
            "time(0)",
            "binary(16)",
            "varchar(8000) COLLATE SQL_Latin1_General_CP1_CI_AS",
            "nchar(20) COLLATE Chinese_Taiwan_Stroke_CI_AS",
            "uniqueidentifier",
        ] {
            let read = BaseType::parse(text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(read.to_string(), text);
        }
        for text in [
            "",
            "int(4)",
            "decimal(10)",
            "decimal(010,2)",
            "decimal(300,2)",
            "varchar(10)",
            "varchar(max)",
            "xml",
            "int COLLATE X",
            "nvarchar(5) COLLATE X' OR 1=1 --",
            "nvarchar(5) COLLATE ",
            "INT",
        ] {
            assert_eq!(BaseType::parse(text), None, "{text}");
        }
    }
}
