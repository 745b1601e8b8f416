//! Servers that refuse, throttle, move or go away: said once, outlasted where that helps, and nothing is guessed.

use crate::harness::{World, finish, server, sql};
use crate::own::Own;
use crate::running::Running;
use icesync::lake;
use icesync_sandbox::session::SqlError;
use icesync_sandbox::tds::Fault;
use serde_json::{Value, json};
use std::io::copy;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const TABLES: &str = "  - source: dbo.a\n  - source: dbo.b\n  - source: dbo.c\n";
const ONCE: &str = "retry: { max_elapsed: 0s, attempts: 1 }\n";

async fn three() -> World {
    let world = World::new(
        "CREATE TABLE dbo.a (id int NOT NULL PRIMARY KEY, rv rowversion NOT NULL)
GO
CREATE TABLE dbo.b (id int NOT NULL PRIMARY KEY, rv rowversion NOT NULL)
GO
CREATE TABLE dbo.c (id int NOT NULL PRIMARY KEY, rv rowversion NOT NULL)
GO
INSERT dbo.a (id) VALUES (1); INSERT dbo.b (id) VALUES (1); INSERT dbo.c (id) VALUES (1)",
    )
    .await;
    world.config(TABLES);
    world
}

fn error(number: i32, class: u8, message: &str) -> SqlError {
    SqlError {
        number,
        state: 1,
        class,
        line: 1,
        message: message.to_owned(),
    }
}

/// A port that nobody listens on.
fn nowhere() -> String {
    let free = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = free.local_addr().expect("an address").port();
    format!("Server=127.0.0.1,{port};User ID=sa;Password=x;Encrypt=false;Database=d")
}

fn run(mut command: Command) -> crate::harness::Run {
    finish(command.spawn().expect("icesync starts"))
}

#[track_caller]
fn none_is_started(report: &Value) {
    for table in report["tables"].as_array().expect("tables") {
        assert_eq!(table["outcome"], "not_started", "{report:#}");
        assert_eq!(table["error"], Value::Null, "{report:#}");
    }
}

/// The errors of the run itself, as (side, message).
fn errors(report: &Value) -> Vec<(String, String)> {
    let errors = report["errors"].as_array().expect("errors");
    let text = |error: &Value, name: &str| error[name].as_str().expect("text").to_owned();
    errors
        .iter()
        .map(|error| (text(error, "kind"), text(error, "message")))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_the_target_refuses_is_found_before_the_extract_and_said_once() {
    let world = three().await;
    let wrong = server().connection_as(&world.target_db, "nobody_4711", "wrong");
    let command = |args: &[&str]| {
        let mut command = world.command(args);
        command.env("ICESYNC_TARGET", &wrong);
        command
    };
    let failed = run(command(&["--json", "sync"]));
    assert_eq!(failed.code, 1, "{failed:#?}");
    let report = failed.json_any();
    none_is_started(&report);
    let said = errors(&report);
    let [(side, message)] = &said[..] else {
        panic!("{report:#}");
    };
    assert_eq!(side, "target");
    assert!(message.starts_with("target: "), "{message}");
    assert!(message.contains("18456"), "{message}");
    assert!(!world.warehouse().join("dbo").exists(), "it was extracted");
    let text = run(command(&["sync"]));
    let said = format!("{}{}", text.stdout, text.stderr);
    assert_eq!(said.matches("18456").count(), 1, "{text:#?}");
    // The source alone is enough for an extract.
    run(command(&["--json", "extract"])).json();
}

#[tokio::test(flavor = "multi_thread")]
async fn each_server_that_fails_is_named_with_its_side() {
    let world = three().await;
    world.config(&format!("{TABLES}{ONCE}"));
    let mut command = world.command(&["--json", "sync"]);
    command.env("ICESYNC_SOURCE", nowhere());
    let wrong = server().connection_as(&world.target_db, "nobody_4711", "wrong");
    command.env("ICESYNC_TARGET", wrong);
    let failed = run(command);
    assert_eq!(failed.code, 1, "{failed:#?}");
    let report = failed.json_any();
    none_is_started(&report);
    let said = errors(&report);
    let [(first, source), (second, target)] = &said[..] else {
        panic!("{report:#}");
    };
    assert_eq!((first.as_str(), second.as_str()), ("source", "target"));
    assert!(source.starts_with("source: cannot reach"), "{source}");
    assert!(target.contains("18456"), "{target}");
    // Commands that only look say it once, too.
    for args in [&["--json", "plan"][..], &["--json", "status"]] {
        let mut command = world.command(args);
        command.env("ICESYNC_TARGET", nowhere());
        let failed = run(command);
        assert_eq!(failed.code, 75, "{failed:#?}");
        let report = failed.json_any();
        assert_eq!(errors(&report).len(), 1, "{args:?}: {report:#}");
        assert!(errors(&report)[0].1.starts_with("target: cannot reach"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_away_is_waited_for_once_and_not_by_each_table() {
    let world = three().await;
    world.config(&format!(
        "{TABLES}retry: {{ max_elapsed: 0s, attempts: 3 }}\n"
    ));
    let mut command = world.command(&["--json", "extract"]);
    command.env("ICESYNC_SOURCE", nowhere());
    let failed = run(command);
    assert_eq!(failed.code, 75, "{failed:#?}");
    assert_eq!(
        failed.stderr.matches("trying again").count(),
        2,
        "{failed:#?}"
    );
    let report = failed.json_any();
    none_is_started(&report);
    assert_eq!(errors(&report).len(), 1, "{report:#}");
}

/// A login and user of `database` that may do nothing yet.
async fn login(world: &mut World, is_source: bool) -> (String, String) {
    let database = match is_source {
        true => world.source_db.clone(),
        false => world.target_db.clone(),
    };
    let (user, password) = (format!("poor_{database}"), "Poor 1 for tests!");
    for statement in [
        format!("CREATE LOGIN [{user}] WITH PASSWORD = N'{password}', CHECK_POLICY = OFF"),
        format!("CREATE USER [{user}] FOR LOGIN [{user}]"),
    ] {
        match is_source {
            true => world.source(&statement).await,
            false => world.target(&statement).await,
        }
    }
    let connection = server().connection_as(&database, &user, password);
    (user, connection)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_login_lacks_in_the_target_is_found_before_the_extract() {
    let mut world = three().await;
    let (user, connection) = login(&mut world, false).await;
    let sync = |world: &World| {
        let mut command = world.command(&["--json", "sync"]);
        command.env("ICESYNC_TARGET", &connection);
        run(command)
    };
    for (lacks, grants) in [
        (
            "GRANT CREATE TABLE",
            format!("GRANT CREATE TABLE TO [{user}]"),
        ),
        ("schema icesync", "CREATE SCHEMA icesync".to_owned()),
        (
            "schema icesync",
            format!("GRANT CONTROL ON SCHEMA::icesync TO [{user}]"),
        ),
    ] {
        let failed = sync(&world);
        assert_eq!(failed.code, 1, "{failed:#?}");
        let report = failed.json_any();
        none_is_started(&report);
        let said = errors(&report);
        let (side, message) = &said[0];
        assert_eq!((said.len(), side.as_str()), (1, "target"));
        assert!(message.contains(lacks), "no {lacks:?} in {message}");
        assert!(!world.warehouse().join("dbo").exists(), "it was extracted");
        world.target(&grants).await;
    }
    for statement in [
        format!("GRANT ALTER ON SCHEMA::dbo TO [{user}]"),
        format!("ALTER ROLE db_datareader ADD MEMBER [{user}]"),
        format!("ALTER ROLE db_datawriter ADD MEMBER [{user}]"),
    ] {
        world.target(&statement).await;
    }
    sync(&world).json();
}

/// Functions that take a name read a dot as the end of a part of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_may_have_any_name() {
    for suffix in [".dot", "[odd]", "]"] {
        let mut world = three().await;
        world.target_db.push_str(suffix);
        let quoted = world.target_db.replace(']', "]]");
        let mut master = server().connect("master").await;
        sql(&mut master, &format!("CREATE DATABASE [{quoted}]")).await;
        let report = world.run(&["--json", "sync"]).json();
        for table in 0..3 {
            let load = &report["tables"][table]["load"];
            assert_eq!(load["inserted"], json!(1), "{suffix}: {report:#}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_may_read_none_of_the_tables_is_told_once() {
    let mut world = three().await;
    let (user, connection) = login(&mut world, true).await;
    let extract = |world: &World| {
        let mut command = world.command(&["--json", "extract"]);
        command.env("ICESYNC_SOURCE", &connection);
        run(command)
    };
    let failed = extract(&world);
    assert_eq!(failed.code, 1, "{failed:#?}");
    let report = failed.json_any();
    none_is_started(&report);
    let said = errors(&report);
    let [(side, message)] = &said[..] else {
        panic!("{report:#}");
    };
    assert_eq!(side, "source");
    assert!(message.contains("none of the 3 tables"), "{message}");
    // One that it may read is read, and the others say what they lack.
    world
        .source(&format!("GRANT SELECT ON dbo.a TO [{user}]"))
        .await;
    let failed = extract(&world);
    assert_eq!(failed.code, 3, "{failed:#?}");
    let report = failed.json_any();
    assert_eq!(report["tables"][0]["outcome"], "done", "{report:#}");
    assert!(report["tables"][1]["error"].is_object(), "{report:#}");
}

async fn own() -> Own {
    let own = Own::new(&[
        "CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY, n int NOT NULL)",
        "INSERT dbo.t (id, n) VALUES (1, 1), (2, 2)",
    ])
    .await;
    own.config("  - source: dbo.t\n    change: { strategy: full }\n");
    own
}

/// Each number once, in the reply to the read. From severity 20 on the server closes the connection.
#[tokio::test(flavor = "multi_thread")]
async fn a_read_is_tried_again_after_errors_that_pass() {
    let own = own().await;
    let faults = &own.sandbox.faults;
    for (number, class) in [
        (596, 21),
        (701, 17),
        (1205, 13),
        (3958, 16),
        (3966, 17),
        (8645, 17),
        (40143, 17),
        (40197, 17),
        (40540, 20),
    ] {
        let fired = faults.fired();
        let passing = Fault::Error(error(number, class, "It passes."));
        faults.arm(passing, "FROM [dbo].[t] AS t", 1);
        let done = own.run(&["--json", "extract"]);
        assert_eq!(faults.fired(), fired + 1, "{number}");
        assert_eq!(done.code, 0, "{number}: {done:#?}");
        let again = done.stderr.matches("trying again").count();
        assert_eq!(again, 1, "{number}: {done:#?}");
    }
    // One that does not pass is not tried again.
    let fired = faults.fired();
    let lasting = Fault::Error(error(8134, 16, "Divide by zero error encountered."));
    faults.arm(lasting, "FROM [dbo].[t] AS t", 5);
    own.run(&["extract"]).fails_with(1, &["dbo.t", "8134"]);
    assert_eq!(faults.fired(), fired + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_is_tried_again_while_a_database_starts_or_moves() {
    let own = own().await;
    let faults = &own.sandbox.faults;
    for number in [976, 983, 4060, 4221, 40613, 42108, 42109] {
        let fired = faults.fired();
        faults.refuse_logins(error(number, 14, "Not yet."), 1);
        let done = own.run(&["--json", "extract"]);
        assert_eq!(faults.fired(), fired + 1, "{number}");
        assert_eq!(done.code, 0, "{number}: {done:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_made_meanwhile_is_found_and_a_wrong_name_is_not_waited_for_long() {
    let own = own().await;
    let command = |retry: &str| {
        own.config(&format!(
            "  - source: dbo.t\n    change: {{ strategy: full }}\n{retry}"
        ));
        let mut command = own.command(&["--json", "extract"]);
        command.env("ICESYNC_SOURCE", own.sandbox.connection_string("later"));
        command
    };
    // It is not transient in the end: only a change of the configuration helps.
    run(command(ONCE)).fails_with(1, &["4060", "check the database name"]);
    let mut waiting = Running::start(command("retry: { max_elapsed: 1h }\n"));
    waiting.says("attempt 4 failed");
    own.sql("master", "CREATE DATABASE [later]").await;
    let isolation = "ALTER DATABASE [later] SET ALLOW_SNAPSHOT_ISOLATION ON";
    own.sql("master", isolation).await;
    let table = "CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY, n int NOT NULL)";
    own.sql("later", table).await;
    waiting.end().json();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_that_the_server_asks_for_is_made() {
    let own = own().await;
    let busy = error(
        40501,
        20,
        "The service is currently busy. Retry the request after 3 seconds. Incident ID: 7. Code: 1",
    );
    own.sandbox
        .faults
        .arm(Fault::Error(busy), "FROM [dbo].[t] AS t", 1);
    let clock = Instant::now();
    let done = own.run(&["--json", "extract"]);
    done.json();
    assert!(clock.elapsed() >= Duration::from_secs(3), "{done:#?}");
    assert!(done.stderr.contains("again in 3.0 s"), "{done:#?}");
}

/// Passes connections on to a server while it is open; while it is shut, it ends them.
struct Door {
    port: u16,
    is_open: Arc<AtomicBool>,
    connections: Arc<Mutex<Vec<TcpStream>>>,
}

impl Door {
    fn to(upstream: SocketAddr, is_open: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let is_open = Arc::new(AtomicBool::new(is_open));
        let connections: Arc<Mutex<Vec<TcpStream>>> = Arc::default();
        let (open, all) = (Arc::clone(&is_open), Arc::clone(&connections));
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if !open.load(Ordering::SeqCst) {
                    continue;
                }
                let server = TcpStream::connect(upstream).expect("connects");
                let clone = |socket: &TcpStream| socket.try_clone().expect("a socket");
                for (mut from, mut to) in [
                    (clone(&client), clone(&server)),
                    (clone(&server), clone(&client)),
                ] {
                    std::thread::spawn(move || {
                        let _ = copy(&mut from, &mut to);
                        let _ = to.shutdown(Shutdown::Both);
                    });
                }
                all.lock().expect("not poisoned").extend([client, server]);
            }
        });
        Self {
            port,
            is_open,
            connections,
        }
    }

    fn open(&self) {
        self.is_open.store(true, Ordering::SeqCst);
    }

    fn shut(&self) {
        self.is_open.store(false, Ordering::SeqCst);
        for socket in self.connections.lock().expect("not poisoned").drain(..) {
            let _ = socket.shutdown(Shutdown::Both);
        }
    }

    /// The connection string of a database behind it.
    fn connection(&self, own: &Own, database: &str) -> String {
        let direct = own.sandbox.connection_string(database);
        let port = own.sandbox.addr.port();
        direct.replace(&format!(",{port};"), &format!(",{};", self.port))
    }
}

/// As long as a failover, at the scale of a test: longer than five attempts take.
#[tokio::test(flavor = "multi_thread")]
async fn a_failover_is_outlasted() {
    let own = own().await;
    own.config(
        "  - source: dbo.t\n    change: { strategy: full }\nretry: { max_elapsed: 2m, max_pause: 2s }\n",
    );
    let door = Door::to(own.sandbox.addr, false);
    let mut command = own.command(&["--json", "extract"]);
    command.env("ICESYNC_SOURCE", door.connection(&own, "source"));
    let mut waiting = Running::start(command);
    waiting.says("attempt 9 failed");
    door.open();
    let report = waiting.end().json();
    assert_eq!(report["tables"][0]["extract"]["inserted"], json!(2));
}

/// A server that goes away in the middle of a run and stays away ends the run, not each table.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_goes_away_for_good_ends_the_run() {
    let own = Own::new(&[
        "CREATE TABLE dbo.a (id int NOT NULL PRIMARY KEY)",
        "CREATE TABLE dbo.b (id int NOT NULL PRIMARY KEY)",
        "CREATE TABLE dbo.c (id int NOT NULL PRIMARY KEY)",
        "INSERT dbo.a VALUES (1); INSERT dbo.b VALUES (1); INSERT dbo.c VALUES (1)",
    ])
    .await;
    own.config(&format!(
        "{TABLES}retry: {{ max_elapsed: 0s, attempts: 2 }}\n"
    ));
    let path = own.path("icesync.yaml");
    let text = std::fs::read_to_string(&path).expect("read");
    let single = text.replacen("}\"", "}\", parallel_tables: 1", 1);
    std::fs::write(path, single).expect("written");
    let door = Door::to(own.sandbox.addr, true);
    let mut command = own.command(&["--json", "extract"]);
    command.env("ICESYNC_SOURCE", door.connection(&own, "source"));
    let mut held = Running::held(command, lake::FAIL_AFTER_DATA_FILES, &own.path("held"));
    door.shut();
    held.release();
    let failed = held.end();
    assert_eq!(failed.code, 3, "{failed:#?}");
    let report = failed.json_any();
    let outcomes: Vec<&Value> = (0..3).map(|at| &report["tables"][at]["outcome"]).collect();
    assert_eq!(outcomes, ["done", "failed", "not_started"], "{report:#}");
    let said = errors(&report);
    let [(side, message)] = &said[..] else {
        panic!("{report:#}");
    };
    assert_eq!(side, "source");
    assert!(message.starts_with("source: cannot reach"), "{message}");
}

/// A session that is killed, or a database that moves, while a load's transaction commits: it may be durable. What
/// happened is looked up, so nothing is applied twice, and the report has what was done.
#[tokio::test(flavor = "multi_thread")]
async fn a_load_whose_session_ends_with_its_commit_is_looked_up() {
    for (number, class) in [(596, 21), (40197, 17), (40143, 16)] {
        let own = own().await;
        own.run(&["--json", "sync"]).json();
        own.sql("source", "UPDATE dbo.t SET n = n + 10").await;
        let faults = &own.sandbox.faults;
        let fired = faults.fired();
        let ended = Fault::ErrorAfter(error(number, class, "The session is over."));
        faults.arm(ended, "MERGE [dbo].[t]", 1);
        let report = own.run(&["--json", "sync"]).json();
        assert_eq!(faults.fired(), fired + 1, "{number}");
        let load = &report["tables"][0]["load"];
        assert_eq!(load["updated"], json!(2), "{number}: {report:#}");
        let sum = own.rows("target", "SELECT SUM(n) FROM dbo.t").await;
        assert_eq!(sum, [["Int(23)"]], "{number}");
    }
}
