//! Clocks that differ: the server's and this machine's, and the one that `change.clock` names and the one that writes.
//!
//! Bounds follow the server's clock. Two things make rows lie below a bound that has passed them, or above one for
//! hours. Applications may take times from clocks of their own: the machine that icesync runs on stands for them here.
//! And a column may hold UTC where local time is configured, or the other way round. Both are said, never corrected:
//! which clock is right is not known.

use crate::change::Clock;
use chrono::{DateTime, NaiveDateTime, Utc};
use std::time::Duration;

/// A newest value within this of a clock was written by it, if the table is written to all the time.
const NEAR_MS: i64 = 600_000;
/// Clocks differ by less than this for the time that a question takes.
const SKEW_MS_MIN: i64 = 1_000;

/// How long before now the newest value of a column lies, by either clock of the server. None that lies in the future.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Newest {
    pub(super) behind_utc_ms: i64,
    pub(super) behind_local_ms: i64,
}

/// What to say of a server whose clock differs from this machine's by more than `lag`. `utc` is the server's, in style
/// 121, read between the two moments.
pub(super) fn skewed(
    utc: &str,
    (before, after): (DateTime<Utc>, DateTime<Utc>),
    lag: Duration,
) -> Option<String> {
    let server = NaiveDateTime::parse_from_str(utc, "%Y-%m-%d %H:%M:%S%.f").ok()?;
    let server = server.and_utc();
    let (ms, direction) = match (server < before, server > after) {
        (true, _) => ((before - server).num_milliseconds(), "behind"),
        (false, true) => ((server - after).num_milliseconds(), "ahead of"),
        (false, false) => return None,
    };
    let allowed = i64::try_from(lag.as_millis()).unwrap_or(i64::MAX);
    (ms > allowed.max(SKEW_MS_MIN)).then(|| {
        format!(
            "the server's clock is {} {direction} this machine's, and change.lag is {lag:?}. Windows follow the \
             server's clock, so rows whose times come from other clocks may be missed. Set the clocks, or make \
             change.overlap longer than that",
            told(ms)
        )
    })
}

/// What to say of a column that looks as if the clock that `change.clock` does not name had written it.
pub(super) fn mistaken(
    column: &str,
    clock: Clock,
    newest: Newest,
    offset_minutes: i64,
) -> Option<String> {
    let (stated, behind_ms, other, other_ms) = match clock {
        Clock::Auto => return None,
        Clock::Utc => (
            "UTC, as `change.clock: utc` says",
            newest.behind_utc_ms,
            "local",
            newest.behind_local_ms,
        ),
        Clock::Local => (
            "local time, as `change.clock: local` says",
            newest.behind_local_ms,
            "utc",
            newest.behind_utc_ms,
        ),
    };
    let is_near = |ms: i64| (-60_000..NEAR_MS).contains(&ms);
    if offset_minutes.abs() <= 1 || is_near(behind_ms) || !is_near(other_ms) {
        return None;
    }
    let (where_it_is, follows) = match behind_ms > 0 {
        true => (
            format!("{} behind", told(behind_ms)),
            "rows that are written now lie before bounds that have passed, and are missed",
        ),
        false => (
            format!("{} ahead of", told(-behind_ms)),
            "rows are read that much later than they are written",
        ),
    };
    Some(format!(
        "the newest {column} is {where_it_is} {stated}, and close to the server's other clock. If that one writes it, \
         {follows}: set `change.clock: {other}` and run one extract with `strategy: full`"
    ))
}

/// A duration in the largest units that tell it.
pub fn told(ms: i64) -> String {
    let seconds = (ms + 500) / 1_000;
    let (days, hours) = (seconds / 86_400, seconds / 3_600 % 24);
    let (minutes, rest) = (seconds / 60 % 60, seconds % 60);
    match (days, hours, minutes) {
        (0, 0, 0) if seconds < 2 => format!("{ms} ms"),
        (0, 0, 0) => format!("{rest} s"),
        (0, 0, _) => format!("{minutes} min {rest} s"),
        (0, _, _) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn clocks_that_differ_by_more_than_the_lag_are_said() {
        let asked = (at("2024-05-01T10:00:00Z"), at("2024-05-01T10:00:01Z"));
        let said = |utc: &str, lag| skewed(utc, asked, Duration::from_secs(lag));
        assert_eq!(said("2024-05-01 10:00:00.5000000", 0), None);
        assert_eq!(said("2024-05-01 10:00:05.0000000", 5), None);
        assert_eq!(said("2024-05-01 10:00:01.9000000", 0), None);
        let ahead = said("2024-05-01 10:00:08.0000000", 5).unwrap();
        assert!(ahead.contains("7 s ahead of this machine's"), "{ahead}");
        let behind = said("2024-05-01 09:57:30.0000000", 5).unwrap();
        assert!(behind.contains("2 min 30 s behind"), "{behind}");
    }

    #[test]
    fn a_column_of_the_other_clock_is_said_and_a_quiet_one_is_not() {
        let minute = 60_000;
        let newest = |utc: i64, local: i64| Newest {
            behind_utc_ms: utc * minute,
            behind_local_ms: local * minute,
        };
        let said = |clock, newest, offset| mistaken("at", clock, newest, offset);
        // East of Greenwich local time is ahead.
        let missed = said(Clock::Local, newest(1, 121), 120).unwrap();
        assert!(missed.contains("2 h 1 min behind local time") && missed.contains("are missed"));
        assert!(missed.contains("change.clock: utc"));
        let late = said(Clock::Utc, newest(-119, 1), 120).unwrap();
        assert!(late.contains("1 h 59 min ahead of UTC") && late.contains("later than"));
        // West of it, it is behind.
        let missed = said(Clock::Utc, newest(301, 1), -300).unwrap();
        assert!(missed.contains("behind UTC") && missed.contains("change.clock: local"));
        for (clock, newest, offset) in [
            (Clock::Utc, newest(1, 121), 120),
            (Clock::Local, newest(-119, 1), 120),
            (Clock::Auto, newest(1, 121), 120),
            // Nothing was written for hours.
            (Clock::Local, newest(600, 720), 120),
            (Clock::Utc, newest(0, 0), 0),
        ] {
            assert_eq!(said(clock, newest, offset), None, "{clock:?} {newest:?}");
        }
    }

    #[test]
    fn durations_are_told_in_their_units() {
        for (ms, expected) in [
            (40, "40 ms"),
            (2_000, "2 s"),
            (150_000, "2 min 30 s"),
            (7_260_000, "2 h 1 min"),
            (200_000_000, "2 d 7 h"),
        ] {
            assert_eq!(told(ms), expected);
        }
    }
}
