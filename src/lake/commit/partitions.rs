//! Position deletes lie in the partition of the data file that they refer to.
//!
//! icesync writes data files without partitions, but another engine may have put rows into partitions before the
//! partition fields were dropped again. The specification asks that a delete file has the partition spec and the
//! values of its data file: a reader that plans by partition would not apply it, and maintenance that looks for deletes
//! of a partition would remove it as one that refers to nothing.
//!
//! Values are not decoded. A manifest of deletes is made without partitions first. Then it gets the spec, the schema
//! and the type of the values from the manifest of the data files, and each entry gets the bytes of its data file's
//! values. Deletes share a manifest when all of these are the same.

use crate::lake::error::Result;
use crate::lake::read::avro::{Container, Known, Malformed};
use crate::lake::read::entries::{ManifestReader, Status, damaged};
use crate::lake::read::manifests::Files;
use crate::lake::read::rewrite::{Header, Put, header_value, rewritten_under, set_header};
use crate::lake::store::Store;
use iceberg::spec::{DataFile, ManifestContentType};
use serde_json::Value as Json;
use std::collections::HashMap;

const DATA_FILE: Known = (2, "data_file");
const FILE_PATH: Known = (100, "file_path");
const PARTITION: Known = (102, "partition");
/// What the header of a manifest says of partitions.
const SPEC: [&str; 4] = ["schema", "schema-id", "partition-spec", "partition-spec-id"];

/// Delete files of one partition spec.
pub(in crate::lake) struct Partitioned {
    pub(in crate::lake) spec_id: i32,
    pub(in crate::lake) files: Vec<DataFile>,
    /// Values of the partition as they are encoded, by path of the delete file.
    values: HashMap<String, Vec<u8>>,
    header: Header,
    ty: Json,
}

/// New delete files, those apart whose data file has another partition spec than `default`.
pub(in crate::lake) async fn by_spec(
    store: &Store,
    base: &Files,
    deletes: &[DataFile],
    default: i32,
) -> Result<(Vec<DataFile>, Vec<Partitioned>)> {
    let data = base.manifests.iter();
    let other = data.filter(|manifest| {
        manifest.content == ManifestContentType::Data && manifest.partition_spec_id != default
    });
    let specs: HashMap<&str, i32> = other
        .map(|manifest| (manifest.manifest_path.as_str(), manifest.partition_spec_id))
        .collect();
    if specs.is_empty() {
        return Ok((deletes.to_vec(), Vec::new()));
    }
    let live = base.by_path();
    let (mut plain, mut of_manifests) = (Vec::new(), HashMap::<&str, Vec<&DataFile>>::new());
    for delete in deletes {
        let data = delete.referenced_data_file();
        let data = data.and_then(|path| live.get(path.as_str()));
        match data.filter(|data| specs.contains_key(&*data.manifest)) {
            Some(data) => of_manifests.entry(&data.manifest).or_default().push(delete),
            None => plain.push(delete.clone()),
        }
    }
    let mut groups: Vec<Partitioned> = Vec::new();
    for (manifest, deletes) in of_manifests {
        let bytes = store.read(manifest).await?;
        let group = Partitioned::of(&bytes, specs[manifest], &deletes);
        let group = group.map_err(damaged(manifest))?;
        let same = |known: &&mut Partitioned| known.header == group.header && known.ty == group.ty;
        match groups.iter_mut().find(same) {
            Some(known) => {
                known.files.extend(group.files);
                known.values.extend(group.values);
            }
            None => groups.push(group),
        }
    }
    Ok((plain, groups))
}

impl Partitioned {
    /// Delete files of data files that this manifest lists.
    fn of(
        manifest: &[u8],
        spec_id: i32,
        deletes: &[&DataFile],
    ) -> std::result::Result<Self, Malformed> {
        let mut wanted: HashMap<String, Vec<&str>> = HashMap::new();
        for delete in deletes {
            let data = delete.referenced_data_file().unwrap_or_default();
            wanted.entry(data).or_default().push(delete.file_path());
        }
        let mut reader = ManifestReader::open(manifest, &[])?;
        let mut header = Vec::new();
        for name in SPEC {
            if let Some(value) = header_value(&reader.container.header, name) {
                header.push((name.to_owned(), value.to_vec()));
            }
        }
        let schema = header_value(&reader.container.header, "avro.schema").unwrap_or_default();
        let mut schema: Json = serde_json::from_slice(schema).map_err(|error| error.to_string())?;
        let ty = partition_type(&mut schema)?.take();
        let mut values = HashMap::new();
        reader.for_each(|entry| {
            if entry.status != Status::Deleted
                && let Some(deletes) = wanted.get(entry.file.path)
            {
                let value = || entry.file.partition.to_vec();
                values.extend(deletes.iter().map(|delete| ((*delete).to_owned(), value())));
            }
            Ok(())
        })?;
        Ok(Self {
            spec_id,
            files: deletes.iter().map(|&delete| delete.clone()).collect(),
            values,
            header,
            ty,
        })
    }

    /// A manifest of these files without partitions, with theirs.
    pub(in crate::lake) fn place(
        &self,
        manifest: &[u8],
    ) -> std::result::Result<Vec<u8>, Malformed> {
        let mut header = Container::open(manifest)?.header;
        let schema = header_value(&header, "avro.schema").unwrap_or_default();
        let mut schema: Json = serde_json::from_slice(schema).map_err(|error| error.to_string())?;
        *partition_type(&mut schema)? = self.ty.clone();
        set_header(&mut header, "avro.schema", schema.to_string().into_bytes());
        for (name, value) in &self.header {
            set_header(&mut header, name, value.clone());
        }
        rewritten_under(manifest, header, |entry| {
            let Some(mut file) = entry.record(DATA_FILE)? else {
                return Err("its entries describe no files".to_owned());
            };
            let path = file.text(FILE_PATH)?.unwrap_or_default();
            let value = self.values.get(path);
            let value = value.ok_or_else(|| format!("no data file of `{path}` is listed"))?;
            file.put(PARTITION, Put::Encoded(value.clone()))?;
            let file = file.encoded();
            entry.put(DATA_FILE, Put::Encoded(file))
        })
    }
}

/// The type of the values of a partition in the schema of a manifest.
fn partition_type(schema: &mut Json) -> std::result::Result<&mut Json, Malformed> {
    fn field(record: &mut Json, (id, name): Known) -> Option<&mut Json> {
        let fields = record.get_mut("fields")?.as_array_mut()?;
        let is = |field: &&mut Json| match field["field-id"].as_i64() {
            Some(known) => known == id,
            None => field["name"] == name,
        };
        fields.iter_mut().find(is)
    }
    let file = field(schema, DATA_FILE).and_then(|file| file.get_mut("type"));
    let partition = file.and_then(|file| field(file, PARTITION));
    let ty = partition.and_then(|partition| partition.get_mut("type"));
    ty.ok_or_else(|| "its entries have no partitions".to_owned())
}
