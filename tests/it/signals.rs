//! SIGTERM and Ctrl-C end a run well: what is finished is kept, nothing half-done is visible or left behind, and the
//! report says what was done and what was not.

use crate::harness::{Run, World};
use crate::isolation::Isolation;
use crate::outside::nothing_is_left;
use crate::own::{Own, names};
use crate::running::Running;
use icesync::{lake, sync};
use icesync_sandbox::tds::Fault;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const ROWS: usize = 12_000;

/// `dbo.t` with 12,000 rows, read in ranges by one channel.
async fn ranges(strategy: &str) -> World {
    let world = World::with_isolation(
        Isolation::for_ranges(strategy),
        "CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY, payload nvarchar(60) NOT NULL, rv rowversion NOT NULL)
GO
INSERT dbo.t (id, payload) SELECT s.n, CONCAT(N'row ', s.n) FROM (SELECT TOP (12000) CONVERT(int, ROW_NUMBER() OVER \
(ORDER BY (SELECT 1))) AS n
FROM sys.all_columns a CROSS JOIN sys.all_columns b) AS s",
    )
    .await;
    world.config(&format!(
        "  - source: dbo.t\n    change: {{ strategy: {strategy}, range_rows: 1000 }}\n"
    ));
    edit(&world, "}\"", "}\", parallel_channels: 1");
    world
}

fn edit(world: &World, from: &str, to: &str) {
    let path = world.path("icesync.yaml");
    let text = std::fs::read_to_string(&path).expect("read");
    assert!(text.contains(from), "{text}");
    std::fs::write(path, text.replacen(from, to, 1)).expect("written");
}

/// Two tables, one after the other.
async fn two() -> World {
    let world = World::new(
        "CREATE TABLE dbo.a (id int NOT NULL PRIMARY KEY, n int NOT NULL, rv rowversion NOT NULL)
GO
CREATE TABLE dbo.b (id int NOT NULL PRIMARY KEY, n int NOT NULL, rv rowversion NOT NULL)
GO
INSERT dbo.a (id, n) VALUES (1, 1), (2, 2)
GO
INSERT dbo.b (id, n) VALUES (1, 1)",
    )
    .await;
    world.config("  - source: dbo.a\n  - source: dbo.b\n");
    edit(&world, "}\"", "}\", parallel_tables: 1");
    world
}

/// The report of a run that a signal has ended, and that says so.
#[track_caller]
fn ended(run: &Run, code: i32, signal: &str) -> Value {
    run.fails_with(code, &[signal]);
    let report = run.json_any();
    assert_eq!(report["outcome"], "interrupted", "{report:#}");
    assert_eq!(report["signal"], json!(signal), "{report:#}");
    report
}

#[track_caller]
fn interrupted(table: &Value, says: &str) {
    assert_eq!(table["outcome"], "interrupted", "{table:#}");
    assert_eq!(table["error"]["disposition"], "interrupted", "{table:#}");
    let message = table["error"]["message"].as_str().expect("a message");
    assert!(message.contains(says), "no {says:?} in {message}");
}

const STAGING: &str = "SELECT t.name FROM sys.tables t JOIN sys.schemas s ON s.schema_id = t.schema_id WHERE s.name = \
    N'icesync' AND t.name LIKE N'stg%'";

#[tokio::test(flavor = "multi_thread")]
async fn finished_ranges_are_kept_and_the_next_run_reads_the_others() {
    let world = ranges("rowversion").await;
    let command = world.command(&["--json", "extract"]);
    let after_two = format!("{}:2", sync::FAIL_AFTER_RANGE);
    let mut run = Running::held(command, &after_two, &world.path("held"));
    run.ends_by("TERM");
    run.release();
    let report = ended(&run.end(), 143, "SIGTERM");
    let folder = world.lake("dbo", "t");
    let lists = names(&folder.join("metadata"));
    let kept = lists.iter().filter(|name| name.starts_with("part-"));
    let kept = kept.count();
    assert!((2..11).contains(&kept), "{kept} ranges are kept");
    interrupted(&report["tables"][0], &format!("{kept} of "));
    // The range that was being read has left no file.
    assert_eq!(names(&folder.join("data")).len(), kept);
    let next = world.run(&["--json", "extract"]).json();
    let extract = &next["tables"][0]["extract"];
    assert_eq!(extract["ranges_resumed"], json!(kept), "{next:#}");
    assert_eq!(extract["inserted"], json!(ROWS), "{next:#}");
    nothing_is_left(&folder, "after the next run");
}

#[tokio::test(flavor = "multi_thread")]
async fn ranges_that_no_ledger_keeps_leave_no_files() {
    let world = ranges("full").await;
    let command = world.command(&["--json", "extract"]);
    let after_two = format!("{}:2", sync::FAIL_AFTER_RANGE);
    let mut run = Running::held(command, &after_two, &world.path("held"));
    run.ends_by("INT");
    run.release();
    let report = ended(&run.end(), 130, "SIGINT");
    interrupted(&report["tables"][0], "while rows were read");
    let folder = world.lake("dbo", "t");
    assert_eq!(names(&folder.join("data")), Vec::<String>::new());
    let next = world.run(&["--json", "extract"]).json();
    let extract = &next["tables"][0]["extract"];
    assert_eq!(extract["inserted"], json!(ROWS), "{next:#}");
    nothing_is_left(&folder, "after the next run");
}

/// A read that waits for the server is cut, however long the server takes.
#[tokio::test(flavor = "multi_thread")]
async fn a_read_that_waits_is_cut_at_once() {
    let own = Own::new(&[
        "CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY, rv rowversion NOT NULL)",
        "INSERT dbo.t (id) VALUES (1), (2)",
    ])
    .await;
    own.config("  - source: dbo.t\n");
    let faults = &own.sandbox.faults;
    let hour = Fault::Delay(Duration::from_secs(3600));
    faults.arm(hour, "FROM [dbo].[t] AS t", 1);
    let mut run = Running::start(own.command(&["--json", "sync"]));
    run.wait("it reads", || faults.fired() == 1);
    run.ends_by("TERM");
    let report = ended(&run.end_within(Duration::from_secs(20)), 143, "SIGTERM");
    interrupted(&report["tables"][0], "while rows were read");
    assert_eq!(names(&own.lake("t").join("data")), Vec::<String>::new());
    let next = own.run(&["--json", "sync"]).json();
    assert_eq!(next["tables"][0]["load"]["inserted"], json!(2), "{next:#}");
}

/// The commit goes through, and what comes after it is not begun.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_has_begun_is_finished_and_the_load_is_not_begun() {
    let mut world = two().await;
    let command = world.command(&["--json", "sync"]);
    let mut run = Running::held(command, lake::FAIL_AFTER_MANIFESTS, &world.path("held"));
    run.ends_by("TERM");
    run.release();
    let report = ended(&run.end(), 143, "SIGTERM");
    let [first, second] = [&report["tables"][0], &report["tables"][1]];
    interrupted(first, "before the load");
    assert_eq!(first["extract"]["inserted"], json!(2), "{report:#}");
    assert!(first["extract"]["snapshot_id"].is_i64(), "{report:#}");
    assert_eq!(first["load"], Value::Null, "{report:#}");
    assert_eq!(second["outcome"], "not_started", "{report:#}");
    assert_eq!(second["error"], Value::Null, "{report:#}");
    assert!(!world.lake("dbo", "b").exists());
    let there = "SELECT COUNT(*) FROM sys.tables WHERE name IN (N'a', N'b')";
    assert_eq!(world.target_rows(there).await, [["Int(0)"]]);
    let next = world.run(&["--json", "sync"]).json();
    assert_eq!(next["tables"][0]["extract"]["snapshot_id"], Value::Null);
    assert_eq!(next["tables"][0]["load"]["inserted"], json!(2), "{next:#}");
}

/// All that was asked for was done when the signal was noticed: nothing was ended by it.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_done_anyway_is_done() {
    let world = two().await;
    let command = world.command(&["--json", "extract", "--table", "dbo.a"]);
    let mut run = Running::held(command, lake::FAIL_AFTER_MANIFESTS, &world.path("held"));
    run.ends_by("TERM");
    run.release();
    let report = run.end().json();
    assert_eq!(report["outcome"], "done", "{report:#}");
    assert_eq!(report["tables"][0]["extract"]["inserted"], json!(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_report_as_text_says_what_was_not_done() {
    let world = two().await;
    let command = world.command(&["extract"]);
    let mut run = Running::held(command, lake::FAIL_AFTER_MANIFESTS, &world.path("held"));
    run.ends_by("INT");
    run.release();
    run.end().fails_with(
        130,
        &[
            "dbo.a",
            "snapshot 1: 2 inserted",
            "dbo.b\n  not started",
            "extract ended by SIGINT: 1 of 2 tables not done",
        ],
    );
}

/// Wherever a load is cut, the target stays as it was, no table is left in schema icesync, and the lock is free.
#[tokio::test(flavor = "multi_thread")]
async fn a_load_that_is_cut_leaves_nothing() {
    let edges = [
        (false, sync::FAIL_AFTER_FILL_CREATE),
        (false, sync::FAIL_AFTER_FILL),
        (true, sync::FAIL_AFTER_STAGING),
        (true, sync::FAIL_AFTER_NET),
    ];
    for (is_loaded, edge) in edges {
        let mut world = two().await;
        world.config("  - source: dbo.a\n");
        if is_loaded {
            world.run(&["--json", "sync"]).json();
            world.source("UPDATE dbo.a SET n = 20 WHERE id = 2").await;
        }
        world.run(&["--json", "extract"]).json();
        let there = "SELECT COUNT(*) FROM sys.tables WHERE name = N'a'";
        let before = world.target_rows(there).await;
        let mut run = Running::held(
            world.command(&["--json", "load"]),
            edge,
            &world.path("held"),
        );
        run.ends_by("TERM");
        run.release();
        let report = ended(&run.end(), 143, "SIGTERM");
        interrupted(&report["tables"][0], "Nothing was loaded");
        let left = world.target_rows(STAGING).await;
        assert!(left.is_empty(), "{edge}: {left:?}");
        assert_eq!(world.target_rows(there).await, before, "{edge}");
        let clock = Instant::now();
        let next = world.run(&["--json", "load"]).json();
        assert!(clock.elapsed() < Duration::from_secs(9), "{edge}");
        let (count, rows) = match is_loaded {
            true => ("updated", 1),
            false => ("inserted", 2),
        };
        assert_eq!(next["tables"][0]["load"][count], json!(rows), "{edge}");
        let rows = "SELECT id, n FROM dbo.a ORDER BY id";
        assert_eq!(world.source_rows(rows).await, world.target_rows(rows).await);
    }
}

/// `dbo.t` of a stand-in of its own, loaded once, with a change that is extracted and not loaded.
async fn changed() -> Own {
    let own = Own::new(&[
        "CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY, n int NOT NULL, rv rowversion NOT NULL)",
        "INSERT dbo.t (id, n) VALUES (1, 1), (2, 2)",
    ])
    .await;
    own.config("  - source: dbo.t\n");
    own.run(&["--json", "sync"]).json();
    own.sql("source", "UPDATE dbo.t SET n = n + 10").await;
    own.run(&["--json", "extract"]).json();
    own
}

const SUM: &str = "SELECT SUM(n) FROM dbo.t";

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_is_cut_is_rolled_back() {
    let own = changed().await;
    let faults = &own.sandbox.faults;
    let (fired, hour) = (faults.fired(), Duration::from_secs(3600));
    faults.arm(Fault::Delay(hour), "MERGE [dbo].[t]", 1);
    let mut run = Running::start(own.command(&["--json", "load"]));
    run.wait("it merges", || faults.fired() > fired);
    run.ends_by("TERM");
    let report = ended(&run.end_within(Duration::from_secs(40)), 143, "SIGTERM");
    interrupted(&report["tables"][0], "rolled back");
    assert_eq!(own.rows("target", SUM).await, [["Int(3)"]]);
    assert!(own.rows("target", STAGING).await.is_empty());
    let next = own.run(&["--json", "load"]).json();
    assert_eq!(next["tables"][0]["load"]["updated"], json!(2), "{next:#}");
    assert_eq!(own.rows("target", SUM).await, [["Int(23)"]]);
}

/// The commit is done and its reply is on the way: what happened is looked up, not guessed.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_reply_is_cut_off_is_reported_as_loaded() {
    let own = changed().await;
    let faults = &own.sandbox.faults;
    faults.arm(
        Fault::Silence(Duration::from_secs(3600)),
        "MERGE [dbo].[t]",
        1,
    );
    let mut run = Running::start(own.command(&["--json", "load"]));
    let deadline = Instant::now() + Duration::from_secs(60);
    while own.rows("target", SUM).await != [["Int(23)"]] {
        assert!(Instant::now() < deadline && run.is_running(), "no commit");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    run.ends_by("TERM");
    let report = run.end_within(Duration::from_secs(40)).json();
    let load = &report["tables"][0]["load"];
    assert_eq!(load["updated"], json!(2), "{report:#}");
    assert_eq!(load["sequence_number"], json!(2), "{report:#}");
    assert!(own.rows("target", STAGING).await.is_empty());
    let next = own.run(&["--json", "load"]).json();
    assert_eq!(next["tables"][0]["load"]["kind"], "nothing", "{next:#}");
}

/// Between two transactions of one load the next one is not begun, and the next load finishes it.
#[tokio::test(flavor = "multi_thread")]
async fn a_load_in_steps_is_ended_between_two_of_them() {
    let mut world = World::new(
        "CREATE TABLE dbo.a (id int NOT NULL PRIMARY KEY, n int NOT NULL, rv rowversion NOT NULL)
GO
INSERT dbo.a (id, n) SELECT TOP (90) ROW_NUMBER() OVER (ORDER BY (SELECT 1)), 0 FROM sys.all_columns",
    )
    .await;
    world.config("  - source: dbo.a\n    merge: { batch_rows: 30 }\n");
    world.run(&["--json", "sync"]).json();
    world.source("UPDATE dbo.a SET n = 1").await;
    world.run(&["--json", "extract"]).json();
    let command = world.command(&["--json", "load"]);
    let mut run = Running::held(command, sync::FAIL_BETWEEN_STEPS, &world.path("held"));
    run.ends_by("TERM");
    run.release();
    let report = ended(&run.end(), 143, "SIGTERM");
    interrupted(&report["tables"][0], "between two transactions");
    let sum = "SELECT SUM(n) FROM dbo.a";
    assert_eq!(world.target_rows(sum).await, [["Int(30)"]]);
    assert!(world.target_rows(STAGING).await.is_empty());
    world.run(&["--json", "load"]).json();
    assert_eq!(world.target_rows(sum).await, [["Int(90)"]]);
}

/// Tables that share a transaction are ended together, and no table of theirs is left.
#[tokio::test(flavor = "multi_thread")]
async fn a_group_is_ended_whole() {
    let mut world = two().await;
    world.config("  - source: dbo.a\n  - source: dbo.b\nload: { group: all }\n");
    world.run(&["--json", "sync"]).json();
    world
        .source("UPDATE dbo.a SET n = 5; UPDATE dbo.b SET n = 5")
        .await;
    world.run(&["--json", "extract"]).json();
    let command = world.command(&["--json", "load"]);
    let mut run = Running::held(command, sync::FAIL_AFTER_NET, &world.path("held"));
    run.ends_by("TERM");
    run.release();
    let report = ended(&run.end(), 143, "SIGTERM");
    interrupted(&report["tables"][0], "Nothing was loaded");
    interrupted(&report["tables"][1], "Nothing was loaded");
    assert!(world.target_rows(STAGING).await.is_empty());
    let fives = "SELECT (SELECT COUNT(*) FROM dbo.a WHERE n = 5) + (SELECT COUNT(*) FROM dbo.b WHERE n = 5)";
    assert_eq!(world.target_rows(fives).await, [["Int(0)"]]);
    world.run(&["--json", "load"]).json();
    assert_eq!(world.target_rows(fives).await, [["Int(3)"]]);
}

/// However stuck the run is.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_the_process_at_once() {
    let world = two().await;
    let command = world.command(&["--json", "sync"]);
    let mut run = Running::held(command, lake::FAIL_AFTER_DATA_FILES, &world.path("held"));
    run.ends_by("TERM");
    assert!(run.is_running());
    run.signal("INT");
    let ended = run.end_within(Duration::from_secs(10));
    assert_eq!((ended.code, ended.stdout.as_str()), (130, ""), "{ended:#?}");
    std::fs::remove_file(world.path("held")).expect("removed");
    world.run(&["--json", "sync"]).json();
}

/// The pauses between two attempts are no obstacle.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_waits_for_a_server_is_ended() {
    let world = two().await;
    world.config("  - source: dbo.a\nretry: { max_elapsed: 1h }\n");
    let mut command = world.command(&["--json", "extract"]);
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = free.local_addr().expect("an address").port();
    drop(free);
    command.env(
        "ICESYNC_SOURCE",
        format!("Server=127.0.0.1,{port};User ID=sa;Password=x;Encrypt=false;Database=d"),
    );
    let mut run = Running::start(command);
    run.says("attempt 2 failed");
    run.ends_by("TERM");
    let report = ended(&run.end_within(Duration::from_secs(10)), 143, "SIGTERM");
    assert_eq!(report["tables"][0]["outcome"], "not_started", "{report:#}");
}

/// A command that is no run dies of a signal, as any process does.
#[tokio::test(flavor = "multi_thread")]
async fn other_commands_end_at_once() {
    let own = changed().await;
    let faults = &own.sandbox.faults;
    let (fired, hour) = (faults.fired(), Duration::from_secs(3600));
    faults.arm(Fault::Delay(hour), "load_state", 1);
    let mut run = Running::start(own.command(&["status"]));
    run.wait("it asks", || faults.fired() > fired);
    run.signal("TERM");
    // Its code is that of a process that died of a signal: none.
    assert_eq!(run.end_within(Duration::from_secs(10)).code, -1);
}
