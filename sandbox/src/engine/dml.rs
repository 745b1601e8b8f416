//! Changing rows: completing them, checking them, writing them.
//!
//! A DML statement finds its rows first and changes them after, so that it never meets its own changes. It is
//! atomic: an error or a wait undoes what it did. Writers read the newest version; a row that another transaction
//! changed makes the statement wait and start again. Uniqueness is checked when all rows are written, so that an
//! UPDATE may shift keys through one another.

use crate::engine::bind::{Binder, OutColumn, Scope, Source, cast, table_columns};
use crate::engine::capture;
use crate::engine::context::Cx;
use crate::engine::ddl::check_keys_of;
use crate::engine::expr::{Cond, Expr};
use crate::engine::fault::{Outcome, Stop, error, unsupported};
use crate::engine::locks::Mode;
use crate::engine::plan::{Reading, lock_table};
use crate::engine::schema::{Lifetime, ObjectRef, Row, TableDef};
use crate::engine::storage::index_key;
use crate::engine::temporal;
use crate::engine::tracking::{Operation, Recorder};
use crate::engine::types;
use crate::session::SqlError;
use crate::sql::ast::{self, IsolationLevel};
use crate::value::{SqlType, Value};
use std::sync::Arc;

pub mod bulk;
mod foreign;
mod insert;
mod merge;
mod output;
mod store;
mod tracked;
mod triggers;
mod update;

pub use insert::{insert, into_columns};
pub use merge::merge;
pub use output::Output;
use store::integral;
pub use store::{show, store};
pub use triggers::fire;
pub use update::{delete, truncate, update};

/// One table with everything that writing to it needs, bound once per statement.
pub struct Writer {
    pub at: ObjectRef,
    pub def: Arc<TableDef>,
    defaults: Vec<Option<Expr>>,
    computed: Vec<Option<Expr>>,
    checks: Vec<(String, Cond)>,
    /// Filters of filtered unique indexes, by index.
    filters: Vec<Option<Cond>>,
    foreign: foreign::Keys,
    /// Of a table under change tracking.
    recorder: Option<Recorder>,
    /// WITH CHANGE_TRACKING_CONTEXT.
    context: Option<Arc<[u8]>>,
    pub check_constraints: bool,
}

fn refuse_when_read_only(cx: &Cx<'_>, at: ObjectRef) -> Outcome<()> {
    let database = cx.held.database(at.database);
    if database.is_writable() {
        return Ok(());
    }
    Err(error(
        3906,
        16,
        format!(
            "Failed to update database \"{}\" because the database is read-only.",
            database.name
        ),
    )
    .into())
}

/// Finds the table that a DML statement names.
pub fn target_table(cx: &Cx<'_>, target: &ast::Target) -> Outcome<(ObjectRef, Reading)> {
    match target {
        ast::Target::Table { name, hints } => {
            let binder = Binder::new(cx);
            match binder.named(name)? {
                crate::engine::bind::Named::Table(at) => {
                    Ok((at, crate::engine::bind::hints_reading(hints)))
                }
                crate::engine::bind::Named::View(_) => {
                    Err(unsupported("Changing rows through a view").into())
                }
            }
        }
        ast::Target::Variable(name) => match cx.ses.frame().tables.get(&name.to_lowercase()) {
            Some(at) => Ok((*at, Reading::default())),
            None => Err(error(
                1087,
                15,
                format!("Must declare the table variable \"{name}\"."),
            )
            .into()),
        },
    }
}

impl Writer {
    /// Locks the table for writing and binds its expressions.
    pub fn open(cx: &mut Cx<'_>, at: ObjectRef, reading: Reading) -> Outcome<Self> {
        if !cx.compiling {
            Self::lock(cx, at, reading)?;
        }
        let table = cx.held.table(at)?;
        let (def, recorder) = (table.def.clone(), Recorder::of(table));
        let mut scope = Scope::default();
        scope.add(Source {
            name: def.name.clone(),
            schema: None,
            columns: table_columns(cx, at)?,
            start: 0,
        });
        let mut binder = Binder::new(cx);
        binder.database = at.database;
        let mut defaults = Vec::new();
        for column in &def.columns {
            defaults.push(match &column.default {
                Some(default) => Some(binder.expr(&default.expr)?),
                None => None,
            });
        }
        binder.scopes.push(scope);
        let mut computed = Vec::new();
        for column in &def.columns {
            computed.push(match &column.computed {
                Some(expr) => Some(cast(binder.expr(&expr.expr)?, &column.ty)),
                None => None,
            });
        }
        let mut checks = Vec::new();
        for check in def.checks.iter().filter(|check| check.enabled) {
            checks.push((check.name.clone(), binder.cond(&check.condition)?));
        }
        let mut filters = Vec::new();
        for index in &def.indexes {
            filters.push(match &index.filter {
                Some(filter) if index.unique => Some(binder.cond(&filter.value)?),
                Some(_) | None => None,
            });
        }
        let foreign = foreign::Keys::find(cx, at, &def);
        Ok(Self {
            at,
            def,
            defaults,
            computed,
            checks,
            filters,
            foreign,
            recorder,
            context: None,
            check_constraints: true,
        })
    }

    fn lock(cx: &mut Cx<'_>, at: ObjectRef, reading: Reading) -> Outcome<()> {
        refuse_when_doomed(cx)?;
        refuse_when_read_only(cx, at)?;
        cx.transaction();
        lock_table(
            at,
            Reading {
                target: true,
                ..reading
            },
            cx,
        )?;
        let id = cx.ses.transaction_id();
        if let Some(open) = cx.held.open.get_mut(&id) {
            open.writes = true;
        }
        Ok(())
    }

    fn schema_name(&self, cx: &Cx<'_>) -> String {
        let database = cx.held.database(self.at.database);
        format!(
            "{}.{}",
            database.schema_name(self.def.schema_id),
            self.def.name
        )
    }

    /// Brings a value into a column: converted, and refused when it does not fit.
    pub fn store(&self, cx: &Cx<'_>, at: usize, value: &Value, from: &SqlType) -> Outcome<Value> {
        let column = &self.def.columns[at];
        store(value, from, column, &cx.ses.settings.dateformat).map_err(|mut error| {
            if error.number == 2628 {
                let database = &cx.held.database(self.at.database).name;
                let table = format!("{database}.{}", self.schema_name(cx));
                error.message = error.message.replace("{table}", &table);
            }
            error.into()
        })
    }

    /// A whole row from the given columns: defaults, identity, rowversion, computed columns.
    pub fn complete(&self, cx: &mut Cx<'_>, mut given: Vec<Option<Value>>) -> Outcome<Vec<Value>> {
        let mut row = Vec::with_capacity(self.def.columns.len());
        for (at, column) in self.def.columns.iter().enumerate() {
            let value = match given[at].take() {
                Some(value) => {
                    if let (Some(identity), Some(number)) = (column.identity, integral(&value)) {
                        self.advance_identity(cx, identity, number)?;
                    }
                    value
                }
                None if column.identity.is_some() => self.next_identity(cx, at)?,
                None if column.ty == SqlType::RowVersion => Value::Null,
                None => match &self.defaults[at] {
                    Some(default) => {
                        let value = default.eval(&[], cx)?;
                        self.store(cx, at, &value, &default.ty)?
                    }
                    None => Value::Null,
                },
            };
            row.push(value);
        }
        self.derive(cx, &mut row)?;
        Ok(row)
    }

    /// Sets the row's rowversion and computed columns.
    pub fn derive(&self, cx: &mut Cx<'_>, row: &mut [Value]) -> Outcome<()> {
        if let Some(at) = self.def.rowversion() {
            let transaction = cx.transaction().id;
            let value = cx.held.next_rowversion(self.at.database, transaction);
            row[at] = Value::Bytes(value.to_be_bytes().as_slice().into());
        }
        temporal::begin_row(cx, &self.def, row);
        for (at, computed) in self.computed.iter().enumerate() {
            if let Some(expr) = computed {
                row[at] = expr.eval(row, cx)?;
            }
        }
        Ok(())
    }

    fn next_identity(&self, cx: &mut Cx<'_>, at: usize) -> Outcome<Value> {
        let column = &self.def.columns[at];
        let Some(identity) = column.identity else {
            return Ok(Value::Null);
        };
        let table = cx.held.table_mut(self.at)?;
        let next = table
            .identity_last
            .map_or(identity.seed, |last| last + identity.increment);
        table.identity_last = Some(next);
        cx.ses.last_identity = Some(next);
        cx.ses.frame_mut().identity = Some(next);
        let value = match &column.ty {
            SqlType::Decimal { .. } => Value::Decimal {
                unscaled: next,
                scale: 0,
            },
            ty => types::fit_integer(next, ty).map_err(|_| {
                error(
                    8115,
                    16,
                    format!(
                        "Arithmetic overflow error converting IDENTITY to data type {}.",
                        types::name(ty)
                    ),
                )
            })?,
        };
        Ok(value)
    }

    /// An explicit value moves the counter forward, never back.
    fn advance_identity(
        &self,
        cx: &mut Cx<'_>,
        identity: crate::engine::schema::Identity,
        value: i128,
    ) -> Outcome<()> {
        let table = cx.held.table_mut(self.at)?;
        let ahead = table.identity_last.is_none_or(|last| {
            if identity.increment > 0 {
                value > last
            } else {
                value < last
            }
        });
        if ahead {
            table.identity_last = Some(value);
        }
        cx.ses.last_identity = Some(value);
        cx.ses.frame_mut().identity = Some(value);
        Ok(())
    }

    /// NOT NULL and CHECK.
    pub fn check(&self, cx: &mut Cx<'_>, row: &[Value], verb: &str) -> Outcome<()> {
        for (column, value) in self.def.columns.iter().zip(row) {
            if !column.nullable && matches!(value, Value::Null) {
                let table = format!(
                    "{}.{}",
                    cx.held.database(self.at.database).name,
                    self.schema_name(cx)
                );
                return Err(error(
                    515,
                    16,
                    format!(
                        "Cannot insert the value NULL into column '{}', table '{table}'; column does not allow nulls. \
                            {verb} fails.",
                        column.name
                    ),
                )
                .into());
            }
        }
        check_keys_of(&self.def, row)?;
        if !self.check_constraints {
            return Ok(());
        }
        for (name, check) in &self.checks {
            if check.test(row, cx)? == Some(false) {
                let database = cx.held.database(self.at.database).name.clone();
                let table = self.schema_name(cx);
                return Err(error(
                    547,
                    16,
                    format!("The {verb} statement conflicted with the CHECK constraint \"{name}\". The conflict \
                        occurred in database \"{database}\", table \"{table}\"."),
                )
                .into());
            }
        }
        Ok(())
    }

    /// Adds a checked row. False when a unique index ignores duplicates and the row is one.
    pub fn insert(&self, cx: &mut Cx<'_>, row: Row) -> Outcome<bool> {
        let is_placed = self.place(cx, row.clone())?;
        if is_placed {
            self.find_parents(cx, &row)?;
        }
        Ok(is_placed)
    }

    /// An inserted row has its parents, which may be rows of the same statement.
    pub fn find_parents(&self, cx: &mut Cx<'_>, row: &Row) -> Outcome<()> {
        if self.check_constraints {
            self.foreign.check_child(cx, &self.def, row, "INSERT")?;
        }
        Ok(())
    }

    /// As [`Writer::insert`], before its parents are looked for.
    pub fn place(&self, cx: &mut Cx<'_>, row: Row) -> Outcome<bool> {
        match self.check_unique(cx, &row, 0) {
            Err(Stop::Statement(error)) if error.number == 3604 => {
                cx.info(SqlError { class: 0, ..error })?;
                return Ok(false);
            }
            other => other?,
        }
        let Some(transaction) = cx.ses.transaction.as_mut() else {
            unreachable!("a writer has a transaction");
        };
        cx.held.insert_row(self.at, row.clone(), transaction)?;
        self.record(cx, Operation::Insert, [&row]);
        Ok(true)
    }

    /// Whether this transaction may write the row now: waits for its writer, fails on a snapshot conflict.
    pub fn claim(&self, cx: &mut Cx<'_>, row_id: u64) -> Outcome<()> {
        if self.def.lifetime != Lifetime::Permanent {
            return Ok(());
        }
        if let Some(blocked) = cx
            .held
            .row_blockers(self.at, row_id, Mode::Exclusive, cx.ses.id)
        {
            return Err(Stop::Wait(blocked));
        }
        if cx.ses.settings.isolation != IsolationLevel::Snapshot {
            return Ok(());
        }
        let Some(time) = cx
            .ses
            .transaction
            .as_ref()
            .and_then(|transaction| transaction.snapshot)
        else {
            return Ok(());
        };
        let committed = cx
            .held
            .table(self.at)?
            .rows
            .get(&row_id)
            .and_then(|chain| chain.committed());
        if committed.is_none_or(|committed| committed > time) && !self.is_own(cx, row_id) {
            let table = self.schema_name(cx);
            let database = cx.held.database(self.at.database).name.clone();
            return Err(crate::engine::fault::snapshot_conflict(&table, &database).into());
        }
        Ok(())
    }

    fn is_own(&self, cx: &Cx<'_>, row_id: u64) -> bool {
        cx.held
            .table(self.at)
            .ok()
            .and_then(|table| table.rows.get(&row_id))
            .is_some_and(|chain| chain.writer() == Some(cx.ses.transaction_id()))
    }

    /// Writes new versions of claimed rows, of which the columns of `set` are set, then checks keys.
    pub fn update_all(
        &self,
        cx: &mut Cx<'_>,
        changes: &[(u64, Row, Row)],
        set: &[usize],
    ) -> Outcome<()> {
        self.rewrite(cx, changes)?;
        self.record_updates(cx, changes, set);
        self.follow_updates(cx, changes)
    }

    /// As [`Writer::update_all`], before changes are recorded and foreign keys are checked.
    pub fn rewrite(&self, cx: &mut Cx<'_>, changes: &[(u64, Row, Row)]) -> Outcome<()> {
        let mark = cx.transaction().undo.len();
        temporal::keep(
            cx,
            self.at,
            &self.def,
            changes.iter().map(|(_, old, _)| old),
        )?;
        for (row_id, _, new) in changes {
            let Some(transaction) = cx.ses.transaction.as_mut() else {
                unreachable!("a writer has a transaction");
            };
            cx.held
                .write_row(self.at, *row_id, Some(new.clone()), transaction)?;
        }
        for (row_id, old, new) in changes {
            let moved = self.def.indexes.iter().any(|index| {
                index.unique && index.columns.iter().any(|(at, _)| old[*at] != new[*at])
            });
            if moved || self.filters.iter().any(Option::is_some) {
                self.check_unique(cx, new, *row_id)?;
            }
        }
        if cx.held.is_captured(self.at) {
            capture::defer_update(self, cx, mark);
        }
        Ok(())
    }

    /// The foreign keys of updated rows, their own and those that refer to them.
    pub fn follow_updates(&self, cx: &mut Cx<'_>, changes: &[(u64, Row, Row)]) -> Outcome<()> {
        for (_, old, new) in changes {
            self.foreign.check_changed(cx, &self.def, old, new)?;
        }
        self.foreign.parents_changed(cx, self, changes)
    }

    pub fn delete_all(&self, cx: &mut Cx<'_>, rows: &[(u64, Row)]) -> Outcome<()> {
        self.remove(cx, rows)?;
        self.follow_deletes(cx, rows)
    }

    /// The foreign keys that refer to deleted rows.
    pub fn follow_deletes(&self, cx: &mut Cx<'_>, rows: &[(u64, Row)]) -> Outcome<()> {
        self.foreign.parents_deleted(cx, self, rows)
    }

    /// As [`Writer::delete_all`], before foreign keys are checked.
    pub fn remove(&self, cx: &mut Cx<'_>, rows: &[(u64, Row)]) -> Outcome<()> {
        temporal::keep(cx, self.at, &self.def, rows.iter().map(|(_, row)| row))?;
        for (row_id, _) in rows {
            let Some(transaction) = cx.ses.transaction.as_mut() else {
                unreachable!("a writer has a transaction");
            };
            cx.held.write_row(self.at, *row_id, None, transaction)?;
        }
        self.record(cx, Operation::Delete, rows.iter().map(|(_, row)| row));
        Ok(())
    }

    /// Error 2627 or 2601 when another live row has a unique key of this row.
    fn check_unique(&self, cx: &mut Cx<'_>, row: &Row, own: u64) -> Outcome<()> {
        for (at, index) in self
            .def
            .indexes
            .iter()
            .enumerate()
            .filter(|(_, index)| index.unique)
        {
            if let Some(filter) = &self.filters[at]
                && filter.test(row, cx)? != Some(true)
            {
                continue;
            }
            let mut key = Vec::with_capacity(24);
            index_key(&self.def, index, row, &mut key);
            let table = cx.held.table(self.at)?;
            for holder in table.holders(at, &key) {
                if holder == own {
                    continue;
                }
                if let Some(blocked) =
                    cx.held
                        .row_blockers(self.at, holder, Mode::Shared, cx.ses.id)
                {
                    return Err(Stop::Wait(blocked));
                }
                let Some(other) = cx.held.table(self.at)?.newest(holder).cloned() else {
                    continue;
                };
                let mut other_key = Vec::with_capacity(24);
                index_key(&self.def, index, &other, &mut other_key);
                if other_key != key {
                    continue;
                }
                if let Some(filter) = &self.filters[at]
                    && filter.test(&other, cx)? != Some(true)
                {
                    continue;
                }
                return Err(self.duplicate(cx, index, row).into());
            }
        }
        Ok(())
    }

    fn duplicate(&self, cx: &Cx<'_>, index: &crate::engine::schema::Index, row: &Row) -> SqlError {
        if index.ignore_duplicates {
            return error(3604, 10, "Duplicate key was ignored.");
        }
        let table = self.schema_name(cx);
        let values: Vec<String> = index
            .columns
            .iter()
            .map(|(at, _)| show(&row[*at], &self.def.columns[*at]))
            .collect();
        let values = values.join(", ");
        if index.constraint_id.is_some() {
            let word = if index.primary {
                "PRIMARY KEY"
            } else {
                "UNIQUE KEY"
            };
            return error(
                2627,
                14,
                format!(
                    "Violation of {word} constraint '{}'. Cannot insert duplicate key in object '{table}'. The \
                        duplicate key value is ({values}).",
                    index.name
                ),
            );
        }
        error(
            2601,
            14,
            format!(
                "Cannot insert duplicate key row in object '{table}' with unique index '{}'. The duplicate key value \
                    is ({values}).",
                index.name
            ),
        )
    }
}

/// The foreign keys of a definition.
pub fn foreign_keys(cx: &Cx<'_>, at: ObjectRef, def: &TableDef) -> foreign::Keys {
    foreign::Keys::find(cx, at, def)
}

/// Error 3930 inside a transaction that can only roll back.
pub fn refuse_when_doomed(cx: &Cx<'_>) -> Outcome<()> {
    if cx
        .ses
        .transaction
        .as_ref()
        .is_some_and(|transaction| transaction.doomed)
    {
        return Err(Stop::Batch {
            error: error(
                3930,
                16,
                "The current transaction cannot be committed and cannot support operations that write to the log file. \
                    Roll back the transaction.",
            ),
            rollback: false,
        });
    }
    Ok(())
}

/// The columns of `inserted` or `deleted`, both of which may be NULL in a MERGE.
pub fn image_columns(def_columns: Vec<OutColumn>, nullable: bool) -> Vec<OutColumn> {
    def_columns
        .into_iter()
        .map(|column| OutColumn {
            nullable: column.nullable || nullable,
            ..column
        })
        .collect()
}
