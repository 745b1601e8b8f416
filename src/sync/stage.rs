//! The rows of a load on their way into a heap, by one bulk copy or several side by side. The heap is a staging table,
//! or the table that a first load fills.
//!
//! A load begins with one channel. When it turns out to be large and the target's share of channels allows, more
//! are opened: each is an INSERT BULK of its own with `TABLOCK`, which a heap takes side by side, and each gets
//! whole batches. The order of the rows means nothing, so any channel may take any batch. They count only when every
//! channel has had all of its own acknowledged and their sum is what was fed; until then nothing uses them, and the
//! next load drops the heap.

use super::{Links, Phase, Sync, guard};
use crate::error::{Disposition, Error, Kind, Result};
use crate::lake::{BatchStream, Delta, LakeTable, Segment};
use crate::mssql::bulk::{BulkColumn, BulkOptions};
use crate::mssql::channel::Channel;
use crate::mssql::sql::{self, define::StagingTable};
use crate::schema::mapping::arrow_schema;
use crate::schema::{LakeSchema, LakeType, SqlType, TableName};
use crate::target::staging;
use arrow_array::{
    Array, ArrayRef, BooleanArray, Int32Array, RecordBatch, StringArray, new_null_array,
};
use arrow_cast::{CastOptions, cast_with_options};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use futures::StreamExt;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::task::JoinSet;

/// Batches between the lake's reader and one bulk copy.
const BATCHES_IN_FLIGHT: usize = 4;
/// Another channel is opened for each so many rows.
const ROWS_PER_CHANNEL: u64 = 250_000;

/// What every channel fills.
pub(super) struct Heap {
    table: String,
    columns: Vec<BulkColumn>,
    /// Positions that name a row in errors.
    key: Vec<usize>,
    /// What the batches have beside the lake's fields.
    extra: Extra,
}

/// Columns of a batch that follow the lake's fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Extra {
    Nothing,
    /// The operation and the segment of each row.
    Marks,
    /// False in each row.
    Flag,
}

impl Heap {
    /// A staging table.
    pub fn staging(staging: &StagingTable, shape: &LakeSchema) -> Self {
        let columns = staging::bulk_columns(staging, shape);
        Self {
            extra: Extra::Marks,
            ..Self::fill(&staging.name, columns, shape)
        }
    }

    /// A table with the columns of the target.
    pub fn fill(table: &TableName, columns: Vec<BulkColumn>, shape: &LakeSchema) -> Self {
        let fields = shape.fields.len();
        let has_flag = columns.iter().any(|column| column.value >= fields);
        Self {
            table: sql::TableIdent(table).to_string(),
            columns,
            key: shape.key.iter().map(|key| key.field).collect(),
            extra: if has_flag {
                Extra::Flag
            } else {
                Extra::Nothing
            },
        }
    }
}

/// A bulk copy under way.
type Lane = mpsc::Sender<RecordBatch>;

/// The bulk copies of one load.
struct Lanes {
    heap: Arc<Heap>,
    lanes: Vec<Lane>,
    tasks: JoinSet<Result<(Channel, u64)>>,
    next: usize,
    rows: u64,
    deletes: u64,
}

/// What was staged, all of it acknowledged.
pub(super) struct Staged {
    pub rows: u64,
    /// How many of them are deletes.
    pub deletes: u64,
}

/// Bulk copies every part.
pub(super) async fn stage(
    sync: &Sync,
    name: &str,
    lake: &LakeTable,
    links: &mut Links,
    heap: Heap,
    parts: &[StagedPart],
) -> Result<Staged> {
    let shape = lake.lake_schema();
    let side = sync.target_side()?;
    Links::rows(&mut links.target_rows, side, Kind::Target).await?;
    let mut lanes = Lanes {
        heap: Arc::new(heap),
        lanes: Vec::new(),
        tasks: JoinSet::new(),
        next: 0,
        rows: 0,
        deletes: 0,
    };
    if let Some(channel) = links.target_rows.take() {
        lanes.open(channel, None);
    }
    let fed = lanes.feed(sync, name, shape, parts).await;
    let deletes = lanes.deletes;
    // What a copy says is the cause where both failed: the feeder only saw it go away.
    let (channel, copied) = lanes.close().await?;
    fed?;
    links.target_rows = channel;
    Ok(Staged {
        rows: copied,
        deletes,
    })
}

impl Lanes {
    fn open(&mut self, mut channel: Channel, permit: Option<OwnedSemaphorePermit>) {
        let (sender, mut batches) = mpsc::channel(BATCHES_IN_FLIGHT);
        let heap = Arc::clone(&self.heap);
        self.lanes.push(sender);
        self.tasks.spawn(async move {
            let _permit = permit;
            let options = BulkOptions {
                rows_per_batch: 0,
                table_lock: true,
            };
            let copied = channel
                .bulk_insert(&heap.table, &heap.columns, &heap.key, &mut batches, options)
                .await
                .map_err(|error| error.on(Kind::Target))?;
            Ok((channel, copied.rows))
        });
    }

    /// Sends everything, opening channels as it gets more. Ends early, and well, when a copy has failed: closing
    /// tells why.
    async fn feed(
        &mut self,
        sync: &Sync,
        name: &str,
        shape: &LakeSchema,
        parts: &[StagedPart],
    ) -> Result<()> {
        let side = sync.target_side()?;
        let schema = staged_schema(shape, self.heap.extra);
        for part in parts {
            let mut stream = part.rows();
            while let Some(batch) = stream.next().await {
                let batch = staged_batch(&schema, &batch?, part, self.heap.extra)?;
                let batch = narrowed(&self.heap.columns, batch)?;
                if batch.num_rows() == 0 {
                    continue;
                }
                let rows = batch.num_rows() as u64;
                self.rows += rows;
                match part.operation {
                    Operation::Upsert => {}
                    Operation::Delete => self.deletes += rows,
                }
                sync.observer.phase(name, Phase::Stage, self.rows);
                if self.rows > ROWS_PER_CHANNEL * self.lanes.len() as u64
                    && let Ok(permit) = Arc::clone(&side.channels).try_acquire_owned()
                {
                    let channel = Channel::connect(&side.connection)
                        .await
                        .map_err(|error| error.on(Kind::Target))?;
                    self.open(channel, Some(permit));
                }
                if !self.send(batch).await {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Gives a batch to a channel that has room, or waits for the one whose turn it is. False when a copy has ended.
    async fn send(&mut self, mut batch: RecordBatch) -> bool {
        let count = self.lanes.len();
        for turn in 0..count {
            let lane = (self.next + turn) % count;
            match self.lanes[lane].try_send(batch) {
                Ok(()) => {
                    self.next = (lane + 1) % count;
                    return true;
                }
                Err(mpsc::error::TrySendError::Full(refused)) => batch = refused,
                Err(mpsc::error::TrySendError::Closed(_)) => return false,
            }
        }
        let lane = self.next;
        self.next = (lane + 1) % count;
        self.lanes[lane].send(batch).await.is_ok()
    }

    /// Waits until the server has acknowledged everything. One of the channels goes on to serve the next load.
    async fn close(mut self) -> Result<(Option<Channel>, u64)> {
        self.lanes.clear();
        let (mut kept, mut copied, mut failure) = (None, 0, None);
        while let Some(ended) = self.tasks.join_next().await {
            match ended {
                Ok(Ok((channel, rows))) => {
                    copied += rows;
                    kept = Some(channel);
                }
                Ok(Err(error)) => failure = failure.or(Some(error)),
                Err(error) => {
                    let why = guard::ended(error);
                    let message = format!("a bulk copy ended abnormally: {why}");
                    let error = Error::new(Kind::Target, Disposition::Transient, message);
                    failure = failure.or(Some(error));
                }
            }
        }
        match failure {
            Some(error) => Err(error),
            None if copied != self.rows => Err(Error::new(
                Kind::Target,
                Disposition::Transient,
                format!(
                    "{} rows were sent by bulk copy and {copied} acknowledged",
                    self.rows
                ),
            )),
            None => Ok((kept, copied)),
        }
    }
}

/// Rows to stage.
pub(super) struct StagedPart {
    delta: Arc<Segment>,
    pub operation: Operation,
    /// Order of the parts: for each key the last one counts, and within one a row that is there.
    pub number: i32,
}

/// What becomes of a staged row's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    Upsert,
    Delete,
}

impl Operation {
    fn letter(self) -> &'static str {
        match self {
            Operation::Upsert => "U",
            Operation::Delete => "D",
        }
    }
}

impl StagedPart {
    fn rows(&self) -> BatchStream {
        match self.operation {
            Operation::Upsert => self.delta.upserts(),
            Operation::Delete => self.delta.deletes(),
        }
    }
}

/// The parts of a delta, numbered from `first`.
pub(super) fn parts_of(delta: Delta, operations: &[Operation], first: usize) -> Vec<StagedPart> {
    let mut parts = Vec::new();
    for (at, segment) in delta.segments.into_iter().enumerate() {
        let segment = Arc::new(segment);
        parts.extend(operations.iter().map(|&operation| StagedPart {
            delta: Arc::clone(&segment),
            operation,
            number: i32::try_from(first + at).unwrap_or(i32::MAX),
        }));
    }
    parts
}

/// The lake's fields, then what a heap needs besides, as [`staging::bulk_columns`] and
/// [`fill::bulk_columns`](crate::target::fill::bulk_columns) expect it.
fn staged_schema(shape: &LakeSchema, extra: Extra) -> SchemaRef {
    let mut fields: Vec<Field> = arrow_schema(shape)
        .fields()
        .iter()
        // Deleted rows have a key and nothing else.
        .map(|field| field.as_ref().clone().with_nullable(true))
        .collect();
    match extra {
        Extra::Nothing => {}
        Extra::Marks => {
            fields.push(Field::new("operation", DataType::Utf8, false));
            fields.push(Field::new("segment", DataType::Int32, false));
        }
        Extra::Flag => fields.push(Field::new("flag", DataType::Boolean, false)),
    }
    Arc::new(Schema::new(fields))
}

fn staged_batch(
    schema: &SchemaRef,
    batch: &RecordBatch,
    part: &StagedPart,
    extra: Extra,
) -> Result<RecordBatch> {
    let rows = batch.num_rows();
    let mut more: Vec<ArrayRef> = Vec::new();
    match extra {
        Extra::Nothing => {}
        Extra::Marks => {
            let letters = std::iter::repeat_n(part.operation.letter(), rows);
            more.push(Arc::new(StringArray::from_iter_values(letters)));
            more.push(Arc::new(Int32Array::from_value(part.number, rows)));
        }
        Extra::Flag => more.push(Arc::new(BooleanArray::from(vec![false; rows]))),
    }
    let fields = &schema.fields()[..schema.fields().len() - more.len()];
    let columns = fields
        .iter()
        .map(|field| match batch.column_by_name(field.name()) {
            Some(column) => Arc::clone(column),
            None => new_null_array(field.data_type(), rows),
        });
    let columns = columns.chain(more).collect();
    RecordBatch::try_new(Arc::clone(schema), columns)
        .map_err(|error| lake_error(format!("rows of the lake do not have its schema: {error}")))
}

/// The values in the types that the staging columns take. A column of the lake table may be wider (int to long, float
/// to double), where another engine has widened it, or where the lake went back to before the source's column was
/// widened. What icesync wrote for that source still fits; a value that does not is refused.
fn narrowed(columns: &[BulkColumn], batch: RecordBatch) -> Result<RecordBatch> {
    let wider = |column: &&BulkColumn| {
        let have = batch
            .columns()
            .get(column.value)
            .map(|values| values.data_type());
        narrower(have?, column.ty).map(|ty| (column.value, column.name.clone(), ty))
    };
    let wider: Vec<(usize, String, DataType)> =
        columns.iter().filter_map(|column| wider(&column)).collect();
    if wider.is_empty() {
        return Ok(batch);
    }
    let mut fields: Vec<Field> = batch
        .schema()
        .fields()
        .iter()
        .map(|f| f.as_ref().clone())
        .collect();
    let mut arrays = batch.columns().to_vec();
    for (at, name, ty) in wider {
        let failed = || {
            lake_error(format!(
                "column {name} of the lake table is wider than that of the source, and holds a value that the source's \
                 column does not take. Nothing was loaded. Remove the value, or widen the column of the source. If the \
                 lake table was rolled back, `merge: {{ mode: replace }}` loads it whole"
            ))
        };
        let checked = CastOptions {
            safe: false,
            ..CastOptions::default()
        };
        let values = cast_with_options(&arrays[at], &ty, &checked).map_err(|_| failed())?;
        let back = cast_with_options(&values, arrays[at].data_type(), &checked);
        let back = back.map_err(|_| failed())?;
        if back.as_ref() != arrays[at].as_ref() {
            return Err(failed());
        }
        fields[at] = Field::new(fields[at].name(), ty, fields[at].is_nullable());
        arrays[at] = values;
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)
        .map_err(|error| lake_error(format!("rows of the lake do not have its schema: {error}")))
}

/// The narrower type that a column of this type takes; none where it takes what there is.
fn narrower(have: &DataType, ty: SqlType) -> Option<DataType> {
    let wanted = ty.facts().lake;
    if wanted == LakeType::Int && *have == DataType::Int64 {
        return Some(DataType::Int32);
    }
    (wanted == LakeType::Float && *have == DataType::Float64).then_some(DataType::Float32)
}

pub(super) fn lake_error(message: String) -> Error {
    Error::new(Kind::Lake, Disposition::Definite, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::cast::AsArray;
    use arrow_array::types::{Float32Type, Int32Type};
    use arrow_array::{Float64Array, Int64Array};

    fn column(name: &str, ty: SqlType, value: usize) -> BulkColumn {
        BulkColumn {
            name: name.to_owned(),
            ty,
            collation: None,
            nullable: true,
            identity: false,
            value,
            ticks: None,
            offset: None,
        }
    }

    #[test]
    fn values_of_widened_columns_fit_or_are_refused() {
        let columns = [
            column("id", SqlType::Int, 0),
            column("weight", SqlType::Real, 1),
        ];
        let batch = |ids: Vec<Option<i64>>, weights: Vec<Option<f64>>| {
            let ids: ArrayRef = Arc::new(Int64Array::from(ids));
            let weights: ArrayRef = Arc::new(Float64Array::from(weights));
            RecordBatch::try_from_iter_with_nullable([("id", ids, true), ("weight", weights, true)])
                .unwrap()
        };
        let narrow = narrowed(&columns, batch(vec![Some(7), None], vec![None, Some(0.5)])).unwrap();
        assert_eq!(narrow.column(0).as_primitive::<Int32Type>().value(0), 7);
        assert_eq!(narrow.column(1).as_primitive::<Float32Type>().value(1), 0.5);
        assert_eq!(
            (narrow.column(0).null_count(), narrow.column(1).null_count()),
            (1, 1)
        );
        for (id, weight, name) in [(1 << 40, 0.5, "id"), (1, 0.1, "weight")] {
            let error = narrowed(&columns, batch(vec![Some(id)], vec![Some(weight)])).unwrap_err();
            let error = error.report().to_string();
            assert!(error.contains(&format!("column {name} ")), "{error}");
        }
        let same = [
            column("id", SqlType::BigInt, 0),
            column("weight", SqlType::Float, 1),
        ];
        let wide = batch(vec![Some(1 << 40)], vec![Some(0.1)]);
        assert_eq!(narrowed(&same, wide.clone()).unwrap(), wide);
    }
}
