//! Maintenance beside other writers.

use super::expiring::{at_once, newest};
use super::*;
use crate::lake::maintain::sort::Order;
use proptest::prelude::*;

pub(super) fn full() -> CompactOptions {
    CompactOptions {
        run_id: RunId::generate(),
        target_file_bytes: 128 << 20,
        effort: Effort::Full,
        dry_run: false,
    }
}

fn data_files(table: &LakeTable) -> u64 {
    let current = table.metadata().current_snapshot().unwrap();
    let total = &current.summary().additional_properties["total-data-files"];
    total.parse().unwrap()
}

async fn grown(table: &mut LakeTable) -> Vec<Row> {
    for start in [0, 40, 20, 60, 80] {
        let rows: Vec<Row> = (start..start + 20).map(|id| row(id, "a", 1)).collect();
        commit(table, WriteMode::Upsert, &rows, &[], true).await;
    }
    let changed: Vec<Row> = (0..100).step_by(7).map(|id| row(id, "b", 2)).collect();
    commit(table, WriteMode::Upsert, &changed, &[1, 50, 99], true).await;
    read(table, None).await
}

#[tokio::test]
async fn compaction_keeps_rows_checkpoint_and_order() {
    let directory = tempfile::tempdir().unwrap();
    let (_, mut table) = fresh(directory.path(), TableKind::Mirror).await;
    let rows = grown(&mut table).await;
    let before = table.current_snapshot_id().unwrap();
    let checkpoint = table.checkpoint().unwrap();
    let dry = table
        .compact(&CompactOptions {
            dry_run: true,
            ..full()
        })
        .await
        .unwrap();
    assert_eq!(table.current_snapshot_id(), Some(before));
    let done = table.compact(&full()).await.unwrap();
    assert_eq!((dry.groups, dry.files_before), (1, done.files_before));
    assert!(done.files_before > 10, "{done:?}");
    assert_eq!((done.groups, done.files_after, done.rows), (1, 1, 97));
    assert_eq!(data_files(&table), 1);
    assert_eq!(read(&table, None).await, rows);
    assert_eq!(read(&table, Some(before)).await, rows);
    assert_eq!(table.checkpoint().unwrap(), checkpoint);
    assert_eq!(table.current_rows().await.unwrap(), 97);
    let last = table.snapshots().pop().unwrap();
    assert_eq!(
        (last.operation.as_str(), last.parent),
        ("replace", Some(before))
    );
    // In the file the rows are in the order of their keys.
    let batches: Vec<RecordBatch> = table
        .scan(None, None)
        .await
        .unwrap()
        .try_collect()
        .await
        .unwrap();
    let in_file: Vec<Row> = batches.iter().flat_map(rows_of).collect();
    assert_eq!(in_file, rows);
    // A second one finds nothing to do.
    let version = table.metadata_version();
    let again = table.compact(&full()).await.unwrap();
    assert_eq!(again, Compacted::default());
    assert_eq!(table.metadata_version(), version);
    // Later commits find the rows in the new file.
    let changed = [row(3, "c", 3), row(1000, "c", 3)];
    commit(&mut table, WriteMode::Upsert, &changed, &[4], false).await;
    let mut model: Model = rows.into_iter().map(|row| (row.0, row)).collect();
    model.extend(changed.map(|row| (row.0, row)));
    model.remove(&4);
    assert_eq!(
        read(&table, None).await,
        model.into_values().collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn histories_are_compacted_in_the_order_of_their_numbers() {
    let directory = tempfile::tempdir().unwrap();
    let (_, mut table) = fresh(directory.path(), TableKind::History).await;
    for number in 0..5 {
        let rows = [row(9 - i64::from(number), "a", number), row(1, "a", number)];
        commit(&mut table, WriteMode::Append, &rows, &[], false).await;
    }
    let scan = async |table: &LakeTable| -> Vec<(Vec<Row>, Vec<i64>)> {
        let batches: Vec<RecordBatch> = table
            .scan(None, None)
            .await
            .unwrap()
            .try_collect()
            .await
            .unwrap();
        let seq = |batch: &RecordBatch| {
            let column = batch.column_by_name("_seq").unwrap();
            column.as_primitive::<Int64Type>().values().to_vec()
        };
        batches
            .iter()
            .map(|batch| (rows_of(batch), seq(batch)))
            .collect()
    };
    let mut before: Vec<(i64, Row)> = Vec::new();
    for (rows, seq) in scan(&table).await {
        before.extend(seq.into_iter().zip(rows));
    }
    before.sort();
    table.compact(&full()).await.unwrap();
    assert_eq!(data_files(&table), 1);
    let after = scan(&table).await;
    let after: Vec<(i64, Row)> = after
        .into_iter()
        .flat_map(|(rows, seq)| seq.into_iter().zip(rows))
        .collect();
    assert_eq!(after, before);
    assert_eq!(before.last().unwrap().0, 10);
}

#[tokio::test]
async fn a_column_that_is_added_between_two_groups_does_not_mislead_the_second() {
    let directory = tempfile::tempdir().unwrap();
    let (_, mut table) = fresh(directory.path(), TableKind::History).await;
    for number in 0..4 {
        let rows = [row(9 - i64::from(number), "a", number), row(1, "a", number)];
        commit(&mut table, WriteMode::Append, &rows, &[], false).await;
    }
    let rows = read(&table, None).await;
    let files = table.files(table.current_snapshot_id()).await.unwrap();
    let bytes = files
        .data
        .iter()
        .map(|at| at.file.file_size_in_bytes())
        .max()
        .unwrap();
    let mut compacting = table.clone();
    let mut shape = history_schema();
    let extra = field("extra", LakeType::Int, false, Some(3), Role::Value);
    shape.fields.insert(3, extra);
    let evolution = Evolution {
        shape,
        live: 4,
        was: vec![Some(0), Some(1), Some(2), None],
        properties: std::collections::HashMap::new(),
    };
    table.evolve(&evolution).await.unwrap();
    let two_files = CompactOptions {
        target_file_bytes: bytes * 5 / 2,
        ..full()
    };
    let done = compacting.compact(&two_files).await.unwrap();
    assert_eq!((done.groups, done.rows), (2, 8), "{done:?}");
    table.refresh().await.unwrap();
    assert_eq!(data_files(&table), 2);
    assert_eq!(read(&table, None).await, rows);
}

#[tokio::test]
async fn more_than_memory_holds_is_sorted_through_runs() {
    let directory = tempfile::tempdir().unwrap();
    let (_, mut table) = fresh(directory.path(), TableKind::Mirror).await;
    let mut all = Vec::new();
    for start in 0..6 {
        let rows: Vec<Row> = (0..2000)
            .map(|at| row((at * 7919 + start) % 12_000 * 6 + start, "x", 1))
            .collect();
        all.extend(rows.clone());
        commit(&mut table, WriteMode::Upsert, &rows, &[], false).await;
    }
    let expected: Model = all.into_iter().map(|row| (row.0, row)).collect();
    let options = full();
    let order = Order::of(&table).unwrap();
    let groups = table.groups(&options, &order).await.unwrap();
    assert_eq!(groups.len(), 1);
    // Runs of a few kilobytes: many of them, and collections that continue one.
    let outputs = table
        .rewrite(&groups[0], &order, &options, 32 << 10)
        .await
        .unwrap();
    assert!(
        table
            .replace_files(&groups[0], outputs, options.run_id)
            .await
            .unwrap()
    );
    let batches: Vec<RecordBatch> = table
        .scan(None, None)
        .await
        .unwrap()
        .try_collect()
        .await
        .unwrap();
    let rows: Vec<Row> = batches.iter().flat_map(rows_of).collect();
    assert_eq!(rows, expected.into_values().collect::<Vec<_>>());
    let left = files_in(&table, "data");
    assert!(
        left.iter()
            .all(|path| !path.to_string_lossy().ends_with(".tmp"))
    );
}

fn light(files_min: usize, bytes_max: u64) -> CompactOptions {
    CompactOptions {
        effort: Effort::Light {
            files_min,
            bytes_max,
        },
        ..full()
    }
}

/// The bytes of the smallest data file and of the largest.
async fn sizes(table: &LakeTable) -> (u64, u64) {
    let files = table.files(table.current_snapshot_id()).await.unwrap();
    let bytes = files.data.iter().map(|live| live.file.file_size_in_bytes());
    (bytes.clone().min().unwrap(), bytes.max().unwrap())
}

#[tokio::test]
async fn of_a_tier_beyond_the_budget_as_much_is_merged_as_it_allows() {
    let directory = tempfile::tempdir().unwrap();
    let (_, mut table) = fresh(directory.path(), TableKind::Mirror).await;
    for id in 0..5 {
        let rows = [row(id, "a", 1)];
        commit(&mut table, WriteMode::Upsert, &rows, &[], false).await;
    }
    let (least, bytes) = sizes(&table).await;
    // A file of half the budget is not small.
    let none = table.compact(&light(2, 2 * least)).await.unwrap();
    assert_eq!(none, Compacted::default());
    let none = table.compact(&light(6, 3 * bytes)).await.unwrap();
    assert_eq!(none, Compacted::default());
    let some = table.compact(&light(5, 3 * bytes)).await.unwrap();
    assert_eq!(
        (some.groups, some.files_before, some.files_after),
        (1, 3, 1)
    );
    assert!(some.bytes_before <= 3 * bytes, "{some:?}");
    assert_eq!(read(&table, None).await.len(), 5);
}

#[tokio::test]
async fn a_file_beyond_the_budget_is_purged_once_what_is_left_of_it_fits() {
    let directory = tempfile::tempdir().unwrap();
    let (_, mut table) = fresh(directory.path(), TableKind::Mirror).await;
    let text = || format!("{}{}", uuid::Uuid::new_v4(), uuid::Uuid::new_v4());
    let rows: Vec<Row> = (0..1000).map(|id| row(id, &text(), 1)).collect();
    commit(&mut table, WriteMode::Upsert, &rows, &[], false).await;
    let budget = light(2, sizes(&table).await.1 / 2);
    let gone: Vec<i64> = (0..600).collect();
    commit(&mut table, WriteMode::Upsert, &[], &gone[..300], false).await;
    assert_eq!(table.compact(&budget).await.unwrap(), Compacted::default());
    commit(&mut table, WriteMode::Upsert, &[], &gone[300..], false).await;
    let purged = table.compact(&budget).await.unwrap();
    assert_eq!(
        (purged.groups, purged.rows_purged, purged.rows),
        (1, 600, 400)
    );
    assert_eq!(read(&table, None).await, rows[600..]);
}

#[tokio::test]
async fn small_tiers_are_merged_and_others_left() {
    let directory = tempfile::tempdir().unwrap();
    let (_, mut table) = fresh(directory.path(), TableKind::Mirror).await;
    for id in 0..5 {
        commit(
            &mut table,
            WriteMode::Upsert,
            &[row(id, "a", 1)],
            &[],
            false,
        )
        .await;
    }
    let none = table.compact(&light(6, 1 << 30)).await.unwrap();
    assert_eq!(none, Compacted::default());
    let beyond = table.compact(&light(5, 1000)).await.unwrap();
    assert_eq!(beyond, Compacted::default());
    let done = table.compact(&light(5, 1 << 30)).await.unwrap();
    assert_eq!(
        (done.groups, done.files_before, done.files_after),
        (1, 5, 1)
    );
    // A file with many deleted rows is rewritten by itself.
    commit(&mut table, WriteMode::Upsert, &[], &[0, 1], false).await;
    let purged = table.compact(&light(5, 1 << 30)).await.unwrap();
    assert_eq!((purged.groups, purged.rows_purged, purged.rows), (1, 2, 3));
    assert_eq!(read(&table, None).await.len(), 3);
}

#[tokio::test]
async fn a_file_that_cannot_be_read_stops_its_own_group_only() {
    let directory = tempfile::tempdir().unwrap();
    let (_, mut table) = fresh(directory.path(), TableKind::Mirror).await;
    for start in [0, 20] {
        let rows: Vec<Row> = (start..start + 20).map(|id| row(id, "a", 1)).collect();
        commit(&mut table, WriteMode::Upsert, &rows, &[], false).await;
    }
    let gone: Vec<i64> = (0..8).chain(20..28).collect();
    commit(&mut table, WriteMode::Upsert, &[], &gone, false).await;
    let heavy = CompactOptions {
        effort: Effort::Light {
            files_min: 9,
            bytes_max: 1 << 30,
        },
        ..full()
    };
    let order = Order::of(&table).unwrap();
    let groups = table.groups(&heavy, &order).await.unwrap();
    assert_eq!(groups.len(), 2, "each file by itself");
    let damaged = groups[0].inputs[0].live.file.file_path();
    let path = damaged.strip_prefix("file://").unwrap();
    let bytes = std::fs::metadata(path).unwrap().len();
    std::fs::write(path, vec![7; bytes as usize]).unwrap();
    // Nothing of the file is in memory.
    let path = directory.path().join("wh");
    let warehouse = Warehouse::open(path.to_str().unwrap()).await.unwrap();
    let mut table = warehouse.table(&name()).await.unwrap().unwrap();
    let error = table.compact(&heavy).await.unwrap_err();
    assert!(error.to_string().contains(damaged), "{error}");
    let last = table.snapshots().pop().unwrap();
    assert_eq!(last.operation, "replace", "the other group is done");
    let left = table.groups(&heavy, &order).await.unwrap();
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].inputs[0].live.file.file_path(), damaged);
}

/// What another run does while a compaction rewrites files.
#[derive(Debug, Clone)]
enum Meanwhile {
    Upsert(Vec<i64>, Vec<i64>),
    ReplaceAll(Vec<i64>),
    Compact,
}

fn meanwhile() -> impl proptest::strategy::Strategy<Value = Meanwhile> {
    let keys = |most| proptest::collection::vec(0_i64..30, 0..most);
    prop_oneof![
        6 => (keys(10), keys(6)).prop_map(|(rows, gone)| Meanwhile::Upsert(rows, gone)),
        1 => keys(12).prop_map(Meanwhile::ReplaceAll),
        1 => Just(Meanwhile::Compact),
    ]
}

async fn act(table: &mut LakeTable, act: &Meanwhile, model: &mut Model, stamp: i32) {
    let rows = |keys: &[i64]| -> Vec<Row> {
        let keys: BTreeSet<i64> = keys.iter().copied().collect();
        keys.into_iter().map(|id| row(id, "m", stamp)).collect()
    };
    match act {
        Meanwhile::Upsert(keys, gone) => {
            let rows = rows(keys);
            commit(table, WriteMode::Upsert, &rows, gone, true).await;
            model.extend(rows.into_iter().map(|row| (row.0, row)));
            for key in gone {
                model.remove(key);
            }
        }
        Meanwhile::ReplaceAll(keys) => {
            let rows = rows(keys);
            commit(table, WriteMode::ReplaceAll, &rows, &[], true).await;
            *model = rows.into_iter().map(|row| (row.0, row)).collect();
        }
        Meanwhile::Compact => {
            table.compact(&full()).await.unwrap();
        }
    }
}

/// Commits before the rewrite, while it runs, and an upsert that was prepared before the compaction's commit and is
/// committed after it.
async fn interleave(before: Vec<Meanwhile>, during: Vec<Meanwhile>, late: Vec<i64>) {
    let directory = tempfile::tempdir().unwrap();
    let (warehouse, mut table) = fresh(directory.path(), TableKind::Mirror).await;
    let mut model = Model::new();
    let first: Vec<Row> = (0..25).map(|id| row(id, "first", 0)).collect();
    commit(&mut table, WriteMode::Upsert, &first, &[], true).await;
    model.extend(first.into_iter().map(|row| (row.0, row)));
    for (stamp, step) in (1..).zip(&before) {
        act(&mut table, step, &mut model, stamp).await;
    }
    let loaded = table.current_snapshot_id().unwrap();
    let mut target = model.clone();
    let options = full();
    let order = Order::of(&table).unwrap();
    let mut rewrites = Vec::new();
    for group in table.groups(&options, &order).await.unwrap() {
        let outputs = table
            .rewrite(&group, &order, &options, 1 << 10)
            .await
            .unwrap();
        rewrites.push((group, outputs));
    }
    let mut compacting = table.clone();
    for (stamp, step) in (100..).zip(&during) {
        act(&mut table, step, &mut model, stamp).await;
    }
    let late: BTreeSet<i64> = late.into_iter().collect();
    let late: Vec<Row> = late.into_iter().map(|id| row(id, "late", 7)).collect();
    let prepared = prepare(&table, WriteMode::Upsert, &late, &[29], true).await;
    let run = intent(&table, RunId::generate());
    for (group, outputs) in rewrites {
        let rows = read(&table, None).await;
        compacting
            .replace_files(&group, outputs, options.run_id)
            .await
            .unwrap();
        assert_eq!(read(&compacting, None).await, rows, "no row changes");
    }
    table.commit(prepared, run).await.unwrap();
    model.extend(late.into_iter().map(|row| (row.0, row)));
    model.remove(&29);
    let table = warehouse.table(&name()).await.unwrap().unwrap();
    let expected: Vec<Row> = model.values().cloned().collect();
    assert_eq!(read(&table, None).await, expected);
    assert_eq!(table.current_rows().await.unwrap(), expected.len() as u64);
    // A target that was at the state before gets to the same rows.
    let now = table.current_snapshot_id().unwrap();
    super::deltas::apply_delta(&table, Some(loaded), now, &mut target).await;
    assert_eq!(target, model);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn compaction_neither_loses_rows_nor_brings_them_back(
        before in proptest::collection::vec(meanwhile(), 0..4),
        during in proptest::collection::vec(meanwhile(), 0..4),
        late in proptest::collection::vec(0_i64..30, 0..8),
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        runtime.block_on(interleave(before, during, late));
    }
}

#[tokio::test]
async fn a_rewrite_of_rows_that_were_rolled_back_is_given_up() {
    let directory = tempfile::tempdir().unwrap();
    let (_, mut table) = fresh(directory.path(), TableKind::Mirror).await;
    let rows: Vec<Row> = (0..20).map(|id| row(id, "a", 1)).collect();
    commit(&mut table, WriteMode::Upsert, &rows, &[], false).await;
    let first = table.current_snapshot_id().unwrap();
    commit(
        &mut table,
        WriteMode::Upsert,
        &[],
        &[1, 2, 3, 4, 5, 6],
        false,
    )
    .await;
    let order = Order::of(&table).unwrap();
    let group = table.groups(&full(), &order).await.unwrap().remove(0);
    let outputs = table
        .rewrite(&group, &order, &full(), 1 << 20)
        .await
        .unwrap();
    // Another engine rolls the table back to where the rows are live.
    ancestry::roll_back(&mut table, first).await;
    let replaced = table.replace_files(&group, outputs, RunId::generate());
    assert!(!replaced.await.unwrap());
    assert_eq!(read(&table, None).await, rows);
}

#[tokio::test]
async fn of_two_compactions_one_replaces_the_files() {
    let directory = tempfile::tempdir().unwrap();
    let (warehouse, mut table) = fresh(directory.path(), TableKind::Mirror).await;
    let rows = grown(&mut table).await;
    let order = Order::of(&table).unwrap();
    let options = full();
    let group = table.groups(&options, &order).await.unwrap().remove(0);
    let outputs = table
        .rewrite(&group, &order, &options, 1 << 20)
        .await
        .unwrap();
    let mut other = warehouse.table(&name()).await.unwrap().unwrap();
    assert_eq!(other.compact(&full()).await.unwrap().groups, 1);
    let files = files_in(&table, "data").len();
    let replaced = table.replace_files(&group, outputs, options.run_id);
    assert!(!replaced.await.unwrap());
    assert_eq!(
        files_in(&table, "data").len(),
        files - 1,
        "its file is removed"
    );
    assert_eq!(read(&table, None).await, rows);
}

/// Peak memory of this process since it was last reset, in bytes.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib: u64 = peak
        .unwrap()
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .unwrap();
    kib << 10
}

/// Ten million rows in 20 files, some of them deleted, are compacted, expired and tidied; run by
/// [`ten_million_rows_are_maintained_in_bounded_memory`] in a process of its own, whose memory is only theirs.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "run by ten_million_rows_are_maintained_in_bounded_memory"]
async fn ten_million_rows() {
    const COMMITS: i64 = 20;
    const ROWS: i64 = 500_000;
    let directory = tempfile::tempdir().unwrap();
    let (_, mut table) = fresh(directory.path(), TableKind::Mirror).await;
    for commit in 0..COMMITS {
        let options = WriteOptions::new(WriteMode::Append, RunId::generate());
        let mut writer = table.writer(options).await.unwrap();
        for start in (0..ROWS).step_by(10_000) {
            let rows = start..start + 10_000;
            let rows =
                rows.map(|at| row(at * COMMITS + commit, "a text of some length", at as i32));
            writer
                .write(batch(&rows.collect::<Vec<_>>()))
                .await
                .unwrap();
        }
        let prepared = writer.finish().await.unwrap();
        let run = intent(&table, RunId::generate());
        table.commit(prepared, run).await.unwrap();
    }
    let gone: Vec<i64> = (0..COMMITS * ROWS).step_by(97).collect();
    commit(&mut table, WriteMode::Upsert, &[], &gone, false).await;
    let orphan = files_in(&table, "data")[0].with_file_name("orphan.parquet");
    std::fs::write(&orphan, "of a run that was killed").unwrap();
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    let options = CompactOptions {
        target_file_bytes: 1 << 30,
        ..full()
    };
    let done = table.compact(&options).await.unwrap();
    let expired = table.expire(&newest(1)).await.unwrap();
    let orphans = table.remove_orphans(&at_once()).await.unwrap();
    let peak = peak_memory();
    assert_eq!((done.groups, done.files_after), (1, 1));
    assert_eq!(done.rows, (COMMITS * ROWS) as u64 - gone.len() as u64);
    // The snapshot of the checkpoint stays, and the compaction.
    assert_eq!(expired.snapshots, COMMITS as u64);
    assert!(orphans.files > 0 && !orphan.exists(), "{orphans:?}");
    assert!(peak < 300 << 20, "{} MiB", peak >> 20);
    let mut next = 0;
    let mut rows = table.scan(None, None).await.unwrap();
    while let Some(batch) = rows.try_next().await.unwrap() {
        for &id in batch.column(0).as_primitive::<Int64Type>().values() {
            next += i64::from(next % 97 == 0);
            assert_eq!(id, next);
            next += 1;
        }
    }
    assert_eq!(next, COMMITS * ROWS);
    println!("peak {} MiB", peak >> 20);
}

#[test]
fn ten_million_rows_are_maintained_in_bounded_memory() {
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    let name = "lake::tests::maintaining::ten_million_rows";
    let ran = command.args(["--exact", name, "--ignored", "--nocapture"]);
    let ran = ran.output().unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(
        ran.status.success() && said.contains("1 passed") && said.contains("peak "),
        "{said}{}",
        String::from_utf8_lossy(&ran.stderr)
    );
}
