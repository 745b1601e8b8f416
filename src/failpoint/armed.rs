//! Failpoints that a build with debug assertions has.

use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

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

/// Does what the environment variable says happens at a place.
pub(super) fn reach(variable: &str, name: &'static str) {
    let armed = ARMED.get_or_init(|| {
        let text = std::env::var(variable).unwrap_or_default();
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
            Then::Unwind => std::panic::resume_unwind(Box::new(name)),
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
