//! `icesync maintain`.

use super::request::Request;
use super::tables::Tables;
use clap::Args;
use icesync::error::Error;
use icesync::report::MaintainReport;
use icesync::sync::Chores;

/// Compact files, expire snapshots and remove orphaned files of the lake tables; all three unless one is named
#[derive(Args)]
pub struct Maintain {
    #[command(flatten)]
    tables: Tables,
    /// Rewrite small files and files with many deleted rows
    #[arg(long)]
    compact: bool,
    /// Expire snapshots by age and number (`maintenance.snapshot_age`, `snapshots_max`) and remove their files
    #[arg(long)]
    expire: bool,
    /// Remove files that nothing refers to and that are older than `maintenance.orphan_age`
    #[arg(long)]
    orphans: bool,
    /// Say what would be done; change nothing
    #[arg(long)]
    dry_run: bool,
}

impl Maintain {
    pub async fn run(&self, request: Request) -> Result<u8, Error> {
        let tables = self.tables.choose(&request.config)?;
        let all = !(self.compact || self.expire || self.orphans);
        let chores = Chores {
            compact: self.compact || all,
            expire: self.expire || all,
            orphans: self.orphans || all,
            dry_run: self.dry_run,
        };
        let listing = request.sync().await?.maintain(tables, chores).await?;
        Ok(request.output.show(&listing, MaintainReport::text))
    }
}
