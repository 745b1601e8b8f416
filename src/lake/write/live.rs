//! The live rows of the base snapshot that have given keys.

use crate::lake::error::Result;
use crate::lake::keys::lookup::{Found, Lookup, LookupStats, Search};
use crate::lake::read::deletes::DeleteIndex;
use crate::lake::read::manifests::{Files, LiveFile};
use crate::lake::store::Store;
use std::sync::Arc;

/// Finds them file by file; a file comes once.
pub(in crate::lake) struct LiveRows<'l> {
    search: Search<'l>,
    /// Found and not taken yet.
    queue: Vec<Found>,
    store: &'l Store,
    base: &'l Files,
}

/// The rows of one file.
pub(in crate::lake) struct LiveIn {
    pub(in crate::lake) data: Arc<LiveFile>,
    /// Positions ascending, each with the number of its key.
    pub(in crate::lake) rows: Vec<(u64, u32)>,
}

impl<'l> LiveRows<'l> {
    /// Those with a key of the lookup.
    pub(in crate::lake) fn of(
        lookup: &'l Lookup<'l>,
        store: &'l Store,
        base: &'l Files,
    ) -> Result<Self> {
        Ok(Self {
            search: lookup.search(&base.data)?,
            queue: Vec::new(),
            store,
            base,
        })
    }

    /// The rows of the next file that has any, live or deleted; none at the end. `index` keeps the delete files that
    /// are read.
    pub(in crate::lake) async fn next(
        &mut self,
        index: &mut DeleteIndex,
    ) -> Result<Option<LiveIn>> {
        if self.queue.is_empty() {
            self.queue.extend(self.search.next().await?);
            let data = self.queue.iter().map(|(data, _)| data.as_ref());
            index.fetch(self.store, self.base, data).await?;
        }
        let Some((data, hits)) = self.queue.pop() else {
            return Ok(None);
        };
        let gone = index.of(self.store, self.base, &data).await?;
        let live = hits.into_iter().filter(|(_, row)| !gone.contains(*row));
        let mut rows: Vec<(u64, u32)> = live.map(|(key, row)| (row, key)).collect();
        rows.sort_unstable();
        Ok(Some(LiveIn { data, rows }))
    }

    /// What finding them has cost so far.
    pub(in crate::lake) fn stats(&self) -> LookupStats {
        self.search.stats
    }
}
