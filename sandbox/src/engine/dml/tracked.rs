//! What change tracking keeps of a statement's changes.

use super::Writer;
use crate::engine::context::Cx;
use crate::engine::fault::Outcome;
use crate::engine::plan::Reading;
use crate::engine::schema::{ObjectRef, Row};
use crate::engine::tracking::{self, Operation};
use crate::sql::ast;

impl Writer {
    /// As [`Writer::open`], for a statement with a change tracking context.
    pub fn open_in(
        cx: &mut Cx<'_>,
        at: ObjectRef,
        reading: Reading,
        context: Option<&ast::Expr>,
    ) -> Outcome<Self> {
        let context = tracking::context(cx, context)?;
        let mut writer = Self::open(cx, at, reading)?;
        writer.context = context;
        Ok(writer)
    }

    /// Opens a table that follows this one by a foreign key: the statement's context is that of its changes, too.
    pub fn open_child(&self, cx: &mut Cx<'_>, child: ObjectRef) -> Outcome<Self> {
        let mut writer = Self::open(cx, child, Reading::default())?;
        writer.context.clone_from(&self.context);
        Ok(writer)
    }

    pub(super) fn record<'r>(
        &self,
        cx: &mut Cx<'_>,
        operation: Operation,
        rows: impl IntoIterator<Item = &'r Row>,
    ) {
        if let Some(recorder) = &self.recorder {
            recorder.rows(cx, (self.at, self.context.as_ref()), operation, rows);
        }
    }

    /// Records rows that were rewritten by setting the columns of `set`.
    pub(super) fn record_updates<'r>(
        &self,
        cx: &mut Cx<'_>,
        changes: impl IntoIterator<Item = &'r (u64, Row, Row)>,
        set: &[usize],
    ) {
        if let Some(recorder) = &self.recorder {
            let rows: Vec<(&Row, &Row)> = changes
                .into_iter()
                .map(|(_, old, new)| (old, new))
                .collect();
            let about = (self.at, self.context.as_ref());
            recorder.updates(cx, about, &self.def, &rows, set);
        }
    }
}
