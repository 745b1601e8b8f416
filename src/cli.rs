//! The command line: arguments to a request, one file a command. Only here is anything printed: results to stdout, logs
//! and progress to stderr.

mod extract;
mod load;
mod logs;
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
mod verify;

use clap::{Parser, Subcommand};
use icesync::config::Config;
use icesync::error::Error;
use icesync::report::Exit;
use icesync::secret;
use output::{Output, config_error, say};
use request::Request;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::PanicHookInfo;
use std::path::PathBuf;
use std::process::ExitCode;

/// Replicates SQL Server tables into Apache Iceberg, incrementally and exactly once, and replays Iceberg snapshots into
/// another SQL Server.
#[derive(Parser)]
#[command(name = "icesync", version, max_term_width = 110)]
#[command(after_help = exit_codes())]
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
    /// Show values of rows in messages, reports and logs: keys, and values that are refused
    #[arg(long, global = true)]
    show_values: bool,
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
    Verify(verify::Verify),
    Quarantine(quarantine::Quarantine),
    Maintain(maintain::Maintain),
    Relocate(relocate::Relocate),
    State(state::State),
}

/// What `--help` says of exit codes.
fn exit_codes() -> String {
    let lines = Exit::ALL.map(|exit| format!("\n  {:<5}{}", exit.code(), exit.meaning()));
    format!("Exit codes:{}", lines.concat())
}

/// Runs the command line; the exit code says how it went.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    if cli.show_values {
        secret::show_values();
    }
    std::panic::set_hook(Box::new(say_panic));
    logs::start(cli.verbose);
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

/// Says where a panic happened. Rust's own message would quote what it was about, which may be a row.
fn say_panic(panic: &PanicHookInfo<'_>) {
    let place = panic.location().map(ToString::to_string);
    let text = secret::panic_text(panic.payload());
    say(format_args!(
        "panicked at {}: {text}",
        place.unwrap_or_default()
    ));
    let trace = Backtrace::capture();
    if trace.status() == BacktraceStatus::Captured {
        say(trace);
    }
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
        Command::Verify(verify) => verify.run(request).await,
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
