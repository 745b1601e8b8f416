//! Races and deaths: whatever moment a process ends at, running again gives what an undisturbed run gives.

use crate::harness::{World, finish};
use serde_json::json;
use std::time::Duration;

const SETUP: &str = "CREATE TABLE dbo.events (
    id int NOT NULL PRIMARY KEY, payload nvarchar(100) NOT NULL, n bigint NOT NULL, rv rowversion NOT NULL)
GO
INSERT dbo.events (id, payload, n)
SELECT TOP (20000) ROW_NUMBER() OVER (ORDER BY (SELECT 1)), N'the first version of this row', 0
FROM sys.all_columns a CROSS JOIN sys.all_columns b";

const CHANGE: &str = "UPDATE dbo.events SET n = n + 1, payload = N'changed' WHERE id % 3 = 0;
    INSERT dbo.events (id, payload, n) SELECT MAX(id) + 1, N'new', 1 FROM dbo.events";

const CONTENT: &str = "SELECT COUNT(*), SUM(n), SUM(CAST(id AS bigint) * n), SUM(CAST(LEN(payload) AS bigint)) FROM \
    dbo.events";

/// Moments of a run for a SIGKILL, as fractions of its length.
fn moments() -> impl Iterator<Item = f64> {
    // A fixed low-discrepancy sequence: reproducible, and no two moments close together.
    (0..).map(|at: u32| ((f64::from(at) + 0.5) * 0.618_033_988_749_895).fract())
}

/// Kills `args` at a dozen moments, making changes between; then an undisturbed run must make everything equal.
async fn survives_kills(args: &[&str]) {
    let mut world = World::new(SETUP).await;
    world.config("  - source: dbo.events\n    change: { strategy: rowversion }\n");
    world.run(&["--json", "sync"]).json();
    // How long a run takes is learned from those that end before they are killed.
    let mut length = Duration::from_secs(2);
    let (mut killed, mut changes) = (0, 0);
    for moment in moments().take(100) {
        world.source(CHANGE).await;
        changes += 1;
        if args == ["load"] {
            world.run(&["--json", "extract"]).json();
        }
        let clock = std::time::Instant::now();
        let mut child = world.spawn(args);
        let end = length.mul_f64(moment);
        while clock.elapsed() < end && child.try_wait().expect("a child").is_none() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        match child.try_wait().expect("a child") {
            Some(_) => length = length.min(clock.elapsed()),
            None => killed += 1,
        }
        let _ = child.kill();
        let _ = child.wait();
        if killed == 12 {
            break;
        }
    }
    assert_eq!(
        killed, 12,
        "so many of {changes} runs were still alive when killed"
    );
    let last = world.run(&["--json", "sync"]).json();
    assert_eq!(last["tables"][0]["error"], serde_json::Value::Null);
    assert_eq!(
        world.source_rows(CONTENT).await,
        world.target_rows(CONTENT).await
    );
    let status = world.run(&["--json", "status"]).json();
    assert_eq!(
        status["tables"][0]["lake"]["rows"],
        json!(20000 + changes),
        "{status:#}"
    );
    nothing_is_left(&mut world, "kills").await;
}

/// No staging table, and the tag is on the last snapshot.
async fn nothing_is_left(world: &mut World, by: &str) {
    let staging = world
        .target_rows("SELECT t.name FROM sys.tables t JOIN sys.schemas s ON s.schema_id = t.schema_id WHERE s.name = \
            N'icesync' AND t.name LIKE N'stg%'")
        .await;
    assert!(staging.is_empty(), "{by} left {staging:?}");
    let listed = world.run(&["--json", "snapshots"]).json();
    let snapshots = listed["tables"][0]["snapshots"]
        .as_array()
        .expect("snapshots");
    let last = snapshots
        .iter()
        .max_by_key(|snapshot| snapshot["sequence_number"].as_i64());
    let tags = last.and_then(|snapshot| snapshot["tags"].as_array());
    let tagged = tags.is_some_and(|tags| !tags.is_empty());
    assert!(tagged, "after {by}: {listed:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_extracts_lose_and_repeat_nothing() {
    survives_kills(&["extract"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_loads_lose_and_repeat_nothing() {
    survives_kills(&["load"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_syncs_lose_and_repeat_nothing() {
    survives_kills(&["sync"]).await;
}

/// Each durable edge of the lake commit, hit exactly.
#[tokio::test(flavor = "multi_thread")]
async fn dying_at_each_edge_of_a_commit_loses_nothing() {
    use icesync::{lake, sync};
    let edges = [
        lake::FAIL_AFTER_DATA_FILES,
        lake::FAIL_AFTER_MANIFESTS,
        lake::FAIL_AFTER_METADATA,
        lake::FAIL_AFTER_HINT,
        sync::FAIL_AFTER_STAGING,
        sync::FAIL_AFTER_APPLY,
    ];
    for edge in edges {
        let mut world = World::new(
            "CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY, n int NOT NULL, rv rowversion NOT \
            NULL)\nGO\nINSERT dbo.t (id, n) VALUES (1, 1), (2, 2)",
        )
        .await;
        world.config("  - source: dbo.t\n");
        world.run(&["--json", "sync"]).json();
        world
            .source("UPDATE dbo.t SET n = 20 WHERE id = 2; INSERT dbo.t (id, n) VALUES (3, 3)")
            .await;
        let died = finish(
            world
                .command(&["sync"])
                .env("ICESYNC_FAILPOINT", edge)
                .spawn()
                .expect("starts"),
        );
        assert!(died.code != 0, "{edge} was not reached: {died:#?}");
        world.run(&["--json", "sync"]).json();
        let rows = "SELECT id, n FROM dbo.t ORDER BY id";
        assert_eq!(
            world.source_rows(rows).await,
            world.target_rows(rows).await,
            "{edge}"
        );
        let status = world.run(&["--json", "status"]).json();
        assert_eq!(status["tables"][0]["lake"]["rows"], json!(3), "{edge}");
        nothing_is_left(&mut world, edge).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_eight_concurrent_extracts_one_commits() {
    let mut world = World::new(SETUP).await;
    world.config("  - source: dbo.events\n    change: { strategy: rowversion }\n");
    world.run(&["--json", "extract"]).json();
    world.source(CHANGE).await;
    let children: Vec<_> = (0..8)
        .map(|_| world.spawn(&["--json", "extract"]))
        .collect();
    let runs: Vec<_> = children.into_iter().map(finish).collect();
    let committed = runs
        .iter()
        .filter(|run| {
            run.code == 0 && run.json_any()["tables"][0]["extract"]["snapshot_id"].is_i64()
        })
        .count();
    assert_eq!(committed, 1, "{runs:#?}");
    for run in runs.iter().filter(|run| run.code != 0) {
        run.fails_with(1, &["dbo.events", "another run"]);
    }
    let snapshots = world.run(&["--json", "snapshots"]).json();
    assert_eq!(
        snapshots["tables"][0]["snapshots"].as_array().map(Vec::len),
        Some(2)
    );
    world.run(&["--json", "load"]).json();
    assert_eq!(
        world.source_rows(CONTENT).await,
        world.target_rows(CONTENT).await
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_concurrent_first_extracts_make_one_table() {
    let mut world = World::new(SETUP).await;
    world.config("  - source: dbo.events\n    change: { strategy: rowversion }\n");
    let children: Vec<_> = (0..8)
        .map(|_| world.spawn(&["--json", "extract"]))
        .collect();
    let runs: Vec<_> = children.into_iter().map(finish).collect();
    for run in runs.iter().filter(|run| run.code != 0) {
        run.fails_with(1, &["dbo.events", "another run"]);
    }
    assert!(runs.iter().any(|run| run.code == 0), "{runs:#?}");
    world.run(&["--json", "load"]).json();
    assert_eq!(
        world.source_rows(CONTENT).await,
        world.target_rows(CONTENT).await
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_loads_apply_each_change_once() {
    let mut world = World::new(SETUP).await;
    world.config("  - source: dbo.events\n    change: { strategy: rowversion }\n");
    world.run(&["--json", "sync"]).json();
    world.source(CHANGE).await;
    world.run(&["--json", "extract"]).json();
    let children: Vec<_> = (0..4).map(|_| world.spawn(&["--json", "load"])).collect();
    let updated: u64 = children
        .into_iter()
        .map(finish)
        .filter(|run| run.code == 0)
        .filter_map(|run| run.json_any()["tables"][0]["load"]["updated"].as_u64())
        .sum();
    assert_eq!(updated, 6666);
    assert_eq!(
        world.source_rows(CONTENT).await,
        world.target_rows(CONTENT).await
    );
}
