//! Bringing a prepared commit up to a table whose files changed since the write began.

use crate::lake::commit::base::Base;
use crate::lake::commit::plan::Plan;
use crate::lake::commit::prepared::PreparedCommit;
use crate::lake::error::{LakeError, Result};
use crate::lake::keys::encode::{KeyEncoder, KeySet, KeyState};
use crate::lake::keys::lookup::Lookup;
use crate::lake::read::datafile::{OpenFile, Wanted};
use crate::lake::read::deletes::{DeleteIndex, Positions};
use crate::lake::read::entries::Described;
use crate::lake::read::manifests::{Files, LiveFile};
use crate::lake::table::LakeTable;
use crate::lake::write::context::KEY_BYTES_MAX;
use crate::lake::write::options::WriteMode;
use futures::TryStreamExt;
use iceberg::spec::DataFile;
use std::collections::HashSet;
use std::sync::Arc;

impl PreparedCommit {
    /// The same write on top of the table's current snapshot. Refused when that continued the numbers of a history.
    pub(in crate::lake) async fn rebased(mut self, table: &LakeTable) -> Result<Self> {
        if self.written.seq_high > self.base_seq_high && table.seq_high() != self.base_seq_high {
            return Err(LakeError::CommitOutdated {
                table: table.name.clone(),
                reason: "another writer continued the order numbers of its history".into(),
            });
        }
        if self.written.base.snapshot_id() == table.current_snapshot_id() {
            return Ok(self);
        }
        for delete in &self.plan.added_deletes {
            table.store.discard(delete.file_path()).await;
        }
        self.plan = Plan::default();
        rebase(&mut self, table).await?;
        self.materialised(table).await
    }
}

/// Replaces the base of the commit by the table's current files, and its positions by those of the same rows there.
async fn rebase(prepared: &mut PreparedCommit, table: &LakeTable) -> Result<()> {
    let now = Arc::new(Base::of(table));
    let no_own = prepared.written.own.is_empty() && prepared.parked.is_empty();
    let written = !no_own || !prepared.written.replaced.is_empty();
    let looks_up = matches!(
        prepared.written.options.mode,
        WriteMode::Upsert | WriteMode::Refresh
    );
    if looks_up && written {
        let before = prepared.written.base.files().await?;
        let after = now.files().await?;
        look_up_again(prepared, table, &before, &after).await?;
    }
    prepared.written.base = now;
    Ok(())
}

async fn look_up_again(
    prepared: &mut PreparedCommit,
    table: &LakeTable,
    before: &Files,
    now: &Files,
) -> Result<()> {
    let before = before.by_path();
    let new: Vec<Arc<LiveFile>> = now
        .data
        .iter()
        .filter(|live| !before.contains_key(live.file.file_path()))
        .cloned()
        .collect();
    let still: HashSet<&str> = now.by_path().into_keys().collect();
    let mut lost: Vec<(Arc<LiveFile>, Positions)> = Vec::new();
    for (path, rows) in &prepared.written.replaced {
        if !still.contains(path.as_str())
            && let Some(live) = before.get(path.as_str())
        {
            lost.push(((*live).clone(), rows.clone()));
        }
    }
    prepared
        .written
        .replaced
        .retain(|path, _| still.contains(path.as_str()));
    if table.shape.schema.key.is_empty() {
        // Rows that have moved cannot be found again. Those that another writer has added stay until the next read.
        return match lost.iter().all(|(_, rows)| rows.is_empty()) {
            true => Ok(()),
            false => Err(LakeError::RowsMoved {
                table: table.name.clone(),
            }),
        };
    }
    if new.is_empty() {
        return Ok(());
    }
    let encoder = KeyEncoder::new(&table.shape)?;
    let mut index = DeleteIndex::default();
    let own = prepared.written.own.iter();
    let own = own.map(|own| (Box::new(own.file.clone()), own.dead.clone()));
    let parked = prepared.parked.iter();
    let parked = parked.map(|file| (Box::new(file.clone()), Positions::new()));
    let own = own.chain(parked);
    let files = own
        .map(Sought::Own)
        .chain(lost.into_iter().map(Sought::Lost));
    for file in files.collect::<Vec<_>>() {
        let mut again = Again {
            table,
            encoder: &encoder,
            index: &mut index,
            now,
            new: &new,
            prepared,
            lost: matches!(file, Sought::Lost(_)),
        };
        match &file {
            Sought::Own((file, dead)) => {
                again.of_rows(file.as_ref(), &Wanted::Except(dead)).await?;
            }
            Sought::Lost((live, rows)) => {
                again.of_rows(&live.file, &Wanted::Only(rows)).await?;
            }
        }
    }
    prepared.written.replaced.retain(|_, rows| !rows.is_empty());
    Ok(())
}

/// Rows whose keys have to be found again: our own, and those that we had found in files that are gone.
enum Sought {
    Own((Box<DataFile>, Positions)),
    Lost((Arc<LiveFile>, Positions)),
}

/// The lookup of keys in the files that are new.
struct Again<'a> {
    table: &'a LakeTable,
    encoder: &'a KeyEncoder,
    index: &'a mut DeleteIndex,
    now: &'a Files,
    new: &'a [Arc<LiveFile>],
    prepared: &'a mut PreparedCommit,
    /// The rows are in a file that is gone, and were to be deleted there.
    lost: bool,
}

impl Again<'_> {
    /// Finds the keys of rows of one file, as many at a time as a writer holds.
    async fn of_rows(&mut self, file: &impl Described, wanted: &Wanted<'_>) -> Result<()> {
        let outdated = |error: LakeError| LakeError::CommitOutdated {
            table: self.table.name.clone(),
            reason: format!("its files were replaced and cannot be read again: {error}"),
        };
        let (table, most) = (
            self.table,
            self.prepared.written.options.key_rows_max.max(1),
        );
        let open = OpenFile::open(&table.store, table.shape.clone(), file, true);
        let open = open.await.map_err(outdated)?;
        let mut rows = open.read(&table.shape.key_fields(), wanted)?;
        let mut keys = KeySet::default();
        let mut count = 0;
        while let Some((batch, _)) = rows.try_next().await? {
            for key in self.encoder.encode(batch.columns())?.iter() {
                keys.insert(key.as_ref(), KeyState::Row(0));
            }
            count += batch.num_rows() as u64;
            if keys.len() >= most || keys.bytes() >= KEY_BYTES_MAX {
                self.of_keys(std::mem::take(&mut keys), count).await?;
                count = 0;
            }
        }
        self.of_keys(keys, count).await
    }

    /// Deletes every live row of the keys, which so many rows had.
    ///
    /// A whole read keeps the row that is the same, and deletes the others of its key. Once all of them have moved,
    /// the key does not tell them apart: there are not as many rows as were to be deleted, and the write starts over.
    async fn of_keys(&mut self, mut keys: KeySet, rows: u64) -> Result<()> {
        if keys.is_empty() {
            return Ok(());
        }
        keys.seal();
        let written = &mut self.prepared.written;
        let table = self.table;
        let lookup = Lookup::new(&table.store, table.shape.clone(), self.encoder, &keys)?;
        let mut search = lookup.search(self.new)?;
        let mut moved = 0;
        loop {
            let some = search.next().await?;
            if some.is_empty() {
                break;
            }
            for (live, hits) in some {
                let mut found: Positions = hits.into_iter().map(|(_, row)| row).collect();
                found -= self.index.of(&table.store, self.now, &live).await?;
                moved += found.len();
                let path = live.file.file_path().to_owned();
                *written.replaced.entry(path).or_default() |= found;
            }
        }
        written.stats.add(search.stats);
        if self.lost && written.options.mode == WriteMode::Refresh && moved != rows {
            return Err(LakeError::RowsMoved {
                table: table.name.clone(),
            });
        }
        Ok(())
    }
}
