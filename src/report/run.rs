//! What a run did, table by table, for `extract`, `load` and `sync`.

use super::exit::Exit;
use super::failure::ErrorReport;
use super::format::{
    bytes, counts, plural, thousands, write_changes, write_in_quarantine, write_warnings,
};
use super::late::LateReport;
use super::maintain::MaintenanceReport;
use super::reread::RereadReport;
use super::signal::Signal;
use crate::change::Strategy;
use crate::config::Table;
use crate::error::{Disposition, Error, Kind};
use crate::lake::LookupStats;
use crate::schema::drift::SchemaChange;
use serde::Serialize;
use std::fmt::Write as _;

/// One command over all its tables.
#[derive(Debug, Clone, Serialize)]
pub struct RunReport {
    pub command: &'static str,
    pub run_id: String,
    /// RFC 3339, UTC.
    pub started_at: String,
    pub seconds: f64,
    pub outcome: Outcome,
    /// What has ended it before its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signal: Option<Signal>,
    /// Servers that could not be used, one error each. Tables that were to be worked on are not started.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<ErrorReport>,
    pub tables: Vec<TableReport>,
    /// What concerns the source as a whole.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Connection settings without effect. The text does not repeat them: every command says them on stderr.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub connection_warnings: Vec<String>,
}

/// How a run, or a table of it, ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Done,
    /// Nothing had changed; nothing was committed.
    Unchanged,
    Failed,
    /// Some tables failed.
    Partial,
    /// A signal ended it before its end.
    Interrupted,
    /// Nothing was done for the table, because the run ended before its turn.
    NotStarted,
}

/// What was done for one table.
#[derive(Debug, Clone, Serialize)]
pub struct TableReport {
    pub source: String,
    pub lake: String,
    pub target: String,
    pub outcome: Outcome,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extract: Option<ExtractReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load: Option<LoadReport>,
    /// What was due of the lake table's maintenance after the commit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maintenance: Option<MaintenanceReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorReport>,
    pub seconds: f64,
}

impl TableReport {
    /// Of a table that nothing was done for yet.
    pub fn of(table: &Table) -> Self {
        Self {
            source: table.source.to_string(),
            lake: table.lake.to_string(),
            target: table.target.to_string(),
            outcome: Outcome::Done,
            extract: None,
            load: None,
            maintenance: None,
            error: None,
            seconds: 0.0,
        }
    }

    /// Of a table whose turn did not come.
    pub fn not_started(table: &Table) -> Self {
        Self {
            outcome: Outcome::NotStarted,
            ..Self::of(table)
        }
    }

    /// The table failed, or a signal ended the work on it; what was done before stays in the report.
    pub fn fail(&mut self, error: Error) {
        self.outcome = match error.disposition() {
            Disposition::Interrupted => Outcome::Interrupted,
            Disposition::Transient | Disposition::Definite | Disposition::Ambiguous => {
                Outcome::Failed
            }
        };
        self.error = Some(ErrorReport::of(&error));
    }

    /// Whether all that was asked for is done.
    pub fn is_done(&self) -> bool {
        match self.outcome {
            Outcome::Done | Outcome::Unchanged => true,
            Outcome::Failed | Outcome::Partial | Outcome::Interrupted | Outcome::NotStarted => {
                false
            }
        }
    }

    /// Commits of its extract so far.
    pub fn commits(&self) -> u64 {
        self.extract.as_ref().map_or(0, |extract| extract.commits)
    }

    /// Whether anything has changed.
    pub fn judge(&mut self) {
        let read_nothing = self.extract.as_ref().is_none_or(|extract| {
            extract.snapshot_id.is_none() && extract.schema_changes.is_empty()
        });
        let loaded_nothing = self.load.as_ref().is_none_or(LoadReport::changed_nothing);
        self.outcome = match read_nothing && loaded_nothing {
            true => Outcome::Unchanged,
            false => Outcome::Done,
        };
    }
}

/// What an extract did.
#[derive(Debug, Clone, Serialize)]
pub struct ExtractReport {
    pub strategy: Strategy,
    /// Every row was read.
    pub full_read: bool,
    /// All rows of the lake table were replaced, without a look at which of them differ.
    #[serde(skip)]
    pub replaced_all: bool,
    pub rows_read: u64,
    /// Of those, rows read again because of `overlap`.
    pub rows_overlap: u64,
    /// What `--from` asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reread: Option<RereadReport>,
    /// Rows that the overlap has brought, and that the lake did not have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub late: Option<LateReport>,
    pub inserted: u64,
    pub updated: u64,
    pub deleted: u64,
    /// Read again and identical: not written.
    pub unchanged: u64,
    pub bytes: u64,
    pub data_files: u64,
    pub delete_files: u64,
    /// What finding the rows that changed ones replace has cost.
    pub lookup: LookupStats,
    /// The last one; none: no rows were committed.
    pub snapshot_id: Option<i64>,
    pub sequence_number: Option<i64>,
    /// Commits; more than one where a large window was committed in steps.
    pub commits: u64,
    /// Ranges of the key that a whole table was read in; 1 is one stream.
    pub ranges: usize,
    /// Of them, those that an interrupted run had read.
    pub ranges_resumed: usize,
    pub watermark_before: Option<String>,
    pub watermark_after: Option<String>,
    /// Values that `fidelity: standard` truncated.
    pub truncated: u64,
    /// How the source's columns have changed, and what the lake table made of it.
    pub schema_changes: Vec<SchemaChange>,
    pub seconds: f64,
    pub warnings: Vec<String>,
}

/// How a load brought the target to its snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LoadMethod {
    /// There was nothing to do.
    Nothing,
    /// The lake table has no snapshot yet: the target was created, or its columns follow.
    Prepare,
    /// The whole snapshot, into a target of which nothing was known.
    First,
    /// What changed since the snapshot that was loaded last.
    Delta,
    /// The whole snapshot, compared with the rows of the target.
    Whole,
    /// The whole snapshot instead of the rows of the target.
    Replace,
}

/// What a load did.
#[derive(Debug, Clone, Serialize)]
pub struct LoadReport {
    pub kind: LoadMethod,
    pub from_snapshot: Option<i64>,
    /// What the target is at now; none when the lake table has no snapshot yet.
    pub snapshot_id: Option<i64>,
    pub sequence_number: Option<i64>,
    /// Rows bulk copied into the staging table.
    pub rows_staged: u64,
    pub inserted: u64,
    pub updated: u64,
    pub deleted: u64,
    /// Staged, and equal to what the target held.
    pub unchanged: u64,
    /// Rows that the target refused, and that were put into its quarantine.
    pub quarantined: u64,
    /// Rows of the target that are in its quarantine after the load, by this load or earlier ones.
    pub in_quarantine: u64,
    /// Transactions that the rows were applied in.
    pub transactions: usize,
    pub created_target: bool,
    /// How the target's columns were changed to follow the lake's.
    pub schema_changes: Vec<SchemaChange>,
    pub seconds: f64,
    pub warnings: Vec<String>,
}

impl RunReport {
    /// The outcome of a run from those of its tables, and from the servers that could not be used.
    pub fn outcome_of(
        tables: &[TableReport],
        errors: &[ErrorReport],
        signal: Option<Signal>,
    ) -> Outcome {
        let left = tables.iter().filter(|table| !table.is_done()).count();
        let cut = |table: &TableReport| {
            matches!(table.outcome, Outcome::Interrupted | Outcome::NotStarted)
        };
        if signal.is_some() && tables.iter().any(cut) {
            Outcome::Interrupted
        } else if left == 0 && errors.is_empty() {
            let mut outcomes = tables.iter().map(|table| table.outcome);
            match outcomes.all(|outcome| outcome == Outcome::Unchanged) {
                true => Outcome::Unchanged,
                false => Outcome::Done,
            }
        } else if left == tables.len() {
            Outcome::Failed
        } else {
            Outcome::Partial
        }
    }

    /// How the run went: transient only if every failure is, and retries are used up.
    pub fn exit(&self) -> Exit {
        if let (Outcome::Interrupted, Some(signal)) = (self.outcome, self.signal) {
            return signal.exit();
        }
        let of_tables = self.tables.iter().filter_map(|table| table.error.as_ref());
        let errors: Vec<_> = self.errors.iter().chain(of_tables).collect();
        if errors.is_empty() {
            match self.in_quarantine() {
                0 => Exit::Done,
                _ => Exit::Quarantined,
            }
        } else if self.tables.iter().any(TableReport::is_done) {
            Exit::Partial
        } else if errors.iter().all(|error| error.kind == Kind::Config) {
            Exit::Usage
        } else if errors.iter().all(|error| error.disposition == "transient") {
            Exit::Transient
        } else {
            Exit::Failed
        }
    }

    /// Rows of the loaded targets that are in quarantine.
    fn in_quarantine(&self) -> u64 {
        let loads = self.tables.iter().filter_map(|table| table.load.as_ref());
        loads.map(|load| load.in_quarantine).sum()
    }

    /// A few lines for a terminal.
    pub fn text(&self) -> String {
        let mut out = String::new();
        for table in &self.tables {
            table.write_text(&mut out);
        }
        for warning in &self.warnings {
            let _ = writeln!(out, "warning: {warning}");
        }
        for error in &self.errors {
            let _ = writeln!(out, "{}", error.message);
        }
        let tables = plural(self.tables.len() as u64, "table");
        let left = self.tables.iter().filter(|table| !table.is_done()).count();
        let signal = self.signal.map_or("", Signal::name);
        let _ = writeln!(
            out,
            "{} {}: {} in {:.2} s (run {})",
            self.command,
            match self.outcome {
                Outcome::Done => "done".to_owned(),
                Outcome::Unchanged => "done, nothing changed".to_owned(),
                Outcome::Interrupted => format!("ended by {signal}"),
                Outcome::Failed | Outcome::Partial | Outcome::NotStarted => "failed".to_owned(),
            },
            match (left, self.outcome) {
                (0, _) => tables,
                (left, Outcome::Interrupted) => format!("{left} of {tables} not done"),
                (left, _) => format!("{left} of {tables} failed"),
            },
            self.seconds,
            self.run_id
        );
        out
    }
}

impl TableReport {
    fn write_text(&self, out: &mut String) {
        let _ = writeln!(out, "{}", self.source);
        if let Some(extract) = &self.extract {
            extract.write_text(out);
        }
        if let Some(load) = &self.load {
            load.write_text(out);
        }
        if let Some(maintenance) = &self.maintenance {
            maintenance.write_text(out, false);
        }
        match (&self.error, self.outcome) {
            (Some(error), Outcome::Interrupted) => {
                let _ = writeln!(out, "  ended    {}", error.message);
            }
            (Some(error), _) => {
                let _ = writeln!(out, "  failed   {}", error.message);
            }
            (None, Outcome::NotStarted) => out.push_str("  not started\n"),
            (None, _) => {}
        }
    }
}

impl ExtractReport {
    /// What this step of an extract did, and those before it.
    pub fn after(self, before: Option<ExtractReport>) -> ExtractReport {
        match before {
            Some(before) => before.and(self),
            None => self,
        }
    }

    /// What this step of an extract and the next one did. A step that is tried again says its warnings once.
    fn and(self, next: ExtractReport) -> ExtractReport {
        let mut lookup = self.lookup;
        lookup.add(next.lookup);
        let mut warnings = self.warnings;
        for warning in next.warnings {
            if !warnings.contains(&warning) {
                warnings.push(warning);
            }
        }
        ExtractReport {
            strategy: next.strategy,
            full_read: self.full_read || next.full_read,
            replaced_all: self.replaced_all || next.replaced_all,
            rows_read: self.rows_read + next.rows_read,
            rows_overlap: self.rows_overlap + next.rows_overlap,
            reread: next.reread,
            late: LateReport::and(self.late, next.late),
            inserted: self.inserted + next.inserted,
            updated: self.updated + next.updated,
            deleted: self.deleted + next.deleted,
            unchanged: self.unchanged + next.unchanged,
            bytes: self.bytes + next.bytes,
            data_files: self.data_files + next.data_files,
            delete_files: self.delete_files + next.delete_files,
            lookup,
            snapshot_id: next.snapshot_id.or(self.snapshot_id),
            sequence_number: next.sequence_number.or(self.sequence_number),
            commits: self.commits + next.commits,
            ranges: self.ranges.max(next.ranges),
            ranges_resumed: self.ranges_resumed + next.ranges_resumed,
            watermark_before: self.watermark_before,
            watermark_after: next.watermark_after,
            truncated: self.truncated + next.truncated,
            schema_changes: [self.schema_changes, next.schema_changes].concat(),
            seconds: self.seconds + next.seconds,
            warnings,
        }
    }

    fn write_text(&self, out: &mut String) {
        self.write_read(out);
        self.write_commit(out);
        let _ = writeln!(out, "; {:.2} s", self.seconds);
        if self.lookup.files > 0 {
            let _ = writeln!(
                out,
                "           keys looked up in {} of {}: {} of the key columns read",
                thousands(self.lookup.files_probed),
                plural(self.lookup.files, "file"),
                plural(self.lookup.rows_probed, "row")
            );
        }
        if let Some(after) = &self.watermark_after {
            match &self.watermark_before {
                Some(before) if before != after => {
                    let _ = writeln!(out, "           watermark {before} -> {after}");
                }
                _ => {
                    let _ = writeln!(out, "           watermark {after}");
                }
            }
        }
        if let Some(late) = &self.late {
            late.write(out);
        }
        write_changes(out, &self.schema_changes);
        write_warnings(out, &self.warnings);
    }

    /// What was read.
    fn write_read(&self, out: &mut String) {
        if let Some(reread) = &self.reread {
            let _ = write!(out, "  extract  {}", self.strategy);
            return reread.write(out, self.rows_read);
        }
        let read = if self.full_read {
            "full read"
        } else {
            "changes"
        };
        let _ = write!(
            out,
            "  extract  {} ({read}): {} read",
            self.strategy,
            plural(self.rows_read, "row")
        );
        if self.rows_overlap > 0 {
            let _ = write!(
                out,
                " ({} of them again, overlap)",
                thousands(self.rows_overlap)
            );
        }
        if self.ranges > 1 {
            let _ = write!(out, " in {} ranges", self.ranges);
        }
        if self.ranges_resumed > 0 {
            let _ = write!(
                out,
                " ({} of them by an earlier run that was interrupted)",
                self.ranges_resumed
            );
        }
    }

    /// What was committed.
    fn write_commit(&self, out: &mut String) {
        match self.sequence_number {
            None => out.push_str("; nothing changed, no snapshot"),
            Some(number) if self.replaced_all && self.deleted > 0 => {
                let _ = write!(
                    out,
                    "; snapshot {number}: {} replaced by {}",
                    plural(self.deleted, "row"),
                    thousands(self.inserted)
                );
            }
            Some(number) => {
                let _ = write!(
                    out,
                    "; snapshot {number}: {}",
                    counts(self.inserted, self.updated, self.deleted)
                );
                if self.unchanged > 0 {
                    let _ = write!(out, ", {} unchanged", thousands(self.unchanged));
                }
            }
        }
        if self.sequence_number.is_some() {
            let _ = write!(
                out,
                "; {} in {}",
                bytes(self.bytes),
                plural(self.data_files + self.delete_files, "file")
            );
        }
        if self.commits > 1 {
            let _ = write!(out, ", {} commits", thousands(self.commits));
        }
    }
}

impl LoadReport {
    /// What this load and the next one of the same run did. This one finished a load that had been interrupted.
    pub fn and(self, next: LoadReport) -> LoadReport {
        let number = self.sequence_number.unwrap_or_default();
        let finished = format!("the interrupted load of snapshot {number} was finished first");
        LoadReport {
            from_snapshot: self.from_snapshot,
            rows_staged: self.rows_staged + next.rows_staged,
            inserted: self.inserted + next.inserted,
            updated: self.updated + next.updated,
            deleted: self.deleted + next.deleted,
            unchanged: self.unchanged + next.unchanged,
            quarantined: self.quarantined + next.quarantined,
            transactions: self.transactions + next.transactions,
            schema_changes: [self.schema_changes, next.schema_changes].concat(),
            warnings: [vec![finished], self.warnings, next.warnings.clone()].concat(),
            ..next
        }
    }

    /// Neither rows nor the target table have changed.
    pub fn changed_nothing(&self) -> bool {
        match self.kind {
            LoadMethod::Nothing => true,
            LoadMethod::Prepare => !self.created_target && self.schema_changes.is_empty(),
            LoadMethod::First | LoadMethod::Delta | LoadMethod::Whole | LoadMethod::Replace => {
                false
            }
        }
    }

    fn write_text(&self, out: &mut String) {
        let number = self.sequence_number.unwrap_or_default();
        match self.kind {
            LoadMethod::Nothing if self.snapshot_id.is_some() => {
                let _ = write!(
                    out,
                    "  load     snapshot {number} is already loaded; nothing to do"
                );
            }
            LoadMethod::Nothing | LoadMethod::Prepare => {
                let done = if self.created_target {
                    "empty table created"
                } else if self.schema_changes.is_empty() {
                    "nothing to do"
                } else {
                    "its columns follow"
                };
                let _ = write!(out, "  load     the lake table has no snapshot yet; {done}");
            }
            LoadMethod::First | LoadMethod::Delta => self.write_rows(out, "up to snapshot"),
            LoadMethod::Whole => self.write_rows(out, "compared with the whole of snapshot"),
            LoadMethod::Replace => self.write_rows(out, "replaced by snapshot"),
        }
        let _ = writeln!(out, "; {:.2} s", self.seconds);
        write_changes(out, &self.schema_changes);
        write_warnings(out, &self.warnings);
        self.write_quarantine(out);
    }

    fn write_quarantine(&self, out: &mut String) {
        if self.quarantined > 0 {
            let _ = writeln!(
                out,
                "  refused  {}; the target keeps what it had of their keys",
                plural(self.quarantined, "row")
            );
        }
        write_in_quarantine(out, self.in_quarantine);
    }

    fn write_rows(&self, out: &mut String, what: &str) {
        let created = if self.created_target {
            ", table created"
        } else {
            ""
        };
        let _ = write!(
            out,
            "  load     {what} {}: {} staged; {}{created}",
            self.sequence_number.unwrap_or_default(),
            plural(self.rows_staged, "row"),
            counts(self.inserted, self.updated, self.deleted)
        );
        if self.unchanged > 0 {
            let _ = write!(out, ", {} unchanged", thousands(self.unchanged));
        }
        if self.transactions > 1 {
            let _ = write!(
                out,
                ", in {} transactions",
                thousands(self.transactions as u64)
            );
        }
    }
}
