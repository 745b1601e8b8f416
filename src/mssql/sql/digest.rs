//! Digests of a table's rows: what says whether two tables hold the same, without the rows.
//!
//! Each column becomes the bytes of its [form](crate::schema::mapping::canonical), framed, and a row is its frames one
//! after another. The hash of a row is the first 16 bytes of the SHA-256 of that. A row is in the bucket that the first
//! two bytes of the SHA-256 of its key say. So both sides can be cut into the same buckets although they order and
//! compare keys differently.
//!
//! **What of a bucket is compared.** How many rows it has, and four sums, one of each four bytes of the hashes: they do
//! not depend on the order of the rows. One row that differs goes unseen with a probability of 2^-128. Of several rows
//! the sums would have to agree by chance in all four parts, which is about as unlikely. `CHECKSUM_AGG` is of no use
//! here: it is an exclusive or of 32 bits, in which two equal changes cancel each other, and `CHECKSUM` compares text
//! as its collation does.
//!
//! **What it costs.** [`buckets`] scans the table once, in parallel where the server likes, and hashes each row.
//! Nothing is sorted, and at most 65,536 rows are answered. [`rows`] and [`columns`] scan it again, hash each key, and
//! then only those rows that are asked for. Before SQL Server 2016 `HASHBYTES` takes at most 8,000 bytes.

use super::bounds::Count;
use super::read::Closed;
use super::{Ident, Params, Statement, TableIdent, list, typed, variant};
use crate::schema::mapping::canonical::{Size, form, size};
use crate::schema::{Column, SqlType, TableSchema};

/// The longest value that is no `max` type, in bytes.
const SHORT_MAX: u32 = 8_000;
/// How many buckets the first two bytes of a hash can name.
pub const BUCKETS_MAX: u32 = 65_536;
/// How many bytes of a column's hash are answered.
pub const COLUMN_HASH_BYTES: usize = 8;

/// What of a table goes into its digest.
#[derive(Debug, Clone, Copy)]
pub struct Digested<'a> {
    /// With a key.
    pub table: &'a TableSchema,
    /// Positions of the columns that are compared. The key tells rows apart whether it is among them or not.
    pub columns: &'a [usize],
    /// A column that marks rows as deleted: those that it marks are not there.
    pub flag: Option<&'a str>,
}

/// How a digest reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reads {
    pub count: Count,
    pub lock_timeout_ms: u32,
    /// How many of [`BUCKETS_MAX`] buckets are one here.
    pub width: u32,
}

/// From where on a row is in a window that is yet to be read.
#[derive(Debug, Clone, Copy)]
pub struct NextWindow<'a> {
    /// Position in [`TableSchema::columns`].
    pub column: usize,
    pub lower: &'a str,
    /// Of the windows.
    pub closed: Closed,
}

impl Digested<'_> {
    /// The rows of the table `t`.
    fn from(&self) -> String {
        let table = TableIdent(&self.table.name);
        match self.flag.map(Ident) {
            Some(flag) => format!("{table} AS t WHERE t.{flag} = 0 OR t.{flag} IS NULL"),
            None => format!("{table} AS t"),
        }
    }

    /// The columns that are compared, if their types have a form.
    fn compared(&self) -> impl Iterator<Item = &Column> {
        let columns = self.columns.iter();
        let columns = columns.filter_map(|&at| self.table.columns.get(at));
        columns.filter(|column| form(column.ty).is_some())
    }

    /// The frames of a row.
    fn row(&self) -> String {
        let columns = self.compared();
        chain(columns.map(|column| (column.ty, value(column), false)))
    }

    /// The frames of the key of `alias`.
    fn key(&self, alias: &str) -> String {
        let keys = self.table.key_columns();
        let named = |column: &Column| format!("{alias}.{}", Ident(&column.name));
        chain(keys.map(|column| (column.ty, named(column), true)))
    }
}

impl Reads {
    /// The options of the session, which last until the end of a text that has parameters.
    fn options(self) -> String {
        let isolation = match self.count {
            Count::Snapshot => "SET TRANSACTION ISOLATION LEVEL SNAPSHOT; ",
            Count::ReadCommitted | Count::Nothing => "",
        };
        format!("{isolation}SET LOCK_TIMEOUT {}; ", self.lock_timeout_ms)
    }

    /// `BUCKETS_MAX / width` buckets; the key is hashed for each row.
    fn bucket(self, key: &str, params: &mut Params) -> String {
        let width = params.int(i64::from(self.width));
        format!("CONVERT(int, SUBSTRING(HASHBYTES('SHA2_256', {key}), 1, 2)) / {width}")
    }
}

/// Number, rows and sums of each bucket that has rows: `bucket`, `row_count`, `s1` to `s4`, unordered.
pub fn buckets(of: &Digested<'_>, reads: Reads) -> Statement {
    let mut params = Params::default();
    let bucket = reads.bucket("r.k", &mut params);
    let sums = (0..4).map(|at| {
        let part = format!("SUBSTRING(b.h, {}, 4)", at * 4 + 1);
        format!("SUM(CONVERT(bigint, {part})) AS s{}", at + 1)
    });
    params.into_statement(format!(
        "{}SELECT b.bucket, COUNT_BIG(*) AS row_count, {} FROM (SELECT {bucket} AS bucket, HASHBYTES('SHA2_256', r.v) \
AS h FROM (SELECT {} AS k, {} AS v FROM {}) AS r) AS b GROUP BY b.bucket;",
        reads.options(),
        list(sums, ", "),
        of.key("t"),
        of.row(),
        of.from(),
    ))
}

/// The rows of some buckets: `k`, the framed key, `h`, the hash of the row, and `is_next`, 1 for a row of a window that
/// is yet to be read.
pub fn rows(
    of: &Digested<'_>,
    reads: Reads,
    buckets: &[u32],
    next: Option<&NextWindow<'_>>,
) -> Statement {
    let mut params = Params::default();
    let is_next = next.map_or_else(
        || "0".to_owned(),
        |next| {
            let column = &of.table.columns[next.column];
            let lower = typed(column, &params.text(next.lower));
            let operator = match next.closed {
                Closed::Below => ">=",
                Closed::Above => ">",
            };
            format!(
                "CASE WHEN {} {operator} {lower} THEN 1 ELSE 0 END",
                value(column)
            )
        },
    );
    let bucket = reads.bucket("r.k", &mut params);
    let buckets = numbers(buckets, &mut params);
    params.into_statement(format!(
        "{}SELECT r.k, SUBSTRING(HASHBYTES('SHA2_256', r.v), 1, 16) AS h, r.is_next FROM (SELECT {} AS k, {} AS v, \
{is_next} AS is_next FROM {}) AS r WHERE {bucket} IN ({buckets}) OPTION (RECOMPILE);",
        reads.options(),
        of.key("t"),
        of.row(),
        of.from(),
    ))
}

/// Rows by their framed keys: `k`, and as `h` the first [`COLUMN_HASH_BYTES`] of the hash of each column's frame, one
/// after another.
pub fn columns(of: &Digested<'_>, reads: Reads, keys: &[&[u8]]) -> Statement {
    let mut params = Params::default();
    let keys = list(
        keys.iter().map(|key| {
            let hex = key.iter().map(|byte| format!("{byte:02X}"));
            let hex = format!("0x{}", hex.collect::<String>());
            format!("CONVERT(varbinary(max), {}, 1)", params.text(hex))
        }),
        ", ",
    );
    let hashes = of.compared().map(|column| {
        let frame = framed(column.ty, &value(column), false);
        format!("SUBSTRING(HASHBYTES('SHA2_256', {frame}), 1, {COLUMN_HASH_BYTES})")
    });
    params.into_statement(format!(
        "{}SELECT r.k, r.h FROM (SELECT {} AS k, CONVERT(varbinary(max), 0x) + {} AS h FROM {}) AS r WHERE r.k IN \
({keys}) OPTION (RECOMPILE);",
        reads.options(),
        of.key("t"),
        list(hashes, " + "),
        of.from(),
    ))
}

/// The framed keys (`k`) of some buckets that Change Tracking has noted as changed since a version.
pub fn logged(of: &Digested<'_>, reads: Reads, since: i64, buckets: &[u32]) -> Statement {
    let mut params = Params::default();
    let since = params.int(since);
    let bucket = reads.bucket("r.k", &mut params);
    let buckets = numbers(buckets, &mut params);
    params.into_statement(format!(
        "{}SELECT r.k FROM (SELECT {} AS k FROM CHANGETABLE(CHANGES {}, {since}) AS c) AS r WHERE {bucket} IN \
({buckets}) OPTION (RECOMPILE);",
        reads.options(),
        of.key("c"),
        TableIdent(&of.table.name),
    ))
}

fn numbers(numbers: &[u32], params: &mut Params) -> String {
    let numbers = numbers.iter();
    list(numbers.map(|number| params.int(i64::from(*number))), ", ")
}

fn value(column: &Column) -> String {
    format!("t.{}", Ident(&column.name))
}

/// Frames one after another. What is not declared as `max` is cut off after 8,000 bytes.
fn chain(values: impl Iterator<Item = (SqlType, String, bool)>) -> String {
    let mut bytes_max = Some(0u32);
    let mut frames = Vec::new();
    for (ty, value, in_key) in values {
        frames.push(framed(ty, &value, in_key));
        let long = match size(ty) {
            Size::Exactly(bytes) | Size::AtMost(bytes) => Some(4 + u32::from(bytes)),
            Size::Long => None,
        };
        bytes_max = bytes_max.zip(long).map(|(sum, bytes)| sum + bytes);
    }
    let first = match bytes_max {
        Some(bytes) if bytes <= SHORT_MAX => "CONVERT(varbinary(8000), 0x)",
        Some(_) | None => "CONVERT(varbinary(max), 0x)",
    };
    format!("{first} + {}", list(frames, " + "))
}

/// Length and bytes of a value, or the mark of NULL.
fn framed(ty: SqlType, value: &str, in_key: bool) -> String {
    let bytes = bytes(ty, value, in_key);
    let counted = || format!("CONVERT(binary(4), CONVERT(int, DATALENGTH({bytes})))");
    let length = match size(ty) {
        Size::Exactly(length) if u32::from(length) + 4 <= SHORT_MAX => format!("0x{length:08X}"),
        Size::AtMost(length) if u32::from(length) + 4 <= SHORT_MAX => counted(),
        Size::Exactly(_) | Size::AtMost(_) | Size::Long => {
            format!("CONVERT(varbinary(max), {})", counted())
        }
    };
    format!("CASE WHEN {value} IS NULL THEN 0xFFFFFFFF ELSE {length} + {bytes} END")
}

/// The bytes of a value's form.
fn bytes(ty: SqlType, value: &str, in_key: bool) -> String {
    use SqlType as T;
    let ascii = |text: String| format!("CONVERT(varbinary(41), {text})");
    let moment = |value: &str| ascii(format!("CONVERT(varchar(41), {value}, 121)"));
    let decimal = |value: &str| ascii(format!("CONVERT(varchar(41), {value})"));
    let declared = |max: &str| match size(ty) {
        Size::Exactly(bytes) => format!("CONVERT({max}binary({bytes}), {value})"),
        Size::AtMost(bytes) => format!("CONVERT({max}binary({bytes}), {value})"),
        Size::Long => format!("CONVERT({max}binary(max), {value})"),
    };
    match ty {
        T::Bit | T::TinyInt | T::SmallInt | T::Int | T::BigInt => {
            format!("CONVERT(binary(8), CONVERT(bigint, {value}))")
        }
        T::Decimal { .. } | T::Numeric { .. } => decimal(value),
        T::Money => decimal(&format!("CONVERT(decimal(19,4), {value})")),
        T::SmallMoney => decimal(&format!("CONVERT(decimal(10,4), {value})")),
        T::Real | T::Float | T::UniqueIdentifier | T::RowVersion | T::Binary { .. } => declared(""),
        T::Date | T::Time { .. } | T::DateTime | T::DateTime2 { .. } => moment(value),
        // Its text has milliseconds, which it never has.
        T::SmallDateTime => moment(&format!("CONVERT(datetime2(0), {value})")),
        T::DateTimeOffset { .. } if in_key => moment(&format!("SWITCHOFFSET({value}, '+00:00')")),
        T::DateTimeOffset { .. } => moment(value),
        T::Char { .. } | T::VarChar { .. } | T::NChar { .. } | T::NVarChar { .. } => match size(ty)
        {
            Size::Exactly(bytes) | Size::AtMost(bytes) => {
                let units = bytes / 2;
                format!("CONVERT(varbinary({bytes}), CONVERT(nvarchar({units}), {value}))")
            }
            Size::Long => characters(value),
        },
        T::Text | T::NText | T::Xml | T::Json => characters(value),
        T::SqlVariant => format!("CONVERT(varbinary(max), {})", variant::read(value)),
        T::VarBinary { .. } | T::Image | T::HierarchyId | T::Geometry | T::Geography => {
            declared("var")
        }
        // It has no form.
        T::Vector { .. } => "0x".to_owned(),
    }
}

fn characters(value: &str) -> String {
    format!("CONVERT(varbinary(max), CONVERT(nvarchar(max), {value}))")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_frame_is_cut_off_after_8000_bytes() {
        let frame = |ty| framed(ty, "t.c", false);
        let long = SqlType::NVarChar { length: Some(4000) };
        assert!(frame(long).contains("ELSE CONVERT(varbinary(max), CONVERT(binary(4)"));
        let short = SqlType::NVarChar { length: Some(3998) };
        assert!(frame(short).contains("ELSE CONVERT(binary(4)"));
        let two = [short, short].map(|ty| (ty, "t.c".to_owned(), false));
        let begins = |types: &[(SqlType, String, bool)], begin: &str| {
            chain(types.iter().cloned()).starts_with(begin)
        };
        assert!(begins(&two[..1], "CONVERT(varbinary(8000), 0x)"));
        assert!(begins(&two, "CONVERT(varbinary(max), 0x)"));
    }

    #[test]
    fn values_of_one_size_are_framed_by_a_constant() {
        assert_eq!(
            framed(SqlType::Int, "t.c", false),
            "CASE WHEN t.c IS NULL THEN 0xFFFFFFFF ELSE 0x00000008 + CONVERT(binary(8), CONVERT(bigint, t.c)) END"
        );
    }
}
