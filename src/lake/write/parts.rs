//! A write in parts: several writers fill data files side by side, and one commit adds them all.
//!
//! A part is what one writer completed: durable data files that nobody sees. Parts of rows that cannot share a key
//! need nothing from each other, so they are added to a commit as they are. A part may be *parked*: its files are
//! listed in a file of their own, whose name the caller keeps in a checkpoint. A run that dies in the middle of a
//! long first read then loses the parts under way and no other: the next run takes the parked ones back and reads
//! only the rest. Until the commit no snapshot refers to any of it.

use crate::change::{Content, WriteCounts};
use crate::lake::commit::base::Base;
use crate::lake::commit::prepared::{PreparedCommit, remove};
use crate::lake::error::{LakeError, Result};
use crate::lake::table::LakeTable;
use crate::lake::write::options::WriteOptions;
use crate::lake::write::{OwnFile, TableWriter};
use bytes::Bytes;
use iceberg::spec::{DataFile, FormatVersion, read_data_files_from_avro, write_data_files_to_avro};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Complete data files of one writer. Not visible to anybody.
pub struct Part {
    pub(in crate::lake) own: Vec<OwnFile>,
    pub(in crate::lake) counts: WriteCounts,
    pub(in crate::lake) content: Option<Content>,
}

impl Part {
    /// Rows in the files.
    pub fn rows(&self) -> u64 {
        self.own.iter().map(|own| own.file.record_count()).sum()
    }
}

impl TableWriter {
    /// Completes the files of a writer whose rows have [distinct keys](WriteOptions::distinct_keys); an error
    /// otherwise.
    pub async fn finish_part(mut self) -> Result<Part> {
        self.complete().await?;
        if !self.pending.is_empty() || self.own.iter().any(|own| !own.dead.is_empty()) {
            return Err(LakeError::UnsupportedTable {
                table: self.table.name.clone(),
                reason: "a part of a write cannot replace rows".to_owned(),
            });
        }
        Ok(Part {
            own: std::mem::take(&mut self.own),
            counts: self.counts,
            content: self.content(),
        })
    }
}

impl LakeTable {
    /// One commit of all parts, which hold no key twice. `options` are those of their writers.
    pub async fn prepare(&self, options: WriteOptions, parts: Vec<Part>) -> Result<PreparedCommit> {
        let mut whole = Part {
            own: Vec::new(),
            counts: WriteCounts::default(),
            content: options.content.then_some(Content { rows: 0, hash: 0 }),
        };
        for part in parts {
            whole.own.extend(part.own);
            whole.counts.inserted += part.counts.inserted;
            if let (Some(sum), Some(content)) = (&mut whole.content, part.content) {
                sum.rows += content.rows;
                sum.hash = sum.hash.wrapping_add(content.hash);
            }
        }
        let base = Arc::new(Base::of(self));
        let prepared = PreparedCommit::new(
            self,
            base,
            options,
            whole.own,
            BTreeMap::new(),
            whole.counts,
            Default::default(),
            whole.content,
            crate::lake::write::seq_high(self),
        );
        prepared.materialised(self).await
    }

    /// Lists the files of a part durably, and answers the name of the list for [`LakeTable::unpark`]. From then on
    /// a failed commit leaves the files alone.
    pub async fn park(&self, part: &mut Part) -> Result<String> {
        let uri = format!(
            "{}/metadata/part-{}.avro",
            self.location,
            uuid::Uuid::now_v7().simple()
        );
        let files: Vec<DataFile> = part.own.iter().map(|own| own.file.clone()).collect();
        let partition = self.metadata().default_partition_type();
        let mut bytes = Vec::new();
        write_data_files_to_avro(&mut bytes, files, partition, FormatVersion::V2)
            .map_err(LakeError::iceberg("write", uri.clone()))?;
        let data = format!("{}/data", self.location);
        self.store.sync_directory(&data).await?;
        self.store.write_new(&uri, Bytes::from(bytes)).await?;
        let directory = format!("{}/metadata", self.location);
        self.store.sync_directory(&directory).await?;
        part.own.iter_mut().for_each(|own| own.parked = true);
        Ok(uri)
    }

    /// The part that was parked under a name; none when the list or one of its files is gone.
    pub async fn unpark(&self, uri: &str) -> Result<Option<Part>> {
        let Some(bytes) = self.store.read_if_exists(uri).await? else {
            return Ok(None);
        };
        let metadata = self.metadata();
        let files = read_data_files_from_avro(
            &mut bytes.as_ref(),
            metadata.current_schema(),
            metadata.default_partition_spec_id(),
            metadata.default_partition_type(),
            FormatVersion::V2,
        )
        .map_err(LakeError::iceberg("read", uri.to_owned()))?;
        for file in &files {
            if !self.store.exists(file.file_path()).await? {
                return Ok(None);
            }
        }
        let rows = files.iter().map(DataFile::record_count).sum();
        Ok(Some(Part {
            own: files
                .into_iter()
                .map(|file| OwnFile {
                    file,
                    dead: Default::default(),
                    parked: true,
                })
                .collect(),
            counts: WriteCounts {
                inserted: rows,
                ..WriteCounts::default()
            },
            content: None,
        }))
    }

    /// Removes a parked part's list, after its commit, or with `files` also its files, when nothing will commit them.
    pub async fn forget_part(&self, uri: &str, files: bool) {
        if files && let Ok(Some(part)) = self.unpark(uri).await {
            self.discard_part(part).await;
        }
        remove(self, uri).await;
    }

    /// Removes the files of a part, as far as possible.
    pub async fn discard_part(&self, part: Part) {
        for own in &part.own {
            remove(self, own.file.file_path()).await;
        }
    }
}
