//! Which rows of a chunk a mirror has, and which of its rows a whole read did not meet.

use super::{Chunk, PositionsByPath, by_position};
use crate::change::WriteCounts;
use crate::lake::error::Result;
use crate::lake::keys::lookup::Lookup;
use crate::lake::read::deletes::{DeleteIndex, Positions};
use crate::lake::read::manifests::Files;
use crate::lake::table::LakeTable;
use crate::lake::write::TableWriter;

/// What became of a key's live rows in the base; there is one, unless another engine added more.
#[derive(Debug, Clone, Copy, Default)]
struct Fate {
    /// One is the same as the row read.
    same: bool,
    /// It was met before in this write.
    again: bool,
    /// So many differ, and are deleted.
    differ: u32,
    /// One of those was the same as a row read before.
    taken_back: bool,
    /// One was replaced before in this write, or the key was added by it.
    written_before: bool,
}

impl Fate {
    /// Counts each key once, by what it was in the base and what it is now. Whether its row is known.
    fn count(self, counts: &mut WriteCounts) -> bool {
        if self.same {
            counts.unchanged += u64::from(!self.again);
            counts.deleted += u64::from(self.differ);
        } else if self.differ > 0 {
            counts.updated += 1;
            counts.deleted += u64::from(self.differ) - 1;
            counts.unchanged -= u64::from(self.taken_back);
        } else if !self.written_before {
            counts.inserted += 1;
        }
        self.same
    }
}

impl TableWriter {
    /// Of a whole read: whether each row of the chunk is in the table. The live rows of the keys that differ are
    /// deleted, those that are the same are seen.
    pub(super) async fn known_rows(&mut self, chunk: &Chunk) -> Result<Vec<bool>> {
        let Some((shape, encoder)) = self.lookup_parts() else {
            return Ok(vec![false; chunk.rows()]);
        };
        let (store, base) = (self.table.store.clone(), self.base.files().await?);
        let mut lookup = Lookup::new(&store, shape, &encoder, &chunk.keys)?;
        let mut fates = vec![Fate::default(); chunk.keys.len()];
        let mut search = lookup.search(&base.data)?;
        let mut queue = Vec::new();
        while let Some((data, hits)) = self.next_found(&mut search, &mut queue, &base).await? {
            let mut found = by_position(hits);
            let gone = self.index.of(&store, &base, &data).await?;
            let path = data.file.file_path();
            let mut pending = self.pending.remove(path).unwrap_or_default();
            let mut seen = self
                .seen()
                .and_then(|seen| seen.remove(path))
                .unwrap_or_default();
            found.retain(|&(position, number)| {
                fates[number as usize].written_before |= pending.contains(position);
                !gone.contains(position) && !pending.contains(position)
            });
            let read = self.read_found(&data.file, &found, |row| {
                let fate = &mut fates[row.number];
                if row.hash == chunk.hashes[chunk.last(row.number)] && !fate.same {
                    fate.same = true;
                    fate.again = !seen.insert(row.position);
                } else {
                    fate.differ += 1;
                    fate.taken_back |= seen.remove(row.position);
                    pending.insert(row.position);
                }
            });
            read.await?;
            self.pending.insert(path.to_owned(), pending);
            if let Some(all) = self.seen() {
                all.insert(path.to_owned(), seen);
            }
        }
        self.stats.add(search.stats);
        drop(search);
        if self.tracked {
            self.note_own(chunk, &mut lookup, &mut fates).await?;
        }
        self.stats.add(lookup.stats);
        let mut known = vec![false; chunk.rows()];
        for (number, fate) in fates.into_iter().enumerate() {
            known[chunk.last(number)] = fate.count(&mut self.counts);
        }
        // Only the last row of a key counts.
        for &row in chunk.repeats.values() {
            known[row as usize] = true;
        }
        Ok(known)
    }

    /// Notes the keys that this write has added, which only matters where a key may be read twice.
    async fn note_own(
        &mut self,
        chunk: &Chunk,
        lookup: &mut Lookup<'_>,
        fates: &mut [Fate],
    ) -> Result<()> {
        for own in &self.own {
            for (position, number) in Self::found(lookup, &own.file).await? {
                fates[number as usize].written_before |= !own.dead.contains(position);
            }
        }
        for (number, fate) in fates.iter_mut().enumerate() {
            fate.written_before |= self.current.keys.contains(chunk.keys.key(number));
        }
        Ok(())
    }

    /// Of a window: whether each marked row of the chunk is in the table. What is doubtful is written: a key that
    /// this write has touched, or that the chunk has twice.
    pub(super) async fn marked_rows(&mut self, chunk: &Chunk) -> Result<Vec<bool>> {
        let mut known = vec![false; chunk.rows()];
        let Some((shape, encoder)) = self.lookup_parts() else {
            return Ok(known);
        };
        let (store, base) = (self.table.store.clone(), self.base.files().await?);
        let lookup = Lookup::new(&store, shape, &encoder, &chunk.keys)?;
        let mut search = lookup.search(&base.data)?;
        let mut queue = Vec::new();
        while let Some((data, hits)) = self.next_found(&mut search, &mut queue, &base).await? {
            let mut found = by_position(hits);
            let gone = self.index.of(&store, &base, &data).await?;
            let pending = self.pending.get(data.file.file_path());
            let replaced = |row| pending.is_some_and(|pending| pending.contains(row));
            found.retain(|&(row, _)| !gone.contains(row) && !replaced(row));
            let read = self.read_found(&data.file, &found, |row| {
                let last = chunk.last(row.number);
                known[last] = row.hash == chunk.hashes[last];
            });
            read.await?;
        }
        self.stats.add(search.stats);
        for number in 0..chunk.keys.len() {
            let last = chunk.last(number);
            let doubtful = chunk.repeats.contains_key(&(last as u32))
                || self.current.keys.contains(chunk.keys.key(number));
            known[last] &= chunk.asked[last] && !doubtful;
            self.counts.unchanged += u64::from(known[last]);
        }
        Ok(known)
    }

    fn seen(&mut self) -> Option<&mut PositionsByPath> {
        self.compare.as_mut().map(|compare| &mut compare.seen)
    }
}

/// Adds to `pending` every live row of the base that a whole read did not meet; how many there are.
pub(in crate::lake) async fn delete_unseen(
    table: &LakeTable,
    base: &Files,
    seen: &PositionsByPath,
    pending: &mut PositionsByPath,
) -> Result<u64> {
    let mut index = DeleteIndex::default();
    let mut deleted = 0;
    for data in &base.data {
        let path = data.file.file_path();
        let mut rest = Positions::new();
        rest.insert_range(0..data.file.record_count());
        if let Some(seen) = seen.get(path) {
            rest -= seen;
        }
        if let Some(pending) = pending.get(path) {
            rest -= pending;
        }
        if !rest.is_empty() {
            rest -= index.of(&table.store, base, data).await?;
            deleted += rest.len();
            *pending.entry(path.to_owned()).or_default() |= rest;
        }
    }
    Ok(deleted)
}
