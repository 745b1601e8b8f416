//! Old metadata files.
//!
//! Every commit writes a metadata file that repeats all snapshots, so a table of 10,000 snapshots would leave 96 GB
//! of them. Those that have left the metadata's log (`write.metadata.previous-versions-max`, 100) are removed after a
//! commit when `write.metadata.delete-after-commit.enabled` says so. Tables that icesync created have it on unless
//! it is set to something else; tables of others have it off unless it is set.
//!
//! **Order.** Files are removed only after the hint has passed them, and the oldest first: that is what lets a writer
//! that slept notice that the version it started from is history (`filesystem` argues this). The removal ends at the
//! first file that cannot be removed. A crash in between leaves the newest of the files that are to go, where the
//! next commit finds them. So do those of a table that was written before there was a limit.

use crate::failpoint;
use crate::lake::FAIL_AFTER_OLD_METADATA;
use crate::lake::catalog::KIND_PROPERTY;
use crate::lake::catalog::names::{find, logged, number_of};
use crate::lake::error::Result;
use crate::lake::store::Store;
use iceberg::spec::TableMetadata;

pub(in crate::lake) const ENABLED: &str = "write.metadata.delete-after-commit.enabled";
pub(in crate::lake) const KEPT: &str = "write.metadata.previous-versions-max";
/// Files removed after one commit at most.
const FILES_MAX: usize = 1_000;
/// Commits from one listing of the folder to the next.
const COMMITS_A_LISTING: u64 = 64;

/// Removes the files of versions older than every one that the log of `metadata` names. Call it when the hint names
/// this version or a later one.
pub(in crate::lake) async fn remove_previous(
    store: &Store,
    location: &str,
    metadata: &TableMetadata,
) -> Result<()> {
    let set = metadata.properties().get(ENABLED);
    let ours = metadata.properties().contains_key(KIND_PROPERTY);
    if !set.map_or(ours, |set| set.trim().eq_ignore_ascii_case("true")) {
        return Ok(());
    }
    let folder = format!("{location}/metadata");
    let logged = metadata.metadata_log().iter().map(logged);
    // A log with a name of another kind belongs to another catalog, whose files are not ours to judge.
    let Some(Some(oldest)) = logged
        .collect::<Option<Vec<u64>>>()
        .map(|all| all.into_iter().min())
    else {
        return Ok(());
    };
    // The newest of the files to remove goes last, so without it there are none.
    let Some(newest_old) = oldest.checked_sub(1) else {
        return Ok(());
    };
    let Some(newest) = find(store, location, newest_old).await? else {
        return Ok(());
    };
    // After most commits the one before is gone, and this is the only one. It need not be where another engine removes
    // files too, so that the folder is listed now and then.
    let before = newest_old.saturating_sub(1);
    let lists = newest_old % COMMITS_A_LISTING == 0;
    if !lists && find(store, location, before).await?.is_none() {
        store.remove(&newest).await?;
        failpoint::reach(FAIL_AFTER_OLD_METADATA);
        return Ok(());
    }
    let names = store.list(&folder, false).await?;
    let old = names
        .iter()
        .filter_map(|name| Some((number_of(name)?, name)));
    let mut old: Vec<(u64, &String)> = old.filter(|(version, _)| *version < oldest).collect();
    old.sort_unstable();
    for (_, name) in old.into_iter().take(FILES_MAX) {
        store.remove(&format!("{folder}/{name}")).await?;
        failpoint::reach(FAIL_AFTER_OLD_METADATA);
    }
    Ok(())
}
