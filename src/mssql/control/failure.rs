//! What a failure of the driver means.

use crate::mssql::error::{MssqlError, ServerError, ServerMessage, excerpt};
use crate::mssql::sql::Statement;

pub(super) fn server_error(
    token: &tiberius::error::TokenError,
    statement: String,
) -> Box<ServerError> {
    Box::new(ServerError {
        number: token.code(),
        class: token.class(),
        state: token.state(),
        message: ServerMessage::new(token.code(), token.message()),
        procedure: Some(token.procedure().to_owned()).filter(|name| !name.is_empty()),
        line: token.line(),
        statement,
    })
}

pub(super) fn transport_error(
    server: &str,
    error: tiberius::error::Error,
    statement: &Statement,
    in_doubt: bool,
) -> MssqlError {
    use tiberius::error::Error as E;
    let server = server.to_owned();
    match error {
        E::Io { message, .. } => MssqlError::Lost {
            server,
            reason: message,
            statement: excerpt(&statement.sql),
            in_doubt,
        },
        E::Tls(reason) => MssqlError::Lost {
            server,
            reason,
            statement: excerpt(&statement.sql),
            in_doubt,
        },
        // GSSAPI is used by logins only.
        #[cfg(feature = "kerberos")]
        error @ E::Gssapi(_) => unreadable(server, &error, statement, in_doubt),
        error @ (E::Server(_)
        | E::Protocol(_)
        | E::Encoding(_)
        | E::Conversion(_)
        | E::Utf8
        | E::Utf16
        | E::ParseInt(_)
        | E::Routing { .. }
        | E::BulkInput(_)) => unreadable(server, &error, statement, in_doubt),
    }
}

/// Bytes of the reply that the driver cannot read: a statement that may commit may have done so.
fn unreadable(
    server: String,
    error: &tiberius::error::Error,
    statement: &Statement,
    in_doubt: bool,
) -> MssqlError {
    let reason = error.to_string();
    match in_doubt {
        true => MssqlError::Lost {
            server,
            reason,
            statement: excerpt(&statement.sql),
            in_doubt,
        },
        false => MssqlError::Protocol { server, reason },
    }
}
