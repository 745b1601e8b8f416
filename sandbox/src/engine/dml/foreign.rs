//! Foreign keys, from the child's side and the parent's.

use super::Writer;
use crate::engine::context::Cx;
use crate::engine::fault::{Outcome, Stop, error};
use crate::engine::locks::Mode;
use crate::engine::ordering;
use crate::engine::schema::{ForeignKey, ObjectRef, Row, TableDef};
use crate::engine::storage::{Range, View};
use crate::sql::ast::ReferentialAction;
use crate::value::Value;
use std::sync::Arc;

/// The foreign keys that a table has, and those that point at it.
pub struct Keys {
    own: Vec<ForeignKey>,
    incoming: Vec<(ObjectRef, ForeignKey)>,
}

impl Keys {
    pub fn find(cx: &Cx<'_>, at: ObjectRef, def: &TableDef) -> Self {
        let own = def
            .foreign_keys
            .iter()
            .filter(|key| key.enabled)
            .cloned()
            .collect();
        let mut incoming = Vec::new();
        for table in cx.held.database(at.database).tables() {
            for key in table
                .def
                .foreign_keys
                .iter()
                .filter(|key| key.enabled && key.references == at)
            {
                incoming.push((
                    ObjectRef {
                        database: at.database,
                        id: table.def.id,
                    },
                    key.clone(),
                ));
            }
        }
        Self { own, incoming }
    }

    /// Every value has its parent row, or a NULL that excuses it.
    pub fn check_child(
        &self,
        cx: &mut Cx<'_>,
        def: &TableDef,
        row: &[Value],
        verb: &str,
    ) -> Outcome<()> {
        for key in &self.own {
            let values: Vec<Value> = key.columns.iter().map(|at| row[*at].clone()).collect();
            if values.iter().any(|value| matches!(value, Value::Null)) {
                continue;
            }
            let parent = cx.held.table(key.references)?.def.clone();
            let columns = ordinals(&parent, &key.referenced);
            let own_row = key.references.id == def.id
                && columns
                    .iter()
                    .zip(&values)
                    .all(|(at, value)| row[*at] == *value);
            if own_row
                || find(cx, key.references, &parent, &columns, &values, Mode::Shared)?.is_some()
            {
                continue;
            }
            return Err(conflict(
                cx,
                verb,
                "FOREIGN KEY",
                key,
                key.references,
                &parent,
                &columns,
            )
            .into());
        }
        Ok(())
    }

    pub fn check_changed(
        &self,
        cx: &mut Cx<'_>,
        def: &TableDef,
        old: &[Value],
        new: &[Value],
    ) -> Outcome<()> {
        let touched = self
            .own
            .iter()
            .any(|key| key.columns.iter().any(|at| old[*at] != new[*at]));
        if touched {
            self.check_child(cx, def, new, "UPDATE")
        } else {
            Ok(())
        }
    }

    /// After an update: children of keys that are gone follow, or forbid it.
    pub fn parents_changed(
        &self,
        cx: &mut Cx<'_>,
        writer: &Writer,
        changes: &[(u64, Row, Row)],
    ) -> Outcome<()> {
        for (child, key) in &self.incoming {
            let columns = ordinals(&writer.def, &key.referenced);
            for (_, old, new) in changes {
                if columns.iter().all(|at| old[*at] == new[*at]) {
                    continue;
                }
                let before: Vec<Value> = columns.iter().map(|at| old[*at].clone()).collect();
                let after: Vec<Value> = columns.iter().map(|at| new[*at].clone()).collect();
                self.follow(cx, writer, *child, key, &before, Some(&after))?;
            }
        }
        Ok(())
    }

    pub fn parents_deleted(
        &self,
        cx: &mut Cx<'_>,
        writer: &Writer,
        rows: &[(u64, Row)],
    ) -> Outcome<()> {
        for (child, key) in &self.incoming {
            let columns = ordinals(&writer.def, &key.referenced);
            for (_, old) in rows {
                let before: Vec<Value> = columns.iter().map(|at| old[*at].clone()).collect();
                self.follow(cx, writer, *child, key, &before, None)?;
            }
        }
        Ok(())
    }

    fn follow(
        &self,
        cx: &mut Cx<'_>,
        parent: &Writer,
        child: ObjectRef,
        key: &ForeignKey,
        before: &[Value],
        after: Option<&[Value]>,
    ) -> Outcome<()> {
        if before.iter().any(|value| matches!(value, Value::Null)) {
            return Ok(());
        }
        // Another parent row may have taken the key over.
        let columns = ordinals(&parent.def, &key.referenced);
        if find(cx, parent.at, &parent.def, &columns, before, Mode::Shared)?.is_some() {
            return Ok(());
        }
        let child_def = cx.held.table(child)?.def.clone();
        let Some(_) = find(cx, child, &child_def, &key.columns, before, Mode::Exclusive)? else {
            return Ok(());
        };
        let action = if after.is_some() {
            key.on_update
        } else {
            key.on_delete
        };
        let verb = if after.is_some() { "UPDATE" } else { "DELETE" };
        if action == ReferentialAction::NoAction {
            return Err(
                conflict(cx, verb, "REFERENCE", key, child, &child_def, &key.columns).into(),
            );
        }
        let writer = parent.open_child(cx, child)?;
        let rows = matching(cx, child, &child_def, &key.columns, before)?;
        for (row_id, _) in &rows {
            writer.claim(cx, *row_id)?;
        }
        match (action, after) {
            (ReferentialAction::Cascade, None) => writer.delete_all(cx, &rows),
            (ReferentialAction::Cascade, Some(after)) => {
                let changed = replace(cx, &writer, rows, &key.columns, after)?;
                writer.update_all(cx, &changed, &key.columns)
            }
            (ReferentialAction::SetNull, _) => {
                let nulls = vec![Value::Null; key.columns.len()];
                let changed = replace(cx, &writer, rows, &key.columns, &nulls)?;
                writer.update_all(cx, &changed, &key.columns)
            }
            (ReferentialAction::SetDefault | ReferentialAction::NoAction, _) => {
                Err(crate::engine::fault::unsupported("ON DELETE/UPDATE SET DEFAULT").into())
            }
        }
    }
}

fn replace(
    cx: &mut Cx<'_>,
    writer: &Writer,
    rows: Vec<(u64, Row)>,
    columns: &[usize],
    values: &[Value],
) -> Outcome<Vec<(u64, Row, Row)>> {
    let mut out = Vec::with_capacity(rows.len());
    for (row_id, old) in rows {
        let mut new = old.to_vec();
        for (at, value) in columns.iter().zip(values) {
            new[*at] = value.clone();
        }
        writer.derive(cx, &mut new)?;
        writer.check(cx, &new, "UPDATE")?;
        out.push((row_id, old, Arc::from(new)));
    }
    Ok(out)
}

fn ordinals(def: &TableDef, ids: &[i32]) -> Vec<usize> {
    ids.iter()
        .filter_map(|id| def.columns.iter().position(|column| column.id == *id))
        .collect()
}

fn conflict(
    cx: &Cx<'_>,
    verb: &str,
    kind: &str,
    key: &ForeignKey,
    table: ObjectRef,
    def: &TableDef,
    columns: &[usize],
) -> crate::session::SqlError {
    let database = cx.held.database(table.database);
    let column = match columns {
        [one] => format!(", column '{}'", def.columns[*one].name),
        _ => String::new(),
    };
    error(
        547,
        16,
        format!(
            "The {verb} statement conflicted with the {kind} constraint \"{}\". The conflict occurred in database \
                \"{}\", table \"{}.{}\"{column}.",
            key.name,
            database.name,
            database.schema_name(def.schema_id),
            def.name
        ),
    )
}

fn key_of(def: &TableDef, columns: &[usize], values: &[Value]) -> Vec<u8> {
    let mut out = Vec::new();
    for (at, value) in columns.iter().zip(values) {
        ordering::encode(value, def.columns[*at].order(), &mut out);
    }
    out
}

/// The first live row with these values; waits for rows in other transactions' hands.
fn find(
    cx: &mut Cx<'_>,
    at: ObjectRef,
    def: &TableDef,
    columns: &[usize],
    values: &[Value],
    mode: Mode,
) -> Outcome<Option<u64>> {
    let first = matching(cx, at, def, columns, values)?
        .first()
        .map(|(row_id, _)| *row_id);
    if let Some(row_id) = first
        && let Some(blocked) = cx.held.row_blockers(at, row_id, mode, cx.ses.id)
    {
        return Err(Stop::Wait(blocked));
    }
    Ok(first)
}

/// Live rows with these values, through an index that starts with the columns when there is one.
fn matching(
    cx: &mut Cx<'_>,
    at: ObjectRef,
    def: &TableDef,
    columns: &[usize],
    values: &[Value],
) -> Outcome<Vec<(u64, Row)>> {
    let wanted = key_of(def, columns, values);
    let own = cx.ses.transaction_id();
    let view = View::Current { own, skip: false };
    let mut found = Vec::new();
    let table = cx.held.table(at)?;
    let index = def.indexes.iter().position(|index| {
        index.filter.is_none()
            && index.columns.len() >= columns.len()
            && index
                .columns
                .iter()
                .zip(columns)
                .all(|((a, down), b)| a == b && !down)
    });
    let scanned = match index {
        Some(index) => {
            let mut range = Range::prefix(&wanted);
            table.scan_index(index, &mut range, false, usize::MAX, view, &mut found)
        }
        None => {
            let mut after = 0;
            table.scan(&mut after, usize::MAX, view, &mut found)
        }
    };
    if let Err(contended) = scanned {
        let blocked = cx
            .held
            .row_blockers(at, contended.row_id, Mode::Shared, cx.ses.id);
        if let Some(blocked) = blocked {
            return Err(Stop::Wait(blocked));
        }
    }
    found.retain(|(_, row)| {
        let own: Vec<Value> = columns.iter().map(|at| row[*at].clone()).collect();
        key_of(def, columns, &own) == wanted
    });
    Ok(found)
}
