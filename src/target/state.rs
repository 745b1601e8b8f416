//! What a target has loaded.

use super::columns::LoadedColumns;
use super::merge::LoadCounts;
use super::{TargetError, lock_name};
use crate::change::LoadRule;
use crate::mssql::control::{Class, Control, Record};
use crate::mssql::error::MssqlError;
use crate::mssql::sql::state::{OldState, StateChange, Step};
use crate::mssql::sql::{define, state};
use crate::schema::TableName;
use crate::schema::drift::SourceObject;
use serde::{Deserialize, Serialize};

pub use crate::mssql::sql::state::PREPARED;

/// How long [`prepare`] waits for another transaction's locks.
const LOCK_TIMEOUT_MS: u32 = 60_000;

/// How long [`look`] and [`ensure_schema`] wait for a load that is in its transaction.
const LOOK_TIMEOUT_MS: u32 = 10_000;
/// A lock was not granted in time.
const LOCK_TIMEOUT: u32 = 1222;

/// How long [`resolve`] waits for a lost transaction to end.
const SETTLE_TIMEOUT_MS: u32 = 300_000;

/// One row of `icesync.load_state`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadState {
    pub lake_table: String,
    /// UUID of the lake table: another one means that it was dropped and recreated.
    pub table_uuid: String,
    pub snapshot_id: i64,
    pub sequence_number: i64,
    pub run_id: String,
    /// UTC, ISO 8601.
    pub loaded_at: String,
    pub counts: LoadCounts,
    /// The target table that was loaded; none in a state that an older build has written.
    pub object: Option<SourceObject>,
    /// The rule of that load; none in a state that an older build has written.
    pub rule: Option<LoadRule>,
    /// A load that has applied some of its steps.
    pub pending: Option<Pending>,
    /// Which columns of the lake the last load left out or renamed.
    pub columns: LoadedColumns,
    /// Id of the target's column that marks deleted rows; none where no load has marked any, or an older build did.
    pub flag: Option<i32>,
}

/// A load between two of its steps. The target has rows of both snapshots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    pub snapshot_id: i64,
    pub sequence_number: i64,
    /// Rows that the load has to apply.
    pub rows: u64,
    /// Rows that are applied.
    pub applied: u64,
    /// The load was of every row of the snapshot. An older build does not say.
    pub is_whole: bool,
}

impl LoadState {
    /// The snapshot that was loaded; none while the target is only prepared.
    pub fn loaded(&self) -> Option<i64> {
        (self.snapshot_id != PREPARED).then_some(self.snapshot_id)
    }

    /// What tells this state from any other.
    pub fn mark(&self) -> OldState {
        OldState {
            snapshot: self.snapshot_id,
            run_id: self.run_id.clone(),
            applied: self.pending.as_ref().map(|pending| pending.applied),
        }
    }

    /// Whether this is the state that the transaction leaves.
    fn is_of(&self, change: &StateChange) -> bool {
        let reached = match (change.step.filter(|step| !step.is_last()), &self.pending) {
            (Some(Step { to, .. }), Some(pending)) => {
                (pending.snapshot_id, pending.applied) == (change.new_snapshot, to)
            }
            (None, None) => self.snapshot_id == change.new_snapshot,
            (Some(_), None) | (None, Some(_)) => false,
        };
        reached && self.run_id == change.run_id
    }
}

/// A target as it is found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Looked {
    /// None where there is no such table.
    pub object: Option<SourceObject>,
    /// None when nothing was ever loaded into a table of that name.
    pub state: Option<LoadState>,
    /// Rows that the target has refused and the quarantine keeps.
    pub in_quarantine: u64,
}

/// Creates schema `icesync` and its table of load states where they are missing, and gives the table of an older build
/// the columns that it lacks. Safe when several loads do it at once. Two round trips.
pub async fn ensure_schema(control: &mut Control) -> Result<(), TargetError> {
    let denied = |source: MssqlError| match source.number() {
        // 262: no CREATE permission; 2760: no access to the schema; 229, 297, 15247: denied; 1088, 4902: no ALTER
        // permission on the table.
        Some(262 | 2760 | 229 | 297 | 15247 | 1088 | 4902) => TargetError::MayNotCreate {
            source: Box::new(source),
        },
        Some(LOCK_TIMEOUT) => TargetError::StatesInUse {
            seconds: LOOK_TIMEOUT_MS / 1000,
            source: Box::new(source),
        },
        Some(_) | None => TargetError::Server {
            doing: "creating the tables of",
            target: define::OWN_SCHEMA.to_owned(),
            source: Box::new(source),
        },
    };
    control
        .run(&define::create_schema(define::OWN_SCHEMA), Class::QUICK)
        .await
        .map_err(denied)?;
    control
        .run(
            &define::create_load_state(LOOK_TIMEOUT_MS),
            Class::QUICK.waiting(LOOK_TIMEOUT_MS),
        )
        .await
        .map_err(denied)
}

/// A target database as its server calls it: the same for every way to connect to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    pub server: String,
    pub database: String,
}

/// Asks the server for its name and the database's.
pub async fn identity(control: &mut Control) -> Result<Identity, TargetError> {
    let failed = |source| TargetError::Server {
        doing: "asking for the name of",
        target: "the target database".to_owned(),
        source: Box::new(source),
    };
    let rows = control.query(&state::identity()).await.map_err(failed)?;
    let row = rows
        .first()
        .ok_or_else(|| MssqlError::Shape("no row".into()));
    let read = |row: &Record| {
        Ok(Identity {
            server: row.text("server")?.to_owned(),
            database: row.text("database")?.to_owned(),
        })
    };
    row.and_then(read).map_err(failed)
}

/// The target table and what was loaded into it. One round trip; changes nothing.
pub async fn look(control: &mut Control, target: &TableName) -> Result<Looked, TargetError> {
    let failed = |error: MssqlError| match error.number() {
        Some(LOCK_TIMEOUT) => TargetError::Locked {
            target: target.clone(),
            lock: "its rows in icesync.load_state and icesync.quarantine".to_owned(),
            seconds: LOOK_TIMEOUT_MS / 1000,
        },
        Some(_) | None => TargetError::on("reading the load state of", target, error),
    };
    let sets = control
        .query_sets(&state::look(target, LOOK_TIMEOUT_MS), Class::QUICK)
        .await
        .map_err(failed)?;
    let object = |row: &Record| {
        Ok(SourceObject {
            id: row.int("object_id")?,
            created: row.text("create_date")?.to_owned(),
        })
    };
    let row = |at: usize| sets.get(at).and_then(|rows| rows.first());
    if let Some(found) = row(0) {
        let kind = found.text("object_type").map_err(failed)?;
        if kind != "U" && kind != "V" {
            return Err(TargetError::NotATable {
                target: target.clone(),
                kind: kind.to_owned(),
            });
        }
    }
    Ok(Looked {
        object: row(0).map(object).transpose().map_err(failed)?,
        in_quarantine: match row(1).map(|row| row.int("in_quarantine")).transpose() {
            Ok(rows) => rows.and_then(|rows| u64::try_from(rows).ok()).unwrap_or(0),
            Err(error) => return Err(failed(error)),
        },
        state: row(2).map(load_state).transpose().map_err(failed)?,
    })
}

/// Records that the columns of a target with nothing loaded have followed: [`PREPARED`] is the new snapshot of
/// `change`.
pub async fn prepare(
    control: &mut Control,
    target: &TableName,
    change: &StateChange,
) -> Result<(), TargetError> {
    let class = Class::QUICK.waiting(LOCK_TIMEOUT_MS);
    let prepared = control
        .run(&state::prepare(change, LOCK_TIMEOUT_MS), class)
        .await;
    prepared.map_err(|error| match error.number() {
        Some(state::ERROR_STATE_MOVED) => TargetError::StateMoved {
            target: target.clone(),
        },
        Some(_) | None => TargetError::on("recording the columns of", target, error),
    })
}

/// Whether a transaction was committed, after its reply was lost; on a new connection. Waits until no load
/// transaction of the target is open: a state read earlier could still change.
pub async fn resolve(
    control: &mut Control,
    target: &TableName,
    change: &StateChange,
) -> Result<Option<LoadCounts>, TargetError> {
    let failed = |error| TargetError::on("reading the load state of", target, error);
    let lock = lock_name("apply", target);
    let statement = state::settled_state(&target.to_string(), &lock, SETTLE_TIMEOUT_MS);
    let sets = control
        .query_sets(&statement, Class::LONG)
        .await
        .map_err(failed)?;
    let mut sets = sets.into_iter();
    let granted = sets.next().unwrap_or_default();
    let granted = granted
        .first()
        .ok_or_else(|| failed(MssqlError::Shape("no row".into())))?;
    if granted.int("rc").map_err(failed)? < 0 {
        return Err(TargetError::Locked {
            target: target.clone(),
            lock,
            seconds: SETTLE_TIMEOUT_MS / 1000,
        });
    }
    let rows = sets.next().unwrap_or_default();
    let state = rows.first().map(load_state).transpose().map_err(failed)?;
    Ok(state
        .filter(|state| state.is_of(change))
        .map(|state| state.counts))
}

fn pending(row: &Record) -> Result<Option<Pending>, MssqlError> {
    let count =
        |name| Ok::<_, MssqlError>(u64::try_from(row.int_opt(name)?.unwrap_or(0)).unwrap_or(0));
    Ok(match row.int_opt("pending_snapshot_id")? {
        Some(snapshot_id) => Some(Pending {
            snapshot_id,
            sequence_number: row.int_opt("pending_sequence_number")?.unwrap_or(0),
            rows: count("pending_rows")?,
            applied: count("pending_applied")?,
            is_whole: row.int_opt("pending_whole")? == Some(1),
        }),
        None => None,
    })
}

fn rule(text: &str) -> Result<LoadRule, MssqlError> {
    let unknown = || MssqlError::Shape(format!("merge_mode: a newer icesync has written {text}"));
    LoadRule::read(text).ok_or_else(unknown)
}

fn load_state(row: &Record) -> Result<LoadState, MssqlError> {
    let columns = row.text_opt("loaded_columns")?.map(LoadedColumns::read);
    let columns = columns.transpose();
    let columns = columns.map_err(|error| MssqlError::Shape(format!("loaded_columns: {error}")))?;
    let (columns, flag) = columns.unwrap_or_default();
    Ok(LoadState {
        lake_table: row.text("lake_table")?.to_owned(),
        table_uuid: row.text("table_uuid")?.to_owned(),
        snapshot_id: row.int("snapshot_id")?,
        sequence_number: row.int("sequence_number")?,
        run_id: row.text("run_id")?.to_owned(),
        loaded_at: row.text("loaded_at")?.to_owned(),
        counts: LoadCounts::read(row)?,
        object: match (
            row.int_opt("target_object_id")?,
            row.text_opt("target_created")?,
        ) {
            (Some(id), Some(created)) => Some(SourceObject {
                id,
                created: created.to_owned(),
            }),
            (None | Some(_), None) | (None, Some(_)) => None,
        },
        rule: row.text_opt("merge_mode")?.map(rule).transpose()?,
        pending: pending(row)?,
        columns,
        flag,
    })
}
