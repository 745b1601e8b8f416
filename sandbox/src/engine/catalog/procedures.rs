//! Results of the system procedures that report what the catalog knows.

use super::*;
use crate::engine::fault::error;
use crate::engine::meta::PRODUCT_VERSION;
use crate::sql::ast::Ident;

/// The columns of a result, all of which may be NULL.
fn nullable(columns: &[(&'static str, SqlType)], collate: &Arc<Collate>) -> Vec<OutColumn> {
    let shapes = columns.iter().map(|(name, ty)| ColumnShape {
        name,
        ty: ty.clone(),
        nullable: true,
    });
    out_columns(shapes.collect(), collate)
}

/// `sp_tablecollations_100`: one row per column, in order.
pub fn table_collations(cx: &mut Cx<'_>, table: &str) -> Outcome<(Vec<OutColumn>, Vec<Tuple>)> {
    let parts = crate::engine::meta::split_name(table);
    let wanted = ObjectName {
        parts: parts.into_iter().map(Ident::new).collect(),
        line: 0,
    };
    let at = crate::engine::bind::resolve(cx, &wanted, cx.ses.database)?
        .ok_or_else(|| error(208, 16, format!("Invalid object name '{table}'.")))?;
    let def = cx.held.table(at)?.def.clone();
    let collate = cx.held.database(0).collate.clone();
    let columns = nullable(
        &[
            ("colid", SqlType::Int),
            ("name", SYSNAME),
            ("tds_collation", SID),
            ("collation", SYSNAME),
        ],
        &collate,
    );
    let rows = def
        .columns
        .iter()
        .map(|column| {
            let own = column.collate.as_ref();
            let tds = own.map_or(Value::Null, |collate| {
                Value::Bytes(collate.info.wire().as_slice().into())
            });
            vec![
                Value::Int(column.id),
                text(&column.name),
                tds,
                text_or_null(own.map(|collate| &*collate.name.0)),
            ]
        })
        .collect();
    Ok((columns, rows))
}

/// `sp_describe_first_result_set`, its first columns.
pub fn described(found: &[OutColumn]) -> (Vec<OutColumn>, Vec<Tuple>) {
    let columns = nullable(
        &[
            ("is_hidden", SqlType::Bit),
            ("column_ordinal", SqlType::Int),
            ("name", SYSNAME),
            ("is_nullable", SqlType::Bit),
            ("system_type_id", SqlType::Int),
            ("system_type_name", SYSNAME),
            ("max_length", SqlType::SmallInt),
            ("precision", SqlType::TinyInt),
            ("scale", SqlType::TinyInt),
            ("collation_name", SYSNAME),
        ],
        &Collate::server(),
    );
    let rows = found
        .iter()
        .zip(1..)
        .map(|(column, ordinal)| {
            let (precision, scale) = sql_types::precision_scale(&column.ty);
            vec![
                Value::Bit(false),
                Value::Int(ordinal),
                text_or_null((!column.name.is_empty()).then_some(column.name.as_str())),
                Value::Bit(column.nullable),
                Value::Int(i32::from(sql_types::system_type_id(&column.ty))),
                text(&sql_types::display(&column.ty)),
                Value::SmallInt(sql_types::max_length(&column.ty)),
                Value::TinyInt(precision),
                Value::TinyInt(scale),
                text_or_null(column.collate.as_ref().map(|collate| &*collate.name.0)),
            ]
        })
        .collect();
    (columns, rows)
}

/// `sp_who`
pub fn who(cx: &mut Cx<'_>) -> Outcome<(Vec<OutColumn>, Vec<Tuple>)> {
    let columns = nullable(
        &[
            ("spid", SqlType::SmallInt),
            ("status", SYSNAME),
            ("loginame", SYSNAME),
            ("hostname", SYSNAME),
            ("blk", SYSNAME),
            ("dbname", SYSNAME),
        ],
        &Collate::server(),
    );
    let rows = cx
        .held
        .sessions
        .iter()
        .map(|(id, info)| {
            let blocker = cx
                .held
                .locks
                .waiting
                .get(id)
                .and_then(|waiting| waiting.blocked.blockers.first().copied())
                .unwrap_or(0);
            vec![
                Value::SmallInt(*id as i16),
                text(if blocker > 0 { "suspended" } else { "sleeping" }),
                text(&info.login),
                text(&info.host),
                text(&blocker.to_string()),
                text(&cx.held.database(info.database).name),
            ]
        })
        .collect();
    Ok((columns, rows))
}

/// `xp_msver`
pub fn version_rows() -> (Vec<OutColumn>, Vec<Tuple>) {
    let columns = nullable(
        &[
            ("Index", SqlType::SmallInt),
            ("Name", SYSNAME),
            ("Internal_Value", SqlType::Int),
            ("Character_Value", SYSNAME),
        ],
        &Collate::server(),
    );
    let rows = vec![
        vec![
            Value::SmallInt(1),
            text("ProductName"),
            Value::Null,
            text("Microsoft SQL Server"),
        ],
        vec![
            Value::SmallInt(2),
            text("ProductVersion"),
            Value::Int(1_048_576),
            text(PRODUCT_VERSION),
        ],
    ];
    (columns, rows)
}
