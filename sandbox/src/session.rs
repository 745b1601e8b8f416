//! The wall between the wire (`tds`) and the engine: a connection owns one [`Session`]; running a batch sends
//! [`Event`]s in order.
//!
//! The engine is synchronous: the wire runs each call on a blocking thread and receives events through a bounded
//! channel, so that a slow client holds back the scan.

use crate::value::{Collation, SqlType, Value};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// What the wire needs to describe one result column.
#[derive(Debug, Clone, PartialEq)]
pub struct ColumnMeta {
    pub name: String,
    pub ty: SqlType,
    pub nullable: bool,
    pub identity: bool,
    pub computed: bool,
    pub collation: Option<Collation>,
}

/// An error or an INFO message as SQL Server numbers them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Msg {number}, Level {class}, State {state}, Line {line}: {message}")]
pub struct SqlError {
    pub number: i32,
    pub state: u8,
    pub class: u8,
    pub line: u32,
    pub message: String,
}

/// What running a statement produces, in order.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// Opens a result set.
    Columns(Vec<ColumnMeta>),
    /// Rows of the open result set, many at a time.
    Rows(Vec<Vec<Value>>),
    /// Ends a statement. `count` is absent under SET NOCOUNT ON and for statements without one; `select` tells
    /// whether rows were sent.
    Done {
        count: Option<u64>,
        select: bool,
    },
    Info(SqlError),
    /// The statement failed. Whether the batch goes on is the engine's business.
    Error(SqlError),
    Database(String),
    /// A transaction began (true) or ended by commit (`Some(true)`) or rollback (`Some(false)`).
    TranBegin(u64),
    TranEnd {
        descriptor: u64,
        committed: bool,
    },
}

/// A parameter of `sp_executesql` or a prepared statement.
#[derive(Debug, Clone, PartialEq)]
pub struct Param {
    /// With its `@`; empty when positional.
    pub name: String,
    pub ty: SqlType,
    pub value: Value,
    pub output: bool,
}

/// Where events go. `send` blocks when the receiver is slow and returns false when it is gone.
pub trait Sink: Send {
    fn send(&mut self, event: Event) -> bool;
}

/// The target of an INSERT BULK, opened by the batch that states it.
#[derive(Debug, Clone, PartialEq)]
pub struct BulkTarget {
    pub columns: Vec<ColumnMeta>,
}

/// What the wire asks of the engine, for one connection.
pub trait Session: Send {
    /// Runs one batch. `cancel` is set on ATTENTION: the engine stops at the next row, leaves the transaction as
    /// SQL Server does. Returns the bulk target when the batch was INSERT BULK: the wire then asks the session for
    /// a bulk load.
    fn batch(
        &mut self,
        sql: &str,
        cancel: &Arc<AtomicBool>,
        sink: &mut dyn Sink,
    ) -> Option<BulkTarget>;

    /// Runs `sql` with the parameters declared as `declarations` (the text `@a int, @b nvarchar(10)`); returns the
    /// output parameters' final values, or none after an error.
    fn execute_sql(
        &mut self,
        sql: &str,
        declarations: &str,
        params: Vec<Param>,
        cancel: &Arc<AtomicBool>,
        sink: &mut dyn Sink,
    ) -> Option<Vec<Param>>;

    /// Runs a stored procedure by name (the few the engine knows); returns its status and output parameters.
    fn procedure(
        &mut self,
        name: &str,
        params: Vec<Param>,
        cancel: &Arc<AtomicBool>,
        sink: &mut dyn Sink,
    ) -> Option<(i32, Vec<Param>)>;

    /// Takes the next rows of the open INSERT BULK, in the order of [`BulkTarget::columns`].
    fn bulk_rows(&mut self, rows: Vec<Vec<Value>>) -> Result<(), SqlError>;

    /// Ends the open INSERT BULK (`abort` when the client cancelled); all its rows are one statement.
    fn bulk_end(&mut self, abort: bool, sink: &mut dyn Sink);

    /// The TDS transaction manager request: begin (with an isolation level byte), commit, roll back, save.
    fn transaction(&mut self, request: TransactionRequest, sink: &mut dyn Sink);

    /// RESETCONNECTION, before the next request; rolls back and forgets temporary tables and settings.
    fn reset(&mut self);

    /// The connection closed: rolls back, drops temporary tables, releases locks.
    fn close(&mut self);
}

/// A transaction manager request (TDS 2.2.6.9).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TransactionRequest {
    Begin { isolation: u8, name: String },
    Commit { begin_again: bool },
    Rollback { name: String, begin_again: bool },
    Save { name: String },
}

/// Opens sessions; the engine implements it, `tds` is handed one.
pub trait Server: Send + Sync + 'static {
    /// Checks the login and opens a session in `database` (empty: the login's default). Errors: 18456, 4060.
    fn login(&self, login: Login<'_>) -> Result<Box<dyn Session>, SqlError>;
}

/// What LOGIN7 carried.
#[derive(Clone, Copy)]
pub struct Login<'a> {
    pub user: &'a str,
    pub password: &'a str,
    pub database: &'a str,
    pub app_name: &'a str,
    pub host_name: &'a str,
    /// ApplicationIntent=ReadOnly.
    pub read_only: bool,
    /// fODBC: large values come whole and the ANSI options are ON.
    pub odbc: bool,
}
