//! A table folder that was copied.

use super::maintaining::full;
use super::*;
use crate::lake::store::Fault;
use std::collections::BTreeSet as Set;
use std::fs;
use std::path::PathBuf;

/// Copies a warehouse, as `cp -r` does.
pub(super) fn copied(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copied(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(contents(&path));
        } else {
            found.insert(path.clone(), fs::read(path).unwrap());
        }
    }
    found
}

#[tokio::test]
async fn a_copy_reads_nothing_of_the_original() {
    let directory = tempfile::tempdir().unwrap();
    let (_, mut table) = fresh(directory.path(), TableKind::Mirror).await;
    let rows: Vec<Row> = (0..30).map(|id| row(id, "a", 1)).collect();
    commit(&mut table, WriteMode::Upsert, &rows, &[], true).await;
    let changed: Vec<Row> = (0..30).step_by(4).map(|id| row(id, "b", 2)).collect();
    commit(&mut table, WriteMode::Upsert, &changed, &[1, 2, 17], true).await;
    table.compact(&full()).await.unwrap();
    commit(&mut table, WriteMode::Upsert, &[row(5, "c", 3)], &[6], true).await;
    let first = table.snapshots()[0].id;
    super::expiring::tag(&mut table, "icesync-loaded-x", first).await;
    let mut states = BTreeMap::new();
    for snapshot in table.snapshots() {
        states.insert(snapshot.id, read(&table, Some(snapshot.id)).await);
    }
    // A ledger of a first read under way.
    let options = WriteOptions {
        distinct_keys: true,
        ..WriteOptions::new(WriteMode::ReplaceAll, RunId::generate())
    };
    let mut writer = table.writer(options).await.unwrap();
    writer.write(batch(&[row(77, "parked", 1)])).await.unwrap();
    let part = writer.finish_part().await.unwrap();
    let listed = table.list_part(part).await.unwrap();
    let base = table.checkpoint().unwrap().unwrap();
    let mut next = base.clone();
    next.run_id = RunId::generate();
    next.backfill = Some(super::expiring::ledger(listed.uri()));
    table.park(listed, Some(base.run_id), next).await.unwrap();
    let original = directory.path().join("wh");
    let before = contents(&original);

    let copy = directory.path().join("a copy");
    copied(&original, &copy);
    let warehouse = Warehouse::open(copy.to_str().unwrap()).await.unwrap();
    let done = warehouse.relocate(&name()).await.unwrap();
    assert!(done.moved && done.from != done.to, "{done:?}");
    assert_eq!(done.snapshots, 4);
    assert!(done.delete_files > 0 && done.manifests > 4, "{done:?}");
    assert_eq!(contents(&original), before, "the original is as it was");
    fs::remove_dir_all(&original).unwrap();

    let again = warehouse.relocate(&name()).await.unwrap();
    assert_eq!(
        (again.moved, again.metadata_version),
        (false, done.metadata_version)
    );
    let mut table = warehouse.table(&name()).await.unwrap().unwrap();
    for (snapshot, rows) in &states {
        assert_eq!(read(&table, Some(*snapshot)).await, *rows);
    }
    let latest = table.snapshots()[3].id;
    let mut target: Model = states[&first]
        .iter()
        .map(|row| (row.0, row.clone()))
        .collect();
    super::deltas::apply_delta(&table, Some(first), latest, &mut target).await;
    assert_eq!(target.into_values().collect::<Vec<_>>(), states[&latest]);
    let found = table.checkpoint().unwrap().unwrap();
    let lists: Set<String> = found
        .backfill
        .unwrap()
        .done
        .into_iter()
        .map(|done| done.files)
        .collect();
    for list in lists {
        assert!(list.starts_with(table.location()), "{list}");
        assert!(table.unpark(&list).await.unwrap().is_some());
    }
    // It goes on as a table of its own.
    commit(&mut table, WriteMode::Upsert, &[row(3, "d", 4)], &[7], true).await;
    table.compact(&full()).await.unwrap();
    let mut model: Model = states[&latest]
        .iter()
        .map(|row| (row.0, row.clone()))
        .collect();
    model.insert(3, row(3, "d", 4));
    model.remove(&7);
    assert_eq!(
        read(&table, None).await,
        model.into_values().collect::<Vec<_>>()
    );
    let orphans = OrphanOptions {
        age: std::time::Duration::ZERO,
        dry_run: false,
    };
    table.remove_orphans(&orphans).await.unwrap();
    for (snapshot, rows) in &states {
        assert_eq!(read(&table, Some(*snapshot)).await, *rows);
    }
}

#[tokio::test]
async fn a_table_that_no_run_has_committed_to_is_relocated() {
    let directory = tempfile::tempdir().unwrap();
    let (_, table) = fresh(directory.path(), TableKind::Mirror).await;
    assert_eq!(table.checkpoint().unwrap(), None);
    let copy = directory.path().join("copy");
    fs::rename(directory.path().join("wh"), &copy).unwrap();
    let warehouse = Warehouse::open(copy.to_str().unwrap()).await.unwrap();
    assert!(warehouse.relocate(&name()).await.unwrap().moved);
    let mut table = warehouse.table(&name()).await.unwrap().unwrap();
    assert_eq!(table.checkpoint().unwrap(), None);
    commit(&mut table, WriteMode::Upsert, &[row(1, "a", 1)], &[], false).await;
    assert_eq!(read(&table, None).await, [row(1, "a", 1)]);
}

/// A relocation that fails leaves the folder as it was; one of which nobody knows whether it failed leaves its files.
#[tokio::test]
async fn a_relocation_that_fails_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let (_, mut table) = fresh(directory.path(), TableKind::Mirror).await;
    let rows: Vec<Row> = (0..20).map(|id| row(id, "a", 1)).collect();
    commit(&mut table, WriteMode::Upsert, &rows, &[], true).await;
    commit(&mut table, WriteMode::Upsert, &rows[..5], &[7], true).await;
    let newest = table.metadata().current_snapshot().unwrap().clone();
    let copy = directory.path().join("copy");
    let original = directory.path().join("wh");
    copied(&original, &copy);
    let warehouse = Warehouse::open(copy.to_str().unwrap()).await.unwrap();
    // One of the lists is damaged.
    let list = newest.manifest_list().replace("/wh/", "/copy/");
    let list = list.strip_prefix("file://").unwrap();
    let whole = fs::read(list).unwrap();
    fs::write(list, &whole[..whole.len() / 2]).unwrap();
    let before = contents(&copy);
    warehouse.relocate(&name()).await.unwrap_err();
    assert_eq!(contents(&copy), before);
    fs::write(list, &whole).unwrap();
    let before = contents(&copy).len();
    // The disk is full, at every byte that is written.
    let room = warehouse.store().room.clone();
    let mut full = 0;
    for bytes in (0..).step_by(3000) {
        room.set(Some(bytes));
        let moved = warehouse.relocate(&name()).await;
        room.set(None);
        match moved {
            Ok(done) => {
                assert!(done.moved);
                break;
            }
            Err(error) => assert!(matches!(error, LakeError::Full { .. }), "{error:?}"),
        }
        full += 1;
        assert_eq!(contents(&copy).len(), before, "{bytes}");
    }
    assert!(full > 2, "only {full} places met the full disk");
    let table = warehouse.table(&name()).await.unwrap().unwrap();
    assert_eq!(read(&table, None).await.len(), 19);
}

#[tokio::test]
async fn a_relocation_whose_outcome_is_unknown_keeps_its_files() {
    let directory = tempfile::tempdir().unwrap();
    let (_, mut table) = fresh(directory.path(), TableKind::Mirror).await;
    commit(&mut table, WriteMode::Upsert, &[row(1, "a", 1)], &[], false).await;
    let copy = directory.path().join("copy");
    fs::rename(directory.path().join("wh"), &copy).unwrap();
    let warehouse = Warehouse::open(copy.to_str().unwrap()).await.unwrap();
    *warehouse.store().fault.lock().unwrap() = Some(Fault::Blind);
    let error = warehouse.relocate(&name()).await.unwrap_err();
    *warehouse.store().fault.lock().unwrap() = None;
    assert!(
        matches!(error, LakeError::PublishUnknown { .. }),
        "{error:?}"
    );
    let table = warehouse.table(&name()).await.unwrap().unwrap();
    assert_eq!(read(&table, None).await, [row(1, "a", 1)]);
}
