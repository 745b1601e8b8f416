//! Keys that a target compares otherwise than its source, and targets that take or lose rows of their own accord: a
//! load is exact or refused.

use crate::harness::{World, finish};
use icesync::sync::{FAIL_AFTER_ALTER, FAIL_AFTER_STAGING};
use serde_json::{Value, json};

fn load(report: &Value) -> &Value {
    &report["tables"][0]["load"]
}

fn config(change: &str, merge: &str) -> String {
    format!("  - source: dbo.t\n    change: {{ strategy: {change} }}\n    merge: {{ {merge} }}\n")
}

/// Holds a run at a failpoint while `meanwhile` happens, and answers how it ended.
async fn held(
    world: &mut World,
    args: &[&str],
    failpoint: &str,
    meanwhile: &str,
) -> crate::harness::Run {
    let file = world.path("held");
    let mut command = world.command(args);
    let failpoint = format!("{failpoint}:1={}", file.display());
    let run = command
        .env("ICESYNC_FAILPOINT", failpoint)
        .spawn()
        .expect("starts");
    while !file.exists() {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    world.target(meanwhile).await;
    std::fs::remove_file(file).expect("removed");
    finish(run)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_coarser_key_of_the_target_takes_no_row_of_another_key() {
    for statement in ["merge", "update_insert"] {
        let mut world = World::new(
            "CREATE TABLE dbo.t (k varchar(10) COLLATE Latin1_General_CS_AS NOT NULL PRIMARY KEY, n int NOT NULL)
GO
INSERT dbo.t VALUES ('a', 1), ('b', 2)",
        )
        .await;
        world
            .target("CREATE TABLE dbo.t (k varchar(10) COLLATE Latin1_General_CI_AS NOT NULL PRIMARY KEY, n int NOT \
NULL)")
            .await;
        world.config(&config("full", &format!("statement: {statement}")));
        world.run(&["--json", "sync"]).json();
        let rows = "SELECT k, n FROM dbo.t ORDER BY n";
        let before = world.target_rows(rows).await;
        world.source("INSERT dbo.t VALUES ('A', 3)").await;
        let unasked = world.run(&["sync"]);
        unasked.fails_with(1, &["dbo.t", "(not shown", "source's collation"]);
        assert!(!format!("{unasked:?}").contains("(a)"), "{unasked:#?}");
        world
            .run(&["load", "--show-values"])
            .fails_with(1, &["dbo.t", "(a)", "source's collation"]);
        assert_eq!(world.target_rows(rows).await, before, "{statement}");
        // Instead of the other one it is the row of its key.
        world.source("DELETE dbo.t WHERE k = 'a'").await;
        world.run(&["--json", "sync"]).json();
        assert_eq!(world.source_rows(rows).await, world.target_rows(rows).await);
    }
}

/// Deletes of several spellings of one key, of which the target has one.
#[tokio::test(flavor = "multi_thread")]
async fn each_deleted_spelling_takes_its_own_row() {
    for statement in ["merge", "update_insert"] {
        let mut world = World::new(
            "CREATE TABLE dbo.t (k nvarchar(10) COLLATE Latin1_General_CI_AS NOT NULL PRIMARY KEY, n int NOT NULL,
    rv rowversion NOT NULL)
GO
INSERT dbo.t (k, n) VALUES (N'\u{c9}1', 1), (N'\u{c9}2', 2), (N'x', 3)",
        )
        .await;
        world.config(&config("rowversion", &format!("statement: {statement}")));
        world.run(&["--json", "sync"]).json();
        world
            .source("UPDATE dbo.t SET k = N'\u{e9}1' WHERE n = 1; UPDATE dbo.t SET k = N'\u{e9}2' WHERE n = 2")
            .await;
        world.run(&["--json", "sync"]).json();
        // The lake has both spellings of each.
        world.source("DELETE dbo.t WHERE n < 3").await;
        world.config(&config("full", &format!("statement: {statement}")));
        world.run(&["--json", "sync"]).json();
        let rows = "SELECT k, n FROM dbo.t ORDER BY n";
        assert_eq!(
            world.source_rows(rows).await,
            world.target_rows(rows).await,
            "{statement}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upsert_does_not_go_on_from_appended_rows() {
    let mut world = World::new(
        "CREATE TABLE dbo.t (k int NOT NULL PRIMARY KEY, n int NOT NULL)\nGO\nINSERT dbo.t VALUES (1, 1), (2, 1)",
    )
    .await;
    world
        .target("CREATE TABLE dbo.t (k int NOT NULL, n int NOT NULL)")
        .await;
    world.config(&config("full", "mode: append"));
    world.run(&["--json", "sync"]).json();
    world
        .source("DELETE dbo.t WHERE k = 2; UPDATE dbo.t SET n = 2 WHERE k = 1")
        .await;
    world.run(&["--json", "sync"]).json();
    let count = "SELECT COUNT(*) FROM dbo.t";
    assert_eq!(world.target_rows(count).await, [["Int(3)"]]);
    world.config(&config("full", "mode: upsert"));
    world.source("INSERT dbo.t VALUES (3, 1)").await;
    world
        .run(&["sync"])
        .fails_with(1, &["mode: append", "replace"]);
    assert_eq!(world.target_rows(count).await, [["Int(3)"]]);
    world.target("DELETE dbo.t WHERE k = 1 AND n = 1").await;
    world.config(&config("full", "mode: replace"));
    let run = world.run(&["--json", "sync"]).json();
    assert_eq!(load(&run)["kind"], json!("replace"));
    let rows = "SELECT k, n FROM dbo.t ORDER BY k, n";
    assert_eq!(world.source_rows(rows).await, world.target_rows(rows).await);
}

/// As a warning about rows that only the target has recommends.
#[tokio::test(flavor = "multi_thread")]
async fn mode_replace_replaces_what_was_upserted() {
    let mut world = World::new(
        "CREATE TABLE dbo.t (k int NOT NULL PRIMARY KEY, n int NOT NULL)\nGO\nINSERT dbo.t VALUES (1, 1), (2, 1)",
    )
    .await;
    world.config(&config("full", ""));
    world.run(&["--json", "sync"]).json();
    world.target("INSERT dbo.t VALUES (9, 9)").await;
    world.config(&config("full", "mode: replace"));
    let run = world.run(&["--json", "load"]).json();
    assert_eq!(load(&run)["kind"], json!("replace"), "{run:#}");
    assert_eq!(load(&run)["deleted"], json!(1));
    let again = world.run(&["--json", "load"]).json();
    assert_eq!(load(&again)["kind"], json!("nothing"), "{again:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_drops_duplicates_is_refused() {
    let world = World::new(
        "CREATE TABLE dbo.t (k int NOT NULL PRIMARY KEY, n int NOT NULL)\nGO\nINSERT dbo.t VALUES (1, 1), (2, 1)",
    );
    let mut world = world.await;
    world
        .target(
            "CREATE TABLE dbo.t (k int NOT NULL PRIMARY KEY, n int NOT NULL);
            CREATE UNIQUE INDEX only_n ON dbo.t (n) WITH (IGNORE_DUP_KEY = ON)",
        )
        .await;
    world.config(&config("full", ""));
    world
        .run(&["sync"])
        .fails_with(1, &["only_n", "IGNORE_DUP_KEY"]);
    assert!(world.target_rows("SELECT * FROM dbo.t").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_is_altered_during_a_load_is_looked_at_again() {
    let mut world = World::new(
        "CREATE TABLE dbo.t (k int NOT NULL PRIMARY KEY, amount decimal(10,4) NOT NULL)
GO
INSERT dbo.t VALUES (1, 1.2345), (2, 2.5)",
    )
    .await;
    world.config(&config("full", ""));
    world.run(&["--json", "sync"]).json();
    world
        .source("UPDATE dbo.t SET amount = 7.8912 WHERE k = 2")
        .await;
    let alter = "ALTER TABLE dbo.t ALTER COLUMN amount decimal(8,4) NOT NULL";
    let run = held(&mut world, &["sync"], FAIL_AFTER_STAGING, alter).await;
    // The column is widened again, or it is said that it does not hold every value; nothing is rounded.
    let rows = "SELECT k, CONVERT(varchar(20), amount) FROM dbo.t ORDER BY k";
    assert_eq!(run.code, 0, "{run:#?}");
    assert_eq!(world.source_rows(rows).await, world.target_rows(rows).await);
    assert!(run.stderr.contains("altered"), "{run:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_is_recreated_while_its_columns_follow_is_not_taken_for_the_loaded_one() {
    let mut world = World::new(
        "CREATE TABLE dbo.t (k int NOT NULL PRIMARY KEY, n int NOT NULL)\nGO\nINSERT dbo.t VALUES (1, 1), (2, 1)",
    )
    .await;
    world.config(&config("full", ""));
    world.run(&["--json", "sync"]).json();
    world.source("ALTER TABLE dbo.t ADD more int NULL").await;
    world.source("UPDATE dbo.t SET more = 5 WHERE k = 2").await;
    let recreate = "DROP TABLE dbo.t; CREATE TABLE dbo.t (k int NOT NULL PRIMARY KEY, n int NOT NULL, more int NULL)";
    let run = held(&mut world, &["sync"], FAIL_AFTER_ALTER, recreate).await;
    assert_eq!(run.code, 0, "{run:#?}");
    let rows = "SELECT k, n, more FROM dbo.t ORDER BY k";
    assert_eq!(world.source_rows(rows).await, world.target_rows(rows).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_taken_by_something_else_is_refused_before_anything_is_copied() {
    let mut world = World::new(
        "CREATE TABLE dbo.t (k int NOT NULL PRIMARY KEY, n int NOT NULL)\nGO\nINSERT dbo.t VALUES (1, 1), (2, 1)",
    )
    .await;
    world
        .target("CREATE TABLE dbo.other (k int NOT NULL CONSTRAINT t PRIMARY KEY)")
        .await;
    world.config(&config("full", ""));
    world
        .run(&["sync"])
        .fails_with(1, &["dbo.t", "taken by an object that is no table"]);
}
