//! Checksums of a table's rows, as [`crate::schema::digest`] defines them, and the rows of groups that differ.
//!
//! Every conversion names its style or has none, so its result does not depend on the session. A concatenation of sized
//! types is cut at 8,000 bytes without an error, so it begins with a `max` type wherever it might get there.

use super::{Ident, Params, Statement, TableIdent, list, read, typed, variant};
use crate::schema::digest::{Buckets, DECIMAL_CHARACTERS, Form, Span, fits_sized};
use crate::schema::{Column, SqlType, TableSchema};

/// What is summed up of a table.
#[derive(Debug, Clone, Copy)]
pub struct Digested<'a> {
    /// The columns that are compared, under the server's names and types, and the key among them.
    pub table: &'a TableSchema,
    /// Of each column.
    pub forms: &'a [Form],
    pub buckets: Buckets,
    /// A `bit` column that is 1 in rows that are left out.
    pub marked: Option<&'a str>,
}

/// Groups of rows: some as a whole, and parts of others.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Places {
    pub whole: Vec<Span>,
    /// A group and the parts of it.
    pub divided: Vec<(i64, Vec<i64>)>,
    /// Parts of each divided group.
    pub parts: i64,
}

/// `bucket`, `row_count` and `checksum` of each group that has rows; of all groups, or those of some spans.
pub fn digests(of: &Digested<'_>, spans: Option<&[Span]>) -> Statement {
    let mut params = Params::default();
    let bucket = of.bucket(&mut params);
    let filter = spans.map(|spans| of.inside(spans, &mut params));
    params.into_statement(format!(
        "SELECT d.bucket, COUNT_BIG(*) AS row_count, SUM(CONVERT(decimal(38, 0), d.addend)) AS checksum \
FROM (SELECT {bucket} AS bucket, {} AS addend FROM {} AS t{}) AS d GROUP BY d.bucket OPTION (RECOMPILE);",
        of.addend(),
        TableIdent(&of.table.name),
        of.filter(filter)
    ))
}

/// The same of `parts` parts of each group of some spans, with `part`.
pub fn digests_within(of: &Digested<'_>, spans: &[Span], parts: i64) -> Statement {
    let mut params = Params::default();
    let bucket = of.bucket(&mut params);
    let part = of.part(parts, &mut params);
    let filter = of.inside(spans, &mut params);
    params.into_statement(format!(
        "SELECT d.bucket, d.part, COUNT_BIG(*) AS row_count, SUM(CONVERT(decimal(38, 0), d.addend)) AS checksum \
FROM (SELECT {bucket} AS bucket, {part} AS part, {} AS addend FROM {} AS t{}) AS d GROUP BY d.bucket, d.part \
OPTION (RECOMPILE);",
        of.addend(),
        TableIdent(&of.table.name),
        of.filter(Some(filter))
    ))
}

/// The rows of groups, unordered, each column as an extract reads it.
pub fn bucket_rows(of: &Digested<'_>, places: &Places) -> Statement {
    let mut params = Params::default();
    let mut any = Vec::new();
    if !places.whole.is_empty() {
        any.push(of.inside(&places.whole, &mut params));
    }
    for (bucket, parts) in &places.divided {
        let inside = of.inside(&[(*bucket, *bucket)], &mut params);
        let part = of.part(places.parts, &mut params);
        let parts = list(parts.iter().map(|part| params.int(*part)), ", ");
        any.push(format!("(({inside}) AND {part} IN ({parts}))"));
    }
    params.into_statement(format!(
        "SELECT {} FROM {} AS t{} OPTION (RECOMPILE);",
        read::columns(of.table),
        TableIdent(&of.table.name),
        of.filter(Some(any.join(" OR ")))
    ))
}

/// The rows whose keys equal these as the server compares them: `place` in the list, from 0, and the first 16 bytes
/// of the hash of the key as the row has it (`digest`). Texts are in the order of the key's columns. There is at least
/// one key.
pub fn respelled(of: &Digested<'_>, keys: &[Vec<Option<String>>]) -> Statement {
    let mut params = Params::default();
    let hash = of.key_hash();
    let table = TableIdent(&of.table.name);
    let selects = (0..).zip(keys).map(|(place, key)| {
        let place = params.int(place);
        let columns = of.table.key_columns().zip(key);
        let equal = columns.map(|(column, text)| match text {
            Some(text) => {
                let value = typed(column, &params.text(text.as_str()));
                format!("t.{} = {value}", Ident(&column.name))
            }
            None => format!("t.{} IS NULL", Ident(&column.name)),
        });
        let filter = of.filter(Some(equal.collect::<Vec<_>>().join(" AND ")));
        format!(
            "SELECT {place} AS place, SUBSTRING({hash}, 1, 16) AS digest FROM {table} AS t{filter}"
        )
    });
    let selects = list(selects.collect::<Vec<_>>(), " UNION ALL ");
    params.into_statement(format!("{selects};"))
}

impl Digested<'_> {
    /// The hash of a key, which is of all columns where there is no key.
    fn key_hash(&self) -> String {
        let positions: Vec<usize> = match &self.table.key {
            Some(key) => key.columns.clone(),
            None => (0..self.table.columns.len()).collect(),
        };
        let forms = positions.iter().filter_map(|&at| {
            let column = self.table.columns.get(at)?;
            Some((column, self.forms.get(at)?.as_key()))
        });
        hash(forms)
    }

    /// The first 8 bytes of a row's hash as a number.
    fn addend(&self) -> String {
        let row = hash(self.table.columns.iter().zip(self.forms.iter().copied()));
        format!("CONVERT(bigint, SUBSTRING({row}, 1, 8))")
    }

    fn bucket(&self, params: &mut Params) -> String {
        match self.buckets {
            Buckets::Hash { count } => self.hashed(1, count, params),
            Buckets::Range { column, low, width } => {
                let name = self.name(column);
                let (low, width) = (params.int(low), params.int(width));
                format!("(CONVERT(bigint, {name}) - {low}) / {width}")
            }
        }
    }

    fn part(&self, parts: i64, params: &mut Params) -> String {
        self.hashed(4, parts, params)
    }

    /// Three bytes of the key's hash, as a number below `count`.
    fn hashed(&self, from: u8, count: i64, params: &mut Params) -> String {
        let count = params.int(count.max(1));
        format!(
            "CONVERT(bigint, SUBSTRING({}, {from}, 3)) % {count}",
            self.key_hash()
        )
    }

    /// Whether a row is in one of the groups.
    fn inside(&self, spans: &[Span], params: &mut Params) -> String {
        if let Buckets::Range { column, low, width } = self.buckets {
            let name = self.name(column);
            let spans = spans.iter().map(|span| {
                let (from, to) = Buckets::values(low, width, *span);
                let (from, to) = (params.int(from), params.int(to));
                format!("({name} >= {from} AND {name} <= {to})")
            });
            return list(spans.collect::<Vec<_>>(), " OR ");
        }
        let bucket = self.bucket(params);
        let (single, long): (Vec<Span>, Vec<Span>) =
            spans.iter().partition(|(from, to)| from == to);
        let mut any = Vec::new();
        if !single.is_empty() {
            let numbers = list(single.iter().map(|(number, _)| params.int(*number)), ", ");
            any.push(format!("{bucket} IN ({numbers})"));
        }
        for (from, to) in long {
            let (from, to) = (params.int(from), params.int(to));
            any.push(format!("{bucket} BETWEEN {from} AND {to}"));
        }
        any.join(" OR ")
    }

    fn name(&self, column: usize) -> String {
        let name = self
            .table
            .columns
            .get(column)
            .map_or("", |column| &*column.name);
        format!("t.{}", Ident(name))
    }

    /// A WHERE clause: a condition, and no marked rows.
    fn filter(&self, condition: Option<String>) -> String {
        let condition = condition.map(|condition| format!("({condition})"));
        let live = (self.marked.iter()).map(|name| format!("t.{} = 0", Ident(name)));
        let all: Vec<String> = condition.into_iter().chain(live).collect();
        match all.is_empty() {
            true => String::new(),
            false => format!(" WHERE {}", all.join(" AND ")),
        }
    }
}

/// The SHA-256 of values, framed and put together.
fn hash<'a>(columns: impl Iterator<Item = (&'a Column, Form)>) -> String {
    let columns: Vec<(&Column, Form)> = columns.collect();
    let is_sized = fits_sized(columns.iter().map(|(_, form)| *form));
    let begin = (!is_sized).then(|| "CONVERT(varbinary(max), 0x)".to_owned());
    let framed = columns.iter().map(|(column, form)| framed(column, *form));
    let all = list(begin.into_iter().chain(framed), " + ");
    format!("HASHBYTES('SHA2_256', {all})")
}

/// NULL or not, the length where it varies, and the bytes.
fn framed(column: &Column, form: Form) -> String {
    let bytes = bytes(column.ty, form, &format!("t.{}", Ident(&column.name)));
    match form.fixed() {
        Some(_) => format!("ISNULL(0x01 + {bytes}, 0x00)"),
        None => format!(
            "ISNULL(0x01 + CONVERT(varbinary(4), CONVERT(int, DATALENGTH({bytes}))) + {bytes}, 0x00)"
        ),
    }
}

/// The bytes of a value; NULL of NULL.
fn bytes(ty: SqlType, form: Form, value: &str) -> String {
    let sized = |length: Option<u16>| length.map_or("max".to_owned(), |length| length.to_string());
    // Of a form with one length for all values.
    let width = form.fixed().unwrap_or(0);
    match form {
        Form::Whole => format!("CONVERT(varbinary(8), CONVERT(bigint, {value}))"),
        Form::Decimal { .. } => {
            let width = DECIMAL_CHARACTERS;
            format!("CONVERT(varbinary({width}), CONVERT(char({width}), {value}))")
        }
        Form::Money => format!("CONVERT(varbinary(8), CONVERT(money, {value}))"),
        Form::Real | Form::Float => format!("CONVERT(varbinary({width}), {value})"),
        Form::Date => format!(
            "CONVERT(varbinary(4), DATEDIFF(day, CONVERT(date, '0001-01-01', 121), {value}))"
        ),
        Form::Time { digits } | Form::Moment { digits } | Form::Local { digits } => {
            let text = moment(ty, digits, width, value);
            format!("CONVERT(varbinary({width}), {text})")
        }
        // In UTC, and without the offset that ends the text.
        Form::Instant { .. } => format!(
            "CONVERT(varbinary({width}), LEFT(CONVERT(varchar(34), SWITCHOFFSET({value}, '+00:00'), 121), {width}))"
        ),
        Form::Text { units } => {
            let length = sized(units.and_then(|units| units.checked_mul(2)));
            let units = sized(units);
            format!("CONVERT(varbinary({length}), CONVERT(nvarchar({units}), {value}))")
        }
        Form::TypedText => format!("CONVERT(varbinary(max), {})", variant::read(value)),
        Form::Bytes { length } => format!("CONVERT(varbinary({}), {value})", sized(length)),
        Form::Guid => format!("CONVERT(varbinary(16), {value})"),
    }
}

/// A date or time as text of `width` characters, with so many digits of the second.
fn moment(ty: SqlType, digits: u8, width: u8, value: &str) -> String {
    let shown = |scale: u8, style: u8| match scale == digits {
        true => format!("CONVERT(varchar({width}), {value}, {style})"),
        false => format!("LEFT(CONVERT(varchar(34), {value}, {style}), {width})"),
    };
    match ty {
        SqlType::Time { scale }
        | SqlType::DateTime2 { scale }
        | SqlType::DateTimeOffset { scale } => shown(scale, 121),
        SqlType::DateTime => shown(3, 121),
        // Style 121 shows milliseconds, which it does not have.
        SqlType::SmallDateTime => shown(0, 120),
        SqlType::Bit
        | SqlType::TinyInt
        | SqlType::SmallInt
        | SqlType::Int
        | SqlType::BigInt
        | SqlType::Decimal { .. }
        | SqlType::Numeric { .. }
        | SqlType::Money
        | SqlType::SmallMoney
        | SqlType::Real
        | SqlType::Float
        | SqlType::Date
        | SqlType::Char { .. }
        | SqlType::VarChar { .. }
        | SqlType::Text
        | SqlType::NChar { .. }
        | SqlType::NVarChar { .. }
        | SqlType::NText
        | SqlType::Binary { .. }
        | SqlType::VarBinary { .. }
        | SqlType::Image
        | SqlType::UniqueIdentifier
        | SqlType::RowVersion
        | SqlType::Xml
        | SqlType::SqlVariant
        | SqlType::HierarchyId
        | SqlType::Geometry
        | SqlType::Geography
        | SqlType::Json
        | SqlType::Vector { .. } => shown(digits, 121),
    }
}
