//! What happened to the keys of one table, and what of it a reader sees.

use super::Tracked;
use crate::engine::ordering;
use crate::engine::schema::Row;
use crate::engine::storage::Table;
use crate::value::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    Insert,
    Update,
    Delete,
}

impl Operation {
    /// `SYS_CHANGE_OPERATION`.
    pub fn letter(self) -> &'static str {
        match self {
            Operation::Insert => "I",
            Operation::Update => "U",
            Operation::Delete => "D",
        }
    }
}

/// What one transaction did to one key.
#[derive(Debug, Clone)]
struct Change {
    version: u64,
    /// The engine's commit time.
    time: u64,
    first: Operation,
    last: Operation,
    inserted: bool,
    /// Ids of the columns that it set, when it did nothing but update some.
    columns: Option<Arc<[i32]>>,
    /// Of its last statement on the key.
    context: Option<Arc<[u8]>>,
}

#[derive(Debug, Clone)]
struct Keyed {
    /// As the key was spelled first: its collation may take other spellings for the same.
    key: Row,
    /// Of increasing versions.
    changes: Vec<Change>,
}

/// Changes of a table since tracking began on it.
#[derive(Debug, Clone)]
pub struct History {
    pub epoch: i32,
    /// TRACK_COLUMNS_UPDATED.
    pub columns: bool,
    /// The version that it begins with; none until the statement that begins it is committed.
    pub begin: Option<u64>,
    keys: BTreeMap<Box<[u8]>, Keyed>,
    /// Commit times of cleanups, and the version that each reached.
    cleanups: Vec<(u64, u64)>,
    /// Changes up to this version are freed.
    freed: u64,
}

/// A row of CHANGETABLE(CHANGES ..).
#[derive(Debug)]
pub struct Net {
    pub key: Row,
    pub version: u64,
    pub creation: Option<u64>,
    pub operation: Operation,
    pub columns: Option<Vec<i32>>,
    pub context: Option<Arc<[u8]>>,
}

/// The values of a primary key as bytes.
pub fn key_of(table: &Table, values: &[Value]) -> Box<[u8]> {
    let mut out = Vec::with_capacity(24);
    if let Some(primary) = table.def.primary_key() {
        for ((at, _), value) in primary.columns.iter().zip(values) {
            ordering::encode(value, table.def.columns[*at].order(), &mut out);
        }
    }
    out.into_boxed_slice()
}

impl History {
    pub fn new(epoch: i32, columns: bool) -> Self {
        Self {
            epoch,
            columns,
            begin: None,
            keys: BTreeMap::new(),
            cleanups: Vec::new(),
            freed: 0,
        }
    }

    /// Adds a change of a transaction; its changes of one key become one.
    pub fn add(&mut self, key: Box<[u8]>, change: &Tracked, version: u64, time: u64) {
        let keyed = self.keys.entry(key).or_insert_with(|| Keyed {
            key: change.key.clone(),
            changes: Vec::new(),
        });
        let inserted = change.operation == Operation::Insert;
        if let Some(known) = keyed.changes.last_mut()
            && known.version == version
        {
            known.last = change.operation;
            known.inserted |= inserted;
            known.columns = both(known.columns.take(), change.columns.as_ref());
            known.context.clone_from(&change.context);
            return;
        }
        keyed.changes.push(Change {
            version,
            time,
            first: change.operation,
            last: change.operation,
            inserted,
            columns: change.columns.clone(),
            context: change.context.clone(),
        });
    }

    /// Versions that a cleanup has taken from a reader of a commit time (none: of now).
    fn cleaned(&self, time: Option<u64>) -> u64 {
        let seen = |at: u64| time.is_none_or(|time| at <= time);
        let mut cleanups = self.cleanups.iter().rev();
        cleanups
            .find(|(at, _)| seen(*at))
            .map_or(0, |(_, version)| *version)
    }

    /// `cleanup_version`: none before the first cleanup.
    pub fn cleanup_version(&self) -> Option<u64> {
        self.cleanups.last().map(|(_, version)| *version)
    }

    /// The least version that a reader may have. A history that is not committed begins at `current`.
    pub fn min_valid_version(&self, current: u64) -> u64 {
        self.begin.unwrap_or(current).max(self.cleaned(None))
    }

    /// What became of each key after a version, in the order of keys, for a reader of a commit time (none: of now).
    ///
    /// A key whose last change is a delete is deleted; otherwise one whose first change is an insert is inserted;
    /// otherwise it is updated, as it is when a delete is followed by an insert.
    pub fn changes(&self, after: u64, time: Option<u64>) -> Vec<Net> {
        let after = after.max(self.cleaned(time));
        let folded = self.keys.values().filter_map(|keyed| {
            let mut seen = seen(&keyed.changes, after, time);
            let first = seen.next()?;
            let mut net = Net {
                key: keyed.key.clone(),
                version: first.version,
                creation: first.inserted.then_some(first.version),
                operation: first.last,
                columns: None,
                context: first.context.clone(),
            };
            let mut columns = first.columns.clone();
            for change in seen {
                net.version = change.version;
                net.creation = match change.inserted {
                    true => Some(change.version),
                    false => net.creation,
                };
                net.operation = change.last;
                net.context.clone_from(&change.context);
                columns = both(columns, change.columns.as_ref());
            }
            if net.operation != Operation::Delete {
                net.operation = match first.first {
                    Operation::Insert => Operation::Insert,
                    Operation::Update | Operation::Delete => Operation::Update,
                };
            }
            if net.operation == Operation::Update && self.columns {
                net.columns = columns.map(|columns| columns.to_vec());
            }
            Some(net)
        });
        folded.collect()
    }

    /// Version and context of a key's last change.
    pub fn last(&self, key: &[u8], time: Option<u64>) -> Option<(u64, Option<Arc<[u8]>>)> {
        let keyed = self.keys.get(key)?;
        let last = seen(&keyed.changes, self.cleaned(time), time).last()?;
        Some((last.version, last.context.clone()))
    }

    /// Hides the changes up to a version from whoever reads at `time` or later; how many.
    pub(super) fn clean(&mut self, time: u64, version: u64) -> u64 {
        let cleaned = self.cleaned(None);
        if version <= cleaned {
            return 0;
        }
        self.cleanups.push((time, version));
        let changes = self.keys.values().flat_map(|keyed| &keyed.changes);
        let hidden = changes.filter(|change| change.version > cleaned && change.version <= version);
        hidden.count() as u64
    }

    /// Frees what is hidden from every reader at or after `oldest`; true when nothing hidden remains.
    pub(super) fn purge(&mut self, oldest: u64) -> bool {
        let free = self.cleaned(Some(oldest));
        if free > self.freed {
            self.freed = free;
            self.keys.retain(|_, keyed| {
                keyed.changes.retain(|change| change.version > free);
                !keyed.changes.is_empty()
            });
            self.cleanups.retain(|(_, version)| *version >= free);
        }
        self.cleanups.iter().all(|(_, version)| *version <= free)
    }
}

/// The changes after a version that a reader of a commit time sees.
fn seen(changes: &[Change], after: u64, time: Option<u64>) -> impl Iterator<Item = &Change> {
    changes
        .iter()
        .filter(move |change| change.version > after && time.is_none_or(|time| change.time <= time))
}

/// The columns of two updates; none when either is unknown, or no update.
fn both(known: Option<Arc<[i32]>>, more: Option<&Arc<[i32]>>) -> Option<Arc<[i32]>> {
    let (known, more) = (known?, more?);
    let new: Vec<i32> = more
        .iter()
        .filter(|id| !known.contains(id))
        .copied()
        .collect();
    match new.is_empty() {
        true => Some(known),
        false => Some(known.iter().copied().chain(new).collect()),
    }
}
