use super::{connect, engine};
use std::time::Instant;

#[test]
fn keyset_pages_walk_an_index() {
    let engine = engine();
    let mut c = connect(&engine);
    c.ok("CREATE TABLE t (id int PRIMARY KEY, ts datetime2(3) NOT NULL, INDEX ix (ts));
          INSERT t VALUES (1, '2024-01-01'), (2, '2024-01-02'), (5, '2024-01-02'), (4, '2024-01-02'), (3, \
          '2024-01-03'), (6, '2024-01-04')");
    let page = "SELECT TOP (@n) id, ts FROM dbo.t WHERE ts >= @k_ts AND (ts > @k_ts OR id > @k_id) AND ts < @hi ORDER \
        BY ts, id OPTION (RECOMPILE)";
    let ask = |ts: &str, id: i32| {
        format!(
            "DECLARE @n bigint = 2, @k_ts datetime2(3) = '{ts}', @k_id int = {id}, @hi datetime2(3) = '2024-01-04'; \
                {page}"
        )
    };
    assert_eq!(
        c.rows(&ask("2024-01-01", 0)),
        ["1|2024-01-01 00:00:00.000", "2|2024-01-02 00:00:00.000"]
    );
    assert_eq!(
        c.rows(&ask("2024-01-02", 2)),
        ["4|2024-01-02 00:00:00.000", "5|2024-01-02 00:00:00.000"]
    );
    assert_eq!(c.rows(&ask("2024-01-02", 5)), ["3|2024-01-03 00:00:00.000"]);
    assert_eq!(
        c.rows("SELECT TOP (2) id FROM t ORDER BY id DESC"),
        ["6", "5"]
    );
    assert_eq!(
        c.rows("SELECT id FROM t WHERE id BETWEEN 2 AND 4 ORDER BY id"),
        ["2", "3", "4"]
    );
}

#[test]
fn descending_and_null_keys_seek_rightly() {
    let engine = engine();
    let mut c = connect(&engine);
    c.ok("CREATE TABLE t (id int PRIMARY KEY, a int NULL, b varchar(5)); CREATE INDEX ia ON t (a DESC, b); INSERT t \
        VALUES (1, NULL, 'x'), (2, 1, 'B'), (3, 1, 'a'), (4, 2, NULL), (5, 3, 'q')");
    assert_eq!(
        c.rows("SELECT id FROM t WHERE a < 3 ORDER BY id"),
        ["2", "3", "4"]
    );
    assert_eq!(
        c.rows("SELECT id FROM t WHERE a >= 2 ORDER BY id"),
        ["4", "5"]
    );
    assert_eq!(c.rows("SELECT id FROM t WHERE a = 1 AND b = 'A '"), ["3"]);
    assert_eq!(
        c.rows("SELECT TOP (10) id FROM t ORDER BY a DESC, b"),
        ["5", "4", "3", "2", "1"]
    );
    assert_eq!(
        c.rows("SELECT TOP (10) id FROM t ORDER BY a, b DESC"),
        ["1", "2", "3", "4", "5"]
    );
    assert_eq!(
        c.rows("SELECT id FROM t WHERE a = CAST(99999999999 AS bigint)"),
        Vec::<String>::new()
    );
}

#[test]
fn merging_a_large_table_uses_its_key() {
    let engine = engine();
    let mut c = connect(&engine);
    c.ok("CREATE TABLE d (id int NOT NULL PRIMARY KEY, a int, b nvarchar(20)); INSERT d VALUES (0, 0, N'row');
          DECLARE @i int = 0; WHILE @i < 15 BEGIN INSERT d SELECT id + POWER(2, @i), a, b FROM d; SET @i += 1; END;
          CREATE TABLE s (id int, a int, b nvarchar(20)); INSERT s SELECT id, a, b FROM d; CREATE TABLE few (id int, a \
          int, b nvarchar(20)); INSERT few SELECT id * 7, 1, N'x' FROM d WHERE id < 1000");
    let merge = |source: &str| {
        format!(
            "MERGE dbo.d WITH (HOLDLOCK) AS d USING {source} AS s ON d.id = s.id WHEN MATCHED AND EXISTS (SELECT s.a, \
                s.b EXCEPT SELECT d.a, d.b) THEN UPDATE SET a = s.a, b = s.b WHEN NOT MATCHED BY TARGET THEN INSERT \
                (id, a, b) VALUES (s.id, s.a, s.b);"
        )
    };
    let started = Instant::now();
    assert_eq!(c.ok(&merge("s")).counts, [0]);
    let whole = started.elapsed();
    let started = Instant::now();
    assert_eq!(c.ok(&merge("few")).counts, [1000]);
    let few = started.elapsed();
    assert!(
        few * 4 < whole.max(std::time::Duration::from_millis(400)),
        "{few:?} against {whole:?}"
    );
}

#[test]
fn the_ends_of_an_index_are_its_least_and_greatest_values() {
    let engine = engine();
    let mut c = connect(&engine);
    c.ok("CREATE TABLE t (id int PRIMARY KEY, a int NULL, b int NULL, INDEX ia (a), INDEX ib (b DESC));
          INSERT t VALUES (1, NULL, NULL), (2, 7, 7), (3, 4, 4), (4, 9, 9), (5, NULL, NULL)");
    let ends = |column: &str| {
        format!("SELECT (SELECT MIN({column}) FROM t), (SELECT MAX({column}) FROM t)")
    };
    assert_eq!(c.rows(&ends("id")), ["1|5"]);
    assert_eq!(c.rows(&ends("a")), ["4|9"]);
    assert_eq!(c.rows(&ends("b")), ["4|9"]);
    assert_eq!(c.rows("SELECT MAX(a) FROM t WHERE a < 9"), ["7"]);
    // An index keeps the keys of older versions.
    c.ok("UPDATE t SET a = 5, b = 5 WHERE id = 4; DELETE t WHERE id = 5; UPDATE t SET a = 6, b = 6 WHERE id = 3");
    assert_eq!(c.rows(&ends("id")), ["1|4"]);
    assert_eq!(c.rows(&ends("a")), ["5|7"]);
    assert_eq!(c.rows(&ends("b")), ["5|7"]);
    c.ok("DELETE t WHERE a IS NOT NULL");
    assert_eq!(c.rows(&ends("a")), ["NULL|NULL"]);
    c.ok("DELETE t");
    assert_eq!(c.rows(&ends("id")), ["NULL|NULL"]);
    let mut other = connect(&engine);
    other.ok("INSERT t VALUES (1, 1, 1)");
    c.ok("BEGIN TRANSACTION; INSERT t VALUES (2, 2, 2)");
    assert_eq!(c.rows("SELECT MAX(id) FROM t"), ["2"]);
    assert_eq!(other.rows("SELECT MAX(id) FROM t WITH (READPAST)"), ["1"]);
    c.ok("ROLLBACK");
    assert_eq!(c.rows("SELECT MAX(id) FROM t"), ["1"]);
}
