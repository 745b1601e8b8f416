//! Which index a scan seeks in.
//!
//! Conditions stay in the scan's filter even when the seek already implies them: the seek only narrows.

use super::expr::cast;
use crate::engine::expr::{Cond, Expr, Kind};
use crate::engine::plan::{Access, SortKey};
use crate::engine::schema::TableDef;
use crate::engine::types;
use crate::sql::ast::CompareOp;

/// A comparison of a column with something that the column's row does not decide.
struct Bound {
    column: usize,
    op: CompareOp,
    value: Expr,
}

fn flip(op: CompareOp) -> CompareOp {
    match op {
        CompareOp::Less => CompareOp::Greater,
        CompareOp::LessOrEqual => CompareOp::GreaterOrEqual,
        CompareOp::Greater => CompareOp::Less,
        CompareOp::GreaterOrEqual => CompareOp::LessOrEqual,
        CompareOp::Equal | CompareOp::NotEqual => op,
    }
}

/// The column under a conversion that loses nothing: an integer widened.
fn seekable(expr: &Expr) -> Option<(usize, bool)> {
    match &expr.kind {
        Kind::Column(index) => Some((*index, false)),
        Kind::Cast {
            expr: inner,
            style: None,
            attempt: false,
        } => match inner.kind {
            Kind::Column(index) if types::is_integer(&inner.ty) && types::is_number(&expr.ty) => {
                Some((index, true))
            }
            _ => None,
        },
        _ => None,
    }
}

/// Comparisons among the conjuncts that an index can serve; columns from `offset` on are the table's, those before
/// it are known beforehand.
fn bounds(def: &TableDef, conds: &[Cond], offset: usize) -> Vec<Bound> {
    let mut out = Vec::new();
    let known = |expr: &Expr| {
        let mut free = true;
        expr.columns(&mut |index| free &= index < offset) && free
    };
    for cond in conds {
        let Cond::Compare {
            op,
            left,
            right,
            collate,
        } = cond
        else {
            continue;
        };
        for (side, other, op) in [(left, right, *op), (right, left, flip(*op))] {
            let Some((index, widened)) = seekable(side) else {
                continue;
            };
            if index < offset || op == CompareOp::NotEqual || !known(other) {
                continue;
            }
            let Some(column) = def.columns.get(index - offset) else {
                continue;
            };
            if column.collate.is_some() && column.order() != collate.as_deref() {
                continue;
            }
            let value = if widened {
                if op != CompareOp::Equal {
                    continue;
                }
                // A value that does not fit the column's type equals no row: NULL seeks nothing. A fraction is
                // caught by the filter.
                let narrowed = cast(other.clone(), &column.ty);
                match narrowed.kind {
                    Kind::Cast { expr, style, .. } => Expr {
                        kind: Kind::Cast {
                            expr,
                            style,
                            attempt: true,
                        },
                        ..narrowed
                    },
                    _ => narrowed,
                }
            } else {
                other.clone()
            };
            out.push(Bound {
                column: index - offset,
                op,
                value,
            });
            break;
        }
    }
    out
}

/// The best index for the conjuncts; none when every row must be read. `offset` as for [`bounds`].
pub fn choose(def: &TableDef, conds: &[Cond], offset: usize) -> Option<Access> {
    let bounds = bounds(def, conds, offset);
    if bounds.is_empty() {
        return None;
    }
    let mut best: Option<(u32, Access)> = None;
    for (at, index) in def.indexes.iter().enumerate() {
        if index.filter.is_some() {
            continue;
        }
        let (access, score) = match_index(at, index, &bounds);
        if score > 0 && best.as_ref().is_none_or(|(top, _)| score > *top) {
            best = Some((score, access));
        }
    }
    best.map(|(_, access)| access)
}

fn match_index(at: usize, index: &crate::engine::schema::Index, bounds: &[Bound]) -> (Access, u32) {
    let mut equal = Vec::new();
    let (mut low, mut high) = (None, None);
    for (ordinal, _) in &index.columns {
        let of = |op: &[CompareOp]| {
            bounds
                .iter()
                .find(|bound| bound.column == *ordinal && op.contains(&bound.op))
        };
        if let Some(bound) = of(&[CompareOp::Equal]) {
            equal.push(bound.value.clone());
            continue;
        }
        low = of(&[CompareOp::Greater, CompareOp::GreaterOrEqual])
            .map(|bound| (bound.value.clone(), bound.op == CompareOp::GreaterOrEqual));
        high = of(&[CompareOp::Less, CompareOp::LessOrEqual])
            .map(|bound| (bound.value.clone(), bound.op == CompareOp::LessOrEqual));
        break;
    }
    let whole = index.unique && equal.len() == index.columns.len();
    let score = equal.len() as u32 * 4
        + u32::from(low.is_some())
        + u32::from(high.is_some())
        + if whole { 100 } else { 0 };
    (
        Access::Index {
            index: at,
            equal,
            low,
            high,
            backward: false,
        },
        score,
    )
}

/// Whether an access yields the rows in (part of) the wanted order: how many leading sort keys it covers, and
/// whether to read it backward. With `Access::Rows` an index is found that does, when there is one.
pub fn ordered(def: &TableDef, access: &Access, keys: &[SortKey]) -> Option<(Access, usize)> {
    let wanted: Vec<(usize, bool)> = keys
        .iter()
        .map_while(|key| match key.expr.kind {
            Kind::Column(index)
                if key.expr.collate == def.columns.get(index).and_then(|c| c.collate.clone()) =>
            {
                Some((index, key.descending))
            }
            _ => None,
        })
        .collect();
    if wanted.is_empty() {
        return None;
    }
    match access {
        Access::Index {
            index,
            equal,
            low,
            high,
            ..
        } => {
            let (covered, backward) = covers(&def.indexes[*index].columns[equal.len()..], &wanted)?;
            let access = Access::Index {
                index: *index,
                equal: equal.clone(),
                low: low.clone(),
                high: high.clone(),
                backward,
            };
            Some((access, covered))
        }
        Access::Rows => def.indexes.iter().enumerate().find_map(|(at, index)| {
            let (covered, backward) = covers(&index.columns, &wanted)?;
            let complete = covered == keys.len() || index.unique && covered == index.columns.len();
            let usable = complete && index.filter.is_none();
            usable.then(|| {
                (
                    Access::Index {
                        index: at,
                        equal: Vec::new(),
                        low: None,
                        high: None,
                        backward,
                    },
                    covered,
                )
            })
        }),
    }
}

fn covers(columns: &[(usize, bool)], wanted: &[(usize, bool)]) -> Option<(usize, bool)> {
    let (first, want) = (columns.first()?, wanted.first()?);
    if first.0 != want.0 {
        return None;
    }
    let backward = first.1 != want.1;
    let covered = columns
        .iter()
        .zip(wanted)
        .take_while(|((column, descending), (wanted, wanted_descending))| {
            column == wanted && (descending != wanted_descending) == backward
        })
        .count();
    Some((covered, backward))
}
