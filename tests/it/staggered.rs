//! A large first read that overlaps with another, or that is cut short: finished ranges survive whatever ends the run,
//! and no run deletes files that another one commits.

use crate::harness::{Run, World, finish, server};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Ranges of the table that [`world`] makes.
const RANGES: usize = 6;
const CONTENT: &str = "SELECT COUNT(*), SUM(CAST(n AS bigint)), SUM(CAST(n AS bigint) * n), COUNT(DISTINCT n), \
    MAX(payload) FROM dbo.t";

async fn world(strategy: &str) -> World {
    let world = World::new(
        "CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY, payload nvarchar(60) NOT NULL, n int NOT NULL, rv rowversion \
            NOT NULL)
GO
INSERT dbo.t (id, payload, n) SELECT s.n, CONCAT(N'row ', s.n), s.n FROM (SELECT TOP (6000) CONVERT(int, ROW_NUMBER() \
OVER (ORDER BY (SELECT 1))) AS n
FROM sys.all_columns a CROSS JOIN sys.all_columns b) AS s",
    )
    .await;
    world.config(&format!(
        "  - source: dbo.t\n    change: {{ strategy: {strategy}, range_rows: 1000 }}\n"
    ));
    world
}

fn extract(run: &Value) -> &Value {
    &run["tables"][0]["extract"]
}

/// Starts an extract that waits when it has parked as many ranges itself, and waits until it does.
fn held(world: &World, ranges: usize, source: &str) -> (Child, PathBuf) {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let file = world.path(&format!("held-{}", NEXT.fetch_add(1, Ordering::SeqCst)));
    let place = icesync::sync::FAIL_AFTER_RANGE;
    let child = world
        .command(&["--json", "extract"])
        .env(
            "ICESYNC_FAILPOINT",
            format!("{place}:{ranges}={}", file.display()),
        )
        .env("ICESYNC_SOURCE", source)
        .spawn()
        .expect("starts");
    let deadline = Instant::now() + Duration::from_secs(60);
    while !file.exists() {
        assert!(Instant::now() < deadline, "range {ranges} is never reached");
        std::thread::sleep(Duration::from_millis(5));
    }
    (child, file)
}

fn names(directory: &Path, keep: impl Fn(&str) -> bool) -> BTreeSet<String> {
    let files = std::fs::read_dir(directory).expect("listed");
    let names = files.map(|file| file.expect("a file").file_name());
    let names = names.map(|name| name.to_string_lossy().into_owned());
    names.filter(|name| keep(name)).collect()
}

/// One snapshot, every file of it there, every row once, and nothing else in the table's folder.
async fn one_result(world: &mut World, what: &str) {
    world.run(&["--json", "load"]).json();
    let source = world.source_rows(CONTENT).await;
    assert_eq!(source, world.target_rows(CONTENT).await, "{what}");
    let listed = world.run(&["--json", "snapshots"]).json();
    let snapshots = listed["tables"][0]["snapshots"].as_array().map(Vec::len);
    assert_eq!(snapshots, Some(1), "{what}: {listed:#}");
    let table = world.lake("dbo", "t");
    let data = names(&table.join("data"), |_| true);
    assert_eq!(data.len(), RANGES, "{what}: {data:?}");
    let lists = names(&table.join("metadata"), |name| name.starts_with("part-"));
    assert!(lists.is_empty(), "{what}: {lists:?}");
}

fn stopped_by_another(run: &Run) {
    run.fails_with(1, &["dbo.t", "another run"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_starts_in_the_middle_of_another_deletes_nothing_of_it() {
    for range in 1..=RANGES {
        // The second run wins: it starts with the ranges that the first has parked, and finishes first.
        let mut world = world("rowversion").await;
        let source = server().connection(&world.source_db);
        let (first, hold) = held(&world, range, &source);
        let second = world.run(&["--json", "extract"]).json();
        assert_eq!(extract(&second)["ranges_resumed"], json!(range));
        std::fs::remove_file(hold).expect("released");
        stopped_by_another(&finish(first));
        one_result(&mut world, &format!("second from range {range}")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_loses_to_the_one_before_it_deletes_nothing_of_it() {
    for range in 1..RANGES {
        // The second run parks a range too, or is killed there; the first is behind and stops.
        for killed in [false, true] {
            let mut world = world("rowversion").await;
            let source = server().connection(&world.source_db);
            let (first, hold) = held(&world, range, &source);
            let (mut second, second_hold) = held(&world, 1, &source);
            std::fs::remove_file(hold).expect("released");
            stopped_by_another(&finish(first));
            if killed {
                second.kill().expect("killed");
            }
            std::fs::remove_file(second_hold).expect("released");
            let second = finish(second);
            if killed {
                let third = world.run(&["--json", "extract"]).json();
                let resumed = extract(&third)["ranges_resumed"].as_u64();
                assert_eq!(resumed, Some(range as u64 + 1), "{third:#}");
                // What the killed run was reading is an orphan.
                world.run(&["--json", "load"]).json();
                let source = world.source_rows(CONTENT).await;
                assert_eq!(source, world.target_rows(CONTENT).await);
            } else {
                assert_eq!(extract(&second.json())["ranges_resumed"], json!(range));
                one_result(&mut world, &format!("first behind at range {range}")).await;
            }
        }
    }
}

/// Passes connections on to the stand-in, until a client asks for the rows of some range.
struct Link {
    port: u16,
}

struct LinkState {
    /// Ranges that may be asked for before the connections end.
    ranges_left: AtomicI64,
    /// Whether the server stays away then.
    for_good: bool,
    away: AtomicBool,
    open: Mutex<Vec<TcpStream>>,
}

impl Link {
    fn to(upstream: u16, ranges: i64, for_good: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let state = Arc::new(LinkState {
            ranges_left: AtomicI64::new(ranges),
            for_good,
            away: AtomicBool::new(false),
            open: Mutex::default(),
        });
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if state.away.load(Ordering::SeqCst) {
                    continue;
                }
                let server = TcpStream::connect(("127.0.0.1", upstream)).expect("connects");
                let clone = |socket: &TcpStream| socket.try_clone().expect("a socket");
                let (mut replies, mut to_client) = (clone(&server), clone(&client));
                std::thread::spawn(move || {
                    let _ = std::io::copy(&mut replies, &mut to_client);
                    let _ = to_client.shutdown(Shutdown::Both);
                });
                let (requests, to_server) = (clone(&client), clone(&server));
                let asked = Arc::clone(&state);
                std::thread::spawn(move || asked.pass(requests, to_server));
                state
                    .open
                    .lock()
                    .expect("not poisoned")
                    .extend([client, server]);
            }
        });
        Self { port }
    }

    fn connection(&self, world: &World) -> String {
        let direct = server().connection(&world.source_db);
        let port = server().port().expect("the stand-in's").to_string();
        direct.replace(&format!(",{port};"), &format!(",{};", self.port))
    }
}

impl LinkState {
    fn pass(&self, mut from: TcpStream, mut to: TcpStream) {
        let rows: Vec<u8> = "t.[payload]"
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect();
        let mut buffer = vec![0; 64 << 10];
        while let Ok(read @ 1..) = from.read(&mut buffer) {
            let asks = buffer[..read]
                .windows(rows.len())
                .any(|found| found == rows);
            if asks && self.ranges_left.fetch_sub(1, Ordering::SeqCst) == 0 {
                self.away.store(self.for_good, Ordering::SeqCst);
                for socket in self.open.lock().expect("not poisoned").drain(..) {
                    let _ = socket.shutdown(Shutdown::Both);
                }
            }
            if to.write_all(&buffer[..read]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Both);
    }
}

/// Reads ranges one after the other.
fn one_channel(world: &World) {
    let path = world.path("icesync.yaml");
    let text = std::fs::read_to_string(&path).expect("read");
    let one = text.replacen("}\"", "}\", parallel_channels: 1", 1);
    assert_ne!(one, text);
    std::fs::write(path, one).expect("written");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_goes_away_costs_only_the_range_under_way() {
    let Some(port) = server().port() else {
        eprintln!("SKIPPED: cutting connections needs the stand-in");
        return;
    };
    for range in 0..RANGES {
        let mut world = world("rowversion").await;
        one_channel(&world);
        let link = Link::to(port, range as i64, false);
        // The run's own retry goes on with what is parked.
        let run = world
            .command(&["--json", "extract"])
            .env("ICESYNC_SOURCE", link.connection(&world))
            .spawn()
            .expect("starts");
        let run = finish(run).json();
        assert_eq!(extract(&run)["ranges_resumed"], json!(range), "{run:#}");
        one_result(&mut world, &format!("cut at range {range}")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_run_after_a_dead_server_reads_only_what_is_missing() {
    let Some(port) = server().port() else {
        eprintln!("SKIPPED: cutting connections needs the stand-in");
        return;
    };
    let mut world = world("rowversion").await;
    one_channel(&world);
    let link = Link::to(port, 4, true);
    let run = world
        .command(&["--json", "extract"])
        .env("ICESYNC_SOURCE", link.connection(&world))
        .spawn()
        .expect("starts");
    finish(run).fails_with(75, &["dbo.t"]);
    let parked = names(&world.lake("dbo", "t").join("data"), |_| true);
    assert_eq!(parked.len(), 4, "{parked:?}");
    let next = world.run(&["--json", "extract"]).json();
    assert_eq!(extract(&next)["ranges_resumed"], json!(4));
    let data = names(&world.lake("dbo", "t").join("data"), |_| true);
    assert!(data.is_superset(&parked), "{parked:?} {data:?}");
    one_result(&mut world, "the server came back").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parked_file_that_vanished_or_shrank_is_read_again() {
    for shrunk in [false, true] {
        let mut world = world("rowversion").await;
        let source = server().connection(&world.source_db);
        let (mut run, hold) = held(&world, 4, &source);
        run.kill().expect("killed");
        finish(run);
        std::fs::remove_file(hold).expect("removed");
        let data = world.lake("dbo", "t").join("data");
        let files = names(&data, |_| true);
        for name in &files {
            let path = data.join(name);
            if shrunk {
                let file = std::fs::OpenOptions::new().write(true).open(&path);
                file.and_then(|file| file.set_len(10)).expect("shrunk");
            } else {
                std::fs::remove_file(&path).expect("removed");
            }
        }
        let next = world.run(&["--json", "extract"]).json();
        assert_eq!(extract(&next)["ranges_resumed"], json!(0), "{next:#}");
        let warnings = extract(&next)["warnings"].to_string();
        assert_eq!(warnings.matches("is read again").count(), 4, "{warnings}");
        world.run(&["--json", "load"]).json();
        let source = world.source_rows(CONTENT).await;
        assert_eq!(source, world.target_rows(CONTENT).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_vanishes_after_it_was_taken_up_is_noticed_before_the_commit() {
    let mut world = world("rowversion").await;
    let source = server().connection(&world.source_db);
    let (run, hold) = held(&world, RANGES, &source);
    // All ranges are parked, the commit comes next.
    let data = world.lake("dbo", "t").join("data");
    let files = names(&data, |_| true);
    let victim = files.first().expect("a file");
    std::fs::remove_file(data.join(victim)).expect("removed");
    std::fs::remove_file(hold).expect("released");
    let run = finish(run).json();
    assert_eq!(extract(&run)["ranges_resumed"], json!(RANGES - 1));
    one_result(&mut world, "a file vanished").await;
}
