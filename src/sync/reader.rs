//! Reading a window, its pages, or a whole table on one connection.

use super::follow::mapping_error;
use super::stop::READING;
use super::tracked::Logged;
use super::unseen::Unseen;
use super::watch::Watch;
use super::{Phase, Sync, pump, reread};
use crate::error::{Kind, Result};
use crate::lake::TableWriter;
use crate::mssql::channel::Channel;
use crate::mssql::error::MssqlError;
use crate::mssql::rows::Decoder;
use crate::mssql::sql::read::PageCursor;
use crate::schema::{LakeSchema, TableSchema, mapping};
use crate::source::ExtractPlan;
use arrow_array::RecordBatch;
use tokio::sync::mpsc;

/// Reads the pages of a plan into a writer.
pub(super) struct Reader<'a> {
    pub sync: &'a Sync,
    pub name: String,
    pub schema: &'a TableSchema,
    /// Fields of the batches.
    pub shape: &'a LakeSchema,
    pub plan: &'a ExtractPlan,
    pub unseen: &'a Unseen,
    /// How batches are taken apart that have the keys of a log.
    pub logged: Option<&'a Logged>,
    pub watch: Watch,
    /// Rows that the steps before have read.
    pub rows_before: u64,
}

impl Reader<'_> {
    /// Rows read, and how many of them lay in the overlap.
    pub(super) async fn run(
        &mut self,
        channel: &mut Channel,
        decoder: &mut Decoder,
        writer: &mut TableWriter,
    ) -> Result<(u64, u64)> {
        let source = |error: MssqlError| error.on(Kind::Source);
        let Some(first) = self.plan.first_read() else {
            return Ok((0, 0));
        };
        let stop = &self.sync.stop.clone();
        for statement in &self.plan.session {
            let begun = async { channel.run(&statement.sql).await.map_err(source) };
            stop.cut(READING, begun).await?;
        }
        let mut total = (0, 0);
        let mut statement = Some(first);
        while let Some(page) = statement.take() {
            let write = async |batches| self.write(batches, writer, &mut total).await;
            let (rows, last) = pump::pump(stop, channel, &page, decoder, write).await?;
            // A short page is the last one.
            if let (Some(last), Some((column, page_rows))) = (last, self.plan.pages())
                && rows >= page_rows
            {
                let cursor = self.cursor(column, &last)?;
                statement = self.plan.next_page(&cursor);
            }
        }
        for statement in &self.plan.finish {
            channel.run(&statement.sql).await.map_err(source)?;
        }
        Ok(total)
    }

    /// Writes batches as they come; returns the page's last row. Owns the receiver, so that a failing writer ends
    /// the reader.
    async fn write(
        &mut self,
        mut batches: mpsc::Receiver<RecordBatch>,
        writer: &mut TableWriter,
        total: &mut (u64, u64),
    ) -> Result<Option<RecordBatch>> {
        let mut last = None;
        while let Some(batch) = batches.recv().await {
            self.watch.look().await?;
            let overlap = reread::mask(self.plan, self.shape, &batch)?;
            self.unseen.count(self.shape, &batch);
            total.0 += batch.num_rows() as u64;
            total.1 += overlap.as_ref().map_or(0, |mask| mask.true_count() as u64);
            let rows = self.rows_before + total.0;
            self.sync.observer.phase(&self.name, Phase::Read, rows);
            last = Some(batch.slice(batch.num_rows() - 1, 1));
            match self.logged {
                Some(logged) => {
                    let (keys, rows) = logged.apart(&batch)?;
                    writer.write_logged(&keys, &rows).await?;
                }
                None => writer.write_with_overlap(batch, overlap.as_ref()).await?,
            }
        }
        Ok(last)
    }

    /// Where the next page begins: the last row's watermark and key.
    fn cursor(&self, column: usize, last: &RecordBatch) -> Result<PageCursor> {
        let text = |column: usize| {
            mapping::cell_text(last, self.shape, self.schema, 0, column).map_err(mapping_error)
        };
        // A page is cut from a window, and a NULL is in none.
        let watermark = text(column)?.unwrap_or_default();
        let key = self.schema.key.iter().flat_map(|key| &key.columns);
        let key = key.map(|&column| text(column)).collect::<Result<_>>()?;
        Ok(PageCursor { watermark, key })
    }
}
