//! Whole reads and histories: what the table has is not written again, what vanished goes.

use super::*;
use crate::change::Watermark;
use crate::schema::drift::Recorded;
use crate::schema::{Column, Generated, SqlType, TableSchema};

/// A write whose rows are all that the source has.
async fn refresh(
    table: &LakeTable,
    rows: &[Row],
    change: impl Fn(&mut WriteOptions),
) -> PreparedCommit {
    let mode = match table.kind() {
        TableKind::Mirror => WriteMode::Refresh,
        TableKind::History => WriteMode::Append,
    };
    let mut options = WriteOptions::new(mode, RunId::generate());
    options.reread = Reread::Everything { vanished: true };
    change(&mut options);
    let mut writer = table.writer(options).await.unwrap();
    for rows in rows.chunks(5) {
        writer.write(batch(rows)).await.unwrap();
    }
    writer.finish().await.unwrap()
}

async fn commit_prepared(table: &mut LakeTable, prepared: PreparedCommit) -> Committed {
    let run = intent(table, RunId::generate());
    table.commit(prepared, run).await.unwrap()
}

/// Inserted, updated, deleted, unchanged.
fn counts(prepared: &PreparedCommit) -> (u64, u64, u64, u64) {
    let counts = prepared.counts();
    (
        counts.inserted,
        counts.updated,
        counts.deleted,
        counts.unchanged,
    )
}

fn small(options: &mut WriteOptions) {
    options.key_rows_max = 7;
    options.row_group_rows = 3;
}

fn rows(ids: std::ops::Range<i64>, text: &str) -> Vec<Row> {
    ids.map(|id| row(id, text, 0)).collect()
}

fn data_files(table: &LakeTable) -> usize {
    let mut files = files_in(table, "data");
    files.retain(|file| !file.to_string_lossy().contains("-deletes"));
    files.len()
}

#[tokio::test]
async fn a_whole_read_of_a_mirror_writes_only_what_differs() {
    for distinct in [true, false] {
        let directory = tempfile::tempdir().unwrap();
        let (_, mut table) = fresh(directory.path(), TableKind::Mirror).await;
        let first = rows(0..50, "first");
        let prepared = refresh(&table, &first, small).await;
        assert_eq!(counts(&prepared), (50, 0, 0, 0));
        commit_prepared(&mut table, prepared).await;
        let files = data_files(&table);
        // The same again, in another order.
        let mut now = first.clone();
        now.reverse();
        let tune = |options: &mut WriteOptions| {
            small(options);
            options.distinct_keys = distinct;
        };
        let prepared = refresh(&table, &now, tune).await;
        assert_eq!(counts(&prepared), (0, 0, 0, 50), "distinct: {distinct}");
        assert!(prepared.is_empty());
        assert_eq!(data_files(&table), files, "nothing is left behind");
        // One differs, two are gone, one is new.
        now.retain(|row| row.0 != 7 && row.0 != 30);
        now[3].1 = None;
        now.push(row(99, "new", 1));
        let prepared = refresh(&table, &now, tune).await;
        assert_eq!(counts(&prepared), (1, 1, 2, 47), "distinct: {distinct}");
        let committed = commit_prepared(&mut table, prepared).await;
        assert_eq!(committed.counts.inserted, 1);
        now.sort();
        assert_eq!(read(&table, None).await, now);
        assert_eq!(table.current_rows().await.unwrap(), 49);
        let snapshots = table.snapshots();
        let (from, to) = (snapshots[0].id, snapshots[1].id);
        let delta = table.delta(Some(from), to).await.unwrap();
        assert_eq!(
            (delta.upsert_rows_estimate, delta.delete_rows_estimate),
            (2, 3)
        );
        // Nothing is left of an emptied source.
        let prepared = refresh(&table, &[], tune).await;
        assert_eq!(counts(&prepared), (0, 0, 49, 0));
        commit_prepared(&mut table, prepared).await;
        assert!(read(&table, None).await.is_empty());
        let prepared = refresh(&table, &first, tune).await;
        assert_eq!(counts(&prepared), (50, 0, 0, 0));
        commit_prepared(&mut table, prepared).await;
        assert_eq!(read(&table, None).await, first);
    }
}

#[tokio::test]
async fn a_key_that_a_whole_read_brings_twice_is_there_once_and_counted_once() {
    let directory = tempfile::tempdir().unwrap();
    let (_, mut table) = fresh(directory.path(), TableKind::Mirror).await;
    commit(&mut table, WriteMode::Upsert, &rows(0..20, "a"), &[], true).await;
    let mut read_rows = rows(0..20, "a");
    // In one chunk and far apart: same then different, different then same, new twice.
    read_rows.extend([
        row(2, "b", 1),
        row(3, "b", 1),
        row(3, "a", 0),
        row(50, "x", 1),
    ]);
    read_rows.extend(rows(0..1, "a"));
    read_rows.extend([row(50, "y", 2), row(17, "b", 1), row(17, "b", 1)]);
    let prepared = refresh(&table, &read_rows, small).await;
    // 3 may be rewritten: it was different for a while.
    let (inserted, updated, deleted, unchanged) = counts(&prepared);
    assert_eq!((inserted, deleted), (1, 0));
    assert_eq!(updated + unchanged, 20);
    assert!((2..=3).contains(&updated), "{updated}");
    commit_prepared(&mut table, prepared).await;
    let model: Model = read_rows.iter().map(|row| (row.0, row.clone())).collect();
    let expected: Vec<Row> = model.into_values().collect();
    assert_eq!(read(&table, None).await, expected);
    assert_eq!(table.current_rows().await.unwrap(), 21);
}

#[tokio::test]
async fn rows_that_are_too_many_for_memory_come_back_from_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let (_, mut table) = fresh(directory.path(), TableKind::Mirror).await;
    let wide = |id: i64, turn: i32| row(id, &format!("{turn}{}", "w".repeat(20_000)), turn);
    let first: Vec<Row> = (0..2000).map(|id| wide(id, 0)).collect();
    commit(&mut table, WriteMode::Upsert, &first, &[], false).await;
    let files = data_files(&table);
    let mut now: Vec<Row> = (0..2000)
        .map(|at| at * 7 % 2000)
        .map(|id| wide(id, i32::from(id % 97 == 3)))
        .collect();
    let prepared = refresh(&table, &now, |options| options.distinct_keys = true).await;
    assert_eq!(counts(&prepared), (0, 21, 0, 1979));
    assert_eq!(
        data_files(&table),
        files + 1,
        "the file of waiting rows is gone"
    );
    commit_prepared(&mut table, prepared).await;
    now.sort();
    let found = read(&table, None).await;
    // Not as one assertion, which would print megabytes.
    let ids = |rows: &[Row]| -> Vec<i64> { rows.iter().map(|row| row.0).collect() };
    assert_eq!(ids(&found), ids(&now));
    let differing: Vec<Row> = found.into_iter().filter(|row| !now.contains(row)).collect();
    assert!(differing.is_empty(), "{:?}", ids(&differing));
    // A write that is given up leaves nothing.
    let files = data_files(&table);
    let mut options = WriteOptions::new(WriteMode::Refresh, RunId::generate());
    options.distinct_keys = true;
    let mut writer = table.writer(options).await.unwrap();
    for rows in now.rchunks(100).take(15) {
        writer.write(batch(rows)).await.unwrap();
    }
    writer.abandon().await;
    assert_eq!(data_files(&table), files);
}

#[tokio::test]
async fn parts_of_a_whole_read_are_one_comparison() {
    let directory = tempfile::tempdir().unwrap();
    let (_, mut table) = fresh(directory.path(), TableKind::Mirror).await;
    commit(&mut table, WriteMode::Upsert, &rows(0..40, "a"), &[], true).await;
    let mut options = WriteOptions::new(WriteMode::Refresh, RunId::generate());
    options.distinct_keys = true;
    let mut parts = Vec::new();
    for range in [0..20, 21..40] {
        let mut part = rows(range, "a");
        part[4].2 = Some(9);
        let mut writer = table.writer(options.clone()).await.unwrap();
        writer.write(batch(&part)).await.unwrap();
        parts.push(writer.finish_part().await.unwrap());
    }
    let prepared = table.prepare(options, parts, Vec::new()).await.unwrap();
    assert_eq!(counts(&prepared), (0, 2, 1, 37));
    commit_prepared(&mut table, prepared).await;
    let mut expected = rows(0..40, "a");
    expected[4].2 = Some(9);
    expected[25].2 = Some(9);
    expected.remove(20);
    assert_eq!(read(&table, None).await, expected);
}

#[tokio::test]
async fn a_history_has_each_version_once_and_says_what_vanished() {
    for distinct in [true, false] {
        let directory = tempfile::tempdir().unwrap();
        let (_, mut table) = fresh(directory.path(), TableKind::History).await;
        let tune = |options: &mut WriteOptions| {
            small(options);
            options.op = Op::Refresh;
            options.distinct_keys = distinct;
        };
        let mut now = rows(0..30, "a");
        let prepared = refresh(&table, &now, tune).await;
        assert_eq!(counts(&prepared), (30, 0, 0, 0));
        commit_prepared(&mut table, prepared).await;
        let prepared = refresh(&table, &now, tune).await;
        assert_eq!(counts(&prepared), (0, 0, 0, 30));
        assert!(prepared.is_empty());
        now[5] = row(5, "b", 1);
        now.retain(|row| row.0 < 28);
        let prepared = refresh(&table, &now, tune).await;
        assert_eq!(counts(&prepared), (1, 0, 2, 27), "distinct: {distinct}");
        commit_prepared(&mut table, prepared).await;
        let prepared = refresh(&table, &now, tune).await;
        assert_eq!(counts(&prepared), (0, 0, 0, 28));
        // Back as it was, which is a version after the deletion; and 5 is what it was at first.
        now.push(row(28, "a", 0));
        now[5] = row(5, "a", 0);
        let prepared = refresh(&table, &now, tune).await;
        assert_eq!(counts(&prepared), (2, 0, 0, 27));
        commit_prepared(&mut table, prepared).await;
        let mut ops = BTreeMap::new();
        let scan = table.scan(None, Some(&["_op", "id"])).await.unwrap();
        let batches: Vec<RecordBatch> = scan.try_collect().await.unwrap();
        for batch in &batches {
            let (op, id) = (batch.column(0), batch.column(1));
            for at in 0..batch.num_rows() {
                let id = id.as_primitive::<Int64Type>().value(at);
                let op = op.as_string::<i32>().value(at).to_owned();
                *ops.entry((id, op)).or_insert(0) += 1;
            }
        }
        let count = |id: i64, op: &str| ops.get(&(id, op.to_owned())).copied().unwrap_or(0);
        assert_eq!([count(4, "R"), count(5, "R"), count(28, "R")], [1, 3, 2]);
        assert_eq!([count(4, "D"), count(28, "D"), count(29, "D")], [0, 1, 1]);
        assert_eq!(ops.values().sum::<i32>(), 35);
        // A load gets them only where it asks for them.
        let to = table.current_snapshot_id().unwrap();
        let plain = table.delta(None, to).await.unwrap();
        let all = table.delta(None, to).await.unwrap().with_deletes();
        assert_eq!((loaded(plain).await, loaded(all).await), (33, 35));
    }
}

/// How many rows a delta upserts.
async fn loaded(delta: Delta) -> usize {
    let mut rows = 0;
    for segment in &delta.segments {
        let batches: Vec<RecordBatch> = segment.upserts().try_collect().await.unwrap();
        rows += batches.iter().map(RecordBatch::num_rows).sum::<usize>();
    }
    rows
}

#[tokio::test]
async fn versions_are_compared_up_to_the_highest_watermark_and_within_one_read() {
    let directory = tempfile::tempdir().unwrap();
    let (_, mut table) = fresh(directory.path(), TableKind::History).await;
    commit(&mut table, WriteMode::Append, &rows(0..20, "a"), &[], false).await;
    let mut options = WriteOptions::new(WriteMode::Append, RunId::generate());
    small(&mut options);
    options.reread = Reread::UpTo(2);
    let mut writer = table.writer(options).await.unwrap();
    // 3 is known, 4 differs twice and comes back the same, 5 lies above.
    let again = [row(3, "a", 0), row(4, "b", 0), row(5, "a", 1)];
    writer.write(batch(&again)).await.unwrap();
    writer.write(batch(&rows(6..20, "a"))).await.unwrap();
    writer.write(batch(&[row(4, "b", 0)])).await.unwrap();
    let prepared = writer.finish().await.unwrap();
    assert_eq!(counts(&prepared), (2, 0, 0, 16));
    commit_prepared(&mut table, prepared).await;
    assert_eq!(table.current_rows().await.unwrap(), 22);
}

#[tokio::test]
async fn rows_above_the_highest_value_of_a_renamed_column_are_not_looked_up() {
    let column = |id: i32, name: &str, ty| Column {
        id,
        name: name.to_owned(),
        ty,
        nullable: true,
        collation: None,
        generated: Generated::No,
    };
    // The lake calls the column that is followed otherwise than the source.
    let source = TableSchema {
        name: name(),
        columns: vec![
            column(1, "id", SqlType::BigInt),
            column(2, "name", SqlType::NVarChar { length: None }),
            column(3, "amount", SqlType::Int),
        ],
        key: None,
    };
    let mut recorded = Recorded::new(source, None);
    recorded.renamed.insert("amount".into(), "version".into());
    let recorded = serde_json::to_string(&recorded).unwrap();
    let properties = BTreeMap::from([(SOURCE_SCHEMA_PROPERTY.to_owned(), recorded)]);
    let directory = tempfile::tempdir().unwrap();
    let warehouse = Warehouse::open(directory.path().to_str().unwrap()).await;
    let warehouse = warehouse.unwrap();
    let mut table = warehouse
        .create(&name(), &history_schema(), TableKind::History, properties)
        .await
        .unwrap();
    let first: Vec<Row> = (0..20).map(|id| row(id, "a", 5)).collect();
    let prepared = prepare(&table, WriteMode::Append, &first, &[], false).await;
    let mut run = intent(&table, RunId::generate());
    run.checkpoint.watermark = Some(Watermark {
        column: "Version".into(),
        ty: SqlType::Int,
        text: "5".into(),
    });
    table.commit(prepared, run).await.unwrap();
    for (amount, looks) in [(6, false), (5, true)] {
        let mut options = WriteOptions::new(WriteMode::Append, RunId::generate());
        options.reread = Reread::UpTo(2);
        let mut writer = table.writer(options).await.unwrap();
        let again: Vec<Row> = (0..20).map(|id| row(id, "a", amount)).collect();
        writer.write(batch(&again)).await.unwrap();
        let prepared = writer.finish().await.unwrap();
        assert_eq!(prepared.lookup().files > 0, looks, "{amount}");
        assert_eq!(prepared.is_empty(), looks, "{amount}");
    }
}

async fn keyless(directory: &Path) -> LakeTable {
    let warehouse = Warehouse::open(directory.to_str().unwrap()).await.unwrap();
    let mut schema = history_schema();
    schema.key.clear();
    warehouse
        .create(&name(), &schema, TableKind::History, BTreeMap::new())
        .await
        .unwrap()
}

#[tokio::test]
async fn without_a_key_equal_rows_are_counted() {
    for reread in [Reread::UpTo(2), Reread::Everything { vanished: true }] {
        let directory = tempfile::tempdir().unwrap();
        let mut table = keyless(directory.path()).await;
        let tune = |options: &mut WriteOptions| {
            small(options);
            options.reread = reread;
        };
        let mut now = rows(0..10, "a");
        now.extend(rows(0..10, "a"));
        let prepared = refresh(&table, &now, tune).await;
        commit_prepared(&mut table, prepared).await;
        assert_eq!(table.current_rows().await.unwrap(), 20);
        let prepared = refresh(&table, &now, tune).await;
        assert_eq!(counts(&prepared), (0, 0, 0, 20), "{reread:?}");
        assert!(prepared.is_empty());
        now.extend([row(3, "a", 0), row(3, "b", 0), row(3, "b", 0)]);
        let prepared = refresh(&table, &now, tune).await;
        assert_eq!(counts(&prepared), (3, 0, 0, 20), "{reread:?}");
        commit_prepared(&mut table, prepared).await;
        // Fewer copies than before are no change: what was there stays.
        let prepared = refresh(&table, &now[5..], tune).await;
        assert_eq!(counts(&prepared), (0, 0, 0, 18), "{reread:?}");
    }
}

/// What a whole read brings is then exactly what a mirror has: each row as often as the source.
#[tokio::test]
async fn a_mirror_without_a_key_has_each_row_as_often_as_the_source() {
    let directory = tempfile::tempdir().unwrap();
    let folder = directory.path().to_str().unwrap();
    let warehouse = Warehouse::open(folder).await.unwrap();
    let mut schema = schema();
    schema.key.clear();
    let name = name();
    let made = warehouse.create(&name, &schema, TableKind::Mirror, BTreeMap::new());
    let mut table = made.await.unwrap();
    let mut now = rows(0..10, "a");
    now.extend(rows(0..10, "a"));
    now.extend([(3, None, None), (3, None, None)]);
    let prepared = refresh(&table, &now, small).await;
    assert_eq!(counts(&prepared), (22, 0, 0, 0));
    commit_prepared(&mut table, prepared).await;
    let prepared = refresh(&table, &now, small).await;
    assert_eq!(counts(&prepared), (0, 0, 0, 22));
    assert!(prepared.is_empty());
    // One copy of two goes, both of another, a third copy comes, and a new row.
    now.remove(0);
    now.retain(|row| row.0 != 5);
    now.extend([row(7, "a", 0), row(7, "b", 0)]);
    let prepared = refresh(&table, &now, small).await;
    assert_eq!(counts(&prepared), (2, 0, 3, 19));
    commit_prepared(&mut table, prepared).await;
    now.sort();
    assert_eq!(read(&table, None).await, now);
    assert_eq!(table.current_rows().await.unwrap(), 21);
    // Nothing is left of an emptied source.
    let prepared = refresh(&table, &[], small).await;
    assert_eq!(counts(&prepared), (0, 0, 21, 0));
    commit_prepared(&mut table, prepared).await;
    assert!(read(&table, None).await.is_empty());
    let prepared = refresh(&table, &now, small).await;
    assert_eq!(counts(&prepared), (21, 0, 0, 0));
}

/// A table in which another engine has given key 1 a second row; its snapshot.
async fn doubled(directory: &Path) -> (LakeTable, i64) {
    let (_, mut table) = fresh(directory, TableKind::Mirror).await;
    let ours = [row(1, "a", 1), row(2, "a", 1)];
    commit(&mut table, WriteMode::Upsert, &ours, &[], false).await;
    let alien = [row(1, "alien", 1)];
    let made = commit(&mut table, WriteMode::Append, &alien, &[], false).await;
    let id = made.snapshot_id.unwrap();
    as_foreign(&mut table, id).await;
    (table, id)
}

/// Makes a snapshot one of another engine.
pub(super) async fn as_foreign(table: &mut LakeTable, id: i64) {
    super::ancestry::republish(table, |metadata| {
        let snapshots = metadata["snapshots"].as_array_mut().unwrap().iter_mut();
        for snapshot in snapshots.filter(|one| one["snapshot-id"] == serde_json::json!(id)) {
            let summary = snapshot["summary"].as_object_mut().unwrap();
            summary.retain(|name, _| !name.starts_with("icesync."));
        }
    })
    .await;
}

#[tokio::test]
async fn a_whole_read_replaces_a_file_that_another_engine_has_listed_twice() {
    for deleted in [&[][..], &[3]] {
        let directory = tempfile::tempdir().unwrap();
        let (_, mut table) = fresh(directory.path(), TableKind::Mirror).await;
        let first = rows(0..10, "a");
        let prepared = prepare(&table, WriteMode::Upsert, &first, &[], false).await;
        let listed = prepared.plan.added_data.clone();
        commit_prepared(&mut table, prepared).await;
        if !deleted.is_empty() {
            commit(&mut table, WriteMode::Upsert, &[], deleted, false).await;
        }
        // The same file again. A delete that came in between does not apply to this entry.
        let mut again = prepare(&table, WriteMode::Append, &first, &[], false).await;
        again.plan.added_data = listed;
        let twice = commit_prepared(&mut table, again).await;
        let twice = twice.snapshot_id.unwrap();
        as_foreign(&mut table, twice).await;
        let (gone, mut ours) = (deleted.len(), first.clone());
        ours.retain(|row| !deleted.contains(&row.0));
        assert_eq!(read(&table, None).await.len(), 20 - gone);

        let prepared = refresh(&table, &ours, |_| ()).await;
        let expected = (0, ours.len() as u64, gone as u64, 0);
        assert_eq!(counts(&prepared), expected, "{deleted:?}");
        let made = commit_prepared(&mut table, prepared).await;
        assert_eq!(read(&table, None).await, ours, "{deleted:?}");
        assert_eq!(table.current_rows().await.unwrap(), ours.len() as u64);
        let mut target: Model = first.into_iter().map(|row| (row.0, row)).collect();
        super::deltas::apply_delta(&table, Some(twice), made.snapshot_id.unwrap(), &mut target)
            .await;
        assert_eq!(target.into_values().collect::<Vec<_>>(), ours);
        let prepared = refresh(&table, &ours, |_| ()).await;
        assert!(prepared.is_empty(), "{deleted:?}");
    }
}

#[tokio::test]
async fn a_key_that_another_engine_doubled_stays_when_one_of_its_rows_goes() {
    let directory = tempfile::tempdir().unwrap();
    let (mut table, loaded) = doubled(directory.path()).await;
    let ours = [row(1, "a", 1), row(2, "a", 1)];
    let prepared = refresh(&table, &ours, |_| ()).await;
    assert_eq!(counts(&prepared), (0, 0, 1, 2));
    let made = commit_prepared(&mut table, prepared).await;
    assert_eq!(read(&table, None).await, ours);
    // What a target holds that has loaded the second row over the first.
    let mut target = Model::from([(1, row(1, "alien", 1)), (2, row(2, "a", 1))]);
    super::deltas::apply_delta(&table, Some(loaded), made.snapshot_id.unwrap(), &mut target).await;
    assert_eq!(target.into_values().collect::<Vec<_>>(), ours);
}

#[tokio::test]
async fn deleted_keys_are_looked_up_across_commits_that_may_have_left_a_row_of_theirs() {
    let directory = tempfile::tempdir().unwrap();
    let (mut table, alien) = doubled(directory.path()).await;
    let first = table.snapshots()[0].id;
    let looks = |table: &LakeTable, since| table.may_thin_keys(Basis::Snapshots, Some(since));
    assert!(looks(&table, first) && !looks(&table, alien));
    // The key is there twice. What follows replaces or deletes all rows of a key, until a whole read keeps one.
    let change = [row(2, "b", 2)];
    let made = commit(&mut table, WriteMode::Upsert, &change, &[], false).await;
    let change = made.snapshot_id.unwrap();
    assert!(!looks(&table, alien) && !looks(&table, change));
    let whole = async |table: &mut LakeTable, ours: [Row; 2]| {
        let prepared = refresh(table, &ours, |_| ()).await;
        let made = commit_prepared(table, prepared).await;
        assert_eq!(read(table, None).await, ours);
        made.snapshot_id.unwrap()
    };
    let kept = whole(&mut table, [row(1, "a", 1), row(2, "b", 2)]).await;
    assert_eq!(table.property(FOREIGN_ROWS_PROPERTY), Some("4"));
    assert!(looks(&table, first) && looks(&table, alien) && looks(&table, change));
    assert!(!looks(&table, kept));
    let later = whole(&mut table, [row(1, "c", 1), row(2, "b", 2)]).await;
    assert_eq!(table.property(FOREIGN_ROWS_PROPERTY), Some("4"));
    assert!(looks(&table, change) && !looks(&table, kept));
    // An older build does not say when. The next whole read ends that.
    let always = [(FOREIGN_ROWS_PROPERTY.to_owned(), "true".to_owned())];
    table.set_properties(always.into()).await.unwrap();
    assert!(looks(&table, later));
    commit(&mut table, WriteMode::Upsert, &[row(2, "d", 4)], &[], false).await;
    let newest = table.current_snapshot_id().unwrap();
    assert!(looks(&table, newest));
    let newest = whole(&mut table, [row(1, "e", 1), row(2, "d", 4)]).await;
    assert_eq!(table.property(FOREIGN_ROWS_PROPERTY), Some("7"));
    assert!(looks(&table, later) && !looks(&table, newest));
}

#[tokio::test]
async fn a_whole_read_starts_over_when_the_rows_of_a_doubled_key_have_moved() {
    let directory = tempfile::tempdir().unwrap();
    let (mut table, _) = doubled(directory.path()).await;
    let ours = [row(1, "a", 1), row(2, "a", 1)];
    let prepared = refresh(&table, &ours, |_| ()).await;
    let mut other = table.clone();
    let compacted = other.compact(&super::maintaining::full()).await.unwrap();
    assert_eq!(compacted.groups, 1);
    let run = intent(&table, RunId::generate());
    let error = table.commit(prepared, run).await.unwrap_err();
    assert!(matches!(error, LakeError::RowsMoved { .. }), "{error}");
    assert_eq!(error.disposition(), crate::error::Disposition::Transient);
    let again = refresh(&table, &ours, |_| ()).await;
    commit_prepared(&mut table, again).await;
    assert_eq!(read(&table, None).await, ours);
}
