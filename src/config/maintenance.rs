//! `maintenance:`, which keeps the tables of the lake small.

use bytesize::ByteSize;
use serde::Deserialize;
use std::time::Duration;

/// How the tables of the lake are maintained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Maintenance {
    /// Whether `extract` and `sync` do light maintenance after a commit.
    pub auto: bool,
    /// Automatic compaction merges files once there are this many of about one size.
    pub small_files: usize,
    /// Automatic compaction rewrites no more than this many bytes of files in one run of a table.
    pub budget_bytes: u64,
    /// Snapshots of a table beyond this number are expired.
    pub snapshots_max: usize,
    /// `maintain` expires snapshots older than this.
    pub snapshot_age: Duration,
    /// `maintain` removes orphaned files older than this.
    pub orphan_age: Duration,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "`{ auto: ... }`")]
pub(super) struct RawMaintenance {
    auto: bool,
    small_files: usize,
    budget: ByteSize,
    snapshots_max: usize,
    #[serde(with = "humantime_serde")]
    snapshot_age: Duration,
    #[serde(with = "humantime_serde")]
    orphan_age: Duration,
}

impl Default for RawMaintenance {
    fn default() -> Self {
        let day = Duration::from_secs(86_400);
        Self {
            auto: true,
            small_files: 8,
            budget: ByteSize::mib(128),
            snapshots_max: 100,
            snapshot_age: 5 * day,
            orphan_age: 3 * day,
        }
    }
}

impl RawMaintenance {
    /// The complaint names the key and what is wrong with it.
    pub(super) fn validate(self) -> Result<Maintenance, (String, String)> {
        let refuse =
            |key: &str, message: &str| Err((format!("maintenance.{key}"), message.to_owned()));
        if !(2..=1000).contains(&self.small_files) {
            return refuse("small_files", "must be between 2 and 1000");
        }
        if !(1..=100_000).contains(&self.snapshots_max) {
            return refuse("snapshots_max", "must be between 1 and 100000");
        }
        // A run under way has files that nothing names yet.
        if self.orphan_age < Duration::from_secs(86_400) {
            return refuse(
                "orphan_age",
                "must be at least 1 day, and longer than the longest run takes",
            );
        }
        Ok(Maintenance {
            auto: self.auto,
            small_files: self.small_files,
            budget_bytes: self.budget.as_u64(),
            snapshots_max: self.snapshots_max,
            snapshot_age: self.snapshot_age,
            orphan_age: self.orphan_age,
        })
    }
}
