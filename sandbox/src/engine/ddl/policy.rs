//! Inline table-valued functions and security policies. They do not take part in transactions.

use super::table_named;
use crate::engine::context::Cx;
use crate::engine::fault::{Outcome, error, invalid_object};
use crate::engine::permissions;
use crate::engine::schema::{Function, Policy, Predicate, same_name};
use crate::sql::ast;

/// The schema id that a name is in, in the current database.
fn schema_of(cx: &Cx<'_>, name: &ast::ObjectName) -> Outcome<i32> {
    let slot = cx.ses.database;
    let Some(schema) = name.schema() else {
        return Ok(crate::engine::bind::default_schema(cx, slot));
    };
    let found = cx.held.database(slot).schema(schema);
    found.map(|schema| schema.id).ok_or_else(|| {
        error(
            2760,
            16,
            format!(
                "The specified schema name \"{schema}\" either does not exist or you do not have permission to use it."
            ),
        )
        .into()
    })
}

pub fn create_function(cx: &mut Cx<'_>, statement: &ast::CreateFunction) -> Outcome<()> {
    let slot = cx.ses.database;
    permissions::check_in_database(cx, slot, "CREATE FUNCTION")?;
    let schema_id = schema_of(cx, &statement.name)?;
    let name = statement.name.object().to_owned();
    let functions = &mut cx.held.databases[slot].functions;
    let same = |known: &Function| known.schema_id == schema_id && same_name(&known.name, &name);
    if functions.iter().any(same) {
        return Err(super::taken(&name).into());
    }
    functions.push(Function {
        schema_id,
        name,
        parameters: statement.parameters.clone(),
        body: statement.body.clone(),
    });
    Ok(())
}

pub fn create_policy(cx: &mut Cx<'_>, statement: &ast::CreatePolicy) -> Outcome<()> {
    let slot = cx.ses.database;
    permissions::check_in_database(cx, slot, "ALTER ANY SECURITY POLICY")?;
    let mut predicates = Vec::new();
    for predicate in &statement.predicates {
        let table = table_named(cx, &predicate.table)?;
        let function = (
            schema_of(cx, &predicate.function)?,
            predicate.function.object().to_owned(),
        );
        let found = cx.held.database(slot).function(&function);
        let count = found.map(|function| function.parameters.len());
        if count != Some(predicate.columns.len()) {
            return Err(invalid_object(&predicate.function).into());
        }
        let def = cx.held.table(table)?.def.clone();
        for column in &predicate.columns {
            if def.column(&column.text).is_none() {
                let message = format!("Invalid column name '{}'.", column.text);
                return Err(error(207, 16, message).into());
            }
        }
        predicates.push(Predicate {
            table: table.id,
            function,
            columns: predicate.columns.iter().map(|c| c.text.clone()).collect(),
        });
    }
    let policy = Policy {
        schema_id: schema_of(cx, &statement.name)?,
        name: statement.name.object().to_owned(),
        enabled: statement.enabled,
        predicates,
        id: cx.held.databases[slot].new_object_id(),
    };
    cx.held.databases[slot].policies.push(policy);
    Ok(())
}

pub fn alter_policy(cx: &mut Cx<'_>, statement: &ast::AlterPolicy) -> Outcome<()> {
    let slot = cx.ses.database;
    permissions::check_in_database(cx, slot, "ALTER ANY SECURITY POLICY")?;
    let schema = schema_of(cx, &statement.name)?;
    let name = statement.name.object();
    let policies = &mut cx.held.databases[slot].policies;
    let policy = policies
        .iter_mut()
        .find(|policy| policy.schema_id == schema && same_name(&policy.name, name));
    let Some(policy) = policy else {
        return Err(invalid_object(&statement.name).into());
    };
    policy.enabled = statement.enabled;
    Ok(())
}

/// The query that shows of a table what its security policies let through; none where there is nothing to filter.
pub fn filtering(cx: &Cx<'_>, at: crate::engine::schema::ObjectRef) -> Outcome<Option<ast::Query>> {
    let database = cx.held.database(at.database);
    let enabled = database.policies.iter().filter(|policy| policy.enabled);
    let predicates = enabled.flat_map(|policy| &policy.predicates);
    let mut conditions = Vec::new();
    for predicate in predicates.filter(|predicate| predicate.table == at.id) {
        let Some(function) = database.function(&predicate.function) else {
            continue;
        };
        let columns = predicate.columns.iter();
        let columns = columns.map(|name| format!("[filtered row].[{}]", name.replace(']', "]]")));
        let arguments: Vec<(String, String)> =
            function.parameters.iter().cloned().zip(columns).collect();
        let body = crate::sql::with_arguments(&function.body, &arguments);
        let body = body.map_err(crate::engine::fault::Stop::Statement)?;
        conditions.push(format!("EXISTS ({body})"));
    }
    if conditions.is_empty() {
        return Ok(None);
    }
    let def = cx.held.table(at)?.def.clone();
    let quoted = |name: &str| format!("[{}]", name.replace(']', "]]"));
    let text = format!(
        "SELECT * FROM {}.{}.{} AS [filtered row] WHERE {}",
        quoted(&database.name),
        quoted(database.schema_name(def.schema_id)),
        quoted(&def.name),
        conditions.join(" AND ")
    );
    let statements =
        crate::sql::parse_batch(&text).map_err(crate::engine::fault::Stop::Statement)?;
    let mut kinds = statements.into_iter().map(|statement| statement.kind);
    let Some(ast::StatementKind::Select(query)) = kinds.next() else {
        return Ok(None);
    };
    Ok(Some(*query))
}
