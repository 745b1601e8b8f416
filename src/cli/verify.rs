//! `icesync verify`.

use super::output::config_error;
use super::request::Request;
use super::tables::Tables;
use clap::{Args, ValueEnum};
use icesync::error::Error;
use icesync::lake::SnapshotRef;
use icesync::report::ComparisonReport;
use icesync::sync::{Against, Verification};
use std::time::Duration;

/// Check that source, lake and target hold the same rows, by checksums that the servers compute; change nothing. Exit
/// code 1 when something differs
#[derive(Args)]
pub struct Verify {
    #[command(flatten)]
    tables: Tables,
    /// Compare this snapshot: `latest`, a sequence number or a snapshot id. By default the source is compared with the
    /// latest snapshot, and the target with the one that it has loaded
    #[arg(long, value_name = "N")]
    snapshot: Option<SnapshotRef>,
    /// Compare only so many percent of the rows, others each time
    #[arg(long, value_name = "PERCENT")]
    sample: Option<f64>,
    /// What to compare with the lake
    #[arg(long, value_enum, default_value_t = Side::Both)]
    against: Side,
    /// Read at most so many rows a second of a table whose key begins with a whole number
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    rows_per_second: Option<u64>,
    /// How often to look at differences again, each time after --pause
    #[arg(long, value_name = "N", default_value_t = 1)]
    again: u32,
    /// How long to wait before differences are looked at again
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = humantime::parse_duration)]
    pause: Duration,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Side {
    Source,
    Target,
    Both,
}

impl Verify {
    pub async fn run(&self, request: Request) -> Result<u8, Error> {
        let tables = self.tables.choose(&request.config)?;
        let verification = self.verification()?;
        let listing = request.sync().await?.verify(tables, &verification).await?;
        let code = request.output.show(&listing, ComparisonReport::text);
        Ok(code.max(listing.compared().code()))
    }

    fn verification(&self) -> Result<Verification, Error> {
        let is_percent = |percent: &f64| *percent > 0.0 && *percent <= 100.0;
        if let Some(percent) = self.sample.filter(|percent| !is_percent(percent)) {
            return Err(config_error(format!(
                "--sample {percent}: write a number above 0 and up to 100"
            )));
        }
        Ok(Verification {
            snapshot: self.snapshot,
            sample_percent: self.sample.filter(|percent| *percent < 100.0),
            against: match self.against {
                Side::Source => Against::Source,
                Side::Target => Against::Target,
                Side::Both => Against::Both,
            },
            rows_per_second: self.rows_per_second,
            again: self.again,
            pause: self.pause,
        })
    }
}
