//! Failpoints: named places where a test makes the process die or wait, to prove that what follows a crash, or what
//! another run does at that moment, is correct.
//!
//! For tests only. With `ICESYNC_FAILPOINT=name` in the environment the process aborts (as on SIGKILL: nothing is
//! flushed, no destructor runs) when it reaches that place; `name:3` lets it pass twice first. With `name:3=FILE` it
//! creates FILE instead and waits until the file is removed, with `name:3=panic` it unwinds as a panic does. Several
//! are separated by `,`. Without the variable a failpoint costs one load.

use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The environment variable that arms failpoints.
pub const VARIABLE: &str = "ICESYNC_FAILPOINT";

struct Armed {
    name: String,
    passes_left: AtomicU64,
    then: Then,
}

/// What happens there.
#[derive(Debug, PartialEq, Eq)]
enum Then {
    Die,
    Unwind,
    WaitFor(PathBuf),
}

static ARMED: OnceLock<Vec<Armed>> = OnceLock::new();

/// Aborts or holds the process when the environment arms this failpoint and it has been passed often enough.
pub fn reach(name: &'static str) {
    let armed = ARMED.get_or_init(|| {
        let text = std::env::var(VARIABLE).unwrap_or_default();
        text.split(',').filter_map(parse).collect()
    });
    for armed in armed.iter().filter(|armed| armed.name == name) {
        if armed.passes_left.fetch_sub(1, Ordering::SeqCst) == 1 {
            armed.happen(name);
        }
    }
}

impl Armed {
    fn happen(&self, name: &'static str) {
        match &self.then {
            Then::Die => std::process::abort(),
            Then::Unwind => std::panic::resume_unwind(Box::new(format!("failpoint {name}"))),
            Then::WaitFor(file) => {
                if std::fs::write(file, name).is_err() {
                    std::process::abort();
                }
                while file.exists() {
                    std::thread::sleep(Duration::from_millis(5));
                }
            }
        }
    }
}

/// Reads `name`, `name:count` and either with `=FILE` or `=panic`; a count that is no positive number arms nothing.
fn parse(text: &str) -> Option<Armed> {
    let (place, then) = match text.split_once('=') {
        Some((place, "panic")) => (place, Then::Unwind),
        Some((place, file)) => (place, Then::WaitFor(PathBuf::from(file))),
        None => (text, Then::Die),
    };
    let (name, count) = match place.split_once(':') {
        Some((name, count)) => (name, count.parse().ok().filter(|&count| count > 0)?),
        None => (place, 1),
    };
    (!name.is_empty()).then(|| Armed {
        name: name.to_owned(),
        passes_left: AtomicU64::new(count),
        then,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_counts_are_read() {
        let passes = |text| parse(text).map(|armed| armed.passes_left.into_inner());
        assert_eq!(passes("lake.after_hint"), Some(1));
        assert_eq!(passes("lake.after_hint:3"), Some(3));
        let then = |text| parse(text).map(|armed| armed.then);
        assert_eq!(then("a:2=/tmp/x"), Some(Then::WaitFor("/tmp/x".into())));
        assert_eq!(then("a=panic"), Some(Then::Unwind));
        assert_eq!(then("a:3"), Some(Then::Die));
        for nothing in ["", "a:0", "a:x", ":2"] {
            assert_eq!(passes(nothing), None, "{nothing}");
        }
    }
}
