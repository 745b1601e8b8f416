//! Versions: their names, their hint, who publishes the next one, and what is known of it.

use super::*;
use crate::error::Disposition;
use crate::lake::catalog::Requirement;
use crate::lake::catalog::filesystem::Filesystem;
use crate::lake::store::{Fault, Store};
use iceberg::TableUpdate;
use std::collections::HashMap;
use std::path::PathBuf;

fn metadata_of(directory: &Path) -> PathBuf {
    directory.join("wh/dbo/orders/metadata")
}

fn names_in(directory: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(directory).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.collect()
}

fn set(name: &str, value: &str) -> Vec<TableUpdate> {
    let updates = HashMap::from([(name.to_owned(), value.to_owned())]);
    vec![TableUpdate::SetProperties { updates }]
}

/// Publishes one property after a version, without looking for a newer one first.
async fn commit_after(
    table: &LakeTable,
    requirements: &[Requirement],
) -> Option<crate::lake::catalog::Version> {
    let (name, updates) = (name(), set("a", "b"));
    let committed = table
        .catalog
        .commit(&name, &table.version, requirements, updates);
    committed.await.unwrap()
}

async fn one_row(table: &mut LakeTable, id: i64) {
    commit(table, WriteMode::Upsert, &[row(id, "a", 1)], &[], false).await;
}

#[tokio::test]
async fn compressed_metadata_is_read_and_written() {
    let directory = tempfile::tempdir().unwrap();
    let (warehouse, mut table) = fresh(directory.path(), TableKind::Mirror).await;
    let metadata = metadata_of(directory.path());
    one_row(&mut table, 1).await;
    let codec = (
        "write.metadata.compression-codec".to_owned(),
        "gzip".to_owned(),
    );
    table.set_properties([codec].into()).await.unwrap();
    one_row(&mut table, 2).await;
    one_row(&mut table, 3).await;
    for name in [
        "v3.metadata.json",
        "v4.gz.metadata.json",
        "v5.gz.metadata.json",
    ] {
        assert!(metadata.join(name).exists(), "{name}");
    }
    let first = std::fs::read(metadata.join("v5.gz.metadata.json")).unwrap();
    assert_eq!(first[..2], [0x1f, 0x8b]);
    let expected = [row(1, "a", 1), row(2, "a", 1), row(3, "a", 1)];
    let load = async || warehouse.table(&name()).await.unwrap().unwrap();
    // Whatever the hint says, and under the name of older writers too.
    let old = metadata.join("v5.metadata.json.gz");
    for renamed in [false, true] {
        if renamed {
            std::fs::rename(metadata.join("v5.gz.metadata.json"), &old).unwrap();
        }
        for hint in ["5", "4", "1", "v5.gz.metadata.json", "99"] {
            std::fs::write(metadata.join("version-hint.text"), hint).unwrap();
            let table = load().await;
            assert_eq!(table.metadata_version(), 5, "{hint}");
            assert_eq!(read(&table, None).await, expected, "{hint}");
        }
    }
    std::fs::rename(old, metadata.join("v5.gz.metadata.json")).unwrap();
    // A writer that computed from version 4 collides with 5, whatever it is called.
    let mut slow = load().await;
    one_row(&mut slow, 4).await;
    assert!(commit_after(&table, &[]).await.is_none());
    let mut newest = load().await;
    one_row(&mut newest, 5).await;
    assert_eq!(newest.metadata_version(), 7);
    assert_eq!(read(&newest, None).await.len(), 5);
}

#[tokio::test]
async fn of_two_names_of_one_version_all_readers_take_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let (warehouse, mut table) = fresh(directory.path(), TableKind::Mirror).await;
    let metadata = metadata_of(directory.path());
    let codec = (
        "write.metadata.compression-codec".to_owned(),
        "gzip".to_owned(),
    );
    table.set_properties([codec].into()).await.unwrap();
    // Another engine takes the property away and publishes version 3 under the plain name meanwhile.
    let mut plain = std::fs::read(metadata.join("v2.metadata.json")).unwrap();
    plain.push(b' ');
    std::fs::write(metadata.join("v3.metadata.json"), plain).unwrap();
    assert!(commit_after(&table, &[]).await.is_none());
    assert!(!metadata.join("v3.gz.metadata.json").exists());
    let table = warehouse.table(&name()).await.unwrap().unwrap();
    assert_eq!(table.metadata_version(), 3);
}

#[tokio::test]
async fn a_writer_that_slept_does_not_commit_into_the_past() {
    for hint_lost in [false, true] {
        let directory = tempfile::tempdir().unwrap();
        let (warehouse, mut table) = fresh(directory.path(), TableKind::Mirror).await;
        let metadata = metadata_of(directory.path());
        one_row(&mut table, 1).await;
        let sleeper = table.clone();
        for id in 2..6 {
            one_row(&mut table, id).await;
        }
        // What another engine's retention removes.
        for number in 1..=4 {
            std::fs::remove_file(metadata.join(format!("v{number}.metadata.json"))).unwrap();
        }
        if hint_lost {
            std::fs::remove_file(metadata.join("version-hint.text")).unwrap();
        }
        let before = names_in(&metadata);
        assert!(commit_after(&sleeper, &[]).await.is_none());
        assert_eq!(names_in(&metadata), before);
        let table = warehouse.table(&name()).await.unwrap().unwrap();
        assert_eq!(table.metadata_version(), 6);
        assert_eq!(table.property("a"), None);
        // Awake, it goes on from the newest version.
        let mut awake = sleeper.clone();
        awake
            .set_properties(HashMap::from([("a".into(), "b".into())]))
            .await
            .unwrap();
        assert_eq!(awake.metadata_version(), 7);
    }
}

/// A writer that is suspended between its put and the look at the chain. To call its commit lost would delete files
/// of a snapshot that is there.
#[tokio::test]
async fn a_commit_that_others_built_on_is_in_the_chain() {
    let directory = tempfile::tempdir().unwrap();
    let (warehouse, mut table) = fresh(directory.path(), TableKind::Mirror).await;
    let metadata = metadata_of(directory.path());
    one_row(&mut table, 1).await;
    let base = table.clone();
    table
        .set_properties([("c".to_owned(), "d".to_owned())].into())
        .await
        .unwrap();
    let ours = table.clone();
    one_row(&mut table, 2).await;
    let with_rows = table.clone();
    one_row(&mut table, 3).await;
    let catalog = Filesystem::new(Arc::new(Store::open(warehouse.location()).unwrap()));
    let is_in_chain = async |base: &LakeTable, ours: &LakeTable| {
        let base = Some(base.version.as_ref());
        let location = ours.location().to_owned();
        catalog
            .is_in_chain(&name(), &location, base, &ours.version)
            .await
    };
    assert!(is_in_chain(&base, &ours).await.unwrap());
    // The base is removed: the log of the next version names our file, by whatever path.
    std::fs::remove_file(metadata.join("v2.metadata.json")).unwrap();
    assert!(is_in_chain(&base, &ours).await.unwrap());
    let as_committed = std::fs::read(metadata.join("v4.metadata.json")).unwrap();
    let rewrite = |name: &str, log: &dyn Fn(&mut serde_json::Value)| {
        let path = metadata.join(name);
        let mut json: serde_json::Value =
            serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        log(&mut json["metadata-log"]);
        std::fs::write(&path, json.to_string()).unwrap();
    };
    rewrite("v4.metadata.json", &|log| {
        let last = log.as_array_mut().unwrap().last_mut().unwrap();
        let uri = last["metadata-file"].as_str().unwrap();
        let linked = uri.replace("file://", "file:").replace("/wh/", "/link/");
        last["metadata-file"] = linked.into();
    });
    assert!(is_in_chain(&base, &ours).await.unwrap());
    // Our file is not the one that the next version followed.
    rewrite("v4.metadata.json", &|log| {
        let last = log.as_array_mut().unwrap().last_mut().unwrap();
        last["timestamp-ms"] = (last["timestamp-ms"].as_i64().unwrap() - 1).into();
    });
    assert!(!is_in_chain(&base, &ours).await.unwrap());
    // The next version is removed too, and the log of the newest is short: our snapshot tells. Without one nothing
    // can be said, and nothing may be removed.
    let fourth = std::fs::read(metadata.join("v4.metadata.json")).unwrap();
    rewrite("v5.metadata.json", &|log| *log = serde_json::json!([]));
    // Rewritten, the fourth is not what was committed.
    assert!(!is_in_chain(&ours, &with_rows).await.unwrap());
    std::fs::write(metadata.join("v4.metadata.json"), as_committed).unwrap();
    assert!(is_in_chain(&ours, &with_rows).await.unwrap());
    std::fs::remove_file(metadata.join("v4.metadata.json")).unwrap();
    let unknown = is_in_chain(&base, &ours).await;
    assert!(matches!(unknown, Err(LakeError::PublishUnknown { .. })));
    // A hint that another writer set back leads nobody astray.
    std::fs::write(metadata.join("version-hint.text"), "3").unwrap();
    let unknown = is_in_chain(&base, &ours).await;
    assert!(matches!(unknown, Err(LakeError::PublishUnknown { .. })));
    std::fs::write(metadata.join("v4.metadata.json"), fourth).unwrap();
    assert!(!is_in_chain(&base, &ours).await.unwrap());
}

#[tokio::test]
async fn what_a_run_cannot_see_it_does_not_remove() {
    let directory = tempfile::tempdir().unwrap();
    for (fault, arrives) in [(Fault::Blind, true), (Fault::RequestsLost, false)] {
        let directory = directory.path().join(format!("{fault:?}"));
        let (warehouse, mut table) = fresh(&directory, TableKind::Mirror).await;
        one_row(&mut table, 1).await;
        let base = table.checkpoint().unwrap().unwrap().run_id;
        let prepared = prepare(&table, WriteMode::Upsert, &[row(2, "a", 1)], &[], false).await;
        let run = intent(&table, RunId::generate());
        let id = run.run_id;
        *warehouse.store().fault.lock().unwrap() = Some(fault);
        let error = table.commit(prepared, run).await.unwrap_err();
        *warehouse.store().fault.lock().unwrap() = None;
        assert!(
            matches!(&error, LakeError::CommitUnknown { run_id, .. } if *run_id == id),
            "{error}"
        );
        assert_eq!(error.disposition(), Disposition::Ambiguous);
        assert_eq!(files_in(&table, "data").len(), 2);
        let mut table = warehouse.table(&name()).await.unwrap().unwrap();
        let found = table.checkpoint().unwrap().unwrap().run_id;
        assert_eq!(found, if arrives { id } else { base });
        assert_eq!(table.resolve_run(id).is_some(), arrives);
        let rows = read(&table, None).await;
        assert_eq!(rows.len(), if arrives { 2 } else { 1 });
        one_row(&mut table, 3).await;
        assert_eq!(read(&table, None).await.len(), rows.len() + 1);
    }
}

/// Spark's rename replaces a file of the same name.
#[tokio::test]
async fn a_version_that_another_writer_has_overwritten_is_in_no_chain() {
    let directory = tempfile::tempdir().unwrap();
    let (warehouse, mut table) = fresh(directory.path(), TableKind::Mirror).await;
    let metadata = metadata_of(directory.path());
    one_row(&mut table, 1).await;
    let base = table.clone();
    one_row(&mut table, 2).await;
    let catalog = Filesystem::new(Arc::new(Store::open(warehouse.location()).unwrap()));
    let is_in_chain = async || {
        let (base, location) = (Some(base.version.as_ref()), table.location().to_owned());
        let chain = catalog
            .is_in_chain(&name(), &location, base, &table.version)
            .await;
        chain.unwrap()
    };
    assert!(is_in_chain().await);
    let mut theirs = std::fs::read(metadata.join("v2.metadata.json")).unwrap();
    theirs.push(b' ');
    std::fs::write(metadata.join("v3.metadata.json"), theirs).unwrap();
    assert!(!is_in_chain().await);
}

/// As over NFS, when the link was made, its reply was lost, and the client's view of the folder is old.
#[tokio::test]
async fn a_name_that_is_taken_by_a_file_that_cannot_be_found_leaves_the_outcome_open() {
    let directory = tempfile::tempdir().unwrap();
    let (warehouse, mut table) = fresh(directory.path(), TableKind::Mirror).await;
    one_row(&mut table, 1).await;
    let prepared = prepare(&table, WriteMode::Upsert, &[row(2, "a", 1)], &[], false).await;
    let run = intent(&table, RunId::generate());
    let next = metadata_of(directory.path()).join("v3.metadata.json");
    std::os::unix::fs::symlink(directory.path().join("nowhere"), &next).unwrap();
    let error = table.commit(prepared, run).await.unwrap_err();
    assert!(matches!(error, LakeError::CommitUnknown { .. }), "{error}");
    assert_eq!(error.disposition(), Disposition::Ambiguous);
    assert_eq!(files_in(&table, "data").len(), 2, "nothing is removed");
    std::fs::remove_file(next).unwrap();
    let table = warehouse.table(&name()).await.unwrap().unwrap();
    assert_eq!(read(&table, None).await, [row(1, "a", 1)]);
}

#[tokio::test]
async fn a_part_whose_ledger_may_exist_keeps_its_files() {
    let directory = tempfile::tempdir().unwrap();
    let (warehouse, mut table) = fresh(directory.path(), TableKind::Mirror).await;
    let part = async |table: &LakeTable, id: i64| {
        let mut options = WriteOptions::new(WriteMode::ReplaceAll, RunId::generate());
        options.distinct_keys = true;
        let mut writer = table.writer(options).await.unwrap();
        writer.write(batch(&[row(id, "a", 1)])).await.unwrap();
        table
            .list_part(writer.finish_part().await.unwrap())
            .await
            .unwrap()
    };
    let listed = part(&table, 1).await;
    let list = listed.uri().to_owned();
    let token = RunId::generate();
    *warehouse.store().fault.lock().unwrap() = Some(Fault::Blind);
    let error = table
        .park(listed, None, checkpoint(token))
        .await
        .err()
        .unwrap();
    *warehouse.store().fault.lock().unwrap() = None;
    assert!(matches!(error, LakeError::CommitUnknown { .. }), "{error}");
    table.refresh().await.unwrap();
    assert!(table.unpark(&list).await.unwrap().is_some());
    // Another run was faster: the part is in no ledger, and its files and its list go.
    let listed = part(&table, 2).await;
    let list = listed.uri().to_owned();
    let behind = table
        .park(listed, None, checkpoint(RunId::generate()))
        .await;
    assert!(matches!(
        behind.err(),
        Some(LakeError::CheckpointMoved { .. })
    ));
    assert!(table.unpark(&list).await.unwrap().is_none());
    assert_eq!(files_in(&table, "data").len(), 1);
}

#[tokio::test]
async fn a_recreated_table_is_not_committed_to() {
    let directory = tempfile::tempdir().unwrap();
    let (warehouse, mut table) = fresh(directory.path(), TableKind::Mirror).await;
    one_row(&mut table, 1).await;
    let prepared = prepare(&table, WriteMode::Upsert, &[row(2, "a", 1)], &[], false).await;
    let run = intent(&table, RunId::generate());
    let dropped = table.clone();
    std::fs::remove_dir_all(directory.path().join("wh/dbo/orders")).unwrap();
    let mut missing = table.clone();
    assert!(matches!(
        missing.refresh().await,
        Err(LakeError::TableMissing { .. })
    ));
    let (_, recreated) = fresh(directory.path(), TableKind::Mirror).await;
    let error = table.commit(prepared, run).await.unwrap_err();
    assert!(matches!(error, LakeError::TableReplaced { .. }), "{error}");
    assert_eq!(error.disposition(), Disposition::Definite);
    // The put itself would succeed: version 3 of the recreated table does not exist.
    let uuid = [Requirement::uuid(dropped.metadata())];
    assert!(commit_after(&dropped, &uuid).await.is_none());
    let table = warehouse.table(&name()).await.unwrap().unwrap();
    assert_eq!(
        (table.uuid(), table.metadata_version()),
        (recreated.uuid(), 1)
    );
}

#[tokio::test]
async fn clocks_that_differ_by_minutes_refuse_no_commit() {
    let directory = tempfile::tempdir().unwrap();
    let (warehouse, mut table) = fresh(directory.path(), TableKind::Mirror).await;
    one_row(&mut table, 1).await;
    one_row(&mut table, 2).await;
    // As written by machines an hour ahead: all times of the newest version are.
    let path = metadata_of(directory.path()).join("v3.metadata.json");
    let text = std::fs::read_to_string(&path).unwrap();
    let mut json: serde_json::Value = serde_json::from_str(&text).unwrap();
    let ahead = |value: &mut serde_json::Value| {
        *value = (value.as_i64().unwrap() + 3_600_000).into();
    };
    ahead(&mut json["last-updated-ms"]);
    for (list, field) in [
        ("snapshots", "timestamp-ms"),
        ("snapshot-log", "timestamp-ms"),
        ("metadata-log", "timestamp-ms"),
    ] {
        json[list]
            .as_array_mut()
            .unwrap()
            .iter_mut()
            .for_each(|entry| ahead(&mut entry[field]));
    }
    std::fs::write(&path, json.to_string()).unwrap();
    let mut table = warehouse.table(&name()).await.unwrap().unwrap();
    let (sequence, snapshots) = (
        table.metadata().last_sequence_number(),
        table.snapshots().len(),
    );
    let snapshot = table.current_snapshot_id().unwrap();
    let target = TargetTags::new("server", "db", &name());
    table.tag_loaded(&target, snapshot).await.unwrap();
    table
        .set_properties(HashMap::from([("a".into(), "b".into())]))
        .await
        .unwrap();
    let base = table.checkpoint().unwrap().map(|found| found.run_id);
    let token = checkpoint(RunId::generate());
    table
        .set_checkpoint(base, token, HashMap::new())
        .await
        .unwrap();
    assert_eq!(table.metadata().last_sequence_number(), sequence);
    assert_eq!(table.snapshots().len(), snapshots);
    one_row(&mut table, 3).await;
    table
        .tag_loaded(&target, table.current_snapshot_id().unwrap())
        .await
        .unwrap();
    let table = warehouse.table(&name()).await.unwrap().unwrap();
    assert_eq!(read(&table, None).await.len(), 3);
    let times: Vec<i64> = table
        .metadata()
        .metadata_log()
        .iter()
        .map(|log| log.timestamp_ms)
        .collect();
    assert!(times.is_sorted(), "{times:?}");
}

#[tokio::test]
async fn a_copied_folder_is_refused_and_a_link_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let (_, mut table) = fresh(directory.path(), TableKind::Mirror).await;
    one_row(&mut table, 1).await;
    let open = async |folder: &str| {
        let path = directory.path().join(folder);
        Warehouse::open(path.to_str().unwrap()).await.unwrap()
    };
    std::os::unix::fs::symlink(directory.path().join("wh"), directory.path().join("link")).unwrap();
    let linked = open("link").await.table(&name()).await.unwrap().unwrap();
    assert_eq!(read(&linked, None).await, [row(1, "a", 1)]);
    std::fs::rename(directory.path().join("wh"), directory.path().join("moved")).unwrap();
    let moved = open("moved").await;
    let error = moved.table(&name()).await.unwrap_err();
    assert!(matches!(error, LakeError::Moved { .. }), "{error}");
    assert!(
        error
            .to_string()
            .contains("icesync relocate --table dbo.orders"),
        "{error}"
    );
    assert_eq!(error.disposition(), Disposition::Definite);
    assert!(moved.table_wherever(&name()).await.unwrap().is_some());
}

#[tokio::test]
async fn what_is_committed_through_a_link_has_the_names_of_the_place_itself() {
    let directory = tempfile::tempdir().unwrap();
    let (_, mut table) = fresh(directory.path(), TableKind::Mirror).await;
    let rows: Vec<Row> = (0..10).map(|id| row(id, "a", 1)).collect();
    commit(&mut table, WriteMode::Upsert, &rows, &[], false).await;
    let [place, link, copy] = ["wh", "link", "copy"].map(|folder| directory.path().join(folder));
    std::os::unix::fs::symlink(&place, &link).unwrap();
    let open = async |folder: &Path| Warehouse::open(folder.to_str().unwrap()).await.unwrap();
    let opened = async |folder: &Path| open(folder).await.table(&name()).await.unwrap().unwrap();
    let mut linked = opened(&link).await;
    assert_eq!(linked.location(), table.location());
    for id in [3, 4, 4] {
        let changed = [row(id, "b", 2)];
        commit(&mut linked, WriteMode::Upsert, &changed, &[], false).await;
    }
    linked.compact(&super::maintaining::full()).await.unwrap();
    commit(&mut linked, WriteMode::Upsert, &[], &[9], false).await;
    let expired = linked.expire(&super::expiring::newest(1)).await.unwrap();
    assert!(expired.files > 0, "{expired:?}");

    std::fs::remove_file(&link).unwrap();
    let mut expected = rows;
    expected.truncate(9);
    expected[3] = row(3, "b", 2);
    expected[4] = row(4, "b", 2);
    let found = opened(&place).await;
    assert_eq!(read(&found, None).await, expected);
    let text = |table: &LakeTable| {
        let path = table.metadata_location().strip_prefix("file://").unwrap();
        std::fs::read_to_string(path).unwrap()
    };
    assert!(!text(&found).contains("/link/"), "{}", text(&found));
    // A copy needs neither the place nor the link.
    super::relocating::copied(&place, &copy);
    assert!(open(&copy).await.relocate(&name()).await.unwrap().moved);
    std::fs::remove_dir_all(&place).unwrap();
    let found = opened(&copy).await;
    assert_eq!(read(&found, None).await, expected);
    for other in ["/wh/", "/link/"] {
        assert!(!text(&found).contains(other), "{}", text(&found));
    }
}
