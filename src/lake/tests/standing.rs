//! What other engines do to `main`, made here by writing the metadata that they would write.

use super::*;
use crate::lake::ancestry::Standing;
use serde_json::{Value, json};

/// Publishes the table's metadata once more, changed, as another engine would.
async fn publish(table: &mut LakeTable, change: impl FnOnce(&mut Value)) {
    let path = |uri: &str| Path::new(uri.strip_prefix("file://").unwrap()).to_owned();
    let now = table.metadata_location().to_owned();
    let text = std::fs::read(path(&now)).unwrap();
    let mut metadata: Value = serde_json::from_slice(&text).unwrap();
    let entry = json!({ "metadata-file": now, "timestamp-ms": metadata["last-updated-ms"] });
    let log = metadata["metadata-log"].as_array_mut();
    match log {
        Some(log) => log.push(entry),
        None => metadata["metadata-log"] = json!([entry]),
    }
    change(&mut metadata);
    let next = table.metadata_version() + 1;
    let file = format!("{}/metadata/v{next}.metadata.json", table.location());
    std::fs::write(path(&file), metadata.to_string()).unwrap();
    table.refresh().await.unwrap();
}

fn set_main(metadata: &mut Value, id: i64) {
    metadata["current-snapshot-id"] = json!(id);
    metadata["refs"]["main"] = json!({ "snapshot-id": id, "type": "branch" });
}

fn listed(metadata: &Value, id: i64) -> &Value {
    let mut snapshots = metadata["snapshots"].as_array().unwrap().iter();
    snapshots
        .find(|one| one["snapshot-id"] == json!(id))
        .unwrap()
}

/// A snapshot with the files of the current one.
fn add_snapshot(metadata: &mut Value, id: i64, parent: Option<i64>, operation: &str) {
    let mut snapshot = listed(metadata, metadata["current-snapshot-id"].as_i64().unwrap()).clone();
    let snapshots = metadata["snapshots"].as_array_mut().unwrap();
    let number = snapshots
        .iter()
        .map(|one| one["sequence-number"].as_i64().unwrap())
        .max();
    let number = number.unwrap() + 1;
    snapshot["snapshot-id"] = json!(id);
    snapshot["sequence-number"] = json!(number);
    snapshot["summary"] = json!({ "operation": operation, "added-records": "3" });
    match parent {
        Some(parent) => snapshot["parent-snapshot-id"] = json!(parent),
        None => {
            snapshot
                .as_object_mut()
                .unwrap()
                .remove("parent-snapshot-id");
        }
    }
    snapshots.push(snapshot);
    metadata["last-sequence-number"] = json!(number);
    set_main(metadata, id);
}

fn keep_only(metadata: &mut Value, ids: &[i64]) {
    let snapshots = metadata["snapshots"].as_array_mut().unwrap();
    snapshots.retain(|one| ids.contains(&one["snapshot-id"].as_i64().unwrap()));
    metadata["snapshot-log"] = json!([]);
}

/// A table with three commits of ours and their snapshot ids.
async fn three(directory: &Path, kind: TableKind) -> (Warehouse, LakeTable, [i64; 3]) {
    let (warehouse, mut table) = fresh(directory, kind).await;
    let mode = match kind {
        TableKind::Mirror => WriteMode::Upsert,
        TableKind::History => WriteMode::Append,
    };
    let mut ids = [0; 3];
    for (at, id) in ids.iter_mut().enumerate() {
        let rows = [row(at as i64, "ours", 1)];
        *id = commit(&mut table, mode, &rows, &[], false)
            .await
            .snapshot_id
            .unwrap();
    }
    (warehouse, table, ids)
}

fn kept(foreign: &[(i64, &str)]) -> impl Fn(Standing) -> bool {
    move |standing| match standing {
        Standing::Kept { foreign: found } => {
            let found = found
                .iter()
                .map(|one| (one.snapshot_id, one.operation.as_str()));
            found.eq(foreign.iter().copied())
        }
        Standing::Gone | Standing::Unknown => false,
    }
}

#[tokio::test]
async fn own_commits_are_kept_and_not_foreign() {
    let folder = tempfile::tempdir().unwrap();
    let (_, table, ids) = three(folder.path(), TableKind::Mirror).await;
    for id in ids {
        assert!(kept(&[])(table.standing(Some(id)).await.unwrap()));
    }
    assert!(kept(&[])(table.standing(None).await.unwrap()));
}

#[tokio::test]
async fn commits_of_others_are_named_and_compactions_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let (_, mut table, [.., last]) = three(folder.path(), TableKind::Mirror).await;
    publish(&mut table, |metadata| {
        add_snapshot(metadata, 7, Some(last), "append")
    })
    .await;
    publish(&mut table, |metadata| {
        add_snapshot(metadata, 8, Some(7), "replace")
    })
    .await;
    publish(&mut table, |metadata| {
        add_snapshot(metadata, 9, Some(8), "overwrite")
    })
    .await;
    let standing = table.standing(Some(last)).await.unwrap();
    let Standing::Kept { foreign } = &standing else {
        panic!("{standing:?}")
    };
    assert_eq!(
        foreign[0].to_string(),
        "snapshot 7 (sequence number 4, append, 3 rows added)"
    );
    assert!(kept(&[(7, "append"), (9, "overwrite")])(standing));
}

#[tokio::test]
async fn a_rollback_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let (_, mut table, [first, second, last]) = three(folder.path(), TableKind::Mirror).await;
    publish(&mut table, |metadata| set_main(metadata, first)).await;
    assert_eq!(table.standing(Some(last)).await.unwrap(), Standing::Gone);
    assert_eq!(table.standing(Some(second)).await.unwrap(), Standing::Gone);
    assert!(kept(&[])(table.standing(Some(first)).await.unwrap()));
    assert_eq!(table.last_run_on_main().map(|run| run.id), Some(first));
    // Forward again: nothing is missing.
    publish(&mut table, |metadata| set_main(metadata, last)).await;
    assert!(kept(&[])(table.standing(Some(last)).await.unwrap()));
}

#[tokio::test]
async fn a_replaced_branch_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let (_, mut table, [.., last]) = three(folder.path(), TableKind::Mirror).await;
    publish(&mut table, |metadata| {
        add_snapshot(metadata, 7, None, "append")
    })
    .await;
    assert_eq!(table.standing(Some(last)).await.unwrap(), Standing::Gone);
    assert_eq!(table.last_run_on_main(), None);
}

#[tokio::test]
async fn a_compaction_with_expiry_is_no_rollback() {
    let folder = tempfile::tempdir().unwrap();
    let (_, mut table, [.., last]) = three(folder.path(), TableKind::Mirror).await;
    publish(&mut table, |metadata| {
        add_snapshot(metadata, 6, Some(last), "append")
    })
    .await;
    publish(&mut table, |metadata| {
        add_snapshot(metadata, 7, Some(6), "replace")
    })
    .await;
    publish(&mut table, |metadata| keep_only(metadata, &[7])).await;
    publish(&mut table, |metadata| {
        add_snapshot(metadata, 8, Some(7), "replace")
    })
    .await;
    publish(&mut table, |metadata| keep_only(metadata, &[8])).await;
    assert!(kept(&[(6, "append")])(
        table.standing(Some(last)).await.unwrap()
    ));
}

#[tokio::test]
async fn a_tagged_snapshot_beside_expired_ones_is_no_rollback() {
    let folder = tempfile::tempdir().unwrap();
    let (_, mut table, [.., last]) = three(folder.path(), TableKind::Mirror).await;
    publish(&mut table, |metadata| {
        add_snapshot(metadata, 6, Some(last), "replace")
    })
    .await;
    publish(&mut table, |metadata| {
        add_snapshot(metadata, 7, Some(6), "replace")
    })
    .await;
    publish(&mut table, |metadata| keep_only(metadata, &[last, 7])).await;
    assert!(kept(&[])(table.standing(Some(last)).await.unwrap()));
}

#[tokio::test]
async fn a_rollback_before_an_expiry_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let (_, mut table, [first, _, last]) = three(folder.path(), TableKind::Mirror).await;
    publish(&mut table, |metadata| set_main(metadata, first)).await;
    publish(&mut table, |metadata| {
        add_snapshot(metadata, 7, Some(first), "append")
    })
    .await;
    publish(&mut table, |metadata| keep_only(metadata, &[7])).await;
    assert_eq!(table.standing(Some(last)).await.unwrap(), Standing::Gone);
}

#[tokio::test]
async fn without_older_metadata_a_mirror_is_unknown_and_a_history_is_told_by_its_numbers() {
    for kind in [TableKind::Mirror, TableKind::History] {
        let folder = tempfile::tempdir().unwrap();
        let (_, mut table, [first, _, last]) = three(folder.path(), kind).await;
        let forget = |metadata: &mut Value| {
            keep_only(metadata, &[7]);
            metadata["metadata-log"] = json!([]);
        };
        publish(&mut table, |metadata| {
            add_snapshot(metadata, 6, Some(last), "replace");
            add_snapshot(metadata, 7, Some(6), "replace");
            forget(metadata);
        })
        .await;
        let standing = table.standing(Some(last)).await.unwrap();
        match kind {
            TableKind::Mirror => assert_eq!(standing, Standing::Unknown),
            TableKind::History => assert!(kept(&[])(standing)),
        }
        // The same after a rollback: the row of the last number is not there.
        let (_, mut table, [first_again, _, last]) =
            three(&folder.path().join("again"), kind).await;
        publish(&mut table, |metadata| {
            set_main(metadata, first_again);
            add_snapshot(metadata, 6, Some(first_again), "replace");
            add_snapshot(metadata, 7, Some(6), "replace");
            forget(metadata);
        })
        .await;
        assert_eq!(table.standing(Some(last)).await.unwrap(), Standing::Unknown);
        assert_ne!(first, first_again);
    }
}

#[tokio::test]
async fn a_commit_is_refused_when_main_was_rolled_back_meanwhile() {
    let folder = tempfile::tempdir().unwrap();
    let (_, mut table, [first, ..]) = three(folder.path(), TableKind::Mirror).await;
    let prepared = prepare(&table, WriteMode::Upsert, &[row(9, "late", 1)], &[], false).await;
    let intent = intent(&table, RunId::generate());
    let before = files_in(&table, "data").len();
    publish(&mut table, |metadata| set_main(metadata, first)).await;
    let refused = table.commit(prepared, intent.clone()).await.unwrap_err();
    assert!(refused.to_string().contains("rolled back"), "{refused}");
    assert!(
        files_in(&table, "data").len() < before,
        "the run's own files are removed"
    );
    // What replaces the table holds everything.
    let prepared = prepare(
        &table,
        WriteMode::ReplaceAll,
        &[row(9, "all", 1)],
        &[],
        false,
    )
    .await;
    publish(&mut table, |metadata| {
        add_snapshot(metadata, 7, None, "append")
    })
    .await;
    table.commit(prepared, intent).await.unwrap();
    assert_eq!(read(&table, None).await, [row(9, "all", 1)]);
}

#[tokio::test]
async fn a_commit_names_or_refuses_what_others_committed_meanwhile() {
    for refuse in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let (_, mut table, [.., last]) = three(folder.path(), TableKind::Mirror).await;
        let mut options = WriteOptions::new(WriteMode::Upsert, RunId::generate());
        options.refuse_foreign = refuse;
        let mut writer = table.writer(options).await.unwrap();
        writer.write(batch(&[row(9, "late", 1)])).await.unwrap();
        let prepared = writer.finish().await.unwrap();
        let intent = intent(&table, RunId::generate());
        publish(&mut table, |metadata| {
            add_snapshot(metadata, 7, Some(last), "append")
        })
        .await;
        let committed = table.commit(prepared, intent).await;
        if refuse {
            let refused = committed.unwrap_err().to_string();
            assert!(
                refused.contains("snapshot 7 (sequence number 4, append"),
                "{refused}"
            );
        } else {
            let foreign = committed.unwrap().foreign;
            // Once the snapshot is expired, this is what is left to say that keys may be there twice.
            assert_eq!(table.property(FOREIGN_ROWS_PROPERTY), Some("5"));
            assert_eq!(
                foreign
                    .iter()
                    .map(|one| one.snapshot_id)
                    .collect::<Vec<_>>(),
                [7]
            );
        }
    }
}
