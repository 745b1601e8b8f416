//! Common table expressions, recursive ones too.

use super::Tree;
use super::names::check_columns;
use super::{Binder, OutColumn, Scope, Source};
use crate::engine::fault::{Outcome, error};
use crate::engine::plan::{Node, Plan};
use crate::engine::schema::same_name;
use crate::sql::ast::{self, TableSourceKind};

impl Binder<'_, '_> {
    pub(super) fn cte(
        &mut self,
        name: &ast::ObjectName,
        shown: &str,
        scope: &mut Scope,
    ) -> Outcome<Option<Tree>> {
        let Some(at) = self
            .ctes
            .iter()
            .rposition(|cte| same_name(&cte.name, name.object()))
        else {
            return Ok(None);
        };
        let cte = self.ctes[at].clone();
        let start = scope.width;
        if let Some((columns, depth)) = cte.recursing {
            let plan = Plan::new(
                Node::Work {
                    depth: self.recursion - depth,
                },
                columns.len(),
            );
            scope.add(Source {
                name: shown.to_string(),
                schema: None,
                columns,
                start,
            });
            return Ok(Some(Tree::Other { plan, start }));
        }
        let rest = self.ctes.split_off(cte.visible);
        let scopes = std::mem::take(&mut self.scopes);
        let bound = match recursive_parts(&cte.name, &cte.query) {
            Some((anchor, step)) => self.recursive_cte(&cte, anchor, step, &rest),
            None => self
                .nested(&cte.query)
                .map(|(bound, _)| (bound.plan, bound.columns)),
        };
        self.scopes = scopes;
        self.ctes.truncate(cte.visible);
        self.ctes.extend(rest);
        let (plan, mut columns) = bound?;
        for (column, name) in columns.iter_mut().zip(&cte.columns) {
            column.name = name.text.clone();
        }
        check_columns(&columns, &cte.name)?;
        scope.add(Source {
            name: shown.to_string(),
            schema: None,
            columns,
            start,
        });
        Ok(Some(Tree::Other { plan, start }))
    }

    fn recursive_cte(
        &mut self,
        cte: &super::CteDef,
        anchor: &ast::QueryBody,
        step: &ast::QueryBody,
        rest: &[super::CteDef],
    ) -> Outcome<(Plan, Vec<OutColumn>)> {
        let query = |body: &ast::QueryBody| ast::Query {
            ctes: Vec::new(),
            body: body.clone(),
            order_by: Vec::new(),
            ..(*cte.query).clone()
        };
        let (bound, _) = self.nested(&query(anchor))?;
        let mut columns = bound.columns;
        for (column, name) in columns.iter_mut().zip(&cte.columns) {
            column.name = name.text.clone();
        }
        columns.iter_mut().for_each(|column| column.nullable = true);
        self.recursion += 1;
        let mut own = rest[0].clone();
        own.recursing = Some((columns.clone(), self.recursion));
        self.ctes.push(own);
        let stepped = self.nested(&query(step));
        self.ctes.pop();
        self.recursion -= 1;
        let (stepped, _) = stepped?;
        if stepped.columns.len() != columns.len() {
            return Err(error(
                205,
                16,
                "All queries combined using a UNION, INTERSECT or EXCEPT operator must have an \
                equal number of expressions in their target lists.",
            )
            .into());
        }
        for (a, b) in columns.iter().zip(&stepped.columns) {
            if crate::engine::types::name(&a.ty) != crate::engine::types::name(&b.ty) {
                return Err(error(
                    240,
                    16,
                    format!(
                        "Types don't match between the anchor and the recursive part in \
                    column \"{}\" of recursive query \"{}\".",
                        a.name, cte.name
                    ),
                )
                .into());
            }
        }
        let width = columns.len();
        let node = Node::Recursive {
            anchor: Box::new(bound.plan),
            step: Box::new(stepped.plan),
            limit: 100,
        };
        Ok((Plan::new(node, width), columns))
    }
}

/// Splits a recursive CTE at its UNION ALL; none when the query does not refer to itself.
pub(super) fn recursive_parts<'q>(
    name: &str,
    query: &'q ast::Query,
) -> Option<(&'q ast::QueryBody, &'q ast::QueryBody)> {
    match &query.body {
        ast::QueryBody::SetOperation {
            op: ast::SetOp::UnionAll,
            left,
            right,
            ..
        } if mentions(right, name) => Some((left, right)),
        ast::QueryBody::SetOperation { .. } | ast::QueryBody::Select(_) => None,
    }
}

pub(super) fn mentions(body: &ast::QueryBody, name: &str) -> bool {
    match body {
        ast::QueryBody::Select(select) => select
            .from
            .iter()
            .any(|source| source_mentions(source, name)),
        ast::QueryBody::SetOperation { left, right, .. } => {
            mentions(left, name) || mentions(right, name)
        }
    }
}

pub(super) fn source_mentions(source: &ast::TableSource, name: &str) -> bool {
    match &source.kind {
        TableSourceKind::Table { name: table, .. } => {
            table.parts.len() == 1 && same_name(table.object(), name)
        }
        TableSourceKind::Derived { query, .. } => mentions(&query.body, name),
        TableSourceKind::Join { left, right, .. } | TableSourceKind::Apply { left, right, .. } => {
            source_mentions(left, name) || source_mentions(right, name)
        }
        TableSourceKind::Variable { .. }
        | TableSourceKind::Values { .. }
        | TableSourceKind::Function { .. }
        | TableSourceKind::Changes { .. }
        | TableSourceKind::Version { .. } => false,
    }
}
