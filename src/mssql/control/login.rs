//! From a connection to a logged-in session: address, encryption, login.

use super::failure::server_error;
use crate::mssql::error::MssqlError;
use crate::mssql::settings::{Connection, Encryption};
use std::time::Duration;
use tiberius::{AuthMethod, Config, EncryptionLevel, SqlBrowser};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Probes of an idle connection, so that a server that vanished during a long statement is noticed.
const KEEPALIVE: Duration = Duration::from_secs(30);

pub(super) fn config(connection: &Connection, level: EncryptionLevel) -> Config {
    let mut config = Config::new();
    config.host(&connection.host);
    match connection.known_port() {
        Some(port) => config.port(port),
        None => config.instance_name(connection.instance.as_deref().unwrap_or_default()),
    }
    if !connection.database.is_empty() {
        config.database(&connection.database);
    }
    config.authentication(AuthMethod::sql_server(
        &connection.user,
        connection.password.expose(),
    ));
    config.application_name(&connection.application);
    config.readonly(connection.read_only);
    config.encryption(level);
    // Encryption of the login alone (`Encrypt=false`) hides the password from onlookers; nobody asked for the
    // server's identity.
    if connection.trust_server_certificate || connection.encryption == Encryption::Optional {
        config.trust_cert();
    }
    if let Some(name) = &connection.host_name_in_certificate {
        config.hostname_in_certificate(name);
    }
    config.handshake_timeout(Some(connection.connect_timeout));
    // Limits are kept here, per statement class.
    config.command_timeout(None);
    config
}

pub(super) async fn dial(
    connection: &Connection,
    config: &Config,
) -> Result<TcpStream, MssqlError> {
    let unreachable = |reason: String| MssqlError::unreachable(connection.server(), reason);
    let connecting = async {
        if connection.known_port().is_some() {
            TcpStream::connect(config.get_addr())
                .await
                .map_err(|error| error.to_string())
        } else {
            TcpStream::connect_named(config).await.map_err(|error| {
                format!("{error} (is the SQL Server Browser running? Server=host,port needs none)")
            })
        }
    };
    let stream = tokio::time::timeout(connection.connect_timeout, connecting)
        .await
        .map_err(|_elapsed| {
            unreachable(format!(
                "no answer within {} s",
                connection.connect_timeout.as_secs()
            ))
        })?
        .map_err(unreachable)?;
    let keepalive = socket2::TcpKeepalive::new()
        .with_time(KEEPALIVE)
        .with_interval(KEEPALIVE);
    let options = stream
        .set_nodelay(true)
        .and_then(|()| socket2::SockRef::from(&stream).set_tcp_keepalive(&keepalive));
    match options {
        Ok(()) => Ok(stream),
        Err(error) => Err(unreachable(error.to_string())),
    }
}

/// Asks the server in a connection of its own whether it has TLS at all: the driver takes "not supported" for "on".
pub(super) async fn offered_level(connection: &Connection) -> Result<EncryptionLevel, MssqlError> {
    let mut stream = dial(connection, &config(connection, EncryptionLevel::Off)).await?;
    let answer = tokio::time::timeout(connection.connect_timeout, prelogin(&mut stream)).await;
    match answer {
        Ok(Ok(Some(ENCRYPT_NOT_SUPPORTED))) => Ok(EncryptionLevel::NotSupported),
        Ok(Ok(_)) => Ok(EncryptionLevel::Off),
        Ok(Err(error)) => Err(MssqlError::Unreachable {
            server: connection.server(),
            reason: format!(
                "it accepted the connection but did not answer as SQL Server does ({error})"
            ),
        }),
        Err(_elapsed) => Err(MssqlError::Unreachable {
            server: connection.server(),
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

pub(super) fn login_error(connection: &Connection, error: tiberius::error::Error) -> MssqlError {
    use tiberius::error::Error as E;
    let server = connection.server();
    match error {
        E::Server(token) => MssqlError::Login {
            server,
            error: server_error(&token, String::new()),
        },
        E::Tls(reason) => MssqlError::Tls { server, reason },
        E::Protocol(reason) if reason.contains("encryption level") => MssqlError::Tls {
            server,
            reason: "the server offers no encryption".into(),
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
