//! A read-only view of one version of a table: its properties, checkpoint, snapshots and tags.
//!
//! What changes a table is in `commit`, which publishes the next version and moves the view to it.

use crate::change::{Checkpoint, RunId};
use crate::lake::catalog::{Catalog, Version, understand};
use crate::lake::checkpoint::{CHECKPOINT_PROPERTY, checkpoint_of, parse_checkpoint};
use crate::lake::error::{LakeError, Result};
use crate::lake::read::manifests::Files;
use crate::lake::schema::Shape;
use crate::lake::store::Store;
use crate::lake::tags::{LoadTag, Tagged, Tags, TargetTags};
use crate::schema::drift::Recorded;
use crate::schema::{LakeField, LakeSchema, Role, TableKind, TableName};
use iceberg::spec::{Snapshot, TableMetadata};
use serde::{Deserialize, Serialize};
use std::str::FromStr;
use std::sync::Arc;

/// Entry of a snapshot's summary with the run that committed it.
pub const RUN_PROPERTY: &str = "icesync.run-id";
/// Table property with the columns of the source that the table was written from, as [`Recorded`].
pub const SOURCE_SCHEMA_PROPERTY: &str = "icesync.source-schema";
/// Table property of a history table: the last `_seq` given.
pub(in crate::lake) const SEQ_PROPERTY: &str = "icesync.seq-high";

/// A table as of one metadata version. Commits through it move it to the version they made; [`LakeTable::refresh`]
/// moves it to the newest.
#[derive(Debug, Clone)]
pub struct LakeTable {
    pub(in crate::lake) store: Arc<Store>,
    pub(in crate::lake) catalog: Arc<dyn Catalog>,
    pub(in crate::lake) name: TableName,
    pub(in crate::lake) location: String,
    pub(in crate::lake) version: Arc<Version>,
    pub(in crate::lake) shape: Arc<Shape>,
    kind: TableKind,
}

/// Names a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SnapshotRef {
    /// The current one.
    Latest,
    /// By sequence number, or else by snapshot id.
    Number(i64),
}

impl FromStr for SnapshotRef {
    type Err = &'static str;

    /// Reads `latest` or a number.
    fn from_str(text: &str) -> std::result::Result<Self, Self::Err> {
        if text.eq_ignore_ascii_case("latest") {
            return Ok(SnapshotRef::Latest);
        }
        text.parse().map(SnapshotRef::Number).map_err(
            |_| "write `latest`, a sequence number or a snapshot id (icesync snapshots lists them)",
        )
    }
}

/// One snapshot of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotInfo {
    pub id: i64,
    pub parent: Option<i64>,
    pub sequence_number: i64,
    /// Milliseconds since 1970, UTC.
    pub committed_at_ms: i64,
    /// `append`, `overwrite`, `delete` or `replace`.
    pub operation: String,
    pub run_id: Option<RunId>,
    /// Rows written by it.
    pub rows_added: u64,
    /// Rows that it removed or replaced.
    pub rows_deleted: u64,
    /// Rows of the table after it, where the writer counted them.
    pub rows_total: Option<u64>,
    pub checkpoint: Option<Checkpoint>,
    pub tags: Vec<String>,
}

impl LakeTable {
    pub(in crate::lake) fn new(
        store: Arc<Store>,
        catalog: Arc<dyn Catalog>,
        name: TableName,
        location: String,
        version: Arc<Version>,
    ) -> Result<Self> {
        let (shape, kind) = understand(&name, &version.metadata)?;
        Ok(Self {
            store,
            catalog,
            name,
            location,
            version,
            shape: Arc::new(shape),
            kind,
        })
    }

    /// Moves to another version of the same table.
    pub(in crate::lake) fn advance(&mut self, version: Arc<Version>) -> Result<()> {
        let (store, catalog) = (self.store.clone(), self.catalog.clone());
        let (name, location) = (self.name.clone(), self.location.clone());
        *self = Self::new(store, catalog, name, location, version)?;
        Ok(())
    }

    /// Moves to the newest version. [`LakeError::TableReplaced`] when that is another table's.
    pub async fn refresh(&mut self) -> Result<()> {
        let newest = self.catalog.load(&self.name, Some(&self.version)).await?;
        let newest = newest.ok_or_else(|| LakeError::TableMissing {
            table: self.name.clone(),
        })?;
        let (expected, found) = (self.uuid(), newest.metadata.uuid());
        if expected != found {
            return Err(LakeError::TableReplaced {
                table: self.name.clone(),
                expected,
                found,
            });
        }
        if Arc::ptr_eq(&newest, &self.version) {
            return Ok(());
        }
        self.advance(newest)
    }

    /// Finishes what a run that died after its commit left undone, so that other engines see this version. For
    /// commands that write; see `catalog`. A failure is logged: this run does not depend on it.
    pub async fn settle(&self) {
        if let Err(error) = self.catalog.settle(&self.name, &self.version).await {
            let table = &self.name;
            tracing::warn!(%table, error = %error, "version-hint.text is stale and cannot be written; other readers \
                see an older version");
        }
    }

    /// As [`LakeTable::settle`], for a command that is asked to: answers whether there was something to finish, and
    /// fails where it cannot.
    pub async fn mend_hint(&self) -> Result<bool> {
        if self.is_settled().await? {
            return Ok(false);
        }
        self.catalog.settle(&self.name, &self.version).await?;
        Ok(true)
    }

    pub fn name(&self) -> &TableName {
        &self.name
    }

    pub fn uuid(&self) -> uuid::Uuid {
        self.metadata().uuid()
    }

    /// The absolute URI of the table's directory.
    pub fn location(&self) -> &str {
        &self.location
    }

    /// The metadata file of this version.
    pub fn metadata_location(&self) -> &str {
        &self.version.uri
    }

    /// Number of this metadata version.
    pub fn metadata_version(&self) -> u64 {
        self.version.number
    }

    pub fn kind(&self) -> TableKind {
        self.kind
    }

    /// The current schema, with roles, sources and folds as they were at creation.
    pub fn lake_schema(&self) -> &LakeSchema {
        &self.shape.schema
    }

    /// A table property.
    pub fn property(&self, name: &str) -> Option<&str> {
        self.metadata().properties().get(name).map(String::as_str)
    }

    pub(in crate::lake) fn metadata(&self) -> &TableMetadata {
        &self.version.metadata
    }

    /// The checkpoint committed with this version; none when no run has committed.
    pub fn checkpoint(&self) -> Result<Option<Checkpoint>> {
        checkpoint_of(&self.name, self.metadata())
    }

    /// Id of the current snapshot; none before the first commit of rows.
    pub fn current_snapshot_id(&self) -> Option<i64> {
        self.metadata().current_snapshot_id()
    }

    /// Whether the table still lists a snapshot.
    pub fn has_snapshot(&self, id: i64) -> bool {
        self.metadata().snapshot_by_id(id).is_some()
    }

    /// Sequence number of a snapshot by its id; none when the table does not list it.
    pub fn sequence_number(&self, id: i64) -> Option<i64> {
        let snapshot = self.metadata().snapshot_by_id(id);
        snapshot.map(|snapshot| snapshot.sequence_number())
    }

    /// All snapshots, oldest first.
    pub fn snapshots(&self) -> Vec<SnapshotInfo> {
        let mut snapshots: Vec<SnapshotInfo> = self
            .metadata()
            .snapshots()
            .map(|snapshot| self.describe(snapshot))
            .collect();
        snapshots.sort_by_key(|snapshot| (snapshot.sequence_number, snapshot.id));
        snapshots
    }

    fn describe(&self, snapshot: &Snapshot) -> SnapshotInfo {
        let summary = snapshot.summary();
        let entry = |name: &str| summary.additional_properties.get(name);
        let count = |name: &str| entry(name).and_then(|text| text.parse::<u64>().ok());
        let deleted = ["deleted-records", "added-position-deletes"].map(count);
        let deleted = deleted.into_iter().flatten().fold(0, u64::saturating_add);
        // Position deletes may overlap or name rows of files that are gone: only their writer could count the rows.
        let deletes = count("total-position-deletes").unwrap_or(0);
        let total = count("total-records").filter(|_| deletes == 0);
        SnapshotInfo {
            id: snapshot.snapshot_id(),
            parent: snapshot.parent_snapshot_id(),
            sequence_number: snapshot.sequence_number(),
            committed_at_ms: snapshot.timestamp_ms(),
            operation: summary.operation.as_str().to_owned(),
            run_id: entry(RUN_PROPERTY).and_then(|text| text.parse().ok()),
            rows_added: count("added-records").unwrap_or(0),
            rows_deleted: count(DELETED_ROWS_ENTRY).unwrap_or(deleted),
            rows_total: count(LIVE_ROWS_ENTRY).or(total),
            // A snapshot of another version's run is listed even when its checkpoint is beyond this build.
            checkpoint: entry(CHECKPOINT_PROPERTY)
                .and_then(|text| parse_checkpoint(&self.name, text).ok()),
            tags: self
                .version
                .tags
                .iter()
                .filter(|(_, id)| *id == snapshot.snapshot_id())
                .map(|(tag, _)| tag.clone())
                .collect(),
        }
    }

    /// The snapshot that a user names. [`LakeError::SnapshotNotFound`] says what there is.
    pub fn resolve(&self, wanted: SnapshotRef) -> Result<SnapshotInfo> {
        let metadata = self.metadata();
        let found = match wanted {
            SnapshotRef::Latest => metadata.current_snapshot(),
            SnapshotRef::Number(number) => metadata
                .snapshots()
                .find(|snapshot| snapshot.sequence_number() == number)
                .or_else(|| metadata.snapshot_by_id(number)),
        };
        found
            .map(|snapshot| self.describe(snapshot))
            .ok_or_else(|| LakeError::SnapshotNotFound {
                table: self.name.clone(),
                wanted: match wanted {
                    SnapshotRef::Latest => "yet".to_owned(),
                    SnapshotRef::Number(number) => number.to_string(),
                },
                available: self.available(),
            })
    }

    fn available(&self) -> String {
        let snapshots = self.snapshots();
        match (snapshots.first(), snapshots.last()) {
            (Some(first), Some(last)) if first.id != last.id => format!(
                "sequence numbers {} to {} ({} snapshots)",
                first.sequence_number,
                last.sequence_number,
                snapshots.len()
            ),
            (Some(only), _) => format!("sequence number {} (id {})", only.sequence_number, only.id),
            (None, _) => "no snapshots: run extract first".to_owned(),
        }
    }

    /// Live rows of the current snapshot: from its summary, or counted from manifests and delete files.
    pub async fn current_rows(&self) -> Result<u64> {
        let Some(current) = self.metadata().current_snapshot() else {
            return Ok(0);
        };
        if let Some(rows) = current
            .summary()
            .additional_properties
            .get(LIVE_ROWS_ENTRY)
            .and_then(|text| text.parse().ok())
        {
            return Ok(rows);
        }
        let files = self.files(Some(current.snapshot_id())).await?;
        let mut index = crate::lake::read::deletes::DeleteIndex::default();
        let mut rows = files.rows_written();
        for data in &files.data {
            rows = rows.saturating_sub(index.of(&self.store, &files, data).await?.len());
        }
        Ok(rows)
    }

    /// The field of the column that a history table follows, which may have another name than its column.
    fn followed_field(&self) -> Option<usize> {
        if self.kind == TableKind::Mirror {
            return None;
        }
        let followed = self.checkpoint().ok()??.watermark?.column;
        let recorded = self.property(SOURCE_SCHEMA_PROPERTY)?;
        let recorded: Recorded = serde_json::from_str(recorded).ok()?;
        let source = recorded.source_position(&followed)?;
        let is_followed =
            |field: &LakeField| field.source == Some(source) && field.role == Role::Value;
        self.shape.schema.fields.iter().position(is_followed)
    }

    pub(in crate::lake) async fn files(&self, snapshot_id: Option<i64>) -> Result<Files> {
        // Lookups compare the key columns; a delta of a history table asks for the greatest order number, and a
        // window for the greatest watermark.
        let fields = self
            .shape
            .key_fields()
            .into_iter()
            .chain(self.shape.position_of(Role::Seq))
            .chain(self.followed_field());
        let bounded: Vec<i32> = fields.map(|field| self.shape.ids[field]).collect();
        Files::of(
            &self.store,
            &self.name,
            self.metadata(),
            snapshot_id,
            &bounded,
        )
        .await
    }

    /// The snapshot that a run committed, in this version. Look here before repeating a commit whose reply was lost.
    pub fn resolve_run(&self, run_id: RunId) -> Option<SnapshotInfo> {
        self.snapshots()
            .into_iter()
            .rev()
            .find(|snapshot| snapshot.run_id == Some(run_id))
    }

    /// The last `_seq` that a history table has given; 0 before the first.
    pub(in crate::lake) fn seq_high(&self) -> i64 {
        let known = self.property(SEQ_PROPERTY);
        known.and_then(|text| text.parse().ok()).unwrap_or(0)
    }

    pub(in crate::lake) fn tags(&self) -> Tags<'_> {
        Tags {
            tags: &self.version.tags,
            metadata: self.metadata(),
        }
    }

    /// What the tags of this version say of a target.
    pub fn tagged(&self, target: &TargetTags) -> Tagged {
        self.tags().of(target)
    }

    /// The tags of loads, of every target.
    pub fn load_tags(&self) -> Vec<LoadTag> {
        self.tags().of_loads()
    }

    /// Sequence number of the snapshot that a target has loaded according to its tag; none without a tag.
    pub fn loaded_by_tag(&self, target: &TargetTags) -> Option<i64> {
        self.tagged(target)
            .loaded
            .and_then(|id| self.sequence_number(id))
    }

    /// Sequence number of the newest snapshot that a target has loaded, or was about to load, according to its tags.
    pub fn newest_by_tag(&self, target: &TargetTags) -> Option<i64> {
        let tagged = self.tagged(target);
        let tagged = tagged.loaded.into_iter().chain(tagged.loading);
        tagged.filter_map(|id| self.sequence_number(id)).max()
    }

    /// Whether other engines see this version: a run that died after its commit leaves a hint that names an older one.
    pub async fn is_settled(&self) -> Result<bool> {
        self.catalog.is_settled(&self.name, &self.version).await
    }
}

/// Entries of a snapshot's summary with counts that Iceberg's own do not give: position deletes may overlap, and a
/// deleted file may have held deleted rows.
pub(in crate::lake) const LIVE_ROWS_ENTRY: &str = "icesync.rows-total";
pub(in crate::lake) const DELETED_ROWS_ENTRY: &str = "icesync.rows-deleted";
