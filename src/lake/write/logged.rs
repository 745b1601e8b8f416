//! Rows that a log of changed keys has led to, each beside the key of the log: rows to write, and keys without a row.
//!
//! A key without a row is deleted. So is the key of the log where the row has another one for the lake: the source
//! takes two spellings for one key, and the lake may have the row under the one that the log has. Keys of one read are
//! distinct, so it does not matter whether a delete comes before the rows or after them. Deletes are collected, and end
//! the rows that wait to be sorted only once in a while.

use crate::lake::error::{LakeError, Result};
use crate::lake::keys::encode::{KeySet, KeyState};
use crate::lake::write::context::Context;
use arrow_array::{Array, BooleanArray, RecordBatch};
use arrow_select::filter::filter_record_batch;

/// Keys that wait to be deleted at most.
const GONE_MAX: usize = 128 << 10;

/// Keys that wait to be deleted.
#[derive(Default)]
pub(in crate::lake) struct Gone {
    /// Of the key columns alone, in key order.
    batches: Vec<RecordBatch>,
    keys: usize,
}

impl Gone {
    /// Whether the keys have to be taken.
    pub(in crate::lake) fn is_full(&self) -> bool {
        self.keys >= GONE_MAX
    }

    /// Takes what is there of a batch of rows, and keeps the keys that are to be deleted. `keys` has the key columns
    /// alone, in key order; a row whose key is NULL is none. Answers the rows that are there.
    pub(in crate::lake) fn split(
        &mut self,
        context: &Context,
        keys: &RecordBatch,
        rows: &RecordBatch,
    ) -> Result<RecordBatch> {
        let encoder = context.encoder.as_ref().ok_or_else(|| no_key(context))?;
        let first = context.first_key().ok_or_else(|| no_key(context))?;
        let logged = context.encode_keys(encoder, keys)?;
        let found = context.keys_of(rows)?.ok_or_else(|| no_key(context))?;
        let is_there = |row: usize| rows.column(first).is_valid(row);
        let is_gone =
            |row: usize| !is_there(row) || logged.row(row).data() != found.row(row).data();
        let count = 0..rows.num_rows();
        let gone: BooleanArray = count.clone().map(|row| Some(is_gone(row))).collect();
        let there: BooleanArray = count.map(|row| Some(is_there(row))).collect();
        let filtered = |batch, keep| {
            filter_record_batch(batch, keep).map_err(LakeError::arrow("rows of changed keys"))
        };
        if gone.true_count() > 0 {
            self.keys += gone.true_count();
            self.batches.push(filtered(keys, &gone)?);
        }
        context.as_given(&filtered(rows, &there)?)
    }

    /// Keeps keys that are to be deleted: those that are marked of the key columns of a batch.
    pub(in crate::lake) fn add(&mut self, keys: &RecordBatch, marked: &BooleanArray) -> Result<()> {
        let keys = filter_record_batch(keys, marked).map_err(LakeError::arrow("deleted keys"))?;
        self.keys += keys.num_rows();
        self.batches.push(keys);
        Ok(())
    }

    /// The keys that wait.
    pub(in crate::lake) fn take(&mut self) -> Vec<RecordBatch> {
        std::mem::take(self).batches
    }
}

/// Keys of a history, to be looked up.
pub(in crate::lake) fn key_set(context: &Context, batches: &[RecordBatch]) -> Result<KeySet> {
    let encoder = context.encoder.as_ref().filter(|_| context.compares_keys());
    let encoder = encoder.ok_or_else(|| no_key(context))?;
    let mut keys = KeySet::default();
    for batch in batches {
        for key in &context.encode_keys(encoder, batch)? {
            keys.insert(key.data(), KeyState::Deleted);
        }
    }
    keys.seal();
    Ok(keys)
}

fn no_key(context: &Context) -> LakeError {
    LakeError::NoKey {
        table: context.table.name.clone(),
        what: "deleted",
    }
}
