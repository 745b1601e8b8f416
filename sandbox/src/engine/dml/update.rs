//! UPDATE, DELETE, TRUNCATE.

use super::insert::limit;
use super::output::Images;
use super::{Output, Writer, fire, target_table};
use crate::engine::bind::{Binder, Scope, Target, Wanted, cast, check_exposed, hints_reading};
use crate::engine::capture;
use crate::engine::context::Cx;
use crate::engine::expr::{Expr, Kind};
use crate::engine::fault::{Outcome, error, invalid_column, unsupported};
use crate::engine::locks::{Mode, Owner, Resource};
use crate::engine::permissions;
use crate::engine::plan::{Plan, Reading};
use crate::engine::schema::{Column, Object, ObjectRef, Row, TableDef, same_name};
use crate::engine::state::Undo;
use crate::engine::temporal::{self, Verb};
use crate::engine::tracking::History;
use crate::sql::ast::{self, Assignment, TriggerEvent, ValueOrDefault};
use crate::value::{SqlType, Value};
use std::collections::HashSet;
use std::sync::Arc;

/// The rows that a statement is about, and how to read them.
pub struct Source {
    pub plan: Plan,
    pub scope: Scope,
    pub target: Target,
}

/// One bound item of SET.
pub enum SetItem {
    /// None: the column's default.
    Column {
        ordinal: usize,
        expr: Option<Expr>,
    },
    Variable {
        index: usize,
        expr: Expr,
    },
}

pub fn update(cx: &mut Cx<'_>, statement: &ast::Update) -> Outcome<(u64, bool)> {
    let parts = Parts {
        ctes: &statement.ctes,
        target: &statement.target,
        from: &statement.from,
        filter: statement.filter.as_ref(),
    };
    let (source, reading) = rows_of(cx, &parts)?;
    permissions::check(cx, source.target.at, "UPDATE")?;
    temporal::refuse_history(cx, source.target.at, Verb::Update)?;
    let writer = Writer::open_in(cx, source.target.at, reading, statement.context.as_ref())?;
    let items = {
        let mut binder = Binder::new(cx);
        binder.scopes.push(source.scope.clone());
        set_items(
            &mut binder,
            &statement.set,
            &writer.def,
            source.target.start,
        )?
    };
    let images = Images {
        deleted: true,
        inserted: true,
        merge: false,
        source: Some(source.scope.clone()),
    };
    let mut output = Output::bind(cx, statement.output.as_ref(), writer.at, images)?;
    if cx.compiling {
        return Ok((0, false));
    }
    let rows = find(cx, &source, statement.top.as_ref())?;
    let updated: Vec<usize> = assigned(&items);
    let mut changes: Vec<(u64, Row, Row)> = Vec::with_capacity(rows.len());
    for (row_id, tuple) in &rows {
        writer.claim(cx, *row_id)?;
        let (old, new) = changed(cx, &writer, &items, tuple, &source.target)?;
        changes.push((*row_id, old, new));
    }
    writer.update_all(cx, &changes, &updated)?;
    if let Some(output) = &mut output {
        for ((_, tuple), (_, old, new)) in rows.iter().zip(&changes) {
            output.add(cx, Some(old), Some(new), tuple, None)?;
        }
    }
    let count = changes.len() as u64;
    let (deleted, inserted) = changes.into_iter().map(|(_, old, new)| (old, new)).unzip();
    fire(
        cx,
        writer.at,
        TriggerEvent::Update,
        inserted,
        deleted,
        updated,
    )?;
    let sent = match output {
        Some(output) => output.finish(cx)?,
        None => false,
    };
    Ok((count, sent))
}

pub fn delete(cx: &mut Cx<'_>, statement: &ast::Delete) -> Outcome<(u64, bool)> {
    let parts = Parts {
        ctes: &statement.ctes,
        target: &statement.target,
        from: &statement.from,
        filter: statement.filter.as_ref(),
    };
    let (source, reading) = rows_of(cx, &parts)?;
    permissions::check(cx, source.target.at, "DELETE")?;
    temporal::refuse_history(cx, source.target.at, Verb::Delete)?;
    let writer = Writer::open_in(cx, source.target.at, reading, statement.context.as_ref())?;
    let images = Images {
        deleted: true,
        inserted: false,
        merge: false,
        source: Some(source.scope.clone()),
    };
    let mut output = Output::bind(cx, statement.output.as_ref(), writer.at, images)?;
    if cx.compiling {
        return Ok((0, false));
    }
    let found = find(cx, &source, statement.top.as_ref())?;
    let mut rows = Vec::with_capacity(found.len());
    for (row_id, tuple) in &found {
        writer.claim(cx, *row_id)?;
        let old: Row = tuple[source.target.start..source.target.row_id()].into();
        rows.push((*row_id, old));
    }
    writer.delete_all(cx, &rows)?;
    if let Some(output) = &mut output {
        for ((_, tuple), (_, old)) in found.iter().zip(&rows) {
            output.add(cx, Some(old), None, tuple, None)?;
        }
    }
    let count = rows.len() as u64;
    let deleted = rows.into_iter().map(|(_, row)| row).collect();
    fire(
        cx,
        writer.at,
        TriggerEvent::Delete,
        Vec::new(),
        deleted,
        Vec::new(),
    )?;
    let sent = match output {
        Some(output) => output.finish(cx)?,
        None => false,
    };
    Ok((count, sent))
}

struct Parts<'s> {
    ctes: &'s [ast::Cte],
    target: &'s ast::Target,
    from: &'s [ast::TableSource],
    filter: Option<&'s ast::Condition>,
}

/// Binds the rows of an UPDATE or DELETE: the target named in FROM by alias or by table, or standing alone.
fn rows_of(cx: &mut Cx<'_>, parts: &Parts<'_>) -> Outcome<(Source, Reading)> {
    let mut binder = Binder::new(cx);
    binder.add_ctes(parts.ctes);
    let reading = match parts.target {
        ast::Target::Table { hints, .. } => hints_reading(hints),
        ast::Target::Variable(_) => Reading::default(),
    };
    let alias = match parts.target {
        ast::Target::Table { name, .. }
            if name.parts.len() == 1
                && parts.from.iter().any(|source| names(source, name.object())) =>
        {
            Some(name.object())
        }
        ast::Target::Table { .. } | ast::Target::Variable(_) => None,
    };
    if let ast::Target::Table { name, .. } = parts.target
        && parts
            .ctes
            .iter()
            .any(|cte| same_name(&cte.name.text, name.object()))
    {
        return Err(unsupported("UPDATE or DELETE of a common table expression").into());
    }
    let mut scope = Scope::default();
    let mut standing = None;
    match alias {
        Some(alias) => binder.wanted = Some(Wanted::Alias(alias.to_string())),
        None => {
            let (at, _) = target_table(cx, parts.target)?;
            binder.wanted = Some(Wanted::Table(at));
            standing = Some(at);
        }
    }
    let mut trees = binder.from(parts.from, &mut scope)?;
    check_exposed(parts.from)?;
    if binder.target.is_none()
        && let Some(at) = standing
    {
        let name = cx.held.table(at)?.def.name.clone();
        let schema = cx
            .held
            .database(at.database)
            .schema_name(cx.held.table(at)?.def.schema_id)
            .to_string();
        let shown = match parts.target {
            ast::Target::Variable(name) => name.clone(),
            ast::Target::Table { .. } => name,
        };
        trees.push(binder.base_table(at, &shown, Some(schema), reading, &mut scope)?);
    }
    let Some(target) = binder.target.clone() else {
        return Err(unsupported("UPDATE or DELETE of something other than a table").into());
    };
    binder.scopes.push(scope.clone());
    let plan = binder.filtered(trees, parts.filter)?;
    Ok((
        Source {
            plan,
            scope,
            target,
        },
        reading,
    ))
}

/// Whether a FROM clause introduces this name.
fn names(source: &ast::TableSource, wanted: &str) -> bool {
    match &source.kind {
        ast::TableSourceKind::Table { name, alias, .. } => same_name(
            alias.as_ref().map_or(name.object(), |a| a.text.as_str()),
            wanted,
        ),
        ast::TableSourceKind::Variable { name, alias } => same_name(
            alias.as_ref().map_or(name.as_str(), |a| a.text.as_str()),
            wanted,
        ),
        ast::TableSourceKind::Join { left, right, .. }
        | ast::TableSourceKind::Apply { left, right, .. } => {
            names(left, wanted) || names(right, wanted)
        }
        ast::TableSourceKind::Derived { .. }
        | ast::TableSourceKind::Values { .. }
        | ast::TableSourceKind::Function { .. }
        | ast::TableSourceKind::Changes { .. }
        | ast::TableSourceKind::Version { .. } => false,
    }
}

/// The source rows, one per target row: when a join gives several, one of them counts, as in SQL Server.
fn find(
    cx: &mut Cx<'_>,
    source: &Source,
    top: Option<&ast::Top>,
) -> Outcome<Vec<(u64, Vec<Value>)>> {
    let at = source.target.row_id();
    let count = match top {
        Some(top) => Some((Binder::new(cx).expr(&top.count)?, top.percent)),
        None => None,
    };
    // TOP without PERCENT may stop looking early: READPAST queues rely on it.
    let enough = match &count {
        Some((expr, false)) => crate::engine::types::integer(&expr.eval(&[], cx)?)
            .and_then(|n| usize::try_from(n).ok()),
        Some((_, true)) | None => None,
    };
    let mut seen = HashSet::new();
    let mut out = Vec::new();
    if enough == Some(0) {
        return Ok(out);
    }
    let mut cursor = source.plan.open(cx)?;
    while let Some(row) = cursor.next(cx)? {
        let Value::BigInt(row_id) = row[at] else {
            // The outer side of a join without a target row.
            continue;
        };
        if seen.insert(row_id) {
            out.push((row_id as u64, row));
        }
        if enough.is_some_and(|enough| out.len() >= enough) {
            break;
        }
    }
    drop(cursor);
    if let Some((expr, percent)) = &count {
        limit(cx, &mut out, expr, *percent)?;
    }
    Ok(out)
}

pub fn assigned(items: &[SetItem]) -> Vec<usize> {
    items
        .iter()
        .filter_map(|item| match item {
            SetItem::Column { ordinal, .. } => Some(*ordinal),
            SetItem::Variable { .. } => None,
        })
        .collect()
}

/// Binds SET. `start` is where the target's columns lie in the source row.
pub fn set_items(
    binder: &mut Binder<'_, '_>,
    set: &[Assignment],
    def: &TableDef,
    start: usize,
) -> Outcome<Vec<SetItem>> {
    let mut out = Vec::new();
    for item in set {
        match item {
            Assignment::Column {
                variable,
                column,
                op,
                value,
            } => {
                let ordinal = def
                    .column(column.object())
                    .ok_or_else(|| invalid_column(column.object()))?;
                let definition = &def.columns[ordinal];
                check_settable(definition)?;
                temporal::check_settable(def, definition)?;
                if out.iter().any(|set| matches!(set, SetItem::Column { ordinal: other, .. } if *other == ordinal)) {
                    return Err(error(264, 16, format!("The column name '{}' is specified more than once in the SET \
                        clause or column list of an INSERT. A column cannot be assigned more than one value in the \
                        same clause.", definition.name)).into());
                }
                let expr = match value {
                    ValueOrDefault::Default => None,
                    ValueOrDefault::Value(value) => {
                        let mut bound = binder.expr(value)?;
                        if let Some(op) = op {
                            let current = current(definition, start + ordinal);
                            bound = binder.binary(*op, current, bound)?;
                        }
                        Some(bound)
                    }
                };
                if let (Some(variable), Some(expr)) = (variable, &expr) {
                    out.push(variable_item(
                        binder,
                        variable,
                        cast(expr.clone(), &definition.ty),
                    )?);
                }
                out.push(SetItem::Column { ordinal, expr });
            }
            Assignment::Variable {
                variable,
                op,
                value,
            } => {
                let target = binder.variable(variable)?;
                let mut bound = binder.expr(value)?;
                if let Some(op) = op {
                    bound = binder.binary(*op, target, bound)?;
                }
                out.push(variable_item(binder, variable, bound)?);
            }
        }
    }
    Ok(out)
}

/// Refuses a column that only the server fills.
fn check_settable(definition: &Column) -> Outcome<()> {
    if definition.identity.is_some() {
        return Err(error(
            8102,
            16,
            format!("Cannot update identity column '{}'.", definition.name),
        )
        .into());
    }
    if definition.computed.is_some() {
        return Err(error(
            271,
            16,
            format!(
                "The column \"{}\" cannot be modified because it is either a \
            computed column or is the result of a UNION operator.",
                definition.name
            ),
        )
        .into());
    }
    if definition.ty == SqlType::RowVersion {
        return Err(error(272, 16, "Cannot update a timestamp column.").into());
    }
    Ok(())
}

/// The value before the update, of a compound assignment.
fn current(definition: &Column, at: usize) -> Expr {
    let collate = definition.collate.clone();
    Expr::column(at, definition.ty.clone(), collate, true)
}

fn variable_item(binder: &mut Binder<'_, '_>, name: &str, expr: Expr) -> Outcome<SetItem> {
    let target = binder.variable(name)?;
    match target.kind {
        Kind::Variable(index) => Ok(SetItem::Variable {
            index,
            expr: cast(expr, &target.ty),
        }),
        _ => Err(error(
            137,
            15,
            format!("Must declare the scalar variable \"{name}\"."),
        )
        .into()),
    }
}

/// The old and the new row.
pub fn changed(
    cx: &mut Cx<'_>,
    writer: &Writer,
    items: &[SetItem],
    tuple: &[Value],
    target: &Target,
) -> Outcome<(Row, Row)> {
    let old: Row = tuple[target.start..target.row_id()].into();
    let mut new = old.to_vec();
    for item in items {
        match item {
            SetItem::Variable { index, expr } => {
                let value = expr.eval(tuple, cx)?;
                cx.ses.frame_mut().variables[*index].value = value;
            }
            SetItem::Column { ordinal, expr } => {
                new[*ordinal] = match expr {
                    Some(expr) => {
                        let value = expr.eval(tuple, cx)?;
                        if expr.ty == writer.def.columns[*ordinal].ty
                            && expr.collate == writer.def.columns[*ordinal].collate
                        {
                            value
                        } else {
                            writer.store(cx, *ordinal, &value, &expr.ty)?
                        }
                    }
                    None => writer.default_value(cx, *ordinal)?,
                };
            }
        }
    }
    writer.derive(cx, &mut new)?;
    writer.check(cx, &new, "UPDATE")?;
    Ok((old, Arc::from(new)))
}

impl Writer {
    /// The column's default, or NULL.
    pub fn default_value(&self, cx: &mut Cx<'_>, ordinal: usize) -> Outcome<Value> {
        match &self.defaults[ordinal] {
            Some(default) => {
                let value = default.eval(&[], cx)?;
                self.store(cx, ordinal, &value, &default.ty)
            }
            None => Ok(Value::Null),
        }
    }
}

/// TRUNCATE TABLE; rolls back like everything else.
pub fn truncate(cx: &mut Cx<'_>, name: &ast::ObjectName) -> Outcome<()> {
    super::refuse_when_doomed(cx)?;
    let at = Binder::new(cx).object(name)?;
    permissions::check(cx, at, "ALTER")?;
    refuse_referenced(cx, at)?;
    capture::refuse_truncate(cx, at)?;
    temporal::refuse_truncate(cx, at)?;
    cx.transaction();
    cx.acquire(Resource::Table(at), Mode::SchemaModify, Owner::Transaction)?;
    let Some(Object::Table(table)) = cx.held.databases[at.database].objects.get(&at.id) else {
        return Err(error(
            4708,
            16,
            format!("Could not truncate object '{name}' because it is not a table."),
        )
        .into());
    };
    let old = table.clone();
    let mut empty = crate::engine::storage::Table::new((*old.def).clone());
    empty.next_row = old.next_row;
    empty.storage = old.storage;
    empty.shaped_at = u64::MAX;
    if let Some(history) = &old.tracking {
        let epoch = cx.held.databases[at.database].new_object_id();
        empty.tracking = Some(Arc::new(History::new(epoch, history.columns)));
    }
    cx.held.databases[at.database]
        .objects
        .insert(at.id, Object::Table(Box::new(empty)));
    cx.transaction().undo.push(Undo::Object {
        at,
        old: Some(Box::new(Object::Table(old))),
    });
    Ok(())
}

fn refuse_referenced(cx: &Cx<'_>, at: ObjectRef) -> Outcome<()> {
    let database = cx.held.database(at.database);
    let referenced = database.tables().any(|table| {
        table.def.id != at.id
            && table
                .def
                .foreign_keys
                .iter()
                .any(|key| key.references == at)
    });
    if referenced {
        let name = cx.held.table(at)?.def.name.clone();
        return Err(error(
            4712,
            16,
            format!(
                "Cannot truncate table '{name}' because it is being referenced by a FOREIGN \
            KEY constraint."
            ),
        )
        .into());
    }
    Ok(())
}
