//! `icesync.quarantine`: rows that a target has refused, one for each target and key.

use super::state::{StateChange, discarded};
use super::{Params, Statement, list};

/// A row to be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Its key, as text.
    pub key: String,
    /// `U` or `D`
    pub operation: String,
    /// Number of the error that refused it.
    pub error_number: u32,
    pub error_message: String,
    /// Its values, as JSON.
    pub row: String,
}

/// Creates the table unless it is there; safe against another session doing the same at the same time. Its key begins
/// with the target, so that loads of different targets lock different ranges.
pub fn create_quarantine() -> Statement {
    Statement::plain(
        "IF OBJECT_ID(N'[icesync].[quarantine]') IS NULL
BEGIN
    BEGIN TRY
        CREATE TABLE [icesync].[quarantine] (
            [target] nvarchar(300) NOT NULL,
            [id] bigint IDENTITY(1,1) NOT NULL,
            [lake_table] nvarchar(600) NOT NULL,
            [snapshot_id] bigint NOT NULL,
            [sequence_number] bigint NOT NULL,
            [run_id] nvarchar(36) NOT NULL,
            [key] nvarchar(max) NOT NULL,
            [operation] nvarchar(1) NOT NULL,
            [error_number] int NOT NULL,
            [error_message] nvarchar(4000) NOT NULL,
            [row] nvarchar(max) NOT NULL,
            [quarantined_at] datetime2(3) NOT NULL,
            CONSTRAINT [PK_quarantine] PRIMARY KEY ([target], [id])
        );
    END TRY
    BEGIN CATCH
        IF OBJECT_ID(N'[icesync].[quarantine]') IS NULL THROW;
    END CATCH;
END;",
    )
}

/// What the quarantine has of a target, without the rows themselves; no row set, or no row, when it has nothing. Waits
/// `lock_timeout_ms` for a load that is writing to it.
pub fn quarantined(target: &str, lock_timeout_ms: u32) -> Statement {
    look(
        target,
        lock_timeout_ms,
        "q.[id], q.[key], q.[operation], q.[error_number], q.[error_message], q.[lake_table], q.[snapshot_id], \
q.[sequence_number], q.[run_id], CONVERT(nvarchar(30), q.[quarantined_at], 126) AS quarantined_at",
        " ORDER BY q.[id]",
    )
}

fn look(target: &str, lock_timeout_ms: u32, columns: &str, order: &str) -> Statement {
    let mut params = Params::default();
    let target = params.text(target);
    params.into_statement(format!(
        "SET LOCK_TIMEOUT {lock_timeout_ms};
IF OBJECT_ID(N'[icesync].[quarantine]') IS NOT NULL
BEGIN
    SELECT {columns} FROM [icesync].[quarantine] AS q WHERE q.[target] = {target}{order};
END;
SET LOCK_TIMEOUT -1;"
    ))
}

/// A quarantined row itself (`row`, JSON).
pub fn quarantined_row(target: &str, id: i64) -> Statement {
    let mut params = Params::default();
    let target = params.text(target);
    let id = params.int(id);
    params.into_statement(format!(
        "SELECT q.[row] FROM [icesync].[quarantine] AS q WHERE q.[target] = {target} AND q.[id] = {id};"
    ))
}

/// Keeps a row that the load of `state` could not load.
pub fn keep_refused(state: &StateChange, refused: &Refused) -> Statement {
    let mut params = Params::default();
    let values = [
        params.text(&state.target),
        params.text(&state.lake_table),
        params.int(state.new_snapshot),
        params.int(state.sequence_number),
        params.text(&state.run_id),
        params.text(&refused.key),
        params.text(&refused.operation),
        params.int(i64::from(refused.error_number)),
        params.text(&refused.error_message),
        params.text(&refused.row),
    ];
    params.into_statement(format!(
        "INSERT [icesync].[quarantine] ([target], [lake_table], [snapshot_id], [sequence_number], [run_id], [key], \
[operation], [error_number], [error_message], [row], [quarantined_at]) VALUES ({}, SYSUTCDATETIME());",
        list(values, ", ")
    ))
}

/// Removes rows of a target, by their ids.
pub fn discard_rows(target: &str, ids: &[i64]) -> Statement {
    let mut params = Params::default();
    let target = params.text(target);
    let ids = list(ids.iter().map(|&id| params.int(id)), ", ");
    params.into_statement(format!(
        "DELETE q FROM [icesync].[quarantine] AS q WHERE q.[target] = {target} AND q.[id] IN ({ids});"
    ))
}

/// Removes all rows of a target.
pub fn discard_all(target: &str) -> Statement {
    let mut params = Params::default();
    let target = params.text(target);
    params.into_statement(discarded(&target))
}
