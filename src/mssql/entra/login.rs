//! Attempts to log in with a token.
//!
//! A server refuses a token that it took before when the token was revoked, or when its clock is ahead. So a token that
//! was used before is replaced and the login tried once more, before a run fails for it.

use super::{Held, forget, token_for};
use crate::mssql::error::MssqlError;
use crate::mssql::settings::{Connection, Credential};
use crate::secret::Secret;

/// Login failed: of a token, also when it has expired. Other refusals of a login, such as that of a database, do not
/// speak of the token.
const LOGIN_FAILED: u32 = 18456;

/// The attempts to make one session. Without a login of Entra ID there is one, without a token.
pub(in crate::mssql) struct Login<'a> {
    connection: &'a Connection,
    held: Option<Held>,
    is_last: bool,
}

impl<'a> Login<'a> {
    pub(in crate::mssql) fn new(connection: &'a Connection) -> Self {
        Self {
            connection,
            held: None,
            is_last: false,
        }
    }

    /// The token of the next attempt.
    pub(in crate::mssql) async fn token(&mut self) -> Result<Option<Secret>, MssqlError> {
        let Some(entra) = &self.connection.entra else {
            return Ok(None);
        };
        let held = token_for(self.connection.server(), entra).await?;
        let text = held.text.clone();
        self.held = Some(held);
        Ok(Some(text))
    }

    /// After an attempt has failed: forgets a token that was refused. The error to end with, or none for another
    /// attempt.
    pub(in crate::mssql) async fn failed(&mut self, error: MssqlError) -> Option<MssqlError> {
        let (Some(entra), Some(held)) = (&self.connection.entra, &self.held) else {
            return Some(error);
        };
        let error = error.of_token();
        let is_refused =
            matches!(&error, MssqlError::Login { error, .. } if error.number == LOGIN_FAILED);
        if !is_refused {
            return Some(error);
        }
        forget(entra, &held.text).await;
        let is_renewed = !matches!(entra.credential, Credential::Token(_));
        if held.is_new || self.is_last || !is_renewed {
            return Some(error);
        }
        self.is_last = true;
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mssql::error::{ServerError, ServerMessage};

    fn login_error(number: u32) -> MssqlError {
        MssqlError::Login {
            server: "h:1433".into(),
            error: Box::new(ServerError {
                number,
                class: 14,
                state: 1,
                message: ServerMessage::new(number, "m"),
                procedure: None,
                line: 1,
                statement: String::new(),
            }),
        }
    }

    /// How the token of the next attempt compares after each error: whether there is another, whether it is new.
    async fn after(connection: &Connection, number: u32) -> (bool, bool) {
        let mut login = Login::new(connection);
        login.token().await.unwrap();
        let goes_on = login.failed(login_error(number)).await.is_none();
        let held = token_for("h".into(), connection.entra.as_ref().unwrap()).await;
        (goes_on, held.unwrap().is_new)
    }

    #[tokio::test]
    async fn a_token_that_was_used_before_is_replaced_once() {
        let text = "Server=h;Access Token Command='echo login-once'";
        let connection = Connection::parse(text).unwrap();
        // New: refused at once, and forgotten.
        assert_eq!(after(&connection, 18456).await, (false, true));
        // What does not speak of the token leaves it.
        for number in [4060, 40613] {
            assert_eq!(after(&connection, number).await, (false, false));
        }
        // Used before: once more, not twice.
        let mut login = Login::new(&connection);
        login.token().await.unwrap();
        assert!(login.failed(login_error(18456)).await.is_none());
        login.token().await.unwrap();
        assert!(login.held.as_ref().unwrap().is_new);
        assert!(login.failed(login_error(18456)).await.is_some());
    }

    #[tokio::test]
    async fn a_written_token_is_not_tried_twice() {
        let connection = Connection::parse("Server=h;Access Token=written-once").unwrap();
        after(&connection, 4060).await;
        let mut login = Login::new(&connection);
        login.token().await.unwrap();
        assert!(login.failed(login_error(18456)).await.is_some());
    }
}
