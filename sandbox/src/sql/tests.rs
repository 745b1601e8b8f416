//! What parses, what does not and with which number, and that no text makes the parser panic or run away.

mod accepted;
mod rejected;
mod robust;
mod tree;

use super::ast::{Expr, ExprKind, Query, QueryBody, Select, SelectItem, Statement, StatementKind};
use super::*;

/// icesync's own statements, separated by lines of `---`.
fn recipes() -> Vec<&'static str> {
    include_str!("tests/recipes.sql").split("\n---\n").collect()
}

fn parsed(sql: &str) -> Vec<Statement> {
    parse_batch(sql).unwrap_or_else(|error| panic!("{error}\nin: {sql}"))
}

fn only(sql: &str) -> StatementKind {
    let mut statements = parsed(sql);
    assert_eq!(statements.len(), 1, "in: {sql}");
    statements.remove(0).kind
}

fn query(sql: &str) -> Query {
    match only(sql) {
        StatementKind::Select(query) => *query,
        other => panic!("{other:?} is no SELECT"),
    }
}

fn select(sql: &str) -> Select {
    match query(sql).body {
        QueryBody::Select(select) => *select,
        other => panic!("{other:?} is no simple SELECT"),
    }
}

/// The expression of `SELECT <text>`.
fn expr(text: &str) -> Expr {
    match select(&format!("SELECT {text}")).items.remove(0) {
        SelectItem::Expr { expr, alias: None } => expr,
        other => panic!("{other:?} is no bare expression"),
    }
}

fn expr_kind(text: &str) -> ExprKind {
    expr(text).kind
}
