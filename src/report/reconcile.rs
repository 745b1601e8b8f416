//! What a mirror differed in, and what was repaired, for `reconcile`.

use super::comparison::SideReport;
use super::exit::Exit;
use super::format::counts;
use super::listing::Listing;
use serde::Serialize;
use std::fmt::Write as _;

/// How one lake table was repaired.
#[derive(Debug, Default, Serialize)]
pub struct ReconcileReport {
    pub source: String,
    pub lake: String,
    /// How it differed from its source.
    pub found: Option<SideReport>,
    /// Rows of the lake.
    pub inserted: u64,
    pub updated: u64,
    pub deleted: u64,
    /// Of the commit; none where nothing was to be repaired.
    pub snapshot_id: Option<i64>,
    pub sequence_number: Option<i64>,
    pub seconds: f64,
}

impl Listing<ReconcileReport> {
    /// As of a run; failed where groups that differ were left for another one.
    pub fn reconciled(&self) -> Exit {
        let left = |report: &ReconcileReport| {
            let found = report.found.as_ref();
            let comparison = found.and_then(|found| found.comparison.as_ref());
            comparison.is_some_and(|comparison| comparison.buckets_not_read > 0)
        };
        match self.exit() {
            Exit::Done if self.tables.iter().any(left) => Exit::Failed,
            exit => exit,
        }
    }
}

impl ReconcileReport {
    /// For a terminal.
    pub fn text(&self) -> String {
        let mut out = format!("{} -> lake {}\n", self.source, self.lake);
        if let Some(found) = &self.found {
            found.write(&mut out);
        }
        let _ = match self.sequence_number {
            Some(number) => writeln!(
                out,
                "  repaired {} in snapshot {number}",
                counts(self.inserted, self.updated, self.deleted)
            ),
            None => writeln!(out, "  repaired nothing"),
        };
        out
    }
}
