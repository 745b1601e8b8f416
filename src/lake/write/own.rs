//! The data files of one write: the one being filled, the one on its way to the disk, and those that are complete.
//!
//! Beside the file being filled are its keys, where the write tracks them. A key that repeats within the file keeps its
//! last row. Memory is bounded whatever the number of rows, because a file is also full when as many keys are held
//! as the options allow.

use crate::lake::commit::written::OwnFile;
use crate::lake::error::{LakeError, Result};
use crate::lake::keys::encode::{KeySet, KeyState};
use crate::lake::read::deletes::Positions;
use crate::lake::store::Store;
use crate::lake::write::context::{Context, KEY_BYTES_MAX};
use crate::lake::write::file::{FileWriter, Finishing};
use crate::lake::write::options::{WriteMode, WriteOptions};
use arrow_array::RecordBatch;
use arrow_row::Rows;
use iceberg::spec::DataFile;
use std::ops::Range;

/// The data files of one write.
#[derive(Default)]
pub(in crate::lake) struct OwnFiles {
    current: Current,
    closing: Option<Closing>,
    complete: Vec<OwnFile>,
}

/// The file being filled.
#[derive(Default)]
struct Current {
    file: Option<FileWriter>,
    keys: KeySet,
    rows: u32,
    dead: Positions,
}

/// A file on its way to the disk.
struct Closing {
    file: Finishing,
    dead: Positions,
}

impl OwnFiles {
    /// Whether the current file takes no more rows.
    pub(in crate::lake) fn is_full(&self, options: &WriteOptions) -> bool {
        let current = &self.current;
        let written = current.file.as_ref().map_or(0, FileWriter::bytes);
        written >= options.target_file_bytes
            || current.keys.len() >= options.key_rows_max.max(1)
            || current.keys.bytes() >= KEY_BYTES_MAX
            || current.rows >= u32::MAX / 2
    }

    /// So many rows may be written before the file is looked at again.
    pub(in crate::lake) fn room(&self, options: &WriteOptions) -> usize {
        options.key_rows_max.max(1) - self.current.keys.len()
    }

    /// Holds the keys of rows that are written next.
    pub(in crate::lake) fn hold(&mut self, keys: &Rows, rows: Range<usize>, mode: WriteMode) {
        let current = &mut self.current;
        for (position, row) in (current.rows..).zip(rows) {
            let key = keys.row(row);
            let before = current.keys.insert(key.data(), KeyState::Row(position));
            if let Some(KeyState::Row(before)) = before
                && mode != WriteMode::Append
            {
                current.dead.insert(u64::from(before));
            }
        }
    }

    /// Holds a key whose rows are to be deleted, those of the current file included.
    pub(in crate::lake) fn delete(&mut self, key: &[u8]) {
        let current = &mut self.current;
        if let Some(KeyState::Row(row)) = current.keys.insert(key, KeyState::Deleted) {
            current.dead.insert(u64::from(row));
        }
    }

    /// Whether a key is held: it is in the current file, or to be deleted.
    pub(in crate::lake) fn holds(&mut self, key: &[u8]) -> bool {
        self.current.keys.contains(key)
    }

    /// Writes rows with all columns of the table.
    pub(in crate::lake) async fn write(
        &mut self,
        context: &Context,
        rows: RecordBatch,
    ) -> Result<()> {
        let count = rows.num_rows() as u32;
        let file = &mut self.current.file;
        let file = file.get_or_insert_with(|| context.start_file());
        let written = file.write(rows).await;
        self.current.rows += count;
        written
    }

    /// Ends the current file and answers its keys. Its thread completes it while they are looked up.
    pub(in crate::lake) async fn roll(&mut self) -> Result<KeySet> {
        self.settle().await?;
        let Current {
            file, keys, dead, ..
        } = std::mem::take(&mut self.current);
        self.closing = file.map(|file| Closing {
            file: file.finish(),
            dead,
        });
        Ok(keys)
    }

    /// Waits until the file that was ended last is complete.
    pub(in crate::lake) async fn settle(&mut self) -> Result<()> {
        let Some(Closing { file, dead }) = self.closing.take() else {
            return Ok(());
        };
        let file = completed(file).await?;
        self.complete.push(OwnFile { file, dead });
        Ok(())
    }

    pub(in crate::lake) fn complete(&self) -> &[OwnFile] {
        &self.complete
    }

    /// To note rows that a later file replaces.
    pub(in crate::lake) fn complete_mut(&mut self) -> &mut [OwnFile] {
        &mut self.complete
    }

    /// The complete files, of a write that has ended.
    pub(in crate::lake) fn into_complete(self) -> Vec<OwnFile> {
        self.complete
    }

    /// Removes all files, as far as possible.
    pub(in crate::lake) async fn abandon(self, store: &Store) {
        // Wait for the threads, so that they do not complete a file after this. One that fails removes its own.
        let current = self.current.file.map(FileWriter::finish);
        let closing = self.closing.map(|closing| closing.file);
        for file in current.into_iter().chain(closing) {
            if let Ok(Ok(file)) = file.await {
                store.discard(file.file_path()).await;
            }
        }
        for own in &self.complete {
            store.discard(own.file.file_path()).await;
        }
    }
}

/// Waits until a file is durable.
pub(in crate::lake) async fn completed(file: Finishing) -> Result<DataFile> {
    file.await.map_err(|_| LakeError::Thread {
        action: "writes Parquet",
    })?
}
