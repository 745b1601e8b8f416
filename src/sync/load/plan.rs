//! What the next load would do; changes nothing.

use super::columns::{self, Choice, columns_after, newest};
use super::create::{design, recorded};
use super::kind::{Facts, LoadKind, State, decide, trusted};
use super::modes::{is_keyed, validity_of};
use crate::change::{LoadRule, RunId, Strategy, UpsertStatement};
use crate::config::{OnChange, Table};
use crate::error::{Disposition, Error, Kind, Result};
use crate::lake::{LakeTable, SnapshotInfo, SnapshotRef};
use crate::mssql::control::Control;
use crate::mssql::sql::{self, Statement, TableIdent, aside};
use crate::report::{LoadPlan, RowEstimate};
use crate::schema::TableSchema;
use crate::schema::definition::Definition;
use crate::schema::drift::Recorded;
use crate::sync::follow::Following;
use crate::target::columns::LakeColumns;
use crate::target::create::{self, Design, Object};
use crate::target::evolve::{self, Written};
use crate::target::fill::{self, Filling, Route};
use crate::target::inspect::{self, TargetTable};
use crate::target::merge::{self, Extent, Held, LoadOptions, MergePlan, StateChange};
use crate::target::staging::{self, Text};
use crate::target::state::{self, LoadState, Looked};
use crate::target::upsert;

/// What the extract before the load would leave.
pub struct Extracted<'a> {
    pub found: &'a Recorded,
    pub following: Option<&'a Following>,
    /// Of the source; none where it was not looked at.
    pub definition: Option<Definition>,
    pub strategy: Strategy,
    /// Rows of the source, from its statistics.
    pub row_estimate: Option<u64>,
}

/// What the next load would do after an extract that lets the lake table follow the source.
pub async fn plan(
    control: &mut Control,
    table: &Table,
    lake: Option<&LakeTable>,
    extracted: Extracted<'_>,
) -> Result<LoadPlan> {
    let looked = state::look(control, &table.target).await?;
    let trusted = trusted(&looked);
    let mut columns = columns_after(table, extracted.found, lake, extracted.following, trusted)?;
    let is_keyed = is_keyed(table, table.kind, extracted.found);
    let choice = Choice::of(table, &columns)?;
    let facts = Facts::upcoming(table, lake, &looked, (is_keyed, &choice));
    let kind = decide(&facts).map_err(|refusal| {
        let state = looked.state.as_ref();
        let message = refusal.message(table, &facts, state, None, &columns.included);
        Error::new(Kind::Target, Disposition::Definite, message)
    })?;
    let rows = estimate(lake, kind, extracted.row_estimate);
    let target = inspect::inspect(control, &table.target).await?;
    let design = designed(table, lake, extracted, &columns);
    let design = to_create(control, table, target.as_ref(), &facts, design).await?;
    let creates_target = target.is_none();
    let written = kind.written(&facts);
    let (steps, target) = followed(table, &mut columns, target, (&facts, written))?;
    inspect::check(&columns, &target, table.merge.mode)?;
    let target = match design.filtered() {
        Some(index) => target.with_filtered_index(index),
        None => target,
    };
    let merge = &table.merge;
    let (statement, why) =
        upsert::upsert_statement(control, &target, merge.statement, merge.mode).await;
    let loading = Loading {
        table,
        columns: &columns,
        target: &target,
        design: &design,
        change: state_change(table, (&columns, choice.rule), &target, &looked),
        kind,
        facts: &facts,
        statement,
        newest: lake.map_or(Ok(None), |lake| newest(lake, &columns))?,
        creates_target,
        run: RunId::generate(),
    };
    let (route, loaded) = loading.statements(control).await?;
    let altered = steps.iter().map(|step| step.statement(target.name()));
    let altered = altered.map(|statement| statement.by_hand());
    Ok(LoadPlan {
        loaded_sequence_number: trusted
            .filter(|state| state.loaded().is_some())
            .map(|state| state.sequence_number),
        snapshots_behind: behind(lake, &looked),
        creates_target,
        columns: columns::report(&columns),
        rows,
        route,
        batch_rows: Some(table.merge.batch_rows).filter(|&rows| rows > 0 && kind.has_base()),
        upsert: why,
        schema_changes: steps.iter().map(evolve::Step::change).collect(),
        statements: altered.chain(loaded).collect(),
        warnings: design.warnings,
    })
}

/// What a missing target would be created with.
fn designed(
    table: &Table,
    lake: Option<&LakeTable>,
    extracted: Extracted<'_>,
    columns: &LakeColumns,
) -> Design {
    let definition = match (extracted.definition, lake) {
        (Some(definition), _) => Ok(definition),
        (None, Some(lake)) => recorded(table, lake, None),
        (None, None) => Err(format!(
            "the definition of source {} is not recorded",
            table.source
        )),
    };
    design(table, definition, Some(extracted.strategy), columns)
}

/// What of it the next load would make: all of it, or what is missing from a target that was created and not loaded.
async fn to_create(
    control: &mut Control,
    table: &Table,
    target: Option<&TargetTable>,
    facts: &Facts,
    design: Design,
) -> Result<Design> {
    match target {
        None => Ok(design),
        Some(target) if facts.is_prepared() && table.create.any() => {
            let existing = create::existing(control, target.name()).await?;
            Ok(existing.map_or_else(Design::default, |existing| design.without(&existing)))
        }
        Some(_) => Ok(Design::default()),
    }
}

fn state_change(
    table: &Table,
    (columns, rule): (&LakeColumns, LoadRule),
    target: &TargetTable,
    looked: &Looked,
) -> StateChange {
    StateChange {
        target: table.target.to_string(),
        old: looked.state.as_ref().map(LoadState::mark),
        new_snapshot: 0,
        sequence_number: 0,
        table_uuid: String::new(),
        lake_table: table.lake.to_string(),
        run_id: RunId::generate().to_string(),
        object: target.object().cloned(),
        modified: target.modified().to_owned(),
        rule,
        step: None,
        passes: false,
        columns: columns.loaded.text(None),
        empties_quarantine: looked.object.is_none() && looked.in_quarantine > 0,
    }
}

/// How many rows of the lake the load would bring, as the snapshots' writers have counted them. The extract adds its
/// own.
fn estimate(lake: Option<&LakeTable>, kind: LoadKind, source: Option<u64>) -> Option<RowEstimate> {
    let snapshots = lake.map(LakeTable::snapshots).unwrap_or_default();
    let current = lake.and_then(|lake| lake.resolve(SnapshotRef::Latest).ok());
    estimated(&snapshots, current.as_ref(), kind, source)
}

fn estimated(
    snapshots: &[SnapshotInfo],
    current: Option<&SnapshotInfo>,
    kind: LoadKind,
    source: Option<u64>,
) -> Option<RowEstimate> {
    let since = match kind {
        LoadKind::Nothing | LoadKind::Prepare => return Some(RowEstimate::in_lake(0)),
        LoadKind::First | LoadKind::Whole { since: None } | LoadKind::Replace => None,
        LoadKind::Delta { from }
        | LoadKind::Finish { from, .. }
        | LoadKind::Whole { since: Some(from) } => Some(from),
    };
    let Some(current) = current else {
        return source.map(RowEstimate::at_source);
    };
    let loaded = since.and_then(|id| snapshots.iter().find(|snapshot| snapshot.id == id));
    let is_newer = |snapshot: &&SnapshotInfo| {
        loaded.is_some_and(|loaded| snapshot.sequence_number > loaded.sequence_number)
            && snapshot.operation != "replace"
    };
    let newer = snapshots.iter().filter(is_newer);
    let (added, deleted) = newer.fold((0_u64, 0_u64), |(added, deleted), snapshot| {
        (
            added.saturating_add(snapshot.rows_added),
            deleted.saturating_add(snapshot.rows_deleted),
        )
    });
    match kind {
        LoadKind::Delta { .. } | LoadKind::Finish { .. } => {
            Some(RowEstimate::in_lake(added.saturating_add(deleted)))
        }
        LoadKind::Nothing
        | LoadKind::Prepare
        | LoadKind::First
        | LoadKind::Whole { .. }
        | LoadKind::Replace => {
            let total = current.rows_total?;
            Some(RowEstimate::in_lake(total.saturating_add(deleted)))
        }
    }
}

/// A load that is planned.
struct Loading<'a> {
    table: &'a Table,
    columns: &'a LakeColumns,
    target: &'a TargetTable,
    design: &'a Design,
    change: StateChange,
    kind: LoadKind,
    facts: &'a Facts,
    statement: UpsertStatement,
    newest: Option<usize>,
    creates_target: bool,
    run: RunId,
}

impl Loading<'_> {
    /// How the rows of a first load reach a missing target, and the statements of the load.
    async fn statements(&self, control: &mut Control) -> Result<(Option<String>, Vec<String>)> {
        if !self.kind.may_fill(self.facts) {
            return Ok((None, self.staged()?));
        }
        let created = self.columns.created();
        let target = &self.table.target;
        let rights = fill::rights(control, target).await?;
        Ok(match fill::route(target, &created, rights) {
            Route::Straight => {
                let route = "rows go straight into the new table".to_owned();
                (Some(route), self.filled(&created))
            }
            Route::Staged(why) => {
                let route = format!("rows go through a staging table: {why}");
                (Some(route), self.staged()?)
            }
        })
    }

    /// The statements of a load that fills the table which becomes the target.
    fn filled(&self, schema: &TableSchema) -> Vec<String> {
        let (target, design) = (&self.table.target, self.design);
        let name = fill::name(target, self.run);
        let suffix = create::suffix(self.run);
        let filling = Filling {
            fill: &name,
            target,
            schema,
            storage: &design.storage,
            run: self.run,
        };
        let object = |object: &Object| object.statement(&name, &suffix).sql;
        let key = fill::key(filling, self.table.merge.mode);
        let reseed = design.reseeds.as_ref();
        let reseed = reseed.map(|(column, down)| sql::create::reseed(&name, column, *down));
        let publication = fill::publication(filling, design.constraints(&suffix), 0);
        let mut statements = vec![
            sql::define::create_schema(&target.schema).by_hand(),
            sql::define::create_fill(&name, schema, &design.storage).sql,
            copied(&TableIdent(&name)),
        ];
        statements.extend(design.clustered.as_ref().map(object));
        statements.extend(key.map(|key| key.sql));
        statements.extend(design.objects.iter().map(object));
        statements.extend(reseed.map(|reseed| reseed.by_hand()));
        statements.push(sql::fill::publish(&publication, &self.change, Extent::Transaction).sql);
        statements
    }

    /// The statements of a load through a staging table, with those that create the target where it is missing.
    fn staged(&self) -> Result<Vec<String>> {
        let (schema, target) = (&self.columns.schema, self.target);
        let staging = staging::design(schema, target, self.run, Text::CodePage);
        let options = LoadOptions {
            mode: self.table.merge.mode,
            statement: self.statement,
            deletes: self.table.merge.deletes.clone(),
            valid_from: validity_of(self.columns, self.table)?,
            newest: self.newest,
            has_deletes: self.kind.has_base(),
            segments: 1,
            staged_rows: 0,
            held: self.kind.held(self.facts),
            whole: self.kind.is_whole(),
            is_promised: self.facts.promises_all(self.kind),
            has_net: self.kind.held(self.facts) != Held::None
                && schema.key.is_some()
                && self.table.merge.mode.has_one_row_per_key(),
            batch_rows: 0,
            is_numbered: self.table.merge.quarantine.is_some(),
        };
        let merge = merge::plan(self.columns, target, &staging, &options);
        let objects = self.design.clone().into_objects();
        let objects = objects
            .iter()
            .map(|object| object.statement(target.name(), ""));
        let mut statements: Vec<Statement> = match self.creates_target {
            true => vec![
                sql::define::create_schema(&target.name().schema),
                self.creation(),
            ],
            false => Vec::new(),
        };
        statements.extend(objects);
        let mut statements: Vec<String> = statements.iter().map(|s| s.sql.clone()).collect();
        statements.push(sql::define::create_staging(&staging).sql);
        statements.push(copied(&TableIdent(&staging.name)));
        let net = merge.net.as_ref();
        statements.extend(net.map(|net| sql::net::net_changes(&merge, net).sql));
        let applied = applied(self.table, &merge, &self.change);
        statements.extend(applied.into_iter().map(|statement| statement.sql));
        Ok(statements)
    }

    fn creation(&self) -> Statement {
        let schema = self.columns.created();
        let (target, storage) = (self.target.name(), &self.design.storage);
        sql::create::create_target(target, &schema, storage, "", &self.change, 0)
    }
}

/// The bulk copy into a table. The driver writes the list of columns.
fn copied(table: &TableIdent<'_>) -> String {
    format!("INSERT BULK {table} WITH (TABLOCK, KEEP_NULLS);")
}

/// The transaction that applies the rows, if the target refuses none.
fn applied(table: &Table, merge: &MergePlan, change: &StateChange) -> Vec<Statement> {
    match (table.merge.quarantine, &merge.net) {
        (Some(_), Some(net)) => vec![
            aside::begin_load(),
            aside::open_load(merge, net, change),
            aside::apply_part(merge),
            aside::close_load(merge, net, change, [0; 4]),
            aside::commit_load(),
        ],
        (Some(_), None) | (None, _) => {
            vec![sql::merge::apply(merge, change, Extent::Transaction)]
        }
    }
}

/// The target after its columns have followed, and how they do.
fn followed(
    table: &Table,
    columns: &mut LakeColumns,
    target: Option<TargetTable>,
    (facts, written): (&Facts, Written),
) -> Result<(Vec<evolve::Step>, TargetTable)> {
    let Some(target) = target else {
        let created = TargetTable::planned(&table.target, &columns.created());
        return Ok((Vec::new(), created));
    };
    if facts.is_prepared() {
        evolve::know_by_name(columns, &target);
    }
    let (steps, target) = evolve::steps(columns, &target, written)?;
    if !steps.is_empty() && table.merge.on_schema_change == OnChange::Refuse {
        return Err(evolve::refused(target.name(), &steps).into());
    }
    Ok((steps, target))
}

/// Snapshots newer than the loaded one; all of them where nothing of this lake table is loaded. At least one while the
/// loaded one is not the current one: the table may have been rolled back to an older one.
pub fn behind(lake: Option<&LakeTable>, looked: &Looked) -> usize {
    let Some(lake) = lake else { return 0 };
    let is_here = |state: &&LoadState| match State::of(Some(lake), Some(state)) {
        State::Here { .. } => true,
        State::None | State::Prepared | State::Elsewhere => false,
    };
    let state = trusted(looked).filter(is_here);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(
        number: i64,
        operation: &str,
        added: u64,
        deleted: u64,
        total: u64,
    ) -> SnapshotInfo {
        SnapshotInfo {
            id: 100 + number,
            parent: None,
            sequence_number: number,
            committed_at_ms: 0,
            operation: operation.to_owned(),
            run_id: None,
            rows_added: added,
            rows_deleted: deleted,
            rows_total: Some(total),
            checkpoint: None,
            tags: Vec::new(),
        }
    }

    #[test]
    fn rows_to_load_are_counted_from_what_the_writers_said() {
        let snapshots = [
            snapshot(1, "append", 100, 0, 100),
            snapshot(2, "overwrite", 7, 5, 102),
            snapshot(3, "replace", 102, 102, 102),
            snapshot(4, "delete", 0, 2, 100),
        ];
        let current = snapshots.last();
        let rows = |kind| estimated(&snapshots, current, kind, Some(9));
        let lake = |rows| Some(RowEstimate::in_lake(rows));
        assert_eq!(rows(LoadKind::Nothing), lake(0));
        assert_eq!(rows(LoadKind::First), lake(100));
        assert_eq!(rows(LoadKind::Replace), lake(100));
        assert_eq!(rows(LoadKind::Delta { from: 101 }), lake(14));
        assert_eq!(rows(LoadKind::Delta { from: 104 }), lake(0));
        assert_eq!(rows(LoadKind::Whole { since: Some(102) }), lake(102));
        assert_eq!(rows(LoadKind::Whole { since: None }), lake(100));
        // Nothing is in the lake yet.
        let source = estimated(&[], None, LoadKind::First, Some(9));
        assert_eq!(source, Some(RowEstimate::at_source(9)));
        assert_eq!(estimated(&[], None, LoadKind::First, None), None);
    }
}
