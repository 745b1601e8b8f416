//! Why a table failed, in every report.

use crate::error::{Disposition, Error, Kind};
use serde::Serialize;

/// Why a table failed.
#[derive(Debug, Clone, Serialize)]
pub struct ErrorReport {
    pub kind: Kind,
    pub disposition: &'static str,
    pub message: String,
}

impl ErrorReport {
    /// The report of an error, its chain in one line.
    pub fn of(error: &Error) -> Self {
        Self {
            kind: error.kind(),
            disposition: match error.disposition() {
                Disposition::Transient => "transient",
                Disposition::Definite => "definite",
                Disposition::Ambiguous => "ambiguous",
                Disposition::Interrupted => "interrupted",
            },
            message: error.report(),
        }
    }
}
