//! SQL Server's types and values as the stand-in holds them.
//!
//! Character data is kept as UTF-16 code units whatever its declared type, so that `nvarchar` keeps unpaired
//! surrogates. A `varchar` value holds only characters that its collation's code page has (others became `?` when
//! it was converted, as in SQL Server), so encoding it on the wire loses nothing.

use std::sync::Arc;

/// A declared type. Lengths are in characters for `n`-types and in bytes otherwise; `None` is `max`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum SqlType {
    Bit,
    TinyInt,
    SmallInt,
    Int,
    BigInt,
    /// `decimal` and `numeric`; `numeric` remembers which word declared it.
    Decimal {
        precision: u8,
        scale: u8,
        numeric: bool,
    },
    Money,
    SmallMoney,
    Real,
    Float,
    Date,
    Time(u8),
    DateTime,
    SmallDateTime,
    DateTime2(u8),
    DateTimeOffset(u8),
    Char(u16),
    VarChar(Option<u16>),
    Text,
    NChar(u16),
    NVarChar(Option<u16>),
    NText,
    Binary(u16),
    VarBinary(Option<u16>),
    Image,
    UniqueIdentifier,
    /// `rowversion`, alias `timestamp`: 8 bytes, assigned by the server.
    RowVersion,
    Xml,
    SqlVariant,
    HierarchyId,
    Geometry,
    Geography,
}

/// A collation by its SQL Server name, e.g. `SQL_Latin1_General_CP1_CI_AS`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Collation(pub Arc<str>);

/// One value. `Null` is untyped; the column or expression carries the type.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Null,
    Bit(bool),
    TinyInt(u8),
    SmallInt(i16),
    Int(i32),
    BigInt(i64),
    /// `unscaled * 10^-scale`; also `money` (scale 4).
    Decimal {
        unscaled: i128,
        scale: u8,
    },
    Money(i64),
    Real(f32),
    Float(f64),
    /// Days since 0001-01-01.
    Date(i32),
    /// 100 ns ticks since midnight.
    Time(u64),
    /// Days since 1900-01-01 and 1/300 s ticks since midnight.
    DateTime {
        days: i32,
        ticks: u32,
    },
    /// Days since 1900-01-01 and minutes since midnight.
    SmallDateTime {
        days: u16,
        minutes: u16,
    },
    /// Days since 0001-01-01 and 100 ns ticks since midnight.
    DateTime2 {
        days: i32,
        ticks: u64,
    },
    /// The same in UTC, with the offset in minutes.
    DateTimeOffset {
        days: i32,
        ticks: u64,
        offset_minutes: i16,
    },
    /// Every character type, and `xml`.
    Str(Arc<[u16]>),
    /// Every binary type, `rowversion` (big-endian), and the CLR types' serialised bytes.
    Bytes(Arc<[u8]>),
    /// In SQL Server's byte order (first three groups little-endian).
    Guid([u8; 16]),
    /// `sql_variant`: the base type with its value, and the collation of text.
    Variant(Box<(SqlType, Value, Option<Collation>)>),
}
