//! Loads against a model: random tables, configurations and steps, and after each run the target is compared with what a
//! simple model of it says.
//!
//! A schedule is made from its seed alone. Its steps change the source, change, drop, recreate or restore the target,
//! and run `extract`, `sync`, `load`, `load --full`, `load --snapshot` or `quarantine retry`. In schedules that have runs
//! of their own, some of these die or lose a connection. The model ([`target`]) knows which states a target may be in
//! after each commit of a run, and the run must leave one of them: the last one if it came to its end. At the end
//! source, lake and target are the same, and `icesync state verify` finds nothing.
//!
//! The other schedules share their runs with those of their class, which run the same commands: starting the program
//! takes longer than loading a small table.
//!
//! `ICESYNC_MODEL_SCHEDULES` says how many (500), `ICESYNC_MODEL_SEED` where to begin. A failure prints the schedule's own
//! seed and everything that happened; that seed with `ICESYNC_MODEL_SCHEDULES=1` replays it alone.
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

#[derive(Default)]
struct Tally {
    played: usize,
    failures: Vec<String>,
}

#[test]
fn every_schedule_of_loads_ends_as_the_model_says() {
    let clock = Instant::now();
    let first = number("ICESYNC_MODEL_SEED", SEED);
    let jobs = Mutex::new(jobs(first, number("ICESYNC_MODEL_SCHEDULES", SCHEDULES)));
    let tally = Mutex::new(Tally::default());
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| work(&jobs, &tally));
        }
    });
    let tally = tally.into_inner().expect("no worker panics");
    println!(
        "{} schedules of loads, from seed {first}: {:.0} s",
        tally.played,
        clock.elapsed().as_secs_f64()
    );
    let shown: Vec<&str> = tally.failures.iter().map(String::as_str).collect();
    assert!(
        shown.is_empty(),
        "{} schedules failed\n{}",
        shown.len(),
        shown[..shown.len().min(FAILURES_MAX)].join("\n")
    );
    assert!(tally.played > 0, "no schedule was played");
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
fn work(jobs: &Mutex<VecDeque<Vec<Schedule>>>, tally: &Mutex<Tally>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let server = Server::own();
    loop {
        if tally.lock().expect("a tally").failures.len() >= FAILURES_MAX {
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
        let failures = catch_unwind(played)
            .unwrap_or_else(|panic| vec![format!("== {}: {}", seeds.join(", "), said(&*panic))]);
        let mut tally = tally.lock().expect("a tally");
        tally.played += count;
        tally.failures.extend(failures);
    }
}

fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
    text.unwrap_or_else(|| "a panic without a message".to_owned())
}
