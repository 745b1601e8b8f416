//! Deltas of tables that another engine has expired, compacted or rolled back.

use super::*;
use crate::lake::write::file::{FileFormat, FileWriter};
use serde_json::{Value, json};
use std::collections::HashSet;

/// Publishes the next metadata version with a change, as another engine does it.
pub(super) async fn republish(table: &mut LakeTable, change: impl FnOnce(&mut Value)) {
    let path = |uri: &str| uri.strip_prefix("file://").unwrap().to_owned();
    let text = std::fs::read_to_string(path(table.metadata_location())).unwrap();
    let mut metadata: Value = serde_json::from_str(&text).unwrap();
    change(&mut metadata);
    let folder = format!("{}/metadata", path(table.location()));
    let next = table.metadata_version() + 1;
    std::fs::write(
        format!("{folder}/v{next}.metadata.json"),
        metadata.to_string(),
    )
    .unwrap();
    std::fs::write(format!("{folder}/version-hint.text"), next.to_string()).unwrap();
    table.refresh().await.unwrap();
}

/// Removes snapshots from the metadata. Their files stay, as far as others need them.
pub(super) async fn expire(table: &mut LakeTable, gone: &HashSet<i64>) {
    republish(table, |metadata| {
        for list in ["snapshots", "snapshot-log"] {
            let entries = metadata[list].as_array_mut().unwrap();
            entries.retain(|entry| !gone.contains(&entry["snapshot-id"].as_i64().unwrap()));
        }
    })
    .await;
}

/// Makes another snapshot the current one.
pub(super) async fn roll_back(table: &mut LakeTable, to: i64) {
    republish(table, |metadata| {
        let now = metadata["last-updated-ms"].as_i64().unwrap() + 1;
        metadata["last-updated-ms"] = json!(now);
        metadata["current-snapshot-id"] = json!(to);
        metadata["refs"]["main"]["snapshot-id"] = json!(to);
        let log = metadata["snapshot-log"].as_array_mut().unwrap();
        log.push(json!({ "timestamp-ms": now, "snapshot-id": to }));
    })
    .await;
}

fn ids(table: &LakeTable) -> Vec<i64> {
    let snapshots = table.snapshots();
    snapshots.iter().map(|snapshot| snapshot.id).collect()
}

async fn upserts(table: &LakeTable, from: i64, to: i64) -> (Basis, Vec<Row>) {
    let delta = table.delta(Some(from), to).await.unwrap();
    let mut rows = Vec::new();
    for segment in &delta.segments {
        let deletes: Vec<RecordBatch> = segment.deletes().try_collect().await.unwrap();
        assert!(deletes.is_empty(), "a history loses nothing");
        let batches: Vec<RecordBatch> = segment.upserts().try_collect().await.unwrap();
        rows.extend(batches.iter().flat_map(rows_of));
    }
    rows.sort();
    (delta.basis, rows)
}

/// Rewrites all rows of a history table into one file, each with its own `_seq`, but for those with these ids.
async fn rewrite(table: &mut LakeTable, without: &[i64]) {
    let stream = table.scan(None, None).await.unwrap();
    let batches: Vec<RecordBatch> = stream.try_collect().await.unwrap();
    let mut prepared = prepare(table, WriteMode::ReplaceAll, &[row(0, "x", 0)], &[], false).await;
    let format =
        FileFormat::new(&table.name, table.shape.clone(), &prepared.written.options).unwrap();
    let uri = format!("{}/data/{}.parquet", table.location, RunId::generate());
    let mut file = FileWriter::start(table.store.clone(), uri, Arc::new(format));
    for batch in batches {
        let ids = batch.column(0).as_primitive::<Int64Type>().values();
        let kept: BooleanArray = ids.iter().map(|id| Some(!without.contains(id))).collect();
        let batch = arrow_select::filter::filter_record_batch(&batch, &kept).unwrap();
        file.write(batch).await.unwrap();
    }
    prepared.plan.added_data = vec![file.finish().await.unwrap().unwrap()];
    prepared.written.seq_high = prepared.base_seq_high;
    let run = intent(table, RunId::generate());
    table.commit_as_compaction(prepared, run).await.unwrap();
}

async fn append(table: &mut LakeTable, ids: &[i64]) -> i64 {
    let rows: Vec<Row> = ids.iter().map(|&id| row(id, "v", 1)).collect();
    let made = commit(table, WriteMode::Append, &rows, &[], false).await;
    made.snapshot_id.unwrap()
}

#[tokio::test]
async fn a_history_gives_its_new_rows_across_expired_snapshots() {
    let directory = tempfile::tempdir().unwrap();
    let (_, mut table) = fresh(directory.path(), TableKind::History).await;
    append(&mut table, &[1, 2]).await;
    let loaded = append(&mut table, &[2, 3]).await;
    append(&mut table, &[4]).await;
    rewrite(&mut table, &[]).await;
    let last = append(&mut table, &[3, 5]).await;
    let new = vec![row(3, "v", 1), row(4, "v", 1), row(5, "v", 1)];
    assert_eq!(
        upserts(&table, loaded, last).await,
        (Basis::Snapshots, new.clone())
    );
    // As `expire_snapshots` with retain_last => 1 leaves it, the loaded one tagged.
    let gone = ids(&table)
        .into_iter()
        .filter(|id| ![loaded, last].contains(id));
    expire(&mut table, &gone.collect()).await;
    assert_eq!(upserts(&table, loaded, last).await, (Basis::Ends, new));
}

#[tokio::test]
async fn a_history_that_lost_rows_is_refused_when_its_ancestry_is_broken() {
    let directory = tempfile::tempdir().unwrap();
    let (_, mut table) = fresh(directory.path(), TableKind::History).await;
    let loaded = append(&mut table, &[1, 2, 3]).await;
    rewrite(&mut table, &[2]).await;
    let last = append(&mut table, &[4]).await;
    let gone = ids(&table)
        .into_iter()
        .filter(|id| ![loaded, last].contains(id));
    expire(&mut table, &gone.collect()).await;
    let delta = table.delta(Some(loaded), last).await;
    assert!(matches!(delta, Err(LakeError::NotAncestor { .. })));
}

#[tokio::test]
async fn rows_that_another_engine_wrote_anew_are_not_new() {
    let directory = tempfile::tempdir().unwrap();
    let (_, mut table) = fresh(directory.path(), TableKind::History).await;
    let loaded = append(&mut table, &[1, 2, 3]).await;
    // As PyIceberg deletes: the file is written anew without the row.
    rewrite(&mut table, &[2]).await;
    let copied = table.current_snapshot_id().unwrap();
    republish(&mut table, |metadata| {
        let snapshots = metadata["snapshots"].as_array_mut().unwrap().iter_mut();
        for snapshot in snapshots.filter(|one| one["snapshot-id"] == json!(copied)) {
            snapshot["summary"] = json!({ "operation": "overwrite", "deleted-data-files": "1" });
        }
    })
    .await;
    let last = append(&mut table, &[4]).await;
    assert_eq!(
        upserts(&table, loaded, last).await,
        (Basis::Ends, vec![row(4, "v", 1)])
    );
}

#[tokio::test]
async fn parents_in_a_circle_end_a_walk() {
    let directory = tempfile::tempdir().unwrap();
    let (_, mut table) = fresh(directory.path(), TableKind::Mirror).await;
    let mut ids = Vec::new();
    for id in 1..=3 {
        let rows = [row(id, "a", 1)];
        let made = commit(&mut table, WriteMode::Upsert, &rows, &[], false).await;
        ids.extend(made.snapshot_id);
    }
    republish(&mut table, |metadata| {
        let snapshots = metadata["snapshots"].as_array_mut().unwrap().iter_mut();
        for snapshot in snapshots.filter(|one| one["snapshot-id"] == json!(ids[1])) {
            snapshot["parent-snapshot-id"] = json!(ids[2]);
        }
    })
    .await;
    let delta = table.delta(Some(ids[0]), ids[2]).await.unwrap();
    assert_eq!(delta.basis, Basis::Ends);
}

#[tokio::test]
async fn a_history_that_was_rolled_back_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let (_, mut table) = fresh(directory.path(), TableKind::History).await;
    let first = append(&mut table, &[1]).await;
    let loaded = append(&mut table, &[2]).await;
    roll_back(&mut table, first).await;
    let back = table.delta(Some(loaded), first).await;
    assert!(matches!(back, Err(LakeError::NotAncestor { .. })));
    let last = append(&mut table, &[3]).await;
    let across = table.delta(Some(loaded), last).await;
    assert!(matches!(across, Err(LakeError::NotAncestor { .. })));
    expire(&mut table, &HashSet::from([first])).await;
    let broken = table.delta(Some(loaded), last).await;
    assert!(matches!(broken, Err(LakeError::NotAncestor { .. })));
}

#[tokio::test]
async fn a_loaded_snapshot_that_is_expired_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let (_, mut table) = fresh(directory.path(), TableKind::Mirror).await;
    for id in 1..=2 {
        commit(
            &mut table,
            WriteMode::Upsert,
            &[row(id, "a", 1)],
            &[],
            false,
        )
        .await;
    }
    let ids = ids(&table);
    expire(&mut table, &HashSet::from([ids[0]])).await;
    let delta = table.delta(Some(ids[0]), ids[1]).await;
    let Err(error @ LakeError::LoadedSnapshotGone { .. }) = delta.map(drop) else {
        panic!("a delta from nowhere");
    };
    assert!(error.to_string().contains("load --full"), "{error}");
}

#[tokio::test]
async fn a_rolled_back_delete_brings_its_row_back() {
    let directory = tempfile::tempdir().unwrap();
    let (_, mut table) = fresh(directory.path(), TableKind::Mirror).await;
    let rows = [row(1, "a", 1), row(2, "a", 1)];
    commit(&mut table, WriteMode::Upsert, &rows, &[], false).await;
    commit(&mut table, WriteMode::Upsert, &[], &[1], false).await;
    let ids = ids(&table);
    let delta = table.delta(Some(ids[1]), ids[0]).await.unwrap();
    assert_eq!((delta.basis, delta.segments.len()), (Basis::Ends, 1));
    let upserts: Vec<RecordBatch> = delta.segments[0].upserts().try_collect().await.unwrap();
    let upserts: Vec<Row> = upserts.iter().flat_map(rows_of).collect();
    assert_eq!(upserts, [row(1, "a", 1)]);
}
