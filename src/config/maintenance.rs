//! `maintenance:`, which keeps the tables of the lake small.

use super::variables::{Complaint, Lookup, Size, Text};
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
    budget: Option<Size>,
    snapshots_max: usize,
    snapshot_age: Option<Text>,
    orphan_age: Option<Text>,
}

const DAY: Duration = Duration::from_secs(86_400);

impl Default for RawMaintenance {
    fn default() -> Self {
        Self {
            auto: true,
            small_files: 8,
            budget: None,
            snapshots_max: 100,
            snapshot_age: None,
            orphan_age: None,
        }
    }
}

impl RawMaintenance {
    /// The complaint names the key and what is wrong with it.
    pub(super) fn validate(self, lookup: Lookup<'_>) -> Result<Maintenance, Complaint> {
        let refuse =
            |key: &str, message: &str| Err((format!("maintenance.{key}"), message.to_owned()));
        if !(2..=1000).contains(&self.small_files) {
            return refuse("small_files", "must be between 2 and 1000");
        }
        if !(1..=100_000).contains(&self.snapshots_max) {
            return refuse("snapshots_max", "must be between 1 and 100000");
        }
        let age = |key: &str, text: Option<Text>, days: u32| -> Result<Duration, Complaint> {
            let text = text.map(|text| text.duration(lookup, &format!("maintenance.{key}")));
            Ok(text.transpose()?.unwrap_or(days * DAY))
        };
        let snapshot_age = age("snapshot_age", self.snapshot_age, 5)?;
        let orphan_age = age("orphan_age", self.orphan_age, 3)?;
        let budget = self
            .budget
            .map(|size| size.bytes(lookup, "maintenance.budget"));
        // A run under way has files that nothing names yet.
        if orphan_age < DAY {
            return refuse(
                "orphan_age",
                "must be at least 1 day, and longer than the longest run takes",
            );
        }
        Ok(Maintenance {
            auto: self.auto,
            small_files: self.small_files,
            budget_bytes: budget.transpose()?.unwrap_or(ByteSize::mib(128)).as_u64(),
            snapshots_max: self.snapshots_max,
            snapshot_age,
            orphan_age,
        })
    }
}
