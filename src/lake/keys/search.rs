//! The last sieve of a lookup: which rows of a batch can hold a key, by its first column alone.
//!
//! Files of a mirror table are mostly in key order. Where the first key column is an integer and ascends within a
//! batch, the few rows with the value of a wanted key are found by binary search, and only those are encoded and
//! compared. Any other batch is compared row by row.

use crate::lake::error::{LakeError, Result};
use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type};
use arrow_array::{Array, ArrayRef, RecordBatch, UInt32Array};
use arrow_buffer::ScalarBuffer;
use arrow_select::take::take_arrays;

/// Searching costs as much as comparing so many rows.
const ROWS_A_SEARCH: usize = 8;

/// Values of the first column of all keys.
pub(in crate::lake) struct Sieve {
    /// Ascending and distinct; none where the column is no integer or a key is NULL there.
    values: Option<Vec<i64>>,
}

impl Sieve {
    /// No values yet.
    pub(in crate::lake) fn new() -> Self {
        Self {
            values: Some(Vec::new()),
        }
    }

    /// Adds the first column of some keys.
    pub(in crate::lake) fn include(&mut self, column: &ArrayRef) {
        match (&mut self.values, integers(column)) {
            (Some(values), Some(more)) => values.extend_from_slice(&more),
            (values, _) => *values = None,
        }
    }

    /// Ends the keys.
    pub(in crate::lake) fn seal(&mut self) {
        if let Some(values) = &mut self.values {
            values.sort_unstable();
            values.dedup();
        }
    }

    /// The columns and positions of those rows that can hold a key.
    pub(in crate::lake) fn rows(
        &self,
        batch: RecordBatch,
        positions: Vec<u64>,
    ) -> Result<(Vec<ArrayRef>, Vec<u64>)> {
        let columns = batch.columns();
        let rows = self.values.as_ref().zip(columns.first());
        let Some(rows) = rows.and_then(|(wanted, column)| ascending(wanted, &integers(column)?))
        else {
            return Ok((columns.to_vec(), positions));
        };
        let positions = rows.iter().map(|&row| positions[row as usize]).collect();
        let rows = UInt32Array::from(rows);
        let columns = take_arrays(columns, &rows, None).map_err(LakeError::arrow("keys"))?;
        Ok((columns, positions))
    }
}

/// The values of an integer column without NULL.
fn integers(column: &ArrayRef) -> Option<ScalarBuffer<i64>> {
    if column.null_count() > 0 {
        return None;
    }
    if let Some(long) = column.as_primitive_opt::<Int64Type>() {
        return Some(long.values().clone());
    }
    let int = column.as_primitive_opt::<Int32Type>()?;
    Some(int.values().iter().map(|&value| value.into()).collect())
}

/// The rows with one of the wanted values; none when the rows do not ascend or are too few to be searched.
fn ascending(wanted: &[i64], rows: &[i64]) -> Option<Vec<u32>> {
    let (first, last) = (rows.first()?, rows.last()?);
    let from = wanted.partition_point(|value| value < first);
    let to = wanted.partition_point(|value| value <= last);
    let wanted = wanted.get(from..to)?;
    if wanted.len() * ROWS_A_SEARCH > rows.len() || !rows.is_sorted() {
        return None;
    }
    let mut found = Vec::new();
    let mut at = 0;
    for value in wanted {
        at += rows[at..].partition_point(|row| row < value);
        while rows.get(at) == Some(value) {
            found.push(at as u32);
            at += 1;
        }
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::{Int32Array, Int64Array, StringArray};
    use proptest::prelude::*;
    use std::sync::Arc;

    fn sieve(keys: &ArrayRef) -> Sieve {
        let mut sieve = Sieve::new();
        sieve.include(keys);
        sieve.seal();
        sieve
    }

    /// Of rows at the positions 100, 101 and so on.
    fn pass(keys: &ArrayRef, rows: &ArrayRef) -> (ArrayRef, Vec<u64>) {
        let batch = RecordBatch::try_from_iter([("key", rows.clone())]).unwrap();
        let positions = (100..).take(rows.len()).collect();
        let (columns, positions) = sieve(keys).rows(batch, positions).unwrap();
        assert_eq!(columns.len(), 1);
        (columns[0].clone(), positions)
    }

    #[test]
    fn a_column_that_is_no_integer_or_has_null_passes_whole() {
        let integers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..100));
        let text: ArrayRef = Arc::new(StringArray::from(vec!["a"]));
        let null: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None]));
        for keys in [&text, &null] {
            let (passed, positions) = pass(keys, &integers);
            assert_eq!((passed.len(), positions.len()), (100, 100));
        }
        let one: ArrayRef = Arc::new(Int64Array::from(vec![1]));
        assert_eq!(pass(&one, &null).1, [100, 101]);
        assert_eq!(pass(&one, &integers), (one, vec![101]));
    }

    proptest! {
        #[test]
        fn every_row_with_a_key_passes(
            keys in proptest::collection::vec(-20_i32..20, 0..6),
            rows in proptest::collection::vec(-20_i32..20, 0..200),
            sorted in any::<bool>(),
        ) {
            let mut rows = rows;
            if sorted {
                rows.sort_unstable();
            }
            let held = |row: &i32| keys.contains(row);
            let wanted: ArrayRef = Arc::new(Int64Array::from_iter_values(keys.iter().map(|&key| i64::from(key))));
            let column: ArrayRef = Arc::new(Int32Array::from(rows.clone()));
            let (passed, positions) = pass(&wanted, &column);
            let expected: Vec<u64> = (100..).zip(&rows).filter(|(_, row)| held(row)).map(|(at, _)| at).collect();
            if positions.len() == rows.len() {
                // Few rows, or in no order; or every one has a key.
                prop_assert!(!rows.is_sorted() || rows.len() < 40 || expected.len() == rows.len());
            } else {
                prop_assert_eq!(&positions, &expected);
            }
            let values: Vec<i32> = positions.iter().map(|&at| rows[at as usize - 100]).collect();
            prop_assert_eq!(passed.as_primitive::<Int32Type>().values(), &values[..]);
        }
    }
}
