//! The files of a snapshot.
//!
//! Manifests are read side by side, each as a stream of entries, and kept in a compact form
//! ([`StoredFile`](crate::lake::read::entries::StoredFile)) that holds bounds of few columns and of no
//! others. What was read of a manifest is kept for the process: the next snapshot shares nearly all of them.

use crate::lake::error::{LakeError, Result};
use crate::lake::read::avro;
use crate::lake::read::entries::{ManifestReader, Status, StoredFile, damaged};
use crate::lake::store::Store;
use crate::schema::TableName;
use futures::{StreamExt, TryStreamExt, stream};
use iceberg::spec::{DataContentType, ManifestFile, ManifestList, TableMetadata};
use std::collections::{HashMap, HashSet};
use std::num::NonZero;
use std::sync::Arc;
use std::thread::available_parallelism;

/// A live file of a snapshot.
#[derive(Debug, Clone)]
pub(in crate::lake) struct LiveFile {
    pub(in crate::lake) file: StoredFile,
    pub(in crate::lake) sequence_number: i64,
    /// URI of the manifest that lists it.
    pub(in crate::lake) manifest: Arc<str>,
}

/// The live files of one snapshot; empty before the first.
#[derive(Debug, Default)]
pub(in crate::lake) struct Files {
    pub(in crate::lake) manifests: Vec<ManifestFile>,
    pub(in crate::lake) data: Vec<Arc<LiveFile>>,
    pub(in crate::lake) deletes: Vec<Arc<LiveFile>>,
    /// Delete files (positions in `deletes`) by the one data file they refer to.
    deletes_of: HashMap<Arc<str>, Vec<usize>>,
    /// Delete files that may refer to any data file.
    deletes_of_many: Vec<usize>,
}

/// Manifests read at once: each takes a thread and one file in memory.
const MANIFESTS_AT_ONCE: usize = 4;

impl Files {
    /// Reads the manifests of a snapshot; refuses deletes that this build cannot apply. `bounded`
    /// are the field ids of the columns whose bounds are kept.
    pub(in crate::lake) async fn of(
        store: &Store,
        table: &TableName,
        metadata: &TableMetadata,
        snapshot_id: Option<i64>,
        bounded: &[i32],
    ) -> Result<Self> {
        let Some(snapshot_id) = snapshot_id else {
            return Ok(Self::default());
        };
        let snapshot =
            metadata
                .snapshot_by_id(snapshot_id)
                .ok_or_else(|| LakeError::SnapshotNotFound {
                    table: table.clone(),
                    wanted: snapshot_id.to_string(),
                    available: format!("{} others", metadata.snapshots().len()),
                })?;
        let list = snapshot.manifest_list();
        let bytes = store.read(list).await?;
        avro::check(&bytes).map_err(damaged(list))?;
        let list = ManifestList::parse_with_version(&bytes, metadata.format_version())
            .map_err(LakeError::iceberg("read", list))?;
        let mut files = Files {
            manifests: list.consume_entries().into_iter().collect(),
            ..Files::default()
        };
        let cores = available_parallelism().map_or(1, NonZero::get);
        let reads = files
            .manifests
            .iter()
            .map(|manifest| manifest_files(store, manifest, bounded));
        let mut read =
            stream::iter(reads.collect::<Vec<_>>()).buffered(cores.min(MANIFESTS_AT_ONCE));
        while let Some(manifest) = read.try_next().await? {
            for live in &manifest.files {
                match live.file.content_type() {
                    DataContentType::Data if !live.file.is_parquet() => {
                        return Err(LakeError::UnsupportedTable {
                            table: table.clone(),
                            reason: format!(
                                "its data file `{}` is no Parquet file. Rewrite it as Parquet with \
                                 the engine that wrote it (property `write.format.default`)",
                                live.file.file_path()
                            ),
                        });
                    }
                    DataContentType::Data => files.data.push(live.clone()),
                    DataContentType::PositionDeletes if !live.file.is_parquet() => {
                        return Err(LakeError::UnsupportedDeletes {
                            table: table.clone(),
                            path: live.file.file_path().to_owned(),
                            what: "deletion vectors or other deletes that are no Parquet file",
                        });
                    }
                    DataContentType::PositionDeletes => files.deletes.push(live.clone()),
                    DataContentType::EqualityDeletes => {
                        return Err(LakeError::UnsupportedDeletes {
                            table: table.clone(),
                            path: live.file.file_path().to_owned(),
                            what: "equality deletes",
                        });
                    }
                }
            }
        }
        drop(read);
        files.index_deletes();
        Ok(files)
    }

    fn index_deletes(&mut self) {
        for (at, delete) in self.deletes.iter().enumerate() {
            match delete.file.target() {
                Some(path) => self.deletes_of.entry(path.clone()).or_default().push(at),
                None => self.deletes_of_many.push(at),
            }
        }
    }

    /// Some of the data files, and the delete files that apply to them: what reading their rows takes.
    pub(in crate::lake) fn only(&self, data: &[Arc<LiveFile>]) -> Self {
        let mut only = Self {
            data: data.to_vec(),
            ..Self::default()
        };
        let mut known = HashSet::new();
        for delete in data.iter().flat_map(|live| self.deletes_for(live)) {
            if known.insert(delete.file.file_path()) {
                only.deletes.push(delete.clone());
            }
        }
        only.index_deletes();
        only
    }

    /// The delete files that apply to a data file.
    pub(in crate::lake) fn deletes_for<'a>(
        &'a self,
        data: &'a LiveFile,
    ) -> impl Iterator<Item = &'a Arc<LiveFile>> + 'a {
        let own = self.deletes_of.get(data.file.file_path());
        own.into_iter()
            .flatten()
            .chain(&self.deletes_of_many)
            .map(|&at| &self.deletes[at])
            .filter(|delete| delete.sequence_number >= data.sequence_number)
    }

    /// The delete files that refer to this data file and to no other.
    pub(in crate::lake) fn own_deletes(&self, path: &str) -> impl Iterator<Item = &Arc<LiveFile>> {
        let own = self.deletes_of.get(path);
        own.into_iter().flatten().map(|&at| &self.deletes[at])
    }

    /// The delete files that may refer to any data file.
    pub(in crate::lake) fn deletes_of_many(&self) -> impl Iterator<Item = &Arc<LiveFile>> {
        self.deletes_of_many.iter().map(|&at| &self.deletes[at])
    }

    /// The data files by path. Of one that is listed more than once, the entry that the fewest deletes apply to.
    pub(in crate::lake) fn by_path(&self) -> HashMap<&str, &Arc<LiveFile>> {
        let mut files: HashMap<&str, &Arc<LiveFile>> = HashMap::with_capacity(self.data.len());
        for live in &self.data {
            let known = files.entry(live.file.file_path()).or_insert(live);
            if known.sequence_number < live.sequence_number {
                *known = live;
            }
        }
        files
    }

    /// Paths of the data files that are listed more than once, as where another engine repeated a commit. A reader
    /// gets their rows as often.
    pub(in crate::lake) fn repeated(&self) -> HashSet<&str> {
        let mut known = HashSet::with_capacity(self.data.len());
        let paths = self.data.iter().map(|live| live.file.file_path());
        paths.filter(|&path| !known.insert(path)).collect()
    }

    /// Rows of the data files, deleted ones included.
    pub(in crate::lake) fn rows_written(&self) -> u64 {
        let rows = self.data.iter().map(|live| live.file.record_count());
        rows.fold(0, u64::saturating_add)
    }
}

/// The paths that a manifest lists as deleted, or those that it lists as live.
pub(in crate::lake) async fn paths_in(
    store: &Store,
    manifest: &str,
    deleted: bool,
) -> Result<Vec<String>> {
    let bytes = store.read(manifest).await?;
    let collect = || {
        let mut paths = Vec::new();
        ManifestReader::open(&bytes, &[])?.for_each(|entry| {
            if (entry.status == Status::Deleted) == deleted {
                paths.push(entry.file.path.to_owned());
            }
            Ok(())
        })?;
        Ok(paths)
    };
    collect().map_err(damaged(manifest))
}

/// The live files of one manifest.
struct ManifestFiles {
    /// The columns whose bounds are kept.
    bounded: Vec<i32>,
    files: Vec<Arc<LiveFile>>,
}

async fn manifest_files(
    store: &Store,
    manifest: &ManifestFile,
    bounded: &[i32],
) -> Result<Arc<ManifestFiles>> {
    let uri = manifest.manifest_path.as_str();
    let known = store.cache().get::<ManifestFiles>(uri);
    if let Some(known) = known.filter(|known| known.bounded == bounded) {
        return Ok(known);
    }
    let bytes = store.read(uri).await?;
    let (inherited, bounded) = (manifest.sequence_number, bounded.to_vec());
    let name: Arc<str> = uri.into();
    let parse = move || live_files(&bytes, &name, inherited, bounded).map_err(damaged(&name));
    let thread = tokio::task::spawn_blocking(parse);
    let read = thread.await.map_err(|_| LakeError::Thread {
        action: "reads manifests",
    })??;
    let memory = read.files.iter().map(|live| live.file.memory()).sum();
    let read = Arc::new(read);
    store.cache().put(uri, read.clone(), memory);
    Ok(read)
}

fn live_files(
    bytes: &[u8],
    manifest: &Arc<str>,
    inherited: i64,
    bounded: Vec<i32>,
) -> std::result::Result<ManifestFiles, String> {
    let mut files = Vec::new();
    let mut reader = ManifestReader::open(bytes, &bounded)?;
    let identities = reader.identities()?;
    reader.for_each(|entry| {
        if entry.status != Status::Deleted {
            let file = entry.file.stored()?;
            let constants = identities.constants(entry.file.partition)?;
            files.push(Arc::new(LiveFile {
                // An added file carries no number of its own until its commit has succeeded.
                sequence_number: entry.sequence_number.unwrap_or(inherited),
                file: file.with_constants(constants),
                manifest: manifest.clone(),
            }));
        }
        Ok(())
    })?;
    files.shrink_to_fit();
    Ok(ManifestFiles { bounded, files })
}
