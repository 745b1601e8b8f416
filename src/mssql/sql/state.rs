//! What a target has loaded: one row per target in `icesync.load_state`.
//!
//! # Why no state claims rows that are not there
//!
//! A load commits its rows and its state together, unless a trigger of the target ends its transaction early. COMMIT in
//! a trigger makes everything so far durable: the first statements of the load, and not the others. So the state names
//! the new snapshot only with the last statement:
//!
//! 1. [`compare_and_begin`] comes before the rows. It compares the state, and says that the target is between the old
//!    snapshot and the new one, and that a load of every row is to finish that. Where the target had no state, the
//!    state says that nothing is loaded ([`PREPARED`]), with the new snapshot as the one that was begun.
//! 2. The rows.
//! 3. [`recorded`] comes after them. It names the new snapshot, or the step that is applied, if the transaction still
//!    is the one in which the load began.
//!
//! A COMMIT in 2 leaves the state of 1, with the rows up to there. The next upsert stages every row of the new snapshot
//! and the deletes since the old one (`sync/load/kind.rs`). It does not matter which statements were committed. A mode
//! that cannot compare rows refuses to go on.
//!
//! Statements that no trigger on rows sees may name the new snapshot at once ([`compare_and_set`]): those which create
//! a target, and the publication of a table that is filled already.

use super::part::Part;
use super::{Params, Statement, TableIdent};
use crate::change::LoadRule;
use crate::schema::TableName;
use crate::schema::drift::SourceObject;

/// The load state is not the one that the load was computed from.
pub const ERROR_STATE_MOVED: u32 = 51003;

/// The transaction in which a load ends is not the one in which it began.
pub const ERROR_TRANSACTION_ENDED: u32 = 51012;

/// `snapshot_id` of a target that icesync has created and loaded nothing into, because the lake table has no snapshot;
/// and of one whose first load has begun. Iceberg gives no snapshot this id.
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
    /// The target is between two snapshots, and the load goes past the newer one. The state has no room for a third,
    /// so it goes on naming that one until the load is complete.
    pub passes: bool,
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

/// Moves a target's state on from the one that a load was computed from to the one that it leaves, or stops with
/// [`ERROR_STATE_MOVED`]. For loads that no trigger on rows can end.
pub(super) fn compare_and_set(state: &StateChange, target: &str, params: &mut Params) -> String {
    match &state.old {
        Some(old) => {
            let new = complete(state, params);
            moved(state, old, &new, target, params)
        }
        None => {
            let snapshot = params.int(state.new_snapshot);
            let sequence = params.int(state.sequence_number);
            inserted(state, [&snapshot, &sequence], None, target, params)
        }
    }
}

/// Moves a target's state on from the one that a load was computed from, or stops with [`ERROR_STATE_MOVED`]. It then
/// says that the target is between two snapshots, until [`recorded`] says what the load has reached. `rows`: how many
/// rows the load has to apply.
pub(super) fn compare_and_begin(
    state: &StateChange,
    rows: u64,
    target: &str,
    params: &mut Params,
) -> String {
    match &state.old {
        Some(old) if state.passes => moved(state, old, "s.[pending_whole] = 1", target, params),
        Some(old) => {
            let step = state.step.unwrap_or(Step {
                after: 0,
                to: 0,
                rows,
                is_whole: true,
            });
            let step = Step {
                to: step.after,
                is_whole: true,
                ..step
            };
            let new = pending(state, step, params);
            moved(state, old, &new, target, params)
        }
        None => {
            let (none, number) = (PREPARED.to_string(), "0".to_owned());
            inserted(state, [&none, &number], Some(rows), target, params)
        }
    }
}

/// Whatever a load does to the state first, once that is compared (`new`, a SET list of `s`). It locks the target's own
/// row and no range of keys, so that loads of other targets do not wait for this transaction.
fn moved(
    state: &StateChange,
    old: &OldState,
    new: &str,
    target: &str,
    params: &mut Params,
) -> String {
    let run_id = params.text(&state.run_id);
    let snapshot = params.int(old.snapshot);
    let run_before = params.text(&old.run_id);
    let applied = params.int(old.applied.map_or(-1, row));
    let stop = has_moved();
    format!(
        "UPDATE s SET {new}, s.[run_id] = {run_id}, s.[loaded_at] = SYSUTCDATETIME() FROM [icesync].[load_state] AS s \
WITH (UPDLOCK, ROWLOCK) WHERE s.[target] = {target} AND s.[snapshot_id] = {snapshot} AND s.[run_id] = {run_before} \
AND ISNULL(s.[pending_applied], -1) = {applied};
IF @@ROWCOUNT <> 1 {stop}
{}",
        emptied(state, target)
    )
}

/// The same where a target has no state. A first load has no row to lock: of two, the primary key lets one insert.
/// The state names `snapshot`, with its sequence number. With `begun` rows to apply, the target is on its way to the
/// new one.
fn inserted(
    state: &StateChange,
    [snapshot, sequence]: [&str; 2],
    begun: Option<u64>,
    target: &str,
    params: &mut Params,
) -> String {
    let run_id = params.text(&state.run_id);
    let lake_table = params.text(&state.lake_table);
    let table_uuid = params.text(&state.table_uuid);
    let mode = params.text(state.rule.text());
    let (names, values) = match begun {
        Some(rows) => {
            let new = params.int(state.new_snapshot);
            let number = params.int(state.sequence_number);
            let rows = params.int(row(rows));
            let names = ", [pending_snapshot_id], [pending_sequence_number], [pending_rows], [pending_applied], \
[pending_whole]";
            (names, format!(", {new}, {number}, {rows}, 0, 1"))
        }
        None => ("", String::new()),
    };
    let stop = has_moved();
    format!(
        "BEGIN TRY
    INSERT [icesync].[load_state] ([target], [lake_table], [table_uuid], [snapshot_id], [sequence_number], [run_id], \
[loaded_at], [inserted], [updated], [deleted], [unchanged], [merge_mode]{names}) \
VALUES ({target}, {lake_table}, {table_uuid}, {snapshot}, {sequence}, {run_id}, SYSUTCDATETIME(), 0, 0, 0, 0, {mode}\
{values});
END TRY
BEGIN CATCH
    IF ERROR_NUMBER() IN (2601, 2627) {stop}
    THROW;
END CATCH;
{}",
        emptied(state, target)
    )
}

/// Stops with [`ERROR_STATE_MOVED`].
fn has_moved() -> String {
    format!("THROW {ERROR_STATE_MOVED}, N'the load state has moved', 1;")
}

fn emptied(state: &StateChange, target: &str) -> String {
    match state.empties_quarantine {
        true => format!("{}\n", discarded(target)),
        false => String::new(),
    }
}

/// What a load has reached with its last statement, as a SET list of `s`: the new snapshot, or one of its steps.
pub(super) fn reached(state: &StateChange, params: &mut Params) -> String {
    match state.step.filter(|step| !step.is_last()) {
        Some(step) => pending(state, step, params),
        None => complete(state, params),
    }
}

/// Records what a load did and [`reached`] (`set`, a SET list of `s`), once its rows have changed. Stops with
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

#[cfg(test)]
mod tests {
    use super::*;

    fn change(old: Option<i64>) -> StateChange {
        StateChange {
            target: "dbo.t".into(),
            old: old.map(|snapshot| OldState {
                snapshot,
                run_id: "before".into(),
                applied: None,
            }),
            new_snapshot: 8,
            sequence_number: 2,
            table_uuid: "uuid".into(),
            lake_table: "dbo.t".into(),
            run_id: "now".into(),
            object: None,
            modified: String::new(),
            rule: LoadRule::default(),
            step: None,
            passes: false,
            columns: None,
            empties_quarantine: false,
        }
    }

    /// A statement with its parameters written out.
    fn written(write: impl FnOnce(&mut Params) -> String) -> String {
        let mut params = Params::default();
        let sql = write(&mut params);
        params.into_statement(sql).by_hand()
    }

    fn begun(state: &StateChange) -> String {
        written(|params| compare_and_begin(state, 50, "N'dbo.t'", params))
    }

    /// A trigger may commit what a load does first.
    #[test]
    fn the_new_snapshot_is_named_last() {
        let state = change(Some(7));
        let first = begun(&state);
        assert!(first.contains("UPDATE s SET s.[pending_snapshot_id] = 8, s.[pending_sequence_number] = 2, \
            s.[pending_rows] = 50, s.[pending_applied] = 0, s.[pending_whole] = 1, s.[run_id] = N'now'"), "{first}");
        assert!(first.contains("s.[snapshot_id] = 7"), "{first}");
        for named in ["s.[snapshot_id] = 8", "[lake_table]", "[merge_mode]"] {
            assert!(!first.contains(named), "{first}");
        }
        let last = written(|params| reached(&state, params));
        for named in ["s.[snapshot_id] = 8", "s.[pending_whole] = NULL"] {
            assert!(last.contains(named), "{last}");
        }
        let first = begun(&change(None));
        assert!(first.contains(", -1, 0, N'now', "), "{first}");
        assert!(first.contains(", 8, 2, 50, 0, 1);"), "{first}");
    }

    #[test]
    fn a_step_begins_where_the_one_before_has_ended() {
        let state = StateChange {
            step: Some(Step {
                after: 20,
                to: 40,
                rows: 50,
                is_whole: false,
            }),
            ..change(Some(7))
        };
        let first = begun(&state);
        let place = "s.[pending_applied] = 20, s.[pending_whole] = 1";
        assert!(first.contains(place), "{first}");
        let last = written(|params| reached(&state, params));
        let place = "s.[pending_applied] = 40, s.[pending_whole] = 0";
        assert!(
            last.contains(place) && !last.contains("s.[snapshot_id]"),
            "{last}"
        );
    }

    /// There is no room for a third snapshot.
    #[test]
    fn a_load_that_goes_past_a_snapshot_goes_on_naming_it() {
        let state = StateChange {
            passes: true,
            ..change(Some(7))
        };
        let first = begun(&state);
        assert!(
            first.contains("UPDATE s SET s.[pending_whole] = 1, s.[run_id]"),
            "{first}"
        );
        assert!(!first.contains("= 8"), "{first}");
    }

    #[test]
    fn a_table_that_is_there_already_is_named_at_once() {
        for old in [None, Some(7)] {
            let state = change(old);
            let set = written(|params| compare_and_set(&state, "N'dbo.t'", params));
            assert!(
                set.contains("= 8,") || set.contains(", 8, 2, N'now'"),
                "{set}"
            );
            assert!(!set.contains("pending_whole] = 1"), "{set}");
        }
    }
}
