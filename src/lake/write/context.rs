//! What the stages of one write have in common: the table, the options, the snapshot that it started from.
//!
//! Every stage reads it and none changes it.

use crate::lake::commit::base::Base;
use crate::lake::error::{LakeError, Result};
use crate::lake::keys::encode::KeyEncoder;
use crate::lake::schema::Shape;
use crate::lake::store::Store;
use crate::lake::table::LakeTable;
use crate::lake::write::file::{FileFormat, FileWriter};
use crate::lake::write::options::{Reread, WriteMode, WriteOptions};
use crate::schema::TableKind;
use arrow_array::{ArrayRef, BooleanArray, RecordBatch};
use arrow_row::Rows;
use arrow_schema::SchemaRef;
use std::sync::Arc;

/// A stage holds at most this much of keys.
pub(in crate::lake) const KEY_BYTES_MAX: usize = 40 << 20;

/// One write: where it goes, how, and what it is compared with.
pub(in crate::lake) struct Context {
    pub(in crate::lake) table: LakeTable,
    pub(in crate::lake) options: WriteOptions,
    pub(in crate::lake) base: Arc<Base>,
    /// Of the table's key; none without one.
    pub(in crate::lake) encoder: Option<Arc<KeyEncoder>>,
    /// The keys of the file being written are held in memory.
    pub(in crate::lake) tracked: bool,
    /// The schema of batches to write.
    pub(in crate::lake) source_schema: SchemaRef,
    /// Positions of the key columns in such a batch.
    key: Vec<usize>,
    format: Arc<FileFormat>,
}

impl Context {
    /// Refuses a table that cannot be written, or not with these options.
    pub(in crate::lake) async fn new(table: LakeTable, mut options: WriteOptions) -> Result<Self> {
        table.check_writable()?;
        let base = Arc::new(Base::of(&table));
        let keyed = !table.shape.schema.key.is_empty();
        if options.mode == WriteMode::Refresh && base.snapshot_id().is_none() {
            // There is nothing to compare with.
            options.mode = WriteMode::ReplaceAll;
        }
        if options.mode == WriteMode::Upsert && !keyed {
            return Err(LakeError::NoKey {
                table: table.name.clone(),
                what: "replaced",
            });
        }
        let source = table.shape.source_fields();
        let source_schema = table.shape.arrow.project(&source);
        let position = |&field: &usize| source.iter().position(|&other| other == field);
        let context = Self {
            tracked: keyed && tracks(&table, &base, &options),
            encoder: match keyed {
                true => Some(Arc::new(KeyEncoder::new(&table.shape)?)),
                false => None,
            },
            source_schema: Arc::new(
                source_schema.map_err(LakeError::arrow(table.name.to_string()))?,
            ),
            key: (table.shape.key_fields().iter())
                .filter_map(position)
                .collect(),
            format: Arc::new(FileFormat::new(&table.name, table.shape.clone(), &options)?),
            table,
            options,
            base,
        };
        let data = format!("{}/data", context.table.location);
        context.store().create_directory(&data).await?;
        Ok(context)
    }

    pub(in crate::lake) fn store(&self) -> &Store {
        &self.table.store
    }

    pub(in crate::lake) fn shape(&self) -> &Arc<Shape> {
        &self.table.shape
    }

    /// Whether rows are compared by the table's key.
    pub(in crate::lake) fn compares_keys(&self) -> bool {
        self.options.compares_keys && self.encoder.is_some()
    }

    /// Whether rows are written in the order of their keys, where keys are compared at all. A history keeps the order
    /// of arrival, which its sequence numbers record.
    pub(in crate::lake) fn orders(&self) -> bool {
        self.table.kind() == TableKind::Mirror
            && self.options.mode != WriteMode::Append
            && self.encoder.is_some()
    }

    /// Whether a whole read gives a version `D` to each key of a history that it does not meet.
    pub(in crate::lake) fn notes_vanished(&self) -> bool {
        self.options.mode == WriteMode::Append
            && self.options.reread == (Reread::Everything { vanished: true })
            && self.compares_keys()
    }

    /// Which rows of a batch count as deleted; none where no row does.
    pub(in crate::lake) fn marked(&self, batch: &RecordBatch) -> Option<BooleanArray> {
        let marked = self.options.mark.as_ref()?.rows(batch);
        (marked.true_count() > 0).then_some(marked)
    }

    /// The key columns of a batch, in key order.
    pub(in crate::lake) fn key_columns(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        batch
            .project(&self.key)
            .map_err(LakeError::arrow(self.table.name.to_string()))
    }

    /// Position of the first key column in a batch of rows; none without a key.
    pub(in crate::lake) fn first_key(&self) -> Option<usize> {
        self.key.first().copied()
    }

    /// The encoded keys of a batch; none without a key.
    pub(in crate::lake) fn keys_of(&self, batch: &RecordBatch) -> Result<Option<Rows>> {
        let Some(encoder) = &self.encoder else {
            return Ok(None);
        };
        let columns: Vec<ArrayRef> = (self.key.iter())
            .map(|&at| batch.column(at).clone())
            .collect();
        encoder.encode(&columns).map(Some)
    }

    /// Starts a data file with a name of its own.
    pub(in crate::lake) fn start_file(&self) -> FileWriter {
        // A run may write to a table twice (after a refused commit), so its id alone is no name.
        let uri = format!(
            "{}/data/{}-{}.parquet",
            self.table.location,
            self.options.run_id,
            uuid::Uuid::new_v4().simple()
        );
        FileWriter::start(self.table.store.clone(), uri, self.format.clone())
    }

    /// Refuses a batch that does not have the source's columns.
    pub(in crate::lake) fn check(&self, batch: &RecordBatch) -> Result<()> {
        let mismatch = |column: &str, expected: String, found: String| LakeError::BatchMismatch {
            table: self.table.name.clone(),
            column: column.to_owned(),
            expected,
            found,
        };
        let fields = self.source_schema.fields();
        if batch.num_columns() != fields.len() {
            let counts = (fields.len().to_string(), batch.num_columns().to_string());
            return Err(mismatch("(number of columns)", counts.0, counts.1));
        }
        for (field, column) in fields.iter().zip(batch.columns()) {
            if field.data_type() != column.data_type() {
                let types = (
                    field.data_type().to_string(),
                    column.data_type().to_string(),
                );
                return Err(mismatch(field.name(), types.0, types.1));
            }
            if !field.is_nullable() && column.null_count() > 0 {
                return Err(LakeError::NullInRequired {
                    table: self.table.name.clone(),
                    column: field.name().clone(),
                });
            }
        }
        Ok(())
    }

    /// The encoded keys of a batch that holds the key columns alone, in key order.
    pub(in crate::lake) fn encode_keys(
        &self,
        encoder: &KeyEncoder,
        keys: &RecordBatch,
    ) -> Result<Rows> {
        let mut columns = Vec::new();
        for (at, ty) in encoder.types().iter().enumerate() {
            let column = keys.columns().get(at);
            match column.filter(|column| column.data_type() == ty) {
                Some(column) => columns.push(column.clone()),
                None => {
                    return Err(LakeError::BatchMismatch {
                        table: self.table.name.clone(),
                        column: format!("key {at}"),
                        expected: ty.to_string(),
                        found: column
                            .map_or_else(|| "nothing".to_owned(), |c| c.data_type().to_string()),
                    });
                }
            }
        }
        encoder.encode(&columns)
    }

    /// Columns read from a file of the table, under the schema of batches to write.
    pub(in crate::lake) fn as_given(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        RecordBatch::try_new(self.source_schema.clone(), batch.columns().to_vec())
            .map_err(LakeError::arrow(self.table.name.to_string()))
    }
}

/// Whether the keys of a file have to be held in memory while it is written.
fn tracks(table: &LakeTable, base: &Base, options: &WriteOptions) -> bool {
    match options.mode {
        // Only to compare with what this write has added itself.
        WriteMode::Append => {
            base.snapshot_id().is_some()
                && options.compares_keys
                && options.reread != Reread::Nothing
                && !options.distinct_keys
        }
        WriteMode::Refresh => !options.distinct_keys,
        WriteMode::ReplaceAll => table.kind() == TableKind::Mirror && !options.distinct_keys,
        WriteMode::Upsert => true,
    }
}
