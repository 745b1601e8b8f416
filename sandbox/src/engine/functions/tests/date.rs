use super::*;

#[test]
fn dates_are_added() {
    let datetime = |text: &str| typed(text, SqlType::DateTime);
    let precise = |text: &str| typed(text, SqlType::DateTime2(7));
    let date = |text: &str| typed(text, SqlType::Date);
    let zoned = typed("2024-03-10 23:30:00 +05:00", SqlType::DateTimeOffset(0));
    let cases = [
        (
            "DATEADD",
            vec![s("month"), i(1), date("2024-01-31")],
            "date 2024-02-29",
        ),
        (
            "DATEADD",
            vec![s("yy"), i(-1), date("2024-02-29")],
            "date 2023-02-28",
        ),
        (
            "DATEADD",
            vec![s("quarter"), i(-5), date("2024-05-31")],
            "date 2023-02-28",
        ),
        (
            "DATEADD",
            vec![s("week"), i(1), s("2024-01-31")],
            "datetime 2024-02-07 00:00:00.000",
        ),
        (
            "DATEADD",
            vec![s("day"), i(5), i(0)],
            "datetime 1900-01-06 00:00:00.000",
        ),
        (
            "DATEADD",
            vec![s("ms"), i(1), datetime("2024-01-01 00:00:00.000")],
            "datetime 2024-01-01 00:00:00.000",
        ),
        (
            "DATEADD",
            vec![s("ms"), i(2), datetime("2024-01-01 00:00:00.000")],
            "datetime 2024-01-01 00:00:00.003",
        ),
        (
            "DATEADD",
            vec![s("ms"), i(3), datetime("2024-12-31 23:59:59.997")],
            "datetime 2025-01-01 00:00:00.000",
        ),
        (
            "DATEADD",
            vec![s("ns"), i(149), precise("2007-01-01 13:10:10.1111111")],
            "datetime2(7) 2007-01-01 13:10:10.1111112",
        ),
        (
            "DATEADD",
            vec![s("ns"), i(150), precise("2007-01-01 13:10:10.1111111")],
            "datetime2(7) 2007-01-01 13:10:10.1111113",
        ),
        (
            "DATEADD",
            vec![s("mcs"), i(-1), precise("2024-01-01")],
            "datetime2(7) 2023-12-31 23:59:59.9999990",
        ),
        (
            "DATEADD",
            vec![s("hour"), i(25), typed("23:00", SqlType::Time(3))],
            "time(3) 00:00:00.000",
        ),
        (
            "DATEADD",
            vec![s("hour"), i(1), zoned.clone()],
            "datetimeoffset(0) 2024-03-11 00:30:00 +05:00",
        ),
        (
            "DATEADD",
            vec![s("day"), null(), date("2024-01-01")],
            "date NULL",
        ),
        (
            "DATETRUNC",
            vec![s("month"), precise("2024-05-17 12:34:56.7891234")],
            "datetime2(7) 2024-05-01 00:00:00.0000000",
        ),
        (
            "DATETRUNC",
            vec![s("ms"), precise("2024-05-17 12:34:56.7891234")],
            "datetime2(7) 2024-05-17 12:34:56.7890000",
        ),
        (
            "DATETRUNC",
            vec![s("week"), date("2024-05-17")],
            "date 2024-05-12",
        ),
        (
            "DATETRUNC",
            vec![s("iso_week"), date("2024-05-17")],
            "date 2024-05-13",
        ),
        (
            "DATETRUNC",
            vec![s("quarter"), date("2024-05-17")],
            "date 2024-04-01",
        ),
        ("EOMONTH", vec![date("2024-01-31"), i(1)], "date 2024-02-29"),
        ("EOMONTH", vec![s("2023-12-05")], "date 2023-12-31"),
    ];
    for (name, args, expected) in cases {
        assert_eq!(shown(name, &args), expected, "{name}({args:?})");
    }
    assert_eq!(
        number("DATEADD", &[s("year"), i(8000), date("2024-01-01")]),
        517
    );
    assert_eq!(
        number("DATEADD", &[s("day"), i(-1), datetime("1753-01-01")]),
        517
    );
    assert_eq!(
        number("DATEADD", &[s("hour"), i(1), date("2024-01-01")]),
        9810
    );
    assert_eq!(
        number(
            "DATEADD",
            &[s("day"), i(1), typed("10:00", SqlType::Time(0))]
        ),
        9810
    );
    assert_eq!(
        number("DATEADD", &[s("mcs"), i(1), datetime("2024-01-01")]),
        9810
    );
    assert_eq!(
        number("DATEADD", &[s("fortnight"), i(1), date("2024-01-01")]),
        155
    );
    assert_eq!(
        number(
            "DATEADD",
            &[s("day"), i(1), (Value::Null, SqlType::UniqueIdentifier)]
        ),
        8116
    );
}

#[test]
fn boundaries_between_dates() {
    let diff = |part: &str, start: &str, end: &str| shown("DATEDIFF", &[s(part), s(start), s(end)]);
    for part in [
        "year",
        "quarter",
        "month",
        "dayofyear",
        "day",
        "week",
        "weekday",
        "hour",
        "minute",
        "second",
        "millisecond",
        "microsecond",
    ] {
        assert_eq!(
            diff(
                part,
                "2005-12-31 23:59:59.9999999",
                "2006-01-01 00:00:00.0000000"
            ),
            "int 1",
            "{part}"
        );
    }
    assert_eq!(
        diff("ns", "2005-12-31 23:59:59.9999999", "2006-01-01"),
        "int 100"
    );
    assert_eq!(diff("week", "2024-05-11", "2024-05-12"), "int 1");
    assert_eq!(diff("week", "2024-05-12", "2024-05-18"), "int 0");
    assert_eq!(
        diff(
            "day",
            "2012-01-13 00:00:00 +01:00",
            "2012-01-13 23:59:59 +01:00"
        ),
        "int 1"
    );
    assert_eq!(diff("month", "2024-03-31", "2024-02-01"), "int -1");
    assert_eq!(
        number("DATEDIFF", &[s("ms"), s("2000-01-01"), s("2024-01-01")]),
        535
    );
    let wide = [s("ns"), s("0001-01-01"), s("9999-12-31")];
    assert_eq!(number("DATEDIFF_BIG", &wide), 535);
    assert_eq!(
        shown(
            "DATEDIFF_BIG",
            &[s("mcs"), s("0001-01-01"), s("9999-12-31 23:59:59.9999999")]
        ),
        "bigint 315537897599999999"
    );
    assert_eq!(
        shown(
            "DATEDIFF",
            &[
                s("hour"),
                typed("10:00", SqlType::Time(0)),
                typed("1900-01-02 09:00", SqlType::DateTime)
            ]
        ),
        "int 23"
    );
    assert_eq!(
        number("DATEDIFF", &[s("tz"), s("2000-01-01"), s("2024-01-01")]),
        9810
    );
}

#[test]
fn parts_of_dates() {
    let part = |part: &str, text: &str, ty: SqlType| shown("DATEPART", &[s(part), typed(text, ty)]);
    let precise = SqlType::DateTime2(7);
    let cases = [
        ("year", "int 2007"),
        ("qq", "int 4"),
        ("mm", "int 10"),
        ("dy", "int 303"),
        ("dd", "int 30"),
        ("wk", "int 44"),
        ("dw", "int 3"),
        ("hh", "int 12"),
        ("n", "int 15"),
        ("ss", "int 32"),
        ("ms", "int 123"),
        ("mcs", "int 123456"),
        ("ns", "int 123456700"),
        ("isowk", "int 44"),
        ("tz", "int 0"),
    ];
    for (word, expected) in cases {
        assert_eq!(
            part(word, "2007-10-30 12:15:32.1234567", precise.clone()),
            expected,
            "{word}"
        );
    }
    for (day, week) in [
        ("2024-12-30", "int 1"),
        ("2021-01-03", "int 53"),
        ("2020-12-31", "int 53"),
        ("2016-01-03", "int 53"),
        ("2018-01-01", "int 1"),
    ] {
        assert_eq!(part("iso_week", day, SqlType::Date), week, "{day}");
    }
    assert_eq!(
        part("ms", "2024-01-01 00:00:00.997", SqlType::DateTime),
        "int 997"
    );
    assert_eq!(
        shown(
            "DATEPART",
            &[
                s("tz"),
                typed("2024-01-01 00:00 -05:30", SqlType::DateTimeOffset(0))
            ]
        ),
        "int -330"
    );
    assert_eq!(
        shown(
            "DATENAME",
            &[
                s("tz"),
                typed("2024-01-01 00:00 -05:30", SqlType::DateTimeOffset(0))
            ]
        ),
        "nvarchar(30) -05:30"
    );
    assert_eq!(
        shown("DATENAME", &[s("month"), s("2024-05-17")]),
        "nvarchar(30) May"
    );
    assert_eq!(
        shown("DATENAME", &[s("weekday"), s("2024-05-17")]),
        "nvarchar(30) Friday"
    );
    assert_eq!(
        shown("DATENAME", &[s("day"), s("2024-05-07")]),
        "nvarchar(30) 7"
    );
    assert_eq!(shown("YEAR", &[i(0)]), "int 1900");
    assert_eq!(shown("MONTH", &[s("2024-05-17")]), "int 5");
    assert_eq!(
        number("DATEPART", &[s("hour"), typed("2024-01-01", SqlType::Date)]),
        9810
    );
    assert_eq!(
        number("DATEPART", &[s("year"), typed("10:00", SqlType::Time(0))]),
        9810
    );
}

#[test]
fn dates_are_made_of_parts() {
    assert_eq!(
        shown("DATEFROMPARTS", &[i(2024), i(2), i(29)]),
        "date 2024-02-29"
    );
    assert_eq!(
        shown("TIMEFROMPARTS", &[i(23), i(59), i(59), i(5), i(3)]),
        "time(7) 23:59:59.0050000"
    );
    assert_eq!(
        shown(
            "DATETIME2FROMPARTS",
            &[i(2024), i(2), i(29), i(1), i(2), i(3), i(45), i(2)]
        ),
        "datetime2(7) 2024-02-29 01:02:03.4500000"
    );
    assert_eq!(
        shown(
            "DATETIMEFROMPARTS",
            &[i(2024), i(2), i(29), i(1), i(2), i(3), i(998)]
        ),
        "datetime 2024-02-29 01:02:03.997"
    );
    assert_eq!(
        shown(
            "DATETIMEOFFSETFROMPARTS",
            &[
                i(2024),
                i(1),
                i(1),
                i(1),
                i(0),
                i(0),
                i(0),
                i(-5),
                i(-30),
                i(0)
            ]
        ),
        "datetimeoffset(7) 2024-01-01 01:00:00.0000000 -05:30"
    );
    assert_eq!(
        shown("DATEFROMPARTS", &[i(2024), null(), i(29)]),
        "date NULL"
    );
    assert_eq!(number("DATEFROMPARTS", &[i(2023), i(2), i(29)]), 289);
    assert_eq!(
        number("TIMEFROMPARTS", &[i(1), i(1), i(1), i(1000), i(3)]),
        289
    );
    assert_eq!(
        number("TIMEFROMPARTS", &[i(1), i(1), i(1), i(0), i(8)]),
        1002
    );
    let zoned = typed("2024-01-01 01:00 +01:00", SqlType::DateTimeOffset(0));
    assert_eq!(
        shown("SWITCHOFFSET", &[zoned.clone(), s("-08:00")]),
        "datetimeoffset(0) 2023-12-31 16:00:00 -08:00"
    );
    assert_eq!(
        shown("SWITCHOFFSET", &[zoned.clone(), i(90)]),
        "datetimeoffset(0) 2024-01-01 01:30:00 +01:30"
    );
    assert_eq!(
        shown(
            "TODATETIMEOFFSET",
            &[
                typed("2024-01-01 01:00", SqlType::DateTime2(0)),
                s("+05:30")
            ]
        ),
        "datetimeoffset(0) 2024-01-01 01:00:00 +05:30"
    );
    assert_eq!(number("SWITCHOFFSET", &[zoned, s("+15:00")]), 9812);
}

#[test]
fn the_clock_is_the_statements() {
    assert_eq!(
        shown("SYSUTCDATETIME", &[]),
        "datetime2(7) 2026-01-02 03:04:05.6789012"
    );
    assert_eq!(
        shown("SYSDATETIME", &[]),
        "datetime2(7) 2026-01-02 08:34:05.6789012"
    );
    assert_eq!(
        shown("SYSDATETIMEOFFSET", &[]),
        "datetimeoffset(7) 2026-01-02 08:34:05.6789012 +05:30"
    );
    assert_eq!(shown("GETUTCDATE", &[]), "datetime 2026-01-02 03:04:05.680");
    assert_eq!(shown("GETDATE", &[]), shown("CURRENT_TIMESTAMP", &[]));
}
