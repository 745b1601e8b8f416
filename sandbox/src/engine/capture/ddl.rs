//! What a definition that is captured allows, and what becomes of a change of it.

use super::{Logged, disable, log};
use crate::engine::context::Cx;
use crate::engine::fault::{Outcome, error};
use crate::engine::schema::{ObjectRef, same_name};

/// Error 4711 for TRUNCATE of a captured table.
pub fn refuse_truncate(cx: &Cx<'_>, at: ObjectRef) -> Outcome<()> {
    if !cx.held.is_captured(at) {
        return Ok(());
    }
    let name = cx.held.table(at)?.def.name.clone();
    let why = format!(
        "Cannot truncate table '{name}' because it is published for replication or enabled for Change Data Capture."
    );
    Err(error(4711, 16, why).into())
}

/// Error 22983, or 22979 for a constraint: an index or key that identifies captured rows stays. (Documentation:
/// `cdc.change_tables`, `index_name`.)
pub fn refuse_part(cx: &Cx<'_>, at: ObjectRef, name: &str) -> Outcome<()> {
    let mut instances = cx.held.database(at.database).capture.instances.iter();
    let uses = instances.any(|instance| {
        let index = instance.index_name.as_deref();
        instance.source == at.id && index.is_some_and(|index| same_name(index, name))
    });
    if !uses {
        return Ok(());
    }
    let def = &cx.held.table(at)?.def;
    let table = &def.name;
    let mut indexes = def.indexes.iter();
    if indexes.any(|index| same_name(&index.name, name) && index.constraint_id.is_some()) {
        let why = format!(
            "The unique index '{name}' on table '{table}' is used by Change Data Capture. The constraint using this \
                index cannot be dropped or disabled."
        );
        return Err(error(22979, 16, why).into());
    }
    let why = format!(
        "The unique index '{name}' on source table '{table}' is used by Change Data Capture. To alter or drop the \
            index, you must first disable Change Data Capture on the table."
    );
    Err(error(22983, 16, why).into())
}

/// Logs a change of a captured table's columns.
pub fn source_altered(cx: &mut Cx<'_>, at: ObjectRef, text: &str) -> Outcome<()> {
    if !cx.held.is_captured(at) {
        return Ok(());
    }
    let def = cx.held.table(at)?.def.clone();
    let record = Logged::Altered {
        source: at.id,
        def,
        text: text.to_owned(),
    };
    log(cx.transaction(), at.database, record);
    Ok(())
}

/// A captured table is dropped, and its capture instances with it.
pub fn source_dropped(cx: &mut Cx<'_>, at: ObjectRef) -> Outcome<()> {
    match cx.held.is_captured(at) {
        true => disable::of_source(cx, at),
        false => Ok(()),
    }
}

/// Error 4928 for another name of a column of a captured table; an index that identifies rows keeps its name, too.
pub fn refuse_rename(cx: &Cx<'_>, at: ObjectRef, part: &str) -> Outcome<()> {
    refuse_part(cx, at, part)?;
    let is_column = cx.held.table(at)?.def.column(part).is_some();
    if !(is_column && cx.held.is_captured(at)) {
        return Ok(());
    }
    let why = format!("Cannot alter column '{part}' because it is 'REPLICATED'.");
    Err(error(4928, 16, why).into())
}
