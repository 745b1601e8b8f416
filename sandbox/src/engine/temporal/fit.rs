//! Whether a table can be the history of another one: its definition, and its rows.

use super::{full_name, moment, period, shown, time_in};
use crate::engine::context::Cx;
use crate::engine::fault::{Outcome, error, unsupported};
use crate::engine::schema::{ObjectRef, Row, TableDef, same_name};
use crate::session::SqlError;

fn unfit_history(number: i32, why: String) -> SqlError {
    let why = format!("Setting SYSTEM_VERSIONING to ON failed because {why}.");
    error(number, 16, why)
}

/// Whether a table can be the history of another one.
pub fn check(cx: &Cx<'_>, def: &TableDef, at: ObjectRef) -> Outcome<()> {
    let history = cx.held.table(at)?.def.clone();
    let name = full_name(cx, at);
    let unfit = [
        (
            history.indexes.iter().any(|index| index.unique),
            13515,
            "custom unique keys",
        ),
        (!history.foreign_keys.is_empty(), 13516, "foreign keys"),
        (
            !history.checks.is_empty(),
            13517,
            "table or column constraints",
        ),
        (history.period.is_some(), 13518, "a SYSTEM_TIME period"),
        (
            history
                .columns
                .iter()
                .any(|column| column.computed.is_some()),
            13519,
            "computed column specification",
        ),
        (history.versioning.is_some(), 13566, "a history of its own"),
    ];
    if !history.triggers.is_empty() || history.identity().is_some() || history.history_of.is_some()
    {
        let what = "A history table with triggers, an IDENTITY or another table";
        return Err(unsupported(what).into());
    }
    if let Some((_, number, what)) = unfit.iter().find(|(is_unfit, ..)| *is_unfit) {
        return Err(unfit_history(
            *number,
            format!("history table '{name}' has {what} defined"),
        )
        .into());
    }
    check_columns(def, &history, &name)
}

/// Whether the columns of a history are those of its table.
fn check_columns(def: &TableDef, history: &TableDef, name: &str) -> Outcome<()> {
    let (own, other) = (def.columns.len(), history.columns.len());
    if own != other {
        let why = format!(
            "table '{}' has {own} columns and table '{name}' has {other} columns",
            def.name
        );
        return Err(unfit_history(13523, why).into());
    }
    for (at, (column, kept)) in def.columns.iter().zip(&history.columns).enumerate() {
        if !same_name(&column.name, &kept.name) {
            let why = format!(
                "column '{}' at ordinal {} in history table '{name}' has a different name than the column '{}'",
                kept.name,
                at + 1,
                column.name
            );
            return Err(unfit_history(13524, why).into());
        }
        if column.ty != kept.ty {
            let why = format!(
                "column '{}' has data type {} in history table '{name}' which is different from corresponding column \
                    type {}",
                kept.name,
                shown(&kept.ty),
                shown(&column.ty)
            );
            return Err(unfit_history(13525, why).into());
        }
        if column.generated.is_some() && kept.nullable {
            let why = format!(
                "system column '{}' in history table '{name}' corresponds to a period column in table '{}' and cannot \
                    be nullable",
                kept.name, def.name
            );
            return Err(unfit_history(13530, why).into());
        }
        if column.nullable != kept.nullable {
            let why = format!(
                "column '{}' does not have the same nullability attribute in tables '{}' and '{name}'",
                column.name, def.name
            );
            return Err(unfit_history(13531, why).into());
        }
    }
    Ok(())
}

/// DATA_CONSISTENCY_CHECK: rows of a history end after they begin, and those of one key do not overlap.
pub fn check_rows(cx: &Cx<'_>, def: &TableDef, at: ObjectRef) -> Outcome<()> {
    let name = full_name(cx, at);
    let (Some((start, end)), Some(key)) = (period(def), def.primary_key()) else {
        return Ok(());
    };
    let table = cx.held.table(at)?;
    let rows = table
        .rows
        .values()
        .filter_map(|chain| chain.newest.row.as_ref());
    let mut all: Vec<(Vec<u8>, &Row)> = rows
        .map(|row| {
            let mut bytes = Vec::new();
            crate::engine::storage::index_key(def, key, row, &mut bytes);
            (bytes, row)
        })
        .collect();
    let failed = |number, what: &str| {
        let why = format!(
            "Setting SYSTEM_VERSIONING to ON failed because history table '{name}' contains {what}."
        );
        error(number, 16, why)
    };
    let is_inverted = |row: &Row| moment(&row[end]) < moment(&row[start]);
    if all.iter().any(|(_, row)| is_inverted(row)) {
        return Err(failed(13541, "invalid records with end of period set before start").into());
    }
    let now = moment(&time_in(&def.columns[end], cx.now));
    if all.iter().any(|(_, row)| moment(&row[end]) > now) {
        let what = "invalid records with end of period set to a value in the future";
        return Err(failed(13543, what).into());
    }
    all.sort_by(|(a, left), (b, right)| {
        let moments = |row: &Row| (moment(&row[start]), moment(&row[end]));
        a.cmp(b).then(moments(left).cmp(&moments(right)))
    });
    let overlaps = all.windows(2).any(|pair| {
        let ((a, left), (b, right)) = (&pair[0], &pair[1]);
        a == b && moment(&left[end]) > moment(&right[start])
    });
    match overlaps {
        true => Err(failed(13573, "overlapping records").into()),
        false => Ok(()),
    }
}
