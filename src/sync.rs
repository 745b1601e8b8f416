//! Joins source, lake and target: the only module that knows all three, and the only one that spawns tasks.
//!
//! Tables are worked on by a few workers, each with its own connections that it reuses from table to table. A step
//! (extract or load of one table) either commits or leaves nothing behind that a later run would mistake for data:
//!
//! - **extract** ends in one Iceberg metadata commit that carries rows and checkpoint together (see
//!   [`crate::lake`]). Killed before it, data files lie about that no metadata names; killed after it, the next run
//!   starts from the new checkpoint.
//! - **load** ends in one transaction on the target that carries rows and load state together (see
//!   [`crate::target`]). Killed before it, a staging table lies about that the next load of the same target drops;
//!   killed after it, the next load finds the new state.
//! - between the two nothing is remembered outside lake and target.

mod backfill;
mod extract;
mod follow;
mod guard;
mod load;
mod look;
mod maintain;
mod observer;
mod protect;
mod pump;
mod quarantine;
mod reread;
mod retry;
mod session;
mod stage;
mod standing;

pub use backfill::{FAIL_AFTER_RANGE, FAIL_BEFORE_RANGES};
pub use extract::FAIL_AFTER_EVOLVE;
pub use load::{
    FAIL_AFTER_ALTER, FAIL_AFTER_APPLY, FAIL_AFTER_FILL, FAIL_AFTER_FILL_CREATE,
    FAIL_AFTER_FILL_KEY, FAIL_AFTER_NET, FAIL_AFTER_STAGING, FAIL_BETWEEN_STEPS, FAIL_QUARANTINED,
};
pub use maintain::Chores;
pub use observer::{Observer, Phase};
pub use session::Sync;

use crate::change::RunId;
use crate::config::Table;
use crate::error::{Disposition, Error, Kind, Result};
use crate::lake::SnapshotRef;
use crate::report::{ErrorReport, LoadReport, Outcome, RunReport, TableReport};
use guard::caught;
use retry::Attempts;
use session::Links;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// What a run does to each table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Extract,
    Load {
        snapshot: SnapshotRef,
        full: bool,
    },
    /// Extract, then load the latest snapshot where a target is configured.
    Sync,
    /// Load again what is in quarantine.
    Retry,
}

impl Sync {
    /// Runs `action` on `tables`; a table that fails does not stop the others.
    pub async fn run(self, action: Action, tables: Vec<Table>) -> Result<RunReport> {
        self.require_sides(action)?;
        let run_id = RunId::generate();
        let started_at = chrono::Utc::now();
        let clock = Instant::now();
        let workers = self.workers(action).min(tables.len());
        let order: Vec<String> = tables
            .iter()
            .map(|table| table.source.to_string())
            .collect();
        let queue = Arc::new(Mutex::new(VecDeque::from(tables)));
        let sync = Arc::new(self);
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..workers {
            let (sync, queue) = (Arc::clone(&sync), Arc::clone(&queue));
            tasks.spawn(async move {
                let mut links = Links::default();
                let mut done = Vec::new();
                while let Some(table) = queue.lock().ok().and_then(|mut queue| queue.pop_front()) {
                    done.push(sync.table(action, run_id, &table, &mut links).await);
                }
                done
            });
        }
        let mut reports = Vec::new();
        while let Some(done) = tasks.join_next().await {
            reports.extend(done.map_err(|error| {
                Error::new(
                    Kind::Lake,
                    Disposition::Ambiguous,
                    format!("a worker ended abnormally: {error}"),
                )
            })?);
        }
        reports.sort_by_key(|report| order.iter().position(|name| *name == report.source));
        Ok(RunReport {
            command: action.name(),
            run_id: run_id.to_string(),
            started_at: started_at.to_rfc3339_opts(chrono::SecondsFormat::Millis, true),
            seconds: clock.elapsed().as_secs_f64(),
            outcome: RunReport::outcome_of(&reports),
            tables: reports,
        })
    }

    fn require_sides(&self, action: Action) -> Result<()> {
        match action {
            Action::Extract => self.source_side().map(drop),
            Action::Load { .. } | Action::Retry => self.target_side().map(drop),
            Action::Sync => self.source_side().map(drop),
        }
    }

    fn workers(&self, action: Action) -> usize {
        let side = match action {
            Action::Extract | Action::Sync => &self.source,
            Action::Load { .. } | Action::Retry => &self.target,
        };
        side.as_ref().map_or(1, |side| side.parallel_tables)
    }

    /// The report of one table, whether it failed or not: what was done before a failure is in it.
    async fn table(
        &self,
        action: Action,
        run_id: RunId,
        table: &Table,
        links: &mut Links,
    ) -> TableReport {
        let clock = Instant::now();
        let mut report = TableReport::of(table);
        let work = Box::pin(self.steps(action, run_id, table, links, &mut report));
        let worked = caught(work).await;
        if let Err(error) = links.guard(worked) {
            report.outcome = Outcome::Failed;
            report.error = Some(ErrorReport::of(&error.on_table(table.source.to_string())));
        }
        self.observer.finished(&report.source);
        report.seconds = clock.elapsed().as_secs_f64();
        report
    }

    async fn steps(
        &self,
        action: Action,
        run_id: RunId,
        table: &Table,
        links: &mut Links,
        report: &mut TableReport,
    ) -> Result<()> {
        let name = table.source.to_string();
        let observer = self.observer.as_ref();
        if matches!(action, Action::Extract | Action::Sync) {
            let mut attempts = Attempts::new();
            report.extract = loop {
                let loads = action == Action::Sync && self.target.is_some();
                let result = extract::extract(self, run_id, table, links, loads).await;
                match links.guard(result) {
                    Ok(done) => break Some(done),
                    Err(error) => attempts.after(error, &name, observer).await?,
                }
            };
        }
        // Before the load, so that the snapshot loaded is the last one.
        if let Some(number) = report
            .extract
            .as_ref()
            .and_then(|done| done.sequence_number)
        {
            report.maintenance = self.maintain_lightly(run_id, table, number).await;
        }
        let load = match action {
            Action::Extract => None,
            Action::Load { snapshot, full } => Some((snapshot, full)),
            Action::Sync => self
                .target
                .is_some()
                .then_some((SnapshotRef::Latest, false)),
            Action::Retry => self.to_retry(table, links).await?,
        };
        if let Some((snapshot, full)) = load {
            let mut attempts = Attempts::new();
            report.load = loop {
                let result = load::load(self, run_id, table, snapshot, full, links).await;
                match links.guard(result) {
                    Ok(done) => break Some(done),
                    Err(error) => attempts.after(error, &name, observer).await?,
                }
            };
            if let Some(done) = &mut report.load {
                done.in_quarantine = self.in_quarantine(table, links).await?;
            }
        }
        let read_nothing = report.extract.as_ref().is_none_or(|extract| {
            extract.snapshot_id.is_none() && extract.schema_changes.is_empty()
        });
        let loaded_nothing = report.load.as_ref().is_none_or(LoadReport::changed_nothing);
        if read_nothing && loaded_nothing {
            report.outcome = Outcome::Unchanged;
        }
        Ok(())
    }
}

impl Action {
    fn name(self) -> &'static str {
        match self {
            Action::Extract => "extract",
            Action::Load { .. } => "load",
            Action::Sync => "sync",
            Action::Retry => "retry",
        }
    }
}
