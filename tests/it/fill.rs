//! First loads that fill the table which becomes the target: what it looks like, where rows go through a staging table
//! instead, and deaths and races at every step.

use crate::harness::{Run, Server, World, finish, server};
use icesync::mssql::control::Class;
use icesync::mssql::sql::Statement;
use icesync::sync;
use icesync_sandbox::collation::CollationInfo;
use icesync_sandbox::session::SqlError;
use icesync_sandbox::tds::Fault;
use serde_json::{Value, json};
use std::process::Child;
use std::time::{Duration, Instant};

const ORDERS: &str =
    "CREATE TABLE dbo.orders (id int NOT NULL PRIMARY KEY, name nvarchar(20) NULL, rv rowversion)";
const ROWS: &str = "SELECT id, name FROM dbo.orders ORDER BY id";
const PLAIN: &str = "  - source: dbo.orders\n";
const OWN_TABLES: &str = "SELECT t.name FROM sys.tables t JOIN sys.schemas s ON s.schema_id = t.schema_id WHERE \
    s.name = N'icesync' AND t.name <> N'load_state'";

/// A hundred rows in the lake, and no target.
async fn world() -> World {
    let mut world = World::new(ORDERS).await;
    let rows: Vec<String> = (0..100).map(|id| format!("({id}, N'first')")).collect();
    let insert = format!("INSERT dbo.orders (id, name) VALUES {}", rows.join(", "));
    world.source(&insert).await;
    world.config(PLAIN);
    world.run(&["--json", "extract"]).json();
    world
}

fn load(report: &Value) -> &Value {
    &report["tables"][0]["load"]
}

/// What the next load would do with its rows.
fn route(run: &Run) -> String {
    let plan = run.json();
    let route = &plan["tables"][0]["load"]["route"];
    route.as_str().expect("a route").to_owned()
}

async fn target_id(world: &mut World) -> Vec<Vec<String>> {
    world.target_rows("SELECT OBJECT_ID(N'dbo.orders')").await
}

async fn is_missing(world: &mut World) -> bool {
    target_id(world).await == [["NULL"]]
}

/// The target has the rows of the source, the load state names it, and nothing else is left.
async fn is_loaded(world: &mut World) {
    assert_eq!(world.source_rows(ROWS).await, world.target_rows(ROWS).await);
    let own = world.target_rows(OWN_TABLES).await;
    assert!(own.is_empty(), "{own:?}");
    let recorded = "SELECT s.target_object_id - o.object_id, s.inserted FROM icesync.load_state s JOIN sys.objects o \
        ON o.object_id = OBJECT_ID(N'dbo.orders') AND CONVERT(nvarchar(30), o.create_date, 126) = s.target_created \
        WHERE s.target = N'dbo.orders'";
    assert_eq!(world.target_rows(recorded).await, [["Int(0)", "Int(100)"]]);
    let key = "SELECT k.type, c.name FROM sys.key_constraints k JOIN sys.index_columns i ON i.object_id = \
        k.parent_object_id AND i.index_id = k.unique_index_id JOIN sys.columns c ON c.object_id = i.object_id AND \
        c.column_id = i.column_id WHERE k.parent_object_id = OBJECT_ID(N'dbo.orders')";
    let key = world.target_rows(key).await;
    assert_eq!(key.len(), 1, "{key:?}");
    assert_eq!(key[0][1], "Text(\"id\")");
}

/// The key of a clustered index has 900 bytes, that of another one 1700.
#[tokio::test(flavor = "multi_thread")]
async fn a_long_key_is_not_clustered() {
    let mut world = World::new(
        "CREATE TABLE dbo.t (code nvarchar(400) NOT NULL, part binary(101) NOT NULL, n int NULL,
    CONSTRAINT pk_t PRIMARY KEY NONCLUSTERED (code, part))
GO
CREATE TABLE dbo.u (code nvarchar(400) NOT NULL, part binary(100) NOT NULL, CONSTRAINT pk_u PRIMARY KEY (code, part))
GO
INSERT dbo.t VALUES (REPLICATE(N'x', 400), 0x01, 1)",
    )
    .await;
    world.config("  - source: dbo.t\n  - source: dbo.u\n");
    world.run(&["--json", "sync"]).json();
    let kinds = "SELECT type_desc FROM sys.indexes WHERE is_primary_key = 1 AND OBJECT_NAME(object_id) IN (N't', N'u')
        ORDER BY OBJECT_NAME(object_id)";
    let kinds = world.target_rows(kinds).await;
    assert_eq!(kinds, [["Text(\"NONCLUSTERED\")"], ["Text(\"CLUSTERED\")"]]);
}

/// A load that waits at a failpoint until [`go_on`].
async fn held(world: &World, failpoint: &str) -> Child {
    let file = world.path("held");
    let point = format!("{failpoint}:1={}", file.display());
    let mut command = world.command(&["--json", "load"]);
    let child = command.env("ICESYNC_FAILPOINT", point).spawn();
    let deadline = Instant::now() + Duration::from_secs(60);
    while !file.exists() {
        assert!(Instant::now() < deadline, "{failpoint} is not reached");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    child.expect("starts")
}

fn go_on(world: &World, child: Child) -> Run {
    std::fs::remove_file(world.path("held")).expect("removed");
    finish(child)
}

const EVERY: &str = "CREATE TABLE dbo.every (
    region char(4) COLLATE Polish_CS_AS NOT NULL,
    id int IDENTITY(5, 3) NOT NULL,
    flag bit NOT NULL, tiny tinyint NOT NULL, small smallint NOT NULL, big bigint NULL,
    amount decimal(19,4) NOT NULL, num numeric(38,10) NULL, cash money NOT NULL, coin smallmoney NOT NULL,
    half real NOT NULL, whole float NOT NULL,
    day date NOT NULL, clock time(7) NOT NULL, old datetime NOT NULL, rough smalldatetime NOT NULL,
    fine datetime2(7) NOT NULL, here datetimeoffset(7) NOT NULL,
    page varchar(20) COLLATE Cyrillic_General_CI_AS NULL, utf varchar(40) COLLATE Latin1_General_100_CI_AS_SC_UTF8 NULL,
    long varchar(max) COLLATE Japanese_CI_AS NULL, fixed nchar(6) NOT NULL, wide nvarchar(20) NULL,
    text nvarchar(max) NULL,
    bin binary(6) NOT NULL, bytes varbinary(20) NULL, blob varbinary(max) NULL, tag uniqueidentifier NOT NULL,
    twice AS (tiny * 2), rv rowversion,
    CONSTRAINT pk_every PRIMARY KEY (id, region))
GO
INSERT dbo.every (region, flag, tiny, small, big, amount, num, cash, coin, half, whole, day, clock, old, rough, fine,
    here, page, utf, long, fixed, wide, text, bin, bytes, blob, tag) VALUES
    (N'Łó', 1, 255, -32768, 9223372036854775807, -12.3456, 1234567890.0123456789, -922337203685477.5808,
    214748.3647, 1.5, -0.1, '0001-01-01', '23:59:59.9999999', '1753-01-01', '2079-06-06T23:59:00',
    '9999-12-31T23:59:59.9999999', '2024-02-29T12:00:00.1234567 +05:30', N'Мир  ', N'a😀é', N'日本ｱ', N'貓x', N'wide ',
    N'', 0x0102, 0x0100, 0x, '6F9619FF-8B86-D011-B42D-00C04FC964FF'),
    (N'b', 0, 0, 0, NULL, 0, NULL, 0, 0, 0, 0, '9999-12-31', '00:00', '9999-12-31T23:59:59.997', '1900-01-01',
    '0001-01-01', '0001-01-01T00:00:00 +00:00', NULL, NULL, NULL, N'', NULL, NULL, 0x, NULL, NULL,
    '00000000-0000-0000-0000-000000000000')";

/// Columns of the target that are neither NULL nor an identity.
const REQUIRED: &str = "region, flag, tiny, small, amount, cash, coin, half, whole, day, clock, old, rough, fine, \
    here, fixed, bin, tag, twice, rv";

/// Columns and key of a table, as far as both sides have them.
const SHAPE: &str = "SELECT c.column_id, c.name, t.name, c.max_length, c.precision, c.scale, c.collation_name, \
    c.is_nullable, c.is_identity, i.key_ordinal FROM sys.columns c JOIN sys.types t ON t.user_type_id = c.user_type_id \
    LEFT JOIN sys.index_columns i ON i.object_id = c.object_id AND i.column_id = c.column_id AND i.index_id = 1 WHERE \
    c.object_id = OBJECT_ID(N'dbo.every') AND c.name NOT IN (N'twice', N'rv') ORDER BY c.column_id";

/// To ask takes the SELECT permission on them, in a way that is deprecated.
#[tokio::test(flavor = "multi_thread")]
async fn a_load_does_not_ask_for_the_columns_of_the_tables_that_it_fills() {
    let server = Server::own();
    let Some(faults) = server.faults() else {
        eprintln!("SKIPPED: statements of a real server cannot be refused");
        return;
    };
    let mut world = World::on(server, EVERY).await;
    world.config("  - source: dbo.every\n");
    let refusal = Fault::Error(SqlError {
        number: 262,
        state: 1,
        class: 14,
        line: 1,
        message: "no".into(),
    });
    faults.arm(refusal, "FMTONLY", 1);
    let first = world.run(&["--json", "sync"]).json();
    assert_eq!(load(&first)["kind"], json!("first"), "{first:#}");
    world.source("UPDATE dbo.every SET tiny = 3").await;
    let delta = world.run(&["--json", "sync"]).json();
    assert_eq!(load(&delta)["updated"], json!(2), "{delta:#}");
    assert_eq!(faults.fired(), 0);
    // The fault would have been met.
    let asked = Statement::plain("SET FMTONLY OFF");
    assert!(world.target.run(&asked, Class::QUICK).await.is_err());
    assert_eq!(faults.fired(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_filled_table_is_the_source_in_types_key_and_values() {
    let mut world = World::new(EVERY).await;
    world.config("  - source: dbo.every\n");
    let plan = world.run(&["--json", "plan"]);
    assert_eq!(route(&plan), "rows go straight into the new table");
    let first = world.run(&["--json", "sync"]).json();
    assert_eq!(load(&first)["kind"], json!("first"), "{first:#}");
    assert_eq!(load(&first)["created_target"], json!(true));
    assert_eq!(load(&first)["inserted"], json!(2));
    assert_eq!(
        world.source_rows(SHAPE).await,
        world.target_rows(SHAPE).await
    );
    let bytes = |column: &str| format!("CONVERT(varbinary(max), {column})");
    let columns = [
        "region", "page", "utf", "long", "fixed", "wide", "text", "half", "whole",
    ];
    let exact = columns.map(bytes).join(", ");
    let all = format!(
        "SELECT {exact}, id, flag, tiny, small, big, CONVERT(nvarchar(50), amount), CONVERT(nvarchar(50), num), \
            CONVERT(nvarchar(50), cash, 2), CONVERT(nvarchar(50), coin, 2), CONVERT(nvarchar(50), day, 121), \
            CONVERT(nvarchar(50), clock, 121), CONVERT(nvarchar(50), old, 121), CONVERT(nvarchar(50), rough, 121), \
            CONVERT(nvarchar(50), fine, 121), CONVERT(nvarchar(50), here, 121), bin, bytes, blob, \
            CONVERT(nvarchar(50), tag), twice, CONVERT(binary(8), rv) FROM dbo.every ORDER BY id"
    );
    assert_eq!(world.source_rows(&all).await, world.target_rows(&all).await);

    // The table is as any other for the loads that follow.
    world
        .source(
            "UPDATE dbo.every SET page = N'Да' WHERE tiny = 0; DELETE dbo.every WHERE tiny = 255",
        )
        .await;
    let second = world.run(&["--json", "sync"]).json();
    assert_eq!(load(&second)["kind"], json!("delta"), "{second:#}");
    assert_eq!(load(&second)["updated"], json!(1));
    assert_eq!(load(&second)["warnings"], json!([]));
    // The target's identity goes on where the source's was.
    world
        .target(&format!(
            "INSERT dbo.every ({REQUIRED}) SELECT {REQUIRED} FROM dbo.every WHERE tiny = 0"
        ))
        .await;
    let ids = world.target_rows("SELECT MAX(id) FROM dbo.every").await;
    assert_eq!(ids, [["Int(9)"]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_server_has_to_convert_is_staged_and_said() {
    for (column, value, why) in [
        ("xml NULL", "N'<a/>'", "column c is xml"),
        (
            "text COLLATE Latin1_General_CI_AS NULL",
            "N'a'",
            "column c is text in code page 1252",
        ),
        ("sql_variant NULL", "1", "column c is sql_variant"),
        (
            "varchar(9) COLLATE SQL_Latin1_General_CP850_CS_AS NULL",
            "N'é'",
            "column c is varchar(9) in code page 850, which the server has to convert",
        ),
    ] {
        let mut world = World::new(&format!(
            "CREATE TABLE dbo.orders (id int NOT NULL PRIMARY KEY, c {column})
GO
INSERT dbo.orders VALUES (1, {value})"
        ))
        .await;
        world.config(PLAIN);
        let said = route(&world.run(&["--json", "plan"]));
        assert!(
            said.contains("go through a staging table") && said.contains(why),
            "{said}"
        );
        assert!(world.run(&["plan"]).stdout.contains(why));
        let mut dying = world.command(&["sync"]);
        let failpoint = dying.env("ICESYNC_FAILPOINT", sync::FAIL_AFTER_STAGING);
        let died = finish(failpoint.spawn().expect("starts"));
        assert_ne!(died.code, 0, "{column} is not staged");
        world.run(&["--json", "sync"]).json();
        let rows = "SELECT id, CONVERT(nvarchar(20), c) FROM dbo.orders";
        assert_eq!(world.source_rows(rows).await, world.target_rows(rows).await);
    }
}

/// Dying at each durable edge of a first load leaves no target or all of it.
#[tokio::test(flavor = "multi_thread")]
async fn dying_at_each_edge_shows_no_half_table() {
    for (edge, is_published) in [
        (sync::FAIL_AFTER_FILL_CREATE, false),
        (sync::FAIL_AFTER_FILL, false),
        (sync::FAIL_AFTER_FILL_KEY, false),
        (sync::FAIL_AFTER_APPLY, true),
    ] {
        let mut world = world().await;
        let mut command = world.command(&["load"]);
        let command = command.env("ICESYNC_FAILPOINT", edge);
        let died = finish(command.spawn().expect("starts"));
        assert_ne!(died.code, 0, "{edge} was not reached: {died:#?}");
        assert_eq!(is_missing(&mut world).await, !is_published, "{edge}");
        let left = world.target_rows(OWN_TABLES).await;
        assert_eq!(left.is_empty(), is_published, "{edge}: {left:?}");
        let again = world.run(&["--json", "load"]).json();
        let kind = if is_published { "nothing" } else { "first" };
        assert_eq!(load(&again)["kind"], json!(kind), "{edge}");
        is_loaded(&mut world).await;
    }
}

/// Whatever moment a first load is killed at, the target is missing or whole.
#[tokio::test(flavor = "multi_thread")]
async fn killed_first_loads_show_nothing_or_everything() {
    let mut world = World::new(
        "CREATE TABLE dbo.events (id int NOT NULL PRIMARY KEY, payload varchar(100) NOT NULL)
GO
INSERT dbo.events SELECT TOP (20000) ROW_NUMBER() OVER (ORDER BY (SELECT 1)), 'a row' FROM sys.all_columns a CROSS \
            JOIN sys.all_columns b",
    )
    .await;
    world.config("  - source: dbo.events\n");
    world.run(&["--json", "extract"]).json();
    let content = "SELECT COUNT(*), SUM(CAST(id AS bigint)) FROM dbo.events";
    let expected = world.source_rows(content).await;
    let (mut killed, mut length) = (0, Duration::from_secs(2));
    for at in 0..60_u32 {
        // A fixed low-discrepancy sequence: reproducible, and no two moments close together.
        let moment = ((f64::from(at) + 0.5) * 0.618_033_988_749_895).fract();
        let clock = Instant::now();
        let mut child = world.spawn(&["load"]);
        let end = length.mul_f64(moment);
        while clock.elapsed() < end && child.try_wait().expect("a child").is_none() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        match child.try_wait().expect("a child") {
            Some(_) => length = length.min(clock.elapsed()),
            None => killed += 1,
        }
        let _ = child.kill();
        let _ = child.wait();
        // A transaction whose client is gone may still be rolling back.
        let there = "SELECT COUNT(*) FROM sys.tables WHERE name = N'events'";
        if world.target_rows(there).await == [["Int(1)"]] {
            assert_eq!(world.target_rows(content).await, expected);
            world.target("DROP TABLE dbo.events").await;
        }
        if killed == 12 {
            break;
        }
    }
    assert_eq!(killed, 12, "so many loads were still alive when killed");
    world.run(&["--json", "load"]).json();
    assert_eq!(world.target_rows(content).await, expected);
    assert!(world.target_rows(OWN_TABLES).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_appears_meanwhile_is_kept() {
    let mut world = world().await;
    let child = held(&world, sync::FAIL_AFTER_FILL_KEY).await;
    world
        .target("CREATE TABLE dbo.orders (id int NOT NULL PRIMARY KEY, name nvarchar(20) NULL, rv binary(8) NULL)")
        .await;
    let theirs = target_id(&mut world).await;
    let done = go_on(&world, child).json();
    assert_eq!(load(&done)["kind"], json!("first"));
    assert_eq!(load(&done)["created_target"], json!(false), "{done:#}");
    assert_eq!(target_id(&mut world).await, theirs);
    is_loaded(&mut world).await;
}

/// What is no table is not replaced either, and the load says so.
#[tokio::test(flavor = "multi_thread")]
async fn a_view_that_appears_meanwhile_is_kept() {
    let mut world = world().await;
    let child = held(&world, sync::FAIL_AFTER_FILL_KEY).await;
    world
        .target("CREATE VIEW dbo.orders AS SELECT 1 AS one")
        .await;
    go_on(&world, child).fails_with(1, &["dbo.orders", "is a view"]);
    assert_eq!(
        world.target_rows("SELECT one FROM dbo.orders").await,
        [["Int(1)"]]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_that_was_moved_publishes_nothing() {
    let mut world = world().await;
    let child = held(&world, sync::FAIL_AFTER_FILL).await;
    world
        .target("INSERT icesync.load_state (target, lake_table, table_uuid, snapshot_id, sequence_number, run_id, \
            loaded_at, inserted, updated, deleted, unchanged) VALUES (N'dbo.orders', N'dbo.orders', N'', 1, 1, N'', \
            SYSUTCDATETIME(), 0, 0, 0, 0)")
        .await;
    go_on(&world, child).fails_with(1, &["dbo.orders", "has moved its state"]);
    assert!(is_missing(&mut world).await);
    world.target("DELETE icesync.load_state").await;
    world.run(&["--json", "load"]).json();
    is_loaded(&mut world).await;
}

/// Rows that another session takes out of the filled table are noticed.
#[tokio::test(flavor = "multi_thread")]
async fn a_filled_table_that_others_touch_is_not_published() {
    let mut world = world().await;
    let child = held(&world, sync::FAIL_AFTER_FILL).await;
    let own = world.target_rows(OWN_TABLES).await;
    let name = own[0][0]
        .trim_start_matches("Text(\"")
        .trim_end_matches("\")");
    world
        .target(&format!("DELETE icesync.[{name}] WHERE id = 7"))
        .await;
    let done = go_on(&world, child).json();
    // The attempt failed, and the next one began with a table of its own.
    assert_eq!(load(&done)["inserted"], json!(100));
    is_loaded(&mut world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_rows_with_one_key_are_named_and_nothing_is_loaded() {
    let mut world = World::new(
        "CREATE TABLE dbo.orders (id int NOT NULL, code nvarchar(10) COLLATE Latin1_General_CI_AI NOT NULL, rv \
            rowversion)
GO
INSERT dbo.orders (id, code) VALUES (1, N'résumé'), (1, N'other')",
    )
    .await;
    world.config(
        "  - source: dbo.orders\n    key: [id, code]\n    change: { strategy: rowversion }\n",
    );
    world.run(&["--json", "extract"]).json();
    // The lake keeps keys apart that the target's collation takes for one.
    world
        .source("INSERT dbo.orders (id, code) VALUES (1, N'resume')")
        .await;
    let extracted = world.run(&["--json", "extract"]);
    assert_eq!(extracted.code, 0, "{extracted:#?}");
    let unasked = world.run(&["load"]);
    unasked.fails_with(1, &["dbo.orders", "collation compares keys: (not shown"]);
    assert!(!format!("{unasked:?}").contains("(1, r"), "{unasked:#?}");
    world
        .run(&["--show-values", "load"])
        .fails_with(1, &["dbo.orders", "as its collation compares keys: (1, r"]);
    assert!(is_missing(&mut world).await);
    world.source("DELETE dbo.orders WHERE id = 1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn text_arrives_in_the_collation_that_it_was_read_under() {
    let mut world = World::new(
        "CREATE TABLE dbo.orders (id int NOT NULL PRIMARY KEY, city varchar(20) COLLATE Polish_CI_AS NULL, rv \
            rowversion)
GO
INSERT dbo.orders (id, city) VALUES (1, N'Łódź'), (2, N'Rzym')",
    )
    .await;
    world.config("  - source: dbo.orders\n    change: { strategy: rowversion }\n");
    world.run(&["--json", "extract"]).json();
    // The lake keeps the text that was read under the other collation.
    world
        .source("ALTER TABLE dbo.orders ALTER COLUMN city varchar(20) COLLATE Latin1_General_CI_AS NULL")
        .await;
    world
        .source("INSERT dbo.orders (id, city) VALUES (3, N'Wien')")
        .await;
    world.run(&["--json", "extract"]).json();
    world.run(&["--json", "load"]).json();
    let kept =
        "SELECT COUNT(*) FROM dbo.orders WHERE id = 1 AND CAST(city AS nvarchar(20)) = N'Łódź'";
    assert_eq!(world.target_rows(kept).await, [["Int(1)"]]);
}

/// Windows collations whose text is encoded on this side, one of each code page.
const PAGES: [&str; 15] = [
    "Thai_CS_AS",
    "Japanese_CS_AS",
    "Chinese_PRC_CS_AS",
    "Korean_Wansung_CS_AS",
    "Chinese_Taiwan_Stroke_CS_AS",
    "Polish_CS_AS",
    "Cyrillic_General_CS_AS",
    "Latin1_General_CS_AS",
    "Greek_CS_AS",
    "Turkish_CS_AS",
    "Hebrew_CS_AS",
    "Arabic_CS_AS",
    "Latvian_CS_AS",
    "Vietnamese_CS_AS",
    "Latin1_General_100_CS_AS_SC_UTF8",
];

/// Every character of every code page arrives, by the one way or the other.
#[tokio::test(flavor = "multi_thread")]
async fn text_of_every_code_page_is_filled_in() {
    let mut world = World::new("SELECT 1").await;
    let mut config = String::new();
    for (at, collation) in PAGES.into_iter().enumerate() {
        let page = CollationInfo::of(collation).expect("a collation").code_page;
        world
            .source(&format!(
                "CREATE TABLE dbo.p{at} (id int NOT NULL PRIMARY KEY, short varchar(400) COLLATE {collation} NOT NULL, \
                    fixed char(400) COLLATE {collation} NOT NULL, long varchar(max) COLLATE {collation} NOT NULL)"
            ))
            .await;
        let known = ('\u{20}'..='\u{FFFF}').filter(|c| {
            let mut units = [0; 2];
            let units = &*c.encode_utf16(&mut units);
            let is_control = matches!(c, '\u{80}'..='\u{9F}');
            !is_control && page.has(units) && page.text(&page.bytes(units)) == units
        });
        let every = if page.number() == 65001 { 16 } else { 1 };
        let known: Vec<char> = known.step_by(every).collect();
        for (row, text) in known.chunks(100).enumerate() {
            let text: String = text.iter().collect();
            let text = format!("N'{}'", text.replace('\'', "''"));
            world
                .source(&format!(
                    "INSERT dbo.p{at} VALUES ({row}, {text}, {text}, {text})"
                ))
                .await;
        }
        config.push_str(&format!("  - source: dbo.p{at}\n"));
    }
    world.config(&config);
    world.run(&["--json", "sync"]).json();
    for (at, collation) in PAGES.into_iter().enumerate() {
        let bytes = ["short", "fixed", "long"].map(|c| format!("CONVERT(varbinary(max), {c})"));
        let rows = format!("SELECT id, {} FROM dbo.p{at} ORDER BY id", bytes.join(", "));
        assert_eq!(
            world.source_rows(&rows).await,
            world.target_rows(&rows).await,
            "{collation}"
        );
    }
}

/// A character that only the server may know sends the whole load through a staging table.
#[tokio::test(flavor = "multi_thread")]
async fn a_character_that_is_not_known_here_is_left_to_the_server() {
    let mut world = World::new(
        "CREATE TABLE dbo.orders (id int NOT NULL PRIMARY KEY, c varchar(20) COLLATE Chinese_PRC_CI_AS NULL)
GO
INSERT dbo.orders VALUES (1, N'中'), (2, N'ḿ')",
    )
    .await;
    world.config(PLAIN);
    let run = world.run(&["-v", "--json", "sync"]);
    run.json();
    assert!(run.stderr.contains("the server decides"), "{run:#?}");
    let rows = "SELECT id, CONVERT(varbinary(20), c) FROM dbo.orders ORDER BY id";
    assert_eq!(world.source_rows(rows).await, world.target_rows(rows).await);
    assert!(world.target_rows(OWN_TABLES).await.is_empty());
}

/// Transferring a table takes more than creating one.
#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_may_not_transfer_a_table_loads_through_a_staging_table() {
    let mut world = world().await;
    let user = format!("filler_{}", world.target_db);
    let password = "Filler 1 for tests!";
    for statement in [
        format!("CREATE LOGIN [{user}] WITH PASSWORD = N'{password}', CHECK_POLICY = OFF"),
        format!("CREATE USER [{user}] FOR LOGIN [{user}]"),
        format!("ALTER ROLE db_datareader ADD MEMBER [{user}]"),
        format!("ALTER ROLE db_datawriter ADD MEMBER [{user}]"),
        format!("GRANT CREATE TABLE TO [{user}]"),
        format!("GRANT ALTER ON SCHEMA::dbo TO [{user}]"),
        "CREATE SCHEMA icesync".to_owned(),
        format!("GRANT ALTER ON SCHEMA::icesync TO [{user}]"),
    ] {
        world.target(&statement).await;
    }
    let connection = server().connection_as(&world.target_db, &user, password);
    let run = |world: &World, args: &[&str]| {
        let mut command = world.command(args);
        command.env("ICESYNC_TARGET", &connection);
        finish(command.spawn().expect("starts"))
    };
    let said = route(&run(&world, &["--json", "plan"]));
    assert!(said.contains("lacks CONTROL on schema icesync"), "{said}");
    run(&world, &["--json", "load"]).json();
    is_loaded(&mut world).await;

    world.target("DROP TABLE dbo.orders").await;
    let grant = format!("GRANT CONTROL ON SCHEMA::icesync TO [{user}]");
    world.target(&grant).await;
    let said = route(&run(&world, &["--json", "plan"]));
    assert!(said.contains("straight"), "{said}");
    run(&world, &["--json", "load"]).json();
    is_loaded(&mut world).await;
    let revoke = format!("REVOKE ALTER ON SCHEMA::dbo FROM [{user}]");
    world.target(&revoke).await;
    world.target("DROP TABLE dbo.orders").await;
    let said = route(&run(&world, &["--json", "plan"]));
    assert!(said.contains("lacks ALTER on schema dbo"), "{said}");
}

/// An empty table of others keeps its object, indexes and permissions.
#[tokio::test(flavor = "multi_thread")]
async fn an_empty_target_is_filled_where_it_is() {
    let mut world = world().await;
    world
        .target("CREATE TABLE dbo.orders (id int NOT NULL PRIMARY KEY, name nvarchar(20) NULL, rv binary(8) NULL)")
        .await;
    world
        .target("CREATE INDEX by_name ON dbo.orders (name)")
        .await;
    let before = target_id(&mut world).await;
    let plan = world.run(&["--json", "plan"]).json();
    assert_eq!(plan["tables"][0]["load"]["route"], Value::Null);
    world.run(&["--json", "load"]).json();
    assert_eq!(target_id(&mut world).await, before);
    is_loaded(&mut world).await;
    let indexes = "SELECT COUNT(*) FROM sys.indexes WHERE object_id = OBJECT_ID(N'dbo.orders') AND name = N'by_name'";
    assert_eq!(world.target_rows(indexes).await, [["Int(1)"]]);
}

/// Names that need quoting, a schema that has to be created, and a target of two tables of one name.
#[tokio::test(flavor = "multi_thread")]
async fn odd_names_and_new_schemas_are_published() {
    let mut world = World::new(ORDERS).await;
    world
        .source("INSERT dbo.orders (id, name) VALUES (1, N'a')")
        .await;
    for target in [
        "'sales.orders'",
        "'archive.orders'",
        r#"'[a.b].[it''s ]] odd]'"#,
    ] {
        world.config(&format!("  - source: dbo.orders\n    target: {target}\n"));
        let report = world.run(&["--json", "sync"]).json();
        assert_eq!(load(&report)["inserted"], json!(1), "{report:#}");
    }
    for table in ["sales.orders", "archive.orders", "[a.b].[it's ]] odd]"] {
        let rows = format!("SELECT id FROM {table}");
        assert_eq!(world.target_rows(&rows).await, [["Int(1)"]]);
    }
    assert!(world.target_rows(OWN_TABLES).await.is_empty());
}
