//! `icesync reconcile`: what no window shows is found and repaired in one commit, and nothing else changes.

use crate::harness::World;
use crate::isolation::Isolation;
use serde_json::{Value, json};

const SETUP: &str = "CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY, v nvarchar(20) NULL, at datetime2(7) NULL, \
    changed datetime2(3) NOT NULL)
GO
INSERT dbo.t (id, v, at, changed) VALUES (1, N'a', '2024-01-01 00:00:00.1234567', '2024-01-01'), (2, N'b', NULL, \
    '2024-01-02'), (3, N'c', NULL, '2024-01-03'), (4, N'd', NULL, '2024-01-04'), (5, NULL, NULL, '2024-01-05')";

const CONFIG: &str =
    "  - source: dbo.t\n    change: { strategy: timestamp, column: changed, lag: 0s }\n";

/// What no window of the timestamp shows: an old row that is new, a change without a new time, a delete.
const UNSEEN: &str = "INSERT dbo.t (id, v, at, changed) VALUES (6, N'late', '2024-01-01 00:00:00.0000009', \
    '2024-01-02 12:00:00'); UPDATE dbo.t SET v = N'B' WHERE id = 2; DELETE dbo.t WHERE id IN (3, 4)";

const ROWS: &str = "SELECT id, v, CONVERT(nvarchar(40), at, 121), CONVERT(nvarchar(40), changed, 121) FROM dbo.t ORDER \
    BY id";

async fn world(isolation: Isolation) -> World {
    let mut world = World::with_isolation(isolation, SETUP).await;
    world.config(CONFIG);
    world.run(&["--json", "sync"]).json();
    world.source(UNSEEN).await;
    world
}

fn checkpoint(world: &World) -> Value {
    let status = world.run(&["--json", "status"]).json();
    status["tables"][0]["lake"]["checkpoint"].clone()
}

fn reconcile(world: &World) -> Value {
    let report = world.run(&["--json", "reconcile", "--pause=0s"]).json();
    report["tables"][0].clone()
}

/// Rows inserted, updated and deleted in the lake.
fn repaired(report: &Value) -> [Option<u64>; 3] {
    ["inserted", "updated", "deleted"].map(|name| report[name].as_u64())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_window_shows_is_repaired_in_one_commit() {
    let mut world = world(Isolation::Snapshot).await;
    let before = checkpoint(&world);
    let run = world.run(&["--json", "verify", "--pause=0s"]);
    assert_eq!(run.code, 1, "{run:#?}");
    let report = reconcile(&world);
    assert_eq!(repaired(&report), [Some(1), Some(1), Some(2)], "{report:#}");
    assert_eq!(report["sequence_number"], 2, "{report:#}");
    let after = checkpoint(&world);
    assert_eq!(after["watermark"], before["watermark"]);
    assert_eq!(after["strategy"], before["strategy"]);
    assert_ne!(after["run_id"], before["run_id"]);
    let hint = world.lake("dbo", "t").join("metadata/version-hint.text");
    let version = std::fs::read_to_string(hint).expect("a hint");
    let metadata = world
        .lake("dbo", "t")
        .join(format!("metadata/v{version}.metadata.json"));
    let metadata = std::fs::read_to_string(metadata).expect("metadata");
    assert!(
        metadata.contains("missing=1, extra=2, differing=1, respelled=0"),
        "{metadata}"
    );
    // The lake is equal, the next extract goes on, and the next load brings the repair.
    world
        .run(&["--json", "verify", "--against", "source", "--pause=0s"])
        .json();
    world
        .source("INSERT dbo.t (id, v, changed) VALUES (7, N'new', SYSUTCDATETIME())")
        .await;
    let report = world.run(&["--json", "sync"]).json();
    assert_eq!(
        report["tables"][0]["extract"]["full_read"], false,
        "{report:#}"
    );
    assert_eq!(report["tables"][0]["extract"]["inserted"], 1, "{report:#}");
    world.run(&["--json", "verify", "--pause=0s"]).json();
    assert_eq!(world.source_rows(ROWS).await, world.target_rows(ROWS).await);
    // Nothing is left to repair, and nothing is committed.
    let report = reconcile(&world);
    assert_eq!(
        (repaired(&report), &report["snapshot_id"]),
        ([Some(0); 3], &Value::Null),
        "{report:#}"
    );
}

/// Old and new spelling: the row stays, under the key that the source has.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_gets_the_spelling_of_the_source() {
    let setup = "CREATE TABLE dbo.t (k nvarchar(20) COLLATE Latin1_General_CI_AS NOT NULL PRIMARY KEY, n int NOT NULL, \
        changed datetime2(3) NOT NULL)
GO
INSERT dbo.t VALUES (N'abc', 1, '2024-01-01'), (N'é', 2, '2024-01-01'), (N'x', 3, '2024-01-01')";
    let mut world = World::with_isolation(Isolation::Snapshot, setup).await;
    world.config(CONFIG);
    world.run(&["--json", "sync"]).json();
    world
        .source("UPDATE dbo.t SET k = UPPER(k) WHERE n < 3")
        .await;
    let report = reconcile(&world);
    assert_eq!(report["found"]["respelled"], 2, "{report:#}");
    let report = world
        .run(&["--json", "verify", "--against", "source", "--pause=0s"])
        .json();
    let source = &report["tables"][0]["sides"][0];
    assert_eq!(
        (&source["buckets_differing"], &source["lake_rows"]),
        (&json!(0), &json!(3)),
        "{source:#}"
    );
    world.run(&["--json", "load"]).json();
    let rows = "SELECT k, n FROM dbo.t ORDER BY n";
    assert_eq!(world.source_rows(rows).await, world.target_rows(rows).await);
}

/// Without row versions a row that was not met may have moved.
#[tokio::test(flavor = "multi_thread")]
async fn without_row_versions_nothing_is_deleted() {
    let mut world = World::with_isolation(Isolation::ReadCommitted, SETUP).await;
    world.config(&CONFIG.replace("lag: 0s", "lag: 0s, isolation: read_committed"));
    world.run(&["--json", "sync"]).json();
    world.source(UNSEEN).await;
    let report = reconcile(&world);
    assert_eq!(repaired(&report), [Some(1), Some(1), Some(0)], "{report:#}");
    assert!(
        report["found"]["notes"]
            .to_string()
            .contains("ALLOW_SNAPSHOT_ISOLATION"),
        "{report:#}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_reconciled_is_refused() {
    let mut world = World::with_isolation(Isolation::Snapshot, SETUP).await;
    world.config(CONFIG);
    world.run(&["reconcile"]).fails_with(
        1,
        &["dbo.t", "nothing was extracted yet", "icesync extract"],
    );
    world.run(&["--json", "sync"]).json();
    world.source("ALTER TABLE dbo.t ADD more int NULL").await;
    world
        .run(&["reconcile"])
        .fails_with(1, &["dbo.t", "changed columns"]);
    world.config(&CONFIG.replace(
        "dbo.t\n",
        "dbo.t\n    lake: dbo.versions\n    kind: history\n",
    ));
    world.run(&["--json", "extract"]).json();
    world
        .run(&["reconcile"])
        .fails_with(1, &["dbo.versions", "history"]);
}
