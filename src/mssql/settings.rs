//! Where a SQL Server is and how to log in to it: the one reader of connection strings, for both planes.
//!
//! Two spellings are read: ADO.NET (`Server=tcp:host,1433;Database=db;User ID=u;Password=p;Encrypt=true`) and URLs
//! (`mssql://u:p@host:1433/db?encrypt=true&trust_server_certificate=false`). Encryption is required and the
//! certificate is verified unless the string says otherwise. A key that is not known is refused by name, so that a
//! misspelt `Encrpyt=true` never passes in silence. No message and no `Debug` output ever repeats the string or the
//! password.

use crate::secret::{Secret, is_nearly};
use std::fmt;
use std::time::Duration;

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
    pub user: String,
    pub password: Secret,
    pub encryption: Encryption,
    pub trust_server_certificate: bool,
    /// PEM or DER file with the certificate's authority.
    pub host_name_in_certificate: Option<String>,
    pub application: String,
    pub connect_timeout: Duration,
    /// `ApplicationIntent=ReadOnly`: a listener may lead the connection to a readable secondary replica.
    pub read_only: bool,
    /// Settings that were read and have no effect.
    pub warnings: Vec<String>,
}

/// A connection string that cannot be used. Never repeats the string.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConnectionError {
    #[error("the connection string lacks {0}")]
    Missing(&'static str),
    #[error(
        "the connection string has an unknown setting `{0}`: known are Server, Database, User ID, Password, Encrypt, \
            TrustServerCertificate, HostNameInCertificate, Application Name, ApplicationIntent, Connect Timeout. A \
            value that contains `;` must be quoted, as in Password=\"a;b\""
    )]
    Unknown(String),
    #[error("the connection string sets `{0}` twice")]
    Twice(String),
    #[error("the connection string's `{key}` must be {expected}")]
    Value { key: String, expected: &'static str },
    #[error("the connection string is malformed near its part number {part}: {problem}")]
    Malformed { part: usize, problem: &'static str },
    #[error("`{feature}` is not supported yet: {remedy}")]
    Unsupported {
        feature: String,
        remedy: &'static str,
    },
}

const KEY_VALUE: &str =
    "a setting is written key=value, and a value that contains ; is quoted, as in Password=\"a;b\"";
const PORT: u16 = 1433;
const CONNECT_TIMEOUT_S: u64 = 15;

impl Connection {
    /// Reads an ADO.NET string or a `mssql://` URL.
    pub fn parse(text: &str) -> Result<Self, ConnectionError> {
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
        build(settings)
    }

    /// `host:port` or `host\instance`, for messages.
    pub fn server(&self) -> String {
        match (&self.port, &self.instance) {
            (Some(port), _) => format!("{}:{port}", self.host),
            (None, Some(instance)) => format!("{}\\{instance}", self.host),
            (None, None) => format!("{}:{PORT}", self.host),
        }
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

/// A setting that this build understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Setting {
    Server,
    Port,
    Database,
    User,
    Password,
    Encrypt,
    Trust,
    HostNameInCertificate,
    Application,
    ConnectTimeout,
    Intent,
    IntegratedSecurity,
    Authentication,
    /// Accepted, reported, without effect.
    Ignored,
}

/// The names of the settings, folded.
const NAMES: [(&str, Setting); 37] = [
    ("server", Setting::Server),
    ("datasource", Setting::Server),
    ("addr", Setting::Server),
    ("address", Setting::Server),
    ("networkaddress", Setting::Server),
    ("port", Setting::Port),
    ("database", Setting::Database),
    ("initialcatalog", Setting::Database),
    ("userid", Setting::User),
    ("uid", Setting::User),
    ("user", Setting::User),
    ("username", Setting::User),
    ("password", Setting::Password),
    ("pwd", Setting::Password),
    ("encrypt", Setting::Encrypt),
    ("trustservercertificate", Setting::Trust),
    ("hostnameincertificate", Setting::HostNameInCertificate),
    ("applicationname", Setting::Application),
    ("app", Setting::Application),
    ("connecttimeout", Setting::ConnectTimeout),
    ("connectiontimeout", Setting::ConnectTimeout),
    ("timeout", Setting::ConnectTimeout),
    ("applicationintent", Setting::Intent),
    ("integratedsecurity", Setting::IntegratedSecurity),
    ("trustedconnection", Setting::IntegratedSecurity),
    ("authentication", Setting::Authentication),
    ("multisubnetfailover", Setting::Ignored),
    ("persistsecurityinfo", Setting::Ignored),
    ("pooling", Setting::Ignored),
    ("multipleactiveresultsets", Setting::Ignored),
    ("mars", Setting::Ignored),
    ("minpoolsize", Setting::Ignored),
    ("maxpoolsize", Setting::Ignored),
    ("packetsize", Setting::Ignored),
    ("workstationid", Setting::Ignored),
    ("connectretrycount", Setting::Ignored),
    ("connectretryinterval", Setting::Ignored),
];

/// Settings of other drivers, folded: not understood here, and no secret.
const OF_OTHERS: [&str; 11] = [
    "attachdbfilename",
    "columnencryptionsetting",
    "commandtimeout",
    "currentlanguage",
    "driver",
    "enlist",
    "failoverpartner",
    "ipaddresspreference",
    "networklibrary",
    "servercertificate",
    "serverspn",
];

fn fold(key: &str) -> String {
    key.chars()
        .filter(|c| !matches!(c, ' ' | '_' | '-'))
        .map(|c| c.to_ascii_lowercase())
        .collect()
}

fn setting(key: &str) -> Option<Setting> {
    let folded = fold(key);
    let known = NAMES.into_iter().find(|(name, _)| *name == folded);
    known.map(|(_, setting)| setting)
}

type Settings = Vec<(String, String)>;

/// Splits `key=value;...`. A value may stand in double or single quotes (doubled inside) or, as ODBC writes it, in
/// braces.
fn settings_of_ado(text: &str) -> Result<Settings, ConnectionError> {
    let mut settings = Vec::new();
    let mut rest = text;
    let mut part = 0;
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == ';');
        if rest.is_empty() {
            return Ok(settings);
        }
        part += 1;
        let malformed = |problem| ConnectionError::Malformed { part, problem };
        let equals = rest.find('=').ok_or_else(|| malformed(KEY_VALUE))?;
        if rest[..equals].contains(';') {
            return Err(malformed(KEY_VALUE));
        }
        let key = rest[..equals].trim().to_owned();
        if key.is_empty() {
            return Err(malformed("a setting has no name"));
        }
        let value = rest[equals + 1..].trim_start();
        let closing = match value.chars().next() {
            Some('"') => Some('"'),
            Some('\'') => Some('\''),
            Some('{') => Some('}'),
            _ => None,
        };
        match closing {
            Some(quote) => {
                let (inner, after) = quoted(&value[1..], quote)
                    .ok_or_else(|| malformed("a quoted value is not closed"))?;
                let after = after.trim_start();
                if !(after.is_empty() || after.starts_with(';')) {
                    return Err(malformed(
                        "text follows a quoted value; put ; between settings",
                    ));
                }
                settings.push((key, inner));
                rest = after;
            }
            None => {
                let end = value.find(';').unwrap_or(value.len());
                settings.push((key, value[..end].trim_end().to_owned()));
                rest = &value[end..];
            }
        }
    }
}

/// Reads up to the closing quote (doubled stands for one); returns the value and what follows.
fn quoted(text: &str, quote: char) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        if c != quote {
            value.push(c);
        } else if matches!(chars.peek(), Some((_, next)) if *next == quote) {
            value.push(quote);
            chars.next();
        } else {
            return Some((value, &text[at + c.len_utf8()..]));
        }
    }
    None
}

fn settings_of_url(text: &str) -> Result<Settings, ConnectionError> {
    let malformed = |problem| ConnectionError::Malformed { part: 1, problem };
    let url = url::Url::parse(text).map_err(|_| {
        malformed("write mssql://user:password@host:1433/database and percent-encode special characters such as @ : / \
            # in the password")
    })?;
    let decode = |part: &str| -> Result<String, ConnectionError> {
        percent_decode(part)
            .ok_or_else(|| malformed("a % is not followed by two hex digits of UTF-8"))
    };
    let mut settings = Settings::new();
    let host = url
        .host_str()
        .filter(|host| !host.is_empty())
        .ok_or(ConnectionError::Missing("a host"))?;
    let host = decode(host.trim_start_matches('[').trim_end_matches(']'))?;
    settings.push(("Server".into(), host));
    if let Some(port) = url.port() {
        settings.push(("Port".into(), port.to_string()));
    }
    if !url.username().is_empty() {
        settings.push(("User ID".into(), decode(url.username())?));
    }
    if let Some(password) = url.password() {
        settings.push(("Password".into(), decode(password)?));
    }
    let path = url.path().trim_start_matches('/');
    if path.contains('/') {
        return Err(malformed("the path names one database"));
    }
    if !path.is_empty() {
        settings.push(("Database".into(), decode(path)?));
    }
    for pair in url
        .query()
        .unwrap_or_default()
        .split('&')
        .filter(|pair| !pair.is_empty())
    {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        settings.push((decode(key)?, decode(value)?));
    }
    Ok(settings)
}

fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        if byte == b'%' {
            let hex = after
                .get(..2)
                .and_then(|hex| std::str::from_utf8(hex).ok())?;
            if !hex.bytes().all(|digit| digit.is_ascii_hexdigit()) {
                return None;
            }
            bytes.push(u8::from_str_radix(hex, 16).ok()?);
            rest = &after[2..];
        } else {
            bytes.push(byte);
            rest = after;
        }
    }
    String::from_utf8(bytes).ok()
}

fn build(settings: Settings) -> Result<Connection, ConnectionError> {
    let mut connection = Connection {
        host: String::new(),
        port: None,
        instance: None,
        database: String::new(),
        user: String::new(),
        password: Secret::new(""),
        encryption: Encryption::Required,
        trust_server_certificate: false,
        host_name_in_certificate: None,
        application: "icesync".into(),
        connect_timeout: Duration::from_secs(CONNECT_TIMEOUT_S),
        read_only: false,
        warnings: Vec::new(),
    };
    let mut seen: Vec<Setting> = Vec::new();
    for (key, value) in settings {
        let known = setting(&key).ok_or_else(|| ConnectionError::Unknown(printable(&key)))?;
        if known != Setting::Ignored && seen.contains(&known) {
            return Err(ConnectionError::Twice(key));
        }
        seen.push(known);
        apply(&mut connection, known, &key, value)?;
    }
    if connection.host.is_empty() {
        return Err(ConnectionError::Missing("a server (Server=host,port)"));
    }
    if connection.user.is_empty() {
        return Err(ConnectionError::Missing("a user (User ID=...)"));
    }
    if !seen.contains(&Setting::Password) {
        return Err(ConnectionError::Missing("a password (Password=...)"));
    }
    if connection.port.is_some() {
        // A port names the instance already.
        connection.instance = None;
    }
    Ok(connection)
}

/// An unknown key, if it is close to a known one: behind a misplaced `;` it is the rest of a password.
fn printable(key: &str) -> String {
    let names = NAMES.iter().map(|(name, _)| *name).chain(OF_OTHERS);
    if is_nearly(&fold(key), names) {
        key.to_owned()
    } else {
        "(not shown)".into()
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
        Setting::Trust => {
            connection.trust_server_certificate =
                boolean(&value).ok_or_else(|| bad("true or false"))?;
        }
        Setting::HostNameInCertificate => {
            connection.host_name_in_certificate = Some(value).filter(|name| !name.is_empty());
        }
        Setting::Application => connection.application = value,
        Setting::ConnectTimeout => {
            let seconds: u32 = value.parse().map_err(|_| bad("a number of seconds"))?;
            // ADO.NET: 0 waits for ever; a day is as good and keeps every wait bounded.
            let seconds = if seconds == 0 { 86_400 } else { seconds };
            connection.connect_timeout = Duration::from_secs(u64::from(seconds));
        }
        Setting::Intent => {
            connection.read_only = match fold(&value).as_str() {
                "readonly" => true,
                "readwrite" => false,
                _ => return Err(bad("ReadOnly or ReadWrite")),
            };
        }
        Setting::IntegratedSecurity => {
            let wanted = value.eq_ignore_ascii_case("sspi")
                || boolean(&value).ok_or_else(|| bad("true, false or SSPI"))?;
            if wanted {
                return Err(ConnectionError::Unsupported {
                    feature: format!("{key}=true"),
                    remedy: "use a SQL login (User ID and Password)",
                });
            }
        }
        Setting::Authentication => {
            let plain: String = value.chars().filter(|c| !c.is_whitespace()).collect();
            if !plain.eq_ignore_ascii_case("sqlpassword") {
                return Err(ConnectionError::Unsupported {
                    feature: "Authentication other than Sql Password".into(),
                    remedy: "use a SQL login (User ID and Password)",
                });
            }
        }
        Setting::Ignored => connection
            .warnings
            .push(format!("the connection setting `{key}` has no effect here")),
    }
    Ok(())
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

fn boolean(value: &str) -> Option<bool> {
    match value.to_ascii_lowercase().as_str() {
        "true" | "yes" | "1" => Some(true),
        "false" | "no" | "0" => Some(false),
        _ => None,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ado_strings_are_read_with_their_synonyms_and_quotes() {
        let c = Connection::parse(
            "Data Source=tcp:db.example.com,1444; Initial \
                Catalog=sales;UID=app;PWD=\"a;b\"\"c\";Encrypt=Mandatory;TrustServerCertificate=yes;Application \
                Name='it''s me';Connect Timeout=5;MultiSubnetFailover=true",
        )
        .unwrap();
        assert_eq!(c.host, "db.example.com");
        assert_eq!(c.port, Some(1444));
        assert_eq!(c.database, "sales");
        assert_eq!(c.user, "app");
        assert_eq!(c.password.expose(), "a;b\"c");
        assert_eq!(c.application, "it's me");
        assert_eq!(c.encryption, Encryption::Required);
        assert!(c.trust_server_certificate);
        assert_eq!(c.connect_timeout, Duration::from_secs(5));
        assert_eq!(c.warnings.len(), 1);
        assert_eq!(c.server(), "db.example.com:1444");
        let braces = Connection::parse("server=h;user id=u;password={p;}}w}").unwrap();
        assert_eq!(braces.password.expose(), "p;}w");
    }

    #[test]
    fn defaults_are_encrypted_and_verified() {
        let c = Connection::parse("Server=h;User ID=u;Password=").unwrap();
        assert_eq!(c.known_port(), Some(1433));
        assert_eq!(c.encryption, Encryption::Required);
        assert!(!c.trust_server_certificate);
        assert_eq!(c.password.expose(), "");
    }

    #[test]
    fn an_intent_to_read_is_understood() {
        let read_only = |intent: &str| {
            let c = Connection::parse(&format!("Server=h;UID=u;PWD=p;{intent}"));
            c.map(|c| c.read_only)
        };
        assert_eq!(read_only(""), Ok(false));
        assert_eq!(read_only("ApplicationIntent=ReadOnly"), Ok(true));
        assert_eq!(read_only("Application Intent=read-only"), Ok(true));
        assert_eq!(read_only("applicationintent=READWRITE"), Ok(false));
        let refusal = read_only("ApplicationIntent=Write")
            .unwrap_err()
            .to_string();
        assert!(refusal.contains("ReadOnly or ReadWrite"), "{refusal}");
        let url = Connection::parse("mssql://u:p@h/d?application_intent=readonly").unwrap();
        assert!(url.read_only);
    }

    #[test]
    fn servers_instances_and_ports() {
        for (text, host, port, instance) in [
            (r"h\SQLEXPRESS", "h", None, Some("SQLEXPRESS")),
            (r"h\SQLEXPRESS,1500", "h", Some(1500), None),
            (r"h\MSSQLSERVER", "h", Some(1433), None),
            (".", "localhost", Some(1433), None),
            ("(local),99", "localhost", Some(99), None),
            ("tcp:[::1],1433", "::1", Some(1433), None),
        ] {
            let c = Connection::parse(&format!("Server={text};UID=u;PWD=p")).unwrap();
            assert_eq!(c.host, host, "{text}");
            assert_eq!(c.known_port(), port, "{text}");
            assert_eq!(c.instance.as_deref(), instance, "{text}");
        }
    }

    #[test]
    fn urls_are_percent_decoded() {
        let c = Connection::parse(
            "mssql://ap%40p:p%3Aw%2F%E2%82%AC@db.example.com:1500/my%20db?encrypt=false&trust_server_certificate=true&a\
                pplication_name=x",
        )
        .unwrap();
        assert_eq!(c.user, "ap@p");
        assert_eq!(c.password.expose(), "p:w/€");
        assert_eq!((c.host.as_str(), c.port), ("db.example.com", Some(1500)));
        assert_eq!(c.database, "my db");
        assert_eq!(c.encryption, Encryption::Optional);
        assert!(c.trust_server_certificate);
        let v6 = Connection::parse("sqlserver://u:p@[::1]:1433/db").unwrap();
        assert_eq!(v6.host, "::1");
    }

    #[test]
    fn refusals_name_the_problem_and_never_the_string() {
        let secrets = ["hunter2xyz", "hunterxyz", "hunter two"];
        for (text, expected) in [
            ("", "lacks everything"),
            ("Database=d;UID=u;PWD=hunter2xyz", "lacks a server"),
            ("Server=h;PWD=hunter2xyz", "lacks a user"),
            ("Server=h;UID=u", "lacks a password"),
            (
                "Server=h;UID=u;PWD=hunter2xyz;Encrpyt=true",
                "unknown setting `Encrpyt`",
            ),
            ("Server=h;UID=u;PWD=a;hunter2xyz=1", "not shown"),
            ("Server=h;UID=u;PWD=a;hunter2xyz", "key=value"),
            ("Server=h;UID=u;PWD='hunter2xyz", "not closed"),
            ("Server=h;UID=u;User=v;PWD=hunter2xyz", "twice"),
            (
                "Server=h;UID=u;PWD=hunter2xyz;Encrypt=maybe",
                "`Encrypt` must be",
            ),
            (
                "Server=h;UID=u;PWD=hunter2xyz;Encrypt=strict",
                "not supported yet",
            ),
            ("Server=h;Integrated Security=SSPI", "not supported yet"),
            (
                "Server=h;Authentication=ActiveDirectoryDefault",
                "not supported yet",
            ),
            ("Server=h,99999;UID=u;PWD=hunter2xyz", "port from 1"),
            ("Server=h:1433;UID=u;PWD=hunter2xyz", "comma"),
            ("Server=np:h;UID=u;PWD=hunter2xyz", "TCP"),
            ("mssql://u:hunter2xyz%zz@h/d", "hex digits"),
            ("mssql://u:hunter2xyz@h:nope/d", "percent-encode"),
            ("mssql://u:hunter2xyz@h/a/b", "one database"),
            ("mssql://u:hunter2xyz@h/d?frob=1", "(not shown)"),
            (
                "mssql://u:hunter2xyz@h/d?encrpyt=1",
                "unknown setting `encrpyt`",
            ),
            ("Server=h;UID=u;Password=ab;hunterxyz=9", "must be quoted"),
            ("Server=h;UID=u;Password=ab;hunter two=9", "`(not shown)`"),
            ("Server=h;UID=u;Passwort=hunter2xyz", "setting `Passwort`"),
            ("Server=h;Usr=hunter2xyz", "setting `Usr`"),
            (
                "Server=h;Failover Partner=hunter2xyz",
                "setting `Failover Partner`",
            ),
        ] {
            let error = Connection::parse(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
            assert!(
                secrets.iter().all(|secret| !error.contains(secret)),
                "{text}: {error}"
            );
        }
    }

    #[test]
    fn passwords_are_never_shown() {
        let c = Connection::parse("Server=h;UID=u;PWD=hunter2xyz;Database=d").unwrap();
        assert!(!format!("{c:?} {c}").contains("hunter2xyz"));
        assert_eq!(format!("{:?}", c.password), "***");
        assert_eq!(c.to_string(), "h:1433/d");
    }
}
