//! Snapshots of one lake table into the target.
//!
//! Order of events, and what a death at each point leaves:
//!
//! 1. Read the target's load state, take the load lock of the target table (a session lock: it ends with the
//!    connection), drop staging tables of dead loads. (Nothing.)
//! 2. Compute the delta between the loaded snapshot and the wanted one. (Nothing.)
//! 3. Create the target table when it is missing, or let its columns follow the lake's, statement by statement. (A
//!    target that is ahead of its rows; the next load goes on from there, see [`crate::target::evolve`].) Create a
//!    staging heap; bulk copy the delta into it. (A staging table, dropped by the next load.)
//! 4. One transaction: compare-and-set on the load state, merge, deletes, new load state, the staging table
//!    dropped. (All or nothing. When the reply is lost, the load state says whether this run's id is there.)
//! 5. Tag the loaded snapshot in the lake, unless the commit of a `sync` has done so ([`TargetTags`] argues that).
//!    (Missing tag: the next load sets it, whether or not it has anything else to do.)

use super::follow::{self, Following};
use super::protect::{known, tags, unprotected};
use super::stage::{self, Operation, StagedPart, lake_error, parts_of};
use super::{Links, Phase, Sync};
use crate::change::{MergeMode, RunId, Strategy};
use crate::config::{OnChange, Table};
use crate::error::{Disposition, Error, Kind, Result};
use crate::failpoint;
use crate::lake::{Basis, LakeError, LakeTable, SnapshotInfo, SnapshotRef};
use crate::mssql::control::Control;
use crate::mssql::sql;
use crate::report::{LoadPlan, LoadReport};
use crate::schema::drift::{Recorded, SchemaChange};
use crate::schema::{Column, TableKind};
use crate::target::evolve::{self, LakeColumns};
use crate::target::inspect::{self, TargetTable};
use crate::target::merge::{self, LoadCounts, LoadOptions, MergePlan, StateChange};
use crate::target::state::{self, LoadState};
use crate::target::{TargetError, staging};
use std::collections::HashMap;
use std::time::Instant;

/// How long a load waits for another one of the same target.
const LOCK_TIMEOUT_MS: u32 = 10_000;

/// Failpoint: the target's columns follow the lake's, no row is staged.
pub const FAIL_AFTER_ALTER: &str = "load.after_alter";
/// Failpoint: the delta is staged, nothing is applied.
pub const FAIL_AFTER_STAGING: &str = "load.after_staging";
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

/// What is loaded of a lake table whose fields are `columns` (position and field id), for a target that was last
/// loaded from `before`. Versions of a history table have no key of their own.
fn lake_columns(
    lake: &LakeTable,
    recorded: &Recorded,
    columns: &[(usize, i32)],
    before: Option<&LoadState>,
) -> Result<LakeColumns> {
    let mut schema = recorded.whole();
    let is_gone = |at: &usize| !columns.iter().any(|(column, _)| column == at);
    if let Some(at) = (0..recorded.live()).find(is_gone) {
        return Err(lake_error(format!(
            "column {} of lake table {} is gone: another engine dropped it. Nothing was loaded, because the target \
             would get NULL for its values. Run `icesync extract`, which says how to go on",
            schema.columns[at].name,
            lake.name()
        )));
    }
    if lake.kind() == TableKind::History {
        schema.key = None;
    }
    let was = match known(lake, before) {
        Some(state) => {
            let known = follow::recorded(lake, Some(state.snapshot_id))?.whole();
            let names: HashMap<i32, &String> = lake
                .as_of(state.snapshot_id)?
                .columns()
                .into_iter()
                .filter_map(|(at, id)| Some((id, &known.columns.get(at)?.name)))
                .collect();
            let mut was = vec![None; schema.columns.len()];
            for &(at, id) in columns {
                was[at] = names.get(&id).map(|name| (*name).clone());
            }
            Some(was)
        }
        None => None,
    };
    Ok(LakeColumns {
        schema,
        live: recorded.live(),
        was,
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
    if lake.current_snapshot_id().is_none()
        && lake.checkpoint()?.is_some()
        && wanted == SnapshotRef::Latest
    {
        return Ok(nothing_to_do(None));
    }
    let snapshot = lake.resolve(wanted)?;
    let control = Links::control(&mut links.target, side, Kind::Target).await?;
    let before = state::read(control, &table.target).await?;
    let tags = tags(side, table, control).await?;
    if let Some(mut done) = already_loaded(table, &lake, &snapshot, before.as_ref(), full)? {
        let tagged = lake.mend_loaded(&tags, snapshot.id).await;
        done.warnings.extend(unprotected(tagged, &snapshot));
        return Ok(done);
    }
    let before = lock(control, table).await?;
    if let Some(mut done) = already_loaded(table, &lake, &snapshot, before.as_ref(), full)? {
        let tagged = lake.tag_loaded(&tags, snapshot.id).await;
        done.warnings.extend(unprotected(tagged, &snapshot));
        staging::unlock(control, &table.target).await?;
        return Ok(done);
    }
    staging::drop_orphans(control, &table.target).await?;
    // A load that has no snapshot to start from: until it ends, nothing else keeps the one that it reads.
    if before.is_none()
        && let Err(error) = lake.tag_loading(&tags, snapshot.id).await
    {
        tracing::warn!("{name}: the snapshot that is loaded is not tagged: {error}");
    }
    // As it was when the snapshot was committed: its columns may have changed since.
    let past = lake.as_of(snapshot.id)?;
    let recorded = follow::recorded(&lake, Some(snapshot.id))?;
    let columns = lake_columns(&lake, &recorded, &past.columns(), before.as_ref())?;
    let mut work = Work {
        sync,
        table,
        lake: &past,
        columns: &columns,
        snapshot: &snapshot,
        before: before.as_ref(),
        run_id,
        full,
        name: &name,
        schema_changes: Vec::new(),
        warnings: Vec::new(),
    };
    let loaded = work.run(links).await?;
    failpoint::reach(FAIL_AFTER_APPLY);
    let tagged = lake.tag_loaded(&tags, snapshot.id).await;
    let control = Links::control(&mut links.target, side, Kind::Target).await?;
    staging::unlock(control, &table.target).await?;
    let mut report = work.report(&loaded);
    report.warnings.extend(unprotected(tagged, &snapshot));
    report.seconds = clock.elapsed().as_secs_f64();
    Ok(report)
}

/// Takes the load lock, then reads the load state: another load may have moved it while this one waited.
async fn lock(control: &mut Control, table: &Table) -> Result<Option<LoadState>> {
    state::ensure_schema(control).await?;
    staging::lock(control, &table.target, LOCK_TIMEOUT_MS).await?;
    Ok(state::read(control, &table.target).await?)
}

/// The report of a load that has nothing to do; an error when the target is elsewhere than the lake table.
fn already_loaded(
    table: &Table,
    lake: &LakeTable,
    snapshot: &SnapshotInfo,
    before: Option<&LoadState>,
    full: bool,
) -> Result<Option<LoadReport>> {
    let Some(before) = before else {
        return Ok(None);
    };
    let refuse = |message: String| Err(Error::new(Kind::Target, Disposition::Definite, message));
    if full {
        return Ok(None);
    }
    if before.table_uuid != lake.uuid().to_string() {
        return refuse(format!(
            "target {} was loaded from another lake table ({}, uuid {}); `icesync load --full` loads the whole of {}",
            table.target, before.lake_table, before.table_uuid, table.lake
        ));
    }
    if before.snapshot_id == snapshot.id {
        return Ok(Some(nothing_to_do(Some(snapshot))));
    }
    let rolled_back = lake.current_snapshot_id() == Some(snapshot.id);
    if before.sequence_number > snapshot.sequence_number && !rolled_back {
        return refuse(format!(
            "snapshot {} is older than snapshot {}, which target {} has already loaded. \
A load goes back only to the newest snapshot of a lake table that was rolled back",
            snapshot.sequence_number, before.sequence_number, table.target
        ));
    }
    Ok(None)
}

fn nothing_to_do(loaded: Option<&SnapshotInfo>) -> LoadReport {
    LoadReport {
        from_snapshot: loaded.map(|snapshot| snapshot.id),
        snapshot_id: loaded.map(|snapshot| snapshot.id),
        sequence_number: loaded.map(|snapshot| snapshot.sequence_number),
        rows_staged: 0,
        inserted: 0,
        updated: 0,
        deleted: 0,
        unchanged: 0,
        created_target: false,
        schema_changes: Vec::new(),
        seconds: 0.0,
        warnings: Vec::new(),
    }
}

/// What a load came to.
struct Loaded {
    staged: u64,
    counts: LoadCounts,
    created: bool,
}

/// A load under its lock.
struct Work<'a> {
    sync: &'a Sync,
    table: &'a Table,
    lake: &'a LakeTable,
    columns: &'a LakeColumns,
    snapshot: &'a SnapshotInfo,
    before: Option<&'a LoadState>,
    run_id: RunId,
    full: bool,
    name: &'a str,
    schema_changes: Vec<SchemaChange>,
    warnings: Vec<String>,
}

impl Work<'_> {
    /// Steps 2 to 4.
    async fn run(&mut self, links: &mut Links) -> Result<Loaded> {
        let side = self.sync.target_side()?;
        let parts = self.parts().await?;
        let control = Links::control(&mut links.target, side, Kind::Target).await?;
        let (target, created) = self.target_table(control).await?;
        let schema = &self.columns.schema;
        let staging = staging::create(control, schema, &target, self.run_id).await?;
        let staged = stage::stage(self.sync, self.name, self.lake, links, &staging, &parts).await?;
        failpoint::reach(FAIL_AFTER_STAGING);
        self.sync
            .observer
            .phase(self.name, Phase::Merge, staged.rows);
        let options = LoadOptions {
            mode: self.table.merge.mode,
            statement: self.table.merge.statement,
            newest: newest(self.lake, &schema.columns)?,
            has_deletes: staged.deletes > 0,
            segments: parts
                .last()
                .map_or(1, |part| part.number.unsigned_abs() + 1),
            staged_rows: staged.rows,
            first_load: self.before.is_none(),
        };
        let mut plan = merge::plan(schema, &target, &staging, &options);
        let control = Links::control(&mut links.target, side, Kind::Target).await?;
        merge::learn_base_types(control, &mut plan).await?;
        let change = self.state_change();
        let counts = self.apply(links, &plan, &change).await?;
        Ok(Loaded {
            staged: staged.rows,
            counts,
            created,
        })
    }

    /// The report of a load that was applied.
    fn report(self, loaded: &Loaded) -> LoadReport {
        LoadReport {
            from_snapshot: self.before.map(|state| state.snapshot_id),
            snapshot_id: Some(self.snapshot.id),
            sequence_number: Some(self.snapshot.sequence_number),
            rows_staged: loaded.staged,
            inserted: loaded.counts.inserted,
            updated: loaded.counts.updated,
            deleted: loaded.counts.deleted,
            unchanged: loaded.counts.unchanged,
            created_target: loaded.created,
            schema_changes: self.schema_changes,
            seconds: 0.0,
            warnings: self.warnings,
        }
    }

    /// What is staged, in order. A full load also stages the keys that are gone since the last load, where it can tell.
    async fn parts(&mut self) -> Result<Vec<StagedPart>> {
        self.check_full()?;
        let whole = self.full || self.table.merge.mode == MergeMode::Replace;
        let known = self
            .before
            .filter(|state| state.table_uuid == self.lake.uuid().to_string());
        let mut parts = Vec::new();
        if let Some(known) = known {
            let delta = self
                .lake
                .delta(Some(known.snapshot_id), self.snapshot.id)
                .await;
            match delta {
                Ok(delta) if whole => parts.extend(parts_of(delta, &[Operation::Delete], 0)),
                Ok(delta) => {
                    self.check_basis(delta.basis, known)?;
                    parts.extend(parts_of(delta, &[Operation::Upsert, Operation::Delete], 0))
                }
                Err(error) if !whole => return Err(error.into()),
                Err(LakeError::LoadedSnapshotGone { .. }) => {
                    self.warn_of_leftovers("the snapshot that was loaded last is expired");
                }
                Err(error) => self.warn_of_leftovers(&error.to_string()),
            }
        } else if self.before.is_some() {
            self.warn_of_leftovers("the lake table was made anew");
        }
        if whole || known.is_none() {
            let delta = self.lake.delta(None, self.snapshot.id).await?;
            let first = parts.len();
            parts.extend(parts_of(delta, &[Operation::Upsert], first));
        }
        Ok(parts)
    }

    /// Refuses to append what may be rows that only moved; says in the log why a load of few changes may stage many.
    fn check_basis(&self, basis: Basis, known: &LoadState) -> Result<()> {
        match basis {
            Basis::Nothing | Basis::Snapshots => return Ok(()),
            Basis::Ends => {}
        }
        let (table, target) = (&self.table.lake, &self.table.target);
        let (old, new) = (known.sequence_number, self.snapshot.sequence_number);
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

    /// Refuses a full load that would insert rows again.
    fn check_full(&self) -> Result<()> {
        match (self.table.merge.mode, self.before) {
            (MergeMode::Append, Some(_)) if self.full => {}
            (MergeMode::Append | MergeMode::Upsert | MergeMode::Replace, _) => return Ok(()),
        }
        let target = &self.table.target;
        Err(lake_error(format!(
            "target {target} has been loaded before, and with `merge.mode: append` a full load would insert its rows \
again. Use `merge: {{ mode: replace }}`; or empty {target}, delete its row in icesync.load_state, and load again"
        )))
    }

    fn warn_of_leftovers(&mut self, why: &str) {
        if self.table.merge.mode != MergeMode::Replace {
            self.warnings.push(format!(
                "rows that are in target {} and no longer in the lake were left ({why}); merge.mode: replace removes \
                    them",
                self.table.target
            ));
        }
    }

    /// The target table, created when it is missing or following the lake's columns, and checked to hold everything
    /// that the lake can bring.
    async fn target_table(&mut self, control: &mut Control) -> Result<(TargetTable, bool)> {
        let name = &self.table.target;
        let found = inspect::inspect(control, name).await?;
        let created = found.is_none();
        let target = match found {
            Some(found) => self.followed(control, found).await?,
            None => {
                inspect::create_table(control, name, &self.columns.created()).await?;
                self.inspected(control).await?
            }
        };
        let LakeColumns { schema, live, .. } = self.columns;
        let mode = self.table.merge.mode;
        self.warnings
            .extend(inspect::check(schema, *live, &target, mode)?);
        Ok((target, created))
    }

    async fn inspected(&self, control: &mut Control) -> Result<TargetTable> {
        let name = &self.table.target;
        inspect::inspect(control, name).await?.ok_or_else(|| {
            let message = format!("target {name} was dropped by someone else while it was being prepared; run the load \
                again");
            Error::new(Kind::Target, Disposition::Transient, message)
        })
    }

    async fn followed(
        &mut self,
        control: &mut Control,
        target: TargetTable,
    ) -> Result<TargetTable> {
        let (steps, _) = evolve::steps(self.columns, &target, self.full)?;
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
        self.inspected(control).await
    }

    fn state_change(&self) -> StateChange {
        StateChange {
            target: self.table.target.to_string(),
            old_snapshot: self.before.map(|state| state.snapshot_id),
            new_snapshot: self.snapshot.id,
            sequence_number: self.snapshot.sequence_number,
            table_uuid: self.lake.uuid().to_string(),
            lake_table: self.table.lake.to_string(),
            run_id: self.run_id.to_string(),
        }
    }

    /// Step 4. A lost reply is resolved on a new connection by looking for this run's id in the load state.
    async fn apply(
        &self,
        links: &mut Links,
        plan: &MergePlan,
        change: &StateChange,
    ) -> Result<LoadCounts> {
        let side = self.sync.target_side()?;
        let control = Links::control(&mut links.target, side, Kind::Target).await?;
        let lost = match merge::apply(control, plan, change).await {
            Err(error) if error.disposition() == Disposition::Ambiguous => error,
            other => return Ok(other?),
        };
        tracing::warn!(
            "{}: the reply to the load's commit was lost; looking for its outcome",
            self.name
        );
        links.target = None;
        let control = Links::control(&mut links.target, side, Kind::Target).await?;
        match state::resolve(control, &self.table.target, self.run_id).await? {
            Some(counts) => Ok(counts),
            None => Err(Error::new(
                Kind::Target,
                Disposition::Transient,
                NotApplied(lost),
            )),
        }
    }
}

/// Position of the column that tells which of two rows is newer. A timestamp does not: it may be older than the one
/// that the row had before.
fn newest(lake: &LakeTable, columns: &[Column]) -> Result<Option<usize>> {
    let Some(checkpoint) = lake.checkpoint()? else {
        return Ok(None);
    };
    match checkpoint.strategy {
        Strategy::RowVersion | Strategy::Sequence => {}
        Strategy::Timestamp | Strategy::Full => return Ok(None),
    }
    let followed = |column: &Column| {
        let mark = checkpoint.watermark.as_ref();
        mark.is_some_and(|mark| mark.column == column.name && mark.ty == column.ty)
    };
    Ok(columns.iter().position(followed))
}

/// A load whose outcome was unknown and turned out not to have been applied.
#[derive(Debug, thiserror::Error)]
#[error("the load was not applied")]
struct NotApplied(#[source] TargetError);

/// What the next load would do after an extract that lets the lake table follow the source; changes nothing.
pub(super) async fn plan(
    control: &mut Control,
    table: &Table,
    found: &Recorded,
    lake: Option<&LakeTable>,
    following: Option<&Following>,
) -> Result<LoadPlan> {
    let state = state::read(control, &table.target).await?;
    let columns = columns_after(found, lake, following, state.as_ref())?;
    let (steps, target) = match inspect::inspect(control, &table.target).await? {
        Some(target) => {
            let (steps, target) = evolve::steps(&columns, &target, false)?;
            (Some(steps), target)
        }
        None => (
            None,
            TargetTable::planned(&table.target, &columns.created()),
        ),
    };
    let creates_target = steps.is_none();
    let steps = steps.unwrap_or_default();
    if !steps.is_empty() && table.merge.on_schema_change == OnChange::Refuse {
        return Err(evolve::refused(target.name(), &steps).into());
    }
    inspect::check(&columns.schema, columns.live, &target, table.merge.mode)?;
    let run_id = RunId::generate();
    let staging = staging::design(&columns.schema, &target, run_id);
    let options = LoadOptions {
        mode: table.merge.mode,
        statement: table.merge.statement,
        newest: lake.map_or(Ok(None), |lake| newest(lake, &columns.schema.columns))?,
        has_deletes: state.is_some(),
        segments: 1,
        staged_rows: 0,
        first_load: state.is_none(),
    };
    let change = StateChange {
        target: table.target.to_string(),
        old_snapshot: state.as_ref().map(|state| state.snapshot_id),
        new_snapshot: 0,
        sequence_number: 0,
        table_uuid: String::new(),
        lake_table: table.lake.to_string(),
        run_id: run_id.to_string(),
    };
    let merge = merge::plan(&columns.schema, &target, &staging, &options);
    let apply = sql::merge::apply(&merge, &change);
    let altered = steps.iter().map(|step| step.statement(target.name()));
    let altered = altered.map(|statement| statement.by_hand());
    Ok(LoadPlan {
        loaded_sequence_number: state.as_ref().map(|state| state.sequence_number),
        snapshots_behind: behind(lake, state.as_ref()),
        creates_target,
        schema_changes: steps.iter().map(evolve::Step::change).collect(),
        statements: altered
            .chain([sql::define::create_staging(&staging).sql, apply.sql])
            .collect(),
    })
}

/// The columns that a load would bring after the next extract: those of a lake table that is yet to be created, has
/// yet to follow its source, or stays as it is.
fn columns_after(
    found: &Recorded,
    lake: Option<&LakeTable>,
    following: Option<&Following>,
    before: Option<&LoadState>,
) -> Result<LakeColumns> {
    match (lake, following) {
        (Some(lake), Some(following)) => {
            let fields = lake.columns_after(&following.evolution)?;
            lake_columns(lake, &following.recorded, &fields, before)
        }
        (Some(lake), None) => {
            let recorded = follow::recorded(lake, None)?;
            lake_columns(lake, &recorded, &lake.columns(), before)
        }
        (None, _) => Ok(LakeColumns {
            schema: found.schema.clone(),
            live: found.live(),
            was: None,
        }),
    }
}

/// Snapshots newer than the loaded one. At least one while the loaded one is not the current one: the table may have
/// been rolled back to an older one.
pub(super) fn behind(lake: Option<&LakeTable>, state: Option<&LoadState>) -> usize {
    let Some(lake) = lake else { return 0 };
    let current = lake.current_snapshot_id();
    if current.is_none() || current == state.map(|state| state.snapshot_id) {
        return 0;
    }
    let loaded = state.map_or(0, |state| state.sequence_number);
    let snapshots = lake.snapshots();
    let newer = snapshots
        .iter()
        .filter(|snapshot| snapshot.sequence_number > loaded);
    newer.count().max(1)
}
