//! What a table has besides its columns and its key, and which of it a created target gets.
//!
//! A lake table keeps its source's [`Definition`] as JSON in a table property, because a load may run where the source
//! cannot be reached. Expressions (filters, defaults, checks) are kept as the source's catalog shows them. They are
//! T-SQL of others: what is run of them is checked first (`mssql/sql/enclosed.rs`).

use serde::{Deserialize, Serialize};
use std::fmt;

/// The form of the JSON that this build writes, and the newest that it reads.
pub const VERSION: u32 = 1;

/// A definition whose JSON is longer than this is not recorded: every commit writes the table's properties again.
pub const BYTES_MAX: usize = 256 * 1024;

/// What of the source's table a created target gets: `create:` of the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "`{ indexes: true, ... }`")]
pub struct CreateOptions {
    pub indexes: bool,
    pub defaults: bool,
    pub checks: bool,
    /// Seed and increment of an identity.
    pub identity: bool,
    pub compression: bool,
}

impl CreateOptions {
    /// Whether anything of the source's definition is needed.
    pub fn any(self) -> bool {
        self.indexes || self.defaults || self.checks || self.identity || self.compression
    }
}

/// What a table has besides its columns and its key.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Definition {
    pub version: u32,
    /// Of the heap or the clustered index; of partitions that differ, the strongest.
    #[serde(default)]
    pub compression: Compression,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
    /// All that are in use, those of keys included.
    #[serde(default)]
    pub indexes: Vec<TableIndex>,
    #[serde(default)]
    pub defaults: Vec<ColumnDefault>,
    #[serde(default)]
    pub checks: Vec<Check>,
    /// What cannot be created again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub omitted: Vec<Omitted>,
}

/// Why a recorded definition cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unreadable {
    /// Recorded in a form that this build does not know.
    Newer(u32),
    Damaged(String),
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unreadable::Newer(version) => write!(
                f,
                "it is of version {version}, and this icesync reads up to {VERSION}"
            ),
            Unreadable::Damaged(why) => f.write_str(why),
        }
    }
}

impl Definition {
    /// Reads what [`Definition::write`] wrote, or says why it cannot.
    pub fn read(json: &str) -> Result<Self, Unreadable> {
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        let damaged = |error: serde_json::Error| Unreadable::Damaged(error.to_string());
        let Versioned { version } = serde_json::from_str(json).map_err(damaged)?;
        if version > VERSION {
            return Err(Unreadable::Newer(version));
        }
        serde_json::from_str(json).map_err(damaged)
    }

    /// The definition of a table that calls its columns otherwise: `names` are pairs of the name here and the name
    /// there, of the columns that it has. What cannot be said of that table is omitted, with the reason.
    #[must_use]
    pub fn under(&self, names: &[(&str, &str)]) -> Self {
        let there = |name: &str| {
            let found = names.iter().find(|(here, _)| *here == name);
            found.map(|(_, there)| (*there).to_owned())
        };
        let mut under = Self {
            indexes: Vec::new(),
            defaults: Vec::new(),
            checks: Vec::new(),
            ..self.clone()
        };
        for index in &self.indexes {
            let named = index.under(&there).and_then(|named| {
                let filter = index.filter.as_deref().and_then(|text| moved(text, names));
                match filter {
                    Some(column) => Err(format!("its filter names {column}, {MOVED}")),
                    None => Ok(named),
                }
            });
            match named {
                Ok(index) => under.indexes.push(index),
                Err(why) => under.omit(Part::Indexes, format!("index {}: {why}", index.name)),
            }
        }
        for default in &self.defaults {
            under
                .defaults
                .extend(there(&default.column).map(|column| ColumnDefault {
                    column,
                    ..default.clone()
                }));
        }
        for check in &self.checks {
            match moved(&check.definition, names) {
                Some(column) => under.omit(
                    Part::Checks,
                    format!("check {}: it names {column}, {MOVED}", check.name),
                ),
                None => under.checks.push(check.clone()),
            }
        }
        under
    }

    /// Says that something is not copied.
    pub fn omit(&mut self, part: Part, what: String) {
        self.omitted.push(Omitted { part, what });
    }

    /// The JSON to keep.
    pub fn write(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }
}

/// Why an expression is not copied.
const MOVED: &str = "which is another column in the target";

/// A name in an expression that does not mean the same column under other names. The catalog writes names in brackets.
/// A text that only looks like one counts, too.
fn moved<'a>(text: &str, names: &[(&'a str, &'a str)]) -> Option<&'a str> {
    let text = text.to_lowercase();
    let is_in = |name: &str| {
        let quoted = format!("[{}]", name.replace(']', "]]")).to_lowercase();
        text.contains(&quoted)
    };
    let moved = names.iter().filter(|(here, there)| here != there);
    let mut moved = moved.flat_map(|&(here, there)| [here, there]);
    moved.find(|name| is_in(name))
}

/// Seed and increment of an identity column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    #[serde(with = "digits")]
    pub seed: i128,
    #[serde(with = "digits")]
    pub increment: i128,
}

impl Identity {
    /// From the catalog's digits, which have at most 38.
    pub fn parse(seed: &str, increment: &str) -> Option<Self> {
        Some(Self {
            seed: seed.trim().parse().ok()?,
            increment: increment.trim().parse().ok()?,
        })
    }
}

/// As text: JSON's readers disagree about integers of more than 53 bits.
mod digits {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(value: &i128, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i128, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

/// An index with everything that makes it what it is, except where it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableIndex {
    pub name: String,
    pub kind: IndexKind,
    #[serde(default)]
    pub unique: bool,
    /// A PRIMARY KEY or UNIQUE constraint.
    #[serde(default)]
    pub constraint: bool,
    /// Empty for columnstores.
    #[serde(default)]
    pub key: Vec<IndexColumn>,
    /// Columns of a nonclustered columnstore; else those of INCLUDE.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub included: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    #[serde(default)]
    pub compression: Compression,
}

impl TableIndex {
    /// The index under the columns' names in another table, or why that has none.
    fn under(&self, there: &impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let named = |name: &str| {
            there(name).ok_or_else(|| format!("the target does not get its column {name}"))
        };
        let key = self.key.iter().map(|column| {
            Ok(IndexColumn {
                name: named(&column.name)?,
                ..column.clone()
            })
        });
        let included = self.included.iter().map(|column| named(column));
        Ok(Self {
            key: key.collect::<Result<_, String>>()?,
            included: included.collect::<Result<_, String>>()?,
            ..self.clone()
        })
    }

    /// Whether it is where the rows of the table are.
    pub fn is_clustered(&self) -> bool {
        match self.kind {
            IndexKind::Clustered | IndexKind::ClusteredColumnstore => true,
            IndexKind::Nonclustered | IndexKind::NonclusteredColumnstore => false,
        }
    }
}

/// The kinds of index that are copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IndexKind {
    Clustered,
    Nonclustered,
    ClusteredColumnstore,
    NonclusteredColumnstore,
}

/// A key column of an index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexColumn {
    pub name: String,
    #[serde(default)]
    pub descending: bool,
}

/// DATA_COMPRESSION.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Compression {
    #[default]
    None,
    Row,
    Page,
    Columnstore,
    ColumnstoreArchive,
}

/// A DEFAULT constraint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnDefault {
    pub name: String,
    pub column: String,
    pub definition: String,
}

/// A CHECK constraint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    pub name: String,
    pub definition: String,
    /// Enabled, and known to hold for every row.
    #[serde(default)]
    pub trusted: bool,
}

/// What a definition is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    Indexes,
    Defaults,
    Checks,
}

/// Something of the source's table that is not copied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Omitted {
    pub part: Part,
    /// What it is and why, as the end of a sentence.
    pub what: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_definition_is_read_as_it_was_written() {
        let definition = Definition {
            version: VERSION,
            compression: Compression::Page,
            identity: Identity::parse("-99999999999999999999999999999999999999", " 5 "),
            indexes: vec![TableIndex {
                name: "ix".into(),
                kind: IndexKind::Nonclustered,
                unique: true,
                constraint: false,
                key: vec![IndexColumn {
                    name: "a]".into(),
                    descending: true,
                }],
                included: vec!["b".into()],
                filter: Some("([a]>(0))".into()),
                compression: Compression::Row,
            }],
            defaults: vec![ColumnDefault {
                name: "df".into(),
                column: "b".into(),
                definition: "((0))".into(),
            }],
            checks: Vec::new(),
            omitted: vec![Omitted {
                part: Part::Indexes,
                what: "XML index x".into(),
            }],
        };
        assert!(definition.identity.is_some());
        let json = definition.write().unwrap();
        assert_eq!(Definition::read(&json), Ok(definition));
        // What later builds may leave out.
        let bare = Definition::read("{\"version\":1,\"later\":true}").unwrap();
        assert_eq!((bare.version, bare.indexes.len()), (1, 0));
    }

    #[test]
    fn columns_that_are_called_otherwise_take_their_indexes_and_no_expression_along() {
        let index = |name: &str, key: &str, filter: Option<&str>| TableIndex {
            name: name.into(),
            kind: IndexKind::Nonclustered,
            unique: false,
            constraint: false,
            key: vec![IndexColumn {
                name: key.into(),
                descending: false,
            }],
            included: Vec::new(),
            filter: filter.map(str::to_owned),
            compression: Compression::None,
        };
        let check = |name: &str, definition: &str| Check {
            name: name.into(),
            definition: definition.into(),
            trusted: true,
        };
        let default = |column: &str| ColumnDefault {
            name: format!("df_{column}"),
            column: column.into(),
            definition: "((0))".into(),
        };
        let definition = Definition {
            indexes: vec![
                index("renamed", "a", None),
                index("filtered", "c", Some("([A]>(0))")),
                index("gone", "b", None),
                index("kept", "c", Some("([c]>(0))")),
            ],
            defaults: vec![default("a"), default("b"), default("c")],
            checks: vec![
                check("old", "([a]>(0))"),
                check("new", "([b]>(0))"),
                check("same", "([c]>(0))"),
            ],
            ..Definition::default()
        };
        let under = definition.under(&[("a", "b"), ("c", "c")]);
        let indexes: Vec<(&str, &str)> = under
            .indexes
            .iter()
            .map(|index| (index.name.as_str(), index.key[0].name.as_str()))
            .collect();
        assert_eq!(indexes, [("renamed", "b"), ("kept", "c")]);
        let defaults: Vec<&str> = under.defaults.iter().map(|d| d.column.as_str()).collect();
        assert_eq!(defaults, ["b", "c"]);
        let checks: Vec<&str> = under.checks.iter().map(|c| c.name.as_str()).collect();
        assert_eq!(checks, ["same"]);
        assert_eq!(under.omitted.len(), 4);
    }

    #[test]
    fn another_form_is_told_from_damage() {
        let newer = Definition::read("{\"version\":2,\"indexes\":\"elsewhere\"}");
        assert_eq!(newer, Err(Unreadable::Newer(2)));
        let damaged = Definition::read("{\"version\":1,\"indexes\":7}");
        assert!(matches!(damaged, Err(Unreadable::Damaged(_))));
        assert!(matches!(
            Definition::read("[]"),
            Err(Unreadable::Damaged(_))
        ));
    }
}
