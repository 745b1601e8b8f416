//! Load states outside of loads: listed, forgotten, put in place, given another table. And the rows of a target.
//!
//! Each statement that writes is one transaction. It changes a state only if that is still the one that was looked at,
//! by snapshot and run, and puts one only where there is none; it stops with [`ERROR_STATE_MOVED`] otherwise.

use super::merge::ERROR_RECREATED;
use super::state::ERROR_STATE_MOVED;
use super::{Params, Statement, TableIdent};
use crate::schema::TableName;
use crate::schema::drift::SourceObject;

/// A state that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The target's name, as [`crate::schema::TableName`] shows it.
    pub target: String,
    pub snapshot_id: i64,
    pub run_id: String,
}

/// A state that is put in place as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateRow {
    pub lake_table: String,
    pub table_uuid: String,
    pub snapshot_id: i64,
    pub sequence_number: i64,
    pub run_id: String,
    /// UTC, ISO 8601.
    pub loaded_at: String,
    /// Inserted, updated, deleted, unchanged.
    pub counts: [u64; 4],
    pub object: Option<SourceObject>,
    /// Which columns the load left out or renamed, as JSON.
    pub columns: Option<String>,
    /// The rule of the load, as the load state keeps it.
    pub rule: Option<String>,
}

/// The states of all targets in the database; no row set where there is no table of them.
pub fn states() -> Statement {
    Statement::plain(
        "IF OBJECT_ID(N'[icesync].[load_state]') IS NOT NULL
BEGIN
    SELECT s.[target], s.[lake_table], s.[snapshot_id], s.[sequence_number], s.[run_id], \
CONVERT(nvarchar(30), s.[loaded_at], 126) AS loaded_at FROM [icesync].[load_state] AS s ORDER BY s.[target];
END;",
    )
}

/// Removes a state.
pub fn forget(seen: &Seen, lock_timeout_ms: u32) -> Statement {
    let mut params = Params::default();
    let found = found(seen, &mut params);
    transaction(
        params,
        lock_timeout_ms,
        &format!(
            "DELETE s FROM [icesync].[load_state] AS s WITH (UPDLOCK, ROWLOCK) WHERE {found};\n{}",
            moved()
        ),
    )
}

/// Puts a state in place where there is none.
pub fn put(target: &str, row: &StateRow, lock_timeout_ms: u32) -> Statement {
    let mut params = Params::default();
    let values = values(row, &mut params);
    let target = params.text(target);
    let body = format!(
        "BEGIN TRY
    INSERT [icesync].[load_state] ([target], {}) VALUES ({target}, {});
END TRY
BEGIN CATCH
    IF ERROR_NUMBER() IN (2601, 2627) THROW {ERROR_STATE_MOVED}, N'the load state has moved', 1;
    THROW;
END CATCH;
",
        COLUMNS.join(", "),
        values.join(", ")
    );
    transaction(params, lock_timeout_ms, &body)
}

/// Records that a state is about the table that the target is, which must be `object`; stops with [`ERROR_RECREATED`]
/// otherwise.
pub fn adopt(
    target: &TableName,
    seen: &Seen,
    object: &SourceObject,
    lock_timeout_ms: u32,
) -> Statement {
    let mut params = Params::default();
    let name = params.text(TableIdent(target).to_string());
    let id = params.int(object.id);
    let created = params.text(&object.created);
    let found = found(seen, &mut params);
    let body = format!(
        "IF ISNULL(OBJECT_ID({name}), 0) <> {id} THROW {ERROR_RECREATED}, N'the target table was recreated', 1;
UPDATE s SET s.[target_object_id] = {id}, s.[target_created] = {created} \
FROM [icesync].[load_state] AS s WITH (UPDLOCK, ROWLOCK) WHERE {found};\n{}",
        moved()
    );
    transaction(params, lock_timeout_ms, &body)
}

/// How many rows a table has: `row_count`.
pub fn row_count(table: &TableName, lock_timeout_ms: u32) -> Statement {
    Statement::plain(format!(
        "SET LOCK_TIMEOUT {lock_timeout_ms};
SELECT COUNT_BIG(*) AS row_count FROM {};
SET LOCK_TIMEOUT -1;",
        TableIdent(table)
    ))
}

/// What a state says, in the order of [`values`].
const COLUMNS: [&str; 14] = [
    "[lake_table]",
    "[table_uuid]",
    "[snapshot_id]",
    "[sequence_number]",
    "[run_id]",
    "[loaded_at]",
    "[inserted]",
    "[updated]",
    "[deleted]",
    "[unchanged]",
    "[target_object_id]",
    "[target_created]",
    "[loaded_columns]",
    "[merge_mode]",
];

fn values(row: &StateRow, params: &mut Params) -> [String; 14] {
    let count = |at: usize| i64::try_from(row.counts[at]).unwrap_or(i64::MAX);
    let object = row.object.as_ref();
    let loaded_at = params.text(&row.loaded_at);
    [
        params.text(&row.lake_table),
        params.text(&row.table_uuid),
        params.int(row.snapshot_id),
        params.int(row.sequence_number),
        params.text(&row.run_id),
        format!("CONVERT(datetime2(3), {loaded_at}, 126)"),
        params.int(count(0)),
        params.int(count(1)),
        params.int(count(2)),
        params.int(count(3)),
        params.int_or_null(object.map(|object| object.id)),
        params.text_or_null(object.map(|object| &*object.created)),
        params.text_or_null(row.columns.as_deref()),
        params.text_or_null(row.rule.as_deref()),
    ]
}

/// The condition that a state is the one that was looked at.
fn found(seen: &Seen, params: &mut Params) -> String {
    let target = params.text(&seen.target);
    let snapshot = params.int(seen.snapshot_id);
    let run = params.text(&seen.run_id);
    format!("s.[target] = {target} AND s.[snapshot_id] = {snapshot} AND s.[run_id] = {run}")
}

fn moved() -> String {
    format!("IF @@ROWCOUNT <> 1 THROW {ERROR_STATE_MOVED}, N'the load state has moved', 1;\n")
}

fn transaction(params: Params, lock_timeout_ms: u32, body: &str) -> Statement {
    params.into_statement(format!(
        "SET XACT_ABORT ON; SET LOCK_TIMEOUT {lock_timeout_ms};
BEGIN TRANSACTION;
{body}COMMIT TRANSACTION;
SET LOCK_TIMEOUT -1;"
    ))
}
