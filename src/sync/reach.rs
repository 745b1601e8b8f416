//! Whether the servers of a run can be reached and used: found out once for all tables.
//!
//! **Before the first table** each server is looked at: can it be reached, does it accept the login, does the database
//! open, may the login do what every table needs. What fails here fails the run, with one error for each server that
//! names the side. So a wrong password of the target is found before an hour of extracts, and thirty tables do not say
//! the same thirty times.
//!
//! **During the run** a server may go away. Then one worker tries to connect, and says so, while the others wait for it
//! (the [`Gate`] of its side). When it succeeds, all go on with their steps. When retries are used up, the server is
//! given up for the whole run: the tables at work fail, and those whose turn has not come are not started.
//!
//! [`Gate`]: super::gate::Gate

use super::retry::{Attempts, server_error};
use super::session::Side;
use super::stop::CONNECTING;
use super::{Action, Sync};
use crate::config::Table;
use crate::error::{Disposition, Error, Kind, Result};
use crate::mssql::access::{self, Access, Lack};
use crate::mssql::control::Control;
use crate::mssql::error::MssqlError;
use crate::report::ErrorReport;
use crate::schema::TableName;
use futures::future::join_all;

/// A server that cannot be used, and why.
type Failure<'a> = (&'a Side, Error);

/// As errors that name the side, the source first.
fn told(mut failed: Vec<Failure<'_>>) -> Vec<Error> {
    failed.sort_by_key(|(side, _)| side.name);
    let told = failed.iter().map(|(side, error)| side.fails(error));
    told.collect()
}

impl Sync {
    /// One look at each server that a run needs, again while it may help. The errors, one for each server that cannot
    /// be used. When one of them fails for good, the other is not waited for.
    pub(super) async fn check_servers(&self, action: Action, tables: &[Table]) -> Vec<Error> {
        let (reads, loads) = match action {
            Action::Extract => (true, false),
            Action::Load { .. } | Action::Retry => (false, true),
            Action::Sync => (true, true),
        };
        let source = self.source.as_ref().filter(|_| reads);
        let target = self.target.as_ref().filter(|_| loads);
        let mut sides: Vec<&Side> = [source, target].into_iter().flatten().collect();
        let mut attempts = self.attempts().at_first_contact();
        loop {
            let mut failed = self.looks(&sides, tables).await;
            sides = failed.iter().map(|(side, _)| *side).collect();
            let passes = |(_, error): &Failure<'_>| error.disposition() == Disposition::Transient;
            if failed.is_empty() || !failed.iter().all(passes) {
                return told(failed);
            }
            // A name that may be wrong is not waited for long, whatever the other side says.
            let is_named = |(_, error): &Failure<'_>| {
                !server_error(error).is_some_and(MssqlError::may_be_misnamed)
            };
            failed.sort_by_key(is_named);
            let (side, error) = failed.remove(0);
            let names: Vec<&str> = sides.iter().map(|side| side.name).collect();
            if let Err(error) = attempts.after(error, &names.join(", ")).await {
                failed.push((side, error));
                return told(failed);
            }
        }
    }

    /// One look at each of some servers, side by side.
    async fn looks<'a>(&self, sides: &[&'a Side], tables: &[Table]) -> Vec<Failure<'a>> {
        let looks = sides
            .iter()
            .map(|side| self.stop.cut(CONNECTING, look(side, tables)));
        let looked = join_all(looks).await;
        let looked = sides.iter().zip(looked);
        looked
            .filter_map(|(side, looked)| Some((*side, looked.err()?)))
            .collect()
    }

    /// As [`Sync::check_servers`], of a command that only looks: without retries, whatever the login may do.
    pub(super) async fn connects(&self, sides: [Option<&Side>; 2]) -> Vec<ErrorReport> {
        let connect = async |side: Option<&Side>| match side {
            Some(side) => match connect(side).await {
                Ok(control) => {
                    control.close().await;
                    None
                }
                Err(error) => Some(side.fails(&error)),
            },
            None => None,
        };
        let (first, second) = tokio::join!(connect(sides[0]), connect(sides[1]));
        let failed = [first, second].into_iter().flatten();
        failed.map(|error| ErrorReport::of(&error)).collect()
    }

    /// Waits before a step is tried again, or gives the error back when it must not be.
    pub(super) async fn again(
        &self,
        attempts: &mut Attempts<'_>,
        error: Error,
        table: &str,
    ) -> Result<()> {
        if let Some(side) = self.unreachable(&error) {
            self.wait_for(side).await?;
        }
        attempts.after(error, table).await
    }

    /// The side whose server could not be reached.
    fn unreachable(&self, error: &Error) -> Option<&Side> {
        let is_outage = server_error(error).is_some_and(MssqlError::is_outage);
        let sides = self.source.iter().chain(&self.target);
        sides
            .filter(|_| is_outage)
            .find(|side| side.kind == error.kind())
    }

    /// Waits until a server takes connections again; an error once it is given up.
    async fn wait_for(&self, side: &Side) -> Result<()> {
        let turn = async { Ok::<_, Error>(side.gate.turn().await) };
        let _turn = self.stop.cut(CONNECTING, turn).await?;
        if let Some(lost) = side.lost() {
            return Err(lost);
        }
        let mut attempts = self.attempts();
        loop {
            let error = match self.stop.cut(CONNECTING, connect(side)).await {
                Ok(control) => {
                    control.close().await;
                    return Ok(());
                }
                Err(error) => error,
            };
            let Err(error) = attempts.after(error, side.name).await else {
                continue;
            };
            let error = side.fails(&error);
            if error.disposition() != Disposition::Interrupted {
                side.gate.give_up(&error);
            }
            return Err(error);
        }
    }

    /// Whether another table may be begun.
    pub(super) fn goes_on(&self) -> bool {
        self.stop.signal().is_none() && self.lost_servers().is_empty()
    }

    /// The servers that were given up, one error each.
    pub(super) fn lost_servers(&self) -> Vec<Error> {
        let sides = self.source.iter().chain(&self.target);
        sides.filter_map(Side::lost).collect()
    }
}

impl Side {
    /// Why its server was given up.
    fn lost(&self) -> Option<Error> {
        let (disposition, message) = self.gate.lost()?;
        Some(Error::new(self.kind, disposition, message))
    }

    /// An error about the server, which names the side.
    fn fails(&self, error: &Error) -> Error {
        let message = format!("{}: {}", self.name, error.report());
        Error::new(self.kind, error.disposition(), message)
    }
}

async fn connect(side: &Side) -> Result<Control> {
    let connected = Control::connect(&side.connection).await;
    connected.map_err(|error| error.on(side.kind))
}

/// One look at a server: whether it is there, and lets the login do what every table needs.
async fn look(side: &Side, tables: &[Table]) -> Result<()> {
    let mut control = connect(side).await?;
    let access = match side.kind {
        // What a single table lacks, it says itself.
        Kind::Source if tables.len() < 2 => None,
        Kind::Source => {
            let names: Vec<&TableName> = tables.iter().map(|table| &table.source).collect();
            Some(access::to_source(&mut control, &names).await)
        }
        Kind::Target => Some(access::to_target(&mut control).await),
        Kind::Lake | Kind::Config => None,
    };
    let access = access.transpose().map_err(|error| error.on(side.kind))?;
    control.close().await;
    match access
        .as_ref()
        .and_then(|access| refusal(access, tables.len()))
    {
        Some(message) => Err(Error::new(side.kind, Disposition::Definite, message)),
        None => Ok(()),
    }
}

/// What to say of what a login lacks.
fn refusal(access: &Access, tables: usize) -> Option<String> {
    let Access {
        login,
        database,
        lacks,
    } = access;
    Some(match (*lacks)? {
        Lack::EveryTable => format!(
            "login {login} may read none of the {tables} tables in database {database}, or they are not there. Check \
             the database in the connection, and GRANT SELECT and VIEW DEFINITION on the tables or their schemas to \
             the login's user"
        ),
        Lack::CreateTable => format!(
            "login {login} may not create tables in database {database}, and a load copies its rows into a table of \
             its own. GRANT CREATE TABLE to the login's user"
        ),
        Lack::OwnSchema => format!(
            "login {login} may not create tables in schema icesync of database {database}, where a load keeps its own. \
             Run ALTER AUTHORIZATION ON SCHEMA::icesync TO the login's user, or GRANT ALTER ON SCHEMA::icesync"
        ),
        Lack::CreateSchema => format!(
            "schema icesync of database {database}, where a load keeps its tables, is missing or cannot be seen, and \
             login {login} may not create it. Run CREATE SCHEMA icesync AUTHORIZATION the login's user"
        ),
    })
}
