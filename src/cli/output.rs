//! Results on stdout, as text or as one JSON document; failures on stderr.

use icesync::error::{Disposition, Error, Kind};
use icesync::report::{ErrorReport, Listing, RunReport};
use serde::Serialize;
use std::io::Write as _;

/// How a command prints what it found or did.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    pub json: bool,
}

impl Output {
    /// Prints the report of a run; the exit code is the run's.
    pub fn finish(self, report: &RunReport) -> u8 {
        if self.json {
            print_json(report);
        } else {
            print(&report.text());
        }
        report.exit_code()
    }

    /// Prints the reports of a command that only looks; a table that failed makes the exit code, as in a run.
    pub fn show<T: Serialize>(self, listing: &Listing<T>, text: fn(&T) -> String) -> u8 {
        if self.json {
            print_json(listing);
        } else {
            for report in &listing.tables {
                print(&text(report));
            }
        }
        for error in &listing.errors {
            eprintln!("icesync: {}", error.message);
        }
        listing.exit_code()
    }

    /// Prints why a command failed as a whole; the exit code says whether to try again.
    pub fn fail(self, error: &Error) -> u8 {
        if self.json {
            print_json(&serde_json::json!({ "error": ErrorReport::of(error) }));
        }
        eprintln!("icesync: {}", error.report());
        match (error.kind(), error.disposition()) {
            (Kind::Config, _) => 2,
            (_, Disposition::Transient) => 75,
            (_, Disposition::Definite | Disposition::Ambiguous) => 1,
        }
    }
}

/// An error of the configuration or of the command line.
pub fn config_error(
    message: impl Into<Box<dyn std::error::Error + Send + std::marker::Sync>>,
) -> Error {
    Error::new(Kind::Config, Disposition::Definite, message)
}

fn print_json(document: &impl Serialize) {
    match serde_json::to_string_pretty(document) {
        Ok(text) => print(&(text + "\n")),
        Err(error) => eprintln!("icesync: cannot write the report as JSON: {error}"),
    }
}

/// Writes to stdout; a reader that went away (`| head`) is no failure.
fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
