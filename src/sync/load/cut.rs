//! How the transactions of a load end: with a reply, without one, or at a signal ([`crate::sync::stop`] argues where).

use super::work::Work;
use crate::error::{Disposition, Error, Kind, Result};
use crate::mssql::error::MssqlError;
use crate::sync::Links;
use crate::sync::stop::{APPLYING, BEFORE_LOAD, BETWEEN_STEPS};
use crate::target::TargetError;
use crate::target::merge::{Applied, LoadCounts, StateChange, Step};
use crate::target::state;

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

    /// The outcome of a transaction. A lost reply is resolved on a new connection by looking for this transaction in
    /// the load state. The load lock was lost with the old connection, so that connection is not kept for another
    /// load, and no step follows.
    pub(super) async fn settled(
        &self,
        links: &mut Links,
        applied: std::result::Result<Applied, TargetError>,
        change: &StateChange,
    ) -> Result<Applied> {
        let side = self.sync.target_side()?;
        let lost = match applied {
            Err(error) if error.disposition() == Disposition::Ambiguous => error,
            other => return Ok(other?),
        };
        let stop = &self.sync.stop;
        let what = match stop.signal() {
            Some(_) => "the transaction of the load was cut off",
            None => "the reply to the load's commit was lost",
        };
        tracing::warn!("{}: {what}; looking for its outcome", self.name);
        links.target = None;
        let control = Links::control(&mut links.target, side, Kind::Target).await?;
        let resolved = state::resolve(control, &self.table.target, change).await?;
        links.target = None;
        let is_last = change.step.is_none_or(Step::is_last);
        match resolved {
            Some(counts) if is_last => Ok(Applied {
                counts,
                target_only: 0,
            }),
            Some(_) | None if stop.signal().is_some() => Err(self.was_cut(change.step, resolved)),
            Some(_) | None => Err(Error::new(
                Kind::Target,
                Disposition::Transient,
                NotApplied(lost),
            )),
        }
    }
}

/// A load whose outcome was unknown and turned out not to have been applied.
#[derive(Debug, thiserror::Error)]
#[error("the load was not applied, or not all of it")]
struct NotApplied(#[source] TargetError);
