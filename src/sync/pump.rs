//! Rows from a channel of the source to whoever writes them.

use super::stop::{READING, Stop};
use crate::error::{Error, Kind, Result};
use crate::mssql::channel::Channel;
use crate::mssql::rows::{BatchLimits, Decoder};
use crate::mssql::sql::Statement;
use arrow_array::RecordBatch;
use tokio::sync::mpsc;

/// Batches between reader and writer.
const BATCHES_IN_FLIGHT: usize = 1;

/// Runs a statement on a channel and hands its batches to `write` while they come; the rows, and what `write`
/// answered. `write` owns the receiver, so that its failure ends the reader. A signal cuts the reader, and `write` ends
/// with the batches that it has: it is not dropped.
pub(super) async fn pump<T>(
    stop: &Stop,
    channel: &mut Channel,
    statement: &Statement,
    decoder: &mut Decoder,
    write: impl AsyncFnOnce(mpsc::Receiver<RecordBatch>) -> Result<T>,
) -> Result<(u64, T)> {
    let (sender, batches) = mpsc::channel(BATCHES_IN_FLIGHT);
    let limits = BatchLimits::default();
    let read = async {
        let counts = async {
            let counts = channel.read(statement, decoder, limits, &sender).await;
            counts.map_err(|error| error.on(Kind::Source))
        };
        let counts = stop.cut::<_, Error>(READING, counts).await;
        drop(sender);
        counts
    };
    let (counts, written) = tokio::join!(read, write(batches));
    // The writer's failure is the cause where both failed: the reader only saw its receiver go away.
    let written = written?;
    Ok((counts?.rows, written))
}
