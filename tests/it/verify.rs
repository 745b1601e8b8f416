//! `icesync verify`: equal sides are equal in every type, and each row that differs is found.

use crate::harness::{Run, World, finish};
use serde_json::{Value, json};
use std::time::Duration;

/// Rows of the tables in which differences are found.
const ROWS: usize = 3_000;

/// A side of the first table.
fn side(report: &Value, at: usize) -> &Value {
    &report["tables"][0]["compared"][at]
}

/// Source and target, compared once.
fn compared(world: &World) -> Run {
    world.run(&["--json", "verify", "--again", "0"])
}

#[track_caller]
fn is_equal(run: &Run) -> Value {
    let report = run.json();
    for side in report["tables"]
        .as_array()
        .expect("tables")
        .iter()
        .flat_map(|table| table["compared"].as_array().expect("sides"))
    {
        assert_eq!(side["verdict"], json!("equal"), "{report:#}");
        assert_eq!(side["buckets_differing"], json!(0), "{report:#}");
        assert_eq!(side["rows"], side["lake_rows"], "{report:#}");
    }
    report
}

#[track_caller]
fn is_different(run: &Run) -> Value {
    assert_eq!(run.code, 1, "{run:#?}");
    run.json_any()
}

/// Missing, extra, differing, respelled, repeated and pending keys.
fn keys(side: &Value) -> [u64; 6] {
    [
        "missing",
        "extra",
        "differing",
        "respelled",
        "repeated",
        "pending",
    ]
    .map(|kind| side[kind].as_u64().expect("a count"))
}

/// Each type with its extremes, empty values, trailing spaces, surrogates and NULL.
const EVERY_TYPE: [(&str, &[&str]); 34] = [
    ("bit", &["0", "1"]),
    ("tinyint", &["0", "255"]),
    ("smallint", &["-32768", "32767"]),
    ("int", &["-2147483648", "2147483647", "-1"]),
    ("bigint", &["-9223372036854775808", "9223372036854775807"]),
    (
        "decimal(38,10)",
        &[
            "-9999999999999999999999999999.9999999999",
            "0.0000000001",
            "0",
        ],
    ),
    ("numeric(5,0)", &["-99999", "99999"]),
    (
        "money",
        &["-922337203685477.5808", "922337203685477.5807", "-0.0001"],
    ),
    ("smallmoney", &["-214748.3648", "214748.3647"]),
    ("real", &["-3.40E+38", "1.18E-38", "0", "0.1"]),
    ("float", &["-1.79E+308", "2.23E-308", "0", "0.1"]),
    ("date", &["'00010101'", "'99991231'"]),
    ("time(0)", &["'00:00:00'", "'23:59:59'"]),
    ("time(7)", &["'00:00:00.0000001'", "'23:59:59.9999999'"]),
    (
        "datetime",
        &[
            "'17530101'",
            "'9999-12-31T23:59:59.997'",
            "'2024-01-01T00:00:00.003'",
        ],
    ),
    ("smalldatetime", &["'19000101'", "'2079-06-06T23:59:00'"]),
    ("datetime2(0)", &["'0001-01-01T00:00:00'"]),
    (
        "datetime2(7)",
        &[
            "'0001-01-01T00:00:00.0000000'",
            "'9999-12-31T23:59:59.9999999'",
        ],
    ),
    (
        "datetimeoffset(0)",
        &[
            "'2024-01-01 12:00:00 -14:00'",
            "'2024-01-01 12:00:00 +00:00'",
        ],
    ),
    (
        "datetimeoffset(7)",
        &[
            "'1969-12-31 23:59:59.9999999 +05:45'",
            "'9999-12-31 23:59:59.9999999 +00:01'",
        ],
    ),
    ("char(5)", &["''", "'ab'", "'é'"]),
    ("varchar(20)", &["''", "'a '", "'€'", "'A'"]),
    (
        "varchar(max)",
        &["''", "REPLICATE(CONVERT(varchar(max), 'x'), 9000)"],
    ),
    ("nchar(5)", &["N''", "N'訂 '"]),
    (
        "nvarchar(4000)",
        &["N''", "N'😀 '", "REPLICATE(N'ß', 4000)"],
    ),
    (
        "nvarchar(max)",
        &["N''", "REPLICATE(CONVERT(nvarchar(max), N'😀'), 5000)"],
    ),
    ("text", &["'old '", "''"]),
    ("ntext", &["N'𠮷'", "N''"]),
    ("binary(3)", &["0x", "0xFFFFFF"]),
    ("varbinary(20)", &["0x", "0x0000", "0xFF"]),
    (
        "varbinary(max)",
        &[
            "0x",
            "CONVERT(varbinary(max), REPLICATE(CONVERT(varchar(max), 'x'), 9000))",
        ],
    ),
    (
        "uniqueidentifier",
        &[
            "'00112233-4455-6677-8899-AABBCCDDEEFF'",
            "'00000000-0000-0000-0000-000000000000'",
        ],
    ),
    ("xml", &["N'<a>é &amp; </a>'"]),
    (
        "sql_variant",
        &[
            "CONVERT(int, 1)",
            "N'1'",
            "CONVERT(varchar(3), 'a ')",
            "CONVERT(decimal(9,2), 1.5)",
        ],
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn every_value_of_every_type_is_the_same_on_all_sides() {
    let mut world = World::new("SELECT 1").await;
    let mut config = String::new();
    for (at, (ty, values)) in EVERY_TYPE.iter().enumerate() {
        world
            .source(&format!(
                "CREATE TABLE dbo.t{at} (id int NOT NULL PRIMARY KEY, v {ty} NULL)"
            ))
            .await;
        for (id, value) in values.iter().chain(&["NULL"]).enumerate() {
            world
                .source(&format!("INSERT dbo.t{at} VALUES ({id}, {value})"))
                .await;
        }
        config.push_str(&format!(
            "  - source: dbo.t{at}\n    change: {{ strategy: full }}\n"
        ));
    }
    // All of them in one row, too, which is longer than 8,000 bytes.
    let columns = EVERY_TYPE.iter().enumerate();
    let columns = columns.map(|(at, (ty, _))| format!("c{at} {ty} NULL"));
    let columns: Vec<String> = columns.collect();
    world
        .source(&format!(
            "CREATE TABLE dbo.wide (id int NOT NULL PRIMARY KEY, {})",
            columns.join(", ")
        ))
        .await;
    for id in 0..4 {
        let value = |(_, values): &(&str, &[&str])| values[id % values.len()].to_owned();
        let values: Vec<String> = EVERY_TYPE.iter().map(value).collect();
        world
            .source(&format!(
                "INSERT dbo.wide VALUES ({id}, {})",
                values.join(", ")
            ))
            .await;
    }
    config.push_str("  - source: dbo.wide\n    change: { strategy: full }\n");
    world.config(&config);
    world.run(&["--json", "sync"]).json();
    let report = is_equal(&compared(&world));
    let tables = report["tables"].as_array().expect("tables");
    assert_eq!(tables.len(), EVERY_TYPE.len() + 1);
    for table in tables {
        for side in table["compared"].as_array().expect("sides") {
            assert_eq!(side["columns_not_compared"], json!([]), "{table:#}");
        }
    }
    // Another value of each type is seen.
    for (at, (ty, values)) in EVERY_TYPE.iter().enumerate() {
        world
            .source(&format!(
                "UPDATE dbo.t{at} SET v = NULL WHERE id = 0; UPDATE dbo.t{at} SET v = {} WHERE id = {}",
                values[0],
                values.len()
            ))
            .await;
        let table = format!("dbo.t{at}");
        let args = ["--json", "verify", "--table", &table, "--again", "0"];
        let report = is_different(&world.run(&args));
        assert_eq!(
            keys(side(&report, 0)),
            [0, 0, 2, 0, 0, 0],
            "{ty}: {report:#}"
        );
        let columns = json!([{ "column": "v", "keys": 2 }]);
        assert_eq!(side(&report, 0)["columns"], columns, "{ty}");
        assert_eq!(side(&report, 1)["verdict"], json!("equal"), "{ty}");
    }
}

/// Columns of a key, and the key of row `n` as values.
type Keyed = (&'static str, &'static str, fn(usize) -> String);

const KEYS: [Keyed; 6] = [
    ("k int NOT NULL", "k", |n| n.to_string()),
    ("a int NOT NULL, b varchar(9) NOT NULL", "a, b", |n| {
        format!("{}, '{}'", n / 10, n % 10)
    }),
    (
        "k nvarchar(20) COLLATE Latin1_General_CI_AS NOT NULL",
        "k",
        |n| format!("N'Ké{n}'"),
    ),
    ("k uniqueidentifier NOT NULL", "k", |n| {
        format!(
            "'{:08X}-0000-4000-8000-000000000000'",
            n.wrapping_mul(2_654_435_761) & 0xFFFF_FFFF
        )
    }),
    ("k datetime2(7) NOT NULL", "k", |n| {
        format!("'2024-01-01T00:00:00.{n:07}'")
    }),
    ("k datetimeoffset(3) NOT NULL", "k", |n| {
        format!(
            "'2024-01-01 {:02}:{:02}:{:02}.000 +0{}:00'",
            10 + n / 3600,
            n / 60 % 60,
            n % 60,
            n % 2
        )
    }),
];

async fn filled(columns: &str, key: &str, value: fn(usize) -> String) -> World {
    let mut world = World::new(&format!(
        "CREATE TABLE dbo.t ({columns}, n int NOT NULL, note nvarchar(20) NULL, PRIMARY KEY ({key}))"
    ))
    .await;
    for begin in (0..ROWS).step_by(500) {
        let rows = (begin..begin + 500).map(|n| format!("({}, {n}, N'row {n}')", value(n)));
        let rows: Vec<String> = rows.collect();
        world
            .source(&format!("INSERT dbo.t VALUES {}", rows.join(", ")))
            .await;
    }
    world.config("  - source: dbo.t\n    change: { strategy: full }\n");
    world.run(&["--json", "sync"]).json();
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_extra_or_different_is_found_under_every_key() {
    for (columns, key, value) in KEYS {
        let mut world = filled(columns, key, value).await;
        let report = is_equal(&compared(&world));
        assert_eq!(side(&report, 0)["rows"], json!(ROWS), "{columns}");
        let change = |world_only: usize| {
            let rows = (0..5).map(|n| format!("({}, 0, NULL)", value(world_only + n)));
            let rows: Vec<String> = rows.collect();
            format!(
                "INSERT dbo.t VALUES {}; DELETE dbo.t WHERE n BETWEEN 100 AND 104; UPDATE dbo.t SET note = NULL WHERE n \
                    BETWEEN 1000 AND 1002; UPDATE dbo.t SET n = -n, note = note + N' ' WHERE n IN (2000, 2001)",
                rows.join(", ")
            )
        };
        world.source(&change(ROWS)).await;
        let report = is_different(&compared(&world));
        let (source, target) = (side(&report, 0), side(&report, 1));
        assert_eq!(keys(source), [5, 5, 5, 0, 0, 0], "{columns}: {report:#}");
        let by_column = json!([{ "column": "n", "keys": 2 }, { "column": "note", "keys": 5 }]);
        assert_eq!(source["columns"], by_column, "{columns}: {report:#}");
        assert_eq!(source["keys_by_column"], json!(5), "{columns}: {report:#}");
        assert_eq!(source["keys"], Value::Null, "{report:#}");
        assert_eq!(target["verdict"], json!("equal"), "{columns}: {report:#}");
        // The target loses what the source has gained, and so on.
        world.run(&["--json", "sync"]).json();
        is_equal(&compared(&world));
        world
            .target(&change(ROWS + 100).replace("100 AND 104", "200 AND 204"))
            .await;
        let report = is_different(&compared(&world));
        let (source, target) = (side(&report, 0), side(&report, 1));
        assert_eq!(source["verdict"], json!("equal"), "{columns}: {report:#}");
        // The rows 1000 to 1002 have no note any more, and 2000 and 2001 are negative: those changes do nothing.
        assert_eq!(keys(target), [5, 5, 0, 0, 0, 0], "{columns}: {report:#}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn values_of_keys_are_shown_only_if_asked_for() {
    let (columns, key, value) = KEYS[2];
    let mut world = filled(columns, key, value).await;
    world
        .source("DELETE dbo.t WHERE n = 7; UPDATE dbo.t SET n = 0 WHERE n = 9")
        .await;
    let args = ["verify", "--against", "source", "--again", "0"];
    let hidden = world.run(&args);
    hidden.fails_with(1, &["DIFFERENT", "1 extra, 1 differing", "column n: 1 key"]);
    assert!(!format!("{hidden:?}").contains("Ké7"), "{hidden:#?}");
    let shown = world.run(&[
        "verify",
        "--against",
        "source",
        "--again",
        "0",
        "--show-values",
    ]);
    shown.fails_with(1, &["extra (Ké7)", "differing (Ké9)"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_in_another_spelling_is_respelled() {
    let (columns, key, value) = KEYS[2];
    let mut world = filled(columns, key, value).await;
    world
        .source(
            "UPDATE dbo.t SET k = LOWER(k) WHERE n < 3; UPDATE dbo.t SET k = k + N' ' WHERE n = 4",
        )
        .await;
    let report = is_different(&compared(&world));
    assert_eq!(keys(side(&report, 0)), [0, 0, 0, 4, 0, 0], "{report:#}");
    world.run(&["--json", "sync"]).json();
    is_equal(&compared(&world));
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_changed_since_the_checkpoint_are_pending() {
    let mut world = World::new(
        "CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY, n int NOT NULL, rv rowversion NOT NULL)
GO
INSERT dbo.t (id, n) VALUES (1, 1), (2, 2), (3, 3), (4, 4)",
    )
    .await;
    world.config("  - source: dbo.t\n    change: { strategy: rowversion }\n");
    world.run(&["--json", "sync"]).json();
    is_equal(&compared(&world));
    world
        .source("INSERT dbo.t (id, n) VALUES (5, 5); UPDATE dbo.t SET n = 20 WHERE id = 2")
        .await;
    let report = compared(&world).json();
    let source = side(&report, 0);
    assert_eq!(keys(source), [0, 0, 0, 0, 0, 2], "{report:#}");
    assert_eq!(source["verdict"], json!("equal"), "{report:#}");
    // What `rowversion` does not see stays different.
    world.run(&["--json", "sync"]).json();
    world.source("DELETE dbo.t WHERE id = 1").await;
    world.run(&["--json", "sync"]).json();
    let report = is_different(&compared(&world));
    assert_eq!(keys(side(&report, 0)), [0, 1, 0, 0, 0, 0], "{report:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_in_a_log_since_the_checkpoint_are_pending() {
    let mut world = World::new(
        "ALTER DATABASE CURRENT SET CHANGE_TRACKING = ON (CHANGE_RETENTION = 2 DAYS, AUTO_CLEANUP = ON)
GO
CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY, n int NOT NULL)
GO
ALTER TABLE dbo.t ENABLE CHANGE_TRACKING
GO
INSERT dbo.t VALUES (1, 1), (2, 2), (3, 3)",
    )
    .await;
    world.config("  - source: dbo.t\n    change: { strategy: change_tracking }\n");
    world.run(&["--json", "sync"]).json();
    is_equal(&compared(&world));
    world
        .source("INSERT dbo.t VALUES (5, 5); UPDATE dbo.t SET n = 20 WHERE id = 2; DELETE dbo.t WHERE id = 3")
        .await;
    let report = compared(&world).json();
    assert_eq!(keys(side(&report, 0)), [0, 0, 0, 0, 0, 3], "{report:#}");
    world.run(&["--json", "sync"]).json();
    let report = is_equal(&compared(&world));
    assert_eq!(keys(side(&report, 0)), [0; 6], "{report:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_changes_between_two_looks_is_pending() {
    let mut world = World::new(
        "CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY, n int NOT NULL)
GO
INSERT dbo.t VALUES (1, 1), (2, 2)",
    )
    .await;
    world.config("  - source: dbo.t\n    change: { strategy: full }\n");
    world.run(&["--json", "sync"]).json();
    world
        .source("UPDATE dbo.t SET n = -1 WHERE id = 1; UPDATE dbo.t SET n = -2 WHERE id = 2")
        .await;
    let looking = world.spawn(&["--json", "verify", "--against", "source", "--again", "3"]);
    // One row goes on changing for longer than the looks take, the other stays as it is.
    for n in 0..60 {
        world
            .source(&format!("UPDATE dbo.t SET n = 100 + {n} WHERE id = 2"))
            .await;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let report = is_different(&finish(looking));
    assert_eq!(keys(side(&report, 0)), [0, 0, 1, 0, 0, 1], "{report:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_is_compared_with_what_it_has_loaded() {
    let mut world = World::new(
        "CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY, n int NOT NULL, d datetime2(3) NULL)
GO
INSERT dbo.t VALUES (1, 1, NULL), (2, 2, '2024-01-01')",
    )
    .await;
    // Wider numbers are the same numbers; more digits of a second are another text.
    world
        .target("CREATE TABLE dbo.t (id bigint NOT NULL PRIMARY KEY, n int NOT NULL, d datetime2(7) NULL)")
        .await;
    world.config("  - source: dbo.t\n    change: { strategy: full }\n");
    world.run(&["--json", "sync"]).json();
    world.source("UPDATE dbo.t SET n = 5 WHERE id = 1").await;
    world.run(&["--json", "extract"]).json();
    let report = is_equal(&compared(&world));
    let (source, target) = (side(&report, 0), side(&report, 1));
    assert_ne!(source["snapshot_id"], target["snapshot_id"], "{report:#}");
    assert_eq!(
        target["columns_not_compared"][0]["column"],
        json!("d"),
        "{report:#}"
    );
    let report = is_different(&world.run(&[
        "--json",
        "verify",
        "--against",
        "target",
        "--snapshot",
        "latest",
        "--again",
        "0",
    ]));
    assert_eq!(keys(side(&report, 0)), [0, 0, 1, 0, 0, 0], "{report:#}");
    world.target("DROP TABLE dbo.t").await;
    world
        .run(&["verify", "--against", "target"])
        .fails_with(1, &["dbo.t does not exist", "icesync load"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn soft_deletes_and_kept_rows_are_no_differences() {
    for (deletes, kept) in [("soft", 0), ("ignore", 1)] {
        let mut world = World::new(
            "CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY, n int NOT NULL)
GO
INSERT dbo.t VALUES (1, 1), (2, 2)",
        )
        .await;
        let rule = match deletes {
            "soft" => "{ soft: { column: is_deleted } }",
            other => other,
        };
        world.config(&format!(
            "  - source: dbo.t\n    change: {{ strategy: full }}\n    merge: {{ deletes: {rule} }}\n"
        ));
        world.run(&["--json", "sync"]).json();
        world.source("DELETE dbo.t WHERE id = 1").await;
        world.run(&["--json", "sync"]).json();
        let report = compared(&world).json();
        let target = side(&report, 1);
        assert_eq!(target["verdict"], json!("equal"), "{deletes}: {report:#}");
        assert_eq!(target["kept"], json!(kept), "{deletes}: {report:#}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_compared_is_said() {
    let world = World::new(
        "CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY, at datetime2(7) NULL, was datetimeoffset(3) NULL)
GO
INSERT dbo.t VALUES (1, '2024-01-01T00:00:00.1234567', '2024-01-01 00:00:00 +01:00')",
    )
    .await;
    world.config(
        "  - source: dbo.t\n    change: { strategy: full }\n    fidelity: standard\n    merge: { mode: append }\n",
    );
    world.run(&["--json", "sync"]).json();
    let report = compared(&world).json();
    let source = side(&report, 0);
    assert_eq!(source["verdict"], json!("equal"), "{report:#}");
    let left_out = source["columns_not_compared"].as_array().expect("columns");
    let names: Vec<&Value> = left_out.iter().map(|left| &left["column"]).collect();
    assert_eq!(names, [&json!("at"), &json!("was")], "{report:#}");
    assert_eq!(
        side(&report, 1)["verdict"],
        json!("not_compared"),
        "{report:#}"
    );
    world.run(&["verify"]).fails_with(
        0,
        &[
            "not compared: only targets",
            "column at not compared: `fidelity: standard`",
        ],
    );
    world
        .run(&["verify", "--snapshot", "99"])
        .fails_with(1, &["99"]);
    world
        .run(&["verify", "--against", "nothing"])
        .fails_with(2, &["--against"]);
}
