//! The value that travels from stage to stage: rows, and beside them their encoded keys.
//!
//! A key is encoded once, by the first stage that needs it, and is copied with its row from then on. Only rows that
//! went through a file meanwhile have their keys encoded again.

use crate::lake::error::{LakeError, Result};
use crate::lake::keys::encode::KeyEncoder;
use arrow_array::{BooleanArray, RecordBatch};
use arrow_row::Rows;
use arrow_select::filter::filter_record_batch;

/// Rows with the columns of the source.
pub(in crate::lake) struct Keyed {
    pub(in crate::lake) batch: RecordBatch,
    /// One for each row, by the encoder of the table's key; none where no stage has needed them so far.
    pub(in crate::lake) keys: Option<Rows>,
}

impl Keyed {
    /// Rows whose keys are not encoded yet.
    pub(in crate::lake) fn new(batch: RecordBatch) -> Self {
        Self { batch, keys: None }
    }

    /// Bytes held, about.
    pub(in crate::lake) fn bytes(&self) -> usize {
        self.batch.get_array_memory_size() + self.keys.as_ref().map_or(0, Rows::size)
    }

    /// The rows to keep.
    pub(in crate::lake) fn filter(
        self,
        keep: &BooleanArray,
        encoder: Option<&KeyEncoder>,
    ) -> Result<Self> {
        if keep.true_count() == self.batch.num_rows() {
            return Ok(self);
        }
        let kept = |keys: &Rows| {
            let rows = keys.iter().zip(keep.values());
            let rows = rows.filter(|(_, keep)| *keep).map(|(key, _)| key);
            encoder.map(|encoder| encoder.copied(rows))
        };
        Ok(Self {
            keys: self.keys.as_ref().and_then(kept),
            batch: filter_record_batch(&self.batch, keep).map_err(LakeError::arrow("rows"))?,
        })
    }
}
