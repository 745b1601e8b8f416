//! `icesync state repair`: mends what loses no information, and says what is left.
//!
//! Mended are the version hint of the lake table, staging tables of loads that died, and the tags of the target.
//! None of them is a source of truth: the hint follows the metadata files, the tags follow the load state. With
//! `--adopt` the load state also gets the table that the target is now, because somebody says that it has the rows of
//! the recorded snapshot, as after a table was copied and renamed. A state whose snapshot the lake table does not have
//! says nothing: a load compares everything with a table that is not the one loaded, and could not go on from that
//! snapshot.

use super::LOCK_TIMEOUT_MS;
use super::facts::{Depth, Looking};
use super::verify::findings;
use crate::config::Table;
use crate::error::{Error, Kind, Result};
use crate::lake::LakeTable;
use crate::mssql::control::Control;
use crate::report::{Finding, Listing, RepairReport, Severity, plural};
use crate::sync::protect;
use crate::sync::session::{Links, Side, Sync};
use crate::target::state::Looked;
use crate::target::{staging, state, upkeep};

impl Sync {
    /// Mends the state of each table. What a side refuses is among the findings that are left, as is everything that
    /// is not mended.
    pub async fn repair_state(
        self,
        tables: Vec<Table>,
        adopt: bool,
    ) -> Result<Listing<RepairReport>> {
        let looking = Looking::new(&self, Depth::Ancestry);
        self.each(tables, async |table, links| {
            let mut repair = Repair {
                table,
                adopt,
                done: Vec::new(),
                left: Vec::new(),
            };
            let mended = repair.mend(&self, links).await;
            let refused = links.guard(mended).err().map(|error| Finding {
                severity: Severity::Error,
                message: format!("not all was mended: {}", error.report()),
                remedy: String::new(),
            });
            let facts = looking.at(table, links).await;
            let left = findings(table, &facts).into_iter();
            let left = left.filter(|finding| finding.severity > Severity::Info);
            Ok(RepairReport {
                source: table.source.to_string(),
                lake: table.lake.to_string(),
                target: table.target.to_string(),
                done: repair.done,
                left: refused.into_iter().chain(repair.left).chain(left).collect(),
            })
        })
        .await
    }
}

struct Repair<'a> {
    table: &'a Table,
    adopt: bool,
    done: Vec<String>,
    left: Vec<Finding>,
}

impl Repair<'_> {
    async fn mend(&mut self, sync: &Sync, links: &mut Links) -> Result<()> {
        let lake = self.mend_lake(sync).await;
        if let Some(side) = &sync.target {
            let control = Links::control(&mut links.target, side, Kind::Target).await?;
            staging::lock(control, &self.table.target, LOCK_TIMEOUT_MS).await?;
            let known = lake.as_ref().ok().and_then(Option::as_ref);
            self.mend_target(side, control, known).await?;
            staging::unlock(control, &self.table.target).await?;
        }
        lake.map(drop)
    }

    async fn mend_lake(&mut self, sync: &Sync) -> Result<Option<LakeTable>> {
        let Some(lake) = sync.warehouse.table(&self.table.lake).await? else {
            return Ok(None);
        };
        if lake.mend_hint().await? {
            let version = lake.metadata_version();
            self.done
                .push(format!("version-hint.text names version {version}"));
        }
        Ok(Some(lake))
    }

    /// Under the load lock.
    async fn mend_target(
        &mut self,
        side: &Side,
        control: &mut Control,
        lake: Option<&LakeTable>,
    ) -> Result<()> {
        let target = &self.table.target;
        let dropped = staging::drop_orphans(control, target).await?;
        if dropped > 0 {
            self.done.push(format!(
                "dropped {} of loads that died",
                plural(dropped, "staging table")
            ));
        }
        let looked = state::look(control, target).await?;
        if self.adopt {
            self.adopt(control, &looked, lake).await?;
        }
        let Some(lake) = lake else { return Ok(()) };
        if let Some(state) = protect::known(lake, looked.state.as_ref()) {
            let tags = protect::tags(side, self.table, control).await?;
            let mut lake = lake.clone();
            let mended = lake.mend_tags(&tags, state.snapshot_id).await;
            self.done.extend(mended.map_err(Error::from)?);
        }
        Ok(())
    }

    /// Makes the load state one of the table that the target is.
    async fn adopt(
        &mut self,
        control: &mut Control,
        looked: &Looked,
        lake: Option<&LakeTable>,
    ) -> Result<()> {
        let target = &self.table.target;
        let (Some(state), Some(found)) = (&looked.state, &looked.object) else {
            return Ok(());
        };
        if state.object.as_ref() == Some(found) || state.object.is_none() {
            return Ok(());
        }
        if lake.is_none_or(|lake| protect::known(lake, Some(state)).is_none()) {
            self.left.push(Finding {
                severity: Severity::Warning,
                message: format!(
                    "the load state of target {target} still names the table that was loaded: snapshot {}, which it \
                     has of lake table {}, is not in lake table {}, so no load could go on from it",
                    state.sequence_number, state.lake_table, self.table.lake
                ),
                remedy: "The next load loads the whole snapshot into the table that is there".to_owned(),
            });
            return Ok(());
        }
        upkeep::adopt(control, target, state, found).await?;
        self.done.push(format!(
            "the load state of target {target} names the table that is there: loads go on from snapshot {}",
            state.sequence_number
        ));
        Ok(())
    }
}
