//! Every type there and back, and what is refused.

use super::*;
use crate::collation::CollationInfo;
use crate::session::ColumnMeta;
use crate::tds::encode::ColumnEncoder;
use crate::tds::type_info::put_type_info;
use crate::value::Collation;
use std::sync::Arc;

fn text(s: &str) -> Value {
    Value::Str(s.encode_utf16().collect::<Vec<_>>().into())
}

fn bytes(b: &[u8]) -> Value {
    Value::Bytes(b.into())
}

fn decimal_type(precision: u8, scale: u8) -> SqlType {
    SqlType::Decimal {
        precision,
        scale,
        numeric: false,
    }
}

/// Every type with its extremes.
fn samples() -> Vec<(SqlType, Vec<Value>)> {
    let last_tick = TICKS_PER_DAY - 1;
    let nines = 10i128.pow(38) - 1;
    let variant = |ty, value| Value::Variant(Box::new((ty, value, None)));
    let mut found = vec![
        (SqlType::Bit, vec![Value::Bit(true), Value::Bit(false)]),
        (
            SqlType::TinyInt,
            vec![Value::TinyInt(0), Value::TinyInt(255)],
        ),
        (
            SqlType::SmallInt,
            vec![Value::SmallInt(i16::MIN), Value::SmallInt(i16::MAX)],
        ),
        (
            SqlType::Int,
            vec![Value::Int(i32::MIN), Value::Int(i32::MAX)],
        ),
        (
            SqlType::BigInt,
            vec![Value::BigInt(i64::MIN), Value::BigInt(i64::MAX)],
        ),
        (
            SqlType::Money,
            vec![
                Value::Money(i64::MIN),
                Value::Money(i64::MAX),
                Value::Money(-1),
            ],
        ),
        (
            SqlType::SmallMoney,
            vec![Value::Money(i32::MIN.into()), Value::Money(i32::MAX.into())],
        ),
        (
            SqlType::Real,
            vec![Value::Real(f32::MIN), Value::Real(-0.0)],
        ),
        (
            SqlType::Float,
            vec![Value::Float(f64::MAX), Value::Float(f64::MIN_POSITIVE)],
        ),
        (SqlType::Date, vec![Value::Date(0), Value::Date(DAYS_MAX)]),
        (
            SqlType::DateTime,
            vec![
                Value::DateTime {
                    days: -53_690,
                    ticks: 0,
                },
                Value::DateTime {
                    days: 2_958_463,
                    ticks: 25_919_999,
                },
            ],
        ),
        (
            SqlType::SmallDateTime,
            vec![
                Value::SmallDateTime {
                    days: 0,
                    minutes: 0,
                },
                Value::SmallDateTime {
                    days: 65535,
                    minutes: 1439,
                },
            ],
        ),
        (
            SqlType::UniqueIdentifier,
            vec![Value::Guid(*b"0123456789abcdef")],
        ),
        (SqlType::Char(4), vec![text("a€  ")]),
        (SqlType::VarChar(Some(8)), vec![text(""), text("é")]),
        (
            SqlType::VarChar(None),
            vec![text(""), text(&"x€".repeat(20_000))],
        ),
        (SqlType::Text, vec![text(""), text("long")]),
        (SqlType::NChar(3), vec![text("日本 ")]),
        (
            SqlType::NVarChar(Some(4)),
            vec![
                text(""),
                text("😀é"),
                Value::Str(Arc::from([0xD800u16, 0x41])),
            ],
        ),
        (
            SqlType::NVarChar(None),
            vec![text(""), text(&"日".repeat(40_000))],
        ),
        (SqlType::NText, vec![text("日")]),
        (SqlType::Xml, vec![text("<a/>"), text("")]),
        (SqlType::Binary(2), vec![bytes(&[0, 255])]),
        (
            SqlType::VarBinary(Some(3)),
            vec![bytes(&[]), bytes(&[1, 2, 3])],
        ),
        (
            SqlType::VarBinary(None),
            vec![bytes(&[]), bytes(&[7; 70_000])],
        ),
        (SqlType::Image, vec![bytes(&[]), bytes(&[9; 10])]),
        (SqlType::HierarchyId, vec![bytes(&[0x58])]),
        (SqlType::Geometry, vec![bytes(&[0; 22])]),
        (SqlType::Geography, vec![bytes(&[1; 22])]),
        (
            SqlType::SqlVariant,
            vec![
                variant(SqlType::Int, Value::Int(-5)),
                variant(
                    decimal_type(38, 10),
                    Value::Decimal {
                        unscaled: -nines,
                        scale: 10,
                    },
                ),
                variant(SqlType::NVarChar(Some(10)), text("日本")),
                variant(SqlType::VarChar(Some(10)), text("a€")),
                variant(SqlType::VarBinary(Some(10)), bytes(&[1, 2])),
                variant(
                    SqlType::DateTime2(3),
                    Value::DateTime2 {
                        days: 1,
                        ticks: 10_000,
                    },
                ),
                variant(SqlType::UniqueIdentifier, Value::Guid([3; 16])),
                variant(SqlType::DateTime, Value::DateTime { days: 1, ticks: 2 }),
                variant(SqlType::Bit, Value::Bit(true)),
                variant(SqlType::Money, Value::Money(-12345)),
            ],
        ),
    ];
    for (precision, scale) in [
        (1, 0),
        (9, 9),
        (10, 2),
        (19, 0),
        (20, 20),
        (28, 4),
        (29, 1),
        (38, 38),
    ] {
        let most = 10i128.pow(u32::from(precision)) - 1;
        let values = [0, 1, -1, most, -most].map(|unscaled| Value::Decimal { unscaled, scale });
        found.push((decimal_type(precision, scale), values.to_vec()));
    }
    for scale in 0..=7u8 {
        let unit = 10u64.pow(7 - u32::from(scale));
        let ticks = last_tick / unit * unit;
        found.push((
            SqlType::Time(scale),
            vec![Value::Time(0), Value::Time(ticks)],
        ));
        found.push((
            SqlType::DateTime2(scale),
            vec![
                Value::DateTime2 { days: 0, ticks: 0 },
                Value::DateTime2 {
                    days: DAYS_MAX,
                    ticks,
                },
            ],
        ));
        found.push((
            SqlType::DateTimeOffset(scale),
            vec![
                Value::DateTimeOffset {
                    days: DAYS_MAX,
                    ticks,
                    offset_minutes: -840,
                },
                Value::DateTimeOffset {
                    days: 0,
                    ticks: 0,
                    offset_minutes: 840,
                },
            ],
        ));
    }
    found
}

fn column(ty: &SqlType, nullable: bool) -> ColumnMeta {
    ColumnMeta {
        name: "c".to_owned(),
        ty: ty.clone(),
        nullable,
        identity: false,
        computed: false,
        collation: Some(Collation(Arc::from("Latin1_General_CI_AS"))),
    }
}

#[test]
fn every_type_and_its_extremes_come_back_as_they_were_sent() {
    for (ty, values) in samples() {
        for nullable in [true, false] {
            let encoder = ColumnEncoder::new(&column(&ty, nullable));
            let is_udt = matches!(
                ty,
                SqlType::HierarchyId | SqlType::Geometry | SqlType::Geography
            );
            let mut described = Vec::new();
            let collation = CollationInfo::of("Latin1_General_CI_AS").unwrap();
            put_type_info(&mut described, &ty, nullable, collation);
            // As a client would describe a bulk column: a table name after the lengths of text, ntext and image.
            if matches!(ty, SqlType::Text | SqlType::NText | SqlType::Image) {
                described.extend([1, 0, b't', 0]);
            }
            let wire = WireType::read(&mut Cursor::new(&described), Place::BulkColumn).unwrap();
            assert_eq!(wire.ty, ty);
            let mut values = values.clone();
            if nullable {
                values.push(Value::Null);
            }
            for value in values {
                let mut out = Vec::new();
                encoder.put(&mut out, &value).unwrap();
                let mut cursor = Cursor::new(&out);
                let back = read_value(&mut cursor, &wire, Place::BulkColumn).unwrap();
                assert_eq!(back, value, "{ty:?} {is_udt}");
                assert!(cursor.is_at_end());
                for cut in (0..out.len()).take(200) {
                    let torn = read_value(&mut Cursor::new(&out[..cut]), &wire, Place::BulkColumn);
                    assert_eq!(torn, Err(ParseError::Incomplete), "{ty:?} cut at {cut}");
                }
            }
        }
    }
}

#[test]
fn values_of_another_type_or_beyond_the_column_are_refused() {
    let refused = [
        (SqlType::Int, Value::BigInt(1)),
        (SqlType::Int, Value::Null),
        (
            decimal_type(3, 1),
            Value::Decimal {
                unscaled: 1000,
                scale: 1,
            },
        ),
        (
            decimal_type(3, 1),
            Value::Decimal {
                unscaled: 11,
                scale: 2,
            },
        ),
        (
            SqlType::DateTime2(3),
            Value::DateTime2 { days: 0, ticks: 1 },
        ),
        (SqlType::Date, Value::Date(DAYS_MAX + 1)),
        (SqlType::VarChar(Some(1)), text("ab")),
        (SqlType::SmallMoney, Value::Money(1 << 40)),
        (
            SqlType::SqlVariant,
            Value::Variant(Box::new((SqlType::Xml, text("x"), None))),
        ),
    ];
    for (ty, value) in refused {
        let encoder = ColumnEncoder::new(&column(&ty, false));
        let mut out = vec![1, 2];
        let row = crate::tds::encode::put_row(&mut out, &[encoder], std::slice::from_ref(&value));
        assert!(row.is_err(), "{ty:?} took {value:?}");
        assert_eq!(out, [1, 2]);
    }
}

#[test]
fn malformed_values_are_refused() {
    let wire =
        |described: &[u8]| WireType::read(&mut Cursor::new(described), Place::Parameter).unwrap();
    let bad: [(&[u8], &[u8]); 7] = [
        (&[0x26, 4], &[2, 1, 1]),
        (&[0x6A, 5, 3, 1], &[5, 1, 0xE8, 3, 0, 0]),
        (&[0x28], &[3, 0xFF, 0xFF, 0xFF]),
        (&[0x29, 7], &[5, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]),
        (&[0xE7, 4, 0, 9, 4, 0xD0, 0, 0x34], &[3, 0, 1, 2, 3]),
        (
            &[0xE7, 4, 0, 9, 4, 0xD0, 0, 0x34],
            &[6, 0, 1, 0, 2, 0, 3, 0],
        ),
        (&[0x62, 0, 0, 0, 0], &[3, 0, 0, 0, 0x62, 0, 0]),
    ];
    for (described, value) in bad {
        let read = read_value(&mut Cursor::new(value), &wire(described), Place::Parameter);
        assert!(
            matches!(read, Err(ParseError::Bad(_))),
            "{described:02X?} {value:02X?}: {read:?}"
        );
    }
}
