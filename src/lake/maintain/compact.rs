//! Compaction: small files become large ones, deleted rows leave the files, and no row changes.
//!
//! Files to rewrite are chosen by size and by the share of their rows that is deleted, ordered by their lowest key, and
//! packed into groups of about one target file. Each group is read without its deleted rows, [sorted](super::sort)
//! and written, and takes the place of its files in a commit of its own ([`replace`](super::replace) argues why
//! that is safe beside other writers). A group whose files another writer has replaced is given up, also where an
//! expiry has removed them while they were read; the others go on. They go on as well when a file of a group cannot be
//! read: a damaged file keeps its own group from being compacted, and the error is answered at the end.
//!
//! **What can crash where.** While a group is written, nothing refers to its new files: a crash leaves orphans. After
//! its commit the old files belong to older snapshots only, and expiry removes them. So each group is done or not
//! done, and running the compaction again does the rest.

use crate::change::RunId;
use crate::failpoint;
use crate::lake::error::{LakeError, Result};
use crate::lake::keys::bounds::lowest;
use crate::lake::maintain::group::{DEAD_SHARE, Group, Input, live_bytes};
use crate::lake::maintain::output::Output;
use crate::lake::maintain::sort::{Order, RUN_BYTES, Sorter};
use crate::lake::read::datafile::{OpenFile, Wanted};
use crate::lake::read::deletes::DeleteIndex;
use crate::lake::read::entries::StoredFile;
use crate::lake::read::manifests::{Files, LiveFile};
use crate::lake::table::LakeTable;
use crate::lake::write::options::{WriteMode, WriteOptions};
use futures::TryStreamExt;
use iceberg::spec::DataFile;
use serde::Serialize;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

/// Failpoint: the files of a group are written, nothing refers to them yet.
pub const FAIL_AFTER_GROUP: &str = "maintain.after_group";

/// A file below this share of the target size is rewritten, together with others.
const SMALL_SHARE: f64 = 0.75;
/// Merged files come into the next tier when this many of one tier are merged.
const TIER_FACTOR: u64 = 8;
const TIER_BYTES_MIN: u64 = 256 << 10;

/// What to compact.
#[derive(Debug, Clone)]
pub struct CompactOptions {
    pub run_id: RunId,
    /// Files are written at about this size.
    pub target_file_bytes: u64,
    pub effort: Effort,
    /// Says what would be done; writes nothing.
    pub dry_run: bool,
}

/// How much of a table is rewritten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effort {
    /// Every file that is too small or has too many deleted rows.
    Full,
    /// Files of about one size, once there are this many of them, and files with many deleted rows; no more than
    /// `bytes_max` are written in one run. Files of half of that, or of half the target size, are merged no further.
    /// Merging by size rewrites a row a few times in its life, however many commits there are.
    Light { files_min: usize, bytes_max: u64 },
}

/// What a compaction did, or with `dry_run` would do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Compacted {
    /// Groups of files rewritten, each in a commit of its own.
    pub groups: u64,
    /// Groups given up because another writer replaced their files meanwhile.
    pub groups_superseded: u64,
    pub files_before: u64,
    /// Unknown in a dry run.
    pub files_after: u64,
    pub bytes_before: u64,
    pub bytes_after: u64,
    /// Deleted rows that left the files.
    pub rows_purged: u64,
    /// Rows written.
    pub rows: u64,
}

impl LakeTable {
    /// Rewrites small files and files with many deleted rows; see the module head. The rows of the table, its
    /// checkpoint and its tags stay what they are. An error leaves the groups finished before it committed. One that is
    /// about the files of a group is answered once the other groups are done.
    pub async fn compact(&mut self, options: &CompactOptions) -> Result<Compacted> {
        self.check_writable()?;
        let mut done = Compacted::default();
        let mut failure = None;
        let order = Order::of(self)?;
        for group in self.groups(options, &order).await? {
            done.files_before += group.inputs.len() as u64;
            let bytes = group
                .inputs
                .iter()
                .map(|i| i.live.file.file_size_in_bytes());
            done.bytes_before += bytes.sum::<u64>();
            done.rows_purged += group.inputs.iter().map(|i| i.deleted.len()).sum::<u64>();
            if options.dry_run {
                done.groups += 1;
                continue;
            }
            // The commit of the group before may have met a version with other columns.
            let order = Order::of(self)?;
            let outputs = match self.rewrite(&group, &order, options, RUN_BYTES).await {
                Ok(outputs) => outputs,
                Err(error @ (LakeError::Full { .. } | LakeError::ReadOnly { .. })) => {
                    return Err(error);
                }
                Err(error) if self.still_has(&group).await? => {
                    tracing::debug!(table = %self.name, error = %error, "a group of files is not compacted");
                    failure = failure.or(Some(error));
                    continue;
                }
                // Replaced by another compaction, and removed by an expiry while they were read.
                Err(_) => {
                    done.groups_superseded += 1;
                    continue;
                }
            };
            failpoint::reach(FAIL_AFTER_GROUP);
            let rows: u64 = outputs.iter().map(DataFile::record_count).sum();
            let files = outputs.len() as u64;
            let bytes: u64 = outputs.iter().map(DataFile::file_size_in_bytes).sum();
            if self.replace_files(&group, outputs, options.run_id).await? {
                done.groups += 1;
                done.rows += rows;
                done.files_after += files;
                done.bytes_after += bytes;
            } else {
                tracing::info!(table = %self.name, "another writer replaced files that were being compacted");
                done.groups_superseded += 1;
            }
        }
        failure.map_or(Ok(done), Err)
    }

    /// Whether the newest version has every file of a group.
    async fn still_has(&mut self, group: &Group) -> Result<bool> {
        self.refresh().await?;
        let files = self.files(self.current_snapshot_id()).await?;
        let live = files.by_path();
        let has = |input: &Input| live.contains_key(input.live.file.file_path());
        Ok(group.inputs.iter().all(has))
    }

    /// The files to rewrite, as the options choose them, in groups.
    pub(in crate::lake) async fn groups(
        &self,
        options: &CompactOptions,
        order: &Order,
    ) -> Result<Vec<Group>> {
        let files = self.files(self.current_snapshot_id()).await?;
        let chosen = match options.effort {
            Effort::Full => self.worth_rewriting(&files, options).await?,
            Effort::Light {
                files_min,
                bytes_max,
            } => {
                let target = options.target_file_bytes;
                let picked = tiered(&files, target, files_min, bytes_max);
                return self.light_groups(&files, picked).await;
            }
        };
        packed(chosen, options.target_file_bytes, order, self)
    }

    /// Small files, and files with many deleted rows.
    async fn worth_rewriting(&self, files: &Files, options: &CompactOptions) -> Result<Vec<Input>> {
        let small = (options.target_file_bytes as f64 * SMALL_SHARE) as u64;
        let mut index = DeleteIndex::default();
        let mut chosen = Vec::new();
        for live in &files.data {
            let deleted = index.of(&self.store, files, live).await?;
            let input = Input {
                live: live.clone(),
                deleted,
            };
            if input.live_bytes() < small || !input.is_mostly_live() {
                chosen.push(input);
            }
        }
        Ok(chosen)
    }

    async fn light_groups(
        &self,
        files: &Files,
        picked: Vec<Vec<Arc<LiveFile>>>,
    ) -> Result<Vec<Group>> {
        let mut index = DeleteIndex::default();
        let mut groups = Vec::with_capacity(picked.len());
        for picked in picked {
            let mut inputs = Vec::with_capacity(picked.len());
            for live in picked {
                let deleted = index.of(&self.store, files, &live).await?;
                inputs.push(Input { live, deleted });
            }
            // One file is only rewritten for its deleted rows, which were estimated so far.
            if inputs.len() > 1 || !inputs.iter().all(Input::is_mostly_live) {
                groups.push(Group { inputs });
            }
        }
        Ok(groups)
    }

    /// Writes the live rows of a group into new files that nothing refers to yet. After an error nothing is left.
    pub(in crate::lake) async fn rewrite(
        &self,
        group: &Group,
        order: &Order,
        options: &CompactOptions,
        run_bytes: usize,
    ) -> Result<Vec<DataFile>> {
        let write = WriteOptions {
            target_file_bytes: options.target_file_bytes,
            ..WriteOptions::new(WriteMode::Upsert, options.run_id)
        };
        let mut output = Output::new(self, &write, group.live_bytes())?;
        let mut sorter = Sorter::new(self, order, &write, run_bytes);
        let read = self.read_group(group, &mut sorter, &mut output).await;
        let sorted = match read {
            Ok(()) => sorter.finish(&mut output).await,
            Err(error) => {
                sorter.discard().await;
                Err(error)
            }
        };
        let finished = match sorted {
            Ok(()) => output.finish().await,
            Err(error) => Err(error),
        };
        let expected: u64 = group
            .inputs
            .iter()
            .map(|input| input.live.file.record_count() - input.deleted.len())
            .sum();
        let error = match finished {
            Ok(()) if output.rows == expected => return Ok(output.files),
            Ok(()) => LakeError::CommitOutdated {
                table: self.name.clone(),
                reason: format!(
                    "{expected} rows were to be rewritten, but its files gave {}",
                    output.rows
                ),
            },
            Err(error) => error,
        };
        output.abandon().await;
        Err(error)
    }

    async fn read_group(
        &self,
        group: &Group,
        sorter: &mut Sorter<'_>,
        output: &mut Output,
    ) -> Result<()> {
        let fields: Vec<usize> = (0..self.shape.schema.fields.len()).collect();
        for input in &group.inputs {
            let (store, shape) = (&self.store, self.shape.clone());
            let open = OpenFile::open(store, shape, &input.live.file, true).await?;
            let mut rows = open.read(&fields, &Wanted::Except(&input.deleted))?;
            while let Some((batch, _)) = rows.try_next().await? {
                if batch.num_rows() > 0 {
                    sorter.add(batch, output).await?;
                }
            }
        }
        Ok(())
    }
}

/// Files in the order of their first key, packed into groups of about one target file. A group that would only copy
/// one file is left out.
fn packed(chosen: Vec<Input>, target: u64, order: &Order, table: &LakeTable) -> Result<Vec<Group>> {
    let files: Vec<&StoredFile> = chosen.iter().map(|input| &input.live.file).collect();
    let lowest = match order.first_field() {
        Some(field) => lowest(&files, &table.shape, field)?,
        None => vec![None; files.len()],
    };
    let mut chosen: Vec<(Option<Vec<u8>>, Input)> = lowest.into_iter().zip(chosen).collect();
    chosen.sort_by(|(low, a), (other, b)| {
        let bounds = low.cmp(other);
        bounds.then_with(|| arrival(&a.live).cmp(&arrival(&b.live)))
    });
    let chosen = chosen.into_iter().map(|(_, input)| input);
    let mut groups = Vec::new();
    let mut inputs: Vec<Input> = Vec::new();
    let mut bytes = 0;
    for input in chosen {
        if bytes + input.live_bytes() > target && !inputs.is_empty() {
            groups.push(Group {
                inputs: std::mem::take(&mut inputs),
            });
            bytes = 0;
        }
        bytes += input.live_bytes();
        inputs.push(input);
    }
    groups.push(Group { inputs });
    groups.retain(|group| match group.inputs.as_slice() {
        [] => false,
        [only] => !only.is_mostly_live(),
        [_, _, ..] => true,
    });
    Ok(groups)
}

fn arrival(live: &LiveFile) -> (i64, &str) {
    (live.sequence_number, live.file.file_path())
}

/// What a run does along the way: the files of a tier of sizes that has become full, and single files with many
/// deleted rows; smallest first, up to `bytes_max`. Counts of deleted rows are those of the manifests.
///
/// Of a full tier that does not fit, those that do are merged if the file that comes of them is not small any more. Two
/// small files always fit, and as many as fit are enough for that, so nothing stays small for good.
fn tiered(files: &Files, target: u64, files_min: usize, bytes_max: u64) -> Vec<Vec<Arc<LiveFile>>> {
    let small = target.min(bytes_max) / 2;
    let mut tiers: BTreeMap<u32, Vec<Arc<LiveFile>>> = BTreeMap::new();
    for live in &files.data {
        let bytes = live.file.file_size_in_bytes();
        if bytes < small {
            tiers.entry(tier(bytes)).or_default().push(live.clone());
        }
    }
    let mut left = bytes_max;
    let mut picked: Vec<Vec<Arc<LiveFile>>> = Vec::new();
    for mut tier in tiers.into_values() {
        if tier.len() < files_min.max(2) {
            continue;
        }
        tier.sort_by(|a, b| arrival(a).cmp(&arrival(b)));
        let mut bytes = 0;
        tier.retain(|live| {
            let more = bytes + live.file.file_size_in_bytes();
            bytes = if more <= left { more } else { bytes };
            more <= left
        });
        if tier.len() >= files_min.max(2) || tier.len() > 1 && bytes >= small {
            left -= bytes;
            picked.push(tier);
        }
    }
    let merged: HashSet<&str> = (picked.iter().flatten())
        .map(|live| live.file.file_path())
        .collect();
    let dead = |live: &LiveFile| -> u64 {
        let deletes = files.own_deletes(live.file.file_path());
        deletes.map(|delete| delete.file.record_count()).sum()
    };
    let is_heavy = |live: &&Arc<LiveFile>| {
        let most = live.file.record_count() as f64 * DEAD_SHARE;
        !merged.contains(live.file.file_path()) && dead(live) as f64 >= most
    };
    let heavy = files.data.iter().filter(is_heavy);
    let heavy = heavy.map(|live| (live_bytes(&live.file, dead(live)), live.clone()));
    let mut heavy: Vec<(u64, Arc<LiveFile>)> = heavy.collect();
    heavy.sort_by_key(|(bytes, _)| *bytes);
    for (bytes, live) in heavy {
        if bytes > left {
            break;
        }
        left -= bytes;
        picked.push(vec![live]);
    }
    picked
}

fn tier(bytes: u64) -> u32 {
    let mut tier = 0;
    let mut limit = TIER_BYTES_MIN;
    while bytes >= limit && limit < u64::MAX / TIER_FACTOR {
        limit *= TIER_FACTOR;
        tier += 1;
    }
    tier
}
