//! The error that crosses module walls, and what a caller may do about it.
//!
//! Modules keep their own `thiserror` enums; each variant answers `disposition()`. The upper modules see [`Error`],
//! which adds the table it happened on. `Display` of an outer error never repeats its source: print the chain with
//! [`Error::report`].

use std::fmt;

/// What a failure means for the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// The same call may succeed later (a deadlock, a lost connection before anything was sent).
    Transient,
    /// The same call will fail again until somebody changes something.
    Definite,
    /// The call may or may not have taken effect (the reply to a commit was lost). Look for the run id before
    /// anything else.
    Ambiguous,
    /// A signal ended the work before its end. Nothing is wrong with it, and the next run does the rest.
    Interrupted,
}

/// Broad kinds, for exit codes and reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The configuration or the command line is wrong (exit 2).
    Config,
    /// The source database refused or lacks something.
    Source,
    /// The warehouse refused, is damaged, or moved under this run.
    Lake,
    /// The target database refused or lacks something.
    Target,
}

/// A failure with the side it happened on, the table, and its cause.
#[derive(Debug)]
pub struct Error {
    kind: Kind,
    table: Option<String>,
    disposition: Disposition,
    source: Box<dyn std::error::Error + Send + Sync>,
}

impl Error {
    /// Wraps a module's error.
    pub fn new(
        kind: Kind,
        disposition: Disposition,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self {
            kind,
            table: None,
            disposition,
            source: source.into(),
        }
    }

    /// Names the table; the innermost name stays.
    #[must_use]
    pub fn on_table(mut self, table: impl Into<String>) -> Self {
        self.table.get_or_insert_with(|| table.into());
        self
    }

    /// The same failure of a call that was repeated in vain: repeating it further does not help.
    #[must_use]
    pub fn for_good(mut self) -> Self {
        self.disposition = Disposition::Definite;
        self
    }

    /// The side it happened on.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The table it happened on, where there is one.
    pub fn table(&self) -> Option<&str> {
        self.table.as_deref()
    }

    /// What the caller may do.
    pub fn disposition(&self) -> Disposition {
        self.disposition
    }

    /// The whole chain in one line, outermost first, each message once.
    pub fn report(&self) -> String {
        let mut text = String::new();
        if let Some(table) = &self.table {
            text.push_str(table);
            text.push_str(": ");
        }
        let mut next: Option<&dyn std::error::Error> = Some(self.source.as_ref());
        let mut last = String::new();
        while let Some(error) = next {
            let message = error.to_string();
            if !last.contains(&message) {
                if !last.is_empty() {
                    text.push_str(": ");
                }
                text.push_str(&message);
                last = message;
            }
            next = error.source();
        }
        text
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = match self.kind {
            Kind::Config => "configuration",
            Kind::Source => "source",
            Kind::Lake => "warehouse",
            Kind::Target => "target",
        };
        match &self.table {
            Some(table) => write!(f, "{table}: {side} failed"),
            None => write!(f, "{side} failed"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(self.source.as_ref())
    }
}

/// Result of the upper modules.
pub type Result<T> = std::result::Result<T, Error>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn report_names_the_table_and_says_each_message_once() {
        let inner = std::io::Error::other("disk full");
        let error = Error::new(Kind::Lake, Disposition::Definite, inner)
            .on_table("dbo.orders")
            .on_table("outer");
        assert_eq!(error.report(), "dbo.orders: disk full");
        assert_eq!(error.to_string(), "dbo.orders: warehouse failed");
    }
}
