//! `icesync state show`: the facts as a report.

use super::facts::{Depth, Facts, Known, LakeFacts, Looking, TargetFacts};
use crate::config::Table;
use crate::error::{Error, Kind, Result};
use crate::report::{
    ErrorReport, LakeState, LoadedState, StateReport, StatesReport, TargetState, UnconfiguredState,
};
use crate::sync::session::{Links, Sync};
use crate::target::state::LoadState;
use crate::target::upkeep;
use std::collections::HashSet;

impl Sync {
    /// What is remembered of each table. Changes nothing. A side that cannot be read does not hide the other. With
    /// `others`, also the load states of targets that `tables` does not have.
    pub async fn show_state(self, tables: Vec<Table>, others: bool) -> Result<StatesReport> {
        let targets: HashSet<String> = tables.iter().map(|table| lower(&table.target)).collect();
        let looking = Looking::new(&self, Depth::Records);
        let listing = self
            .each(tables, async |table, links| {
                let facts = looking.at(table, links).await;
                Ok(report(table, facts))
            })
            .await?;
        let mut states = StatesReport {
            tables: listing.tables,
            unconfigured: Vec::new(),
            errors: listing.errors,
            connection_warnings: listing.connection_warnings,
        };
        if others && looking.reaches_target() {
            match self.unconfigured(&targets).await {
                Ok(found) => states.unconfigured = found,
                Err(error) => states.errors.push(ErrorReport::of(&error)),
            }
        }
        Ok(states)
    }

    async fn unconfigured(&self, targets: &HashSet<String>) -> Result<Vec<UnconfiguredState>> {
        let mut links = Links::default();
        let side = self.target_side()?;
        let control = Links::control(&mut links.target, side, Kind::Target).await?;
        let states = upkeep::states(control).await.map_err(Error::from)?;
        let others = states
            .into_iter()
            .filter(|state| !targets.contains(&state.target.to_lowercase()));
        let others = others.map(|state| UnconfiguredState {
            target: state.target,
            lake_table: state.lake_table,
            snapshot_id: state.snapshot_id,
            sequence_number: state.sequence_number,
            run_id: state.run_id,
            loaded_at: state.loaded_at,
        });
        Ok(others.collect())
    }
}

/// A target's name as it is compared: names of tables are the same in any case in most databases, and a state that is
/// passed over here is only not listed.
fn lower(target: &crate::schema::TableName) -> String {
    target.to_string().to_lowercase()
}

/// The facts as a report.
fn report(table: &Table, facts: Facts) -> StateReport {
    let Facts { lake, target } = facts;
    StateReport {
        source: table.source.to_string(),
        lake: lake_state(table, lake),
        target: match target {
            Known::Absent => None,
            Known::Failed(error) => Some(TargetState {
                error: Some(error),
                ..unknown(table)
            }),
            Known::Found(found) => Some(target_state(table, found)),
        },
    }
}

fn lake_state(table: &Table, lake: Known<LakeFacts>) -> LakeState {
    let unknown = LakeState {
        table: table.lake.to_string(),
        exists: false,
        uuid: None,
        snapshot_id: None,
        sequence_number: None,
        checkpoint: None,
        checkpoint_sequence_number: None,
        tags: Vec::new(),
        error: None,
    };
    let lake = match lake {
        Known::Absent => return unknown,
        Known::Failed(error) => {
            return LakeState {
                error: Some(error),
                ..unknown
            };
        }
        Known::Found(lake) => lake,
    };
    let number = |id: Option<i64>| id.and_then(|id| lake.number(id));
    let sequence_number = number(lake.current);
    let (checkpoint, error) = match &lake.checkpoint {
        Ok(checkpoint) => (checkpoint.clone(), None),
        Err(error) => (None, Some(error.clone())),
    };
    let checkpoint_snapshot = checkpoint.as_ref().and_then(|found| found.snapshot_id);
    LakeState {
        exists: true,
        snapshot_id: lake.current,
        sequence_number,
        checkpoint_sequence_number: number(checkpoint_snapshot),
        checkpoint,
        uuid: Some(lake.uuid),
        tags: lake.tags,
        error,
        ..unknown
    }
}

fn unknown(table: &Table) -> TargetState {
    TargetState {
        table: table.target.to_string(),
        exists: None,
        loaded: None,
        is_same_table: None,
        is_loading: false,
        pending_snapshot_id: None,
        staging_tables: Vec::new(),
        error: None,
    }
}

fn target_state(table: &Table, target: TargetFacts) -> TargetState {
    let looked = &target.looked;
    let state = looked.state.as_ref();
    let recorded = state.and_then(|state| state.object.as_ref());
    TargetState {
        exists: Some(looked.object.is_some()),
        loaded: state.map(loaded),
        is_same_table: recorded.map(|recorded| looked.object.as_ref() == Some(recorded)),
        is_loading: target.is_loading,
        pending_snapshot_id: target.pending,
        staging_tables: target.staging,
        ..unknown(table)
    }
}

fn loaded(state: &LoadState) -> LoadedState {
    LoadedState {
        lake_table: state.lake_table.clone(),
        table_uuid: state.table_uuid.clone(),
        snapshot_id: state.loaded(),
        sequence_number: state.sequence_number,
        run_id: state.run_id.clone(),
        loaded_at: state.loaded_at.clone(),
    }
}
