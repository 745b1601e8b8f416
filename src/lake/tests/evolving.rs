//! Columns that change: old files under a new schema, old snapshots under their own, and races for the change.

use super::*;
use crate::error::Disposition;
use crate::schema::mapping::arrow_schema;
use arrow_array::types::{Decimal128Type, Float64Type};
use arrow_array::{Decimal128Array, Float32Array, Float64Array};
use std::collections::HashMap;

const RECORD: &str = "icesync.source-schema";

fn decimal(precision: u8) -> LakeType {
    LakeType::Decimal {
        precision,
        scale: 2,
    }
}

fn shape(fields: Vec<LakeField>) -> LakeSchema {
    LakeSchema {
        fields,
        key: vec![LakeKeyField {
            field: 0,
            fold: KeyFold::default(),
        }],
    }
}

fn narrow() -> LakeSchema {
    shape(vec![
        field("id", LakeType::Int, true, Some(0), Role::Value),
        field("amount", decimal(9), false, Some(1), Role::Value),
        field("ratio", LakeType::Float, false, Some(2), Role::Value),
        field("gone", LakeType::String, false, Some(3), Role::Value),
        field("note", LakeType::String, false, Some(4), Role::Value),
    ])
}

/// `id`, `amount` and `ratio` are wider, `note` is called `remark`, `extra` is new and `gone` is gone.
fn wide() -> Evolution {
    Evolution {
        shape: shape(vec![
            field("id", LakeType::Long, true, Some(0), Role::Value),
            field("amount", decimal(19), false, Some(1), Role::Value),
            field("ratio", LakeType::Double, false, Some(2), Role::Value),
            field("remark", LakeType::String, false, Some(3), Role::Value),
            field("extra", LakeType::Int, false, Some(4), Role::Value),
            field("gone", LakeType::String, false, Some(5), Role::Value),
        ]),
        live: 5,
        was: vec![Some(0), Some(1), Some(2), Some(4), None, Some(3)],
        properties: HashMap::from([(RECORD.to_owned(), "new".to_owned())]),
    }
}

async fn narrow_table(directory: &Path) -> (Warehouse, LakeTable) {
    let warehouse = Warehouse::open(directory.join("wh").to_str().unwrap())
        .await
        .unwrap();
    let properties = BTreeMap::from([(RECORD.to_owned(), "old".to_owned())]);
    let table = warehouse
        .create(&name(), &narrow(), TableKind::Mirror, properties)
        .await
        .unwrap();
    (warehouse, table)
}

fn texts(prefix: &str, ids: &[i64]) -> ArrayRef {
    let text = |id: &i64| format!("{prefix}{id}");
    Arc::new(StringArray::from_iter_values(ids.iter().map(text)))
}

fn amounts(precision: u8, ids: &[i64]) -> ArrayRef {
    let array = Decimal128Array::from_iter_values(ids.iter().map(|&id| i128::from(id) * 100 + 1));
    Arc::new(array.with_precision_and_scale(precision, 2).unwrap())
}

/// Rows of the narrow schema, all values made of the id.
fn narrow_rows(ids: &[i64]) -> RecordBatch {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int32Array::from_iter_values(
            ids.iter().map(|&id| id as i32),
        )),
        amounts(9, ids),
        Arc::new(Float32Array::from_iter_values(
            ids.iter().map(|&id| id as f32 + 0.5),
        )),
        texts("gone", ids),
        texts("note", ids),
    ];
    RecordBatch::try_new(arrow_schema(&narrow()), columns).unwrap()
}

/// The same of the wide one.
fn wide_rows(table: &LakeTable, ids: &[i64]) -> RecordBatch {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(ids.iter().copied())),
        amounts(19, ids),
        Arc::new(Float64Array::from_iter_values(
            ids.iter().map(|&id| id as f64 + 0.5),
        )),
        texts("new", ids),
        Arc::new(Int32Array::from_iter_values(ids.iter().map(|_| 7))),
    ];
    RecordBatch::try_new(arrow_schema(&table.batch_schema()), columns).unwrap()
}

async fn upsert(table: &LakeTable, rows: RecordBatch) -> PreparedCommit {
    let mut options = WriteOptions::new(WriteMode::Upsert, RunId::generate());
    options.key_rows_max = 7;
    options.row_group_rows = 3;
    let mut writer = table.writer(options).await.unwrap();
    writer.write(rows).await.unwrap();
    writer.finish().await.unwrap()
}

async fn commit_rows(table: &mut LakeTable, rows: RecordBatch) -> Committed {
    let prepared = upsert(table, rows).await;
    let intent = intent(table, RunId::generate());
    table.commit(prepared, intent).await.unwrap()
}

/// Every row by id, its columns as text.
async fn content(table: &LakeTable, snapshot: Option<i64>) -> BTreeMap<i64, Vec<String>> {
    let batches: Vec<RecordBatch> = table
        .scan(snapshot, None)
        .await
        .unwrap()
        .try_collect()
        .await
        .unwrap();
    let mut rows = BTreeMap::new();
    for batch in &batches {
        let ids = arrow_cast::cast(batch.column(0), &arrow_schema::DataType::Int64).unwrap();
        let ids = ids.as_primitive::<Int64Type>();
        for row in 0..batch.num_rows() {
            let cells = batch.columns().iter().map(|column| {
                let text = arrow_cast::display::array_value_to_string(column, row).unwrap();
                if column.is_null(row) {
                    "NULL".to_owned()
                } else {
                    text
                }
            });
            let before = rows.insert(ids.value(row), cells.collect());
            assert_eq!(before, None, "key {} is there twice", ids.value(row));
        }
    }
    rows
}

fn cells(text: &str) -> Vec<String> {
    text.split(' ').map(str::to_owned).collect()
}

#[tokio::test]
async fn a_version_is_written_as_another_until_its_fields_are_others() {
    let directory = tempfile::tempdir().unwrap();
    let (warehouse, mut table) = narrow_table(directory.path()).await;
    let settled = table.clone();
    commit_rows(&mut table, narrow_rows(&[1])).await;
    assert!(table.is_written_as(&settled));
    let mut other = warehouse.table(&name()).await.unwrap().unwrap();
    other.evolve(&wide()).await.unwrap();
    // A commit takes the newest version, whoever made it.
    assert!(table.is_written_as(&settled));
    commit_rows(&mut table, narrow_rows(&[2])).await;
    assert!(!table.is_written_as(&settled));
    assert!(table.is_written_as(&other));
}

#[tokio::test]
async fn rows_of_every_schema_are_read_found_and_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let (warehouse, mut table) = narrow_table(directory.path()).await;
    let ids: Vec<i64> = (0..40).collect();
    let first = commit_rows(&mut table, narrow_rows(&ids)).await;
    table.evolve(&wide()).await.unwrap();
    let big = 5_000_000_000_i64;
    let rows = wide_rows(&table, &[3, 39, big]);
    let second = commit_rows(&mut table, rows).await;
    assert_eq!((second.counts.updated, second.counts.inserted), (2, 1));
    // Not every file was read to find two keys.
    assert!(second.lookup.files_probed <= 2, "{:?}", second.lookup);

    let table = warehouse.table(&name()).await.unwrap().unwrap();
    let now = content(&table, None).await;
    assert_eq!(now.len(), 41);
    assert_eq!(now[&3], cells("3 3.01 3.5 new3 7 NULL"));
    assert_eq!(now[&4], cells("4 4.01 4.5 note4 NULL gone4"));
    assert_eq!(
        now[&big],
        cells("5000000000 5000000000.01 5000000000.5 new5000000000 7 NULL")
    );

    // The delta between the two, under the new schema.
    let [first, second] = [first, second].map(|committed| committed.snapshot_id.unwrap());
    let delta = table.delta(Some(first), second).await.unwrap();
    let deletes: Vec<RecordBatch> = delta.segments[0].deletes().try_collect().await.unwrap();
    let mut keys: Vec<i64> = deletes
        .iter()
        .flat_map(|batch| {
            batch
                .column(0)
                .as_primitive::<Int64Type>()
                .values()
                .to_vec()
        })
        .collect();
    keys.sort_unstable();
    assert_eq!(keys, [3, 39]);
    let upserts: Vec<RecordBatch> = delta.segments[0].upserts().try_collect().await.unwrap();
    let rows: usize = upserts.iter().map(RecordBatch::num_rows).sum();
    assert_eq!(rows, 3);
    let left: Vec<RecordBatch> = delta.segments[0].deletes().try_collect().await.unwrap();
    assert!(
        left.iter().all(|batch| batch.num_rows() == 0),
        "keys were upserted"
    );

    // The old snapshot is as it was.
    let past = table.as_of(first).unwrap();
    assert_eq!(past.lake_schema(), &narrow());
    assert_eq!(table.property_as_of(RECORD, first), Some("old"));
    assert_eq!(table.property_as_of(RECORD, second), Some("new"));
    let then = content(&past, Some(first)).await;
    assert_eq!(then.len(), 40);
    assert_eq!(then[&3], cells("3 3.01 3.5 gone3 note3"));
    assert_eq!(
        batch_of(&past, first).await.schema(),
        arrow_schema(&narrow())
    );
    assert_eq!(
        table.as_of(second).unwrap().lake_schema(),
        table.lake_schema()
    );
    let now = batch_of(&table, second).await;
    assert!(now.column(1).as_primitive_opt::<Decimal128Type>().is_some());
    assert!(now.column(2).as_primitive_opt::<Float64Type>().is_some());
}

/// The first batch of a snapshot.
async fn batch_of(table: &LakeTable, snapshot: i64) -> RecordBatch {
    let mut stream = table.scan(Some(snapshot), None).await.unwrap();
    stream.try_next().await.unwrap().unwrap()
}

#[tokio::test]
async fn fields_that_go_on_keep_their_ids_and_new_ones_get_free_ones() {
    let directory = tempfile::tempdir().unwrap();
    let (_, mut table) = narrow_table(directory.path()).await;
    let before = table.columns();
    assert_eq!(before, [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5)]);
    let planned = table.columns_after(&wide()).unwrap();
    table.evolve(&wide()).await.unwrap();
    let after = [(0, 1), (1, 2), (2, 3), (3, 5), (4, 6), (5, 4)];
    assert_eq!(planned, after);
    assert_eq!(table.columns(), after);
    let written: Vec<&str> = table.written_fields().iter().map(|f| &*f.name).collect();
    assert_eq!(written, ["id", "amount", "ratio", "remark", "extra"]);
    let schema = table.metadata().current_schema();
    let doc = schema.field_by_id(4).and_then(|field| field.doc.clone());
    assert!(doc.is_some_and(|doc| doc.contains("no longer read")));
    assert_eq!(schema.identifier_field_ids().collect::<Vec<_>>(), [1]);
}

#[tokio::test]
async fn a_drop_alone_leaves_old_snapshots_their_column() {
    let directory = tempfile::tempdir().unwrap();
    let (_, mut table) = narrow_table(directory.path()).await;
    let first = commit_rows(&mut table, narrow_rows(&[1])).await;
    // The last column: neither names nor order change.
    let drop = Evolution {
        shape: narrow(),
        live: 4,
        was: (0..5).map(Some).collect(),
        properties: HashMap::from([(RECORD.to_owned(), "dropped".to_owned())]),
    };
    table.evolve(&drop).await.unwrap();
    let first = first.snapshot_id.unwrap();
    assert_eq!(table.written_fields().len(), 4);
    assert_eq!(table.as_of(first).unwrap().written_fields().len(), 5);
    assert_eq!(table.property_as_of(RECORD, first), Some("old"));
    assert_eq!(table.property(RECORD), Some("dropped"));
}

#[tokio::test]
async fn of_two_that_evolve_one_is_told_to_look_again() {
    let directory = tempfile::tempdir().unwrap();
    let (_, table) = narrow_table(directory.path()).await;
    let runs: Vec<_> = (0..4)
        .map(|run| {
            let mut table = table.clone();
            let mut evolution = wide();
            // Two metadata files that are equal, byte for byte, would be one and the same change.
            let note = ("test.run".to_owned(), run.to_string());
            evolution.properties.extend([note]);
            tokio::spawn(async move { table.evolve(&evolution).await })
        })
        .collect();
    let mut done = 0;
    for run in runs {
        match run.await.unwrap() {
            Ok(()) => done += 1,
            Err(error @ LakeError::SchemaMoved { .. }) => {
                assert_eq!(error.disposition(), Disposition::Transient);
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(done, 1);
    // Another property that was decided on counts too.
    let mut seen = table.clone();
    seen.refresh().await.unwrap();
    let mut other = seen.clone();
    let record = HashMap::from([(RECORD.to_owned(), "theirs".to_owned())]);
    other.set_properties(record).await.unwrap();
    let mut same = wide();
    same.was = (0..6).map(Some).collect();
    let outcome = seen.evolve(&same).await;
    assert!(
        matches!(outcome, Err(LakeError::SchemaMoved { .. })),
        "{outcome:?}"
    );
    seen.evolve(&same).await.unwrap();
    assert_eq!(seen.property(RECORD), Some("new"));
}

#[tokio::test]
async fn a_write_begun_under_the_old_schema_is_committed_under_the_new() {
    let directory = tempfile::tempdir().unwrap();
    let (_, mut table) = narrow_table(directory.path()).await;
    commit_rows(&mut table, narrow_rows(&[1, 2, 3])).await;
    let base = intent(&table, RunId::generate());
    let prepared = upsert(&table, narrow_rows(&[2, 4])).await;
    let mut other = table.clone();
    other.evolve(&wide()).await.unwrap();
    // And somebody moved the rows, so that the keys of old files are looked up again.
    let all = wide_rows(&other, &[1, 2, 3]);
    let rewrite = {
        let options = WriteOptions::new(WriteMode::ReplaceAll, RunId::generate());
        let mut writer = other.writer(options).await.unwrap();
        writer.write(all).await.unwrap();
        writer.finish().await.unwrap()
    };
    let mut same = intent(&other, base.base_checkpoint.unwrap());
    same.checkpoint = other.checkpoint().unwrap().unwrap();
    other.commit(rewrite, same).await.unwrap();

    table.commit(prepared, base).await.unwrap();
    let rows = content(&table, None).await;
    assert_eq!(rows.len(), 4);
    assert_eq!(rows[&1], cells("1 1.01 1.5 new1 7 NULL"));
    assert_eq!(rows[&2], cells("2 2.01 2.5 note2 NULL gone2"));
    assert_eq!(rows[&4], cells("4 4.01 4.5 note4 NULL gone4"));
}

/// The run that has evolved it found no checkpoint to change, and its own commit would be refused for this one.
#[tokio::test]
async fn a_first_write_begun_under_the_old_schema_is_not_committed() {
    let directory = tempfile::tempdir().unwrap();
    let (_, mut table) = narrow_table(directory.path()).await;
    let first = intent(&table, RunId::generate());
    assert_eq!(first.base_checkpoint, None);
    let prepared = upsert(&table, narrow_rows(&[1, 2])).await;
    let mut other = table.clone();
    other.evolve(&wide()).await.unwrap();
    let refused = table.commit(prepared, first).await;
    assert!(
        matches!(refused, Err(LakeError::SchemaMoved { .. })),
        "{refused:?}"
    );
    let rows = wide_rows(&other, &[1, 2]);
    commit_rows(&mut other, rows).await;
    assert_eq!(content(&other, None).await.len(), 2);
}

#[tokio::test]
async fn a_part_parked_under_the_old_schema_is_committed_under_the_new() {
    let directory = tempfile::tempdir().unwrap();
    let (_, mut table) = narrow_table(directory.path()).await;
    let mut options = WriteOptions::new(WriteMode::ReplaceAll, RunId::generate());
    options.distinct_keys = true;
    let mut writer = table.writer(options.clone()).await.unwrap();
    writer.write(narrow_rows(&[1, 2])).await.unwrap();
    let part = writer.finish_part().await.unwrap();
    let listed = table.list_part(part).await.unwrap();
    let parked = listed.uri().to_owned();
    let ledger = checkpoint(RunId::generate());
    table.park(listed, None, ledger).await.unwrap();
    table.evolve(&wide()).await.unwrap();
    let part = table.unpark(&parked).await.unwrap().unwrap();
    let prepared = table
        .prepare(options, Vec::new(), vec![part])
        .await
        .unwrap();
    let intent = intent(&table, RunId::generate());
    table.commit(prepared, intent).await.unwrap();
    let rows = wide_rows(&table, &[2]);
    commit_rows(&mut table, rows).await;
    let rows = content(&table, None).await;
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[&1], cells("1 1.01 1.5 note1 NULL gone1"));
}

#[tokio::test]
async fn what_iceberg_cannot_follow_is_refused_and_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let (_, mut table) = narrow_table(directory.path()).await;
    let version = table.metadata_version();
    let mut other_type = wide();
    other_type.shape.fields[3].ty = LakeType::Int;
    let mut new_and_required = wide();
    new_and_required.shape.fields[4].required = true;
    let mut scale = wide();
    scale.shape.fields[1].ty = LakeType::Decimal {
        precision: 19,
        scale: 4,
    };
    for (evolution, part) in [
        (other_type, "`note` is String"),
        (new_and_required, "`extra` would be new and required"),
        (scale, "`amount` is Decimal"),
    ] {
        let error = table.evolve(&evolution).await.unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
    table.refresh().await.unwrap();
    assert_eq!(table.metadata_version(), version);
}

#[tokio::test]
async fn a_history_table_evolves_with_its_own_columns() {
    let directory = tempfile::tempdir().unwrap();
    let (_, mut table) = fresh(directory.path(), TableKind::History).await;
    commit(&mut table, WriteMode::Append, &[row(1, "a", 1)], &[], false).await;
    let mut shape = history_schema();
    shape.fields[2] = field("total", LakeType::Long, false, Some(2), Role::Value);
    shape.fields.insert(
        3,
        field("more", LakeType::String, false, Some(3), Role::Value),
    );
    let evolution = Evolution {
        shape,
        live: 4,
        was: vec![Some(0), Some(1), Some(2), None],
        properties: HashMap::new(),
    };
    table.evolve(&evolution).await.unwrap();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(vec![2])),
        Arc::new(StringArray::from(vec!["b"])),
        Arc::new(Int64Array::from(vec![i64::MAX])),
        Arc::new(StringArray::from(vec!["more"])),
    ];
    let batch = RecordBatch::try_new(arrow_schema(&table.batch_schema()), columns).unwrap();
    let options = WriteOptions::new(WriteMode::Append, RunId::generate());
    let mut writer = table.writer(options).await.unwrap();
    writer.write(batch).await.unwrap();
    let prepared = writer.finish().await.unwrap();
    let intent = intent(&table, RunId::generate());
    table.commit(prepared, intent).await.unwrap();
    let rows = content(&table, None).await;
    assert_eq!(rows[&1][..6], cells("1 a 1 NULL U 1")[..]);
    assert_eq!(rows[&2][..6], cells("2 b 9223372036854775807 more U 2")[..]);
}

#[tokio::test]
async fn a_table_that_was_rolled_back_is_compared_with_rows_of_wider_columns() {
    let directory = tempfile::tempdir().unwrap();
    let (_, mut table) = narrow_table(directory.path()).await;
    let first = commit_rows(&mut table, narrow_rows(&[1, 2, 3])).await;
    table.evolve(&wide()).await.unwrap();
    let big = 5_000_000_000_i64;
    let rows = wide_rows(&table, &[2, big]);
    let second = commit_rows(&mut table, rows).await;
    let [first, second] = [first, second].map(|committed| committed.snapshot_id.unwrap());
    super::ancestry::roll_back(&mut table, first).await;
    let past = table.as_of(first).unwrap().as_wide_as(second);
    let names = |table: &LakeTable| -> Vec<String> {
        let fields = table.lake_schema().fields.iter();
        fields.map(|field| field.name.clone()).collect()
    };
    assert_eq!(names(&past), names(&table.as_of(first).unwrap()));
    let delta = past.delta(Some(second), first).await.unwrap();
    let mut found: [Vec<i64>; 2] = [Vec::new(), Vec::new()];
    for segment in &delta.segments {
        for (at, mut stream) in [segment.upserts(), segment.deletes()]
            .into_iter()
            .enumerate()
        {
            while let Some(batch) = stream.try_next().await.unwrap() {
                found[at].extend(batch.column(0).as_primitive::<Int64Type>().values());
            }
        }
    }
    assert_eq!(found, [vec![2], vec![big]]);
    // The other way nothing is wider than the snapshot to load.
    let later = table.as_of(second).unwrap();
    let same = later.clone().as_wide_as(first);
    assert_eq!(same.lake_schema(), later.lake_schema());
}

#[tokio::test]
async fn what_was_kept_of_a_schema_goes_with_its_last_snapshot() {
    use super::expiring::{newest, tag};
    let directory = tempfile::tempdir().unwrap();
    let (_, mut table) = narrow_table(directory.path()).await;
    let first = commit_rows(&mut table, narrow_rows(&[1, 2])).await;
    let first = first.snapshot_id.unwrap();
    table.evolve(&wide()).await.unwrap();
    let rows = wide_rows(&table, &[2]);
    commit_rows(&mut table, rows).await;
    let before = content(&table, None).await;
    let kept = [RECORD, SCHEMA_PROPERTY].map(|name| format!("{name}.0"));
    let schemas = |table: &LakeTable| table.metadata().schemas_iter().count();
    tag(&mut table, "audit", first).await;
    // Another snapshot, so that there is one to expire.
    let rows = wide_rows(&table, &[2]);
    commit_rows(&mut table, rows).await;
    assert_eq!(table.expire(&newest(1)).await.unwrap().snapshots, 1);
    assert_eq!(table.as_of(first).unwrap().lake_schema(), &narrow());
    assert_eq!(schemas(&table), 2);
    super::ancestry::republish(&mut table, |metadata| {
        metadata["refs"].as_object_mut().unwrap().remove("audit");
    })
    .await;
    assert!(kept.iter().all(|name| table.property(name).is_some()));
    let beside = ExpireOptions {
        age_beside: std::time::Duration::ZERO,
        ..newest(1)
    };
    assert_eq!(table.expire(&beside).await.unwrap().snapshots, 1);
    assert!(kept.iter().all(|name| table.property(name).is_none()));
    assert_eq!(schemas(&table), 1);
    assert_eq!(table.property(RECORD), Some("new"));
    assert_eq!(content(&table, None).await, before);
    // The next schema is one of its own.
    let drop = Evolution {
        live: 4,
        was: (0..6).map(Some).collect(),
        properties: HashMap::from([(RECORD.to_owned(), "dropped".to_owned())]),
        ..wide()
    };
    table.evolve(&drop).await.unwrap();
    assert_eq!(schemas(&table), 2);
    let current = table.current_snapshot_id().unwrap();
    assert_eq!(table.property_as_of(RECORD, current), Some("new"));
}
