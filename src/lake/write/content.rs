//! Row count and hash of what a write was given, to compare the lake with the source.

use crate::change::Content;
use crate::lake::error::{LakeError, Result};
use crate::lake::write::context::Context;
use arrow_array::RecordBatch;
use arrow_row::{RowConverter, SortField};
use twox_hash::XxHash3_128;

/// Adds rows up, in any order.
pub(in crate::lake) struct ContentHash {
    rows: RowConverter,
    content: Content,
}

impl ContentHash {
    pub(in crate::lake) fn new(context: &Context) -> Result<Self> {
        let fields = context.source_schema.fields().iter();
        let sort = fields.map(|field| SortField::new(field.data_type().clone()));
        Ok(Self {
            rows: RowConverter::new(sort.collect()).map_err(LakeError::arrow("rows"))?,
            content: Content { rows: 0, hash: 0 },
        })
    }

    pub(in crate::lake) fn add(&mut self, batch: &RecordBatch) -> Result<()> {
        let rows = self
            .rows
            .convert_columns(batch.columns())
            .map_err(LakeError::arrow("rows"))?;
        for row in rows.iter() {
            let hash = XxHash3_128::oneshot(row.as_ref());
            self.content.hash = self.content.hash.wrapping_add(hash);
        }
        self.content.rows += batch.num_rows() as u64;
        Ok(())
    }

    pub(in crate::lake) fn content(&self) -> Content {
        self.content
    }
}
