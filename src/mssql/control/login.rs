//! From a connection to a logged-in session: address, encryption, login.

use super::dial::{Hop, dial};
use super::failure::server_error;
use crate::mssql::error::MssqlError;
#[cfg(feature = "kerberos")]
use crate::mssql::kerberos::NoTicket;
use crate::mssql::settings::{Connection, Encryption, Service};
use crate::secret::Secret;
use std::time::Duration;
use tiberius::{AuthMethod, Client, Config, EncryptionLevel};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::compat::Compat;

/// For one server on the way; `token` is that of a login of Entra ID, `service` that of a login by Kerberos.
pub(super) fn config(
    connection: &Connection,
    hop: &Hop,
    token: Option<&Secret>,
    service: Option<&Service>,
    level: EncryptionLevel,
) -> Config {
    let mut config = Config::new();
    config.host(hop.login_name());
    match hop.port {
        Some(port) => config.port(port),
        None => config.instance_name(hop.instance.as_deref().unwrap_or_default()),
    }
    if !connection.database.is_empty() {
        config.database(&connection.database);
    }
    let method = match (token, service) {
        (Some(token), _) => AuthMethod::aad_token(token.expose()),
        #[cfg(feature = "kerberos")]
        (None, Some(service)) => {
            // The driver makes the service's name of these two; it does not dial.
            config.host(&service.host);
            config.port(service.port);
            AuthMethod::Integrated
        }
        (None, _) => AuthMethod::sql_server(&connection.user, connection.password.expose()),
    };
    config.authentication(method);
    config.application_name(&connection.application);
    if let Some(name) = &connection.workstation {
        config.client_name(name);
    }
    config.readonly(connection.read_only);
    config.encryption(level);
    // Encryption of the login alone (`Encrypt=false`) hides the password from onlookers; nobody asked for the
    // server's identity.
    if connection.trust_server_certificate || connection.encryption == Encryption::Optional {
        config.trust_cert();
    }
    let name = connection.host_name_in_certificate.as_ref();
    config.hostname_in_certificate(name.unwrap_or(&hop.host));
    config.handshake_timeout(Some(connection.connect_timeout));
    // Limits are kept here, per statement class.
    config.command_timeout(None);
    config
}

/// Asks the server in a connection of its own whether it has TLS at all: the driver takes "not supported" for "on".
pub(super) async fn offered_level(
    connection: &Connection,
    hop: &Hop,
) -> Result<EncryptionLevel, MssqlError> {
    let config = config(connection, hop, None, None, EncryptionLevel::Off);
    let mut stream = dial(connection, hop, &config).await?;
    let answer = tokio::time::timeout(connection.connect_timeout, prelogin(&mut stream)).await;
    match answer {
        Ok(Ok(Some(ENCRYPT_NOT_SUPPORTED))) => Ok(EncryptionLevel::NotSupported),
        Ok(Ok(_)) => Ok(EncryptionLevel::Off),
        Ok(Err(error)) => Err(MssqlError::Unreachable {
            server: hop.described(connection),
            reason: format!(
                "it accepted the connection but did not answer as SQL Server does ({error})"
            ),
        }),
        Err(_elapsed) => Err(MssqlError::Unreachable {
            server: hop.described(connection),
            reason: format!(
                "it accepted the connection but said nothing for {} s",
                connection.connect_timeout.as_secs()
            ),
        }),
    }
}

const ENCRYPT_NOT_SUPPORTED: u8 = 2;

/// Sends a PRELOGIN with encryption "off, but available" and returns the server's encryption byte.
async fn prelogin(stream: &mut TcpStream) -> std::io::Result<Option<u8>> {
    #[rustfmt::skip]
    const REQUEST: [u8; 26] = [
        0x12, 0x01, 0, 26, 0, 0, 1, 0,
        0, 0, 11, 0, 6,
        1, 0, 17, 0, 1,
        0xFF,
        17, 0, 0, 0, 0, 0,
        0,
    ];
    stream.write_all(&REQUEST).await?;
    let mut header = [0u8; 8];
    stream.read_exact(&mut header).await?;
    let length = usize::from(u16::from_be_bytes([header[2], header[3]])).saturating_sub(8);
    let mut body = vec![0u8; length];
    stream.read_exact(&mut body).await?;
    let mut options = body.chunks_exact(5).take_while(|option| option[0] != 0xFF);
    Ok(options.find(|option| option[0] == 1).and_then(|option| {
        let at = usize::from(u16::from_be_bytes([option[1], option[2]]));
        body.get(at).copied()
    }))
}

/// Makes a session usable after a login by Kerberos. The driver answers the server's ticket with a message of no
/// bytes, after the server has said its last, and would wait for a reply to it before its first statement. An
/// attention has a reply: a server acknowledges it also when nothing runs ([MS-TDS] 3.3.5.9).
pub(super) async fn settle(
    session: &mut Client<Compat<TcpStream>>,
    server: String,
    limit: Duration,
) -> Result<(), MssqlError> {
    match tokio::time::timeout(limit, session.cancel_query()).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(login_error(server, error)),
        Err(_elapsed) => Err(MssqlError::Unreachable {
            server,
            reason: format!(
                "it took the login and then said nothing for {} s",
                limit.as_secs()
            ),
        }),
    }
}

pub(super) fn login_error(server: String, error: tiberius::error::Error) -> MssqlError {
    use tiberius::error::Error as E;
    match error {
        E::Server(token) => MssqlError::Login {
            server,
            error: server_error(&token, String::new()),
        },
        E::Tls(reason) => MssqlError::Tls {
            server,
            reason,
            with_token: false,
        },
        #[cfg(feature = "kerberos")]
        E::Gssapi(message) => NoTicket::of_login(&message).at(server),
        // The driver waits for the server's answer to a ticket only.
        #[cfg(feature = "kerberos")]
        E::Protocol(reason) if reason.contains("SSPI token") => {
            NoTicket::unproven("it sent no answer to it").at(server)
        }
        E::Protocol(reason) if reason.contains("encryption level") => MssqlError::Tls {
            server,
            reason: "the server offers no encryption".into(),
            with_token: false,
        },
        E::Io { message, .. } => MssqlError::Unreachable {
            server,
            reason: format!("the connection broke during the login: {message}"),
        },
        E::Routing { host, port } => MssqlError::Unreachable {
            server,
            reason: format!("redirected to {host}:{port}"),
        },
        other @ (E::Protocol(_)
        | E::Encoding(_)
        | E::Conversion(_)
        | E::Utf8
        | E::Utf16
        | E::ParseInt(_)
        | E::BulkInput(_)) => MssqlError::Protocol {
            server,
            reason: other.to_string(),
        },
    }
}
