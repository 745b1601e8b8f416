//! Definitions: objects come, change and go inside transactions like rows do.
//!
//! DDL on an object holds a schema modification lock to the end of the transaction, so that nobody else reads or
//! writes it meanwhile; a name that comes or goes is locked too, so that others who look it up wait for the
//! outcome. What was there before is kept whole for the rollback.

use crate::engine::bind::{Binder, OutColumn, resolve};
use crate::engine::context::Cx;
use crate::engine::dml::refuse_when_doomed;
use crate::engine::fault::{Outcome, error, unsupported};
use crate::engine::locks::{Mode, Owner, Resource};
use crate::engine::permissions;
use crate::engine::schema::{Lifetime, Object, ObjectRef, TableDef, fold};
use crate::engine::state::Undo;
use crate::engine::storage::Table;
use crate::sql::ast::{self, StatementKind};

mod alter;
mod columns;
mod constraint;
mod database;
mod drop;
mod index;
mod limits;
mod modules;
mod policy;
mod rename;
mod security;
mod switch;
mod table;
mod tracking;

pub use constraint::push_index as add_index;
pub use limits::check_keys_of;
pub use policy::filtering;
pub use rename::rename;
pub use security::add_principal;
pub use table::{create_from_query, declare_table};
pub use tracking::disabled;

/// Error 3964: definitions have no versions, so a transaction under SNAPSHOT may not change tables and indexes.
fn refuse_in_snapshot(cx: &Cx<'_>, statement: &StatementKind) -> Outcome<()> {
    let changes = matches!(
        statement,
        StatementKind::AlterTable(_)
            | StatementKind::CreateIndex(_)
            | StatementKind::AlterIndex(_)
            | StatementKind::DropIndex(_)
    );
    let is_open = cx
        .ses
        .transaction
        .as_ref()
        .is_some_and(|open| open.count > 0 && open.began_in_snapshot);
    if !(changes && is_open) {
        return Ok(());
    }
    Err(error(
        3964,
        16,
        "Transaction failed because this DDL statement is not allowed inside a snapshot isolation transaction. Since \
            metadata is not versioned, a metadata change can lead to inconsistency if mixed within snapshot isolation.",
    )
    .into())
}

/// Runs one DDL statement.
pub fn execute(cx: &mut Cx<'_>, statement: &StatementKind) -> Outcome<()> {
    refuse_when_doomed(cx)?;
    refuse_in_snapshot(cx, statement)?;
    cx.transaction();
    match statement {
        StatementKind::CreateTable(create) => table::create(cx, create),
        StatementKind::AlterTable(change) => alter::alter(cx, change),
        StatementKind::CreateIndex(create) => index::create(cx, create),
        StatementKind::AlterIndex(change) => index::alter(cx, change),
        StatementKind::DropIndex(gone) => index::drop(cx, gone),
        StatementKind::CreateView(view) => modules::create_view(cx, view),
        StatementKind::CreateTrigger(trigger) => modules::create_trigger(cx, trigger),
        StatementKind::ToggleTrigger(toggle) => modules::toggle_trigger(cx, toggle),
        StatementKind::CreateSchema(schema) => modules::create_schema(cx, schema),
        StatementKind::AlterSchema(change) => rename::transfer(cx, change),
        StatementKind::CreateType(ty) => modules::create_type(cx, ty),
        StatementKind::CreateSequence(sequence) => modules::create_sequence(cx, sequence),
        StatementKind::AlterSequence(sequence) => modules::alter_sequence(cx, sequence),
        StatementKind::CreateDatabase(create) => database::create(cx, create),
        StatementKind::AlterDatabase(change) => database::alter(cx, change),
        StatementKind::CreateStatistics(statistics) => index::create_statistics(cx, statistics),
        StatementKind::UpdateStatistics(statistics) => index::update_statistics(cx, statistics),
        StatementKind::Drop(gone) => drop::drop(cx, gone),
        StatementKind::CreateLogin(login) => security::create_login(cx, login),
        StatementKind::AlterLogin(login) => security::alter_login(cx, login),
        StatementKind::CreateUser(user) => security::create_user(cx, user),
        StatementKind::CreateRole(name) => security::create_role(cx, name),
        StatementKind::AlterRole(change) => security::alter_role(cx, change),
        StatementKind::Permission(permission) => security::permission(cx, permission),
        StatementKind::CreateFunction(function) => policy::create_function(cx, function),
        StatementKind::CreatePolicy(create) => policy::create_policy(cx, create),
        StatementKind::AlterPolicy(change) => policy::alter_policy(cx, change),
        other => Err(unsupported(
            format!("{other:?}")
                .split(['(', ' '])
                .next()
                .unwrap_or("This statement"),
        )
        .into()),
    }
}

/// Where a new object of this name goes: database slot, schema id, bare name.
pub struct Place {
    pub database: usize,
    pub schema: i32,
    pub name: String,
}

/// Resolves a new object's place and locks its name; error 2714 when it is taken.
pub fn place(cx: &mut Cx<'_>, name: &ast::ObjectName, permission: &str) -> Outcome<Place> {
    let database = Binder::new(cx).database_of(name)?;
    permissions::check_in_database(cx, database, permission)?;
    let schema = match name.schema() {
        Some(schema) => cx.held.database(database).schema(schema).map(|schema| schema.id).ok_or_else(|| {
            error(2760, 16, format!("The specified schema name \"{schema}\" either does not exist or you do not have \
                permission to use it."))
        })?,
        None => crate::engine::bind::default_schema(cx, database),
    };
    let place = Place {
        database,
        schema,
        name: name.object().to_string(),
    };
    lock_name(cx, &place)?;
    if cx
        .held
        .database(database)
        .names
        .contains_key(&(schema, fold(&place.name)))
    {
        return Err(taken(&place.name).into());
    }
    Ok(place)
}

fn taken(name: &str) -> crate::session::SqlError {
    crate::session::SqlError {
        state: 6,
        ..error(
            2714,
            16,
            format!("There is already an object named '{name}' in the database."),
        )
    }
}

fn lock_name(cx: &mut Cx<'_>, place: &Place) -> Outcome<()> {
    let resource = Resource::Name(place.database, place.schema, fold(&place.name));
    cx.acquire(resource, Mode::SchemaModify, Owner::Transaction)
}

/// Adds an object under its name.
pub fn add_object(cx: &mut Cx<'_>, place: &Place, id: i32, object: Object) -> Outcome<ObjectRef> {
    let at = ObjectRef {
        database: place.database,
        id,
    };
    cx.acquire(Resource::Table(at), Mode::SchemaModify, Owner::Transaction)?;
    set_name(cx, place, Some(id));
    cx.held.databases[at.database].objects.insert(id, object);
    cx.transaction().undo.push(Undo::Object { at, old: None });
    Ok(at)
}

fn set_name(cx: &mut Cx<'_>, place: &Place, id: Option<i32>) {
    let key = (place.schema, fold(&place.name));
    let names = &mut cx.held.databases[place.database].names;
    let old = match id {
        Some(id) => names.insert(key.clone(), id),
        None => names.remove(&key),
    };
    cx.transaction().undo.push(Undo::Name {
        database: place.database,
        key,
        old,
    });
}

/// Locks a table for a change of its definition, and its name: who reads the catalog waits for the outcome.
fn lock_definition(cx: &mut Cx<'_>, at: ObjectRef) -> Outcome<()> {
    cx.acquire(Resource::Table(at), Mode::SchemaModify, Owner::Transaction)?;
    let Some(table) = cx.held.database(at.database).table(at.id) else {
        return Ok(());
    };
    // Names of temporary tables are their sessions' own.
    if table.def.lifetime != Lifetime::Permanent {
        return Ok(());
    }
    let place = Place {
        database: at.database,
        schema: table.def.schema_id,
        name: table.def.name.clone(),
    };
    lock_name(cx, &place)
}

/// Locks a table for a change of its definition and keeps what it was.
pub fn change_table<T>(
    cx: &mut Cx<'_>,
    at: ObjectRef,
    change: impl FnOnce(&mut Cx<'_>, &mut Table) -> Outcome<T>,
) -> Outcome<T> {
    lock_definition(cx, at)?;
    let Some(Object::Table(table)) = cx.held.databases[at.database].objects.get(&at.id) else {
        return Err(error(
            4902,
            16,
            "Cannot find the object because it does not exist or you do not have permissions.",
        )
        .into());
    };
    let old = table.clone();
    let mut changed = table.clone();
    let result = change(cx, &mut changed)?;
    let now = cx.now + cx.offset_ticks();
    edit(&mut changed, |def| def.modified = now);
    cx.held.databases[at.database]
        .objects
        .insert(at.id, Object::Table(changed));
    cx.transaction().undo.push(Undo::Object {
        at,
        old: Some(Box::new(Object::Table(old))),
    });
    Ok(result)
}

/// Changes a definition that others may share.
fn edit(table: &mut Table, change: impl FnOnce(&mut TableDef)) {
    change(std::sync::Arc::make_mut(&mut table.def));
}

/// The table that an ALTER or CREATE INDEX names; error 1088 or 4902.
fn table_named(cx: &Cx<'_>, name: &ast::ObjectName) -> Outcome<ObjectRef> {
    let slot = Binder::new(cx).database;
    let found = resolve(cx, name, slot)?;
    let missing = || {
        error(
            4902,
            16,
            format!(
                "Cannot find the object \"{name}\" because it does not exist or you do not have permissions."
            ),
        )
    };
    let at = found.ok_or_else(missing)?;
    cx.held.table(at).map_err(|_| missing())?;
    permissions::check(cx, at, "ALTER")?;
    Ok(at)
}

/// A temporary table or table variable ends with its scope, whatever the transaction does.
pub fn forget_table(cx: &mut Cx<'_>, at: ObjectRef) {
    cx.held.databases[at.database].objects.remove(&at.id);
    cx.ses.temporary.retain(|(_, known)| *known != at);
}

/// The column of an unnamed expression is error 4511 in a view.
fn require_names(columns: &[OutColumn], number: i32) -> Outcome<()> {
    for (at, column) in columns.iter().enumerate() {
        if column.name.is_empty() {
            return Err(error(
                number,
                16,
                format!(
                    "Create View or Function failed because no column name was specified \
                for column {}.",
                    at + 1
                ),
            )
            .into());
        }
    }
    Ok(())
}
