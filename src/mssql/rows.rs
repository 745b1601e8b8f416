//! The data plane, reading: rows through `mssql-tds` straight into Arrow builders.

mod columns;
mod decoder;
mod transcode;
mod vector;
mod wire;

pub use decoder::Decoder;

pub(super) use columns::{
    EPOCH_FROM_1900, EPOCH_FROM_YEAR_1, LAST_DAY, MICROS_A_DAY, THREE_HUNDREDTHS_A_DAY, TICKS_A_DAY,
};
pub(super) use transcode::append_as_utf16;

use super::channel::{Channel, Failure, execute};
use super::error::MssqlError;
use super::sql::Statement;
use arrow_array::RecordBatch;
use mssql_tds::connection::tds_client::{BufferedRowPoll, ResultSet, StatementResult, TdsClient};
use tokio::sync::mpsc;

/// When a batch is handed over: at whichever limit comes first. A single row may exceed `bytes`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchLimits {
    pub rows: usize,
    pub bytes: usize,
}

/// As an extract reads.
impl Default for BatchLimits {
    fn default() -> Self {
        Self {
            rows: 32 << 10,
            bytes: 1 << 20,
        }
    }
}

/// What a read moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReadCounts {
    pub rows: u64,
    /// Bytes of decoded values.
    pub bytes: u64,
    pub batches: u64,
}

impl Channel {
    /// Streams the rows of one SELECT into `out` as record batches of [`Decoder::schema`]. The select list must be
    /// the table's columns, in order, each as [`select_expression`](crate::schema::mapping::select_expression)
    /// says; a result with other columns is refused before its first row. Waits while `out` is full.
    ///
    /// Returns when the server has said that the result is complete and free of errors. On error the channel may be
    /// broken, and the batches sent so far are not the whole result.
    pub async fn read(
        &mut self,
        statement: &Statement,
        decoder: &mut Decoder,
        limits: BatchLimits,
        out: &mpsc::Sender<RecordBatch>,
    ) -> Result<ReadCounts, MssqlError> {
        decoder.reset()?;
        self.perform(statement, async |client: &mut TdsClient| {
            let mut result = execute(client, statement).await?;
            loop {
                match result {
                    StatementResult::Rows => break,
                    StatementResult::NoRows { .. } => result = client.advance().await?,
                    StatementResult::End => return Err(no_rows()),
                }
            }
            decoder.check(client.get_metadata())?;
            let mut counts = ReadCounts::default();
            loop {
                // What is in the driver's buffer needs no future.
                match client.try_next_buffered_row_into(decoder)? {
                    BufferedRowPoll::Complete => {}
                    BufferedRowPoll::Partial => client.finish_row_into(decoder).await?,
                    BufferedRowPoll::Pending => {
                        if !client.next_row_into(decoder).await? {
                            break;
                        }
                    }
                    BufferedRowPoll::Exhausted => break,
                }
                if let Some(fault) = decoder.take_fault() {
                    return Err(fault.into());
                }
                if decoder.is_full(limits) {
                    hand_over(decoder, out, &mut counts).await?;
                }
            }
            if decoder.rows() > 0 {
                hand_over(decoder, out, &mut counts).await?;
            }
            loop {
                match client.advance().await? {
                    StatementResult::NoRows { .. } => {}
                    StatementResult::End => return Ok(counts),
                    StatementResult::Rows => return Err(more_rows()),
                }
            }
        })
        .await
    }
}

fn no_rows() -> Failure {
    Failure::Ours(MssqlError::Shape(
        "the statement returned no rows set".into(),
    ))
}

fn more_rows() -> Failure {
    Failure::Ours(MssqlError::Shape(
        "the statement returned more than one rows set".into(),
    ))
}

async fn hand_over(
    decoder: &mut Decoder,
    out: &mpsc::Sender<RecordBatch>,
    counts: &mut ReadCounts,
) -> Result<(), Failure> {
    counts.rows += decoder.rows() as u64;
    counts.bytes += decoder.bytes() as u64;
    counts.batches += 1;
    let batch = decoder.finish()?;
    out.send(batch)
        .await
        .map_err(|_closed| Failure::Ours(MssqlError::Stopped))
}
