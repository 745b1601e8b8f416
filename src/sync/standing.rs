//! Whether the checkpoint of a lake table may be trusted, now that others may have moved its branch `main`.
//!
//! A checkpoint says that rows up to its watermark are in the table. That holds while its snapshot is on `main`
//! ([`crate::lake::Standing`]). When another engine rolled `main` back, or when nothing is left that could tell, the
//! rows between may be missing, and the checkpoint is taken for less than it says:
//!
//! - **A mirror** is read whole. That makes it equal to its source whatever it holds.
//! - **A history table** must not get rows twice. It goes on from the checkpoint of the newest run that is still on
//!   `main`: the rows up to that watermark are there, and no later ones. Where there is no such checkpoint, or the
//!   whole table was read after it, the table is read whole and compared: what a whole read brings may be in no window
//!   from that watermark on. Versions that the source has overwritten since are lost, and the report says so.
//!
//! Nothing is written for it. The commit at the end of the run is compare-and-set on the token that the table has,
//! so a run that began before the rollback cannot commit after this one; and if this run dies, the next one finds
//! what this one found. A ledger of ranges is kept: its files belong to no snapshot.
//!
//! Rows that others added or deleted after the checkpoint stay: incremental reads do not compare them with the
//! source. They are named in a warning, or refused (`on_foreign_commit`).

use crate::change::{Checkpoint, Strategy};
use crate::config::{OnForeignCommit, Table};
use crate::error::{Disposition, Error, Kind, Result};
use crate::lake::{ForeignCommit, LakeTable, Standing};
use crate::schema::TableKind;

/// At most this many commits are named one by one.
const NAMED_MAX: usize = 5;

/// What a run builds on.
#[derive(Default)]
pub(super) struct Footing {
    /// With the token that the table has; less than the table's own where that cannot be trusted.
    pub checkpoint: Option<Checkpoint>,
    pub warnings: Vec<String>,
}

fn refused(message: String) -> Error {
    Error::new(Kind::Lake, Disposition::Definite, message)
}

/// The checkpoint to go on from. Refuses what `on_foreign_commit` does not allow. Writes nothing.
pub(super) async fn footing(lake: &LakeTable, table: &Table) -> Result<Footing> {
    let Some(mut checkpoint) = lake.checkpoint()? else {
        return Ok(Footing::default());
    };
    let since = checkpoint.snapshot_id;
    let mut warnings = Vec::new();
    let moved = match lake.standing(since).await? {
        Standing::Kept { foreign } => {
            if !foreign.is_empty() {
                warnings.push(foreign_commits(&foreign, table, listed(lake, since))?);
            }
            return Ok(Footing {
                checkpoint: Some(checkpoint),
                warnings,
            });
        }
        Standing::Gone => format!(
            "main of lake table {} was rolled back or replaced by another writer: snapshot {}, which the last run \
             left, is no longer part of it",
            table.lake,
            said(since)
        ),
        Standing::Unknown => format!(
            "another writer removed snapshot {} and its successors from the metadata of lake table {}: whether the \
             table still holds the rows of the last run cannot be checked",
            said(since),
            table.lake
        ),
    };
    if table.on_foreign_commit == OnForeignCommit::Refuse {
        let undo = match listed(lake, since) {
            Some(id) => format!("Set main to snapshot {id} again, or set"),
            None => "Set".to_owned(),
        };
        return Err(refused(format!(
            "{moved}. `on_foreign_commit: refuse` stops the run. {undo} `on_foreign_commit: warn` to read again what \
             is missing"
        )));
    }
    let empty = lake.current_snapshot_id().is_none();
    if table.kind == TableKind::Mirror || empty || checkpoint.strategy == Strategy::Full {
        checkpoint.watermark = None;
        warnings.push(format!("{moved}. Reading the whole table again"));
    } else {
        warnings.push(earlier(lake, table, &mut checkpoint, &moved).await?);
    }
    checkpoint.snapshot_id = lake.current_snapshot_id();
    Ok(Footing {
        checkpoint: Some(checkpoint),
        warnings,
    })
}

/// Takes a history table back to the last checkpoint that is on `main`; answers what to say of it.
async fn earlier(
    lake: &LakeTable,
    table: &Table,
    checkpoint: &mut Checkpoint,
    moved: &str,
) -> Result<String> {
    let run = lake.last_run_on_main();
    let found = run.as_ref().and_then(|run| {
        let earlier = run.checkpoint.as_ref()?;
        let (then, now) = (earlier.watermark.as_ref()?, checkpoint.watermark.as_ref()?);
        let same = earlier.whole_read.is_some()
            && earlier.whole_read == checkpoint.whole_read
            // It may have been renamed.
            && then.column == now.column;
        same.then(|| (run.id, then.clone(), earlier.origin.clone()))
    });
    let Some((id, watermark, origin)) = found else {
        checkpoint.watermark = None;
        return Ok(format!(
            "{moved}. Reading the whole table again: versions that are on main are not repeated, and those that the \
             source has overwritten or deleted since are lost"
        ));
    };
    let mut said = format!(
        "{moved}. Reading again from {watermark}, the checkpoint of snapshot {id}. Versions that the source has \
         overwritten or deleted since then are lost"
    );
    if let Standing::Kept { foreign } = lake.standing(Some(id)).await?
        && !foreign.is_empty()
    {
        said.push_str(". ");
        said.push_str(&foreign_commits(&foreign, table, Some(id))?);
    }
    checkpoint.watermark = Some(watermark);
    checkpoint.origin = origin;
    Ok(said)
}

/// A snapshot that `main` can be set to: none where the table had no rows, or does not list it any more.
fn listed(lake: &LakeTable, snapshot: Option<i64>) -> Option<i64> {
    snapshot.filter(|&id| lake.has_snapshot(id))
}

/// The warning about commits of other writers, or the refusal. `before` is the snapshot to roll back to.
fn foreign_commits(
    foreign: &[ForeignCommit],
    table: &Table,
    before: Option<i64>,
) -> Result<String> {
    let what = format!(
        "another writer changed rows of lake table {} after icesync's last commit: {}",
        table.lake,
        named(foreign)
    );
    let undo = before.map(|id| format!("roll main back to snapshot {id}"));
    let to_undo = undo
        .as_ref()
        .map(|undo| format!(". To undo the change, {undo}"));
    let to_undo = to_undo.unwrap_or_default();
    match table.on_foreign_commit {
        OnForeignCommit::Warn => Ok(match table.kind {
            TableKind::Mirror => format!(
                "{what}. Incremental reads do not compare these rows with the source; a full read (`change: {{ \
                 strategy: full }}`) replaces them{to_undo}"
            ),
            TableKind::History => {
                format!("{what}. A history keeps these rows, and its target gets them{to_undo}")
            }
        }),
        OnForeignCommit::Refuse => {
            let undo = undo.map(|undo| format!("{undo}, or ")).unwrap_or_default();
            Err(refused(format!(
                "{what}. `on_foreign_commit: refuse` stops the run. To go on, {undo}set `on_foreign_commit: warn`"
            )))
        }
    }
}

/// The commits of other writers since this run began with snapshot `since`. Refuses what `on_foreign_commit` does not
/// allow.
pub(super) async fn wrote_meanwhile(
    lake: &LakeTable,
    table: &Table,
    since: Option<i64>,
) -> Result<Vec<ForeignCommit>> {
    let (foreign, what) = match lake.standing(since).await? {
        Standing::Kept { foreign } if foreign.is_empty() => return Ok(foreign),
        Standing::Kept { foreign } => {
            let what = format!("changed rows of it: {}", named(&foreign));
            (foreign, what)
        }
        Standing::Gone | Standing::Unknown => {
            (Vec::new(), "rolled it back or replaced it".to_owned())
        }
    };
    if table.on_foreign_commit == OnForeignCommit::Refuse {
        return Err(refused(format!(
            "while this run was reading, another writer of lake table {} {what}. `on_foreign_commit: refuse` stops the \
             run. Ranges that were read are kept. Undo the change, or set `on_foreign_commit: warn` to commit over it",
            table.lake
        )));
    }
    Ok(foreign)
}

/// The warning about commits of other writers that the run's own commit came after.
pub(super) fn foreign_meanwhile(foreign: &[ForeignCommit], table: &Table) -> String {
    format!(
        "another writer changed rows of lake table {} while this run was reading: {}. The rows of this run were \
         committed after it",
        table.lake,
        named(foreign)
    )
}

fn named(foreign: &[ForeignCommit]) -> String {
    let mut named: Vec<String> = foreign
        .iter()
        .take(NAMED_MAX)
        .map(ForeignCommit::to_string)
        .collect();
    if let Some(more @ 1..) = foreign.len().checked_sub(NAMED_MAX) {
        named.push(format!("{more} more"));
    }
    named.join(", ")
}

fn said(snapshot: Option<i64>) -> String {
    snapshot.map_or_else(|| "(none)".to_owned(), |id| id.to_string())
}
