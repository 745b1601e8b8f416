//! The rows of groups that differ, read from both sides and compared by key and column.
//!
//! The server's rows arrive as an extract would read them, and both sides are hashed here, so what differs by checksum
//! alone, as text that the lake keeps with U+FFFD under `fidelity: standard`, is found equal. Of a row that is equal
//! nothing is kept; of the lake's rows 32 bytes are until the server's row has come.

use super::ready::{Ready, channel, channel_error, schema_error};
use super::sums::{Chosen, Grouping, ask, bucket};

use crate::change::Strategy;
use crate::error::{Error, Result};
use crate::mssql::control::Cell;
use crate::mssql::error::MssqlError;
use crate::mssql::rows::{BatchLimits, Decoder};
use crate::mssql::sql::digest::{Places, bucket_rows, respelled};
use crate::report::Difference;
use crate::schema::digest::{Hash, Rows, spans};
use crate::schema::mapping::cell_text;
use crate::schema::{LakeSchema, SqlType};
use crate::sync::session::{Links, Sync};
use arrow_array::RecordBatch;
use std::collections::{BTreeMap, HashMap, HashSet};
use tokio::sync::mpsc;

/// Parameters of one statement, of 2,100 that the server takes.
const PARAMS_MAX: usize = 1_500;
/// Keys that differ and are looked at in detail; the others are counted.
pub(super) const DETAILED_MAX: usize = 1_000;

/// A key that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub difference: Difference,
    /// Hash of the key, as the side has it; of an extra row as the lake has it.
    pub key: u128,
    /// Hash of the key as the lake has it, where it is spelled otherwise.
    pub lake_key: Option<u128>,
    /// Hash of the server's row.
    pub row: Option<u128>,
    /// The next extract reads the row.
    pub is_pending: bool,
    /// The key as text; empty where it was not looked at in detail.
    pub texts: Vec<Option<String>>,
    /// Positions of the columns that differ.
    pub columns: Vec<usize>,
}

/// What one look at rows has found.
#[derive(Debug, Default)]
pub(super) struct Look {
    pub found: Vec<Found>,
    pub rows_read: u64,
}

/// A row of the server that the lake does not have.
struct Unmatched {
    found: Found,
    /// Of each column, where it is looked at in detail.
    values: Vec<Vec<u8>>,
}

/// Rows of the lake that are looked at in detail, by the hashes of key and row: the place of what was found, and the
/// server's values.
type Wanted = HashMap<(u128, u128), (usize, Vec<Vec<u8>>)>;

/// Reads and compares the rows of the groups that were chosen.
pub(super) async fn look(
    sync: &Sync,
    ready: &Ready,
    grouping: &Grouping,
    chosen: &Chosen,
    links: &mut Links,
) -> Result<Look> {
    if chosen.is_empty() {
        return Ok(Look::default());
    }
    let mut lake: HashMap<u128, Vec<u128>> = HashMap::new();
    let mut buffer = Vec::new();
    let visit = |_: &RecordBatch, rows: &Rows<'_>, row: usize, (key, bucket): (Hash, i64)| {
        if chosen.has(bucket, key) {
            let row = rows.row(row, &mut buffer).short();
            lake.entry(key.short()).or_default().push(row);
        }
        Ok(())
    };
    ready.each_row(grouping.buckets, visit).await?;
    let (unmatched, rows_read) = server(sync, ready, grouping, chosen, &mut lake, links).await?;
    let found = judge(ready, grouping, unmatched, lake).await?;
    let found = spelled(sync, ready, grouping, found, links).await?;
    Ok(Look { found, rows_read })
}

/// The server's rows that the lake does not have, and how many rows arrived. What the lake has is taken out of `lake`.
async fn server(
    sync: &Sync,
    ready: &Ready,
    grouping: &Grouping,
    chosen: &Chosen,
    lake: &mut HashMap<u128, Vec<u128>>,
    links: &mut Links,
) -> Result<(Vec<Unmatched>, u64)> {
    let side = &ready.side;
    let failed = |error: MssqlError| error.on(side.kind);
    let decoder = Decoder::new(&side.table, &side.server_shape, side.fidelity);
    let mut decoder = decoder.map_err(failed)?;
    let of = ready.digested(grouping.buckets);
    let (mut unmatched, mut rows_read) = (Vec::new(), 0);
    for places in statements(chosen) {
        let statement = bucket_rows(&of, &places);
        let channel = channel(sync, side.kind, links).await?;
        channel.run(&side.begin.sql).await.map_err(failed)?;
        let (sender, mut batches) = mpsc::channel::<RecordBatch>(1);
        let limits = BatchLimits::default();
        let read = async {
            let counts = channel
                .read(&statement, &mut decoder, limits, &sender)
                .await;
            drop(sender);
            counts.map_err(failed)
        };
        // Owns the receiver, so that its failure ends the reader.
        let (lake, unmatched) = (&mut *lake, &mut unmatched);
        let take = async move {
            while let Some(batch) = batches.recv().await {
                matched(ready, grouping, chosen, &batch, lake, unmatched)?;
            }
            Ok::<_, Error>(())
        };
        let (counts, taken) = tokio::join!(read, take);
        taken?;
        rows_read += counts?.rows;
        channel.run(&side.finish.sql).await.map_err(failed)?;
    }
    Ok((unmatched, rows_read))
}

/// The chosen groups, in statements that the server's parameters suffice for.
pub(super) fn statements(chosen: &Chosen) -> Vec<Places> {
    let mut all = Vec::new();
    let whole = spans(chosen.whole.iter().copied());
    for whole in whole.chunks(PARAMS_MAX / 3) {
        all.push(Places {
            whole: whole.to_vec(),
            ..Places::default()
        });
    }
    let mut next = Places {
        parts: chosen.parts,
        ..Places::default()
    };
    let mut params = 0;
    for (bucket, parts) in &chosen.divided {
        let parts: Vec<i64> = parts.iter().copied().collect();
        for parts in parts.chunks(PARAMS_MAX / 2) {
            // The group and the number of parts take some, too.
            params += parts.len() + 4;
            if params > PARAMS_MAX && !next.divided.is_empty() {
                let divided = std::mem::take(&mut next.divided);
                all.push(Places {
                    divided,
                    ..next.clone()
                });
                params = parts.len() + 4;
            }
            next.divided.push((*bucket, parts.to_vec()));
        }
    }
    if !next.divided.is_empty() {
        all.push(next);
    }
    all
}

/// Takes the rows of a batch out of what the lake has, and keeps those that it does not have.
fn matched(
    ready: &Ready,
    grouping: &Grouping,
    chosen: &Chosen,
    batch: &RecordBatch,
    lake: &mut HashMap<u128, Vec<u128>>,
    unmatched: &mut Vec<Unmatched>,
) -> Result<()> {
    let side = &ready.side;
    let rows = side.server_encoder.rows(batch);
    let mut buffer = Vec::new();
    for row in 0..batch.num_rows() {
        let key = rows.key(row, &mut buffer);
        // A text that the decoder has mended may have another hash than the server gave it.
        if !chosen.has(bucket(grouping.buckets, &rows, row, key), key)
            && !lake.contains_key(&key.short())
        {
            continue;
        }
        let hash = rows.row(row, &mut buffer).short();
        if let Some(known) = lake.get_mut(&key.short())
            && let Some(at) = known.iter().position(|known| *known == hash)
        {
            known.swap_remove(at);
            continue;
        }
        let is_detailed = unmatched.len() < DETAILED_MAX;
        let columns = if is_detailed {
            side.table.columns.len()
        } else {
            0
        };
        let value = |column: usize| {
            let mut value = Vec::new();
            rows.value(column, row, &mut value);
            value
        };
        let texts = match is_detailed {
            true => ready.key_texts(batch, &side.server_shape, row),
            false => Vec::new(),
        };
        unmatched.push(Unmatched {
            found: Found {
                difference: Difference::Missing,
                key: key.short(),
                lake_key: None,
                row: Some(hash),
                is_pending: ready.is_pending(batch, row)?,
                texts,
                columns: Vec::new(),
            },
            values: (0..columns).map(value).collect(),
        });
    }
    Ok(())
}

impl Ready {
    /// The key of a row as text; none of a value that has no text.
    fn key_texts(
        &self,
        batch: &RecordBatch,
        shape: &LakeSchema,
        row: usize,
    ) -> Vec<Option<String>> {
        let table = &self.side.table;
        let key = table.key.iter().flat_map(|key| &key.columns);
        let text = |column: &usize| cell_text(batch, shape, table, row, *column).ok().flatten();
        key.map(text).collect()
    }

    /// Whether the next extract reads a row of the source.
    fn is_pending(&self, batch: &RecordBatch, row: usize) -> Result<bool> {
        let Some(bound) = &self.side.bound else {
            return Ok(false);
        };
        let (table, shape) = (&self.side.table, &self.side.server_shape);
        let Ok(text) = cell_text(batch, shape, table, row, bound.column) else {
            // A digit or an offset that the lake does not keep.
            return Ok(false);
        };
        let ty = table.columns.get(bound.column).map(|column| column.ty);
        let (Some(text), Some(ty)) = (text, ty) else {
            return Ok(false);
        };
        let order = order(ty, &text, &bound.watermark.text);
        Ok(match bound.strategy {
            // The window begins above the bound.
            Strategy::Sequence => order.is_some_and(|order| order.is_gt()),
            Strategy::Full | Strategy::Timestamp | Strategy::RowVersion => {
                order.is_some_and(|order| order.is_ge())
            }
            // The log knows, the row does not.
            Strategy::ChangeTracking => false,
        })
    }
}

/// How two texts of a type that windows follow compare; none where it is not known.
fn order(ty: SqlType, a: &str, b: &str) -> Option<std::cmp::Ordering> {
    use SqlType as T;
    match ty {
        T::TinyInt | T::SmallInt | T::Int | T::BigInt => {
            Some(a.parse::<i64>().ok()?.cmp(&b.parse::<i64>().ok()?))
        }
        T::Decimal { .. } | T::Numeric { .. } => {
            let number = |text: &str| text.replace('.', "").parse::<i128>().ok();
            Some(number(a)?.cmp(&number(b)?))
        }
        // Hexadecimal digits, or a date and a time, of one length each.
        T::RowVersion | T::Date | T::DateTime | T::SmallDateTime | T::DateTime2 { .. } => {
            Some(a.cmp(b))
        }
        T::DateTimeOffset { .. } => {
            let instant = |text: &str| {
                chrono::DateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f %:z").ok()
            };
            Some(instant(a)?.cmp(&instant(b)?))
        }
        T::Bit
        | T::Money
        | T::SmallMoney
        | T::Real
        | T::Float
        | T::Time { .. }
        | T::Char { .. }
        | T::VarChar { .. }
        | T::Text
        | T::NChar { .. }
        | T::NVarChar { .. }
        | T::NText
        | T::Binary { .. }
        | T::VarBinary { .. }
        | T::Image
        | T::UniqueIdentifier
        | T::Xml
        | T::SqlVariant
        | T::HierarchyId
        | T::Geometry
        | T::Geography
        | T::Json
        | T::Vector { .. } => None,
    }
}

/// Rows of both sides by key: which are on one side only, and in which columns the others differ. `lake` are the rows
/// that the server does not have.
async fn judge(
    ready: &Ready,
    grouping: &Grouping,
    unmatched: Vec<Unmatched>,
    mut lake: HashMap<u128, Vec<u128>>,
) -> Result<Vec<Found>> {
    lake.retain(|_, rows| !rows.is_empty());
    let mut found = Vec::with_capacity(unmatched.len());
    let mut wanted = Wanted::new();
    for Unmatched {
        found: mut row,
        values,
    } in unmatched
    {
        if let Some(rows) = lake.get_mut(&row.key)
            && let Some(other) = rows.pop()
        {
            row.difference = Difference::Differing;
            if !values.is_empty() {
                wanted.insert((row.key, other), (found.len(), values));
            }
        }
        found.push(row);
    }
    for (key, rows) in lake {
        for row in rows {
            if wanted.len() < 2 * DETAILED_MAX {
                wanted.insert((key, row), (found.len(), Vec::new()));
            }
            found.push(Found {
                difference: Difference::Extra,
                key,
                lake_key: None,
                row: None,
                is_pending: false,
                texts: Vec::new(),
                columns: Vec::new(),
            });
        }
    }
    if !wanted.is_empty() {
        details(ready, grouping, wanted, &mut found).await?;
    }
    Ok(found)
}

/// Says of rows that differ in which columns, and of rows that only the lake has what their keys are.
async fn details(
    ready: &Ready,
    grouping: &Grouping,
    mut wanted: Wanted,
    found: &mut [Found],
) -> Result<()> {
    let keys: HashSet<u128> = wanted.keys().map(|(key, _)| *key).collect();
    let mut buffer = Vec::new();
    let visit = |batch: &RecordBatch, rows: &Rows<'_>, row: usize, (key, _): (Hash, i64)| {
        if !keys.contains(&key.short()) {
            return Ok(());
        }
        let hash = rows.row(row, &mut buffer).short();
        let Some((at, values)) = wanted.remove(&(key.short(), hash)) else {
            return Ok(());
        };
        let found = &mut found[at];
        if found.difference == Difference::Extra {
            found.texts = ready.key_texts(batch, &ready.side.lake_shape, row);
            return Ok(());
        }
        for (column, server) in values.iter().enumerate() {
            let mut value = Vec::new();
            rows.value(column, row, &mut value);
            if value != *server {
                found.columns.push(column);
            }
        }
        Ok(())
    };
    ready.each_row(grouping.buckets, visit).await
}

/// Pairs keys that only the lake has with those of the server that equal them in its collation.
async fn spelled(
    sync: &Sync,
    ready: &Ready,
    grouping: &Grouping,
    mut found: Vec<Found>,
    links: &mut Links,
) -> Result<Vec<Found>> {
    let table = &ready.side.table;
    let may_equal = |ty: SqlType| ty.is_text() || matches!(ty, SqlType::VarBinary { .. });
    if !table.key_columns().any(|column| may_equal(column.ty)) {
        return Ok(found);
    }
    let is_extra = |row: &&mut Found| row.difference == Difference::Extra;
    let missing = found
        .iter()
        .filter(|row| row.difference == Difference::Missing);
    let mut missing: HashMap<u128, Found> = missing.map(|row| (row.key, row.clone())).collect();
    if missing.is_empty() {
        return Ok(found);
    }
    let mut extra: Vec<&mut Found> = found.iter_mut().filter(is_extra).collect();
    extra.retain(|row| !row.texts.is_empty());
    let width = table.key_columns().count() + 1;
    let key = table
        .key
        .iter()
        .flat_map(|key| key.columns.clone())
        .collect::<Vec<usize>>();
    let of = ready.digested(grouping.buckets);
    let mut paired = HashSet::new();
    for rows in extra.chunks_mut((PARAMS_MAX / width).max(1)) {
        let keys: Vec<Vec<Option<String>>> = rows.iter().map(|row| row.texts.clone()).collect();
        for (place, hash) in same(sync, ready, &respelled(&of, &keys), links).await? {
            if let Some(row) = rows.get_mut(place)
                && let Some(other) = missing.remove(&hash)
            {
                paired.insert(hash);
                **row = Found {
                    difference: Difference::Respelled,
                    lake_key: Some(row.key),
                    columns: key.clone(),
                    ..other
                };
            }
        }
    }
    let is_paired =
        |row: &Found| row.difference == Difference::Missing && paired.contains(&row.key);
    found.retain(|row| !is_paired(row));
    Ok(found)
}

/// The rows of a statement of [`respelled`].
async fn same(
    sync: &Sync,
    ready: &Ready,
    statement: &crate::mssql::sql::Statement,
    links: &mut Links,
) -> Result<Vec<(usize, u128)>> {
    let mut found = Vec::new();
    for row in ask(sync, ready, statement, links).await? {
        let place = row.int("place").map_err(channel_error(ready))?;
        let Cell::Bytes(bytes) = row.cell("digest").map_err(channel_error(ready))? else {
            return Err(schema_error(ready, "a digest is no binary"));
        };
        let Ok(bytes) = <[u8; 16]>::try_from(bytes.as_slice()) else {
            return Err(schema_error(ready, "a digest has another length"));
        };
        let place = usize::try_from(place).unwrap_or(usize::MAX);
        found.push((place, u128::from_be_bytes(bytes)));
    }
    Ok(found)
}

/// How many of the keys each column differs in.
pub(super) fn columns_of<'a>(
    ready: &Ready,
    found: impl Iterator<Item = &'a Found>,
) -> BTreeMap<String, u64> {
    let mut columns = BTreeMap::new();
    for column in found.flat_map(|row| &row.columns) {
        if let Some(column) = ready.side.table.columns.get(*column) {
            *columns.entry(column.name.clone()).or_default() += 1;
        }
    }
    columns
}
