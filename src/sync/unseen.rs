//! Rows that no window will show: without a watermark, or with one in the future. A whole read counts those that it
//! meets, which costs nothing; asking the server would read the table twice.

use super::examples::Examples;
use super::reread;
use crate::error::Result;
use crate::schema::{LakeSchema, LakeType, TableSchema};
use crate::source::{ExtractPlan, OddRows};
use arrow_array::cast::AsArray;
use arrow_array::types::{Date32Type, TimestampMicrosecondType};
use arrow_array::{Array, RecordBatch};
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts them, for several readers at once. Without a timestamp that is followed, or outside of a whole read, it
/// counts nothing.
#[derive(Default)]
pub struct Unseen {
    /// Position of the watermark among the fields of a batch, and the time from which values lie in the future.
    followed: Option<(usize, i64)>,
    table: Option<TableSchema>,
    nulls: Rows,
    future: Rows,
}

/// Rows of one kind.
#[derive(Default)]
struct Rows {
    count: AtomicU64,
    examples: Examples,
}

impl Rows {
    fn told(&self) -> OddRows {
        OddRows {
            rows: self.count.load(Ordering::Relaxed),
            keys: self.examples.keys(),
        }
    }
}

impl Unseen {
    pub fn new(plan: &ExtractPlan, shape: &LakeSchema) -> Result<Self> {
        let field = reread::watermark_field(plan, shape);
        let future = plan.future().map(reread::micros).transpose()?;
        Ok(Self {
            followed: field.zip(future),
            table: Some(plan.table().clone()),
            ..Self::default()
        })
    }

    /// Counts the rows of a batch.
    pub fn count(&self, shape: &LakeSchema, batch: &RecordBatch) {
        let Some((field, future)) = self.followed else {
            return;
        };
        let values = batch.column(field);
        let odd = |row: usize| match values.is_null(row) {
            true => Some(&self.nulls),
            false => is_beyond(shape.fields[field].ty, values, row, future).then_some(&self.future),
        };
        for row in 0..batch.num_rows() {
            if let Some(rows) = odd(row) {
                rows.count.fetch_add(1, Ordering::Relaxed);
                if let Some(table) = &self.table {
                    rows.examples.note(table, shape, batch, row);
                }
            }
        }
    }

    /// Rows without a watermark, and rows with one in the future.
    pub fn told(&self) -> (OddRows, OddRows) {
        (self.nulls.told(), self.future.told())
    }
}

/// Whether a time lies beyond another, in microseconds.
fn is_beyond(ty: LakeType, values: &dyn Array, row: usize, future: i64) -> bool {
    match ty {
        LakeType::Timestamp | LakeType::TimestampTz => values
            .as_primitive_opt::<TimestampMicrosecondType>()
            .is_some_and(|values| values.value(row) > future),
        LakeType::Date => values
            .as_primitive_opt::<Date32Type>()
            .is_some_and(|days| i64::from(days.value(row)) > future.div_euclid(86_400_000_000)),
        // No time.
        LakeType::Int
        | LakeType::Long
        | LakeType::Decimal { .. }
        | LakeType::Binary
        | LakeType::Boolean
        | LakeType::Float
        | LakeType::Double
        | LakeType::Time
        | LakeType::String
        | LakeType::Uuid
        | LakeType::Fixed(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{LakeField, Role};
    use arrow_array::{ArrayRef, Date32Array, TimestampMicrosecondArray};
    use std::sync::Arc;

    fn counted(ty: LakeType, values: ArrayRef, future: i64) -> (u64, u64) {
        let shape = LakeSchema {
            fields: vec![LakeField {
                name: "at".into(),
                ty,
                required: false,
                source: Some(0),
                role: Role::Value,
            }],
            key: Vec::new(),
        };
        let unseen = Unseen {
            followed: Some((0, future)),
            ..Unseen::default()
        };
        let batch = RecordBatch::try_from_iter_with_nullable([("at", values, true)]).unwrap();
        unseen.count(&shape, &batch);
        unseen.count(&shape, &batch);
        let (nulls, future) = unseen.told();
        (nulls.rows, future.rows)
    }

    #[test]
    fn rows_without_a_time_and_beyond_now_are_counted() {
        let times = TimestampMicrosecondArray::from(vec![Some(99), None, Some(100), Some(101)]);
        let counts = counted(LakeType::Timestamp, Arc::new(times), 100);
        assert_eq!(counts, (2, 2));
        let day = 86_400_000_000;
        let days = Date32Array::from(vec![Some(9), Some(10), None, Some(11)]);
        let counts = counted(LakeType::Date, Arc::new(days), 10 * day + 5);
        assert_eq!(counts, (2, 2));
    }

    #[test]
    fn nothing_is_counted_where_nothing_is_followed() {
        let batch = RecordBatch::try_from_iter_with_nullable([(
            "at",
            Arc::new(Date32Array::from(vec![None])) as ArrayRef,
            true,
        )]);
        let shape = LakeSchema {
            fields: Vec::new(),
            key: Vec::new(),
        };
        let unseen = Unseen::default();
        unseen.count(&shape, &batch.unwrap());
        assert_eq!(unseen.told(), (OddRows::default(), OddRows::default()));
    }
}
