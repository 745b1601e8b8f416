//! Cutting a large table into ranges of its key, to be read side by side and resumed after an interruption.
//!
//! Ranges are read by different statements. Where each statement may see another state of the table, the read can be
//! resumed, days later too. That takes two things: a watermark whose upper bound was taken before the first range was
//! read, so that a row that changes later comes with the next window, and keys that do not move unseen. A row whose
//! key moves from a range that is yet to be read to one that was read is in neither. Under a rowversion the next window
//! has it, because moving it changed it, and tracked changes have the old key and the new one; the value of an identity
//! column cannot be updated at all. See [`is_resumable`].
//!
//! Everything else is read in snapshots that are opened while nobody can write (the caller's fence). They show one
//! state, in which each row has one key, and the read cannot be resumed.
//!
//! Where to cut comes from the histogram that the optimizer keeps, so ranges hold about as many rows each; where
//! there is none, whole numbers are cut evenly between the lowest and the highest. A wrong guess costs balance,
//! never rows: the first and the last range are open, and the others meet.

use super::discover::Discovered;
use super::error::SourceError;
use super::isolation::Reading;
use super::window::Bounds;
use crate::change::{Backfill, Checkpoint, Strategy};
use crate::mssql::control::{Class, Control};
use crate::mssql::error::MssqlError;
use crate::mssql::sql::read::{self, Locking};
use crate::schema::{Column, Generated, SqlType, TableKind, TableSchema};
use twox_hash::XxHash3_128;

/// Each range ends in a commit of the ledger, which names them all.
const RANGES_MAX: u64 = 256;

const ASKING: &str = "asking how values are spread in";

/// How a table is cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// Position of the column.
    pub column: usize,
    /// Ascending, as text that the column's type reads back; `n` cuts make `n + 1` ranges.
    pub cuts: Vec<String>,
}

impl Split {
    /// How many ranges there are.
    pub fn ranges(&self) -> usize {
        self.cuts.len() + 1
    }

    /// The ends of a range; none where it is open.
    pub(super) fn ends(&self, range: usize) -> (Option<&str>, Option<&str>) {
        let cut = |at: usize| self.cuts.get(at).map(String::as_str);
        (range.checked_sub(1).and_then(cut), cut(range))
    }
}

/// Identifies a table's shape: columns, types, key. Not its name's case or its row count.
pub fn fingerprint(schema: &TableSchema) -> String {
    let text = serde_json::to_string(schema).unwrap_or_default();
    format!("{:032x}", XxHash3_128::oneshot(text.as_bytes()))
}

/// The ledger of a checkpoint, if its ranges fit what is read now. Whether its bound still holds is asked of the
/// server afterwards.
pub(super) fn resumable<'a>(
    source: &Discovered,
    reading: &Reading,
    strategy: Strategy,
    checkpoint: Option<&'a Checkpoint>,
) -> Option<(&'a Backfill, Split)> {
    let backfill = checkpoint?.backfill.as_ref()?;
    let column = column(source, reading, strategy)?;
    let fits = backfill.strategy == strategy
        && is_resumable(strategy, &source.schema.columns[column])
        && backfill.schema == fingerprint(&source.schema)
        && source.schema.columns[column].name == backfill.column;
    let cuts = backfill.cuts.clone();
    fits.then_some((backfill, Split { column, cuts }))
}

/// Whether ranges of a column may be read in different states of the table, and so by several runs; see the module
/// head.
pub(super) fn is_resumable(strategy: Strategy, column: &Column) -> bool {
    match strategy {
        Strategy::Full => false,
        Strategy::RowVersion | Strategy::ChangeTracking => true,
        Strategy::Timestamp | Strategy::Sequence => column.generated == Generated::Identity,
    }
}

/// The column that a full read can be cut by; none when it is read in one stream.
fn column(source: &Discovered, reading: &Reading, strategy: Strategy) -> Option<usize> {
    let first = *source.schema.key.as_ref()?.columns.first()?;
    let one_snapshot = reading.is_snapshot || is_resumable(strategy, &source.schema.columns[first]);
    let possible = one_snapshot
        && reading.sees_one_state
        && reading.locking == Locking::None
        && !source.facts.is_view
        && source.key_is_unique()
        && source.is_led_by_index(first)
        // NULL is in no range.
        && !source.schema.columns[first].nullable
        && source.schema.columns[first].ty.facts().can_be_cut;
    possible.then_some(first)
}

/// Cuts a table whose rows are all read. One or two quick statements, only for tables that are large enough.
pub(super) async fn split(
    control: &mut Control,
    source: &Discovered,
    reading: &Reading,
    (strategy, kind): (Strategy, TableKind),
    range_rows: u64,
    bounds: &mut Bounds,
) -> Result<Option<Split>, SourceError> {
    let rows = source.facts.row_estimate.unwrap_or(0);
    if range_rows == 0 || rows < range_rows.saturating_mul(2) {
        return Ok(None);
    }
    if kind == TableKind::History {
        bounds
            .why
            .push("one stream: the order numbers of a history follow each other".into());
        return Ok(None);
    }
    let Some(column) = column(source, reading, strategy) else {
        bounds.why.push("one stream: the table has no unique key that begins with a sortable indexed column, or no row \
            versions to read".into());
        return Ok(None);
    };
    let wanted = rows.div_ceil(range_rows).min(RANGES_MAX) as usize;
    let mut cuts = by_histogram(control, &source.schema, column, wanted).await?;
    let mut origin = "its statistics";
    if cuts.is_empty() && is_whole(source.schema.columns[column].ty) {
        cuts = by_extremes(control, &source.schema, column, wanted).await?;
        origin = "its lowest and highest value";
    }
    let name = &source.schema.columns[column].name;
    if cuts.is_empty() {
        bounds.why.push(format!(
            "one stream: there are no statistics of {name} that say where to cut"
        ));
        return Ok(None);
    }
    bounds.why.push(format!(
        "about {rows} rows are read in {} ranges of {name}, cut by {origin}",
        cuts.len() + 1
    ));
    Ok(Some(Split { column, cuts }))
}

/// Cuts by the optimizer's histogram of the column; none where there is no histogram to see.
async fn by_histogram(
    control: &mut Control,
    schema: &TableSchema,
    column: usize,
    wanted: usize,
) -> Result<Vec<String>, SourceError> {
    let failed = |error| SourceError::on(ASKING, &schema.name, error);
    let sets = match control
        .query_sets(&read::histogram(schema, column), Class::QUICK)
        .await
    {
        Ok(sets) => sets,
        // Servers before 2016 SP1 have no such view, and the login may lack the right to see it.
        Err(MssqlError::Server(error)) => {
            tracing::debug!(%error, "no histogram of {}", schema.columns[column].name);
            return Ok(Vec::new());
        }
        Err(error) => return Err(failed(error)),
    };
    let rows = sets.first().map(Vec::as_slice).unwrap_or_default();
    let mut steps = Vec::with_capacity(rows.len());
    for row in rows {
        let high = row.text_opt("high").map_err(failed)?;
        let count = row.int("row_count").map_err(failed)?;
        steps.push((high.map(str::to_owned), count.unsigned_abs()));
    }
    Ok(quantiles(&steps, wanted))
}

/// Even cuts between the column's lowest and highest whole number; none in an empty table.
async fn by_extremes(
    control: &mut Control,
    schema: &TableSchema,
    column: usize,
    wanted: usize,
) -> Result<Vec<String>, SourceError> {
    let failed = |error| SourceError::on(ASKING, &schema.name, error);
    let sets = control
        .query_sets(&read::extremes(schema, column), Class::QUICK)
        .await
        .map_err(failed)?;
    let Some(row) = sets.first().and_then(|rows| rows.first()) else {
        return Ok(Vec::new());
    };
    let low = row.int_opt("low").map_err(failed)?;
    let high = row.int_opt("high").map_err(failed)?;
    Ok(low
        .zip(high)
        .map_or_else(Vec::new, |(low, high)| even(low, high, wanted)))
}

fn is_whole(ty: SqlType) -> bool {
    matches!(
        ty,
        SqlType::TinyInt | SqlType::SmallInt | SqlType::Int | SqlType::BigInt
    )
}

/// Upper ends of steps that part the rows into about `wanted` equal heaps.
fn quantiles(steps: &[(Option<String>, u64)], wanted: usize) -> Vec<String> {
    let total: u64 = steps.iter().map(|(_, rows)| rows).sum();
    let mut cuts: Vec<String> = Vec::new();
    let mut seen: u128 = 0;
    for (high, rows) in steps {
        seen += u128::from(*rows);
        let due = u128::from(total) * (cuts.len() as u128 + 1);
        // Nothing lies above the last step as far as is known, so a cut there would only make an empty range.
        if let Some(high) = high
            && seen * wanted as u128 >= due
            && seen < u128::from(total)
            && cuts.last() != Some(high)
        {
            cuts.push(high.clone());
        }
    }
    cuts
}

/// Cuts at equal distances.
fn even(low: i64, high: i64, wanted: usize) -> Vec<String> {
    let (low, high) = (i128::from(low), i128::from(high));
    let mut cuts: Vec<i128> = (1..wanted as i128)
        .map(|at| low + (high - low) * at / wanted as i128)
        .filter(|cut| *cut > low)
        .collect();
    cuts.dedup();
    cuts.iter().map(i128::to_string).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_follow_the_rows_not_the_values() {
        let steps: Vec<_> = [(1, 1), (10, 99), (1000, 100), (1001, 100), (1002, 100)]
            .map(|(high, rows): (u32, u64)| (Some(high.to_string()), rows))
            .into();
        assert_eq!(quantiles(&steps, 4), ["10", "1000", "1001"]);
        assert_eq!(quantiles(&steps, 2), ["1000"]);
        assert!(quantiles(&[(None, 50), (Some("7".into()), 3)], 4).is_empty());
        assert!(quantiles(&[], 4).is_empty());
    }

    #[test]
    fn even_cuts_cover_the_extremes_without_overflow() {
        assert_eq!(even(0, 100, 4), ["25", "50", "75"]);
        assert!(even(5, 6, 4).is_empty());
        let all = even(i64::MIN, i64::MAX, 3);
        assert_eq!(all.len(), 2);
        assert!(all[0].parse::<i64>().unwrap() < all[1].parse::<i64>().unwrap());
    }

    #[test]
    fn ranges_meet_and_the_outer_ones_are_open() {
        let split = Split {
            column: 0,
            cuts: vec!["a".into(), "b".into()],
        };
        let ends: Vec<_> = (0..split.ranges()).map(|range| split.ends(range)).collect();
        assert_eq!(
            ends,
            [(None, Some("a")), (Some("a"), Some("b")), (Some("b"), None)]
        );
    }
}
