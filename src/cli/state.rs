//! `icesync state`.

use super::output::{Output, config_error, say};
use super::request::Request;
use super::tables::Tables;
use clap::{Args, Subcommand};
use icesync::config::{Config, Table};
use icesync::error::Error;
use icesync::report::{Exit, Listing, RepairReport, StateChangeReport, StatesReport, VerifyReport};
use icesync::schema::{TableName, shell_quoted};
use icesync::sync::StateFile;
use std::path::PathBuf;

/// Show, check, mend, reset and move what icesync remembers of each table: checkpoint, load state and tags
#[derive(Args)]
pub struct State {
    #[command(subcommand)]
    command: StateCommand,
}

#[derive(Subcommand)]
enum StateCommand {
    Show(Show),
    Verify(Verify),
    Repair(Repair),
    Reset(Reset),
    Forget(Forget),
    Export(Export),
    Import(Import),
}

/// Show checkpoint, load state, tags and leftover staging tables
#[derive(Args)]
struct Show {
    #[command(flatten)]
    tables: Tables,
}

/// Check that lake, target and what is remembered of them agree; change nothing. Exit code 1 when something is wrong
#[derive(Args)]
struct Verify {
    #[command(flatten)]
    tables: Tables,
}

/// Mend tags, version hint and leftover staging tables; say what is left. Loses no information
#[derive(Args)]
struct Repair {
    #[command(flatten)]
    tables: Tables,
    /// Take a target that was recreated for the one that was loaded: it has exactly the rows of the recorded snapshot
    #[arg(long)]
    adopt: bool,
}

/// Let the next extract read the whole table, or the next load compare the whole snapshot
#[derive(Args)]
struct Reset {
    #[command(flatten)]
    chosen: Chosen,
    /// The load state of the target instead of the checkpoint in the lake
    #[arg(long)]
    target: bool,
    #[command(flatten)]
    consent: Consent,
}

/// Remove what is left of a target that is gone: its load state and its tags, which keep snapshots from expiring
#[derive(Args)]
struct Forget {
    /// The target, as `state show` names it; it may be in no table of the configuration
    #[arg(
        long,
        value_name = "TABLE",
        required_unless_present = "tags",
        conflicts_with = "tags"
    )]
    target: Option<String>,
    /// Remove this tag from the lake table that --table names; may be repeated. For a target whose database is gone
    #[arg(long = "tag", value_name = "TAG", requires = "table")]
    tags: Vec<String>,
    /// The lake table of the tags
    #[arg(short, long, value_name = "TABLE", requires = "tags")]
    table: Option<String>,
    #[command(flatten)]
    consent: Consent,
}

/// Print checkpoints and load states as JSON, for `state import`
#[derive(Args)]
struct Export {
    #[command(flatten)]
    tables: Tables,
    /// Write to this file instead
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

/// Put back what `state export` has written
#[derive(Args)]
struct Import {
    #[command(flatten)]
    chosen: Chosen,
    /// The file that `state export` has written
    #[arg(long, value_name = "FILE")]
    file: PathBuf,
    /// The load state of the target instead of the checkpoint in the lake
    #[arg(long)]
    target: bool,
    #[command(flatten)]
    consent: Consent,
}

// Not doc comments: clap would show them in place of the help of each command that flattens these.
// Tables that are to be named, because the command takes something from them.
#[derive(Args)]
struct Chosen {
    #[command(flatten)]
    tables: Tables,
    /// All tables of the configuration
    #[arg(long, conflicts_with = "tables")]
    all: bool,
}

#[derive(Args)]
struct Consent {
    /// Do it; without this, say what would follow and exit with 2
    #[arg(long)]
    yes: bool,
}

impl State {
    pub async fn run(&self, request: Request) -> Result<u8, Error> {
        match &self.command {
            StateCommand::Show(show) => show.run(request).await,
            StateCommand::Verify(verify) => verify.run(request).await,
            StateCommand::Repair(repair) => repair.run(request).await,
            StateCommand::Reset(reset) => reset.run(request).await,
            StateCommand::Forget(forget) => forget.run(request).await,
            StateCommand::Export(export) => export.run(request).await,
            StateCommand::Import(import) => import.run(request).await,
        }
    }
}

impl Show {
    async fn run(&self, request: Request) -> Result<u8, Error> {
        let tables = self.tables.choose(&request.config)?;
        let sync = request.unopened()?;
        let others = !self.tables.are_named();
        let states = sync.show_state(tables, others).await?;
        for error in &states.errors {
            say(&error.message);
        }
        let code = states.exit().code();
        Ok(request.output.document(&states, StatesReport::text, code))
    }
}

impl Verify {
    async fn run(&self, request: Request) -> Result<u8, Error> {
        let tables = self.tables.choose(&request.config)?;
        let sync = request.unopened()?;
        let listing = sync.verify_state(tables).await?;
        let alarm = listing.tables.iter().any(VerifyReport::is_alarming);
        let code = request.output.show(&listing, VerifyReport::text);
        Ok(code.max(u8::from(alarm)))
    }
}

impl Repair {
    async fn run(&self, request: Request) -> Result<u8, Error> {
        let tables = self.tables.choose(&request.config)?;
        let sync = request.sync().await?;
        let listing = sync.repair_state(tables, self.adopt).await?;
        let alarm = listing.tables.iter().any(RepairReport::is_alarming);
        let code = request.output.show(&listing, RepairReport::text);
        Ok(code.max(u8::from(alarm)))
    }
}

impl Reset {
    async fn run(&self, request: Request) -> Result<u8, Error> {
        let tables = self.chosen.tables(&request.config)?;
        let sync = request.sync().await?;
        let yes = self.consent.yes;
        let listing = match self.target {
            true => sync.reset_load_states(tables, yes).await?,
            false => sync.reset_checkpoints(tables, yes).await?,
        };
        Ok(changed(request.output, &listing))
    }
}

impl Forget {
    async fn run(&self, request: Request) -> Result<u8, Error> {
        let yes = self.consent.yes;
        let listing = match (&self.target, &self.table) {
            (Some(target), _) => {
                let target: TableName = target.parse().map_err(config_error)?;
                refuse_configured(&request.config, &target)?;
                request.sync().await?.forget_target(target, yes).await?
            }
            (None, Some(table)) => {
                let lake = lake_name(&request.config, table)?;
                let sync = request.sync().await?;
                sync.forget_tags(lake, self.tags.clone(), yes).await?
            }
            (None, None) => {
                return Err(config_error(
                    "name a target with --target, or tags with --table and --tag",
                ));
            }
        };
        Ok(changed(request.output, &listing))
    }
}

impl Export {
    async fn run(&self, request: Request) -> Result<u8, Error> {
        let tables = self.tables.choose(&request.config)?;
        let listing = request.sync().await?.export_state(tables).await?;
        let Some(file) = listing.tables.first() else {
            return Ok(request.output.show(&listing, |_| String::new()));
        };
        let Some(path) = &self.file else {
            let json = Output { json: true };
            return Ok(json.document(file, |_| String::new(), 0));
        };
        let cannot = |error: std::io::Error| {
            config_error(format!(
                "--file {}: cannot be written: {error}",
                path.display()
            ))
        };
        let text = serde_json::to_string_pretty(file).map_err(|error| cannot(error.into()))?;
        std::fs::write(path, text + "\n").map_err(cannot)?;
        Ok(0)
    }
}

impl Import {
    async fn run(&self, request: Request) -> Result<u8, Error> {
        let tables = self.chosen.tables(&request.config)?;
        let path = self.file.display();
        let text = std::fs::read_to_string(&self.file)
            .map_err(|error| config_error(format!("--file {path}: cannot be read: {error}")))?;
        let file = StateFile::parse(&text).map_err(|error| {
            let source = std::error::Error::source(&error).map(|source| format!(" ({source})"));
            config_error(format!(
                "--file {path}: {error}{}",
                source.unwrap_or_default()
            ))
        })?;
        let sync = request.sync().await?;
        let yes = self.consent.yes;
        let listing = match self.target {
            true => sync.import_load_states(tables, &file, yes).await?,
            false => sync.import_checkpoints(tables, &file, yes).await?,
        };
        Ok(changed(request.output, &listing))
    }
}

impl Chosen {
    fn tables(&self, config: &Config) -> Result<Vec<Table>, Error> {
        if !self.all && !self.tables.are_named() {
            return Err(config_error(
                "name the tables with --table NAME, or all of the configuration with --all",
            ));
        }
        self.tables.choose(config)
    }
}

/// Prints what was changed, or would be; then the exit code is 2.
fn changed(output: Output, listing: &Listing<StateChangeReport>) -> u8 {
    let code = output.show(listing, StateChangeReport::text);
    if !listing.tables.iter().any(StateChangeReport::is_waiting) {
        return code;
    }
    say("nothing was changed; add --yes");
    code.max(Exit::Usage.code())
}

/// A target that is still loaded has a command of its own.
fn refuse_configured(config: &Config, target: &TableName) -> Result<(), Error> {
    let name = target.to_string().to_lowercase();
    let mut tables = config.tables.iter();
    match tables.find(|table| table.target.to_string().to_lowercase() == name) {
        Some(table) => Err(config_error(format!(
            "--target {target}: table {} of the configuration is loaded into it. `icesync state reset --target --table \
             {}` lets the next load compare everything; to forget the target, remove the table from the configuration",
            table.source,
            shell_quoted(&table.source)
        ))),
        None => Ok(()),
    }
}

/// The lake table that a name means: of a table of the configuration, or of the warehouse.
fn lake_name(config: &Config, name: &str) -> Result<TableName, Error> {
    let wanted: TableName = name.parse().map_err(config_error)?;
    let mut tables = config.tables.iter();
    let found = tables.find(|table| table.source == wanted || table.lake == wanted);
    Ok(found.map_or(wanted, |table| table.lake.clone()))
}
