//! Steps 2 to 5 of a load that has something to do; see the [parent](super) for the order of events.

use super::columns::{newest, to_load};
use super::kind::{Facts, Found, LoadKind, trusted};
use super::modes::{rule, time_field, validity_of};
use super::told::{found_otherwise, went_past};
use crate::change::{LoadRule, MergeMode, RunId};
use crate::config::{OnChange, Table};
use crate::error::{Kind, Result};
use crate::failpoint;
use crate::lake::{Basis, Delta, LakeTable, SnapshotInfo, TargetTags};
use crate::mssql::control::Control;
use crate::mssql::sql::define::StagingTable;
use crate::report::{LoadMethod, LoadReport, plural};
use crate::schema::TableKind;
use crate::schema::drift::SchemaChange;
use crate::sync::restored::Restored;
use crate::sync::stage::{self, Heap, Operation, StagedPart, lake_error, parts_of};
use crate::sync::{Links, Phase, Sync};
use crate::target::TargetError;
use crate::target::columns::LakeColumns;
use crate::target::evolve;
use crate::target::fill::{self, Lost, Publication};
use crate::target::inspect::{self, TargetTable};
use crate::target::merge::{
    self, Applied, Extent, Held, LoadOptions, MergePlan, OldState, StateChange, Step,
};
use crate::target::quarantine::{self, Aside, Fault};
use crate::target::staging::{self, Text};
use crate::target::state::{self, LoadState, Looked, PREPARED};

/// Failpoint: the target's columns follow the lake's, no row is staged.
pub const FAIL_AFTER_ALTER: &str = "load.after_alter";
/// Failpoint: the delta is staged, nothing is applied.
pub const FAIL_AFTER_STAGING: &str = "load.after_staging";
/// Failpoint: the net changes are computed, nothing is applied.
pub const FAIL_AFTER_NET: &str = "load.after_net";
/// Failpoint: a step that is not the last one is committed.
pub const FAIL_BETWEEN_STEPS: &str = "load.between_steps";

/// A load whose rows are on the server, and whose transaction has not begun.
pub(super) enum Ready<'a> {
    /// There are no rows, and everything is done.
    Done(Box<LoadReport>),
    /// The rows are in the table that becomes the target.
    Filled(Box<Work<'a>>, Box<Filled>),
    /// The rows are in a staging table, or in a table of their net changes.
    Staged(Box<Work<'a>>, Box<Settled>),
}

/// What the transactions of a staged load need to know.
pub(super) struct Settled {
    pub plan: MergePlan,
    pub change: StateChange,
    pub steps: Vec<Option<Step>>,
    /// What may be set aside, and the rows with values that the target cannot keep. None: a refused row stops the load.
    pub aside: Option<(Aside, Vec<Fault>)>,
    /// Rows that were staged.
    pub rows: u64,
}

/// A table that is filled and not yet the target.
pub(super) struct Filled {
    pub publication: Publication,
    pub change: StateChange,
}

impl Filled {
    /// Rows that were sent to it.
    pub fn rows(&self) -> u64 {
        self.publication.rows
    }
}

impl Ready<'_> {
    /// Step 5, in transactions of this load alone.
    pub async fn apply(self, links: &mut Links) -> Result<LoadReport> {
        match self {
            Ready::Done(report) => Ok(*report),
            Ready::Filled(work, filled) => {
                let applied = work.publish(links, &filled).await?;
                Ok(work.report(filled.rows(), &applied))
            }
            Ready::Staged(mut work, settled) => {
                let Settled {
                    plan,
                    change,
                    steps,
                    aside,
                    rows,
                } = *settled;
                let applied = match aside {
                    Some((aside, faults)) => {
                        work.set_aside(links, &plan, &change, &aside, faults)
                            .await?
                    }
                    None => work.apply(links, &plan, change, &steps).await?,
                };
                Ok(work.report(rows, &applied))
            }
        }
    }
}

/// A load under its lock.
pub(super) struct Work<'a> {
    pub sync: &'a Sync,
    pub table: &'a Table,
    /// As it was when the snapshot was committed: its columns may have changed since. They are as wide as those of the
    /// snapshot that it is compared with.
    pub lake: LakeTable,
    pub columns: LakeColumns,
    pub rule: LoadRule,
    /// None: the lake table has no rows yet.
    pub snapshot: Option<SnapshotInfo>,
    /// The target and its state as they were when the kind was decided.
    pub looked: Looked,
    pub facts: Facts,
    pub kind: LoadKind,
    /// A snapshot of which the target may have rows besides those of the one that the state names.
    pub through: Option<i64>,
    pub run_id: RunId,
    pub name: String,
    pub is_created: bool,
    /// The load state that was written with a target which was created empty.
    pub prepared: Option<OldState>,
    /// Rows that were set aside.
    pub quarantined: u64,
    pub transactions: usize,
    /// It shares its transaction with other tables.
    pub is_grouped: bool,
    pub schema_changes: Vec<SchemaChange>,
    pub warnings: Vec<String>,
}

impl<'a> Work<'a> {
    pub fn new(
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
        let through = kind.through(&facts, snapshot.as_ref().map(|snapshot| snapshot.id));
        let compared = kind.base().into_iter().chain(through);
        let past = compared.fold(past, LakeTable::as_wide_as);
        let columns = to_load(table, lake, snapshot.as_ref(), trusted(&looked))?;
        let before = looked.state.as_ref();
        let warning = found_otherwise(table, facts.found, before);
        let passed = through.and_then(|_| went_past(table, before));
        let goes_on = matches!(
            kind,
            LoadKind::Delta { .. } | LoadKind::Finish { .. } | LoadKind::Replace
        );
        let restored = Restored::of(lake, tags, &looked).filter(|_| goes_on);
        let restored = restored.map(|restored| restored.warning(table));
        let rule = rule(table, time_field(&columns, table)?);
        Ok(Self {
            sync,
            table,
            lake: past,
            columns,
            rule,
            snapshot,
            looked,
            facts,
            kind,
            through,
            run_id,
            name: table.source.to_string(),
            is_created: false,
            prepared: None,
            quarantined: 0,
            transactions: 1,
            is_grouped: false,
            schema_changes: Vec::new(),
            warnings: [warning, passed, restored].into_iter().flatten().collect(),
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
    pub async fn ready(mut self, links: &mut Links) -> Result<Ready<'a>> {
        let side = self.sync.target_side()?;
        let aside = self.aside(links).await?;
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
        failpoint::reach(FAIL_AFTER_STAGING);
        self.sync
            .observer
            .phase(&self.name, Phase::Merge, staged.rows);
        let control = Links::control(&mut links.target, side, Kind::Target).await?;
        let is_keyed = self.columns.schema.key.is_some();
        let options = LoadOptions {
            mode: self.table.merge.mode,
            statement: self.upsert_statement(control, &target).await,
            deletes: self.table.merge.deletes.clone(),
            valid_from: validity_of(&self.columns, self.table)?,
            newest: newest(&self.lake, &self.columns)?,
            has_deletes: staged.deletes > 0 || aside.as_ref().is_some_and(Aside::has_deletes),
            segments: parts
                .last()
                .map_or(1, |part| part.number.unsigned_abs() + 1),
            staged_rows: staged.rows,
            held,
            whole: self.kind.is_whole(),
            is_promised: self.facts.promises_all(self.kind),
            has_net: (has_rows || aside.is_some())
                && is_keyed
                && self.facts.mode.has_one_row_per_key(),
            batch_rows: match self.may_be_stepped() && aside.is_none() {
                true => self.table.merge.batch_rows,
                false => 0,
            },
            is_numbered: aside.is_some(),
        };
        self.tell_new_flag(&target);
        self.tell_reached(control, &options).await?;
        let plan = merge::plan(&self.columns, &target, &staging, &options);
        let change = self.state_change(&target);
        let settled = settle(control, plan, change, aside, &options).await?;
        self.transactions = settled.steps.len();
        Ok(Ready::Staged(Box::new(self), Box::new(settled)))
    }

    /// The report of a load that was applied.
    pub fn report(mut self, staged: u64, applied: &Applied) -> LoadReport {
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
                LoadKind::Delta { .. } | LoadKind::Finish { whole: false, .. } => LoadMethod::Delta,
                LoadKind::Whole { .. } | LoadKind::Finish { whole: true, .. } => LoadMethod::Whole,
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
            quarantined: self.quarantined,
            in_quarantine: self.looked.in_quarantine,
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
            LoadKind::Delta { from }
            | LoadKind::Finish {
                from, whole: false, ..
            } => {
                for (from, to) in self.ranges(from, snapshot.id) {
                    let delta = self.lake.delta(Some(from), to).await?;
                    self.check_basis(delta.basis, snapshot)?;
                    let both = [Operation::Upsert, Operation::Delete];
                    let first = parts.len();
                    parts.extend(parts_of(self.versions(delta), &both, first));
                }
                return Ok(parts);
            }
            LoadKind::Whole { since: Some(since) }
            | LoadKind::Finish {
                from: since,
                whole: true,
                ..
            } => {
                for (from, to) in self.ranges(since, snapshot.id) {
                    let first = parts.len();
                    match self.lake.delta(Some(from), to).await {
                        Ok(delta) => parts.extend(parts_of(delta, &[Operation::Delete], first)),
                        // The transaction counts what is left.
                        Err(error) => tracing::warn!(
                            "{}: rows that left the lake since the last load are not known and stay in the target: \
{error}",
                            self.name
                        ),
                    }
                }
            }
            LoadKind::First | LoadKind::Whole { since: None } | LoadKind::Replace => {}
        }
        let all = self.versions(self.lake.delta(None, snapshot.id).await?);
        let first = parts.len();
        parts.extend(parts_of(all, &[Operation::Upsert], first));
        Ok(parts)
    }

    /// The ranges of snapshots whose changes lead from one to another, in order.
    fn ranges(&self, from: i64, to: i64) -> Vec<(i64, i64)> {
        match self.through {
            Some(through) => vec![(from, through), (through, to)],
            None => vec![(from, to)],
        }
    }

    /// A target between two of the steps has rows of two snapshots, which the state names.
    fn may_be_stepped(&self) -> bool {
        let is_loaded = self.before().and_then(LoadState::loaded).is_some();
        is_loaded && self.kind.has_base() && !self.is_grouped && self.through.is_none()
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
    pub async fn found(&self, control: &mut Control) -> Result<Option<TargetTable>> {
        let target = &self.table.target;
        let found = inspect::inspect(control, target).await?;
        if found.as_ref().and_then(TargetTable::object) != self.looked.object.as_ref() {
            let target = target.clone();
            return Err(TargetError::Recreated { target }.into());
        }
        Ok(found)
    }

    pub async fn inspected(&self, control: &mut Control) -> Result<TargetTable> {
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
        let (steps, _) = evolve::steps(&self.columns, &target, self.kind.written(&self.facts))?;
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

    pub fn state_change(&self, target: &TargetTable) -> StateChange {
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
            rule: self.rule.clone(),
            step: None,
            passes: self.through.is_some(),
            columns: self.columns.loaded.text(self.flag(target)),
            empties_quarantine: self.facts.found == Found::Missing && self.looked.in_quarantine > 0,
        }
    }

    /// The staging table, filled. Text of a code page is encoded here where that is possible; when a character turns
    /// out not to be encoded here although the server may know it, the rows are sent again as Unicode.
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
            match self.lost(&error) {
                Some(Lost::Perhaps(example)) => {
                    let name = &self.name;
                    tracing::warn!(
                        "{name}: {example}, as far as this machine knows. The rows are sent again as Unicode, and the \
server decides"
                    );
                    let control = Links::control(&mut links.target, side, Kind::Target).await?;
                    fill::abandon(control, &staging.name, target.name()).await?;
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
            self.may_begin(step)?;
            change.step = step;
            let control = Links::control(&mut links.target, side, Kind::Target).await?;
            let applied = merge::apply(control, plan, &change, Extent::Transaction);
            let applied = self.unless_cut(applied).await;
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
}

/// Step 4 of a staged load.
async fn settle(
    control: &mut Control,
    mut plan: MergePlan,
    change: StateChange,
    aside: Option<Aside>,
    options: &LoadOptions,
) -> Result<Settled> {
    merge::learn_base_types(control, &mut plan).await?;
    let (aside, steps) = match aside {
        Some(aside) => {
            let faults = quarantine::settle(control, &mut plan, &aside).await?;
            (Some((aside, faults)), vec![None])
        }
        None => {
            merge::settle(control, &mut plan).await?;
            (
                None,
                merge::steps(&plan, options.batch_rows, options.is_promised),
            )
        }
    };
    failpoint::reach(FAIL_AFTER_NET);
    Ok(Settled {
        plan,
        change,
        steps,
        aside,
        rows: options.staged_rows,
    })
}
