//! AFTER triggers.

use crate::engine::context::{Cx, Frame, TriggerRows};
use crate::engine::fault::{Outcome, Stop, error};
use crate::engine::flow;
use crate::engine::schema::{ObjectRef, Row, Trigger};
use crate::sql::ast::TriggerEvent;
use std::sync::Arc;

/// Runs the table's triggers for an event, even when no row changed. They belong to the statement: their failure
/// undoes it.
pub fn fire(
    cx: &mut Cx<'_>,
    table: ObjectRef,
    event: TriggerEvent,
    inserted: Vec<Row>,
    deleted: Vec<Row>,
    updated: Vec<usize>,
) -> Outcome<()> {
    let def = cx.held.table(table)?.def.clone();
    let matching: Vec<_> = def
        .triggers
        .iter()
        .filter(|trigger| trigger.enabled && trigger.events.contains(&event))
        .collect();
    if matching.is_empty() {
        return Ok(());
    }
    if cx.ses.nest_level >= 32 {
        return Err(error(
            217,
            16,
            "Maximum stored procedure, function, trigger, or view nesting level exceeded (limit \
            32).",
        )
        .into());
    }
    let rows = Arc::new(TriggerRows {
        table,
        inserted,
        deleted,
        updated,
    });
    for trigger in matching {
        // A trigger does not set itself off again (RECURSIVE_TRIGGERS is off).
        if !is_running(cx, table, trigger) {
            run(cx, trigger, &rows)?;
        }
    }
    Ok(())
}

fn is_running(cx: &Cx<'_>, table: ObjectRef, trigger: &Trigger) -> bool {
    cx.ses.frames.iter().any(|frame| {
        frame
            .trigger
            .as_ref()
            .is_some_and(|rows| rows.table == table)
            && frame.names.contains_key(&trigger_mark(trigger.id))
    })
}

/// Runs one trigger in a frame of its own, and restores what it may change of the session.
fn run(cx: &mut Cx<'_>, trigger: &Trigger, rows: &Arc<TriggerRows>) -> Outcome<()> {
    let mut frame = Frame {
        trigger: Some(rows.clone()),
        ..Frame::default()
    };
    frame.names.insert(trigger_mark(trigger.id), usize::MAX);
    let settings = cx.ses.settings.clone();
    // The first statement of a trigger sees how many rows the trigger's statement changed.
    let changed = rows.inserted.len().max(rows.deleted.len()) as i64;
    let row_count = std::mem::replace(&mut cx.ses.row_count, changed);
    cx.ses.frames.push(frame);
    cx.ses.nest_level += 1;
    cx.atomic += 1;
    let database = std::mem::replace(&mut cx.ses.database, rows.table.database);
    let outer = std::mem::take(&mut cx.outer);
    let cache = std::mem::take(&mut cx.cache);
    let result = flow::run_trigger(cx, &trigger.body);
    let is_doomed = cx.ses.transaction.as_ref().is_some_and(|open| open.doomed);
    let result = match cx.ses.frame().ends {
        true => result.and(Err(flow::ended_in_trigger())),
        false if is_doomed => result.and(Err(raised_in_trigger())),
        false => result,
    };
    cx.outer = outer;
    cx.cache = cache;
    cx.ses.database = database;
    cx.atomic -= 1;
    cx.ses.nest_level -= 1;
    flow::drop_frame(cx);
    cx.ses.settings.leave_module(settings);
    cx.ses.row_count = row_count;
    result
}

/// What a trigger leaves that has caught an error: XACT_ABORT is ON in triggers, and its transaction can only roll
/// back. (Documentation: "Database engine events and errors", 3616.)
fn raised_in_trigger() -> Stop {
    Stop::Batch {
        error: error(
            3616,
            16,
            "An error was raised during trigger execution. The batch has been aborted and the user transaction, if \
                any, has been rolled back.",
        ),
        rollback: true,
    }
}

/// A name that no variable can have.
fn trigger_mark(id: i32) -> String {
    format!("trigger {id}")
}
