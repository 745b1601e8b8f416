use super::{connect, engine};

#[test]
fn the_catalog_describes_a_table() {
    let engine = engine();
    let mut c = connect(&engine);
    c.ok("CREATE TABLE dbo.t (id int IDENTITY(1,1) NOT NULL CONSTRAINT pk_t PRIMARY KEY, a nvarchar(50) COLLATE \
        Chinese_Taiwan_Stroke_CI_AS NULL, p AS (id * 2) PERSISTED, ts datetime2(3) NOT NULL CONSTRAINT df DEFAULT \
        SYSUTCDATETIME(), rv rowversion);
          CREATE UNIQUE INDEX ux ON dbo.t (a DESC) INCLUDE (ts)");
    let sql = "DECLARE @t nvarchar(100) = N'dbo.t'; SELECT c.column_id, c.name, TYPE_NAME(c.system_type_id) AS \
        base_type, t.name AS user_type, t.is_assembly_type, c.max_length, c.precision, c.scale, c.is_nullable, \
        c.is_identity, c.is_computed, cc.is_persisted, c.is_hidden, c.generated_always_type, c.is_sparse, \
        c.is_column_set, c.is_rowguidcol, c.encryption_type, c.collation_name, COLLATIONPROPERTY(c.collation_name, \
        'CodePage') AS code_page FROM sys.columns AS c JOIN sys.types AS t ON t.user_type_id = c.user_type_id LEFT \
        JOIN sys.computed_columns AS cc ON cc.object_id = c.object_id AND cc.column_id = c.column_id WHERE c.object_id \
        = OBJECT_ID(@t) ORDER BY c.column_id";
    assert_eq!(
        c.rows(sql),
        [
            "1|id|int|int|0|4|10|0|0|1|0|NULL|0|0|0|0|0|NULL|NULL|NULL",
            "2|a|nvarchar|nvarchar|0|100|0|0|1|0|0|NULL|0|0|0|0|0|NULL|Chinese_Taiwan_Stroke_CI_AS|950",
            "3|p|int|int|0|4|10|0|0|0|1|1|0|0|0|0|0|NULL|NULL|NULL",
            "4|ts|datetime2|datetime2|0|7|23|3|0|0|0|NULL|0|0|0|0|0|NULL|NULL|NULL",
            "5|rv|timestamp|timestamp|0|8|0|0|0|0|0|NULL|0|0|0|0|0|NULL|NULL|NULL",
        ]
    );
    let keys = "DECLARE @t nvarchar(100) = N'dbo.t'; SELECT i.index_id, i.is_primary_key, i.is_unique_constraint, \
        i.type_desc, i.ignore_dup_key, ic.key_ordinal, ic.is_descending_key, c.name, c.is_nullable FROM sys.indexes AS \
        i JOIN sys.index_columns AS ic ON ic.object_id = i.object_id AND ic.index_id = i.index_id JOIN sys.columns AS \
        c ON c.object_id = ic.object_id AND c.column_id = ic.column_id WHERE i.object_id = OBJECT_ID(@t) AND \
        i.is_unique = 1 AND i.has_filter = 0 AND i.is_disabled = 0 AND i.is_hypothetical = 0 AND ic.key_ordinal > 0 \
        ORDER BY i.is_primary_key DESC, i.index_id, ic.key_ordinal";
    assert_eq!(
        c.rows(keys),
        ["1|1|0|CLUSTERED|0|1|0|id|0", "2|0|0|NONCLUSTERED|0|1|1|a|1"]
    );
    let facts = "DECLARE @t nvarchar(100) = N'dbo.t'; SELECT t.is_tracked_by_cdc, t.temporal_type, t.history_table_id, \
        t.is_memory_optimized, ct.min_valid_version, ct.is_track_columns_updated_on, (SELECT TOP (1) c.name FROM \
        sys.columns AS c WHERE c.object_id = t.object_id AND c.system_type_id = 189) AS rowversion_col, \
        d.snapshot_isolation_state, d.is_read_committed_snapshot_on FROM sys.tables AS t CROSS JOIN sys.databases AS d \
        LEFT JOIN sys.change_tracking_tables AS ct ON ct.object_id = t.object_id WHERE t.object_id = OBJECT_ID(@t) AND \
        d.database_id = DB_ID()";
    assert_eq!(c.rows(facts), ["0|0|NULL|0|NULL|NULL|rv|1|1"]);
    assert_eq!(c.one("SELECT name, compatibility_level, collation_name, recovery_model_desc FROM sys.databases WHERE \
        database_id = DB_ID()"), "shop|160|SQL_Latin1_General_CP1_CI_AS|FULL");
    c.ok("ALTER TABLE dbo.t DROP COLUMN p; ALTER TABLE dbo.t ADD q int NULL; EXEC sp_rename 'dbo.t.q', 'r', 'COLUMN'");
    assert_eq!(c.rows("SELECT column_id, name FROM sys.columns WHERE object_id = OBJECT_ID('t') AND column_id > 2 \
        ORDER BY 1"), ["4|ts", "5|rv", "6|r"]);
    assert_eq!(c.one("SELECT COL_LENGTH('dbo.t', 'a')"), "100");
    assert_eq!(
        c.one("SELECT CAST(SERVERPROPERTY('ProductVersion') AS nvarchar(20))"),
        "16.0.4135.4"
    );
    assert_eq!(
        c.one("SELECT TABLE_SCHEMA + '.' + TABLE_NAME FROM INFORMATION_SCHEMA.TABLES"),
        "dbo.t"
    );
}

#[test]
fn fmtonly_tells_columns_without_rows() {
    let engine = engine();
    let mut c = connect(&engine);
    c.ok("CREATE TABLE dbo.t (id int NOT NULL, a varchar(5)); INSERT t VALUES (1, 'x')");
    let reply = c.ok("SELECT @@TRANCOUNT;
        DECLARE @Column_Names NVARCHAR(MAX) = NULL;
        DECLARE @object_id INT = OBJECT_ID(N'[dbo].[t]');
        DECLARE @sql NVARCHAR(MAX);
        SET @sql = N'SELECT @CN = COALESCE(@CN + N'', '', N'''') + QUOTENAME([name]) FROM sys.all_columns WHERE \
        [object_id] = @ObjId';
        IF EXISTS (SELECT TOP 1 * FROM sys.all_columns WHERE [object_id] = OBJECT_ID('sys.all_columns') AND [name] = \
        'graph_type')
            SET @sql = @sql + N' AND COALESCE([graph_type], 0) NOT IN (1, 3, 4, 6, 7)';
        SET @sql = @sql + N' ORDER BY [column_id] ASC';
        SET FMTONLY ON; SELECT * FROM [dbo].[t]; SET FMTONLY OFF; EXEC sp_tablecollations_100 N'[dbo].[t]';");
    assert_eq!(reply.sets.len(), 3);
    assert_eq!((reply.sets[1].0.len(), reply.sets[1].1.len()), (2, 0));
    assert_eq!(reply.sets[2].1.len(), 2);
}

#[test]
fn permissions_and_logins() {
    use crate::session::{Login, Server};
    let engine = engine();
    let mut c = connect(&engine);
    c.ok("CREATE TABLE t (id int); CREATE LOGIN bob WITH PASSWORD = 'Secret1'; CREATE USER bob FOR LOGIN bob; GRANT \
        SELECT ON t TO bob");
    let login = |password| Login {
        user: "bob",
        password,
        database: "shop",
        app_name: "",
        host_name: "",
        read_only: false,
        odbc: true,
    };
    assert_eq!(engine.login(login("wrong")).err().unwrap().number, 18456);
    let mut bob = super::Client(engine.login(login("Secret1")).unwrap());
    bob.ok("SELECT * FROM t");
    assert_eq!(bob.error("INSERT t VALUES (1)"), 229);
    assert_eq!(bob.error("CREATE TABLE u (x int)"), 262);
    assert_eq!(
        bob.one("SELECT HAS_PERMS_BY_NAME('dbo.t', 'OBJECT', 'INSERT')"),
        "0"
    );
    c.ok("ALTER ROLE db_datawriter ADD MEMBER bob; DENY SELECT ON t TO bob");
    bob.ok("INSERT t VALUES (1)");
    assert_eq!(bob.error("SELECT * FROM t"), 229);
    let nowhere = Login {
        user: "sa",
        password: "pw",
        database: "nope",
        app_name: "",
        host_name: "",
        read_only: false,
        odbc: true,
    };
    assert_eq!(engine.login(nowhere).err().unwrap().number, 4060);
}

#[test]
fn rows_of_an_altered_table_stay() {
    let engine = engine();
    let mut c = connect(&engine);
    c.ok("CREATE TABLE dbo.p (id int NOT NULL PRIMARY KEY, v int, w varchar(5)); INSERT dbo.p VALUES (1, 1, 'a'), (2, \
        NULL, 'b')");
    c.ok("ALTER TABLE dbo.p ADD x int NULL, y int NOT NULL DEFAULT 7");
    let mut d = connect(&engine);
    assert_eq!(
        d.rows("SELECT * FROM dbo.p ORDER BY id"),
        ["1|1|a|NULL|7", "2|NULL|b|NULL|7"]
    );
    c.ok("ALTER TABLE dbo.p ALTER COLUMN v bigint NULL; ALTER TABLE dbo.p ALTER COLUMN w nvarchar(50) NULL");
    c.ok("ALTER TABLE dbo.p DROP COLUMN x; EXEC sp_rename N'[dbo].[p].[w]', N'ww', N'COLUMN'");
    assert_eq!(d.rows("SELECT ww, v, y FROM dbo.p WHERE id = 1"), ["a|1|7"]);
    d.ok("UPDATE dbo.p SET v = 5000000000 WHERE id = 2; INSERT dbo.p (id) VALUES (3)");
    c.ok("BEGIN TRANSACTION; ALTER TABLE dbo.p ADD z int NULL; ROLLBACK");
    assert_eq!(
        d.rows("SELECT * FROM dbo.p ORDER BY id"),
        ["1|1|a|7", "2|5000000000|b|7", "3|NULL|NULL|7"]
    );
}

#[test]
fn a_database_is_asked_about_by_a_name_of_one_part() {
    let engine = engine();
    let mut c = connect(&engine);
    c.ok("CREATE DATABASE [a.b]");
    assert_eq!(
        c.one(
            "USE [a.b]; SELECT HAS_PERMS_BY_NAME(DB_NAME(), N'DATABASE', N'CREATE TABLE'), \
                HAS_PERMS_BY_NAME(N'[a.b]', N'DATABASE', N'CREATE TABLE'), HAS_PERMS_BY_NAME(NULL, N'DATABASE', \
                N'CREATE TABLE')"
        ),
        "0|1|1"
    );
}
