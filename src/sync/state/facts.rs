//! Both sides of a table's state, as they are found. Plain values, so that what follows from them can be decided, and
//! tested, without a lake or a server.

use crate::change::Checkpoint;
use crate::config::Table;
use crate::error::{Error, Kind, Result};
use crate::lake::{LakeTable, LoadTag, Standing, TargetTags};
use crate::mssql::control::Control;
use crate::report::ErrorReport;
use crate::sync::protect;
use crate::sync::session::{Links, Side, Sync};
use crate::target::state::{self, LoadState, Looked};
use crate::target::{TargetError, staging, upkeep};
use std::cell::RefCell;
use std::collections::BTreeMap;

/// One side of a table's state.
#[derive(Debug, Clone)]
pub(super) enum Known<T> {
    /// There is no lake table, or no target is configured.
    Absent,
    Failed(ErrorReport),
    Found(T),
}

/// Both sides.
#[derive(Debug, Clone)]
pub(super) struct Facts {
    pub lake: Known<LakeFacts>,
    pub target: Known<TargetFacts>,
}

/// A snapshot that the lake table lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Listed {
    pub sequence_number: i64,
    /// None where its writer did not count them.
    pub rows: Option<u64>,
}

/// A lake table.
#[derive(Debug, Clone)]
pub(super) struct LakeFacts {
    pub uuid: String,
    /// By id.
    pub snapshots: BTreeMap<i64, Listed>,
    pub current: Option<i64>,
    /// An error where it cannot be read.
    pub checkpoint: std::result::Result<Option<Checkpoint>, ErrorReport>,
    /// Of the checkpoint's snapshot; none without a checkpoint, or where it was not looked at.
    pub standing: Option<Standing>,
    /// Other engines see the version that icesync sees.
    pub is_settled: bool,
    /// Of every target.
    pub tags: Vec<LoadTag>,
}

/// A target.
#[derive(Debug, Clone)]
pub(super) struct TargetFacts {
    pub looked: Looked,
    pub tags: TargetTags,
    /// A load holds the target just now.
    pub is_loading: bool,
    /// The snapshot that a load in several steps is on its way to.
    pub pending: Option<i64>,
    /// While no load is running: left by one that died.
    pub staging: Vec<String>,
    /// None where they were not counted.
    pub rows: std::result::Result<Option<u64>, ErrorReport>,
}

/// How closely is looked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Depth {
    /// What is recorded.
    Records,
    /// Also whether the checkpoint's snapshot is on `main`.
    Ancestry,
    /// Also how many rows the target has.
    Rows,
}

/// Looks at the sides of tables. A target that cannot be reached is tried once, not for each table.
pub(super) struct Looking<'a> {
    sync: &'a Sync,
    depth: Depth,
    unreachable: RefCell<Option<ErrorReport>>,
}

impl<T> Known<T> {
    pub fn found(&self) -> Option<&T> {
        match self {
            Known::Found(found) => Some(found),
            Known::Absent | Known::Failed(_) => None,
        }
    }
}

impl LakeFacts {
    /// Sequence number of a snapshot that is listed.
    pub fn number(&self, snapshot: i64) -> Option<i64> {
        Some(self.snapshots.get(&snapshot)?.sequence_number)
    }
}

impl<'a> Looking<'a> {
    pub fn new(sync: &'a Sync, depth: Depth) -> Self {
        Self {
            sync,
            depth,
            unreachable: RefCell::default(),
        }
    }

    /// There is a target, and no attempt to connect to it has failed.
    pub fn reaches_target(&self) -> bool {
        self.sync.target.is_some() && self.unreachable.borrow().is_none()
    }

    /// Changes nothing. A side that fails does not hide the other.
    pub async fn at(&self, table: &Table, links: &mut Links) -> Facts {
        let name = || table.source.to_string();
        let failed = |error: Error| ErrorReport::of(&error.on_table(name()));
        let lake = match self.lake(table).await {
            Ok(Some(lake)) => Known::Found(lake),
            Ok(None) => Known::Absent,
            Err(error) => Known::Failed(failed(error)),
        };
        let target = match &self.sync.target {
            None => Known::Absent,
            Some(side) => match self.target(side, table, links).await {
                Ok(target) => Known::Found(target),
                Err(error) => {
                    links.target = None;
                    Known::Failed(error)
                }
            },
        };
        Facts { lake, target }
    }

    async fn lake(&self, table: &Table) -> Result<Option<LakeFacts>> {
        let Some(lake) = self.sync.warehouse.table(&table.lake).await? else {
            return Ok(None);
        };
        let checkpoint = lake.checkpoint();
        let standing = match &checkpoint {
            Ok(Some(checkpoint)) if self.depth != Depth::Records => {
                Some(lake.standing(checkpoint.snapshot_id).await?)
            }
            Ok(_) | Err(_) => None,
        };
        let snapshots = lake.snapshots().into_iter().map(|snapshot| {
            let listed = Listed {
                sequence_number: snapshot.sequence_number,
                rows: snapshot.rows_total,
            };
            (snapshot.id, listed)
        });
        Ok(Some(LakeFacts {
            uuid: lake.uuid().to_string(),
            snapshots: snapshots.collect(),
            current: lake.current_snapshot_id(),
            checkpoint: checkpoint.map_err(|error| ErrorReport::of(&Error::from(error))),
            standing,
            is_settled: lake.is_settled().await?,
            tags: lake.load_tags(),
        }))
    }

    async fn target(
        &self,
        side: &Side,
        table: &Table,
        links: &mut Links,
    ) -> std::result::Result<TargetFacts, ErrorReport> {
        if let Some(error) = self.unreachable.borrow().as_ref() {
            return Err(error.clone());
        }
        let failed = |error: Error| ErrorReport::of(&error);
        let control = match Links::control(&mut links.target, side, Kind::Target).await {
            Ok(control) => control,
            Err(error) => {
                let error = failed(error);
                *self.unreachable.borrow_mut() = Some(error.clone());
                return Err(error);
            }
        };
        let named = |error: Error| failed(error.on_table(table.source.to_string()));
        self.looked(side, table, control).await.map_err(named)
    }

    async fn looked(
        &self,
        side: &Side,
        table: &Table,
        control: &mut Control,
    ) -> Result<TargetFacts> {
        let target = &table.target;
        let tags = protect::tags(side, table, control).await?;
        let staging = left_over(control, table).await?;
        let looked = state::look(control, target).await?;
        let counted = self.depth == Depth::Rows && looked.object.is_some();
        let rows = match counted {
            true => upkeep::count_rows(control, target).await.map(Some),
            false => Ok(None),
        };
        Ok(TargetFacts {
            pending: looked.state.as_ref().and_then(pending),
            looked,
            tags,
            is_loading: staging.is_none(),
            staging: staging.unwrap_or_default(),
            rows: rows.map_err(|error| ErrorReport::of(&Error::from(error))),
        })
    }
}

/// The staging tables that loads left behind; none while a load is running. Holds the target for two round trips, which
/// a load that begins waits for.
async fn left_over(control: &mut Control, table: &Table) -> Result<Option<Vec<String>>> {
    let target = &table.target;
    match staging::lock(control, target, 0).await {
        Ok(()) => {}
        Err(TargetError::Locked { .. }) => return Ok(None),
        Err(error) => return Err(error.into()),
    }
    let tables = upkeep::staging_tables(control, target).await?;
    staging::unlock(control, target).await?;
    Ok(Some(tables))
}

fn pending(state: &LoadState) -> Option<i64> {
    state.pending.as_ref().map(|pending| pending.snapshot_id)
}

/// The sequence number by which messages name a snapshot, and its id where the lake does not list it.
pub(super) fn named(lake: &LakeTable, snapshot: i64) -> String {
    match lake.sequence_number(snapshot) {
        Some(number) => format!("snapshot {number}"),
        None => format!("snapshot with id {snapshot}"),
    }
}
