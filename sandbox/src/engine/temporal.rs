//! System-versioned temporal tables: periods, and the history that the server keeps.
//!
//! Every change of a transaction has one time, when the transaction began, in UTC. A row begins then, and ends at the
//! end of time; an UPDATE or DELETE puts the row as it was into the history table, ending then. A row that a
//! transaction changes twice leaves a row of no length there. A row that began later than the transaction that
//! changes it cannot end before it began: error 13535. (Documentation: "Temporal tables".)

use super::Engine;
use super::calendar::TICKS_PER_DAY;
use super::context::Cx;
use super::fault::{Outcome, error};
use super::schema::{Column, Database, ObjectRef, Row, TableDef};
use super::types;
use crate::session::SqlError;
use crate::sql::ast::{Generated, Retention};
use crate::value::{SqlType, Value};

mod ddl;
mod fit;
mod query;

pub use ddl::{
    add_period, alter_history, changes_columns, check_columns, check_period, drop_period,
    forget_defaults, refuse_drop, refuse_trigger, refuse_truncate, switch, turn_on,
};

/// What a statement would do to rows, as messages have it.
#[derive(Debug, Clone, Copy)]
pub enum Verb {
    Insert,
    Update,
    Delete,
    Merge,
}

/// The place of a column with an id.
fn ordinal(def: &TableDef, id: i32) -> Option<usize> {
    def.columns.iter().position(|column| column.id == id)
}

/// Where the period's columns are.
pub fn period(def: &TableDef) -> Option<(usize, usize)> {
    let (start, end) = def.period?;
    Some((ordinal(def, start)?, ordinal(def, end)?))
}

/// A time in a column's precision.
fn time_in(column: &Column, total: i64) -> Value {
    let digits = match &column.ty {
        SqlType::DateTime2(scale) => *scale,
        _ => 7,
    };
    let step = 10_i64.pow(u32::from(7 - digits.min(7)));
    let total = total - total.rem_euclid(step);
    Value::DateTime2 {
        days: total.div_euclid(TICKS_PER_DAY) as i32,
        ticks: total.rem_euclid(TICKS_PER_DAY) as u64,
    }
}

/// The last moment of 9999-12-31.
const END_OF_TIME: i64 = 3_652_059 * TICKS_PER_DAY - 1;

/// The last moment that a column can hold: where an open row ends.
fn end_of_time(column: &Column) -> Value {
    time_in(column, END_OF_TIME)
}

fn moment(value: &Value) -> Option<(i32, u64)> {
    match value {
        Value::DateTime2 { days, ticks } => Some((*days, *ticks)),
        _ => None,
    }
}

/// When the session's transaction began, UTC.
fn began(cx: &mut Cx<'_>) -> i64 {
    let id = cx.transaction().id;
    let local = cx.held.open.get(&id).map(|open| open.began);
    local.map_or(cx.now, |local| local - cx.offset_ticks())
}

/// Sets the period of a row that begins now.
pub fn begin_row(cx: &mut Cx<'_>, def: &TableDef, row: &mut [Value]) {
    let generated = |kind| {
        let mut columns = def.columns.iter();
        columns.position(|column| column.generated == Some(kind))
    };
    if let Some(at) = generated(Generated::RowStart) {
        row[at] = time_in(&def.columns[at], began(cx));
    }
    if let Some(at) = generated(Generated::RowEnd) {
        row[at] = end_of_time(&def.columns[at]);
    }
}

/// Puts rows that change or go into the history.
pub fn keep<'r>(
    cx: &mut Cx<'_>,
    at: ObjectRef,
    def: &TableDef,
    rows: impl Iterator<Item = &'r Row>,
) -> Outcome<()> {
    let (Some(versioning), Some((start, end))) = (&def.versioning, period(def)) else {
        return Ok(());
    };
    let now = began(cx);
    let ends = time_in(&def.columns[end], now);
    let starts = moment(&time_in(&def.columns[start], now));
    let history = ObjectRef {
        database: at.database,
        id: versioning.history,
    };
    for row in rows {
        if moment(&row[start]) > starts {
            let name = full_name(cx, at);
            let why = format!(
                "Data modification failed on system-versioned table '{name}' because transaction time was earlier than \
                    period start time for affected records."
            );
            return Err(error(13535, 16, why).into());
        }
        let mut old = row.to_vec();
        old[end] = ends.clone();
        if let Some(transaction) = cx.ses.transaction.as_mut() {
            cx.held.insert_row(history, old.into(), transaction)?;
        }
    }
    Ok(())
}

/// A table with its database and schema.
fn full_name(cx: &Cx<'_>, at: ObjectRef) -> String {
    let database: &Database = cx.held.database(at.database);
    let table = database.table(at.id).map(|table| &table.def);
    let schema = table.map_or("", |def| database.schema_name(def.schema_id));
    let name = table.map_or("", |def| def.name.as_str());
    format!("{}.{schema}.{name}", database.name)
}

/// Errors 13559 to 13562 for statements that change a history table.
pub fn refuse_history(cx: &Cx<'_>, at: ObjectRef, verb: Verb) -> Outcome<()> {
    if cx.held.table(at)?.def.history_of.is_none() {
        return Ok(());
    }
    let (number, what) = match verb {
        Verb::Insert => (13559, "insert rows in a"),
        Verb::Delete => (13560, "delete rows from a"),
        Verb::Update => (13561, "update rows in a"),
        Verb::Merge => (13562, "perform MERGE operation on"),
    };
    let name = full_name(cx, at);
    let why = format!("Cannot {what} temporal history table '{name}'.");
    Err(error(number, 16, why).into())
}

/// A value for a column that the server fills.
pub fn given(def: &TableDef) -> SqlError {
    let name = &def.name;
    let why = format!(
        "Cannot insert an explicit value into a GENERATED ALWAYS column in table '{name}'. Use INSERT with a column \
            list to exclude the GENERATED ALWAYS column, or insert a DEFAULT into GENERATED ALWAYS column."
    );
    error(13536, 16, why)
}

/// Error 13537 for SET of a column that the server fills.
pub fn check_settable(def: &TableDef, column: &Column) -> Outcome<()> {
    if column.generated.is_none() {
        return Ok(());
    }
    let name = &def.name;
    let why = format!("Cannot update GENERATED ALWAYS columns in table '{name}'.");
    Err(error(13537, 16, why).into())
}

/// `history_retention_period` and its unit in `sys.tables`.
pub fn retention(kept: &Retention) -> (i32, i32, &'static str) {
    let (count, unit, name) = match kept {
        Retention::Infinite => return (-1, -1, "INFINITE"),
        Retention::Days(count) => (count, 3, "DAY"),
        Retention::Weeks(count) => (count, 4, "WEEK"),
        Retention::Months(count) => (count, 5, "MONTH"),
        Retention::Years(count) => (count, 6, "YEAR"),
    };
    (*count as i32, unit, name)
}

/// Days that history is kept; a month counts 30 and a year 365.
fn days_kept(kept: &Retention) -> Option<i64> {
    match kept {
        Retention::Infinite => None,
        Retention::Days(count) => Some(i64::from(*count)),
        Retention::Weeks(count) => Some(i64::from(*count) * 7),
        Retention::Months(count) => Some(i64::from(*count) * 30),
        Retention::Years(count) => Some(i64::from(*count) * 365),
    }
}

impl Engine {
    /// Deletes the history of a database that is older than its tables' retention periods, as the background task does.
    pub fn clean_history(&self, database: &str) -> Result<(), SqlError> {
        let now = self.shared.options.clock.now();
        let mut gone = Vec::new();
        self.database(database, |database| {
            for table in database.tables() {
                let def = &table.def;
                let (Some(versioning), Some((_, end))) = (&def.versioning, period(def)) else {
                    continue;
                };
                let Some(days) = days_kept(&versioning.retention) else {
                    continue;
                };
                let before = moment(&time_in(&def.columns[end], now - days * TICKS_PER_DAY));
                let history = database.table(versioning.history);
                for (row_id, chain) in history.iter().flat_map(|history| &history.rows) {
                    let row = chain.newest.row.as_ref();
                    if row.is_some_and(|row| moment(&row[end]) < before) {
                        gone.push((versioning.history, *row_id));
                    }
                }
            }
        })?;
        let mut state = self.shared.lock();
        let Some(slot) = state.database_named(database) else {
            return Ok(());
        };
        let mut transaction = state.begin(0, now);
        for (id, row_id) in gone {
            let at = ObjectRef { database: slot, id };
            if state.write_row(at, row_id, None, &mut transaction).is_err() {
                break;
            }
        }
        state.commit(transaction, 0);
        Ok(())
    }
}

/// The type that a period's column must have.
fn is_period_type(ty: &SqlType) -> bool {
    matches!(ty, SqlType::DateTime2(_))
}

/// A type as messages show it.
fn shown(ty: &SqlType) -> String {
    types::display(ty)
}
