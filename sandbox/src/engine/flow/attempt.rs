//! One statement to its end: atomic, again after each wait.

use super::end_autocommit;
use crate::engine::capture;
use crate::engine::context::Cx;
use crate::engine::fault::{Outcome, Stop, error};
use crate::engine::locks::{Blocked, Owner};
use crate::engine::schema::ObjectRef;
use crate::engine::state::Undo;
use crate::session::Event;
use std::time::{Duration, Instant};

/// Runs one statement to its end: again after each wait, undone when it fails, committed when it stands alone.
pub fn attempt<T>(cx: &mut Cx<'_>, work: &mut dyn FnMut(&mut Cx<'_>) -> Outcome<T>) -> Outcome<T> {
    if cx.atomic > 0 {
        return attempt_inside(cx, work);
    }
    loop {
        cx.held.lock();
        cx.held.capture_due(capture::delay(&cx.shared.options));
        start_statement(cx);
        let mark = cx
            .ses
            .transaction
            .as_ref()
            .map_or(0, |transaction| transaction.undo.len());
        let existed = cx.ses.transaction.is_some();
        let id = cx.ses.transaction_id();
        let variables = cx.ses.frame().variables.clone();
        let time = cx.read_time;
        cx.held.add_reader(time);
        let result = work(cx);
        cx.held.lock();
        cx.held.remove_reader(time);
        let session = cx.ses.id;
        cx.held.locks.release(session, Owner::Statement);
        match result {
            Ok(value) => {
                cx.held.locks.stop_waiting(session);
                settle_table_variables(cx, mark);
                end_autocommit(cx);
                cx.shared.ring();
                cx.flush()?;
                return Ok(value);
            }
            Err(stop) => {
                if let Some(mut transaction) = cx.ses.transaction.take() {
                    // A trigger may have begun another one.
                    let mark = if transaction.id == id { mark } else { 0 };
                    cx.held.undo_to(&mut transaction, mark, true);
                    if existed {
                        cx.ses.transaction = Some(transaction);
                    } else {
                        cx.held.rollback(transaction, session);
                    }
                }
                let mut raised = std::mem::take(&mut cx.buffered);
                raised.retain(|event| {
                    let (begun, ended) = (
                        matches!(event, Event::TranBegin(_)),
                        matches!(event, Event::TranEnd { .. }),
                    );
                    begun || ended || matches!(event, Event::Error(_))
                });
                cx.shared.ring();
                let Stop::Wait(blocked) = stop else {
                    cx.held.locks.stop_waiting(session);
                    cx.held.collect_garbage();
                    // What a trigger raised before is told, too.
                    cx.buffered = raised;
                    cx.flush()?;
                    return Err(stop);
                };
                cx.ses.frame_mut().variables = variables;
                wait(cx, blocked)?;
            }
        }
    }
}

/// A statement of a trigger: what it did is undone when it fails, since a TRY may go on; waits unwind to the
/// outermost statement.
pub(super) fn attempt_inside<T>(
    cx: &mut Cx<'_>,
    work: &mut dyn FnMut(&mut Cx<'_>) -> Outcome<T>,
) -> Outcome<T> {
    let mark = cx.transaction().undo.len();
    // Results of subqueries are known by the place of their plan, which the plan of the next statement may take.
    let cache = std::mem::take(&mut cx.cache);
    let result = work(cx);
    cx.cache = cache;
    if result.is_err()
        && let Some(mut transaction) = cx.ses.transaction.take()
    {
        cx.held.undo_to(&mut transaction, mark, true);
        cx.ses.transaction = Some(transaction);
    }
    result
}

pub(super) fn start_statement(cx: &mut Cx<'_>) {
    cx.now = cx.shared.options.clock.now();
    cx.read_time = cx.held.clock;
    cx.cache.clear();
    cx.locked.clear();
    cx.outer.clear();
    cx.work.clear();
    cx.buffered.clear();
    let (id, database, isolation) = (cx.ses.id, cx.ses.database, cx.ses.settings.isolation as u8);
    if let Some(info) = cx.held.sessions.get_mut(&id) {
        info.database = database;
        info.isolation = isolation;
    }
}

/// Table variables stand outside the transaction: what a finished statement did to them is final.
pub(super) fn settle_table_variables(cx: &mut Cx<'_>, mark: usize) {
    let Some(mut transaction) = cx.ses.transaction.take() else {
        return;
    };
    let tables: Vec<ObjectRef> = cx
        .ses
        .frames
        .iter()
        .flat_map(|frame| frame.tables.values().copied())
        .collect();
    if !tables.is_empty() && transaction.undo.len() > mark {
        let rest = transaction.undo.split_off(mark);
        let id = transaction.id;
        for undo in rest {
            match undo {
                Undo::Row { table, row_id } if tables.contains(&table) => {
                    let time = cx.held.clock;
                    if let Ok(found) = cx.held.table_mut(table) {
                        found.commit(row_id, id, time);
                        found.collect(row_id, time);
                    }
                }
                other => transaction.undo.push(other),
            }
        }
    }
    cx.ses.transaction = Some(transaction);
}

/// Waits until the blocked request can be tried again; error 1205 for the victim of a deadlock, 1222 after
/// LOCK_TIMEOUT.
pub fn wait(cx: &mut Cx<'_>, blocked: Blocked) -> Outcome<()> {
    let limit = match cx.ses.settings.lock_timeout {
        -1 => None,
        ms => Some(Duration::from_millis(ms.max(0) as u64)),
    };
    wait_at_most(cx, blocked, limit)
}

/// As [`wait`], with a time limit of its own.
pub fn wait_at_most(cx: &mut Cx<'_>, blocked: Blocked, limit: Option<Duration>) -> Outcome<()> {
    let session = cx.ses.id;
    let started = Instant::now();
    let mut blocked = blocked;
    let result = loop {
        cx.held.locks.wait(session, blocked.clone());
        if let Some(cycle) = cx.held.locks.cycle(session) {
            choose_victim(cx, &cycle);
        }
        if cx.held.locks.victims.remove(&session) {
            break Err(deadlock(session));
        }
        if cx.check_cancel().is_err() {
            break Err(Stop::Cancelled);
        }
        let left = match limit {
            Some(limit) => match limit.checked_sub(started.elapsed()) {
                Some(left) if !left.is_zero() => left,
                Some(_) | None => {
                    break Err(error(1222, 16, "Lock request time out period exceeded.").into());
                }
            },
            None => Duration::from_millis(200),
        };
        cx.held.sleep(left.min(Duration::from_millis(200)));
        match cx.held.still_blocked(&blocked, session) {
            Some(still) => blocked = still,
            None => break Ok(()),
        }
    };
    cx.held.locks.victims.remove(&session);
    if result.is_err() {
        cx.held.locks.stop_waiting(session);
        cx.shared.ring();
        cx.held.unlock();
    }
    result
}

/// The youngest transaction of the cycle gives way.
pub(super) fn choose_victim(cx: &mut Cx<'_>, cycle: &[u32]) {
    let age = |session: &u32| {
        cx.held
            .open
            .iter()
            .filter(|(_, open)| open.session == *session)
            .map(|(id, _)| *id)
            .max()
            .unwrap_or(u64::MAX)
    };
    if let Some(victim) = cycle.iter().max_by_key(|session| age(session)).copied() {
        cx.held.locks.victims.insert(victim);
        cx.shared.ring();
    }
}

pub(super) fn deadlock(session: u32) -> Stop {
    error(
        1205,
        13,
        format!("Transaction (Process ID {session}) was deadlocked on lock resources with another process and has been \
            chosen as the deadlock victim. Rerun the transaction."),
    )
    .into()
}
