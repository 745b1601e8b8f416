//! A side that is ready to be compared, and its connections.

use super::side::Side;
use crate::error::{Disposition, Error, Kind, Result};
use crate::lake::{LakeTable, SnapshotInfo};
use crate::mssql::channel::Channel;
use crate::mssql::control::Control;
use crate::mssql::error::MssqlError;
use crate::sync::session::{Links, Sync};

/// A side that can be compared, and the snapshot.
pub(super) struct Ready {
    /// As of the snapshot.
    pub lake: LakeTable,
    pub snapshot: SnapshotInfo,
    pub side: Box<Side>,
}

/// The control connection of a side.
pub(super) async fn control<'a>(
    sync: &Sync,
    kind: Kind,
    links: &'a mut Links,
) -> Result<&'a mut Control> {
    match kind {
        Kind::Target => Links::control(&mut links.target, sync.target_side()?, kind).await,
        Kind::Source | Kind::Lake | Kind::Config => {
            Links::control(&mut links.source, sync.source_side()?, kind).await
        }
    }
}

/// The connection that reads rows of a side.
pub(super) async fn channel<'a>(
    sync: &Sync,
    kind: Kind,
    links: &'a mut Links,
) -> Result<&'a mut Channel> {
    match kind {
        Kind::Target => Links::rows(&mut links.target_rows, sync.target_side()?, kind).await,
        Kind::Source | Kind::Lake | Kind::Config => {
            Links::rows(&mut links.source_rows, sync.source_side()?, kind).await
        }
    }
}

/// An error of the server of a side.
pub(super) fn channel_error(ready: &Ready) -> impl Fn(MssqlError) -> Error {
    let kind = ready.side.kind;
    move |error| error.on(kind)
}

/// A result of another shape than was asked for.
pub(super) fn schema_error(ready: &Ready, what: &'static str) -> Error {
    Error::new(ready.side.kind, Disposition::Definite, what)
}
