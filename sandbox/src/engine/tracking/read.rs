//! CHANGETABLE and the functions of change tracking, run.

use super::History;
use super::history::key_of;
use crate::engine::context::Cx;
use crate::engine::fault::{Outcome, Stop, error};
use crate::engine::locks::{Blocked, Mode, Owner, Resource};
use crate::engine::permissions;
use crate::engine::plan::{Reading, Tuple, lock_table, resolve_reading, snapshot_of};
use crate::engine::schema::{Index, ObjectRef, Row, TableDef};
use crate::engine::storage::{Range, Table, View};
use crate::engine::{ordering, types};
use crate::session::SqlError;
use crate::value::Value;
use std::sync::Arc;

pub fn not_tracked(table: &str) -> SqlError {
    error(
        22105,
        16,
        format!("Change tracking is not enabled on table '{table}'."),
    )
}

/// The table that a plan names by its id, as it is now.
fn table_of(cx: &Cx<'_>, args: &[Value], slot: usize) -> Outcome<ObjectRef> {
    let id = args.first().and_then(types::integer).unwrap_or(0);
    let at = ObjectRef {
        database: slot,
        id: id as i32,
    };
    cx.held.table(at).map(|_| at)
}

fn history(table: &Table) -> Outcome<Arc<History>> {
    let history = table.tracking.clone();
    history.ok_or_else(|| not_tracked(&table.def.name).into())
}

/// The commit time that a view reads as of; none for that of now.
fn moment(view: View) -> Option<u64> {
    match view {
        View::AsOf { time, own: _ } => Some(time),
        View::Current { .. } | View::Dirty => None,
    }
}

fn version(version: u64) -> Value {
    Value::BigInt(version as i64)
}

fn bytes(bytes: Option<Arc<[u8]>>) -> Value {
    bytes.map_or(Value::Null, Value::Bytes)
}

/// `SYS_CHANGE_COLUMNS`: four zero bytes, then the ids of the columns, each in four bytes, the low one first.
fn mask(columns: &[i32]) -> Value {
    let ids = columns.iter().flat_map(|id| id.to_le_bytes());
    Value::Bytes([0u8; 4].into_iter().chain(ids).collect())
}

/// CHANGETABLE(CHANGES ..) of a table's id and a version. It reads a history and no row, and waits only for DDL on the
/// table.
pub fn changes(cx: &mut Cx<'_>, args: &[Value], slot: usize) -> Outcome<Vec<Tuple>> {
    cx.held.lock();
    let at = table_of(cx, args, slot)?;
    cx.acquire(Resource::Table(at), Mode::SchemaStable, Owner::Statement)?;
    let time = moment(resolve_reading(at, Reading::default(), cx)?.view);
    let history = history(cx.held.table(at)?)?;
    let after = args.get(1).and_then(types::integer).unwrap_or(0);
    let after = u64::try_from(after).unwrap_or(0);
    let rows = history.changes(after, time).into_iter().map(|net| {
        let mut row = vec![
            version(net.version),
            net.creation.map_or(Value::Null, version),
            types::string(net.operation.letter()),
            net.columns.as_deref().map_or(Value::Null, mask),
            bytes(net.context),
        ];
        row.extend_from_slice(&net.key);
        row
    });
    Ok(rows.collect())
}

/// CHANGETABLE(VERSION ..) of a table's id and the values of its primary key: one row if the table has the row.
pub fn versions(cx: &mut Cx<'_>, args: &[Value], slot: usize) -> Outcome<Vec<Tuple>> {
    cx.held.lock();
    let at = table_of(cx, args, slot)?;
    lock_table(at, Reading::default(), cx)?;
    let view = resolve_reading(at, Reading::default(), cx)?.view;
    let table = cx.held.table(at)?;
    let history = history(table)?;
    let values = args.get(1..).unwrap_or_default();
    let Some(row) = row_of(cx, at, values, view)? else {
        return Ok(Vec::new());
    };
    let key: Vec<Value> = key_columns(table).map(|at| row[at].clone()).collect();
    let last = history.last(&key_of(table, &key), moment(view));
    let (changed, context) = match last {
        Some((changed, context)) => (version(changed), bytes(context)),
        None => (Value::Null, Value::Null),
    };
    let mut found = vec![changed, context];
    found.extend(key);
    Ok(vec![found])
}

fn key_columns(table: &Table) -> impl Iterator<Item = usize> {
    let primary = table.def.primary_key().into_iter();
    primary.flat_map(|index| index.columns.iter().map(|(at, _)| *at))
}

/// A key of an index from its values.
fn index_key(def: &TableDef, index: &Index, values: &[Value]) -> Vec<u8> {
    let mut key = Vec::with_capacity(24);
    for ((ordinal, descending), value) in index.columns.iter().zip(values) {
        let start = key.len();
        ordering::encode(value, def.columns[*ordinal].order(), &mut key);
        if *descending {
            ordering::invert(&mut key, start);
        }
    }
    key
}

/// The row of a primary key, for a reader who may have to wait for its writer.
fn row_of(cx: &Cx<'_>, at: ObjectRef, values: &[Value], view: View) -> Outcome<Option<Row>> {
    let table = cx.held.table(at)?;
    let primary = table.def.indexes.iter().position(|index| index.primary);
    let Some(primary) = primary.filter(|_| !values.contains(&Value::Null)) else {
        return Ok(None);
    };
    let mut range = Range::prefix(&index_key(&table.def, &table.def.indexes[primary], values));
    let mut found = Vec::new();
    match table.scan_index(primary, &mut range, false, 1, view, &mut found) {
        Ok(_) => Ok(found.pop().map(|(_, row)| row)),
        Err(contended) => {
            let blocked = cx
                .held
                .row_blockers(at, contended.row_id, Mode::Shared, cx.ses.id);
            match blocked {
                Some(blocked) => Err(Stop::Wait(blocked)),
                None => Ok(None),
            }
        }
    }
}

/// CHANGE_TRACKING_CURRENT_VERSION(): NULL where tracking is off.
pub fn current_version(cx: &mut Cx<'_>) -> Value {
    let slot = cx.ses.database;
    if cx.held.database(slot).tracking.settings.is_none() {
        return Value::Null;
    }
    let moment = snapshot_of(slot, cx);
    let log = &cx.held.database(slot).tracking;
    version(moment.map_or(log.version, |time| log.version_at(time)))
}

/// CHANGE_TRACKING_MIN_VALID_VERSION(id): as it is now, in a SNAPSHOT transaction too. NULL for a table that is not
/// tracked, and for whoever may not read its changes.
pub fn min_valid_version(cx: &mut Cx<'_>, id: i32) -> Outcome<Value> {
    let at = ObjectRef {
        database: cx.ses.database,
        id,
    };
    let Some(table) = cx.held.database(at.database).table(id) else {
        return Ok(Value::Null);
    };
    let resource = Resource::Table(at);
    let mode = Mode::SchemaStable;
    let blockers = cx.held.locks.conflicts(&resource, mode, cx.ses.id);
    if !blockers.is_empty() {
        return Err(Stop::Wait(Blocked {
            resource,
            mode,
            blockers,
        }));
    }
    let login = &cx.ses.login;
    let may = |permission| permissions::holds(&cx.held, login, at.database, Some(at), permission);
    let current = cx.held.database(at.database).tracking.version;
    let history = table
        .tracking
        .as_ref()
        .filter(|_| may("SELECT") && may("VIEW CHANGE TRACKING"));
    Ok(history.map_or(Value::Null, |history| {
        version(history.min_valid_version(current))
    }))
}

/// CHANGE_TRACKING_IS_COLUMN_IN_MASK(id, mask): without a mask every column is meant.
pub fn is_in_mask(column: &Value, columns: &Value) -> Outcome<Value> {
    let Value::Bytes(columns) = columns else {
        return Ok(Value::Bit(true));
    };
    if columns.len() < 8 {
        return Err(error(
            22101,
            16,
            "The value supplied for the change_columns argument of CHANGE_TRACKING_IS_COLUMN_IN_MASK function is not \
                valid. The value must be a bitmask returned by the CHANGETABLE(CHANGES ...) function.",
        )
        .into());
    }
    let wanted = types::integer(column).and_then(|id| i32::try_from(id).ok());
    let mut ids = columns.get(4..).unwrap_or_default().chunks_exact(4);
    let is_in = wanted.is_some_and(|wanted| ids.any(|id| id == wanted.to_le_bytes()));
    Ok(Value::Bit(is_in))
}
