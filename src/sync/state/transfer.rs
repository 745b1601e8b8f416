//! `icesync state export` and `import`: checkpoint and load state in a file, and back.
//!
//! **What a file may put back.** A checkpoint is right for a lake table as long as its snapshot is on `main`: the rows
//! up to its watermark are there. Is it older than the table's own, the rows in between are read again. A mirror takes
//! them once more without a difference; a history would keep them twice, so it takes no checkpoint that a later run has
//! gone on from. A load state says that the target has exactly the rows of a snapshot. Nothing can check that but a
//! comparison of all rows, so `import --target` believes it, and only where nothing says otherwise. A state that the
//! target has was committed with its rows, and it stays. Of a target without one the tags may tell that a newer
//! snapshot was loaded, or was being loaded, since the export. The import keeps the table that the file names: if the
//! target is another one, the next load compares the whole snapshot.
//!
//! A target between two steps of a load has no snapshot, so there is nothing to export of it.
//!
//! A ledger is not exported, because the files that it names may belong to a snapshot by the time of the import.

use super::LOCK_TIMEOUT_MS;
use super::facts::named;
use super::reset::{described, given_up};
use crate::change::{Checkpoint, LoadRule, MergeMode, RunId};
use crate::config::Table;
use crate::error::{Disposition, Error, Kind, Result};
use crate::lake::{LakeTable, Standing};
use crate::report::{Listing, StateChangeReport};
use crate::schema::drift::SourceObject;
use crate::schema::{TableKind, TableName};
use crate::secret::JsonProblem;
use crate::sync::load::lake_table;
use crate::sync::protect;
use crate::sync::session::{Links, Sync};
use crate::target::columns::LoadedColumns;
use crate::target::merge::LoadCounts;
use crate::target::state::{self, Identity, LoadState, Looked};
use crate::target::{staging, upkeep};
use chrono::{SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

/// Version of the file that this build writes; it reads this one and refuses newer ones.
const VERSION: u32 = 1;

/// The state of tables as a file. Has no row value but watermarks, and no secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateFile {
    version: u32,
    /// RFC 3339, UTC.
    exported_at: String,
    tables: Vec<TableState>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct TableState {
    source: TableName,
    lake: TableName,
    table_uuid: String,
    checkpoint: Option<Checkpoint>,
    /// None where no target was configured, or nothing was loaded.
    target: Option<TargetState>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct TargetState {
    table: TableName,
    lake_table: String,
    table_uuid: String,
    snapshot_id: i64,
    sequence_number: i64,
    run_id: String,
    loaded_at: String,
    inserted: u64,
    updated: u64,
    deleted: u64,
    unchanged: u64,
    object: Option<SourceObject>,
    #[serde(default)]
    columns: LoadedColumns,
    /// As the load state keeps it.
    #[serde(default)]
    rule: Option<String>,
    /// None in a file of an older build.
    #[serde(default)]
    database: Option<Identity>,
}

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BadStateFile {
    #[error("it is not a file that `icesync state export` wrote")]
    Syntax(#[source] JsonProblem),
    #[error(
        "it has version {0}, and this build reads up to {VERSION}: it was written by a newer icesync"
    )]
    Newer(u32),
}

impl StateFile {
    /// Reads the text of a file.
    pub fn parse(text: &str) -> std::result::Result<Self, BadStateFile> {
        /// The version is read first: a newer file may have any other shape.
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        let syntax = |error: serde_json::Error| BadStateFile::Syntax(error.into());
        let versioned: Versioned = serde_json::from_str(text).map_err(syntax)?;
        if versioned.version > VERSION {
            return Err(BadStateFile::Newer(versioned.version));
        }
        serde_json::from_str(text).map_err(syntax)
    }

    fn of(&self, table: &Table) -> Result<&TableState> {
        let mut tables = self.tables.iter();
        let found = tables.find(|state| state.source == table.source && state.lake == table.lake);
        found.ok_or_else(|| {
            refused(format!(
                "the file has no state of {} in lake table {}",
                table.source, table.lake
            ))
        })
    }
}

impl Sync {
    /// The state of tables, as one file. Changes nothing. Where a side of a table cannot be read, there is no file.
    pub async fn export_state(self, tables: Vec<Table>) -> Result<Listing<StateFile>> {
        let exported = self
            .each(tables, async |table, links| {
                self.exported(table, links).await
            })
            .await?;
        let file = StateFile {
            version: VERSION,
            exported_at: Utc::now().to_rfc3339_opts(SecondsFormat::Micros, true),
            tables: exported.tables,
        };
        let is_whole = exported.errors.is_empty();
        Ok(Listing {
            tables: is_whole.then_some(file).into_iter().collect(),
            errors: exported.errors,
            warnings: Vec::new(),
            connection_warnings: self.connection_warnings(),
            tables_partial: 0,
        })
    }

    async fn exported(&self, table: &Table, links: &mut Links) -> Result<TableState> {
        let lake = lake_table(self, table).await?;
        let checkpoint = lake.checkpoint()?.map(|found| Checkpoint {
            backfill: None,
            ..found
        });
        let target = match &self.target {
            Some(side) => {
                let control = Links::control(&mut links.target, side, Kind::Target).await?;
                let database = protect::identity(side, control).await?.clone();
                let state = state::look(control, &table.target).await?.state;
                if let Some(why) = state.as_ref().and_then(|state| unfinished(table, state)) {
                    return Err(refused(why));
                }
                state.map(|state| TargetState::of(&table.target, database, state))
            }
            None => None,
        };
        Ok(TableState {
            source: table.source.clone(),
            lake: table.lake.clone(),
            table_uuid: lake.uuid().to_string(),
            checkpoint,
            target,
        })
    }

    /// Puts the checkpoints of a file in place of those that the lake tables have; without `yes` says what would
    /// follow.
    pub async fn import_checkpoints(
        self,
        tables: Vec<Table>,
        file: &StateFile,
        yes: bool,
    ) -> Result<Listing<StateChangeReport>> {
        self.each(tables, async |table, _| {
            let kept = file.of(table)?;
            let mut lake = lake_table(&self, table).await?;
            let Some(checkpoint) = &kept.checkpoint else {
                return Err(refused(
                    "the file has no checkpoint of this table: it had none at the time of the export. `icesync state \
                     reset` makes the next extract read everything"
                        .to_owned(),
                ));
            };
            check_uuid(&lake, &kept.table_uuid)?;
            check_checkpoint(&lake, table.kind, checkpoint).await?;
            let mut report = StateChangeReport {
                table: table.source.to_string(),
                done: yes,
                changes: Vec::new(),
                follows: Vec::new(),
            };
            // One that cannot be read is replaced like any other.
            let found = lake.checkpoint().ok().flatten();
            let is_same = |found: &Checkpoint| {
                (found.strategy, &found.watermark, found.snapshot_id)
                    == (checkpoint.strategy, &checkpoint.watermark, checkpoint.snapshot_id)
            };
            if found.as_ref().is_some_and(is_same) {
                return Ok(report);
            }
            report.changes.push(format!(
                "set the checkpoint of lake table {} to {}",
                table.lake,
                described(&lake, checkpoint)
            ));
            report.follows.push(match &checkpoint.watermark {
                Some(mark) => format!("the next extract reads from {} {mark} on", mark.column),
                None => "the next extract reads the whole table".to_owned(),
            });
            report.follows.extend(found.as_ref().and_then(given_up));
            if yes {
                lake.settle().await;
                let checkpoint = Checkpoint {
                    run_id: RunId::generate(),
                    backfill: None,
                    ..checkpoint.clone()
                };
                lake.replace_checkpoint(&checkpoint).await?;
            }
            Ok(report)
        })
        .await
    }

    /// Puts the load states of a file in place where the targets have none; without `yes` says what would follow.
    pub async fn import_load_states(
        self,
        tables: Vec<Table>,
        file: &StateFile,
        yes: bool,
    ) -> Result<Listing<StateChangeReport>> {
        self.target_side()?;
        self.each(tables, async |table, links| {
            let kept = file.of(table)?;
            let lake = lake_table(&self, table).await?;
            let target = self.target_state_of(table, kept, &lake)?;
            self.import_load_state(table, target, lake, links, yes)
                .await
        })
        .await
    }

    fn target_state_of<'a>(
        &self,
        table: &Table,
        kept: &'a TableState,
        lake: &LakeTable,
    ) -> Result<&'a TargetState> {
        let Some(target) = &kept.target else {
            return Err(refused(format!(
                "the file has no load state of target {}: nothing was loaded at the time of the export",
                table.target
            )));
        };
        if target.table != table.target {
            return Err(refused(format!(
                "the file has the load state of target {}, and the configuration names target {}",
                target.table, table.target
            )));
        }
        check_uuid(lake, &target.table_uuid)?;
        let state = target.state();
        if let Some(snapshot) = state.loaded()
            && lake.sequence_number(snapshot) != Some(state.sequence_number)
        {
            return Err(refused(format!(
                "snapshot {} (id {snapshot}), which the file says target {} has loaded, is not in lake table {}: it \
                 was expired. `icesync load --full` compares the whole snapshot with the target",
                state.sequence_number, table.target, table.lake
            )));
        }
        Ok(target)
    }

    async fn import_load_state(
        &self,
        table: &Table,
        kept: &TargetState,
        mut lake: LakeTable,
        links: &mut Links,
        yes: bool,
    ) -> Result<StateChangeReport> {
        let side = self.target_side()?;
        let (target, state) = (&table.target, &kept.state());
        let control = Links::control(&mut links.target, side, Kind::Target).await?;
        check_database(table, kept, protect::identity(side, control).await?)?;
        if yes {
            state::ensure_schema(control).await?;
            staging::lock(control, target, LOCK_TIMEOUT_MS).await?;
        }
        let tags = protect::tags(side, table, control).await?;
        lake.refresh().await?;
        let looked = state::look(control, target).await?;
        let is_there = looked.state.as_ref().map(LoadState::mark) == Some(state.mark());
        if !is_there {
            check_target(table, state, &looked, lake.newest_by_tag(&tags))?;
        }
        let mut report = StateChangeReport {
            table: table.source.to_string(),
            done: yes,
            changes: Vec::new(),
            follows: Vec::new(),
        };
        if !is_there {
            report.changes.push(format!(
                "set the load state of target {target} to snapshot {} of lake table {}, loaded {}Z by run {}",
                state.sequence_number, state.lake_table, state.loaded_at, state.run_id
            ));
            report.follows = after_import(table, state, &looked);
        }
        if yes {
            if !is_there {
                upkeep::put(control, target, state).await?;
            }
            if let Some(snapshot) = state.loaded() {
                lake.tag_loaded(&tags, snapshot).await?;
            }
            staging::unlock(control, target).await?;
        }
        Ok(report)
    }
}

/// Refuses the state of another lake table.
fn check_uuid(lake: &LakeTable, uuid: &str) -> Result<()> {
    let found = lake.uuid().to_string();
    if found == uuid {
        return Ok(());
    }
    Err(refused(format!(
        "the file has the state of a lake table with uuid {uuid}, and lake table {} has uuid {found}: it was dropped \
         and recreated since, or is another one. `icesync state reset` makes the next run compare everything",
        lake.name()
    )))
}

/// Refuses the state of a target in another database.
fn check_database(table: &Table, kept: &TargetState, found: &Identity) -> Result<()> {
    match &kept.database {
        Some(known) if known != found => Err(refused(format!(
            "the file has the load state of target {} in database {} of server {}, and this is database {} of server \
             {}. `icesync load` compares the whole snapshot with a target that has no load state",
            table.target, known.database, known.server, found.database, found.server
        ))),
        Some(_) | None => Ok(()),
    }
}

/// Refuses a state for a target that has one, or that another snapshot was loaded into since according to its tags.
fn check_target(
    table: &Table,
    state: &LoadState,
    looked: &Looked,
    tagged: Option<i64>,
) -> Result<()> {
    let (target, number) = (&table.target, state.sequence_number);
    if let Some(found) = &looked.state {
        return Err(refused(unfinished(table, found).unwrap_or_else(|| {
            format!(
                "target {target} has a load state, which was committed with its rows: snapshot {} of lake table {}, \
                 loaded {}Z by run {}. Loads go on from it. Only if the target has exactly the rows of snapshot \
                 {number}, as the file says, remove it with `icesync state reset --target`, then import again",
                found.sequence_number, found.lake_table, found.loaded_at, found.run_id
            )
        })));
    }
    match tagged {
        Some(newer) if newer > number => Err(refused(format!(
            "the file has snapshot {number} of target {target}, and a tag of lake table {} says that a load of \
             snapshot {newer} has begun since: the target may have rows of both. `icesync load` compares the whole \
             snapshot with the target",
            table.lake
        ))),
        Some(_) | None => Ok(()),
    }
}

/// Why the state of a target that a load has left between two of its steps says nothing of its rows.
fn unfinished(table: &Table, state: &LoadState) -> Option<String> {
    let pending = state.pending.as_ref()?;
    Some(format!(
        "target {} is between two snapshots: a load of snapshot {} did not come to its end. `icesync load` finishes it",
        table.target, pending.sequence_number
    ))
}

/// Refuses a checkpoint that does not hold for the table as it is.
async fn check_checkpoint(
    lake: &LakeTable,
    kind: TableKind,
    checkpoint: &Checkpoint,
) -> Result<()> {
    let name = lake.name();
    let reset = "`icesync state reset` makes the next extract read and compare everything";
    if let Some(id) = checkpoint.snapshot_id
        && !lake.has_snapshot(id)
    {
        return Err(refused(format!(
            "the checkpoint in the file was committed with snapshot {id}, which is not in lake table {name}: it was \
             expired, or the table was restored from an older state. {reset}"
        )));
    }
    let what = match checkpoint.snapshot_id {
        Some(id) => named(lake, id),
        None => "the empty table".to_owned(),
    };
    match lake.standing(checkpoint.snapshot_id).await? {
        Standing::Kept { .. } => {}
        Standing::Gone | Standing::Unknown => {
            return Err(refused(format!(
                "the checkpoint in the file was committed with {what}, which is not on main of lake table {name}: the \
                 rows up to it may be missing. {reset}"
            )));
        }
    }
    let number = |id| lake.sequence_number(id).unwrap_or(0);
    let at = checkpoint.snapshot_id.map_or(0, number);
    let newest = lake.last_run_on_main();
    let is_newest = lake.current_snapshot_id() == checkpoint.snapshot_id
        || newest.is_some_and(|run| run.sequence_number <= at);
    if kind == TableKind::History && !is_newest {
        return Err(refused(format!(
            "runs have gone on from the checkpoint in the file, which was committed with {what}: history table {name} \
             would get the versions since then twice. {reset}"
        )));
    }
    Ok(())
}

/// What follows for the next loads.
fn after_import(table: &Table, state: &LoadState, looked: &Looked) -> Vec<String> {
    let (target, number) = (&table.target, state.sequence_number);
    if state.loaded().is_none() {
        return vec![format!(
            "the next load takes target {target} for one that icesync has created and not loaded yet"
        )];
    }
    let is_there = match (&state.object, &looked.object) {
        (Some(recorded), Some(found)) => recorded == found,
        (None, Some(_)) => true,
        (_, None) => false,
    };
    if !is_there {
        return vec![format!(
            "target {target} is missing, or another table than the one that the file names, so the next load loads the \
             whole snapshot. If the table that is there has exactly the rows of snapshot {number}: `icesync state \
             repair --adopt`"
        )];
    }
    let first = match table.merge.mode {
        MergeMode::Upsert | MergeMode::Append | MergeMode::History | MergeMode::Scd2 => {
            format!("the next load applies what has changed since snapshot {number}")
        }
        MergeMode::Replace => "the next load replaces all rows".to_owned(),
    };
    vec![
        first,
        format!(
            "target {target} has to hold exactly the rows of snapshot {number}; `icesync load --full` compares it"
        ),
    ]
}

impl TargetState {
    fn of(table: &TableName, database: Identity, state: LoadState) -> Self {
        let counts = state.counts;
        Self {
            table: table.clone(),
            lake_table: state.lake_table,
            table_uuid: state.table_uuid,
            snapshot_id: state.snapshot_id,
            sequence_number: state.sequence_number,
            run_id: state.run_id,
            loaded_at: state.loaded_at,
            inserted: counts.inserted,
            updated: counts.updated,
            deleted: counts.deleted,
            unchanged: counts.unchanged,
            object: state.object,
            columns: state.columns,
            rule: state.rule.as_ref().map(LoadRule::text),
            database: Some(database),
        }
    }

    fn state(&self) -> LoadState {
        LoadState {
            lake_table: self.lake_table.clone(),
            table_uuid: self.table_uuid.clone(),
            snapshot_id: self.snapshot_id,
            sequence_number: self.sequence_number,
            run_id: self.run_id.clone(),
            loaded_at: self.loaded_at.clone(),
            counts: LoadCounts {
                inserted: self.inserted,
                updated: self.updated,
                deleted: self.deleted,
                unchanged: self.unchanged,
            },
            object: self.object.clone(),
            rule: self.rule.as_deref().and_then(LoadRule::read),
            pending: None,
            columns: self.columns.clone(),
            flag: None,
        }
    }
}

fn refused(message: String) -> Error {
    Error::new(Kind::Lake, Disposition::Definite, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::{Strategy, Watermark};
    use crate::schema::SqlType;

    fn file() -> StateFile {
        let watermark = Watermark {
            column: "at".to_owned(),
            ty: SqlType::DateTime2 { scale: 7 },
            text: "2024-05-06 10:00:00.1234567".to_owned(),
        };
        let state = LoadState {
            lake_table: "sales.t".to_owned(),
            table_uuid: "6f1c2a34-0000-4000-8000-000000000001".to_owned(),
            snapshot_id: 50,
            sequence_number: 5,
            run_id: "018f0000000070008000000000000001".to_owned(),
            loaded_at: "2024-05-06T10:00:00.123".to_owned(),
            counts: LoadCounts {
                inserted: 1,
                updated: 2,
                deleted: 3,
                unchanged: 4,
            },
            object: Some(SourceObject {
                id: 7,
                created: "2024-05-06T10:00:00".to_owned(),
            }),
            rule: LoadRule::read(r#"upsert {"deletes":"ignore"}"#),
            pending: None,
            columns: LoadedColumns::default(),
            flag: None,
        };
        let target: TableName = "dbo.[a.b]".parse().unwrap();
        let database = Identity {
            server: "SQL01".to_owned(),
            database: "db".to_owned(),
        };
        let kept = TargetState::of(&target, database, state.clone());
        assert_eq!(kept.state(), state);
        StateFile {
            version: VERSION,
            exported_at: "2024-05-06T10:00:00.000000Z".to_owned(),
            tables: vec![TableState {
                source: "dbo.t".parse().unwrap(),
                lake: "sales.t".parse().unwrap(),
                table_uuid: state.table_uuid.clone(),
                checkpoint: Some(Checkpoint::reached(
                    RunId::generate(),
                    Strategy::Timestamp,
                    Some(watermark),
                )),
                target: Some(kept),
            }],
        }
    }

    #[test]
    fn a_file_is_read_as_it_was_written() {
        let file = file();
        let text = serde_json::to_string_pretty(&file).unwrap();
        assert_eq!(StateFile::parse(&text).unwrap(), file);
    }

    #[test]
    fn other_files_are_refused() {
        for text in ["", "[]", "{}", r#"{ "version": 1 }"#] {
            let error = StateFile::parse(text).unwrap_err();
            assert!(error.to_string().contains("state export"), "{text}");
        }
        let newer = r#"{ "version": 2, "tables": "elsewhere" }"#;
        let error = StateFile::parse(newer).unwrap_err();
        assert!(error.to_string().contains("newer icesync"), "{error}");
    }
}
