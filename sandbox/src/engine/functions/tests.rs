mod date;

use super::*;
use crate::engine::convert::{Conversion, convert};
use crate::engine::types;

fn context() -> EvalContext {
    EvalContext {
        // 2026-01-02 03:04:05.6789012 UTC
        now_ticks: i64::from(crate::engine::calendar::days(2026, 1, 2).unwrap()) * 864_000_000_000
            + 110_456_789_012,
        offset_minutes: 330,
        datefirst: 7,
        dateformat: "mdy".into(),
        language: "us_english".into(),
        collation: Collate::server(),
    }
}

fn typed(text: &str, ty: SqlType) -> (Value, SqlType) {
    let cx = context();
    let from = SqlType::NVarChar(None);
    let conversion = Conversion {
        from: &from,
        to: &ty,
        style: 0,
        collate: &cx.collation,
        dateformat: "mdy",
    };
    (convert(&types::string(text), conversion).unwrap(), ty)
}

fn s(text: &str) -> (Value, SqlType) {
    (types::string(text), SqlType::VarChar(Some(50)))
}

fn n(text: &str) -> (Value, SqlType) {
    (types::string(text), SqlType::NVarChar(Some(50)))
}

fn i(value: i32) -> (Value, SqlType) {
    (Value::Int(value), SqlType::Int)
}

fn f(value: f64) -> (Value, SqlType) {
    (Value::Float(value), SqlType::Float)
}

fn null() -> (Value, SqlType) {
    (Value::Null, SqlType::Int)
}

fn dec(text: &str, precision: u8, scale: u8) -> (Value, SqlType) {
    typed(
        text,
        SqlType::Decimal {
            precision,
            scale,
            numeric: false,
        },
    )
}

fn call(name: &str, args: &[(Value, SqlType)]) -> Result<(Value, SqlType), SqlError> {
    let function = lookup(name).unwrap_or_else(|| panic!("no function {name}"));
    assert!(
        function.args.contains(&args.len()),
        "{name} takes {:?} arguments",
        function.args
    );
    let (values, types): (Vec<_>, Vec<_>) = args.iter().cloned().unzip();
    let ty = (function.result_type)(&types)?;
    Ok(((function.eval)(&values, &types, &context())?, ty))
}

/// The result as CAST shows it, with its type.
fn shown(name: &str, args: &[(Value, SqlType)]) -> String {
    let (value, ty) = call(name, args).unwrap_or_else(|error| panic!("{name}: {error}"));
    let text = text_of(&value, &ty);
    format!("{} {text}", types::display(&ty))
}

fn text_of(value: &Value, ty: &SqlType) -> String {
    let cx = context();
    let to = SqlType::NVarChar(None);
    let style = if types::is_binary(ty) { 2 } else { 121 };
    let style = if types::is_temporal(ty) || types::is_binary(ty) {
        style
    } else {
        0
    };
    match convert(
        value,
        Conversion {
            from: ty,
            to: &to,
            style,
            collate: &cx.collation,
            dateformat: "mdy",
        },
    )
    .unwrap()
    {
        Value::Str(units) => types::text(&units),
        _ => "NULL".to_owned(),
    }
}

fn number(name: &str, args: &[(Value, SqlType)]) -> i32 {
    call(name, args).map_or_else(
        |error| error.number,
        |(value, _)| panic!("{name} gave {value:?}"),
    )
}

#[test]
fn names_are_unique_and_found_in_any_case() {
    let mut names: Vec<_> = LISTS
        .iter()
        .flat_map(|list| list.iter())
        .map(|function| function.name)
        .collect();
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all);
    assert!(names.iter().all(|name| *name == name.to_ascii_uppercase()));
    assert!(lookup("dateAdd").is_some() && lookup("FORMAT").is_none());
}

#[test]
fn text_functions() {
    let cases = [
        ("LEFT", vec![s("abcdef"), i(2)], "varchar(50) ab"),
        ("LEFT", vec![n("ab"), i(9)], "nvarchar(50) ab"),
        ("LEFT", vec![i(12345), i(2)], "varchar(41) 12"),
        ("RIGHT", vec![s("abcdef"), i(2)], "varchar(50) ef"),
        ("SUBSTRING", vec![s("abcdef"), i(0), i(3)], "varchar(50) ab"),
        ("SUBSTRING", vec![s("abcdef"), i(-5), i(7)], "varchar(50) a"),
        (
            "SUBSTRING",
            vec![s("abcdef"), i(4), i(99)],
            "varchar(50) def",
        ),
        ("SUBSTRING", vec![s("abc"), i(9), i(1)], "varchar(50) "),
        (
            "SUBSTRING",
            vec![typed("abcd", SqlType::VarChar(None)), i(2), i(2)],
            "varchar(max) bc",
        ),
        (
            "SUBSTRING",
            vec![
                (Value::Bytes([1, 2, 3].into()), SqlType::Binary(3)),
                i(2),
                i(2),
            ],
            "varbinary(3) 0203",
        ),
        (
            "UPPER",
            vec![n("aß\u{e9}\u{3b1}")],
            "nvarchar(50) Aß\u{c9}\u{391}",
        ),
        ("LOWER", vec![s("AbC")], "varchar(50) abc"),
        ("LTRIM", vec![s("  a ")], "varchar(50) a "),
        ("RTRIM", vec![s("  a ")], "varchar(50)   a"),
        ("TRIM", vec![s(" \ta ")], "varchar(50) \ta"),
        ("TRIM", vec![s("xxaXx"), s("x")], "varchar(50) a"),
        (
            "REPLACE",
            vec![s("aBcAb"), s("b"), s("--")],
            "varchar(8000) a--cA--",
        ),
        (
            "REPLACE",
            vec![s("abc"), s(""), s("x")],
            "varchar(8000) abc",
        ),
        (
            "REPLACE",
            vec![s("abc"), n("b"), s("x")],
            "nvarchar(4000) axc",
        ),
        (
            "TRANSLATE",
            vec![s("2*[3+4]"), s("[]"), s("()")],
            "varchar(50) 2*(3+4)",
        ),
        ("REPLICATE", vec![s("ab"), i(3)], "varchar(8000) ababab"),
        ("REPLICATE", vec![s("ab"), i(-1)], "varchar(8000) NULL"),
        ("REVERSE", vec![s("abc")], "varchar(50) cba"),
        (
            "STUFF",
            vec![s("abcdef"), i(2), i(3), s("ijklmn")],
            "varchar(100) aijklmnef",
        ),
        (
            "STUFF",
            vec![s("abc"), i(0), i(1), s("x")],
            "varchar(100) NULL",
        ),
        (
            "STUFF",
            vec![s("abc"), i(4), i(0), s("x")],
            "varchar(100) NULL",
        ),
        ("STUFF", vec![s("abc"), i(2), i(9), null()], "varchar(91) a"),
        (
            "CONCAT",
            vec![s("a"), null(), i(5), n("b")],
            "nvarchar(182) a5b",
        ),
        (
            "CONCAT_WS",
            vec![s(","), s("a"), null(), s("b")],
            "varchar(241) a,b",
        ),
        ("CONCAT_WS", vec![s(","), null(), null()], "varchar(132) "),
        ("ASCII", vec![s("\u{20ac}")], "int 128"),
        ("CHAR", vec![i(128)], "char(1) \u{20ac}"),
        ("CHAR", vec![i(256)], "char(1) NULL"),
        ("NCHAR", vec![i(8364)], "nchar(1) \u{20ac}"),
        ("UNICODE", vec![n("\u{20ac}x")], "int 8364"),
        ("UNICODE", vec![n("")], "int NULL"),
        ("QUOTENAME", vec![n("a]b")], "nvarchar(258) [a]]b]"),
        ("QUOTENAME", vec![n("a'b"), s("'")], "nvarchar(258) 'a''b'"),
        ("QUOTENAME", vec![n("a"), s("x")], "nvarchar(258) NULL"),
        (
            "PARSENAME",
            vec![n("srv.[my.db]..t"), i(3)],
            "nvarchar(128) my.db",
        ),
        (
            "PARSENAME",
            vec![n("srv.[my.db]..t"), i(2)],
            "nvarchar(128) NULL",
        ),
        (
            "PARSENAME",
            vec![n("a.b.c.d.e"), i(1)],
            "nvarchar(128) NULL",
        ),
        ("LEN", vec![s("ab  ")], "int 2"),
        ("LEN", vec![i(-12)], "int 3"),
        (
            "LEN",
            vec![typed("ab ", SqlType::NVarChar(None))],
            "bigint 2",
        ),
        ("DATALENGTH", vec![n("ab ")], "int 6"),
        ("DATALENGTH", vec![s("\u{20ac}a")], "int 2"),
        ("DATALENGTH", vec![dec("1.5", 20, 2)], "int 13"),
        ("DATALENGTH", vec![i(1)], "int 4"),
        ("CHARINDEX", vec![s("B"), s("abcb")], "int 2"),
        ("CHARINDEX", vec![s("b"), s("abcb"), i(3)], "int 4"),
        ("CHARINDEX", vec![s("b"), s("abcb"), i(9)], "int 0"),
        ("CHARINDEX", vec![s(""), s("abc")], "int 0"),
        ("PATINDEX", vec![s("%[0-9]%"), s("ab7c8")], "int 3"),
        ("PATINDEX", vec![s("b%"), s("abc")], "int 0"),
        ("PATINDEX", vec![s("%c"), s("abc")], "int 3"),
        ("PATINDEX", vec![s("%x%"), s("abc")], "int 0"),
    ];
    for (name, args, expected) in cases {
        assert_eq!(shown(name, &args), expected, "{name}({args:?})");
    }
    assert_eq!(number("LEFT", &[s("a"), i(-1)]), 537);
    assert_eq!(number("RIGHT", &[s("a"), i(-1)]), 536);
    assert_eq!(number("SUBSTRING", &[s("a"), i(1), i(-1)]), 537);
    assert_eq!(number("TRANSLATE", &[s("a"), s("ab"), s("c")]), 9828);
    assert_eq!(number("UPPER", &[(Value::Null, SqlType::SqlVariant)]), 8116);
    assert_eq!(number("LEN", &[(Value::Null, SqlType::NText)]), 8116);
    let (Value::Str(units), _) = call("REPLICATE", &[s("abc"), i(9000)]).unwrap() else {
        panic!("text")
    };
    assert_eq!(units.len(), 8000);
}

#[test]
fn exact_numbers_stay_exact() {
    let money = |text: &str| typed(text, SqlType::Money);
    let cases = [
        ("ABS", vec![dec("-12.50", 10, 2)], "decimal(10,2) 12.50"),
        (
            "ABS",
            vec![(Value::SmallInt(-5), SqlType::SmallInt)],
            "int 5",
        ),
        ("SIGN", vec![dec("-12.50", 10, 2)], "decimal(10,2) -1.00"),
        ("SIGN", vec![money("-2")], "money -1.00"),
        ("CEILING", vec![dec("123.45", 5, 2)], "decimal(5,0) 124"),
        ("FLOOR", vec![dec("-123.45", 5, 2)], "decimal(5,0) -124"),
        ("FLOOR", vec![money("123.45")], "money 123.00"),
        ("CEILING", vec![money("-123.45")], "money -123.00"),
        (
            "ROUND",
            vec![dec("123.4545", 7, 4), i(2)],
            "decimal(7,4) 123.4500",
        ),
        ("ROUND", vec![dec("-0.5", 3, 1), i(0)], "decimal(3,1) -1.0"),
        (
            "ROUND",
            vec![dec("150.75", 5, 2), i(0), i(1)],
            "decimal(5,2) 150.00",
        ),
        (
            "ROUND",
            vec![dec("748.58", 5, 2), i(-1)],
            "decimal(5,2) 750.00",
        ),
        (
            "ROUND",
            vec![dec("748.58", 5, 2), i(-4)],
            "decimal(5,2) 0.00",
        ),
        ("ROUND", vec![i(1250), i(-2)], "int 1300"),
        ("ROUND", vec![f(2.5), i(0)], "float 3"),
        ("ROUND", vec![f(123.4567), i(2)], "float 123.46"),
        ("POWER", vec![i(2), i(10)], "int 1024"),
        (
            "POWER",
            vec![(Value::BigInt(3), SqlType::BigInt), i(39)],
            "bigint 4052555153018976267",
        ),
        ("POWER", vec![dec("1.10", 5, 2), i(2)], "decimal(38,2) 1.21"),
        ("SQRT", vec![i(16)], "float 4"),
        ("SQUARE", vec![i(5)], "float 25"),
        ("LOG", vec![i(8), i(2)], "float 3"),
        ("LOG10", vec![i(1000)], "float 3"),
        ("STR", vec![f(123.45), i(6), i(1)], "varchar(8000)  123.5"),
        ("STR", vec![f(2.5)], "varchar(8000)          3"),
        ("STR", vec![f(-0.2), i(4)], "varchar(8000)    0"),
        ("STR", vec![f(123.45), i(2), i(2)], "varchar(8000) **"),
        ("STR", vec![f(9.99), i(4), i(1)], "varchar(8000) 10.0"),
        (
            "GREATEST",
            vec![i(1), dec("2.5", 3, 1), null()],
            "decimal(11,1) 2.5",
        ),
        ("LEAST", vec![s("b"), s("A")], "varchar(50) A"),
        ("ISNUMERIC", vec![s("1e5")], "int 1"),
        ("ISNUMERIC", vec![s("$1,000.5")], "int 1"),
        ("ISNUMERIC", vec![s("12a")], "int 0"),
        ("ISNUMERIC", vec![s(" ")], "int 0"),
        ("ISNUMERIC", vec![i(5)], "int 1"),
        ("ISDATE", vec![s("2024-02-29")], "int 1"),
        ("ISDATE", vec![s("2023-02-29")], "int 0"),
        ("ISDATE", vec![s("1700-01-01")], "int 0"),
    ];
    for (name, args, expected) in cases {
        assert_eq!(shown(name, &args), expected, "{name}({args:?})");
    }
    assert_eq!(number("ABS", &[i(i32::MIN)]), 8115);
    assert_eq!(number("ROUND", &[dec("748.58", 5, 2), i(-3)]), 8115);
    assert_eq!(number("ROUND", &[i(i32::MAX), i(-1)]), 8115);
    assert_eq!(number("POWER", &[i(2), i(40)]), 232);
    assert_eq!(number("SQRT", &[i(-1)]), 3623);
    assert_eq!(number("LOG", &[i(0)]), 3623);
    assert_eq!(number("ABS", &[(Value::Null, SqlType::Date)]), 8116);
}

#[test]
fn seeded_random_numbers_are_the_servers() {
    for (seed, expected) in [
        (0, 0.943_597_390_424_144),
        (1, 0.713_591_993_212_924),
        (100, 0.715_436_657_367_485),
    ] {
        let (Value::Float(value), _) = call("RAND", &[i(seed)]).unwrap() else {
            panic!("a float")
        };
        assert!((value - expected).abs() < 1e-15, "RAND({seed}) is {value}");
    }
    let (Value::Float(value), _) = call("RAND", &[]).unwrap() else {
        panic!("a float")
    };
    assert!((0.0..1.0).contains(&value));
}

#[test]
fn digests() {
    let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let (value, ty) = call("HASHBYTES", &[s("sha2_256"), s("abc")]).unwrap();
    assert_eq!(text_of(&value, &ty).to_lowercase(), abc);
    let (value, ty) = call("HASHBYTES", &[s("MD5"), n("a")]).unwrap();
    let (bytes, _) = call(
        "HASHBYTES",
        &[
            s("MD5"),
            (Value::Bytes([0x61, 0].into()), SqlType::VarBinary(Some(2))),
        ],
    )
    .unwrap();
    assert_eq!((value, ty), (bytes, SqlType::VarBinary(Some(8000))));
    assert_eq!(number("HASHBYTES", &[s("MD2"), s("a")]), 40000);
    assert_eq!(number("HASHBYTES", &[s("MD5"), i(1)]), 8116);
    assert_eq!(shown("CHECKSUM", &[i(-7)]), "int -7");
    assert_ne!(call("NEWID", &[]).unwrap(), call("NEWID", &[]).unwrap());
}

/// Whatever comes in, a function answers in its type or with an error: it never panics.
#[test]
fn no_argument_makes_a_function_panic() {
    let samples = [
        null(),
        s(""),
        s("abc"),
        n("2024-01-01 10:00:00"),
        s("day"),
        s("ns"),
        i(0),
        i(i32::MIN),
        i(i32::MAX),
        (Value::BigInt(i64::MIN), SqlType::BigInt),
        (Value::BigInt(i64::MAX), SqlType::BigInt),
        f(f64::MAX),
        f(-0.5),
        dec("-99999999999999999999999999999999999999", 38, 0),
        dec("0.99999999999999999999999999999999999999", 38, 38),
        typed("0001-01-01", SqlType::Date),
        typed("9999-12-31 23:59:59.9999999", SqlType::DateTime2(7)),
        typed("23:59:59.9999999", SqlType::Time(7)),
        typed("9999-12-31 23:59:59.997", SqlType::DateTime),
        typed("0001-01-01 14:00:00 +14:00", SqlType::DateTimeOffset(7)),
        (Value::Bytes([].into()), SqlType::VarBinary(Some(1))),
        (Value::Guid([7; 16]), SqlType::UniqueIdentifier),
    ];
    for function in LISTS.iter().flat_map(|list| list.iter()) {
        let most = (*function.args.end()).min(3);
        for count in *function.args.start()..=most.max(*function.args.start()) {
            for first in &samples {
                for second in &samples {
                    for third in [
                        &samples[1],
                        &samples[6],
                        &samples[7],
                        &samples[15],
                        &samples[19],
                    ] {
                        let args: Vec<_> = [first, second, third]
                            .into_iter()
                            .cycle()
                            .take(count)
                            .cloned()
                            .collect();
                        if function.name == "REPLICATE"
                            && matches!(args.get(1), Some((Value::BigInt(_), _)))
                        {
                            continue;
                        }
                        let _ = call(function.name, &args);
                    }
                }
            }
        }
    }
}
