//! Whether the table still holds what a checkpoint says: its snapshot is the current one, or an ancestor of it.
//!
//! A checkpoint is a table property, and properties do not follow `main`. When another engine rolls `main` back or
//! replaces it, the checkpoint stays where it was, and a run that trusts it skips the rows that went with the
//! rollback, for good. So every run asks this module first, and a commit asks again when `main` moved while it ran.
//!
//! **How it is decided.** The parents of the current snapshot are followed until the checkpoint's snapshot is met
//! (kept), or a snapshot without a parent (gone). Expiry removes snapshots from the metadata, which is no rollback:
//! after a compaction and `expire_snapshots(retain_last => 1)` the only snapshot names a parent that nothing
//! describes. Then:
//!
//! 1. A snapshot that the metadata still lists, with a sequence number at or above that of the last known ancestor,
//!    cannot be older than it: gone.
//! 2. The metadata log names the metadata files of earlier versions. They are read from the newest back, each adding
//!    the parents of the snapshots that were listed then, until the walk ends. A parent never changes, so links of
//!    different versions fit together.
//! 3. When those files are gone too, the answer is unknown, and the caller must not trust the checkpoint.
//!
//! On the way the snapshots that other writers committed after the checkpoint are collected. A `replace` changes no
//! row and is not among them.

use crate::lake::catalog::metadata_json;
use crate::lake::error::{LakeError, Result};
use crate::lake::table::{LakeTable, RUN_PROPERTY, SEQ_PROPERTY, SnapshotInfo};
use crate::schema::Role;
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, HashSet, VecDeque};
use std::fmt;

/// Table property of a mirror in which another writer has changed rows, so that a key may be there twice: the sequence
/// number of the last commit that may have deleted one row of a key and left another. `true`, as older builds set it,
/// stands for every commit.
pub const FOREIGN_ROWS_PROPERTY: &str = "icesync.foreign-rows";

/// How the current snapshot relates to an earlier one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// The snapshot is the current one or an ancestor of it. Others committed `foreign` after it, oldest first.
    Kept { foreign: Vec<ForeignCommit> },
    /// `main` was rolled back to before the snapshot, or replaced.
    Gone,
    /// The metadata that would tell has been removed.
    Unknown,
}

/// A snapshot with changed rows that no run of icesync committed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ForeignCommit {
    pub snapshot_id: i64,
    pub sequence_number: i64,
    /// `append`, `overwrite` or `delete`.
    pub operation: String,
    /// Rows added, as its summary says; none when it does not.
    pub rows_added: Option<u64>,
    /// Rows removed or marked as deleted, as its summary says; none when it does not.
    pub rows_deleted: Option<u64>,
}

impl fmt::Display for ForeignCommit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            snapshot_id,
            sequence_number,
            operation,
            ..
        } = self;
        write!(
            f,
            "snapshot {snapshot_id} (sequence number {sequence_number}, {operation}"
        )?;
        for (rows, what) in [(self.rows_added, "added"), (self.rows_deleted, "deleted")] {
            if let Some(rows) = rows.filter(|&rows| rows > 0) {
                write!(f, ", {rows} rows {what}")?;
            }
        }
        f.write_str(")")
    }
}

/// A snapshot as far as this module needs it; read from metadata files of any age.
#[derive(Deserialize)]
struct Link {
    #[serde(rename = "snapshot-id")]
    id: i64,
    #[serde(rename = "parent-snapshot-id", default)]
    parent: Option<i64>,
    #[serde(rename = "sequence-number", default)]
    sequence_number: i64,
    #[serde(default)]
    summary: HashMap<String, String>,
}

/// An older metadata file.
#[derive(Deserialize)]
struct Older {
    #[serde(default)]
    snapshots: Vec<Link>,
    #[serde(rename = "metadata-log", default)]
    log: Vec<Logged>,
}

#[derive(Deserialize)]
struct Logged {
    #[serde(rename = "metadata-file")]
    file: String,
}

/// The way from the current snapshot over its parents.
struct Walk {
    /// Oldest first.
    foreign: Vec<ForeignCommit>,
    end: End,
}

/// Where following the parents ended.
enum End {
    Met,
    Root,
    /// The parent of a snapshot with this sequence number is not known.
    Broken(i64),
}

impl Link {
    fn foreign(&self) -> Option<ForeignCommit> {
        let entry = |name: &str| self.summary.get(name);
        let operation = entry("operation").map_or("append", String::as_str);
        if operation == "replace" || entry(RUN_PROPERTY).is_some() {
            return None;
        }
        let count = |name: &str| entry(name).and_then(|text| text.parse::<u64>().ok());
        let deleted = [count("deleted-records"), count("added-position-deletes")];
        let total = deleted
            .iter()
            .flatten()
            .copied()
            .fold(0, u64::saturating_add);
        Some(ForeignCommit {
            snapshot_id: self.id,
            sequence_number: self.sequence_number,
            operation: operation.to_owned(),
            rows_added: count("added-records"),
            rows_deleted: deleted.iter().any(Option::is_some).then_some(total),
        })
    }
}

/// Follows the parents from `from` until `wanted`; none is what the first snapshot follows.
fn walk(links: &HashMap<i64, Link>, from: Option<i64>, wanted: Option<i64>) -> Walk {
    let mut foreign = Vec::new();
    let mut seen = HashSet::new();
    let (mut next, mut below) = (from, i64::MAX);
    let end = loop {
        if next == wanted {
            break End::Met;
        }
        let Some(id) = next else { break End::Root };
        // Damaged metadata must not make this endless.
        let Some(link) = links.get(&id).filter(|_| seen.insert(id)) else {
            break End::Broken(below);
        };
        foreign.extend(link.foreign());
        below = link.sequence_number;
        next = link.parent;
    };
    foreign.reverse();
    Walk { foreign, end }
}

impl LakeTable {
    /// How this version's current snapshot relates to `since`, the snapshot of a checkpoint (none: the table had no
    /// snapshot then). Reads older metadata files only when expired snapshots hide the answer.
    pub async fn standing(&self, since: Option<i64>) -> Result<Standing> {
        let current = self.current_snapshot_id();
        if current == since {
            let foreign = Vec::new();
            return Ok(Standing::Kept { foreign });
        }
        let mut links: HashMap<i64, Link> = self.links();
        let listed = since
            .and_then(|id| links.get(&id))
            .map(|link| link.sequence_number);
        let log = self.metadata().metadata_log().iter();
        let mut older: VecDeque<String> =
            log.rev().map(|entry| entry.metadata_file.clone()).collect();
        let mut read = HashSet::new();
        loop {
            let Walk { foreign, end } = walk(&links, current, since);
            match end {
                End::Met => return Ok(Standing::Kept { foreign }),
                // Every snapshot follows the empty table, whether its ancestors are listed or not.
                End::Broken(_) if since.is_none() => return Ok(Standing::Kept { foreign }),
                End::Root => return Ok(Standing::Gone),
                // Tables of version 1 have no sequence numbers: all of them are 0.
                End::Broken(below) if below > 0 && listed.is_some_and(|listed| listed >= below) => {
                    return Ok(Standing::Gone);
                }
                End::Broken(_) => {}
            }
            let Some(uri) = older.pop_front() else {
                return self.standing_by_contents(foreign).await;
            };
            if !read.insert(uri.clone()) {
                continue;
            }
            let Some(file) = self.older(&uri).await? else {
                continue;
            };
            links.extend(file.snapshots.into_iter().map(|link| (link.id, link)));
            if older.is_empty() {
                older.extend(file.log.into_iter().rev().map(|logged| logged.file));
            }
        }
    }

    /// The newest ancestor of the current snapshot, or that itself, that a run committed with its checkpoint.
    pub fn last_run_on_main(&self) -> Option<SnapshotInfo> {
        let snapshots = self.snapshots().into_iter();
        let snapshots: HashMap<i64, SnapshotInfo> =
            snapshots.map(|snapshot| (snapshot.id, snapshot)).collect();
        let mut next = self.current_snapshot_id();
        for _ in 0..snapshots.len() {
            let snapshot = snapshots.get(&next?)?;
            if snapshot.checkpoint.is_some() {
                return Some(snapshot.clone());
            }
            next = snapshot.parent;
        }
        None
    }

    /// What others committed between the snapshot that a write was computed from and this version's. Refuses a
    /// version that does not follow from that snapshot, because the write only holds what changed since.
    pub(in crate::lake) async fn foreign_since(
        &self,
        base: Option<i64>,
    ) -> Result<Vec<ForeignCommit>> {
        let reason = match self.standing(base).await? {
            Standing::Kept { foreign } => return Ok(foreign),
            Standing::Gone => "its branch main was rolled back or replaced",
            Standing::Unknown => "the snapshots between were removed from its metadata",
        };
        Err(LakeError::CommitOutdated {
            table: self.name.clone(),
            reason: reason.to_owned(),
        })
    }

    /// A history table numbers its rows and keeps the last number as a property: when the table holds the row with
    /// that number, it holds the last commit of rows.
    async fn standing_by_contents(&self, foreign: Vec<ForeignCommit>) -> Result<Standing> {
        let last = self
            .property(SEQ_PROPERTY)
            .and_then(|text| text.parse::<i64>().ok());
        let (Some(last), Some(field)) = (last, self.shape.position_of(Role::Seq)) else {
            return Ok(Standing::Unknown);
        };
        let id = self.shape.ids[field];
        let files = self.files(self.current_snapshot_id()).await?;
        let holds = files.data.iter().any(|live| {
            let high = live.file.upper_long(id);
            high.is_some_and(|high| high >= last)
        });
        Ok(match holds {
            true => Standing::Kept { foreign },
            false => Standing::Unknown,
        })
    }

    /// The snapshots that this version lists.
    fn links(&self) -> HashMap<i64, Link> {
        let snapshots = self.metadata().snapshots();
        let link = snapshots.map(|snapshot| {
            let summary = snapshot.summary();
            let mut entries = summary.additional_properties.clone();
            entries.insert(
                "operation".to_owned(),
                summary.operation.as_str().to_owned(),
            );
            let link = Link {
                id: snapshot.snapshot_id(),
                parent: snapshot.parent_snapshot_id(),
                sequence_number: snapshot.sequence_number(),
                summary: entries,
            };
            (link.id, link)
        });
        link.collect()
    }

    /// A metadata file of the log; none when it has been removed.
    async fn older(&self, uri: &str) -> Result<Option<Older>> {
        let Some(bytes) = self.store.read_if_exists(uri).await? else {
            return Ok(None);
        };
        let json = metadata_json(uri, bytes)?;
        let older = serde_json::from_slice(&json);
        older
            .map(Some)
            .map_err(|source| LakeError::MetadataCorrupt {
                path: uri.to_owned(),
                source: source.into(),
            })
    }
}
