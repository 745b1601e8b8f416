//! One collation says the same everywhere: in indexes, groups, joins, orders and ranges.

use super::{connect, engine};

#[test]
fn nvarchar_is_ordered_as_words_and_varchar_one_character_after_another() {
    let engine = engine();
    let mut c = connect(&engine);
    c.ok("CREATE TABLE w (k nvarchar(10) NOT NULL PRIMARY KEY);
          CREATE TABLE s (k varchar(10) NOT NULL PRIMARY KEY);
          CREATE TABLE l (k varchar(10) COLLATE Latin1_General_CI_AS NOT NULL PRIMARY KEY);");
    for table in ["w", "s", "l"] {
        c.ok(&format!(
            "INSERT {table} VALUES ('ab'), ('a-c'), ('a'), ('a''b')"
        ));
    }
    let words = ["a", "ab", "a'b", "a-c"];
    assert_eq!(c.rows("SELECT k FROM w ORDER BY k"), words);
    assert_eq!(c.rows("SELECT k FROM l ORDER BY k"), words);
    assert_eq!(
        c.rows("SELECT k FROM s ORDER BY k"),
        ["a", "a'b", "a-c", "ab"]
    );
    assert_eq!(
        c.rows("SELECT MIN(k), MAX(k) FROM w WHERE k > N'a'"),
        ["ab|a-c"]
    );
    assert_eq!(
        c.rows("SELECT MIN(k), MAX(k) FROM s WHERE k > 'a'"),
        ["a'b|ab"]
    );
    // Page by page nothing is met twice or missed.
    let mut seen = vec![c.one("SELECT TOP (1) k FROM w ORDER BY k")];
    while seen.len() < words.len() {
        let last = seen.last().unwrap().replace('\'', "''");
        let next = format!("SELECT TOP (1) k FROM w WHERE k > N'{last}' ORDER BY k");
        seen.push(c.one(&next));
    }
    assert_eq!(seen, words);
    // Compared with nvarchar, varchar is compared as nvarchar, whatever order its index has.
    let after = "SELECT k FROM s WHERE k >";
    assert_eq!(c.rows(&format!("{after} N'ab' ORDER BY k")), ["a'b", "a-c"]);
    assert!(c.rows(&format!("{after} 'ab' ORDER BY k")).is_empty());
}

#[test]
fn what_is_equal_is_one_key_one_group_and_one_match() {
    let engine = engine();
    let mut c = connect(&engine);
    c.ok(
        "CREATE TABLE n (k nvarchar(10) NOT NULL PRIMARY KEY); INSERT n VALUES (N'Straße'), (N'a');
          CREATE TABLE v (k varchar(10) NOT NULL PRIMARY KEY);
          INSERT v VALUES ('Straße'), ('strasse');",
    );
    for again in ["N'STRASSE'", "N'a' + NCHAR(0)", "N'a😀'", "N'A  '"] {
        let insert = format!("INSERT n VALUES ({again})");
        assert_eq!(c.error(&insert), 2627, "{again}");
    }
    assert_eq!(c.one("SELECT COUNT(*) FROM n WHERE k = 'strasse'"), "1");
    assert_eq!(c.one("SELECT COUNT(*) FROM n JOIN v ON v.k = n.k"), "2");
    assert_eq!(c.one("SELECT COUNT(DISTINCT k) FROM v"), "2");
    let wide = "CONVERT(nvarchar(10), k)";
    assert_eq!(c.one(&format!("SELECT COUNT(DISTINCT {wide}) FROM v")), "1");
    assert_eq!(
        c.rows(&format!("SELECT COUNT(*) FROM v GROUP BY {wide}")),
        ["2"]
    );
    assert_eq!(c.rows("SELECT N'æ' UNION SELECT N'AE'"), ["æ"]);
    assert_eq!(c.one("SELECT COUNT(*) FROM v WHERE k IN (N'STRASSE')"), "2");
    assert_eq!(c.one("SELECT COUNT(*) FROM v WHERE k IN ('STRASSE')"), "1");
}

#[test]
fn like_and_functions_know_pairs_and_spaces() {
    let engine = engine();
    let mut c = connect(&engine);
    for (condition, truth) in [
        ("N'a  ' LIKE N'a'", "0"),
        ("'a  ' LIKE N'a'", "0"),
        ("'a  ' LIKE 'a'", "1"),
        ("N'straße' LIKE N'%asse'", "1"),
        ("'straße' LIKE '%asse'", "0"),
    ] {
        let query = format!("SELECT CASE WHEN {condition} THEN 1 ELSE 0 END");
        assert_eq!(c.one(&query), truth, "{condition}");
    }
    let pair = "N'a😀b' COLLATE Latin1_General_100_CI_AS_SC";
    for (expression, value) in [
        (format!("LEN({pair})"), "3"),
        (format!("LEFT({pair}, 2)"), "a😀"),
        (format!("RIGHT({pair}, 2)"), "😀b"),
        (format!("REVERSE({pair})"), "b😀a"),
        (format!("STUFF({pair}, 2, 1, N'x')"), "axb"),
        (format!("SUBSTRING({pair}, 3, 1)"), "b"),
        (format!("CHARINDEX(N'b', {pair})"), "3"),
        (format!("PATINDEX(N'%b', {pair})"), "3"),
        (format!("UNICODE(RIGHT({pair}, 2))"), "128512"),
        ("LEN(N'a😀b')".into(), "4"),
        ("UNICODE(N'😀')".into(), "55357"),
        ("CHARINDEX(N'ss', N'Straße')".into(), "5"),
        ("REPLACE(N'Straße', N'SS', N'z')".into(), "Straze"),
        ("CHARINDEX('ss', 'Straße')".into(), "0"),
    ] {
        assert_eq!(
            c.one(&format!("SELECT {expression}")),
            value,
            "{expression}"
        );
    }
}

/// Comparison, order, LIKE, groups, joins and keys have one opinion of a language's letters.
#[test]
fn letters_of_a_language_are_the_same_everywhere() {
    let engine = engine();
    let mut c = connect(&engine);
    for (collation, sorted, equal) in [
        (
            "Danish_Norwegian_CI_AS",
            vec!["Ab", "Zorn", "Ærø", "Øst", "Aabenraa", "Århus"],
            vec![("Aabenraa", "AABENRAA"), ("ØST", "øst")],
        ),
        (
            "Danish_Norwegian_CI_AI",
            vec!["Ab", "Zorn", "Ærø", "Øst", "Åbenrå"],
            vec![("Åbenrå", "aabenraa"), ("öst", "ØST")],
        ),
        (
            "Turkish_CI_AS",
            vec!["cam", "çay", "dağ", "ILGAZ", "İzmir", "şal", "ton"],
            vec![("ILGAZ", "ılgaz"), ("İzmir", "izmir")],
        ),
        (
            "German_PhoneBook_CI_AS",
            vec!["Mudrich", "Müller", "Muffler"],
            vec![("Müller", "MUELLER")],
        ),
        (
            "Traditional_Spanish_CI_AS",
            vec!["cosa", "chico", "dama", "luz", "llama", "nube", "ñu", "oso"],
            vec![("CHICO", "Chico")],
        ),
    ] {
        for text in ["varchar", "nvarchar"] {
            c.ok(&format!(
                "DROP TABLE IF EXISTS t; DROP TABLE IF EXISTS u;
                 CREATE TABLE t (k {text}(20) COLLATE {collation} NOT NULL PRIMARY KEY);
                 CREATE TABLE u (k {text}(20) COLLATE {collation})"
            ));
            for word in sorted.iter().rev() {
                c.ok(&format!(
                    "INSERT t VALUES (N'{word}'); INSERT u VALUES (N'{word}')"
                ));
            }
            for table in ["t", "u"] {
                assert_eq!(
                    c.rows(&format!("SELECT k FROM {table} ORDER BY k")),
                    sorted,
                    "{collation}"
                );
            }
            // Page by page over the index.
            let mut seen = vec![c.one("SELECT MIN(k) FROM t")];
            while seen.len() < sorted.len() {
                let last = seen.last().unwrap();
                seen.push(c.one(&format!(
                    "SELECT TOP (1) k FROM t WHERE k > N'{last}' ORDER BY k"
                )));
            }
            assert_eq!(seen, sorted, "{collation}");
            for (one, other) in &equal {
                assert_eq!(
                    c.error(&format!("INSERT t VALUES (N'{other}')")),
                    2627,
                    "{collation} {other}"
                );
                for table in ["t", "u"] {
                    let find = format!(
                        "SELECT COUNT(*) FROM {table} WHERE k = N'{other}' AND k LIKE N'{one}%'"
                    );
                    assert_eq!(c.one(&find), "1", "{collation} {other}");
                }
                c.ok(&format!("INSERT u VALUES (N'{other}')"));
            }
            assert_eq!(
                c.one("SELECT COUNT(DISTINCT k) FROM u"),
                sorted.len().to_string()
            );
            let joined = (sorted.len() + equal.len()).to_string();
            assert_eq!(
                c.one("SELECT COUNT(*) FROM t JOIN u ON u.k = t.k"),
                joined,
                "{collation}"
            );
        }
    }
}

#[test]
fn a_pair_is_found_whole_or_not_at_all() {
    let engine = engine();
    let mut c = connect(&engine);
    for (text, collation, truth) in [
        (
            "N'teliaa' {} LIKE N'%telia%'",
            "Danish_Norwegian_CI_AS",
            "0",
        ),
        ("N'teliaa' {} LIKE N'%telia%'", "Latin1_General_CI_AS", "1"),
        ("N'Aa' {} LIKE N'A%'", "Danish_Norwegian_CI_AS", "0"),
        ("'Aa' {} LIKE 'A%'", "Danish_Norwegian_CI_AS", "0"),
        ("N'aA' {} LIKE N'A%'", "Danish_Norwegian_CI_AS", "1"),
        ("N'Aa' {} LIKE N'aa%'", "Danish_Norwegian_CI_AS", "1"),
        ("N'baa' {} LIKE N'%a'", "Danish_Norwegian_CI_AS", "0"),
        ("N'baa' {} LIKE N'b[a-c]'", "Danish_Norwegian_CI_AS", "0"),
        ("N'baa' {} LIKE N'b[^a-c]'", "Danish_Norwegian_CI_AS", "1"),
        ("N'Aarhus' {} LIKE N'å%'", "Danish_Norwegian_CI_AI", "1"),
        ("N'Århus' {} LIKE N'aa%'", "Danish_Norwegian_CI_AI", "1"),
        ("N'Århus' {} LIKE N'aa%'", "Danish_Norwegian_CI_AS", "0"),
        ("N'INI' {} LIKE N'i%'", "Turkish_CI_AS", "0"),
        ("N'INI' {} LIKE N'ı%'", "Turkish_CI_AS", "1"),
        ("N'ini' {} LIKE N'[İ]n%'", "Turkish_CI_AS", "1"),
        ("N'Müller' {} LIKE N'mue%'", "German_PhoneBook_CI_AS", "1"),
        ("N'Mueller' {} LIKE N'%ü%'", "German_PhoneBook_CI_AS", "1"),
        ("N'Mueller' {} LIKE N'%ü%'", "Latin1_General_CI_AS", "0"),
        ("N'chico' {} LIKE N'c%'", "Traditional_Spanish_CI_AS", "0"),
        ("N'chico' {} LIKE N'ch%'", "Traditional_Spanish_CI_AS", "1"),
    ] {
        let condition = text.replace("{}", &format!("COLLATE {collation}"));
        let query = format!("SELECT CASE WHEN {condition} THEN 1 ELSE 0 END");
        assert_eq!(c.one(&query), truth, "{condition}");
    }
    for (expression, value) in [
        (
            "CHARINDEX(N'a', N'baaa' COLLATE Danish_Norwegian_CI_AS)",
            "4",
        ),
        (
            "PATINDEX(N'%a', N'baaa' COLLATE Danish_Norwegian_CI_AS)",
            "4",
        ),
        (
            "CHARINDEX(N'å', N'baa' COLLATE Danish_Norwegian_CI_AI)",
            "2",
        ),
        (
            "REPLACE(N'Aarhus aA' COLLATE Danish_Norwegian_CI_AS, N'aa', N'x')",
            "xrhus aA",
        ),
        (
            "REPLACE(N'Müller' COLLATE German_PhoneBook_CI_AS, N'UE', N'x')",
            "Mxller",
        ),
        ("UPPER(N'ırmak izmir' COLLATE Turkish_CI_AS)", "IRMAK İZMİR"),
        ("LOWER(N'IRMAK İZMİR' COLLATE Turkish_CI_AS)", "ırmak izmir"),
        (
            "UPPER(CONVERT(varchar(9), N'ıi' COLLATE Turkish_CI_AS))",
            "Iİ",
        ),
        ("UPPER(N'i' COLLATE Azeri_Latin_100_CI_AS)", "İ"),
        ("UPPER(N'izmir')", "IZMIR"),
        ("LOWER(N'IRMAK')", "irmak"),
        ("LOWER(N'ÆØÅ' COLLATE Danish_Norwegian_CI_AS)", "æøå"),
    ] {
        assert_eq!(
            c.one(&format!("SELECT {expression}")),
            value,
            "{expression}"
        );
    }
}

#[test]
fn a_collation_tells_its_locale_and_code_page() {
    let engine = engine();
    let mut c = connect(&engine);
    for (collation, lcid, page) in [
        ("SQL_Latin1_General_CP1_CI_AS", "1033", "1252"),
        ("Danish_Norwegian_CI_AS", "1030", "1252"),
        ("Turkish_CI_AS", "1055", "1254"),
        ("German_PhoneBook_CI_AS", "66567", "1252"),
        ("Traditional_Spanish_CI_AS", "1034", "1252"),
    ] {
        let property =
            |name: &str| format!("CONVERT(int, COLLATIONPROPERTY('{collation}', '{name}'))");
        let query = format!("SELECT {}, {}", property("LCID"), property("CodePage"));
        assert_eq!(c.one(&query), format!("{lcid}|{page}"), "{collation}");
    }
    c.ok("CREATE DATABASE tr COLLATE Turkish_CI_AS");
    assert_eq!(
        c.one("SELECT CONVERT(int, DATABASEPROPERTYEX('tr', 'LCID'))"),
        "1055"
    );
    c.ok("CREATE TABLE dk (a varchar(9) COLLATE Danish_Norwegian_CI_AS, b nvarchar(9), n int)");
    let reply = c.ok("EXEC sp_tablecollations_100 'dk'");
    let (columns, rows) = reply.sets.last().unwrap();
    let rows: Vec<String> = rows
        .iter()
        .map(|row| super::show_row(columns, row))
        .collect();
    assert_eq!(
        rows,
        [
            "1|a|0x0604D00000|Danish_Norwegian_CI_AS",
            "2|b|0x0904D00034|SQL_Latin1_General_CP1_CI_AS",
            "3|n|NULL|NULL",
        ]
    );
}
