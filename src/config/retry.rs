//! `retry:`, how long failures that may pass are outlasted.

use super::variables::{Complaint, Lookup, Text};
use serde::Deserialize;
use std::time::Duration;

/// How often and how long a step is tried again after a failure that may pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// Attempts go on until this long after the first failure.
    pub max_elapsed: Duration,
    /// So many attempts are made in any case, the first included.
    pub attempts: u32,
    /// No pause between two attempts is longer, unless the server asks for it.
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

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default, expecting = "`{ max_elapsed: ... }`")]
pub(super) struct RawRetry {
    max_elapsed: Option<Text>,
    attempts: Option<u64>,
    max_pause: Option<Text>,
}

impl RawRetry {
    /// The complaint names the key and what is wrong with it.
    pub(super) fn validate(self, lookup: Lookup<'_>) -> Result<Retry, Complaint> {
        let refuse = |key: &str, message: &str| Err((format!("retry.{key}"), message.to_owned()));
        let usual = Retry::default();
        let time =
            |key: &str, text: Option<Text>, usual: Duration| -> Result<Duration, Complaint> {
                let text = text.map(|text| text.duration(lookup, &format!("retry.{key}")));
                Ok(text.transpose()?.unwrap_or(usual))
            };
        let max_elapsed = time("max_elapsed", self.max_elapsed, usual.max_elapsed)?;
        if max_elapsed > Duration::from_secs(86_400) {
            return refuse("max_elapsed", "must be at most 1 day");
        }
        let attempts = self.attempts.map_or(Ok(usual.attempts), u32::try_from);
        let Some(attempts) = attempts.ok().filter(|found| (1..=1000).contains(found)) else {
            return refuse("attempts", "must be between 1 and 1000");
        };
        let max_pause = time("max_pause", self.max_pause, usual.max_pause)?;
        let pauses = Duration::from_millis(100)..=Duration::from_secs(3_600);
        if !pauses.contains(&max_pause) {
            return refuse("max_pause", "must be between 100 ms and 1 hour");
        }
        Ok(Retry {
            max_elapsed,
            attempts,
            max_pause,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Retry, String> {
        let read: RawRetry = serde_yaml_ng::from_str(text).map_err(|error| error.to_string())?;
        let complaint = |(at, message)| format!("{at} {message}");
        read.validate(&|_| None).map_err(complaint)
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
