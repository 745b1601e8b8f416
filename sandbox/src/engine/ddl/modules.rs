//! Views, triggers, schemas, types, sequences.

use super::{Place, add_object, change_table, edit, lock_name, place, require_names, table_named};
use crate::engine::bind::{Binder, resolve};
use crate::engine::context::Cx;
use crate::engine::fault::{Outcome, error, unsupported};
use crate::engine::locks::{Mode, Owner, Resource};
use crate::engine::schema::{
    AliasKind, AliasType, Object, ObjectRef, Schema, Sequence, Trigger, View, same_name,
};
use crate::engine::state::Undo;
use crate::engine::{permissions, types};
use crate::sql::ast::{self, CreateMode};
use crate::value::SqlType;
use std::sync::Arc;

pub fn create_view(cx: &mut Cx<'_>, statement: &ast::CreateView) -> Outcome<()> {
    let now = cx.now + cx.offset_ticks();
    let columns = Binder::new(cx).query(&statement.query)?.columns;
    if statement.columns.is_empty() {
        require_names(&columns, 4511)?;
    } else if statement.columns.len() != columns.len() {
        return Err(error(
            8158,
            16,
            format!(
                "'{}' has more columns than were specified in the column list.",
                statement.name
            ),
        )
        .into());
    }
    let slot = Binder::new(cx).database_of(&statement.name)?;
    let known = resolve(cx, &statement.name, slot)?;
    let view = |schema_id| {
        Object::View(Arc::new(View {
            schema_id,
            name: statement.name.object().to_string(),
            columns: statement.columns.clone(),
            query: statement.query.clone(),
            text: statement.text.clone(),
            created: now,
        }))
    };
    match (known, statement.mode) {
        (Some(at), CreateMode::CreateOrAlter | CreateMode::Alter) => {
            permissions::check(cx, at, "ALTER")?;
            cx.acquire(Resource::Table(at), Mode::SchemaModify, Owner::Transaction)?;
            let schema = match cx.held.databases[at.database].objects.get(&at.id) {
                Some(Object::View(view)) => view.schema_id,
                Some(Object::Table(_) | Object::Sequence(_)) | None => {
                    return Err(super::taken(statement.name.object()).into());
                }
            };
            let old = cx.held.databases[at.database]
                .objects
                .insert(at.id, view(schema));
            cx.transaction().undo.push(Undo::Object {
                at,
                old: old.map(Box::new),
            });
            Ok(())
        }
        (None, CreateMode::Alter) => Err(error(
            208,
            16,
            format!("Invalid object name '{}'.", statement.name),
        )
        .into()),
        (_, CreateMode::Create | CreateMode::CreateOrAlter) => {
            let place = place(cx, &statement.name, "CREATE VIEW")?;
            let id = cx.held.databases[place.database].new_object_id();
            let object = view(place.schema);
            add_object(cx, &place, id, object).map(|_| ())
        }
    }
}

pub fn create_trigger(cx: &mut Cx<'_>, statement: &ast::CreateTrigger) -> Outcome<()> {
    if statement.instead_of {
        return Err(unsupported("INSTEAD OF triggers").into());
    }
    let at = table_named(cx, &statement.table)?;
    crate::engine::temporal::refuse_trigger(cx, at)?;
    let name = statement.name.object().to_string();
    let holder = trigger_holder(cx, at.database, &name);
    match (holder, statement.mode) {
        (Some(_), CreateMode::Create) => return Err(super::taken(&name).into()),
        (None, CreateMode::Alter) => {
            return Err(error(208, 16, format!("Invalid object name '{name}'.")).into());
        }
        (Some(other), _) if other != at => return Err(super::taken(&name).into()),
        _ => {}
    }
    let new_id = cx.held.databases[at.database].new_object_id();
    change_table(cx, at, |_, table| {
        edit(table, |def| {
            let id = def
                .triggers
                .iter()
                .find(|trigger| same_name(&trigger.name, &name))
                .map_or(new_id, |trigger| trigger.id);
            def.triggers
                .retain(|trigger| !same_name(&trigger.name, &name));
            def.triggers.push(Trigger {
                id,
                name: name.clone(),
                events: statement.events.clone(),
                body: Arc::new(statement.body.clone()),
                text: statement.text.clone(),
                enabled: true,
                not_for_replication: statement.not_for_replication,
            });
        });
        Ok(())
    })
}

/// The table that has a trigger of this name.
pub fn trigger_holder(cx: &Cx<'_>, database: usize, name: &str) -> Option<ObjectRef> {
    cx.held
        .database(database)
        .tables()
        .find(|table| {
            table
                .def
                .triggers
                .iter()
                .any(|trigger| same_name(&trigger.name, name))
        })
        .map(|table| ObjectRef {
            database,
            id: table.def.id,
        })
}

pub fn toggle_trigger(cx: &mut Cx<'_>, statement: &ast::ToggleTrigger) -> Outcome<()> {
    let at = table_named(cx, &statement.table)?;
    let names: Option<Vec<ast::Ident>> = statement.names.as_ref().map(|names| {
        names
            .iter()
            .map(|name| ast::Ident::new(name.object()))
            .collect()
    });
    set_triggers(cx, at, names.as_deref(), statement.enable)
}

pub fn set_triggers(
    cx: &mut Cx<'_>,
    at: ObjectRef,
    names: Option<&[ast::Ident]>,
    enable: bool,
) -> Outcome<()> {
    change_table(cx, at, |_, table| {
        for name in names.unwrap_or_default() {
            if !table
                .def
                .triggers
                .iter()
                .any(|trigger| same_name(&trigger.name, &name.text))
            {
                return Err(error(
                    4920,
                    16,
                    format!(
                        "ALTER TABLE failed because trigger '{}' on table '{}' does not exist.",
                        name.text, table.def.name
                    ),
                )
                .into());
            }
        }
        edit(table, |def| {
            let named = |known: &str| {
                names.is_none_or(|names| names.iter().any(|name| same_name(&name.text, known)))
            };
            def.triggers
                .iter_mut()
                .filter(|trigger| named(&trigger.name))
                .for_each(|trigger| trigger.enabled = enable);
        });
        Ok(())
    })
}

pub fn create_schema(cx: &mut Cx<'_>, statement: &ast::CreateSchema) -> Outcome<()> {
    let slot = cx.ses.database;
    permissions::check_in_database(cx, slot, "CREATE SCHEMA")?;
    let name = &statement.name.text;
    lock_name(
        cx,
        &Place {
            database: slot,
            schema: 0,
            name: name.clone(),
        },
    )?;
    let database = &mut cx.held.databases[slot];
    if database.schema(name).is_some() {
        return Err(error(
            2714,
            16,
            format!("There is already an object named '{name}' in the database."),
        )
        .into());
    }
    let old = database.schemas.clone();
    let id = database
        .schemas
        .iter()
        .map(|schema| schema.id)
        .max()
        .unwrap_or(4)
        .max(4)
        + 1;
    let owner = statement
        .owner
        .as_ref()
        .map_or("dbo", |owner| owner.text.as_str());
    let principal_id = database
        .security
        .principals
        .iter()
        .find(|principal| same_name(&principal.name, owner))
        .map_or(1, |p| p.id);
    database.schemas.push(Schema {
        id,
        name: name.clone(),
        principal_id,
    });
    cx.transaction().undo.push(Undo::Schemas {
        database: slot,
        old,
    });
    Ok(())
}

pub fn create_type(cx: &mut Cx<'_>, statement: &ast::CreateType) -> Outcome<()> {
    let slot = Binder::new(cx).database_of(&statement.name)?;
    let name = statement.name.object().to_string();
    let kind = match &statement.definition {
        ast::TypeDefinition::Alias { base, nullable } => {
            let (base, _, _) = Binder::new(cx).type_of(base)?;
            AliasKind::Scalar {
                base,
                nullable: nullable.unwrap_or(true),
            }
        }
        ast::TypeDefinition::Table(table) => AliasKind::Table(table.clone()),
    };
    let database = &mut cx.held.databases[slot];
    let schema_id = match statement.name.schema() {
        Some(schema) => database.schema(schema).map(|schema| schema.id).ok_or_else(|| error(2760, 16, format!("The \
            specified schema name \"{schema}\" either does not exist or you do not have permission to use it.")))?,
        None => 1,
    };
    if database
        .types
        .iter()
        .any(|known| same_name(&known.name, &name))
    {
        return Err(error(
            219,
            16,
            format!(
                "The type '{}' already exists, or you do not have permission to create it.",
                statement.name
            ),
        )
        .into());
    }
    let old = database.types.clone();
    let user_type_id = database
        .types
        .iter()
        .map(|ty| ty.user_type_id)
        .max()
        .unwrap_or(256)
        + 1;
    database.types.push(AliasType {
        user_type_id,
        schema_id,
        name,
        kind,
    });
    cx.transaction().undo.push(Undo::Types {
        database: slot,
        old,
    });
    Ok(())
}

pub fn create_sequence(cx: &mut Cx<'_>, statement: &ast::Sequence) -> Outcome<()> {
    let now = cx.now + cx.offset_ticks();
    let ty = match &statement.ty {
        Some(ty) => Binder::new(cx).type_of(ty)?.0,
        None => SqlType::BigInt,
    };
    let whole = (types::is_integer(&ty) && ty != SqlType::Bit)
        || matches!(ty, SqlType::Decimal { scale: 0, .. });
    if !whole {
        return Err(error(
            11702,
            16,
            format!(
                "The sequence object '{}' must be of data type int, bigint, smallint, \
            tinyint, or decimal or numeric with a scale of 0.",
                statement.name
            ),
        )
        .into());
    }
    let (low, high) = match ty {
        SqlType::TinyInt => (0, 255),
        SqlType::SmallInt => (i128::from(i16::MIN), i128::from(i16::MAX)),
        SqlType::Int => (i128::from(i32::MIN), i128::from(i32::MAX)),
        _ => (i128::from(i64::MIN), i128::from(i64::MAX)),
    };
    let increment = statement.increment.unwrap_or(1);
    let min = statement.min.flatten().unwrap_or(low);
    let max = statement.max.flatten().unwrap_or(high);
    let start = statement
        .start
        .flatten()
        .unwrap_or(if increment > 0 { min } else { max });
    if increment == 0 || min >= max || !(min..=max).contains(&start) {
        return Err(error(
            11703,
            16,
            format!(
                "The start value for sequence object '{}' must be between the minimum and \
            maximum value of the sequence object.",
                statement.name
            ),
        )
        .into());
    }
    let place = place(cx, &statement.name, "CREATE SEQUENCE")?;
    let id = cx.held.databases[place.database].new_object_id();
    let sequence = Sequence {
        schema_id: place.schema,
        name: place.name.clone(),
        ty,
        start,
        increment,
        min,
        max,
        cycle: statement.cycle.unwrap_or(false),
        next: Some(start),
        created: now,
    };
    add_object(cx, &place, id, Object::Sequence(Box::new(sequence))).map(|_| ())
}

pub fn alter_sequence(cx: &mut Cx<'_>, statement: &ast::Sequence) -> Outcome<()> {
    let at = Binder::new(cx).object(&statement.name)?;
    cx.acquire(Resource::Table(at), Mode::SchemaModify, Owner::Transaction)?;
    let Some(Object::Sequence(sequence)) = cx.held.databases[at.database].objects.get_mut(&at.id)
    else {
        return Err(error(
            208,
            16,
            format!("Invalid object name '{}'.", statement.name),
        )
        .into());
    };
    let old = sequence.clone();
    if let Some(increment) = statement.increment {
        sequence.increment = increment;
    }
    if let Some(Some(min)) = statement.min {
        sequence.min = min;
    }
    if let Some(Some(max)) = statement.max {
        sequence.max = max;
    }
    if let Some(cycle) = statement.cycle {
        sequence.cycle = cycle;
    }
    if let Some(restart) = statement.start {
        sequence.next = Some(restart.unwrap_or(sequence.start));
    }
    cx.transaction().undo.push(Undo::Object {
        at,
        old: Some(Box::new(Object::Sequence(old))),
    });
    Ok(())
}
