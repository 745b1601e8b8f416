//! MERGE.
//!
//! The source drives: each of its rows finds its target rows by an index seek where the ON condition allows,
//! otherwise through a hash table. The actions are all decided on the rows as they were, then carried out: deletes,
//! updates, inserts. A target row that two source rows would change is error 8672.

use super::insert::{columns as insert_columns, refuse_generated};
use super::output::Images;
use super::update::{SetItem, assigned, changed, set_items};
use super::{Output, Writer, fire, target_table};
use crate::engine::bind::{Binder, Scope, Target, Tree, Wanted};
use crate::engine::context::Cx;
use crate::engine::expr::{Cond, Expr};
use crate::engine::fault::{Outcome, error, unsupported};
use crate::engine::permissions;
use crate::engine::plan::{Plan, Reading};
use crate::engine::schema::{ObjectRef, Row};
use crate::engine::temporal::{self, Verb};
use crate::sql::ast::{self, MergeAction, MergeWhen, TriggerEvent, ValueOrDefault};
use crate::value::{SqlType, Value};
use std::collections::HashSet;
use std::sync::Arc;

enum Action {
    Delete,
    Update(Vec<SetItem>),
    Insert(Vec<(usize, Option<Expr>)>),
}

struct Clause {
    when: MergeWhen,
    condition: Cond,
    action: Action,
}

#[derive(Default)]
struct Changes {
    deleted: Vec<(u64, Row, Vec<Value>)>,
    updated: Vec<(u64, Row, Row, Vec<Value>)>,
    /// For each of `updated`, the place of its clause.
    updated_by: Vec<usize>,
    inserted: Vec<(Row, Vec<Value>)>,
    touched: HashSet<u64>,
}

struct Bound {
    /// Source columns, then the target's with its row id; target NULL where nothing matched.
    joined: Plan,
    /// The whole target, when some clause is about rows without a source.
    target_rows: Option<Plan>,
    scope: Scope,
    target: Target,
    clauses: Vec<Clause>,
}

pub fn merge(cx: &mut Cx<'_>, statement: &ast::Merge) -> Outcome<(u64, bool)> {
    if statement.top.is_some() {
        return Err(unsupported("MERGE TOP").into());
    }
    let (at, reading) = target_table(cx, &statement.target)?;
    for clause in &statement.clauses {
        let needed = match clause.action {
            MergeAction::Delete => "DELETE",
            MergeAction::Update(_) => "UPDATE",
            MergeAction::Insert { .. } => "INSERT",
        };
        permissions::check(cx, at, needed)?;
    }
    temporal::refuse_history(cx, at, Verb::Merge)?;
    let writer = Writer::open_in(cx, at, reading, statement.context.as_ref())?;
    let bound = bind(cx, statement, at, reading, &writer)?;
    let images = Images {
        deleted: true,
        inserted: true,
        merge: true,
        source: Some(bound.scope.clone()),
    };
    let mut output = Output::bind(cx, statement.output.as_ref(), at, images)?;
    if cx.compiling {
        return Ok((0, false));
    }
    let changes = decide(cx, &writer, &bound)?;
    apply(cx, &writer, &bound, &changes)?;
    if let Some(output) = &mut output {
        for (_, old, tuple) in &changes.deleted {
            output.add(cx, Some(old), None, tuple, Some("DELETE"))?;
        }
        for (_, old, new, tuple) in &changes.updated {
            output.add(cx, Some(old), Some(new), tuple, Some("UPDATE"))?;
        }
        for (new, tuple) in &changes.inserted {
            output.add(cx, None, Some(new), tuple, Some("INSERT"))?;
        }
    }
    let count = (changes.deleted.len() + changes.updated.len() + changes.inserted.len()) as u64;
    fire_all(cx, &writer, &bound, changes)?;
    let sent = match output {
        Some(output) => output.finish(cx)?,
        None => false,
    };
    Ok((count, sent))
}

fn bind(
    cx: &mut Cx<'_>,
    statement: &ast::Merge,
    at: ObjectRef,
    reading: Reading,
    writer: &Writer,
) -> Outcome<Bound> {
    let mut binder = Binder::new(cx);
    binder.add_ctes(&statement.ctes);
    let mut scope = Scope::default();
    let source = binder.source(&statement.source, &mut scope)?;
    binder.wanted = Some(Wanted::Table(at));
    let (name, schema) = match (&statement.alias, &statement.target) {
        (Some(alias), _) => (alias.text.clone(), None),
        (None, ast::Target::Table { name, .. }) => {
            (name.object().to_string(), name.schema().map(str::to_string))
        }
        (None, ast::Target::Variable(name)) => (name.clone(), None),
    };
    let target_tree = binder.base_table(at, &name, schema.clone(), reading, &mut scope)?;
    let Some(target) = binder.target.clone() else {
        return Err(error(208, 16, "Invalid MERGE target.").into());
    };
    binder.scopes.push(scope.clone());
    let mut on = Vec::new();
    binder.cond(&statement.on)?.conjuncts(&mut on);
    let clauses = statement
        .clauses
        .iter()
        .map(|clause| bind_clause(&mut binder, cx, writer, clause, at, target.start))
        .collect::<Outcome<Vec<Clause>>>()?;
    let tree = Tree::Join {
        kind: ast::JoinKind::Left,
        left: Box::new(source),
        right: Box::new(target_tree),
        on,
    };
    let joined = binder.plan_tree(tree, Vec::new())?;
    let by_source = |clause: &Clause| clause.when == MergeWhen::NotMatchedBySource;
    let target_rows = if clauses.iter().any(by_source) {
        let mut alone = Binder::new(cx);
        alone.wanted = Some(Wanted::Table(at));
        let tree = alone.base_table(at, &name, schema, reading, &mut Scope::default())?;
        Some(alone.plan_tree(tree, Vec::new())?)
    } else {
        None
    };
    Ok(Bound {
        joined,
        target_rows,
        scope,
        target,
        clauses,
    })
}

/// `start`: where the target's columns begin.
fn bind_clause(
    binder: &mut Binder<'_, '_>,
    cx: &Cx<'_>,
    writer: &Writer,
    clause: &ast::MergeClause,
    at: ObjectRef,
    start: usize,
) -> Outcome<Clause> {
    let condition = match &clause.condition {
        Some(condition) => binder.cond(condition)?,
        None => Cond::True,
    };
    let action = match &clause.action {
        MergeAction::Delete => Action::Delete,
        MergeAction::Update(set) => Action::Update(set_items(binder, set, &writer.def, start)?),
        MergeAction::Insert { columns, values } => {
            let values = values.as_deref();
            Action::Insert(insert_items(binder, cx, writer, columns, values, at)?)
        }
    };
    Ok(Clause {
        when: clause.when,
        condition,
        action,
    })
}

fn insert_items(
    binder: &mut Binder<'_, '_>,
    cx: &Cx<'_>,
    writer: &Writer,
    columns: &[ast::Ident],
    values: Option<&[ValueOrDefault]>,
    at: ObjectRef,
) -> Outcome<Vec<(usize, Option<Expr>)>> {
    let Some(values) = values else {
        return Ok(Vec::new());
    };
    let ordinals = insert_columns(cx, writer, columns, at)?;
    if ordinals.len() != values.len() {
        return Err(error(
            10709,
            16,
            "The number of columns for each row in a table value constructor must be the same.",
        )
        .into());
    }
    let mut out = Vec::with_capacity(values.len());
    for (ordinal, value) in ordinals.into_iter().zip(values) {
        match value {
            ValueOrDefault::Value(_) if writer.def.columns[ordinal].ty == SqlType::RowVersion => {
                return Err(super::insert::rowversion_given().into());
            }
            ValueOrDefault::Value(expr) => {
                refuse_generated(&writer.def, ordinal)?;
                out.push((ordinal, Some(binder.expr(expr)?)));
            }
            ValueOrDefault::Default => out.push((ordinal, None)),
        }
    }
    Ok(out)
}

/// Reads source and target and decides what happens to each row.
fn decide(cx: &mut Cx<'_>, writer: &Writer, bound: &Bound) -> Outcome<Changes> {
    let mut changes = Changes::default();
    let mut matched: HashSet<u64> = HashSet::new();
    let row_id_at = bound.target.row_id();
    let mut cursor = bound.joined.open(cx)?;
    while let Some(tuple) = cursor.next(cx)? {
        match tuple[row_id_at] {
            Value::BigInt(row_id) => {
                let row_id = row_id as u64;
                if bound.target_rows.is_some() {
                    matched.insert(row_id);
                }
                act(
                    cx,
                    writer,
                    bound,
                    MergeWhen::Matched,
                    Some(row_id),
                    tuple,
                    &mut changes,
                )?;
            }
            _ => act(
                cx,
                writer,
                bound,
                MergeWhen::NotMatchedByTarget,
                None,
                tuple,
                &mut changes,
            )?,
        }
    }
    drop(cursor);
    if let Some(plan) = &bound.target_rows {
        let mut cursor = plan.open(cx)?;
        while let Some(row) = cursor.next(cx)? {
            let Some(Value::BigInt(row_id)) = row.last().cloned() else {
                continue;
            };
            if matched.contains(&(row_id as u64)) {
                continue;
            }
            let mut tuple = vec![Value::Null; bound.target.start];
            tuple.extend(row);
            act(
                cx,
                writer,
                bound,
                MergeWhen::NotMatchedBySource,
                Some(row_id as u64),
                tuple,
                &mut changes,
            )?;
        }
    }
    Ok(changes)
}

/// Carries out the first clause that applies.
fn act(
    cx: &mut Cx<'_>,
    writer: &Writer,
    bound: &Bound,
    when: MergeWhen,
    row_id: Option<u64>,
    tuple: Vec<Value>,
    changes: &mut Changes,
) -> Outcome<()> {
    let clauses = bound.clauses.iter().enumerate();
    for (place, clause) in clauses.filter(|(_, clause)| clause.when == when) {
        if clause.condition.test(&tuple, cx)? != Some(true) {
            continue;
        }
        if let Some(row_id) = row_id {
            writer.claim(cx, row_id)?;
            if !changes.touched.insert(row_id) {
                return Err(error(
                    8672,
                    16,
                    "The MERGE statement attempted to UPDATE or DELETE the same row more than once. This happens when \
                        a target row matches more than one source row. A MERGE statement cannot UPDATE/DELETE the same \
                        row of the target table multiple times. Refine the ON clause to ensure a target row matches at \
                        most one source row, or use the GROUP BY clause to group the source rows.",
                )
                .into());
            }
        }
        match (&clause.action, row_id) {
            (Action::Delete, Some(row_id)) => {
                let old: Row = tuple[bound.target.start..bound.target.row_id()].into();
                changes.deleted.push((row_id, old, tuple));
            }
            (Action::Update(items), Some(row_id)) => {
                let (old, new) = changed(cx, writer, items, &tuple, &bound.target)?;
                changes.updated.push((row_id, old, new, tuple));
                changes.updated_by.push(place);
            }
            (Action::Insert(items), _) => {
                let mut given = vec![None; writer.def.columns.len()];
                for (ordinal, expr) in items {
                    if let Some(expr) = expr {
                        let value = expr.eval(&tuple, cx)?;
                        given[*ordinal] = Some(writer.store(cx, *ordinal, &value, &expr.ty)?);
                    }
                }
                let row = writer.complete(cx, given)?;
                writer.check(cx, &row, "INSERT")?;
                changes.inserted.push((Arc::from(row), tuple));
            }
            (Action::Delete | Action::Update(_), None) => {}
        }
        return Ok(());
    }
    Ok(())
}

/// Foreign keys are checked when all rows are as the statement leaves them.
fn apply(cx: &mut Cx<'_>, writer: &Writer, bound: &Bound, changes: &Changes) -> Outcome<()> {
    let deleted: Vec<(u64, Row)> = changes
        .deleted
        .iter()
        .map(|(id, row, _)| (*id, row.clone()))
        .collect();
    writer.remove(cx, &deleted)?;
    let updated: Vec<(u64, Row, Row)> = changes
        .updated
        .iter()
        .map(|(id, old, new, _)| (*id, old.clone(), new.clone()))
        .collect();
    writer.rewrite(cx, &updated)?;
    for (place, clause) in bound.clauses.iter().enumerate() {
        if let Action::Update(items) = &clause.action {
            let by_clause = updated.iter().zip(&changes.updated_by);
            let own = by_clause.filter(|(_, by)| **by == place);
            writer.record_updates(cx, own.map(|(row, _)| row), &assigned(items));
        }
    }
    let mut placed = Vec::new();
    for (row, _) in &changes.inserted {
        if writer.place(cx, row.clone())? {
            placed.push(row);
        }
    }
    for row in placed {
        writer.find_parents(cx, row)?;
    }
    writer.follow_updates(cx, &updated)?;
    writer.follow_deletes(cx, &deleted)
}

fn fire_all(cx: &mut Cx<'_>, writer: &Writer, bound: &Bound, changes: Changes) -> Outcome<()> {
    let has = |kind: fn(&Action) -> bool| bound.clauses.iter().any(|clause| kind(&clause.action));
    if has(|action| matches!(action, Action::Insert(_))) {
        let inserted = changes.inserted.into_iter().map(|(row, _)| row).collect();
        fire(
            cx,
            writer.at,
            TriggerEvent::Insert,
            inserted,
            Vec::new(),
            (0..writer.def.columns.len()).collect(),
        )?;
    }
    if has(|action| matches!(action, Action::Update(_))) {
        let columns = bound
            .clauses
            .iter()
            .flat_map(|clause| match &clause.action {
                Action::Update(items) => assigned(items),
                Action::Delete | Action::Insert(_) => Vec::new(),
            })
            .collect();
        let (deleted, inserted) = changes
            .updated
            .into_iter()
            .map(|(_, old, new, _)| (old, new))
            .unzip();
        fire(
            cx,
            writer.at,
            TriggerEvent::Update,
            inserted,
            deleted,
            columns,
        )?;
    }
    if has(|action| matches!(action, Action::Delete)) {
        let deleted = changes.deleted.into_iter().map(|(_, row, _)| row).collect();
        fire(
            cx,
            writer.at,
            TriggerEvent::Delete,
            Vec::new(),
            deleted,
            Vec::new(),
        )?;
    }
    Ok(())
}
