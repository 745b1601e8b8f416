//! A schedule, made from its seed alone: tables, their configuration, and what happens to them step by step.

use super::changes::{self, Event};
use super::table::{Family, Mode, Table};
use crate::random::Rng;

/// Schedules of one class run the same commands in the same order, so that one run serves all of them.
pub const CLASSES: u64 = 12;

/// What is run at the end of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    Extract,
    Sync,
    Load,
    LoadFull,
    /// The same, of the tables that are not appended to.
    MendAll,
    /// Up to a snapshot that the lake has: the number picks one of them.
    LoadAt(u64),
    Retry,
}

/// What goes wrong during a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    None,
    /// The process dies at the first of these failpoints.
    Kill {
        at: String,
        is_committed: bool,
    },
    /// The connection of a statement with this text is lost.
    Drop {
        text: &'static str,
        skip: u32,
        is_done: bool,
    },
}

#[derive(Debug, Clone)]
pub struct Step {
    /// Statements in the source.
    pub source: Vec<String>,
    /// What others do to the target.
    pub events: Vec<Event>,
    pub command: Command,
    pub trouble: Trouble,
    /// The whole source is read, whatever the strategy.
    pub whole: bool,
    /// The run replaces targets that are upserted otherwise.
    pub replaces: bool,
}

/// Which tables share a transaction (`load.group`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    Auto,
    All,
    None,
}

#[derive(Debug, Clone)]
pub struct Schedule {
    pub seed: u64,
    /// It has runs of its own, in which things go wrong.
    pub alone: bool,
    pub class: u64,
    pub tables: Vec<Table>,
    /// The first rows of the source.
    pub rows: Vec<String>,
    pub group: Group,
    pub rechecks: bool,
    /// Files of one size that are compacted.
    pub small_files: u64,
    pub steps: Vec<Step>,
}

impl Schedule {
    pub fn of(seed: u64) -> Self {
        let (alone, class) = (seed.is_multiple_of(4), (seed / 4) % CLASSES);
        let mut own = Rng::new(seed);
        let rng = &mut own;
        let family = family(rng, alone);
        let group = match family {
            Family::Several if rng.chance(60) => Group::All,
            Family::Several if rng.chance(50) => Group::None,
            Family::Chain if alone && rng.chance(25) => Group::All,
            Family::One | Family::Several | Family::Chain | Family::Selfish | Family::Circle => {
                Group::Auto
            }
        };
        let tables = Table::family(rng, family, &format!("m{seed:x}"), group == Group::All);
        let mut rhythm = match alone {
            true => Rng::new(rng.next()),
            false => Rng::new(class),
        };
        let small_files = if rhythm.chance(40) { 2 } else { 8 };
        let commands = commands(&mut rhythm, alone && family == Family::One);
        let steps = commands.into_iter().map(|command| {
            let trouble = match alone {
                true => trouble(rng, command, tables.len()),
                false => Trouble::None,
            };
            step(rng, &tables, family, command, trouble)
        });
        let steps = steps.collect();
        Self {
            seed,
            alone,
            class,
            rows: changes::first_rows(rng, &tables),
            group,
            rechecks: family == Family::Circle && alone && rng.chance(40),
            small_files,
            steps,
            tables,
        }
    }

    /// After everything else: good rows, and something that changes in every table.
    pub fn last(&self) -> Step {
        Step {
            source: changes::last(&self.tables),
            events: Vec::new(),
            command: Command::Sync,
            trouble: Trouble::None,
            whole: true,
            replaces: false,
        }
    }

    /// Then, what others have done to the targets is mended.
    pub fn mending(&self) -> Step {
        Step {
            source: Vec::new(),
            command: Command::MendAll,
            ..self.last()
        }
    }

    /// The entries of its tables in icesync.yaml.
    pub fn entries(&self, step: &Step) -> String {
        let entries = self.tables.iter().map(|table| table.entry(step));
        entries.collect()
    }

    /// The options of all tables in icesync.yaml.
    pub fn options(&self) -> String {
        let group = match self.group {
            Group::Auto => "auto",
            Group::All => "all",
            Group::None => "none",
        };
        let cycles = if self.rechecks { "recheck" } else { "defer" };
        format!(
            "load: {{ group: {group}, cycles: {cycles} }}\nmaintenance: {{ small_files: {} }}\n",
            self.small_files
        )
    }
}

fn family(rng: &mut Rng, alone: bool) -> Family {
    match (rng.below(100), alone) {
        (0..=14, _) => Family::Chain,
        (15..=22, _) => Family::Selfish,
        (23, _) => Family::Circle,
        (24..=49, true) => Family::Several,
        _ => Family::One,
    }
}

/// What is run, step by step. The first run makes the lake table.
fn commands(rng: &mut Rng, is_one: bool) -> Vec<Command> {
    let count = 4 + rng.below(5);
    let command = |at| match rng.below(100) {
        0..=29 if at == 0 => Command::Extract,
        _ if at == 0 => Command::Sync,
        0..=19 => Command::Extract,
        20..=34 => Command::Load,
        35..=43 => Command::LoadFull,
        44..=51 => Command::Retry,
        52..=58 if is_one => Command::LoadAt(rng.next() >> 32),
        _ => Command::Sync,
    };
    (0..count).map(command).collect()
}

/// Places of a load before its last commit, in groups of which any run meets one.
const EDGES: [&str; 4] = [
    "load.after_create,load.after_fill_create,load.after_staging",
    "load.after_create,load.after_fill,load.after_net",
    "load.after_create,load.after_fill_key,load.quarantined,load.between_steps",
    "load.after_create,load.after_fill_key,load.quarantined,load.between_steps:2",
];

fn trouble(rng: &mut Rng, command: Command, tables: usize) -> Trouble {
    match command {
        Command::Extract | Command::MendAll => return Trouble::None,
        Command::Sync | Command::Load | Command::LoadFull | Command::LoadAt(_) | Command::Retry => {
        }
    }
    // Each table passes each place once.
    let pass = 1 + rng.below(tables as u64);
    match rng.below(20) {
        0..=6 => {
            let edges = rng.pick(&EDGES).split(',');
            let edges = edges.map(|edge| match edge.contains(':') {
                true => edge.to_owned(),
                false => format!("{edge}:{pass}"),
            });
            Trouble::Kill {
                at: edges.collect::<Vec<_>>().join(","),
                is_committed: false,
            }
        }
        7..=8 => Trouble::Kill {
            at: format!("load.after_apply:{pass}"),
            is_committed: true,
        },
        9..=11 => {
            let (text, most) = match rng.below(8) {
                0 => ("COMMIT TRANSACTION", 3),
                1 => ("BULK DATA", 1),
                2 => ("sys.foreign_keys", 1),
                _ => ("icesync", 18),
            };
            Trouble::Drop {
                text,
                skip: rng.below(most) as u32,
                is_done: rng.chance(60),
            }
        }
        _ => Trouble::None,
    }
}

fn step(
    rng: &mut Rng,
    tables: &[Table],
    family: Family,
    command: Command,
    trouble: Trouble,
) -> Step {
    let is_still = rng.chance(12);
    let is_free = matches!(family, Family::One | Family::Several);
    // Spellings of one key are told apart by the strategy of the last extract.
    let command = match command {
        Command::LoadAt(_) if tables.iter().any(Table::has_twins) => Command::Load,
        command => command,
    };
    Step {
        source: match is_still {
            true => Vec::new(),
            false => changes::of_source(rng, tables),
        },
        events: changes::of_target(rng, tables),
        command,
        trouble,
        whole: rng.chance(8),
        replaces: is_free
            && rng.chance(5)
            && !tables.iter().any(|table| table.mode == Mode::Append),
    }
}
