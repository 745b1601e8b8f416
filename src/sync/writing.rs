//! How what is read is written to the lake, and whether there is anything to commit.

use super::marked;
use super::{Sync, follow, reread};
use crate::change::{Checkpoint, RunId, Strategy};
use crate::config::{OnForeignCommit, Table};
use crate::error::Result;
use crate::lake::{LakeTable, Op, PreparedCommit, Reread, WriteMode, WriteOptions};
use crate::schema::TableKind;
use crate::schema::deleted::Marked;
use crate::source::ExtractPlan;

/// Whether the run found nothing that the lake does not have. A first run always commits, so that its checkpoint is
/// kept, and so does one whose bound is to be kept before the source forgets what it stands for.
pub(super) fn nothing_new(
    prepared: &PreparedCommit,
    plan: &ExtractPlan,
    checkpoint: Option<&Checkpoint>,
) -> bool {
    let Some(checkpoint) = checkpoint.filter(|_| !plan.renews()) else {
        return false;
    };
    // The bound may be new even where no row is. A sequence has none while its table is empty.
    let is_known = checkpoint.strategy == plan.strategy
        && checkpoint.watermark.as_ref() == plan.upper()
        && checkpoint.backfill.is_none();
    let is_same = is_known && checkpoint.origin == plan.origin;
    if plan.full_read() && plan.strategy != Strategy::Full && !is_same {
        return false;
    }
    differing(prepared) == 0
}

pub(super) fn write_options(
    sync: &Sync,
    run_id: RunId,
    table: &Table,
    lake: &LakeTable,
    (plan, marked): (&ExtractPlan, Option<&Marked>),
) -> Result<WriteOptions> {
    // Ranges that a ledger keeps are files of whole rows, whatever the lake has.
    let kept = plan.resumable_bound().is_some();
    let mode = match (table.kind, plan.full_read()) {
        (TableKind::Mirror, true) if kept => WriteMode::ReplaceAll,
        // A read that may miss rows deletes those that are marked by their keys.
        (TableKind::Mirror, true) if plan.misses_rows() && marked.is_some() => WriteMode::Upsert,
        (TableKind::Mirror, true) => WriteMode::Refresh,
        (TableKind::Mirror, false) => WriteMode::Upsert,
        (TableKind::History, _) => WriteMode::Append,
    };
    let defaults = WriteOptions::new(mode, run_id);
    // The bound of a read under a column's watermark hides the rows above it, which are not gone.
    let is_bounded = plan.strategy != Strategy::Full && !plan.strategy.follows_log();
    let sees_all = !is_bounded && plan.sees_one_state();
    Ok(WriteOptions {
        target_file_bytes: sync.target_file_bytes,
        reread: match (table.kind, plan.full_read()) {
            (TableKind::Mirror, true) => Reread::Everything {
                vanished: !plan.misses_rows(),
            },
            (TableKind::Mirror, false) => defaults.reread,
            (TableKind::History, true) => Reread::Everything { vanished: sees_all },
            (TableKind::History, false) => reread::watermark_field(plan, lake.lake_schema())
                .map_or(Reread::Everything { vanished: false }, Reread::UpTo),
        },
        op: if plan.full_read() {
            Op::Refresh
        } else {
            Op::Update
        },
        refuse_foreign: table.on_foreign_commit == OnForeignCommit::Refuse,
        distinct_keys: plan.distinct_keys(),
        compares_keys: follow::keeps_keys_apart(plan.table(), lake.lake_schema()),
        mark: marked::in_batches(marked, table, &lake.batch_schema())?,
        ..defaults
    })
}

/// Rows that the lake does not have as they are now.
pub(super) fn differing(prepared: &PreparedCommit) -> u64 {
    let counts = prepared.counts();
    counts.inserted + counts.updated + counts.deleted
}
