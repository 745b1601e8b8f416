//! Writing rows: batches to data files, replaced rows to position deletes, nothing visible before the commit.
//!
//! A mirror table holds one row per key. The writer keeps the keys of the file it is writing (and of no other) in
//! memory. When the file is complete, those keys are looked up in the files of the snapshot it started from and in
//! its own earlier files; every live row found is replaced, so its position is noted. A key that repeats within a
//! file keeps its last row. Memory is bounded by `key_rows_max` whatever the number of rows, because a file is also
//! closed when that many keys are held.
//!
//! Position deletes take effect on data files of the same commit as well (the specification applies them to data of
//! the same sequence number), which is what lets a later file replace rows of an earlier one.

pub(in crate::lake) mod compare;
pub(in crate::lake) mod file;
pub(in crate::lake) mod options;
mod order;
pub(in crate::lake) mod parts;
mod replace;

use crate::change::{Content, WriteCounts};
use crate::failpoint;
use crate::lake::commit::base::Base;
use crate::lake::commit::prepared::{PreparedCommit, remove};
use crate::lake::error::{LakeError, Result};
use crate::lake::keys::encode::{KeyEncoder, KeySet, KeyState};
use crate::lake::keys::lookup::LookupStats;
use crate::lake::read::deletes::{DeleteIndex, Positions};
use crate::lake::schema::{Shape, is_history};
use crate::lake::table::{LakeTable, SEQ_PROPERTY};
use crate::lake::write::compare::mirror::delete_unseen;
use crate::lake::write::compare::{Compare, PositionsByPath};
use crate::lake::write::file::{FileFormat, FileWriter, Finishing};
use crate::lake::write::options::{Op, Reread, WriteMode, WriteOptions};
use crate::lake::write::order::{Keys, Run};
use crate::schema::mapping::arrow_type;
use crate::schema::{Role, TableKind};
use arrow_array::{
    ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray, new_null_array,
};
use arrow_row::{RowConverter, SortField};
use arrow_schema::SchemaRef;
use iceberg::spec::DataFile;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use twox_hash::XxHash3_128;

/// A file is also closed when its keys take this much memory.
pub(in crate::lake) const KEY_BYTES_MAX: usize = 40 << 20;

/// Writes rows of one run to one table. Dropped or [abandoned](TableWriter::abandon), nothing of it is ever visible.
pub struct TableWriter {
    pub(in crate::lake) table: LakeTable,
    pub(in crate::lake) options: WriteOptions,
    pub(in crate::lake) base: Arc<Base>,
    pub(in crate::lake) index: DeleteIndex,
    pub(in crate::lake) encoder: Option<Arc<KeyEncoder>>,
    /// The keys of the file being written are held in memory.
    pub(in crate::lake) tracked: bool,
    /// Made with the first row, because it opens the base; none where no row is compared.
    pub(in crate::lake) compare: Option<Compare>,
    is_open: bool,
    format: Arc<FileFormat>,
    current: Current,
    closing: Option<Closing>,
    pub(in crate::lake) own: Vec<OwnFile>,
    /// Positions to delete in files of the base snapshot, by path.
    pub(in crate::lake) pending: BTreeMap<String, Positions>,
    pub(in crate::lake) counts: WriteCounts,
    pub(in crate::lake) stats: LookupStats,
    content: Option<ContentHash>,
    source: Vec<usize>,
    source_schema: SchemaRef,
    seq_high: i64,
    pub(in crate::lake) run: Run,
}

/// The file being written.
#[derive(Default)]
pub(in crate::lake) struct Current {
    file: Option<FileWriter>,
    pub(in crate::lake) keys: KeySet,
    rows: u32,
    dead: Positions,
}

/// A file on its way to the disk.
struct Closing {
    file: Finishing,
    dead: Positions,
}

/// A complete data file of this write.
pub(in crate::lake) struct OwnFile {
    pub(in crate::lake) file: DataFile,
    pub(in crate::lake) dead: Positions,
}

struct ContentHash {
    rows: RowConverter,
    content: Content,
}

impl LakeTable {
    /// Starts a write against this version's snapshot.
    pub async fn writer(&self, options: WriteOptions) -> Result<TableWriter> {
        TableWriter::new(self.clone(), options).await
    }
}

impl TableWriter {
    async fn new(table: LakeTable, mut options: WriteOptions) -> Result<Self> {
        table.check_writable()?;
        let base = Arc::new(Base::of(&table));
        let keyed = !table.shape.schema.key.is_empty();
        if options.mode == WriteMode::Refresh && !(keyed && base.snapshot_id().is_some()) {
            // There is nothing to compare with.
            options.mode = WriteMode::ReplaceAll;
        }
        if options.mode == WriteMode::Upsert && !keyed {
            return Err(LakeError::NoKey {
                table: table.name.clone(),
                what: "replaced",
            });
        }
        let tracked = keyed && tracks(&table, &base, &options);
        let encoder = if tracked {
            Some(Arc::new(KeyEncoder::new(&table.shape)?))
        } else {
            None
        };
        let source = table.shape.source_fields();
        let source_schema = Arc::new(
            table
                .shape
                .arrow
                .project(&source)
                .map_err(LakeError::arrow(table.name.to_string()))?,
        );
        let content = if options.content {
            let fields = source_schema.fields().iter();
            let sort = fields.map(|field| SortField::new(field.data_type().clone()));
            Some(ContentHash {
                rows: RowConverter::new(sort.collect()).map_err(LakeError::arrow("rows"))?,
                content: Content { rows: 0, hash: 0 },
            })
        } else {
            None
        };
        let format = Arc::new(FileFormat::new(&table.name, table.shape.clone(), &options)?);
        let data = format!("{}/data", table.location);
        table.store.create_directory(&data).await?;
        Ok(Self {
            seq_high: seq_high(&table),
            table,
            options,
            base,
            index: DeleteIndex::default(),
            encoder,
            tracked,
            compare: None,
            is_open: false,
            format,
            current: Current::default(),
            closing: None,
            own: Vec::new(),
            pending: BTreeMap::new(),
            counts: WriteCounts::default(),
            stats: LookupStats::default(),
            content,
            source,
            source_schema,
            run: Run::default(),
        })
    }

    /// The schema of batches to write: the fields that come from the source.
    pub fn schema(&self) -> &SchemaRef {
        &self.source_schema
    }

    /// Writes rows in order; a later row with the same key wins. Rows that the table has are not written, as the
    /// options say.
    pub async fn write(&mut self, batch: RecordBatch) -> Result<()> {
        self.write_with_overlap(batch, None).await
    }

    /// Looks at the base, once.
    pub(in crate::lake) async fn open(&mut self) -> Result<()> {
        if std::mem::replace(&mut self.is_open, true) || self.base.snapshot_id().is_none() {
            return Ok(());
        }
        let base = self.base.files().await?;
        self.compare = Compare::new(&self.table.shape, &base, &self.options)?;
        let keyed = !self.table.shape.schema.key.is_empty();
        if self.encoder.is_none() && keyed && self.compare.is_some() {
            self.encoder = Some(Arc::new(KeyEncoder::new(&self.table.shape)?));
        }
        Ok(())
    }

    pub(in crate::lake) fn compares_keys(&self) -> bool {
        self.options.compares_keys && !self.table.shape.schema.key.is_empty()
    }

    /// Rows of the base that were met again.
    pub(in crate::lake) fn take_seen(&mut self) -> PositionsByPath {
        let compare = self.compare.as_mut();
        compare
            .map(|compare| std::mem::take(&mut compare.seen))
            .unwrap_or_default()
    }

    /// Shape and encoder of the keys that rows are compared by.
    pub(in crate::lake) fn lookup_parts(&self) -> Option<(Arc<Shape>, Arc<KeyEncoder>)> {
        self.compare.as_ref().and_then(Compare::lookup_parts)
    }

    pub(in crate::lake) async fn write_in_order(
        &mut self,
        batch: RecordBatch,
        keys: Option<Keys<'_>>,
    ) -> Result<()> {
        if let Some(content) = &mut self.content {
            content.add(&batch)?;
        }
        let encoded = match (&self.encoder, keys) {
            (Some(encoder), None) if self.tracked => {
                let columns: Vec<ArrayRef> = self
                    .key_columns()
                    .map(|at| batch.column(at).clone())
                    .collect();
                Some(encoder.encode(&columns)?)
            }
            _ => None,
        };
        let keys = keys.or(encoded.as_ref().map(Keys::Batch));
        let keys = keys.filter(|_| self.tracked);
        let mut start = 0;
        while start < batch.num_rows() {
            if self.is_full() {
                self.roll().await?;
            }
            let room = self.options.key_rows_max.max(1) - self.current.keys.len();
            let rows = (batch.num_rows() - start).min(room);
            self.hold_keys(keys, start..start + rows);
            self.write_slice(batch.slice(start, rows)).await?;
            start += rows;
        }
        Ok(())
    }

    /// Holds the keys of rows that are written next.
    fn hold_keys(&mut self, keys: Option<Keys<'_>>, rows: Range<usize>) {
        let Some(keys) = keys else { return };
        let current = &mut self.current;
        for (position, row) in (current.rows..).zip(rows) {
            let before = current.keys.insert(keys.of(row), KeyState::Row(position));
            if let Some(KeyState::Row(before)) = before
                && self.options.mode != WriteMode::Append
            {
                current.dead.insert(u64::from(before));
            }
        }
    }

    fn is_full(&self) -> bool {
        let current = &self.current;
        let written = current.file.as_ref().map_or(0, FileWriter::bytes);
        written >= self.options.target_file_bytes
            || current.keys.len() >= self.options.key_rows_max.max(1)
            || current.keys.bytes() >= KEY_BYTES_MAX
            || current.rows >= u32::MAX / 2
    }

    async fn write_slice(&mut self, batch: RecordBatch) -> Result<()> {
        let first = self.current.rows;
        let rows = batch.num_rows() as u32;
        let batch = self.completed(&batch)?;
        let mut file = match self.current.file.take() {
            Some(file) => file,
            None => self.start_file(),
        };
        let written = file.write(batch).await;
        self.current.file = Some(file);
        self.current.rows = first + rows;
        written
    }

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

    /// Positions of the key columns in a batch of source fields.
    pub(in crate::lake) fn key_columns(&self) -> impl Iterator<Item = usize> + '_ {
        let key = self.table.shape.schema.key.iter();
        key.filter_map(|key| self.source.iter().position(|&field| field == key.field))
    }

    /// Deletes rows by key; the batch holds the key columns in key order. A key written before is deleted as well,
    /// one written afterwards stays.
    pub async fn delete_keys(&mut self, keys: &RecordBatch) -> Result<()> {
        self.flush_compared().await?;
        self.flush_run().await?;
        let Some(encoder) = self.encoder.clone() else {
            return Err(LakeError::NoKey {
                table: self.table.name.clone(),
                what: "deleted",
            });
        };
        if self.options.mode == WriteMode::Append || !self.tracked {
            return Err(LakeError::UnsupportedTable {
                table: self.table.name.clone(),
                reason: "rows that are only appended cannot be deleted".to_owned(),
            });
        }
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
        for key in encoder.encode(&columns)?.iter() {
            if self.is_full() {
                self.roll().await?;
            }
            let current = &mut self.current;
            if let Some(KeyState::Row(row)) = current.keys.insert(key.as_ref(), KeyState::Deleted) {
                current.dead.insert(u64::from(row));
            }
        }
        Ok(())
    }

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

    /// The batch with the history columns.
    fn completed(&mut self, batch: &RecordBatch) -> Result<RecordBatch> {
        let rows = batch.num_rows();
        let mut given = batch.columns().iter();
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.table.shape.schema.fields.len());
        let shape = &self.table.shape;
        for (field, unfilled) in shape.schema.fields.iter().zip(&shape.unfilled) {
            let column: ArrayRef = match field.role {
                _ if *unfilled => new_null_array(&arrow_type(field.ty), rows),
                role if is_history(role) => {
                    self.history_column(role, self.options.op, self.seq_high + 1, rows)
                }
                Role::Op | Role::Seq | Role::CommittedAt => continue,
                Role::Value | Role::Ticks | Role::Offset | Role::BaseType | Role::Srid => {
                    match given.next() {
                        Some(column) => column.clone(),
                        None => continue,
                    }
                }
            };
            columns.push(column);
        }
        if shape.position_of(Role::Seq).is_some() {
            self.seq_high += rows as i64;
        }
        RecordBatch::try_new(self.table.shape.arrow.clone(), columns)
            .map_err(LakeError::arrow(self.table.name.to_string()))
    }

    /// A column that history tables have beside the source's, for rows numbered from `first`.
    pub(in crate::lake) fn history_column(
        &self,
        role: Role,
        op: Op,
        first: i64,
        rows: usize,
    ) -> ArrayRef {
        match role {
            Role::Seq => Arc::new(Int64Array::from_iter_values((first..).take(rows))),
            Role::CommittedAt => {
                let micros = self.options.committed_at.timestamp_micros();
                let column = TimestampMicrosecondArray::from(vec![micros; rows]);
                Arc::new(column.with_timezone(crate::schema::mapping::UTC))
            }
            Role::Op | Role::Value | Role::Ticks | Role::Offset | Role::BaseType | Role::Srid => {
                Arc::new(StringArray::from(vec![op.code(); rows]))
            }
        }
    }

    /// Closes the current file and looks its keys up.
    pub(in crate::lake) async fn roll(&mut self) -> Result<()> {
        self.settle_closing().await?;
        let Current {
            file,
            mut keys,
            dead,
            ..
        } = std::mem::take(&mut self.current);
        // The file is flushed by its thread while its keys are looked up here.
        self.closing = file.map(|file| Closing {
            file: file.finish(),
            dead,
        });
        if self.tracked && self.options.mode != WriteMode::Append {
            keys.seal();
            self.replace(&keys).await?;
        }
        Ok(())
    }

    pub(in crate::lake) async fn settle_closing(&mut self) -> Result<()> {
        let Some(closing) = self.closing.take() else {
            return Ok(());
        };
        let file = closing.file.await.map_err(|_| LakeError::Thread {
            action: "writes Parquet",
        })??;
        self.own.push(OwnFile {
            file,
            dead: closing.dead,
        });
        Ok(())
    }

    pub(in crate::lake) async fn complete(&mut self) -> Result<()> {
        if self.options.mode == WriteMode::Refresh
            || self.options.reread == (Reread::Everything { vanished: true })
        {
            // Also without a row: then all that the table has is gone from the source.
            self.open().await?;
        }
        self.flush_compared().await?;
        self.write_vanished().await?;
        self.flush_run().await?;
        self.roll().await?;
        self.settle_closing().await?;
        let counted = match self.options.mode {
            WriteMode::Refresh => self.tracked || self.compare.is_some(),
            WriteMode::Upsert | WriteMode::ReplaceAll => self.tracked,
            WriteMode::Append => false,
        };
        if !counted {
            let own = self.own.iter().map(|own| own.file.record_count());
            self.counts.inserted = own.sum::<u64>() - self.counts.deleted;
        }
        Ok(())
    }

    /// At the end of a whole read: deletes the rows of the base that were not met.
    async fn delete_rest(&mut self) -> Result<()> {
        let seen = self.take_seen();
        if self.options.mode == WriteMode::Refresh && self.compare.is_some() {
            let base = self.base.files().await?;
            let rest = delete_unseen(&self.table, &base, &seen, &mut self.pending).await?;
            self.counts.deleted += rest;
        }
        Ok(())
    }

    /// Completes a file that is not added to the table.
    pub(in crate::lake) async fn finish_private(&self, file: FileWriter) -> Result<DataFile> {
        file.finish().await.map_err(|_| LakeError::Thread {
            action: "writes Parquet",
        })?
    }

    pub(in crate::lake) async fn remove_private(&self, uri: &str) {
        remove(&self.table, uri).await;
    }

    pub(in crate::lake) fn content(&self) -> Option<Content> {
        self.content.as_ref().map(|content| content.content)
    }

    /// Completes the files; nothing is visible until the commit. After an error nothing is left of them.
    pub async fn finish(mut self) -> Result<PreparedCommit> {
        let complete = match self.complete().await {
            Ok(()) => self.delete_rest().await,
            Err(error) => Err(error),
        };
        if let Err(error) = complete {
            self.abandon().await;
            return Err(error);
        }
        let content = self.content();
        let pending = std::mem::take(&mut self.pending);
        let prepared = PreparedCommit::new(
            &self.table,
            self.base,
            self.options,
            self.own,
            pending
                .into_iter()
                .filter(|(_, rows)| !rows.is_empty())
                .collect(),
            self.counts,
            self.stats,
            content,
            self.seq_high,
        );
        let prepared = prepared.materialised(&self.table).await?;
        failpoint::reach(crate::lake::FAIL_AFTER_DATA_FILES);
        Ok(prepared)
    }

    /// Removes what was written so far, as far as possible.
    pub async fn abandon(mut self) {
        // Wait for the threads, so that they do not complete a file after this. One that fails removes its own.
        let current = self.current.file.take().map(FileWriter::finish);
        let closing = self.closing.take().map(|closing| closing.file);
        let spool = self.compare.as_mut().and_then(Compare::take_spool);
        let spool = spool.map(FileWriter::finish);
        for file in current.into_iter().chain(closing).chain(spool) {
            if let Ok(Ok(file)) = file.await {
                remove(&self.table, file.file_path()).await;
            }
        }
        for own in &self.own {
            remove(&self.table, own.file.file_path()).await;
        }
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

pub(in crate::lake) fn seq_high(table: &LakeTable) -> i64 {
    let known = table.property(SEQ_PROPERTY);
    known.and_then(|text| text.parse().ok()).unwrap_or(0)
}

impl ContentHash {
    fn add(&mut self, batch: &RecordBatch) -> Result<()> {
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
}
