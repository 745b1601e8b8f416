//! Snapshots of one lake table into the target.
//!
//! Order of events, and what a death at each point leaves:
//!
//! 1. Look at the target table and its load state, and decide what kind of load is right ([`kind`]). Take the load lock
//!    of the target table (a session lock: it ends with the connection), look and decide again, drop staging tables of
//!    dead loads. (Nothing.)
//! 2. Compute the delta between the loaded snapshot and the wanted one, or list the whole snapshot. (Nothing.)
//! 3. If the target is missing and every column can take its values as they are ([`fill`]): create a table in its
//!    place, bulk copy the rows into that and build its key; step 5 makes it the target. (A table that the next load
//!    drops.) Otherwise create the target table when it is missing, or let its columns follow the lake's, statement by
//!    statement. (A target that is ahead of its rows; the next load continues from there, see
//!    [`crate::target::evolve`].) Create a staging heap; bulk copy the rows into it. (A staging table, dropped by the
//!    next load.)
//! 4. Compute the net changes, one row for each key, in a table of their own ([`crate::mssql::sql::net`]). (That table
//!    and a staging table, dropped by the next load.)
//! 5. One transaction: compare-and-set on the load state, merge, deletes, new load state, the staging table
//!    dropped. (All or nothing. When the reply is lost, the load state says whether this run's id is there.) A delta of
//!    more than `merge.batch_rows` rows is applied in steps, each a transaction of its own that leaves its place in the
//!    load state. (A target between two snapshots; the state names both. The next load first applies the same delta
//!    from its beginning, see [`LoadKind::Finish`].)
//! 6. Tag the loaded snapshot in the lake, unless the commit of a `sync` has done so ([`TargetTags`] argues that).
//!    (Missing tag: the next load sets it, whether or not it has anything else to do.)
//!
//! A lake table without a snapshot has no rows to load. Its target is created, or follows in its columns, and the load
//! state says that nothing is loaded yet. (A death in between leaves a table without a state; the next load goes on
//! with it as with a table that others have created.)

mod columns;
mod fill;
mod kind;
mod modes;
mod plan;

pub use fill::{FAIL_AFTER_FILL, FAIL_AFTER_FILL_CREATE, FAIL_AFTER_FILL_KEY};
pub(super) use kind::{Found, State};
pub(super) use plan::{behind, plan, trusted};

use super::follow;
use super::protect::{tags, unprotected};
use super::stage::{self, Heap, Operation, StagedPart, lake_error, parts_of};
use super::{Links, Phase, Sync};
use crate::change::{MergeMode, RunId};
use crate::config::{OnChange, Table};
use crate::error::{Disposition, Error, Kind, Result};
use crate::failpoint;
use crate::lake::{Basis, Delta, LakeTable, SnapshotInfo, SnapshotRef};
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
    self, Applied, Held, LoadOptions, MergePlan, OldState, StateChange, Step,
};
use crate::target::staging::{self, Text};
use crate::target::state::{self, LoadState, Looked, PREPARED};
use crate::target::{TargetError, fill as filling};
use columns::{lake_columns, newest};
use kind::{Facts, LoadKind, decide};
use modes::{is_keyed, rule, validity_of};
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
    let name = table.source.to_string();
    sync.observer.phase(&name, Phase::Connect, 0);
    let mut lake = lake_table(sync, table).await?;
    lake.settle().await;
    let side = sync.target_side()?;
    let snapshot = snapshot_of(&lake, wanted)?;
    let control = Links::control(&mut links.target, side, Kind::Target).await?;
    let looked = state::look(control, &table.target).await?;
    let tags = tags(side, table, control).await?;
    let (_, kind) = decided(table, &lake, snapshot.as_ref(), &looked, full)?;
    if kind == LoadKind::Nothing {
        let mut done = nothing_to_do(snapshot.as_ref());
        if let Some(snapshot) = &snapshot {
            let tagged = lake.mend_loaded(&tags, snapshot.id).await;
            done.warnings.extend(unprotected(tagged, snapshot));
        }
        return Ok(done);
    }
    let mut looked = lock(control, table).await?;
    let (mut facts, mut kind) = decided(table, &lake, snapshot.as_ref(), &looked, full)?;
    if kind != LoadKind::Nothing {
        staging::drop_orphans(control, &table.target).await?;
    }
    let mut finished = None;
    if let LoadKind::Finish { to, .. } = kind {
        let between = snapshot_with(&lake, to)?;
        let decision = (facts, kind);
        let work = Work::new(
            sync,
            table,
            &lake,
            Some(&between),
            &looked,
            decision,
            run_id,
        )?;
        finished = Some(work.run(links).await?);
        let control = Links::control(&mut links.target, side, Kind::Target).await?;
        looked = state::look(control, &table.target).await?;
        (facts, kind) = decided(table, &lake, snapshot.as_ref(), &looked, full)?;
    }
    if kind == LoadKind::Nothing {
        let mut done = finished.unwrap_or_else(|| nothing_to_do(snapshot.as_ref()));
        if let Some(snapshot) = &snapshot {
            let tagged = lake.tag_loaded(&tags, snapshot.id).await;
            done.warnings.extend(unprotected(tagged, snapshot));
        }
        release(links, table).await;
        done.seconds = clock.elapsed().as_secs_f64();
        return Ok(done);
    }
    // Where no loaded snapshot is tagged, nothing else keeps the one that is read until the load ends.
    let is_kept = matches!(
        facts.state,
        State::Here {
            is_listed: true,
            ..
        }
    );
    if let Some(snapshot) = snapshot.as_ref().filter(|_| !is_kept)
        && let Err(error) = lake.tag_loading(&tags, snapshot.id).await
    {
        tracing::warn!("{name}: the snapshot that is loaded is not tagged: {error}");
    }
    let work = Work::new(
        sync,
        table,
        &lake,
        snapshot.as_ref(),
        &looked,
        (facts, kind),
        run_id,
    )?;
    let mut report = work.run(links).await?;
    if let Some(before) = finished {
        report = before.and(report);
    }
    failpoint::reach(FAIL_AFTER_APPLY);
    if let Some(snapshot) = &snapshot {
        let tagged = lake.tag_loaded(&tags, snapshot.id).await;
        report.warnings.extend(unprotected(tagged, snapshot));
    }
    release(links, table).await;
    report.seconds = clock.elapsed().as_secs_f64();
    Ok(report)
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
    snapshot: Option<&SnapshotInfo>,
    looked: &Looked,
    full: bool,
) -> Result<(Facts, LoadKind)> {
    let recorded = follow::recorded(lake, snapshot.map(|snapshot| snapshot.id))?;
    let keyed = is_keyed(lake.kind(), &recorded, table.merge.mode);
    let facts = Facts::of(table, lake, snapshot, looked, keyed, full);
    match decide(&facts) {
        Ok(kind) => Ok((facts, kind)),
        Err(refusal) => {
            let message = refusal.message(table, &facts, looked.state.as_ref(), snapshot);
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

/// A load under its lock.
struct Work<'a> {
    sync: &'a Sync,
    table: &'a Table,
    /// As it was when the snapshot was committed: its columns may have changed since.
    lake: LakeTable,
    columns: LakeColumns,
    /// None: the lake table has no rows yet.
    snapshot: Option<&'a SnapshotInfo>,
    /// The target and its state as they were when the kind was decided.
    looked: &'a Looked,
    facts: Facts,
    kind: LoadKind,
    run_id: RunId,
    name: String,
    created: bool,
    transactions: usize,
    schema_changes: Vec<SchemaChange>,
    warnings: Vec<String>,
}

impl<'a> Work<'a> {
    fn new(
        sync: &'a Sync,
        table: &'a Table,
        lake: &LakeTable,
        snapshot: Option<&'a SnapshotInfo>,
        looked: &'a Looked,
        (facts, kind): (Facts, LoadKind),
        run_id: RunId,
    ) -> Result<Self> {
        let past = match snapshot {
            Some(snapshot) => lake.as_of(snapshot.id)?,
            None => lake.clone(),
        };
        let recorded = follow::recorded(lake, snapshot.map(|snapshot| snapshot.id))?;
        let columns = lake_columns(table, lake, &recorded, &past.columns(), trusted(looked))?;
        let before = looked.state.as_ref();
        let warning = found_otherwise(table, facts.found, before);
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
            created: false,
            transactions: 1,
            schema_changes: Vec::new(),
            warnings: warning.into_iter().collect(),
        })
    }

    fn before(&self) -> Option<&'a LoadState> {
        self.looked.state.as_ref()
    }

    /// Steps 2 to 4.
    async fn run(mut self, links: &mut Links) -> Result<LoadReport> {
        let side = self.sync.target_side()?;
        let Some(snapshot) = self.snapshot else {
            let control = Links::control(&mut links.target, side, Kind::Target).await?;
            let target = self.target_table(control).await?;
            if self.created {
                let change = self.state_change(&target);
                state::prepare(control, &self.table.target, &change).await?;
            }
            return Ok(self.report(0, &Applied::default()));
        };
        let parts = self.parts(snapshot).await?;
        if let Some((rows, applied)) = self.filled(links, &parts).await? {
            return Ok(self.report(rows, &applied));
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
        let options = LoadOptions {
            mode: self.table.merge.mode,
            statement: self.table.merge.statement,
            deletes: self.table.merge.deletes.clone(),
            valid_from: validity_of(&self.columns, self.table)?,
            newest: newest(&self.lake, &schema.columns)?,
            has_deletes: staged.deletes > 0,
            segments: parts
                .last()
                .map_or(1, |part| part.number.unsigned_abs() + 1),
            staged_rows: staged.rows,
            held,
            whole: self.kind.is_whole(),
            has_net: has_rows && schema.key.is_some() && self.facts.mode.has_one_row_per_key(),
            batch_rows: if self.kind.may_step() {
                self.table.merge.batch_rows
            } else {
                0
            },
        };
        let mut plan = merge::plan(&self.columns, &target, &staging, &options);
        let control = Links::control(&mut links.target, side, Kind::Target).await?;
        merge::learn_base_types(control, &mut plan).await?;
        merge::settle(control, &mut plan).await?;
        failpoint::reach(FAIL_AFTER_NET);
        let steps = merge::steps(&plan, options.batch_rows);
        self.transactions = steps.len();
        let applied = self
            .apply(links, &plan, self.state_change(&target), &steps)
            .await?;
        if applied.target_only > 0 {
            self.warnings.push(format!(
                "{} that target {} has and snapshot {} does not have were left. `merge: {{ mode: replace }}` removes \
                    them",
                plural(applied.target_only, "row"),
                self.table.target,
                snapshot.sequence_number
            ));
        }
        Ok(self.report(staged.rows, &applied))
    }

    /// The report of a load that was applied.
    fn report(self, staged: u64, applied: &Applied) -> LoadReport {
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
            snapshot_id: self.snapshot.map(|snapshot| snapshot.id),
            sequence_number: self.snapshot.map(|snapshot| snapshot.sequence_number),
            rows_staged: staged,
            inserted: counts.inserted,
            updated: counts.updated,
            deleted: counts.deleted,
            unchanged: counts.unchanged,
            transactions: self.transactions,
            created_target: self.created,
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
                return Ok(parts_of(self.versions(delta), &both, 0));
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
        let all = self.versions(self.lake.delta(None, snapshot.id).await?);
        let first = parts.len();
        parts.extend(parts_of(all, &[Operation::Upsert], first));
        Ok(parts)
    }

    /// The rows of a delta that the mode loads.
    fn versions(&self, delta: Delta) -> Delta {
        match self.facts.mode.loads_versions() {
            true => delta.with_deletes(),
            false => delta,
        }
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
        let name = &self.table.target;
        let found = self.found(control).await?;
        let target = match found {
            Some(found) => self.followed(control, found).await?,
            None => {
                inspect::create_table(control, name, &self.columns.created()).await?;
                self.created = true;
                self.inspected(control).await?
            }
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
            old: self.before().map(LoadState::mark),
            new_snapshot: self.snapshot.map_or(PREPARED, |snapshot| snapshot.id),
            sequence_number: self.snapshot.map_or(0, |snapshot| snapshot.sequence_number),
            table_uuid: self.lake.uuid().to_string(),
            lake_table: self.table.lake.to_string(),
            run_id: self.run_id.to_string(),
            object: target.object().cloned(),
            modified: target.modified().to_owned(),
            rule: rule(self.table),
            step: None,
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
            let shape = self.columns.shape(self.lake.lake_schema());
            let heap = Heap::staging(&staging, &shape);
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
            let applied = merge::apply(control, plan, &change).await;
            total = total.and(self.settled(links, applied, &change).await?);
            if let Some(step) = step.filter(|step| !step.is_last()) {
                change.old = Some(OldState {
                    snapshot: self.before().map_or(PREPARED, |state| state.snapshot_id),
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
