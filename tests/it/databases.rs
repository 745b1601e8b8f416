//! The databases of a test on a real server: dropped with its world, or a day later where the tests were killed. Those
//! on the stand-in end with it.

use crate::harness::{Server, sql};
use icesync::mssql::control::{Class, Control};
use icesync::mssql::sql::Statement;
use std::sync::OnceLock;
use std::thread;

/// Names that [`Databases::named`] gives, of runs that began more than a day ago.
const OLD: &str =
    "name LIKE N'it[_][0-9]%[_][0-9]%[_]%' AND create_date < DATEADD(DAY, -1, GETDATE())";

/// The databases of one test, by what their names begin with.
pub struct Databases {
    stem: String,
    server: &'static Server,
}

impl Databases {
    /// Databases whose names will begin with the stem and an underscore: `it_<process>_<number>`. The first time, those
    /// of old runs are dropped.
    pub fn named(stem: &str, server: &'static Server) -> Self {
        static SWEPT: OnceLock<()> = OnceLock::new();
        if server.engine().is_none() {
            SWEPT.get_or_init(|| drop_all(server, OLD.to_owned()));
        }
        Self {
            stem: stem.to_owned(),
            server,
        }
    }
}

impl Drop for Databases {
    fn drop(&mut self) {
        if self.server.engine().is_none() {
            let stem = self.stem.replace('_', "[_]");
            drop_all(self.server, format!("name LIKE N'{stem}[_]%'"));
        }
    }
}

/// Drops the databases that a condition on `sys.databases` names, whoever uses them. In a runtime of its own: a test's
/// runtime cannot be waited for in a destructor.
fn drop_all(server: &'static Server, condition: String) {
    let dropping = thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let mut master = server.connect("master").await;
            for name in names(&mut master, &condition).await {
                drop_one(&mut master, &name).await;
            }
        });
    });
    if dropping.join().is_err() {
        eprintln!("databases of the tests remain on the server");
    }
}

async fn names(master: &mut Control, condition: &str) -> Vec<String> {
    let query = format!("SELECT name FROM sys.databases WHERE {condition}");
    let rows = master.query(&Statement::plain(&query)).await;
    let rows = rows.expect("sys.databases can be read");
    let name = |row: &icesync::mssql::control::Record| row.text("name").map(str::to_owned);
    rows.iter().map(|row| name(row).expect("a name")).collect()
}

/// Another process may drop it at the same time.
async fn drop_one(master: &mut Control, name: &str) {
    let quoted = name.replace(']', "]]");
    let text = format!(
        "ALTER DATABASE [{quoted}] SET SINGLE_USER WITH ROLLBACK IMMEDIATE; DROP DATABASE [{quoted}]"
    );
    if let Err(error) = master.run(&Statement::plain(&text), Class::LONG).await {
        eprintln!("database {name} remains on the server: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_databases_of_a_test_are_dropped_on_a_real_server() {
    let server = crate::harness::server();
    if server.engine().is_some() {
        eprintln!(
            "SKIPPED: dropping the tests' databases (it takes a real server, which ICESYNC_TEST_MSSQL names)"
        );
        return;
    }
    let mut master = server.connect("master").await;
    let stem = format!("it_{}_999999", std::process::id());
    let databases = Databases::named(&stem, server);
    sql(&mut master, &format!("CREATE DATABASE [{stem}_source]")).await;
    let user = server.connect(&format!("{stem}_source")).await;
    let condition = format!("name = N'{stem}_source'");
    assert_eq!(names(&mut master, &condition).await.len(), 1);
    drop(databases);
    assert!(names(&mut master, &condition).await.is_empty());
    drop(user);
}
