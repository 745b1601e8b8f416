//! Copying the entries of manifests as bytes, see [`crate::lake::commit::manifests`].

use crate::lake::commit::upgrade::Layout;
use crate::lake::read::avro::{Malformed, Type, put_long};
use crate::lake::read::entries::{EntryField, ManifestEntry, ManifestReader, Status};
use crate::lake::read::rewrite::{ContainerWriter, Header, choose, header_value, set_header};
use bytes::Bytes;
use iceberg::spec::{ManifestFile, UNASSIGNED_SEQUENCE_NUMBER};
use std::collections::HashSet;
use std::sync::Arc;

/// Copies entries of several manifests into as few new ones as their headers allow.
pub(in crate::lake) struct Copying {
    pub(in crate::lake) snapshot_id: i64,
    pub(in crate::lake) gone: Arc<HashSet<String>>,
    /// The table's current schema, for a manifest whose sources were written under different ones.
    pub(in crate::lake) schema: Vec<u8>,
    pub(in crate::lake) schema_id: i32,
    pub(in crate::lake) copies: Vec<Copy>,
}

/// One new manifest.
pub(in crate::lake) struct Copy {
    file: ContainerWriter,
    /// The first source: its spec and content hold for all. Its summaries of partitions hold for it alone, and are
    /// left out when there are more.
    source: ManifestFile,
    existing: (u32, u64),
    deleted: (u32, u64),
    min_sequence_number: Option<i64>,
}

impl Copying {
    pub(in crate::lake) fn add(
        &mut self,
        manifest: ManifestFile,
        bytes: Bytes,
    ) -> std::result::Result<(), Malformed> {
        let mut reader = ManifestReader::open(&bytes, &[])?;
        let layout = Layout::of(&reader)?;
        let header = &layout.header;
        let found = self
            .copies
            .iter()
            .position(|copy| copy.takes(header, &manifest));
        let copy = match found {
            Some(at) => {
                let copy = &mut self.copies[at];
                copy.source.partitions = copy.source.partitions.take().filter(Vec::is_empty);
                let known = &mut copy.file.header;
                if header_value(header, "schema") != header_value(known, "schema") {
                    set_header(known, "schema", self.schema.clone());
                    let id = self.schema_id.to_string();
                    set_header(known, "schema-id", id.into_bytes());
                }
                copy
            }
            None => {
                self.copies.push(Copy::of(header.clone(), manifest.clone()));
                let last = self.copies.len() - 1;
                &mut self.copies[last]
            }
        };
        let (snapshot_id, gone) = (self.snapshot_id, self.gone.clone());
        reader.for_each(|entry| {
            if entry.status == Status::Deleted {
                return Ok(());
            }
            let status = if gone.contains(entry.file.path) {
                Status::Deleted
            } else {
                Status::Existing
            };
            let snapshot = match status {
                Status::Deleted => snapshot_id,
                Status::Existing | Status::Added => {
                    entry.snapshot_id.unwrap_or(manifest.added_snapshot_id)
                }
            };
            copy.add(&layout, &entry, status, snapshot, manifest.sequence_number)
        })
    }
}

impl Copy {
    fn of(header: Header, source: ManifestFile) -> Self {
        Self {
            file: ContainerWriter::new(header),
            source,
            existing: (0, 0),
            deleted: (0, 0),
            min_sequence_number: None,
        }
    }

    /// Whether entries of another manifest may follow. Values of partitions are read by the schema, so with
    /// partitions even that has to be the same.
    fn takes(&self, header: &Header, manifest: &ManifestFile) -> bool {
        let known = &self.file.header;
        let same = |name: &str| header_value(header, name) == header_value(known, name);
        manifest.content == self.source.content
            && manifest.partition_spec_id == self.source.partition_spec_id
            && (same("schema") || !is_partitioned(known))
            && [
                "avro.schema",
                "partition-spec",
                "partition-spec-id",
                "format-version",
                "content",
            ]
            .into_iter()
            .all(same)
    }

    fn add(
        &mut self,
        layout: &Layout,
        entry: &ManifestEntry<'_>,
        status: Status,
        snapshot_id: i64,
        inherited: i64,
    ) -> std::result::Result<(), Malformed> {
        let sequence_number = entry.sequence_number.unwrap_or(inherited);
        let counts = match status {
            Status::Deleted => &mut self.deleted,
            Status::Existing | Status::Added => {
                let least = self.min_sequence_number.unwrap_or(sequence_number);
                self.min_sequence_number = Some(least.min(sequence_number));
                &mut self.existing
            }
        };
        counts.0 += 1;
        counts.1 += entry.file.rows;
        self.file.add(|out| {
            for (field, ty) in layout.fields.iter() {
                let number = match field {
                    EntryField::Status => status.code(),
                    EntryField::SnapshotId => snapshot_id,
                    EntryField::SequenceNumber => sequence_number,
                    EntryField::FileSequenceNumber => {
                        entry.file_sequence_number.unwrap_or(inherited)
                    }
                    EntryField::File => {
                        layout.put_file(out, entry.encoded)?;
                        continue;
                    }
                    EntryField::Other => return Err("an entry has an unknown field".to_owned()),
                };
                choose(out, ty, &Type::Integer)?;
                put_long(out, number);
            }
            Ok(())
        })
    }

    /// The file, and its entry in the manifest list.
    pub(in crate::lake) fn finish(
        self,
        uri: String,
        snapshot_id: i64,
    ) -> std::result::Result<(Bytes, ManifestFile), Malformed> {
        let file = self.file.finish()?;
        let manifest = ManifestFile {
            manifest_path: uri,
            manifest_length: file.len() as i64,
            partition_spec_id: self.source.partition_spec_id,
            content: self.source.content,
            // Assigned when the list is written.
            sequence_number: UNASSIGNED_SEQUENCE_NUMBER,
            min_sequence_number: self
                .min_sequence_number
                .unwrap_or(UNASSIGNED_SEQUENCE_NUMBER),
            added_snapshot_id: snapshot_id,
            added_files_count: Some(0),
            existing_files_count: Some(self.existing.0),
            deleted_files_count: Some(self.deleted.0),
            added_rows_count: Some(0),
            existing_rows_count: Some(self.existing.1),
            deleted_rows_count: Some(self.deleted.1),
            partitions: self.source.partitions,
            key_metadata: None,
            first_row_id: None,
        };
        Ok((Bytes::from(file), manifest))
    }
}

/// Whether the files of a manifest have values of partitions.
fn is_partitioned(header: &Header) -> bool {
    let spec = header_value(header, "partition-spec").unwrap_or_default();
    let fields: Option<Vec<serde_json::Value>> = serde_json::from_slice(spec).ok();
    fields.is_none_or(|fields| !fields.is_empty())
}
