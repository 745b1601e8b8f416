//! Files to be rewritten together.

use crate::lake::read::deletes::Positions;
use crate::lake::read::entries::StoredFile;
use crate::lake::read::manifests::LiveFile;
use std::sync::Arc;

/// Entry of a snapshot's summary that says which maintenance made it.
pub(in crate::lake) const MAINTENANCE_ENTRY: &str = "icesync.maintenance";
/// A file with this share of its rows deleted is rewritten.
pub(in crate::lake) const DEAD_SHARE: f64 = 0.25;

/// Files to be rewritten together.
pub(in crate::lake) struct Group {
    pub(in crate::lake) inputs: Vec<Input>,
}

impl Group {
    /// About how many bytes the live rows take.
    pub(in crate::lake) fn live_bytes(&self) -> u64 {
        self.inputs.iter().map(Input::live_bytes).sum()
    }
}

/// A file to be rewritten, and the rows that were deleted in it when the rewrite began.
pub(in crate::lake) struct Input {
    pub(in crate::lake) live: Arc<LiveFile>,
    pub(in crate::lake) deleted: Positions,
}

/// About how many bytes the rows of a file take that are left of it when so many are deleted.
pub(in crate::lake) fn live_bytes(file: &StoredFile, deleted: u64) -> u64 {
    let rows = file.record_count().max(1);
    let live = rows.saturating_sub(deleted);
    (file.file_size_in_bytes() as f64 * live as f64 / rows as f64) as u64
}

impl Input {
    pub(in crate::lake) fn live_bytes(&self) -> u64 {
        live_bytes(&self.live.file, self.deleted.len())
    }

    pub(in crate::lake) fn is_mostly_live(&self) -> bool {
        (self.deleted.len() as f64) < self.live.file.record_count() as f64 * DEAD_SHARE
    }
}
