//! Which rows of a chunk a mirror has, and which of its rows a whole read did not meet.

use crate::change::WriteCounts;
use crate::lake::error::Result;
use crate::lake::keys::lookup::Lookup;
use crate::lake::read::deletes::{DeleteIndex, Positions, PositionsByPath};
use crate::lake::read::manifests::Files;
use crate::lake::table::LakeTable;
use crate::lake::write::compare::chunk::{Chunk, Equality};
use crate::lake::write::compare::found::{Match, find, read_found};
use crate::lake::write::context::Context;
use crate::lake::write::live::LiveRows;
use crate::lake::write::output::Output;
use crate::lake::write::own::OwnFiles;

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

/// Of a whole read: whether each row of the chunk is in the table. The live rows of the keys that differ are replaced,
/// those that are the same are `seen`. Rows of a file that is listed more than once are replaced as well: a position
/// cannot be deleted in one of its entries and stay in the other.
pub(super) async fn known_rows(
    context: &Context,
    equality: &Equality,
    chunk: &Chunk,
    seen: &mut PositionsByPath,
    output: &mut Output,
) -> Result<Vec<bool>> {
    let mut known = vec![false; chunk.rows()];
    let Some(encoder) = &equality.encoder else {
        return Ok(known);
    };
    let Output {
        files, replaced, ..
    } = output;
    let base = context.base.files().await?;
    let mut lookup = Lookup::new(
        context.store(),
        equality.shape.clone(),
        encoder,
        &chunk.keys,
    )?;
    let mut fates = vec![Fate::default(); chunk.keys.len()];
    let repeated = base.repeated();
    let mut live = LiveRows::of(&lookup, context.store(), &base)?;
    while let Some(mut found) = live.next(&mut replaced.index).await? {
        let path = found.data.file.file_path();
        let is_once = !repeated.contains(path);
        let gone = replaced.rows.entry(path.to_owned()).or_default();
        let seen = seen.entry(path.to_owned()).or_default();
        found.rows.retain(|&(position, number)| {
            let is_gone = gone.contains(position);
            fates[number as usize].written_before |= is_gone;
            !is_gone
        });
        let note = |Match { number, row }: Match| {
            let fate = &mut fates[number];
            if is_once && row.hash == chunk.hashes[chunk.last(number)] && !fate.same {
                fate.same = true;
                fate.again = !seen.insert(row.position);
            } else {
                fate.differ += 1;
                fate.taken_back |= seen.remove(row.position);
                gone.insert(row.position);
            }
        };
        read_found(context, equality, &found.data.file, &found.rows, note).await?;
    }
    replaced.stats.add(live.stats());
    drop(live);
    if context.tracked {
        note_own(chunk, files, &mut lookup, &mut fates).await?;
    }
    replaced.stats.add(lookup.stats);
    for (number, fate) in fates.into_iter().enumerate() {
        replaced.thins_keys |= fate.same && fate.differ > 0;
        known[chunk.last(number)] = fate.count(&mut replaced.counts);
    }
    // Only the last row of a key counts.
    for &row in chunk.repeats.values() {
        known[row as usize] = true;
    }
    Ok(known)
}

/// Notes the keys that this write has added, which only matters where a key may be read twice.
async fn note_own(
    chunk: &Chunk,
    files: &mut OwnFiles,
    lookup: &mut Lookup<'_>,
    fates: &mut [Fate],
) -> Result<()> {
    for own in files.complete() {
        for (position, number) in find(lookup, &own.file).await? {
            fates[number as usize].written_before |= !own.dead.contains(position);
        }
    }
    for (number, fate) in fates.iter_mut().enumerate() {
        fate.written_before |= files.holds(chunk.keys.key(number));
    }
    Ok(())
}

/// Of a window: whether each marked row of the chunk is in the table. What is doubtful is written: a key that this
/// write has touched, or that the chunk has twice.
pub(super) async fn marked_rows(
    context: &Context,
    equality: &Equality,
    chunk: &Chunk,
    output: &mut Output,
) -> Result<Vec<bool>> {
    let mut known = vec![false; chunk.rows()];
    let Some(encoder) = &equality.encoder else {
        return Ok(known);
    };
    let Output {
        files, replaced, ..
    } = output;
    let base = context.base.files().await?;
    let lookup = Lookup::new(
        context.store(),
        equality.shape.clone(),
        encoder,
        &chunk.keys,
    )?;
    let mut live = LiveRows::of(&lookup, context.store(), &base)?;
    while let Some(mut found) = live.next(&mut replaced.index).await? {
        let gone = replaced.rows.get(found.data.file.file_path());
        let is_gone = |row| gone.is_some_and(|gone| gone.contains(row));
        found.rows.retain(|&(row, _)| !is_gone(row));
        let note = |Match { number, row }: Match| {
            let last = chunk.last(number);
            known[last] = row.hash == chunk.hashes[last];
        };
        read_found(context, equality, &found.data.file, &found.rows, note).await?;
    }
    replaced.stats.add(live.stats());
    for number in 0..chunk.keys.len() {
        let last = chunk.last(number);
        let doubtful =
            chunk.repeats.contains_key(&(last as u32)) || files.holds(chunk.keys.key(number));
        known[last] &= chunk.asked[last] && !doubtful;
        replaced.counts.unchanged += u64::from(known[last]);
    }
    Ok(known)
}

/// Adds to `replaced` every live row of the base that a whole read did not meet; how many there are.
pub(in crate::lake) async fn delete_unseen(
    table: &LakeTable,
    base: &Files,
    seen: &PositionsByPath,
    replaced: &mut PositionsByPath,
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
        if let Some(replaced) = replaced.get(path) {
            rest -= replaced;
        }
        if !rest.is_empty() {
            rest -= index.of(&table.store, base, data).await?;
            deleted += rest.len();
            *replaced.entry(path.to_owned()).or_default() |= rest;
        }
    }
    Ok(deleted)
}
