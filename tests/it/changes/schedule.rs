//! A schedule, made from its seed alone: tables, and what happens to them.

use super::statements::{Alteration, What};
use super::strategies::played;
use super::table::Table;
use crate::random::Rng;

/// Sessions of the source.
pub const SESSIONS: usize = 3;
/// Tables of each strategy in a schedule: mirrors, and a history where it is played.
pub const TABLES_OF_EACH: u64 = 3;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    Extract,
    Sync,
    Load,
    Maintain,
}

impl Command {
    pub fn name(self) -> &'static str {
        match self {
            Command::Extract => "extract",
            Command::Sync => "sync",
            Command::Load => "load",
            Command::Maintain => "maintain",
        }
    }

    /// Whether it reads the source.
    pub fn reads(self) -> bool {
        matches!(self, Command::Extract | Command::Sync)
    }

    /// Whether the target then has what the lake has.
    pub fn loads(self) -> bool {
        matches!(self, Command::Sync | Command::Load)
    }
}

/// What one session does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    Begin,
    Commit,
    RollBack,
    Save,
    RollBackTo,
    Change(What),
    Alter(Alteration),
}

#[derive(Debug, Clone)]
pub enum Op {
    Act {
        session: usize,
        table: usize,
        act: Act,
        salt: u64,
    },
    Run {
        command: Command,
        /// Failpoints; it dies at the first that it reaches.
        kill: Option<String>,
        /// How transactions end that are in its way.
        salt: u64,
    },
    /// All transactions end, and everything is read and loaded.
    Rest { salt: u64 },
}

#[derive(Debug, Clone)]
pub struct Schedule {
    pub seed: u64,
    pub tables: Vec<Table>,
    pub ops: Vec<Op>,
    /// Whether runs maintain the lake by themselves.
    pub is_maintained: bool,
    pub snapshots_max: u64,
}

impl Schedule {
    pub fn of(seed: u64) -> Self {
        let mut own = Rng::new(seed);
        let rng = &mut own;
        let mut tables = Vec::new();
        for strategy in played() {
            for at in 0..TABLES_OF_EACH {
                let is_history = strategy.has_history && at + 1 == TABLES_OF_EACH;
                tables.push(Table::random(rng, strategy, at, is_history));
            }
        }
        let count = tables.len();
        let mut ops: Vec<Op> = (0..2 * count)
            .map(|_| act(rng, count, Act::Change(What::Insert)))
            .collect();
        let rounds = 4 + rng.below(5);
        for round in 0..rounds {
            for _ in 0..count + rng.below(2 * count as u64) as usize {
                let what = some_act(rng);
                ops.push(act(rng, count, what));
            }
            ops.push(match round > 0 && rng.chance(25) {
                true => Op::Rest { salt: rng.next() },
                false => run(rng, round),
            });
        }
        ops.push(Op::Rest { salt: rng.next() });
        Self {
            seed,
            tables,
            ops,
            is_maintained: rng.chance(50),
            snapshots_max: 1 + rng.below(5),
        }
    }

    /// The schedule of one of its tables.
    pub fn only(&self, table: usize) -> Self {
        let ops = self.ops.iter().filter_map(|op| match op {
            Op::Act { table: at, .. } if *at != table => None,
            Op::Act {
                session, act, salt, ..
            } => Some(Op::Act {
                session: *session,
                table: 0,
                act: *act,
                salt: *salt,
            }),
            Op::Run { .. } | Op::Rest { .. } => Some(op.clone()),
        });
        Self {
            tables: vec![self.tables[table].clone()],
            ops: ops.collect(),
            ..self.clone()
        }
    }

    /// Without some of what happens.
    pub fn without(&self, ops: std::ops::Range<usize>) -> Self {
        let mut shorter = self.clone();
        shorter.ops.drain(ops);
        shorter
    }

    /// icesync.yaml, but for its connections.
    pub fn entries(&self) -> String {
        let entries: String = self.tables.iter().map(Table::entry).collect();
        format!(
            "{entries}maintenance: {{ auto: {}, small_files: 2, snapshots_max: {} }}\n",
            self.is_maintained, self.snapshots_max
        )
    }
}

fn act(rng: &mut Rng, tables: usize, act: Act) -> Op {
    Op::Act {
        session: rng.below(SESSIONS as u64) as usize,
        table: rng.below(tables as u64) as usize,
        act,
        salt: rng.next(),
    }
}

fn some_act(rng: &mut Rng) -> Act {
    match rng.below(100) {
        0..=8 => Act::Begin,
        9..=16 => Act::Commit,
        17..=19 => Act::RollBack,
        20..=22 => Act::Save,
        23..=25 => Act::RollBackTo,
        26..=46 => Act::Change(What::Insert),
        47..=60 => Act::Change(What::Update),
        61..=65 => Act::Change(What::UpdateMany),
        66..=72 => Act::Change(What::Delete),
        73 => Act::Change(What::DeleteMany),
        74..=79 => Act::Change(What::Merge),
        80..=83 => Act::Change(What::MoveKey),
        84 => Act::Change(What::ExchangeKeys),
        85..=87 => Act::Change(What::Respell),
        88..=89 => Act::Change(What::SetBack),
        90..=91 => Act::Change(What::Truncate),
        92 => Act::Change(What::Churn),
        93 => Act::Change(What::InsertMany),
        94..=95 => Act::Alter(Alteration::Add),
        96..=98 => Act::Alter(Alteration::Drop),
        _ => Act::Alter(Alteration::Widen),
    }
}

fn run(rng: &mut Rng, round: u64) -> Op {
    let command = match rng.below(100) {
        0..=44 => Command::Extract,
        45..=49 if round > 0 => Command::Load,
        50..=64 if round > 0 => Command::Maintain,
        _ => Command::Sync,
    };
    let kill = rng.chance(40).then(|| kill(rng, command));
    Op::Run {
        command,
        kill,
        salt: rng.next(),
    }
}

/// Failpoints of a run, each to be passed a few times.
fn kill(rng: &mut Rng, command: Command) -> String {
    const READING: [&str; 4] = [
        "extract.after_evolve",
        "extract.before_ranges",
        "extract.after_range",
        "extract.between_commits",
    ];
    const COMMITTING: [&str; 4] = [
        "lake.after_data_files",
        "lake.after_manifests",
        "lake.after_metadata",
        "lake.after_hint",
    ];
    const MAINTAINING: [&str; 3] = [
        "maintain.after_group",
        "maintain.after_expire",
        "maintain.after_expired_file",
    ];
    const LOADING: [&str; 3] = ["load.after_staging", "load.after_net", "load.after_apply"];
    let places: &[&str] = match command {
        Command::Extract | Command::Sync => &READING,
        Command::Maintain => &MAINTAINING,
        Command::Load => &LOADING,
    };
    let one = format!("{}:{}", rng.pick(places), 1 + rng.below(2));
    let other = format!("{}:{}", rng.pick(&COMMITTING), 1 + rng.below(10));
    match rng.below(3) {
        0 => one,
        1 => other,
        _ => format!("{one},{other}"),
    }
}
