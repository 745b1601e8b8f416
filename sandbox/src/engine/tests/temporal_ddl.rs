//! Definitions of system-versioned tables.

use super::{connect, engine};

const PERIOD: &str = "s datetime2 GENERATED ALWAYS AS ROW START NOT NULL, e datetime2 GENERATED ALWAYS AS ROW END NOT \
    NULL, PERIOD FOR SYSTEM_TIME (s, e)";

#[test]
fn the_catalog_describes_tables_histories_and_periods() {
    let mut c = connect(&engine());
    c.ok(&format!(
        "CREATE TABLE t (id int IDENTITY NOT NULL PRIMARY KEY, v int NOT NULL DEFAULT 5, {PERIOD}) WITH \
            (SYSTEM_VERSIONING = ON (HISTORY_RETENTION_PERIOD = 6 MONTHS))"
    ));
    let id = c.one("SELECT OBJECT_ID('t')");
    assert_eq!(
        c.rows("SELECT name, temporal_type, temporal_type_desc, CASE WHEN history_table_id = \
            (SELECT object_id FROM sys.tables WHERE temporal_type = 1) THEN 1 ELSE 0 END, history_retention_period, \
            history_retention_period_unit, history_retention_period_unit_desc FROM sys.tables ORDER BY temporal_type"),
        [
            format!("MSSQL_TemporalHistoryFor_{id}|1|HISTORY_TABLE|0|NULL|NULL|NULL"),
            "t|2|SYSTEM_VERSIONED_TEMPORAL_TABLE|1|6|5|MONTH".to_owned()
        ]
    );
    assert_eq!(
        c.one("SELECT p.name, p.period_type, a.name, b.name FROM sys.periods AS p JOIN sys.columns AS a ON \
        a.object_id = \
            p.object_id AND a.column_id = p.start_column_id JOIN sys.columns AS b ON b.object_id = p.object_id AND \
            b.column_id = p.end_column_id WHERE p.object_id = OBJECT_ID('t')"),
        "SYSTEM_TIME|1|s|e"
    );
    // The history has the columns, but neither keys, identities nor defaults.
    assert_eq!(
        c.rows(&format!(
            "SELECT i.name, i.type_desc, i.is_unique, c.name FROM sys.indexes AS i JOIN sys.index_columns AS k ON \
                k.object_id = i.object_id AND k.index_id = i.index_id JOIN sys.columns AS c ON c.object_id = \
                k.object_id \
                AND c.column_id = k.column_id WHERE i.object_id = OBJECT_ID('MSSQL_TemporalHistoryFor_{id}') ORDER BY \
                k.key_ordinal"
        )),
        [
            format!("ix_MSSQL_TemporalHistoryFor_{id}|CLUSTERED|0|e"),
            format!("ix_MSSQL_TemporalHistoryFor_{id}|CLUSTERED|0|s")
        ]
    );
    assert_eq!(
        c.one(&format!(
            "SELECT SUM(CAST(is_identity AS int)), SUM(default_object_id), SUM(CAST(generated_always_type AS int)) \
            FROM \
                sys.columns WHERE object_id = OBJECT_ID('MSSQL_TemporalHistoryFor_{id}')"
        )),
        "0|0|0"
    );
    c.ok("ALTER TABLE t SET (SYSTEM_VERSIONING = ON (HISTORY_RETENTION_PERIOD = INFINITE))");
    assert_eq!(
        c.one("SELECT history_retention_period, history_retention_period_unit_desc FROM sys.tables WHERE name = 't'"),
        "-1|INFINITE"
    );
}

#[test]
fn what_a_definition_lacks_is_told() {
    let mut c = connect(&engine());
    let on = "WITH (SYSTEM_VERSIONING = ON)";
    for (text, number) in [
        (format!("CREATE TABLE t (id int NOT NULL, {PERIOD}) {on}"), 13553),
        (format!("CREATE TABLE t (id int NOT NULL PRIMARY KEY) {on}"), 13510),
        (
            "CREATE TABLE t (id int, s datetime2 GENERATED ALWAYS AS ROW START NOT NULL)".into(),
            13509,
        ),
        (
            "CREATE TABLE t (id int, s datetime2 NOT NULL, e datetime2 GENERATED ALWAYS AS ROW END NOT NULL, PERIOD \
            FOR \
                SYSTEM_TIME (s, e))"
                .into(),
            13504,
        ),
        (
            "CREATE TABLE t (id int, s datetime2 GENERATED ALWAYS AS ROW START NOT NULL, e datetime2 NOT NULL, \
            PERIOD FOR \
                SYSTEM_TIME (s, e))"
                .into(),
            13505,
        ),
        (PERIOD.replacen("s datetime2", "CREATE TABLE t (id int, s datetime", 1) + ")", 13501),
        (
            PERIOD
                .replacen("s datetime2", "CREATE TABLE t (id int, s datetime2", 1)
                .replacen("NOT NULL", "NULL", 1)
                + ")",
            13587,
        ),
        (
            format!("CREATE TABLE t (id int NOT NULL PRIMARY KEY, {PERIOD}) WITH (SYSTEM_VERSIONING = ON \
            (HISTORY_TABLE = \
                h))"),
            13539,
        ),
    ] {
        assert_eq!(c.error(&text), number, "{text}");
    }
    assert_eq!(c.one("SELECT COUNT(*) FROM sys.tables"), "0");
    assert_eq!(
        c.error(&format!(
            "CREATE TABLE #t (id int NOT NULL PRIMARY KEY, {PERIOD}) {on}"
        )),
        13568
    );
    assert_eq!(
        c.error(&format!("DECLARE @t TABLE (id int, {PERIOD})")),
        13572
    );
    let twice = PERIOD.replace("ROW END", "ROW START");
    assert_eq!(c.error(&format!("CREATE TABLE t (id int, {twice})")), 13505);
    c.ok(&format!(
        "CREATE TABLE t (id int NOT NULL PRIMARY KEY, {PERIOD})"
    ));
    assert_eq!(
        c.error("ALTER TABLE t SET (SYSTEM_VERSIONING = OFF)"),
        13591
    );
    // Without a history the period is kept.
    c.ok("INSERT t (id) VALUES (1); UPDATE t SET id = 2");
    assert_eq!(
        c.one("SELECT DATEDIFF(minute, s, SYSUTCDATETIME()), YEAR(e) FROM t"),
        "0|9999"
    );
}

#[test]
fn a_history_must_fit_and_be_consistent() {
    let mut c = connect(&engine());
    c.ok(&format!(
        "CREATE TABLE t (id int NOT NULL PRIMARY KEY, v int NULL, {PERIOD})"
    ));
    let on = "ALTER TABLE t SET (SYSTEM_VERSIONING = ON (HISTORY_TABLE = dbo.h";
    let rest = "s datetime2 NOT NULL, e datetime2 NOT NULL";
    for (columns, number) in [
        (
            format!("id int NOT NULL PRIMARY KEY, v int NULL, {rest}"),
            13515,
        ),
        (
            format!("id int NOT NULL, v int NULL CHECK (v > 0), {rest}"),
            13517,
        ),
        (format!("id int NOT NULL, {rest}"), 13523),
        (format!("id int NOT NULL, w int NULL, {rest}"), 13524),
        (format!("id int NOT NULL, v bigint NULL, {rest}"), 13525),
        (format!("id int NOT NULL, v int NOT NULL, {rest}"), 13531),
    ] {
        c.ok(&format!("CREATE TABLE h ({columns})"));
        assert_eq!(c.error(&format!("{on}))")), number, "{columns}");
        c.ok("DROP TABLE h");
    }
    c.ok(&format!(
        "CREATE TABLE h (id int NOT NULL, v int NULL, {rest})"
    ));
    c.ok("INSERT h VALUES (1, 1, '2020-01-02', '2020-01-01')");
    assert_eq!(c.error(&format!("{on}))")), 13541);
    c.ok("UPDATE h SET e = '9000-01-01'");
    assert_eq!(c.error(&format!("{on}))")), 13543);
    c.ok("DELETE FROM h; INSERT h VALUES (1, 1, '2020-01-01', '2020-01-03'), (1, 1, '2020-01-02', '2020-01-04')");
    assert_eq!(c.error(&format!("{on}))")), 13573);
    c.ok(&format!("{on}, DATA_CONSISTENCY_CHECK = OFF))"));
    c.ok("ALTER TABLE t SET (SYSTEM_VERSIONING = OFF); DELETE FROM h; DROP TABLE h; DROP TABLE t");
}

#[test]
fn a_table_with_rows_gets_a_period_and_loses_it() {
    let mut c = connect(&engine());
    c.ok("CREATE TABLE t (id int NOT NULL PRIMARY KEY, v int NULL); INSERT t VALUES (1, 1)");
    let add = |start: &str, end: &str| {
        format!(
            "ALTER TABLE t ADD s datetime2 GENERATED ALWAYS AS ROW START HIDDEN NOT NULL CONSTRAINT ds DEFAULT \
            {start}, e \
                datetime2 GENERATED ALWAYS AS ROW END HIDDEN NOT NULL CONSTRAINT de DEFAULT {end}, PERIOD FOR \
                SYSTEM_TIME \
                (s, e)"
        )
    };
    let end = "'9999-12-31 23:59:59.9999999'";
    assert_eq!(
        c.error(&add("DATEADD(hour, 1, SYSUTCDATETIME())", end)),
        13542
    );
    assert_eq!(c.error(&add("'2020-01-01'", "'9999-12-31'")), 13575);
    c.ok(&add("'2020-01-01'", end));
    c.ok("ALTER TABLE t SET (SYSTEM_VERSIONING = ON (HISTORY_TABLE = dbo.h))");
    c.ok("UPDATE t SET v = 2");
    assert_eq!(
        c.rows("SELECT v FROM t FOR SYSTEM_TIME AS OF '2021-01-01'"),
        ["1"]
    );
    assert_eq!(c.error("ALTER TABLE t DROP PERIOD FOR SYSTEM_TIME"), 13592);
    c.ok("ALTER TABLE t SET (SYSTEM_VERSIONING = OFF)");
    c.ok("ALTER TABLE t DROP PERIOD FOR SYSTEM_TIME; UPDATE t SET s = '2019-01-01'; DELETE FROM h");
    // Columns that are there become a period's again.
    c.ok("ALTER TABLE t ADD PERIOD FOR SYSTEM_TIME (s, e)");
    assert_eq!(c.error("UPDATE t SET s = '2019-01-01'"), 13537);
    c.ok("ALTER TABLE t DROP PERIOD FOR SYSTEM_TIME; TRUNCATE TABLE t; DROP TABLE t");
}

#[test]
fn a_history_follows_the_columns_of_its_table() {
    let mut c = connect(&engine());
    c.ok(&format!(
        "CREATE TABLE t (id int NOT NULL PRIMARY KEY, a int NULL, b varchar(5) NULL, {PERIOD}) WITH \
        (SYSTEM_VERSIONING = \
            ON (HISTORY_TABLE = dbo.h))"
    ));
    c.ok("INSERT t (id, a, b) VALUES (1, 1, 'x'); UPDATE t SET a = 2");
    c.ok("ALTER TABLE t ADD c int NOT NULL CONSTRAINT dc DEFAULT 7, d int NULL");
    c.ok("ALTER TABLE t DROP COLUMN a; ALTER TABLE t ALTER COLUMN b varchar(50) NULL");
    c.ok("UPDATE t SET b = 'a longer text'; UPDATE t SET d = 1");
    assert_eq!(
        c.rows("SELECT id, b, c, d FROM h ORDER BY e"),
        ["1|x|7|NULL", "1|x|7|NULL", "1|a longer text|7|NULL"]
    );
    assert_eq!(
        c.one(
            "SELECT COUNT(*) FROM sys.default_constraints WHERE parent_object_id = OBJECT_ID('h')"
        ),
        "0"
    );
    assert_eq!(c.error("ALTER TABLE h ADD x int NULL"), 13550);
    assert_eq!(c.error("ALTER TABLE h DROP COLUMN d"), 13551);
    assert_eq!(c.error("ALTER TABLE h ALTER COLUMN d bigint NULL"), 13548);
    assert_eq!(c.error("ALTER TABLE t ADD x int IDENTITY"), 13704);
    assert_eq!(c.error("ALTER TABLE t ADD x AS (id + 1)"), 13724);
    assert_eq!(c.error("ALTER TABLE t DROP COLUMN s"), 13551);
    c.ok("BEGIN TRAN; ALTER TABLE t ADD y int NULL; ROLLBACK");
    assert_eq!(
        c.one("SELECT COUNT(*) FROM sys.columns WHERE name = 'y'"),
        "0"
    );
}
