//! Properties of columns, objects, indexes and types, and what the session may do.

use super::objects::{find, table_of};
use super::{
    MetaFunction, NAME, TEXT, function, int_or_null, split_name, string_or_null, text, whole,
};
use crate::engine::context::Cx;
use crate::engine::fault::Outcome;
use crate::engine::permissions;
use crate::engine::schema::{Object, same_name};
use crate::engine::types;
use crate::sql::ast::{self, Generated};
use crate::value::{SqlType, Value};

pub fn register(out: &mut Vec<MetaFunction>) {
    let int = SqlType::Int;
    out.extend([
        function(
            "COLUMNPROPERTY",
            3..=3,
            &[SqlType::Int, TEXT, TEXT],
            int.clone(),
            column_property,
        ),
        function(
            "OBJECTPROPERTY",
            2..=2,
            &[SqlType::Int, TEXT],
            int.clone(),
            object_property,
        ),
        function(
            "OBJECTPROPERTYEX",
            2..=2,
            &[SqlType::Int, TEXT],
            SqlType::SqlVariant,
            object_property_ex,
        ),
        function(
            "INDEXPROPERTY",
            3..=3,
            &[SqlType::Int, TEXT, TEXT],
            int.clone(),
            index_property,
        ),
        function(
            "INDEX_COL",
            3..=3,
            &[TEXT, SqlType::Int, SqlType::Int],
            NAME,
            index_col,
        ),
        function("TYPE_ID", 1..=1, &[TEXT], int.clone(), type_id),
        function("TYPE_NAME", 1..=1, &[SqlType::Int], NAME, type_name),
        function("TYPEPROPERTY", 2..=2, &[TEXT], int.clone(), type_property),
        function("HAS_PERMS_BY_NAME", 3..=5, &[TEXT], int.clone(), has_perms),
    ]);
}

fn column_property(cx: &mut Cx<'_>, args: &[Value]) -> Outcome<Value> {
    let (Some(id), Some(name), Some(property)) =
        (whole(args.first()), text(args.get(1)), text(args.get(2)))
    else {
        return Ok(Value::Null);
    };
    let Some(def) = table_of(cx, id) else {
        return Ok(Value::Null);
    };
    let Some(ordinal) = def.column(&name) else {
        return Ok(Value::Null);
    };
    let column = &def.columns[ordinal];
    let (precision, scale) = types::precision_scale(&column.ty);
    let flag = |on: bool| Some(i32::from(on));
    Ok(int_or_null(match property.to_ascii_lowercase().as_str() {
        "allowsnull" => flag(column.nullable),
        "columnid" => Some(column.id),
        "isidentity" => flag(column.identity.is_some()),
        "iscomputed" => flag(column.computed.is_some()),
        "isrowguidcol" => flag(column.row_guid),
        "issparse" => flag(column.sparse),
        "ishidden" => flag(column.hidden),
        "generatedalwaystype" => Some(match column.generated {
            Some(Generated::RowStart) => 1,
            Some(Generated::RowEnd) => 2,
            None => 0,
        }),
        "iscolumnset" | "issystemverified" | "isfulltextindexed" => Some(0),
        "precision" if types::is_character(&column.ty) => {
            Some(types::length(&column.ty).map_or(-1, i32::from))
        }
        "precision" => Some(i32::from(precision)),
        "scale" => Some(i32::from(scale)),
        "charmaxlen" => {
            types::is_character(&column.ty).then(|| types::length(&column.ty).map_or(-1, i32::from))
        }
        _ => None,
    }))
}

fn property(cx: &Cx<'_>, args: &[Value]) -> Option<i32> {
    let (id, name) = (whole(args.first())?, text(args.get(1))?);
    let slots = [cx.ses.database, 1];
    let (slot, object) = slots.iter().find_map(|slot| {
        cx.held
            .database(*slot)
            .objects
            .get(&(id as i32))
            .map(|object| (*slot, object))
    })?;
    let table = cx.held.database(slot).table(id as i32);
    let flag = |on: bool| Some(i32::from(on));
    let def = table.map(|table| &table.def);
    match name.to_ascii_lowercase().as_str() {
        "istable" => flag(matches!(object, Object::Table(_))),
        "isusertable" => flag(matches!(object, Object::Table(_))),
        "isview" => flag(matches!(object, Object::View(_))),
        "ismsshipped" => Some(0),
        "schemaid" => Some(object.schema_id()),
        "ownerid" => Some(1),
        "tablehasidentity" => flag(def?.identity().is_some()),
        "tablehasprimarykey" => flag(def?.primary_key().is_some()),
        "tablehastimestamp" => flag(def?.rowversion().is_some()),
        "tablehasclustindex" => flag(def?.indexes.iter().any(|index| index.clustered)),
        "tablehasindex" => flag(!def?.indexes.is_empty()),
        "tablehasforeignkey" => flag(!def?.foreign_keys.is_empty()),
        "tablehasinserttrigger" => flag(
            def?.triggers
                .iter()
                .any(|t| t.events.contains(&ast::TriggerEvent::Insert)),
        ),
        "tablehasupdatetrigger" => flag(
            def?.triggers
                .iter()
                .any(|t| t.events.contains(&ast::TriggerEvent::Update)),
        ),
        "tablehasdeletetrigger" => flag(
            def?.triggers
                .iter()
                .any(|t| t.events.contains(&ast::TriggerEvent::Delete)),
        ),
        "tabletemporaltype" => def.map(|def| match (&def.versioning, def.history_of) {
            (Some(_), _) => 2,
            (None, Some(_)) => 1,
            (None, None) => 0,
        }),
        "tableismemoryoptimized" => Some(0),
        _ => None,
    }
}

fn object_property(cx: &mut Cx<'_>, args: &[Value]) -> Outcome<Value> {
    Ok(int_or_null(property(cx, args)))
}

fn object_property_ex(cx: &mut Cx<'_>, args: &[Value]) -> Outcome<Value> {
    let cardinality =
        text(args.get(1)).is_some_and(|name| name.eq_ignore_ascii_case("Cardinality"));
    if cardinality && let Some(id) = whole(args.first()) {
        let count = cx
            .held
            .database(cx.ses.database)
            .table(id as i32)
            .map(|table| table.count);
        return Ok(count.map_or(Value::Null, |count| super::variant(Value::BigInt(count))));
    }
    Ok(super::variant(int_or_null(property(cx, args))))
}

fn index_property(cx: &mut Cx<'_>, args: &[Value]) -> Outcome<Value> {
    let (Some(id), Some(name), Some(property)) =
        (whole(args.first()), text(args.get(1)), text(args.get(2)))
    else {
        return Ok(Value::Null);
    };
    let Some(def) = table_of(cx, id) else {
        return Ok(Value::Null);
    };
    let Some(index) = def
        .indexes
        .iter()
        .find(|index| same_name(&index.name, &name))
    else {
        return Ok(Value::Null);
    };
    let flag = |on: bool| Some(i32::from(on));
    Ok(int_or_null(match property.to_ascii_lowercase().as_str() {
        "indexid" => Some(index.id),
        "isunique" => flag(index.unique),
        "isclustered" => flag(index.clustered),
        "isdisabled" | "ishypothetical" | "isstatistics" | "iscolumnstore" | "isfulltextkey"
        | "ispadindex" | "isautostatistics" => Some(0),
        "indexdepth" => Some(1),
        "indexfillfactor" => Some(0),
        _ => None,
    }))
}

fn index_col(cx: &mut Cx<'_>, args: &[Value]) -> Outcome<Value> {
    let (Some(table), Some(index), Some(key)) =
        (text(args.first()), whole(args.get(1)), whole(args.get(2)))
    else {
        return Ok(Value::Null);
    };
    let Some(at) = find(cx, &table)? else {
        return Ok(Value::Null);
    };
    let Some(found) = cx.held.database(at.database).table(at.id) else {
        return Ok(Value::Null);
    };
    let column = found
        .def
        .indexes
        .iter()
        .find(|known| i64::from(known.id) == index)
        .and_then(|index| index.columns.get(usize::try_from(key - 1).ok()?))
        .map(|(at, _)| found.def.columns[*at].name.clone());
    Ok(string_or_null(column))
}

fn type_id(cx: &mut Cx<'_>, args: &[Value]) -> Outcome<Value> {
    let Some(name) = text(args.first()) else {
        return Ok(Value::Null);
    };
    let last = split_name(&name).pop().unwrap_or_default();
    let builtin = types::all()
        .into_iter()
        .find(|ty| same_name(types::name(ty), &last))
        .map(|ty| types::user_type_id(&ty));
    let alias = cx
        .held
        .database(cx.ses.database)
        .types
        .iter()
        .find(|ty| same_name(&ty.name, &last))
        .map(|ty| ty.user_type_id);
    let sysname = same_name(&last, "sysname").then_some(256);
    Ok(int_or_null(builtin.or(sysname).or(alias)))
}

fn type_name(cx: &mut Cx<'_>, args: &[Value]) -> Outcome<Value> {
    let Some(id) = whole(args.first()) else {
        return Ok(Value::Null);
    };
    let builtin = types::all()
        .into_iter()
        .find(|ty| i64::from(types::user_type_id(ty)) == id)
        .map(|ty| types::name(&ty).to_string());
    let alias = cx
        .held
        .database(cx.ses.database)
        .types
        .iter()
        .find(|ty| i64::from(ty.user_type_id) == id)
        .map(|ty| ty.name.clone());
    Ok(string_or_null(
        builtin
            .or((id == 256).then(|| "sysname".to_string()))
            .or(alias),
    ))
}

fn type_property(_: &mut Cx<'_>, args: &[Value]) -> Outcome<Value> {
    let (Some(name), Some(property)) = (text(args.first()), text(args.get(1))) else {
        return Ok(Value::Null);
    };
    let last = split_name(&name).pop().unwrap_or_default();
    let Some(ty) = types::all()
        .into_iter()
        .find(|ty| same_name(types::name(ty), &last))
    else {
        return Ok(Value::Null);
    };
    let (precision, scale) = types::precision_scale(&ty);
    Ok(int_or_null(match property.to_ascii_lowercase().as_str() {
        "allowsnull" => Some(1),
        "precision" => Some(i32::from(precision)),
        "scale" => Some(i32::from(scale)),
        "ownerid" => Some(4),
        _ => None,
    }))
}

fn has_perms(cx: &mut Cx<'_>, args: &[Value]) -> Outcome<Value> {
    let Some(permission) = text(args.get(2)).map(|p| p.to_ascii_uppercase()) else {
        return Ok(Value::Null);
    };
    let class = text(args.get(1)).map(|class| class.to_ascii_uppercase());
    let name = text(args.first());
    let login = cx.ses.login.clone();
    let allowed = match (class.as_deref(), name) {
        (Some("OBJECT"), Some(name)) => match find(cx, &name)? {
            Some(at) => permissions::holds(&cx.held, &login, at.database, Some(at), &permission),
            None => return Ok(Value::Null),
        },
        (Some("SCHEMA"), Some(name)) => {
            let slot = cx.ses.database;
            let name = split_name(&name).pop().unwrap_or_default();
            let Some(schema) = cx.held.database(slot).schema(&name).map(|schema| schema.id) else {
                return Ok(Value::Null);
            };
            permissions::holds_on_schema(&cx.held, &login, slot, schema, &permission)
        }
        (Some("DATABASE"), name) => {
            let slot = match name {
                Some(name) => {
                    // A name of one part: that of a database with a dot needs brackets.
                    let mut parts = split_name(&name);
                    let one = parts.pop().filter(|_| parts.is_empty());
                    let Some(name) = one else {
                        return Ok(Value::Int(0));
                    };
                    match cx.held.database_named(&name) {
                        Some(slot) => slot,
                        None => return Ok(Value::Null),
                    }
                }
                None => cx.ses.database,
            };
            permissions::holds(&cx.held, &login, slot, None, &permission)
        }
        (None | Some("SERVER"), None) => super::server_permission(&cx.held, &login, &permission),
        _ => return Ok(Value::Null),
    };
    Ok(Value::Int(i32::from(allowed)))
}
