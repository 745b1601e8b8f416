//! Tables as rows with version chains, and indexes as ordered sets of encoded keys.
//!
//! A row has an id that it keeps for life; indexes map `key ++ row id` to it. Every write pushes a version onto the
//! row's chain, stamped with the writer's transaction; commit restamps it with the commit time, rollback pops it. A
//! reader takes the newest version that its view admits. Index entries stay as long as any version of the row has
//! that key, so that an old snapshot finds rows by their old keys; a reader checks that the version it took still
//! has the key it came by.

use crate::engine::ordering;
use crate::engine::schema::{Index, Row, TableDef};
use crate::engine::tracking::History;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

/// Set in a stamp that is a transaction id; otherwise the stamp is a commit time.
pub const UNCOMMITTED: u64 = 1 << 63;

#[derive(Debug, Clone)]
pub struct Version {
    pub stamp: u64,
    /// None: deleted.
    pub row: Option<Row>,
}

#[derive(Debug, Clone)]
pub struct Chain {
    pub newest: Version,
    /// The last is the next older. Most rows have none, and millions of rows pay for every word here.
    #[allow(clippy::box_collection)]
    older: Option<Box<Vec<Version>>>,
}

/// What a reader may see.
#[derive(Debug, Clone, Copy)]
pub enum View {
    /// Versions committed by then, and the transaction's own.
    AsOf { time: u64, own: u64 },
    /// The newest version; a row that another transaction changed stops the scan, or is passed over.
    Current { own: u64, skip: bool },
    /// The newest version, committed or not.
    Dirty,
}

/// Why a scan stopped: the row is another transaction's.
#[derive(Debug, Clone, Copy)]
pub struct Contended {
    pub row_id: u64,
    pub writer: u64,
}

impl Chain {
    fn versions(&self) -> impl Iterator<Item = &Version> {
        std::iter::once(&self.newest).chain(self.older.iter().flat_map(|older| older.iter().rev()))
    }

    /// The visible row, none when the view shows none.
    pub fn visible(&self, view: View) -> Result<Option<&Row>, u64> {
        match view {
            View::Dirty => Ok(self.newest.row.as_ref()),
            View::Current { own, skip } => {
                let stamp = self.newest.stamp;
                if stamp & UNCOMMITTED == 0 || stamp == own | UNCOMMITTED {
                    Ok(self.newest.row.as_ref())
                } else if skip {
                    Ok(None)
                } else {
                    Err(stamp & !UNCOMMITTED)
                }
            }
            View::AsOf { time, own } => Ok(self
                .versions()
                .find(|version| version.stamp == own | UNCOMMITTED || version.stamp <= time)
                .and_then(|version| version.row.as_ref())),
        }
    }

    /// The id of the transaction whose uncommitted version is newest.
    pub fn writer(&self) -> Option<u64> {
        (self.newest.stamp & UNCOMMITTED != 0).then_some(self.newest.stamp & !UNCOMMITTED)
    }

    /// The newest commit time, when committed.
    pub fn committed(&self) -> Option<u64> {
        self.versions()
            .map(|version| version.stamp)
            .find(|stamp| stamp & UNCOMMITTED == 0)
    }

    fn single(&self) -> bool {
        self.older.is_none()
    }

    fn push(&mut self, version: Version) {
        let old = std::mem::replace(&mut self.newest, version);
        self.older.get_or_insert_default().push(old);
    }

    /// Drops the newest version; false when it was the only one.
    fn pop(&mut self) -> bool {
        let Some(older) = self.older.as_mut() else {
            return false;
        };
        if let Some(version) = older.pop() {
            self.newest = version;
        }
        if older.is_empty() {
            self.older = None;
        }
        true
    }
}

#[derive(Debug, Clone)]
pub struct Table {
    pub def: Arc<TableDef>,
    pub rows: BTreeMap<u64, Chain>,
    /// In the order of `def.indexes`.
    pub indexes: Vec<BTreeSet<Box<[u8]>>>,
    pub next_row: u64,
    /// The last identity value; none before the first.
    pub identity_last: Option<i128>,
    /// Rows in their newest version.
    pub count: i64,
    /// Commit time of the last change of shape; `u64::MAX` until committed.
    pub shaped_at: u64,
    /// What identifies where the rows are: a switch exchanges it.
    pub storage: i32,
    /// Changes, while change tracking is enabled.
    pub tracking: Option<Arc<History>>,
}

/// A stretch of an index.
#[derive(Debug, Clone)]
pub struct Range {
    pub lower: Bound<Vec<u8>>,
    pub upper: Bound<Vec<u8>>,
}

impl Range {
    pub fn all() -> Self {
        Self {
            lower: Bound::Unbounded,
            upper: Bound::Unbounded,
        }
    }

    /// Every entry whose key starts with `prefix`.
    pub fn prefix(prefix: &[u8]) -> Self {
        Self {
            lower: Bound::Included(prefix.to_vec()),
            upper: ordering::after_prefix(prefix).map_or(Bound::Unbounded, Bound::Excluded),
        }
    }
}

/// Appends a row's key in an index, without the row id.
pub fn index_key(def: &TableDef, index: &Index, row: &[crate::value::Value], out: &mut Vec<u8>) {
    for (ordinal, descending) in &index.columns {
        let start = out.len();
        ordering::encode(&row[*ordinal], def.columns[*ordinal].order(), out);
        if *descending {
            ordering::invert(out, start);
        }
    }
}

fn entry_row(entry: &[u8]) -> u64 {
    let mut id = [0u8; 8];
    id.copy_from_slice(&entry[entry.len() - 8..]);
    u64::from_be_bytes(id)
}

impl Table {
    pub fn new(def: TableDef) -> Self {
        let indexes = def.indexes.iter().map(|_| BTreeSet::new()).collect();
        Self {
            storage: def.id,
            def: Arc::new(def),
            rows: BTreeMap::new(),
            indexes,
            next_row: 1,
            identity_last: None,
            count: 0,
            shaped_at: 0,
            tracking: None,
        }
    }

    fn entry(&self, index: usize, row: &Row, row_id: u64) -> Box<[u8]> {
        let mut key = Vec::with_capacity(24);
        index_key(&self.def, &self.def.indexes[index], row, &mut key);
        key.extend_from_slice(&row_id.to_be_bytes());
        key.into_boxed_slice()
    }

    /// Adds a row; returns its id.
    pub fn insert(&mut self, row: Row, stamp: u64) -> u64 {
        let row_id = self.next_row;
        self.next_row += 1;
        for index in 0..self.indexes.len() {
            let entry = self.entry(index, &row, row_id);
            self.indexes[index].insert(entry);
        }
        let newest = Version {
            stamp,
            row: Some(row),
        };
        self.rows.insert(
            row_id,
            Chain {
                newest,
                older: None,
            },
        );
        self.count += 1;
        row_id
    }

    /// Writes a new version (none deletes). The caller has checked that the row is free.
    pub fn write(&mut self, row_id: u64, row: Option<Row>, stamp: u64) {
        if let Some(row) = &row {
            let old = self.newest(row_id).cloned();
            for index in 0..self.indexes.len() {
                let key = &self.def.indexes[index].columns;
                // An unchanged key has its entry already.
                if old
                    .as_ref()
                    .is_some_and(|old| key.iter().all(|(at, _)| old[*at] == row[*at]))
                {
                    continue;
                }
                let entry = self.entry(index, row, row_id);
                self.indexes[index].insert(entry);
            }
        } else {
            self.count -= 1;
        }
        if let Some(chain) = self.rows.get_mut(&row_id) {
            chain.push(Version { stamp, row });
        }
    }

    /// Takes back the newest version.
    pub fn undo(&mut self, row_id: u64) {
        let Some(mut chain) = self.rows.remove(&row_id) else {
            return;
        };
        let gone = chain.newest.clone();
        let left = chain.pop();
        match (&gone.row, left) {
            (Some(_), false) => self.count -= 1,
            (None, true) => self.count += 1,
            (Some(_), true) | (None, false) => {}
        }
        self.unindex(&gone, left.then_some(&chain), row_id);
        if left {
            self.rows.insert(row_id, chain);
        }
    }

    /// Removes the index entries of a version that no remaining version shares.
    fn unindex(&mut self, gone: &Version, rest: Option<&Chain>, row_id: u64) {
        let Some(row) = &gone.row else {
            return;
        };
        for index in 0..self.indexes.len() {
            let entry = self.entry(index, row, row_id);
            let shared = rest.is_some_and(|chain| {
                chain
                    .versions()
                    .filter_map(|version| version.row.as_ref())
                    .any(|other| {
                        Arc::ptr_eq(other, row) || self.entry(index, other, row_id) == entry
                    })
            });
            if !shared {
                self.indexes[index].remove(&entry);
            }
        }
    }

    /// Gives every row that the transaction has rewritten its commit time: a change of the definition rewrites rows
    /// that were written long before.
    pub fn commit_all(&mut self, own: u64, time: u64) {
        let rewritten: Vec<u64> = self
            .rows
            .iter()
            .filter(|(_, chain)| chain.newest.stamp == own | UNCOMMITTED)
            .map(|(row_id, _)| *row_id)
            .collect();
        for row_id in rewritten {
            self.commit(row_id, own, time);
        }
    }

    /// Gives the transaction's versions of a row their commit time; only the last of them survives. True when old
    /// versions remain.
    pub fn commit(&mut self, row_id: u64, own: u64, time: u64) -> bool {
        let Some(mut chain) = self.rows.remove(&row_id) else {
            return false;
        };
        if chain.newest.stamp != own | UNCOMMITTED {
            let more = !chain.single();
            self.rows.insert(row_id, chain);
            return more;
        }
        chain.newest.stamp = time;
        let mut dropped = Vec::new();
        if let Some(older) = chain.older.as_mut() {
            while older
                .last()
                .is_some_and(|version| version.stamp == own | UNCOMMITTED)
            {
                dropped.extend(older.pop());
            }
            if older.is_empty() {
                chain.older = None;
            }
        }
        for version in &dropped {
            self.unindex(version, Some(&chain), row_id);
        }
        let more = !chain.single() || chain.newest.row.is_none();
        self.rows.insert(row_id, chain);
        more
    }

    /// Drops the versions that no view at or after `oldest` can see.
    pub fn collect(&mut self, row_id: u64, oldest: u64) {
        let Some(mut chain) = self.rows.remove(&row_id) else {
            return;
        };
        let mut dropped = Vec::new();
        if chain.newest.stamp <= oldest {
            dropped.extend(chain.older.take().into_iter().flat_map(|older| *older));
        } else if let Some(older) = chain.older.as_mut() {
            let keep = older
                .iter()
                .rposition(|version| version.stamp <= oldest)
                .unwrap_or(0);
            dropped.extend(older.drain(..keep));
        }
        let dead = chain.newest.row.is_none() && chain.single() && chain.newest.stamp <= oldest;
        for version in &dropped {
            self.unindex(version, (!dead).then_some(&chain), row_id);
        }
        if !dead {
            self.rows.insert(row_id, chain);
        }
    }

    /// Reads up to `limit` visible rows with ids after `after`; false when the table ended. Rows before a contended one
    /// are read first.
    pub fn scan(
        &self,
        after: &mut u64,
        limit: usize,
        view: View,
        out: &mut Vec<(u64, Row)>,
    ) -> Result<bool, Contended> {
        for (row_id, chain) in self.rows.range((Bound::Excluded(*after), Bound::Unbounded)) {
            let visible = match chain.visible(view) {
                Ok(visible) => visible,
                Err(_) if !out.is_empty() => return Ok(true),
                Err(writer) => {
                    return Err(Contended {
                        row_id: *row_id,
                        writer,
                    });
                }
            };
            *after = *row_id;
            if let Some(row) = visible {
                out.push((*row_id, row.clone()));
                if out.len() >= limit {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// Reads up to `limit` visible rows of a stretch of an index, and moves the stretch's near end past them; false
    /// when it ended. Rows before a contended one are read first.
    pub fn scan_index(
        &self,
        index: usize,
        range: &mut Range,
        backward: bool,
        limit: usize,
        view: View,
        out: &mut Vec<(u64, Row)>,
    ) -> Result<bool, Contended> {
        if is_empty(range) {
            return Ok(false);
        }
        let mut last: Option<Vec<u8>> = None;
        let mut more = false;
        let mut newest: Option<&[u8]> = None;
        {
            let bounds: (Bound<&[u8]>, Bound<&[u8]>) =
                (as_slice(&range.lower), as_slice(&range.upper));
            let mut forward = self.indexes[index].range::<[u8], _>(bounds);
            loop {
                let next = if backward {
                    forward.next_back()
                } else {
                    forward.next()
                };
                let Some(entry) = next else {
                    break;
                };
                let row_id = entry_row(entry);
                let Some(chain) = self.rows.get(&row_id) else {
                    continue;
                };
                let visible = match (chain.visible(view), newest) {
                    (Ok(visible), _) => visible,
                    (Err(_), Some(newest)) => {
                        last = Some(newest.to_vec());
                        more = true;
                        break;
                    }
                    (Err(writer), None) => return Err(Contended { row_id, writer }),
                };
                let Some(row) = visible else {
                    continue;
                };
                if !chain.single() && self.entry(index, row, row_id) != *entry {
                    continue;
                }
                newest = Some(&entry[..]);
                out.push((row_id, row.clone()));
                if out.len() >= limit {
                    last = Some(entry.to_vec());
                    more = true;
                    break;
                }
            }
        }
        if let Some(last) = last {
            if backward {
                range.upper = Bound::Excluded(last);
            } else {
                range.lower = Bound::Excluded(last);
            }
        }
        Ok(more)
    }

    /// Rows whose newest version, committed or not, has this key in the index, and rows that another transaction is
    /// taking away from it.
    pub fn holders(&self, index: usize, key: &[u8]) -> Vec<u64> {
        let range = Range::prefix(key);
        let bounds: (Bound<&[u8]>, Bound<&[u8]>) = (as_slice(&range.lower), as_slice(&range.upper));
        self.indexes[index]
            .range::<[u8], _>(bounds)
            .filter(|entry| entry.len() == key.len() + 8)
            .map(|entry| entry_row(entry))
            .collect()
    }

    /// The newest committed-or-own row.
    pub fn newest(&self, row_id: u64) -> Option<&Row> {
        self.rows
            .get(&row_id)
            .and_then(|chain| chain.newest.row.as_ref())
    }

    /// Rebuilds every index from the newest rows, after a change of shape.
    pub fn reindex(&mut self) {
        let indexes = 0..self.def.indexes.len();
        self.indexes = indexes
            .map(|index| {
                let rows = self.rows.iter().flat_map(|(row_id, chain)| {
                    let rows = chain.versions().filter_map(|version| version.row.as_ref());
                    rows.map(|row| self.entry(index, row, *row_id))
                });
                rows.collect()
            })
            .collect();
    }

    /// A row whose key another one has in an index, of the newest rows that `counts` takes.
    pub fn repeated<E>(
        &self,
        index: usize,
        mut counts: impl FnMut(&Row) -> Result<bool, E>,
    ) -> Result<Option<&Row>, E> {
        let mut last: Option<&[u8]> = None;
        for entry in &self.indexes[index] {
            let Some(chain) = self.rows.get(&entry_row(entry)) else {
                continue;
            };
            let Some(row) = &chain.newest.row else {
                continue;
            };
            let is_old = !chain.single() && self.entry(index, row, entry_row(entry)) != *entry;
            if is_old || !counts(row)? {
                continue;
            }
            let key = &entry[..entry.len() - 8];
            if last == Some(key) {
                return Ok(Some(row));
            }
            last = Some(key);
        }
        Ok(None)
    }

    /// Replaces every row (newest versions only) by `change` of it, all stamped alike.
    pub fn reshape<E>(
        &mut self,
        stamp: u64,
        mut change: impl FnMut(&Row) -> Result<Row, E>,
    ) -> Result<(), E> {
        let mut rows = BTreeMap::new();
        for (row_id, chain) in &self.rows {
            if let Some(row) = &chain.newest.row {
                let newest = Version {
                    stamp,
                    row: Some(change(row)?),
                };
                rows.insert(
                    *row_id,
                    Chain {
                        newest,
                        older: None,
                    },
                );
            }
        }
        self.rows = rows;
        self.shaped_at = u64::MAX;
        Ok(())
    }
}

fn as_slice(bound: &Bound<Vec<u8>>) -> Bound<&[u8]> {
    match bound {
        Bound::Included(key) => Bound::Included(key.as_slice()),
        Bound::Excluded(key) => Bound::Excluded(key.as_slice()),
        Bound::Unbounded => Bound::Unbounded,
    }
}

/// `BTreeSet::range` panics on an inverted range.
fn is_empty(range: &Range) -> bool {
    match (&range.lower, &range.upper) {
        (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
        (Bound::Included(low), Bound::Included(high)) => low > high,
        (
            Bound::Included(low) | Bound::Excluded(low),
            Bound::Included(high) | Bound::Excluded(high),
        ) => low >= high,
    }
}
