//! `icesync verify`: source, lake and target hold the same rows, or which keys and columns differ. Changes nothing.
//!
//! # What is read
//!
//! 1. Rows are grouped (`sums.rs`): by ranges of the key where it begins with a whole number that an index leads to,
//!    else by the hash of the key. One statement asks the server for count and checksum of every group, and one scan of
//!    the lake computes the same. What a checksum is, why it suffices and what it costs is argued in
//!    [`crate::schema::digest`].
//! 2. Groups that differ and have many rows are divided by the hash of the key, once.
//! 3. The rows of the groups that differ are read from both sides and compared by key and column (`rows.rs`). A group
//!    has about 64 rows up to 4 million rows of a table, so a few differences move a few hundred rows.
//! 4. Keys that only the lake has are looked up at the server, which knows its collation: a row that it finds is the
//!    same key, spelled otherwise.
//!
//! The second and the third step read at most 200,000 rows. Groups beyond are counted as differing and said to be
//! unread.
//!
//! # What could be missed
//!
//! Only what a checksum does not show: columns without a form, which are listed, and two groups of rows with the same
//! checksum (odds in [`crate::schema::digest`]). Rows that arrive after a statement has begun are not in it.
//!
//! # Changes in flight
//!
//! The source goes on changing while it is compared, and it has changed since the lake was committed.
//!
//! - *One state.* Each statement runs under SNAPSHOT where the database allows it, or reads row versions. Otherwise a
//!   row that moves may be met twice or not at all; it would have to do so twice to be reported (see below).
//! - *Changed after the checkpoint.* Where the strategy follows a column, the checkpoint says from where the next
//!   extract reads. A row of the source at or beyond that bound is going to be read, whatever the lake has of it: it is
//!   counted as pending. An extract reads it, so nothing is hidden by that. The lake's bound is that of the snapshot
//!   compared.
//! - *Deleted since.* Nothing at the source tells when a row was deleted. It is reported as a row that only the lake
//!   has, which it is.
//! - *Under `full` and `change_tracking`* no row tells whether it changed since the last extract or whether the lake
//!   has it wrong: both are reported.
//! - *Changing now.* Differences are looked at again after a pause, in the newest snapshot and the source's newest
//!   state. A difference is reported if its key differed in both looks and its row was the same at the source in
//!   both. What differs in one look alone, or moved in between, was in flight.
//!
//! A difference in a group that was found equal before it changed is not looked for again: verify says what was equal
//! when it was read.
//!
//! # The target
//!
//! It is compared with the snapshot that its load state names, and only where that says which rows it has to have
//! (`load/kind.rs`): upserts and replacements. Rows that are marked as deleted are left out of it. Rows that `deletes:
//! ignore` keeps are counted apart.

mod ready;
mod reconcile;
mod rows;
mod side;
mod sums;

use super::load;
use super::session::{Links, Sync};
use crate::config::Table;
use crate::error::{Kind, Result};
use crate::lake::{LakeTable, SnapshotInfo, SnapshotRef};
use crate::report::{Comparison, ComparisonReport, Difference, DifferingKey, Listing, SideReport};
use crate::schema::TableKind;
use crate::secret;
use ready::Ready;
use rows::{Found, Look};
use side::Prepared;
use std::collections::HashMap;
use std::time::{Duration, Instant};
use sums::{Grouping, Summed};

/// Which sides are compared with the lake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Against {
    Source,
    Target,
    /// Those that are configured.
    Both,
}

/// What `verify` is asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Verification {
    /// None: the newest for the source, the loaded one for the target.
    pub snapshot: Option<SnapshotRef>,
    /// Above 0 and below 100; none: all rows.
    pub sample_percent: Option<f64>,
    pub against: Against,
    pub rows_per_second: Option<u64>,
    /// How often differences are looked at again.
    pub again: u32,
    /// Before each.
    pub pause: Duration,
}

/// What comparing a side has found.
struct Outcome {
    ready: Ready,
    grouping: Grouping,
    summed: Summed,
    settled: Settled,
    notes: Vec<String>,
}

/// Why a side is not compared, with the snapshot if there is one.
type Not = (Option<SnapshotInfo>, String);

impl Sync {
    /// Compares each table. Reads; changes nothing on any side.
    pub async fn verify(
        self,
        tables: Vec<Table>,
        asked: &Verification,
    ) -> Result<Listing<ComparisonReport>> {
        let kinds = match asked.against {
            Against::Source => vec![self.source_side()?.kind],
            Against::Target => vec![self.target_side()?.kind],
            Against::Both => {
                let sides = self.source.iter().chain(&self.target);
                sides.map(|side| side.kind).collect()
            }
        };
        if kinds.is_empty() {
            self.source_side()?;
        }
        let has = |kind: Kind| kinds.contains(&kind);
        let source = self.source.as_ref().filter(|_| has(Kind::Source));
        let target = self.target.as_ref().filter(|_| has(Kind::Target));
        let unusable = self.connects([source, target]).await;
        if !unusable.is_empty() {
            return Ok(Listing::failed(unusable, self.connection_warnings()));
        }
        self.each(tables, async |table, links| {
            let clock = Instant::now();
            let mut sides = Vec::new();
            for kind in &kinds {
                let compared = Box::pin(self.compare(table, *kind, asked, links));
                sides.push(compared.await?);
            }
            Ok(ComparisonReport {
                source: table.source.to_string(),
                lake: table.lake.to_string(),
                target: table.target.to_string(),
                sides,
                seconds: clock.elapsed().as_secs_f64(),
            })
        })
        .await
    }

    /// Compares one side of a table.
    async fn compare(
        &self,
        table: &Table,
        kind: Kind,
        asked: &Verification,
        links: &mut Links,
    ) -> Result<SideReport> {
        let mut lake = load::lake_table(self, table).await?;
        let outcome = self.outcome(table, kind, &mut lake, asked, links).await?;
        Ok(match outcome {
            Ok(outcome) => {
                let Outcome {
                    ready,
                    grouping,
                    summed,
                    settled,
                    notes,
                } = outcome;
                let mut found = comparison(&ready, &grouping, &summed, settled, asked);
                found.notes.extend(notes);
                report(kind, Some(&ready.snapshot), Ok(found))
            }
            Err((snapshot, why)) => report(kind, snapshot.as_ref(), Err(why)),
        })
    }

    /// Sums up, looks at what differs, and looks again. The lake table is refreshed before each further look.
    async fn outcome(
        &self,
        table: &Table,
        kind: Kind,
        lake: &mut LakeTable,
        asked: &Verification,
        links: &mut Links,
    ) -> Result<std::result::Result<Outcome, Not>> {
        let mut ready = match self.ready(table, kind, lake, asked, links).await? {
            Ok(ready) => ready,
            Err(not) => return Ok(Err(not)),
        };
        let grouping = sums::group(self, &ready, asked.sample_percent, links).await?;
        let rate = asked.rows_per_second;
        let summed = sums::compare(self, &ready, &grouping, rate, links).await?;
        let look = rows::look(self, &ready, &grouping, &summed.chosen, links).await?;
        let mut settled = Settled {
            in_flight: 0,
            rows_read: look.rows_read,
            found: look.found,
        };
        let mut notes = Vec::new();
        for _ in 0..asked.again {
            if settled.found.iter().all(|row| row.is_pending) {
                break;
            }
            tokio::time::sleep(asked.pause).await;
            lake.refresh().await?;
            let again = match self.ready(table, kind, lake, asked, links).await? {
                Ok(again) if again.side.table == ready.side.table => again,
                Ok(_) | Err(_) => {
                    let note = "the table changed while it was compared; compare it again";
                    notes.push(note.to_owned());
                    break;
                }
            };
            let look = rows::look(self, &again, &grouping, &summed.chosen, links).await?;
            settled.take(look);
            ready = again;
        }
        Ok(Ok(Outcome {
            ready,
            grouping,
            summed,
            settled,
            notes,
        }))
    }

    /// Looks at a side, and says why it cannot be compared where it cannot.
    async fn ready(
        &self,
        table: &Table,
        kind: Kind,
        lake: &LakeTable,
        asked: &Verification,
        links: &mut Links,
    ) -> Result<std::result::Result<Ready, Not>> {
        if lake.kind() == TableKind::History {
            let why = "a history keeps every version of a row, and the other side does not";
            return Ok(Err((None, why.to_owned())));
        }
        if table.soft_delete.is_some() && kind == Kind::Source {
            let why =
                "the source keeps rows that `soft_delete` counts as deleted, and the lake does not";
            return Ok(Err((None, why.to_owned())));
        }
        let wanted = asked.snapshot.unwrap_or(SnapshotRef::Latest);
        let (snapshot, past, prepared) = match kind {
            Kind::Target => {
                let (looked, state) = match side::loaded(self, table, lake, links).await? {
                    Ok(loaded) => loaded,
                    Err(why) => return Ok(Err((None, why))),
                };
                let snapshot = match asked.snapshot {
                    Some(wanted) => lake.resolve(wanted)?,
                    None => lake.resolve(SnapshotRef::Number(state.snapshot_id))?,
                };
                let past = lake.as_of(snapshot.id)?;
                let loaded = (&looked, &state);
                let prepared = side::target(self, table, (&past, &snapshot), loaded, links).await?;
                (snapshot, past, prepared)
            }
            Kind::Source | Kind::Lake | Kind::Config => {
                let snapshot = lake.resolve(wanted)?;
                let past = lake.as_of(snapshot.id)?;
                let prepared = side::source(self, table, (&past, &snapshot), links).await?;
                (snapshot, past, prepared)
            }
        };
        Ok(match prepared {
            Prepared::Side(side) => Ok(Ready {
                lake: past,
                snapshot,
                side,
            }),
            Prepared::Not(why) => Err((Some(snapshot), why)),
        })
    }
}

/// What several looks agree on.
struct Settled {
    found: Vec<Found>,
    in_flight: u64,
    rows_read: u64,
}

impl Settled {
    /// Keeps what the next look finds as it was. What differs for the first time, or moved at the server, is in flight.
    fn take(&mut self, look: Look) {
        self.rows_read += look.rows_read;
        let before = std::mem::take(&mut self.found);
        let before: HashMap<u128, Option<u128>> =
            before.into_iter().map(|row| (row.key, row.row)).collect();
        for row in look.found {
            match before.get(&row.key) {
                _ if row.is_pending => self.found.push(row),
                Some(known) if *known == row.row => self.found.push(row),
                Some(_) | None => self.in_flight += 1,
            }
        }
    }
}

fn report(
    kind: Kind,
    snapshot: Option<&SnapshotInfo>,
    found: std::result::Result<Comparison, String>,
) -> SideReport {
    let (comparison, not_compared) = match found {
        Ok(comparison) => (Some(comparison), None),
        Err(why) => (None, Some(why)),
    };
    SideReport {
        side: match kind {
            Kind::Target => "target",
            Kind::Source | Kind::Lake | Kind::Config => "source",
        },
        sequence_number: snapshot.map(|snapshot| snapshot.sequence_number),
        snapshot_id: snapshot.map(|snapshot| snapshot.id),
        not_compared,
        comparison,
    }
}

/// What was found, counted.
fn comparison(
    ready: &Ready,
    grouping: &Grouping,
    summed: &Summed,
    settled: Settled,
    asked: &Verification,
) -> Comparison {
    let side = &ready.side;
    let (pending, found): (Vec<Found>, Vec<Found>) =
        settled.found.into_iter().partition(|row| row.is_pending);
    let is_kept = |row: &Found| side.keeps_lost && row.difference == Difference::Missing;
    let (kept, found): (Vec<Found>, Vec<Found>) = found.into_iter().partition(is_kept);
    let of = |difference: Difference| {
        let same = found.iter().filter(|row| row.difference == difference);
        same.count() as u64
    };
    let mut notes = side.notes.clone();
    if asked.rows_per_second.is_some() && !grouping.has_ranges() {
        notes.push(
            "--rows-per-second has no effect: the key does not begin with a whole number that an index leads to, so \
             one statement reads the table"
                .to_owned(),
        );
    }
    Comparison {
        rows: summed.rows,
        lake_rows: summed.lake_rows,
        sample_percent: asked.sample_percent,
        buckets: summed.buckets,
        buckets_differing: summed.differing,
        buckets_not_read: summed.not_read,
        rows_read: settled.rows_read,
        missing: of(Difference::Missing),
        extra: of(Difference::Extra),
        differing: of(Difference::Differing),
        respelled: of(Difference::Respelled),
        pending: pending.len() as u64,
        in_flight: settled.in_flight,
        kept: kept.len() as u64,
        columns_differing: rows::columns_of(ready, found.iter()),
        columns_not_compared: side.skipped.clone(),
        keys: match secret::values_are_shown() {
            true => keys(ready, &found),
            false => Vec::new(),
        },
        notes,
    }
}

/// The keys that differ, as far as they were looked at in detail.
fn keys(ready: &Ready, found: &[Found]) -> Vec<DifferingKey> {
    let table = &ready.side.table;
    let detailed = found.iter().filter(|row| !row.texts.is_empty());
    let key = |row: &Found| DifferingKey {
        difference: row.difference,
        key: table
            .key_columns()
            .map(|column| column.name.clone())
            .zip(row.texts.iter().cloned())
            .collect(),
        columns: row
            .columns
            .iter()
            .filter_map(|&column| Some(table.columns.get(column)?.name.clone()))
            .collect(),
    };
    detailed.take(rows::DETAILED_MAX).map(key).collect()
}
