//! Bringing a prepared commit up to a table whose files changed since the write began.

use crate::lake::commit::base::Base;
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

/// Replaces the base of the commit by the table's current files, and its positions by those of the same rows there.
pub(in crate::lake) async fn rebase(
    prepared: &mut PreparedCommit,
    table: &LakeTable,
) -> Result<()> {
    let now = Arc::new(Base::of(table));
    let no_own = prepared.own.is_empty() && prepared.parked.is_empty();
    let written = !no_own || !prepared.pending.is_empty();
    let looks_up = matches!(
        prepared.options.mode,
        WriteMode::Upsert | WriteMode::Refresh
    );
    if looks_up && written {
        let before = prepared.base.files().await?;
        let after = now.files().await?;
        look_up_again(prepared, table, &before, &after).await?;
    }
    prepared.base = now;
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
    for (path, rows) in &prepared.pending {
        if !still.contains(path.as_str())
            && let Some(live) = before.get(path.as_str())
        {
            lost.push(((*live).clone(), rows.clone()));
        }
    }
    prepared
        .pending
        .retain(|path, _| still.contains(path.as_str()));
    if new.is_empty() {
        return Ok(());
    }
    let encoder = KeyEncoder::new(&table.shape)?;
    let mut index = DeleteIndex::default();
    let own = prepared.own.iter();
    let own = own.map(|own| (Box::new(own.file.clone()), own.dead.clone()));
    let parked = prepared.parked.iter();
    let parked = parked.map(|file| (Box::new(file.clone()), Positions::new()));
    let own = own.chain(parked);
    // One file at a time: its keys are all that is held.
    let files = own
        .map(Written::Own)
        .chain(lost.into_iter().map(Written::Lost));
    for file in files.collect::<Vec<_>>() {
        let keys = match &file {
            Written::Own((file, dead)) => {
                keys_of(table, &encoder, file.as_ref(), &Wanted::Except(dead)).await?
            }
            Written::Lost((live, rows)) => {
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
                *prepared.pending.entry(path).or_default() |= found;
            }
        }
        prepared.stats.add(search.stats);
    }
    prepared.pending.retain(|_, rows| !rows.is_empty());
    Ok(())
}

/// Rows whose keys have to be found again: our own, and those that we had found in files that are gone.
enum Written {
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
