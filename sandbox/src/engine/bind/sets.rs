//! UNION, EXCEPT, INTERSECT, and ORDER BY over what they give.

use super::expr::cast;
use super::order::Ordering;
use super::select::Bound;
use super::{Binder, OutColumn, Scope};
use crate::engine::expr::{Expr, Kind};
use crate::engine::fault::{Outcome, error};
use crate::engine::plan::{Node, Plan, SortKey};
use crate::engine::types;
use crate::sql::ast::{self, ExprKind, SetOp};

impl Binder<'_, '_> {
    pub(super) fn set_operation(&mut self, op: SetOp, left: Bound, right: Bound) -> Outcome<Bound> {
        if left.columns.len() != right.columns.len() {
            return Err(error(
                205,
                16,
                "All queries combined using a UNION, INTERSECT or EXCEPT operator must have an \
                equal number of expressions in their target lists.",
            )
            .into());
        }
        let mut columns = Vec::with_capacity(left.columns.len());
        let (mut left_exprs, mut right_exprs) = (Vec::new(), Vec::new());
        for (at, (a, b)) in left.columns.iter().zip(&right.columns).enumerate() {
            let (x, y) = (column_expr(at, a), column_expr(at, b));
            let (ty, collate, _) = match (null_column(&left.plan, at), null_column(&right.plan, at))
            {
                (true, false) => (b.ty.clone(), b.collate.clone(), x.strength),
                (false, true) => (a.ty.clone(), a.collate.clone(), x.strength),
                _ => self.unify(&[&x, &y])?,
            };
            if op != SetOp::UnionAll && !types::is_comparable(&ty) {
                return Err(error(
                    421,
                    16,
                    format!(
                        "The {} data type cannot be selected as DISTINCT because it is not \
                    comparable.",
                        types::name(&ty)
                    ),
                )
                .into());
            }
            left_exprs.push(cast(x, &ty));
            right_exprs.push(cast(y, &ty));
            columns.push(OutColumn {
                name: a.name.clone(),
                ty,
                collate,
                nullable: a.nullable || b.nullable,
                identity: false,
                computed: false,
                hidden: false,
                unlisted: false,
                masked: false,
            });
        }
        let left = projected(left.plan, left_exprs);
        let right = projected(right.plan, right_exprs);
        let plan = combined(op, left, right, &columns);
        Ok(Bound {
            plan,
            columns,
            assigns: Vec::new(),
            into: None,
        })
    }

    /// ORDER BY over a finished result: by its columns' names and numbers.
    pub(super) fn order_result(&mut self, bound: Bound, order: &Ordering<'_>) -> Outcome<Bound> {
        let mut scope = Scope::default();
        scope.add(super::Source {
            name: String::new(),
            schema: None,
            columns: bound.columns.clone(),
            start: 0,
        });
        self.scopes.push(scope);
        let keys: Outcome<Vec<SortKey>> = order
            .by
            .iter()
            .map(|item| {
                let expr = match ordinal(&item.expr) {
                    Some(at) => column_expr(
                        checked_ordinal(at, bound.columns.len())?,
                        &bound.columns[at - 1],
                    ),
                    None => self.expr(&item.expr)?,
                };
                Ok(SortKey {
                    expr,
                    descending: item.descending,
                })
            })
            .collect();
        self.scopes.pop();
        let width = bound.plan.width;
        let plan = Plan::new(
            Node::Sort {
                input: Box::new(bound.plan),
                keys: keys?,
                presorted: 0,
            },
            width,
        );
        let plan = self.offset(plan, order)?;
        Ok(Bound { plan, ..bound })
    }

    pub(super) fn offset(&mut self, plan: Plan, order: &Ordering<'_>) -> Outcome<Plan> {
        let Some(skip) = order.offset else {
            return Ok(plan);
        };
        let skip = self.expr(skip)?;
        let fetch = order.fetch.map(|fetch| self.expr(fetch)).transpose()?;
        let width = plan.width;
        Ok(Plan::new(
            Node::Offset {
                input: Box::new(plan),
                skip,
                fetch,
            },
            width,
        ))
    }
}

pub fn column_expr(at: usize, column: &OutColumn) -> Expr {
    Expr::column(
        at,
        column.ty.clone(),
        column.collate.clone(),
        column.nullable,
    )
}

/// The plan of an operation on two sides of the same columns.
fn combined(op: SetOp, left: Plan, right: Plan, columns: &[OutColumn]) -> Plan {
    let width = columns.len();
    let (left, right) = (Box::new(left), Box::new(right));
    let collates = columns.iter().map(OutColumn::order).collect::<Vec<_>>();
    let distinct = |node| Plan {
        node,
        width,
        collates: collates.clone(),
    };
    match op {
        SetOp::UnionAll => Plan::new(Node::UnionAll(left, right), width),
        SetOp::Union => distinct(Node::Distinct(Box::new(Plan::new(
            Node::UnionAll(left, right),
            width,
        )))),
        SetOp::Except => distinct(Node::Subtract {
            left,
            right,
            keep: false,
        }),
        SetOp::Intersect => distinct(Node::Subtract {
            left,
            right,
            keep: true,
        }),
    }
}

pub fn projected(plan: Plan, exprs: Vec<Expr>) -> Plan {
    let same = exprs.len() == plan.width
        && exprs
            .iter()
            .enumerate()
            .all(|(at, expr)| matches!(expr.kind, Kind::Column(index) if index == at));
    if same {
        return plan;
    }
    let width = exprs.len();
    Plan::new(
        Node::Project {
            input: Box::new(plan),
            exprs,
        },
        width,
    )
}

/// Whether a column of a plan is a bare NULL, which takes the other side's type.
pub(super) fn null_column(plan: &Plan, at: usize) -> bool {
    match &plan.node {
        Node::Project { exprs, .. } => exprs.get(at).is_some_and(super::expr::is_null),
        _ => false,
    }
}

pub(super) fn ordinal(expr: &ast::Expr) -> Option<usize> {
    match expr.kind {
        ExprKind::Literal(ast::Literal::Int(n)) => Some(usize::try_from(n).unwrap_or(0)),
        _ => None,
    }
}

pub(super) fn checked_ordinal(at: usize, count: usize) -> Outcome<usize> {
    if (1..=count).contains(&at) {
        Ok(at - 1)
    } else {
        Err(error(
            108,
            16,
            format!(
                "The ORDER BY position number {at} is out of range of the number of items in the \
            select list."
            ),
        )
        .into())
    }
}

pub(super) fn set_recursion(plan: &mut Plan, limit: u32) {
    match &mut plan.node {
        Node::Recursive { limit: slot, .. } => *slot = limit,
        Node::Filter { input, .. }
        | Node::Project { input, .. }
        | Node::Permute { input, .. }
        | Node::Aggregate { input, .. }
        | Node::Distinct(input)
        | Node::Sort { input, .. }
        | Node::Top { input, .. }
        | Node::Offset { input, .. }
        | Node::Window { input, .. } => set_recursion(input, limit),
        Node::HashJoin { left, right, .. }
        | Node::LoopJoin { left, right, .. }
        | Node::Apply { left, right, .. }
        | Node::UnionAll(left, right)
        | Node::Subtract { left, right, .. } => {
            set_recursion(left, limit);
            set_recursion(right, limit);
        }
        Node::SeekJoin { left, .. } => set_recursion(left, limit),
        Node::One
        | Node::Values(_)
        | Node::Scan(_)
        | Node::Virtual { .. }
        | Node::Inserted
        | Node::Deleted
        | Node::Work { .. } => {}
    }
}
