//! `retry:`, how long failures that may pass are outlasted.

use serde::Deserialize;
use std::time::Duration;

/// How often and how long a step is tried again after a failure that may pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "`{ max_elapsed: ... }`")]
pub struct Retry {
    /// Attempts go on until this long after the first failure.
    #[serde(with = "humantime_serde")]
    pub max_elapsed: Duration,
    /// So many attempts are made in any case, the first included.
    pub attempts: u32,
    /// No pause between two attempts is longer, unless the server asks for it.
    #[serde(with = "humantime_serde")]
    pub max_pause: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            max_elapsed: Duration::from_secs(600),
            attempts: 5,
            max_pause: Duration::from_secs(30),
        }
    }
}

impl Retry {
    /// The complaint names the key and what is wrong with it.
    pub(super) fn validate(self) -> Result<Self, (String, String)> {
        let refuse = |key: &str, message: &str| Err((format!("retry.{key}"), message.to_owned()));
        if self.max_elapsed > Duration::from_secs(86_400) {
            return refuse("max_elapsed", "must be at most 1 day");
        }
        if !(1..=1000).contains(&self.attempts) {
            return refuse("attempts", "must be between 1 and 1000");
        }
        let pauses = Duration::from_millis(100)..=Duration::from_secs(3_600);
        if !pauses.contains(&self.max_pause) {
            return refuse("max_pause", "must be between 100 ms and 1 hour");
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Retry, String> {
        let read: Retry = serde_yaml_ng::from_str(text).map_err(|error| error.to_string())?;
        let complaint = |(at, message)| format!("{at} {message}");
        read.validate().map_err(complaint)
    }

    #[test]
    fn a_failover_is_outlasted_unless_it_is_configured_otherwise() {
        let usual = read("{}").unwrap();
        assert_eq!(usual.max_elapsed, Duration::from_secs(600));
        assert_eq!((usual.attempts, usual.max_pause.as_secs()), (5, 30));
        let short = read("{ max_elapsed: 0s, attempts: 1, max_pause: 500ms }").unwrap();
        assert_eq!((short.max_elapsed, short.attempts), (Duration::ZERO, 1));
        assert_eq!(short.max_pause, Duration::from_millis(500));
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for (text, says) in [
            ("{ max_elapsed: 2d }", "retry.max_elapsed must be at most"),
            ("{ attempts: 0 }", "retry.attempts must be between"),
            ("{ max_pause: 0s }", "retry.max_pause must be between"),
            ("{ pause: 1s }", "unknown field `pause`"),
        ] {
            let said = read(text).unwrap_err();
            assert!(said.contains(says), "{said}");
        }
    }
}
