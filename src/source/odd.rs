//! Rows whose watermark no window will show: without one, or with one in the future.

use crate::secret::RowValue;

/// So many keys of them are listed.
pub const KEYS_MAX: usize = 10;

/// Rows with an odd watermark.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OddRows {
    pub rows: u64,
    /// Keys of some of them, where row values may be shown.
    pub keys: Vec<String>,
}

impl OddRows {
    /// What follows a sentence about them.
    pub fn list(&self) -> String {
        match self.keys.as_slice() {
            [] => String::new(),
            keys => format!(" ({})", listed(keys)),
        }
    }
}

/// Some keys, as a message shows them.
pub fn listed(keys: &[String]) -> String {
    let keys: Vec<String> = keys.iter().map(|key| RowValue(key).to_string()).collect();
    format!("keys: {}", keys.join("; "))
}

/// What to say of rows that no window will show.
pub(super) fn unseen(column: &str, nulls: &OddRows, future: &OddRows) -> Vec<String> {
    let null = (nulls.rows > 0).then(|| {
        format!(
            "{} rows have NULL in {column}: their changes are not seen until it is filled{}",
            nulls.rows,
            nulls.list()
        )
    });
    let future = (future.rows > 0).then(|| {
        format!(
            "{} rows have a {column} in the future: their changes are not seen before that time{}",
            future.rows,
            future.list()
        )
    });
    null.into_iter().chain(future).collect()
}
