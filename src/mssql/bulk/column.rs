//! A column that a bulk copy fills.

use crate::schema::{Collation, SqlType};

/// One column of the table that is filled, and where its value comes from in each record batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BulkColumn {
    /// Name in the table, unquoted.
    pub name: String,
    /// Declared type of the table's column: one that is [staged](crate::schema::types::TypeFacts::staged), or `char`,
    /// `varchar` or `nchar`.
    pub ty: SqlType,
    /// The collation that a text column was created with, which `char` and `varchar` are encoded by. None: the one of
    /// the database.
    pub collation: Option<Collation>,
    pub nullable: bool,
    /// The server counts an identity itself, unless the column says that values are sent.
    pub identity: bool,
    /// Position of the value's column in the batches.
    pub value: usize,
    /// Position of its `__100ns` companion.
    pub ticks: Option<usize>,
    /// Position of its `__offset` companion.
    pub offset: Option<usize>,
}
