//! Change tracking: which keys of a table were inserted, updated or deleted since a version.
//!
//! # Versions
//! A database has one counter. A transaction that changed a tracked table takes the next version at its commit, in the
//! hold of the mutex that makes its rows visible, so the order of versions is the order of commits. Until then its
//! changes are entries of its undo list (`Undo::Tracked`): a rollback, to a savepoint or of everything, drops them with
//! the rows that they are about. Commit adds them to the history of their table, one entry for each key and
//! transaction.
//!
//! # Histories
//! A history lies in its table. It begins when tracking is enabled and when the table is truncated, and what a
//! transaction recorded for an earlier history of the table (another `epoch`) is dropped at commit. Rolling back the
//! statement that began a history restores the table, and with it the history before.
//!
//! # Readers
//! CHANGETABLE folds a key's entries after the reader's version into one row. Each entry has the commit time of its
//! transaction, so a SNAPSHOT transaction, and a statement that reads row versions, sees those of its moment; every
//! other reader sees what is committed, and waits for no writer. CHANGE_TRACKING_CURRENT_VERSION() in a SNAPSHOT
//! transaction is the version of that moment, and begins the snapshot when it is the transaction's first read:
//! CHANGETABLE never returns a later version there.
//!
//! # Cleanup
//! A cleanup hides the entries of transactions that committed before the retention period from whoever reads after it,
//! and raises the least valid version. Entries are freed when the last reader of an older moment has ended.

use crate::engine::Clock;
use crate::engine::calendar::TICKS_PER_MINUTE;
use crate::engine::schema::{ObjectRef, Row};
use crate::engine::state::{State, Transaction, Undo};
use crate::engine::storage::Table;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

mod cleanup;
mod history;
mod read;
mod record;

pub use cleanup::{Cleaned, age, clean_up, purge};
pub use history::{History, Operation};
pub use read::{changes, current_version, is_in_mask, min_valid_version, not_tracked, versions};
pub use record::{Recorder, context};

/// What an engine does where SQL Server's documentation leaves it open, and its clock.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    pub clock: Clock,
    /// Enabling tracking and truncating take a version.
    pub history_end_takes_version: bool,
}

/// Unit of CHANGE_RETENTION, numbered as `retention_period_units`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    Minutes = 1,
    Hours = 2,
    Days = 3,
}

impl Unit {
    pub fn minutes(self) -> i64 {
        match self {
            Unit::Minutes => 1,
            Unit::Hours => 60,
            Unit::Days => 24 * 60,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Unit::Minutes => "MINUTES",
            Unit::Hours => "HOURS",
            Unit::Days => "DAYS",
        }
    }
}

/// Options of SET CHANGE_TRACKING.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    pub period: u32,
    pub unit: Unit,
    pub auto_cleanup: bool,
}

impl Default for Settings {
    /// Two days with cleanup, as SQL Server sets them when the statement leaves them out.
    fn default() -> Self {
        Self {
            period: 2,
            unit: Unit::Days,
            auto_cleanup: true,
        }
    }
}

impl Settings {
    /// The retention period in 100 ns ticks.
    fn ticks(&self) -> i64 {
        i64::from(self.period) * self.unit.minutes() * TICKS_PER_MINUTE
    }
}

/// A transaction that took a version.
#[derive(Debug, Clone, Copy)]
pub struct Commit {
    pub version: u64,
    /// The engine's commit time.
    pub time: u64,
    /// UTC in 100 ns ticks since 0001-01-01.
    pub at: i64,
    pub transaction: u64,
}

/// Change tracking of a database.
#[derive(Debug, Clone, Default)]
pub struct Log {
    /// None: OFF.
    pub settings: Option<Settings>,
    /// The last version. It stays when tracking is turned off.
    pub version: u64,
    /// Of increasing versions.
    commits: VecDeque<Commit>,
    /// The version before the first of `commits`.
    floor: u64,
    /// Every table was cleaned up to this version.
    pub cleaned: Option<u64>,
}

impl Log {
    fn draw(&mut self, time: u64, at: i64, transaction: u64) -> u64 {
        self.version += 1;
        self.commits.push_back(Commit {
            version: self.version,
            time,
            at,
            transaction,
        });
        self.version
    }

    /// The last version at a commit time.
    pub fn version_at(&self, time: u64) -> u64 {
        let later = self.commits.partition_point(|commit| commit.time <= time);
        let last = later.checked_sub(1).and_then(|last| self.commits.get(last));
        last.map_or(self.floor, |commit| commit.version)
    }

    /// Transactions that no cleanup has reached.
    pub fn commits(&self) -> impl Iterator<Item = &Commit> {
        let cleaned = self.cleaned.unwrap_or(0);
        self.commits
            .iter()
            .filter(move |commit| commit.version > cleaned)
    }
}

/// A change of a row, by a transaction that is not committed yet.
#[derive(Debug)]
pub struct Tracked {
    pub table: ObjectRef,
    /// The history that it is for.
    epoch: i32,
    /// Values of the primary key, in the order of its columns.
    key: Row,
    operation: Operation,
    /// Ids of the columns that an update set; none: all, or not recorded.
    columns: Option<Arc<[i32]>>,
    context: Option<Arc<[u8]>>,
}

/// The table whose history a change is for, while it has that history.
fn recorded<'s>(state: &'s State, change: &Tracked) -> Option<&'s Table> {
    let table = state
        .database(change.table.database)
        .table(change.table.id)?;
    let history = table.tracking.as_ref()?;
    (history.epoch == change.epoch).then_some(table)
}

fn begins_history(state: &State, at: ObjectRef) -> bool {
    let table = state.database(at.database).table(at.id);
    let history = table.and_then(|table| table.tracking.as_ref());
    history.is_some_and(|history| history.begin.is_none())
}

/// Gives a transaction that commits at `time` its version in each database where it takes one, and adds its changes to
/// the histories of their tables.
pub fn publish(state: &mut State, transaction: &Transaction, time: u64) {
    let rules = state.tracking;
    let mut begun: Vec<ObjectRef> = Vec::new();
    // Versions before the transaction's, and whether it takes one.
    let mut taken: BTreeMap<usize, (u64, bool)> = BTreeMap::new();
    for undo in &transaction.undo {
        let (slot, takes) = if let Undo::Tracked(change) = undo
            && recorded(state, change).is_some()
        {
            (change.table.database, true)
        } else if let Undo::Object { at, .. } = undo
            && begins_history(state, *at)
        {
            begun.push(*at);
            (at.database, rules.history_end_takes_version)
        } else {
            continue;
        };
        let before = state.database(slot).tracking.version;
        taken.entry(slot).or_insert((before, false)).1 |= takes;
    }
    let now = rules.clock.now();
    for (slot, (_, takes)) in &taken {
        if *takes {
            let log = &mut state.databases[*slot].tracking;
            log.draw(time, now, transaction.id);
        }
    }
    for at in begun {
        let (before, _) = taken.get(&at.database).copied().unwrap_or_default();
        let after = state.database(at.database).tracking.version;
        let begin = match rules.history_end_takes_version {
            true => after,
            false => before,
        };
        let table = state.databases[at.database].table_mut(at.id);
        if let Some(history) = table.and_then(|table| table.tracking.as_mut()) {
            Arc::make_mut(history).begin.get_or_insert(begin);
        }
    }
    for undo in &transaction.undo {
        let Undo::Tracked(change) = undo else {
            continue;
        };
        let Some(key) = recorded(state, change).map(|table| history::key_of(table, &change.key))
        else {
            continue;
        };
        let version = state.database(change.table.database).tracking.version;
        let database = &mut state.databases[change.table.database];
        let table = database.table_mut(change.table.id);
        if let Some(history) = table.and_then(|table| table.tracking.as_mut()) {
            Arc::make_mut(history).add(key, change, version, time);
        }
    }
}
