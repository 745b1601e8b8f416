//! How far lake and target are, for `status`.

use super::format::{plural, thousands};
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
    pub checkpoint: Option<Checkpoint>,
}

/// The target's side.
#[derive(Debug, Serialize)]
pub struct TargetStatus {
    pub table: String,
    pub snapshot_id: Option<i64>,
    pub sequence_number: Option<i64>,
    pub loaded_at: Option<String>,
    /// Snapshots of the lake that the target has not seen.
    pub snapshots_behind: usize,
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
        if let Some(target) = &self.target {
            let behind = plural(target.snapshots_behind as u64, "snapshot");
            let _ = match target.sequence_number {
                None => writeln!(
                    out,
                    "  target   {}: nothing loaded yet, {behind} behind",
                    target.table
                ),
                Some(number) => writeln!(
                    out,
                    "  target   {}: snapshot {number} loaded {}, {behind} behind",
                    target.table,
                    target.loaded_at.as_deref().unwrap_or("at an unknown time")
                ),
            };
        }
        out
    }
}
