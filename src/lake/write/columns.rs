//! The columns that the lake has beside those of the source: the numbers, operations and times of a history.

use crate::lake::error::{LakeError, Result};
use crate::lake::schema::is_history;
use crate::lake::write::context::Context;
use crate::lake::write::options::Op;
use crate::schema::Role;
use crate::schema::mapping::arrow_type;
use arrow_array::{
    ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray, new_null_array,
};
use std::sync::Arc;

/// Completes the rows of a write, and numbers those of a history.
pub(in crate::lake) struct Columns {
    /// The last `_seq` given.
    seq_high: i64,
}

impl Columns {
    pub(in crate::lake) fn new(context: &Context) -> Self {
        Self {
            seq_high: context.table.seq_high(),
        }
    }

    pub(in crate::lake) fn seq_high(&self) -> i64 {
        self.seq_high
    }

    /// The batch with all columns of the table; rows of a history get the next numbers.
    pub(in crate::lake) fn complete(
        &mut self,
        context: &Context,
        batch: &RecordBatch,
        op: Op,
    ) -> Result<RecordBatch> {
        let first = self.seq_high + 1;
        if context.shape().position_of(Role::Seq).is_some() {
            self.seq_high += batch.num_rows() as i64;
        }
        filled(context, batch, op, first)
    }
}

/// The batch with something in the columns of a history, for a file that only this write reads.
pub(in crate::lake) fn placeholders(context: &Context, batch: &RecordBatch) -> Result<RecordBatch> {
    filled(context, batch, Op::Update, 0)
}

/// The batch with all columns of the table; rows of a history are numbered from `first`.
fn filled(context: &Context, batch: &RecordBatch, op: Op, first: i64) -> Result<RecordBatch> {
    let rows = batch.num_rows();
    let shape = context.shape();
    let mut given = batch.columns().iter();
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(shape.schema.fields.len());
    for (field, unfilled) in shape.schema.fields.iter().zip(&shape.unfilled) {
        if *unfilled {
            columns.push(new_null_array(&arrow_type(field.ty), rows));
        } else if is_history(field.role) {
            columns.push(history_column(context, field.role, batch, op, first));
        } else {
            columns.extend(given.next().cloned());
        }
    }
    RecordBatch::try_new(shape.arrow.clone(), columns)
        .map_err(LakeError::arrow(context.table.name.to_string()))
}

fn history_column(
    context: &Context,
    role: Role,
    batch: &RecordBatch,
    op: Op,
    first: i64,
) -> ArrayRef {
    let rows = batch.num_rows();
    match role {
        Role::Seq => Arc::new(Int64Array::from_iter_values((first..).take(rows))),
        Role::CommittedAt => {
            let micros = context.options.committed_at.timestamp_micros();
            let column = TimestampMicrosecondArray::from(vec![micros; rows]);
            Arc::new(column.with_timezone(crate::schema::mapping::UTC))
        }
        Role::Op | Role::Value | Role::Ticks | Role::Offset | Role::BaseType | Role::Srid => {
            let mut codes = vec![op.code(); rows];
            let deleted = context.marked(batch);
            for (code, deleted) in codes.iter_mut().zip(deleted.iter().flatten()) {
                if deleted == Some(true) {
                    *code = Op::Delete.code();
                }
            }
            Arc::new(StringArray::from(codes))
        }
    }
}
