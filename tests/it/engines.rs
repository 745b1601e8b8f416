//! Other engines that write to a lake table between two runs: what they do to its metadata is done here by hand
//! (tests/interop/spark/ has Spark itself do it).

use crate::harness::{World, finish};
use icesync::lake::FAIL_AFTER_DATA_FILES;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

const ITEMS: &str = "CREATE TABLE dbo.items (
    id int NOT NULL PRIMARY KEY, name nvarchar(40) NULL, rv rowversion NOT NULL)
GO
INSERT dbo.items (id, name) VALUES (1, N'one'), (2, N'two'), (3, N'three')";

const ROWS: &str = "SELECT id, name FROM dbo.items ORDER BY id, name";

/// The newest metadata of a table, and its number.
fn newest(table: &Path) -> (u64, PathBuf, Value) {
    let folder = table.join("metadata");
    let names = std::fs::read_dir(&folder).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let number = names.filter_map(|name| {
        let number = name.strip_prefix('v')?.strip_suffix(".metadata.json")?;
        number.parse::<u64>().ok()
    });
    let number = number.max().unwrap();
    let path = folder.join(format!("v{number}.metadata.json"));
    let metadata = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    (number, path, metadata)
}

/// Commits changed metadata as another engine does: next version, metadata log, hint.
fn commit(table: &Path, change: impl FnOnce(&mut Value)) {
    let (number, path, mut metadata) = newest(table);
    let file = format!("file://{}", path.display());
    let entry = json!({ "metadata-file": file, "timestamp-ms": metadata["last-updated-ms"] });
    match metadata["metadata-log"].as_array_mut() {
        Some(log) => log.push(entry),
        None => metadata["metadata-log"] = json!([entry]),
    }
    change(&mut metadata);
    let folder = table.join("metadata");
    let next = number + 1;
    std::fs::write(
        folder.join(format!("v{next}.metadata.json")),
        metadata.to_string(),
    )
    .unwrap();
    std::fs::write(folder.join("version-hint.text"), next.to_string()).unwrap();
}

/// Changes the checkpoint in a table property or in a snapshot's summary.
fn change_checkpoint(of: &mut Value, change: impl FnOnce(&mut Value)) {
    let text = &mut of["icesync.checkpoint"];
    let mut checkpoint = serde_json::from_str(text.as_str().unwrap()).unwrap();
    change(&mut checkpoint);
    *text = json!(checkpoint.to_string());
}

/// Raises the watermark in a checkpoint, so that the server has not reached it: as after a restore of the source.
pub fn raise_watermark(table: &Path, by: u64) {
    commit(table, |metadata| {
        change_checkpoint(&mut metadata["properties"], |checkpoint| {
            let text = &mut checkpoint["watermark"]["text"];
            let mark = text.as_str().unwrap().trim_start_matches("0x");
            let mark = u64::from_str_radix(mark, 16).unwrap() + by;
            *text = json!(format!("0x{mark:016X}"));
        });
    });
}

fn current(metadata: &Value) -> i64 {
    metadata["current-snapshot-id"].as_i64().unwrap()
}

fn set_main(metadata: &mut Value, id: i64) {
    metadata["current-snapshot-id"] = json!(id);
    metadata["refs"]["main"] = json!({ "snapshot-id": id, "type": "branch" });
}

/// A snapshot of another engine after the current one. It has the same files: what matters is its summary.
fn foreign(metadata: &mut Value) {
    let id = current(metadata);
    let snapshots = metadata["snapshots"].as_array_mut().unwrap();
    let mut next = snapshots
        .iter()
        .find(|one| one["snapshot-id"] == json!(id))
        .unwrap()
        .clone();
    let number = snapshots
        .iter()
        .map(|one| one["sequence-number"].as_i64().unwrap())
        .max()
        .unwrap()
        + 1;
    next["snapshot-id"] = json!(4711);
    next["parent-snapshot-id"] = json!(id);
    next["sequence-number"] = json!(number);
    next["summary"] = json!({ "operation": "append", "added-records": "2" });
    snapshots.push(next);
    metadata["last-sequence-number"] = json!(number);
    set_main(metadata, 4711);
}

fn extract_of(report: &Value) -> &Value {
    &report["tables"][0]["extract"]
}

fn warnings(report: &Value) -> String {
    report["warnings"].to_string()
}

/// A mirror that the source has filled twice, and its snapshots.
async fn filled_twice(tables: &str) -> (World, i64, i64) {
    let mut world = World::new(ITEMS).await;
    world.config(tables);
    world.run(&["--json", "extract"]).json();
    let first = current(&newest(&world.lake("dbo", "items")).2);
    world
        .source("UPDATE dbo.items SET name = N'zwei' WHERE id = 2; INSERT dbo.items (id, name) VALUES (4, N'four')")
        .await;
    world.run(&["--json", "extract"]).json();
    let second = current(&newest(&world.lake("dbo", "items")).2);
    (world, first, second)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_whose_main_was_rolled_back_is_read_whole_again() {
    let (mut world, first, second) = filled_twice("  - source: dbo.items\n").await;
    let table = world.lake("dbo", "items");
    commit(&table, |metadata| set_main(metadata, first));

    let plan = world.run(&["--json", "plan"]).json();
    let plan = &plan["tables"][0];
    assert_eq!(plan["full_read"], json!(true));
    let told = format!("rolled back or replaced by another writer: snapshot {second}");
    assert!(warnings(plan).contains(&told), "{plan}");
    let (number, ..) = newest(&table);

    world.config("  - source: dbo.items\n    on_foreign_commit: refuse\n");
    let remedy = format!("Set main to snapshot {second} again");
    world.run(&["extract"]).fails_with(1, &[&told, &remedy]);
    world.config("  - source: dbo.items\n");

    let again = world.run(&["--json", "extract"]).json();
    assert!(warnings(extract_of(&again)).contains(&told), "{again}");
    assert_eq!(extract_of(&again)["full_read"], json!(true));
    assert!(newest(&table).0 > number, "plan must not have committed");

    world.run(&["--json", "load", "--full"]).json();
    assert_eq!(world.source_rows(ROWS).await, world.target_rows(ROWS).await);
    let idle = world.run(&["--json", "extract"]).json();
    assert_eq!(warnings(extract_of(&idle)), "[]");
    assert_eq!(extract_of(&idle)["full_read"], json!(false));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_is_still_noticed_after_a_run_that_died() {
    let (mut world, first, _) = filled_twice("  - source: dbo.items\n").await;
    commit(&world.lake("dbo", "items"), |metadata| {
        set_main(metadata, first)
    });
    let mut killed = world.command(&["extract"]);
    killed.env("ICESYNC_FAILPOINT", "lake.after_manifests");
    assert_ne!(killed.output().unwrap().status.code(), Some(0));
    let again = world.run(&["--json", "extract"]).json();
    assert_eq!(extract_of(&again)["full_read"], json!(true), "{again}");
    world.run(&["--json", "load", "--full"]).json();
    assert_eq!(world.source_rows(ROWS).await, world.target_rows(ROWS).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_read_that_died_is_not_forgotten_when_the_server_passes_the_watermark() {
    let mut world = World::new(ITEMS).await;
    world.config("  - source: dbo.items\n    change: { strategy: rowversion }\n");
    world.run(&["--json", "extract"]).json();
    raise_watermark(&world.lake("dbo", "items"), 50);
    world
        .source("UPDATE dbo.items SET name = N'eins' WHERE id = 1")
        .await;
    let mut killed = world.command(&["extract"]);
    killed.env("ICESYNC_FAILPOINT", FAIL_AFTER_DATA_FILES);
    let killed = finish(killed.spawn().unwrap());
    assert_ne!(killed.code, 0, "{killed:#?}");

    let shown = world.run(&["--json", "state", "show"]).json();
    let exported = world.run(&["state", "export"]).json();
    for checkpoint in [
        &shown["tables"][0]["lake"]["checkpoint"],
        &exported["tables"][0]["checkpoint"],
    ] {
        assert_eq!(checkpoint["strategy"], json!("rowversion"));
        assert_eq!(checkpoint["watermark"], Value::Null);
    }
    let verified = world.run(&["--json", "state", "verify"]).json_any();
    let told = "the checkpoint has no watermark: the next extract reads the whole table";
    assert!(verified.to_string().contains(told), "{verified:#}");
    let status = world.run(&["status"]);
    let told = "followed by rowversion, from the beginning: the next extract reads the whole table";
    assert!(status.stdout.contains(told), "{status:#?}");

    let changes = "UPDATE dbo.items SET name = N'zwei' WHERE id = 2; ".repeat(60);
    world.source(&changes).await;
    let again = world.run(&["--json", "extract"]).json();
    assert_eq!(extract_of(&again)["full_read"], json!(true), "{again}");
    assert_eq!(extract_of(&again)["updated"], json!(2), "{again}");
    world.run(&["--json", "load"]).json();
    assert_eq!(world.source_rows(ROWS).await, world.target_rows(ROWS).await);
    let idle = world.run(&["--json", "extract"]).json();
    assert_eq!(extract_of(&idle)["full_read"], json!(false));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_goes_on_from_the_checkpoint_that_main_was_rolled_back_to() {
    let config = "  - source: dbo.items\n    kind: history\n    change: { strategy: rowversion }\n";
    let (mut world, first, _) = filled_twice(config).await;
    commit(&world.lake("dbo", "items"), |metadata| {
        set_main(metadata, first)
    });
    let again = world.run(&["--json", "extract"]).json();
    let told = format!("the checkpoint of snapshot {first}");
    assert!(warnings(extract_of(&again)).contains(&told), "{again}");
    world.run(&["--json", "load"]).json();
    let expected = [[1, 1], [2, 2], [3, 1], [4, 1]].map(|row| row.map(|n| format!("Int({n})")));
    let versions = "SELECT id, COUNT(*) FROM dbo.items GROUP BY id ORDER BY id";
    assert_eq!(world.target_rows(versions).await, expected);
}

/// Rows that did not change since then would lack the column, which no window shows.
#[tokio::test(flavor = "multi_thread")]
async fn a_history_that_was_rolled_back_to_before_a_column_was_included_is_read_whole() {
    let config = "  - source: dbo.items\n    kind: history\n    change: { strategy: rowversion }\n";
    let without = format!("{config}    columns: {{ exclude: [name] }}\n");
    let (mut world, _, second) = filled_twice(&without).await;
    world.config(config);
    let included = world.run(&["--json", "extract"]).json();
    assert_eq!(extract_of(&included)["inserted"], json!(4), "{included}");
    commit(&world.lake("dbo", "items"), |metadata| {
        set_main(metadata, second)
    });
    let again = world.run(&["--json", "extract"]).json();
    let told = "Reading the whole table again";
    assert!(warnings(extract_of(&again)).contains(told), "{again}");
    assert_eq!(extract_of(&again)["inserted"], json!(4), "{again}");
    world.run(&["--json", "load"]).json();
    let named = "SELECT id, name FROM dbo.items WHERE name IS NOT NULL ORDER BY id";
    assert_eq!(
        world.source_rows(ROWS).await,
        world.target_rows(named).await
    );
}

/// A version that only a whole read has found is above no watermark.
#[tokio::test(flavor = "multi_thread")]
async fn a_history_that_was_rolled_back_to_before_a_whole_read_is_read_whole() {
    let mut world = World::new(
        "CREATE TABLE dbo.items (id int NOT NULL PRIMARY KEY, name nvarchar(40) NULL, changed datetime2(3) NOT NULL)
GO
INSERT dbo.items VALUES (1, N'one', '2020-01-01'), (2, N'two', '2020-01-01')",
    )
    .await;
    world.config(
        "  - source: dbo.items\n    kind: history\n    change: { strategy: timestamp, column: changed, clock: utc }\n",
    );
    world.run(&["--json", "extract"]).json();
    let table = world.lake("dbo", "items");
    let first = current(&newest(&table).2);
    world
        .source("UPDATE dbo.items SET name = N'eins' WHERE id = 1")
        .await;
    let reset = ["state", "reset", "--table", "dbo.items", "--yes"];
    assert_eq!(world.run(&reset).code, 0);
    let whole = world.run(&["--json", "extract"]).json();
    assert_eq!(extract_of(&whole)["inserted"], json!(1), "{whole}");
    commit(&table, |metadata| set_main(metadata, first));
    let again = world.run(&["--json", "extract"]).json();
    let told = "Reading the whole table again";
    assert!(warnings(extract_of(&again)).contains(told), "{again}");
    assert_eq!(extract_of(&again)["inserted"], json!(1), "{again}");
    world.run(&["--json", "load"]).json();
    let versions =
        "SELECT COUNT(*), SUM(CASE WHEN name = N'eins' THEN 1 ELSE 0 END) FROM dbo.items";
    assert_eq!(world.target_rows(versions).await, [["Int(3)", "Int(1)"]]);
}

/// Older builds did not note whole reads.
#[tokio::test(flavor = "multi_thread")]
async fn a_history_of_an_older_build_is_read_whole_after_a_rollback_and_not_before() {
    let config = "  - source: dbo.items\n    kind: history\n    change: { strategy: rowversion }\n";
    let (mut world, first, _) = filled_twice(config).await;
    let table = world.lake("dbo", "items");
    commit(&table, |metadata| {
        let as_older = |checkpoint: &mut Value| {
            let noted = checkpoint.as_object_mut().unwrap().remove("whole_read");
            assert!(noted.is_some());
        };
        change_checkpoint(&mut metadata["properties"], as_older);
        for snapshot in metadata["snapshots"].as_array_mut().unwrap() {
            change_checkpoint(&mut snapshot["summary"], as_older);
        }
    });
    world
        .source("UPDATE dbo.items SET name = N'drei' WHERE id = 3")
        .await;
    let upgraded = world.run(&["--json", "extract"]).json();
    assert_eq!(
        extract_of(&upgraded)["full_read"],
        json!(false),
        "{upgraded}"
    );
    commit(&table, |metadata| set_main(metadata, first));
    let again = world.run(&["--json", "extract"]).json();
    assert_eq!(extract_of(&again)["full_read"], json!(true), "{again}");
    assert_eq!(extract_of(&again)["inserted"], json!(3), "{again}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_with_no_checkpoint_left_on_main_is_read_whole_and_compared() {
    let config = "  - source: dbo.items\n    kind: history\n    change: { strategy: rowversion }\n";
    let (world, ..) = filled_twice(config).await;
    let table = world.lake("dbo", "items");
    commit(&table, |metadata| {
        foreign(metadata);
        let snapshots = metadata["snapshots"].as_array_mut().unwrap();
        let replaced = snapshots.last_mut().unwrap().as_object_mut().unwrap();
        replaced.remove("parent-snapshot-id");
    });
    let report = world.run(&["--json", "extract"]).json();
    let extract = &report["tables"][0]["extract"];
    let warnings = extract["warnings"].to_string();
    assert!(
        warnings.contains("Reading the whole table again"),
        "{report:#}"
    );
    // The replaced branch has the same files: no version is there twice.
    assert_eq!(extract["full_read"], json!(true), "{report:#}");
    assert_eq!(extract["inserted"], json!(0), "{report:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn commits_of_other_writers_are_told_until_the_next_commit_or_refused() {
    let (mut world, _, second) = filled_twice("  - source: dbo.items\n").await;
    let table = world.lake("dbo", "items");
    commit(&table, foreign);
    let told = "snapshot 4711 (sequence number 3, append, 2 rows added)";
    for command in ["plan", "extract"] {
        let report = world.run(&["--json", command]).json();
        assert!(report.to_string().contains(told), "{report}");
    }

    world.config("  - source: dbo.items\n    on_foreign_commit: refuse\n");
    let back = format!("roll main back to snapshot {second}");
    for command in ["plan", "extract"] {
        let texts = [told, "`on_foreign_commit: refuse`", &back];
        world.run(&[command]).fails_with(1, &texts);
    }
    // What the message says to do.
    commit(&table, |metadata| set_main(metadata, second));
    world.run(&["--json", "extract"]).json();

    // A snapshot that is not listed any more is none to roll back to.
    commit(&table, |metadata| {
        set_main(metadata, 4711);
        let snapshots = metadata["snapshots"].as_array_mut().unwrap();
        snapshots.retain(|one| one["snapshot-id"] == json!(4711));
        metadata["snapshot-log"] = json!([]);
    });
    let refused = world.run(&["extract"]);
    refused.fails_with(1, &[told, "To go on, set `on_foreign_commit: warn`"]);
    assert!(!refused.stderr.contains("roll main back"), "{refused:#?}");

    world.config("  - source: dbo.items\n");
    world
        .source("UPDATE dbo.items SET name = N'vier' WHERE id = 4")
        .await;
    let report = world.run(&["--json", "extract"]).json();
    assert!(report.to_string().contains(told), "{report}");
    let report = world.run(&["--json", "extract"]).json();
    assert_eq!(warnings(extract_of(&report)), "[]");
}

/// Deleting the rows of another writer is one more commit of another writer.
#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_was_empty_before_another_writer_came_is_gone_on_from_as_the_message_says() {
    let world = World::new(
        "CREATE TABLE dbo.items (id int NOT NULL PRIMARY KEY, name nvarchar(40) NULL, rv rowversion NOT NULL)",
    )
    .await;
    let rowversion = "  - source: dbo.items\n    change: { strategy: rowversion }\n";
    world.config(&format!("{rowversion}    on_foreign_commit: refuse\n"));
    world.run(&["--json", "extract"]).json();
    commit(&world.lake("dbo", "items"), |metadata| {
        metadata["snapshots"] = json!([{
            "snapshot-id": 4711, "sequence-number": 1, "timestamp-ms": metadata["last-updated-ms"],
            "manifest-list": "file:///elsewhere/snap.avro",
            "summary": { "operation": "append", "added-records": "2" }, "schema-id": 0
        }]);
        metadata["last-sequence-number"] = json!(1);
        set_main(metadata, 4711);
    });
    let refused = world.run(&["extract"]);
    refused.fails_with(
        1,
        &["snapshot 4711", "To go on, set `on_foreign_commit: warn`"],
    );
    assert!(!refused.stderr.contains("delete"), "{refused:#?}");
    world.config(rowversion);
    let gone_on = world.run(&["--json", "extract"]).json();
    assert!(
        warnings(extract_of(&gone_on)).contains("snapshot 4711"),
        "{gone_on}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compaction_with_expiry_is_no_rollback() {
    let (mut world, _, second) = filled_twice("  - source: dbo.items\n").await;
    let table = world.lake("dbo", "items");
    commit(&table, |metadata| {
        foreign(metadata);
        let snapshots = metadata["snapshots"].as_array_mut().unwrap();
        snapshots.last_mut().unwrap()["summary"] = json!({ "operation": "replace" });
    });
    commit(&table, |metadata| {
        let snapshots = metadata["snapshots"].as_array_mut().unwrap();
        snapshots.retain(|one| one["snapshot-id"] == json!(4711));
        metadata["snapshot-log"] = json!([]);
    });
    world
        .source("UPDATE dbo.items SET name = N'vier' WHERE id = 4")
        .await;
    let report = world.run(&["--json", "extract"]).json();
    let extract = extract_of(&report);
    assert_eq!(
        (&extract["full_read"], warnings(extract)),
        (&json!(false), "[]".to_owned())
    );
    assert_eq!(extract["updated"], json!(1));

    // Without the older metadata files nothing tells: everything is read again.
    let last = current(&newest(&table).2);
    commit(&table, |metadata| {
        foreign(metadata);
        let snapshots = metadata["snapshots"].as_array_mut().unwrap();
        let mut only = snapshots.pop().unwrap();
        only["summary"] = json!({ "operation": "replace" });
        only["parent-snapshot-id"] = json!(4712);
        only["snapshot-id"] = json!(4713);
        metadata["snapshots"] = json!([only]);
        metadata["metadata-log"] = json!([]);
        metadata["snapshot-log"] = json!([]);
        set_main(metadata, 4713);
    });
    let told = format!("removed snapshot {last} and its successors");
    world.config("  - source: dbo.items\n    on_foreign_commit: refuse\n");
    let refused = world.run(&["extract"]);
    refused.fails_with(1, &[&told, "Set `on_foreign_commit: warn`"]);
    assert!(!refused.stderr.contains("Set main"), "{refused:#?}");
    world.config("  - source: dbo.items\n");
    let report = world.run(&["--json", "extract"]).json();
    assert!(warnings(extract_of(&report)).contains(&told), "{report}");
    assert_eq!(extract_of(&report)["full_read"], json!(true));
    assert_ne!(last, second);
}
