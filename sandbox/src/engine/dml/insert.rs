//! INSERT.

use super::output::Images;
use super::{Output, Writer, fire, target_table};
use crate::engine::bind::{Binder, OutColumn};
use crate::engine::context::Cx;
use crate::engine::expr::Expr;
use crate::engine::fault::{Outcome, error, invalid_column};
use crate::engine::schema::{Column, ObjectRef, Row, TableDef};
use crate::engine::temporal::{self, Verb};
use crate::engine::{flow, permissions, types};
use crate::sql::ast::{self, InsertSource, TriggerEvent, ValueOrDefault};
use crate::value::{SqlType, Value};
use std::sync::Arc;

/// Runs the statement; the count of rows and whether OUTPUT sent a result.
pub fn insert(cx: &mut Cx<'_>, statement: &ast::Insert) -> Outcome<(u64, bool)> {
    let executed = match &statement.source {
        InsertSource::Execute(execute) if !cx.compiling => {
            Some(flow::collect_execute(cx, execute)?)
        }
        InsertSource::Execute(_)
        | InsertSource::Values(_)
        | InsertSource::Query(_)
        | InsertSource::DefaultValues => None,
    };
    let (at, reading) = target_table(cx, &statement.target)?;
    permissions::check(cx, at, "INSERT")?;
    temporal::refuse_history(cx, at, Verb::Insert)?;
    let writer = Writer::open_in(cx, at, reading, statement.context.as_ref())?;
    let ordinals = columns(cx, &writer, &statement.columns, at)?;
    let output = Output::bind(
        cx,
        statement.output.as_ref(),
        at,
        Images {
            deleted: false,
            inserted: true,
            merge: false,
            source: None,
        },
    )?;
    let rows: Vec<Vec<Option<Value>>> = match (&statement.source, executed) {
        (_, Some((columns, rows))) => {
            let tys: Vec<SqlType> = columns.iter().map(|column| column.ty.clone()).collect();
            place(cx, &writer, &ordinals, &tys, rows)?
        }
        (InsertSource::DefaultValues, None) => vec![vec![None; writer.def.columns.len()]],
        (InsertSource::Values(rows), None) => values(cx, &writer, &ordinals, rows)?,
        (InsertSource::Query(query), None) => from_query(cx, &writer, &ordinals, statement, query)?,
        (InsertSource::Execute(_), None) => Vec::new(),
    };
    if cx.compiling {
        return Ok((0, false));
    }
    store_rows(cx, &writer, rows, output)
}

/// Inserts finished rows of a bulk load or an OUTPUT.
pub fn insert_rows(
    cx: &mut Cx<'_>,
    writer: &Writer,
    rows: Vec<Vec<Option<Value>>>,
) -> Outcome<Vec<Row>> {
    let mut inserted = Vec::with_capacity(rows.len());
    for given in rows {
        let row = writer.complete(cx, given)?;
        writer.check(cx, &row, "INSERT")?;
        let row: Row = Arc::from(row);
        if writer.place(cx, row.clone())? {
            inserted.push(row);
        }
    }
    for row in &inserted {
        writer.find_parents(cx, row)?;
    }
    Ok(inserted)
}

fn store_rows(
    cx: &mut Cx<'_>,
    writer: &Writer,
    rows: Vec<Vec<Option<Value>>>,
    mut output: Option<Output>,
) -> Outcome<(u64, bool)> {
    let inserted = insert_rows(cx, writer, rows)?;
    if let Some(output) = &mut output {
        for row in &inserted {
            output.add(cx, None, Some(row), &[], None)?;
        }
    }
    let count = inserted.len() as u64;
    fire(
        cx,
        writer.at,
        TriggerEvent::Insert,
        inserted,
        Vec::new(),
        (0..writer.def.columns.len()).collect(),
    )?;
    let sent = match output {
        Some(output) => output.finish(cx)?,
        None => false,
    };
    Ok((count, sent))
}

/// The columns that get values, with the rules on identity, computed and rowversion columns.
pub fn columns(
    cx: &Cx<'_>,
    writer: &Writer,
    names: &[ast::Ident],
    at: ObjectRef,
) -> Outcome<Vec<usize>> {
    let identity_insert = cx.ses.settings.identity_insert == Some(at);
    let def = &writer.def;
    if names.is_empty() {
        if identity_insert && def.identity().is_some() {
            return Err(error(
                8101,
                16,
                format!(
                    "An explicit value for the identity column in table '{}' can only be \
                specified when a column list is used and IDENTITY_INSERT is ON.",
                    def.name
                ),
            )
            .into());
        }
        let writable = def
            .columns
            .iter()
            .enumerate()
            .filter(|(_, column)| column.identity.is_none() && column.computed.is_none())
            .filter(|(_, column)| !column.hidden);
        return Ok(writable.map(|(at, _)| at).collect());
    }
    let mut out: Vec<usize> = Vec::with_capacity(names.len());
    for name in names {
        let ordinal = def
            .column(&name.text)
            .ok_or_else(|| invalid_column(&name.text))?;
        if out.contains(&ordinal) {
            return Err(error(264, 16, format!("The column name '{}' is specified more than once in the SET clause or \
                column list of an INSERT. A column cannot be assigned more than one value in the same \
                clause.", name.text)).into());
        }
        check_given(def, &def.columns[ordinal], identity_insert)?;
        out.push(ordinal);
    }
    if identity_insert
        && def
            .identity()
            .is_some_and(|identity| !out.contains(&identity))
    {
        return Err(error(545, 16, format!("Explicit value must be specified for identity column in table '{}' either \
            when IDENTITY_INSERT is set to ON or when a replication user is inserting into a NOT FOR REPLICATION \
            identity column.", def.name)).into());
    }
    Ok(out)
}

/// Refuses a value for a column that the server fills.
fn check_given(def: &TableDef, column: &Column, identity_insert: bool) -> Outcome<()> {
    if column.identity.is_some() && !identity_insert {
        return Err(error(
            544,
            16,
            format!(
                "Cannot insert explicit value for identity column in table '{}' when \
                IDENTITY_INSERT is set to OFF.",
                def.name
            ),
        )
        .into());
    }
    if column.computed.is_some() {
        return Err(error(
            271,
            16,
            format!(
                "The column \"{}\" cannot be modified because it is either a computed \
                column or is the result of a UNION operator.",
                column.name
            ),
        )
        .into());
    }
    Ok(())
}

pub fn rowversion_given() -> crate::session::SqlError {
    error(
        273,
        16,
        "Cannot insert an explicit value into a timestamp column. Use INSERT with a column list to exclude the \
            timestamp column, or insert a DEFAULT into the timestamp column.",
    )
}

/// Error 13536 for a value of a period's column.
pub fn refuse_generated(def: &TableDef, at: usize) -> Outcome<()> {
    match def.columns[at].generated {
        Some(_) => Err(temporal::given(def).into()),
        None => Ok(()),
    }
}

fn mismatch(more_columns: bool) -> crate::session::SqlError {
    let (number, word) = if more_columns {
        (109, "more")
    } else {
        (110, "fewer")
    };
    error(
        number,
        15,
        format!(
            "There are {word} columns in the INSERT statement than values specified in the VALUES clause. The number \
                of values in the VALUES clause must match the number of columns specified in the INSERT statement."
        ),
    )
}

/// Rows of VALUES in one INSERT. (Documentation: "Table value constructor".)
const ROWS_MAX: usize = 1000;

fn values(
    cx: &mut Cx<'_>,
    writer: &Writer,
    ordinals: &[usize],
    rows: &[Vec<ValueOrDefault>],
) -> Outcome<Vec<Vec<Option<Value>>>> {
    if rows.len() > ROWS_MAX {
        return Err(error(
            10738,
            15,
            format!(
                "The number of row value expressions in the INSERT statement exceeds the maximum allowed number of \
                    {ROWS_MAX} row values."
            ),
        )
        .into());
    }
    let mut bound: Vec<Vec<Option<Expr>>> = Vec::with_capacity(rows.len());
    {
        let mut binder = Binder::new(cx);
        for row in rows {
            let mut exprs = Vec::with_capacity(row.len());
            for value in row {
                exprs.push(match value {
                    ValueOrDefault::Value(expr) => Some(binder.expr(expr)?),
                    ValueOrDefault::Default => None,
                });
            }
            bound.push(exprs);
        }
        // Several rows are one table: each column has one type.
        if bound.len() > 1 {
            for at in 0..ordinals.len() {
                let all: Vec<&Expr> = bound
                    .iter()
                    .filter_map(|row| row.get(at).and_then(Option::as_ref))
                    .collect();
                let (ty, _, _) = binder.unify(&all)?;
                for row in &mut bound {
                    if let Some(Some(expr)) = row.get_mut(at) {
                        *expr = crate::engine::bind::cast(expr.clone(), &ty);
                    }
                }
            }
        }
    }
    let mut out = Vec::with_capacity(rows.len());
    if cx.compiling {
        return Ok(out);
    }
    for row in &bound {
        if row.len() != ordinals.len() {
            return Err(mismatch(row.len() < ordinals.len()).into());
        }
        let mut given = vec![None; writer.def.columns.len()];
        for (at, expr) in ordinals.iter().zip(row) {
            let Some(expr) = expr else {
                continue;
            };
            if writer.def.columns[*at].ty == SqlType::RowVersion {
                return Err(rowversion_given().into());
            }
            refuse_generated(&writer.def, *at)?;
            let value = expr.eval(&[], cx)?;
            given[*at] = Some(writer.store(cx, *at, &value, &expr.ty)?);
        }
        out.push(given);
    }
    Ok(out)
}

fn from_query(
    cx: &mut Cx<'_>,
    writer: &Writer,
    ordinals: &[usize],
    statement: &ast::Insert,
    query: &ast::Query,
) -> Outcome<Vec<Vec<Option<Value>>>> {
    let (bound, top) = {
        let mut binder = Binder::new(cx);
        binder.add_ctes(&statement.ctes);
        let bound = binder.query(query)?;
        let top = statement
            .top
            .as_ref()
            .map(|top| binder.expr(&top.count).map(|expr| (expr, top.percent)))
            .transpose()?;
        (bound, top)
    };
    let tys: Vec<SqlType> = bound
        .columns
        .iter()
        .map(|column| column.ty.clone())
        .collect();
    if cx.compiling {
        return Ok(Vec::new());
    }
    let mut rows = bound.plan.collect(cx)?;
    if let Some((count, percent)) = top {
        limit(cx, &mut rows, &count, percent)?;
    }
    place(cx, writer, ordinals, &tys, rows)
}

/// Cuts rows to a DML statement's TOP.
pub fn limit<T>(cx: &mut Cx<'_>, rows: &mut Vec<T>, count: &Expr, percent: bool) -> Outcome<()> {
    let value = count.eval(&[], cx)?;
    let keep = if percent {
        (rows.len() as f64 * crate::engine::convert::as_float(&value).unwrap_or(0.0) / 100.0).ceil()
            as usize
    } else {
        let number = types::integer(&value).and_then(|n| usize::try_from(n).ok());
        number.ok_or_else(|| {
            error(
                1060,
                15,
                "The number of rows provided for a TOP or FETCH clauses row count \
            parameter must be an integer.",
            )
        })?
    };
    rows.truncate(keep);
    Ok(())
}

fn place(
    cx: &mut Cx<'_>,
    writer: &Writer,
    ordinals: &[usize],
    tys: &[SqlType],
    rows: Vec<Vec<Value>>,
) -> Outcome<Vec<Vec<Option<Value>>>> {
    if tys.len() != ordinals.len() {
        let text = if tys.len() < ordinals.len() {
            (
                120,
                "The select list for the INSERT statement contains fewer items than the insert list. The number of \
                    SELECT values must match the number of INSERT columns.",
            )
        } else {
            (
                121,
                "The select list for the INSERT statement contains more items than the insert list. The number of \
                    SELECT values must match the number of INSERT columns.",
            )
        };
        return Err(error(text.0, 15, text.1).into());
    }
    if ordinals
        .iter()
        .any(|at| writer.def.columns[*at].ty == SqlType::RowVersion)
    {
        return Err(rowversion_given().into());
    }
    ordinals
        .iter()
        .try_for_each(|at| refuse_generated(&writer.def, *at))?;
    let width = writer.def.columns.len();
    let mut out = Vec::with_capacity(rows.len());
    for row in rows {
        let mut given = vec![None; width];
        for ((at, value), ty) in ordinals.iter().zip(&row).zip(tys) {
            given[*at] = Some(writer.store(cx, *at, value, ty)?);
        }
        out.push(given);
    }
    Ok(out)
}

/// SELECT .. INTO: the columns of the new table are the query's.
pub fn into_columns(columns: &[OutColumn]) -> Outcome<()> {
    for (at, column) in columns.iter().enumerate() {
        if column.name.is_empty() {
            return Err(error(
                1038,
                15,
                "An object or column name is missing or empty. For SELECT INTO statements, \
                verify each column has a name.",
            )
            .into());
        }
        if columns[..at]
            .iter()
            .any(|other| crate::engine::schema::same_name(&other.name, &column.name))
        {
            return Err(error(
                2705,
                16,
                format!(
                    "Column names in each table must be unique. Column name '{}' is \
                specified more than once.",
                    column.name
                ),
            )
            .into());
        }
    }
    Ok(())
}
