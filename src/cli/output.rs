//! Results on stdout, as text or as one JSON document; failures on stderr.
//!
//! A report that cannot be written is a failure, because a caller that reads it would take the run for done. A reader
//! that went away (`| head`) is none, and neither is a stderr that takes nothing: there is no place left to say so.

use icesync::error::{Disposition, Error, Kind};
use icesync::report::{ErrorReport, Listing, RunReport};
use serde::Serialize;
use std::fmt::Display;
use std::io::{self, Write as _};

/// How a command prints what it found or did.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    pub json: bool,
}

impl Output {
    /// Prints the report of a run; the exit code is the run's.
    pub fn finish(self, report: &RunReport) -> u8 {
        self.document(report, RunReport::text, report.exit_code())
    }

    /// Prints one document; the exit code is `code` unless it cannot be written.
    pub fn document<T: Serialize>(self, document: &T, text: fn(&T) -> String, code: u8) -> u8 {
        let written = if self.json {
            print_json(document)
        } else {
            print(&text(document))
        };
        exit_code(written, code)
    }

    /// Prints the reports of a command that only looks; a table that failed makes the exit code, as in a run.
    pub fn show<T: Serialize>(self, listing: &Listing<T>, text: fn(&T) -> String) -> u8 {
        let written = if self.json {
            print_json(listing)
        } else {
            let warnings = listing.warnings.iter();
            let warnings = warnings.map(|warning| format!("warning: {warning}\n"));
            let mut texts = listing.tables.iter().map(text).chain(warnings);
            texts.try_for_each(|text| print(&text))
        };
        for error in &listing.errors {
            say(&error.message);
        }
        exit_code(written, listing.exit_code())
    }

    /// Prints why a command failed as a whole; the exit code says whether to try again.
    pub fn fail(self, error: &Error) -> u8 {
        let written = if self.json {
            print_json(&serde_json::json!({ "error": ErrorReport::of(error) }))
        } else {
            Ok(())
        };
        say(error.report());
        let code = match (error.kind(), error.disposition()) {
            (Kind::Config, _) => 2,
            (_, Disposition::Transient) => 75,
            (_, Disposition::Definite | Disposition::Ambiguous | Disposition::Interrupted) => 1,
        };
        exit_code(written, code)
    }
}

/// An error of the configuration or of the command line.
pub fn config_error(
    message: impl Into<Box<dyn std::error::Error + Send + std::marker::Sync>>,
) -> Error {
    Error::new(Kind::Config, Disposition::Definite, message)
}

/// A line on stderr; one that cannot be written is lost.
pub fn say(message: impl Display) {
    let _ = writeln!(io::stderr().lock(), "icesync: {message}");
}

/// The exit code of a command whose report was written, or was not.
fn exit_code(written: io::Result<()>, code: u8) -> u8 {
    let Err(error) = written else { return code };
    let outcome = if code == 0 { "succeeded" } else { "failed" };
    say(format_args!(
        "cannot write the report to stdout: {error}. The command itself {outcome}; `icesync status` shows how far \
         each table is"
    ));
    code.max(1)
}

fn print_json(document: &impl Serialize) -> io::Result<()> {
    let text = serde_json::to_string_pretty(document)?;
    print(&(text + "\n"))
}

/// Writes to stdout.
fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}
