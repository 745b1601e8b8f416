//! A trigger of the target that ends a load's transaction and begins another one raises no error. Such a load fails,
//! leaves nothing, and the next one without the trigger brings everything.

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
const ALL: &str = "SELECT id, n, note FROM dbo.t ORDER BY id, n";
const STATE: &str = "SELECT snapshot_id, run_id, pending_applied, inserted, updated, deleted FROM icesync.load_state";

/// Twenty rows, loaded; then changes of which the target's trigger takes one amiss.
async fn world(options: &str) -> World {
    let mut world = World::new(ITEMS).await;
    world.config(&format!(
        "  - source: dbo.t\n    change: {{ strategy: full }}\n{options}"
    ));
    world.run(&["--json", "sync"]).json();
    world.source(CHANGE).await;
    world.target(TRIGGER).await;
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
