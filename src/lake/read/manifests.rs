//! The files of a snapshot: reading and writing manifests and manifest lists.

use crate::lake::error::{LakeError, Result};
use crate::lake::store::Store;
use crate::schema::TableName;
use bytes::Bytes;
use iceberg::io::FileIO;
use iceberg::spec::{
    DataContentType, DataFile, DataFileFormat, FormatVersion, Manifest, ManifestContentType,
    ManifestFile, ManifestList, ManifestListWriter, ManifestWriter, ManifestWriterBuilder,
    TableMetadata,
};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// A live file of a snapshot, with what must be preserved when its manifest is rewritten.
#[derive(Debug, Clone)]
pub(in crate::lake) struct LiveFile {
    pub(in crate::lake) file: DataFile,
    pub(in crate::lake) sequence_number: i64,
    pub(in crate::lake) file_sequence_number: i64,
    pub(in crate::lake) snapshot_id: i64,
    /// Position in [`Files::manifests`].
    pub(in crate::lake) manifest: usize,
}

/// The live files of one snapshot; empty before the first.
#[derive(Debug, Default)]
pub(in crate::lake) struct Files {
    pub(in crate::lake) manifests: Vec<ManifestFile>,
    pub(in crate::lake) data: Vec<Arc<LiveFile>>,
    pub(in crate::lake) deletes: Vec<Arc<LiveFile>>,
    /// Delete files (positions in `deletes`) by the one data file they refer to.
    deletes_of: HashMap<String, Vec<usize>>,
    /// Delete files that may refer to any data file.
    deletes_of_many: Vec<usize>,
}

impl Files {
    /// Reads the manifests of a snapshot; refuses deletes that this build cannot apply.
    pub(in crate::lake) async fn of(
        store: &Store,
        table: &TableName,
        metadata: &TableMetadata,
        snapshot_id: Option<i64>,
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
        let list = ManifestList::parse_with_version(&bytes, metadata.format_version())
            .map_err(LakeError::iceberg("read", list))?;
        let mut files = Files {
            manifests: list.consume_entries().into_iter().collect(),
            ..Files::default()
        };
        for at in 0..files.manifests.len() {
            for live in read_manifest(store, &files.manifests[at], at).await? {
                let live = Arc::new(live);
                match live.file.content_type() {
                    DataContentType::Data if live.file.file_format() != DataFileFormat::Parquet => {
                        return Err(LakeError::UnsupportedTable {
                            table: table.clone(),
                            reason: format!("`{}` is no Parquet file", live.file.file_path()),
                        });
                    }
                    DataContentType::Data => files.data.push(live),
                    DataContentType::PositionDeletes => files.deletes.push(live),
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
        files.index_deletes(table)?;
        Ok(files)
    }

    fn index_deletes(&mut self, table: &TableName) -> Result<()> {
        for (at, delete) in self.deletes.iter().enumerate() {
            if delete.file.file_format() != DataFileFormat::Parquet {
                return Err(LakeError::UnsupportedDeletes {
                    table: table.clone(),
                    path: delete.file.file_path().to_owned(),
                    what: "deletion vectors",
                });
            }
            match target_of(&delete.file) {
                Some(path) => self.deletes_of.entry(path).or_default().push(at),
                None => self.deletes_of_many.push(at),
            }
        }
        Ok(())
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

    pub(in crate::lake) fn by_path(&self) -> HashMap<&str, &Arc<LiveFile>> {
        self.data
            .iter()
            .map(|live| (live.file.file_path(), live))
            .collect()
    }

    /// Rows of the data files, deleted ones included.
    pub(in crate::lake) fn rows_written(&self) -> u64 {
        self.data.iter().map(|live| live.file.record_count()).sum()
    }
}

/// Field ids reserved by the specification for position delete files.
pub(in crate::lake) const DELETE_PATH_ID: i32 = 2_147_483_546;
pub(in crate::lake) const DELETE_POS_ID: i32 = 2_147_483_545;

/// The one data file that a position delete file refers to, if it says so.
fn target_of(delete: &DataFile) -> Option<String> {
    delete.referenced_data_file().or_else(|| {
        let lower = delete.lower_bounds().get(&DELETE_PATH_ID)?;
        let upper = delete.upper_bounds().get(&DELETE_PATH_ID)?;
        match (lower.literal(), lower == upper) {
            (iceberg::spec::PrimitiveLiteral::String(path), true) => Some(path.clone()),
            _ => None,
        }
    })
}

async fn read_manifest(store: &Store, manifest: &ManifestFile, at: usize) -> Result<Vec<LiveFile>> {
    let bytes = store.read(&manifest.manifest_path).await?;
    let parsed = Manifest::parse_avro(&bytes)
        .map_err(LakeError::iceberg("read", &manifest.manifest_path))?;
    let (entries, _) = parsed.into_parts();
    let live = entries.into_iter().filter(|entry| entry.is_alive());
    Ok(live
        .map(|entry| {
            let entry = Arc::unwrap_or_clone(entry);
            // Inheritance: an added file carries no numbers of its own until its commit has succeeded.
            LiveFile {
                sequence_number: entry.sequence_number.unwrap_or(manifest.sequence_number),
                file_sequence_number: entry
                    .file_sequence_number
                    .unwrap_or(manifest.sequence_number),
                snapshot_id: entry.snapshot_id.unwrap_or(manifest.added_snapshot_id),
                file: entry.data_file,
                manifest: at,
            }
        })
        .collect())
}

/// One entry of a manifest to be written.
pub(in crate::lake) enum Entry<'a> {
    Added(&'a DataFile),
    Existing(&'a LiveFile),
    Deleted(&'a LiveFile),
}

/// Writes the manifests of one commit attempt.
pub(in crate::lake) struct ManifestOutput<'a> {
    pub(in crate::lake) store: &'a Store,
    pub(in crate::lake) metadata: &'a TableMetadata,
    pub(in crate::lake) location: &'a str,
    pub(in crate::lake) snapshot_id: i64,
    pub(in crate::lake) sequence_number: i64,
    /// What this attempt has written, to be removed when it fails.
    pub(in crate::lake) written: Vec<String>,
}

impl ManifestOutput<'_> {
    /// Writes one manifest of data files or of delete files.
    pub(in crate::lake) async fn manifest(
        &mut self,
        content: ManifestContentType,
        entries: impl IntoIterator<Item = Entry<'_>>,
    ) -> Result<ManifestFile> {
        let uri = format!(
            "{}/metadata/{}-m{}.avro",
            self.location,
            uuid::Uuid::now_v7().simple(),
            self.written.len()
        );
        let memory = FileIO::new_with_memory();
        let failed = || LakeError::iceberg("write", uri.clone());
        let output = memory.new_output("memory:/manifest").map_err(failed())?;
        let builder = ManifestWriterBuilder::new(
            output,
            Some(self.snapshot_id),
            self.metadata.current_schema().clone(),
            self.metadata.default_partition_spec().as_ref().clone(),
        );
        let mut writer = match content {
            ManifestContentType::Data => builder.build_v2_data(),
            ManifestContentType::Deletes => builder.build_v2_deletes(),
        };
        for entry in entries {
            add_entry(&mut writer, entry).map_err(failed())?;
        }
        let mut manifest = writer.write_manifest_file().await.map_err(failed())?;
        let bytes = read_memory(&memory, "memory:/manifest")
            .await
            .map_err(failed())?;
        self.store.write_new(&uri, bytes).await?;
        self.written.push(uri.clone());
        manifest.manifest_path = uri;
        Ok(manifest)
    }

    /// Writes the manifest list and returns its location.
    pub(in crate::lake) async fn list(
        &mut self,
        parent: Option<i64>,
        manifests: Vec<ManifestFile>,
    ) -> Result<String> {
        let uri = format!(
            "{}/metadata/snap-{}-{}.avro",
            self.location,
            self.snapshot_id,
            uuid::Uuid::now_v7().simple()
        );
        let memory = FileIO::new_with_memory();
        let write = async || -> iceberg::Result<Bytes> {
            let output = memory.new_output("memory:/list")?.writer().await?;
            let mut writer =
                ManifestListWriter::v2(output, self.snapshot_id, parent, self.sequence_number);
            writer.add_manifests(manifests.into_iter())?;
            writer.close().await?;
            read_memory(&memory, "memory:/list").await
        };
        let bytes = write()
            .await
            .map_err(LakeError::iceberg("write", uri.clone()))?;
        self.store.write_new(&uri, bytes).await?;
        self.written.push(uri.clone());
        Ok(uri)
    }
}

async fn read_memory(memory: &FileIO, path: &str) -> iceberg::Result<Bytes> {
    memory.new_input(path)?.read().await
}

fn add_entry(writer: &mut ManifestWriter, entry: Entry<'_>) -> iceberg::Result<()> {
    match entry {
        // A negative number leaves it empty: readers inherit the snapshot's.
        Entry::Added(file) => writer.add_file(file.clone(), -1),
        Entry::Existing(live) => writer.add_existing_file(
            live.file.clone(),
            live.snapshot_id,
            live.sequence_number,
            Some(live.file_sequence_number),
        ),
        Entry::Deleted(live) => writer.add_delete_file(
            live.file.clone(),
            live.sequence_number,
            Some(live.file_sequence_number),
        ),
    }
}

/// The manifests of the next snapshot: those of `base` that lose no file are reused as they are, the others are
/// rewritten without the `gone` files (which they list as deleted), and `added` files get one manifest for each
/// content.
pub(in crate::lake) async fn next_manifests(
    output: &mut ManifestOutput<'_>,
    base: &Files,
    gone: &HashSet<&str>,
    added_data: &[DataFile],
    added_deletes: &[DataFile],
) -> Result<Vec<ManifestFile>> {
    let mut manifests = Vec::new();
    for (content, files) in [
        (ManifestContentType::Data, added_data),
        (ManifestContentType::Deletes, added_deletes),
    ] {
        if !files.is_empty() {
            let entries = files.iter().map(Entry::Added);
            manifests.push(output.manifest(content, entries).await?);
        }
    }
    let mut live: HashMap<usize, Vec<&LiveFile>> = HashMap::new();
    for file in base.data.iter().chain(&base.deletes) {
        live.entry(file.manifest).or_default().push(file);
    }
    let mut kept = Vec::new();
    for (at, manifest) in base.manifests.iter().enumerate() {
        // A manifest that only says what an earlier snapshot deleted has nothing to carry forward.
        let Some(files) = live.get(&at) else { continue };
        if files
            .iter()
            .any(|live| gone.contains(live.file.file_path()))
        {
            let entries = files.iter().map(|live| {
                if gone.contains(live.file.file_path()) {
                    Entry::Deleted(live)
                } else {
                    Entry::Existing(live)
                }
            });
            manifests.push(output.manifest(manifest.content, entries).await?);
        } else {
            kept.push(at);
        }
    }
    for content in [ManifestContentType::Data, ManifestContentType::Deletes] {
        let of_content = |at: &usize| base.manifests[*at].content == content;
        let kept: Vec<usize> = kept.iter().copied().filter(of_content).collect();
        if kept.len() < MANIFESTS_MAX {
            manifests.extend(kept.iter().map(|&at| base.manifests[at].clone()));
        } else {
            let files = kept
                .iter()
                .flat_map(|at| live.get(at).into_iter().flatten());
            let entries = files.map(|live| Entry::Existing(live));
            manifests.push(output.manifest(content, entries).await?);
        }
    }
    Ok(manifests)
}

/// With this many manifests of one content carried forward, a commit merges them into one.
const MANIFESTS_MAX: usize = 100;

/// Whether this build writes to the table.
pub(in crate::lake) fn check_writable(table: &TableName, metadata: &TableMetadata) -> Result<()> {
    let reason = if metadata.format_version() != FormatVersion::V2 {
        format!(
            "it has format version {}, icesync writes version 2",
            metadata.format_version()
        )
    } else if !metadata.default_partition_spec().is_unpartitioned() {
        "it is partitioned, which this version does not write".to_owned()
    } else {
        return Ok(());
    };
    Err(LakeError::UnsupportedTable {
        table: table.clone(),
        reason,
    })
}
