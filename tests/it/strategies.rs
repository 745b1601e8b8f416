//! Each change strategy from the source to the lake.

use crate::harness::{World, readers_agree};
use crate::isolation::Isolation;
use serde_json::{Value, json};

const ORDERS: &str = "CREATE TABLE dbo.orders (
    order_id int NOT NULL PRIMARY KEY,
    customer nvarchar(40) NULL,
    amount decimal(12,2) NULL,
    updated_at datetime2(3) NULL,
    rv rowversion NOT NULL,
    INDEX ix_updated (updated_at))
GO
INSERT dbo.orders (order_id, customer, amount, updated_at) VALUES
    (1, N'Ann', 10.50, '2024-01-01T10:00:00'),
    (2, N'Bea', NULL, '2024-01-01T10:00:00'),
    (3, N'李四', 30.00, NULL),
    (4, NULL, 40.25, '2024-01-02T10:00:00.123')";

fn table(report: &Value) -> &Value {
    &report["tables"][0]
}

/// The `extract` part of the first table, checked to have no error.
fn extracted(world: &World) -> Value {
    let report = world.run(&["--json", "extract"]).json();
    table(&report)["extract"].clone()
}

fn config(world: &World, change: &str) {
    world.config(&format!(
        "  - source: dbo.orders\n    lake: sales.orders\n    change: {{ {change} }}\n"
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn rowversion_reads_only_what_changed() {
    let mut world = World::new(ORDERS).await;
    config(&world, "strategy: auto");
    let first = extracted(&world);
    assert_eq!(first["strategy"], "rowversion");
    assert_eq!(
        (&first["rows_read"], &first["inserted"]),
        (&json!(4), &json!(4))
    );

    let second = extracted(&world);
    assert_eq!(
        (&second["rows_read"], &second["snapshot_id"]),
        (&json!(0), &Value::Null)
    );

    world
        .source("UPDATE dbo.orders SET amount = 11 WHERE order_id = 1")
        .await;
    world
        .source("INSERT dbo.orders (order_id, customer) VALUES (5, N'')")
        .await;
    let third = extracted(&world);
    assert_eq!(
        (&third["rows_read"], &third["inserted"], &third["updated"]),
        (&json!(2), &json!(1), &json!(1))
    );
    assert_ne!(third["watermark_before"], third["watermark_after"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rowversion_taken_before_and_committed_after_an_extract_is_read_by_the_next() {
    // Without row versions the read would wait for the writer.
    let mut world = World::with_isolation(Isolation::with_row_versions(), ORDERS).await;
    config(&world, "strategy: rowversion");
    extracted(&world);
    let mut writer = crate::harness::server().connect(&world.source_db).await;
    crate::harness::sql(
        &mut writer,
        "BEGIN TRAN; UPDATE dbo.orders SET amount = 99 WHERE order_id = 1",
    )
    .await;
    world
        .source("UPDATE dbo.orders SET amount = 98 WHERE order_id = 2")
        .await;

    // The later rowversion is committed, the earlier one is not: neither may be read yet without losing the other.
    let during = extracted(&world);
    assert_eq!(during["rows_read"], json!(0));

    crate::harness::sql(&mut writer, "COMMIT").await;
    let after = extracted(&world);
    assert_eq!(
        (&after["rows_read"], &after["updated"]),
        (&json!(2), &json!(2))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn timestamp_ties_nulls_and_late_rows() {
    let mut world = World::new(ORDERS).await;
    config(
        &world,
        "strategy: timestamp, column: updated_at, lag: 0s, overlap: 1h, commit_rows: 1000",
    );
    let first = extracted(&world);
    assert_eq!(first["rows_read"], json!(4));

    // More rows of one timestamp than a step has.
    world
        .source(
            "DECLARE @now datetime2(3) = DATEADD(second, -1, SYSUTCDATETIME());
            INSERT dbo.orders (order_id, customer, updated_at)
            SELECT TOP (2500) 100 + ROW_NUMBER() OVER (ORDER BY (SELECT 1)), N'tie', @now
            FROM sys.all_columns a CROSS JOIN sys.all_columns b",
        )
        .await;
    let tied = extracted(&world);
    assert_eq!(
        (&tied["rows_read"], &tied["inserted"]),
        (&json!(2500), &json!(2500))
    );

    // Late: its timestamp lies before the last window's end, within the overlap.
    world
        .source("UPDATE dbo.orders SET amount = 1, updated_at = DATEADD(minute, -30, SYSUTCDATETIME()) WHERE order_id \
            = 1")
        .await;
    let late = extracted(&world);
    assert_eq!(
        (&late["updated"], &late["unchanged"]),
        (&json!(1), &json!(2500))
    );
    assert_eq!(late["rows_overlap"], json!(2501));

    // All of the overlap again, and nothing new: no snapshot.
    let again = extracted(&world);
    assert_eq!(again["snapshot_id"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn sequence_reads_new_numbers_only() {
    let mut world = World::new(ORDERS).await;
    config(&world, "strategy: sequence, column: order_id");
    assert_eq!(extracted(&world)["inserted"], json!(4));
    world
        .source("INSERT dbo.orders (order_id) VALUES (7), (9)")
        .await;
    world
        .source("UPDATE dbo.orders SET amount = 0 WHERE order_id = 1")
        .await;
    let second = extracted(&world);
    assert_eq!(
        (&second["rows_read"], &second["inserted"]),
        (&json!(2), &json!(2))
    );
    assert_eq!(second["watermark_after"], json!("9"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_identity_that_counts_down_loses_no_row() {
    let mut world = World::new(
        "CREATE TABLE dbo.events (id int IDENTITY(-1, -1) NOT NULL PRIMARY KEY, what varchar(10) NOT NULL)
GO
INSERT dbo.events (what) VALUES ('a'), ('b')",
    )
    .await;
    world.config("  - source: dbo.events\n    kind: history\n");
    let first = extracted(&world);
    assert_eq!(
        (&first["strategy"], &first["inserted"]),
        (&json!("sequence"), &json!(2))
    );
    world.source("INSERT dbo.events (what) VALUES ('c')").await;
    let second = extracted(&world);
    assert_eq!(
        (&second["full_read"], &second["inserted"]),
        (&json!(true), &json!(1)),
        "{second:#}"
    );
    let warnings = second["warnings"].to_string();
    assert!(
        warnings.contains("is below the checkpoint (-1)"),
        "{warnings}"
    );
    assert_eq!(extracted(&world)["inserted"], json!(0));
    assert_eq!(versions(&world), json!(3));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_table_is_committed_once() {
    let mut world =
        World::new("CREATE TABLE dbo.orders (order_id int NOT NULL PRIMARY KEY, n int NULL)").await;
    config(&world, "strategy: sequence, column: order_id");
    let versions = |world: &World| {
        let files = std::fs::read_dir(world.lake("sales", "orders").join("metadata"));
        let names = files
            .expect("listed")
            .map(|file| file.expect("a file").file_name());
        names
            .filter(|name| name.to_string_lossy().ends_with(".metadata.json"))
            .count()
    };
    extracted(&world);
    let first = versions(&world);
    extracted(&world);
    extracted(&world);
    assert_eq!(versions(&world), first);
    world.source("INSERT dbo.orders VALUES (1, 1)").await;
    assert_eq!(extracted(&world)["inserted"], json!(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn full_commits_only_when_the_content_differs() {
    let mut world = World::new(
        "CREATE TABLE dbo.orders (order_id int NOT NULL PRIMARY KEY, name varchar(10) \
        NULL)\nGO\nINSERT dbo.orders VALUES (1, 'a'), (2, NULL), (3, 'c')",
    )
    .await;
    config(&world, "strategy: auto");
    let first = extracted(&world);
    assert_eq!(
        (&first["strategy"], &first["inserted"]),
        (&json!("full"), &json!(3))
    );
    let same = extracted(&world);
    assert_eq!(
        (&same["rows_read"], &same["snapshot_id"]),
        (&json!(3), &Value::Null)
    );
    world.source("DELETE dbo.orders WHERE order_id = 2").await;
    let fewer = extracted(&world);
    assert_eq!(fewer["rows_read"], json!(2));
    assert_ne!(fewer["snapshot_id"], Value::Null);
    readers_agree(
        &world.lake("sales", "orders"),
        "order_id",
        &[
            json!({"order_id": 1, "name": "a"}),
            json!({"order_id": 3, "name": "c"}),
        ],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn history_keeps_every_version() {
    let mut world = World::new(ORDERS).await;
    world.config(
        "  - source: dbo.orders\n    kind: history\n    change: { strategy: rowversion }\n",
    );
    extracted(&world);
    world
        .source("UPDATE dbo.orders SET amount = 77 WHERE order_id = 1")
        .await;
    let second = extracted(&world);
    assert_eq!(
        (&second["rows_read"], &second["inserted"]),
        (&json!(1), &json!(1))
    );
    let snapshots = world.run(&["--json", "snapshots"]).json();
    assert_eq!(
        table(&snapshots)["snapshots"].as_array().map(Vec::len),
        Some(2)
    );
    assert_eq!(table(&snapshots)["snapshots"][1]["rows_total"], json!(5));
}

/// Versions in the lake as `rows_total` of the last snapshot says.
fn versions(world: &World) -> Value {
    let snapshots = world.run(&["--json", "snapshots"]).json();
    let list = table(&snapshots)["snapshots"].as_array().cloned();
    list.unwrap_or_default()
        .last()
        .map_or(json!(0), |last| last["rows_total"].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_read_of_a_history_leaves_to_the_window_what_is_above_its_bound() {
    // Without row versions the read would wait for the writer.
    let mut world = World::with_isolation(Isolation::with_row_versions(), ORDERS).await;
    world.config(
        "  - source: dbo.orders\n    kind: history\n    change: { strategy: rowversion }\n",
    );
    let mut writer = crate::harness::server().connect(&world.source_db).await;
    crate::harness::sql(
        &mut writer,
        "BEGIN TRAN; UPDATE dbo.orders SET amount = 99 WHERE order_id = 1",
    )
    .await;
    world
        .source("UPDATE dbo.orders SET amount = 98 WHERE order_id = 2")
        .await;
    // Row 2 is committed above the bound, which the open transaction holds down.
    assert_eq!(extracted(&world)["inserted"], json!(3));
    crate::harness::sql(&mut writer, "COMMIT").await;
    assert_eq!(extracted(&world)["inserted"], json!(2));
    assert_eq!(extracted(&world)["inserted"], json!(0));
    // Four rows, one of them in two versions.
    assert_eq!(versions(&world), json!(5));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_without_a_key_has_each_row_once() {
    let mut world = World::new(
        "CREATE TABLE dbo.events (what nvarchar(20) NULL, at datetime2(7) NULL)
GO
INSERT dbo.events VALUES (N'a', DATEADD(minute, -2, SYSUTCDATETIME())), (N'null', NULL),
    (N'b', DATEADD(minute, -1, SYSUTCDATETIME()))
GO
INSERT dbo.events SELECT what, at FROM dbo.events WHERE what = N'a'",
    )
    .await;
    world.config(
        "  - source: dbo.events\n    kind: history\n    change: { strategy: timestamp, column: at, lag: 0s, \
         overlap: 1h, clock: utc }\n",
    );
    assert_eq!(extracted(&world)["inserted"], json!(4));
    for _ in 0..2 {
        let again = extracted(&world);
        assert_eq!(
            (&again["snapshot_id"], &again["unchanged"]),
            (&Value::Null, &json!(3)),
            "{again:#}"
        );
    }
    // One more of a row that is there twice, and a late row.
    world
        .source(
            "INSERT dbo.events SELECT TOP (1) what, at FROM dbo.events WHERE what = N'a';
            INSERT dbo.events VALUES (N'late', DATEADD(minute, -30, SYSUTCDATETIME()))",
        )
        .await;
    assert_eq!(extracted(&world)["inserted"], json!(2));
    assert_eq!(extracted(&world)["inserted"], json!(0));
    assert_eq!(versions(&world), json!(6));
    // Under another strategy the whole table is read again, and each row is there.
    world.config("  - source: dbo.events\n    kind: history\n    change: { strategy: full }\n");
    assert_eq!(extracted(&world)["inserted"], json!(0));
    assert_eq!(versions(&world), json!(6));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_read_of_a_history_adds_what_differs_and_what_vanished() {
    let mut world = World::new(
        "CREATE TABLE dbo.orders (order_id int NOT NULL PRIMARY KEY, name varchar(10) NULL)
GO
INSERT dbo.orders VALUES (1, 'a'), (2, NULL), (3, 'c')",
    )
    .await;
    world.config("  - source: dbo.orders\n    kind: history\n    change: { strategy: full }\n");
    let added = |world: &World| {
        let extract = extracted(world);
        (extract["inserted"].clone(), extract["deleted"].clone())
    };
    assert_eq!(added(&world), (json!(3), json!(0)));
    assert_eq!(added(&world), (json!(0), json!(0)));
    world
        .source(
            "UPDATE dbo.orders SET name = 'b' WHERE order_id = 2; DELETE dbo.orders WHERE order_id = 3;
            INSERT dbo.orders VALUES (4, 'd')",
        )
        .await;
    assert_eq!(added(&world), (json!(2), json!(1)));
    assert_eq!(added(&world), (json!(0), json!(0)));
    // A target has no `_op`: the version that says that key 3 is gone is not loaded.
    let loaded = world.run(&["--json", "load"]).json();
    assert_eq!(table(&loaded)["load"]["inserted"], json!(5), "{loaded:#}");
    let versions_of_3 = "SELECT COUNT(*) FROM dbo.orders WHERE order_id = 3";
    assert_eq!(world.target_rows(versions_of_3).await, [["Int(1)"]]);
    // As it was before it was deleted: a version of its own.
    world.source("INSERT dbo.orders VALUES (3, 'c')").await;
    assert_eq!(added(&world), (json!(1), json!(0)));
    assert_eq!(added(&world), (json!(0), json!(0)));
    assert_eq!(versions(&world), json!(7));
    let loaded = world.run(&["--json", "load"]).json();
    assert_eq!(table(&loaded)["load"]["inserted"], json!(1), "{loaded:#}");
    assert_eq!(world.target_rows(versions_of_3).await, [["Int(2)"]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_read_of_a_mirror_writes_and_loads_what_differs() {
    let mut world = World::new(
        "CREATE TABLE dbo.orders (order_id int NOT NULL PRIMARY KEY, name varchar(10) NULL)
GO
INSERT dbo.orders SELECT TOP (20000) ROW_NUMBER() OVER (ORDER BY (SELECT 1)), 'row'
FROM sys.all_columns a CROSS JOIN sys.all_columns b",
    )
    .await;
    for change in ["strategy: full", "strategy: full, range_rows: 2000"] {
        world.config(&format!(
            "  - source: dbo.orders\n    change: {{ {change} }}\n"
        ));
        world.run(&["--json", "sync"]).json();
        world
            .source(
                "UPDATE dbo.orders SET name = 'x' + CONVERT(varchar(8), LEN(name)) WHERE order_id = 77;
                DELETE dbo.orders WHERE order_id IN (5, 5000);
                INSERT dbo.orders VALUES (30000 + (SELECT COUNT(*) FROM dbo.orders), 'new')",
            )
            .await;
        let run = world.run(&["--json", "sync"]).json();
        let extract = &table(&run)["extract"];
        let counts = ["inserted", "updated"].map(|name| extract[name].clone());
        assert_eq!(counts, [json!(1), json!(1)], "{change}: {run:#}");
        assert!(
            extract["bytes"].as_u64() < Some(20_000),
            "{change}: {run:#}"
        );
        let rows =
            "SELECT COUNT(*), SUM(CAST(order_id AS bigint)), COUNT(DISTINCT name) FROM dbo.orders";
        assert_eq!(world.source_rows(rows).await, world.target_rows(rows).await);
        let again = extracted(&world);
        assert_eq!(again["snapshot_id"], Value::Null, "{change}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_changed_its_spelling_stays_when_the_old_spelling_is_deleted() {
    let mut world = World::new(
        "CREATE TABLE dbo.orders (code nvarchar(10) COLLATE Latin1_General_CI_AS NOT NULL PRIMARY KEY, v int NOT NULL,
    rv rowversion NOT NULL)
GO
INSERT dbo.orders (code, v) VALUES (N'\u{c9}1', 1), (N'b', 2)",
    )
    .await;
    for statement in ["merge", "update_insert"] {
        let config = |strategy: &str| {
            format!(
                "  - source: dbo.orders\n    change: {{ strategy: {strategy} }}\n    merge: {{ statement: {statement} \
                 }}\n"
            )
        };
        world.config(&config("rowversion"));
        world.run(&["--json", "sync"]).json();
        // Equal for the server, another key for the lake, which folds ASCII alone.
        world
            .source(
                "UPDATE dbo.orders SET code = CASE WHEN code COLLATE Latin1_General_BIN2 = N'\u{c9}1' THEN N'\u{e9}1' \
                 ELSE \
                 N'\u{c9}1' END WHERE v = 1",
            )
            .await;
        world.run(&["--json", "sync"]).json();
        world.config(&config("full"));
        world.run(&["--json", "sync"]).json();
        let rows = world.target_rows("SELECT COUNT(*) FROM dbo.orders").await;
        assert_eq!(rows, [["Int(2)"]], "{statement}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seventh_digit_that_no_value_has_makes_no_version() {
    let mut world = World::new(
        "CREATE TABLE dbo.orders (order_id int NOT NULL PRIMARY KEY, at datetime2(3) NULL)
GO
INSERT dbo.orders VALUES (1, '2024-05-01 10:00:00.123'), (2, NULL)",
    )
    .await;
    world.config("  - source: dbo.orders\n    kind: history\n    change: { strategy: full }\n");
    assert_eq!(extracted(&world)["inserted"], json!(2));
    world
        .source("ALTER TABLE dbo.orders ALTER COLUMN at datetime2(7) NULL")
        .await;
    assert_eq!(extracted(&world)["inserted"], json!(0));
    world
        .source("UPDATE dbo.orders SET at = '2024-05-01 10:00:00.1230001' WHERE order_id = 1")
        .await;
    assert_eq!(extracted(&world)["inserted"], json!(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_of_a_recreated_table_is_read_whole_and_compared() {
    const CREATE: &str =
        "CREATE TABLE dbo.orders (order_id int NOT NULL PRIMARY KEY, name varchar(10) NULL)";
    let mut world = World::new(&format!(
        "{CREATE}\nGO\nINSERT dbo.orders VALUES (1, 'a'), (2, 'b'), (3, 'c')"
    ))
    .await;
    world.config(
        "  - source: dbo.orders\n    kind: history\n    change: { strategy: sequence, column: order_id }\n",
    );
    assert_eq!(extracted(&world)["inserted"], json!(3));
    world.source("DROP TABLE dbo.orders").await;
    world.source(CREATE).await;
    world
        .source("INSERT dbo.orders VALUES (1, 'a'), (2, 'new'), (4, 'd')")
        .await;
    // The version that is the same is there once.
    let again = extracted(&world);
    assert_eq!(again["inserted"], json!(2), "{again:#}");
    assert_eq!(extracted(&world)["inserted"], json!(0));
}
