//! Entries of any manifest as entries of format version 2.
//!
//! An entry that is written again needs room for the numbers that it inherited. Two kinds of manifests have none:
//! those of tables that were once of version 1, and those that an engine made of files that were there before
//! (`add_files` of Spark), which are of version 1 as well and leave out even the snapshot id. Their entries get the
//! fields of version 2 in front of the record of the file. That record is copied field by field: `content` is added,
//! and what version 2 abolished is left out.

use crate::lake::read::avro::{Input, Known, Malformed, Type};
use crate::lake::read::entries::{EntryField, ManifestReader};
use crate::lake::read::rewrite::{Header, Record, header_value, set_header};
use serde_json::{Value as Json, json};
use std::sync::Arc;

type Result<T> = std::result::Result<T, Malformed>;

const FILE: Known = (2, "data_file");
const CONTENT: Known = (134, "content");
/// Fields of a file that version 2 does not have.
const ABOLISHED: [Known; 3] = [
    (105, "block_size_in_bytes"),
    (106, "file_ordinal"),
    (107, "sort_columns"),
];

/// How the entries of a manifest are written again.
pub(in crate::lake) struct Layout {
    pub(in crate::lake) header: Header,
    /// The fields of an entry in the order in which they are written.
    pub(in crate::lake) fields: Arc<Vec<(EntryField, Type)>>,
    /// The record of a file as the manifest has it, when it is to be made one of version 2.
    file: Option<Type>,
}

impl Layout {
    pub(in crate::lake) fn of(reader: &ManifestReader<'_>) -> Result<Self> {
        let header = reader.container.header.clone();
        let version = header_value(&header, "format-version");
        if version.is_some_and(|version| version != b"1") && has_room(&reader.fields) {
            return Ok(Self {
                header,
                fields: reader.fields.clone(),
                file: None,
            });
        }
        let file = reader
            .fields
            .iter()
            .find(|(field, _)| *field == EntryField::File);
        let (_, file) = file.ok_or("its entries describe no files")?;
        let number = Type::Union(vec![Type::Null, Type::Integer]);
        let fields = vec![
            (EntryField::Status, Type::Integer),
            (EntryField::SnapshotId, number.clone()),
            (EntryField::SequenceNumber, number.clone()),
            (EntryField::FileSequenceNumber, number),
            (EntryField::File, file.clone()),
        ];
        Ok(Self {
            header: upgraded(header)?,
            fields: Arc::new(fields),
            file: Some(file.clone()),
        })
    }

    /// Appends the record of a file.
    pub(in crate::lake) fn put_file(&self, out: &mut Vec<u8>, encoded: &[u8]) -> Result<()> {
        let Some(Type::Record(fields)) = &self.file else {
            out.extend_from_slice(encoded);
            return Ok(());
        };
        let record = Record::read(&mut Input::new(encoded), fields)?;
        if record.field(CONTENT).is_none() {
            // Version 1 has data files only, whose code is 0.
            out.push(0);
        }
        for (field, value) in record.iter() {
            if !ABOLISHED.iter().any(|known| field.is(*known)) {
                out.extend_from_slice(value);
            }
        }
        Ok(())
    }
}

/// Whether entries have exactly the fields of format version 2, each with room for a number.
fn has_room(fields: &[(EntryField, Type)]) -> bool {
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

/// The header of a manifest of version 2 for the files of this one.
fn upgraded(mut header: Header) -> Result<Header> {
    let schema = header_value(&header, "avro.schema").ok_or("the header has no schema")?;
    let schema: Json = serde_json::from_slice(schema).map_err(|error| error.to_string())?;
    let fields = schema["fields"]
        .as_array()
        .ok_or("its values are no records")?;
    let file = fields.iter().find(|field| is(field, FILE));
    let mut file = file.ok_or("its entries describe no files")?.clone();
    file["field-id"] = json!(FILE.0);
    let described = file.pointer_mut("/type/fields");
    let described = described.and_then(Json::as_array_mut);
    let described = described.ok_or("its entries describe no files")?;
    described.retain(|field| !ABOLISHED.iter().any(|known| is(field, *known)));
    if !described.iter().any(|field| is(field, CONTENT)) {
        let content = json!({ "name": CONTENT.1, "type": "int", "field-id": CONTENT.0 });
        described.insert(0, content);
    }
    let number = |name: &str, id: i64| {
        let ty = json!(["null", "long"]);
        json!({ "name": name, "type": ty, "default": null, "field-id": id })
    };
    let entry = json!({
        "type": "record",
        "name": "manifest_entry",
        "fields": [
            { "name": "status", "type": "int", "field-id": 0 },
            number("snapshot_id", 1),
            number("sequence_number", 3),
            number("file_sequence_number", 4),
            file,
        ],
    });
    set_header(&mut header, "avro.schema", entry.to_string().into_bytes());
    set_header(&mut header, "format-version", b"2".to_vec());
    if header_value(&header, "content").is_none() {
        set_header(&mut header, "content", b"data".to_vec());
    }
    // Spark's own description of the entries, which would contradict the schema.
    header.retain(|(name, _)| name != "iceberg.schema");
    Ok(header)
}

fn is(field: &Json, (id, name): Known) -> bool {
    match field["field-id"].as_i64() {
        Some(known) => known == id,
        None => field["name"] == name,
    }
}
