//! What of a row is compared across servers: canonical bytes, their hash, and checksums of many rows.
//!
//! A server computes the checksum of its rows in T-SQL (`mssql/sql/digest.rs`), the lake's rows get the same one here,
//! and only checksums cross the network. Both sides follow this definition byte for byte.
//!
//! # Bytes of a value
//!
//! The type of the server's column decides ([`Form::of`]); the lake's value is brought into that form. No form depends
//! on a language, a DATEFORMAT or a collation.
//!
//! | server's type | form | bytes |
//! |---|---|---|
//! | `bit`, whole numbers | [`Form::Whole`] | 8, big-endian |
//! | `decimal`, `numeric` | [`Form::Decimal`] | plain digits at the column's scale, padded to 41 characters |
//! | `money`, `smallmoney` | [`Form::Money`] | ten-thousandths, 8 bytes, big-endian |
//! | `real`, `float` | [`Form::Real`], [`Form::Float`] | IEEE 754, big-endian: zeros of both signs differ |
//! | `date` | [`Form::Date`] | days since 0001-01-01, 4 bytes, big-endian |
//! | `time`, `datetime2`, `datetime`, `smalldatetime` | [`Form::Time`], [`Form::Moment`] | text in style 121 |
//! | `datetimeoffset` | [`Form::Local`] | the same, with the offset |
//! | character types, `xml`, `json` | [`Form::Text`] | UTF-16, little-endian, with all trailing spaces |
//! | binary types, CLR types | [`Form::Bytes`] | as they are |
//! | `uniqueidentifier` | [`Form::Guid`] | as SQL Server stores it |
//! | `sql_variant` | [`Form::TypedText`] | base type and value, as an extract reads them |
//! | `vector` | none | the server writes its numbers with other digits than the lake |
//!
//! Under `fidelity: standard` the lake has cut digits and offsets off. The form then ends where the lake's value does
//! ([`Kept`]), so what was cut off is not compared.
//!
//! A value is framed: `00` for NULL, else `01` and its bytes, which have one length for each form of a fixed width. A
//! value of varying length has its length, 4 bytes, before it. So no two rows have the same bytes unless all their
//! values are equal. A lake value that the server's column could not hold is framed as `02`, which no server writes.
//!
//! # The hash of a row, and the checksum of many
//!
//! A row's hash is the SHA-256 of its bytes. The checksum of rows is the sum of the first 8 bytes of their hashes, as
//! signed numbers, beside their count. A sum does not depend on the order of rows, and unlike an exclusive or it does
//! not cancel out a row that is there twice.
//!
//! *Odds.* Two sets of rows that differ have the same count and sum with a probability of 2^-64 (5e-20), if nobody
//! has chosen the rows to that end. That is once for each group of rows that differs. A run that finds all 65,536
//! groups different misses one of them with a probability of 4e-15. Groups that are equal cannot be taken for
//! different.
//!
//! *Why not CHECKSUM_AGG or BINARY_CHECKSUM.* They have 32 bits, so one difference in four billion is missed at best.
//! BINARY_CHECKSUM is much worse: by its documentation it ignores some types (`xml`, `text`, CLR types), its value
//! is the same for rows that differ in simple ways, and no definition is published that could be computed here. MD5
//! would be somewhat cheaper. It is deprecated in HASHBYTES since SQL Server 2016, and rows can be made to collide.
//!
//! *Cost.* Per row two calls of HASHBYTES, one over the row and one over its key where rows are grouped by it, and one
//! decimal addition. A call takes a fixed microsecond or two of CPU, and about as much again for each kilobyte. The
//! table is scanned once. HASHBYTES takes more than 8,000 bytes only from SQL Server 2016 on.

mod values;

pub use values::{Encoder, Part, Rows};

use super::types::NVARCHAR_MAX;
use super::{LakeType, SqlType};

/// The longest value that a sized concatenation takes with its frame; the server cuts longer ones without a word.
const SIZED_BYTES_MAX: u32 = 8000;
/// NULL or not, and the length.
const FRAME_BYTES: u32 = 5;
/// Characters of any decimal: sign, 38 digits, a point, and a zero before it.
pub const DECIMAL_CHARACTERS: u8 = 41;
/// `yyyy-mm-dd hh:mm:ss`.
const SECOND_CHARACTERS: u8 = 19;
/// `hh:mm:ss`.
const CLOCK_CHARACTERS: u8 = 8;
/// ` +hh:mm`.
const OFFSET_CHARACTERS: u8 = 7;

/// How a value becomes bytes; see the module head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Whole,
    Decimal {
        scale: u8,
    },
    Money,
    Real,
    Float,
    Date,
    /// `digits` of the second.
    Time {
        digits: u8,
    },
    Moment {
        digits: u8,
    },
    /// A moment with its offset from UTC.
    Local {
        digits: u8,
    },
    /// A moment in UTC: what SQL Server compares.
    Instant {
        digits: u8,
    },
    /// None: `max`, or too long to be sized.
    Text {
        units: Option<u16>,
    },
    Bytes {
        length: Option<u16>,
    },
    Guid,
    TypedText,
}

/// What the lake has of a value besides its microseconds in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kept {
    /// The seventh digit of the second.
    pub ticks: bool,
    pub offset: bool,
}

impl Kept {
    /// All of it: what a target has was written from the lake.
    pub const ALL: Self = Self {
        ticks: true,
        offset: true,
    };

    fn digits(self, scale: u8) -> u8 {
        match self.ticks {
            true => scale,
            false => scale.min(6),
        }
    }
}

impl Form {
    /// The form of a server's column; none where its values have no bytes that both sides can write.
    pub fn of(ty: SqlType, kept: Kept) -> Option<Self> {
        use SqlType as T;
        Some(match ty {
            T::Bit | T::TinyInt | T::SmallInt | T::Int | T::BigInt => Form::Whole,
            T::Decimal { scale, .. } | T::Numeric { scale, .. } => Form::Decimal { scale },
            T::Money | T::SmallMoney => Form::Money,
            T::Real => Form::Real,
            T::Float => Form::Float,
            T::Date => Form::Date,
            T::Time { scale } => Form::Time {
                digits: kept.digits(scale),
            },
            T::DateTime => Form::Moment { digits: 3 },
            T::SmallDateTime => Form::Moment { digits: 0 },
            T::DateTime2 { scale } => Form::Moment {
                digits: kept.digits(scale),
            },
            T::DateTimeOffset { scale } => {
                let digits = kept.digits(scale);
                match kept.offset && digits == scale {
                    true => Form::Local { digits },
                    false => Form::Instant { digits },
                }
            }
            T::Char { length } | T::NChar { length } => Form::text(Some(length)),
            T::VarChar { length } | T::NVarChar { length } => Form::text(length),
            T::Text | T::NText | T::Xml | T::Json => Form::text(None),
            T::Binary { length } => Form::bytes(Some(length)),
            T::VarBinary { length } => Form::bytes(length),
            T::RowVersion => Form::bytes(Some(8)),
            T::HierarchyId => Form::bytes(Some(892)),
            T::Image | T::Geometry | T::Geography => Form::bytes(None),
            T::UniqueIdentifier => Form::Guid,
            T::SqlVariant => Form::TypedText,
            T::Vector { .. } => return None,
        })
    }

    /// The form by which rows are told apart: the offset of an instant is not part of a key.
    #[must_use]
    pub fn as_key(self) -> Self {
        match self {
            Form::Local { digits } => Form::Instant { digits },
            Form::Whole
            | Form::Decimal { .. }
            | Form::Money
            | Form::Real
            | Form::Float
            | Form::Date
            | Form::Time { .. }
            | Form::Moment { .. }
            | Form::Instant { .. }
            | Form::Text { .. }
            | Form::Bytes { .. }
            | Form::Guid
            | Form::TypedText => self,
        }
    }

    /// One byte never becomes more than one UTF-16 unit.
    fn text(units: Option<u16>) -> Self {
        let is_sized = |units: &u16| {
            *units <= NVARCHAR_MAX && u32::from(*units) * 2 + FRAME_BYTES <= SIZED_BYTES_MAX
        };
        Form::Text {
            units: units.filter(is_sized),
        }
    }

    fn bytes(length: Option<u16>) -> Self {
        let is_sized = |length: &u16| u32::from(*length) + FRAME_BYTES <= SIZED_BYTES_MAX;
        Form::Bytes {
            length: length.filter(is_sized),
        }
    }

    /// Bytes of every value, where they have one length.
    pub fn fixed(self) -> Option<u8> {
        let fraction = |digits: u8| if digits > 0 { digits + 1 } else { 0 };
        match self {
            Form::Whole | Form::Money | Form::Float => Some(8),
            Form::Real | Form::Date => Some(4),
            Form::Decimal { .. } => Some(DECIMAL_CHARACTERS),
            Form::Time { digits } => Some(CLOCK_CHARACTERS + fraction(digits)),
            Form::Moment { digits } | Form::Instant { digits } => {
                Some(SECOND_CHARACTERS + fraction(digits))
            }
            Form::Local { digits } => {
                Some(SECOND_CHARACTERS + fraction(digits) + OFFSET_CHARACTERS)
            }
            Form::Guid => Some(16),
            Form::Text { .. } | Form::Bytes { .. } | Form::TypedText => None,
        }
    }

    /// Bytes of a framed value at most; none without a bound.
    pub fn framed(self) -> Option<u32> {
        match self {
            Form::Text { units } => Some(u32::from(units?) * 2 + FRAME_BYTES),
            Form::Bytes { length } => Some(u32::from(length?) + FRAME_BYTES),
            Form::TypedText => None,
            Form::Whole
            | Form::Decimal { .. }
            | Form::Money
            | Form::Real
            | Form::Float
            | Form::Date
            | Form::Time { .. }
            | Form::Moment { .. }
            | Form::Local { .. }
            | Form::Instant { .. }
            | Form::Guid => Some(u32::from(self.fixed()?) + 1),
        }
    }

    /// Whether values of a lake's field can be brought into the form.
    pub fn takes(self, lake: LakeType) -> bool {
        use LakeType as L;
        match self {
            Form::Whole => matches!(lake, L::Boolean | L::Int | L::Long),
            Form::Decimal { .. } => {
                matches!(lake, L::Boolean | L::Int | L::Long | L::Decimal { .. })
            }
            Form::Money => matches!(lake, L::Decimal { .. }),
            Form::Real => lake == L::Float,
            Form::Float => matches!(lake, L::Float | L::Double),
            Form::Date => lake == L::Date,
            Form::Time { .. } => lake == L::Time,
            Form::Moment { .. } => matches!(lake, L::Date | L::Timestamp),
            Form::Local { .. } | Form::Instant { .. } => lake == L::TimestampTz,
            Form::Text { .. } | Form::TypedText => lake == L::String,
            Form::Bytes { .. } => lake == L::Binary,
            Form::Guid => lake == L::Uuid,
        }
    }
}

/// Whether framed values of these forms can be put together without a `max` type.
pub fn fits_sized(forms: impl Iterator<Item = Form>) -> bool {
    let mut total = 0u32;
    for form in forms {
        match form.framed() {
            Some(bytes) => total = total.saturating_add(bytes),
            None => return false,
        }
    }
    total <= SIZED_BYTES_MAX
}

/// The SHA-256 of a row or of its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hash([u8; 32]);

impl Hash {
    pub(super) fn of(bytes: &[u8]) -> Self {
        Self(openssl::sha::sha256(bytes))
    }

    fn number(self, from: usize, bytes: usize) -> u64 {
        let digits = self.0[from..from + bytes].iter();
        digits.fold(0, |number, byte| number << 8 | u64::from(*byte))
    }

    /// What is summed up: the first 8 bytes.
    pub fn addend(self) -> i64 {
        self.number(0, 8) as i64
    }

    /// What tells rows apart in memory: the first 16 bytes.
    pub fn short(self) -> u128 {
        u128::from(self.number(0, 8)) << 64 | u128::from(self.number(8, 8))
    }
}

/// How the rows of a table are grouped, so that a checksum stands for few of them.
///
/// Both sides must put a row into the same group. The server orders keys by its collation, which nothing here knows
/// exactly, so ranges of keys are used for whole numbers alone. All other keys are grouped by the hash of their bytes,
/// which knows no collation. Two spellings of one key may then be in two groups; both groups differ, so the spellings
/// are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Buckets {
    /// By the hash of the key.
    Hash { count: i64 },
    /// By ranges of the first key column: an index finds the rows of a group.
    Range {
        /// Position in the columns that are compared.
        column: usize,
        low: i64,
        width: i64,
    },
}

/// Groups from one number to another, both included.
pub type Span = (i64, i64);

impl Buckets {
    /// The group of a row.
    pub fn of(self, key: Hash, first: Option<i64>) -> i64 {
        match self {
            Buckets::Hash { count } => key.number(0, 3) as i64 % count.max(1),
            Buckets::Range { low, width, .. } => {
                let distance = i128::from(first.unwrap_or(i64::MIN)) - i128::from(low);
                let bucket = distance / i128::from(width.max(1));
                i64::try_from(bucket).unwrap_or(if bucket < 0 { i64::MIN } else { i64::MAX })
            }
        }
    }

    /// Part of a group that has many rows, one of `parts`.
    pub fn part(key: Hash, parts: i64) -> i64 {
        key.number(3, 3) as i64 % parts.max(1)
    }

    /// The lowest and the highest value of the column in the groups of a span. The division cuts towards zero, so the
    /// group 0 has values on both sides of `low`.
    pub fn values(low: i64, width: i64, (from, to): Span) -> (i64, i64) {
        let (low, width) = (i128::from(low), i128::from(width.max(1)));
        let begin = match i128::from(from) {
            bucket @ 1.. => low + bucket * width,
            bucket => low + (bucket - 1) * width + 1,
        };
        let end = match i128::from(to) {
            bucket @ 0.. => low + (bucket + 1) * width - 1,
            bucket => low + bucket * width,
        };
        let clamped = |value: i128| value.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64;
        (clamped(begin), clamped(end))
    }
}

/// Consecutive numbers as spans; `sorted` ascends.
pub fn spans(sorted: impl IntoIterator<Item = i64>) -> Vec<Span> {
    let mut spans: Vec<Span> = Vec::new();
    for number in sorted {
        match spans.last_mut() {
            Some((_, end)) if number <= *end => {}
            Some((_, end)) if end.checked_add(1) == Some(number) => *end = number,
            Some(_) | None => spans.push((number, number)),
        }
    }
    spans
}

#[cfg(test)]
mod tests;
