//! What icesync remembers of a table, and what was done to that, for `state`.

use super::exit::Exit;
use super::failure::ErrorReport;
use super::format::{next_extract, thousands};
use crate::change::Checkpoint;
use crate::lake::LoadTag;
use crate::schema::shell_quoted;
use serde::Serialize;
use std::fmt::Write as _;

/// The state of tables, for `state show`.
#[derive(Debug, Serialize)]
pub struct StatesReport {
    pub tables: Vec<StateReport>,
    /// Targets with a load state that no configured table has.
    pub unconfigured: Vec<UnconfiguredState>,
    pub errors: Vec<ErrorReport>,
    /// As of [`Listing`](super::Listing).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub connection_warnings: Vec<String>,
}

/// The state of one table.
#[derive(Debug, Serialize)]
pub struct StateReport {
    pub source: String,
    pub lake: LakeState,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<TargetState>,
}

/// The lake's side. With an `error`, what could not be read is missing.
#[derive(Debug, Serialize)]
pub struct LakeState {
    pub table: String,
    pub exists: bool,
    pub uuid: Option<String>,
    pub snapshot_id: Option<i64>,
    pub sequence_number: Option<i64>,
    #[serde(serialize_with = "super::checkpoint::serialize")]
    pub checkpoint: Option<Checkpoint>,
    /// Of the checkpoint's snapshot; none where the lake table does not list it.
    pub checkpoint_sequence_number: Option<i64>,
    /// Of every target.
    pub tags: Vec<LoadTag>,
    pub error: Option<ErrorReport>,
}

/// The target's side. With an `error`, what could not be read is missing.
#[derive(Debug, Serialize)]
pub struct TargetState {
    pub table: String,
    pub exists: Option<bool>,
    /// None where nothing is recorded.
    pub loaded: Option<LoadedState>,
    /// The table is the one that was loaded; none where the load state does not say.
    pub is_same_table: Option<bool>,
    pub is_loading: bool,
    /// A load in several steps has not come to its end: it is on its way to this snapshot.
    pub pending_snapshot_id: Option<i64>,
    /// Left by loads that died.
    pub staging_tables: Vec<String>,
    pub error: Option<ErrorReport>,
}

/// A load state.
#[derive(Debug, Serialize)]
pub struct LoadedState {
    pub lake_table: String,
    pub table_uuid: String,
    /// None while the target is only prepared.
    pub snapshot_id: Option<i64>,
    pub sequence_number: i64,
    pub run_id: String,
    pub loaded_at: String,
}

/// A load state whose target is in no table of the configuration.
#[derive(Debug, Serialize)]
pub struct UnconfiguredState {
    pub target: String,
    pub lake_table: String,
    pub snapshot_id: i64,
    pub sequence_number: i64,
    pub run_id: String,
    pub loaded_at: String,
}

/// What is wrong with the state of one table, for `state verify`.
#[derive(Debug, Serialize)]
pub struct VerifyReport {
    pub source: String,
    pub lake: String,
    pub target: String,
    pub findings: Vec<Finding>,
    /// Rows of the snapshot that the target has loaded, where its writer counted them.
    pub lake_rows: Option<u64>,
    pub target_rows: Option<u64>,
}

/// Something about the state of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub severity: Severity,
    pub message: String,
    /// What to do about it.
    pub remedy: String,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// As it may be.
    Info,
    /// Runs go on, and say what they do.
    Warning,
    /// The next run stops, or reads or loads everything.
    Error,
}

/// What `state repair` did to one table.
#[derive(Debug, Serialize)]
pub struct RepairReport {
    pub source: String,
    pub lake: String,
    pub target: String,
    pub done: Vec<String>,
    /// What it does not mend.
    pub left: Vec<Finding>,
}

/// What `state reset`, `forget` or `import` did to one table, or would do with `--yes`.
#[derive(Debug, Serialize)]
pub struct StateChangeReport {
    /// The source's name, or that of a target or lake table that is not configured.
    pub table: String,
    /// False: nothing was changed, because `--yes` is missing.
    pub done: bool,
    pub changes: Vec<String>,
    /// What follows from it for the next runs.
    pub follows: Vec<String>,
}

impl StatesReport {
    /// Failed when a side of a table could not be read.
    pub fn exit(&self) -> Exit {
        let failed = |table: &StateReport| {
            let target = table.target.as_ref().and_then(|side| side.error.as_ref());
            table.lake.error.is_some() || target.is_some()
        };
        match self.errors.is_empty() && !self.tables.iter().any(failed) {
            true => Exit::Done,
            false => Exit::Failed,
        }
    }

    /// For a terminal.
    pub fn text(&self) -> String {
        let mut out: String = self.tables.iter().map(StateReport::text).collect();
        for state in &self.unconfigured {
            let _ = writeln!(
                out,
                "{} is in no table of the configuration\n  loaded      snapshot {} of lake table {}, run {}, {}\n  \
                 remove it   icesync state forget --target {} --yes",
                state.target,
                state.sequence_number,
                state.lake_table,
                state.run_id,
                state.loaded_at,
                shell_quoted(&state.target)
            );
        }
        out
    }
}

impl StateReport {
    fn text(&self) -> String {
        let mut out = format!("{}\n", self.source);
        self.lake.write_text(&mut out);
        if let Some(target) = &self.target {
            target.write_text(&mut out, self.lake.uuid.as_deref());
        }
        out
    }
}

impl LakeState {
    fn write_text(&self, out: &mut String) {
        let table = &self.table;
        if let Some(error) = &self.error {
            let _ = writeln!(
                out,
                "  lake        {table} cannot be read: {}",
                error.message
            );
        } else if !self.exists {
            let _ = writeln!(out, "  lake        {table} does not exist yet");
        }
        if self.exists {
            let _ = match self.sequence_number {
                Some(number) => writeln!(out, "  lake        {table}: snapshot {number}"),
                None => writeln!(out, "  lake        {table} is empty"),
            };
        }
        match &self.checkpoint {
            Some(checkpoint) => self.write_checkpoint(out, checkpoint),
            None if self.exists && self.error.is_none() => {
                let _ = writeln!(
                    out,
                    "  checkpoint  none: the next extract reads the whole table"
                );
            }
            None => {}
        }
        let mut label = "tags";
        for tag in &self.tags {
            let number = tag.sequence_number.map(|number| number.to_string());
            let number = number.unwrap_or_else(|| format!("with id {}", tag.snapshot_id));
            let _ = writeln!(out, "  {label:10}  {}: snapshot {number}", tag.name);
            label = "";
        }
    }

    fn write_checkpoint(&self, out: &mut String, checkpoint: &Checkpoint) {
        let _ = write!(
            out,
            "  checkpoint  {}{}",
            checkpoint.strategy,
            next_extract(checkpoint)
        );
        match (checkpoint.snapshot_id, self.checkpoint_sequence_number) {
            (Some(id), Some(number)) => {
                let _ = write!(out, "; snapshot {number} (id {id})");
            }
            (Some(id), None) => {
                let _ = write!(out, "; snapshot with id {id}, which is not listed");
            }
            (None, _) => out.push_str("; no snapshot"),
        }
        let _ = writeln!(
            out,
            "\n              run {}, {}",
            checkpoint.run_id, checkpoint.committed_at
        );
        if let Some(ledger) = &checkpoint.backfill {
            let _ = writeln!(
                out,
                "              a read of the whole table is under way: {} of {} ranges done",
                ledger.done.len(),
                ledger.cuts.len() + 1
            );
        }
    }
}

impl TargetState {
    fn write_text(&self, out: &mut String, uuid: Option<&str>) {
        let table = &self.table;
        if let Some(error) = &self.error {
            let _ = writeln!(
                out,
                "  target      {table} cannot be read: {}",
                error.message
            );
            return;
        }
        let what = match (self.exists, self.is_same_table) {
            (Some(false), _) => " does not exist",
            (_, Some(false)) => " is another table than the one that was loaded",
            (_, Some(true)) => " is the table that was loaded",
            (_, None) => "",
        };
        let _ = writeln!(out, "  target      {table}{what}");
        match &self.loaded {
            Some(loaded) => loaded.write_text(out, uuid),
            None => out.push_str("  loaded      nothing\n"),
        }
        if self.is_loading {
            out.push_str("  load        running\n");
        }
        if let Some(pending) = self.pending_snapshot_id {
            let _ = writeln!(
                out,
                "  load        between two snapshots, on its way to the one with id {pending}"
            );
        }
        let mut label = "staging";
        for staging in &self.staging_tables {
            let _ = writeln!(
                out,
                "  {label:10}  icesync.{staging}, left by a load that died"
            );
            label = "";
        }
    }
}

impl LoadedState {
    fn write_text(&self, out: &mut String, uuid: Option<&str>) {
        match self.snapshot_id {
            Some(id) => {
                let _ = write!(
                    out,
                    "  loaded      snapshot {} (id {id})",
                    self.sequence_number
                );
            }
            None => out.push_str("  loaded      no rows yet: the target was created empty"),
        }
        if uuid.is_some_and(|uuid| uuid != self.table_uuid) {
            let _ = write!(
                out,
                " of another lake table ({}, uuid {})",
                self.lake_table, self.table_uuid
            );
        }
        let _ = writeln!(
            out,
            "\n              run {}, {}Z",
            self.run_id, self.loaded_at
        );
    }
}

impl VerifyReport {
    /// Whether there is more than information.
    pub fn is_alarming(&self) -> bool {
        let mut findings = self.findings.iter();
        findings.any(|finding| finding.severity > Severity::Info)
    }

    /// For a terminal.
    pub fn text(&self) -> String {
        let mut out = format!(
            "{} (lake {}, target {})",
            self.source, self.lake, self.target
        );
        out.push_str(match self.is_alarming() {
            true => "\n",
            false => ": all right\n",
        });
        write_findings(&mut out, &self.findings);
        if let Some(rows) = self.target_rows {
            let _ = write!(out, "  rows     {} in the target", thousands(rows));
            if let Some(rows) = self.lake_rows {
                let _ = write!(out, ", {} in the snapshot that it has", thousands(rows));
            }
            out.push('\n');
        }
        out
    }
}

impl RepairReport {
    /// Whether something is left that is more than information.
    pub fn is_alarming(&self) -> bool {
        !self.left.is_empty()
    }

    /// For a terminal.
    pub fn text(&self) -> String {
        let mut out = format!(
            "{} (lake {}, target {})",
            self.source, self.lake, self.target
        );
        out.push_str(match self.done.is_empty() && self.left.is_empty() {
            true => ": nothing to mend\n",
            false => "\n",
        });
        for done in &self.done {
            let _ = writeln!(out, "  mended   {done}");
        }
        write_findings(&mut out, &self.left);
        out
    }
}

impl StateChangeReport {
    /// Whether something would be changed, if only `--yes` were there.
    pub fn is_waiting(&self) -> bool {
        !self.done && !self.changes.is_empty()
    }

    /// For a terminal.
    pub fn text(&self) -> String {
        let mut out = self.table.clone();
        out.push_str(match (self.changes.is_empty(), self.done) {
            (true, _) => ": nothing to change\n",
            (false, true) => "\n",
            (false, false) => ": nothing is changed without --yes\n",
        });
        for change in &self.changes {
            let _ = writeln!(out, "  change   {change}");
        }
        for line in &self.follows {
            let _ = writeln!(out, "  then     {line}");
        }
        out
    }
}

fn write_findings(out: &mut String, findings: &[Finding]) {
    for finding in findings {
        let severity = match finding.severity {
            Severity::Info => "info",
            Severity::Warning => "warning",
            Severity::Error => "error",
        };
        let _ = writeln!(out, "  {severity:7}  {}", finding.message);
        if !finding.remedy.is_empty() {
            let _ = writeln!(out, "           {}", finding.remedy);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_that_forgets_a_target_can_be_copied() {
        let report = StatesReport {
            tables: Vec::new(),
            unconfigured: vec![UnconfiguredState {
                target: "dbo.[O'Brien]".into(),
                lake_table: "dbo.people".into(),
                snapshot_id: 7,
                sequence_number: 1,
                run_id: "run".into(),
                loaded_at: "2026-01-01T00:00:00".into(),
            }],
            errors: Vec::new(),
            connection_warnings: Vec::new(),
        };
        let command = r"icesync state forget --target 'dbo.[O'\''Brien]' --yes";
        assert!(report.text().contains(command), "{}", report.text());
    }
}
