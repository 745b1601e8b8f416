//! A part of the watermark column's order that is read once more, because somebody asks for it (`--from`, `--to`).
//!
//! Rows are missed where a promise was broken: a row came later than `overlap`, a program set a time back, a trigger
//! was disabled, the server's clock was wrong. Reading the part again repairs the lake without reading the whole table.
//!
//! **What is read.** All rows whose value lies in the part, as they are now. The part lies beneath the bound of the
//! checkpoint, or is cut there: what lies above belongs to the next window. The bound was safe when it was taken, and
//! only what is committed is read.
//!
//! **What becomes of the rows.** Each is compared with what the lake has of its key (`lake/write/compare.rs`). A mirror
//! gets those that differ, a history appends a version of each that differs from the latest one. Nothing is deleted: a
//! row that is not read may have left the part.
//!
//! **Why the next window misses nothing.** The commit keeps strategy, bound and origin of the checkpoint and gives it a
//! token of its own. The next window starts where it would have started. Another run that was computed from the same
//! checkpoint stops at its commit, or this one does.
//!
//! **Crashes.** There is one commit. Before it nothing has changed; after it the same part holds no row that differs.
//!
//! **What changes meanwhile.** A row that changes while the part is read is read before or after that, or under row
//! locks as a mixture of both. Under `rowversion` its new version lies above the bound, so the next window replaces it.
//! Under `timestamp` and `sequence` the promise of those strategies holds, as for every window.
//!
//! **Where there is no such part.** Without a checkpoint, during a read of the whole table, after a restore, and where
//! strategy or column are others now, the next extract reads everything. A part of it would tell nothing, and is
//! refused.

use super::auto::Choice;
use super::discover::Discovered;
use super::error::SourceError;
use super::plan::closed;
use super::protection;
use super::window::{Bounds, Extent, Start, watermark};
use crate::change::{Accept, Again, Checkpoint, Span, Watermark};
use crate::mssql::control::{Class, Control, Record};
use crate::mssql::error::MssqlError;
use crate::mssql::sql::span::{self, Asked};
use crate::schema::{Column, SqlType};

/// The server's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Answer {
    lower: Option<String>,
    upper: Option<String>,
    is_beyond: bool,
    is_cut: bool,
    is_crossed: bool,
}

/// Settles the part in the column's own type: one round trip. Refuses one that cannot be read again.
pub(super) async fn bounds(
    control: &mut Control,
    source: &Discovered,
    wanted: &Span,
    choice: &Choice,
    checkpoint: Option<&Checkpoint>,
    accept: Accept,
) -> Result<Bounds, SourceError> {
    let table = &source.schema.name;
    let refused = |why: String| SourceError::Span {
        table: table.clone(),
        why,
    };
    let Some(column) = choice.column else {
        return Err(refused(format!(
            "strategy {} follows no column, so no part of one can be read again. Nothing was read. Run `icesync \
             extract` without it",
            choice.strategy
        )));
    };
    let column = &source.schema.columns[column];
    let (bound, accepted) = bound(source, choice, column, checkpoint, accept)?;
    let text = |option: &'static str, given: &str| {
        literal(column.ty, given).ok_or_else(|| bad_text(source, column, option))
    };
    let from = text("--from", &wanted.from)?;
    let to = wanted
        .to
        .as_deref()
        .map(|to| text("--to", to))
        .transpose()?;
    let asked = Asked {
        from: &from,
        to: to.as_deref(),
        bound: &bound.text,
        closed: closed(choice.strategy),
    };
    let failed = |error| SourceError::on("converting --from and --to for", table, error);
    let statement = span::span(column, &asked);
    let sets = control.query_sets(&statement, Class::LONG).await;
    let answer = answer(&sets.map_err(failed)?).map_err(failed)?;
    let again = settle(column, answer, to.is_some(), bound).map_err(|wrong| match wrong {
        Wrong::Text(option) => bad_text(source, column, option),
        Wrong::Crossed => refused("--to lies below it. Nothing was read. Exchange the two".to_owned()),
        Wrong::Beyond(bound) => refused(format!(
            "it does not lie below the checkpoint ({bound}), up to which {table} was read. Nothing was read. \
             `icesync extract` without it reads what lies above"
        )),
    })?;
    let mut bounds = said(again);
    bounds.warnings.extend(accepted);
    Ok(bounds)
}

/// Where the next window starts, and what was accepted of the source.
fn bound(
    source: &Discovered,
    choice: &Choice,
    column: &Column,
    checkpoint: Option<&Checkpoint>,
    accept: Accept,
) -> Result<(Watermark, Option<String>), SourceError> {
    let known = checkpoint.and_then(|checkpoint| checkpoint.origin.as_ref());
    let (reason, accepted) = protection::moved(source, known, accept);
    let start = Start::of(choice.strategy, column, checkpoint);
    match start.unless(reason.as_deref()) {
        Start::From(bound) => Ok((bound, accepted)),
        Start::First => Err(unread(source, "no extract of it is complete")),
        Start::Again(reason) => Err(unread(source, &reason)),
    }
}

/// The part, with what a plan says of it.
fn said(again: Again) -> Bounds {
    let why = format!(
        "rows from {} to {} are read again, and those that differ from the lake are committed; the checkpoint stays at \
         {}",
        again.lower, again.upper, again.bound
    );
    let warning = again.is_cut.then(|| {
        format!(
            "--to lies above the checkpoint, so the rows are read again up to there ({}). The next extract reads what \
             lies above",
            again.bound
        )
    });
    let mut bounds = Bounds::of(Extent::Again(again));
    bounds.why.push(why);
    bounds.warnings.extend(warning);
    bounds
}

/// What is wrong with what was asked for.
#[derive(Debug, PartialEq, Eq)]
enum Wrong {
    /// The text of this option is no value of the type.
    Text(&'static str),
    Crossed,
    Beyond(Watermark),
}

fn answer(sets: &[Vec<Record>]) -> Result<Answer, MssqlError> {
    let row = sets.first().and_then(|rows| rows.first());
    let row = row.ok_or_else(|| MssqlError::Shape("no row".into()))?;
    Ok(Answer {
        lower: row.text_opt("lower")?.map(str::to_owned),
        upper: row.text_opt("upper")?.map(str::to_owned),
        is_beyond: row.int("is_beyond")? == 1,
        is_cut: row.int("is_cut")? == 1,
        is_crossed: row.int("is_crossed")? == 1,
    })
}

/// Pure: the part for the server's answer; `has_end` says whether its end was given.
fn settle(
    column: &Column,
    answer: Answer,
    has_end: bool,
    bound: Watermark,
) -> Result<Again, Wrong> {
    let lower = answer.lower.ok_or(Wrong::Text("--from"))?;
    if has_end && answer.upper.is_none() {
        return Err(Wrong::Text("--to"));
    }
    if answer.is_beyond {
        return Err(Wrong::Beyond(bound));
    }
    if answer.is_crossed {
        return Err(Wrong::Crossed);
    }
    let end = answer.upper.filter(|_| !answer.is_cut);
    Ok(Again {
        lower: watermark(column, lower),
        ends_at_bound: end.is_none(),
        upper: end.map_or_else(|| bound.clone(), |end| watermark(column, end)),
        is_cut: answer.is_cut,
        bound,
    })
}

fn unread(source: &Discovered, why: &str) -> SourceError {
    SourceError::Unread {
        table: source.schema.name.clone(),
        why: why.to_owned(),
    }
}

fn bad_text(source: &Discovered, column: &Column, option: &'static str) -> SourceError {
    SourceError::SpanText {
        table: source.schema.name.clone(),
        option,
        column: column.name.clone(),
        ty: column.ty,
        example: example(column.ty),
    }
}

/// A text as the server is asked to convert it, if it may be one of the type. An empty text would be 0 or 1900, a
/// shorter row version would be padded at its end, and an offset would be dropped where the type has none.
fn literal(ty: SqlType, given: &str) -> Option<String> {
    let given = given.trim();
    if given.is_empty() {
        return None;
    }
    match kind(ty) {
        Form::Version => {
            let digits = given
                .strip_prefix("0x")
                .or_else(|| given.strip_prefix("0X"))?;
            let is_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
            (is_hex && (1..=16).contains(&digits.len())).then(|| format!("0x{digits:0>16}"))
        }
        Form::Number => Some(given.to_owned()),
        Form::Time | Form::Instant => {
            // 2024-05-01T10:00:00Z as 2024-05-01 10:00:00 +00:00.
            let (day, rest) = match given.split_once(['T', 't']) {
                Some((day, time)) => (day, Some(time)),
                None => match given.split_once(' ') {
                    Some((day, time)) => (day, Some(time)),
                    None => (given, None),
                },
            };
            let Some(time) = rest else {
                return Some(given.to_owned());
            };
            let has_offset = time.contains(['+', '-', 'Z', 'z']);
            if kind(ty) == Form::Time && has_offset {
                return None;
            }
            let time = time.trim();
            let time = match time.strip_suffix(['Z', 'z']) {
                Some(utc) => format!("{} +00:00", utc.trim_end()),
                None => time.to_owned(),
            };
            Some(format!("{day} {time}"))
        }
    }
}

/// How values of a type are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Version,
    Number,
    Time,
    /// With an offset.
    Instant,
}

fn kind(ty: SqlType) -> Form {
    match ty {
        SqlType::RowVersion => Form::Version,
        SqlType::Date
        | SqlType::DateTime
        | SqlType::SmallDateTime
        | SqlType::DateTime2 { .. }
        | SqlType::Time { .. } => Form::Time,
        SqlType::DateTimeOffset { .. } => Form::Instant,
        // Nothing but numbers is followed otherwise.
        SqlType::Bit
        | SqlType::TinyInt
        | SqlType::SmallInt
        | SqlType::Int
        | SqlType::BigInt
        | SqlType::Decimal { .. }
        | SqlType::Numeric { .. }
        | SqlType::Money
        | SqlType::SmallMoney
        | SqlType::Real
        | SqlType::Float
        | SqlType::Char { .. }
        | SqlType::VarChar { .. }
        | SqlType::Text
        | SqlType::NChar { .. }
        | SqlType::NVarChar { .. }
        | SqlType::NText
        | SqlType::Binary { .. }
        | SqlType::VarBinary { .. }
        | SqlType::Image
        | SqlType::UniqueIdentifier
        | SqlType::Xml
        | SqlType::SqlVariant
        | SqlType::HierarchyId
        | SqlType::Geometry
        | SqlType::Geography
        | SqlType::Json
        | SqlType::Vector { .. } => Form::Number,
    }
}

fn example(ty: SqlType) -> &'static str {
    match (kind(ty), ty == SqlType::Date) {
        (Form::Version, _) => "0x00000000000007D1",
        (Form::Number, _) => "12345",
        (Form::Time, true) => "2024-05-01",
        (Form::Time, false) => "\"2024-05-01 10:00:00\"",
        (Form::Instant, _) => "\"2024-05-01 10:00:00 +02:00\"",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::discover::tests::column;

    fn answered(lower: &str, upper: Option<&str>) -> Answer {
        Answer {
            lower: Some(lower.into()),
            upper: upper.map(str::to_owned),
            is_beyond: false,
            is_cut: false,
            is_crossed: false,
        }
    }

    #[test]
    fn a_part_ends_where_it_says_or_at_the_bound() {
        let id = column(1, "id", SqlType::BigInt, false);
        let settled = |answer, has_end| settle(&id, answer, has_end, watermark(&id, "90"));
        let part = settled(answered("10", Some("20")), true).unwrap();
        assert_eq!((&*part.lower.text, &*part.upper.text), ("10", "20"));
        assert!(!part.ends_at_bound && !part.is_cut);
        let open = settled(answered("10", None), false).unwrap();
        assert_eq!(open.upper, open.bound);
        assert!(open.ends_at_bound && !open.is_cut);
        let beyond = Answer {
            is_cut: true,
            ..answered("10", Some("95"))
        };
        let cut = settled(beyond, true).unwrap();
        assert_eq!(cut.upper.text, "90");
        assert!(cut.ends_at_bound && cut.is_cut);
    }

    #[test]
    fn what_cannot_be_read_again_is_refused() {
        let id = column(1, "id", SqlType::BigInt, false);
        let settled = |answer, has_end| settle(&id, answer, has_end, watermark(&id, "90"));
        let none = Answer {
            lower: None,
            ..answered("", None)
        };
        assert_eq!(settled(none, false), Err(Wrong::Text("--from")));
        assert_eq!(settled(answered("1", None), true), Err(Wrong::Text("--to")));
        let crossed = Answer {
            is_crossed: true,
            ..answered("9", Some("1"))
        };
        assert_eq!(settled(crossed, true), Err(Wrong::Crossed));
        let beyond = Answer {
            is_beyond: true,
            ..answered("99", None)
        };
        let bound = Wrong::Beyond(watermark(&id, "90"));
        assert_eq!(settled(beyond, false), Err(bound));
    }

    #[test]
    fn texts_reach_the_server_as_it_reads_them() {
        let offset = SqlType::DateTimeOffset { scale: 3 };
        let time = SqlType::DateTime2 { scale: 3 };
        for (ty, given, expected) in [
            (SqlType::RowVersion, "0x7d1", Some("0x00000000000007d1")),
            (SqlType::RowVersion, "2001", None),
            (SqlType::RowVersion, "0x", None),
            (SqlType::RowVersion, "0x00000000000000001", None),
            (SqlType::RowVersion, "0xg", None),
            (SqlType::BigInt, " -5 ", Some("-5")),
            (SqlType::BigInt, " ", None),
            (time, "", None),
            (time, "2024-05-01", Some("2024-05-01")),
            (time, "2024-05-01T10:00:00.5", Some("2024-05-01 10:00:00.5")),
            (time, "2024-05-01 10:00:00Z", None),
            (time, "2024-05-01 10:00:00 +02:00", None),
            (
                offset,
                "2024-05-01T10:00:00Z",
                Some("2024-05-01 10:00:00 +00:00"),
            ),
            (
                offset,
                "2024-05-01 10:00:00 +02:00",
                Some("2024-05-01 10:00:00 +02:00"),
            ),
        ] {
            assert_eq!(literal(ty, given).as_deref(), expected, "{ty} {given:?}");
        }
    }
}
