//! Expiry: old snapshots leave the metadata, and files that only they had leave the disk.
//!
//! **What stays.** The current snapshot; every snapshot with a tag or at the head of a branch; the snapshot of the
//! checkpoint and those of the last loads, with everything between them and the current one; and of the rest the newest
//! [`ExpireOptions::snapshots_max`], as far as they are no older than [`ExpireOptions::age`]. The snapshots between a
//! load and the current one let the next load skip compactions. They are not needed for it to be right, so of
//! a target that lags by more than [`LAG_FACTOR`] times `snapshots_max` only the loaded snapshot stays.
//!
//! Of a branch other than `main` those stay that the specification names: as many as its `min-snapshots-to-keep` says,
//! and those younger than its `max-snapshot-age-ms`; where the branch does not say, the table's properties do. What
//! `main` itself asks for in these two fields stays as well.
//!
//! Ages are by this machine's clock or by that of the file system, whichever is earlier: a machine whose clock is ahead
//! expires nothing earlier for that.
//!
//! **What can crash where.** First a metadata version without the snapshots is committed, from a set that is computed
//! anew for each attempt, so a tag that another run sets meanwhile counts. Only then files are removed. A crash in
//! between leaves files that nothing refers to; orphan removal finds them. The newest version is read before the first
//! file is removed. If it lists an expired snapshot again, because another engine has overwritten the version of the
//! expiry, nothing is removed.
//!
//! **Which files go.** Let *S* be the oldest snapshot from which an unbroken line of kept ones leads to the current
//! snapshot. A file that a commit up to *S* removed from the table is in no snapshot from *S* on, and the manifest
//! of that commit lists it as deleted. So files are read off the manifests that expired commits and *S* wrote, which
//! are few and small. They are removed unless a kept snapshot outside the line (an old one with a tag, say) or the
//! current one has them. Manifests go when only expired snapshots of the line list them. Where another engine
//! rolled the table back, snapshots aside from the line are expired without their files; those are left to orphan
//! removal.
//!
//! What a manifest says may be wrong, so only two kinds of files are removed: data and delete files under `data/`, and
//! manifests and lists (`.avro`) under `metadata/`; none that a link leads to. What statistics or the ledger of a
//! first read name stays.
//!
//! **Readers.** A query that began on a snapshot fails when the snapshot's files go before it ends. `age` and
//! `snapshots_max` are the time it has.

use crate::failpoint;
use crate::lake::commit::{ATTEMPTS_MAX, Change, pause};
use crate::lake::error::{LakeError, Result};
use crate::lake::maintain::names::Names;
use crate::lake::read::avro;
use crate::lake::read::entries::damaged;
use crate::lake::read::manifests::{Files, paths_in};
use crate::lake::table::LakeTable;
use iceberg::spec::{ManifestFile, ManifestList, SnapshotRef};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::{Duration, SystemTime};

/// Failpoint: the snapshots have left the metadata, their files are still there.
pub const FAIL_AFTER_EXPIRE: &str = "maintain.after_expire";
/// Failpoint: one file that only expired snapshots had is removed, others are still there.
pub const FAIL_AFTER_EXPIRED_FILE: &str = "maintain.after_expired_file";

/// The tags that a load keeps on the snapshots it has loaded or is loading begin with one of these.
const LOAD_TAGS: [&str; 2] = ["icesync-loaded-", "icesync-loading-"];
/// Of a line longer than this many times `snapshots_max`, the snapshots before are not kept for a load.
const LAG_FACTOR: usize = 4;
const MAIN: &str = "main";

// What the specification says of branches that do not say how long their snapshots are kept.
const BRANCH_SNAPSHOTS_MIN: &str = "history.expire.min-snapshots-to-keep";
const BRANCH_AGE_MS: &str = "history.expire.max-snapshot-age-ms";
const BRANCH_AGE_MS_DEFAULT: i64 = 5 * 24 * 60 * 60 * 1000;

/// Which snapshots to expire.
#[derive(Debug, Clone, Copy)]
pub struct ExpireOptions {
    /// More snapshots than this are expired, the oldest first; at least one stays.
    pub snapshots_max: usize,
    /// Snapshots older than this are expired.
    pub age: Duration,
    /// Snapshots that the current one does not follow from (rolled back, staged, left by an outage of a target) are
    /// expired when they are older than this.
    pub age_beside: Duration,
    /// With fewer than this many to expire, none is. Expiring many at a time costs one commit.
    pub at_least: usize,
    /// Says what would be done; writes nothing.
    pub dry_run: bool,
}

/// What an expiry did, or with `dry_run` would do.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Expired {
    pub snapshots: u64,
    pub snapshots_kept: u64,
    /// Files removed: data, deletes, manifests and manifest lists. Unknown in a dry run.
    pub files: u64,
    /// Why files were left that no snapshot needs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// The references of a table; the library does not list them.
#[derive(Deserialize)]
struct References {
    #[serde(default)]
    refs: BTreeMap<String, Reference>,
}

#[derive(Deserialize)]
struct Reference {
    #[serde(rename = "snapshot-id")]
    snapshot_id: i64,
    #[serde(rename = "type")]
    kind: String,
    #[serde(rename = "min-snapshots-to-keep")]
    snapshots_min: Option<usize>,
    #[serde(rename = "max-snapshot-age-ms")]
    age_ms: Option<i64>,
}

impl LakeTable {
    /// How many snapshots the metadata lists.
    pub fn snapshots_count(&self) -> usize {
        self.metadata().snapshots().len()
    }

    /// Expires snapshots; see the module head.
    pub async fn expire(&mut self, options: &ExpireOptions) -> Result<Expired> {
        self.expire_at(options, SystemTime::now()).await
    }

    /// As [`LakeTable::expire`], by this machine's clock. The earlier of that and the file system's counts.
    pub(in crate::lake) async fn expire_at(
        &mut self,
        options: &ExpireOptions,
        now: SystemTime,
    ) -> Result<Expired> {
        let now = match options.dry_run {
            // Writes nothing.
            true => now,
            false => now.min(self.clock().await?),
        };
        for attempt in 0..ATTEMPTS_MAX {
            self.refresh().await?;
            let expired = self.expirable(options, now)?;
            let done = Expired {
                snapshots: expired.len() as u64,
                snapshots_kept: (self.metadata().snapshots().len() - expired.len()) as u64,
                ..Expired::default()
            };
            if expired.len() < options.at_least.max(1) {
                return Ok(Expired {
                    snapshots: 0,
                    snapshots_kept: done.snapshots_kept + done.snapshots,
                    ..Expired::default()
                });
            }
            if options.dry_run {
                return Ok(done);
            }
            let before = self.clone();
            let change = Change::expire(self, &expired);
            if self.publish(change, None, None).await? {
                failpoint::reach(FAIL_AFTER_EXPIRE);
                return Ok(self.with_files(done, &before, &expired).await);
            }
            pause(attempt).await;
        }
        Err(LakeError::CommitConflict {
            table: self.name.clone(),
            attempts: ATTEMPTS_MAX,
        })
    }

    /// Removes the files of an expiry that is committed, unless the table's files must stay.
    async fn with_files(
        &mut self,
        mut done: Expired,
        before: &Self,
        expired: &BTreeSet<i64>,
    ) -> Expired {
        let removed = async {
            self.refresh().await?;
            if let Some(id) = expired.iter().find(|id| self.has_snapshot(**id)) {
                done.warnings.push(format!(
                    "no file of lake table {} was removed: another writer has put back snapshot {id}, which this \
                     expiry had removed. Run `icesync maintain` again",
                    self.name
                ));
                return Ok(0);
            }
            if let Some(reason) = self.files_must_stay().await? {
                done.warnings.push(reason);
                return Ok(0);
            }
            let warnings = &mut done.warnings;
            self.remove_unreachable(before, expired, warnings).await
        };
        let removed: Result<u64> = removed.await;
        match removed {
            Ok(files) => done.files = files,
            Err(error) => {
                tracing::warn!(table = %self.name, error = %error, "snapshots are expired, but not all of \
                    their files could be removed; `icesync maintain --orphans` removes the rest");
            }
        }
        done
    }

    /// The ids of the snapshots that may go.
    fn expirable(&self, options: &ExpireOptions, now: SystemTime) -> Result<BTreeSet<i64>> {
        let metadata = self.metadata();
        let Some(current) = self.current_snapshot_id() else {
            return Ok(BTreeSet::new());
        };
        let now = chrono::DateTime::<chrono::Utc>::from(now).timestamp_millis();
        let oldest = |age: Duration| {
            let age = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
            now.saturating_sub(age)
        };
        let (oldest, oldest_beside) = (oldest(options.age), oldest(options.age_beside));
        let young = |snapshot: &SnapshotRef| snapshot.timestamp_ms() >= oldest;
        let references = self.references()?;
        let mut kept: HashSet<i64> = HashSet::from([current]);
        for (name, reference) in &references {
            kept.insert(reference.snapshot_id);
            if reference.kind == "branch" {
                kept.extend(self.kept_by(name, reference, now));
            }
        }
        let line = self.line(current);
        let newest = line.iter().take(options.snapshots_max.max(1));
        kept.extend(newest.filter(|at| young(at)).map(|at| at.snapshot_id()));
        let loaded = references
            .iter()
            .filter(|(name, _)| LOAD_TAGS.iter().any(|tag| name.starts_with(tag)));
        let mut compared: HashSet<i64> = loaded.map(|(_, tag)| tag.snapshot_id).collect();
        compared.extend(self.checkpoint()?.and_then(|found| found.snapshot_id));
        let longest = options.snapshots_max.saturating_mul(LAG_FACTOR);
        let recent = line.iter().take(longest);
        let mut last = recent
            .enumerate()
            .filter(|(_, at)| compared.contains(&at.snapshot_id()));
        if let Some((last, _)) = last.next_back() {
            kept.extend(line[..=last].iter().map(|at| at.snapshot_id()));
        }
        kept.extend(compared);
        let line: HashSet<i64> = line.iter().map(|at| at.snapshot_id()).collect();
        let beside = metadata
            .snapshots()
            .filter(|at| !line.contains(&at.snapshot_id()));
        let beside = beside.filter(|at| at.timestamp_ms() >= oldest_beside);
        kept.extend(beside.map(|at| at.snapshot_id()));
        let ids = metadata.snapshots().map(|at| at.snapshot_id());
        Ok(ids.filter(|id| !kept.contains(id)).collect())
    }

    /// The snapshots that a branch asks to keep, by itself or, if it is not `main`, by what holds for all branches.
    fn kept_by(&self, name: &str, branch: &Reference, now: i64) -> Vec<i64> {
        let (mut snapshots_min, mut age_ms) = (branch.snapshots_min, branch.age_ms);
        if name != MAIN {
            snapshots_min = snapshots_min
                .or(self.number(BRANCH_SNAPSHOTS_MIN))
                .or(Some(1));
            age_ms = age_ms
                .or(self.number(BRANCH_AGE_MS))
                .or(Some(BRANCH_AGE_MS_DEFAULT));
        }
        let oldest = age_ms.map(|age| now.saturating_sub(age));
        let line = self.line(branch.snapshot_id).into_iter().enumerate();
        let kept = line.filter(|(at, snapshot)| {
            *at < snapshots_min.unwrap_or(0)
                || oldest.is_some_and(|oldest| snapshot.timestamp_ms() >= oldest)
        });
        kept.map(|(_, snapshot)| snapshot.snapshot_id()).collect()
    }

    fn number<T: std::str::FromStr>(&self, property: &str) -> Option<T> {
        self.property(property)?.trim().parse().ok()
    }

    /// A snapshot and its ancestors as far as the metadata knows them, newest first.
    fn line(&self, from: i64) -> Vec<&SnapshotRef> {
        let mut line = Vec::new();
        let mut next = Some(from);
        while let Some(snapshot) = next.and_then(|id| self.metadata().snapshot_by_id(id))
            && line.len() < self.metadata().snapshots().len()
        {
            next = snapshot.parent_snapshot_id();
            line.push(snapshot);
        }
        line
    }

    fn references(&self) -> Result<BTreeMap<String, Reference>> {
        let corrupt = |source: serde_json::Error| LakeError::MetadataCorrupt {
            path: self.version.uri.clone(),
            source: source.into(),
        };
        let text = serde_json::to_vec(self.metadata()).map_err(corrupt)?;
        let references: References = serde_json::from_slice(&text).map_err(corrupt)?;
        Ok(references.refs)
    }

    /// Removes the files that only the expired snapshots of `before` had; see the module head. Answers how many.
    async fn remove_unreachable(
        &self,
        before: &Self,
        expired: &BTreeSet<i64>,
        warnings: &mut Vec<String>,
    ) -> Result<u64> {
        let Some(current) = before.current_snapshot_id() else {
            return Ok(0);
        };
        let line = before.line(current);
        let kept = |at: &&&SnapshotRef| !expired.contains(&at.snapshot_id());
        let unbroken = line.iter().take_while(kept).count();
        let Some((oldest, gone)) = line.get(unbroken - 1).zip(line.get(unbroken..)) else {
            return Ok(0);
        };
        let mut lists: BTreeSet<String> = BTreeSet::new();
        let mut manifests: HashMap<String, ManifestFile> = HashMap::new();
        for snapshot in gone.iter().filter(|at| expired.contains(&at.snapshot_id())) {
            lists.insert(snapshot.manifest_list().to_owned());
            for manifest in before.manifests(snapshot).await? {
                manifests.insert(manifest.manifest_path.clone(), manifest);
            }
        }
        lists.extend(manifests.keys().cloned());
        let mut wrote: HashSet<i64> = gone.iter().map(|at| at.snapshot_id()).collect();
        wrote.insert(oldest.snapshot_id());
        for manifest in before.manifests(oldest).await? {
            manifests.insert(manifest.manifest_path.clone(), manifest);
        }
        let mut rows: BTreeSet<String> = BTreeSet::new();
        for manifest in manifests.values() {
            if wrote.contains(&manifest.added_snapshot_id) && manifest.has_deleted_files() {
                rows.extend(before.deleted_in(manifest).await?);
            }
        }
        let rows = rows.into_iter().filter(|uri| self.is_in(uri, "data"));
        let lists = lists
            .into_iter()
            .filter(|uri| self.is_in(uri, "metadata") && uri.ends_with(".avro"));
        let keep = self.still_named(&line[..unbroken], oldest).await?;
        let mut files = 0;
        // Directories, and whether a link leads there.
        let mut linked: HashMap<String, bool> = HashMap::new();
        for uri in rows.chain(lists) {
            let directory = uri.rsplit_once('/').map_or("", |(directory, _)| directory);
            if keep.has(&uri) {
                continue;
            }
            let is_linked = match linked.get(directory) {
                Some(&known) => known,
                None => {
                    let found = self.store.is_behind_link(&self.location, directory).await?;
                    if found {
                        warnings.push(self.behind_link(directory));
                    }
                    linked.insert(directory.to_owned(), found);
                    found
                }
            };
            if is_linked {
                continue;
            }
            self.store.discard(&uri).await;
            failpoint::reach(FAIL_AFTER_EXPIRED_FILE);
            files += 1;
        }
        Ok(files)
    }

    /// What may not be removed: the files of the current snapshot, the manifests of the oldest of the line, all that
    /// snapshots beside the line have, statistics, and what a ledger names.
    async fn still_named(&self, line: &[&SnapshotRef], oldest: &SnapshotRef) -> Result<Names> {
        let mut keep = Names::default();
        let on_line: HashSet<i64> = line.iter().map(|at| at.snapshot_id()).collect();
        let current = self.current_snapshot_id();
        for manifest in self.manifests(oldest).await? {
            keep.add(&manifest.manifest_path);
        }
        for snapshot in self.metadata().snapshots() {
            keep.add(snapshot.manifest_list());
            let id = snapshot.snapshot_id();
            if on_line.contains(&id) && Some(id) != current {
                continue;
            }
            let files = self.files(Some(id)).await?;
            keep.add_files(&files);
        }
        self.add_statistics(&mut keep);
        self.add_ledger(&mut keep).await?;
        Ok(keep)
    }

    async fn manifests(&self, snapshot: &SnapshotRef) -> Result<Vec<ManifestFile>> {
        let list = snapshot.manifest_list();
        let bytes = self.store.read(list).await?;
        avro::check(&bytes).map_err(damaged(list))?;
        let list = ManifestList::parse_with_version(&bytes, self.metadata().format_version())
            .map_err(LakeError::iceberg("read", list))?;
        Ok(list.consume_entries().into_iter().collect())
    }

    async fn deleted_in(&self, manifest: &ManifestFile) -> Result<Vec<String>> {
        paths_in(&self.store, &manifest.manifest_path, true).await
    }
}

impl Names {
    /// The manifests and the live files of a snapshot.
    pub(in crate::lake) fn add_files(&mut self, files: &Files) {
        for manifest in &files.manifests {
            self.add(&manifest.manifest_path);
        }
        for live in files.data.iter().chain(&files.deletes) {
            self.add(live.file.file_path());
        }
    }
}
