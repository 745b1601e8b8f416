//! What a SQL Server table looks like, in the words of its catalog, and what it becomes in the lake.
//!
//! A [`TableSchema`] is discovered from the source, kept as JSON in the lake table's properties, and is what a
//! target table is rebuilt from.

pub mod columns;
pub mod definition;
pub mod deleted;
pub mod digest;
pub mod drift;
pub mod mapping;
pub mod types;

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A two-part name: `schema.table` in SQL Server, `namespace.table` in the lake. Never quoted inside.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TableName {
    pub schema: String,
    pub name: String,
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", bracket(&self.schema), bracket(&self.name))
    }
}

/// Brackets a part only where it could not be read back otherwise.
fn bracket(part: &str) -> String {
    let plain = part
        .chars()
        .all(|c| c.is_alphanumeric() || matches!(c, '_' | '#' | '$' | '@' | '-'));
    if plain && !part.is_empty() {
        part.to_owned()
    } else {
        format!("[{}]", part.replace(']', "]]"))
    }
}

/// A name as a word of a command that a message offers: a shell takes it as it is.
pub fn shell_quoted(name: impl fmt::Display) -> String {
    let name = name.to_string();
    let is_plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '@' | '-');
    match !name.is_empty() && name.chars().all(is_plain) {
        true => name,
        false => format!("'{}'", name.replace('\'', r"'\''")),
    }
}

/// A table name that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a table name: write schema.table, with [brackets] around a part that contains a dot"
)]
pub struct BadTableName(pub String);

impl FromStr for TableName {
    type Err = BadTableName;

    /// Reads `schema.table` or `[schema].[table]`; a single part gets schema `dbo`.
    fn from_str(text: &str) -> Result<Self, BadTableName> {
        let bad = || BadTableName(text.to_owned());
        let mut parts = Vec::new();
        let mut rest = text.trim();
        loop {
            let part;
            if let Some(quoted) = rest.strip_prefix('[') {
                let (name, after) = read_bracketed(quoted).ok_or_else(bad)?;
                part = name;
                rest = after;
            } else {
                let end = rest.find('.').unwrap_or(rest.len());
                part = rest[..end].to_owned();
                rest = &rest[end..];
            }
            if part.is_empty() || part.contains('\0') {
                return Err(bad());
            }
            parts.push(part);
            match rest.strip_prefix('.') {
                Some(after) => rest = after,
                None if rest.is_empty() => break,
                None => return Err(bad()),
            }
        }
        let mut parts = parts.into_iter();
        match (parts.next(), parts.next(), parts.next()) {
            (Some(schema), Some(name), None) => Ok(Self { schema, name }),
            (Some(name), None, None) => Ok(Self {
                schema: "dbo".into(),
                name,
            }),
            _ => Err(bad()),
        }
    }
}

/// Reads up to the closing bracket (`]]` stands for one); returns the name and what follows.
fn read_bracketed(text: &str) -> Option<(String, &str)> {
    let mut name = String::new();
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        if c != ']' {
            name.push(c);
        } else if matches!(chars.peek(), Some((_, ']'))) {
            name.push(']');
            chars.next();
        } else {
            return Some((name, &text[at + 1..]));
        }
    }
    None
}

impl TryFrom<String> for TableName {
    type Error = BadTableName;
    fn try_from(text: String) -> Result<Self, BadTableName> {
        text.parse()
    }
}

impl From<TableName> for String {
    fn from(name: TableName) -> Self {
        name.to_string()
    }
}

/// A SQL Server type as declared. Lengths are in characters for `n`-types and bytes otherwise; `None` is `max`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum SqlType {
    Bit,
    TinyInt,
    SmallInt,
    Int,
    BigInt,
    Decimal {
        precision: u8,
        scale: u8,
    },
    Numeric {
        precision: u8,
        scale: u8,
    },
    Money,
    SmallMoney,
    Real,
    Float,
    Date,
    Time {
        scale: u8,
    },
    DateTime,
    SmallDateTime,
    DateTime2 {
        scale: u8,
    },
    DateTimeOffset {
        scale: u8,
    },
    Char {
        length: u16,
    },
    VarChar {
        length: Option<u16>,
    },
    Text,
    NChar {
        length: u16,
    },
    NVarChar {
        length: Option<u16>,
    },
    NText,
    Binary {
        length: u16,
    },
    VarBinary {
        length: Option<u16>,
    },
    Image,
    UniqueIdentifier,
    RowVersion,
    Xml,
    #[serde(rename = "sql_variant")]
    SqlVariant,
    HierarchyId,
    Geometry,
    Geography,
    Json,
    Vector {
        dimensions: u16,
    },
}

/// The collation of a character column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Collation {
    pub name: String,
    /// Windows code page of its non-Unicode data; 0 for collations that have none.
    pub code_page: u32,
}

/// How SQL Server fills a column by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Generated {
    /// It does not: the column is written by its users.
    #[default]
    No,
    Identity,
    /// With 0, unless it is written: a flag that only a target has.
    Flag,
    /// Computed, persisted or not.
    Computed,
    /// Period column of a system-versioned table.
    RowStart,
    RowEnd,
}

/// One column as the source declares it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// `sys.columns.column_id`: stays when the column is renamed, never reused.
    pub id: i32,
    pub name: String,
    #[serde(flatten)]
    pub ty: SqlType,
    pub nullable: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collation: Option<Collation>,
    #[serde(default)]
    pub generated: Generated,
}

/// Where the key came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyOrigin {
    PrimaryKey,
    UniqueIndex(String),
    Config,
}

/// The columns that identify a row; never empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// Positions in [`TableSchema::columns`], in key order.
    pub columns: Vec<usize>,
    pub origin: KeyOrigin,
}

/// A table as discovered, with the columns that are replicated, in the order of the source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableSchema {
    pub name: TableName,
    pub columns: Vec<Column>,
    pub key: Option<Key>,
}

impl TableSchema {
    /// The key's columns, in key order; empty without a key.
    pub fn key_columns(&self) -> impl Iterator<Item = &Column> {
        self.key
            .iter()
            .flat_map(|key| key.columns.iter())
            .filter_map(|&at| self.columns.get(at))
    }

    /// Position of a column by name, as SQL Server's default collations compare names (ASCII case ignored).
    pub fn position(&self, name: &str) -> Option<usize> {
        self.columns
            .iter()
            .position(|column| column.name == name)
            .or_else(|| {
                self.columns
                    .iter()
                    .position(|column| column.name.eq_ignore_ascii_case(name))
            })
    }
}

/// A primitive Iceberg v2 type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LakeType {
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Decimal {
        precision: u8,
        scale: u8,
    },
    Date,
    /// Microseconds.
    Time,
    Timestamp,
    TimestampTz,
    String,
    Uuid,
    Fixed(u16),
    Binary,
}

/// What a lake field holds of its source column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The value.
    Value,
    /// Companion `<name>__100ns`: the seventh digit of a second, 0 to 9.
    Ticks,
    /// Companion `<name>__offset`: minutes east of UTC.
    Offset,
    /// Companion `<name>__type`: the base type of a `sql_variant`.
    BaseType,
    /// Companion `<name>__srid` of a spatial value.
    Srid,
    /// History column `_op`: `I`, `U`, `D`, or `R` (read by a full refresh).
    Op,
    /// History column `_seq`: order of the row within its table, ascending over commits.
    Seq,
    /// History column `_committed_at`: when icesync committed the row, UTC.
    CommittedAt,
}

/// One field of a lake table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LakeField {
    pub name: String,
    pub ty: LakeType,
    pub required: bool,
    /// Position of the source column in [`TableSchema::columns`]; none for history columns.
    pub source: Option<usize>,
    pub role: Role,
}

/// How two values of a key column are told apart, so that the lake sees as one key what the source sees as one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct KeyFold {
    /// Trailing spaces do not count (every SQL Server character type).
    pub trim: bool,
    /// ASCII letters compare without case (`_CI_` collations of languages where case alone tells no texts apart). Only
    /// ASCII, because folding less than the source costs a stale row, folding more would lose one.
    pub ascii_case: bool,
    /// Trailing zero bytes do not count (`varbinary`). Older builds told such keys apart, and so do the tables that
    /// they created.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub zeros: bool,
}

/// One key field of a lake table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LakeKeyField {
    /// Position in [`LakeSchema::fields`].
    pub field: usize,
    pub fold: KeyFold,
}

/// The shape of a lake table: fields in order, and the fields that identify a row (empty: no key). A key column
/// with a `__100ns` companion brings it into the key; an `__offset` stays outside, because SQL Server compares
/// instants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LakeSchema {
    pub fields: Vec<LakeField>,
    pub key: Vec<LakeKeyField>,
}

/// How a lake table keeps rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TableKind {
    /// One row per key, the latest.
    Mirror,
    /// Every version read, with `_op`, `_seq`, `_committed_at`.
    History,
}

/// What becomes of precision that Iceberg's microseconds cannot carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fidelity {
    /// Kept in companion columns.
    #[default]
    Exact,
    /// Truncated, and counted in the report.
    Standard,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_word_of_a_command() {
        for (name, word) in [
            ("dbo.orders", "dbo.orders"),
            ("sales.訂單", "sales.訂單"),
            ("dbo.[O'Brien]", r"'dbo.[O'\''Brien]'"),
            ("dbo.$a", "'dbo.$a'"),
            ("a`reboot`", "'a`reboot`'"),
            ("", "''"),
        ] {
            assert_eq!(shell_quoted(name), word);
        }
    }

    #[test]
    fn table_names_read_back_as_written() {
        for (text, schema, name) in [
            ("dbo.orders", "dbo", "orders"),
            ("orders", "dbo", "orders"),
            ("[my.schema].[a]]b]", "my.schema", "a]b"),
            ("sales.訂單", "sales", "訂單"),
        ] {
            let parsed: TableName = text.parse().unwrap();
            assert_eq!(
                (parsed.schema.as_str(), parsed.name.as_str()),
                (schema, name)
            );
            assert_eq!(parsed.to_string().parse::<TableName>().unwrap(), parsed);
        }
        for text in ["", "a.b.c", "a.", ".b", "[a", "[a]b.c", "a..b"] {
            assert!(text.parse::<TableName>().is_err(), "{text}");
        }
    }
}
