//! What can go wrong in a source: what failed, on which table, why, and the remedy.

use crate::error::{Disposition, Error, Kind};
use crate::mssql::error::MssqlError;
use crate::schema::TableName;
use crate::schema::columns::ChoiceError;
use crate::secret::RowValue;

/// What failed, on which table, why, and the remedy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    #[error("{doing} {table} failed")]
    Server {
        doing: &'static str,
        table: TableName,
        #[source]
        source: Box<MssqlError>,
    },
    #[error("there is no table or view {table} in the source; {hint}")]
    Unknown { table: TableName, hint: String },
    #[error(
        "the login may not read {table}: grant it with GRANT SELECT ON {table} TO the login's user"
    )]
    MayNotRead { table: TableName },
    #[error("{table} has no column that icesync can read")]
    NoColumns { table: TableName },
    #[error(
        "column {column} of {table} cannot be replicated: {why}; leave it out with `columns: {{ exclude: [{column}] \
            }}`, or replicate a view that converts it"
    )]
    Column {
        table: TableName,
        column: String,
        why: String,
    },
    #[error("the columns of {table} cannot be chosen as configured: {problem}")]
    Columns {
        table: TableName,
        problem: ChoiceError,
    },
    #[error(
        "column {column} of {table} is left out by `columns`, but {why}. Nothing was read. Take it out of \
            `columns.exclude` or add it to `columns.include`, or {remedy}"
    )]
    LeftOut {
        table: TableName,
        column: String,
        why: String,
        remedy: &'static str,
    },
    #[error("the configured key of {table} cannot be used: {problem}")]
    Key { table: TableName, problem: String },
    #[error(
        "the configured key of {table} does not identify a row: {rows} rows have {example}; add columns to `key`, or \
            use kind: history"
    )]
    KeyNotUnique {
        table: TableName,
        example: RowValue<String>,
        rows: i64,
    },
    #[error("change.strategy {strategy} cannot be used on {table}: {why}")]
    Strategy {
        table: TableName,
        strategy: &'static str,
        why: String,
    },
    #[error("{option} of {table} is longer than ten years")]
    Duration {
        table: TableName,
        option: &'static str,
    },
    #[error(
        "database {database} allows no consistent read of {table}: run ALTER DATABASE [{database}] SET \
            ALLOW_SNAPSHOT_ISOLATION ON, \
or set change.isolation: table_lock (writers wait while it is read), or change.isolation: read_committed (rows that \
move during a read may be read twice or missed)"
    )]
    NoIsolation { table: TableName, database: String },
    #[error("change.isolation {isolation} cannot be used on {table}: {why}")]
    Isolation {
        table: TableName,
        isolation: &'static str,
        why: String,
    },
    #[error(
        "inserts into {table} were still in flight after {seconds} s, and their numbers may be below those already \
            committed; the next run tries again"
    )]
    Busy {
        table: TableName,
        seconds: u32,
        #[source]
        source: Box<MssqlError>,
    },
}

impl SourceError {
    pub(super) fn on(doing: &'static str, table: &TableName, source: MssqlError) -> Self {
        SourceError::Server {
            doing,
            table: table.clone(),
            source: Box::new(source),
        }
    }

    /// What the caller may do.
    pub fn disposition(&self) -> Disposition {
        match self {
            SourceError::Server { source, .. } | SourceError::Busy { source, .. } => {
                source.disposition()
            }
            SourceError::Unknown { .. }
            | SourceError::MayNotRead { .. }
            | SourceError::NoColumns { .. }
            | SourceError::Column { .. }
            | SourceError::Columns { .. }
            | SourceError::LeftOut { .. }
            | SourceError::Key { .. }
            | SourceError::KeyNotUnique { .. }
            | SourceError::Strategy { .. }
            | SourceError::Duration { .. }
            | SourceError::NoIsolation { .. }
            | SourceError::Isolation { .. } => Disposition::Definite,
        }
    }
}

impl From<SourceError> for Error {
    fn from(error: SourceError) -> Self {
        Error::new(Kind::Source, error.disposition(), error)
    }
}
