//! `icesync verify`.

use super::request::Request;
use super::tables::Tables;
use clap::{Args, ValueEnum};
use icesync::error::Error;
use icesync::lake::SnapshotRef;
use icesync::report::{ComparisonReport, Exit};
use icesync::sync::Comparison;

/// Compare the rows of source, lake and target by digests, and name what differs; change nothing
#[derive(Args)]
pub struct Verify {
    #[command(flatten)]
    tables: Tables,
    /// Compare this snapshot of the lake: `latest`, a sequence number, or a snapshot id. Without it the source is
    /// compared with the latest one, and the target with the one that it has loaded
    #[arg(long, value_name = "N")]
    snapshot: Option<SnapshotRef>,
    /// What to compare the lake with
    #[arg(long, value_enum, default_value_t = Against::Both)]
    against: Against,
    /// Look so many times again at what differs, 2 seconds apart
    #[arg(long, value_name = "N", default_value_t = 2)]
    again: u32,
}

/// What the lake is compared with.
#[derive(Clone, Copy, ValueEnum)]
enum Against {
    Source,
    Target,
    /// Each side that the configuration has
    Both,
}

impl Verify {
    pub async fn run(&self, request: Request) -> Result<u8, Error> {
        let tables = self.tables.choose(&request.config)?;
        let (source, target) = match self.against {
            Against::Source => (true, false),
            Against::Target => (false, true),
            Against::Both => (
                request.config.source.is_some(),
                request.config.target.is_some(),
            ),
        };
        let comparison = Comparison {
            snapshot: self.snapshot,
            source,
            target,
            again: self.again,
        };
        let listing = request.sync().await?.verify(tables, comparison).await?;
        let differs = listing.tables.iter().any(ComparisonReport::differs);
        let code = request.output.show(&listing, ComparisonReport::text);
        Ok(if differs { Exit::Failed.code() } else { code })
    }
}
