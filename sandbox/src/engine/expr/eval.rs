//! Evaluation of bound expressions over a row.

use super::{BitOp, Expr, Kind};
use crate::engine::calendar::DAYS_TO_1900;
use crate::engine::collation::Collate;
use crate::engine::context::{Cached, Cx};
use crate::engine::convert::{Conversion, as_float, convert};
use crate::engine::fault::{Outcome, error, overflow};
use crate::engine::plan::Plan;
use crate::engine::types::{self, decimal, decimal::Arithmetic};
use crate::value::{SqlType, Value};
use std::borrow::Cow;
use std::sync::Arc;

impl Expr {
    /// The value without a copy where it lies in the row or the plan.
    pub(super) fn peek<'r>(&'r self, row: &'r [Value], cx: &mut Cx<'_>) -> Outcome<Cow<'r, Value>> {
        match &self.kind {
            Kind::Column(index) => Ok(Cow::Borrowed(&row[*index])),
            Kind::Const(value) => Ok(Cow::Borrowed(value)),
            _ => self.eval(row, cx).map(Cow::Owned),
        }
    }

    pub fn eval(&self, row: &[Value], cx: &mut Cx<'_>) -> Outcome<Value> {
        match &self.kind {
            Kind::Const(value) => Ok(value.clone()),
            Kind::Column(index) => Ok(row[*index].clone()),
            Kind::Outer { level, index } => {
                let at = cx.outer.len() - level;
                Ok(cx.outer[at][*index].clone())
            }
            Kind::Variable(index) => Ok(cx.ses.frame().variables[*index].value.clone()),
            Kind::Cast {
                expr,
                style,
                attempt,
            } => self.eval_cast(expr, style.as_deref(), *attempt, row, cx),
            Kind::Arithmetic(op, left, right) => {
                let (a, b) = (left.peek(row, cx)?, right.peek(row, cx)?);
                if matches!(*a, Value::Null) || matches!(*b, Value::Null) {
                    return Ok(Value::Null);
                }
                Ok(arithmetic(*op, &a, &b, &self.ty)?)
            }
            Kind::Negate(inner) => negate(inner.eval(row, cx)?, &self.ty),
            Kind::Bits(op, left, right) => {
                let (a, b) = (left.eval(row, cx)?, right.eval(row, cx)?);
                match (types::integer(&a), types::integer(&b)) {
                    (Some(x), Some(y)) => Ok(types::fit_integer(
                        match op {
                            BitOp::And => x & y,
                            BitOp::Or => x | y,
                            BitOp::Xor => x ^ y,
                        },
                        &self.ty,
                    )?),
                    _ => Ok(Value::Null),
                }
            }
            Kind::BitNot(inner) => match inner.eval(row, cx)? {
                Value::Bit(v) => Ok(Value::Bit(!v)),
                Value::TinyInt(v) => Ok(Value::TinyInt(!v)),
                other => match types::integer(&other) {
                    Some(v) => Ok(types::fit_integer(!v, &self.ty)?),
                    None => Ok(Value::Null),
                },
            },
            Kind::Concat(left, right) => {
                concat(left.peek(row, cx)?.as_ref(), right.peek(row, cx)?.as_ref())
            }
            Kind::AddDays {
                date,
                days,
                subtract,
            } => {
                let (date, days) = (date.eval(row, cx)?, days.eval(row, cx)?);
                add_days(&date, &days, *subtract)
            }
            Kind::Case(whens, otherwise) => {
                for (cond, value) in whens {
                    if cond.test(row, cx)? == Some(true) {
                        return value.eval(row, cx);
                    }
                }
                otherwise
                    .as_ref()
                    .map_or(Ok(Value::Null), |o| o.eval(row, cx))
            }
            Kind::Coalesce(list) => {
                for item in list {
                    let value = item.eval(row, cx)?;
                    if !matches!(value, Value::Null) {
                        return Ok(value);
                    }
                }
                Ok(Value::Null)
            }
            Kind::Builtin(function, args) => {
                let values = args
                    .iter()
                    .map(|arg| arg.eval(row, cx))
                    .collect::<Outcome<Vec<_>>>()?;
                let tys: Vec<SqlType> = args.iter().map(|arg| arg.ty.clone()).collect();
                let collate = args
                    .iter()
                    .filter(|arg| arg.collate.is_some())
                    .max_by_key(|arg| arg.strength)
                    .and_then(|arg| arg.collate.clone());
                // Text that is Unicode in one argument is compared as Unicode.
                let texts = || tys.iter().filter(|ty| types::is_character(ty));
                let decides = texts().find(|ty| types::is_unicode(ty));
                let collate = match decides.or_else(|| texts().next()) {
                    Some(ty) => collate.map(|collate| collate.of(ty).clone()),
                    None => collate,
                };
                let context = cx.eval_context(collate);
                Ok((function.eval)(&values, &tys, &context)?)
            }
            Kind::Meta(function, args) => {
                let values = args
                    .iter()
                    .map(|arg| arg.eval(row, cx))
                    .collect::<Outcome<Vec<_>>>()?;
                (function.eval)(cx, &values)
            }
            Kind::Subquery { plan, correlated } => scalar_subquery(plan, *correlated, row, cx),
            Kind::NextValue(at) => cx.next_sequence_value(*at),
        }
    }

    fn eval_cast(
        &self,
        expr: &Expr,
        style: Option<&Expr>,
        attempt: bool,
        row: &[Value],
        cx: &mut Cx<'_>,
    ) -> Outcome<Value> {
        let value = expr.peek(row, cx)?;
        if matches!(*value, Value::Null) {
            return Ok(Value::Null);
        }
        let style = match style {
            Some(style) => match style.eval(row, cx)? {
                Value::Null => return Ok(Value::Null),
                other => types::integer(&other).unwrap_or(0) as i32,
            },
            None => 0,
        };
        let collate = match (&self.collate, &expr.collate) {
            (Some(collate), _) | (None, Some(collate)) => collate.clone(),
            (None, None) => Collate::server(),
        };
        let conversion = Conversion {
            from: &expr.ty,
            to: &self.ty,
            style,
            collate: &collate,
            dateformat: &cx.ses.settings.dateformat,
        };
        match convert(&value, conversion) {
            Ok(value) => Ok(value),
            Err(_) if attempt => Ok(Value::Null),
            Err(error) => Err(error.into()),
        }
    }
}

fn scalar_subquery(
    plan: &Arc<Plan>,
    correlated: bool,
    row: &[Value],
    cx: &mut Cx<'_>,
) -> Outcome<Value> {
    let key = Arc::as_ptr(plan) as usize;
    if !correlated && let Some(Cached::Scalar(value)) = cx.cache.get(&key) {
        return Ok(value.clone());
    }
    cx.outer.push(row.to_vec());
    let result = first_value(plan, cx);
    cx.outer.pop();
    let value = result?;
    if !correlated {
        cx.cache.insert(key, Cached::Scalar(value.clone()));
    }
    Ok(value)
}

fn first_value(plan: &Plan, cx: &mut Cx<'_>) -> Outcome<Value> {
    let mut cursor = plan.open(cx)?;
    let Some(row) = cursor.next(cx)? else {
        return Ok(Value::Null);
    };
    if cursor.next(cx)?.is_some() {
        return Err(error(
            512,
            16,
            "Subquery returned more than 1 value. This is not permitted when the subquery follows =, !=, <, <= , >, >= \
                or when the subquery is used as an expression.",
        )
        .into());
    }
    Ok(row[0].clone())
}

/// Arithmetic on two values of the type to compute in.
pub fn arithmetic(
    op: Arithmetic,
    a: &Value,
    b: &Value,
    ty: &SqlType,
) -> Result<Value, crate::session::SqlError> {
    match (a, b) {
        (
            Value::Decimal {
                unscaled: x,
                scale: s1,
            },
            Value::Decimal {
                unscaled: y,
                scale: s2,
            },
        ) => {
            let (precision, scale) = types::precision_scale(ty);
            let unscaled = decimal::compute(op, (*x, *s1), (*y, *s2), (precision, scale))?;
            Ok(Value::Decimal { unscaled, scale })
        }
        (Value::Money(x), Value::Money(y)) => money(op, i128::from(*x), i128::from(*y), ty),
        (Value::Float(_) | Value::Real(_), _) => {
            let (x, y) = (as_float(a).unwrap_or(0.0), as_float(b).unwrap_or(0.0));
            float(op, x, y, ty)
        }
        _ => integer(op, a, b, ty),
    }
}

/// Ten-thousandths.
fn money(
    op: Arithmetic,
    x: i128,
    y: i128,
    ty: &SqlType,
) -> Result<Value, crate::session::SqlError> {
    let units = match op {
        Arithmetic::Add => x + y,
        Arithmetic::Subtract => x - y,
        Arithmetic::Multiply => decimal::rescale(x * y, 8, 4).unwrap_or(i128::MAX),
        Arithmetic::Divide if y == 0 => return Err(decimal::divide_by_zero()),
        Arithmetic::Modulo if y == 0 => return Err(decimal::divide_by_zero()),
        Arithmetic::Divide => x * 10_000 / y,
        Arithmetic::Modulo => x % y,
    };
    let fits = match ty {
        SqlType::SmallMoney => i32::try_from(units).is_ok(),
        _ => i64::try_from(units).is_ok(),
    };
    if fits {
        Ok(Value::Money(units as i64))
    } else {
        Err(overflow(types::name(ty)))
    }
}

fn float(op: Arithmetic, x: f64, y: f64, ty: &SqlType) -> Result<Value, crate::session::SqlError> {
    let result = match op {
        Arithmetic::Add => x + y,
        Arithmetic::Subtract => x - y,
        Arithmetic::Multiply => x * y,
        Arithmetic::Divide if y == 0.0 => return Err(decimal::divide_by_zero()),
        Arithmetic::Divide => x / y,
        Arithmetic::Modulo => {
            return Err(error(
                402,
                16,
                "The data types float and float are incompatible in the modulo operator.",
            ));
        }
    };
    let ok = if matches!(ty, SqlType::Real) {
        (result as f32).is_finite()
    } else {
        result.is_finite()
    };
    if !ok {
        return Err(overflow(types::name(ty)));
    }
    Ok(if matches!(ty, SqlType::Real) {
        Value::Real(result as f32)
    } else {
        Value::Float(result)
    })
}

fn integer(
    op: Arithmetic,
    a: &Value,
    b: &Value,
    ty: &SqlType,
) -> Result<Value, crate::session::SqlError> {
    let (Some(x), Some(y)) = (types::integer(a), types::integer(b)) else {
        return Err(error(
            8117,
            16,
            format!(
                "Operand data type {} is invalid for this operator.",
                types::name(ty)
            ),
        ));
    };
    let result = match op {
        Arithmetic::Add => x + y,
        Arithmetic::Subtract => x - y,
        Arithmetic::Multiply => x * y,
        Arithmetic::Divide if y == 0 => return Err(decimal::divide_by_zero()),
        Arithmetic::Modulo if y == 0 => return Err(decimal::divide_by_zero()),
        Arithmetic::Divide => x / y,
        Arithmetic::Modulo => x % y,
    };
    types::fit_integer(result, ty).map_err(|_| overflow(types::name(ty)))
}

fn negate(value: Value, ty: &SqlType) -> Outcome<Value> {
    Ok(match value {
        Value::Null => Value::Null,
        Value::Decimal { unscaled, scale } => Value::Decimal {
            unscaled: -unscaled,
            scale,
        },
        Value::Money(units) => Value::Money(units.checked_neg().ok_or_else(|| overflow("money"))?),
        Value::Float(v) => Value::Float(-v),
        Value::Real(v) => Value::Real(-v),
        other => match types::integer(&other) {
            Some(v) => types::fit_integer(-v, ty).map_err(|_| overflow(types::name(ty)))?,
            None => {
                return Err(error(
                    8117,
                    16,
                    format!(
                        "Operand data type {} is invalid for minus operator.",
                        types::name(ty)
                    ),
                )
                .into());
            }
        },
    })
}

fn concat(a: &Value, b: &Value) -> Outcome<Value> {
    Ok(match (a, b) {
        (Value::Str(x), Value::Str(y)) => Value::Str(x.iter().chain(y.iter()).copied().collect()),
        (Value::Bytes(x), Value::Bytes(y)) => {
            Value::Bytes(x.iter().chain(y.iter()).copied().collect())
        }
        _ => Value::Null,
    })
}

fn add_days(date: &Value, days: &Value, subtract: bool) -> Outcome<Value> {
    let Value::DateTime { days: day, ticks } = date else {
        return Ok(Value::Null);
    };
    let (other_days, other_ticks) = match days {
        Value::DateTime { days, ticks } => (i64::from(*days), i64::from(*ticks)),
        _ => return Ok(Value::Null),
    };
    let per_day = 300 * 86_400i64;
    let sign = if subtract { -1 } else { 1 };
    let total =
        (i64::from(*day) + sign * other_days) * per_day + i64::from(*ticks) + sign * other_ticks;
    let day = total.div_euclid(per_day);
    let range = i64::from(crate::engine::calendar::DATETIME_MIN_DAYS)
        ..=i64::from(crate::engine::calendar::MAX_DAYS - DAYS_TO_1900);
    if !range.contains(&day) {
        return Err(overflow("datetime").into());
    }
    Ok(Value::DateTime {
        days: day as i32,
        ticks: total.rem_euclid(per_day) as u32,
    })
}
