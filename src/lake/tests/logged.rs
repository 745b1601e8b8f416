//! Rows beside the keys of a log: those that are there are written, and keys without a row are deleted.

use super::*;
use crate::schema::mapping::arrow_schema;

/// What a log has of a key: its row, or none.
type Logged = (i64, Option<Row>);

/// The rows of keys; all NULL where there is none.
fn beside(keys: &[Logged]) -> RecordBatch {
    let row = |at: usize| keys[at].1.as_ref();
    let rows = || 0..keys.len();
    let name = |at: usize| row(at).and_then(|row| row.1.as_deref());
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter(
            rows().map(|at| row(at).map(|row| row.0)),
        )),
        Arc::new(StringArray::from_iter(rows().map(name))),
        Arc::new(Int32Array::from_iter(
            rows().map(|at| row(at).and_then(|row| row.2)),
        )),
    ];
    let mut schema = schema();
    schema.fields[0].required = false;
    RecordBatch::try_new(arrow_schema(&schema), columns).unwrap()
}

async fn follow(table: &mut LakeTable, keys: &[Logged], small: bool) -> Committed {
    let mode = match table.kind() {
        TableKind::Mirror => WriteMode::Upsert,
        TableKind::History => WriteMode::Append,
    };
    let mut options = WriteOptions::new(mode, RunId::generate());
    if table.kind() == TableKind::History {
        options.reread = Reread::Everything { vanished: false };
    }
    if small {
        options.key_rows_max = 7;
        options.row_group_rows = 3;
    }
    let mut writer = table.writer(options).await.unwrap();
    for keys in keys.chunks(5) {
        let logged: Vec<i64> = keys.iter().map(|(key, _)| *key).collect();
        let written = writer
            .write_logged(&key_batch(&logged), &beside(keys))
            .await;
        written.unwrap();
    }
    let prepared = writer.finish().await.unwrap();
    let run = intent(table, RunId::generate());
    table.commit(prepared, run).await.unwrap()
}

fn is_there(row: Row) -> Logged {
    (row.0, Some(row))
}

/// Inserted, updated, deleted.
fn counts(committed: &Committed) -> (u64, u64, u64) {
    let counts = committed.counts;
    (counts.inserted, counts.updated, counts.deleted)
}

#[tokio::test]
async fn a_mirror_loses_the_rows_of_keys_that_are_gone() {
    for small in [false, true] {
        let directory = tempfile::tempdir().unwrap();
        let (_, mut table) = fresh(directory.path(), TableKind::Mirror).await;
        let first: Vec<Row> = (0..40).map(|id| row(id, "first", 0)).collect();
        let before = commit(&mut table, WriteMode::Upsert, &first, &[], small).await;
        let mut keys: Vec<Logged> = (0..10).map(|id| is_there(row(id, "second", 1))).collect();
        keys.extend((20..30).map(|id| (id, None)));
        keys.extend([is_there(row(77, "new", 1)), (99, None)]);
        let committed = follow(&mut table, &keys, small).await;
        assert_eq!(counts(&committed), (1, 10, 10));
        let mut model: Model = first.iter().map(|row| (row.0, row.clone())).collect();
        for (key, row) in keys {
            match row {
                Some(row) => model.insert(key, row),
                None => model.remove(&key),
            };
        }
        let expected: Vec<Row> = model.into_values().collect();
        assert_eq!(read(&table, None).await, expected);
        let (from, to) = (before.snapshot_id, committed.snapshot_id.unwrap());
        let delta = table.delta(from, to).await.unwrap();
        assert_eq!(delta.upsert_rows_estimate, 11);
        // Deletes alone make a snapshot without a data file, and what is gone makes none.
        let all: Vec<Logged> = expected.iter().map(|row| (row.0, None)).collect();
        let emptied = follow(&mut table, &all, small).await;
        assert_eq!(counts(&emptied), (0, 0, 31));
        assert!(emptied.snapshot_id.is_some() && read(&table, None).await.is_empty());
        let nothing = follow(&mut table, &all, small).await;
        assert_eq!((counts(&nothing), nothing.snapshot_id), ((0, 0, 0), None));
    }
}

/// Rows of a history with what happened to them, in the order of their numbers.
async fn versions(table: &LakeTable) -> Vec<(String, Row)> {
    let batches: Vec<RecordBatch> = (table.scan(None, None).await.unwrap())
        .try_collect()
        .await
        .unwrap();
    let mut found = Vec::new();
    for batch in &batches {
        let ops = batch.column(3).as_string::<i32>();
        let numbers = batch.column(4).as_primitive::<Int64Type>();
        for (at, row) in rows_of(batch).into_iter().enumerate() {
            found.push((numbers.value(at), ops.value(at).to_owned(), row));
        }
    }
    found.sort();
    found.into_iter().map(|(_, op, row)| (op, row)).collect()
}

#[tokio::test]
async fn a_history_says_once_of_a_key_that_it_is_gone_with_the_last_values() {
    for small in [false, true] {
        let directory = tempfile::tempdir().unwrap();
        let (_, mut table) = fresh(directory.path(), TableKind::History).await;
        let first: Vec<Row> = (0..4).map(|id| row(id, "first", 0)).collect();
        commit(&mut table, WriteMode::Append, &first, &[], small).await;
        let second = [is_there(row(1, "second", 1)), (2, None), (50, None)];
        let committed = follow(&mut table, &second, small).await;
        assert_eq!(counts(&committed), (1, 0, 1));
        // Brought again, nothing is new.
        let again = follow(&mut table, &second, small).await;
        assert_eq!((counts(&again), again.snapshot_id), ((0, 0, 0), None));
        let third = [(1, None), is_there(row(2, "back", 2))];
        assert_eq!(counts(&follow(&mut table, &third, small).await), (1, 0, 1));
        let fourth: [Logged; 1] = [(2, None)];
        assert_eq!(counts(&follow(&mut table, &fourth, small).await), (0, 0, 1));
        let written = versions(&table).await.split_off(4);
        let expected = [
            ("U", row(1, "second", 1)),
            ("D", row(2, "first", 0)),
            ("U", row(2, "back", 2)),
            ("D", row(1, "second", 1)),
            ("D", row(2, "back", 2)),
        ];
        let expected = expected.map(|(op, row)| (op.to_owned(), row));
        assert_eq!(written, expected);
    }
}

/// The key is the text. Letters beyond ASCII are told apart by the lake, and not by the source.
#[tokio::test]
async fn a_key_that_the_log_spells_otherwise_than_the_row_is_gone() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().join("wh");
    let warehouse = Warehouse::open(place.to_str().unwrap()).await.unwrap();
    let mut schema = schema();
    let fold = KeyFold {
        trim: true,
        ascii_case: true,
        zeros: false,
    };
    schema.fields[1].required = true;
    schema.key = vec![LakeKeyField { field: 1, fold }];
    let (name, kind) = (name(), TableKind::Mirror);
    let created = warehouse.create(&name, &schema, kind, BTreeMap::new());
    let mut table = created.await.unwrap();
    let first = [row(1, "ab", 0), row(2, "é", 0), row(3, "x", 0)];
    commit(&mut table, WriteMode::Upsert, &first, &[], false).await;
    let options = WriteOptions::new(WriteMode::Upsert, RunId::generate());
    let mut writer = table.writer(options).await.unwrap();
    let logged: ArrayRef = Arc::new(StringArray::from(vec!["AB ", "é", "X"]));
    let logged = RecordBatch::try_from_iter([("name", logged)]).unwrap();
    let rows = [
        is_there(row(1, "AB", 1)),
        is_there(row(2, "É", 1)),
        (3, None),
    ];
    writer.write_logged(&logged, &beside(&rows)).await.unwrap();
    let prepared = writer.finish().await.unwrap();
    let run = intent(&table, RunId::generate());
    table.commit(prepared, run).await.unwrap();
    let now = read(&table, None).await;
    assert_eq!(now, [row(1, "AB", 1), row(2, "É", 1)]);
}
