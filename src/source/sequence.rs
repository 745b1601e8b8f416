//! Windows of a number that only grows: `(last upper bound, highest committed]`.

use super::discover::Discovered;
use super::error::SourceError;
use super::plan::TABLE_TIMEOUT_MS;
use super::window::{Bounds, Extent, Start, watermark};
use crate::change::Window;
use crate::mssql::control::{Class, Control};
use crate::mssql::error::MssqlError;
use crate::mssql::sql::bounds;
use crate::schema::{Column, Generated};

/// The server's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Answer {
    hi: Option<String>,
    /// The checkpoint is above everything that is there.
    behind: bool,
    /// The identity is at the checkpoint or above, so rows above it were deleted rather than renumbered. If it
    /// is below, new rows have numbers that no window brings. None: that is not known.
    handed_out: Option<bool>,
}

pub(super) async fn bounds(
    control: &mut Control,
    source: &Discovered,
    column: usize,
    start: &Start,
) -> Result<Bounds, SourceError> {
    let table = &source.schema.name;
    let column = &source.schema.columns[column];
    let last = start.last().map(|last| last.text.as_str());
    let statement = bounds::sequence(table, column, last, TABLE_TIMEOUT_MS);
    let failed = |error: MssqlError| match error.number() {
        Some(1222) => SourceError::Busy {
            table: table.clone(),
            seconds: TABLE_TIMEOUT_MS / 1000,
            source: Box::new(error),
        },
        Some(_) | None => SourceError::on("asking for the highest number of", table, error),
    };
    let sets = control
        .query_sets(&statement, Class::LONG)
        .await
        .map_err(failed)?;
    let row = sets.first().and_then(|rows| rows.first());
    let row = row.ok_or_else(|| failed(MssqlError::Shape("no row".into())))?;
    let answer = Answer {
        hi: row.text_opt("hi").map_err(failed)?.map(str::to_owned),
        behind: row.int("behind").map_err(failed)? == 1,
        handed_out: row
            .int_opt("handed_out")
            .map_err(failed)?
            .map(|yes| yes == 1),
    };
    Ok(settle(column, answer, start))
}

/// Pure: the window for the highest number.
fn settle(column: &Column, answer: Answer, start: &Start) -> Bounds {
    let upper = answer.hi.map(|hi| watermark(column, hi));
    let Some(last) = start.last() else {
        return Bounds::full(upper, start);
    };
    let handed_out = answer
        .handed_out
        .filter(|_| column.generated == Generated::Identity);
    if answer.behind {
        if handed_out == Some(true) {
            return Bounds {
                why: vec![format!(
                    "rows up to {last} were read before and the newest of them are deleted: nothing is new"
                )],
                ..Bounds::of(Extent::Nothing { at: last.clone() })
            };
        }
        let reason = format!(
            "the checkpoint ({last}) is above the highest {} in the table. Was the database restored or the column \
                renumbered?",
            column.name
        );
        return Bounds::full(upper, &Start::Again(reason));
    }
    if handed_out == Some(false) {
        let reason = format!(
            "the identity {} is below the checkpoint ({last}), because it was reseeded or counts down, so new rows \
                may be below it, too",
            column.name
        );
        return Bounds::full(upper, &Start::Again(reason));
    }
    match upper {
        // Of an empty table the server says that the last bound is above everything.
        None => Bounds::full(None, start),
        Some(upper) if upper.text == last.text => Bounds::of(Extent::Nothing { at: last.clone() }),
        Some(upper) => Bounds::of(Extent::Window(Window {
            lower: last.clone(),
            upper,
            previous: last.clone(),
        })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::SqlType;
    use crate::source::discover::tests::column;

    fn answer(hi: Option<&str>, behind: bool, handed_out: Option<bool>) -> Answer {
        Answer {
            hi: hi.map(str::to_owned),
            behind,
            handed_out,
        }
    }

    #[test]
    fn deleted_newest_rows_are_not_a_restore() {
        let mut id = column(1, "id", SqlType::Int, false);
        let start = Start::From(watermark(&id, "10"));
        let next = settle(&id, answer(Some("12"), false, None), &start);
        let last = watermark(&id, "10");
        let window = Window {
            lower: last.clone(),
            upper: watermark(&id, "12"),
            previous: last.clone(),
        };
        assert_eq!(next.extent, Extent::Window(window));
        let nothing = Extent::Nothing { at: last };
        let same = settle(&id, answer(Some("10"), false, None), &start);
        assert_eq!(same.extent, nothing);
        assert!(settle(&id, answer(Some("8"), true, Some(true)), &start).is_whole());
        id.generated = Generated::Identity;
        let deleted = settle(&id, answer(None, true, Some(true)), &start);
        assert_eq!(deleted.extent, nothing);
        let reseeded = settle(&id, answer(Some("8"), true, Some(false)), &start);
        assert!(reseeded.is_whole() && reseeded.warnings.len() == 1);
        let empty = settle(&id, answer(None, false, None), &Start::First);
        assert_eq!(empty.extent, Extent::Whole { upper: None });
    }

    #[test]
    fn an_identity_below_the_last_bound_is_read_whole() {
        let mut id = column(1, "id", SqlType::Int, false);
        let start = Start::From(watermark(&id, "10"));
        let settled =
            |id: &Column, handed_out| settle(id, answer(Some("10"), false, handed_out), &start);
        // The identity of the table is another column.
        let nothing = Extent::Nothing {
            at: watermark(&id, "10"),
        };
        assert_eq!(settled(&id, Some(false)).extent, nothing);
        id.generated = Generated::Identity;
        assert_eq!(settled(&id, Some(true)).extent, nothing);
        assert_eq!(settled(&id, None).extent, nothing);
        let lower = settled(&id, Some(false));
        assert!(lower.warnings[0].contains("is below the checkpoint (10)"));
        let upper = Some(watermark(&id, "10"));
        assert_eq!(lower.extent, Extent::Whole { upper });
    }
}
