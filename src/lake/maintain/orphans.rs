//! Orphans: files in a table's folder that nothing refers to, left by runs that were killed.
//!
//! A file is removed when all of this holds:
//!
//! - nothing names it: no snapshot of the table (manifest lists, manifests, data and delete files), no statistics, no
//!   ledger of a first read under way (its lists and the files in them), and for a metadata file neither the current
//!   version nor its log. Names are compared however the [folder is spelled](super::names);
//! - it was last written longer ago than `age`. Files of a run under way are named by nothing yet, so `age` must be
//!   longer than the longest run. The time is that of the file system, which gives files their times: a new file says
//!   what it is now. A machine whose own clock is ahead of it removes nothing earlier for that;
//! - it is of a kind that a writer of tables leaves: Parquet, Avro, Puffin, ORC, a temporary file, a checksum,
//!   an old `v<number>.metadata.json`, or a metadata file under the temporary name of another engine;
//! - no link leads to it from the table's folder. What is behind a link may be of others, whom nothing here names.
//!
//! The folder is listed before the table is read, so a file that is committed or put into a ledger after the listing
//! is named by what is read then. If the table moves while its files are collected, they are collected again, even
//! where one could not be read: an expiry beside this one may have removed it. They are collected again as well when
//! the table moves while files are removed: no file is removed by names older than [`NAMES_AGE_MAX`]. What cannot be
//! read otherwise (a damaged manifest, a list of a ledger) ends the search with an error and removes nothing. So do
//! [reasons](super::stay) to remove no file of the table at all, with a warning.

use crate::failpoint;
use crate::lake::catalog::names::is_temporary;
use crate::lake::error::{LakeError, Result};
use crate::lake::maintain::names::Names;
use crate::lake::read::avro;
use crate::lake::read::entries::damaged;
use crate::lake::read::manifests::paths_in;
use crate::lake::store::Listed;
use crate::lake::table::LakeTable;
use iceberg::spec::ManifestList;
use serde::Serialize;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// Failpoint: the folder is listed and the version is chosen, what that names is not read yet.
pub const FAIL_AFTER_LISTING: &str = "maintain.after_listing";
/// Failpoint: one orphan is removed, others are still there.
pub const FAIL_AFTER_ORPHAN: &str = "maintain.after_orphan";

/// Tables that move more often than this during one search are left for the next.
const ATTEMPTS_MAX: usize = 5;
/// Before a removal the table is looked at again when the last look is longer ago than this.
const NAMES_AGE_MAX: Duration = Duration::from_secs(1);
const DATA_KINDS: [&str; 6] = [".parquet", ".avro", ".puffin", ".orc", ".tmp", ".crc"];

/// Which files to look for.
#[derive(Debug, Clone, Copy)]
pub struct OrphanOptions {
    /// Files written after this long ago are left alone.
    pub age: Duration,
    /// Lists them; removes and writes nothing, so that ages are by the local clock.
    pub dry_run: bool,
}

/// The orphaned files of a table.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Orphans {
    pub files: u64,
    pub bytes: u64,
    /// Files that nothing refers to and that are too young to be removed.
    pub young: u64,
    /// The orphaned files.
    pub paths: Vec<String>,
    /// Where nothing was looked for, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

impl LakeTable {
    /// Removes orphaned files; see the module head.
    pub async fn remove_orphans(&mut self, options: &OrphanOptions) -> Result<Orphans> {
        self.remove_orphans_at(options, SystemTime::now()).await
    }

    /// As [`LakeTable::remove_orphans`], by this machine's clock. The earlier of that and the file system's counts.
    pub(in crate::lake) async fn remove_orphans_at(
        &mut self,
        options: &OrphanOptions,
        now: SystemTime,
    ) -> Result<Orphans> {
        let mut orphans = Orphans::default();
        let listed = self.listed(&mut orphans.warnings).await?;
        let now = match options.dry_run {
            // Writes nothing.
            true => now,
            false => now.min(self.clock().await?),
        };
        self.refresh().await?;
        failpoint::reach(FAIL_AFTER_LISTING);
        if let Some(reason) = self.files_must_stay().await? {
            orphans.warnings.push(reason);
            return Ok(orphans);
        }
        let mut named = self.named().await?;
        let mut looked = Instant::now();
        let latest = now.checked_sub(options.age);
        for file in listed {
            if !self.may_be_orphan(&file.uri) || named.has(named_as(&file.uri)) {
                continue;
            }
            if latest.is_none_or(|latest| file.modified > latest) {
                orphans.young += 1;
                continue;
            }
            if !options.dry_run {
                if looked.elapsed() > NAMES_AGE_MAX {
                    named = self.named_since(named).await?;
                    looked = Instant::now();
                    if named.has(named_as(&file.uri)) {
                        continue;
                    }
                }
                self.store.remove(&file.uri).await?;
                failpoint::reach(FAIL_AFTER_ORPHAN);
            }
            orphans.files += 1;
            orphans.bytes += file.bytes;
            orphans.paths.push(file.uri);
        }
        orphans.paths.sort();
        Ok(orphans)
    }

    /// Everything in the table's folder, and warnings of what is elsewhere.
    async fn listed(&self, warnings: &mut Vec<String>) -> Result<Vec<Listed>> {
        let mut listed = Vec::new();
        for directory in ["data", "metadata"] {
            let directory = format!("{}/{directory}", self.location);
            if self
                .store
                .is_behind_link(&self.location, &directory)
                .await?
            {
                warnings.push(self.behind_link(&directory));
                continue;
            }
            listed.extend(self.store.list_files(&directory).await?);
        }
        Ok(listed)
    }

    /// A warning of a directory behind a link.
    pub(in crate::lake) fn behind_link(&self, directory: &str) -> String {
        format!(
            "no file in `{directory}` of lake table {} was removed: a symbolic link leads there, and the place may \
             hold files of others. Use a mount instead of the link, or move the whole warehouse",
            self.name
        )
    }

    /// The file system's time. On a full disk, where no file may be written, it is at least that of the newest file.
    pub(in crate::lake) async fn clock(&self) -> Result<SystemTime> {
        let directory = format!("{}/metadata", self.location);
        match self.store.clock(&directory).await {
            Err(LakeError::Full { .. }) => {
                let newest = self.listed(&mut Vec::new()).await?;
                let newest = newest.iter().map(|file| file.modified).max();
                Ok(newest.unwrap_or(SystemTime::UNIX_EPOCH))
            }
            clock => clock,
        }
    }

    /// The names of this version, or those of the newest one if the table has moved.
    async fn named_since(&mut self, named: Names) -> Result<Names> {
        let before = Arc::clone(&self.version);
        self.refresh().await?;
        match Arc::ptr_eq(&before, &self.version) {
            true => Ok(named),
            false => self.named().await,
        }
    }

    /// Whether a file is of a kind that is looked for. Versions from the current one on are not.
    fn may_be_orphan(&self, uri: &str) -> bool {
        let name = named_as(uri);
        let name = name.rsplit('/').next().unwrap_or(name);
        if let Some((number, _)) = name
            .strip_prefix('v')
            .and_then(|name| name.split_once('.'))
            .filter(|(_, rest)| rest.contains("metadata.json"))
        {
            return number
                .parse()
                .is_ok_and(|number: u64| number < self.version.number);
        }
        if is_temporary(name) {
            return true;
        }
        !name.contains("metadata.json")
            && DATA_KINDS.iter().any(|kind| name.ends_with(kind))
            && !name.starts_with("version-hint")
    }

    /// Everything that the newest version names, directly or not.
    pub(in crate::lake) async fn named(&mut self) -> Result<Names> {
        for _ in 0..ATTEMPTS_MAX {
            let before = Arc::clone(&self.version);
            let names = self.collect_names().await;
            self.refresh().await?;
            // An expiry beside this one removes files while they are read: an error counts when nothing moved.
            if Arc::ptr_eq(&before, &self.version) {
                return names;
            }
        }
        Err(LakeError::CommitConflict {
            table: self.name.clone(),
            attempts: ATTEMPTS_MAX as u32,
        })
    }

    async fn collect_names(&self) -> Result<Names> {
        let mut names = Names::default();
        let metadata = self.metadata();
        names.add(&self.version.uri);
        for entry in metadata.metadata_log() {
            names.add(&entry.metadata_file);
        }
        self.add_statistics(&mut names);
        let mut read: HashSet<String> = HashSet::new();
        for snapshot in metadata.snapshots() {
            let list = snapshot.manifest_list();
            names.add(list);
            let bytes = self.store.read(list).await?;
            avro::check(&bytes).map_err(damaged(list))?;
            let list = ManifestList::parse_with_version(&bytes, metadata.format_version())
                .map_err(LakeError::iceberg("read", list))?;
            for manifest in list.consume_entries() {
                let path = manifest.manifest_path;
                names.add(&path);
                if !read.insert(path.clone()) {
                    continue;
                }
                for live in paths_in(&self.store, &path, false).await? {
                    names.add(&live);
                }
            }
        }
        self.add_ledger(&mut names).await?;
        Ok(names)
    }

    pub(in crate::lake) fn add_statistics(&self, names: &mut Names) {
        for statistics in self.metadata().statistics_iter() {
            names.add(&statistics.statistics_path);
        }
        for statistics in self.metadata().partition_statistics_iter() {
            names.add(&statistics.statistics_path);
        }
    }

    /// The lists of a ledger, and the files in them.
    pub(in crate::lake) async fn add_ledger(&self, names: &mut Names) -> Result<()> {
        let Some(ledger) = self.checkpoint()?.and_then(|found| found.backfill) else {
            return Ok(());
        };
        for list in ledger.lists() {
            names.add(list);
            let Some(files) = self.listed_files(list).await? else {
                continue;
            };
            for file in files {
                names.add(file.file_path());
            }
        }
        Ok(())
    }
}

/// A checksum file belongs to the file that it is about: `.v1.metadata.json.crc` to `v1.metadata.json`.
fn named_as(uri: &str) -> &str {
    let Some((_, name)) = uri.rsplit_once('/') else {
        return uri;
    };
    let about = name
        .strip_prefix('.')
        .and_then(|name| name.strip_suffix(".crc"));
    about.unwrap_or(uri)
}

impl LakeTable {
    /// Whether a URI names a file in a folder of the table, `data` or `metadata`, or below it.
    pub(in crate::lake) fn is_in(&self, uri: &str, folder: &str) -> bool {
        let plain = |uri: &str| -> String {
            let path = uri.strip_prefix("file:").unwrap_or(uri);
            format!("/{}", path.trim_start_matches('/'))
        };
        let location = plain(&self.location);
        let folder = format!("{}/{folder}/", location.trim_end_matches('/'));
        plain(uri).starts_with(&folder) && !uri.contains("/../")
    }
}
