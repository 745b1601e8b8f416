//! Why there is no token.

/// Why there is no token. Never repeats a secret or a text from outside.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum TokenFailure {
    /// This machine does not have such a login.
    #[error("{0}")]
    Unavailable(String),
    /// Asking again does not help.
    #[error("{0}")]
    Refused(String),
    /// Asking again later may help.
    #[error("{0}")]
    Passing(String),
    /// There is no such endpoint. It may be starting, or the network away; more likely it is not there.
    #[error("{0}")]
    Absent(String),
}

impl TokenFailure {
    /// Whether asking again later may help.
    pub(super) fn passes(&self) -> bool {
        matches!(self, TokenFailure::Passing(_) | TokenFailure::Absent(_))
    }
}
