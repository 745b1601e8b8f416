//! Large tables read in ranges: every row once, whatever the key's type, however often the read is interrupted.
//!
//! Ranges are read from row versions only, so the databases here always have them.

use crate::harness::{World, finish};
use crate::isolation::Isolation;
use crate::outside::{nothing_is_left, swept};
use serde_json::{Value, json};
use std::time::Duration;

/// 20,000 rows whose key columns are made of `n`, with gaps and one crowded place.
fn setup(columns: &str, values: &str) -> String {
    // Each key column's name is the first word of its definition.
    let names: Vec<&str> = columns
        .split(", PRIMARY")
        .next()
        .unwrap_or(columns)
        .split(", ")
        .filter_map(|column| column.split(' ').next())
        .collect();
    let names = names.join(", ");
    format!(
        "CREATE TABLE dbo.t ({columns}, payload nvarchar(60) NOT NULL, n int NOT NULL, rv rowversion NOT NULL)
GO
INSERT dbo.t ({names}, payload, n) SELECT {values}, CONCAT(N'row ', s.n), s.n FROM (SELECT TOP (20000) CONVERT(int, \
ROW_NUMBER() OVER (ORDER BY (SELECT 1))) AS n
FROM sys.all_columns a CROSS JOIN sys.all_columns b) AS s"
    )
}

/// The rows of [`BY_ID`].
fn by_id() -> String {
    setup("id int NOT NULL PRIMARY KEY", "s.n")
}

const CONTENT: &str = "SELECT COUNT(*), SUM(CAST(n AS bigint)), SUM(CAST(n AS bigint) * n), SUM(CAST(LEN(payload) AS \
    bigint)), \
COUNT(DISTINCT n), MAX(payload) FROM dbo.t";

const BY_ID: &str = "  - source: dbo.t\n    change: { strategy: rowversion, range_rows: 2000 }\n";

fn extract(run: &Value) -> &Value {
    &run["tables"][0]["extract"]
}

/// Lists of parked parts in the table's metadata folder.
fn parts_left(world: &World) -> usize {
    let files = std::fs::read_dir(world.lake("dbo", "t").join("metadata")).expect("listed");
    files
        .filter(|file| {
            let name = file.as_ref().expect("a file").file_name();
            name.to_string_lossy().starts_with("part-")
        })
        .count()
}

async fn equal(world: &mut World) {
    assert_eq!(
        world.source_rows(CONTENT).await,
        world.target_rows(CONTENT).await
    );
    let differences = "SELECT COUNT(*) FROM dbo.t WHERE payload <> CONCAT(N'row ', n)";
    assert_eq!(world.target_rows(differences).await, [["Int(0)"]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_many_types_are_cut_into_ranges_that_hold_every_row_once() {
    let shapes = [
        (
            "id int NOT NULL PRIMARY KEY",
            "s.n * 3 - 30000",
            "rowversion",
        ),
        (
            "id bigint NOT NULL PRIMARY KEY",
            "CONVERT(bigint, s.n) * 4000000000",
            "full",
        ),
        (
            "code nvarchar(20) NOT NULL PRIMARY KEY",
            "CONCAT(N'kéy ]''', s.n)",
            "rowversion",
        ),
        (
            "code varchar(20) COLLATE Latin1_General_CS_AS NOT NULL PRIMARY KEY",
            "CONCAT('Key', s.n)",
            "full",
        ),
        // A hyphen is minor in the order of nvarchar, and is not in that of varchar.
        (
            "code nvarchar(20) NOT NULL PRIMARY KEY",
            "CONCAT(N'k', s.n % 7, N'-', s.n)",
            "rowversion",
        ),
        (
            "code varchar(20) NOT NULL PRIMARY KEY",
            "CONCAT('k', s.n % 7, '-', s.n)",
            "full",
        ),
        (
            "at datetime2(7) NOT NULL PRIMARY KEY",
            "DATEADD(second, s.n, CONVERT(datetime2(7), '2024-01-01 00:00:00.1234567'))",
            "rowversion",
        ),
        (
            "amount decimal(20,5) NOT NULL PRIMARY KEY",
            "CONVERT(decimal(20, 5), s.n) / 7 + s.n",
            "rowversion",
        ),
        (
            "shop int NOT NULL, id int NOT NULL, PRIMARY KEY (shop, id)",
            "CASE WHEN s.n < 9000 THEN 7 ELSE s.n % 50 END, s.n",
            "rowversion",
        ),
    ];
    for (columns, values, strategy) in shapes {
        let mut world =
            World::with_isolation(Isolation::for_ranges(strategy), &setup(columns, values)).await;
        world.config(&format!(
            "  - source: dbo.t\n    change: {{ strategy: {strategy}, range_rows: 2000 }}\n"
        ));
        let first = world.run(&["--json", "sync"]).json();
        let report = extract(&first);
        assert!(report["ranges"].as_u64() > Some(4), "{columns}: {first:#}");
        assert_eq!(report["rows_read"], json!(20000), "{columns}");
        assert_eq!(report["inserted"], json!(20000), "{columns}");
        equal(&mut world).await;
        let again = world.run(&["--json", "sync"]).json();
        assert_eq!(extract(&again)["snapshot_id"], Value::Null, "{columns}");
        let snapshots = world.run(&["--json", "snapshots"]).json();
        let snapshots = snapshots["tables"][0]["snapshots"].as_array().map(Vec::len);
        assert_eq!(snapshots, Some(1), "{columns}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_read_goes_on_where_it_stopped() {
    let mut world = World::with_isolation(Isolation::with_row_versions(), &by_id()).await;
    world.config(BY_ID);
    let died = finish(
        world
            .command(&["extract"])
            .env(
                "ICESYNC_FAILPOINT",
                format!("{}:3", icesync::sync::FAIL_AFTER_RANGE),
            )
            .spawn()
            .expect("starts"),
    );
    assert!(died.code != 0, "{died:#?}");
    // Nobody sees the half, and a load has nothing to do.
    let status = world.run(&["--json", "status"]).json();
    assert_eq!(status["tables"][0]["lake"]["snapshots"], json!(0));
    world.run(&["--json", "load"]).json();
    // What changes in ranges that are done, and in others, comes with the next window.
    world
        .source("UPDATE dbo.t SET n = n + 100000, payload = CONCAT(N'row ', n + 100000) WHERE id % 10 = 0; INSERT \
            dbo.t (id, payload, n) VALUES (0, N'row 0', 0), (1000000, N'row 5', 5)")
        .await;
    let second = world.run(&["--json", "extract"]).json();
    assert_eq!(extract(&second)["ranges_resumed"], json!(3), "{second:#}");
    assert_eq!(extract(&second)["deleted"], json!(0));
    let third = world.run(&["--json", "sync"]).json();
    assert_eq!(extract(&third)["rows_read"], json!(2002), "{third:#}");
    equal(&mut world).await;
    assert_eq!(parts_left(&world), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_of_another_shape_or_strategy_is_given_up() {
    let mut world = World::with_isolation(Isolation::Snapshot, &by_id()).await;
    let failing = |world: &World| {
        finish(
            world
                .command(&["extract"])
                .env(
                    "ICESYNC_FAILPOINT",
                    format!("{}:2", icesync::sync::FAIL_AFTER_RANGE),
                )
                .spawn()
                .expect("starts"),
        )
    };
    world.config(BY_ID);
    failing(&world);
    world.config("  - source: dbo.t\n    change: { strategy: full, range_rows: 2000 }\n");
    let full = world.run(&["--json", "sync"]).json();
    assert_eq!(extract(&full)["ranges_resumed"], json!(0), "{full:#}");
    equal(&mut world).await;
    assert_eq!(parts_left(&world), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_that_a_read_in_one_stream_ends_leaves_no_files() {
    let mut world = World::with_isolation(Isolation::with_row_versions(), &by_id()).await;
    world.config(BY_ID);
    let died = finish(
        world
            .command(&["extract"])
            .env(
                "ICESYNC_FAILPOINT",
                format!("{}:3", icesync::sync::FAIL_AFTER_RANGE),
            )
            .spawn()
            .expect("starts"),
    );
    assert!(died.code != 0, "{died:#?}");
    // What the run was reading when it died is an orphan; what the ledger names is not.
    swept(&world);
    assert_eq!(parts_left(&world), 3);
    let one = BY_ID.replace("range_rows: 2000", "range_rows: 0");
    world.config(&one.replace("rowversion", "full"));
    let whole = world.run(&["--json", "sync"]).json();
    assert_eq!(extract(&whole)["ranges"], json!(1), "{whole:#}");
    equal(&mut world).await;
    nothing_is_left(&world.lake("dbo", "t"), "one stream");
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_moment_the_read_ends_equal() {
    let mut world = World::with_isolation(Isolation::with_row_versions(), &by_id()).await;
    world.config("  - source: dbo.t\n    change: { strategy: rowversion, range_rows: 1000 }\n");
    // A run that ends before it is killed says that it is over: those before it were killed in the middle.
    let mut killed = 0;
    for attempt in 0..12_u64 {
        let mut child = world.spawn(&["extract"]);
        tokio::time::sleep(Duration::from_millis(20 + attempt * 13 % 120)).await;
        killed += u32::from(child.try_wait().expect("a child").is_none());
        let _ = child.kill();
        let _ = child.wait();
        world
            .source(&format!("UPDATE dbo.t SET n = n + 1000000, payload = CONCAT(N'row ', n + 1000000) WHERE id % 50 = \
                {attempt}"))
            .await;
    }
    assert!(killed >= 1, "no run was alive when killed");
    world.run(&["--json", "sync"]).json();
    world.run(&["--json", "sync"]).json();
    equal(&mut world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_reads_of_one_table_make_one_snapshot() {
    let mut world = World::with_isolation(Isolation::with_row_versions(), &by_id()).await;
    world.config(BY_ID);
    let children: Vec<_> = (0..4)
        .map(|_| world.spawn(&["--json", "extract"]))
        .collect();
    let runs: Vec<_> = children.into_iter().map(finish).collect();
    assert!(runs.iter().any(|run| run.code == 0), "{runs:#?}");
    for run in runs.iter().filter(|run| run.code != 0) {
        run.fails_with(1, &["dbo.t", "another run"]);
    }
    world.run(&["--json", "load"]).json();
    equal(&mut world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_load_fills_its_staging_heap_through_several_channels() {
    let mut world = World::with_isolation(
        Isolation::Snapshot,
        "CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY, payload nvarchar(20) NOT NULL, n int NOT NULL)
GO
INSERT dbo.t SELECT s.n, CONCAT(N'row ', s.n), s.n FROM (SELECT TOP (300000) CONVERT(int, ROW_NUMBER() OVER (ORDER BY \
(SELECT 1))) AS n
FROM sys.all_columns a CROSS JOIN sys.all_columns b) AS s",
    )
    .await;
    world.config("  - source: dbo.t\n    change: { strategy: full, range_rows: 50000 }\n");
    let run = world.run(&["--json", "sync"]).json();
    assert_eq!(extract(&run)["ranges"], json!(6), "{run:#}");
    assert_eq!(run["tables"][0]["load"]["inserted"], json!(300_000));
    equal(&mut world).await;
}

/// A key that moves from a range that is yet to be read to one that was, and leaves its watermark alone, is in no range
/// and in no window. So such ranges are read in one state of the table, and by one run.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_moves_without_its_watermark_is_not_lost() {
    let mut world = World::with_isolation(Isolation::Snapshot, &by_id()).await;
    world.config(
        "  - source: dbo.t\n    change: { strategy: sequence, column: n, range_rows: 2000 }\n",
    );
    let died = finish(
        world
            .command(&["extract"])
            .env(
                "ICESYNC_FAILPOINT",
                format!("{}:3", icesync::sync::FAIL_AFTER_RANGE),
            )
            .spawn()
            .expect("starts"),
    );
    assert!(died.code != 0, "{died:#?}");
    world
        .source("UPDATE dbo.t SET id = -1 WHERE id = 19999")
        .await;
    let second = world.run(&["--json", "sync"]).json();
    assert!(extract(&second)["ranges"].as_u64() > Some(4), "{second:#}");
    assert_eq!(extract(&second)["ranges_resumed"], json!(0), "{second:#}");
    equal(&mut world).await;
    assert_eq!(parts_left(&world), 0);
}
