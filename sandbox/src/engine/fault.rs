//! How a statement stops before its end, and SQL Server's error numbers with their texts.

use crate::engine::locks::Blocked;
use crate::session::SqlError;

/// Why execution unwound.
#[derive(Debug)]
pub enum Stop {
    /// The statement failed; the batch goes on unless XACT_ABORT or TRY says otherwise.
    Statement(SqlError),
    /// RAISERROR: as a statement's failure, but XACT_ABORT does not apply.
    Raised(SqlError),
    /// The batch is over and the client knows why.
    Ended,
    /// A name, type or rule of syntax that the statement does not meet: found when it is compiled. It ends the scope
    /// (batch, `sp_executesql`, `EXEC (..)`) past every TRY of that scope; one around the scope catches it.
    Compile(SqlError),
    /// The batch ends too, and the transaction rolls back when `rollback`.
    Batch { error: SqlError, rollback: bool },
    /// A lock is not free: undo the statement, wait, run it again.
    Wait(Blocked),
    /// ATTENTION.
    Cancelled,
    /// The client is gone.
    Disconnected,
}

impl From<SqlError> for Stop {
    fn from(error: SqlError) -> Self {
        match error.number {
            // Snapshot conflicts, deadlocks and most conversions take the transaction with them.
            1205 | 3951 | 3960 | 3961 | 3966 | 235 | 241 | 242 | 244 | 245 | 248 | 295 | 8114
            | 8169 => Stop::Batch {
                error,
                rollback: true,
            },
            // Names and syntax that turn out wrong when the statement is compiled.
            102
            | 103
            | 105
            | 107
            | 108
            | 134
            | 137
            | 141
            | 145
            | 147
            | 156
            | 195
            | 205
            | 206
            | 207
            | 208
            | 209
            | 213
            | 263
            | 319
            | 334
            | 402
            | 448
            | 468
            | 529
            | 1011
            | 1013
            | 1087
            | 2715
            | 4104
            | 4121
            | 8120
            | 8155
            | 8156
            | 8158
            | 10738
            | 10741
            | 22103
            | 22105
            | 22106
            | 22107
            | 22109..=22112 => Stop::Compile(error),
            911 | 916 | 3952 => Stop::Batch {
                error,
                rollback: false,
            },
            _ => Stop::Statement(error),
        }
    }
}

impl Stop {
    /// The same with a change to its error, if it has one.
    #[must_use]
    pub fn map(self, change: impl FnOnce(SqlError) -> SqlError) -> Self {
        match self {
            Stop::Statement(error) => Stop::Statement(change(error)),
            Stop::Raised(error) => Stop::Raised(change(error)),
            Stop::Compile(error) => Stop::Compile(change(error)),
            Stop::Batch { error, rollback } => Stop::Batch {
                error: change(error),
                rollback,
            },
            Stop::Ended | Stop::Wait(_) | Stop::Cancelled | Stop::Disconnected => self,
        }
    }
}

pub type Outcome<T> = Result<T, Stop>;

/// An error on state 1.
pub fn error(number: i32, class: u8, message: impl Into<String>) -> SqlError {
    SqlError {
        number,
        state: 1,
        class,
        line: 0,
        message: message.into(),
    }
}

/// What the stand-in knows it does not do: an error with its own number, never a guess.
pub fn unsupported(what: impl std::fmt::Display) -> SqlError {
    error(
        40000,
        16,
        format!("{what} is not supported by the stand-in."),
    )
}

pub fn invalid_object(name: impl std::fmt::Display) -> SqlError {
    error(208, 16, format!("Invalid object name '{name}'."))
}

pub fn invalid_column(name: impl std::fmt::Display) -> SqlError {
    error(207, 16, format!("Invalid column name '{name}'."))
}

pub fn overflow(ty: impl std::fmt::Display) -> SqlError {
    error(
        8115,
        16,
        format!("Arithmetic overflow error converting expression to data type {ty}."),
    )
}

pub fn conversion(from: impl std::fmt::Display, to: impl std::fmt::Display) -> SqlError {
    error(
        8114,
        16,
        format!("Error converting data type {from} to {to}."),
    )
}

pub fn permission_denied(permission: &str, object: &str, database: &str, schema: &str) -> SqlError {
    error(
        229,
        14,
        format!(
            "The {permission} permission was denied on the object '{object}', database '{database}', schema '{schema}'."
        ),
    )
}

pub fn snapshot_conflict(table: &str, database: &str) -> SqlError {
    error(
        3960,
        16,
        format!(
            "Snapshot isolation transaction aborted due to update conflict. You cannot use snapshot isolation to \
                access table '{table}' directly or indirectly in database '{database}' to update, delete, or insert \
                the row that has been modified or deleted by another transaction. Retry the transaction or change the \
                isolation level for the update/delete statement."
        ),
    )
}
