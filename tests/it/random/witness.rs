//! What source and target hold, told without icesync's own decoders: by the stand-in's engine in this process, or
//! by the server itself in T-SQL.

use super::tables::{Table, declared, ident};
use crate::harness::{PASSWORD, server};
use icesync_sandbox::session::{ColumnMeta, Event, Login, Server as _, Sink};
use icesync_sandbox::value::{SqlType, Value};
use serde_json::{Map, Value as Json, json};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Rows as the engine keeps them, with their columns.
#[derive(Debug, Clone, Default)]
pub struct Rows {
    pub columns: Vec<ColumnMeta>,
    pub rows: Vec<Vec<Value>>,
}

#[derive(Default)]
struct Collect {
    into: Rows,
    error: Option<String>,
}

impl Sink for Collect {
    fn send(&mut self, event: Event) -> bool {
        match event {
            Event::Columns(columns) => self.into.columns = columns,
            Event::Rows(rows) => self.into.rows.extend(rows),
            Event::Error(error) => self.error = Some(error.to_string()),
            Event::Done { .. }
            | Event::Info(_)
            | Event::Database(_)
            | Event::TranBegin(_)
            | Event::TranEnd { .. } => {}
        }
        true
    }
}

/// A table's rows, straight from the engine of the stand-in.
pub fn rows(database: &str, table: &Table) -> Rows {
    let engine = server().engine().expect("the stand-in");
    let login = Login {
        user: "sa",
        password: PASSWORD,
        database,
        app_name: "witness",
        host_name: "",
        read_only: false,
        odbc: true,
    };
    let mut session = engine.login(login).expect("a login");
    let names: Vec<String> = table
        .columns
        .iter()
        .map(|column| ident(&column.name))
        .collect();
    let sql = format!("SELECT {} FROM {}", names.join(", "), table.full_name());
    let mut sink = Collect::default();
    session.batch(&sql, &Arc::new(AtomicBool::new(false)), &mut sink);
    session.close();
    assert_eq!(sink.error, None, "{sql}");
    sink.into
}

/// A row as text in which no two different values are alike.
fn exact(row: &[Value]) -> String {
    let cell = |value: &Value| match value {
        Value::Real(value) => format!("real {:08x}", value.to_bits()),
        Value::Float(value) => format!("float {:016x}", value.to_bits()),
        Value::Str(units) => format!("{} {units:04x?}", String::from_utf16_lossy(units)),
        Value::Variant(inner) => match &inner.1 {
            Value::Real(value) => format!("variant real {:08x}", value.to_bits()),
            Value::Float(value) => format!("variant float {:016x}", value.to_bits()),
            _ => format!("{inner:?}"),
        },
        other => format!("{other:?}"),
    };
    row.iter().map(cell).collect::<Vec<_>>().join(" | ")
}

/// What `fidelity: standard` leaves of a value.
fn shortened(value: &Value) -> Value {
    match *value {
        Value::Time(ticks) => Value::Time(ticks / 10 * 10),
        Value::DateTime2 { days, ticks } => Value::DateTime2 {
            days,
            ticks: ticks / 10 * 10,
        },
        Value::DateTimeOffset { days, ticks, .. } => Value::DateTimeOffset {
            days,
            ticks: ticks / 10 * 10,
            offset_minutes: 0,
        },
        _ => value.clone(),
    }
}

impl Rows {
    /// The same rows with what `fidelity: standard` keeps, and how many values that changed.
    pub fn standard(&self) -> (Self, u64) {
        let mut changed = 0;
        let mut row = |row: &Vec<Value>| {
            let short: Vec<Value> = row.iter().map(shortened).collect();
            changed += short.iter().zip(row).filter(|(a, b)| a != b).count() as u64;
            short
        };
        let rows = self.rows.iter().map(&mut row).collect();
        (
            Self {
                columns: self.columns.clone(),
                rows,
            },
            changed,
        )
    }

    pub fn and(mut self, other: &Self) -> Self {
        self.rows.extend(other.rows.iter().cloned());
        self
    }

    /// Without the rows of another table, each as often as it is there.
    pub fn minus(&self, other: &Self) -> Self {
        let mut gone = other.sorted();
        let rows = self
            .rows
            .iter()
            .filter(|row| match gone.binary_search(&exact(row)) {
                Ok(at) => {
                    gone.remove(at);
                    false
                }
                Err(_) => true,
            });
        Self {
            rows: rows.cloned().collect(),
            columns: self.columns.clone(),
        }
    }

    /// Every row as text, in an order of their own.
    pub fn sorted(&self) -> Vec<String> {
        let mut texts: Vec<String> = self.rows.iter().map(|row| exact(row)).collect();
        texts.sort();
        texts
    }

    /// Bit for bit, in any order; the first differences otherwise.
    pub fn differences(&self, target: &Self) -> Vec<String> {
        let mut lines = Vec::new();
        for (kept, copy) in self.columns.iter().zip(&target.columns) {
            let ty = match &kept.ty {
                SqlType::RowVersion => SqlType::Binary(8),
                other => other.clone(),
            };
            let same = (&kept.name, &ty, kept.nullable, &kept.collation)
                == (&copy.name, &copy.ty, copy.nullable, &copy.collation);
            if !same {
                lines.push(format!("column {kept:?} became {copy:?}"));
            }
        }
        let (mut source, mut copy) = (
            self.sorted().into_iter().peekable(),
            target.sorted().into_iter().peekable(),
        );
        while lines.len() < 6 {
            match (source.peek(), copy.peek()) {
                (None, None) => break,
                (Some(a), Some(b)) if a == b => {
                    source.next();
                    copy.next();
                }
                (Some(a), b) if b.is_none_or(|b| a < b) => {
                    lines.extend(source.next().map(|row| format!("only the source: {row}")))
                }
                _ => lines.extend(copy.next().map(|row| format!("only the target: {row}"))),
            }
        }
        lines
    }

    /// The rows that readers of the lake must see, as `tests/interop/read_lake.py` spells values.
    pub fn lake(&self, standard: bool) -> Vec<Json> {
        self.rows
            .iter()
            .map(|row| {
                let mut fields = Map::new();
                for (column, value) in self.columns.iter().zip(row) {
                    lake_fields(&column.name, &column.ty, value, standard, &mut fields);
                }
                Json::Object(fields)
            })
            .collect()
    }
}

const TICKS_A_DAY: u64 = 864_000_000_000;

fn date(days: i64) -> String {
    let days = i32::try_from(days).expect("a day") + 1;
    chrono::NaiveDate::from_num_days_from_ce_opt(days)
        .expect("a date")
        .format("%Y-%m-%d")
        .to_string()
}

fn time(ticks: u64) -> String {
    assert!(ticks < TICKS_A_DAY);
    let seconds = ticks / 10_000_000;
    format!(
        "{:02}:{:02}:{:02}.{:06}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60,
        ticks % 10_000_000 / 10
    )
}

fn decimal(unscaled: i128, scale: u8) -> String {
    let digits = format!(
        "{:0>width$}",
        unscaled.unsigned_abs(),
        width = usize::from(scale) + 1
    );
    let (whole, fraction) = digits.split_at(digits.len() - usize::from(scale));
    let sign = if unscaled < 0 { "-" } else { "" };
    if fraction.is_empty() {
        format!("{sign}{whole}")
    } else {
        format!("{sign}{whole}.{fraction}")
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// 1900-01-01 in days since 0001-01-01.
const DAYS_TO_1900: i64 = 693_595;

fn lake_fields(
    name: &str,
    ty: &SqlType,
    value: &Value,
    standard: bool,
    fields: &mut Map<String, Json>,
) {
    let seventh = |ticks: u64| {
        (!standard
            && matches!(
                ty,
                SqlType::Time(7) | SqlType::DateTime2(7) | SqlType::DateTimeOffset(7)
            ))
        .then_some(ticks % 10)
    };
    let mut ticks_companion = None;
    let shown = match value {
        Value::Null => Json::Null,
        Value::Bit(value) => json!(value),
        Value::TinyInt(value) => json!(value),
        Value::SmallInt(value) => json!(value),
        Value::Int(value) => json!(value),
        Value::BigInt(value) => json!(value),
        Value::Decimal { unscaled, scale } => json!(decimal(*unscaled, *scale)),
        Value::Money(units) => json!(decimal((*units).into(), 4)),
        Value::Real(value) => json!(f64::from(*value)),
        Value::Float(value) => json!(value),
        Value::Date(days) => json!(date((*days).into())),
        Value::Time(ticks) => {
            ticks_companion = seventh(*ticks);
            json!(time(*ticks))
        }
        Value::DateTime { days, ticks } => {
            // Three hundredths of a second, shown in whole milliseconds.
            let millis = (f64::from(*ticks) * 10.0 / 3.0).round() as u64;
            json!(format!(
                "{}T{}",
                date(i64::from(*days) + DAYS_TO_1900),
                time(millis * 10_000)
            ))
        }
        Value::SmallDateTime { days, minutes } => {
            json!(format!(
                "{}T{}",
                date(i64::from(*days) + DAYS_TO_1900),
                time(u64::from(*minutes) * 600_000_000)
            ))
        }
        Value::DateTime2 { days, ticks } => {
            ticks_companion = seventh(*ticks);
            json!(format!("{}T{}", date((*days).into()), time(*ticks)))
        }
        Value::DateTimeOffset {
            days,
            ticks,
            offset_minutes,
        } => {
            ticks_companion = seventh(*ticks);
            if !standard {
                fields.insert(format!("{name}__offset"), json!(offset_minutes));
            }
            json!(format!("{}T{}+00:00", date((*days).into()), time(*ticks)))
        }
        Value::Str(units) => json!(String::from_utf16(units).expect("whole characters")),
        Value::Bytes(bytes) => json!(hex(bytes)),
        Value::Guid(bytes) => json!(uuid::Uuid::from_bytes_le(*bytes).to_string()),
        Value::Variant(inner) => {
            let (ty, value, collation) = inner.as_ref();
            let collate = collation
                .as_ref()
                .map_or_else(String::new, |name| format!(" COLLATE {}", name.0));
            fields.insert(format!("{name}__type"), json!(declared(ty) + &collate));
            json!(variant_text(value))
        }
    };
    if let Some(ticks) = ticks_companion {
        fields.insert(format!("{name}__100ns"), json!(ticks));
    }
    fields.insert(name.to_owned(), shown);
}

/// A value inside a `sql_variant` as the server writes it.
fn variant_text(value: &Value) -> String {
    let float = |text: String| {
        let (mantissa, exponent) = text.split_once('e').expect("an exponent");
        let exponent: i32 = exponent.parse().expect("a number");
        let sign = if exponent < 0 { '-' } else { '+' };
        format!("{mantissa}e{sign}{:03}", exponent.abs())
    };
    let clock = |ticks: u64| time(ticks) + &(ticks % 10).to_string();
    match value {
        Value::Bit(value) => u8::from(*value).to_string(),
        Value::TinyInt(value) => value.to_string(),
        Value::SmallInt(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::BigInt(value) => value.to_string(),
        Value::Decimal { unscaled, scale } => decimal(*unscaled, *scale),
        Value::Money(units) => decimal((*units).into(), 4),
        Value::Real(value) => float(format!("{value:.8e}")),
        Value::Float(value) => float(format!("{value:.16e}")),
        Value::Date(days) => date((*days).into()),
        Value::Time(ticks) => clock(*ticks),
        Value::DateTime { days, ticks } => {
            let millis = (f64::from(*ticks) * 10.0 / 3.0).round() as u64;
            let clock = time(millis * 10_000);
            format!("{} {}", date(i64::from(*days) + DAYS_TO_1900), &clock[..12])
        }
        Value::SmallDateTime { days, minutes } => {
            let clock = time(u64::from(*minutes) * 600_000_000);
            format!("{} {}", date(i64::from(*days) + DAYS_TO_1900), &clock[..12])
        }
        Value::DateTime2 { days, ticks } => format!("{} {}", date((*days).into()), clock(*ticks)),
        Value::DateTimeOffset {
            days,
            ticks,
            offset_minutes,
        } => {
            let local = i64::from(*days) * TICKS_A_DAY as i64
                + *ticks as i64
                + i64::from(*offset_minutes) * 600_000_000;
            let (day, ticks) = (
                local.div_euclid(TICKS_A_DAY as i64),
                local.rem_euclid(TICKS_A_DAY as i64),
            );
            let sign = if *offset_minutes < 0 { '-' } else { '+' };
            let offset = offset_minutes.abs();
            format!(
                "{} {} {sign}{:02}:{:02}",
                date(day),
                clock(ticks as u64),
                offset / 60,
                offset % 60
            )
        }
        Value::Str(units) => String::from_utf16(units).expect("whole characters"),
        Value::Bytes(bytes) => format!("0x{}", hex(bytes).to_uppercase()),
        Value::Guid(bytes) => uuid::Uuid::from_bytes_le(*bytes).to_string().to_uppercase(),
        Value::Null | Value::Variant(_) => panic!("not in a sql_variant"),
    }
}

/// A query whose answer tells every value exactly, as text and bytes.
pub fn query(table: &Table) -> String {
    let cells: Vec<String> = table
        .columns
        .iter()
        .map(|column| {
            let name = ident(&column.name);
            match column.ty {
                SqlType::Real | SqlType::Float | SqlType::DateTime | SqlType::SmallDateTime | SqlType::RowVersion => {
                    format!("CONVERT(varchar(40), CONVERT(varbinary(8), {name}), 1)")
                }
                SqlType::Date | SqlType::Time(_) | SqlType::DateTime2(_) | SqlType::DateTimeOffset(_) => {
                    format!("CONVERT(varchar(40), {name}, 121)")
                }
                SqlType::Money | SqlType::SmallMoney => format!("CONVERT(varchar(60), {name}, 2)"),
                SqlType::Bit
                | SqlType::TinyInt
                | SqlType::SmallInt
                | SqlType::Int
                | SqlType::BigInt
                | SqlType::Decimal { .. }
                | SqlType::UniqueIdentifier => format!("CONVERT(varchar(60), {name})"),
                SqlType::Char(_) | SqlType::VarChar(_) | SqlType::Text => {
                    format!("CONVERT(varbinary(max), CONVERT(varchar(max), {name}))")
                }
                SqlType::NChar(_) | SqlType::NVarChar(_) | SqlType::NText | SqlType::Xml => {
                    format!("CONVERT(varbinary(max), CONVERT(nvarchar(max), {name}))")
                }
                SqlType::Binary(_)
                | SqlType::VarBinary(_)
                | SqlType::Image
                | SqlType::HierarchyId
                | SqlType::Geometry
                | SqlType::Geography => format!("CONVERT(varbinary(max), {name})"),
                SqlType::SqlVariant => format!(
                    "CONCAT(CONVERT(nvarchar(128), SQL_VARIANT_PROPERTY({name}, 'BaseType')), N' ', \
CONVERT(nvarchar(10), SQL_VARIANT_PROPERTY({name}, 'Precision')), N' ', CONVERT(nvarchar(10), \
SQL_VARIANT_PROPERTY({name}, 'Scale')), N' ', \
CONVERT(nvarchar(10), SQL_VARIANT_PROPERTY({name}, 'MaxLength')), N' ', CONVERT(nvarchar(128), \
SQL_VARIANT_PROPERTY({name}, 'Collation'))), \
CASE WHEN CONVERT(nvarchar(128), SQL_VARIANT_PROPERTY({name}, 'BaseType')) IN (N'date', N'time', N'datetime2', \
N'datetimeoffset') \
THEN CONVERT(varbinary(8000), CONVERT(nvarchar(60), {name}, 121)) ELSE CONVERT(varbinary(8000), {name}) END"
                ),
            }
        })
        .collect();
    format!("SELECT {} FROM {}", cells.join(", "), table.full_name())
}
