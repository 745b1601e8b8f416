//! How a table is loaded into the target.

use super::columns::RawColumns;
use super::quarantine::{self, OnBadRow};
use super::variables::Complaint;
use crate::change::{MergeMode, UpsertStatement};
use crate::schema::TableKind;
use serde::Deserialize;

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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Merge {
    pub mode: MergeMode,
    /// None: MERGE, unless the target is one on which it has known defects.
    pub statement: Option<UpsertStatement>,
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
    on_schema_change: OnChange,
    batch_rows: Option<u64>,
    pub(super) columns: RawColumns,
    on_bad_row: OnBadRow,
    max_bad_rows: Option<u64>,
}

impl RawMerge {
    /// Versions of a row share its key, so a history is appended; everything else is an upsert unless it says
    /// otherwise.
    pub(super) fn validate(&self, kind: TableKind, at: &str) -> Result<Merge, Complaint> {
        let mode = match (kind, self.mode) {
            (TableKind::History, None | Some(MergeMode::Append)) => MergeMode::Append,
            (TableKind::History, Some(MergeMode::Upsert | MergeMode::Replace)) => {
                return Err((
                    format!("{at}.merge.mode"),
                    "a table of kind history holds many versions of a key and can only be loaded with mode \
                        append".into(),
                ));
            }
            (TableKind::Mirror, mode) => mode.unwrap_or_default(),
        };
        let quarantine = quarantine::limit(self.on_bad_row, self.max_bad_rows, mode, at)?;
        let batch_rows = match (mode, self.batch_rows) {
            // Whether a row is refused depends on the others of its load, so they all share one transaction.
            (MergeMode::Upsert, None | Some(0)) if quarantine.is_some() => 0,
            (MergeMode::Upsert, Some(_)) if quarantine.is_some() => {
                return Err((
                    format!("{at}.merge.batch_rows"),
                    "applies changes in steps, and `on_bad_row: quarantine` takes one transaction; leave it out, or \
                        set it to 0"
                        .into(),
                ));
            }
            (MergeMode::Upsert, rows) => rows.unwrap_or(BATCH_ROWS),
            (MergeMode::Append | MergeMode::Replace, None | Some(0)) => 0,
            (MergeMode::Append | MergeMode::Replace, Some(_)) => {
                return Err((
                    format!("{at}.merge.batch_rows"),
                    "applies changes in steps that can be repeated, which takes mode upsert; leave it out, or set it \
                        to 0"
                        .into(),
                ));
            }
        };
        Ok(Merge {
            mode,
            statement: self.statement,
            on_schema_change: self.on_schema_change,
            batch_rows,
            quarantine,
        })
    }
}
