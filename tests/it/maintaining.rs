//! Maintenance end to end: killed anywhere, beside other runs, by itself; and a warehouse that was copied.

use crate::harness::{World, finish, readers_agree};
use crate::outside::copied;
use serde_json::{Value, json};
use std::path::Path;

const SETUP: &str =
    "CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY, n bigint NOT NULL, rv rowversion NOT NULL)
GO
INSERT dbo.t (id, n) SELECT TOP (3000) ROW_NUMBER() OVER (ORDER BY (SELECT 1)), 0
FROM sys.all_columns a CROSS JOIN sys.all_columns b";
const CHANGE: &str = "UPDATE dbo.t SET n = n + id WHERE id % 97 = 3;
    INSERT dbo.t (id, n) SELECT MAX(id) + 1, 5 FROM dbo.t";
const CONTENT: &str = "SELECT COUNT(*), SUM(n), SUM(CAST(id AS bigint) * n) FROM dbo.t";
const TABLE: &str = "  - source: dbo.t\n    change: { strategy: rowversion }\n";

fn configure(world: &World, maintenance: &str) {
    world.config(&format!("{TABLE}maintenance: {maintenance}\n"));
}

async fn equal(world: &mut World) {
    assert_eq!(
        world.source_rows(CONTENT).await,
        world.target_rows(CONTENT).await
    );
}

fn snapshots(world: &World) -> Vec<Value> {
    let listed = world.run(&["--json", "snapshots"]).json();
    let snapshots = listed["tables"][0]["snapshots"].as_array();
    snapshots.expect("snapshots").clone()
}

fn files(world: &World, folder: &str) -> usize {
    let folder = world.lake("dbo", "t").join(folder);
    std::fs::read_dir(folder).expect("a folder").count()
}

/// What the independent readers must find in the lake.
async fn lake_rows(world: &mut World) -> Vec<Value> {
    let rows = world
        .source_rows("SELECT id, n, CONVERT(bigint, rv) FROM dbo.t")
        .await;
    let cell = |text: &str| -> i64 {
        let number = text.split(['(', ')']).nth(1).expect("a number");
        number.parse().expect("a number")
    };
    let row = |row: &Vec<String>| {
        let rv = format!("{:016x}", cell(&row[2]));
        json!({ "id": cell(&row[0]), "n": cell(&row[1]), "rv": rv })
    };
    rows.iter().map(row).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn maintenance_killed_at_any_edge_loses_nothing() {
    let mut world = World::new(SETUP).await;
    configure(&world, "{ auto: false, snapshots_max: 3 }");
    world.run(&["--json", "sync"]).json();
    for edge in [
        "maintain.after_group",
        "lake.after_manifests",
        "lake.after_metadata",
        "lake.after_hint",
        "maintain.after_expire",
    ] {
        for _ in 0..3 {
            world.source(CHANGE).await;
            world.run(&["--json", "sync"]).json();
        }
        let rows = world.run(&["--json", "status"]).json()["tables"][0]["lake"]["rows"].clone();
        let mut command = world.command(&["maintain"]);
        command.env("ICESYNC_FAILPOINT", edge);
        let killed = finish(command.spawn().expect("icesync starts"));
        assert_eq!(killed.code, -1, "{edge}: {killed:#?}");
        let status = world.run(&["--json", "status"]).json();
        assert_eq!(status["tables"][0]["lake"]["rows"], rows, "{edge}");
        world.source(CHANGE).await;
        world.run(&["--json", "sync"]).json();
        equal(&mut world).await;
        let done = world.run(&["--json", "maintain"]).json();
        let done = &done["tables"][0];
        assert_eq!(done["compact"]["files_after"], json!(1), "{edge}: {done:#}");
        assert_eq!(done["warnings"], json!([]), "{edge}");
        world.source(CHANGE).await;
        world.run(&["--json", "sync"]).json();
        equal(&mut world).await;
    }
    assert!(snapshots(&world).len() <= 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn maintenance_beside_running_syncs_loses_nothing() {
    let mut world = World::new(SETUP).await;
    configure(&world, "{ auto: false, snapshots_max: 2 }");
    world.run(&["--json", "sync"]).json();
    for _ in 0..8 {
        world.source(CHANGE).await;
        let runs = [
            world.spawn(&["maintain"]),
            world.spawn(&["--json", "sync"]),
            world.spawn(&["maintain", "--compact"]),
        ];
        for run in runs.map(finish) {
            assert_eq!(run.code, 0, "{run:#?}");
        }
        equal(&mut world).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn syncs_keep_the_lake_small_by_themselves() {
    let mut world = World::new(SETUP).await;
    configure(&world, "{ small_files: 4, snapshots_max: 10 }");
    let mut compacted = 0;
    let mut expired = 0;
    for _ in 0..40 {
        world.source(CHANGE).await;
        let done = world.run(&["--json", "sync"]).json();
        let maintenance = &done["tables"][0]["maintenance"];
        compacted += u64::from(maintenance["compact"]["groups"].as_u64() > Some(0));
        expired += u64::from(maintenance["expire"]["snapshots"].as_u64() > Some(0));
        equal(&mut world).await;
    }
    assert!((6..=14).contains(&compacted), "{compacted} compactions");
    assert!((1..=4).contains(&expired), "{expired} expiries");
    let left = snapshots(&world);
    assert!(left.len() <= 26, "{} snapshots", left.len());
    let last = left.last().expect("a snapshot");
    assert!(!last["tags"].as_array().expect("tags").is_empty(), "{last}");
    assert!(files(&world, "data") < 110, "{}", files(&world, "data"));
    let version = files(&world, "metadata");
    let idle = world.run(&["--json", "sync"]).json();
    assert_eq!(idle["tables"][0]["maintenance"], Value::Null);
    assert_eq!(idle["outcome"], "unchanged");
    assert_eq!(files(&world, "metadata"), version);
    let rows = lake_rows(&mut world).await;
    readers_agree(&world.lake("dbo", "t"), "id", &rows);
    world.run(&["--json", "maintain"]).json();
    readers_agree(&world.lake("dbo", "t"), "id", &rows);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_of_automatic_maintenance_is_a_warning() {
    let mut world = World::new(SETUP).await;
    configure(&world, "{ auto: false }");
    world.run(&["--json", "sync"]).json();
    for _ in 0..3 {
        world.source(CHANGE).await;
        world.run(&["--json", "sync"]).json();
    }
    // A file that the next extract does not read, but a compaction does.
    let data = world.lake("dbo", "t").join("data");
    let is_small = |path: &Path| std::fs::metadata(path).expect("a file").len() < 4000;
    for entry in std::fs::read_dir(data).expect("a folder") {
        let path = entry.expect("an entry").path();
        if is_small(&path) && !path.to_string_lossy().contains("deletes") {
            std::fs::remove_file(path).expect("removed");
        }
    }
    configure(&world, "{ small_files: 4 }");
    world
        .source("INSERT dbo.t (id, n) VALUES (1000000, 1)")
        .await;
    let done = world.run(&["--json", "extract"]).json();
    let table = &done["tables"][0];
    assert_eq!(table["extract"]["inserted"], json!(1), "{table:#}");
    let warnings = table["maintenance"]["warnings"].to_string();
    assert!(
        warnings.contains("the rows are committed, but maintaining"),
        "{table:#}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copied_warehouse_is_relocated_and_goes_on() {
    let mut world = World::new(SETUP).await;
    configure(&world, "{ auto: true }");
    for _ in 0..4 {
        world.run(&["--json", "sync"]).json();
        world.source(CHANGE).await;
    }
    let original = world.path("original");
    std::fs::rename(world.warehouse(), &original).expect("renamed");
    copied(&original, &world.warehouse());
    std::fs::remove_dir_all(&original).expect("removed");
    // The folder went elsewhere and back: it is in its place, as far as the metadata says.
    let done = world.run(&["--json", "relocate"]).json();
    assert_eq!(done["tables"][0]["moved"], json!(false));
    let elsewhere = world.path("elsewhere");
    std::fs::rename(world.warehouse(), &elsewhere).expect("renamed");
    let config = std::fs::read_to_string(world.path("icesync.yaml")).expect("read");
    let config = config.replace("./warehouse", "./elsewhere");
    std::fs::write(world.path("icesync.yaml"), config).expect("written");
    let refused = world.run(&["sync"]);
    refused.fails_with(1, &["icesync relocate --table dbo.t"]);
    // Killed before the new metadata is published, the command changes nothing; killed after it, the table has moved.
    for edge in ["lake.after_manifests", "lake.after_metadata"] {
        let mut command = world.command(&["relocate"]);
        command.env("ICESYNC_FAILPOINT", edge);
        let killed = finish(command.spawn().expect("icesync starts"));
        assert_eq!(killed.code, -1, "{edge}: {killed:#?}");
    }
    let done = world.run(&["--json", "relocate"]).json();
    assert_eq!(done["tables"][0]["moved"], json!(false), "{done:#}");
    world.run(&["--json", "sync"]).json();
    equal(&mut world).await;
    let rows = lake_rows(&mut world).await;
    readers_agree(&elsewhere.join("dbo/t"), "id", &rows);
    world.run(&["--json", "maintain"]).json();
    readers_agree(&elsewhere.join("dbo/t"), "id", &rows);
}
