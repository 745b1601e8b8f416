//! `merge`: how a table is loaded into the target.

use super::columns::RawColumns;
use super::quarantine::{self, OnBadRow};
use super::variables::{Complaint, Lookup, Text};
use crate::change::{Deletes, MergeMode, SoftDeletes, UpsertStatement};
use crate::schema::TableKind;
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Unexpected, Visitor};
use std::fmt;

/// What happens when the other side's columns have changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnChange {
    /// Follow every change that loses nothing, and tell of it.
    #[default]
    Evolve,
    /// Stop, telling what has changed.
    Refuse,
}

/// How a table is loaded into the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Merge {
    pub mode: MergeMode,
    /// None: MERGE, unless the target is one on which it has known defects.
    pub statement: Option<UpsertStatement>,
    /// What an upsert does with rows whose key has left the lake.
    pub deletes: Deletes,
    /// Of `scd2`: the column that versions are valid from, or `_committed_at`.
    pub valid_from: Option<String>,
    /// What a load does when the lake's columns have changed since the target was last loaded.
    pub on_schema_change: OnChange,
    /// Net changes that one transaction applies at most; 0: all.
    pub batch_rows: u64,
    /// Rows that one load may set aside because the target refuses them; none: such a row stops the load.
    pub quarantine: Option<u64>,
}

impl Default for Merge {
    fn default() -> Self {
        Self {
            mode: MergeMode::default(),
            statement: None,
            deletes: Deletes::default(),
            valid_from: None,
            on_schema_change: OnChange::default(),
            batch_rows: BATCH_ROWS,
            quarantine: None,
        }
    }
}

/// The log of a transaction is kept until it ends. A million rows of 200 bytes, updated, take about 1 GB of it.
const BATCH_ROWS: u64 = 1_000_000;

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default, expecting = "`{ mode: ... }`")]
pub(super) struct RawMerge {
    mode: Option<MergeMode>,
    statement: Option<UpsertStatement>,
    deletes: Option<RawDeletes>,
    valid_from: Option<Text>,
    on_schema_change: OnChange,
    batch_rows: Option<u64>,
    pub(super) columns: RawColumns,
    on_bad_row: OnBadRow,
    max_bad_rows: Option<u64>,
}

impl RawMerge {
    pub(super) fn validate(
        &self,
        kind: TableKind,
        lookup: Lookup<'_>,
        at: &str,
    ) -> Result<Merge, Complaint> {
        let mode = mode(kind, self.mode, at)?;
        let complain =
            |key: &str, message: &str| Err((format!("{at}.merge.{key}"), message.into()));
        let quarantine = quarantine::limit(self.on_bad_row, self.max_bad_rows, mode, at)?;
        let batch_rows = match (mode, self.batch_rows) {
            // Whether a row is refused depends on the others of its load, so they all share one transaction.
            (MergeMode::Upsert, None | Some(0)) if quarantine.is_some() => 0,
            (MergeMode::Upsert, Some(_)) if quarantine.is_some() => {
                return complain(
                    "batch_rows",
                    "applies changes in steps, and `on_bad_row: quarantine` takes one transaction; leave it out, or \
                        set it to 0",
                );
            }
            (MergeMode::Upsert, rows) => rows.unwrap_or(BATCH_ROWS),
            (_, None | Some(0)) => 0,
            (_, Some(_)) => {
                return complain(
                    "batch_rows",
                    "applies changes in steps that can be repeated, which takes mode upsert; leave it out, or set it \
                        to 0",
                );
            }
        };
        let deletes = match (mode, &self.deletes) {
            (_, None) => Deletes::Hard,
            (MergeMode::Upsert, Some(deletes)) => {
                deletes.validate(lookup, &format!("{at}.merge.deletes"))?
            }
            (_, Some(_)) => {
                return complain(
                    "deletes",
                    "says what an upsert does with rows that have left the lake; leave it out, or use mode upsert",
                );
            }
        };
        let valid_from = self.valid_from.as_ref();
        let valid_from =
            valid_from.map(|name| name.plain(lookup, &format!("{at}.merge.valid_from")));
        let valid_from = valid_from.transpose()?;
        match (mode, valid_from.as_deref().map(str::trim)) {
            (MergeMode::Scd2, None | Some("")) => {
                return complain(
                    "valid_from",
                    "is missing: name the column with the time of a change, or `_committed_at` for the time at which \
                        the lake got it",
                );
            }
            (MergeMode::Scd2, Some(_)) | (_, None) => {}
            (_, Some(_)) => {
                return complain("valid_from", "belongs to mode scd2; remove one of them");
            }
        }
        Ok(Merge {
            mode,
            statement: self.statement,
            deletes,
            valid_from,
            on_schema_change: self.on_schema_change,
            batch_rows,
            quarantine,
        })
    }
}

/// Versions of a row share its key, so a history is appended; everything else is an upsert unless it says otherwise.
fn mode(kind: TableKind, mode: Option<MergeMode>, at: &str) -> Result<MergeMode, Complaint> {
    match (kind, mode) {
        (TableKind::History, None) => Ok(MergeMode::Append),
        (
            TableKind::History,
            Some(mode @ (MergeMode::Append | MergeMode::History | MergeMode::Scd2)),
        ) => Ok(mode),
        (TableKind::History, Some(MergeMode::Upsert | MergeMode::Replace)) => Err((
            format!("{at}.merge.mode"),
            "a table of kind history holds many versions of a key and can only be loaded with mode append, history or \
                scd2"
                .into(),
        )),
        (TableKind::Mirror, Some(mode @ (MergeMode::History | MergeMode::Scd2))) => Err((
            format!("{at}.merge.mode"),
            format!(
                "mode {} loads each version of a row, and a mirror keeps the latest; set `kind: history`, or use mode \
                    upsert",
                mode.name()
            ),
        )),
        (TableKind::Mirror, mode) => Ok(mode.unwrap_or_default()),
    }
}

const DELETES: &str = "`hard`, `ignore` or `{ soft: { column: ..., at: ... } }`";

enum RawDeletes {
    Hard,
    Ignore,
    Soft(RawSoft),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "`{ soft: ... }`")]
struct RawMap {
    soft: RawSoft,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "`{ column: ... }`")]
struct RawSoft {
    column: Text,
    at: Option<Text>,
}

impl<'de> Deserialize<'de> for RawDeletes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Either)
    }
}

/// A word, or a map.
struct Either;

impl<'de> Visitor<'de> for Either {
    type Value = RawDeletes;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(DELETES)
    }

    fn visit_str<E: Error>(self, word: &str) -> Result<RawDeletes, E> {
        match word {
            "hard" => Ok(RawDeletes::Hard),
            "ignore" => Ok(RawDeletes::Ignore),
            other => Err(E::invalid_value(Unexpected::Str(other), &self)),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RawDeletes, A::Error> {
        let RawMap { soft } = RawMap::deserialize(MapAccessDeserializer::new(map))?;
        Ok(RawDeletes::Soft(soft))
    }
}

impl RawDeletes {
    /// `at`: where the option stands in the file.
    fn validate(&self, lookup: Lookup<'_>, at: &str) -> Result<Deletes, Complaint> {
        let soft = match self {
            RawDeletes::Hard => return Ok(Deletes::Hard),
            RawDeletes::Ignore => return Ok(Deletes::Ignore),
            RawDeletes::Soft(soft) => soft,
        };
        let column = soft.column.plain(lookup, &format!("{at}.soft.column"))?;
        let since = soft.at.as_ref();
        let since = since.map(|name| name.plain(lookup, &format!("{at}.soft.at")));
        let since = since.transpose()?;
        let is_empty = |name: &String| name.trim().is_empty();
        if is_empty(&column) || since.as_ref().is_some_and(is_empty) {
            return Err((
                format!("{at}.soft"),
                "must name columns of the target, such as `column: is_deleted, at: deleted_at`"
                    .into(),
            ));
        }
        let same = |name: &String| name.eq_ignore_ascii_case(&column);
        if since.as_ref().is_some_and(same) {
            return Err((
                format!("{at}.soft.at"),
                "must be another column than `column`: one marks the row, the other says when it was marked"
                    .into(),
            ));
        }
        Ok(Deletes::Soft(SoftDeletes { column, at: since }))
    }
}
