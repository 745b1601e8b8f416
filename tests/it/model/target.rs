//! What a target holds, and what a load makes of it: written down from the guide, not from the code that loads.

use super::lake::{Entry, Lake, Segment};
use super::rows::{Fold, Key, Row, listed};
use super::table::{Mode, Table};
use std::collections::{BTreeMap, BTreeSet};

/// A target as the model knows it, or as it was found.
#[derive(Debug, Clone, Default)]
pub struct Target {
    pub exists: bool,
    /// Sorted.
    pub rows: Vec<Row>,
    pub state: Option<State>,
    /// Keys of the refused rows as they are listed, by the key as the target compares it.
    pub quarantine: BTreeMap<Key, String>,
    /// Which of the tables that have had its name it is.
    pub generation: u32,
    /// It refuses bad rows.
    pub checks: bool,
}

/// Its row in `icesync.load_state`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// None: it was created, and nothing is loaded.
    pub snapshot: Option<i64>,
    pub pending: Option<Pending>,
    /// The table that was loaded.
    pub generation: u32,
    pub mode: Mode,
}

/// A load between two of its steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pending {
    pub snapshot: i64,
    pub rows: i64,
    pub applied: i64,
    /// Of every row of the snapshot.
    pub is_whole: bool,
}

/// What a load is asked for, and how it is configured.
#[derive(Debug, Clone)]
pub struct Request {
    pub wanted: Wanted,
    pub full: bool,
    pub mode: Mode,
    /// It shares its transaction with other tables.
    pub is_grouped: bool,
    pub references_itself: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// No extract has made the lake table, or has ended.
    Nowhere,
    /// The lake table has no rows yet.
    Empty,
    Snapshot(i64),
}

/// What a load does to one target.
#[derive(Debug, Clone)]
pub struct Forecast {
    /// What the target is after each of its commits, the first before all of them.
    pub stages: Vec<Target>,
    /// Why it fails after the last of them.
    pub fails: Option<String>,
    /// As the report calls it; none where nothing is loaded.
    pub kind: Option<&'static str>,
    /// Inserted, updated, deleted, unchanged, quarantined.
    pub counts: [i64; 5],
    /// Parts of the report's warnings.
    pub warnings: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Nothing,
    Prepare,
    First,
    Delta(i64),
    /// From one snapshot to another; true: every row of that.
    Finish(i64, i64, bool),
    Whole(i64),
    Replace,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    Missing,
    There,
    Recreated,
}

/// The changes of a load, one for each key.
#[derive(Debug, Default)]
struct Net {
    deletes: BTreeSet<Key>,
    upserts: BTreeMap<Key, Row>,
    /// Keys of the lake's rows.
    held: BTreeSet<Key>,
    /// Keys that any change is about.
    touched: BTreeSet<Key>,
}

/// How many changes one transaction applies, and what it does with bad rows.
struct Terms {
    batch_rows: usize,
    /// None: a bad row stops the load.
    bad_rows_max: Option<u64>,
    /// Every row of the snapshot is tried.
    is_whole: bool,
    /// Every row is to be loaded after an interruption.
    is_promised: bool,
    /// Rows that the snapshot does not have are deleted.
    replaces: bool,
    to: i64,
}

impl Target {
    /// Where it differs from what was found; none where it does not.
    pub fn differs(&self, found: &Target) -> Option<String> {
        let state = |target: &Target| {
            let is_of_it = |state: &State| target.exists && state.generation == target.generation;
            let state = target.state.as_ref();
            state.map(|state| (state.snapshot, state.pending, is_of_it(state)))
        };
        let keys = |target: &Target| {
            let mut keys: Vec<String> = target.quarantine.values().cloned().collect();
            keys.sort();
            keys
        };
        if self.exists != found.exists {
            return Some(format!("the target is there: {}", found.exists));
        }
        if state(self) != state(found) {
            let (expected, found) = (state(self), state(found));
            return Some(format!(
                "load state (snapshot, pending, is of this table): {found:?} instead of {expected:?}"
            ));
        }
        if self.rows != found.rows {
            let differences = super::rows::differences(&self.rows, &found.rows);
            return Some(format!("rows of the target:\n{differences}"));
        }
        if keys(self) != keys(found) {
            let (expected, found) = (keys(self), keys(found));
            return Some(format!("quarantine {found:?} instead of {expected:?}"));
        }
        None
    }

    fn found(&self) -> Found {
        match &self.state {
            _ if !self.exists => Found::Missing,
            Some(state) if state.generation != self.generation => Found::Recreated,
            Some(_) | None => Found::There,
        }
    }

    fn by_key(&self, table: &Table) -> BTreeMap<Key, Row> {
        let key = |row: &Row| table.key_of(row, table.fold());
        self.rows
            .iter()
            .map(|row| (key(row), row.clone()))
            .collect()
    }
}

impl Forecast {
    /// Nothing is loaded.
    pub fn none(before: &Target) -> Self {
        Self {
            stages: vec![before.clone()],
            fails: None,
            kind: None,
            counts: [0; 5],
            warnings: Vec::new(),
        }
    }

    /// What a load makes of a target.
    pub fn of(
        table: &Table,
        lake: &Lake,
        before: &Target,
        request: &Request,
    ) -> Result<Self, String> {
        let mut forecast = Self::none(before);
        let mut finished = None;
        loop {
            let mut kind = match decide(forecast.last(), lake, request) {
                Ok(kind) => kind,
                Err(refusal) => {
                    forecast.fails = Some(refusal);
                    return Ok(forecast);
                }
            };
            if let Kind::Finish(_, to, _) = kind {
                let counts = forecast.counts;
                forecast.apply(table, lake, kind, request, to)?;
                if forecast.fails.is_none() {
                    finished = Some((lake.number(to), kind.name()));
                    continue;
                }
                match past(forecast.last(), lake, request) {
                    Some(past) => kind = past,
                    None => return Ok(forecast),
                }
                (forecast.fails, forecast.counts) = (None, counts);
            }
            forecast.kind = Some(match (kind, finished) {
                (Kind::Nothing, Some((_, name))) => name,
                (kind, _) => kind.name(),
            });
            if let (Some((number, _)), false) = (finished, kind == Kind::Nothing) {
                let warning =
                    format!("the interrupted load of snapshot {number} was finished first");
                forecast.warnings.push(warning);
            }
            match (kind, request.wanted) {
                (Kind::Nothing, _) => {}
                (Kind::Prepare, _) => forecast.prepare(),
                (_, Wanted::Snapshot(to)) => forecast.apply(table, lake, kind, request, to)?,
                (_, Wanted::Nowhere | Wanted::Empty) => return Err("nothing to load".to_owned()),
            }
            return Ok(forecast);
        }
    }

    /// Rows are loaded, so that the last stage is the one after the commit that a group shares.
    pub fn has_rows(&self) -> bool {
        self.stages.len() > 1 && self.kind != Some(Kind::Prepare.name())
    }

    pub fn last(&self) -> &Target {
        &self.stages[self.stages.len() - 1]
    }

    fn prepare(&mut self) {
        let before = self.last();
        if before.exists {
            return;
        }
        let generation = before.generation + 1;
        let state = State {
            snapshot: None,
            pending: None,
            generation,
            mode: Mode::Upsert,
        };
        self.forget_quarantine();
        self.stages.push(Target {
            exists: true,
            state: Some(state),
            generation,
            ..Target::default()
        });
    }

    /// The quarantine of a missing target is emptied before its load begins.
    fn forget_quarantine(&mut self) {
        let before = self.last().clone();
        if !before.exists && !before.quarantine.is_empty() {
            self.stages.push(Target {
                quarantine: BTreeMap::new(),
                ..before
            });
        }
    }

    fn apply(
        &mut self,
        table: &Table,
        lake: &Lake,
        kind: Kind,
        request: &Request,
        to: i64,
    ) -> Result<(), String> {
        let before = self.last().clone();
        self.warn(table, lake, &before);
        if kind == Kind::Replace && before.exists && !before.quarantine.is_empty() {
            self.fails = Some("rows are in quarantine".to_owned());
            return Ok(());
        }
        self.forget_quarantine();
        if !before.exists {
            // Where the rows go through a staging table, it is created first.
            self.prepare();
        }
        let through = before.state.as_ref().and_then(|state| state.pending);
        let through = through.filter(|_| request.mode == Mode::Upsert);
        let through = kind.through(through, to);
        let segments = match kind {
            Kind::Delta(from) | Kind::Finish(from, _, _) | Kind::Whole(from) => {
                let mut segments = lake.delta(from, through.unwrap_or(to))?;
                if let Some(between) = through {
                    // The snapshot to load may be the older one.
                    let rest = lake.delta(between, to);
                    segments.extend(rest.unwrap_or_else(|_| vec![lake.segment(between, to)]));
                }
                segments
            }
            Kind::Nothing | Kind::Prepare | Kind::First | Kind::Replace => Vec::new(),
        };
        if let (Some(from), Some(between)) = (kind.from(), through) {
            let (from, between) = (lake.number(from), lake.number(between));
            let name = &table.name;
            self.warnings.push(format!(
                "target dbo.{name} was between snapshots {from} and {between}"
            ));
        }
        let now = Target {
            exists: true,
            generation: before.generation + u32::from(!before.exists),
            ..self.last().clone()
        };
        if request.mode == Mode::Append {
            let rows = match kind {
                Kind::Delta(_) => segments.iter().flat_map(|part| &part.upserts).collect(),
                _ => lake.entries(to).iter().collect::<Vec<_>>(),
            };
            self.append(table, now, kind, &rows, to);
            return Ok(());
        }
        let net = match kind {
            Kind::Delta(_) | Kind::Finish(_, _, false) => Net::of_delta(table, lake, &segments, to),
            _ => Net::of_all(table, lake, &segments, to),
        };
        let is_stepped = matches!(
            kind,
            Kind::Delta(_) | Kind::Finish(_, _, _) | Kind::Whole(_)
        ) && request.mode == Mode::Upsert
            && table.batch_rows > 0
            && through.is_none()
            && !request.is_grouped
            && !request.references_itself;
        let is_whole = !matches!(kind, Kind::Delta(_) | Kind::Finish(_, _, false));
        let left = before.state.as_ref().and_then(|state| state.pending);
        let terms = Terms {
            batch_rows: match is_stepped {
                true => table.batch_rows as usize,
                false => usize::MAX,
            },
            bad_rows_max: table.bad_rows_max.filter(|_| request.mode == Mode::Upsert),
            is_whole,
            is_promised: is_whole || request.full || left.is_some_and(|left| left.is_whole),
            replaces: kind == Kind::Replace || kind == Kind::First && request.mode == Mode::Replace,
            to,
        };
        self.merge(table, now, net, &terms, request.mode, lake.number(to));
        Ok(())
    }

    /// What the report says of a target that is not what it was.
    fn warn(&mut self, table: &Table, lake: &Lake, before: &Target) {
        let loaded = before.state.as_ref().and_then(|state| state.snapshot);
        let Some(number) = loaded.map(|snapshot| lake.number(snapshot)) else {
            return;
        };
        let what = match before.found() {
            Found::There => return,
            Found::Missing => "is missing although",
            Found::Recreated => "was recreated after",
        };
        let name = &table.name;
        self.warnings.push(format!(
            "target dbo.{name} {what} snapshot {number} was loaded into it"
        ));
    }

    fn append(&mut self, table: &Table, now: Target, kind: Kind, entries: &[&Entry], to: i64) {
        if kind == Kind::First && !now.rows.is_empty() {
            self.fails = Some("a whole snapshot is appended only to an empty table".to_owned());
            return;
        }
        let rows = entries.iter().filter(|entry| !entry.is_gone);
        let rows: Vec<Row> = rows.map(|entry| entry.row.clone()).collect();
        if now.checks && rows.iter().any(|row| table.is_bad(row)) {
            self.fails = Some("a row is refused".to_owned());
            return;
        }
        self.counts[0] += rows.len() as i64;
        let mut all = [now.rows.clone(), rows].concat();
        all.sort();
        self.stages.push(Target {
            rows: all,
            state: Some(loaded(&now, to, Mode::Append)),
            ..now
        });
    }

    fn merge(
        &mut self,
        table: &Table,
        now: Target,
        mut net: Net,
        terms: &Terms,
        mode: Mode,
        number: i64,
    ) {
        let mut rows = now.by_key(table);
        if terms.replaces {
            let others = rows.keys().filter(|key| !net.upserts.contains_key(*key));
            net.deletes = others.cloned().collect();
        }
        let total = net.deletes.len() + net.upserts.len();
        let mut refused = BTreeMap::new();
        let (mut applied, mut pending) = (0, terms.batch_rows);
        let changes = net.deletes.iter().map(|key| (key, None));
        let changes = changes.chain(net.upserts.iter().map(|(key, row)| (key, Some(row))));
        for (key, row) in changes {
            if applied == pending {
                let place = Pending {
                    snapshot: terms.to,
                    rows: total as i64,
                    applied: applied as i64,
                    is_whole: terms.is_promised,
                };
                self.between(&now, &rows, place);
                pending += terms.batch_rows;
            }
            applied += 1;
            if let Some(refusal) = self.change(table, &now, &mut rows, key, row) {
                if terms.bad_rows_max.is_none() {
                    self.fails = Some(format!("row {refusal} is refused"));
                    return;
                }
                refused.insert(key.clone(), refusal);
            }
        }
        if terms
            .bad_rows_max
            .is_some_and(|most| refused.len() as u64 > most)
        {
            self.fails = Some("more rows are refused than may be".to_owned());
            return;
        }
        self.counts[4] += refused.len() as i64;
        let mut quarantine = now.quarantine.clone();
        quarantine.retain(|key, _| !terms.is_whole && !net.touched.contains(key));
        quarantine.extend(refused);
        let own = rows.keys().filter(|key| !net.held.contains(*key)).count();
        if terms.is_whole && own > 0 && mode == Mode::Upsert {
            let rows = if own == 1 { "row" } else { "rows" };
            self.warnings.push(format!(
                "{own} {rows} that target dbo.{} has and snapshot {number} does not have were left",
                table.name
            ));
        }
        self.stages.push(Target {
            rows: sorted(&rows),
            state: Some(loaded(&now, terms.to, mode)),
            quarantine,
            ..now
        });
    }

    /// A step is committed. A table that was recreated is not the one of the state before all of its rows are there.
    fn between(&mut self, now: &Target, rows: &BTreeMap<Key, Row>, place: Pending) {
        let state = self.last().state.clone();
        let state = state.map(|state| State {
            pending: Some(place),
            ..state
        });
        self.stages.push(Target {
            rows: sorted(rows),
            state,
            ..now.clone()
        });
    }

    /// One change; a row that is refused, as it is listed.
    fn change(
        &mut self,
        table: &Table,
        now: &Target,
        rows: &mut BTreeMap<Key, Row>,
        key: &Key,
        row: Option<&Row>,
    ) -> Option<String> {
        let Some(row) = row else {
            self.counts[2] += i64::from(rows.remove(key).is_some());
            return None;
        };
        let before = rows.get(key);
        let place = match before {
            Some(before) if before == row => 3,
            Some(_) | None if now.checks && table.is_bad(row) => {
                return Some(listed(&table.key_of(row, Fold::Spelled)));
            }
            Some(_) => 1,
            None => 0,
        };
        self.counts[place] += 1;
        rows.insert(key.clone(), row.clone());
        None
    }
}

fn sorted(rows: &BTreeMap<Key, Row>) -> Vec<Row> {
    let mut rows: Vec<Row> = rows.values().cloned().collect();
    rows.sort();
    rows
}

fn loaded(now: &Target, snapshot: i64, mode: Mode) -> State {
    State {
        snapshot: Some(snapshot),
        pending: None,
        generation: now.generation,
        mode,
    }
}

/// What a load does, after the table in the guide.
fn decide(now: &Target, lake: &Lake, request: &Request) -> Result<Kind, String> {
    let found = now.found();
    let state = now.state.as_ref();
    let loaded = state.and_then(|state| state.snapshot);
    let wanted = match request.wanted {
        Wanted::Nowhere => return Err("there is no lake table, or no snapshot of it".to_owned()),
        Wanted::Empty => {
            let is_own = found == Found::There && state.is_some() && loaded.is_none();
            return Ok(match found == Found::Missing || is_own {
                true => Kind::Prepare,
                false => Kind::Nothing,
            });
        }
        Wanted::Snapshot(wanted) => wanted,
    };
    let (Some(state), Some(loaded)) = (state, loaded) else {
        return Ok(Kind::First);
    };
    if found == Found::Missing {
        return Ok(Kind::First);
    }
    if let (Some(pending), Found::There, Mode::Upsert) = (state.pending, found, request.mode) {
        let is_whole = pending.is_whole && !request.full;
        return Ok(Kind::Finish(loaded, pending.snapshot, is_whole));
    }
    if request.full || found == Found::Recreated {
        return Ok(match request.mode {
            Mode::Upsert => Kind::Whole(loaded),
            Mode::Replace => Kind::Replace,
            Mode::Append => Kind::First,
        });
    }
    if loaded == wanted {
        let is_other = request.mode == Mode::Replace
            && (state.mode != Mode::Replace || state.pending.is_some());
        return Ok(if is_other {
            Kind::Replace
        } else {
            Kind::Nothing
        });
    }
    if lake.number(wanted) < lake.number(loaded) && lake.current != Some(wanted) {
        return Err("an older snapshot".to_owned());
    }
    Ok(match request.mode {
        Mode::Replace => Kind::Replace,
        Mode::Upsert | Mode::Append => Kind::Delta(loaded),
    })
}

/// What a load does when the interrupted one before it cannot be finished: alone it goes past that one's snapshot.
fn past(now: &Target, lake: &Lake, request: &Request) -> Option<Kind> {
    let mut now = now.clone();
    let pending = now.state.as_mut()?.pending.take();
    let Wanted::Snapshot(wanted) = request.wanted else {
        return None;
    };
    let request = &Request {
        full: request.full || pending.is_some_and(|pending| pending.is_whole),
        ..request.clone()
    };
    let kind = decide(&now, lake, request).ok()?;
    let through = kind.through(pending, wanted);
    through.filter(|_| !request.is_grouped).map(|_| kind)
}

impl Kind {
    /// The snapshot since which it knows what has changed.
    fn from(self) -> Option<i64> {
        match self {
            Kind::Delta(from) | Kind::Finish(from, _, _) | Kind::Whole(from) => Some(from),
            Kind::Nothing | Kind::Prepare | Kind::First | Kind::Replace => None,
        }
    }

    /// The snapshot of an interrupted load that it does not finish.
    fn through(self, pending: Option<Pending>, to: i64) -> Option<i64> {
        let between = pending?.snapshot;
        let is_end = between == to || self.from() == Some(between);
        let goes_on = matches!(self, Kind::Delta(_) | Kind::Whole(_));
        (goes_on && !is_end).then_some(between)
    }

    fn name(self) -> &'static str {
        match self {
            Kind::Nothing => "nothing",
            Kind::Prepare => "prepare",
            Kind::First => "first",
            Kind::Delta(_) | Kind::Finish(_, _, false) => "delta",
            Kind::Finish(_, _, true) | Kind::Whole(_) => "whole",
            Kind::Replace => "replace",
        }
    }
}

impl Net {
    /// What changes from one snapshot to another. The last change of each spelling of a key counts. Of those of one
    /// key, a row counts more than that another spelling is gone; of two rows the newer one.
    fn of_delta(table: &Table, lake: &Lake, segments: &[Segment], to: i64) -> Self {
        let mut last: BTreeMap<Key, (usize, Option<&Row>)> = BTreeMap::new();
        for (at, segment) in segments.iter().enumerate() {
            for entry in &segment.deletes {
                last.insert(table.key_of(&entry.row, Fold::Spelled), (at, None));
            }
            for entry in &segment.upserts {
                let row = Some(&entry.row);
                last.insert(table.key_of(&entry.row, Fold::Spelled), (at, row));
            }
        }
        let mut net = Self {
            held: held(table, lake, to).into_keys().collect(),
            ..Self::default()
        };
        let mut newest: BTreeMap<Key, (usize, &str)> = BTreeMap::new();
        for (spelled, (at, row)) in &last {
            let key = super::rows::folded(spelled, table.fold());
            net.touched.insert(key.clone());
            let Some(row) = row else { continue };
            let rank = (*at, table.version(row));
            if newest.get(&key).is_none_or(|known| *known <= rank) {
                newest.insert(key.clone(), rank);
                net.upserts.insert(key, (*row).clone());
            }
        }
        let gone = net
            .touched
            .iter()
            .filter(|key| !net.upserts.contains_key(*key) && !net.held.contains(*key));
        net.deletes = gone.cloned().collect();
        net
    }

    /// Every row of a snapshot, and what has left it since an earlier one.
    fn of_all(table: &Table, lake: &Lake, segments: &[Segment], to: i64) -> Self {
        let upserts = held(table, lake, to);
        let gone = segments.iter().flat_map(|segment| &segment.deletes);
        let gone = gone.map(|entry| table.key_of(&entry.row, table.fold()));
        Self {
            deletes: gone.filter(|key| !upserts.contains_key(key)).collect(),
            held: upserts.keys().cloned().collect(),
            touched: BTreeSet::new(),
            upserts,
        }
    }
}

/// The rows of a snapshot as the target takes them: the newest of those that it takes for one.
fn held(table: &Table, lake: &Lake, snapshot: i64) -> BTreeMap<Key, Row> {
    let mut held: BTreeMap<Key, Row> = BTreeMap::new();
    for entry in lake.entries(snapshot) {
        let key = table.key_of(&entry.row, table.fold());
        let known = held.get(&key);
        if known.is_none_or(|known| table.version(known) < table.version(&entry.row)) {
            held.insert(key, entry.row.clone());
        }
    }
    held
}
