//! The catalog seam: which tables there are, which version of a table is the current one, and how the next one comes
//! to be.
//!
//! [`Catalog`] is what the rest of the lake knows of a catalog: load, create, commit. A commit states requirements, as
//! in Iceberg's REST specification, and updates. The catalog publishes all updates in one new version of the
//! metadata, or none of them because a requirement does not hold. [`filesystem`] is the first implementation; a
//! REST catalog answers the same calls with HTTP requests. [`Catalog::replace`] and [`Catalog::settle`] are for what
//! only a filesystem has, paths that move with the folder and a hint; where there is neither, they have nothing to do.
//!
//! Requirements are Iceberg's own (`assert-table-uuid`, `assert-ref-snapshot-id`, `assert-current-schema-id`,
//! `assert-default-spec-id`) and one of ours: the token of the checkpoint. It is the compare-and-set of a run, and
//! Iceberg has no requirement on a property.

pub(in crate::lake) mod filesystem;
pub(in crate::lake) mod names;
pub(in crate::lake) mod previous;

use crate::change::RunId;
use crate::lake::checkpoint::checkpoint_of;
use crate::lake::error::{LakeError, Result};
use crate::lake::schema::Shape;
use crate::lake::store::WHOLE_BYTES_MAX;
use crate::schema::{TableKind, TableName};
use async_trait::async_trait;
use bytes::Bytes;
use flate2::read::GzDecoder;
use iceberg::spec::{Snapshot, SnapshotReference, TableMetadata, TableMetadataBuilder};
use iceberg::{TableRequirement, TableUpdate};
use serde::Deserialize;
use std::collections::{BTreeMap, HashMap};
use std::io::Read;
use std::sync::Arc;
use twox_hash::XxHash3_128;

/// Table property with the [`TableKind`].
pub const KIND_PROPERTY: &str = "icesync.kind";

/// A catalog of Iceberg tables. Reading calls write nothing.
#[async_trait]
pub(in crate::lake) trait Catalog: std::fmt::Debug + Send + Sync {
    /// The names of the tables, sorted.
    async fn tables(&self) -> Result<Vec<TableName>>;

    /// Where the files of a table are.
    fn location_of(&self, table: &TableName) -> String;

    /// The current version; none when the table does not exist. `known` is a version that was loaded before: it is
    /// returned, not parsed again, while it is the current one.
    async fn load(
        &self,
        table: &TableName,
        known: Option<&Arc<Version>>,
    ) -> Result<Option<Arc<Version>>>;

    /// Creates a table; [`LakeError::AlreadyExists`] when there is one.
    async fn create(&self, table: &TableName, metadata: &TableMetadata) -> Result<Version>;

    /// Publishes the updates as the version after `base`: durable, atomic, and only if `base` is still the current
    /// version and the requirements hold. None when they do not: then nothing was published, and never will be. Any
    /// other error means the same, except [`LakeError::PublishUnknown`], which leaves both outcomes open.
    async fn commit(
        &self,
        table: &TableName,
        base: &Version,
        requirements: &[Requirement],
        updates: Vec<TableUpdate>,
    ) -> Result<Option<Version>>;

    /// Publishes a table's whole metadata as the version after `base`; outcomes as of [`Catalog::commit`]. For a table
    /// that is relocated: what it refers to changes everywhere.
    async fn replace(
        &self,
        table: &TableName,
        base: &Version,
        metadata: &TableMetadata,
    ) -> Result<Option<Version>>;

    /// Finishes what a writer that died after its commit left undone, so that other engines see this version.
    async fn settle(&self, table: &TableName, version: &Version) -> Result<()>;

    /// Whether there is nothing to [settle](Catalog::settle).
    async fn is_settled(&self, table: &TableName, version: &Version) -> Result<bool>;
}

/// One version of a table's metadata.
#[derive(Debug)]
pub(in crate::lake) struct Version {
    pub(in crate::lake) number: u64,
    pub(in crate::lake) uri: String,
    /// XXH3 of the file's bytes.
    pub(in crate::lake) digest: u128,
    pub(in crate::lake) metadata: TableMetadata,
    /// Tags and the snapshots they name.
    pub(in crate::lake) tags: Vec<(String, i64)>,
    /// The branch `main` with its retention; none before the first snapshot.
    pub(in crate::lake) main: Option<SnapshotReference>,
}

/// What must hold for a commit.
#[derive(Debug, Clone)]
pub(in crate::lake) enum Requirement {
    /// One of the REST specification's.
    Iceberg(TableRequirement),
    /// The checkpoint has this token; none: there is no checkpoint.
    Checkpoint(Option<RunId>),
}

impl Requirement {
    /// `assert-table-uuid`: the table was not dropped and recreated.
    pub(in crate::lake) fn uuid(metadata: &TableMetadata) -> Self {
        let uuid = metadata.uuid();
        Requirement::Iceberg(TableRequirement::UuidMatch { uuid })
    }

    /// `assert-ref-snapshot-id` of a branch.
    pub(in crate::lake) fn branch(name: &str, snapshot_id: Option<i64>) -> Self {
        Requirement::Iceberg(TableRequirement::RefSnapshotIdMatch {
            r#ref: name.to_owned(),
            snapshot_id,
        })
    }

    /// `assert-current-schema-id`.
    pub(in crate::lake) fn schema(metadata: &TableMetadata) -> Self {
        let current_schema_id = metadata.current_schema_id();
        Requirement::Iceberg(TableRequirement::CurrentSchemaIdMatch { current_schema_id })
    }

    /// `assert-default-spec-id`.
    pub(in crate::lake) fn spec(metadata: &TableMetadata) -> Self {
        let default_spec_id = metadata.default_partition_spec_id();
        Requirement::Iceberg(TableRequirement::DefaultSpecIdMatch { default_spec_id })
    }

    fn holds(&self, table: &TableName, metadata: &TableMetadata) -> Result<bool> {
        match self {
            Requirement::Iceberg(requirement) => Ok(requirement.check(Some(metadata)).is_ok()),
            Requirement::Checkpoint(token) => {
                let found = checkpoint_of(table, metadata)?;
                Ok(found.map(|checkpoint| checkpoint.run_id) == *token)
            }
        }
    }
}

/// What must be readable in any version of a table.
pub(in crate::lake) fn understand(
    name: &TableName,
    metadata: &TableMetadata,
) -> Result<(Shape, TableKind)> {
    let shape = Shape::of(name, metadata)?;
    let kind = match metadata.properties().get(KIND_PROPERTY).map(String::as_str) {
        Some("history") => TableKind::History,
        Some("mirror") => TableKind::Mirror,
        Some(kind) => {
            return Err(LakeError::UnsupportedTable {
                table: name.clone(),
                reason: format!(
                    "its property {KIND_PROPERTY} is `{kind}`, this build knows mirror and history"
                ),
            });
        }
        // Made by something else: rows are read as they are.
        None => TableKind::Mirror,
    };
    Ok((shape, kind))
}

/// The metadata after the updates; its log names the file of `base` so.
///
/// Clocks of writers differ, and a table may have been written by one that is minutes ahead. Iceberg refuses metadata
/// whose times go back by more than a minute, so the new version is never older than its base: its time is that of
/// the clock or one millisecond after the base, whichever is later.
fn next_metadata(
    base: &Version,
    named: String,
    updates: Vec<TableUpdate>,
) -> Result<TableMetadata> {
    let now = chrono::Utc::now().timestamp_millis();
    let time = base.time_after()?;
    let adds = |update: &TableUpdate| matches!(update, TableUpdate::AddSnapshot { .. });
    let build = || {
        let previous = base.metadata.clone();
        let mut builder = TableMetadataBuilder::new_from_metadata(previous, Some(named));
        if time > now && !updates.iter().any(adds) {
            builder = at_time(builder, &base.metadata, time)?;
        }
        for update in updates {
            builder = update.apply(builder)?;
        }
        builder.build()
    };
    let at = base.metadata.location().to_owned();
    let built = build().map_err(LakeError::iceberg("build", at))?;
    Ok(built.metadata)
}

/// Sets the time of the version that is built. The builder takes it from a snapshot that is added, and has no other
/// way: so one is added, which changes no sequence number because it has no parent, and removed again.
fn at_time(
    builder: TableMetadataBuilder,
    base: &TableMetadata,
    time: i64,
) -> iceberg::Result<TableMetadataBuilder> {
    let taken = |id: &i64| base.snapshot_by_id(*id).is_some();
    let id = (1..).find(|id| !taken(id)).unwrap_or(i64::MAX);
    let clock = Snapshot::builder()
        .with_snapshot_id(id)
        .with_sequence_number(base.last_sequence_number())
        .with_timestamp_ms(time)
        .with_manifest_list(String::new())
        .with_summary(iceberg::spec::Summary {
            operation: iceberg::spec::Operation::Append,
            additional_properties: HashMap::new(),
        })
        .with_schema_id(base.current_schema_id())
        .build();
    Ok(builder.add_snapshot(clock)?.remove_snapshots(&[id]))
}

/// The JSON of a metadata file, which may be compressed whatever its name says.
pub(in crate::lake) fn metadata_json(uri: &str, bytes: Bytes) -> Result<Bytes> {
    inflated(uri, bytes, WHOLE_BYTES_MAX)
}

fn inflated(uri: &str, bytes: Bytes, bytes_max: u64) -> Result<Bytes> {
    if !bytes.starts_with(&[0x1f, 0x8b]) {
        return Ok(bytes);
    }
    let corrupt = |source: Box<dyn std::error::Error + Send + Sync>| LakeError::MetadataCorrupt {
        path: uri.to_owned(),
        source,
    };
    let mut json = Vec::new();
    let mut decoder = GzDecoder::new(bytes.as_ref()).take(bytes_max + 1);
    decoder
        .read_to_end(&mut json)
        .map_err(|error| corrupt(error.into()))?;
    if json.len() as u64 > bytes_max {
        return Err(corrupt(
            format!("it has more than {bytes_max} bytes when decompressed").into(),
        ));
    }
    Ok(Bytes::from(json))
}

/// The references of a metadata file; the library does not list them.
#[derive(Deserialize)]
struct Refs {
    #[serde(default)]
    refs: BTreeMap<String, SnapshotReference>,
}

impl Version {
    /// The time of the version after this one in milliseconds: the clock's, or one millisecond later than this one's.
    /// Refuses a time that no calendar has, because nothing can be added to it.
    pub(in crate::lake) fn time_after(&self) -> Result<i64> {
        let last = self.metadata.last_updated_ms();
        let Some(next) = chrono::DateTime::from_timestamp_millis(last).map(|_| last + 1) else {
            return Err(LakeError::MetadataCorrupt {
                path: self.uri.clone(),
                source: format!("its last-updated-ms is {last}, which is no time").into(),
            });
        };
        Ok(next.max(chrono::Utc::now().timestamp_millis()))
    }

    /// Reads a metadata file: its bytes, and the JSON that they hold.
    fn parse(number: u64, uri: String, bytes: &[u8], json: &[u8]) -> Result<Self> {
        let corrupt =
            |source: Box<dyn std::error::Error + Send + Sync>| LakeError::MetadataCorrupt {
                path: uri.clone(),
                source,
            };
        let metadata: TableMetadata =
            serde_json::from_slice(json).map_err(|error| corrupt(error.into()))?;
        let refs: Refs = serde_json::from_slice(json).map_err(|error| corrupt(error.into()))?;
        let main = refs.refs.get("main").cloned();
        let tags = refs.refs.into_iter();
        let tags = tags.filter(|(_, reference)| !reference.is_branch());
        let tags = tags.map(|(name, reference)| (name, reference.snapshot_id));
        let tags = tags.collect();
        Ok(Self {
            number,
            uri,
            digest: XxHash3_128::oneshot(bytes),
            metadata,
            tags,
            main,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::read::GzEncoder;

    #[test]
    fn metadata_is_not_inflated_without_bound() {
        let zeros = vec![b' '; 1 << 20];
        let mut bytes = Vec::new();
        GzEncoder::new(zeros.as_slice(), flate2::Compression::best())
            .read_to_end(&mut bytes)
            .unwrap();
        let bytes = Bytes::from(bytes);
        let json = inflated("file:///v1.gz.metadata.json", bytes.clone(), 1 << 20).unwrap();
        assert_eq!(json.len(), 1 << 20);
        let error = inflated("file:///v1.gz.metadata.json", bytes, (1 << 20) - 1).unwrap_err();
        assert!(
            error.to_string().contains("/v1.gz.metadata.json"),
            "{error}"
        );
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert!(source.contains("more than 1048575 bytes"), "{source}");
    }
}
