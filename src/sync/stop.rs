//! Ending a run early, as SIGTERM and Ctrl-C ask for.
//!
//! One switch for all the work of a run ([`Stop`]). It is looked at between pieces of work: before a table is begun,
//! before a range is taken, before a load, before each of its transactions, and in every pause. Besides, a future that
//! waits may be dropped, which is called *cutting* it ([`Stop::cut`]). What is cut, and why that is safe:
//!
//! - **Reads of the source**, from the first look at a table to its last row. They change nothing there. A call of a
//!   session that is dropped closes the session, and its transactions and locks end with it. Only the side that waits
//!   for the server is cut ([`super::pump`]): the writer of data files is never dropped in the middle of a batch, so
//!   that it knows all its files when it removes them. Ranges that are finished by then are kept by their ledger, and
//!   one that a worker has handed over is still noted in it ([`super::backfill`]).
//! - **The preparation of a load** (staging, net changes, a table that is filled): whatever is in the target by then is
//!   what a death at this point leaves, which `load.rs` argues step by step. Its tables are dropped before the run ends
//!   ([`super::leftover`]).
//! - **Statements of an open transaction** whose commit is a statement of its own (a group, a load that sets rows
//!   aside): the session is closed, and the server rolls back.
//! - **A transaction that is one batch with its commit**: see below.
//!
//! What is not cut: everything that writes to the lake, from the end of a read to the end of its commit, because that
//! takes moments, while reading the rows again may take hours (an extract's commit is finished or not begun); a COMMIT;
//! the look at the outcome of one; tags that are set, and locks that are given back.
//!
//! # Statements that may commit
//!
//! A signal never comes between a commit that was sent and the handling of its reply. A COMMIT that stands alone is
//! waited for. A batch that works for minutes and ends in its commit ([`Effect::MayCommit`]) cannot be waited for: it
//! is cut by closing its session, upon which the server rolls it back, unless it had committed already. Which of the
//! two happened is not guessed. The lost reply is handled as any other: the load state is read on a new
//! connection, once the lost transaction has ended. So a load that was cut is reported as loaded, or as rolled back.
//!
//! [`Effect::MayCommit`]: crate::mssql::control::Effect::MayCommit

use crate::error::{Disposition, Error, Kind};
use crate::report::Signal;
use std::sync::{Arc, OnceLock};
use tokio_util::sync::CancellationToken;

/// Where a run was ended: the side that was worked on, and what became of the work.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cut {
    kind: Kind,
    what: &'static str,
}

const fn cut(kind: Kind, what: &'static str) -> Cut {
    Cut { kind, what }
}

/// Before a server answered.
pub(super) const CONNECTING: Cut = cut(Kind::Source, "before a table was worked on");
/// Before the first row.
pub(super) const PLANNING: Cut = cut(Kind::Source, "before the first row was read");
/// Rows of one stream, or of ranges without a ledger.
pub(super) const READING: Cut = cut(
    Kind::Source,
    "while rows were read. Nothing of this read is in the lake; the next run reads them again",
);
/// Between extract and load.
pub(super) const BEFORE_LOAD: Cut = cut(Kind::Target, "before the load. Nothing was loaded");
/// Staging, net changes, filling.
pub(super) const PREPARING: Cut = cut(
    Kind::Target,
    "while the load was prepared. Nothing was loaded",
);
/// The transaction of a load, before its commit.
pub(super) const APPLYING: Cut = cut(
    Kind::Target,
    "in the transaction of the load, which was rolled back. Nothing was loaded",
);
/// Between two transactions of a load.
pub(super) const BETWEEN_STEPS: Cut = cut(
    Kind::Target,
    "between two transactions of the load. The next load finishes it",
);

/// The switch that ends a run. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    token: CancellationToken,
    signal: Arc<OnceLock<Signal>>,
}

impl Stop {
    /// Ends the run; only the first call counts.
    pub fn set(&self, signal: Signal) {
        let _ = self.signal.set(signal);
        self.token.cancel();
    }

    /// What has ended the run.
    pub fn signal(&self) -> Option<Signal> {
        self.signal.get().copied()
    }

    /// Waits until the run is ended.
    pub(super) async fn wait(&self) {
        self.token.cancelled().await;
    }

    /// An error once the run is ended.
    pub(super) fn check(&self, at: Cut) -> Result<(), Error> {
        match self.signal() {
            Some(_) => Err(self.error(at)),
            None => Ok(()),
        }
    }

    /// What `work` comes to, or an error as soon as the run is ended: then `work` is dropped where it waits.
    pub(super) async fn cut<T, E: From<Error>>(
        &self,
        at: Cut,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        tokio::select! {
            biased;
            done = work => done,
            () = self.wait() => Err(self.error(at).into()),
        }
    }

    /// The error of work that was ended.
    pub(super) fn error(&self, at: Cut) -> Error {
        self.ended(at.kind, at.what)
    }

    /// The same, in other words.
    pub(super) fn ended(&self, kind: Kind, what: &str) -> Error {
        let signal = self.signal().map_or("a signal", Signal::name);
        let message = format!("{signal} ended the run {what}");
        Error::new(kind, Disposition::Interrupted, message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Result;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn what_waits_is_cut_and_what_is_done_is_kept() {
        let stop = Stop::default();
        let slow = async {
            tokio::time::sleep(Duration::from_secs(60)).await;
            Ok::<_, Error>(1)
        };
        let ender = stop.clone();
        let later = async move {
            tokio::time::sleep(Duration::from_secs(1)).await;
            ender.set(Signal::Terminate);
            ender.set(Signal::Interrupt);
        };
        assert!(stop.check(READING).is_ok());
        let clock = tokio::time::Instant::now();
        let (cut, ()) = tokio::join!(stop.cut(READING, slow), later);
        assert_eq!(clock.elapsed(), Duration::from_secs(1));
        let error = cut.unwrap_err();
        assert_eq!(error.disposition(), Disposition::Interrupted);
        let said = error.report();
        assert!(said.starts_with("SIGTERM ended the run while"), "{said}");
        let done: Result<i32> = stop.cut(READING, async { Ok(2) }).await;
        assert_eq!(done.unwrap(), 2);
        assert!(stop.check(READING).is_err());
    }
}
