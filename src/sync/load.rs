//! Snapshots of one lake table into the target.
//!
//! Order of events, and what a death at each point leaves:
//!
//! 1. Look at the target table and its load state, and decide what kind of load is right ([`kind`]). Take the load lock
//!    of the target table (a session lock: it ends with the connection), look and decide again, drop staging tables of
//!    dead loads, tag the snapshot in the lake. (At most a tag, which the next load moves.)
//! 2. Compute the delta between the loaded snapshot and the wanted one, or list the whole snapshot. (Nothing.)
//! 3. If the target is missing and every column can take its values as they are ([`fill`]): create a table in its
//!    place, bulk copy the rows into that and build its key; step 5 makes it the target. (A table that the next load
//!    drops.) Otherwise create the target table when it is missing, together with a load state that says so. (A target
//!    without rows, which the next load completes, see [`crate::target::create`].) Or let its columns follow the
//!    lake's, statement by statement. (A target that is ahead of its rows; the next load continues from there, see
//!    [`crate::target::evolve`].) Create a staging heap; bulk copy the rows into it. (A staging table, dropped by the
//!    next load.)
//! 4. Compute the net changes, one row for each key, in a table of their own ([`crate::mssql::sql::net`]). (That table
//!    and a staging table, dropped by the next load.)
//! 5. One transaction: compare-and-set on the load state, merge, deletes, new load state, the staging table
//!    dropped. (All or nothing. When the reply is lost, the load state says whether this run's id is there.) A delta of
//!    more than `merge.batch_rows` rows is applied in steps, each a transaction of its own that leaves its place in the
//!    load state. (A target between two snapshots; the state names both. The next load first applies the same delta
//!    from its beginning, see [`LoadKind::Finish`].)
//! 6. Tag the loaded snapshot in the lake, unless a tag names it since step 1 ([`TargetTags`] argues that).
//!    (Missing tag: the next load sets it, whether or not it has anything else to do.)
//!
//! A lake table without a snapshot has no rows to load. Its target is created, or follows in its columns.

mod columns;
mod create;
mod fill;
mod group;
mod kind;
mod plan;

pub(super) use columns::chosen;
pub use create::FAIL_AFTER_CREATE;
pub use fill::{FAIL_AFTER_FILL, FAIL_AFTER_FILL_CREATE, FAIL_AFTER_FILL_KEY};
pub(super) use group::{Failed, load_group};
pub(super) use kind::{Found, State};
pub(super) use plan::{Extracted, behind, plan, trusted};

use super::follow;
use super::protect::{known, tags, unprotected};
use super::restored::Restored;
use super::stage::{self, Heap, Operation, StagedPart, lake_error, parts_of};
use super::{Links, Phase, Sync};
use crate::change::{MergeMode, RunId};
use crate::config::{OnChange, Table};
use crate::error::{Disposition, Error, Kind, Result};
use crate::failpoint;
use crate::lake::{Basis, LakeTable, SnapshotInfo, SnapshotRef, TargetTags};
use crate::mssql::control::Control;
use crate::mssql::sql::define::StagingTable;
use crate::report::{LoadMethod, LoadReport, plural};
use crate::schema::TableKind;
use crate::schema::drift::SchemaChange;
use crate::target::columns::LakeColumns;
use crate::target::evolve;
use crate::target::fill::Lost;
use crate::target::inspect::{self, TargetTable};
use crate::target::merge::{
    self, Applied, Extent, Held, LoadOptions, MergePlan, OldState, StateChange, Step,
};
use crate::target::staging::{self, Text};
use crate::target::state::{self, LoadState, Looked, PREPARED};
use crate::target::{TargetError, fill as filling};
use columns::{compared, is_keyed, newest, to_load};
use kind::{Facts, LoadKind, Refusal, decide};
use std::time::Instant;

/// How long a load waits for another one of the same target.
const LOCK_TIMEOUT_MS: u32 = 10_000;

/// Failpoint: the target's columns follow the lake's, no row is staged.
pub const FAIL_AFTER_ALTER: &str = "load.after_alter";
/// Failpoint: the delta is staged, nothing is applied.
pub const FAIL_AFTER_STAGING: &str = "load.after_staging";
/// Failpoint: the net changes are computed, nothing is applied.
pub const FAIL_AFTER_NET: &str = "load.after_net";
/// Failpoint: a step that is not the last one is committed.
pub const FAIL_BETWEEN_STEPS: &str = "load.between_steps";
/// Failpoint: the transaction is committed; the tag is missing.
pub const FAIL_AFTER_APPLY: &str = "load.after_apply";

/// The lake table of a configured table; an error where there is none.
pub(super) async fn lake_table(sync: &Sync, table: &Table) -> Result<LakeTable> {
    let lake = sync.warehouse.table(&table.lake).await?;
    lake.ok_or_else(|| {
        lake_error(format!(
            "lake table {} does not exist; run `icesync extract` first",
            table.lake
        ))
    })
}

/// Loads one table up to `wanted`; see the module head for the order of events.
pub(super) async fn load(
    sync: &Sync,
    run_id: RunId,
    table: &Table,
    wanted: SnapshotRef,
    full: bool,
    links: &mut Links,
) -> Result<LoadReport> {
    let clock = Instant::now();
    let mut begun = Begun::begin(sync, run_id, table, wanted, full, links).await?;
    let report = match begun.work.take() {
        Some(work) => Some(work.ready(links).await?.apply(links).await?),
        None => None,
    };
    let mut report = begun.end(report, links).await;
    report.seconds = clock.elapsed().as_secs_f64();
    Ok(report)
}

/// A load that has decided what to do. It holds the load lock of its target if there is something to do.
struct Begun<'a> {
    table: &'a Table,
    lake: LakeTable,
    tags: TargetTags,
    snapshot: Option<SnapshotInfo>,
    is_locked: bool,
    /// An interrupted load that was finished.
    finished: Option<LoadReport>,
    /// None: there is nothing to do.
    work: Option<Work<'a>>,
}

impl<'a> Begun<'a> {
    /// Step 1.
    async fn begin(
        sync: &'a Sync,
        run_id: RunId,
        table: &'a Table,
        wanted: SnapshotRef,
        full: bool,
        links: &mut Links,
    ) -> Result<Self> {
        let name = table.source.to_string();
        sync.observer.phase(&name, Phase::Connect, 0);
        let lake = lake_table(sync, table).await?;
        lake.settle().await;
        let side = sync.target_side()?;
        let snapshot = snapshot_of(&lake, wanted)?;
        let control = Links::control(&mut links.target, side, Kind::Target).await?;
        let looked = state::look(control, &table.target).await?;
        let tags = tags(side, table, control).await?;
        let mut begun = Self {
            table,
            lake,
            tags,
            snapshot,
            is_locked: false,
            finished: None,
            work: None,
        };
        if begun.decided(&looked, full)?.1 == LoadKind::Nothing {
            return Ok(begun);
        }
        let mut looked = lock(control, table).await?;
        begun.is_locked = true;
        let (mut facts, mut kind) = begun.decided(&looked, full)?;
        if kind != LoadKind::Nothing {
            staging::drop_orphans(control, &table.target).await?;
        }
        if let LoadKind::Finish { to, .. } = kind {
            let between = snapshot_with(&begun.lake, to)?;
            let loaded = begun.loaded(&looked);
            let decision = (facts, kind, &begun.tags);
            let work = Work::new(
                sync,
                table,
                &begun.lake,
                Some(between),
                looked,
                decision,
                run_id,
            )?;
            begun.keep(loaded, to).await;
            begun.finished = Some(work.ready(links).await?.apply(links).await?);
            let control = Links::control(&mut links.target, side, Kind::Target).await?;
            looked = state::look(control, &table.target).await?;
            (facts, kind) = begun.decided(&looked, full)?;
        }
        if kind == LoadKind::Nothing {
            return Ok(begun);
        }
        let loaded = begun.loaded(&looked);
        let (snapshot, decision) = (begun.snapshot.clone(), (facts, kind, &begun.tags));
        let work = Work::new(sync, table, &begun.lake, snapshot, looked, decision, run_id)?;
        if let Some(snapshot) = begun.snapshot.as_ref().map(|snapshot| snapshot.id) {
            begun.keep(loaded, snapshot).await;
        }
        begun.work = Some(work);
        Ok(begun)
    }

    /// The snapshot that the target has, if the lake has it still.
    fn loaded(&self, looked: &Looked) -> Option<i64> {
        known(&self.lake, looked.state.as_ref()).map(|state| state.snapshot_id)
    }

    /// Tags a snapshot that is about to be read, once the tags have told whether the target went back. Without the tag
    /// the load goes on, and an expiry may take the snapshot.
    async fn keep(&mut self, loaded: Option<i64>, snapshot: i64) {
        if let Err(error) = self.lake.tag_loading(&self.tags, loaded, snapshot).await {
            let name = &self.table.source;
            tracing::warn!("{name}: the snapshot that is loaded is not tagged: {error}");
        }
    }

    fn decided(&self, looked: &Looked, full: bool) -> Result<(Facts, LoadKind)> {
        let snapshot = self.snapshot.as_ref();
        decided(self.table, &self.lake, &self.tags, snapshot, looked, full)
    }

    /// Step 6, and the lock is given back. `report` is that of the work.
    async fn end(mut self, report: Option<LoadReport>, links: &mut Links) -> LoadReport {
        let has_loaded = report.is_some();
        let mut done = match (self.finished.take(), report) {
            (Some(finished), Some(report)) => finished.and(report),
            (Some(only), None) | (None, Some(only)) => only,
            (None, None) => nothing_to_do(self.snapshot.as_ref()),
        };
        if has_loaded {
            failpoint::reach(FAIL_AFTER_APPLY);
        }
        if let Some(snapshot) = &self.snapshot {
            let tagged = match self.is_locked {
                true => self.lake.tag_loaded(&self.tags, snapshot.id).await,
                false => self.lake.mend_loaded(&self.tags, snapshot.id).await,
            };
            done.warnings.extend(unprotected(tagged, snapshot));
        }
        if self.is_locked {
            release(links, self.table).await;
        }
        done
    }
}

/// The snapshot to load; none while a run has committed and the lake table has no rows yet.
fn snapshot_of(lake: &LakeTable, wanted: SnapshotRef) -> Result<Option<SnapshotInfo>> {
    if lake.current_snapshot_id().is_none()
        && lake.checkpoint()?.is_some()
        && wanted == SnapshotRef::Latest
    {
        return Ok(None);
    }
    Ok(Some(lake.resolve(wanted)?))
}

/// The snapshot of this id.
fn snapshot_with(lake: &LakeTable, id: i64) -> Result<SnapshotInfo> {
    let found = lake
        .snapshots()
        .into_iter()
        .find(|snapshot| snapshot.id == id);
    found.ok_or_else(|| lake_error(format!("lake table {} has no snapshot {id}", lake.name())))
}

/// What the load is to do.
fn decided(
    table: &Table,
    lake: &LakeTable,
    tags: &TargetTags,
    snapshot: Option<&SnapshotInfo>,
    looked: &Looked,
    full: bool,
) -> Result<(Facts, LoadKind)> {
    let recorded = follow::recorded(lake, snapshot.map(|snapshot| snapshot.id))?;
    let keyed = is_keyed(lake, &recorded);
    let (columns, included) = compared(table, lake, snapshot, trusted(looked))?;
    let facts = Facts::of(table, lake, snapshot, looked, (keyed, columns), full);
    match decide(&facts) {
        Ok(kind) => Ok((facts, kind)),
        Err(refusal) => {
            let state = looked.state.as_ref();
            let mut message = refusal.message(table, &facts, state, snapshot, &included);
            if let (Refusal::Expired, Some(restored)) = (refusal, Restored::of(lake, tags, looked))
            {
                message = restored.refusal(table, &message);
            }
            Err(Error::new(Kind::Target, Disposition::Definite, message))
        }
    }
}

/// Takes the load lock, then looks: another load may have moved the state while this one waited.
async fn lock(control: &mut Control, table: &Table) -> Result<Looked> {
    state::ensure_schema(control).await?;
    staging::lock(control, &table.target, LOCK_TIMEOUT_MS).await?;
    Ok(state::look(control, &table.target).await?)
}

/// Lets the next load of the target begin. The load has succeeded by now. A lock that cannot be released, or was lost
/// with its connection, ends with the session.
async fn release(links: &mut Links, table: &Table) {
    let Some(control) = &mut links.target else {
        return;
    };
    if let Err(error) = staging::unlock(control, &table.target).await {
        tracing::warn!(table = %table.source, error = %error, "the load lock ends with the connection");
        links.target = None;
    }
}

fn nothing_to_do(loaded: Option<&SnapshotInfo>) -> LoadReport {
    LoadReport {
        kind: LoadMethod::Nothing,
        from_snapshot: loaded.map(|snapshot| snapshot.id),
        snapshot_id: loaded.map(|snapshot| snapshot.id),
        sequence_number: loaded.map(|snapshot| snapshot.sequence_number),
        rows_staged: 0,
        inserted: 0,
        updated: 0,
        deleted: 0,
        unchanged: 0,
        transactions: 0,
        created_target: false,
        schema_changes: Vec::new(),
        seconds: 0.0,
        warnings: Vec::new(),
    }
}

/// A load whose rows are on the server, and whose transaction has not begun.
enum Ready<'a> {
    /// There are no rows, and everything is done.
    Done(Box<LoadReport>),
    /// The rows are in the table that becomes the target.
    Filled(Box<Work<'a>>, Box<fill::Filled>),
    /// The rows are in a staging table, or in a table of their net changes.
    Staged(Box<Work<'a>>, Box<Settled>),
}

/// What the transactions of a staged load need to know.
struct Settled {
    plan: MergePlan,
    change: StateChange,
    steps: Vec<Option<Step>>,
    /// Rows that were staged.
    rows: u64,
}

impl Ready<'_> {
    /// Step 5, in transactions of this load alone.
    async fn apply(self, links: &mut Links) -> Result<LoadReport> {
        match self {
            Ready::Done(report) => Ok(*report),
            Ready::Filled(work, filled) => {
                let applied = work.publish(links, &filled).await?;
                Ok(work.report(filled.rows(), &applied))
            }
            Ready::Staged(work, settled) => {
                let Settled {
                    plan,
                    change,
                    steps,
                    rows,
                } = *settled;
                let applied = work.apply(links, &plan, change, &steps).await?;
                Ok(work.report(rows, &applied))
            }
        }
    }
}

/// A load under its lock.
struct Work<'a> {
    sync: &'a Sync,
    table: &'a Table,
    /// As it was when the snapshot was committed: its columns may have changed since.
    lake: LakeTable,
    columns: LakeColumns,
    /// None: the lake table has no rows yet.
    snapshot: Option<SnapshotInfo>,
    /// The target and its state as they were when the kind was decided.
    looked: Looked,
    facts: Facts,
    kind: LoadKind,
    run_id: RunId,
    name: String,
    is_created: bool,
    /// The load state that was written with a target which was created empty.
    prepared: Option<OldState>,
    transactions: usize,
    /// It shares its transaction with other tables.
    is_grouped: bool,
    schema_changes: Vec<SchemaChange>,
    warnings: Vec<String>,
}

impl<'a> Work<'a> {
    fn new(
        sync: &'a Sync,
        table: &'a Table,
        lake: &LakeTable,
        snapshot: Option<SnapshotInfo>,
        looked: Looked,
        (facts, kind, tags): (Facts, LoadKind, &TargetTags),
        run_id: RunId,
    ) -> Result<Self> {
        let past = match &snapshot {
            Some(snapshot) => lake.as_of(snapshot.id)?,
            None => lake.clone(),
        };
        let columns = to_load(table, lake, snapshot.as_ref(), trusted(&looked))?;
        let before = looked.state.as_ref();
        let warning = found_otherwise(table, facts.found, before);
        let goes_on = matches!(
            kind,
            LoadKind::Delta { .. } | LoadKind::Finish { .. } | LoadKind::Replace
        );
        let restored = Restored::of(lake, tags, &looked).filter(|_| goes_on);
        let restored = restored.map(|restored| restored.warning(table));
        Ok(Self {
            sync,
            table,
            lake: past,
            columns,
            snapshot,
            looked,
            facts,
            kind,
            run_id,
            name: table.source.to_string(),
            is_created: false,
            prepared: None,
            transactions: 1,
            is_grouped: false,
            schema_changes: Vec::new(),
            warnings: warning.into_iter().chain(restored).collect(),
        })
    }

    /// What the load state is now.
    fn old(&self) -> Option<OldState> {
        let before = self.before().map(LoadState::mark);
        self.prepared.clone().or(before)
    }

    fn before(&self) -> Option<&LoadState> {
        self.looked.state.as_ref()
    }

    /// Steps 2 to 4.
    async fn ready(mut self, links: &mut Links) -> Result<Ready<'a>> {
        let side = self.sync.target_side()?;
        let Some(snapshot) = self.snapshot.clone() else {
            let control = Links::control(&mut links.target, side, Kind::Target).await?;
            let target = self.target_table(control).await?;
            // Names that the state keeps are those of the target's columns.
            if !self.schema_changes.is_empty() {
                let change = self.state_change(&target);
                state::prepare(control, &self.table.target, &change).await?;
            }
            return Ok(Ready::Done(Box::new(self.report(0, &Applied::default()))));
        };
        let parts = self.parts(&snapshot).await?;
        if let Some(filled) = self.filled(links, &parts).await? {
            return Ok(Ready::Filled(Box::new(self), Box::new(filled)));
        }
        let control = Links::control(&mut links.target, side, Kind::Target).await?;
        let target = self.target_table(control).await?;
        let held = self.kind.held(&self.facts);
        if held == Held::None && inspect::has_rows(control, target.name()).await? {
            let target = target.name().clone();
            return Err(TargetError::NotEmpty { target }.into());
        }
        let has_rows = match held {
            Held::PerhapsNone => inspect::has_rows(control, target.name()).await?,
            Held::Rows => true,
            Held::None => false,
        };
        let (staging, staged) = self.staged(links, &target, &parts).await?;
        let schema = &self.columns.schema;
        failpoint::reach(FAIL_AFTER_STAGING);
        self.sync
            .observer
            .phase(&self.name, Phase::Merge, staged.rows);
        let control = Links::control(&mut links.target, side, Kind::Target).await?;
        let options = LoadOptions {
            mode: self.table.merge.mode,
            statement: self.upsert_statement(control, &target).await,
            newest: newest(&self.lake, &self.columns)?,
            has_deletes: staged.deletes > 0,
            segments: parts
                .last()
                .map_or(1, |part| part.number.unsigned_abs() + 1),
            staged_rows: staged.rows,
            held,
            whole: self.kind.is_whole(),
            has_net: has_rows && schema.key.is_some() && self.facts.mode != MergeMode::Append,
            batch_rows: if self.kind.may_step() && !self.is_grouped {
                self.table.merge.batch_rows
            } else {
                0
            },
        };
        let mut plan = merge::plan(schema, &target, &staging, &options);
        merge::learn_base_types(control, &mut plan).await?;
        merge::settle(control, &mut plan).await?;
        failpoint::reach(FAIL_AFTER_NET);
        let steps = merge::steps(&plan, options.batch_rows);
        self.transactions = steps.len();
        let settled = Settled {
            change: self.state_change(&target),
            plan,
            steps,
            rows: staged.rows,
        };
        Ok(Ready::Staged(Box::new(self), Box::new(settled)))
    }

    /// The report of a load that was applied.
    fn report(mut self, staged: u64, applied: &Applied) -> LoadReport {
        if applied.target_only > 0 {
            let number = self
                .snapshot
                .as_ref()
                .map_or(0, |snapshot| snapshot.sequence_number);
            self.warnings.push(format!(
                "{} that target {} has and snapshot {number} does not have were left. `merge: {{ mode: replace }}` \
                    removes them",
                plural(applied.target_only, "row"),
                self.table.target,
            ));
        }
        let counts = &applied.counts;
        LoadReport {
            kind: match self.kind {
                LoadKind::Nothing => LoadMethod::Nothing,
                LoadKind::Prepare => LoadMethod::Prepare,
                LoadKind::First => LoadMethod::First,
                LoadKind::Delta { .. } | LoadKind::Finish { .. } => LoadMethod::Delta,
                LoadKind::Whole { .. } => LoadMethod::Whole,
                LoadKind::Replace => LoadMethod::Replace,
            },
            from_snapshot: self.before().and_then(LoadState::loaded),
            snapshot_id: self.snapshot.as_ref().map(|snapshot| snapshot.id),
            sequence_number: self
                .snapshot
                .as_ref()
                .map(|snapshot| snapshot.sequence_number),
            rows_staged: staged,
            inserted: counts.inserted,
            updated: counts.updated,
            deleted: counts.deleted,
            unchanged: counts.unchanged,
            transactions: self.transactions,
            created_target: self.is_created,
            schema_changes: self.schema_changes,
            seconds: 0.0,
            warnings: self.warnings,
        }
    }

    /// What is staged, in order.
    async fn parts(&self, snapshot: &SnapshotInfo) -> Result<Vec<StagedPart>> {
        let mut parts = Vec::new();
        match self.kind {
            LoadKind::Nothing | LoadKind::Prepare => return Ok(parts),
            LoadKind::Delta { from } | LoadKind::Finish { from, .. } => {
                let delta = self.lake.delta(Some(from), snapshot.id).await?;
                self.check_basis(delta.basis, snapshot)?;
                let both = [Operation::Upsert, Operation::Delete];
                return Ok(parts_of(delta, &both, 0));
            }
            LoadKind::Whole { since: Some(since) } => {
                match self.lake.delta(Some(since), snapshot.id).await {
                    Ok(delta) => parts.extend(parts_of(delta, &[Operation::Delete], 0)),
                    // The transaction counts what is left.
                    Err(error) => tracing::warn!(
                        "{}: rows that left the lake since the last load are not known and stay in the target: {error}",
                        self.name
                    ),
                }
            }
            LoadKind::First | LoadKind::Whole { since: None } | LoadKind::Replace => {}
        }
        let all = self.lake.delta(None, snapshot.id).await?;
        let first = parts.len();
        parts.extend(parts_of(all, &[Operation::Upsert], first));
        Ok(parts)
    }

    /// Refuses to append what may be rows that only moved; says in the log why a load of few changes may stage many.
    fn check_basis(&self, basis: Basis, snapshot: &SnapshotInfo) -> Result<()> {
        match basis {
            Basis::Nothing | Basis::Snapshots => return Ok(()),
            Basis::Ends => {}
        }
        let (table, target) = (&self.table.lake, &self.table.target);
        let old = self.before().map_or(0, |state| state.sequence_number);
        let new = snapshot.sequence_number;
        let cause = format!(
            "lake table {table} does not lead by commits of icesync alone from snapshot {old}, which target {target} \
has loaded, to snapshot {new}: another engine expired snapshots, rolled the table back or rewrote data files"
        );
        if self.lake.kind() == TableKind::Mirror && self.table.merge.mode == MergeMode::Append {
            return Err(lake_error(format!(
                "{cause}. Nothing was loaded, because `merge.mode: append` would insert rows again that a compaction \
moved; use `merge: {{ mode: upsert }}`, or `replace`"
            )));
        }
        tracing::info!(
            "{cause}. The two are compared instead: rows that a compaction moved are staged, too"
        );
        Ok(())
    }

    /// The target table, created when it is missing or following the lake's columns, and checked to hold everything
    /// that the lake can bring.
    async fn target_table(&mut self, control: &mut Control) -> Result<TargetTable> {
        let found = self.found(control).await?;
        let target = match found {
            Some(found) => {
                let found = self.followed(control, found).await?;
                self.complete_target(control, found).await?
            }
            None => self.create_target(control).await?,
        };
        let mode = self.table.merge.mode;
        self.warnings
            .extend(inspect::check(&self.columns, &target, mode)?);
        Ok(target)
    }

    /// The target as it is; an error unless it is the object for which the kind was decided.
    async fn found(&self, control: &mut Control) -> Result<Option<TargetTable>> {
        let target = &self.table.target;
        let found = inspect::inspect(control, target).await?;
        if found.as_ref().and_then(TargetTable::object) != self.looked.object.as_ref() {
            let target = target.clone();
            return Err(TargetError::Recreated { target }.into());
        }
        Ok(found)
    }

    async fn inspected(&self, control: &mut Control) -> Result<TargetTable> {
        let name = &self.table.target;
        let found = inspect::inspect(control, name).await?;
        found.ok_or_else(|| {
            let target = name.clone();
            TargetError::Recreated { target }.into()
        })
    }

    async fn followed(
        &mut self,
        control: &mut Control,
        target: TargetTable,
    ) -> Result<TargetTable> {
        if self.facts.is_prepared() {
            evolve::know_by_name(&mut self.columns, &target);
        }
        let (steps, _) = evolve::steps(&self.columns, &target, self.facts.full)?;
        if steps.is_empty() {
            return Ok(target);
        }
        if self.table.merge.on_schema_change == OnChange::Refuse {
            return Err(evolve::refused(target.name(), &steps).into());
        }
        for step in &steps {
            evolve::take(control, target.name(), step).await?;
            let change = step.change();
            tracing::info!("{}: target {}: {change}", self.name, self.table.target);
            self.schema_changes.push(change);
            failpoint::reach(FAIL_AFTER_ALTER);
        }
        let altered = self.inspected(control).await?;
        // A statement that waited for another session's lock may have met the table that this session left.
        if altered.object() != self.looked.object.as_ref() {
            let target = self.table.target.clone();
            return Err(TargetError::Recreated { target }.into());
        }
        Ok(altered)
    }

    fn state_change(&self, target: &TargetTable) -> StateChange {
        StateChange {
            target: self.table.target.to_string(),
            old: self.old(),
            new_snapshot: self
                .snapshot
                .as_ref()
                .map_or(PREPARED, |snapshot| snapshot.id),
            sequence_number: self
                .snapshot
                .as_ref()
                .map_or(0, |snapshot| snapshot.sequence_number),
            table_uuid: self.lake.uuid().to_string(),
            lake_table: self.table.lake.to_string(),
            run_id: self.run_id.to_string(),
            object: target.object().cloned(),
            modified: target.modified().to_owned(),
            mode: self.facts.mode,
            step: None,
            columns: self.columns.loaded.text(),
        }
    }

    /// The staging table, filled. Text of a code page is encoded here where that is possible; when a character turns out
    /// not to be encoded here although the server may know it, the rows are sent again as Unicode.
    async fn staged(
        &self,
        links: &mut Links,
        target: &TargetTable,
        parts: &[StagedPart],
    ) -> Result<(StagingTable, stage::Staged)> {
        let side = self.sync.target_side()?;
        for text in [Text::CodePage, Text::Unicode] {
            let control = Links::control(&mut links.target, side, Kind::Target).await?;
            let staging = staging::design(&self.columns.schema, target, self.run_id, text);
            staging::create(control, &staging, target.name()).await?;
            let heap = Heap::staging(&staging, &self.columns.shape(self.lake.lake_schema()));
            let error =
                match stage::stage(self.sync, &self.name, &self.lake, links, heap, parts).await {
                    Ok(staged) => return Ok((staging, staged)),
                    Err(error) => error,
                };
            match filling::lost(&error, target.name()) {
                Some(Lost::Perhaps(example)) => {
                    let name = &self.name;
                    tracing::warn!(
                        "{name}: {example}, as far as this machine knows. The rows are sent again as Unicode, and the \
server decides"
                    );
                    let control = Links::control(&mut links.target, side, Kind::Target).await?;
                    filling::abandon(control, &staging.name, target.name()).await?;
                }
                Some(Lost::Surely(error)) => return Err(error.into()),
                None => return Err(error),
            }
        }
        Err(lake_error(format!(
            "rows of {} could not be encoded",
            self.name
        )))
    }

    /// Step 5, of a staged load.
    async fn apply(
        &self,
        links: &mut Links,
        plan: &MergePlan,
        mut change: StateChange,
        steps: &[Option<Step>],
    ) -> Result<Applied> {
        let side = self.sync.target_side()?;
        let mut total = Applied::default();
        for &step in steps {
            change.step = step;
            let control = Links::control(&mut links.target, side, Kind::Target).await?;
            let applied = merge::apply(control, plan, &change, Extent::Transaction).await;
            total = total.and(self.settled(links, applied, &change).await?);
            if let Some(step) = step.filter(|step| !step.is_last()) {
                change.old = Some(OldState {
                    snapshot: self.old().map_or(PREPARED, |old| old.snapshot),
                    run_id: change.run_id.clone(),
                    applied: Some(step.to),
                });
                failpoint::reach(FAIL_BETWEEN_STEPS);
            }
        }
        Ok(total)
    }

    /// The outcome of a transaction. A lost reply is resolved on a new connection by looking for this transaction in the
    /// load state. The load lock was lost with the old connection, so that connection is not kept for [`release`], and no
    /// step follows.
    async fn settled(
        &self,
        links: &mut Links,
        applied: std::result::Result<Applied, TargetError>,
        change: &StateChange,
    ) -> Result<Applied> {
        let side = self.sync.target_side()?;
        let lost = match applied {
            Err(error) if error.disposition() == Disposition::Ambiguous => error,
            other => return Ok(other?),
        };
        tracing::warn!(
            "{}: the reply to the load's commit was lost; looking for its outcome",
            self.name
        );
        links.target = None;
        let control = Links::control(&mut links.target, side, Kind::Target).await?;
        let resolved = state::resolve(control, &self.table.target, change).await?;
        links.target = None;
        let is_last = change.step.is_none_or(Step::is_last);
        match resolved {
            Some(counts) if is_last => Ok(Applied {
                counts,
                target_only: 0,
            }),
            Some(_) | None => Err(Error::new(
                Kind::Target,
                Disposition::Transient,
                NotApplied(lost),
            )),
        }
    }
}

/// What to say of a target that is not the table that was loaded.
fn found_otherwise(table: &Table, found: Found, before: Option<&LoadState>) -> Option<String> {
    let before = before.filter(|state| state.loaded().is_some())?;
    let (target, number) = (&table.target, before.sequence_number);
    match found {
        Found::There => None,
        Found::Missing => Some(format!(
            "target {target} is missing although snapshot {number} was loaded into it. It is created again and loaded \
with the whole snapshot"
        )),
        Found::Recreated => Some(format!(
            "target {target} was recreated after snapshot {number} was loaded into it. The whole snapshot is loaded \
and compared with the rows that it has"
        )),
    }
}

/// A load whose outcome was unknown and turned out not to have been applied.
#[derive(Debug, thiserror::Error)]
#[error("the load was not applied, or not all of it")]
struct NotApplied(#[source] TargetError);
