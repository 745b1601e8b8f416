//! From the lake into the target.

use crate::harness::World;
use serde_json::{Value, json};

const ITEMS: &str = "CREATE TABLE dbo.items (
    region nvarchar(10) COLLATE Latin1_General_CI_AS NOT NULL,
    item_id int NOT NULL,
    name nvarchar(40) NULL,
    price money NULL,
    made datetime NULL,
    tag uniqueidentifier NULL,
    rv rowversion NOT NULL,
    CONSTRAINT pk_items PRIMARY KEY (region, item_id))
GO
INSERT dbo.items (region, item_id, name, price, made, tag) VALUES
    (N'north', 1, N'axe', 12.3456, '2024-02-29T23:59:59.997', '6F9619FF-8B86-D011-B42D-00C04FC964FF'),
    (N'north', 2, N'', NULL, NULL, NULL),
    (N'south', 1, N'貓', -0.0001, '1753-01-01', NULL)";

const COLUMNS: &str = "SELECT region, item_id, name, CONVERT(nvarchar(40), price, 2), CONVERT(nvarchar(40), made, \
    121), CONVERT(nvarchar(40), tag) FROM dbo.items ORDER BY region, item_id";

async fn assert_equal(world: &mut World) {
    let source = world.source_rows(COLUMNS).await;
    let target = world.target_rows(COLUMNS).await;
    assert_eq!(source, target);
}

fn load_of(report: &Value) -> &Value {
    &report["tables"][0]["load"]
}

fn counts(load: &Value) -> [Value; 3] {
    ["inserted", "updated", "deleted"].map(|name| load[name].clone())
}

async fn world(merge: &str) -> World {
    let world = World::new(ITEMS).await;
    world.config(&format!(
        "  - source: dbo.items\n    merge: {{ {merge} }}\n"
    ));
    world
}

async fn upserts_change_only_what_differs(statement: &str) {
    let mut world = world(&format!("statement: {statement}")).await;
    let first = world.run(&["--json", "sync"]).json();
    assert_eq!(counts(load_of(&first)), [json!(3), json!(0), json!(0)]);
    assert_eq!(load_of(&first)["created_target"], json!(true));
    assert_equal(&mut world).await;

    world
        .source(
            "UPDATE dbo.items SET name = N'saw' WHERE region = N'NORTH' AND item_id = 1;
            UPDATE dbo.items SET name = name WHERE item_id = 2; -- its rowversion moves, and the target keeps that
           
            INSERT dbo.items (region, item_id) VALUES (N'west', 5)",
        )
        .await;
    let second = world.run(&["--json", "sync"]).json();
    assert_eq!(counts(load_of(&second)), [json!(1), json!(2), json!(0)]);
    assert_equal(&mut world).await;

    let again = world.run(&["--json", "load"]).json();
    assert_eq!(counts(load_of(&again)), [json!(0), json!(0), json!(0)]);
    assert_eq!(again["outcome"], json!("unchanged"));
}

#[tokio::test(flavor = "multi_thread")]
async fn merge_changes_only_what_differs() {
    upserts_change_only_what_differs("merge").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn update_insert_changes_only_what_differs() {
    upserts_change_only_what_differs("update_insert").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_refresh_deletes_what_is_gone() {
    let mut world = World::new(ITEMS).await;
    world.config("  - source: dbo.items\n    change: { strategy: full }\n");
    world.run(&["--json", "sync"]).json();
    world
        .target("INSERT dbo.items (region, item_id, rv) VALUES (N'theirs', 9, 0x00)")
        .await;
    world.source("DELETE dbo.items WHERE region = N'south'; UPDATE dbo.items SET price = 1 WHERE item_id = 2").await;
    let second = world.run(&["--json", "sync"]).json();
    assert_eq!(counts(load_of(&second)), [json!(0), json!(1), json!(1)]);
    // A row that the lake never held is the target's own.
    let own = world
        .target_rows("SELECT COUNT(*) FROM dbo.items WHERE region = N'theirs'")
        .await;
    assert_eq!(own, [["Int(1)"]]);
    world
        .target("DELETE dbo.items WHERE region = N'theirs'")
        .await;
    assert_equal(&mut world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replace_makes_the_target_equal() {
    let mut world = world("mode: replace").await;
    world.run(&["sync"]);
    world
        .target("INSERT dbo.items (region, item_id, rv) VALUES (N'theirs', 9, 0x00)")
        .await;
    world
        .source("UPDATE dbo.items SET price = 1 WHERE item_id = 2")
        .await;
    let second = world.run(&["--json", "sync"]).json();
    assert_eq!(counts(load_of(&second)), [json!(0), json!(1), json!(1)]);
    assert_equal(&mut world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn append_inserts_each_version_once() {
    let mut world = World::new(ITEMS).await;
    world.config("  - source: dbo.items\n    kind: history\n    change: { strategy: rowversion }\n    merge: \
        { mode: append }\n");
    let first = world.run(&["--json", "sync"]).json();
    assert_eq!(counts(load_of(&first)), [json!(3), json!(0), json!(0)]);
    world
        .source("UPDATE dbo.items SET price = 2 WHERE item_id = 2")
        .await;
    let second = world.run(&["--json", "sync"]).json();
    assert_eq!(counts(load_of(&second)), [json!(1), json!(0), json!(0)]);
    world.run(&["load"]);
    assert_eq!(
        world.target_rows("SELECT COUNT(*) FROM dbo.items").await,
        [["Int(4)"]]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn loads_up_to_a_snapshot_and_refuses_to_go_back() {
    let mut world = world("mode: upsert").await;
    world.run(&["--json", "extract"]).json();
    for price in 1..=3 {
        world
            .source(&format!(
                "UPDATE dbo.items SET price = {price} WHERE item_id = 2"
            ))
            .await;
        world.run(&["--json", "extract"]).json();
    }
    let price = "SELECT CONVERT(nvarchar(20), price) FROM dbo.items WHERE item_id = 2";
    let second = world.run(&["--json", "load", "--snapshot", "2"]).json();
    assert_eq!(load_of(&second)["sequence_number"], json!(2));
    assert_eq!(world.target_rows(price).await, [["Text(\"1.00\")"]]);

    world
        .run(&["load", "--snapshot", "1"])
        .fails_with(1, &["dbo.items", "older", "already"]);
    world
        .run(&["load", "--snapshot", "9"])
        .fails_with(1, &["dbo.items", "snapshot", "9"]);

    // Two snapshots in one load: the key's last version counts, once.
    let latest = world.run(&["--json", "load"]).json();
    assert_eq!(counts(load_of(&latest)), [json!(0), json!(1), json!(0)]);
    assert_equal(&mut world).await;
    let status = world.run(&["--json", "status"]).json();
    assert_eq!(
        status["tables"][0]["target"]["sequence_number"],
        json!(4),
        "{status:#}"
    );
    assert_eq!(
        status["tables"][0]["target"]["snapshots_behind"],
        json!(0),
        "{status:#}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn identity_and_existing_targets() {
    let mut world = World::new(
        "CREATE TABLE dbo.items (item_id int IDENTITY(10, 5) NOT NULL PRIMARY KEY, name varchar(20) NOT NULL, twice AS \
            (item_id * 2))
GO
INSERT dbo.items (name) VALUES ('a'), ('b')",
    )
    .await;
    world.target("CREATE TABLE dbo.items (item_id bigint IDENTITY NOT NULL PRIMARY KEY, name nvarchar(50) NULL, twice \
        int NULL, extra int NULL DEFAULT 7)").await;
    world.config("  - source: dbo.items\n");
    let first = world.run(&["--json", "sync"]).json();
    assert_eq!(counts(load_of(&first)), [json!(2), json!(0), json!(0)]);
    assert_eq!(
        world
            .target_rows("SELECT item_id, name, twice, extra FROM dbo.items ORDER BY item_id")
            .await,
        [
            ["Int(10)", "Text(\"a\")", "Int(20)", "Int(7)"],
            ["Int(15)", "Text(\"b\")", "Int(30)", "Int(7)"]
        ]
    );
}
