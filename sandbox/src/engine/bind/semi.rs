//! EXISTS and NOT EXISTS as joins.

use super::{Binder, Scope, Tree, access};
use crate::engine::expr::{Cond, Expr, Kind};
use crate::engine::fault::Outcome;
use crate::engine::plan::{Access, JoinType, Node, Plan};
use crate::sql::ast::{self, ConditionKind, QueryBody};
use std::cell::Cell;

impl Binder<'_, '_> {
    /// EXISTS or NOT EXISTS as a join, when its condition is made of comparisons with the outer row.
    pub(super) fn semi_join(&mut self, cond: &ast::Condition) -> Outcome<Option<SemiJoin>> {
        let (query, anti) = match &cond.kind {
            ConditionKind::Exists(query) => (query, false),
            ConditionKind::Not(inner) => match &inner.kind {
                ConditionKind::Exists(query) => (query, true),
                _ => return Ok(None),
            },
            _ => return Ok(None),
        };
        let QueryBody::Select(select) = &query.body else {
            return Ok(None);
        };
        let simple = !select.from.is_empty()
            && select.group_by.is_empty()
            && select.having.is_none()
            && select.top.is_none()
            && query.offset.is_none();
        let Some(filter) = select.filter.as_ref().filter(|_| simple) else {
            return Ok(None);
        };
        let Some(left_width) = self.scopes.last().map(|scope| scope.width) else {
            return Ok(None);
        };
        let lowest = self.lowest;
        let mut scope = Scope::default();
        let trees = self.from(&select.from, &mut scope)?;
        let right_width = scope.width;
        self.scopes.push(scope);
        let listed = self.lists(select, &[]);
        let bound = self.cond(filter);
        self.windows.clear();
        self.scopes.pop();
        // An aggregate makes one group: EXISTS is then always true, which the plain way finds out.
        if listed.is_err() {
            self.lowest = lowest;
            return Ok(None);
        }
        let mut conds = Vec::new();
        bound?.conjuncts(&mut conds);
        let Some([tree]) = <[Tree; 1]>::try_from(trees)
            .ok()
            .filter(|[tree]| reads_tables_only(tree))
        else {
            return Ok(None);
        };
        let (mut inner, mut across) = (Vec::new(), Vec::new());
        for mut cond in conds {
            let outer = Cell::new(false);
            let whole =
                cond.rewrite(&|kind| outer.set(outer.get() || matches!(kind, Kind::Outer { .. })));
            if !whole {
                return Ok(None);
            }
            if !outer.get() {
                inner.push(cond);
                continue;
            }
            cond.rewrite(&|kind| match kind {
                Kind::Column(index) => *index += left_width,
                Kind::Outer { level: 1, index } => *kind = Kind::Column(*index),
                Kind::Outer { level, .. } => *level -= 1,
                _ => {}
            });
            across.push(cond);
        }
        let kind = if anti { JoinType::Anti } else { JoinType::Semi };
        if let Tree::Table { scan, def, .. } = &tree
            && let Some(access) = access::choose(def, &across, left_width)
                .filter(|access| matches!(access, Access::Index { equal, .. } if !equal.is_empty()))
        {
            let scan = crate::engine::plan::Scan {
                access,
                filter: Cond::all(inner),
                ..scan.clone()
            };
            return Ok(Some(SemiJoin::Seek {
                kind,
                scan,
                width: right_width,
                residual: Cond::all(across),
            }));
        }
        let right = self.plan_tree(tree, inner)?;
        let (mut left_keys, mut right_keys, mut residual) = (Vec::new(), Vec::new(), Vec::new());
        for cond in across {
            match super::join::hash_key(&cond, left_width) {
                Some((a, b)) => {
                    left_keys.push(a);
                    right_keys.push(b);
                }
                None => residual.push(cond),
            }
        }
        if left_keys.is_empty() {
            return Ok(None);
        }
        Ok(Some(SemiJoin::Hash {
            kind,
            right,
            left_keys,
            right_keys,
            residual: Cond::all(residual),
        }))
    }
}

// One per EXISTS, for one statement.
#[allow(clippy::large_enum_variant)]
pub(super) enum SemiJoin {
    Seek {
        kind: JoinType,
        scan: crate::engine::plan::Scan,
        width: usize,
        residual: Cond,
    },
    Hash {
        kind: JoinType,
        right: Plan,
        left_keys: Vec<Expr>,
        right_keys: Vec<Expr>,
        residual: Cond,
    },
}

pub(super) fn reads_tables_only(tree: &Tree) -> bool {
    let free = |conds: &[Cond]| {
        conds.iter().all(|cond| {
            let outer = Cell::new(false);
            let whole = cond
                .clone()
                .rewrite(&|kind| outer.set(outer.get() || matches!(kind, Kind::Outer { .. })));
            whole && !outer.get()
        })
    };
    match tree {
        Tree::Table { .. } => true,
        Tree::Other { .. } | Tree::Apply { .. } => false,
        Tree::Join {
            left, right, on, ..
        } => free(on) && reads_tables_only(left) && reads_tables_only(right),
    }
}

impl SemiJoin {
    pub(super) fn over(self, plan: Plan) -> Plan {
        let (full, left) = (plan.width, Box::new(plan));
        let node = match self {
            SemiJoin::Seek {
                kind,
                scan,
                width,
                residual,
            } => Node::SeekJoin {
                kind,
                left,
                scan,
                width,
                residual,
            },
            SemiJoin::Hash {
                kind,
                right,
                left_keys,
                right_keys,
                residual,
            } => Node::HashJoin {
                kind,
                left,
                right: Box::new(right),
                left_keys,
                right_keys,
                residual,
            },
        };
        Plan::new(node, full)
    }
}
