//! Windows of Change Tracking: `(last version, current version]`. What is read of one is in [`super::tracked`].
//!
//! SQL Server keeps, for each table whose changes are tracked, the primary key of every row that was inserted, updated
//! or deleted, with the version of the transaction. Versions belong to the database and are given as transactions
//! commit (documentation: "Work with Change Tracking", "CHANGETABLE"). Keys are kept for a retention time and then
//! cleaned up.
//!
//! # The bound
//!
//! `CHANGE_TRACKING_CURRENT_VERSION()` is the version of the last committed transaction. It is read first, before any
//! row, and stored with the rows. Whatever has that version or a lower one is committed by then, and every later read
//! shows it, log and table alike; the rest is argued in [`super::tracked`]. Read after the rows, it would pass over
//! what was committed in between.
//!
//! Where the database allows SNAPSHOT, the version is read in a snapshot transaction, and the rows in a later one. The
//! function then answers what that snapshot shows: a transaction that is about to commit, so that its version is given
//! out and its rows are not visible yet, is in neither. A later snapshot shows what an earlier one did. Without
//! SNAPSHOT the rows of such a transaction are locked until it has committed, and a read with row locks waits for it.
//!
//! # What the log has lost
//!
//! The last version must not be below the table's lowest valid one. That is asked with the bound, after the changes
//! were counted, and again after the last row of each read and before its commit: the cleanup may have passed the
//! window's beginning meanwhile, and then the read proves nothing. (In a snapshot it would still be whole. The price of
//! not telling the two apart is a whole read where the cleanup was at the window's heels anyway.) What leads to a whole
//! read:
//!
//! - *The last version is too low.* The table was not read for longer than the retention, or it was truncated, or its
//!   tracking was turned off and on: SQL Server begins a new log then, at a version above.
//! - *The log is another one.* It began with another version, or was created at another time. So tracking that was
//!   turned off and on is noticed even if the database has given no version meanwhile, or has begun to count anew.
//! - *The last version is the one with which the log began*, and the table was altered since, or its rows are stored
//!   elsewhere. No change was tracked in between, so that tracking which was turned off and on, or a TRUNCATE, looks
//!   like this if the version did not move and the log does not show when it was created. Otherwise neither says
//!   anything here: a rebuild of indexes does both, and SQL Server refuses to switch partitions of a tracked table.
//! - *The last version is above the current one*, or the database's recovery fork is another one: it was restored.
//!
//! # Age
//!
//! Retention is a time, and versions are counts: changes of other tables make a version old in an hour or in a year. So
//! each checkpoint has the time, by the server's clock, when its version was the current one. What commits later has a
//! later time, so the cleanup does not pass the version before that time is older than the retention. A window without
//! changes is not committed, until the last bound is older than a tenth of the retention, and not at all while the
//! database has given no new version. Then a commit of metadata moves it: a database with hundreds of quiet tables
//! costs one small commit for each of them ten times in a retention time, and none is read whole because nothing
//! happened to it. The checkpoint of a step keeps the time of the checkpoint before, since its version is older than
//! the window's bound.
//!
//! # Whole reads
//!
//! The bound is taken before the first row, so what changes meanwhile is in the next window, under any isolation and in
//! whatever order rows are read. Ranges of the key may be read in several states of the table, and by several runs: a
//! row whose key moves is in the log under both keys. A history is read to its end, too, and not up to the bound,
//! because no column of a row has its version; what the next window brings again is dropped.
//!
//! A whole read that takes longer than the retention would be followed by another one for ever: when it ends, the log
//! has lost the changes since its bound. That is noticed after the last row, and the run fails with the statement that
//! lengthens the retention. The lake keeps its rows.
//!
//! # What is not filtered
//!
//! A writer may mark its changes (`WITH CHANGE_TRACKING_CONTEXT`), and a reader leave out those that carry its own
//! mark. The log has one mark a key, that of the last change. Leaving a key out because its last change carries a mark
//! would leave out the unmarked changes before it, too. So nothing is left out.

use super::discover::Discovered;
use super::error::SourceError;
use super::isolation::{LOCK_TIMEOUT_MS, Reading};
use super::origin;
use super::tracked::position;
use super::window::{Bounds, Changes, Extent, Start};
use crate::change::{Origin, Strategy, TrackedSince, Watermark, Window};
use crate::mssql::control::{Class, Control};
use crate::mssql::error::MssqlError;
use crate::mssql::sql::{Ident, TableIdent, tracked};
use crate::mssql::surroundings::Log;
use crate::schema::{Fidelity, Role, SqlType, TableKind};

/// What the log calls its positions.
const VERSION: &str = "SYS_CHANGE_VERSION";
/// A bound without changes is moved when it is older than one part in so many of the retention.
const RENEWED_IN_A_RETENTION: i64 = 10;

/// Why a table cannot be followed by its tracked changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Whatever is done about it.
    Never(String),
    /// Until somebody runs a statement.
    Until(String),
}

/// Why a table cannot be followed by its tracked changes; none where it can.
pub(super) fn refusal(
    source: &Discovered,
    (kind, fidelity): (TableKind, Fidelity),
) -> Option<Refusal> {
    let never = |why: &str| Some(Refusal::Never(why.to_owned()));
    if source.facts.is_view {
        return never(
            "changes of a view are not tracked; replicate the tables that it selects from",
        );
    }
    if source.facts.is_memory_optimized {
        return never("SQL Server does not track changes of a memory-optimized table");
    }
    if let Some(why) = key_refusal(source, kind, fidelity) {
        return Some(Refusal::Never(why));
    }
    let table = TableIdent(&source.schema.name);
    let database = Ident(&source.facts.environment.database);
    let tracking = &source.surroundings.tracking;
    let enable = format!("ALTER TABLE {table} ENABLE CHANGE_TRACKING");
    if tracking.retention_minutes.is_none() {
        return Some(Refusal::Until(format!(
            "its database tracks no changes. Run ALTER DATABASE {database} SET CHANGE_TRACKING = ON (CHANGE_RETENTION \
             = 7 DAYS, AUTO_CLEANUP = ON), then {enable}"
        )));
    }
    if tracking.log.is_none() {
        return Some(Refusal::Until(format!(
            "its changes are not tracked. Run {enable}"
        )));
    }
    (!tracking.can_view).then(|| {
        Refusal::Until(format!(
            "the login may not see its tracked changes. Run GRANT VIEW CHANGE TRACKING ON {table} TO the login's user"
        ))
    })
}

/// The log has the values of the primary key only, and a delete has nothing else.
fn key_refusal(source: &Discovered, kind: TableKind, fidelity: Fidelity) -> Option<String> {
    let primary = source.indexes.iter().find(|index| index.is_primary_key);
    let Some(primary) = primary else {
        return Some("it has no primary key, by which SQL Server tracks changes".to_owned());
    };
    let mut key: Vec<i32> = source.schema.key_columns().map(|key| key.id).collect();
    let mut tracked = primary.key.clone();
    key.sort_unstable();
    tracked.sort_unstable();
    if key != tracked {
        return Some(
            "changes are tracked by the primary key, and `key` names other columns, of which a deleted row leaves \
             nothing"
                .to_owned(),
        );
    }
    let is_cut = |role: &Role| *role == Role::Ticks && fidelity == Fidelity::Standard;
    let cut = source.schema.key_columns().find(|column| {
        let is_float = matches!(column.ty, SqlType::Real | SqlType::Float);
        let companions = column.ty.facts().companions;
        is_float && kind == TableKind::History || companions.iter().any(is_cut)
    });
    cut.map(|column| {
        format!(
            "the lake does not tell its rows apart by key column {} ({}), so it could not tell which row is deleted",
            column.name, column.ty
        )
    })
}

/// The server's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Answer {
    current: i64,
    min_valid: i64,
    /// Keys since the last version, where that is valid.
    changed: Option<u64>,
    /// Seconds since 1970.
    at: i64,
}

/// Closes the window.
pub(super) async fn bounds(
    control: &mut Control,
    source: &Discovered,
    reading: &Reading,
    start: &Start,
    known: Option<&Origin>,
) -> Result<Bounds, SourceError> {
    let table = &source.schema.name;
    let failed = |error| SourceError::on("asking for the tracked changes of", table, error);
    let gone = || SourceError::Untracked {
        table: table.clone(),
    };
    let log = source.surroundings.tracking.log.as_ref().ok_or_else(gone)?;
    let last = start.last().and_then(position);
    let statement = tracked::bounds(&source.schema, last, reading.count, LOCK_TIMEOUT_MS);
    let sets = control.query_sets(&statement, Class::LONG).await;
    let sets = sets.map_err(failed)?;
    let row = sets.iter().flatten().next();
    let row = row.ok_or_else(|| failed(MssqlError::Shape("no row".into())))?;
    let current = row.int_opt("current_version").map_err(failed)?;
    let min_valid = row.int_opt("min_valid").map_err(failed)?;
    let answer = Answer {
        current: current.ok_or_else(gone)?,
        min_valid: min_valid.ok_or_else(gone)?,
        changed: row
            .int_opt("changed_keys")
            .map_err(failed)?
            .and_then(|keys| u64::try_from(keys).ok()),
        at: row.int("taken_at").map_err(failed)?,
    };
    Ok(settle(source, log, answer, start, known))
}

/// Where a window starts, whose log is followed.
pub(super) fn start(checkpoint: Option<&crate::change::Checkpoint>) -> Start {
    Start::at(
        Strategy::ChangeTracking,
        VERSION,
        SqlType::BigInt,
        checkpoint,
    )
}

/// A version as a watermark.
pub(super) fn mark(version: i64) -> Watermark {
    Watermark {
        column: VERSION.to_owned(),
        ty: SqlType::BigInt,
        text: version.to_string(),
    }
}

/// Pure: the window for a current version.
fn settle(
    source: &Discovered,
    log: &Log,
    answer: Answer,
    start: &Start,
    known: Option<&Origin>,
) -> Bounds {
    let since = known.and_then(|known| known.tracking.as_ref());
    let upper = mark(answer.current);
    let at_last = start.last().and_then(|last| Some((last, position(last)?)));
    let lost = at_last.and_then(|(_, last)| lost(source, log, answer, last, known));
    let mut bounds = match (at_last, lost) {
        (None, _) => Bounds::full(Some(upper), start),
        (Some(_), Some(reason)) => Bounds::full(Some(upper), &Start::Again(reason)),
        (Some((mark, last)), None) => {
            let is_old = is_old(source, since, answer.at);
            let changed = answer.changed.unwrap_or(0);
            Bounds::of(match last == answer.current || changed == 0 && !is_old {
                true => Extent::Nothing { at: mark.clone() },
                false => Extent::Tracked(Changes {
                    window: Window {
                        lower: mark.clone(),
                        upper,
                        previous: mark.clone(),
                    },
                    keys: changed,
                    renews: is_old,
                    since: since.map(|since| since.at),
                }),
            })
        }
    };
    bounds.tracking = Some(TrackedSince {
        begin: log.begin,
        created: log.created.clone(),
        altered: Some(source.facts.modified.clone()),
        at: answer.at,
    });
    bounds
}

/// Why the log does not have all changes since the last version; none where it does.
fn lost(
    source: &Discovered,
    log: &Log,
    answer: Answer,
    last: i64,
    known: Option<&Origin>,
) -> Option<String> {
    let since = known.and_then(|known| known.tracking.as_ref());
    if since.is_some_and(|since| !is_log_of(log, since)) {
        return Some(
            "change tracking of the table was turned off and on, or reset as by TRUNCATE TABLE"
                .into(),
        );
    }
    if last > answer.current {
        return Some(format!(
            "the checkpoint (version {last}) is above the database's current version ({}). Was the database restored?",
            answer.current
        ));
    }
    if last < answer.min_valid {
        return Some(format!(
            "changes since version {last} are not tracked any more (the lowest version is {}), as after TRUNCATE TABLE \
             or where the table was not read for longer than changes are kept. To keep them longer, run {}",
            answer.min_valid,
            keep_longer(source)
        ));
    }
    // Nothing tells one beginning of the log from another one.
    let altered = since.and_then(|since| since.altered.as_ref());
    let is_altered = altered.is_some_and(|altered| *altered != source.facts.modified);
    let is_another =
        last == log.begin && (is_altered || origin::is_stored_elsewhere(source, known));
    is_another.then(|| {
        "no change of the table has been tracked so far, and the table was altered or stored elsewhere since the last \
         run, as when change tracking is turned off and on or by TRUNCATE TABLE"
            .to_owned()
    })
}

/// Whether a watermark was taken from this log.
fn is_log_of(log: &Log, since: &TrackedSince) -> bool {
    let is_created_then = match (&log.created, &since.created) {
        (Some(now), Some(then)) => now == then,
        (None, _) | (_, None) => true,
    };
    log.begin == since.begin && is_created_then
}

/// Whether the last bound is so old that the cleanup may pass it before long.
fn is_old(source: &Discovered, since: Option<&TrackedSince>, at: i64) -> bool {
    let tracking = &source.surroundings.tracking;
    let retention = tracking.retention_minutes.filter(|_| tracking.cleans_up);
    match (retention, since) {
        (None, _) => false,
        (Some(_), None) => true,
        (Some(minutes), Some(since)) => {
            at.saturating_sub(since.at)
                .saturating_mul(RENEWED_IN_A_RETENTION)
                >= minutes.saturating_mul(60)
        }
    }
}

/// The statement that lets the database keep changes for twice as long, in days.
fn keep_longer(source: &Discovered) -> String {
    const MINUTES_A_DAY: i64 = 24 * 60;
    let minutes = source.surroundings.tracking.retention_minutes.unwrap_or(0);
    format!(
        "ALTER DATABASE {} SET CHANGE_TRACKING (CHANGE_RETENTION = {} DAYS)",
        Ident(&source.facts.environment.database),
        (2 * minutes / MINUTES_A_DAY).max(2)
    )
}

/// Whether a read, after its last row, may be committed: `now` is the table as it is then, `from` the lowest version
/// since which the log must have all changes.
pub(super) fn still(
    now: &Discovered,
    since: Option<&TrackedSince>,
    from: Option<&Watermark>,
    is_whole: bool,
) -> Result<(), SourceError> {
    let table = &now.schema.name;
    let is_same = |log: &&Log| since.is_none_or(|since| is_log_of(log, since));
    let Some(log) = now.surroundings.tracking.log.as_ref().filter(is_same) else {
        return Err(SourceError::Untracked {
            table: table.clone(),
        });
    };
    if from
        .and_then(position)
        .is_none_or(|from| from >= log.min_valid)
    {
        return Ok(());
    }
    Err(match is_whole {
        true => SourceError::Retention {
            table: table.clone(),
            minutes: now.surroundings.tracking.retention_minutes.unwrap_or(0),
            longer: keep_longer(now),
        },
        false => SourceError::Untracked {
            table: table.clone(),
        },
    })
}

#[cfg(test)]
mod tests;
