//! Rows that a log of changed keys leads to: the keys of a window, each beside the row that has it now, if there is
//! one.
//!
//! A log is a sub-select, which answers the key of each changed row, in the order of the key, as `k1`, `k2` and so on,
//! and as `v` the position of its last change. What is asked of a log is the same whatever keeps it: how many keys a
//! window has ([`bounds`]), where it is cut ([`step_marks`]), and the rows ([`window`]). Only the sub-select, and what
//! bounds its positions, belong to one log.
//!
//! Change Tracking keeps the keys of a table's changes under the version of the transaction that made them
//! (documentation: "CHANGETABLE"). Its keys are those of the table's primary key.

use super::bounds::Count;
use super::read::{Locking, columns, selected_as};
use super::{Ident, Params, Statement, TableIdent, list};
use crate::schema::TableSchema;

/// Part of a log: what was changed after `lower`, and not after `upper`; without `upper` until now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Positions {
    pub lower: i64,
    pub upper: Option<i64>,
}

/// The changes of a table since a version, as a log.
fn changes(table: &TableSchema, since: &str) -> String {
    let keys = table.key_columns().zip(1..);
    let keys = keys.map(|(column, at)| format!("x.{} AS k{at}", Ident(&column.name)));
    format!(
        "SELECT {}, x.SYS_CHANGE_VERSION AS v FROM CHANGETABLE(CHANGES {}, {since}) AS x",
        list(keys, ", "),
        TableIdent(&table.name)
    )
}

fn not_above(upper: Option<i64>, params: &mut Params) -> String {
    let upper = upper.map(|upper| format!(" WHERE c.v <= {}", params.int(upper)));
    upper.unwrap_or_default()
}

/// Where the log of Change Tracking ends, and what it has since `last`. One row: `current_version`, `min_valid` (NULL
/// where the changes are not tracked, or not shown to this login), `changed_keys` (how many keys it has since `last`,
/// counted where that is valid and below the current version) and `taken_at` (seconds since 1970, UTC, of the server's
/// clock). Waits for each lock for at most `lock_timeout_ms`.
///
/// Run before anything is read: what it has up to `current_version` is committed, and every later read shows it. In a
/// snapshot version and changes are of one moment. Otherwise the version is asked for first, then the changes, and at
/// the end whether they were still all there.
pub fn bounds(
    table: &TableSchema,
    last: Option<i64>,
    count: Count,
    lock_timeout_ms: u32,
) -> Statement {
    let mut params = Params::default();
    let name = params.text(TableIdent(&table.name).to_string());
    let last = params.int_or_null(last);
    let log = changes(table, "@last");
    let (begin, end) = match count {
        Count::Snapshot => (
            "SET XACT_ABORT ON;\nSET TRANSACTION ISOLATION LEVEL SNAPSHOT;\nBEGIN TRANSACTION;\n",
            "COMMIT TRANSACTION;\nSET TRANSACTION ISOLATION LEVEL READ COMMITTED;\nSET XACT_ABORT OFF;\n",
        ),
        Count::ReadCommitted | Count::Nothing => ("", ""),
    };
    params.into_statement(format!(
        "SET LOCK_TIMEOUT {lock_timeout_ms};
DECLARE @id int = OBJECT_ID({name}), @last bigint = {last}, @current bigint, @valid bigint, @changed bigint, @at bigint;
{begin}SET @at = DATEDIFF_BIG(second, CONVERT(datetime2(0), N'1970-01-01', 121), SYSUTCDATETIME());
SET @current = CHANGE_TRACKING_CURRENT_VERSION();
SET @valid = CHANGE_TRACKING_MIN_VALID_VERSION(@id);
IF @last >= @valid AND @last < @current SELECT @changed = COUNT_BIG(*) FROM ({log}) AS c;
SET @valid = CHANGE_TRACKING_MIN_VALID_VERSION(@id);
{end}SET LOCK_TIMEOUT -1;
SELECT @current AS current_version, @valid AS min_valid, @changed AS changed_keys, @at AS taken_at;"
    ))
}

/// Where a window is cut into steps of about `rows` keys, always between different positions. One row for each step,
/// ascending, with its highest position as `mark`. Waits for each lock for at most `lock_timeout_ms`.
pub fn step_marks(
    table: &TableSchema,
    window: Positions,
    rows: u64,
    count: Count,
    lock_timeout_ms: u32,
) -> Statement {
    let mut params = Params::default();
    let rows = params.int(i64::try_from(rows).unwrap_or(i64::MAX));
    let log = changes(table, &params.int(window.lower));
    let filter = not_above(window.upper, &mut params);
    let isolation = match count {
        Count::Snapshot => "SET TRANSACTION ISOLATION LEVEL SNAPSHOT; ",
        Count::ReadCommitted | Count::Nothing => "",
    };
    params.into_statement(format!(
        "{isolation}SET LOCK_TIMEOUT {lock_timeout_ms}; \
SELECT MAX(s.v) AS mark FROM (SELECT c.v, (RANK() OVER (ORDER BY c.v) - 1) / {rows} AS step FROM ({log}) AS c{filter}) \
AS s GROUP BY s.step ORDER BY s.step OPTION (RECOMPILE);"
    ))
}

/// The keys of a window, unordered: first the columns of the key as the log has it, then those of the row that has this
/// key now, all NULL where there is none.
pub fn window(table: &TableSchema, locking: Locking, window: Positions) -> Statement {
    let mut params = Params::default();
    let log = changes(table, &params.int(window.lower));
    let filter = not_above(window.upper, &mut params);
    let keys = || table.key_columns().zip(1..);
    let logged = keys().map(|(column, at)| {
        let name = format!("k{at}");
        selected_as(column, &format!("c.{name}"), &name)
    });
    let equal = keys().map(|(column, at)| format!("t.{} = c.k{at}", Ident(&column.name)));
    params.into_statement(format!(
        "SELECT {}, {} FROM ({log}) AS c LEFT JOIN {} AS t{} ON {}{filter} OPTION (RECOMPILE);",
        list(logged, ", "),
        columns(table),
        TableIdent(&table.name),
        locking.hint(),
        list(equal, " AND "),
    ))
}
