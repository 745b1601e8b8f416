//! Which rows a file's keys replace: in the base snapshot, and in earlier files of the same write.

use crate::change::WriteCounts;
use crate::lake::commit::written::OwnFile;
use crate::lake::error::Result;
use crate::lake::keys::encode::{KeySet, KeyState};
use crate::lake::keys::lookup::{Lookup, LookupStats};
use crate::lake::read::deletes::{DeleteIndex, PositionsByPath};
use crate::lake::write::context::Context;
use crate::lake::write::live::LiveRows;
use crate::lake::write::options::WriteMode;

/// What a write has replaced so far, and what became of the keys.
#[derive(Default)]
pub(in crate::lake) struct Replaced {
    /// Rows to delete in files of the base.
    pub(in crate::lake) rows: PositionsByPath,
    /// Delete files of the base that were read.
    pub(in crate::lake) index: DeleteIndex,
    pub(in crate::lake) counts: WriteCounts,
    pub(in crate::lake) stats: LookupStats,
    /// Keys are counted when they are compared with the base, as in a whole read.
    pub(in crate::lake) counts_compared: bool,
    /// Of a key that the base has more than once, one row stays and the others are deleted.
    pub(in crate::lake) thins_keys: bool,
}

impl Replaced {
    /// Notes the position of every live row that the keys replace or delete, in the base and in `own`, and counts.
    pub(in crate::lake) async fn replace(
        &mut self,
        context: &Context,
        keys: &KeySet,
        own: &mut [OwnFile],
    ) -> Result<()> {
        let Some(encoder) = context.encoder.as_ref().filter(|_| !keys.is_empty()) else {
            return Ok(());
        };
        let mut fates = vec![Fate::default(); keys.len()];
        let mut lookup = Lookup::new(context.store(), context.shape().clone(), encoder, keys)?;
        if context.options.mode == WriteMode::Upsert {
            let base = context.base.files().await?;
            let mut live = LiveRows::of(&lookup, context.store(), &base)?;
            while let Some(found) = live.next(&mut self.index).await? {
                let path = found.data.file.file_path().to_owned();
                let replaced = self.rows.entry(path).or_default();
                for (row, number) in found.rows {
                    let fate = &mut fates[number as usize];
                    match replaced.insert(row) {
                        true => fate.replaces = true,
                        false => fate.replaced_before = true,
                    }
                }
            }
            self.stats.add(live.stats());
        }
        for own in own {
            let dead = &mut own.dead;
            let note = |number: usize, row| fates[number].written_before |= dead.insert(row);
            lookup.probe(&own.file, note).await?;
        }
        self.stats.add(lookup.stats);
        if !self.counts_compared {
            for (number, fate) in fates.into_iter().enumerate() {
                fate.count(keys.state(number), &mut self.counts);
            }
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
