//! Reading one data file: columns by field id, rows by position.
//!
//! Files keep the schema they were written with. Columns are found by Iceberg field id, widened where the table's
//! type was widened since. Where the file does not have the column, it has the [value that the partition
//! has](crate::lake::read::constants), or else NULL.
//!
//! A file without field ids was not written by Iceberg: another engine took it into the table. Its columns are found
//! by the table's name mapping. Without one the file is refused, since every column would read as NULL. So is a column
//! whose type cannot become the table's without changing a value.

use crate::lake::error::{LakeError, Result};
use crate::lake::read::constants::{Constant, repeated};
use crate::lake::read::deletes::Positions;
use crate::lake::read::entries::Described;
use crate::lake::schema::Shape;
use crate::lake::store::Store;
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use arrow_cast::CastOptions;
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, RowSelection, RowSelector,
};
use parquet::arrow::async_reader::{ParquetObjectReader, ParquetRecordBatchStreamBuilder};
use parquet::arrow::{ProjectionMask, RowNumber};
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData};
use parquet::schema::types::BasicTypeInfo;
use std::sync::Arc;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, spawn_blocking};

/// Record batches with the position of each row in its file.
pub(in crate::lake) type Rows = BoxStream<'static, Result<(RecordBatch, Vec<u64>)>>;

/// Name of the column of positions; no table column can have it, as a NUL is no part of a name.
const POSITION: &str = "\0position";
/// A batch holds about this much, and never more than [`BATCH_ROWS`].
const BATCH_BYTES: u64 = 8 << 20;
const BATCH_ROWS: u64 = 8192;

/// An open data file; its footer is in memory.
pub(in crate::lake) struct OpenFile {
    uri: String,
    reader: ParquetObjectReader,
    metadata: ArrowReaderMetadata,
    shape: Arc<Shape>,
    /// Column of the file for each field of the shape.
    columns: Vec<Option<usize>>,
    /// Value in all rows, in one row, of fields that the file has no column for.
    constants: Vec<Option<ArrayRef>>,
}

/// A footer as it is kept for the process.
struct Footer {
    /// Whether the page index is part of it.
    pages: bool,
    metadata: ArrowReaderMetadata,
}

/// Which rows of a file to read.
pub(in crate::lake) enum Wanted<'a> {
    Except(&'a Positions),
    Only(&'a Positions),
    /// Rows of these row groups.
    Groups(Vec<usize>),
}

impl OpenFile {
    /// Opens a file. With `pages`, reading few rows skips the pages between them.
    pub(in crate::lake) async fn open(
        store: &Store,
        shape: Arc<Shape>,
        file: &impl Described,
        pages: bool,
    ) -> Result<Self> {
        let uri = file.file_path().to_owned();
        let failed = || LakeError::parquet("read", uri.clone());
        let mut reader = store.parquet(&uri, file.file_size_in_bytes())?;
        let position = Field::new(POSITION, DataType::Int64, false).with_extension_type(RowNumber);
        let options = ArrowReaderOptions::new()
            .with_skip_arrow_metadata(true)
            .with_offset_index_policy(if pages {
                PageIndexPolicy::Optional
            } else {
                PageIndexPolicy::Skip
            })
            .with_virtual_columns(vec![Arc::new(position)])
            .map_err(failed())?;
        let known = store.cache().get::<Footer>(&uri);
        let metadata = match known.filter(|known| known.pages || !pages) {
            Some(known) => known.metadata.clone(),
            None => {
                let metadata = ArrowReaderMetadata::load_async(&mut reader, options)
                    .await
                    .map_err(failed())?;
                let bytes = metadata.metadata().memory_size();
                let metadata = Footer { pages, metadata };
                let kept = metadata.metadata.clone();
                store.cache().put(&uri, Arc::new(metadata), bytes);
                kept
            }
        };
        let columns = columns_of(&uri, &shape, &metadata)?;
        let constants = constants_of(&uri, &shape, &columns, file.constants())?;
        Ok(Self {
            uri,
            reader,
            columns,
            constants,
            metadata,
            shape,
        })
    }

    pub(in crate::lake) fn uri(&self) -> &str {
        &self.uri
    }

    pub(in crate::lake) fn footer(&self) -> &ParquetMetaData {
        self.metadata.metadata()
    }

    /// Name and position in the file of a field's column.
    pub(in crate::lake) fn column(&self, field: usize) -> Option<(usize, &str)> {
        let at = self.columns.get(field).copied().flatten()?;
        let fields = self.metadata.parquet_schema().root_schema().get_fields();
        Some((at, fields.get(at)?.name()))
    }

    pub(in crate::lake) fn metadata(&self) -> &ArrowReaderMetadata {
        &self.metadata
    }

    pub(in crate::lake) fn builder(&self) -> ParquetRecordBatchStreamBuilder<ParquetObjectReader> {
        ParquetRecordBatchStreamBuilder::new_with_metadata(
            self.reader.clone(),
            self.metadata.clone(),
        )
    }

    /// Bytes of fields in a row group, before compression.
    pub(in crate::lake) fn bytes(&self, fields: &[usize], group: usize) -> u64 {
        let group = self.footer().row_group(group);
        let roots = fields.iter().filter_map(|&field| self.columns[field]);
        roots
            .map(|root| group.column(root).uncompressed_size().max(0) as u64)
            .fold(0, u64::saturating_add)
    }

    /// Reads fields of the shape, in the order asked for.
    pub(in crate::lake) fn read(&self, fields: &[usize], wanted: &Wanted<'_>) -> Result<Rows> {
        self.read_in(fields, wanted, BATCH_BYTES)
    }

    /// The same in batches of about this much.
    pub(in crate::lake) fn read_in(
        &self,
        fields: &[usize],
        wanted: &Wanted<'_>,
        batch_bytes: u64,
    ) -> Result<Rows> {
        let footer = self.footer();
        let (groups, selection) = choose(footer, wanted);
        let rows: i64 = groups
            .iter()
            .map(|&at| footer.row_group(at).num_rows())
            .sum();
        let bytes = groups.iter().map(|&at| self.bytes(fields, at));
        let bytes = bytes.fold(0, u64::saturating_add);
        let bytes_a_row = bytes / (rows.max(1) as u64) + 1;
        let mut roots: Vec<usize> = fields.iter().filter_map(|&f| self.columns[f]).collect();
        roots.sort_unstable();
        roots.dedup();
        let batch = (batch_bytes / bytes_a_row).clamp(1, BATCH_ROWS) as usize;
        let mask = ProjectionMask::roots(self.metadata.parquet_schema(), roots.iter().copied());
        let mut builder = self
            .builder()
            .with_projection(mask)
            .with_row_groups(groups)
            .with_batch_size(batch);
        if let Some(selection) = selection {
            builder = builder.with_row_selection(selection);
        }
        let projection = Arc::new(Projection::new(self, fields, &roots));
        let uri = self.uri.clone();
        let stream = builder
            .build()
            .map_err(LakeError::parquet("read", uri.clone()))?;
        Ok(stream
            .map(move |batch| {
                let batch = batch.map_err(LakeError::parquet("read", uri.clone()))?;
                projection.apply(&uri, &batch)
            })
            .boxed())
    }
}

const REWRITE: &str = "Rewrite the file with the engine that added it";

/// The column of the file for each field of the shape. Refuses a file whose columns cannot be told or read.
fn columns_of(
    uri: &str,
    shape: &Shape,
    metadata: &ArrowReaderMetadata,
) -> Result<Vec<Option<usize>>> {
    let refused = |why: String, remedy| LakeError::UnsupportedFile {
        path: uri.to_owned(),
        why,
        remedy,
    };
    let schema = metadata.parquet_schema();
    let fields = schema.root_schema().get_fields();
    // Row groups list leaves: they are the table's columns only where no column is nested.
    if let Some(nested) = fields.iter().find(|field| !field.is_primitive()) {
        return Err(refused(
            format!("its column `{}` is nested", nested.name()),
            REWRITE,
        ));
    }
    let id_of = |info: &BasicTypeInfo| info.has_id().then(|| info.id());
    let own: Vec<Option<i32>> = fields
        .iter()
        .map(|field| id_of(field.get_basic_info()))
        .collect();
    let ids = match (
        own.iter().any(Option::is_some) || fields.is_empty(),
        &shape.names,
    ) {
        (true, _) => own,
        (false, Some(names)) => fields
            .iter()
            .map(|field| names.get(field.name()).copied())
            .collect(),
        (false, None) => {
            let why = "it has no field ids, and the table has no name mapping".to_owned();
            let remedy = "Set the table property `schema.name-mapping.default`, or rewrite the \
                          file with the engine that added it";
            return Err(refused(why, remedy));
        }
    };
    let columns = shape
        .ids
        .iter()
        .map(|id| ids.iter().position(|own| *own == Some(*id)));
    let columns: Vec<Option<usize>> = columns.collect();
    for (column, field) in columns.iter().zip(shape.arrow.fields()) {
        let Some(found) = column.map(|at| metadata.schema().field(at)) else {
            continue;
        };
        if !widens(found.data_type(), field.data_type()) {
            let (found, name, wanted) = (found.data_type(), field.name(), field.data_type());
            let why = format!("its column for `{name}` is {found}, and the table's is {wanted}");
            return Err(refused(why, REWRITE));
        }
    }
    Ok(columns)
}

/// The value in all rows of each field that the file has no column for.
fn constants_of(
    uri: &str,
    shape: &Shape,
    columns: &[Option<usize>],
    constants: &[Constant],
) -> Result<Vec<Option<ArrayRef>>> {
    let fields = columns.iter().zip(&shape.ids).zip(shape.arrow.fields());
    let constant = |((column, id), field): ((&Option<usize>, &i32), &Arc<Field>)| {
        let mut constants = constants.iter();
        let found = constants.find(|constant| constant.id == *id && column.is_none());
        let value = found.map(|constant| constant.column(field.data_type()));
        value.transpose().map_err(|why| LakeError::UnsupportedFile {
            path: uri.to_owned(),
            why: format!("it has no column `{}`, and {why}", field.name()),
            remedy: REWRITE,
        })
    };
    fields.map(constant).collect()
}

/// Whether every value of a file's column is a value of the table's column.
fn widens(from: &DataType, to: &DataType) -> bool {
    use DataType::{
        Binary, Decimal128, FixedSizeBinary, Float32, Float64, Int8, Int16, Int32, Int64,
        LargeBinary, LargeUtf8, Time32, Time64, Timestamp, UInt8, UInt16, UInt32, Utf8,
    };
    use TimeUnit::{Microsecond, Millisecond, Second};
    if let (Decimal128(from, scale), Decimal128(to, wanted)) = (from, to) {
        return scale == wanted && from <= to;
    }
    if let (Timestamp(unit, zone), Timestamp(Microsecond, wanted)) = (from, to) {
        let exact = matches!(unit, Second | Millisecond | Microsecond);
        return exact && zone.is_some() == wanted.is_some();
    }
    from == to
        || matches!(
            (from, to),
            (Int8 | Int16 | UInt8 | UInt16, Int32 | Int64)
                | (Int32 | UInt32, Int64)
                | (Float32, Float64)
                | (Time32(Second | Millisecond), Time64(Microsecond))
                | (LargeUtf8 | Binary | LargeBinary, Utf8)
                | (LargeBinary | FixedSizeBinary(_), Binary)
                | (Binary | LargeBinary, FixedSizeBinary(_))
        )
}

/// How the columns of a file become the columns asked for.
struct Projection {
    schema: SchemaRef,
    /// Column of the batch for each output column.
    from: Vec<Option<usize>>,
    /// Value in all rows, for output columns that have none.
    constants: Vec<Option<ArrayRef>>,
}

impl Projection {
    fn new(file: &OpenFile, fields: &[usize], roots: &[usize]) -> Self {
        let (shape, columns) = (&file.shape, &file.columns);
        let field = |&field: &usize| {
            let plain = shape.arrow.field(field).clone();
            // A file older than a required column reads as NULL there.
            let nullable = plain.is_nullable() || columns[field].is_none();
            plain.with_nullable(nullable)
        };
        Self {
            schema: Arc::new(Schema::new(fields.iter().map(field).collect::<Vec<_>>())),
            from: fields
                .iter()
                .map(|&field| {
                    let root = columns[field]?;
                    roots.iter().position(|&other| other == root)
                })
                .collect(),
            constants: fields
                .iter()
                .map(|&field| file.constants[field].clone())
                .collect(),
        }
    }

    fn apply(&self, uri: &str, batch: &RecordBatch) -> Result<(RecordBatch, Vec<u64>)> {
        let failed = || LakeError::arrow(uri);
        let rows = batch.num_rows();
        let columns = self
            .from
            .iter()
            .zip(&self.constants)
            .zip(self.schema.fields())
            .map(|((from, constant), field)| match (from, constant) {
                (Some(at), _) => widened(batch.column(*at), field.data_type()),
                (None, Some(constant)) => repeated(constant, rows),
                (None, None) => Ok(new_null_array(field.data_type(), rows)),
            });
        let columns = columns
            .collect::<std::result::Result<Vec<_>, _>>()
            .map_err(failed())?;
        let positions = batch
            .column_by_name(POSITION)
            .and_then(|column| column.as_primitive_opt::<Int64Type>())
            .map(|column| column.values().iter().map(|&row| row as u64).collect())
            .unwrap_or_default();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)
            .map_err(failed())?;
        Ok((batch, positions))
    }
}

/// The column in the table's type: wider than the file's, or the same under another time zone name.
pub(in crate::lake) fn widened(
    column: &ArrayRef,
    ty: &DataType,
) -> std::result::Result<ArrayRef, arrow_schema::ArrowError> {
    if column.data_type() == ty {
        return Ok(column.clone());
    }
    let exact = CastOptions {
        safe: false,
        ..CastOptions::default()
    };
    arrow_cast::cast_with_options(column, ty, &exact)
}

/// Row groups to read, and the rows to keep of them.
fn choose(footer: &ParquetMetaData, wanted: &Wanted<'_>) -> (Vec<usize>, Option<RowSelection>) {
    let all = || (0..footer.num_row_groups()).collect();
    match wanted {
        Wanted::Groups(groups) => (groups.clone(), None),
        Wanted::Except(positions) if positions.is_empty() => (all(), None),
        Wanted::Except(positions) => select(footer, positions, false),
        Wanted::Only(positions) => select(footer, positions, true),
    }
}

fn select(
    footer: &ParquetMetaData,
    positions: &Positions,
    keep: bool,
) -> (Vec<usize>, Option<RowSelection>) {
    let mut groups = Vec::new();
    let mut selectors = Vec::new();
    let mut start = 0_u64;
    for (at, group) in footer.row_groups().iter().enumerate() {
        let end = start + u64::try_from(group.num_rows()).unwrap_or_default();
        let listed = positions.range_cardinality(start..end);
        let kept = if keep { listed } else { end - start - listed };
        if kept > 0 {
            groups.push(at);
            push_runs(&mut selectors, positions, start..end, keep);
        }
        start = end;
    }
    (groups, Some(RowSelection::from(selectors)))
}

/// Runs of listed and unlisted rows of one row group.
fn push_runs(
    selectors: &mut Vec<RowSelector>,
    positions: &Positions,
    rows: std::ops::Range<u64>,
    keep: bool,
) {
    let run = |length: u64, listed: bool| {
        if listed == keep {
            RowSelector::select(length as usize)
        } else {
            RowSelector::skip(length as usize)
        }
    };
    let mut next = rows.start;
    let mut listed_from = rows.start;
    let mut iter = positions.iter();
    iter.advance_to(rows.start);
    for position in iter.take_while(|&position| position < rows.end) {
        if position > next {
            if next > listed_from {
                selectors.push(run(next - listed_from, true));
            }
            selectors.push(run(position - next, false));
            listed_from = position;
        }
        next = position + 1;
    }
    if next > listed_from {
        selectors.push(run(next - listed_from, true));
    }
    if rows.end > next {
        selectors.push(run(rows.end - next, false));
    }
}

/// Several streams as one. Each is read by a thread of its own, as far as the reader keeps up; the order among them
/// is lost.
pub(in crate::lake) fn merged<T: Send + 'static>(
    streams: Vec<BoxStream<'static, Result<T>>>,
) -> BoxStream<'static, Result<T>> {
    let (sender, receiver) = mpsc::channel(streams.len().max(1));
    let read = |mut stream: BoxStream<'static, Result<T>>| {
        let (sender, runtime) = (sender.clone(), Handle::current());
        spawn_blocking(move || {
            while let Some(some) = runtime.block_on(stream.next()) {
                let failed = some.is_err();
                if sender.blocking_send(some).is_err() || failed {
                    return;
                }
            }
        })
    };
    let threads: Vec<JoinHandle<()>> = streams.into_iter().map(read).collect();
    let state = (receiver, threads.into_iter());
    stream::unfold(state, async |(mut receiver, mut threads)| {
        if let Some(some) = receiver.recv().await {
            return Some((some, (receiver, threads)));
        }
        // A thread that panicked has not sent everything.
        while let Some(thread) = threads.next() {
            if thread.await.is_err() {
                let lost = LakeError::Thread {
                    action: "reads rows",
                };
                return Some((Err(lost), (receiver, threads)));
            }
        }
        None
    })
    .boxed()
}

/// Only the batches of a stream of rows.
pub(in crate::lake) fn batches(rows: Rows) -> BoxStream<'static, Result<RecordBatch>> {
    rows.map_ok(|(batch, _)| batch).boxed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_types_that_keep_every_value_are_read() {
        let (micro, nano) = (TimeUnit::Microsecond, TimeUnit::Nanosecond);
        let utc = || Some("UTC".into());
        for (from, to, wanted) in [
            (DataType::Int32, DataType::Int64, true),
            (DataType::Int64, DataType::Int32, false),
            (DataType::Float64, DataType::Int64, false),
            (DataType::Float64, DataType::Float32, false),
            (
                DataType::Decimal128(9, 2),
                DataType::Decimal128(18, 2),
                true,
            ),
            (
                DataType::Decimal128(9, 3),
                DataType::Decimal128(18, 2),
                false,
            ),
            (
                DataType::Timestamp(nano, None),
                DataType::Timestamp(micro, None),
                false,
            ),
            (
                DataType::Timestamp(micro, utc()),
                DataType::Timestamp(micro, Some("+00:00".into())),
                true,
            ),
            (
                DataType::Timestamp(micro, utc()),
                DataType::Timestamp(micro, None),
                false,
            ),
            (DataType::Binary, DataType::Utf8, true),
            (DataType::Utf8, DataType::Int32, false),
        ] {
            assert_eq!(widens(&from, &to), wanted, "{from} to {to}");
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn merged_streams_lose_nothing() {
        let streams =
            (0..5).map(|task| stream::iter((0..100).map(move |at| Ok(task * 100 + at))).boxed());
        let mut merged: Vec<i32> = merged(streams.collect()).try_collect().await.unwrap();
        merged.sort_unstable();
        assert_eq!(merged, (0..500).collect::<Vec<_>>());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn merged_streams_end_in_the_error_of_one() {
        let failing = stream::once(async { Err(LakeError::Thread { action: "fails" }) }).boxed();
        let panicking = stream::once(async { panic!("as a decoder might") }).boxed();
        for (broken, expected) in [(failing, "fails"), (panicking, "reads rows")] {
            let whole = stream::iter((0..100).map(Ok)).boxed();
            let merged: Result<Vec<i32>> = merged(vec![whole, broken]).try_collect().await;
            assert!(matches!(merged, Err(LakeError::Thread { action }) if action == expected));
        }
    }
}
