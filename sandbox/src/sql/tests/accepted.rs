use super::*;

#[test]
fn every_recipe_parses() {
    let recipes = recipes();
    assert_eq!(recipes.len(), 25);
    for recipe in recipes {
        assert!(!parsed(recipe).is_empty(), "in: {recipe}");
    }
}

/// Each line is one batch; the number is how many statements it holds.
const BATCHES: &[(usize, &str)] = &[
    (0, ""),
    (0, " ; ; -- nothing\n/* /* nested */ */"),
    // Queries
    (1, "select top 1 * from t"),
    (1, "SELECT TOP (@n) PERCENT WITH TIES a FROM t ORDER BY a"),
    (
        1,
        "SELECT DISTINCT a b, c AS d, e = f, 'g' = 1, 2 'h', t.*, dbo.t.*, [x y].[z] FROM dbo..t, #u u, @v AS v",
    ),
    (2, "SELECT 1 SELECT 2"),
    (3, "DECLARE @a int SET @a = 1 SELECT @a"),
    (
        1,
        "WITH a AS (SELECT 1 x), b (y) AS (SELECT x FROM a) SELECT * FROM a JOIN b ON a.x = b.y",
    ),
    (2, "SELECT 1; WITH a AS (SELECT 1 x) SELECT * FROM a"),
    (1, "IF 1 = 1 WITH a AS (SELECT 1 x) SELECT * FROM a"),
    (
        1,
        "BEGIN TRY WITH a AS (SELECT 1 x) SELECT * FROM a; END TRY BEGIN CATCH END CATCH",
    ),
    (1, "SELECT * FROM a JOIN b JOIN c ON b.x = c.x ON a.x = b.x"),
    (
        1,
        "SELECT * FROM (a LEFT OUTER JOIN b ON a.x = b.x) FULL JOIN c ON 1 = 1 RIGHT JOIN d ON d.x = c.x",
    ),
    (
        1,
        "SELECT * FROM a INNER HASH JOIN b ON a.x = b.x LEFT LOOP JOIN c ON c.x = b.x INNER MERGE JOIN d ON 1 = 1",
    ),
    (
        1,
        "SELECT * FROM a CROSS JOIN b CROSS APPLY f(a.x) AS g OUTER APPLY (SELECT TOP 1 y FROM z ORDER BY y) AS h (i)",
    ),
    (1, "SELECT * FROM (VALUES (1, N'a'), (2, NULL)) AS v (a, b)"),
    (1, "SELECT value FROM STRING_SPLIT(@s, ',')"),
    (
        1,
        "SELECT * FROM OPENJSON(@j, '$.a') WITH (id int '$.id', name nvarchar(10), rest nvarchar(max) '$.r' AS JSON) \
            AS j",
    ),
    (
        1,
        "SELECT * FROM sys.fn_listextendedproperty(NULL, NULL, NULL, NULL, NULL, NULL, NULL)",
    ),
    (
        1,
        "SELECT * FROM CHANGETABLE(VERSION dbo.t, (a, b), (1, @b)) AS v",
    ),
    (1, "SELECT * FROM CHANGETABLE(CHANGES t, NULL, FORCESEEK) c"),
    (
        1,
        "SELECT * FROM t FOR SYSTEM_TIME AS OF @t AS x WITH (NOLOCK)",
    ),
    (1, "SELECT * FROM t FOR SYSTEM_TIME ALL"),
    (
        1,
        "SELECT * FROM t FOR SYSTEM_TIME FROM '2020-01-01' TO @b x",
    ),
    (
        1,
        "SELECT * FROM t FOR SYSTEM_TIME BETWEEN @a AND @b WHERE x = 1",
    ),
    (1, "SELECT * FROM t FOR SYSTEM_TIME CONTAINED IN (@a, @b)"),
    (
        1,
        "SELECT * FROM t AS x TABLESAMPLE (10 ROWS) REPEATABLE (5) WITH (INDEX(1), INDEX = ix, FORCESEEK)",
    ),
    (1, "SELECT * FROM t WITH (UPDLOCK HOLDLOCK, ROWLOCK)"),
    (
        1,
        "SELECT * FROM t (NOLOCK) JOIN u (NOLOCK, READPAST) ON 1 = 1",
    ),
    (
        1,
        "SELECT a, COUNT(*), SUM(DISTINCT b) FROM t WHERE a > 1 GROUP BY a HAVING COUNT(*) > 1 ORDER BY 2 DESC, a ASC",
    ),
    (
        1,
        "SELECT a FROM t ORDER BY a OFFSET @o ROWS FETCH NEXT 10 ROWS ONLY",
    ),
    (
        1,
        "SELECT a FROM t ORDER BY a OFFSET 0 ROW FETCH FIRST (1) ROW ONLY OPTION (MAXDOP 1, RECOMPILE, LOOP JOIN, HASH \
            JOIN)",
    ),
    (
        1,
        "SELECT 1 OPTION (OPTIMIZE FOR UNKNOWN, FORCE ORDER, MAX_GRANT_PERCENT = 10.5, USE HINT ('A', 'B'), LABEL = \
            'x', FAST 10)",
    ),
    (
        1,
        "SELECT 1 UNION ALL SELECT 2 EXCEPT SELECT 3 INTERSECT SELECT 4 ORDER BY 1",
    ),
    (1, "(SELECT 1) UNION (SELECT 2 UNION ALL SELECT 3)"),
    (
        1,
        "SELECT * FROM ((SELECT 1 a) UNION (SELECT 2)) AS x JOIN ((SELECT 1 b) AS y CROSS JOIN t) ON 1 = 1",
    ),
    (1, "SELECT @a = 1, @b += b FROM t"),
    (1, "SELECT a, b INTO #t FROM t"),
    (
        1,
        "SELECT ROW_NUMBER() OVER (PARTITION BY a ORDER BY b DESC) AS rn, SUM(x) OVER () FROM t",
    ),
    (
        1,
        "SELECT SUM(x) OVER (ORDER BY y ROWS BETWEEN 2 PRECEDING AND UNBOUNDED FOLLOWING), MAX(x) OVER (ORDER BY y \
            RANGE UNBOUNDED PRECEDING)",
    ),
    (
        1,
        "SELECT STRING_AGG(name, N', ') WITHIN GROUP (ORDER BY name) FROM sys.tables",
    ),
    // Expressions
    (
        1,
        "SELECT 1, -1, 1.5, .5, 1e3, 1.5E-3, $1.5, 0x, 0xABC, 'a''b', N'é', NULL, @@ROWCOUNT, @v, [a]]b], \"c\"\"d\", \
            CURRENT_TIMESTAMP",
    ),
    (1, "SELECT (1 + 2) * 3 % 4 / 5 - ~6 & 7 | 8 ^ 9"),
    (
        1,
        "SELECT 1 WHERE a = 1 AND NOT b <> 2 OR (c != 3 AND (d) !< 4) OR e !> 5 OR NOT (f < 1)",
    ),
    (
        1,
        "SELECT 1 WHERE a BETWEEN 1 AND 2 AND b NOT BETWEEN 3 AND 4 AND c IN (1, 2) AND d NOT IN (SELECT 1)",
    ),
    (
        1,
        "SELECT 1 WHERE a LIKE N'%!%' ESCAPE '!' AND b NOT LIKE c + '%' AND d IS NULL AND e IS NOT NULL",
    ),
    (
        1,
        "SELECT 1 WHERE a IS DISTINCT FROM b AND c IS NOT DISTINCT FROM NULL",
    ),
    (
        1,
        "SELECT 1 WHERE a = ANY (SELECT 1) AND b > ALL (SELECT 1) AND c <= SOME (SELECT 1) AND EXISTS (SELECT * FROM \
            t)",
    ),
    (
        1,
        "SELECT CASE a WHEN 1 THEN 'x' ELSE 'y' END, CASE WHEN a = 1 OR b = 2 THEN CASE WHEN 1 = 1 THEN 1 END END",
    ),
    (
        1,
        "SELECT CAST(a AS decimal(10, 2)), TRY_CAST(b AS int), CONVERT(varchar(30), c, 126), TRY_CONVERT(date, d)",
    ),
    (
        1,
        "SELECT a COLLATE Latin1_General_BIN2 + b, c AT TIME ZONE 'UTC' AT TIME ZONE @z, IIF(a = 1 AND b = 2, 1, 0), \
            COALESCE(a, b), NULLIF(a, b)",
    ),
    (
        1,
        "SELECT LEFT(a, 1), RIGHT(b, 2), dbo.f(1), db.dbo.f(), (SELECT MAX(x) FROM t), ((SELECT 1)) + 1, \
            sys.fn_varbintohexstr(0x1)",
    ),
    (
        1,
        "SELECT %%physloc%%, $action, $identity, geography::Point(1, 2, 4326), col.ToString(), \
            geography::STGeomFromText('x', 1).Lat, (a).STArea()",
    ),
    (
        1,
        "SELECT NEXT VALUE FOR dbo.s, DATEADD(day, 1, a), DATEPART(year, b), USER, SYSTEM_USER, year(a)",
    ),
    // DML
    (1, "INSERT INTO t VALUES (1, DEFAULT, N'x'), (2, @b, NULL)"),
    (
        1,
        "INSERT TOP (5) t WITH (TABLOCK) (a, b) OUTPUT inserted.a, inserted.* INTO @o (x, y) OUTPUT inserted.a SELECT \
            a, b FROM u ORDER BY a OPTION (MAXDOP 1)",
    ),
    (1, "INSERT t DEFAULT VALUES"),
    (1, "INSERT t (a) (SELECT 1 UNION SELECT 2)"),
    (1, "INSERT t (SELECT 1)"),
    (1, "INSERT @t EXEC dbo.p 1"),
    (1, "WITH x AS (SELECT 1 a) INSERT t SELECT a FROM x"),
    (
        1,
        "UPDATE t SET a = 1, b += 2, c = DEFAULT, @v = d = d + 1, @w = e, @x += 1 OUTPUT deleted.a, inserted.a WHERE a \
            = 1",
    ),
    (
        1,
        "UPDATE TOP (10) x SET x.a = 1 FROM t AS x WITH (READPAST) JOIN u ON u.id = x.id OPTION (RECOMPILE)",
    ),
    (1, "DELETE t"),
    (
        1,
        "DELETE TOP (10) FROM t WITH (ROWLOCK) OUTPUT deleted.* INTO #d FROM t JOIN u ON t.id = u.id WHERE u.a IS NULL",
    ),
    (
        1,
        "WITH x AS (SELECT TOP 5 * FROM t ORDER BY a) DELETE FROM x",
    ),
    (
        1,
        "MERGE INTO t USING (VALUES (1, 2)) AS s (a, b) ON t.a = s.a WHEN MATCHED THEN UPDATE SET b = s.b WHEN NOT \
            MATCHED BY SOURCE AND t.a > 1 THEN DELETE WHEN NOT MATCHED THEN INSERT DEFAULT VALUES OUTPUT $action, \
            inserted.a INTO @x;",
    ),
    (
        1,
        "MERGE TOP (5) t d USING u ON d.a = u.a WHEN MATCHED AND d.b = 1 THEN DELETE WHEN MATCHED THEN UPDATE SET d.b \
            = 1;",
    ),
    (1, "TRUNCATE TABLE dbo.t"),
    (
        1,
        "INSERT BULK dbo.t ([a] int, b varchar(max) COLLATE Latin1_General_CI_AS, c decimal(10,2) NULL) WITH \
            (KEEP_NULLS, FIRE_TRIGGERS, ROWS_PER_BATCH = 100, KILOBYTES_PER_BATCH = 5, ORDER(a ASC, b DESC))",
    ),
    (1, "WITH CHANGE_TRACKING_CONTEXT (0x01) DELETE t"),
    (
        2,
        "ALTER SCHEMA [dbo] TRANSFER [own].[t]; ALTER SCHEMA dbo TRANSFER OBJECT::own.t",
    ),
    (
        1,
        "WITH CHANGE_TRACKING_CONTEXT (@c), x AS (SELECT 1 a) INSERT t SELECT a FROM x",
    ),
    // Definitions
    (
        1,
        "CREATE TABLE dbo.t (a int IDENTITY(1, 1) NOT NULL PRIMARY KEY, b nvarchar(max) COLLATE Latin1_General_BIN2 \
            NULL, c AS (a + 1) PERSISTED NOT NULL, d datetime2 CONSTRAINT df DEFAULT SYSUTCDATETIME(), e \
            uniqueidentifier ROWGUIDCOL DEFAULT NEWID(), f sys.int SPARSE NULL, g rowversion, h dbo.MyType)",
    ),
    (
        1,
        "CREATE TABLE t (id int NOT NULL, v datetime2(7) GENERATED ALWAYS AS ROW START HIDDEN NOT NULL, w datetime2 \
            GENERATED ALWAYS AS ROW END, PERIOD FOR SYSTEM_TIME (v, w), CONSTRAINT pk PRIMARY KEY CLUSTERED (id ASC) \
            WITH (IGNORE_DUP_KEY = OFF, FILLFACTOR = 80) ON [PRIMARY]) ON [PRIMARY] TEXTIMAGE_ON [PRIMARY] WITH \
            (SYSTEM_VERSIONING = ON (HISTORY_TABLE = dbo.h, DATA_CONSISTENCY_CHECK = ON, HISTORY_RETENTION_PERIOD = 6 \
            MONTHS), DATA_COMPRESSION = PAGE)",
    ),
    (
        1,
        "CREATE TABLE #t (a int, b int REFERENCES u (id) ON DELETE CASCADE ON UPDATE SET NULL, CHECK (a > 0 AND b IN \
            (1, 2)), UNIQUE NONCLUSTERED (a, b DESC), FOREIGN KEY (a, b) REFERENCES v, INDEX ix UNIQUE (a) INCLUDE (b) \
            WHERE a IS NOT NULL, INDEX cci CLUSTERED COLUMNSTORE,)",
    ),
    (
        1,
        "CREATE TABLE t (a double precision, b national character varying(10), c character varying(5), d char \
            varying(5), e binary varying(3), f dec(5), g float(24), h [int], i [sys].[varchar](10), j timestamp, k \
            integer)",
    ),
    (
        4,
        "ALTER TABLE t ADD a int NULL, CONSTRAINT c CHECK (a > 0), b AS a + 1 ALTER TABLE t DROP COLUMN a, b, \
            CONSTRAINT c ALTER TABLE t ALTER COLUMN a nvarchar(50) COLLATE Latin1_General_BIN2 NOT NULL ALTER TABLE t \
            DROP CONSTRAINT IF EXISTS c",
    ),
    (
        4,
        "ALTER TABLE t ENABLE CHANGE_TRACKING WITH (TRACK_COLUMNS_UPDATED = ON) ALTER TABLE t DISABLE CHANGE_TRACKING \
            ALTER TABLE t DISABLE TRIGGER ALL ALTER TABLE t ENABLE TRIGGER a, b",
    ),
    (
        4,
        "ALTER TABLE t SET (SYSTEM_VERSIONING = OFF) ALTER TABLE t NOCHECK CONSTRAINT ALL ALTER TABLE t WITH CHECK \
            CHECK CONSTRAINT c ALTER TABLE t REBUILD WITH (DATA_COMPRESSION = PAGE)",
    ),
    (
        3,
        "ALTER TABLE t ADD CONSTRAINT d DEFAULT 5 FOR a WITH VALUES; ALTER TABLE t ADD a int NOT NULL DEFAULT 0 WITH \
            VALUES; ALTER TABLE t WITH NOCHECK ADD FOREIGN KEY (a) REFERENCES u (b)",
    ),
    (
        3,
        "CREATE UNIQUE CLUSTERED INDEX i ON dbo.t (a, b DESC) WITH (ONLINE = ON, MAXDOP = 2) CREATE INDEX j ON t (a) \
            INCLUDE (b) WHERE a > 5 CREATE NONCLUSTERED COLUMNSTORE INDEX k ON t (a, b)",
    ),
    (
        3,
        "CREATE CLUSTERED COLUMNSTORE INDEX k ON t DROP INDEX IF EXISTS i ON t, j ON t ALTER INDEX ALL ON t REBUILD",
    ),
    (1, "CREATE SCHEMA ice AUTHORIZATION dbo"),
    (
        1,
        "CREATE OR ALTER VIEW dbo.v (a) WITH SCHEMABINDING AS WITH x AS (SELECT a FROM dbo.t) SELECT a FROM x WHERE a \
            > 1 WITH CHECK OPTION;",
    ),
    (1, "CREATE VIEW v AS SELECT * FROM t WITH CHECK OPTION"),
    (
        1,
        "CREATE TRIGGER tr ON t INSTEAD OF INSERT, DELETE NOT FOR REPLICATION AS SET NOCOUNT ON IF UPDATE(a) OR NOT \
            UPDATE([b]) RETURN; ROLLBACK",
    ),
    (2, "DISABLE TRIGGER tr ON t; ENABLE TRIGGER ALL ON dbo.t"),
    (
        2,
        "CREATE TYPE dbo.Money2 FROM decimal(19, 2) NOT NULL; CREATE TYPE x AS TABLE (a int PRIMARY KEY)",
    ),
    (
        3,
        "CREATE DATABASE d COLLATE Latin1_General_CI_AS; ALTER DATABASE CURRENT SET CHANGE_TRACKING = ON \
            (CHANGE_RETENTION = 2 DAYS, AUTO_CLEANUP = ON); ALTER DATABASE [d] SET READ_COMMITTED_SNAPSHOT ON WITH \
            ROLLBACK IMMEDIATE",
    ),
    (
        3,
        "ALTER DATABASE d SET ALLOW_SNAPSHOT_ISOLATION ON, RECOVERY SIMPLE; ALTER DATABASE d SET COMPATIBILITY_LEVEL = \
            150; ALTER DATABASE d SET CHANGE_TRACKING = OFF",
    ),
    (
        2,
        "CREATE SEQUENCE dbo.s AS bigint START WITH -5 INCREMENT BY 2 MINVALUE -10 NO MAXVALUE CYCLE CACHE 50; ALTER \
            SEQUENCE s RESTART WITH 1",
    ),
    (
        4,
        "CREATE LOGIN l WITH PASSWORD = 'p', CHECK_POLICY = OFF; CREATE USER u FOR LOGIN l WITH DEFAULT_SCHEMA = dbo; \
            CREATE USER v WITHOUT LOGIN; ALTER ROLE db_owner ADD MEMBER u",
    ),
    (
        4,
        "GRANT SELECT, VIEW CHANGE TRACKING ON dbo.t TO u, public WITH GRANT OPTION; DENY UPDATE (a, b) ON OBJECT::t \
            TO u CASCADE; REVOKE ALL ON SCHEMA::dbo FROM u; GRANT VIEW SERVER STATE TO u",
    ),
    (
        3,
        "CREATE STATISTICS s ON t (a, b) WHERE a > 0 WITH FULLSCAN, NORECOMPUTE; UPDATE STATISTICS t s WITH SAMPLE 10 \
            PERCENT; UPDATE STATISTICS t",
    ),
    (
        5,
        "DROP TABLE IF EXISTS a, b; DROP VIEW v DROP SCHEMA s DROP DATABASE IF EXISTS d DROP TRIGGER IF EXISTS dbo.tr",
    ),
    // Flow
    (
        1,
        "DECLARE @a int = 1, @b AS nvarchar(10), @t TABLE (a int PRIMARY KEY, b int DEFAULT 1), @c dbo.T",
    ),
    (
        1,
        "SET ANSI_NULLS, ANSI_PADDING, ANSI_WARNINGS, ARITHABORT, CONCAT_NULL_YIELDS_NULL, QUOTED_IDENTIFIER ON",
    ),
    (
        9,
        "SET TEXTSIZE 2147483647 SET DATEFIRST 7 SET DATEFORMAT mdy SET LANGUAGE us_english SET LOCK_TIMEOUT -1 SET \
            DEADLOCK_PRIORITY LOW SET ROWCOUNT 0 SET CONTEXT_INFO 0x01 SET IDENTITY_INSERT dbo.t ON",
    ),
    (
        7,
        "SET IMPLICIT_TRANSACTIONS OFF SET CURSOR_CLOSE_ON_COMMIT OFF SET NUMERIC_ROUNDABORT OFF SET FMTONLY ON SET \
            NOEXEC OFF SET STATISTICS IO, TIME ON SET NO_BROWSETABLE ON",
    ),
    (
        4,
        "SET TRANSACTION ISOLATION LEVEL READ UNCOMMITTED SET TRANSACTION ISOLATION LEVEL REPEATABLE READ SET TRAN \
            ISOLATION LEVEL SNAPSHOT SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
    ),
    (2, "SET @a = 1 SET @b |= 2"),
    (
        1,
        "IF @a = 1 SELECT 1 ELSE IF @a = 2 SELECT 2; ELSE BEGIN SELECT 3; SELECT 4 END",
    ),
    (
        1,
        "WHILE @i < 10 BEGIN SET @i += 1 IF @i = 5 CONTINUE; IF @i = 7 BREAK END",
    ),
    (
        2,
        "BEGIN TRY SELECT 1 / 0 END TRY BEGIN CATCH IF @@TRANCOUNT > 0 ROLLBACK; THROW; END CATCH; THROW 50000, 'a', 1",
    ),
    (1, "RAISERROR(N'%s %d', 16, 1, @a, 5) WITH NOWAIT, LOG"),
    (3, "PRINT 'a' + @b RETURN 5 RETURN"),
    (3, "WAITFOR DELAY '00:00:01' USE tempdb CHECKPOINT"),
    (1, "sp_who2 active"),
    (
        3,
        "EXEC @rc = dbo.p @a, 1, N'x', @b = 5, @c = @d OUTPUT, @e = DEFAULT EXECUTE sp_executesql N'SELECT @a', N'@a \
            int', @a = -1 EXEC p",
    ),
    (2, "EXEC ('SELECT ' + @a) EXEC @name 1 WITH RECOMPILE"),
    (
        7,
        "BEGIN TRAN BEGIN TRANSACTION x SAVE TRAN y ROLLBACK TRAN y COMMIT TRANSACTION @v COMMIT WORK ROLLBACK",
    ),
    (1, "KILL 53"),
];

#[test]
fn the_table_parses() {
    for (count, sql) in BATCHES {
        assert_eq!(parsed(sql).len(), *count, "in: {sql}");
    }
}
