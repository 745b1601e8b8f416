//! Metadata and manifests that no engine writes, and refusals of the system: an error that names the file, no panic.

use super::ancestry::republish;
use super::*;
use crate::error::Disposition;
use crate::lake::read::avro::{put_bytes, put_long};
use parquet::errors::ParquetError;
use serde_json::{Value, json};
use std::io;

fn said(error: LakeError) -> String {
    crate::error::Error::from(error).report()
}

#[tokio::test]
async fn a_name_that_is_too_long_for_a_folder_asks_for_another_lake_name() {
    let directory = tempfile::tempdir().unwrap();
    let warehouse = Warehouse::open(directory.path().to_str().unwrap());
    let warehouse = warehouse.await.unwrap();
    // A name of SQL Server has up to 128 characters.
    for long in ["\u{8868}".repeat(29), "x".repeat(256)] {
        let long = TableName {
            schema: "dbo".into(),
            name: long,
        };
        let schema = schema();
        let created = warehouse.create(&long, &schema, TableKind::Mirror, BTreeMap::new());
        let refused = created.await.unwrap_err();
        // The folder of the namespace is there by now.
        for error in [refused, warehouse.table(&long).await.unwrap_err()] {
            assert_eq!(error.disposition(), Disposition::Definite);
            let text = said(error);
            assert!(text.contains("shorter `lake:` name"), "{text}");
        }
    }
}

#[test]
fn a_limit_on_open_files_is_named() {
    for code in [23, 24] {
        let met = || io::Error::from_raw_os_error(code);
        let beneath = object_store::Error::Generic {
            store: "LocalFileSystem",
            source: Box::new(met()),
        };
        for error in [
            LakeError::io("read", "/w/a", met()),
            LakeError::parquet("read", "/w/a")(ParquetError::External(Box::new(met()))),
            LakeError::parquet("read", "/w/a")(ParquetError::External(Box::new(beneath))),
        ] {
            assert_eq!(error.disposition(), Disposition::Definite);
            let text = said(error);
            for part in [
                "cannot read `/w/a`",
                "too many files",
                "ulimit -n",
                "os error",
            ] {
                assert!(text.contains(part), "{text}");
            }
        }
    }
}

#[tokio::test]
async fn times_that_nothing_follows_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let (warehouse, mut table) = fresh(directory.path(), TableKind::Mirror).await;
    commit(&mut table, WriteMode::Upsert, &[row(1, "a", 1)], &[], false).await;
    republish(&mut table, |metadata| {
        metadata["last-updated-ms"] = json!(i64::MAX);
    })
    .await;
    assert_eq!(read(&table, None).await, [row(1, "a", 1)]);
    let property = ("a".to_owned(), "b".to_owned());
    let text = said(table.set_properties([property].into()).await.unwrap_err());
    for part in ["v3.metadata.json", "last-updated-ms is 9223372036854775807"] {
        assert!(text.contains(part), "{text}");
    }
    let moved = directory.path().join("moved");
    std::fs::rename(directory.path().join("wh"), &moved).unwrap();
    drop(warehouse);
    let warehouse = Warehouse::open(moved.to_str().unwrap()).await.unwrap();
    let text = said(warehouse.relocate(&name()).await.unwrap_err());
    assert!(text.contains("last-updated-ms is"), "{text}");
}

#[tokio::test]
async fn counts_that_cannot_be_added_are_not() {
    let directory = tempfile::tempdir().unwrap();
    let (_, mut table) = fresh(directory.path(), TableKind::Mirror).await;
    commit(&mut table, WriteMode::Upsert, &[row(1, "a", 1)], &[], false).await;
    let first = table.current_snapshot_id();
    commit(&mut table, WriteMode::Upsert, &[row(2, "a", 1)], &[], false).await;
    republish(&mut table, |metadata| {
        let snapshots = metadata["snapshots"].as_array_mut().unwrap();
        let is_second = |snapshot: &&mut Value| snapshot["sequence-number"] == 2;
        let second = snapshots.iter_mut().find(is_second).unwrap();
        let summary = second["summary"].as_object_mut().unwrap();
        summary.retain(|name, _| name == "operation");
        for count in ["added-records", "deleted-records", "added-position-deletes"] {
            summary.insert(count.to_owned(), Value::from(u64::MAX.to_string()));
        }
    })
    .await;
    assert_eq!(table.snapshots()[1].rows_deleted, u64::MAX);
    let Standing::Kept { foreign } = table.standing(first).await.unwrap() else {
        panic!("the snapshot is on main");
    };
    assert_eq!(foreign[0].rows_deleted, Some(u64::MAX));
    assert_eq!(table.current_rows().await.unwrap(), 2);
}

#[tokio::test]
async fn a_version_that_no_version_follows_is_none() {
    let directory = tempfile::tempdir().unwrap();
    let (warehouse, mut table) = fresh(directory.path(), TableKind::Mirror).await;
    let metadata = directory.path().join("wh/dbo/orders/metadata");
    let last = metadata.join(format!("v{}.metadata.json", u64::MAX));
    std::fs::copy(metadata.join("v1.metadata.json"), last).unwrap();
    for hint in [u64::MAX.to_string(), format!("v{}.metadata.json", u64::MAX)] {
        std::fs::write(metadata.join("version-hint.text"), hint).unwrap();
        let found = warehouse.table(&name()).await.unwrap().unwrap();
        assert_eq!(found.metadata_version(), table.metadata_version());
        commit(&mut table, WriteMode::Upsert, &[row(1, "a", 1)], &[], false).await;
    }
}

/// A container file with a schema of records within records and no block.
fn deep(records: usize) -> Vec<u8> {
    let mut fields =
        vec![r#"{"name":"x0","type":{"type":"record","name":"R0","fields":[]}}"#.to_owned()];
    fields.extend((1..records).map(|at| {
        let inner = format!(r#"{{"name":"a","type":"R{}"}}"#, at - 1);
        format!(
            r#"{{"name":"x{at}","type":{{"type":"record","name":"R{at}","fields":[{inner}]}}}}"#
        )
    }));
    let schema = format!(
        r#"{{"type":"record","name":"manifest_entry","fields":[{}]}}"#,
        fields.join(",")
    );
    let mut file = b"Obj\x01".to_vec();
    put_long(&mut file, 1);
    put_bytes(&mut file, b"avro.schema");
    put_bytes(&mut file, schema.as_bytes());
    put_long(&mut file, 0);
    file.extend_from_slice(&[7; 16]);
    file
}

#[tokio::test]
async fn manifests_and_lists_of_endless_depth_are_refused_by_name() {
    for ending in ["-m0.avro", "snap-"] {
        let directory = tempfile::tempdir().unwrap();
        let (_, mut table) = fresh(directory.path(), TableKind::Mirror).await;
        commit(&mut table, WriteMode::Upsert, &[row(1, "a", 1)], &[], false).await;
        let files = files_in(&table, "metadata");
        let is_it = |path: &&std::path::PathBuf| path.to_string_lossy().contains(ending);
        let Some(victim) = files.iter().find(is_it) else {
            panic!("no {ending} in {files:?}");
        };
        std::fs::write(victim, deep(100_000)).unwrap();
        let folder = directory.path().join("wh");
        let warehouse = Warehouse::open(folder.to_str().unwrap()).await.unwrap();
        let table = warehouse.table(&name()).await.unwrap();
        let Err(error) = table.unwrap().scan(None, None).await.map(drop) else {
            panic!("{ending} was read");
        };
        let text = said(error);
        assert!(text.contains(&victim.display().to_string()), "{text}");
        assert!(text.contains("more than 64 types"), "{text}");
        let moved = directory.path().join("moved");
        std::fs::rename(directory.path().join("wh"), &moved).unwrap();
        let warehouse = Warehouse::open(moved.to_str().unwrap()).await.unwrap();
        let text = said(warehouse.relocate(&name()).await.unwrap_err());
        assert!(text.contains("more than 64 types"), "{text}");
    }
}

/// A pipe that no one writes to would keep its reader for ever.
#[tokio::test]
async fn a_pipe_is_not_read() {
    for ending in ["snap-", "version-hint.text"] {
        let directory = tempfile::tempdir().unwrap();
        let (_, mut table) = fresh(directory.path(), TableKind::Mirror).await;
        commit(&mut table, WriteMode::Upsert, &[row(1, "a", 1)], &[], false).await;
        let files = files_in(&table, "metadata");
        let is_it = |path: &&std::path::PathBuf| path.to_string_lossy().contains(ending);
        let Some(victim) = files.iter().find(is_it) else {
            panic!("no {ending} in {files:?}");
        };
        std::fs::remove_file(victim).unwrap();
        let made = std::process::Command::new("mkfifo").arg(victim).status();
        assert!(made.unwrap().success());
        let folder = directory.path().join("wh");
        let warehouse = Warehouse::open(folder.to_str().unwrap()).await.unwrap();
        let reading = async {
            let table = warehouse.table(&name()).await?;
            table.unwrap().scan(None, None).await.map(drop)
        };
        let read = tokio::time::timeout(std::time::Duration::from_secs(5), reading).await;
        // Lets a reader go that waits for a writer.
        let both = std::fs::File::options().read(true).write(true).open(victim);
        drop(both.unwrap());
        let Ok(Err(error)) = read else {
            panic!("{ending} was read");
        };
        let text = said(error);
        for part in [victim.to_str().unwrap(), "not a regular file"] {
            assert!(text.contains(part), "{text}");
        }
    }
}

#[tokio::test]
async fn positions_beyond_the_end_of_a_file_are_no_rows() {
    let directory = tempfile::tempdir().unwrap();
    let (_, mut table) = fresh(directory.path(), TableKind::Mirror).await;
    let rows: Vec<Row> = (0..20).map(|id| row(id, "a", 1)).collect();
    commit(&mut table, WriteMode::Upsert, &rows, &[], false).await;
    let files = table.files(table.current_snapshot_id()).await.unwrap();
    let path = files.data[0].file.file_path().to_owned();
    // 19 of 20 positions are deleted, and 18 of them are of no row.
    let mut prepared = prepare(&table, WriteMode::Upsert, &[], &[0], false).await;
    let replaced = prepared.written.replaced.get_mut(&path).unwrap();
    replaced.insert_range(1_000..1_018);
    let prepared = prepared.materialised(&table).await.unwrap();
    let run = intent(&table, RunId::generate());
    table.commit(prepared, run).await.unwrap();
    commit(&mut table, WriteMode::Upsert, &[row(1, "b", 2)], &[], false).await;
    let mut expected = vec![row(1, "b", 2)];
    expected.extend_from_slice(&rows[2..]);
    assert_eq!(read(&table, None).await, expected);
}
