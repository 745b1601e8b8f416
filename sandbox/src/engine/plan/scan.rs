//! Reading base tables: which locks, which versions, which stretch of which index.
//!
//! READ COMMITTED with versions, and SNAPSHOT, take only a schema lock and read as of a commit time: they never
//! wait for rows. Everything else takes an intent lock on the table too, so that it waits for an exclusive lock on all
//! of it, reads the newest version, and stops (`Stop::Wait`) at a row that another transaction changed. A scan
//! under READ COMMITTED without versions that `walks` waits there instead, in the order of the clustered index, and
//! keeps no row locked that it has passed: rows may move behind it or ahead of it meanwhile.
//! Ranges are protected coarsely: SERIALIZABLE holds a shared lock on the table, and an update lock when it is going
//! to write, so that two such writers queue instead of deadlocking.

use super::{Access, Cursor, Reading, Scan, Tuple};
use crate::engine::context::Cx;
use crate::engine::expr::Expr;
use crate::engine::fault::{Outcome, Stop, error};
use crate::engine::locks::{Blocked, Mode, Owner, Resource};
use crate::engine::ordering;
use crate::engine::schema::{Lifetime, ObjectRef, Replica, Row};
use crate::engine::storage::{Contended, Range, View};
use crate::sql::ast::IsolationLevel;
use crate::value::Value;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Bound;

/// How rows are read under the hints and the isolation level in force.
#[derive(Debug, Clone, Copy)]
pub struct Resolved {
    pub view: View,
    /// A lock to take on each row that the query keeps.
    pub row_lock: Option<Mode>,
}

/// The view for a table, by hints, isolation level and database options; begins the snapshot when this is the first
/// read.
pub fn resolve_reading(table: ObjectRef, reading: Reading, cx: &mut Cx<'_>) -> Outcome<Resolved> {
    let own = cx.ses.transaction_id();
    let isolation = cx.ses.settings.isolation;
    let lifetime = cx.held.table(table)?.def.lifetime;
    let database = &cx.held.databases[table.database];
    let (rcsi, snapshot_allowed) = (database.read_committed_snapshot, database.allow_snapshot);
    let replica = database.replica;
    let locking = |row_lock| Resolved {
        view: View::Current {
            own,
            skip: reading.read_past,
        },
        row_lock,
    };
    if lifetime != Lifetime::Permanent {
        return Ok(locking(None));
    }
    if replica == Replica::Secondary && isolation != IsolationLevel::Snapshot {
        let time = cx.read_time;
        return Ok(Resolved {
            view: View::AsOf { time, own },
            row_lock: None,
        });
    }
    if isolation == IsolationLevel::Snapshot && !reading.committed && !reading.no_lock {
        if !snapshot_allowed && table.database != 1 {
            let name = cx.held.database(table.database).name.clone();
            return Err(error(
                3952,
                16,
                format!("Snapshot isolation transaction failed accessing database '{name}' because snapshot isolation \
                    is not allowed in this database. Use ALTER DATABASE to allow snapshot isolation."),
            )
            .into());
        }
        if is_late(cx) {
            let name = cx.held.database(table.database).name.clone();
            return Err(error(
                3951,
                16,
                format!("Transaction failed in database '{name}' because the statement was run under snapshot \
                    isolation but the transaction did not start in snapshot isolation. You cannot change the isolation \
                    level of the transaction to snapshot after the transaction has started unless the transaction was \
                    originally started under snapshot isolation level."),
            )
            .into());
        }
        let time = snapshot_time(cx);
        if cx.held.table(table)?.shaped_at > time && cx.held.table(table)?.shaped_at != u64::MAX {
            let name = cx.held.table(table)?.def.name.clone();
            let database = cx.held.database(table.database).name.clone();
            return Err(error(
                3961,
                16,
                format!("Snapshot isolation transaction failed in database '{database}' because the object '{name}' \
                    accessed by the statement has been modified by a DDL statement in another concurrent transaction \
                    since the start of this transaction."),
            )
            .into());
        }
        if !(reading.committed_lock || reading.repeatable) {
            let row_lock = if reading.exclusive_lock {
                Some(Mode::Exclusive)
            } else {
                (reading.update_lock && !reading.target).then_some(Mode::Update)
            };
            return Ok(Resolved {
                view: View::AsOf { time, own },
                row_lock,
            });
        }
    }
    if reading.no_lock
        || (isolation == IsolationLevel::ReadUncommitted
            && !reading.target
            && !locks_rows(&reading))
    {
        return Ok(Resolved {
            view: View::Dirty,
            row_lock: None,
        });
    }
    if reading.target {
        return Ok(locking(None));
    }
    if reading.exclusive_lock {
        return Ok(locking(Some(Mode::Exclusive)));
    }
    if reading.update_lock {
        return Ok(locking(Some(Mode::Update)));
    }
    let repeatable = reading.repeatable
        || (isolation == IsolationLevel::RepeatableRead
            && !reading.committed
            && !reading.committed_lock);
    if repeatable {
        return Ok(locking(Some(Mode::Shared)));
    }
    let serializable = reading.hold || isolation == IsolationLevel::Serializable;
    if serializable
        || reading.table_lock
        || reading.table_lock_exclusive
        || reading.committed_lock
        || reading.read_past
        || !rcsi
    {
        return Ok(locking(None));
    }
    let time = cx.read_time;
    Ok(Resolved {
        view: View::AsOf { time, own },
        row_lock: None,
    })
}

fn locks_rows(reading: &Reading) -> bool {
    reading.update_lock
        || reading.exclusive_lock
        || reading.committed
        || reading.committed_lock
        || reading.repeatable
        || reading.hold
}

/// Whether the isolation level became SNAPSHOT after the transaction began.
fn is_late(cx: &Cx<'_>) -> bool {
    let open = cx.ses.transaction.as_ref();
    open.is_some_and(|open| open.count > 0 && !open.began_in_snapshot)
}

/// The commit time that the session reads a database as of under SNAPSHOT, beginning the snapshot when nothing has;
/// none at other levels.
pub fn snapshot_of(slot: usize, cx: &mut Cx<'_>) -> Option<u64> {
    let is_snapshot = cx.ses.settings.isolation == IsolationLevel::Snapshot
        && cx.held.database(slot).allow_snapshot
        && !is_late(cx);
    is_snapshot.then(|| snapshot_time(cx))
}

/// The transaction's snapshot, taken at its first read.
fn snapshot_time(cx: &mut Cx<'_>) -> u64 {
    let clock = cx.held.clock;
    let transaction = cx.transaction();
    if let Some(time) = transaction.snapshot {
        return time;
    }
    transaction.snapshot = Some(clock);
    cx.held.add_reader(clock);
    clock
}

/// How a statement remembers that it has a table's locks.
pub fn lock_key(table: ObjectRef, reading: Reading) -> (ObjectRef, u64) {
    let mut hasher = DefaultHasher::new();
    reading.hash(&mut hasher);
    (table, hasher.finish())
}

/// Takes the table locks that reading (or changing) needs.
pub fn lock_table(table: ObjectRef, reading: Reading, cx: &mut Cx<'_>) -> Outcome<()> {
    let seen = lock_key(table, reading);
    if cx.locked.contains(&seen) {
        return Ok(());
    }
    let isolation = cx.ses.settings.isolation;
    let resource = Resource::Table(table);
    let result = if cx.held.table(table)?.def.lifetime == Lifetime::Variable {
        Ok(())
    } else {
        take_table_locks(resource, reading, isolation, cx)
    };
    match result {
        Err(Stop::Wait(_)) if reading.no_wait => {
            return Err(error(1222, 16, "Lock request time out period exceeded.").into());
        }
        other => other?,
    }
    cx.locked.push(seen);
    Ok(())
}

fn take_table_locks(
    resource: Resource,
    reading: Reading,
    isolation: IsolationLevel,
    cx: &mut Cx<'_>,
) -> Outcome<()> {
    cx.acquire(resource.clone(), Mode::SchemaStable, Owner::Statement)?;
    let on_replica = matches!(&resource, Resource::Table(at) if {
        cx.held.database(at.database).replica == Replica::Secondary
    });
    if on_replica {
        return Ok(());
    }
    let holds = reading.hold
        || (isolation == IsolationLevel::Serializable
            && !reading.committed
            && !reading.committed_lock);
    let writes = reading.target || reading.update_lock || reading.exclusive_lock;
    if reading.table_lock_exclusive
        || (reading.table_lock && writes)
        || (reading.exclusive_lock && holds)
    {
        cx.transaction();
        return cx.acquire(resource, Mode::Exclusive, Owner::Transaction);
    }
    let versioned = isolation == IsolationLevel::Snapshot;
    if holds && (!versioned || reading.table_lock || writes) {
        cx.transaction();
        let mode = if writes { Mode::Update } else { Mode::Shared };
        cx.acquire(resource.clone(), mode, Owner::Transaction)?;
    } else if reading.table_lock && isolation != IsolationLevel::Snapshot {
        cx.transaction();
        let owner = if isolation == IsolationLevel::RepeatableRead {
            Owner::Transaction
        } else {
            Owner::Statement
        };
        cx.acquire(resource.clone(), Mode::Shared, owner)?;
    }
    if reading.target {
        cx.transaction();
        return cx.acquire(resource, Mode::IntentExclusive, Owner::Transaction);
    }
    if reading.update_lock || reading.repeatable || isolation == IsolationLevel::RepeatableRead {
        cx.transaction();
        return cx.acquire(resource, Mode::IntentShared, Owner::Transaction);
    }
    let row_versions = matches!(&resource, Resource::Table(at) if {
        cx.held.database(at.database).read_committed_snapshot
    });
    if locks_rows_briefly(&reading, isolation, row_versions) {
        cx.acquire(resource, Mode::IntentShared, Owner::Statement)?;
    }
    Ok(())
}

/// Whether a read that keeps no lock meets rows under locks: at READ COMMITTED without row versions, or by a hint.
fn locks_rows_briefly(reading: &Reading, isolation: IsolationLevel, row_versions: bool) -> bool {
    let asked = reading.committed_lock || reading.read_past || reading.exclusive_lock;
    if reading.no_lock {
        return false;
    }
    match isolation {
        IsolationLevel::Snapshot | IsolationLevel::ReadUncommitted => {
            asked || (reading.committed && !row_versions)
        }
        IsolationLevel::ReadCommitted
        | IsolationLevel::RepeatableRead
        | IsolationLevel::Serializable => asked || !row_versions,
    }
}

/// Opens a scan; `left` is the row that seek expressions read.
pub fn open<'p>(scan: &'p Scan, left: &[Value], cx: &mut Cx<'_>) -> Outcome<Box<dyn Cursor + 'p>> {
    Ok(Box::new(TableCursor::new(scan, left, cx)?))
}

pub struct TableCursor<'p> {
    scan: &'p Scan,
    resolved: Resolved,
    /// Of an index; row scans keep the last row id.
    range: Option<(usize, Range, bool)>,
    after: u64,
    buffer: std::vec::IntoIter<(u64, Row)>,
    more: bool,
    chunk: usize,
    seed: u64,
}

impl<'p> TableCursor<'p> {
    pub fn new(scan: &'p Scan, left: &[Value], cx: &mut Cx<'_>) -> Outcome<Self> {
        lock_table(scan.table, scan.reading, cx)?;
        let resolved = resolve_reading(scan.table, scan.reading, cx)?;
        let mut more = true;
        let range = match &scan.access {
            Access::Rows if cx.walks => clustered(scan.table, cx)?,
            Access::Rows => None,
            Access::Index {
                index,
                equal,
                low,
                high,
                backward,
            } => {
                match seek_range(
                    scan.table,
                    *index,
                    equal,
                    low.as_ref(),
                    high.as_ref(),
                    left,
                    cx,
                )? {
                    Some(range) => Some((*index, range, *backward)),
                    None => {
                        more = false;
                        None
                    }
                }
            }
        };
        Ok(Self {
            scan,
            resolved,
            range,
            after: 0,
            buffer: Vec::new().into_iter(),
            more,
            chunk: 16,
            seed: 0x9E37_79B9_7F4A_7C15,
        })
    }

    /// The next rows. A scan that walks waits where it meets a row that another transaction has changed.
    fn refill(&mut self, cx: &mut Cx<'_>) -> Outcome<()> {
        loop {
            match self.fill(cx) {
                Err(Stop::Wait(blocked)) if cx.walks => wait_here(cx, blocked)?,
                filled => return filled,
            }
        }
    }

    fn fill(&mut self, cx: &mut Cx<'_>) -> Outcome<()> {
        cx.held.lock();
        cx.check_cancel()?;
        let mut out = Vec::with_capacity(self.chunk);
        let table = cx.held.table(self.scan.table)?;
        let scanned = match &mut self.range {
            None => table.scan(&mut self.after, self.chunk, self.resolved.view, &mut out),
            Some((index, range, backward)) => table.scan_index(
                *index,
                range,
                *backward,
                self.chunk,
                self.resolved.view,
                &mut out,
            ),
        };
        match scanned {
            Ok(more) => self.more = more,
            Err(contended) => return Err(self.contended(contended, cx)),
        }
        self.chunk = (self.chunk * 4).min(512);
        self.buffer = out.into_iter();
        Ok(())
    }

    fn contended(&self, at: Contended, cx: &Cx<'_>) -> Stop {
        if self.scan.reading.no_wait {
            return error(1222, 16, "Lock request time out period exceeded.").into();
        }
        let blockers = cx
            .held
            .open
            .get(&at.writer)
            .map(|open| open.session)
            .into_iter()
            .collect();
        let mode = self
            .resolved
            .row_lock
            .unwrap_or(if self.scan.reading.target {
                Mode::Update
            } else {
                Mode::Shared
            });
        Stop::Wait(Blocked {
            resource: Resource::Row(self.scan.table, at.row_id),
            mode,
            blockers,
        })
    }

    /// Explicit locks of others, and the lock that this read keeps. False passes the row over.
    fn take_row(&self, row_id: u64, cx: &mut Cx<'_>) -> Outcome<bool> {
        let locking = matches!(self.resolved.view, View::Current { .. });
        if !locking && self.resolved.row_lock.is_none() {
            return Ok(true);
        }
        let session = cx.ses.id;
        let mode = match self.resolved.row_lock {
            Some(mode) => mode,
            None if self.scan.reading.target => Mode::Update,
            None => Mode::Shared,
        };
        if cx.held.locks.row_locks > 0
            && let Some(blocked) = cx.held.row_blockers(self.scan.table, row_id, mode, session)
        {
            if self.scan.reading.read_past {
                return Ok(false);
            }
            if self.scan.reading.no_wait {
                return Err(error(1222, 16, "Lock request time out period exceeded.").into());
            }
            return Err(Stop::Wait(blocked));
        }
        if let View::AsOf { time, own } = self.resolved.view {
            self.refuse_newer(row_id, time, own, cx)?;
        }
        if self.resolved.row_lock.is_some() {
            cx.transaction();
            cx.acquire(
                Resource::Row(self.scan.table, row_id),
                mode,
                Owner::Transaction,
            )?;
        }
        Ok(true)
    }

    /// Locking a row under SNAPSHOT is refused (3960) when it was changed since.
    fn refuse_newer(&self, row_id: u64, time: u64, own: u64, cx: &Cx<'_>) -> Outcome<()> {
        let table = cx.held.table(self.scan.table)?;
        let Some(chain) = table.rows.get(&row_id) else {
            return Ok(());
        };
        if chain.writer() == Some(own)
            || chain.committed().is_some_and(|committed| committed <= time)
        {
            return Ok(());
        }
        let database = cx.held.database(self.scan.table.database);
        let name = format!(
            "{}.{}",
            database.schema_name(table.def.schema_id),
            table.def.name
        );
        Err(crate::engine::fault::snapshot_conflict(&name, &database.name).into())
    }

    fn sampled(&mut self) -> bool {
        let Some(part) = self.scan.sample else {
            return true;
        };
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        (self.seed >> 11) as f64 / ((1u64 << 53) as f64) < part
    }
}

impl Cursor for TableCursor<'_> {
    fn next(&mut self, cx: &mut Cx<'_>) -> Outcome<Option<Tuple>> {
        loop {
            let Some((row_id, row)) = self.buffer.next() else {
                if !self.more {
                    return Ok(None);
                }
                self.refill(cx)?;
                continue;
            };
            if !self.sampled() || self.scan.filter.test(&row, cx)? != Some(true) {
                continue;
            }
            match self.take_row(row_id, cx) {
                Ok(true) => {}
                Ok(false) => continue,
                Err(Stop::Wait(blocked)) if cx.walks => wait_here(cx, blocked)?,
                Err(stop) => return Err(stop),
            }
            let mut tuple = Vec::with_capacity(row.len() + 1);
            tuple.extend_from_slice(&row);
            if self.scan.row_id {
                tuple.push(Value::BigInt(row_id as i64));
            }
            return Ok(Some(tuple));
        }
    }
}

/// All of a table in the order of its clustered index; none for a heap.
fn clustered(table: ObjectRef, cx: &Cx<'_>) -> Outcome<Option<(usize, Range, bool)>> {
    let indexes = &cx.held.table(table)?.def.indexes;
    let clustered = indexes.iter().position(|index| index.clustered);
    Ok(clustered.map(|index| (index, Range::all(), false)))
}

/// Waits without beginning the statement again.
fn wait_here(cx: &mut Cx<'_>, blocked: Blocked) -> Outcome<()> {
    crate::engine::flow::wait(cx, blocked)?;
    let session = cx.ses.id;
    cx.held.locks.stop_waiting(session);
    Ok(())
}

/// The stretch of an index; none when a bound is NULL, which nothing equals.
fn seek_range(
    table: ObjectRef,
    index: usize,
    equal: &[Expr],
    low: Option<&(Expr, bool)>,
    high: Option<&(Expr, bool)>,
    left: &[Value],
    cx: &mut Cx<'_>,
) -> Outcome<Option<Range>> {
    let def = cx.held.table(table)?.def.clone();
    let columns = &def.indexes[index].columns;
    let mut prefix = Vec::with_capacity(24);
    for (expr, (ordinal, descending)) in equal.iter().zip(columns) {
        let value = expr.eval(left, cx)?;
        if matches!(value, Value::Null) {
            return Ok(None);
        }
        let start = prefix.len();
        ordering::encode(&value, def.columns[*ordinal].order(), &mut prefix);
        if *descending {
            ordering::invert(&mut prefix, start);
        }
    }
    let mut range = if prefix.is_empty() {
        Range::all()
    } else {
        Range::prefix(&prefix)
    };
    let Some((ordinal, descending)) = columns.get(equal.len()).copied() else {
        return Ok(Some(range));
    };
    let bound = |side: &(Expr, bool), cx: &mut Cx<'_>| -> Outcome<Option<Vec<u8>>> {
        let value = side.0.eval(left, cx)?;
        if matches!(value, Value::Null) {
            return Ok(None);
        }
        let mut key = prefix.clone();
        ordering::encode(&value, def.columns[ordinal].order(), &mut key);
        if descending {
            ordering::invert(&mut key, prefix.len());
        }
        Ok(Some(key))
    };
    let (first, last) = if descending { (high, low) } else { (low, high) };
    if let Some(side) = first {
        let Some(key) = bound(side, cx)? else {
            return Ok(None);
        };
        range.lower = if side.1 {
            Bound::Included(key)
        } else {
            match ordering::after_prefix(&key) {
                Some(next) => Bound::Included(next),
                None => return Ok(None),
            }
        };
    } else if last.is_some() && !descending {
        // A comparison never holds for NULL: start behind the NULLs.
        let mut key = prefix.clone();
        key.push(1);
        range.lower = Bound::Included(key);
    }
    if let Some(side) = last {
        let Some(key) = bound(side, cx)? else {
            return Ok(None);
        };
        range.upper = if side.1 {
            ordering::after_prefix(&key).map_or(Bound::Unbounded, Bound::Excluded)
        } else {
            Bound::Excluded(key)
        };
    } else if first.is_some() && descending {
        // NULLs come last in a descending column.
        let mut key = prefix.clone();
        key.push(0xFF);
        range.upper = Bound::Excluded(key);
    }
    Ok(Some(range))
}
