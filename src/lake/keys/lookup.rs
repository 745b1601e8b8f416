//! Finding the rows of given keys in data files, reading as little as possible.
//!
//! Three sieves, each cheaper than what follows: the bounds in the manifest (no file is opened), the statistics and
//! bloom filters of row groups (the footer is read), and then the key columns of the row groups that are left,
//! where ascending rows are [searched](crate::lake::keys::search) instead of compared one by one. What is never
//! done is to trust a sieve for a match: every match compares whole keys.
//!
//! **Bounds and folding.** Bounds are about values as stored; a key that folds stands for several of those. So the
//! interval of stored values is first widened to one of folded values ([`folded_bounds`]): ordered digits stay a
//! narrow interval, letters widen it where capitals and small letters sort apart.

use crate::lake::error::{LakeError, Result};
use crate::lake::keys::encode::{KeyEncoder, KeySet, folded_bounds, folds};
use crate::lake::keys::search::Sieve;
use crate::lake::read::datafile::{OpenFile, Wanted, merged, widened};
use crate::lake::schema::Shape;
use crate::lake::store::Store;
use crate::schema::KeyFold;
use arrow_array::cast::AsArray;
use arrow_array::{
    Array, ArrayRef, BinaryArray, Date32Array, Decimal128Array, FixedSizeBinaryArray, Int32Array,
    Int64Array, StringArray, Time64MicrosecondArray, TimestampMicrosecondArray,
};
use arrow_row::{RowConverter, SortField};
use arrow_schema::{DataType, TimeUnit};
use futures::{StreamExt, TryStreamExt, future};
use iceberg::spec::{DataFile, Datum, PrimitiveLiteral};
use parquet::arrow::arrow_reader::statistics::StatisticsConverter;
use parquet::bloom_filter::Sbbf;
use serde::{Deserialize, Serialize};
use std::num::NonZero;
use std::ops::Range;
use std::sync::Arc;
use std::thread::available_parallelism;

/// What looking up keys has cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LookupStats {
    /// Files that could have held a key before anything was known about them.
    pub files: u64,
    /// Files of which at least one row group was read.
    pub files_probed: u64,
    /// Row groups of the files that were opened.
    pub row_groups: u64,
    /// Row groups whose key columns were read.
    pub row_groups_probed: u64,
    /// Rows of those row groups.
    pub rows_probed: u64,
}

impl LookupStats {
    pub(in crate::lake) fn add(&mut self, other: LookupStats) {
        self.files += other.files;
        self.files_probed += other.files_probed;
        self.row_groups += other.row_groups;
        self.row_groups_probed += other.row_groups_probed;
        self.rows_probed += other.rows_probed;
    }
}

/// With more candidate keys than this for a row group its bloom filters are not asked: one of them will be there.
const BLOOM_KEYS_MAX: usize = 4096;
/// Row groups are decoded on all cores at once, as long as their key columns are no more bytes than this before
/// compression.
const DECODE_BYTES: u64 = 32 << 20;
/// Threads of one lookup at most: they come from the runtime's pool for blocking work (512 threads), of which their
/// reads of files need some as well, with up to 64 tables at once.
const THREADS_MAX: usize = 4;
/// Keys decoded at a time.
const DECODE_KEYS: usize = 16 * 1024;

/// Looks one sealed key set up in files.
pub(in crate::lake) struct Lookup<'a> {
    store: &'a Store,
    shape: Arc<Shape>,
    encoder: &'a KeyEncoder,
    keys: &'a KeySet,
    columns: Vec<KeyColumn>,
    sieve: Arc<Sieve>,
    pub(in crate::lake) stats: LookupStats,
}

/// One key column over all keys of the set.
struct KeyColumn {
    field: usize,
    id: i32,
    fold: Option<KeyFold>,
    /// Of this column alone.
    rows: RowConverter,
    has_null: bool,
    /// Encoded; none when all are NULL.
    least: Option<Vec<u8>>,
    greatest: Option<Vec<u8>>,
}

/// What is known of a column in a file or row group: one value each.
struct Bounds {
    lower: ArrayRef,
    upper: ArrayRef,
    may_hold_null: bool,
}

impl<'a> Lookup<'a> {
    pub(in crate::lake) fn new(
        store: &'a Store,
        shape: Arc<Shape>,
        encoder: &'a KeyEncoder,
        keys: &'a KeySet,
    ) -> Result<Self> {
        let mut columns = Vec::new();
        for (key, ty) in shape.schema.key.iter().zip(encoder.types()) {
            let field = &shape.schema.fields[key.field];
            columns.push(KeyColumn {
                field: key.field,
                id: shape.ids[key.field],
                fold: folds(field.ty, key.fold).then_some(key.fold),
                rows: RowConverter::new(vec![SortField::new(ty.clone())])
                    .map_err(LakeError::arrow("keys"))?,
                has_null: false,
                least: None,
                greatest: None,
            });
        }
        let mut sieve = Sieve::new();
        for start in (0..keys.len()).step_by(DECODE_KEYS) {
            let end = (start + DECODE_KEYS).min(keys.len());
            let decoded = encoder.decode((start..end).map(|number| keys.key(number)))?;
            for (column, values) in columns.iter_mut().zip(&decoded) {
                column.include(values)?;
            }
            sieve.include(&decoded[0]);
        }
        sieve.seal();
        Ok(Self {
            store,
            shape,
            encoder,
            keys,
            columns,
            sieve: Arc::new(sieve),
            stats: LookupStats::default(),
        })
    }

    /// Calls `found` with the number of each key of the set and the position of each of its rows in the file, in no
    /// particular order.
    pub(in crate::lake) async fn probe(
        &mut self,
        file: &DataFile,
        mut found: impl FnMut(usize, u64),
    ) -> Result<()> {
        self.stats.files += 1;
        if self.keys.is_empty() || !self.file_may_match(file)? {
            return Ok(());
        }
        let open = OpenFile::open(self.store, self.shape.clone(), file, false).await?;
        let groups = self.row_groups(&open).await?;
        self.stats.row_groups += open.footer().num_row_groups() as u64;
        if groups.is_empty() {
            return Ok(());
        }
        self.stats.files_probed += 1;
        self.stats.row_groups_probed += groups.len() as u64;
        let rows_of = |&group: &usize| open.footer().row_group(group).num_rows().max(0) as u64;
        self.stats.rows_probed += groups.iter().map(rows_of).sum::<u64>();
        let fields = self.shape.key_fields();
        let largest = groups.iter().map(|&group| open.bytes(&fields, group)).max();
        let threads = DECODE_BYTES / largest.unwrap_or_default().max(1);
        let cores = available_parallelism().map_or(1, NonZero::get);
        let most = cores.min(THREADS_MAX).min(groups.len());
        let threads = (threads as usize).clamp(1, most);
        let share = |thread| {
            let groups = groups.iter().copied().skip(thread).step_by(threads);
            let rows = open.read(&fields, &Wanted::Groups(groups.collect()))?;
            let sieve = self.sieve.clone();
            let sieved = rows.map(move |rows| rows.and_then(|(batch, at)| sieve.rows(batch, at)));
            let some = sieved.try_filter(|(_, at)| future::ready(!at.is_empty()));
            Ok(some.boxed())
        };
        let mut rows = merged((0..threads).map(share).collect::<Result<_>>()?);
        while let Some((columns, positions)) = rows.try_next().await? {
            let encoded = self.encoder.encode(&columns)?;
            for (row, &position) in encoded.iter().zip(&positions) {
                if let Some(number) = self.keys.find(row.as_ref()) {
                    found(number, position);
                }
            }
        }
        Ok(())
    }

    /// The first sieve: bounds in the manifest.
    fn file_may_match(&self, file: &DataFile) -> Result<bool> {
        let bounds = |column: &KeyColumn| {
            let ty = self.shape.arrow.field(column.field).data_type();
            let nulls = file.null_value_counts().get(&column.id);
            Some(Bounds {
                lower: datum_array(file.lower_bounds().get(&column.id)?, ty)?,
                upper: datum_array(file.upper_bounds().get(&column.id)?, ty)?,
                may_hold_null: nulls != Some(&0),
            })
        };
        let bounds: Vec<Option<Bounds>> = self.columns.iter().map(bounds).collect();
        Ok(self.candidates(&bounds)?.is_some())
    }

    /// The second sieve: statistics, then bloom filters, of each row group.
    async fn row_groups(&self, open: &OpenFile) -> Result<Vec<usize>> {
        let statistics: Vec<Option<GroupStatistics>> = self
            .columns
            .iter()
            .map(|column| GroupStatistics::of(open, &self.shape, column.field))
            .collect();
        let mut chosen = Vec::new();
        for group in 0..open.footer().num_row_groups() {
            let bounds: Vec<Option<Bounds>> = statistics
                .iter()
                .map(|known| known.as_ref().and_then(|known| known.bounds(group)))
                .collect();
            if let Some(candidates) = self.candidates(&bounds)?
                && self.blooms_may_match(open, group, candidates).await?
            {
                chosen.push(group);
            }
        }
        Ok(chosen)
    }

    /// Ranks of the keys that bounds allow; none when they allow no key.
    fn candidates(&self, bounds: &[Option<Bounds>]) -> Result<Option<Range<usize>>> {
        let mut range = 0..self.keys.len();
        for (at, (column, bounds)) in self.columns.iter().zip(bounds).enumerate() {
            let Some(bounds) = bounds else { continue };
            if column.has_null && bounds.may_hold_null {
                continue;
            }
            let (Some(least), Some(greatest)) = (&column.least, &column.greatest) else {
                // All keys are NULL here, and the file holds none.
                return Ok(None);
            };
            let (lower, upper) = column.interval(bounds)?;
            if *least > upper || *greatest < lower {
                return Ok(None);
            }
            if at == 0 {
                range = self.keys.between(&lower, &upper);
                if range.is_empty() {
                    return Ok(None);
                }
            }
        }
        Ok(Some(range))
    }

    async fn blooms_may_match(
        &self,
        open: &OpenFile,
        group: usize,
        candidates: Range<usize>,
    ) -> Result<bool> {
        if candidates.len() > BLOOM_KEYS_MAX {
            return Ok(true);
        }
        let failed = || LakeError::parquet("read", open.uri());
        let mut filters: Vec<(usize, Sbbf)> = Vec::new();
        for (at, column) in self.columns.iter().enumerate() {
            if let Some((leaf, _)) = open.column(column.field)
                && column.fold.is_none()
                && open
                    .footer()
                    .row_group(group)
                    .column(leaf)
                    .bloom_filter_offset()
                    .is_some()
                && let Some(filter) = open
                    .builder()
                    .get_row_group_column_bloom_filter(group, leaf)
                    .await
                    .map_err(failed())?
            {
                filters.push((at, filter));
            }
        }
        if filters.is_empty() {
            return Ok(true);
        }
        let count = candidates.len();
        let keys = candidates.map(|rank| self.keys.key(self.keys.ranked(rank)));
        let columns = self.encoder.decode(keys)?;
        let maybe = |row: usize| {
            filters
                .iter()
                .all(|(at, filter)| bytes_of(&columns[*at], row).is_none_or(|b| filter.check(b)))
        };
        Ok((0..count).any(maybe))
    }
}

/// The bytes under which a value of a filtered type is known to its bloom filter; none for NULL and other types.
fn bytes_of(column: &ArrayRef, row: usize) -> Option<&[u8]> {
    if column.is_null(row) {
        return None;
    }
    if let Some(text) = column.as_string_opt::<i32>() {
        return Some(text.value(row).as_bytes());
    }
    if let Some(bytes) = column.as_binary_opt::<i32>() {
        return Some(bytes.value(row));
    }
    column
        .as_fixed_size_binary_opt()
        .map(|bytes| bytes.value(row))
}

impl KeyColumn {
    /// Widens the range of the column by decoded keys.
    fn include(&mut self, values: &ArrayRef) -> Result<()> {
        self.has_null |= values.null_count() > 0;
        let rows = self
            .rows
            .convert_columns(std::slice::from_ref(values))
            .map_err(LakeError::arrow("keys"))?;
        for (row, encoded) in rows.iter().enumerate() {
            if values.is_null(row) {
                continue;
            }
            let encoded = encoded.as_ref();
            if self.least.as_deref().is_none_or(|known| encoded < known) {
                self.least = Some(encoded.to_vec());
            }
            if self.greatest.as_deref().is_none_or(|known| encoded > known) {
                self.greatest = Some(encoded.to_vec());
            }
        }
        Ok(())
    }

    /// The encoded keys between which every value within the bounds folds.
    fn interval(&self, bounds: &Bounds) -> Result<(Vec<u8>, Vec<u8>)> {
        let encode = |rows: &RowConverter, value: ArrayRef| -> Result<Vec<u8>> {
            let rows = rows
                .convert_columns(&[value])
                .map_err(LakeError::arrow("keys"))?;
            Ok(rows.row(0).as_ref().to_vec())
        };
        let texts = (bytes_of(&bounds.lower, 0), bytes_of(&bounds.upper, 0));
        let (Some(fold), (Some(lower), Some(upper))) = (self.fold, texts) else {
            return Ok((
                encode(&self.rows, bounds.lower.clone())?,
                encode(&self.rows, bounds.upper.clone())?,
            ));
        };
        // A folded bound may end within a character. Text and binary are encoded alike.
        let (lower, upper) = folded_bounds(lower, upper, fold);
        let rows = RowConverter::new(vec![SortField::new(DataType::Binary)])
            .map_err(LakeError::arrow("keys"))?;
        let binary = |bytes: Vec<u8>| -> ArrayRef { Arc::new(BinaryArray::from(vec![&bytes[..]])) };
        Ok((encode(&rows, binary(lower))?, encode(&rows, binary(upper))?))
    }
}

/// Statistics of a column in every row group.
struct GroupStatistics {
    lower: ArrayRef,
    upper: ArrayRef,
    nulls: Vec<Option<u64>>,
}

impl GroupStatistics {
    /// None when the file says nothing usable: then nothing is sieved by this column.
    fn of(open: &OpenFile, shape: &Shape, field: usize) -> Option<Self> {
        let ty = shape.arrow.field(field).data_type();
        if ty.is_floating() {
            // Statistics leave NaN out and do not tell zeros apart.
            return None;
        }
        let (_, name) = open.column(field)?;
        let metadata = open.metadata();
        let groups = open.footer().row_groups();
        let converter =
            StatisticsConverter::try_new(name, metadata.schema(), metadata.parquet_schema())
                .ok()?;
        let lower = converter.row_group_mins(groups).ok()?;
        let upper = converter.row_group_maxes(groups).ok()?;
        let nulls = converter.row_group_null_counts(groups).ok()?;
        Some(Self {
            lower: widened(&lower, ty).ok()?,
            upper: widened(&upper, ty).ok()?,
            nulls: nulls.iter().collect(),
        })
    }

    fn bounds(&self, group: usize) -> Option<Bounds> {
        if self.lower.is_null(group) || self.upper.is_null(group) {
            return None;
        }
        Some(Bounds {
            lower: self.lower.slice(group, 1),
            upper: self.upper.slice(group, 1),
            may_hold_null: self.nulls.get(group).copied().flatten() != Some(0),
        })
    }
}

/// A bound from a manifest as one value of the table's type; none for types whose bounds do not sieve.
fn datum_array(datum: &Datum, ty: &DataType) -> Option<ArrayRef> {
    let array: ArrayRef = match (datum.literal(), ty) {
        (PrimitiveLiteral::Int(value), DataType::Int32) => Arc::new(Int32Array::from(vec![*value])),
        (PrimitiveLiteral::Int(value), DataType::Int64) => {
            Arc::new(Int64Array::from(vec![i64::from(*value)]))
        }
        (PrimitiveLiteral::Int(value), DataType::Date32) => {
            Arc::new(Date32Array::from(vec![*value]))
        }
        (PrimitiveLiteral::Long(value), DataType::Int64) => {
            Arc::new(Int64Array::from(vec![*value]))
        }
        (PrimitiveLiteral::Long(value), DataType::Time64(TimeUnit::Microsecond)) => {
            Arc::new(Time64MicrosecondArray::from(vec![*value]))
        }
        (PrimitiveLiteral::Long(value), DataType::Timestamp(TimeUnit::Microsecond, zone)) => {
            let array = TimestampMicrosecondArray::from(vec![*value]);
            Arc::new(array.with_timezone_opt(zone.clone()))
        }
        (PrimitiveLiteral::String(value), DataType::Utf8) => {
            Arc::new(StringArray::from(vec![value.as_str()]))
        }
        (PrimitiveLiteral::Binary(value), DataType::Binary) => {
            Arc::new(BinaryArray::from(vec![value.as_slice()]))
        }
        (PrimitiveLiteral::Binary(value), DataType::FixedSizeBinary(_)) => {
            Arc::new(FixedSizeBinaryArray::try_from_iter([value].into_iter()).ok()?)
        }
        (PrimitiveLiteral::Int128(value), DataType::Decimal128(precision, scale)) => {
            let array = Decimal128Array::from(vec![*value]);
            Arc::new(array.with_precision_and_scale(*precision, *scale).ok()?)
        }
        _ => return None,
    };
    (array.data_type() == ty).then_some(array)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{LakeField, LakeKeyField, LakeSchema, LakeType, Role};
    use proptest::prelude::*;

    /// A shape with one text key.
    fn shape(fold: KeyFold) -> Arc<Shape> {
        let schema = LakeSchema {
            fields: vec![LakeField {
                name: "k".into(),
                ty: LakeType::String,
                required: true,
                source: Some(0),
                role: Role::Value,
            }],
            key: vec![LakeKeyField { field: 0, fold }],
        };
        Arc::new(Shape {
            arrow: crate::schema::mapping::arrow_schema(&schema),
            schema,
            ids: vec![1],
            unfilled: vec![false],
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        /// No sieve may drop a file that holds a spelling of a key.
        #[test]
        fn bounds_never_hide_a_spelling(
            stored in proptest::collection::vec("[aAbZz_01é \\t]{0,4}", 1..4),
            key in "[aAbZz_01é\\t ]{0,4}",
            others in proptest::collection::vec("[aAbZz_01é\\t ]{0,4}", 0..3),
            trim in any::<bool>(),
            ascii_case in any::<bool>(),
        ) {
            let shape = shape(KeyFold { trim, ascii_case });
            let encoder = KeyEncoder::new(&shape).unwrap();
            let mut keys = KeySet::default();
            let all: Vec<&str> = others.iter().map(String::as_str).chain([key.as_str()]).collect();
            let column: ArrayRef = Arc::new(StringArray::from(all));
            for (row, encoded) in (0_u32..).zip(encoder.encode(&[column]).unwrap().iter()) {
                keys.insert(encoded.as_ref(), crate::lake::keys::encode::KeyState::Row(row));
            }
            keys.seal();
            let stored_column: ArrayRef = Arc::new(StringArray::from(stored.clone()));
            let held = encoder.encode(&[stored_column]).unwrap();
            let matches = held.iter().any(|row| keys.find(row.as_ref()).is_some());
            let store = Store::open("/nonexistent").unwrap();
            let lookup = Lookup::new(&store, shape.clone(), &encoder, &keys).unwrap();
            let one = |text: &String| -> ArrayRef { Arc::new(StringArray::from(vec![text.as_str()])) };
            let bounds = Bounds {
                lower: one(stored.iter().min().unwrap()),
                upper: one(stored.iter().max().unwrap()),
                may_hold_null: false,
            };
            let kept = lookup.candidates(&[Some(bounds)]).unwrap().is_some();
            prop_assert!(kept || !matches, "{stored:?} {key:?}");
        }
    }
}
