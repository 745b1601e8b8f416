//! Copying the entries of manifests as bytes, see [`crate::lake::commit::manifests`].

use crate::lake::read::avro::{Malformed, Type, put_bytes, put_long};
use crate::lake::read::entries::{EntryField, ManifestEntry, ManifestReader, Status};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::DeflateEncoder;
use iceberg::spec::{ManifestFile, UNASSIGNED_SEQUENCE_NUMBER};
use std::collections::HashSet;
use std::io::Write;
use std::sync::Arc;

/// A block of entries is compressed once it has this many bytes.
const BLOCK_BYTES: usize = 64 << 10;

/// Copies entries of several manifests into as few new ones as their headers allow.
pub(in crate::lake) struct Copying {
    pub(in crate::lake) snapshot_id: i64,
    pub(in crate::lake) gone: Arc<HashSet<String>>,
    /// The table's current schema, for a manifest whose sources were written under different ones.
    pub(in crate::lake) schema: Vec<u8>,
    pub(in crate::lake) schema_id: i32,
    pub(in crate::lake) copies: Vec<Copy>,
    /// Manifests that cannot be copied as bytes.
    pub(in crate::lake) not_copied: Vec<(ManifestFile, Bytes)>,
}

/// One new manifest.
pub(in crate::lake) struct Copy {
    header: Vec<(String, Vec<u8>)>,
    sync: [u8; 16],
    /// Complete blocks.
    blocks: Vec<u8>,
    block: Vec<u8>,
    block_entries: i64,
    /// The first source: its partition summaries hold for one source, its spec and content for all.
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
        if !can_be_copied(&reader.fields) {
            self.not_copied.push((manifest, bytes));
            return Ok(());
        }
        let header = &reader.container.header;
        let found = self
            .copies
            .iter()
            .position(|copy| copy.takes(header, &manifest));
        let copy = match found {
            Some(at) => {
                let copy = &mut self.copies[at];
                if value(header, "schema") != value(&copy.header, "schema") {
                    set(&mut copy.header, "schema", self.schema.clone());
                    set(
                        &mut copy.header,
                        "schema-id",
                        self.schema_id.to_string().into_bytes(),
                    );
                }
                copy
            }
            None => {
                self.copies.push(Copy::of(header.clone(), manifest.clone()));
                let last = self.copies.len() - 1;
                &mut self.copies[last]
            }
        };
        let fields = reader.fields.clone();
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
            copy.add(&fields, &entry, status, snapshot, manifest.sequence_number)
        })
    }
}

/// Whether entries have exactly the fields of format version 2, each with room for a number.
fn can_be_copied(fields: &[(EntryField, Type)]) -> bool {
    let numbered = |ty: &Type| match ty {
        Type::Integer => true,
        Type::Union(variants) => variants.contains(&Type::Integer),
        Type::Null | Type::Boolean | Type::Float | Type::Double | Type::Bytes => false,
        Type::Fixed(_) | Type::Array(_) | Type::Map(_) | Type::Record(_) => false,
    };
    let wanted = [
        EntryField::Status,
        EntryField::SnapshotId,
        EntryField::SequenceNumber,
        EntryField::FileSequenceNumber,
        EntryField::File,
    ];
    let once =
        |wanted: &EntryField| fields.iter().filter(|(field, _)| field == wanted).count() == 1;
    fields.len() == wanted.len()
        && wanted.iter().all(once)
        && fields
            .iter()
            .all(|(field, ty)| *field == EntryField::File || numbered(ty))
}

fn value<'h>(header: &'h [(String, Vec<u8>)], name: &str) -> Option<&'h [u8]> {
    let found = header.iter().find(|(known, _)| known == name);
    found.map(|(_, value)| value.as_slice())
}

fn set(header: &mut Vec<(String, Vec<u8>)>, name: &str, value: Vec<u8>) {
    header.retain(|(known, _)| known != name);
    header.push((name.to_owned(), value));
}

impl Copy {
    fn of(mut header: Vec<(String, Vec<u8>)>, source: ManifestFile) -> Self {
        set(&mut header, "avro.codec", b"deflate".to_vec());
        Self {
            header,
            sync: *uuid::Uuid::new_v4().as_bytes(),
            blocks: Vec::new(),
            block: Vec::with_capacity(BLOCK_BYTES * 2),
            block_entries: 0,
            source,
            existing: (0, 0),
            deleted: (0, 0),
            min_sequence_number: None,
        }
    }

    /// Whether entries of another manifest may follow. Values of partitions are read by the schema, so with
    /// partitions even that has to be the same.
    fn takes(&self, header: &[(String, Vec<u8>)], manifest: &ManifestFile) -> bool {
        let same = |name: &str| value(header, name) == value(&self.header, name);
        let partitioned = self
            .source
            .partitions
            .as_ref()
            .is_some_and(|fields| !fields.is_empty());
        manifest.content == self.source.content
            && manifest.partition_spec_id == self.source.partition_spec_id
            && !partitioned
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
        fields: &[(EntryField, Type)],
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
        for (field, ty) in fields {
            let number = match field {
                EntryField::Status => status.code(),
                EntryField::SnapshotId => snapshot_id,
                EntryField::SequenceNumber => sequence_number,
                EntryField::FileSequenceNumber => entry.file_sequence_number.unwrap_or(inherited),
                EntryField::File => {
                    self.block.extend_from_slice(entry.encoded);
                    continue;
                }
                EntryField::Other => return Err("an entry has an unknown field".to_owned()),
            };
            if let Type::Union(variants) = ty {
                let at = variants
                    .iter()
                    .position(|variant| *variant == Type::Integer);
                put_long(&mut self.block, at.unwrap_or_default() as i64);
            }
            put_long(&mut self.block, number);
        }
        self.block_entries += 1;
        if self.block.len() >= BLOCK_BYTES {
            self.end_block().map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    fn end_block(&mut self) -> std::io::Result<()> {
        if self.block_entries == 0 {
            return Ok(());
        }
        let mut deflated = DeflateEncoder::new(Vec::new(), Compression::fast());
        deflated.write_all(&self.block)?;
        let deflated = deflated.finish()?;
        put_long(&mut self.blocks, self.block_entries);
        put_bytes(&mut self.blocks, &deflated);
        self.blocks.extend_from_slice(&self.sync);
        self.block.clear();
        self.block_entries = 0;
        Ok(())
    }

    /// The file, and its entry in the manifest list.
    pub(in crate::lake) fn finish(
        mut self,
        uri: String,
        snapshot_id: i64,
    ) -> std::io::Result<(Bytes, ManifestFile)> {
        self.end_block()?;
        let mut file = b"Obj\x01".to_vec();
        put_long(&mut file, self.header.len() as i64);
        for (name, value) in &self.header {
            put_bytes(&mut file, name.as_bytes());
            put_bytes(&mut file, value);
        }
        put_long(&mut file, 0);
        file.extend_from_slice(&self.sync);
        file.append(&mut self.blocks);
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
