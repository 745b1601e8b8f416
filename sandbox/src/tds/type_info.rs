//! TYPE_INFO: how a type is described before its values, both ways, and the COLMETADATA made of it.

use super::cursor::{Cursor, ParseError, Parsed};
use super::token::{put_b_varchar, put_us_varchar};
use crate::collation::{CodePage, CollationInfo, code_page_of_wire};
use crate::session::ColumnMeta;
use crate::value::SqlType;

pub(super) mod code {
    pub const NULL: u8 = 0x1F;
    pub const IMAGE: u8 = 0x22;
    pub const TEXT: u8 = 0x23;
    pub const GUID: u8 = 0x24;
    pub const INT_N: u8 = 0x26;
    pub const DATE: u8 = 0x28;
    pub const TIME: u8 = 0x29;
    pub const DATETIME2: u8 = 0x2A;
    pub const DATETIMEOFFSET: u8 = 0x2B;
    pub const TINYINT: u8 = 0x30;
    pub const BIT: u8 = 0x32;
    pub const SMALLINT: u8 = 0x34;
    pub const INT: u8 = 0x38;
    pub const SMALLDATETIME: u8 = 0x3A;
    pub const REAL: u8 = 0x3B;
    pub const MONEY: u8 = 0x3C;
    pub const DATETIME: u8 = 0x3D;
    pub const FLOAT: u8 = 0x3E;
    pub const SQL_VARIANT: u8 = 0x62;
    pub const NTEXT: u8 = 0x63;
    pub const BIT_N: u8 = 0x68;
    pub const DECIMAL: u8 = 0x6A;
    pub const NUMERIC: u8 = 0x6C;
    pub const FLOAT_N: u8 = 0x6D;
    pub const MONEY_N: u8 = 0x6E;
    pub const DATETIME_N: u8 = 0x6F;
    pub const SMALLMONEY: u8 = 0x7A;
    pub const BIGINT: u8 = 0x7F;
    pub const VARBINARY: u8 = 0xA5;
    pub const VARCHAR: u8 = 0xA7;
    pub const BINARY: u8 = 0xAD;
    pub const CHAR: u8 = 0xAF;
    pub const NVARCHAR: u8 = 0xE7;
    pub const NCHAR: u8 = 0xEF;
    pub const UDT: u8 = 0xF0;
    pub const XML: u8 = 0xF1;
    pub const TABLE: u8 = 0xF3;
}

const COLMETADATA: u8 = 0x81;
const USER_TYPE_TIMESTAMP: u32 = 0x50;
const FLAG_NULLABLE: u16 = 0x0001;
const FLAG_UPDATABLE_UNKNOWN: u16 = 0x0008;
const FLAG_IDENTITY: u16 = 0x0010;
const FLAG_COMPUTED: u16 = 0x0020;
const ASSEMBLY: &str = ", Microsoft.SqlServer.Types, Version=11.0.0.0, Culture=neutral, \
    PublicKeyToken=89845dcd8080cc91";

/// Bytes of a decimal's value on the wire, sign included.
pub(super) fn decimal_len(precision: u8) -> u8 {
    match precision {
        0..=9 => 5,
        10..=19 => 9,
        20..=28 => 13,
        29.. => 17,
    }
}

/// Bytes of the time part of a scale.
pub(super) fn time_len(scale: u8) -> u8 {
    match scale {
        0..=2 => 3,
        3..=4 => 4,
        5.. => 5,
    }
}

/// Appends COLMETADATA of a result's columns.
pub(super) fn put_columns(out: &mut Vec<u8>, columns: &[ColumnMeta]) {
    out.push(COLMETADATA);
    out.extend_from_slice(&(columns.len() as u16).to_le_bytes());
    for column in columns {
        put_user_type(out, &column.ty);
        let mut flags = 0;
        if column.nullable {
            flags |= FLAG_NULLABLE;
        }
        if column.identity {
            flags |= FLAG_IDENTITY;
        }
        if column.computed {
            flags |= FLAG_COMPUTED;
        } else {
            flags |= FLAG_UPDATABLE_UNKNOWN;
        }
        out.extend_from_slice(&flags.to_le_bytes());
        let collation = CollationInfo::of_column(column.collation.as_ref()).unwrap_or(DEFAULT_INFO);
        put_type_info(out, &column.ty, column.nullable, collation);
        match column.ty {
            // One part, the empty name: the values have no table that a client could update.
            SqlType::Text | SqlType::NText | SqlType::Image => out.extend_from_slice(&[1, 0, 0]),
            _ => {}
        }
        put_b_varchar(out, &column.name);
    }
}

/// SQL_Latin1_General_CP1_CI_AS.
const DEFAULT_INFO: CollationInfo = CollationInfo {
    lcid: 0x0409,
    flags: 0x0D,
    version: 0,
    sort_id: 52,
    code_page: CodePage::Cp1252,
    supplementary: false,
};

pub(super) fn put_user_type(out: &mut Vec<u8>, ty: &SqlType) {
    let user_type = match ty {
        SqlType::RowVersion => USER_TYPE_TIMESTAMP,
        _ => 0,
    };
    out.extend_from_slice(&user_type.to_le_bytes());
}

/// Appends TYPE_INFO; a type that cannot be NULL takes its fixed-length form where it has one, as SQL Server does.
pub(super) fn put_type_info(
    out: &mut Vec<u8>,
    ty: &SqlType,
    nullable: bool,
    collation: CollationInfo,
) {
    let mut fixed_or = |fixed: u8, with_length: u8, length: u8| {
        if nullable {
            out.extend_from_slice(&[with_length, length]);
        } else {
            out.push(fixed);
        }
    };
    match ty {
        SqlType::Bit => fixed_or(code::BIT, code::BIT_N, 1),
        SqlType::TinyInt => fixed_or(code::TINYINT, code::INT_N, 1),
        SqlType::SmallInt => fixed_or(code::SMALLINT, code::INT_N, 2),
        SqlType::Int => fixed_or(code::INT, code::INT_N, 4),
        SqlType::BigInt => fixed_or(code::BIGINT, code::INT_N, 8),
        SqlType::Money => fixed_or(code::MONEY, code::MONEY_N, 8),
        SqlType::SmallMoney => fixed_or(code::SMALLMONEY, code::MONEY_N, 4),
        SqlType::Real => fixed_or(code::REAL, code::FLOAT_N, 4),
        SqlType::Float => fixed_or(code::FLOAT, code::FLOAT_N, 8),
        SqlType::DateTime => fixed_or(code::DATETIME, code::DATETIME_N, 8),
        SqlType::SmallDateTime => fixed_or(code::SMALLDATETIME, code::DATETIME_N, 4),
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
            out.extend_from_slice(&[token, decimal_len(*precision), *precision, *scale]);
        }
        SqlType::Date => out.push(code::DATE),
        SqlType::Time(scale) => out.extend_from_slice(&[code::TIME, *scale]),
        SqlType::DateTime2(scale) => out.extend_from_slice(&[code::DATETIME2, *scale]),
        SqlType::DateTimeOffset(scale) => out.extend_from_slice(&[code::DATETIMEOFFSET, *scale]),
        SqlType::Char(length) => put_text(out, code::CHAR, *length, collation),
        SqlType::VarChar(length) => {
            put_text(out, code::VARCHAR, length.unwrap_or(0xFFFF), collation);
        }
        SqlType::NChar(length) => put_text(out, code::NCHAR, length * 2, collation),
        SqlType::NVarChar(length) => {
            let bytes = length.map_or(0xFFFF, |length| length * 2);
            put_text(out, code::NVARCHAR, bytes, collation);
        }
        SqlType::Text => put_lob(out, code::TEXT, 0x7FFF_FFFF, Some(collation)),
        SqlType::NText => put_lob(out, code::NTEXT, 0x7FFF_FFFE, Some(collation)),
        SqlType::Image => put_lob(out, code::IMAGE, 0x7FFF_FFFF, None),
        SqlType::Binary(length) => put_length(out, code::BINARY, *length),
        SqlType::VarBinary(length) => put_length(out, code::VARBINARY, length.unwrap_or(0xFFFF)),
        SqlType::RowVersion => put_length(out, code::BINARY, 8),
        SqlType::UniqueIdentifier => out.extend_from_slice(&[code::GUID, 16]),
        SqlType::Xml => out.extend_from_slice(&[code::XML, 0]),
        SqlType::SqlVariant => {
            out.push(code::SQL_VARIANT);
            out.extend_from_slice(&8009u32.to_le_bytes());
        }
        SqlType::HierarchyId => put_udt(out, 892, "hierarchyid", "SqlHierarchyId"),
        SqlType::Geometry => put_udt(out, 0xFFFF, "geometry", "SqlGeometry"),
        SqlType::Geography => put_udt(out, 0xFFFF, "geography", "SqlGeography"),
    }
}

fn put_length(out: &mut Vec<u8>, token: u8, bytes: u16) {
    out.push(token);
    out.extend_from_slice(&bytes.to_le_bytes());
}

fn put_text(out: &mut Vec<u8>, token: u8, bytes: u16, collation: CollationInfo) {
    put_length(out, token, bytes);
    out.extend_from_slice(&collation.wire());
}

fn put_lob(out: &mut Vec<u8>, token: u8, bytes: u32, collation: Option<CollationInfo>) {
    out.push(token);
    out.extend_from_slice(&bytes.to_le_bytes());
    if let Some(collation) = collation {
        out.extend_from_slice(&collation.wire());
    }
}

fn put_udt(out: &mut Vec<u8>, bytes_max: u16, name: &str, class: &str) {
    put_length(out, code::UDT, bytes_max);
    put_b_varchar(out, "");
    put_b_varchar(out, "sys");
    put_b_varchar(out, name);
    let class = format!("Microsoft.SqlServer.Types.{class}{ASSEMBLY}");
    put_us_varchar(out, &class, 1000);
}

/// How the values of a client's type are delimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Delimiter {
    /// Always NULL, no bytes at all.
    Nothing,
    Fixed(usize),
    ByteLength,
    ShortLength,
    /// text, ntext, image: four bytes of length, in rows after a text pointer.
    LongLength,
    /// Chunks.
    Plp,
    Variant,
}

/// A type as a client described it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct WireType {
    pub ty: SqlType,
    pub delimiter: Delimiter,
    pub code_page: CodePage,
}

/// Where a client's TYPE_INFO stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Parameter,
    BulkColumn,
}

impl WireType {
    fn new(ty: SqlType, delimiter: Delimiter) -> Self {
        Self {
            ty,
            delimiter,
            code_page: CodePage::Cp1252,
        }
    }

    pub fn read(from: &mut Cursor<'_>, place: Place) -> Parsed<Self> {
        let token = from.u8()?;
        let fixed = |ty, length| Ok(Self::new(ty, Delimiter::Fixed(length)));
        match token {
            code::NULL => Ok(Self::new(SqlType::Int, Delimiter::Nothing)),
            code::TINYINT => fixed(SqlType::TinyInt, 1),
            code::BIT => fixed(SqlType::Bit, 1),
            code::SMALLINT => fixed(SqlType::SmallInt, 2),
            code::INT => fixed(SqlType::Int, 4),
            code::BIGINT => fixed(SqlType::BigInt, 8),
            code::REAL => fixed(SqlType::Real, 4),
            code::FLOAT => fixed(SqlType::Float, 8),
            code::MONEY => fixed(SqlType::Money, 8),
            code::SMALLMONEY => fixed(SqlType::SmallMoney, 4),
            code::DATETIME => fixed(SqlType::DateTime, 8),
            code::SMALLDATETIME => fixed(SqlType::SmallDateTime, 4),
            code::INT_N
            | code::BIT_N
            | code::FLOAT_N
            | code::MONEY_N
            | code::DATETIME_N
            | code::GUID => {
                let ty = nullable_type(token, from.u8()?)?;
                Ok(Self::new(ty, Delimiter::ByteLength))
            }
            code::DATE => Ok(Self::new(SqlType::Date, Delimiter::ByteLength)),
            code::TIME | code::DATETIME2 | code::DATETIMEOFFSET => {
                let scale = from.u8()?;
                if scale > 7 {
                    return Err(ParseError::bad(format!("a time of scale {scale}")));
                }
                let ty = match token {
                    code::TIME => SqlType::Time(scale),
                    code::DATETIME2 => SqlType::DateTime2(scale),
                    _ => SqlType::DateTimeOffset(scale),
                };
                Ok(Self::new(ty, Delimiter::ByteLength))
            }
            // 0x37 and 0x3F are what some clients send for the same.
            code::DECIMAL | code::NUMERIC | 0x37 | 0x3F => Self::read_decimal(from, token),
            code::CHAR
            | code::VARCHAR
            | code::NCHAR
            | code::NVARCHAR
            | code::BINARY
            | code::VARBINARY => Self::read_varying(from, token),
            code::TEXT | code::NTEXT | code::IMAGE => Self::read_lob(from, token, place),
            code::XML => Self::read_xml(from),
            code::UDT => Self::read_udt(from, place),
            code::SQL_VARIANT => {
                from.u32()?;
                Ok(Self::new(SqlType::SqlVariant, Delimiter::Variant))
            }
            code::TABLE => Err(ParseError::bad(
                "table-valued parameters are not supported here",
            )),
            other => Err(ParseError::bad(format!(
                "a value of unknown type 0x{other:02X}"
            ))),
        }
    }

    fn read_decimal(from: &mut Cursor<'_>, token: u8) -> Parsed<Self> {
        let [_length, precision, scale] = from.array()?;
        if !(1..=38).contains(&precision) || scale > precision {
            return Err(ParseError::bad(format!("a decimal({precision}, {scale})")));
        }
        let numeric = matches!(token, code::NUMERIC | 0x3F);
        let ty = SqlType::Decimal {
            precision,
            scale,
            numeric,
        };
        Ok(Self::new(ty, Delimiter::ByteLength))
    }

    fn read_varying(from: &mut Cursor<'_>, token: u8) -> Parsed<Self> {
        let bytes = from.u16()?;
        let is_max = bytes == 0xFFFF;
        if !is_max && bytes > 8000 {
            return Err(ParseError::bad(format!("a type of {bytes} bytes")));
        }
        if is_max && matches!(token, code::CHAR | code::NCHAR | code::BINARY) {
            return Err(ParseError::bad("a fixed-length type of maximal length"));
        }
        // Clients describe an empty string by a length of 0, which no type has.
        let bytes_some = (!is_max).then_some(bytes.max(1));
        let characters = (!is_max).then_some((bytes / 2).max(1));
        let ty = match token {
            code::CHAR => SqlType::Char(bytes.max(1)),
            code::VARCHAR => SqlType::VarChar(bytes_some),
            code::NCHAR => SqlType::NChar((bytes / 2).max(1)),
            code::NVARCHAR => SqlType::NVarChar(characters),
            code::BINARY => SqlType::Binary(bytes.max(1)),
            _ => SqlType::VarBinary(bytes_some),
        };
        let delimiter = if is_max {
            Delimiter::Plp
        } else {
            Delimiter::ShortLength
        };
        let mut found = Self::new(ty, delimiter);
        if !matches!(token, code::BINARY | code::VARBINARY) {
            found.code_page = read_collation(from)?;
        }
        Ok(found)
    }

    fn read_lob(from: &mut Cursor<'_>, token: u8, place: Place) -> Parsed<Self> {
        from.u32()?;
        let ty = match token {
            code::TEXT => SqlType::Text,
            code::NTEXT => SqlType::NText,
            _ => SqlType::Image,
        };
        let mut found = Self::new(ty, Delimiter::LongLength);
        if token != code::IMAGE {
            found.code_page = read_collation(from)?;
        }
        if place == Place::BulkColumn {
            // Clients send the table's name without a count of its parts.
            from.us_varchar()?;
        }
        Ok(found)
    }

    fn read_xml(from: &mut Cursor<'_>) -> Parsed<Self> {
        if from.u8()? != 0 {
            from.b_varchar()?;
            from.b_varchar()?;
            from.us_varchar()?;
        }
        Ok(Self::new(SqlType::Xml, Delimiter::Plp))
    }

    fn read_udt(from: &mut Cursor<'_>, place: Place) -> Parsed<Self> {
        if place == Place::BulkColumn {
            from.u16()?;
        }
        from.b_varchar()?;
        from.b_varchar()?;
        let name = from.b_varchar()?;
        if place == Place::BulkColumn {
            from.us_varchar()?;
        }
        let ty = match name.to_ascii_lowercase().as_str() {
            "hierarchyid" => SqlType::HierarchyId,
            "geometry" => SqlType::Geometry,
            "geography" => SqlType::Geography,
            _ => return Err(ParseError::bad(format!("the unknown CLR type {name}"))),
        };
        Ok(Self::new(ty, Delimiter::Plp))
    }
}

fn nullable_type(token: u8, length: u8) -> Parsed<SqlType> {
    match (token, length) {
        (code::INT_N, 1) => Ok(SqlType::TinyInt),
        (code::INT_N, 2) => Ok(SqlType::SmallInt),
        (code::INT_N, 4) => Ok(SqlType::Int),
        (code::INT_N, 8) => Ok(SqlType::BigInt),
        (code::BIT_N, 1) => Ok(SqlType::Bit),
        (code::FLOAT_N, 4) => Ok(SqlType::Real),
        (code::FLOAT_N, 8) => Ok(SqlType::Float),
        (code::MONEY_N, 4) => Ok(SqlType::SmallMoney),
        (code::MONEY_N, 8) => Ok(SqlType::Money),
        (code::DATETIME_N, 4) => Ok(SqlType::SmallDateTime),
        (code::DATETIME_N, 8) => Ok(SqlType::DateTime),
        (code::GUID, 16) => Ok(SqlType::UniqueIdentifier),
        _ => Err(ParseError::bad(format!(
            "type 0x{token:02X} of {length} bytes"
        ))),
    }
}

pub(super) fn read_collation(from: &mut Cursor<'_>) -> Parsed<CodePage> {
    let bytes = from.array::<5>()?;
    code_page_of_wire(bytes)
        .ok_or_else(|| ParseError::bad(format!("the unknown collation {bytes:02X?}")))
}
