//! YAML and environment to a validated [`Config`].
//!
//! Guarantees: every key is known, `${NAME}` is replaced after the values are deserialised, so that a password may hold
//! any character, and an error names the file, the path inside it with line and column, and the remedy. No error holds
//! a value: one that stands in the wrong place may be a password. Errors are about the kind of thing that was found.
//! They quote names of variables, and words that are nearly one of those that are known.
//!
//! A secret that is a legal value where it stands, such as a password as the name of a table, is taken for that value.
//! A connection string is refused wherever it does not belong.

mod accept;
mod columns;
mod maintenance;
mod merge;
mod quarantine;
mod reader;
mod retry;
mod soft_delete;
mod tables;
mod variables;
mod yaml;

pub use crate::secret::Secret;
pub use maintenance::Maintenance;
pub use merge::{Merge, OnChange};
pub use retry::Retry;
pub use tables::{OnForeignCommit, Table};

use crate::change::Cycles;
use crate::schema::TableName;
use bytesize::ByteSize;
use maintenance::RawMaintenance;
use reader::{Misread, Reader};
use retry::RawRetry;
use serde::Deserialize;
use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use tables::RawTable;
use variables::{Complaint, Lookup, Size, Text};

/// A validated configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    pub source: Option<Database>,
    pub warehouse: Warehouse,
    pub target: Option<Database>,
    pub maintenance: Maintenance,
    pub load: LoadOptions,
    pub retry: Retry,
    /// In the order of the file; never empty.
    pub tables: Vec<Table>,
}

/// How the tables of a run are loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "`{ group: ... }`")]
pub struct LoadOptions {
    pub group: Group,
    pub cycles: Cycles,
}

/// Which tables are loaded in one transaction of the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Group {
    /// Those that foreign keys of the target connect.
    #[default]
    Auto,
    /// All of a run.
    All,
    /// None: each has a transaction of its own.
    None,
}

/// One side's database.
#[derive(Debug, Clone, PartialEq)]
pub struct Database {
    /// ADO.NET string or `mssql://` URL.
    pub connection: Secret,
    /// Tables worked on at once; each takes a control and a data connection.
    pub parallel_tables: usize,
    /// Data connections of one large table; those beyond its first are shared by all tables.
    pub parallel_channels: usize,
}

/// Where the lake is and how its files are cut.
#[derive(Debug, Clone, PartialEq)]
pub struct Warehouse {
    /// Path or URI; a relative path is taken from the configuration file's folder.
    pub location: String,
    /// A data file is closed at the first row group that passes this size, in bytes.
    pub target_file_bytes: u64,
}

/// Why a configuration cannot be used. All of these exit with 2.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read configuration file `{}`: {source}; name another with -c FILE", path.display())]
    Unreadable {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("configuration file `{}` is not YAML: {message}", path.display())]
    Syntax { path: PathBuf, message: String },
    #[error("configuration file `{}`, {place}: {message}", path.display())]
    Invalid {
        path: PathBuf,
        place: Place,
        message: String,
    },
}

/// A place in a configuration file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Keys and positions, such as `tables[0].change.lag`; empty for the whole file.
    pub path: String,
    /// From 1.
    pub line_column: Option<(usize, usize)>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.path.as_str(), self.line_column) {
            ("", None) => f.write_str("at its top"),
            ("", Some((line, column))) => write!(f, "at line {line} column {column}"),
            (path, None) => write!(f, "at `{path}`"),
            (path, Some((line, column))) => {
                write!(f, "at `{path}` (line {line} column {column})")
            }
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "the keys of a configuration")]
struct RawConfig {
    source: Option<RawDatabase>,
    warehouse: RawWarehouse,
    target: Option<RawDatabase>,
    #[serde(default)]
    maintenance: RawMaintenance,
    #[serde(default)]
    load: LoadOptions,
    #[serde(default)]
    retry: RawRetry,
    tables: Vec<RawTable>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "`{ connection: ... }`")]
struct RawDatabase {
    connection: Text,
    #[serde(default = "default_parallel")]
    parallel_tables: usize,
    #[serde(default = "default_parallel")]
    parallel_channels: usize,
}

fn default_parallel() -> usize {
    4
}

const FILE_SIZE: ByteSize = ByteSize::mib(256);

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "`{ location: ... }`")]
struct RawWarehouse {
    location: Text,
    #[serde(default)]
    catalog: CatalogKind,
    target_file_size: Option<Size>,
}

/// The catalogs that can be named; REST is refused until it exists.
#[derive(Deserialize, Default, PartialEq)]
#[serde(rename_all = "snake_case")]
enum CatalogKind {
    #[default]
    Filesystem,
}

impl Config {
    /// Reads and validates a file. `lookup` answers environment variables.
    pub fn read(path: &Path, lookup: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable {
            path: path.into(),
            source,
        })?;
        Self::parse(path, &text, lookup)
    }

    /// Validates the text of a file; `path` is for messages and for relative locations.
    pub fn parse(
        path: &Path,
        text: &str,
        lookup: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, ConfigError> {
        let tree = yaml::parse(text).map_err(|message| ConfigError::Syntax {
            path: path.into(),
            message,
        })?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let lookup: Lookup<'_> = &lookup;
        let raw = RawConfig::deserialize(Reader {
            node: &tree,
            lookup,
        });
        let config = raw.and_then(|raw| {
            let config = raw.validate(folder, lookup);
            config.map_err(|(at, message)| Misread {
                at,
                ..Misread::new(message)
            })
        });
        config.map_err(|misread| ConfigError::Invalid {
            path: path.into(),
            place: Place {
                line_column: yaml::locate(text, &misread.at, misread.entry),
                path: misread.at,
            },
            message: misread.message,
        })
    }
}

impl RawConfig {
    fn validate(self, folder: &Path, lookup: Lookup<'_>) -> Result<Config, Complaint> {
        if self.tables.is_empty() {
            return Err((
                "tables".into(),
                "no table is listed; add at least one `- source: schema.table`".into(),
            ));
        }
        let mut tables = Vec::with_capacity(self.tables.len());
        let mut lakes = HashMap::new();
        let mut targets = HashMap::new();
        for (index, raw) in self.tables.into_iter().enumerate() {
            let at = format!("tables[{index}]");
            let table = raw.validate(lookup, &at)?;
            if let Some(first) = lakes.insert(fold(&table.lake), index) {
                return Err((at, named_twice("lake", first)));
            }
            if let Some(first) = targets.insert(fold(&table.target), index) {
                return Err((at, named_twice("target", first)));
            }
            tables.push(table);
        }
        let database = |raw: Option<RawDatabase>, at: &str| {
            raw.map(|raw| raw.validate(lookup, at)).transpose()
        };
        Ok(Config {
            source: database(self.source, "source")?,
            warehouse: self.warehouse.validate(folder, lookup)?,
            target: database(self.target, "target")?,
            maintenance: self.maintenance.validate(lookup)?,
            load: self.load,
            retry: self.retry.validate(lookup)?,
            tables,
        })
    }
}

fn named_twice(side: &str, first: usize) -> String {
    format!(
        "its {side} table is named twice, here and by tables[{first}]; give one of them another `{side}:` name"
    )
}

/// Names that differ only in case would share a folder on some file systems, and a table on most servers.
fn fold(name: &TableName) -> String {
    name.to_string().to_lowercase()
}

impl RawDatabase {
    fn validate(self, lookup: Lookup<'_>, at: &str) -> Result<Database, Complaint> {
        let place = format!("{at}.connection");
        let connection = self.connection.secret(lookup, &place)?;
        if connection.expose().trim().is_empty() {
            return Err((
                place,
                "is empty; write an ADO.NET connection string or mssql://user:password@host:port/database".into(),
            ));
        }
        if !(1..=64).contains(&self.parallel_tables) {
            return Err((
                format!("{at}.parallel_tables"),
                "must be between 1 and 64".into(),
            ));
        }
        if !(1..=64).contains(&self.parallel_channels) {
            return Err((
                format!("{at}.parallel_channels"),
                "must be between 1 and 64".into(),
            ));
        }
        Ok(Database {
            connection,
            parallel_tables: self.parallel_tables,
            parallel_channels: self.parallel_channels,
        })
    }
}

impl RawWarehouse {
    fn validate(self, folder: &Path, lookup: Lookup<'_>) -> Result<Warehouse, Complaint> {
        let CatalogKind::Filesystem = self.catalog;
        let place = "warehouse.location";
        let location = self.location.plain(lookup, place)?;
        if location.trim().is_empty() {
            return Err((
                place.into(),
                "is empty; write a folder or a file:// URI".into(),
            ));
        }
        // Not quoted: it may hold a key of a storage account.
        let is_uri = location.contains("://");
        let path = location.strip_prefix("file://");
        let path = path.map(|path| path.strip_prefix("localhost").unwrap_or(path));
        if is_uri && !path.is_some_and(|path| path.starts_with('/')) {
            return Err((
                place.into(),
                "is neither a folder nor a file:// URI of this machine (not shown: it may hold a secret)".into(),
            ));
        }
        let place = "warehouse.target_file_size";
        let size = self.target_file_size.map(|size| size.bytes(lookup, place));
        let size = size.transpose()?.unwrap_or(FILE_SIZE);
        if !(ByteSize::mib(1)..=ByteSize::gib(16)).contains(&size) {
            return Err((place.into(), "must be between 1MiB and 16GiB".into()));
        }
        Ok(Warehouse {
            location: match is_uri {
                true => location,
                false => folder.join(&location).to_string_lossy().into_owned(),
            },
            target_file_bytes: size.as_u64(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::{ChangeOptions, Clock, Deletes, MergeMode, SoftDeletes, UpsertStatement};
    use crate::schema::TableKind;
    use crate::schema::columns::Which;
    use crate::schema::definition::CreateOptions;
    use crate::schema::drift::DeclaredChanges;
    use std::time::Duration;

    fn lookup(name: &str) -> Option<String> {
        let value = match name {
            "SOURCE" => "Server=s;Password=p{a}'\"s: #s",
            "NUMBER" => "7",
            "YES" => "true",
            "WORD" => "upsert",
            "CLOCK" => "local",
            "NAME" => "sales",
            _ => return None,
        };
        Some(value.to_owned())
    }

    fn parse(text: &str) -> Result<Config, ConfigError> {
        Config::parse(Path::new("conf/icesync.yaml"), text, lookup)
    }

    fn complaint(text: &str) -> String {
        parse(text).expect_err("refused").to_string()
    }

    const HEAD: &str =
        "source: { connection: \"${SOURCE}\" }\nwarehouse: { location: lake }\ntables:\n";

    #[test]
    fn defaults_are_as_documented() {
        let config = parse(&format!("{HEAD}  - source: orders\n")).unwrap();
        let table = &config.tables[0];
        assert_eq!(table.source.to_string(), "dbo.orders");
        assert_eq!((&table.lake, &table.target), (&table.source, &table.source));
        assert_eq!(table.kind, TableKind::Mirror);
        assert_eq!(table.change, ChangeOptions::default());
        assert_eq!(table.merge, Merge::default());
        assert_eq!(table.merge.on_schema_change, OnChange::Evolve);
        assert_eq!(table.create, CreateOptions::default());
        assert!(!table.create.any());
        assert_eq!(table.on_change, OnChange::Evolve);
        assert_eq!(table.declared, DeclaredChanges::default());
        assert!(table.columns.is_everything() && table.target_columns.is_everything());
        assert_eq!(config.warehouse.location, "conf/lake");
        assert_eq!(config.warehouse.target_file_bytes, 256 << 20);
        assert!(config.target.is_none());
    }

    #[test]
    fn a_quarantine_takes_a_hundred_rows_and_one_transaction() {
        let merge = |merge: &str| {
            let config =
                parse(&format!("{HEAD}  - source: t\n    merge: {{ {merge} }}\n")).unwrap();
            config.tables[0].merge.clone()
        };
        let usual = merge("on_bad_row: quarantine");
        assert_eq!((usual.quarantine, usual.batch_rows), (Some(100), 0));
        let few = merge("on_bad_row: quarantine, max_bad_rows: 3");
        assert_eq!(few.quarantine, Some(3));
        assert_eq!(merge("on_bad_row: stop").quarantine, None);
    }

    #[test]
    fn a_secret_may_hold_any_character_and_never_prints() {
        let config = parse(&format!("{HEAD}  - source: t\n")).unwrap();
        let source = config.source.as_ref().unwrap();
        assert_eq!(source.connection.expose(), "Server=s;Password=p{a}'\"s: #s");
        assert!(!format!("{config:?}").contains("p{a}"));
    }

    #[test]
    fn what_is_written_is_told_from_a_default() {
        let of = |table: &str| {
            let config = parse(&format!("{HEAD}  - source: t\n{table}")).unwrap();
            config.tables[0].clone()
        };
        assert_eq!(of("").merge.statement, None);
        let written = of("    merge: { statement: merge }\n").merge.statement;
        assert_eq!(written, Some(UpsertStatement::Merge));
        let create = of("    create: { indexes: true, identity: true }\n").create;
        assert!(create.indexes && create.identity && create.any());
        assert!(!create.defaults && !create.checks && !create.compression);
    }

    #[test]
    fn units_are_read() {
        let text = format!(
            "{}  - source: t\n    change: {{ strategy: timestamp, column: at, lag: 500ms, overlap: 1h 30m }}\n",
            HEAD.replace("lake }", "lake, target_file_size: 64MiB }")
        );
        let config = parse(&text).unwrap();
        assert_eq!(config.warehouse.target_file_bytes, 64 << 20);
        assert_eq!(config.tables[0].change.lag, Duration::from_millis(500));
        assert_eq!(config.tables[0].change.overlap, Duration::from_secs(5400));
    }

    #[test]
    fn columns_are_chosen_for_each_step() {
        let text = format!(
            "{HEAD}  - source: t\n    columns: {{ exclude: [a], rename: {{ b: c }} }}\n    merge: {{ columns: {{ \
                include: [id] }} }}\n"
        );
        let config = parse(&text).unwrap();
        let table = &config.tables[0];
        assert_eq!(table.columns.which, Which::Exclude(vec!["a".into()]));
        assert_eq!(table.columns.rename["b"], "c");
        assert_eq!(
            table.target_columns.which,
            Which::Include(vec!["id".into()])
        );
        let nothing = parse(&format!(
            "{HEAD}  - source: t\n    columns: {{ exclude: [] }}\n"
        ));
        assert!(nothing.unwrap().tables[0].columns.is_everything());
    }

    #[test]
    fn modes_of_loading_are_read() {
        let merge = |table: &str| {
            let text = format!("{HEAD}  - source: t\n{table}");
            parse(&text).unwrap().tables[0].merge.clone()
        };
        let soft = |at: Option<&str>| {
            Deletes::Soft(SoftDeletes {
                column: "gone".into(),
                at: at.map(str::to_owned),
            })
        };
        for (option, deletes) in [
            ("hard", Deletes::Hard),
            ("ignore", Deletes::Ignore),
            ("{ soft: { column: gone } }", soft(None)),
            ("{ soft: { column: gone, at: since } }", soft(Some("since"))),
        ] {
            let merge = merge(&format!("    merge: {{ deletes: {option} }}\n"));
            assert_eq!(merge.deletes, deletes, "{option}");
        }
        let history = merge("    kind: history\n    merge: { mode: history }\n");
        assert_eq!(history.mode, MergeMode::History);
        let scd2 = merge("    kind: history\n    merge: { mode: scd2, valid_from: at }\n");
        assert_eq!(scd2.mode, MergeMode::Scd2);
        assert_eq!(scd2.valid_from.as_deref(), Some("at"));
    }

    #[test]
    fn every_complaint_names_file_place_and_remedy() {
        for (tables, at, says) in [
            (
                "  - source: t\n    keys: [a]\n",
                "tables[0]",
                "there is no key `keys`; known are `source`, `lake`",
            ),
            (
                "  - source: t\n    kind: mirrored\n",
                "tables[0].kind",
                "expected one of `mirror`, `history`, found `mirrored`",
            ),
            ("  - source: a.b.c\n", "tables[0].source", "schema.table"),
            ("  - source: t\n    key: []\n", "tables[0].key", "once"),
            ("  - source: t\n  - source: T\n", "tables[1]", "twice"),
            (
                "  - source: t\n    change: { strategy: sequence }\n",
                "tables[0].change.column",
                "name it here",
            ),
            (
                "  - source: t\n    change: { lag: 8d }\n",
                "tables[0].change.lag",
                "at most 7 days",
            ),
            (
                "  - source: \"${NOPE}\"\n",
                "tables[0].source",
                "`NOPE` is not set",
            ),
            ("  - source: \"${NOPE\"\n", "tables[0].source", "not closed"),
            (
                "  - source: t\n    schema: { on_change: maybe }\n",
                "tables[0].schema.on_change",
                "`evolve`",
            ),
            (
                "  - source: t\n    create: { index: true }\n",
                "tables[0].create",
                "there is no key `index`",
            ),
            (
                "  - source: t\n    create: { checks: some }\n",
                "tables[0].create.checks",
                "expected true or false, found text",
            ),
            (
                "  - source: t\n    create: true\n",
                "tables[0].create",
                "`{ indexes: true, ... }`",
            ),
            (
                "  - source: t\n    renames: { a: c, b: C }\n",
                "tables[0].renames",
                "once",
            ),
            (
                "  - source: t\n    renames: { a: c }\n    drops: [A]\n",
                "tables[0].drops",
                "once",
            ),
            (
                "  - source: t\n    columns: { include: [a], exclude: [b] }\n",
                "tables[0].columns",
                "both `include` and `exclude`",
            ),
            (
                "  - source: t\n    columns: { exclude: [a, a] }\n",
                "tables[0].columns.exclude",
                "once",
            ),
            (
                "  - source: t\n    merge: { columns: { include: [] } }\n",
                "tables[0].merge.columns.include",
                "lists no column",
            ),
            (
                "  - source: t\n    columns: { rename: { a: c, b: C } }\n",
                "tables[0].columns.rename",
                "to two columns",
            ),
            (
                "  - source: t\n    merge: { columns: { rename: { a: \" \" } } }\n",
                "tables[0].merge.columns.rename",
                "no column name",
            ),
            (
                "  - source: t\n    columns: { drop: [a] }\n",
                "tables[0].columns",
                "this key is not known",
            ),
            (
                "  - source: t\n    merge: { deletes: never }\n",
                "tables[0].merge.deletes",
                "`hard`, `ignore` or",
            ),
            (
                "  - source: t\n    merge: { deletes: { soft: { columns: gone } } }\n",
                "tables[0].merge.deletes",
                "there is no key `columns`",
            ),
            (
                "  - source: t\n    merge: { deletes: { soft: { column: a, at: A } } }\n",
                "tables[0].merge.deletes.soft.at",
                "another column",
            ),
            (
                "  - source: t\n    merge: { mode: replace, deletes: ignore }\n",
                "tables[0].merge.deletes",
                "mode upsert",
            ),
            (
                "  - source: t\n    merge: { mode: scd2, valid_from: at }\n",
                "tables[0].merge.mode",
                "kind: history",
            ),
            (
                "  - source: t\n    kind: history\n    merge: { mode: scd2 }\n",
                "tables[0].merge.valid_from",
                "_committed_at",
            ),
            (
                "  - source: t\n    merge: { valid_from: at }\n",
                "tables[0].merge.valid_from",
                "mode scd2",
            ),
            ("  []\n", "tables", "no table is listed"),
            (
                "  - source: t\n    merge: { mode: replace, on_bad_row: quarantine }\n",
                "tables[0].merge.on_bad_row",
                "mode: upsert",
            ),
            (
                "  - source: t\n    kind: history\n    merge: { mode: history, on_bad_row: quarantine }\n",
                "tables[0].merge.on_bad_row",
                "on_bad_row: stop",
            ),
            (
                "  - source: t\n    kind: history\n    merge: { mode: history, batch_rows: 10 }\n",
                "tables[0].merge.batch_rows",
                "mode upsert",
            ),
            (
                "  - source: t\n    merge: { max_bad_rows: 5 }\n",
                "tables[0].merge.max_bad_rows",
                "on_bad_row: quarantine",
            ),
            (
                "  - source: t\n    merge: { on_bad_row: quarantine, max_bad_rows: 0 }\n",
                "tables[0].merge.max_bad_rows",
                "between 1 and 10000",
            ),
            (
                "  - source: t\n    merge: { on_bad_row: quarantine, batch_rows: 10 }\n",
                "tables[0].merge.batch_rows",
                "one transaction",
            ),
        ] {
            let said = complaint(&format!("{HEAD}{tables}"));
            assert!(said.contains("conf/icesync.yaml"), "{said}");
            assert!(said.contains(&format!("`{at}`")), "{said}");
            assert!(said.contains(says), "{said}");
        }
        assert!(complaint("tables: [").contains("not YAML"));
        assert!(
            complaint("warehouse: { location: x, catalog: rest }\ntables: [{ source: t }]")
                .contains("warehouse.catalog")
        );
    }

    #[test]
    fn variables_may_hold_more_than_text() {
        let text = "
source: { connection: \"${SOURCE}\", parallel_tables: \"${NUMBER}\" }
warehouse: { location: \"${NAME}\", target_file_size: \"${NUMBER}MiB\" }
maintenance: { auto: \"${YES}\", small_files: 9, budget: 5000, orphan_age: \"${NUMBER}d\" }
tables:
  - source: \"${NAME}.orders\"
    key: [\"${NAME}_id\"]
    change: { lag: \"${NUMBER}s\", clock: \"${CLOCK}\" }
    merge: { mode: \"${WORD}\" }
    renames: { old: \"${NAME}\" }
";
        let config = parse(text).unwrap();
        assert_eq!(config.source.as_ref().unwrap().parallel_tables, 7);
        assert_eq!(config.warehouse.location, "conf/sales");
        assert_eq!(config.warehouse.target_file_bytes, 7 << 20);
        assert_eq!(config.maintenance.budget_bytes, 5000);
        assert_eq!(
            config.maintenance.orphan_age,
            Duration::from_secs(7 * 86_400)
        );
        let table = &config.tables[0];
        assert_eq!(table.source.to_string(), "sales.orders");
        assert_eq!(table.key.as_deref(), Some(&["sales_id".to_owned()][..]));
        assert_eq!(table.change.lag, Duration::from_secs(7));
        assert_eq!(table.change.clock, Clock::Local);
        assert_eq!(table.merge.mode, MergeMode::Upsert);
        assert_eq!(table.declared.renames["old"], "sales");
    }

    #[test]
    fn a_value_in_the_wrong_place_is_told_by_its_kind() {
        let file = "source: { connection: x }
warehouse: { location: lake }
tables:
  - source: t
";
        for (from, to, says) in [
            (
                "{ connection: x }",
                "\"${SOURCE}\"",
                "at `source` (line 1 column 9): expected `{ connection: ... }`, found text",
            ),
            (
                "{ connection: x }",
                "[Server=s;Password=Ada]",
                "at `source` (line 1 column 9): expected `{ connection: ... }`, found a list",
            ),
            (
                "connection: x",
                "connection: [Ada]",
                "at `source.connection` (line 1 column 23): expected text, found a list",
            ),
            (
                "connection: x",
                "connection: x, Ada: x",
                "at `source` (line 1 column 26): this key is not known (it is not shown",
            ),
            (
                "connection: x",
                "connection: x, connection: Ada",
                "at `source` (line 1 column 26): a key stands here twice",
            ),
            (
                "connection: x",
                "connection: x, parallel_tables: \"${SOURCE}\"",
                "at `source.parallel_tables` (line 1 column 43): the value of environment variable `SOURCE` is not a \
                    whole number",
            ),
            (
                "location: lake",
                "location: \"${SOURCE}\"",
                "at `warehouse.location` (line 2 column 24): holds a connection string (not shown)",
            ),
            (
                "location: lake",
                "location: \"file://sa:Ada@host/lake\"",
                "at `warehouse.location` (line 2 column 24): is neither a folder nor a file:// URI of this machine \
                    (not shown",
            ),
            (
                "location: lake",
                "location: \"/lake?sp=r&sig=Ada\"",
                "at `warehouse.location` (line 2 column 24): holds a connection string (not shown)",
            ),
            (
                "location: lake",
                "location: lake, target_file_size: 5 Ada",
                "at `warehouse.target_file_size` (line 2 column 48): is not a size, such as 64MiB",
            ),
            (
                "source: t",
                "Ada",
                "at `tables[0]` (line 4 column 5): expected `source: schema.table`, found text",
            ),
            (
                "source: t",
                "source: t\n    kind: Ada",
                "at `tables[0].kind` (line 5 column 11): expected one of `mirror`, `history`, found text",
            ),
            (
                "source: t",
                "source: t\n    kind: \"${SOURCE}\"",
                "the value of environment variable `SOURCE` is not one of `mirror`, `history`",
            ),
            (
                "source: t",
                "source: t\n    renames: { Ada: 5 }",
                "at `tables[0].renames` (line 5 column 16): expected text, found a number",
            ),
            (
                "source: t",
                "source: a.b.Ada",
                "at `tables[0].source` (line 4 column 13): is not a table name",
            ),
            (
                "source: t",
                "lake: t",
                "at `tables[0]` (line 4 column 5): `source` is missing",
            ),
            (
                "warehouse: { location: lake }\n",
                "",
                "at line 1 column 1: `warehouse` is missing",
            ),
        ] {
            assert!(file.contains(from), "{from}");
            let said = complaint(&file.replace(from, to));
            assert!(said.contains(says), "{to}: {said}");
            assert!(!said.contains("Ada") && !said.contains("p{a}"), "{said}");
        }
        let said = complaint("Server=s;Password=Ada");
        assert!(
            said.contains("expected the keys of a configuration, found text"),
            "{said}"
        );
    }
}
