//! Arguments to a request, and the only place that prints: results to stdout, logs and progress to stderr.

mod progress;

use clap::{Args, Parser, Subcommand};
use icesync::config::{Config, Table};
use icesync::error::{Disposition, Error, Kind};
use icesync::lake::SnapshotRef;
use icesync::report::{ErrorReport, RunReport};
use icesync::sync::{self, Action, Observer, Sync};
use serde::Serialize;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

/// Replicates SQL Server tables into Apache Iceberg, incrementally and exactly once, and replays Iceberg snapshots into
/// another SQL Server.
#[derive(Parser)]
#[command(name = "icesync", version, max_term_width = 110)]
#[command(
    after_help = "Exit codes: 0 done; 1 failed; 2 usage or configuration; 3 some tables failed; 75 transient and out of retries."
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
    /// Read changed rows from the source and commit them to the lake, one snapshot a table
    Extract(Tables),
    /// Merge snapshots that the target has not seen into it
    Load(Load),
    /// Extract, then load (when a target is configured)
    Sync(Tables),
    /// Show strategy, window and T-SQL of the next run; run nothing
    Plan(Tables),
    /// Show how far lake and target are
    Status(Tables),
    /// List the snapshots of the lake tables
    Snapshots(Tables),
}

#[derive(Args)]
struct Tables {
    /// Only this table, by its source or lake name; may be repeated
    #[arg(short, long = "table", value_name = "TABLE")]
    tables: Vec<String>,
}

#[derive(Args)]
struct Load {
    #[command(flatten)]
    tables: Tables,
    /// Load everything up to this snapshot: `latest`, a sequence number, or a snapshot id
    #[arg(long, value_name = "N", default_value = "latest")]
    snapshot: SnapshotRef,
    /// Load the whole snapshot, whatever the target has seen: also the way out after a lake table was recreated
    #[arg(long)]
    full: bool,
}

impl Command {
    fn tables(&self) -> &[String] {
        match self {
            Command::Extract(tables)
            | Command::Sync(tables)
            | Command::Plan(tables)
            | Command::Status(tables)
            | Command::Snapshots(tables) => &tables.tables,
            Command::Load(load) => &load.tables.tables,
        }
    }
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
            eprintln!("icesync: cannot start the async runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    let code = match runtime.block_on(run(&cli)) {
        Ok(code) => code,
        Err(error) => {
            if cli.json {
                print_json(&serde_json::json!({ "error": ErrorReport::of(&error) }));
            }
            eprintln!("icesync: {}", error.report());
            match (error.kind(), error.disposition()) {
                (Kind::Config, _) => 2,
                (_, Disposition::Transient) => 75,
                (_, Disposition::Definite | Disposition::Ambiguous) => 1,
            }
        }
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
        .with_target(false)
        .init();
}

async fn run(cli: &Cli) -> Result<u8, Error> {
    let config = Config::read(&cli.config, |name| std::env::var(name).ok())
        .map_err(|error| Error::new(Kind::Config, Disposition::Definite, error))?;
    let tables = choose(&config, cli.command.tables())?;
    let progress = Arc::new(progress::Progress::new());
    let sync = Sync::new(&config, Arc::clone(&progress) as Arc<dyn Observer>).await?;
    match &cli.command {
        Command::Extract(_) => Ok(finish(cli, &sync.run(Action::Extract, tables).await?)),
        Command::Load(load) => {
            let action = Action::Load {
                snapshot: load.snapshot,
                full: load.full,
            };
            Ok(finish(cli, &sync.run(action, tables).await?))
        }
        Command::Sync(_) => Ok(finish(cli, &sync.run(Action::Sync, tables).await?)),
        Command::Plan(_) => show(cli, sync.plan(tables).await?, sync::PlanReport::text),
        Command::Status(_) => show(cli, sync.status(tables).await?, sync::StatusReport::text),
        Command::Snapshots(_) => show(
            cli,
            sync.snapshots(tables).await?,
            sync::SnapshotsReport::text,
        ),
    }
}

/// The tables named on the command line, or all; a name that no table has is refused with those there are.
fn choose(config: &Config, names: &[String]) -> Result<Vec<Table>, Error> {
    if names.is_empty() {
        return Ok(config.tables.clone());
    }
    let mut chosen: Vec<Table> = Vec::new();
    for name in names {
        let wanted = name.parse().map_err(config_error)?;
        let table = config
            .tables
            .iter()
            .find(|table| table.source == wanted || table.lake == wanted)
            .ok_or_else(|| {
                let known: Vec<_> = config
                    .tables
                    .iter()
                    .map(|table| table.source.to_string())
                    .collect();
                config_error(format!(
                    "--table {name}: no such table in the configuration, which lists {}",
                    known.join(", ")
                ))
            })?;
        if !chosen.contains(table) {
            chosen.push(table.clone());
        }
    }
    Ok(chosen)
}

fn config_error(
    message: impl Into<Box<dyn std::error::Error + Send + std::marker::Sync>>,
) -> Error {
    Error::new(Kind::Config, Disposition::Definite, message)
}

fn finish(cli: &Cli, report: &RunReport) -> u8 {
    if cli.json {
        print_json(report);
    } else {
        print(&report.text());
    }
    report.exit_code()
}

/// Prints the reports of a command that only looks; a table that failed makes the exit code, as in a run.
fn show<T: Serialize>(
    cli: &Cli,
    listing: sync::Listing<T>,
    text: fn(&T) -> String,
) -> Result<u8, Error> {
    if cli.json {
        print_json(&listing);
    } else {
        for report in &listing.tables {
            print(&text(report));
        }
    }
    for error in &listing.errors {
        eprintln!("icesync: {}", error.message);
    }
    Ok(listing.exit_code())
}

fn print_json(document: &impl Serialize) {
    match serde_json::to_string_pretty(document) {
        Ok(text) => print(&(text + "\n")),
        Err(error) => eprintln!("icesync: cannot write the report as JSON: {error}"),
    }
}

/// Writes to stdout; a reader that went away (`| head`) is no failure.
fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
