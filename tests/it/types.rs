//! Types and values that need a case of their own; `random.rs` has all of them together.

use crate::harness::{World, readers_agree, server, skipped};
use icesync_sandbox::collation::CollationInfo;
use serde_json::{Value, json};

/// A Windows collation of every code page that SQL Server has, one each.
const PAGES: [(u16, &str); 17] = [
    (437, "SQL_Latin1_General_CP437_CS_AS"),
    (850, "SQL_Latin1_General_CP850_CS_AS"),
    (874, "Thai_CS_AS"),
    (932, "Japanese_CS_AS"),
    (936, "Chinese_PRC_CS_AS"),
    (949, "Korean_Wansung_CS_AS"),
    (950, "Chinese_Taiwan_Stroke_CS_AS"),
    (1250, "Polish_CS_AS"),
    (1251, "Cyrillic_General_CS_AS"),
    (1252, "Latin1_General_CS_AS"),
    (1253, "Greek_CS_AS"),
    (1254, "Turkish_CS_AS"),
    (1255, "Hebrew_CS_AS"),
    (1256, "Arabic_CS_AS"),
    (1257, "Latvian_CS_AS"),
    (1258, "Vietnamese_CS_AS"),
    (65001, "Latin1_General_100_CS_AS_SC_UTF8"),
];

/// Characters in each row of the tables of code pages.
const A_ROW: usize = 60;

/// Every character of a code page, `A_ROW` at a time.
fn rows(collation: &str) -> Vec<String> {
    let page = CollationInfo::of(collation).expect("a collation").code_page;
    let known: Vec<char> = ('\u{20}'..='\u{FFFF}')
        // Not those for which the code page only has something like them.
        .filter(|c| {
            let mut units = [0; 2];
            let units = &*c.encode_utf16(&mut units);
            page.has(units) && page.text(&page.bytes(units)) == units
        })
        .filter(|c| !matches!(u32::from(*c), 0x80..=0x9F if page.number() != 65001))
        .collect();
    // Of UTF-8 every 16th, and some that take two UTF-16 units.
    let known: Vec<char> = match page.number() {
        65001 => known
            .into_iter()
            .step_by(16)
            .chain("😀𠮷🜨".chars())
            .collect(),
        _ => known,
    };
    known
        .chunks(A_ROW)
        .map(|row| row.iter().collect())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_character_of_every_code_page_comes_back() {
    let mut world = World::new("SELECT 1").await;
    let mut config = String::new();
    for (number, collation) in PAGES {
        let page = CollationInfo::of(collation).expect("a collation").code_page;
        assert_eq!(page.number(), number, "{collation}");
        world
            .source(&format!(
                "CREATE TABLE dbo.p{number} (id int NOT NULL PRIMARY KEY, short varchar(400) COLLATE {collation} NOT \
                    NULL, \
fixed char(400) COLLATE {collation} NOT NULL, long varchar(max) COLLATE {collation} NOT NULL, old text COLLATE \
{collation} NOT NULL)"
            ))
            .await;
        for (at, row) in rows(collation).iter().enumerate() {
            let text = format!("N'{}'", row.replace('\'', "''"));
            world
                .source(&format!(
                    "INSERT dbo.p{number} VALUES ({at}, {text}, {text}, {text}, {text})"
                ))
                .await;
        }
        config.push_str(&format!("  - source: dbo.p{number}\n"));
    }
    world.config(&config);
    world.run(&["--json", "sync"]).json();
    for (number, collation) in PAGES {
        let expected: Vec<Vec<String>> = rows(collation)
            .iter()
            .enumerate()
            .map(|(at, row)| {
                let padding = 400
                    - CollationInfo::of(collation)
                        .unwrap()
                        .code_page
                        .bytes(&row.encode_utf16().collect::<Vec<_>>())
                        .len();
                let fixed = format!("{row}{}", " ".repeat(padding));
                let text = |text: &str| format!("Text({text:?})");
                vec![
                    format!("Int({at})"),
                    text(row),
                    text(&fixed),
                    text(row),
                    text(row),
                ]
            })
            .collect();
        let query = format!(
            "SELECT id, CONVERT(nvarchar(400), short), CONVERT(nvarchar(400), fixed), CONVERT(nvarchar(max), long), \
                CONVERT(nvarchar(max), old) \
FROM dbo.p{number} ORDER BY id"
        );
        assert_eq!(world.source_rows(&query).await, expected, "{collation}");
        assert_eq!(world.target_rows(&query).await, expected, "{collation}");
    }
    let expected: Vec<Value> = rows("Cyrillic_General_CS_AS")
        .iter()
        .enumerate()
        .map(|(at, row)| {
            let fixed = format!("{row}{}", " ".repeat(400 - row.chars().count()));
            json!({ "id": at, "short": row, "fixed": fixed, "long": row, "old": row })
        })
        .collect();
    readers_agree(&world.lake("dbo", "p1251"), "id", &expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn half_a_surrogate_pair_is_refused_or_counted() {
    let mut world = World::new(
        "CREATE TABLE dbo.half (id nvarchar(10) COLLATE Latin1_General_BIN2 NOT NULL PRIMARY KEY, name nvarchar(20) \
            NULL)
GO
INSERT dbo.half VALUES (N'a', N'x' + NCHAR(0xD83D) + N'y'), (N'b', NCHAR(0xDE00) + NCHAR(0xD83D)), (N'c', N'whole 😀')",
    )
    .await;
    world.config("  - source: dbo.half\n");
    world.run(&["sync"]).fails_with(
        1,
        &[
            "dbo.half",
            "name",
            "nvarchar(20)",
            "half of a surrogate pair",
            "fidelity: standard",
        ],
    );
    assert!(
        world
            .target_rows("SELECT name FROM sys.tables WHERE name = N'half'")
            .await
            .is_empty()
    );

    world.config("  - source: dbo.half\n    lake: dbo.half_standard\n    fidelity: standard\n");
    let report = world.run(&["--json", "sync"]).json();
    assert_eq!(
        report["tables"][0]["extract"]["truncated"],
        json!(3),
        "{report:#}"
    );
    assert_eq!(
        world
            .target_rows("SELECT name FROM dbo.half ORDER BY id")
            .await,
        [
            ["Text(\"x\u{FFFD}y\")"],
            ["Text(\"\u{FFFD}\u{FFFD}\")"],
            ["Text(\"whole 😀\")"]
        ]
    );

    // In a key it could make two rows one.
    world
        .source("INSERT dbo.half VALUES (NCHAR(0xD83D), N'z')")
        .await;
    world
        .run(&["sync"])
        .fails_with(1, &["dbo.half", "column id", "the key holds"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_standard_fidelity_cuts_off_is_counted() {
    let mut world = World::new(
        "CREATE TABLE dbo.cut (id int NOT NULL PRIMARY KEY, t time(7) NULL, d datetime2(7) NULL, o datetimeoffset(7) \
            NULL, fine datetime2(6) NULL)
GO
INSERT dbo.cut VALUES
    (1, '10:00:00.1234567', '2024-01-01 10:00:00.1234567', '2024-01-01 10:00:00.1234567 +02:00', '2024-01-01 \
    10:00:00.123456'),
    (2, '10:00:00.1234560', '9999-12-31 23:59:59.9999999', '2024-01-01 10:00:00.1234560 +00:00', NULL),
    (3, NULL, '2024-01-01', '2024-01-01 10:00:00.1234560 -05:30', NULL)",
    )
    .await;
    world.config("  - source: dbo.cut\n    fidelity: standard\n");
    let report = world.run(&["--json", "sync"]).json();
    // t and d and o of row 1, d of row 2, the offset of row 3.
    assert_eq!(
        report["tables"][0]["extract"]["truncated"],
        json!(5),
        "{report:#}"
    );
    let text = world
        .target_rows("SELECT CONVERT(varchar(40), t, 121), CONVERT(varchar(40), d, 121), CONVERT(varchar(40), o, 121) \
            FROM dbo.cut ORDER BY id")
        .await;
    assert_eq!(
        text,
        [
            [
                "Text(\"10:00:00.1234560\")",
                "Text(\"2024-01-01 10:00:00.1234560\")",
                "Text(\"2024-01-01 08:00:00.1234560 +00:00\")"
            ],
            [
                "Text(\"10:00:00.1234560\")",
                "Text(\"9999-12-31 23:59:59.9999990\")",
                "Text(\"2024-01-01 10:00:00.1234560 +00:00\")"
            ],
            [
                "NULL",
                "Text(\"2024-01-01 00:00:00.0000000\")",
                "Text(\"2024-01-01 15:30:00.1234560 +00:00\")"
            ],
        ]
    );
    let said = world.run(&["sync"]);
    assert_eq!(said.code, 0, "{said:#?}");
}

/// Values that the server takes for equal and that are not the same.
async fn twins(statement: &str) {
    let mut world = World::new(
        "CREATE TABLE dbo.twins (o datetimeoffset(3) NOT NULL, b varbinary(8) NOT NULL, n nvarchar(8) COLLATE \
            Latin1_General_CI_AI NOT NULL,
    f float NULL, r real NULL, v sql_variant NULL, t varchar(8) NULL, PRIMARY KEY (o, b, n))
GO
INSERT dbo.twins VALUES ('2024-01-01 10:00:00 +00:00', 0x01, N'key', 0e0, 0e0, CONVERT(int, 5), 'a')",
    )
    .await;
    world.config(&format!(
        "  - source: dbo.twins\n    change: {{ strategy: full }}\n    merge: {{ statement: {statement} }}\n"
    ));
    world.run(&["--json", "sync"]).json();
    let query = "SELECT CONVERT(varchar(40), o, 121), b, n, CONVERT(varbinary(8), f), CONVERT(varbinary(4), r), \
CONVERT(nvarchar(128), SQL_VARIANT_PROPERTY(v, 'BaseType')), t FROM dbo.twins";
    for change in [
        "o = '2024-01-01 12:00:00 +02:00'",
        "b = 0x0100",
        "n = N'KEY'",
        "n = N'KEY '",
        "f = -0e0",
        "r = -0e0",
        "v = CONVERT(bigint, 5)",
        "v = CONVERT(decimal(5,1), 5)",
        "t = 'A'",
        "t = 'A '",
    ] {
        world
            .source(&format!("UPDATE dbo.twins SET {change}"))
            .await;
        let report = world.run(&["--json", "sync"]).json();
        assert_eq!(report["outcome"], json!("done"), "{change}: {report:#}");
        assert_eq!(
            world.target_rows(query).await,
            world.source_rows(query).await,
            "{change}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn merge_sees_every_change_of_a_value() {
    twins("merge").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn update_insert_sees_every_change_of_a_value() {
    twins("update_insert").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sql_variant_keeps_its_base_type() {
    let mut world = World::new(
        "CREATE TABLE dbo.v (id int NOT NULL PRIMARY KEY, v sql_variant NULL)
GO
INSERT dbo.v VALUES (1, NULL)",
    )
    .await;
    let values = [
        "CONVERT(bit, 1)",
        "CONVERT(decimal(38,10), 1.5)",
        "CONVERT(money, -0.0001)",
        "CONVERT(float, 0.1)",
        "CONVERT(real, 0.1)",
        "CONVERT(datetime, '2024-02-29T23:59:59.997')",
        "CONVERT(datetimeoffset(3), '2024-02-29T23:59:59.997+05:45')",
        "CONVERT(varchar(10), N'żółw:' COLLATE Polish_CI_AS)",
        "CONVERT(nchar(6), N'貓 ' COLLATE Chinese_Taiwan_Stroke_CI_AS)",
        "0x00FF",
        "CONVERT(binary(3), 0x01)",
        "CONVERT(uniqueidentifier, '6F9619FF-8B86-D011-B42D-00C04FC964FF')",
        "CONVERT(time(0), '10:20:30')",
        "N''",
    ];
    for (at, value) in values.iter().enumerate() {
        let id = at + 2;
        world
            .source(&format!(
                "INSERT dbo.v VALUES ({id}, CONVERT(sql_variant, {value}))"
            ))
            .await;
    }
    world.config("  - source: dbo.v\n");
    world.run(&["--json", "sync"]).json();
    let query = "SELECT id, CONVERT(nvarchar(128), SQL_VARIANT_PROPERTY(v, 'BaseType')), CONVERT(int, \
        SQL_VARIANT_PROPERTY(v, 'Precision')), \
CONVERT(int, SQL_VARIANT_PROPERTY(v, 'Scale')), CONVERT(int, SQL_VARIANT_PROPERTY(v, 'MaxLength')), \
CONVERT(nvarchar(128), SQL_VARIANT_PROPERTY(v, 'Collation')) FROM dbo.v ORDER BY id";
    assert_eq!(
        world.target_rows(query).await,
        world.source_rows(query).await
    );
    let row = |id: i32, value: &str, ty: &str| json!({ "id": id, "v": value, "v__type": ty });
    let expected = [
        json!({ "id": 1 }),
        row(2, "1", "bit"),
        row(3, "1.5000000000", "decimal(38,10)"),
        row(4, "-0.0001", "money"),
        row(5, "1.0000000000000001e-001", "float"),
        row(6, "1.00000001e-001", "real"),
        row(7, "2024-02-29 23:59:59.997", "datetime"),
        row(8, "2024-02-29 23:59:59.9970000 +05:45", "datetimeoffset(3)"),
        row(9, "żółw:", "varchar(10) COLLATE Polish_CI_AS"),
        row(
            10,
            "貓     ",
            "nchar(6) COLLATE Chinese_Taiwan_Stroke_CI_AS",
        ),
        row(11, "0x00FF", "varbinary(2)"),
        row(12, "0x010000", "binary(3)"),
        row(
            13,
            "6F9619FF-8B86-D011-B42D-00C04FC964FF",
            "uniqueidentifier",
        ),
        row(14, "10:20:30.0000000", "time(0)"),
    ];
    let mut expected = expected.to_vec();
    let collation = world
        .source_rows(
            "SELECT CONVERT(nvarchar(128), SQL_VARIANT_PROPERTY(v, 'Collation')), \
        CONVERT(int, SQL_VARIANT_PROPERTY(v, 'MaxLength')) / 2 FROM dbo.v WHERE id = 15",
        )
        .await;
    let name = collation[0][0]
        .trim_start_matches("Text(\"")
        .trim_end_matches("\")");
    let length = collation[0][1]
        .trim_start_matches("Int(")
        .trim_end_matches(')');
    expected.push(row(15, "", &format!("nvarchar({length}) COLLATE {name}")));
    if server().engine().is_some() {
        // A real server may write 17 digits of a real.
        readers_agree(&world.lake("dbo", "v"), "id", &expected);
    } else {
        skipped("what other readers read of a sql_variant");
    }
}

/// The lake has what SQL Server shows of a `datetime`, and a `datetime2` of the target gets that: from compatibility
/// level 130 on, the server's own conversion would make .0033333 of .003.
#[tokio::test(flavor = "multi_thread")]
async fn a_datetime_arrives_in_datetime2_as_it_is_shown() {
    let mut world = World::new(
        "CREATE TABLE dbo.moments (at datetime NOT NULL, part smalldatetime NOT NULL, d datetime NULL, s smalldatetime \
            NULL, day date NULL, n int NOT NULL, PRIMARY KEY (at, part))
GO
INSERT dbo.moments VALUES
    ('2024-01-01 00:00:00.003', '2024-01-01 00:01', '1753-01-01', '2079-06-06 23:59', '0001-01-01', 1),
    ('2024-01-01 00:00:00.007', '2024-01-01 00:01', '9999-12-31 23:59:59.997', '1900-01-01', '9999-12-31', 1),
    ('2024-01-01 23:59:59.997', '2024-01-01 00:01', NULL, NULL, NULL, 1)",
    )
    .await;
    world
        .target(
            "CREATE TABLE dbo.moments (at datetime2(7) NOT NULL, part datetime2(0) NOT NULL, d datetime2(3) NULL, s \
                datetime NULL, day datetime2(5) NULL, n int NOT NULL, PRIMARY KEY (at, part))",
        )
        .await;
    world.config("  - source: dbo.moments\n    change: { strategy: full }\n");
    world.run(&["--json", "sync"]).json();
    let shown = "SELECT CONVERT(nvarchar(40), at, 121), CONVERT(nvarchar(40), part, 121), CONVERT(nvarchar(40), d, \
        121), CONVERT(nvarchar(40), s, 121), CONVERT(nvarchar(40), day, 121) FROM dbo.moments ORDER BY at";
    let row = |at: &str, rest: [&str; 3]| {
        let part = "Text(\"2024-01-01 00:01:00\")";
        let [d, s, day] = rest.map(|text| match text {
            "NULL" => text.to_owned(),
            text => format!("Text({text:?})"),
        });
        vec![format!("Text({at:?})"), part.to_owned(), d, s, day]
    };
    let expected = [
        row(
            "2024-01-01 00:00:00.0030000",
            [
                "1753-01-01 00:00:00.000",
                "2079-06-06 23:59:00.000",
                "0001-01-01 00:00:00.00000",
            ],
        ),
        row(
            "2024-01-01 00:00:00.0070000",
            [
                "9999-12-31 23:59:59.997",
                "1900-01-01 00:00:00.000",
                "9999-12-31 00:00:00.00000",
            ],
        ),
        row("2024-01-01 23:59:59.9970000", ["NULL", "NULL", "NULL"]),
    ];
    assert_eq!(world.target_rows(shown).await, expected);
    // Compared again, key and value are what they were.
    let again = world.run(&["--json", "load", "--full"]).json();
    let load = &again["tables"][0]["load"];
    assert_eq!(load["unchanged"], json!(3), "{again:#}");
    world
        .source("UPDATE dbo.moments SET n = 2 WHERE at = '2024-01-01 00:00:00.003'")
        .await;
    let second = world.run(&["--json", "sync"]).json();
    let load = &second["tables"][0]["load"];
    assert_eq!(
        (&load["updated"], &load["inserted"]),
        (&json!(1), &json!(0)),
        "{second:#}"
    );
    assert_eq!(world.target_rows(shown).await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn xml_keeps_white_space_that_stands_alone() {
    let mut world =
        World::new("CREATE TABLE dbo.docs (id int NOT NULL PRIMARY KEY, doc xml NULL)").await;
    let documents = [
        "<a> </a>",
        "<a>\n  <b/>\t</a>",
        " <a/> <b/>\n",
        "<a xml:space=\"preserve\"> <b> </b></a>",
        "<a>&#x20;</a>",
        "",
    ];
    for (id, document) in documents.iter().enumerate() {
        world
            .source(&format!(
                "INSERT dbo.docs VALUES ({id}, CONVERT(xml, N'{document}', 1))"
            ))
            .await;
    }
    world.config("  - source: dbo.docs\n");
    world.run(&["--json", "sync"]).json();
    let query = "SELECT id, CONVERT(nvarchar(max), doc, 1) FROM dbo.docs ORDER BY id";
    let source = world.source_rows(query).await;
    assert_eq!(source[0][1], "Text(\"<a> </a>\")");
    assert_eq!(world.target_rows(query).await, source);
    let again = world.run(&["--json", "load", "--full"]).json();
    let load = &again["tables"][0]["load"];
    assert_eq!(load["unchanged"], json!(documents.len()), "{again:#}");
}
