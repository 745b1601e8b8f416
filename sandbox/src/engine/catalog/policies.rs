//! Security policies, for who may see them.

use super::*;
use crate::engine::schema::Policy;

/// What a login without VIEW DEFINITION or ALTER ANY SECURITY POLICY sees is nothing.
fn policies(cx: &mut Cx<'_>, slot: usize) -> Outcome<Vec<Policy>> {
    let may = |permission| permissions::holds(&cx.held, &cx.ses.login, slot, None, permission);
    if !["VIEW DEFINITION", "ALTER ANY SECURITY POLICY"]
        .into_iter()
        .any(may)
    {
        return Ok(Vec::new());
    }
    Ok(cx.held.database(slot).policies.clone())
}

struct PredicateRow {
    policy: i32,
    place: i32,
    table: i32,
    definition: String,
}

fn predicates(cx: &mut Cx<'_>, slot: usize) -> Outcome<Vec<PredicateRow>> {
    let policies = policies(cx, slot)?;
    let database = cx.held.database(slot);
    let rows = policies.iter().flat_map(|policy| {
        (1..)
            .zip(&policy.predicates)
            .map(move |(place, predicate)| {
                let (schema, function) = &predicate.function;
                PredicateRow {
                    policy: policy.id,
                    place,
                    table: predicate.table,
                    definition: format!(
                        "[{}].[{function}]([{}])",
                        database.schema_name(*schema),
                        predicate.columns.join("], [")
                    ),
                }
            })
    });
    Ok(rows.collect())
}

const POLICY: &[Field<Policy>] = &[
    col("name", SYSNAME, |p| text(&p.name)),
    col("object_id", SqlType::Int, |p| Value::Int(p.id)),
    opt("principal_id", SqlType::Int, |_| Value::Null),
    col("schema_id", SqlType::Int, |p| Value::Int(p.schema_id)),
    col("parent_object_id", SqlType::Int, |_| Value::Int(0)),
    opt("type", SqlType::Char(2), |_| text("SP")),
    opt("type_desc", DESCRIPTION, |_| text("SECURITY_POLICY")),
    col("is_ms_shipped", SqlType::Bit, |_| Value::Bit(false)),
    col("is_enabled", SqlType::Bit, |p| Value::Bit(p.enabled)),
    col("is_not_for_replication", SqlType::Bit, |_| {
        Value::Bit(false)
    }),
];

const PREDICATE: &[Field<PredicateRow>] = &[
    col("object_id", SqlType::Int, |p| Value::Int(p.policy)),
    col("security_predicate_id", SqlType::Int, |p| {
        Value::Int(p.place)
    }),
    col("target_object_id", SqlType::Int, |p| Value::Int(p.table)),
    opt("predicate_definition", TEXT, |p| text(&p.definition)),
    opt("predicate_type", SqlType::Int, |_| Value::Int(0)),
    opt("predicate_type_desc", DESCRIPTION, |_| text("FILTER")),
    opt("operation", SqlType::Int, |_| Value::Null),
    opt("operation_desc", DESCRIPTION, |_| Value::Null),
];

pub(super) const VIEWS: &[View] = &[
    catalog_view!("sys", "security_policies", policies, [POLICY]),
    catalog_view!("sys", "security_predicates", predicates, [PREDICATE]),
];
