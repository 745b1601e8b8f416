//! Rows that came late: the overlap of a window has brought them.

use super::format::plural;
use crate::source::{listed, told};
use serde::Serialize;
use std::fmt::Write as _;

/// Rows that the lake did not have as they are, with a time before the last bound.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LateReport {
    pub rows: u64,
    /// How far the earliest of them lies before the last bound.
    pub latest_ms: i64,
    /// Keys of some of them, with `--show-values`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<String>,
}

impl LateReport {
    /// What two steps of one window have brought.
    pub(super) fn and(before: Option<Self>, next: Option<Self>) -> Option<Self> {
        match (before, next) {
            (Some(before), Some(next)) => Some(Self {
                rows: before.rows + next.rows,
                latest_ms: before.latest_ms.max(next.latest_ms),
                keys: [before.keys, next.keys].concat(),
            }),
            (before, next) => before.or(next),
        }
    }

    /// For a terminal.
    pub(super) fn write(&self, out: &mut String) {
        let keys = match self.keys.as_slice() {
            [] => String::new(),
            keys => format!("; {}", listed(keys)),
        };
        let _ = writeln!(
            out,
            "           {} came late: written with a time up to {} before the last bound{keys}",
            plural(self.rows, "row"),
            told(self.latest_ms)
        );
    }
}
