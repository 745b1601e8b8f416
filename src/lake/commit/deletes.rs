//! Which delete files a commit writes, and which of the old ones they take the place of.
//!
//! A reader of a data file opens all of its delete files, so there are never more than [`DELETE_FILES_MAX`]. A new
//! one takes in the old ones: their positions are written with the new ones, and the old files leave the table.
//! Two things can make that expensive, and both bounds below keep the cost of a commit in proportion to its rows:
//!
//! * *Many positions.* A file of more than [`POSITIONS_SMALL`] is taken in only when it has at most four times as many
//!   positions as the new one has by then. So a position is written again each time that the file grows to five
//!   fourths of its size, not at every commit.
//! * *A large manifest.* To leave the table, a file has to leave its manifest, which is written again. A small
//!   manifest is, a large one only when the number of delete files demands it.
//!
//! Usually a data file therefore has one delete file. Measured with 400 commits of 100 scattered updates to 100,000
//! rows, see (l) in docs/BENCHMARKS.md.

use crate::lake::commit::plan::Plan;
use crate::lake::error::Result;
use crate::lake::read::deletes::{self, DeleteIndex, Positions, PositionsByPath};
use crate::lake::read::manifests::{Files, LiveFile};
use crate::lake::store::Store;
use crate::lake::table::LakeTable;
use crate::lake::write::options::WriteOptions;
use futures::{StreamExt, stream};
use iceberg::spec::DataFile;
use std::collections::HashMap;
use std::sync::Arc;

/// Live delete files of a data file at most.
pub(in crate::lake) const DELETE_FILES_MAX: usize = 4;
const POSITIONS_SMALL: u64 = 16 << 10;
const MANIFEST_SMALL: i64 = 1 << 20;
/// Delete files written at once; each waits for the disk.
const FILES_AT_ONCE: usize = 8;

/// The delete files of a data file, `own`, that a new one with `fresh` positions takes in.
pub(in crate::lake) fn taken_in(
    mut own: Vec<&Arc<LiveFile>>,
    fresh: u64,
    manifest_bytes: impl Fn(&LiveFile) -> i64,
) -> Vec<&Arc<LiveFile>> {
    own.sort_by_key(|delete| delete.file.record_count());
    let too_many = own.len() + 1 > DELETE_FILES_MAX;
    let (mut positions, mut taken) = (fresh, Vec::new());
    own.retain(|&delete| {
        let rows = delete.file.record_count();
        let affordable = rows <= POSITIONS_SMALL.max(positions.saturating_mul(4));
        let takes = affordable && (too_many || manifest_bytes(delete) <= MANIFEST_SMALL);
        if takes {
            positions += rows;
            taken.push(delete);
        }
        !takes
    });
    let excess = (own.len() + 1).saturating_sub(DELETE_FILES_MAX);
    taken.extend(own.drain(..excess));
    taken
}

/// Decides on the rows to delete in files of the base snapshot: which files leave, and which delete files are to
/// be written, by data file.
pub(in crate::lake) async fn plan_deletes(
    store: &Store,
    base: &Files,
    replaced: &PositionsByPath,
    plan: &mut Plan,
) -> Result<Vec<(String, Positions)>> {
    let files = base.by_path();
    let manifests = base.manifests.iter();
    let lengths: HashMap<&str, i64> = manifests
        .map(|manifest| (manifest.manifest_path.as_str(), manifest.manifest_length))
        .collect();
    let length = |delete: &LiveFile| lengths.get(&*delete.manifest).copied().unwrap_or(i64::MAX);
    let mut index = DeleteIndex::default();
    let touched = replaced.keys().filter_map(|path| files.get(path.as_str()));
    let touched = touched.map(|live| live.as_ref());
    index.fetch(store, base, touched).await?;
    let mut writes = Vec::new();
    for (path, rows) in replaced {
        let Some(live) = files.get(path.as_str()) else {
            continue;
        };
        let gone = index.of(store, base, live).await?;
        let mut fresh = rows - &gone;
        if fresh.len() + gone.len() >= live.file.record_count() {
            plan.gone.insert(path.clone());
            plan.gone.extend(base.own_deletes(path).map(path_of));
        } else if !fresh.is_empty() {
            let taken = taken_in(own_deletes(base, live).collect(), fresh.len(), length);
            fresh |= index.of_some(store, &taken, live).await?;
            plan.gone.extend(taken.into_iter().map(path_of));
            writes.push((path.clone(), fresh));
        }
    }
    // By entry: the rows of a file that is listed twice were counted twice.
    for live in &base.data {
        if let Some(rows) = replaced.get(live.file.file_path()) {
            plan.rows_deleted += (rows - &index.of(store, base, live).await?).len();
        }
    }
    Ok(writes)
}

/// Writes delete files side by side; durable once their directory is. After an error none of them is left.
pub(in crate::lake) async fn write_deletes(
    table: &LakeTable,
    options: &WriteOptions,
    writes: Vec<(String, Positions)>,
) -> Result<Vec<DataFile>> {
    let write = |(path, rows): (String, Positions)| {
        let uri = format!(
            "{}/data/{}-{}-deletes.parquet",
            table.location,
            options.run_id,
            uuid::Uuid::new_v4().simple()
        );
        deletes::write(&table.store, uri, path, rows, options.compression)
    };
    let written = stream::iter(writes).map(write).buffered(FILES_AT_ONCE);
    // To the end, whatever fails: a write that goes on would leave its file after this.
    let written: Vec<Result<DataFile>> = written.collect().await;
    if written.iter().any(Result::is_err) {
        for file in written.iter().flatten() {
            table.store.discard(file.file_path()).await;
        }
    }
    written.into_iter().collect()
}

/// The delete files that refer to this data file alone and apply to it.
fn own_deletes<'f>(base: &'f Files, live: &'f LiveFile) -> impl Iterator<Item = &'f Arc<LiveFile>> {
    let own = base.own_deletes(live.file.file_path());
    own.filter(|delete| delete.sequence_number >= live.sequence_number)
}

fn path_of(live: &Arc<LiveFile>) -> String {
    live.file.file_path().to_owned()
}
