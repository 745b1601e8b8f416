//! Snapshots of one lake table into the target.
//!
//! Order of events, and what a death at each point leaves:
//!
//! 1. Look at the target table and its load state, and decide what kind of load is right ([`kind`]). Take the load lock
//!    of the target table (a session lock: it ends with the connection), look and decide again, drop staging tables of
//!    dead loads, tag the snapshot in the lake. (At most a tag, which the next load moves.)
//! 2. Compute the delta between the loaded snapshot and the wanted one, or list the whole snapshot. (Nothing.)
//! 3. If the target is missing and every column can take its values as they are ([`fill`]): create a table in its
//!    place, bulk copy the rows into that and build its key; step 5 makes it the target. (A table that the next load
//!    drops.) Otherwise create the target table when it is missing, together with a load state that says so. (A target
//!    without rows, which the next load completes, see [`crate::target::create`].) Or let its columns follow the
//!    lake's, statement by statement. (A target that is ahead of its rows; the next load continues from there, see
//!    [`crate::target::evolve`].) Create a staging heap; bulk copy the rows into it. (A staging table, dropped by the
//!    next load.)
//! 4. Compute the net changes, one row for each key, in a table of their own ([`crate::mssql::sql::net`]). (That table
//!    and a staging table, dropped by the next load.)
//! 5. One transaction: compare-and-set on the load state, merge, deletes, new load state, the staging table
//!    dropped; rows that the target refuses may be set aside ([`crate::target::quarantine`]). (All or nothing. When
//!    the reply is lost, the load state says whether this run's id is there.) A delta of more than `merge.batch_rows`
//!    rows is applied in steps, each a transaction of its own that leaves its place in the load state. (A target
//!    between two snapshots; the state names both. The next load first applies the same delta from its beginning, see
//!    [`LoadKind::Finish`].)
//! 6. Tag the loaded snapshot in the lake, unless a tag names it since step 1 ([`TargetTags`] argues that).
//!    (Missing tag: the next load sets it, whether or not it has anything else to do.)
//!
//! A signal cuts the wait for the lock and steps 2 to 4, and ends step 5 as [`super::stop`] argues. The tables that are
//! left are dropped before the run ends ([`super::leftover`]).
//!
//! A lake table without a snapshot has no rows to load. Its target is created, or follows in its columns.

mod columns;
mod create;
mod cut;
mod fill;
mod group;
mod kind;
mod marks;
mod modes;
mod plan;
mod quarantine;
mod reached;
mod told;
mod work;

pub(super) use columns::{chosen, to_load};
pub use create::FAIL_AFTER_CREATE;
pub use fill::{FAIL_AFTER_FILL, FAIL_AFTER_FILL_CREATE, FAIL_AFTER_FILL_KEY};
pub(super) use group::{Failed, load_group};
pub(super) use kind::{Found, State, trusted};
pub(super) use plan::{Extracted, behind, plan};
pub use quarantine::FAIL_QUARANTINED;
pub(super) use reached::reached;
pub use work::{FAIL_AFTER_ALTER, FAIL_AFTER_NET, FAIL_AFTER_STAGING, FAIL_BETWEEN_STEPS};

use super::follow;
use super::protect::{known, tags, unprotected};
use super::restored::Restored;
use super::stage::lake_error;
use super::stop::{BEFORE_LOAD, PREPARING};
use super::{Links, Phase, Sync};
use crate::change::RunId;
use crate::config::Table;
use crate::error::{Disposition, Error, Kind, Result};
use crate::failpoint;
use crate::lake::{LakeTable, SnapshotInfo, SnapshotRef, TargetTags};
use crate::mssql::control::Control;
use crate::report::{LoadMethod, LoadReport};
use crate::target::staging;
use crate::target::state::{self, Looked};
use columns::chosen_for;
use kind::{Facts, LoadKind, Refusal, decide};
use modes::is_keyed;
use std::time::Instant;
use work::Work;

/// How long a load waits for another one of the same target.
const LOCK_TIMEOUT_MS: u32 = 10_000;

/// Failpoint: the transaction is committed; the tag is missing.
pub const FAIL_AFTER_APPLY: &str = "load.after_apply";

/// The lake table of a configured table; an error where there is none.
pub(super) async fn lake_table(sync: &Sync, table: &Table) -> Result<LakeTable> {
    let lake = sync.warehouse.table(&table.lake).await?;
    lake.ok_or_else(|| {
        lake_error(format!(
            "lake table {} does not exist; run `icesync extract` first",
            table.lake
        ))
    })
}

/// Loads one table up to `wanted`; see the module head for the order of events.
pub(super) async fn load(
    sync: &Sync,
    run_id: RunId,
    table: &Table,
    wanted: SnapshotRef,
    full: bool,
    links: &mut Links,
) -> Result<LoadReport> {
    let clock = Instant::now();
    let mut begun = Begun::begin(sync, run_id, table, wanted, full, true, links).await?;
    let report = match begun.work.take() {
        Some(work) => {
            let ready = sync.stop.cut(PREPARING, work.ready(links)).await?;
            Some(ready.apply(links).await?)
        }
        None => None,
    };
    let mut report = begun.end(report, links).await;
    report.seconds = clock.elapsed().as_secs_f64();
    Ok(report)
}

/// A load that has decided what to do. It holds the load lock of its target if there is something to do.
struct Begun<'a> {
    table: &'a Table,
    lake: LakeTable,
    tags: TargetTags,
    snapshot: Option<SnapshotInfo>,
    /// No other load of this connection is begun.
    is_alone: bool,
    is_locked: bool,
    /// Rows that the quarantine had of the target.
    in_quarantine: u64,
    /// An interrupted load that was finished.
    finished: Option<LoadReport>,
    /// None: there is nothing to do.
    work: Option<Work<'a>>,
}

impl<'a> Begun<'a> {
    /// Step 1.
    async fn begin(
        sync: &'a Sync,
        run_id: RunId,
        table: &'a Table,
        wanted: SnapshotRef,
        full: bool,
        is_alone: bool,
        links: &mut Links,
    ) -> Result<Self> {
        let name = table.source.to_string();
        sync.observer.phase(&name, Phase::Connect, 0);
        let lake = lake_table(sync, table).await?;
        lake.settle().await;
        let side = sync.target_side()?;
        let snapshot = snapshot_of(&lake, wanted)?;
        let control = Links::control(&mut links.target, side, Kind::Target).await?;
        let looked = state::look(control, &table.target).await?;
        let tags = tags(side, table, control).await?;
        let mut begun = Self {
            table,
            lake,
            tags,
            snapshot,
            is_alone,
            is_locked: false,
            in_quarantine: looked.in_quarantine,
            finished: None,
            work: None,
        };
        if begun.decided(&looked, full)?.1 == LoadKind::Nothing {
            return Ok(begun);
        }
        let mut looked = sync.stop.cut(BEFORE_LOAD, lock(control, table)).await?;
        begun.is_locked = true;
        let (mut facts, mut kind) = begun.decided(&looked, full)?;
        if kind != LoadKind::Nothing {
            staging::drop_orphans(control, &table.target).await?;
        }
        if let LoadKind::Finish { to, .. } = kind {
            let refused;
            let decision = (facts, kind);
            (looked, refused) = begun
                .finish(sync, looked, decision, to, run_id, links)
                .await?;
            (facts, kind) = begun.decided(&looked, full)?;
            if let (Some(error), LoadKind::Finish { .. }) = (refused, kind) {
                kind = facts.past(begun.snapshot_id()).ok_or(error)?;
            }
        }
        if kind == LoadKind::Nothing {
            return Ok(begun);
        }
        let loaded = begun.loaded(&looked);
        let (snapshot, decision) = (begun.snapshot.clone(), (facts, kind, &begun.tags));
        let work = Work::new(sync, table, &begun.lake, snapshot, looked, decision, run_id)?;
        if let Some(snapshot) = begun.snapshot_id() {
            begun.keep(loaded, snapshot).await;
        }
        begun.work = Some(work);
        Ok(begun)
    }

    /// Finishes a load that was interrupted between two of its steps, and looks again; with the reason where that is
    /// refused for good and this load may go past it.
    async fn finish(
        &mut self,
        sync: &'a Sync,
        looked: Looked,
        (facts, kind): (Facts, LoadKind),
        to: i64,
        run_id: RunId,
        links: &mut Links,
    ) -> Result<(Looked, Option<Error>)> {
        let (table, side) = (self.table, sync.target_side()?);
        let between = Some(snapshot_with(&self.lake, to)?);
        let loaded = self.loaded(&looked);
        let decision = (facts, kind, &self.tags);
        let work = Work::new(sync, table, &self.lake, between, looked, decision, run_id)?;
        self.keep(loaded, to).await;
        let finished = async {
            let ready = sync.stop.cut(PREPARING, work.ready(links)).await?;
            ready.apply(links).await
        };
        let error = match finished.await {
            Ok(finished) => {
                self.finished = Some(finished);
                let control = Links::control(&mut links.target, side, Kind::Target).await?;
                return Ok((state::look(control, &table.target).await?, None));
            }
            Err(error) => error,
        };
        let is_definite = error.disposition() == Disposition::Definite;
        // The load locks end with the connection.
        if !is_definite || !self.is_alone || facts.past(self.snapshot_id()).is_none() {
            return Err(error);
        }
        tracing::warn!(
            "{}: an interrupted load cannot be finished, so this one goes past its snapshot: {}",
            table.source,
            error.report()
        );
        links.target = None;
        let control = Links::control(&mut links.target, side, Kind::Target).await?;
        let looked = sync.stop.cut(BEFORE_LOAD, lock(control, table)).await?;
        staging::drop_orphans(control, &table.target).await?;
        Ok((looked, Some(error)))
    }

    fn snapshot_id(&self) -> Option<i64> {
        self.snapshot.as_ref().map(|snapshot| snapshot.id)
    }

    /// The snapshot that the target has, if the lake has it still.
    fn loaded(&self, looked: &Looked) -> Option<i64> {
        known(&self.lake, looked.state.as_ref()).map(|state| state.snapshot_id)
    }

    /// Tags a snapshot that is about to be read, once the tags have told whether the target went back. Without the tag
    /// the load goes on, and an expiry may take the snapshot.
    async fn keep(&mut self, loaded: Option<i64>, snapshot: i64) {
        if let Err(error) = self.lake.tag_loading(&self.tags, loaded, snapshot).await {
            let name = &self.table.source;
            tracing::warn!("{name}: the snapshot that is loaded is not tagged: {error}");
        }
    }

    fn decided(&self, looked: &Looked, full: bool) -> Result<(Facts, LoadKind)> {
        let snapshot = self.snapshot.as_ref();
        decided(self.table, &self.lake, &self.tags, snapshot, looked, full)
    }

    /// Step 6, and the lock is given back. `report` is that of the work.
    async fn end(mut self, report: Option<LoadReport>, links: &mut Links) -> LoadReport {
        let has_loaded = report.is_some();
        let mut done = match (self.finished.take(), report) {
            (Some(finished), Some(report)) => finished.and(report),
            (Some(only), None) | (None, Some(only)) => only,
            (None, None) => self.nothing_to_do(),
        };
        if has_loaded {
            failpoint::reach(FAIL_AFTER_APPLY);
        }
        if let Some(snapshot) = &self.snapshot {
            let tagged = match self.is_locked {
                true => self.lake.tag_loaded(&self.tags, snapshot.id).await,
                false => self.lake.mend_loaded(&self.tags, snapshot.id).await,
            };
            done.warnings.extend(unprotected(tagged, snapshot));
        }
        if self.is_locked {
            release(links, self.table).await;
        }
        done
    }

    fn nothing_to_do(&self) -> LoadReport {
        let loaded = self.snapshot.as_ref();
        LoadReport {
            kind: LoadMethod::Nothing,
            from_snapshot: loaded.map(|snapshot| snapshot.id),
            snapshot_id: loaded.map(|snapshot| snapshot.id),
            sequence_number: loaded.map(|snapshot| snapshot.sequence_number),
            rows_staged: 0,
            inserted: 0,
            updated: 0,
            deleted: 0,
            unchanged: 0,
            quarantined: 0,
            in_quarantine: self.in_quarantine,
            transactions: 0,
            created_target: false,
            schema_changes: Vec::new(),
            seconds: 0.0,
            warnings: Vec::new(),
        }
    }
}

/// The snapshot to load; none while a run has committed and the lake table has no rows yet.
fn snapshot_of(lake: &LakeTable, wanted: SnapshotRef) -> Result<Option<SnapshotInfo>> {
    if lake.current_snapshot_id().is_none()
        && lake.checkpoint()?.is_some()
        && wanted == SnapshotRef::Latest
    {
        return Ok(None);
    }
    Ok(Some(lake.resolve(wanted)?))
}

/// The snapshot of this id.
fn snapshot_with(lake: &LakeTable, id: i64) -> Result<SnapshotInfo> {
    let found = lake
        .snapshots()
        .into_iter()
        .find(|snapshot| snapshot.id == id);
    found.ok_or_else(|| lake_error(format!("lake table {} has no snapshot {id}", lake.name())))
}

/// What the load is to do.
fn decided(
    table: &Table,
    lake: &LakeTable,
    tags: &TargetTags,
    snapshot: Option<&SnapshotInfo>,
    looked: &Looked,
    full: bool,
) -> Result<(Facts, LoadKind)> {
    let recorded = follow::recorded(lake, snapshot.map(|snapshot| snapshot.id))?;
    let keyed = is_keyed(table, lake.kind(), &recorded);
    let choice = chosen_for(table, lake, snapshot, trusted(looked))?;
    let facts = Facts::of(table, lake, snapshot, looked, (keyed, &choice), full);
    match decide(&facts) {
        Ok(kind) => Ok((facts, kind)),
        Err(refusal) => {
            let state = looked.state.as_ref();
            let mut message = refusal.message(table, &facts, state, snapshot, &choice.included);
            if let (Refusal::Expired, Some(restored)) = (refusal, Restored::of(lake, tags, looked))
            {
                message = restored.refusal(table, &message);
            }
            Err(Error::new(Kind::Target, Disposition::Definite, message))
        }
    }
}

/// Takes the load lock, then looks: another load may have moved the state while this one waited.
async fn lock(control: &mut Control, table: &Table) -> Result<Looked> {
    state::ensure_schema(control).await?;
    staging::lock(control, &table.target, LOCK_TIMEOUT_MS).await?;
    Ok(state::look(control, &table.target).await?)
}

/// Lets the next load of the target begin. The load has succeeded by now. A lock that cannot be released, or was lost
/// with its connection, ends with the session.
async fn release(links: &mut Links, table: &Table) {
    let Some(control) = &mut links.target else {
        return;
    };
    if let Err(error) = staging::unlock(control, &table.target).await {
        tracing::warn!(table = %table.source, error = %error, "the load lock ends with the connection");
        links.target = None;
    }
}
