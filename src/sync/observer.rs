//! Who is told how far a run is.

use std::time::Duration;

/// Where a table is, for progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    Connect,
    Plan,
    Read,
    Commit,
    Stage,
    Merge,
}

/// Told of progress while a run goes on; must not block.
pub trait Observer: Send + std::marker::Sync {
    /// `table` entered `phase`, or went on in it up to `rows` rows.
    fn phase(&self, table: &str, phase: Phase, rows: u64);
    /// An attempt failed and another follows after `wait`.
    fn retry(&self, table: &str, attempt: u32, wait: Duration, why: &str);
    /// `table` is finished, well or not.
    fn finished(&self, table: &str);
}
