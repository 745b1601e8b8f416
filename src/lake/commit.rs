//! The commit: rows, position deletes, checkpoint and properties become visible in one metadata file, or not at all.
//!
//! **What can crash where.** Data and delete files are durable first, then manifests, then the manifest list, then
//! the metadata file under the next version's name (put-if-absent), then the hint. Until the metadata file exists
//! nothing refers to the files before it: a crash leaves orphans, which maintenance removes, and the table as it
//! was. Once it exists the commit has happened, checkpoint included; a crash before the hint is repaired by the
//! next open (`catalog`). So the checkpoint and the rows it stands for can never be apart.
//!
//! **Compare and set.** A commit says which checkpoint its run was computed from. Before every attempt the newest
//! version is read: if its checkpoint is another one, a different run has committed this window and ours stops,
//! having written nothing visible. The put-if-absent closes the gap between that look and the write: whoever
//! publishes version N+1 saw version N, so of two runs that saw the same checkpoint one finds the name taken, looks
//! again, and stops.
//!
//! **Rebase.** If only the table moved (compaction, a tag, a property), the attempt is repeated on top. Positions
//! refer to files, so if files came or went since the write began, keys are looked up again, in exactly the files
//! that are new: the keys of our own files, and those of rows that we had found in files that are gone (the files
//! themselves stay on disk until they expire).
//!
//! **Rollback.** A rebase builds on snapshots that follow the base. If another engine rolled `main` back in between,
//! rows that the run's window assumes are gone, and a commit would hide that: it is refused (`ancestry`), unless it
//! writes the whole table anyway.
//!
//! **Unknown outcome.** If publishing fails, the newest version is read and searched for our snapshot id, which is
//! random and therefore ours: found, the commit has happened. If even that cannot be read, the error says so
//! ([`LakeError::CommitUnknown`]) and the files stay.

pub(in crate::lake) mod base;
mod copy;
pub(in crate::lake) mod deletes;
pub(in crate::lake) mod evolve;
pub(in crate::lake) mod manifests;
pub(in crate::lake) mod prepared;
mod rebase;

use crate::change::{Checkpoint, RunId, WriteCounts};
use crate::failpoint;
use crate::lake::FAIL_AFTER_MANIFESTS;
use crate::lake::ancestry::ForeignCommit;
use crate::lake::catalog;
use crate::lake::commit::manifests::{ManifestOutput, next_manifests};
use crate::lake::commit::prepared::{PreparedCommit, remove, summary};
use crate::lake::error::{LakeError, Result};
use crate::lake::keys::lookup::LookupStats;
use crate::lake::table::{
    CHECKPOINT_PROPERTY, LakeTable, RUN_PROPERTY, SEQ_PROPERTY, checkpoint_text,
};
use crate::lake::tags::{Loading, Moves};
use crate::lake::write::options::WriteMode;
use iceberg::spec::{
    Schema, Snapshot, SnapshotReference, SnapshotRetention, Summary, TableMetadataBuilder,
};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

/// A commit gives up after this many attempts that other writers won.
pub(in crate::lake) const ATTEMPTS_MAX: u32 = 30;
const BRANCH: &str = "main";

/// What a commit means.
#[derive(Debug, Clone)]
pub struct CommitIntent {
    pub run_id: RunId,
    /// Run id of the checkpoint that the run was computed from; none when the table had no checkpoint.
    pub base_checkpoint: Option<RunId>,
    /// Committed with the rows; its `snapshot_id` is filled in.
    pub checkpoint: Checkpoint,
    /// Further entries of the snapshot's summary.
    pub summary: BTreeMap<String, String>,
    /// Further table properties.
    pub properties: BTreeMap<String, String>,
    /// The target that is to load the snapshot next.
    pub loading: Option<Loading>,
}

/// What a commit made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The new snapshot; none when there were no rows to add or remove and only the checkpoint was committed.
    pub snapshot_id: Option<i64>,
    /// Of the table after the commit; 0 while it has no snapshot.
    pub sequence_number: i64,
    pub metadata_version: u64,
    pub counts: WriteCounts,
    pub lookup: LookupStats,
    /// Commits of other writers since the snapshot that the write was computed from.
    pub foreign: Vec<ForeignCommit>,
}

/// A change of a table's metadata.
#[derive(Default)]
pub(in crate::lake) struct Change {
    properties: HashMap<String, String>,
    tags: Moves,
    snapshot: Option<Snapshot>,
    schema: Option<Schema>,
    expired: Vec<i64>,
}

impl Change {
    pub(in crate::lake) fn nothing() -> Self {
        Self::default()
    }

    pub(in crate::lake) fn properties(properties: HashMap<String, String>) -> Self {
        Self {
            properties,
            ..Self::default()
        }
    }

    /// Tags that move.
    pub(in crate::lake) fn tags(moves: Moves) -> Self {
        Self {
            tags: moves,
            ..Self::default()
        }
    }

    /// Without these snapshots.
    pub(in crate::lake) fn expire(expired: Vec<i64>) -> Self {
        Self {
            expired,
            ..Self::default()
        }
    }

    /// A new current snapshot.
    pub(in crate::lake) fn snapshot(snapshot: Snapshot) -> Self {
        Self {
            snapshot: Some(snapshot),
            ..Self::default()
        }
    }

    /// A new current schema, and what the properties say of it.
    pub(in crate::lake) fn schema(schema: Schema, properties: HashMap<String, String>) -> Self {
        Self {
            schema: Some(schema),
            properties,
            ..Self::default()
        }
    }

    pub(in crate::lake) fn is_nothing(&self) -> bool {
        self.properties.is_empty()
            && self.tags == Moves::default()
            && self.snapshot.is_none()
            && self.schema.is_none()
            && self.expired.is_empty()
    }
}

impl LakeTable {
    /// Commits a write: all of it becomes visible, with the checkpoint, or an error says that nothing did
    /// ([`LakeError::CommitUnknown`] excepted). After an error the files of the write are removed. See the module
    /// head for compare-and-set and rebase.
    pub async fn commit(
        &mut self,
        prepared: PreparedCommit,
        intent: CommitIntent,
    ) -> Result<Committed> {
        let uris: Vec<String> = prepared.files().map(str::to_owned).collect();
        let committed = self.commit_attempts(prepared, &intent).await;
        match &committed {
            Ok(_) | Err(LakeError::CommitUnknown { .. }) => {}
            Err(_) => {
                for uri in &uris {
                    remove(self, uri).await;
                }
            }
        }
        committed
    }

    #[cfg(test)]
    pub(in crate::lake) async fn commit_as_compaction(
        &mut self,
        mut prepared: PreparedCommit,
        intent: CommitIntent,
    ) -> Result<Committed> {
        prepared.compaction = true;
        self.commit(prepared, intent).await
    }

    async fn commit_attempts(
        &mut self,
        mut prepared: PreparedCommit,
        intent: &CommitIntent,
    ) -> Result<Committed> {
        let snapshot_id = new_snapshot_id();
        let mut foreign = Vec::new();
        for attempt in 0..ATTEMPTS_MAX {
            self.refresh().await?;
            self.check_checkpoint(intent.base_checkpoint)?;
            foreign.extend(self.foreign_to(&prepared).await?);
            prepared = prepared.rebased(self).await?;
            prepared.check_files(self).await?;
            let mut written = Vec::new();
            let change = if prepared.is_empty() {
                self.checkpoint_change(intent, self.current_snapshot_id())?
            } else {
                self.snapshot_change(&prepared, intent, snapshot_id, &mut written)
                    .await?
            };
            let made = change.snapshot.is_some().then_some(snapshot_id);
            let committed_run = Some(intent.run_id);
            if self.publish(change, made, committed_run).await? {
                return Ok(Committed {
                    snapshot_id: made,
                    sequence_number: self.metadata().last_sequence_number(),
                    metadata_version: self.version.number,
                    counts: prepared.counts,
                    lookup: prepared.stats,
                    foreign,
                });
            }
            for uri in &written {
                remove(self, uri).await;
            }
            pause(attempt).await;
        }
        Err(LakeError::CommitConflict {
            table: self.name.clone(),
            attempts: ATTEMPTS_MAX,
        })
    }

    /// What others committed since the write was computed. A write of the whole table holds whatever they did; any
    /// other must build on the snapshot that it was computed from, see [`LakeTable::foreign_since`].
    async fn foreign_to(&self, prepared: &PreparedCommit) -> Result<Vec<ForeignCommit>> {
        let options = &prepared.options;
        if prepared.base.snapshot_id() == self.current_snapshot_id() {
            return Ok(Vec::new());
        }
        let foreign = match self.foreign_since(prepared.base.snapshot_id()).await {
            Err(LakeError::CommitOutdated { .. }) if options.mode == WriteMode::ReplaceAll => {
                Vec::new()
            }
            foreign => foreign?,
        };
        match foreign.first() {
            Some(first) if options.refuse_foreign => Err(LakeError::CommitOutdated {
                table: self.name.clone(),
                reason: format!("another writer committed {first}"),
            }),
            Some(_) | None => Ok(foreign),
        }
    }

    /// Refuses when the newest version has another checkpoint than the run was computed from.
    fn check_checkpoint(&self, expected: Option<RunId>) -> Result<()> {
        let found = self.checkpoint()?;
        if found.as_ref().map(|checkpoint| checkpoint.run_id) == expected {
            return Ok(());
        }
        Err(LakeError::CheckpointMoved {
            table: self.name.clone(),
            by_run: found.as_ref().map(|checkpoint| checkpoint.run_id),
            at: found.map(|checkpoint| checkpoint.committed_at),
            expected,
        })
    }

    fn checkpoint_change(&self, intent: &CommitIntent, snapshot: Option<i64>) -> Result<Change> {
        let mut checkpoint = intent.checkpoint.clone();
        checkpoint.snapshot_id = snapshot;
        let text = checkpoint_text(&self.name, &checkpoint)?;
        let mut properties: HashMap<String, String> =
            intent.properties.clone().into_iter().collect();
        properties.insert(CHECKPOINT_PROPERTY.to_owned(), text);
        Ok(Change::properties(properties))
    }

    /// Writes manifests and manifest list for the plan.
    async fn snapshot_change(
        &self,
        prepared: &PreparedCommit,
        intent: &CommitIntent,
        snapshot_id: i64,
        written: &mut Vec<String>,
    ) -> Result<Change> {
        let metadata = self.metadata();
        let parent = self.current_snapshot_id();
        let mut output = ManifestOutput {
            store: &self.store,
            metadata,
            location: &self.location,
            snapshot_id,
            sequence_number: metadata.next_sequence_number(),
            written: Vec::new(),
        };
        let plan = &prepared.plan;
        let base = prepared.base.files().await?;
        let gone: HashSet<&str> = plan.gone.iter().map(String::as_str).collect();
        let manifests = next_manifests(
            &mut output,
            &base,
            &gone,
            &plan.added_data,
            &plan.added_deletes,
        )
        .await?;
        let list = output.list(parent, manifests).await?;
        written.append(&mut output.written);
        let directory = format!("{}/metadata", self.location);
        self.store.sync_directory(&directory).await?;
        failpoint::reach(FAIL_AFTER_MANIFESTS);
        let mut change = self.checkpoint_change(intent, Some(snapshot_id))?;
        let checkpoint = change.properties.get(CHECKPOINT_PROPERTY).cloned();
        let mut entries = summary(&base, &prepared.plan);
        entries.extend(intent.summary.clone());
        entries.insert(RUN_PROPERTY.to_owned(), intent.run_id.to_string());
        entries.extend(checkpoint.map(|text| (CHECKPOINT_PROPERTY.to_owned(), text)));
        if prepared.seq_high > prepared.base_seq_high {
            let seq = prepared.seq_high.to_string();
            change.properties.insert(SEQ_PROPERTY.to_owned(), seq);
        }
        // The log of snapshots must ascend even when clocks do not.
        let now = chrono::Utc::now().timestamp_millis();
        let snapshot = Snapshot::builder()
            .with_snapshot_id(snapshot_id)
            .with_parent_snapshot_id(parent)
            .with_sequence_number(output.sequence_number)
            .with_timestamp_ms(now.max(metadata.last_updated_ms() + 1))
            .with_manifest_list(list)
            .with_summary(Summary {
                operation: prepared.operation(),
                additional_properties: entries,
            })
            .with_schema_id(metadata.current_schema_id())
            .build();
        change.snapshot = Some(snapshot);
        if let Some(loading) = &intent.loading {
            change.tags = self.tags().with_commit(loading, snapshot_id);
        }
        Ok(change)
    }

    /// Publishes the next version with a change. False when another writer took its number. `made` and `run_id` are
    /// what to look for when the outcome is unknown.
    pub(in crate::lake) async fn publish(
        &mut self,
        change: Change,
        made: Option<i64>,
        run_id: Option<RunId>,
    ) -> Result<bool> {
        let number = self.version.number + 1;
        let build = || -> iceberg::Result<_> {
            let current = self.version.uri.clone();
            let previous = self.version.metadata.clone();
            let mut builder = TableMetadataBuilder::new_from_metadata(previous, Some(current));
            if let Some(schema) = change.schema {
                builder = builder.add_current_schema(schema)?;
            }
            builder = builder.set_properties(change.properties)?;
            if let Some(snapshot) = change.snapshot {
                builder = builder.set_branch_snapshot(snapshot, BRANCH)?;
            }
            for (name, snapshot) in change.tags.set {
                let max_ref_age_ms = None;
                let keep = SnapshotRetention::Tag { max_ref_age_ms };
                builder = builder.set_ref(&name, SnapshotReference::new(snapshot, keep))?;
            }
            for name in change.tags.removed {
                builder = builder.remove_ref(&name);
            }
            builder = builder.remove_snapshots(&change.expired);
            for id in change.expired {
                builder = builder
                    .remove_statistics(id)
                    .remove_partition_statistics(id);
            }
            builder.build()
        };
        let metadata = build()
            .map_err(LakeError::iceberg("build", self.location.clone()))?
            .metadata;
        // After publishing nothing may fail any more: what cannot be read back is not published.
        crate::lake::table::understand(&self.name, &metadata)?;
        match catalog::publish(&self.store, &self.location, number, &metadata).await {
            Ok(Some(version)) => {
                self.advance(version)?;
                Ok(true)
            }
            // With a store that repeats requests by itself the name may have been taken by our own first try.
            Ok(None) => match (self.refresh().await, run_id) {
                (Ok(()), _) => Ok(self.has(made, run_id)),
                (Err(error), Some(run_id)) => Err(self.unknown(run_id, error)),
                (Err(error), None) => Err(error),
            },
            Err(error) => match (self.refresh().await, run_id) {
                (Ok(()), _) if self.has(made, run_id) => Ok(true),
                (Ok(()), _) | (Err(_), None) => Err(error),
                (Err(_), Some(run_id)) => Err(self.unknown(run_id, error)),
            },
        }
    }

    fn unknown(&self, run_id: RunId, source: LakeError) -> LakeError {
        LakeError::CommitUnknown {
            table: self.name.clone(),
            run_id,
            source: Box::new(source),
        }
    }

    /// Whether this version holds what a commit made.
    fn has(&self, made: Option<i64>, run_id: Option<RunId>) -> bool {
        match (made, run_id) {
            (Some(snapshot), _) => self.metadata().snapshot_by_id(snapshot).is_some(),
            (None, Some(run_id)) => {
                matches!(self.checkpoint(), Ok(Some(found)) if found.run_id == run_id)
            }
            (None, None) => false,
        }
    }

    /// Publishes a change that is made anew from the newest version for each attempt.
    pub(in crate::lake) async fn apply(
        &mut self,
        base: Option<Option<RunId>>,
        run_id: Option<RunId>,
        make: impl Fn(&LakeTable) -> Result<Change>,
    ) -> Result<()> {
        for attempt in 0..ATTEMPTS_MAX {
            self.refresh().await?;
            if let Some(expected) = base {
                self.check_checkpoint(expected)?;
            }
            let change = make(self)?;
            if change.is_nothing() || self.publish(change, None, run_id).await? {
                return Ok(());
            }
            pause(attempt).await;
        }
        Err(LakeError::CommitConflict {
            table: self.name.clone(),
            attempts: ATTEMPTS_MAX,
        })
    }
}

/// Waits a random while that grows with the attempts, so that writers do not meet again.
pub(in crate::lake) async fn pause(attempt: u32) {
    let limit = 10_u64 << attempt.min(6);
    let random = u64::from_le_bytes(
        uuid::Uuid::new_v4().as_bytes()[..8]
            .try_into()
            .unwrap_or_default(),
    );
    tokio::time::sleep(Duration::from_millis(random % limit)).await;
}

/// Positive and random: snapshot ids need to be unique, not ordered.
pub(in crate::lake) fn new_snapshot_id() -> i64 {
    let (high, low) = uuid::Uuid::new_v4().as_u64_pair();
    i64::try_from((high ^ low) >> 1).unwrap_or(1).max(1)
}
