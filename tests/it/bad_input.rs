//! What goes wrong before anything is written: a clear message, the documented exit code, nothing half done.

use crate::harness::{PASSWORD, World, server, skipped};
use icesync::report::Exit;
use std::fs;
use std::path::Path;
use std::process::Command;

const T: &str = "CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY, name nvarchar(20) NULL, rv rowversion NOT NULL)
GO
INSERT dbo.t (id, name) VALUES (1, N'one'), (2, N'two')
GO
CREATE TABLE dbo.keyless (a int NULL)";

async fn world() -> World {
    let world = World::new(T).await;
    world.config("  - source: dbo.t\n");
    world
}

fn edit(world: &World, from: &str, to: &str) {
    let path = world.path("icesync.yaml");
    let text = fs::read_to_string(&path).expect("text");
    assert!(text.contains(from), "{text}");
    fs::write(path, text.replace(from, to)).expect("written");
}

#[tokio::test(flavor = "multi_thread")]
async fn usage_and_configuration_exit_with_2() {
    let world = world().await;
    world.run(&["frobnicate"]).fails_with(2, &["frobnicate"]);
    world
        .run(&["-c", "nowhere.yaml", "extract"])
        .fails_with(2, &["nowhere.yaml", "-c FILE"]);
    world
        .run(&["extract", "--table", "dbo.other"])
        .fails_with(2, &["dbo.other", "dbo.t"]);
    world
        .run(&["load", "--snapshot", "yesterday"])
        .fails_with(2, &["latest"]);

    edit(
        &world,
        "  - source: dbo.t\n",
        "  - source: dbo.t\n    chnage: { lag: 1s }\n",
    );
    world
        .run(&["extract"])
        .fails_with(2, &["icesync.yaml", "tables[0]", "chnage", "change"]);
    edit(&world, "chnage: { lag: 1s }", "change: { lag: soon }");
    world
        .run(&["extract"])
        .fails_with(2, &["icesync.yaml", "tables[0].change.lag"]);
    edit(&world, "{ lag: soon }", "{ strategy: timestamp }");
    world
        .run(&["extract"])
        .fails_with(2, &["tables[0].change.column"]);
    edit(
        &world,
        "{ strategy: timestamp }",
        "{ strategy: full, page_rows: 1 }",
    );
    world
        .run(&["extract"])
        .fails_with(2, &["tables[0].change.page_rows", "commit_rows"]);
    edit(&world, "page_rows: 1", "commit_rows: 1");
    world
        .run(&["extract"])
        .fails_with(2, &["tables[0].change.commit_rows"]);
    edit(&world, "commit_rows: 1", "commit_rows: 0");
    edit(&world, "${ICESYNC_SOURCE}", "${ICESYNC_NOT_SET}");
    world
        .run(&["extract"])
        .fails_with(2, &["source.connection", "ICESYNC_NOT_SET"]);
    edit(
        &world,
        "\"${ICESYNC_NOT_SET}\"",
        "\"Server=here;Passwort=geheim7\"",
    );
    let run = world.run(&["extract"]);
    run.fails_with(2, &["source.connection"]);
    assert!(!run.stderr.contains("geheim7"), "{run:#?}");
    edit(&world, "tables:", "tables: [");
    world
        .run(&["extract"])
        .fails_with(2, &["icesync.yaml", "YAML"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn logins_and_servers() {
    let world = world().await;
    let good = server().connection(&world.source_db);
    let wrong = good.replace(&PASSWORD.replace('"', "\"\""), "wrong");
    if wrong != good {
        let run = crate::harness::finish(
            world
                .command(&["extract"])
                .env("ICESYNC_SOURCE", wrong)
                .spawn()
                .expect("starts"),
        );
        run.fails_with(1, &["source: login", "18456"]);
    } else {
        skipped("a wrong password");
    }
    let missing = good.replace(&world.source_db, "no_such_database");
    let run = crate::harness::finish(
        world
            .command(&["extract"])
            .env("ICESYNC_SOURCE", missing)
            .spawn()
            .expect("starts"),
    );
    run.fails_with(1, &["source: login", "no_such_database"]);

    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .expect("a port")
        .local_addr()
        .expect("an address");
    let nobody = format!(
        "Server=127.0.0.1,{};User ID=sa;Password=x;Encrypt=false;Database=d",
        free.port()
    );
    let run = crate::harness::finish(
        world
            .command(&["extract"])
            .env("ICESYNC_SOURCE", nobody)
            .spawn()
            .expect("starts"),
    );
    run.fails_with(75, &["127.0.0.1", &free.port().to_string()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn source_tables() {
    let world = world().await;
    edit(&world, "dbo.t", "dbo.T_missing");
    world.run(&["extract"]).fails_with(1, &["dbo.T_missing"]);
    edit(&world, "dbo.T_missing", "dbo.keyless");
    world
        .run(&["extract"])
        .fails_with(1, &["dbo.keyless", "key", "history"]);
    edit(&world, "dbo.keyless", "dbo.t\n    key: [nope]");
    world.run(&["extract"]).fails_with(1, &["dbo.t", "nope"]);
    edit(
        &world,
        "key: [nope]",
        "change: { strategy: timestamp, column: name }",
    );
    world
        .run(&["extract"])
        .fails_with(1, &["dbo.t", "name", "nvarchar"]);
    assert!(
        !world.warehouse().join("dbo").exists(),
        "something was written"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn some_tables_failing_exits_with_3() {
    let world = world().await;
    world.config("  - source: dbo.t\n  - source: dbo.missing\n");
    let run = world.run(&["--json", "extract"]);
    assert_eq!(run.code, 3, "{run:#?}");
    let report = run.json_any();
    assert_eq!(report["outcome"], "partial");
    assert_eq!(report["tables"][0]["extract"]["inserted"], 2);
    assert!(
        report["tables"][1]["error"]["message"]
            .as_str()
            .is_some_and(|text| text.contains("dbo.missing"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn warehouses() {
    let mut world = world().await;
    fs::write(world.warehouse(), "a file").expect("written");
    world.run(&["extract"]).fails_with(1, &["warehouse"]);
    fs::remove_file(world.warehouse()).expect("removed");
    edit(&world, "./warehouse", "ftp://host/warehouse");
    world
        .run(&["extract"])
        .fails_with(2, &["warehouse.location", "file://"]);
    edit(&world, "ftp://host/warehouse", "./warehouse");
    world.run(&["load"]).fails_with(1, &["dbo.t", "extract"]);

    world.run(&["--json", "extract"]).json();
    let metadata = world.lake("dbo", "t").join("metadata");
    let hint = metadata.join("version-hint.text");
    let version: u32 = fs::read_to_string(&hint)
        .expect("hint")
        .parse()
        .expect("a number");

    // A stale hint is repaired forward.
    fs::write(&hint, "1").expect("written");
    let status = world.run(&["--json", "status"]).json();
    assert_eq!(status["tables"][0]["lake"]["rows"], 2, "{status:#}");
    world
        .source("UPDATE dbo.t SET name = N'zwei' WHERE id = 2")
        .await;
    world.run(&["--json", "extract"]).json();
    assert_eq!(
        fs::read_to_string(&hint).expect("hint"),
        (version + 1).to_string()
    );

    // A hint that points nowhere is said, and mended from the files that are there.
    fs::write(&hint, "99").expect("written");
    let run = world.run(&["--json", "status"]);
    assert_eq!(run.json()["tables"][0]["lake"]["rows"], 2);
    assert!(run.stderr.contains("version-hint"), "{run:#?}");

    fs::write(&hint, (version + 1).to_string()).expect("written");
    let newest = metadata.join(format!("v{}.metadata.json", version + 1));
    let whole = fs::read(&newest).expect("read");
    fs::write(&newest, &whole[..whole.len() / 2]).expect("truncated");
    world
        .run(&["extract"])
        .fails_with(1, &["dbo.t", &format!("v{}.metadata.json", version + 1)]);
    fs::write(&newest, whole).expect("restored");
    world.run(&["--json", "sync"]).json();
}

#[tokio::test(flavor = "multi_thread")]
async fn targets() {
    let mut world = world().await;
    world.run(&["--json", "extract"]).json();
    world
        .target("CREATE TABLE dbo.t (id smallint NOT NULL PRIMARY KEY, rv binary(8) NULL)")
        .await;
    world
        .run(&["load"])
        .fails_with(1, &["dbo.t", "id", "smallint", "name", "ALTER TABLE"]);
    world.target("DROP TABLE dbo.t; CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY, name nvarchar(2) NULL, rv \
        binary(8) NULL)").await;
    world.run(&["load"]).fails_with(1, &["name", "nvarchar(2)"]);
    assert_eq!(
        world.target_rows("SELECT COUNT(*) FROM dbo.t").await,
        [["Int(0)"]]
    );
    world.target("DROP TABLE dbo.t").await;
    world.run(&["--json", "load"]).json();
    assert_eq!(
        world.target_rows("SELECT COUNT(*) FROM dbo.t").await,
        [["Int(2)"]]
    );
}

/// The codes that a table lists, with `first` and `last` around each line's first cell.
fn listed(text: &str, first: &str, last: &str) -> Vec<u8> {
    let cells = text.lines().filter_map(|line| {
        let (cell, _) = line.strip_prefix(first)?.split_once(last)?;
        cell.split(", ").map(|code| code.parse().ok()).collect()
    });
    cells.collect::<Vec<Vec<u8>>>().concat()
}

#[test]
fn the_help_and_the_guide_list_the_exit_codes_that_there_are() {
    let codes = Exit::ALL.map(Exit::code);
    let help = Command::new(env!("CARGO_BIN_EXE_icesync"))
        .arg("--help")
        .output()
        .expect("icesync starts");
    let help = String::from_utf8(help.stdout).expect("text");
    let (_, help) = help.split_once("Exit codes:\n").expect("a list");
    assert_eq!(listed(help, "  ", "  "), codes, "{help}");
    for exit in Exit::ALL {
        assert!(help.contains(exit.meaning()), "{exit:?}: {help}");
    }
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/GUIDE.md");
    let guide = std::fs::read_to_string(guide).expect("the guide");
    let (_, section) = guide.split_once("\n### Exit codes\n").expect("a section");
    let (section, _) = section.split_once("\n### ").expect("another section");
    assert_eq!(listed(section, "| ", " |"), codes, "{section}");
}
