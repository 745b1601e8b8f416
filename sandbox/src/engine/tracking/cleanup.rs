//! Cleanup: what is older than the retention period goes.

use crate::engine::calendar::TICKS_PER_MINUTE;
use crate::engine::schema::ObjectRef;
use crate::engine::state::State;
use std::sync::Arc;

/// What a cleanup did.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cleaned {
    /// The version that it reached.
    pub version: u64,
    /// Changes that it removed.
    pub changes: u64,
}

/// Removes the changes of transactions that committed before the retention period, from one table or all of them, and
/// raises their least valid version. None where tracking is off.
pub fn clean_up(state: &mut State, slot: usize, only: Option<i32>) -> Option<Cleaned> {
    let log = &state.database(slot).tracking;
    let oldest_kept = state.tracking.clock.now() - log.settings?.ticks();
    let expired = log
        .commits
        .iter()
        .rfind(|commit| commit.at <= oldest_kept)
        .map(|commit| commit.version);
    let reached = expired.max(log.cleaned).unwrap_or(0);
    // Whoever reads as of now does not see the cleanup.
    state.clock += 1;
    let time = state.clock;
    let mut cleaned = Cleaned {
        version: reached,
        changes: 0,
    };
    let database = &mut state.databases[slot];
    if only.is_none() && reached > 0 {
        database.tracking.cleaned = Some(reached);
    }
    let ids: Vec<i32> = database
        .tables()
        .map(|table| table.def.id)
        .filter(|id| only.is_none_or(|only| only == *id))
        .collect();
    for id in ids {
        let table = database.table_mut(id);
        if let Some(history) = table.and_then(|table| table.tracking.as_mut()) {
            cleaned.changes += Arc::make_mut(history).clean(time, reached);
            state.unpurged.push(ObjectRef { database: slot, id });
        }
    }
    state.collect_garbage();
    Some(cleaned)
}

/// Frees what no reader at or after a commit time sees any more.
pub fn purge(state: &mut State, oldest: u64) {
    let tables = std::mem::take(&mut state.unpurged);
    for at in tables {
        let database = &mut state.databases[at.database];
        let table = database.table_mut(at.id);
        if let Some(history) = table.and_then(|table| table.tracking.as_mut())
            && !Arc::make_mut(history).purge(oldest)
        {
            state.unpurged.push(at);
        }
        let log = &mut state.databases[at.database].tracking;
        let cleaned = log.cleaned.unwrap_or(0);
        while let Some(first) = log
            .commits
            .front()
            .filter(|first| first.version <= cleaned && first.time <= oldest)
        {
            log.floor = first.version;
            log.commits.pop_front();
        }
    }
}

/// Lets every transaction of a database have committed so many minutes earlier.
pub fn age(state: &mut State, slot: usize, minutes: i64) {
    for commit in &mut state.databases[slot].tracking.commits {
        commit.at -= minutes * TICKS_PER_MINUTE;
    }
}
