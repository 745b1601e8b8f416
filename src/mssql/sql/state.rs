//! What a target has loaded: one row per target in `icesync.load_state`.

use super::{Params, Statement};

/// A load's own mark: what it expects to find and what it leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateChange {
    /// The target's name, as [`crate::schema::TableName`] shows it.
    pub target: String,
    /// Snapshot that the load was computed from; none when the target has no state yet.
    pub old_snapshot: Option<i64>,
    pub new_snapshot: i64,
    pub sequence_number: i64,
    pub table_uuid: String,
    pub lake_table: String,
    pub run_id: String,
}

/// The columns of a state, as both readers return them.
const COLUMNS: &str = "s.[lake_table], s.[table_uuid], s.[snapshot_id], s.[sequence_number], s.[run_id], \
CONVERT(nvarchar(30), s.[loaded_at], 126) AS loaded_at, s.[inserted], s.[updated], s.[deleted], s.[unchanged]";

/// What the server calls itself, and the connection's database: `server`, `database`.
pub fn identity() -> Statement {
    Statement::plain(
        "SELECT COALESCE(CONVERT(nvarchar(128), @@SERVERNAME), \
CONVERT(nvarchar(128), SERVERPROPERTY(N'ServerName')), N'') AS [server], DB_NAME() AS [database];",
    )
}

/// The state of a target; no row when it has none.
pub fn read_state(target: &str) -> Statement {
    let mut params = Params::default();
    let target = params.text(target);
    params.into_statement(format!(
        "IF OBJECT_ID(N'[icesync].[load_state]') IS NOT NULL \
SELECT {COLUMNS} FROM [icesync].[load_state] AS s WHERE s.[target] = {target};"
    ))
}

/// The states of all targets, with `target`.
pub fn list_states() -> Statement {
    Statement::plain(format!(
        "IF OBJECT_ID(N'[icesync].[load_state]') IS NOT NULL \
SELECT s.[target], {COLUMNS} FROM [icesync].[load_state] AS s ORDER BY s.[target];"
    ))
}

/// The state of a target once no load transaction of it is open any more: waits for the lock that each of them
/// holds. First row: `rc`, negative when one is still open after `timeout_ms`; second row set: the state.
pub fn settled_state(target: &str, resource: &str, timeout_ms: u32) -> Statement {
    let mut params = Params::default();
    let target = params.text(target);
    let resource = params.text(resource);
    params.into_statement(format!(
        "SET XACT_ABORT ON;
DECLARE @rc int;
BEGIN TRANSACTION;
EXEC @rc = sp_getapplock @Resource = {resource}, @LockMode = N'Exclusive', @LockOwner = N'Transaction', @LockTimeout = \
{timeout_ms};
SELECT @rc AS rc;
SELECT {COLUMNS} FROM [icesync].[load_state] AS s WHERE s.[target] = {target};
COMMIT TRANSACTION;"
    ))
}
