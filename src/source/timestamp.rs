//! Windows of a timestamp: `[last upper bound - overlap, now - lag)`, computed by the server in the column's own type.

use super::clock::{self, Newest};
use super::discover::Discovered;
use super::error::SourceError;
use super::isolation::{LOCK_TIMEOUT_MS, Reading};
use super::notice::Notice;
use super::odd::{KEYS_MAX, OddRows, unseen};
use super::open::{Open, PERMISSION};

use super::window::{Bounds, Extent, Start, watermark};
use crate::change::{ChangeOptions, Clock, Window};
use crate::mssql::control::{Class, Control, Record};
use crate::mssql::error::MssqlError;
use crate::mssql::sql::bounds::{self, Count, ServerClock, TimestampBounds};
use crate::mssql::sql::odd;
use crate::schema::{Column, SqlType};
use crate::secret::values_are_shown;
use chrono::Utc;
use std::time::Duration;

/// A clock that went back by at most this may be a change to winter time or a correction; the window is read again
/// from there. By more, the checkpoint belongs to another database or clock.
const CLOCK_BACK_MS_MAX: i64 = 2 * 3_600_000;

/// The server's answer, all times as text of style 121.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Answer {
    hi: String,
    lower_from_last: Option<String>,
    lower_from_hi: String,
    /// Last bound minus (now minus lag).
    ahead_ms: Option<i64>,
    /// Local time minus UTC.
    offset_minutes: i64,
    sees_transactions: bool,
    open: Option<Open>,
    /// Times beyond it lie in the future.
    future: String,
    utc: String,
    nulls: OddRows,
    in_future: OddRows,
    /// Of the newest value.
    newest: Option<Newest>,
}

pub(super) async fn bounds(
    control: &mut Control,
    source: &Discovered,
    at: usize,
    start: &Start,
    options: &ChangeOptions,
    reading: &Reading,
) -> Result<Bounds, SourceError> {
    let table = &source.schema.name;
    let led = source.is_led_by_index(at);
    let column = &source.schema.columns[at];
    let count = counted(led, start, reading.count);
    let environment = &source.facts.environment;
    let asked = TimestampBounds {
        table,
        column,
        clock: match options.clock {
            Clock::Auto => ServerClock::Earlier,
            Clock::Utc => ServerClock::Utc,
            Clock::Local => ServerClock::Local,
        },
        lag_ms: ms(options.lag) + rounding_ms(column.ty),
        overlap_ms: ms(options.overlap) + rounding_ms(column.ty),
        last: start.last().map(|last| last.text.as_str()),
        count,
        sees_transactions: environment.sees_transactions,
    };
    let statement = bounds::timestamp(&asked, LOCK_TIMEOUT_MS);
    let failed = |error| SourceError::on("asking for the time bounds of", table, error);
    let before = Utc::now();
    let sets = control
        .query_sets(&statement, Class::LONG)
        .await
        .map_err(failed)?;
    let mut answer = answer(&sets).map_err(failed)?;
    let skewed = clock::skewed(&answer.utc, (before, Utc::now()), options.lag);
    list(control, source, at, &mut answer, count).await?;
    let notice = answer.open.as_ref();
    let notice = notice.and_then(|open| open.notice(environment));
    let in_memory = source.facts.is_memory_optimized;
    let mut bounds = settle(column, answer, start, options, in_memory);
    bounds.notices.extend(notice);
    bounds.notices.extend(skewed.map(|text| Notice {
        about: "clock",
        text,
    }));
    Ok(bounds)
}

/// Lists keys of the rows that were counted, where row values may be shown: one round trip, by the index.
async fn list(
    control: &mut Control,
    source: &Discovered,
    at: usize,
    answer: &mut Answer,
    count: Count,
) -> Result<(), SourceError> {
    let counted = answer.nulls.rows + answer.in_future.rows;
    if counted == 0 || source.schema.key.is_none() || !values_are_shown() {
        return Ok(());
    }
    let failed = |error| SourceError::on("listing rows of", &source.schema.name, error);
    let asked = (at, answer.future.as_str());
    let statement = odd::odd_rows(&source.schema, asked, KEYS_MAX, count, LOCK_TIMEOUT_MS);
    let sets = control.query_sets(&statement, Class::LONG).await;
    let sets = sets.map_err(failed)?;
    for (odd, rows) in [&mut answer.nulls, &mut answer.in_future]
        .into_iter()
        .zip(&sets)
    {
        for row in rows {
            odd.keys
                .push(row.text("row_key").map_err(failed)?.to_owned());
        }
    }
    Ok(())
}

/// What is counted by the server. A whole read counts the rows that it meets, and without an index counting would read
/// the whole table.
fn counted(led: bool, start: &Start, possible: Count) -> Count {
    match (led, start.last()) {
        (true, Some(_)) => possible,
        (true, None) | (false, _) => Count::Nothing,
    }
}

fn answer(sets: &[Vec<Record>]) -> Result<Answer, MssqlError> {
    let row = sets
        .first()
        .and_then(|rows| rows.first())
        .ok_or_else(|| MssqlError::Shape("no row".into()))?;
    let counts = sets.get(1).and_then(|rows| rows.first());
    let count = |name: &str| {
        let rows = match counts {
            Some(row) => row.int_opt(name)?.and_then(|rows| u64::try_from(rows).ok()),
            None => None,
        };
        Ok::<_, MssqlError>(OddRows {
            rows: rows.unwrap_or_default(),
            keys: Vec::new(),
        })
    };
    Ok(Answer {
        hi: row.text("hi")?.to_owned(),
        lower_from_last: row.text_opt("lower_from_last")?.map(str::to_owned),
        lower_from_hi: row.text("lower_from_hi")?.to_owned(),
        ahead_ms: row.int_opt("ahead_ms")?,
        offset_minutes: row.int("offset_minutes")?,
        sees_transactions: row.int_opt("sees_transactions")? == Some(1),
        open: Open::found(row)?,
        future: row.text("future")?.to_owned(),
        utc: row.text("utc")?.to_owned(),
        nulls: count("null_rows")?,
        in_future: count("future_rows")?,
        newest: counts.map(newest).transpose()?.flatten(),
    })
}

/// None where the column has no value but in the future.
fn newest(row: &Record) -> Result<Option<Newest>, MssqlError> {
    let behind = (
        row.int_opt("behind_utc_ms")?,
        row.int_opt("behind_local_ms")?,
    );
    Ok(match behind {
        (Some(behind_utc_ms), Some(behind_local_ms)) => Some(Newest {
            behind_utc_ms,
            behind_local_ms,
        }),
        (None, _) | (_, None) => None,
    })
}

/// Whether one time is before another, both as text of one type in style 121. With offsets the text orders otherwise
/// than the instants do: after the server's offset has dropped, a later instant has an earlier text.
fn is_earlier(a: &str, b: &str) -> bool {
    let instant = |text| chrono::DateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f %:z");
    match (instant(a), instant(b)) {
        (Ok(a), Ok(b)) => a < b,
        (Ok(_) | Err(_), _) => a < b,
    }
}

/// Pure: the window for the server's answer.
fn settle(
    column: &Column,
    answer: Answer,
    start: &Start,
    options: &ChangeOptions,
    in_memory: bool,
) -> Bounds {
    let upper = watermark(column, &answer.hi);
    let mut bounds = match (start.last(), &answer.lower_from_last) {
        (Some(last), Some(from_last)) => {
            let ahead = answer.ahead_ms.unwrap_or(0);
            if ahead > CLOCK_BACK_MS_MAX {
                let reason = format!(
                    "the checkpoint ({last}) is {} minutes ahead of the server's clock. Was the server or \
                        `change.clock` changed?",
                    ahead / 60_000
                );
                Bounds::full(Some(upper), &Start::Again(reason))
            } else {
                let lower = if ahead > 0 || is_earlier(&answer.lower_from_hi, from_last) {
                    &answer.lower_from_hi
                } else {
                    from_last
                };
                Bounds::of(Extent::Window(Window {
                    lower: watermark(column, lower),
                    upper,
                    previous: last.clone(),
                }))
            }
        }
        (Some(_) | None, _) => Bounds::full(Some(upper), start),
    };
    bounds.future = Some(watermark(column, &answer.future));
    bounds.why.push(held_back(&answer, options, in_memory));
    explain(column, &answer, options, in_memory, &mut bounds);
    bounds
}

/// What the upper bound stays behind.
fn held_back(answer: &Answer, options: &ChangeOptions, in_memory: bool) -> String {
    let rest = match (in_memory, answer.sees_transactions) {
        (true, _) => String::new(),
        (false, true) => " and behind the oldest open transaction that has written".to_owned(),
        (false, false) => format!(
            "; open transactions cannot be seen without {PERMISSION}, so only lag and overlap cover them"
        ),
    };
    format!(
        "the upper bound stays {:?} behind the server's clock{rest}",
        options.lag
    )
}

fn explain(
    column: &Column,
    answer: &Answer,
    options: &ChangeOptions,
    in_memory: bool,
    bounds: &mut Bounds,
) {
    let name = &column.name;
    if in_memory {
        bounds.warnings.push(
            "transactions that write to a memory-optimized table cannot be seen before they commit: make change.lag or \
                change.overlap longer than the longest of them"
                .to_owned(),
        );
    }
    let has_offset = matches!(column.ty, SqlType::DateTimeOffset { .. });
    if options.clock == Clock::Auto && !has_offset && answer.offset_minutes.abs() > 1 {
        bounds.warnings.push(format!(
            "the server's local time differs from UTC by {} minutes and {name} does not say which it holds: the \
                earlier one bounds the window, \
so rows may be seen that much later; set change.clock to utc or local",
            answer.offset_minutes
        ));
    }
    let mistaken = answer
        .newest
        .filter(|_| !has_offset && column.ty != SqlType::Date)
        .and_then(|newest| clock::mistaken(name, options.clock, newest, answer.offset_minutes));
    bounds.warnings.extend(mistaken);
    if column.ty == SqlType::Date {
        bounds.warnings.push(format!(
            "{name} is a date: rows of a day are read when the day is over"
        ));
    }
    bounds
        .warnings
        .extend(unseen(name, &answer.nulls, &answer.in_future));
}

fn ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// Twice the type's unit: conversion to it rounds to the nearest, for bounds and for the values that applications
/// write. `date` truncates.
fn rounding_ms(ty: SqlType) -> i64 {
    match ty {
        SqlType::SmallDateTime => 120_000,
        SqlType::DateTime => 7,
        SqlType::DateTime2 { scale } | SqlType::DateTimeOffset { scale } => match scale {
            0 => 2_000,
            1 => 200,
            2 => 20,
            3.. => 2,
        },
        SqlType::Date
        | SqlType::Time { .. }
        | SqlType::Bit
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
        | SqlType::RowVersion
        | SqlType::Xml
        | SqlType::SqlVariant
        | SqlType::HierarchyId
        | SqlType::Geometry
        | SqlType::Geography
        | SqlType::Json
        | SqlType::Vector { .. } => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_compared_whatever_their_offsets() {
        let summer = "2024-10-27 09:55:00.0000000 +02:00";
        let winter = "2024-10-27 09:25:00.0000000 +01:00";
        assert!(is_earlier(summer, winter) && !is_earlier(winter, summer));
        assert!(is_earlier(
            "2024-10-27 09:55:00.123",
            "2024-10-27 09:55:00.124"
        ));
        assert!(is_earlier(
            "0001-01-01 00:00:00 +00:00",
            "9999-12-31 23:59:59 +00:00"
        ));
    }

    use crate::source::discover::tests::column;

    fn answer(ahead_ms: Option<i64>) -> Answer {
        Answer {
            hi: "2024-05-01 10:00:00.000".into(),
            lower_from_last: ahead_ms.map(|_| "2024-05-01 09:50:00.000".into()),
            lower_from_hi: "2024-05-01 09:55:00.000".into(),
            ahead_ms,
            offset_minutes: 0,
            sees_transactions: true,
            open: None,
            future: "2024-05-01 10:05:05.000".into(),
            utc: "2024-05-01 10:00:05.000".into(),
            newest: None,
            nulls: OddRows::default(),
            in_future: OddRows::default(),
        }
    }

    fn settled(answer: Answer) -> Bounds {
        let ts = column(1, "modified_at", SqlType::DateTime, true);
        let start = match answer.ahead_ms {
            Some(_) => Start::From(watermark(&ts, "2024-05-01 09:55:00.000")),
            None => Start::First,
        };
        settle(&ts, answer, &start, &ChangeOptions::default(), false)
    }

    fn lower(bounds: &Bounds) -> &str {
        match &bounds.extent {
            Extent::Window(window) => &window.lower.text,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_window_starts_an_overlap_before_the_last_bound() {
        let bounds = settled(answer(Some(-300_000)));
        assert_eq!(lower(&bounds), "2024-05-01 09:50:00.000");
        assert!(bounds.warnings.is_empty());
        assert!(settled(answer(None)).is_whole());
    }

    #[test]
    fn a_clock_that_went_back_a_little_reads_again_and_a_lot_reads_everything() {
        let bounds = settled(answer(Some(3_600_000)));
        assert_eq!(lower(&bounds), "2024-05-01 09:55:00.000");
        let bounds = settled(answer(Some(CLOCK_BACK_MS_MAX + 1)));
        assert!(bounds.is_whole() && bounds.warnings[0].contains("ahead of the server's clock"));
    }

    #[test]
    fn an_old_open_transaction_pulls_the_window_back() {
        let mut held = answer(Some(-300_000));
        held.open = Some(Open {
            ms: 3_600_000,
            session: Some(57),
            program: Some("billing".into()),
            is_idle: true,
        });
        held.lower_from_hi = "2024-05-01 08:55:00.000".into();
        let bounds = settled(held);
        assert_eq!(lower(&bounds), "2024-05-01 08:55:00.000");
        assert!(bounds.warnings.is_empty());
    }

    #[test]
    fn writers_to_a_memory_optimized_table_are_said_not_to_be_seen() {
        let ts = column(1, "modified_at", SqlType::DateTime, true);
        let settled = |in_memory| {
            let options = ChangeOptions::default();
            settle(&ts, answer(None), &Start::First, &options, in_memory)
        };
        let waits = |bounds: &Bounds| bounds.why.iter().any(|why| why.contains("transaction"));
        let (on_disk, in_memory) = (settled(false), settled(true));
        assert!(waits(&on_disk) && on_disk.warnings.is_empty());
        assert!(!waits(&in_memory) && in_memory.warnings[0].contains("change.lag"));
    }

    #[test]
    fn the_server_counts_by_an_index_or_not_at_all() {
        let ts = column(1, "modified_at", SqlType::DateTime, true);
        let from = Start::From(watermark(&ts, "2024-05-01 09:55:00.000"));
        let again = Start::Again("another type".into());
        for (led, start, expected) in [
            (true, &from, Count::Snapshot),
            (false, &from, Count::Nothing),
            (true, &Start::First, Count::Nothing),
            (true, &again, Count::Nothing),
        ] {
            assert_eq!(counted(led, start, Count::Snapshot), expected);
        }
    }

    #[test]
    fn what_windows_cannot_see_is_said() {
        let mut seen = answer(Some(-1));
        seen.nulls.rows = 3;
        seen.in_future.rows = 2;
        seen.offset_minutes = 480;
        let bounds = settled(seen);
        assert_eq!(bounds.warnings.len(), 3);
        assert!(bounds.warnings[0].contains("change.clock"));
        assert!(bounds.warnings[1].starts_with("3 rows have NULL"));
        assert!(bounds.warnings[2].starts_with("2 rows have a modified_at in the future"));
    }
}
