//! A chunk of rows that wait to be compared, and by what they are compared.

use crate::lake::error::{LakeError, Result};
use crate::lake::keys::encode::{KeyEncoder, KeySet, KeyState};
use crate::lake::schema::Shape;
use crate::lake::write::columns::placeholders;
use crate::lake::write::context::Context;
use crate::lake::write::file::FileWriter;
use crate::lake::write::keyed::Keyed;
use crate::lake::write::options::Reread;
use crate::lake::write::own::completed;
use crate::schema::{KeyFold, LakeKeyField};
use arrow_array::{ArrayRef, BooleanArray, RecordBatch};
use arrow_row::{Row, RowConverter, Rows, SortField};
use iceberg::spec::DataFile;
use std::collections::HashMap;
use std::sync::Arc;
use twox_hash::XxHash3_128;

/// By what rows are looked up, and when two are the same.
pub(in crate::lake) struct Equality {
    /// The table's shape; without a key, one whose key is the watermark.
    pub(in crate::lake) shape: Arc<Shape>,
    /// Of that key; none where every row of the table is compared.
    pub(in crate::lake) encoder: Option<Arc<KeyEncoder>>,
    /// Positions of that key in a batch.
    key: Vec<usize>,
    rows: RowConverter,
    seed: u64,
}

impl Equality {
    pub(in crate::lake) fn new(context: &Context) -> Result<Self> {
        let source = context.shape().source_fields();
        let mut shape = context.shape().clone();
        if !context.compares_keys() {
            let fold = KeyFold::default();
            Arc::make_mut(&mut shape).schema.key = match context.options.reread {
                Reread::UpTo(field) => vec![LakeKeyField { field, fold }],
                Reread::Nothing | Reread::Marked | Reread::Everything { .. } => Vec::new(),
            };
        }
        let position = |&field: &usize| source.iter().position(|&other| other == field);
        let key: Vec<usize> = shape.key_fields().iter().filter_map(position).collect();
        let encoder = match (context.compares_keys(), key.is_empty()) {
            (true, _) => context.encoder.clone(),
            (false, true) => None,
            (false, false) => Some(Arc::new(KeyEncoder::new(&shape)?)),
        };
        let sort = |&field: &usize| SortField::new(shape.arrow.field(field).data_type().clone());
        let rows = RowConverter::new(source.iter().map(sort).collect());
        Ok(Self {
            encoder,
            key,
            rows: rows.map_err(LakeError::arrow("rows"))?,
            seed: uuid::Uuid::new_v4().as_u64_pair().1,
            shape,
        })
    }

    fn keys_of(&self, batch: &RecordBatch) -> Result<Option<Rows>> {
        let Some(encoder) = &self.encoder else {
            return Ok(None);
        };
        let key = self.key.iter().map(|&at| batch.column(at).clone());
        encoder.encode(&key.collect::<Vec<_>>()).map(Some)
    }

    /// Adds the hash of each row; the same for equal rows.
    pub(in crate::lake) fn hash(&self, columns: &[ArrayRef], hashes: &mut Vec<u128>) -> Result<()> {
        let rows = self.rows.convert_columns(columns);
        let rows = rows.map_err(LakeError::arrow("rows"))?;
        let hash = |row: Row<'_>| XxHash3_128::oneshot_with_seed(self.seed, row.data());
        hashes.extend(rows.iter().map(hash));
        Ok(())
    }
}

/// Rows that wait, in order.
#[derive(Default)]
pub(in crate::lake) struct Chunk {
    /// With their keys, where a later stage needs those.
    batches: Vec<Keyed>,
    bytes: usize,
    /// Where the rows are when they are too many bytes; then `batches` holds those that came since.
    spool: Option<FileWriter>,
    pub(in crate::lake) hashes: Vec<u128>,
    /// Whether the table may have the row.
    pub(in crate::lake) asked: Vec<bool>,
    /// Whether the row counts as deleted.
    pub(in crate::lake) deleted: Vec<bool>,
    /// The state of a key is its last row.
    pub(in crate::lake) keys: KeySet,
    /// For a row whose key an earlier row of the chunk has: the nearest such row.
    pub(in crate::lake) repeats: HashMap<u32, u32>,
}

impl Chunk {
    pub(in crate::lake) fn rows(&self) -> usize {
        self.hashes.len()
    }

    /// Bytes of the rows that are in memory.
    pub(in crate::lake) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(in crate::lake) fn add(
        &mut self,
        context: &Context,
        equality: &Equality,
        batch: RecordBatch,
        asked: &[bool],
    ) -> Result<()> {
        let first = self.hashes.len() as u32;
        equality.hash(batch.columns(), &mut self.hashes)?;
        self.asked.extend_from_slice(asked);
        match context.marked(&batch) {
            Some(deleted) => self.deleted.extend(deleted.values().iter()),
            None => self.deleted.resize(self.hashes.len(), false),
        }
        let keys = equality.keys_of(&batch)?;
        for (row, key) in (first..).zip(keys.iter().flatten()) {
            let before = self.keys.insert(key.data(), KeyState::Row(row));
            if let Some(KeyState::Row(before)) = before {
                self.repeats.insert(row, before);
            }
        }
        let travel = context.compares_keys() && (context.tracked || context.orders());
        let keys = keys.filter(|_| travel);
        let rows = Keyed { batch, keys };
        self.bytes += rows.bytes();
        self.batches.push(rows);
        Ok(())
    }

    /// The last row of a key.
    pub(in crate::lake) fn last(&self, number: usize) -> usize {
        match self.keys.state(number) {
            KeyState::Row(row) => row as usize,
            KeyState::Deleted => usize::MAX,
        }
    }

    /// The first row of a key.
    pub(in crate::lake) fn first(&self, number: usize) -> usize {
        let mut row = self.last(number);
        while let Some(&before) = self.repeats.get(&(row as u32)) {
            row = before as usize;
        }
        row
    }

    pub(in crate::lake) fn is_spooled(&self) -> bool {
        self.spool.is_some()
    }

    /// Moves the rows to a file.
    pub(in crate::lake) async fn spool(&mut self, context: &Context) -> Result<()> {
        self.bytes = 0;
        // Kept even after a failure: whoever abandons the write removes it.
        let file = self.spool.get_or_insert_with(|| context.start_file());
        for rows in std::mem::take(&mut self.batches) {
            file.write(placeholders(context, &rows.batch)?).await?;
        }
        Ok(())
    }

    /// Completes the file of rows, if there is one.
    pub(in crate::lake) async fn finish_spool(&mut self) -> Result<Option<DataFile>> {
        match self.spool.take() {
            Some(file) => completed(file.finish()).await.map(Some),
            None => Ok(None),
        }
    }

    /// The rows in memory that the table does not have, as `known` says of each row of the chunk. `encoder`
    /// is that of their keys.
    pub(in crate::lake) fn unknown(
        self,
        known: &[bool],
        encoder: Option<Arc<KeyEncoder>>,
    ) -> impl Iterator<Item = Result<Keyed>> {
        let mut first = 0;
        self.batches.into_iter().filter_map(move |rows| {
            let end = first + rows.batch.num_rows();
            let keep: BooleanArray = known[first..end].iter().map(|known| Some(!known)).collect();
            first = end;
            (keep.true_count() > 0).then(|| rows.filter(&keep, encoder.as_deref()))
        })
    }
}
