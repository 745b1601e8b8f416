//! Reading the rows of a snapshot.

use crate::lake::error::{LakeError, Result};
use crate::lake::read::datafile::{OpenFile, Wanted, batches};
use crate::lake::read::deletes::{DeleteIndex, Positions};
use crate::lake::read::manifests::{Files, LiveFile};
use crate::lake::schema::Shape;
use crate::lake::store::Store;
use crate::lake::table::LakeTable;
use arrow_array::RecordBatch;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use std::sync::Arc;
use tokio::sync::Mutex;

/// Record batches, read as they are taken.
pub type BatchStream = BoxStream<'static, Result<RecordBatch>>;

/// What reading the files of a table takes.
#[derive(Clone)]
pub(in crate::lake) struct Reading {
    pub(in crate::lake) store: Arc<Store>,
    pub(in crate::lake) shape: Arc<Shape>,
    /// Delete files are read once for all files that they refer to.
    pub(in crate::lake) index: Arc<Mutex<DeleteIndex>>,
}

impl Reading {
    pub(in crate::lake) fn of(table: &LakeTable) -> Self {
        Self {
            store: table.store.clone(),
            shape: table.shape.clone(),
            index: Arc::default(),
        }
    }

    pub(in crate::lake) async fn deleted(
        &self,
        files: &Files,
        live: &LiveFile,
    ) -> Result<Positions> {
        self.index.lock().await.of(&self.store, files, live).await
    }

    /// The live rows of some files of a snapshot, file by file.
    pub(in crate::lake) fn live_rows(
        &self,
        snapshot: Arc<Files>,
        files: Vec<Arc<LiveFile>>,
        fields: Arc<Vec<usize>>,
    ) -> BatchStream {
        let reading = self.clone();
        stream::iter(files.into_iter().map(Ok))
            .and_then(move |live: Arc<LiveFile>| {
                let (reading, snapshot) = (reading.clone(), snapshot.clone());
                let fields = fields.clone();
                async move {
                    let deleted = reading.deleted(&snapshot, &live).await?;
                    reading
                        .rows(&live, &fields, &Wanted::Except(&deleted))
                        .await
                }
            })
            .try_flatten()
            .boxed()
    }

    /// An error if the rows of a file cannot be read. Reads its footer, which is kept for the rows.
    pub(in crate::lake) async fn check(&self, live: &LiveFile) -> Result<()> {
        let open = OpenFile::open(&self.store, self.shape.clone(), &live.file, false);
        open.await.map(drop)
    }

    pub(in crate::lake) async fn rows(
        &self,
        live: &LiveFile,
        fields: &[usize],
        wanted: &Wanted<'_>,
    ) -> Result<BatchStream> {
        let pages = matches!(wanted, Wanted::Only(_));
        let open = OpenFile::open(&self.store, self.shape.clone(), &live.file, pages).await?;
        Ok(batches(open.read(fields, wanted)?))
    }
}

impl LakeTable {
    /// Streams the live rows of a snapshot (none: the current one), all columns of the current schema or those
    /// named, in the order named. Columns that a file does not have are NULL. Memory is bounded by a few batches.
    pub async fn scan(
        &self,
        snapshot_id: Option<i64>,
        columns: Option<&[&str]>,
    ) -> Result<BatchStream> {
        let fields = match columns {
            None => (0..self.shape.schema.fields.len()).collect(),
            Some(names) => names
                .iter()
                .map(|name| self.field_named(name))
                .collect::<Result<Vec<_>>>()?,
        };
        let snapshot = snapshot_id.or(self.current_snapshot_id());
        let files = Arc::new(self.files(snapshot).await?);
        let data = files.data.clone();
        Ok(Reading::of(self).live_rows(files, data, Arc::new(fields)))
    }

    fn field_named(&self, name: &str) -> Result<usize> {
        let fields = &self.shape.schema.fields;
        fields
            .iter()
            .position(|field| field.name == name)
            .ok_or_else(|| LakeError::UnsupportedTable {
                table: self.name.clone(),
                reason: format!("it has no column `{name}`"),
            })
    }
}
