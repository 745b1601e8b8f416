//! Writing rows: batches to data files, replaced rows to position deletes, nothing visible before the commit.
//!
//! A write is a pipeline. Each stage owns its state, takes rows by value and answers rows by value; [`TableWriter`]
//! only joins them:
//!
//! | stage | file | what it does | what it owns |
//! |---|---|---|---|
//! | `Compare` | `compare` | drops rows that the table has | rows that wait for their lookup, rows that were met |
//! | `Order` | `order` | sorts rows by key | rows of a run |
//! | `Output` | `output` | completes rows with the columns of a history, joins the two below | the last number |
//! | `OwnFiles` | `own` | fills data files | the files, the keys of the one being filled |
//! | `Replaced` | `replace` | finds the rows that a file's keys replace | their positions, the counts |
//!
//! Keys of a log without a row (`logged`) wait beside the pipeline, and are deleted in the output.
//!
//! What travels is a batch and, beside it, its encoded keys (`keyed`): keys are encoded once, by the first stage that
//! needs them. All stages read the `Context`, and none changes it. A stage uses those that come after it, never one
//! before it: `Compare` asks the output which keys this write has added already. At the end the output becomes one
//! value, [`Written`](crate::lake::commit::written::Written), from which the commit goes on.
//!
//! A mirror table holds one row per key. The keys of the file being filled (and of no other) are in memory. When the
//! file is complete, they are looked up in the files of the snapshot that the write started from and in its own
//! earlier files; every live row found is replaced. Memory is bounded by `key_rows_max` whatever the number of rows.

pub(in crate::lake) mod columns;
pub(in crate::lake) mod compare;
pub(in crate::lake) mod context;
pub(in crate::lake) mod file;
pub(in crate::lake) mod keyed;
pub(in crate::lake) mod live;
pub(in crate::lake) mod logged;
pub(in crate::lake) mod options;
pub(in crate::lake) mod order;
pub(in crate::lake) mod output;
pub(in crate::lake) mod own;
pub(in crate::lake) mod parts;
pub(in crate::lake) mod replace;

use crate::failpoint;
use crate::lake::commit::prepared::PreparedCommit;
use crate::lake::error::{LakeError, Result};
use crate::lake::read::deletes::{Positions, PositionsByPath};
use crate::lake::read::entries::Described;
use crate::lake::table::LakeTable;
use crate::lake::write::compare::Compare;
use crate::lake::write::compare::chunk::Chunk;
use crate::lake::write::compare::found::read_source;
use crate::lake::write::compare::history::{Unseen, latest_live};
use crate::lake::write::compare::mirror::delete_unseen;
use crate::lake::write::context::Context;
use crate::lake::write::keyed::Keyed;
use crate::lake::write::logged::{Gone, key_set};
use crate::lake::write::options::{Op, Reread, WriteMode, WriteOptions};
use crate::lake::write::order::Order;
use crate::lake::write::output::Output;
use crate::lake::write::parts::Part;
use arrow_array::{BooleanArray, RecordBatch};
use arrow_schema::SchemaRef;
use arrow_select::filter::filter_record_batch;
use futures::TryStreamExt;
use iceberg::spec::DataFile;

/// Writes rows of one run to one table. Dropped or [abandoned](TableWriter::abandon), nothing of it is ever visible.
pub struct TableWriter {
    context: Context,
    /// Made with the first row, because it opens the base; none where no row is compared.
    compare: Option<Compare>,
    is_open: bool,
    order: Order,
    output: Output,
    /// Keys to be deleted.
    gone: Gone,
}

impl LakeTable {
    /// Starts a write against this version's snapshot.
    pub async fn writer(&self, options: WriteOptions) -> Result<TableWriter> {
        let context = Context::new(self.clone(), options).await?;
        Ok(TableWriter {
            output: Output::new(&context),
            context,
            compare: None,
            is_open: false,
            order: Order::default(),
            gone: Gone::default(),
        })
    }
}

impl TableWriter {
    /// The schema of batches to write: the fields that come from the source.
    pub fn schema(&self) -> &SchemaRef {
        &self.context.source_schema
    }

    /// Writes rows in order; a later row with the same key wins. Rows that the table has are not written, as the
    /// options say.
    pub async fn write(&mut self, batch: RecordBatch) -> Result<()> {
        self.write_with_overlap(batch, None).await
    }

    /// Writes rows in order, except those that the table has as [`Reread`] says. The mask is that of
    /// [`Reread::Marked`].
    pub async fn write_with_overlap(
        &mut self,
        batch: RecordBatch,
        mask: Option<&BooleanArray>,
    ) -> Result<()> {
        self.context.check(&batch)?;
        match self.context.marked(&batch) {
            Some(deleted) if self.context.options.mode != WriteMode::Append => {
                self.write_marked(&batch, mask, &deleted).await
            }
            Some(_) | None => self.write_rows(batch, mask).await,
        }
    }

    /// Writes the rows of a mirror that do not count as deleted. The others are deleted by their keys; a write of the
    /// whole table leaves them out.
    async fn write_marked(
        &mut self,
        batch: &RecordBatch,
        mask: Option<&BooleanArray>,
        deleted: &BooleanArray,
    ) -> Result<()> {
        if self.context.options.mode == WriteMode::Upsert {
            self.gone.add(&self.context.key_columns(batch)?, deleted)?;
        }
        let live: BooleanArray = deleted.iter().map(|row| Some(row != Some(true))).collect();
        let rows = filter_record_batch(batch, &live).map_err(LakeError::arrow("rows"))?;
        if rows.num_rows() > 0 {
            let mask = mask.map(|mask| {
                let kept = mask.iter().zip(live.values()).filter(|(_, live)| *live);
                kept.map(|(marked, _)| marked).collect::<BooleanArray>()
            });
            self.write_rows(rows, mask.as_ref()).await?;
        }
        match self.gone.is_full() {
            true => self.flush_gone().await,
            false => Ok(()),
        }
    }

    async fn write_rows(&mut self, batch: RecordBatch, mask: Option<&BooleanArray>) -> Result<()> {
        let marked = mask.is_some_and(|mask| mask.true_count() > 0);
        if marked || self.context.options.reread != Reread::Marked {
            self.open().await?;
        }
        let Some(compare) = &mut self.compare else {
            return self.write_new(Keyed::new(batch)).await;
        };
        if let Some(batch) = compare.add(&self.context, batch, mask)? {
            return self.write_new(Keyed::new(batch)).await;
        }
        if compare.is_full(&self.context.options) {
            return self.flush_compared().await;
        }
        compare.make_room(&self.context).await
    }

    /// Deletes rows by key; the batch holds the key columns in key order. A key written before is deleted as well,
    /// one written afterwards stays.
    pub async fn delete_keys(&mut self, keys: &RecordBatch) -> Result<()> {
        self.flush_compared().await?;
        self.flush_order().await?;
        let Some(encoder) = &self.context.encoder else {
            return Err(LakeError::NoKey {
                table: self.context.table.name.clone(),
                what: "deleted",
            });
        };
        if self.context.options.mode == WriteMode::Append || !self.context.tracked {
            return Err(LakeError::UnsupportedTable {
                table: self.context.table.name.clone(),
                reason: "rows that are only appended cannot be deleted".to_owned(),
            });
        }
        let keys = self.context.encode_keys(encoder, keys)?;
        self.output.delete(&self.context, &keys).await
    }

    /// Writes rows, each beside the key of the log that has led to it. `keys` has the key columns alone, in key order.
    /// Where the key of a row is NULL there is none, and the key of the log is deleted: a mirror loses its row, a
    /// history gets a version `D`. See `logged`.
    pub async fn write_logged(&mut self, keys: &RecordBatch, rows: &RecordBatch) -> Result<()> {
        let there = self.gone.split(&self.context, keys, rows)?;
        if there.num_rows() > 0 {
            self.write(there).await?;
        }
        match self.gone.is_full() {
            true => self.flush_gone().await,
            false => Ok(()),
        }
    }

    /// Deletes the keys that wait for it.
    async fn flush_gone(&mut self) -> Result<()> {
        let gone = self.gone.take();
        if gone.is_empty() {
            return Ok(());
        }
        if self.context.options.mode == WriteMode::Append {
            return self.note_gone(&gone).await;
        }
        for keys in gone {
            self.delete_keys(&keys).await?;
        }
        Ok(())
    }

    /// Gives a history a version `D`, with the values of the last one, of each key that it has and that is not deleted.
    async fn note_gone(&mut self, gone: &[RecordBatch]) -> Result<()> {
        self.flush_compared().await?;
        let keys = key_set(&self.context, gone)?;
        let live = latest_live(&self.context, &keys, &mut self.output).await?;
        for (data, rows) in &live.in_base {
            self.write_deleted(&data.file, rows).await?;
        }
        for (file, rows) in &live.in_own {
            self.write_deleted(file, rows).await?;
        }
        Ok(())
    }

    /// Looks at the base, once.
    async fn open(&mut self) -> Result<()> {
        if std::mem::replace(&mut self.is_open, true) || self.context.base.snapshot_id().is_none() {
            return Ok(());
        }
        let base = self.context.base.files().await?;
        self.compare = Compare::new(&self.context, &base)?;
        self.output.replaced.counts_compared =
            self.context.options.mode == WriteMode::Refresh && self.compare.is_some();
        Ok(())
    }

    /// Compares the rows that wait, and writes those that the table does not have.
    async fn flush_compared(&mut self) -> Result<()> {
        let chunk = match &mut self.compare {
            Some(compare) => compare.take(&self.context).await?,
            None => None,
        };
        let Some(mut chunk) = chunk else {
            return Ok(());
        };
        let judged = self.judge(&chunk).await;
        let spool = chunk.finish_spool().await?;
        let written = match judged {
            Ok(known) => self.write_unknown(chunk, spool.as_ref(), &known).await,
            Err(error) => Err(error),
        };
        if let Some(file) = spool {
            self.context.store().discard(file.file_path()).await;
        }
        written
    }

    async fn judge(&mut self, chunk: &Chunk) -> Result<Vec<bool>> {
        // What was written before must be among the keys that are held.
        self.flush_order().await?;
        match &mut self.compare {
            Some(compare) => compare.judge(&self.context, chunk, &mut self.output).await,
            None => Ok(vec![false; chunk.rows()]),
        }
    }

    /// Writes the rows of a chunk that are not known.
    async fn write_unknown(
        &mut self,
        chunk: Chunk,
        spool: Option<&DataFile>,
        known: &[bool],
    ) -> Result<()> {
        for rows in chunk.unknown(known, self.context.encoder.clone()) {
            self.write_new(rows?).await?;
        }
        let Some(file) = spool else { return Ok(()) };
        let rows = known.iter().enumerate().filter(|(_, known)| !**known);
        let rows: Positions = rows.map(|(row, _)| row as u64).collect();
        let mut unknown = read_source(&self.context, file, &rows).await?;
        while let Some((batch, _)) = unknown.try_next().await? {
            let batch = self.context.as_given(&batch)?;
            self.write_new(Keyed::new(batch)).await?;
        }
        Ok(())
    }

    /// Writes rows that the table does not have.
    async fn write_new(&mut self, mut rows: Keyed) -> Result<()> {
        let orders = self.context.orders() && (self.context.tracked || self.compare.is_some());
        if rows.keys.is_none() && (orders || self.context.tracked) {
            rows.keys = self.context.keys_of(&rows.batch)?;
        }
        let rows = match orders {
            true => self.order.add(rows),
            false => Some(rows),
        };
        match rows {
            Some(rows) => {
                let op = self.context.options.op;
                self.output.write(&self.context, rows, op).await
            }
            None if self.order.is_full() => self.flush_order().await,
            None => Ok(()),
        }
    }

    /// Writes the rows that wait to be sorted.
    async fn flush_order(&mut self) -> Result<()> {
        let mut sorted = self.order.take();
        while let Some(rows) = sorted.next(&self.context)? {
            let op = self.context.options.op;
            self.output.write(&self.context, rows, op).await?;
        }
        Ok(())
    }

    async fn complete(&mut self) -> Result<()> {
        let options = &self.context.options;
        if options.mode == WriteMode::Refresh
            || options.reread == (Reread::Everything { vanished: true })
        {
            // Also without a row: then all that the table has is gone from the source.
            self.open().await?;
        }
        self.flush_gone().await?;
        self.flush_compared().await?;
        self.write_vanished().await?;
        self.flush_order().await?;
        self.output.complete(&self.context).await?;
        let counted = match self.context.options.mode {
            WriteMode::Refresh => self.context.tracked || self.compare.is_some(),
            WriteMode::Upsert | WriteMode::ReplaceAll => self.context.tracked,
            WriteMode::Append => false,
        };
        if !counted {
            self.output.count_inserted();
        }
        Ok(())
    }

    /// At the end of a whole read of a history: writes a version `D`, with the values of the last one, for each key
    /// that was not met and is not deleted yet.
    async fn write_vanished(&mut self) -> Result<()> {
        let Some(compare) = (self.compare.as_mut()).filter(|_| self.context.notes_vanished())
        else {
            return Ok(());
        };
        let (seen, index) = (compare.take_seen(), &mut self.output.replaced.index);
        let unseen = Unseen::new(&self.context, seen, index).await?;
        for pass in 0..unseen.passes() {
            for (data, rows) in unseen.latest(&self.context, pass).await? {
                self.write_deleted(&data.file, &rows).await?;
            }
        }
        Ok(())
    }

    async fn write_deleted(&mut self, file: &impl Described, rows: &Positions) -> Result<()> {
        let mut gone = read_source(&self.context, file, rows).await?;
        while let Some((batch, _)) = gone.try_next().await? {
            self.output.replaced.counts.deleted += batch.num_rows() as u64;
            let mut rows = Keyed::new(self.context.as_given(&batch)?);
            if self.context.tracked {
                rows.keys = self.context.keys_of(&rows.batch)?;
            }
            self.output.write(&self.context, rows, Op::Delete).await?;
        }
        Ok(())
    }

    /// Rows of the base that were met again.
    fn take_seen(&mut self) -> PositionsByPath {
        let compare = self.compare.as_mut();
        compare.map(Compare::take_seen).unwrap_or_default()
    }

    /// At the end of a whole read of a mirror: deletes the rows of the base that were not met.
    async fn delete_rest(&mut self) -> Result<()> {
        let seen = self.take_seen();
        if self.context.options.deletes_unseen() && self.compare.is_some() {
            let base = self.context.base.files().await?;
            let replaced = &mut self.output.replaced;
            let rows = &mut replaced.rows;
            replaced.counts.deleted +=
                delete_unseen(&self.context.table, &base, &seen, rows).await?;
        }
        Ok(())
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
        let table = self.context.table.clone();
        let mut written = self.output.into_written(self.context);
        written.replaced.retain(|_, rows| !rows.is_empty());
        let prepared = PreparedCommit::new(&table, written, Vec::new());
        let prepared = prepared.materialised(&table).await?;
        failpoint::reach(crate::lake::FAIL_AFTER_DATA_FILES);
        Ok(prepared)
    }

    /// Completes the files of a writer whose rows have [distinct keys](WriteOptions::distinct_keys); an error
    /// otherwise. After an error nothing is left of them.
    pub async fn finish_part(mut self) -> Result<Part> {
        let complete = match self.complete().await {
            Ok(()) if self.output.replaces_more(&self.context) => {
                Err(LakeError::UnsupportedTable {
                    table: self.context.table.name.clone(),
                    reason: "a part of a write cannot replace rows".to_owned(),
                })
            }
            complete => complete,
        };
        if let Err(error) = complete {
            self.abandon().await;
            return Err(error);
        }
        let seen = self.take_seen();
        Ok(Part::new(self.output.into_written(self.context), seen))
    }

    /// Removes what was written so far, as far as possible.
    pub async fn abandon(self) {
        let store = self.context.store();
        self.output.files.abandon(store).await;
        if let Some(compare) = self.compare
            && let Ok(Some(file)) = compare.into_chunk().finish_spool().await
        {
            store.discard(file.file_path()).await;
        }
    }
}
