//! One session of the data plane, beneath reading and writing.
//!
//! The driver is young. Three of its habits are dealt with here, so that no other module needs to know them: it
//! computes packets wrongly when the server answers with the packet size it would have chosen anyway (32767 is
//! asked for, which no server defaults to), it would reconnect in silence in the middle of a session and lose the
//! transaction that made the read consistent (switched off), and it may panic on bytes it did not expect (turned
//! into an error). A response that was not read to its end leaves the channel broken, whatever the reason, also when
//! the future that works on it is dropped.

use super::entra::Login;
use super::error::{MssqlError, ServerError, ServerMessage, excerpt};
use super::kerberos::{NoTicket, Plane, logged_in, service_at};
use super::settings::{Connection, Encryption, Service};
use super::sql::{ParamValue, Statement, parameter_name};
use crate::secret::{Secret, panic_text};
use futures::FutureExt;
use mssql_tds::connection::client_context::{ClientContext, TdsAuthenticationMethod};
use mssql_tds::connection::tds_client::{StatementResult, TdsClient};
use mssql_tds::connection_provider::tds_connection_provider::TdsConnectionProvider;
use mssql_tds::core::{EncryptionOptions, EncryptionSetting};
use mssql_tds::datatypes::sql_string::SqlString;
use mssql_tds::datatypes::sqltypes::SqlType as Parameter;
use mssql_tds::message::login_options::ApplicationIntent;
use mssql_tds::message::parameters::rpc_parameters::{RpcParameter, StatusFlags};
use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

/// The largest packet that the protocol has. Never the server's own default: see the module.
const PACKET_BYTES: u16 = 32_767;

/// One session of the data plane.
pub struct Channel {
    /// None once the channel is broken.
    client: Option<TdsClient>,
    server: String,
}

impl Channel {
    /// Logs in, where the server sends the login, with packets of 32767 bytes.
    pub async fn connect(connection: &Connection) -> Result<Self, MssqlError> {
        let server = connection.server();
        let service = match connection.known_port() {
            Some(port) => service_at(connection, &connection.host, port, Plane::Data).await?,
            // No login by Kerberos: `settings` sees to it.
            None => None,
        };
        let mut login = Login::new(connection);
        loop {
            let token = login.token().await?;
            let context = context(connection, token.as_ref(), service.as_ref());
            let (source, named) = (source(connection), server.clone());
            let connecting = move || client(context, source, named);
            let made = logged_in(connection, connection.login_timeout(), connecting).await;
            let error = match made.flatten() {
                Ok(client) => {
                    return Ok(Self {
                        client: Some(client),
                        server,
                    });
                }
                Err(error) => error,
            };
            if let Some(error) = login.failed(error).await {
                return Err(error);
            }
        }
    }

    /// Runs a plain batch (session settings, transactions) and returns the rows affected, summed. Rows that it
    /// selects are dropped.
    pub async fn run(&mut self, sql: &str) -> Result<u64, MssqlError> {
        let statement = Statement::plain(sql);
        self.perform(&statement, async |client: &mut TdsClient| {
            let mut result = client.execute(statement.sql.clone(), ()).await?;
            let mut affected = 0;
            loop {
                match result {
                    StatementResult::Rows => {}
                    StatementResult::NoRows { rows_affected } => {
                        affected += rows_affected.unwrap_or(0);
                    }
                    StatementResult::End => return Ok(affected),
                }
                result = client.advance().await?;
            }
        })
        .await
    }

    /// True after a lost connection, a panic in the driver or an abandoned result: drop it and connect again.
    pub fn is_broken(&self) -> bool {
        self.client.is_none()
    }

    /// Closes the session, ignoring errors.
    pub async fn close(mut self) {
        if let Some(mut client) = self.client.take() {
            let closing = AssertUnwindSafe(client.close_connection()).catch_unwind();
            let _ = tokio::time::timeout(Duration::from_secs(1), closing).await;
        }
    }

    /// Runs `work` on the client, which is taken out meanwhile: only work that ends well, or with an error message
    /// of the server that ended the response, gives it back.
    pub(super) async fn perform<T>(
        &mut self,
        statement: &Statement,
        work: impl AsyncFnOnce(&mut TdsClient) -> Result<T, Failure>,
    ) -> Result<T, MssqlError> {
        let lost = |reason: String| MssqlError::Lost {
            server: self.server.clone(),
            reason,
            statement: excerpt(&statement.sql),
            in_doubt: false,
        };
        let mut client = self
            .client
            .take()
            .ok_or_else(|| lost("the channel was closed by an earlier failure".into()))?;
        match AssertUnwindSafe(work(&mut client)).catch_unwind().await {
            Ok(Ok(value)) => {
                self.client = Some(client);
                Ok(value)
            }
            Ok(Err(Failure::Ours(error))) => Err(error),
            Ok(Err(Failure::Driver(error))) => {
                let error = driver_error(&self.server, *error, statement);
                let ended = matches!(&error, MssqlError::Server(server) if server.class < 20);
                if ended && !client.has_open_batch() && !client.is_connection_dead() {
                    self.client = Some(client);
                }
                Err(error)
            }
            Err(panic) => Err(panicked(self.server.clone(), panic.as_ref())),
        }
    }
}

/// A session of the driver.
async fn client(
    context: ClientContext,
    source: String,
    server: String,
) -> Result<TdsClient, MssqlError> {
    let provider = TdsConnectionProvider::new();
    let connecting = provider.create_client(context, &source, None);
    match AssertUnwindSafe(connecting).catch_unwind().await {
        Ok(Ok(client)) => Ok(client),
        Ok(Err(error)) => Err(login_error(server, error)),
        Err(panic) => Err(panicked(server, panic.as_ref())),
    }
}

/// Why work on a channel stopped.
pub(super) enum Failure {
    Ours(MssqlError),
    Driver(Box<mssql_tds::error::Error>),
}

impl From<MssqlError> for Failure {
    fn from(error: MssqlError) -> Self {
        Failure::Ours(error)
    }
}

impl From<mssql_tds::error::Error> for Failure {
    fn from(error: mssql_tds::error::Error) -> Self {
        Failure::Driver(Box::new(error))
    }
}

/// Without parameters a plain batch, with parameters `sp_executesql`, which declares them as sent.
pub(super) async fn execute(
    client: &mut TdsClient,
    statement: &Statement,
) -> mssql_tds::core::TdsResult<StatementResult> {
    if statement.params.is_empty() {
        return client.execute(statement.sql.clone(), ()).await;
    }
    let parameters = statement
        .params
        .iter()
        .enumerate()
        .map(|(at, value)| {
            let name = parameter_name(at + 1);
            RpcParameter::new(Some(name), StatusFlags::NONE, parameter(value))
        })
        .collect();
    client
        .execute_sp_executesql(statement.sql.clone(), parameters, ())
        .await
}

/// Declared with the widest sized type that fits, so that one plan serves every value.
fn parameter(value: &ParamValue) -> Parameter {
    const CHARACTERS: u16 = 4000;
    match value {
        ParamValue::Int(value) => Parameter::BigInt(Some(*value)),
        ParamValue::Text(value) => {
            let is_long = value.encode_utf16().count() > usize::from(CHARACTERS);
            let text = Some(SqlString::from_utf8_string(value.clone()));
            if is_long {
                Parameter::NVarcharMax(text)
            } else {
                Parameter::NVarchar(text, CHARACTERS)
            }
        }
    }
}

fn context(
    connection: &Connection,
    token: Option<&Secret>,
    service: Option<&Service>,
) -> ClientContext {
    let mut context = ClientContext::with_data_source(&source(connection));
    match (token, service) {
        (Some(token), _) => {
            context.tds_authentication_method = TdsAuthenticationMethod::AccessToken;
            context.access_token = Some(token.expose().to_owned());
        }
        (None, Some(service)) => {
            context.tds_authentication_method = TdsAuthenticationMethod::SSPI;
            // Left to itself the driver leaves the port out of the name. It reads the form `service@host` alone.
            context.server_spn = Some(service.on_host());
        }
        (None, None) => {
            context.user_name = connection.user.clone();
            context.password = connection.password.expose().to_owned();
        }
    }
    // Unset, the driver would take it from an environment variable of its own.
    context.multi_subnet_failover = Some(connection.multi_subnet_failover);
    if let Some(name) = &connection.workstation {
        context.workstation_id.clone_from(name);
    }
    context.database = connection.database.clone();
    context.application_name = connection.application.clone();
    context.application_intent = match connection.read_only {
        true => ApplicationIntent::ReadOnly,
        false => ApplicationIntent::ReadWrite,
    };
    context.packet_size = PACKET_BYTES;
    context.connect_retry_count = 0;
    let seconds = |limit: Duration| u32::try_from(limit.as_secs().max(1)).unwrap_or(u32::MAX);
    context.connect_timeout = seconds(connection.connect_timeout);
    context.login_timeout = Some(seconds(connection.login_timeout()));
    let mode = match connection.encryption {
        Encryption::Required => EncryptionSetting::Required,
        Encryption::Optional => EncryptionSetting::PreferOff,
    };
    let mut options = EncryptionOptions::new();
    options.mode = mode;
    // Encryption of the login alone hides the password from onlookers; nobody asked for the server's identity.
    options.trust_server_certificate =
        connection.trust_server_certificate || connection.encryption == Encryption::Optional;
    options.host_name_in_cert = connection.host_name_in_certificate.clone();
    context.encryption_options = options;
    context
}

fn source(connection: &Connection) -> String {
    match (connection.known_port(), &connection.instance) {
        (Some(port), _) => format!("tcp:{},{port}", connection.host),
        (None, Some(instance)) => format!("tcp:{}\\{instance}", connection.host),
        (None, None) => format!("tcp:{}", connection.host),
    }
}

fn panicked(server: String, panic: &(dyn Any + Send)) -> MssqlError {
    MssqlError::Protocol {
        server,
        reason: format!("the driver stopped: {}", panic_text(panic)),
    }
}

fn server_error(info: &mssql_tds::error::SqlErrorInfo, statement: String) -> Box<ServerError> {
    Box::new(ServerError {
        number: info.number,
        class: u8::try_from(info.class).unwrap_or(u8::MAX),
        state: info.state,
        message: ServerMessage::new(info.number, &info.message),
        procedure: info.proc_name.clone().filter(|name| !name.is_empty()),
        line: info
            .line_number
            .and_then(|line| u32::try_from(line).ok())
            .unwrap_or(0),
        statement,
    })
}

fn login_error(server: String, error: mssql_tds::error::Error) -> MssqlError {
    use mssql_tds::error::Error as E;
    match error {
        E::SqlServerError { diagnostics } if !diagnostics.errors.is_empty() => MssqlError::Login {
            server,
            error: server_error(&diagnostics.errors[0], String::new()),
        },
        error @ (E::TlsError(_)
        | E::TlsHandshakeError { .. }
        | E::CertificateNotFound { .. }
        | E::InvalidCertificateFormat { .. }
        | E::CertificateExpired
        | E::CertificateMismatch
        | E::CertificateFileIoError { .. }
        | E::NoServerCertificate) => MssqlError::Tls {
            server,
            reason: error.to_string(),
            with_token: false,
        },
        E::Security(error) => NoTicket::of_login(&error.to_string()).at(server),
        E::ProtocolError(reason) if reason.contains("does not support encryption") => {
            MssqlError::Tls {
                server,
                reason: "the server offers no encryption".into(),
                with_token: false,
            }
        }
        // So the driver reports a connection that was lost before the login's answer had come.
        E::ProtocolError(reason) if reason.contains("Failed to receive token") => {
            MssqlError::unreachable(server, "the connection broke during the login".into())
        }
        E::ProtocolError(reason) if reason.contains("redirection tokens") => {
            let reason = "the login was redirected more than 10 times";
            MssqlError::unreachable(server, reason.into())
        }
        error @ (E::Io(_)
        | E::ConnectionError(_)
        | E::ConnectionClosed(_)
        | E::TimeoutError(_)
        | E::Redirection { .. }) => MssqlError::unreachable(server, error.to_string()),
        // The rest of the driver's list, which may grow.
        error => MssqlError::Protocol {
            server,
            reason: error.to_string(),
        },
    }
}

fn driver_error(server: &str, error: mssql_tds::error::Error, statement: &Statement) -> MssqlError {
    use mssql_tds::error::Error as E;
    let server = server.to_owned();
    match error {
        E::SqlServerError { diagnostics } if !diagnostics.errors.is_empty() => MssqlError::Server(
            server_error(&diagnostics.errors[0], excerpt(&statement.sql)),
        ),
        error @ (E::Io(_)
        | E::ConnectionError(_)
        | E::ConnectionClosed(_)
        | E::TlsError(_)
        | E::TimeoutError(_)
        | E::OperationCancelledError(_)
        | E::SessionRecoveryFailed { .. }
        | E::SessionNotRecoverable(_)
        | E::ReconnectionValidationFailed(_)) => MssqlError::Lost {
            server,
            reason: error.to_string(),
            statement: excerpt(&statement.sql),
            in_doubt: false,
        },
        // The rest of the driver's list, which may grow.
        error => MssqlError::Protocol {
            server,
            reason: error.to_string(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_that_breaks_during_the_login_passes() {
        let message = "Failed to receive token during login response parsing.".to_owned();
        let error = mssql_tds::error::Error::ProtocolError(message);
        let error = login_error("db:1433".into(), error);
        assert!(error.is_outage() && !error.may_be_misnamed(), "{error}");
        assert!(error.to_string().contains("db:1433"), "{error}");
    }

    #[test]
    fn what_a_connection_says_reaches_the_driver() {
        let connection = |more: &str| Connection::parse(&format!("Server=h;{more}")).unwrap();
        let usual =
            connection("UID=u;PWD=p;Workstation ID=w;ApplicationIntent=ReadOnly;Connect Timeout=7");
        let context_of_login = context(&usual, None, None);
        assert_eq!(context_of_login.user_name, "u");
        assert_eq!(context_of_login.multi_subnet_failover, Some(false));
        assert_eq!(context_of_login.workstation_id, "w");
        assert_eq!(context_of_login.connect_timeout, 7);
        assert_eq!(context_of_login.login_timeout, Some(14));
        assert!(context_of_login.access_token.is_none());
        let by_token = connection("Access Token=abc;MultiSubnetFailover=true");
        let context_of_token = context(&by_token, Some(&Secret::new("abc")), None);
        assert_eq!(context_of_token.access_token.as_deref(), Some("abc"));
        let method = &context_of_token.tds_authentication_method;
        assert_eq!(*method, TdsAuthenticationMethod::AccessToken);
        assert_eq!(context_of_token.multi_subnet_failover, Some(true));
        assert_eq!(context_of_token.user_name, "");
        let service = Service {
            host: "db.example.com".into(),
            port: 1444,
            realm: None,
        };
        let context_of_ticket = context(&by_token, None, Some(&service));
        assert!(
            context_of_ticket.integrated_security() && context_of_ticket.access_token.is_none()
        );
        let name = context_of_ticket.server_spn.as_deref();
        assert_eq!(name, Some("MSSQLSvc@db.example.com:1444"));
    }
}
