//! Large windows, committed in steps: the same lake as by one commit, and a run that dies keeps what it has committed.

use crate::harness::{Run, World, finish};
use crate::isolation::Isolation;
use crate::outside::nothing_is_left;
use crate::own::{Own, names};
use crate::running::Running;
use icesync::sync;
use icesync_sandbox::session::SqlError;
use icesync_sandbox::tds::Fault;
use serde_json::{Value, json};
use std::time::Duration;

const ROWS: u64 = 30_000;

/// Rows whose times and numbers lie in the past, and no index on the rowversion.
const TABLE: &str = "CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY, n int NOT NULL, at datetime2(7) NOT NULL, rv \
    rowversion NOT NULL, INDEX ix_at (at))
GO
INSERT dbo.t (id, n, at) SELECT s.n, s.n, '2024-01-01' FROM (SELECT TOP (30000) CONVERT(int, ROW_NUMBER() OVER (ORDER \
BY (SELECT 1))) AS n
FROM sys.all_columns a CROSS JOIN sys.all_columns b) AS s";

const ROWVERSION: &str = "strategy: rowversion";
const TIMESTAMP: &str = "strategy: timestamp, column: at, lag: 0s, overlap: 1h, clock: utc";
const SEQUENCE: &str = "strategy: sequence, column: id";

/// Each row once more, with a time of its own in the next 0.31 s, in another order than the key's.
const UPDATE_ALL: &str = "DECLARE @now datetime2(7) = SYSUTCDATETIME();
    UPDATE dbo.t SET n = n + 1, at = DATEADD(microsecond, 10 * (id * 7 % 30011), @now)";

const INSERT_AS_MANY: &str = "INSERT dbo.t (id, n, at) SELECT id + 30000, n, at FROM dbo.t";

/// The columns `n` and `m` exchange their names.
const SWAP: &str = "EXEC sp_rename N'dbo.t.n', N'other', N'COLUMN';
    EXEC sp_rename N'dbo.t.m', N'n', N'COLUMN';
    EXEC sp_rename N'dbo.t.other', N'm', N'COLUMN'";

const WIDEN: &str = "ALTER TABLE dbo.t ALTER COLUMN n bigint NOT NULL";

const BOTH: &str = "SELECT COUNT(*), SUM(CAST(n AS bigint)), SUM(CAST(m AS bigint)), SUM(CAST(n AS bigint) * id) \
    FROM dbo.t";

const CONTENT: &str = "SELECT COUNT(*), SUM(CAST(id AS bigint)), SUM(CAST(n AS bigint)), SUM(CAST(n AS bigint) * id), \
    COUNT(DISTINCT at), CONVERT(nvarchar(30), MIN(at), 121), CONVERT(nvarchar(30), MAX(at), 121) FROM dbo.t";

fn config(change: &str, commit_rows: u64) -> String {
    format!("  - source: dbo.t\n    change: {{ {change}, commit_rows: {commit_rows} }}\n")
}

/// The `extract` part of a report's first table.
fn extract(report: &Value) -> &Value {
    &report["tables"][0]["extract"]
}

#[track_caller]
fn has(report: &Value, expected: &[(&str, u64)]) {
    for (name, expected) in expected {
        assert_eq!(extract(report)[name], json!(expected), "{name}: {report:#}");
    }
}

/// Rows in the lake after each snapshot.
fn snapshots(world: &World) -> Vec<u64> {
    let report = world.run(&["--json", "snapshots"]).json();
    let list = report["tables"][0]["snapshots"].as_array().cloned();
    let rows = |snapshot: &Value| snapshot["rows_total"].as_u64().expect("a number");
    list.unwrap_or_default().iter().map(rows).collect()
}

async fn equal(world: &mut World) {
    let target = world.target_rows(CONTENT).await;
    assert_eq!(world.source_rows(CONTENT).await, target);
}

/// Waits until all times of [`UPDATE_ALL`] lie behind a window's end, which stays a little behind the clock.
async fn pass() {
    tokio::time::sleep(Duration::from_millis(500)).await;
}

/// A world whose table was synced and has changed since, so that the next window has 30,000 rows.
async fn behind(change: &str, commit_rows: u64) -> World {
    behind_in(World::new(TABLE).await, change, commit_rows).await
}

async fn behind_in(mut world: World, change: &str, commit_rows: u64) -> World {
    world.config(&config(change, commit_rows));
    let first = world.run(&["--json", "sync"]).json();
    has(&first, &[("rows_read", ROWS), ("commits", 1)]);
    let statement = match change {
        SEQUENCE => INSERT_AS_MANY,
        _ => UPDATE_ALL,
    };
    world.source(statement).await;
    pass().await;
    world
}

/// The table with a second number, which stays -1.
fn two_numbers() -> String {
    let with = TABLE.replace(
        "n int NOT NULL,",
        "n int NOT NULL, m int NOT NULL DEFAULT -1,",
    );
    assert_ne!(with, TABLE);
    with
}

/// A stand-in of its own with a table of 30,000 rows that are in the lake, and have changed since.
async fn own_behind(entries: &str) -> Own {
    let batches: Vec<&str> = TABLE.split("\nGO\n").collect();
    let own = Own::new(&batches).await;
    own.config(entries);
    own.run(&["--json", "extract"]).json();
    own.sql("source", UPDATE_ALL).await;
    own
}

fn deadlock() -> Fault {
    Fault::Error(SqlError {
        number: 1205,
        state: 1,
        class: 13,
        line: 1,
        message: "Chosen as the deadlock victim.".to_owned(),
    })
}

fn dies(world: &World, failpoint: &str) -> Run {
    let mut command = world.command(&["extract"]);
    command.env("ICESYNC_FAILPOINT", failpoint);
    let died = finish(command.spawn().expect("starts"));
    assert!(died.code != 0, "{died:#?}");
    died
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_in_steps_ends_as_a_window_in_one_piece() {
    for change in [ROWVERSION, TIMESTAMP, SEQUENCE] {
        for (commit_rows, commits) in [(10_000, 3), (0, 1)] {
            let mut world = behind(change, commit_rows).await;
            let run = world.run(&["--json", "sync"]).json();
            let changed = match change {
                SEQUENCE => "inserted",
                _ => "updated",
            };
            has(
                &run,
                &[("rows_read", ROWS), (changed, ROWS), ("commits", commits)],
            );
            assert_eq!(snapshots(&world).len() as u64, 1 + commits, "{change}");
            let load = &run["tables"][0]["load"];
            assert_eq!(load[changed], json!(ROWS), "{change}: {run:#}");
            equal(&mut world).await;
            // The checkpoint is at the window's end.
            let again = world.run(&["--json", "sync"]).json();
            assert_eq!(extract(&again)["snapshot_id"], Value::Null, "{again:#}");
            has(&again, &[("commits", 0)]);
            nothing_is_left(&world.lake("dbo", "t"), change);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_killed_between_two_steps_goes_on_after_the_last() {
    // The overlap of an hour has the rows of the first step, which are the same as in the lake. Rows at the last bound
    // count as overlap, too; there is one.
    for (change, reread, overlap) in [
        (ROWVERSION, 0, 0),
        (TIMESTAMP, 10_000, 10_001),
        (SEQUENCE, 0, 0),
    ] {
        let mut world = behind(change, 10_000).await;
        dies(&world, sync::FAIL_BETWEEN_COMMITS);
        assert_eq!(snapshots(&world).len(), 2, "{change}");
        // What is committed is a snapshot like any other.
        let loaded = world.run(&["--json", "load"]).json();
        let load = &loaded["tables"][0]["load"];
        let changed = load["inserted"].as_u64().zip(load["updated"].as_u64());
        let changed = changed.map(|(inserted, updated)| inserted + updated);
        assert_eq!(changed, Some(10_000), "{loaded:#}");
        let rest = world.run(&["--json", "sync"]).json();
        has(
            &rest,
            &[
                ("rows_read", 20_000 + reread),
                ("rows_overlap", overlap),
                ("unchanged", reread),
                ("commits", 2),
            ],
        );
        assert_eq!(snapshots(&world).len(), 4, "{change}");
        equal(&mut world).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_killed_again_and_again_gets_on() {
    let mut world = behind(TIMESTAMP, 5_000).await;
    // Each begins an hour before the last bound, and has all rows before it in its overlap.
    for steps in 1..6 {
        dies(&world, sync::FAIL_BETWEEN_COMMITS);
        assert_eq!(snapshots(&world).len(), 1 + steps);
    }
    let rest = world.run(&["--json", "sync"]).json();
    has(
        &rest,
        &[
            ("rows_read", ROWS),
            ("rows_overlap", 25_001),
            ("updated", 5_000),
            ("commits", 1),
        ],
    );
    equal(&mut world).await;
    // The overlap alone is no reason for steps.
    world
        .source("UPDATE dbo.t SET n = n + 1, at = SYSUTCDATETIME() WHERE id = 5")
        .await;
    pass().await;
    let next = world.run(&["--json", "sync"]).json();
    has(
        &next,
        &[("rows_read", ROWS), ("updated", 1), ("commits", 1)],
    );
    equal(&mut world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_with_one_value_are_in_one_step() {
    let mut world = World::new(TABLE).await;
    let change = "strategy: timestamp, column: at, lag: 0s, overlap: 0s, clock: utc";
    world.config(&config(change, 5_000));
    world.run(&["--json", "sync"]).json();
    // 8,000 rows of one time, 19,000 of the next, 3,000 of the last.
    world
        .source(
            "DECLARE @now datetime2(7) = SYSUTCDATETIME();
            UPDATE dbo.t SET n = n + 1, at = DATEADD(millisecond, CASE WHEN id <= 8000 THEN 100 WHEN id <= 27000 THEN \
             200 ELSE 300 END, @now)",
        )
        .await;
    pass().await;
    dies(&world, &format!("{}:2", sync::FAIL_BETWEEN_COMMITS));
    assert_eq!(snapshots(&world).len(), 3);
    let loaded = world.run(&["--json", "load"]).json();
    let load = &loaded["tables"][0]["load"];
    assert_eq!(load["updated"], json!(27_000), "{loaded:#}");
    let rest = world.run(&["--json", "sync"]).json();
    has(&rest, &[("rows_read", 3_000), ("commits", 1)]);
    equal(&mut world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_move_between_two_steps_come_with_the_next_window() {
    // Two hundred rows of the first step, and two hundred of the last.
    const MOVE: &str =
        "UPDATE dbo.t SET n = n + 1 WHERE id IN (SELECT TOP (200) id FROM dbo.t ORDER BY rv);
        UPDATE dbo.t SET n = n + 1 WHERE id IN (SELECT TOP (200) id FROM dbo.t WHERE n = id + 1 ORDER BY rv DESC)";
    for kind in ["mirror", "history"] {
        let mut world = World::new(TABLE).await;
        world.config(&format!("{}    kind: {kind}\n", config(ROWVERSION, 10_000)));
        world.run(&["--json", "extract"]).json();
        world.source(UPDATE_ALL).await;
        let command = world.command(&["--json", "extract"]);
        let held = world.path("held");
        let mut run = Running::held(command, sync::FAIL_BETWEEN_COMMITS, &held);
        world.source(MOVE).await;
        run.release();
        let steps = run.end().json();
        has(&steps, &[("rows_read", ROWS - 200), ("commits", 3)]);
        let next = world.run(&["--json", "extract"]).json();
        has(&next, &[("rows_read", 400), ("commits", 1)]);
        let rows = snapshots(&world).last().copied();
        match kind {
            "mirror" => {
                assert_eq!(rows, Some(ROWS));
                world.run(&["--json", "load"]).json();
                equal(&mut world).await;
            }
            // Each version that was read, once: all rows, all but 200, and 400 of them again.
            _ => assert_eq!(rows, Some(2 * ROWS - 200 + 400)),
        }
        let again = world.run(&["--json", "extract"]).json();
        has(&again, &[("rows_read", 0), ("inserted", 0)]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_has_each_version_once_however_its_windows_are_cut_and_killed() {
    for change in [ROWVERSION, TIMESTAMP, SEQUENCE] {
        let mut world = World::new(TABLE).await;
        world.config(&format!("{}    kind: history\n", config(change, 10_000)));
        world.run(&["--json", "extract"]).json();
        let statement = match change {
            SEQUENCE => INSERT_AS_MANY,
            _ => UPDATE_ALL,
        };
        world.source(statement).await;
        pass().await;
        dies(&world, sync::FAIL_BETWEEN_COMMITS);
        dies(&world, sync::FAIL_BETWEEN_COMMITS);
        let last = world.run(&["--json", "extract"]).json();
        has(&last, &[("inserted", 10_000), ("commits", 1)]);
        assert_eq!(
            snapshots(&world),
            [ROWS, 40_000, 50_000, 60_000],
            "{change}"
        );
        let again = world.run(&["--json", "extract"]).json();
        has(&again, &[("inserted", 0)]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_is_loaded_between_two_steps_and_after_the_last() {
    let mut world = behind(ROWVERSION, 10_000).await;
    let command = world.command(&["--json", "sync"]);
    let mut run = Running::held(command, sync::FAIL_BETWEEN_COMMITS, &world.path("held"));
    let between = world.run(&["--json", "load"]).json();
    let load = &between["tables"][0]["load"];
    assert_eq!(load["updated"], json!(10_000), "{between:#}");
    let changed = "SELECT COUNT(*) FROM dbo.t WHERE n = id + 1";
    assert_eq!(world.target_rows(changed).await, [["Int(10000)"]]);
    run.release();
    // Two steps in one load.
    let report = run.end().json();
    has(&report, &[("updated", ROWS), ("commits", 3)]);
    let load = &report["tables"][0]["load"];
    assert_eq!(load["updated"], json!(20_000), "{report:#}");
    equal(&mut world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_runs_of_one_window_one_goes_on() {
    let mut world = behind(ROWVERSION, 10_000).await;
    let command = world.command(&["--json", "extract"]);
    let mut first = Running::held(command, sync::FAIL_BETWEEN_COMMITS, &world.path("held"));
    let second = world.run(&["--json", "extract"]).json();
    has(&second, &[("rows_read", 20_000), ("commits", 2)]);
    first.release();
    let refused = first.end();
    refused.fails_with(1, &["another run"]);
    // What it had committed is in its report.
    has(&refused.json_any(), &[("updated", 10_000), ("commits", 1)]);
    world.run(&["--json", "load"]).json();
    equal(&mut world).await;
    nothing_is_left(&world.lake("dbo", "t"), "two runs");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_between_two_steps_keeps_those_that_are_committed() {
    let mut world = behind(ROWVERSION, 10_000).await;
    let command = world.command(&["--json", "extract"]);
    let mut run = Running::held(command, sync::FAIL_BETWEEN_COMMITS, &world.path("held"));
    run.ends_by("TERM");
    run.release();
    let ended = run.end();
    ended.fails_with(143, &["are committed, and the next run reads the others"]);
    let report = ended.json_any();
    assert_eq!(report["tables"][0]["outcome"], "interrupted", "{report:#}");
    has(&report, &[("updated", 10_000), ("commits", 1)]);
    let rest = world.run(&["--json", "sync"]).json();
    has(&rest, &[("rows_read", 20_000), ("commits", 2)]);
    equal(&mut world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_is_tried_again_is_reported_with_those_before_it() {
    let own = own_behind(&config(ROWVERSION, 10_000)).await;
    let command = own.command(&["--json", "extract"]);
    let mut run = Running::held(command, sync::FAIL_BETWEEN_COMMITS, &own.path("held"));
    let faults = &own.sandbox.faults;
    faults.arm(deadlock(), "FROM [dbo].[t] AS t WHERE", 1);
    run.release();
    let ended = run.end();
    assert!(ended.stderr.contains("trying again"), "{ended:#?}");
    has(
        &ended.json(),
        &[("rows_read", ROWS), ("updated", ROWS), ("commits", 3)],
    );
}

/// Each step fails once, which is once more than a run without progress may.
#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_is_committed_renews_the_attempts() {
    let tables = config(ROWVERSION, 10_000);
    let own = own_behind(&format!(
        "{tables}retry: {{ max_elapsed: 0s, attempts: 2 }}\n"
    ))
    .await;
    let command = own.command(&["--json", "extract"]);
    let mut run = Running::held(command, sync::FAIL_BETWEEN_COMMITS, &own.path("held"));
    let faults = &own.sandbox.faults;
    let fired = faults.fired();
    // The second step, and the third after the second was read in another attempt. The question where to cut does not
    // name the column.
    faults.arm(deadlock(), "t.[n]", 1);
    faults.arm_after(1, deadlock(), "t.[n]", 1);
    run.release();
    let ended = run.end();
    assert_eq!(faults.fired(), fired + 2, "{ended:#?}");
    has(
        &ended.json(),
        &[("rows_read", ROWS), ("updated", ROWS), ("commits", 3)],
    );
    // Without progress there are two attempts.
    own.sql("source", UPDATE_ALL).await;
    faults.arm(deadlock(), "t.[n]", 2);
    let failed = own.run(&["--json", "extract"]);
    assert_eq!(faults.fired(), fired + 4, "{failed:#?}");
    assert_ne!(failed.code, 0, "{failed:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_that_change_between_two_steps_are_read_as_they_are_then() {
    for change in [SWAP, WIDEN] {
        let mut world = World::new(&two_numbers()).await;
        world.config(&config(ROWVERSION, 10_000));
        world.run(&["--json", "extract"]).json();
        world.source(UPDATE_ALL).await;
        let command = world.command(&["--json", "extract"]);
        let mut run = Running::held(command, sync::FAIL_BETWEEN_COMMITS, &world.path("held"));
        world.source(change).await;
        run.release();
        let ended = run.end();
        let said = "columns of dbo.t changed between two steps of a window";
        assert!(ended.stderr.contains(said), "{change}: {ended:#?}");
        let changes = extract(&ended.json())["schema_changes"]
            .as_array()
            .map(Vec::len);
        assert!(changes > Some(0), "{change}: {ended:#?}");
        world.run(&["--json", "extract"]).json();
        world.run(&["--json", "load"]).json();
        let target = world.target_rows(BOTH).await;
        assert_eq!(world.source_rows(BOTH).await, target, "{change}");
        nothing_is_left(&world.lake("dbo", "t"), change);
    }
}

/// The run has looked at the columns, and they change before its read begins: of a whole table, and of a window in one
/// piece. Values of exchanged columns would only show once the lake has followed.
#[tokio::test(flavor = "multi_thread")]
async fn columns_that_change_while_they_are_read_are_read_again() {
    let setup = two_numbers();
    let batches: Vec<&str> = setup.split("\nGO\n").collect();
    for (is_first, change, said) in [
        (true, SWAP, "columns of dbo.t changed while they were read"),
        (false, SWAP, "columns of dbo.t changed while they were read"),
        (
            false,
            WIDEN,
            "columns of dbo.t changed and a read of them failed",
        ),
    ] {
        let own = Own::new(&batches).await;
        own.config(&config(ROWVERSION, 0));
        if !is_first {
            own.run(&["--json", "extract"]).json();
            own.sql("source", UPDATE_ALL).await;
        }
        let faults = &own.sandbox.faults;
        let fired = faults.fired();
        let while_they_change = Fault::Delay(Duration::from_secs(5));
        faults.arm(while_they_change, "SET TRANSACTION ISOLATION LEVEL", 1);
        let mut run = Running::start(own.command(&["--json", "extract"]));
        run.wait("it is about to read", || faults.fired() == fired + 1);
        own.sql("source", change).await;
        let ended = run.end();
        assert!(ended.stderr.contains(said), "{change}: {ended:#?}");
        has(&ended.json(), &[("rows_read", ROWS), ("commits", 1)]);
        own.run(&["--json", "extract"]).json();
        own.run(&["--json", "load"]).json();
        let target = own.rows("target", BOTH).await;
        assert_eq!(own.rows("source", BOTH).await, target, "{change}");
    }
}

/// The connection that looks at the columns is idle while rows are read, and may be lost by then.
#[tokio::test(flavor = "multi_thread")]
async fn a_look_at_the_columns_that_fails_is_made_again_and_not_the_read() {
    let own = own_behind(&config(ROWVERSION, 10_000)).await;
    let command = own.command(&["--json", "extract"]);
    let mut run = Running::held(command, sync::FAIL_BETWEEN_COMMITS, &own.path("held"));
    let faults = &own.sandbox.faults;
    let fired = faults.fired();
    // Before the second step, and after it.
    faults.arm(Fault::DropBefore, "dm_sql_referenced_entities", 1);
    faults.arm_after(1, Fault::DropBefore, "dm_sql_referenced_entities", 1);
    // An attempt that began again would ask where to cut, and read the second step again.
    faults.arm(Fault::Delay(Duration::ZERO), "RANK()", 9);
    faults.arm_after(2, Fault::Delay(Duration::ZERO), "t.[n]", 9);
    run.release();
    let ended = run.end();
    assert_eq!(faults.fired(), fired + 2, "{ended:#?}");
    has(
        &ended.json(),
        &[("rows_read", ROWS), ("updated", ROWS), ("commits", 3)],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lake_table_that_another_run_lets_follow_between_two_steps_gets_the_rest_under_its_new_columns()
 {
    let mut world = behind(ROWVERSION, 10_000).await;
    let command = world.command(&["--json", "extract"]);
    let mut run = Running::held(command, sync::FAIL_BETWEEN_COMMITS, &world.path("held"));
    world.source("ALTER TABLE dbo.t ADD extra int NULL").await;
    dies(&world, sync::FAIL_AFTER_EVOLVE);
    run.release();
    let ended = run.end();
    let said = "another run gave lake table dbo.t other columns";
    assert!(ended.stderr.contains(said), "{ended:#?}");
    has(&ended.json(), &[("rows_read", ROWS), ("commits", 3)]);
    world
        .source("UPDATE dbo.t SET extra = id WHERE id % 100 = 0")
        .await;
    world.run(&["--json", "sync"]).json();
    equal(&mut world).await;
    let extra = "SELECT COUNT(extra), SUM(CAST(extra AS bigint)) FROM dbo.t";
    assert_eq!(
        world.source_rows(extra).await,
        world.target_rows(extra).await
    );
    nothing_is_left(&world.lake("dbo", "t"), "another run");
}

/// As over NFS, when the metadata file was linked, the reply was lost, and the client does not see it yet.
#[tokio::test(flavor = "multi_thread")]
async fn a_step_whose_commit_is_unknown_names_its_run() {
    let world = behind(ROWVERSION, 10_000).await;
    let command = world.command(&["--json", "extract"]);
    let mut run = Running::held(command, sync::FAIL_BETWEEN_COMMITS, &world.path("held"));
    let metadata = world.lake("dbo", "t").join("metadata");
    let versions = names(&metadata).into_iter().filter_map(|name| {
        let number = name.strip_prefix('v')?.strip_suffix(".metadata.json")?;
        number.parse::<u64>().ok()
    });
    let next = versions.max().expect("a version") + 1;
    let next = metadata.join(format!("v{next}.metadata.json"));
    std::os::unix::fs::symlink(world.path("nowhere"), next).expect("linked");
    run.release();
    let ended = run.end();
    assert_ne!(ended.code, 0, "{ended:#?}");
    let report = ended.json_any();
    let error = &report["tables"][0]["error"];
    assert_eq!(error["disposition"], json!("ambiguous"), "{report:#}");
    let id = report["run_id"].as_str().expect("an id");
    let said = format!("whether run {id} committed to dbo.t is unknown: look for run id ");
    let message = error["message"].as_str().expect("a message");
    assert!(message.contains(&said), "{message}");
    has(&report, &[("commits", 1)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_with_row_locks_is_read_in_steps_too() {
    let mut world = World::with_isolation(Isolation::ReadCommitted, TABLE).await;
    world.source("CREATE INDEX ix_rv ON dbo.t (rv)").await;
    world.config(&config(ROWVERSION, 10_000));
    world.run(&["--json", "sync"]).json();
    world.source(UPDATE_ALL).await;
    let run = world.run(&["--json", "sync"]).json();
    has(
        &run,
        &[("rows_read", ROWS), ("updated", ROWS), ("commits", 3)],
    );
    equal(&mut world).await;
}

/// Reasons and statements of a plan.
fn planned(world: &World) -> (String, String) {
    let plan = world.run(&["--json", "plan"]).json();
    let table = &plan["tables"][0];
    (table["why"].to_string(), table["statements"].to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_says_how_a_window_is_cut() {
    // Without row versions a step is read in pages, which need an order.
    let world = World::with_isolation(Isolation::with_row_versions(), TABLE).await;
    let mut world = behind_in(world, ROWVERSION, 10_000).await;
    let (why, _) = planned(&world);
    assert!(why.contains("committed in 3 steps"), "{why}");
    assert!(why.contains("no index begins with rv"), "{why}");
    world.source("CREATE INDEX ix_rv ON dbo.t (rv)").await;
    let (why, statements) = planned(&world);
    assert!(why.contains("committed in 3 steps"), "{why}");
    assert!(!why.contains("no index"), "{why}");
    // The steps need no order.
    assert!(!statements.contains("ORDER BY"), "{statements}");
    // Without an index a time is not asked for cuts, which would scan the table in each run.
    world.source("DROP INDEX ix_at ON dbo.t").await;
    world.config(&config(TIMESTAMP, 10_000));
    world.run(&["--json", "extract"]).json();
    world.source(UPDATE_ALL).await;
    pass().await;
    let (why, _) = planned(&world);
    assert!(why.contains("one commit, however many rows"), "{why}");
    let run = world.run(&["--json", "sync"]).json();
    has(&run, &[("updated", ROWS), ("commits", 1)]);
    equal(&mut world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_has_a_hundred_steps_at_most() {
    let batches: Vec<&str> = TABLE.split("\nGO\n").collect();
    let mut world = World::new(batches[0]).await;
    world.config(&config(ROWVERSION, 1_000));
    world.run(&["--json", "extract"]).json();
    // 120,000 rows.
    world.source(batches[1]).await;
    for rows in [30_000, 60_000] {
        let double = format!("INSERT dbo.t (id, n, at) SELECT id + {rows}, n, at FROM dbo.t");
        world.source(&double).await;
    }
    let (why, _) = planned(&world);
    let said =
        "committed in 60 steps of about 2000 rows each, because a window has at most 100 steps";
    assert!(why.contains(said), "{why}");
}
