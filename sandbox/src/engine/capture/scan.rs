//! The scan: committed transactions of the log become rows of change tables.

use super::{Capture, Change, Committed, Instance, Logged, lsn};
use crate::engine::catalog::datetime;
use crate::engine::dml::store;
use crate::engine::fault::{Stop, error};
use crate::engine::locks::Mode;
use crate::engine::schema::{ObjectRef, Row, TableDef};
use crate::engine::state::{State, Transaction};
use crate::session::SqlError;
use crate::value::{SqlType, Value};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Sessions are numbered from 51 on: the job has none.
const NO_SESSION: u32 = 0;

impl State {
    /// Lets the jobs that run scan what was committed `delay` ago.
    pub fn capture_due(&mut self, delay: Duration) {
        for slot in 0..self.databases.len() {
            let capture = &self.databases[slot].capture;
            if capture.pending.is_empty() || !capture.jobs.is_capturing() {
                continue;
            }
            let wait = capture.jobs.polling_interval().unwrap_or(delay);
            let until = Instant::now().checked_sub(wait);
            if self.capture(slot, usize::MAX, until).is_err() {
                // As a step of a job that fails ends it.
                self.databases[slot].capture.jobs.stop_capturing();
            }
        }
    }

    /// Scans at most so many transactions, and none that was committed after `until`. Those before a failure stay
    /// scanned.
    pub fn capture(
        &mut self,
        slot: usize,
        most: usize,
        until: Option<Instant>,
    ) -> Result<(), SqlError> {
        let guard = super::enable::guard(slot);
        for _ in 0..most {
            // What an open transaction changes of the instances is waited for.
            let is_guarded = !self
                .locks
                .conflicts(&guard, Mode::SchemaStable, NO_SESSION)
                .is_empty();
            if is_guarded || self.databases[slot].capture.enabled.is_none() {
                break;
            }
            let pending = &mut self.databases[slot].capture.pending;
            let is_due = |next: &Committed| until.is_none_or(|until| next.at <= until);
            let Some(next) = pending.front().filter(|next| is_due(next)).cloned() else {
                break;
            };
            let mut transaction = self.begin(NO_SESSION, next.ended);
            match self.scan_transaction(slot, &next, &mut transaction) {
                Ok(()) => self.commit(transaction, NO_SESSION),
                Err(stop) => {
                    self.rollback(transaction, NO_SESSION);
                    return Err(failure(stop));
                }
            }
            self.databases[slot].capture.pending.pop_front();
        }
        Ok(())
    }

    fn scan_transaction(
        &mut self,
        slot: usize,
        committed: &Committed,
        transaction: &mut Transaction,
    ) -> Result<(), Stop> {
        let start = lsn(committed.position);
        let mut command = 0;
        let mut is_noted = committed.records.is_empty();
        for record in &committed.records {
            match record {
                Logged::Change {
                    source,
                    def,
                    position,
                    change,
                } => {
                    command += 1;
                    let capture = &self.databases[slot].capture;
                    let instances = capture.instances.iter().filter(|instance| {
                        instance.source == *source && instance.after < *position
                    });
                    for instance in instances.cloned().collect::<Vec<_>>() {
                        let place = Place {
                            start,
                            sequence: lsn(*position),
                            command,
                        };
                        let at = self.system_table(slot, instance.id);
                        let target = self.table(at)?.def.clone();
                        for row in rows_of(&instance, def, &target, change, &place)? {
                            self.insert_row(at, row, transaction)?;
                            is_noted = true;
                        }
                    }
                }
                Logged::Began { instance } => {
                    is_noted |= self.begin_instance(slot, *instance, start, transaction)?;
                }
                Logged::Altered { source, def, text } => {
                    self.note_altered(slot, *source, def, text, committed, transaction)?;
                }
            }
        }
        if is_noted {
            self.map_time(slot, committed, transaction)?;
        }
        Ok(())
    }

    fn map_time(
        &mut self,
        slot: usize,
        committed: &Committed,
        transaction: &mut Transaction,
    ) -> Result<(), Stop> {
        let Some(enabled) = &self.databases[slot].capture.enabled else {
            return Ok(());
        };
        let at = self.system_table(slot, enabled.lsn_time_mapping);
        let id = committed.transaction.to_be_bytes();
        let row = vec![
            binary(&lsn(committed.position)),
            datetime(committed.began),
            datetime(committed.ended),
            binary(&id),
        ];
        self.insert_row(at, row.into(), transaction).map(drop)
    }

    pub(super) fn system_table(&self, database: usize, id: i32) -> ObjectRef {
        ObjectRef { database, id }
    }

    /// The validity interval of an instance begins. False when it is gone already.
    fn begin_instance(
        &mut self,
        slot: usize,
        instance: i32,
        start: [u8; 10],
        transaction: &mut Transaction,
    ) -> Result<bool, Stop> {
        self.move_start(slot, instance, &start, transaction)
    }

    /// Sets an instance's low endpoint. False when there is no such instance.
    pub(super) fn move_start(
        &mut self,
        slot: usize,
        instance: i32,
        start: &[u8; 10],
        transaction: &mut Transaction,
    ) -> Result<bool, Stop> {
        let Some(enabled) = &self.databases[slot].capture.enabled else {
            return Ok(false);
        };
        let at = self.system_table(slot, enabled.change_tables);
        let Some((row_id, row)) = self.change_table_row(at, instance) else {
            return Ok(false);
        };
        let mut row = row.to_vec();
        row[super::tables::START_LSN] = binary(start);
        self.write_row(at, row_id, Some(row.into()), transaction)?;
        Ok(true)
    }

    /// The row of `cdc.change_tables` of an instance.
    pub(super) fn change_table_row(&self, at: ObjectRef, instance: i32) -> Option<(u64, Row)> {
        let table = self.table(at).ok()?;
        table.rows.iter().find_map(|(row_id, chain)| {
            let row = chain.newest.row.as_ref()?;
            (row[0] == Value::Int(instance)).then(|| (*row_id, row.clone()))
        })
    }

    /// Keeps the history of a source's definition, and gives a captured column of another type that type in the change
    /// table.
    fn note_altered(
        &mut self,
        slot: usize,
        source: i32,
        def: &TableDef,
        text: &str,
        committed: &Committed,
        transaction: &mut Transaction,
    ) -> Result<(), Stop> {
        let capture: &Capture = &self.databases[slot].capture;
        let Some(enabled) = &capture.enabled else {
            return Ok(());
        };
        let history = self.system_table(slot, enabled.ddl_history);
        let instances: Vec<Instance> = capture
            .instances
            .iter()
            .filter(|instance| instance.source == source)
            .cloned()
            .collect();
        for instance in instances {
            let changed = self.follow_types(slot, &instance, def, transaction)?;
            let row = vec![
                Value::Int(source),
                Value::Int(instance.id),
                Value::Bit(changed),
                crate::engine::types::string(text),
                binary(&lsn(committed.position)),
                datetime(committed.ended),
            ];
            self.insert_row(history, row.into(), transaction)?;
        }
        Ok(())
    }

    fn follow_types(
        &mut self,
        slot: usize,
        instance: &Instance,
        def: &TableDef,
        transaction: &mut Transaction,
    ) -> Result<bool, Stop> {
        let at = self.system_table(slot, instance.id);
        let old = self.table(at)?.def.clone();
        let mut new = (*old).clone();
        for (place, captured) in instance.columns.iter().enumerate() {
            let Some(column) = def.columns.iter().find(|column| column.id == captured.id) else {
                continue;
            };
            let target = &mut new.columns[super::tables::FIRST_COLUMN + place];
            let (ty, user_type_id) = super::tables::captured_type(column);
            if target.ty != ty {
                target.collate = column.collate.clone();
                (target.ty, target.user_type_id) = (ty, user_type_id);
            }
        }
        let is_changed = |at: &usize| old.columns[*at].ty != new.columns[*at].ty;
        let changed: Vec<usize> = (0..new.columns.len()).filter(is_changed).collect();
        if changed.is_empty() {
            return Ok(false);
        }
        let mut table = self.table(at)?.clone();
        let kept = table.clone();
        let new = Arc::new(new);
        table.def = new.clone();
        let stamp = transaction.id | crate::engine::storage::UNCOMMITTED;
        table.reshape(stamp, |row| -> Result<Row, Stop> {
            let mut row = row.to_vec();
            for place in &changed {
                let from = &old.columns[*place].ty;
                row[*place] = store(&row[*place], from, &new.columns[*place], "mdy")?;
            }
            Ok(row.into())
        })?;
        table.reindex();
        self.replace_table(at, table, kept, transaction);
        Ok(true)
    }
}

fn failure(stop: Stop) -> SqlError {
    match stop {
        Stop::Statement(error)
        | Stop::Raised(error)
        | Stop::Compile(error)
        | Stop::Batch { error, .. } => error,
        Stop::Wait(_) | Stop::Cancelled | Stop::Disconnected | Stop::Ended => error(
            22859,
            16,
            "Log Scan process failed in processing log records.",
        ),
    }
}

pub(super) fn binary(bytes: &[u8]) -> Value {
    Value::Bytes(bytes.into())
}

/// Where a change stands in the log.
struct Place {
    start: [u8; 10],
    sequence: [u8; 10],
    command: i32,
}

/// The rows of a change table that a change becomes: none for an UPDATE that changed no captured column.
fn rows_of(
    instance: &Instance,
    def: &TableDef,
    target: &TableDef,
    change: &Change,
    place: &Place,
) -> Result<Vec<Row>, Stop> {
    let row =
        |operation: i32, mask: &[bool], image: &Row, other: Option<&Row>| -> Result<Row, Stop> {
            let mut row = vec![
                binary(&place.start),
                Value::Null,
                binary(&place.sequence),
                Value::Int(operation),
                binary(&mask_bytes(mask)),
            ];
            for (at, captured) in instance.columns.iter().enumerate() {
                let target = &target.columns[super::tables::FIRST_COLUMN + at];
                let value = match source_column(def, captured.id) {
                    Some(from) if !captured.computed => {
                        let is_changed = other.is_none_or(|other| other[from] != image[from]);
                        let ty = &def.columns[from].ty;
                        match is_kept(ty, operation, is_changed) {
                            true if *ty == target.ty => image[from].clone(),
                            true => store(&image[from], ty, target, "mdy")?,
                            false => Value::Null,
                        }
                    }
                    Some(_) | None => Value::Null,
                };
                row.push(value);
            }
            row.push(Value::Int(place.command));
            Ok(row.into())
        };
    let all = vec![true; instance.columns.len()];
    match change {
        Change::Delete(old) => Ok(vec![row(1, &all, old, None)?]),
        Change::Insert(new) => Ok(vec![row(2, &all, new, None)?]),
        Change::Update(old, new) => {
            let is_changed = |captured: &super::Captured| {
                let at = source_column(def, captured.id).filter(|_| !captured.computed);
                at.is_some_and(|at| old[at] != new[at])
            };
            let mask: Vec<bool> = instance.columns.iter().map(is_changed).collect();
            if !mask.contains(&true) {
                return Ok(Vec::new());
            }
            Ok(vec![
                row(3, &mask, old, Some(new))?,
                row(4, &mask, new, Some(old))?,
            ])
        }
    }
}

fn source_column(def: &TableDef, id: i32) -> Option<usize> {
    def.columns.iter().position(|column| column.id == id)
}

/// Whether the log has a value: not always that of a large object. (Documentation: `cdc.<capture_instance>_CT`, "Large
/// Object Data Types". What an image after an update has of a large object that it did not change is not said there:
/// sandbox/README.md.)
fn is_kept(ty: &SqlType, operation: i32, is_changed: bool) -> bool {
    match ty {
        SqlType::Text | SqlType::NText | SqlType::Image => match operation {
            1 | 3 => false,
            4 => is_changed,
            _ => true,
        },
        SqlType::VarChar(None)
        | SqlType::NVarChar(None)
        | SqlType::VarBinary(None)
        | SqlType::Xml => !matches!(operation, 3 | 4) || is_changed,
        SqlType::Bit
        | SqlType::TinyInt
        | SqlType::SmallInt
        | SqlType::Int
        | SqlType::BigInt
        | SqlType::Decimal { .. }
        | SqlType::Money
        | SqlType::SmallMoney
        | SqlType::Real
        | SqlType::Float
        | SqlType::Date
        | SqlType::Time(_)
        | SqlType::DateTime
        | SqlType::SmallDateTime
        | SqlType::DateTime2(_)
        | SqlType::DateTimeOffset(_)
        | SqlType::Char(_)
        | SqlType::VarChar(Some(_))
        | SqlType::NChar(_)
        | SqlType::NVarChar(Some(_))
        | SqlType::Binary(_)
        | SqlType::VarBinary(Some(_))
        | SqlType::UniqueIdentifier
        | SqlType::RowVersion
        | SqlType::SqlVariant
        | SqlType::HierarchyId
        | SqlType::Geometry
        | SqlType::Geography => true,
    }
}

/// One bit for each captured column, the first in the lowest bit of the last byte.
fn mask_bytes(mask: &[bool]) -> Vec<u8> {
    let mut bytes = vec![0; mask.len().div_ceil(8)];
    let last = bytes.len() - 1;
    for (at, _) in mask.iter().enumerate().filter(|(_, set)| **set) {
        bytes[last - at / 8] |= 1 << (at % 8);
    }
    bytes
}
