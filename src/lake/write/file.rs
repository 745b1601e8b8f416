//! Writing Parquet files: encoding on its own thread, and the column metrics that manifests carry.
//!
//! Metrics decide what a reader skips, so a wrong one is a wrong answer. They are derived from the statistics that were
//! written with the rows: counts are sums; bounds are exact for types of fixed length, shortened for long strings
//! and binary (a lower bound by cutting, an upper bound by cutting and counting up, or none), and absent where a
//! column held NaN or where readers disagree on the order (`uuid`).

use crate::lake::error::{LakeError, Result};
use crate::lake::schema::{self, Shape};
use crate::lake::store::Store;
use crate::lake::write::options::{Compression, Dictionaries, WriteOptions};
use crate::schema::{KeyFold, LakeType, TableName};
use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Float64Type};
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_row::{Row, RowConverter, SortField};
use iceberg::spec::{
    DataContentType, DataFile, DataFileBuilder, DataFileFormat, Datum, PrimitiveType,
};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression as ParquetCompression, ZstdLevel};
use parquet::file::metadata::ParquetMetaData;
use parquet::file::properties::WriterProperties;
use parquet::file::statistics::Statistics;
use parquet::schema::types::ColumnPath;
use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use twox_hash::XxHash3_64;

/// Batches that may wait for the encoding thread.
const QUEUE_BATCHES: usize = 4;
/// A row group is closed at this size of encoded data even when it has few rows, so that wide rows stay within memory.
const ROW_GROUP_BYTES: usize = 24 << 20;
/// Bounds of strings and binary in manifests, in characters or bytes.
const BOUND_LENGTH: usize = 16;
/// False positives of bloom filters; at 1 % a filter costs 10 bits a value.
const BLOOM_FPP: f64 = 0.01;

/// Values at the beginning of a file that tell whether a column repeats, and the fewest that do.
const SAMPLE_ROWS: usize = 4096;
const SAMPLE_VALUES_MIN: usize = 1000;

/// What every file of one writer has in common.
pub(in crate::lake) struct FileFormat {
    shape: Arc<Shape>,
    parquet: parquet::schema::types::SchemaDescriptor,
    properties: WriterProperties,
    dictionaries: Dictionaries,
}

impl FileFormat {
    pub(in crate::lake) fn new(
        table: &TableName,
        shape: Arc<Shape>,
        options: &WriteOptions,
    ) -> Result<Self> {
        let parquet = shape.parquet(table)?;
        let mut properties = WriterProperties::builder()
            .set_compression(parquet_compression(options.compression))
            .set_max_row_group_row_count(Some(options.row_group_rows.max(1)))
            .set_data_page_size_limit(options.page_bytes)
            .set_dictionary_enabled(options.dictionaries != Dictionaries::None)
            .set_max_row_group_bytes(Some(ROW_GROUP_BYTES))
            .set_created_by(concat!("icesync ", env!("CARGO_PKG_VERSION")).to_owned());
        for key in &shape.schema.key {
            let field = &shape.schema.fields[key.field];
            // Keys that fold are looked up in a spelling the filter does not know; ordered numbers are found by bounds.
            let filtered = match field.ty {
                LakeType::String | LakeType::Uuid | LakeType::Binary | LakeType::Fixed(_) => {
                    key.fold == KeyFold::default()
                }
                LakeType::Boolean
                | LakeType::Int
                | LakeType::Long
                | LakeType::Float
                | LakeType::Double
                | LakeType::Decimal { .. }
                | LakeType::Date
                | LakeType::Time
                | LakeType::Timestamp
                | LakeType::TimestampTz => false,
            };
            if filtered {
                let column = ColumnPath::from(vec![field.name.clone()]);
                properties = properties
                    .set_column_bloom_filter_enabled(column.clone(), true)
                    .set_column_bloom_filter_fpp(column.clone(), BLOOM_FPP)
                    .set_column_bloom_filter_ndv(column, options.row_group_rows as u64);
            }
        }
        Ok(Self {
            shape,
            parquet,
            properties: properties.build(),
            dictionaries: options.dictionaries,
        })
    }

    /// For a file that begins with these rows.
    fn options(&self, first: Option<&RecordBatch>) -> Result<ArrowWriterOptions> {
        let mut properties = self.properties.clone().into_builder();
        let sampled = first.filter(|_| self.dictionaries == Dictionaries::WhereValuesRepeat);
        let columns = sampled.into_iter().flat_map(|batch| batch.columns());
        for (field, column) in self.shape.schema.fields.iter().zip(columns) {
            if hardly_repeats(column)? {
                let column = ColumnPath::from(vec![field.name.clone()]);
                properties = properties.set_column_dictionary_enabled(column, false);
            }
        }
        Ok(ArrowWriterOptions::new()
            .with_properties(properties.build())
            .with_parquet_schema(self.parquet.clone())
            .with_skip_arrow_metadata(true))
    }
}

/// Whether at most one in twenty values of the sample is there already.
fn hardly_repeats(column: &ArrayRef) -> Result<bool> {
    let sample = column.slice(0, column.len().min(SAMPLE_ROWS));
    let values = sample.len() - sample.null_count();
    if values < SAMPLE_VALUES_MIN {
        return Ok(false);
    }
    let rows = RowConverter::new(vec![SortField::new(sample.data_type().clone())])
        .and_then(|rows| rows.convert_columns(std::slice::from_ref(&sample)))
        .map_err(LakeError::arrow("a column"))?;
    let hash = |row: Row<'_>| XxHash3_64::oneshot(row.data());
    let mut hashes: Vec<u64> = rows.iter().map(hash).collect();
    hashes.sort_unstable();
    hashes.dedup();
    // All NULLs are one of them.
    let distinct = hashes.len() - usize::from(sample.null_count() > 0);
    Ok(distinct * 20 >= values * 19)
}

fn parquet_compression(compression: Compression) -> ParquetCompression {
    match compression {
        Compression::None => ParquetCompression::UNCOMPRESSED,
        Compression::Snappy => ParquetCompression::SNAPPY,
        Compression::Lz4 => ParquetCompression::LZ4_RAW,
        Compression::Zstd(level) => {
            ParquetCompression::ZSTD(ZstdLevel::try_new(i32::from(level)).unwrap_or_default())
        }
    }
}

/// A data file being written by its own thread. When that fails, the thread removes the file.
pub(in crate::lake) struct FileWriter {
    batches: mpsc::Sender<RecordBatch>,
    bytes: Arc<AtomicU64>,
    /// None once its failure has been told.
    thread: Option<JoinHandle<Result<DataFile>>>,
}

/// Waits until a file whose input has ended is durable.
pub(in crate::lake) struct Finishing(Option<JoinHandle<Result<DataFile>>>);

/// The thread is gone: it panicked, or has told its failure before.
#[derive(Debug)]
pub(in crate::lake) struct Gone;

impl Future for Finishing {
    type Output = std::result::Result<Result<DataFile>, Gone>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            Some(thread) => Pin::new(thread)
                .poll(context)
                .map(|ended| ended.map_err(|_| Gone)),
            None => Poll::Ready(Err(Gone)),
        }
    }
}

impl FileWriter {
    /// Starts the thread; the file is created by it.
    pub(in crate::lake) fn start(store: Arc<Store>, uri: String, format: Arc<FileFormat>) -> Self {
        let (batches, queue) = mpsc::channel(QUEUE_BATCHES);
        let bytes = Arc::new(AtomicU64::new(0));
        let thread = {
            let bytes = bytes.clone();
            tokio::task::spawn_blocking(move || encode(&store, &uri, &format, queue, &bytes))
        };
        Self {
            batches,
            bytes,
            thread: Some(thread),
        }
    }

    /// Bytes encoded so far, about.
    pub(in crate::lake) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Hands a batch to the thread; waits while its queue is full.
    pub(in crate::lake) async fn write(&mut self, batch: RecordBatch) -> Result<()> {
        if self.batches.send(batch).await.is_ok() {
            return Ok(());
        }
        // The thread ended before its input did: it has the reason.
        let ended = LakeError::Thread {
            action: "writes Parquet",
        };
        match Finishing(self.thread.take()).await {
            Ok(Err(error)) => Err(error),
            Ok(Ok(_)) | Err(Gone) => Err(ended),
        }
    }

    /// Ends the input.
    pub(in crate::lake) fn finish(self) -> Finishing {
        drop(self.batches);
        Finishing(self.thread)
    }
}

fn encode(
    store: &Store,
    uri: &str,
    format: &FileFormat,
    mut queue: mpsc::Receiver<RecordBatch>,
    bytes: &AtomicU64,
) -> Result<DataFile> {
    let failed = || LakeError::parquet("write", uri);
    let mut sink = store.sink(uri)?;
    let mut next = queue.blocking_recv();
    let options = format.options(next.as_ref())?;
    let mut writer =
        ArrowWriter::try_new_with_options(&mut sink, format.shape.arrow.clone(), options)
            .map_err(failed())?;
    let mut nans = NanCounts::new(&format.shape);
    while let Some(batch) = next {
        nans.count(&batch);
        writer.write(&batch).map_err(failed())?;
        let encoded = writer.bytes_written() + writer.in_progress_size();
        bytes.store(encoded as u64, Ordering::Relaxed);
        next = queue.blocking_recv();
    }
    let metadata = writer.finish().map_err(failed())?;
    let size = writer.bytes_written() as u64;
    drop(writer);
    sink.finish()
        .map_err(|error| LakeError::io("write", uri, error))?;
    data_file(uri, size, &metadata, &format.shape, &nans)
}

/// NaN values of the floating-point columns; Parquet's statistics leave them out without saying so.
struct NanCounts(Vec<(usize, u64)>);

impl NanCounts {
    fn new(shape: &Shape) -> Self {
        let floats = shape.schema.fields.iter().enumerate();
        Self(
            floats
                .filter(|(_, field)| matches!(field.ty, LakeType::Float | LakeType::Double))
                .map(|(at, _)| (at, 0))
                .collect(),
        )
    }

    fn count(&mut self, batch: &RecordBatch) {
        for (at, count) in &mut self.0 {
            let column = batch.column(*at);
            let nans = if let Some(values) = column.as_primitive_opt::<Float64Type>() {
                values.iter().flatten().filter(|v| v.is_nan()).count()
            } else if let Some(values) = column.as_primitive_opt::<Float32Type>() {
                values.iter().flatten().filter(|v| v.is_nan()).count()
            } else {
                0
            };
            *count += nans as u64;
        }
    }

    fn of(&self, at: usize) -> Option<u64> {
        let found = self.0.iter().find(|(column, _)| *column == at);
        found.map(|(_, count)| *count)
    }
}

fn data_file(
    uri: &str,
    size: u64,
    metadata: &ParquetMetaData,
    shape: &Shape,
    nans: &NanCounts,
) -> Result<DataFile> {
    let mut sizes = HashMap::new();
    let mut values = HashMap::new();
    let mut nulls = HashMap::new();
    let mut nan_counts = HashMap::new();
    let mut lower = HashMap::new();
    let mut upper = HashMap::new();
    for (at, (field, &id)) in shape.schema.fields.iter().zip(&shape.ids).enumerate() {
        let chunks = || metadata.row_groups().iter().map(|group| group.column(at));
        let of = |count: i64| u64::try_from(count).unwrap_or_default();
        sizes.insert(id, chunks().map(|chunk| of(chunk.compressed_size())).sum());
        values.insert(id, chunks().map(|chunk| of(chunk.num_values())).sum());
        let counted: Option<Vec<u64>> = chunks()
            .map(|chunk| chunk.statistics().and_then(Statistics::null_count_opt))
            .collect();
        if let Some(counted) = counted {
            nulls.insert(id, counted.iter().sum());
        }
        if let Some(count) = nans.of(at) {
            nan_counts.insert(id, count);
            if count > 0 {
                continue;
            }
        }
        let statistics: Vec<(u64, &Statistics)> = chunks()
            .filter_map(|chunk| Some((of(chunk.num_values()), chunk.statistics()?)))
            .collect();
        if statistics.len() == metadata.num_row_groups()
            && let Some(bounds) = Bounds::of(field.ty, &statistics)
        {
            lower.extend(bounds.lower.map(|bound| (id, bound)));
            upper.extend(bounds.upper.map(|bound| (id, bound)));
        }
    }
    let offsets = metadata
        .row_groups()
        .iter()
        .filter_map(|group| group.file_offset().or_else(|| Some(first_page(group))));
    DataFileBuilder::default()
        .content(DataContentType::Data)
        .file_path(uri.to_owned())
        .file_format(DataFileFormat::Parquet)
        .record_count(u64::try_from(metadata.file_metadata().num_rows()).unwrap_or_default())
        .file_size_in_bytes(size)
        .column_sizes(sizes)
        .value_counts(values)
        .null_value_counts(nulls)
        .nan_value_counts(nan_counts)
        .lower_bounds(lower)
        .upper_bounds(upper)
        .split_offsets(Some(offsets.collect()))
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

fn first_page(group: &parquet::file::metadata::RowGroupMetaData) -> i64 {
    let chunk = group.columns().first();
    chunk.map_or(4, |chunk| {
        chunk
            .dictionary_page_offset()
            .unwrap_or_else(|| chunk.data_page_offset())
    })
}

struct Bounds {
    lower: Option<Datum>,
    upper: Option<Datum>,
}

impl Bounds {
    /// The least and greatest value over all row groups (each with its rows); none when one does not tell.
    fn of(ty: LakeType, statistics: &[(u64, &Statistics)]) -> Option<Self> {
        if ty == LakeType::Uuid {
            return None;
        }
        let primitive = schema::primitive(ty);
        let mut lower: Option<Datum> = None;
        let mut upper: Option<Datum> = None;
        for &(rows, group) in statistics {
            let (Some(min), Some(max)) = (group.min_bytes_opt(), group.max_bytes_opt()) else {
                if group.null_count_opt() == Some(rows) {
                    continue;
                }
                return None;
            };
            let min = datum(ty, &primitive, min)?;
            let max = datum(ty, &primitive, max)?;
            if lower.as_ref().is_none_or(|known| min < *known) {
                lower = Some(min);
            }
            if upper.as_ref().is_none_or(|known| max > *known) {
                upper = Some(max);
            }
        }
        Some(Self {
            lower: lower.and_then(shortened_lower),
            upper: upper.and_then(shortened_upper),
        })
    }
}

/// A Parquet statistic as an Iceberg value. Integers are little-endian in both; decimals are not.
fn datum(ty: LakeType, primitive: &PrimitiveType, bytes: &[u8]) -> Option<Datum> {
    match ty {
        LakeType::Decimal { precision, .. } => {
            let unscaled = match precision {
                0..=9 => i128::from(i32::from_le_bytes(bytes.try_into().ok()?)),
                10..=18 => i128::from(i64::from_le_bytes(bytes.try_into().ok()?)),
                _ => {
                    let negative = bytes.first().is_some_and(|byte| byte & 0x80 != 0);
                    let mut wide = [if negative { 0xFF } else { 0 }; 16];
                    let start = wide.len().checked_sub(bytes.len())?;
                    wide[start..].copy_from_slice(bytes);
                    i128::from_be_bytes(wide)
                }
            };
            Datum::try_from_bytes(&unscaled.to_be_bytes(), primitive.clone()).ok()
        }
        // A statistic that was cut is no value of this type.
        LakeType::Fixed(length) if bytes.len() != usize::from(length) => None,
        LakeType::Boolean
        | LakeType::Int
        | LakeType::Long
        | LakeType::Float
        | LakeType::Double
        | LakeType::Date
        | LakeType::Time
        | LakeType::Timestamp
        | LakeType::TimestampTz
        | LakeType::String
        | LakeType::Uuid
        | LakeType::Fixed(_)
        | LakeType::Binary => Datum::try_from_bytes(bytes, primitive.clone()).ok(),
    }
}

/// What a value is shortened by.
enum Unit {
    Character,
    Byte,
    /// It has a fixed length.
    Whole,
}

fn unit(ty: &PrimitiveType) -> Unit {
    match ty {
        PrimitiveType::String => Unit::Character,
        PrimitiveType::Binary => Unit::Byte,
        PrimitiveType::Boolean
        | PrimitiveType::Int
        | PrimitiveType::Long
        | PrimitiveType::Float
        | PrimitiveType::Double
        | PrimitiveType::Decimal { .. }
        | PrimitiveType::Date
        | PrimitiveType::Time
        | PrimitiveType::Timestamp
        | PrimitiveType::Timestamptz
        | PrimitiveType::TimestampNs
        | PrimitiveType::TimestamptzNs
        | PrimitiveType::Uuid
        | PrimitiveType::Fixed(_) => Unit::Whole,
    }
}

fn shortened_lower(bound: Datum) -> Option<Datum> {
    let bytes = bound.to_bytes().ok()?;
    match unit(bound.data_type()) {
        Unit::Character => {
            let text = std::str::from_utf8(&bytes).ok()?;
            let cut: String = text.chars().take(BOUND_LENGTH).collect();
            Some(Datum::string(cut))
        }
        Unit::Byte => {
            let end = bytes.len().min(BOUND_LENGTH);
            Some(Datum::binary(bytes[..end].iter().copied()))
        }
        Unit::Whole => Some(bound),
    }
}

fn shortened_upper(bound: Datum) -> Option<Datum> {
    let bytes = bound.to_bytes().ok()?;
    match unit(bound.data_type()) {
        Unit::Character => {
            let text = std::str::from_utf8(&bytes).ok()?;
            match text.char_indices().nth(BOUND_LENGTH) {
                None => Some(bound),
                Some((end, _)) => next_text(&text[..end]).map(Datum::string),
            }
        }
        Unit::Byte if bytes.len() > BOUND_LENGTH => {
            next_bytes(&bytes[..BOUND_LENGTH]).map(Datum::binary)
        }
        Unit::Byte | Unit::Whole => Some(bound),
    }
}

/// The least bytes of at most this length that are greater than all bytes starting with `prefix`.
fn next_bytes(prefix: &[u8]) -> Option<Vec<u8>> {
    let mut cut = prefix.to_vec();
    while let Some(last) = cut.pop() {
        if last < u8::MAX {
            cut.push(last + 1);
            return Some(cut);
        }
    }
    None
}

/// The least text of at most this length that is greater than every text starting with `prefix`.
fn next_text(prefix: &str) -> Option<String> {
    let mut cut = prefix.to_owned();
    while let Some(last) = cut.pop() {
        let next = (u32::from(last) + 1..=u32::from(char::MAX)).find_map(char::from_u32);
        if let Some(next) = next {
            cut.push(next);
            return Some(cut);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upper_bounds_are_above_what_they_stand_for() {
        let long = "x".repeat(40);
        let bound = shortened_upper(Datum::string(&long)).unwrap();
        assert!(bound > Datum::string(&long));
        assert_eq!(next_text("ab").unwrap(), "ac");
        assert_eq!(next_text("a\u{10FFFF}").unwrap(), "b");
        assert_eq!(next_text("\u{D7FF}").unwrap(), "\u{E000}");
        assert_eq!(next_text("\u{10FFFF}"), None);
        assert_eq!(shortened_upper(Datum::binary(vec![0xFF; 20])), None);
        let short = Datum::string("short");
        assert_eq!(shortened_upper(short.clone()), Some(short));
    }

    #[test]
    fn decimals_keep_their_sign_at_every_width() {
        for (precision, bytes, value) in [
            (9_u8, (-5_i32).to_le_bytes().to_vec(), -5_i128),
            (18, (-5_i64).to_le_bytes().to_vec(), -5),
            (38, (-5_i128).to_be_bytes().to_vec(), -5),
            (20, vec![0xFF; 9], -1),
            (20, vec![0x01, 0, 0, 0, 0, 0, 0, 0, 0], 1 << 64),
        ] {
            let ty = LakeType::Decimal {
                precision,
                scale: 0,
            };
            let found = datum(ty, &schema::primitive(ty), &bytes).unwrap();
            let literal = iceberg::spec::PrimitiveLiteral::Int128(value);
            assert_eq!(found.literal(), &literal, "precision {precision}");
        }
    }
}
