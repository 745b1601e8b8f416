//! `icesync status`.

use super::request::Request;
use super::tables::Tables;
use clap::Args;
use icesync::error::Error;
use icesync::report::StatusReport;

/// Show how far lake and target are
#[derive(Args)]
pub struct Status {
    #[command(flatten)]
    tables: Tables,
}

impl Status {
    pub async fn run(&self, request: Request) -> Result<u8, Error> {
        let tables = self.tables.choose(&request.config)?;
        let listing = request.sync().await?.status(tables).await?;
        Ok(request.output.show(&listing, StatusReport::text))
    }
}
