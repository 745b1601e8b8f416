//! What changed between two snapshots, read without holding it in memory.
//!
//! A delta from snapshot A to its descendant B is a list of segments, to be applied in order. Applying a segment
//! means: take its deleted keys, less those that its upserts hold; delete them; then insert or update its upserts.
//!
//! **One segment.** Let nothing between A and B be a compaction (`replace`). A row of B is either in a data file
//! that A has too, where it was live in A, because deletes only accumulate; or in a data file that A has not. So
//!
//! * *upserts* are the live rows, in B, of the data files that A has not;
//! * *deletes* are the keys of rows that were live in A and are not in B: all of a file that B has not, and the
//!   positions that B deletes and A does not of a file in both.
//!
//! A table has one live row per key. If a key's row changed, the old row is among the deletes and the new one among
//! the upserts, and taking upserted keys out of the deletes leaves an update. If a key was deleted, it is among the
//! deletes only. If it came, among the upserts only. If it came and went in between, in neither, since only the two
//! ends are compared. Nothing is read but what changed: added files, and the key columns at deleted positions.
//!
//! **Compactions.** A `replace` snapshot rewrites files without changing a row; comparing its two sides would make
//! every row it moved a change. So the range is cut there: a segment up to the snapshot before it, the next one
//! from it on. The files of the snapshot before are still on disk, or that snapshot would not be listed. A change
//! before the cut and another after it to the same key are in two segments, which is why their order matters: the
//! later one wins.
//!
//! **History tables** only grow: a segment has upserts (the rows added) and no deletes.
//!
//! **From nothing** there is one segment, whose upserts are all live rows of B.

use crate::lake::error::{LakeError, Result};
use crate::lake::read::datafile::Wanted;
use crate::lake::read::deletes::Positions;
use crate::lake::read::manifests::{Files, LiveFile};
use crate::lake::read::scan::{BatchStream, Reading};
use crate::lake::table::LakeTable;
use crate::schema::TableKind;
use futures::stream;
use futures::{StreamExt, TryStreamExt};
use iceberg::spec::Operation;
use std::sync::Arc;

/// The changes from one snapshot to another.
pub struct Delta {
    /// To be applied in this order.
    pub segments: Vec<Segment>,
    /// Rows that the segments upsert; exact unless a delete file repeats a position.
    pub upsert_rows_estimate: u64,
    /// At most this many keys are deleted; replaced rows are counted.
    pub delete_rows_estimate: u64,
    /// Whether it starts from nothing.
    pub full: bool,
}

/// A part of a delta without a compaction inside.
pub struct Segment {
    reading: Reading,
    fields: Arc<Vec<usize>>,
    key: Arc<Vec<usize>>,
    /// The later end, whose deletes apply to `added`.
    until: Arc<Files>,
    /// The earlier end, whose deletes apply to `removed`.
    since: Arc<Files>,
    added: Vec<Arc<LiveFile>>,
    removed: Vec<Arc<LiveFile>>,
    /// Files of both ends, with the positions deleted in between.
    thinned: Vec<(Arc<LiveFile>, Arc<Positions>)>,
}

impl Segment {
    /// Streams the rows to insert or update, all columns of the table.
    pub fn upserts(&self) -> BatchStream {
        self.reading
            .live_rows(self.until.clone(), self.added.clone(), self.fields.clone())
    }

    /// Streams the keys of rows that are gone or replaced: the key columns in key order. Take out those that
    /// [`Segment::upserts`] has before deleting anything.
    pub fn deletes(&self) -> BatchStream {
        let (reading, key) = (self.reading.clone(), self.key.clone());
        let thinned = stream::iter(self.thinned.clone().into_iter().map(Ok))
            .and_then(move |(live, positions)| {
                let (reading, key) = (reading.clone(), key.clone());
                async move { reading.rows(&live, &key, &Wanted::Only(&positions)).await }
            })
            .try_flatten();
        self.reading
            .live_rows(self.since.clone(), self.removed.clone(), self.key.clone())
            .chain(thinned)
            .boxed()
    }
}

impl LakeTable {
    /// What to apply to a copy of snapshot `from` (none: an empty one) to get snapshot `to`.
    /// [`LakeError::NotAncestor`] unless `to` descends from `from`.
    pub async fn delta(&self, from: Option<i64>, to: i64) -> Result<Delta> {
        let cuts = self.cuts(from, to)?;
        let mut delta = Delta {
            segments: Vec::new(),
            upsert_rows_estimate: 0,
            delete_rows_estimate: 0,
            full: from.is_none(),
        };
        for (since, until) in cuts {
            let segment = self.segment(since, until, &mut delta).await?;
            delta.segments.push(segment);
        }
        Ok(delta)
    }

    /// The ends of the segments: the range without its compactions.
    fn cuts(&self, from: Option<i64>, to: i64) -> Result<Vec<(Option<i64>, i64)>> {
        let metadata = self.metadata();
        let mut chain = Vec::new();
        let mut next = Some(to);
        while next != from {
            // Compactions need no cut when there is nothing to compare with.
            let found = next.and_then(|id| metadata.snapshot_by_id(id));
            let Some(snapshot) = found else {
                if next.is_some_and(|id| id == to) {
                    return Err(LakeError::SnapshotNotFound {
                        table: self.name.clone(),
                        wanted: to.to_string(),
                        available: format!("{} others", metadata.snapshots().len()),
                    });
                }
                match from {
                    // The beginning was expired: all that is live is the answer all the same.
                    None => break,
                    Some(from) => {
                        return Err(LakeError::NotAncestor {
                            table: self.name.clone(),
                            from,
                            to,
                        });
                    }
                }
            };
            let replaces = snapshot.summary().operation == Operation::Replace;
            chain.push((snapshot.snapshot_id(), replaces));
            next = snapshot.parent_snapshot_id();
        }
        if from.is_none() {
            return Ok(vec![(None, to)]);
        }
        let mut cuts = Vec::new();
        let (mut since, mut until) = (from, None);
        for (id, replaces) in chain.into_iter().rev() {
            if !replaces {
                until = Some(id);
                continue;
            }
            cuts.extend(until.take().map(|until| (since, until)));
            since = Some(id);
        }
        cuts.extend(until.map(|until| (since, until)));
        Ok(cuts)
    }

    async fn segment(&self, since: Option<i64>, until: i64, delta: &mut Delta) -> Result<Segment> {
        let reading = Reading::of(self);
        let since = Arc::new(self.files(since).await?);
        let until = Arc::new(self.files(Some(until)).await?);
        let mut segment = Segment {
            fields: Arc::new((0..self.shape.schema.fields.len()).collect()),
            key: Arc::new(self.shape.key_fields()),
            reading,
            added: Vec::new(),
            removed: Vec::new(),
            thinned: Vec::new(),
            until: until.clone(),
            since: since.clone(),
        };
        let (before, after) = (since.by_path(), until.by_path());
        for live in &until.data {
            let deleted = until.deletes_for(live).map(|file| file.file.record_count());
            if !before.contains_key(live.file.file_path()) {
                let rows = live.file.record_count();
                delta.upsert_rows_estimate += rows.saturating_sub(deleted.sum());
                segment.added.push(live.clone());
            }
        }
        if self.kind() == TableKind::History {
            return Ok(segment);
        }
        for live in &since.data {
            match after.get(live.file.file_path()) {
                None => {
                    delta.delete_rows_estimate += live.file.record_count();
                    segment.removed.push(live.clone());
                }
                Some(_) => {
                    let positions = thinned(&segment.reading, &since, &until, live).await?;
                    if !positions.is_empty() {
                        delta.delete_rows_estimate += positions.len();
                        segment.thinned.push((live.clone(), Arc::new(positions)));
                    }
                }
            }
        }
        let gone = !segment.removed.is_empty() || !segment.thinned.is_empty();
        if gone && segment.key.is_empty() {
            return Err(LakeError::NoKey {
                table: self.name.clone(),
                what: "deleted in a target",
            });
        }
        Ok(segment)
    }
}

/// Positions of a file of both ends that were deleted in between. Delete files of both ends are not read.
async fn thinned(
    reading: &Reading,
    since: &Files,
    until: &Files,
    live: &LiveFile,
) -> Result<Positions> {
    let paths = |files: &Files| -> Vec<String> {
        let mut paths: Vec<String> = files
            .deletes_for(live)
            .map(|delete| delete.file.file_path().to_owned())
            .collect();
        paths.sort();
        paths
    };
    if paths(since) == paths(until) {
        return Ok(Positions::new());
    }
    let before = reading.deleted(since, live).await?;
    Ok(reading.deleted(until, live).await? - before)
}
