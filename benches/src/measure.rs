//! Clocks, and what measures print.

use std::io::{self, Read};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Why nothing more can be measured.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// One figure.
struct Measure {
    name: String,
    value: f64,
}

/// All figures of a run, told as they come.
pub struct Measures {
    json: bool,
    /// Letters of the measures that are wanted.
    only: String,
    /// The replayed table that is wanted; none: all of them.
    table: Option<String>,
    all: Vec<Measure>,
}

impl Measures {
    pub fn new(json: bool, only: String, table: Option<String>) -> Self {
        Self {
            json,
            only,
            table,
            all: Vec::new(),
        }
    }

    pub fn wants(&self, letters: &str) -> bool {
        letters.chars().any(|letter| self.only.contains(letter))
    }

    pub fn wants_table(&self, name: &str) -> bool {
        self.table.as_ref().is_none_or(|table| table == name)
    }

    pub fn add(&mut self, name: impl Into<String>, value: f64, unit: &'static str) {
        let name = name.into();
        if self.json {
            println!(
                "{}",
                serde_json::json!({ "name": name, "value": value, "unit": unit })
            );
        } else {
            println!("  {name:<44} {:>14} {unit}", shown(value));
        }
        self.all.push(Measure { name, value });
    }

    /// Explains what follows; on stderr, so that the figures stay alone.
    pub fn say(&self, text: &str) {
        eprintln!("{text}");
    }

    fn get(&self, name: &str) -> Option<f64> {
        let found = self.all.iter().find(|measure| measure.name == name);
        found.map(|measure| measure.value)
    }

    /// One figure as a multiple of another, when both were measured.
    pub fn ratio(&mut self, name: &str, of: &str, by: &str) {
        if let (Some(of), Some(by)) = (self.get(of), self.get(by)) {
            self.add(name, of / by, "times");
        }
    }

    /// One figure as a multiple of the larger of others.
    pub fn ratio_to_largest(&mut self, name: &str, of: &str, by: &[&str]) {
        let found = by.iter().filter_map(|by| self.get(by)).reduce(f64::max);
        if let (Some(of), Some(by)) = (self.get(of), found) {
            self.add(name, of / by, "times");
        }
    }
}

fn shown(value: f64) -> String {
    if value >= 1000.0 {
        icesync::report::thousands(value.round() as u64)
    } else {
        format!("{value:.3}")
    }
}

/// Wall and CPU time of a piece of work.
#[derive(Debug, Clone, Copy)]
pub struct Spent {
    pub wall: f64,
    /// User and system, of all threads.
    pub cpu: f64,
}

/// CPU seconds of this process so far.
fn cpu() -> f64 {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the pointer is to memory of the right size, which the call fills.
    let usage = unsafe {
        libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr());
        usage.assume_init()
    };
    seconds(usage.ru_utime) + seconds(usage.ru_stime)
}

fn seconds(time: libc::timeval) -> f64 {
    time.tv_sec as f64 + time.tv_usec as f64 / 1e6
}

/// A running clock.
pub struct Clock(Instant, f64);

impl Clock {
    pub fn start() -> Self {
        Self(Instant::now(), cpu())
    }

    pub fn stop(&self) -> Spent {
        Spent {
            wall: self.0.elapsed().as_secs_f64(),
            cpu: cpu() - self.1,
        }
    }
}

/// What a process did.
pub struct Ran {
    pub spent: Spent,
    /// The most memory it had, in bytes.
    pub peak: u64,
    pub stdout: String,
}

/// Runs a command to its end; an error unless it exits with 0.
pub fn run(command: &mut Command) -> io::Result<Ran> {
    let clock = Instant::now();
    let mut child = command
        .stdout(Stdio::piped())
        .stdin(Stdio::null())
        .spawn()?;
    let (mut stdout, mut pipe) = (String::new(), child.stdout.take());
    let (ended, peak) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !ended.load(Ordering::Acquire) {
                peak.fetch_max(high_water(child.id()), Ordering::AcqRel);
                std::thread::sleep(Duration::from_millis(10));
            }
        });
        let read = pipe.as_mut().map(|pipe| pipe.read_to_string(&mut stdout));
        ended.store(true, Ordering::Release);
        read.transpose()
    })?;
    let (mut status, mut usage) = (0, std::mem::MaybeUninit::<libc::rusage>::zeroed());
    // SAFETY: the child has not been waited for, and both pointers are to memory of the right size.
    let usage = unsafe {
        if libc::wait4(
            child.id() as libc::pid_t,
            &mut status,
            0,
            usage.as_mut_ptr(),
        ) < 0
        {
            return Err(io::Error::last_os_error());
        }
        usage.assume_init()
    };
    if status != 0 {
        return Err(io::Error::other(format!("{command:?} failed: {stdout}")));
    }
    Ok(Ran {
        spent: Spent {
            wall: clock.elapsed().as_secs_f64(),
            cpu: seconds(usage.ru_utime) + seconds(usage.ru_stime),
        },
        peak: peak.into_inner(),
        stdout,
    })
}

/// The most memory that a process has held so far, in bytes; 0 when it is gone. (What wait4 says of it counts its
/// parent's memory in.)
fn high_water(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
    kib.unwrap_or_default() * 1024
}

/// A server that ends with the benchmark.
pub struct Server(pub Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Repeats `work` and keeps the run that took the least wall time: what disturbs a run only makes it longer.
pub async fn best<T>(
    times: usize,
    mut work: impl AsyncFnMut() -> Result<T, Failure>,
    wall: impl Fn(&T) -> f64,
) -> Result<T, Failure> {
    let mut best = work().await?;
    for _ in 1..times {
        let next = work().await?;
        if wall(&next) < wall(&best) {
            best = next;
        }
    }
    Ok(best)
}
