//! Rows in, rows out.

use super::*;
use crate::lake::commit::Change;

#[tokio::test]
async fn a_table_is_created_written_loaded_and_listed() {
    let directory = tempfile::tempdir().unwrap();
    let (warehouse, mut table) = fresh(directory.path(), TableKind::Mirror).await;
    assert_eq!(warehouse.tables().await.unwrap(), [name()]);
    let again = warehouse
        .create(&name(), &schema(), TableKind::Mirror, BTreeMap::new())
        .await;
    assert!(matches!(again, Err(LakeError::AlreadyExists { .. })));
    assert!(read(&table, None).await.is_empty());
    assert!(matches!(
        table.resolve(SnapshotRef::Latest),
        Err(LakeError::SnapshotNotFound { .. })
    ));

    let committed = commit(
        &mut table,
        WriteMode::Append,
        &[row(1, "a", 1), row(2, "b", 2)],
        &[],
        false,
    )
    .await;
    assert_eq!(committed.counts.inserted, 2);
    let loaded = warehouse.table(&name()).await.unwrap().unwrap();
    assert_eq!(read(&loaded, None).await, [row(1, "a", 1), row(2, "b", 2)]);
    assert_eq!(loaded.lake_schema(), &schema());
    assert_eq!(loaded.current_rows().await.unwrap(), 2);
    let kept = loaded.checkpoint().unwrap().unwrap();
    assert_eq!(kept.snapshot_id, committed.snapshot_id);
    let snapshot = loaded.resolve(SnapshotRef::Number(1)).unwrap();
    assert_eq!(Some(snapshot.id), committed.snapshot_id);
    assert_eq!((snapshot.rows_added, snapshot.rows_total), (2, Some(2)));
    assert_eq!(snapshot.operation, "append");
    assert_eq!(snapshot.checkpoint, Some(kept));
    let missing = loaded.resolve(SnapshotRef::Number(9)).unwrap_err();
    assert!(
        missing.to_string().contains("sequence number 1"),
        "{missing}"
    );
    assert!(
        warehouse
            .table(&"dbo.none".parse().unwrap())
            .await
            .unwrap()
            .is_none()
    );
}

#[tokio::test]
async fn odd_names_become_directories_and_come_back() {
    let directory = tempfile::tempdir().unwrap();
    let (warehouse, _) = fresh(directory.path(), TableKind::Mirror).await;
    for text in [
        "[my.schema].[a b/c%]",
        "sales.訂單",
        "[..].[.]",
        "dbo.[CON:1]",
    ] {
        let name: TableName = text.parse().unwrap();
        let mut table = warehouse
            .create(&name, &schema(), TableKind::Mirror, BTreeMap::new())
            .await
            .unwrap();
        commit(&mut table, WriteMode::Upsert, &[row(1, "a", 1)], &[], false).await;
        let mut table = warehouse.table(&name).await.unwrap().unwrap();
        commit(&mut table, WriteMode::Upsert, &[row(1, "b", 1)], &[], false).await;
        assert_eq!(read(&table, None).await, [row(1, "b", 1)]);
        assert!(warehouse.tables().await.unwrap().contains(&name), "{text}");
    }
}

#[tokio::test]
async fn upserts_replace_delete_and_count_each_key_once() {
    let directory = tempfile::tempdir().unwrap();
    let (_, mut table) = fresh(directory.path(), TableKind::Mirror).await;
    let first: Vec<Row> = (0..20).map(|id| row(id, "first", 0)).collect();
    let counts = commit(&mut table, WriteMode::Upsert, &first, &[], true)
        .await
        .counts;
    assert_eq!(
        (counts.inserted, counts.updated, counts.data_files),
        (20, 0, 3)
    );
    let at_first = table.current_snapshot_id();

    // 5 twice in one file, 19 written and deleted, 30 new, 31 new and deleted, 7 deleted.
    let mut second = vec![
        row(5, "x", 1),
        row(19, "x", 1),
        row(5, "y", 2),
        row(30, "x", 1),
    ];
    second.extend((8..16).map(|id| row(id, "x", 1)));
    second.push(row(31, "x", 1));
    let counts = commit(
        &mut table,
        WriteMode::Upsert,
        &second,
        &[19, 31, 7, 99],
        true,
    )
    .await
    .counts;
    assert_eq!(
        (counts.inserted, counts.updated, counts.deleted),
        (1, 9, 2),
        "{counts:?}"
    );
    let mut expected: BTreeMap<i64, Row> = first.iter().map(|row| (row.0, row.clone())).collect();
    for row in second {
        expected.insert(row.0, row);
    }
    for id in [19, 31, 7] {
        expected.remove(&id);
    }
    let expected: Vec<Row> = expected.into_values().collect();
    assert_eq!(read(&table, None).await, expected);
    assert_eq!(table.current_rows().await.unwrap(), 19);
    assert_eq!(read(&table, at_first).await, first);
    let snapshot = table.resolve(SnapshotRef::Latest).unwrap();
    assert_eq!(
        (snapshot.operation.as_str(), snapshot.rows_deleted),
        ("overwrite", 11)
    );

    // A file whose rows are all replaced leaves the table, with its delete files.
    let all: Vec<Row> = (0..40).map(|id| row(id, "z", 3)).collect();
    let counts = commit(&mut table, WriteMode::Upsert, &all, &[], false)
        .await
        .counts;
    assert_eq!(
        (counts.inserted, counts.updated, counts.delete_files),
        (21, 19, 0)
    );
    let files = table.files(table.current_snapshot_id()).await.unwrap();
    assert_eq!((files.data.len(), files.deletes.len()), (1, 0));
    assert_eq!(read(&table, None).await, all);
}

#[tokio::test]
async fn replacing_everything_leaves_only_the_new_files() {
    let directory = tempfile::tempdir().unwrap();
    let (_, mut table) = fresh(directory.path(), TableKind::Mirror).await;
    let rows: Vec<Row> = (0..9).map(|id| row(id, "a", 1)).collect();
    let prepared = prepare(&table, WriteMode::ReplaceAll, &rows, &[], true).await;
    let run = intent(&table, RunId::generate());
    table.commit(prepared, run).await.unwrap();
    assert_eq!(
        table.resolve(SnapshotRef::Latest).unwrap().operation,
        "append"
    );
    commit(&mut table, WriteMode::Upsert, &[row(3, "b", 2)], &[], true).await;

    let mut turned = rows.clone();
    turned.reverse();
    let same = prepare(&table, WriteMode::ReplaceAll, &turned, &[], false).await;
    let files: Vec<String> = same.files().map(str::to_owned).collect();
    same.abandon(&table).await;
    for uri in files {
        assert!(!Path::new(uri.strip_prefix("file://").unwrap()).exists());
    }

    turned[0] = row(8, "a", 2);
    let other = prepare(&table, WriteMode::ReplaceAll, &turned, &[], false).await;
    let run = intent(&table, RunId::generate());
    table.commit(other, run).await.unwrap();
    turned.sort();
    assert_eq!(read(&table, None).await, turned);
    assert_eq!(
        table.resolve(SnapshotRef::Latest).unwrap().operation,
        "overwrite"
    );
    let files = table.files(table.current_snapshot_id()).await.unwrap();
    assert_eq!((files.data.len(), files.deletes.len()), (1, 0));

    // An empty source empties the table.
    commit(&mut table, WriteMode::ReplaceAll, &[], &[], false).await;
    assert!(read(&table, None).await.is_empty());
    assert_eq!(table.current_rows().await.unwrap(), 0);
}

#[tokio::test]
async fn rows_read_again_are_not_written_again() {
    let directory = tempfile::tempdir().unwrap();
    let (_, mut table) = fresh(directory.path(), TableKind::Mirror).await;
    let rows: Vec<Row> = (0..10).map(|id| row(id, "a", 1)).collect();
    commit(&mut table, WriteMode::Upsert, &rows, &[], true).await;
    commit(&mut table, WriteMode::Upsert, &[row(2, "b", 1)], &[], true).await;

    let options = WriteOptions::new(WriteMode::Upsert, RunId::generate());
    let mut writer = table.writer(options).await.unwrap();
    // 1 is as it was; 2 has gone back to what it once was; 3 differs; 4 is no overlap; 5 comes twice; 11 is new.
    let again = batch(&[
        row(1, "a", 1),
        row(2, "a", 1),
        (3, None, Some(1)),
        row(4, "a", 1),
        row(5, "c", 1),
        row(5, "a", 1),
        row(11, "a", 1),
    ]);
    let mask = BooleanArray::from(vec![true, true, true, false, true, true, true]);
    writer.write_with_overlap(again, Some(&mask)).await.unwrap();
    writer
        .write_with_overlap(batch(&[row(20, "a", 1)]), None)
        .await
        .unwrap();
    let prepared = writer.finish().await.unwrap();
    let counts = prepared.counts();
    assert_eq!(
        (counts.unchanged, counts.updated, counts.inserted),
        (1, 4, 2),
        "{counts:?}"
    );
    let run = intent(&table, RunId::generate());
    table.commit(prepared, run).await.unwrap();
    let found: BTreeMap<i64, Row> = read(&table, None)
        .await
        .into_iter()
        .map(|row| (row.0, row))
        .collect();
    assert_eq!(found.len(), 12);
    assert_eq!(
        (&found[&2], &found[&3], &found[&5]),
        (&row(2, "a", 1), &(3, None, Some(1)), &row(5, "a", 1))
    );

    // Nothing but known rows: no snapshot, but a checkpoint.
    let before = table.current_snapshot_id();
    let mut writer = table
        .writer(WriteOptions::new(WriteMode::Upsert, RunId::generate()))
        .await
        .unwrap();
    let all: Vec<Row> = found.into_values().collect();
    let mask = BooleanArray::from(vec![true; all.len()]);
    writer
        .write_with_overlap(batch(&all), Some(&mask))
        .await
        .unwrap();
    let prepared = writer.finish().await.unwrap();
    assert!(prepared.is_empty());
    let run = intent(&table, RunId::generate());
    let id = run.run_id;
    let committed = table.commit(prepared, run).await.unwrap();
    assert_eq!(committed.snapshot_id, None);
    assert_eq!(table.current_snapshot_id(), before);
    assert_eq!(table.checkpoint().unwrap().unwrap().run_id, id);
}

#[tokio::test]
async fn history_keeps_versions_in_order_and_drops_only_the_latest_again() {
    let directory = tempfile::tempdir().unwrap();
    let (_, mut table) = fresh(directory.path(), TableKind::History).await;
    commit(
        &mut table,
        WriteMode::Append,
        &[row(1, "a", 1), row(2, "a", 1)],
        &[],
        false,
    )
    .await;
    commit(&mut table, WriteMode::Append, &[row(1, "b", 1)], &[], false).await;
    let mut options = WriteOptions::new(WriteMode::Append, RunId::generate());
    options.op = Op::Update;
    let mut writer = table.writer(options).await.unwrap();
    // 1 is back at an older version, which is a change; 2 is as it was.
    let mask = BooleanArray::from(vec![true, true]);
    let again = batch(&[row(1, "a", 1), row(2, "a", 1)]);
    writer.write_with_overlap(again, Some(&mask)).await.unwrap();
    let prepared = writer.finish().await.unwrap();
    assert_eq!(
        (prepared.counts().unchanged, prepared.counts().inserted),
        (1, 1)
    );
    let run = intent(&table, RunId::generate());
    table.commit(prepared, run).await.unwrap();
    let batches: Vec<RecordBatch> = table
        .scan(None, Some(&["_seq", "id", "name", "_op"]))
        .await
        .unwrap()
        .try_collect()
        .await
        .unwrap();
    let mut rows: Vec<(i64, i64, String)> = Vec::new();
    for batch in &batches {
        for at in 0..batch.num_rows() {
            rows.push((
                batch.column(0).as_primitive::<Int64Type>().value(at),
                batch.column(1).as_primitive::<Int64Type>().value(at),
                batch.column(2).as_string::<i32>().value(at).to_owned(),
            ));
        }
    }
    rows.sort();
    let text = |t: &str| t.to_owned();
    assert_eq!(
        rows,
        [
            (1, 1, text("a")),
            (2, 2, text("a")),
            (3, 1, text("b")),
            (4, 1, text("a"))
        ]
    );
    let snapshots = table.snapshots();
    let delta = table
        .delta(Some(snapshots[0].id), snapshots[2].id)
        .await
        .unwrap();
    assert_eq!((delta.segments.len(), delta.upsert_rows_estimate), (1, 2));
}

#[tokio::test]
async fn batches_that_do_not_fit_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let (_, table) = fresh(directory.path(), TableKind::Mirror).await;
    let options = WriteOptions::new(WriteMode::Upsert, RunId::generate());
    let mut writer = table.writer(options).await.unwrap();
    let good = batch(&[row(1, "a", 1)]);
    let narrow = good.project(&[0, 1]).unwrap();
    assert!(matches!(
        writer.write(narrow).await,
        Err(LakeError::BatchMismatch { .. })
    ));
    let turned = good.project(&[1, 0, 2]).unwrap();
    let error = writer.write(turned).await.unwrap_err();
    assert!(error.to_string().contains("`id`"), "{error}");
    let null: ArrayRef = Arc::new(Int64Array::from(vec![None::<i64>]));
    let columns = vec![
        ("id", null),
        ("name", good.column(1).clone()),
        ("amount", good.column(2).clone()),
    ];
    let nulls =
        RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true)))
            .unwrap();
    assert!(matches!(
        writer.write(nulls).await,
        Err(LakeError::NullInRequired { .. })
    ));
    writer.abandon().await;
    assert!(files_in(&table, "data").is_empty());
}

#[tokio::test]
async fn composite_keys_fold_and_hold_null() {
    let directory = tempfile::tempdir().unwrap();
    let warehouse = Warehouse::open(directory.path().to_str().unwrap())
        .await
        .unwrap();
    let mut schema = schema();
    let fold = KeyFold {
        trim: true,
        ascii_case: true,
        zeros: false,
    };
    schema.key = vec![
        LakeKeyField { field: 1, fold },
        LakeKeyField {
            field: 2,
            fold: KeyFold::default(),
        },
    ];
    let mut table = warehouse
        .create(&name(), &schema, TableKind::Mirror, BTreeMap::new())
        .await
        .unwrap();
    let keyed = |id, text: Option<&str>, amount| (id, text.map(str::to_owned), amount);
    let first = [
        keyed(1, Some("Ab"), Some(1)),
        keyed(2, Some("ab"), Some(2)),
        keyed(3, None, Some(1)),
        keyed(4, Some("Ab"), None),
        keyed(5, None, None),
        keyed(6, Some("É"), Some(1)),
        keyed(7, Some("é"), Some(1)),
    ];
    let counts = commit(&mut table, WriteMode::Upsert, &first, &[], false)
        .await
        .counts;
    assert_eq!((counts.inserted, counts.updated), (7, 0));
    let second = [
        keyed(11, Some("AB  "), Some(1)),
        keyed(13, None, Some(1)),
        keyed(14, Some("aB "), None),
        keyed(15, None, None),
        keyed(16, Some(" ab"), Some(1)),
    ];
    let counts = commit(&mut table, WriteMode::Upsert, &second, &[], false)
        .await
        .counts;
    assert_eq!((counts.inserted, counts.updated), (1, 4));
    let ids: Vec<i64> = read(&table, None).await.iter().map(|row| row.0).collect();
    assert_eq!(ids, [2, 6, 7, 11, 13, 14, 15, 16]);
}

#[tokio::test]
async fn files_older_than_the_schema_are_read_in_its_words() {
    use iceberg::spec::{NestedField, PrimitiveType, Schema, Type};
    let directory = tempfile::tempdir().unwrap();
    let (_, mut table) = fresh(directory.path(), TableKind::Mirror).await;
    commit(
        &mut table,
        WriteMode::Upsert,
        &[row(1, "a", 1), row(2, "a", 2)],
        &[],
        false,
    )
    .await;
    // `name` is dropped, `amount` renamed and widened, `more` added.
    let optional = |id, name, ty| Arc::new(NestedField::optional(id, name, Type::Primitive(ty)));
    let long = Type::Primitive(PrimitiveType::Long);
    let evolved = Schema::builder()
        .with_schema_id(1)
        .with_fields([
            Arc::new(NestedField::required(1, "id", long)),
            optional(3, "total", PrimitiveType::Long),
            optional(4, "more", PrimitiveType::String),
        ])
        .with_identifier_field_ids([1])
        .build()
        .unwrap();
    let change = |_: &LakeTable| Ok(Change::schema(evolved.clone(), Default::default()));
    table.apply(None, None, change).await.unwrap();
    table.refresh().await.unwrap();
    let names: Vec<&str> = table
        .lake_schema()
        .fields
        .iter()
        .map(|field| field.name.as_str())
        .collect();
    assert_eq!(names, ["id", "total", "more"]);

    // Nobody at the source fills a column that another engine added.
    let schema = crate::schema::mapping::arrow_schema(table.lake_schema());
    let writer_schema = crate::schema::mapping::arrow_schema(&table.batch_schema());
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(vec![2, 3])),
        Arc::new(Int64Array::from(vec![1_i64 << 40, 3])),
    ];
    let options = WriteOptions::new(WriteMode::Upsert, RunId::generate());
    let mut writer = table.writer(options).await.unwrap();
    writer
        .write(RecordBatch::try_new(writer_schema, columns).unwrap())
        .await
        .unwrap();
    let prepared = writer.finish().await.unwrap();
    assert_eq!(
        (prepared.counts().updated, prepared.counts().inserted),
        (1, 1)
    );
    let run = intent(&table, RunId::generate());
    table.commit(prepared, run).await.unwrap();
    let batches: Vec<RecordBatch> = table
        .scan(None, None)
        .await
        .unwrap()
        .try_collect()
        .await
        .unwrap();
    let mut rows = Vec::new();
    for batch in &batches {
        assert_eq!(batch.schema(), schema);
        for at in 0..batch.num_rows() {
            let more = batch.column(2).as_string::<i32>();
            rows.push((
                batch.column(0).as_primitive::<Int64Type>().value(at),
                batch.column(1).as_primitive::<Int64Type>().value(at),
                more.is_valid(at).then(|| more.value(at).to_owned()),
            ));
        }
    }
    rows.sort();
    assert_eq!(rows, [(1, 1, None), (2, 1 << 40, None), (3, 3, None)]);
}

#[tokio::test]
async fn rows_of_a_mirror_table_are_in_the_order_of_their_keys() {
    let directory = tempfile::tempdir().unwrap();
    let (_, mut table) = fresh(directory.path(), TableKind::Mirror).await;
    // In order, then out of order, then keys again: the last row of a key is the one that stays.
    let mut rows: Vec<Row> = (0..100).map(|id| row(id, "first", 0)).collect();
    rows.extend((0..20_000).map(|n| row(n * 7_919 % 20_000, "second", n as i32)));
    rows.extend([row(5, "third", 1), row(3, "third", 2), row(5, "last", 3)]);
    commit(&mut table, WriteMode::Upsert, &rows, &[], false).await;
    let mut files = files_in(&table, "data");
    files.retain(|file| !file.to_string_lossy().contains("-deletes"));
    assert_eq!(files.len(), 1);
    let file = std::fs::File::open(&files[0]).unwrap();
    let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(file);
    let written: Vec<i64> = reader
        .unwrap()
        .build()
        .unwrap()
        .fold(Vec::new(), |mut ids, batch| {
            ids.extend(rows_of(&batch.unwrap()).into_iter().map(|row| row.0));
            ids
        });
    assert_eq!(written.len(), rows.len());
    assert!(written[100..].is_sorted());
    let model: Model = rows.iter().map(|row| (row.0, row.clone())).collect();
    let expected: Vec<Row> = model.into_values().collect();
    assert_eq!(read(&table, None).await, expected);

    let (_, mut history) = fresh(&directory.path().join("history"), TableKind::History).await;
    let rows = [row(9, "a", 1), row(2, "b", 2), row(5, "c", 3)];
    commit(&mut history, WriteMode::Append, &rows, &[], false).await;
    commit(&mut history, WriteMode::Append, &rows, &[], false).await;
    let scan = history.scan(None, None).await.unwrap();
    let batches: Vec<RecordBatch> = scan.try_collect().await.unwrap();
    let ids: Vec<i64> = batches.iter().flat_map(rows_of).map(|row| row.0).collect();
    assert_eq!(ids, [9, 2, 5, 9, 2, 5]);
}
