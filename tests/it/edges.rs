//! Maintenance killed at each of its durable edges. Whatever edge it is: every snapshot that the table still has reads
//! as before, no file that one names is missing, commits go on, the next maintenance does the rest, and nothing is
//! left on the disk once that has removed the orphans.

use crate::fixtures::contents::newest_metadata;
use crate::harness::{Run, World, finish};
use crate::isolation::Isolation;
use crate::outside::{
    Row, aged, copied, lake_rows, lake_table, named, nothing_is_left, nothing_is_missing, on_disk,
    states, swept,
};
use icesync::lake;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, Instant};

/// Rows of about 200 bytes that do not compress, so that 5,000 of them are most of a file of 1 MiB.
const SETUP: &str = "CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY, n bigint NOT NULL, \
    payload nvarchar(400) NOT NULL, rv rowversion NOT NULL)";
const CHANGE: &str = "UPDATE dbo.t SET n = n + 1 WHERE id % 500 = 7";
const COLUMNS: [&str; 2] = ["id", "n"];

fn insert(from: u32) -> String {
    format!(
        "INSERT dbo.t (id, n, payload) SELECT s.n, 0, CONCAT(NEWID(), NEWID(), NEWID(), NEWID(), NEWID(), NEWID(), \
            NEWID(), NEWID(), NEWID()) FROM (SELECT TOP (5000) CONVERT(int, ROW_NUMBER() OVER (ORDER BY (SELECT 1))) \
            + {from} AS n FROM sys.all_columns a CROSS JOIN sys.all_columns b) AS s"
    )
}

fn armed(world: &World, args: &[&str], failpoints: &str) -> Child {
    let mut command = world.command(args);
    command
        .env("ICESYNC_FAILPOINT", failpoints)
        .spawn()
        .expect("icesync starts")
}

fn killed(world: &World, args: &[&str], edge: &str) -> Run {
    let killed = finish(armed(world, args, edge));
    assert_eq!(killed.code, -1, "{args:?} at {edge}: {killed:#?}");
    killed
}

fn maintain(world: &World, chore: &str) -> Value {
    let done = world.run(&["--json", "maintain", chore]).json();
    let done = &done["tables"][0];
    assert_eq!(done["warnings"], json!([]), "{chore}: {done:#}");
    done.clone()
}

/// A lake table of several files in one state, to which its folder can be set back.
struct Stage {
    world: World,
    saved: PathBuf,
}

impl Stage {
    async fn new() -> Self {
        Self::of(World::new(SETUP).await).await
    }

    /// Two files of 5,000 rows, a third of which were replaced since: two groups to compact.
    async fn of(mut world: World) -> Self {
        world.config(
            "  - source: dbo.t\n    change: { strategy: rowversion }\nmaintenance: { auto: false, snapshots_max: 1 }\n",
        );
        let path = world.path("icesync.yaml");
        let text = std::fs::read_to_string(&path).expect("read");
        let small = text.replacen("./warehouse", "./warehouse, target_file_size: 1MiB", 1);
        assert_ne!(small, text);
        std::fs::write(path, small).expect("written");
        for change in [
            &insert(0),
            &insert(5000),
            "UPDATE dbo.t SET n = n + 1 WHERE id % 10 < 3",
        ] {
            world.source(change).await;
            world.run(&["--json", "extract"]).json();
        }
        let saved = world.path("saved");
        let stage = Self { world, saved };
        stage.save();
        stage
    }

    fn save(&self) {
        let _ = std::fs::remove_dir_all(&self.saved);
        copied(&self.world.warehouse(), &self.saved);
    }

    fn set_back(&self) {
        std::fs::remove_dir_all(self.world.warehouse()).expect("removed");
        copied(&self.saved, &self.world.warehouse());
    }

    fn table(&self) -> PathBuf {
        self.world.lake("dbo", "t")
    }

    async fn states(&self) -> BTreeMap<i64, Vec<Row>> {
        states(&lake_table(&self.world).await, &COLUMNS).await
    }

    async fn rows(&self) -> Vec<Row> {
        lake_rows(&lake_table(&self.world).await, None, &COLUMNS).await
    }

    /// No file is missing, the current rows are `rows`, and each snapshot has the rows that it had.
    async fn reads(&self, rows: &[Row], before: &BTreeMap<i64, Vec<Row>>, what: &str) {
        nothing_is_missing(&self.table(), what);
        assert!(self.rows().await == rows, "{what}: other rows");
        for (id, now) in self.states().await {
            let before = before.get(&id).map_or(rows, Vec::as_slice);
            assert!(now == before, "{what}: snapshot {id} has other rows");
        }
    }

    /// What the source has, as the lake shows it.
    async fn source(&mut self) -> Vec<Row> {
        let rows = self.world.source_rows("SELECT id, n FROM dbo.t").await;
        let number = |cell: &String| cell.split(['(', ')']).nth(1).expect("a number").to_owned();
        let mut rows: Vec<Row> = rows
            .iter()
            .map(|row| row.iter().map(number).collect())
            .collect();
        rows.sort();
        rows
    }

    /// After a kill: reads are equal, commits go on, the next run does the rest, and nothing is left.
    async fn recovers(
        &mut self,
        chore: &str,
        rows: &[Row],
        before: &BTreeMap<i64, Vec<Row>>,
        what: &str,
    ) {
        self.reads(rows, before, what).await;
        let known = self.states().await;
        self.world.source(CHANGE).await;
        self.world.run(&["--json", "extract"]).json();
        let source = self.source().await;
        self.reads(&source, &known, what).await;
        let known = self.states().await;
        maintain(&self.world, chore);
        self.reads(&source, &known, what).await;
        let again = self
            .world
            .run(&["--json", "maintain", chore, "--dry-run"])
            .json();
        let again = &again["tables"][0];
        let left = match chore {
            "--compact" => &again["compact"]["groups"],
            "--expire" => &again["expire"]["snapshots"],
            _ => &again["orphans"]["files"],
        };
        assert_eq!(left, &json!(0), "{what}: {again:#}");
        swept(&self.world);
        nothing_is_left(&self.table(), what);
        self.reads(&source, &known, what).await;
    }

    /// Files that were there in the saved state and are gone.
    fn gone(&self, before: &BTreeSet<PathBuf>) -> BTreeSet<PathBuf> {
        let now = on_disk(&self.table());
        before.difference(&now).cloned().collect()
    }

    /// The end: a target gets the rows of a lake that has been through all this.
    async fn loads(&mut self) {
        self.world.run(&["--json", "load"]).json();
        let content = "SELECT COUNT(*), SUM(n), SUM(CAST(id AS bigint) * n) FROM dbo.t";
        let source = self.world.source_rows(content).await;
        assert_eq!(source, self.world.target_rows(content).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn compaction_killed_at_each_edge_of_each_group() {
    let mut stage = Stage::new().await;
    let (rows, before) = (stage.rows().await, stage.states().await);
    let dry = stage
        .world
        .run(&["--json", "maintain", "--compact", "--dry-run"])
        .json();
    assert_eq!(dry["tables"][0]["compact"]["groups"], json!(2), "{dry:#}");
    let edges = [
        (lake::FAIL_AFTER_GROUP, 0),
        (lake::FAIL_AFTER_MANIFESTS, 0),
        (lake::FAIL_AFTER_METADATA, 1),
        (lake::FAIL_AFTER_HINT, 1),
    ];
    for group in 1..=2 {
        for (edge, committed) in edges {
            let edge = format!("{edge}:{group}");
            stage.set_back();
            killed(&stage.world, &["maintain", "--compact"], &edge);
            let snapshots = lake_table(&stage.world).await.snapshots().len();
            assert_eq!(snapshots, before.len() + group - 1 + committed, "{edge}");
            stage.recovers("--compact", &rows, &before, &edge).await;
        }
    }
    stage.loads().await;
}

/// The rows of a group are written when another run replaces some of them, so the commit brings position deletes.
#[tokio::test(flavor = "multi_thread")]
async fn compaction_that_carries_deletes_over_killed_at_each_edge() {
    let mut stage = Stage::new().await;
    for edge in [
        lake::FAIL_AFTER_MANIFESTS,
        lake::FAIL_AFTER_METADATA,
        lake::FAIL_AFTER_HINT,
    ] {
        stage.set_back();
        let hold = Hold::new(
            &stage.world,
            &["maintain", "--compact"],
            lake::FAIL_AFTER_GROUP,
            Some(edge),
        );
        stage.world.source(CHANGE).await;
        stage.world.run(&["--json", "extract"]).json();
        let (rows, before) = (stage.source().await, stage.states().await);
        let killed = hold.released();
        assert_eq!(killed.code, -1, "{edge}: {killed:#?}");
        let carried = on_disk(&stage.table());
        let is_carried = |path: &PathBuf| path.to_string_lossy().ends_with("-deletes.parquet");
        assert!(
            carried.iter().filter(|path| is_carried(path)).count() > 2,
            "{carried:#?}"
        );
        stage.recovers("--compact", &rows, &before, edge).await;
    }
    stage.loads().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn expiry_killed_at_each_edge_and_between_any_two_files() {
    let mut stage = Stage::new().await;
    maintain(&stage.world, "--compact");
    stage.world.source(CHANGE).await;
    stage.world.run(&["--json", "extract"]).json();
    stage.save();
    let (rows, before) = (stage.rows().await, stage.states().await);
    let all = on_disk(&stage.table());
    let done = maintain(&stage.world, "--expire");
    let files = done["expire"]["files"].as_u64().expect("a number") as usize;
    assert!(files > 10, "{done:#}");
    let mut edges = vec![
        (lake::FAIL_AFTER_METADATA.to_owned(), 0),
        (lake::FAIL_AFTER_HINT.to_owned(), 0),
        (lake::FAIL_AFTER_EXPIRE.to_owned(), 0),
    ];
    let removals =
        (1..=files).map(|file| (format!("{}:{file}", lake::FAIL_AFTER_EXPIRED_FILE), file));
    edges.extend(removals);
    for (edge, removed) in edges {
        stage.set_back();
        killed(&stage.world, &["maintain", "--expire"], &edge);
        assert_eq!(
            lake_table(&stage.world).await.snapshots().len(),
            1,
            "{edge}"
        );
        assert_eq!(stage.gone(&all).len(), removed, "{edge}");
        stage.recovers("--expire", &rows, &before, &edge).await;
    }
    stage.loads().await;
}

/// Makes orphans: what runs leave that are killed before their commit, and a temporary file.
async fn orphaned(world: &mut World, args: &[&str]) -> BTreeSet<PathBuf> {
    for edge in [lake::FAIL_AFTER_DATA_FILES, lake::FAIL_AFTER_MANIFESTS] {
        world.source(CHANGE).await;
        killed(world, args, edge);
    }
    let table = world.lake("dbo", "t");
    std::fs::write(table.join("metadata/.0123.tmp"), b"x").expect("written");
    let orphans: BTreeSet<_> = on_disk(&table)
        .difference(&named(&table))
        .cloned()
        .collect();
    assert!(orphans.len() > 4, "{orphans:#?}");
    orphans
}

#[tokio::test(flavor = "multi_thread")]
async fn orphan_removal_killed_between_any_two_files() {
    let mut stage = Stage::new().await;
    let orphans = orphaned(&mut stage.world, &["extract"]).await;
    stage.save();
    let (rows, before) = (stage.rows().await, stage.states().await);
    let all = on_disk(&stage.table());
    for removed in 1..=orphans.len() {
        stage.set_back();
        aged(&all);
        let edge = format!("{}:{removed}", lake::FAIL_AFTER_ORPHAN);
        killed(&stage.world, &["maintain", "--orphans"], &edge);
        let gone = stage.gone(&all);
        assert_eq!(gone.len(), removed, "{edge}");
        assert!(gone.is_subset(&orphans), "{edge}: {gone:#?}");
        stage.recovers("--orphans", &rows, &before, &edge).await;
    }
    stage.loads().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn old_metadata_killed_between_any_two_files() {
    let mut stage = Stage::new().await;
    // As a user who keeps two versions, from now on.
    let (path, mut metadata) = newest_metadata(&stage.table());
    metadata["properties"]["write.metadata.previous-versions-max"] = json!("2");
    std::fs::write(&path, metadata.to_string()).expect("written");
    stage.save();
    let (rows, before) = (stage.rows().await, stage.states().await);
    let all = on_disk(&stage.table());
    // Version 5 comes; 4 and 3 are in its log.
    for removed in 1..=2 {
        stage.set_back();
        let edge = format!("{}:{removed}", lake::FAIL_AFTER_OLD_METADATA);
        killed(&stage.world, &["maintain", "--compact"], &edge);
        let oldest = ["v1.metadata.json", "v2.metadata.json"];
        let oldest = oldest[..removed]
            .iter()
            .map(|name| stage.table().join("metadata").join(name));
        assert_eq!(stage.gone(&all), oldest.collect(), "{edge}");
        stage.recovers("--compact", &rows, &before, &edge).await;
    }
    stage.loads().await;
}

/// A process that waits at a failpoint, and may die at another one later.
struct Hold {
    child: Child,
    file: PathBuf,
}

impl Hold {
    fn new(world: &World, args: &[&str], place: &str, then: Option<&str>) -> Self {
        let file = world.path("held");
        let mut failpoints = format!("{place}={}", file.display());
        failpoints.extend(then.iter().flat_map(|then| [",", then]));
        let child = armed(world, args, &failpoints);
        let deadline = Instant::now() + Duration::from_secs(60);
        while !file.exists() {
            assert!(Instant::now() < deadline, "{place} is never reached");
            std::thread::sleep(Duration::from_millis(5));
        }
        Self { child, file }
    }

    fn released(self) -> Run {
        std::fs::remove_file(self.file).expect("released");
        finish(self.child)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn orphans_are_removed_beside_running_syncs() {
    let mut stage = Stage::new().await;
    stage.world.run(&["--json", "load"]).json();
    for round in 0..4 {
        let what = format!("round {round}");
        let orphans = orphaned(&mut stage.world, &["sync"]).await;
        aged(&on_disk(&stage.table()));
        let runs = [
            stage.world.spawn(&["--json", "maintain", "--orphans"]),
            stage.world.spawn(&["--json", "sync"]),
            stage.world.spawn(&["--json", "maintain"]),
            stage.world.spawn(&["--json", "maintain", "--orphans"]),
        ];
        let runs = runs.map(finish);
        for run in &runs {
            assert_eq!(run.code, 0, "{what}: {runs:#?}");
        }
        // Either of the two may be there first.
        let removed =
            [&runs[0], &runs[3]].map(|run| run.json()["tables"][0]["orphans"]["files"].as_u64());
        assert!(
            removed.iter().any(|files| *files > Some(0)),
            "{what}: {runs:#?}"
        );
        assert_eq!(stage.gone(&orphans), orphans, "{what}");
        let source = stage.source().await;
        let known = stage.states().await;
        stage.reads(&source, &known, &what).await;
        stage.loads().await;
    }
    swept(&stage.world);
    nothing_is_left(&stage.table(), "the end");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_named_while_orphans_are_removed_stays() {
    let stage = Stage::new().await;
    let rows = stage.rows().await;
    let lost = [1, 2].map(|at| stage.table().join(format!("data/lost-{at}.parquet")));
    for path in &lost {
        std::fs::write(path, b"x").expect("written");
    }
    aged(&lost);
    let args = ["--json", "maintain", "--orphans"];
    let hold = Hold::new(&stage.world, &args, lake::FAIL_AFTER_ORPHAN, None);
    let left = lost.iter().find(|path| path.exists()).expect("one is left");
    // Another engine publishes a version that names it.
    let (path, mut metadata) = newest_metadata(&stage.table());
    metadata["statistics"] = json!([{
        "snapshot-id": metadata["current-snapshot-id"].clone(),
        "statistics-path": format!("file://{}", left.display()),
        "file-size-in-bytes": 1, "file-footer-size-in-bytes": 1, "blob-metadata": [],
    }]);
    let name = path.file_name().expect("a name").to_string_lossy();
    let number = name
        .strip_prefix('v')
        .and_then(|name| name.split('.').next());
    let next = number
        .and_then(|number| number.parse::<u64>().ok())
        .expect("a number")
        + 1;
    let next = path.with_file_name(format!("v{next}.metadata.json"));
    std::fs::write(next, metadata.to_string()).expect("written");
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let done = hold.released().json();
    assert_eq!(done["tables"][0]["orphans"]["files"], json!(1), "{done:#}");
    assert!(left.exists(), "{done:#}");
    assert!(stage.rows().await == rows);
}

/// The newest version once more, with a property of another engine, which overwrites the version that comes next.
fn of_another_engine(table: &Path) -> String {
    let (_, mut metadata) = newest_metadata(table);
    metadata["properties"]["owner"] = json!("another engine");
    metadata.to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_version_another_engine_overwrites_is_made_again() {
    let mut stage = Stage::new().await;
    let table = stage.table();
    stage.world.source(CHANGE).await;
    let theirs = of_another_engine(&table);
    let args = ["--json", "extract"];
    let hold = Hold::new(&stage.world, &args, lake::FAIL_AFTER_METADATA, None);
    let (overwritten, _) = newest_metadata(&table);
    std::fs::write(&overwritten, &theirs).expect("written");
    hold.released().json();
    let kept = std::fs::read_to_string(&overwritten).expect("read");
    assert!(kept == theirs, "the other engine's version has changed");
    let (newest, metadata) = newest_metadata(&table);
    assert!(newest != overwritten);
    assert_eq!(metadata["properties"]["owner"], json!("another engine"));
    let source = stage.source().await;
    let known = stage.states().await;
    stage.reads(&source, &known, "overwritten").await;
    stage.loads().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expiry_whose_version_another_engine_overwrites_removes_no_file() {
    let mut stage = Stage::new().await;
    let table = stage.table();
    maintain(&stage.world, "--compact");
    stage.world.source(CHANGE).await;
    stage.world.run(&["--json", "extract"]).json();
    let (rows, before) = (stage.rows().await, stage.states().await);
    let theirs = of_another_engine(&table);
    let args = ["--json", "maintain", "--expire"];
    let hold = Hold::new(&stage.world, &args, lake::FAIL_AFTER_EXPIRE, None);
    let (overwritten, _) = newest_metadata(&table);
    std::fs::write(overwritten, theirs).expect("written");
    let done = hold.released().json();
    let expire = &done["tables"][0]["expire"];
    assert_eq!(expire["files"], json!(0), "{done:#}");
    assert!(
        expire["warnings"].to_string().contains("put back"),
        "{done:#}"
    );
    assert_eq!(stage.states().await.len(), before.len());
    stage.reads(&rows, &before, "put back").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_held_keeps_its_files_while_all_maintenance_goes_on() {
    let mut stage = Stage::new().await;
    for edge in [lake::FAIL_AFTER_DATA_FILES, lake::FAIL_AFTER_MANIFESTS] {
        aged(&on_disk(&stage.table()));
        stage.world.source(CHANGE).await;
        let run = Hold::new(&stage.world, &["sync"], edge, None);
        let orphans = maintain(&stage.world, "--orphans")["orphans"].clone();
        assert!(orphans["young"].as_u64() > Some(1), "{edge}: {orphans:#}");
        assert_eq!(orphans["files"], json!(0), "{edge}: {orphans:#}");
        for chore in ["--compact", "--expire", "--orphans"] {
            maintain(&stage.world, chore);
        }
        let run = run.released();
        assert_eq!(run.code, 0, "{edge}: {run:#?}");
        let source = stage.source().await;
        let known = stage.states().await;
        stage.reads(&source, &known, edge).await;
        stage.loads().await;
        swept(&stage.world);
        nothing_is_left(&stage.table(), edge);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compaction_that_is_held_gives_way_to_another_and_leaves_nothing() {
    let mut stage = Stage::new().await;
    let held = Hold::new(
        &stage.world,
        &["--json", "maintain", "--compact"],
        lake::FAIL_AFTER_GROUP,
        None,
    );
    maintain(&stage.world, "--compact");
    stage.world.source(CHANGE).await;
    stage.world.run(&["--json", "extract"]).json();
    maintain(&stage.world, "--expire");
    let known = stage.states().await;
    let held = held.released().json();
    let compact = &held["tables"][0]["compact"];
    // The files of its second group were removed before it read them.
    assert_eq!(compact["groups_superseded"], json!(2), "{held:#}");
    let source = stage.source().await;
    stage.reads(&source, &known, "superseded").await;
    nothing_is_left(&stage.table(), "superseded");
    stage.loads().await;
}

/// The names in a version are collected when an expiry removes its manifests.
#[tokio::test(flavor = "multi_thread")]
async fn orphan_removal_goes_on_when_the_table_is_maintained_meanwhile() {
    let mut stage = Stage::new().await;
    let orphans = orphaned(&mut stage.world, &["extract"]).await;
    aged(&on_disk(&stage.table()));
    let args = ["--json", "maintain", "--orphans"];
    let held = Hold::new(&stage.world, &args, lake::FAIL_AFTER_LISTING, None);
    maintain(&stage.world, "--compact");
    stage.world.run(&["--json", "extract"]).json();
    let expired = maintain(&stage.world, "--expire");
    assert!(expired["expire"]["files"].as_u64() > Some(5), "{expired:#}");
    let known = stage.states().await;
    let held = held.released();
    assert_eq!(held.code, 0, "{held:#?}");
    assert_eq!(stage.gone(&orphans), orphans);
    let source = stage.source().await;
    stage.reads(&source, &known, "held").await;
    nothing_is_left(&stage.table(), "held");
    stage.loads().await;
}

/// Files of a ledger are listed as nobody's data files, however old; then their run's successor commits them.
#[tokio::test(flavor = "multi_thread")]
async fn orphan_removal_keeps_a_ledger_that_is_committed_meanwhile() {
    let world = World::with_isolation(Isolation::for_ranges("rowversion"), SETUP).await;
    let mut stage = Stage::of(world).await;
    std::fs::remove_dir_all(stage.world.warehouse()).expect("removed");
    let config = stage.world.path("icesync.yaml");
    let text = std::fs::read_to_string(&config).expect("read");
    let ranges = text.replacen(
        "strategy: rowversion",
        "strategy: rowversion, range_rows: 1000",
        1,
    );
    assert_ne!(ranges, text);
    std::fs::write(config, ranges).expect("written");
    killed(
        &stage.world,
        &["extract"],
        &format!("{}:4", icesync::sync::FAIL_AFTER_RANGE),
    );
    aged(&on_disk(&stage.table()));
    let args = ["--json", "maintain", "--orphans"];
    let held = Hold::new(&stage.world, &args, lake::FAIL_AFTER_LISTING, None);
    let run = stage.world.run(&["--json", "extract"]).json();
    assert_eq!(
        run["tables"][0]["extract"]["ranges_resumed"],
        json!(4),
        "{run:#}"
    );
    let held = held.released();
    assert_eq!(held.code, 0, "{held:#?}");
    let source = stage.source().await;
    let known = stage.states().await;
    stage.reads(&source, &known, "a ledger").await;
    nothing_is_left(&stage.table(), "a ledger");
    stage.loads().await;
}
