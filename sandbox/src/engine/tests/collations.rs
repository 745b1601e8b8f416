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
