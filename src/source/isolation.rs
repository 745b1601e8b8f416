//! How a read is kept consistent: decided from what server, database and table are, and what is asked for. `source.rs`
//! argues why each is safe.

use super::discover::Discovered;
use super::error::SourceError;
use super::notice::Notice;
use crate::change::{Isolation, Strategy};
use crate::mssql::environment::Writability;
use crate::mssql::sql::Statement;
use crate::mssql::sql::bounds::Count;
use crate::mssql::sql::read::{self, Locking};
use crate::schema::TableKind;

/// How long a read waits for writers before it gives up (error 1222, transient).
pub(super) const LOCK_TIMEOUT_MS: u32 = 60_000;

const REPLICA: &str = "a secondary replica reads row versions at every level";

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
    pub(super) notices: Vec<Notice>,
}

/// Decides how a table is read under a strategy, into a lake table of a kind.
pub(super) fn choose(
    source: &Discovered,
    asked: Isolation,
    (strategy, kind): (Strategy, TableKind),
) -> Result<Reading, SourceError> {
    let facts = &source.facts;
    let environment = &facts.environment;
    let table = &source.schema.name;
    let refused = |isolation: &'static str, why: String| SourceError::Isolation {
        table: table.clone(),
        isolation,
        why,
    };
    match asked {
        Isolation::Auto => auto(source, strategy, kind),
        Isolation::Snapshot if facts.is_memory_optimized => Err(refused(
            "snapshot",
            "sessions under SNAPSHOT cannot read memory-optimized tables; use auto".into(),
        )),
        // Its locks hold no writer off, so several snapshots cannot be opened on one state.
        Isolation::Snapshot if environment.writability == Writability::Secondary => {
            Ok(versioned(REPLICA))
        }
        Isolation::Snapshot if environment.allows_snapshot => {
            Ok(snapshot("SNAPSHOT isolation is asked for"))
        }
        Isolation::Snapshot => Err(refused(
            "snapshot",
            format!(
                "run {} first",
                SourceError::allow_snapshot(&environment.database)
            ),
        )),
        Isolation::ReadCommitted => asked_read_committed(source, strategy, kind),
        Isolation::TableLock if facts.is_memory_optimized => Err(refused(
            "table_lock",
            "a memory-optimized table cannot be locked; use auto".into(),
        )),
        Isolation::TableLock if environment.writability == Writability::Secondary => Err(refused(
            "table_lock",
            "a secondary replica ignores locking hints; use auto".into(),
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
            notices: Vec::new(),
        }),
    }
}

/// The first of: row versions, a database that does not change, row locks where the next window makes up for them.
fn auto(source: &Discovered, strategy: Strategy, kind: TableKind) -> Result<Reading, SourceError> {
    let environment = &source.facts.environment;
    if source.facts.is_memory_optimized {
        return Ok(versioned(
            "a memory-optimized table always reads row versions",
        ));
    }
    match environment.writability {
        Writability::ReadWrite => {}
        Writability::Secondary => {
            return Ok(versioned(REPLICA));
        }
        Writability::ReadOnly | Writability::Snapshot | Writability::Standby => {
            return Ok(Reading {
                is_snapshot: true,
                ..versioned("the database does not change while it is read")
            });
        }
    }
    if environment.allows_snapshot {
        return Ok(snapshot("the database allows SNAPSHOT isolation"));
    }
    if environment.read_committed_snapshot {
        return Ok(versioned(
            "READ COMMITTED reads row versions in this database",
        ));
    }
    let is_covered = match strategy {
        Strategy::RowVersion => source.versions_tell(),
        Strategy::ChangeTracking => true,
        Strategy::Full | Strategy::Timestamp | Strategy::Sequence => false,
    };
    if is_covered && kind == TableKind::Mirror {
        return Ok(covered(&environment.database));
    }
    Err(SourceError::NoIsolation {
        table: source.schema.name.clone(),
        database: environment.database.clone(),
        strategy,
        kind,
    })
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
        notices: Vec::new(),
    }
}

/// READ COMMITTED where it reads row versions.
fn versioned(why: &str) -> Reading {
    Reading {
        session: vec![read::begin_read_committed(LOCK_TIMEOUT_MS)],
        finish: vec![read::end_read_committed()],
        locking: Locking::None,
        sees_one_state: true,
        is_snapshot: false,
        count: Count::ReadCommitted,
        why: format!("{why}: each statement sees one state"),
        warnings: Vec::new(),
        notices: Vec::new(),
    }
}

/// READ COMMITTED where it waits for writers, row by row.
fn locking(why: &str) -> Reading {
    Reading {
        sees_one_state: false,
        count: Count::Nothing,
        why: format!("{why}: reads wait for writers"),
        ..versioned(why)
    }
}

/// Row locks under a rowversion or tracked changes: what a scan misses comes with the next window.
fn covered(database: &str) -> Reading {
    let allow = SourceError::allow_snapshot(database);
    Reading {
        notices: vec![Notice {
            about: "row locks",
            text: format!(
                "database {database} has neither SNAPSHOT isolation nor READ_COMMITTED_SNAPSHOT. Tables with a \
                    rowversion, or whose changes are tracked, are read with row locks: reads wait for writers, and a \
                    row that moves while it is read may come with the next run. To read without locks, run {allow}"
            ),
        }],
        ..locking("READ COMMITTED, whose next window has the rows that move meanwhile")
    }
}

/// Refused where a row that is met twice would be kept twice: for a history, and for a mirror without a key.
fn asked_read_committed(
    source: &Discovered,
    strategy: Strategy,
    kind: TableKind,
) -> Result<Reading, SourceError> {
    const WHY: &str = "READ COMMITTED is asked for";
    let environment = &source.facts.environment;
    let is_frozen = environment.writability.is_frozen();
    let is_replica = environment.writability == Writability::Secondary;
    if environment.read_committed_snapshot || source.facts.is_memory_optimized || is_replica {
        return Ok(versioned(WHY));
    }
    if is_frozen {
        return Ok(Reading {
            is_snapshot: true,
            ..versioned(WHY)
        });
    }
    if kind == TableKind::History || source.schema.key.is_none() {
        return Err(SourceError::Isolation {
            table: source.schema.name.clone(),
            isolation: "read_committed",
            why: format!(
                "without row versions a read may meet a row twice or not at all, and a history, or a mirror without a \
                    key, would keep that. Nothing was read. Run {}, or set change.isolation: table_lock",
                SourceError::allow_snapshot(&environment.database)
            ),
        });
    }
    let warning = match strategy {
        Strategy::Full | Strategy::Sequence => {
            "read_committed without row versions: rows that move while the table is read may be read twice or missed \
                until the next full read"
        }
        Strategy::Timestamp | Strategy::RowVersion | Strategy::ChangeTracking => {
            "read_committed without row versions: rows that move while the whole table is read may be read twice, or \
                missed until the next window"
        }
    };
    Ok(Reading {
        warnings: vec![warning.to_owned()],
        ..locking(WHY)
    })
}
