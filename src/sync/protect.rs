//! What keeps the snapshots of a target: the tags that its commits and loads set.

use super::restored::Restored;
use super::session::Side;
use super::{Links, Sync};
use crate::config::Table;
use crate::error::{Error, Kind, Result};
use crate::lake::{LakeError, LakeTable, Loading, SnapshotInfo, TargetTags};
use crate::mssql::control::Control;
use crate::target::state::{self, Identity, LoadState};

/// The load state, if the lake table still has the snapshot that it names.
pub(super) fn known<'a>(lake: &LakeTable, before: Option<&'a LoadState>) -> Option<&'a LoadState> {
    before.filter(|state| {
        state.table_uuid == lake.uuid().to_string() && lake.has_snapshot(state.snapshot_id)
    })
}

/// The database of a side, asked for once.
pub(super) async fn identity<'a>(side: &'a Side, control: &mut Control) -> Result<&'a Identity> {
    let identity = side.identity.get_or_try_init(|| state::identity(control));
    Ok(identity.await?)
}

/// The tags of a target in its lake table.
pub(super) async fn tags(side: &Side, table: &Table, control: &mut Control) -> Result<TargetTags> {
    let Identity { server, database } = identity(side, control).await?;
    Ok(TargetTags::new(server, database, &table.target))
}

/// What a commit is to protect, the snapshot of which is loaded next: what the target has loaded just now, with a
/// warning where that is less than before. None when the target cannot say; the commit does not depend on it, and the
/// load that follows tells why.
pub(super) async fn loading(
    sync: &Sync,
    table: &Table,
    lake: &LakeTable,
    links: &mut Links,
) -> Option<(Loading, Option<String>)> {
    let asked = async {
        let side = sync.target_side()?;
        let control = Links::control(&mut links.target, side, Kind::Target).await?;
        let target = tags(side, table, control).await?;
        // In this order: a tag that moves after this look is newer than the state.
        let seen = lake.tagged(&target);
        let looked = state::look(control, &table.target).await?;
        let loaded = known(lake, looked.state.as_ref()).map(|state| state.snapshot_id);
        // Of a snapshot that is gone the load says it.
        let restored = loaded.and_then(|_| Restored::of(lake, &target, &looked));
        let loading = Loading {
            target,
            loaded,
            seen,
        };
        Ok::<_, Error>((loading, restored.map(|restored| restored.warning(table))))
    };
    let asked = asked.await;
    match asked {
        Ok(loading) => Some(loading),
        Err(error) => {
            tracing::debug!(table = %table.source, error = %error, "the loaded snapshot is not tagged with the commit");
            links.target = None;
            None
        }
    }
}

/// What to say of a tag that could not be set. The rows are in the target by then, so the load has not failed.
pub(super) fn unprotected(
    tagged: std::result::Result<(), LakeError>,
    snapshot: &SnapshotInfo,
) -> Option<String> {
    let error = tagged.err()?;
    Some(format!(
        "snapshot {} is loaded and could not be tagged in the lake: {error}. Until a load or sync of this target sets \
         the tag, an expiry may remove the snapshot",
        snapshot.sequence_number
    ))
}
