//! DROP.

use super::modules::trigger_holder;
use super::{Place, change_table, edit, lock_name, set_name};
use crate::engine::bind::{Binder, resolve};
use crate::engine::capture;
use crate::engine::context::Cx;
use crate::engine::fault::{Outcome, error};
use crate::engine::locks::{Mode, Owner, Resource};
use crate::engine::permissions;
use crate::engine::schema::{Object, ObjectRef, same_name};
use crate::engine::state::Undo;
use crate::engine::temporal;
use crate::sql::ast::{self, ObjectKind};

pub fn drop(cx: &mut Cx<'_>, statement: &ast::DropObjects) -> Outcome<()> {
    for name in &statement.names {
        match statement.kind {
            ObjectKind::Table | ObjectKind::View | ObjectKind::Sequence => {
                drop_object(cx, statement, name)?
            }
            ObjectKind::Trigger => drop_trigger(cx, statement, name)?,
            ObjectKind::Schema => drop_schema(cx, statement, name)?,
            ObjectKind::Type => drop_type(cx, statement, name)?,
            ObjectKind::Statistics => drop_statistics(cx, name)?,
            ObjectKind::Database => super::database::drop(cx, name, statement.if_exists)?,
            ObjectKind::Login | ObjectKind::User | ObjectKind::Role => {
                super::security::drop(cx, statement, name)?
            }
            ObjectKind::Procedure | ObjectKind::Function => {
                if !statement.if_exists {
                    return Err(missing(statement.kind, name).into());
                }
            }
        }
    }
    Ok(())
}

fn word(kind: ObjectKind) -> &'static str {
    match kind {
        ObjectKind::Table => "table",
        ObjectKind::View => "view",
        ObjectKind::Schema => "schema",
        ObjectKind::Type => "type",
        ObjectKind::Trigger => "trigger",
        ObjectKind::Sequence => "sequence object",
        ObjectKind::Database => "database",
        ObjectKind::Procedure => "procedure",
        ObjectKind::Function => "function",
        ObjectKind::Statistics => "statistics",
        ObjectKind::Login => "login",
        ObjectKind::User => "user",
        ObjectKind::Role => "role",
    }
}

pub fn missing(kind: ObjectKind, name: impl std::fmt::Display) -> crate::session::SqlError {
    error(
        3701,
        11,
        format!(
            "Cannot drop the {} '{name}', because it does not exist or you do not have permission.",
            word(kind)
        ),
    )
}

fn drop_object(
    cx: &mut Cx<'_>,
    statement: &ast::DropObjects,
    name: &ast::ObjectName,
) -> Outcome<()> {
    let slot = Binder::new(cx).database;
    let Some(at) = resolve(cx, name, slot)? else {
        return if statement.if_exists {
            Ok(())
        } else {
            Err(missing(statement.kind, name).into())
        };
    };
    permissions::check(cx, at, "ALTER")?;
    check_drop(cx, statement.kind, name, at)?;
    temporal::refuse_drop(cx, at)?;
    cx.acquire(Resource::Table(at), Mode::SchemaModify, Owner::Transaction)?;
    capture::source_dropped(cx, at)?;
    let object = cx.held.databases[at.database].objects.get(&at.id);
    let (schema, shown) = object.map_or((1, String::new()), |object| {
        (object.schema_id(), object.name().to_string())
    });
    if !shown.starts_with('#') || shown.starts_with("##") {
        let place = Place {
            database: at.database,
            schema,
            name: shown,
        };
        lock_name(cx, &place)?;
        set_name(cx, &place, None);
    }
    let old = cx.held.databases[at.database].objects.remove(&at.id);
    cx.transaction().undo.push(Undo::Object {
        at,
        old: old.map(Box::new),
    });
    Ok(())
}

/// Refuses an object of another kind, and a table that foreign keys refer to.
fn check_drop(cx: &Cx<'_>, kind: ObjectKind, name: &ast::ObjectName, at: ObjectRef) -> Outcome<()> {
    let fits = match cx.held.databases[at.database].objects.get(&at.id) {
        Some(Object::Table(_)) => kind == ObjectKind::Table,
        Some(Object::View(_)) => kind == ObjectKind::View,
        Some(Object::Sequence(_)) => kind == ObjectKind::Sequence,
        None => false,
    };
    if !fits {
        return Err(error(
            3705,
            16,
            format!(
                "Cannot use DROP {} with '{name}' because it is another kind of object.",
                word(kind).to_uppercase()
            ),
        )
        .into());
    }
    let referenced = cx.held.database(at.database).tables().any(|table| {
        table.def.id != at.id
            && table
                .def
                .foreign_keys
                .iter()
                .any(|key| key.references == at)
    });
    if referenced {
        return Err(error(
            3726,
            16,
            format!(
                "Could not drop object '{name}' because it is referenced by a FOREIGN KEY \
            constraint."
            ),
        )
        .into());
    }
    Ok(())
}

fn drop_trigger(
    cx: &mut Cx<'_>,
    statement: &ast::DropObjects,
    name: &ast::ObjectName,
) -> Outcome<()> {
    let slot = Binder::new(cx).database_of(name)?;
    let Some(at) = trigger_holder(cx, slot, name.object()) else {
        return if statement.if_exists {
            Ok(())
        } else {
            Err(missing(statement.kind, name).into())
        };
    };
    permissions::check(cx, at, "ALTER")?;
    change_table(cx, at, |_, table| {
        edit(table, |def| {
            def.triggers
                .retain(|trigger| !same_name(&trigger.name, name.object()))
        });
        Ok(())
    })
}

fn drop_schema(
    cx: &mut Cx<'_>,
    statement: &ast::DropObjects,
    name: &ast::ObjectName,
) -> Outcome<()> {
    let slot = cx.ses.database;
    permissions::check_in_database(cx, slot, "CREATE SCHEMA")?;
    let Some(id) = cx
        .held
        .database(slot)
        .schema(name.object())
        .map(|schema| schema.id)
    else {
        return if statement.if_exists {
            Ok(())
        } else {
            Err(missing(statement.kind, name).into())
        };
    };
    let database = &mut cx.held.databases[slot];
    if let Some(object) = database
        .objects
        .values()
        .find(|object| object.schema_id() == id)
    {
        return Err(error(
            3729,
            16,
            format!(
                "Cannot drop schema '{name}' because it is being referenced by object '{}'.",
                object.name()
            ),
        )
        .into());
    }
    let old = database.schemas.clone();
    database.schemas.retain(|schema| schema.id != id);
    cx.transaction().undo.push(Undo::Schemas {
        database: slot,
        old,
    });
    Ok(())
}

fn drop_type(cx: &mut Cx<'_>, statement: &ast::DropObjects, name: &ast::ObjectName) -> Outcome<()> {
    let slot = Binder::new(cx).database_of(name)?;
    let database = &mut cx.held.databases[slot];
    let Some(id) = database
        .types
        .iter()
        .find(|ty| same_name(&ty.name, name.object()))
        .map(|ty| ty.user_type_id)
    else {
        return if statement.if_exists {
            Ok(())
        } else {
            Err(missing(statement.kind, name).into())
        };
    };
    let used = database.tables().any(|table| {
        table
            .def
            .columns
            .iter()
            .any(|column| column.user_type_id == id)
    });
    if used {
        return Err(error(
            3732,
            16,
            format!("Cannot drop type '{name}' because it is being referenced by another object."),
        )
        .into());
    }
    let old = database.types.clone();
    database.types.retain(|ty| ty.user_type_id != id);
    cx.transaction().undo.push(Undo::Types {
        database: slot,
        old,
    });
    Ok(())
}

fn drop_statistics(cx: &mut Cx<'_>, name: &ast::ObjectName) -> Outcome<()> {
    let parts = name.parts[..name.parts.len().saturating_sub(1)].to_vec();
    let table = ast::ObjectName {
        parts,
        line: name.line,
    };
    let at = super::table_named(cx, &table)?;
    change_table(cx, at, |_, table| {
        let before = table.def.statistics.len();
        edit(table, |def| {
            def.statistics
                .retain(|statistics| !same_name(&statistics.name, name.object()))
        });
        if table.def.statistics.len() == before {
            Err(missing(ObjectKind::Statistics, name).into())
        } else {
            Ok(())
        }
    })
}
