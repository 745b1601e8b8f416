//! Recording what DML does to a tracked table.

use super::{Operation, Tracked};
use crate::engine::bind::Binder;
use crate::engine::context::Cx;
use crate::engine::fault::{Outcome, error};
use crate::engine::schema::{ObjectRef, Row, TableDef};
use crate::engine::state::Undo;
use crate::engine::storage::Table;
use crate::engine::types;
use crate::session::SqlError;
use crate::sql::ast;
use crate::value::{SqlType, Value};
use std::sync::Arc;

/// What a statement needs to record its changes of a table.
#[derive(Debug, Clone)]
pub struct Recorder {
    epoch: i32,
    /// Ordinals of the primary key.
    key: Vec<usize>,
    /// TRACK_COLUMNS_UPDATED.
    columns: bool,
}

/// The table that changes, and the statement's context.
type About<'a> = (ObjectRef, Option<&'a Arc<[u8]>>);

impl Recorder {
    /// None for a table that is not tracked.
    pub fn of(table: &Table) -> Option<Self> {
        let history = table.tracking.as_ref()?;
        let primary = table.def.primary_key()?;
        Some(Self {
            epoch: history.epoch,
            key: primary.columns.iter().map(|(at, _)| *at).collect(),
            columns: history.columns,
        })
    }

    fn note(
        &self,
        (table, context): About<'_>,
        operation: Operation,
        row: &Row,
        columns: Option<&Arc<[i32]>>,
    ) -> Undo {
        Undo::Tracked(Box::new(Tracked {
            table,
            epoch: self.epoch,
            key: self.key.iter().map(|at| row[*at].clone()).collect(),
            operation,
            columns: columns.cloned(),
            context: context.cloned(),
        }))
    }

    /// Records rows that were inserted or deleted.
    pub fn rows<'r>(
        &self,
        cx: &mut Cx<'_>,
        about: About<'_>,
        operation: Operation,
        rows: impl IntoIterator<Item = &'r Row>,
    ) {
        if let Some(transaction) = cx.ses.transaction.as_mut() {
            let notes = rows
                .into_iter()
                .map(|row| self.note(about, operation, row, None));
            transaction.undo.extend(notes);
        }
    }

    /// Records rows before and after an update that sets the columns of `set`. A row whose key is set, to its own value
    /// too, is one that is deleted and one that is inserted; all are deleted first, since one may take the key that
    /// another gives up.
    pub fn updates(
        &self,
        cx: &mut Cx<'_>,
        about: About<'_>,
        def: &TableDef,
        rows: &[(&Row, &Row)],
        set: &[usize],
    ) {
        let sets_key = set.iter().any(|ordinal| self.key.contains(ordinal));
        let is_moved = |old: &Row, new: &Row| {
            sets_key
                || self
                    .key
                    .iter()
                    .any(|ordinal| old[*ordinal] != new[*ordinal])
        };
        let columns = self.updated(def, set);
        let Some(transaction) = cx.ses.transaction.as_mut() else {
            return;
        };
        let mut notes = Vec::with_capacity(rows.len());
        let mut inserts = Vec::new();
        for (old, new) in rows {
            if is_moved(old, new) {
                notes.push(self.note(about, Operation::Delete, old, None));
                inserts.push(self.note(about, Operation::Insert, new, None));
            } else {
                notes.push(self.note(about, Operation::Update, new, columns.as_ref()));
            }
        }
        notes.extend(inserts);
        transaction.undo.extend(notes);
    }

    /// The ids of the columns that an update of `set` changes: a rowversion always. None when they are not recorded,
    /// or are all outside the key.
    fn updated(&self, def: &TableDef, set: &[usize]) -> Option<Arc<[i32]>> {
        if !self.columns {
            return None;
        }
        let all = (0..def.columns.len())
            .filter(|at| !self.key.contains(at) && def.columns[*at].computed.is_none());
        let all: Vec<usize> = all.collect();
        let is_updated =
            |at: &usize| set.contains(at) || def.columns[*at].ty == SqlType::RowVersion;
        let updated: Vec<i32> = all
            .iter()
            .filter(|at| is_updated(at))
            .map(|at| def.columns[*at].id)
            .collect();
        (updated.len() < all.len()).then(|| updated.into())
    }
}

fn not_a_context() -> SqlError {
    error(
        22109,
        16,
        "The \"context\" argument for the CHANGE_TRACKING_CONTEXT WITH clause must be of type varbinary data type with \
            a maximum length of 128.",
    )
}

/// The value of WITH CHANGE_TRACKING_CONTEXT (..): a constant or variable of at most 128 bytes, and not NULL.
pub fn context(cx: &mut Cx<'_>, written: Option<&ast::Expr>) -> Outcome<Option<Arc<[u8]>>> {
    let Some(written) = written else {
        return Ok(None);
    };
    let bound = Binder::new(cx).expr(written)?;
    let fits =
        types::is_binary(&bound.ty) && types::length(&bound.ty).is_some_and(|length| length <= 128);
    let is_simple = matches!(
        written.kind,
        ast::ExprKind::Literal(_) | ast::ExprKind::Variable(_)
    );
    if !fits || !is_simple {
        return Err(not_a_context().into());
    }
    if cx.compiling {
        return Ok(None);
    }
    match bound.eval(&[], cx)? {
        Value::Bytes(bytes) => Ok(Some(bytes)),
        _ => Err(not_a_context().into()),
    }
}
