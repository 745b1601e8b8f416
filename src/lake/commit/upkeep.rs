//! Commits of `icesync state`: a checkpoint that takes the place of another, tags that are mended or removed.
//!
//! Each publishes one metadata version without a snapshot, or none. A checkpoint is compare-and-set on the text that
//! the table has, so that one which cannot be read can be replaced, too. The new one has a token of its own: a run that
//! was computed from the checkpoint before stops at its next commit.

use crate::change::Checkpoint;
use crate::lake::checkpoint::{CHECKPOINT_PROPERTY, checkpoint_text};
use crate::lake::commit::Change;
use crate::lake::error::{LakeError, Result};
use crate::lake::table::LakeTable;
use crate::lake::tags::{Moves, TargetTags};
use std::collections::HashMap;

impl LakeTable {
    /// Puts a checkpoint in the place of the one that this version has, readable or not.
    /// [`LakeError::CheckpointMoved`] when the table has yet another by the time of the commit.
    pub async fn replace_checkpoint(&mut self, checkpoint: &Checkpoint) -> Result<()> {
        let seen = self.property(CHECKPOINT_PROPERTY).map(str::to_owned);
        let base = self.checkpoint().ok();
        let base = base.map(|found| found.map(|found| found.run_id));
        let text = checkpoint_text(&self.name, checkpoint)?;
        self.apply(base, Some(checkpoint.run_id), move |table| {
            if table.property(CHECKPOINT_PROPERTY) != seen.as_deref() {
                let found = table.checkpoint().ok().flatten();
                return Err(LakeError::CheckpointMoved {
                    table: table.name.clone(),
                    by_run: found.as_ref().map(|found| found.run_id),
                    at: found.map(|found| found.committed_at),
                    expected: base.flatten(),
                });
            }
            let property = (CHECKPOINT_PROPERTY.to_owned(), text.clone());
            Ok(Change::properties(HashMap::from([property])))
        })
        .await
    }

    /// Makes the tags of a target what its load state asks for: `loaded` is protected, and nothing older is. Call it
    /// with the load's lock held. Answers what it did, one sentence for each tag.
    pub async fn mend_tags(&mut self, target: &TargetTags, loaded: i64) -> Result<Vec<String>> {
        self.refresh().await?;
        let Moves { set, removed } = self.tags().mended(target, loaded);
        let number = self.sequence_number(loaded).unwrap_or_default();
        let set = set
            .iter()
            .map(|(tag, _)| format!("set tag {tag} on snapshot {number}"));
        let removed = removed.iter().map(|tag| format!("removed tag {tag}"));
        let done: Vec<String> = set.chain(removed).collect();
        if !done.is_empty() {
            let target = target.clone();
            self.apply(None, None, move |table| {
                Ok(Change::tags(table.tags().mended(&target, loaded)))
            })
            .await?;
        }
        Ok(done)
    }

    /// Removes tags of loads by name; those that are not there are passed over.
    pub async fn remove_load_tags(&mut self, names: &[String]) -> Result<()> {
        let names = names.to_vec();
        self.apply(None, None, move |table| {
            let tags = table.load_tags().into_iter().map(|tag| tag.name);
            Ok(Change::tags(Moves {
                set: Vec::new(),
                removed: tags.filter(|tag| names.contains(tag)).collect(),
            }))
        })
        .await
    }
}
