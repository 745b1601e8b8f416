//! `icesync relocate`.

use super::request::Request;
use super::tables::Tables;
use clap::Args;
use icesync::error::Error;
use icesync::report::RelocateReport;

/// Make lake tables whose folders were copied or moved name the files in their new place
#[derive(Args)]
pub struct Relocate {
    #[command(flatten)]
    tables: Tables,
}

impl Relocate {
    pub async fn run(&self, request: Request) -> Result<u8, Error> {
        let tables = self.tables.choose(&request.config)?;
        let listing = request.sync().await?.relocate(tables).await?;
        Ok(request.output.show(&listing, RelocateReport::text))
    }
}
