//! What a target has loaded stays in the lake, and loads go on whatever another engine does to the snapshots.

use crate::harness::{Run, World, finish, server};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

const ORDERS: &str =
    "CREATE TABLE dbo.orders (id int NOT NULL PRIMARY KEY, name nvarchar(20) NULL, rv rowversion)";

const ROWS: &str = "SELECT id, name FROM dbo.orders ORDER BY id";

/// Three hundred rows at the source.
pub async fn world(options: &str) -> World {
    let mut world = World::new(ORDERS).await;
    let rows: Vec<String> = (0..300).map(|id| format!("({id}, N'first')")).collect();
    let insert = format!("INSERT dbo.orders (id, name) VALUES {}", rows.join(", "));
    world.source(&insert).await;
    world.config(&format!("  - source: dbo.orders\n{options}"));
    world
}

/// Number and content of the lake table's newest metadata version.
pub fn metadata(world: &World) -> (u64, Value) {
    let folder = world.lake("dbo", "orders").join("metadata");
    let hint = std::fs::read_to_string(folder.join("version-hint.text")).expect("a hint");
    let text = std::fs::read_to_string(folder.join(format!("v{hint}.metadata.json")));
    let metadata = serde_json::from_str(&text.expect("metadata")).expect("JSON");
    (hint.parse().expect("a number"), metadata)
}

/// Publishes a metadata version, as another engine does it.
pub fn publish(world: &World, change: impl FnOnce(&mut Value)) {
    let (version, mut metadata) = metadata(world);
    change(&mut metadata);
    let folder = world.lake("dbo", "orders").join("metadata");
    let path = folder.join(format!("v{}.metadata.json", version + 1));
    std::fs::write(path, metadata.to_string()).expect("written");
    let hint = folder.join("version-hint.text");
    std::fs::write(hint, (version + 1).to_string()).expect("written");
}

/// Sequence numbers of the snapshots that are tagged, by tag.
pub fn tags(world: &World) -> BTreeMap<String, i64> {
    let (_, metadata) = metadata(world);
    let refs = metadata["refs"].as_object().expect("references");
    let tags = refs.iter().filter(|(_, to)| to["type"] == json!("tag"));
    tags.map(|(tag, to)| (tag.clone(), number(&metadata, &to["snapshot-id"])))
        .collect()
}

fn number(metadata: &Value, id: &Value) -> i64 {
    let mut snapshots = metadata["snapshots"].as_array().expect("snapshots").iter();
    let found = snapshots.find(|snapshot| snapshot["snapshot-id"] == *id);
    found.expect("listed")["sequence-number"]
        .as_i64()
        .expect("a number")
}

/// Keeps only the current snapshot and those that references name, as `expire_snapshots(retain_last => 1)` does.
pub fn expire(world: &World) {
    publish(world, |metadata| {
        let refs = metadata["refs"].as_object().expect("references");
        let kept: Vec<Value> = refs.values().map(|to| to["snapshot-id"].clone()).collect();
        for list in ["snapshots", "snapshot-log"] {
            let entries = metadata[list].as_array_mut().expect("a list");
            entries.retain(|entry| kept.contains(&entry["snapshot-id"]));
        }
    });
}

pub fn load(report: &Value) -> &Value {
    &report["tables"][0]["load"]
}

pub async fn update(world: &mut World, name: &str, rows: u32) {
    world
        .source(&format!(
            "UPDATE dbo.orders SET name = N'{name}' WHERE id < {rows}"
        ))
        .await;
}

pub async fn assert_equal(world: &mut World) {
    assert_eq!(world.source_rows(ROWS).await, world.target_rows(ROWS).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_stages_one_row_and_a_sync_publishes_one_version() {
    let mut world = world("").await;
    world.run(&["--json", "sync"]).json();
    let (first, _) = metadata(&world);
    assert_eq!(first, 2, "one version creates the table, one has its rows");
    update(&mut world, "second", 200).await;
    world.source("DELETE dbo.orders WHERE id = 299").await;
    let second = world.run(&["--json", "sync"]).json();
    assert_eq!(load(&second)["rows_staged"], json!(200));
    assert_eq!(load(&second)["updated"], json!(200));
    assert_eq!(metadata(&world).0, first + 1);
    let names: Vec<String> = tags(&world).into_keys().collect();
    assert!(names[0].starts_with("icesync-loaded-"), "{names:?}");
    assert!(names[1].starts_with("icesync-loading-"), "{names:?}");
    assert!(
        names.iter().all(|name| name.ends_with(".dbo.orders")),
        "{names:?}"
    );
    assert_eq!(tags(&world).into_values().collect::<Vec<_>>(), [1, 2]);
    // Nothing to do, nothing to publish.
    world.run(&["--json", "sync"]).json();
    world.run(&["--json", "load"]).json();
    assert_eq!(metadata(&world).0, first + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_loaded_stays_tagged_when_runs_die() {
    let mut world = world("").await;
    world.run(&["--json", "sync"]).json();
    for (at, (command, failpoint)) in [
        ("sync", "lake.after_metadata"),
        ("sync", "load.after_staging"),
        ("load", "load.after_apply"),
        ("sync", "load.after_apply"),
        ("extract", "lake.after_hint"),
        ("load", "load.after_apply"),
    ]
    .into_iter()
    .enumerate()
    {
        update(&mut world, &format!("version {at}"), 20).await;
        if command == "load" {
            world.run(&["--json", "extract"]).json();
        }
        let mut dying = world.command(&[command]);
        let died = finish(
            dying
                .env("ICESYNC_FAILPOINT", failpoint)
                .spawn()
                .expect("starts"),
        );
        assert_ne!(died.code, 0, "{command} {failpoint}");
        world.run(&["--json", "load"]).json();
        let loaded = world
            .target_rows("SELECT sequence_number FROM icesync.load_state")
            .await;
        let tagged: Vec<String> = tags(&world)
            .values()
            .map(|number| format!("Int({number})"))
            .collect();
        assert!(
            tagged.contains(&loaded[0][0]),
            "{command} {failpoint}: {loaded:?}, {tagged:?}"
        );
    }
    world.run(&["--json", "sync"]).json();
    assert_equal(&mut world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_being_loaded_is_not_expired() {
    let mut world = world("").await;
    world.run(&["--json", "sync"]).json();
    update(&mut world, "second", 20).await;
    world.run(&["--json", "extract"]).json();
    let held = world.path("held");
    let mut loading = world.command(&["--json", "load"]);
    loading.env(
        "ICESYNC_FAILPOINT",
        format!("load.after_staging={}", held.display()),
    );
    let loading = loading.spawn().expect("starts");
    let deadline = Instant::now() + Duration::from_secs(60);
    while !held.exists() {
        assert!(Instant::now() < deadline, "nothing is ever staged");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // While the load lasts another snapshot becomes the current one, and an engine expires what no reference names.
    update(&mut world, "third", 30).await;
    world.run(&["--json", "extract"]).json();
    expire(&world);
    std::fs::remove_file(held).expect("released");
    let second = finish(loading).json();
    assert_eq!(load(&second)["updated"], json!(20), "{second:#}");
    let tagged: Vec<i64> = tags(&world).into_values().collect();
    assert_eq!(tagged, [1, 2], "{second:#}");
    let third = world.run(&["--json", "load"]).json();
    assert_eq!(load(&third)["updated"], json!(30), "{third:#}");
    assert_equal(&mut world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn loads_go_on_when_snapshots_in_between_are_expired() {
    let mut world = world("").await;
    world.run(&["--json", "sync"]).json();
    for rows in 1..5 {
        update(&mut world, &format!("version {rows}"), 10 * rows).await;
        world.run(&["--json", "extract"]).json();
    }
    expire(&world);
    let loaded = world.run(&["--json", "load"]).json();
    assert_eq!(load(&loaded)["updated"], json!(40));
    assert_eq!(load(&loaded)["warnings"], json!([]));
    assert_equal(&mut world).await;
}

/// Makes the first snapshot the current one, as another engine does it.
fn roll_back_to_first(world: &World) {
    publish(world, |metadata| {
        let snapshots = metadata["snapshots"].as_array().expect("snapshots");
        let first = snapshots
            .iter()
            .find(|made| made["sequence-number"] == json!(1));
        let first = first.expect("listed")["snapshot-id"].clone();
        let now = metadata["last-updated-ms"].as_i64().expect("a time") + 1;
        metadata["last-updated-ms"] = json!(now);
        metadata["current-snapshot-id"] = first.clone();
        metadata["refs"]["main"]["snapshot-id"] = first.clone();
        let log = metadata["snapshot-log"].as_array_mut().expect("a log");
        log.push(json!({ "timestamp-ms": now, "snapshot-id": first }));
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_goes_back_to_before_a_column_was_widened() {
    let setup =
        "CREATE TABLE dbo.orders (id int NOT NULL PRIMARY KEY, name int NULL, rv rowversion)
GO
INSERT dbo.orders (id, name) VALUES (1, 1), (2, 2), (3, 3)";
    let mut world = World::new(setup).await;
    world.config("  - source: dbo.orders\n");
    world.run(&["--json", "sync"]).json();
    let before = world.target_rows(ROWS).await;
    for statement in [
        "ALTER TABLE dbo.orders ALTER COLUMN name bigint NULL",
        "UPDATE dbo.orders SET name = 5000000000 WHERE id = 2",
        "INSERT dbo.orders (id, name) VALUES (4, 6000000000)",
    ] {
        world.source(statement).await;
    }
    world.run(&["--json", "sync"]).json();
    assert_equal(&mut world).await;
    roll_back_to_first(&world);
    let back = world.run(&["--json", "load"]).json();
    assert_eq!(load(&back)["kind"], json!("delta"), "{back:#}");
    assert_eq!(load(&back)["deleted"], json!(1));
    assert_eq!(load(&back)["updated"], json!(1));
    assert_eq!(world.target_rows(ROWS).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_follows_a_mirror_that_was_rolled_back() {
    let mut world = world("").await;
    world.run(&["--json", "sync"]).json();
    let before = world.target_rows(ROWS).await;
    update(&mut world, "second", 20).await;
    world
        .source("INSERT dbo.orders (id, name) VALUES (1000, N'new')")
        .await;
    world.run(&["--json", "sync"]).json();
    assert_equal(&mut world).await;
    roll_back_to_first(&world);
    let status = world.run(&["--json", "status"]).json();
    assert_eq!(status["tables"][0]["target"]["snapshots_behind"], json!(1));
    assert_eq!(status["tables"][0]["lake"]["sequence_number"], json!(1));
    let back = world.run(&["--json", "load"]).json();
    assert_eq!(load(&back)["deleted"], json!(1));
    assert_eq!(load(&back)["updated"], json!(20));
    assert_eq!(world.target_rows(ROWS).await, before);
    let again = world.run(&["--json", "load"]).json();
    assert_eq!(again["outcome"], json!("unchanged"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loaded_snapshot_that_is_gone_is_named_with_its_remedy() {
    let mut world = world("").await;
    world.run(&["--json", "sync"]).json();
    update(&mut world, "second", 20).await;
    world.run(&["--json", "extract"]).json();
    world
        .target(
            "INSERT dbo.orders (id, name, rv) VALUES (1000, N'gone', 0x00), (1001, N'gone', 0x00)",
        )
        .await;
    publish(&world, |metadata| {
        let refs = metadata["refs"].as_object_mut().expect("references");
        refs.retain(|name, _| name == "main");
    });
    expire(&world);
    world.run(&["load"]).fails_with(
        1,
        &[
            "dbo.orders",
            "is no longer in",
            "load --full",
            "mode: replace",
        ],
    );
    let full = world.run(&["--json", "load", "--full"]).json();
    assert_eq!(load(&full)["updated"], json!(20));
    let warnings = load(&full)["warnings"].to_string();
    assert!(
        warnings.contains("2 rows that target dbo.orders has") && warnings.contains("replace"),
        "{warnings}"
    );
    world.target("DELETE dbo.orders WHERE id >= 1000").await;
    assert_equal(&mut world).await;
}

/// One key in the lake may be two in the target: there the old spelling has to be deleted.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_changes_its_case_is_not_left_in_a_case_sensitive_target() {
    let columns = |collation: &str| {
        format!(
            "CREATE TABLE dbo.codes (code nvarchar(10) COLLATE {collation} NOT NULL PRIMARY KEY, n int NULL"
        )
    };
    let source = format!("{}, rv rowversion)", columns("Latin1_General_CI_AS"));
    let mut world = World::new(&source).await;
    let target = format!("{}, rv binary(8) NULL)", columns("Latin1_General_BIN2"));
    world.target(&target).await;
    world.config("  - source: dbo.codes\n");
    world
        .source("INSERT dbo.codes (code, n) VALUES (N'ab', 1), (N'cd', 1)")
        .await;
    world.run(&["--json", "sync"]).json();
    world
        .source("UPDATE dbo.codes SET code = N'AB', n = 2 WHERE code = N'ab'")
        .await;
    world
        .source("UPDATE dbo.codes SET n = 2 WHERE code = N'cd'")
        .await;
    let second = world.run(&["--json", "sync"]).json();
    assert_eq!(load(&second)["rows_staged"], json!(3));
    let codes = "SELECT code, n FROM dbo.codes ORDER BY code";
    let expected = [["Text(\"AB\")", "Int(2)"], ["Text(\"cd\")", "Int(2)"]];
    assert_eq!(world.target_rows(codes).await, expected);
}

/// Respelled keys, with `column` besides, in source and lake: the lake has both spellings.
async fn respelled(collation: &str, column: &str, options: &str) -> World {
    let mut world = World::new(&format!(
        "CREATE TABLE dbo.names (name nvarchar(20) COLLATE {collation} NOT NULL PRIMARY KEY, n int NOT NULL, {column})"
    ))
    .await;
    world.config(&format!("  - source: dbo.names\n{options}"));
    world
        .source("INSERT dbo.names (name, n) VALUES (N'É1', 1), (N'ñ', 1), (N'Ａ1', 1), (N'か', 1), (N'same', 1)")
        .await;
    world.run(&["--json", "sync"]).json();
    for (old, new) in [("É1", "é1"), ("ñ", "Ñ "), ("Ａ1", "a1"), ("か", "カ")] {
        world
            .source(&format!(
                "UPDATE dbo.names SET name = N'{new}', n = 2 WHERE name = N'{old}'"
            ))
            .await;
    }
    world.run(&["--json", "extract"]).json();
    world
}

const NAMES: &str = "SELECT CONVERT(varbinary(40), name), n FROM dbo.names ORDER BY name";

/// As for a target that is yet to be made.
async fn forget_target(world: &mut World) {
    world
        .target("DROP TABLE dbo.names; DELETE FROM icesync.load_state")
        .await;
}

/// Beyond ASCII only the server knows which keys are equal. A row of the old spelling stays in the lake, as the row of
/// a key that was deleted does, and must not stop loads.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_spellings_of_a_key_the_newest_is_loaded() {
    for statement in ["merge", "update_insert"] {
        let options = format!("    merge: {{ statement: {statement} }}\n");
        let mut world = respelled("Latin1_General_CI_AS", "rv rowversion NOT NULL", &options).await;
        let mut source = world.source_rows(NAMES).await;
        assert_eq!(source.len(), 5);
        // Onto the old spellings, and compared again.
        world.run(&["--json", "load"]).json();
        assert_eq!(world.target_rows(NAMES).await, source, "{statement}");
        let full = world.run(&["--json", "load", "--full"]).json();
        assert_eq!(load(&full)["unchanged"], json!(5), "{full:#}");
        // Into an empty target.
        forget_target(&mut world).await;
        world.run(&["--json", "load"]).json();
        assert_eq!(world.target_rows(NAMES).await, source, "{statement}");
        // Several spellings in one range of snapshots.
        world
            .source("INSERT dbo.names (name, n) VALUES (N'Žž', 1)")
            .await;
        for spelling in ["žž", "ŽŽ", "žŽ"] {
            world.run(&["--json", "extract"]).json();
            world
                .source(&format!(
                    "UPDATE dbo.names SET name = N'{spelling}', n = n + 1 WHERE name = N'Žž'"
                ))
                .await;
        }
        world.run(&["--json", "sync"]).json();
        source = world.source_rows(NAMES).await;
        assert_eq!(world.target_rows(NAMES).await, source, "{statement}");
        let replace = options.replace("statement", "mode: replace, statement");
        world.config(&format!("  - source: dbo.names\n{replace}"));
        world.run(&["--json", "load"]).json();
        assert_eq!(world.target_rows(NAMES).await, source, "{statement}");
        // The old spelling again: it is the newest now.
        world
            .source("UPDATE dbo.names SET name = N'É1', n = 3 WHERE name = N'é1'")
            .await;
        world.run(&["--json", "sync"]).json();
        source = world.source_rows(NAMES).await;
        assert_eq!(world.target_rows(NAMES).await, source, "{statement}");
    }
}

/// A timestamp may be older than the one that a row had before, so it does not say which spelling is the newest.
#[tokio::test(flavor = "multi_thread")]
async fn spellings_that_nothing_orders_are_refused_until_a_whole_read_has_removed_the_old() {
    let timestamp =
        "    change: { strategy: timestamp, column: at, lag: 0s, overlap: 0s, clock: utc }\n";
    let column = "at datetime2(7) NOT NULL DEFAULT SYSUTCDATETIME()";
    let mut world = World::new(&format!(
        "CREATE TABLE dbo.names (name nvarchar(20) COLLATE Latin1_General_CI_AS NOT NULL PRIMARY KEY, n int NOT NULL, \
            {column})
GO
INSERT dbo.names (name, n) VALUES (N'É1', 1)"
    ))
    .await;
    world.config(&format!("  - source: dbo.names\n{timestamp}"));
    world.run(&["--json", "sync"]).json();
    world
        .source(
            "UPDATE dbo.names SET name = N'é1', n = 2, at = SYSUTCDATETIME() WHERE name = N'É1'",
        )
        .await;
    world.run(&["--json", "sync"]).json();
    let source = world.source_rows(NAMES).await;
    assert_eq!(world.target_rows(NAMES).await, source);
    forget_target(&mut world).await;
    let remedies = ["dbo.names", "the same key there", "strategy: full"];
    world.run(&["load"]).fails_with(1, &remedies);
    world.config("  - source: dbo.names\n    change: { strategy: full }\n");
    world.run(&["--json", "sync"]).json();
    assert_eq!(world.target_rows(NAMES).await, source);
}

/// Two keys of the source, of which its target can have one.
#[tokio::test(flavor = "multi_thread")]
async fn two_keys_that_only_the_target_takes_for_equal_are_refused() {
    let mut world = World::new(
        "CREATE TABLE dbo.names (name nvarchar(20) COLLATE Latin1_General_CS_AS NOT NULL PRIMARY KEY, n int NOT NULL, \
            rv rowversion NOT NULL)
GO
INSERT dbo.names (name, n) VALUES (N'É1', 1), (N'é1', 2)",
    )
    .await;
    world
        .target(
            "CREATE TABLE dbo.names (name nvarchar(20) COLLATE Latin1_General_CI_AS NOT NULL PRIMARY KEY, n int NOT \
                NULL, rv binary(8) NULL)",
        )
        .await;
    world.config("  - source: dbo.names\n");
    let remedies = ["dbo.names", "the same key there", "the source's collation"];
    world.run(&["sync"]).fails_with(1, &remedies);
    assert!(world.target_rows(NAMES).await.is_empty());
    // Nor where a configured key is not known to be unique at the source.
    world
        .source(
            "CREATE TABLE dbo.loose (name nvarchar(20) COLLATE Latin1_General_CI_AS NOT NULL, n int NOT NULL, rv \
                rowversion NOT NULL)",
        )
        .await;
    world
        .source("INSERT dbo.loose (name, n) VALUES (N'É1', 1)")
        .await;
    world.config("  - source: dbo.loose\n    key: [name]\n");
    world.run(&["--json", "extract"]).json();
    world
        .source("INSERT dbo.loose (name, n) VALUES (N'é1', 2)")
        .await;
    world.run(&["--json", "extract"]).json();
    let remedies = ["dbo.loose", "the same key there"];
    world.run(&["load"]).fails_with(1, &remedies);
}

/// Loads the lake of one world into the target of another.
fn load_into(lake: &World, target: &World) -> Run {
    let connection = server().connection(&target.target_db);
    let mut command = lake.command(&["--json", "load"]);
    finish(
        command
            .env("ICESYNC_TARGET", connection)
            .spawn()
            .expect("icesync starts"),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn two_targets_of_one_name_keep_a_tag_each() {
    let mut one = world("").await;
    let mut other = World::new("SELECT 1").await;
    one.run(&["--json", "sync"]).json();
    load_into(&one, &other).json();
    assert_eq!(tags(&one).into_values().collect::<Vec<_>>(), [1, 1]);
    update(&mut one, "second", 20).await;
    one.run(&["--json", "sync"]).json();
    update(&mut one, "third", 30).await;
    one.run(&["--json", "sync"]).json();
    // The other one still needs the first snapshot.
    let tagged: Vec<i64> = tags(&one).into_values().collect();
    assert_eq!(tagged.len(), 3, "{tagged:?}");
    assert!(
        [1, 2, 3].iter().all(|number| tagged.contains(number)),
        "{tagged:?}"
    );
    expire(&one);
    load_into(&one, &other).json();
    assert_eq!(one.source_rows(ROWS).await, other.target_rows(ROWS).await);
}
