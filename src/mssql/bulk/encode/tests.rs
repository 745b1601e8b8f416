use super::*;
use crate::mssql::rows::Decoder;
use crate::schema::mapping::{arrow_schema, lake_schema};
use crate::schema::{
    Collation, Column, Fidelity, Generated, LakeSchema, Role, TableKind, TableName, TableSchema,
};
use arrow_array::ArrayRef;
use mssql_tds::datatypes::column_values::{
    SqlDate, SqlDateTime, SqlDateTime2, SqlDateTimeOffset, SqlMoney, SqlSmallDateTime,
    SqlSmallMoney, SqlTime,
};
use mssql_tds::datatypes::decoder::DecimalParts;
use mssql_tds::datatypes::row_writer::RowWriter;
use mssql_tds::datatypes::sql_string::EncodingType;
use proptest::prelude::*;
use std::borrow::Cow;
use std::sync::Arc;

fn bulk_column(ty: SqlType) -> BulkColumn {
    BulkColumn {
        name: "c".into(),
        ty,
        collation: None,
        nullable: true,
        identity: false,
        value: 0,
        ticks: None,
        offset: None,
    }
}

/// Encodes the only row of one array.
fn encode(column: &BulkColumn, arrays: Vec<ArrayRef>) -> Result<Vec<u8>, String> {
    let named = arrays.into_iter().enumerate();
    let batch =
        RecordBatch::try_from_iter(named.map(|(at, array)| (at.to_string(), array))).unwrap();
    let bound = Encoder::new(column).unwrap().bind(column, &batch).unwrap();
    let mut out = Vec::new();
    match bound.encode(0, &mut out).map_err(Refusal::reason) {
        Ok(()) => Ok(out),
        Err(Reason::Value(problem)) => Err(problem),
        Err(Reason::Character(lost)) => Err(lost.to_string()),
    }
}

fn plain(ty: SqlType, array: impl Array + 'static) -> Result<Vec<u8>, String> {
    encode(&bulk_column(ty), vec![Arc::new(array)])
}

fn decimals(value: i128, scale: i8) -> Decimal128Array {
    Decimal128Array::from(vec![value])
        .with_precision_and_scale(38, scale)
        .unwrap()
}

#[test]
fn values_take_the_bytes_of_the_protocol() {
    let stamp = |micros| TimestampMicrosecondArray::from(vec![micros]);
    for (bytes, expected) in [
        (
            plain(SqlType::Bit, BooleanArray::from(vec![true])),
            &[1, 1][..],
        ),
        (
            plain(SqlType::TinyInt, Int32Array::from(vec![255])),
            &[1, 255],
        ),
        (
            plain(SqlType::SmallInt, Int32Array::from(vec![-2])),
            &[2, 0xFE, 0xFF],
        ),
        (
            plain(SqlType::Int, Int32Array::from(vec![1])),
            &[4, 1, 0, 0, 0],
        ),
        (
            plain(SqlType::BigInt, Int64Array::from(vec![1])),
            &[8, 1, 0, 0, 0, 0, 0, 0, 0],
        ),
        (
            plain(
                SqlType::Decimal {
                    precision: 9,
                    scale: 2,
                },
                decimals(-105, 2),
            ),
            &[5, 0, 105, 0, 0, 0],
        ),
        (
            plain(SqlType::Money, decimals(-1, 4)),
            &[8, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF],
        ),
        (
            plain(SqlType::Money, decimals(1 << 32, 4)),
            &[8, 1, 0, 0, 0, 0, 0, 0, 0],
        ),
        (plain(SqlType::SmallMoney, decimals(1, 4)), &[4, 1, 0, 0, 0]),
        (
            plain(SqlType::Date, Date32Array::from(vec![0])),
            &[3, 0x3A, 0xF9, 0x0A],
        ),
        (
            plain(
                SqlType::Time { scale: 0 },
                Time64MicrosecondArray::from(vec![1_000_000]),
            ),
            &[3, 1, 0, 0],
        ),
        (
            plain(SqlType::DateTime, stamp(0)),
            &[8, 0xDF, 0x63, 0, 0, 0, 0, 0, 0],
        ),
        (
            plain(SqlType::SmallDateTime, stamp(60_000_000)),
            &[4, 0xDF, 0x63, 1, 0],
        ),
        (
            plain(SqlType::DateTime2 { scale: 0 }, stamp(-1_000_000)),
            &[6, 0x7F, 0x51, 1, 0x39, 0xF9, 0x0A],
        ),
        (
            plain(
                SqlType::NVarChar { length: Some(3) },
                StringArray::from(vec!["aé😀"]),
            ),
            // Four units do not fit three.
            &[],
        ),
        (
            plain(
                SqlType::NVarChar { length: Some(4) },
                StringArray::from(vec!["aé😀"]),
            ),
            &[8, 0, 0x61, 0, 0xE9, 0, 0x3D, 0xD8, 0x00, 0xDE],
        ),
        (
            plain(
                SqlType::NVarChar { length: None },
                StringArray::from(vec!["a"]),
            ),
            &[2, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0x61, 0, 0, 0, 0, 0],
        ),
        (
            plain(
                SqlType::NVarChar { length: None },
                StringArray::from(vec![""]),
            ),
            &[0; 12],
        ),
        (
            plain(
                SqlType::Binary { length: 3 },
                BinaryArray::from(vec![&[1u8, 2][..]]),
            ),
            &[3, 0, 1, 2, 0],
        ),
        (
            plain(
                SqlType::NVarChar { length: Some(4) },
                StringArray::from(vec![None::<&str>]),
            ),
            &[0xFF, 0xFF],
        ),
        (
            plain(
                SqlType::VarBinary { length: None },
                BinaryArray::from(vec![None]),
            ),
            &[0xFF; 8],
        ),
        (plain(SqlType::Int, Int32Array::from(vec![None])), &[0]),
    ] {
        assert_eq!(bytes.unwrap_or_default(), expected);
    }
}

#[test]
fn text_takes_the_bytes_of_its_column() {
    let encoded = |ty, code_page, text: &str| {
        let collation = Collation {
            name: "any".into(),
            code_page,
        };
        let column = BulkColumn {
            collation: Some(collation),
            ..bulk_column(ty)
        };
        encode(&column, vec![Arc::new(StringArray::from(vec![text]))])
    };
    let varchar = |length| SqlType::VarChar { length };
    let char = |length| SqlType::Char { length };
    let nchar = |length| SqlType::NChar { length };
    let long = [&[2, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0][..], b"a\xA3", &[0; 4]].concat();
    for (ty, code_page, text, expected) in [
        (varchar(Some(3)), 1250, "aŁ", &b"\x02\x00a\xA3"[..]),
        (varchar(Some(3)), 1250, "", b"\x00\x00"),
        (varchar(Some(4)), 932, "日a", b"\x03\x00\x93\xFAa"),
        (varchar(Some(4)), 65001, "aŁ", b"\x03\x00a\xC5\x81"),
        (varchar(None), 1250, "aŁ", &long),
        (char(4), 1250, "aŁ", b"\x04\x00a\xA3  "),
        (char(3), 932, "日", b"\x03\x00\x93\xFA "),
        (nchar(2), 0, "a", b"\x04\x00a\x00 \x00"),
        (nchar(2), 0, "😀", b"\x04\x00\x3D\xD8\x00\xDE"),
    ] {
        assert_eq!(
            encoded(ty, code_page, text),
            Ok(expected.to_vec()),
            "{ty} {text}"
        );
    }
    for (ty, code_page, text, reason) in [
        (varchar(Some(1)), 932, "日", "2 bytes in code page 932"),
        (char(3), 65001, "日a", "4 bytes in code page 65001"),
        (nchar(1), 0, "ab", "2 characters"),
        (
            varchar(Some(9)),
            1252,
            "aŁ",
            "(not shown without --show-values) (character U+0141 is not in code page 1252)",
        ),
        (varchar(None), 1252, "Ł", "U+0141"),
        (char(9), 950, "①", "U+2460 is not in code page 950"),
    ] {
        let refused = encoded(ty, code_page, text);
        assert!(
            refused.as_ref().is_err_and(|said| said.contains(reason)),
            "{ty} {refused:?}"
        );
    }
    let nothing = StringArray::from(vec![None::<&str>]);
    assert_eq!(plain(nchar(2), nothing), Ok(vec![0xFF; 2]));
    for code_page in [437, 850, 0] {
        let column = BulkColumn {
            collation: Some(Collation {
                name: "any".into(),
                code_page,
            }),
            ..bulk_column(varchar(Some(9)))
        };
        assert!(Encoder::new(&column).is_err(), "{code_page}");
    }
}

#[test]
fn values_that_do_not_fit_are_refused_with_the_reason() {
    let stamp = |micros| TimestampMicrosecondArray::from(vec![micros]);
    for (result, reason) in [
        (
            plain(SqlType::TinyInt, Int32Array::from(vec![256])),
            "outside",
        ),
        (
            plain(SqlType::SmallInt, Int32Array::from(vec![40_000])),
            "outside",
        ),
        (
            plain(
                SqlType::Decimal {
                    precision: 2,
                    scale: 0,
                },
                decimals(100, 0),
            ),
            "more digits",
        ),
        (plain(SqlType::SmallMoney, decimals(1 << 31, 4)), "outside"),
        (plain(SqlType::Money, decimals(1 << 63, 4)), "outside"),
        (
            plain(SqlType::Float, Float64Array::from(vec![f64::NAN])),
            "not a number",
        ),
        (
            plain(SqlType::Real, Float32Array::from(vec![f32::INFINITY])),
            "not a number",
        ),
        (
            plain(SqlType::Date, Date32Array::from(vec![2_932_897])),
            "years 1 to 9999",
        ),
        (
            plain(
                SqlType::Time { scale: 3 },
                Time64MicrosecondArray::from(vec![1]),
            ),
            "more digits",
        ),
        (
            plain(
                SqlType::Time { scale: 7 },
                Time64MicrosecondArray::from(vec![MICROS_A_DAY]),
            ),
            "within a day",
        ),
        (plain(SqlType::DateTime, stamp(1_000)), "datetime has"),
        (plain(SqlType::DateTime, stamp(999_000)), "datetime has"),
        (
            plain(SqlType::DateTime, stamp(-6_847_804_800_000_001)),
            "datetime has",
        ),
        (
            plain(SqlType::DateTime, stamp(-6_847_891_200_000_000)),
            "1753",
        ),
        (plain(SqlType::SmallDateTime, stamp(1_000_000)), "seconds"),
        (plain(SqlType::SmallDateTime, stamp(i64::MAX / 2)), "2079"),
        (
            plain(
                SqlType::VarBinary { length: Some(1) },
                BinaryArray::from(vec![&[1u8, 2][..]]),
            ),
            "2 bytes",
        ),
    ] {
        let problem = result.unwrap_err();
        assert!(problem.contains(reason), "{problem}");
    }
    let mut strict = bulk_column(SqlType::Int);
    strict.nullable = false;
    let problem = encode(&strict, vec![Arc::new(Int32Array::from(vec![None]))]).unwrap_err();
    assert!(problem.contains("takes none"), "{problem}");
    let mut wide = bulk_column(SqlType::DateTimeOffset { scale: 7 });
    wide.offset = Some(1);
    wide.ticks = Some(2);
    let arrays = |offset, tick| -> Vec<ArrayRef> {
        vec![
            Arc::new(stamp(0)),
            Arc::new(Int32Array::from(vec![offset])),
            Arc::new(Int32Array::from(vec![tick])),
        ]
    };
    assert!(
        encode(&wide, arrays(841, 0))
            .unwrap_err()
            .contains("14 hours")
    );
    assert!(encode(&wide, arrays(0, 10)).unwrap_err().contains("digit"));
    assert_eq!(
        encode(&wide, arrays(-1, 9)).unwrap(),
        [10, 9, 0, 0, 0, 0, 0x3A, 0xF9, 0x0A, 0xFF, 0xFF]
    );
}

/// One value as the driver's calls carry it.
#[derive(Debug, Clone, PartialEq)]
enum Wire {
    Null,
    Bit(bool),
    U8(u8),
    I16(i16),
    I32(i32),
    I64(i64),
    F32(f32),
    F64(f64),
    Decimal(bool, u128),
    Money(i64),
    SmallMoney(i32),
    Date(u32),
    /// Units of 100 ns.
    Time(u64),
    DateTime(i32, u32),
    SmallDateTime(u16, u16),
    DateTime2(u32, u64),
    DateTimeOffset(u32, u64, i16),
    Text(String),
    Bytes(Vec<u8>),
    Guid([u8; 16]),
}

impl Wire {
    fn write(&self, ty: SqlType, to: &mut Decoder) {
        let time = |ticks: u64, scale| SqlTime {
            time_nanoseconds: ticks,
            scale,
        };
        let (precision, scale) = match ty {
            SqlType::Decimal { precision, scale } | SqlType::Numeric { precision, scale } => {
                (precision, scale)
            }
            SqlType::Time { scale }
            | SqlType::DateTime2 { scale }
            | SqlType::DateTimeOffset { scale } => (0, scale),
            _ => (0, 0),
        };
        match self.clone() {
            Wire::Null => to.write_null(0),
            Wire::Bit(value) => to.write_bool(0, value),
            Wire::U8(value) => to.write_u8(0, value),
            Wire::I16(value) => to.write_i16(0, value),
            Wire::I32(value) => to.write_i32(0, value),
            Wire::I64(value) => to.write_i64(0, value),
            Wire::F32(value) => to.write_f32(0, value),
            Wire::F64(value) => to.write_f64(0, value),
            Wire::Decimal(positive, magnitude) => {
                to.write_decimal(0, DecimalParts::new(positive, precision, scale, magnitude));
            }
            Wire::Money(value) => to.write_money(
                0,
                SqlMoney {
                    lsb_part: value as i32,
                    msb_part: (value >> 32) as i32,
                },
            ),
            Wire::SmallMoney(int_val) => to.write_smallmoney(0, SqlSmallMoney { int_val }),
            Wire::Date(days) => to.write_date(0, SqlDate::create(days).unwrap()),
            Wire::Time(ticks) => to.write_time(0, time(ticks, scale)),
            Wire::DateTime(days, time) => to.write_datetime(0, SqlDateTime { days, time }),
            Wire::SmallDateTime(days, time) => {
                to.write_smalldatetime(0, SqlSmallDateTime { days, time });
            }
            Wire::DateTime2(days, ticks) => {
                let time = time(ticks, scale);
                to.write_datetime2(0, SqlDateTime2 { days, time });
            }
            Wire::DateTimeOffset(days, ticks, offset) => {
                let time = time(ticks, scale);
                let datetime2 = SqlDateTime2 { days, time };
                to.write_datetimeoffset(0, SqlDateTimeOffset { datetime2, offset });
            }
            Wire::Text(text) => {
                let bytes: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
                to.write_string(0, Cow::Owned(bytes), EncodingType::Utf16);
            }
            Wire::Bytes(bytes) => to.write_bytes(0, Cow::Owned(bytes)),
            Wire::Guid(bytes) => to.write_uuid(0, uuid::Uuid::from_bytes(bytes)),
        }
        to.end_row();
    }

    /// Reads an encoded value as a server would, from the protocol's description and not from the encoder.
    fn read(ty: SqlType, bytes: &mut &[u8]) -> Self {
        fn take<'a>(bytes: &mut &'a [u8], length: usize) -> &'a [u8] {
            let (taken, rest) = bytes.split_at(length);
            *bytes = rest;
            taken
        }
        fn number(bytes: &[u8]) -> u128 {
            bytes
                .iter()
                .rev()
                .fold(0, |value, &byte| value << 8 | u128::from(byte))
        }
        let payload = match ty {
            SqlType::NVarChar { length: None } | SqlType::VarBinary { length: None } => {
                let total = number(take(bytes, 8));
                if total == u128::from(u64::MAX) {
                    return Wire::Null;
                }
                let mut value = Vec::new();
                loop {
                    let chunk = number(take(bytes, 4)) as usize;
                    if chunk == 0 {
                        break;
                    }
                    value.extend_from_slice(take(bytes, chunk));
                }
                assert_eq!(total, value.len() as u128);
                value
            }
            SqlType::NVarChar { .. } | SqlType::VarBinary { .. } | SqlType::Binary { .. } => {
                match number(take(bytes, 2)) as usize {
                    0xFFFF => return Wire::Null,
                    length => take(bytes, length).to_vec(),
                }
            }
            _ => match take(bytes, 1)[0] {
                0 => return Wire::Null,
                length => take(bytes, usize::from(length)).to_vec(),
            },
        };
        let value = &payload[..];
        let unit = |scale: u8| 10u64.pow(u32::from(7 - scale));
        match ty {
            SqlType::Bit => Wire::Bit(value == [1]),
            SqlType::TinyInt => Wire::U8(value[0]),
            SqlType::SmallInt => Wire::I16(number(value) as i16),
            SqlType::Int => Wire::I32(number(value) as i32),
            SqlType::BigInt => Wire::I64(number(value) as i64),
            SqlType::Real => Wire::F32(f32::from_bits(number(value) as u32)),
            SqlType::Float => Wire::F64(f64::from_bits(number(value) as u64)),
            SqlType::Decimal { .. } | SqlType::Numeric { .. } => {
                Wire::Decimal(value[0] == 1, number(&value[1..]))
            }
            SqlType::Money => {
                let high = number(&value[..4]) as i32;
                Wire::Money(i64::from(high) << 32 | number(&value[4..]) as i64)
            }
            SqlType::SmallMoney => Wire::SmallMoney(number(value) as i32),
            SqlType::Date => Wire::Date(number(value) as u32),
            SqlType::Time { scale } => Wire::Time(number(value) as u64 * unit(scale)),
            SqlType::DateTime => {
                Wire::DateTime(number(&value[..4]) as i32, number(&value[4..]) as u32)
            }
            SqlType::SmallDateTime => {
                Wire::SmallDateTime(number(&value[..2]) as u16, number(&value[2..]) as u16)
            }
            SqlType::DateTime2 { scale } => {
                let (time, date) = value.split_at(value.len() - 3);
                Wire::DateTime2(number(date) as u32, number(time) as u64 * unit(scale))
            }
            SqlType::DateTimeOffset { scale } => {
                let (time, rest) = value.split_at(value.len() - 5);
                let ticks = number(time) as u64 * unit(scale);
                Wire::DateTimeOffset(number(&rest[..3]) as u32, ticks, number(&rest[3..]) as i16)
            }
            SqlType::NVarChar { .. } => {
                let units: Vec<u16> = value.chunks(2).map(|unit| number(unit) as u16).collect();
                Wire::Text(String::from_utf16(&units).unwrap())
            }
            SqlType::VarBinary { .. } | SqlType::Binary { .. } => Wire::Bytes(payload),
            SqlType::UniqueIdentifier => {
                Wire::Guid(*uuid::Uuid::from_slice_le(value).unwrap().as_bytes())
            }
            _ => panic!("{ty} is no staging type"),
        }
    }
}

fn table(ty: SqlType) -> TableSchema {
    TableSchema {
        name: TableName {
            schema: "dbo".into(),
            name: "t".into(),
        },
        columns: vec![Column {
            id: 1,
            name: "c".into(),
            ty,
            nullable: true,
            collation: None,
            generated: Generated::No,
        }],
        key: None,
    }
}

fn position(lake: &LakeSchema, role: Role) -> Option<usize> {
    lake.fields.iter().position(|field| field.role == role)
}

/// Source cells into Arrow, Arrow into bulk rows, and those read back: what the staging column receives.
fn through_the_lake(ty: SqlType, cells: &[Wire]) -> Vec<Wire> {
    let table = table(ty);
    let lake = lake_schema(&table, TableKind::Mirror, Fidelity::Exact).unwrap();
    let mut decoder = Decoder::new(&table, &lake, Fidelity::Exact).unwrap();
    for cell in cells {
        cell.write(ty, &mut decoder);
        if let Some(fault) = decoder.take_fault() {
            panic!("{fault}");
        }
    }
    let batch = decoder.finish().unwrap();
    assert_eq!(batch.schema(), arrow_schema(&lake));
    let staged = ty.facts().staged;
    let column = BulkColumn {
        ty: staged,
        ticks: position(&lake, Role::Ticks),
        offset: position(&lake, Role::Offset),
        ..bulk_column(staged)
    };
    let bound = Encoder::new(&column)
        .unwrap()
        .bind(&column, &batch)
        .unwrap();
    let mut out = Vec::new();
    for row in 0..batch.num_rows() {
        bound.encode(row, &mut out).unwrap();
    }
    let mut rest = &out[..];
    let read = cells
        .iter()
        .map(|_| Wire::read(staged, &mut rest))
        .collect();
    assert!(rest.is_empty());
    read
}

/// A day's ticks that a scale can hold.
fn ticks(scale: u8) -> BoxedStrategy<u64> {
    let unit = 10u64.pow(u32::from(7 - scale));
    let last = TICKS_A_DAY / unit - 1;
    prop_oneof![Just(0), Just(last), 0..=last]
        .prop_map(move |units| units * unit)
        .boxed()
}

fn days() -> BoxedStrategy<u32> {
    prop_oneof![Just(0), Just(3_652_058), 0u32..=3_652_058].boxed()
}

fn text(units: usize) -> BoxedStrategy<Wire> {
    proptest::collection::vec(any::<char>(), 0..=units / 2)
        .prop_map(|chars| Wire::Text(chars.into_iter().collect()))
        .boxed()
}

/// Every type the mapping takes, with values up to its extremes.
fn typed_cells() -> impl Strategy<Value = (SqlType, Vec<Wire>)> {
    let scale = 0u8..=7;
    let with = |ty: SqlType, values: BoxedStrategy<Wire>| {
        let cell = prop_oneof![1 => Just(Wire::Null), 6 => values];
        proptest::collection::vec(cell, 0..12)
            .prop_map(move |cells| (ty, cells))
            .boxed()
    };
    let bytes = |max: usize| {
        proptest::collection::vec(any::<u8>(), 0..=max)
            .prop_map(Wire::Bytes)
            .boxed()
    };
    let exactly = |n: usize| {
        proptest::collection::vec(any::<u8>(), n)
            .prop_map(Wire::Bytes)
            .boxed()
    };
    prop_oneof![
        with(SqlType::Bit, any::<bool>().prop_map(Wire::Bit).boxed()),
        with(SqlType::TinyInt, any::<u8>().prop_map(Wire::U8).boxed()),
        with(SqlType::SmallInt, any::<i16>().prop_map(Wire::I16).boxed()),
        with(SqlType::Int, any::<i32>().prop_map(Wire::I32).boxed()),
        with(SqlType::BigInt, any::<i64>().prop_map(Wire::I64).boxed()),
        with(
            SqlType::Real,
            prop::num::f32::ANY
                .prop_filter("finite", |f| f.is_finite())
                .prop_map(Wire::F32)
                .boxed()
        ),
        with(
            SqlType::Float,
            prop::num::f64::ANY
                .prop_filter("finite", |f| f.is_finite())
                .prop_map(Wire::F64)
                .boxed()
        ),
        (1u8..=38)
            .prop_flat_map(|precision| (Just(precision), 0..=precision))
            .prop_flat_map(move |(precision, scale)| {
                let limit = 10u128.pow(u32::from(precision));
                let value = (
                    any::<bool>(),
                    prop_oneof![Just(0), Just(limit - 1), 0..limit],
                )
                    // Zero has no sign.
                    .prop_map(|(positive, magnitude)| {
                        Wire::Decimal(positive || magnitude == 0, magnitude)
                    });
                with(SqlType::Decimal { precision, scale }, value.boxed())
            }),
        with(
            SqlType::Money,
            prop_oneof![Just(i64::MIN), Just(i64::MAX), any::<i64>()]
                .prop_map(Wire::Money)
                .boxed()
        ),
        with(
            SqlType::SmallMoney,
            any::<i32>().prop_map(Wire::SmallMoney).boxed()
        ),
        with(SqlType::Date, days().prop_map(Wire::Date).boxed()),
        scale.clone().prop_flat_map(move |scale| with(
            SqlType::Time { scale },
            ticks(scale).prop_map(Wire::Time).boxed()
        )),
        with(
            SqlType::DateTime,
            (-53_690..=2_958_463i32, 0..THREE_HUNDREDTHS_A_DAY)
                .prop_map(|(d, t)| Wire::DateTime(d, t))
                .boxed()
        ),
        with(
            SqlType::SmallDateTime,
            (any::<u16>(), 0..1440u16)
                .prop_map(|(d, t)| Wire::SmallDateTime(d, t))
                .boxed()
        ),
        scale.clone().prop_flat_map(move |scale| {
            with(
                SqlType::DateTime2 { scale },
                (days(), ticks(scale))
                    .prop_map(|(d, t)| Wire::DateTime2(d, t))
                    .boxed(),
            )
        }),
        scale.prop_flat_map(move |scale| {
            let value = (days(), ticks(scale), -840i16..=840)
                .prop_map(|(d, t, o)| Wire::DateTimeOffset(d, t, o));
            with(SqlType::DateTimeOffset { scale }, value.boxed())
        }),
        with(SqlType::NVarChar { length: Some(40) }, text(40)),
        with(SqlType::NVarChar { length: None }, text(400)),
        with(SqlType::NChar { length: 10 }, text(10)),
        with(SqlType::VarChar { length: Some(8000) }, text(100)),
        with(SqlType::Xml, text(100)),
        with(SqlType::Json, text(100)),
        with(SqlType::NText, text(100)),
        with(SqlType::VarBinary { length: Some(30) }, bytes(30)),
        with(SqlType::VarBinary { length: None }, bytes(300)),
        with(SqlType::Binary { length: 16 }, exactly(16)),
        with(SqlType::RowVersion, exactly(8)),
        with(SqlType::HierarchyId, bytes(892)),
        with(SqlType::Geography, bytes(100)),
        with(SqlType::Image, bytes(100)),
        with(
            SqlType::UniqueIdentifier,
            any::<[u8; 16]>().prop_map(Wire::Guid).boxed()
        ),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn every_cell_survives_the_lake((ty, cells) in typed_cells()) {
        prop_assert_eq!(through_the_lake(ty, &cells), cells);
    }
}

#[test]
fn every_moment_of_datetime_survives() {
    // All 300 fractions of a second, on both sides of 1970 and at both ends.
    for day in [-53_690, 0, 25_566, 25_567, 2_958_463] {
        let cells: Vec<_> = (0..300).map(|time| Wire::DateTime(day, time)).collect();
        assert_eq!(through_the_lake(SqlType::DateTime, &cells), cells);
        let late: Vec<_> = (1..=300)
            .map(|back| Wire::DateTime(day, THREE_HUNDREDTHS_A_DAY - back))
            .collect();
        assert_eq!(through_the_lake(SqlType::DateTime, &late), late);
    }
}
