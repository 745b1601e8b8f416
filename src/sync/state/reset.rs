//! `icesync state reset`: the next extract reads everything, or the next load compares everything.
//!
//! **The checkpoint** is not removed. It stays without a watermark and gets a new token. So an extract that began
//! before the reset stops at its commit instead of taking the table for one that was never extracted. Its snapshot
//! stays, so that the next extract still notices what other writers did after it.

use super::LOCK_TIMEOUT_MS;
use super::facts::named;
use crate::change::{Checkpoint, MergeMode, RunId, Strategy};
use crate::config::Table;
use crate::error::{Kind, Result};
use crate::lake::LakeTable;
use crate::mssql::sql::TableIdent;
use crate::report::{Listing, StateChangeReport};
use crate::schema::TableKind;
use crate::sync::load::lake_table;
use crate::sync::session::{Links, Sync};
use crate::target::state::LoadState;
use crate::target::{staging, state, upkeep};

impl Sync {
    /// Takes the watermark from the checkpoint of each lake table; without `yes` says what would follow.
    pub async fn reset_checkpoints(
        self,
        tables: Vec<Table>,
        yes: bool,
    ) -> Result<Listing<StateChangeReport>> {
        self.each(tables, async |table, _| {
            let mut lake = lake_table(&self, table).await?;
            let mut report = StateChangeReport {
                table: table.source.to_string(),
                done: yes,
                changes: Vec::new(),
                follows: vec![next_extract(table)],
            };
            let (what, reset) = match lake.checkpoint() {
                Ok(Some(found)) => {
                    report.follows.extend(given_up(&found));
                    (described(&lake, &found), after_reset(&found))
                }
                Ok(None) => return Ok(report),
                Err(error) => (
                    format!("which cannot be read ({error})"),
                    after_damage(&lake),
                ),
            };
            if yes {
                lake.settle().await;
                lake.replace_checkpoint(&reset).await?;
            }
            report.changes.push(format!(
                "reset the checkpoint of lake table {}, {what}",
                table.lake
            ));
            Ok(report)
        })
        .await
    }

    /// Removes the load state of each target; without `yes` says what would follow.
    pub async fn reset_load_states(
        self,
        tables: Vec<Table>,
        yes: bool,
    ) -> Result<Listing<StateChangeReport>> {
        self.target_side()?;
        self.each(tables, async |table, links| {
            let side = self.target_side()?;
            let control = Links::control(&mut links.target, side, Kind::Target).await?;
            let target = &table.target;
            if yes {
                staging::lock(control, target, LOCK_TIMEOUT_MS).await?;
            }
            let looked = state::look(control, target).await?;
            let mut report = StateChangeReport {
                table: table.source.to_string(),
                done: yes,
                changes: Vec::new(),
                follows: next_load(table, looked.state.as_ref()),
            };
            if let Some(state) = &looked.state {
                if yes {
                    upkeep::forget(control, target, state).await?;
                }
                report.changes.push(format!(
                    "remove the load state of target {target}: snapshot {} of lake table {}, loaded {}Z by run {}",
                    state.sequence_number, state.lake_table, state.loaded_at, state.run_id
                ));
            }
            if yes {
                staging::unlock(control, target).await?;
            }
            Ok(report)
        })
        .await
    }
}

/// What a checkpoint says, for a person.
pub(super) fn described(lake: &LakeTable, checkpoint: &Checkpoint) -> String {
    let mark = checkpoint.watermark.as_ref();
    let mark = mark.map(|mark| format!(", {} up to {mark}", mark.column));
    let snapshot = match checkpoint.snapshot_id {
        Some(id) => named(lake, id),
        None => "no snapshot".to_owned(),
    };
    format!(
        "{}{}; {snapshot}, committed {} by run {}",
        checkpoint.strategy,
        mark.unwrap_or_default(),
        checkpoint.committed_at,
        checkpoint.run_id
    )
}

/// What becomes of a ledger that a checkpoint has and its successor has not.
pub(super) fn given_up(checkpoint: &Checkpoint) -> Option<String> {
    let ledger = checkpoint.backfill.as_ref()?;
    Some(format!(
        "a read of the whole table that was interrupted after {} of {} ranges begins again; \
         `icesync maintain --orphans` removes the files of those ranges",
        ledger.done.len(),
        ledger.cuts.len() + 1
    ))
}

/// The checkpoint from which everything is read.
fn after_reset(found: &Checkpoint) -> Checkpoint {
    Checkpoint {
        snapshot_id: found.snapshot_id,
        ..Checkpoint::reached(RunId::generate(), found.strategy, None)
    }
}

/// The same in the place of one that cannot be read: of the last run whose commit is on `main`.
fn after_damage(lake: &LakeTable) -> Checkpoint {
    let run = lake.last_run_on_main();
    let strategy = run
        .as_ref()
        .and_then(|run| run.checkpoint.as_ref())
        .map_or(Strategy::Full, |found| found.strategy);
    Checkpoint {
        snapshot_id: run.map(|run| run.id),
        ..Checkpoint::reached(RunId::generate(), strategy, None)
    }
}

fn next_extract(table: &Table) -> String {
    let compared = match table.kind {
        TableKind::Mirror => {
            "writes the rows that differ. A table that is read in ranges under a watermark is written anew instead"
        }
        TableKind::History => "appends the versions that the lake does not have",
    };
    format!(
        "the next extract reads all of {}, compares it with lake table {} and {compared}",
        table.source, table.lake
    )
}

fn next_load(table: &Table, state: Option<&LoadState>) -> Vec<String> {
    let target = &table.target;
    let mut follows = match table.merge.mode {
        MergeMode::Upsert => {
            let mut follows = vec![format!(
                "the next load compares the whole snapshot with the rows of target {target} and writes those that \
                 differ"
            )];
            if let Some(state) = state.filter(|state| state.loaded().is_some()) {
                follows.push(format!(
                    "rows that leave the lake after snapshot {} and before that load stay in the target; \
                     `merge: {{ mode: replace }}` removes them",
                    state.sequence_number
                ));
            }
            follows
        }
        MergeMode::Append | MergeMode::History | MergeMode::Scd2 => vec![format!(
            "the next load adds the whole snapshot, and only to an empty table: run TRUNCATE TABLE {} before it",
            TableIdent(target)
        )],
        MergeMode::Replace => vec![format!(
            "the next load replaces all rows of target {target} with those of the snapshot"
        )],
    };
    if state.is_some() {
        follows.push(
            "the tags of the target stay in the lake until then, so that the state can be put back with `icesync state \
             import --target`"
                .to_owned(),
        );
    }
    follows
}
