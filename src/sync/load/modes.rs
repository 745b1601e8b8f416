//! What a mode of loading makes of the lake's columns: columns of a history that the target gets, the key of its rows,
//! and columns that only the target has.

use crate::change::{Deletes, LoadRule, MergeMode, TimeField};
use crate::config::Table;
use crate::error::Result;
use crate::schema::drift::Recorded;
use crate::schema::mapping::{COMMITTED_AT, lake_schema};
use crate::schema::{Column, Key, Role, TableKind};
use crate::sync::follow::keeps_keys_apart;
use crate::sync::stage::lake_error;
use crate::target::columns::{LakeColumns, OwnColumn};
use crate::target::state::LoadState;
use crate::target::validity::{self, ValidFrom};

/// Whether rows of the lake table have a key in a target. Versions of a row share its key, and only a lake that tells
/// keys apart as the source does knows which are of one row.
pub fn is_keyed(table: &Table, kind: TableKind, recorded: &Recorded) -> bool {
    let schema = &recorded.schema;
    match (kind, table.merge.mode) {
        (TableKind::Mirror, _) => schema.key.is_some(),
        (TableKind::History, MergeMode::Scd2) => {
            let shape = lake_schema(schema, kind, table.fidelity);
            shape.is_ok_and(|shape| !shape.key.is_empty() && keeps_keys_apart(schema, &shape))
        }
        (
            TableKind::History,
            MergeMode::Upsert | MergeMode::Append | MergeMode::Replace | MergeMode::History,
        ) => false,
    }
}

/// The columns of the source as the table's mode loads them. `key` is the source's, `before` the state of the target
/// that is there.
pub fn shaped(
    mut columns: LakeColumns,
    table: &Table,
    kind: TableKind,
    key: Option<&Key>,
    before: Option<&LoadState>,
) -> Result<LakeColumns> {
    let mode = table.merge.mode;
    if mode.loads_versions() && kind == TableKind::Mirror {
        return Err(lake_error(format!(
            "lake table {} is a mirror and keeps no versions of a row, which `merge: {{ mode: {} }}` loads. Set `kind: \
             mirror`, or give the table another name with `lake:`",
            table.lake,
            mode.name()
        )));
    }
    let before = before.filter(|state| state.loaded().is_some());
    let before = before.and_then(|state| state.rule.as_ref());
    let was = |mode| before.is_some_and(|rule| rule.mode == mode);
    // A history finds no row by its key, so that columns of the key may be left out.
    let key = key.iter().flat_map(|key| &key.columns);
    let key: Vec<usize> = key.filter_map(|at| columns.position(*at)).collect();
    match mode {
        MergeMode::Append | MergeMode::Replace => {}
        MergeMode::Upsert => {
            if let Deletes::Soft(soft) = &table.merge.deletes {
                let filled = match before.map(|rule| &rule.deletes) {
                    Some(Deletes::Soft(soft)) => validity::soft_columns(soft),
                    Some(Deletes::Hard | Deletes::Ignore) | None => Vec::new(),
                };
                columns.own = own(validity::soft_columns(soft), &filled);
            }
        }
        MergeMode::History => {
            let kept = [Role::Op, Role::Seq, Role::CommittedAt];
            columns.with_history(&kept, &[], was(mode), &key);
        }
        MergeMode::Scd2 => {
            let versions = validity::columns(valid_from(&columns, table)?.ty());
            let filled = match was(mode) {
                true => versions.clone(),
                false => Vec::new(),
            };
            columns.own = own(versions, &filled);
            let staged = [Role::Op, Role::CommittedAt];
            columns.with_history(&[Role::Seq], &staged, was(mode), &key);
        }
    }
    match columns.name_taken() {
        None => Ok(columns),
        Some(name) => Err(taken(table, name)),
    }
}

/// Columns that only the target has. `filled` are those that the last load has filled.
fn own(columns: Vec<Column>, filled: &[Column]) -> Vec<OwnColumn> {
    let columns = columns.into_iter().map(|column| {
        let was = filled.iter().find(|filled| filled.id == column.id);
        let was = was.map(|was| was.name.clone());
        OwnColumn { column, was }
    });
    columns.collect()
}

fn taken(table: &Table, column: &str) -> crate::error::Error {
    let remedy = match table.merge.mode {
        MergeMode::Upsert => "Choose another name in `merge.deletes`",
        MergeMode::Scd2 => {
            "Load the column under another name, with `merge: { columns: { rename: ... } }`, or use `merge: { mode: \
             history }`"
        }
        MergeMode::Append | MergeMode::Replace | MergeMode::History => {
            "Load the column under another name, with `merge: { columns: { rename: ... } }`"
        }
    };
    lake_error(format!(
        "column {column}, as lake table {} is loaded, has the name of a column that `merge: {{ mode: {} }}` gives \
         target {}. {remedy}",
        table.lake,
        table.merge.mode.name(),
        table.target
    ))
}

/// What versions are valid from.
pub fn valid_from(columns: &LakeColumns, table: &Table) -> Result<ValidFrom> {
    let name = table.merge.valid_from.as_deref().unwrap_or(COMMITTED_AT);
    if name.eq_ignore_ascii_case(COMMITTED_AT) {
        return Ok(ValidFrom::Commit);
    }
    let at = columns.lake_position(name).filter(|at| *at < columns.live);
    let Some((at, column)) = at.and_then(|at| Some((at, columns.schema.columns.get(at)?))) else {
        let is_left_out = columns.left_out.iter().any(|left| left == name);
        let sources = columns.source_names.iter().zip(&columns.lake_names);
        let mut sources = sources.take(columns.live);
        let renamed = sources.find(|(source, _)| source.eq_ignore_ascii_case(name));
        let problem = match (is_left_out, renamed) {
            (true, _) => format!("column {name} of lake table {} is not loaded", table.lake),
            (false, None) => format!("lake table {} has no column {name}", table.lake),
            (false, Some((_, lake))) => {
                format!(
                    "column {name} of the source is called {lake} in lake table {}",
                    table.lake
                )
            }
        };
        return Err(lake_error(format!(
            "{problem}, and `merge.valid_from` names it. Name a column that is loaded, with the time of a change, or \
             `{COMMITTED_AT}`"
        )));
    };
    if !column.ty.has_date() {
        return Err(lake_error(format!(
            "column {name} of lake table {} is {}, and `merge.valid_from` takes a date and time. Name another column, \
             or `{COMMITTED_AT}`",
            table.lake, column.ty
        )));
    }
    Ok(ValidFrom::Column(at, column.ty.copied()))
}

/// What a load of `scd2` does with that; none in other modes.
pub fn validity_of(columns: &LakeColumns, table: &Table) -> Result<Option<ValidFrom>> {
    match table.merge.mode {
        MergeMode::Scd2 => valid_from(columns, table).map(Some),
        MergeMode::Upsert | MergeMode::Append | MergeMode::Replace | MergeMode::History => Ok(None),
    }
}

/// The field of the lake that versions are valid from; none where that is the time of their commit, and in other modes.
pub fn time_field(columns: &LakeColumns, table: &Table) -> Result<Option<TimeField>> {
    let Some(ValidFrom::Column(at, _)) = validity_of(columns, table)? else {
        return Ok(None);
    };
    let field = columns.fields.get(at).copied().flatten();
    let column = columns.lake_names.get(at).cloned();
    Ok(field
        .zip(column)
        .map(|(field, column)| TimeField { field, column }))
}

/// The rule by which a table is loaded.
pub fn rule(table: &Table, valid_from: Option<TimeField>) -> LoadRule {
    LoadRule {
        mode: table.merge.mode,
        deletes: table.merge.deletes.clone(),
        valid_from,
    }
}
