//! EXECUTE and nested scopes.

use super::variables::set_variable;
use super::{Flow, block, compile, evaluate, report, undo_everything};
use crate::engine::bind::OutColumn;
use crate::engine::context::{Cx, Frame};
use crate::engine::fault::{Outcome, Stop, error};
use crate::engine::{ddl, procedures, types};
use crate::session::{ColumnMeta, Event, Sink, SqlError};
use crate::sql::ast::{self, Statement};
use crate::value::{SqlType, Value};

/// Opens a scope for names.
pub fn push_frame(cx: &mut Cx<'_>, frame: Frame) -> Outcome<()> {
    if cx.ses.nest_level >= 32 {
        return Err(error(
            217,
            16,
            "Maximum stored procedure, function, trigger, or view nesting level exceeded (limit \
            32).",
        )
        .into());
    }
    cx.ses.nest_level += 1;
    cx.ses.frames.push(frame);
    Ok(())
}

/// Closes the innermost scope: its temporary tables and table variables go.
pub fn drop_frame(cx: &mut Cx<'_>) -> Frame {
    let frame = cx.ses.frames.pop().unwrap_or_default();
    if !frame.temporary.is_empty() || !frame.tables.is_empty() {
        let locked = cx.held.is_locked();
        cx.held.lock();
        for at in frame.temporary.iter().chain(frame.tables.values()) {
            ddl::forget_table(cx, *at);
        }
        if !locked {
            cx.held.unlock();
        }
    }
    frame
}

/// Runs text in a scope of its own, as `sp_executesql` and `EXEC (...)` do: what it SETs ends with it. Its status, and
/// the scope's variables as it left them.
pub fn run_nested(cx: &mut Cx<'_>, text: &str, frame: Frame) -> Outcome<(i32, Frame)> {
    let batch = compile::parse(cx, text).map_err(leaving)?;
    push_frame(cx, frame)?;
    let (database, settings) = (cx.ses.database, cx.ses.settings.clone());
    let open = cx.ses.tran_count();
    let compiled = compile::compile(cx, &batch);
    let result = compiled.and_then(|()| block(cx, &batch.statements));
    let result = result.map_err(leaving);
    cx.ses.nest_level = cx.ses.nest_level.saturating_sub(1);
    let frame = drop_frame(cx);
    cx.ses.database = database;
    let xact_abort = cx.ses.settings.xact_abort;
    cx.ses.settings.leave_module(settings);
    let status = match result.map_err(|stop| aborted(cx, stop, xact_abort))? {
        Flow::Return(status) => status,
        Flow::Next | Flow::Break | Flow::Continue => 0,
    };
    check_balance(cx, open)?;
    Ok((status, frame))
}

/// What a scope that does not compile is to the statement that runs it: a failure like any other.
pub fn leaving(stop: Stop) -> Stop {
    match stop {
        Stop::Compile(error) => Stop::Statement(error),
        other => other,
    }
}

/// Error 266 where a scope leaves another count of open transactions than it found. It changes nothing and stops
/// nothing, except that a TRY catches it. (Documentation: "Rolling back transactions in stored procedures and triggers"
/// of "ROLLBACK TRANSACTION". What XACT_ABORT makes of it is not documented.)
fn check_balance(cx: &mut Cx<'_>, before: u32) -> Outcome<()> {
    let now = cx.ses.tran_count();
    if now == before {
        return Ok(());
    }
    let mismatch = SqlError {
        state: 2,
        ..error(
            266,
            16,
            format!(
                "Transaction count after EXECUTE indicates a mismatching number of BEGIN and COMMIT statements. \
                    Previous count = {before}, current count = {now}."
            ),
        )
    };
    if cx.tries > 0 || cx.atomic > 0 {
        return Err(Stop::Raised(mismatch));
    }
    report(cx, mismatch, 0);
    Ok(())
}

/// A failure that leaves the scope whose XACT_ABORT decides about the transaction.
fn aborted(cx: &mut Cx<'_>, stop: Stop, xact_abort: bool) -> Stop {
    match stop {
        Stop::Statement(error) if xact_abort => Stop::Batch {
            error,
            rollback: true,
        },
        Stop::Batch { error, rollback } => Stop::Batch {
            error,
            rollback: rollback || xact_abort,
        },
        Stop::Cancelled if xact_abort => {
            undo_everything(cx);
            Stop::Cancelled
        }
        other => other,
    }
}

/// A trigger's body: any failure ends the batch and the transaction, except that a RAISERROR, of which XACT_ABORT takes
/// no notice, goes to the TRY around the trigger's statement.
pub fn run_trigger(cx: &mut Cx<'_>, body: &[Statement]) -> Outcome<()> {
    cx.ses.settings.xact_abort = true;
    match compile::declare_all(cx, body).and_then(|()| block(cx, body)) {
        Ok(_) => Ok(()),
        Err(Stop::Statement(error) | Stop::Compile(error) | Stop::Batch { error, .. }) => {
            Err(Stop::Batch {
                error,
                rollback: true,
            })
        }
        Err(other) => Err(other),
    }
}

pub(super) fn execute_statement(cx: &mut Cx<'_>, execute: &ast::Execute) -> Outcome<()> {
    let status = match &execute.call {
        ast::Call::Text { parts, login } => {
            if login.is_some() {
                return Err(crate::engine::fault::unsupported("EXECUTE AS").into());
            }
            let mut text = String::new();
            for part in parts {
                let value = evaluate(cx, part, &SqlType::NVarChar(None))?;
                if let Value::Str(units) = value {
                    text.push_str(&types::text(&units));
                }
            }
            run_nested(cx, &text, Frame::default())?.0
        }
        ast::Call::Procedure { name, args } => {
            procedures::execute(cx, &name.to_string(), name, args)?
        }
        ast::Call::Variable { name, args } => {
            let expr = ast::Expr {
                kind: ast::ExprKind::Variable(name.clone()),
                line: execute.line,
            };
            let value = evaluate(cx, &expr, &SqlType::NVarChar(None))?;
            let Value::Str(units) = value else {
                return Err(error(2812, 16, "Could not find stored procedure ''.").into());
            };
            let text = types::text(&units);
            let parts = text
                .split('.')
                .map(|part| ast::Ident::new(part.trim_matches(['[', ']'])))
                .collect();
            procedures::execute(
                cx,
                &text,
                &ast::ObjectName {
                    parts,
                    line: execute.line,
                },
                args,
            )?
        }
    };
    if let Some(variable) = &execute.status {
        let literal = ast::Expr {
            kind: ast::ExprKind::Literal(ast::Literal::Int(status)),
            line: execute.line,
        };
        let set = ast::SetVariable {
            name: variable.clone(),
            op: None,
            value: literal,
        };
        let (row_count, last_error) = (cx.ses.row_count, cx.ses.last_error);
        set_variable(cx, &set)?;
        (cx.ses.row_count, cx.ses.last_error) = (row_count, last_error);
    }
    Ok(())
}

/// Gathers the rows that an EXECUTE sends, for INSERT .. EXECUTE.
#[derive(Default)]
pub(super) struct Gather {
    columns: Vec<ColumnMeta>,
    rows: Vec<Vec<Value>>,
    error: Option<SqlError>,
    info: Vec<Event>,
}

/// Runs the EXECUTE of an INSERT and keeps its rows.
pub fn collect_execute(
    cx: &mut Cx<'_>,
    execute: &ast::Execute,
) -> Outcome<(Vec<OutColumn>, Vec<Vec<Value>>)> {
    let mut gather = Gather::default();
    let result = {
        let mut inner = cx.reborrow(&mut gather);
        let result = execute_statement(&mut inner, execute);
        let buffered = std::mem::take(&mut inner.buffered);
        drop(inner);
        buffered.into_iter().for_each(|event| {
            gather.send(event);
        });
        result
    };
    cx.held.lock();
    result?;
    for event in gather.info {
        cx.emit(event)?;
    }
    if let Some(error) = gather.error {
        return Err(Stop::Statement(error));
    }
    let columns = gather
        .columns
        .into_iter()
        .map(|meta| OutColumn {
            name: meta.name,
            ty: meta.ty,
            collate: None,
            nullable: meta.nullable,
            identity: false,
            computed: false,
            hidden: false,
            unlisted: false,
            masked: false,
        })
        .collect();
    Ok((columns, gather.rows))
}

impl Sink for Gather {
    fn send(&mut self, event: Event) -> bool {
        match event {
            Event::Columns(columns) => self.columns = columns,
            Event::Rows(rows) => self.rows.extend(rows),
            Event::Error(error) => self.error = Some(error),
            Event::Info(_) | Event::Database(_) | Event::TranBegin(_) | Event::TranEnd { .. } => {
                self.info.push(event)
            }
            Event::Done { .. } => {}
        }
        true
    }
}
