//! Search conditions.

use super::expr::{agree, cast, comparable, is_null};
use super::{Binder, at_line};
use crate::engine::expr::{Cond, Expr, Kind};
use crate::engine::fault::{Outcome, error, invalid_column};
use crate::engine::types;
use crate::sql::ast::{self, CompareOp, ConditionKind};
use crate::value::SqlType;
use std::sync::Arc;

impl Binder<'_, '_> {
    pub fn cond(&mut self, cond: &ast::Condition) -> Outcome<Cond> {
        self.cond_inner(cond)
            .map_err(|stop| stop.map(|error| at_line(error, cond.line)))
    }

    fn cond_inner(&mut self, cond: &ast::Condition) -> Outcome<Cond> {
        let negate = |cond: Cond, negated: bool| {
            if negated {
                Cond::Not(Box::new(cond))
            } else {
                cond
            }
        };
        match &cond.kind {
            ConditionKind::And(list) => Ok(Cond::And(
                list.iter().map(|c| self.cond(c)).collect::<Outcome<_>>()?,
            )),
            ConditionKind::Or(list) => Ok(Cond::Or(
                list.iter().map(|c| self.cond(c)).collect::<Outcome<_>>()?,
            )),
            ConditionKind::Not(inner) => Ok(Cond::Not(Box::new(self.cond(inner)?))),
            ConditionKind::Compare { op, left, right } => {
                let (left, right) = (self.expr(left)?, self.expr(right)?);
                self.compare(*op, left, right)
            }
            ConditionKind::Quantified {
                op,
                left,
                all,
                query,
            } => {
                let left = self.expr(left)?;
                self.quantified(*op, left, *all, query)
            }
            ConditionKind::Between {
                negated,
                expr,
                low,
                high,
            } => {
                let (value, low, high) = (self.expr(expr)?, self.expr(low)?, self.expr(high)?);
                let from = self.compare(CompareOp::GreaterOrEqual, value.clone(), low)?;
                let to = self.compare(CompareOp::LessOrEqual, value, high)?;
                Ok(negate(Cond::And(vec![from, to]), *negated))
            }
            ConditionKind::InList {
                negated,
                expr,
                list,
            } => {
                let value = self.expr(expr)?;
                let items = list
                    .iter()
                    .map(|item| self.expr(item))
                    .collect::<Outcome<Vec<_>>>()?;
                Ok(negate(self.in_list(value, items)?, *negated))
            }
            ConditionKind::InQuery {
                negated,
                expr,
                query,
            } => {
                let left = self.expr(expr)?;
                Ok(negate(
                    self.quantified(CompareOp::Equal, left, false, query)?,
                    *negated,
                ))
            }
            ConditionKind::Like {
                negated,
                expr,
                pattern,
                escape,
            } => {
                let (value, pattern) = (self.expr(expr)?, self.expr(pattern)?);
                let escape = escape.as_ref().map(|e| self.expr(e)).transpose()?;
                let wide = |expr: Expr| {
                    if types::is_character(&expr.ty) {
                        expr
                    } else {
                        cast(expr, &SqlType::NVarChar(Some(4000)))
                    }
                };
                let (value, pattern) = (wide(value), wide(pattern));
                let (collate, _) = agree(&value, &pattern, "like")?;
                let collate = collate.unwrap_or_else(|| self.default_collate());
                // Unicode on one side makes it a comparison of Unicode.
                let is_unicode = types::is_unicode(&value.ty) || types::is_unicode(&pattern.ty);
                let collate = match is_unicode {
                    true => collate,
                    false => collate.of(&value.ty).clone(),
                };
                Ok(negate(
                    Cond::Like {
                        expr: value,
                        pattern,
                        escape: escape.map(wide),
                        is_unicode,
                        collate,
                    },
                    *negated,
                ))
            }
            ConditionKind::IsNull { negated, expr } => {
                Ok(negate(Cond::IsNull(self.expr(expr)?), *negated))
            }
            ConditionKind::IsDistinctFrom {
                negated,
                left,
                right,
            } => {
                let (left, right) = (self.expr(left)?, self.expr(right)?);
                let pair = self.distinct_pair(left, right)?;
                Ok(negate(Cond::AnyDistinct(vec![pair]), *negated))
            }
            ConditionKind::Exists(query) => match self.row_difference(query)? {
                Some(cond) => Ok(cond),
                None => {
                    let (bound, correlated) = self.nested(query)?;
                    Ok(Cond::Exists {
                        plan: Arc::new(bound.plan),
                        correlated,
                    })
                }
            },
            ConditionKind::ColumnUpdated(column) => {
                let Some(trigger) = &self.cx.ses.frame().trigger else {
                    return Err(error(
                        140,
                        15,
                        "Can only use IF UPDATE within a CREATE TRIGGER statement.",
                    )
                    .into());
                };
                let table = self.cx.held.table(trigger.table)?;
                let ordinal = table
                    .def
                    .column(&column.text)
                    .ok_or_else(|| invalid_column(&column.text))?;
                Ok(Cond::Updated(ordinal))
            }
        }
    }

    pub fn compare(&mut self, op: CompareOp, left: Expr, right: Expr) -> Outcome<Cond> {
        let (left, right, collate) = self.comparable_pair(left, right, "equal to")?;
        Ok(Cond::Compare {
            op,
            left,
            right,
            collate,
        })
    }

    fn comparable_pair(
        &mut self,
        left: Expr,
        right: Expr,
        what: &str,
    ) -> Outcome<(Expr, Expr, Option<Arc<crate::engine::collation::Collate>>)> {
        let ty = if is_null(&left) {
            right.ty.clone()
        } else if is_null(&right) {
            left.ty.clone()
        } else {
            types::common(&left.ty, &right.ty).map_err(|clash| {
                if types::is_comparable(&left.ty) && types::is_comparable(&right.ty) {
                    clash
                } else {
                    incomparable(&left, &right, what)
                }
            })?
        };
        if !types::is_comparable(&ty) {
            return Err(incomparable(&left, &right, what).into());
        }
        let collate = if types::is_character(&ty) || ty == SqlType::SqlVariant {
            agree(&left, &right, what)?
                .0
                .map(|collate| collate.of(&ty).clone())
        } else {
            None
        };
        Ok((comparable(left, &ty), comparable(right, &ty), collate))
    }

    pub fn distinct_pair(
        &mut self,
        left: Expr,
        right: Expr,
    ) -> Outcome<(Expr, Expr, Option<Arc<crate::engine::collation::Collate>>)> {
        self.comparable_pair(left, right, "is distinct from")
    }

    fn in_list(&mut self, value: Expr, items: Vec<Expr>) -> Outcome<Cond> {
        // One type for the whole list, so that one conversion of the left side serves.
        let all: Vec<&Expr> = std::iter::once(&value).chain(&items).collect();
        let (ty, _, _) = self.unify(&all)?;
        if !types::is_comparable(&ty) {
            return Err(incomparable(&value, &value, "equal to").into());
        }
        let mut collate = None;
        if types::is_character(&ty) {
            for item in &items {
                collate = agree(&value, item, "equal to")?
                    .0
                    .map(|collate| collate.of(&ty).clone());
            }
        }
        let list = items
            .into_iter()
            .map(|item| comparable(item, &ty))
            .collect();
        Ok(Cond::InList {
            expr: comparable(value, &ty),
            list,
            collate,
        })
    }

    fn quantified(
        &mut self,
        op: CompareOp,
        left: Expr,
        all: bool,
        query: &ast::Query,
    ) -> Outcome<Cond> {
        let (mut bound, correlated) = self.nested(query)?;
        let [column] = bound.columns.as_slice() else {
            return Err(error(
                116,
                16,
                "Only one expression can be specified in the select list when the subquery is \
                not introduced with EXISTS.",
            )
            .into());
        };
        let right = Expr::column(0, column.ty.clone(), column.collate.clone(), true);
        let (left, right, collate) = self.comparable_pair(left, right, "equal to")?;
        if !matches!(right.kind, Kind::Column(_)) {
            let node = crate::engine::plan::Node::Project {
                input: Box::new(bound.plan),
                exprs: vec![right],
            };
            bound.plan = crate::engine::plan::Plan::new(node, 1);
        }
        Ok(Cond::Quantified {
            op,
            left,
            all,
            plan: Arc::new(bound.plan),
            correlated,
            collate,
        })
    }

    /// `EXISTS (SELECT a, b EXCEPT SELECT c, d)` without FROM asks whether two rows differ, NULL being equal to
    /// NULL; INTERSECT whether they agree.
    fn row_difference(&mut self, query: &ast::Query) -> Outcome<Option<Cond>> {
        let ast::QueryBody::SetOperation {
            op, left, right, ..
        } = &query.body
        else {
            return Ok(None);
        };
        let except = match op {
            ast::SetOp::Except => true,
            ast::SetOp::Intersect => false,
            ast::SetOp::Union | ast::SetOp::UnionAll => return Ok(None),
        };
        let (Some(left), Some(right)) = (bare_row(left), bare_row(right)) else {
            return Ok(None);
        };
        if left.len() != right.len() {
            return Err(error(
                205,
                16,
                "All queries combined using a UNION, INTERSECT or EXCEPT operator must have an \
                equal number of expressions in their target lists.",
            )
            .into());
        }
        let mut pairs = Vec::with_capacity(left.len());
        for (left, right) in left.iter().zip(&right) {
            let (left, right) = (self.expr(left)?, self.expr(right)?);
            pairs.push(self.distinct_pair(left, right)?);
        }
        let differs = Cond::AnyDistinct(pairs);
        Ok(Some(if except {
            differs
        } else {
            Cond::Not(Box::new(differs))
        }))
    }
}

/// The expressions of a SELECT that has nothing but its list.
fn bare_row(body: &ast::QueryBody) -> Option<Vec<&ast::Expr>> {
    let ast::QueryBody::Select(select) = body else {
        return None;
    };
    let plain = select.from.is_empty()
        && select.filter.is_none()
        && select.top.is_none()
        && select.group_by.is_empty()
        && select.having.is_none()
        && select.into.is_none();
    if !plain {
        return None;
    }
    select
        .items
        .iter()
        .map(|item| match item {
            ast::SelectItem::Expr { expr, .. } => Some(expr),
            ast::SelectItem::Star
            | ast::SelectItem::QualifiedStar(_)
            | ast::SelectItem::Assign { .. } => None,
        })
        .collect()
}

fn incomparable(left: &Expr, right: &Expr, what: &str) -> crate::session::SqlError {
    error(
        402,
        16,
        format!(
            "The data types {} and {} are incompatible in the {what} operator.",
            types::name(&left.ty),
            types::name(&right.ty)
        ),
    )
}
