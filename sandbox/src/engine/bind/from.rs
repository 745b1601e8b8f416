//! FROM: sources, join trees, and the plans that serve them.
//!
//! The columns of a FROM clause lie side by side in the order written. A join tree is planned top down with the
//! conditions that must hold above it: what only one side decides moves down to that side (where joins allow),
//! equalities become seeks or hash keys, the rest stays with the join.

use super::names::check_columns;
use super::{Binder, Named, OutColumn, Scope, Source, at_line, table_columns};
use crate::engine::catalog;
use crate::engine::expr::{Cond, Expr, Kind};
use crate::engine::fault::{Outcome, error, invalid_object};
use crate::engine::permissions;
use crate::engine::plan::{Access, Node, Plan, Reading, Scan};
use crate::engine::schema::{Object, ObjectRef, TableDef, same_name};
use crate::sql::ast::{self, JoinKind, TableHint, TableSourceKind};
use crate::value::SqlType;
use std::sync::Arc;

/// A join tree over the columns from `start`.
pub enum Tree {
    Table {
        scan: Scan,
        def: Arc<TableDef>,
        start: usize,
        width: usize,
        rows: i64,
    },
    Other {
        plan: Plan,
        start: usize,
    },
    Join {
        kind: JoinKind,
        left: Box<Tree>,
        right: Box<Tree>,
        on: Vec<Cond>,
    },
    Apply {
        left: Box<Tree>,
        right: Plan,
        start: usize,
        outer: bool,
    },
}

impl Tree {
    pub(super) fn start(&self) -> usize {
        match self {
            Tree::Table { start, .. } | Tree::Other { start, .. } => *start,
            Tree::Join { left, .. } | Tree::Apply { left, .. } => left.start(),
        }
    }

    pub(super) fn end(&self) -> usize {
        match self {
            Tree::Table { start, width, .. } => start + width,
            Tree::Other { plan, start } => start + plan.width,
            Tree::Join { right, .. } => right.end(),
            Tree::Apply { right, start, .. } => start + right.width,
        }
    }
}

pub fn hints_reading(hints: &[TableHint]) -> Reading {
    let mut reading = Reading::default();
    for hint in hints {
        match hint {
            TableHint::NoLock | TableHint::ReadUncommitted => reading.no_lock = true,
            TableHint::ReadCommitted => reading.committed = true,
            TableHint::ReadCommittedLock => reading.committed_lock = true,
            TableHint::RepeatableRead => reading.repeatable = true,
            TableHint::Serializable | TableHint::HoldLock => reading.hold = true,
            TableHint::Snapshot => reading.snapshot = true,
            TableHint::ReadPast => reading.read_past = true,
            TableHint::TabLock => reading.table_lock = true,
            TableHint::TabLockX => reading.table_lock_exclusive = true,
            TableHint::UpdLock => reading.update_lock = true,
            TableHint::XLock => reading.exclusive_lock = true,
            TableHint::NoWait => reading.no_wait = true,
            TableHint::RowLock
            | TableHint::PagLock
            | TableHint::NoExpand
            | TableHint::Index(_)
            | TableHint::ForceSeek
            | TableHint::ForceScan
            | TableHint::KeepIdentity
            | TableHint::KeepDefaults
            | TableHint::IgnoreConstraints
            | TableHint::IgnoreTriggers => {}
        }
    }
    reading
}

impl Binder<'_, '_> {
    /// The clause's scope and its trees, one per comma-separated source.
    pub fn from(&mut self, sources: &[ast::TableSource], scope: &mut Scope) -> Outcome<Vec<Tree>> {
        sources
            .iter()
            .map(|source| self.source(source, scope))
            .collect()
    }

    pub fn source(&mut self, source: &ast::TableSource, scope: &mut Scope) -> Outcome<Tree> {
        let line = source.line;
        match &source.kind {
            TableSourceKind::Table {
                name,
                alias,
                system_time,
                sample,
                hints,
            } => {
                let mut tree = match system_time {
                    Some(time) => self.past_source(name, alias.as_ref(), hints, time, scope)?,
                    None => self.table_source(name, alias.as_ref(), hints, scope)?,
                };
                if let (Some(sample), Tree::Table { scan, rows, .. }) = (sample, &mut tree) {
                    let amount = self.expr(&sample.amount)?;
                    let Kind::Const(value) = &amount.kind else {
                        return self.refuse("TABLESAMPLE with a variable amount", line);
                    };
                    let amount = crate::engine::convert::as_float(value).unwrap_or(100.0);
                    scan.sample = Some(if sample.rows {
                        amount / (*rows).max(1) as f64
                    } else {
                        amount / 100.0
                    });
                }
                Ok(tree)
            }
            TableSourceKind::Variable { name, alias } => {
                let Some(at) = self
                    .cx
                    .ses
                    .frame()
                    .tables
                    .get(&name.to_lowercase())
                    .copied()
                else {
                    return Err(at_line(
                        error(
                            1087,
                            15,
                            format!("Must declare the table variable \"{name}\"."),
                        ),
                        line,
                    )
                    .into());
                };
                self.base_table(
                    at,
                    alias.as_ref().map_or(name.as_str(), |a| a.text.as_str()),
                    None,
                    Reading::default(),
                    scope,
                )
            }
            TableSourceKind::Derived { query, alias } => {
                let bound = self.nested(query)?.0;
                self.derived(bound.plan, bound.columns, alias, scope, line)
            }
            TableSourceKind::Values { rows, alias } => {
                let (plan, columns) = self.values(rows)?;
                self.derived(plan, columns, alias, scope, line)
            }
            TableSourceKind::Function {
                name,
                args,
                alias,
                schema,
            } => {
                if !schema.is_empty() {
                    return self.refuse("OPENJSON", line);
                }
                let args = self.arguments(args)?;
                if let Some((plan, columns)) = self.captured_changes(name, args.clone())? {
                    return self.derived(plan, columns, alias, scope, line);
                }
                let Some(function) = catalog::function(name) else {
                    return Err(at_line(invalid_object(name), line).into());
                };
                let database = self.database_of(name)?;
                let columns = function.out_columns(&self.cx.held);
                let plan = Plan::new(
                    Node::Virtual {
                        produce: function.produce,
                        args,
                        database,
                        object: None,
                    },
                    columns.len(),
                );
                self.derived(plan, columns, alias, scope, line)
            }
            TableSourceKind::Changes {
                table, last, alias, ..
            } => {
                let (plan, columns) = self.changes(table, last)?;
                self.derived(plan, columns, alias, scope, line)
            }
            TableSourceKind::Version {
                table,
                columns,
                values,
                alias,
                ..
            } => {
                let (plan, columns) = self.versions(table, columns, values)?;
                self.derived(plan, columns, alias, scope, line)
            }
            TableSourceKind::Join {
                left,
                right,
                kind,
                on,
                ..
            } => {
                let left = self.source(left, scope)?;
                let right = self.source(right, scope)?;
                let (start, middle) = (left.start(), left.end());
                for source in &mut scope.sources {
                    let padded = match kind {
                        JoinKind::Left => source.start >= middle,
                        JoinKind::Right => (start..middle).contains(&source.start),
                        JoinKind::Full => source.start >= start,
                        JoinKind::Inner | JoinKind::Cross => false,
                    };
                    if padded {
                        source
                            .columns
                            .iter_mut()
                            .for_each(|column| column.nullable = true);
                    }
                }
                let mut conds = Vec::new();
                if let Some(on) = on {
                    self.scopes.push(scope.clone());
                    let bound = self.cond(on);
                    self.scopes.pop();
                    bound?.conjuncts(&mut conds);
                }
                Ok(Tree::Join {
                    kind: *kind,
                    left: Box::new(left),
                    right: Box::new(right),
                    on: conds,
                })
            }
            TableSourceKind::Apply { left, right, outer } => {
                let left = self.source(left, scope)?;
                self.scopes.push(scope.clone());
                let mut inner = Scope::default();
                let tree = self.source(right, &mut inner);
                let plan = tree.and_then(|tree| self.plan_tree(tree, Vec::new()));
                self.scopes.pop();
                let plan = plan?;
                let start = scope.width;
                for mut source in inner.sources {
                    if *outer {
                        source
                            .columns
                            .iter_mut()
                            .for_each(|column| column.nullable = true);
                    }
                    scope.add(source);
                }
                Ok(Tree::Apply {
                    left: Box::new(left),
                    right: plan,
                    start,
                    outer: *outer,
                })
            }
        }
    }

    fn derived(
        &mut self,
        plan: Plan,
        mut columns: Vec<OutColumn>,
        alias: &ast::Alias,
        scope: &mut Scope,
        line: u32,
    ) -> Outcome<Tree> {
        if !alias.columns.is_empty() {
            if alias.columns.len() != columns.len() {
                let name = alias.name.as_ref().map_or("", |n| n.text.as_str());
                let (number, word) = if alias.columns.len() > columns.len() {
                    (8158, "fewer")
                } else {
                    (8158, "more")
                };
                return Err(at_line(
                    error(
                        number,
                        16,
                        format!(
                            "'{name}' has {word} columns than were specified in the column list."
                        ),
                    ),
                    line,
                )
                .into());
            }
            for (column, name) in columns.iter_mut().zip(&alias.columns) {
                column.name = name.text.clone();
            }
        }
        let start = scope.width;
        let name = alias
            .name
            .as_ref()
            .map_or(String::new(), |n| n.text.clone());
        check_columns(&columns, &name).map_err(|stop| stop.map(|error| at_line(error, line)))?;
        scope.add(Source {
            name,
            schema: None,
            columns,
            start,
        });
        Ok(Tree::Other { plan, start })
    }

    /// A VALUES list: the types of each column are brought together.
    pub fn values(&mut self, rows: &[Vec<ast::Expr>]) -> Outcome<(Plan, Vec<OutColumn>)> {
        let mut bound = Vec::with_capacity(rows.len());
        for row in rows {
            bound.push(
                row.iter()
                    .map(|expr| self.expr(expr))
                    .collect::<Outcome<Vec<_>>>()?,
            );
        }
        let width = bound.first().map_or(0, Vec::len);
        if bound.iter().any(|row| row.len() != width) {
            return Err(error(
                10709,
                16,
                "The number of columns for each row in a table value constructor must be the same.",
            )
            .into());
        }
        let mut columns = Vec::with_capacity(width);
        for at in 0..width {
            let all: Vec<&Expr> = bound.iter().map(|row| &row[at]).collect();
            let (ty, collate, _) = self.unify(&all)?;
            let nullable = all.iter().any(|expr| expr.nullable);
            columns.push(OutColumn {
                name: String::new(),
                ty,
                collate,
                nullable,
                identity: false,
                computed: false,
                hidden: false,
                unlisted: false,
                masked: false,
            });
        }
        for row in &mut bound {
            for (expr, column) in row.iter_mut().zip(&columns) {
                *expr = super::expr::cast(expr.clone(), &column.ty);
            }
        }
        Ok((Plan::new(Node::Values(bound), width), columns))
    }

    fn table_source(
        &mut self,
        name: &ast::ObjectName,
        alias: Option<&ast::Ident>,
        hints: &[TableHint],
        scope: &mut Scope,
    ) -> Outcome<Tree> {
        let shown = alias
            .map_or(name.object(), |alias| alias.text.as_str())
            .to_string();
        let schema = if alias.is_some() {
            None
        } else {
            name.schema().map(str::to_string)
        };
        if name.parts.len() == 1 {
            if let Some(tree) = self.cte(name, &shown, scope)? {
                return Ok(tree);
            }
            if let Some(tree) = self.trigger_rows(name, &shown, scope)? {
                return Ok(tree);
            }
        }
        if let Some(view) = catalog::view(name) {
            let database = self.database_of(name)?;
            let columns = view.columns_in(&self.cx.held, database);
            let start = scope.width;
            let plan = Plan::new(
                Node::Virtual {
                    produce: view.produce,
                    args: Vec::new(),
                    database,
                    object: columns.iter().position(|c| c.name == "object_id"),
                },
                columns.len(),
            );
            scope.add(Source {
                name: shown,
                schema,
                columns,
                start,
            });
            return Ok(Tree::Other { plan, start });
        }
        match self.named(name)? {
            Named::Table(at) => {
                permissions::check(self.cx, at, "SELECT")?;
                if let Some(query) = self.policies(at)? {
                    return self.let_through(at, &query, shown, schema, scope);
                }
                self.base_table(at, &shown, schema, hints_reading(hints), scope)
            }
            Named::View(at) => {
                permissions::check(self.cx, at, "SELECT")?;
                self.view(at, shown, schema, scope)
            }
        }
    }

    pub fn base_table(
        &mut self,
        at: ObjectRef,
        name: &str,
        schema: Option<String>,
        mut reading: Reading,
        scope: &mut Scope,
    ) -> Outcome<Tree> {
        let mut columns = table_columns(self.cx, at)?;
        let table = self.cx.held.table(at)?;
        let (def, rows) = (table.def.clone(), table.count);
        let start = scope.width;
        let target = self.target.is_none()
            && self.scopes.is_empty()
            && self
                .wanted
                .as_ref()
                .is_some_and(|wanted| wanted.is(at, name));
        if target {
            self.target = Some(super::Target {
                at,
                start,
                columns: columns.len(),
            });
            columns.push(row_id_column());
            reading.target = true;
        }
        let width = columns.len();
        scope.add(Source {
            name: name.to_string(),
            schema,
            columns,
            start,
        });
        let scan = Scan {
            table: at,
            access: Access::Rows,
            filter: Cond::True,
            row_id: false,
            reading,
            sample: None,
        };
        let scan = Scan {
            row_id: target,
            ..scan
        };
        Ok(Tree::Table {
            scan,
            def,
            start,
            width,
            rows,
        })
    }

    fn view(
        &mut self,
        at: ObjectRef,
        name: String,
        schema: Option<String>,
        scope: &mut Scope,
    ) -> Outcome<Tree> {
        let Some(Object::View(view)) = self.cx.held.databases[at.database].objects.get(&at.id)
        else {
            return Err(invalid_object(name).into());
        };
        let view = view.clone();
        if self.nesting >= 32 {
            return Err(error(
                217,
                16,
                "Maximum stored procedure, function, trigger, or view nesting level exceeded \
                (limit 32).",
            )
            .into());
        }
        let mut inner = Binder::new(self.cx);
        inner.database = at.database;
        inner.nesting = self.nesting + 1;
        let bound = inner.query(&view.query)?;
        let mut columns = bound.columns;
        for (column, name) in columns.iter_mut().zip(&view.columns) {
            column.name = name.text.clone();
        }
        let start = scope.width;
        scope.add(Source {
            name,
            schema,
            columns,
            start,
        });
        Ok(Tree::Other {
            plan: bound.plan,
            start,
        })
    }

    fn trigger_rows(
        &mut self,
        name: &ast::ObjectName,
        shown: &str,
        scope: &mut Scope,
    ) -> Outcome<Option<Tree>> {
        let inserted = same_name(name.object(), "inserted");
        if !(inserted || same_name(name.object(), "deleted")) {
            return Ok(None);
        }
        let Some(trigger) = self.cx.ses.frame().trigger.clone() else {
            return Ok(None);
        };
        let columns = table_columns(self.cx, trigger.table)?;
        let start = scope.width;
        let node = if inserted {
            Node::Inserted
        } else {
            Node::Deleted
        };
        let plan = Plan::new(node, columns.len());
        scope.add(Source {
            name: shown.to_string(),
            schema: None,
            columns,
            start,
        });
        Ok(Some(Tree::Other { plan, start }))
    }
}

/// An int column that stands for a row's id.
pub fn row_id_column() -> OutColumn {
    OutColumn {
        name: String::new(),
        ty: SqlType::BigInt,
        collate: None,
        nullable: false,
        identity: false,
        computed: false,
        hidden: true,
        unlisted: false,
        masked: false,
    }
}
