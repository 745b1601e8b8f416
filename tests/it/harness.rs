//! One server for all tests (the stand-in, or the real one that `ICESYNC_TEST_MSSQL` names), two fresh databases
//! and a folder for each test.

use crate::databases::Databases;
use crate::isolation::{self, Isolation};
use icesync::mssql::control::{Cell, Class, Control};
use icesync::mssql::settings::Connection;
use icesync::mssql::sql::Statement;
use icesync_sandbox::engine::Clock;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use tempfile::TempDir;

pub const PASSWORD: &str = "Stand-in 1;='\"x";

/// Where the tests' server is.
pub struct Server {
    /// ADO.NET string without a database.
    base: String,
    sandbox: Option<icesync_sandbox::Sandbox>,
}

pub fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| match std::env::var("ICESYNC_TEST_MSSQL") {
        Ok(base) => Server {
            base,
            sandbox: None,
        },
        Err(_) => Server::stand_in(),
    })
}

impl Server {
    fn stand_in() -> Self {
        Self::started(icesync_sandbox::SandboxOptions::default())
    }

    /// A stand-in with TLS that takes a token for its login; none over a real server, which is said.
    pub fn with_token(token: &str) -> Option<&'static Self> {
        if std::env::var_os("ICESYNC_TEST_MSSQL").is_some() {
            eprintln!("SKIPPED: a real server does not take tokens that a test has made");
            return None;
        }
        Some(Box::leak(Box::new(Self::started(
            icesync_sandbox::SandboxOptions {
                access_token: Some(token.to_owned()),
                tls: true,
                ..Default::default()
            },
        ))))
    }

    /// A stand-in of one test, whose clock runs ahead of this machine's by so many seconds. None over a real server,
    /// which is said.
    pub fn ahead(seconds: i64) -> Option<&'static Self> {
        if std::env::var_os("ICESYNC_TEST_MSSQL").is_some() {
            skipped("a server with a clock of its own");
            return None;
        }
        let mut options = icesync_sandbox::SandboxOptions::default();
        options.engine.clock = match seconds {
            0 => Clock::System,
            seconds => Clock::Shifted(seconds),
        };
        Some(Box::leak(Box::new(Self::started(options))))
    }

    fn started(mut options: icesync_sandbox::SandboxOptions) -> Self {
        options.engine.password = PASSWORD.to_owned();
        options.typed_nulls = true;
        let sandbox = icesync_sandbox::Sandbox::start(options).expect("the stand-in starts");
        let base = format!(
            "Server=tcp:127.0.0.1,{};User ID=sa;Password=\"{}\";Encrypt=false",
            sandbox.addr.port(),
            PASSWORD.replace('"', "\"\"")
        );
        Self {
            base,
            sandbox: Some(sandbox),
        }
    }

    /// A stand-in that no other test talks to, so that its faults can be set on any statement. Over a real server it is
    /// that one.
    pub fn own() -> &'static Self {
        match std::env::var("ICESYNC_TEST_MSSQL") {
            Ok(_) => server(),
            Err(_) => Box::leak(Box::new(Self::stand_in())),
        }
    }

    /// The stand-in's engine; none over a real server.
    pub fn engine(&self) -> Option<&Arc<icesync_sandbox::engine::Engine>> {
        self.sandbox.as_ref().map(|sandbox| &sandbox.engine)
    }

    /// The stand-in's port; none over a real server.
    pub fn port(&self) -> Option<u16> {
        self.sandbox.as_ref().map(|sandbox| sandbox.addr.port())
    }

    pub fn connection(&self, database: &str) -> String {
        format!("{};Database={database}", self.base)
    }

    /// As another login.
    pub fn connection_as(&self, database: &str, user: &str, password: &str) -> String {
        let mut quoted = false;
        let parts = self.base.split(|c: char| {
            quoted ^= c == '"';
            c == ';' && !quoted
        });
        let login = ["user id", "uid", "user", "password", "pwd"];
        let key = |part: &str| part.split('=').next().map(|key| key.trim().to_lowercase());
        let others = parts.filter(|part| key(part).is_none_or(|key| !login.contains(&&*key)));
        let others: Vec<&str> = others.collect();
        format!(
            "{};User ID={user};Password=\"{password}\";Database={database}",
            others.join(";")
        )
    }

    /// What may be done to the stand-in's connections; none over a real server.
    pub fn faults(&self) -> Option<&icesync_sandbox::tds::Faults> {
        self.sandbox.as_ref().map(|sandbox| &sandbox.faults)
    }

    pub async fn connect(&self, database: &str) -> Control {
        let connection =
            Connection::parse(&self.connection(database)).expect("a connection string");
        Control::connect(&connection)
            .await
            .expect("the server accepts the login")
    }
}

/// One test's world.
pub struct World {
    pub dir: TempDir,
    server: &'static Server,
    /// Tables that cannot be read without row versions are locked.
    locks_tables: bool,
    pub source: Control,
    pub target: Control,
    pub source_db: String,
    pub target_db: String,
    /// Dropped last.
    _databases: Databases,
}

/// What a run of the command printed.
#[derive(Debug)]
pub struct Run {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Run {
    /// The JSON document, with the exit code checked to be 0.
    pub fn json(&self) -> Value {
        assert_eq!(self.code, 0, "{self:#?}");
        self.json_any()
    }

    pub fn json_any(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }

    /// Asserts the exit code, and that stderr or stdout has every text.
    #[track_caller]
    pub fn fails_with(&self, code: i32, texts: &[&str]) {
        assert_eq!(self.code, code, "{self:#?}");
        let all = format!("{}{}", self.stdout, self.stderr);
        for text in texts {
            assert!(all.contains(text), "missing {text:?} in {self:#?}");
        }
        assert!(!all.contains(PASSWORD), "a secret was printed: {self:#?}");
        assert!(!all.contains("panicked"), "{self:#?}");
    }
}

impl World {
    /// Fresh databases with the row versions of the suite, and `setup` run in the source (batches separated by lines of
    /// GO).
    pub async fn new(setup: &str) -> Self {
        Self::on(server(), setup).await
    }

    /// As [`World::new`] on a server.
    pub async fn on(server: &'static Server, setup: &str) -> Self {
        let isolation = Isolation::of_the_suite();
        let mut world = Self::create(server, isolation, setup).await;
        world.locks_tables = isolation == Isolation::ReadCommitted;
        world
    }

    /// As [`World::new`], for a test whose subject depends on row versions: it has its own, and its configuration is as
    /// it is written.
    pub async fn with_isolation(isolation: Isolation, setup: &str) -> Self {
        Self::create(server(), isolation, setup).await
    }

    /// As [`World::with_isolation`] on a server.
    pub async fn isolated_on(server: &'static Server, isolation: Isolation, setup: &str) -> Self {
        Self::create(server, isolation, setup).await
    }

    async fn create(server: &'static Server, isolation: Isolation, setup: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let stem = format!(
            "it_{}_{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        let databases = Databases::named(&stem, server);
        let (source_db, target_db) = (format!("{stem}_source"), format!("{stem}_target"));
        let mut master = server.connect("master").await;
        for database in [&source_db, &target_db] {
            sql(&mut master, &format!("CREATE DATABASE [{database}]")).await;
            isolation.set(&mut master, database).await;
        }
        let mut source = server.connect(&source_db).await;
        for batch in setup.split("\nGO\n") {
            sql(&mut source, batch).await;
        }
        Self {
            dir: tempfile::tempdir().expect("a folder"),
            server,
            locks_tables: false,
            target: server.connect(&target_db).await,
            source,
            source_db,
            target_db,
            _databases: databases,
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn warehouse(&self) -> PathBuf {
        self.path("warehouse")
    }

    /// Writes icesync.yaml with these table entries (YAML list items, two spaces in).
    pub fn config(&self, tables: &str) {
        let text = config(&self.entries(tables));
        std::fs::write(self.path("icesync.yaml"), text).expect("written");
    }

    /// Table entries as the row versions of the suite need them.
    pub fn entries(&self, tables: &str) -> String {
        match self.locks_tables {
            true => isolation::readable(tables, &self.server.connection(&self.source_db)),
            false => tables.to_owned(),
        }
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_icesync"));
        command
            .args(args)
            .current_dir(self.dir.path())
            .env("ICESYNC_SOURCE", self.server.connection(&self.source_db))
            .env("ICESYNC_TARGET", self.server.connection(&self.target_db))
            .env_remove("ICESYNC_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    pub fn spawn(&self, args: &[&str]) -> Child {
        self.command(args).spawn().expect("icesync starts")
    }

    pub fn run(&self, args: &[&str]) -> Run {
        finish(self.spawn(args))
    }

    pub async fn source(&mut self, text: &str) {
        sql(&mut self.source, text).await;
    }

    pub async fn target(&mut self, text: &str) {
        sql(&mut self.target, text).await;
    }

    /// Rows of a query against the source, cells as text.
    pub async fn source_rows(&mut self, text: &str) -> Vec<Vec<String>> {
        rows(&mut self.source, text).await
    }

    pub async fn target_rows(&mut self, text: &str) -> Vec<Vec<String>> {
        rows(&mut self.target, text).await
    }

    /// Path of a lake table.
    pub fn lake(&self, namespace: &str, table: &str) -> PathBuf {
        self.warehouse().join(namespace).join(table)
    }
}

/// Says what a test leaves out on a real server; scripts/test.sh counts it.
pub fn skipped(what: &str) {
    eprintln!("SKIPPED: {what} (ICESYNC_TEST_MSSQL names a real server)");
}

/// A configuration with these table entries. A server that stays away is not outlasted, unless they say so.
pub fn config(tables: &str) -> String {
    let retry = match tables.contains("retry:") {
        true => "",
        false => "retry: { max_elapsed: 0s }\n",
    };
    format!(
        "source: {{ connection: \"${{ICESYNC_SOURCE}}\" }}\nwarehouse: {{ location: ./warehouse }}\n\
         target: {{ connection: \"${{ICESYNC_TARGET}}\" }}\n{retry}tables:\n{tables}"
    )
}

pub fn finish(child: Child) -> Run {
    let output = child.wait_with_output().expect("icesync ends");
    Run {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

pub async fn sql(control: &mut Control, text: &str) {
    if let Err(error) = control.run(&Statement::plain(text), Class::LONG).await {
        panic!("{error:?}\n{text}");
    }
}

pub async fn rows(control: &mut Control, text: &str) -> Vec<Vec<String>> {
    let records = match control.query(&Statement::plain(text)).await {
        Ok(records) => records,
        Err(error) => panic!("{error:?}\n{text}"),
    };
    records
        .iter()
        .map(|record| record.cells().iter().map(show).collect())
        .collect()
}

/// A cell as the tests compare it.
pub fn show(cell: &Cell) -> String {
    match cell {
        Cell::Null => "NULL".into(),
        other => format!("{other:?}"),
    }
}

/// Compares what DuckDB, PyIceberg and Polars read of a lake table with `expected` (canonical JSON lines) and with
/// each other. Without the readers' Python (`ICESYNC_INTEROP_PYTHON`) it says SKIPPED, loudly.
pub fn readers_agree(table: &Path, key: &str, expected: &[Value]) {
    let Ok(python) = std::env::var("ICESYNC_INTEROP_PYTHON") else {
        eprintln!(
            "SKIPPED: independent readers of {} (ICESYNC_INTEROP_PYTHON is not set; scripts/test.sh sets it)",
            table.display()
        );
        return;
    };
    let file = tempfile::NamedTempFile::new().expect("a file");
    let lines: String = expected.iter().map(|row| format!("{row}\n")).collect();
    std::fs::write(file.path(), lines).expect("written");
    let output = Command::new(python)
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/read_lake.py"))
        .arg(table)
        .args(["--key", key, "--expect"])
        .arg(file.path())
        .output()
        .expect("python runs");
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// As [`readers_agree`], of many tables at once.
pub fn lakes_agree(tables: &[(PathBuf, Vec<Value>)]) {
    let Ok(python) = std::env::var("ICESYNC_INTEROP_PYTHON") else {
        eprintln!(
            "SKIPPED: independent readers of {} random tables (ICESYNC_INTEROP_PYTHON is not set; scripts/test.sh sets \
                it)",
            tables.len()
        );
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let mut list = String::new();
    for (at, (table, rows)) in tables.iter().enumerate() {
        let expect = folder.path().join(format!("{at}.jsonl"));
        let lines: String = rows.iter().map(|row| format!("{row}\n")).collect();
        std::fs::write(&expect, lines).expect("written");
        list.push_str(&format!(
            "{}\n",
            serde_json::json!({ "table": table, "expect": expect })
        ));
    }
    let file = folder.path().join("list");
    std::fs::write(&file, list).expect("written");
    let output = Command::new(python)
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/read_lake.py"))
        .arg("--list")
        .arg(file)
        .output()
        .expect("python runs");
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
