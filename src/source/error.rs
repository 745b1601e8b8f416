//! What can go wrong in a source: what failed, on which table, why, and the remedy.

use crate::change::Strategy;
use crate::error::{Disposition, Error, Kind};
use crate::mssql::error::MssqlError;
use crate::mssql::sql::Ident;
use crate::schema::columns::ChoiceError;
use crate::schema::{SqlType, TableKind, TableName};
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
        "database {database} has neither SNAPSHOT isolation nor READ_COMMITTED_SNAPSHOT, and {what} cannot be read \
            consistently with row locks. Nothing was read of {table}. Run {allow}, or set change.isolation: \
            table_lock (writers wait while the table is read){or}",
        what = under(*strategy, *kind),
        or = or_row_locks(*kind),
        allow = SourceError::allow_snapshot(database)
    )]
    NoIsolation {
        table: TableName,
        database: String,
        strategy: Strategy,
        kind: TableKind,
    },
    #[error("{table} cannot be read consistently either, as {first} in database {database}")]
    NoIsolationEither {
        table: TableName,
        first: TableName,
        database: String,
    },
    #[error(
        "column {columns} of {table} is masked for this login, which would read masked values in place of what it \
            holds. Nothing was read. Run GRANT UNMASK TO the login's user, leave the column out with `columns: {{ \
            exclude: [...] }}`, or accept masked values with `accept: [masked]`"
    )]
    Masked { table: TableName, columns: String },
    #[error(
        "{table} may show masked values: columns of its database are masked for this login ({columns}), and what the \
            view refers to cannot be seen. Nothing was read. Grant VIEW DEFINITION on the view, or UNMASK, or accept \
            masked values with `accept: [masked]`"
    )]
    MaskedBehind { table: TableName, columns: String },
    #[error(
        "security policy {policy} filters the rows of {table}, and only those that it shows to this login would be \
            read. Nothing was read. Use a login to which the policy shows all rows and set `accept: [row_security]`, \
            which also accepts that rows are hidden"
    )]
    RowSecurity { table: TableName, policy: String },
    #[error("--from cannot be used on {table}: {why}")]
    Span { table: TableName, why: String },
    #[error(
        "{option} is not a value of column {column} of {table}, whose type is {ty}. Nothing was read. Write it as in \
            {option} {example}"
    )]
    SpanText {
        table: TableName,
        option: &'static str,
        column: String,
        ty: SqlType,
        example: &'static str,
    },
    #[error(
        "no part of {table} can be read again, because the next extract reads the whole table: {why}. Nothing was \
            read. Run `icesync extract` without --from"
    )]
    Unread { table: TableName, why: String },
    #[error("change.isolation {isolation} cannot be used on {table}: {why}")]
    Isolation {
        table: TableName,
        isolation: &'static str,
        why: String,
    },
    #[error(
        "the tracked changes of {table} were turned off, begun anew (as by TRUNCATE TABLE) or cleaned up while it was \
            read, so what was read may lack some. It is not committed; retrying"
    )]
    Untracked { table: TableName },
    #[error(
        "reading all of {table} took longer than its database keeps tracked changes ({minutes} minutes). The changes \
            since the read began are gone, and the next run would read everything again. Nothing was committed: the \
            lake has the rows that it had. Run {longer}, or more days if the read takes longer than that"
    )]
    Retention {
        table: TableName,
        minutes: i64,
        longer: String,
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

/// How a mirror may be read nevertheless. A history would keep what such a read has met twice.
fn or_row_locks(kind: TableKind) -> &'static str {
    match kind {
        TableKind::Mirror => {
            ", or change.isolation: read_committed (rows that move during a read may be read twice or missed)"
        }
        TableKind::History => "",
    }
}

/// What cannot be read with row locks.
fn under(strategy: Strategy, kind: TableKind) -> String {
    match (strategy, kind) {
        (Strategy::RowVersion, TableKind::Mirror) => "a view of more than one table".to_owned(),
        (Strategy::RowVersion | Strategy::ChangeTracking, TableKind::History) => {
            "a history".to_owned()
        }
        (Strategy::ChangeTracking, TableKind::Mirror)
        | (Strategy::Full | Strategy::Timestamp | Strategy::Sequence, _) => {
            format!("a table under strategy {strategy}")
        }
    }
}

impl SourceError {
    pub(super) fn on(doing: &'static str, table: &TableName, source: MssqlError) -> Self {
        SourceError::Server {
            doing,
            table: table.clone(),
            source: Box::new(source),
        }
    }

    /// The statement that lets a database be read under SNAPSHOT isolation.
    pub(super) fn allow_snapshot(database: &str) -> String {
        format!(
            "ALTER DATABASE {} SET ALLOW_SNAPSHOT_ISOLATION ON",
            Ident(database)
        )
    }

    /// It concerns every table of the database that is read in the same way.
    pub fn is_of_database(&self) -> bool {
        matches!(self, SourceError::NoIsolation { .. })
    }

    /// The same, if it has been said of table `first` already.
    pub fn said_of(self, first: &TableName) -> Self {
        match self {
            SourceError::NoIsolation {
                table, database, ..
            } if table != *first => SourceError::NoIsolationEither {
                table,
                first: first.clone(),
                database,
            },
            other => other,
        }
    }

    /// What the caller may do.
    pub fn disposition(&self) -> Disposition {
        match self {
            SourceError::Server { source, .. } | SourceError::Busy { source, .. } => {
                source.disposition()
            }
            SourceError::Untracked { .. } => Disposition::Transient,
            SourceError::Retention { .. }
            | SourceError::Unknown { .. }
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
            | SourceError::NoIsolationEither { .. }
            | SourceError::Masked { .. }
            | SourceError::MaskedBehind { .. }
            | SourceError::RowSecurity { .. }
            | SourceError::Span { .. }
            | SourceError::SpanText { .. }
            | SourceError::Unread { .. }
            | SourceError::Isolation { .. } => Disposition::Definite,
        }
    }

    /// What is wrong with the command line is no failure of the source.
    fn kind(&self) -> Kind {
        match self {
            SourceError::Span { .. } | SourceError::SpanText { .. } => Kind::Config,
            _ => Kind::Source,
        }
    }
}

impl From<SourceError> for Error {
    fn from(error: SourceError) -> Self {
        Error::new(error.kind(), error.disposition(), error)
    }
}
