//! The source against a model: random transactions of several sessions, with extracts, loads and maintenance in
//! between, and after each run the lake holds what the strategy of each table promises of the source as it then was.
//!
//! A schedule is made from its seed alone. It has tables of every strategy and kind in one database, so transactions
//! span tables of several strategies. Sessions insert, update, merge and delete rows, move and respell keys, truncate
//! tables, alter columns, set savepoints, commit and roll back, and keep transactions open across runs. Statements
//! follow each other, never side by side: one that would wait for a lock gives up (`LOCK_TIMEOUT 0`) and did not
//! happen. Some runs die at a failpoint.
//!
//! - [`history`] is the model of the source. Each statement shows what it has changed (OUTPUT), which counts once its
//!   transaction commits. At each rest the source must be what the model says.
//! - [`strategies`] has one entry for each strategy: what it needs of a table, and what it promises as a pure function
//!   of a row in the lake, the row in the source, and the moment of the run.
//! - [`judge`] compares. A mirror has one row a key, and a history each version once.
//! - At a rest all transactions end, two extracts and a load follow, and then the target is what the lake is, too.
//!
//! `ICESYNC_MODEL_SCHEDULES` says how many tables of each strategy (60), `ICESYNC_MODEL_SEED` where to begin
//! ([`crate::schedules`]). A schedule that fails is made shorter while it still fails; then its seed is printed, and
//! everything that happened in the short one.
//!
//! To add a strategy: an entry in [`strategies`], and its name in `PLAYED`.

mod history;
mod judge;
mod lake;
mod play;
mod schedule;
mod shrink;
mod statements;
mod strategies;
mod table;

use crate::schedules::{Asked, Tally, add, guarded, play_all};
use schedule::Schedule;
use std::time::Instant;

const SEED: u64 = 2028;
/// Tables of each strategy.
const TABLES: u64 = 60;

/// Seeds of schedules that have found a defect, each with a word on it. They are played first, with every run of the
/// test.
const KEPT: [u64; 0] = [];

/// What so many tables meet, or the test proves less than it says.
const MANY: usize = 200;
const MET: [&str; 16] = [
    "a whole read",
    "a window",
    "a death",
    "a commit",
    "a rollback",
    "a rollback to a savepoint",
    "a lock",
    "a taken key",
    "a moved key",
    "a truncated table",
    "an added column",
    "a dropped column",
    "a wider column",
    "a row that stays",
    "a row that is not seen",
    "maintenance",
];

#[test]
fn every_strategy_keeps_its_promise_whatever_happens_in_the_source() {
    let clock = Instant::now();
    let asked = Asked::or(SEED, TABLES);
    let schedules = Asked {
        count: asked.count.div_ceil(schedule::TABLES_OF_EACH),
        ..asked
    };
    let schedules = schedules.seeds(&KEPT).into_iter().map(Schedule::of);
    let seeds = |schedule: &Schedule| vec![schedule.seed];
    let played = play_all(schedules, seeds, |server, runtime, schedule| {
        let mut met = Tally::new();
        let tables = schedule.tables.len();
        let mut fails = |schedule: &Schedule| {
            let (tally, failure) = guarded(|| runtime.block_on(play::play(server, schedule)))
                .unwrap_or_else(|panic| (Tally::new(), Some(play::Failure::of(panic))));
            add(&mut met, &tally);
            failure
        };
        let failure = fails(&schedule).map(|first| shrink::shortest(&schedule, first, &mut fails));
        crate::schedules::Played {
            schedules: tables,
            failures: failure.into_iter().collect(),
            met,
        }
    });
    let what = format!("tables that change, from seed {}", asked.first);
    played.judge(&what, clock, (MANY, &MET));
}
