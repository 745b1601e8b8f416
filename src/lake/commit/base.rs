//! The snapshot that a write started from.

use crate::lake::error::Result;
use crate::lake::read::manifests::Files;
use crate::lake::table::LakeTable;
use std::sync::Arc;
use tokio::sync::OnceCell;

/// The files of one snapshot, read when they are asked for and not before: a run that finds no row opens no
/// manifest. The snapshot is fixed from the start, so it does not matter when its files are read.
pub(in crate::lake) struct Base {
    table: LakeTable,
    files: OnceCell<Arc<Files>>,
}

impl Base {
    /// The current snapshot of this version of a table.
    pub(in crate::lake) fn of(table: &LakeTable) -> Self {
        Self {
            table: table.clone(),
            files: OnceCell::new(),
        }
    }

    /// The schema that this version of the table has.
    pub(in crate::lake) fn schema_id(&self) -> i32 {
        self.table.metadata().current_schema_id()
    }

    /// None before the first snapshot.
    pub(in crate::lake) fn snapshot_id(&self) -> Option<i64> {
        self.table.current_snapshot_id()
    }

    pub(in crate::lake) async fn files(&self) -> Result<Arc<Files>> {
        let read = async || {
            let files = self.table.files(self.snapshot_id()).await;
            files.map(Arc::new)
        };
        self.files.get_or_try_init(read).await.cloned()
    }
}
