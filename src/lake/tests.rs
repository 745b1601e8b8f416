//! The lake as its callers see it.

mod ancestry;
mod catalog;
mod committing;
mod comparing;
mod cost;
mod deltas;
mod disk;
mod encoding;
mod evolving;
mod expiring;
mod foreign;
mod hostile;
mod interop;
mod logged;
mod maintaining;
mod marked;
mod relocating;
mod standing;
mod tagging;
mod upkeep;
mod writing;

use super::*;
use crate::change::{Checkpoint, RunId};
use crate::schema::{
    KeyFold, LakeField, LakeKeyField, LakeSchema, LakeType, Role, TableKind, TableName,
};
use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type};
use arrow_array::{
    Array, ArrayRef, BooleanArray, Int32Array, Int64Array, RecordBatch, StringArray,
};
use futures::TryStreamExt;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

type Model = BTreeMap<i64, Row>;
type Row = (i64, Option<String>, Option<i32>);

fn field(name: &str, ty: LakeType, required: bool, source: Option<usize>, role: Role) -> LakeField {
    LakeField {
        name: name.into(),
        ty,
        required,
        source,
        role,
    }
}

fn schema() -> LakeSchema {
    LakeSchema {
        fields: vec![
            field("id", LakeType::Long, true, Some(0), Role::Value),
            field("name", LakeType::String, false, Some(1), Role::Value),
            field("amount", LakeType::Int, false, Some(2), Role::Value),
        ],
        key: vec![LakeKeyField {
            field: 0,
            fold: KeyFold::default(),
        }],
    }
}

fn history_schema() -> LakeSchema {
    let mut schema = schema();
    schema.fields.extend([
        field("_op", LakeType::String, true, None, Role::Op),
        field("_seq", LakeType::Long, true, None, Role::Seq),
        field(
            "_committed_at",
            LakeType::TimestampTz,
            true,
            None,
            Role::CommittedAt,
        ),
    ]);
    schema
}

fn name() -> TableName {
    "dbo.orders".parse().unwrap()
}

fn batch(rows: &[Row]) -> RecordBatch {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.0))),
        Arc::new(StringArray::from_iter(
            rows.iter().map(|row| row.1.as_deref()),
        )),
        Arc::new(Int32Array::from_iter(rows.iter().map(|row| row.2))),
    ];
    let schema = crate::schema::mapping::arrow_schema(&schema());
    RecordBatch::try_new(schema, columns).unwrap()
}

fn key_batch(keys: &[i64]) -> RecordBatch {
    let column: ArrayRef = Arc::new(Int64Array::from_iter_values(keys.iter().copied()));
    RecordBatch::try_from_iter([("id", column)]).unwrap()
}

fn row(id: i64, text: &str, amount: i32) -> Row {
    (id, Some(text.to_owned()), Some(amount))
}

fn rows_of(batch: &RecordBatch) -> Vec<Row> {
    let ids = batch.column(0).as_primitive::<Int64Type>();
    let names = batch.column(1).as_string::<i32>();
    let amounts = batch.column(2).as_primitive::<Int32Type>();
    (0..batch.num_rows())
        .map(|at| {
            let name = names.is_valid(at).then(|| names.value(at).to_owned());
            let amount = amounts.is_valid(at).then(|| amounts.value(at));
            (ids.value(at), name, amount)
        })
        .collect()
}

async fn read(table: &LakeTable, snapshot: Option<i64>) -> Vec<Row> {
    let batches: Vec<RecordBatch> = table
        .scan(snapshot, None)
        .await
        .unwrap()
        .try_collect()
        .await
        .unwrap();
    let mut rows: Vec<Row> = batches.iter().flat_map(rows_of).collect();
    rows.sort();
    rows
}

fn checkpoint(run_id: RunId) -> Checkpoint {
    Checkpoint::reached(run_id, crate::change::Strategy::Full, None)
}

fn intent(table: &LakeTable, run_id: RunId) -> CommitIntent {
    let base = table.checkpoint().unwrap();
    CommitIntent {
        run_id,
        base_checkpoint: base.map(|checkpoint| checkpoint.run_id),
        checkpoint: checkpoint(run_id),
        summary: BTreeMap::new(),
        foreign_rows: false,
        loading: None,
    }
}

async fn prepare(
    table: &LakeTable,
    mode: WriteMode,
    rows: &[Row],
    deleted: &[i64],
    small: bool,
) -> PreparedCommit {
    let mut options = WriteOptions::new(mode, RunId::generate());
    if small {
        options.key_rows_max = 7;
        options.row_group_rows = 3;
    }
    let mut writer = table.writer(options).await.unwrap();
    for rows in rows.chunks(5) {
        writer.write(batch(rows)).await.unwrap();
    }
    if !deleted.is_empty() {
        writer.delete_keys(&key_batch(deleted)).await.unwrap();
    }
    writer.finish().await.unwrap()
}

async fn commit(
    table: &mut LakeTable,
    mode: WriteMode,
    rows: &[Row],
    deleted: &[i64],
    small: bool,
) -> Committed {
    let prepared = prepare(table, mode, rows, deleted, small).await;
    let intent = intent(table, RunId::generate());
    table.commit(prepared, intent).await.unwrap()
}

async fn fresh(directory: &Path, kind: TableKind) -> (Warehouse, LakeTable) {
    let warehouse = Warehouse::open(directory.join("wh").to_str().unwrap())
        .await
        .unwrap();
    let schema = match kind {
        TableKind::Mirror => schema(),
        TableKind::History => history_schema(),
    };
    let table = warehouse
        .create(&name(), &schema, kind, BTreeMap::new())
        .await
        .unwrap();
    (warehouse, table)
}

fn files_in(table: &LakeTable, directory: &str) -> Vec<std::path::PathBuf> {
    let path = table.location().strip_prefix("file://").unwrap();
    let entries = std::fs::read_dir(Path::new(path).join(directory)).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}
