//! What an extract commits to a lake table before it reads a row: the columns that it follows, and that a whole read
//! has begun.
//!
//! **Why a whole read is noted before it begins.** A run reads everything because the checkpoint's watermark is worth
//! nothing: the source was restored, renumbered or moved, or is followed in another way. If that run died and the
//! watermark stayed, the next one could take it for good, because the source passes it sooner or later. What had
//! changed below it would never be read. So the watermark is taken away first. From then on every run reads the whole
//! table until one has committed. The new token stops a run that is still reading from the old watermark.

use super::follow::Following;
use super::standing::footing;
use crate::change::Checkpoint;
use crate::config::Table;
use crate::error::{Disposition, Error, Kind, Result};
use crate::failpoint;
use crate::lake::LakeTable;
use crate::schema::drift::SchemaChange;
use crate::source::ExtractPlan;

/// Failpoint: the lake table has followed its source's schema, no row is read yet.
pub const FAIL_AFTER_EVOLVE: &str = "extract.after_evolve";

/// Lets the lake table follow the source's columns; answers what has changed, and what to warn of.
pub(super) async fn evolve(
    lake: &mut LakeTable,
    table: &Table,
    plan: &ExtractPlan,
    following: Option<Following>,
) -> Result<(Vec<SchemaChange>, Vec<String>)> {
    let Some(following) = following else {
        return Ok((Vec::new(), Vec::new()));
    };
    lake.evolve(&following.evolution).await?;
    for change in &following.changes {
        tracing::info!("{}: lake table {}: {change}", table.source, table.lake);
    }
    failpoint::reach(FAIL_AFTER_EVOLVE);
    check_unmoved(lake, table, plan).await?;
    Ok((following.changes, following.warnings))
}

/// Takes the watermark from the checkpoint before a whole read, compare-and-set on its token. Answers the checkpoint
/// that the read is computed from, if that is another one now.
pub(super) async fn whole_read(
    lake: &mut LakeTable,
    table: &Table,
    plan: &ExtractPlan,
    checkpoint: Option<&Checkpoint>,
) -> Result<Option<Checkpoint>> {
    let has_watermark = |known: &&Checkpoint| known.watermark.is_some();
    let known = checkpoint.filter(has_watermark);
    let Some(known) = known.filter(|_| plan.full_read()) else {
        return Ok(None);
    };
    let begun = known.without_watermark(plan.strategy);
    lake.is_at(Some(known.run_id)).await?;
    lake.replace_checkpoint(&begun).await?;
    tracing::info!(
        "{}: reading the whole table; until that is committed, lake table {} has no watermark, and each extract reads \
         everything",
        table.source,
        table.lake
    );
    check_unmoved(lake, table, plan).await?;
    Ok(Some(begun))
}

/// Other writers once more, after a commit: that took the newest version of the lake table, and the plan was made on
/// the one before.
async fn check_unmoved(lake: &LakeTable, table: &Table, plan: &ExtractPlan) -> Result<()> {
    let now = footing(lake, table).await?.warnings;
    if now.iter().all(|warning| plan.warnings.contains(warning)) {
        return Ok(());
    }
    let message = format!(
        "another writer changed lake table {} while the run was starting. Nothing was read; retrying",
        table.lake
    );
    Err(Error::new(Kind::Lake, Disposition::Transient, message))
}
