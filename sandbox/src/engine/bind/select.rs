//! Queries: SELECT, set operations, ordering; and the row sources of UPDATE, DELETE and MERGE.

use super::expr::cast;
use super::names::check_exposed;
use super::order::Ordering;
use super::sets::{checked_ordinal, ordinal, projected, set_recursion};
use super::{Binder, Grouping, OutColumn, Scope, Tree, WINDOW_BASE, at_line};
use crate::engine::expr::{Cond, Expr, Kind};
use crate::engine::fault::{Outcome, Stop, error};
use crate::engine::plan::{Node, Plan, SortKey};
use crate::engine::schema::{ObjectRef, same_name};
use crate::engine::types;
use crate::sql::ast::{self, BinaryOp, ConditionKind, ExprKind, QueryBody, SelectItem};

/// `SELECT @v = expr`
#[derive(Debug)]
pub struct Assign {
    pub variable: usize,
    pub expr: Expr,
}

/// A bound query. With `assigns` the plan yields the rows that the assignments read.
#[derive(Debug)]
pub struct Bound {
    pub plan: Plan,
    pub columns: Vec<OutColumn>,
    pub assigns: Vec<Assign>,
    pub into: Option<ast::ObjectName>,
}

/// Where a DML statement's target lies in its source rows.
#[derive(Debug, Clone)]
pub struct Target {
    pub at: ObjectRef,
    pub start: usize,
    pub columns: usize,
}

impl Target {
    /// The place of the row's id.
    pub fn row_id(&self) -> usize {
        self.start + self.columns
    }
}

/// An item of a bound SELECT list.
struct Item {
    expr: Expr,
    name: String,
    identity: bool,
    computed: bool,
    masked: bool,
    assign: Option<(usize, Option<BinaryOp>)>,
}

impl Binder<'_, '_> {
    pub fn query(&mut self, query: &ast::Query) -> Outcome<Bound> {
        let before = self.ctes.len();
        self.add_ctes(&query.ctes);
        let order = Ordering {
            by: &query.order_by,
            offset: query.offset.as_ref(),
            fetch: query.fetch.as_ref(),
        };
        let result = self.body(&query.body, Some(&order));
        self.ctes.truncate(before);
        let mut bound = result?;
        for option in &query.options {
            if let ast::QueryHint::MaxRecursion(limit) = option {
                set_recursion(&mut bound.plan, *limit);
            }
        }
        Ok(bound)
    }

    fn body(&mut self, body: &QueryBody, order: Option<&Ordering<'_>>) -> Outcome<Bound> {
        match body {
            QueryBody::Select(select) => self
                .select(select, order)
                .map_err(|stop| with_line(stop, select.line)),
            QueryBody::SetOperation {
                op,
                left,
                right,
                line,
            } => {
                let (left, right) = (self.body(left, None)?, self.body(right, None)?);
                let bound = self
                    .set_operation(*op, left, right)
                    .map_err(|stop| with_line(stop, *line))?;
                match order {
                    Some(order) if !order.by.is_empty() => self.order_result(bound, order),
                    Some(_) | None => Ok(bound),
                }
            }
        }
    }

    fn select(&mut self, select: &ast::Select, order: Option<&Ordering<'_>>) -> Outcome<Bound> {
        let mut scope = Scope::default();
        let trees = self.from(&select.from, &mut scope)?;
        check_exposed(&select.from)?;
        self.scopes.push(scope);
        let outer_windows = std::mem::take(&mut self.windows);
        let bound = self.select_in_scope(select, order, trees);
        self.windows = outer_windows;
        self.scopes.pop();
        bound
    }

    fn select_in_scope(
        &mut self,
        select: &ast::Select,
        order: Option<&Ordering<'_>>,
        trees: Vec<Tree>,
    ) -> Outcome<Bound> {
        let input = self.filtered(trees, select.filter.as_ref())?;
        let by = order.map_or(&[][..], |order| order.by);
        let lists = if select.group_by.is_empty() && select.having.is_none() {
            match self.lists(select, by) {
                // An aggregate: the lists are over one group.
                Err(Stop::Compile(error)) if error.number == 147 => None,
                other => Some(other?),
            }
        } else {
            None
        };
        let (plan, lists) = match lists {
            Some(lists) => (input, lists),
            None => self.grouped(select, by, input)?,
        };
        self.assemble(select, order, plan, lists)
    }

    /// The FROM clause under the WHERE clause.
    pub fn filtered(&mut self, trees: Vec<Tree>, filter: Option<&ast::Condition>) -> Outcome<Plan> {
        let (mut conds, mut semis) = (Vec::new(), Vec::new());
        if let Some(filter) = filter {
            for part in ast_conjuncts(filter) {
                match self.semi_join(part)? {
                    Some(semi) => semis.push(semi),
                    None => self.cond(part)?.conjuncts(&mut conds),
                }
            }
        }
        let mut trees = trees.into_iter();
        let Some(mut tree) = trees.next() else {
            return Ok(Plan::new(Node::One, 0).filtered(Cond::all(conds)));
        };
        for right in trees {
            tree = Tree::Join {
                kind: ast::JoinKind::Cross,
                left: Box::new(tree),
                right: Box::new(right),
                on: Vec::new(),
            };
        }
        let mut plan = self.plan_tree(tree, conds)?;
        for semi in semis {
            plan = semi.over(plan);
        }
        Ok(plan)
    }

    fn grouped(
        &mut self,
        select: &ast::Select,
        by: &[ast::OrderItem],
        input: Plan,
    ) -> Outcome<(Plan, Lists)> {
        let mut keys = Vec::new();
        for expr in &select.group_by {
            let bound = self.expr(expr)?;
            if !types::is_comparable(&bound.ty) {
                return Err(error(
                    306,
                    16,
                    "The text, ntext, and image data types cannot be compared or sorted, except \
                    when using IS NULL or LIKE operator.",
                )
                .into());
            }
            keys.push((format!("{:?}", bound.kind), bound));
        }
        self.grouping = Some(Grouping {
            keys,
            ..Grouping::default()
        });
        let lists = self.lists(select, by);
        let grouping = self.grouping.take().unwrap_or_default();
        let lists = lists?;
        let keys: Vec<Expr> = grouping.keys.into_iter().map(|(_, key)| key).collect();
        let width = keys.len() + grouping.calls.len();
        let node = Node::Aggregate {
            input: Box::new(input),
            keys,
            calls: grouping.calls,
        };
        let plan = Plan::new(node, width).filtered(lists.having.clone());
        Ok((plan, lists))
    }

    /// The SELECT list, HAVING and ORDER BY.
    pub(super) fn lists(&mut self, select: &ast::Select, by: &[ast::OrderItem]) -> Outcome<Lists> {
        let aggregates = std::mem::replace(&mut self.aggregates, true);
        let lists = self.lists_inner(select, by);
        self.aggregates = aggregates;
        lists
    }

    fn lists_inner(&mut self, select: &ast::Select, by: &[ast::OrderItem]) -> Outcome<Lists> {
        let mut items = Vec::new();
        for item in &select.items {
            self.item(item, &mut items)?;
        }
        let having = match &select.having {
            Some(having) => self.cond(having)?,
            None => Cond::True,
        };
        let mut keys = Vec::new();
        for item in by {
            let expr = self.order_expr(&item.expr, &items)?;
            if !types::is_comparable(&expr.ty) {
                return Err(error(
                    306,
                    16,
                    "The text, ntext, and image data types cannot be compared or sorted, except \
                    when using IS NULL or LIKE operator.",
                )
                .into());
            }
            if !matches!(expr.kind, Kind::Const(_)) {
                keys.push(SortKey {
                    expr,
                    descending: item.descending,
                });
            }
        }
        Ok(Lists {
            items,
            having,
            keys,
        })
    }

    /// By number, by the name of an item, or any expression.
    fn order_expr(&mut self, expr: &ast::Expr, items: &[Item]) -> Outcome<Expr> {
        if let Some(at) = ordinal(expr) {
            return Ok(items[checked_ordinal(at, items.len())?].expr.clone());
        }
        if let ExprKind::Column(name) = &expr.kind
            && name.parts.len() == 1
            && let Some(item) = items
                .iter()
                .find(|item| same_name(&item.name, name.object()))
        {
            return Ok(item.expr.clone());
        }
        self.expr(expr)
    }

    fn item(&mut self, item: &SelectItem, out: &mut Vec<Item>) -> Outcome<()> {
        match item {
            SelectItem::Star | SelectItem::QualifiedStar(_) => self.star(item, out),
            SelectItem::Expr { expr, alias } => {
                let bound = self.expr(expr)?;
                let name = match (alias, &expr.kind) {
                    (Some(alias), _) => alias.text.clone(),
                    (None, ExprKind::Column(name)) => name.object().to_string(),
                    (None, _) => String::new(),
                };
                let masked = self.reads_masked(&bound);
                let (mut identity, mut computed) = (false, false);
                if let (Kind::Column(index), None, Some(scope)) =
                    (&bound.kind, &self.grouping, self.scopes.last())
                    && let Some((_, column)) = scope.all_columns().find(|(at, _)| at == index)
                {
                    (identity, computed) = (column.identity, column.computed);
                }
                out.push(Item {
                    expr: bound,
                    name,
                    identity,
                    computed,
                    masked,
                    assign: None,
                });
                Ok(())
            }
            SelectItem::Assign { variable, op, expr } => {
                let target = self.variable(variable)?;
                let Kind::Variable(index) = target.kind else {
                    return Err(error(
                        137,
                        15,
                        format!("Must declare the scalar variable \"{variable}\"."),
                    )
                    .into());
                };
                let mut value = self.expr(expr)?;
                if let Some(op) = op {
                    value = self.binary(*op, target.clone(), value)?;
                }
                let value = cast(value, &target.ty);
                out.push(Item {
                    expr: value,
                    name: String::new(),
                    identity: false,
                    computed: false,
                    masked: false,
                    assign: Some((index, *op)),
                });
                Ok(())
            }
        }
    }

    /// Whether an expression over ungrouped rows reads a masked column.
    fn reads_masked(&self, expr: &Expr) -> bool {
        let (Some(scope), None) = (self.scopes.last(), &self.grouping) else {
            return false;
        };
        let mut masked = false;
        expr.columns(&mut |index| {
            masked |= scope
                .all_columns()
                .any(|(at, column)| at == index && column.masked);
        });
        masked
    }

    fn star(&mut self, item: &SelectItem, out: &mut Vec<Item>) -> Outcome<()> {
        let scope = self.scopes.last().cloned().unwrap_or_default();
        let before = out.len();
        for source in &scope.sources {
            if let SelectItem::QualifiedStar(name) = item {
                let schema_fits = match (name.schema(), &source.schema) {
                    (Some(wanted), Some(schema)) => same_name(wanted, schema),
                    (Some(_), None) => false,
                    (None, _) => true,
                };
                if !same_name(&source.name, name.object()) || !schema_fits {
                    continue;
                }
            }
            for (at, column) in source
                .columns
                .iter()
                .enumerate()
                .filter(|(_, column)| !column.hidden && !column.unlisted)
            {
                let place = source.start + at;
                let mut expr = Expr::column(
                    place,
                    column.ty.clone(),
                    column.collate.clone(),
                    column.nullable,
                );
                if let Some(grouping) = &self.grouping {
                    let text = format!("{:?}", expr.kind);
                    match grouping.keys.iter().position(|(key, _)| *key == text) {
                        Some(key) => expr.kind = Kind::Column(key),
                        None => {
                            return Err(error(8120, 16, format!("Column '{}.{}' is invalid in the select list because \
                                it is not contained in either an aggregate function or the GROUP BY \
                                clause.", source.name, column.name)).into());
                        }
                    }
                }
                out.push(Item {
                    expr,
                    name: column.name.clone(),
                    identity: column.identity,
                    computed: column.computed,
                    masked: column.masked,
                    assign: None,
                });
            }
        }
        if out.len() == before {
            return Err(match item {
                SelectItem::QualifiedStar(name) => error(
                    107,
                    15,
                    format!(
                        "The column prefix '{name}' does not match \
                    with a table name or alias name used in the query."
                    ),
                ),
                SelectItem::Star | SelectItem::Expr { .. } | SelectItem::Assign { .. } => error(
                    263,
                    16,
                    "Must specify \
                    table to select from.",
                ),
            }
            .into());
        }
        Ok(())
    }

    /// Windows, ordering, TOP, projection: the rest of a SELECT over its (grouped) rows.
    fn assemble(
        &mut self,
        select: &ast::Select,
        order: Option<&Ordering<'_>>,
        mut plan: Plan,
        mut lists: Lists,
    ) -> Outcome<Bound> {
        if !self.windows.is_empty() {
            let calls = std::mem::take(&mut self.windows);
            let base = plan.width;
            let width = base + calls.len();
            plan = Plan::new(
                Node::Window {
                    input: Box::new(plan),
                    calls,
                },
                width,
            );
            let place = move |kind: &mut Kind| {
                if let Kind::Column(index) = kind
                    && *index >= WINDOW_BASE
                {
                    *index = *index - WINDOW_BASE + base;
                }
            };
            lists.items.iter_mut().for_each(|item| {
                item.expr.rewrite(&place);
            });
            lists.keys.iter_mut().for_each(|key| {
                key.expr.rewrite(&place);
            });
        }
        let assigning = lists
            .items
            .iter()
            .filter(|item| item.assign.is_some())
            .count();
        if assigning > 0 && assigning < lists.items.len() {
            return Err(error(
                141,
                15,
                "A SELECT statement that assigns a value to a variable must not be combined with \
                data-retrieval operations.",
            )
            .into());
        }
        let columns: Vec<OutColumn> = lists
            .items
            .iter()
            .map(|item| OutColumn {
                identity: item.identity,
                computed: item.computed,
                masked: item.masked,
                ..OutColumn::of_expr(item.name.clone(), &item.expr)
            })
            .collect();
        let plain_order = Ordering {
            by: &[],
            offset: None,
            fetch: None,
        };
        let order = order.unwrap_or(&plain_order);
        if select.distinct {
            let keys = distinct_keys(&lists)?;
            for column in &columns {
                if !types::is_comparable(&column.ty) {
                    return Err(error(
                        421,
                        16,
                        format!(
                            "The {} data type cannot be selected as DISTINCT because it is \
                        not comparable.",
                            types::name(&column.ty)
                        ),
                    )
                    .into());
                }
            }
            let exprs = lists.items.into_iter().map(|item| item.expr).collect();
            let width = columns.len();
            let collates = columns.iter().map(OutColumn::order).collect();
            plan = Plan {
                node: Node::Distinct(Box::new(projected(plan, exprs))),
                width,
                collates,
            };
            plan = self.ordered(plan, keys, select, order)?;
            return Ok(Bound {
                plan,
                columns,
                assigns: Vec::new(),
                into: select.into.clone(),
            });
        }
        let keys = std::mem::take(&mut lists.keys);
        plan = self.ordered(plan, keys, select, order)?;
        if assigning > 0 {
            let assigns = lists
                .items
                .into_iter()
                .filter_map(|item| {
                    item.assign.map(|(variable, _)| Assign {
                        variable,
                        expr: item.expr,
                    })
                })
                .collect();
            return Ok(Bound {
                plan,
                columns,
                assigns,
                into: None,
            });
        }
        let exprs = lists.items.into_iter().map(|item| item.expr).collect();
        Ok(Bound {
            plan: projected(plan, exprs),
            columns,
            assigns: Vec::new(),
            into: select.into.clone(),
        })
    }
}

pub(super) struct Lists {
    items: Vec<Item>,
    having: Cond,
    keys: Vec<SortKey>,
}

fn ast_conjuncts(cond: &ast::Condition) -> Vec<&ast::Condition> {
    match &cond.kind {
        ConditionKind::And(list) => list.iter().flat_map(ast_conjuncts).collect(),
        _ => vec![cond],
    }
}

fn with_line(stop: Stop, line: u32) -> Stop {
    stop.map(|error| at_line(error, line))
}

fn distinct_keys(lists: &Lists) -> Outcome<Vec<SortKey>> {
    lists
        .keys
        .iter()
        .map(|key| {
            let text = format!("{:?}", key.expr.kind);
            let at = lists.items.iter().position(|item| format!("{:?}", item.expr.kind) == text).ok_or_else(|| {
                error(145, 15, "ORDER BY items must appear in the select list if SELECT DISTINCT is specified.")
            })?;
            let expr = Expr { kind: Kind::Column(at), ..lists.items[at].expr.clone() };
            Ok(SortKey { expr, descending: key.descending })
        })
        .collect()
}

impl Binder<'_, '_> {
    /// The items of an OUTPUT clause.
    pub fn output_items(&mut self, items: &[SelectItem]) -> Outcome<(Vec<Expr>, Vec<OutColumn>)> {
        let mut bound = Vec::new();
        for item in items {
            self.item(item, &mut bound)?;
        }
        let columns = bound
            .iter()
            .map(|item| OutColumn::of_expr(item.name.clone(), &item.expr))
            .collect();
        Ok((bound.into_iter().map(|item| item.expr).collect(), columns))
    }
}
