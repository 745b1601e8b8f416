//! One row for each SQL Server type: what the lake keeps, how the type is read, staged, written as text and compared.
//!
//! [`SqlType::facts`] is the one place where a new type must be decided: without a row for it nothing compiles. What
//! the two planes to SQL Server do byte by byte stays with them (`mssql/rows/wire.rs`, `mssql/bulk/encode.rs`).

use super::{LakeType, Role, SqlType};
use std::fmt;

/// What icesync knows of a type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TypeFacts {
    /// The lake's type of the value.
    pub lake: LakeType,
    /// Companion fields of [`Fidelity::Exact`](super::Fidelity::Exact).
    pub companions: &'static [Role],
    /// How a SELECT asks for the value.
    pub read: ReadAs,
    /// The declared type of the staging column that takes the values in a load. Characters are staged as `nvarchar`,
    /// whatever the code page, so that nothing is converted before the server does it.
    pub staged: SqlType,
    /// How a text parameter becomes a value of the type.
    pub parameter: Parameter,
    /// The style of CONVERT to text that loses nothing, where the default does.
    pub text_style: Option<u8>,
    /// What of two values must be compared so that every difference is seen.
    pub compare: Compare,
    /// Values are characters.
    pub characters: Option<Characters>,
    /// A column may be part of a key.
    pub can_be_key: bool,
    /// Values can be told by text without loss, so that a table can be cut between them.
    pub can_be_cut: bool,
}

/// How a SELECT asks for a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadAs {
    AsIs,
    /// Characters of the column's code page, with at most so many bytes (none: `max`).
    CodePage(Option<u16>),
    /// As `nvarchar(max)`.
    Text,
    /// As `varbinary(max)`.
    Bytes,
    /// Base type and value in one text.
    TypedText,
}

/// How a text parameter becomes a value of a type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parameter {
    Plain,
    /// With this style of CONVERT.
    Style(u8),
    /// In the column's collation.
    Collated,
    /// From hexadecimal digits, over a type of bytes.
    Hex(&'static str),
    /// As another type, which compares as this one does, from hexadecimal digits.
    HexAs(&'static str),
}

/// What must be compared. EXCEPT treats NULL as equal to NULL, but text as its collation does (case, trailing
/// spaces), binaries without trailing zeros, zero without its sign, offsets by the instant alone, and some types not
/// at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compare {
    Value,
    /// Its bytes, so many.
    Bytes(u16),
    /// Its bytes (none: `max`) and how many there are.
    BytesAndLength(Option<u16>),
    /// The value and how many bytes it has.
    ValueAndLength,
    /// The instant and the offset from UTC.
    ValueAndOffset,
    /// The bytes as text of the code page, and the length of the value.
    LongCodePage,
    /// The bytes and the length as Unicode text.
    LongUnicode,
    /// The bytes and their length.
    LongBytes,
    /// Base type and value.
    TypedText,
    /// Nothing of it tells every two values apart, so any may have changed.
    Nothing,
}

/// In which encoding values are characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Characters {
    /// That of the column's collation.
    CodePage,
    Unicode,
}

/// The longest sized `nvarchar`, in characters.
pub(super) const NVARCHAR_MAX: u16 = 4000;

impl SqlType {
    /// The row of the type.
    pub fn facts(self) -> TypeFacts {
        use SqlType as T;
        let decimal = |precision, scale| LakeType::Decimal { precision, scale };
        match self {
            T::Bit => self.plain(LakeType::Boolean),
            T::TinyInt | T::SmallInt | T::Int => self.ordered(LakeType::Int),
            T::BigInt => self.ordered(LakeType::Long),
            T::Decimal { precision, scale } | T::Numeric { precision, scale } => {
                self.ordered(decimal(precision, scale))
            }
            T::Money => self.plain(decimal(19, 4)),
            T::SmallMoney => self.plain(decimal(10, 4)),
            T::Real => self.approximate(LakeType::Float, 4),
            T::Float => self.approximate(LakeType::Double, 8),
            T::Date => self.moment(LakeType::Date, &[]),
            T::Time { scale } => self.moment(LakeType::Time, ticks(scale)),
            T::DateTime | T::SmallDateTime => self.moment(LakeType::Timestamp, &[]),
            T::DateTime2 { scale } => self.moment(LakeType::Timestamp, ticks(scale)),
            T::DateTimeOffset { scale } => self.moment_with_offset(scale),
            T::Char { length } => self.code_page(Some(length)),
            T::VarChar { length } => self.code_page(length),
            T::NChar { length } => self.unicode(Some(length)),
            T::NVarChar { length } => self.unicode(length),
            T::Text => TypeFacts {
                parameter: Parameter::Collated,
                compare: Compare::LongCodePage,
                characters: Some(Characters::CodePage),
                ..self.document()
            },
            T::NText => TypeFacts {
                characters: Some(Characters::Unicode),
                ..self.document()
            },
            T::Xml => TypeFacts {
                parameter: Parameter::Style(1),
                ..self.document()
            },
            T::Json => self.document(),
            T::Vector { .. } => TypeFacts {
                read: ReadAs::AsIs,
                compare: Compare::Nothing,
                ..self.document()
            },
            T::SqlVariant => TypeFacts {
                companions: &[Role::BaseType],
                read: ReadAs::TypedText,
                compare: Compare::TypedText,
                ..self.document()
            },
            T::Binary { .. } => self.bytes(Compare::Value),
            T::VarBinary { .. } => self.bytes(Compare::ValueAndLength),
            T::RowVersion => TypeFacts {
                staged: self.copied(),
                parameter: Parameter::HexAs("binary(8)"),
                can_be_cut: false,
                ..self.bytes(Compare::Value)
            },
            T::HierarchyId => TypeFacts {
                read: ReadAs::Bytes,
                staged: T::VarBinary { length: Some(892) },
                parameter: Parameter::Hex("varbinary(892)"),
                ..self.plain(LakeType::Binary)
            },
            T::Geometry | T::Geography => self.long_bytes(Parameter::Hex("varbinary(max)")),
            T::Image => self.long_bytes(Parameter::Style(1)),
            T::UniqueIdentifier => self.ordered(LakeType::Uuid),
        }
    }

    /// A value that travels, is written and compared as it is.
    fn plain(self, lake: LakeType) -> TypeFacts {
        TypeFacts {
            lake,
            companions: &[],
            read: ReadAs::AsIs,
            staged: self,
            parameter: Parameter::Plain,
            text_style: None,
            compare: Compare::Value,
            characters: None,
            can_be_key: true,
            can_be_cut: false,
        }
    }

    /// The same, and its text loses nothing.
    fn ordered(self, lake: LakeType) -> TypeFacts {
        TypeFacts {
            can_be_cut: true,
            ..self.plain(lake)
        }
    }

    /// A binary fraction. Zero has two signs, which compare equal.
    fn approximate(self, lake: LakeType, bytes: u16) -> TypeFacts {
        TypeFacts {
            compare: Compare::Bytes(bytes),
            ..self.plain(lake)
        }
    }

    /// A date, a time or both.
    fn moment(self, lake: LakeType, companions: &'static [Role]) -> TypeFacts {
        TypeFacts {
            companions,
            parameter: Parameter::Style(121),
            text_style: Some(121),
            ..self.ordered(lake)
        }
    }

    /// An instant with the offset that it was written in.
    fn moment_with_offset(self, scale: u8) -> TypeFacts {
        TypeFacts {
            companions: if scale > 6 {
                &[Role::Ticks, Role::Offset]
            } else {
                &[Role::Offset]
            },
            compare: Compare::ValueAndOffset,
            ..self.moment(LakeType::TimestampTz, &[])
        }
    }

    /// Text of any length that the server converts.
    fn document(self) -> TypeFacts {
        TypeFacts {
            read: ReadAs::Text,
            staged: SqlType::NVarChar { length: None },
            compare: Compare::LongUnicode,
            can_be_key: false,
            ..self.plain(LakeType::String)
        }
    }

    /// Bytes of any length that the server converts.
    fn long_bytes(self, parameter: Parameter) -> TypeFacts {
        TypeFacts {
            read: ReadAs::Bytes,
            staged: SqlType::VarBinary { length: None },
            parameter,
            compare: Compare::LongBytes,
            can_be_key: false,
            ..self.plain(LakeType::Binary)
        }
    }

    /// Sized characters of a code page, `length` bytes.
    fn code_page(self, length: Option<u16>) -> TypeFacts {
        TypeFacts {
            read: ReadAs::CodePage(length),
            parameter: Parameter::Collated,
            compare: Compare::BytesAndLength(length),
            characters: Some(Characters::CodePage),
            ..self.unicode(length)
        }
    }

    /// Sized characters in Unicode, `length` UTF-16 units.
    fn unicode(self, length: Option<u16>) -> TypeFacts {
        TypeFacts {
            staged: SqlType::NVarChar {
                length: length.filter(|&length| length <= NVARCHAR_MAX),
            },
            compare: Compare::BytesAndLength(length.map(|units| units.saturating_mul(2))),
            characters: Some(Characters::Unicode),
            ..self.ordered(LakeType::String)
        }
    }

    /// Sized bytes.
    fn bytes(self, compare: Compare) -> TypeFacts {
        TypeFacts {
            parameter: Parameter::Style(1),
            text_style: Some(1),
            compare,
            ..self.ordered(LakeType::Binary)
        }
    }

    /// Whether values are characters, in any encoding.
    pub fn is_text(self) -> bool {
        self.facts().characters.is_some()
    }

    /// Whether values are characters in the collation's code page.
    pub fn is_code_page_text(self) -> bool {
        self.facts().characters == Some(Characters::CodePage)
    }

    /// Whether values are dates, or dates with a time.
    pub fn has_date(self) -> bool {
        matches!(
            self,
            SqlType::Date
                | SqlType::DateTime
                | SqlType::SmallDateTime
                | SqlType::DateTime2 { .. }
                | SqlType::DateTimeOffset { .. }
        )
    }

    /// The type through which values must go into a column of type `to`, so that they stay what SQL Server shows and
    /// the lake keeps; none where the server's own conversion does that.
    ///
    /// From compatibility level 130 on, a `datetime` converted to `datetime2` gets more digits than it is shown with:
    /// .003 becomes .0033333.
    pub fn shown_in(self, to: SqlType) -> Option<SqlType> {
        let gets_digits = self == SqlType::DateTime && matches!(to, SqlType::DateTime2 { .. });
        gets_digits.then_some(SqlType::DateTime2 { scale: 3 })
    }

    /// The type of a column that holds copies of the values: nothing but the server writes a `rowversion`.
    pub fn copied(self) -> SqlType {
        if self == SqlType::RowVersion {
            SqlType::Binary { length: 8 }
        } else {
            self
        }
    }
}

impl LakeType {
    /// The wider of two types, where the Iceberg specification lets one be promoted to the other in place; none
    /// elsewhere.
    pub fn wider(self, other: LakeType) -> Option<LakeType> {
        if self == other {
            return Some(self);
        }
        match self {
            LakeType::Int | LakeType::Long => {
                matches!(other, LakeType::Int | LakeType::Long).then_some(LakeType::Long)
            }
            LakeType::Float | LakeType::Double => {
                matches!(other, LakeType::Float | LakeType::Double).then_some(LakeType::Double)
            }
            LakeType::Decimal { precision, scale } => {
                let LakeType::Decimal {
                    precision: others,
                    scale: same,
                } = other
                else {
                    return None;
                };
                (scale == same).then(|| LakeType::Decimal {
                    precision: precision.max(others),
                    scale,
                })
            }
            LakeType::Boolean
            | LakeType::Date
            | LakeType::Time
            | LakeType::Timestamp
            | LakeType::TimestampTz
            | LakeType::String
            | LakeType::Uuid
            | LakeType::Fixed(_)
            | LakeType::Binary => None,
        }
    }
}

/// The seventh digit of a second is more than the lake's microseconds hold.
fn ticks(scale: u8) -> &'static [Role] {
    if scale > 6 { &[Role::Ticks] } else { &[] }
}

impl fmt::Display for SqlType {
    /// As written in a column declaration: `datetime2(7)`, `nvarchar(max)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sized = |f: &mut fmt::Formatter<'_>, name: &str, length: Option<u16>| match length {
            Some(length) => write!(f, "{name}({length})"),
            None => write!(f, "{name}(max)"),
        };
        match *self {
            SqlType::Bit => f.write_str("bit"),
            SqlType::TinyInt => f.write_str("tinyint"),
            SqlType::SmallInt => f.write_str("smallint"),
            SqlType::Int => f.write_str("int"),
            SqlType::BigInt => f.write_str("bigint"),
            SqlType::Decimal { precision, scale } => write!(f, "decimal({precision},{scale})"),
            SqlType::Numeric { precision, scale } => write!(f, "numeric({precision},{scale})"),
            SqlType::Money => f.write_str("money"),
            SqlType::SmallMoney => f.write_str("smallmoney"),
            SqlType::Real => f.write_str("real"),
            SqlType::Float => f.write_str("float"),
            SqlType::Date => f.write_str("date"),
            SqlType::Time { scale } => write!(f, "time({scale})"),
            SqlType::DateTime => f.write_str("datetime"),
            SqlType::SmallDateTime => f.write_str("smalldatetime"),
            SqlType::DateTime2 { scale } => write!(f, "datetime2({scale})"),
            SqlType::DateTimeOffset { scale } => write!(f, "datetimeoffset({scale})"),
            SqlType::Char { length } => sized(f, "char", Some(length)),
            SqlType::VarChar { length } => sized(f, "varchar", length),
            SqlType::Text => f.write_str("text"),
            SqlType::NChar { length } => sized(f, "nchar", Some(length)),
            SqlType::NVarChar { length } => sized(f, "nvarchar", length),
            SqlType::NText => f.write_str("ntext"),
            SqlType::Binary { length } => sized(f, "binary", Some(length)),
            SqlType::VarBinary { length } => sized(f, "varbinary", length),
            SqlType::Image => f.write_str("image"),
            SqlType::UniqueIdentifier => f.write_str("uniqueidentifier"),
            SqlType::RowVersion => f.write_str("rowversion"),
            SqlType::Xml => f.write_str("xml"),
            SqlType::SqlVariant => f.write_str("sql_variant"),
            SqlType::HierarchyId => f.write_str("hierarchyid"),
            SqlType::Geometry => f.write_str("geometry"),
            SqlType::Geography => f.write_str("geography"),
            SqlType::Json => f.write_str("json"),
            SqlType::Vector { dimensions } => write!(f, "vector({dimensions})"),
        }
    }
}
