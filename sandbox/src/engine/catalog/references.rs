//! `sys.dm_sql_referenced_entities`: what the query of a view refers to by name. Only whole objects are shown, none of
//! their columns.

use super::*;
use crate::engine::bind::resolve;
use crate::engine::fault::error;
use crate::engine::schema::Object;
use crate::sql::ast::{
    Condition, ConditionKind, Ident, Query, QueryBody, Select, TableSource, TableSourceKind,
};

/// The columns of `sys.dm_sql_referenced_entities`.
pub(super) fn shape() -> Vec<ColumnShape> {
    let column = |name, ty, nullable| ColumnShape { name, ty, nullable };
    vec![
        column("referencing_minor_id", SqlType::Int, false),
        column("referenced_server_name", SYSNAME, true),
        column("referenced_database_name", SYSNAME, true),
        column("referenced_schema_name", SYSNAME, true),
        column("referenced_entity_name", SYSNAME, true),
        column("referenced_minor_name", SYSNAME, true),
        column("referenced_id", SqlType::Int, true),
        column("referenced_minor_id", SqlType::Int, false),
        column("referenced_class", SqlType::TinyInt, true),
        column("referenced_class_desc", DESCRIPTION, true),
    ]
}

/// Error 229 for a login without VIEW DEFINITION on the view.
pub(super) fn entities(cx: &mut Cx<'_>, args: &[Value], slot: usize) -> Outcome<Vec<Tuple>> {
    cx.held.lock();
    let Some(Value::Str(units)) = args.first() else {
        return Ok(Vec::new());
    };
    let parts = crate::engine::meta::split_name(&sql_types::text(units));
    let name = ObjectName {
        parts: parts.into_iter().map(Ident::new).collect(),
        line: 0,
    };
    let Some(at) = resolve(cx, &name, slot)? else {
        return Ok(Vec::new());
    };
    let Some(Object::View(view)) = cx.held.database(slot).objects.get(&at.id).cloned() else {
        return Ok(Vec::new());
    };
    let login = &cx.ses.login;
    if !permissions::holds(&cx.held, login, slot, Some(at), "VIEW DEFINITION") {
        return Err(error(
            229,
            14,
            format!(
                "The VIEW DEFINITION permission was denied on the object '{}'.",
                view.name
            ),
        )
        .into());
    }
    let mut names: Vec<ObjectName> = Vec::new();
    of_query(&view.query, &mut names);
    let mut rows = Vec::new();
    for name in names {
        let other = name.database().filter(|database| {
            let own = &cx.held.database(slot).name;
            !same_name(database, own)
        });
        let found = resolve(cx, &name, slot)?;
        rows.push(vec![
            Value::Int(0),
            text_or_null(name.server()),
            text_or_null(other),
            text_or_null(name.schema()),
            text(name.object()),
            Value::Null,
            found.map_or(Value::Null, |at| Value::Int(at.id)),
            Value::Int(0),
            Value::TinyInt(1),
            text("OBJECT_OR_COLUMN"),
        ]);
    }
    rows.dedup();
    Ok(rows)
}

fn of_query(query: &Query, out: &mut Vec<ObjectName>) {
    for cte in &query.ctes {
        of_query(&cte.query, out);
    }
    of_body(&query.body, out);
    // A common table expression is no object.
    let is_own = |name: &ObjectName| {
        let mut ctes = query.ctes.iter();
        name.parts.len() == 1 && ctes.any(|cte| same_name(&cte.name.text, name.object()))
    };
    out.retain(|name| !is_own(name));
}

fn of_body(body: &QueryBody, out: &mut Vec<ObjectName>) {
    match body {
        QueryBody::Select(select) => of_select(select, out),
        QueryBody::SetOperation { left, right, .. } => {
            of_body(left, out);
            of_body(right, out);
        }
    }
}

fn of_select(select: &Select, out: &mut Vec<ObjectName>) {
    for source in &select.from {
        of_source(source, out);
    }
    for condition in select.filter.iter().chain(&select.having) {
        of_condition(condition, out);
    }
}

fn of_source(source: &TableSource, out: &mut Vec<ObjectName>) {
    match &source.kind {
        TableSourceKind::Table { name, .. } | TableSourceKind::Function { name, .. } => {
            out.push(name.clone());
        }
        TableSourceKind::Changes { table, .. } | TableSourceKind::Version { table, .. } => {
            out.push(table.clone());
        }
        TableSourceKind::Derived { query, .. } => of_query(query, out),
        TableSourceKind::Join {
            left, right, on, ..
        } => {
            of_source(left, out);
            of_source(right, out);
            if let Some(on) = on {
                of_condition(on, out);
            }
        }
        TableSourceKind::Apply { left, right, .. } => {
            of_source(left, out);
            of_source(right, out);
        }
        TableSourceKind::Variable { .. } | TableSourceKind::Values { .. } => {}
    }
}

/// Subqueries of conditions; scalar ones are not looked into.
fn of_condition(condition: &Condition, out: &mut Vec<ObjectName>) {
    match &condition.kind {
        ConditionKind::And(list) | ConditionKind::Or(list) => {
            list.iter()
                .for_each(|condition| of_condition(condition, out));
        }
        ConditionKind::Not(inner) => of_condition(inner, out),
        ConditionKind::Exists(query)
        | ConditionKind::InQuery { query, .. }
        | ConditionKind::Quantified { query, .. } => of_query(query, out),
        ConditionKind::Compare { .. }
        | ConditionKind::Between { .. }
        | ConditionKind::InList { .. }
        | ConditionKind::Like { .. }
        | ConditionKind::IsNull { .. }
        | ConditionKind::IsDistinctFrom { .. }
        | ConditionKind::ColumnUpdated(_) => {}
    }
}
