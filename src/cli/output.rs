//! Results on stdout, as text or as one JSON document; failures on stderr.
//!
//! A report that cannot be written is a failure, because a caller that reads it would take the run for done. A reader
//! that went away (`| head`) is none, and neither is a stderr that takes nothing: there is no place left to say so.
//!
//! Names, messages of servers and values of rows may hold control characters, which a terminal would obey. They are
//! printed as escapes, except for line ends.

use icesync::error::{Disposition, Error, Kind};
use icesync::report::{ErrorReport, Exit, Listing, RunReport};
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
        self.document(report, RunReport::text, report.exit().code())
    }

    /// Prints one document; the exit code is `code` unless it cannot be written.
    pub fn document<T: Serialize>(self, document: &T, text: fn(&T) -> String, code: u8) -> u8 {
        let written = if self.json {
            print_json(document)
        } else {
            print_text(&text(document))
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
            texts.try_for_each(|text| print_text(&text))
        };
        for error in &listing.errors {
            say(&error.message);
        }
        exit_code(written, listing.exit().code())
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
            (Kind::Config, _) => Exit::Usage,
            (_, Disposition::Transient) => Exit::Transient,
            (_, Disposition::Definite | Disposition::Ambiguous | Disposition::Interrupted) => {
                Exit::Failed
            }
        };
        exit_code(written, code.code())
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
    let message = printable(&message.to_string());
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
    code.max(Exit::Failed.code())
}

/// A text without control characters other than line ends.
pub fn printable(text: &str) -> String {
    escaped(text, |c| c.escape_unicode().to_string())
}

/// A JSON document that has none in its strings either. Of those JSON itself asks to escape only the first 32.
fn json(document: &impl Serialize) -> serde_json::Result<String> {
    let text = serde_json::to_string_pretty(document)?;
    Ok(escaped(&text, |c| format!("\\u{:04x}", u32::from(c))))
}

fn escaped(text: &str, escape: fn(char) -> String) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c.is_control() && c != '\n' {
            true => out.push_str(&escape(c)),
            false => out.push(c),
        }
    }
    out
}

fn print_json(document: &impl Serialize) -> io::Result<()> {
    print(&(json(document)? + "\n"))
}

fn print_text(text: &str) -> io::Result<()> {
    print(&printable(text))
}

/// Writes to stdout.
fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_gets_no_control_character_but_line_ends() {
        let name = "\u{1b}[2J\u{9b}1m\u{7f}\té\n";
        assert_eq!(printable(name), "\\u{1b}[2J\\u{9b}1m\\u{7f}\\u{9}é\n");
        let text = json(&serde_json::json!({ "program": name })).unwrap();
        let controls = text.chars().filter(|c| c.is_control() && *c != '\n');
        assert_eq!(controls.count(), 0, "{text}");
        let read: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(read["program"], name);
    }
}
