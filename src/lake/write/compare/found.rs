//! Rows of the table, read to be compared or to be written again.

use crate::lake::error::Result;
use crate::lake::keys::lookup::Lookup;
use crate::lake::read::datafile::{OpenFile, Rows, Wanted};
use crate::lake::read::deletes::Positions;
use crate::lake::read::entries::Described;
use crate::lake::schema::Shape;
use crate::lake::write::compare::chunk::Equality;
use crate::lake::write::context::Context;
use crate::lake::write::options::Op;
use crate::schema::Role;
use arrow_array::cast::AsArray;
use arrow_array::types::Int32Type;
use arrow_array::{Array, ArrayRef, Int32Array};
use futures::TryStreamExt;
use std::sync::Arc;

/// A row of the table that has a key of the chunk.
pub(in crate::lake) struct Match {
    /// Of the key.
    pub(in crate::lake) number: usize,
    pub(in crate::lake) row: RowRead,
}

/// A row of the table.
pub(in crate::lake) struct RowRead {
    pub(in crate::lake) position: u64,
    pub(in crate::lake) hash: u128,
    /// `_op` of a history is `D`.
    pub(in crate::lake) deleted: bool,
}

/// Positions of a file's rows that have a key of the lookup, ascending, each with the number of the key.
pub(in crate::lake) async fn find(
    lookup: &mut Lookup<'_>,
    file: &impl Described,
) -> Result<Vec<(u64, u32)>> {
    let mut found: Vec<(u64, u32)> = Vec::new();
    let note = |number: usize, row: u64| found.push((row, number as u32));
    lookup.probe(file, note).await?;
    found.sort_unstable();
    Ok(found)
}

/// Reads rows that were found, and hands each to `each`.
pub(in crate::lake) async fn read_found(
    context: &Context,
    equality: &Equality,
    file: &impl Described,
    found: &[(u64, u32)],
    mut each: impl FnMut(Match),
) -> Result<()> {
    if found.is_empty() {
        return Ok(());
    }
    let rows: Positions = found.iter().map(|&(row, _)| row).collect();
    let mut numbers = found.iter().copied().peekable();
    let each = |row: RowRead| {
        while numbers.next_if(|&(at, _)| at < row.position).is_some() {}
        if let Some((_, number)) = numbers.next_if(|&(at, _)| at == row.position) {
            let number = number as usize;
            each(Match { number, row });
        }
    };
    read_rows(context, equality, file, &Wanted::Only(&rows), each).await
}

/// Reads rows of a file and hashes what came from the source.
pub(in crate::lake) async fn read_rows(
    context: &Context,
    equality: &Equality,
    file: &impl Described,
    wanted: &Wanted<'_>,
    mut each: impl FnMut(RowRead),
) -> Result<()> {
    let shape = context.shape();
    let mut fields = shape.source_fields();
    let values = fields.len();
    fields.extend(shape.position_of(Role::Op));
    let pages = matches!(wanted, Wanted::Only(_));
    let open = OpenFile::open(context.store(), shape.clone(), file, pages).await?;
    let mut rows = open.read(&fields, wanted)?;
    let mut hashes = Vec::new();
    while let Some((batch, positions)) = rows.try_next().await? {
        hashes.clear();
        let source = with_ticks(shape, &fields[..values], &batch.columns()[..values]);
        equality.hash(&source, &mut hashes)?;
        let op = batch.columns().get(values);
        let op = op.and_then(|column| column.as_string_opt::<i32>());
        for (row, (&position, &hash)) in positions.iter().zip(&hashes).enumerate() {
            each(RowRead {
                position,
                hash,
                deleted: op
                    .is_some_and(|op| op.is_valid(row) && op.value(row) == Op::Delete.code()),
            });
        }
    }
    Ok(())
}

/// The columns of the source as a row written today has them. A file from before a column got a seventh digit of a
/// second has no ticks for it, which are 0 where there is a value.
fn with_ticks(shape: &Shape, fields: &[usize], columns: &[ArrayRef]) -> Vec<ArrayRef> {
    let mut columns = columns.to_vec();
    for (at, &field) in fields.iter().enumerate() {
        let ticks = &shape.schema.fields[field];
        if ticks.role != Role::Ticks || columns[at].null_count() == 0 {
            continue;
        }
        let is_value = |&other: &usize| {
            let other = &shape.schema.fields[other];
            (other.role, other.source) == (Role::Value, ticks.source)
        };
        let value = fields.iter().position(is_value).map(|at| &columns[at]);
        if let (Some(value), Some(known)) = (value, columns[at].as_primitive_opt::<Int32Type>()) {
            let filled = |row: usize| match known.is_null(row) {
                true => value.is_valid(row).then_some(0),
                false => Some(known.value(row)),
            };
            let filled: Int32Array = (0..known.len()).map(filled).collect();
            columns[at] = Arc::new(filled);
        }
    }
    columns
}

/// Rows of a file with the columns of the source, to be written again.
pub(in crate::lake) async fn read_source(
    context: &Context,
    file: &impl Described,
    rows: &Positions,
) -> Result<Rows> {
    let open = OpenFile::open(context.store(), context.shape().clone(), file, true).await?;
    open.read(&context.shape().source_fields(), &Wanted::Only(rows))
}
