//! Where a SQL Server is and how to log in to it: the one reader of connection strings, for both planes.
//!
//! Two spellings are read: ADO.NET (`Server=tcp:host,1433;Database=db;User ID=u;Password=p;Encrypt=true`) and URLs
//! (`mssql://u:p@host:1433/db?encrypt=true&trust_server_certificate=false`). Encryption is required and the
//! certificate is verified unless the string says otherwise. No setting passes in silence: each is honoured, refused by
//! name with a remedy, or listed in [`Connection::warnings`] as without effect. A name that is not known is refused, so
//! that a misspelt `Encrpyt=true` is found. No message and no `Debug` output ever repeats the string, the password or a
//! token.

mod entra;
mod error;
mod file;
mod kerberos;
mod keys;
#[cfg(test)]
mod tests;
mod text;

pub(super) use entra::authority;
pub use entra::{Cloud, Credential, Entra};
pub use error::ConnectionError;
pub use file::SecretFile;
pub use kerberos::{Kerberos, Service};

use crate::secret::Secret;
use entra::{Method, Parts};
use keys::{Setting, fold, printable, setting};
use std::fmt;
use std::time::Duration;
use text::{Settings, boolean, settings_of_ado, settings_of_url};

/// How the connection is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Encryption {
    /// TLS for everything, or no connection.
    #[default]
    Required,
    /// TLS for the login only, where the server offers it.
    Optional,
}

/// A parsed connection.
#[derive(Clone, PartialEq, Eq)]
pub struct Connection {
    pub host: String,
    /// Taken from the instance's answer when only the instance is named.
    pub port: Option<u16>,
    pub instance: Option<String>,
    /// Empty: the login's default database.
    pub database: String,
    /// Of a SQL login; empty for any other.
    pub user: String,
    pub password: Secret,
    /// The login of Entra ID; none: `user` and `password`.
    pub entra: Option<Entra>,
    /// The login by Kerberos, in place of both.
    pub kerberos: Option<Kerberos>,
    pub encryption: Encryption,
    pub trust_server_certificate: bool,
    /// The name that the server's certificate must carry; none: the host that is dialled, which after a redirect is
    /// the one that the server has named.
    pub host_name_in_certificate: Option<String>,
    pub application: String,
    /// The name of this machine that the server is told; none: its host name.
    pub workstation: Option<String>,
    /// Bounds the connection to one address; a login has twice as long.
    pub connect_timeout: Duration,
    /// How long a statement that looks something up may go without an answer; none: 30 s. Statements that work through
    /// the rows of a table have no limit.
    pub command_timeout: Option<Duration>,
    /// `ApplicationIntent=ReadOnly`: a listener may lead the connection to a readable secondary replica.
    pub read_only: bool,
    /// All addresses of the host are dialled at once, and the first that answers is used.
    pub multi_subnet_failover: bool,
    /// Settings that were read and have no effect, or are dangerous, and why.
    pub warnings: Vec<String>,
}

const PORT: u16 = 1433;
const CONNECT_TIMEOUT_S: u64 = 15;

impl Connection {
    /// Reads an ADO.NET string or a `mssql://` URL.
    pub fn parse(text: &str) -> Result<Self, ConnectionError> {
        Self::parse_where(text, cfg!(feature = "kerberos"))
    }

    /// As `parse` does in a build with or without Kerberos.
    fn parse_where(text: &str, has_kerberos: bool) -> Result<Self, ConnectionError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(ConnectionError::Missing(
                "everything: write Server=host,1433;Database=db;User ID=user;Password=... or \
                    mssql://user:password@host:1433/db",
            ));
        }
        let lower = text.get(..12).unwrap_or(text).to_ascii_lowercase();
        let settings = if lower.starts_with("mssql://") || lower.starts_with("sqlserver://") {
            settings_of_url(text)?
        } else {
            settings_of_ado(text)?
        };
        build(settings, has_kerberos)
    }

    /// `host:port` or `host\instance`, for messages.
    pub fn server(&self) -> String {
        match (&self.port, &self.instance) {
            (Some(port), _) => format!("{}:{port}", self.host),
            (None, Some(instance)) => format!("{}\\{instance}", self.host),
            (None, None) => format!("{}:{PORT}", self.host),
        }
    }

    /// Bounds making a session: every connection and login on the way, also after redirects. A token is obtained
    /// before.
    pub(super) fn login_timeout(&self) -> Duration {
        self.connect_timeout.saturating_mul(2)
    }

    /// The port to dial when it is known without asking the instance.
    pub(super) fn known_port(&self) -> Option<u16> {
        match (self.port, &self.instance) {
            (Some(port), _) => Some(port),
            (None, Some(_)) => None,
            (None, None) => Some(PORT),
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("server", &self.server())
            .field("database", &self.database)
            .field("user", &self.user)
            .field("entra", &self.entra)
            .field("kerberos", &self.kerberos)
            .field("encryption", &self.encryption)
            .field("trust_server_certificate", &self.trust_server_certificate)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.server(), self.database)
    }
}

impl Connection {
    /// Without any setting.
    fn blank() -> Self {
        Self {
            host: String::new(),
            port: None,
            instance: None,
            database: String::new(),
            user: String::new(),
            password: Secret::new(""),
            entra: None,
            kerberos: None,
            encryption: Encryption::Required,
            trust_server_certificate: false,
            host_name_in_certificate: None,
            application: "icesync".into(),
            workstation: None,
            connect_timeout: Duration::from_secs(CONNECT_TIMEOUT_S),
            command_timeout: None,
            read_only: false,
            multi_subnet_failover: false,
            warnings: Vec::new(),
        }
    }
}

fn build(settings: Settings, has_kerberos: bool) -> Result<Connection, ConnectionError> {
    let mut connection = Connection::blank();
    let mut parts = Parts::default();
    let mut ticket = kerberos::Parts::default();
    let mut seen: Vec<Setting> = Vec::new();
    for (key, value) in settings {
        let known = setting(&key).ok_or_else(|| ConnectionError::Unknown(printable(&key)))?;
        let is_used = !matches!(
            known,
            Setting::NoEffect(_) | Setting::NoEffectUnlessFalse(_)
        );
        if is_used && seen.contains(&known) {
            return Err(ConnectionError::Twice(key));
        }
        seen.push(known);
        match known {
            Setting::Authentication => parts.method = Some(Method::parse(&value)?),
            Setting::AccessToken => parts.token = Some(value),
            Setting::AccessTokenCommand => parts.command = Some(value),
            Setting::ClientCertificate => parts.certificate = Some(value),
            Setting::Tenant => parts.tenant = Some(value),
            Setting::Authority => parts.authority = Some(value),
            Setting::Scope => parts.scope = Some(value),
            Setting::TokenFile => parts.token_file = Some(value),
            Setting::IntegratedSecurity => ticket.integrated = Some((key, value)),
            Setting::ServerSpn => ticket.server_spn = Some((key, value)),
            Setting::NoEffect(why) => connection.without_effect(&key, why),
            Setting::NoEffectUnlessFalse(why) => {
                if !is_off(&value) {
                    connection.without_effect(&key, why);
                }
            }
            Setting::Refused(remedy) => return Err(unsupported(&key, remedy)),
            Setting::RefusedUnlessFalse(remedy) => {
                if !is_off(&value) {
                    return Err(unsupported(&key, remedy));
                }
            }
            _ => apply(&mut connection, known, &key, value)?,
        }
    }
    if connection.host.is_empty() {
        return Err(ConnectionError::Missing("a server (Server=host,port)"));
    }
    if connection.port.is_some() {
        // A port names the instance already.
        connection.instance = None;
    }
    let has_password = seen.contains(&Setting::Password);
    let beside = kerberos::Beside {
        user: has_password || !connection.user.is_empty(),
        entra: parts != Parts::default(),
        port: connection.known_port().is_some(),
    };
    connection.kerberos = ticket.login(has_kerberos, &beside, &mut connection.warnings)?;
    match &connection.kerberos {
        Some(_) => warn_of_strangers(&mut connection),
        None => log_in(&mut connection, parts, has_password)?,
    }
    if connection.multi_subnet_failover && connection.known_port().is_none() {
        return Err(ConnectionError::Contradiction {
            first: "MultiSubnetFailover",
            other: "a named instance without a port",
            remedy: "write Server=host,port",
        });
    }
    Ok(connection)
}

/// Which login the string describes, of those that are none by Kerberos.
fn log_in(
    connection: &mut Connection,
    parts: Parts,
    has_password: bool,
) -> Result<(), ConnectionError> {
    let password = has_password.then_some(&connection.password);
    let Connection { host, user, .. } = &*connection;
    let mut warnings = Vec::new();
    let entra = parts.login(host, user, password, &mut warnings)?;
    connection.warnings.extend(warnings);
    let Some(entra) = entra else {
        if connection.user.is_empty() {
            return Err(ConnectionError::Missing(
                "a user (User ID=...), or Authentication=... for a login of Entra ID",
            ));
        }
        return match has_password {
            true => Ok(()),
            false => Err(ConnectionError::Missing("a password (Password=...)")),
        };
    };
    if connection.encryption != Encryption::Required {
        return Err(ConnectionError::Contradiction {
            first: "Encrypt",
            other: "an access token, which is not sent in the clear",
            remedy: "write Encrypt=true",
        });
    }
    if connection.trust_server_certificate {
        connection.warnings.push(TRUSTED.into());
    }
    connection.entra = Some(entra);
    connection.user.clear();
    connection.password = Secret::new("");
    Ok(())
}

/// Of a login by Kerberos to a server whose certificate is not verified.
fn warn_of_strangers(connection: &mut Connection) {
    let (setting, remedy) = match (connection.encryption, connection.trust_server_certificate) {
        (Encryption::Optional, _) => ("`Encrypt` is false", "Write Encrypt=true"),
        (Encryption::Required, true) => ("`TrustServerCertificate` is true", "Remove the setting"),
        (Encryption::Required, false) => return,
    };
    connection.warnings.push(format!(
        "the connection setting {setting} and the login is by Kerberos: whoever answers in the server's place can read \
            and forge the rows, because the data plane does not check the server's answer to the ticket. {remedy} and \
            install the certificate's authority, or write HostNameInCertificate if the certificate has another name"
    ));
}

const TRUSTED: &str = "the connection setting `TrustServerCertificate` is true and the login is an access token: \
    whoever answers in the server's place gets the token. Remove the setting and install the certificate's authority, \
    or write HostNameInCertificate if the certificate has another name";

fn unsupported(key: &str, remedy: &'static str) -> ConnectionError {
    ConnectionError::Unsupported {
        feature: key.to_owned(),
        remedy,
    }
}

impl Connection {
    fn without_effect(&mut self, key: &str, why: &str) {
        self.warnings.push(format!(
            "the connection setting `{key}` has no effect: {why}"
        ));
    }
}

fn apply(
    connection: &mut Connection,
    setting: Setting,
    key: &str,
    value: String,
) -> Result<(), ConnectionError> {
    let bad = |expected| ConnectionError::Value {
        key: key.to_owned(),
        expected,
    };
    let flag = |value: &str| boolean(value).ok_or_else(|| bad("true or false"));
    match setting {
        Setting::Server => server(connection, &value)?,
        Setting::Port => {
            let port = value.parse().ok().filter(|port| *port != 0);
            connection.port = Some(port.ok_or_else(|| bad("a port from 1 to 65535"))?);
        }
        Setting::Database => connection.database = value,
        Setting::User => connection.user = value,
        Setting::Password => connection.password = Secret::new(value),
        Setting::Encrypt => {
            connection.encryption =
                encryption(&value, || bad("true, false, mandatory or optional"))?;
        }
        Setting::Trust => connection.trust_server_certificate = flag(&value)?,
        Setting::HostNameInCertificate => {
            connection.host_name_in_certificate = Some(value).filter(|name| !name.is_empty());
        }
        Setting::Application => connection.application = value,
        Setting::Workstation => {
            connection.workstation = Some(value).filter(|name| !name.is_empty())
        }
        Setting::ConnectTimeout => {
            connection.connect_timeout =
                seconds(&value).ok_or_else(|| bad("a number of seconds"))?;
        }
        Setting::CommandTimeout => {
            let limit = seconds(&value).ok_or_else(|| bad("a number of seconds"))?;
            connection.command_timeout = Some(limit);
        }
        Setting::Intent => {
            connection.read_only = match fold(&value).as_str() {
                "readonly" => true,
                "readwrite" => false,
                _ => return Err(bad("ReadOnly or ReadWrite")),
            };
        }
        Setting::MultiSubnetFailover => connection.multi_subnet_failover = flag(&value)?,
        // Those that `build` keeps for later, or has refused or reported.
        Setting::Authentication
        | Setting::AccessToken
        | Setting::AccessTokenCommand
        | Setting::ClientCertificate
        | Setting::Tenant
        | Setting::Authority
        | Setting::Scope
        | Setting::TokenFile
        | Setting::IntegratedSecurity
        | Setting::ServerSpn
        | Setting::NoEffect(_)
        | Setting::NoEffectUnlessFalse(_)
        | Setting::Refused(_)
        | Setting::RefusedUnlessFalse(_) => {}
    }
    Ok(())
}

/// ADO.NET: 0 waits for ever; a day is as good and keeps every wait bounded.
fn seconds(value: &str) -> Option<Duration> {
    let seconds: u32 = value.parse().ok()?;
    let seconds = if seconds == 0 { 86_400 } else { seconds };
    Some(Duration::from_secs(u64::from(seconds)))
}

/// Whether a value asks for what happens without the setting.
fn is_off(value: &str) -> bool {
    boolean(value) == Some(false) || value.is_empty() || value.eq_ignore_ascii_case("disabled")
}

fn encryption(
    value: &str,
    bad: impl Fn() -> ConnectionError,
) -> Result<Encryption, ConnectionError> {
    match value.to_ascii_lowercase().as_str() {
        "true" | "yes" | "mandatory" | "required" => Ok(Encryption::Required),
        "false" | "no" | "optional" => Ok(Encryption::Optional),
        "strict" => Err(ConnectionError::Unsupported {
            feature: "Encrypt=strict".into(),
            remedy: "write Encrypt=mandatory: everything is encrypted and the certificate is verified",
        }),
        _ => Err(bad()),
    }
}

/// Reads `[tcp:]host[\instance][,port]`; `.` and `(local)` are this machine. An IPv6 address may stand in brackets.
fn server(connection: &mut Connection, value: &str) -> Result<(), ConnectionError> {
    let bad = |expected| ConnectionError::Value {
        key: "Server".into(),
        expected,
    };
    let mut rest = value.trim();
    if let Some((protocol, after)) = rest.split_once(':')
        && matches!(
            protocol.to_ascii_lowercase().as_str(),
            "tcp" | "np" | "lpc" | "admin"
        )
    {
        if !protocol.eq_ignore_ascii_case("tcp") {
            return Err(ConnectionError::Unsupported {
                feature: format!("the protocol {protocol}:"),
                remedy: "connect over TCP: Server=tcp:host,1433",
            });
        }
        rest = after;
    }
    if rest.starts_with(r"\\") || rest.to_ascii_lowercase().starts_with("(localdb)") {
        return Err(ConnectionError::Unsupported {
            feature: "a named pipe or LocalDB".into(),
            remedy: "connect over TCP: Server=tcp:host,1433",
        });
    }
    if let Some((before, port)) = rest.rsplit_once(',') {
        let port: u16 = port
            .trim()
            .parse()
            .ok()
            .filter(|port| *port != 0)
            .ok_or_else(|| bad("host,port with a port from 1 to 65535"))?;
        connection.port = Some(port);
        rest = before;
    } else if let Some((before, port)) = rest.rsplit_once(':')
        && !before.contains(':')
        && port.parse::<u16>().is_ok()
    {
        return Err(ConnectionError::Value {
            key: "Server".into(),
            expected: if before.is_empty() {
                "host,port"
            } else {
                "host,port with a comma, not a colon"
            },
        });
    }
    if let Some((host, instance)) = rest.split_once('\\') {
        let instance = instance.trim();
        // The default instance's own name.
        if !instance.is_empty() && !instance.eq_ignore_ascii_case("mssqlserver") {
            connection.instance = Some(instance.to_owned());
        }
        rest = host;
    }
    let host = rest.trim().trim_start_matches('[').trim_end_matches(']');
    connection.host = match host.to_ascii_lowercase().as_str() {
        "." | "(local)" => "localhost".into(),
        _ => host.to_owned(),
    };
    Ok(())
}
