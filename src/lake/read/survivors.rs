//! Keys that a delta deletes although a row of theirs stays.
//!
//! A mirror that only icesync writes has one live row per key, so a row that is gone means that its key is gone.
//! Another engine may append a second row of a key. When one of the two leaves, by a whole read or a commit of another
//! engine, the key is among the deletes and the row that stays is among nothing, because its file did not change: a
//! target would lose it. So where that may have happened, each deleted key is looked up in the later end, and the rows
//! found are upserts.
//!
//! It may have happened in a commit of another engine, and in those up to the one that a property of the table names
//! ([`FOREIGN_ROWS_PROPERTY`]): a run's commit notes when it leaves one row of several. A delta that begins after
//! them needs no lookup, whether the table has keys twice or not.

use crate::lake::ancestry::FOREIGN_ROWS_PROPERTY;
use crate::lake::error::Result;
use crate::lake::keys::encode::{KeyEncoder, KeySet, KeyState};
use crate::lake::keys::lookup::Lookup;
use crate::lake::read::deletes::Positions;
use crate::lake::read::delta::{Basis, Segment};
use crate::lake::read::manifests::LiveFile;
use crate::lake::table::{LakeTable, RUN_PROPERTY};
use crate::lake::write::context::KEY_BYTES_MAX;
use futures::TryStreamExt;
use iceberg::spec::Operation;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Keys that are looked up in one pass.
const KEYS_MAX: usize = 1_000_000;

/// Rows by file.
pub(in crate::lake) type Rows = Vec<(Arc<LiveFile>, Arc<Positions>)>;

/// Tables of version 1 have no sequence numbers: all of them are 0.
fn is_after(number: i64, since: i64) -> bool {
    number == 0 || number > since
}

impl LakeTable {
    /// Whether a commit after a snapshot may have deleted one row of a key and left another, as this version tells.
    pub(in crate::lake) fn may_thin_keys(&self, basis: Basis, since: Option<i64>) -> bool {
        let number = since.and_then(|id| self.sequence_number(id)).unwrap_or(0);
        let marked = self.property(FOREIGN_ROWS_PROPERTY);
        basis == Basis::Ends
            || marked.is_some_and(|marked| {
                let marked = marked.parse().ok();
                marked.is_none_or(|marked| is_after(marked, number))
            })
            || self.has_foreign(since)
    }

    /// Whether the table lists a commit after a snapshot by which another engine changed rows.
    pub(in crate::lake) fn has_foreign(&self, since: Option<i64>) -> bool {
        let since = since.and_then(|id| self.sequence_number(id)).unwrap_or(0);
        let is_foreign = |snapshot: &Arc<iceberg::spec::Snapshot>| {
            let summary = snapshot.summary();
            let run = summary.additional_properties.get(RUN_PROPERTY);
            run.is_none()
                && summary.operation != Operation::Replace
                && is_after(snapshot.sequence_number(), since)
        };
        self.metadata().snapshots().any(is_foreign)
    }

    /// The live rows of keys that a segment deletes, in files that both of its ends have.
    pub(in crate::lake) async fn survivors(&self, segment: &Segment) -> Result<Rows> {
        let encoder = KeyEncoder::new(&self.shape)?;
        let since = segment.since.by_path();
        let files = segment.until.data.iter();
        let files = files.filter(|live| since.contains_key(live.file.file_path()));
        let files: Vec<Arc<LiveFile>> = files.cloned().collect();
        let mut found: BTreeMap<String, (Arc<LiveFile>, Positions)> = BTreeMap::new();
        let mut deletes = segment.deletes();
        loop {
            let mut keys = KeySet::default();
            while keys.len() < KEYS_MAX
                && keys.bytes() < KEY_BYTES_MAX
                && let Some(batch) = deletes.try_next().await?
            {
                for key in encoder.encode(batch.columns())?.iter() {
                    keys.insert(key.as_ref(), KeyState::Row(0));
                }
            }
            if keys.is_empty() {
                break;
            }
            keys.seal();
            let lookup = Lookup::new(&self.store, self.shape.clone(), &encoder, &keys)?;
            let mut search = lookup.search(&files)?;
            loop {
                let some = search.next().await?;
                if some.is_empty() {
                    break;
                }
                for (live, hits) in some {
                    let mut rows: Positions = hits.into_iter().map(|(_, row)| row).collect();
                    rows -= segment.reading.deleted(&segment.until, &live).await?;
                    if !rows.is_empty() {
                        let path = live.file.file_path().to_owned();
                        let entry = found.entry(path).or_insert((live, Positions::new()));
                        entry.1 |= rows;
                    }
                }
            }
        }
        let rows = found.into_values();
        Ok(rows.map(|(live, rows)| (live, Arc::new(rows))).collect())
    }
}
