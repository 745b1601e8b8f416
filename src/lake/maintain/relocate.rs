//! Relocation: a table folder that was copied or moved is made to name the files in its new place.
//!
//! Iceberg metadata names files by absolute URIs, so the metadata in a copied folder names the files of the original.
//! Relocation writes everything that holds a URI anew, in the new place: position delete files (their paths must equal
//! those of the data files exactly), manifests, manifest lists, the lists of a ledger, and last the table's metadata
//! with all its snapshots. Data files hold no URIs and stay as they are.
//!
//! **What can crash where.** All new files get new names, and nothing refers to them before the new metadata version
//! is published with put-if-absent, the hint after it. A crash before that leaves orphans, and running the command
//! again starts anew; after it the table is in its new place, and running it again does nothing. The files of the
//! old place are only named, never opened, so the original may be gone, or be in use.
//!
//! **What is read.** A manifest is read and written record by record with the schema in its header, so what this
//! build does not know of (partitions, columns of other engines) is carried over. Before the new metadata is
//! published, every new manifest is parsed.

use crate::failpoint;
use crate::lake::FAIL_AFTER_MANIFESTS;
use crate::lake::catalog::Version;
use crate::lake::checkpoint::CHECKPOINT_PROPERTY;
use crate::lake::error::{LakeError, Result};
use crate::lake::read::{avro, deletes, entries};
use crate::lake::store::Store;
use crate::lake::warehouse::Warehouse;
use crate::schema::TableName;
use apache_avro::types::Value;
use apache_avro::{Codec, Reader, Writer};
use bytes::Bytes;
use iceberg::spec::{Manifest, ManifestList, TableMetadata};
use serde::Serialize;
use serde_json::Value as Json;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Content code of position deletes in manifests.
const POSITION_DELETES: i32 = 1;
/// Status code of an entry that its snapshot deleted.
const DELETED: i32 = 2;

/// What a relocation did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Relocated {
    /// The place that the metadata named before.
    pub from: String,
    /// Where the table is.
    pub to: String,
    /// Whether it had to be moved.
    pub moved: bool,
    pub snapshots: u64,
    pub manifests: u64,
    pub delete_files: u64,
    pub metadata_version: u64,
}

/// From one place to another.
struct Move {
    table: TableName,
    store: Arc<Store>,
    from: String,
    to: String,
    /// Delete files of the old place that were written anew: new URI and size.
    deletes: HashMap<String, (String, u64)>,
    /// Manifests of the old place that were written anew: new URI and length.
    manifests: HashMap<String, (String, u64)>,
}

impl Warehouse {
    /// Makes a table name the files in the folder where it is; see the module head.
    pub async fn relocate(&self, name: &TableName) -> Result<Relocated> {
        let to = self.catalog().location_of(name);
        let store = self.store_arc();
        let missing = || LakeError::TableMissing {
            table: name.clone(),
        };
        let version = self.catalog().load(name, None).await?;
        let version = version.ok_or_else(missing)?;
        let from = version.metadata.location().trim_end_matches('/').to_owned();
        let mut done = Relocated {
            moved: path_of(&from) != path_of(&to),
            from,
            to,
            snapshots: version.metadata.snapshots().len() as u64,
            manifests: 0,
            delete_files: 0,
            metadata_version: version.number,
        };
        if !done.moved {
            // A relocation that was killed between the new metadata and the hint ends here.
            self.catalog().settle(name, &version).await?;
            return Ok(done);
        }
        let mut moving = Move {
            table: name.clone(),
            store,
            from: done.from.clone(),
            to: done.to.clone(),
            deletes: HashMap::new(),
            manifests: HashMap::new(),
        };
        let metadata = moving.metadata(&version).await?;
        done.manifests = moving.manifests.len() as u64;
        done.delete_files = moving.deletes.len() as u64;
        done.metadata_version += 1;
        let directory = |folder: &str| format!("{}/{folder}", done.to);
        for folder in ["data", "metadata"] {
            moving.store.sync_directory(&directory(folder)).await?;
        }
        failpoint::reach(FAIL_AFTER_MANIFESTS);
        match self.catalog().replace(name, &version, &metadata).await? {
            Some(_) => Ok(done),
            None => Err(LakeError::CommitConflict {
                table: name.clone(),
                attempts: 1,
            }),
        }
    }
}

impl Move {
    /// The table's metadata for the new place; all that it refers to is written.
    async fn metadata(&mut self, version: &Version) -> Result<TableMetadata> {
        let corrupt = |source: serde_json::Error| LakeError::MetadataCorrupt {
            path: version.uri.clone(),
            source: source.into(),
        };
        let mut json = serde_json::to_value(&version.metadata).map_err(corrupt)?;
        let mut lists: HashMap<String, String> = HashMap::new();
        for snapshot in version.metadata.snapshots() {
            let list = snapshot.manifest_list();
            let moved = self.manifest_list(list, &version.metadata).await?;
            lists.insert(list.to_owned(), moved);
        }
        let mut log = version.metadata.metadata_log().to_vec();
        log.push(iceberg::spec::MetadataLog {
            metadata_file: version.uri.clone(),
            timestamp_ms: version.metadata.last_updated_ms(),
        });
        json["metadata-log"] = serde_json::to_value(log).map_err(corrupt)?;
        self.walk(&mut json, &lists);
        json["last-updated-ms"] = Json::from(version.time_after()?);
        let checkpoint = &mut json["properties"][CHECKPOINT_PROPERTY];
        if let Some(text) = checkpoint.as_str() {
            let mut ledger: Json = serde_json::from_str(text).map_err(corrupt)?;
            self.ledger(&mut ledger).await?;
            *checkpoint = Json::from(ledger.to_string());
        }
        serde_json::from_value(json).map_err(corrupt)
    }

    /// Every string that is a URI of the old place, as one of the new.
    fn walk(&self, json: &mut Json, lists: &HashMap<String, String>) {
        match json {
            Json::String(text) => {
                if let Some(list) = lists.get(text) {
                    text.clone_from(list);
                } else if let Some(moved) = self.moved(text) {
                    *text = moved;
                }
            }
            Json::Array(items) => items.iter_mut().for_each(|item| self.walk(item, lists)),
            Json::Object(fields) => {
                for (name, field) in fields {
                    // Names of columns and their documentation are no paths.
                    if name != "schemas" && name != "schema" {
                        self.walk(field, lists);
                    }
                }
            }
            Json::Null | Json::Bool(_) | Json::Number(_) => {}
        }
    }

    /// A URI of the old place in the new one; none when it is not of the old place.
    fn moved(&self, uri: &str) -> Option<String> {
        let rest = path_of(uri)?
            .strip_prefix(&path_of(&self.from)?)?
            .to_owned();
        let inside = rest.is_empty() || rest.starts_with('/');
        inside.then(|| format!("{}{rest}", self.to))
    }

    /// As [`Move::moved`], for files that stay where they are when they are outside.
    fn placed(&self, uri: &str) -> String {
        self.moved(uri).unwrap_or_else(|| uri.to_owned())
    }

    fn fresh(&self, folder: &str, kind: &str) -> String {
        let unique = uuid::Uuid::now_v7().simple();
        format!("{}/{folder}/{unique}-moved{kind}", self.to)
    }

    /// Writes a manifest list anew, and the manifests in it that are not yet.
    async fn manifest_list(&mut self, list: &str, metadata: &TableMetadata) -> Result<String> {
        let file = Avro::read(&self.store, &self.placed(list)).await?;
        for value in &file.values {
            if let Some(path) = field(value, "manifest_path").and_then(text)
                && !self.manifests.contains_key(path)
            {
                let moved = self.manifest(path).await?;
                self.manifests.insert(path.to_owned(), moved);
            }
        }
        let uri = self.fresh("metadata", "-list.avro");
        let bytes = file.rewritten(&uri, |value| {
            let path = field(value, "manifest_path").and_then(text);
            let moved = path.and_then(|path| self.manifests.get(path)).cloned();
            if let Some((path, length)) = moved {
                set(value, "manifest_path", Value::String(path));
                set(value, "manifest_length", Value::Long(signed(length)));
            }
        })?;
        ManifestList::parse_with_version(&bytes, metadata.format_version())
            .map_err(LakeError::iceberg("write", uri.clone()))?;
        self.store.write_new(&uri, bytes).await?;
        Ok(uri)
    }

    /// Writes a manifest anew, and the position deletes in it.
    async fn manifest(&mut self, manifest: &str) -> Result<(String, u64)> {
        let file = Avro::read(&self.store, &self.placed(manifest)).await?;
        for value in &file.values {
            let Some(data) = field(value, "data_file") else {
                continue;
            };
            let path = field(data, "file_path").and_then(text);
            if let Some(path) = path
                && field(data, "content").and_then(int) == Some(POSITION_DELETES)
                && field(value, "status").and_then(int) != Some(DELETED)
                && !self.deletes.contains_key(path)
            {
                let format = field(data, "file_format").and_then(text);
                if !format.is_some_and(|format| format.eq_ignore_ascii_case("parquet")) {
                    return Err(LakeError::UnsupportedDeletes {
                        table: self.table.clone(),
                        path: path.to_owned(),
                        what: "deletion vectors",
                    });
                }
                let bytes = field(data, "file_size_in_bytes").and_then(long);
                let moved = self.delete_file(path, bytes.unwrap_or_default()).await?;
                self.deletes.insert(path.to_owned(), moved);
            }
        }
        let uri = self.fresh("metadata", "-manifest.avro");
        let bytes = file.rewritten(&uri, |value| {
            if let Some(data) = field_mut(value, "data_file") {
                self.data_file(data);
            }
        })?;
        Manifest::parse_avro(&bytes).map_err(LakeError::iceberg("write", uri.clone()))?;
        let length = bytes.len() as u64;
        self.store.write_new(&uri, bytes).await?;
        Ok((uri, length))
    }

    /// The description of a file: its path, and what else holds paths.
    fn data_file(&self, data: &mut Value) {
        let path = field(data, "file_path").and_then(text).map(str::to_owned);
        let Some(path) = path else { return };
        match self.deletes.get(&path) {
            Some((moved, bytes)) => {
                set(data, "file_path", Value::String(moved.clone()));
                set(data, "file_size_in_bytes", Value::Long(signed(*bytes)));
                // Where its row groups were.
                set(data, "split_offsets", Value::Null);
            }
            None => set(data, "file_path", Value::String(self.placed(&path))),
        }
        let target = field(data, "referenced_data_file").and_then(text);
        if let Some(moved) = target.and_then(|target| self.moved(target)) {
            set(data, "referenced_data_file", Value::String(moved));
        }
        for bounds in ["lower_bounds", "upper_bounds"] {
            if let Some(Value::Array(entries)) = field_mut(data, bounds) {
                entries.iter_mut().for_each(|entry| self.bound(entry));
            }
        }
    }

    /// A bound of the paths in a delete file.
    fn bound(&self, entry: &mut Value) {
        let is_path =
            field(entry, "key").and_then(int) == Some(crate::lake::read::entries::DELETE_PATH_ID);
        if let Some(Value::Bytes(bytes)) = field(entry, "value").filter(|_| is_path)
            && let Ok(path) = std::str::from_utf8(bytes)
            && let Some(moved) = self.moved(path)
        {
            set(entry, "value", Value::Bytes(moved.into_bytes()));
        }
    }

    /// Writes a delete file anew with the new paths of its data files.
    async fn delete_file(&self, path: &str, bytes: i64) -> Result<(String, u64)> {
        let uri = self.fresh("data", "-deletes.parquet");
        let from = (self.placed(path), u64::try_from(bytes).unwrap_or_default());
        let rename = |path: &str| self.placed(path);
        let bytes = deletes::copy(&self.store, from, uri.clone(), rename).await?;
        Ok((uri, bytes))
    }

    /// The lists that a ledger names, and the files in them.
    async fn ledger(&self, checkpoint: &mut Json) -> Result<()> {
        let mut names: Vec<&mut Json> = Vec::new();
        if let Some(ledger) = checkpoint.get_mut("backfill").and_then(Json::as_object_mut) {
            for (name, field) in ledger {
                let lists = field.as_array_mut().into_iter().flatten();
                if name == "done" {
                    names.extend(lists.filter_map(|done| done.get_mut("files")));
                } else if name == "stale" {
                    names.extend(lists);
                }
            }
        }
        let mut seen = HashSet::new();
        for name in names {
            let Some(list) = name.as_str().map(str::to_owned) else {
                continue;
            };
            let placed = self.placed(&list);
            // A list that is gone is taken up by no run.
            if seen.insert(list) && self.store.exists(&placed).await? {
                let file = Avro::read(&self.store, &placed).await?;
                let uri = self.fresh("metadata", "-part.avro");
                let bytes = file.rewritten(&uri, |value| self.data_file(value))?;
                self.store.write_new(&uri, bytes).await?;
                *name = Json::from(uri);
            } else {
                *name = Json::from(placed);
            }
        }
        Ok(())
    }
}

/// The path of a `file:` URI with one leading slash, whatever the number it is written with.
fn path_of(uri: &str) -> Option<String> {
    let path = match uri.split_once(':') {
        Some(("file", path)) => path,
        Some(_) => return None,
        None if uri.starts_with('/') => uri,
        None => return None,
    };
    Some(format!("/{}", path.trim_start_matches('/')))
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// An Avro file in memory.
struct Avro {
    uri: String,
    schema: apache_avro::Schema,
    metadata: HashMap<String, Vec<u8>>,
    values: Vec<Value>,
}

impl Avro {
    async fn read(store: &Store, uri: &str) -> Result<Self> {
        let bytes = store.read(uri).await?;
        avro::check(&bytes).map_err(entries::damaged(uri))?;
        let failed = |error: apache_avro::Error| damaged("read", uri, error);
        let reader = Reader::new(bytes.as_ref()).map_err(failed)?;
        let schema = reader.writer_schema().clone();
        let metadata = reader.user_metadata().clone();
        let values = reader.collect::<std::result::Result<_, _>>();
        Ok(Self {
            uri: uri.to_owned(),
            schema,
            metadata,
            values: values.map_err(failed)?,
        })
    }

    /// The file with its records changed, for a new name.
    fn rewritten(&self, uri: &str, mut change: impl FnMut(&mut Value)) -> Result<Bytes> {
        tracing::debug!(from = %self.uri, to = %uri, "relocating");
        let failed = |error: apache_avro::Error| damaged("write", uri, error);
        let mut writer = Writer::with_codec(&self.schema, Vec::new(), Codec::Null);
        for (key, value) in &self.metadata {
            writer
                .add_user_metadata(key.clone(), value)
                .map_err(failed)?;
        }
        for value in &self.values {
            let mut value = value.clone();
            change(&mut value);
            writer.append(value).map_err(failed)?;
        }
        writer.into_inner().map(Bytes::from).map_err(failed)
    }
}

fn damaged(action: &'static str, uri: &str, error: apache_avro::Error) -> LakeError {
    let error = iceberg::Error::new(iceberg::ErrorKind::DataInvalid, error.to_string());
    LakeError::iceberg(action, uri)(error)
}

/// A field of a record, without the union around it.
fn field<'a>(record: &'a Value, name: &str) -> Option<&'a Value> {
    let Value::Record(fields) = record else {
        return None;
    };
    let (_, value) = fields.iter().find(|(field, _)| field == name)?;
    match value {
        Value::Union(_, inner) => Some(inner),
        other => Some(other),
    }
}

fn field_mut<'a>(record: &'a mut Value, name: &str) -> Option<&'a mut Value> {
    let Value::Record(fields) = record else {
        return None;
    };
    let (_, value) = fields.iter_mut().find(|(field, _)| field == name)?;
    match value {
        Value::Union(_, inner) => Some(inner),
        other => Some(other),
    }
}

/// Gives a field that is there another value; in a union the variant follows.
fn set(record: &mut Value, name: &str, to: Value) {
    let Value::Record(fields) = record else {
        return;
    };
    let Some((_, value)) = fields.iter_mut().find(|(field, _)| field == name) else {
        return;
    };
    // Iceberg's unions are of null, which comes first, and one type.
    *value = match &*value {
        Value::Union(..) => Value::Union(u32::from(to != Value::Null), Box::new(to)),
        plain if to == Value::Null => plain.clone(),
        _ => to,
    };
}

fn text(value: &Value) -> Option<&str> {
    if let Value::String(text) = value {
        Some(text)
    } else {
        None
    }
}

fn int(value: &Value) -> Option<i32> {
    if let Value::Int(value) = value {
        Some(*value)
    } else {
        None
    }
}

fn long(value: &Value) -> Option<i64> {
    if let Value::Long(value) = value {
        Some(*value)
    } else {
        None
    }
}
