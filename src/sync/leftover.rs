//! What a load that was cut leaves in the target: a staging table, or one that was to become the target.
//!
//! The load's own session is closed by then. Its lock on the target ends with it, and so does whatever it was running:
//! the server grants the lock to another session only afterwards. So under that lock no table of the load can still
//! appear. What cannot be dropped now is dropped by the next load of the target, as after a kill.

use super::Sync;
use crate::config::Table;
use crate::error::{Kind, Result};
use crate::mssql::control::Control;
use crate::target::staging;
use std::time::Duration;

/// How long dropping may take: whoever sent the signal waits.
const LIMIT: Duration = Duration::from_secs(15);
/// How long the server may take to end the session that held the lock, or another load to end.
const LOCK_TIMEOUT_MS: u32 = 10_000;

impl Sync {
    /// Drops what loads of these tables have left, as far as possible.
    pub(super) async fn drop_leftovers(&self, tables: &[&Table]) {
        for table in tables {
            let dropped = tokio::time::timeout(LIMIT, self.drop_leftover(table)).await;
            let why = match dropped {
                Ok(Ok(())) => continue,
                Ok(Err(error)) => error.report(),
                Err(_elapsed) => format!("no answer within {} s", LIMIT.as_secs()),
            };
            tracing::warn!(
                "{}: staging tables of {} may be left, and the next load drops them: {why}",
                table.source,
                table.target
            );
        }
    }

    async fn drop_leftover(&self, table: &Table) -> Result<()> {
        let side = self.target_side()?;
        let control = Control::connect(&side.connection).await;
        let mut control = control.map_err(|error| error.on(Kind::Target))?;
        staging::lock(&mut control, &table.target, LOCK_TIMEOUT_MS).await?;
        staging::drop_orphans(&mut control, &table.target).await?;
        control.close().await;
        Ok(())
    }
}
