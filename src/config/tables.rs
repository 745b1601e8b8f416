//! One entry of `tables:`.

use super::accept::{Accepted, accept};
use super::columns::RawColumns;
use super::merge::{Merge, OnChange, RawMerge};
use super::soft_delete::RawSoftDelete;
use super::variables::{Complaint, Lookup, Text};
use crate::change::{Accept, ChangeOptions, Clock, Isolation, StrategyChoice};
use crate::schema::columns::ColumnChoice;
use crate::schema::definition::CreateOptions;
use crate::schema::deleted::SoftDelete;
use crate::schema::drift::DeclaredChanges;
use crate::schema::{Fidelity, TableKind, TableName};
use serde::Deserialize;
use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

const NOT_A_TABLE: &str =
    "is not a table name: write schema.table, with [brackets] around a part that contains a dot";

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
    /// The column in which applications mark rows as deleted.
    pub soft_delete: Option<SoftDelete>,
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

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "`source: schema.table`")]
pub(super) struct RawTable {
    source: Text,
    lake: Option<Text>,
    target: Option<Text>,
    key: Option<Vec<Text>>,
    #[serde(default = "default_kind")]
    kind: TableKind,
    #[serde(default)]
    fidelity: Fidelity,
    #[serde(default)]
    change: RawChange,
    #[serde(default)]
    columns: RawColumns,
    soft_delete: Option<RawSoftDelete>,
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
    renames: BTreeMap<String, Text>,
    #[serde(default)]
    drops: Vec<Text>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default, expecting = "`{ on_change: ... }`")]
struct RawSchema {
    on_change: OnChange,
}

/// An answer about one column only: two of them would contradict each other.
fn declared_changes(
    renames: &BTreeMap<String, Text>,
    drops: &[Text],
    lookup: Lookup<'_>,
    at: &str,
) -> Result<DeclaredChanges, Complaint> {
    let renames = Text::named(renames, lookup, &format!("{at}.renames"))?;
    let drops = Text::all(drops, lookup, &format!("{at}.drops"))?;
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
    column: Option<Text>,
    lag: Option<Text>,
    overlap: Option<Text>,
    clock: Clock,
    isolation: Isolation,
    commit_rows: u64,
    range_rows: u64,
    /// Of earlier builds: refused with what took its place.
    page_rows: Option<u64>,
}

impl Default for RawChange {
    fn default() -> Self {
        let options = ChangeOptions::default();
        Self {
            strategy: options.strategy,
            column: None,
            lag: None,
            overlap: None,
            clock: options.clock,
            isolation: options.isolation,
            commit_rows: options.commit_rows,
            range_rows: options.range_rows,
            page_rows: None,
        }
    }
}

impl RawTable {
    pub(super) fn validate(self, lookup: Lookup<'_>, at: &str) -> Result<Table, Complaint> {
        let name = |key: &str, text: &Text| -> Result<TableName, Complaint> {
            let place = format!("{at}.{key}");
            let name = text.plain(lookup, &place)?.parse::<TableName>();
            name.map_err(|_| (place, NOT_A_TABLE.to_owned()))
        };
        let source = name("source", &self.source)?;
        let other = |key: &str, text: &Option<Text>| match text {
            Some(text) => name(key, text),
            None => Ok(source.clone()),
        };
        let key = self.key.as_deref();
        let key = key.map(|key| Text::all(key, lookup, &format!("{at}.key")));
        let key = key.transpose()?;
        if let Some(key) = &key {
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
                ..self.change.validate(lookup, &format!("{at}.change"))?
            },
            source,
            key,
            kind: self.kind,
            fidelity: self.fidelity,
            columns: self.columns.validate(lookup, &format!("{at}.columns"))?,
            soft_delete: (self.soft_delete)
                .map(|raw| raw.validate(lookup, &format!("{at}.soft_delete")))
                .transpose()?,
            merge: self.merge.validate(self.kind, lookup, at)?,
            target_columns: self
                .merge
                .columns
                .validate(lookup, &format!("{at}.merge.columns"))?,
            create: self.create,
            on_change: self.schema.on_change,
            on_foreign_commit: self.on_foreign_commit,
            declared: declared_changes(&self.renames, &self.drops, lookup, at)?,
        })
    }
}

impl RawChange {
    fn validate(self, lookup: Lookup<'_>, at: &str) -> Result<ChangeOptions, Complaint> {
        let day = Duration::from_secs(86_400);
        let usual = ChangeOptions::default();
        let duration = |key: &str,
                        text: Option<Text>,
                        usual: Duration,
                        days: u32|
         -> Result<Duration, Complaint> {
            let place = format!("{at}.{key}");
            let given = text.map(|text| text.duration(lookup, &place));
            match given.transpose()?.unwrap_or(usual) {
                given if given > days * day => Err((place, format!("must be at most {days} days"))),
                given => Ok(given),
            }
        };
        let lag = duration("lag", self.lag, usual.lag, 7)?;
        let overlap = duration("overlap", self.overlap, usual.overlap, 366)?;
        let place = format!("{at}.column");
        let column = self.column.map(|column| column.plain(lookup, &place));
        let column = column.transpose()?;
        if self.page_rows.is_some() {
            return Err((
                format!("{at}.page_rows"),
                "is not an option any more: an incremental read has no pages to size. Remove it. `commit_rows` sets \
                 after how many rows a large window is committed"
                    .into(),
            ));
        }
        if self.commit_rows != 0 && !(1_000..=1_000_000_000).contains(&self.commit_rows) {
            return Err((
                format!("{at}.commit_rows"),
                "must be 0 (one commit for each window) or between 1000 and 1000000000".into(),
            ));
        }
        if self.range_rows != 0 && !(1_000..=1_000_000_000).contains(&self.range_rows) {
            return Err((
                format!("{at}.range_rows"),
                "must be 0 (one stream) or between 1000 and 1000000000".into(),
            ));
        }
        match (self.strategy, &column) {
            (StrategyChoice::Timestamp | StrategyChoice::Sequence, None) => {
                return Err((
                    place,
                    "is missing: this strategy follows a column; name it here".into(),
                ));
            }
            (StrategyChoice::Full, Some(_)) => return Err((place, unused("full"))),
            (StrategyChoice::ChangeTracking, Some(_)) => {
                return Err((place, unused("change_tracking")));
            }
            _ => {}
        }
        Ok(ChangeOptions {
            strategy: self.strategy,
            column,
            lag,
            overlap,
            clock: self.clock,
            isolation: self.isolation,
            commit_rows: self.commit_rows,
            range_rows: self.range_rows,
            accept: Accept::default(),
            span: None,
        })
    }
}

/// What is wrong with a column beside a strategy that follows none.
fn unused(strategy: &str) -> String {
    format!("has no use with strategy {strategy}; remove one of them")
}
