//! Schedules that tests make from seeds, and play side by side.
//!
//! `ICESYNC_MODEL_SCHEDULES` says how many a test plays, `ICESYNC_MODEL_SEED` which seed their seeds are drawn from.
//! One schedule is that of the seed itself: so a failure, which prints its seed, is replayed alone.

use crate::harness::Server;
use crate::random::{Rng, number};
use std::any::Any;
use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::time::Instant;
use tokio::runtime::Runtime;

/// Each has a server and a runtime of its own.
const WORKERS: usize = 2;
/// So many failures end a test.
const FAILURES_MAX: usize = 10;

/// How often something has happened.
pub type Tally = BTreeMap<&'static str, usize>;

/// Adds what one has counted to another.
pub fn add(tally: &mut Tally, other: &Tally) {
    for (what, count) in other {
        *tally.entry(what).or_default() += count;
    }
}

/// How many schedules are asked for, and the seed that their seeds are drawn from.
#[derive(Debug, Clone, Copy)]
pub struct Asked {
    pub first: u64,
    pub count: u64,
}

impl Asked {
    /// What the environment says, or these.
    pub fn or(first: u64, count: u64) -> Self {
        Self {
            first: number("ICESYNC_MODEL_SEED", first),
            count: number("ICESYNC_MODEL_SCHEDULES", count),
        }
    }

    /// The seeds: those of `kept`, which have found a defect once, and then as many as are asked for.
    pub fn seeds(self, kept: &[u64]) -> Vec<u64> {
        if self.count == 1 {
            return vec![self.first];
        }
        let mut rng = Rng::new(self.first);
        let random = (0..self.count).map(|_| rng.next() >> 8);
        let random = random.filter(|seed| !kept.contains(seed));
        kept.iter().copied().chain(random).collect()
    }
}

/// What became of schedules.
#[derive(Debug, Default)]
pub struct Played {
    pub schedules: usize,
    pub failures: Vec<String>,
    pub met: Tally,
}

impl Played {
    /// Fails if any schedule has failed. `expected`: what so many schedules meet, or the test proves less than it says.
    pub fn judge(self, what: &str, since: Instant, expected: (usize, &[&str])) {
        println!(
            "{} {what}: {:.0} s; {:?}",
            self.schedules,
            since.elapsed().as_secs_f64(),
            self.met
        );
        let count = self.failures.len();
        let shown = &self.failures[..count.min(FAILURES_MAX)];
        assert!(count == 0, "{count} schedules failed\n{}", shown.join("\n"));
        assert!(self.schedules > 0, "no schedule was played");
        let (many, expected) = expected;
        let is_missed = |what: &&&str| !self.met.contains_key(**what);
        let missed: Vec<_> = expected.iter().filter(is_missed).collect();
        assert!(
            self.schedules < many || missed.is_empty(),
            "no schedule has met {missed:?}"
        );
    }
}

/// Plays jobs in their order, until there are none or too many have failed. `seeds` are those of a job's schedules.
pub fn play_all<J: Send>(
    jobs: impl IntoIterator<Item = J>,
    seeds: impl Fn(&J) -> Vec<u64> + Sync,
    play: impl Fn(&'static Server, &Runtime, J) -> Played + Sync,
) -> Played {
    let jobs = Mutex::new(jobs.into_iter().collect::<VecDeque<J>>());
    let done = Mutex::new(Played::default());
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| work(&jobs, &done, &seeds, &play));
        }
    });
    done.into_inner().expect("no worker panics")
}

fn work<J>(
    jobs: &Mutex<VecDeque<J>>,
    done: &Mutex<Played>,
    seeds: &impl Fn(&J) -> Vec<u64>,
    play: &impl Fn(&'static Server, &Runtime, J) -> Played,
) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let server = Server::own();
    loop {
        if done.lock().expect("a tally").failures.len() >= FAILURES_MAX {
            return;
        }
        let Some(job) = jobs.lock().expect("jobs").pop_front() else {
            return;
        };
        let seeds = seeds(&job);
        let played = guarded(|| play(server, &runtime, job));
        let played = played.unwrap_or_else(|panic| {
            let seeds: Vec<String> = seeds.iter().map(|seed| format!("{seed:#x}")).collect();
            Played {
                schedules: seeds.len(),
                failures: vec![format!("== {}: {panic}", seeds.join(", "))],
                met: Tally::new(),
            }
        });
        let mut done = done.lock().expect("a tally");
        done.schedules += played.schedules;
        done.failures.extend(played.failures);
        add(&mut done.met, &played.met);
    }
}

/// What a panic says is an error.
pub fn guarded<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| said(&*panic))
}

fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
    text.unwrap_or_else(|| "a panic without a message".to_owned())
}
