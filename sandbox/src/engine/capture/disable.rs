//! `sys.sp_cdc_disable_table` and `sys.sp_cdc_disable_db`, and what a dropped source takes with it.

use super::enable::{keep, run, source};
use super::{Instance, tables};
use crate::engine::context::Cx;
use crate::engine::fault::{Outcome, error};
use crate::engine::locks::{Mode, Owner, Resource};
use crate::engine::permissions;
use crate::engine::schema::{ObjectRef, same_name};
use crate::engine::state::Undo;
use crate::value::Value;

pub(super) fn table(cx: &mut Cx<'_>, schema: &str, name: &str, instance: &str) -> Outcome<()> {
    let slot = cx.ses.database;
    let at = source(cx, schema, name)?;
    let capture = &cx.held.database(slot).capture;
    if !capture.tracks(at.id) {
        let why = format!(
            "Change data capture has not been enabled for source table '{schema}.{name}'. Specify the name of a table \
                enabled for Change Data Capture. To report on the tables enabled for Change Data Capture, query the \
                is_tracked_by_cdc column in the sys.tables catalog view."
        );
        return Err(error(22985, 16, why).into());
    }
    let all = same_name(instance.trim_end(), "all");
    let is_meant = |known: &&Instance| {
        known.source == at.id && (all || same_name(&known.name, instance.trim_end()))
    };
    let gone: Vec<Instance> = capture.instances.iter().filter(is_meant).cloned().collect();
    if gone.is_empty() {
        let why = format!(
            "Change data capture instance '{instance}' has not been enabled for the source table '{schema}.{name}'. \
                Use sys.sp_cdc_help_change_data_capture to verify the capture instance name."
        );
        return Err(error(22960, 16, why).into());
    }
    gone.iter().try_for_each(|gone| forget(cx, slot, gone))
}

/// Drops the instances of a table that is dropped.
pub fn of_source(cx: &mut Cx<'_>, at: ObjectRef) -> Outcome<()> {
    let instances = cx.held.database(at.database).capture.instances.iter();
    let own = instances.filter(|instance| instance.source == at.id);
    let own: Vec<Instance> = own.cloned().collect();
    own.iter()
        .try_for_each(|gone| forget(cx, at.database, gone))
}

/// Drops an instance with its change table and its rows in the tables of schema `cdc`.
fn forget(cx: &mut Cx<'_>, slot: usize, instance: &Instance) -> Outcome<()> {
    keep(cx, slot)?;
    let source = ObjectRef {
        database: slot,
        id: instance.source,
    };
    let source = Resource::Table(source);
    cx.acquire(source, Mode::SchemaModify, Owner::Transaction)?;
    let mut text = String::from("DROP TABLE ");
    tables::quote(&mut text, &cx.held.database(slot).name);
    text.push_str(".cdc.");
    tables::quote(&mut text, &format!("{}_CT", instance.name));
    run(cx, &text)?;
    let capture = &mut cx.held.databases[slot].capture;
    capture.instances.retain(|known| known.id != instance.id);
    let metadata = capture.enabled.as_ref().map(super::Enabled::metadata);
    let [tables, captured, keys, _, history] = metadata.unwrap_or_default();
    for (id, column) in [(tables, 0), (captured, 0), (keys, 0), (history, 1)] {
        let at = ObjectRef { database: slot, id };
        delete_where(cx, at, |row| row[column] == Value::Int(instance.id))?;
    }
    Ok(())
}

/// Deletes rows of a table of schema `cdc`.
pub(super) fn delete_where(
    cx: &mut Cx<'_>,
    at: ObjectRef,
    is_gone: impl Fn(&[Value]) -> bool,
) -> Outcome<()> {
    let table = cx.held.table(at)?;
    let gone = table.rows.iter().filter(|(_, chain)| {
        let row = chain.newest.row.as_ref();
        row.is_some_and(|row| is_gone(row))
    });
    let gone: Vec<u64> = gone.map(|(row_id, _)| *row_id).collect();
    cx.transaction();
    if let Some(transaction) = cx.ses.transaction.as_mut() {
        for row_id in gone {
            cx.held.write_row(at, row_id, None, transaction)?;
        }
    }
    Ok(())
}

pub(super) fn database(cx: &mut Cx<'_>) -> Outcome<()> {
    if !permissions::is_sysadmin(&cx.held, &cx.ses.login) {
        let why = "Caller is not authorized to initiate the requested action. Sysadmin privileges are required.";
        return Err(error(22902, 16, why).into());
    }
    let slot = cx.ses.database;
    let capture = &cx.held.database(slot).capture;
    if capture.enabled.is_none() {
        return Ok(());
    }
    let instances = capture.instances.clone();
    for instance in &instances {
        forget(cx, slot, instance)?;
    }
    keep(cx, slot)?;
    for name in [
        "change_tables",
        "captured_columns",
        "index_columns",
        "lsn_time_mapping",
        "ddl_history",
    ] {
        run(cx, &format!("DROP TABLE cdc.{name}"))?;
    }
    run(cx, "DROP SCHEMA cdc")?;
    let old = Box::new(cx.held.database(slot).security.clone());
    cx.transaction().undo.push(Undo::Security {
        database: slot,
        old,
    });
    let database = &mut cx.held.databases[slot];
    let principals = &mut database.security.principals;
    principals.retain(|known| known.role || !same_name(&known.name, "cdc"));
    database.capture.enabled = None;
    Ok(())
}
