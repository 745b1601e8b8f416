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
//! **Unknown outcome.** Where a publication fails, the catalog looks whether it took place. Only when even that
//! cannot be seen the error is [`LakeError::CommitUnknown`]. Then nothing is removed, neither
//! data files nor manifests, because a version may name them; the next run finds this run's id in the table's
//! checkpoint, or the checkpoint that was there before. Every other error means that no version names this write and
//! none ever will, so its files are removed.

pub(in crate::lake) mod base;
mod copy;
pub(in crate::lake) mod deletes;
pub(in crate::lake) mod evolve;
pub(in crate::lake) mod manifests;
mod partitions;
pub(in crate::lake) mod plan;
pub(in crate::lake) mod prepared;
mod properties;
mod rebase;
mod upgrade;
mod upkeep;
pub(in crate::lake) mod written;

use crate::change::{Checkpoint, RunId, WriteCounts};
use crate::failpoint;
use crate::lake::FAIL_AFTER_MANIFESTS;
use crate::lake::ancestry::{FOREIGN_ROWS_PROPERTY, ForeignCommit};
use crate::lake::catalog::{Requirement, Version};
use crate::lake::checkpoint::{CHECKPOINT_PROPERTY, checkpoint_text};
use crate::lake::commit::manifests::{ManifestOutput, next_manifests};
use crate::lake::commit::plan::summary;
use crate::lake::commit::prepared::PreparedCommit;
use crate::lake::commit::written::Written;
use crate::lake::error::{LakeError, Result};
use crate::lake::keys::lookup::LookupStats;
use crate::lake::table::{LakeTable, RUN_PROPERTY, SEQ_PROPERTY};
use crate::lake::tags::{Loading, Moves};
use crate::lake::write::options::WriteMode;
use iceberg::TableUpdate;
use iceberg::spec::{
    Schema, Snapshot, SnapshotReference, SnapshotRetention, Summary, TableMetadataBuilder,
};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
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
    /// Another writer changed rows of the table since the last run: keys may be there twice from now on.
    pub foreign_rows: bool,
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
    updates: Vec<TableUpdate>,
}

impl Change {
    pub(in crate::lake) fn nothing() -> Self {
        Self::default()
    }

    pub(in crate::lake) fn properties(updates: HashMap<String, String>) -> Self {
        Self::default().and(TableUpdate::SetProperties { updates })
    }

    /// Tags that move.
    pub(in crate::lake) fn tags(moves: Moves) -> Self {
        Self::default().with_tags(moves)
    }

    /// A table without these snapshots, of which there is one at least, and without what only they need.
    pub(in crate::lake) fn expire(table: &LakeTable, expired: &BTreeSet<i64>) -> Self {
        let mut change = Self::default();
        for &snapshot_id in expired {
            change = change
                .and(TableUpdate::RemoveStatistics { snapshot_id })
                .and(TableUpdate::RemovePartitionStatistics { snapshot_id });
        }
        let snapshot_ids = expired.iter().copied().collect();
        change = change.and(TableUpdate::RemoveSnapshots { snapshot_ids });
        let (schema_ids, removals) = table.unused_schemas(expired);
        if schema_ids.is_empty() {
            return change;
        }
        change
            .and(TableUpdate::RemoveSchemas { schema_ids })
            .and(TableUpdate::RemoveProperties { removals })
    }

    /// The same change, and tags that move with it.
    fn with_tags(mut self, moves: Moves) -> Self {
        // Without an age of its own a tag has that of the table (`history.expire.max-ref-age-ms`), after which other
        // engines drop it.
        let max_ref_age_ms = Some(i64::MAX);
        let keep = SnapshotRetention::Tag { max_ref_age_ms };
        for (ref_name, snapshot) in moves.set {
            let reference = SnapshotReference::new(snapshot, keep.clone());
            self = self.and(TableUpdate::SetSnapshotRef {
                ref_name,
                reference,
            });
        }
        for ref_name in moves.removed {
            self = self.and(TableUpdate::RemoveSnapshotRef { ref_name });
        }
        self
    }

    /// A new current schema, and what the properties say of it.
    pub(in crate::lake) fn schema(schema: Schema, properties: HashMap<String, String>) -> Self {
        Self::properties(properties)
            .and(TableUpdate::AddSchema { schema })
            .and(TableUpdate::SetCurrentSchema {
                schema_id: TableMetadataBuilder::LAST_ADDED,
            })
    }

    /// Adds a snapshot and moves the branch to it; `base` is the version before.
    pub(in crate::lake) fn with_snapshot(self, snapshot: Snapshot, base: &Version) -> Self {
        let snapshot_id = snapshot.snapshot_id();
        let retention = base.main.as_ref().map(|main| main.retention.clone());
        let retention = retention.unwrap_or(SnapshotRetention::Branch {
            min_snapshots_to_keep: None,
            max_snapshot_age_ms: None,
            max_ref_age_ms: None,
        });
        self.and(TableUpdate::AddSnapshot { snapshot })
            .and(TableUpdate::SetSnapshotRef {
                ref_name: BRANCH.to_owned(),
                reference: SnapshotReference::new(snapshot_id, retention),
            })
    }

    /// The same change and one more update.
    pub(in crate::lake) fn and(mut self, update: TableUpdate) -> Self {
        self.updates.push(update);
        self
    }

    pub(in crate::lake) fn is_nothing(&self) -> bool {
        self.updates.is_empty()
    }

    fn adds_snapshot(&self) -> bool {
        let adds = |update: &TableUpdate| matches!(update, TableUpdate::AddSnapshot { .. });
        self.updates.iter().any(adds)
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
        let mut private: Vec<String> = prepared.files().map(str::to_owned).collect();
        let dead: Vec<String> = prepared.dead_files().map(str::to_owned).collect();
        let committed = self.commit_attempts(prepared, intent, &mut private);
        let committed = committed.await;
        match &committed {
            Err(LakeError::CommitUnknown { .. }) => {}
            Ok(_) => {
                for uri in &dead {
                    self.store.discard(uri).await;
                }
            }
            Err(_) => {
                for uri in &private {
                    self.store.discard(uri).await;
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

    /// `private` are the files that a failure removes.
    async fn commit_attempts(
        &mut self,
        mut prepared: PreparedCommit,
        mut intent: CommitIntent,
        private: &mut Vec<String>,
    ) -> Result<Committed> {
        let snapshot_id = new_snapshot_id();
        let mut foreign = Vec::new();
        for attempt in 0..ATTEMPTS_MAX {
            self.refresh().await?;
            self.check_writable()?;
            let own = Some(intent.run_id).filter(|_| attempt > 0);
            self.check_checkpoint(intent.base_checkpoint, own)?;
            self.check_columns(&prepared, &intent)?;
            foreign.extend(self.foreign_to(&prepared).await?);
            intent.foreign_rows |= !foreign.is_empty();
            prepared = prepared.rebased(self).await?;
            *private = prepared.files().map(str::to_owned).collect();
            prepared.check_files(self).await?;
            let made = (!prepared.is_empty()).then_some(snapshot_id);
            let mut written = Vec::new();
            let published = self.attempt(&prepared, &intent, made, &mut written).await;
            match published {
                Ok(true) => {
                    return Ok(Committed {
                        snapshot_id: made,
                        sequence_number: self.metadata().last_sequence_number(),
                        metadata_version: self.version.number,
                        counts: prepared.written.counts,
                        lookup: prepared.written.stats,
                        foreign,
                    });
                }
                Err(error @ LakeError::CommitUnknown { .. }) => return Err(error),
                Ok(false) | Err(_) => {
                    for uri in &written {
                        self.store.discard(uri).await;
                    }
                }
            }
            published?;
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
        let options = &prepared.written.options;
        if prepared.written.base.snapshot_id() == self.current_snapshot_id() {
            return Ok(Vec::new());
        }
        let foreign = match self
            .foreign_since(prepared.written.base.snapshot_id())
            .await
        {
            Err(LakeError::CommitOutdated { .. })
                if options.mode == WriteMode::ReplaceAll && !options.refuse_foreign =>
            {
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

    /// One attempt against this version; false when the table moved.
    async fn attempt(
        &mut self,
        prepared: &PreparedCommit,
        intent: &CommitIntent,
        made: Option<i64>,
        written: &mut Vec<String>,
    ) -> Result<bool> {
        let change = match made {
            None => {
                let (snapshot, number) = (
                    self.current_snapshot_id(),
                    self.metadata().last_sequence_number(),
                );
                let mut properties = self.checkpoint_properties(intent, snapshot)?;
                properties.extend(self.mark_of_keys(prepared, intent, number));
                Change::properties(properties)
            }
            Some(id) => self.snapshot_change(prepared, intent, id, written).await?,
        };
        let token = Some(intent.base_checkpoint);
        self.publish(change, token, Some(intent.run_id)).await
    }

    /// Refuses the first commit of a table that another run gave other columns while this one was reading. Where there
    /// is a checkpoint, that run gives it another token if rows without the new columns must not be committed.
    fn check_columns(&self, prepared: &PreparedCommit, intent: &CommitIntent) -> Result<()> {
        let is_first = intent.base_checkpoint.is_none();
        let now = self.metadata().current_schema_id();
        if is_first && prepared.written.base.schema_id() != now {
            return Err(LakeError::SchemaMoved {
                table: self.name.clone(),
            });
        }
        Ok(())
    }

    /// Moves to the newest version, and refuses if its checkpoint is not the one that a run was computed from, as the
    /// commit of the run would.
    pub async fn is_at(&mut self, base: Option<RunId>) -> Result<()> {
        self.refresh().await?;
        self.check_checkpoint(base, None)
    }

    /// Refuses when the newest version has another checkpoint than the run was computed from. If it has the run's own,
    /// an attempt that was taken for lost has committed: nothing of the run may be removed.
    fn check_checkpoint(&self, expected: Option<RunId>, own: Option<RunId>) -> Result<()> {
        let found = self.checkpoint()?;
        let token = found.as_ref().map(|checkpoint| checkpoint.run_id);
        if token == expected {
            return Ok(());
        }
        if let Some(run_id) = own.filter(|_| token == own) {
            let path = self.version.uri.clone();
            let source = LakeError::AlreadyCommitted {
                table: self.name.clone(),
                path,
            };
            return Err(LakeError::CommitUnknown {
                table: self.name.clone(),
                run_id,
                step_of: None,
                source: Box::new(source),
            });
        }
        Err(LakeError::CheckpointMoved {
            table: self.name.clone(),
            by_run: found.as_ref().map(|checkpoint| checkpoint.run_id),
            at: found.map(|checkpoint| checkpoint.committed_at),
            expected,
        })
    }

    fn checkpoint_properties(
        &self,
        intent: &CommitIntent,
        snapshot: Option<i64>,
    ) -> Result<HashMap<String, String>> {
        let mut checkpoint = intent.checkpoint.clone();
        checkpoint.snapshot_id = snapshot;
        let text = checkpoint_text(&self.name, &checkpoint)?;
        Ok(HashMap::from([(CHECKPOINT_PROPERTY.to_owned(), text)]))
    }

    /// The mark of a commit, by its sequence number, that may have deleted one row of a key and left another: one that
    /// follows rows of another writer, or that of a whole read which has found a key twice. Other commits replace or
    /// delete all rows of a key. The mark of an older build, which does not say when, ends with the next whole read.
    fn mark_of_keys(
        &self,
        prepared: &PreparedCommit,
        intent: &CommitIntent,
        number: i64,
    ) -> Option<(String, String)> {
        let Written {
            options,
            thins_keys,
            ..
        } = &prepared.written;
        let known = self.property(FOREIGN_ROWS_PROPERTY);
        let is_numbered = known.is_none_or(|known| known.parse::<i64>().is_ok());
        let ends = !is_numbered && options.leaves_keys_once();
        let says = intent.foreign_rows || *thins_keys || ends;
        says.then(|| (FOREIGN_ROWS_PROPERTY.to_owned(), number.to_string()))
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
        let base = prepared.written.base.files().await?;
        let gone: HashSet<&str> = plan.gone.iter().map(String::as_str).collect();
        let added = (&plan.added_data, &plan.added_deletes);
        let list = async {
            let manifests = next_manifests(&mut output, &base, &gone, added.0, added.1).await?;
            output.list(parent, manifests).await
        };
        let list = list.await;
        written.append(&mut output.written);
        let list = list?;
        let directory = format!("{}/metadata", self.location);
        self.store.sync_directory(&directory).await?;
        failpoint::reach(FAIL_AFTER_MANIFESTS);
        let mut properties = self.checkpoint_properties(intent, Some(snapshot_id))?;
        properties.extend(self.mark_of_keys(prepared, intent, output.sequence_number));
        let checkpoint = properties.get(CHECKPOINT_PROPERTY).cloned();
        let mut entries = summary(&base, &prepared.plan);
        entries.extend(intent.summary.clone());
        entries.insert(RUN_PROPERTY.to_owned(), intent.run_id.to_string());
        entries.extend(checkpoint.map(|text| (CHECKPOINT_PROPERTY.to_owned(), text)));
        if prepared.written.seq_high > prepared.base_seq_high {
            let seq = prepared.written.seq_high.to_string();
            properties.insert(SEQ_PROPERTY.to_owned(), seq);
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
        let mut change = Change::properties(properties).with_snapshot(snapshot, &self.version);
        if let Some(loading) = &intent.loading {
            change = change.with_tags(self.tags().with_commit(loading, snapshot_id));
        }
        Ok(change)
    }

    /// Publishes the next version with a change. False when the table moved; nothing was published then.
    pub(in crate::lake) async fn publish(
        &mut self,
        change: Change,
        token: Option<Option<RunId>>,
        run_id: Option<RunId>,
    ) -> Result<bool> {
        let metadata = self.metadata();
        let mut requirements = vec![
            Requirement::uuid(metadata),
            Requirement::schema(metadata),
            Requirement::spec(metadata),
        ];
        if change.adds_snapshot() {
            requirements.push(Requirement::branch(BRANCH, self.current_snapshot_id()));
        }
        requirements.extend(token.map(Requirement::Checkpoint));
        let base = &self.version;
        let committed = self
            .catalog
            .commit(&self.name, base, &requirements, change.updates);
        match (committed.await, run_id) {
            (Ok(Some(version)), _) => self.advance(Arc::new(version)).map(|()| true),
            (Ok(None), _) => Ok(false),
            (Err(source @ LakeError::PublishUnknown { .. }), Some(run_id)) => {
                Err(LakeError::CommitUnknown {
                    table: self.name.clone(),
                    run_id,
                    step_of: None,
                    source: Box::new(source),
                })
            }
            (Err(error), _) => Err(error),
        }
    }

    /// Publishes a change that each attempt makes from the newest version.
    pub(in crate::lake) async fn apply(
        &mut self,
        base: Option<Option<RunId>>,
        run_id: Option<RunId>,
        make: impl Fn(&LakeTable) -> Result<Change>,
    ) -> Result<()> {
        for attempt in 0..ATTEMPTS_MAX {
            self.refresh().await?;
            if let Some(expected) = base {
                self.check_checkpoint(expected, run_id.filter(|_| attempt > 0))?;
            }
            let change = make(self)?;
            if change.is_nothing() || self.publish(change, base, run_id).await? {
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
