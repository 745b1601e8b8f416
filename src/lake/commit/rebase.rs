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
                reason: "the order numbers of its history were continued by somebody else".into(),
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
    // One file at a time: its keys are all that is held.
    let files = own
        .map(Sought::Own)
        .chain(lost.into_iter().map(Sought::Lost));
    for file in files.collect::<Vec<_>>() {
        let keys = match &file {
            Sought::Own((file, dead)) => {
                keys_of(table, &encoder, file.as_ref(), &Wanted::Except(dead)).await?
            }
            Sought::Lost((live, rows)) => {
                keys_of(table, &encoder, &live.file, &Wanted::Only(rows)).await?
            }
        };
        let lookup = Lookup::new(&table.store, table.shape.clone(), &encoder, &keys)?;
        let mut search = lookup.search(&new)?;
        loop {
            let some = search.next().await?;
            if some.is_empty() {
                break;
            }
            for (live, hits) in some {
                let mut found: Positions = hits.into_iter().map(|(_, row)| row).collect();
                found -= index.of(&table.store, now, &live).await?;
                let path = live.file.file_path().to_owned();
                *prepared.written.replaced.entry(path).or_default() |= found;
            }
        }
        prepared.written.stats.add(search.stats);
    }
    prepared.written.replaced.retain(|_, rows| !rows.is_empty());
    Ok(())
}

/// Rows whose keys have to be found again: our own, and those that we had found in files that are gone.
enum Sought {
    Own((Box<DataFile>, Positions)),
    Lost((Arc<LiveFile>, Positions)),
}

/// The keys of rows of one file. A file of ours never has more rows than a writer holds keys.
async fn keys_of(
    table: &LakeTable,
    encoder: &KeyEncoder,
    file: &impl Described,
    wanted: &Wanted<'_>,
) -> Result<KeySet> {
    let outdated = |error: LakeError| LakeError::CommitOutdated {
        table: table.name.clone(),
        reason: format!("its files were replaced and cannot be read again: {error}"),
    };
    let open = OpenFile::open(&table.store, table.shape.clone(), file, true)
        .await
        .map_err(outdated)?;
    let mut rows = open.read(&table.shape.key_fields(), wanted)?;
    let mut keys = KeySet::default();
    while let Some((batch, _)) = rows.try_next().await? {
        for key in encoder.encode(batch.columns())?.iter() {
            keys.insert(key.as_ref(), KeyState::Row(0));
        }
    }
    keys.seal();
    Ok(keys)
}
