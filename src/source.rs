//! Reads what changed in a source table: which rows, in which window, under which isolation.
//!
//! # Why no row is lost
//!
//! A run reads one window of a column's order, closed above before the first row is read. The upper bound is stored
//! with the rows in the same lake commit, and the next window starts there. So a run that dies at any point has
//! either committed rows and bound together or neither, and reading the same window again gives the same rows or
//! newer ones. What is left to argue is that nothing can appear below an upper bound after the window has been
//! read. Each strategy argues it for itself:
//!
//! - `rowversion`: `MIN_ACTIVE_ROWVERSION()` is below every version that an open transaction holds or will draw, so
//!   all rows below it are committed. It is read in autocommit, before the reading transaction: what commits in
//!   between is then visible and below the bound, or above it and in the next window. An update draws a new
//!   version, so a changed row moves to a later window.
//! - `timestamp`: nothing on the server says which timestamps an open transaction has yet to write. The upper bound
//!   stays `lag` behind the server's clock and, where the login may see transactions (VIEW SERVER STATE), also
//!   `lag` behind the begin of the oldest open transaction that has written to the database; it may then lie before
//!   the last bound, and the window is read again from there. A memory-optimized table logs nothing before the commit,
//!   so its open transactions are not seen, and that is said. The lower bound lies `overlap` before the last upper
//!   bound, for clocks that differ and rows that come late. A row that commits later than `overlap` after its own
//!   timestamp is missed until it changes again or a full refresh; so is a row without a timestamp. Bounds are
//!   computed by the server in the column's own type, and moved back by twice its unit, because conversion rounds.
//!   A clock of local time goes back an hour once a year: windows bounded by it reach back an hour further. SQL Server
//!   keeps in local time, too, when a transaction began: one that is open while local time goes back, and for more than
//!   an hour, looks an hour younger, which only `overlap` covers.
//! - `sequence`: the highest number is read under a shared table lock, which waits for every insert in flight.
//!   Numbers drawn before their insert begins (a SEQUENCE object, a counter in the application) may still come
//!   late, and updates are not seen at all; both are said. An identity that stands below the last bound, because it was
//!   reseeded or counts down, numbers new rows below it: then the whole table is read.
//! - `change_tracking`: the version of the last committed transaction bounds the keys that the server has noted as
//!   changed, deletes included, and each key's row is read from the table (`change_tracking` argues the bound, and
//!   `tracked` what is read of such a log). Every later change of a key is in a later window.
//! - `full`: every row is read each time; there is no bound.
//!
//! The first run of a strategy, and any run whose checkpoint cannot be used (another strategy, column or type; a
//! bound that the server has not reached; a database or a partition that is not the one that was read, see `origin`),
//! reads the whole table, NULL and future watermarks included, with the upper bound taken before.
//!
//! A bound is safe only where the transactions that write can be seen or waited for. On a readable secondary, a
//! database snapshot and a standby database they run elsewhere: there only `full` is used (`auto`).
//!
//! # Why no version is there twice
//!
//! A mirror keeps one row a key, so reading a row again does no harm, and a whole read of a mirror has no upper end.
//! A history keeps each version. Its whole reads end where the next window begins, and include the rows without a
//! watermark, which no window shows. What a window reads again on purpose (`overlap`), what a bound that moved back
//! brings again, and what a whole read after a change of strategy brings, is compared with the lake before it is
//! written (`lake/write/compare.rs`).
//!
//! # Reading again
//!
//! A part of the column's order that lies beneath the last bound may be read once more (`span`). It changes what the
//! lake has of its rows, and not what later windows read.
//!
//! # Isolation
//!
//! Under SNAPSHOT all statements of a read see one state. Under READ COMMITTED with row versions each statement
//! sees the state at its own beginning. A full read is one statement, and so is a window or a step of one. What may
//! happen between the steps of a window is argued in `steps`. NOLOCK and READPAST are never used.
//!
//! **Row locks.** A database as SQL Server creates it has neither. Its READ COMMITTED waits at a row that an open
//! transaction has changed, and lets go of each row that it has passed: a scan sees no single state. It meets each
//! committed row that stays where it is exactly once. A row that an UPDATE moves meanwhile, because it changes a key
//! of the index that is scanned, is met twice where it moves ahead of the scan, and not at all where it moves behind
//! it. Under `rowversion` a mirror may be read so, because of what the bound says. Let B be
//! `MIN_ACTIVE_ROWVERSION()`, read before the scan.
//!
//! - *Not changed since B was read.* The row's version is below B and final. No transaction that is open holds it, so
//!   the scan does not wait for it, and it does not move: it is met once. (Only DBCC SHRINKFILE and SHRINKDATABASE
//!   move rows of a heap that nobody changes.)
//! - *Changed since.* Every version that is drawn after B was read is B or above. So whatever the scan met of the row,
//!   once, twice or not at all, the row as it is now lies at or above B, and the window that begins at B has it.
//! - *Met twice.* The lake keeps the row that was written last of a key, which is the newer one, and the next window
//!   replaces even that.
//! - *Met between index and table.* A read that finds a row by an index and then fetches it may join an old version
//!   with new values if the row is changed in between. It has been changed since B.
//! - *Changed back by a rollback.* The scan waits at both places where the row might be, and meets it where it was.
//! - *Inserted, or its key changed.* As changed: the new key is in the next window. The old key, if it was met, stays
//!   in the lake until a whole read. That is what `rowversion` does with an old key at all times, as with a deleted
//!   row, which has no version any more.
//! - *Read above B.* A row may be kept although the next window brings it again.
//!
//! What is left is time: a row that moves while a whole table is read may be missing from the lake until the next run.
//! A window `[lo, B)` has not even that, because a row that changes leaves it. Ranges of a key are not read so, since
//! their parts cannot replace rows of each other.
//!
//! Under `change_tracking` the same holds with the version B that was current before the scan: every change that
//! commits later is in the log above B. Deleted rows and old keys are in the log, too, so they do not stay.
//!
//! Under `timestamp` and `sequence` a row may move without a new time or number, and `full` has no next window. A
//! history keeps what it met, also a version that never was. These need row versions or a table lock, and are refused
//! with the statement that turns row versions on. `isolation: read_committed` asks for row locks nevertheless. A mirror
//! under one of these, or under the rowversion of a view that does not tell when its rows change, is then read, and a
//! whole read deletes nothing from it. A history is refused.
//!
//! # Locks
//!
//! No wait of a read is without a bound: each session of the source has a LOCK_TIMEOUT before it touches a table. A
//! lock that makes others wait (a fence's, a sequence's, `table_lock`'s) is held by a statement, or by a transaction
//! whose every step has a bound of its own. A statement that reads with row locks may keep those of all its rows until
//! it ends, which is when the lake has taken most of them. So a window is then read by several small ones, its pages
//! (`source/plan.rs`). A
//! queue for a table is served in its order, so a request that waits keeps waiting whoever comes later and is not
//! compatible with it: what waits for a lock on a whole table gives up soon (after 10 s).
//!
//! # Round trips
//!
//! One for discovery, one for the bounds, one for the read; a window that is known to be empty is not read. One more
//! where a window may have more than `commit_rows` rows (`steps`). Where something is read, sync repeats discovery
//! before and after it.

mod auto;
mod change_tracking;
mod clock;
mod cuts;
mod definition;
mod discover;
mod error;
mod full;
mod isolation;
mod notice;
mod odd;
mod open;
mod origin;
mod plan;
mod protection;
mod rowversion;
mod sequence;
mod span;
mod steps;
mod timestamp;
mod tracked;
mod view;
mod window;

pub use clock::told;
pub use cuts::{Split, fingerprint};
pub use definition::definition;
pub use discover::{Discovered, discover};
pub use error::SourceError;
pub use notice::Notice;
pub use odd::{KEYS_MAX, OddRows, listed};
pub use plan::{ExtractPlan, Followed, LOOK_TIMEOUT_MS, Ranges, Read, Spanned};

use crate::change::{Backfill, ChangeOptions, Checkpoint, Strategy};
use crate::mssql::control::{Class, Control};
use crate::mssql::sql::read;
use crate::schema::{Fidelity, KeyOrigin, TableKind};
use crate::secret::RowValue;
use auto::Choice;
use isolation::Reading;
use plan::decided::{self, Decided};
use window::{Bounds, Start};

/// Lag and overlap beyond this are a mistake.
const DURATION_MAX: std::time::Duration = std::time::Duration::from_secs(10 * 366 * 86_400);

/// Chooses the strategy, takes the bounds (at most one round trip, plus one that checks a configured key before a
/// full read), and plans the read. Reads no row and changes nothing.
pub async fn plan(
    control: &mut Control,
    source: &Discovered,
    options: &ChangeOptions,
    (kind, fidelity): (TableKind, Fidelity),
    checkpoint: Option<&Checkpoint>,
) -> Result<ExtractPlan, SourceError> {
    let table = &source.schema.name;
    for (option, duration) in [
        ("change.lag", options.lag),
        ("change.overlap", options.overlap),
    ] {
        if duration > DURATION_MAX {
            return Err(SourceError::Duration {
                table: table.clone(),
                option,
            });
        }
    }
    let accepted = protection::check(source, options.accept)?;
    let choice = auto::choose(source, options, (kind, fidelity), checkpoint)?;
    let what = (choice.strategy, kind);
    let reading = isolation::choose(source, options.isolation, what)?;
    let mut resumes = cuts::resumable(source, &reading, choice.strategy, checkpoint)
        .filter(|_| options.span.is_none());
    let continued = checkpoint
        .zip(resumes.as_ref().map(|(backfill, _)| *backfill))
        .map(|(checkpoint, backfill)| checkpoint.at_bound(backfill));
    let checkpoint = continued.as_ref().or(checkpoint);
    let mut bounds = match &options.span {
        Some(span) => {
            span::bounds(control, source, span, &choice, checkpoint, options.accept).await?
        }
        None => bounds(control, source, options, &choice, &reading, checkpoint).await?,
    };
    bounds.warnings.extend(accepted);
    // The server has not reached the ledger's bound, as after a restore: then its ranges are worth nothing.
    resumes = resumes.filter(|_| !bounds.is_whole());
    let mut cut = None;
    if let Some((ledger, split)) = resumes {
        bounds = resumed(ledger, &split, bounds);
        cut = Some((split, Some(ledger.clone())));
    } else if bounds.is_whole() {
        check_key(control, source).await?;
        let range_rows = options.range_rows;
        let split = cuts::split(control, source, &reading, what, range_rows, &mut bounds).await?;
        cut = split.map(|split| (split, None));
    }
    let commit_rows = options.commit_rows;
    let steps = steps::cuts(control, source, &choice, &reading, commit_rows, &mut bounds).await?;
    let decided = Decided {
        choice,
        reading,
        bounds,
        cut,
        steps,
        kind,
        fidelity,
    };
    Ok(decided::assemble(source, decided))
}

/// Closes the window of a strategy, after what the source is now was compared with what it was.
async fn bounds(
    control: &mut Control,
    source: &Discovered,
    options: &ChangeOptions,
    choice: &Choice,
    reading: &Reading,
    checkpoint: Option<&Checkpoint>,
) -> Result<Bounds, SourceError> {
    let known = checkpoint.and_then(|checkpoint| checkpoint.origin.as_ref());
    if choice.strategy == Strategy::ChangeTracking {
        let restored = origin::is_restored(source, known).then_some(origin::RESTORED);
        let start = change_tracking::start(checkpoint).unless(restored);
        return change_tracking::bounds(control, source, reading, &start, known).await;
    }
    let Some(column) = choice.column else {
        return Ok(full::bounds());
    };
    let (reason, accepted) = protection::moved(source, known, options.accept);
    let start = Start::of(choice.strategy, &source.schema.columns[column], checkpoint);
    let start = start.unless(reason.as_deref());
    let mut bounds = match choice.strategy {
        Strategy::Full | Strategy::ChangeTracking => full::bounds(),
        Strategy::Timestamp => {
            timestamp::bounds(control, source, column, &start, options, reading).await?
        }
        Strategy::Sequence => sequence::bounds(control, source, column, &start).await?,
        Strategy::RowVersion => rowversion::bounds(control, source, column, &start, known).await?,
    };
    bounds.warnings.extend(accepted);
    Ok(bounds)
}

/// Whether a read, after its last row, may be committed: a log of changes may have lost some meanwhile. `now` is the
/// table as it is then.
pub fn still_whole(plan: &ExtractPlan, now: &Discovered) -> Result<(), SourceError> {
    let since = plan.origin.as_ref();
    let since = since.and_then(|origin| origin.tracking.as_ref());
    match (plan.strategy.follows_log(), plan.full_read()) {
        (false, _) => Ok(()),
        (true, true) => change_tracking::still(now, since, plan.upper(), true),
        (true, false) => change_tracking::still(now, since, plan.lower(), false),
    }
}

/// Goes on with the ranges of a ledger, up to its bound.
fn resumed(backfill: &Backfill, split: &Split, window: Bounds) -> Bounds {
    let start = Start::From(backfill.watermark.clone());
    let mut bounds = Bounds {
        warnings: window.warnings,
        notices: window.notices,
        future: window.future,
        ..Bounds::full(Some(backfill.watermark.clone()), &start)
    };
    bounds.why.push(format!(
        "a read of the whole table is under way: {} of {} ranges are done",
        backfill.done.len(),
        split.ranges()
    ));
    bounds
}

/// Refuses a configured key that two rows share. Only before a full read, because it reads the whole table.
async fn check_key(control: &mut Control, source: &Discovered) -> Result<(), SourceError> {
    let configured = matches!(&source.schema.key, Some(key) if key.origin == KeyOrigin::Config);
    if !configured || source.key_is_unique() {
        return Ok(());
    }
    let table = &source.schema.name;
    let failed = |error| SourceError::on("checking the key of", table, error);
    let sets = control
        .query_sets(
            &read::duplicate_key(&source.schema, isolation::LOCK_TIMEOUT_MS),
            Class::LONG,
        )
        .await
        .map_err(failed)?;
    match sets.first().and_then(|rows| rows.first()) {
        None => Ok(()),
        Some(row) => Err(SourceError::KeyNotUnique {
            table: table.clone(),
            example: RowValue(format!("({})", row.text("example").map_err(failed)?)),
            rows: row.int("row_count").map_err(failed)?,
        }),
    }
}

#[cfg(test)]
mod tests;
