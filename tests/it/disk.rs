//! Disks that are full, limits on files, and a panic: the error names the file and says why, nothing is left behind,
//! and no other table is touched by it.

use crate::harness::{Run, World, finish};
use serde_json::json;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const SETUP: &str = "CREATE TABLE dbo.small (id int NOT NULL PRIMARY KEY, n int NOT NULL)
GO
INSERT dbo.small VALUES (1, 1)
GO
CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY, payload nvarchar(100) NOT NULL)
GO
INSERT dbo.t SELECT s.n, CONCAT(NEWID(), NEWID())
FROM (SELECT TOP (40000) CONVERT(int, ROW_NUMBER() OVER (ORDER BY (SELECT 1))) AS n
    FROM sys.all_columns a CROSS JOIN sys.all_columns b) AS s";

fn tables(range_rows: u32) -> String {
    let change = format!("change: {{ strategy: full, range_rows: {range_rows} }}");
    format!("  - source: dbo.small\n    {change}\n  - source: dbo.t\n    {change}\n")
}

/// Data files of the large table.
fn data_files(world: &World) -> BTreeSet<PathBuf> {
    let files = std::fs::read_dir(world.lake("dbo", "t").join("data")).expect("listed");
    files.map(|file| file.expect("a file").path()).collect()
}

/// The large table failed for want of space, the small one is done, and the report says both.
fn is_full(run: &Run, world: &World) {
    run.fails_with(3, &["no space left", "/data/"]);
    let report = run.json_any();
    let tables = report["tables"].as_array().expect("tables");
    assert_eq!(tables.len(), 2, "{report:#}");
    assert_eq!(tables[0]["outcome"], json!("done"), "{report:#}");
    assert_eq!(tables[1]["outcome"], json!("failed"), "{report:#}");
    assert_eq!(
        tables[1]["error"]["disposition"],
        json!("definite"),
        "{report:#}"
    );
    assert!(!run.stderr.contains("panicked"), "{run:#?}");
    assert_eq!(data_files(world), BTreeSet::new(), "{run:#?}");
}

/// `icesync` under a limit on the size of each file, whose signal is ignored so that writing fails instead.
fn limited(world: &World) -> Run {
    let plain = world.command(&[]);
    let mut shell = Command::new("bash");
    shell
        .arg("-c")
        .arg("trap '' XFSZ; ulimit -f 256; exec \"$0\" --json extract")
        .arg(plain.get_program())
        .current_dir(world.dir.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    for (name, value) in plain.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    finish(shell.spawn().expect("bash starts"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_on_files_fails_the_table_and_no_other() {
    let world = World::new(SETUP).await;
    // In one stream and in ranges.
    for range_rows in [0, 20_000] {
        world.config(&tables(range_rows));
        is_full(&limited(&world), &world);
        let small = std::fs::remove_dir_all(world.lake("dbo", "small"));
        small.expect("removed, so that the next run reads it again");
    }
    // With room the same tables are read.
    world.run(&["--json", "extract"]).json();
    assert!(!data_files(&world).is_empty());
}

/// A file system of its own; none where mounting is not allowed.
struct Mount(PathBuf);

impl Mount {
    fn new(at: &Path, size: &str) -> Option<Self> {
        std::fs::create_dir_all(at).expect("a folder");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(at)
            .stderr(Stdio::null())
            .status();
        match mounted {
            Ok(status) if status.success() => Some(Self(at.to_owned())),
            Ok(_) | Err(_) => None,
        }
    }

    fn remount(&self, option: &str) {
        let status = Command::new("mount")
            .args(["-o", &format!("remount,{option}")])
            .arg(&self.0)
            .status();
        assert!(status.expect("mount runs").success());
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_or_read_only_disk_is_named() {
    let world = World::new(SETUP).await;
    let Some(disk) = Mount::new(&world.warehouse(), "300k") else {
        eprintln!("SKIPPED: a full disk needs the right to mount a tmpfs");
        return;
    };
    world.config(&tables(0));
    is_full(&world.run(&["--json", "extract"]), &world);
    disk.remount("size=64m");
    world.run(&["--json", "extract"]).json();
    let files = data_files(&world);
    disk.remount("ro");
    let status = world.run(&["--json", "status"]).json();
    assert_eq!(status["tables"][1]["lake"]["rows"], json!(40_000));
    let mut writing = world;
    writing
        .source("UPDATE dbo.t SET payload = N'changed' WHERE id = 7")
        .await;
    let run = writing.run(&["--json", "extract", "--table", "dbo.t"]);
    run.fails_with(1, &["read-only", "mount it writable"]);
    assert_eq!(data_files(&writing), files);
    disk.remount("rw");
    writing.run(&["--json", "extract"]).json();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_fails_its_table_and_no_other() {
    let world = World::new(SETUP).await;
    world.config(&tables(0));
    // One worker: the second table is the large one.
    let path = world.path("icesync.yaml");
    let text = std::fs::read_to_string(&path).expect("read");
    let one = text.replacen("}\"", "}\", parallel_tables: 1", 1);
    assert_ne!(one, text);
    std::fs::write(&path, one).expect("written");
    let place = icesync::lake::FAIL_AFTER_DATA_FILES;
    for (at, failed) in [(1, 0), (2, 1)] {
        let run = world
            .command(&["--json", "extract"])
            .env("ICESYNC_FAILPOINT", format!("{place}:{at}=panic"))
            .spawn()
            .expect("starts");
        let run = finish(run);
        assert_eq!(run.code, 3, "{run:#?}");
        let report = run.json_any();
        let tables = report["tables"].as_array().expect("tables");
        assert_eq!(tables.len(), 2, "{report:#}");
        assert_eq!(tables[failed]["outcome"], json!("failed"), "{report:#}");
        assert_eq!(tables[1 - failed]["error"], json!(null), "{report:#}");
        let message = tables[failed]["error"]["message"].to_string();
        assert!(message.contains("report it"), "{message}");
        assert!(message.contains(place), "{message}");
    }
    world.run(&["--json", "extract"]).json();
}
