//! Why a connection string cannot be used.

/// A connection string that cannot be used. Never repeats the string.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConnectionError {
    #[error("the connection string lacks {0}")]
    Missing(&'static str),
    #[error(
        "the connection string has an unknown setting `{0}`. The usual ones are Server, Database, User ID, Password, \
            Authentication, Encrypt, TrustServerCertificate, HostNameInCertificate, Application Name, \
            ApplicationIntent, MultiSubnetFailover, Connect Timeout, Command Timeout. A value that contains `;` must \
            be quoted, as in Password=\"a;b\""
    )]
    Unknown(String),
    #[error("the connection string sets `{0}` twice")]
    Twice(String),
    #[error("the connection string's `{key}` must be {expected}")]
    Value { key: String, expected: &'static str },
    #[error("the connection string is malformed near its part number {part}: {problem}")]
    Malformed { part: usize, problem: &'static str },
    #[error("`{feature}` is not supported: {remedy}")]
    Unsupported {
        feature: String,
        remedy: &'static str,
    },
    #[error("the connection string sets `{first}`, which does not go with {other}: {remedy}")]
    Contradiction {
        first: &'static str,
        other: &'static str,
        remedy: &'static str,
    },
}
