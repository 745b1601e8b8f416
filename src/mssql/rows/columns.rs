//! One typed builder per column, chosen once per table: what a value becomes on its way into Arrow.

use crate::schema::{LakeType, SqlType};
use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, FixedSizeBinaryArray, PrimitiveArray, StringArray, types,
};
use arrow_buffer::{Buffer, NullBuffer, NullBufferBuilder, OffsetBuffer, ScalarBuffer};
use arrow_schema::ArrowError;
use std::sync::Arc;

/// Days from 0001-01-01 (day 0) to 1970-01-01.
pub(in crate::mssql) const EPOCH_FROM_YEAR_1: i64 = 719_162;
/// Days from 1900-01-01 to 1970-01-01.
pub(in crate::mssql) const EPOCH_FROM_1900: i64 = 25_567;
/// 9999-12-31, counted from 0001-01-01 as day 0.
pub(in crate::mssql) const LAST_DAY: i64 = 3_652_058;
pub(in crate::mssql) const MICROS_A_DAY: i64 = 86_400_000_000;
/// Units of 100 ns in a day.
pub(in crate::mssql) const TICKS_A_DAY: u64 = 864_000_000_000;
/// Units of 1/300 s in a day.
pub(in crate::mssql) const THREE_HUNDREDTHS_A_DAY: u32 = 25_920_000;

/// Room for as much as the last batch had and some more: batches are about as large as each other, and growing
/// would move them.
fn with_room_as<T>(last: &[T]) -> Vec<T> {
    Vec::with_capacity(last.len() + last.len() / 8 + 1024)
}

/// Values of a fixed width.
pub(super) struct Fixed<T> {
    values: Vec<T>,
    nulls: NullBufferBuilder,
}

impl<T: Copy + Default> Fixed<T> {
    fn new() -> Self {
        Self {
            values: Vec::new(),
            nulls: NullBufferBuilder::new(0),
        }
    }

    #[inline]
    pub(super) fn push(&mut self, value: T) {
        self.values.push(value);
    }

    pub(super) fn null(&mut self) {
        append_null(&mut self.nulls, self.values.len());
        self.values.push(T::default());
    }
}

/// Marks the value at this position as NULL. Positions that were passed over have values: most have, so they are
/// only counted here.
fn append_null(nulls: &mut NullBufferBuilder, at: usize) {
    nulls.append_n_non_nulls(at - nulls.len());
    nulls.append_null();
}

fn finish_nulls(nulls: &mut NullBufferBuilder, length: usize) -> Option<NullBuffer> {
    nulls.append_n_non_nulls(length - nulls.len());
    nulls.finish()
}

impl<T: arrow_buffer::ArrowNativeType + Default> Fixed<T> {
    fn finish<P: types::ArrowPrimitiveType<Native = T>>(&mut self) -> PrimitiveArray<P> {
        let fresh = with_room_as(&self.values);
        let values = std::mem::replace(&mut self.values, fresh);
        let nulls = finish_nulls(&mut self.nulls, values.len());
        PrimitiveArray::new(ScalarBuffer::from(values), nulls)
    }
}

/// Values of varying length.
pub(super) struct Varying {
    pub(super) bytes: Vec<u8>,
    offsets: Vec<i32>,
    nulls: NullBufferBuilder,
}

impl Varying {
    fn new() -> Self {
        Self {
            bytes: Vec::new(),
            offsets: vec![0],
            nulls: NullBufferBuilder::new(0),
        }
    }

    /// Closes the value whose bytes were appended. The bytes of a batch stay far below 2 GiB: the decoder hands it
    /// over before.
    #[inline]
    pub(super) fn end(&mut self) {
        self.offsets
            .push(i32::try_from(self.bytes.len()).unwrap_or(i32::MAX));
    }

    pub(super) fn null(&mut self) {
        append_null(&mut self.nulls, self.offsets.len() - 1);
        self.end();
    }

    fn take(&mut self) -> Result<(OffsetBuffer<i32>, Buffer, Option<NullBuffer>), ArrowError> {
        if i32::try_from(self.bytes.len()).is_err() {
            return Err(ArrowError::OffsetOverflowError(self.bytes.len()));
        }
        let fresh = with_room_as(&self.bytes);
        let bytes = std::mem::replace(&mut self.bytes, fresh);
        let mut fresh = with_room_as(&self.offsets);
        fresh.push(0);
        let offsets = std::mem::replace(&mut self.offsets, fresh);
        let nulls = finish_nulls(&mut self.nulls, offsets.len() - 1);
        Ok((
            OffsetBuffer::new(ScalarBuffer::from(offsets)),
            Buffer::from_vec(bytes),
            nulls,
        ))
    }

    /// For a column whose values were all appended by `transcode`: it writes UTF-8 whatever arrives.
    fn take_text(&mut self) -> Result<StringArray, ArrowError> {
        let (offsets, bytes, nulls) = self.take()?;
        if cfg!(debug_assertions) {
            return StringArray::try_new(offsets, bytes, nulls);
        }
        // SAFETY: every value is UTF-8 of its own, and the offsets are where values end.
        Ok(unsafe { StringArray::new_unchecked(offsets, bytes, nulls) })
    }
}

/// What the bytes of a character column are on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    Utf16,
    Windows1252,
    Utf8,
}

/// A column's builder. Companions are absent where the schema has none (lower scales, or `fidelity: standard`).
pub(super) enum Sink {
    Bool {
        values: arrow_buffer::BooleanBufferBuilder,
        nulls: NullBufferBuilder,
    },
    Int(Fixed<i32>),
    Long(Fixed<i64>),
    Float(Fixed<f32>),
    Double(Fixed<f64>),
    Decimal {
        values: Fixed<i128>,
        precision: u8,
        scale: u8,
    },
    Date(Fixed<i32>),
    Time {
        values: Fixed<i64>,
        ticks: Option<Fixed<i32>>,
    },
    Timestamp {
        values: Fixed<i64>,
        ticks: Option<Fixed<i32>>,
    },
    TimestampTz {
        values: Fixed<i64>,
        ticks: Option<Fixed<i32>>,
        offset: Option<Fixed<i32>>,
    },
    Text {
        values: Varying,
        encoding: Encoding,
    },
    Bytes(Varying),
    /// `sql_variant`: text and base type.
    Variant {
        values: Varying,
        types: Varying,
    },
    Uuid {
        bytes: Vec<u8>,
        nulls: NullBufferBuilder,
    },
}

impl Sink {
    /// The builder of a type; `ticks` and `offset` say which companions the lake has.
    pub(super) fn new(ty: SqlType, encoding: Encoding, ticks: bool, offset: bool) -> Self {
        let ticks = ticks.then(Fixed::new);
        let offset = offset.then(Fixed::new);
        if ty == SqlType::SqlVariant {
            return Sink::Variant {
                values: Varying::new(),
                types: Varying::new(),
            };
        }
        match ty.facts().lake {
            LakeType::Boolean => Sink::Bool {
                values: arrow_buffer::BooleanBufferBuilder::new(0),
                nulls: NullBufferBuilder::new(0),
            },
            LakeType::Int => Sink::Int(Fixed::new()),
            LakeType::Long => Sink::Long(Fixed::new()),
            LakeType::Float => Sink::Float(Fixed::new()),
            LakeType::Double => Sink::Double(Fixed::new()),
            LakeType::Decimal { precision, scale } => Sink::Decimal {
                values: Fixed::new(),
                precision,
                scale,
            },
            LakeType::Date => Sink::Date(Fixed::new()),
            LakeType::Time => Sink::Time {
                values: Fixed::new(),
                ticks,
            },
            LakeType::Timestamp => Sink::Timestamp {
                values: Fixed::new(),
                ticks,
            },
            LakeType::TimestampTz => Sink::TimestampTz {
                values: Fixed::new(),
                ticks,
                offset,
            },
            LakeType::String => Sink::Text {
                values: Varying::new(),
                // `text` is converted in the select list, as every other type of long characters.
                encoding: if ty.is_code_page_text() {
                    encoding
                } else {
                    Encoding::Utf16
                },
            },
            LakeType::Binary | LakeType::Fixed(_) => Sink::Bytes(Varying::new()),
            LakeType::Uuid => Sink::Uuid {
                bytes: Vec::new(),
                nulls: NullBufferBuilder::new(0),
            },
        }
    }

    pub(super) fn null(&mut self) {
        let companion = |column: &mut Option<Fixed<i32>>| {
            if let Some(column) = column {
                column.null();
            }
        };
        match self {
            Sink::Bool { values, nulls } => {
                values.append(false);
                nulls.append_null();
            }
            Sink::Int(values) | Sink::Date(values) => values.null(),
            Sink::Long(values) => values.null(),
            Sink::Float(values) => values.null(),
            Sink::Double(values) => values.null(),
            Sink::Decimal { values, .. } => values.null(),
            Sink::Time { values, ticks } | Sink::Timestamp { values, ticks } => {
                values.null();
                companion(ticks);
            }
            Sink::TimestampTz {
                values,
                ticks,
                offset,
            } => {
                values.null();
                companion(ticks);
                companion(offset);
            }
            Sink::Text { values, .. } | Sink::Bytes(values) => values.null(),
            Sink::Variant { values, types } => {
                values.null();
                types.null();
            }
            Sink::Uuid { bytes, nulls } => {
                bytes.extend_from_slice(&[0; 16]);
                nulls.append_null();
            }
        }
    }

    /// Bytes that a value takes besides its own variable length.
    pub(super) fn width(&self) -> usize {
        match self {
            Sink::Bool { .. } => 1,
            Sink::Int(_) | Sink::Float(_) | Sink::Date(_) => 4,
            Sink::Long(_) | Sink::Double(_) => 8,
            Sink::Decimal { .. } | Sink::Uuid { .. } => 16,
            Sink::Time { .. } | Sink::Timestamp { .. } => 12,
            Sink::TimestampTz { .. } => 16,
            Sink::Text { .. } | Sink::Bytes(_) => 4,
            Sink::Variant { .. } => 8,
        }
    }

    /// Appends the finished arrays: the value, then its companions, in the order of the lake's fields.
    pub(super) fn finish(&mut self, arrays: &mut Vec<ArrayRef>) -> Result<(), ArrowError> {
        let companion = |column: &mut Option<Fixed<i32>>, arrays: &mut Vec<ArrayRef>| {
            if let Some(column) = column {
                arrays.push(Arc::new(column.finish::<types::Int32Type>()));
            }
        };
        match self {
            Sink::Bool { values, nulls } => {
                arrays.push(Arc::new(BooleanArray::new(values.finish(), nulls.finish())));
            }
            Sink::Int(values) => arrays.push(Arc::new(values.finish::<types::Int32Type>())),
            Sink::Long(values) => arrays.push(Arc::new(values.finish::<types::Int64Type>())),
            Sink::Float(values) => arrays.push(Arc::new(values.finish::<types::Float32Type>())),
            Sink::Double(values) => arrays.push(Arc::new(values.finish::<types::Float64Type>())),
            Sink::Decimal {
                values,
                precision,
                scale,
            } => {
                let array = values.finish::<types::Decimal128Type>();
                let scale = i8::try_from(*scale).unwrap_or(i8::MAX);
                arrays.push(Arc::new(array.with_precision_and_scale(*precision, scale)?));
            }
            Sink::Date(values) => arrays.push(Arc::new(values.finish::<types::Date32Type>())),
            Sink::Time { values, ticks } => {
                arrays.push(Arc::new(values.finish::<types::Time64MicrosecondType>()));
                companion(ticks, arrays);
            }
            Sink::Timestamp { values, ticks } => {
                arrays.push(Arc::new(values.finish::<types::TimestampMicrosecondType>()));
                companion(ticks, arrays);
            }
            Sink::TimestampTz {
                values,
                ticks,
                offset,
            } => {
                let array = values.finish::<types::TimestampMicrosecondType>();
                arrays.push(Arc::new(array.with_timezone(crate::schema::mapping::UTC)));
                companion(ticks, arrays);
                companion(offset, arrays);
            }
            Sink::Text { values, .. } => {
                arrays.push(Arc::new(values.take_text()?));
            }
            Sink::Variant { values, types } => {
                for column in [values, types] {
                    arrays.push(Arc::new(column.take_text()?));
                }
            }
            Sink::Bytes(values) => {
                let (offsets, bytes, nulls) = values.take()?;
                arrays.push(Arc::new(BinaryArray::try_new(offsets, bytes, nulls)?));
            }
            Sink::Uuid { bytes, nulls } => {
                let fresh = with_room_as(bytes);
                let bytes = std::mem::replace(bytes, fresh);
                let array =
                    FixedSizeBinaryArray::try_new(16, Buffer::from_vec(bytes), nulls.finish())?;
                arrays.push(Arc::new(array));
            }
        }
        Ok(())
    }
}
