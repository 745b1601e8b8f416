//! What a run says once for all tables of a source.

/// Something about a server, a database or a login that concerns more than one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Of two notices about the same, a run says the first.
    pub about: &'static str,
    pub text: String,
}
