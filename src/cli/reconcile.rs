//! `icesync reconcile`.

use super::request::Request;
use super::tables::Tables;
use clap::Args;
use icesync::error::Error;
use icesync::report::ReconcileReport;
use std::time::Duration;

/// Find the rows of a mirror that differ from its source, deletes included, and repair the lake in one commit
#[derive(Args)]
pub struct Reconcile {
    #[command(flatten)]
    tables: Tables,
    /// How long to wait before differences are looked at again
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = humantime::parse_duration)]
    pause: Duration,
}

impl Reconcile {
    pub async fn run(&self, request: Request) -> Result<u8, Error> {
        let tables = self.tables.choose(&request.config)?;
        let listing = request.sync().await?.reconcile(tables, self.pause).await?;
        let code = request.output.show(&listing, ReconcileReport::text);
        Ok(code.max(listing.reconciled().code()))
    }
}
