//! The control plane: statements with small results, through `tiberius`.
//!
//! The driver keeps only the first error of a response and hands it over at the end of the stream, after any rows.
//! So no result is believed before it has been read to its end. When the end does not come (time limit, lost
//! connection, bytes that make no sense) nobody knows where in the stream the session stands: it is closed on the
//! spot and every later call says so. What a lost answer means depends on the statement, which the caller classes
//! ([`Class`]). Dropping the future of a call is one way to lose its answer: the session is closed then, too.

mod dial;
mod failure;
mod login;
mod record;

pub use record::{Cell, Record};

use super::entra::Login;
use super::error::{MssqlError, excerpt};
use super::kerberos::{Plane, logged_in, service_at};
use super::settings::{Connection, Encryption};
use super::sql::{ParamValue, Statement};
use crate::secret::Secret;
use dial::{Hop, dial};
use failure::{server_error, transport_error};
use login::{config, login_error, offered_level, settle};
use record::records;
use std::time::Duration;
use tiberius::{Client, EncryptionLevel};
use tokio::net::TcpStream;
use tokio_util::compat::{Compat, TokioAsyncWriteCompatExt};

/// As many as the data plane follows.
const REDIRECTS_MAX: usize = 10;

/// What a statement leaves behind when its answer is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It commits nothing, or only what a repetition finds done. A lost answer is transient. A caller may drop the
    /// call at any moment: that closes the session, and the server undoes what is not done.
    Read,
    /// It may commit what must not be done twice. A lost answer is ambiguous, and so is an error that ends the
    /// session, because a commit that waits for a secondary replica may be killed after it has become durable. A
    /// caller that drops the call has lost the answer, too: it has to look the outcome up before it goes on or ends.
    MayCommit,
}

/// How long a statement may go without an answer, and its effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Class {
    /// None: as long as the data takes.
    pub limit: Option<Duration>,
    pub effect: Effect,
}

impl Class {
    /// Answers at once: 30 seconds, or the connection's `Command Timeout`.
    pub const QUICK: Self = Self {
        limit: Some(QUICK_LIMIT),
        effect: Effect::Read,
    };
    /// Works as long as the data takes.
    pub const LONG: Self = Self {
        limit: None,
        effect: Effect::Read,
    };
    /// Works as long, and commits what must not be done twice.
    pub const COMMIT: Self = Self {
        limit: None,
        effect: Effect::MayCommit,
    };

    /// For a statement that sets this LOCK_TIMEOUT: its time limit begins when the lock is there.
    #[must_use]
    pub const fn waiting(self, lock_timeout_ms: u32) -> Self {
        let limit = match self.limit {
            Some(limit) => {
                Some(limit.saturating_add(Duration::from_millis(lock_timeout_ms as u64)))
            }
            None => None,
        };
        Self { limit, ..self }
    }

    /// The limit, with one of the user's in place of that of [`Class::QUICK`]. What has none keeps none.
    fn limited(self, command_timeout: Option<Duration>) -> Option<Duration> {
        match (self.limit, command_timeout) {
            (Some(limit), Some(own)) => Some(limit.saturating_sub(QUICK_LIMIT).saturating_add(own)),
            (limit, _) => limit,
        }
    }
}

/// Of statements that answer at once.
const QUICK_LIMIT: Duration = Duration::from_secs(30);

type Session = Client<Compat<TcpStream>>;

/// The statement with its parameters bound.
fn bound(statement: &Statement) -> tiberius::Query<'_> {
    let mut query = tiberius::Query::new(statement.sql.as_str());
    for value in &statement.params {
        match value {
            ParamValue::Text(text) => query.bind(text.as_str()),
            ParamValue::Int(number) => query.bind(*number),
        }
    }
    query
}

/// As [`open`], within the time that all its steps may take.
async fn open_in_time(
    connection: &Connection,
    token: Option<&Secret>,
) -> Result<Session, MssqlError> {
    let limit = connection.login_timeout();
    let opened = tokio::time::timeout(limit, open(connection, token)).await;
    opened.unwrap_or_else(|_elapsed| {
        let seconds = limit.as_secs();
        Err(MssqlError::Unreachable {
            server: connection.server(),
            reason: format!("no session within {seconds} s (twice the Connect Timeout)"),
        })
    })
}

/// Follows redirects to the server that takes the login.
async fn open(connection: &Connection, token: Option<&Secret>) -> Result<Session, MssqlError> {
    let mut hop = Hop::first(connection);
    for _ in 0..=REDIRECTS_MAX {
        let level = match connection.encryption {
            Encryption::Required => EncryptionLevel::Required,
            Encryption::Optional => offered_level(connection, &hop).await?,
        };
        let service = match hop.port {
            Some(port) => service_at(connection, &hop.host, port, Plane::Control).await?,
            // No login by Kerberos: `settings` sees to it.
            None => None,
        };
        let config = config(connection, &hop, token, service.as_ref(), level);
        let stream = dial(connection, &hop, &config).await?;
        let limit = connection.connect_timeout;
        let connecting = move || Client::connect(config, stream.compat_write());
        match logged_in(connection, limit, connecting).await? {
            Ok(mut session) => {
                if service.is_some() {
                    settle(&mut session, hop.described(connection), limit).await?;
                }
                return Ok(session);
            }
            Err(tiberius::error::Error::Routing { host, port }) => {
                hop = Hop::redirected(&host, port);
            }
            Err(error) => return Err(login_error(hop.described(connection), error)),
        }
    }
    Err(MssqlError::Unreachable {
        server: connection.server(),
        reason: format!("the login was redirected more than {REDIRECTS_MAX} times"),
    })
}

/// One session of the control plane.
pub struct Control {
    /// None once the session is broken.
    session: Option<Session>,
    server: String,
    /// In place of the limit of [`Class::QUICK`].
    command_timeout: Option<Duration>,
}

impl Control {
    /// Logs in, where the server sends the login. The error says which step failed (address, TLS, token, login,
    /// database) and the remedy.
    pub async fn connect(connection: &Connection) -> Result<Self, MssqlError> {
        let mut login = Login::new(connection);
        let session = loop {
            let token = login.token().await?;
            match open_in_time(connection, token.as_ref()).await {
                Ok(session) => break session,
                Err(error) => {
                    if let Some(error) = login.failed(error).await {
                        return Err(error);
                    }
                }
            }
        };
        Ok(Self {
            session: Some(session),
            server: connection.server(),
            command_timeout: connection.command_timeout,
        })
    }

    /// Rows of the first result set, as [`Class::QUICK`]. Every result set is read to its end first, so an error
    /// raised after the rows is an error here.
    pub async fn query(&mut self, statement: &Statement) -> Result<Vec<Record>, MssqlError> {
        let sets = self.query_sets(statement, Class::QUICK).await?;
        Ok(sets.into_iter().next().unwrap_or_default())
    }

    /// Rows of every result set, in order. Without parameters the text is a plain batch (session settings,
    /// transactions and temporary tables outlive it); with parameters it goes through `sp_executesql`.
    pub async fn query_sets(
        &mut self,
        statement: &Statement,
        class: Class,
    ) -> Result<Vec<Vec<Record>>, MssqlError> {
        let work = async |session: &mut Session| -> tiberius::Result<Vec<Vec<tiberius::Row>>> {
            if statement.params.is_empty() {
                session
                    .simple_query(statement.sql.as_str())
                    .await?
                    .into_results()
                    .await
            } else {
                bound(statement).query(session).await?.into_results().await
            }
        };
        let sets = self.perform(statement, class, work).await?;
        sets.into_iter().map(records).collect()
    }

    /// Runs a statement for its effect, like [`query_sets`](Self::query_sets), and drops its rows.
    pub async fn run(&mut self, statement: &Statement, class: Class) -> Result<(), MssqlError> {
        self.query_sets(statement, class).await.map(drop)
    }

    /// Runs a statement through `sp_executesql` (always) and returns the rows affected, summed over its statements.
    /// Not for text that opens or closes a transaction, changes session settings or creates temporary tables: those
    /// end with the call.
    pub async fn count(&mut self, statement: &Statement, class: Class) -> Result<u64, MssqlError> {
        let work = async |session: &mut Session| -> tiberius::Result<u64> {
            Ok(bound(statement).execute(session).await?.total())
        };
        self.perform(statement, class, work).await
    }

    /// True after a timeout, a lost connection or a protocol error: drop this session and connect again.
    pub fn is_broken(&self) -> bool {
        self.session.is_none()
    }

    /// Closes the session, ignoring errors.
    pub async fn close(mut self) {
        if let Some(session) = self.session.take() {
            let _ = tokio::time::timeout(Duration::from_secs(1), session.close()).await;
        }
    }

    /// Runs `work` under the class's time limit. The session is taken out meanwhile, so that a caller who drops
    /// this future leaves a broken session behind rather than one with half a response in it.
    async fn perform<T>(
        &mut self,
        statement: &Statement,
        class: Class,
        work: impl AsyncFnOnce(&mut Session) -> tiberius::Result<T>,
    ) -> Result<T, MssqlError> {
        let mut session = self.session.take().ok_or_else(|| MssqlError::Lost {
            server: self.server.clone(),
            reason: "the session was closed by an earlier failure".into(),
            statement: excerpt(&statement.sql),
            in_doubt: false,
        })?;
        let limit = class.limited(self.command_timeout);
        let outcome = match limit {
            Some(limit) => tokio::time::timeout(limit, work(&mut session)).await,
            None => Ok(work(&mut session).await),
        };
        let in_doubt = class.effect == Effect::MayCommit;
        match outcome {
            Ok(Ok(value)) => {
                self.session = Some(session);
                Ok(value)
            }
            Ok(Err(tiberius::error::Error::Server(token))) => {
                let error = server_error(&token, excerpt(&statement.sql));
                if !error.ends_session() {
                    self.session = Some(session);
                } else if in_doubt {
                    return Err(MssqlError::Lost {
                        server: self.server.clone(),
                        reason: format!("{} (error {})", error.message, error.number),
                        statement: excerpt(&statement.sql),
                        in_doubt,
                    });
                }
                Err(MssqlError::Server(error))
            }
            Ok(Err(error)) => Err(transport_error(&self.server, error, statement, in_doubt)),
            Err(_elapsed) => Err(MssqlError::Timeout {
                server: self.server.clone(),
                seconds: limit.map_or(0, |limit| limit.as_secs()),
                statement: excerpt(&statement.sql),
                in_doubt,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_timeout_takes_the_place_of_the_usual_limit() {
        let own = Some(Duration::from_secs(5));
        let limit = |class: Class, own| class.limited(own).map(|limit| limit.as_secs());
        assert_eq!(limit(Class::QUICK, None), Some(30));
        assert_eq!(limit(Class::QUICK, own), Some(5));
        assert_eq!(limit(Class::QUICK.waiting(2_000), own), Some(7));
        assert_eq!(limit(Class::LONG, own), None);
        assert_eq!(limit(Class::COMMIT, own), None);
    }

    #[tokio::test]
    async fn an_unreachable_server_is_named_with_its_port() {
        // Bound and dropped at once: nobody listens there.
        let port = {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            listener.local_addr().unwrap().port()
        };
        let connection =
            Connection::parse(&format!("Server=127.0.0.1,{port};UID=u;PWD=secret")).unwrap();
        let error = Control::connect(&connection).await.err().unwrap();
        assert!(matches!(error, MssqlError::Unreachable { .. }));
        assert!(error.to_string().contains(&format!("127.0.0.1:{port}")));
        assert!(!error.to_string().contains("secret"));
    }
}
