//! No wait of a read is without a bound, and none stops those who use the table.

use crate::harness::{World, server, sql};
use crate::isolation::Isolation;
use crate::running::Running;
use icesync::sync;
use serde_json::json;
use std::time::{Duration, Instant};

/// Rows for six ranges.
const ROWS: &str = "CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY, n int NOT NULL)
GO
INSERT dbo.t (id, n) SELECT TOP (6000) ROW_NUMBER() OVER (ORDER BY (SELECT 1)), 1
FROM sys.all_columns a CROSS JOIN sys.all_columns b";

/// A change of the table's definition comes between the fence and the first looks. It waits for the fence, and each
/// look would wait for it: the table would be frozen for everyone.
#[tokio::test(flavor = "multi_thread")]
async fn a_fence_is_let_go_when_a_change_of_the_table_waits_for_it() {
    let mut world = World::with_isolation(Isolation::for_ranges("full"), ROWS).await;
    world.config("  - source: dbo.t\n    change: { strategy: full, range_rows: 1000 }\n");
    let mut run = Running::held(
        world.command(&["--json", "extract"]),
        sync::FAIL_FENCED,
        &world.path("held"),
    );
    let mut other = server().connect(&world.source_db).await;
    let truncated = tokio::spawn(async move { sql(&mut other, "TRUNCATE TABLE dbo.t").await });
    let waiting = "SELECT COUNT(*) FROM sys.dm_exec_requests WHERE wait_type = N'LCK_M_SCH_M' AND database_id = \
        DB_ID()";
    let deadline = Instant::now() + Duration::from_secs(30);
    while world.source_rows(waiting).await != [["Int(1)"]] {
        assert!(Instant::now() < deadline, "it does not wait for the fence");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    run.release();
    let truncated = tokio::time::timeout(Duration::from_secs(15), truncated).await;
    truncated.expect("the table is frozen").expect("truncated");
    // The read begins again, with the table as it is now.
    let report = run.end();
    assert!(report.stderr.contains("trying again"), "{report:#?}");
    let report = report.json();
    assert_eq!(report["tables"][0]["extract"]["rows_read"], json!(0));
}

/// What is locked for good ends a read with an error that says so, in the end.
#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_is_never_given_back_ends_a_read() {
    const ONCE: &str = "retry: { max_elapsed: 0s, attempts: 1 }\n";
    // Looking for double keys waits for a row.
    let keyless = World::new(
        "CREATE TABLE dbo.t (id int NOT NULL, n int NOT NULL)
GO
INSERT dbo.t (id, n) VALUES (1, 1), (2, 2)",
    )
    .await;
    keyless.config(&format!("  - source: dbo.t\n    key: [id]\n{ONCE}"));
    let mut writer = server().connect(&keyless.source_db).await;
    sql(
        &mut writer,
        "BEGIN TRANSACTION; UPDATE dbo.t SET id = 3 WHERE id = 1",
    )
    .await;
    // A snapshot waits for a definition.
    let altered = World::new(ROWS).await;
    altered.config(&format!("  - source: dbo.t\n{ONCE}"));
    let mut owner = server().connect(&altered.source_db).await;
    sql(
        &mut owner,
        "BEGIN TRANSACTION; ALTER TABLE dbo.t ADD extra int NULL",
    )
    .await;
    let runs = [&keyless, &altered].map(|world| Running::start(world.command(&["extract"])));
    for run in runs {
        let ended = run.end_within(Duration::from_secs(100));
        ended.fails_with(75, &["dbo.t"]);
    }
    for mut holder in [writer, owner] {
        sql(&mut holder, "ROLLBACK TRANSACTION").await;
    }
    keyless.run(&["--json", "extract"]).json();
}

/// A load of another table holds the table of load states, and whoever comes after an ALTER TABLE waits for it.
#[tokio::test(flavor = "multi_thread")]
async fn load_states_of_an_older_build_are_altered_once_no_load_holds_them() {
    let mut world = World::new(
        "CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY, n int NOT NULL)
GO
INSERT dbo.t (id, n) VALUES (1, 1)",
    )
    .await;
    let once = "retry: { max_elapsed: 0s, attempts: 1 }";
    world.config(&format!(
        "  - source: dbo.t\n    change: {{ strategy: full }}\n{once}\n"
    ));
    world.run(&["--json", "sync"]).json();
    world
        .target("ALTER TABLE icesync.load_state DROP COLUMN pending_whole")
        .await;
    world.source("UPDATE dbo.t SET n = 2").await;
    let mut other = server().connect(&world.target_db).await;
    sql(
        &mut other,
        "BEGIN TRANSACTION; INSERT icesync.load_state (target, lake_table, table_uuid, snapshot_id, sequence_number, \
         run_id, loaded_at, inserted, updated, deleted, unchanged) VALUES (N'dbo.other', N'', N'', 1, 1, N'', \
         SYSUTCDATETIME(), 0, 0, 0, 0)",
    )
    .await;
    let run = Running::start(world.command(&["sync"]));
    let ended = run.end_within(Duration::from_secs(60));
    ended.fails_with(75, &["icesync.load_state", "could not be altered"]);
    sql(&mut other, "ROLLBACK TRANSACTION").await;
    world.run(&["--json", "sync"]).json();
    let rows = "SELECT id, n FROM dbo.t";
    assert_eq!(world.source_rows(rows).await, world.target_rows(rows).await);
}
