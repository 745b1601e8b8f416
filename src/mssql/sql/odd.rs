//! Rows with an odd watermark, by their keys.

use super::bounds::Count;
use super::{Ident, Params, Statement, TableIdent, list, shown, typed};
use crate::schema::TableSchema;

/// The keys of at most `rows` rows without a value in a column, and in a second row set of rows with one beyond
/// `future`: `row_key`. Waits for each lock for at most `lock_timeout_ms`.
pub fn odd_rows(
    table: &TableSchema,
    (column, future): (usize, &str),
    rows: usize,
    count: Count,
    lock_timeout_ms: u32,
) -> Statement {
    let mut params = Params::default();
    let column = &table.columns[column];
    let rows = params.int(i64::try_from(rows).unwrap_or(i64::MAX));
    let future = typed(column, &params.text(future));
    let key = table
        .key_columns()
        .map(|column| shown(column.ty, &Ident(&column.name).to_string()));
    let key = list(key, ", N', ', ");
    let isolation = match count {
        Count::Snapshot => "SET TRANSACTION ISOLATION LEVEL SNAPSHOT; ",
        Count::ReadCommitted | Count::Nothing => "",
    };
    let select = format!(
        "SELECT TOP ({rows}) CONCAT(N'', {key}) AS row_key FROM {}",
        TableIdent(&table.name)
    );
    let name = Ident(&column.name);
    params.into_statement(format!(
        "{isolation}SET LOCK_TIMEOUT {lock_timeout_ms};
{select} WHERE {name} IS NULL OPTION (RECOMPILE);
{select} WHERE {name} > {future} OPTION (RECOMPILE);"
    ))
}
