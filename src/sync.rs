//! Joins source, lake and target: the only module that knows all three, and the only one that spawns tasks.
//!
//! Tables are worked on by a few workers, each with its own connections that it reuses from table to table. A step
//! (extract or load of one table) either commits or leaves nothing behind that a later run would mistake for data:
//!
//! - **extract** ends in one Iceberg metadata commit that carries rows and checkpoint together (see
//!   [`crate::lake`]). Killed before it, orphaned data files remain; killed after it, the next run
//!   starts from the new checkpoint.
//! - **load** ends in one transaction on the target that carries rows and load state together (see
//!   [`crate::target`]). Killed before it, a staging table remains, which the next load of the same target drops;
//!   killed after it, the next load finds the new state.
//! - between the two nothing is remembered outside lake and target.
//!
//! The servers are looked at once before the first table (`sync/reach.rs`). A signal ends a run before its end
//! ([`Stop`]).

mod backfill;
mod begin;
mod extract;
mod follow;
mod gate;
mod guard;
mod leftover;
mod load;
mod look;
mod maintain;
mod observer;
mod protect;
mod pump;
mod quarantine;
mod reach;
mod reader;
mod reread;
mod restored;
mod retry;
mod session;
mod settle;
mod stage;
mod standing;
mod state;
mod stop;
mod tracked;
mod unseen;
mod verify;
mod watch;

pub use backfill::{FAIL_AFTER_RANGE, FAIL_BEFORE_RANGES, FAIL_FENCED};
pub use begin::FAIL_AFTER_EVOLVE;
pub use extract::{FAIL_BETWEEN_COMMITS, FAIL_BOUNDED};
pub use load::{
    FAIL_AFTER_ALTER, FAIL_AFTER_APPLY, FAIL_AFTER_CREATE, FAIL_AFTER_FILL, FAIL_AFTER_FILL_CREATE,
    FAIL_AFTER_FILL_KEY, FAIL_AFTER_NET, FAIL_AFTER_STAGING, FAIL_BETWEEN_STEPS, FAIL_QUARANTINED,
};
pub use maintain::Chores;
pub use observer::{Observer, Phase};
pub use session::Sync;
pub use state::{BadStateFile, StateFile};
pub use stop::Stop;
pub use verify::Comparison;

use crate::change::RunId;
use crate::config::{Group, Table};
use crate::error::{Disposition, Error, Kind, Result};
use crate::lake::SnapshotRef;
use crate::report::{ErrorReport, LoadReport, RunReport, TableReport};
use crate::schema::TableName;
use crate::target::foreign;
use guard::caught;
use session::Links;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Instant;
use stop::BEFORE_LOAD;

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
    /// Runs `action` on `tables`; a table that fails does not stop the others. A server that cannot be used does, and
    /// so does a signal: what is left is then reported as not started, or as interrupted.
    pub async fn run(self, action: Action, tables: Vec<Table>) -> Result<RunReport> {
        self.require_sides(action)?;
        let run_id = RunId::generate();
        let started_at = chrono::Utc::now();
        let clock = Instant::now();
        let sync = Arc::new(self);
        let mut errors = sync.check_servers(action, &tables).await;
        let reports = if errors.is_empty() {
            let reports = sync.tables(action, run_id, &tables).await?;
            errors = sync.lost_servers();
            reports
        } else {
            tables.iter().map(TableReport::not_started).collect()
        };
        errors.retain(|error| error.disposition() != Disposition::Interrupted);
        let errors: Vec<ErrorReport> = errors.iter().map(ErrorReport::of).collect();
        let signal = sync.stop.signal();
        Ok(RunReport {
            command: action.name(),
            run_id: run_id.to_string(),
            started_at: started_at.to_rfc3339_opts(chrono::SecondsFormat::Millis, true),
            seconds: clock.elapsed().as_secs_f64(),
            outcome: RunReport::outcome_of(&reports, &errors, signal),
            signal,
            errors,
            tables: reports,
            warnings: sync.notices(),
            connection_warnings: sync.connection_warnings(),
        })
    }

    /// Works on all tables; the reports are in their order.
    async fn tables(
        self: &Arc<Self>,
        action: Action,
        run_id: RunId,
        tables: &[Table],
    ) -> Result<Vec<TableReport>> {
        let order: Vec<String> = tables
            .iter()
            .map(|table| table.source.to_string())
            .collect();
        let (groups, unknown) = match self.groups(action, tables).await {
            Ok(groups) => (groups, None),
            Err(error) => (vec![(0..tables.len()).collect()], Some(error)),
        };
        let is_grouped = |at: usize| groups.iter().any(|group| group.contains(&at));
        let jobs = tables.iter().enumerate().map(|(at, table)| Job {
            table: table.clone(),
            loads: !is_grouped(at),
        });
        let mut reports = self.work(action, run_id, jobs.collect()).await?;
        reports.sort_by_key(|report| order.iter().position(|name| *name == report.source));
        for group in &groups {
            match &unknown {
                Some(error) => end_loads(group, error, &mut reports),
                None => {
                    self.group(action, run_id, group, tables, &mut reports)
                        .await;
                }
            }
        }
        Ok(reports)
    }

    /// Works on the tables, several at once.
    async fn work(
        self: &Arc<Self>,
        action: Action,
        run_id: RunId,
        jobs: Vec<Job>,
    ) -> Result<Vec<TableReport>> {
        let workers = self.workers(action).min(jobs.len());
        let queue = Arc::new(Mutex::new(VecDeque::from(jobs)));
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..workers {
            let (sync, queue) = (Arc::clone(self), Arc::clone(&queue));
            tasks.spawn(async move {
                let mut links = Links::default();
                let mut done = Vec::new();
                let next = || queue.lock().ok().and_then(|mut queue| queue.pop_front());
                while sync.goes_on()
                    && let Some(job) = next()
                {
                    done.push(sync.table(action, run_id, &job, &mut links).await);
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
                    format!("a worker ended abnormally: {}", guard::ended(error)),
                )
            })?);
        }
        let mut left = queue
            .lock()
            .map_or_else(|_| VecDeque::new(), |mut queue| std::mem::take(&mut *queue));
        reports.extend(
            left.drain(..)
                .map(|job| TableReport::not_started(&job.table)),
        );
        Ok(reports)
    }

    /// Positions of the tables that are loaded together. While the foreign keys of the target are not known, none can
    /// be loaded: a child might come before its parent.
    async fn groups(&self, action: Action, tables: &[Table]) -> Result<Vec<Vec<usize>>> {
        let loads = match action {
            // What is in quarantine is loaded again table by table.
            Action::Extract | Action::Retry => false,
            Action::Load { .. } | Action::Sync => self.target.is_some(),
        };
        if !loads || tables.len() < 2 {
            return Ok(Vec::new());
        }
        match self.load.group {
            Group::None => return Ok(Vec::new()),
            Group::All => return Ok(vec![(0..tables.len()).collect()]),
            Group::Auto => {}
        }
        let side = self.target_side()?;
        let mut attempts = self.attempts();
        let keys = loop {
            let read = async {
                let mut control = None;
                let control = Links::control(&mut control, side, Kind::Target).await?;
                Ok::<_, Error>(foreign::read(control).await?)
            };
            match self.stop.cut(BEFORE_LOAD, read).await {
                Ok(keys) => break keys,
                Err(error) => self.again(&mut attempts, error, side.name).await?,
            }
        };
        let targets: Vec<TableName> = tables.iter().map(|table| table.target.clone()).collect();
        Ok(foreign::connected(&targets, &keys))
    }

    /// Loads the tables of a group, whose extracts are done.
    async fn group(
        self: &Arc<Self>,
        action: Action,
        run_id: RunId,
        group: &[usize],
        tables: &[Table],
        reports: &mut [TableReport],
    ) {
        let (wanted, full) = match action {
            Action::Load { snapshot, full } => (snapshot, full),
            Action::Extract | Action::Sync | Action::Retry => (SnapshotRef::Latest, false),
        };
        let members: Vec<Table> = group.iter().map(|&at| tables[at].clone()).collect();
        let name = |at: usize| members[at].source.to_string();
        if let Err(error) = self.stop.check(BEFORE_LOAD) {
            return end_loads(group, &error, reports);
        }
        let has_failed = |at: &&usize| reports[**at].error.is_some();
        let not_done = |at: &&usize| !reports[**at].is_done();
        let broken = group.iter().find(has_failed);
        let broken = broken.or_else(|| group.iter().find(not_done));
        if let Some(&broken) = broken {
            return fail_others(group, broken, Disposition::Definite, reports);
        }
        let mut links = Links::default();
        let mut attempts = self.attempts();
        let observer = self.observer.as_ref();
        let loaded = loop {
            let load = load::load_group(self, run_id, &members, wanted, full, &mut links);
            let outcome = caught(async { Ok(Box::pin(load).await) }).await;
            let failed = match outcome {
                Ok(Ok(loaded)) => break Ok(loaded),
                Ok(Err(failed)) => failed,
                Err(error) => load::Failed { table: None, error },
            };
            links = Links::default();
            let load::Failed { table, error } = failed;
            let at = name(table.unwrap_or(0));
            if let Err(error) = self.again(&mut attempts, error, &at).await {
                break Err((table, error));
            }
        };
        if self.stop.signal().is_some() && loaded.is_err() {
            let members: Vec<&Table> = members.iter().collect();
            self.drop_leftovers(&members).await;
        }
        for member in &members {
            observer.finished(&member.source.to_string());
        }
        match loaded {
            Ok(loaded) => {
                for (&at, mut load) in group.iter().zip(loaded) {
                    self.count_refused(&tables[at], &mut load, &mut links).await;
                    reports[at].seconds += load.seconds;
                    reports[at].load = Some(load);
                    reports[at].judge();
                }
            }
            Err((_, error)) if error.disposition() == Disposition::Interrupted => {
                end_loads(group, &error, reports);
            }
            Err((table, error)) => {
                let at = table.unwrap_or(0);
                let disposition = error.disposition();
                reports[group[at]].fail(error.on_table(name(at)));
                fail_others(group, group[at], disposition, reports);
            }
        }
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
        job: &Job,
        links: &mut Links,
    ) -> TableReport {
        let clock = Instant::now();
        let mut report = TableReport::of(&job.table);
        let work = Box::pin(self.steps(action, run_id, job, links, &mut report));
        let worked = caught(work).await;
        if let Err(error) = links.guard(worked) {
            report.fail(error.on_table(job.table.source.to_string()));
        }
        self.observer.finished(&report.source);
        report.seconds = clock.elapsed().as_secs_f64();
        report
    }

    async fn steps(
        &self,
        action: Action,
        run_id: RunId,
        Job { table, loads }: &Job,
        links: &mut Links,
        report: &mut TableReport,
    ) -> Result<()> {
        let name = table.source.to_string();
        if matches!(action, Action::Extract | Action::Sync) {
            let loads = action == Action::Sync && self.target.is_some();
            let mut attempts = self.attempts();
            loop {
                let before = report.commits();
                let done = &mut report.extract;
                // On the heap, as the load below: the compiler gives up on one future of everything that they await.
                let work = Box::pin(extract::extract(self, run_id, table, links, loads, done));
                let result = work.await;
                let Err(error) = links.guard(result) else {
                    break;
                };
                // What follows a commit is another step.
                if report.commits() > before {
                    attempts = self.attempts();
                }
                self.again(&mut attempts, error, &name).await?;
            }
        }
        // Before the load, so that the snapshot loaded is the last one.
        if let Some(number) = report
            .extract
            .as_ref()
            .and_then(|done| done.sequence_number)
            && self.stop.signal().is_none()
        {
            report.maintenance = self.maintain_lightly(run_id, table, number).await;
        }
        let load = match action {
            Action::Extract => None,
            Action::Load { .. } | Action::Sync if !loads => None,
            Action::Load { snapshot, full } => Some((snapshot, full)),
            Action::Sync => self
                .target
                .is_some()
                .then_some((SnapshotRef::Latest, false)),
            Action::Retry => self.to_retry(table, links).await?,
        };
        if let Some((snapshot, full)) = load {
            let mut done = self
                .load_alone(run_id, table, (snapshot, full), links)
                .await?;
            self.count_refused(table, &mut done, links).await;
            report.load = Some(done);
        }
        report.judge();
        Ok(())
    }

    /// The load of one table, tried again after failures that pass.
    async fn load_alone(
        &self,
        run_id: RunId,
        table: &Table,
        (snapshot, full): (SnapshotRef, bool),
        links: &mut Links,
    ) -> Result<LoadReport> {
        let name = table.source.to_string();
        let mut attempts = self.attempts();
        loop {
            self.stop.check(BEFORE_LOAD)?;
            let work = Box::pin(load::load(self, run_id, table, snapshot, full, links));
            let result = work.await;
            let error = match links.guard(result) {
                Ok(done) => return Ok(done),
                Err(error) => error,
            };
            if self.stop.signal().is_some() {
                self.drop_leftovers(&[table]).await;
            }
            self.again(&mut attempts, error, &name).await?;
        }
    }
}

/// A table to work on.
struct Job {
    table: Table,
    /// False: its load comes later, together with others.
    loads: bool,
}

/// The load of a group has not begun, or a signal has ended it. What failed before stays so.
fn end_loads(group: &[usize], error: &Error, reports: &mut [TableReport]) {
    for &at in group {
        let report = &mut reports[at];
        if report.is_done() {
            let ended = Error::new(error.kind(), error.disposition(), error.report());
            report.fail(ended.on_table(report.source.clone()));
        }
    }
}

/// Tables of a group whose load waited for one that failed have failed, too.
fn fail_others(
    group: &[usize],
    failed: usize,
    disposition: Disposition,
    reports: &mut [TableReport],
) {
    let other = reports[failed].source.clone();
    for &at in group {
        let report = &mut reports[at];
        if report.is_done() {
            let message = format!(
                "it is loaded in one transaction with {other}, which failed. Nothing was loaded into either. Resolve \
that, or separate them with `load: {{ group: none }}`"
            );
            let error = Error::new(Kind::Target, disposition, message);
            report.fail(error.on_table(report.source.clone()));
        }
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
