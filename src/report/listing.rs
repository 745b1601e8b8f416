//! What a command that only looks has found: a report for each table, and the tables it could not look at.

use super::exit::Exit;
use super::failure::ErrorReport;
use crate::error::Kind;
use serde::Serialize;

/// One report a table, and the tables that could not be looked at.
#[derive(Debug, Serialize)]
pub struct Listing<T> {
    pub tables: Vec<T>,
    pub errors: Vec<ErrorReport>,
    /// What concerns the source as a whole.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Connection settings without effect, or dangerous. The text does not repeat them: every command says them on
    /// stderr.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub connection_warnings: Vec<String>,
    /// Of the tables with a report, those that failed in part.
    #[serde(skip)]
    pub tables_partial: usize,
}

impl<T> Listing<T> {
    /// Of a command that could not look at any table.
    pub fn failed(errors: Vec<ErrorReport>, connection_warnings: Vec<String>) -> Self {
        Self {
            tables: Vec::new(),
            errors,
            warnings: Vec::new(),
            connection_warnings,
            tables_partial: 0,
        }
    }

    /// As of a run.
    pub fn exit(&self) -> Exit {
        let all_failed = self.tables.len() == self.tables_partial;
        let mut errors = self.errors.iter();
        match (self.errors.is_empty(), all_failed) {
            (true, _) => Exit::Done,
            (false, false) => Exit::Partial,
            (false, true) if self.errors.iter().all(|error| error.kind == Kind::Config) => {
                Exit::Usage
            }
            (false, true) if errors.all(|error| error.disposition == "transient") => {
                Exit::Transient
            }
            (false, true) => Exit::Failed,
        }
    }
}
