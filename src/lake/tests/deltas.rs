//! Deltas, and the whole against a model.

use super::ancestry::{expire, roll_back};
use super::*;
use crate::lake::read::given::Given;
use proptest::prelude::*;
use std::collections::HashSet;

#[tokio::test]
async fn a_delta_from_a_snapshot_to_itself_is_empty() {
    let directory = tempfile::tempdir().unwrap();
    let (_, mut table) = fresh(directory.path(), TableKind::Mirror).await;
    commit(
        &mut table,
        WriteMode::Upsert,
        &[row(1, "a", 1), row(2, "a", 1)],
        &[],
        false,
    )
    .await;
    commit(
        &mut table,
        WriteMode::Upsert,
        &[row(3, "a", 1)],
        &[1],
        false,
    )
    .await;
    let ids: Vec<i64> = table
        .snapshots()
        .iter()
        .map(|snapshot| snapshot.id)
        .collect();
    assert!(matches!(
        table.delta(None, 7).await,
        Err(LakeError::SnapshotNotFound { .. })
    ));
    let none = table.delta(Some(ids[1]), ids[1]).await.unwrap();
    assert!(none.segments.is_empty());
}

#[tokio::test]
async fn keys_beyond_the_memory_for_them_are_upserted_and_deleted() {
    let directory = tempfile::tempdir().unwrap();
    let (_, mut table) = fresh(directory.path(), TableKind::Mirror).await;
    let rows: Vec<Row> = (0..40).map(|id| row(id, "a", 1)).collect();
    commit(&mut table, WriteMode::Upsert, &rows, &[], true).await;
    commit(&mut table, WriteMode::Upsert, &rows[..20], &[39], true).await;
    let ids: Vec<i64> = table.snapshots().iter().map(|made| made.id).collect();
    for (bytes_max, expected) in [(1 << 20, 1), (1, 21)] {
        let mut delta = table.delta(Some(ids[0]), ids[1]).await.unwrap();
        let segment = &mut delta.segments[0];
        let given = Given::new(&table.shape).unwrap().bounded(bytes_max);
        segment.given = Some(Arc::new(given));
        let upserts: Vec<RecordBatch> = segment.upserts().try_collect().await.unwrap();
        let noted = upserts.first().unwrap().num_rows();
        let deletes: Vec<RecordBatch> = segment.deletes().try_collect().await.unwrap();
        let rows =
            |batches: &[RecordBatch]| batches.iter().map(RecordBatch::num_rows).sum::<usize>();
        assert_eq!(rows(&upserts), 20);
        // The first batch is noted in any case.
        let left_out = if bytes_max == 1 { noted } else { 0 };
        assert_eq!(rows(&deletes), expected - left_out);
    }
}

/// One commit of the property test.
#[derive(Debug, Clone)]
enum Step {
    Upsert(Vec<(i64, i32)>, Vec<i64>),
    Replace(Vec<(i64, i32)>),
    /// A rewrite of all rows, as a compaction does it.
    Compact,
    /// Another engine makes an earlier snapshot the current one.
    RollBack(prop::sample::Index),
    /// Another engine expires some of the snapshots that are not current.
    Expire(u16),
}

fn step() -> impl proptest::strategy::Strategy<Value = Step> {
    let rows = || proptest::collection::vec((0_i64..25, 0_i32..1000), 0..12);
    prop_oneof![
        6 => (rows(), proptest::collection::vec(0_i64..25, 0..5)).prop_map(|(rows, gone)| Step::Upsert(rows, gone)),
        1 => rows().prop_map(Step::Replace),
        2 => Just(Step::Compact),
        1 => any::<prop::sample::Index>().prop_map(Step::RollBack),
        1 => any::<u16>().prop_map(Step::Expire),
    ]
}

pub(super) async fn apply_delta(table: &LakeTable, from: Option<i64>, to: i64, target: &mut Model) {
    let delta = table.delta(from, to).await.unwrap();
    for segment in &delta.segments {
        let upserts: Vec<RecordBatch> = segment.upserts().try_collect().await.unwrap();
        let deletes: Vec<RecordBatch> = segment.deletes().try_collect().await.unwrap();
        let upserts: Vec<Row> = upserts.iter().flat_map(rows_of).collect();
        let keys: BTreeSet<i64> = upserts.iter().map(|row| row.0).collect();
        assert_eq!(keys.len(), upserts.len(), "a key is upserted once");
        for batch in &deletes {
            for key in batch.column(0).as_primitive::<Int64Type>().values() {
                assert!(!keys.contains(key), "key {key} is upserted and deleted");
                assert!(
                    target.remove(key).is_some(),
                    "key {key} is deleted but was not there"
                );
            }
        }
        target.extend(upserts.into_iter().map(|row| (row.0, row)));
    }
}

async fn follow(steps: Vec<Step>) {
    let directory = tempfile::tempdir().unwrap();
    let (warehouse, mut table) = fresh(directory.path(), TableKind::Mirror).await;
    let mut model = Model::new();
    let mut states: Vec<(i64, Model)> = Vec::new();
    for (number, step) in steps.into_iter().enumerate() {
        let name = format!("step {number}");
        let full = |rows: &[(i64, i32)]| -> Vec<Row> {
            rows.iter()
                .map(|(id, amount)| row(*id, &name, *amount))
                .collect()
        };
        let before = model.clone();
        match &step {
            Step::Upsert(rows, gone) => {
                let rows = full(rows);
                model.extend(rows.iter().map(|row| (row.0, row.clone())));
                for key in gone {
                    model.remove(key);
                }
                let counts = commit(&mut table, WriteMode::Upsert, &rows, gone, true)
                    .await
                    .counts;
                let touched: BTreeSet<i64> = rows
                    .iter()
                    .map(|row| row.0)
                    .chain(gone.iter().copied())
                    .collect();
                let among = |old: bool, new: bool| {
                    let fits = |key: &&i64| {
                        before.contains_key(key) == old && model.contains_key(key) == new
                    };
                    touched.iter().filter(fits).count() as u64
                };
                assert_eq!(counts.inserted, among(false, true), "inserted, {step:?}");
                assert_eq!(counts.updated, among(true, true), "updated, {step:?}");
                assert_eq!(counts.deleted, among(true, false), "deleted, {step:?}");
            }
            Step::Replace(rows) => {
                let rows = full(rows);
                model = rows.iter().map(|row| (row.0, row.clone())).collect();
                commit(&mut table, WriteMode::ReplaceAll, &rows, &[], true).await;
            }
            Step::Compact => {
                let rows: Vec<Row> = model.values().cloned().collect();
                let prepared = prepare(&table, WriteMode::ReplaceAll, &rows, &[], false).await;
                let run = intent(&table, RunId::generate());
                table.commit_as_compaction(prepared, run).await.unwrap();
            }
            Step::RollBack(to) if !states.is_empty() => {
                let (id, earlier) = to.get(&states);
                model.clone_from(earlier);
                roll_back(&mut table, *id).await;
            }
            Step::Expire(which) if !states.is_empty() => {
                let current = table.current_snapshot_id();
                let gone = states.iter().enumerate();
                let gone = gone
                    .filter(|(at, (id, _))| which >> (at % 16) & 1 == 1 && current != Some(*id));
                let gone: HashSet<i64> = gone.map(|(_, (id, _))| *id).collect();
                expire(&mut table, &gone).await;
                states.retain(|(id, _)| !gone.contains(id));
            }
            Step::RollBack(_) | Step::Expire(_) => {}
        };
        let expected: Vec<Row> = model.values().cloned().collect();
        assert_eq!(read(&table, None).await, expected);
        assert_eq!(table.current_rows().await.unwrap(), expected.len() as u64);
        if let Some(id) = table.current_snapshot_id()
            && states.iter().all(|(known, _)| *known != id)
        {
            states.push((id, model.clone()));
        }
    }
    let table = warehouse.table(&name()).await.unwrap().unwrap();
    for (to, expected) in &states {
        assert_eq!(
            read(&table, Some(*to)).await,
            expected.values().cloned().collect::<Vec<_>>()
        );
        let mut target = Model::new();
        apply_delta(&table, None, *to, &mut target).await;
        assert_eq!(&target, expected);
    }
    for (from, before) in &states {
        for (to, after) in &states {
            let mut target = before.clone();
            apply_delta(&table, Some(*from), *to, &mut target).await;
            assert_eq!(&target, after, "from {from} to {to}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn a_table_is_its_model_and_deltas_lead_from_any_snapshot_to_any_other(
        steps in proptest::collection::vec(step(), 1..10)
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(follow(steps));
    }
}

#[tokio::test]
async fn a_segment_holds_the_files_that_it_reads_and_no_others() {
    let directory = tempfile::tempdir().unwrap();
    let (_, mut table) = fresh(directory.path(), TableKind::Mirror).await;
    for id in 0..6 {
        let rows = [row(id, "a", 1), row(10 + id, "a", 1)];
        commit(&mut table, WriteMode::Upsert, &rows, &[], false).await;
    }
    commit(&mut table, WriteMode::Upsert, &[], &[1], false).await;
    let from = table.current_snapshot_id().unwrap();
    let changed = [row(3, "b", 2), row(4, "b", 2), row(14, "b", 2)];
    commit(&mut table, WriteMode::Upsert, &changed, &[], false).await;
    let to = table.current_snapshot_id().unwrap();
    let delta = table.delta(Some(from), to).await.unwrap();
    let [segment] = delta.segments.as_slice() else {
        panic!("{} segments", delta.segments.len());
    };
    // One file is new, one has lost both rows, another lost one before and is not touched.
    let files =
        |files: &crate::lake::read::manifests::Files| (files.data.len(), files.deletes.len());
    assert_eq!(
        (files(&segment.until), files(&segment.since)),
        ((1, 0), (1, 0))
    );
    let mut target: Model = (0..6)
        .flat_map(|id| [row(id, "a", 1), row(10 + id, "a", 1)])
        .filter(|row| row.0 != 1)
        .map(|row| (row.0, row))
        .collect();
    super::deltas::apply_delta(&table, Some(from), to, &mut target).await;
    assert_eq!(
        target.into_values().collect::<Vec<_>>(),
        read(&table, None).await
    );
}
