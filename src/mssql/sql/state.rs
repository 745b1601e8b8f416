//! What a target has loaded: one row per target in `icesync.load_state`.

use super::part::Part;
use super::{Params, Statement, TableIdent};
use crate::change::LoadRule;
use crate::schema::TableName;
use crate::schema::drift::SourceObject;

/// The load state is not the one that the load was computed from.
pub const ERROR_STATE_MOVED: u32 = 51003;

/// The transaction in which a load ends is not the one in which it began.
pub const ERROR_TRANSACTION_ENDED: u32 = 51012;

/// `snapshot_id` of a target that icesync has created and loaded nothing into, because the lake table has no snapshot.
/// Iceberg gives no snapshot this id.
pub const PREPARED: i64 = -1;

/// A load's own mark: what it expects to find and what it leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateChange {
    /// The target's name, as [`crate::schema::TableName`] shows it.
    pub target: String,
    /// The state that the load was computed from; none when the target has none yet.
    pub old: Option<OldState>,
    pub new_snapshot: i64,
    pub sequence_number: i64,
    pub table_uuid: String,
    pub lake_table: String,
    pub run_id: String,
    /// The target table as an object of its database, by which the next load knows it again. None for a table that is
    /// only planned.
    pub object: Option<SourceObject>,
    /// When the target table was altered last, as the load knows it. Empty: not compared.
    pub modified: String,
    pub rule: LoadRule,
    /// None: the load is one transaction.
    pub step: Option<Step>,
    /// Which columns the load leaves out or renames, as JSON; none where it brings all of them under their own names.
    pub columns: Option<String>,
    /// The quarantine has rows of a table that is gone. They say nothing of the new one.
    pub empties_quarantine: bool,
}

/// What tells one load state from another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OldState {
    pub snapshot: i64,
    pub run_id: String,
    /// Rows that the steps of an unfinished load have applied.
    pub applied: Option<u64>,
}

/// One transaction of a load that has several: a range of the net changes, by their numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// Number of the last row that was applied before.
    pub after: u64,
    /// Number of the last row that is applied now.
    pub to: u64,
    /// All net changes.
    pub rows: u64,
    /// They are of every row of the snapshot, not only of what has changed.
    pub is_whole: bool,
}

impl Step {
    /// Its rows, by their numbers.
    pub(super) fn part(self) -> Part {
        Part::run(self.after + 1, self.to)
    }

    /// Whether the load is complete after it.
    pub fn is_last(self) -> bool {
        self.to >= self.rows
    }
}

/// The columns of a state that every build has written.
const COLUMNS: &str = "s.[lake_table], s.[table_uuid], s.[snapshot_id], s.[sequence_number], s.[run_id], \
CONVERT(nvarchar(30), s.[loaded_at], 126) AS loaded_at, s.[inserted], s.[updated], s.[deleted], s.[unchanged]";

/// The columns that older builds do not know, and those that only the oldest do not.
const OBJECT_COLUMNS: &str = "s.[target_object_id], s.[target_created]";
const NO_OBJECT: &str =
    "CONVERT(int, NULL) AS target_object_id, CONVERT(nvarchar(30), NULL) AS target_created";
const PENDING_COLUMNS: &str = "s.[merge_mode], s.[pending_snapshot_id], s.[pending_sequence_number], \
s.[pending_rows], s.[pending_applied], s.[loaded_columns]";
const WHOLE_COLUMN: &str = "CONVERT(int, s.[pending_whole]) AS pending_whole";
const NO_WHOLE: &str = "CONVERT(int, NULL) AS pending_whole";
const NO_PENDING: &str = "CONVERT(nvarchar(2000), NULL) AS merge_mode, CONVERT(bigint, NULL) AS \
pending_snapshot_id, CONVERT(bigint, NULL) AS pending_sequence_number, CONVERT(bigint, NULL) AS pending_rows, \
CONVERT(bigint, NULL) AS pending_applied, CONVERT(nvarchar(max), NULL) AS loaded_columns";

/// What the server calls itself, and the connection's database: `server`, `database`.
pub fn identity() -> Statement {
    Statement::plain(
        "SELECT COALESCE(CONVERT(nvarchar(128), @@SERVERNAME), \
CONVERT(nvarchar(128), SERVERPROPERTY(N'ServerName')), N'') AS [server], DB_NAME() AS [database];",
    )
}

/// A target and its state, in two row sets. The first has `object_id`, `create_date` and `object_type` of the object,
/// and no row when there is none; the second has the state, and no row (or is missing) when there is none. Waits
/// `lock_timeout_ms` for a load that holds the state.
///
/// A server binds the columns of a batch before it runs it, so the columns that an older build's table lacks are named
/// in a batch of their own.
pub fn look(target: &TableName, lock_timeout_ms: u32) -> Statement {
    let mut params = Params::default();
    let name = params.text(TableIdent(target).to_string());
    let target = params.text(target.to_string());
    params.into_statement(format!(
        "SET LOCK_TIMEOUT {lock_timeout_ms};
SELECT o.object_id, CONVERT(nvarchar(30), o.create_date, 126) AS create_date, RTRIM(o.type) AS object_type \
FROM sys.objects AS o WHERE o.object_id = OBJECT_ID({name});
DECLARE @rows bigint = 0;
IF OBJECT_ID(N'[icesync].[quarantine]') IS NOT NULL
BEGIN
    SELECT @rows = COUNT_BIG(*) FROM [icesync].[quarantine] AS q WHERE q.[target] = {target};
END;
SELECT @rows AS in_quarantine;
IF COL_LENGTH(N'[icesync].[load_state]', N'pending_whole') IS NOT NULL
BEGIN
    EXEC sp_executesql N'SELECT {COLUMNS}, {OBJECT_COLUMNS}, {PENDING_COLUMNS}, {WHOLE_COLUMN} FROM \
[icesync].[load_state] AS s WHERE s.[target] = @target;', N'@target nvarchar(300)', @target = {target};
END
ELSE IF COL_LENGTH(N'[icesync].[load_state]', N'pending_applied') IS NOT NULL
BEGIN
    EXEC sp_executesql N'SELECT {COLUMNS}, {OBJECT_COLUMNS}, {PENDING_COLUMNS}, {NO_WHOLE} FROM \
[icesync].[load_state] AS s WHERE s.[target] = @target;', N'@target nvarchar(300)', @target = {target};
END
ELSE IF COL_LENGTH(N'[icesync].[load_state]', N'target_object_id') IS NOT NULL
BEGIN
    EXEC sp_executesql N'SELECT {COLUMNS}, {OBJECT_COLUMNS}, {NO_PENDING}, {NO_WHOLE} FROM [icesync].[load_state] AS s \
WHERE s.[target] = @target;', N'@target nvarchar(300)', @target = {target};
END
ELSE IF OBJECT_ID(N'[icesync].[load_state]') IS NOT NULL
BEGIN
    SELECT {COLUMNS}, {NO_OBJECT}, {NO_PENDING}, {NO_WHOLE} FROM [icesync].[load_state] AS s \
WHERE s.[target] = {target};
END;
SET LOCK_TIMEOUT -1;"
    ))
}

/// Moves a target's state on from the one that a load was computed from, or stops with [`ERROR_STATE_MOVED`].
///
/// It locks the target's own row and no range of keys, so that loads of other targets do not wait for this
/// transaction. A first load has no row to lock: of two, the primary key lets one insert.
pub(super) fn compare_and_set(state: &StateChange, target: &str, params: &mut Params) -> String {
    let moved = format!("THROW {ERROR_STATE_MOVED}, N'the load state has moved', 1;");
    let emptied = match state.empties_quarantine {
        true => format!("{}\n", discarded(target)),
        false => String::new(),
    };
    let run_id = params.text(&state.run_id);
    let Some(old) = &state.old else {
        let lake_table = params.text(&state.lake_table);
        let table_uuid = params.text(&state.table_uuid);
        let snapshot = params.int(state.new_snapshot);
        let sequence = params.int(state.sequence_number);
        let mode = params.text(state.rule.text());
        return format!(
            "BEGIN TRY
    INSERT [icesync].[load_state] ([target], [lake_table], [table_uuid], [snapshot_id], [sequence_number], [run_id], \
[loaded_at], [inserted], [updated], [deleted], [unchanged], [merge_mode]) \
VALUES ({target}, {lake_table}, {table_uuid}, {snapshot}, {sequence}, {run_id}, SYSUTCDATETIME(), 0, 0, 0, 0, {mode});
END TRY
BEGIN CATCH
    IF ERROR_NUMBER() IN (2601, 2627) {moved}
    THROW;
END CATCH;
{emptied}"
        );
    };
    let new = match state.step.filter(|step| !step.is_last()) {
        Some(step) => pending(state, step, params),
        None => complete(state, params),
    };
    let snapshot = params.int(old.snapshot);
    let run_before = params.text(&old.run_id);
    let applied = params.int(old.applied.map_or(-1, row));
    format!(
        "UPDATE s SET {new}, s.[run_id] = {run_id}, s.[loaded_at] = SYSUTCDATETIME() FROM [icesync].[load_state] AS s \
WITH (UPDLOCK, ROWLOCK) WHERE s.[target] = {target} AND s.[snapshot_id] = {snapshot} AND s.[run_id] = {run_before} \
AND ISNULL(s.[pending_applied], -1) = {applied};
IF @@ROWCOUNT <> 1 {moved}
{emptied}"
    )
}

/// Records what a load did (`set`, a SET list of `s`), once its rows have changed. Stops with
/// [`ERROR_TRANSACTION_ENDED`] unless the transaction is the one that moved the state.
///
/// A trigger that runs ROLLBACK and then BEGIN TRANSACTION raises no error: the batch goes on in the new transaction,
/// and its COMMIT succeeds although the rows are gone (documentation: "ROLLBACK TRANSACTION", on triggers). What the
/// first transaction had is gone as well: the run's id in the state, and `lock`, the load's application lock that
/// belongs to the transaction. A COMMIT in a trigger leaves the id and not the lock.
pub(super) fn recorded(
    set: &str,
    target: &str,
    state: &StateChange,
    lock: &str,
    params: &mut Params,
) -> String {
    let run_id = params.text(&state.run_id);
    let lock = params.text(lock);
    format!(
        "UPDATE s SET {set} FROM [icesync].[load_state] AS s WHERE s.[target] = {target} AND s.[run_id] = {run_id};
IF @@ROWCOUNT <> 1 OR {} {}
",
        unlocked(&lock),
        ended()
    )
}

/// Stops with [`ERROR_TRANSACTION_ENDED`] unless the transaction that is open took the load's lock.
pub fn same_transaction(lock: &str) -> Statement {
    let mut params = Params::default();
    let lock = params.text(lock);
    params.into_statement(format!("IF {} {}", unlocked(&lock), ended()))
}

fn unlocked(lock: &str) -> String {
    format!("APPLOCK_MODE(N'public', {lock}, N'Transaction') <> N'Exclusive'")
}

fn ended() -> String {
    format!(
        "THROW {ERROR_TRANSACTION_ENDED}, N'a trigger has ended the transaction of the load', 1;"
    )
}

/// Removes all rows of a target from the quarantine; `target` is the parameter with its name.
pub(super) fn discarded(target: &str) -> String {
    format!("DELETE q FROM [icesync].[quarantine] AS q WHERE q.[target] = {target};")
}

fn row(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// The target holds the new snapshot.
fn complete(state: &StateChange, params: &mut Params) -> String {
    let lake_table = params.text(&state.lake_table);
    let table_uuid = params.text(&state.table_uuid);
    let snapshot = params.int(state.new_snapshot);
    let sequence = params.int(state.sequence_number);
    let mode = params.text(state.rule.text());
    format!(
        "s.[merge_mode] = {mode}, s.[lake_table] = {lake_table}, s.[table_uuid] = {table_uuid}, s.[snapshot_id] = \
{snapshot}, s.[sequence_number] = {sequence}, s.[pending_snapshot_id] = NULL, s.[pending_sequence_number] = NULL, \
s.[pending_rows] = NULL, s.[pending_applied] = NULL, s.[pending_whole] = NULL"
    )
}

/// The target is between the old snapshot and the new one.
fn pending(state: &StateChange, step: Step, params: &mut Params) -> String {
    let snapshot = params.int(state.new_snapshot);
    let sequence = params.int(state.sequence_number);
    let rows = params.int(row(step.rows));
    let to = params.int(row(step.to));
    let is_whole = u8::from(step.is_whole);
    format!(
        "s.[pending_snapshot_id] = {snapshot}, s.[pending_sequence_number] = {sequence}, s.[pending_rows] = {rows}, \
s.[pending_applied] = {to}, s.[pending_whole] = {is_whole}"
    )
}

/// What a state records of the target's columns, as the end of a SET list.
pub(super) fn set_columns(state: &StateChange, params: &mut Params) -> String {
    let columns = params.text_or_null(state.columns.as_deref());
    format!("s.[loaded_columns] = {columns}")
}

/// What a state records of the target table and its columns, as the end of a SET list.
pub(super) fn set_object(state: &StateChange, params: &mut Params) -> String {
    let id = state.object.as_ref().map(|object| object.id);
    let id = params.int_or_null(id);
    let created = state.object.as_ref().map(|object| &*object.created);
    let created = params.text_or_null(created);
    let columns = set_columns(state, params);
    format!("s.[target_object_id] = {id}, s.[target_created] = {created}, {columns}")
}

/// Records that the columns of a target have followed in which nothing is loaded, because its lake table has no
/// snapshot.
pub fn prepare(state: &StateChange, lock_timeout_ms: u32) -> Statement {
    let mut params = Params::default();
    let target = params.text(&state.target);
    let moved = compare_and_set(state, &target, &mut params);
    let object = set_object(state, &mut params);
    params.into_statement(format!(
        "SET XACT_ABORT ON; SET LOCK_TIMEOUT {lock_timeout_ms};
BEGIN TRANSACTION;
{moved}UPDATE s SET s.[inserted] = 0, s.[updated] = 0, s.[deleted] = 0, s.[unchanged] = 0, {object} \
FROM [icesync].[load_state] AS s WHERE s.[target] = {target};
COMMIT TRANSACTION;
SET LOCK_TIMEOUT -1;"
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
SELECT {COLUMNS}, {OBJECT_COLUMNS}, {PENDING_COLUMNS}, {WHOLE_COLUMN} FROM [icesync].[load_state] AS s \
WHERE s.[target] = {target};
COMMIT TRANSACTION;"
    ))
}
