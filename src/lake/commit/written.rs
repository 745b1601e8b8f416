//! What a write hands to its commit: complete, durable data files and the rows of the base that they replace.

use crate::change::WriteCounts;
use crate::lake::commit::base::Base;
use crate::lake::keys::lookup::LookupStats;
use crate::lake::read::deletes::{Positions, PositionsByPath};
use crate::lake::write::options::WriteOptions;
use iceberg::spec::DataFile;
use std::sync::Arc;

/// A complete data file of one write. No snapshot names it.
pub(in crate::lake) struct OwnFile {
    pub(in crate::lake) file: DataFile,
    /// Rows of it that a later row of the write replaces.
    pub(in crate::lake) dead: Positions,
}

/// A complete write: its files, and what they mean for the snapshot that it started from.
pub(in crate::lake) struct Written {
    pub(in crate::lake) base: Arc<Base>,
    pub(in crate::lake) options: WriteOptions,
    /// Private to this run: a failed commit removes them.
    pub(in crate::lake) own: Vec<OwnFile>,
    /// Rows to delete in files of the base.
    pub(in crate::lake) replaced: PositionsByPath,
    pub(in crate::lake) counts: WriteCounts,
    pub(in crate::lake) stats: LookupStats,
    /// Of a key that the base has more than once, one row stays and the others are deleted.
    pub(in crate::lake) thins_keys: bool,
    /// The last `_seq` given.
    pub(in crate::lake) seq_high: i64,
}
