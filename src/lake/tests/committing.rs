//! Races, lost replies, damage.

use super::*;
use crate::lake::store::Fault;

#[tokio::test]
async fn of_racing_runs_one_commits() {
    let directory = tempfile::tempdir().unwrap();
    let (warehouse, mut table) = fresh(directory.path(), TableKind::Mirror).await;
    commit(&mut table, WriteMode::Upsert, &[row(1, "a", 1)], &[], false).await;
    let mut runs = Vec::new();
    for number in 0..8 {
        let mut table = table.clone();
        runs.push(tokio::spawn(async move {
            let prepared = prepare(
                &table,
                WriteMode::Upsert,
                &[row(1, "b", number), row(2, "b", number)],
                &[],
                false,
            )
            .await;
            let run = intent(&table, RunId::generate());
            (number, table.commit(prepared, run).await)
        }));
    }
    let mut winners = Vec::new();
    for run in runs {
        let (number, outcome) = run.await.unwrap();
        match outcome {
            Ok(_) => winners.push(number),
            Err(LakeError::CheckpointMoved {
                by_run: Some(_), ..
            }) => {}
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(winners.len(), 1);
    let table = warehouse.table(&name()).await.unwrap().unwrap();
    let winner = winners[0];
    assert_eq!(
        read(&table, None).await,
        [row(1, "b", winner), row(2, "b", winner)]
    );
    assert_eq!(table.snapshots().len(), 2);
    // What the others wrote is gone.
    assert_eq!(files_in(&table, "data").len(), 2);
    // Tags do not depend on the checkpoint: all of them arrive.
    let mut tags = Vec::new();
    for number in 0..8 {
        let mut table = table.clone();
        let snapshot = table.current_snapshot_id().unwrap();
        tags.push(tokio::spawn(async move {
            let target = TargetTags::new("server", &format!("db{number}"), &name());
            table.tag_loaded(&target, snapshot).await.unwrap();
        }));
    }
    for tag in tags {
        tag.await.unwrap();
    }
    let mut table = warehouse.table(&name()).await.unwrap().unwrap();
    let [first, last] = [0, 1].map(|at| table.snapshots()[at].clone());
    assert_eq!((first.tags.len(), last.tags.len()), (0, 8));
    let target = TargetTags::new("server", "db0", &name());
    table.tag_loaded(&target, first.id).await.unwrap();
    assert_eq!(
        table.snapshots()[0].tags,
        ["icesync-loaded-server.db0.dbo.orders"]
    );
}

#[tokio::test]
async fn a_commit_rebases_on_files_that_came_and_went() {
    let directory = tempfile::tempdir().unwrap();
    let (warehouse, mut table) = fresh(directory.path(), TableKind::Mirror).await;
    let rows: Vec<Row> = (0..10).map(|id| row(id, "a", 1)).collect();
    commit(&mut table, WriteMode::Upsert, &rows, &[], true).await;
    let base = intent(&table, RunId::generate());
    let prepared = prepare(
        &table,
        WriteMode::Upsert,
        &[row(3, "b", 2), row(50, "b", 2)],
        &[4],
        true,
    )
    .await;

    // Somebody else rewrites every file without touching the checkpoint (as a compaction does) and adds a row.
    let mut other = warehouse.table(&name()).await.unwrap().unwrap();
    let mut moved = rows.clone();
    moved.push(row(50, "a", 1));
    let rewrite = prepare(&other, WriteMode::ReplaceAll, &moved, &[], false).await;
    let mut same = intent(&other, base.base_checkpoint.unwrap());
    same.checkpoint = other.checkpoint().unwrap().unwrap();
    other.commit(rewrite, same).await.unwrap();

    let committed = table.commit(prepared, base).await.unwrap();
    assert_eq!(committed.sequence_number, 3);
    let mut expected: BTreeMap<i64, Row> = moved.into_iter().map(|row| (row.0, row)).collect();
    expected.insert(3, row(3, "b", 2));
    expected.insert(50, row(50, "b", 2));
    expected.remove(&4);
    let expected: Vec<Row> = expected.into_values().collect();
    assert_eq!(read(&table, None).await, expected);
    assert_eq!(table.current_rows().await.unwrap(), expected.len() as u64);
}

#[tokio::test]
async fn a_lost_reply_is_resolved_by_looking() {
    let directory = tempfile::tempdir().unwrap();
    let (warehouse, mut table) = fresh(directory.path(), TableKind::Mirror).await;
    let fault = |fault| *warehouse.store().fault.lock().unwrap() = Some(fault);
    let prepared = prepare(&table, WriteMode::Upsert, &[row(1, "a", 1)], &[], false).await;
    let run = intent(&table, RunId::generate());
    let id = run.run_id;
    fault(Fault::ReplyLost);
    let committed = table.commit(prepared, run).await.unwrap();
    assert_eq!(
        table.resolve_run(id).map(|found| found.id),
        committed.snapshot_id
    );
    assert_eq!(read(&table, None).await, [row(1, "a", 1)]);

    // A request that never arrived is made again.
    let prepared = prepare(&table, WriteMode::Upsert, &[row(2, "a", 1)], &[], false).await;
    let run = intent(&table, RunId::generate());
    let id = run.run_id;
    fault(Fault::RequestLost);
    table.commit(prepared, run).await.unwrap();
    assert!(table.resolve_run(id).is_some());
    assert_eq!(read(&table, None).await, [row(1, "a", 1), row(2, "a", 1)]);

    let run = RunId::generate();
    let base = table.checkpoint().unwrap().map(|found| found.run_id);
    fault(Fault::ReplyLost);
    table
        .set_checkpoint(base, checkpoint(run), Default::default())
        .await
        .unwrap();
    assert_eq!(table.checkpoint().unwrap().unwrap().run_id, run);
    let refused = table
        .set_checkpoint(base, checkpoint(run), Default::default())
        .await;
    assert!(matches!(refused, Err(LakeError::CheckpointMoved { .. })));
}

#[tokio::test]
async fn hints_are_repaired_and_damage_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let (warehouse, mut table) = fresh(directory.path(), TableKind::Mirror).await;
    commit(&mut table, WriteMode::Upsert, &[row(1, "a", 1)], &[], false).await;
    commit(&mut table, WriteMode::Upsert, &[row(2, "a", 1)], &[], false).await;
    let metadata = directory.path().join("wh/dbo/orders/metadata");
    let hint = metadata.join("version-hint.text");
    let load = async || warehouse.table(&name()).await;
    for damaged in [
        Some("2"),
        Some("2\n"),
        Some("17"),
        Some("x"),
        Some(""),
        None,
    ] {
        match damaged {
            Some(text) => std::fs::write(&hint, text).unwrap(),
            None => std::fs::remove_file(&hint).unwrap(),
        }
        let table = load().await.unwrap().unwrap();
        assert_eq!(table.metadata_version(), 3, "{damaged:?}");
        // Reading writes nothing; a command that writes begins by putting the hint right.
        let kept = std::fs::read_to_string(&hint).ok();
        assert_eq!(kept.as_deref(), damaged, "{damaged:?}");
        table.settle().await;
        assert_eq!(std::fs::read_to_string(&hint).unwrap(), "3", "{damaged:?}");
    }
    let last = metadata.join("v3.metadata.json");
    let whole = std::fs::read(&last).unwrap();
    std::fs::write(&last, &whole[..whole.len() / 2]).unwrap();
    let error = load().await.unwrap_err();
    assert!(matches!(error, LakeError::MetadataCorrupt { .. }));
    assert!(error.to_string().contains("v3.metadata.json"), "{error}");
    for number in 1..=3 {
        std::fs::remove_file(metadata.join(format!("v{number}.metadata.json"))).unwrap();
    }
    assert!(matches!(
        load().await,
        Err(LakeError::HintDangling { version: 3, .. })
    ));
    std::fs::write(&hint, "PASSWORD=hunter2").unwrap();
    let error = load().await.unwrap_err();
    assert!(matches!(error, LakeError::HintInvalid { .. }), "{error}");
    // It may be a link to a file of secrets.
    let text = format!("{error} {error:?}");
    assert!(!text.contains("hunter2"), "{text}");
    std::fs::remove_file(&hint).unwrap();
    assert!(load().await.unwrap().is_none());
    std::fs::write(metadata.join("00001-abc.metadata.json"), "{}").unwrap();
    assert!(matches!(
        load().await,
        Err(LakeError::NotFilesystemCatalog { .. })
    ));
}

#[tokio::test]
async fn locations_that_cannot_hold_a_warehouse_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, "").unwrap();
    let open = async |location: String| Warehouse::open(&location).await.err();
    let path = file.to_str().unwrap();
    assert!(matches!(
        open(path.to_owned()).await,
        Some(LakeError::FileInTheWay { .. })
    ));
    assert!(matches!(
        open(format!("{path}/wh")).await,
        Some(LakeError::FileInTheWay { .. })
    ));
    for location in ["s3://bucket/x", "file://host/x", "", "  "] {
        let error = open(location.to_owned()).await;
        assert!(
            matches!(error, Some(LakeError::UnsupportedLocation { .. })),
            "{location}"
        );
    }
    assert!(matches!(
        open("/a#b".into()).await,
        Some(LakeError::BadPath { .. })
    ));
    let nowhere = directory.path().join("a/../b/./c");
    let warehouse = Warehouse::open(&format!("file://{}", nowhere.display()))
        .await
        .unwrap();
    assert!(
        warehouse.location().ends_with("/b/c"),
        "{}",
        warehouse.location()
    );
    assert!(warehouse.tables().await.unwrap().is_empty());
}

/// Dies where the environment says; run by [`a_crash_leaves_all_or_nothing`] in a process of its own.
#[tokio::test]
#[ignore = "the victim of a_crash_leaves_all_or_nothing"]
async fn crash_victim() {
    let Ok(location) = std::env::var("ICESYNC_CRASH_DIR") else {
        return;
    };
    let warehouse = Warehouse::open(&location).await.unwrap();
    let mut table = warehouse.table(&name()).await.unwrap().unwrap();
    commit(
        &mut table,
        WriteMode::Upsert,
        &[row(1, "b", 2), row(3, "b", 2)],
        &[],
        false,
    )
    .await;
}

#[tokio::test]
async fn a_crash_leaves_all_or_nothing() {
    let before = [row(1, "a", 1), row(2, "a", 1)];
    let after = [row(1, "b", 2), row(2, "a", 1), row(3, "b", 2)];
    for (failpoint, committed) in [
        (FAIL_AFTER_DATA_FILES, false),
        (FAIL_AFTER_MANIFESTS, false),
        (FAIL_AFTER_METADATA, true),
        (FAIL_AFTER_HINT, true),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let (warehouse, mut table) = fresh(directory.path(), TableKind::Mirror).await;
        commit(&mut table, WriteMode::Upsert, &before, &[], false).await;
        let run = table.checkpoint().unwrap().unwrap().run_id;
        let victim = |armed: bool| {
            let mut command = std::process::Command::new(std::env::current_exe().unwrap());
            command
                .args([
                    "--exact",
                    "lake::tests::committing::crash_victim",
                    "--ignored",
                ])
                .env("ICESYNC_CRASH_DIR", warehouse.location());
            if armed {
                command.env(crate::failpoint::VARIABLE, failpoint);
            }
            command.output().unwrap()
        };
        let died = victim(true);
        assert_eq!(
            died.status.code(),
            None,
            "{failpoint}: not aborted: {died:?}"
        );
        let hint = directory
            .path()
            .join("wh/dbo/orders/metadata/version-hint.text");
        let behind = std::fs::read_to_string(&hint).unwrap();
        assert_eq!(
            behind,
            if failpoint == FAIL_AFTER_HINT {
                "3"
            } else {
                "2"
            }
        );
        table.refresh().await.unwrap();
        let rows = read(&table, None).await;
        let moved = table.checkpoint().unwrap().unwrap().run_id != run;
        assert_eq!(moved, committed, "{failpoint}");
        assert_eq!(
            rows,
            if committed {
                after.to_vec()
            } else {
                before.to_vec()
            },
            "{failpoint}"
        );
        let again = victim(false);
        assert!(again.status.success(), "{failpoint}: {again:?}");
        table.refresh().await.unwrap();
        assert_eq!(read(&table, None).await, after, "{failpoint}");
        let repaired = std::fs::read_to_string(&hint).unwrap();
        assert_eq!(repaired, table.metadata_version().to_string());
    }
}

#[tokio::test]
async fn many_small_commits_leave_few_files_to_read() {
    let directory = tempfile::tempdir().unwrap();
    let (_, mut table) = fresh(directory.path(), TableKind::Mirror).await;
    let mut model: Vec<Row> = (0..300).map(|id| row(id, "a", 0)).collect();
    commit(&mut table, WriteMode::Upsert, &model, &[], false).await;
    let first = table.current_snapshot_id();
    for number in 1..=110 {
        let changed = row(i64::from(number), "b", number);
        model[number as usize] = changed.clone();
        commit(&mut table, WriteMode::Upsert, &[changed], &[], false).await;
    }
    assert_eq!(read(&table, None).await, model);
    let files = table.files(table.current_snapshot_id()).await.unwrap();
    assert_eq!(files.data.len(), 111);
    assert!(
        files.deletes.len() <= 8,
        "{} delete files",
        files.deletes.len()
    );
    assert!(
        files.manifests.len() < 110,
        "{} manifests",
        files.manifests.len()
    );
    let last = table.resolve(SnapshotRef::Latest).unwrap();
    assert_eq!((last.rows_total, last.rows_deleted), (Some(300), 1));
    let delta = table.delta(first, last.id).await.unwrap();
    assert_eq!(
        (delta.upsert_rows_estimate, delta.delete_rows_estimate),
        (110, 110)
    );
    let deleted: Vec<RecordBatch> = delta.segments[0].deletes().try_collect().await.unwrap();
    let mut keys: Vec<i64> = deleted
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
    assert_eq!(keys, (1..=110).collect::<Vec<i64>>());
}
