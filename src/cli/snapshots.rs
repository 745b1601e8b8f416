//! `icesync snapshots`.

use super::request::Request;
use super::tables::Tables;
use clap::Args;
use icesync::error::Error;
use icesync::report::SnapshotsReport;

/// List the snapshots of the lake tables
#[derive(Args)]
pub struct Snapshots {
    #[command(flatten)]
    tables: Tables,
}

impl Snapshots {
    pub async fn run(&self, request: Request) -> Result<u8, Error> {
        let tables = self.tables.choose(&request.config)?;
        let listing = request.sync().await?.snapshots(tables).await?;
        Ok(request.output.show(&listing, SnapshotsReport::text))
    }
}
