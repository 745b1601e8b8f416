//! What `extract --from` found: rows that were read again because somebody asked for it.

use super::format::{plural, thousands};
use serde::Serialize;
use std::fmt::Write as _;

/// A part of the watermark column that was read again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RereadReport {
    pub from: String,
    pub to: String,
    /// It ends where the next extract begins.
    pub ends_at_checkpoint: bool,
    /// Of the rows read, those that the lake does not have as they are now.
    pub rows_differing: u64,
    /// Rows inserted, updated and deleted by the commit; 0 where nothing differs.
    pub rows_committed: u64,
}

impl RereadReport {
    /// What was read, for a terminal.
    pub(super) fn write(&self, out: &mut String, rows_read: u64) {
        let end = match self.ends_at_checkpoint {
            true => ", the checkpoint",
            false => "",
        };
        let _ = write!(
            out,
            " from {} to {}{end}: {} read again, {} differing",
            self.from,
            self.to,
            plural(rows_read, "row"),
            thousands(self.rows_differing)
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_told_with_what_differed() {
        let mut report = RereadReport {
            from: "10".into(),
            to: "20".into(),
            ends_at_checkpoint: false,
            rows_differing: 2,
            rows_committed: 2,
        };
        let text = |report: &RereadReport| {
            let mut out = String::new();
            report.write(&mut out, 11);
            out
        };
        let told = " from 10 to 20: 11 rows read again, 2 differing";
        assert_eq!(text(&report), told);
        report.ends_at_checkpoint = true;
        assert!(text(&report).contains("to 20, the checkpoint: 11 rows"));
    }
}
