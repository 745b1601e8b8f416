//! A write in parts: several writers fill data files side by side, and one commit adds them all.
//!
//! A part is what one writer completed: durable data files that no snapshot names. Parts hold no key twice, so a
//! commit adds them as they are. A long first read keeps its finished parts over an interruption: their files are
//! listed in a file, and the table's checkpoint has a ledger that names the list. The next run takes them from there
//! and reads only what is missing.
//!
//! **Who may delete a file.** Runs overlap, so a file may be deleted only by the run that can prove that no other
//! run knows of it. The type says which state a part is in:
//!
//! | type | its files are known to | they are deleted by |
//! |---|---|---|
//! | [`Part`] | this run | this run: [`Part::discard`] |
//! | [`Listed`] | this run; the list is on disk, and no ledger names it | this run, when the ledger is not written |
//! | [`Parked`] | every run that reads the ledger | [`LakeTable::forget_ledger`], after the commit that ended it |
//!
//! A part goes from one state to the next by value and never back. [`LakeTable::park`] is the one place where that
//! happens, because only there the outcome of the ledger's commit is known:
//!
//! - committed: the part is parked. From here on another run may take it up at any moment, so no error of this run,
//!   however it ends, removes it.
//! - definitely not committed (another run moved the checkpoint, the disk is full): no ledger names the list. The
//!   part is still private, and its files are removed with the list.
//! - unknown ([`LakeError::CommitUnknown`]): the ledger may exist. Everything stays. Either a ledger names the list,
//!   and the next run takes the part, or `maintain --orphans` finds the files in no ledger and no snapshot.
//!
//! **What can crash where.** Before the list: data files that nothing names. Between list and ledger: the same, and
//! a list. After the ledger: a part that the next run takes. After the final commit: lists that nothing names.
//! None of these loses a row, and all leftovers are orphans that maintenance removes.
//!
//! **Files that vanish.** A ledger can be days old when it is taken up. [`LakeTable::unpark`] answers a part only if
//! every file has its recorded size, and the commit looks again right before it publishes
//! ([`LakeError::FileVanished`]); the retry then reads that range again. A damaged list is as good as none. Only those
//! who remove other files cannot go on without it ([`LakeError::ListDamaged`]).

use crate::change::{Checkpoint, RunId, WriteCounts};
use crate::lake::commit::Committed;
use crate::lake::commit::base::Base;
use crate::lake::commit::prepared::PreparedCommit;
use crate::lake::commit::written::{OwnFile, Written};
use crate::lake::error::{LakeError, Result};
use crate::lake::keys::lookup::LookupStats;
use crate::lake::read::deletes::PositionsByPath;
use crate::lake::table::LakeTable;
use crate::lake::write::compare::mirror::delete_unseen;
use crate::lake::write::options::WriteOptions;
use bytes::Bytes;
use iceberg::spec::{DataFile, FormatVersion, read_data_files_from_avro, write_data_files_to_avro};
use std::collections::HashMap;
use std::sync::Arc;

/// Complete data files of one writer, private to this run.
pub struct Part {
    own: Vec<OwnFile>,
    counts: WriteCounts,
    /// Of a whole read that was compared: rows of the base that are replaced, and those that were met again.
    replaced: PositionsByPath,
    seen: PositionsByPath,
    thins_keys: bool,
}

/// A part whose files are listed on disk, before a ledger names the list. Still private to this run.
pub struct Listed {
    part: Part,
    uri: String,
}

/// A part that a ledger names. No run owns its files.
#[derive(Clone)]
pub struct Parked {
    files: Vec<DataFile>,
}

impl Part {
    /// What a writer completed, and the rows of the base that it met again.
    pub(in crate::lake) fn new(written: Written, seen: PositionsByPath) -> Self {
        Self {
            own: written.own,
            counts: written.counts,
            replaced: written.replaced,
            seen,
            thins_keys: written.thins_keys,
        }
    }

    /// Rows in the files.
    pub fn rows(&self) -> u64 {
        self.own.iter().map(|own| own.file.record_count()).sum()
    }

    /// Removes the files, as far as possible.
    pub async fn discard(self, table: &LakeTable) {
        for own in &self.own {
            table.store.discard(own.file.file_path()).await;
        }
    }
}

impl Listed {
    /// Name of the list, for the ledger.
    pub fn uri(&self) -> &str {
        &self.uri
    }

    /// Rows in the files.
    pub fn rows(&self) -> u64 {
        self.part.rows()
    }

    async fn discard(self, table: &LakeTable) {
        self.part.discard(table).await;
        table.store.discard(&self.uri).await;
    }
}

impl Parked {
    /// Rows in the files.
    pub fn rows(&self) -> u64 {
        self.files.iter().map(DataFile::record_count).sum()
    }
}

impl LakeTable {
    /// One commit of all parts, which hold no key twice. `options` are those of their writers. After an error the
    /// files of private parts are removed.
    pub async fn prepare(
        &self,
        options: WriteOptions,
        parts: Vec<Part>,
        parked: Vec<Parked>,
    ) -> Result<PreparedCommit> {
        let mut whole = Part {
            own: Vec::new(),
            counts: WriteCounts::default(),
            replaced: PositionsByPath::new(),
            seen: PositionsByPath::new(),
            thins_keys: false,
        };
        for part in parts {
            whole.thins_keys |= part.thins_keys;
            whole.own.extend(part.own);
            whole.counts.inserted += part.counts.inserted;
            whole.counts.updated += part.counts.updated;
            whole.counts.deleted += part.counts.deleted;
            whole.counts.unchanged += part.counts.unchanged;
            join(&mut whole.replaced, part.replaced);
            join(&mut whole.seen, part.seen);
        }
        whole.counts.inserted += parked.iter().map(Parked::rows).sum::<u64>();
        let base = Arc::new(Base::of(self));
        let mut replaced = whole.replaced;
        let unseen = match options.deletes_unseen() {
            true => match base.files().await {
                Ok(files) => delete_unseen(self, &files, &whole.seen, &mut replaced).await,
                Err(error) => Err(error),
            },
            false => Ok(0),
        };
        let written = Written {
            base,
            options,
            own: whole.own,
            replaced,
            counts: whole.counts,
            stats: LookupStats::default(),
            thins_keys: whole.thins_keys,
            seq_high: self.seq_high(),
        };
        let parked = parked.into_iter().flat_map(|part| part.files).collect();
        let mut prepared = PreparedCommit::new(self, written, parked);
        match unseen {
            Ok(unseen) => {
                prepared.written.counts.deleted += unseen;
                prepared.materialised(self).await
            }
            Err(error) => {
                prepared.abandon(self).await;
                Err(error)
            }
        }
    }

    /// Lists the files of a part durably. After an error they are removed. A part that was compared with the base is
    /// refused: a list has no place for the rows that it met again, and a commit would delete those.
    pub async fn list_part(&self, part: Part) -> Result<Listed> {
        if !part.replaced.is_empty() || !part.seen.is_empty() {
            part.discard(self).await;
            return Err(LakeError::UnsupportedTable {
                table: self.name.clone(),
                reason: "a part that was compared with the table cannot be kept for another run"
                    .to_owned(),
            });
        }
        let uri = format!(
            "{}/metadata/part-{}.avro",
            self.location,
            uuid::Uuid::now_v7().simple()
        );
        let listed = Listed { part, uri };
        match self.write_list(&listed).await {
            Ok(()) => Ok(listed),
            Err(error) => {
                listed.discard(self).await;
                Err(error)
            }
        }
    }

    async fn write_list(&self, listed: &Listed) -> Result<()> {
        let uri = &listed.uri;
        let own = listed.part.own.iter();
        let files: Vec<DataFile> = own.map(|own| own.file.clone()).collect();
        let partition = self.metadata().default_partition_type();
        let mut bytes = Vec::new();
        write_data_files_to_avro(&mut bytes, files, partition, FormatVersion::V2)
            .map_err(LakeError::iceberg("write", uri.clone()))?;
        let data = format!("{}/data", self.location);
        self.store.sync_directory(&data).await?;
        self.store.write_new(uri, Bytes::from(bytes)).await?;
        let directory = format!("{}/metadata", self.location);
        self.store.sync_directory(&directory).await
    }

    /// Commits a checkpoint whose ledger names the listed part, compare-and-set on `base`. See the module head for
    /// what becomes of the files when that fails.
    pub async fn park(
        &mut self,
        listed: Listed,
        base: Option<RunId>,
        checkpoint: Checkpoint,
    ) -> Result<Parked> {
        match self.set_checkpoint(base, checkpoint, HashMap::new()).await {
            Ok(()) => Ok(Parked {
                files: listed.part.own.into_iter().map(|own| own.file).collect(),
            }),
            Err(error @ LakeError::CommitUnknown { .. }) => Err(error),
            Err(error) => {
                listed.discard(self).await;
                Err(error)
            }
        }
    }

    /// The part that a ledger names by its list; none when the list or one of its files is gone, has another size, or
    /// is not this table's, and when the list is damaged.
    pub async fn unpark(&self, uri: &str) -> Result<Option<Parked>> {
        let files = match self.listed_files(uri).await {
            Err(error @ LakeError::ListDamaged { .. }) => {
                tracing::debug!(error = %error, "a finished range is not taken up");
                None
            }
            files => files?,
        };
        let Some(files) = files else { return Ok(None) };
        let missing = self.store.first_missing(&files).await?;
        Ok(missing.is_none().then_some(Parked { files }))
    }

    /// The files in a list, whether they still exist or not; none when the list is gone, or when it or one of its files
    /// is outside the folder of the table. [`LakeError::ListDamaged`] when it cannot be read. The ledger is a table
    /// property, which anybody who may write to the table can set, or copy from another table: what it names elsewhere
    /// is not taken over, and not removed.
    pub(in crate::lake) async fn listed_files(&self, uri: &str) -> Result<Option<Vec<DataFile>>> {
        if !self.is_in_folder(uri, "metadata") {
            return Ok(None);
        }
        let Some(bytes) = self.store.read_if_exists(uri).await? else {
            return Ok(None);
        };
        let metadata = self.metadata();
        let files = read_data_files_from_avro(
            &mut bytes.as_ref(),
            metadata.current_schema(),
            metadata.default_partition_spec_id(),
            metadata.default_partition_type(),
            FormatVersion::V2,
        );
        let files = files.map_err(|source| LakeError::ListDamaged {
            table: self.name.clone(),
            path: uri.to_owned(),
            source: Box::new(source),
        })?;
        let mut inside = files.iter().map(DataFile::file_path);
        let inside = inside.all(|path| self.is_in_folder(path, "data"));
        Ok(inside.then_some(files))
    }

    fn is_in_folder(&self, uri: &str, folder: &str) -> bool {
        // A run that reaches the folder by a link has another name for it than the metadata.
        [self.location.as_str(), self.metadata().location()]
            .iter()
            .filter_map(|location| uri.strip_prefix(&format!("{location}/{folder}/")))
            .any(|name| !name.contains("..") && !name.is_empty())
    }

    /// Removes what a ledger leaves after the commit that ended it: the lists of the parts that this commit took
    /// over, and lists and files of those that it did not. The commit is the proof that no run can take them up.
    pub async fn forget_ledger(&self, _ended_by: &Committed, taken: &[String], unused: &[String]) {
        for uri in unused {
            for file in self.listed_files(uri).await.ok().flatten().iter().flatten() {
                self.store.discard(file.file_path()).await;
            }
        }
        let lists = taken.iter().chain(unused);
        for uri in lists.filter(|uri| self.is_in_folder(uri, "metadata")) {
            self.store.discard(uri).await;
        }
    }
}

fn join(all: &mut PositionsByPath, more: PositionsByPath) {
    for (path, rows) in more {
        *all.entry(path).or_default() |= rows;
    }
}
