//! Rows that a column marks as deleted: a mirror is without them, a history has them as versions `D`.

use super::*;
use crate::schema::deleted::{RowMark, Scalar, SoftDelete};
use crate::schema::{Column, Generated, SqlType, TableSchema};

/// What marks a row in these tests.
const GONE: i32 = 9;

fn mark() -> RowMark {
    let column = |(id, name, ty): (i32, &str, SqlType)| Column {
        id,
        name: name.into(),
        ty,
        nullable: true,
        collation: None,
        generated: Generated::No,
    };
    let columns = [
        (1, "id", SqlType::BigInt),
        (2, "name", SqlType::NVarChar { length: Some(20) }),
        (3, "amount", SqlType::Int),
    ];
    let table = TableSchema {
        name: name(),
        columns: columns.map(column).to_vec(),
        key: None,
    };
    let wanted = SoftDelete {
        column: "amount".into(),
        values: vec![Scalar::Number(GONE as u64)],
    };
    let marked = wanted.resolve(&table, &[]).unwrap();
    marked.in_batches(&schema()).unwrap()
}

/// Inserted, updated, deleted, unchanged.
async fn written(
    table: &mut LakeTable,
    mode: WriteMode,
    reread: Reread,
    rows: &[Row],
) -> (u64, u64, u64, u64) {
    let mut options = WriteOptions::new(mode, RunId::generate());
    options.mark = Some(mark());
    options.reread = reread;
    options.key_rows_max = 7;
    let mut writer = table.writer(options).await.unwrap();
    for rows in rows.chunks(5) {
        let again = BooleanArray::from(vec![true; rows.len()]);
        let again = (reread == Reread::Marked).then_some(&again);
        let rows = batch(rows);
        writer.write_with_overlap(rows, again).await.unwrap();
    }
    let prepared = writer.finish().await.unwrap();
    let counts = prepared.counts();
    let run = intent(table, RunId::generate());
    table.commit(prepared, run).await.unwrap();
    (
        counts.inserted,
        counts.updated,
        counts.deleted,
        counts.unchanged,
    )
}

fn ids(rows: &[Row]) -> Vec<i64> {
    rows.iter().map(|row| row.0).collect()
}

#[tokio::test]
async fn a_mirror_loses_the_rows_of_a_window_that_are_marked_and_gets_them_back() {
    let directory = tempfile::tempdir().unwrap();
    let (_, mut table) = fresh(directory.path(), TableKind::Mirror).await;
    let upsert = (WriteMode::Upsert, Reread::Marked);
    let rows: Vec<Row> = (1..=20).map(|id| row(id, "first", 0)).collect();
    let counts = written(&mut table, upsert.0, upsert.1, &rows).await;
    assert_eq!(counts, (20, 0, 0, 0));
    // One that the table does not have, one that is the same, one that differs, and two that are marked.
    let rows = [
        row(3, "gone", GONE),
        row(4, "first", 0),
        row(5, "other", 0),
        row(17, "gone", GONE),
        row(99, "never there", GONE),
    ];
    let counts = written(&mut table, upsert.0, upsert.1, &rows).await;
    assert_eq!(counts, (0, 1, 2, 1));
    let left = ids(&read(&table, None).await);
    let expected: Vec<i64> = (1..=20).filter(|id| ![3, 17].contains(id)).collect();
    assert_eq!(left, expected);
    // Read again, they are gone already.
    let counts = written(&mut table, upsert.0, upsert.1, &rows).await;
    assert_eq!(counts, (0, 0, 0, 2));
    // A NULL marks nothing.
    let back = [row(3, "back", 1), (17, Some("back".into()), None)];
    let counts = written(&mut table, upsert.0, upsert.1, &back).await;
    assert_eq!(counts, (2, 0, 0, 0));
    assert_eq!(read(&table, None).await.len(), 20);
}

#[tokio::test]
async fn a_read_of_all_rows_leaves_out_those_that_are_marked() {
    let everything = Reread::Everything { vanished: true };
    for first in [WriteMode::Refresh, WriteMode::ReplaceAll] {
        let directory = tempfile::tempdir().unwrap();
        let (_, mut table) = fresh(directory.path(), TableKind::Mirror).await;
        let mut rows: Vec<Row> = (1..=12).map(|id| row(id, "first", 0)).collect();
        rows[4].2 = Some(GONE);
        written(&mut table, first, everything, &rows).await;
        assert_eq!(read(&table, None).await.len(), 11, "{first:?}");
        rows[4].2 = Some(0);
        rows[7].2 = Some(GONE);
        let counts = written(&mut table, WriteMode::Refresh, everything, &rows).await;
        assert_eq!(counts, (1, 0, 1, 10), "{first:?}");
        let left = ids(&read(&table, None).await);
        let expected: Vec<i64> = (1..=12).filter(|&id| id != 8).collect();
        assert_eq!(left, expected, "{first:?}");
    }
}

/// A read with row locks may miss rows, so it deletes by key, and nothing that it has not met.
#[tokio::test]
async fn a_read_that_may_miss_rows_deletes_those_that_are_marked_and_no_others() {
    let directory = tempfile::tempdir().unwrap();
    let (_, mut table) = fresh(directory.path(), TableKind::Mirror).await;
    let some = Reread::Everything { vanished: false };
    let rows: Vec<Row> = (1..=12).map(|id| row(id, "first", 0)).collect();
    written(&mut table, WriteMode::Upsert, some, &rows).await;
    // The last two are missed.
    let mut again = rows[..10].to_vec();
    again[2].2 = Some(GONE);
    let counts = written(&mut table, WriteMode::Upsert, some, &again).await;
    assert_eq!(counts, (0, 0, 1, 9));
    let left = ids(&read(&table, None).await);
    let expected: Vec<i64> = (1..=12).filter(|&id| id != 3).collect();
    assert_eq!(left, expected);
}

/// `_op` by id, in the order of `_seq`.
async fn operations(table: &LakeTable) -> Vec<(i64, String)> {
    let scan = table.scan(None, None).await.unwrap();
    let batches: Vec<RecordBatch> = scan.try_collect().await.unwrap();
    let mut found = Vec::new();
    for batch in &batches {
        let column = |name: &str| batch.column_by_name(name).unwrap();
        let ids = column("id").as_primitive::<Int64Type>();
        let ops = column("_op").as_string::<i32>();
        let seqs = column("_seq").as_primitive::<Int64Type>();
        for at in 0..batch.num_rows() {
            found.push((seqs.value(at), ids.value(at), ops.value(at).to_owned()));
        }
    }
    found.sort();
    found.into_iter().map(|(_, id, op)| (id, op)).collect()
}

#[tokio::test]
async fn a_history_has_a_version_that_says_that_a_marked_row_is_deleted() {
    let directory = tempfile::tempdir().unwrap();
    let (_, mut table) = fresh(directory.path(), TableKind::History).await;
    let all = Reread::Everything { vanished: false };
    let append = WriteMode::Append;
    let rows = [row(1, "a", 0), row(2, "b", GONE), row(3, "c", 0)];
    assert_eq!(written(&mut table, append, all, &rows).await, (2, 0, 1, 0));
    // Read again, each version is there.
    assert_eq!(written(&mut table, append, all, &rows).await, (0, 0, 0, 3));
    let rows = [row(1, "a", GONE), row(2, "b", 0), row(3, "c", 0)];
    assert_eq!(written(&mut table, append, all, &rows).await, (1, 0, 1, 1));
    assert_eq!(written(&mut table, append, all, &rows).await, (0, 0, 0, 3));
    let told: Vec<(i64, String)> = operations(&table).await;
    let told: Vec<(i64, &str)> = told.iter().map(|(id, op)| (*id, op.as_str())).collect();
    assert_eq!(told, [(1, "U"), (2, "D"), (3, "U"), (1, "D"), (2, "U")]);
}
