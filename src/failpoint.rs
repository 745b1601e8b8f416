//! Failpoints: named places where a test makes the process die, to prove that what follows a crash is correct.
//!
//! For tests only. With `ICESYNC_FAILPOINT=name` in the environment the process aborts (as on SIGKILL: nothing is
//! flushed, no destructor runs) when it reaches that place; `name:3` lets it pass twice first. Without the variable
//! a failpoint costs one load.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// The environment variable that arms one failpoint.
pub const VARIABLE: &str = "ICESYNC_FAILPOINT";

struct Armed {
    name: String,
    passes_left: AtomicU64,
}

static ARMED: OnceLock<Option<Armed>> = OnceLock::new();

/// Aborts the process when the environment arms this failpoint and it has been passed often enough.
pub fn reach(name: &'static str) {
    let armed = ARMED.get_or_init(|| std::env::var(VARIABLE).ok().and_then(|text| parse(&text)));
    if let Some(armed) = armed
        && armed.name == name
        && armed.passes_left.fetch_sub(1, Ordering::SeqCst) == 1
    {
        std::process::abort();
    }
}

/// Reads `name` or `name:count`; a count that is no positive number arms nothing.
fn parse(text: &str) -> Option<Armed> {
    let (name, count) = match text.split_once(':') {
        Some((name, count)) => (name, count.parse().ok().filter(|&count| count > 0)?),
        None => (text, 1),
    };
    (!name.is_empty()).then(|| Armed {
        name: name.to_owned(),
        passes_left: AtomicU64::new(count),
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
        for nothing in ["", "a:0", "a:x", ":2"] {
            assert_eq!(passes(nothing), None, "{nothing}");
        }
    }
}
