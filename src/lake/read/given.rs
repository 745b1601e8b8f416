//! The keys that a segment's upserts have given, so that its deletes leave them out.
//!
//! An update is an upsert of the new row and a delete of the old one's key. Applied in either order the result is
//! the same, because an upsert counts more than a delete of the same segment; leaving the delete out saves staging,
//! sorting and joining it. Only keys that were given as upserts are left out, so nothing depends on how many fit:
//! noting ends when they take [`GIVEN_BYTES_MAX`].
//!
//! Keys are compared by their bytes, without the folding that the lake applies. A key that changed its case is one
//! key in the lake and may be two in the target, whose collation decides: there the delete is needed.

use crate::lake::error::{LakeError, Result};
use crate::lake::keys::encode::{KeyEncoder, KeySet, KeyState};
use crate::lake::schema::Shape;
use arrow_array::{ArrayRef, BooleanArray, RecordBatch};
use arrow_select::filter::filter_record_batch;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Keys beyond this much memory are not noted.
const GIVEN_BYTES_MAX: usize = 64 << 20;

/// The keys of upserts that were handed out.
pub(in crate::lake) struct Given {
    encoder: KeyEncoder,
    keys: Mutex<KeySet>,
    bytes_max: usize,
}

impl Given {
    pub(in crate::lake) fn new(shape: &Shape) -> Result<Self> {
        Ok(Self {
            encoder: KeyEncoder::unfolded(shape)?,
            keys: Mutex::default(),
            bytes_max: GIVEN_BYTES_MAX,
        })
    }

    #[cfg(test)]
    pub(in crate::lake) fn bounded(mut self, bytes_max: usize) -> Self {
        self.bytes_max = bytes_max;
        self
    }

    /// Notes the keys of rows that are handed out; `key` are the positions of the key columns.
    pub(in crate::lake) fn note(&self, batch: &RecordBatch, key: &[usize]) -> Result<()> {
        if self.keys().bytes() >= self.bytes_max {
            return Ok(());
        }
        let columns: Vec<ArrayRef> = key.iter().map(|&at| batch.column(at).clone()).collect();
        let encoded = self.encoder.encode(&columns)?;
        let mut keys = self.keys();
        for key in &encoded {
            keys.insert(key.as_ref(), KeyState::Row(0));
        }
        Ok(())
    }

    /// The keys of a batch that were not handed out; its columns are the key columns in key order.
    pub(in crate::lake) fn others(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let encoded = self.encoder.encode(batch.columns())?;
        let mut keys = self.keys();
        if keys.is_empty() {
            return Ok(batch.clone());
        }
        let other: BooleanArray = encoded
            .iter()
            .map(|key| Some(!keys.contains(key.as_ref())))
            .collect();
        filter_record_batch(batch, &other).map_err(LakeError::arrow("deleted keys"))
    }

    fn keys(&self) -> MutexGuard<'_, KeySet> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
