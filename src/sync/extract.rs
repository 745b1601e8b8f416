//! One table from the source to the lake.
//!
//! Order of events, and what a death at each point leaves:
//!
//! 1. Discover the table, load the lake table, read its checkpoint. (Nothing.)
//! 2. Close the window: the upper bound is taken from the server before the first row is read. (Nothing.)
//! 3. Create the lake table when it is missing: metadata without a snapshot or a checkpoint. (An empty table, which
//!    the next run fills.) Or let it follow the source's columns: metadata with a new schema. (The rows it had,
//!    which the next run goes on with.) If the whole table is to be read, take the watermark from its checkpoint. (A
//!    table that the next run reads whole, too, also when the source has passed the old watermark by then: rows that
//!    changed below it are in no window.)
//! 4. Stream rows into data files; look keys up and write position deletes. (Files that no metadata names.) A read that
//!    another run makes useless, because it has moved the checkpoint meanwhile, ends here ([`Watch`]).
//! 5. Commit rows and checkpoint in one metadata file, compare-and-set on the checkpoint that step 1 read or step 3
//!    left. (All or nothing.)
//!
//! A large window is committed in steps (`source/steps.rs` argues why that is exact): 4 and 5 once for each, in order,
//! each from the checkpoint that the step before has committed. A death between two commits leaves the rows and the
//! checkpoint of those before it, from which the next run goes on.
//!
//! **Columns that change while rows are read.** Statements name columns, and two columns may exchange their names. The
//! values of one would then be in the field of the other, for good. Nothing on the server rules that out. A statement
//! keeps changes of the table away until it ends, but step 2 has looked at the columns before it began. Pages, ranges
//! and steps of a window are many statements, over hours. A transaction under SNAPSHOT refuses a table that was changed
//! after it began (error 3961), not one that was changed just before.
//!
//! So the columns, and a log that was read, are looked at again right after the last row of each read, in one round
//! trip: of a step, of a window in one piece, and of a whole table. If one of those that were read is another now,
//! nothing of the read is committed, and the run settles anew. A window in one piece without rows needs no look,
//! because it commits nothing. Later steps of a window are preceded by a look, too, so that none is read in vain. A
//! read that has failed for good is followed by one: what a column has caused that was altered under the read is gone
//! when the run settles anew. A column that was added disturbs nothing, because its values belong to the next window
//! (see `settle`).
//!
//! **A lake table that follows its source between two steps.** Another run may have let it, without moving the
//! checkpoint. Columns and fields are matched by position, so a step is read only for the fields that step 3 has left.
//! If they are others now, the run settles anew, from the last commit.
//!
//! A signal cuts steps 1, 2 and the reading of step 4, see [`super::stop`]. What was read to its end is committed.
//!
//! A window that turns out to hold nothing new is not committed and does not move the checkpoint: the next run
//! closes a longer window over the same beginning, so nothing between the two can be skipped. A step of a window moves
//! it nevertheless, unless it is the last one, so that no run reads the step again. So does a window of a log that the
//! source cleans up, once in a while, by a commit of metadata alone (`source/change_tracking.rs`).

use super::backfill::{self, RangesRead};
use super::follow;
use super::late::{self, Late};
use super::reader::Reader;
use super::settle::{Settled, check_read, or_changed, settle};
use super::standing::{foreign_meanwhile, wrote_meanwhile};
use super::stop::{PLANNING, READING};
use super::tracked::Logged;
use super::unseen::Unseen;
use super::watch::Watch;
use super::writing::{differing, nothing_new, write_options};
use super::{Links, Phase, Sync, begin, protect};
use crate::change::{Checkpoint, RunId};
use crate::config::Table;
use crate::error::{Disposition, Error, Kind, Result};
use crate::failpoint;
use crate::lake::{
    CommitIntent, ForeignCommit, LakeTable, PreparedCommit, WriteMode, WriteOptions,
};
use crate::mssql::rows::Decoder;
use crate::report::{ExtractReport, LateReport, RereadReport};
use crate::schema::TableSchema;
use crate::schema::deleted::Marked;
use crate::schema::drift::{Recorded, SchemaChange};
use crate::source::{ExtractPlan, OddRows, Ranges, Read as Reads, Split};
use std::time::Instant;

/// What a whole read that may miss rows leaves undone.
const MISSES_ROWS: &str = "rows that this read did not meet stay in the lake, because without row versions it may \
    have missed them. Turn on ALLOW_SNAPSHOT_ISOLATION, or set `isolation: table_lock`, for reads that see deletes";

/// Failpoint: the window is closed, and no row is read yet.
pub const FAIL_BOUNDED: &str = "extract.bounded";
/// Failpoint: a step of a window is committed, and another one is to be read.
pub const FAIL_BETWEEN_COMMITS: &str = "extract.between_commits";
/// When the columns were found to be others.
const BETWEEN_STEPS: &str = "between two steps of a window";
const WHILE_READ: &str = "while they were read";
/// Entry of the summary of a commit that is not the run's last one: the run's id.
const STEP_OF_RUN: &str = "icesync.step-of-run";

/// Extracts one table; see the module head for the order of events. `loads`: the snapshot is to be loaded next. `done`
/// gets what is done, step by step: after an error it has what was committed before it.
pub(super) async fn extract(
    sync: &Sync,
    run_id: RunId,
    table: &Table,
    links: &mut Links,
    loads: bool,
    done: &mut Option<ExtractReport>,
) -> Result<()> {
    let clock = Instant::now();
    let Settled {
        schema,
        lake,
        checkpoint,
        plan,
        found,
        definition,
        following,
        others_wrote,
        marked,
        ..
    } = sync.stop.cut(PLANNING, settle(sync, table, links)).await?;
    let mut lake = match lake {
        Some(lake) => {
            lake.settle().await;
            lake
        }
        None => follow::create(&sync.warehouse, table, &found, definition.as_ref()).await?,
    };
    let mut warnings = plan.warnings.clone();
    warnings.extend(plan.misses_rows().then(|| MISSES_ROWS.to_owned()));
    let (schema_changes, followed) = begin::evolve(&mut lake, table, &plan, following).await?;
    warnings.extend(followed);
    let settled = lake.clone();
    let begun = begin::whole_read(&mut lake, table, &plan, checkpoint.as_ref()).await?;
    let opening = Opening {
        schema_changes,
        warnings,
        seconds: clock.elapsed().as_secs_f64(),
    };
    let steps = Steps {
        sync,
        run_id,
        table,
        schema: &schema,
        columns: &found,
        plan: &plan,
        marked: marked.as_ref(),
        settled,
        others_wrote,
        began: clock,
        loads,
    };
    failpoint::reach(FAIL_BOUNDED);
    let known = (checkpoint.clone(), begun.or(checkpoint));
    let read = Box::pin(steps.read(&mut lake, links, known, opening, done));
    read.await.map_err(|error| kept(sync, error, done.as_ref()))
}

/// Steps 4 and 5, once for each step of the window.
struct Steps<'a> {
    sync: &'a Sync,
    run_id: RunId,
    table: &'a Table,
    schema: &'a TableSchema,
    /// The columns, as step 1 found them.
    columns: &'a Recorded,
    plan: &'a ExtractPlan,
    /// Which rows count as deleted.
    marked: Option<&'a Marked>,
    /// The lake table as step 3 left it.
    settled: LakeTable,
    others_wrote: bool,
    began: Instant,
    loads: bool,
}

impl Steps<'_> {
    /// Reads and commits one after the other. The checkpoint is given as step 1 read it, and as step 3 left it.
    async fn read(
        &self,
        lake: &mut LakeTable,
        links: &mut Links,
        (mut found, mut base): (Option<Checkpoint>, Option<Checkpoint>),
        mut opening: Opening,
        done: &mut Option<ExtractReport>,
    ) -> Result<()> {
        let (sync, table) = (self.sync, self.table);
        let steps = self.plan.steps();
        let last = steps.len() - 1;
        for (at, step) in steps.enumerate() {
            check_fields(lake, &self.settled, table)?;
            if at > 0 {
                let read = (self.columns, &step);
                check_read(sync, table, links, read, BETWEEN_STEPS).await?;
            }
            let is_last = at == last;
            // Each commit has a token of its own, so that two of one run can be told apart.
            let token = match is_last {
                true => self.run_id,
                false => RunId::generate(),
            };
            let extraction = Extraction {
                sync,
                table,
                schema: self.schema,
                columns: self.columns,
                plan: &step,
                found: found.as_ref(),
                checkpoint: base.as_ref(),
                run_id: token,
                step_of: (!is_last).then_some(self.run_id),
                is_alone: last == 0,
                options: write_options(sync, token, table, lake, (&step, self.marked))?,
                others_wrote: self.others_wrote,
                began: self.began,
                rows_before: done.as_ref().map_or(0, |done| done.rows_read),
            };
            let mut report = Box::pin(extraction.step(lake, links, self.loads && is_last)).await?;
            opening.take(&mut report);
            *done = Some(report.after(done.take()));
            if !is_last {
                found = lake.checkpoint()?;
                base.clone_from(&found);
                failpoint::reach(FAIL_BETWEEN_COMMITS);
                sync.stop.check(READING)?;
            }
        }
        Ok(())
    }
}

/// Refuses to write to other fields than those that the run has settled, see the module head.
fn check_fields(lake: &LakeTable, settled: &LakeTable, table: &Table) -> Result<()> {
    if lake.is_written_as(settled) {
        return Ok(());
    }
    let message = format!(
        "another run gave lake table {} other columns while this one was under way. What is committed stays; retrying \
         from there with the new columns.",
        table.lake
    );
    Err(Error::new(Kind::Lake, Disposition::Transient, message))
}

/// What the report of a run says before that of its first step.
#[derive(Default)]
struct Opening {
    schema_changes: Vec<SchemaChange>,
    warnings: Vec<String>,
    seconds: f64,
}

impl Opening {
    /// Puts it before the first step's, once.
    fn take(&mut self, report: &mut ExtractReport) {
        let opening = std::mem::take(self);
        report.schema_changes = opening.schema_changes;
        report.warnings.splice(0..0, opening.warnings);
        report.seconds += opening.seconds;
    }
}

/// The error of a run that a signal has ended, with what the steps before it have committed.
fn kept(sync: &Sync, error: Error, done: Option<&ExtractReport>) -> Error {
    let Some(done) = done.filter(|_| error.disposition() == Disposition::Interrupted) else {
        return error;
    };
    let upper = done.watermark_after.as_deref().unwrap_or_default();
    let what = format!(
        "while a window was read in steps. The rows up to {upper} are committed, and the next run reads the others"
    );
    sync.stop.ended(Kind::Source, &what)
}

/// What was read, complete on disk and not committed.
struct Read {
    prepared: PreparedCommit,
    rows: u64,
    rows_overlap: u64,
    truncated: u64,
    /// Rows of a whole read without a watermark, and with one in the future.
    unseen: (OddRows, OddRows),
    late: Option<LateReport>,
    /// Run id of the checkpoint that the commit is computed from.
    base: Option<RunId>,
    /// What others committed between the ranges.
    foreign: Vec<ForeignCommit>,
    ranges: Option<RangesRead>,
}

/// Steps 4 and 5 of an extract.
struct Extraction<'a> {
    sync: &'a Sync,
    table: &'a Table,
    schema: &'a TableSchema,
    /// The columns, as step 1 found them.
    columns: &'a Recorded,
    plan: &'a ExtractPlan,
    /// As step 1 read it.
    found: Option<&'a Checkpoint>,
    /// As step 3 left it.
    checkpoint: Option<&'a Checkpoint>,
    /// Token of the commit.
    run_id: RunId,
    /// The run, where another commit of it follows.
    step_of: Option<RunId>,
    /// The run has no other commit.
    is_alone: bool,
    options: WriteOptions,
    others_wrote: bool,
    began: Instant,
    /// Rows that the steps before have read.
    rows_before: u64,
}

impl Extraction<'_> {
    /// Reads and commits. `loads`: the snapshot is to be loaded next.
    async fn step(
        &self,
        lake: &mut LakeTable,
        links: &mut Links,
        loads: bool,
    ) -> Result<ExtractReport> {
        let clock = Instant::now();
        let read = match &self.plan.read {
            Reads::Ranges(ranges) => self.ranges(ranges, lake, links).await,
            Reads::Nothing { .. }
            | Reads::Window(_)
            | Reads::Again(_)
            | Reads::Tracked(_)
            | Reads::Whole(_) => self.stream(lake, links).await,
        };
        let read = match read {
            Ok(read) => read,
            Err(error) => {
                let read = (self.columns, self.plan);
                return Err(or_changed(self.sync, self.table, links, read, error).await);
            }
        };
        let mut report = ExtractReport {
            warnings: self.warnings(&read),
            ..self.report(&read)
        };
        // After a whole read the checkpoint stands for what the table is now, whoever made it so.
        let known = lake.checkpoint()?.and_then(|known| known.snapshot_id);
        let moved = self.plan.full_read() && known != lake.current_snapshot_id();
        let is_last = self.step_of.is_none();
        if is_last && !moved && nothing_new(&read.prepared, self.plan, self.checkpoint) {
            read.prepared.abandon(lake).await;
        } else {
            let next = loads.then_some(links);
            self.commit(lake, read, next, &mut report).await?;
        }
        report.seconds = clock.elapsed().as_secs_f64();
        Ok(report)
    }

    /// Reads everything on one connection: a window, its pages, or a whole table.
    async fn stream(&self, lake: &LakeTable, links: &mut Links) -> Result<Read> {
        let logged = self.logged(lake);
        let (table, shape) = match &logged {
            Some(logged) => (&logged.table, &logged.shape),
            None => (self.schema, lake.lake_schema()),
        };
        let mut decoder = Decoder::new(table, shape, self.table.fidelity)
            .map_err(|error| error.on(Kind::Source))?;
        let batches = lake.batch_schema();
        let unseen = Unseen::new(self.plan, &batches)?;
        let late = Late::of(self.plan, &batches)?;
        let options = WriteOptions {
            witness: late.as_ref().map(Late::witness),
            ..self.options.clone()
        };
        let mut writer = lake.writer(options).await?;
        let side = self.sync.source_side()?;
        let channel = Links::rows(&mut links.source_rows, side, Kind::Source).await?;
        let name = self.table.source.to_string();
        let base = self.checkpoint.map(|checkpoint| checkpoint.run_id);
        let mut reader = Reader {
            sync: self.sync,
            name: name.clone(),
            schema: self.schema,
            shape: &batches,
            plan: self.plan,
            unseen: &unseen,
            logged: logged.as_ref(),
            watch: Watch::new(lake, base, self.began),
            rows_before: self.rows_before,
        };
        let read = reader.run(channel, &mut decoder, &mut writer).await;
        let read = match read {
            Ok(counts) => self.still(links, counts.0).await.map(|()| counts),
            Err(error) => Err(error),
        };
        let (rows, rows_overlap) = match read {
            Ok(counts) => counts,
            Err(error) => {
                writer.abandon().await;
                return Err(error);
            }
        };
        self.sync.observer.phase(&name, Phase::Commit, rows);
        let prepared = writer.finish().await?;
        Ok(Read {
            late: late.and_then(|late| late.report()),
            prepared,
            rows,
            rows_overlap,
            truncated: decoder.truncations(),
            unseen: unseen.told(),
            base,
            foreign: Vec::new(),
            ranges: None,
        })
    }

    /// How rows are read, if those of changed keys are.
    fn logged(&self, lake: &LakeTable) -> Option<Logged> {
        match &self.plan.read {
            Reads::Tracked(_) => Some(Logged::new(self.schema, lake)),
            Reads::Nothing { .. }
            | Reads::Window(_)
            | Reads::Again(_)
            | Reads::Whole(_)
            | Reads::Ranges(_) => None,
        }
    }

    /// Looks whether the source is what was read, where rows or a bound may be committed.
    async fn still(&self, links: &mut Links, rows: u64) -> Result<()> {
        let commits_nothing =
            rows == 0 && self.is_alone && !self.plan.full_read() && !self.plan.renews();
        let read = (self.columns, self.plan);
        match commits_nothing {
            true => Ok(()),
            false => check_read(self.sync, self.table, links, read, WHILE_READ).await,
        }
    }

    /// Reads a whole table in ranges, see [`backfill`].
    async fn ranges(
        &self,
        ranges: &Ranges,
        lake: &mut LakeTable,
        links: &mut Links,
    ) -> Result<Read> {
        let side = self.sync.source_side()?;
        let control = Links::control(&mut links.source, side, Kind::Source).await?;
        let request = backfill::Request {
            sync: self.sync,
            table: self.table,
            schema: self.schema,
            plan: self.plan,
            ranges,
            checkpoint: self.checkpoint,
            options: self.options.clone(),
            began: self.began,
        };
        let since = lake.current_snapshot_id();
        let mut read = backfill::read(&request, lake, control).await?;
        // Each range that was noted in the ledger has moved the table to its newest version.
        let looked = match self.still(links, read.rows).await {
            Ok(()) => wrote_meanwhile(lake, self.table, since).await,
            Err(error) => Err(error),
        };
        let foreign = match looked {
            Ok(foreign) => foreign,
            Err(error) => {
                for part in std::mem::take(&mut read.private) {
                    part.discard(lake).await;
                }
                return Err(error);
            }
        };
        let name = self.table.source.to_string();
        self.sync.observer.phase(&name, Phase::Commit, read.rows);
        let private = std::mem::take(&mut read.private);
        let parked = std::mem::take(&mut read.parked);
        Ok(Read {
            prepared: lake.prepare(request.options, private, parked).await?,
            rows: read.rows,
            rows_overlap: 0,
            truncated: read.truncated,
            unseen: read.unseen.clone(),
            late: None,
            base: read.base,
            foreign,
            ranges: Some(read),
        })
    }

    /// What to say of a read.
    fn warnings(&self, read: &Read) -> Vec<String> {
        let ranges = read.ranges.iter().flat_map(|ranges| &ranges.warnings);
        let mut warnings: Vec<String> = ranges.cloned().collect();
        warnings.extend(self.plan.unseen(&read.unseen.0, &read.unseen.1));
        let late = read.late.iter();
        warnings.extend(late.filter_map(|late| late::warning(late, self.table.change.overlap)));
        // Of ranges that an earlier run has read, the rows that count as deleted are not known.
        let resumed = read
            .ranges
            .as_ref()
            .is_some_and(|ranges| ranges.resumed > 0);
        if !(resumed && self.options.mark.is_some()) {
            warnings.extend(self.plan.hidden(read.rows));
        }
        warnings
    }

    /// What the report says of rows that were read again because somebody asked for it.
    fn reread(&self, read: &Read) -> Option<RereadReport> {
        let again = self.plan.again()?;
        Some(RereadReport {
            from: again.lower.to_string(),
            to: again.upper.to_string(),
            ends_at_checkpoint: again.ends_at_bound,
            rows_differing: differing(&read.prepared),
            rows_committed: 0,
        })
    }

    /// The report of what was read, while nothing of it is committed.
    fn report(&self, read: &Read) -> ExtractReport {
        let watermark = |known: Option<&Checkpoint>| Some(known?.watermark.as_ref()?.to_string());
        ExtractReport {
            strategy: self.plan.strategy,
            full_read: self.plan.full_read(),
            replaced_all: self.options.mode == WriteMode::ReplaceAll,
            rows_read: read.rows,
            rows_overlap: match self.plan.again() {
                Some(_) => 0,
                None => read.rows_overlap,
            },
            reread: self.reread(read),
            late: read.late.clone(),
            ranges: self.plan.split().map_or(1, Split::ranges),
            ranges_resumed: read.ranges.as_ref().map_or(0, |ranges| ranges.resumed),
            inserted: 0,
            updated: 0,
            deleted: 0,
            unchanged: read.prepared.counts().unchanged,
            bytes: 0,
            data_files: 0,
            delete_files: 0,
            lookup: read.prepared.lookup(),
            snapshot_id: None,
            sequence_number: None,
            commits: 0,
            watermark_before: watermark(self.found),
            watermark_after: watermark(self.checkpoint),
            truncated: read.truncated,
            schema_changes: Vec::new(),
            seconds: 0.0,
            warnings: Vec::new(),
        }
    }

    /// Step 5. `next`: the connections of the load that follows, whose snapshot the commit protects.
    async fn commit(
        &self,
        lake: &mut LakeTable,
        read: Read,
        next: Option<&mut Links>,
        report: &mut ExtractReport,
    ) -> Result<()> {
        let mut foreign = read.foreign;
        let mut intent = self.intent(read.base, self.others_wrote || !foreign.is_empty());
        // After a signal no load follows.
        if let Some(links) = next.filter(|_| self.sync.stop.signal().is_none())
            && let Some((loading, restored)) =
                protect::loading(self.sync, self.table, lake, links).await
        {
            intent.loading = Some(loading);
            report.warnings.extend(restored);
        }
        let counts = read.prepared.counts();
        let committed = lake.commit(read.prepared, intent).await;
        let committed = committed.map_err(|error| match self.step_of {
            Some(run) => error.in_run(run),
            None => error,
        })?;
        backfill::end_ledger(read.ranges, self.checkpoint, lake, &committed).await;
        report.commits = 1;
        report.inserted = counts.inserted;
        report.updated = counts.updated;
        report.deleted = counts.deleted;
        if let Some(reread) = &mut report.reread {
            reread.rows_committed = reread.rows_differing;
        }
        report.bytes = counts.bytes;
        report.data_files = counts.data_files;
        report.delete_files = counts.delete_files;
        report.watermark_after = self.plan.upper().map(ToString::to_string);
        report.lookup = committed.lookup;
        foreign.extend(committed.foreign);
        if !foreign.is_empty() {
            let warning = foreign_meanwhile(&foreign, self.table);
            report.warnings.push(warning);
        }
        report.snapshot_id = committed.snapshot_id;
        report.sequence_number = committed.snapshot_id.map(|_| committed.sequence_number);
        Ok(())
    }

    /// The checkpoint of a read that reaches the plan's bound.
    fn reached(&self) -> Checkpoint {
        let plan = self.plan;
        let before = self.checkpoint.and_then(|known| known.whole_read);
        Checkpoint {
            whole_read: plan.full_read().then_some(self.run_id).or(before),
            origin: plan.origin.clone(),
            ..Checkpoint::reached(self.run_id, plan.strategy, plan.upper().cloned())
        }
    }

    /// What the commit means: the checkpoint that it writes, and the one that it was computed from.
    fn intent(&self, base: Option<RunId>, others_wrote: bool) -> CommitIntent {
        let plan = self.plan;
        let kept = self.checkpoint.filter(|_| plan.again().is_some());
        CommitIntent {
            run_id: self.run_id,
            base_checkpoint: base,
            checkpoint: match kept {
                Some(known) => known.kept(self.run_id),
                None => self.reached(),
            },
            summary: (self.step_of.iter())
                .map(|run| (STEP_OF_RUN.to_owned(), run.to_string()))
                .collect(),
            foreign_rows: others_wrote,
            loading: None,
        }
    }
}
