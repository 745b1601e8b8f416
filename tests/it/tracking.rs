//! Strategy `change_tracking`: changes that the server tracks, deletes included, whatever happens to the log of them.

use crate::environments::{reader, run_as, until_blocked};
use crate::harness::{Run, World, finish, server, skipped, sql};
use crate::isolation::Isolation;
use crate::outside::{lake_rows, lake_table};
use icesync::lake;
use icesync::sync::{FAIL_AFTER_RANGE, FAIL_BEFORE_RANGES, FAIL_BETWEEN_COMMITS, FAIL_BOUNDED};
use serde_json::{Value, json};
use std::time::Duration;

const ON: &str = "ALTER DATABASE CURRENT SET CHANGE_TRACKING = ON (CHANGE_RETENTION = 2 DAYS, AUTO_CLEANUP = ON)";
const CONFIG: &str = "  - source: dbo.t\n    change: { strategy: change_tracking }\n";
const ROWS: &str = "SELECT id, n FROM dbo.t ORDER BY id";

/// A tracked table `dbo.t` of these columns, and a tracked table beside it whose changes make versions.
fn tracked(columns: &str) -> String {
    format!(
        "{ON}
GO
CREATE TABLE dbo.t ({columns})
GO
ALTER TABLE dbo.t ENABLE CHANGE_TRACKING
GO
CREATE TABLE dbo.other (id int IDENTITY PRIMARY KEY, n int NULL)
GO
ALTER TABLE dbo.other ENABLE CHANGE_TRACKING"
    )
}

const PLAIN: &str = "id int NOT NULL PRIMARY KEY, n int NOT NULL";

/// Rows 1 to 3, loaded.
async fn world() -> World {
    let mut world = World::new(&tracked(PLAIN)).await;
    world
        .source("INSERT dbo.t (id, n) VALUES (1, 1), (2, 2), (3, 3)")
        .await;
    world.config(CONFIG);
    let first = synced(&world);
    assert_eq!(
        (&first["full_read"], &first["inserted"]),
        (&json!(true), &json!(3)),
        "{first:#}"
    );
    world
}

/// What a successful `sync` has extracted of the first table.
fn synced(world: &World) -> Value {
    let report = world.run(&["--json", "sync"]).json();
    report["tables"][0]["extract"].clone()
}

fn counts(extract: &Value) -> [u64; 3] {
    ["inserted", "updated", "deleted"].map(|name| extract[name].as_u64().expect("a count"))
}

async fn assert_same(world: &mut World, query: &str) {
    let source = world.source_rows(query).await;
    assert_eq!(source, world.target_rows(query).await, "{query}");
}

#[track_caller]
fn is_whole(extract: &Value, because: &str) {
    assert_eq!(extract["full_read"], json!(true), "{extract:#}");
    let warnings = extract["warnings"].to_string();
    assert!(warnings.contains(because), "{because}: {extract:#}");
}

#[track_caller]
fn is_window(extract: &Value) {
    assert_eq!(extract["full_read"], json!(false), "{extract:#}");
}

/// Holds a run at a failpoint while `meanwhile` happens at the source, and answers how it ended.
async fn held(world: &mut World, args: &[&str], failpoint: &str, meanwhile: &[&str]) -> Run {
    let file = world.path("held");
    let mut command = world.command(args);
    let failpoint = format!("{failpoint}={}", file.display());
    let run = command
        .env("ICESYNC_FAILPOINT", failpoint)
        .spawn()
        .expect("starts");
    until_there(&file).await;
    for statement in meanwhile {
        world.source(statement).await;
    }
    std::fs::remove_file(file).expect("removed");
    finish(run)
}

async fn until_there(file: &std::path::Path) {
    while !file.exists() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn dies(world: &World, args: &[&str], failpoint: &str) {
    let mut command = world.command(args);
    let died = command.env("ICESYNC_FAILPOINT", failpoint).spawn();
    let died = finish(died.expect("starts"));
    assert!(died.code != 0, "{failpoint} was not reached: {died:#?}");
}

/// The checkpoint of the first table.
fn checkpoint(world: &World) -> Value {
    let exported = world.run(&["state", "export"]).json();
    exported["tables"][0]["checkpoint"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn inserts_updates_and_deletes_come_with_one_window_and_reach_the_target() {
    let mut world = world().await;
    for statement in [
        "INSERT dbo.t (id, n) VALUES (4, 4), (5, 5)",
        "UPDATE dbo.t SET n = 20 WHERE id = 2",
        "DELETE dbo.t WHERE id IN (1, 5)",
        "INSERT dbo.t (id, n) VALUES (6, 6)",
        "DELETE dbo.t WHERE id = 6",
        "DELETE dbo.t WHERE id = 3",
        "INSERT dbo.t (id, n) VALUES (3, 30)",
    ] {
        world.source(statement).await;
    }
    let report = world.run(&["--json", "sync"]).json();
    let extract = &report["tables"][0]["extract"];
    is_window(extract);
    assert_eq!(counts(extract), [1, 2, 1], "{report:#}");
    assert_eq!(
        report["tables"][0]["load"]["deleted"],
        json!(1),
        "{report:#}"
    );
    assert_same(&mut world, ROWS).await;
    let quiet = synced(&world);
    let (rows, snapshot) = (&quiet["rows_read"], &quiet["snapshot_id"]);
    assert_eq!((rows, snapshot), (&json!(0), &Value::Null), "{quiet:#}");
    // A window of deletes alone.
    world.source("DELETE dbo.t").await;
    let emptied = synced(&world);
    assert_eq!(counts(&emptied), [0, 0, 3], "{emptied:#}");
    assert_same(&mut world, ROWS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_does_with_deletes_what_it_is_told() {
    for (deletes, question, answer) in [
        ("ignore", "SELECT COUNT(*) FROM dbo.t", "Int(3)"),
        (
            "{ soft: { column: gone } }",
            "SELECT id FROM dbo.t WHERE gone = 1",
            "Int(1)",
        ),
    ] {
        let mut world = World::new(&tracked(PLAIN)).await;
        world
            .source("INSERT dbo.t VALUES (1, 1), (2, 2), (3, 3)")
            .await;
        world.config(&format!("{CONFIG}    merge: {{ deletes: {deletes} }}\n"));
        synced(&world);
        world.source("DELETE dbo.t WHERE id = 1").await;
        assert_eq!(counts(&synced(&world)), [0, 0, 1]);
        assert_eq!(world.target_rows(question).await, [[answer]], "{deletes}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn auto_follows_tracked_changes_and_says_what_it_takes_where_there_are_none() {
    let mut world = World::with_isolation(
        Isolation::with_row_versions(),
        "CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY, n int NOT NULL, rv rowversion NOT NULL)
GO
INSERT dbo.t (id, n) VALUES (1, 1), (2, 2), (3, 3)",
    )
    .await;
    world.config("  - source: dbo.t\n");
    let plan = world.run(&["plan"]).stdout;
    for part in [
        "strategy rowversion",
        "SET CHANGE_TRACKING = ON",
        "ALTER TABLE [dbo].[t] ENABLE CHANGE_TRACKING",
    ] {
        assert!(plan.contains(part), "{part}: {plan}");
    }
    synced(&world);
    world.source("DELETE dbo.t WHERE id = 2").await;
    assert_eq!(synced(&world)["strategy"], json!("rowversion"));
    let left = world.target_rows("SELECT COUNT(*) FROM dbo.t").await;
    assert_eq!(left, [["Int(3)"]]);
    for statement in [ON, "ALTER TABLE dbo.t ENABLE CHANGE_TRACKING"] {
        world.source(statement).await;
    }
    let plan = world.run(&["plan"]).stdout;
    for part in [
        "strategy change_tracking",
        "last run used strategy rowversion",
        "removes rows that were deleted",
    ] {
        assert!(plan.contains(part), "{part}: {plan}");
    }
    let moved = synced(&world);
    assert_eq!(moved["strategy"], json!("change_tracking"), "{moved:#}");
    assert_eq!(
        (&moved["full_read"], counts(&moved)),
        (&json!(true), [0, 0, 1])
    );
    assert_same(&mut world, ROWS).await;
    world.source("DELETE dbo.t WHERE id = 3").await;
    let window = synced(&world);
    is_window(&window);
    assert_eq!(counts(&window), [0, 0, 1]);
    assert_same(&mut world, ROWS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_cannot_be_followed_is_refused_with_the_statement_to_run() {
    let mut world = World::with_isolation(
        Isolation::with_row_versions(),
        "CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY, n int NOT NULL)
GO
CREATE TABLE dbo.heap (id int NOT NULL)
GO
CREATE VIEW dbo.v AS SELECT id, n FROM dbo.t
GO
INSERT dbo.t (id, n) VALUES (1, 1)",
    )
    .await;
    let (user, connection) = reader(&mut world).await;
    let refused = |world: &World, parts: &[&str]| {
        run_as(world, &connection, &["sync"]).fails_with(1, parts);
    };
    world.config(CONFIG);
    let database = format!(
        "ALTER DATABASE [{}] SET CHANGE_TRACKING = ON",
        world.source_db
    );
    let table = "ALTER TABLE [dbo].[t] ENABLE CHANGE_TRACKING";
    refused(&world, &["dbo.t", &database, table]);
    world.source(ON).await;
    refused(&world, &["its changes are not tracked", table]);
    world
        .source("ALTER TABLE dbo.t ENABLE CHANGE_TRACKING")
        .await;
    refused(&world, &["GRANT VIEW CHANGE TRACKING ON [dbo].[t]"]);
    assert!(!world.lake("dbo", "t").exists());
    world
        .source(&format!("GRANT VIEW CHANGE TRACKING ON dbo.t TO [{user}]"))
        .await;
    assert_eq!(run_as(&world, &connection, &["sync"]).code, 0);
    world.source("DELETE dbo.t").await;
    assert_eq!(run_as(&world, &connection, &["sync"]).code, 0);
    assert_same(&mut world, ROWS).await;
    for (source, more, part) in [
        ("dbo.v", "key: [id]", "changes of a view are not tracked"),
        ("dbo.heap", "key: [id]", "no primary key"),
        ("dbo.t", "key: [n]", "`key` names other columns"),
    ] {
        world.config(&format!(
            "  - source: {source}\n    lake: some.{}\n    {more}\n    change: {{ strategy: change_tracking }}\n",
            source.trim_start_matches("dbo.")
        ));
        world.run(&["sync"]).fails_with(1, &[source, part]);
    }
    world.config("  - source: dbo.t\n    change: { strategy: change_tracking, column: n }\n");
    world
        .run(&["plan"])
        .fails_with(2, &["change.column", "change_tracking"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_open_transaction_has_changed_comes_when_it_has_committed() {
    let setup = tracked(PLAIN);
    let mut world = World::with_isolation(Isolation::with_row_versions(), &setup).await;
    world
        .source("INSERT dbo.t VALUES (1, 1), (2, 2), (3, 3)")
        .await;
    world.config(CONFIG);
    synced(&world);
    let mut writer = server().connect(&world.source_db).await;
    let open = "BEGIN TRAN; UPDATE dbo.t SET n = 20 WHERE id = 2; DELETE dbo.t WHERE id = 3; INSERT dbo.t VALUES (4, \
        4)";
    sql(&mut writer, open).await;
    // A later change is committed first.
    world.source("UPDATE dbo.t SET n = 10 WHERE id = 1").await;
    let during = synced(&world);
    assert_eq!(counts(&during), [0, 1, 0], "{during:#}");
    sql(&mut writer, "COMMIT").await;
    let after = synced(&world);
    is_window(&after);
    assert_eq!(counts(&after), [1, 1, 1], "{after:#}");
    assert_same(&mut world, ROWS).await;
    // One that is open while the whole table is read.
    sql(
        &mut writer,
        "BEGIN TRAN; DELETE dbo.t WHERE id = 1; UPDATE dbo.t SET n = 40 WHERE id = 4",
    )
    .await;
    assert_eq!(world.run(&["state", "reset", "--all", "--yes"]).code, 0);
    assert_eq!(synced(&world)["full_read"], json!(true));
    sql(&mut writer, "COMMIT").await;
    let after = synced(&world);
    assert_eq!(counts(&after), [0, 1, 1], "{after:#}");
    assert_same(&mut world, ROWS).await;
}

/// A bound that is taken when the rows have been read passes over what is changed in between.
#[tokio::test(flavor = "multi_thread")]
async fn the_bound_is_older_than_the_rows() {
    let mut world = world().await;
    let change = |n: i32| {
        [
            format!("UPDATE dbo.t SET n = {n} WHERE id = 1"),
            format!("INSERT dbo.t VALUES ({n}, {n})"),
            format!("DELETE dbo.t WHERE id = {}", n - 1),
        ]
    };
    for (n, place) in [
        (100, FAIL_BOUNDED),
        (101, lake::FAIL_AFTER_DATA_FILES),
        (102, lake::FAIL_AFTER_MANIFESTS),
        (103, FAIL_BOUNDED),
        (104, lake::FAIL_AFTER_DATA_FILES),
    ] {
        if n >= 103 {
            // Of a whole read.
            assert_eq!(world.run(&["state", "reset", "--all", "--yes"]).code, 0);
        }
        world
            .source(&format!("UPDATE dbo.t SET n = -{n} WHERE id = 2"))
            .await;
        let meanwhile = change(n);
        let meanwhile: Vec<&str> = meanwhile.iter().map(String::as_str).collect();
        held(
            &mut world,
            &["--json", "sync"],
            &format!("{place}:1"),
            &meanwhile,
        )
        .await
        .json();
        let next = synced(&world);
        is_window(&next);
        // At first there is no row to delete.
        let changed = if n == 100 { 2 } else { 3 };
        assert_eq!(next["rows_read"], json!(changed), "{place}: {next:#}");
        assert_same(&mut world, ROWS).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_dies_anywhere_loses_and_repeats_nothing() {
    let mut world = world().await;
    let places = [
        FAIL_BOUNDED,
        lake::FAIL_AFTER_DATA_FILES,
        lake::FAIL_AFTER_MANIFESTS,
    ];
    for (n, place) in (10..).zip(places) {
        for statement in [
            format!("UPDATE dbo.t SET n = {n} WHERE id = 2"),
            format!("INSERT dbo.t VALUES ({n}, {n})"),
            format!("DELETE dbo.t WHERE id = {}", n - 1),
        ] {
            world.source(&statement).await;
        }
        let before = checkpoint(&world);
        dies(&world, &["sync"], place);
        assert_eq!(checkpoint(&world), before, "{place}");
        let next = synced(&world);
        is_window(&next);
        let [inserted, updated, deleted] = counts(&next);
        assert_eq!((inserted, updated), (1, 1), "{place}: {next:#}");
        assert_eq!(deleted, u64::from(n > 10), "{place}: {next:#}");
        assert_same(&mut world, ROWS).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_begins_anew_is_noticed_and_healed() {
    let mut world = world().await;
    let off = "ALTER TABLE dbo.t DISABLE CHANGE_TRACKING";
    let on = "ALTER TABLE dbo.t ENABLE CHANGE_TRACKING";
    for (statements, because) in [
        (&["TRUNCATE TABLE dbo.t"][..], "TRUNCATE TABLE"),
        (&["INSERT dbo.t VALUES (1, 1), (2, 2), (3, 3)"], ""),
        // Changes that are not tracked, of which the last leaves the number of rows as it was.
        (&[off, "DELETE dbo.t WHERE id = 1", on], "change tracking"),
        (
            &[
                off,
                "UPDATE dbo.t SET n = 33 WHERE id = 3",
                on,
                "UPDATE dbo.t SET n = 22 WHERE id = 2",
            ],
            "change tracking",
        ),
        (
            &[
                "TRUNCATE TABLE dbo.t",
                "INSERT dbo.t VALUES (7, 7)",
                "INSERT dbo.other (n) VALUES (1)",
            ],
            "TRUNCATE TABLE",
        ),
    ] {
        for statement in statements {
            world.source(statement).await;
        }
        let extract = synced(&world);
        match because {
            "" => is_window(&extract),
            because => is_whole(&extract, because),
        }
        assert_same(&mut world, ROWS).await;
        let next = synced(&world);
        is_window(&next);
        assert_eq!(next["commits"], json!(0), "{next:#}");
    }
    // Turned off, it is refused, and nothing is lost.
    for statement in [off, "INSERT dbo.t VALUES (8, 8)"] {
        world.source(statement).await;
    }
    world
        .run(&["sync"])
        .fails_with(1, &["dbo.t", "ENABLE CHANGE_TRACKING"]);
    world.source(on).await;
    is_whole(&synced(&world), "change tracking");
    assert_same(&mut world, ROWS).await;
}

/// The changes that the window was to bring are gone when it is read, or half of them are.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_begins_anew_while_it_is_read_is_not_believed() {
    let mut world = world().await;
    world.source("UPDATE dbo.t SET n = 10 WHERE id = 1").await;
    let meanwhile = [
        "TRUNCATE TABLE dbo.t",
        "INSERT dbo.t VALUES (2, 22), (5, 5)",
    ];
    let run = held(
        &mut world,
        &["--json", "sync"],
        &format!("{FAIL_BOUNDED}:1"),
        &meanwhile,
    )
    .await;
    is_whole(
        &run.json()["tables"][0]["extract"],
        "the whole table is read again",
    );
    assert_same(&mut world, ROWS).await;
    // While the whole table is read: the bound is not kept.
    assert_eq!(world.run(&["state", "reset", "--all", "--yes"]).code, 0);
    let meanwhile = ["TRUNCATE TABLE dbo.t", "INSERT dbo.t VALUES (6, 6)"];
    let run = held(
        &mut world,
        &["--json", "sync"],
        &format!("{FAIL_BOUNDED}:1"),
        &meanwhile,
    )
    .await;
    assert_eq!(run.json()["tables"][0]["extract"]["full_read"], json!(true));
    world.source("DELETE dbo.t").await;
    is_window(&synced(&world));
    assert_same(&mut world, ROWS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rebuilt_indexes_are_no_reason_to_read_everything() {
    let mut world = world().await;
    world.source("UPDATE dbo.t SET n = 10 WHERE id = 1").await;
    is_window(&synced(&world));
    world.source("ALTER INDEX ALL ON dbo.t REBUILD").await;
    world.source("UPDATE dbo.t SET n = 20 WHERE id = 2").await;
    let next = synced(&world);
    is_window(&next);
    assert_eq!(next["rows_read"], json!(1), "{next:#}");
    assert_same(&mut world, ROWS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recreated_table_is_read_whole() {
    let mut world = world().await;
    for statement in [
        "DROP TABLE dbo.t",
        "CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY, n int NOT NULL)",
        "INSERT dbo.t VALUES (1, 1), (9, 9)",
        "ALTER TABLE dbo.t ENABLE CHANGE_TRACKING",
    ] {
        world.source(statement).await;
    }
    let extract = synced(&world);
    assert_eq!(extract["full_read"], json!(true), "{extract:#}");
    assert_eq!(counts(&extract), [1, 0, 2], "{extract:#}");
    assert_same(&mut world, ROWS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_that_is_renamed_or_added_does_not_end_the_log() {
    let mut world = world().await;
    world
        .source("EXEC sp_rename N'dbo.t.n', N'm', N'COLUMN'")
        .await;
    world.source("ALTER TABLE dbo.t ADD extra int NULL").await;
    world
        .source("UPDATE dbo.t SET extra = 5 WHERE id = 2")
        .await;
    world.source("DELETE dbo.t WHERE id = 1").await;
    let extract = synced(&world);
    is_window(&extract);
    assert_eq!(counts(&extract), [0, 1, 1], "{extract:#}");
    assert_same(&mut world, "SELECT id, m, extra FROM dbo.t ORDER BY id").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_source_is_read_whole() {
    let Some(engine) = server().engine() else {
        skipped("restores");
        return;
    };
    let mut world = world().await;
    let backup = engine.back_up(&world.source_db).expect("a database");
    world.source("INSERT dbo.t VALUES (4, 4)").await;
    world.source("DELETE dbo.t WHERE id = 1").await;
    is_window(&synced(&world));
    engine
        .restore(&world.source_db, &backup)
        .expect("a database");
    is_whole(&synced(&world), "restored");
    assert_same(&mut world, ROWS).await;
    world.source("DELETE dbo.t WHERE id = 2").await;
    is_window(&synced(&world));
    assert_same(&mut world, ROWS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_move_are_gone_from_where_they_were() {
    let columns =
        "shop varchar(10) NOT NULL, id int NOT NULL, n int NOT NULL, PRIMARY KEY (id, shop)";
    let mut world = World::new(&tracked(columns)).await;
    world
        .source("INSERT dbo.t VALUES ('a', 1, 1), ('a', 2, 2), ('b', 1, 3), ('b', 2, 4)")
        .await;
    world.config(CONFIG);
    synced(&world);
    // One moves, two exchange their keys, one moves to the key of one that is deleted.
    for statement in [
        "UPDATE dbo.t SET id = 9 WHERE shop = 'a' AND id = 1",
        "UPDATE dbo.t SET id = 3 - id WHERE shop = 'b'",
        "DELETE dbo.t WHERE shop = 'a' AND id = 2",
        "UPDATE dbo.t SET id = 2 WHERE shop = 'a' AND id = 9",
    ] {
        world.source(statement).await;
    }
    let extract = synced(&world);
    is_window(&extract);
    assert_eq!(counts(&extract), [0, 3, 1], "{extract:#}");
    assert_same(
        &mut world,
        "SELECT shop, id, n FROM dbo.t ORDER BY shop, id",
    )
    .await;
}

/// Case, spaces and zeros at the end do not count at the source, and neither do they in the lake.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_spelled_anew_is_one_row_and_goes_under_any_spelling() {
    for (ty, first, second) in [
        (
            "varchar(10) COLLATE SQL_Latin1_General_CP1_CI_AS",
            "'ab'",
            "'AB'",
        ),
        (
            "nvarchar(10) COLLATE Latin1_General_100_CI_AS",
            "N'ab'",
            "N'Ab  '",
        ),
        ("varchar(10) COLLATE Latin1_General_BIN2", "'x'", "'x  '"),
        ("varbinary(10)", "0x01", "0x010000"),
    ] {
        let columns = format!("k {ty} NOT NULL PRIMARY KEY, n int NOT NULL");
        let mut world = World::new(&tracked(&columns)).await;
        world
            .source(&format!("INSERT dbo.t VALUES ({first}, 1)"))
            .await;
        world.config(CONFIG);
        synced(&world);
        world
            .source(&format!(
                "UPDATE dbo.t SET k = {second}, n = 2 WHERE k = {first}"
            ))
            .await;
        let respelled = synced(&world);
        is_window(&respelled);
        let rows = lake_rows(&lake_table(&world).await, None, &["n"]).await;
        assert_eq!(rows, [["2"]], "{ty}: {respelled:#}");
        let found = "SELECT n FROM dbo.t";
        assert_same(&mut world, found).await;
        world
            .source(&format!("DELETE dbo.t WHERE k = {first}"))
            .await;
        let gone = synced(&world);
        assert_eq!(counts(&gone), [0, 0, 1], "{ty}: {gone:#}");
        assert!(
            lake_rows(&lake_table(&world).await, None, &["n"])
                .await
                .is_empty()
        );
        assert_same(&mut world, found).await;
    }
}

/// Of spellings that the lake takes for two keys the target gets the one with the newer row version.
#[tokio::test(flavor = "multi_thread")]
async fn a_rowversion_tells_which_of_two_spellings_is_loaded() {
    let columns = "k nvarchar(10) COLLATE Latin1_General_100_CI_AS NOT NULL PRIMARY KEY, n int NOT NULL, rv rowversion \
        NOT NULL";
    let mut world = World::new(&tracked(columns)).await;
    world
        .source("INSERT dbo.t (k, n) VALUES (N'É1', 1), (N'b', 2)")
        .await;
    world.config(CONFIG);
    synced(&world);
    world
        .source("UPDATE dbo.t SET k = N'é1', n = 3 WHERE n = 1")
        .await;
    is_window(&synced(&world));
    assert_same(&mut world, "SELECT n FROM dbo.t ORDER BY n").await;
    // A load of everything, too.
    assert_eq!(world.run(&["load", "--full"]).code, 0);
    assert_same(&mut world, "SELECT n FROM dbo.t ORDER BY n").await;
}

const VERSIONS: &str = "SELECT id, n, _op FROM dbo.t ORDER BY _seq";

async fn versions(world: &mut World) -> Vec<String> {
    let rows = world.target_rows(VERSIONS).await;
    let cell = |cell: &String| -> String {
        let inner = cell.split_once('(').map_or(&**cell, |(_, inner)| inner);
        inner.trim_end_matches(')').trim_matches('"').to_owned()
    };
    let text = |row: &Vec<String>| row.iter().map(cell).collect::<Vec<_>>().join(" ");
    rows.iter().map(text).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_has_each_version_once_and_deletes_with_the_last_values() {
    let mut world = World::new(&tracked(PLAIN)).await;
    world.source("INSERT dbo.t VALUES (1, 1), (2, 2)").await;
    world.config(
        "  - source: dbo.t\n    kind: history\n    change: { strategy: change_tracking }\n    merge: { mode: history \
         }\n",
    );
    synced(&world);
    for statement in [
        "UPDATE dbo.t SET n = 10 WHERE id = 1",
        "DELETE dbo.t WHERE id = 2",
        "INSERT dbo.t VALUES (3, 3)",
        "DELETE dbo.t WHERE id = 3",
    ] {
        world.source(statement).await;
    }
    let window = synced(&world);
    assert_eq!(counts(&window), [1, 0, 1], "{window:#}");
    // What is changed after the bound is read with this window and comes again with the next.
    let meanwhile = [
        "UPDATE dbo.t SET n = 11 WHERE id = 1",
        "INSERT dbo.t VALUES (2, 20)",
    ];
    world.source("INSERT dbo.t VALUES (4, 4)").await;
    held(
        &mut world,
        &["--json", "sync"],
        &format!("{FAIL_BOUNDED}:1"),
        &meanwhile,
    )
    .await
    .json();
    let again = synced(&world);
    assert_eq!(counts(&again), [0, 0, 0], "{again:#}");
    world.source("DELETE dbo.t WHERE id IN (1, 2)").await;
    synced(&world);
    let found = versions(&mut world).await;
    let (first, rest) = found.split_at(2);
    assert_eq!(first, ["1 1 R", "2 2 R"]);
    assert_eq!(rest[..2], ["1 10 U", "2 2 D"]);
    let mut third = rest[2..5].to_vec();
    third.sort();
    assert_eq!(third, ["1 11 U", "2 20 U", "4 4 U"]);
    let mut last = rest[5..].to_vec();
    last.sort();
    assert_eq!(last, ["1 11 D", "2 20 D"]);
    // A whole read repeats nothing, and says what has vanished.
    for statement in [
        "ALTER TABLE dbo.t DISABLE CHANGE_TRACKING",
        "DELETE dbo.t WHERE id = 4",
        "INSERT dbo.t VALUES (5, 5)",
        "ALTER TABLE dbo.t ENABLE CHANGE_TRACKING",
    ] {
        world.source(statement).await;
    }
    is_whole(&synced(&world), "change tracking");
    let mut found = versions(&mut world).await.split_off(9);
    found.sort();
    assert_eq!(found, ["4 4 D", "5 5 R"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_is_not_read_with_row_locks() {
    let setup = tracked(PLAIN);
    let world = World::with_isolation(Isolation::ReadCommitted, &setup).await;
    world.config(
        "  - source: dbo.t\n    kind: history\n    change: { strategy: change_tracking }\n",
    );
    let refused = world.run(&["extract"]);
    refused.fails_with(1, &["a history", "ALLOW_SNAPSHOT_ISOLATION ON"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_row_locks_a_window_waits_for_writers_and_what_moves_comes_next() {
    let setup = tracked(PLAIN);
    let mut world = World::with_isolation(Isolation::ReadCommitted, &setup).await;
    world
        .source("INSERT dbo.t VALUES (1, 1), (2, 2), (3, 3)")
        .await;
    world.config(CONFIG);
    synced(&world);
    world.source("UPDATE dbo.t SET n = n + 10").await;
    let mut holder = server().connect(&world.source_db).await;
    sql(
        &mut holder,
        "BEGIN TRAN; UPDATE dbo.t SET n = 30 WHERE id = 3; DELETE dbo.t WHERE id = 2",
    )
    .await;
    let child = world.spawn(&["--json", "sync"]);
    until_blocked(&mut world).await;
    sql(&mut holder, "COMMIT").await;
    let report = finish(child).json();
    let warnings = report["warnings"].to_string();
    assert!(warnings.contains("row locks"), "{report:#}");
    synced(&world);
    assert_same(&mut world, ROWS).await;
}

/// `rows` new rows in one transaction.
fn many(first: u32, rows: u32) -> String {
    format!(
        "INSERT dbo.t (id, n) SELECT TOP ({rows}) {} + ROW_NUMBER() OVER (ORDER BY (SELECT 1)), 0 FROM \
         sys.all_columns AS a CROSS JOIN sys.all_columns AS b",
        first - 1
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_window_is_committed_in_steps_between_transactions() {
    let mut world = world().await;
    world.config(
        "  - source: dbo.t\n    change: { strategy: change_tracking, commit_rows: 1000 }\n",
    );
    for first in [1_000, 2_000, 3_000, 4_000] {
        world.source(&many(first, 700)).await;
    }
    world.source("UPDATE dbo.t SET n = 5 WHERE id = 1000").await;
    dies(&world, &["extract"], &format!("{FAIL_BETWEEN_COMMITS}:1"));
    let rows = lake_rows(&lake_table(&world).await, None, &["id"])
        .await
        .len();
    assert_eq!(
        rows,
        3 + 1_399,
        "the first step without the row that changed again"
    );
    let rest = synced(&world);
    is_window(&rest);
    assert_eq!(rest["rows_read"], json!(1_401), "{rest:#}");
    assert_same(&mut world, ROWS).await;
    // Rows that are gone count, however few are left.
    for upper in [1_900, 2_900, 3_900] {
        world
            .source(&format!("DELETE dbo.t WHERE id BETWEEN 1000 AND {upper}"))
            .await;
    }
    let plan = world.run(&["plan"]).stdout;
    assert!(plan.contains("steps, cut between transactions"), "{plan}");
    let deleted = synced(&world);
    assert_eq!(counts(&deleted), [0, 0, 2_100], "{deleted:#}");
    assert!(deleted["commits"].as_u64() > Some(1), "{deleted:#}");
    assert_same(&mut world, ROWS).await;
    // A transaction is one step, however large it is.
    world.source(&many(10_000, 2_500)).await;
    let one = synced(&world);
    assert_eq!(
        (&one["commits"], &one["inserted"]),
        (&json!(1), &json!(2_500))
    );
    assert_same(&mut world, ROWS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_between_two_steps_are_not_lost() {
    let mut world = world().await;
    world.config(
        "  - source: dbo.t\n    change: { strategy: change_tracking, commit_rows: 1000 }\n",
    );
    for first in [1_000, 2_000, 3_000] {
        world.source(&many(first, 900)).await;
    }
    let meanwhile = [
        "UPDATE dbo.t SET n = 7 WHERE id IN (1000, 2000, 3000)",
        "DELETE dbo.t WHERE id IN (1001, 2001, 3001)",
        "UPDATE dbo.t SET id = 9000 WHERE id = 3002",
    ];
    let place = format!("{FAIL_BETWEEN_COMMITS}:1");
    held(&mut world, &["--json", "sync"], &place, &meanwhile)
        .await
        .json();
    synced(&world);
    assert_same(&mut world, ROWS).await;
    // The log begins anew between two steps.
    for first in [11_000, 12_000, 13_000] {
        world.source(&many(first, 900)).await;
    }
    let meanwhile = ["TRUNCATE TABLE dbo.t", "INSERT dbo.t VALUES (1, 1)"];
    held(&mut world, &["--json", "sync"], &place, &meanwhile)
        .await
        .json();
    assert_same(&mut world, ROWS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ranges_of_a_whole_read_are_resumed_and_what_moved_between_them_comes_next() {
    let setup = tracked(PLAIN);
    let mut world = World::with_isolation(Isolation::with_row_versions(), &setup).await;
    world.source(&many(1, 10_000)).await;
    world
        .config("  - source: dbo.t\n    change: { strategy: change_tracking, range_rows: 2000 }\n");
    dies(&world, &["extract"], &format!("{FAIL_AFTER_RANGE}:2"));
    for statement in [
        "UPDATE dbo.t SET id = id + 100000 WHERE id % 100 = 0",
        "DELETE dbo.t WHERE id % 100 = 1",
        "UPDATE dbo.t SET id = 0 WHERE id = 9999",
        "UPDATE dbo.t SET n = 1 WHERE id % 100 = 2",
    ] {
        world.source(statement).await;
    }
    let second = synced(&world);
    assert_eq!(second["ranges_resumed"], json!(2), "{second:#}");
    let third = synced(&world);
    is_window(&third);
    assert_same(&mut world, ROWS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quiet_table_moves_its_bound_now_and_then_and_not_each_time() {
    let mut world = world().await;
    let version = async |world: &World| lake_table(world).await.metadata_version();
    world.source("INSERT dbo.other (n) VALUES (1)").await;
    // A change that comes to nothing.
    world.source("INSERT dbo.t VALUES (9, 9)").await;
    world.source("DELETE dbo.t WHERE id = 9").await;
    let before = (version(&world).await, checkpoint(&world));
    for _ in 0..2 {
        let quiet = synced(&world);
        assert_eq!(quiet["commits"], json!(0), "{quiet:#}");
    }
    assert_eq!((version(&world).await, checkpoint(&world)), before);
    // A tenth of the retention is six seconds.
    world
        .source("ALTER DATABASE CURRENT SET CHANGE_TRACKING (CHANGE_RETENTION = 1 MINUTES)")
        .await;
    tokio::time::sleep(Duration::from_secs(7)).await;
    let moved = synced(&world);
    assert_eq!(
        (&moved["commits"], &moved["snapshot_id"]),
        (&json!(1), &Value::Null),
        "{moved:#}"
    );
    assert_ne!(
        moved["watermark_before"], moved["watermark_after"],
        "{moved:#}"
    );
    let after = (version(&world).await, checkpoint(&world));
    assert_eq!(after.0, before.0 + 1);
    let quiet = synced(&world);
    assert_eq!(quiet["commits"], json!(0), "{quiet:#}");
    // While the database gives no version, there is nothing to move to.
    tokio::time::sleep(Duration::from_secs(7)).await;
    assert_eq!(synced(&world)["commits"], json!(0));
    assert_eq!((version(&world).await, checkpoint(&world)), after);
    // A window without a change of this table alone moves, too.
    world.source("INSERT dbo.other (n) VALUES (2)").await;
    assert_eq!(synced(&world)["commits"], json!(1));
    world.source("UPDATE dbo.t SET n = 2 WHERE id = 1").await;
    is_window(&synced(&world));
    assert_same(&mut world, ROWS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_table_is_committed_once() {
    let mut world = World::new(&tracked(PLAIN)).await;
    world.config(CONFIG);
    synced(&world);
    let before = lake_table(&world).await.metadata_version();
    for _ in 0..3 {
        let extract = synced(&world);
        is_window(&extract);
        assert_eq!(extract["commits"], json!(0), "{extract:#}");
    }
    assert_eq!(lake_table(&world).await.metadata_version(), before);
    world.source("INSERT dbo.t VALUES (1, 1)").await;
    is_window(&synced(&world));
    assert_same(&mut world, ROWS).await;
}

/// Older builds refuse a version that they do not know, and read those of the strategies that they know.
#[tokio::test(flavor = "multi_thread")]
async fn the_version_of_a_checkpoint_is_that_of_its_strategy() {
    let mut world = world().await;
    let found = checkpoint(&world);
    assert_eq!(found["version"], json!(2), "{found:#}");
    assert_eq!(found["strategy"], json!("change_tracking"), "{found:#}");
    world.config("  - source: dbo.t\n    change: { strategy: full }\n");
    synced(&world);
    let full = checkpoint(&world);
    assert_eq!(full["version"], json!(1), "{full:#}");
    world.config(CONFIG);
    world.source("DELETE dbo.t WHERE id = 1").await;
    is_whole(&synced(&world), "strategy full");
    assert_same(&mut world, ROWS).await;
}

/// Waits until what has been committed so far is older than a retention of one minute, and has it cleaned up.
async fn cleaned_up(world: &mut World) {
    tokio::time::sleep(Duration::from_secs(70)).await;
    // A version to clean up to.
    world.source("INSERT dbo.other (n) VALUES (0)").await;
    for table in ["dbo.t", "dbo.other"] {
        world
            .source(&format!(
                "EXEC sys.sp_flush_CT_internal_table_on_demand N'{table}'"
            ))
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_that_were_cleaned_up_are_read_whole_and_a_read_beyond_the_retention_fails() {
    if server().engine().is_none() {
        skipped("a clean-up of tracked changes, which a server does when it likes");
        return;
    }
    let setup = tracked(PLAIN);
    let mut world = World::with_isolation(Isolation::with_row_versions(), &setup).await;
    let retention = "ALTER DATABASE CURRENT SET CHANGE_TRACKING (CHANGE_RETENTION = 1 MINUTES)";
    world.source(retention).await;
    world.source(&many(1, 5_000)).await;
    let config = "  - source: dbo.t\n    change: { strategy: change_tracking, range_rows: 1000 }\n";
    world.config(config);
    synced(&world);
    world.source("DELETE dbo.t WHERE id = 1").await;
    world.source("UPDATE dbo.t SET n = 2 WHERE id = 2").await;
    // A second table is read whole meanwhile, for longer than that.
    world.config(&config.replace(
        "  - source: dbo.t\n",
        "  - source: dbo.t\n    lake: other.t\n",
    ));
    let file = world.path("held");
    let mut command = world.command(&["extract"]);
    let slow = command
        .env(
            "ICESYNC_FAILPOINT",
            format!("{FAIL_BEFORE_RANGES}:1={}", file.display()),
        )
        .spawn()
        .expect("starts");
    until_there(&file).await;
    world.source("UPDATE dbo.t SET n = 3 WHERE id = 3").await;
    cleaned_up(&mut world).await;
    std::fs::remove_file(&file).expect("removed");
    let slow = finish(slow);
    slow.fails_with(
        1,
        &[
            "took longer than",
            "CHANGE_RETENTION = 2 DAYS",
            "Nothing was committed",
        ],
    );
    world.config(config);
    let healed = synced(&world);
    is_whole(&healed, "CHANGE_RETENTION");
    assert_same(&mut world, ROWS).await;
    world.source("DELETE dbo.t WHERE id = 4").await;
    is_window(&synced(&world));
    assert_same(&mut world, ROWS).await;
}

/// Transactions of several sessions while runs follow each other: in the end the target is the source.
#[tokio::test(flavor = "multi_thread")]
async fn concurrent_writers_lose_nothing() {
    let columns = "a int NOT NULL, b varchar(5) NOT NULL, n int NOT NULL, PRIMARY KEY (a, b)";
    let mut world = World::new(&tracked(columns)).await;
    world
        .source(
            "INSERT dbo.t SELECT s.n, 'x', 0 FROM (SELECT TOP (200) ROW_NUMBER() OVER (ORDER BY (SELECT 1)) AS n FROM \
             sys.all_columns) AS s",
        )
        .await;
    world.config(CONFIG);
    synced(&world);
    let database = world.source_db.clone();
    let writers = (0..3).map(|writer: i32| {
        let database = database.clone();
        tokio::spawn(async move {
            let mut session = server().connect(&database).await;
            for step in 0..40 {
                // Each writer has rows of its own, so that none waits for another one.
                let own = |at: i32| (at * 3 + writer) % 198 + 1;
                let (a, b, c) = (own(step * 7), own(step * 11 + 1), own(step * 5 + 2));
                let end = if step % 9 == 4 { "ROLLBACK" } else { "COMMIT" };
                let text = format!(
                    "BEGIN TRAN; UPDATE dbo.t SET n = n + 1 WHERE a = {a}; DELETE dbo.t WHERE a = {b}; IF NOT EXISTS \
                     (SELECT 1 FROM dbo.t WHERE a = {c} AND b = 'y') INSERT dbo.t VALUES ({c}, 'y', {step})"
                );
                sql(&mut session, &text).await;
                tokio::time::sleep(Duration::from_millis(20)).await;
                sql(&mut session, end).await;
            }
        })
    });
    let writers: Vec<_> = writers.collect();
    for _ in 0..8 {
        is_window(&synced(&world));
    }
    for writer in writers {
        writer.await.expect("a writer ends");
    }
    is_window(&synced(&world));
    assert_same(&mut world, "SELECT a, b, n FROM dbo.t ORDER BY a, b").await;
}
