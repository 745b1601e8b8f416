//! Large deltas, applied in steps of `merge.batch_rows` rows: whatever happens between two of them, the target ends
//! with the rows of the lake, and until then `status` says that it is between two snapshots.

use crate::harness::{World, finish, server};
use icesync::sync::{FAIL_AFTER_NET, FAIL_AFTER_STAGING, FAIL_BETWEEN_STEPS};
use icesync_sandbox::tds::Fault;
use serde_json::{Value, json};

const TABLE: &str = "CREATE TABLE dbo.events (id int NOT NULL PRIMARY KEY, code nvarchar(20) NOT NULL, n int NOT NULL)";
const ROWS: &str = "SELECT id, code, n FROM dbo.events ORDER BY id";
/// Each load brings inserts, updates and deletes.
const CHANGE: &str = "UPDATE dbo.events SET n = n + 1 WHERE id % 3 = 0;
    DELETE dbo.events WHERE id % 10 = 7;
    INSERT dbo.events (id, code, n) SELECT id + 1000, CONCAT(code, N'x'), 0 FROM dbo.events WHERE id % 5 = 1";

fn config(merge: &str) -> String {
    format!("  - source: dbo.events\n    change: {{ strategy: full }}\n    merge: {{ {merge} }}\n")
}

/// 300 rows, loaded.
async fn world(merge: &str) -> World {
    let world = World::new(
        &format!("{TABLE}
GO
INSERT dbo.events (id, code, n) SELECT TOP (300) ROW_NUMBER() OVER (ORDER BY (SELECT 1)), N'first', 0
FROM sys.all_columns a CROSS JOIN sys.all_columns b"),
    )
    .await;
    world.config(&config(merge));
    world.run(&["--json", "sync"]).json();
    world
}

fn load(report: &Value) -> &Value {
    &report["tables"][0]["load"]
}

async fn assert_equal(world: &mut World, when: &str) {
    let (source, target) = (world.source_rows(ROWS).await, world.target_rows(ROWS).await);
    assert!(source == target, "source and target differ {when}");
    let left = "SELECT t.name FROM sys.tables t JOIN sys.schemas s ON s.schema_id = t.schema_id WHERE s.name = \
        N'icesync' AND t.name LIKE N'stg%'";
    assert!(world.target_rows(left).await.is_empty(), "{when}");
    let status = world.run(&["--json", "status"]).json();
    let target = &status["tables"][0]["target"];
    assert_eq!(target["between"], Value::Null, "{when}: {status:#}");
    assert_eq!(target["snapshots_behind"], json!(0), "{when}");
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

#[tokio::test(flavor = "multi_thread")]
async fn a_delta_in_steps_is_the_delta() {
    for statement in ["merge", "update_insert"] {
        let mut world = world(&format!("batch_rows: 20, statement: {statement}")).await;
        world.source(CHANGE).await;
        let run = world.run(&["--json", "sync"]).json();
        let transactions = load(&run)["transactions"].as_u64().expect("a count");
        assert!(transactions > 5, "{run:#}");
        assert_equal(&mut world, statement).await;
        let counts = ["inserted", "updated", "deleted"].map(|name| load(&run)[name].clone());
        assert_eq!(counts, [json!(60), json!(90), json!(30)], "{run:#}");
        // What was applied is the counts that the state has.
        let states = "SELECT inserted, updated, deleted FROM icesync.load_state";
        let state = world.target_rows(states).await;
        assert_eq!(state, [["Int(60)", "Int(90)", "Int(30)"]]);
        let text = world.run(&["load", "--full"]).stdout;
        assert!(
            text.contains("in ") && text.contains("transactions"),
            "{text}"
        );
        assert_equal(&mut world, "after a whole load in steps").await;
    }
}

/// A death after each step, then: nothing new; rows that change again; rows that change back.
#[tokio::test(flavor = "multi_thread")]
async fn a_load_that_dies_between_steps_is_finished() {
    for (step, then) in [(1, ""), (2, "again"), (3, "back"), (4, "full"), (5, "")] {
        let mut world = world("batch_rows: 30").await;
        world.source(CHANGE).await;
        dies(&world, &["sync"], &format!("{FAIL_BETWEEN_STEPS}:{step}"));
        let status = world.run(&["--json", "status"]).json();
        let between = &status["tables"][0]["target"]["between"];
        assert_eq!(between["rows_applied"], json!(30 * step), "{status:#}");
        assert_eq!(between["sequence_number"], json!(2), "{status:#}");
        let text = world.run(&["status"]).stdout;
        assert!(text.contains("between snapshots 1 and 2"), "{text}");
        match then {
            "again" => {
                let again = "UPDATE dbo.events SET n = n + 1 WHERE id % 3 = 0; DELETE dbo.events WHERE id % 10 = 3";
                world.source(again).await;
            }
            "back" => {
                let back = "UPDATE dbo.events SET n = 0; DELETE dbo.events WHERE id > 1000;
                    INSERT dbo.events SELECT id + 1, N'first', 0 FROM dbo.events WHERE id % 10 = 6";
                world.source(back).await;
            }
            _ => {}
        }
        let args: &[&str] = match then {
            "full" => &["--json", "load", "--full"],
            _ => &["--json", "sync"],
        };
        let run = world.run(args).json();
        let warned = load(&run)["warnings"].to_string();
        assert_eq!(
            warned.contains("interrupted load of snapshot 2 was finished first"),
            !then.is_empty(),
            "{run:#}"
        );
        assert_equal(&mut world, &format!("after step {step}, {then}")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_that_dies_before_its_first_step_has_changed_nothing() {
    for edge in [FAIL_AFTER_STAGING, FAIL_AFTER_NET] {
        let mut world = world("batch_rows: 30").await;
        let before = world.target_rows(ROWS).await;
        world.source(CHANGE).await;
        dies(&world, &["sync"], edge);
        assert_eq!(world.target_rows(ROWS).await, before);
        let run = world.run(&["--json", "sync"]).json();
        assert_eq!(load(&run)["kind"], json!("delta"));
        assert_equal(&mut world, edge).await;
    }
}

/// The reply to a step is lost, whether it is the last one or not.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_reply_to_a_step_repeats_nothing() {
    let Some(faults) = server().faults() else {
        eprintln!("SKIPPED: replies of a real server cannot be dropped");
        return;
    };
    for step in [1, 3] {
        let name = format!("dropped{step}");
        let mut world = World::new(&format!(
            "CREATE TABLE dbo.{name} (id int NOT NULL PRIMARY KEY, n int NOT NULL)
GO
INSERT dbo.{name} (id, n) SELECT TOP (90) ROW_NUMBER() OVER (ORDER BY (SELECT 1)), 0 FROM sys.all_columns"
        ))
        .await;
        world.config(&format!(
            "  - source: dbo.{name}\n    change: {{ strategy: full }}\n    merge: {{ batch_rows: 30 }}\n"
        ));
        world.run(&["--json", "sync"]).json();
        world.source(&format!("UPDATE dbo.{name} SET n = 1")).await;
        let fired = faults.fired();
        faults.arm(Fault::DropAfter, &format!("MERGE [dbo].[{name}]"), step);
        let run = world.run(&["--json", "sync"]);
        assert!(faults.fired() > fired, "the reply was not dropped");
        assert_eq!(load(&run.json())["sequence_number"], json!(2));
        let sum = format!("SELECT COUNT(*), SUM(n) FROM dbo.{name}");
        assert_eq!(world.target_rows(&sum).await, [["Int(90)", "Int(90)"]]);
    }
}

/// A second load waits for the lock of one that is between two steps, and goes on from there when that one is gone.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_load_takes_over_between_steps() {
    let mut world = world("batch_rows: 30").await;
    world.source(CHANGE).await;
    world.run(&["--json", "extract"]).json();
    let held = world.path("held");
    let mut command = world.command(&["--json", "load"]);
    let failpoint = format!("{FAIL_BETWEEN_STEPS}:2={}", held.display());
    let mut first = command
        .env("ICESYNC_FAILPOINT", failpoint)
        .spawn()
        .expect("starts");
    while !held.exists() {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let text = world.run(&["status"]).stdout;
    assert!(text.contains("60 of "), "{text}");
    let second = world.spawn(&["--json", "load"]);
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    first.kill().expect("killed");
    let _ = first.wait();
    let done = finish(second).json();
    assert_eq!(load(&done)["sequence_number"], json!(2), "{done:#}");
    assert_equal(&mut world, "after the second load").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_mode_does_not_go_on_between_steps() {
    let mut world = world("batch_rows: 30").await;
    world.source(CHANGE).await;
    dies(&world, &["sync"], &format!("{FAIL_BETWEEN_STEPS}:2"));
    world.config(&config("mode: append"));
    let texts = ["between snapshots 1 and 2", "TRUNCATE TABLE [dbo].[events]"];
    world.run(&["load"]).fails_with(1, &texts);
    world.config(&config("mode: replace"));
    let run = world.run(&["--json", "load"]).json();
    assert_eq!(load(&run)["kind"], json!("replace"), "{run:#}");
    assert_equal(&mut world, "after a replacement").await;
}

/// Rows that no step has reached lack the values of a column that is taken in, also where nothing else has changed.
#[tokio::test(flavor = "multi_thread")]
async fn a_column_that_is_taken_in_between_steps_is_loaded_into_every_row() {
    for then in ["", "again", "full"] {
        let mut world = world("batch_rows: 30, columns: { exclude: [code] }").await;
        world.config(&config("batch_rows: 30"));
        dies(&world, &["load"], &format!("{FAIL_BETWEEN_STEPS}:2"));
        if then == "again" {
            world.source(CHANGE).await;
        }
        let args: &[&str] = match then {
            "full" => &["--json", "load", "--full"],
            _ => &["--json", "sync"],
        };
        world.run(args).json();
        assert_equal(&mut world, then).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_was_dropped_between_steps_is_loaded_again() {
    let mut world = world("batch_rows: 30").await;
    world.source(CHANGE).await;
    dies(&world, &["sync"], &format!("{FAIL_BETWEEN_STEPS}:2"));
    world.target("DROP TABLE dbo.events").await;
    let run = world.run(&["--json", "sync"]).json();
    assert_eq!(load(&run)["kind"], json!("first"), "{run:#}");
    assert_equal(&mut world, "after a first load").await;
}

/// Rows that no step has reached are not those of the snapshot before.
#[tokio::test(flavor = "multi_thread")]
async fn a_recreated_target_is_loaded_whole_again_after_a_death_between_steps() {
    let mut world = world("batch_rows: 30").await;
    world.target("DROP TABLE dbo.events").await;
    world.target(TABLE).await;
    world
        .target("INSERT dbo.events (id, code, n) VALUES (8, N'other', 7)")
        .await;
    dies(&world, &["load"], &format!("{FAIL_BETWEEN_STEPS}:2"));
    let status = world.run(&["--json", "status"]).json();
    let standing = &status["tables"][0]["target"]["standing"];
    assert_eq!(*standing, json!("recreated"), "{status:#}");
    let run = world.run(&["--json", "load"]).json();
    assert_eq!(load(&run)["kind"], json!("whole"), "{run:#}");
    assert_equal(&mut world, "after a whole load").await;
    world.source(CHANGE).await;
    let run = world.run(&["--json", "sync"]).json();
    assert_eq!(load(&run)["kind"], json!("delta"), "{run:#}");
    assert_equal(&mut world, "after a delta").await;
}

/// Changes of rows that a later snapshot takes back, among them rows that only the one between has.
const BACK: &str = "UPDATE dbo.events SET n = 0; DELETE dbo.events WHERE id BETWEEN 1001 AND 1100;
    UPDATE dbo.events SET n = 2 WHERE id = 4";

/// The target refuses a row in a later step. Once it is corrected at the source, the load goes past the snapshot that
/// has it: rows of that snapshot which are in the target become those of the newest one.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_is_refused_in_a_later_step_is_corrected_at_the_source() {
    for full in [false, true] {
        let mut world = world("batch_rows: 30").await;
        world
            .target("ALTER TABLE dbo.events ADD CONSTRAINT small CHECK (n < 100)")
            .await;
        world.source(CHANGE).await;
        world
            .source("UPDATE dbo.events SET n = 500 WHERE id = 1291")
            .await;
        let refused = world.run(&["--json", "sync"]).json_any();
        let error = refused["tables"][0]["error"].to_string();
        assert!(error.contains("was rolled back"), "{error}");
        assert!(!error.contains("Nothing was loaded"), "{error}");
        // Some of the rows that only this snapshot has are there.
        let early = "SELECT COUNT(*) FROM dbo.events WHERE id BETWEEN 1001 AND 1100";
        assert_eq!(world.target_rows(early).await, [["Int(20)"]]);
        world
            .run(&["load"])
            .fails_with(1, &["violates a constraint"]);
        world.source(BACK).await;
        let run = if full {
            world.run(&["--json", "extract"]).json();
            world.run(&["--json", "load", "--full"]).json()
        } else {
            world.run(&["--json", "sync"]).json()
        };
        let kind = if full { "whole" } else { "delta" };
        assert_eq!(load(&run)["kind"], json!(kind), "{run:#}");
        assert_eq!(load(&run)["transactions"], json!(1), "{run:#}");
        let warnings = load(&run)["warnings"].to_string();
        assert!(
            warnings.contains("was between snapshots 1 and 2"),
            "{warnings}"
        );
        assert!(!warnings.contains("were left"), "{warnings}");
        assert_equal(&mut world, kind).await;
        world
            .source("UPDATE dbo.events SET n = n + 1 WHERE id % 3 = 1")
            .await;
        let next = world.run(&["--json", "sync"]).json();
        assert_eq!(load(&next)["warnings"], json!([]), "{next:#}");
        assert_equal(&mut world, "after the next load").await;
    }
}

/// The table was recreated, and a load of it died when rows had come that the next snapshot has no more.
#[tokio::test(flavor = "multi_thread")]
async fn rows_of_an_interrupted_whole_load_leave_a_recreated_target() {
    let mut world = world("batch_rows: 30").await;
    world.target("DROP TABLE dbo.events").await;
    world.target(TABLE).await;
    world
        .target("INSERT dbo.events (id, code, n) VALUES (8, N'other', 7)")
        .await;
    world.source(CHANGE).await;
    // 30 deletes and 330 rows in 12 steps; the last two have only rows that the second snapshot has brought.
    dies(&world, &["sync"], &format!("{FAIL_BETWEEN_STEPS}:11"));
    let early = "SELECT COUNT(*) FROM dbo.events WHERE id > 1000";
    assert_eq!(world.target_rows(early).await, [["Int(30)"]]);
    world.source("DELETE dbo.events WHERE id > 1000").await;
    let run = world.run(&["--json", "sync"]).json();
    assert_eq!(load(&run)["kind"], json!("whole"), "{run:#}");
    let warnings = load(&run)["warnings"].to_string();
    assert!(!warnings.contains("were left"), "{warnings}");
    assert_equal(&mut world, "after a whole load").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn steps_are_for_upserts() {
    let world = World::new("CREATE TABLE dbo.events (id int NOT NULL PRIMARY KEY)").await;
    world.config(&config("mode: replace, batch_rows: 10"));
    world
        .run(&["plan"])
        .fails_with(2, &["tables[0].merge.batch_rows", "mode upsert"]);
    world.config(&config("batch_rows: 10"));
    let plan = world.run(&["plan"]);
    assert_eq!(plan.code, 0, "{plan:#?}");
}

/// It goes on with every row of the snapshot, so that rows which others have changed in the target are mended.
#[tokio::test(flavor = "multi_thread")]
async fn a_whole_load_that_dies_between_steps_is_finished_whole() {
    for changes in [false, true] {
        let mut world = world("batch_rows: 30").await;
        world
            .target("UPDATE dbo.events SET n = 777; DELETE dbo.events WHERE id > 290")
            .await;
        if changes {
            world.source(CHANGE).await;
            world.run(&["--json", "extract"]).json();
        }
        for step in [1, 2] {
            let failpoint = format!("{FAIL_BETWEEN_STEPS}:{step}");
            // The second one goes on with the first.
            let args: &[&str] = match step {
                1 => &["load", "--full"],
                _ => &["load"],
            };
            dies(&world, args, &failpoint);
            let state = "SELECT CONVERT(int, pending_whole) FROM icesync.load_state";
            assert_eq!(world.target_rows(state).await, [["Int(1)"]]);
        }
        let run = world.run(&["--json", "load"]).json();
        assert_eq!(load(&run)["kind"], json!("whole"), "{run:#}");
        assert_equal(&mut world, "after a whole load that died twice").await;
        let state =
            "SELECT pending_snapshot_id, CONVERT(int, pending_whole) FROM icesync.load_state";
        assert_eq!(world.target_rows(state).await, [["NULL", "NULL"]]);
    }
}
