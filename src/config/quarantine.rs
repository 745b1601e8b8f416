//! What a load does with a row that the target refuses.

use super::variables::Complaint;
use crate::change::MergeMode;
use serde::Deserialize;

/// Rows that one load may set aside unless `max_bad_rows` says otherwise.
const ROWS: u64 = 100;
/// Rows that `max_bad_rows` may allow. Each costs a few statements, and a target that refuses more of them needs
/// repair.
const ROWS_MAX: u64 = 10_000;

/// What happens to a row that the target refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum OnBadRow {
    /// The load stops and loads nothing.
    #[default]
    Stop,
    /// The row is kept in the quarantine, and the rest is loaded.
    Quarantine,
}

/// How many rows a load may set aside; none where a refused row stops it.
pub(super) fn limit(
    on_bad_row: OnBadRow,
    max_bad_rows: Option<u64>,
    mode: MergeMode,
    at: &str,
) -> Result<Option<u64>, Complaint> {
    match (on_bad_row, mode, max_bad_rows) {
        (OnBadRow::Stop, _, None) => Ok(None),
        (OnBadRow::Stop, _, Some(_)) => Err((
            format!("{at}.merge.max_bad_rows"),
            "has no use with `on_bad_row: stop`; remove it, or set `on_bad_row: quarantine`".into(),
        )),
        (OnBadRow::Quarantine, MergeMode::Append | MergeMode::Replace, _) => Err((
            format!("{at}.merge.on_bad_row"),
            "quarantine knows rows by their key, which takes mode upsert; set `mode: upsert`, or `on_bad_row: stop`"
                .into(),
        )),
        (OnBadRow::Quarantine, MergeMode::History | MergeMode::Scd2, _) => Err((
            format!("{at}.merge.on_bad_row"),
            format!(
                "quarantine knows rows by their key, and mode {} loads many versions of one; set `on_bad_row: stop`",
                mode.name()
            ),
        )),
        (OnBadRow::Quarantine, MergeMode::Upsert, rows) => match rows.unwrap_or(ROWS) {
            rows @ 1..=ROWS_MAX => Ok(Some(rows)),
            _ => Err((
                format!("{at}.merge.max_bad_rows"),
                format!("must be between 1 and {ROWS_MAX}"),
            )),
        },
    }
}
