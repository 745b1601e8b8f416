//! Position deletes: which rows of a data file are gone.
//!
//! One delete file refers to one data file, by exactly the path that the manifest gives the data file, and lists
//! positions in ascending order. Readers take the union of all delete files of a data file.

use crate::lake::error::{LakeError, Result};
use crate::lake::read::entries::{DELETE_PATH_ID, DELETE_POS_ID, StoredFile};
use crate::lake::read::manifests::{Files, LiveFile};
use crate::lake::store::Store;
use crate::lake::write::options::Compression;
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use futures::{StreamExt, TryStreamExt, stream};
use iceberg::spec::{DataContentType, DataFile, DataFileBuilder, DataFileFormat, Datum};
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::arrow::async_reader::ParquetRecordBatchStreamBuilder;
use parquet::arrow::{ArrowWriter, PARQUET_FIELD_ID_META_KEY, ProjectionMask};
use parquet::basic::{Compression as ParquetCompression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use parquet::schema::types::ColumnPath;
use roaring::RoaringTreemap;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use tokio::sync::mpsc;

/// Positions of one data file, ascending.
pub(in crate::lake) type Positions = RoaringTreemap;

/// Positions by path of their data file.
pub(in crate::lake) type PositionsByPath = BTreeMap<String, Positions>;

/// Delete files read at once.
const FILES_AT_ONCE: usize = 8;

/// Positions by data file.
type Content = HashMap<String, Positions>;

/// Reads delete files, each at most once.
#[derive(Default)]
pub(in crate::lake) struct DeleteIndex {
    /// By path of the delete file: positions by data file.
    read: HashMap<String, Arc<Content>>,
}

impl DeleteIndex {
    /// Reads the delete files of several data files side by side.
    pub(in crate::lake) async fn fetch(
        &mut self,
        store: &Store,
        files: &Files,
        data: impl Iterator<Item = &LiveFile>,
    ) -> Result<()> {
        let mut wanted: HashMap<&str, &Arc<LiveFile>> = HashMap::new();
        for data in data {
            for delete in files.deletes_for(data) {
                if !self.read.contains_key(delete.file.file_path()) {
                    wanted.insert(delete.file.file_path(), delete);
                }
            }
        }
        let wanted: Vec<Arc<LiveFile>> = wanted.into_values().cloned().collect();
        let read = async |delete: Arc<LiveFile>| {
            let content = content(store, &delete.file).await?;
            Ok::<_, LakeError>((delete.file.file_path().to_owned(), content))
        };
        let mut reads = stream::iter(wanted)
            .map(read)
            .buffer_unordered(FILES_AT_ONCE);
        while let Some((path, content)) = reads.try_next().await? {
            self.read.insert(path, content);
        }
        Ok(())
    }

    /// The positions of a data file that some of its delete files delete.
    pub(in crate::lake) async fn of_some(
        &mut self,
        store: &Store,
        deletes: &[&Arc<LiveFile>],
        data: &LiveFile,
    ) -> Result<Positions> {
        let mut positions = Positions::new();
        for delete in deletes {
            let path = delete.file.file_path();
            let content = match self.read.get(path) {
                Some(content) => content.clone(),
                None => {
                    let content = content(store, &delete.file).await?;
                    self.read.insert(path.to_owned(), content.clone());
                    content
                }
            };
            if let Some(deleted) = content.get(data.file.file_path()) {
                positions |= deleted;
            }
        }
        // Positions beyond the end of the file are no rows, and must not be counted as such.
        positions.remove_range(data.file.record_count()..);
        Ok(positions)
    }

    /// The positions of a data file that the snapshot deletes.
    pub(in crate::lake) async fn of(
        &mut self,
        store: &Store,
        files: &Files,
        data: &LiveFile,
    ) -> Result<Positions> {
        let deletes: Vec<&Arc<LiveFile>> = files.deletes_for(data).collect();
        self.of_some(store, &deletes, data).await
    }
}

/// The data files that a delete file refers to.
pub(in crate::lake) async fn targets(store: &Store, delete: &StoredFile) -> Result<Vec<String>> {
    Ok(content(store, delete).await?.keys().cloned().collect())
}

/// The positions of a delete file by data file, from memory when the process has read it before.
async fn content(store: &Store, delete: &StoredFile) -> Result<Arc<Content>> {
    let uri = delete.file_path();
    if let Some(known) = store.cache().get::<Content>(uri) {
        return Ok(known);
    }
    let content = Arc::new(read(store, delete).await?);
    let bytes = content
        .iter()
        .map(|(path, rows)| path.len() + rows.serialized_size() + 128);
    store.cache().put(uri, content.clone(), bytes.sum());
    Ok(content)
}

/// Reads a delete file: positions by data file. Where the manifest names the one data file that it refers to, its
/// paths are not read.
async fn read(store: &Store, delete: &StoredFile) -> Result<Content> {
    let path = delete.file_path();
    let failed = || LakeError::parquet("read", path);
    let reader = store.parquet(path, delete.file_size_in_bytes())?;
    let mut builder = ParquetRecordBatchStreamBuilder::new_with_options(reader, plain())
        .await
        .map_err(failed())?
        .with_batch_size(BATCH_ROWS);
    if delete.target().is_some() {
        let only = ProjectionMask::columns(builder.parquet_schema(), ["pos"]);
        builder = builder.with_projection(only);
    }
    let mut batches = builder.build().map_err(failed())?;
    let mut positions = Content::new();
    while let Some(batch) = batches.try_next().await.map_err(failed())? {
        let rows = batch.column_by_name("pos");
        let rows = rows.and_then(|column| column.as_primitive_opt::<Int64Type>());
        let Some(rows) = rows.map(|rows| rows.values().as_ref()) else {
            return Err(failed()(not_deletes()));
        };
        if let Some(path) = delete.target() {
            add(&mut positions, path, rows);
            continue;
        }
        let paths = batch.column_by_name("file_path");
        let Some(paths) = paths.and_then(|column| column.as_string_opt::<i32>()) else {
            return Err(failed()(not_deletes()));
        };
        let mut start = 0;
        while start < rows.len() {
            let path = paths.is_valid(start).then(|| paths.value(start));
            let same = |&at: &usize| paths.is_valid(at).then(|| paths.value(at)) == path;
            let end = start + (start..rows.len()).take_while(same).count();
            if let Some(path) = path {
                add(&mut positions, path, &rows[start..end]);
            }
            start = end;
        }
    }
    Ok(positions)
}

fn not_deletes() -> parquet::errors::ParquetError {
    let message = "no columns file_path and pos: not a position delete file";
    parquet::errors::ParquetError::General(message.to_owned())
}

/// Adds positions of one data file, which mostly ascend.
fn add(positions: &mut Content, path: &str, rows: &[i64]) {
    let rows = rows
        .iter()
        .map(|&row| u64::try_from(row).unwrap_or(u64::MAX));
    let found = match positions.get_mut(path) {
        Some(found) => found,
        None => positions.entry(path.to_owned()).or_default(),
    };
    let first = rows.clone().next();
    if first > found.max() && rows.clone().is_sorted_by(|a, b| a < b) {
        // Ascending and beyond what is there: nothing is refused.
        let _ = found.append(rows);
    } else {
        found.extend(rows);
    }
}

fn schema() -> SchemaRef {
    let field = |name: &str, ty, id: i32| {
        Field::new(name, ty, false).with_metadata(HashMap::from([(
            PARQUET_FIELD_ID_META_KEY.to_owned(),
            id.to_string(),
        )]))
    };
    Arc::new(Schema::new(vec![
        field("file_path", DataType::Utf8, DELETE_PATH_ID),
        field("pos", DataType::Int64, DELETE_POS_ID),
    ]))
}

/// Writes the delete file of one data file; durable when it returns.
pub(in crate::lake) async fn write(
    store: &Arc<Store>,
    uri: String,
    data_path: String,
    positions: Positions,
    compression: Compression,
) -> Result<DataFile> {
    let store = store.clone();
    let thread = tokio::task::spawn_blocking(move || {
        encode(&store, &uri, &data_path, &positions, compression)
    });
    thread.await.map_err(|_| LakeError::Thread {
        action: "writes position deletes",
    })?
}

/// Rows encoded or decoded at a time.
const BATCH_ROWS: usize = 64 * 1024;

fn properties(compression: Compression) -> WriterProperties {
    WriterProperties::builder()
        .set_compression(match compression {
            Compression::None => ParquetCompression::UNCOMPRESSED,
            Compression::Snappy | Compression::Lz4 | Compression::Zstd(_) => {
                ParquetCompression::ZSTD(ZstdLevel::default())
            }
        })
        // Every path is the same, no position is there twice.
        .set_column_dictionary_enabled(ColumnPath::from("pos"), false)
        // Bounds must hold the whole path: readers compare it with the path of the data file.
        .set_statistics_truncate_length(None)
        .set_column_index_truncate_length(None)
        .set_created_by(concat!("icesync ", env!("CARGO_PKG_VERSION")).to_owned())
        .build()
}

fn encode(
    store: &Store,
    uri: &str,
    data_path: &str,
    positions: &Positions,
    compression: Compression,
) -> Result<DataFile> {
    let mut rest = positions.iter().peekable();
    let batches = std::iter::from_fn(|| {
        rest.peek()?;
        let rows: Vec<i64> = rest
            .by_ref()
            .take(BATCH_ROWS)
            .map(|row| i64::try_from(row).unwrap_or(i64::MAX))
            .collect();
        let paths = StringArray::from_iter_values(rows.iter().map(|_| data_path));
        Some(record_batch(paths, Arc::new(Int64Array::from(rows))))
    });
    let size = write_batches(store, uri, compression, batches)?;
    let bound =
        |row: Option<u64>| Datum::long(i64::try_from(row.unwrap_or_default()).unwrap_or(i64::MAX));
    let count = positions.len();
    let path = Datum::string(data_path);
    DataFileBuilder::default()
        .content(DataContentType::PositionDeletes)
        .file_path(uri.to_owned())
        .file_format(DataFileFormat::Parquet)
        .record_count(count)
        .file_size_in_bytes(size)
        .value_counts(HashMap::from([
            (DELETE_PATH_ID, count),
            (DELETE_POS_ID, count),
        ]))
        .null_value_counts(HashMap::from([(DELETE_PATH_ID, 0), (DELETE_POS_ID, 0)]))
        .lower_bounds(HashMap::from([
            (DELETE_PATH_ID, path.clone()),
            (DELETE_POS_ID, bound(positions.min())),
        ]))
        .upper_bounds(HashMap::from([
            (DELETE_PATH_ID, path),
            (DELETE_POS_ID, bound(positions.max())),
        ]))
        .referenced_data_file(Some(data_path.to_owned()))
        .build()
        .map_err(|error| LakeError::Iceberg {
            action: "describe",
            path: uri.to_owned(),
            source: Box::new(iceberg::Error::new(
                iceberg::ErrorKind::DataInvalid,
                error.to_string(),
            )),
        })
}

/// Writes a delete file of known size anew under another name, with other paths of its data files. Answers its size;
/// it is durable then.
pub(in crate::lake) async fn copy(
    store: &Arc<Store>,
    (from, bytes): (String, u64),
    to: String,
    rename: impl Fn(&str) -> String,
) -> Result<u64> {
    let failed = || LakeError::parquet("read", &from);
    let reader = store.parquet(&from, bytes)?;
    let builder = ParquetRecordBatchStreamBuilder::new_with_options(reader, plain())
        .await
        .map_err(failed())?
        .with_batch_size(BATCH_ROWS);
    let mut batches = builder.build().map_err(failed())?;
    let (sender, mut receiver) = mpsc::channel::<Option<RecordBatch>>(1);
    let store = store.clone();
    let thread = tokio::task::spawn_blocking(move || {
        // None ends the file. A sender that goes away without it has failed.
        let batches = std::iter::from_fn(|| match receiver.blocking_recv() {
            Some(batch) => batch.map(Ok),
            None => Some(Err(LakeError::Thread {
                action: "reads position deletes",
            })),
        });
        write_batches(&store, &to, Compression::Zstd(1), batches)
    });
    let mut sent = true;
    while sent && let Some(batch) = batches.try_next().await.map_err(failed())? {
        let paths = batch.column_by_name("file_path");
        let paths = paths.and_then(|column| column.as_string_opt::<i32>());
        let (Some(paths), Some(rows)) = (paths, batch.column_by_name("pos")) else {
            return Err(failed()(not_deletes()));
        };
        let paths: StringArray = paths.iter().map(|path| path.map(&rename)).collect();
        // Otherwise the writer has failed, and says why.
        sent = sender
            .send(Some(record_batch(paths, rows.clone())?))
            .await
            .is_ok();
    }
    if sent {
        let _ = sender.send(None).await;
    }
    thread.await.map_err(|_| LakeError::Thread {
        action: "writes position deletes",
    })?
}

fn record_batch(paths: StringArray, rows: ArrayRef) -> Result<RecordBatch> {
    RecordBatch::try_new(schema(), vec![Arc::new(paths), rows])
        .map_err(LakeError::arrow("position deletes"))
}

/// Writes a delete file and answers its size; it is durable then. After an error no file is left.
fn write_batches(
    store: &Store,
    uri: &str,
    compression: Compression,
    batches: impl Iterator<Item = Result<RecordBatch>>,
) -> Result<u64> {
    let failed = || LakeError::parquet("write", uri);
    let mut sink = store.sink(uri)?;
    let options = ArrowWriterOptions::new()
        .with_properties(properties(compression))
        .with_skip_arrow_metadata(true);
    let mut writer =
        ArrowWriter::try_new_with_options(&mut sink, schema(), options).map_err(failed())?;
    for batch in batches {
        writer.write(&batch?).map_err(failed())?;
    }
    writer.finish().map_err(failed())?;
    let size = writer.bytes_written() as u64;
    drop(writer);
    sink.finish()
        .map_err(|error| LakeError::io("write", uri, error))?;
    Ok(size)
}

/// The types of the file, whatever a writer says of Arrow types beside them.
fn plain() -> ArrowReaderOptions {
    ArrowReaderOptions::new().with_skip_arrow_metadata(true)
}
