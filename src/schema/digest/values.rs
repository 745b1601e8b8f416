//! The bytes of the lake's values, and of values that were read from a server.

use super::{DECIMAL_CHARACTERS, Form, Hash};
use crate::schema::mapping::decimal_text;
use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal128Type, Float32Type, Float64Type, Int32Type, Int64Type,
    Time64MicrosecondType, TimestampMicrosecondType,
};
use arrow_array::{Array, RecordBatch};
use chrono::{Datelike, NaiveDate};

const MICROS_A_DAY: i64 = 86_400_000_000;
const MICROS_A_MINUTE: i64 = 60_000_000;
/// Days from 0001-01-01 to 1970-01-01.
const EPOCH_DAYS: i64 = 719_162;

const NULL: u8 = 0;
const VALUE: u8 = 1;
/// No server's value.
const UNHELD: u8 = 2;

/// Where a batch has a value and its companions, and the form of its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    pub form: Form,
    /// Positions in the batch.
    pub value: usize,
    pub ticks: Option<usize>,
    pub offset: Option<usize>,
    pub base: Option<usize>,
}

/// Writes rows of batches of one shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoder {
    pub columns: Vec<Part>,
    /// Of the key, in the order of its columns; every column where there is none.
    pub key: Vec<Part>,
}

/// The rows of one batch.
pub struct Rows<'a> {
    columns: Vec<(Form, Cells<'a>)>,
    key: Vec<(Form, Cells<'a>)>,
}

/// The values of one column.
struct Cells<'a> {
    value: &'a dyn Array,
    ticks: Option<&'a dyn Array>,
    offset: Option<&'a dyn Array>,
    base: Option<&'a dyn Array>,
}

impl Encoder {
    /// The rows of a batch.
    pub fn rows<'a>(&self, batch: &'a RecordBatch) -> Rows<'a> {
        let array = |at: usize| batch.column(at).as_ref();
        let cells = |part: &Part| {
            let cells = Cells {
                value: array(part.value),
                ticks: part.ticks.map(array),
                offset: part.offset.map(array),
                base: part.base.map(array),
            };
            (part.form, cells)
        };
        Rows {
            columns: self.columns.iter().map(cells).collect(),
            key: self.key.iter().map(cells).collect(),
        }
    }
}

impl Rows<'_> {
    /// The hash of a row; `buffer` is reused.
    pub fn row(&self, row: usize, buffer: &mut Vec<u8>) -> Hash {
        hash(&self.columns, row, buffer)
    }

    /// The hash of a row's key.
    pub fn key(&self, row: usize, buffer: &mut Vec<u8>) -> Hash {
        hash(&self.key, row, buffer)
    }

    /// The bytes of one value.
    pub fn value(&self, column: usize, row: usize, out: &mut Vec<u8>) {
        if let Some((form, cells)) = self.columns.get(column) {
            cells.frame(*form, row, out);
        }
    }

    /// A whole number that is not NULL.
    pub fn whole(&self, column: usize, row: usize) -> Option<i64> {
        let (_, cells) = self.columns.get(column)?;
        cells.value.is_valid(row).then(|| cells.whole(row))?
    }
}

fn hash(cells: &[(Form, Cells<'_>)], row: usize, buffer: &mut Vec<u8>) -> Hash {
    buffer.clear();
    for (form, cells) in cells {
        cells.frame(*form, row, buffer);
    }
    Hash::of(buffer)
}

impl Cells<'_> {
    fn frame(&self, form: Form, row: usize, out: &mut Vec<u8>) {
        if self.value.is_null(row) {
            return out.push(NULL);
        }
        let start = out.len();
        out.push(VALUE);
        let is_fixed = form.fixed().is_some();
        if !is_fixed {
            out.extend_from_slice(&[0; 4]);
        }
        let begin = out.len();
        if self.write(form, row, out).is_none() {
            out.truncate(start);
            return out.push(UNHELD);
        }
        if !is_fixed {
            // A value has at most 2 GiB.
            let length = u32::try_from(out.len() - begin).unwrap_or(u32::MAX);
            out[begin - 4..begin].copy_from_slice(&length.to_be_bytes());
        }
    }

    /// None where the form cannot hold the value.
    fn write(&self, form: Form, row: usize, out: &mut Vec<u8>) -> Option<()> {
        match form {
            Form::Whole => out.extend_from_slice(&self.whole(row)?.to_be_bytes()),
            Form::Decimal { scale } => {
                let text = decimal_text(self.unscaled(row, scale)?, scale);
                let end = out.len() + usize::from(DECIMAL_CHARACTERS);
                out.extend_from_slice(text.as_bytes());
                (out.len() <= end).then_some(())?;
                out.resize(end, b' ');
            }
            Form::Money => {
                let units = i64::try_from(self.unscaled(row, 4)?).ok()?;
                out.extend_from_slice(&units.to_be_bytes());
            }
            Form::Real => {
                let value = self.value.as_primitive_opt::<Float32Type>()?.value(row);
                out.extend_from_slice(&value.to_be_bytes());
            }
            Form::Float => out.extend_from_slice(&self.double(row)?.to_be_bytes()),
            Form::Date => {
                let days = self.value.as_primitive_opt::<Date32Type>()?.value(row);
                let days = i32::try_from(i64::from(days) + EPOCH_DAYS).ok()?;
                out.extend_from_slice(&days.to_be_bytes());
            }
            Form::Time { digits } => {
                let times = self.value.as_primitive_opt::<Time64MicrosecondType>()?;
                clock(
                    times.value(row),
                    self.companion(self.ticks, row),
                    digits,
                    out,
                )?;
            }
            Form::Moment { digits } | Form::Instant { digits } => {
                let ticks = self.companion(self.ticks, row);
                moment(self.micros(row)?, ticks, digits, out)?;
            }
            Form::Local { digits } => self.local(row, digits, out)?,
            Form::Text { .. } => utf16(self.text(row)?, out),
            Form::TypedText => {
                let base = self.base?.as_string_opt::<i32>()?;
                base.is_valid(row).then_some(())?;
                utf16(base.value(row), out);
                utf16(":", out);
                utf16(self.text(row)?, out);
            }
            Form::Bytes { .. } => {
                out.extend_from_slice(self.value.as_binary_opt::<i32>()?.value(row));
            }
            Form::Guid => {
                let bytes = self.value.as_fixed_size_binary_opt()?.value(row);
                let bytes = <[u8; 16]>::try_from(bytes).ok()?;
                out.extend_from_slice(&uuid::Uuid::from_bytes(bytes).to_bytes_le());
            }
        }
        Some(())
    }

    fn whole(&self, row: usize) -> Option<i64> {
        let int = self.value.as_primitive_opt::<Int32Type>();
        if let Some(int) = int {
            return Some(i64::from(int.value(row)));
        }
        if let Some(long) = self.value.as_primitive_opt::<Int64Type>() {
            return Some(long.value(row));
        }
        let bits = self.value.as_boolean_opt()?;
        Some(i64::from(bits.value(row)))
    }

    /// A number in units of a scale; none where it has more digits.
    fn unscaled(&self, row: usize, scale: u8) -> Option<i128> {
        let Some(decimals) = self.value.as_primitive_opt::<Decimal128Type>() else {
            return i128::from(self.whole(row)?).checked_mul(power(scale)?);
        };
        let (value, own) = (decimals.value(row), u8::try_from(decimals.scale()).ok()?);
        match scale.checked_sub(own) {
            Some(more) => value.checked_mul(power(more)?),
            None => {
                let less = power(own - scale)?;
                (value % less == 0).then_some(value / less)
            }
        }
    }

    fn double(&self, row: usize) -> Option<f64> {
        match self.value.as_primitive_opt::<Float32Type>() {
            Some(floats) => Some(f64::from(floats.value(row))),
            None => Some(self.value.as_primitive_opt::<Float64Type>()?.value(row)),
        }
    }

    /// Microseconds since 1970; a date begins at midnight.
    fn micros(&self, row: usize) -> Option<i64> {
        if let Some(dates) = self.value.as_primitive_opt::<Date32Type>() {
            return i64::from(dates.value(row)).checked_mul(MICROS_A_DAY);
        }
        let moments = self.value.as_primitive_opt::<TimestampMicrosecondType>()?;
        Some(moments.value(row))
    }

    fn local(&self, row: usize, digits: u8, out: &mut Vec<u8>) -> Option<()> {
        let offset = self.companion(self.offset, row);
        let micros = self.micros(row)?.checked_add(offset * MICROS_A_MINUTE)?;
        moment(micros, self.companion(self.ticks, row), digits, out)?;
        out.extend_from_slice(if offset < 0 { b" -" } else { b" +" });
        two(offset.abs() / 60, out);
        out.push(b':');
        two(offset.abs() % 60, out);
        Some(())
    }

    fn text(&self, row: usize) -> Option<&str> {
        Some(self.value.as_string_opt::<i32>()?.value(row))
    }

    /// What the lake does not have is zero.
    fn companion(&self, array: Option<&dyn Array>, row: usize) -> i64 {
        let numbers = array.and_then(|array| array.as_primitive_opt::<Int32Type>());
        let known = numbers.filter(|numbers| numbers.is_valid(row));
        known.map_or(0, |numbers| i64::from(numbers.value(row)))
    }
}

fn power(scale: u8) -> Option<i128> {
    10i128.checked_pow(u32::from(scale))
}

fn utf16(text: &str, out: &mut Vec<u8>) {
    for unit in text.encode_utf16() {
        out.extend_from_slice(&unit.to_le_bytes());
    }
}

/// Two digits of a number below 100.
fn two(number: i64, out: &mut Vec<u8>) {
    out.push(b'0' + (number / 10 % 10) as u8);
    out.push(b'0' + (number % 10) as u8);
}

/// `hh:mm:ss` and so many digits of the second; none where it has more.
fn clock(micros: i64, ticks: i64, digits: u8, out: &mut Vec<u8>) -> Option<()> {
    let seconds = micros / 1_000_000;
    two(seconds / 3600, out);
    out.push(b':');
    two(seconds / 60 % 60, out);
    out.push(b':');
    two(seconds % 60, out);
    let mut fraction = micros % 1_000_000 * 10 + ticks;
    let mut unit = 1_000_000;
    if digits > 0 {
        out.push(b'.');
    }
    for _ in 0..digits {
        out.push(b'0' + (fraction / unit % 10) as u8);
        fraction %= unit;
        unit = (unit / 10).max(1);
    }
    // After the seventh digit nothing is left, and `unit` stays 1.
    (digits >= 7 || fraction == 0).then_some(())
}

/// `yyyy-mm-dd hh:mm:ss` and so many digits of the second.
fn moment(micros: i64, ticks: i64, digits: u8, out: &mut Vec<u8>) -> Option<()> {
    let days = micros.div_euclid(MICROS_A_DAY) + EPOCH_DAYS + 1;
    let date = NaiveDate::from_num_days_from_ce_opt(i32::try_from(days).ok()?)?;
    let year = i64::from(date.year());
    (1..=9999).contains(&year).then_some(())?;
    two(year / 100, out);
    two(year % 100, out);
    out.push(b'-');
    two(i64::from(date.month()), out);
    out.push(b'-');
    two(i64::from(date.day()), out);
    out.push(b' ');
    clock(micros.rem_euclid(MICROS_A_DAY), ticks, digits, out)
}
