//! Logs on stderr, and what may not stand in them.
//!
//! The drivers log what goes over the wire: messages of the server with the values that they quote at level `error`,
//! statements and tokens at lower ones. So they are silent whatever `ICESYNC_LOG` says, and what they fail with is an
//! error of icesync. Other libraries are heard from `warn` on. With `--show-values` the filter alone decides. None of
//! them logs a password.

use icesync::secret::values_are_shown;
use std::io::IsTerminal;
use tracing::{Level, Metadata};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, fmt};

/// The variable with the filter.
const VARIABLE: &str = "ICESYNC_LOG";

const DRIVERS: [&str; 2] = ["mssql_tds", "tiberius"];

/// Begins to log.
pub fn start(verbose: u8) {
    let level = match verbose {
        0 => "warn,mssql_tds=error,tiberius=off",
        1 => "icesync=debug,warn,mssql_tds=error,tiberius=off",
        _ => "icesync=trace,info,mssql_tds=warn,tiberius=off",
    };
    let wanted = EnvFilter::try_from_env(VARIABLE).unwrap_or_else(|_| EnvFilter::new(level));
    let lines = fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        // A log line that cannot be written is lost. The library would say so with `eprintln!`, which panics.
        .log_internal_errors(false);
    tracing_subscriber::registry()
        .with(wanted)
        .with(filter_fn(is_allowed))
        .with(lines)
        .init();
}

/// Whether something may be logged, if the filter wants it.
fn is_allowed(metadata: &Metadata<'_>) -> bool {
    values_are_shown() || is_without_values(metadata.target(), *metadata.level())
}

fn is_without_values(target: &str, level: Level) -> bool {
    let library = target.split("::").next().unwrap_or(target);
    library == "icesync" || !DRIVERS.contains(&library) && level <= Level::WARN
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_filter_makes_a_driver_talk() {
        for (target, level, allowed) in [
            ("icesync", Level::TRACE, true),
            ("icesync::sync::load", Level::TRACE, true),
            ("icesync_other", Level::INFO, false),
            ("mssql_tds", Level::ERROR, false),
            (
                "mssql_tds::token::parsers::error_parser",
                Level::ERROR,
                false,
            ),
            ("tiberius::tds::stream::token", Level::ERROR, false),
            ("iceberg::catalog", Level::WARN, true),
            ("parquet", Level::INFO, false),
            ("log", Level::DEBUG, false),
        ] {
            assert_eq!(
                is_without_values(target, level),
                allowed,
                "{target} {level}"
            );
        }
    }
}
