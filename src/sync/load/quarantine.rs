//! Steps 4 and 5, where rows may be set aside. Their protocol is argued in [`crate::target::quarantine`].

use super::kind::Found;
use super::{FAIL_AFTER_NET, Work};
use crate::change::MergeMode;
use crate::error::{Error, Kind, Result};
use crate::failpoint;
use crate::sync::Links;
use crate::target::TargetError;
use crate::target::fill::{self, Lost};
use crate::target::merge::{self, Applied, MergePlan, StateChange};
use crate::target::quarantine::{self, Aside};

/// Failpoint: the rows are applied or in the quarantine, nothing is committed.
pub const FAIL_QUARANTINED: &str = "load.quarantined";

impl Work<'_> {
    /// What this load may set aside. None where a refused row stops it, and the quarantine has nothing of its target.
    pub(super) async fn aside(&self, links: &mut Links) -> Result<Option<Aside>> {
        let side = self.sync.target_side()?;
        let control = Links::control(&mut links.target, side, Kind::Target).await?;
        let target = &self.table.target;
        let mut records = quarantine::records(control, target).await?;
        if self.facts.found == Found::Missing && !records.is_empty() {
            quarantine::discard_all(control, target).await?;
            records.clear();
        }
        let rows_max = self.table.merge.quarantine;
        if self.facts.mode == MergeMode::Append || !self.facts.is_keyed {
            return Ok(None);
        }
        if rows_max.is_some() {
            quarantine::ensure(control).await?;
        }
        let is_needed = rows_max.is_some() || !records.is_empty();
        Ok(is_needed.then_some(Aside { rows_max, records }))
    }

    /// Steps 4 and 5, of a staged load.
    pub(super) async fn merged(
        &mut self,
        links: &mut Links,
        plan: &mut MergePlan,
        change: StateChange,
        aside: Option<Aside>,
    ) -> Result<Applied> {
        let side = self.sync.target_side()?;
        let control = Links::control(&mut links.target, side, Kind::Target).await?;
        let Some(aside) = aside else {
            merge::settle(control, plan).await?;
            failpoint::reach(FAIL_AFTER_NET);
            let steps = merge::steps(plan, self.table.merge.batch_rows);
            self.transactions = steps.len();
            return self.apply(links, plan, change, &steps).await;
        };
        let faults = quarantine::settle(control, plan, &aside).await?;
        failpoint::reach(FAIL_AFTER_NET);
        let prepared = quarantine::prepare(control, plan, &change, &aside, faults).await?;
        self.quarantined = prepared.refused;
        failpoint::reach(FAIL_QUARANTINED);
        let committed = quarantine::commit(control, &self.table.target).await;
        let applied = committed.map(|()| prepared.applied);
        self.settled(links, applied, &change).await
    }

    /// What a character means that a copy could not encode. Where rows may be set aside, the server decides on each.
    pub(super) fn lost(&self, error: &Error) -> Option<Lost> {
        Some(match fill::lost(error, &self.table.target)? {
            Lost::Surely(TargetError::LostCharacter { example, .. })
                if self.table.merge.quarantine.is_some() =>
            {
                Lost::Perhaps(example)
            }
            lost => lost,
        })
    }
}
