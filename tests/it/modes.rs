//! Modes of loading beside a plain upsert: deletes that mark or keep rows, mirrors without a key, versions of a
//! history, and the time for which each was valid.

mod replay;

use crate::harness::{World, finish};
use icesync::sync::{FAIL_AFTER_APPLY, FAIL_AFTER_STAGING};
use serde_json::{Value, json};

const ITEMS: &str = "CREATE TABLE dbo.items (id int NOT NULL PRIMARY KEY, name nvarchar(20) NULL)
GO
INSERT dbo.items (id, name) VALUES (1, N'a'), (2, N'b'), (3, N'c'), (4, N'd')";

const SOFT: &str = "deletes: { soft: { column: is_deleted, at: deleted_at } }";

fn load(report: &Value) -> &Value {
    &report["tables"][0]["load"]
}

/// `options` are lines of the table's entry.
fn config(world: &World, options: &[&str]) {
    let options: String = options
        .iter()
        .map(|option| format!("    {option}\n"))
        .collect();
    world.config(&format!(
        "  - source: dbo.items\n    change: {{ strategy: full }}\n{options}"
    ));
}

fn merge(world: &World, options: &str) {
    config(world, &[&format!("merge: {{ {options} }}")]);
}

fn history(world: &World, options: &str) {
    let merge = format!("merge: {{ {options} }}");
    config(world, &["kind: history", &merge]);
}

fn sync(world: &World) -> Value {
    world.run(&["--json", "sync"]).json()
}

/// Dies there.
fn dies(world: &World, args: &[&str], failpoint: &str) {
    let mut command = world.command(args);
    let died = finish(
        command
            .env("ICESYNC_FAILPOINT", failpoint)
            .spawn()
            .expect("starts"),
    );
    assert!(died.code != 0, "{failpoint} was not reached: {died:#?}");
}

/// Rows of the target, without the names of the cells' types.
async fn rows(world: &mut World, query: &str) -> Vec<Vec<String>> {
    let rows = world.target_rows(query).await;
    rows.into_iter()
        .map(|row| row.iter().map(|cell| plain(cell)).collect())
        .collect()
}

fn plain(cell: &str) -> String {
    let inner = cell.split_once('(').map_or(cell, |(_, inner)| inner);
    let inner = inner.strip_suffix(')').unwrap_or(inner);
    inner.trim_matches('"').to_owned()
}

const MARKS: &str = "SELECT id, name, CONVERT(int, is_deleted), CASE WHEN deleted_at IS NULL THEN 0 ELSE 1 END \
    FROM dbo.items ORDER BY id";

#[tokio::test(flavor = "multi_thread")]
async fn a_soft_delete_marks_a_row_once_and_an_upsert_takes_the_mark_off() {
    for statement in ["merge", "update_insert"] {
        let mut world = World::new(ITEMS).await;
        merge(&world, &format!("{SOFT}, statement: {statement}"));
        let first = sync(&world);
        assert_eq!(load(&first)["kind"], json!("first"), "{first:#}");
        let none = [["1", "a"], ["2", "b"], ["3", "c"], ["4", "d"]];
        let none = none.map(|[id, name]| [id, name, "0", "0"]);
        assert_eq!(rows(&mut world, MARKS).await, none, "{statement}");
        world
            .source("DELETE dbo.items WHERE id IN (2, 3); UPDATE dbo.items SET name = N'e' WHERE id = 1")
            .await;
        let run = sync(&world);
        let counts = ["inserted", "updated", "deleted"].map(|name| load(&run)[name].clone());
        assert_eq!(counts, [json!(0), json!(1), json!(2)], "{run:#}");
        let marked = [
            ["1", "e", "0", "0"],
            ["2", "b", "1", "1"],
            ["3", "c", "1", "1"],
            ["4", "d", "0", "0"],
        ];
        assert_eq!(rows(&mut world, MARKS).await, marked, "{statement}");
        // What is marked is not marked again, and is no row that only the target has.
        let times = "SELECT CONVERT(nvarchar(30), deleted_at, 121) FROM dbo.items WHERE is_deleted = 1 ORDER BY id";
        let before = rows(&mut world, times).await;
        let full = world.run(&["--json", "load", "--full"]).json();
        assert_eq!(load(&full)["deleted"], json!(0), "{full:#}");
        assert_eq!(load(&full)["warnings"], json!([]), "{full:#}");
        assert_eq!(rows(&mut world, times).await, before);
        // One comes back as it was, and one otherwise.
        world
            .source("INSERT dbo.items (id, name) VALUES (2, N'b'), (3, N'f'), (5, N'g')")
            .await;
        let run = sync(&world);
        let counts = ["inserted", "updated", "deleted"].map(|name| load(&run)[name].clone());
        assert_eq!(counts, [json!(1), json!(2), json!(0)], "{run:#}");
        let back = [["1", "e"], ["2", "b"], ["3", "f"], ["4", "d"], ["5", "g"]];
        let back = back.map(|[id, name]| [id, name, "0", "0"]);
        assert_eq!(rows(&mut world, MARKS).await, back, "{statement}");
        // Whatever happens to a load.
        for (id, failpoint) in [(1, FAIL_AFTER_STAGING), (4, FAIL_AFTER_APPLY)] {
            world
                .source(&format!("DELETE dbo.items WHERE id = {id}"))
                .await;
            dies(&world, &["sync"], failpoint);
            world.run(&["--json", "load"]).json();
        }
        let deleted =
            "SELECT id FROM dbo.items WHERE is_deleted = 1 AND deleted_at IS NOT NULL ORDER BY id";
        assert_eq!(rows(&mut world, deleted).await, [["1"], ["4"]]);
    }
}

/// In steps as well, and again where a load dies between two of them.
#[tokio::test(flavor = "multi_thread")]
async fn rows_are_marked_in_steps() {
    let mut world = World::new(ITEMS).await;
    merge(&world, &format!("{SOFT}, batch_rows: 1"));
    sync(&world);
    world
        .source(
            "DELETE dbo.items WHERE id IN (1, 2); UPDATE dbo.items SET name = N'z' WHERE id = 4",
        )
        .await;
    dies(&world, &["sync"], "load.between_steps:2");
    world.run(&["--json", "load"]).json();
    let expected = [
        ["1", "a", "1", "1"],
        ["2", "b", "1", "1"],
        ["3", "c", "0", "0"],
        ["4", "z", "0", "0"],
    ];
    assert_eq!(rows(&mut world, MARKS).await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_gets_the_columns_of_soft_deletes() {
    let mut world = World::new(ITEMS).await;
    config(&world, &[]);
    sync(&world);
    world.source("DELETE dbo.items WHERE id = 4").await;
    // One that icesync has loaded follows, or the statements are told.
    merge(&world, &format!("{SOFT}, on_schema_change: refuse"));
    let add = "ALTER TABLE [dbo].[items] ADD [is_deleted] bit NOT NULL DEFAULT 0;";
    world.run(&["sync"]).fails_with(1, &[add]);
    merge(&world, SOFT);
    let run = world.run(&["--json", "load"]).json();
    let changes = load(&run)["schema_changes"].as_array().map(Vec::len);
    assert_eq!(changes, Some(2), "{run:#}");
    let row = "SELECT id, CONVERT(int, is_deleted) FROM dbo.items WHERE id >= 3 ORDER BY id";
    assert_eq!(rows(&mut world, row).await, [["3", "0"], ["4", "1"]]);
    // One that others have made has to have them.
    world
        .target("DROP TABLE dbo.items; DELETE FROM icesync.load_state")
        .await;
    world
        .target("CREATE TABLE dbo.items (id int NOT NULL PRIMARY KEY, name nvarchar(20) NULL)")
        .await;
    world.run(&["load"]).fails_with(1, &["dbo.items", add]);
    world
        .target("ALTER TABLE dbo.items ADD is_deleted bit NOT NULL DEFAULT 0, deleted_at datetime2(3) NULL")
        .await;
    world.run(&["--json", "load"]).json();
    let count = "SELECT COUNT(*) FROM dbo.items WHERE is_deleted = 0";
    assert_eq!(rows(&mut world, count).await, [["3"]]);
    // A column of the lake is not icesync's to fill.
    merge(&world, "deletes: { soft: { column: Name } }");
    let texts = ["column Name", "has the name of a column", "merge.deletes"];
    world.run(&["load", "--full"]).fails_with(1, &texts);
}

/// No row is marked in it, and no load would mark again what earlier ones have marked.
#[tokio::test(flavor = "multi_thread")]
async fn a_flag_column_that_was_added_again_is_told() {
    let mut world = World::new(ITEMS).await;
    world
        .target(
            "CREATE TABLE dbo.items (id int NOT NULL PRIMARY KEY, name nvarchar(20) NULL, is_deleted bit NOT NULL \
             CONSTRAINT alive DEFAULT 0)",
        )
        .await;
    merge(&world, "deletes: { soft: { column: is_deleted } }");
    sync(&world);
    world.source("DELETE dbo.items WHERE id = 2").await;
    let told = |report: &Value| {
        let warnings = load(report)["warnings"].to_string();
        warnings.contains("column is_deleted of target dbo.items was dropped and added again")
    };
    assert!(!told(&sync(&world)));
    for batch in [
        "ALTER TABLE dbo.items DROP CONSTRAINT alive",
        "ALTER TABLE dbo.items DROP COLUMN is_deleted",
        "ALTER TABLE dbo.items ADD is_deleted bit NOT NULL CONSTRAINT alive DEFAULT 0",
    ] {
        world.target(batch).await;
    }
    for name in ["f", "g"] {
        let update = format!("UPDATE dbo.items SET name = N'{name}' WHERE id = 1");
        world.source(&update).await;
        assert!(told(&sync(&world)), "{name}");
    }
    let full = world.run(&["--json", "load", "--full"]).json();
    assert!(told(&full), "{full:#}");
    world.source("DELETE dbo.items WHERE id = 3").await;
    let after = sync(&world);
    assert!(!told(&after), "{after:#}");
    let marked = "SELECT id FROM dbo.items WHERE is_deleted = 1";
    assert_eq!(rows(&mut world, marked).await, [["3"]]);
}

/// Their values stay in the lake, and none of them is a mark.
#[tokio::test(flavor = "multi_thread")]
async fn columns_that_the_source_has_dropped_mark_no_row() {
    for (ty, value) in [("bit", "1"), ("int", "7"), ("datetime2(3)", "'2024-01-01'")] {
        let mut world = World::new(&format!(
            "CREATE TABLE dbo.items (id int NOT NULL PRIMARY KEY, active {ty} NULL, other {ty} NULL)
GO
INSERT dbo.items (id, active, other) VALUES (1, {value}, {value}), (2, {value}, NULL)"
        ))
        .await;
        merge(&world, SOFT);
        world.run(&["--json", "extract"]).json();
        for column in ["active", "other"] {
            let drop = format!("ALTER TABLE dbo.items DROP COLUMN {column}");
            world.source(&drop).await;
        }
        world.source("INSERT dbo.items (id) VALUES (3)").await;
        let first = sync(&world);
        assert_eq!(load(&first)["kind"], json!("first"), "{first:#}");
        let marks = "SELECT id, CONVERT(int, is_deleted), CONVERT(nvarchar(30), deleted_at, 121) FROM dbo.items \
            ORDER BY id";
        let none = ["1", "2", "3"].map(|id| [id, "0", "NULL"]);
        assert_eq!(rows(&mut world, marks).await, none, "{ty}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_loaded_with_other_deletes_is_not_taken_for_the_lake() {
    let mut world = World::new(ITEMS).await;
    merge(&world, "deletes: ignore");
    sync(&world);
    world
        .source("DELETE dbo.items WHERE id = 2; UPDATE dbo.items SET name = N'z' WHERE id = 1")
        .await;
    let run = sync(&world);
    assert_eq!(load(&run)["deleted"], json!(0), "{run:#}");
    let names = "SELECT id, name FROM dbo.items ORDER BY id";
    let kept = [["1", "z"], ["2", "b"], ["3", "c"], ["4", "d"]];
    assert_eq!(rows(&mut world, names).await, kept);
    // The row that was kept would stay for good. It is told at once, not with the next change.
    merge(&world, "deletes: hard");
    let texts = ["deletes: ignore", "load --full"];
    world.run(&["load"]).fails_with(1, &texts);
    world.source("DELETE dbo.items WHERE id = 3").await;
    for options in ["deletes: hard", SOFT] {
        merge(&world, options);
        let texts = [
            "dbo.items",
            "deletes: ignore",
            "load --full",
            "mode: replace",
        ];
        world.run(&["sync"]).fails_with(1, &texts);
        assert_eq!(rows(&mut world, names).await, kept);
    }
    merge(&world, "deletes: hard");
    let full = world.run(&["--json", "load", "--full"]).json();
    let warnings = load(&full)["warnings"].to_string();
    assert!(warnings.contains("1 row that target"), "{warnings}");
    let left = [["1", "z"], ["2", "b"], ["4", "d"]];
    assert_eq!(rows(&mut world, names).await, left);
    merge(&world, "mode: replace");
    sync(&world);
    world.run(&["--json", "load", "--full"]).json();
    assert_eq!(rows(&mut world, names).await, [["1", "z"], ["4", "d"]]);
    // From there, and from hard deletes, any other goes on; but not from rows that are marked.
    merge(&world, SOFT);
    world.source("DELETE dbo.items WHERE id = 1").await;
    sync(&world);
    merge(&world, "deletes: hard");
    world.source("INSERT dbo.items VALUES (1, N'y')").await;
    let texts = [
        "dbo.items",
        "deletes: soft",
        "marked as deleted",
        "may stay",
    ];
    world.run(&["sync"]).fails_with(1, &texts);
    world.target("DELETE dbo.items WHERE is_deleted = 1").await;
    world.run(&["--json", "load", "--full"]).json();
    let end = "SELECT id, name, CONVERT(int, is_deleted) FROM dbo.items ORDER BY id";
    let expected = [["1", "y", "0"], ["4", "d", "0"]];
    assert_eq!(rows(&mut world, end).await, expected);
}

const NAMED: &str =
    "SELECT COUNT(*) FROM sys.columns WHERE object_id = OBJECT_ID(N'dbo.items') AND name = ";

#[tokio::test(flavor = "multi_thread")]
async fn marks_stay_whatever_their_columns_are_called() {
    let mut world = World::new(ITEMS).await;
    merge(&world, "deletes: hard");
    sync(&world);
    // The columns come at once, not with the next change.
    merge(&world, SOFT);
    let run = world.run(&["--json", "load"]).json();
    assert_eq!(load(&run)["kind"], json!("whole"), "{run:#}");
    world.source("DELETE dbo.items WHERE id = 2").await;
    let run = sync(&world);
    assert_eq!(load(&run)["kind"], json!("delta"), "{run:#}");
    let gone = "deletes: { soft: { column: gone, at: deleted_at } }";
    merge(&world, &format!("{gone}, on_schema_change: refuse"));
    let rename = "EXEC sp_rename @objname = N'[dbo].[items].[is_deleted]', @newname = N'gone'";
    world.run(&["load"]).fails_with(1, &[rename]);
    merge(&world, gone);
    world
        .source("UPDATE dbo.items SET name = N'z' WHERE id = 1")
        .await;
    let run = sync(&world);
    let changes = load(&run)["schema_changes"].as_array().map(Vec::len);
    assert_eq!(changes, Some(1), "{run:#}");
    let marks = "SELECT id, CONVERT(int, gone), CASE WHEN deleted_at IS NULL THEN 0 ELSE 1 END FROM dbo.items ORDER BY \
        id";
    let marked = [
        ["1", "0", "0"],
        ["2", "1", "1"],
        ["3", "0", "0"],
        ["4", "0", "0"],
    ];
    assert_eq!(rows(&mut world, marks).await, marked);
    let again = world.run(&["--json", "load"]).json();
    assert_eq!(again["outcome"], json!("unchanged"), "{again:#}");
    // Another one is not made in its place.
    world
        .target("EXEC sp_rename N'dbo.items.gone', N'mark', N'COLUMN'")
        .await;
    world
        .source("UPDATE dbo.items SET name = N'y' WHERE id = 1")
        .await;
    world.run(&["--json", "extract"]).json();
    let texts = [
        "column gone, which earlier loads have filled, is missing",
        "mode: replace",
    ];
    for args in [&["load"][..], &["load", "--full"]] {
        world.run(args).fails_with(1, &texts);
    }
    let named = format!("{NAMED}N'gone'");
    assert_eq!(rows(&mut world, &named).await, [["0"]]);
    // The configuration follows its owner, who has another column of the old name by now.
    world
        .target("ALTER TABLE dbo.items ADD gone int NULL")
        .await;
    merge(
        &world,
        "deletes: { soft: { column: mark, at: deleted_at } }",
    );
    let texts = ["column gone, which earlier loads have filled", "both names"];
    world.run(&["load"]).fails_with(1, &texts);
    world.target("ALTER TABLE dbo.items DROP COLUMN gone").await;
    world.run(&["--json", "load"]).json();
    let marks = "SELECT id FROM dbo.items WHERE mark = 1 AND deleted_at IS NOT NULL";
    assert_eq!(rows(&mut world, marks).await, [["2"]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn marks_of_an_earlier_time_are_taken_off_rows_that_are_back() {
    for between in ["mode: replace", "deletes: hard"] {
        let mut world = World::new(ITEMS).await;
        merge(&world, SOFT);
        sync(&world);
        world.source("DELETE dbo.items WHERE id IN (2, 3)").await;
        sync(&world);
        merge(&world, between);
        world.source("INSERT dbo.items VALUES (2, N'b')").await;
        world.run(&["--json", "extract"]).json();
        world.run(&["--json", "load", "--full"]).json();
        let stale = "SELECT id FROM dbo.items WHERE is_deleted = 1 AND id = 2";
        assert_eq!(rows(&mut world, stale).await, [["2"]], "{between}");
        merge(&world, SOFT);
        let run = world.run(&["--json", "load"]).json();
        assert_eq!(load(&run)["kind"], json!("whole"), "{run:#}");
        let mut expected = vec![["1", "a", "0", "0"], ["2", "b", "0", "0"]];
        if between == "deletes: hard" {
            // Of a key that is still gone.
            expected.push(["3", "c", "1", "1"]);
        }
        expected.push(["4", "d", "0", "0"]);
        assert_eq!(rows(&mut world, MARKS).await, expected, "{between}");
        world.source("DELETE dbo.items WHERE id = 4").await;
        let run = sync(&world);
        assert_eq!(load(&run)["kind"], json!("delta"), "{run:#}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_without_a_key_is_mirrored_by_replacement() {
    let mut world = World::new(
        "CREATE TABLE dbo.items (n int IDENTITY(1,1) NOT NULL, a int NULL, b nvarchar(20) NULL)
GO
SET IDENTITY_INSERT dbo.items ON;
INSERT dbo.items (n, a, b) VALUES (1, 1, N'x'), (1, 1, N'x'), (1, 1, N'x'), (2, NULL, NULL), (2, NULL, NULL);
INSERT dbo.items (n, a, b) VALUES (3, 2, N'y');
SET IDENTITY_INSERT dbo.items OFF",
    )
    .await;
    let remedies = ["strategy: full", "mode: replace", "kind: history"];
    for options in ["mode: upsert", "mode: append"] {
        merge(&world, options);
        world.run(&["sync"]).fails_with(1, &remedies);
    }
    merge(&world, "mode: replace");
    sync(&world);
    let counted = "SELECT n, a, b, COUNT(*) FROM dbo.items GROUP BY n, a, b ORDER BY n, a, b";
    let equal = async |world: &mut World, when: &str| {
        let source = world.source_rows(counted).await;
        assert_eq!(world.target_rows(counted).await, source, "{when}");
    };
    equal(&mut world, "at first").await;
    // A read that finds the same rows commits nothing.
    let again = sync(&world);
    assert_eq!(again["outcome"], json!("unchanged"), "{again:#}");
    for (turn, change) in [
        "DELETE TOP (1) dbo.items WHERE n = 1",
        "SET IDENTITY_INSERT dbo.items ON; INSERT dbo.items (n, a, b) VALUES (2, NULL, NULL), (9, 9, NULL); \
            SET IDENTITY_INSERT dbo.items OFF",
        "UPDATE dbo.items SET b = N'z' WHERE n = 2",
        "DELETE dbo.items",
        "INSERT dbo.items (a, b) VALUES (7, N'seven'), (7, N'seven')",
    ]
    .into_iter()
    .enumerate()
    {
        world.source(change).await;
        match turn {
            1 => dies(&world, &["sync"], FAIL_AFTER_STAGING),
            2 => dies(&world, &["sync"], FAIL_AFTER_APPLY),
            3 => {
                world.run(&["--json", "maintain"]).json();
            }
            _ => {}
        }
        sync(&world);
        equal(&mut world, change).await;
    }
    merge(&world, "mode: upsert");
    world
        .run(&["load"])
        .fails_with(1, &["needs a key", "strategy: full"]);
}

const VERSIONS: &str = "SELECT id, name, _op, CONVERT(int, _seq) FROM dbo.items ORDER BY _seq";

#[tokio::test(flavor = "multi_thread")]
async fn each_version_of_a_history_is_loaded_once_with_its_number() {
    let mut world = World::new(ITEMS).await;
    history(&world, "mode: history");
    let first = sync(&world);
    assert_eq!(load(&first)["kind"], json!("first"), "{first:#}");
    let key = "SELECT c.name FROM sys.indexes AS i JOIN sys.index_columns AS ic ON ic.object_id = i.object_id AND \
        ic.index_id = i.index_id JOIN sys.columns AS c ON c.object_id = ic.object_id AND c.column_id = ic.column_id \
        WHERE i.object_id = OBJECT_ID(N'dbo.items') AND i.is_primary_key = 1 ORDER BY ic.key_ordinal";
    assert_eq!(rows(&mut world, key).await, [["id"], ["_seq"]]);
    world
        .source("UPDATE dbo.items SET name = N'z' WHERE id = 1")
        .await;
    world.run(&["--json", "extract"]).json();
    world
        .source("UPDATE dbo.items SET name = N'a' WHERE id = 1; DELETE dbo.items WHERE id = 4")
        .await;
    dies(&world, &["sync"], FAIL_AFTER_STAGING);
    dies(&world, &["load"], FAIL_AFTER_APPLY);
    let nothing = world.run(&["--json", "load"]).json();
    assert_eq!(nothing["outcome"], json!("unchanged"), "{nothing:#}");
    let all = rows(&mut world, VERSIONS).await;
    let expected = [
        ["1", "a", "R", "1"],
        ["2", "b", "R", "2"],
        ["3", "c", "R", "3"],
        ["4", "d", "R", "4"],
        ["1", "z", "R", "5"],
        ["1", "a", "R", "6"],
        ["4", "d", "D", "7"],
    ];
    let mut sorted = all.clone();
    sorted.iter_mut().for_each(|row| row[3].clear());
    let mut without = expected.map(|[id, name, op, _]| vec![id, name, op, ""]);
    sorted.sort();
    without.sort();
    assert_eq!(sorted, without, "{all:?}");
    let numbers: Vec<&str> = all.iter().map(|row| &*row[3]).collect();
    assert_eq!(numbers, ["1", "2", "3", "4", "5", "6", "7"]);
    let commits = "SELECT COUNT(DISTINCT _committed_at) FROM dbo.items WHERE ABS(DATEDIFF(minute, _committed_at, \
        SYSUTCDATETIME())) < 60";
    assert_eq!(rows(&mut world, commits).await, [["3"]]);
    // A whole load cannot tell which of them are there.
    let texts = ["dbo.items has rows", "TRUNCATE TABLE [dbo].[items]"];
    world.run(&["load", "--full"]).fails_with(1, &texts);
    world.target("TRUNCATE TABLE dbo.items").await;
    world.run(&["--json", "load", "--full"]).json();
    assert_eq!(rows(&mut world, VERSIONS).await, all);
    // Rows without numbers and rows with them are not mixed.
    history(&world, "mode: append");
    world.source("INSERT dbo.items VALUES (9, N'i')").await;
    let texts = ["mode: history", "Drop the table"];
    world.run(&["sync"]).fails_with(1, &texts);
    world.target("DROP TABLE dbo.items").await;
    world.run(&["--json", "load"]).json();
    world.source("INSERT dbo.items VALUES (10, N'j')").await;
    history(&world, "mode: history");
    let texts = ["mode: append", "Drop the table"];
    world.run(&["sync"]).fails_with(1, &texts);
}

#[tokio::test(flavor = "multi_thread")]
async fn modes_that_do_not_fit_a_table_are_refused() {
    let world = World::new(
        "CREATE TABLE dbo.items (n int NOT NULL, at int NULL)
GO
CREATE TABLE dbo.times (id int NOT NULL PRIMARY KEY, valid_to datetime2(0) NULL, n int NULL)",
    )
    .await;
    merge(&world, "mode: history");
    world
        .run(&["plan"])
        .fails_with(2, &["merge.mode", "kind: history"]);
    history(&world, "mode: scd2");
    world.run(&["plan"]).fails_with(2, &["merge.valid_from"]);
    history(&world, "mode: scd2, valid_from: _committed_at");
    world.run(&["--json", "extract"]).json();
    let texts = ["needs a key", "Set `key`"];
    world.run(&["plan"]).fails_with(1, &texts);
    let times = |valid_from: &str| {
        world.config(&format!(
            "  - source: dbo.times\n    kind: history\n    change: {{ strategy: full }}\n    merge: {{ mode: scd2, \
                valid_from: {valid_from} }}\n"
        ));
    };
    times("valid_to");
    let texts = ["valid_to", "has the name of a column", "mode: history"];
    world.run(&["plan"]).fails_with(1, &texts);
    times("n");
    world
        .run(&["plan"])
        .fails_with(1, &["n", "is int", "date and time"]);
    times("nope");
    world.run(&["plan"]).fails_with(1, &["no column nope"]);
}

const TIMED: &str =
    "CREATE TABLE dbo.items (id int NOT NULL PRIMARY KEY, name nvarchar(20) NULL, changed_at \
    datetime2(6) NULL)
GO
INSERT dbo.items VALUES (1, N'a', '2024-01-01'), (2, N'x', '2024-01-01')";

/// Version, since when, until when (`?` for the time of a commit), current, deleted.
async fn validity(world: &mut World, id: i32) -> Vec<String> {
    let day = |column: &str| {
        format!(
            "CASE WHEN {column} IS NULL THEN '-' WHEN {column} > '2025-01-01' THEN '?' ELSE CONVERT(varchar(10), \
                {column}, 121) END"
        )
    };
    let query = format!(
        "SELECT name, {}, {}, CONVERT(int, is_current), CONVERT(int, _deleted) FROM dbo.items WHERE id = {id} ORDER BY \
            valid_from, _seq",
        day("valid_from"),
        day("valid_to")
    );
    let rows = rows(world, &query).await;
    rows.iter().map(|row| row.join(" ")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_are_valid_from_one_change_to_the_next() {
    let mut world = World::new(TIMED).await;
    history(&world, "mode: scd2, valid_from: changed_at");
    sync(&world);
    assert_eq!(validity(&mut world, 1).await, ["a 2024-01-01 - 1 0"]);
    // Two versions in one delta; the second is late.
    for (name, at) in [("b", "2024-03-01"), ("c", "2024-02-01")] {
        let update =
            format!("UPDATE dbo.items SET name = N'{name}', changed_at = '{at}' WHERE id = 1");
        world.source(&update).await;
        world.run(&["--json", "extract"]).json();
    }
    let run = world.run(&["--json", "load"]).json();
    assert_eq!(load(&run)["kind"], json!("delta"), "{run:#}");
    let three = [
        "a 2024-01-01 2024-02-01 0 0",
        "c 2024-02-01 2024-03-01 0 0",
        "b 2024-03-01 - 1 0",
    ];
    assert_eq!(validity(&mut world, 1).await, three);
    // A version that takes the place of another at once was valid for no time.
    world
        .source(
            "UPDATE dbo.items SET name = N'd', changed_at = '2024-03-01' WHERE id = 1; DELETE dbo.items WHERE id = 2",
        )
        .await;
    sync(&world);
    let four = [
        "a 2024-01-01 2024-02-01 0 0",
        "c 2024-02-01 2024-03-01 0 0",
        "b 2024-03-01 2024-03-01 0 0",
        "d 2024-03-01 - 1 0",
    ];
    assert_eq!(validity(&mut world, 1).await, four);
    assert_eq!(validity(&mut world, 2).await, ["x 2024-01-01 ? 0 1"]);
    // What is back was not there in between, whatever its column says. A NULL says nothing.
    world
        .source("INSERT dbo.items VALUES (2, N'x', '2024-01-01'), (3, N'y', NULL)")
        .await;
    sync(&world);
    let back = ["x 2024-01-01 ? 0 1", "x ? - 1 0"];
    assert_eq!(validity(&mut world, 2).await, back);
    assert_eq!(validity(&mut world, 3).await, ["y ? - 1 0"]);
    let gap = "SELECT COUNT(*) FROM dbo.items AS a JOIN dbo.items AS b ON b.id = a.id AND b.valid_from = a.valid_to \
        WHERE a.id = 2";
    assert_eq!(rows(&mut world, gap).await, [["1"]]);
    for (name, failpoint) in [("e", FAIL_AFTER_STAGING), ("f", FAIL_AFTER_APPLY)] {
        world
            .source(&format!(
                "UPDATE dbo.items SET name = N'{name}', changed_at = '2024-02-15' WHERE id = 1"
            ))
            .await;
        dies(&world, &["sync"], failpoint);
        world.run(&["--json", "load"]).json();
    }
    let six = [
        "a 2024-01-01 2024-02-01 0 0",
        "c 2024-02-01 2024-02-15 0 0",
        "e 2024-02-15 2024-02-15 0 0",
        "f 2024-02-15 2024-03-01 0 0",
        "b 2024-03-01 2024-03-01 0 0",
        "d 2024-03-01 - 1 0",
    ];
    assert_eq!(validity(&mut world, 1).await, six);
    // A whole load gives the same.
    let before = rows(&mut world, CHAINS).await;
    let full = world.run(&["--json", "load", "--full"]).json();
    assert_eq!(load(&full)["kind"], json!("replace"), "{full:#}");
    assert_eq!(rows(&mut world, CHAINS).await, before);
    // Other times are other rows, whether there is something to load or not.
    history(&world, "mode: scd2, valid_from: _committed_at");
    let texts = ["valid_from: changed_at", "load --full"];
    world.run(&["load"]).fails_with(1, &texts);
    world.source("DELETE dbo.items WHERE id = 3").await;
    world.run(&["sync"]).fails_with(1, &texts);
    world.run(&["--json", "load", "--full"]).json();
    assert_eq!(validity(&mut world, 3).await, ["y ? ? 0 1"]);
    let current = "SELECT COUNT(*) FROM dbo.items WHERE is_current = 1 AND valid_to IS NULL";
    assert_eq!(rows(&mut world, current).await, [["2"]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_find_their_keys_whatever_those_are_like() {
    let mut world = World::new(
        "CREATE TABLE dbo.items (code nvarchar(20) COLLATE Latin1_General_CI_AS NOT NULL, at date NOT NULL, n int NOT \
            NULL, PRIMARY KEY (code, n))
GO
INSERT dbo.items (code, at, n) VALUES (N'É1', '2024-01-01', 1), (N'ab', '2024-01-01', 1)",
    )
    .await;
    history(&world, "mode: scd2, valid_from: at");
    sync(&world);
    // The old spelling is found gone by the read that brings the new one: the key is not.
    world
        .source("UPDATE dbo.items SET code = N'é1', at = '2024-02-01' WHERE code = N'É1'")
        .await;
    sync(&world);
    let rows_of = "SELECT code, CONVERT(varchar(10), valid_from, 121), CONVERT(varchar(10), valid_to, 121), \
        CONVERT(int, is_current) FROM dbo.items WHERE code = N'É1' ORDER BY _seq";
    let expected = [
        ["É1", "2024-01-01", "2024-02-01", "0"],
        ["é1", "2024-02-01", "NULL", "1"],
    ];
    assert_eq!(rows(&mut world, rows_of).await, expected);
    world.source("DELETE dbo.items WHERE code = N'é1'").await;
    sync(&world);
    let current = "SELECT code FROM dbo.items WHERE is_current = 1";
    assert_eq!(rows(&mut world, current).await, [["ab"]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_of_validity_that_is_gone_is_filled_by_a_whole_load() {
    let mut world = World::new(TIMED).await;
    history(&world, "mode: scd2, valid_from: changed_at");
    sync(&world);
    world.source("DELETE dbo.items WHERE id = 2").await;
    sync(&world);
    world
        .source("INSERT dbo.items VALUES (2, N'x', '2024-01-01')")
        .await;
    sync(&world);
    let mut expected = vec!["x 2024-01-01 ? 0 1", "x ? - 1 0"];
    assert_eq!(validity(&mut world, 2).await, expected);
    for (column, name, then) in [
        ("_deleted", "y", "y ? - 1 0"),
        ("is_current", "z", "z ? - 1 0"),
    ] {
        world
            .target(&format!(
                "EXEC sp_rename N'dbo.items.{column}', N'old{column}', N'COLUMN'"
            ))
            .await;
        world
            .source(&format!(
                "UPDATE dbo.items SET name = N'{name}' WHERE id = 2"
            ))
            .await;
        let missing = format!("column {column}, which earlier loads have filled, is missing");
        let texts = [&*missing, "load --full"];
        world.run(&["sync"]).fails_with(1, &texts);
        let named = format!("{NAMED}N'{column}'");
        assert_eq!(rows(&mut world, &named).await, [["0"]]);
        let full = world.run(&["--json", "load", "--full"]).json();
        assert_eq!(load(&full)["kind"], json!("replace"), "{full:#}");
        let ended = match name {
            "y" => "x ? ? 0 0",
            _ => "y ? ? 0 0",
        };
        expected.pop();
        expected.extend([ended, then]);
        assert_eq!(validity(&mut world, 2).await, expected, "{column}");
    }
    // What others have changed is put right where a version is looked at again.
    world
        .target("UPDATE dbo.items SET is_current = 0 WHERE id = 1")
        .await;
    world
        .source("UPDATE dbo.items SET name = N'b', changed_at = '2023-12-01' WHERE id = 1")
        .await;
    sync(&world);
    let late = ["b 2023-12-01 2024-01-01 0 0", "a 2024-01-01 - 1 0"];
    assert_eq!(validity(&mut world, 1).await, late);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_a_target_takes_for_one_are_not_chained() {
    let mut world = World::new(
        "CREATE TABLE dbo.items (code nvarchar(20) COLLATE Latin1_General_CS_AS NOT NULL PRIMARY KEY, at date NOT NULL)
GO
INSERT dbo.items VALUES (N'a', '2024-01-01'), (N'A', '2024-02-01')",
    )
    .await;
    world
        .target(
            "CREATE TABLE dbo.items (code nvarchar(20) COLLATE Latin1_General_CI_AS NOT NULL, at date NULL, _seq \
                bigint NOT NULL, valid_from date NOT NULL, valid_to date NULL, is_current bit NOT NULL DEFAULT 0, \
                _deleted bit NOT NULL DEFAULT 0, PRIMARY KEY (code, _seq))",
        )
        .await;
    history(&world, "mode: scd2, valid_from: at");
    let texts = [
        "key column code",
        "Latin1_General_CI_AS",
        "Latin1_General_CS_AS",
    ];
    world.run(&["sync"]).fails_with(1, &texts);
    world.target("DROP TABLE dbo.items").await;
    world.run(&["--json", "load"]).json();
    let current = "SELECT code FROM dbo.items WHERE is_current = 1 ORDER BY at";
    assert_eq!(rows(&mut world, current).await, [["a"], ["A"]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn times_of_validity_follow_the_type_of_their_column() {
    for was in ["datetime2(6)", "datetime"] {
        let mut world = World::new(&TIMED.replace("datetime2(6)", was)).await;
        history(&world, "mode: scd2, valid_from: changed_at");
        sync(&world);
        world
            .source("UPDATE dbo.items SET name = N'b', changed_at = '2024-02-01 00:00:00.003' WHERE id = 1")
            .await;
        sync(&world);
        world
            .source("ALTER TABLE dbo.items ALTER COLUMN changed_at datetime2(7) NULL")
            .await;
        world
            .source("UPDATE dbo.items SET name = N'c', changed_at = '2024-03-01 00:00:00.1234567' WHERE id = 1")
            .await;
        sync(&world);
        let scales = "SELECT name, CONVERT(int, scale) FROM sys.columns WHERE object_id = OBJECT_ID(N'dbo.items') AND \
            name LIKE N'valid%' ORDER BY name";
        let seven = [["valid_from", "7"], ["valid_to", "7"]];
        assert_eq!(rows(&mut world, scales).await, seven, "{was}");
        let chains = rows(&mut world, CHAINS).await;
        world.run(&["--json", "load", "--full"]).json();
        assert_eq!(rows(&mut world, CHAINS).await, chains, "{was}");
        let current = "SELECT name, CONVERT(nvarchar(30), valid_from, 121) FROM dbo.items WHERE id = 1 AND \
            is_current = 1";
        let expected = [["c", "2024-03-01 00:00:00.1234567"]];
        assert_eq!(rows(&mut world, current).await, expected, "{was}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_are_valid_from_a_field_whatever_it_is_called() {
    let mut world = World::new(TIMED).await;
    history(&world, "mode: scd2, valid_from: changed_at");
    sync(&world);
    world
        .source("EXEC sp_rename N'dbo.items.changed_at', N'touched_at', N'COLUMN'")
        .await;
    world
        .source("UPDATE dbo.items SET name = N'b', touched_at = '2024-02-01' WHERE id = 1")
        .await;
    history(&world, "mode: scd2, valid_from: touched_at");
    let run = sync(&world);
    assert_eq!(load(&run)["kind"], json!("delta"), "{run:#}");
    let two = ["a 2024-01-01 2024-02-01 0 0", "b 2024-02-01 - 1 0"];
    assert_eq!(validity(&mut world, 1).await, two);
    // Another one gets its name.
    for change in [
        "EXEC sp_rename N'dbo.items.touched_at', N'old_at', N'COLUMN'",
        "ALTER TABLE dbo.items ADD touched_at datetime2(6) NULL",
        "UPDATE dbo.items SET name = N'c', touched_at = '2024-01-15' WHERE id = 1",
    ] {
        world.source(change).await;
    }
    let texts = [
        "valid_from: touched_at",
        "another one of that name",
        "load --full",
    ];
    world.run(&["sync"]).fails_with(1, &texts);
    assert_eq!(validity(&mut world, 1).await, two);
    world.run(&["--json", "load", "--full"]).json();
    let again = sync(&world);
    assert_eq!(again["outcome"], json!("unchanged"), "{again:#}");
}

/// The lake counts rows whose key it cannot tell from others.
#[tokio::test(flavor = "multi_thread")]
async fn versions_have_a_key_that_the_lake_compares() {
    for (ty, option) in [("float", ""), ("datetime2(7)", "fidelity: standard")] {
        let world = World::new(&format!(
            "CREATE TABLE dbo.items (k {ty} NOT NULL PRIMARY KEY, at date NULL)"
        ))
        .await;
        let scd2 = "merge: { mode: scd2, valid_from: at }";
        let options: Vec<&str> = ["kind: history", scd2, option]
            .into_iter()
            .filter(|option| !option.is_empty())
            .collect();
        config(&world, &options);
        world
            .run(&["sync"])
            .fails_with(1, &["needs a key", "mode: history"]);
        // Exact, it is one.
        if ty != "float" {
            config(&world, &["kind: history", "lake: dbo.exact", scd2]);
            sync(&world);
        }
    }
    // The source's name is not the lake's.
    let world = World::new(TIMED).await;
    config(
        &world,
        &[
            "kind: history",
            "columns: { rename: { changed_at: changed } }",
            "merge: { mode: scd2, valid_from: changed_at }",
        ],
    );
    let texts = ["column changed_at of the source is called changed"];
    world.run(&["sync"]).fails_with(1, &texts);
}

/// Everything that a target has of the versions, in their order.
const CHAINS: &str = "SELECT id, name, CONVERT(nvarchar(30), changed_at, 121), CONVERT(int, _seq), \
    CONVERT(nvarchar(30), valid_from, 121), CONVERT(nvarchar(30), valid_to, 121), CONVERT(int, is_current), \
    CONVERT(int, _deleted) FROM dbo.items ORDER BY _seq";
