//! Checksums of groups of rows, of the server and of the lake, and the groups that differ.

use super::ready::{Ready, channel_error, control};
use crate::error::Result;
use crate::mssql::control::{Class, Control, Record};
use crate::mssql::error::MssqlError;
use crate::mssql::sql::Statement;
use crate::mssql::sql::digest::{Digested, digests, digests_within};
use crate::mssql::sql::read;
use crate::schema::digest::{Buckets, Hash, Rows, Span, spans};
use crate::schema::{Column, SqlType};
use crate::sync::session::{Links, Sync};
use arrow_array::RecordBatch;
use futures::TryStreamExt;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

/// Rows of a group, about. Few, because all rows of a group that differs are read.
const BUCKET_ROWS: u64 = 64;
/// Each has a line in one result.
const BUCKETS_MAX: u64 = 65_536;
/// A group with more rows is divided before its rows are read.
const DIVIDED_ROWS: u64 = 2_000;
/// Parts of a divided group at most.
const PARTS_MAX: u64 = 4_096;
/// Spans in one statement, which takes 2,100 parameters.
const SPANS_MAX: usize = 400;
/// Rows of groups that differ, read at most. Each takes about 100 bytes.
const ROWS_READ_MAX: u64 = 200_000;
/// Whole numbers beyond are not subtracted from each other by the server.
const WHOLE_MAX: i64 = 1 << 61;
/// Stripes of a sample of ranges.
const STRIPES: i64 = 100;
/// How long one statement reads, where rows a second are limited.
const SLICE_SECONDS: u64 = 2;

/// How the rows are grouped.
pub(super) struct Grouping {
    pub buckets: Buckets,
    /// Groups, from 0 on.
    pub count: i64,
    /// Those that are compared; none: all.
    pub sample: Option<Vec<Span>>,
}

impl Grouping {
    pub fn has_ranges(&self) -> bool {
        match self.buckets {
            Buckets::Hash { .. } => false,
            Buckets::Range { .. } => true,
        }
    }

    fn has(&self, bucket: i64) -> bool {
        let is_inside = |(from, to): &Span| (*from..=*to).contains(&bucket);
        self.sample
            .as_ref()
            .is_none_or(|spans| spans.iter().any(is_inside))
    }
}

/// Rows and the sum of their hashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Sum {
    rows: u64,
    checksum: i128,
}

impl Sum {
    fn add(&mut self, row: Hash) {
        self.rows += 1;
        self.checksum += i128::from(row.addend());
    }
}

/// A group, or a part of one, that differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    bucket: i64,
    part: Option<i64>,
    rows: u64,
}

/// The groups whose rows are read.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Chosen {
    pub whole: BTreeSet<i64>,
    pub divided: BTreeMap<i64, BTreeSet<i64>>,
    pub parts: i64,
}

impl Chosen {
    pub fn has(&self, bucket: i64, key: Hash) -> bool {
        let part = || Buckets::part(key, self.parts);
        let is_part = |parts: &BTreeSet<i64>| parts.contains(&part());
        self.whole.contains(&bucket) || self.divided.get(&bucket).is_some_and(is_part)
    }

    pub fn is_empty(&self) -> bool {
        self.whole.is_empty() && self.divided.is_empty()
    }
}

/// What the checksums say.
pub(super) struct Summed {
    pub rows: u64,
    pub lake_rows: u64,
    pub buckets: u64,
    pub differing: u64,
    pub not_read: u64,
    pub chosen: Chosen,
}

impl Ready {
    pub(super) fn digested(&self, buckets: Buckets) -> Digested<'_> {
        Digested {
            table: &self.side.table,
            forms: &self.side.forms,
            buckets,
            marked: self.side.marked.as_deref(),
        }
    }

    /// Visits every row of the lake: its batch, the batch's rows, the number in it, and the group.
    pub(super) async fn each_row(
        &self,
        buckets: Buckets,
        mut visit: impl FnMut(&RecordBatch, &Rows<'_>, usize, (Hash, i64)) -> Result<()>,
    ) -> Result<()> {
        let names: Vec<&str> = self.side.lake_names.iter().map(String::as_str).collect();
        let mut batches = self.lake.scan(Some(self.snapshot.id), Some(&names)).await?;
        let mut buffer = Vec::new();
        while let Some(batch) = batches.try_next().await? {
            let rows = self.side.lake_encoder.rows(&batch);
            for row in 0..batch.num_rows() {
                let key = rows.key(row, &mut buffer);
                let bucket = bucket(buckets, &rows, row, key);
                visit(&batch, &rows, row, (key, bucket))?;
            }
        }
        Ok(())
    }
}

/// The group of a row.
pub(super) fn bucket(buckets: Buckets, rows: &Rows<'_>, row: usize, key: Hash) -> i64 {
    let first = match buckets {
        Buckets::Hash { .. } => None,
        Buckets::Range { column, .. } => rows.whole(column, row),
    };
    buckets.of(key, first)
}

/// Groups the rows: by ranges where the key begins with a whole number that an index leads to, else by hash.
pub(super) async fn group(
    sync: &Sync,
    ready: &Ready,
    sample_percent: Option<f64>,
    links: &mut Links,
) -> Result<Grouping> {
    let rows = match ready.snapshot.rows_total {
        Some(rows) => rows,
        None => ready.lake.current_rows().await?,
    };
    let wanted = rows.div_ceil(BUCKET_ROWS).clamp(1, BUCKETS_MAX);
    let wanted = i64::try_from(wanted).unwrap_or(1);
    let range = by_range(sync, ready, wanted, links).await?;
    let (buckets, count) = range.unwrap_or((Buckets::Hash { count: wanted }, wanted));
    let chance = uuid::Uuid::new_v4().as_u128() as u32;
    let chance = f64::from(chance) / (f64::from(u32::MAX) + 1.0);
    let sample = sample_percent.map(|percent| sample(buckets, count, percent, chance));
    Ok(Grouping {
        buckets,
        count,
        sample,
    })
}

/// Ranges of the first key column, between its lowest and its highest value.
async fn by_range(
    sync: &Sync,
    ready: &Ready,
    wanted: i64,
    links: &mut Links,
) -> Result<Option<(Buckets, i64)>> {
    let side = &ready.side;
    let first = side.table.key.as_ref().and_then(|key| key.columns.first());
    let Some(&column) = first.filter(|_| side.is_led_by_index) else {
        return Ok(None);
    };
    if !is_whole(&side.table.columns[column]) {
        return Ok(None);
    }
    let control = control(sync, side.kind, links).await?;
    let failed = |error: MssqlError| error.on(side.kind);
    let extremes = read::extremes(&side.table, column);
    let sets = control.query_sets(&extremes, Class::QUICK).await;
    let sets = sets.map_err(failed)?;
    let Some(row) = sets.first().and_then(|rows| rows.first()) else {
        return Ok(None);
    };
    let low = row.int_opt("low").map_err(failed)?;
    let high = row.int_opt("high").map_err(failed)?;
    Ok(low
        .zip(high)
        .and_then(|(low, high)| ranges(column, low, high, wanted)))
}

/// None where values lie too far apart, or rows share so few values that the groups would be large.
fn ranges(column: usize, low: i64, high: i64, wanted: i64) -> Option<(Buckets, i64)> {
    let is_near = |value: i64| (-WHOLE_MAX..WHOLE_MAX).contains(&value);
    let values = high.checked_sub(low)?.checked_add(1)?;
    if !is_near(low) || !is_near(high) || values < wanted / 4 {
        return None;
    }
    let width = values / wanted + i64::from(values % wanted != 0);
    let width = width.max(1);
    let count = (values - 1) / width + 1;
    Some((Buckets::Range { column, low, width }, count))
}

fn is_whole(column: &Column) -> bool {
    let whole = [
        SqlType::TinyInt,
        SqlType::SmallInt,
        SqlType::Int,
        SqlType::BigInt,
    ];
    whole.contains(&column.ty) && !column.nullable
}

/// About so many percent of the groups: of hashes consecutive ones, which are a sample of the keys; of ranges stripes
/// all over the table. `chance` is from 0 to 1.
fn sample(buckets: Buckets, count: i64, percent: f64, chance: f64) -> Vec<Span> {
    let share = |of: i64| ((of as f64 * percent / 100.0).round() as i64).clamp(1, of.max(1));
    let within = |of: i64| ((of as f64 * chance) as i64).clamp(0, (of - 1).max(0));
    match buckets {
        Buckets::Hash { .. } => {
            let (start, size) = (within(count), share(count));
            let end = start + size - 1;
            match end < count {
                true => vec![(start, end)],
                false => vec![(0, end - count), (start, count - 1)],
            }
        }
        Buckets::Range { .. } => {
            let stripes = STRIPES.min(share(count));
            let stripe = |at: i64| {
                let (from, to) = (at * count / stripes, (at + 1) * count / stripes);
                let size = share(to - from);
                let start = from + within(to - from - size + 1);
                (start, start + size - 1)
            };
            (0..stripes).map(stripe).collect()
        }
    }
}

/// Sums up both sides, and says which groups differ.
pub(super) async fn compare(
    sync: &Sync,
    ready: &Ready,
    grouping: &Grouping,
    rows_per_second: Option<u64>,
    links: &mut Links,
) -> Result<Summed> {
    let server = server_sums(sync, ready, grouping, rows_per_second, links).await?;
    let mut lake: HashMap<i64, Sum> = HashMap::new();
    let mut buffer = Vec::new();
    let visit = |_: &RecordBatch, rows: &Rows<'_>, row: usize, (_, bucket): (Hash, i64)| {
        if grouping.has(bucket) {
            lake.entry(bucket)
                .or_default()
                .add(rows.row(row, &mut buffer));
        }
        Ok(())
    };
    ready.each_row(grouping.buckets, visit).await?;
    let total = |sums: &HashMap<i64, Sum>| sums.values().map(|sum| sum.rows).sum::<u64>();
    let groups: BTreeSet<i64> = server.keys().chain(lake.keys()).copied().collect();
    let found: Vec<Place> = differing(&server, &lake, &groups, |bucket| (bucket, None));
    let (large, small): (Vec<Place>, Vec<Place>) =
        found.iter().partition(|place| place.rows > DIVIDED_ROWS);
    let (divided, parts) = divide(sync, ready, grouping, &large, links).await?;
    let (chosen, not_read) = choose(small.into_iter().chain(divided), parts);
    Ok(Summed {
        rows: total(&server),
        lake_rows: total(&lake),
        buckets: groups.len() as u64,
        differing: found.len() as u64,
        not_read,
        chosen,
    })
}

/// The groups whose sums are not the same.
fn differing<K: std::hash::Hash + Eq + Copy>(
    server: &HashMap<K, Sum>,
    lake: &HashMap<K, Sum>,
    groups: &BTreeSet<K>,
    place: impl Fn(K) -> (i64, Option<i64>),
) -> Vec<Place> {
    let of = |sums: &HashMap<K, Sum>, group: &K| sums.get(group).copied().unwrap_or_default();
    let found = groups.iter().filter_map(|group| {
        let (server, lake) = (of(server, group), of(lake, group));
        let (bucket, part) = place(*group);
        (server != lake).then_some(Place {
            bucket,
            part,
            rows: server.rows.max(lake.rows),
        })
    });
    found.collect()
}

/// Groups whose rows are read, up to a number of rows; how many are not.
fn choose(places: impl Iterator<Item = Place>, parts: i64) -> (Chosen, u64) {
    let mut chosen = Chosen {
        parts,
        ..Chosen::default()
    };
    let (mut rows, mut not_read) = (0u64, 0);
    for place in places {
        rows = rows.saturating_add(place.rows);
        if rows > ROWS_READ_MAX && !chosen.is_empty() {
            not_read += 1;
            continue;
        }
        match place.part {
            None => _ = chosen.whole.insert(place.bucket),
            Some(part) => _ = chosen.divided.entry(place.bucket).or_default().insert(part),
        }
    }
    (chosen, not_read)
}

/// The sums of the server, in one statement or, where rows a second are limited, in several.
async fn server_sums(
    sync: &Sync,
    ready: &Ready,
    grouping: &Grouping,
    rows_per_second: Option<u64>,
    links: &mut Links,
) -> Result<HashMap<i64, Sum>> {
    let of = ready.digested(grouping.buckets);
    let whole = vec![grouping.sample.clone()];
    let slices = rows_per_second.and_then(|rate| slices(grouping, rate));
    let limited = slices.is_some();
    let mut sums = HashMap::new();
    for spans in slices.unwrap_or(whole) {
        let clock = Instant::now();
        let found = ask(sync, ready, &digests(&of, spans.as_deref()), links).await?;
        let mut rows = 0;
        for row in found {
            let bucket = row.int("bucket").map_err(channel_error(ready))?;
            let sum = sum(&row).map_err(channel_error(ready))?;
            rows += sum.rows;
            sums.insert(bucket, sum);
        }
        if let Some(rate) = rows_per_second.filter(|_| limited) {
            let due = Duration::from_secs_f64(rows as f64 / rate as f64);
            tokio::time::sleep(due.saturating_sub(clock.elapsed())).await;
        }
    }
    Ok(sums)
}

/// Statements that read about as many rows as two seconds allow; none where no index finds the rows of a group. What
/// lies below the lowest and above the highest value by now is in the first and the last.
fn slices(grouping: &Grouping, rate: u64) -> Option<Vec<Option<Vec<Span>>>> {
    match grouping.buckets {
        Buckets::Hash { .. } => None,
        Buckets::Range { .. } => {
            let size = rate.saturating_mul(SLICE_SECONDS) / BUCKET_ROWS;
            let size = i64::try_from(size).unwrap_or(i64::MAX).max(1);
            let all = match &grouping.sample {
                Some(spans) => spans.clone(),
                None => vec![
                    (i64::MIN / 2, -1),
                    (0, grouping.count - 1),
                    (grouping.count, i64::MAX / 2),
                ],
            };
            let mut slices = Vec::new();
            for (from, to) in all {
                // Nothing is expected outside.
                if from < 0 || from >= grouping.count {
                    slices.push(Some(vec![(from, to)]));
                    continue;
                }
                let mut next = from;
                while next <= to {
                    let end = next.saturating_add(size - 1).min(to);
                    slices.push(Some(vec![(next, end)]));
                    next = end + 1;
                }
            }
            Some(slices)
        }
    }
}

/// The parts that differ of groups with many rows, and how many parts each has.
async fn divide(
    sync: &Sync,
    ready: &Ready,
    grouping: &Grouping,
    large: &[Place],
    links: &mut Links,
) -> Result<(Vec<Place>, i64)> {
    let Some(most) = large.iter().map(|place| place.rows).max() else {
        return Ok((Vec::new(), 1));
    };
    let parts = (most / BUCKET_ROWS).clamp(2, PARTS_MAX);
    let parts = i64::try_from(parts).unwrap_or(2);
    let buckets: BTreeSet<i64> = large.iter().map(|place| place.bucket).collect();
    let mut server = HashMap::new();
    let of = ready.digested(grouping.buckets);
    for spans in spans(buckets.iter().copied()).chunks(SPANS_MAX) {
        for row in ask(sync, ready, &digests_within(&of, spans, parts), links).await? {
            let bucket = row.int("bucket").map_err(channel_error(ready))?;
            let part = row.int("part").map_err(channel_error(ready))?;
            server.insert((bucket, part), sum(&row).map_err(channel_error(ready))?);
        }
    }
    let mut lake: HashMap<(i64, i64), Sum> = HashMap::new();
    let mut buffer = Vec::new();
    let visit = |_: &RecordBatch, rows: &Rows<'_>, row: usize, (key, bucket): (Hash, i64)| {
        if buckets.contains(&bucket) {
            let part = Buckets::part(key, parts);
            lake.entry((bucket, part))
                .or_default()
                .add(rows.row(row, &mut buffer));
        }
        Ok(())
    };
    ready.each_row(grouping.buckets, visit).await?;
    let groups: BTreeSet<(i64, i64)> = server.keys().chain(lake.keys()).copied().collect();
    let place = |(bucket, part)| (bucket, Some(part));
    Ok((differing(&server, &lake, &groups, place), parts))
}

fn sum(row: &Record) -> std::result::Result<Sum, MssqlError> {
    let rows = row.int("row_count")?;
    let checksum = row.text("checksum")?.parse();
    Ok(Sum {
        rows: rows.unsigned_abs(),
        checksum: checksum.map_err(|_| MssqlError::Shape("a checksum is no number".into()))?,
    })
}

/// The rows of a statement that sees one state of the table, where the database allows that.
pub(super) async fn ask(
    sync: &Sync,
    ready: &Ready,
    statement: &Statement,
    links: &mut Links,
) -> Result<Vec<Record>> {
    let side = &ready.side;
    let control: &mut Control = control(sync, side.kind, links).await?;
    let failed = |error: MssqlError| error.on(side.kind);
    control
        .run(&side.begin, Class::QUICK)
        .await
        .map_err(failed)?;
    let sets = control
        .query_sets(statement, Class::LONG)
        .await
        .map_err(failed)?;
    control
        .run(&side.finish, Class::QUICK)
        .await
        .map_err(failed)?;
    Ok(sets.into_iter().next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_cover_all_values_once() {
        for (low, high, wanted) in [
            (0, 99, 10),
            (-7, 1_000, 64),
            (5, 5, 1),
            (1, 1_000_003, 65_536),
        ] {
            let (buckets, count) = ranges(0, low, high, wanted).unwrap();
            assert!(count <= wanted, "{low} {high} {wanted}: {count}");
            let key = rows_key();
            assert_eq!(buckets.of(key, Some(low)), 0);
            assert_eq!(buckets.of(key, Some(high)), count - 1);
        }
        assert_eq!(ranges(0, i64::MIN, i64::MAX, 10), None);
        assert_eq!(ranges(0, 1, 10, 1_000), None);
    }

    fn rows_key() -> Hash {
        let batch = RecordBatch::try_from_iter([(
            "a",
            std::sync::Arc::new(arrow_array::Int32Array::from(vec![1])) as arrow_array::ArrayRef,
        )]);
        let encoder = crate::schema::digest::Encoder {
            columns: Vec::new(),
            key: Vec::new(),
        };
        encoder.rows(&batch.unwrap()).key(0, &mut Vec::new())
    }

    #[test]
    fn a_sample_has_about_its_share_and_lies_inside() {
        let range = Buckets::Range {
            column: 0,
            low: 0,
            width: 1,
        };
        for buckets in [range, Buckets::Hash { count: 0 }] {
            for count in [1, 7, 1_000, 65_536] {
                for percent in [0.01, 1.0, 10.0, 99.0] {
                    for chance in [0.0, 0.5, 0.999_999] {
                        let spans = sample(buckets, count, percent, chance);
                        let size: i64 = spans.iter().map(|(from, to)| to - from + 1).sum();
                        let wanted = (count as f64 * percent / 100.0).round().max(1.0);
                        assert!(
                            (size as f64 - wanted).abs() <= wanted * 0.5 + 1.0,
                            "{spans:?}"
                        );
                        assert!(
                            spans
                                .iter()
                                .all(|(from, to)| 0 <= *from && from <= to && *to < count)
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn slices_cover_every_value() {
        let grouping = Grouping {
            buckets: Buckets::Range {
                column: 0,
                low: 0,
                width: 3,
            },
            count: 100,
            sample: None,
        };
        let slices = slices(&grouping, 320).unwrap();
        let spans: Vec<Span> = slices.into_iter().flatten().flatten().collect();
        assert!(
            spans.windows(2).all(|pair| pair[0].1 + 1 == pair[1].0),
            "{spans:?}"
        );
        assert_eq!(spans[1], (0, 9));
        let hashed = Grouping {
            buckets: Buckets::Hash { count: 100 },
            ..grouping
        };
        assert_eq!(super::slices(&hashed, 320), None);
    }
}
