//! ALTER DATABASE, ALTER TABLE, catalog views, permissions.

use super::*;

/// "ALTER DATABASE SET options", "sys.change_tracking_databases".
#[test]
fn a_database_is_turned_on_changed_and_turned_off() {
    let engine = engine();
    let mut a = connect(&engine);
    let shown = "SELECT is_auto_cleanup_on, retention_period, retention_period_units, retention_period_units_desc, \
        max_cleanup_version FROM sys.change_tracking_databases WHERE database_id = DB_ID()";
    assert_eq!(a.rows(shown), [] as [&str; 0]);
    assert_eq!(a.one(CURRENT), "NULL");
    let set = |options: &str| format!("ALTER DATABASE shop SET CHANGE_TRACKING {options}");
    assert_eq!(a.error(&set("= OFF")), 5089);
    assert_eq!(a.error(&set("(AUTO_CLEANUP = OFF)")), 5089);
    a.ok(&set("= ON"));
    assert_eq!(a.one(shown), "1|2|3|DAYS|NULL");
    assert_eq!(a.one(CURRENT), "0");
    assert_eq!(a.error(&set("= ON")), 5088);
    a.ok(&set("(CHANGE_RETENTION = 90 MINUTES, AUTO_CLEANUP = OFF)"));
    assert_eq!(a.one(shown), "0|90|1|MINUTES|NULL");
    a.ok(&set("(CHANGE_RETENTION = 5 HOURS)"));
    assert_eq!(a.one(shown), "0|5|2|HOURS|NULL");
    assert_eq!(a.error(&set("(CHANGE_RETENTION = 0 DAYS)")), 5092);
    assert_eq!(a.error(&set("(CHANGE_RETENTION = 1500000 DAYS)")), 5092);
    let twice = "(AUTO_CLEANUP = ON, CHANGE_RETENTION = 1 DAYS, AUTO_CLEANUP = OFF)";
    assert_eq!(a.error(&set(twice)), 5091);
    assert_eq!(a.error(&set("= OFF, RECOVERY SIMPLE")), 22114);
    assert_eq!(
        a.error("ALTER DATABASE tempdb SET CHANGE_TRACKING = ON"),
        5090
    );
    a.ok("CREATE TABLE t (id int NOT NULL PRIMARY KEY); ALTER TABLE t ENABLE CHANGE_TRACKING");
    assert_eq!(a.error(&set("= OFF")), 22115);
    a.ok("ALTER TABLE t DISABLE CHANGE_TRACKING");
    a.ok(&set("= OFF"));
    assert_eq!(a.rows(shown), [] as [&str; 0]);
    assert_eq!(a.one(CURRENT), "NULL");
}

/// "Enable and disable change tracking", and errors 1718 and 4996 to 4999.
#[test]
fn a_table_is_tracked_when_its_database_is_and_it_has_a_key() {
    let engine = engine();
    let mut a = connect(&engine);
    a.ok("CREATE TABLE t (id int NOT NULL, CONSTRAINT pk PRIMARY KEY (id)); CREATE TABLE heap (id int NOT NULL \
        UNIQUE)");
    a.ok("CREATE TABLE stamped (rv rowversion NOT NULL PRIMARY KEY)");
    assert_eq!(a.error("ALTER TABLE t ENABLE CHANGE_TRACKING"), 1718);
    a.ok("ALTER DATABASE CURRENT SET CHANGE_TRACKING = ON");
    assert_eq!(a.error("ALTER TABLE heap ENABLE CHANGE_TRACKING"), 4997);
    assert_eq!(a.error("ALTER TABLE stamped ENABLE CHANGE_TRACKING"), 4999);
    assert_eq!(a.error("ALTER TABLE t DISABLE CHANGE_TRACKING"), 4998);
    assert_eq!(
        a.error("CREATE TABLE #x (id int PRIMARY KEY); ALTER TABLE #x ENABLE CHANGE_TRACKING"),
        1718
    );
    let shown = "SELECT OBJECT_NAME(object_id), is_track_columns_updated_on, cleanup_version FROM \
        sys.change_tracking_tables";
    assert_eq!(a.rows(shown), [] as [&str; 0]);
    a.ok("ALTER TABLE t ENABLE CHANGE_TRACKING WITH (TRACK_COLUMNS_UPDATED = ON)");
    assert_eq!(a.error("ALTER TABLE t ENABLE CHANGE_TRACKING"), 4996);
    assert_eq!(a.rows(shown), ["t|1|NULL"]);
    a.ok("ALTER TABLE t DISABLE CHANGE_TRACKING");
    assert_eq!(a.rows(shown), [] as [&str; 0]);
    a.ok("ALTER TABLE t ENABLE CHANGE_TRACKING WITH (TRACK_COLUMNS_UPDATED = OFF)");
    assert_eq!(a.rows(shown), ["t|0|NULL"]);
    a.ok("DROP TABLE t");
    assert_eq!(a.rows(shown), [] as [&str; 0]);
    a.ok("ALTER DATABASE CURRENT SET CHANGE_TRACKING = OFF");
}

/// "Manage change tracking", the table of operations.
#[test]
fn the_key_of_a_tracked_table_stays_and_its_rows_are_not_switched() {
    let (_engine, mut a) = with_table();
    a.ok("CREATE TABLE named (id varchar(5) NOT NULL, v int NULL, w int NULL, CONSTRAINT pk PRIMARY KEY (id))");
    a.ok("ALTER TABLE named ENABLE CHANGE_TRACKING");
    assert_eq!(a.error("ALTER TABLE named DROP CONSTRAINT pk"), 3735);
    assert_eq!(a.error("DROP INDEX pk ON named"), 3723);
    assert_eq!(a.error("ALTER TABLE named DROP COLUMN id"), 5074);
    assert_eq!(
        a.error("ALTER TABLE named ALTER COLUMN id varchar(9) NOT NULL"),
        22113
    );
    a.ok("CREATE TABLE s (id int NOT NULL PRIMARY KEY, v int NULL)");
    assert_eq!(a.error("ALTER TABLE t SWITCH TO s"), 22113);
    assert_eq!(a.error("ALTER TABLE s SWITCH TO t"), 22113);
    // Other columns come, change and go, and none of it is a change of rows.
    a.ok("INSERT named VALUES ('a', 1, 1)");
    let before = a.one(CURRENT);
    a.ok("ALTER TABLE named ADD x int NOT NULL DEFAULT 7; ALTER TABLE named ALTER COLUMN v bigint NULL");
    a.ok("ALTER TABLE named DROP COLUMN w");
    assert_eq!(a.one(CURRENT), before);
    let named = "SELECT SYS_CHANGE_OPERATION, ct.id, n.x FROM CHANGETABLE(CHANGES named, 0) AS ct JOIN named AS n ON \
        n.id = ct.id";
    assert_eq!(a.rows(named), ["I|a|7"]);
    a.ok("UPDATE named SET x = 8; ALTER TABLE named DISABLE CHANGE_TRACKING");
    a.ok("ALTER TABLE named DROP CONSTRAINT pk");
}

/// "Manage change tracking", Security; "CHANGE_TRACKING_MIN_VALID_VERSION".
#[test]
fn changes_are_read_with_select_and_view_change_tracking() {
    let (engine, mut a) = with_table();
    a.ok("INSERT t VALUES (1, 1)");
    a.ok("CREATE LOGIN reader WITH PASSWORD = 'pw'; CREATE USER reader FOR LOGIN reader");
    let mut reader = connect_as(&engine, "reader");
    let query = "SELECT id FROM CHANGETABLE(CHANGES dbo.t, 0) AS ct";
    let listed = "SELECT COUNT(*) FROM sys.change_tracking_tables";
    let may = "SELECT HAS_PERMS_BY_NAME('dbo.t', 'OBJECT', 'VIEW CHANGE TRACKING')";
    assert_eq!(reader.one(listed), "0");
    a.ok("GRANT VIEW CHANGE TRACKING ON dbo.t TO reader");
    assert_eq!(reader.error(query), 229);
    assert_eq!(reader.one(LEAST), "NULL");
    assert_eq!(reader.one(may), "1");
    assert_eq!(reader.one(listed), "1");
    a.ok("ALTER ROLE db_datareader ADD MEMBER reader");
    assert_eq!(reader.rows(query), ["1"]);
    assert_eq!(reader.one(LEAST), "0");
    a.ok("DENY VIEW CHANGE TRACKING ON SCHEMA::dbo TO reader");
    let refused = reader.batch(query).errors.remove(0);
    assert_eq!(refused.number, 229);
    assert!(
        refused.message.contains("VIEW CHANGE TRACKING"),
        "{refused}"
    );
    assert_eq!(reader.one(LEAST), "NULL");
    assert_eq!(reader.one(may), "0");
    assert_eq!(reader.one(CURRENT), "1");
    assert_eq!(
        reader.error("ALTER TABLE dbo.t DISABLE CHANGE_TRACKING"),
        229
    );
    a.ok("REVOKE VIEW CHANGE TRACKING ON SCHEMA::dbo TO reader; GRANT CONTROL ON dbo.t TO reader");
    assert_eq!(reader.rows(query), ["1"]);
}

/// "sys.dm_tran_commit_table".
#[test]
fn commits_are_shown_to_who_sees_the_state() {
    let (engine, mut a) = with_table();
    a.ok("INSERT t VALUES (1, 1); UPDATE t SET v = 2");
    let query = "SELECT commit_ts, DATEDIFF(minute, commit_time, SYSUTCDATETIME()) FROM sys.dm_tran_commit_table ORDER \
        BY commit_ts";
    assert_eq!(a.rows(query), ["1|0", "2|0"]);
    a.ok("CREATE LOGIN reader WITH PASSWORD = 'pw'; CREATE USER reader FOR LOGIN reader");
    let mut reader = connect_as(&engine, "reader");
    assert_eq!(reader.error(query), 262);
    a.ok("GRANT VIEW DATABASE STATE TO reader");
    assert_eq!(reader.rows(query).len(), 2);
    a.ok("REVOKE VIEW DATABASE STATE TO reader; USE master; CREATE USER reader FOR LOGIN reader; GRANT VIEW \
        SERVER STATE TO reader");
    assert_eq!(reader.rows(query).len(), 2);
}
