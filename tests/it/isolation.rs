//! The row versions that the tests' databases have. `ICESYNC_TEST_ISOLATION` chooses them for the whole suite:
//!
//! | value | the databases have |
//! |---|---|
//! | `snapshot`, or not set | ALLOW_SNAPSHOT_ISOLATION only |
//! | `read-committed-snapshot` | READ_COMMITTED_SNAPSHOT only |
//! | `read-committed` | neither, as SQL Server creates a database |
//!
//! Without row versions icesync reads mirrors under a rowversion or `change_tracking` with row locks and refuses every
//! other table, unless its configuration allows a table lock. So under `read-committed` each entry of `tables:` that
//! would be refused gets `isolation: table_lock`. A test whose subject needs row versions, or the lack of them, chooses
//! its own ([`World::with_isolation`](crate::harness::World::with_isolation)), whatever the variable says.

use crate::harness::sql;
use icesync::mssql::control::Control;
use icesync::mssql::settings::Connection;
use icesync::mssql::sql::Statement;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    Snapshot,
    ReadCommittedSnapshot,
    ReadCommitted,
}

impl Isolation {
    /// What `ICESYNC_TEST_ISOLATION` says.
    pub fn of_the_suite() -> Self {
        match std::env::var("ICESYNC_TEST_ISOLATION").as_deref() {
            Err(_) | Ok("" | "snapshot") => Self::Snapshot,
            Ok("read-committed-snapshot") => Self::ReadCommittedSnapshot,
            Ok("read-committed") => Self::ReadCommitted,
            Ok(other) => panic!(
                "ICESYNC_TEST_ISOLATION is {other}: set it to read-committed, read-committed-snapshot or snapshot"
            ),
        }
    }

    /// Some kind of row versions: those of the suite, unless it has none.
    pub fn with_row_versions() -> Self {
        match Self::of_the_suite() {
            Self::ReadCommitted => Self::Snapshot,
            versions => versions,
        }
    }

    /// What a read in ranges needs. Under a rowversion each range may see a state of its own; otherwise all of them
    /// share one snapshot.
    pub fn for_ranges(strategy: &str) -> Self {
        match strategy {
            "rowversion" => Self::with_row_versions(),
            _ => Self::Snapshot,
        }
    }

    /// Sets a new database's options.
    pub async fn set(self, master: &mut Control, database: &str) {
        let option = match self {
            Self::Snapshot => "ALLOW_SNAPSHOT_ISOLATION",
            Self::ReadCommittedSnapshot => "READ_COMMITTED_SNAPSHOT",
            Self::ReadCommitted => return,
        };
        sql(
            master,
            &format!("ALTER DATABASE [{database}] SET {option} ON"),
        )
        .await;
    }
}

/// Entries of `tables:` as a database without row versions needs them. A mirror under a rowversion or `change_tracking`
/// stays as it is, and so does an entry that names an isolation.
pub fn readable(tables: &str, connection: &str) -> String {
    let versioned = with_rowversion(connection.to_owned());
    let mut out = String::new();
    for entry in entries(tables) {
        out.push_str(&match is_served(entry, &versioned) {
            true => entry.to_owned(),
            false => locked(entry),
        });
    }
    out
}

/// The entries of a list, and what stands before and after it.
fn entries(tables: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let (mut start, mut at) = (0, 0);
    for line in tables.split_inclusive('\n') {
        if line.starts_with("  - ") || line.starts_with(|c: char| !c.is_whitespace()) {
            found.push(&tables[start..at]);
            start = at;
        }
        at += line.len();
    }
    found.push(&tables[start..]);
    found
}

/// Whether icesync reads the table of an entry without row versions and without further configuration.
fn is_served(entry: &str, versioned: &[String]) -> bool {
    let Some(rest) = entry.strip_prefix("  - source: ") else {
        return true;
    };
    if entry.contains("isolation:") {
        return true;
    }
    let named = rest.lines().next().unwrap_or_default();
    let named = named.replace(['"', '\'', '[', ']'], "").to_lowercase();
    let strategy = entry.split_once("strategy: ").map(|(_, text)| text);
    if strategy.is_some_and(|it| it.starts_with("change_tracking")) {
        return !entry.contains("kind: history");
    }
    let follows = strategy.is_none_or(|it| it.starts_with("rowversion") || it.starts_with("auto"));
    follows && versioned.contains(&named) && !entry.contains("kind: history")
}

fn locked(entry: &str) -> String {
    const CHANGE: &str = "\n    change: {";
    if entry.contains(CHANGE) {
        return entry.replacen(CHANGE, &format!("{CHANGE} isolation: table_lock,"), 1);
    }
    let (first, rest) = entry.split_once('\n').unwrap_or((entry, ""));
    format!("{first}\n    change: {{ isolation: table_lock }}\n{rest}")
}

/// Tables of the source that have a rowversion. Asked by a thread of its own, so that a test that cannot wait may ask.
fn with_rowversion(connection: String) -> Vec<String> {
    let ask = async move {
        let connection = Connection::parse(&connection).expect("a connection string");
        let mut control = Control::connect(&connection).await.expect("a session");
        let names = "SELECT LOWER(SCHEMA_NAME(t.schema_id) + N'.' + t.name) AS name FROM sys.tables AS t JOIN \
            sys.columns AS c ON c.object_id = t.object_id WHERE c.system_type_id = 189";
        let found = control.query(&Statement::plain(names)).await;
        control.close().await;
        let found = found.expect("the tables with a rowversion");
        let names = found.iter().map(|row| row.text("name").expect("a name"));
        names.map(str::to_owned).collect::<Vec<String>>()
    };
    let asked = std::thread::spawn(|| {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().build().expect("a runtime");
        runtime.block_on(ask)
    });
    asked.join().expect("the source answers")
}

#[test]
fn what_would_be_refused_without_row_versions_asks_for_a_table_lock() {
    let versioned = ["dbo.a".to_owned()];
    let read = |entry: &str| match is_served(entry, &versioned) {
        true => entry.to_owned(),
        false => locked(entry),
    };
    for served in [
        "  - source: dbo.a\n",
        "  - source: \"[dbo].[A]\"\n    change: { strategy: auto }\n",
        "  - source: dbo.a\n    change: { strategy: rowversion, range_rows: 2000 }\n",
        "  - source: dbo.b\n    change: { strategy: full, isolation: snapshot }\n",
        "retry: { max_elapsed: 0s }\n",
        "  - source: dbo.b\n    change: { strategy: change_tracking }\n",
    ] {
        assert_eq!(read(served), served);
    }
    for (entry, locked) in [
        (
            "  - source: dbo.view_of_a\n    change: { strategy: rowversion }\n",
            "  - source: dbo.view_of_a\n    change: { isolation: table_lock, strategy: rowversion }\n",
        ),
        (
            "  - source: dbo.b\n    key: [id]\n",
            "  - source: dbo.b\n    change: { isolation: table_lock }\n    key: [id]\n",
        ),
        (
            "  - source: dbo.a\n    schema: { on_change: x }\n    change: { strategy: full }\n",
            "  - source: dbo.a\n    schema: { on_change: x }\n    change: { isolation: table_lock, strategy: full }\n",
        ),
        (
            "  - source: dbo.a\n    kind: history\n    change: { strategy: rowversion }\n",
            "  - source: dbo.a\n    kind: history\n    change: { isolation: table_lock, strategy: rowversion }\n",
        ),
    ] {
        assert_eq!(read(entry), locked);
    }
    let list = "  - source: dbo.a\n    key: [id]\n  - source: dbo.b\nretry: { attempts: 1 }\nload: { cycles: x }\n";
    let found = entries(list);
    assert_eq!((found.len(), found.concat().as_str()), (5, list));
}

/// The variable is obeyed, whatever it says.
#[tokio::test(flavor = "multi_thread")]
async fn the_databases_of_a_test_have_the_row_versions_of_the_suite() {
    let expected = match Isolation::of_the_suite() {
        Isolation::Snapshot => "1, 0",
        Isolation::ReadCommittedSnapshot => "0, 1",
        Isolation::ReadCommitted => "0, 0",
    };
    let mut world = crate::harness::World::new("SELECT 1").await;
    let options = "SELECT CONCAT(snapshot_isolation_state, ', ', CONVERT(int, is_read_committed_snapshot_on)) FROM \
        sys.databases WHERE name = DB_NAME()";
    let expected = [[format!("Text({expected:?})")]];
    assert_eq!(world.source_rows(options).await, expected);
    assert_eq!(world.target_rows(options).await, expected);
}
