//! Commands that only look: `plan`, `status`, `snapshots`. They change nothing on either side.

use super::extract::{Settled, settle};
use super::{Links, Sync, load};
use crate::change::Checkpoint;
use crate::config::Table;
use crate::error::{Kind, Result};
use crate::lake::{LakeTable, SnapshotInfo};
use crate::report::{ErrorReport, plural, thousands, write_changes};
use crate::schema::drift::SchemaChange;
use crate::target::state::{self, LoadState};
use serde::Serialize;
use std::fmt::Write as _;

/// One report a table, and the tables that could not be looked at.
#[derive(Debug, Serialize)]
pub struct Listing<T> {
    pub tables: Vec<T>,
    pub errors: Vec<ErrorReport>,
}

impl<T> Listing<T> {
    /// 0, or as a run's: 1 nothing could be shown, 3 some could not, 75 all for transient reasons.
    pub fn exit_code(&self) -> u8 {
        match (self.errors.is_empty(), self.tables.is_empty()) {
            (true, _) => 0,
            (false, false) => 3,
            (false, true)
                if self
                    .errors
                    .iter()
                    .all(|error| error.disposition == "transient") =>
            {
                75
            }
            (false, true) => 1,
        }
    }
}

/// What the next run of one table would do.
#[derive(Debug, Serialize)]
pub struct PlanReport {
    pub source: String,
    pub lake: String,
    pub target: String,
    pub strategy: String,
    /// Why this strategy and this way of reading.
    pub why: Vec<String>,
    pub full_read: bool,
    pub key: Vec<String>,
    pub lower: Option<String>,
    pub upper: Option<String>,
    pub creates_lake_table: bool,
    /// How the source's columns have changed, and what the lake table would make of it.
    pub schema_changes: Vec<SchemaChange>,
    /// The statements of the extract, in order; of pages or ranges the first.
    pub statements: Vec<String>,
    /// Snapshots that the target has not seen yet, before this extract; none without a target.
    pub load: Option<LoadPlan>,
    pub warnings: Vec<String>,
}

/// What the next load of one table would do.
#[derive(Debug, Serialize)]
pub struct LoadPlan {
    pub loaded_sequence_number: Option<i64>,
    pub snapshots_behind: usize,
    pub creates_target: bool,
    /// How the target's columns would be changed.
    pub schema_changes: Vec<SchemaChange>,
    pub statements: Vec<String>,
}

/// How far one table is.
#[derive(Debug, Serialize)]
pub struct StatusReport {
    pub source: String,
    pub lake: LakeStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<TargetStatus>,
}

/// The lake's side.
#[derive(Debug, Serialize)]
pub struct LakeStatus {
    pub table: String,
    pub exists: bool,
    pub location: Option<String>,
    pub rows: u64,
    pub snapshots: usize,
    pub sequence_number: Option<i64>,
    pub snapshot_id: Option<i64>,
    pub checkpoint: Option<Checkpoint>,
}

/// The target's side.
#[derive(Debug, Serialize)]
pub struct TargetStatus {
    pub table: String,
    pub snapshot_id: Option<i64>,
    pub sequence_number: Option<i64>,
    pub loaded_at: Option<String>,
    /// Snapshots of the lake that the target has not seen.
    pub snapshots_behind: usize,
}

/// The snapshots of one lake table, oldest first.
#[derive(Debug, Serialize)]
pub struct SnapshotsReport {
    pub source: String,
    pub lake: String,
    pub snapshots: Vec<SnapshotInfo>,
}

impl Sync {
    /// What the next run would do to each table.
    pub async fn plan(self, tables: Vec<Table>) -> Result<Listing<PlanReport>> {
        self.source_side()?;
        self.each(tables, async |table, links| {
            let settled = settle(&self, table, links).await?;
            self.plan_of(table, settled, links).await
        })
        .await
    }

    /// How far each table is, in the lake and in the target.
    pub async fn status(self, tables: Vec<Table>) -> Result<Listing<StatusReport>> {
        self.each(tables, async |table, links| {
            let lake = self.warehouse.table(&table.lake).await?;
            let target = match &self.target {
                Some(side) => {
                    let control = Links::control(&mut links.target, side, Kind::Target).await?;
                    Some(target_status(
                        state::read(control, &table.target).await?,
                        table,
                        lake.as_ref(),
                    )?)
                }
                None => None,
            };
            Ok(StatusReport {
                source: table.source.to_string(),
                lake: lake_status(table, lake.as_ref()).await?,
                target,
            })
        })
        .await
    }

    /// The snapshots of each lake table.
    pub async fn snapshots(self, tables: Vec<Table>) -> Result<Listing<SnapshotsReport>> {
        self.each(tables, async |table, _| {
            let lake = load::lake_table(&self, table).await?;
            Ok(SnapshotsReport {
                source: table.source.to_string(),
                lake: table.lake.to_string(),
                snapshots: lake.snapshots(),
            })
        })
        .await
    }

    /// Looks at one table after the other; one that fails does not stop the others.
    async fn each<T>(
        &self,
        tables: Vec<Table>,
        look: impl AsyncFn(&Table, &mut Links) -> Result<T>,
    ) -> Result<Listing<T>> {
        let mut links = Links::default();
        let mut listing = Listing {
            tables: Vec::new(),
            errors: Vec::new(),
        };
        for table in &tables {
            let name = table.source.to_string();
            let looked = look(table, &mut links).await;
            match links.guard(looked) {
                Ok(report) => listing.tables.push(report),
                Err(error) => listing
                    .errors
                    .push(ErrorReport::of(&error.on_table(name.clone()))),
            }
            self.observer.finished(&name);
        }
        Ok(listing)
    }

    async fn plan_of(
        &self,
        table: &Table,
        settled: Settled,
        links: &mut Links,
    ) -> Result<PlanReport> {
        let Settled {
            schema,
            lake,
            plan,
            found,
            following,
            ..
        } = settled;
        let following = following.as_ref();
        let load = match &self.target {
            Some(side) => {
                let control = Links::control(&mut links.target, side, Kind::Target).await?;
                Some(load::plan(control, table, &found, lake.as_ref(), following).await?)
            }
            None => None,
        };
        let mut warnings = plan.warnings.clone();
        warnings.extend(
            following
                .iter()
                .flat_map(|following| following.warnings.clone()),
        );
        let read = plan.session.iter().map(|statement| statement.sql.clone());
        let read = read
            .chain([plan.first_read().sql])
            .chain(plan.finish.iter().map(|statement| statement.sql.clone()));
        Ok(PlanReport {
            source: table.source.to_string(),
            lake: table.lake.to_string(),
            target: table.target.to_string(),
            strategy: plan.strategy.to_string(),
            why: plan.why.clone(),
            full_read: plan.full_read,
            key: schema
                .key_columns()
                .map(|column| column.name.clone())
                .collect(),
            lower: plan.window.lower.as_ref().map(ToString::to_string),
            upper: plan.window.upper.as_ref().map(ToString::to_string),
            creates_lake_table: lake.is_none(),
            schema_changes: following.map_or_else(Vec::new, |following| following.changes.clone()),
            statements: read.collect(),
            load,
            warnings,
        })
    }
}

async fn lake_status(table: &Table, lake: Option<&LakeTable>) -> Result<LakeStatus> {
    let latest = match lake {
        Some(lake) => lake.snapshots().pop(),
        None => None,
    };
    Ok(LakeStatus {
        table: table.lake.to_string(),
        exists: lake.is_some(),
        location: lake.map(|lake| lake.location().to_owned()),
        rows: match lake {
            Some(lake) => lake.current_rows().await?,
            None => 0,
        },
        snapshots: lake.map_or(0, |lake| lake.snapshots().len()),
        sequence_number: latest.as_ref().map(|snapshot| snapshot.sequence_number),
        snapshot_id: latest.as_ref().map(|snapshot| snapshot.id),
        checkpoint: lake.map(LakeTable::checkpoint).transpose()?.flatten(),
    })
}

fn target_status(
    state: Option<LoadState>,
    table: &Table,
    lake: Option<&LakeTable>,
) -> Result<TargetStatus> {
    let snapshots = lake.map(LakeTable::snapshots).unwrap_or_default();
    Ok(TargetStatus {
        table: table.target.to_string(),
        snapshots_behind: behind(&snapshots, state.as_ref()),
        snapshot_id: state.as_ref().map(|state| state.snapshot_id),
        sequence_number: state.as_ref().map(|state| state.sequence_number),
        loaded_at: state.map(|state| state.loaded_at),
    })
}

/// Snapshots newer than the loaded one.
pub(super) fn behind(snapshots: &[SnapshotInfo], state: Option<&LoadState>) -> usize {
    let loaded = state.map_or(0, |state| state.sequence_number);
    snapshots
        .iter()
        .filter(|snapshot| snapshot.sequence_number > loaded)
        .count()
}

impl PlanReport {
    /// For a terminal.
    pub fn text(&self) -> String {
        let mut out = String::new();
        let read = if self.full_read {
            "full read"
        } else {
            "changes only"
        };
        let _ = writeln!(
            out,
            "{} -> lake {} -> target {}",
            self.source, self.lake, self.target
        );
        let _ = writeln!(out, "  strategy {} ({read})", self.strategy);
        for why in &self.why {
            let _ = writeln!(out, "           {why}");
        }
        let _ = writeln!(
            out,
            "  key      {}",
            if self.key.is_empty() {
                "none".to_owned()
            } else {
                self.key.join(", ")
            }
        );
        let lower = self.lower.as_deref().unwrap_or("the beginning");
        let _ = writeln!(
            out,
            "  window   from {lower} to {}",
            self.upper.as_deref().unwrap_or("the end")
        );
        if self.creates_lake_table {
            let _ = writeln!(out, "  lake     table would be created");
        }
        write_changes(&mut out, &self.schema_changes);
        for statement in &self.statements {
            write_statement(&mut out, "extract", statement);
        }
        if let Some(load) = &self.load {
            let created = if load.creates_target {
                "; table would be created"
            } else {
                ""
            };
            let _ = writeln!(
                out,
                "  load     {} behind{created}",
                plural(load.snapshots_behind as u64, "snapshot")
            );
            write_changes(&mut out, &load.schema_changes);
            for statement in &load.statements {
                write_statement(&mut out, "load", statement);
            }
        }
        for warning in &self.warnings {
            let _ = writeln!(out, "  warning  {warning}");
        }
        out
    }
}

fn write_statement(out: &mut String, what: &str, statement: &str) {
    let _ = writeln!(out, "  {what} T-SQL");
    for line in statement.lines() {
        let _ = writeln!(out, "    {line}");
    }
}

impl StatusReport {
    /// For a terminal.
    pub fn text(&self) -> String {
        let mut out = String::new();
        let _ = writeln!(out, "{}", self.source);
        let lake = &self.lake;
        match (lake.exists, lake.sequence_number) {
            (false, _) => {
                let _ = writeln!(out, "  lake     {} does not exist yet", lake.table);
            }
            (true, None) => {
                let _ = writeln!(out, "  lake     {} is empty", lake.table);
            }
            (true, Some(number)) => {
                let _ = writeln!(
                    out,
                    "  lake     {}: {} rows, snapshot {number}",
                    lake.table,
                    thousands(lake.rows)
                );
            }
        }
        if let Some(checkpoint) = &lake.checkpoint {
            let at = checkpoint
                .watermark
                .as_ref()
                .map(|mark| format!(", {} up to {mark}", mark.column))
                .unwrap_or_default();
            let _ = writeln!(
                out,
                "           followed by {}{at}; committed {}",
                checkpoint.strategy, checkpoint.committed_at
            );
            if let Some(backfill) = &checkpoint.backfill {
                let _ = writeln!(
                    out,
                    "           a read of the whole table is under way: {} of {} ranges done, {} rows; the next extract goes on",
                    backfill.done.len(),
                    backfill.cuts.len() + 1,
                    thousands(backfill.done.iter().map(|done| done.rows).sum())
                );
            }
        }
        if let Some(target) = &self.target {
            let behind = plural(target.snapshots_behind as u64, "snapshot");
            let _ = match target.sequence_number {
                None => writeln!(
                    out,
                    "  target   {}: nothing loaded yet, {behind} behind",
                    target.table
                ),
                Some(number) => writeln!(
                    out,
                    "  target   {}: snapshot {number} loaded {}, {behind} behind",
                    target.table,
                    target.loaded_at.as_deref().unwrap_or("at an unknown time")
                ),
            };
        }
        out
    }
}

impl SnapshotsReport {
    /// For a terminal.
    pub fn text(&self) -> String {
        let mut out = String::new();
        let _ = writeln!(out, "{} (lake {})", self.source, self.lake);
        let _ = writeln!(
            out,
            "  {:>4}  {:20}  {:24}  {:9}  {:>12}  {:>12}  tags",
            "no", "id", "committed (UTC)", "operation", "added", "rows"
        );
        for snapshot in &self.snapshots {
            let _ = writeln!(
                out,
                "  {:>4}  {:<20}  {:24}  {:9}  {:>12}  {:>12}  {}",
                snapshot.sequence_number,
                snapshot.id,
                committed_at(snapshot),
                snapshot.operation,
                thousands(snapshot.rows_added),
                snapshot.rows_total.map(thousands).unwrap_or_default(),
                snapshot.tags.join(", ")
            );
        }
        out
    }
}

fn committed_at(snapshot: &SnapshotInfo) -> String {
    chrono::DateTime::from_timestamp_millis(snapshot.committed_at_ms)
        .map(|time| time.to_rfc3339_opts(chrono::SecondsFormat::Millis, true))
        .unwrap_or_default()
}
