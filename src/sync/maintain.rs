//! Maintenance of the lake tables: as a command, and a little of it after each commit.
//!
//! `maintain` compacts, expires snapshots and removes orphaned files, table by table. Each step commits by itself and
//! is safe beside other runs (argued in [`crate::lake`]), so a command that is killed has done a part of its work,
//! and the next does the rest.
//!
//! After a commit, `extract` and `sync` do the part of it that is due, at amortised cost: files are merged once there
//! are several of about one size, and snapshots are expired many at a time. The commit's sequence number says when it
//! is time to look, so most runs open no file for it. A failure is a warning: rows and checkpoint are committed by
//! then.

use super::Sync;
use crate::change::RunId;
use crate::config::{Maintenance, Table};
use crate::error::{Error, Result};
use crate::lake::{CompactOptions, Effort, ExpireOptions, LakeTable, OrphanOptions};
use crate::report::{Listing, MaintainReport, MaintenanceReport, RelocateReport};
use std::time::{Duration, Instant};

/// What `maintain` is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chores {
    pub compact: bool,
    pub expire: bool,
    pub orphans: bool,
    /// Says what would be done; changes nothing.
    pub dry_run: bool,
}

/// How many commits go by between two looks at the number of snapshots.
const EXPIRY_COMMITS: usize = 8;

/// What it is time to look at after a commit.
#[derive(Debug, Clone, Copy)]
struct Due {
    compaction: bool,
    expiry: bool,
}

impl Sync {
    /// Maintains the lake tables, one after another.
    pub async fn maintain(
        self,
        tables: Vec<Table>,
        chores: Chores,
    ) -> Result<Listing<MaintainReport>> {
        let run_id = RunId::generate();
        self.each(tables, async |table, _| {
            let clock = Instant::now();
            let mut done = MaintenanceReport::default();
            match self.warehouse.table(&table.lake).await? {
                Some(mut lake) => self.chores(&mut lake, run_id, chores, &mut done).await?,
                None => done.warnings.push(format!(
                    "the lake table {} does not exist yet; nothing to maintain",
                    table.lake
                )),
            }
            done.seconds = clock.elapsed().as_secs_f64();
            Ok(MaintainReport {
                source: table.source.to_string(),
                lake: table.lake.to_string(),
                dry_run: chores.dry_run,
                done,
            })
        })
        .await
    }

    /// Makes lake tables whose folders were copied or moved name the files in their new place.
    pub async fn relocate(self, tables: Vec<Table>) -> Result<Listing<RelocateReport>> {
        self.each(tables, async |table, _| {
            Ok(RelocateReport {
                source: table.source.to_string(),
                lake: table.lake.to_string(),
                done: self.warehouse.relocate(&table.lake).await?,
            })
        })
        .await
    }

    async fn chores(
        &self,
        lake: &mut LakeTable,
        run_id: RunId,
        chores: Chores,
        done: &mut MaintenanceReport,
    ) -> Result<()> {
        let configured = &self.maintenance;
        if chores.compact {
            let options = CompactOptions {
                run_id,
                target_file_bytes: self.target_file_bytes,
                effort: Effort::Full,
                dry_run: chores.dry_run,
            };
            done.compact = Some(lake.compact(&options).await?);
        }
        if chores.expire {
            let options = ExpireOptions {
                snapshots_max: configured.snapshots_max,
                age: configured.snapshot_age,
                at_least: 1,
                dry_run: chores.dry_run,
            };
            done.expire = Some(lake.expire(&options).await?);
        }
        if chores.orphans {
            let options = OrphanOptions {
                age: configured.orphan_age,
                dry_run: chores.dry_run,
            };
            done.orphans = Some(lake.remove_orphans(&options).await?);
        }
        Ok(())
    }

    /// What is due after a commit to a table, which made the snapshot with this sequence number; none when nothing is.
    pub(super) async fn maintain_lightly(
        &self,
        run_id: RunId,
        table: &Table,
        sequence_number: i64,
    ) -> Option<MaintenanceReport> {
        let every = |commits: usize| {
            let commits = i64::try_from(commits.max(1)).unwrap_or(i64::MAX);
            self.maintenance.auto && sequence_number % commits == 0
        };
        let due = Due {
            compaction: every(self.maintenance.small_files),
            expiry: every(EXPIRY_COMMITS),
        };
        if !due.compaction && !due.expiry {
            return None;
        }
        let clock = Instant::now();
        let mut done = MaintenanceReport::default();
        if let Err(error) = self.maintain_due(run_id, table, due, &mut done).await {
            let error = error.on_table(table.source.to_string()).report();
            done.warnings.push(format!(
                "the rows are committed, but maintaining the lake table failed: {error}"
            ));
        }
        done.seconds = clock.elapsed().as_secs_f64();
        (!done.is_nothing()).then_some(done)
    }

    async fn maintain_due(
        &self,
        run_id: RunId,
        table: &Table,
        due: Due,
        done: &mut MaintenanceReport,
    ) -> Result<()> {
        let Maintenance {
            small_files,
            snapshots_max,
            budget_bytes,
            ..
        } = self.maintenance;
        let Some(mut lake) = self
            .warehouse
            .table(&table.lake)
            .await
            .map_err(Error::from)?
        else {
            return Ok(());
        };
        if due.compaction {
            let options = CompactOptions {
                run_id,
                target_file_bytes: self.target_file_bytes,
                effort: Effort::Light {
                    files_min: small_files,
                    bytes_max: budget_bytes,
                },
                dry_run: false,
            };
            done.compact = Some(lake.compact(&options).await?).filter(|done| done.files_before > 0);
        }
        let at_least = (snapshots_max / 10).max(16);
        if due.expiry && lake.snapshots_count() >= snapshots_max + at_least {
            let options = ExpireOptions {
                snapshots_max,
                age: Duration::MAX,
                at_least,
                dry_run: false,
            };
            done.expire = Some(lake.expire(&options).await?).filter(|done| done.snapshots > 0);
        }
        Ok(())
    }
}
