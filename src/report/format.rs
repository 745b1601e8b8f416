//! Numbers and lines that several reports write alike.

use crate::change::{Checkpoint, Strategy};
use crate::schema::drift::SchemaChange;
use std::fmt::Write as _;

/// A line for each change of columns.
pub(super) fn write_changes(out: &mut String, changes: &[SchemaChange]) {
    for change in changes {
        let _ = writeln!(out, "  schema   {change}");
    }
}

pub(super) fn write_warnings(out: &mut String, warnings: &[String]) {
    for warning in warnings {
        let _ = writeln!(out, "  warning  {warning}");
    }
}

/// How many rows of a target are in its quarantine, if any.
pub(super) fn write_in_quarantine(out: &mut String, rows: u64) {
    if rows > 0 {
        let rows = plural(rows, "row");
        let _ = writeln!(
            out,
            "           {rows} in quarantine; `icesync quarantine list` shows why"
        );
    }
}

/// Where the next extract begins, to follow the strategy of a checkpoint; nothing where a read in ranges goes on.
pub(super) fn next_extract(checkpoint: &Checkpoint) -> String {
    match (&checkpoint.watermark, checkpoint.strategy) {
        (Some(mark), _) => format!(", {} up to {mark}", mark.column),
        (None, Strategy::Full) => String::new(),
        (
            None,
            Strategy::Timestamp
            | Strategy::Sequence
            | Strategy::RowVersion
            | Strategy::ChangeTracking,
        ) => match checkpoint.backfill {
            None => ", from the beginning: the next extract reads the whole table".to_owned(),
            Some(_) => String::new(),
        },
    }
}

pub(super) fn counts(inserted: u64, updated: u64, deleted: u64) -> String {
    format!(
        "{} inserted, {} updated, {} deleted",
        thousands(inserted),
        thousands(updated),
        thousands(deleted)
    )
}

/// `1 row`, `2 rows`.
pub fn plural(count: u64, noun: &str) -> String {
    let s = if count == 1 { "" } else { "s" };
    format!("{} {noun}{s}", thousands(count))
}

/// `336776` as `336,776`.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

pub(super) fn bytes(count: u64) -> String {
    bytesize::ByteSize::b(count).display().iec().to_string()
}
