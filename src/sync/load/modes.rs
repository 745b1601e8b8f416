//! What a mode of loading makes of the lake's columns: columns of a history that the target gets, the key of its rows,
//! and columns that only the target has.

use crate::change::{Deletes, LoadRule, MergeMode};
use crate::config::Table;
use crate::error::Result;
use crate::schema::drift::Recorded;
use crate::schema::mapping::COMMITTED_AT;
use crate::schema::{Key, Role, TableKind};
use crate::sync::stage::lake_error;
use crate::target::columns::LakeColumns;
use crate::target::state::LoadState;
use crate::target::validity::{self, ValidFrom};

/// Whether rows of the lake table have a key in a target. Versions of a row share its key.
pub fn is_keyed(kind: TableKind, recorded: &Recorded, mode: MergeMode) -> bool {
    let is_kept = match kind {
        TableKind::Mirror => true,
        TableKind::History => mode == MergeMode::Scd2,
    };
    is_kept && recorded.schema.key.is_some()
}

/// The columns of the source as the table's mode loads them. `key` is the source's, `before` the state of a target that
/// was loaded from this lake table.
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
    let was = |mode| {
        let rule = before.and_then(|state| state.rule.as_ref());
        rule.is_some_and(|rule| rule.mode == mode)
    };
    // A history finds no row by its key, so that columns of the key may be left out.
    let key = key.iter().flat_map(|key| &key.columns);
    let key: Vec<usize> = key.filter_map(|at| columns.position(*at)).collect();
    match mode {
        MergeMode::Append | MergeMode::Replace => {}
        MergeMode::Upsert => {
            if let Deletes::Soft(soft) = &table.merge.deletes {
                columns.own = validity::soft_columns(soft);
            }
        }
        MergeMode::History => {
            let kept = [Role::Op, Role::Seq, Role::CommittedAt];
            columns.with_history(&kept, &[], was(mode), &key);
        }
        MergeMode::Scd2 => {
            columns.own = validity::columns(valid_from(&columns, table)?.ty());
            let staged = [Role::Op, Role::CommittedAt];
            columns.with_history(&[Role::Seq], &staged, was(mode), &key);
        }
    }
    match columns.name_taken() {
        None => Ok(columns),
        Some(name) => Err(taken(table, name)),
    }
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
        let problem = match is_left_out {
            true => format!("column {name} of lake table {} is not loaded", table.lake),
            false => format!("lake table {} has no column {name}", table.lake),
        };
        return Err(lake_error(format!(
            "{problem}, and `merge.valid_from` names it. Name a column that is loaded, with the time of a change, or \
             `{COMMITTED_AT}`"
        )));
    };
    if !validity::is_time(column.ty) {
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

/// The rule by which a table is loaded.
pub fn rule(table: &Table) -> LoadRule {
    let merge = &table.merge;
    LoadRule {
        mode: merge.mode,
        deletes: merge.deletes.rule(),
        valid_from: merge.valid_from.clone(),
    }
}
