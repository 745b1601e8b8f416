//! Query plans and their cursors.
//!
//! A plan is immutable and may be opened many times at once (a correlated subquery opens its plan per row); a
//! cursor yields rows one at a time. Base tables are read some hundred rows at a time by key, so that the state's
//! lock can be given up between two rows of a query that reads a snapshot.

use crate::engine::aggregate::Aggregate;
use crate::engine::context::Cx;
use crate::engine::expr::{Cond, Expr};
use crate::engine::fault::Outcome;
use crate::engine::schema::ObjectRef;
use crate::engine::window::WindowCall;
use crate::value::Value;
use std::sync::Arc;

mod join;
mod pipeline;
pub(super) mod scan;

pub use pipeline::sort_key;
pub use scan::{lock_key, lock_table, resolve_reading, snapshot_of};

pub type Tuple = Vec<Value>;

/// Yields the rows of an opened plan.
pub trait Cursor {
    fn next(&mut self, cx: &mut Cx<'_>) -> Outcome<Option<Tuple>>;
}

/// Table hints and whether the table is the target of a change.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Reading {
    pub no_lock: bool,
    pub read_past: bool,
    pub update_lock: bool,
    pub exclusive_lock: bool,
    /// HOLDLOCK, SERIALIZABLE.
    pub hold: bool,
    pub repeatable: bool,
    /// READCOMMITTEDLOCK: locks even where versions would do.
    pub committed_lock: bool,
    pub committed: bool,
    pub snapshot: bool,
    pub table_lock: bool,
    pub table_lock_exclusive: bool,
    pub no_wait: bool,
    pub target: bool,
}

#[derive(Debug, Clone)]
pub enum Access {
    Rows,
    Index {
        index: usize,
        /// Values of the leading key columns.
        equal: Vec<Expr>,
        /// Bounds on the next key column, and whether each is inclusive.
        low: Option<(Expr, bool)>,
        high: Option<(Expr, bool)>,
        backward: bool,
    },
}

#[derive(Debug, Clone)]
pub struct Scan {
    pub table: ObjectRef,
    pub access: Access,
    /// Over the table's row.
    pub filter: Cond,
    /// Whether the row's id is appended as a last column.
    pub row_id: bool,
    pub reading: Reading,
    /// TABLESAMPLE: keep this part of the rows.
    pub sample: Option<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JoinType {
    Inner,
    Left,
    Full,
    /// Left rows with a match.
    Semi,
    /// Left rows without a match.
    Anti,
}

#[derive(Debug, Clone)]
pub struct SortKey {
    pub expr: Expr,
    pub descending: bool,
}

/// Produces the rows of a catalog view or table function.
pub type Produce = fn(&mut Cx<'_>, &[Value], usize) -> Outcome<Vec<Tuple>>;

// A plan has few nodes and lives for one statement: their size does not matter.
#[allow(clippy::large_enum_variant)]
pub enum Node {
    /// One row without columns.
    One,
    Values(Vec<Vec<Expr>>),
    Scan(Scan),
    /// `database` is the slot that the view was named in.
    Virtual {
        produce: Produce,
        /// Of a view: the id of the only object that is asked for, if it is known.
        args: Vec<Expr>,
        database: usize,
        /// Of a view: its column `object_id`.
        object: Option<usize>,
    },
    Inserted,
    Deleted,
    Filter {
        input: Box<Plan>,
        cond: Cond,
    },
    Project {
        input: Box<Plan>,
        exprs: Vec<Expr>,
    },
    /// Columns in another order.
    Permute {
        input: Box<Plan>,
        order: Vec<usize>,
    },
    HashJoin {
        kind: JoinType,
        left: Box<Plan>,
        right: Box<Plan>,
        left_keys: Vec<Expr>,
        right_keys: Vec<Expr>,
        residual: Cond,
    },
    LoopJoin {
        kind: JoinType,
        left: Box<Plan>,
        right: Box<Plan>,
        on: Cond,
    },
    /// For each left row, a seek whose expressions read the left row.
    SeekJoin {
        kind: JoinType,
        left: Box<Plan>,
        scan: Scan,
        width: usize,
        residual: Cond,
    },
    Apply {
        left: Box<Plan>,
        right: Box<Plan>,
        outer: bool,
    },
    Aggregate {
        input: Box<Plan>,
        keys: Vec<Expr>,
        calls: Vec<Aggregate>,
    },
    Distinct(Box<Plan>),
    /// `presorted` leading keys are in order already.
    Sort {
        input: Box<Plan>,
        keys: Vec<SortKey>,
        presorted: usize,
    },
    Top {
        input: Box<Plan>,
        count: Expr,
        percent: bool,
        ties: Vec<SortKey>,
    },
    Offset {
        input: Box<Plan>,
        skip: Expr,
        fetch: Option<Expr>,
    },
    UnionAll(Box<Plan>, Box<Plan>),
    /// EXCEPT, or INTERSECT when `keep`.
    Subtract {
        left: Box<Plan>,
        right: Box<Plan>,
        keep: bool,
    },
    Window {
        input: Box<Plan>,
        calls: Vec<WindowCall>,
    },
    Recursive {
        anchor: Box<Plan>,
        step: Box<Plan>,
        limit: u32,
    },
    /// The rows that a recursive query found last, `depth` recursions out.
    Work {
        depth: usize,
    },
}

pub struct Plan {
    pub node: Node,
    pub width: usize,
    /// Collations of the columns, for DISTINCT and set operations.
    pub collates: Vec<Option<Arc<crate::engine::collation::Collate>>>,
}

impl std::fmt::Debug for Plan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "plan {self:p}")
    }
}

impl Plan {
    pub fn new(node: Node, width: usize) -> Self {
        Self {
            node,
            width,
            collates: Vec::new(),
        }
    }

    pub fn filtered(self, cond: Cond) -> Self {
        if matches!(cond, Cond::True) {
            return self;
        }
        let width = self.width;
        Self::new(
            Node::Filter {
                input: Box::new(self),
                cond,
            },
            width,
        )
    }

    /// Opens the plan over the rows in `cx.outer`.
    pub fn open<'p>(&'p self, cx: &mut Cx<'_>) -> Outcome<Box<dyn Cursor + 'p>> {
        Ok(match &self.node {
            Node::One => Box::new(pipeline::Once(Some(Vec::new()))),
            Node::Values(rows) => Box::new(pipeline::ValueRows { rows, at: 0 }),
            Node::Scan(scan) => scan::open(scan, &[], cx)?,
            Node::Virtual {
                produce,
                args,
                database,
                object: _,
            } => {
                let values = args
                    .iter()
                    .map(|arg| arg.eval(&[], cx))
                    .collect::<Outcome<Vec<_>>>()?;
                Box::new(pipeline::Rows(produce(cx, &values, *database)?.into_iter()))
            }
            Node::Inserted | Node::Deleted => {
                let rows = cx
                    .ses
                    .frame()
                    .trigger
                    .clone()
                    .map_or(Vec::new(), |trigger| {
                        let source = if matches!(self.node, Node::Inserted) {
                            &trigger.inserted
                        } else {
                            &trigger.deleted
                        };
                        source.iter().map(|row| row.to_vec()).collect()
                    });
                Box::new(pipeline::Rows(rows.into_iter()))
            }
            Node::Filter { input, cond } => Box::new(pipeline::Filter {
                input: input.open(cx)?,
                cond,
            }),
            Node::Project { input, exprs } => Box::new(pipeline::Project {
                input: input.open(cx)?,
                exprs,
            }),
            Node::Permute { input, order } => Box::new(pipeline::Permute {
                input: input.open(cx)?,
                order,
            }),
            Node::HashJoin {
                kind,
                left,
                right,
                left_keys,
                right_keys,
                residual,
            } => join::open_hash(*kind, left, right, left_keys, right_keys, residual, cx)?,
            Node::LoopJoin {
                kind,
                left,
                right,
                on,
            } => join::open_loop(*kind, left, right, on, cx)?,
            Node::SeekJoin {
                kind,
                left,
                scan,
                width,
                residual,
            } => Box::new(join::SeekJoin::new(
                *kind,
                left.open(cx)?,
                scan,
                *width,
                residual,
            )),
            Node::Apply { left, right, outer } => {
                Box::new(join::Apply::new(left.open(cx)?, right, *outer))
            }
            Node::Aggregate { input, keys, calls } => {
                crate::engine::aggregate::open(input, keys, calls, cx)?
            }
            Node::Distinct(input) => {
                Box::new(pipeline::Distinct::new(input.open(cx)?, &self.collates))
            }
            Node::Sort {
                input,
                keys,
                presorted,
            } => Box::new(pipeline::Sort::new(input.open(cx)?, keys, *presorted)),
            Node::Top {
                input,
                count,
                percent,
                ties,
            } => pipeline::open_top(input, count, *percent, ties, cx)?,
            Node::Offset { input, skip, fetch } => {
                pipeline::open_offset(input, skip, fetch.as_ref(), cx)?
            }
            Node::UnionAll(left, right) => Box::new(pipeline::UnionAll {
                left: Some(left.open(cx)?),
                right,
                opened: None,
            }),
            Node::Subtract { left, right, keep } => {
                pipeline::open_subtract(left, right, *keep, &self.collates, cx)?
            }
            Node::Window { input, calls } => crate::engine::window::open(input, calls, cx)?,
            Node::Recursive {
                anchor,
                step,
                limit,
            } => pipeline::open_recursive(anchor, step, *limit, cx)?,
            Node::Work { depth } => {
                let at = cx.work.len() - 1 - depth;
                let rows = cx.work[at].clone();
                Box::new(pipeline::Rows(
                    rows.iter().cloned().collect::<Vec<_>>().into_iter(),
                ))
            }
        })
    }

    /// All rows at once.
    pub fn collect(&self, cx: &mut Cx<'_>) -> Outcome<Vec<Tuple>> {
        let mut cursor = self.open(cx)?;
        let mut out = Vec::new();
        while let Some(row) = cursor.next(cx)? {
            out.push(row);
        }
        Ok(out)
    }
}
