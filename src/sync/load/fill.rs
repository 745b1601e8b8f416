//! Steps 3 and 4 of a first load whose rows go straight into the table that becomes the target. Its protocol is argued
//! in [`crate::target::fill`].

use super::columns::newest;
use super::work::{Filled, Work};
use crate::error::{Kind, Result};
use crate::failpoint;
use crate::mssql::control::Control;
use crate::sync::stage::{self, Heap, StagedPart};
use crate::sync::{Links, Phase};
use crate::target::TargetError;
use crate::target::create::{self, Design, Naming};
use crate::target::fill::{self, Filling, Lost, Route};
use crate::target::inspect::{self, TargetTable};
use crate::target::merge::{self, Applied, Extent};

/// Failpoint: the table to fill is there and empty.
pub const FAIL_AFTER_FILL_CREATE: &str = "load.after_fill_create";
/// Failpoint: the table is filled and has no key.
pub const FAIL_AFTER_FILL: &str = "load.after_fill";
/// Failpoint: the table has its key, its indexes and constraints, and is not the target yet.
pub const FAIL_AFTER_FILL_KEY: &str = "load.after_fill_key";

impl Work<'_> {
    /// Fills the table that becomes the target. None where the rows have to be staged.
    pub(super) async fn filled(
        &mut self,
        links: &mut Links,
        parts: &[StagedPart],
    ) -> Result<Option<Filled>> {
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
        let mut warnings = inspect::check(all, &planned, mode)?;
        let table = fill::name(target, self.run_id);
        let design = self.design()?;
        let filling = Filling {
            fill: &table,
            target,
            schema: &schema,
            storage: &design.storage,
            run: self.run_id,
        };
        fill::create(control, filling).await?;
        failpoint::reach(FAIL_AFTER_FILL_CREATE);
        tracing::info!("{name}: rows go straight into the table that becomes {target}");
        let shape = all.shape(self.lake.lake_schema());
        let heap = Heap::fill(&table, fill::bulk_columns(&schema, &shape), &shape);
        let staged = stage::stage(self.sync, name, &self.lake, links, heap, parts).await;
        let control = Links::control(&mut links.target, side, Kind::Target).await?;
        let staged = match staged {
            Ok(staged) => staged,
            Err(error) => match self.lost(&error) {
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
        let Some(refused) = self.finished(control, filling, &design).await? else {
            fill::abandon(control, &table, target).await?;
            return Ok(None);
        };
        warnings.extend(design.warnings.iter().cloned().chain(refused));
        failpoint::reach(FAIL_AFTER_FILL_KEY);
        let constraints = design.constraints(&create::suffix(self.run_id));
        let publication = fill::publication(filling, constraints, staged.rows);
        let change = self.state_change(&planned);
        self.is_created = true;
        self.warnings.extend(warnings);
        Ok(Some(Filled {
            publication,
            change,
        }))
    }

    /// Makes the filled table the target.
    pub(super) async fn publish(&self, links: &mut Links, filled: &Filled) -> Result<Applied> {
        let Filled {
            publication,
            change,
        } = filled;
        let side = self.sync.target_side()?;
        let control = Links::control(&mut links.target, side, Kind::Target).await?;
        self.may_begin(None)?;
        let published = fill::publish(control, publication, change, Extent::Transaction);
        let published = self.unless_cut(published).await;
        self.settled(links, published, change).await
    }

    /// Gives a table that is filled its key, and what else the target is to have; answers what the server refused. None
    /// where keys are equal that the load through a staging table can choose from.
    async fn finished(
        &self,
        control: &mut Control,
        filling: Filling<'_>,
        design: &Design,
    ) -> Result<Option<Vec<String>>> {
        let (all, mode) = (&self.columns, self.table.merge.mode);
        let suffix = create::suffix(self.run_id);
        let naming = Naming::Suffixed(&suffix);
        let clustered = design.clustered.as_slice();
        let mut refused = self.make(control, filling.fill, clustered, naming).await?;
        match fill::build_key(control, filling, mode).await {
            // Spellings of one key: the load through a staging table keeps the newest.
            Err(TargetError::DuplicateKey { .. })
                if merge::keys_are_the_source_s(
                    &all.schema,
                    &TargetTable::planned(filling.target, filling.schema),
                ) && newest(&self.lake, all)?.is_some() =>
            {
                tracing::info!(
                    "{}: keys are equal; the load begins again through a staging table",
                    self.name
                );
                return Ok(None);
            }
            built => built?,
        }
        let made = self.make(control, filling.fill, &design.objects, naming);
        refused.extend(made.await?);
        if let Some((column, is_descending)) = &design.reseeds {
            let identity = (column.as_str(), *is_descending);
            let seeded = create::reseed(control, filling.fill, filling.target, identity);
            refused.extend(seeded.await?);
        }
        Ok(Some(refused))
    }
}
