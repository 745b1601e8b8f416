//! ALTER TABLE.

use super::columns::{dependent_on, remove_column};
use super::constraint::{
    column_constraint, compression_of, push_index, refuse_nullable_key, table_constraint,
};
use super::table::{add_column, own_scope};
use super::{change_table, edit, table_named, tracking};
use crate::engine::bind::Binder;
use crate::engine::capture;
use crate::engine::context::Cx;
use crate::engine::dml::store;
use crate::engine::fault::{Outcome, Stop, error, unsupported};
use crate::engine::schema::{Index, ObjectRef, Row, TableDef, same_name};
use crate::engine::storage::{Table, UNCOMMITTED};
use crate::engine::{collation::Collate, temporal, types};
use crate::sql::ast::{self, AlterTableAction, AlterTableDrop, ColumnChange};
use crate::value::{SqlType, Value};

pub fn alter(cx: &mut Cx<'_>, statement: &ast::AlterTable) -> Outcome<()> {
    let at = table_named(cx, &statement.name)?;
    let history = temporal::alter_history(cx, at, &statement.action)?;
    act(cx, at, &statement.action)?;
    if temporal::changes_columns(&statement.action) {
        capture::source_altered(cx, at, &statement.text)?;
    }
    let Some((history, action)) = history else {
        return Ok(());
    };
    act(cx, history, &action)?;
    change_table(cx, history, |_, table| {
        temporal::forget_defaults(table);
        Ok(())
    })
}

fn act(cx: &mut Cx<'_>, at: ObjectRef, action: &AlterTableAction) -> Outcome<()> {
    match action {
        AlterTableAction::Add { table, with_check } => {
            add(cx, at, table, with_check.unwrap_or(true))
        }
        AlterTableAction::AlterColumn { name, change } => alter_column(cx, at, name, change),
        AlterTableAction::Drop(list) => list.iter().try_for_each(|item| drop_part(cx, at, item)),
        AlterTableAction::Trigger { enable, names } => {
            super::modules::set_triggers(cx, at, names.as_deref(), *enable)
        }
        AlterTableAction::CheckConstraint {
            enable,
            with_check,
            names,
        } => check_constraints(cx, at, *enable, *with_check, names.as_deref()),
        AlterTableAction::SetLockEscalation(_) => Ok(()),
        AlterTableAction::Rebuild(_) => {
            let storage = cx.held.databases[at.database].new_object_id();
            change_table(cx, at, |_, table| {
                table.storage = storage;
                Ok(())
            })
        }
        AlterTableAction::EnableChangeTracking {
            track_columns_updated,
        } => tracking::enable(cx, at, track_columns_updated.unwrap_or(false)),
        AlterTableAction::DisableChangeTracking => tracking::disable(cx, at),
        AlterTableAction::SetSystemVersioning(written) => temporal::switch(cx, at, written),
        AlterTableAction::SwitchTo(name) => super::switch::switch(cx, at, table_named(cx, name)?),
    }
}

fn own_stamp(cx: &mut Cx<'_>) -> u64 {
    cx.transaction().id | UNCOMMITTED
}

fn add(
    cx: &mut Cx<'_>,
    at: ObjectRef,
    added: &ast::TableDefinition,
    with_check: bool,
) -> Outcome<()> {
    let stamp = own_stamp(cx);
    change_table(cx, at, |cx, table| {
        let before = table.def.columns.len();
        let mut def = (*table.def).clone();
        for column in &added.columns {
            add_column(cx, &mut def, column, at.database)?;
        }
        for column in &added.columns {
            for constraint in &column.constraints {
                column_constraint(cx, &mut def, &column.name, constraint, at.database)?;
            }
        }
        for constraint in &added.constraints {
            refuse_nullable_key(&table.def, constraint)?;
            table_constraint(cx, &mut def, constraint, at.database)?;
        }
        for index in &added.indexes {
            let columns = super::constraint::key_columns(&def, &index.columns)?;
            let clustered = index.clustered == Some(true);
            let added = Index {
                unique: index.unique,
                clustered,
                filter: index.filter.clone(),
                compression: compression_of(&def, &index.options, clustered),
                ..Index::plain(&index.name.text, columns)
            };
            push_index(&mut def, added)?;
        }
        let known = table.def.checks.len();
        for check in def.checks.iter_mut().skip(known) {
            check.trusted = with_check;
        }
        let known = table.def.foreign_keys.len();
        for key in def.foreign_keys.iter_mut().skip(known) {
            key.trusted = with_check;
        }
        table.def = def.into();
        if table.def.columns.len() > before {
            fill_new_columns(cx, at, table, before, stamp, added)?;
        }
        match &added.period {
            Some(period) => {
                let mut def = (*table.def).clone();
                temporal::add_period(&mut def, table, period, cx.now)?;
                table.def = def.into();
            }
            None => temporal::check_columns(&table.def)?,
        }
        validate(cx, at, table, with_check)
    })
}

/// Gives existing rows their values in new columns.
fn fill_new_columns(
    cx: &mut Cx<'_>,
    at: ObjectRef,
    table: &mut Table,
    before: usize,
    stamp: u64,
    added: &ast::TableDefinition,
) -> Outcome<()> {
    let def = table.def.clone();
    let (mut defaults, mut computed) = (Vec::new(), Vec::new());
    {
        let mut binder = Binder::new(cx);
        for column in &def.columns[before..] {
            defaults.push(match &column.default {
                // Existing rows get the default only in a NOT NULL column; otherwise NULL (unless WITH VALUES).
                Some(default) if !column.nullable || with_values(added, &column.name) => {
                    Some(binder.expr(&default.expr)?)
                }
                Some(_) | None => None,
            });
        }
        binder.scopes.push(own_scope(&def));
        for column in &def.columns[before..] {
            computed.push(match &column.computed {
                Some(expr) => Some(binder.expr(&expr.expr)?),
                None => None,
            });
        }
    }
    let transaction = cx.transaction().id;
    let mut identity_last = table.identity_last;
    let empty = table.count == 0;
    table.reshape(stamp, |row| -> Outcome<Row> {
        let mut new = row.to_vec();
        for (offset, column) in def.columns[before..].iter().enumerate() {
            let value = if let Some(identity) = column.identity {
                let next = identity_last.map_or(identity.seed, |last| last + identity.increment);
                identity_last = Some(next);
                types::fit_integer(next, &column.ty)?
            } else if column.ty == SqlType::RowVersion {
                let value = cx.held.next_rowversion(at.database, transaction);
                Value::Bytes(value.to_be_bytes().as_slice().into())
            } else if let Some(default) = &defaults[offset] {
                let value = default.eval(&[], cx)?;
                store(&value, &default.ty, column, &cx.ses.settings.dateformat)?
            } else {
                Value::Null
            };
            if !column.nullable && matches!(value, Value::Null) && column.computed.is_none() && !empty {
                return Err(error(4901, 16, format!("ALTER TABLE only allows columns to be added that can contain \
                    nulls, or have a DEFAULT definition specified, or the column being added is an identity or \
                    timestamp column, or alternatively if none of the previous conditions are satisfied the table must \
                    be empty to allow addition of this column. Column '{}' cannot be added to non-empty table '{}' \
                    because it does not satisfy these conditions.", column.name, def.name)).into());
            }
            new.push(value);
        }
        for (offset, expr) in computed.iter().enumerate() {
            if let Some(expr) = expr {
                let value = expr.eval(&new, cx)?;
                new[before + offset] = value;
            }
        }
        Ok(new.into())
    })?;
    table.identity_last = identity_last;
    Ok(())
}

/// Whether a new column's default fills existing rows although the column takes NULL.
fn with_values(added: &ast::TableDefinition, name: &str) -> bool {
    added
        .columns
        .iter()
        .filter(|column| same_name(&column.name.text, name))
        .flat_map(|column| &column.constraints)
        .any(|constraint| {
            matches!(
                constraint.kind,
                ast::ColumnConstraintKind::Default {
                    with_values: true,
                    ..
                }
            )
        })
}

/// Rebuilds the indexes and checks every row against what the definition now demands.
fn validate(cx: &mut Cx<'_>, at: ObjectRef, table: &mut Table, with_check: bool) -> Outcome<()> {
    table.reindex();
    super::limits::check_row(&table.def, "ALTER")?;
    super::index::check_keys(table)?;
    super::index::check_unique(cx, at, table)?;
    if !with_check {
        return Ok(());
    }
    let def = table.def.clone();
    let mut checks = Vec::new();
    {
        let mut binder = Binder::new(cx);
        binder.scopes.push(own_scope(&def));
        for check in def.checks.iter().filter(|check| check.trusted) {
            checks.push((check.name.clone(), binder.cond(&check.condition)?));
        }
    }
    let rows: Vec<Row> = table
        .rows
        .values()
        .filter_map(|chain| chain.newest.row.clone())
        .collect();
    let keys = crate::engine::dml::foreign_keys(cx, at, &def);
    for row in rows {
        for (column, value) in def.columns.iter().zip(row.iter()) {
            if !column.nullable && matches!(value, Value::Null) {
                return Err(error(
                    515,
                    16,
                    format!(
                        "Cannot insert the value NULL into column '{}', table '{}'; column \
                    does not allow nulls. UPDATE fails.",
                        column.name, def.name
                    ),
                )
                .into());
            }
        }
        for (name, check) in &checks {
            if check.test(&row, cx)? == Some(false) {
                return Err(error(
                    547,
                    16,
                    format!(
                        "The ALTER TABLE statement conflicted with the CHECK constraint \"{name}\"."
                    ),
                )
                .into());
            }
        }
        keys.check_child(cx, &def, &row, "ALTER TABLE")?;
    }
    Ok(())
}

fn alter_column(
    cx: &mut Cx<'_>,
    at: ObjectRef,
    name: &ast::Ident,
    change: &ColumnChange,
) -> Outcome<()> {
    let ColumnChange::Type {
        ty,
        collation,
        nullable,
        sparse: _,
    } = change
    else {
        return Err(unsupported("ALTER COLUMN ADD or DROP of a property").into());
    };
    let (new_ty, alias_nullable, user_type_id) = Binder::new(cx).type_of(ty)?;
    let collate = match collation {
        Some(collation) => Some(Collate::named(&collation.text)?),
        None => None,
    };
    let stamp = own_stamp(cx);
    change_table(cx, at, |cx, table| {
        let ordinal = table
            .def
            .column(&name.text)
            .ok_or_else(|| missing_column(&table.def, &name.text))?;
        let old = table.def.columns[ordinal].clone();
        tracking::check_change_of_column(table, ordinal)?;
        check_alter(&table.def, ordinal, &new_ty, &name.text)?;
        edit(table, |def| {
            let column = &mut def.columns[ordinal];
            column.ty = new_ty.clone();
            column.user_type_id = user_type_id;
            column.nullable = nullable.or(alias_nullable).unwrap_or(true);
            column.collate = types::is_character(&new_ty).then(|| {
                collate
                    .clone()
                    .or(old.collate.clone())
                    .unwrap_or_else(Collate::server)
            });
        });
        let column = table.def.columns[ordinal].clone();
        let dateformat = cx.ses.settings.dateformat.clone();
        let table_name = table.def.name.clone();
        table.reshape(stamp, |row| -> Outcome<Row> {
            let mut new = row.to_vec();
            new[ordinal] =
                store(&row[ordinal], &old.ty, &column, &dateformat).map_err(|mut error| {
                    error.message = error.message.replace("{table}", &table_name);
                    Stop::from(error)
                })?;
            Ok(new.into())
        })?;
        validate(cx, at, table, true)
    })
}

/// Refuses a column that cannot change its type, or not to this one.
fn check_alter(def: &TableDef, ordinal: usize, new_ty: &SqlType, name: &str) -> Outcome<()> {
    let old = &def.columns[ordinal];
    if old.ty == SqlType::RowVersion || old.computed.is_some() {
        return Err(error(
            4928,
            16,
            format!(
                "Cannot alter column '{name}' because it is '{}'.",
                if old.computed.is_some() {
                    "COMPUTED"
                } else {
                    "timestamp"
                }
            ),
        )
        .into());
    }
    let used = def
        .indexes
        .iter()
        .any(|index| index.columns.iter().any(|(at, _)| *at == ordinal));
    let grows = std::mem::discriminant(&old.ty) == std::mem::discriminant(new_ty)
        && types::length(new_ty).unwrap_or(u16::MAX) >= types::length(&old.ty).unwrap_or(u16::MAX)
        && types::precision_scale(new_ty) == types::precision_scale(&old.ty);
    if used && !grows {
        return Err(error(
            5074,
            16,
            format!("The object is dependent on column '{name}'."),
        )
        .into());
    }
    Ok(())
}

fn missing_column(def: &TableDef, name: &str) -> crate::session::SqlError {
    error(
        4924,
        16,
        format!(
            "ALTER TABLE ALTER COLUMN failed because column '{name}' does not exist in table '{}'.",
            def.name
        ),
    )
}

fn drop_part(cx: &mut Cx<'_>, at: ObjectRef, item: &AlterTableDrop) -> Outcome<()> {
    match item {
        AlterTableDrop::Column { name, if_exists } => drop_column(cx, at, name, *if_exists),
        AlterTableDrop::Constraint { name, if_exists } => {
            capture::refuse_part(cx, at, &name.text)?;
            drop_constraint(cx, at, name, *if_exists)
        }
        AlterTableDrop::Period => temporal::drop_period(cx, at),
    }
}

fn drop_column(cx: &mut Cx<'_>, at: ObjectRef, name: &ast::Ident, if_exists: bool) -> Outcome<()> {
    let stamp = own_stamp(cx);
    change_table(cx, at, |_, table| {
        let Some(ordinal) = table.def.column(&name.text) else {
            if if_exists {
                return Ok(());
            }
            return Err(error(
                4924,
                16,
                format!(
                    "ALTER TABLE DROP COLUMN failed because column '{}' does not exist in \
                table '{}'.",
                    name.text, table.def.name
                ),
            )
            .into());
        };
        let def = &table.def;
        if let Some(object) = dependent_on(def, ordinal) {
            return Err(error(
                5074,
                16,
                format!(
                    "The object '{object}' is dependent on column '{}'.",
                    name.text
                ),
            )
            .into());
        }
        if def.columns.len() == 1 {
            return Err(error(
                4923,
                16,
                format!(
                    "ALTER TABLE DROP COLUMN failed because '{}' is the only data column in \
                table '{}'. A table must have at least one data column.",
                    name.text, def.name
                ),
            )
            .into());
        }
        edit(table, |def| remove_column(def, ordinal));
        table.reshape(stamp, |row| -> Outcome<Row> {
            let mut new = row.to_vec();
            new.remove(ordinal);
            Ok(new.into())
        })?;
        table.reindex();
        Ok(())
    })
}

fn drop_constraint(
    cx: &mut Cx<'_>,
    at: ObjectRef,
    name: &ast::Ident,
    if_exists: bool,
) -> Outcome<()> {
    let referenced = cx.held.database(at.database).tables().any(|table| {
        table
            .def
            .foreign_keys
            .iter()
            .any(|key| key.references == at)
    });
    change_table(cx, at, |_, table| {
        let is = |known: &str| same_name(known, &name.text);
        let key = table
            .def
            .indexes
            .iter()
            .position(|index| index.constraint_id.is_some() && is(&index.name));
        if key.is_some() && referenced {
            return Err(error(
                3725,
                16,
                format!(
                    "The constraint '{}' is being referenced by table, foreign key constraint.",
                    name.text
                ),
            )
            .into());
        }
        if let Some(key) = key {
            tracking::check_drop_of_key(table, key)?;
            edit(table, |def| drop(def.indexes.remove(key)));
            table.indexes.remove(key);
        }
        let mut found = key.is_some();
        edit(table, |def| {
            let before = def.checks.len() + def.foreign_keys.len();
            def.checks.retain(|check| !is(&check.name));
            def.foreign_keys.retain(|key| !is(&key.name));
            found |= def.checks.len() + def.foreign_keys.len() < before;
            for column in &mut def.columns {
                if column
                    .default
                    .as_ref()
                    .is_some_and(|default| is(&default.name))
                {
                    column.default = None;
                    found = true;
                }
            }
        });
        if !found && !if_exists {
            return Err(error(3728, 16, format!("'{}' is not a constraint.", name.text)).into());
        }
        Ok(())
    })
}

fn check_constraints(
    cx: &mut Cx<'_>,
    at: ObjectRef,
    enable: bool,
    with_check: Option<bool>,
    names: Option<&[ast::Ident]>,
) -> Outcome<()> {
    change_table(cx, at, |cx, table| {
        edit(table, |def| {
            let named = |known: &str| {
                names.is_none_or(|names| names.iter().any(|name| same_name(&name.text, known)))
            };
            def.checks
                .iter_mut()
                .filter(|check| named(&check.name))
                .for_each(|check| {
                    check.enabled = enable;
                    check.trusted = enable && (check.trusted || with_check == Some(true));
                });
            def.foreign_keys
                .iter_mut()
                .filter(|key| named(&key.name))
                .for_each(|key| {
                    key.enabled = enable;
                    key.trusted = enable && (key.trusted || with_check == Some(true));
                });
        });
        if enable && with_check == Some(true) {
            validate(cx, at, table, true)
        } else {
            Ok(())
        }
    })
}
