//! `sp_getapplock` and `sp_releaseapplock`.

use super::Args;
use crate::engine::context::Cx;
use crate::engine::fault::{Outcome, Stop, error};
use crate::engine::flow::{self};
use crate::engine::locks::Owner;
use crate::engine::meta::mode_named;
use crate::session::SqlError;
use std::time::Duration;

/// The locks of `sp_getapplock`: 0 granted, 1 after waiting, -1 timeout, -2 cancelled, -3 deadlock victim, -999
/// wrong parameters.
pub(super) fn get_applock(cx: &mut Cx<'_>, args: &Args<'_>) -> Outcome<i32> {
    let (Some(resource), Some(mode)) = (args.text("Resource", 0), args.text("LockMode", 1)) else {
        return Ok(-999);
    };
    let owner = match args
        .text("LockOwner", 2)
        .as_deref()
        .map(str::to_ascii_lowercase)
        .as_deref()
    {
        None | Some("transaction") => Owner::Transaction,
        Some("session") => Owner::Session,
        Some(_) => return Ok(-999),
    };
    let Some(mode) = mode_named(&mode) else {
        return Ok(-999);
    };
    if owner == Owner::Transaction && cx.ses.tran_count() == 0 {
        report_applock(
            cx,
            "You attempted to acquire a transactional application lock without an active transaction.",
        )?;
        return Ok(-999);
    }
    let timeout = args
        .whole("LockTimeout", 3)
        .unwrap_or(i64::from(cx.ses.settings.lock_timeout));
    let principal = args
        .text("DbPrincipal", 4)
        .unwrap_or_else(|| "public".into());
    let limit = u64::try_from(timeout).ok().map(Duration::from_millis);
    cx.held.lock();
    let resource = crate::engine::meta::application(cx, &principal, &resource);
    let session = cx.ses.id;
    let started = std::time::Instant::now();
    let mut waited = false;
    let status = loop {
        match cx
            .held
            .locks
            .acquire(resource.clone(), mode, session, owner)
        {
            Ok(()) => {
                cx.held.locks.stop_waiting(session);
                break if waited { 1 } else { 0 };
            }
            Err(_) if timeout == 0 => break -1,
            Err(blocked) => {
                waited = true;
                let left = limit.map(|limit| limit.saturating_sub(started.elapsed()));
                match flow::wait_at_most(cx, blocked, left) {
                    Ok(()) => cx.held.lock(),
                    Err(Stop::Cancelled) => return Err(Stop::Cancelled),
                    Err(Stop::Batch { error, .. } | Stop::Statement(error))
                        if error.number == 1205 =>
                    {
                        break -3;
                    }
                    Err(Stop::Statement(_)) => break -1,
                    Err(other) => return Err(other),
                }
            }
        }
    };
    cx.held.unlock_unless(cx.atomic > 0);
    Ok(status)
}

pub(super) fn report_applock(cx: &mut Cx<'_>, message: &str) -> Outcome<()> {
    cx.info(SqlError {
        number: 1230,
        state: 1,
        class: 10,
        line: 0,
        message: message.into(),
    })
}

pub(super) fn release_applock(cx: &mut Cx<'_>, args: &Args<'_>) -> Outcome<i32> {
    let Some(resource) = args.text("Resource", 0) else {
        return Ok(-999);
    };
    let session_owned = args
        .text("LockOwner", 1)
        .is_some_and(|owner| owner.eq_ignore_ascii_case("session"));
    let owner = if session_owned {
        Owner::Session
    } else {
        Owner::Transaction
    };
    let principal = args
        .text("DbPrincipal", 2)
        .unwrap_or_else(|| "public".into());
    let locked = cx.held.is_locked();
    cx.held.lock();
    let key = crate::engine::meta::application(cx, &principal, &resource);
    let session = cx.ses.id;
    let released = cx.held.locks.release_one(&key, session, owner);
    cx.shared.ring();
    if !locked {
        cx.held.unlock();
    }
    if !released {
        return Err(Stop::Statement(error(
            1223,
            16,
            format!(
                "Cannot release the application lock (Database Principal: '{principal}', Resource: '{resource}') \
                    because it is not currently held."
            ),
        )));
    }
    Ok(0)
}
