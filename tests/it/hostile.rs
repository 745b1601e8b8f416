//! What must hold when everything around a run fails: secrets stay secret, stdout and stderr may be full, and what
//! fails takes nothing else with it.

use crate::harness::{Run, World, finish};
use serde_json::json;
use std::fs::{self, File};
use std::path::Path;
use std::process::Stdio;

const SETUP: &str = "CREATE TABLE dbo.a (id int NOT NULL PRIMARY KEY, n int NOT NULL)
GO
CREATE TABLE dbo.b (id int NOT NULL PRIMARY KEY, n int NOT NULL)
GO
INSERT dbo.a VALUES (1, 1)
GO
INSERT dbo.b VALUES (1, 1)";
const TABLES: &str = "  - source: dbo.a\n  - source: dbo.b\n";

async fn world() -> World {
    let world = World::new(SETUP).await;
    world.config(TABLES);
    world
}

fn full() -> Stdio {
    let full = File::options().write(true).open("/dev/full");
    full.expect("/dev/full").into()
}

/// `icesync` whose stderr, or stdout, takes nothing.
fn run_full(world: &World, args: &[&str], stdout: bool) -> Run {
    let mut command = world.command(args);
    if stdout {
        command.stdout(full());
    } else {
        command.stderr(full());
    }
    finish(command.spawn().expect("icesync starts"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_in_the_wrong_place_is_not_printed() {
    let world = world().await;
    let path = world.path("icesync.yaml");
    let good = fs::read_to_string(&path).expect("read");
    for (from, to) in [
        (
            "{ connection: \"${ICESYNC_SOURCE}\" }",
            "\"${ICESYNC_SOURCE}\"",
        ),
        (
            "{ connection: \"${ICESYNC_SOURCE}\" }",
            "[\"${ICESYNC_SOURCE}\", \"${ICESYNC_SOURCE}\"]",
        ),
        (
            "\"${ICESYNC_SOURCE}\" }",
            "x, parallel_tables: \"${ICESYNC_SOURCE}\" }",
        ),
        ("- source: dbo.b", "- source: \"${ICESYNC_SOURCE}\""),
        ("- source: dbo.b", "- \"${ICESYNC_SOURCE}\""),
    ] {
        assert!(good.contains(from), "{good}");
        fs::write(&path, good.replacen(from, to, 1)).expect("written");
        for args in [&["status"][..], &["--json", "-vv", "sync"]] {
            // `fails_with` looks for the password.
            let run = world.run(args);
            run.fails_with(2, &["icesync.yaml"]);
            let all = format!("{}{}", run.stdout, run.stderr);
            assert!(!all.contains("User ID"), "{run:#?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stderr_that_takes_nothing_changes_no_outcome() {
    let world = world().await;
    let run = run_full(&world, &["-c", "nope.yaml", "status"], false);
    assert_eq!(run.code, 2, "{run:#?}");
    run_full(&world, &["-vv", "--json", "sync"], false).json();
    // A warning is logged, and a table fails.
    let hint = world.lake("dbo", "a").join("metadata/version-hint.text");
    fs::write(hint, "99").expect("written");
    fs::remove_dir_all(world.lake("dbo", "b")).expect("removed");
    let run = run_full(&world, &["--json", "snapshots"], false);
    assert_eq!(run.code, 3, "{run:#?}");
    assert_eq!(run.json_any()["tables"][0]["source"], json!("dbo.a"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_that_cannot_be_written_is_a_failure() {
    let world = world().await;
    for args in [&["--json", "sync"][..], &["status"], &["--json", "status"]] {
        let run = run_full(&world, args, true);
        run.fails_with(1, &["cannot write the report to stdout", "succeeded"]);
    }
    let run = run_full(&world, &["--json", "-c", "nope.yaml", "status"], true);
    run.fails_with(2, &["cannot write the report", "nope.yaml"]);
    // A reader that went away is no failure.
    let mut command = world.command(&["--json", "status"]);
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let run = finish(command.stdout(writer).spawn().expect("icesync starts"));
    assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{run:#?}");
}

fn panics(world: &World, place: &str, args: &[&str]) -> Run {
    let mut command = world.command(args);
    command.env("ICESYNC_FAILPOINT", format!("{place}=panic"));
    finish(command.spawn().expect("icesync starts"))
}

/// Small files to compact, and snapshots to expire.
async fn grown(world: &mut World) {
    let auto = format!("{TABLES}maintenance: {{ auto: false, snapshots_max: 2 }}\n");
    world.config(&auto);
    for id in 2..6 {
        world.run(&["--json", "sync"]).json();
        let insert = format!("INSERT dbo.a VALUES ({id}, 1); INSERT dbo.b VALUES ({id}, 1)");
        world.source(&insert).await;
    }
    world.run(&["--json", "sync"]).json();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_in_maintenance_fails_one_chore_of_one_table() {
    let mut world = world().await;
    grown(&mut world).await;
    let run = panics(
        &world,
        icesync::lake::FAIL_AFTER_GROUP,
        &["--json", "maintain"],
    );
    run.fails_with(3, &["dbo.a", "compaction failed", "report it"]);
    let report = run.json_any();
    let tables = report["tables"].as_array().expect("tables");
    assert_eq!(tables.len(), 2, "{report:#}");
    assert_eq!(tables[0]["compact"], json!(null), "{report:#}");
    assert_eq!(tables[0]["expire"]["snapshots"], json!(3), "{report:#}");
    assert!(tables[0]["orphans"].is_object(), "{report:#}");
    assert_eq!(tables[0]["errors"], report["errors"], "{report:#}");
    assert_eq!(tables[1]["compact"]["files_after"], json!(1), "{report:#}");
    assert_eq!(tables[1]["errors"], json!(null), "{report:#}");
    world.run(&["--json", "sync"]).json();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_in_a_relocation_fails_its_table_and_no_other() {
    let mut world = world().await;
    grown(&mut world).await;
    fs::rename(world.warehouse(), world.path("elsewhere")).expect("renamed");
    let path = world.path("icesync.yaml");
    let config = fs::read_to_string(&path).expect("read");
    fs::write(&path, config.replace("./warehouse", "./elsewhere")).expect("written");
    let place = icesync::lake::FAIL_AFTER_MANIFESTS;
    let run = panics(&world, place, &["--json", "relocate"]);
    run.fails_with(3, &["dbo.a", "report it", place]);
    let report = run.json_any();
    assert_eq!(report["tables"][0]["source"], json!("dbo.b"), "{report:#}");
    assert_eq!(report["tables"][0]["moved"], json!(true), "{report:#}");
    let done = world.run(&["--json", "relocate"]).json();
    assert_eq!(done["tables"][0]["moved"], json!(true), "{done:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chore_that_fails_does_not_stop_the_next_one() {
    let mut world = world().await;
    grown(&mut world).await;
    let table = world.lake("dbo", "a");
    let is_data = |path: &Path| !path.to_string_lossy().contains("deletes");
    let files = fs::read_dir(table.join("data")).expect("listed");
    let mut files = files.map(|file| file.expect("a file").path());
    let file = files.find(|path| is_data(path)).expect("a file");
    fs::remove_file(file).expect("removed");
    let run = world.run(&["--json", "maintain", "--table", "dbo.a"]);
    run.fails_with(1, &["dbo.a: compaction failed: "]);
    let report = run.json_any();
    let done = &report["tables"][0];
    assert_eq!(done["compact"], json!(null), "{report:#}");
    assert_eq!(done["expire"]["snapshots"], json!(3), "{report:#}");
    assert!(done["orphans"].is_object(), "{report:#}");
    assert_eq!(done["errors"], report["errors"], "{report:#}");
    // As text: what was done, and why the rest was not.
    let run = world.run(&["maintain"]);
    run.fails_with(3, &["compaction failed", "expire", "orphans", "dbo.b"]);
    let run = world.run(&["--json", "maintain", "--compact", "--table", "dbo.a"]);
    run.fails_with(1, &["compaction failed"]);
    assert_eq!(run.json_any()["tables"], json!([]));
}
