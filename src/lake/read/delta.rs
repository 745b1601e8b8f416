//! What changed between two snapshots, read without holding it in memory.
//!
//! A delta from snapshot A to snapshot B is a list of segments, to be applied in order. Applying a segment means:
//! take its deleted keys, less those that its upserts hold; delete them; then insert or update its upserts. Read in
//! this order, upserts first, most of those are left out already ([`given`](super::given)).
//!
//! **One segment compares its two ends.** A row lies at a position of a data file, and neither files nor rows in
//! them ever change. So a row is in A and in B exactly if its file is in both and its position is deleted in
//! neither. Everything else changed:
//!
//! * *upserts* are the rows that are live in B and not in A: all live rows of the files that A has not, and the
//!   positions of a shared file that A deletes and B does not (only after a rollback);
//! * *deletes* are the keys of the rows that are live in A and not in B: all live rows of the files that B has not,
//!   and the positions of a shared file that B deletes and A does not.
//!
//! A mirror has one live row per key. If a key's row changed, the old row is among the deletes and the new one among
//! the upserts, and taking upserted keys out of the deletes leaves an update. If a key was deleted, it is among the
//! deletes only. If it came, among the upserts only. If it came and went in between, in neither. None of this asks
//! how B came from A, so the result is exact for any two snapshots of a mirror: whether B descends from A, is older,
//! or is on another branch. Nothing is read but what changed: added files, and the key columns at deleted positions.
//!
//! **Compactions.** A `replace` snapshot rewrites files without changing a row. Comparing its two sides is right, but
//! makes every row that it moved an upsert. So the range is cut there: a segment up to the snapshot before it, the
//! next one from it on. The files of the snapshot before are still on disk, or that snapshot would not be listed. A
//! change before the cut and another after it to the same key are in two segments, which is why their order matters:
//! the later one wins.
//!
//! **Broken ancestry.** The cuts need every snapshot between A and B. Another engine may have expired some of them
//! (a tag kept A), or rolled `main` back, so that B does not descend from A. Or the snapshot before a compaction has
//! files that this build does not read, which the compaction replaced. Then there is one segment, from A to B:
//! [`Basis::Ends`]. Its upserts may include rows that a compaction only moved.
//!
//! **History tables** only grow: a segment has upserts and no deletes. While ancestry holds, the rows of added files
//! are the rows added. When snapshots in between are expired, an added file may also hold rows that a compaction
//! moved there, and so may a file of another engine that deletes or updates by writing files anew. A row of a later
//! commit has a greater `_seq` than every row before it, so the new rows are those above the greatest `_seq` of A. As
//! a check, the live rows of B up to that `_seq` must be as many as A has, or fewer where a listed snapshot deleted
//! some. Otherwise another writer changed the history in a way that cannot be told from new rows, and the delta is
//! refused ([`LakeError::NotAncestor`]). It is refused as well when B is known not to descend from A, because rows
//! that were loaded may have left the history.
//!
//! Versions `D` of a history say that a key is gone. They are no rows, so no segment upserts them, unless the delta is
//! asked to ([`Delta::with_deletes`]).
//!
//! **From nothing** there is one segment, whose upserts are all live rows of B.

use crate::lake::error::{LakeError, Result};
use crate::lake::read::datafile::Wanted;
use crate::lake::read::deletes::Positions;
use crate::lake::read::given::Given;
use crate::lake::read::manifests::{Files, LiveFile};
use crate::lake::read::scan::{BatchStream, Reading};
use crate::lake::table::{LakeTable, RUN_PROPERTY};
use crate::lake::write::options::Op;
use crate::schema::{Role, TableKind};
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{BooleanArray, RecordBatch};
use arrow_select::filter::filter_record_batch;
use futures::stream;
use futures::{StreamExt, TryStreamExt};
use iceberg::spec::{Operation, Snapshot};
use std::sync::Arc;

/// The changes from one snapshot to another.
pub struct Delta {
    /// To be applied in this order.
    pub segments: Vec<Segment>,
    pub basis: Basis,
    /// Rows that the segments upsert; exact unless a delete file repeats a position.
    pub upsert_rows_estimate: u64,
    /// At most this many keys are deleted; replaced rows are counted.
    pub delete_rows_estimate: u64,
}

/// What a delta was computed from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Basis {
    /// It starts from nothing: every live row is an upsert.
    Nothing,
    /// Every snapshot of the range: compactions are left out, so each upsert is a row that was written anew.
    Snapshots,
    /// Upserts may include rows that did not change: only the two ends are compared, and a compaction in between
    /// moved them, or another engine wrote their files anew.
    Ends,
}

/// A part of a delta.
pub struct Segment {
    pub(in crate::lake) reading: Reading,
    fields: Arc<Vec<usize>>,
    key: Arc<Vec<usize>>,
    /// The later end, whose deletes apply to `added`. Once the segment is complete, it has no other files.
    pub(in crate::lake) until: Arc<Files>,
    /// The earlier end, whose deletes apply to `removed`. Once the segment is complete, it has no other files.
    pub(in crate::lake) since: Arc<Files>,
    added: Vec<Arc<LiveFile>>,
    removed: Vec<Arc<LiveFile>>,
    /// Files of both ends, with the positions deleted in between.
    thinned: Vec<(Arc<LiveFile>, Arc<Positions>)>,
    /// Files of both ends, with the positions that only the earlier end deletes.
    revived: Vec<(Arc<LiveFile>, Arc<Positions>)>,
    /// Of `added`, only rows with a greater value of this field are new.
    above: Option<(usize, i64)>,
    /// The field `_op` of a history.
    op: Option<usize>,
    /// Keys of the upserts that were streamed; none when there is nothing to delete.
    pub(in crate::lake) given: Option<Arc<Given>>,
}

impl Delta {
    /// The same with the versions of a history that say that a key is gone among the upserts.
    #[must_use]
    pub fn with_deletes(mut self) -> Self {
        for segment in &mut self.segments {
            segment.op = None;
        }
        self
    }
}

impl Segment {
    /// Streams the rows to insert or update, all columns of the table.
    pub fn upserts(&self) -> BatchStream {
        let fields = &self.fields;
        let added = self
            .reading
            .live_rows(self.until.clone(), self.added.clone(), fields.clone());
        let added = match self.above {
            None => added,
            Some((field, high)) => added
                .map(move |batch| only_above(&batch?, field, high))
                .boxed(),
        };
        let added = match self.op {
            None => added,
            Some(field) => added.map(move |batch| only_rows(batch?, field)).boxed(),
        };
        let upserts = added
            .chain(self.rows_at(self.revived.clone(), fields))
            .boxed();
        let (Some(given), key) = (self.given.clone(), self.key.clone()) else {
            return upserts;
        };
        let noted = move |batch: RecordBatch| given.note(&batch, &key).map(|()| batch);
        upserts.map(move |batch| noted(batch?)).boxed()
    }

    /// Makes rows of a file that both ends have upserts.
    fn revive(&mut self, live: Arc<LiveFile>, rows: Arc<Positions>) {
        let path = live.file.file_path();
        let mut revived = self.revived.iter_mut();
        match revived.find(|(known, _)| known.file.file_path() == path) {
            Some((_, known)) => *Arc::make_mut(known) |= &*rows,
            None => self.revived.push((live, rows)),
        }
    }

    /// Streams the keys of rows that are gone or replaced: the key columns in key order. Keys that
    /// [`Segment::upserts`] has given so far are left out, as far as memory allows; take out the others before
    /// deleting anything.
    pub fn deletes(&self) -> BatchStream {
        let deletes = self
            .reading
            .live_rows(self.since.clone(), self.removed.clone(), self.key.clone())
            .chain(self.rows_at(self.thinned.clone(), &self.key))
            .boxed();
        match self.given.clone() {
            Some(given) => deletes.map(move |batch| given.others(&batch?)).boxed(),
            None => deletes,
        }
    }

    /// Streams the rows at positions of files.
    fn rows_at(
        &self,
        files: Vec<(Arc<LiveFile>, Arc<Positions>)>,
        fields: &Arc<Vec<usize>>,
    ) -> BatchStream {
        let (reading, fields) = (self.reading.clone(), fields.clone());
        stream::iter(files.into_iter().map(Ok))
            .and_then(move |(live, positions)| {
                let (reading, fields) = (reading.clone(), fields.clone());
                async move {
                    let wanted = Wanted::Only(&positions);
                    reading.rows(&live, &fields, &wanted).await
                }
            })
            .try_flatten()
            .boxed()
    }
}

/// The rows of a batch whose value of a column is greater.
fn only_above(batch: &RecordBatch, column: usize, high: i64) -> Result<RecordBatch> {
    let values = batch.column(column).as_primitive::<Int64Type>();
    let wanted: BooleanArray = values
        .iter()
        .map(|value| Some(value.is_some_and(|value| value > high)))
        .collect();
    filter_record_batch(batch, &wanted).map_err(LakeError::arrow("a history table"))
}

/// The versions of a batch that have a row: all but those that say that a key is gone.
fn only_rows(batch: RecordBatch, op: usize) -> Result<RecordBatch> {
    let Some(ops) = batch.column(op).as_string_opt::<i32>() else {
        return Ok(batch);
    };
    if ops.iter().all(|op| op != Some(Op::Delete.code())) {
        return Ok(batch);
    }
    let wanted: BooleanArray = ops
        .iter()
        .map(|op| Some(op != Some(Op::Delete.code())))
        .collect();
    filter_record_batch(&batch, &wanted).map_err(LakeError::arrow("a history table"))
}

/// The earlier and the later snapshot of a segment.
type Ends = (Option<i64>, i64);

/// Whether an error says that a snapshot has files which this build does not read.
fn is_unreadable(error: &LakeError) -> bool {
    matches!(
        error,
        LakeError::UnsupportedDeletes { .. }
            | LakeError::UnsupportedTable { .. }
            | LakeError::UnsupportedFile { .. }
    )
}

/// A snapshot on the way from one to another.
struct Step {
    id: i64,
    /// It is a compaction.
    replaces: bool,
    /// Another writer changed rows by writing data files anew.
    rewrites: bool,
}

impl Step {
    fn of(snapshot: &Snapshot) -> Self {
        let summary = snapshot.summary();
        let entry = |name: &str| summary.additional_properties.get(name);
        let removed = entry("deleted-data-files").and_then(|text| text.parse::<u64>().ok());
        Self {
            id: snapshot.snapshot_id(),
            replaces: summary.operation == Operation::Replace,
            rewrites: match summary.operation {
                Operation::Append | Operation::Replace => false,
                Operation::Overwrite | Operation::Delete => {
                    entry(RUN_PROPERTY).is_none() && removed != Some(0)
                }
            },
        }
    }
}

/// How a snapshot came from another.
enum Lineage {
    /// Through these, oldest first.
    Through(Vec<Step>),
    /// Snapshots in between are expired.
    Expired,
    /// It did not: it is older, or on another branch.
    Apart,
}

impl LakeTable {
    /// What to apply to a copy of snapshot `from` (none: an empty one) to get snapshot `to`. Exact for any two
    /// snapshots of a mirror. [`LakeError::NotAncestor`] if `to` may lack rows of `from` in a history table,
    /// [`LakeError::LoadedSnapshotGone`] if `from` is expired.
    pub async fn delta(&self, from: Option<i64>, to: i64) -> Result<Delta> {
        let (cuts, basis) = self.cuts(from, to)?;
        let ends = [(from, to)];
        let unreadable = match self.delta_in(&cuts, basis, (from, to)).await {
            Err(error) if cuts != ends && is_unreadable(&error) => error,
            delta => return delta,
        };
        tracing::info!(table = %self.name, error = %unreadable, "a snapshot between the two cannot be read, so that \
            only the two are compared");
        self.delta_in(&ends, Basis::Ends, (from, to)).await
    }

    async fn delta_in(&self, cuts: &[Ends], basis: Basis, (from, to): Ends) -> Result<Delta> {
        let mut delta = Delta {
            segments: Vec::new(),
            basis,
            upsert_rows_estimate: 0,
            delete_rows_estimate: 0,
        };
        for &(since, until) in cuts {
            let mut segment = self.segment(since, until, &mut delta).await?;
            // What icesync did not write may not be readable, which shows in each file.
            if until != to && self.has_foreign(from) {
                for live in &segment.added {
                    segment.reading.check(live).await?;
                }
            }
            if let (TableKind::History, Basis::Ends, Some(from)) = (self.kind(), basis, from) {
                self.only_new_versions(&mut segment, from, to).await?;
            }
            // Segments are many where a target lags behind many compactions, and a snapshot may have many files.
            segment.until = Arc::new(segment.until.only(&segment.added));
            segment.since = Arc::new(segment.since.only(&segment.removed));
            delta.segments.push(segment);
        }
        Ok(delta)
    }

    /// The ends of the segments.
    fn cuts(&self, from: Option<i64>, to: i64) -> Result<(Vec<Ends>, Basis)> {
        if self.metadata().snapshot_by_id(to).is_none() {
            return Err(LakeError::SnapshotNotFound {
                table: self.name.clone(),
                wanted: to.to_string(),
                available: format!("{} others", self.metadata().snapshots().len()),
            });
        }
        let Some(from) = from else {
            return Ok((vec![(None, to)], Basis::Nothing));
        };
        if self.metadata().snapshot_by_id(from).is_none() {
            return Err(LakeError::LoadedSnapshotGone {
                table: self.name.clone(),
                snapshot: from,
            });
        }
        let chain = match (self.lineage(from, to), self.kind()) {
            (Lineage::Through(chain), TableKind::Mirror | TableKind::History) => chain,
            (Lineage::Expired | Lineage::Apart, TableKind::Mirror)
            | (Lineage::Expired, TableKind::History) => {
                return Ok((vec![(Some(from), to)], Basis::Ends));
            }
            (Lineage::Apart, TableKind::History) => return Err(self.not_ancestor(from, to)),
        };
        let basis = match chain.iter().any(|step| step.rewrites) {
            true => Basis::Ends,
            false => Basis::Snapshots,
        };
        if (self.kind(), basis) == (TableKind::History, Basis::Ends) {
            return Ok((vec![(Some(from), to)], basis));
        }
        let mut cuts = Vec::new();
        let (mut since, mut until) = (from, None);
        for step in chain {
            if !step.replaces {
                until = Some(step.id);
                continue;
            }
            cuts.extend(until.take().map(|until| (Some(since), until)));
            since = step.id;
        }
        cuts.extend(until.map(|until| (Some(since), until)));
        Ok((cuts, basis))
    }

    fn not_ancestor(&self, from: i64, to: i64) -> LakeError {
        LakeError::NotAncestor {
            table: self.name.clone(),
            from,
            to,
        }
    }

    fn lineage(&self, from: i64, to: i64) -> Lineage {
        let metadata = self.metadata();
        // The snapshots from one back to (without) another, and whether that was met; else, whether the walk ended
        // at the first snapshot of the table instead of at an expired one.
        let snapshots = metadata.snapshots().len();
        let walk = |start: i64, end: i64| {
            let (mut chain, mut next) = (Vec::new(), Some(start));
            while let Some(id) = next.filter(|id| *id != end) {
                // Parents that lead in a circle are damaged metadata.
                let known = metadata.snapshot_by_id(id);
                let Some(snapshot) = known.filter(|_| chain.len() < snapshots) else {
                    return (chain, false, false);
                };
                chain.push(Step::of(snapshot));
                next = snapshot.parent_snapshot_id();
            }
            (chain, next.is_some(), next.is_none())
        };
        match walk(to, from) {
            (mut chain, true, _) => {
                chain.reverse();
                Lineage::Through(chain)
            }
            (_, false, true) => Lineage::Apart,
            (_, false, false) if walk(from, to).1 => Lineage::Apart,
            (_, false, false) => Lineage::Expired,
        }
    }

    async fn segment(&self, from: Option<i64>, until: i64, delta: &mut Delta) -> Result<Segment> {
        let reading = Reading::of(self);
        let since = Arc::new(self.files(from).await?);
        let until = Arc::new(self.files(Some(until)).await?);
        let mut segment = Segment {
            fields: Arc::new((0..self.shape.schema.fields.len()).collect()),
            key: Arc::new(self.shape.key_fields()),
            reading,
            added: Vec::new(),
            removed: Vec::new(),
            thinned: Vec::new(),
            revived: Vec::new(),
            above: None,
            op: self.shape.position_of(Role::Op),
            given: None,
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
        if self.kind() == TableKind::History && delta.basis != Basis::Ends {
            return Ok(segment);
        }
        for live in &since.data {
            match after.get(live.file.file_path()) {
                None => {
                    delta.delete_rows_estimate += live.file.record_count();
                    segment.removed.push(live.clone());
                }
                Some(later) => {
                    let moved = moved(&segment.reading, (&since, live), (&until, later)).await?;
                    let (thinned, revived) = moved;
                    if !thinned.is_empty() {
                        delta.delete_rows_estimate += thinned.len();
                        segment.thinned.push((live.clone(), Arc::new(thinned)));
                    }
                    if !revived.is_empty() {
                        delta.upsert_rows_estimate += revived.len();
                        segment.revived.push((live.clone(), Arc::new(revived)));
                    }
                }
            }
        }
        let gone = !segment.removed.is_empty() || !segment.thinned.is_empty();
        if gone && segment.key.is_empty() && self.kind() == TableKind::Mirror {
            return Err(LakeError::NoKey {
                table: self.name.clone(),
                what: "deleted in a target",
            });
        }
        let mirror = self.kind() == TableKind::Mirror;
        if gone && mirror && self.may_thin_keys(delta.basis, from) {
            for (live, rows) in self.survivors(&segment).await? {
                delta.upsert_rows_estimate += rows.len();
                segment.revive(live, rows);
            }
        }
        if gone && !segment.key.is_empty() {
            segment.given = Some(Arc::new(Given::new(&self.shape)?));
        }
        Ok(segment)
    }

    /// Leaves only versions that are new in a segment of a history table whose ancestry is broken; see the module
    /// head.
    async fn only_new_versions(&self, segment: &mut Segment, from: i64, to: i64) -> Result<()> {
        let seq = self.shape.position_of(Role::Seq);
        let seq = seq.ok_or_else(|| self.not_ancestor(from, to))?;
        let high = self.seq_high_of(segment, seq).await?;
        let mut balance: i128 = 0;
        for live in &segment.removed {
            let deleted = segment.reading.deleted(&segment.since, live).await?;
            balance += i128::from(live.file.record_count()) - i128::from(deleted.len());
        }
        for (_, positions) in &segment.thinned {
            balance += i128::from(positions.len());
        }
        for (_, positions) in &segment.revived {
            balance -= i128::from(positions.len());
        }
        let (until, added) = (segment.until.clone(), segment.added.clone());
        let mut batches = segment.reading.live_rows(until, added, Arc::new(vec![seq]));
        while let Some(batch) = batches.try_next().await? {
            let new = only_above(&batch, 0, high)?.num_rows();
            balance -= (batch.num_rows() - new) as i128;
        }
        // Where every snapshot is listed, one of them may have deleted rows.
        let is_known = matches!(self.lineage(from, to), Lineage::Through(_));
        if balance < 0 || balance > 0 && !is_known || !segment.revived.is_empty() {
            return Err(self.not_ancestor(from, to));
        }
        segment.above = Some((seq, high));
        segment.removed.clear();
        segment.thinned.clear();
        segment.given = None;
        Ok(())
    }

    /// The greatest `_seq` of the earlier end. Manifests bound it for each file; files are read, the highest bound
    /// first, until no other can have a greater one.
    async fn seq_high_of(&self, segment: &Segment, seq: usize) -> Result<i64> {
        let id = self.shape.ids.get(seq);
        let bound = |live: &LiveFile| {
            let upper = id.and_then(|&id| live.file.upper_long(id));
            upper.unwrap_or(i64::MAX)
        };
        let mut files: Vec<(i64, Arc<LiveFile>)> = segment
            .since
            .data
            .iter()
            .map(|live| (bound(live), live.clone()))
            .collect();
        files.sort_by_key(|(bound, _)| std::cmp::Reverse(*bound));
        let mut high = i64::MIN;
        for (bound, live) in files {
            if bound <= high {
                break;
            }
            let none = Positions::new();
            let wanted = Wanted::Except(&none);
            let mut batches = segment.reading.rows(&live, &[seq], &wanted).await?;
            while let Some(batch) = batches.try_next().await? {
                let values = batch.column(0).as_primitive::<Int64Type>();
                high = values.iter().flatten().fold(high, i64::max);
            }
        }
        Ok(high)
    }
}

/// Positions of a file of both ends that only the later end deletes, and those that only the earlier one does.
/// Nothing is read when both ends have the same delete files.
async fn moved(
    reading: &Reading,
    (since, earlier): (&Files, &LiveFile),
    (until, later): (&Files, &LiveFile),
) -> Result<(Positions, Positions)> {
    let paths = |files: &Files, live: &LiveFile| -> Vec<String> {
        let mut paths: Vec<String> = files
            .deletes_for(live)
            .map(|delete| delete.file.file_path().to_owned())
            .collect();
        paths.sort();
        paths
    };
    if paths(since, earlier) == paths(until, later) {
        return Ok((Positions::new(), Positions::new()));
    }
    let before = reading.deleted(since, earlier).await?;
    let after = reading.deleted(until, later).await?;
    Ok((&after - &before, before - after))
}
