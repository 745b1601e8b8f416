//! Conditions over a row: true, false or unknown.

use super::{Cond, Pattern};
use crate::engine::collation::Collate;
use crate::engine::context::{Cached, Cx};
use crate::engine::fault::{Outcome, error};
use crate::engine::ordering;
use crate::engine::plan::Plan;
use crate::sql::ast::CompareOp;
use crate::value::Value;
use std::cmp::Ordering;
use std::sync::Arc;

pub(super) fn holds(op: CompareOp, order: Ordering) -> bool {
    match op {
        CompareOp::Equal => order == Ordering::Equal,
        CompareOp::NotEqual => order != Ordering::Equal,
        CompareOp::Less => order == Ordering::Less,
        CompareOp::LessOrEqual => order != Ordering::Greater,
        CompareOp::Greater => order == Ordering::Greater,
        CompareOp::GreaterOrEqual => order != Ordering::Less,
    }
}

pub(super) fn compare(
    op: CompareOp,
    a: &Value,
    b: &Value,
    collate: Option<&Collate>,
) -> Option<bool> {
    if matches!(a, Value::Null) || matches!(b, Value::Null) {
        return None;
    }
    Some(holds(op, ordering::compare(a, b, collate)))
}

pub(super) fn exists(
    plan: &Arc<Plan>,
    correlated: bool,
    row: &[Value],
    cx: &mut Cx<'_>,
) -> Outcome<bool> {
    let key = Arc::as_ptr(plan) as usize;
    if !correlated && let Some(Cached::Scalar(Value::Bit(found))) = cx.cache.get(&key) {
        return Ok(*found);
    }
    cx.outer.push(row.to_vec());
    let first = plan.open(cx).and_then(|mut cursor| cursor.next(cx));
    cx.outer.pop();
    let found = first?.is_some();
    if !correlated {
        cx.cache.insert(key, Cached::Scalar(Value::Bit(found)));
    }
    Ok(found)
}

#[allow(clippy::too_many_arguments)]
pub(super) fn quantified(
    op: CompareOp,
    value: &Value,
    all: bool,
    plan: &Arc<Plan>,
    correlated: bool,
    collate: Option<&Collate>,
    row: &[Value],
    cx: &mut Cx<'_>,
) -> Outcome<Option<bool>> {
    if !correlated && op == CompareOp::Equal && !all {
        let set = uncorrelated_set(plan, collate, row, cx)?;
        if set.keys.is_empty() && !set.has_null {
            return Ok(Some(false));
        }
        if matches!(value, Value::Null) {
            return Ok(None);
        }
        let mut key = Vec::new();
        ordering::encode(value, collate, &mut key);
        return Ok(if set.keys.contains(key.as_slice()) {
            Some(true)
        } else if set.has_null {
            None
        } else {
            Some(false)
        });
    }
    cx.outer.push(row.to_vec());
    let result = quantified_scan(op, value, all, plan, collate, cx);
    cx.outer.pop();
    result
}

pub(super) fn quantified_scan(
    op: CompareOp,
    value: &Value,
    all: bool,
    plan: &Plan,
    collate: Option<&Collate>,
    cx: &mut Cx<'_>,
) -> Outcome<Option<bool>> {
    let mut cursor = plan.open(cx)?;
    let mut result = Some(all);
    while let Some(row) = cursor.next(cx)? {
        match compare(op, value, &row[0], collate) {
            Some(truth) if truth != all => return Ok(Some(truth)),
            None => result = None,
            Some(_) => {}
        }
    }
    Ok(result)
}

pub(super) fn uncorrelated_set(
    plan: &Arc<Plan>,
    collate: Option<&Collate>,
    row: &[Value],
    cx: &mut Cx<'_>,
) -> Outcome<Arc<crate::engine::context::ValueSet>> {
    let key = Arc::as_ptr(plan) as usize;
    if let Some(Cached::Set(set)) = cx.cache.get(&key) {
        return Ok(set.clone());
    }
    let mut set = crate::engine::context::ValueSet::default();
    cx.outer.push(row.to_vec());
    let filled: Outcome<()> = (|| {
        let mut cursor = plan.open(cx)?;
        while let Some(found) = cursor.next(cx)? {
            if matches!(found[0], Value::Null) {
                set.has_null = true;
            } else {
                let mut key = Vec::new();
                ordering::encode(&found[0], collate, &mut key);
                set.keys.insert(key.into_boxed_slice());
            }
        }
        Ok(())
    })();
    cx.outer.pop();
    filled?;
    let set = Arc::new(set);
    cx.cache.insert(key, Cached::Set(set.clone()));
    Ok(set)
}

impl Cond {
    /// True, false, or unknown.
    pub fn test(&self, row: &[Value], cx: &mut Cx<'_>) -> Outcome<Option<bool>> {
        match self {
            Cond::True => Ok(Some(true)),
            Cond::And(list) => {
                let mut result = Some(true);
                for cond in list {
                    match cond.test(row, cx)? {
                        Some(false) => return Ok(Some(false)),
                        None => result = None,
                        Some(true) => {}
                    }
                }
                Ok(result)
            }
            Cond::Or(list) => {
                let mut result = Some(false);
                for cond in list {
                    match cond.test(row, cx)? {
                        Some(true) => return Ok(Some(true)),
                        None => result = None,
                        Some(false) => {}
                    }
                }
                Ok(result)
            }
            Cond::Not(inner) => Ok(inner.test(row, cx)?.map(|truth| !truth)),
            Cond::Compare {
                op,
                left,
                right,
                collate,
            } => {
                let (a, b) = (left.peek(row, cx)?, right.peek(row, cx)?);
                Ok(compare(*op, &a, &b, collate.as_deref()))
            }
            Cond::IsNull(inner) => Ok(Some(matches!(*inner.peek(row, cx)?, Value::Null))),
            Cond::InList {
                expr,
                list,
                collate,
            } => {
                let value = expr.peek(row, cx)?;
                let mut result = Some(false);
                for item in list {
                    let item = item.peek(row, cx)?;
                    match compare(CompareOp::Equal, &value, &item, collate.as_deref()) {
                        Some(true) => return Ok(Some(true)),
                        None => result = None,
                        Some(false) => {}
                    }
                }
                Ok(result)
            }
            Cond::Quantified {
                op,
                left,
                all,
                plan,
                correlated,
                collate,
            } => {
                let value = left.eval(row, cx)?;
                quantified(
                    *op,
                    &value,
                    *all,
                    plan,
                    *correlated,
                    collate.as_deref(),
                    row,
                    cx,
                )
            }
            Cond::Like {
                expr,
                pattern,
                escape,
                is_unicode,
                collate,
            } => {
                let (value, pattern) = (expr.eval(row, cx)?, pattern.eval(row, cx)?);
                let escape =
                    match escape {
                        Some(escape) => match escape.eval(row, cx)? {
                            Value::Str(units) if units.len() == 1 => Some(units[0]),
                            Value::Null => return Ok(None),
                            _ => return Err(error(
                                506,
                                16,
                                "The invalid escape character was specified in a LIKE predicate.",
                            )
                            .into()),
                        },
                        None => None,
                    };
                let (Value::Str(text), Value::Str(pattern)) = (value, pattern) else {
                    return Ok(None);
                };
                let matches = Pattern::new(&pattern, escape).matches(&text, collate, *is_unicode);
                Ok(Some(matches))
            }
            Cond::AnyDistinct(pairs) => {
                for (left, right, collate) in pairs {
                    let (a, b) = (left.peek(row, cx)?, right.peek(row, cx)?);
                    if ordering::compare(&a, &b, collate.as_deref()) != Ordering::Equal {
                        return Ok(Some(true));
                    }
                }
                Ok(Some(false))
            }
            Cond::Exists { plan, correlated } => exists(plan, *correlated, row, cx).map(Some),
            Cond::Updated(column) => Ok(Some(cx.updated_column(*column))),
        }
    }
}
