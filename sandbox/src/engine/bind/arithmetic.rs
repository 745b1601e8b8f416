//! Operators and the types of their results.

use super::Binder;
use super::expr::{agree, cast};
use crate::engine::expr::{BitOp, Expr, Kind, Strength};
use crate::engine::fault::{Outcome, error};
use crate::engine::types::{self, decimal, decimal::Arithmetic};
use crate::session::SqlError;
use crate::sql::ast::{self, BinaryOp, UnaryOp};
use crate::value::{SqlType, Value};

impl Binder<'_, '_> {
    pub(super) fn unary(&mut self, op: UnaryOp, inner: &ast::Expr) -> Outcome<Expr> {
        let inner = self.expr(inner)?;
        let operand = match inner.ty {
            SqlType::Bit => cast(inner, &SqlType::TinyInt),
            _ => inner,
        };
        if !types::is_number(&operand.ty) {
            return Err(error(
                8117,
                16,
                format!(
                    "Operand data type {} is invalid for minus operator.",
                    types::name(&operand.ty)
                ),
            )
            .into());
        }
        let build = |kind, operand: &Expr, ty| Expr {
            kind,
            ty,
            collate: None,
            strength: Strength::Default,
            nullable: operand.nullable,
        };
        Ok(match op {
            UnaryOp::Plus => operand,
            UnaryOp::Minus => {
                if let Kind::Const(value) = &operand.kind {
                    let negated = match value {
                        Value::Int(v) => v.checked_neg().map(Value::Int),
                        Value::Decimal { unscaled, scale } => Some(Value::Decimal {
                            unscaled: -unscaled,
                            scale: *scale,
                        }),
                        Value::Float(v) => Some(Value::Float(-v)),
                        Value::Money(v) => v.checked_neg().map(Value::Money),
                        _ => None,
                    };
                    if let Some(value) = negated {
                        return Ok(Expr {
                            kind: Kind::Const(value),
                            ..operand
                        });
                    }
                }
                let ty = if matches!(operand.ty, SqlType::TinyInt) {
                    SqlType::SmallInt
                } else {
                    operand.ty.clone()
                };
                build(Kind::Negate(Box::new(operand.clone())), &operand, ty)
            }
            UnaryOp::BitNot => {
                let ty = operand.ty.clone();
                build(Kind::BitNot(Box::new(operand.clone())), &operand, ty)
            }
        })
    }

    pub fn binary(&mut self, op: BinaryOp, left: Expr, right: Expr) -> Outcome<Expr> {
        let nullable = left.nullable || right.nullable;
        let plain = |kind, ty| Expr {
            kind,
            ty,
            collate: None,
            strength: Strength::Default,
            nullable,
        };
        let texts = types::is_character(&left.ty) || types::is_character(&right.ty);
        let both_text = types::is_character(&left.ty) && types::is_character(&right.ty);
        let both_binary = types::is_binary(&left.ty) && types::is_binary(&right.ty);
        if op == BinaryOp::Add
            && (both_text
                || both_binary
                || (texts && (types::is_binary(&left.ty) || types::is_binary(&right.ty))))
        {
            return self.concat(left, right);
        }
        let arithmetic = match op {
            BinaryOp::Add => Arithmetic::Add,
            BinaryOp::Subtract => Arithmetic::Subtract,
            BinaryOp::Multiply => Arithmetic::Multiply,
            BinaryOp::Divide => Arithmetic::Divide,
            BinaryOp::Modulo => Arithmetic::Modulo,
            BinaryOp::BitAnd | BinaryOp::BitOr | BinaryOp::BitXor => {
                return self.bits(op, left, right);
            }
        };
        if (is_legacy(&left.ty) || is_legacy(&right.ty))
            && matches!(op, BinaryOp::Add | BinaryOp::Subtract)
        {
            return add_days(op, left, right);
        }
        let common =
            types::common(&left.ty, &right.ty).map_err(|_| clash(&left.ty, &right.ty, op))?;
        if !types::is_number(&common) || (common == SqlType::Bit) {
            return Err(clash(&left.ty, &right.ty, op).into());
        }
        match common {
            SqlType::Decimal { numeric, .. } => {
                let (left, right) = (to_exact(left), to_exact(right));
                let (precision, scale) = decimal::result(
                    arithmetic,
                    types::precision_scale(&left.ty),
                    types::precision_scale(&right.ty),
                );
                let ty = SqlType::Decimal {
                    precision,
                    scale,
                    numeric,
                };
                Ok(plain(
                    Kind::Arithmetic(arithmetic, Box::new(left), Box::new(right)),
                    ty,
                ))
            }
            ty => {
                let (left, right) = (cast(left, &ty), cast(right, &ty));
                Ok(plain(
                    Kind::Arithmetic(arithmetic, Box::new(left), Box::new(right)),
                    ty,
                ))
            }
        }
    }

    fn bits(&mut self, op: BinaryOp, left: Expr, right: Expr) -> Outcome<Expr> {
        let nullable = left.nullable || right.nullable;
        let whole = |ty: &SqlType| types::is_integer(ty);
        let ty = match (whole(&left.ty), whole(&right.ty)) {
            (true, true) => types::common(&left.ty, &right.ty)?,
            (true, false) if types::is_binary(&right.ty) => left.ty.clone(),
            (false, true) if types::is_binary(&left.ty) => right.ty.clone(),
            _ => return Err(clash(&left.ty, &right.ty, op).into()),
        };
        let op = match op {
            BinaryOp::BitAnd => BitOp::And,
            BinaryOp::BitOr => BitOp::Or,
            _ => BitOp::Xor,
        };
        let kind = Kind::Bits(op, Box::new(cast(left, &ty)), Box::new(cast(right, &ty)));
        Ok(Expr {
            kind,
            ty,
            collate: None,
            strength: Strength::Default,
            nullable,
        })
    }

    fn concat(&mut self, left: Expr, right: Expr) -> Outcome<Expr> {
        let (collate, strength) = agree(&left, &right, "add")?;
        let lengths = (types::length(&left.ty), types::length(&right.ty));
        let sum = |max: u16| match lengths {
            (Some(a), Some(b)) => Some(a.saturating_add(b).min(max)),
            _ => None,
        };
        let ty = if types::is_unicode(&left.ty) || types::is_unicode(&right.ty) {
            SqlType::NVarChar(sum(4000))
        } else if types::is_character(&left.ty) || types::is_character(&right.ty) {
            SqlType::VarChar(sum(8000))
        } else {
            SqlType::VarBinary(sum(8000))
        };
        let nullable = left.nullable || right.nullable;
        let widen = |expr: Expr, ty: &SqlType| {
            let same = (types::is_unicode(&expr.ty) == types::is_unicode(ty)
                || types::is_unicode(ty))
                && types::is_character(&expr.ty) == types::is_character(ty);
            if same { expr } else { cast(expr, ty) }
        };
        let limit = types::length(&ty).map(usize::from);
        let total = match lengths {
            (Some(a), Some(b)) => usize::from(a) + usize::from(b),
            _ => 0,
        };
        let kind = Kind::Concat(Box::new(widen(left, &ty)), Box::new(widen(right, &ty)));
        let joined = Expr {
            kind,
            ty: ty.clone(),
            collate,
            strength,
            nullable,
        };
        // The sum of two sized strings is cut at 8,000 bytes, as in SQL Server.
        if limit.is_some_and(|limit| total > limit) {
            let inner = Expr {
                ty: if types::is_unicode(&ty) {
                    SqlType::NVarChar(None)
                } else {
                    SqlType::VarChar(None)
                },
                ..joined
            };
            return Ok(cast(inner, &ty));
        }
        Ok(joined)
    }
}

fn is_legacy(ty: &SqlType) -> bool {
    matches!(ty, SqlType::DateTime | SqlType::SmallDateTime)
}

/// A sum or a difference of the older times, where a number counts days.
fn add_days(op: BinaryOp, left: Expr, right: Expr) -> Outcome<Expr> {
    let ty = types::common(&left.ty, &right.ty)?;
    if !is_legacy(&ty) {
        return Err(clash(&left.ty, &right.ty, op).into());
    }
    let nullable = left.nullable || right.nullable;
    let sum = Expr {
        kind: Kind::AddDays {
            date: Box::new(cast(left, &SqlType::DateTime)),
            days: Box::new(cast(right, &SqlType::DateTime)),
            subtract: op == BinaryOp::Subtract,
        },
        ty: SqlType::DateTime,
        collate: None,
        strength: Strength::Default,
        nullable,
    };
    Ok(cast(sum, &ty))
}

pub(super) fn clash(left: &SqlType, right: &SqlType, op: BinaryOp) -> SqlError {
    let word = match op {
        BinaryOp::Add => "add",
        BinaryOp::Subtract => "subtract",
        BinaryOp::Multiply => "multiply",
        BinaryOp::Divide => "divide",
        BinaryOp::Modulo => "modulo",
        BinaryOp::BitAnd => "'&'",
        BinaryOp::BitOr => "'|'",
        BinaryOp::BitXor => "'^'",
    };
    error(
        402,
        16,
        format!(
            "The data types {} and {} are incompatible in the {word} operator.",
            types::name(left),
            types::name(right)
        ),
    )
}

/// An operand of decimal arithmetic; an integer literal has just the digits it needs.
pub(super) fn to_exact(expr: Expr) -> Expr {
    if matches!(expr.ty, SqlType::Decimal { .. }) {
        return expr;
    }
    let (precision, scale) = match &expr.kind {
        Kind::Const(Value::Int(v)) => (decimal::digits(i128::from(*v)).max(1), 0),
        _ if types::is_number(&expr.ty) => types::precision_scale(&expr.ty),
        _ => (38, 10),
    };
    cast(
        expr,
        &SqlType::Decimal {
            precision,
            scale,
            numeric: true,
        },
    )
}
