//! `icesync load`.

use super::request::Request;
use super::tables::Tables;
use clap::Args;
use icesync::error::Error;
use icesync::lake::SnapshotRef;
use icesync::sync::Action;

/// Merge snapshots that the target has not seen into it
#[derive(Args)]
pub struct Load {
    #[command(flatten)]
    tables: Tables,
    /// Load everything up to this snapshot: `latest`, a sequence number, or a snapshot id
    #[arg(long, value_name = "N", default_value = "latest")]
    snapshot: SnapshotRef,
    /// Load the whole snapshot, whatever the target has seen; needed after a lake table was recreated
    #[arg(long)]
    full: bool,
}

impl Load {
    pub async fn run(&self, request: Request) -> Result<u8, Error> {
        let action = Action::Load {
            snapshot: self.snapshot,
            full: self.full,
        };
        request.run(&self.tables, action).await
    }
}
