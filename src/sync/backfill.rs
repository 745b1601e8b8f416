//! The whole of a large table, read in ranges of its key by several channels at once.
//!
//! Each channel takes the next range that nobody reads, writes it into data files of its own, and hands them over
//! as a part. When all ranges are there, one commit makes them visible with the checkpoint, exactly as for a read
//! in one stream: nobody ever sees half a table.
//!
//! **Interruption.** Under a watermark each finished range is parked: its files are listed, and the table's checkpoint
//! gets a ledger that names the list, with the bound and the cuts. A run that finds a ledger whose bound and schema
//! still hold takes its parts and reads the other ranges. That holds for every end of a run, not only for a kill:
//! a server that goes away, a full disk, a lost race. A run that fails while a range is being read removes the files
//! of that range and no others. A signal ends a run in the same way, at once: ranges that are being read are given up,
//! and those that are finished are noted before the run ends. `full` has no watermark and so no ledger: its parts stay
//! private to the run, a failed run removes them, and once one of its ranges has failed the others are not read to
//! their end.
//!
//! **Races.** Each ledger is a compare-and-set on the checkpoint that its run knows, and writes a new token. Of two
//! runs of one table the first to finish a range goes on, and the other stops at its own next range or at its
//! commit. The two share the ranges that were in the ledger when the second one started, so neither may delete
//! those when it fails: see `lake/write/parts.rs`, where the type of a part says who owns its files. A ledger that is
//! given up leaves its lists to the ledger that takes its place, and the commit that ends that one removes them. The
//! commit of a read in one stream removes those of the ledger that it found, which it ends.
//!
//! **Files that vanish.** A range of a ledger counts as read only while its files exist with their recorded sizes, and
//! their list with all of its rows.
//! That is looked at when the ledger is taken up and again right before the final commit; a range that lost a file
//! is read again, with a warning.

use super::stop::{PLANNING, READING, Stop};
use super::unseen::Unseen;
use super::watch::Watch;
use super::{Observer, Phase, Sync, guard, pump};
use crate::change::{Backfill, BackfillRange, Checkpoint, RunId};
use crate::config::Table;
use crate::error::{Disposition, Error, Kind, Result};
use crate::failpoint;
use crate::lake::{Committed, LakeTable, Parked, Part, TableWriter, WriteOptions};
use crate::mssql::channel::Channel;
use crate::mssql::control::{Class, Control};
use crate::mssql::error::MssqlError;
use crate::mssql::rows::Decoder;
use crate::schema::{Fidelity, TableSchema};
use crate::source::{self, ExtractPlan, OddRows, Ranges};
use arrow_array::RecordBatch;
use std::collections::{HashSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::task::{JoinError, JoinSet};

/// What reading all ranges came to.
pub(super) struct RangesRead {
    /// Parts without a ledger, private to this run.
    pub private: Vec<Part>,
    /// Parts that the ledger names, of this run and of earlier ones.
    pub parked: Vec<Parked>,
    pub rows: u64,
    pub truncated: u64,
    /// See [`Unseen::counts`]; of the ranges that this run has read.
    pub unseen: (OddRows, OddRows),
    /// Token that the final commit is computed from.
    pub base: Option<RunId>,
    /// Ranges that an earlier run had read.
    pub resumed: usize,
    pub warnings: Vec<String>,
    ledger: Option<Backfill>,
    /// Lists of parts of a ledger that is given up.
    stale: Vec<String>,
}

/// Removes what the ledger leaves that a commit has ended: that of the ranges that it took over, or the one that a read
/// in one stream found in the checkpoint and took nothing of.
pub(super) async fn end_ledger(
    ranges: Option<RangesRead>,
    checkpoint: Option<&Checkpoint>,
    lake: &LakeTable,
    ended_by: &Committed,
) {
    let (taken, unused): (Vec<String>, Vec<String>) = match ranges {
        Some(read) => {
            let done = read.ledger.into_iter().flat_map(|ledger| ledger.done);
            (done.map(|done| done.files).collect(), read.stale)
        }
        None => {
            let found = checkpoint.and_then(|found| found.backfill.as_ref());
            let lists = found.into_iter().flat_map(Backfill::lists);
            (Vec::new(), lists.map(str::to_owned).collect())
        }
    };
    lake.forget_ledger(ended_by, &taken, &unused).await;
}

/// A read of a whole table in ranges.
pub(super) struct Request<'a> {
    pub sync: &'a Sync,
    pub table: &'a Table,
    pub schema: &'a TableSchema,
    pub plan: &'a ExtractPlan,
    pub ranges: &'a Ranges,
    pub checkpoint: Option<&'a Checkpoint>,
    pub options: WriteOptions,
    pub began: Instant,
}

/// What all channels share.
struct Shared {
    observer: Arc<dyn Observer>,
    stop: Stop,
    name: String,
    schema: TableSchema,
    fidelity: Fidelity,
    lake: LakeTable,
    options: WriteOptions,
    plan: ExtractPlan,
    ranges: Ranges,
    queue: Mutex<VecDeque<usize>>,
    rows: AtomicU64,
    unseen: Unseen,
    /// None under a ledger.
    watch: Option<Watch>,
}

/// A range that is read.
struct Done {
    range: usize,
    part: Part,
}

/// A lock was not granted in time.
const LOCK_TIMEOUT: u32 = 1222;
/// How long a first look may take altogether.
const LOOK_LIMIT: Duration = Duration::from_millis(5 * source::LOOK_TIMEOUT_MS as u64);

/// A data connection and, beyond a table's first, its share of the source's channels.
type Worker = (Channel, Option<OwnedSemaphorePermit>);

/// Reads all ranges of the plan, or what a ledger leaves of them; see the module head.
pub(super) async fn read(
    request: &Request<'_>,
    lake: &mut LakeTable,
    control: &mut Control,
) -> Result<RangesRead> {
    let mut read = take_up(request, lake).await?;
    failpoint::reach(FAIL_BEFORE_RANGES);
    let done = read.ledger.iter().flat_map(|ledger| &ledger.done);
    let done: HashSet<usize> = done.map(|done| done.range).collect();
    let ranges = 0..request.ranges.split.ranges();
    let queue: VecDeque<usize> = ranges.filter(|range| !done.contains(range)).collect();
    let connecting = connect(request, control, queue.len());
    let workers = request.sync.stop.cut(PLANNING, connecting).await?;
    let shared = Arc::new(Shared {
        observer: Arc::clone(&request.sync.observer),
        stop: request.sync.stop.clone(),
        name: request.table.source.to_string(),
        schema: request.schema.clone(),
        fidelity: request.table.fidelity,
        lake: lake.clone(),
        options: request.options.clone(),
        plan: request.plan.clone(),
        ranges: request.ranges.clone(),
        queue: Mutex::new(queue),
        rows: AtomicU64::new(read.rows),
        unseen: Unseen::new(request.plan, &lake.batch_schema())?,
        watch: match read.ledger {
            Some(_) => None,
            None => Some(Watch::new(lake, read.base, request.began)),
        },
    });
    let (sender, mut finished) = mpsc::channel(1);
    let mut tasks = JoinSet::new();
    for worker in workers {
        tasks.spawn(work(Arc::clone(&shared), worker, sender.clone()));
    }
    drop(sender);
    let mut failure = read.gather(request, lake, &mut finished, &mut tasks).await;
    // The workers see it, stop, and remove what they have begun. A range that one has handed over is unwanted too.
    finished.close();
    while let Some(unwanted) = finished.recv().await {
        unwanted.part.discard(lake).await;
    }
    while let Some(ended) = tasks.join_next().await {
        // The first error is the cause.
        failure = failure.or(read.ended(ended));
    }
    let Some(error) = failure else {
        read.rows = shared.rows.load(Ordering::Relaxed);
        read.unseen = shared.unseen.told();
        return Ok(read);
    };
    for part in std::mem::take(&mut read.private) {
        part.discard(lake).await;
    }
    Err(read.kept_by(error, request))
}

/// The parts of the ledger that the plan resumes, or none and what becomes stale.
async fn take_up(request: &Request<'_>, lake: &LakeTable) -> Result<RangesRead> {
    let (plan, split) = (request.plan, &request.ranges.split);
    let mut read = RangesRead {
        private: Vec::new(),
        parked: Vec::new(),
        warnings: Vec::new(),
        rows: 0,
        truncated: 0,
        unseen: <(OddRows, OddRows)>::default(),
        base: request.checkpoint.map(|checkpoint| checkpoint.run_id),
        resumed: 0,
        ledger: request.ranges.bound().map(|bound| Backfill {
            schema: source::fingerprint(request.schema),
            strategy: plan.strategy,
            watermark: bound.clone(),
            column: request.schema.columns[split.column].name.clone(),
            cuts: split.cuts.clone(),
            origin: plan.origin.clone(),
            done: Vec::new(),
            stale: Vec::new(),
        }),
        stale: Vec::new(),
    };
    let found = request.checkpoint.and_then(|found| found.backfill.as_ref());
    read.stale = found.map_or_else(Vec::new, |found| found.stale.clone());
    for done in found.iter().flat_map(|backfill| &backfill.done) {
        let (Some(_), Some(ledger)) = (request.ranges.continues(), &mut read.ledger) else {
            read.stale.push(done.files.clone());
            continue;
        };
        let part = lake.unpark(&done.files).await?;
        // A list that was cut off may read as a shorter one.
        match part.filter(|part| part.rows() == done.rows) {
            Some(part) => {
                ledger.done.push(done.clone());
                read.rows += part.rows();
                read.resumed += 1;
                read.parked.push(part);
            }
            None => {
                let warning = format!(
                    "files of range {} of {}, which an earlier run had read, are gone from the warehouse, or their \
                        list is damaged; the range is read again",
                    done.range + 1,
                    split.ranges()
                );
                tracing::warn!("{}: {warning}", request.table.source);
                read.warnings.push(warning);
                read.stale.push(done.files.clone());
            }
        }
    }
    if let Some(ledger) = &mut read.ledger {
        ledger.stale.clone_from(&read.stale);
    }
    Ok(read)
}

impl RangesRead {
    /// Takes finished ranges until there are no more; answers the first error of a reader or of the ledger. What is
    /// read after an error is of use only to a ledger that takes it: without one, this ends with the first error.
    async fn gather(
        &mut self,
        request: &Request<'_>,
        lake: &mut LakeTable,
        finished: &mut mpsc::Receiver<Done>,
        tasks: &mut JoinSet<Result<u64>>,
    ) -> Option<Error> {
        let mut failure = None;
        loop {
            tokio::select! {
                done = finished.recv() => match done {
                    Some(done) => {
                        if let Err(error) = self.add(done, request.checkpoint, lake).await {
                            return failure.or(Some(error));
                        }
                    }
                    None => return failure,
                },
                Some(ended) = tasks.join_next() => {
                    failure = failure.or(self.ended(ended));
                    if failure.is_some() && self.ledger.is_none() {
                        return failure;
                    }
                }
            }
        }
    }

    /// The error of a read that a signal has ended, with what a ledger keeps of it.
    fn kept_by(&self, error: Error, request: &Request<'_>) -> Error {
        let Some(ledger) =
            (self.ledger.as_ref()).filter(|_| error.disposition() == Disposition::Interrupted)
        else {
            return error;
        };
        let what = format!(
            "while rows were read. {} of {} ranges are kept, and the next run reads the others",
            ledger.done.len(),
            request.ranges.split.ranges()
        );
        request.sync.stop.ended(Kind::Source, &what)
    }

    /// Counts what a reader has truncated, or answers why it failed.
    fn ended(&mut self, ended: std::result::Result<Result<u64>, JoinError>) -> Option<Error> {
        match ended {
            Ok(Ok(truncated)) => {
                self.truncated += truncated;
                None
            }
            Ok(Err(error)) => Some(error),
            Err(error) => {
                let why = guard::ended(error);
                let message = format!("a reader of a range ended abnormally: {why}");
                Some(Error::new(Kind::Source, Disposition::Transient, message))
            }
        }
    }

    /// Takes a finished range: under a watermark, into the ledger too.
    async fn add(
        &mut self,
        done: Done,
        checkpoint: Option<&Checkpoint>,
        lake: &mut LakeTable,
    ) -> Result<()> {
        let Done { range, part } = done;
        let Some(ledger) = &mut self.ledger else {
            self.private.push(part);
            failpoint::reach(FAIL_AFTER_RANGE);
            return Ok(());
        };
        let listed = lake.list_part(part).await?;
        ledger.done.push(BackfillRange {
            range,
            rows: listed.rows(),
            files: listed.uri().to_owned(),
        });
        let token = RunId::generate();
        let next = Checkpoint::reading(token, checkpoint, ledger.clone());
        self.parked.push(lake.park(listed, self.base, next).await?);
        self.base = Some(token);
        failpoint::reach(FAIL_AFTER_RANGE);
        Ok(())
    }
}

/// Opens the channels: one, and as many more as there are ranges for and the source's share allows.
async fn connect(
    request: &Request<'_>,
    control: &mut Control,
    ranges: usize,
) -> Result<Vec<Worker>> {
    let side = request.sync.source_side()?;
    let failed = |error: MssqlError| error.on(Kind::Source);
    let mut workers: Vec<Worker> = Vec::new();
    while workers.len() < ranges {
        let permit = match workers.len() {
            0 => None,
            _ => match Arc::clone(&side.channels).try_acquire_owned() {
                Ok(permit) => Some(permit),
                Err(_) => break,
            },
        };
        let channel = Channel::connect(&side.connection).await.map_err(failed)?;
        workers.push((channel, permit));
    }
    if request.ranges.needs_fence() {
        for (channel, _) in &mut workers {
            for statement in &request.plan.session {
                channel.run(&statement.sql).await.map_err(failed)?;
            }
        }
        fenced(request, control, &mut workers).await?;
    }
    Ok(workers)
}

/// Lets all channels take their first look while no writer can change the table.
///
/// The fence must not depend on anything that may wait for it. A change of the table's definition waits for the fence,
/// and each channel that looks later waits for that change, which no deadlock detection sees. So a look has a short
/// limit, on the server and here, and the fence goes when one fails, before anything else is done. A failure leaves the
/// channels in transactions; the caller drops them.
async fn fenced(
    request: &Request<'_>,
    control: &mut Control,
    workers: &mut [Worker],
) -> Result<()> {
    let failed = |error: MssqlError| error.on(Kind::Source);
    let plan = request.plan;
    control
        .run(&plan.fence(), Class::LONG)
        .await
        .map_err(failed)?;
    failpoint::reach(FAIL_FENCED);
    let looked = looks(plan, workers).await;
    let opened = control.run(&plan.open_fence(), Class::QUICK).await;
    looked?;
    opened.map_err(failed)
}

async fn looks(plan: &ExtractPlan, workers: &mut [Worker]) -> Result<()> {
    let look = plan.first_look();
    for (channel, _) in workers {
        match tokio::time::timeout(LOOK_LIMIT, channel.run(&look.sql)).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) if error.number() == Some(LOCK_TIMEOUT) => {
                let message = "the definition of the table was about to be changed while its ranges were opened. \
                    Nothing was read, and the change was let through; retrying";
                return Err(Error::new(Kind::Source, Disposition::Transient, message));
            }
            Ok(Err(error)) => return Err(error.on(Kind::Source)),
            Err(_elapsed) => {
                let message = "the server did not answer while the ranges of the table were opened. Nothing was read; \
                    retrying";
                return Err(Error::new(Kind::Source, Disposition::Transient, message));
            }
        }
    }
    Ok(())
}

/// Reads ranges until there are none left or the receiver closes. Answers how many values were truncated.
async fn work(shared: Arc<Shared>, worker: Worker, sender: mpsc::Sender<Done>) -> Result<u64> {
    let (mut channel, _permit) = worker;
    let lake_schema = shared.lake.lake_schema();
    let mut decoder = Decoder::new(&shared.schema, lake_schema, shared.fidelity)
        .map_err(|error| error.on(Kind::Source))?;
    let next = || shared.queue.lock().ok()?.pop_front();
    let mut watch = shared.watch.clone();
    while shared.stop.signal().is_none()
        && let Some(range) = next()
    {
        let mut writer = shared.lake.writer(shared.options.clone()).await?;
        let read = tokio::select! {
            read = shared.fill(&mut channel, &mut decoder, &mut writer, &mut watch, range) => Some(read),
            () = sender.closed() => None,
        };
        match read {
            Some(Ok(())) => {}
            Some(Err(error)) => {
                writer.abandon().await;
                return Err(error);
            }
            None => {
                writer.abandon().await;
                break;
            }
        }
        let part = writer.finish_part().await?;
        if let Err(unwanted) = sender.send(Done { range, part }).await {
            unwanted.0.part.discard(&shared.lake).await;
            break;
        }
    }
    if shared.queue.lock().is_ok_and(|queue| !queue.is_empty()) {
        shared.stop.check(READING)?;
    }
    Ok(decoder.truncations())
}

impl Shared {
    async fn fill(
        &self,
        channel: &mut Channel,
        decoder: &mut Decoder,
        writer: &mut TableWriter,
        watch: &mut Option<Watch>,
        range: usize,
    ) -> Result<()> {
        let source = |error: MssqlError| error.on(Kind::Source);
        // Under a fence the transaction that all ranges share is open already.
        let own = !self.ranges.needs_fence();
        for statement in self.plan.session.iter().filter(|_| own) {
            let begun = async { channel.run(&statement.sql).await.map_err(source) };
            self.stop.cut(READING, begun).await?;
        }
        let statement = self.plan.key_range(&self.ranges.split, range);
        let shape = self.lake.batch_schema();
        let write = async |mut batches: mpsc::Receiver<RecordBatch>| -> Result<()> {
            while let Some(batch) = batches.recv().await {
                if let Some(watch) = watch.as_mut() {
                    watch.look().await?;
                }
                let read = batch.num_rows() as u64;
                let rows = self.rows.fetch_add(read, Ordering::Relaxed) + read;
                self.observer.phase(&self.name, Phase::Read, rows);
                self.unseen.count(&shape, &batch);
                writer.write(batch).await?;
            }
            Ok(())
        };
        pump::pump(&self.stop, channel, &statement, decoder, write).await?;
        for statement in self.plan.finish.iter().filter(|_| own) {
            channel.run(&statement.sql).await.map_err(source)?;
        }
        Ok(())
    }
}

/// Failpoint: the fence is up, and no channel has taken its first look.
pub const FAIL_FENCED: &str = "extract.fenced";
/// Failpoint: what the ledger has is taken up, and no range is read yet.
pub const FAIL_BEFORE_RANGES: &str = "extract.before_ranges";
/// Failpoint: a range is finished (in the ledger, or private to a run that has none), others are not.
pub const FAIL_AFTER_RANGE: &str = "extract.after_range";
