//! The filesystem catalog: which metadata file of a table is the current one, and how the next one is published.
//!
//! ```text
//! <warehouse>/<namespace>/<table>/metadata/v{N}.metadata.json    one per commit, never changed
//!                                 metadata/version-hint.text     the last N, without a newline
//!                                 metadata/*.avro                manifests and manifest lists
//!                                 data/*.parquet                 data and position deletes
//! ```
//!
//! **Publishing.** A commit computed from version N writes `v{N+1}.metadata.json` with put-if-absent. That one
//! write is the commit: of two writers that computed from the same N exactly one succeeds, and the file is complete
//! and durable before its name exists. Everything it refers to is durable before it. The hint follows.
//!
//! **Finding the current version.** A crash between the two writes leaves a hint that is one behind (or missing,
//! after the first). Other readers trust the hint and would read the older version, so every open and every commit
//! looks forward from the hint for the next existing version and rewrites the hint. A hint that points to a file
//! that is gone is replaced by the highest version that exists, with a warning; versions are never guessed from
//! anything but the names of complete files.

use crate::failpoint;
use crate::lake::error::{LakeError, Result};
use crate::lake::schema::{self, SCHEMA_PROPERTY};
use crate::lake::store::Store;
use crate::lake::table::LakeTable;
use crate::lake::{FAIL_AFTER_HINT, FAIL_AFTER_METADATA};
use crate::schema::{LakeSchema, TableKind, TableName};
use bytes::Bytes;
use iceberg::spec::{
    FormatVersion, SortOrder, TableMetadata, TableMetadataBuilder, UnboundPartitionSpec,
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde::Deserialize;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Table property with the [`TableKind`].
pub const KIND_PROPERTY: &str = "icesync.kind";

/// Characters of a directory name that need no encoding.
const NAME: &AsciiSet = &NON_ALPHANUMERIC.remove(b'_').remove(b'-').remove(b'.');

/// A directory of Iceberg tables.
#[derive(Debug, Clone)]
pub struct Warehouse {
    store: Arc<Store>,
}

/// One version of a table's metadata.
#[derive(Debug)]
pub(in crate::lake) struct Version {
    pub(in crate::lake) number: u64,
    pub(in crate::lake) uri: String,
    pub(in crate::lake) metadata: TableMetadata,
    /// Tags and the snapshots they name.
    pub(in crate::lake) tags: Vec<(String, i64)>,
}

impl Warehouse {
    /// Opens a warehouse at a directory or `file://` URI; it need not exist yet. Nothing is written.
    pub async fn open(location: &str) -> Result<Self> {
        let store = Store::open(location)?;
        // Finds a file in the way or a missing permission now instead of in the middle of a run.
        store.list(store.root(), true).await?;
        Ok(Self {
            store: Arc::new(store),
        })
    }

    /// The absolute URI of the warehouse.
    pub fn location(&self) -> &str {
        self.store.root()
    }

    /// The names of the tables, sorted.
    pub async fn tables(&self) -> Result<Vec<TableName>> {
        let mut tables = Vec::new();
        let root = self.store.root();
        for namespace in self.store.list(root, true).await? {
            let directory = format!("{root}/{namespace}");
            for table in self.store.list(&directory, true).await? {
                let metadata = format!("{directory}/{table}/metadata");
                if self.store.exists(&metadata).await?
                    && let (Some(schema), Some(name)) = (decode(&namespace), decode(&table))
                {
                    tables.push(TableName { schema, name });
                }
            }
        }
        tables.sort();
        Ok(tables)
    }

    /// The current version of a table; none when it does not exist. Repairs a stale hint.
    pub async fn table(&self, name: &TableName) -> Result<Option<LakeTable>> {
        let location = self.location_of(name);
        let Some(version) = current(&self.store, &location, None).await? else {
            return Ok(None);
        };
        LakeTable::new(self.store.clone(), name.clone(), location, version).map(Some)
    }

    /// Creates an empty table, format version 2, unpartitioned. [`LakeError::AlreadyExists`] when it exists.
    pub async fn create(
        &self,
        name: &TableName,
        schema: &LakeSchema,
        kind: TableKind,
        properties: BTreeMap<String, String>,
    ) -> Result<LakeTable> {
        let location = self.location_of(name);
        let kind = match kind {
            TableKind::Mirror => "mirror",
            TableKind::History => "history",
        };
        let mut all = HashMap::from([
            ("write.format.default", "parquet"),
            ("write.delete.mode", "merge-on-read"),
            ("write.update.mode", "merge-on-read"),
            ("write.merge.mode", "merge-on-read"),
            ("write.parquet.compression-codec", "zstd"),
            (KIND_PROPERTY, kind),
        ])
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect::<HashMap<_, _>>();
        all.insert(
            SCHEMA_PROPERTY.to_owned(),
            schema::kept_schema(name, schema)?,
        );
        all.extend(properties);
        let metadata = TableMetadataBuilder::new(
            schema::iceberg_schema(name, schema)?,
            UnboundPartitionSpec::builder().build(),
            SortOrder::unsorted_order(),
            location.clone(),
            FormatVersion::V2,
            all,
        )
        .and_then(TableMetadataBuilder::build)
        .map_err(LakeError::iceberg("build", location.clone()))?
        .metadata;
        let exists = || LakeError::AlreadyExists {
            table: name.clone(),
            path: location.clone(),
        };
        if current(&self.store, &location, None).await?.is_some() {
            return Err(exists());
        }
        for directory in ["metadata", "data"] {
            let directory = format!("{location}/{directory}");
            self.store.create_directory(&directory).await?;
        }
        match publish(&self.store, &location, 1, &metadata).await? {
            Some(version) => LakeTable::new(self.store.clone(), name.clone(), location, version),
            None => Err(exists()),
        }
    }

    pub(in crate::lake) fn location_of(&self, name: &TableName) -> String {
        let (namespace, table) = (encode(&name.schema), encode(&name.name));
        format!("{}/{namespace}/{table}", self.store.root())
    }

    pub(in crate::lake) fn store_arc(&self) -> Arc<Store> {
        self.store.clone()
    }

    #[cfg(test)]
    pub(in crate::lake) fn store(&self) -> &Store {
        &self.store
    }
}

/// A directory name that holds any table name and never is `.`, `..` or hidden.
fn encode(part: &str) -> String {
    let encoded = utf8_percent_encode(part, NAME).to_string();
    match encoded.strip_prefix('.') {
        Some(rest) => format!("%2E{rest}"),
        None => encoded,
    }
}

fn decode(directory: &str) -> Option<String> {
    let decoded = percent_decode_str(directory).decode_utf8().ok()?;
    Some(decoded.into_owned())
}

pub(in crate::lake) fn metadata_uri(location: &str, number: u64) -> String {
    format!("{location}/metadata/v{number}.metadata.json")
}

fn hint_uri(location: &str) -> String {
    format!("{location}/metadata/version-hint.text")
}

/// Reads the current version, repairing the hint. `at_least` is a version known to exist, if any.
pub(in crate::lake) async fn current(
    store: &Store,
    location: &str,
    at_least: Option<u64>,
) -> Result<Option<Version>> {
    let Some((hint, mut number)) = start(store, location, at_least).await? else {
        return Ok(None);
    };
    while store.exists(&metadata_uri(location, number + 1)).await? {
        number += 1;
    }
    let version = read(store, location, number).await?;
    if hint != Some(number)
        && let Err(error) = write_hint(store, location, number).await
    {
        // Reading needs no hint, and a warehouse may be read-only for those who only read.
        tracing::warn!(%location, error = %error, "version-hint.text is stale and cannot be repaired; other readers \
            see an older version");
    }
    Ok(Some(version))
}

/// What the hint says, and an existing version to look forward from.
async fn start(
    store: &Store,
    location: &str,
    at_least: Option<u64>,
) -> Result<Option<(Option<u64>, u64)>> {
    let hint_uri = hint_uri(location);
    let text = store.read_if_exists(&hint_uri).await?;
    let text = text.map(|bytes| String::from_utf8_lossy(&bytes).trim().to_owned());
    let hint: Option<u64> = text.as_ref().and_then(|text| text.parse().ok());
    if let Some(number) = hint.max(at_least)
        && store.exists(&metadata_uri(location, number)).await?
    {
        return Ok(Some((hint, number)));
    }
    let names = store.list(&format!("{location}/metadata"), false).await?;
    let highest = names
        .iter()
        .filter_map(|name| {
            let number = name.strip_prefix('v')?.strip_suffix(".metadata.json")?;
            number.parse::<u64>().ok()
        })
        .max();
    match (highest, text, hint) {
        (Some(highest), None, _) => {
            // Version 1 without a hint is a creation that was cut short; more without one was removed by somebody.
            if highest > 1 {
                tracing::warn!(hint = %hint_uri, version = highest, "version-hint.text is missing; using the highest \
                    version and writing it anew");
            }
            Ok(Some((None, highest)))
        }
        (Some(highest), Some(text), _) => {
            tracing::warn!(hint = %hint_uri, says = %text, version = highest, "version-hint.text points nowhere; using \
                the highest version that exists");
            Ok(Some((None, highest)))
        }
        (None, Some(_), Some(version)) => Err(LakeError::HintDangling {
            path: hint_uri,
            version,
        }),
        (None, Some(text), None) => Err(LakeError::HintInvalid {
            path: hint_uri,
            text,
        }),
        (None, None, _) if names.iter().any(|name| name.ends_with(".metadata.json")) => {
            Err(LakeError::NotFilesystemCatalog {
                path: format!("{location}/metadata"),
            })
        }
        (None, None, _) => Ok(None),
    }
}

/// The references of a metadata file; the library does not list them.
#[derive(Deserialize)]
struct Refs {
    #[serde(default)]
    refs: BTreeMap<String, Reference>,
}

#[derive(Deserialize)]
struct Reference {
    #[serde(rename = "snapshot-id")]
    snapshot_id: i64,
    #[serde(rename = "type")]
    kind: String,
}

async fn read(store: &Store, location: &str, number: u64) -> Result<Version> {
    let uri = metadata_uri(location, number);
    let bytes = store.read(&uri).await?;
    parse(number, uri, &bytes)
}

fn parse(number: u64, uri: String, bytes: &Bytes) -> Result<Version> {
    let corrupt = |source: Box<dyn std::error::Error + Send + Sync>| LakeError::MetadataCorrupt {
        path: uri.clone(),
        source,
    };
    let metadata: TableMetadata =
        serde_json::from_slice(bytes).map_err(|error| corrupt(error.into()))?;
    let refs: Refs = serde_json::from_slice(bytes).map_err(|error| corrupt(error.into()))?;
    let tags = refs
        .refs
        .into_iter()
        .filter(|(_, reference)| reference.kind == "tag")
        .map(|(name, reference)| (name, reference.snapshot_id))
        .collect();
    Ok(Version {
        number,
        uri,
        metadata,
        tags,
    })
}

/// Publishes a version: durable and atomic; none when the number was taken. The hint is written after it; a failure to
/// write the hint is no failure of the commit (the next open repairs it) and is logged.
pub(in crate::lake) async fn publish(
    store: &Store,
    location: &str,
    number: u64,
    metadata: &TableMetadata,
) -> Result<Option<Version>> {
    let uri = metadata_uri(location, number);
    let bytes = serde_json::to_vec(metadata).map_err(|error| LakeError::MetadataCorrupt {
        path: uri.clone(),
        source: error.into(),
    })?;
    let bytes = Bytes::from(bytes);
    // What is about to be published must be readable: a metadata file that cannot be read back would block the table.
    let version = parse(number, uri.clone(), &bytes)?;
    if !store.create(&uri, bytes).await? {
        return Ok(None);
    }
    failpoint::reach(FAIL_AFTER_METADATA);
    if let Err(error) = hint_forward(store, location, number).await {
        tracing::warn!(%uri, error = %error, "committed, but version-hint.text could not be written; other readers see \
            the version before until the next run");
    }
    failpoint::reach(FAIL_AFTER_HINT);
    Ok(Some(version))
}

/// Writes the hint after a commit. If the next version exists by then, its hint may have been written before ours:
/// then the hint is moved on, so that of two commits in a row the last one to write it never leaves it behind.
async fn hint_forward(store: &Store, location: &str, number: u64) -> Result<()> {
    let mut number = number;
    write_hint(store, location, number).await?;
    while store.exists(&metadata_uri(location, number + 1)).await? {
        number += 1;
        write_hint(store, location, number).await?;
    }
    Ok(())
}

async fn write_hint(store: &Store, location: &str, number: u64) -> Result<()> {
    store
        .replace(&hint_uri(location), Bytes::from(number.to_string()))
        .await
}
