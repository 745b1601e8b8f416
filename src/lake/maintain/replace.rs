//! The commit of rewritten files: new files take the place of old ones, and no row changes.
//!
//! **Beside other writers.** The new files hold the rows that were live in the old files when the rewrite read them.
//! Other runs commit meanwhile, so before every attempt the newest version is compared with what the rewrite saw:
//!
//! - *An old file has left the table* (its last row was deleted, the table was read whole again, or another
//!   compaction replaced it). The rewrite cannot say what became of its rows, so it is given up. Its new files are
//!   removed; nothing refers to them.
//! - *More rows of an old file are deleted.* Their keys are read from the old file and found in the new ones, and the
//!   commit carries position deletes for them. Each row must be found exactly once; otherwise the rewrite is given
//!   up. So a row that was deleted or replaced while the rewrite ran does not come back.
//! - *Fewer rows are deleted*, because another engine rolled the table back. The new files lack those rows, so the
//!   rewrite is given up.
//! - *Files were added.* They stay as they are; the new files do not touch them. A key that was inserted or updated
//!   meanwhile has its new row there, and its old row is among the deletes above.
//!
//! Put-if-absent closes the gap between that comparison and the write, as in every [commit](crate::lake::commit). In
//! the other direction an upsert that was computed from the old files finds them gone, and looks its keys up again
//! in the new files (`commit::rebase`). Of two compactions of one file the first to commit wins.
//!
//! **Checkpoint and loads.** The checkpoint property is not touched: the snapshot it names is an ancestor of the new
//! one. The operation is `replace`, which tells readers of changes, [`LakeTable::delta`] among them, that no row has
//! changed.
//!
//! **Unknown outcome.** If it cannot be seen whether the commit happened, the new files stay, as the table may refer to
//! them.

use crate::change::RunId;
use crate::failpoint;
use crate::lake::FAIL_AFTER_MANIFESTS;
use crate::lake::commit::manifests::{ManifestOutput, next_manifests};
use crate::lake::commit::plan::{Plan, summary};
use crate::lake::commit::{ATTEMPTS_MAX, Change, new_snapshot_id, pause};
use crate::lake::error::{LakeError, Result};
use crate::lake::keys::encode::{KeyEncoder, KeySet, KeyState};
use crate::lake::keys::lookup::Lookup;
use crate::lake::maintain::group::{Group, MAINTENANCE_ENTRY};
use crate::lake::read::datafile::{OpenFile, Wanted};
use crate::lake::read::deletes::{self, DeleteIndex, Positions};
use crate::lake::read::manifests::{Files, LiveFile};
use crate::lake::table::{LakeTable, RUN_PROPERTY};
use crate::lake::write::context::KEY_BYTES_MAX;
use crate::lake::write::options::Compression;
use futures::TryStreamExt;
use iceberg::spec::{DataFile, Operation, Snapshot, Summary};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// A rewrite is given up when more rows than this were deleted in its files meanwhile: their keys are held in memory.
const KEYS_MAX: u64 = 1_000_000;
impl LakeTable {
    /// Commits the new files of a group in the place of its old ones. False when another writer has changed the old
    /// ones in a way that cannot be carried over; then, and after an error, the new files are removed
    /// ([`LakeError::CommitUnknown`] excepted).
    pub(in crate::lake) async fn replace_files(
        &mut self,
        group: &Group,
        outputs: Vec<DataFile>,
        run_id: RunId,
    ) -> Result<bool> {
        let committed = self.replace_attempts(group, &outputs, run_id).await;
        match &committed {
            Ok(true) | Err(LakeError::CommitUnknown { .. }) => {}
            Ok(false) | Err(_) => {
                for output in &outputs {
                    self.store.discard(output.file_path()).await;
                }
            }
        }
        committed
    }

    async fn replace_attempts(
        &mut self,
        group: &Group,
        outputs: &[DataFile],
        run_id: RunId,
    ) -> Result<bool> {
        let snapshot_id = new_snapshot_id();
        for attempt in 0..ATTEMPTS_MAX {
            self.refresh().await?;
            self.check_writable()?;
            let now = self.files(self.current_snapshot_id()).await?;
            let mut written = Vec::new();
            let attempted = self
                .replace_once(group, outputs, &now, (run_id, snapshot_id), &mut written)
                .await;
            match attempted {
                Ok(Some(true)) => return Ok(true),
                Err(error @ LakeError::CommitUnknown { .. }) => return Err(error),
                Ok(None | Some(false)) | Err(_) => {
                    for uri in &written {
                        self.store.discard(uri).await;
                    }
                }
            }
            if attempted?.is_none() {
                return Ok(false);
            }
            pause(attempt).await;
        }
        Err(LakeError::CommitConflict {
            table: self.name.clone(),
            attempts: ATTEMPTS_MAX,
        })
    }

    /// One attempt on top of this version, whose files are `now`. None when the rewrite is to be given up, false when
    /// another writer took the version's number. `written` receives every file that only this attempt needs.
    async fn replace_once(
        &mut self,
        group: &Group,
        outputs: &[DataFile],
        now: &Files,
        (run_id, snapshot_id): (RunId, i64),
        written: &mut Vec<String>,
    ) -> Result<Option<bool>> {
        let Some(carried) = self.deleted_since(group, outputs, now).await? else {
            return Ok(None);
        };
        let mut plan = Plan {
            added_data: outputs.to_vec(),
            ..Plan::default()
        };
        for (path, rows) in carried {
            let uri = format!(
                "{}/data/{run_id}-{}-deletes.parquet",
                self.location,
                uuid::Uuid::new_v4().simple()
            );
            written.push(uri.clone());
            let compression = Compression::Zstd(1);
            let delete = deletes::write(&self.store, uri, path, rows, compression).await?;
            plan.added_deletes.push(delete);
        }
        if !plan.added_deletes.is_empty() {
            let data = format!("{}/data", self.location);
            self.store.sync_directory(&data).await?;
        }
        plan.gone = self.leaving(group, now).await?;
        plan.live_before = self.current_rows().await?;
        let change = self
            .replacing_snapshot(&plan, now, (run_id, snapshot_id), written)
            .await?;
        let committed = self.publish(change, None, Some(run_id)).await?;
        Ok(Some(committed))
    }

    /// Rows of the new files that were deleted in the old ones since the rewrite read them; none when the rewrite is
    /// to be given up.
    async fn deleted_since(
        &self,
        group: &Group,
        outputs: &[DataFile],
        now: &Files,
    ) -> Result<Option<Vec<(String, Positions)>>> {
        let live = now.by_path();
        let mut index = DeleteIndex::default();
        let mut lost: Vec<(Arc<LiveFile>, Positions)> = Vec::new();
        for input in &group.inputs {
            let Some(live) = live.get(input.live.file.file_path()) else {
                return Ok(None);
            };
            let deleted = index.of(&self.store, now, live).await?;
            if !input.deleted.is_subset(&deleted) {
                return Ok(None);
            }
            let since = deleted - &input.deleted;
            if !since.is_empty() {
                lost.push(((*live).clone(), since));
            }
        }
        let rows: u64 = lost.iter().map(|(_, rows)| rows.len()).sum();
        if rows == 0 {
            return Ok(Some(Vec::new()));
        }
        if rows > KEYS_MAX || self.shape.schema.key.is_empty() {
            return Ok(None);
        }
        let Some(found) = self.find(&lost, outputs).await? else {
            return Ok(None);
        };
        let all: u64 = found.iter().map(|(_, rows)| rows.len()).sum();
        Ok((all == rows).then_some(found))
    }

    /// The rows of the new files that have the keys of rows of old ones; none when the keys take too much memory.
    async fn find(
        &self,
        lost: &[(Arc<LiveFile>, Positions)],
        outputs: &[DataFile],
    ) -> Result<Option<Vec<(String, Positions)>>> {
        let encoder = KeyEncoder::new(&self.shape)?;
        let mut keys = KeySet::default();
        for (live, rows) in lost {
            let open = OpenFile::open(&self.store, self.shape.clone(), &live.file, true).await?;
            let mut batches = open.read(&self.shape.key_fields(), &Wanted::Only(rows))?;
            while let Some((batch, _)) = batches.try_next().await? {
                for key in encoder.encode(batch.columns())?.iter() {
                    keys.insert(key.as_ref(), KeyState::Row(0));
                }
                if keys.bytes() >= KEY_BYTES_MAX {
                    return Ok(None);
                }
            }
        }
        keys.seal();
        let mut lookup = Lookup::new(&self.store, self.shape.clone(), &encoder, &keys)?;
        let mut found = Vec::new();
        for output in outputs {
            let mut rows = Positions::new();
            let note = |_, row| {
                rows.insert(row);
            };
            lookup.probe(output, note).await?;
            if !rows.is_empty() {
                found.push((output.file_path().to_owned(), rows));
            }
        }
        Ok(Some(found))
    }

    /// The old files, and the delete files that then refer to no file of the table.
    async fn leaving(&self, group: &Group, now: &Files) -> Result<HashSet<String>> {
        let paths = group.inputs.iter().map(|input| input.live.file.file_path());
        let mut gone: HashSet<String> = paths.map(str::to_owned).collect();
        let own = group.inputs.iter().flat_map(|input| {
            let own = now.own_deletes(input.live.file.file_path());
            own.map(|delete| delete.file.file_path().to_owned())
        });
        let own: Vec<String> = own.collect();
        let live = now.by_path();
        // Another engine may have rewritten a data file and left its delete files.
        for delete in &now.deletes {
            let target = delete.file.target();
            if target.is_some_and(|target| !live.contains_key(&**target)) {
                gone.insert(delete.file.file_path().to_owned());
            }
        }
        for delete in now.deletes_of_many() {
            let targets = deletes::targets(&self.store, &delete.file).await?;
            if !targets
                .iter()
                .any(|path| live.contains_key(path.as_str()) && !gone.contains(path))
            {
                gone.insert(delete.file.file_path().to_owned());
            }
        }
        gone.extend(own);
        Ok(gone)
    }

    async fn replacing_snapshot(
        &self,
        plan: &Plan,
        now: &Files,
        (run_id, snapshot_id): (RunId, i64),
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
        let gone: HashSet<&str> = plan.gone.iter().map(String::as_str).collect();
        let (data, deletes) = (&plan.added_data, &plan.added_deletes);
        let manifests = next_manifests(&mut output, now, &gone, data, deletes).await;
        let list = match manifests {
            Ok(manifests) => output.list(parent, manifests).await,
            Err(error) => Err(error),
        };
        written.append(&mut output.written);
        let list = list?;
        let directory = format!("{}/metadata", self.location);
        self.store.sync_directory(&directory).await?;
        failpoint::reach(FAIL_AFTER_MANIFESTS);
        let mut entries: HashMap<String, String> = summary(now, plan);
        entries.insert(RUN_PROPERTY.to_owned(), run_id.to_string());
        entries.insert(MAINTENANCE_ENTRY.to_owned(), "compact".to_owned());
        let timestamp = chrono::Utc::now().timestamp_millis();
        let snapshot = Snapshot::builder()
            .with_snapshot_id(snapshot_id)
            .with_parent_snapshot_id(parent)
            .with_sequence_number(output.sequence_number)
            // The log of snapshots must ascend even when clocks do not.
            .with_timestamp_ms(timestamp.max(metadata.last_updated_ms() + 1))
            .with_manifest_list(list)
            .with_summary(Summary {
                operation: Operation::Replace,
                additional_properties: entries,
            })
            .with_schema_id(metadata.current_schema_id())
            .build();
        Ok(Change::nothing().with_snapshot(snapshot, &self.version))
    }
}
