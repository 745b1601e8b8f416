//! A write that is complete on disk and visible to nobody: which files it adds to a table and which leave it.

use crate::change::{Content, WriteCounts};
use crate::lake::commit::base::Base;
use crate::lake::commit::rebase;
use crate::lake::error::{LakeError, Result};
use crate::lake::keys::lookup::LookupStats;
use crate::lake::read::deletes::Positions;
use crate::lake::read::entries::Described;
use crate::lake::read::manifests::{Files, LiveFile};
use crate::lake::table::{DELETED_ROWS_ENTRY, LIVE_ROWS_ENTRY, LakeTable};
use crate::lake::write::options::{WriteMode, WriteOptions};
use crate::lake::write::{OwnFile, seq_high};
use iceberg::spec::{DataFile, Operation};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

/// Files that are complete and durable, and what committing them means. Not visible to anybody.
pub struct PreparedCommit {
    pub(in crate::lake) base: Arc<Base>,
    pub(in crate::lake) options: WriteOptions,
    /// Private to this run: a failed commit removes them.
    pub(in crate::lake) own: Vec<OwnFile>,
    /// Data files of parked parts, which no failure removes; see `write::parts`.
    pub(in crate::lake) parked: Vec<DataFile>,
    /// Positions to delete in files of the base snapshot, by path.
    pub(in crate::lake) pending: BTreeMap<String, Positions>,
    pub(in crate::lake) counts: WriteCounts,
    pub(in crate::lake) stats: LookupStats,
    content: Option<Content>,
    pub(in crate::lake) base_seq_high: i64,
    pub(in crate::lake) seq_high: i64,
    /// Rows move between files but none changes.
    pub(in crate::lake) compaction: bool,
    pub(in crate::lake) plan: Plan,
}

/// How the files of a table change.
#[derive(Default)]
pub(in crate::lake) struct Plan {
    pub(in crate::lake) added_data: Vec<DataFile>,
    pub(in crate::lake) added_deletes: Vec<DataFile>,
    /// Paths of data and delete files that leave the table.
    pub(in crate::lake) gone: HashSet<String>,
    /// Live rows before, of them removed, and added.
    pub(in crate::lake) live_before: u64,
    pub(in crate::lake) rows_deleted: u64,
    pub(in crate::lake) rows_added: u64,
}

impl Plan {
    fn is_empty(&self) -> bool {
        self.added_data.is_empty() && self.added_deletes.is_empty() && self.gone.is_empty()
    }
}

impl PreparedCommit {
    #[expect(
        clippy::too_many_arguments,
        reason = "the parts of a writer, taken apart once"
    )]
    pub(in crate::lake) fn new(
        table: &LakeTable,
        base: Arc<Base>,
        options: WriteOptions,
        own: Vec<OwnFile>,
        pending: BTreeMap<String, Positions>,
        counts: WriteCounts,
        stats: LookupStats,
        content: Option<Content>,
        seq: i64,
    ) -> Self {
        Self {
            base,
            options,
            own,
            parked: Vec::new(),
            pending,
            counts,
            stats,
            content,
            base_seq_high: seq_high(table),
            seq_high: seq,
            compaction: false,
            plan: Plan::default(),
        }
    }

    /// What was written, as far as it is known before the commit.
    pub fn counts(&self) -> WriteCounts {
        self.counts
    }

    /// What looking up keys has cost so far.
    pub fn lookup(&self) -> LookupStats {
        self.stats
    }

    /// Row count and order-independent hash of the rows written, when asked for in the options.
    pub fn content(&self) -> Option<Content> {
        self.content
    }

    /// Whether committing would change no row.
    pub fn is_empty(&self) -> bool {
        self.plan.is_empty()
    }

    /// The files that are private to this run, data first.
    pub fn files(&self) -> impl Iterator<Item = &str> {
        let own = self.own.iter().map(|own| &own.file);
        own.chain(&self.plan.added_deletes).map(DataFile::file_path)
    }

    /// Removes the files, as far as possible.
    pub async fn abandon(self, table: &LakeTable) {
        for uri in self.files() {
            remove(table, uri).await;
        }
    }

    /// Writes the delete files and decides what leaves the table. Everything is durable when it returns; after an
    /// error nothing is left of the write.
    pub(in crate::lake) async fn materialised(mut self, table: &LakeTable) -> Result<Self> {
        let mut plan = Plan::default();
        let planned = self.materialise(table, &mut plan).await;
        self.plan = plan;
        match planned {
            Ok(()) => Ok(self),
            Err(error) => {
                self.abandon(table).await;
                Err(error)
            }
        }
    }

    async fn materialise(&mut self, table: &LakeTable, plan: &mut Plan) -> Result<()> {
        let mut writes = Vec::new();
        if self.options.mode == WriteMode::ReplaceAll {
            let base = self.base.files().await?;
            let all = base.data.iter().chain(&base.deletes);
            plan.gone
                .extend(all.map(|live| live.file.file_path().to_owned()));
            plan.rows_deleted = table.current_rows().await?;
            self.counts.deleted = plan.rows_deleted;
        } else if !self.pending.is_empty() {
            writes = self.plan_deletes(table, plan).await?;
        }
        for own in &self.own {
            let rows = own.file.record_count();
            if own.dead.len() >= rows {
                continue;
            }
            plan.rows_added += rows - own.dead.len();
            plan.added_data.push(own.file.clone());
            if !own.dead.is_empty() {
                writes.push((own.file.file_path().to_owned(), own.dead.clone()));
            }
        }
        plan.added_deletes = self.write_deletes(table, writes).await?;
        for file in &self.parked {
            plan.rows_added += file.record_count();
            plan.added_data.push(file.clone());
        }
        if !plan.is_empty() {
            // Counting them can take a look at every file, where another engine committed last.
            plan.live_before = table.current_rows().await?;
            let data = format!("{}/data", table.location);
            table.store.sync_directory(&data).await?;
        }
        let added = || plan.added_data.iter().chain(&plan.added_deletes);
        self.counts.data_files = plan.added_data.len() as u64;
        self.counts.delete_files = plan.added_deletes.len() as u64;
        self.counts.bytes = added().map(DataFile::file_size_in_bytes).sum();
        Ok(())
    }

    /// Refuses to go on when a file that the commit would name is gone or has another size: a reader of such a
    /// snapshot fails, and its rows are lost. A run that lasts long, or that took over files of an earlier one, has
    /// no other way to know.
    pub(in crate::lake) async fn check_files(&self, table: &LakeTable) -> Result<()> {
        let added = self.plan.added_data.iter().chain(&self.plan.added_deletes);
        match table.store.first_missing(added).await? {
            None => Ok(()),
            Some(path) => Err(LakeError::FileVanished {
                table: table.name.clone(),
                path,
            }),
        }
    }

    /// Brings the plan up to the table's current snapshot.
    pub(in crate::lake) async fn rebased(mut self, table: &LakeTable) -> Result<Self> {
        if self.seq_high > self.base_seq_high && seq_high(table) != self.base_seq_high {
            return Err(LakeError::CommitOutdated {
                table: table.name.clone(),
                reason: "the order numbers of its history were continued by somebody else".into(),
            });
        }
        if self.base.snapshot_id() == table.current_snapshot_id() {
            return Ok(self);
        }
        for delete in &self.plan.added_deletes {
            remove(table, delete.file_path()).await;
        }
        self.plan = Plan::default();
        rebase::rebase(&mut self, table).await?;
        self.materialised(table).await
    }

    pub(in crate::lake) fn operation(&self) -> Operation {
        let adds = !self.plan.added_data.is_empty();
        let removes = !self.plan.gone.is_empty() || !self.plan.added_deletes.is_empty();
        match (adds, removes) {
            _ if self.compaction => Operation::Replace,
            (true, true) => Operation::Overwrite,
            (false, true) => Operation::Delete,
            (true, false) | (false, false) => Operation::Append,
        }
    }
}

pub(in crate::lake) async fn remove(table: &LakeTable, uri: &str) {
    if let Err(error) = table.store.remove(uri).await {
        tracing::debug!(%uri, error = %error, "left an unused file behind");
    }
}

/// The entries of a snapshot's summary that the specification names, and our own row counts.
pub(in crate::lake) fn summary(base: &Files, plan: &Plan) -> HashMap<String, String> {
    let gone = |live: &&Arc<LiveFile>| plan.gone.contains(live.file.file_path());
    fn described(live: &Arc<LiveFile>) -> &dyn Described {
        &live.file
    }
    let sum = |files: &mut dyn Iterator<Item = &dyn Described>| -> (u64, u64, u64) {
        files.fold((0, 0, 0), |(files, rows, bytes), file| {
            let size = file.file_size_in_bytes();
            (files + 1, rows + file.record_count(), bytes + size)
        })
    };
    let added = sum(&mut plan.added_data.iter().map(|file| file as &dyn Described));
    let added_deletes = sum(&mut plan.added_deletes.iter().map(|file| file as &dyn Described));
    let removed = sum(&mut base.data.iter().filter(gone).map(described));
    let removed_deletes = sum(&mut base.deletes.iter().filter(gone).map(described));
    let data = sum(&mut base.data.iter().map(described));
    let deletes = sum(&mut base.deletes.iter().map(described));
    let total = |before: u64, added: u64, removed: u64| before + added - removed;
    let entries = [
        ("added-data-files", added.0),
        ("added-records", added.1),
        ("added-delete-files", added_deletes.0),
        ("added-position-delete-files", added_deletes.0),
        ("added-position-deletes", added_deletes.1),
        ("added-files-size", added.2 + added_deletes.2),
        ("deleted-data-files", removed.0),
        ("deleted-records", removed.1),
        ("removed-delete-files", removed_deletes.0),
        ("removed-position-delete-files", removed_deletes.0),
        ("removed-position-deletes", removed_deletes.1),
        ("removed-files-size", removed.2 + removed_deletes.2),
    ];
    let totals = [
        ("total-data-files", total(data.0, added.0, removed.0)),
        ("total-records", total(data.1, added.1, removed.1)),
        (
            "total-delete-files",
            total(deletes.0, added_deletes.0, removed_deletes.0),
        ),
        (
            "total-position-deletes",
            total(deletes.1, added_deletes.1, removed_deletes.1),
        ),
        ("total-equality-deletes", 0),
        (
            "total-files-size",
            total(
                data.2 + deletes.2,
                added.2 + added_deletes.2,
                removed.2 + removed_deletes.2,
            ),
        ),
        (
            LIVE_ROWS_ENTRY,
            total(plan.live_before, plan.rows_added, plan.rows_deleted),
        ),
        (DELETED_ROWS_ENTRY, plan.rows_deleted),
    ];
    let entries = entries.into_iter().filter(|(_, count)| *count > 0);
    entries
        .chain(totals)
        .map(|(name, count)| (name.to_owned(), count.to_string()))
        .collect()
}
