//! Rows of a mirror table in the order of their keys.
//!
//! An incremental read brings rows in the order of its watermark, in which keys are scattered. Sorted, the row
//! groups and pages of a file hold narrow ranges of keys, so that later lookups skip most of them, and key columns
//! take less space. Rows that arrive in order (from a clustered index) pass as they are; others are collected into
//! runs of bounded size, and each run is written sorted. A file that is smaller than a run is sorted from end to
//! end. The sort is stable, so the later of two rows with one key stays the later. A history table keeps the order
//! of arrival, which its sequence numbers record.

use crate::lake::error::{LakeError, Result};
use crate::lake::keys::encode::KeyEncoder;
use crate::lake::write::TableWriter;
use crate::lake::write::options::WriteMode;
use crate::schema::TableKind;
use arrow_array::{ArrayRef, RecordBatch};
use arrow_row::Rows;
use arrow_select::interleave::interleave_record_batch;
use std::sync::Arc;

/// A run is written at whichever comes first.
const RUN_ROWS: usize = 128 << 10;
const RUN_BYTES: usize = 8 << 20;
/// Rows of the sorted batches.
const BATCH_ROWS: usize = 8_192;

/// Rows waiting to be sorted.
#[derive(Default)]
pub(in crate::lake) struct Run {
    batches: Vec<RecordBatch>,
    keys: Vec<Rows>,
    rows: usize,
    bytes: usize,
    /// The highest key that passed in order.
    last: Vec<u8>,
}

/// The encoded keys of a batch, which are beside it from the sort to the lookup.
#[derive(Clone, Copy)]
pub(in crate::lake) enum Keys<'a> {
    /// Of the batch as it came.
    Batch(&'a Rows),
    /// Of a sorted batch: for each row the batch and row that it came from.
    Sorted(&'a [Rows], &'a [(usize, usize)]),
}

impl<'a> Keys<'a> {
    pub(in crate::lake) fn of(self, row: usize) -> &'a [u8] {
        match self {
            Keys::Batch(keys) => keys.row(row).data(),
            Keys::Sorted(batches, from) => {
                let (batch, row) = from[row];
                batches[batch].row(row).data()
            }
        }
    }
}

impl TableWriter {
    pub(in crate::lake) async fn write_rows(&mut self, batch: RecordBatch) -> Result<()> {
        let Some(encoder) = self.sorting() else {
            return self.write_in_order(batch, None).await;
        };
        let columns: Vec<ArrayRef> = self
            .key_columns()
            .map(|at| batch.column(at).clone())
            .collect();
        let keys = encoder.encode(&columns)?;
        if self.run.batches.is_empty() && self.run.passes(&keys) {
            return self.write_in_order(batch, Some(Keys::Batch(&keys))).await;
        }
        self.run.rows += batch.num_rows();
        self.run.bytes += batch.get_array_memory_size() + keys.size();
        self.run.batches.push(batch);
        self.run.keys.push(keys);
        if self.run.rows >= RUN_ROWS || self.run.bytes >= RUN_BYTES {
            self.flush_run().await?;
        }
        Ok(())
    }

    /// Writes the rows that wait.
    pub(in crate::lake) async fn flush_run(&mut self) -> Result<()> {
        let Run { batches, keys, .. } = std::mem::take(&mut self.run);
        let mut order: Vec<(usize, usize)> = (keys.iter().enumerate())
            .flat_map(|(at, keys)| (0..keys.num_rows()).map(move |row| (at, row)))
            .collect();
        order.sort_by(|&(a, row), &(b, other)| keys[a].row(row).cmp(&keys[b].row(other)));
        let batches: Vec<&RecordBatch> = batches.iter().collect();
        for rows in order.chunks(BATCH_ROWS) {
            let sorted = interleave_record_batch(&batches, rows)
                .map_err(LakeError::arrow(self.table.name.to_string()))?;
            let keys = Keys::Sorted(&keys, rows);
            self.write_in_order(sorted, Some(keys)).await?;
        }
        Ok(())
    }

    /// The encoder of the keys to sort by; none where the order of arrival stays.
    fn sorting(&self) -> Option<Arc<KeyEncoder>> {
        let sorts =
            self.table.kind() == TableKind::Mirror && self.options.mode != WriteMode::Append;
        self.encoder.clone().filter(|_| sorts)
    }
}

impl Run {
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
