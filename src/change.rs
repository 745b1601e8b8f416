//! What crosses the walls between source, lake and target: run ids, watermarks, windows, checkpoints.
//!
//! A checkpoint is written in the same metadata commit as the rows it stands for, so a reader of the lake table always
//! finds the two in agreement, and a run that dies leaves either both or neither.

mod rule;
mod span;

pub use rule::{DeleteRule, Deletes, LoadRule, Marks, SoftDeletes, TimeField};
pub use span::{Again, Span};

use crate::schema::SqlType;
use chrono::{SecondsFormat, Utc};
use serde::{Deserialize, Serialize};
use std::fmt;
use uuid::Uuid;

/// Identifies one run of icesync; ascends with time (UUID version 7). It is how a commit whose reply was lost is
/// found again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RunId(Uuid);

impl RunId {
    /// A new run id.
    pub fn generate() -> Self {
        Self(Uuid::now_v7())
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.simple().fmt(f)
    }
}

impl std::str::FromStr for RunId {
    type Err = uuid::Error;
    fn from_str(text: &str) -> Result<Self, uuid::Error> {
        Uuid::parse_str(text).map(Self)
    }
}

/// A change strategy that has been decided (`auto` never is one).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    Full,
    Timestamp,
    Sequence,
    #[serde(rename = "rowversion")]
    RowVersion,
    ChangeTracking,
}

impl Strategy {
    /// Version of the checkpoints that have it. Older builds refuse one that they do not know, and say so.
    fn checkpoint_version(self) -> u32 {
        match self {
            Strategy::Full | Strategy::Timestamp | Strategy::Sequence | Strategy::RowVersion => 1,
            Strategy::ChangeTracking => CHECKPOINT_VERSION,
        }
    }

    /// Its watermark is a position in a log of the database, and not the value of a column.
    pub fn follows_log(self) -> bool {
        match self {
            Strategy::Full | Strategy::Timestamp | Strategy::Sequence | Strategy::RowVersion => {
                false
            }
            Strategy::ChangeTracking => true,
        }
    }
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Strategy::Full => "full",
            Strategy::Timestamp => "timestamp",
            Strategy::Sequence => "sequence",
            Strategy::RowVersion => "rowversion",
            Strategy::ChangeTracking => "change_tracking",
        })
    }
}

/// A position in a source column's order, kept as text that SQL Server converts back to exactly the same value of
/// the column's own type: dates in style 121, `datetimeoffset` with its offset, integers and decimals plain,
/// `rowversion` as `0x` and 16 hex digits. Under a strategy that follows a log it is a position in that log, and
/// `column` is what the log calls it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watermark {
    pub column: String,
    #[serde(flatten)]
    pub ty: SqlType,
    pub text: String,
}

impl fmt::Display for Watermark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The part of the source's order that a run reads, closed before the first row is read. Rows at `lower` are read
/// again (it lies `overlap` before the last upper bound); rows at `upper` belong to the next window, except for
/// sequences and logs, whose windows are `(lower, upper]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    pub lower: Watermark,
    pub upper: Watermark,
    /// Upper bound of the window before: rows up to it may have been read already.
    pub previous: Watermark,
}

/// Newest version of the checkpoint's JSON that this build reads; it refuses newer ones. It writes the oldest version
/// that has the checkpoint's strategy.
pub const CHECKPOINT_VERSION: u32 = 2;

/// How far a lake table has followed its source. Lives in the table property `icesync.checkpoint` and, for history,
/// in each snapshot's summary under the same name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    pub version: u32,
    /// The run that committed it: also the compare-and-set token.
    pub run_id: RunId,
    pub strategy: Strategy,
    /// Upper bound of the last window; the next one starts here. None: the next run reads the whole table. So it is
    /// from the moment when a whole read begins until one is committed: a run that dies in between leaves no bound that
    /// a later one could take for good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watermark: Option<Watermark>,
    /// The run that last read the whole table, this one or an earlier one. Between two checkpoints that name the same
    /// run only windows were read. None in those of older builds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub whole_read: Option<RunId>,
    /// A read of the whole table that is under way; there is no watermark then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backfill: Option<Backfill>,
    /// Where the rows up to the watermark were read. None in checkpoints of earlier builds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// The snapshot committed with it; filled in by the commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot_id: Option<i64>,
    /// RFC 3339, UTC.
    pub committed_at: String,
}

/// What tells whether a database, and the storage of a table in it, are still those that were read. It was found before
/// the first row was read, so that what changes afterwards is found by the next run. A fact that could not be seen is
/// none, and is not compared.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Origin {
    /// The database's recovery fork: another one after a restore, and after a failover that lost data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fork: Option<String>,
    /// The database's last row version (`@@DBTS`), as a watermark writes it. It never goes back but by a restore.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counter: Option<String>,
    /// For each partition of the table and of its indexes, eight hex digits that stand for its storage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partitions: Option<String>,
    /// Of a table whose changes are tracked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracking: Option<TrackedSince>,
}

/// Which log of a table's changes a watermark belongs to, and how old the watermark is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrackedSince {
    /// The version with which the log began. Another one after the tracking was turned off and on, and after TRUNCATE.
    pub begin: i64,
    /// When the log itself was created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// When the table, or an index of it, was last altered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub altered: Option<String>,
    /// When the watermark was the newest version, in seconds since 1970 (UTC) of the server's clock.
    pub at: i64,
}

impl Checkpoint {
    /// The checkpoint of a run that has read up to `watermark`; none for a strategy without an order.
    pub fn reached(run_id: RunId, strategy: Strategy, watermark: Option<Watermark>) -> Self {
        Self {
            version: strategy.checkpoint_version(),
            run_id,
            strategy,
            watermark,
            whole_read: None,
            backfill: None,
            origin: None,
            snapshot_id: None,
            committed_at: Utc::now().to_rfc3339_opts(SecondsFormat::Micros, true),
        }
    }

    /// The checkpoint of a whole read under way: what is read since `before`. `token` is new with each range, so that
    /// of two runs that read the same ranges one stops.
    pub fn reading(token: RunId, before: Option<&Checkpoint>, ledger: Backfill) -> Self {
        let reached = Self::reached(token, ledger.strategy, None);
        Self {
            backfill: Some(ledger),
            origin: before.and_then(|before| before.origin.clone()),
            snapshot_id: before.and_then(|before| before.snapshot_id),
            ..reached
        }
    }

    /// The checkpoint from which a read of the whole table begins: where `self` stands, without a watermark and with a
    /// token of its own.
    pub fn without_watermark(&self, strategy: Strategy) -> Self {
        Self {
            backfill: self.backfill.clone(),
            snapshot_id: self.snapshot_id,
            ..Self::reached(RunId::generate(), strategy, None)
        }
    }

    /// The same checkpoint, committed by another run: rows beneath its bound were read again, and the bound stays.
    pub fn kept(&self, run_id: RunId) -> Self {
        Self {
            origin: self.origin.clone(),
            whole_read: self.whole_read,
            ..Self::reached(run_id, self.strategy, self.watermark.clone())
        }
    }

    /// The checkpoint whose next window starts at a ledger's bound: a bound that a window can start from still holds.
    pub fn at_bound(&self, ledger: &Backfill) -> Self {
        Self {
            version: ledger.strategy.checkpoint_version(),
            strategy: ledger.strategy,
            watermark: Some(ledger.watermark.clone()),
            backfill: None,
            origin: ledger.origin.clone(),
            ..self.clone()
        }
    }
}

/// The ledger of a read of a whole table in ranges of its key. Its ranges may be read in any order and by several
/// runs, because its bound was taken before the first of them: what changes later is above the bound and read by
/// the next window.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backfill {
    /// Fingerprint of the source's schema; ranges of another schema cannot be joined with new ones.
    pub schema: String,
    pub strategy: Strategy,
    /// Upper bound taken before the first range was read: the next window will start here.
    pub watermark: Watermark,
    /// The column that is cut, the first of the key.
    pub column: String,
    /// Where it is cut, ascending: `n` cuts make `n + 1` ranges, the first and the last of them open.
    pub cuts: Vec<String>,
    /// Where the first range was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// Ranges that are read.
    pub done: Vec<BackfillRange>,
    /// Lists of files of ledgers that were given up, to be removed with this one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stale: Vec<String>,
}

impl Backfill {
    /// All lists of files: those of its ranges, and those of ledgers that were given up.
    pub fn lists(&self) -> impl Iterator<Item = &str> {
        let done = self.done.iter().map(|done| &*done.files);
        done.chain(self.stale.iter().map(String::as_str))
    }
}

/// A range that is read, its rows in complete files that no snapshot refers to yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackfillRange {
    pub range: usize,
    pub rows: u64,
    /// The list of its files ([`crate::lake::LakeTable::unpark`]).
    pub files: String,
}

/// Counts of one write to the lake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct WriteCounts {
    /// Rows whose key was not in the table.
    pub inserted: u64,
    /// Rows that replaced one with the same key.
    pub updated: u64,
    /// Rows removed without a successor.
    pub deleted: u64,
    /// Rows read again (overlap) and found identical: not written.
    pub unchanged: u64,
    pub data_files: u64,
    pub delete_files: u64,
    pub bytes: u64,
}

/// Which strategy the configuration asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StrategyChoice {
    /// icesync chooses, and says why.
    #[default]
    Auto,
    Full,
    Timestamp,
    Sequence,
    #[serde(rename = "rowversion")]
    RowVersion,
    ChangeTracking,
}

/// Which clock fills a timestamp column that has no offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Clock {
    /// Unknown: the earlier of the server's UTC and local time bounds the window, which is late but never loses a row.
    #[default]
    Auto,
    Utc,
    Local,
}

/// How the source is read so that a read is consistent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Isolation {
    /// SNAPSHOT where the database allows it, else READ COMMITTED where that is a statement snapshot, else refused.
    #[default]
    Auto,
    Snapshot,
    ReadCommitted,
    /// Shared table lock for the length of the read: writers wait.
    TableLock,
}

/// How a table's changes are found; see docs/GUIDE.md for each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeOptions {
    pub strategy: StrategyChoice,
    /// The watermark column.
    pub column: Option<String>,
    /// A timestamp window ends this long before the server's now.
    pub lag: std::time::Duration,
    /// A timestamp window begins this long before the last one's end.
    pub overlap: std::time::Duration,
    pub clock: Clock,
    pub isolation: Isolation,
    /// A window of more rows is committed in steps of about so many; 0 commits each window in one piece.
    pub commit_rows: u64,
    /// About as many rows has each range of a table that is read in ranges; 0 reads whole tables in one stream.
    pub range_rows: u64,
    /// What would be refused otherwise, or read whole.
    pub accept: Accept,
    /// The rows to be read once more, instead of the next window. Of the command line, never of the configuration.
    pub span: Option<Span>,
}

/// What a table's source does to a read that its owner knows of and accepts. Every report says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Accept {
    /// Masked values in place of what masked columns hold.
    pub masked: bool,
    /// Only the rows that a security policy shows to the login.
    pub row_security: bool,
    /// Partitions with another storage, which rebuilds of indexes leave too, are not read again.
    pub partition_switch: bool,
}

impl Default for ChangeOptions {
    fn default() -> Self {
        Self {
            strategy: StrategyChoice::Auto,
            column: None,
            lag: std::time::Duration::from_secs(5),
            overlap: std::time::Duration::from_secs(300),
            clock: Clock::Auto,
            isolation: Isolation::Auto,
            // A minute of work or so, which is what a kill costs, and few enough snapshots.
            commit_rows: 10_000_000,
            range_rows: 1_000_000,
            accept: Accept::default(),
            span: None,
        }
    }
}

/// What becomes of the target's rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MergeMode {
    /// One row per key: changed rows are updated, new ones inserted, deleted ones removed.
    #[default]
    Upsert,
    /// Rows are only added; staged deletes do nothing.
    Append,
    /// The target ends with exactly the staged rows.
    Replace,
    /// The versions of a history are added, with the columns that the lake has beside those of the source.
    History,
    /// The versions of a history, each with the time for which it was valid.
    Scd2,
}

impl MergeMode {
    /// As the configuration writes it.
    pub fn name(self) -> &'static str {
        match self {
            MergeMode::Upsert => "upsert",
            MergeMode::Append => "append",
            MergeMode::Replace => "replace",
            MergeMode::History => "history",
            MergeMode::Scd2 => "scd2",
        }
    }

    /// The mode of that name.
    pub fn named(name: &str) -> Option<Self> {
        let all = [
            MergeMode::Upsert,
            MergeMode::Append,
            MergeMode::Replace,
            MergeMode::History,
            MergeMode::Scd2,
        ];
        all.into_iter().find(|mode| mode.name() == name)
    }

    /// Whether the target has one row of each key, which a load finds by that key.
    pub fn has_one_row_per_key(self) -> bool {
        match self {
            MergeMode::Upsert | MergeMode::Replace => true,
            MergeMode::Append | MergeMode::History | MergeMode::Scd2 => false,
        }
    }

    /// Whether each version of a row is loaded, also one that says that its key is gone.
    pub fn loads_versions(self) -> bool {
        match self {
            MergeMode::History | MergeMode::Scd2 => true,
            MergeMode::Upsert | MergeMode::Append | MergeMode::Replace => false,
        }
    }
}

/// What is done about tables that refer to each other in a circle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cycles {
    /// The columns of one foreign key get their values last.
    #[default]
    Defer,
    /// Foreign keys are suspended, and checked before the transaction ends.
    Recheck,
}

/// How an upsert is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UpsertStatement {
    #[default]
    Merge,
    /// DELETE, UPDATE, INSERT: for targets on which MERGE has known defects (filtered indexes, indexed views).
    UpdateInsert,
}
