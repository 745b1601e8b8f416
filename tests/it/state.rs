//! `icesync state`: what is remembered of a table is shown, checked, mended, reset, forgotten and put back from a file;
//! and loads go on in a target that was restored.

use crate::harness::{PASSWORD, World, finish};
use crate::loaded::{assert_equal, expire, load, metadata, publish, tags, update, world};
use icesync::sync::FAIL_BETWEEN_STEPS;
use serde_json::{Value, json};
use std::net::TcpListener;

const TABLE: [&str; 2] = ["--table", "dbo.orders"];
const STATES: &str = "SELECT target, snapshot_id, sequence_number, run_id, CONVERT(nvarchar(30), loaded_at, 126), \
    target_object_id, target_created FROM icesync.load_state ORDER BY target";

fn with<'a>(first: &[&'a str], second: &[&'a str]) -> Vec<&'a str> {
    first.iter().chain(second).copied().collect()
}

/// What `state verify` finds, as messages and remedies; its exit code must say so.
fn findings(world: &World) -> Vec<String> {
    let run = world.run(&["--json", "state", "verify"]);
    let found = run.json_any()["tables"][0]["findings"].clone();
    let found = found.as_array().expect("findings").clone();
    let is_alarming = found.iter().any(|one| one["severity"] != json!("info"));
    assert_eq!(run.code, i32::from(is_alarming), "{run:#?}");
    let line = |one: &Value| format!("{} {}", one["message"], one["remedy"]);
    found.iter().map(line).collect()
}

#[track_caller]
fn has(texts: &[String], parts: &[&str]) {
    let is_one = |text: &String| parts.iter().all(|part| text.contains(part));
    assert!(texts.iter().any(is_one), "missing {parts:?} in {texts:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_healthy_table_is_shown_and_verified() {
    let mut world = world("").await;
    world.run(&["--json", "sync"]).json();
    update(&mut world, "second", 20).await;
    world.run(&["--json", "sync"]).json();
    let version = metadata(&world).0;
    let shown = world.run(&["--json", "state", "show"]).json();
    let (lake, target) = (&shown["tables"][0]["lake"], &shown["tables"][0]["target"]);
    assert_eq!(lake["checkpoint"]["strategy"], json!("rowversion"));
    assert_eq!(lake["checkpoint"]["watermark"]["column"], json!("rv"));
    assert_eq!(lake["checkpoint_sequence_number"], json!(2));
    assert_eq!(lake["tags"].as_array().map(Vec::len), Some(2));
    assert_eq!(target["loaded"]["sequence_number"], json!(2));
    assert_eq!(target["loaded"]["table_uuid"], lake["uuid"]);
    assert_eq!(target["is_same_table"], json!(true));
    assert_eq!(target["is_loading"], json!(false));
    assert_eq!(target["staging_tables"], json!([]));
    assert_eq!(shown["unconfigured"], json!([]));
    let text = world.run(&with(&["state", "show"], &TABLE));
    assert_eq!(text.code, 0, "{text:#?}");
    for part in [
        "rowversion, rv up to 0x",
        "snapshot 2 (id ",
        "dbo.orders is the table that was loaded",
        "icesync-loaded-",
        "icesync-loading-",
    ] {
        assert!(text.stdout.contains(part), "missing {part:?} in {text:#?}");
    }
    let verified = world.run(&["--json", "state", "verify"]).json();
    let table = &verified["tables"][0];
    assert_eq!(table["findings"], json!([]), "{verified:#}");
    assert_eq!(table["lake_rows"], json!(300));
    assert_eq!(table["target_rows"], json!(300));
    let text = world.run(&["state", "verify"]);
    assert!(text.stdout.contains("all right"), "{text:#?}");
    let nothing = world.run(&["state", "repair"]);
    assert_eq!(nothing.code, 0, "{nothing:#?}");
    assert!(nothing.stdout.contains("nothing to mend"), "{nothing:#?}");
    assert_eq!(metadata(&world).0, version);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_side_is_shown_when_the_other_cannot_be_read() {
    let world = world("").await;
    world.run(&["--json", "sync"]).json();
    let free = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = free.local_addr().expect("an address").port();
    drop(free);
    let nobody = format!("Server=127.0.0.1,{port};User ID=sa;Password=x;Encrypt=false;Database=d");
    for (command, parts) in [
        (
            "show",
            [
                "rowversion, rv up to",
                "target      dbo.orders cannot be read",
            ],
        ),
        (
            "verify",
            ["error    target dbo.orders cannot be read", "127.0.0.1"],
        ),
    ] {
        let mut run = world.command(&["state", command]);
        run.env("ICESYNC_TARGET", &nobody);
        finish(run.spawn().expect("icesync starts")).fails_with(1, &parts);
    }
    let (version, _) = metadata(&world);
    let newest = world
        .lake("dbo", "orders")
        .join(format!("metadata/v{version}.metadata.json"));
    std::fs::write(newest, "{").expect("written");
    world.run(&["state", "show"]).fails_with(
        1,
        &[
            "lake        dbo.orders cannot be read",
            "loaded      snapshot 1",
        ],
    );
    world
        .run(&["state", "verify"])
        .fails_with(1, &["error    lake table dbo.orders cannot be read"]);
    world
        .run(&["state", "export"])
        .fails_with(1, &["dbo.orders"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_loses_no_information_is_repaired() {
    let mut world = world("").await;
    world.run(&["--json", "sync"]).json();
    publish(&world, |metadata| {
        let refs = metadata["refs"].as_object_mut().expect("references");
        refs.retain(|name, _| name == "main");
    });
    has(
        &findings(&world),
        &[
            "no tag protects snapshot 1",
            "icesync state repair --table dbo.orders",
        ],
    );
    // What a load of this target calls its staging tables.
    world
        .target("CREATE TABLE icesync.stg_2b1a2cd364a6e8ff_dead (id int NULL)")
        .await;
    let (version, _) = metadata(&world);
    let hint = world
        .lake("dbo", "orders")
        .join("metadata/version-hint.text");
    std::fs::write(&hint, "1").expect("written");
    let found = findings(&world);
    has(&found, &["version-hint.text", "state repair"]);
    has(&found, &["1 staging table", "state repair"]);
    let text = world.run(&["state", "show"]);
    let staging = "icesync.stg_2b1a2cd364a6e8ff_dead, left by a load that died";
    assert!(text.stdout.contains(staging), "{text:#?}");

    let repaired = world.run(&["--json", "state", "repair"]).json();
    let table = &repaired["tables"][0];
    assert_eq!(table["done"].as_array().map(Vec::len), Some(3), "{table:#}");
    assert_eq!(table["left"], json!([]));
    let newest = std::fs::read_to_string(hint).expect("a hint");
    assert_eq!(newest, (version + 1).to_string());
    assert_eq!(tags(&world).into_values().collect::<Vec<_>>(), [1]);
    let left = "SELECT COUNT(*) FROM sys.tables WHERE name LIKE N'stg[_]%'";
    assert_eq!(world.target_rows(left).await, [["Int(0)"]]);
    assert!(findings(&world).is_empty());
}

/// Puts a copy in the place of the target.
async fn replace_target(world: &mut World) {
    for statement in [
        "CREATE TABLE dbo.copied (id int NOT NULL PRIMARY KEY, name nvarchar(20) NULL, rv binary(8) NULL)",
        "INSERT dbo.copied (id, name, rv) SELECT id, name, rv FROM dbo.orders",
        "DROP TABLE dbo.orders",
        "EXEC sp_rename @objname = N'dbo.copied', @newname = N'orders'",
    ] {
        world.target(statement).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_state_whose_snapshot_has_expired_is_not_adopted() {
    let mut world = world("").await;
    world.run(&["--json", "sync"]).json();
    replace_target(&mut world).await;
    update(&mut world, "second", 20).await;
    world.run(&["--json", "extract"]).json();
    publish(&world, |metadata| {
        let refs = metadata["refs"].as_object_mut().expect("references");
        refs.retain(|name, _| name == "main");
    });
    expire(&world);
    let found = findings(&world);
    has(
        &found,
        &["recreated after snapshot 1", "compares the whole snapshot"],
    );
    assert!(
        !found.iter().any(|text| text.contains("--adopt")),
        "{found:#?}"
    );
    let states = world.target_rows(STATES).await;
    world.run(&["state", "repair", "--adopt"]).fails_with(
        1,
        &[
            "still names the table that was loaded",
            "is not in lake table dbo.orders",
        ],
    );
    assert_eq!(world.target_rows(STATES).await, states);
    let next = world.run(&["--json", "load"]).json();
    assert_eq!(load(&next)["kind"], json!("whole"), "{next:#}");
    assert_eq!(load(&next)["updated"], json!(20));
    assert_equal(&mut world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_was_replaced_is_adopted_only_when_it_is_asked_for() {
    let mut world = world("").await;
    world.run(&["--json", "sync"]).json();
    replace_target(&mut world).await;
    has(
        &findings(&world),
        &["recreated after snapshot 1", "state repair --adopt"],
    );
    let states = world.target_rows(STATES).await;
    world
        .run(&["state", "repair"])
        .fails_with(1, &["recreated after snapshot 1", "--adopt"]);
    assert_eq!(world.target_rows(STATES).await, states);
    let adopted = world.run(&["state", "repair", "--adopt"]);
    assert_eq!(adopted.code, 0, "{adopted:#?}");
    assert!(
        adopted.stdout.contains("loads go on from snapshot 1"),
        "{adopted:#?}"
    );
    assert!(findings(&world).is_empty());
    update(&mut world, "second", 20).await;
    let next = world.run(&["--json", "sync"]).json();
    assert_eq!(load(&next)["kind"], json!("delta"), "{next:#}");
    assert_eq!(load(&next)["warnings"], json!([]));
    assert_equal(&mut world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_reset_of_the_checkpoint_everything_is_read_and_compared() {
    let mut world = world("").await;
    world.run(&["--json", "sync"]).json();
    let version = metadata(&world).0;
    let reset = with(&["state", "reset"], &TABLE);
    world.run(&reset).fails_with(
        2,
        &["the next extract reads all of dbo.orders", "add --yes"],
    );
    world
        .run(&["state", "reset", "--yes"])
        .fails_with(2, &["--table", "--all"]);
    world
        .run(&["state", "reset", "--table", "dbo.unknown", "--yes"])
        .fails_with(2, &["dbo.unknown"]);
    assert_eq!(metadata(&world).0, version);
    let done = world.run(&with(&reset, &["--yes"]));
    assert_eq!(done.code, 0, "{done:#?}");
    let shown = world.run(&["--json", "state", "show"]).json();
    let checkpoint = &shown["tables"][0]["lake"]["checkpoint"];
    assert_eq!(checkpoint["watermark"], Value::Null, "{shown:#}");
    // No rowversion tells of a row that is gone.
    world.source("DELETE dbo.orders WHERE id = 299").await;
    update(&mut world, "second", 20).await;
    let next = world.run(&["--json", "sync"]).json();
    let extract = &next["tables"][0]["extract"];
    assert_eq!(extract["full_read"], json!(true), "{next:#}");
    assert_eq!(extract["inserted"], json!(0));
    assert_eq!(extract["updated"], json!(20));
    assert_eq!(extract["deleted"], json!(1));
    assert_equal(&mut world).await;
    update(&mut world, "third", 5).await;
    let next = world.run(&["--json", "sync"]).json();
    let extract = &next["tables"][0]["extract"];
    assert_eq!(extract["full_read"], json!(false), "{next:#}");
    assert_equal(&mut world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_that_cannot_be_read_is_reset() {
    let mut world = world("").await;
    world.run(&["--json", "sync"]).json();
    publish(&world, |metadata| {
        metadata["properties"]["icesync.checkpoint"] = json!("{");
    });
    world
        .run(&["extract"])
        .fails_with(1, &["icesync.checkpoint"]);
    has(
        &findings(&world),
        &[
            "checkpoint of lake table dbo.orders cannot be read",
            "state reset --yes",
        ],
    );
    world
        .run(&["state", "show"])
        .fails_with(1, &["cannot be read", "loaded      snapshot 1"]);
    let reset = with(&["state", "reset", "--yes"], &TABLE);
    assert_eq!(world.run(&reset).code, 0);
    update(&mut world, "second", 20).await;
    world.run(&["--json", "sync"]).json();
    assert!(findings(&world).is_empty());
    assert_equal(&mut world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_reset_of_the_load_state_the_whole_snapshot_is_compared() {
    let mut world = world("").await;
    world.run(&["--json", "sync"]).json();
    let states = world.target_rows(STATES).await;
    let reset = with(&["state", "reset", "--target"], &TABLE);
    world
        .run(&reset)
        .fails_with(2, &["compares the whole snapshot", "add --yes"]);
    assert_eq!(world.target_rows(STATES).await, states);
    let done = world.run(&with(&reset, &["--yes"]));
    assert_eq!(done.code, 0, "{done:#?}");
    assert!(world.target_rows(STATES).await.is_empty());
    let again = world.run(&with(&reset, &["--yes"]));
    assert!(again.stdout.contains("nothing to change"), "{again:#?}");
    update(&mut world, "second", 20).await;
    let next = world.run(&["--json", "sync"]).json();
    assert_eq!(load(&next)["kind"], json!("first"), "{next:#}");
    assert_eq!(load(&next)["updated"], json!(20));
    assert_eq!(load(&next)["unchanged"], json!(280));
    assert_equal(&mut world).await;
    assert!(findings(&world).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_is_gone_no_longer_keeps_snapshots() {
    let mut world = world("").await;
    world.run(&["--json", "sync"]).json();
    world.config("  - source: dbo.orders\n    target: dbo.other\n");
    world.run(&["--json", "load"]).json();
    let shown = world.run(&["--json", "state", "show"]).json();
    assert_eq!(shown["unconfigured"][0]["target"], json!("dbo.orders"));
    assert_eq!(shown["unconfigured"][0]["sequence_number"], json!(1));
    let (before, states) = (tags(&world), world.target_rows(STATES).await);
    let forget = ["state", "forget", "--target", "dbo.orders"];
    world.run(&forget).fails_with(
        2,
        &[
            "remove the load state of target dbo.orders",
            "remove tag",
            "add --yes",
        ],
    );
    world
        .run(&["state", "forget", "--target", "dbo.other", "--yes"])
        .fails_with(2, &["state reset --target"]);
    assert_eq!(tags(&world), before);
    assert_eq!(world.target_rows(STATES).await, states);

    let done = world.run(&with(&forget, &["--yes"]));
    assert_eq!(done.code, 0, "{done:#?}");
    assert_eq!(world.target_rows(STATES).await.len(), 1);
    let left: Vec<String> = tags(&world).into_keys().collect();
    let [other] = left.as_slice() else {
        panic!("{left:?}");
    };
    assert!(other.ends_with(".dbo.other"), "{other}");
    world
        .run(&with(&forget, &["--yes"]))
        .fails_with(1, &["nothing is remembered of target dbo.orders"]);

    // By the name of a tag, for a database that is gone.
    let tag = ["state", "forget", "--table", "dbo.orders", "--tag"];
    world
        .run(&with(&tag, &["icesync-loaded-unknown", "--yes"]))
        .fails_with(1, &["icesync-loaded-unknown", other]);
    world
        .run(&with(&tag, &[other]))
        .fails_with(2, &["add --yes"]);
    assert_eq!(tags(&world).len(), 1);
    assert_eq!(world.run(&with(&tag, &[other, "--yes"])).code, 0);
    assert!(tags(&world).is_empty());
    // The next load of a target that is there after all protects it again.
    world.run(&["--json", "load"]).json();
    assert_eq!(tags(&world).len(), 1);
}

/// An export without what an import renews.
fn exported(world: &World) -> Value {
    let mut file = world.run(&["state", "export"]).json();
    for table in file["tables"].as_array_mut().expect("tables") {
        table["checkpoint"]["run_id"] = Value::Null;
    }
    file["exported_at"] = Value::Null;
    file
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exported_state_is_put_back_after_a_reset() {
    let mut world = world("").await;
    world.run(&["--json", "sync"]).json();
    update(&mut world, "second", 20).await;
    world.run(&["--json", "sync"]).json();
    let before = exported(&world);
    let states = world.target_rows(STATES).await;
    let written = world.run(&["state", "export", "--file", "state.json"]);
    assert_eq!(
        (written.code, written.stdout.as_str()),
        (0, ""),
        "{written:#?}"
    );
    let text = std::fs::read_to_string(world.path("state.json")).expect("a file");
    assert!(
        !text.contains(PASSWORD) && !text.contains("second"),
        "{text}"
    );
    for side in [&[][..], &["--target"]] {
        let reset = with(&["state", "reset", "--all", "--yes"], side);
        assert_eq!(world.run(&reset).code, 0);
        let import = with(&["state", "import", "--all", "--file", "state.json"], side);
        world.run(&import).fails_with(2, &["add --yes"]);
        assert_ne!(exported(&world), before);
        let done = world.run(&with(&import, &["--yes"]));
        assert_eq!(done.code, 0, "{done:#?}");
        assert_eq!(exported(&world), before);
        let again = world.run(&with(&import, &["--yes"]));
        assert!(again.stdout.contains("nothing to change"), "{again:#?}");
    }
    assert_eq!(world.target_rows(STATES).await, states);
    assert!(findings(&world).is_empty());
    update(&mut world, "third", 10).await;
    let next = world.run(&["--json", "sync"]).json();
    let extract = &next["tables"][0]["extract"];
    assert_eq!(extract["full_read"], json!(false), "{next:#}");
    assert_eq!(load(&next)["kind"], json!("delta"));
    assert_eq!(load(&next)["updated"], json!(10));
    assert_equal(&mut world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_that_does_not_hold_is_not_put_back() {
    let mut world = world("").await;
    world.run(&["--json", "sync"]).json();
    let export = ["state", "export", "--file", "state.json"];
    assert_eq!(world.run(&export).code, 0);
    let import = ["state", "import", "--all", "--file", "state.json", "--yes"];
    let target = with(&import, &["--target"]);
    std::fs::write(world.path("other.json"), "{}").expect("written");
    world
        .run(&["state", "import", "--all", "--file", "other.json", "--yes"])
        .fails_with(2, &["other.json", "state export"]);
    world
        .run(&["state", "import", "--file", "state.json", "--yes"])
        .fails_with(2, &["--table", "--all"]);
    // The snapshot has expired.
    update(&mut world, "second", 20).await;
    world.run(&["--json", "sync"]).json();
    update(&mut world, "third", 20).await;
    world.run(&["--json", "sync"]).json();
    expire(&world);
    let states = world.target_rows(STATES).await;
    world
        .run(&import)
        .fails_with(1, &["is not in lake table dbo.orders", "state reset"]);
    world
        .run(&target)
        .fails_with(1, &["is not in lake table dbo.orders", "load --full"]);
    // Another lake table of the same name.
    std::fs::remove_dir_all(world.lake("dbo", "orders")).expect("removed");
    world.run(&["--json", "extract"]).json();
    let version = metadata(&world).0;
    for args in [&import[..], &target] {
        world.run(args).fails_with(1, &["uuid"]);
    }
    assert_eq!(metadata(&world).0, version);
    assert_eq!(world.target_rows(STATES).await, states);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_takes_no_checkpoint_that_a_run_has_gone_on_from() {
    let mut world = world("    kind: history\n    change: { strategy: rowversion }\n").await;
    world.run(&["--json", "extract"]).json();
    let export = ["state", "export", "--file", "state.json"];
    assert_eq!(world.run(&export).code, 0);
    let reset = ["state", "reset", "--all", "--yes"];
    let import = ["state", "import", "--all", "--file", "state.json", "--yes"];
    assert_eq!(world.run(&reset).code, 0);
    assert_eq!(world.run(&import).code, 0);
    update(&mut world, "second", 20).await;
    let next = world.run(&["--json", "extract"]).json();
    assert_eq!(next["tables"][0]["extract"]["inserted"], json!(20));
    world.run(&import).fails_with(1, &["twice", "state reset"]);
    // A reset repeats nothing.
    assert_eq!(world.run(&reset).code, 0);
    update(&mut world, "third", 10).await;
    let whole = world.run(&["--json", "extract"]).json();
    let extract = &whole["tables"][0]["extract"];
    assert_eq!(extract["full_read"], json!(true), "{whole:#}");
    assert_eq!(extract["inserted"], json!(10));
}

const EXPORT: [&str; 4] = ["state", "export", "--file", "state.json"];
const IMPORT_TARGET: [&str; 7] = [
    "state",
    "import",
    "--all",
    "--file",
    "state.json",
    "--target",
    "--yes",
];

/// A load dies after its first step.
fn die_between_steps(world: &World) {
    let mut load = world.command(&["load"]);
    load.env("ICESYNC_FAILPOINT", FAIL_BETWEEN_STEPS);
    let died = finish(load.spawn().expect("icesync starts"));
    assert_ne!(died.code, 0, "{died:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_state_that_the_target_has_stays() {
    let options = "    change: { strategy: full }\n    merge: { batch_rows: 1 }\n";
    let mut world = world(options).await;
    world.run(&["--json", "sync"]).json();
    assert_eq!(world.run(&EXPORT).code, 0);
    world
        .source("INSERT dbo.orders (id, name) VALUES (1000, N'a'), (1001, N'b'), (1002, N'c')")
        .await;
    world.run(&["--json", "extract"]).json();
    die_between_steps(&world);
    let unfinished = ["between two snapshots", "`icesync load` finishes it"];
    world.run(&IMPORT_TARGET).fails_with(1, &unfinished);
    world.run(&EXPORT).fails_with(1, &unfinished);
    // What the steps have inserted leaves the source. The next load goes on from the state, which knows of them.
    world.source("DELETE dbo.orders WHERE id >= 1000").await;
    world.run(&["--json", "sync"]).json();
    assert_equal(&mut world).await;

    let states = world.target_rows(STATES).await;
    let other = [
        "has a load state",
        "state reset --target",
        "snapshot 1, as the file says",
    ];
    world.run(&IMPORT_TARGET).fails_with(1, &other);
    assert_eq!(world.target_rows(STATES).await, states);
    // Where the state was removed after such a load, a tag tells of it.
    assert_eq!(world.run(&EXPORT).code, 0);
    update(&mut world, "second", 20).await;
    world.run(&["--json", "extract"]).json();
    die_between_steps(&world);
    let reset = ["state", "reset", "--all", "--target", "--yes"];
    assert_eq!(world.run(&reset).code, 0);
    let begun = ["a load of snapshot 4 has begun since", "icesync load"];
    world.run(&IMPORT_TARGET).fails_with(1, &begun);
    assert!(world.target_rows(STATES).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_state_is_put_back_with_its_mode_and_in_its_database() {
    let mut world = world("    merge: { mode: append }\n").await;
    world.run(&["--json", "sync"]).json();
    assert_eq!(world.run(&EXPORT).code, 0);
    let reset = ["state", "reset", "--all", "--target", "--yes"];
    assert_eq!(world.run(&reset).code, 0);
    let path = world.path("state.json");
    let text = std::fs::read_to_string(&path).expect("a file");
    let mut file: Value = serde_json::from_str(&text).expect("JSON");
    file["tables"][0]["target"]["database"]["database"] = json!("elsewhere");
    std::fs::write(&path, file.to_string()).expect("written");
    world
        .run(&IMPORT_TARGET)
        .fails_with(1, &["in database elsewhere of server", "icesync load"]);
    std::fs::write(&path, text).expect("written");
    let done = world.run(&IMPORT_TARGET);
    assert_eq!(done.code, 0, "{done:#?}");
    // Rows that were appended are not what an upsert goes on from.
    world.config("  - source: dbo.orders\n");
    update(&mut world, "second", 20).await;
    world.run(&["--json", "extract"]).json();
    world.run(&["load"]).fails_with(1, &["mode: append"]);
}

/// Puts rows and load state of a target back to the first snapshot, as a restore of the database does.
async fn restore(world: &mut World, snapshot: &str) {
    for statement in [
        "UPDATE dbo.orders SET name = N'first'".to_owned(),
        format!("UPDATE icesync.load_state SET snapshot_id = {snapshot}, sequence_number = 1"),
    ] {
        world.target(&statement).await;
    }
}

async fn loaded_snapshot(world: &mut World) -> String {
    let loaded = world
        .target_rows("SELECT CONVERT(nvarchar(20), snapshot_id) FROM icesync.load_state")
        .await;
    let text = loaded[0][0].trim_start_matches("Text(\"");
    text.trim_end_matches("\")").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_target_keeps_the_load_state_of_its_backup() {
    let mut world = world("").await;
    world.run(&["--json", "sync"]).json();
    let first = loaded_snapshot(&mut world).await;
    update(&mut world, "second", 20).await;
    world.run(&["--json", "sync"]).json();
    assert_eq!(world.run(&EXPORT).code, 0);
    restore(&mut world, &first).await;
    world.run(&IMPORT_TARGET).fails_with(
        1,
        &["has a load state", "snapshot 1 of lake table dbo.orders"],
    );
    let report = world.run(&["--json", "load"]).json();
    assert_eq!(load(&report)["updated"], json!(20), "{report:#}");
    assert_equal(&mut world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn loads_go_on_in_a_target_that_was_restored() {
    let mut world = world("").await;
    world.run(&["--json", "sync"]).json();
    let first = loaded_snapshot(&mut world).await;
    for name in ["second", "third"] {
        update(&mut world, name, 20).await;
        world.run(&["--json", "sync"]).json();
    }
    restore(&mut world, &first).await;
    let went_back = "went back to snapshot 1: snapshot 2 had been loaded";
    has(&findings(&world), &[went_back, "icesync load"]);
    let report = world.run(&["--json", "load"]).json();
    assert_eq!(load(&report)["kind"], json!("delta"), "{report:#}");
    assert_eq!(load(&report)["updated"], json!(20));
    let warnings = load(&report)["warnings"].to_string();
    assert!(warnings.contains(went_back), "{report:#}");
    assert!(warnings.contains("go on from snapshot 1"), "{report:#}");
    assert_equal(&mut world).await;
    let nothing = world.run(&["--json", "load"]).json();
    assert_eq!(load(&nothing)["warnings"], json!([]));

    // The commit of a sync moves the tag, so it tells before the load does.
    restore(&mut world, &first).await;
    update(&mut world, "fourth", 30).await;
    let report = world.run(&["--json", "sync"]).json();
    let warnings = report["tables"][0]["extract"]["warnings"].to_string();
    assert!(warnings.contains(went_back), "{report:#}");
    assert_eq!(load(&report)["updated"], json!(30), "{report:#}");
    assert_equal(&mut world).await;
    assert!(findings(&world).is_empty());

    // The snapshot of the backup has expired, once the commit of a sync has moved the tag from it.
    update(&mut world, "fifth", 40).await;
    world.run(&["--json", "sync"]).json();
    restore(&mut world, &first).await;
    expire(&world);
    let gone = "went back to snapshot 1: snapshot 4 had been loaded";
    world
        .run(&["load"])
        .fails_with(1, &[gone, "is no longer in lake table", "load --full"]);
    has(&findings(&world), &[gone, "load --full"]);
    world.run(&["--json", "load", "--full"]).json();
    assert_equal(&mut world).await;
}
