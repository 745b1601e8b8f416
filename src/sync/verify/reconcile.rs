//! `icesync reconcile`: repairs a mirror where it differs from its source, in one commit.
//!
//! Order of events, and what a death at each point leaves:
//!
//! 1. Settle source, lake and checkpoint as an extract does. What an extract has to do first is refused: a lake table
//!    that has to follow columns, a whole read that is due or under way. (Nothing.)
//! 2. Compare as `verify` does, twice with a pause. Only what differed in both looks, and stood still at the source in
//!    between, is repaired; rows that the next window reads are left to it. (Nothing.)
//! 3. Delete the keys that only the lake has. Read the groups that differ once more, and write the rows that are still
//!    what they were. Deletes come first: of a key that is spelled otherwise, the old spelling goes and the new one
//!    stays, whether the lake tells them apart or not. (Files that no metadata names.)
//! 4. Commit, compare-and-set on the checkpoint that was settled. The new checkpoint has the same watermark. (All or
//!    nothing.)
//!
//! # Why nothing is lost
//!
//! Let B be the checkpoint's watermark, and T when a row was read last. A row that changes after T lies at or beyond B,
//! so the next window reads it. That holds for a key that is deleted here and inserted again, too. Another run that
//! commits meanwhile moves the checkpoint, and this one stops. Under `full` the next extract reads everything. Without
//! row versions a row may be passed over because it moves; it would have to be in both looks, and its key is then
//! deleted until the next whole read or the next reconcile. So a reconcile without row versions deletes nothing.

use super::ready::channel_error;
use super::rows::{Found, statements};
use super::sums::Chosen;
use super::{Against, Outcome, Verification, comparison, report};
use crate::change::{Checkpoint, RunId, Strategy};
use crate::config::{OnForeignCommit, Table};
use crate::error::{Disposition, Error, Kind, Result};
use crate::lake::{CommitIntent, LakeTable, TableWriter, WriteMode, WriteOptions};
use crate::mssql::rows::Decoder;
use crate::mssql::sql::digest::{Digested, bucket_rows};
use crate::report::{Difference, Listing, ReconcileReport};
use crate::schema::digest::{Buckets, Encoder, Form, Hash, Part, Rows};
use crate::schema::{Role, TableKind};
use crate::secret::arrow_error;
use crate::sync::follow;
use crate::sync::pump::pump;
use crate::sync::session::{Links, Sync};
use crate::sync::settle::{Settled as Begun, check_read, settle};
use crate::sync::stage::lake_error;
use arrow_array::{BooleanArray, RecordBatch, UInt32Array};
use arrow_schema::ArrowError;
use arrow_select::concat::concat_batches;
use arrow_select::filter::filter_record_batch;
use arrow_select::take::take_record_batch;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// Entry of a snapshot's summary: what a reconcile found.
const SUMMARY: &str = "icesync.reconcile";
/// When the columns were found to be others.
const WHILE_READ: &str = "while they were read";
/// Keys of one batch of deletes.
const KEYS: usize = 1_000;

/// What is repaired.
#[derive(Default)]
struct Repair {
    /// Hash of the source's row by the hash of its key.
    rows: HashMap<u128, u128>,
    /// Hashes of keys, as the lake has them.
    gone: HashSet<u128>,
}

impl Repair {
    /// `deletes`: what was not met at the source is not there.
    fn of(found: &[Found], deletes: bool) -> Self {
        let mut repair = Self::default();
        for row in found.iter().filter(|row| !row.is_pending) {
            if let Some(hash) = row.row {
                repair.rows.insert(row.key, hash);
            }
            let old = match row.difference {
                Difference::Extra => Some(row.key),
                Difference::Respelled => row.lake_key,
                Difference::Missing | Difference::Differing => None,
            };
            repair.gone.extend(old.filter(|_| deletes));
        }
        repair
    }

    fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.gone.is_empty()
    }
}

impl Sync {
    /// Repairs each mirror; differences are looked at again after `pause`.
    pub async fn reconcile(
        self,
        tables: Vec<Table>,
        pause: Duration,
    ) -> Result<Listing<ReconcileReport>> {
        let unusable = self.connects([Some(self.source_side()?), None]).await;
        if !unusable.is_empty() {
            return Ok(Listing::failed(unusable, self.connection_warnings()));
        }
        self.each(tables, async |table, links| {
            Box::pin(self.repair(table, pause, links)).await
        })
        .await
    }

    async fn repair(
        &self,
        table: &Table,
        pause: Duration,
        links: &mut Links,
    ) -> Result<ReconcileReport> {
        let clock = Instant::now();
        let begun = settle(self, table, links).await?;
        let (mut lake, checkpoint) = footing(&begun, table)?;
        lake.settle().await;
        let asked = Verification {
            snapshot: None,
            sample_percent: None,
            against: Against::Source,
            rows_per_second: None,
            again: 1,
            pause,
        };
        let outcome = self
            .outcome(table, Kind::Source, &mut lake, &asked, links)
            .await?;
        let outcome = outcome.map_err(|(_, why)| refused(table, &why))?;
        if lake.checkpoint()?.as_ref() != Some(&checkpoint) {
            return Err(moved(table));
        }
        let repair = Repair::of(&outcome.settled.found, outcome.ready.side.sees_one_state);
        let mut done = ReconcileReport {
            source: table.source.to_string(),
            lake: table.lake.to_string(),
            ..ReconcileReport::default()
        };
        if !repair.is_empty() {
            let writing = Writing {
                sync: self,
                table,
                begun: &begun,
                outcome: &outcome,
                repair: &repair,
            };
            writing
                .commit(&mut lake, &checkpoint, links, &mut done)
                .await?;
        }
        let Outcome {
            ready,
            grouping,
            summed,
            settled,
            notes,
        } = outcome;
        let mut found = comparison(&ready, &grouping, &summed, settled, &asked);
        found.notes.extend(notes);
        if !ready.side.sees_one_state && found.extra > 0 {
            found.notes.push(
                "rows that only the lake has stay, because without row versions the read may have missed them. Turn on \
                 ALLOW_SNAPSHOT_ISOLATION"
                    .to_owned(),
            );
        }
        done.found = Some(report(Kind::Source, Some(&ready.snapshot), Ok(found)));
        done.seconds = clock.elapsed().as_secs_f64();
        Ok(done)
    }
}

/// The lake table and the checkpoint from which windows go on; refused where an extract has to come first.
fn footing(begun: &Begun, table: &Table) -> Result<(LakeTable, Checkpoint)> {
    if table.kind == TableKind::History {
        return Err(refused(
            table,
            "a history is not repaired; reconcile works on mirrors",
        ));
    }
    if begun.schema.key.is_none() {
        return Err(refused(
            table,
            "its rows have no key by which they could be repaired",
        ));
    }
    let first = |why: &str| refused(table, &format!("{why}. Run `icesync extract` first"));
    let (Some(lake), Some(checkpoint)) = (&begun.lake, &begun.checkpoint) else {
        return Err(first("nothing was extracted yet"));
    };
    if begun.following.is_some() {
        return Err(first("the lake table has to follow changed columns"));
    }
    let reads_whole = begun.plan.full_read() && checkpoint.strategy != Strategy::Full;
    if checkpoint.backfill.is_some() || reads_whole {
        return Err(first("the next extract reads the whole table"));
    }
    Ok((lake.clone(), checkpoint.clone()))
}

fn refused(table: &Table, why: &str) -> Error {
    lake_error(format!(
        "lake table {} was not reconciled: {why}",
        table.lake
    ))
}

fn moved(table: &Table) -> Error {
    let message = format!(
        "another run committed to lake table {} meanwhile. Nothing was written; run `icesync reconcile` again",
        table.lake
    );
    Error::new(Kind::Lake, Disposition::Transient, message)
}

/// The same checkpoint with a token of its own, and what was found.
fn intent(
    run_id: RunId,
    checkpoint: &Checkpoint,
    found: &[Found],
    foreign_rows: bool,
) -> CommitIntent {
    let of = |difference: Difference| {
        let same = found
            .iter()
            .filter(|row| !row.is_pending && row.difference == difference);
        same.count()
    };
    let summary = format!(
        "missing={}, extra={}, differing={}, respelled={}",
        of(Difference::Missing),
        of(Difference::Extra),
        of(Difference::Differing),
        of(Difference::Respelled)
    );
    CommitIntent {
        run_id,
        base_checkpoint: Some(checkpoint.run_id),
        checkpoint: Checkpoint {
            whole_read: checkpoint.whole_read,
            origin: checkpoint.origin.clone(),
            ..Checkpoint::reached(run_id, checkpoint.strategy, checkpoint.watermark.clone())
        },
        summary: BTreeMap::from([(SUMMARY.to_owned(), summary)]),
        foreign_rows,
        loading: None,
    }
}

fn arrow(error: ArrowError) -> Error {
    Error::new(Kind::Lake, Disposition::Definite, arrow_error(error))
}

/// The commit of a repair.
struct Writing<'a> {
    sync: &'a Sync,
    table: &'a Table,
    begun: &'a Begun,
    outcome: &'a Outcome,
    repair: &'a Repair,
}

impl Writing<'_> {
    /// Steps 3 and 4.
    async fn commit(
        &self,
        lake: &mut LakeTable,
        checkpoint: &Checkpoint,
        links: &mut Links,
        done: &mut ReconcileReport,
    ) -> Result<()> {
        let run_id = RunId::generate();
        let options = WriteOptions {
            target_file_bytes: self.sync.target_file_bytes,
            refuse_foreign: self.table.on_foreign_commit == OnForeignCommit::Refuse,
            compares_keys: follow::keeps_keys_apart(&self.begun.schema, lake.lake_schema()),
            ..WriteOptions::new(WriteMode::Upsert, run_id)
        };
        let mut writer = lake.writer(options).await?;
        if let Err(error) = self.write(lake, &mut writer, links).await {
            writer.abandon().await;
            return Err(error);
        }
        let prepared = writer.finish().await?;
        let counts = prepared.counts();
        let found = &self.outcome.settled.found;
        let intent = intent(run_id, checkpoint, found, self.begun.others_wrote);
        let committed = lake.commit(prepared, intent).await?;
        done.inserted = counts.inserted;
        done.updated = counts.updated;
        done.deleted = counts.deleted;
        done.snapshot_id = committed.snapshot_id;
        done.sequence_number = committed.snapshot_id.map(|_| committed.sequence_number);
        Ok(())
    }

    async fn write(
        &self,
        lake: &LakeTable,
        writer: &mut TableWriter,
        links: &mut Links,
    ) -> Result<()> {
        let gone = self.gone(lake).await?;
        for keys in gone.chunks(KEYS) {
            let keys = concat_batches(&keys[0].schema(), keys).map_err(arrow)?;
            writer.delete_keys(&keys).await?;
        }
        if !self.repair.rows.is_empty() {
            self.rows(lake, writer, links).await?;
        }
        let found = (&self.begun.found, &self.begun.plan);
        check_read(self.sync, self.table, links, found, WHILE_READ).await
    }

    /// The keys that are deleted, one row each.
    async fn gone(&self, lake: &LakeTable) -> Result<Vec<RecordBatch>> {
        let ready = &self.outcome.ready;
        let shape = lake.lake_schema();
        let position = |name: &str| ready.side.lake_names.iter().position(|known| known == name);
        let columns = shape
            .key
            .iter()
            .map(|key| position(&shape.fields[key.field].name));
        let columns = columns.collect::<Option<Vec<usize>>>();
        let columns = columns.ok_or_else(|| refused(self.table, "its key was not compared"))?;
        let mut gone = Vec::new();
        if self.repair.gone.is_empty() {
            return Ok(gone);
        }
        let visit = |batch: &RecordBatch, _: &Rows<'_>, row: usize, (key, _): (Hash, i64)| {
            if self.repair.gone.contains(&key.short()) {
                let keys = batch.project(&columns).map_err(arrow)?;
                let row = UInt32Array::from_iter_values(u32::try_from(row).ok());
                gone.push(take_record_batch(&keys, &row).map_err(arrow)?);
            }
            Ok(())
        };
        ready.each_row(self.outcome.grouping.buckets, visit).await?;
        Ok(gone)
    }

    /// Reads the groups that differ once more, with all columns, and writes the rows that are what they were.
    async fn rows(
        &self,
        lake: &LakeTable,
        writer: &mut TableWriter,
        links: &mut Links,
    ) -> Result<()> {
        let (ready, schema) = (&self.outcome.ready, &self.begun.schema);
        let failed = channel_error(ready);
        let decoder = Decoder::new(schema, lake.lake_schema(), self.table.fidelity);
        let mut decoder = decoder.map_err(&failed)?;
        let encoder = self.encoder(lake)?;
        let forms: Vec<Form> = schema
            .columns
            .iter()
            .map(|column| self.form(column.id).unwrap_or(Form::Whole))
            .collect();
        let of = Digested {
            table: schema,
            forms: &forms,
            buckets: self.buckets()?,
            marked: None,
        };
        let chosen: &Chosen = &self.outcome.summed.chosen;
        for places in statements(chosen) {
            let statement = bucket_rows(&of, &places);
            let side = self.sync.source_side()?;
            let channel = Links::rows(&mut links.source_rows, side, Kind::Source).await?;
            channel.run(&ready.side.begin.sql).await.map_err(&failed)?;
            let write = async |mut batches: mpsc::Receiver<RecordBatch>| {
                while let Some(batch) = batches.recv().await {
                    let rows = encoder.rows(&batch);
                    let wanted = self.wanted(&rows, batch.num_rows());
                    if wanted.true_count() > 0 {
                        let batch = filter_record_batch(&batch, &wanted).map_err(arrow)?;
                        writer.write(batch).await?;
                    }
                }
                Ok(())
            };
            pump(&self.sync.stop, channel, &statement, &mut decoder, write).await?;
            channel.run(&ready.side.finish.sql).await.map_err(&failed)?;
        }
        Ok(())
    }

    fn wanted(&self, rows: &Rows<'_>, count: usize) -> BooleanArray {
        let mut buffer = Vec::new();
        let is_wanted = |row: usize| {
            let key = rows.key(row, &mut buffer).short();
            let known = self.repair.rows.get(&key);
            Some(known.is_some_and(|known| *known == rows.row(row, &mut buffer).short()))
        };
        (0..count).map(is_wanted).collect()
    }

    /// The form of a column that was compared.
    fn form(&self, id: i32) -> Option<Form> {
        let side = &self.outcome.ready.side;
        let at = side
            .table
            .columns
            .iter()
            .position(|column| column.id == id)?;
        side.forms.get(at).copied()
    }

    /// Where the source's columns are among those that an extract reads.
    fn position(&self, compared: usize) -> Option<usize> {
        let id = self.outcome.ready.side.table.columns.get(compared)?.id;
        self.begun
            .schema
            .columns
            .iter()
            .position(|column| column.id == id)
    }

    fn buckets(&self) -> Result<Buckets> {
        Ok(match self.outcome.grouping.buckets {
            hash @ Buckets::Hash { .. } => hash,
            Buckets::Range { column, low, width } => Buckets::Range {
                column: self.position(column).ok_or_else(|| moved(self.table))?,
                low,
                width,
            },
        })
    }

    /// Writes the columns that were compared, of batches that an extract reads.
    fn encoder(&self, lake: &LakeTable) -> Result<Encoder> {
        let shape = lake.batch_schema();
        let side = &self.outcome.ready.side;
        let part = |(compared, form): (usize, &Form)| {
            let source = self.position(compared)?;
            let at = |role: Role| {
                let mut fields = shape.fields.iter();
                fields.position(|field| field.source == Some(source) && field.role == role)
            };
            Some(Part {
                form: *form,
                value: at(Role::Value)?,
                ticks: at(Role::Ticks),
                offset: at(Role::Offset),
                base: at(Role::BaseType),
            })
        };
        let columns = side.forms.iter().enumerate().map(part);
        let columns: Vec<Part> = columns
            .collect::<Option<_>>()
            .ok_or_else(|| moved(self.table))?;
        let key = side.table.key.iter().flat_map(|key| &key.columns);
        let key = key.filter_map(|&at| {
            let part = columns.get(at)?;
            Some(Part {
                form: part.form.as_key(),
                ..*part
            })
        });
        Ok(Encoder {
            key: key.collect(),
            columns,
        })
    }
}
