//! How a read is kept consistent: decided from what the database allows and what is asked for. `source.rs` argues
//! why each is safe.

use super::discover::Discovered;
use super::error::SourceError;
use crate::change::{Isolation, Strategy};
use crate::mssql::sql::Statement;
use crate::mssql::sql::bounds::Count;
use crate::mssql::sql::read::{self, Locking};

/// How long a read waits for writers before it gives up (error 1222, transient).
pub(super) const LOCK_TIMEOUT_MS: u32 = 60_000;

/// A decided isolation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reading {
    pub(super) session: Vec<Statement>,
    pub(super) finish: Vec<Statement>,
    pub(super) locking: Locking,
    /// Each statement sees one state of the table.
    pub(super) sees_one_state: bool,
    /// All statements of a transaction see one state of the database.
    pub(super) is_snapshot: bool,
    /// How rows may be counted without waiting for writers.
    pub(super) count: Count,
    pub(super) why: String,
    pub(super) warnings: Vec<String>,
}

pub(super) fn choose(
    source: &Discovered,
    asked: Isolation,
    strategy: Strategy,
) -> Result<Reading, SourceError> {
    let facts = &source.facts;
    let table = &source.schema.name;
    let refused = |isolation: &'static str, why: String| SourceError::Isolation {
        table: table.clone(),
        isolation,
        why,
    };
    match asked {
        Isolation::Auto if facts.is_memory_optimized => Ok(read_committed(
            source,
            strategy,
            "a memory-optimized table always reads row versions",
        )),
        Isolation::Auto if facts.allows_snapshot => {
            Ok(snapshot("the database allows SNAPSHOT isolation"))
        }
        Isolation::Auto if facts.read_committed_snapshot => Ok(read_committed(
            source,
            strategy,
            "READ COMMITTED reads row versions in this database",
        )),
        Isolation::Auto => Err(SourceError::NoIsolation {
            table: table.clone(),
            database: facts.database.clone(),
        }),
        Isolation::Snapshot if facts.is_memory_optimized => Err(refused(
            "snapshot",
            "sessions under SNAPSHOT cannot read memory-optimized tables; use auto".into(),
        )),
        Isolation::Snapshot if facts.allows_snapshot => {
            Ok(snapshot("SNAPSHOT isolation is asked for"))
        }
        Isolation::Snapshot => Err(refused(
            "snapshot",
            format!(
                "run ALTER DATABASE [{}] SET ALLOW_SNAPSHOT_ISOLATION ON first",
                facts.database
            ),
        )),
        Isolation::ReadCommitted => Ok(read_committed(
            source,
            strategy,
            "READ COMMITTED is asked for",
        )),
        Isolation::TableLock if facts.is_memory_optimized => Err(refused(
            "table_lock",
            "a memory-optimized table cannot be locked; use auto".into(),
        )),
        Isolation::TableLock => Ok(Reading {
            session: vec![read::begin_table_lock(LOCK_TIMEOUT_MS)],
            finish: vec![read::end_transaction()],
            locking: Locking::Table,
            sees_one_state: true,
            is_snapshot: false,
            count: Count::Nothing,
            why: "a shared table lock is asked for: writers wait while the table is read".into(),
            warnings: Vec::new(),
        }),
    }
}

fn snapshot(why: &str) -> Reading {
    Reading {
        session: vec![read::begin_snapshot(LOCK_TIMEOUT_MS)],
        finish: vec![read::end_transaction()],
        locking: Locking::None,
        sees_one_state: true,
        is_snapshot: true,
        count: Count::Snapshot,
        why: format!("{why}: the whole read sees one state"),
        warnings: Vec::new(),
    }
}

fn read_committed(source: &Discovered, strategy: Strategy, why: &str) -> Reading {
    let versions = source.facts.read_committed_snapshot || source.facts.is_memory_optimized;
    let mut warnings = Vec::new();
    if !versions {
        warnings.push(match strategy {
            Strategy::Full | Strategy::Sequence => "read_committed without row versions: rows that move while the \
                table is read may be read twice or missed \
until the next full read"
                .to_owned(),
            Strategy::Timestamp | Strategy::RowVersion => {
                "read_committed without row versions: rows that move while the whole table is read may be read twice, \
                    or missed until \
the next window"
                    .to_owned()
            }
        });
    }
    Reading {
        session: vec![read::begin_read_committed(LOCK_TIMEOUT_MS)],
        finish: vec![read::end_read_committed()],
        locking: Locking::None,
        sees_one_state: versions,
        is_snapshot: false,
        count: if versions {
            Count::ReadCommitted
        } else {
            Count::Nothing
        },
        why: if versions {
            format!("{why}: each statement sees one state")
        } else {
            format!("{why}: reads wait for writers")
        },
        warnings,
    }
}
