//! Function calls: aggregates, window functions, the few with their own typing rules, built-ins and metadata functions.

use super::expr::{cast, is_null};
use super::{Binder, Scope, at_line};
use crate::engine::aggregate::{Aggregate, Function};
use crate::engine::expr::{Expr, Kind, Strength};
use crate::engine::fault::{Outcome, error};
use crate::engine::plan::SortKey;
use crate::engine::window::{WindowCall, WindowFunction};
use crate::engine::{functions, meta, types};
use crate::sql::ast::{self, Args, ExprKind};
use crate::value::{SqlType, Value};

impl Binder<'_, '_> {
    /// Arguments of a table-valued function, which see the rows outside of it only.
    pub(super) fn arguments(&mut self, args: &[ast::Expr]) -> Outcome<Vec<Expr>> {
        self.scopes.push(Scope::default());
        let args: Outcome<Vec<_>> = args.iter().map(|arg| self.expr(arg)).collect();
        self.scopes.pop();
        args
    }

    pub fn call(&mut self, call: &ast::FunctionCall, line: u32) -> Outcome<Expr> {
        let name = call.name.object().to_ascii_uppercase();
        if let Some(schema) = call.name.schema()
            && !schema.eq_ignore_ascii_case("sys")
        {
            return Err(at_line(
                error(
                    4121,
                    16,
                    format!(
                        "Cannot find either column \"{schema}\" or the user-defined function or \
                    aggregate \"{}\", or the name is ambiguous.",
                        call.name
                    ),
                ),
                line,
            )
            .into());
        }
        if call.name.schema().is_none() && name.starts_with("FN_CDC_") {
            let why = format!(
                "'{}' is not a recognized built-in function name.",
                call.name
            );
            return Err(at_line(error(195, 15, why), line).into());
        }
        if let Some(window) = &call.over {
            return self.window_call(&name, call, window);
        }
        if let Some(function) = Function::named(&name) {
            return self.aggregate_call(function, call);
        }
        let args: &[ast::Expr] = match &call.args {
            Args::List(list) => list,
            Args::Niladic => &[],
            Args::Star | Args::Distinct(_) => {
                return Err(error(102, 15, "Incorrect syntax near '*'.").into());
            }
        };
        match name.as_str() {
            "COALESCE" => self.coalesce_call(args),
            "ISNULL" => self.is_null_call(args),
            "NULLIF" => self.nullif_call(args),
            "CHOOSE" => self.choose_call(args),
            _ => self.plain_call(&name, args, line),
        }
    }

    fn coalesce_call(&mut self, args: &[ast::Expr]) -> Outcome<Expr> {
        let bound = args
            .iter()
            .map(|arg| self.expr(arg))
            .collect::<Outcome<Vec<_>>>()?;
        let (ty, collate, strength) = self.unify(&bound.iter().collect::<Vec<_>>())?;
        let nullable = bound.iter().all(|arg| arg.nullable);
        let list = bound.into_iter().map(|arg| cast(arg, &ty)).collect();
        Ok(Expr {
            kind: Kind::Coalesce(list),
            ty,
            collate,
            strength,
            nullable,
        })
    }

    fn nullif_call(&mut self, args: &[ast::Expr]) -> Outcome<Expr> {
        let [left, right] = args else {
            return Err(arguments("NULLIF", "2").into());
        };
        let (left, right) = (self.expr(left)?, self.expr(right)?);
        let cond = self.compare(ast::CompareOp::Equal, left.clone(), right)?;
        let (ty, collate, strength) = (left.ty.clone(), left.collate.clone(), left.strength);
        let whens = vec![(cond, Expr::constant(Value::Null, ty.clone()))];
        Ok(Expr {
            kind: Kind::Case(whens, Some(Box::new(left))),
            ty,
            collate,
            strength,
            nullable: true,
        })
    }

    fn choose_call(&mut self, args: &[ast::Expr]) -> Outcome<Expr> {
        let Some((index, values)) = args.split_first() else {
            return Err(arguments("CHOOSE", "at least 2").into());
        };
        let index = self.expr(index)?;
        let mut whens = Vec::new();
        for (at, value) in values.iter().enumerate() {
            let place = Expr::constant(Value::Int(at as i32 + 1), SqlType::Int);
            let cond = self.compare(
                ast::CompareOp::Equal,
                cast(index.clone(), &SqlType::Int),
                place,
            )?;
            whens.push((cond, self.expr(value)?));
        }
        self.case(whens, None)
    }

    fn is_null_call(&mut self, args: &[ast::Expr]) -> Outcome<Expr> {
        let [first, second] = args else {
            return Err(arguments("ISNULL", "2").into());
        };
        let (first, second) = (self.expr(first)?, self.expr(second)?);
        let ty = if is_null(&first) {
            second.ty.clone()
        } else {
            first.ty.clone()
        };
        if !is_null(&second) && !types::implicit(&second.ty, &ty) {
            return Err(error(
                206,
                16,
                format!(
                    "Operand type clash: {} is incompatible with {}",
                    types::name(&second.ty),
                    types::name(&ty)
                ),
            )
            .into());
        }
        let nullable = first.nullable && second.nullable;
        let (collate, strength) = super::expr::agree(&first, &second, "ISNULL")
            .unwrap_or((first.collate.clone(), first.strength));
        let collate = if types::is_character(&ty) {
            collate
        } else {
            None
        };
        let list = vec![cast(first, &ty), cast(second, &ty)];
        Ok(Expr {
            kind: Kind::Coalesce(list),
            ty,
            collate,
            strength,
            nullable,
        })
    }

    fn plain_call(&mut self, name: &str, args: &[ast::Expr], line: u32) -> Outcome<Expr> {
        let mut bound = Vec::with_capacity(args.len());
        for (at, arg) in args.iter().enumerate() {
            bound.push(match &arg.kind {
                ExprKind::Column(word) if at == 0 && takes_datepart(name) => Expr::constant(
                    types::string(&word.object().to_ascii_lowercase()),
                    SqlType::NVarChar(Some(30)),
                ),
                _ => self.expr(arg)?,
            });
        }
        if meta::lookup(name).is_some() {
            return self.meta_call(name, bound);
        }
        let Some(function) = functions::lookup(name) else {
            return Err(at_line(
                error(
                    195,
                    15,
                    format!(
                        "'{}' is not a recognized built-in function name.",
                        name.to_ascii_lowercase()
                    ),
                ),
                line,
            )
            .into());
        };
        if !function.args.contains(&bound.len()) {
            return Err(at_line(arguments(name, &range_text(&function.args)), line).into());
        }
        let tys: Vec<SqlType> = bound.iter().map(|arg| arg.ty.clone()).collect();
        let ty = (function.result_type)(&tys)?;
        let best = bound
            .iter()
            .filter(|arg| arg.collate.is_some())
            .max_by_key(|arg| arg.strength);
        let strength = best.map_or(Strength::Default, |arg| arg.strength);
        let collate = types::is_character(&ty).then(|| {
            best.and_then(|arg| arg.collate.clone())
                .unwrap_or_else(|| self.default_collate())
        });
        Ok(Expr {
            kind: Kind::Builtin(function, bound),
            ty,
            collate,
            strength,
            nullable: true,
        })
    }

    /// A metadata function or global variable.
    pub fn meta_call(&mut self, name: &str, args: Vec<Expr>) -> Outcome<Expr> {
        let Some(function) = meta::lookup(name) else {
            return Err(error(
                137,
                15,
                format!("Must declare the scalar variable \"{name}\"."),
            )
            .into());
        };
        if !function.args.contains(&args.len()) {
            return Err(arguments(name, &range_text(&function.args)).into());
        }
        let args: Vec<Expr> = args
            .into_iter()
            .zip(function.types.iter().cycle())
            .map(|(arg, ty)| {
                if function.types.is_empty() {
                    arg
                } else {
                    cast(arg, ty)
                }
            })
            .collect();
        let ty = function.ty.clone();
        let collate =
            (types::is_character(&ty) || ty == SqlType::SqlVariant).then(|| self.default_collate());
        Ok(Expr {
            kind: Kind::Meta(function, args),
            ty,
            collate,
            strength: Strength::Default,
            nullable: true,
        })
    }

    fn aggregate_call(&mut self, function: Function, call: &ast::FunctionCall) -> Outcome<Expr> {
        let allowed = self.aggregates
            && self
                .grouping
                .as_ref()
                .is_some_and(|grouping| !grouping.inside);
        if !allowed {
            return Err(error(147, 15, "An aggregate may not appear in the WHERE clause unless it is in a subquery \
                contained in a HAVING clause or a select list, and the column being aggregated is an outer \
                reference.").into());
        }
        if let Some(grouping) = &mut self.grouping {
            grouping.inside = true;
        }
        let aggregate = self.aggregate(function, call);
        let Some(grouping) = &mut self.grouping else {
            return Err(error(147, 15, "An aggregate may not appear here.").into());
        };
        grouping.inside = false;
        let aggregate = aggregate?;
        let ty = aggregate.ty.clone();
        let collate = if types::is_character(&ty) {
            aggregate.arg.as_ref().and_then(|arg| arg.collate.clone())
        } else {
            None
        };
        let text = format!("{aggregate:?}");
        let at = match grouping
            .calls
            .iter()
            .position(|known| format!("{known:?}") == text)
        {
            Some(at) => at,
            None => {
                grouping.calls.push(aggregate);
                grouping.calls.len() - 1
            }
        };
        let nullable = !matches!(function, Function::Count | Function::CountBig);
        Ok(Expr::column(
            grouping.keys.len() + at,
            ty,
            collate,
            nullable,
        ))
    }

    fn aggregate(&mut self, function: Function, call: &ast::FunctionCall) -> Outcome<Aggregate> {
        let (arg, distinct, separator) = match &call.args {
            Args::Star if matches!(function, Function::Count | Function::CountBig) => {
                (None, false, None)
            }
            Args::Distinct(arg) => (Some(self.expr(arg)?), true, None),
            Args::List(list) => match (list.as_slice(), function) {
                ([arg, separator], Function::StringAgg) => {
                    (Some(self.expr(arg)?), false, Some(self.expr(separator)?))
                }
                ([arg], other) if other != Function::StringAgg => {
                    (Some(self.expr(arg)?), false, None)
                }
                _ => return Err(arguments(call.name.object(), "1").into()),
            },
            Args::Star | Args::Niladic => return Err(arguments(call.name.object(), "1").into()),
        };
        let mut arg = arg;
        if function == Function::StringAgg
            && let Some(value) = arg.take()
        {
            arg = Some(if types::is_character(&value.ty) {
                value
            } else {
                cast(value, &SqlType::NVarChar(Some(4000)))
            });
        }
        let ty = function.result_type(&arg.as_ref().map_or(SqlType::Int, |arg| arg.ty.clone()))?;
        let order = self.sort_keys(&call.within_group)?;
        Ok(Aggregate {
            function,
            arg,
            distinct,
            ty,
            separator,
            order,
        })
    }

    pub fn sort_keys(&mut self, items: &[ast::OrderItem]) -> Outcome<Vec<SortKey>> {
        items
            .iter()
            .map(|item| {
                Ok(SortKey {
                    expr: self.expr(&item.expr)?,
                    descending: item.descending,
                })
            })
            .collect()
    }

    fn window_call(
        &mut self,
        name: &str,
        call: &ast::FunctionCall,
        window: &ast::Window,
    ) -> Outcome<Expr> {
        let args: &[ast::Expr] = match &call.args {
            Args::List(list) => list,
            Args::Star | Args::Distinct(_) | Args::Niladic => &[],
        };
        let bound = |binder: &mut Self, at: usize| -> Outcome<Option<Expr>> {
            args.get(at).map(|arg| binder.expr(arg)).transpose()
        };
        let missing = || arguments(name, "1");
        let (function, ty, collate) = match name {
            "ROW_NUMBER" => (WindowFunction::RowNumber, SqlType::BigInt, None),
            "RANK" => (WindowFunction::Rank, SqlType::BigInt, None),
            "DENSE_RANK" => (WindowFunction::DenseRank, SqlType::BigInt, None),
            "PERCENT_RANK" => (WindowFunction::PercentRank, SqlType::Float, None),
            "CUME_DIST" => (WindowFunction::CumeDist, SqlType::Float, None),
            "NTILE" => (
                WindowFunction::Ntile(bound(self, 0)?.ok_or_else(missing)?),
                SqlType::BigInt,
                None,
            ),
            "LAG" | "LEAD" => {
                let value = bound(self, 0)?.ok_or_else(missing)?;
                let (ty, collate) = (value.ty.clone(), value.collate.clone());
                let distance = bound(self, 1)?;
                let default = bound(self, 2)?.map(|default| cast(default, &ty));
                (
                    WindowFunction::Shift {
                        value,
                        distance,
                        default,
                        back: name == "LAG",
                    },
                    ty,
                    collate,
                )
            }
            "FIRST_VALUE" | "LAST_VALUE" => {
                let value = bound(self, 0)?.ok_or_else(missing)?;
                let (ty, collate) = (value.ty.clone(), value.collate.clone());
                let function = if name == "FIRST_VALUE" {
                    WindowFunction::FirstValue(value)
                } else {
                    WindowFunction::LastValue(value)
                };
                (function, ty, collate)
            }
            _ => {
                let Some(function) = Function::named(name) else {
                    return Err(error(
                        195,
                        15,
                        format!("'{name}' is not a recognized function name."),
                    )
                    .into());
                };
                let aggregate = self.aggregate(function, call)?;
                let ty = aggregate.ty.clone();
                let collate = if types::is_character(&ty) {
                    aggregate.arg.as_ref().and_then(|a| a.collate.clone())
                } else {
                    None
                };
                (WindowFunction::Aggregate(aggregate), ty, collate)
            }
        };
        let ordered = matches!(
            name,
            "ROW_NUMBER"
                | "RANK"
                | "DENSE_RANK"
                | "NTILE"
                | "LAG"
                | "LEAD"
                | "FIRST_VALUE"
                | "LAST_VALUE"
        );
        if ordered && window.order_by.is_empty() {
            return Err(error(
                4112,
                15,
                format!("The function '{name}' must have an OVER clause with ORDER BY."),
            )
            .into());
        }
        let partition = window
            .partition_by
            .iter()
            .map(|e| self.expr(e))
            .collect::<Outcome<Vec<_>>>()?;
        let mut order = Vec::new();
        for item in &window.order_by {
            // ORDER BY (SELECT NULL) asks for no order.
            if matches!(item.expr.kind, ExprKind::Subquery(_)) {
                continue;
            }
            order.push(SortKey {
                expr: self.expr(&item.expr)?,
                descending: item.descending,
            });
        }
        self.windows.push(WindowCall {
            function,
            partition,
            order,
            frame: window.frame.clone(),
        });
        Ok(Expr::column(
            super::WINDOW_BASE + self.windows.len() - 1,
            ty,
            collate,
            true,
        ))
    }
}

/// Functions whose first argument is a word.
fn takes_datepart(name: &str) -> bool {
    matches!(
        name,
        "DATEADD"
            | "DATEDIFF"
            | "DATEDIFF_BIG"
            | "DATEPART"
            | "DATENAME"
            | "DATETRUNC"
            | "DATE_BUCKET"
    )
}

fn range_text(range: &std::ops::RangeInclusive<usize>) -> String {
    if range.start() == range.end() {
        range.start().to_string()
    } else {
        format!("{} to {}", range.start(), range.end())
    }
}

fn arguments(name: &str, count: &str) -> crate::session::SqlError {
    error(
        174,
        15,
        format!(
            "The {} function requires {count} argument(s).",
            name.to_ascii_lowercase()
        ),
    )
}
