//! Rows of many files in one order, in bounded memory.
//!
//! Rows are collected until they take [`RUN_BYTES`]. Input that fits is sorted in memory. Otherwise each collection
//! is sorted and spilled to a *run*, a temporary Parquet file beside the data; a collection that continues where the
//! run before ended is appended to it, so an input that is in order already makes one run. Finally the runs are
//! merged. Rows that compare equal keep the order in which they were added.
//!
//! Runs have small row groups, because a merge holds one row group of every run. They are removed at the end; a
//! crash leaves files named `*.tmp`, which no metadata names and orphan removal deletes.

use crate::lake::error::{LakeError, Result};
use crate::lake::keys::encode::KeyEncoder;
use crate::lake::maintain::output::Output;
use crate::lake::read::datafile::{OpenFile, Rows as FileRows, Wanted};
use crate::lake::read::deletes::Positions;
use crate::lake::table::LakeTable;
use crate::lake::write::file::{FileFormat, FileWriter};
use crate::lake::write::options::{Compression, Dictionaries, WriteMode, WriteOptions};
use crate::schema::{Role, TableKind};
use arrow_array::RecordBatch;
use arrow_row::{RowConverter, Rows, SortField};
use arrow_select::interleave::interleave_record_batch;
use futures::TryStreamExt;
use iceberg::spec::DataFile;
use std::cmp::Ordering;
use std::sync::Arc;

/// Rows held in memory before they are sorted.
pub(in crate::lake) const RUN_BYTES: usize = 32 << 20;
/// Of a run, a row group and a batch read from it hold about this much.
const RUN_GROUP_BYTES: usize = 512 << 10;
/// A batch handed on holds about this much, and never more than [`BATCH_ROWS`].
const BATCH_BYTES: usize = 4 << 20;
const BATCH_ROWS: usize = 8_192;

/// What rows are ordered by.
pub(in crate::lake) enum Order {
    /// A mirror: its key.
    Key(KeyEncoder, Vec<usize>),
    /// A history: the order numbers of its rows.
    Sequence(RowConverter, usize),
    /// Neither: rows stay in the order of their files.
    Arrival,
}

impl Order {
    pub(in crate::lake) fn of(table: &LakeTable) -> Result<Self> {
        let shape = &table.shape;
        match (table.kind(), shape.position_of(Role::Seq)) {
            (TableKind::Mirror, _) if !shape.schema.key.is_empty() => {
                Ok(Self::Key(KeyEncoder::new(shape)?, shape.key_fields()))
            }
            (TableKind::History, Some(field)) => {
                let sort = SortField::new(shape.arrow.field(field).data_type().clone());
                let rows = RowConverter::new(vec![sort]).map_err(LakeError::arrow("rows"))?;
                Ok(Self::Sequence(rows, field))
            }
            (TableKind::Mirror | TableKind::History, _) => Ok(Self::Arrival),
        }
    }

    /// The field that decides first, whose bounds say which files lie close together.
    pub(in crate::lake) fn first_field(&self) -> Option<usize> {
        match self {
            Self::Key(_, fields) => fields.first().copied(),
            Self::Sequence(_, field) => Some(*field),
            Self::Arrival => None,
        }
    }

    /// The encoded keys of a batch of all fields; none where the order of arrival stays.
    fn encode(&self, batch: &RecordBatch) -> Result<Option<Rows>> {
        match self {
            Self::Key(encoder, fields) => {
                let columns: Vec<_> = fields.iter().map(|&at| batch.column(at).clone()).collect();
                encoder.encode(&columns).map(Some)
            }
            Self::Sequence(rows, field) => rows
                .convert_columns(std::slice::from_ref(batch.column(*field)))
                .map(Some)
                .map_err(LakeError::arrow("rows")),
            Self::Arrival => Ok(None),
        }
    }
}

/// Sorts what it is given and hands it to an [`Output`].
pub(in crate::lake) struct Sorter<'a> {
    table: &'a LakeTable,
    order: &'a Order,
    options: &'a WriteOptions,
    run_bytes: usize,
    batches: Vec<RecordBatch>,
    keys: Vec<Rows>,
    bytes: usize,
    rows: usize,
    runs: Vec<DataFile>,
    open: Option<OpenRun>,
    format: Option<Arc<FileFormat>>,
    /// Every run begun, to be removed at the end.
    begun: Vec<String>,
    /// Of the widest collection so far.
    row_bytes: usize,
}

/// A run being written, and the last key in it.
struct OpenRun {
    file: FileWriter,
    last: Vec<u8>,
}

impl<'a> Sorter<'a> {
    pub(in crate::lake) fn new(
        table: &'a LakeTable,
        order: &'a Order,
        options: &'a WriteOptions,
        run_bytes: usize,
    ) -> Self {
        Self {
            table,
            order,
            options,
            run_bytes,
            batches: Vec::new(),
            keys: Vec::new(),
            bytes: 0,
            rows: 0,
            runs: Vec::new(),
            open: None,
            format: None,
            begun: Vec::new(),
            row_bytes: 1,
        }
    }

    /// Takes rows; memory stays below about [`RUN_BYTES`].
    pub(in crate::lake) async fn add(
        &mut self,
        batch: RecordBatch,
        output: &mut Output,
    ) -> Result<()> {
        let Some(keys) = self.order.encode(&batch)? else {
            return output.write(batch).await;
        };
        self.bytes += batch.get_array_memory_size() + keys.size();
        self.rows += batch.num_rows();
        self.batches.push(batch);
        self.keys.push(keys);
        if self.bytes >= self.run_bytes {
            self.spill().await?;
        }
        Ok(())
    }

    /// Writes everything in order.
    pub(in crate::lake) async fn finish(mut self, output: &mut Output) -> Result<()> {
        let done = self.finish_all(output).await;
        self.discard().await;
        done
    }

    async fn finish_all(&mut self, output: &mut Output) -> Result<()> {
        if self.begun.is_empty() {
            for batch in self.sorted()? {
                output.write(batch?).await?;
            }
            return Ok(());
        }
        self.spill().await?;
        self.close_run().await?;
        let mut merge = Merge::open(self.table, self.order, &self.runs, self.row_bytes).await?;
        while let Some(batch) = merge.next().await? {
            output.write(batch).await?;
        }
        Ok(())
    }

    /// Removes the runs, as far as possible.
    pub(in crate::lake) async fn discard(&mut self) {
        if let Some(open) = self.open.take() {
            // Wait for the thread, so that it does not create the file after it was removed.
            let _ = open.file.finish().await;
        }
        for uri in std::mem::take(&mut self.begun) {
            self.table.store.discard(&uri).await;
        }
    }

    /// The rows held, in order, as batches made one at a time. Nothing is held any more.
    fn sorted(&mut self) -> Result<impl Iterator<Item = Result<RecordBatch>> + use<>> {
        let (batches, keys) = (
            std::mem::take(&mut self.batches),
            std::mem::take(&mut self.keys),
        );
        self.row_bytes = self.row_bytes.max(self.bytes / self.rows.max(1));
        (self.bytes, self.rows) = (0, 0);
        let mut order: Vec<(usize, usize)> = (keys.iter().enumerate())
            .flat_map(|(at, keys)| (0..keys.num_rows()).map(move |row| (at, row)))
            .collect();
        order.sort_by(|&(a, row), &(b, other)| keys[a].row(row).cmp(&keys[b].row(other)));
        let rows = batch_rows(self.row_bytes, BATCH_BYTES);
        let name = self.table.name.to_string();
        let mut start = 0;
        Ok(std::iter::from_fn(move || {
            let end = (start + rows).min(order.len());
            let chunk = order.get(start..end).filter(|chunk| !chunk.is_empty())?;
            start = end;
            let batches: Vec<&RecordBatch> = batches.iter().collect();
            Some(interleave_record_batch(&batches, chunk).map_err(LakeError::arrow(name.clone())))
        }))
    }

    /// Sorts the rows held into the open run, or into a new one when they do not continue it.
    async fn spill(&mut self) -> Result<()> {
        for batch in self.sorted()? {
            let batch = batch?;
            let Some(keys) = self.order.encode(&batch)? else {
                continue;
            };
            let (first, last) = (keys.row(0), keys.row(keys.num_rows() - 1));
            if let Some(open) = &self.open
                && first.data() < open.last.as_slice()
            {
                self.close_run().await?;
            }
            let mut open = match self.open.take() {
                Some(open) => open,
                None => self.begin_run()?,
            };
            open.last = last.data().to_vec();
            let written = open.file.write(batch).await;
            self.open = Some(open);
            written?;
        }
        Ok(())
    }

    fn begin_run(&mut self) -> Result<OpenRun> {
        let format = match &self.format {
            Some(format) => format.clone(),
            None => {
                let options = WriteOptions {
                    row_group_rows: batch_rows(self.row_bytes, RUN_GROUP_BYTES),
                    page_bytes: RUN_GROUP_BYTES,
                    dictionaries: Dictionaries::None,
                    compression: Compression::Lz4,
                    ..WriteOptions::new(WriteMode::Append, self.options.run_id)
                };
                let table = self.table;
                let format = FileFormat::new(&table.name, table.shape.clone(), &options)?;
                self.format.insert(Arc::new(format)).clone()
            }
        };
        let uri = format!(
            "{}/data/.{}-{}.tmp",
            self.table.location,
            self.options.run_id,
            uuid::Uuid::new_v4().simple()
        );
        self.begun.push(uri.clone());
        Ok(OpenRun {
            file: FileWriter::start(self.table.store.clone(), uri, format),
            last: Vec::new(),
        })
    }

    async fn close_run(&mut self) -> Result<()> {
        if let Some(open) = self.open.take() {
            let file = open.file.finish().await.map_err(|_| LakeError::Thread {
                action: "writes Parquet",
            })??;
            self.runs.push(file);
        }
        Ok(())
    }
}

fn batch_rows(row_bytes: usize, bytes: usize) -> usize {
    (bytes / row_bytes.max(1)).clamp(1, BATCH_ROWS)
}

/// Sorted runs as one sorted stream.
struct Merge<'a> {
    order: &'a Order,
    name: String,
    cursors: Vec<Cursor>,
    /// A binary heap of the cursors that are not at their end, the least in front.
    heap: Vec<usize>,
    batches: Vec<RecordBatch>,
    rows: usize,
}

/// Where a merge is in one run.
struct Cursor {
    rows: FileRows,
    keys: Option<Rows>,
    /// Of the current batch in [`Merge::batches`].
    batch: usize,
    row: usize,
}

impl<'a> Merge<'a> {
    async fn open(
        table: &LakeTable,
        order: &'a Order,
        runs: &[DataFile],
        row_bytes: usize,
    ) -> Result<Self> {
        let fields: Vec<usize> = (0..table.shape.schema.fields.len()).collect();
        let all = Positions::new();
        let mut merge = Self {
            order,
            name: table.name.to_string(),
            cursors: Vec::with_capacity(runs.len()),
            heap: Vec::with_capacity(runs.len()),
            batches: Vec::new(),
            rows: batch_rows(row_bytes, BATCH_BYTES),
        };
        for run in runs {
            let open = OpenFile::open(&table.store, table.shape.clone(), run, false).await?;
            let rows = open.read_in(&fields, &Wanted::Except(&all), RUN_GROUP_BYTES as u64)?;
            merge.cursors.push(Cursor {
                rows,
                keys: None,
                batch: 0,
                row: 0,
            });
            let at = merge.cursors.len() - 1;
            if merge.load(at).await? {
                merge.heap.push(at);
            }
        }
        for at in (0..merge.heap.len() / 2).rev() {
            merge.sift_down(at);
        }
        Ok(merge)
    }

    /// Moves a cursor to its run's next batch; false at the end.
    async fn load(&mut self, at: usize) -> Result<bool> {
        let cursor = &mut self.cursors[at];
        while let Some((batch, _)) = cursor.rows.try_next().await? {
            if batch.num_rows() == 0 {
                continue;
            }
            cursor.keys = self.order.encode(&batch)?;
            cursor.batch = self.batches.len();
            cursor.row = 0;
            self.batches.push(batch);
            return Ok(true);
        }
        cursor.keys = None;
        Ok(false)
    }

    /// The next rows in order; none at the end.
    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        let mut chosen: Vec<(usize, usize)> = Vec::with_capacity(self.rows);
        while chosen.len() < self.rows
            && let Some(&least) = self.heap.first()
        {
            let cursor = &mut self.cursors[least];
            chosen.push((cursor.batch, cursor.row));
            cursor.row += 1;
            let ended = cursor
                .keys
                .as_ref()
                .is_none_or(|keys| cursor.row >= keys.num_rows());
            if ended && !self.load(least).await? {
                self.heap.swap_remove(0);
            }
            self.sift_down(0);
        }
        if chosen.is_empty() {
            return Ok(None);
        }
        let batches: Vec<&RecordBatch> = self.batches.iter().collect();
        let merged = interleave_record_batch(&batches, &chosen)
            .map_err(LakeError::arrow(self.name.clone()))?;
        // Batches that no cursor is in any more go.
        let mut kept = Vec::with_capacity(self.heap.len());
        for &at in &self.heap {
            let cursor = &mut self.cursors[at];
            kept.push(self.batches[cursor.batch].clone());
            cursor.batch = kept.len() - 1;
        }
        self.batches = kept;
        Ok(Some(merged))
    }

    /// Equal keys come in the order of their runs, which is the order of arrival.
    fn compare(&self, a: usize, b: usize) -> Ordering {
        let key = |at: usize| {
            let cursor = &self.cursors[at];
            cursor.keys.as_ref().map(|keys| keys.row(cursor.row))
        };
        key(a).cmp(&key(b)).then(a.cmp(&b))
    }

    fn sift_down(&mut self, mut at: usize) {
        loop {
            let mut least = at;
            for child in [2 * at + 1, 2 * at + 2] {
                if child < self.heap.len()
                    && self.compare(self.heap[child], self.heap[least]).is_lt()
                {
                    least = child;
                }
            }
            if least == at {
                return;
            }
            self.heap.swap(at, least);
            at = least;
        }
    }
}
