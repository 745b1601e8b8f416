//! The data plane, writing: Arrow batches straight into the rows of an INSERT BULK.
//!
//! The driver wants an iterator of rows, and asks each to write itself. One "row" is given to it that writes them
//! all: it waits for batches without blocking a thread, encodes them with encoders chosen once per column, and
//! hands the driver large pieces. So there is nothing per row between Arrow and the packet, and backpressure goes
//! from the server's window to the sender of the batches. The columns are declared as icesync has created them, and
//! the server is not asked for them (`declared.rs`).
//!
//! A failure anywhere closes the channel: the INSERT BULK that was under way is not committed.

mod column;
mod declared;
mod encode;
mod page;

pub use column::BulkColumn;

use super::channel::{Channel, Failure};
use super::error::{ConversionError, LostCharacter, MssqlError};
use super::sql::Statement;
use crate::schema::{Collation, SqlType};
use crate::secret::RowValue;
use arrow_array::RecordBatch;
use async_trait::async_trait;
use declared::Declared;
use encode::{Bound, Encoder, Reason, Refusal};
use mssql_tds::connection::bulk_copy::{BulkCopy, BulkLoadRow};
use mssql_tds::connection::tds_client::TdsClient;
use mssql_tds::core::TdsResult;
use mssql_tds::message::bulk_load::StreamingBulkLoadWriter;
use std::time::Duration;
use tokio::sync::{Mutex, mpsc};

/// Encoded bytes that are handed to the driver at once.
const PIECE_BYTES: usize = 128 * 1024;
const TOKEN_ROW: u8 = 0xD1;

/// Whether values go into a column of this type as they are. Otherwise the server has to convert them from another.
pub fn is_written(ty: SqlType, collation: Option<&Collation>) -> bool {
    let column = BulkColumn {
        name: String::new(),
        ty,
        collation: collation.cloned(),
        nullable: true,
        identity: false,
        value: 0,
        ticks: None,
        offset: None,
    };
    Encoder::new(&column).is_ok()
}

/// How rows are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BulkOptions {
    /// Rows per INSERT BULK; each is committed by itself (102,400 suits columnstore). 0: all in one.
    pub rows_per_batch: usize,
    /// `TABLOCK`: several channels fill one heap side by side.
    pub table_lock: bool,
}

/// What was sent and acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BulkCounts {
    pub rows: u64,
    /// Bytes of encoded rows.
    pub bytes: u64,
}

impl Channel {
    /// Sends every batch of `batches` into `table` (two parts, quoted) until the senders are gone, and returns once
    /// the server has acknowledged all rows. The caller must know from elsewhere that the senders ended well. `columns`
    /// are the table's, with the types that it was created with, in its order. `key` are the positions in the batches
    /// that name a row in errors. Nothing is read from the table: the login needs no SELECT permission on it.
    ///
    /// A value that the column cannot hold exactly is an error that names column and row, never a rounded value. On
    /// error the channel is closed: what was sent is not committed, except whole INSERT BULKs before. There is no
    /// time limit; a peer that vanished is noticed by keep-alive.
    pub async fn bulk_insert(
        &mut self,
        table: &str,
        columns: &[BulkColumn],
        key: &[usize],
        batches: &mut mpsc::Receiver<RecordBatch>,
        options: BulkOptions,
    ) -> Result<BulkCounts, MssqlError> {
        // Refused before anything is sent.
        let encoders = columns.iter().map(Encoder::new).collect::<Result<_, _>>()?;
        let mut declared = columns
            .iter()
            .map(declared::column)
            .collect::<Result<Vec<_>, _>>()?;
        let collations = declared::collations(columns);
        if let Some(statement) = &collations {
            declared = self
                .perform(statement, async |client: &mut TdsClient| {
                    let found = declared::wire_collations(client, statement).await?;
                    declared::collated(declared, columns, found).map_err(Failure::from)
                })
                .await?;
        }
        let statement = Statement::plain(format!("INSERT BULK {table}"));
        self.perform(&statement, async |client: &mut TdsClient| {
            let mut copy = BulkCopy::with_retriever(client, table, Box::new(Declared(declared)))
                .timeout(Duration::ZERO)
                .table_lock(options.table_lock)
                // Leaves identity columns among those that are sent. The server keeps the values that it is sent.
                .keep_identity(true)
                .keep_nulls(true);
            let mut load = Load {
                target: Target {
                    table: table.to_owned(),
                    encoders,
                    columns: columns.to_vec(),
                    key: key.to_vec(),
                },
                batches,
                pending: None,
                counts: BulkCounts::default(),
                fault: None,
            };
            while load.has_rows().await {
                let rows = AllRows {
                    rows_max: match options.rows_per_batch {
                        0 => usize::MAX,
                        rows => rows,
                    },
                    load: Mutex::new(&mut load),
                };
                let sent = copy.write_to_server_zerocopy(std::iter::once(rows)).await;
                if let Some(fault) = load.fault.take() {
                    return Err(Failure::Ours(fault));
                }
                sent?;
            }
            Ok(load.counts)
        })
        .await
    }
}

/// What is filled, and with what.
struct Target {
    table: String,
    columns: Vec<BulkColumn>,
    encoders: Vec<Encoder>,
    key: Vec<usize>,
}

impl Target {
    fn bind<'a>(&'a self, batch: &'a RecordBatch) -> Result<Vec<Bound<'a>>, MssqlError> {
        self.columns
            .iter()
            .zip(&self.encoders)
            .map(|(column, encoder)| encoder.bind(column, batch))
            .collect()
    }

    /// The error of a value that does not fit.
    #[cold]
    fn refusal(&self, batch: &RecordBatch, row: usize, at: usize, refusal: Refusal) -> MssqlError {
        let column = self.columns.get(at);
        let problem = match refusal.reason() {
            Reason::Value(problem) => problem,
            Reason::Character(lost) => {
                return MssqlError::LostCharacter(LostCharacter {
                    column: column.map_or_else(String::new, |column| column.name.clone()),
                    ..lost
                });
            }
        };
        let problem = match self.key.is_empty() {
            true => format!("{problem}; the row has no key to name it by"),
            false => format!(
                "{problem} [row {}]",
                RowValue(describe(batch, row, &self.key))
            ),
        };
        MssqlError::Conversion(ConversionError {
            table: self.table.clone(),
            column: column.map_or_else(String::new, |column| column.name.clone()),
            ty: column.map_or_else(String::new, |column| column.ty.to_string()),
            problem,
            remedy: "widen the target's column, or correct the row in the lake".into(),
        })
    }
}

/// A row's key as `name=value, ...`.
fn describe(batch: &RecordBatch, row: usize, key: &[usize]) -> String {
    let options = arrow_cast::display::FormatOptions::default();
    let schema = batch.schema();
    let parts = key.iter().filter_map(|&at| {
        let (field, array) = (schema.fields().get(at)?, batch.columns().get(at)?);
        let shown = arrow_cast::display::ArrayFormatter::try_new(array.as_ref(), &options)
            .map_or_else(|_| "?".into(), |formatter| formatter.value(row).to_string());
        Some(format!("{}={shown}", field.name()))
    });
    parts.collect::<Vec<_>>().join(", ")
}

/// A bulk load under way.
struct Load<'a> {
    target: Target,
    batches: &'a mut mpsc::Receiver<RecordBatch>,
    /// Received and not yet sent.
    pending: Option<RecordBatch>,
    counts: BulkCounts,
    /// Why encoding stopped; the driver only hears that it did.
    fault: Option<MssqlError>,
}

impl Load<'_> {
    /// Waits for a batch with rows; false when the senders are gone.
    async fn has_rows(&mut self) -> bool {
        while self
            .pending
            .as_ref()
            .is_none_or(|batch| batch.num_rows() == 0)
        {
            match self.batches.recv().await {
                Some(batch) => self.pending = Some(batch),
                None => return false,
            }
        }
        true
    }

    /// Writes rows until `rows_max` or the end. There is at least one, and its token has been written.
    async fn write(
        &mut self,
        writer: &mut StreamingBulkLoadWriter<'_>,
        rows_max: usize,
    ) -> Result<(), Failure> {
        let mut piece = Vec::with_capacity(PIECE_BYTES + PIECE_BYTES / 4);
        let mut left = rows_max;
        let mut first = true;
        while left > 0 && self.has_rows().await {
            let Some(batch) = self.pending.take() else {
                break;
            };
            let rows = batch.num_rows().min(left);
            left -= rows;
            let bound = self.target.bind(&batch)?;
            for row in 0..rows {
                if !std::mem::take(&mut first) {
                    piece.push(TOKEN_ROW);
                }
                for (at, column) in bound.iter().enumerate() {
                    if let Err(refusal) = column.encode(row, &mut piece) {
                        return Err(self.target.refusal(&batch, row, at, refusal).into());
                    }
                }
                if piece.len() >= PIECE_BYTES {
                    self.counts.bytes += piece.len() as u64;
                    writer.write_raw_bytes(&piece).await?;
                    piece.clear();
                }
            }
            self.counts.rows += rows as u64;
            if rows < batch.num_rows() {
                self.pending = Some(batch.slice(rows, batch.num_rows() - rows));
            }
        }
        self.counts.bytes += piece.len() as u64;
        writer.write_raw_bytes(&piece).await?;
        Ok(())
    }
}

/// The one "row" that the driver sees.
struct AllRows<'a, 'b> {
    rows_max: usize,
    load: Mutex<&'a mut Load<'b>>,
}

#[async_trait]
impl BulkLoadRow for AllRows<'_, '_> {
    async fn write_to_packet(
        &self,
        writer: &mut StreamingBulkLoadWriter<'_>,
        column_index: &mut usize,
    ) -> TdsResult<()> {
        let mut load = self.load.lock().await;
        match load.write(writer, self.rows_max).await {
            Ok(()) => {
                *column_index = load.target.columns.len();
                Ok(())
            }
            Err(Failure::Driver(error)) => Err(*error),
            Err(Failure::Ours(fault)) => {
                load.fault = Some(fault);
                Err(mssql_tds::error::Error::UsageError(
                    "a row could not be encoded".into(),
                ))
            }
        }
    }
}
