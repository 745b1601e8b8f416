use super::*;
use crate::schema::mapping::{cell_text, lake_schema};
use crate::schema::{Collation, Generated, Key, KeyOrigin, SqlType, TableKind, TableName};
use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal128Type, Int32Type, TimestampMicrosecondType};

fn column(name: &str, ty: SqlType) -> Column {
    Column {
        id: 0,
        name: name.into(),
        ty,
        nullable: true,
        collation: None,
        generated: Generated::No,
    }
}

fn table(columns: Vec<Column>, key: &[usize]) -> TableSchema {
    TableSchema {
        name: TableName {
            schema: "dbo".into(),
            name: "t".into(),
        },
        columns,
        key: (!key.is_empty()).then(|| Key {
            columns: key.to_vec(),
            origin: KeyOrigin::PrimaryKey,
        }),
    }
}

struct Bench {
    table: TableSchema,
    lake: LakeSchema,
    decoder: Decoder,
}

impl Bench {
    fn new(ty: SqlType, fidelity: Fidelity) -> Self {
        let table = table(vec![column("c", ty)], &[]);
        let lake = lake_schema(&table, TableKind::Mirror, fidelity).unwrap();
        let decoder = Decoder::new(&table, &lake, fidelity).unwrap();
        Self {
            table,
            lake,
            decoder,
        }
    }

    /// Writes one value and says what SQL Server would be told of it.
    fn text(&mut self, write: impl FnOnce(&mut Decoder)) -> String {
        write(&mut self.decoder);
        self.decoder.end_row();
        if let Some(fault) = self.decoder.take_fault() {
            panic!("{fault}");
        }
        let batch = self.decoder.finish().unwrap();
        cell_text(&batch, &self.lake, &self.table, 0, 0)
            .unwrap()
            .unwrap_or_else(|| "NULL".into())
    }

    fn fault(&mut self, write: impl FnOnce(&mut Decoder)) -> String {
        write(&mut self.decoder);
        self.decoder.end_row();
        self.decoder.take_fault().unwrap().to_string()
    }
}

fn one(ty: SqlType, write: impl FnOnce(&mut Decoder)) -> String {
    Bench::new(ty, Fidelity::Exact).text(write)
}

fn time(ticks: u64, scale: u8) -> SqlTime {
    SqlTime {
        time_nanoseconds: ticks,
        scale,
    }
}

const LAST_TICK: u64 = TICKS_A_DAY - 1;

#[test]
fn numbers_keep_every_digit() {
    assert_eq!(one(SqlType::Bit, |d| d.write_bool(0, true)), "1");
    assert_eq!(one(SqlType::TinyInt, |d| d.write_u8(0, 255)), "255");
    assert_eq!(
        one(SqlType::SmallInt, |d| d.write_i16(0, i16::MIN)),
        "-32768"
    );
    assert_eq!(
        one(SqlType::Int, |d| d.write_i32(0, i32::MIN)),
        "-2147483648"
    );
    assert_eq!(
        one(SqlType::BigInt, |d| d.write_i64(0, i64::MIN)),
        i64::MIN.to_string()
    );
    assert_eq!(
        one(SqlType::Real, |d| d.write_f32(0, f32::MAX)),
        "3.4028235e38"
    );
    assert_eq!(one(SqlType::Float, |d| d.write_f64(0, -0.0)), "-0e0");
    assert_eq!(one(SqlType::Float, |d| d.write_f64(0, 5e-324)), "5e-324");
    let widest = SqlType::Decimal {
        precision: 38,
        scale: 10,
    };
    let parts = |positive, magnitude| DecimalParts::new(positive, 38, 10, magnitude);
    assert_eq!(
        one(widest, |d| d.write_decimal(0, parts(false, DECIMAL_MAX))),
        "-9999999999999999999999999999.9999999999"
    );
    assert_eq!(
        one(widest, |d| d.write_numeric(0, parts(false, 0))),
        "0.0000000000"
    );
    let money = |value: i64| SqlMoney {
        lsb_part: value as i32,
        msb_part: (value >> 32) as i32,
    };
    assert_eq!(
        one(SqlType::Money, |d| d.write_money(0, money(i64::MIN))),
        "-922337203685477.5808"
    );
    assert_eq!(
        one(SqlType::Money, |d| d.write_money(0, money(i64::MAX))),
        "922337203685477.5807"
    );
    assert_eq!(
        one(SqlType::Money, |d| d.write_money(0, money(-1))),
        "-0.0001"
    );
    assert_eq!(
        one(SqlType::SmallMoney, |d| d
            .write_smallmoney(0, SqlSmallMoney { int_val: i32::MIN })),
        "-214748.3648"
    );
}

#[test]
fn times_keep_every_tick() {
    let date = |days| SqlDate::create(days).unwrap();
    assert_eq!(
        one(SqlType::Date, |d| d.write_date(0, date(0))),
        "0001-01-01"
    );
    assert_eq!(
        one(SqlType::Date, |d| d.write_date(0, date(3_652_058))),
        "9999-12-31"
    );
    assert_eq!(
        one(SqlType::Time { scale: 7 }, |d| d
            .write_time(0, time(LAST_TICK, 7))),
        "23:59:59.9999999"
    );
    assert_eq!(
        one(SqlType::Time { scale: 0 }, |d| d.write_time(0, time(0, 0))),
        "00:00:00"
    );
    let last = || SqlDateTime2 {
        days: 3_652_058,
        time: time(LAST_TICK, 7),
    };
    assert_eq!(
        one(SqlType::DateTime2 { scale: 7 }, |d| d
            .write_datetime2(0, last())),
        "9999-12-31 23:59:59.9999999"
    );
    let first = SqlDateTime2 {
        days: 0,
        time: time(30_000, 3),
    };
    assert_eq!(
        one(SqlType::DateTime2 { scale: 3 }, |d| d
            .write_datetime2(0, first)),
        "0001-01-01 00:00:00.003"
    );
    let offset = SqlDateTimeOffset {
        datetime2: last(),
        offset: -840,
    };
    assert_eq!(
        one(SqlType::DateTimeOffset { scale: 7 }, |d| d
            .write_datetimeoffset(0, offset)),
        "9999-12-31 09:59:59.9999999 -14:00"
    );
    for (three_hundredths, expected) in
        [(0, "000"), (1, "003"), (2, "007"), (3, "010"), (299, "997")]
    {
        let value = SqlDateTime {
            days: -53_690,
            time: three_hundredths,
        };
        assert_eq!(
            one(SqlType::DateTime, |d| d.write_datetime(0, value)),
            format!("1753-01-01 00:00:00.{expected}")
        );
    }
    let value = SqlDateTime {
        days: 2_958_463,
        time: THREE_HUNDREDTHS_A_DAY - 1,
    };
    assert_eq!(
        one(SqlType::DateTime, |d| d.write_datetime(0, value)),
        "9999-12-31 23:59:59.997"
    );
    let value = SqlSmallDateTime {
        days: u16::MAX,
        time: 1439,
    };
    assert_eq!(
        one(SqlType::SmallDateTime, |d| d.write_smalldatetime(0, value)),
        "2079-06-06 23:59:00"
    );
}

#[test]
fn bytes_and_identifiers_keep_their_order() {
    let text = "6f9619ff-8b86-d011-b42d-00c04fc964ff";
    let uuid = Uuid::parse_str(text).unwrap();
    assert_eq!(
        one(SqlType::UniqueIdentifier, |d| d.write_uuid(0, uuid)),
        text
    );
    let version = [0, 0, 0, 0, 0, 0, 7, 0xD1];
    assert_eq!(
        one(SqlType::RowVersion, |d| d
            .write_bytes(0, Cow::Borrowed(&version))),
        "0x00000000000007D1"
    );
    let max = SqlType::VarBinary { length: None };
    assert_eq!(one(max, |d| d.write_bytes(0, Cow::Borrowed(&[]))), "0x");
    assert_eq!(one(max, |d| d.write_null(0)), "NULL");
}

#[test]
fn text_is_read_in_its_own_encoding() {
    let utf16: Vec<u8> = "訂單 😀 "
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    let wide = SqlType::NVarChar { length: Some(20) };
    assert_eq!(
        one(wide, |d| d.write_string(
            0,
            Cow::Borrowed(&utf16),
            EncodingType::Utf16
        )),
        "訂單 😀 "
    );
    for (code_page, bytes, expected) in [
        (1252, &b"caf\xE9 \x80"[..], "café €"),
        (65001, "café €".as_bytes(), "café €"),
    ] {
        let narrow = Column {
            collation: Some(Collation {
                name: "x".into(),
                code_page,
            }),
            ..column("c", SqlType::VarChar { length: Some(20) })
        };
        let table = table(vec![narrow], &[]);
        let lake = lake_schema(&table, TableKind::Mirror, Fidelity::Exact).unwrap();
        let decoder = Decoder::new(&table, &lake, Fidelity::Exact).unwrap();
        let mut bench = Bench {
            table,
            lake,
            decoder,
        };
        let text = bench.text(|d| d.write_string(0, Cow::Borrowed(bytes), EncodingType::Utf8));
        assert_eq!(text, expected);
    }
}

#[test]
fn half_a_surrogate_pair_is_refused_or_counted() {
    let bad = [0x41, 0, 0x00, 0xD8];
    let write = |d: &mut Decoder| d.write_string(0, Cow::Borrowed(&bad), EncodingType::Utf16);
    let ty = SqlType::NVarChar { length: Some(5) };
    let fault = Bench::new(ty, Fidelity::Exact).fault(write);
    assert!(
        fault.contains("column c (nvarchar(5)) of dbo.t") && fault.contains("fidelity"),
        "{fault}"
    );
    let mut standard = Bench::new(ty, Fidelity::Standard);
    assert_eq!(standard.text(write), "A\u{FFFD}");
    assert_eq!(standard.decoder.truncations(), 1);
}

#[test]
fn standard_fidelity_truncates_and_counts_values() {
    let mut bench = Bench::new(SqlType::DateTimeOffset { scale: 7 }, Fidelity::Standard);
    for (ticks, offset) in [(11, 60), (10, 0), (10, 60), (11, 0)] {
        bench.decoder.write_datetimeoffset(
            0,
            SqlDateTimeOffset {
                datetime2: SqlDateTime2 {
                    days: 719_162,
                    time: time(ticks, 7),
                },
                offset,
            },
        );
        bench.decoder.end_row();
    }
    let batch = bench.decoder.finish().unwrap();
    assert_eq!(batch.num_columns(), 1);
    let values = batch.column(0).as_primitive::<TimestampMicrosecondType>();
    assert!(values.values().iter().all(|&micros| micros == 1));
    assert_eq!(bench.decoder.truncations(), 3);
}

#[test]
fn impossible_values_are_refused_by_name() {
    let fault = Bench::new(SqlType::Time { scale: 7 }, Fidelity::Exact)
        .fault(|d| d.write_time(0, time(TICKS_A_DAY, 7)));
    assert!(fault.contains("24 hours"), "{fault}");
    let fault = Bench::new(
        SqlType::Decimal {
            precision: 5,
            scale: 2,
        },
        Fidelity::Exact,
    )
    .fault(|d| d.write_decimal(0, DecimalParts::new(true, 5, 3, 1)));
    assert!(fault.contains("another scale"), "{fault}");
    let fault = Bench::new(SqlType::Int, Fidelity::Exact).fault(|d| d.write_i64(0, 1));
    assert!(fault.contains("bigint"), "{fault}");
}

#[test]
fn a_null_key_is_refused() {
    let table = table(vec![column("id", SqlType::Int)], &[0]);
    let lake = lake_schema(&table, TableKind::Mirror, Fidelity::Exact).unwrap();
    let mut decoder = Decoder::new(&table, &lake, Fidelity::Exact).unwrap();
    decoder.write_null(0);
    decoder.end_row();
    assert!(
        decoder
            .take_fault()
            .unwrap()
            .to_string()
            .contains("key is NULL")
    );
    // The decoder serves the next read.
    decoder.reset().unwrap();
    decoder.write_i32(0, 5);
    decoder.end_row();
    assert_eq!(decoder.finish().unwrap().num_rows(), 1);
}

#[test]
fn batches_hold_nulls_and_companions_side_by_side() {
    let table = table(
        vec![
            column("id", SqlType::Int),
            column("at", SqlType::DateTime2 { scale: 7 }),
            column(
                "d",
                SqlType::Decimal {
                    precision: 9,
                    scale: 2,
                },
            ),
        ],
        &[0],
    );
    let lake = lake_schema(&table, TableKind::History, Fidelity::Exact).unwrap();
    let mut decoder = Decoder::new(&table, &lake, Fidelity::Exact).unwrap();
    let limits = BatchLimits {
        rows: 3,
        bytes: usize::MAX,
    };
    for id in 0..3 {
        assert!(!decoder.is_full(limits));
        decoder.write_i32(0, id);
        if id == 1 {
            decoder.write_null(1);
            decoder.write_null(2);
        } else {
            let at = SqlDateTime2 {
                days: 719_162,
                time: time(123, 7),
            };
            decoder.write_datetime2(1, at);
            decoder.write_decimal(2, DecimalParts::new(false, 9, 2, 105));
        }
        decoder.end_row();
    }
    assert!(decoder.is_full(limits));
    let batch = decoder.finish().unwrap();
    // The history columns are the writer's.
    let names: Vec<_> = batch
        .schema()
        .fields()
        .iter()
        .map(|f| f.name().clone())
        .collect();
    assert_eq!(names, ["id", "at", "at__100ns", "d"]);
    let ticks = batch.column(2).as_primitive::<Int32Type>();
    assert_eq!((ticks.value(0), ticks.is_null(1)), (3, true));
    let decimals = batch.column(3).as_primitive::<Decimal128Type>();
    assert_eq!((decimals.value(2), decimals.is_null(1)), (-105, true));
    assert_eq!(decoder.rows(), 0);
}

use arrow_array::Array;

#[test]
fn reading_can_be_spawned() {
    fn is_send<T: Send>(_: &T) {}
    // Never polled: only its type matters.
    async fn spawned(channel: &mut super::super::Channel, decoder: &mut Decoder) {
        let (sender, _receiver) = tokio::sync::mpsc::channel(1);
        let statement = crate::mssql::sql::Statement::plain("SELECT 1");
        let limits = BatchLimits { rows: 1, bytes: 1 };
        let reading = channel.read(&statement, decoder, limits, &sender);
        is_send(&reading);
        let _ = reading.await;
        let running = channel.run("SELECT 1");
        is_send(&running);
        let _ = running.await;
        let (_, mut batches) = tokio::sync::mpsc::channel(1);
        let options = crate::mssql::bulk::BulkOptions::default();
        let sending = channel.bulk_insert("t", &[], &[], &mut batches, options);
        is_send(&sending);
        let _ = sending.await;
    }
    async fn controlled(control: &mut crate::mssql::control::Control) {
        let statement = crate::mssql::sql::Statement::plain("SELECT 1");
        let asking = control.query(&statement);
        is_send(&asking);
        let _ = asking.await;
    }
    let _ = (spawned, controlled);
}

#[test]
fn a_vector_keeps_every_bit() {
    let ty = SqlType::Vector { dimensions: 4 };
    let vector = |elements: &[f32]| SqlVector::try_from_f32(elements.to_vec()).unwrap();
    let mut bench = Bench::new(ty, Fidelity::Exact);
    bench
        .decoder
        .write_vector(0, vector(&[0.1, 1.000_000_1, -0.0, 1e-45]));
    bench.decoder.end_row();
    bench.decoder.write_null(0);
    bench.decoder.end_row();
    assert!(bench.decoder.take_fault().is_none());
    let batch = bench.decoder.finish().unwrap();
    let texts = batch.column(0).as_string::<i32>();
    assert_eq!(texts.value(0), "[0.1,1.0000001,-0.0,1e-45]");
    assert!(texts.is_null(1));
    let fault = Bench::new(ty, Fidelity::Exact)
        .fault(|decoder| decoder.write_vector(0, vector(&[f32::NAN; 4])));
    assert!(fault.contains("not a number"), "{fault}");
}

/// Text of the server has eight digits, and a half-precision vector arrives as text.
#[test]
fn a_vector_that_arrives_as_text_is_refused_with_a_remedy() {
    let bench = Bench::new(SqlType::Vector { dimensions: 2 }, Fidelity::Exact);
    let refusal = bench
        .decoder
        .not_as_promised(&bench.table.columns[0], "BigVarChar");
    let refusal = refusal.to_string();
    for part in [
        "dbo.t",
        "column c",
        "vector(2)",
        "BigVarChar",
        "half-precision",
        "view",
    ] {
        assert!(refusal.contains(part), "{refusal}");
    }
}
