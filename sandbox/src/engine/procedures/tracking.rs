//! Procedures of change tracking.

use super::{Args, Outputs};
use crate::engine::bind::resolve;
use crate::engine::context::Cx;
use crate::engine::fault::{Outcome, error};
use crate::engine::flow::attempt;
use crate::engine::locks::{Mode, Owner, Resource};
use crate::engine::meta::split_name;
use crate::engine::tracking::{self, Cleaned};
use crate::engine::{ddl, permissions};
use crate::session::SqlError;
use crate::sql::ast;
use crate::value::{SqlType, Value};

/// Error 21050 for who does not own the database, and 5089 where tracking is off.
fn check_owner(cx: &Cx<'_>) -> Outcome<()> {
    let slot = cx.ses.database;
    if !permissions::is_member(&cx.held, &cx.ses.login, slot, "db_owner") {
        let message = "Only members of the sysadmin fixed server role or db_owner fixed database role can perform this \
            operation. Contact an administrator with sufficient permissions to perform this operation.";
        return Err(error(21050, 14, message).into());
    }
    let database = cx.held.database(slot);
    match database.tracking.settings {
        Some(_) => Ok(()),
        None => Err(ddl::disabled(&database.name).into()),
    }
}

/// `sys.sp_flush_CT_internal_table_on_demand`: removes the changes of a table, or of all, that are older than the
/// retention period. The cleanup is no part of a transaction.
pub(super) fn flush(cx: &mut Cx<'_>, args: &Args<'_>) -> Outcome<Outputs> {
    let wanted = args.text("TableToClean", 0);
    let (id, cleaned) = attempt(cx, &mut |cx| clean(cx, wanted.as_deref()))?;
    let mut lines = vec![format!("Cleanup Watermark = {}", cleaned.version)];
    lines
        .extend(id.map(|id| format!("Internal Change Tracking table name : change_tracking_{id}")));
    lines.push(format!("Total rows deleted: {}.", cleaned.changes));
    for message in lines {
        cx.info(SqlError {
            number: 0,
            state: 1,
            class: 0,
            line: 0,
            message,
        })?;
    }
    let count = args
        .find("DeletedRowCount", 1)
        .filter(|argument| argument.output);
    let variable = count.and_then(|argument| argument.variable);
    let outputs = variable.map(|at| (at, Value::BigInt(cleaned.changes as i64), SqlType::BigInt));
    Ok(outputs.into_iter().collect())
}

fn clean(cx: &mut Cx<'_>, table: Option<&str>) -> Outcome<(Option<i32>, Cleaned)> {
    check_owner(cx)?;
    let slot = cx.ses.database;
    let id = match table {
        Some(name) => Some(tracked(cx, name)?),
        None => None,
    };
    let cleaned = tracking::clean_up(&mut cx.held, slot, id);
    Ok((id, cleaned.unwrap_or_default()))
}

fn tracked(cx: &mut Cx<'_>, name: &str) -> Outcome<i32> {
    let wanted = ast::ObjectName {
        parts: split_name(name).into_iter().map(ast::Ident::new).collect(),
        line: 0,
    };
    let slot = cx.ses.database;
    let found = resolve(cx, &wanted, slot)?.filter(|at| at.database == slot);
    let missing = || crate::engine::fault::Stop::Statement(tracking::not_tracked(name));
    let at = found.ok_or_else(missing)?;
    cx.acquire(Resource::Table(at), Mode::SchemaStable, Owner::Statement)?;
    match cx.held.table(at)?.tracking {
        Some(_) => Ok(at.id),
        None => Err(missing()),
    }
}

/// `sp_sandbox_age_changes @minutes`, of the stand-in alone: lets every transaction that changed tracked tables of the
/// database have committed so many minutes earlier.
pub(super) fn age(cx: &mut Cx<'_>, args: &Args<'_>) -> Outcome<()> {
    let minutes = args.whole("minutes", 0).unwrap_or(0);
    attempt(cx, &mut |cx| {
        check_owner(cx)?;
        let slot = cx.ses.database;
        tracking::age(&mut cx.held, slot, minutes);
        Ok(())
    })
}
