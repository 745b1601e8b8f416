//! Bytes to values: parameters of a remote procedure call and rows of a bulk load.

use super::cursor::{Cursor, ParseError, Parsed, units};
use super::type_info::{Delimiter, Place, WireType, time_len};
use super::variant;
use crate::collation::CodePage;
use crate::value::{SqlType, Value};

const PLP_NULL: u64 = u64::MAX;
const PLP_UNKNOWN: u64 = u64::MAX - 1;
const TICKS_PER_DAY: u64 = 864_000_000_000;
/// 9999-12-31 in days since 0001-01-01.
const DAYS_MAX: i32 = 3_652_058;

/// Reads one value of type `ty`.
pub(super) fn read_value(from: &mut Cursor<'_>, ty: &WireType, place: Place) -> Parsed<Value> {
    let bytes = match ty.delimiter {
        Delimiter::Nothing => return Ok(Value::Null),
        Delimiter::Fixed(length) => from.bytes(length)?,
        Delimiter::ByteLength => match from.u8()? {
            0 => return Ok(Value::Null),
            length => from.bytes(usize::from(length))?,
        },
        Delimiter::ShortLength => match from.u16()? {
            0xFFFF => return Ok(Value::Null),
            length => from.bytes(usize::from(length))?,
        },
        Delimiter::LongLength => {
            if place == Place::BulkColumn {
                match from.u8()? {
                    0 => return Ok(Value::Null),
                    pointer => from.bytes(usize::from(pointer) + 8)?,
                };
            }
            match from.u32()? {
                u32::MAX => return Ok(Value::Null),
                length => from.bytes(length as usize)?,
            }
        }
        Delimiter::Plp => match read_plp(from)? {
            None => return Ok(Value::Null),
            Some(bytes) => return read_bytes(&bytes, ty),
        },
        Delimiter::Variant => match from.u32()? {
            0 => return Ok(Value::Null),
            length => return variant::read(from.bytes(length as usize)?),
        },
    };
    read_bytes(bytes, ty)
}

fn read_plp(from: &mut Cursor<'_>) -> Parsed<Option<Vec<u8>>> {
    let total = from.u64()?;
    if total == PLP_NULL {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    loop {
        match from.u32()? {
            0 => break,
            length => bytes.extend_from_slice(from.bytes(length as usize)?),
        }
    }
    if total != PLP_UNKNOWN && total != bytes.len() as u64 {
        return Err(ParseError::bad(format!(
            "{} bytes in chunks where {total} were announced",
            bytes.len()
        )));
    }
    Ok(Some(bytes))
}

/// Reads a value that is exactly `bytes`.
pub(super) fn read_bytes(bytes: &[u8], ty: &WireType) -> Parsed<Value> {
    let too_long = |unit: usize, length: u16| {
        if bytes.len() > usize::from(length) * unit {
            Err(ParseError::bad(format!(
                "{} bytes for a {:?}",
                bytes.len(),
                ty.ty
            )))
        } else {
            Ok(())
        }
    };
    match &ty.ty {
        SqlType::Bit => Ok(Value::Bit(exact::<1>(bytes, &ty.ty)?[0] != 0)),
        SqlType::TinyInt => Ok(Value::TinyInt(exact::<1>(bytes, &ty.ty)?[0])),
        SqlType::SmallInt => Ok(Value::SmallInt(i16::from_le_bytes(exact(bytes, &ty.ty)?))),
        SqlType::Int => Ok(Value::Int(i32::from_le_bytes(exact(bytes, &ty.ty)?))),
        SqlType::BigInt => Ok(Value::BigInt(i64::from_le_bytes(exact(bytes, &ty.ty)?))),
        SqlType::Real => Ok(Value::Real(f32::from_le_bytes(exact(bytes, &ty.ty)?))),
        SqlType::Float => Ok(Value::Float(f64::from_le_bytes(exact(bytes, &ty.ty)?))),
        SqlType::Decimal {
            precision, scale, ..
        } => decimal(bytes, *precision, *scale),
        SqlType::Money => {
            let [a, b, c, d, e, f, g, h] = exact(bytes, &ty.ty)?;
            Ok(Value::Money(i64::from_le_bytes([e, f, g, h, a, b, c, d])))
        }
        SqlType::SmallMoney => {
            let value = i32::from_le_bytes(exact(bytes, &ty.ty)?);
            Ok(Value::Money(i64::from(value)))
        }
        SqlType::Date => Ok(Value::Date(days(bytes)?)),
        SqlType::Time(scale) => Ok(Value::Time(time(bytes, *scale)?)),
        SqlType::DateTime => datetime(exact(bytes, &ty.ty)?),
        SqlType::SmallDateTime => smalldatetime(exact(bytes, &ty.ty)?),
        SqlType::DateTime2(scale) => {
            let (clock, date) = split_date(bytes, *scale)?;
            let ticks = time(clock, *scale)?;
            let days = days(date)?;
            Ok(Value::DateTime2 { days, ticks })
        }
        SqlType::DateTimeOffset(scale) => datetimeoffset(bytes, *scale),
        SqlType::Char(length) | SqlType::VarChar(Some(length)) => {
            too_long(1, *length)?;
            narrow(bytes, ty.code_page)
        }
        SqlType::VarChar(None) | SqlType::Text => narrow(bytes, ty.code_page),
        SqlType::NChar(length) | SqlType::NVarChar(Some(length)) => {
            too_long(2, *length)?;
            Ok(Value::Str(units(bytes)?.into()))
        }
        SqlType::NVarChar(None) | SqlType::NText => Ok(Value::Str(units(bytes)?.into())),
        SqlType::Xml => xml(bytes),
        SqlType::Binary(length) | SqlType::VarBinary(Some(length)) => {
            too_long(1, *length)?;
            Ok(Value::Bytes(bytes.into()))
        }
        SqlType::VarBinary(None)
        | SqlType::Image
        | SqlType::RowVersion
        | SqlType::HierarchyId
        | SqlType::Geometry
        | SqlType::Geography => Ok(Value::Bytes(bytes.into())),
        SqlType::UniqueIdentifier => Ok(Value::Guid(exact(bytes, &ty.ty)?)),
        SqlType::SqlVariant => Err(ParseError::bad("a sql_variant inside a sql_variant")),
    }
}

fn smalldatetime([a, b, c, d]: [u8; 4]) -> Parsed<Value> {
    let minutes = u16::from_le_bytes([c, d]);
    if minutes >= 1440 {
        return Err(ParseError::bad("a smalldatetime past the day's end"));
    }
    let days = u16::from_le_bytes([a, b]);
    Ok(Value::SmallDateTime { days, minutes })
}

/// A byte order mark is no part of the document.
fn xml(bytes: &[u8]) -> Parsed<Value> {
    let units = units(bytes)?;
    let text = units.strip_prefix(&[0xFEFF]).unwrap_or(&units);
    Ok(Value::Str(text.into()))
}

fn exact<const N: usize>(bytes: &[u8], ty: &SqlType) -> Parsed<[u8; N]> {
    bytes
        .try_into()
        .map_err(|_| ParseError::bad(format!("{} bytes for a {ty:?}", bytes.len())))
}

fn narrow(bytes: &[u8], code_page: CodePage) -> Parsed<Value> {
    let mut text = Vec::with_capacity(bytes.len());
    if !code_page.decode(bytes, &mut text) {
        return Err(ParseError::bad(format!(
            "bytes that code page {} does not have",
            code_page.number()
        )));
    }
    Ok(Value::Str(text.into()))
}

fn decimal(bytes: &[u8], precision: u8, scale: u8) -> Parsed<Value> {
    let wrong = || ParseError::bad(format!("{bytes:02X?} as a decimal({precision}, {scale})"));
    let (sign, magnitude) = bytes.split_first().ok_or_else(wrong)?;
    if *sign > 1 || magnitude.len() > 16 {
        return Err(wrong());
    }
    let mut wide = [0u8; 16];
    wide[..magnitude.len()].copy_from_slice(magnitude);
    let magnitude = u128::from_le_bytes(wide);
    if magnitude >= 10u128.pow(u32::from(precision)) {
        return Err(wrong());
    }
    let magnitude = magnitude as i128;
    let unscaled = if *sign == 1 { magnitude } else { -magnitude };
    Ok(Value::Decimal { unscaled, scale })
}

fn days(bytes: &[u8]) -> Parsed<i32> {
    let [a, b, c] = exact(bytes, &SqlType::Date)?;
    let days = i32::from_le_bytes([a, b, c, 0]);
    if days > DAYS_MAX {
        return Err(ParseError::bad("a date after the year 9999"));
    }
    Ok(days)
}

fn time(bytes: &[u8], scale: u8) -> Parsed<u64> {
    if bytes.len() != usize::from(time_len(scale)) {
        return Err(ParseError::bad(format!(
            "{} bytes for a time({scale})",
            bytes.len()
        )));
    }
    let mut wide = [0u8; 8];
    wide[..bytes.len()].copy_from_slice(bytes);
    let ticks = u64::from_le_bytes(wide) * 10u64.pow(7 - u32::from(scale));
    if ticks >= TICKS_PER_DAY {
        return Err(ParseError::bad("a time past the day's end"));
    }
    Ok(ticks)
}

fn split_date(bytes: &[u8], scale: u8) -> Parsed<(&[u8], &[u8])> {
    bytes
        .split_at_checked(usize::from(time_len(scale)))
        .ok_or_else(|| ParseError::bad(format!("{} bytes for a datetime2({scale})", bytes.len())))
}

fn datetime([a, b, c, d, e, f, g, h]: [u8; 8]) -> Parsed<Value> {
    let days = i32::from_le_bytes([a, b, c, d]);
    let ticks = u32::from_le_bytes([e, f, g, h]);
    // 1753-01-01 to 9999-12-31, in ticks of 1/300 s.
    if !(-53_690..=2_958_463).contains(&days) || ticks >= 25_920_000 {
        return Err(ParseError::bad("a datetime out of range"));
    }
    Ok(Value::DateTime { days, ticks })
}

fn datetimeoffset(bytes: &[u8], scale: u8) -> Parsed<Value> {
    let (clock, rest) = split_date(bytes, scale)?;
    let (date, offset) = rest
        .split_at_checked(3)
        .ok_or_else(|| ParseError::bad("a datetimeoffset without a date"))?;
    let offset_minutes = i16::from_le_bytes(exact(offset, &SqlType::DateTimeOffset(scale))?);
    if !(-840..=840).contains(&offset_minutes) {
        return Err(ParseError::bad(format!(
            "an offset of {offset_minutes} minutes"
        )));
    }
    Ok(Value::DateTimeOffset {
        days: days(date)?,
        ticks: time(clock, scale)?,
        offset_minutes,
    })
}

#[cfg(test)]
mod tests;
