//! Cutting a large window into steps, each of which is read and committed on its own.
//!
//! A window of many million rows, as after an outage of days, is read for a long time. In one commit, a run that is
//! killed shortly before its end has nothing, and its transaction keeps row versions on the server from beginning to
//! end. So a window of more than `commit_rows` rows is cut at values of its column, `lower < c1 < c2 < .. < upper`.
//! Each step is a window of its own, `[lower, c1)`, `[c1, c2)` and so on, read in a transaction of its own. Its rows
//! and a checkpoint whose bound is the step's upper one are one commit. A kill between two commits leaves what a run
//! over the shorter window would have left, and the next run goes on from there.
//!
//! # Why no row is lost
//!
//! - *Every step ends at the window's bound or beneath it.* The window is closed before the first step is read, at a
//!   bound that is safe for open transactions (see `source.rs`). What is safe at the window's bound is safe at each
//!   lower one, so each step's bound may stand in a checkpoint.
//! - *A cut lies between different values.* Rows with one value are in one step, however many they are: a step is as
//!   much longer as that takes.
//! - *A row that changes between two steps.* Under `rowversion` it gets a version above the window's bound: the
//!   next window has it, whether its old version was in a step that was read or in one that was not. Under
//!   `timestamp` its new time may lie anywhere. In a step that is yet to be read, or above the bound, it is read
//!   there. In a step that was read it is left to the next window, which begins `overlap` before this window's bound.
//!   The change commits after this window was closed, so that reaches back to every row that commits within `overlap`
//!   of its own time: the same promise as without steps. After a kill the next window begins `overlap` before a
//!   step's end, which is earlier. Under `sequence` an update is never seen, and a late insert into a step that is
//!   yet to be read is read.
//! - *A row that is deleted between two steps* is read or not, as if the window were read at another moment.
//!
//! What differs from one commit: the steps see several states of the table. A target that is loaded between two steps
//! has the changes of the first and not yet those of the second. A row whose time or number is set *back*, from a step
//! that is yet to be read into one that was, is in no step. Under `timestamp` the next window has it as far back as
//! `overlap` reaches. One commit would have had its old values. `commit_rows: 0` makes one commit of each window.
//!
//! # Why no version is there twice
//!
//! No step begins below the one before it, and no commit is made from a checkpoint but that of the step before. A row
//! is in two steps only if it changed in between, and then it is two versions. A version that is replaced before its
//! step is read is in no step, as one that is replaced between two runs is in no window. What a step brings that the
//! history has already, such as rows of the overlap, is compared with the lake as in any window.
//!
//! # Overlap
//!
//! The overlap is read with the first step, and its rows do not count: cuts lie above the last bound. So no step moves
//! the checkpoint back, and a run that is killed after each first step still gets on, also where the overlap holds more
//! than `commit_rows` rows. A window that ends below the last bound has no cuts. Later steps begin at the cut, without
//! an overlap: what commits late into a step that was read is left to the next window.
//!
//! # Commits
//!
//! Each commit has a token of its own, and names the one before as its base: another run that reads the same window
//! stops at its next commit, and so does this one if the other was first. The last commit has the run's id, the others
//! name it in their summaries. All checkpoints have the `origin` that was found before the first step (fork, counter,
//! storage), so what moves between two steps is found by the next run. A step with nothing new still moves the
//! checkpoint, unless it is the last one. Only the last snapshot is tagged for the load that follows. A load that comes
//! in between takes the newest snapshot; one that comes later applies several at once.
//!
//! # What cutting costs
//!
//! The cuts are asked for in one statement that ranks the values of the column, and nothing else of the rows. The steps
//! are then read without an order. One ordered read would need the index, or a sort of whole rows in tempdb, and would
//! hold its transaction through every commit.
//!
//! | | finding the cuts | each step |
//! |---|---|---|
//! | an index begins with the column | a scan of the window in the index | a seek |
//! | none | a scan of the table, and a sort of one column of the window | a scan of the table |
//!
//! So the question is asked only where a window may be that large:
//!
//! - The table has more than `commit_rows` rows.
//! - `rowversion`: more versions than that were drawn in the database since the last bound. Versions are unique, so
//!   fewer versions are fewer rows, and small windows cost nothing, with an index or without.
//! - `timestamp` and `sequence`: an index begins with the column. Without one each run would scan the table once more,
//!   to find that little has changed. Such windows are read in one piece, and the plan says so.
//!
//! - A log of changed keys (`tracked`): the bound has counted them. Rows that are gone count, too.
//!
//! A wrong cut costs balance, never rows, so it does not matter in which state of the table it was found.
//!
//! # How many
//!
//! At most a hundred: of more cuts, every k-th is taken, and the plan says so. The plan of a step is made when its turn
//! comes.

use super::auto::Choice;
use super::discover::Discovered;
use super::error::SourceError;
use super::isolation::{LOCK_TIMEOUT_MS, Reading};
use super::plan::closed;
use super::tracked::position;
use super::window::{Bounds, Changes, Extent, watermark};
use crate::change::{Strategy, Watermark, Window};
use crate::mssql::control::{Class, Control};
use crate::mssql::sql::read::{self, Closed, Range};
use crate::mssql::sql::tracked::{self, Positions};

/// Steps of one window at most. `commit_rows` may be as small as 1,000 and a window as large as the table. Each step is
/// a commit, whose snapshot every later metadata file names. A target lags by all of them until its load, and of a
/// target that lags by too many, snapshots in between expire (`lake/maintain/expire.rs`).
const STEPS_MAX: usize = 100;

/// Whether it is worth asking where to cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Worth {
    /// The window cannot have so many rows.
    Small,
    /// It may have, and finding out would cost every run a scan of the table.
    Dear,
    Asking,
}

/// Where a window is cut, ascending and between its bounds; nowhere if it has at most `commit_rows` rows, or where
/// finding out costs too much. At most one statement.
pub(super) async fn cuts(
    control: &mut Control,
    source: &Discovered,
    choice: &Choice,
    reading: &Reading,
    commit_rows: u64,
    bounds: &mut Bounds,
) -> Result<Vec<Watermark>, SourceError> {
    match &bounds.extent {
        Extent::Whole { .. } | Extent::Again(_) | Extent::Nothing { .. } => Ok(Vec::new()),
        Extent::Tracked(changes) => {
            let asked = (reading, commit_rows);
            let (cuts, why) = tracked_cuts(control, source, changes, asked).await?;
            bounds.why.extend(why);
            Ok(cuts)
        }
        Extent::Window(_) => {
            window_cuts(control, source, choice, reading, commit_rows, bounds).await
        }
    }
}

/// The same for the window of a column.
async fn window_cuts(
    control: &mut Control,
    source: &Discovered,
    choice: &Choice,
    reading: &Reading,
    commit_rows: u64,
    bounds: &mut Bounds,
) -> Result<Vec<Watermark>, SourceError> {
    let (Extent::Window(window), Some(column)) = (&bounds.extent, choice.column) else {
        return Ok(Vec::new());
    };
    let table = &source.schema.name;
    let name = &source.schema.columns[column].name;
    match worth(source, choice.strategy, column, window, commit_rows) {
        Worth::Small => return Ok(Vec::new()),
        Worth::Dear => {
            bounds.why.push(format!(
                "one commit, however many rows there are: no index begins with {name}, so finding where to cut the \
                 window would scan the table once more"
            ));
            return Ok(Vec::new());
        }
        Worth::Asking => {}
    }
    let range = Range {
        column,
        lower: &window.previous.text,
        upper: &window.upper.text,
        closed: closed(choice.strategy),
    };
    let failed = |error| SourceError::on("asking where to cut the window of", table, error);
    let asked = read::step_marks(
        &source.schema,
        &range,
        commit_rows,
        reading.count,
        LOCK_TIMEOUT_MS,
    );
    let sets = control.query_sets(&asked, Class::LONG).await;
    let sets = sets.map_err(failed)?;
    let mut marks = Vec::new();
    for row in sets.first().into_iter().flatten() {
        let mark = row.text("mark").map_err(failed)?;
        marks.push(watermark(&source.schema.columns[column], mark));
    }
    let (cuts, thinned) = thin(between(marks, range.closed));
    if !cuts.is_empty() {
        bounds.why.push(format!(
            "the window has more than {commit_rows} rows, so they are committed in {} steps{}{}",
            cuts.len() + 1,
            match thinned {
                1 => String::new(),
                times => format!(
                    " of about {} rows each, because a window has at most {STEPS_MAX} steps",
                    commit_rows.saturating_mul(times)
                ),
            },
            match source.is_led_by_index(column) {
                true => String::new(),
                false => format!(
                    "; no index begins with {name}, so each of them scans the table (`commit_rows: 0` scans it once, \
                     in one commit)"
                ),
            }
        ));
    }
    Ok(cuts)
}

/// The same for the window of a log, whose keys were counted with its bound. Why it is cut, where it is.
async fn tracked_cuts(
    control: &mut Control,
    source: &Discovered,
    changes: &Changes,
    (reading, commit_rows): (&Reading, u64),
) -> Result<(Vec<Watermark>, Option<String>), SourceError> {
    let Window { lower, upper, .. } = &changes.window;
    let (Some(first), false) = (
        position(lower),
        commit_rows == 0 || changes.keys <= commit_rows,
    ) else {
        return Ok((Vec::new(), None));
    };
    let table = &source.schema;
    let failed = |error| SourceError::on("asking where to cut the window of", &table.name, error);
    let window = Positions {
        lower: first,
        upper: position(upper),
    };
    let asked = tracked::step_marks(table, window, commit_rows, reading.count, LOCK_TIMEOUT_MS);
    let sets = control.query_sets(&asked, Class::LONG).await;
    let sets = sets.map_err(failed)?;
    let mut marks = Vec::new();
    for row in sets.first().into_iter().flatten() {
        marks.push(Watermark {
            text: row.int("mark").map_err(failed)?.to_string(),
            ..upper.clone()
        });
    }
    let (cuts, _) = thin(between(marks, Closed::Above));
    let why = (!cuts.is_empty()).then(|| {
        format!(
            "{} keys have changed, so their rows are committed in {} steps, cut between transactions",
            changes.keys,
            cuts.len() + 1
        )
    });
    Ok((cuts, why))
}

/// Pure: whether a window may have more than `commit_rows` rows, and what it costs to know.
fn worth(
    source: &Discovered,
    strategy: Strategy,
    column: usize,
    window: &Window,
    commit_rows: u64,
) -> Worth {
    let rows = source.facts.row_estimate;
    if commit_rows == 0 || rows.is_some_and(|rows| rows <= commit_rows) {
        return Worth::Small;
    }
    match (strategy, source.is_led_by_index(column)) {
        // A log counts its keys itself.
        (Strategy::Full | Strategy::ChangeTracking, _) => Worth::Small,
        (Strategy::RowVersion, _) if versions(window) <= commit_rows => Worth::Small,
        (Strategy::RowVersion, _) | (Strategy::Timestamp | Strategy::Sequence, true) => {
            Worth::Asking
        }
        (Strategy::Timestamp | Strategy::Sequence, false) => Worth::Dear,
    }
}

/// How many row versions lie in a window.
fn versions(window: &Window) -> u64 {
    let number = |mark: &Watermark| {
        let digits = mark.text.get(2..).unwrap_or_default();
        u64::from_str_radix(digits, 16).ok()
    };
    match (number(&window.previous), number(&window.upper)) {
        (Some(previous), Some(upper)) => upper.saturating_sub(previous),
        (None, _) | (_, None) => u64::MAX,
    }
}

/// The cuts between steps: where windows end below their bound, the lowest value of each step but the first; else the
/// highest of each but the last.
fn between(mut marks: Vec<Watermark>, closed: Closed) -> Vec<Watermark> {
    match closed {
        Closed::Below => {
            marks.drain(..marks.len().min(1));
        }
        Closed::Above | Closed::Both => {
            marks.pop();
        }
    }
    marks
}

/// Every k-th cut, so that there are at most [`STEPS_MAX`] steps, and k. Each cut lies between different values, so
/// each selection of them does, too.
fn thin(cuts: Vec<Watermark>) -> (Vec<Watermark>, u64) {
    let times = (cuts.len() + 1).div_ceil(STEPS_MAX);
    let kept = cuts.into_iter().skip(times - 1).step_by(times).collect();
    (kept, times as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{Column, SqlType};
    use crate::source::discover::tests::{column, index, table};

    fn source(rows: Option<u64>, led: bool) -> Discovered {
        let mut source = table(
            vec![
                column(1, "id", SqlType::Int, false),
                column(2, "rv", SqlType::RowVersion, false),
            ],
            match led {
                true => vec![index(true, true, &[1]), index(false, false, &[2])],
                false => vec![index(true, true, &[1])],
            },
        );
        source.facts.row_estimate = rows;
        source
    }

    fn window(column: &Column, previous: &str, upper: &str) -> Window {
        Window {
            lower: watermark(column, previous),
            upper: watermark(column, upper),
            previous: watermark(column, previous),
        }
    }

    #[test]
    fn it_is_asked_only_where_the_window_may_be_large_and_asking_is_cheap() {
        let rv = column(2, "rv", SqlType::RowVersion, false);
        let few = window(&rv, "0x0000000000000100", "0x00000000000001C8");
        let many = window(&rv, "0x0000000000000100", "0x0000000000010000");
        for (rows, led, strategy, window, commit_rows, expected) in [
            (
                Some(9_000),
                true,
                Strategy::RowVersion,
                &many,
                1_000,
                Worth::Asking,
            ),
            (
                Some(9_000),
                false,
                Strategy::RowVersion,
                &many,
                1_000,
                Worth::Asking,
            ),
            // Of a view nothing is counted.
            (
                None,
                false,
                Strategy::RowVersion,
                &many,
                1_000,
                Worth::Asking,
            ),
            (
                Some(9_000),
                true,
                Strategy::RowVersion,
                &few,
                1_000,
                Worth::Small,
            ),
            (
                Some(9_000),
                true,
                Strategy::RowVersion,
                &few,
                199,
                Worth::Asking,
            ),
            (
                Some(9_000),
                true,
                Strategy::RowVersion,
                &few,
                200,
                Worth::Small,
            ),
            (
                Some(1_000),
                true,
                Strategy::RowVersion,
                &many,
                1_000,
                Worth::Small,
            ),
            (
                Some(9_000),
                true,
                Strategy::RowVersion,
                &many,
                0,
                Worth::Small,
            ),
            (
                Some(9_000),
                true,
                Strategy::Timestamp,
                &few,
                1_000,
                Worth::Asking,
            ),
            (
                Some(9_000),
                false,
                Strategy::Timestamp,
                &few,
                1_000,
                Worth::Dear,
            ),
            (
                Some(1_000),
                false,
                Strategy::Timestamp,
                &few,
                1_000,
                Worth::Small,
            ),
            (
                Some(9_000),
                true,
                Strategy::Sequence,
                &few,
                1_000,
                Worth::Asking,
            ),
            (
                Some(9_000),
                false,
                Strategy::Sequence,
                &few,
                1_000,
                Worth::Dear,
            ),
        ] {
            let found = worth(&source(rows, led), strategy, 1, window, commit_rows);
            assert_eq!(found, expected, "{rows:?} {led} {strategy} {commit_rows}");
        }
    }

    #[test]
    fn steps_meet_at_the_cuts_and_the_outer_ends_are_the_window_s() {
        let id = column(1, "id", SqlType::Int, false);
        let marks = |texts: &[&str]| -> Vec<Watermark> {
            texts.iter().map(|text| watermark(&id, *text)).collect()
        };
        for (found, closed, expected) in [
            (&["1", "11", "21"][..], Closed::Below, &["11", "21"][..]),
            (&["10", "20", "25"][..], Closed::Above, &["10", "20"][..]),
            (&["7"][..], Closed::Below, &[][..]),
            (&["7"][..], Closed::Above, &[][..]),
            (&[][..], Closed::Below, &[][..]),
            (&[][..], Closed::Above, &[][..]),
        ] {
            assert_eq!(between(marks(found), closed), marks(expected), "{found:?}");
        }
    }

    #[test]
    fn there_are_at_most_a_hundred_steps_of_about_equal_size() {
        let id = column(1, "id", SqlType::Int, false);
        for steps in [
            1_usize, 2, 99, 100, 101, 199, 200, 201, 1_000, 10_000, 12_345,
        ] {
            let at = |step: usize| watermark(&id, step.to_string());
            let (kept, times) = thin((1..steps).map(at).collect());
            let k = usize::try_from(times).unwrap();
            assert_eq!(k, steps.div_ceil(STEPS_MAX), "{steps}");
            assert_eq!(kept.len() + 1, steps.div_ceil(k), "{steps}");
            assert!(kept.len() < STEPS_MAX, "{steps}: {}", kept.len());
            // Each step has so many of the former ones, and the last one what is left.
            let expected: Vec<Watermark> = (1..=kept.len()).map(|step| at(step * k)).collect();
            assert_eq!(kept, expected, "{steps}");
        }
    }
}
