//! What a command that only looks has found: a report for each table, and the tables it could not look at.

use super::failure::ErrorReport;
use serde::Serialize;

/// One report a table, and the tables that could not be looked at.
#[derive(Debug, Serialize)]
pub struct Listing<T> {
    pub tables: Vec<T>,
    pub errors: Vec<ErrorReport>,
}

impl<T> Listing<T> {
    /// 0, or as a run's: 1 nothing could be shown, 3 some could not, 75 all for transient reasons.
    pub fn exit_code(&self) -> u8 {
        match (self.errors.is_empty(), self.tables.is_empty()) {
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
