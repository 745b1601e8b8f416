//! Rows of a mirror table in the order of their keys.
//!
//! An incremental read brings rows in the order of its watermark, in which keys are scattered. Sorted, the row
//! groups and pages of a file hold narrow ranges of keys, so that later lookups skip most of them, and key columns
//! take less space. Rows that arrive in order (from a clustered index) pass as they are; others are collected into
//! runs of bounded size, and each run is written sorted. A file that is smaller than a run is sorted from end to
//! end. The sort is stable, so the later of two rows with one key stays the later.

use crate::lake::error::{LakeError, Result};
use crate::lake::write::context::Context;
use crate::lake::write::keyed::Keyed;
use arrow_array::RecordBatch;
use arrow_row::Rows;
use arrow_select::interleave::interleave_record_batch;

/// A run is written at whichever comes first.
const RUN_ROWS: usize = 128 << 10;
const RUN_BYTES: usize = 8 << 20;
/// Rows of the sorted batches.
const BATCH_ROWS: usize = 8_192;

/// Rows that wait to be sorted.
#[derive(Default)]
pub(in crate::lake) struct Order {
    batches: Vec<RecordBatch>,
    keys: Vec<Rows>,
    rows: usize,
    bytes: usize,
    /// The highest key that passed in order.
    last: Vec<u8>,
}

/// A run in order, handed out in batches.
pub(in crate::lake) struct Sorted {
    batches: Vec<RecordBatch>,
    keys: Vec<Rows>,
    /// Batch and row.
    order: Vec<(usize, usize)>,
    next: usize,
}

impl Order {
    /// Takes rows with their keys. They are answered when they need not wait: nothing else does, and they go on
    /// where the rows before ended.
    pub(in crate::lake) fn add(&mut self, rows: Keyed) -> Option<Keyed> {
        let bytes = rows.bytes();
        let Keyed { batch, keys } = rows;
        let Some(keys) = keys else {
            return Some(Keyed::new(batch));
        };
        if self.batches.is_empty() && self.passes(&keys) {
            let keys = Some(keys);
            return Some(Keyed { batch, keys });
        }
        self.rows += batch.num_rows();
        self.bytes += bytes;
        self.batches.push(batch);
        self.keys.push(keys);
        None
    }

    /// Whether the run has to be taken.
    pub(in crate::lake) fn is_full(&self) -> bool {
        self.rows >= RUN_ROWS || self.bytes >= RUN_BYTES
    }

    /// The rows that wait, sorted.
    pub(in crate::lake) fn take(&mut self) -> Sorted {
        let Order { batches, keys, .. } = std::mem::take(self);
        let mut order: Vec<(usize, usize)> = (keys.iter().enumerate())
            .flat_map(|(at, keys)| (0..keys.num_rows()).map(move |row| (at, row)))
            .collect();
        order.sort_by(|&(a, row), &(b, other)| keys[a].row(row).cmp(&keys[b].row(other)));
        Sorted {
            batches,
            keys,
            order,
            next: 0,
        }
    }

    /// Whether these keys go on where the ones before ended, in ascending order.
    fn passes(&mut self, keys: &Rows) -> bool {
        let mut before = self.last.as_slice();
        for key in keys {
            if key.data() < before {
                return false;
            }
            before = key.data();
        }
        self.last = before.to_vec();
        true
    }
}

impl Sorted {
    /// The next rows, with their keys if the write tracks keys; none at the end.
    pub(in crate::lake) fn next(&mut self, context: &Context) -> Result<Option<Keyed>> {
        let rest = &self.order[self.next..];
        let rows = &rest[..rest.len().min(BATCH_ROWS)];
        if rows.is_empty() {
            return Ok(None);
        }
        self.next += rows.len();
        let batches: Vec<&RecordBatch> = self.batches.iter().collect();
        let batch = interleave_record_batch(&batches, rows)
            .map_err(LakeError::arrow(context.table.name.to_string()))?;
        let keys = rows.iter().map(|&(at, row)| self.keys[at].row(row));
        let encoder = context.encoder.as_ref().filter(|_| context.tracked);
        let keys = encoder.map(|encoder| encoder.copied(keys));
        Ok(Some(Keyed { batch, keys }))
    }
}
