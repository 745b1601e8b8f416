//! Versions: who takes them, who sees them, and where histories end.

use super::*;
use crate::value::Value;
use std::thread;
use std::time::Duration;

const SNAPSHOT: &str = "SET TRANSACTION ISOLATION LEVEL SNAPSHOT; BEGIN TRAN";

#[test]
fn a_transaction_takes_one_version_at_its_commit() {
    let (engine, mut a) = with_table();
    let mut b = connect(&engine);
    a.ok("CREATE TABLE u (id int NOT NULL PRIMARY KEY); CREATE TABLE plain (id int)");
    a.ok("ALTER TABLE u ENABLE CHANGE_TRACKING");
    a.ok("BEGIN TRAN; INSERT t VALUES (1, 1); INSERT u VALUES (1)");
    assert_eq!(b.one(CURRENT), "0");
    // Who commits first is first, and waits for nobody.
    b.ok("INSERT t VALUES (2, 2)");
    assert_eq!(changes(&mut b, "0"), ["1|1|I|2"]);
    assert_eq!(changes(&mut a, "0"), ["1|1|I|2"]);
    a.ok("UPDATE t SET v = 3 WHERE id = 1; COMMIT");
    assert_eq!(b.one(CURRENT), "2");
    assert_eq!(changes(&mut b, "0"), ["2|2|I|1", "1|1|I|2"]);
    assert_eq!(
        b.rows("SELECT SYS_CHANGE_VERSION, id FROM CHANGETABLE(CHANGES u, 0) AS ct"),
        ["2|1"]
    );
    // What changes no tracked row takes none.
    a.ok(
        "INSERT plain VALUES (1); UPDATE t SET v = 1 WHERE id = 99; DELETE plain; SELECT * FROM t",
    );
    assert_eq!(a.one(CURRENT), "2");
}

#[test]
fn what_is_rolled_back_was_never_there() {
    let (_engine, mut a) = with_table();
    a.ok("BEGIN TRAN; INSERT t VALUES (1, 1); ROLLBACK");
    assert_eq!(a.one(CURRENT), "0");
    a.ok("BEGIN TRAN; INSERT t VALUES (1, 1); SAVE TRAN s; INSERT t VALUES (2, 2); UPDATE t SET v = 9 WHERE id = 1; \
        ROLLBACK TRAN s; INSERT t VALUES (3, 3); COMMIT");
    assert_eq!(changes(&mut a, "0"), ["1|1|I|1", "1|1|I|3"]);
    // A statement that fails leaves nothing, and the rest of its transaction stays.
    a.batch("BEGIN TRAN; INSERT t VALUES (4, 4); INSERT t VALUES (5, 5), (1, 1); COMMIT");
    assert_eq!(changes(&mut a, "1"), ["2|2|I|4"]);
    a.batch("SET XACT_ABORT ON; BEGIN TRAN; DELETE t WHERE id = 4; INSERT t VALUES (1, 1); COMMIT");
    a.ok("SET XACT_ABORT OFF");
    assert_eq!(changes(&mut a, "2"), [] as [&str; 0]);
}

#[test]
fn every_way_of_writing_is_tracked() {
    let engine = tracking(false);
    let mut a = connect(&engine);
    a.ok("CREATE TABLE p (id int NOT NULL PRIMARY KEY); CREATE TABLE t (id int NOT NULL PRIMARY KEY, p int NULL \
        REFERENCES p ON DELETE CASCADE ON UPDATE CASCADE)");
    a.ok("ALTER TABLE t ENABLE CHANGE_TRACKING");
    a.ok("INSERT p VALUES (1), (2); INSERT t VALUES (1, 1), (2, 2), (3, NULL)");
    a.ok("UPDATE p SET id = 7 WHERE id = 1");
    a.ok("DELETE p WHERE id = 2");
    assert_eq!(changes(&mut a, "1"), ["2|NULL|U|1", "3|NULL|D|2"]);
    a.ok("MERGE t USING (VALUES (1), (9)) AS s (id) ON t.id = s.id WHEN MATCHED THEN UPDATE SET p = NULL WHEN NOT MATCHED \
        THEN INSERT (id) VALUES (s.id) WHEN NOT MATCHED BY SOURCE THEN DELETE;");
    assert_eq!(
        changes(&mut a, "3"),
        ["4|NULL|U|1", "4|NULL|D|3", "4|4|I|9"]
    );
    // A trigger's changes are its statement's, under no context.
    a.ok("CREATE TABLE log (id int NOT NULL PRIMARY KEY)");
    a.ok("CREATE TRIGGER tr ON log AFTER INSERT AS UPDATE t SET p = 7 WHERE id = 9");
    a.ok("WITH CHANGE_TRACKING_CONTEXT (0x01) INSERT log VALUES (1)");
    assert_eq!(
        a.rows(
            "SELECT SYS_CHANGE_VERSION, SYS_CHANGE_CONTEXT, id FROM CHANGETABLE(CHANGES t, 4) AS ct"
        ),
        ["5|NULL|9"]
    );
    let target = a.0.batch(
        "INSERT BULK dbo.t ([id] int, [p] int)",
        &Default::default(),
        &mut super::super::Reply::default(),
    );
    assert!(target.is_some());
    let row = |id| vec![Value::Int(id), Value::Null];
    a.0.bulk_rows(vec![row(20), row(21)]).unwrap();
    a.0.bulk_end(false, &mut super::super::Reply::default());
    assert_eq!(changes(&mut a, "5"), ["6|6|I|20", "6|6|I|21"]);
}

/// A cascade has the context of the statement that it belongs to.
#[test]
fn a_cascade_has_its_statements_context() {
    let engine = tracking(false);
    let mut a = connect(&engine);
    a.ok("CREATE TABLE p (id int NOT NULL PRIMARY KEY); CREATE TABLE t (id int NOT NULL PRIMARY KEY, p int NULL \
        REFERENCES p ON DELETE CASCADE)");
    a.ok("ALTER TABLE t ENABLE CHANGE_TRACKING; INSERT p VALUES (1); INSERT t VALUES (1, 1)");
    a.ok("WITH CHANGE_TRACKING_CONTEXT (0x05) DELETE p");
    assert_eq!(
        a.rows(
            "SELECT SYS_CHANGE_OPERATION, SYS_CHANGE_CONTEXT FROM CHANGETABLE(CHANGES t, 1) AS ct"
        ),
        ["D|0x05"]
    );
}

/// "Work with change tracking", Using snapshot isolation.
#[test]
fn a_snapshot_sees_one_moment() {
    let (engine, mut a) = with_table();
    let mut b = connect(&engine);
    a.ok("INSERT t VALUES (1, 1)");
    // The current version begins the snapshot.
    b.ok(SNAPSHOT);
    assert_eq!(b.one(CURRENT), "1");
    a.ok("INSERT t VALUES (2, 2); UPDATE t SET v = 9 WHERE id = 1");
    assert_eq!(b.one(CURRENT), "1");
    assert_eq!(changes(&mut b, "0"), ["1|1|I|1"]);
    assert_eq!(b.rows("SELECT id, v FROM t"), ["1|1"]);
    // Its own changes have no version before it commits.
    b.ok("INSERT t VALUES (3, 3)");
    assert_eq!(changes(&mut b, "0"), ["1|1|I|1"]);
    b.ok("COMMIT");
    assert_eq!(b.one(CURRENT), "4");
    assert_eq!(changes(&mut b, "1"), ["3|NULL|U|1", "2|2|I|2", "4|4|I|3"]);
    // So does CHANGETABLE.
    b.ok(SNAPSHOT);
    assert_eq!(changes(&mut b, "4"), [] as [&str; 0]);
    a.ok("DELETE t WHERE id = 3");
    assert_eq!(b.one(CURRENT), "4");
    b.ok("COMMIT; SET TRANSACTION ISOLATION LEVEL READ COMMITTED");
    assert_eq!(b.one(CURRENT), "5");
    // A snapshot that began before tracking did.
    b.ok(SNAPSHOT);
    b.ok("SELECT * FROM t");
    a.ok("ALTER TABLE t DISABLE CHANGE_TRACKING; ALTER TABLE t ENABLE CHANGE_TRACKING");
    assert_eq!(
        b.error("SELECT * FROM CHANGETABLE(CHANGES t, 4) AS ct"),
        3961
    );
}

#[test]
fn outside_snapshots_the_versions_are_of_now() {
    let (engine, mut a) = with_table();
    let mut b = connect(&engine);
    b.ok("BEGIN TRAN");
    assert_eq!(b.one(CURRENT), "0");
    a.ok("INSERT t VALUES (1, 1)");
    assert_eq!(b.one(CURRENT), "1");
    assert_eq!(changes(&mut b, "0"), ["1|1|I|1"]);
    b.ok("COMMIT");
    a.ok("ALTER DATABASE shop SET ALLOW_SNAPSHOT_ISOLATION OFF");
    b.ok("SET TRANSACTION ISOLATION LEVEL SNAPSHOT");
    assert_eq!(
        b.error("SELECT * FROM CHANGETABLE(CHANGES t, 0) AS ct"),
        3952
    );
}

/// "Manage change tracking", TRUNCATE TABLE; "CHANGETABLE": as if tracking had just been enabled.
#[test]
fn a_truncated_table_begins_again() {
    for takes_version in [true, false] {
        let engine = tracking(takes_version);
        let mut a = connect(&engine);
        a.ok("CREATE TABLE t (id int NOT NULL PRIMARY KEY, v int NULL)");
        a.ok("ALTER TABLE t ENABLE CHANGE_TRACKING WITH (TRACK_COLUMNS_UPDATED = ON)");
        let begun = u64::from(takes_version);
        assert_eq!(a.one(CURRENT), begun.to_string());
        assert_eq!(a.one(LEAST), begun.to_string());
        a.ok("INSERT t VALUES (1, 1), (2, 2)");
        let before: u64 = a.one(CURRENT).parse().unwrap();
        assert_eq!(before, begun + 1);
        assert_eq!(a.one(LEAST), begun.to_string());
        a.ok("BEGIN TRAN; TRUNCATE TABLE t; ROLLBACK");
        assert_eq!(a.one(LEAST), begun.to_string());
        assert_eq!(changes(&mut a, "0").len(), 2);
        a.ok("BEGIN TRAN; DELETE t WHERE id = 1; TRUNCATE TABLE t; INSERT t VALUES (5, 5); COMMIT");
        // The insert takes a version in any case.
        let after = before + 1;
        assert_eq!(a.one(CURRENT), after.to_string());
        let least = if takes_version { after } else { before };
        assert_eq!(a.one(LEAST), least.to_string());
        assert_eq!(changes(&mut a, "0"), [format!("{after}|{after}|I|5")]);
        a.ok("TRUNCATE TABLE t");
        let end = after + u64::from(takes_version);
        assert_eq!(a.one(CURRENT), end.to_string());
        let shown = "SELECT begin_version, min_valid_version, is_track_columns_updated_on FROM \
            sys.change_tracking_tables";
        assert_eq!(a.one(shown), format!("{end}|{end}|1"));
        assert_eq!(changes(&mut a, "NULL"), [] as [&str; 0]);
    }
}

/// "Cleanup and troubleshoot change tracking": disabling and enabling purges.
#[test]
fn tracking_that_is_enabled_again_begins_again() {
    for takes_version in [true, false] {
        let engine = tracking(takes_version);
        let mut a = connect(&engine);
        a.ok("CREATE TABLE t (id int NOT NULL PRIMARY KEY, v int NULL); ALTER TABLE t ENABLE CHANGE_TRACKING");
        a.ok("INSERT t VALUES (1, 1)");
        let before: u64 = a.one(CURRENT).parse().unwrap();
        a.ok("ALTER TABLE t DISABLE CHANGE_TRACKING; INSERT t VALUES (2, 2)");
        assert_eq!(a.one(LEAST), "NULL");
        assert_eq!(a.one(CURRENT), before.to_string());
        a.ok("ALTER TABLE t ENABLE CHANGE_TRACKING");
        let begin = before + u64::from(takes_version);
        assert_eq!(a.one(LEAST), begin.to_string());
        assert_eq!(a.one(CURRENT), begin.to_string());
        assert_eq!(changes(&mut a, "0"), [] as [&str; 0]);
        a.ok("BEGIN TRAN; ALTER TABLE t DISABLE CHANGE_TRACKING; ROLLBACK; UPDATE t SET v = 3 WHERE id = 2");
        assert_eq!(changes(&mut a, "0"), [format!("{}|NULL|U|2", begin + 1)]);
        assert_eq!(a.one(LEAST), begin.to_string());
    }
}

/// DDL that is not committed holds up who asks for the history.
#[test]
fn the_least_version_waits_for_ddl() {
    let (engine, mut a) = with_table();
    a.ok("INSERT t VALUES (1, 1)");
    let id = a.one("SELECT OBJECT_ID('t')");
    let mut b = connect(&engine);
    a.ok("BEGIN TRAN; TRUNCATE TABLE t");
    let asked =
        thread::spawn(move || b.one(&format!("SELECT CHANGE_TRACKING_MIN_VALID_VERSION({id})")));
    thread::sleep(Duration::from_millis(50));
    assert!(!asked.is_finished());
    a.ok("COMMIT");
    assert_eq!(asked.join().unwrap(), "1");
}

/// "sp_flush_CT_internal_table_on_demand", and retention.
#[test]
fn cleanup_takes_what_is_older_than_the_retention() {
    let (engine, mut a) = with_table();
    a.ok("ALTER DATABASE CURRENT SET CHANGE_TRACKING (CHANGE_RETENTION = 1 HOURS)");
    a.ok("CREATE TABLE u (id int NOT NULL PRIMARY KEY); ALTER TABLE u ENABLE CHANGE_TRACKING");
    a.ok("INSERT t VALUES (1, 1); INSERT u VALUES (1)"); // 1, 2
    a.ok("EXEC sp_sandbox_age_changes 50");
    a.ok("INSERT t VALUES (2, 2)"); // 3
    a.ok("EXEC sp_sandbox_age_changes @minutes = 20");
    a.ok("UPDATE t SET v = 5 WHERE id = 1"); // 4
    let flush = "DECLARE @n bigint; EXEC sys.sp_flush_CT_internal_table_on_demand 'dbo.t', @DeletedRowCount = @n OUTPUT; \
        SELECT @n";
    let reply = a.ok(flush);
    assert_eq!(reply.infos[0], "Cleanup Watermark = 2");
    assert_eq!(reply.infos[2], "Total rows deleted: 1.");
    assert_eq!(reply.sets[0].1[0], [Value::BigInt(1)]);
    assert_eq!(a.one(LEAST), "2");
    // A baseline below the least version raises nothing: the insert of the first row has gone.
    assert_eq!(changes(&mut a, "0"), ["4|NULL|U|1", "3|3|I|2"]);
    let shown = "SELECT OBJECT_NAME(object_id), begin_version, cleanup_version, min_valid_version FROM \
        sys.change_tracking_tables ORDER BY 1";
    assert_eq!(a.rows(shown), ["t|0|2|2", "u|0|NULL|0"]);
    a.ok("EXEC sp_flush_CT_internal_table_on_demand");
    assert_eq!(a.rows(shown), ["t|0|2|2", "u|0|2|2"]);
    assert_eq!(
        a.one("SELECT max_cleanup_version FROM sys.change_tracking_databases"),
        "2"
    );
    assert_eq!(
        a.rows("SELECT commit_ts FROM sys.dm_tran_commit_table ORDER BY 1"),
        ["3", "4"]
    );
    // Through the engine's own interface.
    engine.age_changes("shop", 600).unwrap();
    assert_eq!(engine.clean_up_changes("shop").unwrap(), Some(2));
    assert_eq!(a.one(LEAST), "4");
    assert_eq!(changes(&mut a, "0"), [] as [&str; 0]);
    assert_eq!(a.one(CURRENT), "4");
    assert_eq!(
        a.one("SELECT SYS_CHANGE_VERSION FROM CHANGETABLE(VERSION t, (id), (1)) AS ct"),
        "NULL"
    );
    assert!(engine.clean_up_changes("nowhere").is_err());
    assert_eq!(
        a.error("EXEC sp_flush_CT_internal_table_on_demand 'dbo.nowhere'"),
        22105
    );
    assert_eq!(
        a.error("USE master; EXEC sp_flush_CT_internal_table_on_demand"),
        5089
    );
    assert_eq!(engine.clean_up_changes("master").unwrap(), None);
}

#[test]
fn only_owners_clean_up() {
    let (engine, mut a) = with_table();
    a.ok("CREATE LOGIN reader WITH PASSWORD = 'pw'; CREATE USER reader FOR LOGIN reader");
    let mut reader = connect_as(&engine, "reader");
    assert_eq!(
        reader.error("EXEC sp_flush_CT_internal_table_on_demand"),
        21050
    );
    assert_eq!(reader.error("EXEC sp_sandbox_age_changes 1"), 21050);
}

/// "Work with change tracking": what cleanup deletes is still there for a snapshot transaction.
#[test]
fn a_snapshot_keeps_what_a_cleanup_takes() {
    let (engine, mut a) = with_table();
    let mut b = connect(&engine);
    a.ok("INSERT t VALUES (1, 1)");
    b.ok(SNAPSHOT);
    assert_eq!(b.one(CURRENT), "1");
    engine.age_changes("shop", 60 * 24 * 3).unwrap();
    assert_eq!(engine.clean_up_changes("shop").unwrap(), Some(1));
    assert_eq!(changes(&mut a, "0"), [] as [&str; 0]);
    assert_eq!(changes(&mut b, "0"), ["1|1|I|1"]);
    assert_eq!(b.one(CURRENT), "1");
    // The least version is of now: it may be ahead of what the snapshot needs.
    assert_eq!(b.one(LEAST), "1");
    b.ok("COMMIT");
    assert_eq!(changes(&mut b, "0"), [] as [&str; 0]);
    a.ok("UPDATE t SET v = 2");
    assert_eq!(changes(&mut a, "1"), ["2|NULL|U|1"]);
}

/// "Change tracking and data restore".
#[test]
fn a_restored_database_takes_its_versions_back() {
    let (engine, mut a) = with_table();
    a.ok("INSERT t VALUES (1, 1)");
    let backup = engine.back_up("shop").unwrap();
    a.ok("INSERT t VALUES (2, 2); INSERT t VALUES (3, 3)");
    assert_eq!(a.one(CURRENT), "3");
    engine.restore("shop", &backup).unwrap();
    assert_eq!(a.one(CURRENT), "1");
    assert_eq!(changes(&mut a, "0"), ["1|1|I|1"]);
    // The same versions again, of other changes.
    a.ok("INSERT t VALUES (8, 8)");
    assert_eq!(changes(&mut a, "0"), ["1|1|I|1", "2|2|I|8"]);
    assert_eq!(a.one(LEAST), "0");
    engine.restore("shop", &backup).unwrap();
    assert_eq!(changes(&mut a, "0"), ["1|1|I|1"]);
}

/// Versions of a database go on when tracking is turned off and on.
#[test]
fn versions_outlive_the_database_option() {
    let (_engine, mut a) = with_table();
    a.ok("INSERT t VALUES (1, 1); ALTER TABLE t DISABLE CHANGE_TRACKING");
    a.ok("ALTER DATABASE CURRENT SET CHANGE_TRACKING = OFF");
    a.ok("ALTER DATABASE CURRENT SET CHANGE_TRACKING = ON; ALTER TABLE t ENABLE CHANGE_TRACKING");
    assert_eq!(a.one(CURRENT), "1");
    assert_eq!(a.one(LEAST), "1");
}

/// A key is one, however its collation lets it be spelled.
#[test]
fn spellings_of_a_key_are_one_key() {
    let engine = tracking(false);
    let mut a = connect(&engine);
    a.ok("CREATE TABLE t (id varchar(9) NOT NULL PRIMARY KEY, v int NULL); ALTER TABLE t ENABLE CHANGE_TRACKING");
    a.ok("INSERT t VALUES ('a', 1); DELETE t; INSERT t VALUES ('A ', 2)");
    assert_eq!(changes(&mut a, "0"), ["3|3|I|a"]);
    assert_eq!(changes(&mut a, "1"), ["3|3|U|a"]);
    let joined = "SELECT t.v FROM CHANGETABLE(CHANGES t, 1) AS ct JOIN t ON t.id = ct.id";
    assert_eq!(a.rows(joined), ["2"]);
}
