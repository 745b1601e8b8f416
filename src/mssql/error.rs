//! What SQL Server or the way to it can refuse, and what a caller may do about it.
//!
//! The classes are SQL Server's documented ones: errors that undo the statement's transaction and ask for a retry,
//! errors of a server that is moving or throttling (retry after reconnecting), and everything else, which fails
//! again until somebody changes something. One thing is decided by the caller rather than the error: whether a
//! reply that never came may have been a commit (`in_doubt`).

use crate::error::{Disposition, Error, Kind};
use crate::secret::RowValue;
use std::fmt;
use std::time::Duration;

pub use super::message::ServerMessage;

/// An error message of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerError {
    pub number: u32,
    /// Severity: 11 to 16 are the statement's fault, 20 and above close the session.
    pub class: u8,
    pub state: u8,
    pub message: ServerMessage,
    /// Procedure or trigger that raised it, where there is one.
    pub procedure: Option<String>,
    pub line: u32,
    /// The first characters of the statement's text; never a parameter value.
    pub statement: String,
}

impl ServerError {
    /// Whether the session is over: the server closes it from severity 20 on, and a server that moves or shuts down
    /// gives up its sessions at a lower severity, too.
    pub(super) fn ends_session(&self) -> bool {
        self.class >= 20 || GIVES_UP_SESSIONS.contains(&self.number)
    }
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SQL Server error {}: {}", self.number, self.message)?;
        if let Some(procedure) = &self.procedure {
            write!(f, " (in {procedure}, line {})", self.line)?;
        }
        if let Some(remedy) = remedy(self.number) {
            write!(f, "; {remedy}")?;
        }
        if !self.statement.is_empty() {
            write!(f, " [while running: {}]", self.statement)?;
        }
        Ok(())
    }
}

/// A value that cannot be carried over exactly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConversionError {
    pub table: String,
    pub column: String,
    /// The column's type, as declared.
    pub ty: String,
    /// What is wrong with the value, and the row where it is known.
    pub problem: String,
    pub remedy: String,
}

impl fmt::Display for ConversionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "column {} ({}) of {}: {}; {}",
            self.column, self.ty, self.table, self.problem, self.remedy
        )
    }
}

/// A character that a column's code page does not have, as far as this machine knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostCharacter {
    pub column: String,
    /// Windows' number of it.
    pub code_page: u32,
    pub character: char,
    /// The beginning of the text.
    pub text: RowValue<String>,
    /// The server does not have it either.
    pub is_certain: bool,
}

impl fmt::Display for LostCharacter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            column,
            code_page,
            character,
            text,
            ..
        } = self;
        let code = u32::from(*character);
        write!(
            f,
            "{column}: {text} (character U+{code:04X} is not in code page {code_page})"
        )
    }
}

/// A failure of either plane.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MssqlError {
    #[error(
        "cannot reach SQL Server at {server}: {reason}; check the host, the port and that the server accepts TCP \
            connections"
    )]
    Unreachable { server: String, reason: String },
    #[error(
        "cannot open a connection to SQL Server at {server}: too many files are open. Raise the limit of the process \
            (`ulimit -n`, or LimitNOFILE= in a unit of systemd) or of the machine (`sysctl fs.file-max`), or lower \
            `parallel_tables` and `parallel_channels`"
    )]
    OpenFiles { server: String },
    #[error(
        "TLS with {server} failed: {reason}; install the certificate's authority on this machine, or write \
            HostNameInCertificate if the certificate has another name{}", unprotected(*.with_token)
    )]
    Tls {
        server: String,
        reason: String,
        /// The login is an access token, which is worth more than a look at the data.
        with_token: bool,
    },
    #[error("login to {server} refused: {error}")]
    Login {
        server: String,
        error: Box<ServerError>,
    },
    #[error("no access token to log in to {server}: {reason}")]
    Token {
        server: String,
        reason: String,
        is_transient: bool,
        /// What was asked for it is not there: starting, unreachable or misnamed.
        is_absent: bool,
    },
    #[error("cannot log in to {server} with Kerberos: {reason}")]
    Ticket {
        server: String,
        reason: String,
        is_transient: bool,
        /// No KDC is known for the realm: out of order, or misnamed.
        is_absent: bool,
    },
    #[error("{0}")]
    Server(Box<ServerError>),
    #[error("no answer from {server} within {seconds} s [while running: {statement}]{}", doubt(*.in_doubt))]
    Timeout {
        server: String,
        seconds: u64,
        statement: String,
        in_doubt: bool,
    },
    #[error("connection to {server} lost: {reason} [while running: {statement}]{}", doubt(*.in_doubt))]
    Lost {
        server: String,
        reason: String,
        statement: String,
        in_doubt: bool,
    },
    #[error(
        "{server} answered in a way this build does not understand: {reason}; please report this"
    )]
    Protocol { server: String, reason: String },
    #[error("{0}")]
    Conversion(ConversionError),
    #[error("{0}")]
    LostCharacter(LostCharacter),
    #[error("the result does not have the promised shape: {0}")]
    Shape(String),
    #[error("{feature} is not supported: {remedy}")]
    Unsupported { feature: String, remedy: String },
    #[error("stopped: the receiving side went away")]
    Stopped,
}

fn doubt(in_doubt: bool) -> &'static str {
    if in_doubt {
        "; whether the statement took effect is not known and will be looked up"
    } else {
        ""
    }
}

/// The remedies that give up protection. Not for a token: a server that is not the right one could use it.
fn unprotected(with_token: bool) -> &'static str {
    if with_token {
        ""
    } else {
        ", or TrustServerCertificate=true to accept any certificate, or Encrypt=false to send data in the clear"
    }
}

impl MssqlError {
    /// Of a login by an access token.
    pub(super) fn of_token(self) -> Self {
        match self {
            MssqlError::Tls { server, reason, .. } => MssqlError::Tls {
                server,
                reason,
                with_token: true,
            },
            other => other,
        }
    }

    /// What the caller may do.
    pub fn disposition(&self) -> Disposition {
        match self {
            MssqlError::Unreachable { .. } => Disposition::Transient,
            MssqlError::Login { error, .. } | MssqlError::Server(error) => {
                server_disposition(error.number)
            }
            MssqlError::Timeout { in_doubt, .. } | MssqlError::Lost { in_doubt, .. } => {
                if *in_doubt {
                    Disposition::Ambiguous
                } else {
                    Disposition::Transient
                }
            }
            MssqlError::Token {
                is_transient: true, ..
            }
            | MssqlError::Ticket {
                is_transient: true, ..
            } => Disposition::Transient,
            MssqlError::Token { .. }
            | MssqlError::Ticket { .. }
            | MssqlError::OpenFiles { .. }
            | MssqlError::Tls { .. }
            | MssqlError::Protocol { .. }
            | MssqlError::Conversion(_)
            | MssqlError::LostCharacter(_)
            | MssqlError::Shape(_)
            | MssqlError::Unsupported { .. }
            | MssqlError::Stopped => Disposition::Definite,
        }
    }

    /// A connection that could not be made. Drivers keep the system's error as text.
    pub(super) fn unreachable(server: String, reason: String) -> Self {
        let is_out_of_files = ["(os error 24)", "(os error 23)"]
            .into_iter()
            .any(|code| reason.contains(code));
        match is_out_of_files {
            true => MssqlError::OpenFiles { server },
            false => MssqlError::Unreachable { server, reason },
        }
    }

    /// The server's error number, where the server raised it.
    pub fn number(&self) -> Option<u32> {
        match self {
            MssqlError::Login { error, .. } | MssqlError::Server(error) => Some(error.number),
            MssqlError::Unreachable { .. }
            | MssqlError::OpenFiles { .. }
            | MssqlError::Token { .. }
            | MssqlError::Ticket { .. }
            | MssqlError::Tls { .. }
            | MssqlError::Timeout { .. }
            | MssqlError::Lost { .. }
            | MssqlError::Protocol { .. }
            | MssqlError::Conversion(_)
            | MssqlError::LostCharacter(_)
            | MssqlError::Shape(_)
            | MssqlError::Unsupported { .. }
            | MssqlError::Stopped => None,
        }
    }

    /// How long the server asks to be left alone before the next attempt.
    pub fn pause(&self) -> Option<Duration> {
        let (MssqlError::Login { error, .. } | MssqlError::Server(error)) = self else {
            return None;
        };
        let throttles = THROTTLES.contains(&error.number);
        throttles.then(|| asked_pause(error.message.whole()).unwrap_or(THROTTLED_PAUSE))
    }

    /// Whether the name of the server, of the database, of an endpoint of Entra ID or of a Kerberos realm may be
    /// wrong, which no retry mends.
    pub fn may_be_misnamed(&self) -> bool {
        match self {
            MssqlError::Unreachable { reason, .. } => reason.contains(NO_ADDRESS),
            MssqlError::Token { is_absent, .. } | MssqlError::Ticket { is_absent, .. } => {
                *is_absent
            }
            other => other.number() == Some(CANNOT_OPEN_DATABASE),
        }
    }

    /// Whether no connection could be made, and one may be made later.
    pub fn is_outage(&self) -> bool {
        let connects = matches!(
            self,
            MssqlError::Unreachable { .. }
                | MssqlError::Login { .. }
                | MssqlError::Token { .. }
                | MssqlError::Ticket { .. }
        );
        connects && self.disposition() == Disposition::Transient
    }

    /// The answer to a statement that may commit, of a session that was closed here.
    pub fn cut(server: String) -> Self {
        MssqlError::Lost {
            server,
            reason: "the run was ended by a signal".into(),
            statement: "the transaction of the load".into(),
            in_doubt: true,
        }
    }

    /// As the error of the upper modules, on the side that was being talked to.
    pub fn on(self, kind: Kind) -> Error {
        let disposition = self.disposition();
        Error::new(kind, disposition, self)
    }
}

/// Numbers after which the server has undone the transaction and the same work may succeed at once.
const RETRY_TRANSACTION: [u32; 15] = [
    701, 1204, 1205, 1222, 3958, 3960, 3961, 3966, 8645, 13535, 41301, 41302, 41305, 41325, 41839,
];

/// Numbers of a connection that went away, or a server that is starting, moving or throttling.
const RETRY_CONNECTION: [u32; 26] = [
    20, 64, 121, 233, 596, 976, 983, 4060, 4221, 6005, 10053, 10054, 10060, 10928, 10929, 17142,
    40143, 40197, 40501, 40540, 40613, 42108, 42109, 49918, 49919, 49920,
];

/// Numbers of a server that gives up its sessions, whatever the severity: the session is killed, the server shuts
/// down or moves the database.
const GIVES_UP_SESSIONS: [u32; 5] = [596, 6005, 40143, 40197, 40540];

/// Numbers of a server that throttles. Microsoft's guidance, and some of the texts, ask for this pause.
const THROTTLES: [u32; 6] = [10928, 10929, 40501, 49918, 49919, 49920];
const THROTTLED_PAUSE: Duration = Duration::from_secs(10);
/// No pause that a text asks for is longer.
const PAUSE_MAX: Duration = Duration::from_secs(300);

/// A host without an address, in the words of the standard library.
const NO_ADDRESS: &str = "failed to lookup address";

/// The database cannot be opened: it is starting or moving, or there is none of that name.
const CANNOT_OPEN_DATABASE: u32 = 4060;

fn server_disposition(number: u32) -> Disposition {
    if RETRY_TRANSACTION.contains(&number) || RETRY_CONNECTION.contains(&number) {
        Disposition::Transient
    } else {
        Disposition::Definite
    }
}

/// The seconds that a text names.
fn asked_pause(message: &str) -> Option<Duration> {
    let words: Vec<&str> = message.split_whitespace().collect();
    let mut pairs = words.windows(2);
    let seconds = pairs.find_map(|pair| {
        let names = pair[1].to_ascii_lowercase().starts_with("second");
        pair[0].parse().ok().filter(|_| names)
    })?;
    Some(Duration::from_secs(seconds).min(PAUSE_MAX))
}

/// What to do about the errors that people meet most.
fn remedy(number: u32) -> Option<&'static str> {
    match number {
        18452 => Some(
            "with a Kerberos ticket, check that its user is of a domain that the server trusts and has a login on the \
                server, that the service's name is registered for the account that runs it, and that its Extended \
                Protection is not Required: icesync sends no channel binding. With a password, check that the server \
                takes SQL logins, and the user name",
        ),
        18456 => Some(
            "check the user name and the password in the connection; with a token, that its identity is a user of the \
                database; or it has expired, or is for another tenant; with a Kerberos ticket, that its user has a \
                login on the server",
        ),
        18486 => Some("the login is locked: ask an administrator to unlock it"),
        18487 | 18488 => Some("the password has expired or must be changed"),
        4060 => Some(
            "check the database name in the connection and that the login is a user of that database",
        ),
        978 => Some(
            "the connection leads to a secondary replica: add ApplicationIntent=ReadOnly to it, or connect to the \
                primary",
        ),
        208 => Some("check the name, the schema, and that the login may see the object"),
        229 | 230 | 262 | 297 | 300 | 371 | 916 => {
            Some("grant the permission that the message names to the login")
        }
        2760 => Some("create the schema, or grant the login access to it"),
        3952 => Some(
            "allow it with ALTER DATABASE ... SET ALLOW_SNAPSHOT_ISOLATION ON, or choose a strategy that needs no \
                snapshot",
        ),
        41332 => Some(
            "a session under SNAPSHOT cannot read memory-optimized tables: set `change: { isolation: read_committed }`",
        ),
        547 => Some(
            "a check or foreign key of the table refuses a row: disable it with ALTER TABLE ... NOCHECK CONSTRAINT, or \
                drop it",
        ),
        2601 | 2627 => Some(
            "if the index that the message names is not the key's, drop it or create it again without UNIQUE",
        ),
        7738 => Some("the server does not compress tables: set `create: { compression: false }`"),
        1105 | 9002 => Some("the database or its log is full: make room and run again"),
        _ => None,
    }
}

/// The first 80 characters of a statement on one line, for messages.
pub(super) fn excerpt(sql: &str) -> String {
    let mut text = String::new();
    for word in sql.split_whitespace() {
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(word);
        if text.len() > 400 {
            break;
        }
    }
    match text.char_indices().nth(80) {
        Some((at, _)) => format!("{}...", &text[..at]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(number: u32) -> MssqlError {
        MssqlError::Server(Box::new(ServerError {
            number,
            class: 16,
            state: 1,
            message: ServerMessage::new(number, "m"),
            procedure: None,
            line: 1,
            statement: "SELECT 1".into(),
        }))
    }

    #[test]
    fn dispositions_follow_the_error_classes() {
        for number in RETRY_TRANSACTION.into_iter().chain(RETRY_CONNECTION) {
            assert_eq!(
                server(number).disposition(),
                Disposition::Transient,
                "{number}"
            );
        }
        for number in [208, 229, 2627, 18456, 51003, 8672] {
            assert_eq!(
                server(number).disposition(),
                Disposition::Definite,
                "{number}"
            );
        }
        for (in_doubt, expected) in [
            (true, Disposition::Ambiguous),
            (false, Disposition::Transient),
        ] {
            let lost = MssqlError::Lost {
                server: "db:1433".into(),
                reason: "reset".into(),
                statement: "COMMIT".into(),
                in_doubt,
            };
            assert_eq!(lost.disposition(), expected);
            assert_eq!(lost.to_string().contains("not known"), in_doubt);
        }
    }

    #[test]
    fn what_throttles_asks_for_a_pause() {
        let pause = |number, message: &str| {
            let MssqlError::Server(mut error) = server(number) else {
                return None;
            };
            error.message = ServerMessage::new(number, message);
            MssqlError::Server(error).pause()
        };
        let busy =
            "The service is currently busy. Retry the request after 20 seconds. Incident ID: 7";
        for (number, message, seconds) in [
            (40501, busy, Some(20)),
            (40501, "Le service est occupé.", Some(10)),
            (40501, "Retry the request after 99999 seconds.", Some(300)),
            (49918, "Not enough resources to process request.", Some(10)),
            (10929, "Resource ID: 1. The limit is 30.", Some(10)),
            (1205, busy, None),
        ] {
            let expected = seconds.map(Duration::from_secs);
            assert_eq!(pause(number, message), expected, "{number} {message}");
        }
        assert_eq!(MssqlError::Stopped.pause(), None);
    }

    #[test]
    fn only_what_hinders_a_connection_is_an_outage() {
        let login = |number| {
            let MssqlError::Server(error) = server(number) else {
                return MssqlError::Stopped;
            };
            MssqlError::Login {
                server: "db:1433".into(),
                error,
            }
        };
        let away = MssqlError::unreachable("db:1433".into(), "reset".into());
        assert!(away.is_outage() && login(40613).is_outage() && login(4060).is_outage());
        assert!(!login(18456).is_outage() && !server(40613).is_outage());
        assert!(login(4060).may_be_misnamed() && !login(40613).may_be_misnamed());
        let unknown = "failed to lookup address information: Name or service not known";
        let unknown = MssqlError::unreachable("db:1433".into(), unknown.into());
        assert!(unknown.may_be_misnamed() && !away.may_be_misnamed());
    }

    #[test]
    fn an_endpoint_that_is_not_there_may_be_misnamed() {
        let token = |is_absent| MssqlError::Token {
            server: "db:1433".into(),
            reason: "no".into(),
            is_transient: true,
            is_absent,
        };
        assert!(token(true).may_be_misnamed() && !token(false).may_be_misnamed());
        assert_eq!(token(true).disposition(), Disposition::Transient);
    }

    #[test]
    fn protection_is_not_given_up_for_a_token() {
        let failed = MssqlError::Tls {
            server: "db:1433".into(),
            reason: "unable to get local issuer certificate".into(),
            with_token: false,
        };
        let text = failed.to_string();
        assert!(text.contains("Encrypt=false"), "{text}");
        let text = failed.of_token().to_string();
        assert!(text.contains("HostNameInCertificate"), "{text}");
        assert!(!text.contains("Encrypt=false") && !text.contains("TrustServer"));
        let expired = server(18456).to_string();
        assert!(expired.contains("or it has expired"), "{expired}");
    }

    #[test]
    fn an_untrusted_login_names_extended_protection() {
        let untrusted = server(18452).to_string();
        assert!(untrusted.contains("Extended Protection"), "{untrusted}");
        assert!(untrusted.contains("channel binding"), "{untrusted}");
    }

    #[test]
    fn a_limit_on_open_files_is_named_and_not_retried() {
        for code in [23, 24] {
            let reason = std::io::Error::from_raw_os_error(code).to_string();
            let error = MssqlError::unreachable("db:1433".into(), reason);
            assert_eq!(error.disposition(), Disposition::Definite);
            let text = error.to_string();
            assert!(
                text.contains("db:1433") && text.contains("ulimit -n"),
                "{text}"
            );
        }
        let refused = std::io::Error::from_raw_os_error(111).to_string();
        let error = MssqlError::unreachable("db:1433".into(), refused);
        assert_eq!(error.disposition(), Disposition::Transient);
    }

    #[test]
    fn messages_carry_the_number_the_remedy_and_the_statement() {
        let text = server(229).to_string();
        assert!(
            text.contains("229") && text.contains("grant") && text.contains("SELECT 1"),
            "{text}"
        );
        let error = server(4060).on(Kind::Source);
        assert!(error.report().contains("check the database name"));
    }

    #[test]
    fn excerpts_are_short_and_on_one_line() {
        assert_eq!(excerpt("SELECT\n   1"), "SELECT 1");
        let long = excerpt(&"é".repeat(500));
        assert_eq!(long.chars().count(), 83);
    }
}
