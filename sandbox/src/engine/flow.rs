//! Batches: control flow, statements one by one, errors, TRY and CATCH.
//!
//! A statement runs under the state's lock from its first read to its last write, so that it is atomic by
//! construction. When it meets another session's lock it unwinds (`Stop::Wait`): its changes are undone, its
//! variables put back, the lock is awaited, and it runs again from the start with fresh eyes. A SELECT that reads
//! versions never waits, and gives the lock up whenever it sends rows.

use crate::engine::bind::{Binder, cast};
use crate::engine::context::Cx;
use crate::engine::fault::{Outcome, Stop};
use crate::engine::{ddl, dml, query, types};
use crate::session::{Event, SqlError};
use crate::sql::ast::{self, Statement, StatementKind};
use crate::value::{SqlType, Value};

mod attempt;
mod compile;
mod execute;
mod messages;
mod settings;
mod transactions;
mod variables;

pub use attempt::{attempt, wait, wait_at_most};
use execute::execute_statement;
pub use execute::{collect_execute, drop_frame, leaving, push_frame, run_nested, run_trigger};
pub use transactions::{
    begin, commit, end_autocommit, ended_in_trigger, roll_back, save, undo_everything,
};
use variables::{assign_declared, set_variable};

/// A trigger has rolled back or committed: no transaction is left.
const ENDED_BY_TRIGGER: i32 = 3609;

/// Where a block went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    Next,
    Break,
    Continue,
    Return(i32),
}

/// Runs a batch's text in the session's outermost frame, reporting what fails. A batch that does not compile runs not
/// at all, and XACT_ABORT takes no notice of it.
pub fn run_batch(cx: &mut Cx<'_>, text: &str) -> Flow {
    let compiled = compile::parse(cx, text).and_then(|batch| {
        compile::compile(cx, &batch)?;
        Ok(batch)
    });
    let result = match compiled {
        Ok(batch) => block(cx, &batch.statements),
        Err(Stop::Compile(error)) => {
            report(cx, error, 1);
            return Flow::Return(-1);
        }
        Err(other) => Err(other),
    };
    match result {
        Ok(flow) => flow,
        Err(stop) => {
            report_end(cx, stop, 1);
            Flow::Return(-1)
        }
    }
}

/// Tells the client why the batch ends, and what became of the transaction.
fn report_end(cx: &mut Cx<'_>, stop: Stop, line: u32) {
    let rollback = match stop {
        Stop::Statement(error) | Stop::Raised(error) | Stop::Compile(error) => {
            report(cx, error, line);
            cx.ses.settings.xact_abort
        }
        Stop::Batch { error, rollback } => {
            report(cx, error, line);
            rollback || cx.ses.settings.xact_abort
        }
        Stop::Cancelled => cx.ses.settings.xact_abort,
        Stop::Ended | Stop::Disconnected | Stop::Wait(_) => false,
    };
    if rollback {
        undo_everything(cx);
    }
}

/// Reports the failure of work that was no statement of a batch.
pub fn report_failure(cx: &mut Cx<'_>, stop: Stop) {
    report_end(cx, stop, 1);
}

/// Sends an error and remembers its number.
fn report(cx: &mut Cx<'_>, mut error: SqlError, line: u32) {
    if error.line == 0 {
        error.line = line;
    }
    cx.ses.last_error = error.number;
    cx.ses.row_count = 0;
    // A client that is gone finds out at the next row.
    let _ = cx.emit(Event::Error(error));
    let _ = cx.emit(Event::Done {
        count: None,
        select: false,
    });
}

/// Runs statements in order. Outside TRY a failed statement is reported and the next one runs, unless the batch
/// must end.
pub fn block(cx: &mut Cx<'_>, statements: &[Statement]) -> Outcome<Flow> {
    for statement in statements {
        match run(cx, statement) {
            Ok(Flow::Next) => {}
            Ok(flow) => return Ok(flow),
            Err(stop) => failed(cx, stop, statement.line)?,
        }
    }
    Ok(Flow::Next)
}

/// Decides whether the block goes on after a failure.
fn failed(cx: &mut Cx<'_>, stop: Stop, line: u32) -> Outcome<()> {
    let stop = with_line(stop, line);
    if cx.tries > 0 {
        return Err(stop);
    }
    // RAISERROR ends neither a trigger nor the batch.
    let goes_on = matches!(stop, Stop::Raised(_)) && cx.ses.frame().trigger.is_some();
    if cx.atomic > 0 && !goes_on {
        return Err(stop);
    }
    match stop {
        Stop::Statement(error) if !cx.ses.settings.xact_abort => {
            report(cx, error, line);
            Ok(())
        }
        Stop::Raised(error) => {
            report(cx, error, line);
            Ok(())
        }
        Stop::Ended => Err(Stop::Ended),
        // It ends the scope, and the statement that runs the scope tells of it.
        Stop::Compile(_) if cx.ses.frames.len() > 1 => Err(stop),
        other => {
            let gone = matches!(other, Stop::Cancelled | Stop::Disconnected);
            if gone {
                return Err(other);
            }
            report_end(cx, other, line);
            Err(Stop::Ended)
        }
    }
}

fn with_line(stop: Stop, line: u32) -> Stop {
    stop.map(|error| crate::engine::bind::at_line(error, line))
}

fn run(cx: &mut Cx<'_>, statement: &Statement) -> Outcome<Flow> {
    cx.check_cancel()?;
    match &statement.kind {
        StatementKind::Block(list) => block(cx, list),
        StatementKind::If(branch) => {
            if test(cx, &branch.condition)? {
                run_one(cx, &branch.then)
            } else if let Some(otherwise) = &branch.otherwise {
                run_one(cx, otherwise)
            } else {
                Ok(Flow::Next)
            }
        }
        StatementKind::While(repeat) => {
            while test(cx, &repeat.condition)? {
                cx.check_cancel()?;
                match run_one(cx, &repeat.body)? {
                    Flow::Next | Flow::Continue => {}
                    Flow::Break => break,
                    Flow::Return(status) => return Ok(Flow::Return(status)),
                }
            }
            Ok(Flow::Next)
        }
        StatementKind::Break => Ok(Flow::Break),
        StatementKind::Continue => Ok(Flow::Continue),
        StatementKind::Return(value) => {
            let status = match value {
                Some(value) => {
                    let value = evaluate(cx, value, &SqlType::Int)?;
                    types::integer(&value).unwrap_or(0) as i32
                }
                None => 0,
            };
            Ok(Flow::Return(status))
        }
        StatementKind::TryCatch { body, handler } => try_catch(cx, body, handler),
        _ => simple(cx, statement).map(|()| Flow::Next),
    }
}

/// The body of IF or WHILE: its failures are handled like any statement's.
fn run_one(cx: &mut Cx<'_>, statement: &Statement) -> Outcome<Flow> {
    block(cx, std::slice::from_ref(statement))
}

fn try_catch(cx: &mut Cx<'_>, body: &[Statement], handler: &[Statement]) -> Outcome<Flow> {
    let frames = cx.ses.frames.len();
    let nesting = cx.ses.nest_level;
    cx.tries += 1;
    let result = block(cx, body);
    cx.tries -= 1;
    let (error, dooms) = match result {
        Ok(flow) => return Ok(flow),
        Err(Stop::Statement(error)) => (error, cx.ses.settings.xact_abort),
        Err(Stop::Raised(error)) => (error, false),
        // Not that of this scope itself, which ends: see `Stop::Compile`.
        Err(Stop::Batch { error, rollback }) => (error, rollback || cx.ses.settings.xact_abort),
        Err(other) => return Err(other),
    };
    while cx.ses.frames.len() > frames {
        drop_frame(cx);
    }
    cx.ses.nest_level = nesting;
    let in_trigger = cx.ses.frame().trigger.is_some();
    if cx.ses.tran_count() > 0 || in_trigger {
        if error.number == ENDED_BY_TRIGGER && cx.atomic == 0 {
            roll_back(cx, "")?;
        } else if dooms {
            transactions::doom(cx);
        }
    }
    cx.ses.last_error = error.number;
    cx.ses.caught.push(error);
    let result = block(cx, handler);
    cx.ses.caught.pop();
    result
}

/// Evaluates a condition as a statement of its own, of no rows.
fn test(cx: &mut Cx<'_>, condition: &ast::Condition) -> Outcome<bool> {
    let holds = attempt(cx, &mut |cx| {
        let bound = Binder::new(cx).cond(condition)?;
        Ok(bound.test(&[], cx)? == Some(true))
    })?;
    cx.ses.row_count = 0;
    Ok(holds)
}

/// Evaluates an expression as a statement of its own, in a type.
pub fn evaluate(cx: &mut Cx<'_>, expr: &ast::Expr, ty: &SqlType) -> Outcome<Value> {
    attempt(cx, &mut |cx| {
        let bound = cast(Binder::new(cx).expr(expr)?, ty);
        bound.eval(&[], cx)
    })
}

/// Statements that are not control flow.
fn simple(cx: &mut Cx<'_>, statement: &Statement) -> Outcome<()> {
    let line = statement.line;
    let begins = matches!(
        &statement.kind,
        StatementKind::Transaction(ast::TransactionStatement::Begin { .. })
    );
    if cx.ses.frame().ends && !begins {
        return Err(transactions::ended_in_trigger());
    }
    transactions::begin_implicitly(cx, &statement.kind)?;
    match &statement.kind {
        StatementKind::Declare(list) => return assign_declared(cx, list),
        StatementKind::SetVariable(set) => return set_variable(cx, set),
        StatementKind::SetOption(option) => settings::set(cx, option).map_err(at_run_time)?,
        StatementKind::Print(expr) => return messages::print(cx, expr, line),
        StatementKind::RaisError(raise) => return messages::raise(cx, raise, line),
        StatementKind::Throw(throw) => return messages::throw(cx, throw.as_deref(), line),
        StatementKind::WaitFor(wait) => settings::wait_for(cx, wait)?,
        StatementKind::Use(name) => return settings::use_database(cx, name),
        StatementKind::Execute(execute) => return execute_statement(cx, execute),
        StatementKind::Transaction(transaction) => transactions::statement(cx, transaction)?,
        StatementKind::Kill(_) => return Err(crate::engine::fault::unsupported("KILL").into()),
        StatementKind::Checkpoint => {}
        StatementKind::InsertBulk(bulk) => {
            let target = attempt(cx, &mut |cx| dml::bulk::open(cx, bulk))?;
            cx.bulk = Some(target);
        }
        StatementKind::Select(query) => return query::select(cx, query),
        StatementKind::Insert(insert) => return changing(cx, &mut |cx| dml::insert(cx, insert)),
        StatementKind::Update(update) => return changing(cx, &mut |cx| dml::update(cx, update)),
        StatementKind::Delete(delete) => return changing(cx, &mut |cx| dml::delete(cx, delete)),
        StatementKind::Merge(merge) => return changing(cx, &mut |cx| dml::merge(cx, merge)),
        StatementKind::Truncate(name) => {
            attempt(cx, &mut |cx| dml::truncate(cx, name)).map_err(at_run_time)?
        }
        _ => attempt(cx, &mut |cx| ddl::execute(cx, &statement.kind)).map_err(at_run_time)?,
    }
    cx.ses.last_error = 0;
    cx.ses.row_count = 0;
    cx.emit(Event::Done {
        count: None,
        select: false,
    })
}

/// The failure of a statement that is not compiled with its batch: it looks its names up when it runs.
fn at_run_time(stop: Stop) -> Stop {
    match stop {
        Stop::Compile(error) => Stop::Batch {
            error,
            rollback: false,
        },
        other => other,
    }
}

/// A DML statement: its events wait until it is committed.
fn changing(
    cx: &mut Cx<'_>,
    work: &mut dyn FnMut(&mut Cx<'_>) -> Outcome<(u64, bool)>,
) -> Outcome<()> {
    if cx.ses.settings.fmt_only {
        return cx.emit(Event::Done {
            count: None,
            select: false,
        });
    }
    attempt(cx, &mut |cx| {
        cx.atomic += 1;
        let result = work(cx);
        cx.atomic -= 1;
        let (count, select) = result?;
        cx.ses.row_count = count as i64;
        cx.ses.last_error = 0;
        let count = (!cx.ses.settings.no_count).then_some(count);
        cx.buffered.push(Event::Done { count, select });
        Ok(())
    })
}
