//! A write that is complete on disk and visible to nobody: which files it adds to a table and which leave it.

use crate::change::WriteCounts;
use crate::lake::commit::deletes::{plan_deletes, write_deletes};
use crate::lake::commit::plan::Plan;
use crate::lake::commit::written::Written;
use crate::lake::error::{LakeError, Result};
use crate::lake::keys::lookup::LookupStats;
use crate::lake::table::LakeTable;
use crate::lake::write::options::WriteMode;
use iceberg::spec::{DataFile, Operation};

/// A write whose files are complete and durable, and how they change the table. Invisible until it is committed.
pub struct PreparedCommit {
    pub(in crate::lake) written: Written,
    /// Data files of parked parts, which no failure removes; see `write::parts`.
    pub(in crate::lake) parked: Vec<DataFile>,
    /// The last `_seq` of the version that the write started from.
    pub(in crate::lake) base_seq_high: i64,
    /// Rows move between files but none changes.
    pub(in crate::lake) compaction: bool,
    pub(in crate::lake) plan: Plan,
}

impl PreparedCommit {
    /// A write that started from this version of the table, before its plan is made.
    pub(in crate::lake) fn new(table: &LakeTable, written: Written, parked: Vec<DataFile>) -> Self {
        Self {
            written,
            parked,
            base_seq_high: table.seq_high(),
            compaction: false,
            plan: Plan::default(),
        }
    }

    /// What was written, as far as it is known before the commit.
    pub fn counts(&self) -> WriteCounts {
        self.written.counts
    }

    /// What looking up keys has cost so far.
    pub fn lookup(&self) -> LookupStats {
        self.written.stats
    }

    /// Whether committing would change no row.
    pub fn is_empty(&self) -> bool {
        self.plan.is_empty()
    }

    /// The files that are private to this run, data first.
    pub fn files(&self) -> impl Iterator<Item = &str> {
        let own = self.written.own.iter().map(|own| &own.file);
        own.chain(&self.plan.added_deletes).map(DataFile::file_path)
    }

    /// Removes the files, as far as possible.
    pub async fn abandon(self, table: &LakeTable) {
        for uri in self.files() {
            table.store.discard(uri).await;
        }
    }

    /// Files of this run whose rows this run has replaced, every one: the commit does not name them.
    pub(in crate::lake) fn dead_files(&self) -> impl Iterator<Item = &str> {
        let own = self.written.own.iter();
        let dead = own.filter(|own| own.dead.len() >= own.file.record_count());
        dead.map(|own| own.file.file_path())
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
        if self.written.options.mode == WriteMode::ReplaceAll {
            let base = self.written.base.files().await?;
            let all = base.data.iter().chain(&base.deletes);
            plan.gone
                .extend(all.map(|live| live.file.file_path().to_owned()));
            plan.rows_deleted = table.current_rows().await?;
            self.written.counts.deleted = plan.rows_deleted;
        } else if !self.written.replaced.is_empty() {
            let base = self.written.base.files().await?;
            writes = plan_deletes(&table.store, &base, &self.written.replaced, plan).await?;
        }
        for own in &self.written.own {
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
        plan.added_deletes = write_deletes(table, &self.written.options, writes).await?;
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
        self.written.counts.data_files = plan.added_data.len() as u64;
        self.written.counts.delete_files = plan.added_deletes.len() as u64;
        self.written.counts.bytes = added().map(DataFile::file_size_in_bytes).sum();
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
