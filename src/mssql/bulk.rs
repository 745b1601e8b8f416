//! The data plane, writing: Arrow batches straight into the rows of an INSERT BULK.
//!
//! The driver wants an iterator of rows, and asks each to write itself. One "row" is given to it that writes them
//! all: it waits for batches without blocking a thread, encodes them with encoders chosen once per column, and
//! hands the driver large pieces. So there is nothing per row between Arrow and the packet, and backpressure goes
//! from the server's window to the sender of the batches. The driver asks the server for the table's columns first,
//! and does not let itself be told them; each is held against what its encoder writes before the first row is sent.
//!
//! A failure anywhere closes the channel: the INSERT BULK that was under way is not committed.

mod column;
mod encode;
mod page;

pub use column::BulkColumn;

use super::channel::{Channel, Failure};
use super::error::{ConversionError, LostCharacter, MssqlError};
use super::sql::Statement;
use crate::schema::{Collation, SqlType};
use crate::secret::RowValue;
use arrow_array::RecordBatch;
use async_trait::async_trait;
use encode::{Bound, Encoder, Reason, Refusal};
use mssql_tds::connection::bulk_copy::{BulkCopy, BulkLoadRow, ColumnMapping};
use mssql_tds::connection::tds_client::TdsClient;
use mssql_tds::core::TdsResult;
use mssql_tds::datatypes::bulk_copy_metadata::{BulkCopyColumnMetadata, SqlDbType};
use mssql_tds::message::bulk_load::StreamingBulkLoadWriter;
use std::time::Duration;
use tokio::sync::{Mutex, mpsc};

/// Encoded bytes that are handed to the driver at once.
const PIECE_BYTES: usize = 128 * 1024;
const TOKEN_ROW: u8 = 0xD1;

/// Whether values go into a column of this type as they are. Otherwise the server has to convert them from another.
pub fn is_written(ty: SqlType, collation: Option<&Collation>) -> bool {
    let column = BulkColumn {
        name: String::new(),
        ty,
        collation: collation.cloned(),
        nullable: true,
        value: 0,
        ticks: None,
        offset: None,
    };
    Encoder::new(&column).is_ok()
}

/// How rows are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BulkOptions {
    /// Rows per INSERT BULK; each is committed by itself (102,400 suits columnstore). 0: all in one.
    pub rows_per_batch: usize,
    /// `TABLOCK`: several channels fill one heap side by side.
    pub table_lock: bool,
}

/// What was sent and acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BulkCounts {
    pub rows: u64,
    /// Bytes of encoded rows.
    pub bytes: u64,
}

impl Channel {
    /// Sends every batch of `batches` into `table` (two parts, quoted) until the senders are gone, and returns once
    /// the server has acknowledged all rows. The caller must know from elsewhere that the senders ended well. `key`
    /// are the positions in the batches that name a row in errors.
    ///
    /// A value that the column cannot hold exactly is an error that names column and row, never a rounded value. On
    /// error the channel is closed: what was sent is not committed, except whole INSERT BULKs before. There is no
    /// time limit; a peer that vanished is noticed by keep-alive.
    pub async fn bulk_insert(
        &mut self,
        table: &str,
        columns: &[BulkColumn],
        key: &[usize],
        batches: &mut mpsc::Receiver<RecordBatch>,
        options: BulkOptions,
    ) -> Result<BulkCounts, MssqlError> {
        // Refused before anything is sent.
        for column in columns {
            Declared::promised(column)?;
        }
        let statement = Statement::plain(format!("INSERT BULK {table}"));
        self.perform(&statement, async |client: &mut TdsClient| {
            let mut copy = BulkCopy::new(client, table)
                .timeout(Duration::ZERO)
                .table_lock(options.table_lock)
                // Leaves identity columns among those that are sent. The server keeps the values that it is sent.
                .keep_identity(true)
                .keep_nulls(true);
            let found = copy.retrieve_destination_metadata().await?;
            let columns = in_table_order(table, columns, &found)?;
            for (at, column) in columns.iter().enumerate() {
                copy = copy.add_column_mapping(ColumnMapping::by_ordinal(at, &column.name));
            }
            let mut load = Load {
                target: Target {
                    table: table.to_owned(),
                    encoders: columns.iter().map(Encoder::new).collect::<Result<_, _>>()?,
                    columns,
                    key: key.to_vec(),
                },
                batches,
                pending: None,
                counts: BulkCounts::default(),
                fault: None,
            };
            while load.has_rows().await {
                let rows = AllRows {
                    rows_max: match options.rows_per_batch {
                        0 => usize::MAX,
                        rows => rows,
                    },
                    load: Mutex::new(&mut load),
                };
                let sent = copy.write_to_server_zerocopy(std::iter::once(rows)).await;
                if let Some(fault) = load.fault.take() {
                    return Err(Failure::Ours(fault));
                }
                sent?;
            }
            Ok(load.counts)
        })
        .await
    }
}

/// The server's declaration of a column, as far as it decides how values are written.
#[derive(Debug, PartialEq, Eq)]
struct Declared {
    ty: SqlDbType,
    /// Bytes of a sized type; none for `max` and where the type says it.
    length: Option<i32>,
    precision: u8,
    scale: u8,
    /// Of `char` and `varchar`, whose bytes mean nothing without it; in lower case.
    collation: Option<String>,
}

impl Declared {
    /// What a column must be for its encoder.
    fn promised(column: &BulkColumn) -> Result<Self, MssqlError> {
        let plain = |ty| Self {
            ty,
            length: None,
            precision: 0,
            scale: 0,
            collation: None,
        };
        let sized = |ty, bytes: Option<i32>| Self {
            length: bytes,
            ..plain(ty)
        };
        let paged = |ty, bytes: Option<u16>| Self {
            collation: column.collation.as_ref().map(lower),
            ..sized(ty, bytes.map(i32::from))
        };
        let scaled = |ty, precision, scale| Self {
            precision,
            scale,
            ..plain(ty)
        };
        Ok(match column.ty {
            SqlType::Bit => plain(SqlDbType::Bit),
            SqlType::TinyInt => plain(SqlDbType::TinyInt),
            SqlType::SmallInt => plain(SqlDbType::SmallInt),
            SqlType::Int => plain(SqlDbType::Int),
            SqlType::BigInt => plain(SqlDbType::BigInt),
            // One type under two names.
            SqlType::Decimal { precision, scale } | SqlType::Numeric { precision, scale } => {
                scaled(SqlDbType::Decimal, precision, scale)
            }
            SqlType::Money => plain(SqlDbType::Money),
            SqlType::SmallMoney => plain(SqlDbType::SmallMoney),
            SqlType::Real => plain(SqlDbType::Real),
            SqlType::Float => plain(SqlDbType::Float),
            SqlType::Date => plain(SqlDbType::Date),
            SqlType::Time { scale } => scaled(SqlDbType::Time, 0, scale),
            SqlType::DateTime => plain(SqlDbType::DateTime),
            SqlType::SmallDateTime => plain(SqlDbType::SmallDateTime),
            SqlType::DateTime2 { scale } => scaled(SqlDbType::DateTime2, 0, scale),
            SqlType::DateTimeOffset { scale } => scaled(SqlDbType::DateTimeOffset, 0, scale),
            SqlType::NVarChar { length } => sized(
                SqlDbType::NVarChar,
                length.map(|length| 2 * i32::from(length)),
            ),
            SqlType::NChar { length } => sized(SqlDbType::NChar, Some(2 * i32::from(length))),
            SqlType::VarChar { length } => paged(SqlDbType::VarChar, length),
            SqlType::Char { length } => paged(SqlDbType::Char, Some(length)),
            SqlType::VarBinary { length } => sized(SqlDbType::VarBinary, length.map(i32::from)),
            SqlType::Binary { length } => sized(SqlDbType::Binary, Some(i32::from(length))),
            SqlType::UniqueIdentifier => plain(SqlDbType::UniqueIdentifier),
            SqlType::Text
            | SqlType::NText
            | SqlType::Image
            | SqlType::RowVersion
            | SqlType::Xml
            | SqlType::SqlVariant
            | SqlType::HierarchyId
            | SqlType::Geometry
            | SqlType::Geography
            | SqlType::Json
            | SqlType::Vector { .. } => return Err(encode::unsupported(column)),
        })
    }

    fn found(column: &BulkCopyColumnMetadata) -> Self {
        let ty = match column.sql_type {
            SqlDbType::Numeric => SqlDbType::Decimal,
            ty => ty,
        };
        let is_paged = matches!(ty, SqlDbType::VarChar | SqlDbType::Char);
        let is_sized = is_paged
            || matches!(
                ty,
                SqlDbType::NVarChar | SqlDbType::NChar | SqlDbType::VarBinary | SqlDbType::Binary
            );
        let name = column.collation_name.as_deref().unwrap_or_default();
        Self {
            ty,
            length: (is_sized && !column.is_plp()).then_some(column.length),
            precision: column.precision,
            scale: column.scale,
            collation: is_paged.then(|| name.to_lowercase()),
        }
    }
}

fn lower(collation: &Collation) -> String {
    collation.name.to_lowercase()
}

/// Puts the columns in the order of the table, which is the order in which the driver sends them, and holds each
/// against its declaration.
fn in_table_order(
    table: &str,
    columns: &[BulkColumn],
    found: &[BulkCopyColumnMetadata],
) -> Result<Vec<BulkColumn>, MssqlError> {
    let mut ordered = Vec::with_capacity(columns.len());
    for column in columns {
        let at = found
            .iter()
            .position(|found| found.column_name == column.name)
            .ok_or_else(|| MssqlError::Shape(format!("{table} has no column {}", column.name)))?;
        let declared = Declared::found(&found[at]);
        if declared != Declared::promised(column)? {
            return Err(MssqlError::Shape(format!(
                "column {} of {table} was promised as {} and is declared as {declared:?}",
                column.name, column.ty
            )));
        }
        let nullable = column.nullable && found[at].is_nullable;
        ordered.push((
            at,
            BulkColumn {
                nullable,
                ..column.clone()
            },
        ));
    }
    ordered.sort_by_key(|(at, _)| *at);
    if let Some(pair) = ordered.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        return Err(MssqlError::Shape(format!(
            "column {} of {table} would be filled twice",
            pair[0].1.name
        )));
    }
    Ok(ordered.into_iter().map(|(_, column)| column).collect())
}

/// What is filled, and with what.
struct Target {
    table: String,
    columns: Vec<BulkColumn>,
    encoders: Vec<Encoder>,
    key: Vec<usize>,
}

impl Target {
    fn bind<'a>(&'a self, batch: &'a RecordBatch) -> Result<Vec<Bound<'a>>, MssqlError> {
        self.columns
            .iter()
            .zip(&self.encoders)
            .map(|(column, encoder)| encoder.bind(column, batch))
            .collect()
    }

    /// The error of a value that does not fit.
    #[cold]
    fn refusal(&self, batch: &RecordBatch, row: usize, at: usize, refusal: Refusal) -> MssqlError {
        let column = self.columns.get(at);
        let problem = match refusal.reason() {
            Reason::Value(problem) => problem,
            Reason::Character(lost) => {
                return MssqlError::LostCharacter(LostCharacter {
                    column: column.map_or_else(String::new, |column| column.name.clone()),
                    ..lost
                });
            }
        };
        let problem = match self.key.is_empty() {
            true => format!("{problem}; the row has no key to name it by"),
            false => format!(
                "{problem} [row {}]",
                RowValue(describe(batch, row, &self.key))
            ),
        };
        MssqlError::Conversion(ConversionError {
            table: self.table.clone(),
            column: column.map_or_else(String::new, |column| column.name.clone()),
            ty: column.map_or_else(String::new, |column| column.ty.to_string()),
            problem,
            remedy: "widen the target's column, or correct the row in the lake".into(),
        })
    }
}

/// A row's key as `name=value, ...`.
fn describe(batch: &RecordBatch, row: usize, key: &[usize]) -> String {
    let options = arrow_cast::display::FormatOptions::default();
    let schema = batch.schema();
    let parts = key.iter().filter_map(|&at| {
        let (field, array) = (schema.fields().get(at)?, batch.columns().get(at)?);
        let shown = arrow_cast::display::ArrayFormatter::try_new(array.as_ref(), &options)
            .map_or_else(|_| "?".into(), |formatter| formatter.value(row).to_string());
        Some(format!("{}={shown}", field.name()))
    });
    parts.collect::<Vec<_>>().join(", ")
}

/// A bulk load under way.
struct Load<'a> {
    target: Target,
    batches: &'a mut mpsc::Receiver<RecordBatch>,
    /// Received and not yet sent.
    pending: Option<RecordBatch>,
    counts: BulkCounts,
    /// Why encoding stopped; the driver only hears that it did.
    fault: Option<MssqlError>,
}

impl Load<'_> {
    /// Waits for a batch with rows; false when the senders are gone.
    async fn has_rows(&mut self) -> bool {
        while self
            .pending
            .as_ref()
            .is_none_or(|batch| batch.num_rows() == 0)
        {
            match self.batches.recv().await {
                Some(batch) => self.pending = Some(batch),
                None => return false,
            }
        }
        true
    }

    /// Writes rows until `rows_max` or the end. There is at least one, and its token has been written.
    async fn write(
        &mut self,
        writer: &mut StreamingBulkLoadWriter<'_>,
        rows_max: usize,
    ) -> Result<(), Failure> {
        let mut piece = Vec::with_capacity(PIECE_BYTES + PIECE_BYTES / 4);
        let mut left = rows_max;
        let mut first = true;
        while left > 0 && self.has_rows().await {
            let Some(batch) = self.pending.take() else {
                break;
            };
            let rows = batch.num_rows().min(left);
            left -= rows;
            let bound = self.target.bind(&batch)?;
            for row in 0..rows {
                if !std::mem::take(&mut first) {
                    piece.push(TOKEN_ROW);
                }
                for (at, column) in bound.iter().enumerate() {
                    if let Err(refusal) = column.encode(row, &mut piece) {
                        return Err(self.target.refusal(&batch, row, at, refusal).into());
                    }
                }
                if piece.len() >= PIECE_BYTES {
                    self.counts.bytes += piece.len() as u64;
                    writer.write_raw_bytes(&piece).await?;
                    piece.clear();
                }
            }
            self.counts.rows += rows as u64;
            if rows < batch.num_rows() {
                self.pending = Some(batch.slice(rows, batch.num_rows() - rows));
            }
        }
        self.counts.bytes += piece.len() as u64;
        writer.write_raw_bytes(&piece).await?;
        Ok(())
    }
}

/// The one "row" that the driver sees.
struct AllRows<'a, 'b> {
    rows_max: usize,
    load: Mutex<&'a mut Load<'b>>,
}

#[async_trait]
impl BulkLoadRow for AllRows<'_, '_> {
    async fn write_to_packet(
        &self,
        writer: &mut StreamingBulkLoadWriter<'_>,
        column_index: &mut usize,
    ) -> TdsResult<()> {
        let mut load = self.load.lock().await;
        match load.write(writer, self.rows_max).await {
            Ok(()) => {
                *column_index = load.target.columns.len();
                Ok(())
            }
            Err(Failure::Driver(error)) => Err(*error),
            Err(Failure::Ours(fault)) => {
                load.fault = Some(fault);
                Err(mssql_tds::error::Error::UsageError(
                    "a row could not be encoded".into(),
                ))
            }
        }
    }
}
