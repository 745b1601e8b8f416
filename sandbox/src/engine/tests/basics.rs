use super::{connect, engine};

#[test]
fn tables_rows_and_queries() {
    let engine = engine();
    let mut c = connect(&engine);
    c.ok("CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY, a nvarchar(20) NULL, n decimal(10,2), rv rowversion)");
    let reply =
        c.ok("INSERT dbo.t (id, a, n) VALUES (1, N'x', 1.5), (2, N'Y', 2.25), (3, NULL, NULL)");
    assert_eq!(reply.counts, [3]);
    assert_eq!(
        c.rows("SELECT id, a, n FROM dbo.t WHERE a = 'X' OR id > 1 ORDER BY id DESC"),
        ["3|NULL|NULL", "2|Y|2.25", "1|x|1.50"]
    );
    assert_eq!(c.one("SELECT COUNT(*) FROM t"), "3");
    assert_eq!(
        c.rows(
            "SELECT a, SUM(n) AS s, COUNT(*) c FROM t GROUP BY a HAVING COUNT(*) = 1 ORDER BY a"
        ),
        ["NULL|NULL|1", "x|1.50|1", "Y|2.25|1"]
    );
    assert_eq!(
        c.ok("UPDATE t SET n = n * 2, a = 'z' WHERE id = 2").counts,
        [1]
    );
    assert_eq!(c.one("SELECT n FROM t WHERE a = 'Z'"), "4.50");
    assert_eq!(c.ok("DELETE FROM t WHERE id IN (1, 3)").counts, [2]);
    assert_eq!(c.rows("SELECT id FROM t"), ["2"]);
    assert_eq!(c.one("SELECT TOP (1) id FROM t ORDER BY id"), "2");
}

#[test]
fn joins_subqueries_windows_and_sets() {
    let engine = engine();
    let mut c = connect(&engine);
    c.ok("CREATE TABLE a (id int PRIMARY KEY, v int); CREATE TABLE b (k int, w varchar(5));
          INSERT a VALUES (1, 10), (2, 20), (3, 30); INSERT b VALUES (1, 'p'), (1, 'q'), (4, 'r'), (NULL, 's')");
    assert_eq!(
        c.rows("SELECT a.id, b.w FROM a LEFT JOIN b ON b.k = a.id ORDER BY a.id, b.w"),
        ["1|p", "1|q", "2|NULL", "3|NULL"]
    );
    assert_eq!(
        c.rows("SELECT a.id, b.w FROM a RIGHT JOIN b ON b.k = a.id ORDER BY b.w"),
        ["1|p", "1|q", "NULL|r", "NULL|s"]
    );
    assert_eq!(
        c.rows("SELECT a.id, b.w FROM b FULL JOIN a ON b.k = a.id ORDER BY b.w, a.id"),
        ["2|NULL", "3|NULL", "1|p", "1|q", "NULL|r", "NULL|s"]
    );
    assert_eq!(
        c.rows("SELECT id FROM a WHERE EXISTS (SELECT 1 FROM b WHERE b.k = a.id)"),
        ["1"]
    );
    assert_eq!(
        c.rows("SELECT id FROM a WHERE NOT EXISTS (SELECT 1 FROM b WHERE b.k = a.id) ORDER BY id"),
        ["2", "3"]
    );
    assert_eq!(
        c.rows(
            "SELECT k FROM b WHERE EXISTS (SELECT * FROM a WHERE a.id = b.k AND a.v > 5) ORDER BY k"
        ),
        ["1", "1"]
    );
    assert!(
        c.rows("SELECT id FROM a WHERE id NOT IN (SELECT k FROM b)")
            .is_empty()
    );
    assert_eq!(
        c.rows("SELECT id, (SELECT COUNT(*) FROM b WHERE b.k = a.id) FROM a ORDER BY id"),
        ["1|2", "2|0", "3|0"]
    );
    assert_eq!(
        c.rows("SELECT w, ROW_NUMBER() OVER (PARTITION BY k ORDER BY w DESC), LAG(w) OVER (ORDER BY w), SUM(k) OVER \
            (ORDER BY w ROWS UNBOUNDED PRECEDING) FROM b ORDER BY w"),
        ["p|2|NULL|1", "q|1|p|2", "r|1|q|6", "s|1|r|6"]
    );
    assert_eq!(
        c.rows("SELECT id FROM a EXCEPT SELECT k FROM b ORDER BY id"),
        ["2", "3"]
    );
    assert_eq!(c.rows("SELECT id FROM a INTERSECT SELECT k FROM b"), ["1"]);
    assert_eq!(
        c.rows("SELECT id FROM a UNION SELECT k FROM b ORDER BY 1"),
        ["NULL", "1", "2", "3", "4"]
    );
    assert_eq!(c.rows("WITH x AS (SELECT id, v FROM a WHERE v > 10) SELECT x.id, y.id FROM x JOIN x AS y ON y.id > \
        x.id"), ["2|3"]);
    assert_eq!(
        c.rows(
            "WITH n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 4) SELECT i FROM n"
        ),
        ["1", "2", "3", "4"]
    );
    assert_eq!(
        c.rows(
            "SELECT v.n, p.value FROM (VALUES (1, 'x'), (2, 'y z')) AS v (n, t) CROSS APPLY \
        STRING_SPLIT(v.t, ' ') AS p ORDER BY v.n, p.value"
        ),
        ["1|x", "2|y", "2|z"]
    );
    assert_eq!(c.rows("SELECT a.id, x.w FROM a CROSS APPLY (SELECT TOP (1) w FROM b WHERE b.k = a.id ORDER BY w DESC) \
        x"), ["1|q"]);
    assert_eq!(
        c.rows("SELECT DISTINCT k FROM b ORDER BY k DESC OFFSET 1 ROWS FETCH NEXT 1 ROWS ONLY"),
        ["1"]
    );
    assert_eq!(
        c.one("SELECT STRING_AGG(w, ',') WITHIN GROUP (ORDER BY w DESC) FROM b"),
        "s,r,q,p"
    );
    assert_eq!(
        c.rows("SELECT v.x, v.y FROM (VALUES (1, 'a'), (2, 'b')) v (x, y)"),
        ["1|a", "2|b"]
    );
}

#[test]
fn variables_flow_and_procedures() {
    let engine = engine();
    let mut c = connect(&engine);
    assert_eq!(c.one("DECLARE @i int = 0, @s nvarchar(50) = N''; WHILE @i < 3 BEGIN SET @i += 1; SET @s = @s + CAST(@i \
        AS nvarchar(5)); END; SELECT @s"), "123");
    assert_eq!(c.one("DECLARE @x int; EXEC sp_executesql N'SET @o = @a * 2', N'@a int, @o int OUTPUT', @a = 21, @o = \
        @x OUTPUT; SELECT @x"), "42");
    c.ok("CREATE TABLE t (id int IDENTITY(5, 2), v int); INSERT t (v) VALUES (1), (2)");
    assert_eq!(
        c.one("INSERT t (v) VALUES (3); SELECT SCOPE_IDENTITY()"),
        "9"
    );
    assert_eq!(c.one("DECLARE @c nvarchar(max); SELECT @c = COALESCE(@c + N',', N'') + CAST(id AS nvarchar(9)) FROM t \
        ORDER BY id DESC; SELECT @c"), "9,7,5");
    assert_eq!(c.rows("DECLARE @t TABLE (id int PRIMARY KEY, v int); INSERT @t SELECT id, v FROM t; DELETE FROM @t \
        WHERE v = 1; SELECT id FROM @t ORDER BY id"), ["7", "9"]);
    assert_eq!(
        c.rows("INSERT t (v) OUTPUT inserted.id, inserted.v VALUES (7)"),
        ["11|7"]
    );
    assert_eq!(
        c.rows("UPDATE t SET v = v + 1 OUTPUT deleted.v, inserted.v WHERE id = 5"),
        ["1|2"]
    );
    c.ok("SELECT id, v INTO #copy FROM t");
    assert_eq!(c.one("SELECT COUNT(*) FROM #copy"), "4");
    assert_eq!(
        c.one("IF OBJECT_ID('tempdb..#copy') IS NOT NULL SELECT 'yes' ELSE SELECT 'no'"),
        "yes"
    );
    assert_eq!(c.error("INSERT t (id, v) VALUES (1, 1)"), 544);
    c.ok("SET IDENTITY_INSERT t ON; INSERT t (id, v) VALUES (100, 1); SET IDENTITY_INSERT t OFF; INSERT t (v) VALUES \
        (9)");
    assert_eq!(c.one("SELECT MAX(id) FROM t"), "102");
    assert_eq!(c.rows("INSERT t (v) EXEC (N'SELECT 50 UNION ALL SELECT 51'); SELECT v FROM t WHERE v >= 50 ORDER BY \
        v"), ["50", "51"]);
}

#[test]
fn collations_decide_what_is_equal() {
    let engine = engine();
    let mut c = connect(&engine);
    c.ok("CREATE TABLE k (code varchar(10) NOT NULL PRIMARY KEY, cs nvarchar(10) COLLATE Latin1_General_100_CS_AS \
        UNIQUE)");
    c.ok("INSERT k VALUES ('Abc', N'a'), ('abd', N'A')");
    assert_eq!(c.error("INSERT k VALUES ('ABC  ', N'z')"), 2627);
    assert_eq!(c.one("SELECT code FROM k WHERE code = 'aBC '"), "Abc");
    assert_eq!(c.one("SELECT COUNT(*) FROM k WHERE cs = N'a'"), "1");
    assert_eq!(
        c.one("SELECT COUNT(*) FROM k WHERE cs = N'a' COLLATE Latin1_General_CI_AS"),
        "2"
    );
    assert_eq!(
        c.one("SELECT COUNT(*) FROM k WHERE code LIKE 'AB[c-d]'"),
        "2"
    );
}

#[test]
fn transactions_nest_save_and_roll_back_ddl() {
    let engine = engine();
    let mut c = connect(&engine);
    c.ok("CREATE TABLE t (id int PRIMARY KEY)");
    assert_eq!(
        c.one("BEGIN TRAN; BEGIN TRAN; INSERT t VALUES (1); COMMIT; SELECT @@TRANCOUNT"),
        "1"
    );
    c.ok("SAVE TRAN s; INSERT t VALUES (2); ROLLBACK TRAN s; INSERT t VALUES (3); COMMIT");
    assert_eq!(c.rows("SELECT id FROM t ORDER BY id"), ["1", "3"]);
    c.ok("BEGIN TRAN; CREATE TABLE u (x int); INSERT u VALUES (1); TRUNCATE TABLE t; ALTER TABLE t ADD n int NULL; \
        ROLLBACK");
    assert_eq!(c.rows("SELECT id FROM t ORDER BY id"), ["1", "3"]);
    assert_eq!(
        c.one("SELECT COUNT(*) FROM sys.columns WHERE object_id = OBJECT_ID('dbo.t')"),
        "1"
    );
    assert_eq!(c.error("SELECT * FROM u"), 208);
    assert_eq!(c.error("COMMIT"), 3902);
    assert_eq!(c.error("ROLLBACK"), 3903);
    assert_eq!(c.one("DECLARE @t TABLE (x int); BEGIN TRAN; INSERT @t VALUES (1); INSERT t VALUES (9); ROLLBACK; \
        SELECT (SELECT COUNT(*) FROM @t) * 10 + (SELECT COUNT(*) FROM t)"), "12");
}
