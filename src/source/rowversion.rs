//! Windows of a `rowversion` column: `[last upper bound, MIN_ACTIVE_ROWVERSION())`.

use super::discover::Discovered;
use super::error::SourceError;
use super::open::{Open, PERMISSION};
use super::origin;
use super::window::{Bounds, Extent, Start, watermark};
use crate::change::{Origin, Window};
use crate::mssql::control::Control;
use crate::mssql::environment::Environment;
use crate::mssql::error::MssqlError;
use crate::mssql::sql::bounds;
use crate::schema::Column;

/// The server's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Answer {
    /// The lowest version that an open transaction holds, or the next one.
    hi: String,
    /// The last version that was drawn.
    counter: String,
    open: Option<Open>,
}

pub(super) async fn bounds(
    control: &mut Control,
    source: &Discovered,
    column: usize,
    start: &Start,
    known: Option<&Origin>,
) -> Result<Bounds, SourceError> {
    let table = &source.schema.name;
    let environment = &source.facts.environment;
    let failed = |error| SourceError::on("asking for the lowest open row version of", table, error);
    let statement = bounds::rowversion(environment.sees_transactions);
    let rows = control.query(&statement).await.map_err(failed)?;
    let row = rows.first();
    let row = row.ok_or_else(|| failed(MssqlError::Shape("no row".into())))?;
    let answer = Answer {
        hi: row.text("hi").map_err(failed)?.to_owned(),
        counter: row.text("counter").map_err(failed)?.to_owned(),
        open: Open::found(row).map_err(failed)?,
    };
    let mut bounds = settle(&source.schema.columns[column], &answer, start, known);
    explain(&answer, environment, &mut bounds);
    bounds.counter = Some(answer.counter);
    Ok(bounds)
}

/// Says what keeps the bound from moving.
fn explain(answer: &Answer, environment: &Environment, bounds: &mut Bounds) {
    let is_held = answer.hi.to_ascii_uppercase() <= answer.counter.to_ascii_uppercase();
    bounds.notices.extend(
        answer
            .open
            .as_ref()
            .and_then(|open| open.notice(environment)),
    );
    if !is_held || environment.sees_transactions {
        return;
    }
    let text = format!(
        "an open transaction keeps the upper bound below the newest row versions; which one cannot be seen without \
            {PERMISSION}"
    );
    // Twice in a row at the same bound, it is no short transaction.
    match bounds.extent {
        Extent::Nothing { .. } => bounds.warnings.push(format!(
            "{text}. What changed since the last run is read when it ends"
        )),
        Extent::Window(_) | Extent::Again(_) | Extent::Tracked(_) | Extent::Whole { .. } => {
            bounds.why.push(text)
        }
    }
}

/// Pure: the window for a lowest open version. Both texts have the same length and case, so they order as the
/// versions do.
fn settle(column: &Column, answer: &Answer, start: &Start, known: Option<&Origin>) -> Bounds {
    let upper = watermark(column, &answer.hi);
    let Some(last) = start.last() else {
        return Bounds::full(Some(upper), start);
    };
    if origin::went_back(&answer.counter, known) {
        let reason = format!(
            "the database's last row version {} is below that of the last run, as after a restore",
            answer.counter
        );
        return Bounds::full(Some(upper), &Start::Again(reason));
    }
    if last.text.to_ascii_uppercase() > upper.text.to_ascii_uppercase() {
        let reason = format!(
            "the checkpoint ({last}) is above the database's lowest open row version ({upper}). Was the database \
                restored?"
        );
        return Bounds::full(Some(upper), &Start::Again(reason));
    }
    Bounds::of(match last.text.eq_ignore_ascii_case(&upper.text) {
        true => Extent::Nothing { at: last.clone() },
        false => Extent::Window(Window {
            lower: last.clone(),
            upper,
            previous: last.clone(),
        }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::SqlType;
    use crate::source::discover::tests::column;

    fn answer(hi: &str, counter: &str) -> Answer {
        Answer {
            hi: hi.into(),
            counter: counter.into(),
            open: None,
        }
    }

    fn settled(hi: &str, last: &str, known: Option<&Origin>) -> Bounds {
        let rv = column(1, "rv", SqlType::RowVersion, false);
        let start = Start::From(watermark(&rv, last));
        settle(&rv, &answer(hi, "0x00000000000007FF"), &start, known)
    }

    #[test]
    fn windows_follow_each_other_and_a_restore_reads_everything() {
        let rv = column(1, "rv", SqlType::RowVersion, false);
        let first = answer("0x00000000000007D1", "0x00000000000007D0");
        let first = settle(&rv, &first, &Start::First, None);
        let upper = Some(watermark(&rv, "0x00000000000007D1"));
        assert_eq!(first.extent, Extent::Whole { upper });
        let last = watermark(&rv, "0x00000000000007d9");
        let next = settled("0x00000000000007DA", "0x00000000000007d9", None);
        let window = Window {
            lower: last.clone(),
            upper: watermark(&rv, "0x00000000000007DA"),
            previous: last.clone(),
        };
        assert_eq!(next.extent, Extent::Window(window));
        let empty = settled("0x00000000000007D9", "0x00000000000007d9", None);
        assert_eq!(empty.extent, Extent::Nothing { at: last });
        let restored = settled("0x00000000000007D1", "0x00000000000007D2", None);
        assert!(restored.is_whole());
        assert!(restored.warnings[0].contains("restore"));
    }

    #[test]
    fn a_counter_that_went_back_reads_everything_whatever_the_bound() {
        let known = |counter: &str| Origin {
            counter: Some(counter.into()),
            ..Origin::default()
        };
        let at = |known: Origin| settled("0x00000000000007DA", "0x00000000000007D9", Some(&known));
        assert!(!at(known("0x00000000000007FF")).is_whole());
        let restored = at(known("0x0000000000000800"));
        assert!(restored.is_whole() && restored.warnings[0].contains("restore"));
    }

    #[test]
    fn a_bound_that_is_held_is_explained() {
        let mut environment = Environment::example();
        let held = answer("0x00000000000007D1", "0x00000000000007D9");
        let free = answer("0x00000000000007DA", "0x00000000000007D9");
        let explained = |answer: &Answer, environment: &Environment, is_empty| {
            let last = match is_empty {
                true => answer.hi.as_str(),
                false => "0x0000000000000001",
            };
            let mut bounds = settled(&answer.hi, last, None);
            explain(answer, environment, &mut bounds);
            (
                bounds.why.len(),
                bounds.warnings.len(),
                bounds.notices.len(),
            )
        };
        assert_eq!(explained(&held, &environment, true), (0, 0, 0));
        environment.sees_transactions = false;
        assert_eq!(explained(&held, &environment, false), (1, 0, 0));
        assert_eq!(explained(&held, &environment, true), (0, 1, 0));
        assert_eq!(explained(&free, &environment, true), (0, 0, 0));
        let open = Open {
            ms: 3_600_000,
            session: Some(57),
            program: None,
            is_idle: true,
        };
        let seen = Answer {
            open: Some(open),
            ..held
        };
        environment.sees_transactions = true;
        assert_eq!(explained(&seen, &environment, false), (0, 0, 1));
    }
}
