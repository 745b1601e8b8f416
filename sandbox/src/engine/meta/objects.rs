//! Functions on the catalog's objects.

use super::{
    MetaFunction, NAME, TEXT, function, int_or_null, split_name, string_or_null, text, whole,
};
use crate::engine::bind::resolve;
use crate::engine::catalog;
use crate::engine::context::Cx;
use crate::engine::fault::Outcome;
use crate::engine::permissions;
use crate::engine::schema::{Object, ObjectRef, TableDef, same_name};
use crate::engine::types;
use crate::sql::ast;
use crate::value::{SqlType, Value};
use std::sync::Arc;

/// What functions on identities answer.
const IDENTITY: SqlType = SqlType::Decimal {
    precision: 38,
    scale: 0,
    numeric: true,
};

pub fn register(out: &mut Vec<MetaFunction>) {
    let int = SqlType::Int;
    out.extend([
        function("OBJECT_ID", 1..=2, &[TEXT], int.clone(), object_id),
        function("OBJECT_NAME", 1..=2, &[SqlType::Int], NAME, object_name),
        function(
            "OBJECT_SCHEMA_NAME",
            1..=2,
            &[SqlType::Int],
            NAME,
            object_schema_name,
        ),
        function("SCHEMA_ID", 0..=1, &[TEXT], int.clone(), schema_id),
        function("SCHEMA_NAME", 0..=1, &[SqlType::Int], NAME, schema_name),
        function("DB_ID", 0..=1, &[TEXT], SqlType::SmallInt, db_id),
        function("DB_NAME", 0..=1, &[SqlType::Int], NAME, db_name),
        function("COL_LENGTH", 2..=2, &[TEXT], SqlType::SmallInt, col_length),
        function("COL_NAME", 2..=2, &[SqlType::Int], NAME, col_name),
        function("IDENT_CURRENT", 1..=1, &[TEXT], IDENTITY, ident_current),
        function("IDENT_SEED", 1..=1, &[TEXT], IDENTITY, ident_seed),
        function("IDENT_INCR", 1..=1, &[TEXT], IDENTITY, ident_incr),
        function(
            "OBJECT_DEFINITION",
            1..=1,
            &[SqlType::Int],
            SqlType::NVarChar(None),
            object_definition,
        ),
        function(
            "STATS_DATE",
            2..=2,
            &[SqlType::Int],
            SqlType::DateTime,
            stats_date,
        ),
        function(
            "CHANGE_TRACKING_CURRENT_VERSION",
            0..=0,
            &[],
            SqlType::BigInt,
            |_, _| Ok(Value::Null),
        ),
        function(
            "CHANGE_TRACKING_MIN_VALID_VERSION",
            1..=1,
            &[SqlType::Int],
            SqlType::BigInt,
            |_, _| Ok(Value::Null),
        ),
    ]);
}

fn name_of(text: &str) -> ast::ObjectName {
    ast::ObjectName {
        parts: split_name(text).into_iter().map(ast::Ident::new).collect(),
        line: 0,
    }
}

pub(super) fn find(cx: &Cx<'_>, text: &str) -> Outcome<Option<ObjectRef>> {
    let name = name_of(text);
    // A temporary table is found in tempdb only: `tempdb..#t`.
    let elsewhere = match name.database() {
        Some(database) => !same_name(database, "tempdb"),
        None => cx.ses.database != 1,
    };
    if name.object().starts_with('#') && elsewhere {
        return Ok(None);
    }
    resolve(cx, &name, cx.ses.database)
}

/// The table with an id, of the session's database or tempdb. Waits where another session's uncommitted DDL holds the
/// id: the answer would be that of a change that may never be.
pub(super) fn table_of(cx: &Cx<'_>, id: i64) -> Outcome<Option<Arc<TableDef>>> {
    let Ok(id) = i32::try_from(id) else {
        return Ok(None);
    };
    for database in [cx.ses.database, 1] {
        catalog::wait_for_object(cx, ObjectRef { database, id })?;
        if let Some(table) = cx.held.database(database).table(id) {
            return Ok(Some(table.def.clone()));
        }
    }
    Ok(None)
}

fn object_id(cx: &mut Cx<'_>, args: &[Value]) -> Outcome<Value> {
    let Some(name) = text(args.first()) else {
        return Ok(Value::Null);
    };
    let kind = text(args.get(1)).map(|kind| kind.trim().to_ascii_uppercase());
    if let Some(view) = catalog::view(&name_of(&name)) {
        let is_there = cx.shared.options.engine_edition != 5
            || view.object_id() != catalog::view_id("database_recovery_status");
        let fits = is_there && kind.as_deref().is_none_or(|kind| kind == "V");
        return Ok(if fits {
            Value::Int(view.object_id())
        } else {
            Value::Null
        });
    }
    if let Some(at) = find(cx, &name)? {
        if !catalog::sees(cx, at) {
            return Ok(Value::Null);
        }
        let found = match cx.held.databases[at.database].objects.get(&at.id) {
            Some(Object::Table(_)) => "U",
            Some(Object::View(_)) => "V",
            Some(Object::Sequence(_)) => "SO",
            None => return Ok(Value::Null),
        };
        return Ok(if kind.as_deref().is_none_or(|kind| kind == found) {
            Value::Int(at.id)
        } else {
            Value::Null
        });
    }
    let wanted = name_of(&name);
    let slot = match wanted.database() {
        Some(database) => match cx.held.database_named(database) {
            Some(slot) => slot,
            None => return Ok(Value::Null),
        },
        None => cx.ses.database,
    };
    let database = cx.held.database(slot);
    for table in database.tables() {
        let def = &table.def;
        if wanted
            .schema()
            .is_some_and(|schema| !same_name(schema, database.schema_name(def.schema_id)))
        {
            continue;
        }
        if let Some((id, found)) = part(def, wanted.object())
            && kind.as_deref().is_none_or(|kind| kind == found)
        {
            return Ok(Value::Int(id));
        }
    }
    Ok(Value::Null)
}

/// A trigger or constraint of a table by name: its id and the code of its kind.
fn part(def: &TableDef, name: &str) -> Option<(i32, &'static str)> {
    let is = |known: &str| same_name(known, name);
    def.triggers
        .iter()
        .find(|trigger| is(&trigger.name))
        .map(|trigger| (trigger.id, "TR"))
        .or_else(|| {
            let key = def
                .indexes
                .iter()
                .find(|index| is(&index.name) && index.constraint_id.is_some())?;
            Some((key.constraint_id?, if key.primary { "PK" } else { "UQ" }))
        })
        .or_else(|| {
            def.checks
                .iter()
                .find(|check| is(&check.name))
                .map(|check| (check.id, "C"))
        })
        .or_else(|| {
            def.foreign_keys
                .iter()
                .find(|key| is(&key.name))
                .map(|key| (key.id, "F"))
        })
        .or_else(|| {
            let default = def
                .columns
                .iter()
                .filter_map(|column| column.default.as_ref())
                .find(|default| is(&default.name))?;
            Some((default.id, "D"))
        })
}

fn slot_of(cx: &Cx<'_>, id: Option<&Value>) -> Option<usize> {
    match whole(id) {
        Some(id) => cx
            .held
            .databases
            .iter()
            .position(|database| i64::from(database.id) == id),
        None => Some(cx.ses.database),
    }
}

/// Waits where another session's uncommitted DDL holds an id.
pub(super) fn wait_for(cx: &Cx<'_>, database: usize, id: i64) -> Outcome<()> {
    match i32::try_from(id) {
        Ok(id) => catalog::wait_for_object(cx, ObjectRef { database, id }),
        Err(_) => Ok(()),
    }
}

fn object_name(cx: &mut Cx<'_>, args: &[Value]) -> Outcome<Value> {
    let (Some(id), Some(slot)) = (whole(args.first()), slot_of(cx, args.get(1))) else {
        return Ok(Value::Null);
    };
    if let Some(name) = catalog::view_name(id as i32) {
        return Ok(types::string(name));
    }
    wait_for(cx, slot, id)?;
    let database = cx.held.database(slot);
    let direct = database
        .objects
        .get(&(id as i32))
        .map(|object| object.name().to_string());
    let name = direct.or_else(|| {
        database.tables().find_map(|table| {
            let def = &table.def;
            let key = def
                .indexes
                .iter()
                .find(|index| index.constraint_id == Some(id as i32))
                .map(|index| index.name.clone());
            key.or_else(|| {
                def.triggers
                    .iter()
                    .find(|trigger| trigger.id == id as i32)
                    .map(|trigger| trigger.name.clone())
            })
            .or_else(|| {
                def.checks
                    .iter()
                    .find(|check| check.id == id as i32)
                    .map(|check| check.name.clone())
            })
            .or_else(|| {
                def.foreign_keys
                    .iter()
                    .find(|key| key.id == id as i32)
                    .map(|key| key.name.clone())
            })
        })
    });
    Ok(string_or_null(name))
}

fn object_schema_name(cx: &mut Cx<'_>, args: &[Value]) -> Outcome<Value> {
    let (Some(id), Some(slot)) = (whole(args.first()), slot_of(cx, args.get(1))) else {
        return Ok(Value::Null);
    };
    wait_for(cx, slot, id)?;
    let database = cx.held.database(slot);
    Ok(string_or_null(database.objects.get(&(id as i32)).map(
        |object| database.schema_name(object.schema_id()).to_string(),
    )))
}

fn schema_id(cx: &mut Cx<'_>, args: &[Value]) -> Outcome<Value> {
    if args.is_empty() {
        return Ok(Value::Int(crate::engine::bind::default_schema(
            cx,
            cx.ses.database,
        )));
    }
    let Some(name) = text(args.first()) else {
        return Ok(Value::Null);
    };
    Ok(int_or_null(
        cx.held
            .database(cx.ses.database)
            .schema(&name)
            .map(|schema| schema.id),
    ))
}

fn schema_name(cx: &mut Cx<'_>, args: &[Value]) -> Outcome<Value> {
    let id = match args.first() {
        Some(value) => whole(Some(value)),
        None => Some(i64::from(crate::engine::bind::default_schema(
            cx,
            cx.ses.database,
        ))),
    };
    let database = cx.held.database(cx.ses.database);
    Ok(string_or_null(
        id.map(|id| database.schema_name(id as i32).to_string())
            .filter(|name| !name.is_empty()),
    ))
}

fn db_id(cx: &mut Cx<'_>, args: &[Value]) -> Outcome<Value> {
    let slot = match args.first() {
        None => Some(cx.ses.database),
        Some(value) => text(Some(value)).and_then(|name| cx.held.database_named(&name)),
    };
    Ok(slot.map_or(Value::Null, |slot| {
        Value::SmallInt(cx.held.database(slot).id as i16)
    }))
}

fn db_name(cx: &mut Cx<'_>, args: &[Value]) -> Outcome<Value> {
    let slot = match args.first() {
        None | Some(Value::Int(0)) => Some(cx.ses.database),
        Some(Value::Null) => None,
        some => slot_of(cx, some),
    };
    Ok(string_or_null(
        slot.map(|slot| cx.held.database(slot).name.clone()),
    ))
}

fn col_length(cx: &mut Cx<'_>, args: &[Value]) -> Outcome<Value> {
    let (Some(table), Some(column)) = (text(args.first()), text(args.get(1))) else {
        return Ok(Value::Null);
    };
    let Some(at) = find(cx, &table)? else {
        return Ok(Value::Null);
    };
    let Some(found) = cx.held.database(at.database).table(at.id) else {
        return Ok(Value::Null);
    };
    let length = found
        .def
        .column(&column)
        .map(|ordinal| types::max_length(&found.def.columns[ordinal].ty));
    Ok(length.map_or(Value::Null, Value::SmallInt))
}

fn col_name(cx: &mut Cx<'_>, args: &[Value]) -> Outcome<Value> {
    let (Some(table), Some(id)) = (whole(args.first()), whole(args.get(1))) else {
        return Ok(Value::Null);
    };
    let name = table_of(cx, table)?.and_then(|def| {
        def.columns
            .iter()
            .find(|column| i64::from(column.id) == id)
            .map(|column| column.name.clone())
    });
    Ok(string_or_null(name))
}

fn identity_of(
    cx: &mut Cx<'_>,
    args: &[Value],
    pick: fn(&crate::engine::storage::Table) -> Option<i128>,
) -> Outcome<Value> {
    let Some(name) = text(args.first()) else {
        return Ok(Value::Null);
    };
    let Some(at) = find(cx, &name)? else {
        return Ok(Value::Null);
    };
    let value = cx.held.database(at.database).table(at.id).and_then(pick);
    Ok(value.map_or(Value::Null, |unscaled| Value::Decimal {
        unscaled,
        scale: 0,
    }))
}

fn ident_current(cx: &mut Cx<'_>, args: &[Value]) -> Outcome<Value> {
    identity_of(cx, args, |table| {
        let identity = table.def.columns[table.def.identity()?].identity?;
        Some(table.identity_last.unwrap_or(identity.seed))
    })
}

fn ident_seed(cx: &mut Cx<'_>, args: &[Value]) -> Outcome<Value> {
    identity_of(cx, args, |table| {
        table.def.columns[table.def.identity()?]
            .identity
            .map(|identity| identity.seed)
    })
}

fn ident_incr(cx: &mut Cx<'_>, args: &[Value]) -> Outcome<Value> {
    identity_of(cx, args, |table| {
        table.def.columns[table.def.identity()?]
            .identity
            .map(|identity| identity.increment)
    })
}

fn object_definition(cx: &mut Cx<'_>, args: &[Value]) -> Outcome<Value> {
    let Some(id) = whole(args.first()) else {
        return Ok(Value::Null);
    };
    let at = ObjectRef {
        database: cx.ses.database,
        id: id as i32,
    };
    catalog::wait_for_object(cx, at)?;
    let login = &cx.ses.login;
    if !permissions::holds(&cx.held, login, at.database, Some(at), "VIEW DEFINITION") {
        return Ok(Value::Null);
    }
    let database = cx.held.database(cx.ses.database);
    let view = match database.objects.get(&(id as i32)) {
        Some(Object::View(view)) => Some(view.text.clone()),
        Some(Object::Table(_) | Object::Sequence(_)) | None => None,
    };
    let trigger = || {
        database
            .tables()
            .flat_map(|table| table.def.triggers.clone())
            .find(|trigger| i64::from(trigger.id) == id)
            .map(|trigger| trigger.text)
    };
    Ok(string_or_null(view.or_else(trigger)))
}

/// Statistics are those of the rows as they are: as of now.
fn stats_date(cx: &mut Cx<'_>, args: &[Value]) -> Outcome<Value> {
    let (Some(id), Some(stats)) = (whole(args.first()), whole(args.get(1))) else {
        return Ok(Value::Null);
    };
    let known = table_of(cx, id)?.is_some_and(|def| {
        def.indexes.iter().any(|index| i64::from(index.id) == stats)
            || def.statistics.iter().any(|own| i64::from(own.id) == stats)
    });
    Ok(if known {
        catalog::datetime(cx.now + cx.offset_ticks())
    } else {
        Value::Null
    })
}
