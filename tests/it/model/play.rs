//! Plays schedules against a server, and compares each target with the model after every run.

use super::changes::Event;
use super::events::Backup;
use super::judge::Ran;
use super::lake::{Extracted, Lake, Metadata};
use super::rows::{Part, Row, number};
use super::schedule::{Command, Schedule, Step, Trouble};
use super::target::{Pending, State, Target};
use crate::harness::{Server, World, finish, show, skipped};
use crate::schedules::{Tally, add};
use icesync::mssql::control::{Class, Control};
use icesync::mssql::sql::Statement;
use icesync_sandbox::tds::{Fault, Faults};
use std::collections::{BTreeMap, BTreeSet};

/// What is wrong, or nothing.
pub type Outcome<T = ()> = Result<T, String>;

/// A schedule that is played.
pub struct Play {
    pub schedule: Schedule,
    /// Of each table.
    pub lakes: Vec<Lake>,
    pub targets: Vec<Target>,
    /// Rows of the source before the last run that reads them, sorted.
    pub sources: Vec<Vec<Row>>,
    /// Those that the target database has: table and column.
    pub foreign_keys: BTreeSet<(usize, usize)>,
    pub backup: Option<Backup>,
    /// All that has happened.
    pub log: Vec<String>,
    pub failure: Option<String>,
    /// What has happened, and how often.
    pub tally: Tally,
}

/// What the target database has besides the rows of the tables.
#[derive(Debug, Default)]
pub struct Seen {
    /// Object ids of the tables in schema `dbo`.
    tables: BTreeMap<String, i64>,
    /// Snapshot, step, and object id of the target.
    states: BTreeMap<String, (i64, Option<Pending>, Option<i64>)>,
    quarantine: BTreeMap<String, Vec<String>>,
}

/// Plays schedules whose steps run the same commands, in one world: the failures, and what has happened.
pub async fn all(server: &'static Server, schedules: Vec<Schedule>) -> (Vec<String>, Tally) {
    let mut world = World::on(server, "SELECT 1").await;
    let steps = schedules.first().map_or(0, |first| first.steps.len());
    let mut plays: Vec<Play> = schedules.into_iter().map(Play::of).collect();
    for play in &mut plays {
        let begun = play.begin(&mut world).await;
        play.note(begun);
    }
    for at in 0..steps {
        turn(server, &mut world, &mut plays, |schedule| {
            schedule.steps[at].clone()
        })
        .await;
    }
    for play in going(&mut plays) {
        let readied = play.ready_to_end(&mut world).await;
        play.note(readied);
    }
    turn(server, &mut world, &mut plays, Schedule::last).await;
    turn(server, &mut world, &mut plays, Schedule::mending).await;
    for play in going(&mut plays) {
        let ended = play.end(&mut world).await;
        play.note(ended);
    }
    let verified = super::judge::verify(&mut world, &mut plays).await;
    note_all(&mut plays, verified);
    let mut tally = Tally::new();
    plays.iter().for_each(|play| add(&mut tally, &play.tally));
    let failures = plays.into_iter().filter_map(Play::into_failure);
    (failures.collect(), tally)
}

fn going(plays: &mut [Play]) -> impl Iterator<Item = &mut Play> {
    plays.iter_mut().filter(|play| play.failure.is_none())
}

fn note_all(plays: &mut [Play], outcome: Outcome) {
    if outcome.is_err() {
        going(plays).for_each(|play| play.note(outcome.clone()));
    }
}

/// One step of each schedule, with one run for all of them.
async fn turn(
    server: &'static Server,
    world: &mut World,
    plays: &mut [Play],
    step: impl Fn(&Schedule) -> Step,
) {
    for play in going(plays) {
        let step = step(&play.schedule);
        let readied = play.before(world, &step).await;
        play.note(readied);
    }
    let Some(run) = run(server, world, plays, &step) else {
        return;
    };
    let (ran, seen) = match (run, see(&mut world.target).await) {
        (Ok(ran), Ok(seen)) => (ran, seen),
        (Err(error), _) | (_, Err(error)) => return note_all(plays, Err(error)),
    };
    for play in going(plays) {
        let step = step(&play.schedule);
        play.log.push(format!("-- exit code {}", ran.code));
        let judged = play.after(world, &step, &ran, &seen).await;
        play.note(judged);
    }
}

/// The run; none where there is nothing to run.
fn run(
    server: &'static Server,
    world: &World,
    plays: &mut [Play],
    step: &impl Fn(&Schedule) -> Step,
) -> Option<Outcome<Ran>> {
    let mut entries = String::new();
    let mut tables = Vec::new();
    for play in going(plays) {
        let step = step(&play.schedule);
        entries.push_str(&play.schedule.entries(&step));
        let keyed = play.schedule.tables.iter().filter(|table| table.is_keyed());
        tables.extend(keyed.map(|table| format!("dbo.{}", table.name)));
    }
    let first = going(plays).next()?;
    let Step {
        command, trouble, ..
    } = step(&first.schedule);
    world.config(&format!("{entries}{}", first.schedule.options()));
    let mut args: Vec<String> = vec!["--json".to_owned()];
    match command {
        Command::Extract => args.push("extract".to_owned()),
        Command::Sync => args.push("sync".to_owned()),
        Command::Load => args.push("load".to_owned()),
        Command::LoadFull => args.extend(["load", "--full"].map(str::to_owned)),
        Command::Retry => args.extend(["quarantine", "retry"].map(str::to_owned)),
        Command::LoadAt(pick) => {
            args.push("load".to_owned());
            if let Some(snapshot) = first.picked(pick) {
                let number = first.lakes[0].number(snapshot);
                args.extend(["--snapshot".to_owned(), number.to_string()]);
            }
        }
        Command::MendAll if tables.is_empty() => return None,
        Command::MendAll => {
            args.extend(["load", "--full"].map(str::to_owned));
            for table in tables {
                args.extend(["--table".to_owned(), table]);
            }
        }
    }
    for play in going(plays) {
        let step = step(&play.schedule);
        play.log.push(format!(
            "-- icesync {} {:?}\n{}{}",
            args.join(" "),
            step.trouble,
            play.schedule.entries(&step),
            play.schedule.options()
        ));
    }
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let mut process = world.command(&args);
    if let Trouble::Kill { at, .. } = &trouble {
        process.env(icesync::failpoint::VARIABLE, at);
    }
    let faults = server.faults();
    let fired = faults.map_or(0, Faults::fired);
    if let (
        Trouble::Drop {
            text,
            skip,
            is_done,
        },
        Some(faults),
    ) = (&trouble, faults)
    {
        let fault = match is_done {
            true => Fault::DropAfter,
            false => Fault::DropBefore,
        };
        faults.arm_after(*skip, fault, text, 1);
    }
    let run = finish(process.spawn().expect("icesync starts"));
    match (&trouble, faults) {
        (Trouble::Drop { .. }, Some(faults)) => faults.clear(),
        (Trouble::Drop { .. }, None) => skipped("a connection dropped during a run of the model"),
        (Trouble::Kill { .. } | Trouble::None, _) => {}
    }
    let is_disturbed = faults.map_or(0, Faults::fired) > fired;
    Some(Ran::of(run, &trouble, is_disturbed))
}

pub async fn tell(control: &mut Control, text: &str) -> Outcome {
    let told = control.run(&Statement::plain(text), Class::LONG).await;
    told.map_err(|error| format!("{error:?}\n{text}"))
}

pub async fn ask(control: &mut Control, text: &str) -> Outcome<Vec<Row>> {
    let records = control.query(&Statement::plain(text)).await;
    let records = records.map_err(|error| format!("{error:?}\n{text}"))?;
    let mut rows: Vec<Row> = records
        .iter()
        .map(|record| record.cells().iter().map(show).collect())
        .collect();
    rows.sort();
    Ok(rows)
}

/// A cell's text.
fn text(cell: &str) -> String {
    match Part::of(cell) {
        Part::Number(number) => number.to_string(),
        Part::Text(text) => text.replace("\\\"", "\"").replace("\\\\", "\\"),
    }
}

async fn see(control: &mut Control) -> Outcome<Seen> {
    let mut seen = Seen::default();
    let tables = "SELECT t.name, t.object_id FROM sys.tables AS t JOIN sys.schemas AS s ON s.schema_id = t.schema_id \
                  WHERE s.name = N'dbo'";
    for row in ask(control, tables).await? {
        let id = number(&row[1]).unwrap_or_default();
        seen.tables.insert(text(&row[0]), id);
    }
    let own = "SELECT OBJECT_ID(N'icesync.load_state'), OBJECT_ID(N'icesync.quarantine')";
    let own = ask(control, own).await?;
    if own[0][0] != "NULL" {
        let states = "SELECT target, snapshot_id, pending_snapshot_id, pending_rows, pending_applied, \
                      target_object_id, CONVERT(int, pending_whole) FROM icesync.load_state";
        for row in ask(control, states).await? {
            let pending = number(&row[2]).map(|snapshot| Pending {
                snapshot,
                rows: number(&row[3]).unwrap_or_default(),
                applied: number(&row[4]).unwrap_or_default(),
                is_whole: number(&row[6]) == Some(1),
            });
            let snapshot = number(&row[1]).unwrap_or_default();
            let state = (snapshot, pending, number(&row[5]));
            seen.states.insert(text(&row[0]), state);
        }
    }
    if own[0][1] != "NULL" {
        let quarantine = "SELECT target, [key], operation FROM icesync.quarantine";
        for row in ask(control, quarantine).await? {
            let mut key = text(&row[1]);
            if text(&row[2]) != "U" {
                key.push_str(" (delete)");
            }
            let keys = seen.quarantine.entry(text(&row[0])).or_default();
            keys.push(key);
        }
    }
    Ok(seen)
}

impl Play {
    fn of(schedule: Schedule) -> Self {
        let tables = schedule.tables.len();
        Self {
            lakes: vec![Lake::default(); tables],
            targets: vec![Target::default(); tables],
            sources: vec![Vec::new(); tables],
            foreign_keys: BTreeSet::new(),
            backup: None,
            log: Vec::new(),
            failure: None,
            tally: Tally::new(),
            schedule,
        }
    }

    fn note(&mut self, outcome: Outcome) {
        if let Err(what) = outcome {
            self.failure.get_or_insert(what);
        }
    }

    pub fn met(&mut self, what: &'static str) {
        *self.tally.entry(what).or_default() += 1;
    }

    fn into_failure(self) -> Option<String> {
        let what = self.failure?;
        let log: String = self.log.join("\n").chars().take(20_000).collect();
        let seed = self.schedule.seed;
        Some(format!(
            "== ICESYNC_MODEL_SEED={seed:#x} ICESYNC_MODEL_SCHEDULES=1\n{what}\n{log}"
        ))
    }

    pub async fn source(&mut self, world: &mut World, text: &str) -> Outcome {
        self.log.push(format!("-- source\n{text};"));
        tell(&mut world.source, text).await
    }

    pub async fn target(&mut self, world: &mut World, text: &str) -> Outcome {
        self.log.push(format!("-- target\n{text};"));
        tell(&mut world.target, text).await
    }

    /// The tables of the source with their first rows, and the targets that others make.
    async fn begin(&mut self, world: &mut World) -> Outcome {
        let tables = self.schedule.tables.clone();
        for table in &tables {
            self.source(world, &table.source()).await?;
        }
        for table in &tables {
            for (column, parent) in table.parents() {
                let (_, statement) = table.foreign_key(column, &tables[parent]);
                self.source(world, &statement).await?;
            }
        }
        let rows = self.schedule.rows.join(";\n");
        if !rows.is_empty() {
            self.source(world, &rows).await?;
        }
        for (at, table) in tables.iter().enumerate() {
            if table.is_made {
                self.make(world, at).await?;
            }
        }
        for (at, table) in tables.iter().enumerate() {
            if table.is_made {
                self.refer(world, at).await?;
            }
        }
        Ok(())
    }

    /// What happens before a run.
    async fn before(&mut self, world: &mut World, step: &Step) -> Outcome {
        if !step.source.is_empty() {
            self.source(world, &step.source.join(";\n")).await?;
        }
        for event in &step.events {
            self.happens(world, event).await?;
        }
        let reads = match step.command {
            Command::Extract | Command::Sync => true,
            Command::Load
            | Command::LoadFull
            | Command::MendAll
            | Command::LoadAt(_)
            | Command::Retry => false,
        };
        if reads {
            for at in 0..self.schedule.tables.len() {
                let query = self.schedule.tables[at].query();
                self.sources[at] = ask(&mut world.source, &query).await?;
            }
        }
        Ok(())
    }

    /// Compares lake and target after a run.
    async fn after(&mut self, world: &mut World, step: &Step, ran: &Ran, seen: &Seen) -> Outcome {
        let mut found = Vec::new();
        for at in 0..self.schedule.tables.len() {
            found.push(self.look(world, seen, at).await?);
        }
        for at in 0..self.schedule.tables.len() {
            let learned = self.learn(world, step, ran, at);
            learned.map_err(|what| format!("dbo.{}: {what}", self.schedule.tables[at].name))?;
        }
        if step.command == Command::Extract {
            for (at, found) in found.iter().enumerate() {
                if let Some(what) = self.targets[at].differs(found) {
                    let name = &self.schedule.tables[at].name;
                    return Err(format!(
                        "dbo.{name}: an extract has changed the target: {what}"
                    ));
                }
            }
            return Ok(());
        }
        for group in self.groups(step) {
            self.judge(&group, step, ran, &found)?;
        }
        Ok(())
    }

    /// A target as it is.
    async fn look(&self, world: &mut World, seen: &Seen, at: usize) -> Outcome<Target> {
        let table = &self.schedule.tables[at];
        let name = format!("dbo.{}", table.name);
        let object = seen.tables.get(&table.name).copied();
        let rows = match object {
            Some(_) => ask(&mut world.target, &table.query()).await?,
            None => Vec::new(),
        };
        // Of which generation a table is, only whether it is the one of the state can be seen.
        let state = seen.states.get(&name).map(|(snapshot, pending, of)| State {
            snapshot: Some(*snapshot).filter(|id| *id > 0),
            pending: *pending,
            generation: u32::from(of.is_some() && *of == object),
            mode: table.mode,
        });
        let keys = seen.quarantine.get(&name).into_iter().flatten();
        let keys = keys.enumerate();
        let quarantine = keys.map(|(at, key)| (vec![Part::Number(at as i64)], key.clone()));
        Ok(Target {
            exists: object.is_some(),
            rows,
            state,
            quarantine: quarantine.collect(),
            generation: 1,
            checks: false,
        })
    }

    /// The rows of a target that is there, once others have changed them.
    pub async fn look_again(&mut self, world: &mut World, at: usize) -> Outcome {
        if self.targets[at].exists {
            let query = self.schedule.tables[at].query();
            self.targets[at].rows = ask(&mut world.target, &query).await?;
        }
        Ok(())
    }

    /// What the run has done to a lake table.
    fn learn(&mut self, world: &World, step: &Step, ran: &Ran, at: usize) -> Outcome {
        let table = &self.schedule.tables[at];
        let reads = matches!(step.command, Command::Extract | Command::Sync);
        let strategy = table.strategy_in(step);
        let lake = &mut self.lakes[at];
        let extracted = reads.then(|| lake.extract(table, &self.sources[at], strategy));
        let is_new = extracted
            .as_ref()
            .is_some_and(|extracted: &Extracted| extracted.is_new);
        let is_read_whole = lake.is_read_whole(strategy);
        let is_committed = match Metadata::read(&world.lake("dbo", &table.name))? {
            Some(metadata) => lake.learn(metadata, extracted)?,
            None => false,
        };
        let Some(entry) = ran.entry(&table.name) else {
            return Ok(());
        };
        if !reads {
            return Ok(());
        }
        let extract = &entry["extract"];
        if extract["full_read"] != is_read_whole {
            return Err(format!(
                "is everything read: {is_read_whole}, but {entry:#}"
            ));
        }
        if is_new && !is_committed {
            return Err(format!(
                "rows have changed and nothing was committed: {entry:#}"
            ));
        }
        Ok(())
    }

    /// The snapshot that `load --snapshot` is to reach.
    pub fn picked(&self, pick: u64) -> Option<i64> {
        let listed = self.lakes[0].listed();
        let at = pick.checked_rem(listed.len() as u64)?;
        listed.get(at as usize).copied()
    }

    /// Events that a schedule needs at its end.
    async fn ready_to_end(&mut self, world: &mut World) -> Outcome {
        for at in 0..self.schedule.tables.len() {
            let target = &self.targets[at];
            let is_known = target.state.as_ref().is_some_and(|state| {
                state.snapshot.is_some() && state.generation == target.generation
            });
            // A whole snapshot is appended only to an empty table.
            if !self.schedule.tables[at].is_keyed() && !is_known {
                self.happens(world, &Event::Empty(at)).await?;
            }
        }
        Ok(())
    }

    /// Source, lake and target are the same, without the rows that only the target has ever had.
    async fn end(&mut self, world: &mut World) -> Outcome {
        for at in 0..self.schedule.tables.len() {
            let table = self.schedule.tables[at].clone();
            if !table.is_keyed() {
                continue;
            }
            for row in self.own_rows(at) {
                let here = table.is_at(&table.key_of(&row, super::rows::Fold::Spelled));
                let delete = format!("DELETE dbo.{} WHERE {here}", table.name);
                self.target(world, &delete).await?;
            }
            self.look_again(world, at).await?;
            let (source, target) = (&self.sources[at], &self.targets[at]);
            if *source != target.rows {
                let differences = super::rows::differences(source, &target.rows);
                return Err(format!("dbo.{} at the end:\n{differences}", table.name));
            }
            if !target.quarantine.is_empty() {
                let keys = &target.quarantine;
                return Err(format!(
                    "dbo.{}: in quarantine at the end: {keys:?}",
                    table.name
                ));
            }
        }
        Ok(())
    }

    /// Rows of a target with keys that the source does not have.
    fn own_rows(&self, at: usize) -> Vec<Row> {
        let table = &self.schedule.tables[at];
        let key = |row: &Row| table.key_of(row, table.fold());
        let source: BTreeSet<_> = self.sources[at].iter().map(key).collect();
        let rows = self.targets[at].rows.iter();
        let own = rows.filter(|row| !source.contains(&key(row)));
        own.cloned().collect()
    }
}
