//! Rows of a window that came late: the overlap has brought them, and the lake did not have them as they are.
//!
//! Such a row was committed after its own time, written by a clock that runs late, or its time was set back. The next
//! one may come later than `overlap` reaches back, and would be missed, so how late they come is worth knowing. Rows
//! that were read again and are the same are not late; the lake drops them and never shows them here.

use super::examples::Examples;
use super::reread;
use crate::error::Result;
use crate::lake::Witness;
use crate::report::LateReport;
use crate::schema::{LakeSchema, LakeType, TableSchema};
use crate::source::{ExtractPlan, Read, told};
use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::{Date32Type, TimestampMicrosecondType};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

const MICROS_A_DAY: i64 = 86_400_000_000;

/// Counts the late rows of those that are written.
#[derive(Debug)]
pub struct Late {
    table: TableSchema,
    shape: LakeSchema,
    /// Of the watermark in a batch.
    field: usize,
    /// The last bound, in microseconds, or in days for dates.
    bound: i64,
    unit_micros: i64,
    rows: AtomicU64,
    most: AtomicI64,
    examples: Examples,
}

impl Late {
    /// None where no row is read again, or none by its time.
    pub fn of(plan: &ExtractPlan, shape: &LakeSchema) -> Result<Option<Arc<Self>>> {
        let Read::Window(followed) = &plan.read else {
            return Ok(None);
        };
        let window = &followed.window;
        let field = reread::watermark_field(plan, shape);
        let Some(field) = field.filter(|_| window.lower != window.previous) else {
            return Ok(None);
        };
        let unit_micros = match shape.fields[field].ty {
            LakeType::Timestamp | LakeType::TimestampTz => 1,
            LakeType::Date => MICROS_A_DAY,
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
            | LakeType::Fixed(_) => return Ok(None),
        };
        Ok(Some(Arc::new(Self {
            table: plan.table().clone(),
            shape: shape.clone(),
            field,
            bound: reread::whole_micros(&window.previous)?.div_euclid(unit_micros),
            unit_micros,
            rows: AtomicU64::new(0),
            most: AtomicI64::new(0),
            examples: Examples::default(),
        })))
    }

    /// Sees the rows that are written.
    pub fn witness(self: &Arc<Self>) -> Witness {
        let late = Arc::clone(self);
        Witness(Arc::new(move |batch: &RecordBatch| late.note(batch)))
    }

    fn note(&self, batch: &RecordBatch) {
        let column = batch.column(self.field);
        let times = column.as_primitive_opt::<TimestampMicrosecondType>();
        let days = column.as_primitive_opt::<Date32Type>();
        let value = |row: usize| {
            let time = times.map(|column| column.value(row));
            time.or_else(|| days.map(|column| i64::from(column.value(row))))
        };
        for row in (0..batch.num_rows()).filter(|&row| column.is_valid(row)) {
            let Some(by) = value(row).map(|value| self.bound - value) else {
                return;
            };
            if by > 0 {
                self.rows.fetch_add(1, Ordering::Relaxed);
                self.most.fetch_max(by, Ordering::Relaxed);
                self.examples.note(&self.table, &self.shape, batch, row);
            }
        }
    }

    /// What came late so far.
    pub fn report(&self) -> Option<LateReport> {
        let rows = self.rows.load(Ordering::Relaxed);
        let most = self.most.load(Ordering::Relaxed);
        (rows > 0).then(|| LateReport {
            rows,
            latest_ms: most.saturating_mul(self.unit_micros) / 1_000,
            keys: self.examples.keys(),
        })
    }
}

/// What to warn of: rows that came nearly as late as `overlap` reaches.
pub fn warning(late: &LateReport, overlap: Duration) -> Option<String> {
    let overlap_ms = i64::try_from(overlap.as_millis()).unwrap_or(i64::MAX);
    (late.latest_ms > overlap_ms / 5 * 4).then(|| {
        format!(
            "a row came {} after its time, and change.overlap reaches {overlap:?} back: rows that come later than that \
             are missed. Make it longer, and read again what may be missing with `extract --from`",
            told(late.latest_ms)
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{LakeField, Role};
    use arrow_array::{ArrayRef, Date32Array, TimestampMicrosecondArray};

    fn late(ty: LakeType, bound: i64, unit_micros: i64) -> Late {
        Late {
            table: TableSchema {
                name: "dbo.t".parse().unwrap(),
                columns: Vec::new(),
                key: None,
            },
            shape: LakeSchema {
                fields: vec![LakeField {
                    name: "at".into(),
                    ty,
                    required: false,
                    source: Some(0),
                    role: Role::Value,
                }],
                key: Vec::new(),
            },
            field: 0,
            bound,
            unit_micros,
            rows: AtomicU64::new(0),
            most: AtomicI64::new(0),
            examples: Examples::default(),
        }
    }

    fn told_of(late: &Late, values: ArrayRef) -> Option<(u64, i64)> {
        let batch = RecordBatch::try_from_iter_with_nullable([("at", values, true)]).unwrap();
        late.note(&batch);
        late.report().map(|report| (report.rows, report.latest_ms))
    }

    #[test]
    fn rows_before_the_bound_are_late_by_the_time_between() {
        let times = late(LakeType::Timestamp, 10_000_000, 1);
        let on_time = TimestampMicrosecondArray::from(vec![Some(10_000_000), None]);
        assert_eq!(told_of(&times, Arc::new(on_time)), None);
        let some = TimestampMicrosecondArray::from(vec![Some(9_000_000), Some(2_500_000)]);
        assert_eq!(told_of(&times, Arc::new(some)), Some((2, 7_500)));
        let days = late(LakeType::Date, 20, MICROS_A_DAY);
        let some = Date32Array::from(vec![Some(20), Some(18), None]);
        assert_eq!(told_of(&days, Arc::new(some)), Some((1, 2 * 86_400_000)));
    }

    #[test]
    fn lateness_near_the_overlap_is_warned_of() {
        let report = |latest_ms| LateReport {
            rows: 1,
            latest_ms,
            keys: Vec::new(),
        };
        let overlap = Duration::from_secs(300);
        assert_eq!(warning(&report(200_000), overlap), None);
        let said = warning(&report(290_000), overlap).unwrap();
        assert!(said.contains("4 min 50 s") && said.contains("5m") || said.contains("300s"));
    }
}
