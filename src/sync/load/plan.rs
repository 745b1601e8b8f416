//! What the next load would do; changes nothing.

use super::columns::{columns_after, newest};
use super::kind::{Facts, Found, LoadKind, State, Unfinished, Wanted, decide};
use super::modes::{is_keyed, rule, validity_of};
use crate::change::RunId;
use crate::config::{OnChange, Table};
use crate::error::{Disposition, Error, Kind, Result};
use crate::lake::LakeTable;
use crate::mssql::control::Control;
use crate::mssql::sql;
use crate::report::LoadPlan;
use crate::schema::TableSchema;
use crate::schema::drift::Recorded;
use crate::sync::follow::Following;
use crate::target::columns::LakeColumns;
use crate::target::evolve;
use crate::target::fill::{self, Route};
use crate::target::inspect::{self, TargetTable};
use crate::target::merge::{self, Held, LoadOptions, StateChange};
use crate::target::staging::{self, Text};
use crate::target::state::{self, LoadState, Looked};

/// What the next load would do after an extract that lets the lake table follow the source.
pub async fn plan(
    control: &mut Control,
    table: &Table,
    found: &Recorded,
    lake: Option<&LakeTable>,
    following: Option<&Following>,
) -> Result<LoadPlan> {
    let looked = state::look(control, &table.target).await?;
    let trusted = trusted(&looked);
    let mut columns = columns_after(table, found, lake, following, trusted)?;
    let rule = rule(table);
    let before = looked.state.as_ref().and_then(|state| state.rule.as_ref());
    let facts = Facts {
        state: State::of(lake, looked.state.as_ref()),
        wanted: Wanted::Newer,
        found: Found::of(&looked),
        mode: table.merge.mode,
        loaded_as: before.map(|rule| rule.mode),
        goes_on: rule.goes_on_from(before),
        unfinished: Unfinished::of(lake, looked.state.as_ref()),
        is_keyed: is_keyed(table.kind, found, table.merge.mode),
        lake: table.kind,
        full: false,
    };
    let kind = decide(&facts).map_err(|refusal| {
        let message = refusal.message(table, &facts, looked.state.as_ref(), None);
        Error::new(Kind::Target, Disposition::Definite, message)
    })?;
    let target = inspect::inspect(control, &table.target).await?;
    let creates_target = target.is_none();
    let (steps, target) = followed(table, &mut columns, target, &facts)?;
    inspect::check(&columns, &target, table.merge.mode)?;
    let newest = lake.map_or(Ok(None), |lake| newest(lake, &columns.schema.columns))?;
    let load = (kind, &facts, newest);
    let (route, loaded) = loading(control, table, &columns, &target, &looked, load).await?;
    let altered = steps.iter().map(|step| step.statement(target.name()));
    let altered = altered.map(|statement| statement.by_hand());
    Ok(LoadPlan {
        loaded_sequence_number: trusted
            .filter(|state| state.loaded().is_some())
            .map(|state| state.sequence_number),
        snapshots_behind: behind(lake, &looked),
        creates_target,
        route,
        batch_rows: Some(table.merge.batch_rows).filter(|&rows| rows > 0 && kind.may_step()),
        schema_changes: steps.iter().map(evolve::Step::change).collect(),
        statements: altered.chain(loaded).collect(),
    })
}

/// How the rows of a first load reach a missing target, and the statements of the load.
async fn loading(
    control: &mut Control,
    table: &Table,
    columns: &LakeColumns,
    target: &TargetTable,
    looked: &Looked,
    (kind, facts, newest): (LoadKind, &Facts, Option<usize>),
) -> Result<(Option<String>, Vec<String>)> {
    let change = StateChange {
        target: table.target.to_string(),
        old: looked.state.as_ref().map(LoadState::mark),
        new_snapshot: 0,
        sequence_number: 0,
        table_uuid: String::new(),
        lake_table: table.lake.to_string(),
        run_id: RunId::generate().to_string(),
        object: target.object().cloned(),
        modified: target.modified().to_owned(),
        rule: rule(table),
        step: None,
    };
    let load = (kind, facts, newest);
    let through_staging = || staged(table, columns, target, load, &change);
    if !kind.may_fill(facts) {
        return Ok((None, through_staging()?));
    }
    let created = columns.created();
    let rights = fill::rights(control, &table.target).await?;
    Ok(match fill::route(&table.target, &created, rights) {
        Route::Straight => {
            let route = "rows go straight into the new table".to_owned();
            (Some(route), filled(table, &created, &change))
        }
        Route::Staged(why) => {
            let route = format!("rows go through a staging table: {why}");
            (Some(route), through_staging()?)
        }
    })
}

/// The statements of a load that fills the table which becomes the target.
fn filled(table: &Table, schema: &TableSchema, change: &StateChange) -> Vec<String> {
    let target = &table.target;
    let run_id = RunId::generate();
    let name = fill::name(target, run_id);
    let created = sql::define::create_fill(&name, schema);
    let key = fill::key(&name, target, schema, run_id, table.merge.mode);
    let publication = fill::publication(name, target, 0);
    let published = sql::fill::publish(&publication, change);
    let statements = [Some(created), key, Some(published)].into_iter().flatten();
    statements.map(|statement| statement.sql).collect()
}

/// The statements of a load through a staging table.
fn staged(
    table: &Table,
    columns: &LakeColumns,
    target: &TargetTable,
    (kind, facts, newest): (LoadKind, &Facts, Option<usize>),
    change: &StateChange,
) -> Result<Vec<String>> {
    let schema = &columns.schema;
    let staging = staging::design(schema, target, RunId::generate(), Text::CodePage);
    let options = LoadOptions {
        mode: table.merge.mode,
        statement: table.merge.statement,
        deletes: table.merge.deletes.clone(),
        valid_from: validity_of(columns, table)?,
        newest,
        has_deletes: match kind {
            LoadKind::Delta { .. }
            | LoadKind::Finish { .. }
            | LoadKind::Whole { since: Some(_) } => true,
            LoadKind::Nothing
            | LoadKind::Prepare
            | LoadKind::First
            | LoadKind::Whole { since: None }
            | LoadKind::Replace => false,
        },
        segments: 1,
        staged_rows: 0,
        held: kind.held(facts),
        whole: kind.is_whole(),
        has_net: kind.held(facts) != Held::None
            && schema.key.is_some()
            && table.merge.mode.has_one_row_per_key(),
        batch_rows: 0,
    };
    let merge = merge::plan(columns, target, &staging, &options);
    let created = sql::define::create_staging(&staging);
    let net = merge
        .net
        .as_ref()
        .map(|net| sql::net::net_changes(&merge, net));
    let apply = sql::merge::apply(&merge, change);
    let statements = [Some(created), net, Some(apply)].into_iter().flatten();
    Ok(statements.map(|statement| statement.sql).collect())
}

/// The target after its columns have followed, and how they do.
fn followed(
    table: &Table,
    columns: &mut LakeColumns,
    target: Option<TargetTable>,
    facts: &Facts,
) -> Result<(Vec<evolve::Step>, TargetTable)> {
    let Some(target) = target else {
        let created = TargetTable::planned(&table.target, &columns.created());
        return Ok((Vec::new(), created));
    };
    if facts.is_prepared() {
        evolve::know_by_name(columns, &target);
    }
    let (steps, target) = evolve::steps(columns, &target, false)?;
    if !steps.is_empty() && table.merge.on_schema_change == OnChange::Refuse {
        return Err(evolve::refused(target.name(), &steps).into());
    }
    Ok((steps, target))
}

/// The load state, if it is about the table that is there.
pub fn trusted(looked: &Looked) -> Option<&LoadState> {
    let state = looked.state.as_ref();
    state.filter(|_| Found::of(looked) == Found::There)
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
