//! Commits that change no row: a checkpoint, properties, the tags of a target.
//!
//! Each is computed from the newest version and published on top of it, and computed again when another writer was
//! faster. A checkpoint is compare-and-set, as in a commit of rows.

use crate::change::{Checkpoint, RunId};
use crate::lake::checkpoint::{CHECKPOINT_PROPERTY, checkpoint_text};
use crate::lake::commit::Change;
use crate::lake::error::Result;
use crate::lake::table::LakeTable;
use crate::lake::tags::TargetTags;
use std::collections::HashMap;

impl LakeTable {
    /// Commits a checkpoint (and other properties) without rows. Compare and set on `base`, as for a commit of rows.
    pub async fn set_checkpoint(
        &mut self,
        base: Option<RunId>,
        checkpoint: Checkpoint,
        properties: HashMap<String, String>,
    ) -> Result<()> {
        self.apply(Some(base), Some(checkpoint.run_id), move |table| {
            let mut properties = properties.clone();
            let mut checkpoint = checkpoint.clone();
            // A ledger says nothing of the rows that are there: another writer may have added them meanwhile.
            if checkpoint.backfill.is_none() {
                checkpoint.snapshot_id = checkpoint.snapshot_id.or(table.current_snapshot_id());
            }
            let text = checkpoint_text(&table.name, &checkpoint)?;
            properties.insert(CHECKPOINT_PROPERTY.to_owned(), text);
            Ok(Change::properties(properties))
        })
        .await
    }

    /// Sets properties; for what is no part of a run.
    pub async fn set_properties(&mut self, properties: HashMap<String, String>) -> Result<()> {
        self.apply(None, None, move |_| {
            Ok(Change::properties(properties.clone()))
        })
        .await
    }

    /// Tags what a load has loaded, unless a tag of the target names it already. Call it with the load's lock held.
    pub async fn tag_loaded(&mut self, target: &TargetTags, loaded: i64) -> Result<()> {
        let target = target.clone();
        self.apply(None, None, move |table| {
            if !table.has_snapshot(loaded) {
                let table = &table.name;
                tracing::warn!(%table, snapshot = loaded, "the loaded snapshot was expired before it was tagged");
            }
            Ok(Change::tags(table.tags().after_load(&target, loaded)))
        })
        .await
    }

    /// Tags what a load is about to read, and what the target has `loaded`, so that no expiry takes either while the
    /// load lasts. Call it with the load's lock held.
    pub async fn tag_loading(
        &mut self,
        target: &TargetTags,
        loaded: Option<i64>,
        snapshot: i64,
    ) -> Result<()> {
        let target = target.clone();
        self.apply(None, None, move |table| {
            let moves = table.tags().before_load(&target, loaded, snapshot);
            Ok(Change::tags(moves))
        })
        .await
    }

    /// As [`LakeTable::tag_loaded`] without the lock: leaves the tags alone if they are no longer those of this
    /// version, which was read before the load state.
    pub async fn mend_loaded(&mut self, target: &TargetTags, loaded: i64) -> Result<()> {
        let seen = self.tagged(target);
        if Change::tags(self.tags().after_load(target, loaded)).is_nothing() {
            return Ok(());
        }
        let target = target.clone();
        self.apply(None, None, move |table| {
            if table.tagged(&target) == seen {
                Ok(Change::tags(table.tags().after_load(&target, loaded)))
            } else {
                Ok(Change::nothing())
            }
        })
        .await
    }
}
