//! How rows are written.

use crate::change::RunId;
use crate::schema::deleted::RowMark;
use arrow_array::RecordBatch;
use chrono::{DateTime, Utc};
use std::fmt;
use std::sync::Arc;

/// What becomes of rows whose key is in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteMode {
    /// Rows are added; keys are not looked at.
    Append,
    /// A row replaces the one with its key.
    Upsert,
    /// The rows written become the whole table, in new files.
    ReplaceAll,
    /// The rows written become the whole table; those that it has stay where they are.
    Refresh,
}

/// Which rows of a write the table may have already. They are compared with it, and those that it has are dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reread {
    /// None: each row is written.
    Nothing,
    /// Those that the caller marks.
    Marked,
    /// Those whose value of this field is not above the highest in the table.
    UpTo(usize),
    /// All: the whole source is read. With `vanished`, a key that is not read is gone: a mirror loses its row, a
    /// history gets a version `D`. A mirror without a key loses each row that is not read.
    Everything { vanished: bool },
}

/// What `_op` of a history table says about the rows written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// `I`: first read.
    Insert,
    /// `U`: read because it changed.
    Update,
    /// `D`: deleted in the source.
    Delete,
    /// `R`: read by a full refresh.
    Refresh,
}

impl Op {
    pub(in crate::lake) fn code(self) -> &'static str {
        match self {
            Op::Insert => "I",
            Op::Update => "U",
            Op::Delete => "D",
            Op::Refresh => "R",
        }
    }
}

/// How Parquet pages are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    None,
    Snappy,
    Lz4,
    /// Level 1 to 22.
    Zstd(u8),
}

/// Which columns have a dictionary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dictionaries {
    All,
    None,
    /// Those whose first values in a file repeat. In another column it would hold nearly all values beside the
    /// numbers that stand for them.
    WhereValuesRepeat,
}

/// Sees the rows that are written, batch by batch: those that the table does not have as they are.
#[derive(Clone)]
pub struct Witness(pub Arc<dyn Fn(&RecordBatch) + Send + Sync>);

impl fmt::Debug for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Witness")
    }
}

/// How to write.
#[derive(Debug, Clone)]
pub struct WriteOptions {
    pub mode: WriteMode,
    pub reread: Reread,
    /// Of history tables.
    pub op: Op,
    /// The run, part of file names.
    pub run_id: RunId,
    /// `_committed_at` of history tables.
    pub committed_at: DateTime<Utc>,
    /// A data file is closed at about this size.
    pub target_file_bytes: u64,
    pub row_group_rows: usize,
    /// A data page is closed at about this size before compression.
    pub page_bytes: usize,
    pub dictionaries: Dictionaries,
    /// Keys held in memory at once; a data file has no more rows than this.
    pub key_rows_max: usize,
    pub compression: Compression,
    /// No two rows of the write have the same key, as the caller knows: the source enforces it, and a read saw one
    /// state of it. Keys of a whole read are then not kept.
    pub distinct_keys: bool,
    /// Of a history: rows with one key in the lake have one key in the source. Where its fidelity cuts the key
    /// off, rows are compared whole, as without a key.
    pub compares_keys: bool,
    /// Rows that it marks count as deleted: a mirror is without them, and a history has them as versions `D`.
    pub mark: Option<RowMark>,
    pub witness: Option<Witness>,
    /// Whether the commit fails when another writer changed rows since the write began.
    pub refuse_foreign: bool,
}

impl WriteOptions {
    /// Whether a whole read deletes the rows of a mirror that it does not meet.
    pub(in crate::lake) fn deletes_unseen(&self) -> bool {
        self.mode == WriteMode::Refresh && self.reread != (Reread::Everything { vanished: false })
    }

    /// Whether the write leaves each key of a mirror once: the rows written and those met again are the whole table.
    pub(in crate::lake) fn leaves_keys_once(&self) -> bool {
        self.mode == WriteMode::ReplaceAll || self.deletes_unseen()
    }

    /// The defaults: 128 MB files, row groups of 128 Ki rows, pages of 256 KiB, dictionaries where values repeat, a
    /// million keys; zstd level 1 for a whole table, where the encoder is what a copy waits for, and level 2 for
    /// changes.
    pub fn new(mode: WriteMode, run_id: RunId) -> Self {
        Self {
            mode,
            reread: match mode {
                WriteMode::Refresh => Reread::Everything { vanished: true },
                WriteMode::Append | WriteMode::Upsert | WriteMode::ReplaceAll => Reread::Marked,
            },
            op: Op::Update,
            run_id,
            committed_at: Utc::now(),
            target_file_bytes: 128 << 20,
            row_group_rows: 128 << 10,
            page_bytes: 256 << 10,
            dictionaries: Dictionaries::WhereValuesRepeat,
            key_rows_max: 1_000_000,
            compression: Compression::Zstd(match mode {
                WriteMode::ReplaceAll | WriteMode::Refresh => 1,
                WriteMode::Append | WriteMode::Upsert => 2,
            }),
            distinct_keys: false,
            compares_keys: true,
            mark: None,
            witness: None,
            refuse_foreign: false,
        }
    }
}
