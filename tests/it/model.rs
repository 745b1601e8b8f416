//! Loads against a model: random tables, configurations and steps, and after each run the target is compared with what
//! a simple model of it says.
//!
//! A schedule is made from its seed alone. Its steps change the source, change, drop, recreate or restore the target,
//! and run `extract`, `sync`, `load`, `load --full`, `load --snapshot` or `quarantine retry`. In schedules that have
//! runs of their own, some of these die or lose a connection. The model ([`target`]) knows which states a target may be
//! in after each commit of a run, and the run must leave one of them: the last one if it came to its end. At the end
//! source, lake and target are the same, and `icesync state verify` finds nothing.
//!
//! The other schedules share their runs with those of their class, which run the same commands: starting the program
//! takes longer than loading a small table.
//!
//! `ICESYNC_MODEL_SCHEDULES` says how many (500), `ICESYNC_MODEL_SEED` where to begin. A failure prints the schedule's
//! own seed and everything that happened; that seed with `ICESYNC_MODEL_SCHEDULES=1` replays it alone.
//!
//! To add a mode of loading: [`table::Mode`] with its configuration, what it makes of a target in
//! [`target::Forecast`], and what remains of the rows at the end in [`play`].

mod changes;
mod events;
mod judge;
mod lake;
mod play;
mod rows;
mod schedule;
mod table;
mod target;

use crate::harness::Server;
use crate::random::{Rng, number};
use play::Tally;
use schedule::Schedule;
use std::any::Any;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::time::Instant;

const SEED: u64 = 2027;
const SCHEDULES: u64 = 500;
/// Each has a server and a world of its own.
const WORKERS: usize = 2;
/// So many failures end the test.
const FAILURES_MAX: usize = 10;

/// Seeds of schedules that have found a defect, each with a word on it. They are played with every run of the test,
/// whatever seeds it begins with.
const KEPT: [u64; 0] = [];

/// What so many schedules meet, or the test proves less than it says.
const MANY: usize = 400;
const MET: [&str; 13] = [
    "nothing",
    "prepare",
    "first",
    "delta",
    "whole",
    "replace",
    "a group",
    "a death",
    "a refusal",
    "a restore",
    "a dropped table",
    "rows set aside",
    "a target between two steps",
];

#[derive(Default)]
struct Played {
    schedules: usize,
    failures: Vec<String>,
    met: Tally,
}

#[test]
fn every_schedule_of_loads_ends_as_the_model_says() {
    let clock = Instant::now();
    let first = number("ICESYNC_MODEL_SEED", SEED);
    let jobs = Mutex::new(jobs(first, number("ICESYNC_MODEL_SCHEDULES", SCHEDULES)));
    let played = Mutex::new(Played::default());
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| work(&jobs, &played));
        }
    });
    let played = played.into_inner().expect("no worker panics");
    println!(
        "{} schedules of loads, from seed {first}: {:.0} s; {:?}",
        played.schedules,
        clock.elapsed().as_secs_f64(),
        played.met
    );
    let failures = &played.failures;
    let shown = &failures[..failures.len().min(FAILURES_MAX)];
    let count = failures.len();
    assert!(count == 0, "{count} schedules failed\n{}", shown.join("\n"));
    assert!(played.schedules > 0, "no schedule was played");
    let is_met = |what: &str| played.met.contains_key(what);
    if played.schedules >= MANY {
        let missed: Vec<_> = MET.into_iter().filter(|what| !is_met(what)).collect();
        assert!(missed.is_empty(), "no schedule has met {missed:?}");
    }
}

/// Schedules that are played together. The large jobs come first.
fn jobs(first: u64, count: u64) -> VecDeque<Vec<Schedule>> {
    let seeds: BTreeSet<u64> = match count {
        1 => BTreeSet::from([first]),
        count => {
            let mut rng = Rng::new(first);
            let random = (0..count).map(|_| rng.next() >> 8);
            KEPT.into_iter().chain(random).collect()
        }
    };
    let schedules = seeds.into_iter().map(Schedule::of);
    let (alone, shared): (Vec<Schedule>, Vec<Schedule>) =
        schedules.partition(|schedule| schedule.alone);
    let mut classes: BTreeMap<u64, Vec<Schedule>> = BTreeMap::new();
    for schedule in shared {
        classes.entry(schedule.class).or_default().push(schedule);
    }
    let alone = alone.into_iter().map(|schedule| vec![schedule]);
    classes.into_values().chain(alone).collect()
}

/// Plays jobs until there are none, or too many have failed.
fn work(jobs: &Mutex<VecDeque<Vec<Schedule>>>, done: &Mutex<Played>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let server = Server::own();
    loop {
        if done.lock().expect("a tally").failures.len() >= FAILURES_MAX {
            return;
        }
        let Some(schedules) = jobs.lock().expect("jobs").pop_front() else {
            return;
        };
        let count = schedules.len();
        let seeds: Vec<String> = schedules
            .iter()
            .map(|schedule| format!("{:#x}", schedule.seed))
            .collect();
        let played = AssertUnwindSafe(|| runtime.block_on(play::all(server, schedules)));
        let (failures, met) = catch_unwind(played).unwrap_or_else(|panic| {
            let failure = format!("== {}: {}", seeds.join(", "), said(&*panic));
            (vec![failure], Tally::new())
        });
        let mut done = done.lock().expect("a tally");
        done.schedules += count;
        done.failures.extend(failures);
        for (what, count) in met {
            *done.met.entry(what).or_default() += count;
        }
    }
}

fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
    text.unwrap_or_else(|| "a panic without a message".to_owned())
}
