//! What servers, databases and logins are like beyond an administrator's on a primary.

use super::{Client, connect, connect_as, engine};
use crate::engine::{Engine, Options, Replica};
use crate::session::{Login, Server};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// A session of a login that may read everything.
fn reader(engine: &Arc<Engine>) -> Client {
    connect(engine).ok(
        "CREATE LOGIN reader WITH PASSWORD = 'pw'; CREATE USER reader FOR LOGIN reader; ALTER ROLE db_datareader ADD \
        MEMBER reader",
    );
    connect_as(engine, "reader")
}

#[test]
fn a_scan_with_row_locks_meets_rows_where_they_are_when_it_comes() {
    let engine = engine();
    let (mut a, mut b, mut c) = (connect(&engine), connect(&engine), connect(&engine));
    a.ok("ALTER DATABASE shop SET READ_COMMITTED_SNAPSHOT OFF");
    a.ok(
        "CREATE TABLE t (id int NOT NULL PRIMARY KEY NONCLUSTERED, pos int NOT NULL);
        CREATE CLUSTERED INDEX cx ON t (pos);
        INSERT t VALUES (1, 10), (2, 20), (3, 30), (4, 40), (5, 50)",
    );
    a.ok("BEGIN TRAN; UPDATE t SET pos = 31 WHERE id = 3");
    let scan = thread::spawn(move || b.rows("SELECT id, pos FROM t"));
    while a
        .rows("SELECT session_id FROM sys.dm_exec_requests WHERE wait_type = 'LCK_M_S'")
        .is_empty()
    {
        thread::sleep(Duration::from_millis(5));
    }
    // The first is met again ahead, the last is missed behind. The fourth is taken back to where it is waited for.
    c.ok("UPDATE t SET pos = 60 WHERE id = 1; UPDATE t SET pos = 5 WHERE id = 5");
    c.ok("BEGIN TRAN; UPDATE t SET pos = 6 WHERE id = 4");
    a.ok("COMMIT");
    thread::sleep(Duration::from_millis(40));
    assert!(!scan.is_finished());
    c.ok("ROLLBACK");
    assert_eq!(
        scan.join().unwrap(),
        ["1|10", "2|20", "3|31", "4|40", "1|60"]
    );
}

#[test]
fn masked_columns_are_shown_to_those_who_may_unmask() {
    let engine = engine();
    let mut a = connect(&engine);
    a.ok("CREATE TABLE t (id int NOT NULL PRIMARY KEY, card varchar(20) MASKED WITH (FUNCTION = 'partial(1,\"x\",1)') \
        NULL, n int MASKED WITH (FUNCTION = 'default()') NULL, day date MASKED WITH (FUNCTION = 'default()') NULL)");
    a.ok("INSERT t VALUES (1, '4929 1234', 7, '2024-02-03'), (2, NULL, NULL, NULL)");
    let mut reader = reader(&engine);
    let query = "SELECT id, UPPER(card), n + 1, day FROM t ORDER BY id";
    assert_eq!(a.rows(query)[0], "1|4929 1234|8|2024-02-03");
    assert_eq!(
        reader.rows(query),
        ["1|xxxx|0|1900-01-01", "2|NULL|NULL|NULL"]
    );
    // Conditions see what is there.
    assert_eq!(reader.rows("SELECT id FROM t WHERE n = 7"), ["1"]);
    assert_eq!(
        reader.rows("SELECT name, masking_function FROM sys.masked_columns ORDER BY column_id")[1],
        "n|default()"
    );
    let may = "SELECT HAS_PERMS_BY_NAME(NULL, N'DATABASE', N'UNMASK')";
    assert_eq!(reader.one(may), "0");
    a.ok("GRANT UNMASK TO reader");
    assert_eq!(reader.one(may), "1");
    assert_eq!(reader.rows(query)[0], "1|4929 1234|8|2024-02-03");
}

#[test]
fn security_policies_filter_and_are_shown_to_those_who_may_see_them() {
    let engine = engine();
    let mut a = connect(&engine);
    a.ok("CREATE TABLE t (id int NOT NULL PRIMARY KEY, owner nvarchar(20) NOT NULL); INSERT t VALUES (1, N'reader'), \
        (2, N'other')");
    a.ok("CREATE FUNCTION dbo.own(@owner AS nvarchar(20)) RETURNS TABLE WITH SCHEMABINDING AS RETURN (SELECT 1 AS own \
        WHERE @owner = USER_NAME())");
    a.ok("CREATE SECURITY POLICY dbo.owners ADD FILTER PREDICATE dbo.own(owner) ON dbo.t WITH (STATE = ON)");
    let mut reader = reader(&engine);
    // The administrator is dbo, and owns none.
    assert_eq!(a.rows("SELECT id FROM t"), [] as [&str; 0]);
    assert_eq!(reader.rows("SELECT x.id FROM dbo.t AS x"), ["1"]);
    assert_eq!(reader.one("SELECT COUNT(*) FROM t WHERE id = 2"), "0");
    let policies = "SELECT p.name, f.predicate_type FROM sys.security_policies AS p JOIN sys.security_predicates AS f \
        ON f.object_id = p.object_id WHERE f.target_object_id = OBJECT_ID('dbo.t') AND p.is_enabled = 1";
    assert_eq!(reader.rows(policies), [] as [&str; 0]);
    a.ok("GRANT VIEW DEFINITION TO reader");
    assert_eq!(reader.rows(policies), ["owners|0"]);
    a.ok("ALTER SECURITY POLICY dbo.owners WITH (STATE = OFF)");
    assert_eq!(reader.rows("SELECT id FROM t ORDER BY id"), ["1", "2"]);
    assert_eq!(reader.rows(policies), [] as [&str; 0]);
}

#[test]
fn a_view_shows_what_it_refers_to() {
    let engine = engine();
    let mut a = connect(&engine);
    a.ok("CREATE TABLE t (id int); CREATE TABLE u (id int)");
    a.ok("CREATE VIEW v AS SELECT t.id FROM dbo.t AS t JOIN u ON u.id = t.id");
    let query = "SELECT referenced_database_name, referenced_schema_name, referenced_entity_name FROM \
        sys.dm_sql_referenced_entities(N'dbo.v', N'OBJECT') WHERE referenced_minor_id = 0";
    assert_eq!(a.rows(query), ["NULL|dbo|t", "NULL|NULL|u"]);
    let mut reader = reader(&engine);
    assert_eq!(reader.error(query), 229);
    assert_eq!(
        reader.one("SELECT OBJECT_DEFINITION(OBJECT_ID('dbo.v'))"),
        "NULL"
    );
    a.ok("GRANT VIEW DEFINITION ON dbo.v TO reader");
    assert_eq!(reader.rows(query).len(), 2);
}

#[test]
fn storage_is_exchanged_by_a_switch_and_new_after_a_rebuild() {
    let engine = engine();
    let mut a = connect(&engine);
    a.ok("CREATE TABLE t (id int NOT NULL PRIMARY KEY, n int NOT NULL, INDEX ix (n)); CREATE TABLE s (id int NOT NULL \
        PRIMARY KEY, n int NOT NULL, INDEX ix (n)); INSERT s VALUES (1, 1)");
    let storage = |client: &mut Client, table: &str| {
        client.rows(&format!(
            "SELECT index_id, partition_id FROM sys.partitions WHERE object_id = OBJECT_ID('{table}') ORDER BY 1"
        ))
    };
    let (t, s) = (storage(&mut a, "t"), storage(&mut a, "s"));
    a.ok("ALTER TABLE s SWITCH TO t");
    assert_eq!((storage(&mut a, "t"), storage(&mut a, "s")), (s.clone(), t));
    assert_eq!(a.rows("SELECT id FROM t"), ["1"]);
    assert_eq!(a.one("SELECT COUNT(*) FROM s"), "0");
    assert_eq!(a.error("ALTER TABLE s SWITCH TO t"), 4905);
    a.ok("ALTER INDEX ix ON t REBUILD");
    let rebuilt = storage(&mut a, "t");
    assert_eq!(rebuilt[0], s[0]);
    assert_ne!(rebuilt[1], s[1]);
    a.ok("ALTER INDEX ALL ON t REBUILD");
    let all = storage(&mut a, "t");
    assert!(all[0] != rebuilt[0] && all[1] != rebuilt[1], "{all:?}");
    a.ok("BEGIN TRAN; ALTER TABLE t SWITCH TO s; ROLLBACK");
    assert_eq!(storage(&mut a, "t"), all);
}

#[test]
fn a_login_reads_dates_in_its_language() {
    let engine = engine();
    let mut a = connect(&engine);
    a.ok("CREATE LOGIN reader WITH PASSWORD = 'pw', DEFAULT_LANGUAGE = British; CREATE USER reader FOR LOGIN reader");
    let mut british = connect_as(&engine, "reader");
    let query = "SELECT CONVERT(char(8), CONVERT(datetime, '2024-03-05'), 112), CONVERT(char(8), CONVERT(datetime, \
        '2024-03-05', 121), 112), CONVERT(char(8), CONVERT(date, '2024-03-05'), 112), @@LANGUAGE";
    assert_eq!(a.one(query), "20240305|20240305|20240305|us_english");
    assert_eq!(british.one(query), "20240503|20240305|20240305|British");
    let of_no_month = "SELECT CONVERT(datetime, '2024-02-28')";
    assert_eq!(british.error(of_no_month), 242);
    assert_eq!(a.error(&format!("SET DATEFORMAT dmy; {of_no_month}")), 242);
}

#[test]
fn copies_of_a_database_are_not_written_to() {
    let engine = engine();
    let mut a = connect(&engine);
    a.ok("ALTER DATABASE shop SET READ_COMMITTED_SNAPSHOT OFF");
    a.ok("CREATE TABLE t (id int NOT NULL PRIMARY KEY, v int NOT NULL); INSERT t VALUES (1, 1)");
    let facts = "SELECT CONVERT(nvarchar(20), DATABASEPROPERTYEX(N'shop', 'Updateability')), is_read_only, \
        is_in_standby, CASE WHEN source_database_id IS NULL THEN 0 ELSE 1 END FROM sys.databases WHERE name = \
        DB_NAME()";
    assert_eq!(a.one(facts), "READ_WRITE|0|0|0");
    for (replica, expected) in [
        (Replica::Secondary, "READ_ONLY|0|0|0"),
        (Replica::Snapshot, "READ_ONLY|1|0|1"),
        (Replica::Standby, "READ_ONLY|1|1|0"),
    ] {
        engine.set_replica("shop", replica).unwrap();
        assert_eq!(a.one(facts), expected);
        assert_eq!(a.error("INSERT t VALUES (2, 2)"), 3906);
        assert_eq!(a.one("SELECT v FROM t WITH (TABLOCK)"), "1");
    }
    engine.set_replica("shop", Replica::Secondary).unwrap();
    let mut login = Login {
        user: "sa",
        password: "pw",
        database: "shop",
        app_name: "test",
        host_name: "here",
        read_only: false,
        odbc: true,
    };
    let refused = engine.login(login).err().map(|error| error.number);
    assert_eq!(refused, Some(978));
    login.read_only = true;
    assert!(engine.login(login).is_ok());
    assert!(engine.set_replica("nowhere", Replica::Primary).is_err());
}

#[test]
fn a_restored_database_is_on_another_fork() {
    let engine = engine();
    let mut a = connect(&engine);
    a.ok("CREATE TABLE t (id int NOT NULL PRIMARY KEY, rv rowversion); INSERT t (id) VALUES (1)");
    let fork = "SELECT r.recovery_fork_guid FROM sys.database_recovery_status AS r JOIN sys.databases AS d ON \
        d.database_id = r.database_id WHERE d.name = DB_NAME()";
    let (before, counter) = (a.one(fork), a.one("SELECT CAST(@@DBTS AS bigint)"));
    let backup = engine.back_up("shop").unwrap();
    a.ok("INSERT t (id) VALUES (2); CREATE TABLE u (id int)");
    assert_eq!(a.one(fork), before);
    engine.restore("shop", &backup).unwrap();
    assert_ne!(a.one(fork), before);
    assert_eq!(a.one("SELECT CAST(@@DBTS AS bigint)"), counter);
    assert_eq!(a.rows("SELECT id FROM t"), ["1"]);
    assert_eq!(a.one("SELECT OBJECT_ID('dbo.u')"), "NULL");
}

#[test]
fn in_azure_sql_a_database_has_two_numbers() {
    let engine = Engine::new(Options {
        databases: vec!["shop".into()],
        password: "pw".into(),
        engine_edition: 5,
        ..Options::default()
    })
    .unwrap();
    let mut a = connect(&engine);
    assert_eq!(
        a.one("SELECT CONVERT(int, SERVERPROPERTY('EngineEdition'))"),
        "5"
    );
    assert_eq!(
        a.one("SELECT COUNT(*) FROM sys.databases WHERE database_id = DB_ID()"),
        "0"
    );
    assert_eq!(
        a.one("SELECT COUNT(*) FROM sys.databases WHERE name = DB_NAME()"),
        "1"
    );
    assert_eq!(
        a.one("SELECT OBJECT_ID(N'sys.database_recovery_status')"),
        "NULL"
    );
    assert_eq!(
        connect(&super::engine()).one(
            "SELECT CASE WHEN OBJECT_ID(N'sys.database_recovery_status') IS NULL THEN 0 ELSE 1 END"
        ),
        "1"
    );
}
