//! `icesync verify`: what is equal is found equal by its checksums, and what differs is found by key and column.

use crate::harness::{Run, World};
use serde_json::{Value, json};

/// A table whose rows are numbered by column `n`.
struct Keyed {
    name: &'static str,
    /// Declarations, and the columns of the key.
    columns: &'static str,
    key: &'static str,
    /// The values of the key of a row.
    of: fn(u32) -> String,
}

const KEYS: [Keyed; 5] = [
    Keyed {
        name: "whole",
        columns: "id int NOT NULL",
        key: "id",
        of: |row| row.to_string(),
    },
    Keyed {
        name: "composite",
        columns: "a smallint NOT NULL, b varchar(10) NOT NULL",
        key: "a, b",
        of: |row| format!("{}, 'b{}'", row % 7, row / 7),
    },
    Keyed {
        name: "words",
        columns: "k nvarchar(20) COLLATE Latin1_General_CI_AS NOT NULL",
        key: "k",
        of: |row| format!("N'Schlüssel {row}'"),
    },
    Keyed {
        name: "guids",
        columns: "g uniqueidentifier NOT NULL",
        key: "g",
        of: |row| format!("'{row:08x}-0001-4002-8003-00000000{row:04x}'"),
    },
    Keyed {
        name: "moments",
        columns: "t datetime2(7) NOT NULL",
        key: "t",
        of: |row| {
            format!(
                "'2024-01-01 {:02}:{:02}:00.{row:07}'",
                row / 60 % 24,
                row % 60
            )
        },
    },
];

impl Keyed {
    fn create(&self) -> String {
        format!(
            "CREATE TABLE dbo.{} ({}, n int NOT NULL, v nvarchar(30) NULL, price decimal(12,4) NULL, at datetime2(7) \
             NULL, PRIMARY KEY ({}))",
            self.name, self.columns, self.key
        )
    }

    fn insert(&self, rows: std::ops::Range<u32>) -> Vec<String> {
        let row = |row: u32| {
            let key = (self.of)(row);
            format!("({key}, {row}, N'v{row}', {row}.25, '2024-05-01 10:00:00.1234567')")
        };
        let all: Vec<String> = rows.map(row).collect();
        let statement =
            |rows: &[String]| format!("INSERT dbo.{} VALUES {}", self.name, rows.join(", "));
        all.chunks(500).map(statement).collect()
    }
}

async fn world(keyed: &Keyed, rows: u32, options: &str) -> World {
    let mut world = World::new(&keyed.create()).await;
    for statement in keyed.insert(0..rows) {
        world.source(&statement).await;
    }
    world.config(&format!("  - source: dbo.{}\n{options}", keyed.name));
    world.run(&["--json", "sync"]).json();
    world
}

const FULL: &str = "    change: { strategy: full }\n";
const AT_ONCE: [&str; 3] = ["--json", "verify", "--pause=0s"];

fn verify(world: &World, args: &[&str]) -> Run {
    let all: Vec<&str> = AT_ONCE.iter().chain(args).copied().collect();
    world.run(&all)
}

/// The only table's comparison with a side.
#[track_caller]
fn side<'a>(report: &'a Value, name: &str) -> &'a Value {
    let sides = report["tables"][0]["sides"].as_array();
    let sides = sides.unwrap_or_else(|| panic!("{report:#}"));
    let found = sides.iter().find(|side| side["side"] == name);
    found.unwrap_or_else(|| panic!("no {name}: {report:#}"))
}

/// Missing, extra, differing, respelled.
fn counts(side: &Value) -> [u64; 4] {
    ["missing", "extra", "differing", "respelled"].map(|name| {
        side[name]
            .as_u64()
            .unwrap_or_else(|| panic!("{name}: {side:#}"))
    })
}

/// Equal by its checksums alone.
#[track_caller]
fn equal(side: &Value, rows: u64) {
    assert_eq!(side["buckets_differing"], 0, "{side:#}");
    assert_eq!(counts(side), [0; 4], "{side:#}");
    assert_eq!(
        (&side["rows"], &side["lake_rows"]),
        (&json!(rows), &json!(rows)),
        "{side:#}"
    );
    assert_eq!(side["rows_read"], 0, "{side:#}");
    assert_eq!(side["columns_not_compared"], Value::Null, "{side:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_differ_are_found_exactly_under_keys_of_every_kind() {
    for keyed in &KEYS {
        let rows = 3_000;
        let mut world = world(keyed, rows, FULL).await;
        let run = verify(&world, &[]);
        let report = run.json();
        equal(side(&report, "source"), u64::from(rows));
        equal(side(&report, "target"), u64::from(rows));

        let name = keyed.name;
        for statement in keyed.insert(rows..rows + 5) {
            world.source(&statement).await;
        }
        for change in [
            "DELETE dbo.{} WHERE n IN (3, 700, 701, 1500, 2999)",
            "UPDATE dbo.{} SET v = N'other' WHERE n IN (0, 1, 1000)",
            "UPDATE dbo.{} SET price = price + 0.0001, at = NULL WHERE n = 2000",
            "UPDATE dbo.{} SET at = '2024-05-01 10:00:00.1234568' WHERE n = 2001",
        ] {
            world.source(&change.replace("{}", name)).await;
        }
        let run = verify(&world, &["--show-values"]);
        assert_eq!(run.code, 1, "{run:#?}");
        let report = run.json_any();
        let source = side(&report, "source");
        assert_eq!(counts(source), [5, 5, 5, 0], "{name}: {source:#}");
        let columns = json!({ "v": 3, "price": 1, "at": 2 });
        assert_eq!(source["columns_differing"], columns, "{name}");
        assert!(
            source["rows_read"].as_u64() < source["rows"].as_u64(),
            "{source:#}"
        );
        assert_eq!(
            source["keys"].as_array().map(Vec::len),
            Some(15),
            "{source:#}"
        );
        equal(side(&report, "target"), u64::from(rows));
        // Nothing of a row is told without being asked for.
        let run = verify(&world, &[]);
        let source = run.json_any();
        let source = side(&source, "source");
        assert_eq!((run.code, &source["keys"]), (1, &Value::Null), "{source:#}");
        // What an extract brings is no difference to it any more, and one to the target until it is loaded.
        world.run(&["--json", "extract"]).json();
        let report = verify(&world, &["--snapshot", "latest"]).json_any();
        equal(side(&report, "source"), u64::from(rows));
        assert_eq!(
            counts(side(&report, "target")),
            [5, 5, 5, 0],
            "{name}: {report:#}"
        );
        equal(
            side(&verify(&world, &["--against", "target"]).json(), "target"),
            u64::from(rows),
        );
    }
}

/// Of a large table with a few differences few rows are moved, and an index leads to them.
#[tokio::test(flavor = "multi_thread")]
async fn a_few_differences_move_few_rows() {
    let [whole, ..] = &KEYS;
    let mut world = world(whole, 20_000, FULL).await;
    world
        .source("UPDATE dbo.whole SET v = NULL WHERE n BETWEEN 9000 AND 9002")
        .await;
    let report = verify(&world, &["--against", "source"]).json_any();
    let source = side(&report, "source");
    assert_eq!(counts(source), [0, 0, 3, 0], "{source:#}");
    // Both looks together: less than one percent each.
    assert!(source["rows_read"].as_u64() < Some(400), "{source:#}");
    let slow = verify(
        &world,
        &["--against", "source", "--rows-per-second", "1000000"],
    );
    let slow = slow.json_any();
    assert_eq!(counts(side(&slow, "source")), [0, 0, 3, 0], "{slow:#}");
    let sample = verify(&world, &["--against", "source", "--sample", "5"]).json_any();
    let sample = side(&sample, "source");
    assert_eq!(sample["sample_percent"], 5.0, "{sample:#}");
    let rows = sample["rows"].as_u64().expect("rows");
    assert!((500..2_500).contains(&rows), "{sample:#}");
    world
        .run(&["verify", "--sample", "101"])
        .fails_with(2, &["--sample 101"]);
}

/// One key far above the others puts them into one group, which is divided.
#[tokio::test(flavor = "multi_thread")]
async fn a_group_with_many_rows_is_divided() {
    let skewed = Keyed {
        name: "skewed",
        columns: "id bigint NOT NULL",
        key: "id",
        of: |row| match row {
            0 => "1099511627776".to_owned(),
            row => row.to_string(),
        },
    };
    let mut world = world(&skewed, 2_600, FULL).await;
    let report = verify(&world, &[]).json();
    equal(side(&report, "source"), 2_600);
    world
        .source(
            "DELETE dbo.skewed WHERE n = 77; UPDATE dbo.skewed SET v = N'x' WHERE n IN (0, 2000)",
        )
        .await;
    let report = verify(&world, &["--against", "source"]).json_any();
    let source = side(&report, "source");
    assert_eq!(counts(source), [0, 1, 2, 0], "{source:#}");
    assert!(source["rows_read"].as_u64() < Some(1_000), "{source:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_spelled_otherwise_is_one_key() {
    let words = &KEYS[2];
    let mut world = world(words, 300, FULL).await;
    world
        .source("UPDATE dbo.words SET k = UPPER(k) WHERE n IN (7, 8)")
        .await;
    world.source("DELETE dbo.words WHERE n = 9").await;
    let run = verify(&world, &["--against", "source"]);
    let report = run.json_any();
    let source = side(&report, "source");
    assert_eq!((run.code, counts(source)), (1, [0, 1, 0, 2]), "{source:#}");
    assert_eq!(source["columns_differing"], json!({ "k": 2 }), "{source:#}");
}

/// What the next extract reads is no difference.
#[tokio::test(flavor = "multi_thread")]
async fn rows_beyond_the_checkpoint_are_pending() {
    let setup =
        "CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY, v int NULL, rv rowversion NOT NULL)
GO
INSERT dbo.t (id, v) VALUES (1, 1), (2, 2), (3, 3), (4, 4)";
    let mut world = World::new(setup).await;
    world.config("  - source: dbo.t\n    change: { strategy: rowversion }\n");
    world.run(&["--json", "sync"]).json();
    world
        .source("UPDATE dbo.t SET v = 20 WHERE id = 2; INSERT dbo.t (id, v) VALUES (5, 5)")
        .await;
    let report = verify(&world, &[]).json();
    let source = side(&report, "source");
    assert_eq!(
        (counts(source), &source["pending"]),
        ([0; 4], &json!(2)),
        "{source:#}"
    );
    // A deleted row is in no window.
    world.source("DELETE dbo.t WHERE id = 4").await;
    world.run(&["--json", "sync"]).json();
    let run = verify(&world, &[]);
    let report = run.json_any();
    let source = side(&report, "source");
    let found = (run.code, counts(source), &source["pending"]);
    assert_eq!(found, (1, [0, 1, 0, 0], &json!(0)), "{source:#}");
    equal(side(&report, "target"), 5);
    let text = world.run(&["verify", "--pause=0s"]);
    text.fails_with(1, &["DIFFERS", "1 row in the lake only", "target   equal"]);
}

/// Values at the ends of every type, NULLs, empty texts, trailing spaces.
const EXTREMES: &str = "CREATE TABLE dbo.every (id int NOT NULL PRIMARY KEY, b bit NULL, ti tinyint NULL, si smallint \
    NULL, bi bigint NULL, d decimal(38,10) NULL, n numeric(9,0) NULL, m money NULL, sm smallmoney NULL, r real NULL, f \
    float NULL, da date NULL, t7 time(7) NULL, t0 time(0) NULL, dt datetime NULL, sd smalldatetime NULL, d7 \
    datetime2(7) NULL, d3 datetime2(3) NULL, d0 datetime2(0) NULL, o7 datetimeoffset(7) NULL, o3 datetimeoffset(3) \
    NULL, c char(6) NULL, vc varchar(8000) NULL, vm varchar(max) NULL, tx text NULL, nc nchar(6) NULL, nv \
    nvarchar(4000) NULL, nm nvarchar(max) NULL, nt ntext NULL, bn binary(5) NULL, vb varbinary(8000) NULL, bm \
    varbinary(max) NULL, im image NULL, g uniqueidentifier NULL, x xml NULL, v sql_variant NULL, rv rowversion NOT \
    NULL)
GO
INSERT dbo.every (id) VALUES (0)
GO
INSERT dbo.every (id, b, ti, si, bi, d, n, m, sm, r, f, da, t7, t0, dt, sd, d7, d3, d0, o7, o3, c, vc, vm, tx, nc, nv, \
    nm, nt, bn, vb, bm, im, g, x, v) VALUES
(1, 0, 0, -32768, -9223372036854775808, -9999999999999999999999999999.9999999999, -999999999, -922337203685477.5808, \
    -214748.3648, -3.4E38, -1.79E308, '0001-01-01', '00:00:00', '00:00:00', '1753-01-01', '1900-01-01', '0001-01-01', \
    '0001-01-01', '0001-01-01', '0001-01-01 14:00:00 +14:00', '0001-01-01', '', '', '', '', N'', N'', N'', N'', 0x, \
    0x, 0x, 0x, '00000000-0000-0000-0000-000000000000', N'', NULL),
(2, 1, 255, 32767, 9223372036854775807, 9999999999999999999999999999.9999999999, 999999999, 922337203685477.5807, \
    214748.3647, 3.4E38, 1.79E308, '9999-12-31', '23:59:59.9999999', '23:59:59', '9999-12-31 23:59:59.997', \
    '2079-06-06 23:59:00', '9999-12-31 23:59:59.9999999', '9999-12-31 23:59:59.999', '9999-12-31 23:59:59', \
    '9999-12-31 09:59:59.9999999 -14:00', '2024-01-01 00:00:00.123 +05:30', 'a', 'a ', 'é  ', 'z ', N'ä', N'😀 𠮷', \
    N'  ', N'訂單', 0x01, 0x0100, 0xFF00, 0x00, 'FFFFFFFF-0001-0203-0405-060708090A0B', N'<a b=\"1\">t</a>', \
    NULL),
(3, NULL, 1, 0, 0, 0, 0, 0, 0, 0, 0, '2024-02-29', '00:00:00.0000001', '12:00:00', '2024-02-29 23:59:59.003', \
    '2024-02-29 23:59:00', '2024-02-29 23:59:59.0000001', '2024-02-29 23:59:59.001', '1999-12-31 23:59:59', \
    '2024-03-01 00:00:00.0000001 +00:00', '2024-02-29 23:59:59.999 -00:01', NULL, NULL, NULL, NULL, NULL, NULL, NULL, \
    NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
(4, NULL, NULL, NULL, NULL, -0.0000000001, 1, 0.0001, -0.0001, -1.5E-10, 2.5E-300, NULL, NULL, NULL, NULL, NULL, NULL, \
    NULL, NULL, NULL, NULL, '      ', REPLICATE('x', 8000), REPLICATE(CONVERT(varchar(max), 'y'), 9000), NULL, NULL, \
    REPLICATE(N'ü', 4000), REPLICATE(CONVERT(nvarchar(max), N'z'), 9000), NULL, NULL, NULL, \
    CONVERT(varbinary(max), REPLICATE(CONVERT(varchar(max), 'b'), 9000)), NULL, NULL, NULL, NULL)
GO
UPDATE dbo.every SET v = CONVERT(nvarchar(20), N'ab ') WHERE id = 1
GO
UPDATE dbo.every SET v = CONVERT(decimal(10,2), 12.5) WHERE id = 2
GO
UPDATE dbo.every SET v = CONVERT(datetime2(7), '2024-01-01 00:00:00.1234567') WHERE id = 3
GO
UPDATE dbo.every SET v = CONVERT(int, -5) WHERE id = 4";

#[tokio::test(flavor = "multi_thread")]
async fn every_type_has_the_same_bytes_on_both_sides() {
    for fidelity in ["exact", "standard"] {
        let mut world = World::new(EXTREMES).await;
        let lake = format!("    lake: dbo.every_{fidelity}\n    fidelity: {fidelity}\n");
        world.config(&format!("  - source: dbo.every\n{FULL}{lake}"));
        world.run(&["--json", "sync"]).json();
        let run = verify(&world, &[]);
        let report = run.json_any();
        equal(side(&report, "source"), 5);
        equal(side(&report, "target"), 5);
        assert_eq!(run.code, 0, "{report:#}");
        // The change of each column is seen in that column.
        let mut changed = serde_json::Map::new();
        for (column, value) in [
            ("b", "1"),
            ("d", "0.0000000001"),
            ("m", "0.0001"),
            ("f", "1E-300"),
            ("da", "'0001-01-01'"),
            ("d3", "'2024-02-29 23:59:59.002'"),
            ("vc", "''"),
            ("nv", "N' '"),
            ("vb", "0x"),
            ("g", "'00000000-0000-0000-0000-000000000001'"),
            ("v", "CONVERT(bigint, -5)"),
        ] {
            let change = format!("UPDATE dbo.every SET {column} = {value} WHERE id = 3");
            world.target(&change).await;
            changed.insert(column.to_owned(), json!(1));
            let report = verify(&world, &["--against", "target"]).json_any();
            let target = side(&report, "target");
            assert_eq!(counts(target), [0, 0, 1, 0], "{column}: {target:#}");
            assert_eq!(
                target["columns_differing"],
                Value::Object(changed.clone()),
                "{column}"
            );
        }
    }
}

/// What the lake cannot keep under `fidelity: standard` is no difference.
#[tokio::test(flavor = "multi_thread")]
async fn what_standard_fidelity_cuts_off_is_not_compared() {
    let setup = "CREATE TABLE dbo.cut (id int NOT NULL PRIMARY KEY, d datetime2(7) NULL, o datetimeoffset(7) NULL, s \
        nvarchar(10) NULL)
GO
INSERT dbo.cut VALUES (1, '2024-01-01 00:00:00.1234567', '2024-01-01 00:00:00.1234567 +02:00', N'x' + NCHAR(0xD83D)), \
    (2, NULL, NULL, N'')";
    let mut world = World::new(setup).await;
    world.config(&format!(
        "  - source: dbo.cut\n{FULL}    fidelity: standard\n"
    ));
    world.run(&["--json", "sync"]).json();
    let report = verify(&world, &[]).json();
    // The half of a surrogate pair has another checksum, and the row is equal nevertheless.
    let source = side(&report, "source");
    assert_eq!(
        (counts(source), &source["buckets_differing"]),
        ([0; 4], &json!(1)),
        "{source:#}"
    );
    world
        .source("UPDATE dbo.cut SET d = '2024-01-01 00:00:00.1234569' WHERE id = 1")
        .await;
    assert_eq!(verify(&world, &[]).code, 0);
    world
        .source("UPDATE dbo.cut SET d = '2024-01-01 00:00:00.1234579' WHERE id = 1")
        .await;
    let report = verify(&world, &[]).json_any();
    let columns = &side(&report, "source")["columns_differing"];
    assert_eq!(*columns, json!({ "d": 1 }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_was_changed_by_others_differs() {
    let [whole, ..] = &KEYS;
    let mut world = world(whole, 500, FULL).await;
    world
        .target("DELETE dbo.whole WHERE n = 5; UPDATE dbo.whole SET v = N'V6' WHERE n = 6")
        .await;
    world
        .target("INSERT dbo.whole VALUES (9999, 1, NULL, NULL, NULL)")
        .await;
    let run = verify(&world, &[]);
    let report = run.json_any();
    equal(side(&report, "source"), 500);
    // Missing from the lake is what only the target has.
    assert_eq!(
        (run.code, counts(side(&report, "target"))),
        (1, [1, 1, 1, 0]),
        "{report:#}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn marked_rows_are_left_out_and_kept_rows_are_counted() {
    let [whole, ..] = &KEYS;
    for (deletes, kept) in [("{ soft: { column: gone } }", 0), ("ignore", 1)] {
        let options = format!("{FULL}    merge: {{ deletes: {deletes} }}\n");
        let mut world = world(whole, 100, &options).await;
        world.source("DELETE dbo.whole WHERE n = 50").await;
        world.run(&["--json", "sync"]).json();
        let report = verify(&world, &[]).json();
        let target = side(&report, "target");
        assert_eq!(
            (counts(target), &target["kept"]),
            ([0; 4], &json!(kept)),
            "{target:#}"
        );
        equal(side(&report, "source"), 99);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_are_compared_under_their_names_on_each_side() {
    let setup = "CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY, qty int NULL, note nvarchar(20) NULL, secret int \
        NULL)
GO
INSERT dbo.t VALUES (1, 10, N'one', 7), (2, 20, NULL, 8)";
    let mut world = World::new(setup).await;
    world.config(&format!(
        "  - source: dbo.t\n{FULL}    columns: {{ exclude: [secret], rename: {{ qty: quantity }} }}\n    merge: {{ \
         columns: {{ exclude: [note], rename: {{ quantity: amount }} }} }}\n"
    ));
    world.run(&["--json", "sync"]).json();
    let report = verify(&world, &[]).json();
    for (name, column) in [("source", "secret"), ("target", "note")] {
        let side = side(&report, name);
        assert_eq!(counts(side), [0; 4], "{side:#}");
        let skipped = side["columns_not_compared"].as_array().expect("columns");
        assert_eq!(skipped.len(), 1, "{side:#}");
        assert_eq!(skipped[0]["column"], column);
    }
    world.source("UPDATE dbo.t SET qty = 11, secret = 9 WHERE id = 1; ALTER TABLE dbo.t ADD more int NULL").await;
    world
        .target("UPDATE dbo.t SET amount = 12 WHERE id = 2")
        .await;
    let run = verify(&world, &[]);
    let report = run.json_any();
    assert_eq!(run.code, 1, "{report:#}");
    let columns = |name: &str| side(&report, name)["columns_differing"].clone();
    assert_eq!(columns("source"), json!({ "qty": 1 }));
    assert_eq!(columns("target"), json!({ "amount": 1 }));
    assert!(
        report.to_string().contains("the snapshot does not have it"),
        "{report:#}"
    );
}

/// Tables that cannot be compared say so by name, and a table that fails does not stop the others.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_compared_is_said() {
    let setup = "CREATE TABLE dbo.a (id int NOT NULL PRIMARY KEY); CREATE TABLE dbo.b (id int NOT NULL PRIMARY KEY); \
        CREATE TABLE dbo.log (id int NOT NULL)
GO
INSERT dbo.a VALUES (1); INSERT dbo.b VALUES (1); INSERT dbo.log VALUES (1), (1), (2)";
    let mut world = World::new(setup).await;
    let tables = "  - source: dbo.a\n    kind: history\n    change: { strategy: full }\n  - source: dbo.b\n    change: \
        { strategy: full }\n    merge: { mode: append }\n  - source: dbo.log\n    change: { strategy: full }\n    \
        merge: { mode: replace }\n";
    world.config(tables);
    world.run(&["--json", "sync"]).json();
    let report = verify(&world, &[]).json();
    let why =
        |table: usize, side: usize| report["tables"][table]["sides"][side]["not_compared"].as_str();
    assert!(
        why(0, 0).is_some_and(|why| why.contains("history")),
        "{report:#}"
    );
    assert!(
        why(1, 1).is_some_and(|why| why.contains("append")),
        "{report:#}"
    );
    // Rows without a key are compared as often as they are there.
    for at in 0..2 {
        equal(&report["tables"][2]["sides"][at], 3);
    }
    world
        .source("DELETE dbo.log WHERE id = 1; INSERT dbo.log VALUES (1), (3)")
        .await;
    let run = verify(&world, &["--table", "dbo.log", "--against", "source"]);
    let report = run.json_any();
    assert_eq!(
        (run.code, counts(side(&report, "source"))),
        (1, [1, 1, 0, 0]),
        "{report:#}"
    );

    let more = format!("{tables}  - source: dbo.c\n");
    world
        .source("CREATE TABLE dbo.c (id int NOT NULL PRIMARY KEY)")
        .await;
    world.config(&more);
    let run = verify(&world, &["--table", "dbo.b", "--table", "dbo.c"]);
    run.fails_with(3, &["dbo.c", "does not exist"]);
    let run = verify(&world, &["--table", "dbo.c"]);
    run.fails_with(1, &["dbo.c", "run `icesync extract` first"]);
}
