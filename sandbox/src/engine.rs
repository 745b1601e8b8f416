//! The engine: an in-memory SQL Server behind the traits of `session`.
//!
//! - `types`, `convert`, `calendar`, `collation`, `ordering`: values, what they convert to, and the one order that
//!   everything compares by
//! - `schema`, `storage`, `locks`, `state`: databases, tables with row versions, locks, and what transactions do to
//!   them
//! - `bind`: names, types and collations settled; `expr`, `plan`, `aggregate`, `window`: what runs
//! - `query`, `dml`, `ddl`, `flow`, `procedures`: statements, batches, errors
//! - `meta`, `catalog`, `permissions`: what SQL Server tells about itself, and to whom
//! - `functions`: scalar built-ins
//! - `tracking`: change tracking
//! - `capture`: change data capture
//! - `temporal`: system-versioned tables
//! - `connection`: one session; `context`: what running code carries
//!
//! # The transaction protocol
//! One mutex guards the whole state. A statement holds it from its first read to its last write, so that statements
//! are atomic towards each other without further argument. Two kinds of SELECT give it up between two chunks of rows:
//! one that reads row versions, and one that passes the rows of a table on at READ COMMITTED without them, as it meets
//! them. The second waits for a writer where it is, and sees no single state (`plan::scan`).
//!
//! A write pushes a version stamped with its transaction; that stamp is the row's exclusive lock. Commit takes the
//! next commit time, restamps every version the transaction wrote with it, and releases its locks, in one hold of
//! the mutex: a reader as of time T sees all of a transaction or nothing. Rollback pops the versions. READ
//! COMMITTED reads as of the commit time at the statement's start, SNAPSHOT as of that of the transaction's first
//! read; both see their own writes. Writers and locking readers look at the newest version and, when it is another
//! transaction's, unwind, wait until it ends, and run the statement again: they act on what is committed, or fail
//! with 3960 under SNAPSHOT.
//!
//! A rowversion is given out at the write and noted with its transaction. MIN_ACTIVE_ROWVERSION is the least that
//! an open transaction has, or the next: since commit removes the note and makes the rows visible in one hold of
//! the mutex, every row with a lower rowversion is visible to whoever reads it afterwards.

pub mod calendar;
pub mod collation;
pub mod convert;
pub mod functions;
pub mod types;

mod aggregate;
mod bind;
mod capture;
mod catalog;
mod connection;
mod context;
mod ddl;
mod dml;
mod expr;
mod fault;
mod flow;
mod locks;
mod meta;
mod ordering;
mod permissions;
mod plan;
mod procedures;
mod query;
mod schema;
mod state;
mod storage;
mod temporal;
mod tracking;
mod window;

use crate::session::{Event, Login, Server, Session, Sink, SqlError};
use crate::sql;
use calendar::{DAYS_TO_1900, TICKS_PER_DAY};
use collation::Collate;
use fault::error;
use schema::{Database, Object};
use state::{LoginAccount, SessionInfo, Shared, State};
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, MutexGuard};
use std::time::{SystemTime, UNIX_EPOCH};

/// Where the time comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clock {
    System,
    /// The system's clock shifted by so many seconds.
    Shifted(i64),
    /// Always this moment: 100 ns ticks since 0001-01-01, UTC.
    Fixed(i64),
}

impl Clock {
    /// UTC in 100 ns ticks since 0001-01-01.
    pub fn now(&self) -> i64 {
        /// 1970-01-01 in days since 1900-01-01.
        const DAYS_1900_TO_1970: i64 = 25_567;
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let system = (i64::from(DAYS_TO_1900) + DAYS_1900_TO_1970) * TICKS_PER_DAY
            + (since.as_nanos() / 100) as i64;
        match self {
            Clock::System => system,
            Clock::Shifted(seconds) => system + seconds * calendar::TICKS_PER_SECOND,
            Clock::Fixed(ticks) => *ticks,
        }
    }
}

/// How an engine starts.
#[derive(Debug, Clone)]
pub struct Options {
    /// Databases beside the system's.
    pub databases: Vec<String>,
    pub user: String,
    pub password: String,
    pub clock: Clock,
    pub local_offset_minutes: i16,
    /// ALLOW_SNAPSHOT_ISOLATION of the named databases. Off, as SQL Server creates a database.
    pub allow_snapshot: bool,
    /// READ_COMMITTED_SNAPSHOT of the named databases. Off, as SQL Server creates a database.
    pub read_committed_snapshot: bool,
    /// The named databases' collation.
    pub collation: String,
    /// `SERVERPROPERTY('EngineEdition')`: 3 is SQL Server, 5 is Azure SQL Database, where `DB_ID()` is not the number
    /// that `sys.databases` has, and nothing shows the recovery fork.
    pub engine_edition: i32,
    /// Whether ENABLE CHANGE_TRACKING and TRUNCATE TABLE of a tracked table take a version of their own. SQL Server's
    /// documentation does not say.
    pub history_end_takes_version: bool,
    /// How long a transaction is committed before the capture job of change data capture has scanned it, in
    /// milliseconds. SQL Server's job waits 5 seconds between two scans.
    pub capture_delay_ms: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            databases: Vec::new(),
            user: "sa".into(),
            password: String::new(),
            clock: Clock::System,
            local_offset_minutes: 0,
            allow_snapshot: false,
            read_committed_snapshot: false,
            collation: crate::collation::DEFAULT.into(),
            engine_edition: 3,
            history_end_takes_version: true,
            capture_delay_ms: 100,
        }
    }
}

pub use Options as EngineOptions;
pub use schema::Replica;

/// A database as it was.
#[derive(Debug, Clone)]
pub struct Backup {
    objects: BTreeMap<i32, Object>,
    names: HashMap<(i32, String), i32>,
    schemas: Vec<schema::Schema>,
    rowversion: u64,
    next_object_id: i32,
    tracking: tracking::Log,
    capture: capture::Capture,
}

/// What tests do to a database beyond T-SQL. Databases are named as they are spelled; an unknown one is error 911.
impl Engine {
    fn database(&self, name: &str, change: impl FnOnce(&mut Database)) -> Result<(), SqlError> {
        let (mut state, slot) = self.slot(name)?;
        change(&mut state.databases[slot]);
        Ok(())
    }

    fn slot(&self, name: &str) -> Result<(MutexGuard<'_, State>, usize), SqlError> {
        let state = self.shared.lock();
        let slot = state.database_named(name).ok_or_else(|| {
            let message = format!(
                "Database '{name}' does not exist. Make sure that the name is entered correctly."
            );
            error(911, 16, message)
        })?;
        Ok((state, slot))
    }

    /// Makes a database a copy of one that is written to elsewhere, or a primary again.
    pub fn set_replica(&self, database: &str, replica: Replica) -> Result<(), SqlError> {
        self.database(database, |database| database.replica = replica)
    }

    /// Keeps a database as it is. No transaction may be open in it.
    pub fn back_up(&self, database: &str) -> Result<Backup, SqlError> {
        let mut backup = None;
        self.database(database, |database| {
            backup = Some(Backup {
                objects: database.objects.clone(),
                names: database.names.clone(),
                schemas: database.schemas.clone(),
                rowversion: database.rowversion,
                next_object_id: database.next_object_id,
                tracking: database.tracking.clone(),
                capture: database.capture.clone(),
            });
        })?;
        backup.ok_or_else(|| error(911, 16, "no backup was made"))
    }

    /// Takes a database back, on a new recovery fork, as RESTORE .. WITH RECOVERY does.
    pub fn restore(&self, database: &str, backup: &Backup) -> Result<(), SqlError> {
        self.database(database, |database| {
            let Backup {
                objects,
                names,
                schemas,
                rowversion,
                next_object_id,
                tracking,
                capture,
            } = backup.clone();
            database.objects = objects;
            database.names = names;
            database.schemas = schemas;
            database.rowversion = rowversion;
            database.next_object_id = next_object_id;
            database.tracking = tracking;
            database.capture = capture;
            database.recovery_fork += 1 << 64;
        })
    }

    /// Lets every transaction that changed tracked tables of a database have committed so many minutes earlier.
    pub fn age_changes(&self, database: &str, minutes: i64) -> Result<(), SqlError> {
        let (mut state, slot) = self.slot(database)?;
        tracking::age(&mut state, slot, minutes);
        Ok(())
    }

    /// Removes the tracked changes of a database that are older than its retention period; how many. None without
    /// change tracking.
    pub fn clean_up_changes(&self, database: &str) -> Result<Option<u64>, SqlError> {
        let (mut state, slot) = self.slot(database)?;
        let cleaned = tracking::clean_up(&mut state, slot, None);
        Ok(cleaned.map(|cleaned| cleaned.changes))
    }

    /// Lets the open transactions of sessions in a database have begun so many minutes earlier.
    pub fn age_transactions(&self, database: &str, minutes: i64) {
        let mut state = self.shared.lock();
        let slot = state.database_named(database);
        let sessions = state.sessions.iter();
        let own = sessions.filter(|(_, session)| Some(session.database) == slot);
        let own: Vec<u32> = own.map(|(id, _)| *id).collect();
        for open in state.open.values_mut() {
            if own.contains(&open.session) {
                open.began -= minutes * calendar::TICKS_PER_MINUTE;
            }
        }
    }
}

/// The engine; sessions share it.
pub struct Engine {
    shared: Arc<Shared>,
}

impl Engine {
    /// Local time is so many minutes ahead of UTC from now on, as after a change to summer or winter time.
    pub fn set_local_offset(&self, minutes: i16) {
        self.shared.set_offset_minutes(minutes);
    }

    /// An engine with master, tempdb, model and the named databases. Error 448 for an unknown collation.
    pub fn new(options: Options) -> Result<Arc<Self>, SqlError> {
        let now = options.clock.now()
            + i64::from(options.local_offset_minutes) * calendar::TICKS_PER_MINUTE;
        let collate = Collate::named(&options.collation)?;
        let mut databases: Vec<Database> = ["master", "tempdb", "model", "msdb"]
            .iter()
            .zip(1..)
            .map(|(name, id)| Database::new(id, name, Collate::server(), now))
            .collect();
        for database in &mut databases {
            database.allow_snapshot = ["master", "msdb"].contains(&database.name.as_str());
        }
        for (name, id) in options.databases.iter().zip(5..) {
            let mut database = Database::new(id, name, collate.clone(), now);
            database.allow_snapshot = options.allow_snapshot;
            database.read_committed_snapshot = options.read_committed_snapshot;
            databases.push(database);
        }
        let administrator = LoginAccount {
            name: options.user.clone(),
            password: options.password.clone(),
            sysadmin: true,
            enabled: true,
            default_database: "master".into(),
            language: "us_english".into(),
            roles: Vec::new(),
        };
        let rules = tracking::Rules {
            clock: options.clock,
            history_end_takes_version: options.history_end_takes_version,
        };
        let state = State::new(databases, vec![administrator], rules);
        Ok(Arc::new(Self {
            shared: Arc::new(Shared::new(state, options)),
        }))
    }

    /// Runs a script with its `GO`s as the administrator; the first error ends it.
    pub fn run_script(&self, database: &str, script: &str) -> Result<(), SqlError> {
        let options = &self.shared.options;
        let login = Login {
            user: &options.user,
            password: &options.password,
            database,
            app_name: "script",
            host_name: "",
            read_only: false,
            odbc: true,
        };
        let mut session = self.login(login)?;
        let cancel = Arc::new(AtomicBool::new(false));
        for batch in sql::split_go(script) {
            for _ in 0..batch.count {
                let mut errors = FirstError::default();
                session.batch(batch.text, &cancel, &mut errors);
                if let Some(error) = errors.0 {
                    return Err(SqlError {
                        line: error.line + batch.line.saturating_sub(1),
                        ..error
                    });
                }
            }
        }
        session.close();
        Ok(())
    }

    fn open(&self, login: Login<'_>) -> Result<Box<dyn Session>, SqlError> {
        let mut state = self.shared.lock();
        let account = state
            .logins
            .iter()
            .find(|account| schema::same_name(&account.name, login.user))
            .filter(|account| account.enabled && account.password == login.password)
            .cloned()
            .ok_or_else(|| {
                error(
                    18456,
                    14,
                    format!("Login failed for user '{}'.", login.user),
                )
            })?;
        let named = if login.database.is_empty() {
            account.default_database.as_str()
        } else {
            login.database
        };
        let refused = || SqlError {
            state: 1,
            ..error(
                4060,
                11,
                format!(
                    "Cannot open database \"{named}\" requested by the login. The login failed."
                ),
            )
        };
        let slot = state.database_named(named).ok_or_else(refused)?;
        permissions::user_name(&state, &account.name, slot).ok_or_else(refused)?;
        // A replica that takes read-intent connections only.
        if state.database(slot).replica == Replica::Secondary && !login.read_only {
            let message = format!(
                "The target database ('{named}') is in an availability group and is currently accessible for \
                    connections when the application intent is set to read only. For more information about \
                    application intent, see SQL Server Books Online."
            );
            return Err(error(978, 14, message));
        }
        let id = state.next_session;
        state.next_session = if id >= 32_000 { 51 } else { id + 1 };
        let began = self.shared.options.clock.now()
            + i64::from(self.shared.offset_minutes()) * calendar::TICKS_PER_MINUTE;
        let info = SessionInfo {
            login: account.name.clone(),
            app: login.app_name.to_string(),
            host: login.host_name.to_string(),
            database: slot,
            began,
            running: false,
            isolation: 1,
        };
        state.sessions.insert(id, info);
        drop(state);
        let mut ses = context::Ses::new(id, account.name, login.app_name, login.host_name, slot);
        ses.odbc = login.odbc;
        ses.settings = context::Settings::at_login(login.odbc);
        ses.settings.speak(&account.language);
        Ok(Box::new(connection::Connection::new(
            self.shared.clone(),
            ses,
        )))
    }
}

impl Server for Engine {
    fn login(&self, login: Login<'_>) -> Result<Box<dyn Session>, SqlError> {
        self.open(login)
    }
}

/// Keeps the first error of a batch.
#[derive(Default)]
struct FirstError(Option<SqlError>);

impl Sink for FirstError {
    fn send(&mut self, event: Event) -> bool {
        if let Event::Error(error) = event {
            self.0.get_or_insert(error);
        }
        true
    }
}

#[cfg(test)]
mod tests;
