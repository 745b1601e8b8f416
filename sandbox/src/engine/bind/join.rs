//! Join trees become plans.
//!
//! A tree is planned top down with the conditions that must hold above it: what only one side decides moves down to
//! that side (where joins allow), equalities become seeks or hash keys, the rest stays with the join.

use super::Tree;
use super::{Binder, access};
use crate::engine::expr::{Cond, Expr, Kind};
use crate::engine::fault::Outcome;
use crate::engine::plan::{Access, JoinType, Node, Plan, Scan};
use crate::engine::schema::TableDef;
use crate::sql::ast::{CompareOp, JoinKind};

impl Binder<'_, '_> {
    /// Plans a tree under the conditions that must hold above it; the rows have the tree's columns only.
    pub fn plan_tree(&mut self, tree: Tree, conds: Vec<Cond>) -> Outcome<Plan> {
        let (start, end) = (tree.start(), tree.end());
        match tree {
            Tree::Table {
                scan,
                def,
                start,
                width,
                ..
            } => Ok(plan_scan(scan, &def, start, width, conds)),
            Tree::Other { plan, start } => {
                let conds = shift(conds, start);
                Ok(sought(plan, &conds).filtered(Cond::all(conds)))
            }
            Tree::Apply {
                left,
                right,
                outer,
                start: right_start,
            } => {
                let (down, rest) = split(conds, |range| range.1 <= right_start);
                let left = self.plan_tree(*left, down)?;
                let width = left.width + right.width;
                let plan = Plan::new(
                    Node::Apply {
                        left: Box::new(left),
                        right: Box::new(right),
                        outer,
                    },
                    width,
                );
                Ok(plan.filtered(Cond::all(shift(rest, start))))
            }
            Tree::Join {
                kind,
                left,
                right,
                on,
            } => {
                let middle = left.end();
                match kind {
                    JoinKind::Inner | JoinKind::Cross => {
                        let all: Vec<Cond> = conds.into_iter().chain(on).collect();
                        let (left_only, rest) = split(all, |range| range.1 <= middle);
                        let (right_only, rest) = split(rest, |range| range.0 >= middle);
                        self.join(
                            JoinType::Inner,
                            *left,
                            *right,
                            left_only,
                            right_only,
                            rest,
                            (start, middle, end),
                        )
                    }
                    JoinKind::Left => {
                        let (left_only, above) = split(conds, |range| range.1 <= middle);
                        let (right_only, rest) = split(on, |range| range.0 >= middle);
                        let plan = self.join(
                            JoinType::Left,
                            *left,
                            *right,
                            left_only,
                            right_only,
                            rest,
                            (start, middle, end),
                        )?;
                        Ok(plan.filtered(Cond::all(shift(above, start))))
                    }
                    JoinKind::Right => {
                        // The mirror image of LEFT, with the columns put back in order.
                        let (right_only, above) = split(conds, |range| range.0 >= middle);
                        let (left_only, rest) = split(on, |range| range.1 <= middle);
                        let (left_width, right_width) = (middle - start, end - middle);
                        let rest = remap(rest, move |index| {
                            if index < middle {
                                index - start + right_width
                            } else {
                                index - middle
                            }
                        });
                        let (preserved, other) = (
                            self.plan_tree(*right, right_only)?,
                            self.plan_tree(*left, left_only)?,
                        );
                        let plan = join_plans(JoinType::Left, preserved, other, rest, right_width);
                        let order = (right_width..right_width + left_width)
                            .chain(0..right_width)
                            .collect();
                        let width = left_width + right_width;
                        let plan = Plan::new(
                            Node::Permute {
                                input: Box::new(plan),
                                order,
                            },
                            width,
                        );
                        Ok(plan.filtered(Cond::all(shift(above, start))))
                    }
                    JoinKind::Full => {
                        let plan = self.join(
                            JoinType::Full,
                            *left,
                            *right,
                            Vec::new(),
                            Vec::new(),
                            on,
                            (start, middle, end),
                        )?;
                        Ok(plan.filtered(Cond::all(shift(conds, start))))
                    }
                }
            }
        }
    }

    #[allow(clippy::too_many_arguments)]
    fn join(
        &mut self,
        kind: JoinType,
        left: Tree,
        right: Tree,
        left_conds: Vec<Cond>,
        right_conds: Vec<Cond>,
        rest: Vec<Cond>,
        (start, middle, end): (usize, usize, usize),
    ) -> Outcome<Plan> {
        let width = end - start;
        let left_width = middle - start;
        let rest = shift(rest, start);
        // A seek into the right table per left row.
        if kind != JoinType::Full
            && let Tree::Table { scan, def, .. } = &right
            && let Some(access) = access::choose(def, &rest, left_width).filter(seeks_equal)
        {
            let filter = Cond::all(shift(right_conds, middle));
            let scan = Scan {
                access,
                filter,
                ..scan.clone()
            };
            let input = self.plan_tree(left, left_conds)?;
            let node = Node::SeekJoin {
                kind,
                left: Box::new(input),
                scan,
                width: end - middle,
                residual: Cond::all(rest),
            };
            return Ok(Plan::new(node, width));
        }
        // Or into the left one, when the join does not care which side drives.
        if kind == JoinType::Inner
            && let Tree::Table {
                scan, def, rows, ..
            } = &left
            && *rows > 64
            && rest.iter().all(|cond| cond.columns(&mut |_| {}))
        {
            let right_width = end - middle;
            let swapped = remap(rest.clone(), move |index| {
                if index < left_width {
                    index + right_width
                } else {
                    index - left_width
                }
            });
            if let Some(access) = access::choose(def, &swapped, right_width).filter(seeks_equal) {
                let filter = Cond::all(shift(left_conds, start));
                let scan = Scan {
                    access,
                    filter,
                    ..scan.clone()
                };
                let input = self.plan_tree(right, right_conds)?;
                let node = Node::SeekJoin {
                    kind,
                    left: Box::new(input),
                    scan,
                    width: left_width,
                    residual: Cond::all(swapped),
                };
                let plan = Plan::new(node, width);
                let order = (right_width..width).chain(0..right_width).collect();
                return Ok(Plan::new(
                    Node::Permute {
                        input: Box::new(plan),
                        order,
                    },
                    width,
                ));
            }
        }
        let (left, right) = (
            self.plan_tree(left, left_conds)?,
            self.plan_tree(right, right_conds)?,
        );
        Ok(join_plans(kind, left, right, rest, left_width))
    }
}

pub(super) fn seeks_equal(access: &Access) -> bool {
    matches!(access, Access::Index { equal, .. } if !equal.is_empty())
}

/// A scan with its conditions, by the best index.
pub fn plan_scan(
    mut scan: Scan,
    def: &TableDef,
    start: usize,
    width: usize,
    conds: Vec<Cond>,
) -> Plan {
    let (mut own, mut above) = (Vec::new(), Vec::new());
    for cond in shift(conds, start) {
        // The row id is not a column of the stored row.
        let mut beyond = false;
        let known = cond.columns(&mut |index| beyond |= index >= def.columns.len());
        if known && !beyond {
            own.push(cond)
        } else {
            above.push(cond)
        }
    }
    if let Some(access) = access::choose(def, &own, 0) {
        scan.access = access;
    }
    scan.filter = Cond::all(own);
    Plan::new(Node::Scan(scan), width).filtered(Cond::all(above))
}

/// Joins two planned inputs; the conditions see the left columns first.
pub(super) fn join_plans(
    kind: JoinType,
    left: Plan,
    right: Plan,
    conds: Vec<Cond>,
    left_width: usize,
) -> Plan {
    let width = left.width + right.width;
    let (mut left_keys, mut right_keys, mut residual) = (Vec::new(), Vec::new(), Vec::new());
    for cond in conds {
        match hash_key(&cond, left_width) {
            Some((left, right)) => {
                left_keys.push(left);
                right_keys.push(right);
            }
            None => residual.push(cond),
        }
    }
    let (left, right) = (Box::new(left), Box::new(right));
    let node = if left_keys.is_empty() {
        Node::LoopJoin {
            kind,
            left,
            right,
            on: Cond::all(residual),
        }
    } else {
        Node::HashJoin {
            kind,
            left,
            right,
            left_keys,
            right_keys,
            residual: Cond::all(residual),
        }
    };
    Plan::new(node, width)
}

/// The two sides of an equality between the inputs, each over its own row.
pub fn hash_key(cond: &Cond, left_width: usize) -> Option<(Expr, Expr)> {
    let Cond::Compare {
        op: CompareOp::Equal,
        left,
        right,
        collate,
    } = cond
    else {
        return None;
    };
    let side = |expr: &Expr| -> Option<bool> {
        let (mut any_left, mut any_right) = (false, false);
        let known = expr.columns(&mut |index| {
            if index < left_width {
                any_left = true
            } else {
                any_right = true
            }
        });
        (known && any_left != any_right).then_some(any_left)
    };
    let (a, b) = match (side(left)?, side(right)?) {
        (true, false) => (left.clone(), right.clone()),
        (false, true) => (right.clone(), left.clone()),
        _ => return None,
    };
    let (mut a, mut b) = (a, b);
    a.collate = collate.clone();
    b.collate = collate.clone();
    b.rewrite(&|kind| {
        if let Kind::Column(index) = kind {
            *index -= left_width;
        }
    });
    Some((a, b))
}

/// Parts the conditions by the stretch of columns each reads; what reads none, or cannot be told, stays.
pub(super) fn split(
    conds: Vec<Cond>,
    moves: impl Fn((usize, usize)) -> bool,
) -> (Vec<Cond>, Vec<Cond>) {
    let (mut moved, mut kept) = (Vec::new(), Vec::new());
    for cond in conds {
        let (mut low, mut high) = (usize::MAX, 0);
        let known = cond.columns(&mut |index| {
            low = low.min(index);
            high = high.max(index + 1);
        });
        if known && high > 0 && moves((low, high)) {
            moved.push(cond)
        } else {
            kept.push(cond)
        }
    }
    (moved, kept)
}

/// Conditions over the whole clause's columns, made to count from `start`.
/// A catalog view that is asked for one object looks at that one only, and waits for no other.
fn sought(mut plan: Plan, conds: &[Cond]) -> Plan {
    if let Node::Virtual {
        args,
        object: Some(column),
        ..
    } = &mut plan.node
        && args.is_empty()
    {
        args.extend(conds.iter().find_map(|cond| compared_with(cond, *column)));
    }
    plan
}

/// What a condition demands that a column equals, where that is the same for every row.
fn compared_with(cond: &Cond, column: usize) -> Option<Expr> {
    fn is_column(expr: &Expr, column: usize) -> bool {
        match &expr.kind {
            Kind::Column(index) => *index == column,
            Kind::Cast { expr, .. } => is_column(expr, column),
            _ => false,
        }
    }
    let is_free = |expr: &Expr| {
        let mut any = false;
        expr.columns(&mut |_| any = true) && !any
    };
    let Cond::Compare {
        op: CompareOp::Equal,
        left,
        right,
        ..
    } = cond
    else {
        return None;
    };
    let (one, other) = match is_column(left, column) {
        true => (left, right),
        false => (right, left),
    };
    (is_column(one, column) && is_free(other)).then(|| other.clone())
}

pub fn shift(conds: Vec<Cond>, start: usize) -> Vec<Cond> {
    if start == 0 {
        return conds;
    }
    remap(conds, move |index| index - start)
}

/// Correlated subqueries address their outer row by place, so that they can only stand where places do not move: at
/// the top.
pub(super) fn remap(conds: Vec<Cond>, place: impl Fn(usize) -> usize + 'static) -> Vec<Cond> {
    conds
        .into_iter()
        .map(|mut cond| {
            cond.rewrite(&|kind| {
                if let Kind::Column(index) = kind {
                    *index = place(*index);
                }
            });
            cond
        })
        .collect()
}
