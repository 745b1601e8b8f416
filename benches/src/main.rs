//! Measures icesync: what the planes move, what a committed copy costs, what an incremental run costs, how much
//! memory is held.
//!
//! Every figure comes with what it is compared to from the same run, because machines are shared and noisy: trust
//! the ratios. `docs/BENCHMARKS.md` tells what each measure is.

// As icesync.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[unsafe(export_name = "_rjem_malloc_conf")]
pub static MALLOC_CONF: &[u8; 10] = b"narenas:1\0";

mod growth;
mod loads;
mod measure;
mod planes;
mod proxy;
mod runs;
mod stage;

use clap::{Parser, Subcommand};
use measure::Measures;
use std::path::PathBuf;
use std::process::ExitCode;

/// Measures icesync against its parts and its alternatives.
#[derive(Parser)]
#[command(version)]
struct Options {
    /// A few seconds in all, to see that everything runs; the figures mean little.
    #[arg(long)]
    quick: bool,
    /// One JSON object per measure.
    #[arg(long)]
    json: bool,
    /// Only the measures whose letter is in this text.
    #[arg(long, default_value = "abcdefghijklmn")]
    only: String,
    /// Only this one of the replayed tables: mixed, narrow or text.
    #[arg(long)]
    table: Option<String>,
    /// Commits of (l); 10,000 take about twenty minutes.
    #[arg(long)]
    commits: Option<u64>,
    /// Rows of (l) and (n).
    #[arg(long)]
    rows: Option<u64>,
    #[command(subcommand)]
    role: Option<Role>,
}

#[derive(Subcommand)]
enum Role {
    /// The server that replays and takes in at memory speed.
    #[command(hide = true)]
    Proxy { upstream: String, times: PathBuf },
}

/// How much is measured.
pub struct Scale {
    /// Rows of one replayed block.
    pub block: u64,
    /// How often the block is replayed, for planes and copies, and for clients of others and settings, which take
    /// longer.
    pub times: u64,
    pub times_slow: u64,
    /// Rows of the mirror table of the incremental case, and rows that change.
    pub mirror: u64,
    pub changed: u64,
    /// Rows of the two copies that memory is measured with.
    pub memory: [u64; 2],
    /// How many tables are many.
    pub tables: u64,
    /// Commits to one table, and its rows.
    pub commits: u64,
    pub growing: u64,
    /// Rows of a first load.
    pub loaded: u64,
    /// Files of a table that has many.
    pub files: u64,
    /// Each measure is the best of so many.
    pub repeats: usize,
}

const FULL: Scale = Scale {
    block: 200_000,
    times: 50,
    times_slow: 10,
    mirror: 10_000_000,
    changed: 10_000,
    memory: [1_000_000, 10_000_000],
    tables: 200,
    commits: 10_000,
    growing: 1_000_000,
    loaded: 1_000_000,
    files: 100_000,
    repeats: 5,
};
const QUICK: Scale = Scale {
    block: 20_000,
    times: 5,
    times_slow: 5,
    mirror: 200_000,
    changed: 1_000,
    memory: [100_000, 400_000],
    tables: 20,
    commits: 12,
    growing: 2_000,
    loaded: 20_000,
    files: 2_000,
    repeats: 1,
};

fn main() -> ExitCode {
    let options = Options::parse();
    let outcome = match &options.role {
        Some(Role::Proxy { upstream, times }) => proxy::serve(upstream.clone(), times.clone()),
        None => measure_all(&options),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("icesync-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure_all(options: &Options) -> std::io::Result<()> {
    let mut scale = if options.quick { QUICK } else { FULL };
    scale.commits = options.commits.unwrap_or(scale.commits).max(1);
    scale.loaded = options.rows.unwrap_or(scale.loaded).max(1);
    scale.growing = options.rows.unwrap_or(scale.growing).max(200);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let mut measures = Measures::new(options.json, options.only.clone(), options.table.clone());
    let outcome = runtime.block_on(async {
        let stage = stage::Stage::set_up(&scale).await?;
        planes::measure(&stage, &scale, &mut measures).await?;
        runs::measure(&stage, &scale, &mut measures).await?;
        growth::measure(&stage, &scale, &mut measures).await?;
        loads::measure(&stage, &scale, &mut measures).await
    });
    outcome.map_err(|error: measure::Failure| std::io::Error::other(error.to_string()))
}
