//! The snapshots of the lake tables, for `snapshots`.

use super::format::thousands;
use crate::lake::SnapshotInfo;
use serde::Serialize;
use std::fmt::Write as _;

/// The snapshots of one lake table, oldest first.
#[derive(Debug, Serialize)]
pub struct SnapshotsReport {
    pub source: String,
    pub lake: String,
    pub snapshots: Vec<SnapshotInfo>,
}

impl SnapshotsReport {
    /// For a terminal.
    pub fn text(&self) -> String {
        let mut out = String::new();
        let _ = writeln!(out, "{} (lake {})", self.source, self.lake);
        let _ = writeln!(
            out,
            "  {:>4}  {:20}  {:24}  {:9}  {:>12}  {:>12}  tags",
            "no", "id", "committed (UTC)", "operation", "added", "rows"
        );
        for snapshot in &self.snapshots {
            let _ = writeln!(
                out,
                "  {:>4}  {:<20}  {:24}  {:9}  {:>12}  {:>12}  {}",
                snapshot.sequence_number,
                snapshot.id,
                committed_at(snapshot),
                snapshot.operation,
                thousands(snapshot.rows_added),
                snapshot.rows_total.map(thousands).unwrap_or_default(),
                snapshot.tags.join(", ")
            );
        }
        out
    }
}

fn committed_at(snapshot: &SnapshotInfo) -> String {
    chrono::DateTime::from_timestamp_millis(snapshot.committed_at_ms)
        .map(|time| time.to_rfc3339_opts(chrono::SecondsFormat::Millis, true))
        .unwrap_or_default()
}
