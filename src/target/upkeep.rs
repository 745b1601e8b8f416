//! Load states outside of loads: listed, forgotten, put in place, given another table.
//!
//! What writes is called under [`staging::lock`](super::staging::lock), so that no load of the target is between its
//! look at the state and its transaction. It changes the state only if that is still the one that was looked at: a lock
//! that was lost with its connection, or a transaction that outlived its load, is found out.

use super::TargetError;
use super::staging::prefix;
use super::state::LoadState;
use crate::change::LoadRule;
use crate::mssql::control::{Class, Control, Record};
use crate::mssql::error::MssqlError;
use crate::mssql::sql::define;
use crate::mssql::sql::merge::ERROR_RECREATED;
use crate::mssql::sql::state::ERROR_STATE_MOVED;
use crate::mssql::sql::upkeep::{self, Seen, StateRow};
use crate::schema::TableName;
use crate::schema::drift::SourceObject;

/// How long a statement waits for another transaction's locks.
const LOCK_TIMEOUT_MS: u32 = 60_000;
const WAITING: Class = Class::QUICK.waiting(LOCK_TIMEOUT_MS);

/// The state of one target among those of a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// As [`TableName`] shows it.
    pub target: String,
    pub lake_table: String,
    pub snapshot_id: i64,
    pub sequence_number: i64,
    pub run_id: String,
    /// UTC, ISO 8601.
    pub loaded_at: String,
}

/// The states of all targets of the database, by name. One round trip; changes nothing.
pub async fn states(control: &mut Control) -> Result<Vec<Listed>, TargetError> {
    let failed = |source| TargetError::Server {
        doing: "listing the load states of",
        target: "the target database".to_owned(),
        source: Box::new(source),
    };
    let rows = control.query(&upkeep::states()).await.map_err(failed)?;
    let listed = |row: &Record| {
        Ok(Listed {
            target: row.text("target")?.to_owned(),
            lake_table: row.text("lake_table")?.to_owned(),
            snapshot_id: row.int("snapshot_id")?,
            sequence_number: row.int("sequence_number")?,
            run_id: row.text("run_id")?.to_owned(),
            loaded_at: row.text("loaded_at")?.to_owned(),
        })
    };
    let rows: Result<_, MssqlError> = rows.iter().map(listed).collect();
    rows.map_err(failed)
}

/// The names of the staging tables of a target. One round trip; changes nothing.
pub async fn staging_tables(
    control: &mut Control,
    target: &TableName,
) -> Result<Vec<String>, TargetError> {
    let failed = |error| TargetError::on("looking for staging tables of", target, error);
    let statement = define::staging_tables(&prefix(target));
    let rows = control.query(&statement).await.map_err(failed)?;
    let names = rows.iter().map(|row| row.text("name").map(str::to_owned));
    names.collect::<Result<_, _>>().map_err(failed)
}

/// How many rows a target has; reads all of an index.
pub async fn count_rows(control: &mut Control, target: &TableName) -> Result<u64, TargetError> {
    let failed = |error| TargetError::on("counting the rows of", target, error);
    let statement = upkeep::row_count(target, LOCK_TIMEOUT_MS);
    let sets = control.query_sets(&statement, Class::LONG).await;
    let sets = sets.map_err(failed)?;
    let row = sets.first().and_then(|rows| rows.first());
    let row = row.ok_or_else(|| failed(MssqlError::Shape("no row".into())))?;
    let rows = row.int("row_count").map_err(failed)?;
    Ok(u64::try_from(rows).unwrap_or(0))
}

/// Removes a state.
pub async fn forget(
    control: &mut Control,
    target: &TableName,
    state: &LoadState,
) -> Result<(), TargetError> {
    let statement = upkeep::forget(&seen(target, state), LOCK_TIMEOUT_MS);
    let done = control.run(&statement, WAITING).await;
    done.map_err(|error| explained("removing the load state of", target, error))
}

/// Puts a state in place where there is none.
pub async fn put(
    control: &mut Control,
    target: &TableName,
    state: &LoadState,
) -> Result<(), TargetError> {
    let counts = &state.counts;
    let row = StateRow {
        lake_table: state.lake_table.clone(),
        table_uuid: state.table_uuid.clone(),
        snapshot_id: state.snapshot_id,
        sequence_number: state.sequence_number,
        run_id: state.run_id.clone(),
        loaded_at: state.loaded_at.clone(),
        counts: [
            counts.inserted,
            counts.updated,
            counts.deleted,
            counts.unchanged,
        ],
        object: state.object.clone(),
        columns: state.columns.text(state.flag),
        rule: state.rule.as_ref().map(LoadRule::text),
    };
    let statement = upkeep::put(&target.to_string(), &row, LOCK_TIMEOUT_MS);
    let done = control.run(&statement, WAITING).await;
    done.map_err(|error| explained("setting the load state of", target, error))
}

/// Records that a state is about the table `object`, which the target is now.
pub async fn adopt(
    control: &mut Control,
    target: &TableName,
    state: &LoadState,
    object: &SourceObject,
) -> Result<(), TargetError> {
    let statement = upkeep::adopt(target, &seen(target, state), object, LOCK_TIMEOUT_MS);
    let done = control.run(&statement, WAITING).await;
    done.map_err(|error| explained("setting the load state of", target, error))
}

fn seen(target: &TableName, state: &LoadState) -> Seen {
    Seen {
        target: target.to_string(),
        snapshot_id: state.snapshot_id,
        run_id: state.run_id.clone(),
    }
}

fn explained(doing: &'static str, target: &TableName, error: MssqlError) -> TargetError {
    match error.number() {
        Some(ERROR_STATE_MOVED | ERROR_RECREATED) => TargetError::StateChanged {
            target: target.clone(),
        },
        Some(_) | None => TargetError::on(doing, target, error),
    }
}
