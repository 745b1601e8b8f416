//! sp_rename and ALTER SCHEMA: an object under another name.

use super::constraint::constraint_names;
use super::{Place, change_table, lock_definition, lock_name, set_name};
use crate::engine::bind::resolve;
use crate::engine::context::Cx;
use crate::engine::fault::{Outcome, Stop, error, unsupported};
use crate::engine::locks::{Mode, Owner, Resource};
use crate::engine::permissions;
use crate::engine::schema::{Database, Object, ObjectRef, SecurableRef, TableDef, fold, same_name};
use crate::engine::state::Undo;
use crate::session::SqlError;
use crate::sql::ast;
use std::sync::Arc;

/// `sp_rename`: a table, view, sequence or constraint, or (`COLUMN`, `INDEX`) a part of a table named
/// `schema.table.part`.
pub fn rename(cx: &mut Cx<'_>, old: &str, new: &str, kind: Option<&str>) -> Outcome<()> {
    cx.transaction();
    let parts = crate::engine::meta::split_name(old);
    let name = |parts: &[String]| ast::ObjectName {
        parts: parts.iter().map(ast::Ident::new).collect(),
        line: 0,
    };
    let ambiguous = || {
        error(
            15248,
            11,
            format!(
                "Either the parameter @objname is ambiguous or the claimed @objtype ({}) is wrong.",
                kind.unwrap_or("(null)")
            ),
        )
    };
    match kind.map(str::to_ascii_uppercase).as_deref() {
        Some(part @ ("COLUMN" | "INDEX")) => {
            let Some((last, table)) = parts.split_last().filter(|(_, table)| !table.is_empty())
            else {
                return Err(ambiguous().into());
            };
            let at = super::table_named(cx, &name(table))?;
            crate::engine::capture::refuse_rename(cx, at, last)?;
            change_table(cx, at, |_, table| {
                let def = Arc::make_mut(&mut table.def);
                if part == "COLUMN" {
                    if def.column(new).is_some() {
                        return Err(error(
                            15335,
                            11,
                            format!(
                                "Error: The new name '{new}' is already in use as a COLUMN \
                            name and would cause a duplicate that is not permitted."
                            ),
                        )
                        .into());
                    }
                    let at = def.column(last).ok_or_else(ambiguous)?;
                    def.columns[at].name = new.to_string();
                } else {
                    let index = def
                        .indexes
                        .iter_mut()
                        .find(|index| same_name(&index.name, last))
                        .ok_or_else(ambiguous)?;
                    index.name = new.to_string();
                }
                Ok(())
            })
        }
        None | Some("OBJECT") => rename_object(cx, &name(&parts), new, &ambiguous),
        Some(other) => Err(unsupported(format!("sp_rename of a {other}")).into()),
    }
}

fn rename_object(
    cx: &mut Cx<'_>,
    name: &ast::ObjectName,
    new: &str,
    ambiguous: &dyn Fn() -> SqlError,
) -> Outcome<()> {
    let slot = cx.ses.database;
    let Some(at) = resolve(cx, name, slot)? else {
        return rename_constraint(cx, name, new, ambiguous);
    };
    permissions::check(cx, at, "ALTER")?;
    let before = place_of(cx, at).ok_or_else(ambiguous)?;
    let after = Place {
        database: before.database,
        schema: before.schema,
        name: new.to_string(),
    };
    move_object(cx, at, &before, &after, name_in_use(new))
}

/// The procedure raises it, so the batch goes on.
fn name_in_use(new: &str) -> Stop {
    Stop::Raised(error(
        15335,
        11,
        format!(
            "Error: The new name '{new}' is already in use as a object name and would cause a duplicate that is not \
                permitted."
        ),
    ))
}

/// A constraint of a table of the named schema; the index of a key has its name.
fn rename_constraint(
    cx: &mut Cx<'_>,
    name: &ast::ObjectName,
    new: &str,
    ambiguous: &dyn Fn() -> SqlError,
) -> Outcome<()> {
    let slot = cx.ses.database;
    let database = cx.held.database(slot);
    let schema = match name.schema() {
        Some(schema) => database.schema(schema).map(|schema| schema.id),
        None => Some(crate::engine::bind::default_schema(cx, slot)),
    };
    let schema = schema.ok_or_else(ambiguous)?;
    let id = constrained(database, schema, name.object()).ok_or_else(ambiguous)?;
    let is_taken = database.names.contains_key(&(schema, fold(new)))
        || constrained(database, schema, new).is_some();
    let at = ObjectRef { database: slot, id };
    permissions::check(cx, at, "ALTER")?;
    if is_taken {
        return Err(name_in_use(new));
    }
    lock_definition(cx, at)?;
    let Some(Object::Table(table)) = cx.held.databases[slot].objects.get_mut(&id) else {
        return Err(ambiguous().into());
    };
    let old = Arc::clone(&table.def);
    rename_in(Arc::make_mut(&mut table.def), name.object(), new);
    cx.transaction().undo.push(Undo::Definition { at, old });
    Ok(())
}

/// The table of a schema that has a constraint of a name.
fn constrained(database: &Database, schema: i32, name: &str) -> Option<i32> {
    let has = |def: &TableDef| constraint_names(def).any(|known| same_name(known, name));
    let tables = database.tables();
    let mut tables = tables.filter(|table| table.def.schema_id == schema && has(&table.def));
    tables.next().map(|table| table.def.id)
}

fn rename_in(def: &mut TableDef, name: &str, new: &str) {
    let keys = def.indexes.iter_mut();
    let keys = keys.filter(|index| index.constraint_id.is_some());
    let defaults = def.columns.iter_mut();
    let defaults = defaults.filter_map(|column| column.default.as_mut());
    let names = keys
        .map(|index| &mut index.name)
        .chain(def.checks.iter_mut().map(|check| &mut check.name))
        .chain(def.foreign_keys.iter_mut().map(|key| &mut key.name))
        .chain(defaults.map(|default| &mut default.name));
    for known in names.filter(|known| same_name(known, name)) {
        new.clone_into(known);
    }
}

/// `ALTER SCHEMA .. TRANSFER`: the object keeps its id and its parts, and loses the permissions on it.
pub fn transfer(cx: &mut Cx<'_>, statement: &ast::AlterSchema) -> Outcome<()> {
    let slot = cx.ses.database;
    let missing = |what: &str, name: &str| {
        let because = "because it does not exist or you do not have permission.";
        error(15151, 16, format!("Cannot {what} '{name}', {because}"))
    };
    let schema = &statement.schema.text;
    let login = cx.ses.login.clone();
    let id = cx.held.database(slot).schema(schema).map(|found| found.id);
    let id = id
        .filter(|id| permissions::holds_on_schema(&cx.held, &login, slot, *id, "ALTER"))
        .ok_or_else(|| missing("alter the schema", schema))?;
    let name = &statement.object;
    let at = resolve(cx, name, slot)?.filter(|at| at.database == slot);
    let at = at
        .filter(|at| permissions::holds(&cx.held, &login, slot, Some(*at), "CONTROL"))
        .ok_or_else(|| missing("find the object", name.object()))?;
    let before = place_of(cx, at).ok_or_else(|| missing("find the object", name.object()))?;
    if before.schema == id {
        return Ok(());
    }
    let after = Place {
        database: slot,
        schema: id,
        name: before.name.clone(),
    };
    let exists = |name: &str| {
        Stop::from(error(
            15530,
            16,
            format!("The object with name \"{name}\" already exists."),
        ))
    };
    if let Some(name) = taken_constraint(cx, at, id) {
        return Err(exists(&name));
    }
    move_object(cx, at, &before, &after, exists(&before.name))?;
    let security = &mut cx.held.databases[slot].security;
    let old = Box::new(security.clone());
    security
        .grants
        .retain(|grant| grant.securable != SecurableRef::Object(at.id));
    cx.transaction().undo.push(Undo::Security {
        database: slot,
        old,
    });
    Ok(())
}

/// A constraint of the table whose name a table of the other schema has.
fn taken_constraint(cx: &Cx<'_>, at: ObjectRef, schema: i32) -> Option<String> {
    let own = cx.held.table(at).ok()?.def.clone();
    let database = cx.held.database(at.database);
    let is_taken = |name: &&str| {
        let mut others = database
            .tables()
            .filter(|table| table.def.schema_id == schema);
        database.names.contains_key(&(schema, fold(name)))
            || others.any(|table| constraint_names(&table.def).any(|known| same_name(known, name)))
    };
    constraint_names(&own).find(is_taken).map(str::to_owned)
}

/// Where an object is.
fn place_of(cx: &Cx<'_>, at: ObjectRef) -> Option<Place> {
    let object = cx.held.databases[at.database].objects.get(&at.id)?;
    Some(Place {
        database: at.database,
        schema: object.schema_id(),
        name: object.name().to_string(),
    })
}

/// Gives an object another name or schema; `taken` is the error when another object has the name. The rows of a table
/// are not touched.
fn move_object(
    cx: &mut Cx<'_>,
    at: ObjectRef,
    before: &Place,
    after: &Place,
    taken: Stop,
) -> Outcome<()> {
    cx.acquire(Resource::Table(at), Mode::SchemaModify, Owner::Transaction)?;
    lock_name(cx, before)?;
    lock_name(cx, after)?;
    let is_same = before.schema == after.schema && same_name(&before.name, &after.name);
    let names = &cx.held.database(at.database).names;
    if !is_same && names.contains_key(&(after.schema, fold(&after.name))) {
        return Err(taken);
    }
    set_name(cx, before, None);
    set_name(cx, after, Some(at.id));
    let now = cx.now + cx.offset_ticks();
    let Some(object) = cx.held.databases[at.database].objects.get_mut(&at.id) else {
        return Ok(());
    };
    let undo = match object {
        Object::Table(table) => Undo::Definition {
            at,
            old: Arc::clone(&table.def),
        },
        Object::View(_) | Object::Sequence(_) => Undo::Object {
            at,
            old: Some(Box::new(object.clone())),
        },
    };
    object.set_place(after.schema, &after.name);
    if let Object::Table(table) = object {
        Arc::make_mut(&mut table.def).modified = now;
    }
    cx.transaction().undo.push(undo);
    Ok(())
}
