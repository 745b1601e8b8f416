//! What a source's server, database, login and table are, and what a run makes of it. The guide's table of environments
//! names these tests.

use crate::harness::{Run, World, finish, rows, server, skipped, sql};
use crate::isolation::Isolation;
use icesync::mssql::control::Control;
use icesync::mssql::settings::Connection;
use icesync_sandbox::engine::{Engine, Replica};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

const VERSIONED: &str =
    "CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY, n int NOT NULL, rv rowversion NOT NULL)
GO
INSERT dbo.t (id, n) VALUES (1, 1), (2, 2), (3, 3)";

const ROWS: &str = "SELECT id, n FROM dbo.t ORDER BY id";

/// The report of a table.
fn of<'a>(report: &'a Value, source: &str) -> &'a Value {
    let mut tables = report["tables"].as_array().into_iter().flatten();
    let found = tables.find(|table| table["source"] == source);
    found.unwrap_or_else(|| panic!("{source} is not in {report:#}"))
}

/// A successful `sync`: its report, and what it extracted of the first table.
fn synced(world: &World) -> (Value, Value) {
    let report = world.run(&["--json", "sync"]).json();
    let extract = report["tables"][0]["extract"].clone();
    (report, extract)
}

#[track_caller]
fn has(value: &Value, parts: &[&str]) {
    let text = value.to_string();
    for part in parts {
        assert!(text.contains(part), "missing {part:?} in {value:#}");
    }
}

async fn assert_same(world: &mut World, query: &str) {
    let source = world.source_rows(query).await;
    assert_eq!(source, world.target_rows(query).await, "{query}");
}

/// What only the stand-in can be made to be.
fn stand_in(what: &str) -> Option<&'static Arc<Engine>> {
    let engine = server().engine();
    if engine.is_none() {
        skipped(what);
    }
    engine
}

/// A login that may read the source's rows, and its connection.
pub async fn reader(world: &mut World) -> (String, String) {
    let user = format!("reader_{}", world.source_db);
    let password = "Reader 1 for tests!";
    for statement in [
        format!("CREATE LOGIN [{user}] WITH PASSWORD = N'{password}', CHECK_POLICY = OFF"),
        format!("CREATE USER [{user}] FOR LOGIN [{user}]"),
        format!("ALTER ROLE db_datareader ADD MEMBER [{user}]"),
    ] {
        world.source(&statement).await;
    }
    let connection = server().connection_as(&world.source_db, &user, password);
    (user, connection)
}

/// A run with another connection to the source.
pub fn run_as(world: &World, connection: &str, args: &[&str]) -> Run {
    let mut command = world.command(args);
    finish(
        command
            .env("ICESYNC_SOURCE", connection)
            .spawn()
            .expect("starts"),
    )
}

/// Waits until a session waits for a lock in the source.
pub async fn until_blocked(world: &mut World) {
    for _ in 0..1200 {
        let blocked = world
            .source_rows(
                "SELECT session_id FROM sys.dm_exec_requests WHERE database_id = DB_ID() AND wait_type LIKE N'LCK_M_%'",
            )
            .await;
        if !blocked.is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("nothing waits for a lock");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_row_versions_a_rowversion_is_read_and_the_rest_refused_once() {
    let mut world = World::with_isolation(
        Isolation::ReadCommitted,
        "CREATE TABLE dbo.a (id int NOT NULL PRIMARY KEY, n int NOT NULL, rv rowversion NOT NULL)
GO
CREATE TABLE dbo.b (id int NOT NULL PRIMARY KEY, n int NOT NULL, at datetime2(3) NOT NULL, INDEX ix_at (at))
GO
CREATE TABLE dbo.c (id int NOT NULL PRIMARY KEY, n int NOT NULL)
GO
INSERT dbo.a (id, n) VALUES (1, 1), (2, 2), (3, 3)
INSERT dbo.b (id, n, at) VALUES (1, 1, '2024-01-01T00:00:00')
INSERT dbo.c (id, n) VALUES (1, 1)",
    )
    .await;
    let allow = format!(
        "ALTER DATABASE [{}] SET ALLOW_SNAPSHOT_ISOLATION ON",
        world.source_db
    );
    let tables = "  - source: dbo.a\n  - source: dbo.b\n    change: { strategy: timestamp, column: at, clock: utc }\n  \
        - source: dbo.c\n";
    world.config(tables);
    let first = world.run(&["--json", "sync"]);
    assert_eq!(first.code, 3, "{first:#?}");
    let report = first.json_any();
    assert_eq!(of(&report, "dbo.a")["extract"]["rows_read"], json!(3));
    let errors = ["dbo.b", "dbo.c"].map(|name| of(&report, name)["error"]["message"].to_string());
    let count = |part: &str| errors.iter().filter(|error| error.contains(part)).count();
    assert_eq!(
        (count(&allow), count("either, as dbo.")),
        (1, 1),
        "{report:#}"
    );
    let warnings = report["warnings"].as_array().expect("warnings");
    assert_eq!(warnings.len(), 1, "{report:#}");
    has(&warnings[0], &[&allow, "row locks"]);

    world.config(
        "  - source: dbo.a\n    lake: other.a\n    kind: history\n    change: { strategy: rowversion }\n",
    );
    world
        .run(&["extract"])
        .fails_with(1, &[&allow, "a history"]);
    // Asked for, row locks are refused, too, with a checkpoint or without.
    let history = |isolation: &str| {
        format!(
            "  - source: dbo.a\n    lake: other.a\n    kind: history\n    change: {{ strategy: rowversion, isolation: \
             {isolation} }}\n"
        )
    };
    for _ in 0..2 {
        world.config(&history("read_committed"));
        world
            .run(&["extract"])
            .fails_with(1, &[&allow, "a history", "read_committed"]);
        world.config(&history("table_lock"));
        assert_eq!(world.run(&["extract"]).code, 0);
    }

    world.source(&allow).await;
    world.config(tables);
    let (report, _) = synced(&world);
    assert_eq!(report["warnings"], Value::Null, "{report:#}");
    for table in ["a", "b", "c"] {
        assert_same(
            &mut world,
            &format!("SELECT id, n FROM dbo.{table} ORDER BY id"),
        )
        .await;
    }
}

/// Rows in the order of `pos`, which is not the key.
const MOVING: &str = "CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY NONCLUSTERED, pos int NOT NULL, note \
    varchar(400) NOT NULL, rv rowversion NOT NULL)
GO
CREATE CLUSTERED INDEX cx_pos ON dbo.t (pos)
GO
INSERT dbo.t (id, pos, note)
SELECT r.n, r.n * 10, REPLICATE('x', 300) FROM (SELECT TOP (1000) ROW_NUMBER() OVER (ORDER BY (SELECT 1)) AS n
FROM sys.all_columns a CROSS JOIN sys.all_columns b) AS r";

const MOVED: &str = "SELECT id, pos, note FROM dbo.t WHERE id <> 30 ORDER BY id";

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_move_while_they_are_read_come_with_the_next_run() {
    let mut world = World::with_isolation(Isolation::ReadCommitted, MOVING).await;
    world.config("  - source: dbo.t\n");
    // The scan stops at the row in the middle.
    let mut holder = server().connect(&world.source_db).await;
    sql(
        &mut holder,
        "BEGIN TRAN; UPDATE dbo.t SET note = 'held' WHERE id = 500",
    )
    .await;
    let child = world.spawn(&["--json", "sync"]);
    until_blocked(&mut world).await;
    for change in [
        // To where the scan has been, and to where it will be.
        "UPDATE dbo.t SET pos = 15 WHERE id = 900",
        "UPDATE dbo.t SET pos = 9999 WHERE id = 10",
        "INSERT dbo.t (id, pos, note) VALUES (2001, 25, 'behind'), (2002, 9500, 'ahead')",
        "DELETE dbo.t WHERE id = 800",
        "UPDATE dbo.t SET note = 'later' WHERE id = 950",
        "UPDATE dbo.t SET id = 3000 WHERE id = 30",
    ] {
        world.source(change).await;
    }
    // A move that is taken back when the scan has come to where the row was.
    let mut undoer = server().connect(&world.source_db).await;
    sql(
        &mut undoer,
        "BEGIN TRAN; UPDATE dbo.t SET pos = 35 WHERE id = 700",
    )
    .await;
    sql(&mut holder, "COMMIT").await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    sql(&mut undoer, "ROLLBACK").await;
    let first = finish(child).json();
    has(&first["warnings"], &["row locks"]);
    assert_eq!(first["tables"][0]["extract"]["full_read"], json!(true));
    let found = world
        .target_rows("SELECT id FROM dbo.t WHERE id IN (10, 700, 900) ORDER BY id")
        .await;
    assert_eq!(found, [["Int(10)"], ["Int(700)"]], "{first:#}");

    let (second, extract) = synced(&world);
    assert_eq!(extract["full_read"], json!(false), "{second:#}");
    assert_same(&mut world, MOVED).await;
    // The old key of a changed key stays until a whole read, as under row versions.
    let stale = world
        .target_rows("SELECT id FROM dbo.t WHERE id = 30")
        .await;
    assert_eq!(stale.len(), 1);
    assert_eq!(world.run(&["state", "reset", "--all", "--yes"]).code, 0);
    let (third, extract) = synced(&world);
    assert_eq!(extract["deleted"], json!(1), "{third:#}");
    assert_same(&mut world, "SELECT id, pos, note FROM dbo.t ORDER BY id").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_with_row_locks_has_each_row_that_stays() {
    let mut world = World::with_isolation(Isolation::ReadCommitted, MOVING).await;
    world.config("  - source: dbo.t\n");
    synced(&world);
    world.source("UPDATE dbo.t SET note = 'second'").await;
    let mut holder = server().connect(&world.source_db).await;
    sql(
        &mut holder,
        "BEGIN TRAN; UPDATE dbo.t SET note = 'held' WHERE id = 500",
    )
    .await;
    let child = world.spawn(&["--json", "sync"]);
    until_blocked(&mut world).await;
    world
        .source("UPDATE dbo.t SET pos = 15 WHERE id = 900")
        .await;
    world
        .source("UPDATE dbo.t SET pos = 9999 WHERE id = 10")
        .await;
    sql(&mut holder, "COMMIT").await;
    let second = finish(child).json();
    let extract = &second["tables"][0]["extract"];
    // All but the row that was held and the one that has left the window.
    assert_eq!(
        (&extract["full_read"], &extract["rows_read"]),
        (&json!(false), &json!(998)),
        "{second:#}"
    );
    let (third, extract) = synced(&world);
    assert_eq!(extract["rows_read"], json!(3), "{third:#}");
    assert_same(&mut world, MOVED).await;
}

const MASKED: &str = "CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY, card varchar(20) MASKED WITH (FUNCTION = \
    'partial(0,\"XXXX\",2)') NULL, n int MASKED WITH (FUNCTION = 'default()') NOT NULL, rv rowversion NOT NULL)
GO
CREATE VIEW dbo.v AS SELECT id, card AS c, rv FROM dbo.t
GO
INSERT dbo.t (id, card, n) VALUES (1, '4929 1234 5678', 250)";

#[tokio::test(flavor = "multi_thread")]
async fn masked_columns_are_refused_or_accepted_and_said() {
    let mut world = World::new(MASKED).await;
    let (user, reader) = reader(&mut world).await;
    world.config("  - source: dbo.t\n");
    run_as(&world, &reader, &["sync"]).fails_with(
        1,
        &[
            "column card, n of dbo.t is masked",
            "GRANT UNMASK",
            "accept: [masked]",
        ],
    );
    assert!(!world.lake("dbo", "t").exists());

    world.config(
        "  - source: dbo.t\n    lake: some.t\n    target: dbo.some\n    columns: { exclude: [card, n] }\n",
    );
    run_as(&world, &reader, &["--json", "sync"]).json();

    world.config("  - source: dbo.t\n    accept: [masked]\n");
    for _ in 0..2 {
        let report = run_as(&world, &reader, &["--json", "sync"]).json();
        has(
            &report["tables"][0]["extract"]["warnings"],
            &["column card, n is masked for this login"],
        );
    }
    let masked = world
        .target_rows("SELECT n FROM dbo.t WHERE card <> '4929 1234 5678'")
        .await;
    assert_eq!(masked, [["Int(0)"]]);

    world.source(&format!("GRANT UNMASK TO [{user}]")).await;
    world.config("  - source: dbo.t\n");
    assert_eq!(world.run(&["state", "reset", "--all", "--yes"]).code, 0);
    let report = run_as(&world, &reader, &["--json", "sync"]).json();
    assert_eq!(
        report["tables"][0]["extract"]["warnings"],
        json!([]),
        "{report:#}"
    );
    assert_same(&mut world, "SELECT id, card, n FROM dbo.t").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_of_masked_columns_is_refused_too() {
    let mut world = World::new(MASKED).await;
    let (user, reader) = reader(&mut world).await;
    world.config("  - source: dbo.v\n    key: [id]\n");
    run_as(&world, &reader, &["sync"]).fails_with(
        1,
        &[
            "dbo.v may show masked values",
            "card",
            "Grant VIEW DEFINITION",
        ],
    );
    world
        .source(&format!("GRANT VIEW DEFINITION ON dbo.v TO [{user}]"))
        .await;
    run_as(&world, &reader, &["sync"])
        .fails_with(1, &["column card, n of dbo.v is masked", "GRANT UNMASK"]);
    world.source(&format!("GRANT UNMASK TO [{user}]")).await;
    let report = run_as(&world, &reader, &["--json", "sync"]).json();
    assert_eq!(
        report["tables"][0]["extract"]["strategy"],
        json!("rowversion")
    );
    assert_same(&mut world, "SELECT id, c FROM dbo.v").await;
}

/// A hundred rows, of which others than dbo are shown those after the thirtieth.
const FILTERED: &str = "CREATE SCHEMA sec
GO
CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY, n int NOT NULL, rv rowversion NOT NULL)
GO
INSERT dbo.t (id, n)
SELECT r.n, r.n FROM (SELECT TOP (100) ROW_NUMBER() OVER (ORDER BY (SELECT 1)) AS n FROM sys.all_columns) AS r
GO
CREATE FUNCTION sec.shown(@n int) RETURNS TABLE WITH SCHEMABINDING AS
RETURN SELECT 1 AS shown WHERE @n > 30 OR USER_NAME() = N'dbo'
GO
CREATE SECURITY POLICY sec.tenants ADD FILTER PREDICATE sec.shown(n) ON dbo.t WITH (STATE = ON)";

#[tokio::test(flavor = "multi_thread")]
async fn row_level_security_is_refused_or_accepted_and_said() {
    let mut world = World::new(FILTERED).await;
    let (user, reader) = reader(&mut world).await;
    world
        .source(&format!("GRANT VIEW DEFINITION TO [{user}]"))
        .await;
    world.config("  - source: dbo.t\n");
    let refused = ["security policy sec.tenants", "accept: [row_security]"];
    run_as(&world, &reader, &["sync"]).fails_with(1, &refused);
    // That a policy shows this login all rows cannot be asked.
    world.run(&["sync"]).fails_with(1, &refused);
    assert!(!world.lake("dbo", "t").exists());

    world.config("  - source: dbo.t\n    accept: [row_security]\n");
    let report = run_as(&world, &reader, &["--json", "sync"]).json();
    let extract = &report["tables"][0]["extract"];
    assert_eq!(extract["rows_read"], json!(70), "{report:#}");
    has(
        &extract["warnings"],
        &["security policy sec.tenants filters rows"],
    );
    world
        .source("ALTER SECURITY POLICY sec.tenants WITH (STATE = OFF)")
        .await;
    world.config("  - source: dbo.t\n");
    assert_eq!(world.run(&["state", "reset", "--all", "--yes"]).code, 0);
    let report = run_as(&world, &reader, &["--json", "sync"]).json();
    assert_eq!(
        report["tables"][0]["extract"]["rows_read"],
        json!(100),
        "{report:#}"
    );
    assert_same(&mut world, ROWS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_an_unseen_policy_hides_are_missed_by_their_number() {
    let mut world = World::new(FILTERED).await;
    let (user, reader) = reader(&mut world).await;
    world.config("  - source: dbo.t\n");
    let report = run_as(&world, &reader, &["--json", "sync"]).json();
    has(
        &report["tables"][0]["extract"]["warnings"],
        &["only 70 of about 100 rows", "Grant VIEW DEFINITION"],
    );
    world
        .source(&format!("GRANT VIEW DEFINITION TO [{user}]"))
        .await;
    run_as(&world, &reader, &["sync"]).fails_with(1, &["security policy sec.tenants"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_primary_writes_is_read_whole_from_a_copy_or_refused() {
    let Some(engine) = stand_in("replicas, database snapshots and standby databases") else {
        return;
    };
    for (replica, what) in [
        (Replica::Secondary, "a readable secondary replica"),
        (Replica::Snapshot, "a database snapshot"),
        (Replica::Standby, "a standby database"),
    ] {
        // The configuration is as it is written here: a replica takes no table lock.
        let isolation = Isolation::of_the_suite();
        let mut world = World::with_isolation(isolation, VERSIONED).await;
        engine
            .set_replica(&world.source_db, replica)
            .expect("a database");
        let connection = server().connection(&world.source_db);
        let intent = format!("{connection};ApplicationIntent=ReadOnly");
        world.config("  - source: dbo.t\n");
        let planned = run_as(&world, &intent, &["--json", "plan"]).json();
        let plan = &planned["tables"][0];
        assert_eq!(plan["server"]["standing"], json!(what), "{planned:#}");
        has(&plan["why"], &[what, "cannot be seen"]);
        let report = run_as(&world, &intent, &["--json", "sync"]).json();
        assert_eq!(
            report["tables"][0]["extract"]["strategy"],
            json!("full"),
            "{report:#}"
        );
        assert_same(&mut world, ROWS).await;

        for strategy in ["rowversion", "sequence, column: id", "auto, column: rv"] {
            world.config(&format!(
                "  - source: dbo.t\n    change: {{ strategy: {strategy} }}\n"
            ));
            run_as(&world, &intent, &["sync"]).fails_with(1, &[what, "Connect to the primary"]);
        }
        if replica == Replica::Secondary {
            world.config(
                "  - source: dbo.t\n    change: { strategy: full, isolation: table_lock }\n",
            );
            run_as(&world, &intent, &["sync"]).fails_with(1, &["ignores locking hints"]);
            // A replica that takes no other connections.
            run_as(&world, &connection, &["sync"])
                .fails_with(1, &["978", "add ApplicationIntent=ReadOnly"]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_database_is_read_by_its_windows() {
    let mut world = World::with_isolation(
        Isolation::ReadCommitted,
        "CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY, n int NOT NULL, rv rowversion NOT NULL)
GO
CREATE TABLE dbo.u (id int NOT NULL PRIMARY KEY, n int NOT NULL)
GO
INSERT dbo.t (id, n) VALUES (1, 1), (2, 2)
INSERT dbo.u (id, n) VALUES (1, 1), (2, 2)",
    )
    .await;
    let database = world.source_db.clone();
    world
        .source(&format!("ALTER DATABASE [{database}] SET READ_ONLY"))
        .await;
    world.config("  - source: dbo.t\n  - source: dbo.u\n");
    let (report, _) = synced(&world);
    let strategy = |name: &str| of(&report, name)["extract"]["strategy"].clone();
    assert_eq!(
        (strategy("dbo.t"), strategy("dbo.u")),
        (json!("rowversion"), json!("full"))
    );
    assert_eq!(report["warnings"], Value::Null, "{report:#}");
    assert_same(&mut world, ROWS).await;
    assert_same(&mut world, "SELECT id, n FROM dbo.u ORDER BY id").await;

    world
        .source(&format!("ALTER DATABASE [{database}] SET READ_WRITE"))
        .await;
    world.source("INSERT dbo.t (id, n) VALUES (3, 3)").await;
    world
        .source(&format!("ALTER DATABASE [{database}] SET READ_ONLY"))
        .await;
    let (report, _) = synced(&world);
    let extract = &of(&report, "dbo.t")["extract"];
    assert_eq!(
        (&extract["full_read"], &extract["rows_read"]),
        (&json!(false), &json!(1)),
        "{report:#}"
    );
    assert_same(&mut world, ROWS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_is_not_reached_by_an_intent_to_read() {
    let world = World::new(VERSIONED).await;
    world.config("  - source: dbo.t\n");
    let target = server().connection(&world.target_db);
    let mut command = world.command(&["sync"]);
    command.env(
        "ICESYNC_TARGET",
        format!("{target};ApplicationIntent=ReadOnly"),
    );
    finish(command.spawn().expect("starts"))
        .fails_with(2, &["target.connection", "ApplicationIntent=ReadOnly"]);
}

/// Makes the database what it was, and lets others write until its row versions pass those of the time that is lost.
async fn restore(world: &mut World, engine: &Engine, backup: &icesync_sandbox::engine::Backup) {
    engine
        .restore(&world.source_db, backup)
        .expect("a database");
    for id in 5..10 {
        world
            .source(&format!("INSERT dbo.t (id, n) VALUES ({id}, {id})"))
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_source_is_read_whole() {
    let Some(engine) = stand_in("restores") else {
        return;
    };
    let mut world = World::new(VERSIONED).await;
    world.config("  - source: dbo.t\n");
    synced(&world);
    let backup = engine.back_up(&world.source_db).expect("a database");
    world.source("UPDATE dbo.t SET n = 20 WHERE id = 2").await;
    world.source("INSERT dbo.t (id, n) VALUES (4, 4)").await;
    synced(&world);
    restore(&mut world, engine, &backup).await;
    let (report, extract) = synced(&world);
    assert_eq!(extract["full_read"], json!(true), "{report:#}");
    has(
        &extract["warnings"],
        &["the whole table is read again", "recovery fork"],
    );
    assert_same(&mut world, ROWS).await;
    world.source("UPDATE dbo.t SET n = 30 WHERE id = 3").await;
    let (report, extract) = synced(&world);
    assert_eq!(extract["full_read"], json!(false), "{report:#}");
    assert_same(&mut world, ROWS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_without_an_origin_is_gone_on_from() {
    let mut world = World::new(VERSIONED).await;
    world.config("  - source: dbo.t\n");
    synced(&world);
    let backup = server()
        .engine()
        .map(|engine| engine.back_up(&world.source_db));
    let export = ["state", "export", "--file", "state.json"];
    assert_eq!(world.run(&export).code, 0);
    let path = world.path("state.json");
    let text = std::fs::read_to_string(&path).expect("a file");
    let mut file: Value = serde_json::from_str(&text).expect("JSON");
    let checkpoint = file["tables"][0]["checkpoint"]
        .as_object_mut()
        .expect("a checkpoint");
    let origin = checkpoint.remove("origin").expect("an origin");
    has(&origin, &["counter", "partitions"]);
    std::fs::write(&path, file.to_string()).expect("written");
    assert_eq!(world.run(&["state", "reset", "--all", "--yes"]).code, 0);
    let import = ["state", "import", "--all", "--file", "state.json", "--yes"];
    assert_eq!(world.run(&import).code, 0);

    world.source("INSERT dbo.t (id, n) VALUES (4, 4)").await;
    let (report, extract) = synced(&world);
    assert_eq!(
        (&extract["full_read"], &extract["rows_read"]),
        (&json!(false), &json!(1)),
        "{report:#}"
    );
    assert_same(&mut world, ROWS).await;
    // From then on it is known.
    let exported = world.run(&["state", "export"]).json();
    has(
        &exported["tables"][0]["checkpoint"]["origin"],
        &["counter", "partitions"],
    );
    if let (Some(engine), Some(backup)) = (server().engine(), backup) {
        restore(&mut world, engine, &backup.expect("a database")).await;
        let (report, extract) = synced(&world);
        assert_eq!(extract["full_read"], json!(true), "{report:#}");
        assert_same(&mut world, ROWS).await;
    } else {
        skipped("a restore under a checkpoint that did not know its origin");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_are_switched_in_are_read() {
    let mut world = World::new(
        "CREATE TABLE dbo.t (id int NOT NULL CONSTRAINT pk_t PRIMARY KEY, n int NOT NULL, rv rowversion NOT NULL, \
         INDEX ix_n (n))
GO
CREATE TABLE dbo.stage (id int NOT NULL CONSTRAINT pk_stage PRIMARY KEY, n int NOT NULL, rv rowversion NOT NULL, \
         INDEX ix_n (n))
GO
INSERT dbo.stage (id, n) VALUES (10, 10), (11, 11)
INSERT dbo.t (id, n) VALUES (1, 1), (2, 2)",
    )
    .await;
    world.config("  - source: dbo.t\n");
    synced(&world);
    world.source("ALTER INDEX ix_n ON dbo.t REBUILD").await;
    let (report, extract) = synced(&world);
    assert_eq!(extract["full_read"], json!(false), "{report:#}");

    world
        .source("TRUNCATE TABLE dbo.t; ALTER TABLE dbo.stage SWITCH TO dbo.t")
        .await;
    let (report, extract) = synced(&world);
    assert_eq!(extract["full_read"], json!(true), "{report:#}");
    has(
        &extract["warnings"],
        &[
            "partition 1 has another storage",
            "accept: [partition_switch]",
        ],
    );
    assert_same(&mut world, ROWS).await;

    // A rebuild of all indexes looks the same.
    world.source("ALTER INDEX ALL ON dbo.t REBUILD").await;
    let (report, extract) = synced(&world);
    assert_eq!(extract["full_read"], json!(true), "{report:#}");
    assert_eq!(
        (&extract["inserted"], &extract["deleted"]),
        (&json!(0), &json!(0))
    );
    world.config("  - source: dbo.t\n    accept: [partition_switch]\n");
    world.source("ALTER INDEX ALL ON dbo.t REBUILD").await;
    world.source("INSERT dbo.t (id, n) VALUES (12, 12)").await;
    let (report, extract) = synced(&world);
    assert_eq!(
        (&extract["full_read"], &extract["rows_read"]),
        (&json!(false), &json!(1)),
        "{report:#}"
    );
    has(
        &extract["warnings"],
        &["another storage", "accept: [partition_switch]"],
    );
    assert_same(&mut world, ROWS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_is_followed_by_a_rowversion_that_tells_when_its_rows_change() {
    let mut world = World::new(
        "CREATE TABLE dbo.a (id int NOT NULL PRIMARY KEY, n int NOT NULL, rv rowversion NOT NULL)
GO
CREATE TABLE dbo.b (a_id int NOT NULL PRIMARY KEY, m int NOT NULL)
GO
CREATE VIEW dbo.own AS SELECT id, n, rv FROM dbo.a WHERE n > 0
GO
CREATE VIEW dbo.joined AS SELECT a.id, b.m, a.rv FROM dbo.a AS a JOIN dbo.b AS b ON b.a_id = a.id
GO
INSERT dbo.a (id, n) VALUES (1, 1), (2, 2), (3, 0)
INSERT dbo.b (a_id, m) VALUES (1, 10), (2, 20)",
    )
    .await;
    world
        .target("CREATE TABLE dbo.c (id int NOT NULL PRIMARY KEY, n int NOT NULL, rv rowversion NOT NULL)")
        .await;
    let elsewhere = format!(
        "CREATE VIEW dbo.far AS SELECT id, n, rv FROM [{}].dbo.c",
        world.target_db
    );
    world.source(&elsewhere).await;
    world.config(
        "  - source: dbo.own\n    key: [id]\n  - source: dbo.joined\n    key: [id]\n  - source: dbo.far\n    key: \
         [id]\n",
    );
    let planned = world.run(&["--json", "plan"]).json();
    let strategy = |name: &str| of(&planned, name)["strategy"].clone();
    assert_eq!(strategy("dbo.own"), json!("rowversion"), "{planned:#}");
    assert_eq!(strategy("dbo.joined"), json!("full"), "{planned:#}");
    assert_eq!(strategy("dbo.far"), json!("full"), "{planned:#}");
    has(
        &of(&planned, "dbo.joined")["why"],
        &["the view refers to 2 objects"],
    );
    has(
        &of(&planned, "dbo.far")["why"],
        &["each database has its own row versions"],
    );

    world.config("  - source: dbo.own\n    key: [id]\n  - source: dbo.joined\n    key: [id]\n");
    synced(&world);
    world
        .source("UPDATE dbo.b SET m = 21 WHERE a_id = 2; UPDATE dbo.a SET n = 5 WHERE id = 3")
        .await;
    synced(&world);
    assert_same(&mut world, "SELECT id, m FROM dbo.joined ORDER BY id").await;
    assert_same(&mut world, "SELECT id, n FROM dbo.own ORDER BY id").await;

    world.config("  - source: dbo.joined\n    lake: x.joined\n    key: [id]\n    change: { strategy: rowversion }\n");
    let report = world.run(&["--json", "extract"]).json();
    has(
        &report["tables"][0]["extract"]["warnings"],
        &["changes of rows may be missed", "2 objects"],
    );
    world.config("  - source: dbo.far\n    key: [id]\n    change: { strategy: rowversion }\n");
    world
        .run(&["extract"])
        .fails_with(1, &["dbo.c", "no bound of this database"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_pins_the_bound_is_named() {
    // Without row versions the read would wait for the writer.
    let mut world = World::with_isolation(Isolation::with_row_versions(), VERSIONED).await;
    let (_, reader) = reader(&mut world).await;
    world.config("  - source: dbo.t\n");
    synced(&world);
    let text = format!(
        "{};Application Name=billing",
        server().connection(&world.source_db)
    );
    let connection = Connection::parse(&text).expect("a connection string");
    let mut writer = Control::connect(&connection).await.expect("a session");
    sql(
        &mut writer,
        "BEGIN TRAN; UPDATE dbo.t SET n = 10 WHERE id = 1",
    )
    .await;
    let session = rows(&mut writer, "SELECT CONVERT(nvarchar(9), @@SPID)").await;
    let session = session[0][0].replace("Text(\"", "").replace("\")", "");
    world.source("UPDATE dbo.t SET n = 20 WHERE id = 2").await;

    let report = run_as(&world, &reader, &["--json", "sync"]).json();
    let extract = &report["tables"][0]["extract"];
    assert_eq!(extract["rows_read"], json!(0), "{report:#}");
    has(
        &extract["warnings"],
        &[
            "an open transaction keeps the upper bound",
            "VIEW SERVER STATE",
        ],
    );

    let (report, _) = synced(&world);
    assert_eq!(report["warnings"], Value::Null, "{report:#}");
    if let Some(engine) = stand_in("a transaction that is an hour old") {
        engine.age_transactions(&world.source_db, 62);
        let named = format!("(session {session}, billing), open for 62 minutes and idle");
        let run = world.run(&["--json", "sync"]).json();
        let warnings = run["warnings"].as_array().expect("warnings");
        assert_eq!(warnings.len(), 1, "{run:#}");
        has(&warnings[0], &[&world.source_db, &named]);
        let text = world.run(&["sync"]).stdout;
        assert!(
            text.contains(&format!("warning: database {}", world.source_db)),
            "{text}"
        );
    }
    sql(&mut writer, "COMMIT").await;
    let (report, extract) = synced(&world);
    assert_eq!(extract["rows_read"], json!(2), "{report:#}");
    assert_same(&mut world, ROWS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_from_before_the_clock_went_back_holds_the_bound() {
    let Some(engine) = stand_in("a clock that goes back") else {
        return;
    };
    // Without row versions the read would wait for the writer.
    let world = World::with_isolation(
        Isolation::with_row_versions(),
        "CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY, at datetime2(3) NOT NULL, INDEX ix_at (at))
GO
INSERT dbo.t VALUES (1, '2024-01-01T00:00:00')",
    )
    .await;
    world.config(
        "  - source: dbo.t\n    change: { strategy: timestamp, column: at, clock: utc, lag: 0s, overlap: 0s }\n",
    );
    let mut writer = server().connect(&world.source_db).await;
    sql(
        &mut writer,
        "BEGIN TRAN; INSERT dbo.t VALUES (2, SYSUTCDATETIME())",
    )
    .await;
    // Begun 20 minutes ago, at a local time that comes in 40 minutes.
    engine.age_transactions(&world.source_db, -40);
    let first = world.run(&["--json", "extract"]).json();
    has(&first["warnings"], &["open for 20 minutes"]);
    sql(&mut writer, "COMMIT").await;
    let second = world.run(&["--json", "extract"]).json();
    let extract = &second["tables"][0]["extract"];
    assert_eq!(extract["inserted"], json!(1), "{second:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_of_a_window_does_not_need_what_the_lake_cuts_off() {
    let mut world = World::new(
        "CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY, n int NOT NULL, at datetime2(7) NOT NULL, INDEX ix_at (at))
GO
CREATE TABLE dbo.o (id int NOT NULL PRIMARY KEY, n int NOT NULL, at datetimeoffset(7) NOT NULL, INDEX ix_at (at))
GO
INSERT dbo.t (id, n, at)
SELECT r.n, 0, '2024-01-01T00:00:00.1234567' FROM (SELECT TOP (2500) ROW_NUMBER() OVER (ORDER BY (SELECT 1)) AS n
FROM sys.all_columns a CROSS JOIN sys.all_columns b) AS r
GO
INSERT dbo.o (id, n, at) SELECT id, n, '2024-01-01T00:00:00.1234567+02:00' FROM dbo.t",
    )
    .await;
    let change = "    fidelity: standard\n    change: { strategy: timestamp, column: at, lag: 0s, overlap: 0s, clock: \
        utc, commit_rows: 1000 }\n";
    world.config(&format!(
        "  - source: dbo.t\n{change}  - source: dbo.o\n{change}"
    ));
    synced(&world);
    world
        .source(
            "DECLARE @now datetime2(7) = SYSUTCDATETIME();
            UPDATE dbo.t SET n = id, at = DATEADD(nanosecond, 100 * id, @now);
            UPDATE dbo.o SET n = id, at = SWITCHOFFSET(TODATETIMEOFFSET(DATEADD(nanosecond, 100 * id, @now), \
             '+00:00'), '+02:00')",
        )
        .await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let (report, _) = synced(&world);
    for table in ["t", "o"] {
        let extract = &of(&report, &format!("dbo.{table}"))["extract"];
        assert_eq!(
            [
                &extract["full_read"],
                &extract["rows_read"],
                &extract["commits"]
            ],
            [&json!(false), &json!(2500), &json!(3)],
            "{report:#}"
        );
        assert_same(
            &mut world,
            &format!("SELECT id, n FROM dbo.{table} ORDER BY id"),
        )
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_no_window_shows_are_counted_as_they_are_read() {
    let mut world = World::with_isolation(
        // Without row versions a count would wait for writers.
        Isolation::with_row_versions(),
        "CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY, n int NOT NULL, at datetime2(3) NULL)
GO
INSERT dbo.t (id, n, at) VALUES (1, 1, NULL), (2, 2, NULL), (3, 3, NULL), (4, 4, '2024-01-01T00:00:00'),
    (5, 5, DATEADD(day, 2, SYSUTCDATETIME()))",
    )
    .await;
    world
        .config("  - source: dbo.t\n    change: { strategy: timestamp, column: at, clock: utc }\n");
    let (_, extract) = synced(&world);
    let counts = ["3 rows have NULL in at", "1 rows have a at in the future"];
    has(&extract["warnings"], &counts);
    // A window would have to scan the table for them, which no index helps with.
    let (report, extract) = synced(&world);
    let warnings = extract["warnings"].to_string();
    assert!(
        !counts.iter().any(|count| warnings.contains(count)),
        "{report:#}"
    );
    // With an index the server counts them.
    world.source("CREATE INDEX ix_at ON dbo.t (at)").await;
    let (_, extract) = synced(&world);
    has(&extract["warnings"], &counts);
}

#[tokio::test(flavor = "multi_thread")]
async fn rare_collations_are_read_and_written() {
    let collations = [
        "German_PhoneBook_CI_AS",
        "Welsh_100_CI_AS",
        "Traditional_Spanish_CI_AS",
        "Hungarian_Technical_CI_AS",
        "Croatian_CI_AS",
        "Thai_CI_AS",
    ];
    let columns: Vec<String> = (0..)
        .zip(collations)
        .map(|(at, collation)| format!("c{at} varchar(20) COLLATE {collation} NULL"))
        .collect();
    let names: Vec<String> = (0..collations.len()).map(|at| format!("c{at}")).collect();
    let names = names.join(", ");
    let mut world = World::new(&format!(
        "CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY, rv rowversion NOT NULL, {})
GO
INSERT dbo.t (id, {names}) VALUES (1, N'Müller', N'tân', N'año', N'őrült', N'čaša', N'ไทย')",
        columns.join(", ")
    ))
    .await;
    world.config("  - source: dbo.t\n");
    synced(&world);
    let query = format!("SELECT id, {names} FROM dbo.t ORDER BY id");
    assert_same(&mut world, &query).await;
    world
        .source("INSERT dbo.t (id, c0, c5) VALUES (2, N'Jäger', NULL); UPDATE dbo.t SET c4 = N'žena' WHERE id = 1")
        .await;
    let (report, extract) = synced(&world);
    assert_eq!(extract["rows_read"], json!(2), "{report:#}");
    assert_same(&mut world, &query).await;
}

/// They have no code page, so only Unicode text has them.
#[tokio::test(flavor = "multi_thread")]
async fn collations_of_unicode_text_alone_are_read_and_written() {
    let mut world = World::new(
        "CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY, rv rowversion NOT NULL, name nvarchar(20) COLLATE \
         Indic_General_90_CI_AS NULL)
GO
INSERT dbo.t (id, name) VALUES (1, N'हिन्दी'), (2, NULL)",
    )
    .await;
    world.config("  - source: dbo.t\n");
    synced(&world);
    let query = "SELECT id, name FROM dbo.t ORDER BY id";
    assert_same(&mut world, query).await;
    world
        .source("UPDATE dbo.t SET name = N'தமிழ்' WHERE id = 2")
        .await;
    let (report, extract) = synced(&world);
    assert_eq!(extract["rows_read"], json!(1), "{report:#}");
    assert_same(&mut world, query).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_language_of_the_login_does_not_matter() {
    let mut world = World::new(
        "CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY, day date NOT NULL, old datetime NOT NULL, at datetime NOT \
         NULL, INDEX ix_at (at))
GO
INSERT dbo.t (id, day, old, at) VALUES (1, '20240305', '20240305 06:07:08.123', '20240305'), (2, '20241231', \
         '20241231', '20240306')",
    )
    .await;
    let user = format!("british_{}", world.source_db);
    let password = "British 1 for tests!";
    world
        .source(&format!(
            "CREATE LOGIN [{user}] WITH PASSWORD = N'{password}', CHECK_POLICY = OFF, DEFAULT_LANGUAGE = British"
        ))
        .await;
    for statement in [
        format!("CREATE USER [{user}] FOR LOGIN [{user}]"),
        format!("ALTER ROLE db_owner ADD MEMBER [{user}]"),
    ] {
        world.source(&statement).await;
        world.target(&statement).await;
    }
    let connection = |database: &str| server().connection_as(database, &user, password);
    let run = |world: &World| {
        let mut command = world.command(&["--json", "sync"]);
        command.env("ICESYNC_SOURCE", connection(&world.source_db));
        command.env("ICESYNC_TARGET", connection(&world.target_db));
        finish(command.spawn().expect("starts")).json()
    };
    world.config(
        "  - source: dbo.t\n    change: { strategy: timestamp, column: at, lag: 0s, overlap: 0s, clock: utc }\n",
    );
    let query =
        "SELECT id, CONVERT(varchar(30), day, 121) AS day, CONVERT(varchar(30), old, 121) AS old,
        CONVERT(varchar(30), at, 121) AS at FROM dbo.t ORDER BY id";
    run(&world);
    assert_same(&mut world, query).await;
    world
        .source("UPDATE dbo.t SET day = '20240203', at = SYSUTCDATETIME() WHERE id = 2")
        .await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    run(&world);
    assert_same(&mut world, query).await;
    world
        .source("UPDATE dbo.t SET old = '20240203', at = SYSUTCDATETIME() WHERE id = 2")
        .await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let report = run(&world);
    assert_eq!(
        report["tables"][0]["extract"]["full_read"],
        json!(false),
        "{report:#}"
    );
    assert_same(&mut world, query).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn azure_sql_database_is_known_by_its_name() {
    if stand_in("Azure SQL Database").is_none() {
        return;
    }
    let mut options = icesync_sandbox::SandboxOptions::default();
    options.engine.password = "Stand-in of the cloud 1".to_owned();
    options.engine.engine_edition = 5;
    // As Azure SQL Database creates a database.
    (
        options.engine.allow_snapshot,
        options.engine.read_committed_snapshot,
    ) = (true, true);
    let password = options.engine.password.clone();
    let azure = icesync_sandbox::Sandbox::start(options).expect("the stand-in starts");
    let connection = format!(
        "Server=tcp:127.0.0.1,{};User ID=sa;Password={password};Encrypt=false;Database=source",
        azure.addr.port()
    );
    let parsed = Connection::parse(&connection).expect("a connection string");
    let mut source = Control::connect(&parsed).await.expect("a session");
    for batch in VERSIONED.split("\nGO\n") {
        sql(&mut source, batch).await;
    }
    let mut world = World::with_isolation(Isolation::Snapshot, "SELECT 1 AS one").await;
    world.config("  - source: dbo.t\n");
    let planned = run_as(&world, &connection, &["--json", "plan"]).json();
    let found = &planned["tables"][0]["server"];
    assert_eq!(
        (&found["product"], &found["database"]),
        (&json!("Azure SQL Database"), &json!("source")),
        "{planned:#}"
    );
    run_as(&world, &connection, &["--json", "sync"]).json();
    // An open transaction is found although the two numbers of the database differ.
    let mut writer = Control::connect(&parsed).await.expect("a session");
    sql(
        &mut writer,
        "BEGIN TRAN; UPDATE dbo.t SET n = 10 WHERE id = 1",
    )
    .await;
    azure.engine.age_transactions("source", 30);
    let report = run_as(&world, &connection, &["--json", "sync"]).json();
    has(&report["warnings"], &["open for 30 minutes"]);
    sql(&mut writer, "COMMIT").await;
    let report = run_as(&world, &connection, &["--json", "sync"]).json();
    assert_eq!(
        report["tables"][0]["extract"]["rows_read"],
        json!(1),
        "{report:#}"
    );
    assert_eq!(rows(&mut source, ROWS).await, world.target_rows(ROWS).await);
}
