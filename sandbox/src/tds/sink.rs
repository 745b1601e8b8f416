//! Events of the engine to tokens of the reply.

use super::encode::{ColumnEncoder, put_row};
use super::packet::Response;
use super::token::{
    self, DONE_COUNT, DONE_ERROR, DONE_MORE, Done, DoneKind, put_database, put_error, put_info,
};
use super::type_info::put_columns;
use crate::collation::{CodePage, CollationInfo};
use crate::session::{ColumnMeta, Event, Sink, SqlError};
use crate::value::SqlType;

const COMMAND_SELECT: u16 = 0xC1;

/// What the wire remembers of a session between requests.
#[derive(Debug, Default)]
pub(super) struct Context {
    pub database: String,
    /// Where a reset goes back to.
    pub login_database: String,
    /// The client said that it reads UTF-8; for others such text is sent as `nvarchar`, as SQL Server does.
    pub utf8: bool,
}

/// Writes a statement's events into a reply as they come. A DONE is held back until it is known whether more follows.
pub(super) struct WireSink<'a> {
    response: &'a mut Response,
    context: &'a mut Context,
    kind: DoneKind,
    columns: Vec<ColumnEncoder>,
    pending: Option<Done>,
    first_error: Option<i32>,
    /// The engine broke its word; the client was told, and the rest is not sent.
    stopped: bool,
}

impl<'a> WireSink<'a> {
    pub fn new(response: &'a mut Response, context: &'a mut Context, kind: DoneKind) -> Self {
        Self {
            response,
            context,
            kind,
            columns: Vec::new(),
            pending: None,
            first_error: None,
            stopped: false,
        }
    }

    /// The number of the first error, when there was one.
    pub fn first_error(&self) -> Option<i32> {
        self.first_error
    }

    /// Writes the last DONE as the end of the batch.
    pub fn end_batch(mut self) {
        let done = self.pending.take();
        done.unwrap_or(Done::new(self.kind, 0))
            .put(&mut self.response.payload);
    }

    /// Writes the last DONE as followed by the end of the procedure.
    pub fn end_statements(mut self) {
        self.flush_done();
    }

    fn flush_done(&mut self) {
        if let Some(mut done) = self.pending.take() {
            done.status |= DONE_MORE;
            done.put(&mut self.response.payload);
        }
    }

    fn fail(&mut self, error: &SqlError) {
        self.flush_done();
        put_error(&mut self.response.payload, error);
        self.first_error.get_or_insert(error.number);
        self.pending = Some(Done::new(self.kind, DONE_ERROR));
    }

    fn stop(&mut self, message: String) -> bool {
        tracing::error!("{message}");
        self.fail(&internal_error(message));
        self.stopped = true;
        false
    }

    fn open(&mut self, mut columns: Vec<ColumnMeta>) -> bool {
        self.flush_done();
        for column in &mut columns {
            let Some(info) = CollationInfo::of_column(column.collation.as_ref()) else {
                let name = &column.name;
                return self.stop(format!("column '{name}' has an unknown collation"));
            };
            if info.code_page == CodePage::Utf8 && !self.context.utf8 {
                widen(&mut column.ty);
            }
        }
        put_columns(&mut self.response.payload, &columns);
        self.columns = columns.iter().map(ColumnEncoder::new).collect();
        true
    }

    fn rows(&mut self, rows: &[Vec<crate::value::Value>]) -> bool {
        for row in rows {
            if let Err(mismatch) = put_row(&mut self.response.payload, &self.columns, row) {
                return self.stop(mismatch.to_string());
            }
            if !self.response.flush_full() {
                return false;
            }
        }
        true
    }
}

impl Sink for WireSink<'_> {
    fn send(&mut self, event: Event) -> bool {
        if self.stopped {
            return false;
        }
        let out = &mut self.response.payload;
        match event {
            Event::Columns(columns) => return self.open(columns),
            Event::Rows(rows) => return self.rows(&rows),
            // The end of a statement that failed: its DONE already waits.
            Event::Done {
                count: None,
                select: false,
            } if self
                .pending
                .is_some_and(|done| done.status & DONE_ERROR != 0) => {}
            Event::Done { count, select } => {
                self.flush_done();
                self.pending = Some(Done {
                    kind: self.kind,
                    status: if count.is_some() { DONE_COUNT } else { 0 },
                    command: if select { COMMAND_SELECT } else { 0 },
                    count: count.unwrap_or(0),
                });
            }
            Event::Info(info) => {
                self.flush_done();
                put_info(&mut self.response.payload, &info);
            }
            Event::Error(error) => self.fail(&error),
            Event::Database(name) => {
                put_database(out, &name, &self.context.database);
                self.context.database = name;
            }
            Event::TranBegin(descriptor) => token::put_transaction_begun(out, descriptor),
            Event::TranEnd {
                descriptor,
                committed,
            } => token::put_transaction_ended(out, descriptor, committed),
        }
        self.response.flush_full()
    }
}

/// The national type that holds whatever a narrow one does.
fn widen(ty: &mut SqlType) {
    if let SqlType::Char(bytes) | SqlType::VarChar(Some(bytes)) = *ty {
        *ty = SqlType::NVarChar((bytes <= 4000).then_some(bytes));
    } else if *ty == SqlType::VarChar(None) {
        *ty = SqlType::NVarChar(None);
    }
}

/// Throws events away.
pub(super) struct Discard;

impl Sink for Discard {
    fn send(&mut self, _event: Event) -> bool {
        true
    }
}

/// An error of the stand-in itself.
pub(super) fn internal_error(message: String) -> SqlError {
    error(
        8601,
        17,
        format!("Internal error of icesync-sandbox: {message}."),
    )
}

pub(super) fn error(number: i32, class: u8, message: String) -> SqlError {
    SqlError {
        number,
        state: 1,
        class,
        line: 1,
        message,
    }
}
