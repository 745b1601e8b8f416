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
//! `ICESYNC_MODEL_SCHEDULES` says how many (500), `ICESYNC_MODEL_SEED` where to begin ([`crate::schedules`]). A failure
//! prints the schedule's own seed and everything that happened.
//!
//! To add a mode of loading: [`table::Mode`] with its configuration, what it makes of a target in
//! [`target::Forecast`], and what remains of the rows at the end in [`play`].

mod changes;
mod events;
mod judge;
mod lake;
pub mod play;
pub mod rows;
mod schedule;
mod table;
mod target;

use crate::schedules::{Asked, Played, play_all};
use schedule::Schedule;
use std::collections::BTreeMap;
use std::time::Instant;

const SEED: u64 = 2027;
const SCHEDULES: u64 = 500;

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

#[test]
fn every_schedule_of_loads_ends_as_the_model_says() {
    let clock = Instant::now();
    let asked = Asked::or(SEED, SCHEDULES);
    let seeds = |job: &Vec<Schedule>| job.iter().map(|schedule| schedule.seed).collect();
    let played = play_all(jobs(asked), seeds, |server, runtime, schedules| {
        let count = schedules.len();
        let (failures, met) = runtime.block_on(play::all(server, schedules));
        Played {
            schedules: count,
            failures,
            met,
        }
    });
    let what = format!("schedules of loads, from seed {}", asked.first);
    played.judge(&what, clock, (MANY, &MET));
}

/// Schedules that are played together. The large jobs come first.
fn jobs(asked: Asked) -> impl Iterator<Item = Vec<Schedule>> {
    let schedules = asked.seeds(&KEPT).into_iter().map(Schedule::of);
    let (alone, shared): (Vec<Schedule>, Vec<Schedule>) =
        schedules.partition(|schedule| schedule.alone);
    let mut classes: BTreeMap<u64, Vec<Schedule>> = BTreeMap::new();
    for schedule in shared {
        classes.entry(schedule.class).or_default().push(schedule);
    }
    let alone = alone.into_iter().map(|schedule| vec![schedule]);
    classes.into_values().chain(alone)
}
