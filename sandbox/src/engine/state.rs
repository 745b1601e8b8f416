//! The engine's shared state under its one mutex, and what transactions do to it.

use crate::engine::capture::{self, Change, Logged};
use crate::engine::fault::{Stop, error};
use crate::engine::locks::{Blocked, Locks, Mode, Owner, Resource};
use crate::engine::schema::Lifetime;
use crate::engine::schema::{
    AliasType, Database, Object, ObjectRef, Row, Schema, Security, TableDef,
};
use crate::engine::storage::{Table, UNCOMMITTED};
use crate::engine::tracking;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicI16, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// A server login.
#[derive(Debug, Clone)]
pub struct LoginAccount {
    pub name: String,
    pub password: String,
    pub sysadmin: bool,
    pub enabled: bool,
    pub default_database: String,
    pub language: String,
    pub roles: Vec<String>,
}

/// What others may know of an open transaction.
#[derive(Debug)]
pub struct OpenTransaction {
    pub session: u32,
    /// Local time, 100 ns ticks.
    pub began: i64,
    pub name: String,
    pub writes: bool,
    /// First rowversion given out per database slot.
    pub rowversions: HashMap<usize, u64>,
}

/// What others may know of a session.
#[derive(Debug, Clone)]
pub struct SessionInfo {
    pub login: String,
    pub app: String,
    pub host: String,
    pub database: usize,
    pub began: i64,
    pub running: bool,
    pub isolation: u8,
}

#[derive(Debug)]
pub struct State {
    pub databases: Vec<Database>,
    /// The last commit time.
    pub clock: u64,
    pub next_transaction: u64,
    pub open: BTreeMap<u64, OpenTransaction>,
    pub locks: Locks,
    /// Commit times that some reader still reads as of, with how many do.
    pub readers: BTreeMap<u64, usize>,
    /// Rows with versions to drop once no reader needs them.
    garbage: VecDeque<(u64, ObjectRef, u64)>,
    pub logins: Vec<LoginAccount>,
    pub sessions: BTreeMap<u32, SessionInfo>,
    pub next_session: u32,
    pub tracking: tracking::Rules,
    /// Tables with tracked changes that a cleanup has hidden and not freed.
    pub unpurged: Vec<ObjectRef>,
}

/// How to take one change back.
#[derive(Debug)]
pub enum Undo {
    Row {
        table: ObjectRef,
        row_id: u64,
    },
    Object {
        at: ObjectRef,
        old: Option<Box<Object>>,
    },
    /// A table's definition, where neither rows nor indexes changed with it.
    Definition {
        at: ObjectRef,
        old: Arc<TableDef>,
    },
    Name {
        database: usize,
        key: (i32, String),
        old: Option<i32>,
    },
    Schemas {
        database: usize,
        old: Vec<Schema>,
    },
    Types {
        database: usize,
        old: Vec<AliasType>,
    },
    Security {
        database: usize,
        old: Box<Security>,
    },
    Logins(Vec<LoginAccount>),
    /// A change that is recorded when the transaction commits: there is nothing to take back.
    Tracked(Box<tracking::Tracked>),
    /// No change: what commit makes of one that change data capture reads.
    Logged {
        database: usize,
        record: Box<Logged>,
    },
    Capture {
        database: usize,
        old: Box<(Option<capture::Enabled>, Vec<capture::Instance>)>,
    },
}

/// A session's transaction. One statement outside BEGIN TRANSACTION has one too, with `count` 0.
#[derive(Debug)]
pub struct Transaction {
    pub id: u64,
    /// `@@TRANCOUNT`.
    pub count: u32,
    pub undo: Vec<Undo>,
    pub savepoints: Vec<(String, usize)>,
    /// SNAPSHOT: the commit time it reads as of, from its first read on.
    pub snapshot: Option<u64>,
    /// Whether the session was in SNAPSHOT isolation when the transaction began.
    pub began_in_snapshot: bool,
    pub doomed: bool,
    /// An outer BEGIN's name.
    pub name: String,
}

/// The state and the bell that rings when locks are released.
#[derive(Debug)]
pub struct Shared {
    state: Mutex<State>,
    bell: Condvar,
    pub options: super::Options,
    /// Local time minus UTC.
    offset_minutes: AtomicI16,
}

impl Shared {
    pub fn new(state: State, options: super::Options) -> Self {
        Self {
            state: Mutex::new(state),
            bell: Condvar::new(),
            offset_minutes: AtomicI16::new(options.local_offset_minutes),
            options,
        }
    }

    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Local time minus UTC.
    pub fn offset_minutes(&self) -> i16 {
        self.offset_minutes.load(Ordering::Relaxed)
    }

    /// Moves local time, as twice a year.
    pub fn set_offset_minutes(&self, minutes: i16) {
        self.offset_minutes.store(minutes, Ordering::Relaxed);
    }

    pub fn ring(&self) {
        self.bell.notify_all();
    }

    /// Sleeps until the bell rings or the time is over.
    pub fn sleep<'a>(
        &self,
        guard: MutexGuard<'a, State>,
        time: std::time::Duration,
    ) -> MutexGuard<'a, State> {
        match self.bell.wait_timeout(guard, time) {
            Ok((guard, _)) => guard,
            Err(poisoned) => poisoned.into_inner().0,
        }
    }
}

impl State {
    pub fn new(
        databases: Vec<Database>,
        logins: Vec<LoginAccount>,
        tracking: tracking::Rules,
    ) -> Self {
        Self {
            databases,
            clock: 1,
            next_transaction: 1000,
            open: BTreeMap::new(),
            locks: Locks::default(),
            readers: BTreeMap::new(),
            garbage: VecDeque::new(),
            logins,
            sessions: BTreeMap::new(),
            next_session: 51,
            tracking,
            unpurged: Vec::new(),
        }
    }

    pub fn database(&self, slot: usize) -> &Database {
        &self.databases[slot]
    }

    pub fn database_named(&self, name: &str) -> Option<usize> {
        self.databases
            .iter()
            .position(|database| crate::engine::schema::same_name(&database.name, name))
    }

    /// The table; error 208 when it is gone.
    pub fn table(&self, at: ObjectRef) -> Result<&Table, Stop> {
        self.databases
            .get(at.database)
            .and_then(|database| database.table(at.id))
            .ok_or_else(|| {
                Stop::from(error(
                    208,
                    16,
                    format!("Invalid object name (id {}).", at.id),
                ))
            })
    }

    pub fn table_mut(&mut self, at: ObjectRef) -> Result<&mut Table, Stop> {
        self.databases
            .get_mut(at.database)
            .and_then(|database| database.table_mut(at.id))
            .ok_or_else(|| {
                Stop::from(error(
                    208,
                    16,
                    format!("Invalid object name (id {}).", at.id),
                ))
            })
    }

    /// The next rowversion of a database, on behalf of a transaction.
    pub fn next_rowversion(&mut self, database: usize, transaction: u64) -> u64 {
        self.databases[database].rowversion += 1;
        let value = self.databases[database].rowversion;
        if let Some(open) = self.open.get_mut(&transaction) {
            open.rowversions.entry(database).or_insert(value);
        }
        value
    }

    /// The lowest rowversion that an open transaction wrote, or the next one. Every rowversion below it is
    /// committed and final.
    pub fn min_active_rowversion(&self, database: usize) -> u64 {
        self.open
            .values()
            .filter_map(|open| open.rowversions.get(&database).copied())
            .min()
            .unwrap_or(self.databases[database].rowversion + 1)
    }

    pub fn begin(&mut self, session: u32, began: i64) -> Transaction {
        self.next_transaction += 1;
        let id = self.next_transaction;
        let open = OpenTransaction {
            session,
            began,
            name: String::new(),
            writes: false,
            rowversions: HashMap::new(),
        };
        self.open.insert(id, open);
        Transaction {
            id,
            count: 0,
            undo: Vec::new(),
            savepoints: Vec::new(),
            snapshot: None,
            began_in_snapshot: false,
            doomed: false,
            name: String::new(),
        }
    }

    pub fn add_reader(&mut self, time: u64) {
        *self.readers.entry(time).or_default() += 1;
    }

    pub fn remove_reader(&mut self, time: u64) {
        if let Some(count) = self.readers.get_mut(&time) {
            *count -= 1;
            if *count == 0 {
                self.readers.remove(&time);
            }
        }
    }

    fn oldest_reader(&self) -> u64 {
        self.readers.keys().next().copied().unwrap_or(self.clock)
    }

    /// Drops versions that nobody can see any more.
    pub fn collect_garbage(&mut self) {
        let oldest = self.oldest_reader();
        while let Some((time, table, row_id)) = self.garbage.front().copied() {
            if time > oldest {
                break;
            }
            self.garbage.pop_front();
            if let Ok(table) = self.table_mut(table) {
                table.collect(row_id, oldest);
            }
        }
        if !self.unpurged.is_empty() {
            tracking::purge(self, oldest);
        }
    }

    /// Makes the transaction's changes everyone's, at one new commit time, and gives back its locks.
    pub fn commit(&mut self, mut transaction: Transaction, session: u32) {
        self.log_commit(&mut transaction);
        if !transaction.undo.is_empty() {
            self.clock += 1;
        }
        let time = self.clock;
        for undo in &transaction.undo {
            match undo {
                Undo::Row { table, row_id } => {
                    let Ok(found) = self.table_mut(*table) else {
                        continue;
                    };
                    if found.commit(*row_id, transaction.id, time) {
                        self.garbage.push_back((time, *table, *row_id));
                    }
                }
                Undo::Object { at, .. } => {
                    if let Ok(table) = self.table_mut(*at) {
                        table.commit_all(transaction.id, time);
                        table.shaped_at = table.shaped_at.min(time);
                    }
                }
                Undo::Definition { .. }
                | Undo::Name { .. }
                | Undo::Schemas { .. }
                | Undo::Types { .. }
                | Undo::Security { .. }
                | Undo::Logged { .. }
                | Undo::Capture { .. }
                | Undo::Logins(_)
                | Undo::Tracked(_) => {}
            }
        }
        tracking::publish(self, &transaction, time);
        self.end(transaction, session);
    }

    /// Takes every change back and gives back the locks.
    pub fn rollback(&mut self, mut transaction: Transaction, session: u32) {
        self.undo_to(&mut transaction, 0, false);
        self.end(transaction, session);
    }

    fn end(&mut self, transaction: Transaction, session: u32) {
        if let Some(time) = transaction.snapshot {
            self.remove_reader(time);
        }
        self.open.remove(&transaction.id);
        self.locks.release(session, Owner::Transaction);
        self.collect_garbage();
    }

    /// Takes back the changes after `mark`. Table variables lose theirs only when the statement itself failed.
    pub fn undo_to(&mut self, transaction: &mut Transaction, mark: usize, statement: bool) {
        while transaction.undo.len() > mark {
            let Some(undo) = transaction.undo.pop() else {
                break;
            };
            self.apply(undo, transaction.id, statement);
        }
        transaction.savepoints.retain(|(_, at)| *at <= mark);
    }

    fn apply(&mut self, undo: Undo, transaction: u64, statement: bool) {
        match undo {
            Undo::Row { table, row_id } => {
                let time = self.clock;
                if let Ok(found) = self.table_mut(table) {
                    if !statement && found.def.lifetime == Lifetime::Variable {
                        found.commit(row_id, transaction, time);
                    } else {
                        found.undo(row_id);
                    }
                }
            }
            Undo::Object { at, old } => {
                let objects = &mut self.databases[at.database].objects;
                match old {
                    Some(old) => objects.insert(at.id, *old),
                    None => objects.remove(&at.id),
                };
            }
            Undo::Definition { at, old } => {
                if let Ok(table) = self.table_mut(at) {
                    table.def = old;
                }
            }
            Undo::Name { database, key, old } => {
                let names = &mut self.databases[database].names;
                match old {
                    Some(id) => names.insert(key, id),
                    None => names.remove(&key),
                };
            }
            Undo::Schemas { database, old } => self.databases[database].schemas = old,
            Undo::Types { database, old } => self.databases[database].types = old,
            Undo::Security { database, old } => self.databases[database].security = *old,
            Undo::Logins(old) => self.logins = old,
            Undo::Tracked(_) => {}
            Undo::Logged { .. } => {}
            Undo::Capture { database, old } => {
                let capture = &mut self.databases[database].capture;
                (capture.enabled, capture.instances) = *old;
            }
        }
    }

    /// Who stands in the way of locking a row: its writer, or holders of explicit locks.
    pub fn row_blockers(
        &self,
        table: ObjectRef,
        row_id: u64,
        mode: Mode,
        session: u32,
    ) -> Option<Blocked> {
        let resource = Resource::Row(table, row_id);
        let mut blockers = Vec::new();
        let writer = self
            .table(table)
            .ok()
            .and_then(|found| found.rows.get(&row_id))
            .and_then(|chain| chain.writer())
            .and_then(|id| self.open.get(&id))
            .map(|open| open.session)
            .filter(|writer| *writer != session);
        blockers.extend(writer);
        if self.locks.row_locks > 0 {
            blockers.extend(self.locks.conflicts(&resource, mode, session));
        }
        (!blockers.is_empty()).then_some(Blocked {
            resource,
            mode,
            blockers,
        })
    }

    /// Whether a blocked request still is, with today's blockers.
    pub fn still_blocked(&self, blocked: &Blocked, session: u32) -> Option<Blocked> {
        if let Resource::Row(table, row_id) = &blocked.resource {
            return self.row_blockers(*table, *row_id, blocked.mode, session);
        }
        let blockers = self
            .locks
            .conflicts(&blocked.resource, blocked.mode, session);
        (!blockers.is_empty()).then(|| Blocked {
            blockers,
            ..blocked.clone()
        })
    }

    /// Adds a row on behalf of a transaction.
    pub fn insert_row(
        &mut self,
        at: ObjectRef,
        row: Row,
        transaction: &mut Transaction,
    ) -> Result<u64, Stop> {
        let logged = self.is_captured(at).then(|| Change::Insert(row.clone()));
        let row_id = self
            .table_mut(at)?
            .insert(row, transaction.id | UNCOMMITTED);
        transaction.undo.push(Undo::Row { table: at, row_id });
        if let Some(change) = logged {
            self.log_change(at, change, transaction);
        }
        Ok(row_id)
    }

    /// Writes a row's new version (none deletes) on behalf of a transaction that may.
    pub fn write_row(
        &mut self,
        at: ObjectRef,
        row_id: u64,
        row: Option<Row>,
        transaction: &mut Transaction,
    ) -> Result<(), Stop> {
        let logged = match self.is_captured(at) {
            true => self.table(at)?.newest(row_id).cloned(),
            false => None,
        };
        let logged = logged.map(|old| match &row {
            Some(new) => Change::Update(old, new.clone()),
            None => Change::Delete(old),
        });
        self.table_mut(at)?
            .write(row_id, row, transaction.id | UNCOMMITTED);
        transaction.undo.push(Undo::Row { table: at, row_id });
        if let Some(change) = logged {
            self.log_change(at, change, transaction);
        }
        Ok(())
    }

    /// Puts a changed copy in the place of a table.
    pub fn replace_table(
        &mut self,
        at: ObjectRef,
        table: Table,
        old: Table,
        transaction: &mut Transaction,
    ) {
        let objects = &mut self.databases[at.database].objects;
        objects.insert(at.id, Object::Table(Box::new(table)));
        let old = Box::new(Object::Table(Box::new(old)));
        transaction.undo.push(Undo::Object { at, old: Some(old) });
    }
}
