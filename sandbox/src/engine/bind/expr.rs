//! Scalar expressions.

use super::{Binder, at_line};
use crate::collation::CodePage;
use crate::engine::collation::Collate;
use crate::engine::convert::{Conversion, convert};
use crate::engine::expr::{Cond, Expr, Kind, Strength};
use crate::engine::fault::{Outcome, error};
use crate::engine::types::{self};
use crate::session::SqlError;
use crate::sql::ast::{self, ExprKind, Literal};
use crate::value::{SqlType, Value};
use std::sync::Arc;

/// Converts an expression; constants that convert do so now.
pub fn cast(expr: Expr, to: &SqlType) -> Expr {
    if expr.ty == *to {
        return expr;
    }
    let collate =
        types::is_character(to).then(|| expr.collate.clone().unwrap_or_else(Collate::server));
    if let Kind::Const(value) = &expr.kind
        && !types::is_temporal(to)
    {
        let server = Collate::server();
        let folded = convert(
            value,
            Conversion {
                from: &expr.ty,
                to,
                style: 0,
                collate: collate.as_deref().unwrap_or(&server),
                dateformat: "mdy",
            },
        );
        if let Ok(value) = folded {
            return Expr {
                kind: Kind::Const(value),
                ty: to.clone(),
                collate,
                strength: expr.strength,
                nullable: expr.nullable,
            };
        }
    }
    Expr {
        ty: to.clone(),
        collate,
        strength: expr.strength,
        nullable: expr.nullable,
        kind: Kind::Cast {
            expr: Box::new(expr),
            style: None,
            attempt: false,
        },
    }
}

/// Converts for comparison: types whose values compare as they are stay as they are.
pub fn comparable(expr: Expr, to: &SqlType) -> Expr {
    let same = match (&expr.ty, to) {
        (a, b) if types::is_character(a) && types::is_character(b) => true,
        (a, b) if types::is_binary(a) && types::is_binary(b) => true,
        (SqlType::Time(_), SqlType::Time(_)) => true,
        (SqlType::DateTime2(_), SqlType::DateTime2(_)) => true,
        (SqlType::DateTimeOffset(_), SqlType::DateTimeOffset(_)) => true,
        (SqlType::Decimal { scale: a, .. }, SqlType::Decimal { scale: b, .. }) => a == b,
        (SqlType::Money | SqlType::SmallMoney, SqlType::Money | SqlType::SmallMoney) => true,
        _ => false,
    };
    if same { expr } else { cast(expr, to) }
}

/// Error 459 for `char`, `varchar` or `text` with a collation that has no code page.
pub fn check_code_page(ty: &SqlType, collate: &Collate) -> Result<(), SqlError> {
    let has_code_page = collate.info.code_page != CodePage::UnicodeOnly;
    match ty {
        SqlType::Char(_) | SqlType::VarChar(_) | SqlType::Text if !has_code_page => Err(error(
            459,
            16,
            format!(
                "Collation '{}' is supported on Unicode data types only and cannot be applied to char, varchar or \
                    text data types.",
                collate.name.0
            ),
        )),
        _ => Ok(()),
    }
}

/// The collation that two expressions agree on; error 468.
pub fn agree(
    left: &Expr,
    right: &Expr,
    what: &str,
) -> Result<(Option<Arc<Collate>>, Strength), SqlError> {
    match (&left.collate, &right.collate) {
        (Some(a), Some(b)) => {
            if left.strength > right.strength {
                Ok((Some(a.clone()), left.strength))
            } else if right.strength > left.strength || a == b {
                Ok((Some(b.clone()), right.strength))
            } else if left.strength == Strength::Default {
                Ok((Some(a.clone()), Strength::Default))
            } else {
                Err(error(
                    468,
                    16,
                    format!(
                        "Cannot resolve the collation conflict between \"{}\" and \"{}\" in the {what} operation.",
                        a.name.0, b.name.0
                    ),
                ))
            }
        }
        (Some(a), None) => Ok((Some(a.clone()), left.strength)),
        (None, other) => Ok((other.clone(), right.strength)),
    }
}

impl Binder<'_, '_> {
    pub fn expr(&mut self, expr: &ast::Expr) -> Outcome<Expr> {
        self.expr_inner(expr)
            .map_err(|stop| stop.map(|error| at_line(error, expr.line)))
    }

    fn expr_inner(&mut self, expr: &ast::Expr) -> Outcome<Expr> {
        if let Some(key) = self.group_key(expr)? {
            return Ok(key);
        }
        match &expr.kind {
            ExprKind::Literal(literal) => Ok(self.literal(literal)),
            ExprKind::Variable(name) => self.variable(name),
            ExprKind::GlobalVariable(name) => self.meta_call(name, Vec::new()),
            ExprKind::Column(name) => self.plain_column(name),
            ExprKind::Pseudo(pseudo) => self.pseudo(*pseudo),
            ExprKind::Unary { op, expr } => self.unary(*op, expr),
            ExprKind::Binary { op, left, right } => {
                let (left, right) = (self.expr(left)?, self.expr(right)?);
                self.binary(*op, left, right)
            }
            ExprKind::SimpleCase {
                operand,
                whens,
                otherwise,
            } => {
                let operand = self.expr(operand)?;
                let mut bound = Vec::new();
                for (when, then) in whens {
                    let when = self.expr(when)?;
                    let cond = self.compare(ast::CompareOp::Equal, operand.clone(), when)?;
                    bound.push((cond, self.expr(then)?));
                }
                let otherwise = otherwise.as_ref().map(|o| self.expr(o)).transpose()?;
                self.case(bound, otherwise)
            }
            ExprKind::SearchedCase { whens, otherwise } => {
                let mut bound = Vec::new();
                for (when, then) in whens {
                    bound.push((self.cond(when)?, self.expr(then)?));
                }
                let otherwise = otherwise.as_ref().map(|o| self.expr(o)).transpose()?;
                self.case(bound, otherwise)
            }
            ExprKind::Iif {
                condition,
                then,
                otherwise,
            } => {
                let whens = vec![(self.cond(condition)?, self.expr(then)?)];
                let otherwise = self.expr(otherwise)?;
                self.case(whens, Some(otherwise))
            }
            ExprKind::Cast { expr, ty, attempt } => self.convert(expr, ty, None, *attempt),
            ExprKind::Convert {
                ty,
                expr,
                style,
                attempt,
            } => self.convert(expr, ty, style.as_deref(), *attempt),
            ExprKind::Collate { expr, collation } => {
                let mut inner = self.expr(expr)?;
                if !types::is_character(&inner.ty) {
                    return Err(error(
                        447,
                        16,
                        format!(
                            "Expression type {} is invalid for COLLATE clause.",
                            types::name(&inner.ty)
                        ),
                    )
                    .into());
                }
                let name = collation.text.to_ascii_lowercase();
                let collate = match name.as_str() {
                    "database_default" => self.default_collate(),
                    "catalog_default" => self.default_collate(),
                    _ => Collate::named(&collation.text)?,
                };
                check_code_page(&inner.ty, &collate)?;
                inner.collate = Some(collate);
                inner.strength = Strength::Explicit;
                Ok(inner)
            }
            ExprKind::AtTimeZone { expr, zone } => self.at_time_zone(expr, zone),
            ExprKind::Function(call) => self.call(call, expr.line),
            ExprKind::Method { name, .. } | ExprKind::Property { name, .. } => {
                self.refuse(&format!("The method or property {}", name.text), expr.line)
            }
            ExprKind::StaticMethod { ty, name, .. } | ExprKind::StaticProperty { ty, name } => {
                self.refuse(&format!("{ty}::{}", name.text), expr.line)
            }
            ExprKind::NextValueFor(name) => {
                let at = self.object(name)?;
                let ty = match self.cx.held.databases[at.database].objects.get(&at.id) {
                    Some(crate::engine::schema::Object::Sequence(sequence)) => sequence.ty.clone(),
                    _ => {
                        return Err(error(
                            11726,
                            16,
                            format!("Object '{name}' is not a sequence object."),
                        )
                        .into());
                    }
                };
                Ok(Expr {
                    kind: Kind::NextValue(at),
                    ty,
                    collate: None,
                    strength: Strength::Default,
                    nullable: false,
                })
            }
            ExprKind::Subquery(query) => {
                let (bound, correlated) = self.nested(query)?;
                let [column] = bound.columns.as_slice() else {
                    return Err(error(
                        116,
                        16,
                        "Only one expression can be specified in the select list when the \
                        subquery is not introduced with EXISTS.",
                    )
                    .into());
                };
                let column = column.clone();
                Ok(Expr {
                    kind: Kind::Subquery {
                        plan: Arc::new(bound.plan),
                        correlated,
                    },
                    ty: column.ty,
                    collate: column.collate,
                    strength: Strength::Implicit,
                    nullable: true,
                })
            }
        }
    }

    /// Over grouped rows a column must be a key or stand in an aggregate.
    fn plain_column(&mut self, name: &ast::ObjectName) -> Outcome<Expr> {
        let found = self.column(name)?;
        let grouped = self
            .grouping
            .as_ref()
            .is_some_and(|grouping| !grouping.inside);
        if grouped && matches!(found.kind, Kind::Column(_)) {
            return Err(error(
                8120,
                16,
                format!("Column '{name}' is invalid in the select list because it is not contained in either an \
                    aggregate function or the GROUP BY clause."),
            )
            .into());
        }
        Ok(found)
    }

    /// An expression that is a GROUP BY key becomes that key's column.
    fn group_key(&mut self, expr: &ast::Expr) -> Outcome<Option<Expr>> {
        if matches!(
            expr.kind,
            ExprKind::Literal(_) | ExprKind::Variable(_) | ExprKind::Subquery(_)
        ) {
            return Ok(None);
        }
        match &mut self.grouping {
            Some(grouping) if !grouping.inside && !grouping.keys.is_empty() => {
                grouping.inside = true
            }
            Some(_) | None => return Ok(None),
        }
        let (windows, aggregates) = (self.windows.len(), self.aggregates);
        self.aggregates = false;
        let calls = self.grouping.as_ref().map_or(0, |g| g.calls.len());
        let plain = self.expr_inner(expr);
        self.aggregates = aggregates;
        self.windows.truncate(windows);
        let Some(grouping) = &mut self.grouping else {
            return Ok(None);
        };
        grouping.inside = false;
        grouping.calls.truncate(calls);
        let Ok(plain) = plain else {
            return Ok(None);
        };
        let text = format!("{:?}", plain.kind);
        Ok(grouping
            .keys
            .iter()
            .position(|(key, _)| *key == text)
            .map(|index| {
                let key = &grouping.keys[index].1;
                Expr {
                    kind: Kind::Column(index),
                    ..key.clone()
                }
            }))
    }

    pub fn literal(&self, literal: &Literal) -> Expr {
        match literal {
            Literal::Null => Expr::constant(Value::Null, SqlType::Int),
            Literal::Int(v) => Expr::constant(Value::Int(*v), SqlType::Int),
            Literal::Decimal {
                unscaled,
                precision,
                scale,
            } => Expr::constant(
                Value::Decimal {
                    unscaled: *unscaled,
                    scale: *scale,
                },
                SqlType::Decimal {
                    precision: *precision,
                    scale: *scale,
                    numeric: true,
                },
            ),
            Literal::Float(v) => Expr::constant(Value::Float(*v), SqlType::Float),
            Literal::Money(units) => Expr::constant(Value::Money(*units), SqlType::Money),
            Literal::Str { text, national } => {
                let collate = self.default_collate();
                let units = types::units(text);
                let (units, ty) = if *national {
                    let n = u16::try_from(units.len().max(1))
                        .ok()
                        .filter(|n| *n <= 4000);
                    (units, SqlType::NVarChar(n))
                } else {
                    let units = collate.narrow(&units);
                    let n = u16::try_from(collate.byte_length(&units).max(1))
                        .ok()
                        .filter(|n| *n <= 8000);
                    (units, SqlType::VarChar(n))
                };
                Expr {
                    collate: Some(collate),
                    ..Expr::constant(Value::Str(units), ty)
                }
            }
            Literal::Binary(bytes) => {
                let n = u16::try_from(bytes.len().max(1))
                    .ok()
                    .filter(|n| *n <= 8000);
                Expr::constant(Value::Bytes(bytes.as_slice().into()), SqlType::VarBinary(n))
            }
        }
    }

    pub fn variable(&mut self, name: &str) -> Outcome<Expr> {
        let frame = self.cx.ses.frame();
        let Some(index) = frame.names.get(&name.to_lowercase()).copied() else {
            return Err(error(
                137,
                15,
                format!("Must declare the scalar variable \"{name}\"."),
            )
            .into());
        };
        let variable = &frame.variables[index];
        let collate = types::is_character(&variable.ty).then(|| {
            variable
                .collate
                .clone()
                .unwrap_or_else(|| self.default_collate())
        });
        Ok(Expr {
            kind: Kind::Variable(index),
            ty: variable.ty.clone(),
            collate,
            strength: Strength::Default,
            nullable: true,
        })
    }

    fn pseudo(&mut self, pseudo: ast::PseudoColumn) -> Outcome<Expr> {
        let scope = self.scopes.last().cloned().unwrap_or_default();
        match pseudo {
            ast::PseudoColumn::Identity => {
                let found = scope
                    .all_columns()
                    .find(|(_, column)| column.identity)
                    .map(|(i, c)| (i, c.clone()));
                let (index, column) =
                    found.ok_or_else(|| error(207, 16, "Invalid column name '$identity'."))?;
                self.lowest = self.lowest.min(self.scopes.len() - 1);
                Ok(Expr::column(
                    index,
                    column.ty,
                    column.collate,
                    column.nullable,
                ))
            }
            ast::PseudoColumn::Action => {
                let name = ast::ObjectName {
                    parts: vec![ast::Ident::new("$action")],
                    line: 0,
                };
                self.column(&name)
            }
            ast::PseudoColumn::RowGuid => self.refuse("$rowguid", 0),
            ast::PseudoColumn::PhysLoc => self.refuse("%%physloc%%", 0),
            ast::PseudoColumn::LockRes => self.refuse("%%lockres%%", 0),
        }
    }

    /// The branches of CASE brought to one type.
    pub fn case(&mut self, whens: Vec<(Cond, Expr)>, otherwise: Option<Expr>) -> Outcome<Expr> {
        let all: Vec<&Expr> = whens
            .iter()
            .map(|(_, value)| value)
            .chain(otherwise.as_ref())
            .collect();
        let (ty, collate, strength) = self.unify(&all)?;
        let nullable = otherwise.is_none() || all.iter().any(|expr| expr.nullable);
        let whens = whens
            .into_iter()
            .map(|(cond, value)| (cond, cast(value, &ty)))
            .collect();
        let otherwise = otherwise.map(|value| Box::new(cast(value, &ty)));
        Ok(Expr {
            kind: Kind::Case(whens, otherwise),
            ty,
            collate,
            strength,
            nullable,
        })
    }

    /// One type and collation for several expressions; bare NULLs have no say.
    pub fn unify(&mut self, all: &[&Expr]) -> Outcome<(SqlType, Option<Arc<Collate>>, Strength)> {
        let mut typed = all.iter().filter(|expr| !is_null(expr));
        let Some(first) = typed.next() else {
            return Ok((SqlType::Int, None, Strength::Default));
        };
        let mut merged = (*first).clone();
        for next in typed {
            let (collate, strength) = agree(&merged, next, "CASE")?;
            merged.ty = types::common(&merged.ty, &next.ty)?;
            merged.collate = if types::is_character(&merged.ty) {
                collate
            } else {
                None
            };
            merged.strength = strength;
        }
        Ok((merged.ty, merged.collate, merged.strength))
    }

    fn convert(
        &mut self,
        expr: &ast::Expr,
        ty: &ast::TypeName,
        style: Option<&ast::Expr>,
        attempt: bool,
    ) -> Outcome<Expr> {
        let (to, _, _) = self.type_of(ty)?;
        let inner = self.expr(expr)?;
        let style = style.map(|style| self.expr(style)).transpose()?;
        if !types::explicit(&inner.ty, &to) && !is_null(&inner) {
            return Err(error(
                529,
                16,
                format!(
                    "Explicit conversion from data type {} to {} is not allowed.",
                    types::name(&inner.ty),
                    types::name(&to)
                ),
            )
            .into());
        }
        let collate = types::is_character(&to).then(|| {
            inner
                .collate
                .clone()
                .unwrap_or_else(|| self.default_collate())
        });
        let strength = inner.strength;
        Ok(Expr {
            ty: to,
            collate,
            strength,
            nullable: inner.nullable || attempt,
            kind: Kind::Cast {
                expr: Box::new(inner),
                style: style.map(Box::new),
                attempt,
            },
        })
    }

    /// Only UTC: the stand-in has no time zone tables.
    fn at_time_zone(&mut self, expr: &ast::Expr, zone: &ast::Expr) -> Outcome<Expr> {
        let inner = self.expr(expr)?;
        let zone = self.expr(zone)?;
        let utc = matches!(
            &zone.kind,
            Kind::Const(Value::Str(units)) if types::text(units).eq_ignore_ascii_case("UTC")
        );
        if !utc {
            return self.refuse("AT TIME ZONE other than 'UTC'", expr.line);
        }
        let scale = match inner.ty {
            SqlType::DateTime2(s) => s,
            SqlType::DateTimeOffset(_) => {
                return self.refuse("AT TIME ZONE of a datetimeoffset", expr.line);
            }
            _ => 3,
        };
        Ok(cast(inner, &SqlType::DateTimeOffset(scale)))
    }
}

pub fn is_null(expr: &Expr) -> bool {
    matches!(expr.kind, Kind::Const(Value::Null)) && expr.ty == SqlType::Int
}
