//! What a command that only looks has found: a report for each table, and the tables it could not look at.

use super::failure::ErrorReport;
use serde::Serialize;

/// One report a table, and the tables that could not be looked at.
#[derive(Debug, Serialize)]
pub struct Listing<T> {
    pub tables: Vec<T>,
    pub errors: Vec<ErrorReport>,
    /// What concerns the source as a whole.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Connection settings without effect. The text does not repeat them: every command says them on stderr.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub connection_warnings: Vec<String>,
    /// Of the tables with a report, those that failed in part.
    #[serde(skip)]
    pub tables_partial: usize,
}

impl<T> Listing<T> {
    /// Of a command that could not look at any table.
    pub fn failed(errors: Vec<ErrorReport>) -> Self {
        Self {
            tables: Vec::new(),
            errors,
            warnings: Vec::new(),
            connection_warnings: Vec::new(),
            tables_partial: 0,
        }
    }

    /// 0, or as a run's: 1 every table failed, 3 some did, 75 all for transient reasons.
    pub fn exit_code(&self) -> u8 {
        let all_failed = self.tables.len() == self.tables_partial;
        match (self.errors.is_empty(), all_failed) {
            (true, _) => 0,
            (false, false) => 3,
            (false, true)
                if self
                    .errors
                    .iter()
                    .all(|error| error.disposition == "transient") =>
            {
                75
            }
            (false, true) => 1,
        }
    }
}
