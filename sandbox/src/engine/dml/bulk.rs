//! INSERT BULK: rows from the wire, one statement in all.

use super::{Writer, fire};
use crate::engine::bind::Binder;
use crate::engine::context::Cx;
use crate::engine::fault::{Outcome, Stop, error, invalid_column};
use crate::engine::locks::{Mode, Owner, Resource};
use crate::engine::permissions;
use crate::engine::plan::Reading;
use crate::engine::schema::{Lifetime, ObjectRef, Row};
use crate::engine::temporal::{self, Verb};
use crate::session::{BulkTarget, ColumnMeta, SqlError};
use crate::sql::ast::{BulkOption, InsertBulk, TriggerEvent};
use crate::value::{SqlType, Value};

/// An open bulk load.
#[derive(Debug, Clone)]
pub struct Bulk {
    pub at: ObjectRef,
    pub target: BulkTarget,
    ordinals: Vec<Option<usize>>,
    types: Vec<SqlType>,
    keep_nulls: bool,
    check_constraints: bool,
    fire_triggers: bool,
    pub rows: Vec<Row>,
    pub count: u64,
    /// Where the transaction stood before the first row.
    pub mark: usize,
    /// Whether the load has a transaction of its own.
    pub own: bool,
}

/// Opens the target that the statement names. Columns that the client leaves out get their defaults.
pub fn open(cx: &mut Cx<'_>, statement: &InsertBulk) -> Outcome<Bulk> {
    let at = Binder::new(cx).object(&statement.table)?;
    permissions::check(cx, at, "INSERT")?;
    temporal::refuse_history(cx, at, Verb::Insert)?;
    let def = cx.held.table(at)?.def.clone();
    let has = |option: &BulkOption| statement.options.contains(option);
    let (mut columns, mut ordinals, mut types) = (Vec::new(), Vec::new(), Vec::new());
    for column in &statement.columns {
        let ordinal = def
            .column(&column.name.text)
            .ok_or_else(|| invalid_column(&column.name.text))?;
        let target = &def.columns[ordinal];
        if target.computed.is_some() {
            return Err(error(
                271,
                16,
                format!(
                    "The column \"{}\" cannot be modified because it is either a computed \
                column or is the result of a UNION operator.",
                    target.name
                ),
            )
            .into());
        }
        super::insert::refuse_generated(&def, ordinal)?;
        let (ty, _, _) = Binder::new(cx).type_of(&column.ty)?;
        columns.push(ColumnMeta {
            name: target.name.clone(),
            ty: ty.clone(),
            nullable: target.nullable,
            identity: target.identity.is_some(),
            computed: false,
            collation: target.collate.as_ref().map(|collate| collate.name.clone()),
        });
        // A rowversion is always the server's.
        ordinals.push((target.ty != SqlType::RowVersion).then_some(ordinal));
        types.push(ty);
    }
    let own = cx.ses.tran_count() == 0;
    let mark = cx
        .ses
        .transaction
        .as_ref()
        .map_or(0, |transaction| transaction.undo.len());
    if has(&BulkOption::TabLock) && def.lifetime == Lifetime::Permanent {
        cx.transaction();
        let heap = !def.indexes.iter().any(|index| index.clustered);
        let mode = if heap {
            Mode::BulkUpdate
        } else {
            Mode::Exclusive
        };
        cx.acquire(Resource::Table(at), mode, Owner::Transaction)?;
    }
    if own && let Some(transaction) = cx.ses.transaction.as_mut() {
        // Held open over the rows' packets.
        transaction.count = 1;
    }
    Ok(Bulk {
        at,
        target: BulkTarget { columns },
        ordinals,
        types,
        keep_nulls: has(&BulkOption::KeepNulls),
        check_constraints: has(&BulkOption::CheckConstraints),
        fire_triggers: has(&BulkOption::FireTriggers),
        rows: Vec::new(),
        count: 0,
        mark,
        own,
    })
}

/// Stores some rows. The table's lock was taken by the first.
pub fn add(cx: &mut Cx<'_>, bulk: &mut Bulk, rows: Vec<Vec<Value>>) -> Outcome<()> {
    let held = cx.held.locks.held(&Resource::Table(bulk.at), cx.ses.id);
    let locked = held
        .iter()
        .any(|grant| matches!(grant.mode, Mode::BulkUpdate | Mode::Exclusive));
    let mut writer = if locked {
        Writer::open_locked(cx, bulk.at)?
    } else {
        Writer::open(cx, bulk.at, Reading::default())?
    };
    writer.check_constraints = bulk.check_constraints;
    let width = writer.def.columns.len();
    let identity = writer.def.identity();
    for row in rows {
        if row.len() != bulk.ordinals.len() {
            return Err(error(4804, 21, "While reading current row from host, a premature end-of-message was \
                encountered--an incoming data stream was interrupted when the server expected to see more \
                data.").into());
        }
        let mut given = vec![None; width];
        for ((ordinal, value), ty) in bulk.ordinals.iter().zip(&row).zip(&bulk.types) {
            let Some(at) = *ordinal else {
                continue;
            };
            // A client that does not keep identities leaves the column out; a NULL asks for the next value.
            if Some(at) == identity && matches!(value, Value::Null) {
                continue;
            }
            if matches!(value, Value::Null)
                && !bulk.keep_nulls
                && writer.def.columns[at].default.is_some()
            {
                continue;
            }
            let stored = writer
                .store_bulk(cx, at, value, ty)
                .map_err(|stop| too_long(stop, at))?;
            given[at] = Some(stored);
        }
        let row = writer.complete(cx, given)?;
        writer.check(cx, &row, "BULK INSERT")?;
        let row: Row = row.into();
        if writer.insert(cx, row.clone())? {
            bulk.count += 1;
            if bulk.fire_triggers {
                bulk.rows.push(row);
            }
        }
    }
    Ok(())
}

/// The server tells bulk clients of a value that does not fit by its column's number.
fn too_long(stop: Stop, at: usize) -> Stop {
    match stop {
        Stop::Statement(SqlError { number: 2628, .. }) => Stop::Statement(error(
            4815,
            16,
            format!(
                "Received an invalid column length from the bcp client for colid {}.",
                at + 1
            ),
        )),
        other => other,
    }
}

/// Ends the load's statement: triggers, when they were asked for.
pub fn finish(cx: &mut Cx<'_>, bulk: &mut Bulk) -> Outcome<()> {
    if bulk.fire_triggers {
        let rows = std::mem::take(&mut bulk.rows);
        fire(
            cx,
            bulk.at,
            TriggerEvent::Insert,
            rows,
            Vec::new(),
            Vec::new(),
        )?;
    }
    Ok(())
}

impl Writer {
    /// As [`Writer::open`], for a table that a bulk lock already covers.
    fn open_locked(cx: &mut Cx<'_>, at: ObjectRef) -> Outcome<Self> {
        let reading = Reading {
            target: true,
            ..Reading::default()
        };
        cx.note_locked(at, reading);
        Self::open(cx, at, Reading::default())
    }

    /// Values come in the type that the client declared; every conversion that CAST knows is allowed.
    fn store_bulk(
        &self,
        cx: &Cx<'_>,
        at: usize,
        value: &Value,
        declared: &SqlType,
    ) -> Outcome<Value> {
        self.store(cx, at, value, declared)
    }
}
