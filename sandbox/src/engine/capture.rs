//! Change data capture: what a database logs of its tracked tables, and what the capture job makes of it.
//!
//! # The protocol
//! A write to a tracked table leaves a record in its transaction's undo list, so that ROLLBACK, also to a savepoint,
//! drops the record with the write. Each record takes the next position of the database's log. Commit takes one
//! more position for the transaction, the commit LSN, and puts the transaction's records at the end of the queue of
//! what was committed, in one hold of the state's mutex: the queue is in the order of commits, and of LSNs.
//!
//! A scan takes transactions from the front of the queue. It writes their rows into the change tables, and one row into
//! `cdc.lsn_time_mapping`, in a transaction of its own. A reader who sees an LSN there therefore sees every row of
//! this and of all lower LSNs. Nothing that commits later can have a lower LSN.
//!
//! The job scans what was committed long enough ago, whenever a statement of any session begins. That needs no thread:
//! only statements can see whether a scan has happened. A stopped job leaves the queue alone; `sys.sp_cdc_scan` and
//! [`Engine::capture_now`] scan at once.
//!
//! A capture instance gets what was written after it was made. Making one takes a schema modification lock on the
//! source, so no transaction that is open then has written to it. (Documentation: "About change data capture".)

use super::calendar::TICKS_PER_MINUTE;
use super::context::Cx;
use super::dml::Writer;
use super::schema::{ObjectRef, Row, TableDef, same_name};
use super::state::{State, Transaction, Undo};
use super::storage::index_key;
use super::{Clock, Engine};
use crate::session::SqlError;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

mod changes;
mod ddl;
mod disable;
mod enable;
mod functions;
mod jobs;
mod procedures;
mod scan;
mod tables;

pub use ddl::{refuse_part, refuse_rename, refuse_truncate, source_altered, source_dropped};
pub use functions::register;
pub use procedures::procedure;

/// What a database captures, and its log as far as that needs it.
#[derive(Debug, Clone, Default)]
pub struct Capture {
    pub enabled: Option<Enabled>,
    pub instances: Vec<Instance>,
    pub jobs: jobs::Jobs,
    /// The log's last position given out.
    position: u64,
    /// Committed and not scanned.
    pending: VecDeque<Committed>,
}

/// The tables of schema `cdc`, by object id, and where times come from.
#[derive(Debug, Clone)]
pub struct Enabled {
    pub schema: i32,
    change_tables: i32,
    captured_columns: i32,
    index_columns: i32,
    lsn_time_mapping: i32,
    ddl_history: i32,
    clock: Clock,
    offset_minutes: i16,
}

#[derive(Debug, Clone)]
pub struct Instance {
    /// The change table.
    pub id: i32,
    pub name: String,
    /// The source table.
    pub source: i32,
    columns: Vec<Captured>,
    /// Places among `columns` that identify a row.
    key: Vec<usize>,
    /// The name of that index of the source.
    index_name: Option<String>,
    net_changes: bool,
    role: Option<String>,
    /// Changes that the log has up to here are not its own.
    after: u64,
}

#[derive(Debug, Clone)]
struct Captured {
    /// In the source table.
    id: i32,
    name: String,
    computed: bool,
}

/// One record of the log.
#[derive(Debug, Clone)]
pub enum Logged {
    Change {
        source: i32,
        /// The source as it was when the row was written.
        def: Arc<TableDef>,
        position: u64,
        change: Change,
    },
    /// A capture instance was made.
    Began { instance: i32 },
    /// A source was altered.
    Altered {
        source: i32,
        def: Arc<TableDef>,
        text: String,
    },
}

#[derive(Debug, Clone)]
pub enum Change {
    Delete(Row),
    Insert(Row),
    Update(Row, Row),
}

#[derive(Debug, Clone)]
struct Committed {
    position: u64,
    transaction: u64,
    /// Local times, 100 ns ticks.
    began: i64,
    ended: i64,
    /// When the log has it, by the clock that the job's delay is measured with.
    at: Instant,
    records: Vec<Logged>,
}

impl Capture {
    fn next_position(&mut self) -> u64 {
        self.position += 1;
        self.position
    }

    pub fn tracks(&self, source: i32) -> bool {
        self.instances
            .iter()
            .any(|instance| instance.source == source)
    }

    fn instance(&self, name: &str) -> Option<&Instance> {
        let name = name.trim_end();
        self.instances
            .iter()
            .find(|instance| same_name(&instance.name, name))
    }
}

/// A position of the log as a log sequence number: virtual log file, block and slot, each of which grows.
fn lsn(position: u64) -> [u8; 10] {
    let file = 0x25 + (position >> 20) as u32;
    let block = 0x10 + (((position >> 3) & 0x1_FFFF) as u32) * 8;
    let slot = 1 + (position & 7) as u16;
    let mut out = [0; 10];
    out[..4].copy_from_slice(&file.to_be_bytes());
    out[4..8].copy_from_slice(&block.to_be_bytes());
    out[8..].copy_from_slice(&slot.to_be_bytes());
    out
}

impl State {
    /// Whether writes to a table are logged.
    pub fn is_captured(&self, at: ObjectRef) -> bool {
        self.databases
            .get(at.database)
            .is_some_and(|database| database.capture.tracks(at.id))
    }

    /// Logs a write to a captured table.
    pub fn log_change(&mut self, at: ObjectRef, change: Change, transaction: &mut Transaction) {
        let Ok(table) = self.table(at) else {
            return;
        };
        let def = table.def.clone();
        let position = self.databases[at.database].capture.next_position();
        let record = Logged::Change {
            source: at.id,
            def,
            position,
            change,
        };
        log(transaction, at.database, record);
    }

    /// Takes the log's records out of a transaction that commits, and queues them for the next scan.
    pub fn log_commit(&mut self, transaction: &mut Transaction) {
        let logged = |undo: &Undo| matches!(undo, Undo::Logged { .. });
        if !transaction.undo.iter().any(logged) {
            return;
        }
        let mut records: BTreeMap<usize, Vec<Logged>> = BTreeMap::new();
        for undo in std::mem::take(&mut transaction.undo) {
            match undo {
                Undo::Logged { database, record } => {
                    records.entry(database).or_default().push(*record);
                }
                other => transaction.undo.push(other),
            }
        }
        let began = self.open.get(&transaction.id).map(|open| open.began);
        for (slot, records) in records {
            let capture = &mut self.databases[slot].capture;
            let Some(enabled) = &capture.enabled else {
                continue;
            };
            let ended = enabled.now();
            let position = capture.next_position();
            capture.pending.push_back(Committed {
                position,
                transaction: transaction.id,
                began: began.unwrap_or(ended),
                ended,
                at: Instant::now(),
                records,
            });
        }
    }
}

impl Enabled {
    /// Local time, 100 ns ticks.
    fn now(&self) -> i64 {
        self.clock.now() + i64::from(self.offset_minutes) * TICKS_PER_MINUTE
    }

    fn metadata(&self) -> [i32; 5] {
        [
            self.change_tables,
            self.captured_columns,
            self.index_columns,
            self.lsn_time_mapping,
            self.ddl_history,
        ]
    }
}

fn log(transaction: &mut Transaction, database: usize, record: Logged) {
    transaction.undo.push(Undo::Logged {
        database,
        record: Box::new(record),
    });
}

/// Makes an UPDATE that changed unique keys what SQL Server logs of it: the rows leave under their old keys and come
/// under their new ones, in the order of the keys, where a row leaves a key before another one takes it. `mark` is
/// where the statement began in the undo list. (Documentation: KB 238254, "deferred update".)
pub fn defer_update(writer: &Writer, cx: &mut Cx<'_>, mark: usize) {
    let def = writer.def.clone();
    let is_key = |at: &usize| {
        let keys = def
            .indexes
            .iter()
            .filter(|index| index.unique || index.clustered);
        keys.flat_map(|index| &index.columns)
            .any(|(column, _)| column == at)
    };
    let key_columns: Vec<usize> = (0..def.columns.len()).filter(is_key).collect();
    let moves = |old: &Row, new: &Row| key_columns.iter().any(|at| old[*at] != new[*at]);
    let slot = writer.at.database;
    let Some(transaction) = cx.ses.transaction.as_mut() else {
        return;
    };
    let changes = transaction.undo.iter().skip(mark);
    let deferred = changes.into_iter().any(|undo| match undo {
        Undo::Logged { record, .. } => {
            matches!(&**record, Logged::Change { change: Change::Update(old, new), .. } if moves(old, new))
        }
        _ => false,
    });
    if !deferred {
        return;
    }
    let order = def
        .indexes
        .iter()
        .find(|index| index.clustered)
        .or(def.primary_key())
        .or(def.indexes.iter().find(|index| index.unique));
    let place = |row: &Row| {
        let mut key = Vec::new();
        if let Some(index) = order {
            index_key(&def, index, row, &mut key);
        }
        key
    };
    let mut changes = Vec::new();
    for undo in transaction.undo.split_off(mark) {
        match undo {
            Undo::Logged { record, .. } => match *record {
                Logged::Change {
                    change: Change::Update(old, new),
                    ..
                } if moves(&old, &new) => {
                    changes.push((place(&old), 0, Change::Delete(old)));
                    changes.push((place(&new), 1, Change::Insert(new)));
                }
                Logged::Change { change, .. } => {
                    let key = match &change {
                        Change::Delete(row) | Change::Insert(row) | Change::Update(row, _) => {
                            place(row)
                        }
                    };
                    changes.push((key, 1, change));
                }
                other => log(transaction, slot, other),
            },
            other => transaction.undo.push(other),
        }
    }
    changes.sort_by(|a, b| (&a.0, a.1).cmp(&(&b.0, b.1)));
    for (_, _, change) in changes {
        cx.held.log_change(writer.at, change, transaction);
    }
}

/// What tests do to the capture job beyond T-SQL.
impl Engine {
    /// Scans everything that was committed, whether the job runs or not.
    pub fn capture_now(&self, database: &str) -> Result<(), SqlError> {
        let mut state = self.shared.lock();
        let slot = state.database_named(database);
        let slot = slot.ok_or_else(|| super::fault::error(911, 16, "no such database"))?;
        state.capture(slot, usize::MAX, None)?;
        drop(state);
        self.shared.ring();
        Ok(())
    }

    /// Lets the log have an entry without changes, as it gets when nothing happens for a while: the highest LSN grows.
    pub fn log_idle_entry(&self, database: &str) -> Result<(), SqlError> {
        self.database(database, |database| {
            let Some(ended) = database.capture.enabled.as_ref().map(Enabled::now) else {
                return;
            };
            let position = database.capture.next_position();
            database.capture.pending.push_back(Committed {
                position,
                transaction: 0,
                began: ended,
                ended,
                at: Instant::now(),
                records: Vec::new(),
            });
        })
    }
}

/// How long the log has a transaction before the job scans it.
pub fn delay(options: &super::Options) -> Duration {
    Duration::from_millis(options.capture_delay_ms)
}
