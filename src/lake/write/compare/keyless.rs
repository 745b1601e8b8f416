//! Which rows of a chunk a table without a key has.
//!
//! Without a key, rows can only be told apart by all their values, and equal rows only be counted. A row that the
//! source has `n` times is `n` times in the table: each row of the table stands for one row that is read, and the
//! rows for which none is left are new. A row of the table that was taken once is not taken again, in whatever chunk
//! its equals are. Of a mirror, the rows that are never taken are deleted at the end, so that the table has each row as
//! often as the source; a history keeps them.

use crate::lake::error::Result;
use crate::lake::keys::lookup::Lookup;
use crate::lake::read::datafile::Wanted;
use crate::lake::read::deletes::{Positions, PositionsByPath};
use crate::lake::read::entries::Described;
use crate::lake::write::compare::chunk::{Chunk, Equality};
use crate::lake::write::compare::found::{RowRead, read_rows};
use crate::lake::write::context::Context;
use crate::lake::write::live::{LiveIn, LiveRows};
use crate::lake::write::replace::Replaced;

/// Hashes that are looked for, ascending, each with its row.
struct Wishes {
    rows: Vec<(u128, u32)>,
    /// How many of the equal hashes that begin here are found.
    found: Vec<u32>,
}

impl Wishes {
    /// Those of the rows that are asked for.
    fn of(hashes: &[u128], asked: &[bool]) -> Self {
        let rows = hashes.iter().zip(0_u32..).zip(asked);
        let mut rows: Vec<(u128, u32)> = rows
            .filter(|(_, asked)| **asked)
            .map(|((hash, row), _)| (*hash, row))
            .collect();
        rows.sort_unstable();
        Self {
            found: vec![0; rows.len()],
            rows,
        }
    }

    /// Takes one row with this hash; none when there is none left.
    fn take(&mut self, hash: u128) -> Option<u32> {
        let first = self.rows.partition_point(|(other, _)| *other < hash);
        let found = self.found.get_mut(first)?;
        let (other, row) = *self.rows.get(first + *found as usize)?;
        if other != hash {
            return None;
        }
        *found += 1;
        Some(row)
    }
}

/// Rows of a chunk, matched with rows of the table file by file.
struct Matching<'a> {
    context: &'a Context,
    equality: &'a Equality,
    wishes: Wishes,
    /// For each row of the chunk whether a row of the table stands for it.
    known: Vec<bool>,
}

impl Matching<'_> {
    /// Matches rows of a file; those that stand for a row of the chunk are `seen` from then on.
    async fn add(
        &mut self,
        file: &impl Described,
        wanted: &Wanted<'_>,
        seen: &mut Positions,
    ) -> Result<()> {
        let (wishes, known) = (&mut self.wishes, &mut self.known);
        let take = |row: RowRead| {
            if let Some(copy) = wishes.take(row.hash) {
                known[copy as usize] = true;
                seen.insert(row.position);
            }
        };
        read_rows(self.context, self.equality, file, wanted, take).await
    }
}

/// For each row of the chunk whether a row of the table stands for it. That one is `seen` from then on.
pub(super) async fn known_copies(
    context: &Context,
    equality: &Equality,
    chunk: &Chunk,
    seen: &mut PositionsByPath,
    replaced: &mut Replaced,
) -> Result<Vec<bool>> {
    let mut matching = Matching {
        context,
        equality,
        wishes: Wishes::of(&chunk.hashes, &chunk.asked),
        known: vec![false; chunk.rows()],
    };
    let base = context.base.files().await?;
    let store = context.store();
    match &equality.encoder {
        Some(encoder) => {
            let lookup = Lookup::new(store, equality.shape.clone(), encoder, &chunk.keys)?;
            let mut live = LiveRows::of(&lookup, store, &base)?;
            while let Some(LiveIn { data, rows }) = live.next(&mut replaced.index).await? {
                let path = data.file.file_path().to_owned();
                let seen = seen.entry(path).or_default();
                let found: Positions = rows.into_iter().map(|(row, _)| row).collect();
                let wanted = Wanted::Only(&(found - &*seen));
                matching.add(&data.file, &wanted, seen).await?;
            }
            replaced.stats.add(live.stats());
        }
        None => {
            for data in &base.data {
                let path = data.file.file_path().to_owned();
                let seen = seen.entry(path).or_default();
                let gone = replaced.index.of(store, &base, data).await?;
                let wanted = Wanted::Except(&(gone | &*seen));
                matching.add(&data.file, &wanted, seen).await?;
            }
        }
    }
    let known = matching.known;
    let unchanged = known.iter().filter(|known| **known).count();
    replaced.counts.unchanged += unchanged as u64;
    replaced.counts.inserted += (known.len() - unchanged) as u64;
    Ok(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_row_is_taken_once() {
        let hashes = [7, 3, 7, 9, 7];
        let mut wishes = Wishes::of(&hashes, &[true, true, true, true, false]);
        assert_eq!(wishes.take(8), None);
        assert_eq!(wishes.take(7), Some(0));
        assert_eq!(wishes.take(7), Some(2));
        assert_eq!(wishes.take(7), None);
        assert_eq!(wishes.take(9), Some(3));
        assert_eq!(wishes.take(9), None);
        assert_eq!(wishes.take(3), Some(1));
        assert_eq!(wishes.take(10), None);
    }
}
