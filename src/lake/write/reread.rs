//! Rows read again because a window starts before the last one ended: those that are in the table already are not
//! written.
//!
//! A row is dropped only when the table holds a live row with its key and the same value in every column from the
//! source (in a history table: when that is the key's latest version). Whatever is doubtful is written: a key that
//! this write has touched already, a key that occurs twice, a table without a key.

use crate::lake::error::{LakeError, Result};
use crate::lake::keys::encode::{KeySet, KeyState};
use crate::lake::keys::lookup::Lookup;
use crate::lake::read::datafile::{OpenFile, Wanted};
use crate::lake::read::deletes::Positions;
use crate::lake::write::TableWriter;
use crate::lake::write::options::WriteMode;
use crate::schema::{Role, TableKind};
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, ArrayRef, BooleanArray, RecordBatch};
use arrow_row::{RowConverter, Rows, SortField};
use futures::TryStreamExt;
use std::collections::HashMap;

/// Batches waiting for a lookup, in order.
#[derive(Default)]
pub(in crate::lake) struct Buffered {
    batches: Vec<(RecordBatch, BooleanArray)>,
    rows: usize,
    bytes: usize,
}

/// A lookup is made for at most this many rows at a time.
const ROWS_MAX: usize = 32 * 1024;
const BYTES_MAX: usize = 8 << 20;

impl TableWriter {
    /// Writes rows in order; those for which the mask is true are dropped, and counted as unchanged, when the table
    /// has them.
    pub async fn write_with_overlap(
        &mut self,
        batch: RecordBatch,
        mask: Option<&BooleanArray>,
    ) -> Result<()> {
        let Some(mask) = mask.filter(|mask| mask.true_count() > 0) else {
            return self.write(batch).await;
        };
        self.buffered.rows += batch.num_rows();
        self.buffered.bytes += batch.get_array_memory_size();
        self.buffered.batches.push((batch, mask.clone()));
        if self.buffered.rows >= ROWS_MAX || self.buffered.bytes >= BYTES_MAX {
            self.flush_overlap().await?;
        }
        Ok(())
    }

    pub(in crate::lake) async fn flush_overlap(&mut self) -> Result<()> {
        if self.buffered.batches.is_empty() {
            return Ok(());
        }
        let buffered = std::mem::take(&mut self.buffered);
        // What was written before must be among the keys that are held.
        self.flush_run().await?;
        let known = self.known_rows(&buffered).await?;
        let mut first = 0;
        for (batch, _) in buffered.batches {
            let rows = batch.num_rows();
            let keep: BooleanArray = known[first..first + rows]
                .iter()
                .map(|known| Some(!known))
                .collect();
            first += rows;
            self.counts.unchanged += (rows - keep.true_count()) as u64;
            let kept = arrow_select::filter::filter_record_batch(&batch, &keep)
                .map_err(LakeError::arrow(self.table.name.to_string()))?;
            if kept.num_rows() > 0 {
                self.write_rows(kept).await?;
            }
        }
        Ok(())
    }

    /// For each buffered row whether the table has it already.
    async fn known_rows(&mut self, buffered: &Buffered) -> Result<Vec<bool>> {
        let mut known = vec![false; buffered.rows];
        // Keys of files that are closed are no longer in memory: whether they were touched cannot be told.
        let comparable = self.options.mode != WriteMode::ReplaceAll
            && self.own.is_empty()
            && self.base.snapshot_id().is_some();
        let (true, Some(encoder)) = (comparable, self.encoder.clone()) else {
            return Ok(known);
        };
        if self.base.files().await?.data.is_empty() {
            return Ok(known);
        }
        let mut asked = KeySet::default();
        let mut twice = vec![false; buffered.rows];
        let mut masked = Vec::with_capacity(buffered.rows);
        let key_columns: Vec<usize> = self.key_columns().collect();
        for (batch, mask) in &buffered.batches {
            let columns: Vec<ArrayRef> = key_columns
                .iter()
                .map(|&at| batch.column(at).clone())
                .collect();
            for (row, key) in encoder.encode(&columns)?.iter().enumerate() {
                let number = masked.len();
                masked.push(mask.is_valid(row) && mask.value(row));
                twice[number] = self.holds(key.as_ref());
                let state = KeyState::Row(number as u32);
                if let Some(KeyState::Row(before)) = asked.insert(key.as_ref(), state) {
                    twice[before as usize] = true;
                    twice[number] = true;
                }
            }
        }
        asked.seal();
        let newest = self.newest_versions(&asked, buffered).await?;
        for (number, same) in newest {
            known[number] = same && masked[number] && !twice[number];
        }
        Ok(known)
    }

    /// For each buffered row whose key is live in the table: whether the (latest) row there is the same.
    async fn newest_versions(
        &mut self,
        asked: &KeySet,
        buffered: &Buffered,
    ) -> Result<HashMap<usize, bool>> {
        let Some(encoder) = self.encoder.clone() else {
            return Ok(HashMap::new());
        };
        let (store, base) = (self.table.store.clone(), self.base.files().await?);
        let ours = Comparable::new(self, buffered)?;
        let seq = match self.table.kind() {
            TableKind::History => self.table.shape.position_of(Role::Seq),
            TableKind::Mirror => None,
        };
        let mut fields = self.table.shape.source_fields();
        let values = fields.len();
        fields.extend(seq);
        let mut newest: HashMap<usize, (i64, bool)> = HashMap::new();
        let lookup = Lookup::new(&store, self.table.shape.clone(), &encoder, asked)?;
        let mut search = lookup.search(&base.data)?;
        loop {
            let some = search.next().await?;
            if some.is_empty() {
                break;
            }
            let data = some.iter().map(|(data, _)| data.as_ref());
            self.index.fetch(&store, &base, data).await?;
            for (data, hits) in some {
                let mut found: HashMap<u64, usize> = HashMap::new();
                for (number, row) in hits {
                    if let KeyState::Row(asking) = asked.state(number as usize) {
                        found.insert(row, asking as usize);
                    }
                }
                let gone = self.index.of(&store, &base, &data).await?;
                let rows: Positions = found.keys().filter(|&&row| !gone.contains(row)).collect();
                if rows.is_empty() {
                    continue;
                }
                let open =
                    OpenFile::open(&store, self.table.shape.clone(), &data.file, true).await?;
                let mut rows = open.read(&fields, &Wanted::Only(&rows))?;
                while let Some((batch, positions)) = rows.try_next().await? {
                    let theirs = ours.encode(&batch.columns()[..values])?;
                    let order = batch.columns().get(values);
                    let order = order.and_then(|column| column.as_primitive_opt::<Int64Type>());
                    for (row, position) in positions.iter().enumerate() {
                        let Some(&asking) = found.get(position) else {
                            continue;
                        };
                        let at = order.map_or(0, |order| order.value(row));
                        let same = ours.row(asking) == theirs.row(row).as_ref();
                        let newer = newest.get(&asking).is_none_or(|(known, _)| *known <= at);
                        if newer {
                            newest.insert(asking, (at, same));
                        }
                    }
                }
            }
        }
        self.stats.add(search.stats);
        Ok(newest
            .into_iter()
            .map(|(asking, (_, same))| (asking, same))
            .collect())
    }
}

/// The buffered rows in a form in which equal rows are equal bytes.
struct Comparable {
    converter: RowConverter,
    rows: Vec<Rows>,
    /// First row of each batch.
    starts: Vec<usize>,
}

impl Comparable {
    fn new(writer: &TableWriter, buffered: &Buffered) -> Result<Self> {
        let fields = writer.schema().fields().iter();
        let sort = fields.map(|field| SortField::new(field.data_type().clone()));
        let converter = RowConverter::new(sort.collect()).map_err(LakeError::arrow("rows"))?;
        let mut rows = Vec::new();
        let mut starts = Vec::new();
        let mut start = 0;
        for (batch, _) in &buffered.batches {
            rows.push(
                converter
                    .convert_columns(batch.columns())
                    .map_err(LakeError::arrow("rows"))?,
            );
            starts.push(start);
            start += batch.num_rows();
        }
        Ok(Self {
            converter,
            rows,
            starts,
        })
    }

    fn encode(&self, columns: &[ArrayRef]) -> Result<Rows> {
        self.converter
            .convert_columns(columns)
            .map_err(LakeError::arrow("rows"))
    }

    fn row(&self, number: usize) -> &[u8] {
        let batch = self.starts.partition_point(|&start| start <= number) - 1;
        self.rows[batch].row(number - self.starts[batch]).data()
    }
}
