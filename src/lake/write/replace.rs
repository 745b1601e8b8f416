//! Which rows a file's keys replace: in the base snapshot, and in earlier files of the same write.

use crate::change::WriteCounts;
use crate::lake::error::Result;
use crate::lake::keys::encode::{KeySet, KeyState};
use crate::lake::keys::lookup::Lookup;
use crate::lake::write::TableWriter;
use crate::lake::write::options::WriteMode;

impl TableWriter {
    /// Notes the position of every live row that the keys replace or delete, and counts.
    pub(in crate::lake) async fn replace(&mut self, keys: &KeySet) -> Result<()> {
        let Some(encoder) = self.encoder.clone().filter(|_| !keys.is_empty()) else {
            return Ok(());
        };
        let mut fates = vec![Fate::default(); keys.len()];
        let store = self.table.store.clone();
        let mut lookup = Lookup::new(&store, self.table.shape.clone(), &encoder, keys)?;
        if self.options.mode == WriteMode::Upsert {
            let base = self.base.files().await?;
            let mut search = lookup.search(&base.data)?;
            loop {
                let some = search.next().await?;
                if some.is_empty() {
                    break;
                }
                let data = some.iter().map(|(data, _)| data.as_ref());
                self.index.fetch(&store, &base, data).await?;
                for (data, found) in some {
                    let gone = self.index.of(&store, &base, &data).await?;
                    let path = data.file.file_path().to_owned();
                    let pending = self.pending.entry(path).or_default();
                    for (number, row) in found {
                        let fate = &mut fates[number as usize];
                        if gone.contains(row) {
                            continue;
                        } else if pending.insert(row) {
                            fate.replaces = true;
                        } else {
                            fate.replaced_before = true;
                        }
                    }
                }
            }
            self.stats.add(search.stats);
        }
        for own in &mut self.own {
            let dead = &mut own.dead;
            let mut found: Vec<(u32, u64)> = Vec::new();
            let note = |number: usize, row| found.push((number as u32, row));
            lookup.probe(&own.file, note).await?;
            for (number, row) in found {
                fates[number as usize].written_before |= dead.insert(row);
            }
        }
        self.stats.add(lookup.stats);
        // A whole read has counted its keys when it compared them.
        let counted = self.options.mode == WriteMode::Refresh && self.compare.is_some();
        for (number, fate) in fates.into_iter().enumerate().filter(|_| !counted) {
            fate.count(keys.state(number), &mut self.counts);
        }
        Ok(())
    }
}

/// What a lookup found out about one key.
#[derive(Debug, Clone, Copy, Default)]
struct Fate {
    /// A row of the base snapshot is replaced now.
    replaces: bool,
    /// A row of the base snapshot was replaced by an earlier file of this write.
    replaced_before: bool,
    /// A live row of an earlier file of this write is replaced now.
    written_before: bool,
}

impl Fate {
    /// Counts each key once, by what it was in the base snapshot and what it is now.
    fn count(self, state: KeyState, counts: &mut WriteCounts) {
        match state {
            KeyState::Row(_) if self.replaces => counts.updated += 1,
            KeyState::Row(_) if self.written_before => {}
            KeyState::Row(_) if self.replaced_before => {
                counts.deleted -= 1;
                counts.updated += 1;
            }
            KeyState::Row(_) => counts.inserted += 1,
            KeyState::Deleted if self.replaces => counts.deleted += 1,
            KeyState::Deleted if self.written_before && self.replaced_before => {
                counts.updated -= 1;
                counts.deleted += 1;
            }
            KeyState::Deleted if self.written_before => counts.inserted -= 1,
            KeyState::Deleted => {}
        }
    }
}
