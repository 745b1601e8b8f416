//! What the report of a load says of a target that is not as the load before left it.

use super::kind::Found;
use crate::config::Table;
use crate::target::state::LoadState;

/// What to say of a target that is not the table that was loaded.
pub(super) fn found_otherwise(
    table: &Table,
    found: Found,
    before: Option<&LoadState>,
) -> Option<String> {
    let before = before.filter(|state| state.loaded().is_some())?;
    let (target, number) = (&table.target, before.sequence_number);
    match found {
        Found::There => None,
        Found::Missing => Some(format!(
            "target {target} is missing although snapshot {number} was loaded into it. It is created again and loaded \
with the whole snapshot"
        )),
        Found::Recreated => {
            let how = match table.merge.mode.has_one_row_per_key() {
                true => "is loaded and compared with the rows that it has",
                false => "is loaded, which takes an empty table",
            };
            Some(format!(
                "target {target} was recreated after snapshot {number} was loaded into it. The whole snapshot {how}"
            ))
        }
    }
}

/// What to say of an interrupted load that this one does not finish.
pub(super) fn went_past(table: &Table, before: Option<&LoadState>) -> Option<String> {
    let before = before?;
    let pending = before.pending.as_ref()?;
    Some(format!(
        "target {} was between snapshots {} and {}, because a load was interrupted between two of its steps. That load \
was not finished: this one applies in one transaction what has changed since",
        table.target, before.sequence_number, pending.sequence_number
    ))
}
