//! The open transaction that keeps an upper bound from moving.

use super::notice::Notice;
use crate::mssql::control::Record;
use crate::mssql::environment::Environment;
use crate::mssql::error::MssqlError;
use std::fmt;

/// An open transaction older than this is worth a warning.
const WORTH_SAYING_MS: i64 = 600_000;

/// What a login needs in order to see the transactions of others.
pub(super) const PERMISSION: &str = "VIEW SERVER STATE (VIEW SERVER PERFORMANCE STATE from SQL Server 2022 on, VIEW \
    DATABASE STATE in Azure SQL Database)";

/// The oldest open transaction that has written to the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Open {
    pub(super) ms: i64,
    /// None for a transaction that no session owns, as a prepared one.
    pub(super) session: Option<i64>,
    pub(super) program: Option<String>,
    /// Its session waits for the client.
    pub(super) is_idle: bool,
}

impl Open {
    /// From a row with `open_ms`, `session_id`, `program` and `is_idle`; none where there is no such transaction, or
    /// where it cannot be seen.
    pub(super) fn found(row: &Record) -> Result<Option<Self>, MssqlError> {
        let Some(ms) = row.int_opt("open_ms")? else {
            return Ok(None);
        };
        let program = row.text_opt("program")?.map(str::trim);
        Ok(Some(Self {
            ms,
            session: row.int_opt("session_id")?,
            program: program.filter(|name| !name.is_empty()).map(str::to_owned),
            is_idle: row.int_opt("is_idle")? == Some(1),
        }))
    }

    /// What a run says of it, once for all tables; none while it is young.
    pub(super) fn notice(&self, environment: &Environment) -> Option<Notice> {
        (self.ms > WORTH_SAYING_MS).then(|| Notice {
            about: "open transaction",
            text: format!(
                "database {}: {self} keeps upper bounds from moving. Rows that changed since it began are read when it \
                    ends",
                environment.database
            ),
        })
    }
}

impl fmt::Display for Open {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a transaction that has written to the database")?;
        match (self.session, &self.program) {
            (Some(session), Some(program)) => write!(f, " (session {session}, {program})")?,
            (Some(session), None) => write!(f, " (session {session})")?,
            (None, _) => f.write_str(" (of no session)")?,
        }
        write!(f, ", open for {} minutes", self.ms / 60_000)?;
        f.write_str(if self.is_idle { " and idle," } else { "," })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_transaction_is_named_with_age_session_and_program() {
        let mut open = Open {
            ms: 3_720_000,
            session: Some(57),
            program: Some("billing".into()),
            is_idle: true,
        };
        let environment = Environment::example();
        let said = open.notice(&environment).unwrap().text;
        for part in [
            "database shop",
            "(session 57, billing)",
            "open for 62 minutes and idle",
        ] {
            assert!(said.contains(part), "{said}");
        }
        open.ms = WORTH_SAYING_MS;
        assert_eq!(open.notice(&environment), None);
    }
}
