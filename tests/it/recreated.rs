//! Targets that are not what the last load left: dropped, recreated, emptied, with rows or keys of their own, without
//! rows in the lake, or without the permission to write. A load says so, and its target is right afterwards.

use crate::harness::{Run, World, finish, rows, server, sql};
use icesync_sandbox::tds::Fault;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const ORDERS: &str =
    "CREATE TABLE dbo.orders (id int NOT NULL PRIMARY KEY, name nvarchar(20) NULL, rv rowversion)";
/// A target that others have made.
const TARGET: &str = "CREATE TABLE dbo.orders (id int NOT NULL PRIMARY KEY, name nvarchar(20) NULL, rv binary(8) NULL)";
const ROWS: &str = "SELECT id, name FROM dbo.orders ORDER BY id";
const PLAIN: &str = "  - source: dbo.orders\n";
const HISTORY: &str =
    "  - source: dbo.orders\n    kind: history\n    change: { strategy: rowversion }\n";
const APPEND: &str = "  - source: dbo.orders\n    merge: { mode: append }\n";

/// A hundred rows at the source.
async fn world(config: &str) -> World {
    let mut world = World::new(ORDERS).await;
    let rows: Vec<String> = (0..100).map(|id| format!("({id}, N'first')")).collect();
    let insert = format!("INSERT dbo.orders (id, name) VALUES {}", rows.join(", "));
    world.source(&insert).await;
    world.config(config);
    world
}

/// As [`world`], and loaded.
async fn loaded(config: &str) -> World {
    let world = world(config).await;
    let first = world.run(&["--json", "sync"]).json();
    assert_eq!(load(&first)["kind"], json!("first"));
    assert_eq!(load(&first)["warnings"], json!([]));
    world
}

fn load(report: &Value) -> &Value {
    &report["tables"][0]["load"]
}

fn counts(report: &Value) -> [i64; 4] {
    ["inserted", "updated", "deleted", "unchanged"]
        .map(|name| load(report)[name].as_i64().expect("a count"))
}

fn warns(report: &Value, texts: &[&str]) {
    let warnings = load(report)["warnings"].to_string();
    for text in texts {
        assert!(warnings.contains(text), "missing {text:?} in {warnings}");
    }
}

async fn change(world: &mut World) {
    world
        .source("UPDATE dbo.orders SET name = N'second' WHERE id = 7")
        .await;
}

async fn assert_equal(world: &mut World) {
    assert_eq!(world.source_rows(ROWS).await, world.target_rows(ROWS).await);
}

/// The target's side of `status`, as JSON and as text.
fn status(world: &World) -> (Value, String) {
    let json = world.run(&["--json", "status"]).json();
    let text = world.run(&["status"]).stdout;
    (json["tables"][0]["target"].clone(), text)
}

fn stands(world: &World, standing: &str, behind: u64, texts: &[&str]) {
    let (json, text) = status(world);
    assert_eq!(json["standing"], json!(standing), "{json:#}");
    assert_eq!(json["snapshots_behind"], json!(behind), "{json:#}");
    for part in texts {
        assert!(text.contains(part), "missing {part:?} in {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_target_is_loaded_with_the_whole_snapshot() {
    for config in [
        PLAIN,
        HISTORY,
        "  - source: dbo.orders\n    merge: { mode: replace }\n",
        "  - source: dbo.orders\n    merge: { statement: update_insert }\n",
    ] {
        let mut world = loaded(config).await;
        world.target("DROP TABLE dbo.orders").await;
        stands(&world, "missing", 1, &["missing although snapshot 1"]);
        if config != HISTORY {
            change(&mut world).await;
        }
        let again = world.run(&["--json", "sync"]).json();
        assert_eq!(load(&again)["kind"], json!("first"), "{again:#}");
        assert_eq!(load(&again)["created_target"], json!(true));
        assert_eq!(counts(&again), [100, 0, 0, 0]);
        warns(&again, &["dbo.orders is missing although snapshot 1"]);
        assert_equal(&mut world).await;
        stands(&world, "loaded", 0, &["0 snapshots behind"]);
        let nothing = world.run(&["--json", "load"]).json();
        assert_eq!(load(&nothing)["kind"], json!("nothing"));
        assert_eq!(load(&nothing)["warnings"], json!([]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_target_is_not_already_loaded() {
    let mut world = loaded(PLAIN).await;
    world.target("DROP TABLE dbo.orders").await;
    let text = world.run(&["load"]);
    assert_eq!(text.code, 0, "{text:#?}");
    assert!(text.stdout.contains("table created"), "{text:#?}");
    assert!(!text.stdout.contains("nothing to do"), "{text:#?}");
    assert_equal(&mut world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recreated_target_is_compared_with_the_whole_snapshot() {
    for mode in ["upsert", "replace"] {
        let config = format!("  - source: dbo.orders\n    merge: {{ mode: {mode} }}\n");
        let mut world = loaded(&config).await;
        world.target("DROP TABLE dbo.orders").await;
        world.target(TARGET).await;
        world
            .target("INSERT dbo.orders (id, name) VALUES (7, N'other'), (9, N'first'), (1000, N'theirs')")
            .await;
        stands(&world, "recreated", 1, &["recreated after snapshot 1"]);
        change(&mut world).await;
        let again = world.run(&["--json", "sync"]).json();
        warns(&again, &["dbo.orders was recreated after snapshot 1"]);
        let own = "SELECT COUNT(*) FROM dbo.orders WHERE id = 1000";
        match mode {
            "upsert" => {
                assert_eq!(load(&again)["kind"], json!("whole"));
                warns(
                    &again,
                    &["1 row that target dbo.orders has", "mode: replace"],
                );
                assert_eq!(world.target_rows(own).await, [["Int(1)"]]);
                world.target("DELETE dbo.orders WHERE id = 1000").await;
            }
            _ => assert_eq!(load(&again)["kind"], json!("replace")),
        }
        assert_equal(&mut world).await;
        stands(&world, "loaded", 0, &[]);
        // It is known from now on.
        world
            .source("UPDATE dbo.orders SET name = N'third' WHERE id = 9")
            .await;
        let next = world.run(&["--json", "sync"]).json();
        let kind = if mode == "upsert" { "delta" } else { "replace" };
        assert_eq!(load(&next)["kind"], json!(kind));
        assert_eq!(load(&next)["warnings"], json!([]));
        assert_equal(&mut world).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recreated_target_is_appended_to_only_when_it_is_empty() {
    for config in [APPEND, HISTORY] {
        let mut world = loaded(config).await;
        world.target("DROP TABLE dbo.orders").await;
        world.target(TARGET).await;
        world
            .target("INSERT dbo.orders (id, name) VALUES (1000, N'theirs')")
            .await;
        change(&mut world).await;
        world.run(&["sync"]).fails_with(
            1,
            &[
                "dbo.orders",
                "only to an empty table",
                "TRUNCATE TABLE [dbo].[orders]",
                "load --full",
            ],
        );
        assert_eq!(world.target_rows(ROWS).await.len(), 1);
        world.target("TRUNCATE TABLE dbo.orders").await;
        if config == HISTORY {
            // It takes two versions of a key.
            world.target("DROP TABLE dbo.orders").await;
        }
        let again = world.run(&["--json", "load"]).json();
        if config == APPEND {
            warns(&again, &["recreated", "takes an empty table"]);
        }
        let expected = if config == HISTORY { 101 } else { 100 };
        assert_eq!(counts(&again), [expected, 0, 0, 0]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_of_another_lake_table_is_named() {
    let mut world = loaded(PLAIN).await;
    world.config("  - source: dbo.orders\n    lake: dbo.other\n");
    world.run(&["--json", "extract"]).json();
    stands(
        &world,
        "other_lake_table",
        1,
        &["another lake table (dbo.orders)", "load --full"],
    );
    world
        .run(&["load"])
        .fails_with(1, &["dbo.orders", "another lake table", "load --full"]);
    change(&mut world).await;
    world.run(&["--json", "extract"]).json();
    let full = world.run(&["--json", "load", "--full"]).json();
    assert_eq!(load(&full)["kind"], json!("whole"));
    assert_eq!(counts(&full), [0, 1, 0, 99]);
    stands(&world, "loaded", 0, &[]);
    assert_equal(&mut world).await;
}

/// The load states of an older build, with a negative count as it could write one.
#[tokio::test(flavor = "multi_thread")]
async fn load_states_of_an_older_build_are_read_and_upgraded() {
    let newest = "merge_mode, pending_snapshot_id, pending_sequence_number, pending_rows, pending_applied, \
        pending_whole, loaded_columns";
    older_load_state("pending_whole").await;
    older_load_state(&format!("target_object_id, target_created, {newest}")).await;
    older_load_state(newest).await;
}

async fn older_load_state(lacks: &str) {
    let mut world = loaded(PLAIN).await;
    world
        .target(&format!(
            "ALTER TABLE icesync.load_state DROP COLUMN {lacks}"
        ))
        .await;
    world
        .target("UPDATE icesync.load_state SET unchanged = -5, updated = -1")
        .await;
    stands(&world, "loaded", 0, &[]);
    world.run(&["--json", "plan"]).json();
    let same = world.run(&["--json", "load"]).json();
    assert_eq!(load(&same)["kind"], json!("nothing"));
    change(&mut world).await;
    let next = world.run(&["--json", "sync"]).json();
    assert_eq!(load(&next)["kind"], json!("delta"));
    assert_eq!(counts(&next), [0, 1, 0, 0]);
    assert_equal(&mut world).await;
    let known = "SELECT COUNT(*) FROM icesync.load_state AS s JOIN sys.objects AS o ON o.object_id = \
        s.target_object_id AND CONVERT(nvarchar(30), o.create_date, 126) = s.target_created \
        WHERE o.object_id = OBJECT_ID(N'dbo.orders')";
    assert_eq!(world.target_rows(known).await, [["Int(1)"]]);
}

/// The column was made for a mode's name alone.
#[tokio::test(flavor = "multi_thread")]
async fn the_rule_of_a_load_fits_the_load_states_of_an_older_build() {
    let mut world = loaded(PLAIN).await;
    world
        .target("ALTER TABLE icesync.load_state ALTER COLUMN merge_mode nvarchar(10) NULL")
        .await;
    let soft = "merge: { deletes: { soft: { column: is_deleted, at: deleted_at } } }";
    world.config(&format!("{PLAIN}    {soft}\n"));
    world.run(&["--json", "load"]).json();
    let rule = world.target_rows("SELECT merge_mode FROM icesync.load_state");
    let rule = rule.await;
    assert!(rule[0][0].contains("is_deleted"), "{rule:?}");
    change(&mut world).await;
    let next = world.run(&["--json", "sync"]).json();
    assert_eq!(load(&next)["kind"], json!("delta"));
    assert_equal(&mut world).await;
}

/// It may have rows that this build cannot go on from.
#[tokio::test(flavor = "multi_thread")]
async fn the_load_state_of_a_newer_build_is_refused() {
    let mut world = loaded(PLAIN).await;
    world
        .target("UPDATE icesync.load_state SET merge_mode = N'upsert {\"order\":\"newest\"}'")
        .await;
    change(&mut world).await;
    world.run(&["--json", "extract"]).json();
    world
        .run(&["load"])
        .fails_with(1, &["dbo.orders", "a newer icesync"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_the_target_has_twice_is_refused_and_named() {
    for statement in ["merge", "update_insert"] {
        let config = format!("  - source: dbo.orders\n    merge: {{ statement: {statement} }}\n");
        let mut world = world(&config).await;
        world
            .target("CREATE TABLE dbo.orders (id int NOT NULL, name nvarchar(20) NULL, rv binary(8) NULL)")
            .await;
        world.run(&["--json", "sync"]).json();
        world
            .target("INSERT dbo.orders (id, name) VALUES (7, N'again')")
            .await;
        change(&mut world).await;
        for args in [
            &["sync", "--show-values"][..],
            &["load", "--full", "--show-values"],
        ] {
            world.run(args).fails_with(
                1,
                &[
                    "dbo.orders has more than one row with the key (7)",
                    "unique index",
                ],
            );
        }
        let untouched = world.target_rows("SELECT name FROM dbo.orders WHERE id = 7 ORDER BY name");
        assert_eq!(untouched.await, [["Text(\"again\")"], ["Text(\"first\")"]]);
        // A key that no row of the load has is not looked at.
        world
            .target("UPDATE dbo.orders SET id = 8 WHERE name = N'again'")
            .await;
        let next = world.run(&["--json", "load"]).json();
        assert_eq!(counts(&next), [0, 1, 0, 0]);
        world
            .target("DELETE dbo.orders WHERE name = N'again'")
            .await;
        let full = world.run(&["--json", "load", "--full"]).json();
        assert_eq!(counts(&full), [0, 0, 0, 100]);
        assert_equal(&mut world).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_load_appends_nothing_twice() {
    for (config, other) in [(APPEND, "mode: replace"), (HISTORY, "load --full")] {
        let mut world = loaded(config).await;
        world
            .run(&["load", "--full"])
            .fails_with(1, &["dbo.orders", "TRUNCATE TABLE [dbo].[orders]", other]);
        assert_eq!(world.target_rows(ROWS).await.len(), 100);
        world.target("TRUNCATE TABLE dbo.orders").await;
        let text = world.run(&["load", "--full"]);
        assert!(text.stdout.contains("100 inserted"), "{text:#?}");
        assert!(!text.stdout.contains("nothing to do"), "{text:#?}");
        assert_equal(&mut world).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_load_appends_only_to_an_empty_table() {
    let mut world = world(APPEND).await;
    world.target(TARGET).await;
    world
        .target("INSERT dbo.orders (id, name) VALUES (1000, N'theirs')")
        .await;
    world
        .run(&["sync"])
        .fails_with(1, &["dbo.orders has rows", "TRUNCATE TABLE", "load --full"]);
    world.target("TRUNCATE TABLE dbo.orders").await;
    world.run(&["--json", "load"]).json();
    assert_equal(&mut world).await;
}

/// Rows that come after the load has looked are found by its transaction.
#[tokio::test(flavor = "multi_thread")]
async fn the_transaction_of_an_append_sees_rows_that_came_meanwhile() {
    let mut world = world(APPEND).await;
    world.target(TARGET).await;
    world.run(&["--json", "extract"]).json();
    let held = world.path("held");
    let mut command = world.command(&["load"]);
    let point = format!("{}:1={}", icesync::sync::FAIL_AFTER_STAGING, held.display());
    let child = command
        .env("ICESYNC_FAILPOINT", point)
        .spawn()
        .expect("starts");
    wait_until(async || held.exists()).await;
    world
        .target("INSERT dbo.orders (id, name) VALUES (1000, N'theirs')")
        .await;
    std::fs::remove_file(&held).expect("removed");
    finish(child).fails_with(1, &["dbo.orders has rows", "TRUNCATE TABLE"]);
    assert_eq!(world.target_rows(ROWS).await.len(), 1);
}

/// A state that appears while a first load is staging is not overwritten.
#[tokio::test(flavor = "multi_thread")]
async fn a_first_load_whose_state_was_moved_applies_nothing() {
    let mut world = world(PLAIN).await;
    world.target(TARGET).await;
    world.run(&["--json", "extract"]).json();
    let held = world.path("held");
    let mut command = world.command(&["load"]);
    let point = format!("{}:1={}", icesync::sync::FAIL_AFTER_STAGING, held.display());
    let child = command
        .env("ICESYNC_FAILPOINT", point)
        .spawn()
        .expect("starts");
    wait_until(async || held.exists()).await;
    world
        .target("INSERT icesync.load_state (target, lake_table, table_uuid, snapshot_id, sequence_number, run_id, \
            loaded_at, inserted, updated, deleted, unchanged) VALUES (N'dbo.orders', N'dbo.orders', N'', 1, 1, N'', \
            SYSUTCDATETIME(), 0, 0, 0, 0)")
        .await;
    std::fs::remove_file(&held).expect("removed");
    finish(child).fails_with(1, &["dbo.orders", "has moved its state"]);
    assert_eq!(world.target_rows(ROWS).await.len(), 0);
}

/// A target that is recreated after the load has looked is not loaded with a delta: the load looks again.
#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_is_recreated_during_a_load_is_loaded_whole() {
    let mut world = loaded(PLAIN).await;
    change(&mut world).await;
    world.run(&["--json", "extract"]).json();
    let held = world.path("held");
    let mut command = world.command(&["--json", "load"]);
    let point = format!("{}:1={}", icesync::sync::FAIL_AFTER_STAGING, held.display());
    let child = command
        .env("ICESYNC_FAILPOINT", point)
        .spawn()
        .expect("starts");
    wait_until(async || held.exists()).await;
    world.target("DROP TABLE dbo.orders").await;
    world.target(TARGET).await;
    std::fs::remove_file(&held).expect("removed");
    let done = finish(child).json();
    assert_eq!(load(&done)["kind"], json!("whole"));
    assert_eq!(counts(&done), [100, 0, 0, 0]);
    assert_equal(&mut world).await;
}

async fn wait_until(mut is_so: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !is_so().await {
        assert!(Instant::now() < deadline, "it does not happen");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn first_loads_of_two_targets_do_not_wait_for_each_other() {
    let table = |name: &str| {
        format!("CREATE TABLE dbo.{name} (id int NOT NULL PRIMARY KEY, n int NULL, rv rowversion)")
    };
    let mut world = World::new(&["a", "b", "c"].map(table).join("\nGO\n")).await;
    let entries = ["a", "b", "c"].map(|name| format!("  - source: dbo.{name}\n"));
    world.config(&entries.concat());
    for name in ["a", "b", "c"] {
        world
            .source(&format!("INSERT dbo.{name} (id, n) VALUES (1, 1), (2, 2)"))
            .await;
        let target = table(name).replace("rowversion", "binary(8) NULL");
        world.target(&target).await;
    }
    world.run(&["--json", "extract"]).json();
    // Makes the table of load states.
    world.run(&["--json", "load", "--table", "dbo.c"]).json();
    let mut holder = server().connect(&world.target_db).await;
    sql(&mut holder, "BEGIN TRANSACTION").await;
    sql(
        &mut holder,
        "SELECT TOP (1) 1 FROM dbo.a WITH (TABLOCK, HOLDLOCK)",
    )
    .await;
    let held = world.spawn(&["--json", "load", "--table", "dbo.a"]);
    // Its transaction is open: it has moved the load state, and waits for the table.
    let states = "SELECT COUNT(*) FROM icesync.load_state WITH (NOLOCK)";
    let mut looker = server().connect(&world.target_db).await;
    wait_until(async || rows(&mut looker, states).await == [["Int(2)"]]).await;
    let clock = Instant::now();
    let other = world.run(&["--json", "load", "--table", "dbo.b"]).json();
    assert_eq!(load(&other)["inserted"], json!(2));
    assert!(
        clock.elapsed() < Duration::from_secs(20),
        "it waited {:?}",
        clock.elapsed()
    );
    sql(&mut holder, "COMMIT TRANSACTION").await;
    assert_eq!(load(&finish(held).json())["inserted"], json!(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_whose_reply_was_lost_has_succeeded() {
    let Some(faults) = server().faults() else {
        eprintln!("SKIPPED: replies of a real server cannot be dropped");
        return;
    };
    let setup = ORDERS.replace("orders", "lost_reply");
    let mut world = World::new(&setup).await;
    world.config("  - source: dbo.lost_reply\n");
    let rows = "SELECT id, name FROM dbo.lost_reply ORDER BY id";
    for (id, statement) in [
        "ALTER SCHEMA [dbo] TRANSFER [icesync]",
        "MERGE [dbo].[lost_reply]",
        "INSERT INTO [dbo].[lost_reply]",
    ]
    .into_iter()
    .enumerate()
    {
        if id == 2 {
            // An empty target that is there is loaded otherwise than a missing one.
            world.target("DROP TABLE dbo.lost_reply").await;
            world.target("DELETE icesync.load_state").await;
            let target = setup.replace("rv rowversion", "rv binary(8) NULL");
            world.target(&target).await;
        }
        world
            .source(&format!(
                "INSERT dbo.lost_reply (id, name) VALUES ({id}, N'x')"
            ))
            .await;
        let fired = faults.fired();
        faults.arm(Fault::DropAfter, statement, 1);
        let run = world.run(&["--json", "sync"]);
        assert!(faults.fired() > fired, "the reply was not dropped");
        let report = run.json();
        let inserted = if id == 2 { 3 } else { 1 };
        assert_eq!(load(&report)["inserted"], json!(inserted), "{report:#}");
        assert_eq!(world.source_rows(rows).await, world.target_rows(rows).await);
        let again = world.run(&["--json", "load"]).json();
        assert_eq!(load(&again)["kind"], json!("nothing"));
    }
}

/// A login that may read and write the target's rows, and owns schema icesync.
async fn loader(world: &mut World) -> String {
    let user = format!("loader_{}", world.target_db);
    let password = "Loader 1 for tests!";
    for statement in [
        format!("CREATE LOGIN [{user}] WITH PASSWORD = N'{password}', CHECK_POLICY = OFF"),
        format!("CREATE USER [{user}] FOR LOGIN [{user}]"),
        format!("ALTER ROLE db_datareader ADD MEMBER [{user}]"),
        format!("ALTER ROLE db_datawriter ADD MEMBER [{user}]"),
        format!("GRANT CREATE TABLE TO [{user}]"),
        "CREATE SCHEMA icesync".to_owned(),
        format!("GRANT ALTER ON SCHEMA::icesync TO [{user}]"),
    ] {
        world.target(&statement).await;
    }
    server().connection_as(&world.target_db, &user, password)
}

fn run_as(world: &World, connection: &str, args: &[&str]) -> Run {
    let mut command = world.command(args);
    command.env("ICESYNC_TARGET", connection);
    finish(command.spawn().expect("icesync starts"))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_identity_that_may_not_be_written_is_refused_before_anything_is_staged() {
    let mut world = World::new(
        "CREATE TABLE dbo.items (id int IDENTITY NOT NULL PRIMARY KEY, name nvarchar(20) NULL, rv rowversion)
GO
INSERT dbo.items (name) VALUES (N'one'), (N'two')",
    )
    .await;
    world.config("  - source: dbo.items\n");
    world
        .target("CREATE TABLE dbo.items (id int IDENTITY NOT NULL PRIMARY KEY, name nvarchar(20) NULL, rv binary(8) \
            NULL)")
        .await;
    let connection = loader(&mut world).await;
    world.run(&["--json", "extract"]).json();
    let held = icesync::sync::FAIL_AFTER_STAGING;
    let mut command = world.command(&["load"]);
    command
        .env("ICESYNC_TARGET", &connection)
        .env("ICESYNC_FAILPOINT", held);
    let grant = format!(
        "GRANT ALTER ON [dbo].[items] TO [loader_{}];",
        world.target_db
    );
    // The failpoint would end it without a message.
    finish(command.spawn().expect("icesync starts"))
        .fails_with(1, &["column id is an identity", &grant]);
    world.target(&grant).await;
    let loaded = run_as(&world, &connection, &["--json", "load"]).json();
    assert_eq!(load(&loaded)["inserted"], json!(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_source_has_an_empty_target() {
    for mode in ["upsert", "append", "replace"] {
        let mut world = World::new(ORDERS).await;
        world.config(&format!(
            "  - source: dbo.orders\n    merge: {{ mode: {mode} }}\n"
        ));
        let first = world.run(&["--json", "sync"]).json();
        assert_eq!(first["outcome"], json!("done"));
        assert_eq!(load(&first)["kind"], json!("prepare"));
        assert_eq!(load(&first)["created_target"], json!(true));
        assert_eq!(world.target_rows(ROWS).await.len(), 0);
        stands(&world, "nothing_loaded", 0, &["nothing loaded yet"]);
        let again = world.run(&["--json", "sync"]).json();
        assert_eq!(again["outcome"], json!("unchanged"), "{again:#}");

        // Its columns follow, and it is created again.
        world
            .source("ALTER TABLE dbo.orders ADD amount int NULL")
            .await;
        let wider = world.run(&["--json", "sync"]).json();
        assert_eq!(
            load(&wider)["schema_changes"][0]["change"],
            json!("added"),
            "{wider:#}"
        );
        world.target("SELECT amount FROM dbo.orders").await;
        world.target("DROP TABLE dbo.orders").await;
        stands(&world, "missing", 0, &["does not exist yet"]);
        let text = world.run(&["sync"]);
        assert!(text.stdout.contains("empty table created"), "{text:#?}");

        world
            .source("ALTER TABLE dbo.orders ADD note nvarchar(10) NULL")
            .await;
        world
            .source("INSERT dbo.orders (id, name, amount, note) VALUES (1, N'a', 2, N'b')")
            .await;
        let rows = world.run(&["--json", "sync"]).json();
        assert_eq!(load(&rows)["kind"], json!("first"), "{rows:#}");
        assert_eq!(load(&rows)["from_snapshot"], Value::Null);
        let all = "SELECT id, name, amount, note FROM dbo.orders";
        assert_eq!(world.source_rows(all).await, world.target_rows(all).await);
        stands(&world, "loaded", 0, &[]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_source_leaves_a_table_of_others_alone() {
    let mut world = World::new(ORDERS).await;
    world.config(PLAIN);
    world
        .target("CREATE TABLE dbo.orders (id int NOT NULL PRIMARY KEY, theirs int NULL)")
        .await;
    let report = world.run(&["--json", "sync"]).json();
    assert_eq!(load(&report)["kind"], json!("nothing"));
    let columns = "SELECT name FROM sys.columns WHERE object_id = OBJECT_ID(N'dbo.orders') ORDER BY column_id";
    assert_eq!(
        world.target_rows(columns).await,
        [["Text(\"id\")"], ["Text(\"theirs\")"]]
    );
}
