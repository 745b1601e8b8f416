//! `icesync state forget`: removes what is left of a target that is gone, so that it no longer keeps snapshots.
//!
//! The load state goes first, then the tags. A command that is killed in between leaves tags without a state, which
//! the same command finds again: it looks for them in every table of the warehouse.

use super::LOCK_TIMEOUT_MS;
use crate::error::{Disposition, Error, Kind, Result};
use crate::lake::{LakeTable, LoadTag, TargetTags};
use crate::mssql::control::Control;
use crate::report::{Listing, StateChangeReport, plural};
use crate::schema::TableName;
use crate::sync::session::{Links, Sync};
use crate::target::state::{self, Identity, LoadState, Looked};
use crate::target::{quarantine, staging, upkeep};

impl Sync {
    /// Removes the load state of a table in the target database, its abandoned staging tables, its rows in quarantine,
    /// and its tags in the warehouse; without `yes` says what would follow.
    pub async fn forget_target(
        self,
        target: TableName,
        yes: bool,
    ) -> Result<Listing<StateChangeReport>> {
        let mut links = Links::default();
        let side = self.target_side()?;
        let control = Links::control(&mut links.target, side, Kind::Target).await?;
        let Identity { server, database } = state::identity(control).await?;
        let tags = TargetTags::new(&server, &database, &target);
        let mut report = StateChangeReport {
            table: target.to_string(),
            done: yes,
            changes: Vec::new(),
            follows: Vec::new(),
        };
        let is_of_target = |tag: &LoadTag| tags.names(&tag.name);
        let tagged = self.tagged(is_of_target, &mut report.follows).await?;
        if let Some(state) = remove_state(control, &target, yes, &mut report).await? {
            report.follows.push(format!(
                "a load of target {target} from now on compares the whole snapshot, as after `state reset --target`: \
                 it had snapshot {} of lake table {}",
                state.sequence_number, state.lake_table
            ));
        }
        for (lake, found) in tagged {
            remove_tags(lake, &found, yes, &mut report).await?;
        }
        if report.changes.is_empty() {
            let message = format!(
                "nothing is remembered of target {target}: it has no load state in database {database} of server \
                 {server}, and no tag in the warehouse. `icesync state show` lists load states and tags"
            );
            return Err(Error::new(Kind::Target, Disposition::Definite, message));
        }
        Ok(alone(report, self.connection_warnings()))
    }

    /// Removes tags of loads by name from a lake table, for a target whose database is gone; without `yes` says what
    /// would follow.
    pub async fn forget_tags(
        self,
        lake: TableName,
        names: Vec<String>,
        yes: bool,
    ) -> Result<Listing<StateChangeReport>> {
        let Some(table) = self.warehouse.table(&lake).await? else {
            return Err(refused(format!(
                "lake table {lake} does not exist in the warehouse"
            )));
        };
        let tags = table.load_tags();
        let known: Vec<&str> = tags.iter().map(|tag| tag.name.as_str()).collect();
        if let Some(unknown) = names.iter().find(|name| !known.contains(&name.as_str())) {
            return Err(refused(format!(
                "lake table {lake} has no tag {unknown} of a load. It has {}",
                match known.is_empty() {
                    true => "none".to_owned(),
                    false => known.join(", "),
                }
            )));
        }
        let chosen: Vec<LoadTag> = tags
            .into_iter()
            .filter(|tag| names.contains(&tag.name))
            .collect();
        let mut report = StateChangeReport {
            table: lake.to_string(),
            done: yes,
            changes: Vec::new(),
            follows: vec![
                "if the target still exists and was not loaded since, its next load may find that its snapshot has \
                 expired"
                    .to_owned(),
            ],
        };
        remove_tags(table, &chosen, yes, &mut report).await?;
        Ok(alone(report, self.connection_warnings()))
    }

    /// The tables of the warehouse with tags that are wanted. A table that cannot be read is named in `follows`.
    async fn tagged(
        &self,
        is_wanted: impl Fn(&LoadTag) -> bool,
        follows: &mut Vec<String>,
    ) -> Result<Vec<(LakeTable, Vec<LoadTag>)>> {
        let mut tagged = Vec::new();
        for name in self.warehouse.tables().await? {
            let lake = match self.warehouse.table(&name).await {
                Ok(Some(lake)) => lake,
                Ok(None) => continue,
                Err(error) => {
                    let error = Error::from(error).report();
                    follows.push(format!(
                        "lake table {name} cannot be read, so tags of the target may stay there: {error}"
                    ));
                    continue;
                }
            };
            let tags: Vec<LoadTag> = lake.load_tags().into_iter().filter(&is_wanted).collect();
            if !tags.is_empty() {
                tagged.push((lake, tags));
            }
        }
        Ok(tagged)
    }
}

/// Removes the load state of a target, its abandoned staging tables, and its rows in quarantine; answers the state.
async fn remove_state(
    control: &mut Control,
    target: &TableName,
    yes: bool,
    report: &mut StateChangeReport,
) -> Result<Option<LoadState>> {
    if yes {
        staging::lock(control, target, LOCK_TIMEOUT_MS).await?;
    }
    let staged = upkeep::staging_tables(control, target).await?;
    if !staged.is_empty() {
        if yes {
            staging::drop_orphans(control, target).await?;
        }
        report.changes.push(format!(
            "drop {} of target {target}",
            plural(staged.len() as u64, "staging table")
        ));
    }
    let Looked {
        state,
        in_quarantine: refused,
        ..
    } = state::look(control, target).await?;
    if let Some(state) = &state {
        if yes {
            upkeep::forget(control, target, state).await?;
        }
        report.changes.push(format!(
            "remove the load state of target {target}: snapshot {} of lake table {}, loaded {}Z by run {}",
            state.sequence_number, state.lake_table, state.loaded_at, state.run_id
        ));
    }
    if refused > 0 {
        if yes {
            quarantine::discard_all(control, target).await?;
        }
        report.changes.push(format!(
            "remove {} of target {target} from the quarantine",
            plural(refused, "row")
        ));
    }
    if yes {
        staging::unlock(control, target).await?;
    }
    Ok(state)
}

async fn remove_tags(
    mut lake: LakeTable,
    tags: &[LoadTag],
    yes: bool,
    report: &mut StateChangeReport,
) -> Result<()> {
    let name = lake.name().clone();
    for tag in tags {
        let number = tag.sequence_number.unwrap_or_default();
        report.changes.push(format!(
            "remove tag {} from lake table {name}; snapshot {number} may expire unless something else keeps it",
            tag.name
        ));
    }
    if yes {
        lake.settle().await;
        let names: Vec<String> = tags.iter().map(|tag| tag.name.clone()).collect();
        lake.remove_load_tags(&names).await?;
    }
    Ok(())
}

fn alone(
    report: StateChangeReport,
    connection_warnings: Vec<String>,
) -> Listing<StateChangeReport> {
    Listing {
        tables: vec![report],
        errors: Vec::new(),
        warnings: Vec::new(),
        connection_warnings,
        tables_partial: 0,
    }
}

fn refused(message: String) -> Error {
    Error::new(Kind::Lake, Disposition::Definite, message)
}
