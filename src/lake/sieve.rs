//! The last sieve of a lookup: which rows of a batch can hold a key, by its first column alone.
//!
//! Files of a mirror table are mostly in key order. Where the first key column is an integer and ascends within a batch, the few rows with the value of a
//! wanted key are found by binary search, and only those are encoded and compared. Any other batch is compared row by row.

use super::error::{LakeError, Result};
use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type};
use arrow_array::{Array, ArrayRef, UInt32Array};
use arrow_buffer::ScalarBuffer;
use arrow_select::take::take_arrays;

/// Searching costs as much as comparing so many rows.
const ROWS_A_SEARCH: usize = 8;

/// Values of the first column of all keys.
pub(super) struct Sieve {
    /// Ascending and distinct; none where the column is no integer or a key is NULL there.
    values: Option<Vec<i64>>,
}

impl Sieve {
    /// No values yet.
    pub(super) fn new() -> Self {
        Self {
            values: Some(Vec::new()),
        }
    }

    /// Adds the first column of some keys.
    pub(super) fn include(&mut self, column: &ArrayRef) {
        match (&mut self.values, integers(column)) {
            (Some(values), Some(more)) => values.extend_from_slice(&more),
            (values, _) => *values = None,
        }
    }

    /// Ends the keys.
    pub(super) fn seal(&mut self) {
        if let Some(values) = &mut self.values {
            values.sort_unstable();
            values.dedup();
        }
    }

    /// The rows that can hold a key, as their columns and their numbers; none when all can.
    pub(super) fn rows(&self, columns: &[ArrayRef]) -> Result<Option<(Vec<ArrayRef>, Vec<u32>)>> {
        let rows = self.values.as_ref().zip(columns.first());
        let Some(rows) = rows.and_then(|(wanted, column)| ascending(wanted, &integers(column)?))
        else {
            return Ok(None);
        };
        let numbers = UInt32Array::from(rows);
        let columns = take_arrays(columns, &numbers, None).map_err(LakeError::arrow("keys"))?;
        Ok(Some((columns, numbers.values().to_vec())))
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

    #[test]
    fn a_column_that_is_no_integer_or_has_null_passes_whole() {
        let integers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..100));
        let text: ArrayRef = Arc::new(StringArray::from(vec!["a"]));
        let null: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None]));
        for keys in [&text, &null] {
            let passed = sieve(keys).rows(std::slice::from_ref(&integers)).unwrap();
            assert!(passed.is_none());
        }
        let one: ArrayRef = Arc::new(Int64Array::from(vec![1]));
        assert!(sieve(&one).rows(&[null]).unwrap().is_none());
        let (columns, numbers) = sieve(&one).rows(&[integers]).unwrap().unwrap();
        assert_eq!((columns[0].len(), numbers), (1, vec![1]));
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
            let keys: ArrayRef = Arc::new(Int64Array::from_iter_values(keys.into_iter().map(i64::from)));
            let column: ArrayRef = Arc::new(Int32Array::from(rows.clone()));
            if let Some((columns, numbers)) = sieve(&keys).rows(&[column]).unwrap() {
                let held = |row: &i32| keys.as_primitive::<Int64Type>().values().contains(&i64::from(*row));
                let expected: Vec<u32> = (0..).zip(&rows).filter(|(_, row)| held(row)).map(|(at, _)| at).collect();
                prop_assert_eq!(&numbers, &expected);
                let values: Vec<i32> = numbers.iter().map(|&at| rows[at as usize]).collect();
                prop_assert_eq!(columns[0].as_primitive::<Int32Type>().values(), &values[..]);
            } else {
                prop_assert!(!rows.is_sorted() || rows.len() < 40);
            }
        }
    }
}
