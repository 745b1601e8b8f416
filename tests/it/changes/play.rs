//! Plays a schedule in a world of its own.

use super::history::{Change, History};
use super::judge::{Case, Duty};
use super::lake::{self, Lake};
use super::schedule::{Act, Command, Op, SESSIONS, Schedule};
use super::statements::{Alteration, Shows, Statement, What, altered, filled, statement};
use super::strategies::{Follows, Moment, played};
use super::table::{Column, Row, Rows, Table, row, shown};
use crate::harness::{Run, Server, World, config, finish, show};
use crate::isolation::Isolation;
use crate::model::play::{Outcome, ask, tell};
use crate::model::rows::{differences, number};
use crate::schedules::Tally;
use icesync::mssql::control::{Class, Control};
use icesync::mssql::sql;
use serde_json::{Value, json};
use std::time::Duration;

/// Errors after which a statement has not happened and its transaction goes on: a lock, a key that is taken, a row that
/// MERGE would change twice.
const LOCK: u32 = 1222;
const KEY_TAKEN: u32 = 2627;
const TWICE: u32 = 8672;

/// The clock of the server, in microseconds since 1970.
const NOW: &str =
    "SELECT DATEDIFF_BIG(microsecond, CONVERT(datetime2(6), '1970-01-01'), SYSUTCDATETIME())";
const MIN_ACTIVE: &str = "SELECT CONVERT(bigint, MIN_ACTIVE_ROWVERSION())";
/// Times within this of the clock, or of the begin of a transaction, may lie at the bound of a window: the server keeps
/// begins to a third of a hundredth of a second.
const ROUGHLY_US: i64 = 10_000;

const LOG_CHARS_MAX: usize = 40_000;

/// How a schedule has failed.
#[derive(Debug, Clone)]
pub struct Failure {
    pub what: String,
    /// All that happened.
    pub log: String,
    /// The op that found it.
    pub op: usize,
    /// The table that is wrong; none where it is not one table.
    pub table: Option<usize>,
}

impl Failure {
    /// Of a test that has panicked.
    pub fn of(panic: String) -> Self {
        Self {
            what: panic,
            log: String::new(),
            op: usize::MAX,
            table: None,
        }
    }
}

struct Play {
    world: World,
    sessions: Vec<Control>,
    tables: Vec<Table>,
    history: History,
    lakes: Vec<Lake>,
    /// Of each table, the source when runs died since the last one that came to its end.
    parked: Vec<Vec<Rows>>,
    /// See [`Moment::numbers`].
    numbers: Vec<(i64, i64)>,
    /// Each table has been read to its end.
    is_read: bool,
    log: Vec<String>,
    table: Option<usize>,
    met: Tally,
}

/// Plays a schedule: what it met, and how it failed.
pub async fn play(server: &'static Server, schedule: &Schedule) -> (Tally, Option<Failure>) {
    let mut play = match Play::begin(server, schedule).await {
        Ok(play) => play,
        Err(what) => return (Tally::new(), Some(Failure::of(what))),
    };
    for (at, op) in schedule.ops.iter().enumerate() {
        if let Err(what) = play.happen(op).await {
            let log: String = play.log.join("\n").chars().take(LOG_CHARS_MAX).collect();
            let failure = Failure {
                what,
                log,
                op: at,
                table: play.table,
            };
            return (play.met, Some(failure));
        }
    }
    (play.met, None)
}

/// The first rows that a statement answers; none where it has not happened, with the error.
async fn tried(control: &mut Control, text: &str) -> Outcome<Result<Vec<Vec<String>>, u32>> {
    let statement = sql::Statement::plain(text);
    let sets = match control.query_sets(&statement, Class::LONG).await {
        Ok(sets) => sets,
        Err(error) => {
            let refused = [LOCK, KEY_TAKEN, TWICE];
            let number = error.number().filter(|number| refused.contains(number));
            return number.map(Err).ok_or_else(|| format!("{error:?}\n{text}"));
        }
    };
    let first = sets.into_iter().next().unwrap_or_default();
    let rows = first.iter();
    Ok(Ok(rows
        .map(|record| record.cells().iter().map(show).collect())
        .collect()))
}

/// The one number that a query answers.
async fn number_of(control: &mut Control, query: &str) -> Outcome<i64> {
    let rows = ask(control, query).await?;
    let cell = rows.first().and_then(|row| row.first());
    let number = cell.and_then(|cell| number(cell));
    number.ok_or_else(|| format!("{query} answers {rows:?}"))
}

impl Play {
    async fn begin(server: &'static Server, schedule: &Schedule) -> Outcome<Self> {
        let mut world = World::on(server, "SELECT 1").await;
        let mut log = Vec::new();
        let database = played().into_iter().flat_map(|strategy| strategy.database);
        let mut setup: Vec<String> = database.map(|text| (*text).to_owned()).collect();
        setup.extend(schedule.tables.iter().flat_map(Table::create));
        for statement in setup {
            tell(&mut world.source, &statement).await?;
            log.push(format!("{statement};"));
        }
        let entries = world.entries(&schedule.entries());
        // One after the other, so that a run that dies has always come to the same place.
        let text = config(&entries).replacen("}\" }", "}\", parallel_tables: 1 }", 1);
        std::fs::write(world.path("icesync.yaml"), &text).map_err(|error| error.to_string())?;
        log.push(text);
        let mut sessions = Vec::new();
        for _ in 0..SESSIONS {
            let mut session = server.connect(&world.source_db).await;
            tell(&mut session, "SET LOCK_TIMEOUT 0").await?;
            sessions.push(session);
        }
        let count = schedule.tables.len();
        let mut play = Self {
            world,
            sessions,
            tables: schedule.tables.clone(),
            history: History::of(count, SESSIONS),
            lakes: vec![Lake::new(); count],
            parked: vec![Vec::new(); count],
            numbers: vec![(i64::MIN, i64::MIN); count],
            is_read: false,
            log,
            table: None,
            met: Tally::new(),
        };
        for table in 0..count {
            if let Some(statement) = filled(&play.tables[table]) {
                play.change(0, table, &statement).await?;
            }
        }
        Ok(play)
    }

    fn met(&mut self, what: &'static str) {
        *self.met.entry(what).or_default() += 1;
    }

    async fn happen(&mut self, op: &Op) -> Outcome {
        match op {
            Op::Act {
                session,
                table,
                act,
                salt,
            } => self.act(*session, *table, *act, *salt).await,
            Op::Run {
                command,
                kill,
                salt,
            } => {
                let (tables, is_locked) = (&self.tables, Isolation::of_the_suite());
                let waits = |table: usize| {
                    let table: &Table = &tables[table];
                    is_locked == Isolation::ReadCommitted || table.waits()
                };
                for session in self.history.in_the_way(waits) {
                    self.end(session, *salt).await?;
                }
                self.run(*command, kill.as_deref()).await
            }
            Op::Rest { salt } => self.rest(*salt).await,
        }
    }

    /// A statement in a session; none where it has not happened.
    async fn tell(&mut self, session: usize, text: &str) -> Outcome<Option<Vec<Vec<String>>>> {
        let answered = tried(&mut self.sessions[session], text).await;
        let answered = answered.inspect_err(|_| self.log.push(format!("-- {session}\n{text};")))?;
        let outcome = match &answered {
            Ok(_) => String::new(),
            Err(number) => format!(" -- error {number}"),
        };
        self.log.push(format!("-- {session}\n{text};{outcome}"));
        match &answered {
            Ok(_) => {}
            Err(LOCK) => self.met("a lock"),
            Err(_) => self.met("a taken key"),
        }
        Ok(answered.ok())
    }

    async fn act(&mut self, session: usize, table: usize, act: Act, salt: u64) -> Outcome {
        let is_open = self.history.open[session].is_some();
        match act {
            Act::Begin if !is_open => {
                let now = number_of(&mut self.sessions[session], NOW).await?;
                self.tell(session, "BEGIN TRANSACTION").await?;
                self.history.begin(session, now);
            }
            Act::Commit if is_open => self.end(session, 1).await?,
            Act::RollBack if is_open => self.end(session, 0).await?,
            Act::Save => {
                if let Some(name) = self.history.save(session) {
                    let save = format!("SAVE TRANSACTION {name}");
                    self.tell(session, &save).await?;
                }
            }
            Act::RollBackTo => {
                if let Some(name) = self.history.roll_back_to(session) {
                    self.met("a rollback to a savepoint");
                    let back = format!("ROLLBACK TRANSACTION {name}");
                    self.tell(session, &back).await?;
                }
            }
            Act::Change(what) => {
                let rows = &self.history.rows[table];
                if let Some(statement) = statement(&self.tables[table], rows, what, salt) {
                    self.change(session, table, &statement).await?;
                    if matches!(what, What::MoveKey | What::ExchangeKeys | What::Respell) {
                        self.met("a moved key");
                    }
                }
            }
            // Whoever looks at columns waits for a change of them.
            Act::Alter(alteration) if !is_open => {
                self.alter(session, table, alteration, salt).await?
            }
            Act::Begin | Act::Commit | Act::RollBack | Act::Alter(_) => {}
        }
        Ok(())
    }

    /// Ends a session's transaction: an odd number commits it.
    async fn end(&mut self, session: usize, salt: u64) -> Outcome {
        let is_committed = salt % 2 == 1;
        let (what, text) = match is_committed {
            true => ("a commit", "COMMIT TRANSACTION"),
            false => ("a rollback", "ROLLBACK TRANSACTION"),
        };
        self.met(what);
        self.tell(session, text).await?;
        match is_committed {
            true => self.history.commit(&self.tables, session),
            false => self.history.roll_back(session),
        }
        Ok(())
    }

    async fn change(&mut self, session: usize, table: usize, statement: &Statement) -> Outcome {
        self.history.touch(session, table);
        let Some(answer) = self.tell(session, &statement.sql).await? else {
            return Ok(());
        };
        let columns: &[Column] = &self.tables[table].columns;
        let images = |from: usize| {
            let cells = answer.iter().map(|cells| &cells[from..]);
            let rows = cells.map(|cells| row(columns, cells));
            // MERGE shows rows of NULL where a row was not there, or is not.
            rows.filter(|row| !row.is_empty()).collect::<Vec<Row>>()
        };
        let mut change = Change {
            table,
            ..Change::default()
        };
        match statement.shows {
            Shows::Inserted => change.inserted = images(0),
            Shows::Deleted => change.deleted = images(0),
            Shows::Both => {
                change.deleted = images(0);
                change.inserted = images(columns.len());
            }
            Shows::Emptied => change.is_emptied = true,
        }
        if change.is_emptied {
            self.met("a truncated table");
        }
        self.history.note(&self.tables, session, change);
        Ok(())
    }

    /// Nobody else has locked a row of the table, or it would not happen: so the rows can be asked for.
    async fn alter(
        &mut self,
        session: usize,
        table: usize,
        alteration: Alteration,
        salt: u64,
    ) -> Outcome {
        let Some((text, after)) = altered(&self.tables[table], alteration, salt) else {
            return Ok(());
        };
        if self.tell(session, &text).await?.is_none() {
            return Ok(());
        }
        self.met(match alteration {
            Alteration::Add => "an added column",
            Alteration::Drop => "a dropped column",
            Alteration::Widen => "a wider column",
        });
        let rows = ask(&mut self.sessions[session], &after.query()).await?;
        self.history.rows[table] = after.keyed(&rows);
        self.tables[table] = after;
        Ok(())
    }

    /// All transactions end, everything is read and loaded, and the model of the source is the source.
    async fn rest(&mut self, salt: u64) -> Outcome {
        for session in 0..SESSIONS {
            if self.history.open[session].is_some() {
                self.end(session, salt >> session).await?;
            }
        }
        for at in 0..self.tables.len() {
            self.table = Some(at);
            let table = &self.tables[at];
            let found = ask(&mut self.world.source, &table.query()).await?;
            let found = lines(table.keyed(&found).values());
            let known = lines(self.history.rows[at].values());
            if found != known {
                let differences = differences(&known, &found);
                let name = &table.name;
                return Err(format!(
                    "source dbo.{name} is not what the model says\n{differences}"
                ));
            }
        }
        self.table = None;
        // What was written last is old enough by then.
        tokio::time::sleep(Duration::from_micros(2 * ROUGHLY_US as u64)).await;
        self.run(Command::Extract, None).await?;
        self.run(Command::Sync, None).await
    }

    async fn run(&mut self, command: Command, kill: Option<&str>) -> Outcome {
        // Until each table has a checkpoint there may be no lake table to load or to maintain.
        let command = match command {
            Command::Load | Command::Maintain if !self.is_read => Command::Sync,
            command => command,
        };
        let now = number_of(&mut self.world.source, NOW).await?;
        let since = self.history.oldest().map_or(now, |since| since.min(now));
        let moment = Moment {
            is_quiet: self.history.oldest().is_none(),
            min_active: number_of(&mut self.world.source, MIN_ACTIVE).await?,
            settled: since - ROUGHLY_US,
            ..Moment::default()
        };
        let mut process = self.world.command(&["--json", command.name()]);
        if let Some(kill) = kill {
            process.env(icesync::failpoint::VARIABLE, kill);
        }
        let run = finish(process.spawn().expect("icesync starts"));
        let killed = kill.map_or(String::new(), |at| format!(" (to die at {at})"));
        let (name, code) = (command.name(), run.code);
        self.log
            .push(format!("-- icesync {name}{killed}: exit code {code}"));
        let report = report(&run, kill.is_some())?;
        let lakes = lake::read(&self.world.warehouse(), &self.tables).await?;
        for (at, lake) in lakes.into_iter().enumerate() {
            self.table = Some(at);
            let entry = report
                .as_ref()
                .map(|report| entry(report, &self.tables[at]));
            self.judge(at, command, &moment, entry, lake)?;
        }
        self.table = None;
        if report.is_none() {
            self.met("a death");
            return Ok(());
        }
        if command == Command::Maintain {
            self.met("maintenance");
        }
        self.is_read |= command.reads();
        if command.loads() {
            for at in 0..self.tables.len() {
                self.table = Some(at);
                self.compare_target(at).await?;
            }
            self.table = None;
        }
        Ok(())
    }

    /// Compares a lake table with the promise of its strategy, and takes note of it. `entry`: what is reported of the
    /// table; none where the run was killed.
    fn judge(
        &mut self,
        at: usize,
        command: Command,
        moment: &Moment,
        entry: Option<Value>,
        lake: Lake,
    ) -> Outcome {
        let table = &self.tables[at];
        if let Some(entry) = &entry
            && (!entry["error"].is_null() || command.reads() && entry["extract"].is_null())
        {
            return Err(format!("dbo.{} has failed: {entry:#}", table.name));
        }
        let extract = entry.as_ref().map(|entry| &entry["extract"]);
        let is_whole = extract.is_some_and(|extract| extract["full_read"] == true);
        let is_resumed =
            extract.is_some_and(|extract| extract["ranges_resumed"].as_u64() > Some(0));
        let duty = match (command.reads(), extract) {
            (false, _) => Duty::Nothing,
            (true, None) => Duty::Part,
            (true, Some(_)) if is_resumed => Duty::Part,
            (true, Some(_)) => Duty::Read(Moment {
                is_whole,
                is_history: table.is_history,
                is_renumbered: self.history.is_emptied[at],
                numbers: self.numbers[at],
                ..moment.clone()
            }),
        };
        let case = Case {
            table,
            before: &self.lakes[at],
            after: &lake,
            source: &self.history.rows[at],
            parked: &self.parked[at],
        };
        let judged = case.judge(&duty, &mut self.met);
        judged.map_err(|what| match &entry {
            Some(entry) => format!("{what}\n{entry:#}"),
            None => what,
        })?;
        self.lakes[at] = lake;
        self.note(at, &duty, extract.is_some());
        for (what, is_met) in [
            ("a whole read", is_whole),
            ("a window", matches!(duty, Duty::Read(_)) && !is_whole),
            (
                "ranges",
                extract.is_some_and(|it| it["ranges"].as_u64() > Some(1)),
            ),
            ("ranges of a run that died", is_resumed && command.reads()),
            (
                "steps",
                extract.is_some_and(|it| it["commits"].as_u64() > Some(1)),
            ),
        ] {
            if is_met {
                self.met(what);
            }
        }
        Ok(())
    }

    /// What is known of a table's checkpoint after a run.
    fn note(&mut self, at: usize, duty: &Duty, has_ended: bool) {
        let rows = &self.history.rows[at];
        let numbers = match self.tables[at].strategy.follows {
            Follows::Identity => rows.values().filter_map(|row| number(row.get("id")?)).max(),
            Follows::Nothing | Follows::Version | Follows::Time => None,
        };
        let highest = numbers.unwrap_or(i64::MIN);
        let (read, unread) = self.numbers[at];
        self.numbers[at] = match duty {
            Duty::Nothing => (read, unread),
            Duty::Read(moment) if moment.is_whole => (highest, highest),
            Duty::Read(_) => (read.max(highest), read.max(highest)),
            Duty::Part => (read, unread.max(highest)),
        };
        if let Duty::Read(moment) = duty {
            self.history.is_emptied[at] &= !moment.is_whole;
        }
        match (duty, has_ended) {
            (Duty::Nothing, _) => {}
            (_, true) => self.parked[at].clear(),
            (_, false) => self.parked[at].push(rows.clone()),
        }
    }

    /// The target has each row of the lake, and each version of a history but those that say that a row is gone.
    async fn compare_target(&mut self, at: usize) -> Outcome {
        let table = &self.tables[at];
        let name = &table.name;
        let known =
            format!("SELECT name FROM sys.columns WHERE object_id = OBJECT_ID(N'dbo.{name}')");
        let known = ask(&mut self.world.target, &known).await?;
        // A column that no row has needed yet is not there.
        let is_there = |column: &&Column| known.contains(&vec![format!("Text({:?})", column.name)]);
        let columns = table.columns.iter().chain(&table.dropped);
        let columns: Vec<Column> = columns.filter(is_there).cloned().collect();
        let mut found = Vec::new();
        if !columns.is_empty() {
            let query = format!("SELECT {} FROM dbo.{name}", shown(&columns, ""));
            let cells = ask(&mut self.world.target, &query).await?;
            found.extend(cells.iter().map(|cells| row(&columns, cells)));
        }
        let versions = self.lakes[at].values().flatten();
        let versions = versions.filter(|version| !version.is_gone);
        let (lake, found) = (lines(versions.map(|version| &version.row)), lines(&found));
        match lake == found {
            true => Ok(()),
            false => {
                let differences = differences(&lake, &found);
                Err(format!("target dbo.{name} is not the lake\n{differences}"))
            }
        }
    }
}

/// The report of a run that came to its end; none of one that was killed.
fn report(run: &Run, is_to_die: bool) -> Outcome<Option<Value>> {
    match run.code {
        -1 if is_to_die && !run.stderr.contains("panicked") => Ok(None),
        0 => {
            let report = serde_json::from_str(&run.stdout);
            report
                .map(Some)
                .map_err(|error| format!("{error}: {run:#?}"))
        }
        _ => Err(format!("it does not end well: {run:#?}")),
    }
}

/// What is reported of a table.
fn entry(report: &Value, table: &Table) -> Value {
    let source = json!(format!("dbo.{}", table.name));
    let mut tables = report["tables"].as_array().into_iter().flatten();
    let entry = tables.find(|entry| entry["source"] == source);
    entry
        .cloned()
        .unwrap_or_else(|| json!({ "error": "it is not in the report" }))
}

/// Rows as lines, sorted.
fn lines<'a>(rows: impl IntoIterator<Item = &'a Row>) -> Vec<Vec<String>> {
    let cells = |row: &Row| {
        let cells = row.iter();
        cells
            .map(|(name, cell)| format!("{name}: {cell}"))
            .collect()
    };
    let mut lines: Vec<Vec<String>> = rows.into_iter().map(cells).collect();
    lines.sort();
    lines
}
