//! Which keys a file or a row group can hold, by the least and greatest value of its key columns.
//!
//! Bounds of many files are compared at once: a table of 100,000 files is sieved in some hundredths of a second.

use crate::lake::error::{LakeError, Result};
use crate::lake::keys::encode::{KeySet, folded_bounds};
use crate::lake::read::datafile::{OpenFile, widened};
use crate::lake::read::entries::Described;
use crate::lake::schema::Shape;
use crate::schema::{KeyFold, LakeType};
use arrow_array::cast::AsArray;
use arrow_array::{
    Array, ArrayRef, BinaryArray, Date32Array, Decimal128Array, FixedSizeBinaryArray, Int32Array,
    Int64Array, StringArray, Time64MicrosecondArray, TimestampMicrosecondArray,
};
use arrow_row::{RowConverter, Rows, SortField};
use arrow_schema::{ArrowError, DataType};
use parquet::arrow::arrow_reader::statistics::StatisticsConverter;
use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

/// One key column over all keys of a set.
pub(in crate::lake) struct KeyColumn {
    /// Position in the shape.
    pub(in crate::lake) field: usize,
    pub(in crate::lake) fold: Option<KeyFold>,
    /// Of this column alone.
    rows: RowConverter,
    has_null: bool,
    /// Encoded; none when all are NULL.
    least: Option<Vec<u8>>,
    greatest: Option<Vec<u8>>,
}

/// What is known of a column in each of some files or row groups; NULL where nothing is.
pub(in crate::lake) struct Statistics {
    pub(in crate::lake) lower: ArrayRef,
    pub(in crate::lake) upper: ArrayRef,
    pub(in crate::lake) nulls: Vec<Option<u64>>,
}

/// Least and greatest key of a column in each of some files or row groups.
enum Intervals {
    Stored(Rows, Rows),
    Folded(Vec<(Vec<u8>, Vec<u8>)>),
}

impl Intervals {
    fn get(&self, at: usize) -> (&[u8], &[u8]) {
        match self {
            Intervals::Stored(lower, upper) => (lower.row(at).data(), upper.row(at).data()),
            Intervals::Folded(both) => (&both[at].0, &both[at].1),
        }
    }
}

/// For each of so many files or row groups the ranks of the keys that it can hold; none where it can hold no key.
pub(in crate::lake) fn ranges(
    columns: &[KeyColumn],
    keys: &KeySet,
    known: &[Option<Statistics>],
    count: usize,
) -> Result<Vec<Option<Range<usize>>>> {
    let mut ranges = vec![Some(0..keys.len()); count];
    for (at, (column, known)) in columns.iter().zip(known).enumerate() {
        let Some(known) = known else { continue };
        let intervals = column.intervals(known)?;
        for (number, range) in ranges.iter_mut().enumerate() {
            if known.lower.is_null(number) || known.upper.is_null(number) {
                continue;
            }
            let may_hold_null = known.nulls.get(number).copied().flatten() != Some(0);
            if range.is_none() || column.has_null && may_hold_null {
                continue;
            }
            let (lower, upper) = intervals.get(number);
            if !column.overlaps(lower, upper) {
                *range = None;
            } else if at == 0 {
                *range = Some(keys.between(lower, upper)).filter(|range| !range.is_empty());
            }
        }
    }
    Ok(ranges)
}

impl KeyColumn {
    pub(in crate::lake) fn new(field: usize, fold: Option<KeyFold>, rows: RowConverter) -> Self {
        Self {
            field,
            fold,
            rows,
            has_null: false,
            least: None,
            greatest: None,
        }
    }

    /// Whether a key lies between two encoded values. Without any but NULL, a file that holds none has no match.
    fn overlaps(&self, lower: &[u8], upper: &[u8]) -> bool {
        match (&self.least, &self.greatest) {
            (Some(least), Some(greatest)) => {
                least.as_slice() <= upper && greatest.as_slice() >= lower
            }
            (_, _) => false,
        }
    }

    /// Widens the range of the column by decoded keys.
    pub(in crate::lake) fn include(&mut self, values: &ArrayRef) -> Result<()> {
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
    fn intervals(&self, known: &Statistics) -> Result<Intervals> {
        let failed = || LakeError::arrow("keys");
        let stored = || -> std::result::Result<Intervals, ArrowError> {
            let lower = self
                .rows
                .convert_columns(std::slice::from_ref(&known.lower))?;
            let upper = self
                .rows
                .convert_columns(std::slice::from_ref(&known.upper))?;
            Ok(Intervals::Stored(lower, upper))
        };
        let Some(fold) = self.fold else {
            return stored().map_err(failed());
        };
        // A folded bound may end within a character. Text and binary are encoded alike.
        let rows = RowConverter::new(vec![SortField::new(DataType::Binary)]).map_err(failed())?;
        let encode = |bytes: Vec<u8>| -> Result<Vec<u8>> {
            let value: ArrayRef = Arc::new(BinaryArray::from(vec![&bytes[..]]));
            let encoded = rows.convert_columns(&[value]).map_err(failed())?;
            Ok(encoded.row(0).as_ref().to_vec())
        };
        let mut folded = Vec::with_capacity(known.lower.len());
        for at in 0..known.lower.len() {
            folded.push(
                match (bytes_of(&known.lower, at), bytes_of(&known.upper, at)) {
                    (Some(lower), Some(upper)) => {
                        let (lower, upper) = folded_bounds(lower, upper, fold);
                        (encode(lower)?, encode(upper)?)
                    }
                    // NULL: nothing is known here, and nobody asks.
                    (None, None) | (None, Some(_)) | (Some(_), None) => Default::default(),
                },
            );
        }
        Ok(Intervals::Folded(folded))
    }
}

/// The bytes under which a value of a filtered type is known to its bloom filter; none for NULL and other types.
pub(in crate::lake) fn bytes_of(column: &ArrayRef, row: usize) -> Option<&[u8]> {
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

impl Statistics {
    /// From the footer of a file. None when it says nothing usable: then nothing is sieved by this column.
    pub(in crate::lake) fn of_row_groups(
        open: &OpenFile,
        shape: &Shape,
        column: &KeyColumn,
    ) -> Option<Self> {
        let ty = shape.arrow.field(column.field).data_type();
        if ty.is_floating() {
            // Statistics leave NaN out and do not tell zeros apart.
            return None;
        }
        let (_, name) = open.column(column.field)?;
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

    /// From the manifests.
    pub(in crate::lake) fn of_files<F: Described>(
        files: &[&F],
        shape: &Shape,
        field: usize,
    ) -> Option<Self> {
        let lake = shape.schema.fields[field].ty;
        let ty = shape.arrow.field(field).data_type();
        let id = shape.ids[field];
        let known: Vec<_> = files.iter().map(|file| file.bounds(id)).collect();
        let lower = known.iter().map(|known| known.as_ref()?.lower.as_ref());
        let upper = known.iter().map(|known| known.as_ref()?.upper.as_ref());
        Some(Self {
            lower: values(lake, ty, lower)?,
            upper: values(lake, ty, upper)?,
            nulls: known.iter().map(|known| known.as_ref()?.nulls).collect(),
        })
    }
}

/// The least value of a field in each file, in a form that sorts as the values do; none where it is not known.
pub(in crate::lake) fn lowest<F: Described>(
    files: &[&F],
    shape: &Shape,
    field: usize,
) -> Result<Vec<Option<Vec<u8>>>> {
    let Some(known) = Statistics::of_files(files, shape, field) else {
        return Ok(vec![None; files.len()]);
    };
    let sort = SortField::new(known.lower.data_type().clone());
    let rows = RowConverter::new(vec![sort])
        .and_then(|rows| rows.convert_columns(std::slice::from_ref(&known.lower)))
        .map_err(LakeError::arrow("bounds"))?;
    let row = |at: usize| (!known.lower.is_null(at)).then(|| rows.row(at).data().to_vec());
    Ok((0..files.len()).map(row).collect())
}

/// Single values of the specification as a column of the table's type, NULL where a value is missing or of another
/// length than its type; none for types whose bounds do not sieve. A bound from before a promotion is shorter.
fn values<'v>(
    lake: LakeType,
    ty: &DataType,
    bytes: impl Iterator<Item = Option<&'v Cow<'v, [u8]>>>,
) -> Option<ArrayRef> {
    let bytes = bytes.map(|value| value.map(|value| &value[..]));
    let int = |value: &[u8]| Some(i32::from_le_bytes(value.try_into().ok()?));
    let long = |value: &[u8]| match value.len() {
        4 => int(value).map(i64::from),
        _ => Some(i64::from_le_bytes(value.try_into().ok()?)),
    };
    let array: ArrayRef = match lake {
        LakeType::Boolean | LakeType::Float | LakeType::Double | LakeType::Uuid => return None,
        LakeType::Int => Arc::new(bytes.map(|value| int(value?)).collect::<Int32Array>()),
        LakeType::Long => Arc::new(bytes.map(|value| long(value?)).collect::<Int64Array>()),
        LakeType::Date => Arc::new(bytes.map(|value| int(value?)).collect::<Date32Array>()),
        LakeType::Time => {
            let micros = bytes.map(|value| long(value.filter(|value| value.len() == 8)?));
            Arc::new(micros.collect::<Time64MicrosecondArray>())
        }
        LakeType::Timestamp | LakeType::TimestampTz => {
            let micros = bytes.map(|value| long(value.filter(|value| value.len() == 8)?));
            let array = micros.collect::<TimestampMicrosecondArray>();
            let DataType::Timestamp(_, zone) = ty else {
                return None;
            };
            Arc::new(array.with_timezone_opt(zone.clone()))
        }
        LakeType::String => {
            let texts = bytes.map(|value| std::str::from_utf8(value?).ok());
            Arc::new(texts.collect::<StringArray>())
        }
        LakeType::Binary => Arc::new(bytes.collect::<BinaryArray>()),
        LakeType::Fixed(length) => {
            let length = usize::from(length);
            let fixed = bytes.map(|value| value.filter(|value| value.len() == length));
            let length = i32::try_from(length).ok()?;
            Arc::new(FixedSizeBinaryArray::try_from_sparse_iter_with_size(fixed, length).ok()?)
        }
        LakeType::Decimal { .. } => {
            let DataType::Decimal128(precision, scale) = ty else {
                return None;
            };
            let unscaled = bytes
                .map(|value| decimal(value?))
                .collect::<Decimal128Array>();
            Arc::new(unscaled.with_precision_and_scale(*precision, *scale).ok()?)
        }
    };
    (array.data_type() == ty).then_some(array)
}

/// Two's complement, the highest byte first, in as few bytes as it takes.
fn decimal(bytes: &[u8]) -> Option<i128> {
    let negative = *bytes.first()? & 0x80 != 0;
    let mut wide = [if negative { 0xFF } else { 0 }; 16];
    let start = wide.len().checked_sub(bytes.len())?;
    wide[start..].copy_from_slice(bytes);
    Some(i128::from_be_bytes(wide))
}
