//! The new files of a group, filled one after another.

use crate::change::RunId;
use crate::lake::error::{LakeError, Result};
use crate::lake::table::LakeTable;
use crate::lake::write::file::{FileFormat, FileWriter};
use crate::lake::write::options::WriteOptions;
use arrow_array::RecordBatch;
use iceberg::spec::DataFile;
use std::sync::Arc;

/// The new files of a group.
pub(in crate::lake) struct Output {
    table: LakeTable,
    run_id: RunId,
    format: Arc<FileFormat>,
    /// A file is closed at this size.
    roll_bytes: u64,
    current: Option<FileWriter>,
    pub(in crate::lake) files: Vec<DataFile>,
    begun: Vec<String>,
    pub(in crate::lake) rows: u64,
}

impl Output {
    /// For live rows of files of about so many bytes.
    pub(in crate::lake) fn new(
        table: &LakeTable,
        options: &WriteOptions,
        bytes: u64,
    ) -> Result<Self> {
        let target = options.target_file_bytes;
        Ok(Self {
            table: table.clone(),
            run_id: options.run_id,
            format: Arc::new(FileFormat::new(&table.name, table.shape.clone(), options)?),
            // A group of one target file becomes one file, even when it turns out a little larger than expected:
            // otherwise the next compaction would find a small rest to merge each time.
            roll_bytes: if bytes <= target { 2 * target } else { target },
            current: None,
            files: Vec::new(),
            begun: Vec::new(),
            rows: 0,
        })
    }

    /// Writes rows after those before.
    pub(in crate::lake) async fn write(&mut self, batch: RecordBatch) -> Result<()> {
        let full = |file: &FileWriter| file.bytes() >= self.roll_bytes;
        if self.current.as_ref().is_some_and(full) {
            self.close().await?;
        }
        let mut file = match self.current.take() {
            Some(file) => file,
            None => {
                let uri = format!(
                    "{}/data/{}-{}-compacted.parquet",
                    self.table.location,
                    self.run_id,
                    uuid::Uuid::new_v4().simple()
                );
                self.begun.push(uri.clone());
                FileWriter::start(self.table.store.clone(), uri, self.format.clone())
            }
        };
        self.rows += batch.num_rows() as u64;
        let written = file.write(batch).await;
        self.current = Some(file);
        written
    }

    async fn close(&mut self) -> Result<()> {
        if let Some(file) = self.current.take() {
            let file = file.finish().await.map_err(|_| LakeError::Thread {
                action: "writes Parquet",
            })??;
            self.files.push(file);
        }
        Ok(())
    }

    /// Makes the files durable.
    pub(in crate::lake) async fn finish(&mut self) -> Result<()> {
        self.close().await?;
        let data = format!("{}/data", self.table.location);
        self.table.store.sync_directory(&data).await
    }

    pub(in crate::lake) async fn abandon(&mut self) {
        if let Some(file) = self.current.take() {
            // Wait for the thread, so that it does not create the file after it was removed.
            let _ = file.finish().await;
        }
        for uri in &self.begun {
            self.table.store.discard(uri).await;
        }
    }
}
