//! The columns of a lake table as a load brings them to its target.

use super::modes::{is_keyed, shaped};
use crate::change::Strategy;
use crate::config::Table;
use crate::error::Result;
use crate::lake::LakeTable;
use crate::schema::Column;
use crate::schema::drift::Recorded;
use crate::sync::follow::{self, Following};
use crate::sync::protect::known;
use crate::sync::stage::lake_error;
use crate::target::columns::LakeColumns;
use crate::target::state::LoadState;
use std::collections::HashMap;

/// The columns to load of a lake table with the fields `columns` (position and field id). `before` is the state of the
/// target that was loaded last; none lets no column follow.
pub fn lake_columns(
    table: &Table,
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
    let key = schema.key.clone();
    if !is_keyed(lake.kind(), recorded, table.merge.mode) {
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
    let all = LakeColumns::all(schema, recorded.live(), was);
    shaped(all, table, lake.kind(), key.as_ref(), known(lake, before))
}

/// The columns that a load would bring after the next extract: those of a lake table that is yet to be created, has
/// yet to follow its source, or stays as it is.
pub fn columns_after(
    table: &Table,
    found: &Recorded,
    lake: Option<&LakeTable>,
    following: Option<&Following>,
    before: Option<&LoadState>,
) -> Result<LakeColumns> {
    match (lake, following) {
        (Some(lake), Some(following)) => {
            let fields = lake.columns_after(&following.evolution)?;
            lake_columns(table, lake, &following.recorded, &fields, before)
        }
        (Some(lake), None) => {
            let recorded = follow::recorded(lake, None)?;
            lake_columns(table, lake, &recorded, &lake.columns(), before)
        }
        (None, _) => {
            let mut schema = found.schema.clone();
            if !is_keyed(table.kind, found, table.merge.mode) {
                schema.key = None;
            }
            let all = LakeColumns::all(schema, found.live(), None);
            shaped(all, table, table.kind, found.schema.key.as_ref(), None)
        }
    }
}

/// Position of the column that tells which of two rows is newer. A timestamp does not: it may be older than the one
/// that the row had before.
pub fn newest(lake: &LakeTable, columns: &[Column]) -> Result<Option<usize>> {
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
