//! Which rows of a chunk a history without a key has.
//!
//! Without a key, rows can only be told apart by all their values, and equal rows only be counted. A row that the
//! source has `n` times is `n` times in the table: each row of the table stands for one row that is read, and the
//! rows for which none is left are new. A row of the table that was taken once is not taken again, in whatever chunk
//! its equals are.

use super::Chunk;
use crate::lake::error::Result;
use crate::lake::keys::lookup::Lookup;
use crate::lake::read::datafile::Wanted;
use crate::lake::read::deletes::Positions;
use crate::lake::read::manifests::{Files, LiveFile};
use crate::lake::write::TableWriter;

/// Hashes that are looked for, ascending, each with its row.
struct Wishes {
    rows: Vec<(u128, u32)>,
    /// How many of the equal hashes that begin here are found.
    found: Vec<u32>,
}

impl Wishes {
    fn of(chunk: &Chunk) -> Self {
        let rows = chunk.hashes.iter().zip(0_u32..).zip(&chunk.asked);
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

impl TableWriter {
    /// For each row of the chunk whether a row of the table stands for it.
    pub(super) async fn known_copies(&mut self, chunk: &Chunk) -> Result<Vec<bool>> {
        let mut known = vec![false; chunk.rows()];
        let mut wishes = Wishes::of(chunk);
        let (store, base) = (self.table.store.clone(), self.base.files().await?);
        match self.lookup_parts() {
            Some((shape, encoder)) => {
                let lookup = Lookup::new(&store, shape, &encoder, &chunk.keys)?;
                let mut search = lookup.search(&base.data)?;
                let mut queue = Vec::new();
                while let Some((data, hits)) =
                    self.next_found(&mut search, &mut queue, &base).await?
                {
                    let found: Positions = hits.into_iter().map(|(_, row)| row).collect();
                    let copies = self.copies(&base, &data, Some(found), &mut wishes).await?;
                    copies
                        .into_iter()
                        .for_each(|row| known[row as usize] = true);
                }
                self.stats.add(search.stats);
            }
            None => {
                for data in &base.data {
                    let copies = self.copies(&base, data, None, &mut wishes).await?;
                    copies
                        .into_iter()
                        .for_each(|row| known[row as usize] = true);
                }
            }
        }
        self.counts.unchanged += known.iter().filter(|known| **known).count() as u64;
        Ok(known)
    }

    /// The rows of the chunk for which a row of a file stands: one of those found, or any live one.
    async fn copies(
        &mut self,
        base: &Files,
        data: &LiveFile,
        found: Option<Positions>,
        wishes: &mut Wishes,
    ) -> Result<Vec<u32>> {
        let mut copies = Vec::new();
        let mut taken = self.index.of(&self.table.store, base, data).await?;
        let Some(compare) = &mut self.compare else {
            return Ok(copies);
        };
        let path = data.file.file_path();
        let mut seen = compare.seen.remove(path).unwrap_or_default();
        taken |= &seen;
        let found = found.map(|found| found - &taken);
        let wanted = match &found {
            Some(found) => Wanted::Only(found),
            None => Wanted::Except(&taken),
        };
        let Some(compare) = &self.compare else {
            return Ok(copies);
        };
        let read = self.read_rows(compare, &data.file, &wanted, |row| {
            if let Some(copy) = wishes.take(row.hash) {
                copies.push(copy);
                seen.insert(row.position);
            }
        });
        read.await?;
        if let Some(compare) = &mut self.compare {
            compare.seen.insert(path.to_owned(), seen);
        }
        Ok(copies)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_row_is_taken_once() {
        let chunk = Chunk {
            hashes: vec![7, 3, 7, 9, 7],
            asked: vec![true, true, true, true, false],
            ..Chunk::default()
        };
        let mut wishes = Wishes::of(&chunk);
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
