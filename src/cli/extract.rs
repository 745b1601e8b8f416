//! `icesync extract`.

use super::request::Request;
use super::span::Reread;
use super::tables::Tables;
use clap::Args;
use icesync::error::Error;
use icesync::sync::Action;

/// Read changed rows from the source and commit them to the lake, one snapshot a table
#[derive(Args)]
pub struct Extract {
    #[command(flatten)]
    tables: Tables,
    #[command(flatten)]
    reread: Reread,
}

impl Extract {
    pub async fn run(&self, request: Request) -> Result<u8, Error> {
        let tables = self.reread.choose(&self.tables, &request.config)?;
        request.run_on(tables, Action::Extract).await
    }
}
