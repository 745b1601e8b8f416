//! The end of the pipeline: rows become data files, and the rows that they replace become positions to delete.
//!
//! When a file is full, its keys are looked up in the files of the base and in earlier files of the write; every live
//! row found is replaced, so its position is noted. Position deletes take effect on data files of the same commit as
//! well (the specification applies them to data of the same sequence number), which is what lets a later file replace
//! rows of an earlier one.

use crate::lake::commit::written::Written;
use crate::lake::error::Result;
use crate::lake::write::columns::Columns;
use crate::lake::write::context::Context;
use crate::lake::write::keyed::Keyed;
use crate::lake::write::options::{Op, Witness, WriteMode};
use crate::lake::write::own::OwnFiles;
use crate::lake::write::replace::Replaced;
use arrow_row::Rows;

/// What a write has made so far.
pub(in crate::lake) struct Output {
    pub(in crate::lake) files: OwnFiles,
    pub(in crate::lake) replaced: Replaced,
    columns: Columns,
}

impl Output {
    pub(in crate::lake) fn new(context: &Context) -> Self {
        Self {
            files: OwnFiles::default(),
            replaced: Replaced::default(),
            columns: Columns::new(context),
        }
    }

    /// Writes rows as they come. They have their keys if the write tracks keys.
    pub(in crate::lake) async fn write(
        &mut self,
        context: &Context,
        rows: Keyed,
        op: Op,
    ) -> Result<()> {
        let Keyed { batch, keys } = rows;
        let keys = keys.filter(|_| context.tracked);
        let (options, mut start) = (&context.options, 0);
        while start < batch.num_rows() {
            if self.files.is_full(options) {
                self.roll(context).await?;
            }
            let rows = (batch.num_rows() - start).min(self.files.room(options));
            if let Some(keys) = &keys {
                self.files.hold(keys, start..start + rows, options.mode);
            }
            let slice = batch.slice(start, rows);
            if let Some(Witness(see)) = &options.witness {
                see(&slice);
            }
            if options.mode == WriteMode::Append && op != Op::Delete {
                let deleted = context.marked(&slice);
                self.replaced.counts.deleted +=
                    deleted.map_or(0, |deleted| deleted.true_count() as u64);
            }
            let complete = self.columns.complete(context, &slice, op)?;
            self.files.write(context, complete).await?;
            start += rows;
        }
        Ok(())
    }

    /// Deletes the rows of some keys: those written before, and those of the base.
    pub(in crate::lake) async fn delete(&mut self, context: &Context, keys: &Rows) -> Result<()> {
        for key in keys.iter() {
            if self.files.is_full(&context.options) {
                self.roll(context).await?;
            }
            self.files.delete(key.data());
        }
        Ok(())
    }

    /// Ends the current file and looks its keys up.
    async fn roll(&mut self, context: &Context) -> Result<()> {
        let mut keys = self.files.roll().await?;
        if context.tracked && context.options.mode != WriteMode::Append {
            keys.seal();
            let own = self.files.complete_mut();
            self.replaced.replace(context, &keys, own).await?;
        }
        Ok(())
    }

    /// Ends the current file and waits until all files are complete.
    pub(in crate::lake) async fn complete(&mut self, context: &Context) -> Result<()> {
        self.roll(context).await?;
        self.files.settle().await
    }

    /// Counts all rows as new but those that say that a key is gone, of a complete write that looks no key up.
    pub(in crate::lake) fn count_inserted(&mut self) {
        let own = self.files.complete().iter();
        let rows: u64 = own.map(|own| own.file.record_count()).sum();
        let counts = &mut self.replaced.counts;
        counts.inserted = rows - counts.deleted;
    }

    /// Whether rows are replaced beyond those that a whole read was compared with.
    pub(in crate::lake) fn replaces_more(&self, context: &Context) -> bool {
        let replaces = !self.replaced.rows.is_empty() && context.options.mode != WriteMode::Refresh;
        let mut own = self.files.complete().iter();
        replaces || own.any(|own| !own.dead.is_empty())
    }

    /// What was written, of a write that is complete.
    pub(in crate::lake) fn into_written(self, context: Context) -> Written {
        let Replaced {
            rows: replaced,
            counts,
            stats,
            thins_keys,
            ..
        } = self.replaced;
        Written {
            base: context.base,
            options: context.options,
            own: self.files.into_complete(),
            replaced,
            counts,
            stats,
            thins_keys,
            seq_high: self.columns.seq_high(),
        }
    }
}
