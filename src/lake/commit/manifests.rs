//! Writing manifests and manifest lists.
//!
//! **What a commit rewrites.** Manifests that lose no file are carried forward by reference. Those that lose one
//! are written again without it, and small ones that are written again share one new manifest. When
//! `commit.manifest.min-count-to-merge` small manifests (100) have gathered, they are merged into manifests of
//! `commit.manifest.target-size-bytes` (8 MB). A manifest of half that size is never merged again, so a commit
//! costs, spread over all commits, what its own files cost.
//!
//! **Entries are copied as bytes.** The record of a file is not decoded: the new manifest has the schema and the
//! header of the old one, and an entry's record follows its new status and its numbers. So counts, bounds, partition
//! values and fields that this version does not know survive exactly, whoever wrote them. The numbers that an
//! added entry inherits are written out, because the new manifest has another sequence number. Entries that have no
//! room for these numbers are [upgraded](crate::lake::commit::upgrade).

use crate::lake::commit::copy::Copying;
use crate::lake::commit::partitions::by_spec;
use crate::lake::error::{LakeError, Result};
use crate::lake::read::entries::damaged;
use crate::lake::read::manifests::Files;
use crate::lake::store::Store;
use crate::lake::table::LakeTable;
use bytes::Bytes;
use iceberg::io::FileIO;
use iceberg::spec::{
    DataFile, FormatVersion, ManifestContentType, ManifestFile, ManifestListWriter,
    ManifestWriterBuilder, TableMetadata,
};
use std::collections::HashSet;
use std::sync::Arc;

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

/// When manifests are merged, and how large they become.
struct Merging {
    enabled: bool,
    target_bytes: i64,
    count_min: usize,
}

impl Merging {
    fn of(metadata: &TableMetadata) -> Self {
        let property = |name: &str| metadata.properties().get(name).map(|text| text.trim());
        let target =
            property("commit.manifest.target-size-bytes").and_then(|text| text.parse().ok());
        let count =
            property("commit.manifest.min-count-to-merge").and_then(|text| text.parse().ok());
        Self {
            enabled: property("commit.manifest-merge.enabled") != Some("false"),
            target_bytes: target.filter(|&bytes| bytes > 0).unwrap_or(8 << 20),
            count_min: count.unwrap_or(100).max(2),
        }
    }

    /// Neighbours of one partition spec that together are no larger than the target.
    fn bins<'m>(&self, manifests: &[&'m ManifestFile]) -> Vec<Vec<&'m ManifestFile>> {
        let mut bins: Vec<(i64, Vec<&ManifestFile>)> = Vec::new();
        for &manifest in manifests {
            let length = manifest.manifest_length;
            match bins.iter_mut().find(|(bytes, bin)| {
                let same = bin.first().map(|first| first.partition_spec_id);
                bytes.saturating_add(length) <= self.target_bytes
                    && same == Some(manifest.partition_spec_id)
            }) {
                Some((bytes, bin)) => {
                    *bytes += length;
                    bin.push(manifest);
                }
                None => bins.push((length, vec![manifest])),
            }
        }
        bins.into_iter().map(|(_, bin)| bin).collect()
    }
}

/// The manifests of the next snapshot: those of `base` that lose no file are reused as they are, the others are
/// rewritten without the `gone` files (which they list as deleted), and `added` files get one manifest for each
/// content, deletes also for each partition spec of their data files.
pub(in crate::lake) async fn next_manifests(
    output: &mut ManifestOutput<'_>,
    base: &Files,
    gone: &HashSet<&str>,
    added_data: &[DataFile],
    added_deletes: &[DataFile],
) -> Result<Vec<ManifestFile>> {
    let merging = Merging::of(output.metadata);
    let mut manifests = output.added(base, added_data, added_deletes).await?;
    let mut live: HashSet<&str> = HashSet::new();
    let mut touched: HashSet<&str> = HashSet::new();
    for file in base.data.iter().chain(&base.deletes) {
        live.insert(&file.manifest);
        if gone.contains(file.file.file_path()) {
            touched.insert(&file.manifest);
        }
    }
    // A manifest that only says what an earlier snapshot deleted has nothing to carry forward.
    let live = base
        .manifests
        .iter()
        .filter(|manifest| live.contains(manifest.manifest_path.as_str()));
    let live: Vec<&ManifestFile> = live.collect();
    let gone: Arc<HashSet<String>> = Arc::new(gone.iter().map(|&path| path.to_owned()).collect());
    for content in [ManifestContentType::Data, ManifestContentType::Deletes] {
        let of_content = live
            .iter()
            .copied()
            .filter(|manifest| manifest.content == content);
        let (changed, kept): (Vec<_>, Vec<_>) =
            of_content.partition(|manifest| touched.contains(manifest.manifest_path.as_str()));
        for bin in merging.bins(&changed) {
            manifests.extend(output.rewritten(&bin, &gone).await?);
        }
        let (small, large): (Vec<_>, Vec<_>) = kept
            .into_iter()
            .partition(|manifest| manifest.manifest_length < merging.target_bytes / 2);
        manifests.extend(large.into_iter().cloned());
        if !merging.enabled || small.len() < merging.count_min {
            manifests.extend(small.into_iter().cloned());
            continue;
        }
        for bin in merging.bins(&small) {
            match bin.as_slice() {
                [alone] => manifests.push((*alone).clone()),
                many => manifests.extend(output.rewritten(many, &gone).await?),
            }
        }
    }
    Ok(manifests)
}

impl ManifestOutput<'_> {
    fn next_uri(&self) -> String {
        let (id, number) = (uuid::Uuid::now_v7().simple(), self.written.len());
        format!("{}/metadata/{id}-m{number}.avro", self.location)
    }

    /// Writes manifests of new files: one for each content, and one for each other partition spec of deletes.
    async fn added(
        &mut self,
        base: &Files,
        added_data: &[DataFile],
        added_deletes: &[DataFile],
    ) -> Result<Vec<ManifestFile>> {
        let mut manifests = Vec::new();
        let default = self.metadata.default_partition_spec_id();
        let (plain, partitioned) = by_spec(self.store, base, added_deletes, default).await?;
        for (content, files) in [
            (ManifestContentType::Data, added_data),
            (ManifestContentType::Deletes, plain.as_slice()),
        ] {
            if !files.is_empty() {
                let (manifest, bytes) = self.encoded(content, files).await?;
                manifests.push(self.put(manifest, bytes).await?);
            }
        }
        for group in &partitioned {
            let content = ManifestContentType::Deletes;
            let (mut manifest, bytes) = self.encoded(content, &group.files).await?;
            let bytes = group.place(&bytes);
            let bytes = Bytes::from(bytes.map_err(damaged(&manifest.manifest_path))?);
            manifest.manifest_length = bytes.len() as i64;
            manifest.partition_spec_id = group.spec_id;
            // The values were not decoded, so there is no summary of them; readers then open the manifest.
            manifest.partitions = None;
            manifests.push(self.put(manifest, bytes).await?);
        }
        Ok(manifests)
    }

    async fn put(&mut self, manifest: ManifestFile, bytes: Bytes) -> Result<ManifestFile> {
        let uri = &manifest.manifest_path;
        self.store.write_new(uri, bytes).await?;
        self.written.push(uri.clone());
        Ok(manifest)
    }

    /// A manifest of new files without partitions, not yet written.
    async fn encoded(
        &self,
        content: ManifestContentType,
        files: &[DataFile],
    ) -> Result<(ManifestFile, Bytes)> {
        let spec = self.metadata.default_partition_spec().as_ref().clone();
        let uri = self.next_uri();
        let memory = FileIO::new_with_memory();
        let failed = || LakeError::iceberg("write", uri.clone());
        let output = memory.new_output("memory:/manifest").map_err(failed())?;
        let schema = self.metadata.current_schema().clone();
        let builder = ManifestWriterBuilder::new(output, Some(self.snapshot_id), schema, spec);
        let mut writer = match content {
            ManifestContentType::Data => builder.build_v2_data(),
            ManifestContentType::Deletes => builder.build_v2_deletes(),
        };
        for file in files {
            // A negative number leaves it empty: readers inherit the snapshot's.
            writer.add_file(file.clone(), -1).map_err(failed())?;
        }
        let mut manifest = writer.write_manifest_file().await.map_err(failed())?;
        let bytes = read_memory(&memory, "memory:/manifest")
            .await
            .map_err(failed())?;
        manifest.manifest_path = uri;
        Ok((manifest, bytes))
    }

    /// Writes the live entries of some manifests of one content and one partition spec again, those of `gone` files
    /// as deleted. One manifest comes of it, unless headers differ.
    async fn rewritten(
        &mut self,
        manifests: &[&ManifestFile],
        gone: &Arc<HashSet<String>>,
    ) -> Result<Vec<ManifestFile>> {
        let mut sources = Vec::new();
        for &manifest in manifests {
            let bytes = self.store.read(&manifest.manifest_path).await?;
            sources.push((manifest.clone(), bytes));
        }
        let mut copying = Copying {
            snapshot_id: self.snapshot_id,
            gone: gone.clone(),
            schema: serde_json::to_vec(self.metadata.current_schema()).map_err(|error| {
                let source =
                    iceberg::Error::new(iceberg::ErrorKind::DataInvalid, error.to_string());
                LakeError::iceberg("describe the schema of", self.location)(source)
            })?,
            schema_id: self.metadata.current_schema_id(),
            copies: Vec::new(),
        };
        let thread = tokio::task::spawn_blocking(move || {
            for (manifest, bytes) in sources {
                let uri = manifest.manifest_path.clone();
                copying.add(manifest, bytes).map_err(damaged(&uri))?;
            }
            Ok(copying)
        });
        let copying = thread.await.map_err(|_| LakeError::Thread {
            action: "rewrites manifests",
        })?;
        let copying: Copying = copying?;
        let mut written = Vec::new();
        for copy in copying.copies {
            let uri = self.next_uri();
            let copied = copy.finish(uri.clone(), self.snapshot_id);
            let (bytes, manifest) = copied.map_err(damaged(&uri))?;
            written.push(self.put(manifest, bytes).await?);
        }
        Ok(written)
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

impl LakeTable {
    /// Refuses a table that this build cannot write.
    pub(in crate::lake) fn check_writable(&self) -> Result<()> {
        let metadata = self.metadata();
        let reason = match metadata.format_version() {
            FormatVersion::V1 => {
                "it has format version 1, and icesync writes version 2. Set its property `format-version` to 2"
            }
            FormatVersion::V3 => {
                "it has format version 3, and icesync writes version 2. Give the table another `lake:` name, and \
                 leave `format-version` of the new lake table at 2"
            }
            FormatVersion::V2 if metadata.default_partition_spec().is_unpartitioned() => {
                return Ok(());
            }
            FormatVersion::V2 => {
                "it is partitioned, and icesync writes tables without partitions. Drop its partition fields (`ALTER \
                 TABLE ... DROP PARTITION FIELD`), or give the table another `lake:` name"
            }
        };
        Err(LakeError::UnsupportedTable {
            table: self.name.clone(),
            reason: reason.to_owned(),
        })
    }
}
