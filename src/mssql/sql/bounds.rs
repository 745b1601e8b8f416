//! How far a window may reach. Every bound is taken before the first row is read.

use super::{Ident, Params, Statement, TableIdent, typed};
use crate::schema::{Column, SqlType, TableName};

/// Which clock wrote a timestamp that does not carry its offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerClock {
    /// The earlier of local time and UTC.
    Earlier,
    Utc,
    Local,
}

/// What is counted with a timestamp's bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Count {
    Nothing,
    /// NULL and future values, read as the session's default isolation reads.
    ReadCommitted,
    /// The same in a snapshot.
    Snapshot,
}

/// Input of [`timestamp`].
#[derive(Debug, Clone, Copy)]
pub struct TimestampBounds<'a> {
    pub table: &'a TableName,
    pub column: &'a Column,
    pub clock: ServerClock,
    /// How far the upper bound stays behind now.
    pub lag_ms: i64,
    /// How far the lower bound lies before the last upper bound.
    pub overlap_ms: i64,
    /// The last upper bound, in style 121.
    pub last: Option<&'a str>,
    pub count: Count,
    /// The login may see the transactions of others.
    pub sees_transactions: bool,
}

/// The lowest row version that an open transaction may still write. Run in autocommit, before the reading transaction:
/// read later it would pass over what was committed in between. One row: `hi`, `counter` (the last version that was
/// drawn), and of the oldest open transaction that has written to the database `open_ms`, `session_id`, `program` and
/// `is_idle`, if a transaction holds `hi` back and the login may see it.
pub fn rowversion(sees_transactions: bool) -> Statement {
    Statement::plain(format!(
        "DECLARE @hi binary(8) = MIN_ACTIVE_ROWVERSION(), @counter binary(8) = @@DBTS, @sees int = {sees}, @local \
            datetime2(7) = SYSDATETIME(){OPEN};
IF @hi > @counter SET @sees = 0;
{oldest}
SELECT CONVERT(nvarchar(18), @hi, 1) AS hi, CONVERT(nvarchar(18), @counter, 1) AS counter, @open AS open_ms, @session \
AS session_id, @program AS program, @idle AS is_idle;",
        sees = i32::from(sees_transactions),
        oldest = oldest_open(),
    ))
}

/// The variables that [`oldest_open`] sets.
const OPEN: &str = ", @open bigint, @session int, @program nvarchar(128), @idle int, @here int";

/// Where `@sees` is 1, finds the oldest open transaction that has written to the database. A login that may not see it
/// after all, as in the smaller tiers of Azure SQL Database, finds none, and `@sees` becomes 0. There the number of a
/// database may differ between `DB_ID()` and `sys.databases`.
///
/// SQL Server keeps in local time when a transaction began, and local time goes back an hour in autumn. A begin in the
/// future, by more than the query itself takes, is from before that, so an hour is taken off. A transaction from before
/// that which is older than an hour cannot be told from others, and looks an hour younger.
fn oldest_open() -> &'static str {
    "IF @sees = 1
BEGIN
BEGIN TRY
SELECT @here = b.database_id FROM sys.databases AS b WHERE b.name = DB_NAME();
SELECT TOP (1) @open = DATEDIFF_BIG(millisecond, a.began, @local), @session = s.session_id, @program \
= s.program_name, @idle = CASE WHEN s.status = N'sleeping' THEN 1 ELSE 0 END \
FROM (SELECT x.transaction_id, DATEADD(hour, CASE WHEN x.transaction_begin_time > DATEADD(second, 10, @local) THEN -1 \
ELSE 0 END, x.transaction_begin_time) AS began FROM sys.dm_tran_active_transactions AS x) AS a \
JOIN sys.dm_tran_database_transactions AS d ON d.transaction_id = a.transaction_id \
LEFT JOIN sys.dm_tran_session_transactions AS t ON t.transaction_id = a.transaction_id \
LEFT JOIN sys.dm_exec_sessions AS s ON s.session_id = t.session_id \
WHERE d.database_id IN (DB_ID(), @here) AND d.database_transaction_begin_time IS NOT NULL \
ORDER BY a.began;
END TRY
BEGIN CATCH
SET @sees = 0;
END CATCH;
END;"
}

/// The bounds of a timestamp window, in the column's own type and as text of style 121. First row: `hi`,
/// `lower_from_last`, `lower_from_hi`, `ahead_ms` (last upper bound minus the server's now minus lag; NULL without
/// one), `offset_minutes` (local minus UTC), `sees_transactions`, of the oldest open transaction that has written to
/// this database `open_ms` (its age), `session_id`, `program` and `is_idle`, `future` (values beyond it lie in the
/// future), and `utc`. A second row set, when asked for, holds `null_rows` and `future_rows`, counted by an index, and
/// how long before UTC and local time the newest value lies that is not in the future (`behind_utc_ms`,
/// `behind_local_ms`), with waits of at most `lock_timeout_ms`.
pub fn timestamp(bounds: &TimestampBounds<'_>, lock_timeout_ms: u32) -> Statement {
    let mut params = Params::default();
    let lag = params.int(bounds.lag_ms);
    let overlap = params.int(bounds.overlap_ms);
    let last = params.text_or_null(bounds.last);
    let ty = bounds.column.ty;
    let wait = format!("SET LOCK_TIMEOUT {lock_timeout_ms};\n");
    let isolation = match bounds.count {
        Count::Snapshot => format!("SET TRANSACTION ISOLATION LEVEL SNAPSHOT;\n{wait}"),
        Count::ReadCommitted => wait,
        Count::Nothing => String::new(),
    };
    let wide = wide_type(bounds.column.ty);
    let now = now(bounds.column.ty, bounds.clock);
    let minus = |from: &str, ms: &str| {
        format!(
            "CONVERT({ty}, DATEADD(second, CONVERT(int, -({ms} / 1000)), DATEADD(millisecond, CONVERT(int, -({ms} % \
                1000)), {from})))"
        )
    };
    let lower = |from: &str| minus(&format!("CONVERT({wide}, {from})"), "@overlap");
    let winter = winter_ms(bounds.column.ty, bounds.clock);
    let mut sql = format!(
        "{isolation}DECLARE @utc datetime2(7) = SYSUTCDATETIME(), @local datetime2(7) = SYSDATETIME(), @back bigint = \
            {lag}, @sees int = {sees}{OPEN};
DECLARE @overlap bigint = {overlap} + {winter};
DECLARE @now {wide} = {now};
DECLARE @last {ty} = CONVERT({ty}, {last}, 121);
{oldest}
IF @open + {lag} > @back SET @back = @open + {lag};
DECLARE @top {ty} = {top}, @hi {ty} = {hi}, @future {ty} = CONVERT({ty}, DATEADD(minute, 5, {latest}));
SELECT CONVERT(nvarchar(40), @hi, 121) AS hi, CONVERT(nvarchar(40), {from_last}, 121) AS lower_from_last, \
CONVERT(nvarchar(40), {from_hi}, 121) AS lower_from_hi, DATEDIFF_BIG(millisecond, @top, @last) AS ahead_ms, \
DATEDIFF(minute, @utc, @local) AS offset_minutes, @sees AS sees_transactions, @open AS open_ms, @session AS \
session_id, @program AS program, @idle AS is_idle, CONVERT(nvarchar(40), @future, 121) AS future, \
CONVERT(nvarchar(40), @utc, 121) AS utc;",
        top = minus("@now", &lag),
        hi = minus("@now", "@back"),
        from_last = lower("@last"),
        from_hi = lower("@hi"),
        sees = i32::from(bounds.sees_transactions),
        oldest = oldest_open(),
        latest = latest(bounds.column.ty),
    );
    if bounds.count != Count::Nothing {
        let table = TableIdent(bounds.table);
        let column = Ident(&bounds.column.name);
        sql.push_str(&format!(
            "\nSELECT (SELECT COUNT_BIG(*) FROM {table} WHERE {column} IS NULL) AS null_rows, \
(SELECT COUNT_BIG(*) FROM {table} WHERE {column} > @future) AS future_rows, \
(SELECT DATEDIFF_BIG(millisecond, MAX({column}), @utc) FROM {table} WHERE {column} <= @future) AS behind_utc_ms, \
(SELECT DATEDIFF_BIG(millisecond, MAX({column}), @local) FROM {table} WHERE {column} <= @future) AS behind_local_ms \
OPTION (RECOMPILE);"
        ));
    }
    params.into_statement(sql)
}

/// The type in which bounds are computed before they become the column's.
fn wide_type(ty: SqlType) -> &'static str {
    if has_offset(ty) {
        "datetimeoffset(7)"
    } else {
        "datetime2(7)"
    }
}

fn has_offset(ty: SqlType) -> bool {
    matches!(ty, SqlType::DateTimeOffset { .. })
}

fn now(ty: SqlType, clock: ServerClock) -> &'static str {
    match (ty, clock) {
        (SqlType::DateTimeOffset { .. }, _) => "SYSDATETIMEOFFSET()",
        (_, ServerClock::Earlier) => "CASE WHEN @local < @utc THEN @local ELSE @utc END",
        (_, ServerClock::Utc) => "@utc",
        (_, ServerClock::Local) => "@local",
    }
}

/// The later of the clocks that a value may have been written by.
fn latest(ty: SqlType) -> &'static str {
    if has_offset(ty) {
        "@now"
    } else {
        "CASE WHEN @local > @utc THEN @local ELSE @utc END"
    }
}

/// How much further a window reaches back because the clock that bounds it is local time, which goes back an hour
/// in autumn: rows of the second pass through that hour lie before a bound taken in the first.
fn winter_ms(ty: SqlType, clock: ServerClock) -> &'static str {
    match (ty, clock) {
        (SqlType::DateTimeOffset { .. }, _) | (_, ServerClock::Utc) => "0",
        (_, ServerClock::Local) => "3600000",
        (_, ServerClock::Earlier) => {
            "CASE WHEN DATEDIFF(minute, @local, @utc) > 1 THEN 3600000 ELSE 0 END"
        }
    }
}

/// The highest committed number, after every insert in flight has ended: the shared table lock waits for them, at most
/// `lock_timeout_ms` (then error 1222). One row: `hi`, `behind` (1 when `last` is higher), `handed_out`
/// (whether an identity's current value is at least `last`; NULL where there is none, or where it cannot be seen).
pub fn sequence(
    table: &TableName,
    column: &Column,
    last: Option<&str>,
    lock_timeout_ms: u32,
) -> Statement {
    let mut params = Params::default();
    let last = params.text_or_null(last);
    let name = params.text(TableIdent(table).to_string());
    let ty = column.ty;
    params.into_statement(format!(
        "SET LOCK_TIMEOUT {lock_timeout_ms};
DECLARE @hi {ty}, @last {ty} = {last};
SELECT @hi = MAX({column}) FROM {table} WITH (TABLOCK, READCOMMITTEDLOCK);
SELECT CONVERT(nvarchar(40), @hi) AS hi, CASE WHEN @last > @hi OR (@hi IS NULL AND @last IS NOT NULL) THEN 1 ELSE 0 \
END AS behind, \
CASE WHEN IDENT_CURRENT({name}) >= @last THEN 1 WHEN IDENT_CURRENT({name}) < @last THEN 0 END AS handed_out;
SET LOCK_TIMEOUT -1;",
        last = typed(column, &last),
        column = Ident(&column.name),
        table = TableIdent(table),
    ))
}
