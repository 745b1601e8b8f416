//! A trigger of the target may end a load's transaction, with or without an error. Such a load fails. It leaves
//! nothing, or what the trigger has committed and a load state that says so, and the next one without the trigger
//! brings the rest.

use crate::harness::World;
use serde_json::json;

const ITEMS: &str = "CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY, n int NULL, note nvarchar(20) NULL)
GO
INSERT dbo.t (id, n, note) SELECT TOP (20) ROW_NUMBER() OVER (ORDER BY (SELECT 1)), 1, N'ok' FROM sys.all_columns";
const CHANGE: &str = "UPDATE dbo.t SET n = 5; UPDATE dbo.t SET note = N'bad' WHERE id = 8; DELETE dbo.t WHERE id = 3;
    INSERT dbo.t (id, n, note) VALUES (21, 1, N'new')";
const TRIGGER: &str = "CREATE TRIGGER dbo.ends ON dbo.t AFTER INSERT, UPDATE AS
BEGIN
    SET NOCOUNT ON;
    IF EXISTS (SELECT 1 FROM inserted WHERE note = N'bad')
    BEGIN
        ROLLBACK TRANSACTION;
        BEGIN TRANSACTION;
    END;
END";
/// As [`TRIGGER`], with what the trigger does about the row.
fn ends(with: &str) -> String {
    format!(
        "CREATE TRIGGER dbo.ends ON dbo.t AFTER INSERT, UPDATE AS
BEGIN
    SET NOCOUNT ON;
    IF EXISTS (SELECT 1 FROM inserted WHERE note = N'bad')
    BEGIN
        {with}
    END;
END"
    )
}
const ENDED: &str = "ended the transaction of the load";
const ALL: &str = "SELECT id, n, note FROM dbo.t ORDER BY id, n";
const STATE: &str = "SELECT snapshot_id, run_id, pending_applied, inserted, updated, deleted FROM icesync.load_state";

/// Twenty rows, loaded; then changes of which the target's trigger takes one amiss.
async fn world(options: &str) -> World {
    let mut world = changed(options).await;
    world.target(TRIGGER).await;
    world
}

/// Twenty rows, loaded; then changes.
async fn changed(options: &str) -> World {
    let mut world = World::new(ITEMS).await;
    world.config(&format!(
        "  - source: dbo.t\n    change: {{ strategy: full }}\n{options}"
    ));
    world.run(&["--json", "sync"]).json();
    world.source(CHANGE).await;
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trigger_that_begins_another_transaction_stops_the_load() {
    let ended = "ended the transaction of the load";
    for (options, message) in [
        ("    merge: { statement: update_insert }\n", ended),
        // The table of actions is gone as well, which may be noticed first.
        ("    merge: { statement: merge }\n", "dbo.t"),
        (
            "    merge: { mode: replace, statement: update_insert }\n",
            ended,
        ),
        (
            "    merge: { deletes: { soft: { column: gone } }, statement: update_insert }\n",
            ended,
        ),
        (
            "    merge: { on_bad_row: quarantine, statement: update_insert }\n",
            ended,
        ),
        ("    kind: history\n    merge: { mode: history }\n", ended),
        ("    kind: history\n    merge: { mode: append }\n", ended),
        ("    kind: history\n    merge: { mode: scd2 }\n", "dbo.t"),
    ] {
        let mut world = world(options).await;
        let before = (world.target_rows(ALL).await, world.target_rows(STATE).await);
        for command in ["sync", "load"] {
            world.run(&[command]).fails_with(1, &["dbo.t", message]);
            let after = (world.target_rows(ALL).await, world.target_rows(STATE).await);
            assert_eq!(after, before, "{options}{command}");
        }
        world.target("DROP TRIGGER dbo.ends").await;
        let run = world.run(&["--json", "load"]).json();
        assert_ne!(
            run["tables"][0]["load"]["kind"],
            json!("nothing"),
            "{run:#}"
        );
        let bad = "SELECT n FROM dbo.t WHERE note = N'bad'";
        assert_eq!(world.target_rows(bad).await, [["Int(5)"]], "{options}");
        if options.contains("kind: history") || options.contains("gone") {
            continue;
        }
        let (source, target) = (world.source_rows(ALL).await, world.target_rows(ALL).await);
        assert_eq!(source, target, "{options}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trigger_that_ends_the_transaction_of_a_step_leaves_the_steps_before() {
    let mut world = world("    merge: { batch_rows: 5, statement: update_insert }\n").await;
    let ended = ["dbo.t", "ended the transaction of the load"];
    world.run(&["sync"]).fails_with(1, &ended);
    let between = world.target_rows(STATE).await;
    let applied = "SELECT pending_applied FROM icesync.load_state";
    let applied = world.target_rows(applied).await.concat().concat();
    assert!(
        ["Int(5)", "Int(10)"].contains(&applied.as_str()),
        "{applied}"
    );
    world.run(&["load"]).fails_with(1, &ended);
    assert_eq!(between.len(), 1);
    world.target("DROP TRIGGER dbo.ends").await;
    world.run(&["--json", "load"]).json();
    let (source, target) = (world.source_rows(ALL).await, world.target_rows(ALL).await);
    assert_eq!(source, target);
}

/// The table that a first load has filled has no trigger yet, so the whole of the next load meets it.
#[tokio::test(flavor = "multi_thread")]
async fn a_trigger_stops_a_whole_load_into_a_target_that_is_empty() {
    let mut world = World::new(ITEMS).await;
    world
        .source("UPDATE dbo.t SET note = N'bad' WHERE id = 8")
        .await;
    world
        .target(
            "CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY, n int NULL, note nvarchar(20) NULL)",
        )
        .await;
    world.target(TRIGGER).await;
    world.config("  - source: dbo.t\n    change: { strategy: full }\n");
    for _ in 0..2 {
        let ended = ["dbo.t", "ended the transaction of the load"];
        world.run(&["sync"]).fails_with(1, &ended);
        assert!(world.target_rows(ALL).await.is_empty());
        assert!(world.target_rows(STATE).await.is_empty());
    }
    world.target("DROP TRIGGER dbo.ends").await;
    world.run(&["--json", "sync"]).json();
    assert_eq!(world.source_rows(ALL).await, world.target_rows(ALL).await);
}

/// The snapshot that the state names, the one that a load was to reach, and whether every row is to be loaded.
const BETWEEN: &str =
    "SELECT snapshot_id, pending_snapshot_id, CONVERT(int, pending_whole) FROM icesync.load_state";

#[tokio::test(flavor = "multi_thread")]
async fn a_trigger_that_commits_leaves_a_load_that_the_next_one_finishes() {
    for options in [
        "statement: update_insert",
        "statement: merge",
        "batch_rows: 5, statement: update_insert",
        "on_bad_row: quarantine, statement: update_insert",
        "deletes: { soft: { column: gone } }, statement: update_insert",
    ] {
        for with in [
            "COMMIT TRANSACTION; BEGIN TRANSACTION;",
            "COMMIT TRANSACTION;",
        ] {
            let said = format!("{options}: {with}");
            let mut world = changed(&format!("    merge: {{ {options} }}\n")).await;
            let before = world.target_rows(BETWEEN).await;
            world.target(&ends(with)).await;
            world.run(&["sync"]).fails_with(1, &["dbo.t", ENDED]);
            // The trigger has committed the updates, or some of them.
            let bad = "SELECT n FROM dbo.t WHERE note = N'bad'";
            assert_eq!(world.target_rows(bad).await, [["Int(5)"]], "{said}");
            let left = world.target_rows(BETWEEN).await;
            assert_eq!(left[0][0], before[0][0], "{said}");
            assert_ne!(left[0][1], "NULL", "{said}");
            assert_eq!(left[0][2], "Int(1)", "{said}");
            let text = world.run(&["status"]).stdout;
            assert!(text.contains("between snapshots 1 and 2"), "{said}: {text}");
            world.target("DROP TRIGGER dbo.ends").await;
            let run = world.run(&["--json", "load"]).json();
            assert_eq!(run["tables"][0]["load"]["kind"], json!("whole"), "{run:#}");
            let state = world.target_rows(BETWEEN).await;
            assert_eq!(state[0][1..], ["NULL", "NULL"], "{said}");
            let rows = match options.contains("gone") {
                true => ALL.replace("ORDER", "WHERE gone = 0 ORDER"),
                false => ALL.to_owned(),
            };
            let (source, target) = (world.source_rows(ALL).await, world.target_rows(&rows).await);
            assert_eq!(source, target, "{said}");
        }
    }
}

/// Nothing tells which of the rows are there already.
#[tokio::test(flavor = "multi_thread")]
async fn rows_that_a_trigger_has_committed_are_not_appended_again() {
    let mut world = changed("    kind: history\n    merge: { mode: append }\n").await;
    world.target(&ends("COMMIT TRANSACTION;")).await;
    world.run(&["sync"]).fails_with(1, &["dbo.t", ENDED]);
    let before = world.target_rows(ALL).await;
    world.target("DROP TRIGGER dbo.ends").await;
    let texts = ["between snapshots 1 and 2", "TRUNCATE TABLE [dbo].[t]"];
    world.run(&["load"]).fails_with(1, &texts);
    assert_eq!(world.target_rows(ALL).await, before);
    world.target("TRUNCATE TABLE dbo.t").await;
    world.run(&["--json", "load", "--full"]).json();
    let bad = "SELECT COUNT(*) FROM dbo.t WHERE note = N'bad'";
    assert_eq!(world.target_rows(bad).await, [["Int(1)"]]);
}

/// A row that the trigger has committed leaves the lake before the next load.
#[tokio::test(flavor = "multi_thread")]
async fn a_first_load_that_a_trigger_has_cut_short_is_loaded_whole() {
    let mut world = World::new(ITEMS).await;
    world
        .source("UPDATE dbo.t SET note = N'bad' WHERE id = 8")
        .await;
    for batch in [
        "CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY, n int NULL, note nvarchar(20) NULL)",
        "INSERT dbo.t VALUES (8, 0, N'old')",
        &ends("COMMIT TRANSACTION; BEGIN TRANSACTION;"),
    ] {
        world.target(batch).await;
    }
    world.config(
        "  - source: dbo.t\n    change: { strategy: full }\n    merge: { statement: update_insert }\n",
    );
    world.run(&["sync"]).fails_with(1, &["dbo.t", ENDED]);
    let committed = world.target_rows(ALL).await;
    assert_eq!(committed, [["Int(8)", "Int(1)", "Text(\"bad\")"]]);
    world.target("DROP TRIGGER dbo.ends").await;
    world.source("DELETE dbo.t WHERE id = 8").await;
    let run = world.run(&["--json", "sync"]).json();
    assert_eq!(run["tables"][0]["load"]["kind"], json!("whole"), "{run:#}");
    assert_eq!(run["tables"][0]["load"]["warnings"], json!([]), "{run:#}");
    assert_eq!(world.source_rows(ALL).await, world.target_rows(ALL).await);
}

/// The savepoint of the part went with the transaction, and so did the parts before.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_is_refused_after_the_transaction_has_ended_is_not_set_aside() {
    let options = "    merge: { on_bad_row: quarantine, statement: update_insert }\n";
    let mut world = world(options).await;
    world
        .target("ALTER TABLE dbo.t ADD CONSTRAINT positive CHECK (n > 0)")
        .await;
    world
        .source("INSERT dbo.t (id, n, note) VALUES (22, -1, N'refused')")
        .await;
    let before = (world.target_rows(ALL).await, world.target_rows(STATE).await);
    world.run(&["sync"]).fails_with(1, &["dbo.t", ENDED]);
    let after = (world.target_rows(ALL).await, world.target_rows(STATE).await);
    assert_eq!(after, before);
    world.target("DROP TRIGGER dbo.ends").await;
    let run = world.run(&["--json", "load"]).json_any();
    assert_eq!(run["tables"][0]["load"]["quarantined"], json!(1), "{run:#}");
}
