//! What every command needs: the configuration, where to print, who is told of progress.

use super::output::{Output, say};
use super::progress::Progress;
use super::signals;
use super::tables::Tables;
use icesync::config::{Config, Table};
use icesync::error::Error;
use icesync::sync::{Action, Sync};
use std::sync::Arc;

/// One invocation of the command line.
pub struct Request {
    pub config: Config,
    pub output: Output,
}

impl Request {
    /// A configured icesync that shows its progress on the terminal. What it has to say of the connections is said.
    pub async fn sync(&self) -> Result<Sync, Error> {
        let sync = Sync::new(&self.config, Arc::new(Progress::new())).await?;
        Ok(warned(sync))
    }

    /// As [`Request::sync`], for a command that shows the target when the warehouse cannot be read.
    pub fn unopened(&self) -> Result<Sync, Error> {
        let sync = Sync::unopened(&self.config, Arc::new(Progress::new()))?;
        Ok(warned(sync))
    }

    /// Runs `action` on the chosen tables and prints the report. SIGTERM and Ctrl-C end it early, and well.
    pub async fn run(&self, tables: &Tables, action: Action) -> Result<u8, Error> {
        self.run_on(tables.choose(&self.config)?, action).await
    }

    /// The same on these tables.
    pub async fn run_on(&self, tables: Vec<Table>, action: Action) -> Result<u8, Error> {
        let sync = self.sync().await?;
        signals::listen(sync.stop());
        let report = sync.run(action, tables).await?;
        Ok(self.output.finish(&report))
    }
}

/// Says once for each server which of its settings have no effect.
fn warned(sync: Sync) -> Sync {
    for warning in sync.connection_warnings() {
        say(format_args!("warning: {warning}"));
    }
    sync
}
