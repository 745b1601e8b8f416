//! YAML and environment to a validated [`Config`].
//!
//! Guarantees: every key is known (a misspelt one is refused by name), `${NAME}` is replaced inside string values
//! after parsing, so that a password may hold any character, and an error names the file, the path inside it and
//! the remedy. Secrets ([`Secret`]) never print, and no error holds what a variable stands for.

mod accept;
mod columns;
mod maintenance;
mod merge;
mod quarantine;
mod variables;

pub use maintenance::Maintenance;
pub use merge::{Merge, OnChange};

use crate::change::{Accept, ChangeOptions, Clock, Cycles, Isolation, StrategyChoice};
use crate::schema::columns::ColumnChoice;
use crate::schema::definition::CreateOptions;
use crate::schema::drift::DeclaredChanges;
use crate::schema::{Fidelity, TableKind, TableName};
use accept::{Accepted, accept};
use bytesize::ByteSize;
use columns::RawColumns;
use maintenance::RawMaintenance;
use merge::RawMerge;
use serde::Deserialize;
use serde_yaml_ng::Value;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use variables::{Complaint, Written};

/// Text that never prints: `Debug` shows dots.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself; for the login only.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A validated configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    pub source: Option<Database>,
    pub warehouse: Warehouse,
    pub target: Option<Database>,
    pub maintenance: Maintenance,
    pub load: LoadOptions,
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

/// One replicated table.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    pub source: TableName,
    pub lake: TableName,
    pub target: TableName,
    /// Overrides the discovered key.
    pub key: Option<Vec<String>>,
    pub kind: TableKind,
    pub fidelity: Fidelity,
    pub change: ChangeOptions,
    /// Which columns of the source the lake gets, and under which names.
    pub columns: ColumnChoice,
    pub merge: Merge,
    /// Which columns of the lake the target gets, and under which names (`merge.columns`).
    pub target_columns: ColumnChoice,
    /// What a created target gets of the source's table besides columns and key.
    pub create: CreateOptions,
    /// What the lake table does when the source's columns change.
    pub on_change: OnChange,
    /// What an extract does when another writer changed the lake table.
    pub on_foreign_commit: OnForeignCommit,
    /// What cannot be told from the source.
    pub declared: DeclaredChanges,
}

/// What happens when a writer other than icesync changed rows of a lake table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnForeignCommit {
    /// Go on, and warn.
    #[default]
    Warn,
    /// Stop before anything is read.
    Refuse,
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
    #[error("configuration file `{}`, at `{at}`: {message}", path.display())]
    Invalid {
        path: PathBuf,
        at: String,
        message: String,
    },
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
    tables: Vec<RawTable>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "`{ connection: ... }`")]
struct RawDatabase {
    connection: String,
    #[serde(default = "default_parallel")]
    parallel_tables: usize,
    #[serde(default = "default_parallel")]
    parallel_channels: usize,
}

fn default_parallel() -> usize {
    4
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "`{ location: ... }`")]
struct RawWarehouse {
    location: String,
    #[serde(default)]
    catalog: CatalogKind,
    #[serde(default = "default_file_size")]
    target_file_size: ByteSize,
}

/// The catalogs that can be named; REST is refused until it exists.
#[derive(Deserialize, Default, PartialEq)]
#[serde(rename_all = "snake_case")]
enum CatalogKind {
    #[default]
    Filesystem,
}

fn default_file_size() -> ByteSize {
    ByteSize::mib(256)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "`source: schema.table`")]
struct RawTable {
    source: String,
    lake: Option<String>,
    target: Option<String>,
    key: Option<Vec<String>>,
    #[serde(default = "default_kind")]
    kind: TableKind,
    #[serde(default)]
    fidelity: Fidelity,
    #[serde(default)]
    change: RawChange,
    #[serde(default)]
    columns: RawColumns,
    #[serde(default)]
    merge: RawMerge,
    #[serde(default)]
    create: CreateOptions,
    #[serde(default)]
    schema: RawSchema,
    #[serde(default)]
    on_foreign_commit: OnForeignCommit,
    #[serde(default)]
    accept: Vec<Accepted>,
    #[serde(default)]
    renames: BTreeMap<String, String>,
    #[serde(default)]
    drops: Vec<String>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default, expecting = "`{ on_change: ... }`")]
struct RawSchema {
    on_change: OnChange,
}

/// An answer about one column only: two of them would contradict each other.
fn declared_changes(
    renames: BTreeMap<String, String>,
    drops: Vec<String>,
    at: &str,
) -> Result<DeclaredChanges, Complaint> {
    let mut old = HashSet::new();
    let mut new = HashSet::new();
    for (from, to) in &renames {
        if !old.insert(from.to_lowercase()) || !new.insert(to.to_lowercase()) {
            return Err((
                format!("{at}.renames"),
                "must name each column once, as `old: new`".into(),
            ));
        }
    }
    if drops.iter().any(|name| !old.insert(name.to_lowercase())) {
        return Err((
            format!("{at}.drops"),
            "must name each column once, and none that `renames` has".into(),
        ));
    }
    Ok(DeclaredChanges { renames, drops })
}

fn default_kind() -> TableKind {
    TableKind::Mirror
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "`{ strategy: ... }`")]
struct RawChange {
    strategy: StrategyChoice,
    column: Option<String>,
    #[serde(with = "humantime_serde")]
    lag: Duration,
    #[serde(with = "humantime_serde")]
    overlap: Duration,
    clock: Clock,
    isolation: Isolation,
    page_rows: u64,
    range_rows: u64,
}

impl Default for RawChange {
    fn default() -> Self {
        let options = ChangeOptions::default();
        Self {
            strategy: options.strategy,
            column: options.column,
            lag: options.lag,
            overlap: options.overlap,
            clock: options.clock,
            isolation: options.isolation,
            page_rows: options.page_rows,
            range_rows: options.range_rows,
        }
    }
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
        let value: Value = serde_yaml_ng::from_str(text).map_err(|error| ConfigError::Syntax {
            path: path.into(),
            message: error.to_string(),
        })?;
        let written = Written::new(value, lookup);
        let folder = path.parent().unwrap_or(Path::new(""));
        let config = written.read::<RawConfig>().and_then(|raw| {
            let config = raw.validate(folder);
            config.map_err(|complaint| written.hide(complaint))
        });
        config.map_err(|(at, message)| ConfigError::Invalid {
            path: path.into(),
            at,
            message,
        })
    }
}

impl RawConfig {
    fn validate(self, folder: &Path) -> Result<Config, Complaint> {
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
            let table = raw.validate(&at)?;
            if let Some(first) = lakes.insert(fold(&table.lake), index) {
                return Err((at, named_twice("lake", first)));
            }
            if let Some(first) = targets.insert(fold(&table.target), index) {
                return Err((at, named_twice("target", first)));
            }
            tables.push(table);
        }
        Ok(Config {
            source: self.source.map(|raw| raw.validate("source")).transpose()?,
            warehouse: self.warehouse.validate(folder)?,
            target: self.target.map(|raw| raw.validate("target")).transpose()?,
            maintenance: self.maintenance.validate()?,
            load: self.load,
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
    fn validate(self, at: &str) -> Result<Database, Complaint> {
        if self.connection.trim().is_empty() {
            return Err((
                format!("{at}.connection"),
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
            connection: Secret(self.connection),
            parallel_tables: self.parallel_tables,
            parallel_channels: self.parallel_channels,
        })
    }
}

/// Whether a text looks like an ADO connection string.
fn is_connection(text: &str) -> bool {
    let text = text.to_lowercase();
    let names = [
        "server=",
        "data source=",
        "password=",
        "pwd=",
        "user id=",
        "uid=",
    ];
    text.contains(';') && names.iter().any(|name| text.contains(name))
}

impl RawWarehouse {
    fn validate(self, folder: &Path) -> Result<Warehouse, Complaint> {
        let CatalogKind::Filesystem = self.catalog;
        if self.location.trim().is_empty() {
            return Err((
                "warehouse.location".into(),
                "is empty; write a folder or a file:// URI".into(),
            ));
        }
        // Not quoted: what is no folder may be a connection string that got here by mistake.
        let is_uri = self.location.contains("://") && !self.location.starts_with("file://");
        if is_uri || is_connection(&self.location) {
            return Err((
                "warehouse.location".into(),
                "is neither a folder nor a file:// URI (not shown: it may hold a password)".into(),
            ));
        }
        let bytes = self.target_file_size.as_u64();
        if !(ByteSize::mib(1).as_u64()..=ByteSize::gib(16).as_u64()).contains(&bytes) {
            return Err((
                "warehouse.target_file_size".into(),
                "must be between 1MiB and 16GiB".into(),
            ));
        }
        let location = if self.location.contains("://") {
            self.location
        } else {
            folder.join(&self.location).to_string_lossy().into_owned()
        };
        Ok(Warehouse {
            location,
            target_file_bytes: bytes,
        })
    }
}

impl RawTable {
    fn validate(self, at: &str) -> Result<Table, Complaint> {
        let name = |key: &str, text: &str| {
            text.parse::<TableName>()
                .map_err(|error| (format!("{at}.{key}"), error.to_string()))
        };
        let source = name("source", &self.source)?;
        let other = |key: &str, text: &Option<String>| match text {
            Some(text) => name(key, text),
            None => Ok(source.clone()),
        };
        if let Some(key) = &self.key {
            let distinct: HashSet<_> = key.iter().map(|column| column.to_lowercase()).collect();
            if key.is_empty() || distinct.len() != key.len() {
                return Err((format!("{at}.key"), "must list each key column once".into()));
            }
        }
        Ok(Table {
            lake: other("lake", &self.lake)?,
            target: other("target", &self.target)?,
            change: ChangeOptions {
                accept: accept(&self.accept, at)?,
                ..self.change.validate(&format!("{at}.change"))?
            },
            source,
            key: self.key,
            kind: self.kind,
            fidelity: self.fidelity,
            columns: self.columns.validate(&format!("{at}.columns"))?,
            merge: self.merge.validate(self.kind, at)?,
            target_columns: self
                .merge
                .columns
                .validate(&format!("{at}.merge.columns"))?,
            create: self.create,
            on_change: self.schema.on_change,
            on_foreign_commit: self.on_foreign_commit,
            declared: declared_changes(self.renames, self.drops, at)?,
        })
    }
}

impl RawChange {
    fn validate(self, at: &str) -> Result<ChangeOptions, Complaint> {
        let day = Duration::from_secs(86_400);
        if self.lag > 7 * day {
            return Err((format!("{at}.lag"), "must be at most 7 days".into()));
        }
        if self.overlap > 366 * day {
            return Err((format!("{at}.overlap"), "must be at most 366 days".into()));
        }
        if self.page_rows != 0 && !(1_000..=100_000_000).contains(&self.page_rows) {
            return Err((
                format!("{at}.page_rows"),
                "must be 0 (one stream) or between 1000 and 100000000".into(),
            ));
        }
        if self.range_rows != 0 && !(1_000..=1_000_000_000).contains(&self.range_rows) {
            return Err((
                format!("{at}.range_rows"),
                "must be 0 (one stream) or between 1000 and 1000000000".into(),
            ));
        }
        match (self.strategy, &self.column) {
            (StrategyChoice::Timestamp | StrategyChoice::Sequence, None) => {
                return Err((
                    format!("{at}.column"),
                    "is missing: this strategy follows a column; name it here".into(),
                ));
            }
            (StrategyChoice::Full, Some(_)) => {
                return Err((
                    format!("{at}.column"),
                    "has no use with strategy full; remove one of them".into(),
                ));
            }
            _ => {}
        }
        Ok(ChangeOptions {
            strategy: self.strategy,
            column: self.column,
            lag: self.lag,
            overlap: self.overlap,
            clock: self.clock,
            isolation: self.isolation,
            page_rows: self.page_rows,
            range_rows: self.range_rows,
            accept: Accept::default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::UpsertStatement;
    use crate::schema::columns::Which;

    fn parse(text: &str) -> Result<Config, ConfigError> {
        let lookup =
            |name: &str| (name == "SOURCE").then(|| "Server=s;Password=p{a}'\"s: #s".to_owned());
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
            config.tables[0].merge
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
    fn every_complaint_names_file_place_and_remedy() {
        for (tables, at, says) in [
            (
                "  - source: t\n    keys: [a]\n",
                "tables[0].keys",
                "unknown field `keys`",
            ),
            (
                "  - source: t\n    kind: mirrored\n",
                "tables[0].kind",
                "`mirror`",
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
                "tables[0].create.index",
                "unknown field `index`",
            ),
            (
                "  - source: t\n    create: { checks: some }\n",
                "tables[0].create.checks",
                "a boolean",
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
                "tables[0].columns.drop",
                "unknown field `drop`",
            ),
            ("  []\n", "tables", "no table is listed"),
            (
                "  - source: t\n    merge: { mode: replace, on_bad_row: quarantine }\n",
                "tables[0].merge.on_bad_row",
                "mode: upsert",
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
}
