//! Whether a long read is still of use.
//!
//! Runs of one table may overlap. The first to commit moves the checkpoint, and the commits of the others are refused.
//! A read may last for hours until then, so it looks at the checkpoint every few seconds, and ends as its commit would.
//! A look reads one metadata file, and parses it only if the table has moved. One that fails is no reason to end a
//! read, because the commit looks again. A read whose ranges are kept in a ledger needs no watch: each range that it
//! finishes is compare-and-set on the checkpoint.

use crate::change::RunId;
use crate::error::Result;
use crate::lake::{LakeError, LakeTable};
use std::time::{Duration, Instant};

/// From one look to the next, while rows arrive.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Looks whether the checkpoint that a read was computed from is still the table's.
#[derive(Clone)]
pub(super) struct Watch {
    lake: LakeTable,
    base: Option<RunId>,
    looked: Instant,
}

impl Watch {
    /// `base` is the token of the checkpoint, which was read after `since`.
    pub fn new(lake: &LakeTable, base: Option<RunId>, since: Instant) -> Self {
        Self {
            lake: lake.clone(),
            base,
            looked: since,
        }
    }

    /// The error of the commit if that would be refused, as far as the last look tells.
    pub async fn look(&mut self) -> Result<()> {
        if self.looked.elapsed() < LOOK_EVERY {
            return Ok(());
        }
        self.looked = Instant::now();
        match self.lake.is_at(self.base).await {
            Ok(()) => Ok(()),
            Err(error @ LakeError::CheckpointMoved { .. }) => Err(error.into()),
            Err(error) => {
                tracing::debug!(table = %self.lake.name(), error = %error, "whether another run has committed is not \
                    known");
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::{Checkpoint, Strategy};
    use crate::lake::Warehouse;
    use crate::schema::{KeyFold, LakeField, LakeKeyField, LakeSchema, LakeType, Role, TableKind};
    use std::collections::{BTreeMap, HashMap};

    #[tokio::test]
    async fn a_read_ends_when_another_run_has_moved_the_checkpoint() {
        let folder = tempfile::tempdir().unwrap();
        let warehouse = Warehouse::open(folder.path().to_str().unwrap()).await;
        let id = LakeField {
            name: "id".into(),
            ty: LakeType::Long,
            required: true,
            source: Some(0),
            role: Role::Value,
        };
        let schema = LakeSchema {
            fields: vec![id],
            key: vec![LakeKeyField {
                field: 0,
                fold: KeyFold::default(),
            }],
        };
        let name = "dbo.t".parse().unwrap();
        let created = warehouse.unwrap();
        let created = created.create(&name, &schema, TableKind::Mirror, BTreeMap::new());
        let mut lake = created.await.unwrap();
        let now = Instant::now();
        let before = now.checked_sub(LOOK_EVERY).unwrap();
        let mut watch = Watch::new(&lake, None, before);
        watch.look().await.unwrap();
        // A commit that leaves the checkpoint as it is, such as a compaction, stops no run.
        let property = HashMap::from([("a".to_owned(), "b".to_owned())]);
        lake.set_properties(property).await.unwrap();
        watch.looked = before;
        watch.look().await.unwrap();
        let moved = Checkpoint::reached(RunId::generate(), Strategy::Full, None);
        let moved = lake.set_checkpoint(None, moved, HashMap::new());
        moved.await.unwrap();
        watch.look().await.unwrap();
        watch.looked = before;
        let error = watch.look().await.unwrap_err();
        assert!(error.report().contains("another run"), "{}", error.report());
    }
}
