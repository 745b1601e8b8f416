//! Relocation: a table folder that was copied or moved is made to name the files in its new place.
//!
//! Iceberg metadata names files by absolute URIs, so the metadata in a copied folder names the files of the original.
//! Relocation writes everything that holds a URI anew, in the new place: position delete files (their paths must equal
//! those of the data files exactly), manifests, manifest lists, the lists of a ledger, and last the table's metadata
//! with all its snapshots. Data files hold no URIs and stay as they are.
//!
//! **What can crash where.** All new files get new names, and nothing refers to them before the new metadata version
//! is published with put-if-absent, the hint after it. An error before that removes what was written. A crash leaves
//! orphans, and running the command again starts anew; after the publication the table is in its new place, and running
//! it again does nothing. If it cannot be seen whether the new version was published, its files stay. The files of the
//! old place are only named, never opened, so the original may be gone, or be in use.
//!
//! **What is read.** In lists and manifests only paths, lengths and bounds of paths are replaced. Every other byte of
//! an entry is carried over, so values of partitions, columns of other engines and numbers that an entry inherits
//! stay what they are. Before the new metadata is published, every new manifest is read.

use crate::failpoint;
use crate::lake::FAIL_AFTER_MANIFESTS;
use crate::lake::catalog::Version;
use crate::lake::checkpoint::CHECKPOINT_PROPERTY;
use crate::lake::error::{LakeError, Result};
use crate::lake::read::avro::{self, Known, Malformed};
use crate::lake::read::deletes;
use crate::lake::read::entries::{DELETE_PATH_ID, ManifestReader, Status, StoredFile, damaged};
use crate::lake::read::rewrite::{Put, Record, mapped, rewritten};
use crate::lake::store::Store;
use crate::lake::warehouse::Warehouse;
use crate::schema::TableName;
use bytes::Bytes;
use iceberg::spec::{DataContentType, ManifestList, TableMetadata};
use serde::Serialize;
use serde_json::Value as Json;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

// Fields of manifest lists, manifests and files that hold paths, or what depends on them.
const MANIFEST_PATH: Known = (500, "manifest_path");
const MANIFEST_LENGTH: Known = (501, "manifest_length");
const DATA_FILE: Known = (2, "data_file");
const FILE_PATH: Known = (100, "file_path");
const FILE_BYTES: Known = (104, "file_size_in_bytes");
const SPLIT_OFFSETS: Known = (132, "split_offsets");
const REFERENCED: Known = (143, "referenced_data_file");
const BOUNDS: [Known; 2] = [(125, "lower_bounds"), (128, "upper_bounds")];

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
    /// Every file that was begun.
    written: Vec<String>,
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
            written: Vec::new(),
        };
        let moved = self.publish_moved(&mut moving, &version).await;
        if !matches!(moved, Ok(()) | Err(LakeError::PublishUnknown { .. })) {
            for uri in &moving.written {
                moving.store.discard(uri).await;
            }
        }
        moved?;
        done.manifests = moving.manifests.len() as u64;
        done.delete_files = moving.deletes.len() as u64;
        done.metadata_version += 1;
        Ok(done)
    }

    /// Writes everything for the new place, and publishes it.
    async fn publish_moved(&self, moving: &mut Move, version: &Version) -> Result<()> {
        let metadata = moving.metadata(version).await?;
        for folder in ["data", "metadata"] {
            let directory = format!("{}/{folder}", moving.to);
            moving.store.sync_directory(&directory).await?;
        }
        failpoint::reach(FAIL_AFTER_MANIFESTS);
        let name = &moving.table;
        match self.catalog().replace(name, version, &metadata).await? {
            Some(_) => Ok(()),
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
        let properties = json.get_mut("properties");
        let checkpoint = properties.and_then(|all| all.get_mut(CHECKPOINT_PROPERTY));
        if let Some(Json::String(text)) = checkpoint {
            let mut ledger: Json = serde_json::from_str(text).map_err(corrupt)?;
            self.ledger(&mut ledger).await?;
            *text = ledger.to_string();
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

    /// The URI of a file that is written next.
    fn fresh(&mut self, folder: &str, kind: &str) -> String {
        let unique = uuid::Uuid::now_v7().simple();
        let uri = format!("{}/{folder}/{unique}-moved{kind}", self.to);
        self.written.push(uri.clone());
        uri
    }

    /// Writes a manifest list anew, and the manifests in it that are not yet.
    async fn manifest_list(&mut self, list: &str, metadata: &TableMetadata) -> Result<String> {
        let placed = self.placed(list);
        let bytes = self.store.read(&placed).await?;
        avro::check(&bytes).map_err(damaged(&placed))?;
        let known = ManifestList::parse_with_version(&bytes, metadata.format_version())
            .map_err(LakeError::iceberg("read", placed.clone()))?;
        for manifest in known.consume_entries() {
            let path = manifest.manifest_path;
            if !self.manifests.contains_key(&path) {
                let moved = self.manifest(&path).await?;
                self.manifests.insert(path, moved);
            }
        }
        let uri = self.fresh("metadata", "-list.avro");
        let bytes = rewritten(&bytes, |record| {
            let path = record.text(MANIFEST_PATH)?;
            if let Some((path, length)) = path.and_then(|path| self.manifests.get(path)) {
                record.put(MANIFEST_PATH, Put::Text(path))?;
                record.put(MANIFEST_LENGTH, Put::Long(signed(*length)))?;
            }
            Ok(())
        });
        let bytes = Bytes::from(bytes.map_err(damaged(&placed))?);
        ManifestList::parse_with_version(&bytes, metadata.format_version())
            .map_err(LakeError::iceberg("write", uri.clone()))?;
        self.store.write_new(&uri, bytes).await?;
        Ok(uri)
    }

    /// Writes a manifest anew, and the position deletes in it.
    async fn manifest(&mut self, manifest: &str) -> Result<(String, u64)> {
        let placed = self.placed(manifest);
        let bytes = self.store.read(&placed).await?;
        for delete in position_deletes(&bytes).map_err(damaged(&placed))? {
            let path = delete.file_path();
            if self.deletes.contains_key(path) {
                continue;
            }
            if !delete.is_parquet() {
                return Err(LakeError::UnsupportedDeletes {
                    table: self.table.clone(),
                    path: path.to_owned(),
                    what: "deletion vectors",
                });
            }
            let moved = self.delete_file(path, delete.file_size_in_bytes()).await?;
            self.deletes.insert(path.to_owned(), moved);
        }
        let uri = self.fresh("metadata", "-manifest.avro");
        let bytes = rewritten(&bytes, |entry| {
            if let Some(mut file) = entry.record(DATA_FILE)? {
                self.data_file(&mut file)?;
                let file = file.encoded();
                entry.put(DATA_FILE, Put::Encoded(file))?;
            }
            Ok(())
        });
        let bytes = bytes.map_err(damaged(&placed))?;
        position_deletes(&bytes).map_err(damaged(&uri))?;
        let length = bytes.len() as u64;
        self.store.write_new(&uri, Bytes::from(bytes)).await?;
        Ok((uri, length))
    }

    /// The description of a file: its path, and what else holds paths.
    fn data_file(&self, file: &mut Record<'_>) -> std::result::Result<(), Malformed> {
        let Some(path) = file.text(FILE_PATH)?.map(str::to_owned) else {
            return Ok(());
        };
        match self.deletes.get(&path) {
            Some((moved, bytes)) => {
                file.put(FILE_PATH, Put::Text(moved))?;
                file.put(FILE_BYTES, Put::Long(signed(*bytes)))?;
                // Where its row groups were.
                file.put(SPLIT_OFFSETS, Put::Null)?;
            }
            None => file.put(FILE_PATH, Put::Text(&self.placed(&path)))?,
        }
        let target = file.text(REFERENCED)?;
        if let Some(moved) = target.and_then(|target| self.moved(target)) {
            file.put(REFERENCED, Put::Text(&moved))?;
        }
        for bounds in BOUNDS {
            let moved = match file.field(bounds) {
                Some((field, value)) => mapped(field, value, |id, bound| self.bound(id, bound))?,
                None => None,
            };
            if let Some(moved) = moved {
                file.put(bounds, Put::Encoded(moved))?;
            }
        }
        Ok(())
    }

    /// A bound of the paths in a delete file, in the new place.
    fn bound(&self, id: i64, bound: &[u8]) -> Option<Vec<u8>> {
        if id != i64::from(DELETE_PATH_ID) {
            return None;
        }
        let moved = self.moved(std::str::from_utf8(bound).ok()?)?;
        Some(moved.into_bytes())
    }

    /// Writes a delete file anew with the new paths of its data files.
    async fn delete_file(&mut self, path: &str, bytes: u64) -> Result<(String, u64)> {
        let uri = self.fresh("data", "-deletes.parquet");
        let from = (self.placed(path), bytes);
        let rename = |path: &str| self.placed(path);
        let bytes = deletes::copy(&self.store, from, uri.clone(), rename).await?;
        Ok((uri, bytes))
    }

    /// The lists that a ledger names, and the files in them.
    async fn ledger(&mut self, checkpoint: &mut Json) -> Result<()> {
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
                let bytes = self.store.read(&placed).await?;
                let uri = self.fresh("metadata", "-part.avro");
                let bytes = rewritten(&bytes, |file| self.data_file(file));
                let bytes = Bytes::from(bytes.map_err(damaged(&placed))?);
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

/// The live position deletes in a manifest. Reads all of it.
fn position_deletes(manifest: &[u8]) -> std::result::Result<Vec<StoredFile>, Malformed> {
    let mut deletes = Vec::new();
    ManifestReader::open(manifest, &[])?.for_each(|entry| {
        let file = entry.file.stored()?;
        let is_live = entry.status != Status::Deleted;
        if is_live && file.content_type() == DataContentType::PositionDeletes {
            deletes.push(file);
        }
        Ok(())
    })?;
    Ok(deletes)
}
