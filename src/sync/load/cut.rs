//! Where a signal may end the transactions of a load; [`crate::sync::stop`] argues it.

use super::work::Work;
use crate::error::{Error, Result};
use crate::mssql::error::MssqlError;
use crate::sync::stop::{APPLYING, BEFORE_LOAD, BETWEEN_STEPS};
use crate::target::TargetError;
use crate::target::merge::{Applied, LoadCounts, Step};

impl Work<'_> {
    /// Refuses to begin another transaction once a signal came.
    pub(super) fn may_begin(&self, step: Option<Step>) -> Result<()> {
        let is_first = step.is_none_or(|step| step.after == 0);
        self.sync.stop.check(match is_first {
            true => BEFORE_LOAD,
            false => BETWEEN_STEPS,
        })
    }

    /// What to say of a load whose transaction was cut, and that is not loaded. `committed`: that step of it was.
    pub(super) fn was_cut(&self, step: Option<Step>, committed: Option<LoadCounts>) -> Error {
        let is_begun = committed.is_some() || step.is_some_and(|step| step.after > 0);
        self.sync.stop.error(match is_begun {
            true => BETWEEN_STEPS,
            false => APPLYING,
        })
    }

    /// The outcome of a transaction that ends in its commit. A signal closes its session: then the reply is lost, and
    /// [`settled`](Self::settled) looks for the outcome.
    pub(super) async fn unless_cut(
        &self,
        transaction: impl Future<Output = std::result::Result<Applied, TargetError>>,
    ) -> std::result::Result<Applied, TargetError> {
        let server = self.sync.target.as_ref();
        let server = server.map(|side| side.connection.server());
        tokio::select! {
            biased;
            applied = transaction => applied,
            () = self.sync.stop.wait() => Err(TargetError::Server {
                doing: "applying the load of",
                target: self.table.target.to_string(),
                source: Box::new(MssqlError::cut(server.unwrap_or_default())),
            }),
        }
    }
}
