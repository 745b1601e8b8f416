//! Maintenance of the lake tables: as a command, and a little of it after each commit.
//!
//! `maintain` compacts, expires snapshots and removes orphaned files, table by table. Each of these chores commits by
//! itself and is safe beside other runs (argued in [`crate::lake`]), so a command that is killed has done a part of its
//! work, and the next does the rest. A chore that fails does not stop the next one: where a full disk ends a
//! compaction, expiry and the removal of orphans make room.
//!
//! After a commit, `extract` and `sync` do the part of it that is due, at amortised cost: files are merged once there
//! are several of about one size, and snapshots are expired many at a time. The commit's sequence number says when it
//! is time to look ([`is_due`]), so most runs open no file for it. A failure is a warning: rows and checkpoint are
//! committed by then.

use super::Sync;
use super::guard::caught;
use crate::change::RunId;
use crate::config::{Maintenance, Table};
use crate::error::{Error, Result};
use crate::lake::{self, CompactOptions, Effort, ExpireOptions, LakeTable, OrphanOptions};
use crate::report::{ErrorReport, Listing, MaintainReport, MaintenanceReport, RelocateReport};
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
        let mut listing = self
            .each(tables, async |table, _| {
                let clock = Instant::now();
                let mut done = MaintenanceReport::default();
                let mut failed = Vec::new();
                match self.warehouse.table(&table.lake).await? {
                    Some(mut lake) => {
                        let failed = &mut failed;
                        self.chores(&mut lake, run_id, chores, &mut done, failed)
                            .await;
                    }
                    None => done.warnings.push(format!(
                        "the lake table {} does not exist yet; nothing to maintain",
                        table.lake
                    )),
                }
                done.seconds = clock.elapsed().as_secs_f64();
                let on_table = |error: Error| error.on_table(table.source.to_string());
                let errors = failed.into_iter().map(on_table);
                Ok(MaintainReport {
                    source: table.source.to_string(),
                    lake: table.lake.to_string(),
                    dry_run: chores.dry_run,
                    done,
                    errors: errors.map(|error| ErrorReport::of(&error)).collect(),
                })
            })
            .await?;
        let failed = listing.tables.iter().flat_map(|report| &report.errors);
        listing.errors.extend(failed.cloned());
        // Of a table that nothing was done to, the errors say all.
        let is_told =
            |report: &MaintainReport| report.errors.is_empty() || !report.done.is_nothing();
        listing.tables.retain(is_told);
        let partial = listing
            .tables
            .iter()
            .filter(|report| !report.errors.is_empty());
        listing.tables_partial = partial.count();
        Ok(listing)
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

    /// Does what is asked for; a chore that fails does not stop the next one.
    async fn chores(
        &self,
        lake: &mut LakeTable,
        run_id: RunId,
        chores: Chores,
        done: &mut MaintenanceReport,
        failed: &mut Vec<Error>,
    ) {
        let configured = &self.maintenance;
        if chores.compact {
            let options = CompactOptions {
                run_id,
                target_file_bytes: self.target_file_bytes,
                effort: Effort::Full,
                dry_run: chores.dry_run,
            };
            let work = lake.compact(&options);
            done.compact = attempt("compaction", work, failed).await;
        }
        if chores.expire {
            let options = ExpireOptions {
                snapshots_max: configured.snapshots_max,
                age: configured.snapshot_age,
                age_beside: configured.snapshot_age,
                at_least: 1,
                dry_run: chores.dry_run,
            };
            let work = lake.expire(&options);
            done.expire = attempt("expiry of snapshots", work, failed).await;
        }
        if chores.orphans {
            let options = OrphanOptions {
                age: configured.orphan_age,
                dry_run: chores.dry_run,
            };
            let work = lake.remove_orphans(&options);
            done.orphans = attempt("removal of orphaned files", work, failed).await;
        }
    }

    /// What is due after a commit to a table, which made the snapshot with this sequence number; none when nothing is.
    pub(super) async fn maintain_lightly(
        &self,
        run_id: RunId,
        table: &Table,
        sequence_number: i64,
    ) -> Option<MaintenanceReport> {
        let auto = self.maintenance.auto;
        let due = Due {
            compaction: auto && is_due(sequence_number, self.maintenance.small_files),
            expiry: auto && is_due(sequence_number, EXPIRY_COMMITS),
        };
        if !due.compaction && !due.expiry {
            return None;
        }
        let clock = Instant::now();
        let mut done = MaintenanceReport::default();
        let mut failed = Vec::new();
        if let Err(error) = self
            .maintain_due(run_id, table, due, &mut done, &mut failed)
            .await
        {
            failed.push(error);
        }
        for error in failed {
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
        failed: &mut Vec<Error>,
    ) -> Result<()> {
        let Maintenance {
            small_files,
            snapshots_max,
            snapshot_age,
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
            let compacted = attempt("compaction", lake.compact(&options), failed).await;
            done.compact = compacted.filter(|done| done.files_before > 0);
        }
        let at_least = (snapshots_max / 10).max(16);
        if due.expiry && lake.snapshots_count() >= snapshots_max + at_least {
            let options = ExpireOptions {
                snapshots_max,
                age: Duration::MAX,
                age_beside: snapshot_age,
                at_least,
                dry_run: false,
            };
            let expired = attempt("expiry of snapshots", lake.expire(&options), failed).await;
            done.expire = expired.filter(|done| done.snapshots > 0);
        }
        Ok(())
    }
}

/// What a chore did; none when it failed, with its name and the error in `failed`.
async fn attempt<T>(
    chore: &str,
    work: impl Future<Output = lake::Result<T>>,
    failed: &mut Vec<Error>,
) -> Option<T> {
    match caught(async { Ok(work.await?) }).await {
        Ok(done) => Some(done),
        Err(error) => {
            let message = format!("{chore} failed: {}", error.report());
            failed.push(Error::new(error.kind(), error.disposition(), message));
            None
        }
    }
}

/// Whether to look after a commit with this sequence number: on average after one in `every` commits.
///
/// Other writers take numbers too. Were the multiples of `every` due, a writer that commits once for each commit of a
/// sync could get all of them, and the table would never be maintained. So a number is due when its product with the
/// golden ratio has a fraction below `1 / every`: these numbers lie evenly among all numbers, and among every second,
/// third, fourth of them as well. A table without other writers waits for at most 1.6 times `every` commits.
fn is_due(sequence_number: i64, every: usize) -> bool {
    /// The golden ratio's fraction in units of 2^-64.
    const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;
    let every = u64::try_from(every.max(1)).unwrap_or(u64::MAX);
    sequence_number.cast_unsigned().wrapping_mul(GOLDEN) <= u64::MAX / every
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sync_meets_its_share_of_the_due_numbers_beside_other_writers() {
        for every in [2_usize, 4, 8, 9, 64] {
            for step in 1..=5_usize {
                for first in 1..=step {
                    let (mut waited, mut longest, mut looks) = (0, 0, 0_usize);
                    let commits = 60 * every * every;
                    for commit in 0..commits {
                        waited += 1;
                        if is_due((first + commit * step) as i64, every) {
                            longest = longest.max(waited);
                            (waited, looks) = (0, looks + 1);
                        }
                    }
                    let case = format!("every {every}, step {step} from {first}");
                    let share = commits / every;
                    assert!(
                        looks.abs_diff(share) <= share / 20,
                        "{case}: {looks} of {share}"
                    );
                    let bound = if step == 1 { 2 * every } else { 4 * every };
                    assert!(longest <= bound, "{case}: {longest}");
                }
            }
        }
        assert!(!is_due(1, 8) && is_due(5, 8) && is_due(i64::MAX, 1));
    }
}
