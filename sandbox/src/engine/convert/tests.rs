use super::*;
use crate::engine::collation::Collate;

fn cast(value: Value, from: SqlType, to: SqlType, style: i32) -> Result<Value, SqlError> {
    let collate = Collate::server();
    convert(
        &value,
        Conversion {
            from: &from,
            to: &to,
            style,
            collate: &collate,
            dateformat: "mdy",
        },
    )
}

fn text(value: Value, from: SqlType, style: i32) -> String {
    match cast(value, from, SqlType::VarChar(Some(60)), style).unwrap() {
        Value::Str(units) => types::text(&units),
        other => panic!("{other:?}"),
    }
}

const NUMERIC: SqlType = SqlType::Decimal {
    precision: 5,
    scale: 2,
    numeric: false,
};

#[test]
fn numbers_round_and_overflow_as_the_server_does() {
    let float = cast(Value::Float(1.005), SqlType::Float, NUMERIC, 0).unwrap();
    assert_eq!(
        float,
        Value::Decimal {
            unscaled: 101,
            scale: 2
        }
        .clone_if(1.005)
    );
    let wide = Value::Decimal {
        unscaled: 123_456,
        scale: 2,
    };
    assert_eq!(cast(wide, NUMERIC, NUMERIC, 0).unwrap_err().number, 8115);
    assert_eq!(
        cast(
            types::string("12x"),
            SqlType::VarChar(Some(3)),
            SqlType::Int,
            0
        )
        .unwrap_err()
        .number,
        245
    );
    assert_eq!(
        cast(
            types::string("300"),
            SqlType::VarChar(Some(3)),
            SqlType::TinyInt,
            0
        )
        .unwrap_err()
        .number,
        244
    );
    assert_eq!(
        cast(Value::Int(300), SqlType::Int, SqlType::TinyInt, 0)
            .unwrap_err()
            .number,
        220
    );
    let truncated = cast(
        Value::Decimal {
            unscaled: -199,
            scale: 2,
        },
        NUMERIC,
        SqlType::Int,
        0,
    )
    .unwrap();
    assert_eq!(truncated, Value::Int(-1));
}

trait CloneIf {
    fn clone_if(self, float: f64) -> Value;
}

impl CloneIf for Value {
    /// 1.005 as a double lies just below, so that seventeen digits decide: 1.00499999999999989.
    fn clone_if(self, float: f64) -> Value {
        if float < 1.005_000_000_000_000_1 {
            Value::Decimal {
                unscaled: 100,
                scale: 2,
            }
        } else {
            self
        }
    }
}

#[test]
fn datetime_rounds_to_three_hundredths() {
    let from = SqlType::VarChar(Some(30));
    let at = |s: &str| cast(types::string(s), from.clone(), SqlType::DateTime, 0).unwrap();
    assert_eq!(
        text(at("2024-01-01 00:00:00.002"), SqlType::DateTime, 121),
        "2024-01-01 00:00:00.003"
    );
    assert_eq!(
        text(at("2024-01-01 00:00:00.005"), SqlType::DateTime, 121),
        "2024-01-01 00:00:00.007"
    );
    assert_eq!(
        text(at("2024-01-01 23:59:59.999"), SqlType::DateTime, 121),
        "2024-01-02 00:00:00.000"
    );
    assert_eq!(
        text(at("2024-01-01 13:05:00"), SqlType::DateTime, 0),
        "Jan  1 2024  1:05PM"
    );
    assert_eq!(
        text(at("2024-01-01 13:05:00"), SqlType::DateTime, 126),
        "2024-01-01T13:05:00"
    );
    let widened = cast(
        at("2024-01-01 00:00:00.003"),
        SqlType::DateTime,
        SqlType::DateTime2(7),
        0,
    )
    .unwrap();
    assert_eq!(
        widened,
        Value::DateTime2 {
            days: 738_885,
            ticks: 33_333
        }
    );
    assert_eq!(
        cast(
            types::string("1752-12-31"),
            from.clone(),
            SqlType::DateTime,
            0
        )
        .unwrap_err()
        .number,
        242
    );
    assert_eq!(
        cast(types::string("x"), from, SqlType::Date, 0)
            .unwrap_err()
            .number,
        241
    );
}

#[test]
fn binary_styles_and_guids() {
    let bytes = Value::Bytes(vec![0xAB, 0x01].into());
    assert_eq!(
        text(bytes.clone(), SqlType::VarBinary(Some(2)), 1),
        "0xAB01"
    );
    assert_eq!(text(bytes, SqlType::VarBinary(Some(2)), 2), "AB01");
    let rv = cast(Value::BigInt(258), SqlType::BigInt, SqlType::Binary(8), 0).unwrap();
    assert_eq!(rv, Value::Bytes(vec![0, 0, 0, 0, 0, 0, 1, 2].into()));
    assert_eq!(
        cast(rv, SqlType::Binary(8), SqlType::BigInt, 0).unwrap(),
        Value::BigInt(258)
    );
    let guid = cast(
        types::string("6F9619FF-8B86-D011-B42D-00C04FC964FF"),
        SqlType::NVarChar(Some(40)),
        SqlType::UniqueIdentifier,
        0,
    )
    .unwrap();
    assert_eq!(
        text(guid, SqlType::UniqueIdentifier, 0),
        "6F9619FF-8B86-D011-B42D-00C04FC964FF"
    );
}

#[test]
fn varchar_keeps_only_what_its_code_page_has() {
    let narrow = cast(
        types::string("a\u{4e2d}é"),
        SqlType::NVarChar(Some(3)),
        SqlType::VarChar(Some(3)),
        0,
    )
    .unwrap();
    assert_eq!(narrow, types::string("a?é"));
    assert_eq!(
        text(Value::Money(12_345_678), SqlType::Money, 1),
        "1,234.57"
    );
    assert_eq!(text(Value::Float(0.1), SqlType::Float, 0), "0.1");
    assert_eq!(text(Value::Float(1e10), SqlType::Float, 0), "1e+010");
}

#[test]
fn white_space_of_xml_is_kept_as_the_style_says() {
    let wide = SqlType::NVarChar(None);
    let cast = |text: &str, from: &SqlType, to: &SqlType, style: i32| match cast(
        types::string(text),
        from.clone(),
        to.clone(),
        style,
    )
    .unwrap()
    {
        Value::Str(units) => types::text(&units),
        other => panic!("{other:?}"),
    };
    let parsed = |text: &str, style: i32| cast(text, &wide, &SqlType::Xml, style);
    for (text, discarded) in [
        ("<a> </a>", "<a></a>"),
        (" <a>\n  <b> x </b>\t</a> ", "<a><b> x </b></a>"),
        (
            "<a xml:space=\"preserve\"> <b xml:space='default'> </b> </a> ",
            "<a xml:space=\"preserve\"> <b xml:space='default'></b> </a>",
        ),
        (
            "<a x=\">\"> <!-- > --> <?p > ?> <c/> </a>",
            "<a x=\">\"><!-- > --><?p > ?><c/></a>",
        ),
        ("<a> <![CDATA[ ]]> </a>", "<a> <![CDATA[ ]]> </a>"),
    ] {
        assert_eq!(parsed(text, 0), discarded);
        assert_eq!(parsed(text, 1), text);
    }
    // A reference is white space that every parser keeps.
    assert_eq!(parsed("<a>&#32;</a>", 0), "<a> </a>");
    assert_eq!(parsed("<a>\n&#x20;</a>", 0), "<a>\n </a>");
    let written = |text: &str, style: i32| cast(text, &SqlType::Xml, &wide, style);
    assert_eq!(written("<a>\n </a>", 0), "<a>\n&#x20;</a>");
    assert_eq!(written("<a>\n </a>", 1), "<a>\n </a>");
    assert_eq!(written("<a> x </a>", 0), "<a> x </a>");
}
