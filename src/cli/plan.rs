//! `icesync plan`.

use super::request::Request;
use super::span::Reread;
use super::tables::Tables;
use clap::Args;
use icesync::error::Error;
use icesync::report::PlanReport;

/// Show strategy, window and T-SQL of the next run; run nothing
#[derive(Args)]
pub struct Plan {
    #[command(flatten)]
    tables: Tables,
    #[command(flatten)]
    reread: Reread,
}

impl Plan {
    pub async fn run(&self, request: Request) -> Result<u8, Error> {
        let tables = self.reread.choose(&self.tables, &request.config)?;
        let listing = request.sync().await?.plan(tables).await?;
        Ok(request.output.show(&listing, PlanReport::text))
    }
}
