//! `icesync quarantine`.

use super::output::{config_error, say};
use super::request::Request;
use super::tables::Tables;
use clap::{Args, Subcommand};
use icesync::config::Table;
use icesync::error::Error;
use icesync::report::{DiscardReport, QuarantineReport};
use icesync::sync::Action;

/// Rows that a target has refused: list them, show one, load them again, discard them
#[derive(Args)]
pub struct Quarantine {
    #[command(subcommand)]
    command: QuarantineCommand,
}

#[derive(Subcommand)]
enum QuarantineCommand {
    List(List),
    Show(Show),
    Retry(Retry),
    Discard(Discard),
}

/// List the rows in quarantine, and why they were refused
#[derive(Args)]
struct List {
    #[command(flatten)]
    tables: Tables,
}

/// Show a row in quarantine with its values
#[derive(Args)]
struct Show {
    /// The table, by its source or lake name
    #[arg(short, long, value_name = "TABLE")]
    table: String,
    /// The row's key, as `quarantine list` shows it
    #[arg(long, value_name = "KEY", allow_hyphen_values = true)]
    key: String,
}

/// Load tables with rows in quarantine again: the whole of the snapshot that the target holds. What the target
/// accepts now leaves the quarantine
#[derive(Args)]
struct Retry {
    #[command(flatten)]
    tables: Tables,
}

/// Forget rows in quarantine; the target keeps the row that it had of each key, or none
#[derive(Args)]
struct Discard {
    /// The table, by its source or lake name
    #[arg(short, long, value_name = "TABLE")]
    table: String,
    /// The row's key, as `quarantine list` shows it
    #[arg(
        long,
        value_name = "KEY",
        allow_hyphen_values = true,
        required_unless_present = "all",
        conflicts_with = "all"
    )]
    key: Option<String>,
    /// All rows of the table
    #[arg(long)]
    all: bool,
    /// Do it; without this, say what would be removed and exit with 2
    #[arg(long)]
    yes: bool,
}

impl Quarantine {
    pub async fn run(&self, request: Request) -> Result<u8, Error> {
        match &self.command {
            QuarantineCommand::List(list) => list.run(request).await,
            QuarantineCommand::Show(show) => show.run(request).await,
            QuarantineCommand::Retry(retry) => request.run(&retry.tables, Action::Retry).await,
            QuarantineCommand::Discard(discard) => discard.run(request).await,
        }
    }
}

impl List {
    async fn run(&self, request: Request) -> Result<u8, Error> {
        let tables = self.tables.choose(&request.config)?;
        let listing = request.sync().await?.quarantined(tables).await?;
        Ok(request.output.show(&listing, QuarantineReport::text))
    }
}

impl Show {
    async fn run(&self, request: Request) -> Result<u8, Error> {
        let table = one(&request, &self.table)?;
        let sync = request.sync().await?;
        let listing = sync.quarantined_row(table, &self.key).await?;
        Ok(request.output.show(&listing, QuarantineReport::text))
    }
}

impl Discard {
    async fn run(&self, request: Request) -> Result<u8, Error> {
        let table = one(&request, &self.table)?;
        let sync = request.sync().await?;
        let listing = sync
            .discard_quarantined(table, self.key.as_deref(), self.yes)
            .await?;
        let code = request.output.show(&listing, DiscardReport::text);
        if !listing.tables.iter().any(DiscardReport::is_waiting) {
            return Ok(code);
        }
        say("nothing was removed; add --yes");
        Ok(code.max(2))
    }
}

fn one(request: &Request, name: &str) -> Result<Table, Error> {
    let tables = Tables::named(name).choose(&request.config)?;
    let table = tables.into_iter().next();
    table.ok_or_else(|| config_error(format!("--table {name}: no such table")))
}
