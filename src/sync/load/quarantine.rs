//! Step 5, where rows may be set aside. Their protocol is argued in [`crate::target::quarantine`].

use super::kind::Found;
use super::work::Work;
use crate::change::MergeMode;
use crate::error::{Disposition, Error, Kind, Result};
use crate::failpoint;
use crate::report::plural;
use crate::schema::shell_quoted;
use crate::sync::Links;
use crate::sync::stop::APPLYING;
use crate::target::TargetError;
use crate::target::fill::{self, Lost};
use crate::target::merge::{Applied, MergePlan, StateChange};
use crate::target::quarantine::{self, Aside, Fault};

/// Failpoint: the rows are applied or in the quarantine, nothing is committed.
pub const FAIL_QUARANTINED: &str = "load.quarantined";

impl Work<'_> {
    /// What this load may set aside. None where a refused row stops it, and the quarantine has nothing of its target.
    pub(super) async fn aside(&self, links: &mut Links) -> Result<Option<Aside>> {
        let side = self.sync.target_side()?;
        let control = Links::control(&mut links.target, side, Kind::Target).await?;
        let target = &self.table.target;
        // Those of a table that is gone go with the transaction that makes a new one.
        let records = match self.facts.found == Found::Missing || self.looked.in_quarantine == 0 {
            true => Vec::new(),
            false => quarantine::records(control, target).await?,
        };
        let rows_max = self.table.merge.quarantine;
        if self.is_grouped && !records.is_empty() {
            return Err(self.not_in_a_group(records.len() as u64));
        }
        match self.facts.mode {
            MergeMode::Upsert => {}
            MergeMode::Replace if !records.is_empty() => {
                return Err(self.not_replaced(records.len() as u64));
            }
            MergeMode::Replace | MergeMode::Append | MergeMode::History | MergeMode::Scd2 => {
                return Ok(None);
            }
        }
        if rows_max.is_some() {
            quarantine::ensure(control).await?;
        }
        let is_needed = rows_max.is_some() || !records.is_empty();
        Ok(is_needed.then_some(Aside { rows_max, records }))
    }

    /// Step 5 of a staged load that may set rows aside.
    pub(super) async fn set_aside(
        &mut self,
        links: &mut Links,
        plan: &MergePlan,
        change: &StateChange,
        aside: &Aside,
        faults: Vec<Fault>,
    ) -> Result<Applied> {
        let side = self.sync.target_side()?;
        let control = Links::control(&mut links.target, side, Kind::Target).await?;
        let preparing = quarantine::prepare(control, plan, change, aside, faults);
        let prepared = self
            .sync
            .stop
            .cut(APPLYING, async { Ok::<_, Error>(preparing.await?) });
        let prepared = prepared.await?;
        self.quarantined = prepared.refused;
        failpoint::reach(FAIL_QUARANTINED);
        let committed = quarantine::commit(control, &self.table.target).await;
        let applied = committed.map(|()| prepared.applied);
        self.settled(links, applied, change).await
    }

    /// The refusal of a load that would have to take rows out of the quarantine in the transaction of several tables.
    /// A part of the rows cannot replace those of a target, so that a replacement can set none aside, and keeps no
    /// record of those that an upsert has set aside.
    fn not_replaced(&self, rows: u64) -> Error {
        let (target, source) = (&self.table.target, shell_quoted(&self.table.source));
        let message = format!(
            "target {target} has {} in quarantine, which `merge.mode: replace` takes no notice of. Nothing was loaded. \
             Run `icesync quarantine discard --table {source} --all --yes`: a replacement loads those rows again, or \
             stops at them",
            plural(rows, "row")
        );
        Error::new(Kind::Target, Disposition::Definite, message)
    }

    fn not_in_a_group(&self, rows: u64) -> Error {
        let (target, source) = (&self.table.target, shell_quoted(&self.table.source));
        let message = format!(
            "target {target} has {} in quarantine, and a load of several tables in one transaction takes none out. \
             Nothing was loaded. Run `icesync quarantine retry --table {source}`, which loads it alone, or discard \
             them with `icesync quarantine discard`, or set `load: {{ group: none }}`",
            plural(rows, "row")
        );
        Error::new(Kind::Target, Disposition::Definite, message)
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
