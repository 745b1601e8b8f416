//! `icesync sync`.

use super::request::Request;
use super::tables::Tables;
use clap::Args;
use icesync::error::Error;
use icesync::sync::Action;

/// Extract, then load (when a target is configured)
#[derive(Args)]
pub struct Sync {
    #[command(flatten)]
    tables: Tables,
}

impl Sync {
    pub async fn run(&self, request: Request) -> Result<u8, Error> {
        request.run(&self.tables, Action::Sync).await
    }
}
