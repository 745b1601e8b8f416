//! Steps 3 and 4 of a first load whose rows go straight into the table that becomes the target. Its protocol is argued
//! in [`crate::target::fill`].

use super::Work;
use super::columns::newest;
use crate::error::{Kind, Result};
use crate::failpoint;
use crate::sync::stage::{self, Heap, StagedPart};
use crate::sync::{Links, Phase};
use crate::target::TargetError;
use crate::target::fill::{self, Lost, Route};
use crate::target::inspect::{self, TargetTable};
use crate::target::merge::{self, Applied};

/// Failpoint: the table to fill is there and empty.
pub const FAIL_AFTER_FILL_CREATE: &str = "load.after_fill_create";
/// Failpoint: the table is filled and has no key.
pub const FAIL_AFTER_FILL: &str = "load.after_fill";
/// Failpoint: the table has its key and is not the target yet.
pub const FAIL_AFTER_FILL_KEY: &str = "load.after_fill_key";

impl Work<'_> {
    /// Fills and publishes the target, and says how many rows were sent. None where the rows have to be staged.
    pub(super) async fn filled(
        &mut self,
        links: &mut Links,
        parts: &[StagedPart],
    ) -> Result<Option<(u64, Applied)>> {
        if !self.kind.may_fill(&self.facts) {
            return Ok(None);
        }
        let side = self.sync.target_side()?;
        let control = Links::control(&mut links.target, side, Kind::Target).await?;
        let (name, target) = (&self.name, &self.table.target);
        let schema = self.columns.created();
        let rights = fill::rights(control, target).await?;
        if let Route::Staged(why) = fill::route(target, &schema, rights) {
            tracing::info!("{name}: rows go through a staging table: {why}");
            return Ok(None);
        }
        self.found(control).await?;
        let planned = TargetTable::planned(target, &schema);
        let (all, mode) = (&self.columns, self.table.merge.mode);
        let warnings = inspect::check(all, &planned, mode)?;
        let table = fill::name(target, self.run_id);
        fill::create(control, &table, target, &schema).await?;
        failpoint::reach(FAIL_AFTER_FILL_CREATE);
        tracing::info!("{name}: rows go straight into the table that becomes {target}");
        let shape = all.shape(self.lake.lake_schema());
        let heap = Heap::fill(&table, fill::bulk_columns(&schema, &shape), &shape);
        let staged = stage::stage(self.sync, name, &self.lake, links, heap, parts).await;
        let control = Links::control(&mut links.target, side, Kind::Target).await?;
        let staged = match staged {
            Ok(staged) => staged,
            Err(error) => match fill::lost(&error, target) {
                Some(Lost::Perhaps(example)) => {
                    tracing::warn!(
                        "{name}: {example}, as far as this machine knows. The load begins again through a staging \
                            table, where the server decides"
                    );
                    fill::abandon(control, &table, target).await?;
                    return Ok(None);
                }
                Some(Lost::Surely(error)) => return Err(error.into()),
                None => return Err(error),
            },
        };
        failpoint::reach(FAIL_AFTER_FILL);
        self.sync.observer.phase(name, Phase::Merge, staged.rows);
        match fill::build_key(control, &table, target, &schema, self.run_id, mode).await {
            // Spellings of one key: the load through a staging table keeps the newest.
            Err(TargetError::DuplicateKey { .. })
                if merge::keys_are_the_source_s(&all.schema, &planned)
                    && newest(&self.lake, &all.schema.columns)?.is_some() =>
            {
                tracing::info!(
                    "{name}: keys are equal; the load begins again through a staging table"
                );
                fill::abandon(control, &table, target).await?;
                return Ok(None);
            }
            built => built?,
        }
        failpoint::reach(FAIL_AFTER_FILL_KEY);
        let publication = fill::publication(table, target, staged.rows);
        let change = self.state_change(&planned);
        let published = fill::publish(control, &publication, &change).await;
        let applied = self.settled(links, published, &change).await?;
        self.created = true;
        self.warnings.extend(warnings);
        Ok(Some((staged.rows, applied)))
    }
}
