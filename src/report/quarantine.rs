//! Rows that a target has refused, for `quarantine`. These reports hold row values: the keys, what error messages
//! quote, and, of a row that is shown, all of them.

use super::format::plural;
use crate::config::Table;
use crate::target::quarantine::Values;
use serde::Serialize;
use std::fmt::Write as _;

/// The rows of one target that are in quarantine.
#[derive(Debug, Clone, Serialize)]
pub struct QuarantineReport {
    pub source: String,
    pub target: String,
    /// The oldest first.
    pub rows: Vec<QuarantinedRow>,
}

/// A row in quarantine.
#[derive(Debug, Clone, Serialize)]
pub struct QuarantinedRow {
    /// The values of its key, joined by a comma.
    pub key: String,
    /// `upsert`: the target refuses the row. `delete`: the lake has no such row, and the target refuses to delete its
    /// own.
    pub operation: &'static str,
    pub error_number: i64,
    pub error_message: String,
    pub lake_table: String,
    /// The snapshot that brought it.
    pub snapshot_id: i64,
    pub sequence_number: i64,
    pub run_id: String,
    /// UTC, ISO 8601.
    pub quarantined_at: String,
    /// Each column's value as text; only of a row that is shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub values: Option<Values>,
}

/// What was removed from the quarantine of one target, or would be.
#[derive(Debug, Clone, Serialize)]
pub struct DiscardReport {
    pub source: String,
    pub target: String,
    pub keys: Vec<String>,
    /// False: nothing was removed yet.
    pub discarded: bool,
}

impl QuarantineReport {
    /// Of a table's target.
    pub fn of(table: &Table, rows: Vec<QuarantinedRow>) -> Self {
        Self {
            source: table.source.to_string(),
            target: table.target.to_string(),
            rows,
        }
    }

    /// For a terminal.
    pub fn text(&self) -> String {
        let mut out = String::new();
        let count = match self.rows.len() {
            0 => "nothing".to_owned(),
            rows => plural(rows as u64, "row"),
        };
        let _ = writeln!(out, "{}: {count} in quarantine", self.target);
        for row in &self.rows {
            row.write_text(&mut out);
        }
        out
    }
}

impl QuarantinedRow {
    fn write_text(&self, out: &mut String) {
        let delete = match self.operation {
            "delete" => "delete refused, ",
            _ => "",
        };
        let _ = writeln!(
            out,
            "  {}  ({delete}snapshot {}, {})",
            self.key, self.sequence_number, self.quarantined_at
        );
        let _ = writeln!(
            out,
            "    error {}: {}",
            self.error_number, self.error_message
        );
        for (column, value) in self.values.iter().flat_map(|values| &values.0) {
            let value = value.as_deref().unwrap_or("NULL");
            let _ = writeln!(out, "    {column}: {value}");
        }
    }
}

impl DiscardReport {
    /// Rows would be removed.
    pub fn is_waiting(&self) -> bool {
        !self.discarded && !self.keys.is_empty()
    }

    /// For a terminal.
    pub fn text(&self) -> String {
        let rows = plural(self.keys.len() as u64, "row");
        let done = match self.discarded {
            true => "removed",
            false => "would be removed",
        };
        let mut out = format!(
            "{}: {rows} {done} from the quarantine; the target keeps the row that it had of each key, or none\n",
            self.target
        );
        for key in &self.keys {
            let _ = writeln!(out, "  {key}");
        }
        out
    }
}
