//! The scalar functions `sys.fn_cdc_*`.

use super::Instance;
use super::enable::{lsn_of, lsn_value};
use super::scan::binary;
use crate::engine::context::Cx;
use crate::engine::fault::Outcome;
use crate::engine::meta::{MetaFunction, NAME, function, text, whole};
use crate::engine::permissions;
use crate::engine::plan::{Reading, resolve_reading};
use crate::engine::schema::{ObjectRef, Row};
use crate::engine::storage::View;
use crate::value::{SqlType, Value};
use std::cmp::Ordering;

const LSN: SqlType = SqlType::Binary(10);
const MASK: SqlType = SqlType::VarBinary(Some(128));
const RELATION: SqlType = SqlType::NVarChar(Some(30));

pub fn register(out: &mut Vec<MetaFunction>) {
    out.extend([
        function("FN_CDC_GET_MIN_LSN", 1..=1, &[NAME], LSN, min_lsn),
        function("FN_CDC_GET_MAX_LSN", 0..=0, &[], LSN, |cx, _| {
            Ok(lsn_value(max_lsn(cx)?))
        }),
        function("FN_CDC_INCREMENT_LSN", 1..=1, &[LSN], LSN, |_, args| {
            Ok(step(&args[0], 1))
        }),
        function("FN_CDC_DECREMENT_LSN", 1..=1, &[LSN], LSN, |_, args| {
            Ok(step(&args[0], -1))
        }),
        function(
            "FN_CDC_MAP_TIME_TO_LSN",
            2..=2,
            &[RELATION, SqlType::DateTime],
            LSN,
            map_time_to_lsn,
        ),
        function(
            "FN_CDC_MAP_LSN_TO_TIME",
            1..=1,
            &[LSN],
            SqlType::DateTime,
            map_lsn_to_time,
        ),
        function(
            "FN_CDC_HAS_COLUMN_CHANGED",
            3..=3,
            &[NAME, NAME, MASK],
            SqlType::Bit,
            has_column_changed,
        ),
        function(
            "FN_CDC_IS_BIT_SET",
            2..=2,
            &[SqlType::Int, MASK],
            SqlType::Bit,
            |_, args| Ok(bit_set(whole(args.first()), &args[1])),
        ),
        function(
            "FN_CDC_GET_COLUMN_ORDINAL",
            2..=2,
            &[NAME, NAME],
            SqlType::Int,
            column_ordinal,
        ),
    ]);
}

/// Whether the session may read what an instance captured: the owner may; others need SELECT on the source, and the
/// gating role.
pub(super) fn may_read(cx: &Cx<'_>, slot: usize, instance: &Instance) -> bool {
    let login = &cx.ses.login;
    if permissions::is_member(&cx.held, login, slot, "db_owner") {
        return true;
    }
    let source = ObjectRef {
        database: slot,
        id: instance.source,
    };
    let in_role = |role: &String| permissions::is_member(&cx.held, login, slot, role);
    permissions::holds(&cx.held, login, slot, Some(source), "SELECT")
        && instance.role.as_ref().is_none_or(in_role)
}

/// The rows of a table of schema `cdc` that the session sees: never those of an open transaction of another one.
pub(super) fn seen(cx: &mut Cx<'_>, at: ObjectRef) -> Outcome<Vec<Row>> {
    cx.held.lock();
    let view = match resolve_reading(at, Reading::default(), cx)?.view {
        View::Current { own, .. } => View::AsOf {
            time: cx.held.clock,
            own,
        },
        view @ (View::AsOf { .. } | View::Dirty) => view,
    };
    let table = cx.held.table(at)?;
    let rows = table.rows.values();
    let rows = rows.filter_map(|chain| chain.visible(view).ok().flatten().cloned());
    Ok(rows.collect())
}

/// The entries of `cdc.lsn_time_mapping`, in order.
fn mapping(cx: &mut Cx<'_>, slot: usize) -> Outcome<Vec<Row>> {
    cx.held.lock();
    let Some(enabled) = &cx.held.database(slot).capture.enabled else {
        return Ok(Vec::new());
    };
    let id = enabled.lsn_time_mapping;
    let mut rows = seen(cx, ObjectRef { database: slot, id })?;
    rows.sort_by_key(|row| lsn_of(&row[0]));
    Ok(rows)
}

pub(super) fn max_lsn(cx: &mut Cx<'_>) -> Outcome<Option<[u8; 10]>> {
    let slot = cx.ses.database;
    max_lsn_in(cx, slot)
}

pub(super) fn max_lsn_in(cx: &mut Cx<'_>, slot: usize) -> Outcome<Option<[u8; 10]>> {
    let rows = mapping(cx, slot)?;
    Ok(rows.last().and_then(|row| lsn_of(&row[0])))
}

/// The low endpoint of an instance; none before the job has met it.
pub(super) fn start_of(cx: &mut Cx<'_>, slot: usize, instance: i32) -> Outcome<Option<[u8; 10]>> {
    cx.held.lock();
    let Some(enabled) = &cx.held.database(slot).capture.enabled else {
        return Ok(None);
    };
    let id = enabled.change_tables;
    let rows = seen(cx, ObjectRef { database: slot, id })?;
    let row = rows.iter().find(|row| row[0] == Value::Int(instance));
    Ok(row.and_then(|row| lsn_of(&row[super::tables::START_LSN])))
}

fn instance_named(cx: &mut Cx<'_>, name: Option<&Value>) -> Option<Instance> {
    cx.held.lock();
    let slot = cx.ses.database;
    let capture = &cx.held.database(slot).capture;
    let instance = capture.instance(&text(name)?)?.clone();
    may_read(cx, slot, &instance).then_some(instance)
}

fn min_lsn(cx: &mut Cx<'_>, args: &[Value]) -> Outcome<Value> {
    let Some(instance) = instance_named(cx, args.first()) else {
        return Ok(binary(&[0; 10]));
    };
    let slot = cx.ses.database;
    Ok(lsn_value(start_of(cx, slot, instance.id)?))
}

/// The next or the previous number of ten bytes.
fn step(value: &Value, by: i8) -> Value {
    let Some(lsn) = lsn_of(value) else {
        return Value::Null;
    };
    let mut wide = [0; 16];
    wide[6..].copy_from_slice(&lsn);
    let number = u128::from_be_bytes(wide);
    let stepped = match by {
        1 => number.wrapping_add(1),
        _ => number.wrapping_sub(1),
    };
    binary(&stepped.to_be_bytes()[6..])
}

fn map_time_to_lsn(cx: &mut Cx<'_>, args: &[Value]) -> Outcome<Value> {
    let (Some(relation), Value::DateTime { days, ticks }) = (text(args.first()), &args[1]) else {
        return Ok(Value::Null);
    };
    let wanted = (*days, *ticks);
    let (largest, orders): (bool, &[Ordering]) = match relation.trim().to_ascii_lowercase().as_str()
    {
        "largest less than" => (true, &[Ordering::Less]),
        "largest less than or equal" => (true, &[Ordering::Less, Ordering::Equal]),
        "smallest greater than" => (false, &[Ordering::Greater]),
        "smallest greater than or equal" => (false, &[Ordering::Greater, Ordering::Equal]),
        _ => return Ok(Value::Null),
    };
    let slot = cx.ses.database;
    let rows = mapping(cx, slot)?;
    let entries = rows.iter().filter_map(|row| match row[2] {
        Value::DateTime { days, ticks } => Some(((days, ticks), lsn_of(&row[0])?)),
        _ => None,
    });
    let fitting = entries.filter(|(time, _)| orders.contains(&time.cmp(&wanted)));
    let found = match largest {
        true => fitting.max(),
        false => fitting.min(),
    };
    Ok(lsn_value(found.map(|(_, lsn)| lsn)))
}

fn map_lsn_to_time(cx: &mut Cx<'_>, args: &[Value]) -> Outcome<Value> {
    let wanted = lsn_of(&args[0]);
    let slot = cx.ses.database;
    let rows = mapping(cx, slot)?;
    let found = rows
        .iter()
        .find(|row| wanted.is_some() && lsn_of(&row[0]) == wanted);
    Ok(found.map_or(Value::Null, |row| row[2].clone()))
}

/// The bit of a column that is captured as so many-th.
fn bit_set(position: Option<i64>, mask: &Value) -> Value {
    let (Some(position), Value::Bytes(mask)) = (position, mask) else {
        return Value::Null;
    };
    let at = usize::try_from(position - 1).ok();
    let byte = at.and_then(|at| mask.len().checked_sub(1 + at / 8));
    match (at, byte) {
        (Some(at), Some(byte)) => Value::Bit(mask[byte] & (1 << (at % 8)) != 0),
        (None | Some(_), None) | (None, Some(_)) => Value::Bit(false),
    }
}

fn ordinal(cx: &mut Cx<'_>, args: &[Value]) -> Option<i32> {
    let instance = instance_named(cx, args.first())?;
    let name = text(args.get(1))?;
    let captured = |known: &super::Captured| super::same_name(&known.name, name.trim_end());
    let at = instance.columns.iter().position(captured)?;
    Some(at as i32 + 1)
}

fn column_ordinal(cx: &mut Cx<'_>, args: &[Value]) -> Outcome<Value> {
    Ok(ordinal(cx, args).map_or(Value::Null, Value::Int))
}

fn has_column_changed(cx: &mut Cx<'_>, args: &[Value]) -> Outcome<Value> {
    let ordinal = ordinal(cx, args);
    Ok(bit_set(ordinal.map(i64::from), &args[2]))
}
