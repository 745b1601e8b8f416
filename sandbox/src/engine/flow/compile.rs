//! Compiling a batch: what is found wrong with it before its first statement runs.
//!
//! A batch is compiled as a whole. A variable that no DECLARE above declares (137, 1087), one that is declared twice
//! (134), and a name, type or rule that any of its statements breaks end it, and nothing of it runs. A statement that
//! refers to a table that does not exist is put off until it runs (deferred name resolution). A column that a table of
//! now does not have is an error, even where a statement of the same batch adds it. (Documentation: "Batches", "CREATE
//! PROCEDURE" under deferred name resolution, "TRY...CATCH".)
//!
//! A statement over a table that another session is changing is put off, too: it waits when it runs, under the
//! LOCK_TIMEOUT that the batch may have set by then. SQL Server may wait for it while it compiles the batch.

use super::attempt;
use super::variables::declare;
use crate::engine::bind::{Binder, at_line};
use crate::engine::context::{Cx, Frame};
use crate::engine::dml;
use crate::engine::fault::{Outcome, Stop, error};
use crate::session::SqlError;
use crate::sql::ast::{self, Statement, StatementKind};
use crate::sql::{self, Batch, Mention, Role};
use std::collections::HashSet;

/// Reads a batch's text; what is wrong with it is an error of compiling it.
pub(super) fn parse(cx: &Cx<'_>, text: &str) -> Outcome<Batch> {
    sql::parse_whole(text, cx.ses.settings.quoted_identifier).map_err(Stop::Compile)
}

/// Declares a batch's variables in the innermost frame and binds its statements.
pub(super) fn compile(cx: &mut Cx<'_>, batch: &Batch) -> Outcome<()> {
    check_mentions(cx.ses.frame(), &batch.mentions).map_err(Stop::Compile)?;
    declare_all(cx, &batch.statements)?;
    // A statement that stands alone is bound when it runs, and nothing runs before.
    if let [only] = batch.statements.as_slice()
        && !is_compound(only)
    {
        return Ok(());
    }
    attempt(cx, &mut |cx| {
        let database = cx.ses.database;
        cx.compiling = true;
        let result = bind_all(cx, &batch.statements);
        cx.compiling = false;
        cx.ses.database = database;
        result
    })
}

fn is_compound(statement: &Statement) -> bool {
    matches!(
        statement.kind,
        StatementKind::Block(_)
            | StatementKind::If(_)
            | StatementKind::While(_)
            | StatementKind::TryCatch { .. }
    )
}

/// Every variable is declared once, and above where it is used.
fn check_mentions(frame: &Frame, mentions: &[Mention]) -> Result<(), SqlError> {
    let known = frame.names.keys().chain(frame.tables.keys());
    let mut known: HashSet<String> = known.cloned().collect();
    for mention in mentions {
        let Mention { name, line, role } = mention;
        let is_known = known.contains(&name.to_lowercase());
        let (number, message) = match (role, is_known) {
            (Role::Declares, false) => {
                known.insert(name.to_lowercase());
                continue;
            }
            (Role::Scalar | Role::Table, true) => continue,
            (Role::Declares, true) => (
                134,
                format!(
                    "The variable name '{name}' has already been declared. Variable names must be unique within a \
                        query batch or stored procedure."
                ),
            ),
            (Role::Scalar, false) => (137, format!("Must declare the scalar variable \"{name}\".")),
            (Role::Table, false) => (1087, format!("Must declare the table variable \"{name}\".")),
        };
        return Err(at_line(error(number, 15, message), *line));
    }
    Ok(())
}

/// Declares the variables of statements, wherever among them a DECLARE stands.
pub(super) fn declare_all(cx: &mut Cx<'_>, statements: &[Statement]) -> Outcome<()> {
    for statement in statements {
        match &statement.kind {
            StatementKind::Declare(list) => list.iter().try_for_each(|item| declare(cx, item))?,
            StatementKind::Block(list) => declare_all(cx, list)?,
            StatementKind::If(branch) => {
                declare_all(cx, std::slice::from_ref(&branch.then))?;
                declare_all(cx, branch.otherwise.as_slice())?;
            }
            StatementKind::While(repeat) => declare_all(cx, std::slice::from_ref(&repeat.body))?,
            StatementKind::TryCatch { body, handler } => {
                declare_all(cx, body)?;
                declare_all(cx, handler)?;
            }
            _ => {}
        }
    }
    Ok(())
}

fn bind_all(cx: &mut Cx<'_>, statements: &[Statement]) -> Outcome<()> {
    statements
        .iter()
        .try_for_each(|statement| bind(cx, statement))
}

fn bind(cx: &mut Cx<'_>, statement: &Statement) -> Outcome<()> {
    let line = statement.line;
    match &statement.kind {
        StatementKind::Block(list) => bind_all(cx, list),
        StatementKind::If(branch) => {
            kept(condition(cx, &branch.condition), line)?;
            bind(cx, &branch.then)?;
            bind_all(cx, branch.otherwise.as_slice())
        }
        StatementKind::While(repeat) => {
            kept(condition(cx, &repeat.condition), line)?;
            bind(cx, &repeat.body)
        }
        StatementKind::TryCatch { body, handler } => {
            bind_all(cx, body)?;
            bind_all(cx, handler)
        }
        _ => kept(bind_simple(cx, statement), line),
    }
}

fn condition(cx: &Cx<'_>, condition: &ast::Condition) -> Outcome<()> {
    Binder::new(cx).cond(condition).map(drop)
}

fn expression(cx: &Cx<'_>, expr: &ast::Expr) -> Outcome<()> {
    Binder::new(cx).expr(expr).map(drop)
}

/// Binds a statement that is not control flow. DDL, EXECUTE and the like look their names up when they run.
fn bind_simple(cx: &mut Cx<'_>, statement: &Statement) -> Outcome<()> {
    match &statement.kind {
        // USE is in force for what is compiled after it, too. (Documentation: "USE".)
        StatementKind::Use(name) => {
            let found = cx.held.database_named(&name.text);
            cx.ses.database = found.unwrap_or(cx.ses.database);
            Ok(())
        }
        StatementKind::Select(query) => Binder::new(cx).query(query).map(drop),
        StatementKind::Insert(insert) => dml::insert(cx, insert).map(drop),
        StatementKind::Update(update) => dml::update(cx, update).map(drop),
        StatementKind::Delete(delete) => dml::delete(cx, delete).map(drop),
        StatementKind::Merge(merge) => dml::merge(cx, merge).map(drop),
        StatementKind::SetVariable(set) => expression(cx, &set.value),
        StatementKind::Print(expr) | StatementKind::Return(Some(expr)) => expression(cx, expr),
        StatementKind::Declare(list) => list.iter().try_for_each(|item| match &item.kind {
            ast::DeclarationKind::Scalar {
                value: Some(value), ..
            } => expression(cx, value),
            ast::DeclarationKind::Scalar { value: None, .. } | ast::DeclarationKind::Table(_) => {
                Ok(())
            }
        }),
        _ => Ok(()),
    }
}

/// What of a statement's failure ends the batch. A table that is not there (208), a lock that is not free and what only
/// its run decides are left to the run.
fn kept(bound: Outcome<()>, line: u32) -> Outcome<()> {
    match bound {
        Err(Stop::Compile(error)) if error.number != 208 => {
            Err(Stop::Compile(at_line(error, line)))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}
