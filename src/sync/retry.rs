//! Retries by error class: only what is [`Disposition::Transient`] is tried again, with doubling waits.
//!
//! A whole table step is the unit: it begins again from the committed checkpoint, so a retry never repeats half of
//! a step.

use super::Observer;
use crate::error::{Disposition, Error, Result};
use std::time::Duration;

/// Attempts at one step, the first included.
const ATTEMPTS_MAX: u32 = 5;
const WAIT_FIRST: Duration = Duration::from_millis(400);
const WAIT_MAX: Duration = Duration::from_secs(10);

/// Attempts at one step so far.
pub struct Attempts {
    made: u32,
}

impl Attempts {
    /// None made yet.
    pub fn new() -> Self {
        Self { made: 0 }
    }

    /// Waits before the next attempt, or gives the error back when there must not be one.
    pub async fn after(
        &mut self,
        error: Error,
        table: &str,
        observer: &dyn Observer,
    ) -> Result<()> {
        self.made += 1;
        if error.disposition() != Disposition::Transient || self.made == ATTEMPTS_MAX {
            return Err(error);
        }
        let wait = wait_after(self.made);
        observer.retry(table, self.made, wait, &error.report());
        tokio::time::sleep(wait).await;
        Ok(())
    }
}

fn wait_after(attempt: u32) -> Duration {
    WAIT_FIRST
        .saturating_mul(1 << (attempt - 1).min(16))
        .min(WAIT_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;
    use crate::sync::Phase;

    struct Quiet;
    impl Observer for Quiet {
        fn phase(&self, _: &str, _: Phase, _: u64) {}
        fn retry(&self, _: &str, _: u32, _: Duration, _: &str) {}
        fn finished(&self, _: &str) {}
    }

    async fn attempts_until(disposition: Disposition, succeed_at: u32) -> (bool, u32) {
        let mut attempts = Attempts::new();
        for count in 1.. {
            if count == succeed_at {
                return (true, count);
            }
            let error = Error::new(Kind::Source, disposition, "no");
            if attempts.after(error, "t", &Quiet).await.is_err() {
                return (false, count);
            }
        }
        unreachable!()
    }

    #[tokio::test(start_paused = true)]
    async fn only_transient_failures_are_tried_again_and_not_for_ever() {
        assert_eq!(attempts_until(Disposition::Transient, 3).await, (true, 3));
        assert_eq!(
            attempts_until(Disposition::Transient, 99).await,
            (false, ATTEMPTS_MAX)
        );
        assert_eq!(attempts_until(Disposition::Definite, 2).await, (false, 1));
        assert_eq!(attempts_until(Disposition::Ambiguous, 2).await, (false, 1));
    }

    #[test]
    fn waits_double_up_to_the_limit() {
        assert_eq!(wait_after(1), WAIT_FIRST);
        assert_eq!(wait_after(2), WAIT_FIRST * 2);
        assert_eq!(wait_after(60), WAIT_MAX);
    }
}
