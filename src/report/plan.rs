//! What the next run would do, for `plan`.

use super::columns::ColumnsReport;
use super::format::{plural, thousands, write_changes};
use crate::schema::drift::SchemaChange;
use serde::Serialize;
use std::fmt::Write as _;

/// What the next run of one table would do.
#[derive(Debug, Serialize)]
pub struct PlanReport {
    pub source: String,
    pub lake: String,
    pub target: String,
    /// What answers at the source.
    pub server: ServerReport,
    pub strategy: String,
    /// Why this strategy and this way of reading.
    pub why: Vec<String>,
    pub full_read: bool,
    pub key: Vec<String>,
    /// Columns of the source that the lake does not get, or gets under other names.
    #[serde(skip_serializing_if = "ColumnsReport::is_empty")]
    pub columns: ColumnsReport,
    pub lower: Option<String>,
    pub upper: Option<String>,
    /// The window was read before, and is read again because `--from` asks for it.
    pub rereads: bool,
    pub creates_lake_table: bool,
    /// How the source's columns have changed, and what the lake table would make of it.
    pub schema_changes: Vec<SchemaChange>,
    /// The statements of the extract, in order; of pages or ranges the first.
    pub statements: Vec<String>,
    /// Snapshots that the target has not seen yet, before this extract; none without a target.
    pub load: Option<LoadPlan>,
    pub warnings: Vec<String>,
}

/// The source's server and database.
#[derive(Debug, Serialize)]
pub struct ServerReport {
    pub product: String,
    pub version: String,
    pub collation: String,
    pub database: String,
    pub database_collation: String,
    /// `read-only database`, `a readable secondary replica`, ...; none where the database is written to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub standing: Option<String>,
}

/// What the next load of one table would do.
#[derive(Debug, Serialize)]
pub struct LoadPlan {
    pub loaded_sequence_number: Option<i64>,
    pub snapshots_behind: usize,
    pub creates_target: bool,
    /// Columns of the lake that the target does not get, or gets under other names.
    #[serde(skip_serializing_if = "ColumnsReport::is_empty")]
    pub columns: ColumnsReport,
    /// How many rows would be staged, or filled in, before those of the extract. None where nobody has counted them.
    pub rows: Option<RowEstimate>,
    /// How the rows of a first load reach a target that is missing, and why so.
    pub route: Option<String>,
    /// Net changes that one transaction applies at most; none: all.
    pub batch_rows: Option<u64>,
    /// Why an upsert is not written as MERGE, where that was not configured.
    pub upsert: Option<String>,
    /// How the target's columns would be changed.
    pub schema_changes: Vec<SchemaChange>,
    /// The statements of the load, in order.
    pub statements: Vec<String>,
    pub warnings: Vec<String>,
}

/// How many rows a load would bring.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct RowEstimate {
    /// At most, as counted by whoever wrote the snapshots; of the source, as its statistics say.
    pub rows: u64,
    /// They are still at the source: the lake has no snapshot yet.
    pub is_source: bool,
}

impl RowEstimate {
    pub fn in_lake(rows: u64) -> Self {
        Self {
            rows,
            is_source: false,
        }
    }

    pub fn at_source(rows: u64) -> Self {
        Self {
            rows,
            is_source: true,
        }
    }

    fn text(self) -> String {
        let rows = plural(self.rows, "row");
        match (self.is_source, self.rows) {
            (true, _) => format!("about {rows}, by the statistics of the source"),
            (false, 0) => "the rows that the extract brings".to_owned(),
            (false, _) => format!("up to {rows} of the lake, and those that the extract brings"),
        }
    }
}

impl PlanReport {
    /// For a terminal.
    pub fn text(&self) -> String {
        let mut out = String::new();
        let read = match (self.full_read, self.rereads) {
            (true, _) => "full read",
            (false, true) => "read again",
            (false, false) => "changes only",
        };
        let _ = writeln!(
            out,
            "{} -> lake {} -> target {}",
            self.source, self.lake, self.target
        );
        let _ = write!(
            out,
            "  server   {} {}, database {}",
            self.server.product, self.server.version, self.server.database
        );
        let standing = self.server.standing.as_deref();
        let _ = match standing {
            Some(standing) => writeln!(out, " ({standing})"),
            None => writeln!(out),
        };
        let _ = writeln!(out, "  strategy {} ({read})", self.strategy);
        for why in &self.why {
            let _ = writeln!(out, "           {why}");
        }
        let _ = writeln!(
            out,
            "  key      {}",
            if self.key.is_empty() {
                "none".to_owned()
            } else {
                self.key.join(", ")
            }
        );
        self.columns.write(&mut out, "lake");
        let lower = self.lower.as_deref().unwrap_or("the beginning");
        let _ = writeln!(
            out,
            "  window   from {lower} to {}",
            self.upper.as_deref().unwrap_or("the end")
        );
        if self.creates_lake_table {
            let _ = writeln!(out, "  lake     table would be created");
        }
        write_changes(&mut out, &self.schema_changes);
        for statement in &self.statements {
            write_statement(&mut out, "extract", statement);
        }
        if let Some(load) = &self.load {
            load.write(&mut out);
        }
        let load = self.load.iter().flat_map(|load| &load.warnings);
        for warning in self.warnings.iter().chain(load) {
            let _ = writeln!(out, "  warning  {warning}");
        }
        out
    }
}

impl LoadPlan {
    fn write(&self, out: &mut String) {
        let created = if self.creates_target {
            "; table would be created"
        } else {
            ""
        };
        let _ = writeln!(
            out,
            "  load     {} behind{created}",
            plural(self.snapshots_behind as u64, "snapshot")
        );
        self.columns.write(out, "target");
        let rows = self.rows.map(RowEstimate::text);
        for line in rows.iter().chain(&self.route).chain(&self.upsert) {
            let _ = writeln!(out, "           {line}");
        }
        if let Some(rows) = self.batch_rows {
            let _ = writeln!(
                out,
                "           more than {} changed rows are applied in several transactions",
                thousands(rows)
            );
        }
        write_changes(out, &self.schema_changes);
        for statement in &self.statements {
            write_statement(out, "load", statement);
        }
    }
}

fn write_statement(out: &mut String, what: &str, statement: &str) {
    let _ = writeln!(out, "  {what} T-SQL");
    for line in statement.lines() {
        let _ = writeln!(out, "    {line}");
    }
}
