//! BEGIN, COMMIT, ROLLBACK, SAVE: counting, naming, dooming.

use super::attempt;
use crate::engine::context::Cx;
use crate::engine::dml::refuse_when_doomed;
use crate::engine::fault::{Outcome, Stop, error};
use crate::engine::locks::Owner;
use crate::engine::types;
use crate::session::Event;
use crate::sql::ast::{StatementKind, TransactionName, TransactionStatement};
use crate::value::Value;

pub fn statement(cx: &mut Cx<'_>, statement: &TransactionStatement) -> Outcome<()> {
    match statement {
        TransactionStatement::Begin { name, mark: _ } => {
            let name = resolve(cx, name.as_ref())?;
            begin_another(cx)?;
            begin(cx, &name)
        }
        TransactionStatement::Commit { name: _ } => commit(cx),
        TransactionStatement::Rollback { name } => {
            let name = resolve(cx, name.as_ref())?;
            roll_back(cx, &name)
        }
        TransactionStatement::Save { name } => {
            let name = resolve(cx, Some(name))?;
            save(cx, &name)
        }
    }
}

fn resolve(cx: &Cx<'_>, name: Option<&TransactionName>) -> Outcome<String> {
    match name {
        None => Ok(String::new()),
        Some(TransactionName::Name(ident)) => Ok(ident.text.clone()),
        Some(TransactionName::Variable(variable)) => {
            let frame = cx.ses.frame();
            let index = frame.names.get(&variable.to_lowercase()).copied();
            match index
                .and_then(|index| frame.variables.get(index))
                .map(|variable| &variable.value)
            {
                Some(Value::Str(units)) => Ok(types::text(units)),
                Some(_) => Ok(String::new()),
                None => Err(error(
                    137,
                    15,
                    format!("Must declare the scalar variable \"{variable}\"."),
                )
                .into()),
            }
        }
    }
}

pub fn begin(cx: &mut Cx<'_>, name: &str) -> Outcome<()> {
    let started = attempt(cx, &mut |cx| {
        let fresh = cx.ses.tran_count() == 0;
        let transaction = cx.transaction();
        transaction.count += 1;
        if fresh {
            transaction.name = name.to_string();
        }
        let id = transaction.id;
        if fresh && let Some(open) = cx.held.open.get_mut(&id) {
            open.name = if name.is_empty() {
                "user_transaction".into()
            } else {
                name.to_string()
            };
        }
        Ok(fresh.then_some(id))
    })?;
    match started {
        Some(id) => cx.emit(Event::TranBegin(id)),
        None => Ok(()),
    }
}

pub fn commit(cx: &mut Cx<'_>) -> Outcome<()> {
    if cx.ses.tran_count() == 0 {
        return Err(error(
            3902,
            16,
            "The COMMIT TRANSACTION request has no corresponding BEGIN TRANSACTION.",
        )
        .into());
    }
    refuse_when_doomed(cx)?;
    if cx.ses.frame().trigger.is_some() && cx.ses.tran_count() == 1 {
        return commit_in_trigger(cx);
    }
    let ended = attempt(cx, &mut |cx| {
        let transaction = cx.transaction();
        transaction.count -= 1;
        Ok((transaction.count == 0).then_some(transaction.id))
    })?;
    match ended {
        Some(descriptor) => cx.emit(Event::TranEnd {
            descriptor,
            committed: true,
        }),
        None => Ok(()),
    }
}

/// The transaction of the statement that fired the trigger ends with everything up to there. As after a ROLLBACK, the
/// batch goes on only if the trigger's next statement begins another one.
fn commit_in_trigger(cx: &mut Cx<'_>) -> Outcome<()> {
    let descriptor = cx.ses.transaction_id();
    let locked = cx.held.is_locked();
    cx.held.lock();
    if let Some(transaction) = cx.ses.transaction.take() {
        let session = cx.ses.id;
        cx.held.commit(transaction, session);
    }
    cx.shared.ring();
    if !locked {
        cx.held.unlock();
    }
    cx.ses.frame_mut().ends = true;
    cx.emit(Event::TranEnd {
        descriptor,
        committed: true,
    })
}

/// Commits a transaction that no BEGIN holds open.
pub fn end_autocommit(cx: &mut Cx<'_>) {
    if cx
        .ses
        .transaction
        .as_ref()
        .is_some_and(|transaction| transaction.count == 0)
        && let Some(transaction) = cx.ses.transaction.take()
    {
        let session = cx.ses.id;
        cx.held.commit(transaction, session);
    } else {
        cx.held.collect_garbage();
    }
}

/// What a trigger leaves that has rolled back or committed and begun no other transaction.
pub fn ended_in_trigger() -> Stop {
    Stop::Batch {
        error: error(
            3609,
            16,
            "The transaction ended in the trigger. The batch has been aborted.",
        ),
        rollback: true,
    }
}

/// A trigger that begins another transaction after its ROLLBACK or COMMIT: the batch goes on in that one.
fn begin_another(cx: &mut Cx<'_>) -> Outcome<()> {
    if !std::mem::take(&mut cx.ses.frame_mut().ends) {
        return Ok(());
    }
    let descriptor = cx.ses.transaction_id();
    let was_open = cx.ses.tran_count() > 0;
    undo_everything(cx);
    match was_open {
        true => cx.emit(Event::TranEnd {
            descriptor,
            committed: false,
        }),
        false => Ok(()),
    }
}

/// In a trigger it ends the batch, unless BEGIN TRANSACTION is the trigger's next statement.
pub fn roll_back(cx: &mut Cx<'_>, name: &str) -> Outcome<()> {
    if cx.atomic > 0 {
        if name.is_empty() && cx.ses.frame().trigger.is_some() {
            cx.ses.frame_mut().ends = true;
            return Ok(());
        }
        return Err(ended_in_trigger());
    }
    let Some(transaction) = cx
        .ses
        .transaction
        .as_ref()
        .filter(|transaction| transaction.count > 0)
    else {
        return Err(error(
            3903,
            16,
            "The ROLLBACK TRANSACTION request has no corresponding BEGIN TRANSACTION.",
        )
        .into());
    };
    let mark = transaction
        .savepoints
        .iter()
        .rev()
        .find(|(saved, _)| saved.eq_ignore_ascii_case(name))
        .map(|(_, mark)| *mark);
    match mark {
        Some(mark) if !name.is_empty() => {
            refuse_when_doomed(cx)?;
            cx.held.lock();
            if let Some(mut transaction) = cx.ses.transaction.take() {
                let keep = transaction.savepoints.clone();
                cx.held.undo_to(&mut transaction, mark, false);
                transaction.savepoints = keep
                    .into_iter()
                    .filter(|(saved, at)| *at <= mark || saved.eq_ignore_ascii_case(name))
                    .collect();
                cx.ses.transaction = Some(transaction);
            }
            cx.shared.ring();
            cx.held.unlock();
            Ok(())
        }
        _ if !name.is_empty() && !transaction.name.eq_ignore_ascii_case(name) => Err(error(
            6401,
            16,
            format!("Cannot roll back {name}. No transaction or savepoint of that name was found."),
        )
        .into()),
        _ => {
            let descriptor = transaction.id;
            undo_everything(cx);
            cx.emit(Event::TranEnd {
                descriptor,
                committed: false,
            })
        }
    }
}

/// Rolls the whole transaction back and gives back its locks.
pub fn undo_everything(cx: &mut Cx<'_>) {
    let locked = cx.held.is_locked();
    cx.held.lock();
    if let Some(transaction) = cx.ses.transaction.take() {
        let session = cx.ses.id;
        cx.held.rollback(transaction, session);
    }
    cx.shared.ring();
    if !locked {
        cx.held.unlock();
    }
}

/// Inside TRY the transaction stays open but can only roll back. Its work is undone now, so that whoever waits for
/// it goes on.
pub fn doom(cx: &mut Cx<'_>) {
    let locked = cx.held.is_locked();
    cx.held.lock();
    if let Some(mut transaction) = cx.ses.transaction.take() {
        cx.held.undo_to(&mut transaction, 0, false);
        transaction.doomed = true;
        cx.ses.transaction = Some(transaction);
        let session = cx.ses.id;
        cx.held.locks.release(session, Owner::Transaction);
    }
    cx.shared.ring();
    if !locked {
        cx.held.unlock();
    }
}

pub fn save(cx: &mut Cx<'_>, name: &str) -> Outcome<()> {
    refuse_when_doomed(cx)?;
    if cx.ses.tran_count() == 0 {
        return Err(error(
            628,
            16,
            "Cannot issue SAVE TRANSACTION when there is no active transaction.",
        )
        .into());
    }
    if let Some(transaction) = cx.ses.transaction.as_mut() {
        let mark = transaction.undo.len();
        transaction.savepoints.push((name.to_string(), mark));
    }
    Ok(())
}

/// SET IMPLICIT_TRANSACTIONS ON: statements that touch tables open a transaction.
pub fn begin_implicitly(cx: &mut Cx<'_>, kind: &StatementKind) -> Outcome<()> {
    if !cx.ses.settings.implicit_transactions || cx.ses.tran_count() > 0 || cx.atomic > 0 {
        return Ok(());
    }
    let opens = match kind {
        StatementKind::Select(query) => match &query.body {
            crate::sql::ast::QueryBody::Select(select) => !select.from.is_empty(),
            crate::sql::ast::QueryBody::SetOperation { .. } => true,
        },
        StatementKind::Insert(_)
        | StatementKind::Update(_)
        | StatementKind::Delete(_)
        | StatementKind::Merge(_)
        | StatementKind::Truncate(_)
        | StatementKind::CreateTable(_)
        | StatementKind::AlterTable(_)
        | StatementKind::CreateIndex(_)
        | StatementKind::CreateView(_)
        | StatementKind::CreateTrigger(_)
        | StatementKind::CreateSchema(_)
        | StatementKind::AlterSchema(_)
        | StatementKind::Drop(_)
        | StatementKind::Permission(_) => true,
        _ => false,
    };
    if opens { begin(cx, "") } else { Ok(()) }
}
