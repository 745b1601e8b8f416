//! The rows of a table: all of them, a window, a page of a window. Never NOLOCK or READPAST.

use super::bounds::Count;
use super::{Ident, Params, Statement, TableIdent, list, shown, typed, variant};
use crate::schema::mapping::{SelectExpression, select_expression};
use crate::schema::{Column, SqlType, TableSchema};

/// How a read keeps other writers out, or need not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Locking {
    /// Row versions (or the level's own locks) suffice.
    None,
    /// A shared lock on the whole table to the end of the transaction.
    Table,
}

impl Locking {
    fn hint(self) -> &'static str {
        match self {
            Locking::None => "",
            Locking::Table => " WITH (TABLOCK, HOLDLOCK)",
        }
    }
}

/// Which end of a window belongs to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closed {
    /// `[lower, upper)`
    Below,
    /// `(lower, upper]`
    Above,
}

impl Closed {
    /// The operator before the upper bound.
    fn end(self) -> &'static str {
        match self {
            Closed::Below => "<",
            Closed::Above => "<=",
        }
    }
}

/// Where a read of a whole table ends.
#[derive(Debug, Clone, Copy)]
pub struct Until<'a> {
    /// Position in [`TableSchema::columns`].
    pub column: usize,
    pub upper: Option<&'a str>,
    pub closed: Closed,
}

/// Part of a column's order, as text of [`crate::change::Watermark`].
#[derive(Debug, Clone, Copy)]
pub struct Range<'a> {
    /// Position in [`TableSchema::columns`].
    pub column: usize,
    pub lower: &'a str,
    pub upper: &'a str,
    pub closed: Closed,
}

/// The last row of a page, as text that the column's type reads back: where the next page starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageCursor {
    pub watermark: String,
    /// In key order.
    pub key: Vec<Option<String>>,
}

/// All rows, in whatever order the server finds cheapest: an ORDER BY would sort a wide table in tempdb.
pub fn all(table: &TableSchema, locking: Locking) -> Statement {
    Statement::plain(format!(
        "SELECT {} FROM {} AS t{};",
        columns(table),
        TableIdent(&table.name),
        locking.hint()
    ))
}

/// The rows up to a bound and those without a watermark, unordered: everything that no later window will show.
/// Without an upper bound no row had a watermark when it was asked for.
pub fn all_until(table: &TableSchema, locking: Locking, until: &Until<'_>) -> Statement {
    let mut params = Params::default();
    let column = &table.columns[until.column];
    let name = qualified(column);
    let below = until.upper.map(|upper| {
        let upper = typed(column, &params.text(upper));
        format!("{name} {} {upper} OR ", until.closed.end())
    });
    params.into_statement(format!(
        "SELECT {} FROM {} AS t{} WHERE {}{name} IS NULL OPTION (RECOMPILE);",
        columns(table),
        TableIdent(&table.name),
        locking.hint(),
        below.unwrap_or_default()
    ))
}

/// The rows of a window in one stream, unordered.
pub fn window(table: &TableSchema, locking: Locking, range: &Range<'_>) -> Statement {
    let mut params = Params::default();
    let filter = window_filter(table, range, &mut params);
    params.into_statement(format!(
        "SELECT {} FROM {} AS t{} WHERE {filter} OPTION (RECOMPILE);",
        columns(table),
        TableIdent(&table.name),
        locking.hint()
    ))
}

/// Where a window is cut into steps of about `rows` rows, always between different values of its column. One row for
/// each step, ascending: `mark` is its lowest value where windows end below their bound, else its highest, as text that
/// the column's type reads back exactly. Waits for each lock for at most `lock_timeout_ms`.
pub fn step_marks(
    table: &TableSchema,
    range: &Range<'_>,
    rows: u64,
    count: Count,
    lock_timeout_ms: u32,
) -> Statement {
    let mut params = Params::default();
    let rows = params.int(i64::try_from(rows).unwrap_or(i64::MAX));
    let filter = window_filter(table, range, &mut params);
    let column = &table.columns[range.column];
    let edge = match range.closed {
        Closed::Below => "MIN(s.mark)",
        Closed::Above => "MAX(s.mark)",
    };
    let isolation = match count {
        Count::Snapshot => "SET TRANSACTION ISOLATION LEVEL SNAPSHOT; ",
        Count::ReadCommitted | Count::Nothing => "",
    };
    params.into_statement(format!(
        "{isolation}SET LOCK_TIMEOUT {lock_timeout_ms}; \
SELECT {mark} AS mark FROM (SELECT {name} AS mark, (RANK() OVER (ORDER BY {name}) - 1) / {rows} AS step FROM {table} \
AS t WHERE {filter}) AS s GROUP BY s.step ORDER BY s.step OPTION (RECOMPILE);",
        mark = shown(column.ty, edge),
        name = qualified(column),
        table = TableIdent(&table.name),
    ))
}

/// The first `rows` rows of a window by watermark and key.
pub fn first_page(
    table: &TableSchema,
    locking: Locking,
    range: &Range<'_>,
    rows: u64,
) -> Statement {
    let mut params = Params::default();
    let top = params.int(i64::try_from(rows).unwrap_or(i64::MAX));
    let filter = window_filter(table, range, &mut params);
    page(table, locking, range, &top, &filter, params)
}

/// The next `rows` rows after `cursor`. Rows with equal watermarks are told apart by the key, so that a page may
/// end between them.
pub fn next_page(
    table: &TableSchema,
    locking: Locking,
    range: &Range<'_>,
    rows: u64,
    cursor: &PageCursor,
) -> Statement {
    let mut params = Params::default();
    let top = params.int(i64::try_from(rows).unwrap_or(i64::MAX));
    let column = &table.columns[range.column];
    let name = qualified(column);
    let upper = typed(column, &params.text(range.upper));
    let mark = typed(column, &params.text(&cursor.watermark));
    let end = range.closed.end();
    let keys: Vec<(&Column, Option<String>)> = table
        .key_columns()
        .zip(&cursor.key)
        .map(|(column, text)| {
            let value = text
                .as_ref()
                .map(|text| typed(column, &params.text(text.as_str())));
            (column, value)
        })
        .collect();
    let after = after_key(&keys);
    let filter = format!(
        "{name} >= {mark} AND ({name} > {mark} OR ({name} = {mark} AND ({after}))) AND {name} {end} {upper}"
    );
    page(table, locking, range, &top, &filter, params)
}

fn page(
    table: &TableSchema,
    locking: Locking,
    range: &Range<'_>,
    top: &str,
    filter: &str,
    params: Params,
) -> Statement {
    let mut order = vec![qualified(&table.columns[range.column])];
    for column in table.key_columns() {
        let name = qualified(column);
        if !order.contains(&name) {
            order.push(name);
        }
    }
    params.into_statement(format!(
        "SELECT TOP ({top}) {} FROM {} AS t{} WHERE {filter} ORDER BY {} OPTION (RECOMPILE);",
        columns(table),
        TableIdent(&table.name),
        locking.hint(),
        order.join(", ")
    ))
}

fn window_filter(table: &TableSchema, range: &Range<'_>, params: &mut Params) -> String {
    let column = &table.columns[range.column];
    let name = qualified(column);
    let lower = typed(column, &params.text(range.lower));
    let upper = typed(column, &params.text(range.upper));
    match range.closed {
        Closed::Below => format!("{name} >= {lower} AND {name} < {upper}"),
        Closed::Above => format!("{name} > {lower} AND {name} <= {upper}"),
    }
}

/// `(k1, k2, ..) > (v1, v2, ..)` written out, since T-SQL has no row comparison. NULL sorts first.
fn after_key(keys: &[(&Column, Option<String>)]) -> String {
    let Some(((column, value), rest)) = keys.split_first() else {
        return "1 = 0".to_owned();
    };
    let name = qualified(column);
    let (greater, equal) = match value {
        Some(value) => (format!("{name} > {value}"), format!("{name} = {value}")),
        None => (format!("{name} IS NOT NULL"), format!("{name} IS NULL")),
    };
    if rest.is_empty() {
        greater
    } else {
        format!("{greater} OR ({equal} AND ({}))", after_key(rest))
    }
}

pub(super) fn columns(table: &TableSchema) -> String {
    list(table.columns.iter().map(selected), ", ")
}

/// The column itself. Without the table's alias, ORDER BY would mean the select list's converted value of the same
/// name, whose order is another than the filter's under the older SQL collations: pages would overlap or leave
/// gaps.
fn qualified(column: &Column) -> String {
    format!("t.{}", Ident(&column.name))
}

/// A column in a select list, under its own name.
fn selected(column: &Column) -> String {
    let value = qualified(column);
    let name = Ident(&column.name);
    match select_expression(column) {
        SelectExpression::AsIs => value,
        SelectExpression::ConvertNVarChar(length) => {
            format!("CONVERT(nvarchar({length}), {value}) AS {name}")
        }
        SelectExpression::ConvertNVarCharMax => {
            format!("CONVERT(nvarchar(max), {value}) AS {name}")
        }
        SelectExpression::ConvertVarBinaryMax => {
            format!("CONVERT(varbinary(max), {value}) AS {name}")
        }
        SelectExpression::TypedText => format!("{} AS {name}", variant::read(&value)),
    }
}

/// The rows whose `column` is in `[lower, upper)`, unordered; an end that is missing is open.
pub fn key_range(
    table: &TableSchema,
    locking: Locking,
    column: usize,
    lower: Option<&str>,
    upper: Option<&str>,
) -> Statement {
    let mut params = Params::default();
    let column = &table.columns[column];
    let name = qualified(column);
    let mut end = |operator: &str, text: Option<&str>| {
        text.map(|text| format!("{name} {operator} {}", typed(column, &params.text(text))))
    };
    let filter: Vec<String> = [end(">=", lower), end("<", upper)]
        .into_iter()
        .flatten()
        .collect();
    let filter = if filter.is_empty() {
        String::new()
    } else {
        format!(" WHERE {}", filter.join(" AND "))
    };
    params.into_statement(format!(
        "SELECT {} FROM {} AS t{}{filter} OPTION (RECOMPILE);",
        columns(table),
        TableIdent(&table.name),
        locking.hint()
    ))
}

/// What the optimizer knows of a column's values, ascending: a row for each step of the histogram with `high` (text
/// that the column's type reads back exactly, NULL for the step of NULLs) and `row_count` (of the step). No rows
/// without statistics, or where the login may not see them.
pub fn histogram(table: &TableSchema, column: usize) -> Statement {
    let mut params = Params::default();
    let column = &table.columns[column];
    let name = params.text(TableIdent(&table.name).to_string());
    let id = params.int(i64::from(column.id));
    // A sql_variant becomes a varchar of the database's code page, which may lack the column's characters.
    let high = match column.ty.is_code_page_text() {
        true => "CONVERT(nvarchar(4000), h.range_high_key)".to_owned(),
        false => exact_text(
            column.ty,
            &format!("CONVERT({}, h.range_high_key)", column.ty),
        ),
    };
    params.into_statement(format!(
        "SELECT {high} AS high, CONVERT(bigint, h.range_rows + h.equal_rows) AS row_count \
FROM (SELECT TOP (1) s.object_id, s.stats_id FROM sys.stats AS s JOIN sys.stats_columns AS c ON c.object_id = \
s.object_id AND c.stats_id = s.stats_id \
WHERE s.object_id = OBJECT_ID({name}) AND s.has_filter = 0 AND c.stats_column_id = 1 AND c.column_id = {id} ORDER BY \
s.stats_id) AS s \
CROSS APPLY sys.dm_db_stats_histogram(s.object_id, s.stats_id) AS h ORDER BY h.step_number;"
    ))
}

/// The lowest and highest value of an indexed column of whole numbers (one row, `low` and `high`; NULL when the
/// table is empty).
pub fn extremes(table: &TableSchema, column: usize) -> Statement {
    let column = Ident(&table.columns[column].name);
    Statement::plain(format!(
        "SELECT CONVERT(bigint, MIN({column})) AS low, CONVERT(bigint, MAX({column})) AS high FROM {};",
        TableIdent(&table.name)
    ))
}

/// Keeps writers out of a table for a moment, so that several snapshots can be opened on one state; waits for
/// writers for at most `lock_timeout_ms`. Ended by [`end_transaction`].
pub fn fence(table: &TableSchema, lock_timeout_ms: u32) -> Statement {
    Statement::plain(format!(
        "SET LOCK_TIMEOUT {lock_timeout_ms}; BEGIN TRANSACTION; DECLARE @seen int; \
SELECT @seen = COUNT(*) FROM (SELECT TOP (1) 1 AS one FROM {} WITH (TABLOCK, HOLDLOCK)) AS t;",
        TableIdent(&table.name)
    ))
}

/// Fixes the state that a snapshot transaction sees: it is that of its first read. Waits for at most `look_timeout_ms`
/// (then error 1222), and what follows for at most `lock_timeout_ms`.
pub fn first_look(table: &TableSchema, look_timeout_ms: u32, lock_timeout_ms: u32) -> Statement {
    Statement::plain(format!(
        "SET LOCK_TIMEOUT {look_timeout_ms}; DECLARE @seen int; \
SELECT @seen = COUNT(*) FROM (SELECT TOP (1) 1 AS one FROM {}) AS t; SET LOCK_TIMEOUT {lock_timeout_ms};",
        TableIdent(&table.name)
    ))
}

/// A value of a type that [can be cut](crate::schema::types::TypeFacts::can_be_cut) as text without loss.
fn exact_text(ty: SqlType, value: &str) -> String {
    let facts = ty.facts();
    match facts.text_style {
        Some(1) => format!("CONVERT(nvarchar(max), {value}, 1)"),
        None if facts.characters.is_some() => format!("CONVERT(nvarchar(4000), {value})"),
        Some(_) | None => shown(ty, value),
    }
}

/// Two rows with the same key, if there are any (one row: the key's columns and how many). Reads the whole table, and
/// waits for each lock for at most `lock_timeout_ms`.
pub fn duplicate_key(table: &TableSchema, lock_timeout_ms: u32) -> Statement {
    let keys = list(
        table.key_columns().map(|c| Ident(&c.name).to_string()),
        ", ",
    );
    let text = list(
        table
            .key_columns()
            .map(|c| format!("CONVERT(nvarchar(100), {})", Ident(&c.name))),
        ", N', ', ",
    );
    Statement::plain(format!(
        "SET LOCK_TIMEOUT {lock_timeout_ms}; \
SELECT TOP (1) CONCAT(N'', {text}) AS example, COUNT_BIG(*) AS row_count FROM {} GROUP BY {keys} HAVING \
            COUNT_BIG(*) > 1; SET LOCK_TIMEOUT -1;",
        TableIdent(&table.name)
    ))
}

/// Begins a transaction that sees one state of the database throughout; waits for a table whose definition is being
/// changed for at most `lock_timeout_ms`.
pub fn begin_snapshot(lock_timeout_ms: u32) -> Statement {
    Statement::plain(format!(
        "SET TRANSACTION ISOLATION LEVEL SNAPSHOT; SET LOCK_TIMEOUT {lock_timeout_ms}; BEGIN TRANSACTION;"
    ))
}

/// Each statement sees what was committed when it began (with row versions), or waits for writers for at most
/// `lock_timeout_ms`.
pub fn begin_read_committed(lock_timeout_ms: u32) -> Statement {
    Statement::plain(format!(
        "SET TRANSACTION ISOLATION LEVEL READ COMMITTED; SET LOCK_TIMEOUT {lock_timeout_ms};"
    ))
}

/// Begins a transaction whose reads lock the table; waits for writers for at most `lock_timeout_ms`.
pub fn begin_table_lock(lock_timeout_ms: u32) -> Statement {
    Statement::plain(format!(
        "SET TRANSACTION ISOLATION LEVEL READ COMMITTED; SET LOCK_TIMEOUT {lock_timeout_ms}; BEGIN TRANSACTION;"
    ))
}

/// Ends what [`begin_snapshot`] or [`begin_table_lock`] began, and leaves the session as it was.
pub fn end_transaction() -> Statement {
    Statement::plain(
        "COMMIT TRANSACTION; SET TRANSACTION ISOLATION LEVEL READ COMMITTED; SET LOCK_TIMEOUT -1;",
    )
}

/// Leaves the session as it was after [`begin_read_committed`].
pub fn end_read_committed() -> Statement {
    Statement::plain("SET LOCK_TIMEOUT -1;")
}
