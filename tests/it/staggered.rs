//! A large first read that overlaps with another, or that is cut short: finished ranges survive whatever ends the run,
//! and no run deletes files that another one commits.

use crate::engines::raise_watermark;
use crate::harness::{Run, World, finish, server};
use crate::isolation::Isolation;
use crate::outside::{lake_rows, lake_table, nothing_is_left, nothing_is_missing, swept};
use icesync::lake::FAIL_AFTER_DATA_FILES;
use icesync::sync::{FAIL_AFTER_RANGE, FAIL_BEFORE_RANGES};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Ranges of the table that [`world`] makes, and its rows.
const RANGES: usize = 6;
const ROWS: usize = 6000;
/// Both keep finished ranges differently: `rowversion` in a ledger, `full` not beyond the end of the run.
const STRATEGIES: [&str; 2] = ["rowversion", "full"];
const CONTENT: &str = "SELECT COUNT(*), SUM(CAST(n AS bigint)), SUM(CAST(n AS bigint) * n), COUNT(DISTINCT n), \
    MAX(payload) FROM dbo.t";

async fn world(strategy: &str) -> World {
    let world = World::with_isolation(
        Isolation::for_ranges(strategy),
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

/// A run that waits at a failpoint.
struct Held {
    child: Child,
    file: PathBuf,
}

/// How a run goes on that was held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Released,
    Killed,
}

impl Held {
    /// Starts an extract that waits when it comes to a failpoint for the `count`th time, and waits until it does.
    fn at(world: &World, place: &str, count: usize) -> Self {
        Self::armed(world, place, count, "")
    }

    /// As [`Held::at`], with other failpoints.
    fn armed(world: &World, place: &str, count: usize, others: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let file = world.path(&format!("held-{}", NEXT.fetch_add(1, Ordering::SeqCst)));
        let armed = format!("{place}:{count}={},{others}", file.display());
        let mut command = world.command(&["--json", "extract"]);
        let child = command
            .env("ICESYNC_FAILPOINT", armed)
            .spawn()
            .expect("starts");
        let deadline = Instant::now() + Duration::from_secs(60);
        while !file.exists() {
            assert!(
                Instant::now() < deadline,
                "{place}:{count} is never reached"
            );
            std::thread::sleep(Duration::from_millis(5));
        }
        Self { child, file }
    }

    /// One that has finished so many ranges itself.
    fn after(world: &World, ranges: usize) -> Self {
        match ranges {
            0 => Self::at(world, FAIL_BEFORE_RANGES, 1),
            _ => Self::at(world, FAIL_AFTER_RANGE, ranges),
        }
    }

    fn end(mut self, end: End) -> Run {
        if end == End::Killed {
            self.child.kill().expect("killed");
            // Dead before the file goes, or it would go on.
            self.child.wait().expect("ended");
        }
        std::fs::remove_file(self.file).expect("released");
        finish(self.child)
    }
}

fn names(directory: &Path, keep: impl Fn(&str) -> bool) -> BTreeSet<String> {
    let files = std::fs::read_dir(directory).expect("listed");
    let names = files.map(|file| file.expect("a file").file_name());
    let names = names.map(|name| name.to_string_lossy().into_owned());
    names.filter(|name| keep(name)).collect()
}

/// One snapshot, every file of it there, every row once, and nothing else in the table's folder.
async fn one_result(world: &World, what: &str) {
    let table = lake_table(world).await;
    assert_eq!(table.snapshots().len(), 1, "{what}");
    let rows = lake_rows(&table, None, &["id", "payload", "n"]).await;
    let mut expected: Vec<_> = (1..=ROWS)
        .map(|n| vec![n.to_string(), format!("row {n}"), n.to_string()])
        .collect();
    expected.sort();
    assert!(
        rows == expected,
        "{what}: {} rows, or other values",
        rows.len()
    );
    let folder = world.lake("dbo", "t");
    nothing_is_left(&folder, what);
    let data = names(&folder.join("data"), |_| true);
    assert_eq!(data.len(), RANGES, "{what}: {data:?}");
}

/// The lake's rows arrive in the target.
async fn loads(world: &mut World) {
    world.run(&["--json", "load"]).json();
    let source = world.source_rows(CONTENT).await;
    assert_eq!(source, world.target_rows(CONTENT).await);
}

fn stopped_by_another(run: &Run) {
    run.fails_with(1, &["dbo.t", "another run"]);
}

fn resumed(run: &Run, ranges: usize, what: &str) {
    let run = run.json();
    assert_eq!(
        extract(&run)["ranges_resumed"],
        json!(ranges),
        "{what}: {run:#}"
    );
}

/// Two runs of one table.
#[derive(Debug, Clone, Copy)]
struct Staggered {
    strategy: &'static str,
    /// The second run starts when the first has finished so many ranges.
    ranges: usize,
    /// How many ranges the second has finished when the first goes on; none: all, and it has committed.
    second: Option<usize>,
    ends: [End; 2],
}

impl Staggered {
    /// Every way in which two runs can meet: who finishes a range first, who commits first, who is killed.
    fn all(strategy: &'static str) -> Vec<Self> {
        use End::{Killed, Released};
        let mut all = Vec::new();
        for ranges in 0..=RANGES {
            for second in [None, Some(0), Some(1)] {
                for ends in [
                    [Released, Released],
                    [Killed, Released],
                    [Released, Killed],
                    [Killed, Killed],
                ] {
                    // A run that has committed is not killed, and one that finds all ranges done finishes none.
                    let is_over = second.is_none() && ends[1] == Killed;
                    let is_idle = second == Some(1) && ranges == RANGES && strategy != "full";
                    if !is_over && !is_idle {
                        all.push(Self {
                            strategy,
                            ranges,
                            second,
                            ends,
                        });
                    }
                }
            }
        }
        all
    }

    /// Ranges of the first run that another can take up, and of the second.
    fn kept(&self) -> (usize, usize) {
        match self.strategy {
            "full" => (0, 0),
            _ => (self.ranges, self.second.unwrap_or(0)),
        }
    }

    async fn run(&self, world: &World) {
        let what = format!("{self:?}");
        let (of_first, of_second) = self.kept();
        let first = Held::after(world, self.ranges);
        let Some(finished) = self.second else {
            let second = world.run(&["--json", "extract"]);
            resumed(&second, of_first, &what);
            self.first_ends(first.end(self.ends[0]), false, &what);
            return self.is_one_result(world, &what).await;
        };
        let second = Held::after(world, finished);
        // A ledger that has moved stops the first run.
        let first_wins = self.ends[0] == End::Released && of_second == 0;
        self.first_ends(first.end(self.ends[0]), first_wins, &what);
        self.second_ends(second.end(self.ends[1]), first_wins, &what);
        if !first_wins && self.ends[1] == End::Killed {
            // However old they are, the files of the ledger stay.
            nothing_is_missing(&world.lake("dbo", "t"), &what);
            swept(world);
            let third = world.run(&["--json", "extract"]);
            resumed(&third, of_first + of_second, &what);
        }
        self.is_one_result(world, &what).await;
    }

    fn first_ends(&self, first: Run, wins: bool, what: &str) {
        match (self.ends[0], wins) {
            (End::Released, true) => resumed(&first, 0, what),
            (End::Released, false) => stopped_by_another(&first),
            (End::Killed, _) => assert_eq!(first.code, -1, "{what}"),
        }
    }

    fn second_ends(&self, second: Run, first_wins: bool, what: &str) {
        match (self.ends[1], first_wins) {
            (End::Released, true) => stopped_by_another(&second),
            (End::Released, false) => resumed(&second, self.kept().0, what),
            (End::Killed, _) => assert_eq!(second.code, -1, "{what}"),
        }
    }

    async fn is_one_result(&self, world: &World, what: &str) {
        if self.ends.contains(&End::Killed) {
            // What the killed run was reading is an orphan.
            swept(world);
        }
        one_result(world, what).await;
    }
}

async fn two_runs_give_one_result(strategy: &'static str) {
    let mut world = world(strategy).await;
    for staggered in Staggered::all(strategy) {
        if world.warehouse().exists() {
            std::fs::remove_dir_all(world.warehouse()).expect("removed");
        }
        staggered.run(&world).await;
    }
    loads(&mut world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_that_share_a_ledger_give_one_result_wherever_they_meet_and_whoever_is_killed() {
    two_runs_give_one_result("rowversion").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_without_a_ledger_give_one_result_wherever_they_meet_and_whoever_is_killed() {
    two_runs_give_one_result("full").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_range_whose_list_is_damaged_is_read_again() {
    let world = world("rowversion").await;
    for what in ["empty", "cut off", "without its files"] {
        if world.warehouse().exists() {
            std::fs::remove_dir_all(world.warehouse()).expect("removed");
        }
        let first = Held::after(&world, 2);
        assert_eq!(first.end(End::Killed).code, -1, "{what}");
        let folder = world.lake("dbo", "t").join("metadata");
        let lists = names(&folder, |name| name.starts_with("part-"));
        assert_eq!(lists.len(), 2, "{what}: {lists:?}");
        let list = folder.join(lists.first().expect("a list"));
        let bytes = std::fs::read(&list).expect("a list");
        let length = match what {
            "empty" => 0,
            "cut off" => bytes.len() - 20,
            // The marker that ends the file ends its header, too.
            _ => {
                let marker = &bytes[bytes.len() - 16..];
                let found = bytes.windows(16).position(|part| part == marker);
                found.expect("a marker") + 16
            }
        };
        assert!(length < bytes.len(), "{what}");
        std::fs::write(&list, &bytes[..length]).expect("written");
        let run = world.run(&["--json", "extract"]);
        resumed(&run, 1, what);
        let warnings = extract(&run.json())["warnings"].to_string();
        assert!(
            warnings.contains("the range is read again"),
            "{what}: {warnings}"
        );
        swept(&world);
        one_result(&world, what).await;
    }
}

/// The watermark was worth nothing. The server passes it later, and the ranges that were read do not fit any more.
#[tokio::test(flavor = "multi_thread")]
async fn a_whole_read_that_died_is_not_forgotten_when_its_ranges_are_given_up() {
    let mut world = world("rowversion").await;
    world.run(&["--json", "sync"]).json();
    let changed = |which: &str| {
        format!(
            "UPDATE dbo.t SET n = n + 100000, payload = CONCAT(N'row ', n + 100000) WHERE id {which}"
        )
    };
    world.source(&changed("= 2")).await;
    let from_the_watermark = Held::at(&world, FAIL_AFTER_DATA_FILES, 1);
    raise_watermark(&world.lake("dbo", "t"), 1000);
    world.source(&changed("= 1")).await;
    let died = Held::after(&world, 3).end(End::Killed);
    assert_eq!(died.code, -1, "{died:#?}");
    stopped_by_another(&from_the_watermark.end(End::Released));
    let shown = world.run(&["--json", "state", "show"]).json();
    let checkpoint = &shown["tables"][0]["lake"]["checkpoint"];
    let ranges = checkpoint["backfill"]["done"].as_array().map(Vec::len);
    assert_eq!(ranges, Some(3), "{shown:#}");
    assert_eq!(checkpoint["watermark"], Value::Null, "{shown:#}");

    world.source("ALTER TABLE dbo.t ADD extra int NULL").await;
    world.source(&changed("> 4000")).await;
    let whole = world.run(&["--json", "extract"]).json();
    assert_eq!(extract(&whole)["full_read"], json!(true), "{whole:#}");
    assert_eq!(extract(&whole)["ranges_resumed"], json!(0), "{whole:#}");
    loads(&mut world).await;
}

/// Passes connections on to the stand-in, until a client asks for the rows of some range, and counts them.
struct Link {
    port: u16,
    ranges: i64,
    state: Arc<LinkState>,
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
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            let state = shared;
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
        Self {
            port,
            ranges,
            state,
        }
    }

    /// How many ranges were asked for.
    fn asked(&self) -> usize {
        let left = self.state.ranges_left.load(Ordering::SeqCst);
        usize::try_from(self.ranges - left).expect("a number")
    }

    fn extract(&self, world: &World) -> Child {
        let mut command = world.command(&["--json", "extract"]);
        command
            .env("ICESYNC_SOURCE", self.connection(world))
            .spawn()
            .expect("starts")
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

/// Reads as many ranges at a time.
fn channels(world: &World, count: usize) {
    let path = world.path("icesync.yaml");
    let text = std::fs::read_to_string(&path).expect("read");
    let channels = format!("}}\", parallel_channels: {count}");
    let changed = text.replacen("}\"", &channels, 1);
    assert_ne!(changed, text);
    std::fs::write(path, changed).expect("written");
}

/// A run whose server goes away when it is asked for a range.
struct Cut {
    strategy: &'static str,
    /// Ranges read before.
    ranges: usize,
    world: World,
    link: Link,
    run: Child,
}

/// One for each range and strategy, all under way, because they spend their time waiting for the server; none over
/// a real server.
async fn cut_at_each_range(for_good: bool) -> Vec<Cut> {
    let Some(port) = server().port() else {
        eprintln!("SKIPPED: cutting connections needs the stand-in");
        return Vec::new();
    };
    let mut cuts = Vec::new();
    for strategy in STRATEGIES {
        for ranges in 0..RANGES {
            let world = world(strategy).await;
            channels(&world, 1);
            let link = Link::to(port, ranges as i64, for_good);
            let run = link.extract(&world);
            cuts.push(Cut {
                strategy,
                ranges,
                world,
                link,
                run,
            });
        }
    }
    cuts
}

impl Cut {
    /// Ranges that a ledger keeps.
    fn kept(&self) -> usize {
        match self.strategy {
            "full" => 0,
            _ => self.ranges,
        }
    }

    fn what(&self) -> String {
        format!("{}, cut at range {}", self.strategy, self.ranges)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_goes_away_costs_only_the_range_under_way() {
    for cut in cut_at_each_range(false).await {
        let (what, kept) = (cut.what(), cut.kept());
        // The run's own retry goes on with what is parked.
        resumed(&finish(cut.run), kept, &what);
        let asked = cut.ranges + 1 + (RANGES - kept);
        assert_eq!(cut.link.asked(), asked, "{what}");
        one_result(&cut.world, &what).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_without_a_ledger_ends_soon_after_another_run_has_committed() {
    let world = world("full").await;
    // Were it to finish a range, the run would die of it.
    let first = Held::armed(&world, FAIL_BEFORE_RANGES, 1, FAIL_AFTER_RANGE);
    world.run(&["--json", "extract"]).json();
    // The next look is due by then.
    tokio::time::sleep(Duration::from_secs(6)).await;
    stopped_by_another(&first.end(End::Released));
    one_result(&world, "stopped while it read").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_ledger_a_range_that_fails_stops_the_others() {
    let Some(port) = server().port() else {
        eprintln!("SKIPPED: counting the ranges that are asked for needs the stand-in");
        return;
    };
    let mut world = world("full").await;
    channels(&world, 2);
    // Half of a surrogate pair is refused.
    world
        .source("UPDATE dbo.t SET payload = NCHAR(0xD83D) WHERE id = 1;
            INSERT dbo.t (id, payload, n) SELECT s.n + 6000, CONCAT(N'row ', s.n), s.n FROM (SELECT TOP (24000) \
            CONVERT(int, ROW_NUMBER() OVER (ORDER BY (SELECT 1))) AS n
            FROM sys.all_columns a CROSS JOIN sys.all_columns b) AS s")
        .await;
    let link = Link::to(port, i64::MAX, false);
    finish(link.extract(&world)).fails_with(1, &["dbo.t", "payload", "surrogate"]);
    let asked = link.asked();
    let data = world.lake("dbo", "t").join("data");
    assert_eq!(names(&data, |_| true), BTreeSet::new());
    world
        .source("UPDATE dbo.t SET payload = N'row 1' WHERE id = 1")
        .await;
    let whole = world.run(&["--json", "extract"]).json();
    let ranges = extract(&whole)["ranges"].as_u64().expect("a number") as usize;
    assert!(ranges > 20, "{whole:#}");
    assert!(asked < ranges / 2, "{asked} of {ranges} ranges were read");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_run_after_a_dead_server_reads_only_what_is_missing() {
    for mut cut in cut_at_each_range(true).await {
        let (what, kept) = (cut.what(), cut.kept());
        finish(cut.run).fails_with(75, &["dbo.t"]);
        assert_eq!(cut.link.asked(), cut.ranges + 1, "{what}");
        let data = cut.world.lake("dbo", "t").join("data");
        let parked = names(&data, |_| true);
        assert_eq!(parked.len(), kept, "{what}: {parked:?}");
        // The server is back, and says what it is asked for.
        let link = Link::to(server().port().expect("the stand-in's"), i64::MAX, false);
        resumed(&finish(link.extract(&cut.world)), kept, &what);
        assert_eq!(link.asked(), RANGES - kept, "{what}");
        assert!(
            names(&data, |_| true).is_superset(&parked),
            "{what}: {parked:?}"
        );
        one_result(&cut.world, &what).await;
        if cut.ranges == RANGES - 1 {
            loads(&mut cut.world).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parked_file_that_vanished_or_shrank_is_read_again() {
    for shrunk in [false, true] {
        let mut world = world("rowversion").await;
        Held::after(&world, 4).end(End::Killed);
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
        loads(&mut world).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_vanishes_after_it_was_taken_up_is_noticed_before_the_commit() {
    let mut world = world("rowversion").await;
    let run = Held::after(&world, RANGES);
    // All ranges are parked, the commit comes next.
    let data = world.lake("dbo", "t").join("data");
    let files = names(&data, |_| true);
    let victim = files.first().expect("a file");
    std::fs::remove_file(data.join(victim)).expect("removed");
    resumed(&run.end(End::Released), RANGES - 1, "a file vanished");
    one_result(&world, "a file vanished").await;
    loads(&mut world).await;
}
