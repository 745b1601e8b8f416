//! Files to be rewritten together.

use crate::lake::read::deletes::Positions;
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

impl Input {
    pub(in crate::lake) fn live_bytes(&self) -> u64 {
        let file = &self.live.file;
        let rows = file.record_count().max(1);
        let live = rows.saturating_sub(self.deleted.len());
        (file.file_size_in_bytes() as f64 * live as f64 / rows as f64) as u64
    }

    pub(in crate::lake) fn is_mostly_live(&self) -> bool {
        (self.deleted.len() as f64) < self.live.file.record_count() as f64 * DEAD_SHARE
    }
}
