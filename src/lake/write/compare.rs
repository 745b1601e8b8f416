//! Rows that the table has already are not written.
//!
//! Rows are read again in three cases: a window starts before the last one ended, a whole table is read although the
//! lake has it, or another strategy follows the table. Such rows are collected into a chunk, the chunk's keys are
//! looked up in one pass, and each row is compared with what the table has:
//!
//! | table | a row is dropped when | file |
//! |---|---|---|
//! | mirror | the live row with its key is the same in every column from the source | `mirror` |
//! | history with a key | the latest version of its key is the same | `history` |
//! | history without a key | the table has as many equal rows as the source | `keyless` |
//!
//! **A whole read** also says what is not there any more. The positions of all rows that were met again are kept
//! (compressed bitmaps); at the end the others are deleted from a mirror, or get a version `D` in a history.
//!
//! **Memory.** A chunk holds at most `key_rows_max` keys, each with a 128-bit hash of its row, and at most
//! [`CHUNK_BYTES`] of rows. Rows in the order of their keys touch few row groups, so such a chunk is looked up when
//! its rows are too many bytes. For rows in another order each pass may read the whole table, so passes must be few:
//! their rows go to a file that only this write knows, and come back from it after the lookup.
//!
//! **Equality** is that of the hash (XXH3, seeded anew by each write): two rows that differ are taken for equal with a
//! probability of 2^-128.

mod history;
mod keyless;
pub(in crate::lake) mod mirror;

use crate::lake::error::{LakeError, Result};
use crate::lake::keys::bounds::Statistics;
use crate::lake::keys::encode::{KeyEncoder, KeySet, KeyState};
use crate::lake::keys::lookup::{Found, Lookup, Search};
use crate::lake::read::datafile::{OpenFile, Wanted};
use crate::lake::read::deletes::Positions;
use crate::lake::read::entries::{Described, StoredFile};
use crate::lake::read::manifests::Files;
use crate::lake::schema::{Shape, is_history};
use crate::lake::write::file::FileWriter;
use crate::lake::write::options::{Op, Reread, WriteMode, WriteOptions};
use crate::lake::write::{KEY_BYTES_MAX, TableWriter};
use crate::schema::mapping::arrow_type;
use crate::schema::{KeyFold, LakeKeyField, Role};
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, ArrayRef, BooleanArray, RecordBatch, new_null_array};
use arrow_row::{RowConverter, SortField};
use arrow_schema::SchemaRef;
use arrow_select::filter::filter_record_batch;
use futures::TryStreamExt;
use iceberg::spec::DataFile;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use twox_hash::XxHash3_128;

/// Rows of a chunk that are held in memory.
const CHUNK_BYTES: usize = 16 << 20;

/// Positions of rows by path of their file.
pub(in crate::lake) type PositionsByPath = BTreeMap<String, Positions>;

/// What comparing takes, and the rows that wait for it.
pub(in crate::lake) struct Compare {
    reread: Reread,
    /// The table's shape; without a key, one whose key is the watermark.
    shape: Arc<Shape>,
    /// None where every row of the table is compared.
    encoder: Option<Arc<KeyEncoder>>,
    /// Positions of the shape's key in a batch.
    key: Vec<usize>,
    hasher: RowHasher,
    highest: Option<Highest>,
    chunk: Chunk,
    /// Rows of the base that were met again, as far as the rest matters.
    pub(in crate::lake) seen: PositionsByPath,
}

/// Hashes of rows, the same for equal rows.
struct RowHasher {
    rows: RowConverter,
    seed: u64,
}

/// The highest value of a field in the table.
struct Highest {
    /// Of the field in a batch.
    column: usize,
    rows: RowConverter,
    /// Encoded; none when a file does not tell.
    value: Option<Vec<u8>>,
}

/// Rows that wait, in order.
#[derive(Default)]
struct Chunk {
    batches: Vec<RecordBatch>,
    bytes: usize,
    /// Where the rows are when they are too many bytes; then `batches` is empty.
    spool: Option<FileWriter>,
    hashes: Vec<u128>,
    /// Whether the table may have the row.
    asked: Vec<bool>,
    /// The state of a key is its last row.
    keys: KeySet,
    /// For a row whose key an earlier row of the chunk has: the nearest such row.
    repeats: HashMap<u32, u32>,
}

/// A row of the table that has a key of the chunk.
struct Match {
    /// Of the key.
    number: usize,
    position: u64,
    hash: u128,
    /// `_seq` of a history.
    seq: i64,
    /// `_op` of a history is `D`.
    deleted: bool,
}

impl Compare {
    /// None where no row needs to be compared.
    pub(in crate::lake) fn new(
        shape: &Arc<Shape>,
        base: &Files,
        options: &WriteOptions,
    ) -> Result<Option<Self>> {
        if base.data.is_empty()
            || options.mode == WriteMode::ReplaceAll
            || options.reread == Reread::Nothing
        {
            return Ok(None);
        }
        let source = shape.source_fields();
        let column_of = |field: usize| source.iter().position(|&other| other == field);
        let mut shape = shape.clone();
        if shape.schema.key.is_empty() || !options.compares_keys {
            let fold = KeyFold::default();
            Arc::make_mut(&mut shape).schema.key = match options.reread {
                Reread::UpTo(field) => vec![LakeKeyField { field, fold }],
                Reread::Nothing | Reread::Marked | Reread::Everything { .. } => Vec::new(),
            };
        }
        let key: Vec<usize> = shape
            .key_fields()
            .into_iter()
            .filter_map(column_of)
            .collect();
        let highest = match options.reread {
            Reread::UpTo(field) => column_of(field)
                .map(|column| Highest::of(&shape, base, field, column))
                .transpose()?,
            Reread::Nothing | Reread::Marked | Reread::Everything { .. } => None,
        };
        Ok(Some(Self {
            reread: options.reread,
            encoder: match key.is_empty() {
                true => None,
                false => Some(Arc::new(KeyEncoder::new(&shape)?)),
            },
            hasher: RowHasher::new(&shape, &source)?,
            shape,
            key,
            highest,
            chunk: Chunk::default(),
            seen: BTreeMap::new(),
        }))
    }

    pub(in crate::lake) fn lookup_parts(&self) -> Option<(Arc<Shape>, Arc<KeyEncoder>)> {
        let encoder = self.encoder.clone()?;
        Some((self.shape.clone(), encoder))
    }

    /// The file with rows that wait, if there is one.
    pub(in crate::lake) fn take_spool(&mut self) -> Option<FileWriter> {
        self.chunk.spool.take()
    }

    /// Which rows of a batch the table may have.
    fn asked(&self, batch: &RecordBatch, mask: Option<&BooleanArray>) -> Result<Vec<bool>> {
        let rows = batch.num_rows();
        match self.reread {
            Reread::Nothing => Ok(vec![false; rows]),
            Reread::Everything { .. } => Ok(vec![true; rows]),
            Reread::Marked => Ok(match mask {
                Some(mask) => mask.iter().map(|marked| marked == Some(true)).collect(),
                None => vec![false; rows],
            }),
            Reread::UpTo(_) => match &self.highest {
                Some(highest) => highest.not_above(batch),
                None => Ok(vec![true; rows]),
            },
        }
    }

    fn add(&mut self, batch: &RecordBatch, asked: &[bool]) -> Result<()> {
        let chunk = &mut self.chunk;
        let first = chunk.hashes.len() as u32;
        self.hasher.add(batch.columns(), &mut chunk.hashes)?;
        chunk.asked.extend_from_slice(asked);
        if let Some(encoder) = &self.encoder {
            let key = self.key.iter().map(|&at| batch.column(at).clone());
            let keys = encoder.encode(&key.collect::<Vec<_>>())?;
            for (row, key) in (first..).zip(keys.iter()) {
                let before = chunk.keys.insert(key.as_ref(), KeyState::Row(row));
                if let Some(KeyState::Row(before)) = before {
                    chunk.repeats.insert(row, before);
                }
            }
        }
        Ok(())
    }

    fn is_full(&self, key_rows_max: usize) -> bool {
        let chunk = &self.chunk;
        let in_order = self.encoder.is_some() && chunk.keys.is_ascending();
        chunk.hashes.len() >= key_rows_max.max(1)
            || chunk.keys.bytes() >= KEY_BYTES_MAX
            || (in_order && chunk.bytes >= CHUNK_BYTES)
    }
}

impl RowHasher {
    fn new(shape: &Shape, fields: &[usize]) -> Result<Self> {
        let sort = |&field: &usize| SortField::new(shape.arrow.field(field).data_type().clone());
        Ok(Self {
            rows: RowConverter::new(fields.iter().map(sort).collect())
                .map_err(LakeError::arrow("rows"))?,
            seed: uuid::Uuid::new_v4().as_u64_pair().1,
        })
    }

    fn add(&self, columns: &[ArrayRef], hashes: &mut Vec<u128>) -> Result<()> {
        let rows = self.rows.convert_columns(columns);
        let rows = rows.map_err(LakeError::arrow("rows"))?;
        let hash = |row: arrow_row::Row<'_>| XxHash3_128::oneshot_with_seed(self.seed, row.data());
        hashes.extend(rows.iter().map(hash));
        Ok(())
    }
}

impl Highest {
    fn of(shape: &Shape, base: &Files, field: usize, column: usize) -> Result<Self> {
        let ty = shape.arrow.field(field).data_type();
        let rows = RowConverter::new(vec![SortField::new(ty.clone())])
            .map_err(LakeError::arrow("bounds"))?;
        let files: Vec<&StoredFile> = base.data.iter().map(|data| &data.file).collect();
        let value = match Statistics::of_files(&files, shape, field) {
            Some(known) => {
                let upper = rows
                    .convert_columns(std::slice::from_ref(&known.upper))
                    .map_err(LakeError::arrow("bounds"))?;
                let bound = |(at, file): (usize, &&StoredFile)| match known.nulls[at] {
                    Some(nulls) if nulls == file.record_count() => Some(Vec::new()),
                    Some(_) | None if known.upper.is_null(at) => None,
                    Some(_) | None => Some(upper.row(at).data().to_vec()),
                };
                let bounds: Option<Vec<Vec<u8>>> = files.iter().enumerate().map(bound).collect();
                bounds.map(|bounds| bounds.into_iter().max().unwrap_or_default())
            }
            None => None,
        };
        Ok(Self {
            column,
            rows,
            value,
        })
    }

    /// NULL is never above.
    fn not_above(&self, batch: &RecordBatch) -> Result<Vec<bool>> {
        let Some(value) = &self.value else {
            return Ok(vec![true; batch.num_rows()]);
        };
        let column = batch.column(self.column);
        let rows = self
            .rows
            .convert_columns(std::slice::from_ref(column))
            .map_err(LakeError::arrow("bounds"))?;
        let not_above = |(at, row): (usize, arrow_row::Row<'_>)| {
            column.is_null(at) || row.data() <= value.as_slice()
        };
        Ok(rows.iter().enumerate().map(not_above).collect())
    }
}

impl Chunk {
    fn rows(&self) -> usize {
        self.hashes.len()
    }

    /// The last row of a key.
    fn last(&self, number: usize) -> usize {
        match self.keys.state(number) {
            KeyState::Row(row) => row as usize,
            KeyState::Deleted => usize::MAX,
        }
    }

    /// The first row of a key.
    fn first(&self, number: usize) -> usize {
        let mut row = self.last(number);
        while let Some(&before) = self.repeats.get(&(row as u32)) {
            row = before as usize;
        }
        row
    }
}

impl TableWriter {
    /// Writes rows in order, except those that the table has as [`Reread`] says. The mask is that of
    /// [`Reread::Marked`].
    pub async fn write_with_overlap(
        &mut self,
        batch: RecordBatch,
        mask: Option<&BooleanArray>,
    ) -> Result<()> {
        self.check(&batch)?;
        let marked = mask.is_some_and(|mask| mask.true_count() > 0);
        if marked || self.options.reread != Reread::Marked {
            self.open().await?;
        }
        let Some(compare) = &mut self.compare else {
            return self.write_rows(batch).await;
        };
        let asked = compare.asked(&batch, mask)?;
        if compare.chunk.rows() == 0 && !asked.contains(&true) {
            return self.write_rows(batch).await;
        }
        compare.add(&batch, &asked)?;
        compare.chunk.bytes += batch.get_array_memory_size();
        compare.chunk.batches.push(batch);
        if compare.is_full(self.options.key_rows_max) {
            self.flush_compared().await?;
        } else if compare.chunk.bytes >= CHUNK_BYTES {
            self.spool().await?;
        }
        Ok(())
    }

    /// Moves the rows of the chunk to a file.
    async fn spool(&mut self) -> Result<()> {
        let Some(compare) = &mut self.compare else {
            return Ok(());
        };
        compare.chunk.bytes = 0;
        let batches = std::mem::take(&mut compare.chunk.batches);
        let mut file = match compare.chunk.spool.take() {
            Some(file) => file,
            None => self.start_file(),
        };
        let mut written = Ok(());
        for batch in batches {
            written = match self.placeholders(&batch) {
                Ok(batch) => file.write(batch).await,
                Err(error) => Err(error),
            };
            if written.is_err() {
                break;
            }
        }
        // Kept even after a failure: whoever abandons the write removes it.
        if let Some(compare) = &mut self.compare {
            compare.chunk.spool = Some(file);
        }
        written
    }

    /// The batch with something in the history columns, which nobody reads.
    fn placeholders(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let rows = batch.num_rows();
        let mut given = batch.columns().iter();
        let shape = &self.table.shape;
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(shape.schema.fields.len());
        for (field, unfilled) in shape.schema.fields.iter().zip(&shape.unfilled) {
            let ty = arrow_type(field.ty);
            columns.push(match given.as_slice() {
                _ if *unfilled => new_null_array(&ty, rows),
                _ if is_history(field.role) => self.history_column(field.role, Op::Update, 0, rows),
                [column, rest @ ..] => {
                    given = rest.iter();
                    column.clone()
                }
                [] => new_null_array(&ty, rows),
            });
        }
        RecordBatch::try_new(shape.arrow.clone(), columns)
            .map_err(LakeError::arrow(self.table.name.to_string()))
    }

    /// Compares the rows that wait, and writes those that the table has not.
    pub(in crate::lake) async fn flush_compared(&mut self) -> Result<()> {
        let Some(compare) = &mut self.compare else {
            return Ok(());
        };
        if compare.chunk.rows() == 0 {
            return Ok(());
        }
        if compare.chunk.spool.is_some() {
            // Its rows come before those that are in memory.
            self.spool().await?;
        }
        let Some(compare) = &mut self.compare else {
            return Ok(());
        };
        let mut chunk = std::mem::take(&mut compare.chunk);
        let keyed = self.compares_keys();
        // What was written before must be among the keys that are held.
        let judged = match self.flush_run().await {
            Ok(()) => {
                chunk.keys.seal();
                match self.options.mode {
                    WriteMode::Append if keyed => self.known_versions(&chunk).await,
                    WriteMode::Append => self.known_copies(&chunk).await,
                    WriteMode::Refresh => self.known_rows(&chunk).await,
                    WriteMode::Upsert | WriteMode::ReplaceAll => self.marked_rows(&chunk).await,
                }
            }
            Err(error) => Err(error),
        };
        let spool = match chunk.spool.take() {
            Some(file) => Some(self.finish_private(file).await?),
            None => None,
        };
        let written = match judged {
            Ok(known) => self.write_unknown(&chunk, spool.as_ref(), &known).await,
            Err(error) => Err(error),
        };
        if let Some(file) = spool {
            self.remove_private(file.file_path()).await;
        }
        written
    }

    /// Writes the rows that are not known.
    async fn write_unknown(
        &mut self,
        chunk: &Chunk,
        spool: Option<&DataFile>,
        known: &[bool],
    ) -> Result<()> {
        let mut first = 0;
        for batch in &chunk.batches {
            let rows = batch.num_rows();
            let known = known[first..first + rows].iter();
            first += rows;
            let keep: BooleanArray = known.map(|known| Some(!known)).collect();
            if keep.true_count() > 0 {
                let kept = filter_record_batch(batch, &keep)
                    .map_err(LakeError::arrow(self.table.name.to_string()))?;
                self.write_rows(kept).await?;
            }
        }
        let Some(file) = spool else { return Ok(()) };
        let rows = known.iter().enumerate().filter(|(_, known)| !**known);
        let rows: Positions = rows.map(|(row, _)| row as u64).collect();
        let (store, shape) = (self.table.store.clone(), self.table.shape.clone());
        let open = OpenFile::open(&store, shape, file, true).await?;
        let mut kept = open.read(&self.table.shape.source_fields(), &Wanted::Only(&rows))?;
        while let Some((batch, _)) = kept.try_next().await? {
            self.write_rows(self.as_given(batch)?).await?;
        }
        Ok(())
    }

    /// A batch read from a file under the schema of batches that are written.
    fn as_given(&self, batch: RecordBatch) -> Result<RecordBatch> {
        let schema: SchemaRef = self.schema().clone();
        RecordBatch::try_new(schema, batch.columns().to_vec())
            .map_err(LakeError::arrow(self.table.name.to_string()))
    }

    /// Positions of a file's rows that have a key of the chunk, ascending, each with the number of the key.
    async fn found(lookup: &mut Lookup<'_>, file: &impl Described) -> Result<Vec<(u64, u32)>> {
        let mut found: Vec<(u64, u32)> = Vec::new();
        let note = |number: usize, row: u64| found.push((row, number as u32));
        lookup.probe(file, note).await?;
        found.sort_unstable();
        Ok(found)
    }

    /// The next file of the base that has a key of the chunk. What was found and not taken yet is in the queue.
    async fn next_found(
        &mut self,
        search: &mut Search<'_>,
        queue: &mut Vec<Found>,
        base: &Files,
    ) -> Result<Option<Found>> {
        if queue.is_empty() {
            queue.extend(search.next().await?);
            let data = queue.iter().map(|(data, _)| data.as_ref());
            self.index.fetch(&self.table.store, base, data).await?;
        }
        Ok(queue.pop())
    }

    /// Reads rows that were found, and hands each to `each`.
    async fn read_found(
        &self,
        file: &impl Described,
        found: &[(u64, u32)],
        mut each: impl FnMut(Match),
    ) -> Result<()> {
        let Some(compare) = &self.compare else {
            return Ok(());
        };
        let rows: Positions = found.iter().map(|&(row, _)| row).collect();
        let mut numbers = found.iter().copied().peekable();
        let each = |row: RowRead| {
            while numbers.next_if(|&(at, _)| at < row.position).is_some() {}
            if let Some((_, number)) = numbers.next_if(|&(at, _)| at == row.position) {
                each(Match {
                    number: number as usize,
                    position: row.position,
                    hash: row.hash,
                    seq: row.seq,
                    deleted: row.deleted,
                });
            }
        };
        self.read_rows(compare, file, &Wanted::Only(&rows), each)
            .await
    }

    /// Reads rows of a file and hashes what came from the source.
    async fn read_rows(
        &self,
        compare: &Compare,
        file: &impl Described,
        wanted: &Wanted<'_>,
        mut each: impl FnMut(RowRead),
    ) -> Result<()> {
        let shape = &self.table.shape;
        let mut fields = shape.source_fields();
        let values = fields.len();
        let (seq, op) = (shape.position_of(Role::Seq), shape.position_of(Role::Op));
        fields.extend(seq.into_iter().chain(op));
        let pages = matches!(wanted, Wanted::Only(_));
        let open = OpenFile::open(&self.table.store, shape.clone(), file, pages).await?;
        let mut rows = open.read(&fields, wanted)?;
        let mut hashes = Vec::new();
        while let Some((batch, positions)) = rows.try_next().await? {
            hashes.clear();
            compare
                .hasher
                .add(&batch.columns()[..values], &mut hashes)?;
            let mut own = batch.columns()[values..].iter();
            let seq = seq.and_then(|_| own.next());
            let seq = seq.and_then(|column| column.as_primitive_opt::<Int64Type>());
            let op = op.and_then(|_| own.next());
            let op = op.and_then(|column| column.as_string_opt::<i32>());
            for (row, (&position, &hash)) in positions.iter().zip(&hashes).enumerate() {
                each(RowRead {
                    position,
                    hash,
                    seq: seq.map_or(0, |seq| seq.value(row)),
                    deleted: op
                        .is_some_and(|op| op.is_valid(row) && op.value(row) == Op::Delete.code()),
                });
            }
        }
        Ok(())
    }
}

/// Positions ascending, each with the number of its key.
fn by_position(hits: Vec<(u32, u64)>) -> Vec<(u64, u32)> {
    let mut found: Vec<(u64, u32)> = hits.into_iter().map(|(key, row)| (row, key)).collect();
    found.sort_unstable();
    found
}

/// A row of the table.
struct RowRead {
    position: u64,
    hash: u128,
    seq: i64,
    deleted: bool,
}
