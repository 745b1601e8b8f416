//! The inside of a `sql_variant`: base type, properties, bytes.

use super::cursor::{Cursor, ParseError, Parsed};
use super::decode;
use super::type_info::{Delimiter, WireType, code, read_collation};
use crate::collation::CodePage;
use crate::value::{SqlType, Value};

/// A base type that `sql_variant` does not take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NoVariant;

/// Appends base type, count of property bytes and properties.
pub(super) fn put_properties(
    out: &mut Vec<u8>,
    base: &SqlType,
    collation: [u8; 5],
) -> Result<(), NoVariant> {
    let mut plain = |token: u8| out.extend_from_slice(&[token, 0]);
    match base {
        SqlType::Bit => plain(code::BIT),
        SqlType::TinyInt => plain(code::TINYINT),
        SqlType::SmallInt => plain(code::SMALLINT),
        SqlType::Int => plain(code::INT),
        SqlType::BigInt => plain(code::BIGINT),
        SqlType::Real => plain(code::REAL),
        SqlType::Float => plain(code::FLOAT),
        SqlType::Money => plain(code::MONEY),
        SqlType::SmallMoney => plain(code::SMALLMONEY),
        SqlType::DateTime => plain(code::DATETIME),
        SqlType::SmallDateTime => plain(code::SMALLDATETIME),
        SqlType::Date => plain(code::DATE),
        SqlType::UniqueIdentifier => plain(code::GUID),
        SqlType::Time(scale) => out.extend_from_slice(&[code::TIME, 1, *scale]),
        SqlType::DateTime2(scale) => out.extend_from_slice(&[code::DATETIME2, 1, *scale]),
        SqlType::DateTimeOffset(scale) => out.extend_from_slice(&[code::DATETIMEOFFSET, 1, *scale]),
        SqlType::Decimal {
            precision,
            scale,
            numeric,
        } => {
            let token = if *numeric {
                code::NUMERIC
            } else {
                code::DECIMAL
            };
            out.extend_from_slice(&[token, 2, *precision, *scale]);
        }
        SqlType::Char(length) => put_text(out, code::CHAR, *length, collation),
        SqlType::VarChar(Some(length)) => put_text(out, code::VARCHAR, *length, collation),
        SqlType::NChar(length) => put_text(out, code::NCHAR, length * 2, collation),
        SqlType::NVarChar(Some(length)) => put_text(out, code::NVARCHAR, length * 2, collation),
        SqlType::Binary(length) => put_binary(out, code::BINARY, *length),
        SqlType::VarBinary(Some(length)) => put_binary(out, code::VARBINARY, *length),
        SqlType::VarChar(None)
        | SqlType::NVarChar(None)
        | SqlType::VarBinary(None)
        | SqlType::Text
        | SqlType::NText
        | SqlType::Image
        | SqlType::RowVersion
        | SqlType::Xml
        | SqlType::SqlVariant
        | SqlType::HierarchyId
        | SqlType::Geometry
        | SqlType::Geography => return Err(NoVariant),
    }
    Ok(())
}

fn put_text(out: &mut Vec<u8>, token: u8, bytes: u16, collation: [u8; 5]) {
    out.extend_from_slice(&[token, 7]);
    out.extend_from_slice(&collation);
    out.extend_from_slice(&bytes.to_le_bytes());
}

fn put_binary(out: &mut Vec<u8>, token: u8, bytes: u16) {
    out.extend_from_slice(&[token, 2]);
    out.extend_from_slice(&bytes.to_le_bytes());
}

/// Reads what stands after a variant's total length, which is exactly `bytes`.
pub(super) fn read(bytes: &[u8]) -> Parsed<Value> {
    let mut from = Cursor::new(bytes);
    let token = from.u8()?;
    let count = usize::from(from.u8()?);
    let mut properties = Cursor::new(from.bytes(count)?);
    let ty = base_type(token, &mut properties)?;
    if !properties.is_at_end() {
        return Err(ParseError::bad("a sql_variant with surplus properties"));
    }
    let value = decode::read_bytes(from.rest(), &ty)?;
    Ok(Value::Variant(Box::new((ty.ty, value, None))))
}

fn base_type(token: u8, properties: &mut Cursor<'_>) -> Parsed<WireType> {
    let mut code_page = CodePage::Cp1252;
    let ty = match token {
        code::BIT => SqlType::Bit,
        code::TINYINT => SqlType::TinyInt,
        code::SMALLINT => SqlType::SmallInt,
        code::INT => SqlType::Int,
        code::BIGINT => SqlType::BigInt,
        code::REAL => SqlType::Real,
        code::FLOAT => SqlType::Float,
        code::MONEY => SqlType::Money,
        code::SMALLMONEY => SqlType::SmallMoney,
        code::DATETIME => SqlType::DateTime,
        code::SMALLDATETIME => SqlType::SmallDateTime,
        code::DATE => SqlType::Date,
        code::GUID => SqlType::UniqueIdentifier,
        code::TIME => SqlType::Time(scale(properties)?),
        code::DATETIME2 => SqlType::DateTime2(scale(properties)?),
        code::DATETIMEOFFSET => SqlType::DateTimeOffset(scale(properties)?),
        code::DECIMAL | code::NUMERIC => {
            let [precision, scale] = properties.array()?;
            if !(1..=38).contains(&precision) || scale > precision {
                return Err(ParseError::bad(format!("a decimal({precision}, {scale})")));
            }
            SqlType::Decimal {
                precision,
                scale,
                numeric: token == code::NUMERIC,
            }
        }
        code::CHAR | code::VARCHAR | code::NCHAR | code::NVARCHAR => {
            code_page = read_collation(properties)?;
            let bytes = properties.u16()?.clamp(1, 8000);
            match token {
                code::CHAR => SqlType::Char(bytes),
                code::VARCHAR => SqlType::VarChar(Some(bytes)),
                code::NCHAR => SqlType::NChar((bytes / 2).max(1)),
                _ => SqlType::NVarChar(Some((bytes / 2).max(1))),
            }
        }
        code::BINARY => SqlType::Binary(properties.u16()?.clamp(1, 8000)),
        code::VARBINARY => SqlType::VarBinary(Some(properties.u16()?.clamp(1, 8000))),
        other => {
            return Err(ParseError::bad(format!(
                "a sql_variant of base type 0x{other:02X}"
            )));
        }
    };
    Ok(WireType {
        ty,
        delimiter: Delimiter::Variant,
        code_page,
    })
}

fn scale(properties: &mut Cursor<'_>) -> Parsed<u8> {
    match properties.u8()? {
        scale @ 0..=7 => Ok(scale),
        scale => Err(ParseError::bad(format!("a time of scale {scale}"))),
    }
}
