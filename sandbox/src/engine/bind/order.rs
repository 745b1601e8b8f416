//! ORDER BY, TOP and OFFSET over the rows of a SELECT.

use super::{Binder, access};
use crate::engine::fault::{Outcome, error};
use crate::engine::plan::{Access, Node, Plan, SortKey};
use crate::sql::ast;

pub(super) struct Ordering<'q> {
    pub(super) by: &'q [ast::OrderItem],
    pub(super) offset: Option<&'q ast::Expr>,
    pub(super) fetch: Option<&'q ast::Expr>,
}

impl Binder<'_, '_> {
    pub(super) fn ordered(
        &mut self,
        mut plan: Plan,
        keys: Vec<SortKey>,
        select: &ast::Select,
        order: &Ordering<'_>,
    ) -> Outcome<Plan> {
        let width = plan.width;
        if !keys.is_empty() {
            let mut presorted = 0;
            if let Node::Scan(scan) = &mut plan.node {
                let table = self.cx.held.table(scan.table)?;
                // Reading a whole index in order pays only when TOP stops it early; a seek's order is free.
                let worthwhile =
                    select.top.is_some() || matches!(scan.access, Access::Index { .. });
                if worthwhile
                    && let Some((access, covered)) =
                        access::ordered(&table.def, &scan.access, &keys)
                {
                    scan.access = access;
                    presorted = covered;
                }
            }
            if presorted < keys.len() {
                plan = Plan::new(
                    Node::Sort {
                        input: Box::new(plan),
                        keys: keys.clone(),
                        presorted,
                    },
                    width,
                );
            }
        }
        if let Some(top) = &select.top {
            if order.offset.is_some() {
                return Err(error(
                    10741,
                    15,
                    "A TOP can not be used in the same query or sub-query as a OFFSET.",
                )
                .into());
            }
            let scopes = std::mem::take(&mut self.scopes);
            let count = self.expr(&top.count);
            self.scopes = scopes;
            let ties = if top.with_ties { keys } else { Vec::new() };
            if top.with_ties && ties.is_empty() {
                return Err(error(
                    1062,
                    15,
                    "The TOP N WITH TIES clause is not allowed without a corresponding ORDER BY \
                    clause.",
                )
                .into());
            }
            plan = Plan::new(
                Node::Top {
                    input: Box::new(plan),
                    count: count?,
                    percent: top.percent,
                    ties,
                },
                width,
            );
        }
        self.offset(plan, order)
    }
}
