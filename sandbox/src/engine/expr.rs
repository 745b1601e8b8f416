//! Bound expressions: names are ordinals, types and collations are settled, conversions are explicit.

use crate::engine::collation::Collate;
use crate::engine::functions::Builtin;
use crate::engine::meta::MetaFunction;
use crate::engine::plan::Plan;
use crate::engine::schema::ObjectRef;
use crate::engine::types::decimal::Arithmetic;
use crate::sql::ast::CompareOp;
use crate::value::{SqlType, Value};
use std::sync::Arc;

mod eval;
mod like;
mod truth;

pub use like::Pattern;

/// How firmly an expression's collation is set; two different collations of the same strength clash (error 468).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Strength {
    /// Literals and variables.
    Default,
    /// Columns.
    Implicit,
    /// COLLATE.
    Explicit,
}

#[derive(Debug, Clone)]
pub struct Expr {
    pub kind: Kind,
    pub ty: SqlType,
    /// Set exactly for character types.
    pub collate: Option<Arc<Collate>>,
    pub strength: Strength,
    pub nullable: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BitOp {
    And,
    Or,
    Xor,
}

#[derive(Clone)]
pub enum Kind {
    Const(Value),
    /// Of the current row.
    Column(usize),
    /// Of a row of an enclosing query, 1 being the nearest.
    Outer {
        level: usize,
        index: usize,
    },
    /// A local variable by its place in the frame.
    Variable(usize),
    Cast {
        expr: Box<Expr>,
        style: Option<Box<Expr>>,
        attempt: bool,
    },
    /// Both sides have the type to compute in.
    Arithmetic(Arithmetic, Box<Expr>, Box<Expr>),
    Negate(Box<Expr>),
    Bits(BitOp, Box<Expr>, Box<Expr>),
    BitNot(Box<Expr>),
    Concat(Box<Expr>, Box<Expr>),
    /// A datetime and a number of days, or the reverse.
    AddDays {
        date: Box<Expr>,
        days: Box<Expr>,
        subtract: bool,
    },
    Case(Vec<(Cond, Expr)>, Option<Box<Expr>>),
    Coalesce(Vec<Expr>),
    Builtin(&'static Builtin, Vec<Expr>),
    Meta(&'static MetaFunction, Vec<Expr>),
    Subquery {
        plan: Arc<Plan>,
        correlated: bool,
    },
    NextValue(ObjectRef),
}

#[derive(Debug, Clone)]
pub enum Cond {
    True,
    And(Vec<Cond>),
    Or(Vec<Cond>),
    Not(Box<Cond>),
    /// Both sides have one type.
    Compare {
        op: CompareOp,
        left: Expr,
        right: Expr,
        collate: Option<Arc<Collate>>,
    },
    IsNull(Expr),
    /// All have one type.
    InList {
        expr: Expr,
        list: Vec<Expr>,
        collate: Option<Arc<Collate>>,
    },
    /// `left op ANY (plan)`, or ALL.
    Quantified {
        op: CompareOp,
        left: Expr,
        all: bool,
        plan: Arc<Plan>,
        correlated: bool,
        collate: Option<Arc<Collate>>,
    },
    Like {
        expr: Expr,
        pattern: Expr,
        escape: Option<Expr>,
        is_unicode: bool,
        collate: Arc<Collate>,
    },
    /// Some pair differs, NULL being equal to NULL: never unknown.
    AnyDistinct(Vec<(Expr, Expr, Option<Arc<Collate>>)>),
    Exists {
        plan: Arc<Plan>,
        correlated: bool,
    },
    /// `UPDATE(column)`
    Updated(usize),
}

impl std::fmt::Debug for Kind {
    /// Equal texts mean equal expressions (subqueries by identity): GROUP BY relies on it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Kind::Const(value) => write!(f, "const {value:?}"),
            Kind::Column(index) => write!(f, "column {index}"),
            Kind::Outer { level, index } => write!(f, "outer {level} {index}"),
            Kind::Variable(index) => write!(f, "variable {index}"),
            Kind::Cast {
                expr,
                style,
                attempt,
            } => write!(f, "cast({expr:?} {style:?} {attempt})"),
            Kind::Arithmetic(op, a, b) => write!(f, "{op:?}({a:?} {b:?})"),
            Kind::Negate(a) => write!(f, "negate({a:?})"),
            Kind::Bits(op, a, b) => write!(f, "bits {op:?}({a:?} {b:?})"),
            Kind::BitNot(a) => write!(f, "bitnot({a:?})"),
            Kind::Concat(a, b) => write!(f, "concat({a:?} {b:?})"),
            Kind::AddDays {
                date,
                days,
                subtract,
            } => write!(f, "days({date:?} {days:?} {subtract})"),
            Kind::Case(whens, otherwise) => write!(f, "case({whens:?} {otherwise:?})"),
            Kind::Coalesce(list) => write!(f, "coalesce({list:?})"),
            Kind::Builtin(function, args) => write!(f, "{}({args:?})", function.name),
            Kind::Meta(function, args) => write!(f, "{}({args:?})", function.name),
            Kind::Subquery { plan, .. } => write!(f, "subquery {:p}", Arc::as_ptr(plan)),
            Kind::NextValue(at) => write!(f, "next {at:?}"),
        }
    }
}

impl Expr {
    pub fn constant(value: Value, ty: SqlType) -> Self {
        let collate = crate::engine::types::is_character(&ty).then(Collate::server);
        let nullable = matches!(value, Value::Null);
        Self {
            kind: Kind::Const(value),
            ty,
            collate,
            strength: Strength::Default,
            nullable,
        }
    }

    pub fn column(
        index: usize,
        ty: SqlType,
        collate: Option<Arc<Collate>>,
        nullable: bool,
    ) -> Self {
        Self {
            kind: Kind::Column(index),
            ty,
            collate,
            strength: Strength::Implicit,
            nullable,
        }
    }

    /// What orders the expression's values.
    pub fn order(&self) -> Option<&Collate> {
        let collate = self.collate.as_ref()?;
        Some(collate.of(&self.ty))
    }

    /// Calls `visit` for every column of the current row that the expression reads; false when that cannot be told
    /// (it has a subquery).
    pub fn columns(&self, visit: &mut dyn FnMut(usize)) -> bool {
        match &self.kind {
            Kind::Const(_) | Kind::Variable(_) | Kind::Outer { .. } | Kind::NextValue(_) => true,
            Kind::Column(index) => {
                visit(*index);
                true
            }
            Kind::Cast { expr, style, .. } => {
                expr.columns(visit) && style.as_ref().is_none_or(|s| s.columns(visit))
            }
            Kind::Negate(a) | Kind::BitNot(a) => a.columns(visit),
            Kind::Arithmetic(_, a, b) | Kind::Bits(_, a, b) | Kind::Concat(a, b) => {
                a.columns(visit) && b.columns(visit)
            }
            Kind::AddDays { date, days, .. } => date.columns(visit) && days.columns(visit),
            Kind::Case(whens, otherwise) => {
                whens
                    .iter()
                    .all(|(cond, value)| cond.columns(visit) && value.columns(visit))
                    && otherwise.as_ref().is_none_or(|o| o.columns(visit))
            }
            Kind::Coalesce(list) | Kind::Builtin(_, list) | Kind::Meta(_, list) => {
                list.iter().all(|e| e.columns(visit))
            }
            Kind::Subquery { correlated, .. } => !correlated,
        }
    }

    /// Rewrites the places of columns and outer columns; false when a subquery stands in the way.
    pub fn rewrite(&mut self, change: &dyn Fn(&mut Kind)) -> bool {
        change(&mut self.kind);
        match &mut self.kind {
            Kind::Const(_)
            | Kind::Variable(_)
            | Kind::Outer { .. }
            | Kind::NextValue(_)
            | Kind::Column(_) => true,
            Kind::Cast { expr, style, .. } => {
                expr.rewrite(change) && style.as_mut().is_none_or(|s| s.rewrite(change))
            }
            Kind::Negate(a) | Kind::BitNot(a) => a.rewrite(change),
            Kind::Arithmetic(_, a, b) | Kind::Bits(_, a, b) | Kind::Concat(a, b) => {
                a.rewrite(change) && b.rewrite(change)
            }
            Kind::AddDays { date, days, .. } => date.rewrite(change) && days.rewrite(change),
            Kind::Case(whens, otherwise) => {
                whens
                    .iter_mut()
                    .all(|(cond, value)| cond.rewrite(change) && value.rewrite(change))
                    && otherwise.as_mut().is_none_or(|o| o.rewrite(change))
            }
            Kind::Coalesce(list) | Kind::Builtin(_, list) | Kind::Meta(_, list) => {
                list.iter_mut().all(|e| e.rewrite(change))
            }
            Kind::Subquery { correlated, .. } => !*correlated,
        }
    }
}

impl Cond {
    pub fn columns(&self, visit: &mut dyn FnMut(usize)) -> bool {
        match self {
            Cond::True | Cond::Updated(_) => true,
            Cond::And(list) | Cond::Or(list) => list.iter().all(|c| c.columns(visit)),
            Cond::Not(inner) => inner.columns(visit),
            Cond::Compare { left, right, .. } => left.columns(visit) && right.columns(visit),
            Cond::IsNull(e) => e.columns(visit),
            Cond::InList { expr, list, .. } => {
                expr.columns(visit) && list.iter().all(|e| e.columns(visit))
            }
            Cond::Quantified {
                left, correlated, ..
            } => !correlated && left.columns(visit),
            Cond::Like {
                expr,
                pattern,
                escape,
                ..
            } => {
                expr.columns(visit)
                    && pattern.columns(visit)
                    && escape.as_ref().is_none_or(|e| e.columns(visit))
            }
            Cond::AnyDistinct(pairs) => pairs
                .iter()
                .all(|(a, b, _)| a.columns(visit) && b.columns(visit)),
            Cond::Exists { correlated, .. } => !correlated,
        }
    }

    pub fn rewrite(&mut self, change: &dyn Fn(&mut Kind)) -> bool {
        match self {
            Cond::True | Cond::Updated(_) => true,
            Cond::And(list) | Cond::Or(list) => list.iter_mut().all(|c| c.rewrite(change)),
            Cond::Not(inner) => inner.rewrite(change),
            Cond::Compare { left, right, .. } => left.rewrite(change) && right.rewrite(change),
            Cond::IsNull(e) => e.rewrite(change),
            Cond::InList { expr, list, .. } => {
                expr.rewrite(change) && list.iter_mut().all(|e| e.rewrite(change))
            }
            Cond::Quantified {
                left, correlated, ..
            } => !*correlated && left.rewrite(change),
            Cond::Like {
                expr,
                pattern,
                escape,
                ..
            } => {
                expr.rewrite(change)
                    && pattern.rewrite(change)
                    && escape.as_mut().is_none_or(|e| e.rewrite(change))
            }
            Cond::AnyDistinct(pairs) => pairs
                .iter_mut()
                .all(|(a, b, _)| a.rewrite(change) && b.rewrite(change)),
            Cond::Exists { correlated, .. } => !*correlated,
        }
    }

    /// Splits nested ANDs into their parts.
    pub fn conjuncts(self, out: &mut Vec<Cond>) {
        match self {
            Cond::True => {}
            Cond::And(list) => list.into_iter().for_each(|c| c.conjuncts(out)),
            other => out.push(other),
        }
    }

    pub fn all(mut list: Vec<Cond>) -> Cond {
        match list.len() {
            0 => Cond::True,
            1 => list.remove(0),
            _ => Cond::And(list),
        }
    }
}
