//! What a load does, decided before it changes anything.
//!
//! [`decide`] is pure. A load looks at the target and decides, takes the load lock, and looks and decides again: only
//! the second decision is acted on. The transaction compares what it was based on. The load state must still name the
//! same snapshot, and the table must still be the same object (`mssql/sql/merge.rs`).
//!
//! # What the load state says
//!
//! Each load commits rows and state together. Let the state name snapshot L of a lake table, and the target table as
//! object O. Then, for as long as the target is O:
//!
//! - *upsert, replace*: for each key of L, O has the row of L, and no key that an earlier load brought and L lacks.
//!   With `deletes: soft`, O has the row of such a key, marked, and no row of a key of L is marked. With `deletes:
//!   ignore`, O has the row of such a key as it was when a load last brought it;
//! - *append*: O has each row that was new in a loaded snapshot, once;
//! - *history*: O has each version of L, once, with the numbers and times of the lake;
//! - *scd2*: O has each version of L, once, with the time for which it was valid as far as L says, which is a function
//!   of the versions of its key alone (`mssql/sql/scd2.rs`).
//!
//! Keys in quarantine are excepted. Of them O has an earlier row or none, and the quarantine has the row of L, or says
//! that L has none (`target/quarantine.rs`).
//!
//! The statements differ, so the state names the rule of the load ([`LoadRule`]). A load goes on from a state by
//! another rule only where the statement of its own rule holds afterwards ([`LoadRule::goes_on_from`]). An upsert does
//! not go on from what was appended. It goes on with deletes of another kind only from `hard`, which leaves no row
//! behind that the other kind would have to find; what was marked or left stays otherwise, and nothing tells it from
//! rows of the target's own. Versions that are valid from one field do not go on with another. A load that does not go
//! on is refused even where it has nothing to apply: whoever has changed the configuration learns of it at once.
//!
//! All of them hold for the columns that the load filled. The state names those of the lake ([`LoadedColumns`]), and
//! the rule those of the marks ([`LoadRule::marks_from`]). Where both say the same, nothing follows from it. If there
//! are fewer, or others have new names, the target follows with the next load, which may have no rows. If more are to
//! be filled, rows that are the same in L and W lack values: then every row is loaded, or the load is refused. An
//! upsert that begins to mark rows is such a load. The target may have marks from an earlier time in those columns, and
//! they are taken off all rows of W. Between two steps the state keeps rule and columns of the load before, because
//! rows that no step has reached have those.
//!
//! Rows that others write to the target are not covered; see [`LoadKind::Whole`]. If the target is another object than
//! O, or missing, the state says nothing about it. A state of an older build names no object and is trusted. Object id
//! and creation date survive a restore of the database.
//!
//! A load in steps commits rows before it commits the state of its snapshot P. Until its last step the state names L
//! and P, and of the target what it named before: object and columns are those of L. If the target is still O, each
//! key that differs between L and P has its row of L or that of P. If it is another table, nothing is known of its
//! rows, as before the load.
//!
//! Any load may be interrupted so, because a trigger of the target may run COMMIT (`mssql/sql/state.rs`). Such a load
//! counts as one of every row. If it was a first load, the state names P and no L: each key of P has its row of P, or
//! what the target had before.
//!
//! # The kinds, and why each one is right
//!
//! Let W be the snapshot to load. A row of it that the target refuses is put into quarantine instead, where that is
//! configured; what is said below of the rows of W holds for all others.
//!
//! - [`Nothing`](LoadKind::Nothing). L is W and the target is O. The statement above already holds for W. Or the lake
//!   table has no snapshot and the target is not icesync's to alter.
//! - [`Prepare`](LoadKind::Prepare). The lake table has no snapshot, so W has no rows. An empty table holds exactly W,
//!   so the target is created empty, or the columns of one that was created so follow. The state records "no snapshot".
//! - [`First`](LoadKind::First). The target is missing, or nothing is known of its rows. A missing target may be filled
//!   without staging (`target/fill.rs`), and is W then. Otherwise every row of W is staged. In upsert and replace mode
//!   each is compared with the target's rows unless the target is empty, so each key of W gets its row. In append,
//!   history and scd2 mode nothing can be compared. The load is right only for an empty table; the transaction checks
//!   that under an exclusive lock and stops otherwise.
//! - [`Delta`](LoadKind::Delta). The target is O and holds L. What changed from L to W is applied to L, which gives W.
//!   That holds for any two snapshots of a mirror, in both directions (`lake/read/delta.rs`). For append and history,
//!   the rows that are new since L are inserted; for scd2 they also end others of their keys. The lake refuses a range
//!   in which it cannot tell them from moved rows. If the lake no longer lists L, no delta exists: the load is refused
//!   and nothing is guessed.
//! - [`Finish`](LoadKind::Finish), upsert only. A load from L to P was interrupted between two of its steps: some keys
//!   that differ between L and P have their row of P, the others have their row of L. What changed from L to P is
//!   applied in full, to rows of either snapshot, which gives P. If the interrupted load was of every row, or more
//!   columns are to be filled than the state says, all rows of P are staged and compared instead, and the keys of L
//!   that P lacks are deleted: rows that others changed in the target become those of P, too. Then the load
//!   is decided anew.
//!
//!   The target may refuse a row of P for good. If W is another snapshot, a load of this table alone goes past P then
//!   ([`Facts::past`]): what changed from L to P and what changed from P to W is staged, the later change of a key
//!   wins, and keys that are in neither have the same row in L, P and W. That gives W. With `--full`, or if the
//!   interrupted load was of every row, every row of W is staged, and the keys that left the lake from L to P and from
//!   P to W are staged as deletes. Either is one transaction: a state between two of its steps would have to name P as
//!   well as W. If a trigger commits a part of it, the state goes on naming L and P. The next load of W brings the
//!   rest, as before. If it is of another snapshot, rows that only W had may stay; a load of every row counts them.
//! - [`Whole`](LoadKind::Whole), upsert only. The target may have any rows. Every row of W is staged and compared, so
//!   each key of W gets its row. Keys of L that W lacks are staged as deletes where the lake still lists L, and so are
//!   those of a P that the target is between L and, in one transaction as above. Where no L was loaded and a first load
//!   of P was interrupted, they are those of P. Rows with other keys may be the target's own. They stay, and the
//!   transaction counts them for the report.
//! - [`Replace`](LoadKind::Replace), replace, and scd2 with `--full`. Every row of W is staged, and rows of the target
//!   that it does not have are deleted. The target is W, whatever it held.
//!
//! # Refusals
//!
//! A refusal stands where no kind is right: see [`Refusal`]. Each message says how to resolve it.
//!
//! [`LoadedColumns`]: crate::target::columns::LoadedColumns

use super::columns::Choice;
use crate::change::{DeleteRule, LoadRule, Marks, MergeMode};
use crate::config::Table;
use crate::lake::{LakeTable, SnapshotInfo};
use crate::mssql::sql::TableIdent;
use crate::schema::TableKind;
use crate::schema::mapping::COMMITTED_AT;
use crate::target::columns::Compared;
use crate::target::evolve::Written;
use crate::target::merge::Held;
use crate::target::state::{LoadState, Looked};

/// What a load does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoadKind {
    Nothing,
    /// No rows: the target is created, or its columns follow.
    Prepare,
    /// The whole snapshot into a target of which nothing is known.
    First,
    /// What changed since a snapshot.
    Delta {
        from: i64,
    },
    /// What a load that was interrupted between two of its steps has to apply, from its first step on. `whole`: it is
    /// every row of the snapshot.
    Finish {
        from: i64,
        to: i64,
        whole: bool,
    },
    /// The whole snapshot, compared with what the target has; and the keys that are gone since a snapshot.
    Whole {
        since: Option<i64>,
    },
    /// The whole snapshot instead of what the target has.
    Replace,
}

/// What the load state says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// There is none.
    None,
    /// icesync has created the target and loaded nothing yet.
    Prepared,
    /// A snapshot of this lake table was loaded.
    Here {
        snapshot: i64,
        /// The lake table still has it.
        is_listed: bool,
    },
    /// A snapshot of another lake table was loaded.
    Elsewhere,
}

/// The snapshot to load, compared with the one that was loaded of the same lake table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// The lake table has no snapshot.
    NoSnapshot,
    Same,
    /// Or nothing of this lake table was loaded.
    Newer,
    Older,
    /// Older, and the current one: the lake table was rolled back.
    RolledBack,
}

/// The target table, compared with the one that was loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    Missing,
    /// The same object, or nothing was recorded of it.
    There,
    /// Another object of the same name.
    Recreated,
}

/// All that the decision depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    pub state: State,
    pub wanted: Wanted,
    pub found: Found,
    pub mode: MergeMode,
    /// The mode of the load that the state is from; none where an older build wrote it.
    pub loaded_as: Option<MergeMode>,
    /// Changes since that load may be applied by the rule of this one.
    pub goes_on: bool,
    /// The target is between two snapshots.
    pub unfinished: Option<Unfinished>,
    /// The rows of the lake table have a key in the target.
    pub is_keyed: bool,
    pub lake: TableKind,
    /// The columns to fill, compared with those that the load of that snapshot has filled.
    pub columns: Compared,
    /// `--full`
    pub full: bool,
}

/// A load that was interrupted between two of its steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unfinished {
    /// The snapshot that it was to reach.
    pub snapshot: i64,
    /// The lake table still has it.
    pub is_listed: bool,
    /// It was to load every row of it.
    pub is_whole: bool,
}

/// Why there is nothing right to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// An upsert finds rows by key.
    NoKey,
    /// The rows of the target came from another lake table.
    OtherLakeTable,
    /// A load does not go back.
    Older,
    /// What was loaded has left the lake, so that nothing tells what has changed since.
    Expired,
    /// A load was interrupted between two of its steps, and what it was to apply is not known any more.
    Unfinished,
    /// The target was loaded by another rule, from which this one does not go on.
    OtherRule,
    /// Rows that are not loaded again lack values of columns that are to be loaded now.
    MoreColumns,
}

/// The kind of load for these facts.
pub fn decide(facts: &Facts) -> Result<LoadKind, Refusal> {
    if matches!(facts.mode, MergeMode::Upsert | MergeMode::Scd2) && !facts.is_keyed {
        return Err(Refusal::NoKey);
    }
    if facts.wanted == Wanted::NoSnapshot {
        return Ok(match facts.found == Found::Missing || facts.is_prepared() {
            true => LoadKind::Prepare,
            false => LoadKind::Nothing,
        });
    }
    let (snapshot, is_listed) = match (facts.found, facts.state) {
        (Found::Missing, _) => return Ok(LoadKind::First),
        (Found::There, State::Prepared) if facts.unfinished.is_some() => {
            let begun = facts.unfinished.filter(|begun| begun.is_listed);
            return Ok(whole(facts, begun.map(|begun| begun.snapshot)));
        }
        (_, State::Prepared) => return Ok(LoadKind::First),
        (_, State::None) if facts.mode == MergeMode::Scd2 => return Ok(whole(facts, None)),
        (_, State::None) => return Ok(LoadKind::First),
        (Found::Recreated, State::Elsewhere) => return Ok(whole(facts, None)),
        (Found::There, State::Elsewhere) if facts.full => return Ok(whole(facts, None)),
        (Found::There, State::Elsewhere) => return Err(Refusal::OtherLakeTable),
        (
            Found::There | Found::Recreated,
            State::Here {
                snapshot,
                is_listed,
            },
        ) => (snapshot, is_listed),
    };
    let is_replaced = facts.mode == MergeMode::Replace;
    let is_known = facts.found == Found::There && !facts.full;
    if is_known && !facts.goes_on && !is_replaced {
        return Err(Refusal::OtherRule);
    }
    let unfinished = facts
        .unfinished
        .filter(|_| facts.found == Found::There && !is_replaced);
    match unfinished {
        Some(unfinished)
            if facts.mode == MergeMode::Upsert && is_listed && unfinished.is_listed =>
        {
            return Ok(LoadKind::Finish {
                from: snapshot,
                to: unfinished.snapshot,
                // With `--full` every row is loaded after it.
                whole: facts.columns == Compared::More || unfinished.is_whole && !facts.full,
            });
        }
        Some(_) if !facts.full => return Err(Refusal::Unfinished),
        Some(_) | None => {}
    }
    if facts.full || facts.found == Found::Recreated {
        return Ok(whole(facts, is_listed.then_some(snapshot)));
    }
    let was_replaced =
        facts.unfinished.is_none() && matches!(facts.loaded_as, None | Some(MergeMode::Replace));
    match (facts.wanted, facts.columns) {
        (Wanted::Same, Compared::Same) if is_replaced && !was_replaced => Ok(LoadKind::Replace),
        (Wanted::NoSnapshot, _) | (Wanted::Same, Compared::Same) => Ok(LoadKind::Nothing),
        (Wanted::Older, _) => Err(Refusal::Older),
        (Wanted::Same | Wanted::Newer | Wanted::RolledBack, _) => {
            onward(facts, snapshot, is_listed)
        }
    }
}

/// What a load does that goes on from a snapshot of the same lake table.
fn onward(facts: &Facts, from: i64, is_listed: bool) -> Result<LoadKind, Refusal> {
    match (facts.mode, facts.columns) {
        (MergeMode::Replace, _) => Ok(LoadKind::Replace),
        _ if !is_listed => Err(Refusal::Expired),
        (MergeMode::Upsert, Compared::More) => Ok(whole(facts, Some(from))),
        (MergeMode::Append | MergeMode::History | MergeMode::Scd2, Compared::More) => {
            Err(Refusal::MoreColumns)
        }
        (
            MergeMode::Upsert | MergeMode::Append | MergeMode::History | MergeMode::Scd2,
            Compared::Same | Compared::Otherwise,
        ) => Ok(LoadKind::Delta { from }),
    }
}

/// The whole snapshot into a target that may have any rows.
fn whole(facts: &Facts, since: Option<i64>) -> LoadKind {
    match facts.mode {
        MergeMode::Upsert => LoadKind::Whole { since },
        MergeMode::Replace => LoadKind::Replace,
        MergeMode::Scd2 if facts.full => LoadKind::Replace,
        MergeMode::Append | MergeMode::History | MergeMode::Scd2 => LoadKind::First,
    }
}

impl LoadKind {
    /// What the load may take for granted about the rows of the target.
    pub fn held(self, facts: &Facts) -> Held {
        match (self, facts.mode, facts.found) {
            (LoadKind::First, MergeMode::Append | MergeMode::History | MergeMode::Scd2, _) => {
                Held::None
            }
            (LoadKind::First, MergeMode::Upsert | MergeMode::Replace, _)
            | (LoadKind::Whole { .. } | LoadKind::Replace, _, Found::Recreated) => {
                Held::PerhapsNone
            }
            (LoadKind::Whole { .. } | LoadKind::Replace, _, Found::Missing | Found::There)
            | (
                LoadKind::Nothing
                | LoadKind::Prepare
                | LoadKind::Delta { .. }
                | LoadKind::Finish { .. },
                _,
                _,
            ) => Held::Rows,
        }
    }

    /// The load creates the target and brings its first rows, so that they may be
    /// [filled in](crate::target::fill) without a staging table.
    pub fn may_fill(self, facts: &Facts) -> bool {
        match self {
            // Times for which versions were valid are computed from staged rows.
            LoadKind::First => facts.found == Found::Missing && facts.mode != MergeMode::Scd2,
            LoadKind::Nothing
            | LoadKind::Prepare
            | LoadKind::Delta { .. }
            | LoadKind::Finish { .. }
            | LoadKind::Whole { .. }
            | LoadKind::Replace => false,
        }
    }

    /// The load knows what has changed since a snapshot of this lake table that the state names. So it may stage
    /// deletes. If the target holds that snapshot, it may be applied in steps: the target is between two snapshots
    /// then.
    pub fn has_base(self) -> bool {
        self.base().is_some()
    }

    /// The snapshot since which the load knows what has changed.
    pub fn base(self) -> Option<i64> {
        match self {
            LoadKind::Delta { from } | LoadKind::Finish { from, .. } => Some(from),
            LoadKind::Whole { since } => since,
            LoadKind::Nothing | LoadKind::Prepare | LoadKind::First | LoadKind::Replace => None,
        }
    }

    /// The snapshot that an interrupted load was to reach, if this one goes past it to `wanted`: the target may have
    /// rows of it.
    pub fn through(self, facts: &Facts, wanted: Option<i64>) -> Option<i64> {
        let between = facts.unfinished.filter(|unfinished| unfinished.is_listed)?;
        match self {
            LoadKind::Delta { from } | LoadKind::Whole { since: Some(from) } => {
                let ends = [Some(from), wanted];
                (!ends.contains(&Some(between.snapshot))).then_some(between.snapshot)
            }
            LoadKind::Nothing
            | LoadKind::Prepare
            | LoadKind::First
            | LoadKind::Finish { .. }
            | LoadKind::Whole { since: None }
            | LoadKind::Replace => None,
        }
    }

    /// Every row of the snapshot is staged.
    pub fn is_whole(self) -> bool {
        match self {
            LoadKind::First | LoadKind::Whole { .. } | LoadKind::Replace => true,
            LoadKind::Finish { whole, .. } => whole,
            LoadKind::Nothing | LoadKind::Prepare | LoadKind::Delta { .. } => false,
        }
    }

    /// Which rows of the target the load writes.
    pub fn written(self, facts: &Facts) -> Written {
        match (self, facts.full) {
            (LoadKind::Replace, _) => Written::All,
            (_, true) => Written::Snapshot,
            (_, false) => Written::Changed,
        }
    }
}

impl Facts {
    /// The target is one that icesync has created and not loaded yet.
    pub fn is_prepared(&self) -> bool {
        self.state == State::Prepared && self.found == Found::There && self.unfinished.is_none()
    }

    /// Every row is to be loaded if a load of this kind is interrupted between two of its steps.
    pub fn promises_all(&self, kind: LoadKind) -> bool {
        kind.is_whole() || self.full || self.left_whole()
    }

    /// A load of every row was interrupted.
    fn left_whole(&self) -> bool {
        self.unfinished
            .is_some_and(|unfinished| unfinished.is_whole)
    }

    /// What a load to `wanted` does when the interrupted one before it cannot be finished; none where it cannot go past
    /// that one's snapshot. If that one was of every row, so is this one.
    pub fn past(&self, wanted: Option<i64>) -> Option<LoadKind> {
        let kind = decide(&Self {
            unfinished: None,
            full: self.full || self.left_whole(),
            ..*self
        });
        kind.ok()
            .filter(|kind| kind.through(self, wanted).is_some())
    }

    /// `snapshot` is the one to load; none where the lake table has none.
    pub fn of(
        table: &Table,
        lake: &LakeTable,
        snapshot: Option<&SnapshotInfo>,
        looked: &Looked,
        (is_keyed, choice): (bool, &Choice),
        full: bool,
    ) -> Self {
        let facts = Self::upcoming(table, Some(lake), looked, (is_keyed, choice));
        Self {
            wanted: match (snapshot, facts.state, &looked.state) {
                (None, _, _) => Wanted::NoSnapshot,
                (Some(snapshot), State::Here { .. }, Some(loaded)) => {
                    compared(lake, snapshot, loaded)
                }
                (Some(_), _, _) => Wanted::Newer,
            },
            lake: lake.kind(),
            full,
            ..facts
        }
    }

    /// The same of a snapshot that is yet to be made, perhaps with the lake table.
    pub fn upcoming(
        table: &Table,
        lake: Option<&LakeTable>,
        looked: &Looked,
        (is_keyed, choice): (bool, &Choice),
    ) -> Self {
        let state = looked.state.as_ref();
        let before = state.and_then(|state| state.rule.as_ref());
        let marks = match choice.rule.marks_from(before) {
            Marks::Same => Compared::Same,
            Marks::Renamed => Compared::Otherwise,
            Marks::Begun => Compared::More,
        };
        Self {
            state: State::of(lake, state),
            wanted: Wanted::Newer,
            found: Found::of(looked),
            mode: choice.rule.mode,
            loaded_as: before.map(|rule| rule.mode),
            goes_on: choice.rule.goes_on_from(before),
            unfinished: Unfinished::of(lake, state),
            is_keyed,
            lake: table.kind,
            columns: choice.compared.max(marks),
            full: false,
        }
    }
}

fn compared(lake: &LakeTable, snapshot: &SnapshotInfo, loaded: &LoadState) -> Wanted {
    if loaded.snapshot_id == snapshot.id {
        Wanted::Same
    } else if loaded.sequence_number <= snapshot.sequence_number {
        Wanted::Newer
    } else if lake.current_snapshot_id() == Some(snapshot.id) {
        Wanted::RolledBack
    } else {
        Wanted::Older
    }
}

impl State {
    /// None for a lake table that is yet to be created.
    pub fn of(lake: Option<&LakeTable>, state: Option<&LoadState>) -> Self {
        let Some(state) = state else {
            return State::None;
        };
        let Some(snapshot) = state.loaded() else {
            return State::Prepared;
        };
        match lake {
            Some(lake) if state.table_uuid == lake.uuid().to_string() => State::Here {
                snapshot,
                is_listed: lake.has_snapshot(snapshot),
            },
            Some(_) | None => State::Elsewhere,
        }
    }
}

impl Unfinished {
    /// None where the state names a snapshot that the target holds.
    pub fn of(lake: Option<&LakeTable>, state: Option<&LoadState>) -> Option<Self> {
        let pending = state?.pending.as_ref()?;
        Some(Self {
            snapshot: pending.snapshot_id,
            is_listed: lake.is_some_and(|lake| lake.has_snapshot(pending.snapshot_id)),
            is_whole: pending.is_whole,
        })
    }
}

impl Found {
    pub fn of(looked: &Looked) -> Self {
        let recorded = looked.state.as_ref();
        let recorded = recorded.and_then(|state| state.object.as_ref());
        match (&looked.object, recorded) {
            (None, _) => Found::Missing,
            (Some(found), Some(recorded)) if found != recorded => Found::Recreated,
            (Some(_), _) => Found::There,
        }
    }
}

impl Refusal {
    /// What is refused, why, and what to do.
    pub fn message(
        self,
        table: &Table,
        facts: &Facts,
        loaded: Option<&LoadState>,
        wanted: Option<&SnapshotInfo>,
        included: &[String],
    ) -> String {
        let (target, lake) = (&table.target, &table.lake);
        let number = wanted.map_or(0, |snapshot| snapshot.sequence_number);
        let old = loaded.map_or(0, |state| state.sequence_number);
        match self {
            Refusal::NoKey => no_key(table, facts),
            Refusal::OtherLakeTable => {
                let from = loaded.map_or("", |state| &*state.lake_table);
                let uuid = loaded.map_or("", |state| &*state.table_uuid);
                format!(
                    "target {target} was loaded from another lake table ({from}, uuid {uuid}). {}",
                    again(table, facts)
                )
            }
            Refusal::Older => format!(
                "snapshot {number} is older than snapshot {old}, which target {target} has already loaded. A load goes \
back only to the newest snapshot of a lake table that was rolled back. Load a newer snapshot"
            ),
            Refusal::Expired => format!(
                "snapshot {old}, which target {target} has loaded, is no longer in lake table {lake}: it was expired, \
or the lake table was restored or copied from an older state. {}",
                again(table, facts)
            ),
            Refusal::Unfinished => {
                let pending = loaded.and_then(|state| state.pending.as_ref());
                let new = pending.map_or(0, |pending| pending.sequence_number);
                format!(
                    "target {target} is between snapshots {old} and {new} of lake table {lake}: a load was interrupted \
when it had committed rows, and it cannot be finished. Only `merge.mode: upsert` compares rows, and it needs both \
snapshots in the lake. {}",
                    again(table, facts)
                )
            }
            Refusal::OtherRule => {
                let before = loaded.and_then(|state| state.rule.as_ref());
                other_rule(table, facts, before)
            }
            Refusal::MoreColumns => format!(
                "column {} of lake table {lake} was left out when target {target} was last loaded and is to be loaded \
now. Rows that are in the target lack its values, and `merge.mode: {}` does not load them again. {}, or leave it out \
with `merge: {{ columns: {{ exclude: [...] }} }}`",
                included.join(", "),
                facts.mode.name(),
                again(table, facts)
            ),
        }
    }
}

fn no_key(table: &Table, facts: &Facts) -> String {
    let Table { target, lake, .. } = table;
    let mode = facts.mode.name();
    let remedy = match facts.lake {
        TableKind::Mirror => {
            "Set `key`, or use `merge: { mode: append }` or `replace`. A table that has no key is mirrored with \
             `change: { strategy: full }` and `merge: { mode: replace }`"
        }
        TableKind::History => {
            "Set `key`, or use `merge: { mode: history }` or `append`. Numbers of type real or float are no key, nor \
             are times of which `fidelity: standard` cuts off a digit: the lake does not tell them apart"
        }
    };
    format!(
        "target {target} cannot be loaded with `merge.mode: {mode}`, which needs a key: lake table {lake} has none. \
{remedy}"
    )
}

/// Why a load does not go on from what another rule has left, and how to begin anew.
fn other_rule(table: &Table, facts: &Facts, before: Option<&LoadRule>) -> String {
    let target = &table.target;
    let before = before.cloned().unwrap_or_default();
    let loaded = |how: &str| format!("target {target} was loaded with `merge: {{ {how} }}`");
    let mode = before.mode.name();
    match (before.mode, facts.mode) {
        (MergeMode::Append, MergeMode::Upsert) => format!(
            "{}, which keeps rows that have changed or left the lake since, so an upsert cannot go on from it. {}",
            loaded("mode: append"),
            again(table, facts)
        ),
        (MergeMode::Upsert, MergeMode::Upsert) if before.deletes.rule() == DeleteRule::Soft => {
            format!(
                "{}, so it has rows of keys that have left the lake, marked as deleted. With other `deletes` a load \
would neither remove them nor take their marks off. Delete the rows that are marked, and run `icesync load --full`. \
The columns of the marks may stay",
                loaded("deletes: soft")
            )
        }
        (MergeMode::Upsert, MergeMode::Upsert) => format!(
            "{}, so it may have rows of keys that have left the lake, which nothing tells from rows that only the \
target has. {}",
            loaded("deletes: ignore"),
            again(table, facts)
        ),
        (MergeMode::Scd2, MergeMode::Scd2) => {
            let column = before.valid_from.as_ref().map(|time| &*time.column);
            let column = column.unwrap_or(COMMITTED_AT);
            let now = table.merge.valid_from.as_deref();
            let other = match now.is_some_and(|now| now.eq_ignore_ascii_case(column)) {
                true => format!("column {column} is another one of that name now"),
                false => "`merge.valid_from` names another column".to_owned(),
            };
            format!(
                "{}, and {other}. {}",
                loaded(&format!("mode: scd2, valid_from: {column}")),
                again(table, facts)
            )
        }
        (_, now) => format!(
            "{}, which leaves other rows than `{}`. Drop the table and load again, which creates it for this mode",
            loaded(&format!("mode: {mode}")),
            now.name()
        ),
    }
}

/// How to load the whole snapshot.
fn again(table: &Table, facts: &Facts) -> String {
    let replace = match facts.lake {
        TableKind::Mirror => "`merge: { mode: replace }`",
        TableKind::History => "",
    };
    match facts.mode {
        MergeMode::Append | MergeMode::History => {
            let or = if replace.is_empty() { "" } else { ", or use " };
            format!(
                "Run TRUNCATE TABLE {}, then `icesync load --full`{or}{replace}",
                TableIdent(&table.target)
            )
        }
        MergeMode::Upsert => format!(
            "`icesync load --full` loads the whole snapshot and leaves rows that only the target has; with {replace} \
it removes those, too"
        ),
        MergeMode::Replace | MergeMode::Scd2 => {
            "`icesync load --full` replaces all rows".to_owned()
        }
    }
}

/// The load state, if it is about the table that is there.
pub fn trusted(looked: &Looked) -> Option<&LoadState> {
    let state = looked.state.as_ref();
    state.filter(|_| Found::of(looked) == Found::There)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::drift::SourceObject;
    use crate::target::columns::LoadedColumns;
    use crate::target::merge::LoadCounts;

    const STATES: [State; 5] = [
        State::None,
        State::Prepared,
        State::Here {
            snapshot: 7,
            is_listed: true,
        },
        State::Here {
            snapshot: 7,
            is_listed: false,
        },
        State::Elsewhere,
    ];
    const WANTED: [Wanted; 5] = [
        Wanted::NoSnapshot,
        Wanted::Same,
        Wanted::Newer,
        Wanted::Older,
        Wanted::RolledBack,
    ];
    const FOUND: [Found; 3] = [Found::Missing, Found::There, Found::Recreated];
    const MODES: [MergeMode; 5] = [
        MergeMode::Upsert,
        MergeMode::Append,
        MergeMode::Replace,
        MergeMode::History,
        MergeMode::Scd2,
    ];
    const COLUMNS: [Compared; 3] = [Compared::Same, Compared::Otherwise, Compared::More];

    /// The whole space of inputs. `lake` is for messages alone, and the mode of the last load matters only to
    /// `replace`.
    fn every() -> Vec<Facts> {
        let mut all = Vec::new();
        for state in STATES {
            for wanted in WANTED {
                for found in FOUND {
                    for mode in MODES {
                        let facts = Facts {
                            state,
                            wanted,
                            found,
                            mode,
                            loaded_as: Some(MergeMode::Upsert),
                            goes_on: true,
                            unfinished: None,
                            is_keyed: true,
                            lake: TableKind::Mirror,
                            columns: Compared::Same,
                            full: false,
                        };
                        all.extend(variants(facts).flat_map(with_history));
                    }
                }
            }
        }
        assert_eq!(all.len(), 5 * 5 * 3 * (4 + 3) * 3 * 4 * 4 * 2);
        all
    }

    /// The same facts with the modes of the last load, and each end that it may have had.
    fn with_history(facts: Facts) -> Vec<Facts> {
        let unfinished = |is_listed, is_whole| Unfinished {
            snapshot: 8,
            is_listed,
            is_whole,
        };
        let mut modes = vec![facts.loaded_as];
        if facts.mode == MergeMode::Replace {
            modes.extend([None, Some(MergeMode::Replace)]);
        }
        let mut all = Vec::new();
        for loaded_as in modes {
            for unfinished in [
                None,
                Some(unfinished(true, false)),
                Some(unfinished(true, true)),
                Some(unfinished(false, false)),
            ] {
                for goes_on in [true, false] {
                    all.push(Facts {
                        loaded_as,
                        goes_on,
                        unfinished,
                        ..facts
                    });
                }
            }
        }
        all
    }

    fn variants(facts: Facts) -> impl Iterator<Item = Facts> {
        COLUMNS.into_iter().flat_map(move |columns| {
            (0..4).map(move |bits| Facts {
                is_keyed: bits & 1 == 0,
                columns,
                full: bits & 2 != 0,
                ..facts
            })
        })
    }

    /// Each statement of the proof, over every input for which a load is not refused.
    #[test]
    fn every_kind_is_right() {
        for facts in every() {
            let Ok(kind) = decide(&facts) else {
                continue;
            };
            let is_here = matches!(facts.state, State::Here { .. });
            let said = format!("{facts:?}: {kind:?}");
            let has_rows = facts.wanted != Wanted::NoSnapshot;
            assert!(
                has_rows || matches!(kind, LoadKind::Nothing | LoadKind::Prepare),
                "{said}"
            );
            match kind {
                LoadKind::Nothing => {
                    assert_ne!(facts.found, Found::Missing, "{said}");
                    assert!(
                        facts.unfinished.is_none()
                            || !has_rows
                            || facts.found != Found::There
                            || !is_here,
                        "{said}"
                    );
                    let is_loaded = is_here
                        && facts.wanted == Wanted::Same
                        && facts.found == Found::There
                        && facts.columns == Compared::Same
                        && (facts.goes_on || facts.mode == MergeMode::Replace)
                        && !facts.full;
                    assert!(is_loaded || !has_rows, "{said}");
                }
                LoadKind::Prepare => assert!(
                    !has_rows && (facts.found == Found::Missing || facts.state == State::Prepared),
                    "{said}"
                ),
                LoadKind::First => assert!(
                    facts.found == Found::Missing
                        || !is_here && facts.state != State::Elsewhere
                        || !facts.mode.has_one_row_per_key()
                            && (facts.mode != MergeMode::Scd2 || !facts.full),
                    "{said}"
                ),
                LoadKind::Delta { from } => {
                    let listed = State::Here {
                        snapshot: from,
                        is_listed: true,
                    };
                    assert_eq!(facts.state, listed, "{said}");
                    assert_eq!(facts.found, Found::There, "{said}");
                    assert!(!facts.full && facts.mode != MergeMode::Replace, "{said}");
                    assert_ne!(facts.columns, Compared::More, "{said}");
                    assert!(facts.goes_on, "{said}");
                    assert!(
                        matches!(facts.wanted, Wanted::Newer | Wanted::RolledBack)
                            || (facts.wanted, facts.columns) == (Wanted::Same, Compared::Otherwise),
                        "{said}"
                    );
                }
                LoadKind::Finish { from, to, whole } => {
                    let listed = State::Here {
                        snapshot: from,
                        is_listed: true,
                    };
                    assert_eq!(facts.state, listed, "{said}");
                    assert_eq!(facts.found, Found::There, "{said}");
                    assert_eq!(facts.mode, MergeMode::Upsert, "{said}");
                    let unfinished = facts.unfinished.unwrap();
                    assert_eq!(
                        (unfinished.snapshot, unfinished.is_listed),
                        (to, true),
                        "{said}"
                    );
                    assert!(facts.goes_on || facts.full, "{said}");
                    let was_whole = unfinished.is_whole && !facts.full;
                    let more = facts.columns == Compared::More;
                    assert_eq!(whole, was_whole || more, "{said}");
                }
                LoadKind::Whole { since } => {
                    assert!(facts.mode == MergeMode::Upsert && facts.is_keyed, "{said}");
                    assert_ne!(facts.found, Found::Missing, "{said}");
                    let listed = |snapshot| State::Here {
                        snapshot,
                        is_listed: true,
                    };
                    let begun = facts
                        .unfinished
                        .filter(|begun| facts.state == State::Prepared && begun.is_listed);
                    let begun = begun.map(|begun| begun.snapshot);
                    assert!(
                        since.is_none_or(|from| facts.state == listed(from) || Some(from) == begun),
                        "{said}"
                    );
                }
                LoadKind::Replace => assert!(
                    facts.mode == MergeMode::Replace
                        || facts.mode == MergeMode::Scd2 && facts.is_keyed && facts.full,
                    "{said}"
                ),
            }
        }
    }

    /// A whole snapshot is appended only to a table that the transaction finds empty, and nothing else is compared
    /// with nothing.
    #[test]
    fn appending_a_whole_snapshot_takes_an_empty_table() {
        for facts in every() {
            let Ok(kind) = decide(&facts) else {
                continue;
            };
            let held = kind.held(&facts);
            let adds = match facts.mode {
                MergeMode::Append | MergeMode::History => kind.is_whole(),
                MergeMode::Scd2 => kind == LoadKind::First,
                MergeMode::Upsert | MergeMode::Replace => false,
            };
            assert_eq!(held == Held::None, adds, "{facts:?}: {kind:?}");
            let may_be_empty =
                facts.found != Found::There || matches!(facts.state, State::None | State::Prepared);
            assert!(
                held != Held::PerhapsNone || may_be_empty,
                "{facts:?}: {kind:?}"
            );
        }
    }

    #[test]
    fn a_load_is_refused_only_where_no_kind_is_right() {
        for facts in every() {
            let there = facts.found == Found::There;
            let here = matches!(facts.state, State::Here { .. });
            let changes = matches!(facts.wanted, Wanted::Newer | Wanted::RolledBack)
                || facts.wanted == Wanted::Same && facts.columns != Compared::Same;
            let has_rows = facts.wanted != Wanted::NoSnapshot;
            let gone = matches!(
                facts.state,
                State::Here {
                    is_listed: false,
                    ..
                }
            );
            let known = there && has_rows && !facts.full;
            let is_between = facts.unfinished.is_some() && facts.mode != MergeMode::Replace;
            let can_finish = facts.mode == MergeMode::Upsert
                && !gone
                && facts
                    .unfinished
                    .is_some_and(|unfinished| unfinished.is_listed);
            let by_key = matches!(facts.mode, MergeMode::Upsert | MergeMode::Scd2);
            let expected = if by_key && !facts.is_keyed {
                Some(Refusal::NoKey)
            } else if known && facts.state == State::Elsewhere {
                Some(Refusal::OtherLakeTable)
            } else if known && here && facts.mode != MergeMode::Replace && !facts.goes_on {
                Some(Refusal::OtherRule)
            } else if there && has_rows && here && is_between && can_finish {
                None
            } else if known && here && is_between {
                Some(Refusal::Unfinished)
            } else if known && here && facts.wanted == Wanted::Older {
                Some(Refusal::Older)
            } else if known && gone && changes && facts.mode != MergeMode::Replace {
                Some(Refusal::Expired)
            } else if known
                && here
                && changes
                && !matches!(facts.mode, MergeMode::Upsert | MergeMode::Replace)
                && facts.columns == Compared::More
            {
                Some(Refusal::MoreColumns)
            } else {
                None
            };
            assert_eq!(decide(&facts).err(), expected, "{facts:?}");
        }
    }

    /// A restored database keeps object ids and creation dates; another database may repeat an id.
    #[test]
    fn a_table_is_known_by_its_id_and_its_creation_date() {
        let object = |id, created: &str| {
            Some(SourceObject {
                id,
                created: created.into(),
            })
        };
        let found = |recorded, object| {
            let state = LoadState {
                lake_table: "dbo.t".into(),
                table_uuid: String::new(),
                snapshot_id: 7,
                sequence_number: 1,
                run_id: String::new(),
                loaded_at: String::new(),
                counts: LoadCounts::default(),
                object: recorded,
                rule: None,
                pending: None,
                columns: LoadedColumns::default(),
                flag: None,
            };
            Found::of(&Looked {
                object,
                state: Some(state),
                in_quarantine: 0,
            })
        };
        let (monday, tuesday) = ("2024-05-06T10:00:00", "2024-05-07T10:00:00");
        assert_eq!(found(object(5, monday), object(5, monday)), Found::There);
        assert_eq!(
            found(object(5, monday), object(6, tuesday)),
            Found::Recreated
        );
        assert_eq!(
            found(object(5, monday), object(5, tuesday)),
            Found::Recreated
        );
        assert_eq!(found(object(5, monday), None), Found::Missing);
        assert_eq!(found(None, object(5, monday)), Found::There);
        let never = Looked {
            object: object(5, monday),
            state: None,
            in_quarantine: 0,
        };
        assert_eq!(Found::of(&never), Found::There);
    }

    /// A snapshot was loaded, and there is a newer one.
    fn usual() -> Facts {
        Facts {
            state: State::Here {
                snapshot: 7,
                is_listed: true,
            },
            wanted: Wanted::Newer,
            found: Found::There,
            mode: MergeMode::Upsert,
            loaded_as: Some(MergeMode::Upsert),
            goes_on: true,
            unfinished: None,
            is_keyed: true,
            lake: TableKind::Mirror,
            columns: Compared::Same,
            full: false,
        }
    }

    #[test]
    fn the_usual_cases() {
        let usual = usual();
        let since = Some(7);
        for (facts, kind) in [
            (usual, LoadKind::Delta { from: 7 }),
            (
                Facts {
                    state: State::None,
                    ..usual
                },
                LoadKind::First,
            ),
            (
                Facts {
                    found: Found::Missing,
                    wanted: Wanted::Same,
                    ..usual
                },
                LoadKind::First,
            ),
            (
                Facts {
                    found: Found::Recreated,
                    ..usual
                },
                LoadKind::Whole { since },
            ),
            (
                Facts {
                    full: true,
                    wanted: Wanted::Same,
                    ..usual
                },
                LoadKind::Whole { since },
            ),
            (
                Facts {
                    wanted: Wanted::Same,
                    ..usual
                },
                LoadKind::Nothing,
            ),
            (
                Facts {
                    wanted: Wanted::Same,
                    columns: Compared::Otherwise,
                    ..usual
                },
                LoadKind::Delta { from: 7 },
            ),
            (
                Facts {
                    wanted: Wanted::Same,
                    columns: Compared::More,
                    ..usual
                },
                LoadKind::Whole { since },
            ),
            (
                Facts {
                    mode: MergeMode::Replace,
                    ..usual
                },
                LoadKind::Replace,
            ),
            (
                Facts {
                    mode: MergeMode::Append,
                    full: true,
                    ..usual
                },
                LoadKind::First,
            ),
            (
                Facts {
                    state: State::None,
                    wanted: Wanted::NoSnapshot,
                    found: Found::Missing,
                    ..usual
                },
                LoadKind::Prepare,
            ),
        ] {
            assert_eq!(decide(&facts), Ok(kind), "{facts:?}");
        }
    }

    /// What a first load has committed before a trigger ended it are rows of its snapshot, which nothing else names.
    #[test]
    fn a_first_load_that_a_trigger_has_cut_short_is_loaded_whole() {
        let begun = |is_listed| {
            Some(Unfinished {
                snapshot: 8,
                is_listed,
                is_whole: true,
            })
        };
        let prepared = Facts {
            state: State::Prepared,
            unfinished: begun(true),
            ..usual()
        };
        let gone = Facts {
            unfinished: begun(false),
            ..prepared
        };
        let of = |facts: Facts, mode| decide(&Facts { mode, ..facts });
        let since = |since| Ok(LoadKind::Whole { since });
        assert_eq!(of(prepared, MergeMode::Upsert), since(Some(8)));
        assert_eq!(of(gone, MergeMode::Upsert), since(None));
        assert_eq!(of(prepared, MergeMode::Replace), Ok(LoadKind::Replace));
        // Only into an empty table.
        for mode in [MergeMode::Append, MergeMode::History, MergeMode::Scd2] {
            assert_eq!(of(prepared, mode), Ok(LoadKind::First));
        }
        let full = Facts {
            full: true,
            ..prepared
        };
        assert_eq!(of(full, MergeMode::Scd2), Ok(LoadKind::Replace));
        let empty = Facts {
            wanted: Wanted::NoSnapshot,
            ..prepared
        };
        assert_eq!(decide(&empty), Ok(LoadKind::Nothing));
        assert!(!prepared.is_prepared());
    }

    #[test]
    fn a_load_that_goes_past_an_interrupted_one_of_every_row_is_of_every_row() {
        for (is_whole, full, kind) in [
            (false, false, LoadKind::Delta { from: 7 }),
            (true, false, LoadKind::Whole { since: Some(7) }),
            (false, true, LoadKind::Whole { since: Some(7) }),
        ] {
            let facts = Facts {
                unfinished: Some(Unfinished {
                    snapshot: 8,
                    is_listed: true,
                    is_whole,
                }),
                full,
                ..usual()
            };
            assert_eq!(facts.past(Some(9)), Some(kind));
            assert_eq!(facts.past(Some(8)), None);
        }
    }

    /// The second `--full` applies what the first has left as changes alone, because every row comes after it. If it is
    /// interrupted, too, every row is still to come.
    #[test]
    fn an_interrupted_load_of_every_row_is_promised_until_it_was_loaded() {
        let finish = LoadKind::Finish {
            from: 7,
            to: 8,
            whole: false,
        };
        for (is_whole, full, kind, promised) in [
            (false, false, finish, false),
            (false, true, finish, true),
            (true, true, finish, true),
            (true, false, LoadKind::Whole { since: Some(7) }, true),
            (false, false, LoadKind::Delta { from: 7 }, false),
        ] {
            let facts = Facts {
                unfinished: Some(Unfinished {
                    snapshot: 8,
                    is_listed: true,
                    is_whole,
                }),
                full,
                ..usual()
            };
            assert_eq!(facts.promises_all(kind), promised, "{facts:?}: {kind:?}");
        }
    }
}
