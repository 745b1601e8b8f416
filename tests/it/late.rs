//! Rows that come late, or with odd values: parts of the watermark column that are read again, rows that a column marks
//! as deleted, times that lie before the last bound, in the future or nowhere.

use crate::harness::{Server, World, finish};
use crate::isolation::Isolation;
use crate::outside::{lake_rows, lake_table};
use icesync::lake::{
    FAIL_AFTER_DATA_FILES, FAIL_AFTER_HINT, FAIL_AFTER_MANIFESTS, FAIL_AFTER_METADATA,
};
use serde_json::{Value, json};

const TABLE: &str =
    "CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY, n int NOT NULL, at datetime2(3) NULL, rv \
    rowversion NOT NULL, INDEX ix_at (at))
GO
INSERT dbo.t (id, n, at) VALUES (1, 1, '2024-01-01T10:00:00'), (2, 2, '2024-01-02T10:00:00'),
    (3, 3, '2024-01-03T10:00:00'), (4, 4, '2024-01-04T10:00:00')";
const ROWS: &str = "SELECT id, n FROM dbo.t ORDER BY id";
const TIMESTAMP: &str = "strategy: timestamp, column: at, clock: utc, lag: 0s, overlap: 0s";

fn extract(report: &Value) -> Value {
    report["tables"][0]["extract"].clone()
}

/// What a successful extract did.
fn extracted(world: &World, more: &[&str]) -> Value {
    let mut args = vec!["--json", "extract"];
    args.extend(more);
    extract(&world.run(&args).json())
}

#[track_caller]
fn has(value: &Value, parts: &[&str]) {
    let text = value.to_string();
    for part in parts {
        assert!(text.contains(part), "missing {part:?} in {value:#}");
    }
}

fn config(world: &World, kind: &str, change: &str) {
    world.config(&format!(
        "  - source: dbo.t\n    kind: {kind}\n    change: {{ {change} }}\n"
    ));
}

async fn assert_loaded(world: &mut World, query: &str) {
    world.run(&["--json", "load"]).json();
    let source = world.source_rows(query).await;
    assert_eq!(source, world.target_rows(query).await, "{query}");
}

/// A change that leaves the time alone, and a row that comes with an old one.
const UNSEEN: &str = "UPDATE dbo.t SET n = 20 WHERE id = 2; INSERT dbo.t (id, n, at) VALUES (9, 9, \
    '2024-01-02T12:00:00')";

#[tokio::test(flavor = "multi_thread")]
async fn a_part_is_read_again_and_what_differs_is_committed() {
    let mut world = World::new(TABLE).await;
    config(&world, "mirror", TIMESTAMP);
    let first = extracted(&world, &[]);
    world.source(UNSEEN).await;
    let missed = extracted(&world, &[]);
    assert_eq!(missed["snapshot_id"], Value::Null, "{missed:#}");

    let part = [
        "--table",
        "dbo.t",
        "--from",
        "2024-01-02",
        "--to",
        "2024-01-03T10:00:00",
    ];
    let again = extracted(&world, &part);
    assert_eq!(
        (&again["rows_read"], &again["updated"], &again["inserted"]),
        (&json!(3), &json!(1), &json!(1)),
        "{again:#}"
    );
    let reread = &again["reread"];
    assert_eq!(
        reread,
        &json!({
            "from": "2024-01-02 00:00:00.000",
            "to": "2024-01-03 10:00:00.000",
            "ends_at_checkpoint": false,
            "rows_differing": 2,
            "rows_committed": 2,
        })
    );
    // The checkpoint stays where it was.
    assert_eq!(again["watermark_after"], first["watermark_after"]);
    assert_eq!(again["watermark_before"], first["watermark_after"]);

    let same = extracted(&world, &part);
    assert_eq!(same["reread"]["rows_differing"], json!(0), "{same:#}");
    assert_eq!(same["snapshot_id"], Value::Null, "{same:#}");
    assert_loaded(&mut world, ROWS).await;
    // And windows go on from there.
    world
        .source("INSERT dbo.t (id, n, at) VALUES (10, 10, SYSUTCDATETIME())")
        .await;
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    let later = extracted(&world, &[]);
    assert_eq!(later["watermark_before"], first["watermark_after"]);
    assert_eq!(later["inserted"], json!(1), "{later:#}");
    let text = world.run(&["extract", "--table", "dbo.t", "--from", "2024-01-01"]);
    for part in [
        "from 2024-01-01 00:00:00.000",
        "the checkpoint",
        "read again, 0 differing",
    ] {
        assert!(text.stdout.contains(part), "{part}: {text:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_of_a_sequence_shows_updates_and_one_of_a_rowversion_nothing_new() {
    let mut world = World::new(TABLE).await;
    config(&world, "mirror", "strategy: sequence, column: id");
    extracted(&world, &[]);
    world.source("UPDATE dbo.t SET n = n * 10").await;
    assert_eq!(extracted(&world, &[])["rows_read"], json!(0));
    let part = ["--table", "dbo.t", "--from", "2", "--to", "3"];
    let again = extracted(&world, &part);
    assert_eq!(
        (&again["rows_read"], &again["updated"]),
        (&json!(2), &json!(2)),
        "{again:#}"
    );
    let rest = extracted(&world, &["--table", "dbo.t", "--from", "-5"]);
    assert_eq!(
        (&rest["rows_read"], &rest["updated"], &rest["unchanged"]),
        (&json!(4), &json!(2), &json!(2)),
        "{rest:#}"
    );
    assert_eq!(rest["watermark_after"], json!("4"));
    assert_loaded(&mut world, ROWS).await;

    world.config("  - source: dbo.t\n    lake: other.t\n    target: dbo.other\n");
    extracted(&world, &[]);
    let again = extracted(&world, &["--table", "dbo.t", "--from", "0x1"]);
    assert_eq!(
        (
            &again["rows_read"],
            &again["unchanged"],
            &again["snapshot_id"]
        ),
        (&json!(4), &json!(4), &Value::Null),
        "{again:#}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_gets_only_versions_that_differ() {
    let mut world = World::new(TABLE).await;
    config(&world, "history", TIMESTAMP);
    extracted(&world, &[]);
    world.source(UNSEEN).await;
    let part = ["--table", "dbo.t", "--from", "2024-01-01"];
    let again = extracted(&world, &part);
    assert_eq!(
        (&again["rows_read"], &again["inserted"], &again["unchanged"]),
        (&json!(5), &json!(2), &json!(3)),
        "{again:#}"
    );
    let same = extracted(&world, &part);
    assert_eq!(same["snapshot_id"], Value::Null, "{same:#}");
    let versions = lake_rows(&lake_table(&world).await, None, &["id", "n"]).await;
    let expected = [
        ["1", "1"],
        ["2", "2"],
        ["2", "20"],
        ["3", "3"],
        ["4", "4"],
        ["9", "9"],
    ];
    assert_eq!(versions, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_ends_at_the_checkpoint() {
    let mut world = World::new(TABLE).await;
    config(&world, "mirror", "strategy: sequence, column: id");
    extracted(&world, &[]);
    world
        .source("INSERT dbo.t (id, n) VALUES (5, 5); UPDATE dbo.t SET n = 40 WHERE id = 4")
        .await;
    let cut = extracted(&world, &["--table", "dbo.t", "--from", "4", "--to", "5"]);
    assert_eq!(
        (&cut["rows_read"], &cut["reread"]["ends_at_checkpoint"]),
        (&json!(1), &json!(true)),
        "{cut:#}"
    );
    has(&cut["warnings"], &["--to lies above the checkpoint", "(4)"]);
    let next = extracted(&world, &[]);
    assert_eq!(next["inserted"], json!(1), "{next:#}");
    assert_loaded(&mut world, ROWS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_again_is_refused_by_name() {
    let world = World::new(TABLE).await;
    let again = |from: &str| world.run(&["extract", "--table", "dbo.t", "--from", from]);
    config(&world, "mirror", TIMESTAMP);
    again("2024-01-01").fails_with(1, &["no part of dbo.t can be read again", "no extract"]);
    extracted(&world, &[]);
    for bad in ["yesterday", "", "2024-13-01", "2024-01-01 10:00:00 +02:00"] {
        again(bad).fails_with(
            2,
            &[
                "--from is not a value of column at of dbo.t",
                "datetime2(3)",
                "--from \"2024-05-01 10:00:00\"",
            ],
        );
    }
    let crossed = [
        "extract",
        "--table",
        "dbo.t",
        "--from",
        "2024-02-01",
        "--to",
        "2024-01-01",
    ];
    world.run(&crossed).fails_with(2, &["--to lies below it"]);
    again("2999-01-01").fails_with(2, &["does not lie below the checkpoint", "dbo.t"]);
    world
        .run(&["extract", "--from", "2024-01-01"])
        .fails_with(2, &["--from needs exactly one `--table`"]);
    let alone = world.run(&["extract", "--table", "dbo.t", "--to", "2024-01-01"]);
    alone.fails_with(2, &["--from"]);
    let planned = world.run(&["plan", "--table", "dbo.t", "--from", "soon"]);
    planned.fails_with(2, &["--from is not a value of column at"]);

    config(&world, "mirror", "strategy: full");
    again("2024-01-01").fails_with(2, &["--from cannot be used on dbo.t", "strategy full"]);
    config(&world, "mirror", "strategy: rowversion");
    again("0x1").fails_with(1, &["reads the whole table", "strategy timestamp"]);
    let two = "  - source: dbo.t\n  - source: dbo.t\n    lake: o.t\n    target: o.t\n";
    world.config(two);
    let both = [
        "extract", "--table", "dbo.t", "--table", "o.t", "--from", "1",
    ];
    world.run(&both).fails_with(2, &["exactly one `--table`"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn plan_shows_the_part_that_would_be_read_again() {
    let world = World::new(TABLE).await;
    config(&world, "mirror", TIMESTAMP);
    extracted(&world, &[]);
    let part = [
        "plan",
        "--table",
        "dbo.t",
        "--from",
        "2024-01-02",
        "--to",
        "2024-01-03",
    ];
    let text = world.run(&part).stdout;
    for part in [
        "strategy timestamp (read again)",
        "window   from 2024-01-02 00:00:00.000 to 2024-01-03 00:00:00.000",
        "the checkpoint stays at",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let json = world.run(&[&["--json"], &part[..]].concat()).json();
    assert_eq!(json["tables"][0]["rereads"], json!(true), "{json:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_is_read_again_exactly_once_whatever_ends_the_run() {
    for kind in ["mirror", "history"] {
        for edge in [
            FAIL_AFTER_DATA_FILES,
            FAIL_AFTER_MANIFESTS,
            FAIL_AFTER_METADATA,
            FAIL_AFTER_HINT,
        ] {
            let mut world = World::new(TABLE).await;
            config(&world, kind, TIMESTAMP);
            let first = extracted(&world, &[]);
            world.source(UNSEEN).await;
            let part = ["extract", "--table", "dbo.t", "--from", "2024-01-01"];
            let mut command = world.command(&part);
            let died = command.env("ICESYNC_FAILPOINT", edge).spawn();
            assert!(finish(died.expect("starts")).code != 0, "{kind} {edge}");
            let again = extracted(&world, &part[1..]);
            let what = format!("{kind} {edge}: {again:#}");
            let found = lake_rows(&lake_table(&world).await, None, &["id", "n"]).await;
            let mut expected = vec![["1", "1"], ["2", "20"], ["3", "3"], ["4", "4"], ["9", "9"]];
            if kind == "history" {
                expected.insert(1, ["2", "2"]);
            }
            assert_eq!(found, expected, "{what}");
            assert_eq!(again["watermark_after"], first["watermark_after"], "{what}");
        }
    }
}

const MARKED: &str =
    "CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY, n int NOT NULL, is_deleted bit NULL, rv \
    rowversion NOT NULL)
GO
INSERT dbo.t (id, n, is_deleted) VALUES (1, 1, 0), (2, 2, NULL), (3, 3, 1), (4, 4, 0)";
const LIVE: &str = "SELECT id, n FROM dbo.t WHERE is_deleted = 0 OR is_deleted IS NULL ORDER BY id";

fn marked(kind: &str, more: &str) -> String {
    format!(
        "  - source: dbo.t\n    kind: {kind}\n    soft_delete: {{ column: is_deleted, values: [1] }}\n{more}"
    )
}

/// Rows of the target, which are those of the source that are not marked.
async fn assert_live(world: &mut World) {
    let source = world.source_rows(LIVE).await;
    assert_eq!(source, world.target_rows(ROWS).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_a_column_marks_leave_lake_and_target_and_come_back() {
    for change in [
        "    change: { strategy: rowversion }\n",
        "    change: { strategy: full }\n",
    ] {
        let mut world = World::new(MARKED).await;
        world.config(&marked("mirror", change));
        let first = extract(&world.run(&["--json", "sync"]).json());
        assert_eq!(
            (&first["rows_read"], &first["inserted"]),
            (&json!(4), &json!(3)),
            "{change}: {first:#}"
        );
        assert_live(&mut world).await;
        world
            .source("UPDATE dbo.t SET is_deleted = 1 WHERE id IN (1, 4)")
            .await;
        let second = extract(&world.run(&["--json", "sync"]).json());
        assert_eq!(second["deleted"], json!(2), "{change}: {second:#}");
        assert_live(&mut world).await;
        // Marked once more, and one that never was there.
        world
            .source(
                "UPDATE dbo.t SET n = 40 WHERE id = 4; INSERT dbo.t (id, n, is_deleted) VALUES (5, 5, 1)",
            )
            .await;
        let third = extract(&world.run(&["--json", "sync"]).json());
        assert_eq!(third["snapshot_id"], Value::Null, "{change}: {third:#}");
        world
            .source("UPDATE dbo.t SET is_deleted = 0 WHERE id IN (3, 4)")
            .await;
        let fourth = extract(&world.run(&["--json", "sync"]).json());
        assert_eq!(fourth["inserted"], json!(2), "{change}: {fourth:#}");
        assert_live(&mut world).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_says_which_rows_a_column_marks() {
    let mut world = World::new(MARKED).await;
    world.config(&marked(
        "history",
        "    change: { strategy: rowversion }\n    merge: { mode: history }\n",
    ));
    world.run(&["--json", "sync"]).json();
    world
        .source("UPDATE dbo.t SET is_deleted = 1 WHERE id = 1")
        .await;
    let second = extract(&world.run(&["--json", "sync"]).json());
    assert_eq!(second["deleted"], json!(1), "{second:#}");
    world
        .source("UPDATE dbo.t SET is_deleted = 0 WHERE id = 1")
        .await;
    world.run(&["--json", "sync"]).json();
    let table = lake_table(&world).await;
    let mut versions = lake_rows(&table, None, &["_seq", "id", "n", "_op"]).await;
    versions.retain(|version| version[1] == "1");
    let told: Vec<[&str; 2]> = versions
        .iter()
        .map(|version| [version[2].as_str(), version[3].as_str()])
        .collect();
    // With the values that it has, not without.
    assert_eq!(told[1..], [["1", "D"], ["1", "U"]], "{versions:?}");
    let deleted = world
        .target_rows("SELECT id, n FROM dbo.t WHERE _op = 'D' ORDER BY id")
        .await;
    assert_eq!(deleted, [["Int(1)", "Int(1)"], ["Int(3)", "Int(3)"]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_that_marks_rows_is_used_from_the_next_read_of_each_row_on() {
    let mut world = World::new(MARKED).await;
    world.config("  - source: dbo.t\n");
    world.run(&["--json", "sync"]).json();
    // The row that was marked before is read again because it is asked for.
    world.config(&marked("mirror", ""));
    let nothing = extract(&world.run(&["--json", "sync"]).json());
    assert_eq!(nothing["snapshot_id"], Value::Null, "{nothing:#}");
    let again = extracted(&world, &["--table", "dbo.t", "--from", "0x1"]);
    assert_eq!(
        (&again["deleted"], &again["reread"]["rows_committed"]),
        (&json!(1), &json!(1)),
        "{again:#}"
    );
    world.run(&["--json", "load"]).json();
    assert_live(&mut world).await;
    let text = world.run(&["plan"]).stdout;
    assert!(
        text.contains("deletes are seen through this column only"),
        "{text}"
    );
}

/// Each range is a data file of its own, which a marked row is not in.
#[tokio::test(flavor = "multi_thread")]
async fn marked_rows_are_left_out_of_ranges() {
    let mut world = World::with_isolation(
        Isolation::for_ranges("rowversion"),
        "CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY, n int NOT NULL, is_deleted bit NULL, rv rowversion NOT NULL)
GO
INSERT dbo.t (id, n, is_deleted) SELECT s.n, s.n, CASE WHEN s.n % 3 = 0 THEN 1 ELSE 0 END FROM (SELECT TOP (6000) \
         CONVERT(int, ROW_NUMBER() OVER (ORDER BY (SELECT 1))) AS n
FROM sys.all_columns a CROSS JOIN sys.all_columns b) AS s",
    )
    .await;
    world.config(&marked("mirror", "    change: { range_rows: 1000 }\n"));
    let first = extract(&world.run(&["--json", "sync"]).json());
    assert_eq!(
        (&first["rows_read"], &first["inserted"]),
        (&json!(6000), &json!(4000)),
        "{first:#}"
    );
    assert!(first["ranges"].as_u64() > Some(1), "{first:#}");
    assert_live(&mut world).await;
}

/// With row locks a whole read deletes nothing that it has not met.
#[tokio::test(flavor = "multi_thread")]
async fn marked_rows_are_deleted_by_a_read_that_may_miss_others() {
    let mut world = World::with_isolation(Isolation::ReadCommitted, MARKED).await;
    let change = "    change: { strategy: full, isolation: read_committed }\n";
    world.config(&marked("mirror", change));
    world.run(&["--json", "sync"]).json();
    world
        .source("UPDATE dbo.t SET is_deleted = 1 WHERE id = 1; DELETE dbo.t WHERE id = 2")
        .await;
    let second = extract(&world.run(&["--json", "sync"]).json());
    assert_eq!(second["deleted"], json!(1), "{second:#}");
    let left = world.target_rows("SELECT id FROM dbo.t ORDER BY id").await;
    assert_eq!(left, [["Int(2)"], ["Int(4)"]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_that_cannot_mark_rows_is_refused_with_a_remedy() {
    let world = World::new(
        "CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY, is_deleted bit NOT NULL, gone_at datetime2(3) NULL, state \
         char(1) NULL, rv rowversion NOT NULL)",
    )
    .await;
    let refused = |entry: &str, parts: &[&str]| {
        world.config(&format!("  - source: dbo.t\n{entry}"));
        let all = [&["dbo.t"], parts].concat();
        world.run(&["extract"]).fails_with(2, &all);
        assert!(!world.lake("dbo", "t").exists());
    };
    refused(
        "    soft_delete: { column: removed, values: [1] }\n",
        &[
            "no column removed",
            "id, is_deleted",
            "Correct `soft_delete.column`",
        ],
    );
    refused(
        "    soft_delete: { column: is_deleted, values: [1] }\n    columns: { exclude: [is_deleted] }\n",
        &[
            "column is_deleted is left out by `columns`",
            "columns.exclude",
        ],
    );
    refused(
        "    soft_delete: { column: gone_at, values: [1] }\n",
        &["column gone_at is datetime2(3)", "extract a view"],
    );
    refused(
        "    soft_delete: { column: is_deleted, values: [1, 2] }\n",
        &["`soft_delete.values[1]`", "type is bit", "values: [1]"],
    );
    refused(
        "    soft_delete: { column: state, values: [gone] }\n",
        &["`soft_delete.values[0]`", "char(1)"],
    );
    for (entry, part) in [
        ("{ column: is_deleted, values: [] }", "lists no value"),
        ("{ column: is_deleted, values: [1, 1] }", "each value once"),
        ("{ column: is_deleted }", "`values` is missing"),
        ("{ column: is_deleted, values: [~] }", "soft_delete.values"),
    ] {
        world.config(&format!("  - source: dbo.t\n    soft_delete: {entry}\n"));
        world
            .run(&["extract"])
            .fails_with(2, &["tables[0].soft_delete", part]);
    }
}

const TIMED: &str =
    "CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY, n int NOT NULL, at datetime2(3) NULL, INDEX \
    ix_at (at))
GO
INSERT dbo.t (id, n, at) VALUES (1, 1, '2024-01-01T10:00:00')";

/// Times of now lie below a window's end after that.
async fn pass() {
    tokio::time::sleep(std::time::Duration::from_millis(60)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_come_late_are_counted_with_the_latest() {
    let mut world = World::new(TIMED).await;
    let change = "strategy: timestamp, column: at, clock: utc, lag: 0s, overlap: 1h";
    config(&world, "mirror", change);
    extracted(&world, &[]);
    assert_eq!(extracted(&world, &[])["late"], Value::Null);
    world
        .source(
            "INSERT dbo.t (id, n, at) VALUES (2, 2, DATEADD(minute, -30, SYSUTCDATETIME())), (3, 3, DATEADD(minute, \
             -10, SYSUTCDATETIME())), (4, 4, DATEADD(hour, -3, SYSUTCDATETIME())); UPDATE dbo.t SET n = 0, at = \
             DATEADD(second, -1, SYSUTCDATETIME()) WHERE id = 1",
        )
        .await;
    pass().await;
    // The row of three hours ago is missed, and the one that was changed a second ago may be on either side.
    let late = extracted(&world, &[]);
    let (rows, latest) = (&late["late"]["rows"], late["late"]["latest_ms"].as_i64());
    assert!([json!(2), json!(3)].contains(rows), "{late:#}");
    let minutes = latest.map(|ms| ms / 60_000);
    assert!([Some(29), Some(30)].contains(&minutes), "{late:#}");
    assert_eq!(late["late"]["keys"], Value::Null, "{late:#}");
    // What is read again and is the same is not late.
    assert_eq!(extracted(&world, &[])["late"], Value::Null);

    world
        .source("INSERT dbo.t (id, n, at) VALUES (77, 7, DATEADD(minute, -55, SYSUTCDATETIME()))")
        .await;
    let args = ["--show-values", "extract"];
    let text = world.run(&args).stdout;
    for part in [
        "1 row came late",
        "keys: 77",
        "change.overlap reaches",
        "extract --from",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    // The one that was missed is found by reading the part again.
    let again = extracted(&world, &["--table", "dbo.t", "--from", "2024-01-01"]);
    assert_eq!(again["inserted"], json!(1), "{again:#}");
    assert_loaded(&mut world, ROWS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_rows_are_listed_by_key_where_values_are_shown() {
    let mut world = World::with_isolation(
        // Without row versions a count would wait for writers.
        Isolation::with_row_versions(),
        TIMED,
    )
    .await;
    world
        .source(
            "INSERT dbo.t (id, n, at) VALUES (41, 1, NULL), (42, 1, NULL), (51, 1, DATEADD(day, 2, SYSUTCDATETIME()))",
        )
        .await;
    let change = "strategy: timestamp, column: at, clock: utc";
    let counts = ["2 rows have NULL in at", "1 rows have a at in the future"];
    let keys = ["keys: 41; 42", "keys: 51"];
    // A whole read meets them, and a window asks the server.
    for lake in ["whole", "asked"] {
        config(&world, "mirror", change);
        let shown = world.run(&["--json", "--show-values", "extract"]).json();
        let warnings = extract(&shown)["warnings"].clone();
        has(&warnings, &counts);
        has(&warnings, &keys);
        let hidden = extracted(&world, &[])["warnings"].clone();
        has(&hidden, &counts);
        assert!(!hidden.to_string().contains("keys:"), "{lake}: {hidden:#}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_clock_differs_is_said() {
    for (seconds, direction) in [
        (40, "ahead of this machine's"),
        (-40, "behind this machine's"),
    ] {
        let Some(server) = Server::ahead(seconds) else {
            return;
        };
        let mut world = World::on(server, TIMED).await;
        let warned = |lag: &str, world: &World| {
            let change = "strategy: timestamp, column: at, clock: utc, overlap: 0s";
            config(world, "mirror", &format!("{change}, lag: {lag}"));
            let report = world.run(&["--json", "extract"]).json();
            report["warnings"].to_string()
        };
        let warning = warned("5s", &world);
        assert!(warning.contains(direction), "{seconds}: {warning}");
        assert!(warning.contains("change.lag is 5s"), "{seconds}: {warning}");
        let silent = warned("2m", &world);
        assert!(!silent.contains("clock"), "{seconds}: {silent}");
        // Rows that the server itself stamps are found all the same.
        world
            .source("INSERT dbo.t (id, n, at) VALUES (2, 2, SYSUTCDATETIME())")
            .await;
        pass().await;
        warned("0s", &world);
        assert_loaded(&mut world, ROWS).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_that_another_clock_writes_is_said() {
    for (offset, configured, written, part) in [
        (120, "local", "SYSUTCDATETIME()", "change.clock: utc"),
        (-300, "utc", "SYSDATETIME()", "change.clock: local"),
    ] {
        let Some(server) = Server::ahead(0) else {
            return;
        };
        let isolation = Isolation::with_row_versions();
        let mut world = World::isolated_on(server, isolation, TIMED).await;
        let engine = server.engine().expect("the stand-in's");
        engine.set_local_offset(offset);
        let write = |id: u32| format!("INSERT dbo.t (id, n, at) VALUES ({id}, {id}, {written})");
        let change = format!("strategy: timestamp, column: at, clock: {configured}, lag: 0s");
        config(&world, "mirror", &change);
        extracted(&world, &[]);
        world.source(&write(2)).await;
        pass().await;
        let warned = extracted(&world, &[]);
        has(
            &warned["warnings"],
            &[part, "the newest at is", "are missed"],
        );
        let right = match configured {
            "local" => "utc",
            _ => "local",
        };
        let change = format!("strategy: timestamp, column: at, clock: {right}, lag: 0s");
        config(&world, "mirror", &change);
        let right = extracted(&world, &[]);
        let warnings = right["warnings"].to_string();
        assert!(!warnings.contains("the newest at"), "{right:#}");
    }
}

/// Local time goes forward an hour in spring and back in autumn. No row that it stamps is missed or there twice.
#[tokio::test(flavor = "multi_thread")]
async fn a_column_of_local_time_loses_no_row_when_clocks_change() {
    for kind in ["mirror", "history"] {
        for (before, after) in [(60, 120), (120, 60)] {
            let Some(server) = Server::ahead(0) else {
                return;
            };
            let mut world = World::on(server, TIMED).await;
            let engine = server.engine().expect("the stand-in's");
            let change = "strategy: timestamp, column: at, clock: local, lag: 0s, overlap: 0s";
            config(&world, kind, change);
            let mut next = 2;
            // The last change sets back what the first has set, so that the hour is read once more.
            for offset in [before, after, before] {
                engine.set_local_offset(offset);
                for _ in 0..2 {
                    let row =
                        format!("INSERT dbo.t (id, n, at) VALUES ({next}, {next}, SYSDATETIME())");
                    world.source(&row).await;
                    next += 1;
                    pass().await;
                    let found = extracted(&world, &[]);
                    let what = format!("{kind} {before} -> {after}, row {next}: {found:#}");
                    assert_eq!(found["full_read"], json!(next == 3), "{what}");
                    let rows = lake_rows(&lake_table(&world).await, None, &["id"]).await;
                    assert_eq!(rows.len(), next - 1, "{what}");
                }
            }
            assert_loaded(&mut world, ROWS).await;
        }
    }
}

/// Seven digits, of which no tool that keeps six tells all rows apart.
#[tokio::test(flavor = "multi_thread")]
async fn seven_digits_of_a_time_neither_read_rows_again_nor_lose_them() {
    let mut world = World::new(
        "CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY, n int NOT NULL, at datetime2(7) NOT NULL, INDEX ix_at (at))
GO
INSERT dbo.t (id, n, at) VALUES (1, 1, '2024-01-01T10:00:00.1234567'), (2, 2, '2024-01-01T10:00:00.1234568'),
    (3, 3, '2024-01-01T10:00:00.1234569')",
    )
    .await;
    config(&world, "mirror", TIMESTAMP);
    extracted(&world, &[]);
    for _ in 0..2 {
        assert_eq!(extracted(&world, &[])["rows_read"], json!(0));
    }
    let seventh = ["--from", "2024-01-01T10:00:00.1234568"];
    let rest = [&["--table", "dbo.t"], &seventh[..]].concat();
    assert_eq!(extracted(&world, &rest)["rows_read"], json!(2));
    let one = [&rest[..], &["--to", "2024-01-01T10:00:00.1234568"]].concat();
    assert_eq!(extracted(&world, &one)["rows_read"], json!(1));
    // All of one moment, which the last bound has not passed.
    world
        .source(
            "DECLARE @now datetime2(7) = SYSUTCDATETIME(); INSERT dbo.t (id, n, at) SELECT TOP (50) 100 + ROW_NUMBER() \
             OVER (ORDER BY (SELECT 1)), 0, DATEADD(nanosecond, 100 * (ROW_NUMBER() OVER (ORDER BY (SELECT 1)) % 3), \
             @now) FROM sys.all_columns",
        )
        .await;
    pass().await;
    assert_eq!(extracted(&world, &[])["inserted"], json!(50));
    assert_eq!(extracted(&world, &[])["rows_read"], json!(0));
    assert_loaded(&mut world, ROWS).await;
}

/// From compatibility level 130 on, a `datetime` of 3 or 7 milliseconds equals no `datetime2` of the same text.
#[tokio::test(flavor = "multi_thread")]
async fn a_datetime_is_followed_in_its_own_type() {
    let mut world = World::new(
        "CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY, n int NOT NULL, at datetime NOT NULL, INDEX ix_at (at))
GO
INSERT dbo.t (id, n, at) VALUES (1, 1, '2024-01-01T10:00:00.003'), (2, 2, '2024-01-01T10:00:00.007'), (3, 3, \
         '2024-01-01T10:00:00.010')",
    )
    .await;
    config(&world, "mirror", TIMESTAMP);
    extracted(&world, &[]);
    for (at, id) in [(".003", 1), (".007", 2), (".010", 3)] {
        let at = format!("2024-01-01T10:00:00{at}");
        let one = extracted(&world, &["--table", "dbo.t", "--from", &at, "--to", &at]);
        assert_eq!(one["rows_read"], json!(1), "{id}: {one:#}");
    }
    world
        .source(
            "UPDATE dbo.t SET n = 20, at = DATEADD(millisecond, -20, GETUTCDATE()) WHERE id = 2",
        )
        .await;
    pass().await;
    assert_eq!(extracted(&world, &[])["updated"], json!(1));
    assert_eq!(extracted(&world, &[])["rows_read"], json!(0));
    assert_loaded(&mut world, ROWS).await;
}

/// Numbers are drawn in one order and committed in another.
#[tokio::test(flavor = "multi_thread")]
async fn a_number_that_is_committed_after_a_higher_one_is_read() {
    let mut world = World::new(
        "CREATE TABLE dbo.t (id int IDENTITY NOT NULL PRIMARY KEY, n int NOT NULL)
GO
INSERT dbo.t (n) VALUES (1)",
    )
    .await;
    config(&world, "mirror", "strategy: sequence, column: id");
    extracted(&world, &[]);
    let mut slow = crate::harness::server().connect(&world.source_db).await;
    crate::harness::sql(&mut slow, "BEGIN TRAN; INSERT dbo.t (n) VALUES (2)").await;
    world.source("INSERT dbo.t (n) VALUES (3)").await;
    // The highest number is asked for under a lock that waits for the insert.
    let waiting = world.spawn(&["--json", "extract"]);
    tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
    crate::harness::sql(&mut slow, "COMMIT").await;
    let read = extract(&finish(waiting).json());
    assert_eq!(read["inserted"], json!(2), "{read:#}");
    assert_loaded(&mut world, ROWS).await;
}
