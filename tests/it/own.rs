//! A stand-in of a test's own, for faults that would meet other tests: logins that are refused, a server that is away.

use crate::harness::{Run, config, finish, rows, sql};
use crate::isolation::{self, Isolation};
use icesync::mssql::control::Control;
use icesync::mssql::settings::Connection;
use icesync_sandbox::{Sandbox, SandboxOptions};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// A stand-in with databases `source` and `target`, which have the row versions of the suite, and a folder.
pub struct Own {
    pub sandbox: Sandbox,
    dir: TempDir,
}

impl Own {
    /// `setup` is run in the source, a batch each.
    pub async fn new(setup: &[&str]) -> Self {
        let sandbox = Sandbox::start(SandboxOptions::default()).expect("the stand-in starts");
        let own = Self {
            sandbox,
            dir: tempfile::tempdir().expect("a folder"),
        };
        let mut master = own.connect("master").await;
        for database in ["source", "target"] {
            Isolation::of_the_suite().set(&mut master, database).await;
        }
        let mut source = own.connect("source").await;
        for batch in setup {
            sql(&mut source, batch).await;
        }
        own
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes icesync.yaml with these table entries.
    pub fn config(&self, tables: &str) {
        let entries = match Isolation::of_the_suite() {
            Isolation::ReadCommitted => {
                isolation::readable(tables, &self.sandbox.connection_string("source"))
            }
            Isolation::Snapshot | Isolation::ReadCommittedSnapshot => tables.to_owned(),
        };
        std::fs::write(self.path("icesync.yaml"), config(&entries)).expect("written");
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_icesync"));
        command
            .args(args)
            .current_dir(self.dir.path())
            .env("ICESYNC_SOURCE", self.sandbox.connection_string("source"))
            .env("ICESYNC_TARGET", self.sandbox.connection_string("target"))
            .env_remove("ICESYNC_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    pub fn run(&self, args: &[&str]) -> Run {
        finish(self.command(args).spawn().expect("icesync starts"))
    }

    pub async fn connect(&self, database: &str) -> Control {
        let text = self.sandbox.connection_string(database);
        let connection = Connection::parse(&text).expect("a connection string");
        let control = Control::connect(&connection).await;
        control.expect("the stand-in accepts the login")
    }

    /// Runs a batch.
    pub async fn sql(&self, database: &str, text: &str) {
        sql(&mut self.connect(database).await, text).await;
    }

    /// Rows of a query, cells as text.
    pub async fn rows(&self, database: &str, text: &str) -> Vec<Vec<String>> {
        rows(&mut self.connect(database).await, text).await
    }

    /// The folder of a lake table of schema `dbo`.
    pub fn lake(&self, table: &str) -> PathBuf {
        self.path("warehouse").join("dbo").join(table)
    }
}

/// The names in a folder; none where it is missing.
pub fn names(folder: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let names = entries.map(|entry| entry.expect("an entry").file_name());
    names
        .map(|name| name.to_string_lossy().into_owned())
        .collect()
}
