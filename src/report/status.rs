//! How far lake and target are, for `status`.

use super::columns::ColumnsReport;
use super::format::{plural, thousands, write_in_quarantine};
use crate::change::Checkpoint;
use serde::Serialize;
use std::fmt::Write as _;

/// How far one table is.
#[derive(Debug, Serialize)]
pub struct StatusReport {
    pub source: String,
    pub lake: LakeStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<TargetStatus>,
}

/// The lake's side.
#[derive(Debug, Serialize)]
pub struct LakeStatus {
    pub table: String,
    pub exists: bool,
    pub location: Option<String>,
    pub rows: u64,
    pub snapshots: usize,
    pub sequence_number: Option<i64>,
    pub snapshot_id: Option<i64>,
    #[serde(serialize_with = "super::checkpoint::serialize")]
    pub checkpoint: Option<Checkpoint>,
    /// Columns of the source that the last extract left out or renamed.
    #[serde(skip_serializing_if = "ColumnsReport::is_empty")]
    pub columns: ColumnsReport,
}

/// What a target has to do with the lake table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TargetStanding {
    /// It holds a snapshot of the lake table.
    Loaded,
    /// It is there, and nothing was loaded into it.
    NothingLoaded,
    /// There is no such table.
    Missing,
    /// It is another table than the one that was loaded.
    Recreated,
    /// It holds a snapshot of another lake table.
    OtherLakeTable,
}

/// The target's side. The snapshot is the one that was loaded last, into whatever table had the target's name.
#[derive(Debug, Serialize)]
pub struct TargetStatus {
    pub table: String,
    pub standing: TargetStanding,
    /// The lake table that it was loaded from.
    pub loaded_from: Option<String>,
    pub snapshot_id: Option<i64>,
    pub sequence_number: Option<i64>,
    pub loaded_at: Option<String>,
    /// Snapshots of the lake that the target does not have.
    pub snapshots_behind: usize,
    /// A load that was interrupted between two of its steps, or is under way.
    pub between: Option<BetweenStatus>,
    /// Columns of the lake that loads leave out or rename.
    #[serde(skip_serializing_if = "ColumnsReport::is_empty")]
    pub columns: ColumnsReport,
    /// Rows that the target has refused, and of which it keeps what it had.
    pub in_quarantine: u64,
}

/// A target with rows of two snapshots.
#[derive(Debug, Serialize)]
pub struct BetweenStatus {
    /// The snapshot that it is to reach.
    pub sequence_number: i64,
    pub rows: u64,
    pub rows_applied: u64,
}

impl StatusReport {
    /// For a terminal.
    pub fn text(&self) -> String {
        let mut out = String::new();
        let _ = writeln!(out, "{}", self.source);
        let lake = &self.lake;
        match (lake.exists, lake.sequence_number) {
            (false, _) => {
                let _ = writeln!(out, "  lake     {} does not exist yet", lake.table);
            }
            (true, None) => {
                let _ = writeln!(out, "  lake     {} is empty", lake.table);
            }
            (true, Some(number)) => {
                let _ = writeln!(
                    out,
                    "  lake     {}: {} rows, snapshot {number}",
                    lake.table,
                    thousands(lake.rows)
                );
            }
        }
        if let Some(checkpoint) = &lake.checkpoint {
            let at = checkpoint
                .watermark
                .as_ref()
                .map(|mark| format!(", {} up to {mark}", mark.column))
                .unwrap_or_default();
            let _ = writeln!(
                out,
                "           followed by {}{at}; committed {}",
                checkpoint.strategy, checkpoint.committed_at
            );
            if let Some(backfill) = &checkpoint.backfill {
                let _ = writeln!(
                    out,
                    "           a read of the whole table is under way: {} of {} ranges done, {} rows; the next \
                        extract goes on",
                    backfill.done.len(),
                    backfill.cuts.len() + 1,
                    thousands(backfill.done.iter().map(|done| done.rows).sum())
                );
            }
        }
        lake.columns.write(&mut out, "lake");
        if let Some(target) = &self.target {
            let _ = writeln!(out, "  target   {}: {}", target.table, target.text());
            target.columns.write(&mut out, "target");
            write_in_quarantine(&mut out, target.in_quarantine);
        }
        out
    }
}

impl TargetStatus {
    fn text(&self) -> String {
        let behind = plural(self.snapshots_behind as u64, "snapshot");
        let number = self.sequence_number.unwrap_or_default();
        let at = self.loaded_at.as_deref().unwrap_or("at an unknown time");
        match (self.standing, self.sequence_number) {
            (TargetStanding::Loaded, _) => match &self.between {
                None => format!("snapshot {number} loaded {at}, {behind} behind"),
                Some(between) => format!(
                    "between snapshots {number} and {}: {} of {} rows applied {at}, {behind} behind; the next load \
                        finishes it",
                    between.sequence_number,
                    thousands(between.rows_applied),
                    thousands(between.rows)
                ),
            },
            (TargetStanding::NothingLoaded, _) => format!("nothing loaded yet, {behind} behind"),
            (TargetStanding::Missing, None) => {
                format!("does not exist yet, {behind} behind; the next load creates it")
            }
            (TargetStanding::Missing, Some(_)) => format!(
                "missing although snapshot {number} was loaded {at}, {behind} behind; the next load creates it and \
                    loads the whole snapshot"
            ),
            (TargetStanding::Recreated, _) => format!(
                "recreated after snapshot {number} was loaded {at}, {behind} behind; the next load loads the whole \
                    snapshot"
            ),
            (TargetStanding::OtherLakeTable, _) => format!(
                "loaded {at} from another lake table ({}), {behind} behind; `icesync load --full` loads the whole \
                    snapshot",
                self.loaded_from.as_deref().unwrap_or("unknown")
            ),
        }
    }
}
