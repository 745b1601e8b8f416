//! The command line: arguments to a request, one file a command. Only here is anything printed: results to stdout, logs
//! and progress to stderr.

mod extract;
mod load;
mod maintain;
mod output;
mod plan;
mod progress;
mod quarantine;
mod relocate;
mod request;
mod signals;
mod snapshots;
mod state;
mod status;
mod sync;
mod tables;

use clap::{Parser, Subcommand};
use icesync::config::Config;
use icesync::error::Error;
use output::{Output, config_error, say};
use request::Request;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

/// Replicates SQL Server tables into Apache Iceberg, incrementally and exactly once, and replays Iceberg snapshots into
/// another SQL Server.
#[derive(Parser)]
#[command(name = "icesync", version, max_term_width = 110)]
#[command(
    after_help = "Exit codes: 0 done; 1 failed; 2 usage or configuration; 3 some tables failed; \
        4 done, and rows are in quarantine; 75 transient and out of retries; \
        130 and 143 ended early by Ctrl-C and SIGTERM."
)]
struct Cli {
    /// Configuration file
    #[arg(
        short,
        long,
        value_name = "FILE",
        default_value = "icesync.yaml",
        global = true
    )]
    config: PathBuf,
    /// Print one JSON document on stdout
    #[arg(long, global = true)]
    json: bool,
    /// Log more on stderr (-v: debug, -vv: trace); ICESYNC_LOG takes a filter
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    verbose: u8,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Extract(extract::Extract),
    Load(load::Load),
    Sync(sync::Sync),
    Plan(plan::Plan),
    Status(status::Status),
    Snapshots(snapshots::Snapshots),
    Quarantine(quarantine::Quarantine),
    Maintain(maintain::Maintain),
    Relocate(relocate::Relocate),
    State(state::State),
}

/// Runs the command line; the exit code says how it went.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    start_logging(cli.verbose);
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            say(format_args!("cannot start the async runtime: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let code = match runtime.block_on(run(&cli)) {
        Ok(code) => code,
        Err(error) => cli.output().fail(&error),
    };
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    ExitCode::from(code)
}

fn start_logging(verbose: u8) {
    let level = match verbose {
        0 => "warn,mssql_tds=error,tiberius=off",
        1 => "icesync=debug,warn,mssql_tds=error,tiberius=off",
        _ => "icesync=trace,info,mssql_tds=warn,tiberius=off",
    };
    let filter = tracing_subscriber::EnvFilter::try_from_env("ICESYNC_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(level));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        // A log line that cannot be written is lost. The library would say so with `eprintln!`, which panics.
        .log_internal_errors(false)
        .init();
}

async fn run(cli: &Cli) -> Result<u8, Error> {
    let config =
        Config::read(&cli.config, |name| std::env::var(name).ok()).map_err(config_error)?;
    let request = Request {
        config,
        output: cli.output(),
    };
    match &cli.command {
        Command::Extract(extract) => extract.run(request).await,
        Command::Load(load) => load.run(request).await,
        Command::Sync(sync) => sync.run(request).await,
        Command::Plan(plan) => plan.run(request).await,
        Command::Status(status) => status.run(request).await,
        Command::Snapshots(snapshots) => snapshots.run(request).await,
        Command::Quarantine(quarantine) => quarantine.run(request).await,
        Command::Maintain(maintain) => maintain.run(request).await,
        Command::Relocate(relocate) => relocate.run(request).await,
        Command::State(state) => state.run(request).await,
    }
}

impl Cli {
    fn output(&self) -> Output {
        Output { json: self.json }
    }
}
