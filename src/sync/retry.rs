//! Retries: only what is [`Disposition::Transient`] is tried again.
//!
//! A whole table step is the unit: it begins again from the committed checkpoint, so a retry never repeats half of a
//! step. Pauses double from 0.4 s up to `retry.max_pause`, each shortened by a random part, so that those who failed
//! together do not come back together. A server that asks for a longer pause gets it. Attempts go on until
//! `retry.max_elapsed` has passed since the first failure, and `retry.attempts` of them were made: an outage ends many
//! short attempts, and a long read that fails twice an hour apart is worth a third. A signal ends the waiting.
//!
//! Where a large window is committed in steps, each commit is progress: what fails after it has attempts of its own, so
//! that a catch-up over days is not ended by failures that have nothing to do with each other.
//!
//! While a server cannot be reached, the tables do not try one by one, see [`super::reach`].

use super::Observer;
use super::stop::Stop;
use crate::config::Retry;
use crate::error::{Disposition, Error, Result};
use crate::mssql::error::MssqlError;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::time::Duration;
use tokio::time::Instant;

const PAUSE_FIRST: Duration = Duration::from_millis(400);
/// A database that does not open may be starting or moving, and a host without an address may get one. When nothing
/// else was heard of the server yet, the name is more likely wrong, and is not tried for longer.
const MISNAMED_MAX: Duration = Duration::from_secs(15);

/// Attempts at one step.
pub(super) struct Attempts<'a> {
    options: Retry,
    stop: &'a Stop,
    observer: &'a dyn Observer,
    made: u32,
    since: Option<Instant>,
    is_first_contact: bool,
}

impl<'a> Attempts<'a> {
    /// None made yet.
    pub fn new(options: Retry, stop: &'a Stop, observer: &'a dyn Observer) -> Self {
        Self {
            options,
            stop,
            observer,
            made: 0,
            since: None,
            is_first_contact: false,
        }
    }

    /// At the first connection to a server.
    pub fn at_first_contact(mut self) -> Self {
        self.is_first_contact = true;
        self
    }

    /// Waits before the next attempt, or gives the error back when there must not be one. `what` was attempted: a
    /// table, or a server.
    pub async fn after(&mut self, error: Error, what: &str) -> Result<()> {
        self.made += 1;
        let since = *self.since.get_or_insert_with(Instant::now);
        if error.disposition() != Disposition::Transient || self.stop.signal().is_some() {
            return Err(error);
        }
        let server = server_error(&error);
        let misnamed = self.is_first_contact && server.is_some_and(MssqlError::may_be_misnamed);
        let elapsed_max = match misnamed {
            true => self.options.max_elapsed.min(MISNAMED_MAX),
            false => self.options.max_elapsed,
        };
        if self.made >= self.options.attempts && since.elapsed() >= elapsed_max {
            let is_refused = misnamed && server.is_some_and(|server| server.number().is_some());
            return Err(if is_refused { error.for_good() } else { error });
        }
        let asked = server.and_then(MssqlError::pause).unwrap_or_default();
        let pause = pause_after(self.made, self.options.max_pause, random()).max(asked);
        self.observer.retry(what, self.made, pause, &error.report());
        tokio::select! {
            () = tokio::time::sleep(pause) => Ok(()),
            () = self.stop.wait() => {
                let what = format!("before attempt {}. The last one failed: {}", self.made + 1, error.report());
                Err(self.stop.ended(error.kind(), &what))
            }
        }
    }
}

/// Half of the doubled pause, and a random part of the other half.
fn pause_after(attempt: u32, pause_max: Duration, random: f64) -> Duration {
    let doubled = PAUSE_FIRST.saturating_mul(1 << (attempt - 1).min(16));
    doubled.min(pause_max).mul_f64(0.5 + random / 2.0)
}

/// In `[0, 1)`.
fn random() -> f64 {
    let hash = RandomState::new().hash_one(());
    f64::from((hash >> 32) as u32) / (f64::from(u32::MAX) + 1.0)
}

/// The server's part in an error.
pub(super) fn server_error(error: &Error) -> Option<&MssqlError> {
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        let found = cause.downcast_ref::<MssqlError>();
        let boxed = || {
            cause
                .downcast_ref::<Box<MssqlError>>()
                .map(|error| &**error)
        };
        if let Some(found) = found.or_else(boxed) {
            return Some(found);
        }
        next = cause.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;
    use crate::mssql::error::{ServerError, ServerMessage};
    use crate::report::Signal;
    use crate::sync::Phase;
    use crate::target::TargetError;

    struct Quiet;
    impl Observer for Quiet {
        fn phase(&self, _: &str, _: Phase, _: u64) {}
        fn retry(&self, _: &str, _: u32, _: Duration, _: &str) {}
        fn finished(&self, _: &str) {}
    }

    fn short() -> Retry {
        Retry {
            max_elapsed: Duration::ZERO,
            ..Retry::default()
        }
    }

    fn no(disposition: Disposition) -> Error {
        Error::new(Kind::Source, disposition, "no")
    }

    fn login(number: u32, message: &str) -> Error {
        let error = MssqlError::Login {
            server: "db:1433".into(),
            error: Box::new(ServerError {
                number,
                class: 16,
                state: 1,
                message: ServerMessage::new(number, message),
                procedure: None,
                line: 1,
                statement: String::new(),
            }),
        };
        error.on(Kind::Source)
    }

    /// How often an error is met, for how long, and what it is in the end.
    async fn outlasts(options: Retry, first: bool, error: impl Fn() -> Error) -> (u32, f64, Error) {
        let (stop, clock) = (Stop::default(), Instant::now());
        let mut attempts = Attempts::new(options, &stop, &Quiet);
        attempts.is_first_contact = first;
        loop {
            if let Err(error) = attempts.after(error(), "t").await {
                return (attempts.made, clock.elapsed().as_secs_f64(), error);
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn only_transient_failures_are_tried_again_and_not_for_ever() {
        for (disposition, expected) in [
            (Disposition::Transient, 5),
            (Disposition::Definite, 1),
            (Disposition::Ambiguous, 1),
            (Disposition::Interrupted, 1),
        ] {
            let (made, ..) = outlasts(short(), false, || no(disposition)).await;
            assert_eq!(made, expected, "{disposition:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_failover_of_minutes_is_outlasted() {
        let (made, seconds, error) =
            outlasts(Retry::default(), false, || no(Disposition::Transient)).await;
        assert!((600.0..632.0).contains(&seconds), "{seconds}");
        assert!((20..60).contains(&made), "{made}");
        assert_eq!(error.disposition(), Disposition::Transient);
    }

    #[tokio::test(start_paused = true)]
    async fn a_database_that_never_opened_is_not_waited_for_long() {
        let gone = || login(4060, "Cannot open database");
        let (_, seconds, error) = outlasts(Retry::default(), true, gone).await;
        assert!((15.0..46.0).contains(&seconds), "{seconds}");
        assert_eq!(error.disposition(), Disposition::Definite);
        let (_, seconds, error) = outlasts(Retry::default(), false, gone).await;
        assert!(seconds >= 600.0, "{seconds}");
        assert_eq!(error.disposition(), Disposition::Transient);
    }

    #[tokio::test(start_paused = true)]
    async fn an_endpoint_of_tokens_that_was_never_there_is_not_waited_for_long() {
        let token = |is_absent| {
            let error = MssqlError::Token {
                server: "db:1433".into(),
                reason: "the metadata service cannot be reached".into(),
                is_transient: true,
                is_absent,
            };
            error.on(Kind::Source)
        };
        let (_, seconds, error) = outlasts(Retry::default(), true, || token(true)).await;
        assert!((15.0..46.0).contains(&seconds), "{seconds}");
        assert_eq!(error.disposition(), Disposition::Transient);
        for (first, is_absent) in [(false, true), (true, false)] {
            let (_, seconds, _) = outlasts(Retry::default(), first, || token(is_absent)).await;
            assert!(seconds >= 600.0, "{seconds}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_that_the_server_asks_for_is_kept() {
        let busy = || login(40501, "Retry the request after 60 seconds.");
        let (made, seconds, _) = outlasts(short(), false, busy).await;
        assert_eq!(made, 5);
        assert!((240.0..241.0).contains(&seconds), "{seconds}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_signal_ends_the_waiting() {
        let stop = Stop::default();
        let mut attempts = Attempts::new(Retry::default(), &stop, &Quiet);
        let busy = login(40501, "Retry the request after 60 seconds.");
        let ended = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            stop.set(Signal::Interrupt);
        };
        let clock = Instant::now();
        let (waited, ()) = tokio::join!(attempts.after(busy, "t"), ended);
        assert_eq!(clock.elapsed(), Duration::from_secs(1));
        let error = waited.unwrap_err();
        assert_eq!(error.disposition(), Disposition::Interrupted);
        let said = error.report();
        assert!(said.contains("SIGINT") && said.contains("40501"), "{said}");
        // None is begun after it.
        let after = attempts.after(no(Disposition::Transient), "t").await;
        assert_eq!(after.unwrap_err().report(), "no");
    }

    #[test]
    fn pauses_double_up_to_the_limit_and_differ() {
        let most = Duration::from_secs(30);
        for (attempt, milliseconds) in [(1, 400), (2, 800), (3, 1600), (8, 30_000), (60, 30_000)] {
            let whole = Duration::from_millis(milliseconds);
            assert_eq!(pause_after(attempt, most, 0.0), whole / 2, "{attempt}");
            assert_eq!(pause_after(attempt, most, 1.0), whole, "{attempt}");
        }
        let drawn: Vec<f64> = (0..100).map(|_| random()).collect();
        assert!(drawn.iter().all(|part| (0.0..1.0).contains(part)));
        assert!(drawn.iter().any(|part| *part < 0.5) && drawn.iter().any(|part| *part > 0.5));
    }

    #[test]
    fn the_server_s_part_is_found_below_others() {
        let lost = MssqlError::cut("db:1433".into());
        let below = TargetError::Server {
            doing: "locking",
            target: "dbo.t".into(),
            source: Box::new(lost.clone()),
        };
        assert_eq!(server_error(&Error::from(below)), Some(&lost));
        assert_eq!(server_error(&lost.clone().on(Kind::Target)), Some(&lost));
        assert_eq!(server_error(&no(Disposition::Transient)), None);
    }
}
