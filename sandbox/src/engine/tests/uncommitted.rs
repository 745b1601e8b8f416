//! Uncommitted DDL: to other sessions its object is neither gone nor there nor changed, it is waited for; and a
//! rollback brings back everything.

use super::{Client, Engine, connect, engine, with_versions};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

const SHOP: &str = "CREATE TABLE other (id int PRIMARY KEY);
    CREATE TABLE parent (id int CONSTRAINT pk_parent PRIMARY KEY); INSERT parent VALUES (1), (2);
    CREATE TABLE t (id int IDENTITY CONSTRAINT pk_t PRIMARY KEY, u int CONSTRAINT uq_t UNIQUE,
        p int CONSTRAINT fk_t REFERENCES parent (id), v int CONSTRAINT df_t DEFAULT 7, n int,
        CONSTRAINT ck_t CHECK (v < 100));
    INSERT t (u, p) VALUES (10, 1), (20, 2); CREATE INDEX ix_t ON t (v); CREATE STATISTICS st_t ON t (p);
    CREATE TABLE log (n int); CREATE ROLE reader; GRANT SELECT ON t TO reader";

/// Two sessions of a database with a table that has all parts; the second one never waits.
fn shop() -> (Arc<Engine>, Client, Client) {
    let engine = engine();
    let (mut a, mut b) = (connect(&engine), connect(&engine));
    a.ok(SHOP);
    a.ok("CREATE TRIGGER tr_t ON t AFTER INSERT AS INSERT log SELECT COUNT(*) FROM inserted");
    a.ok("CREATE VIEW w AS SELECT id, v FROM t");
    b.ok("SET LOCK_TIMEOUT 0");
    (engine, a, b)
}

fn ids(client: &mut Client) -> [String; 6] {
    ["t", "pk_t", "ck_t", "df_t", "tr_t", "other"]
        .map(|name| client.one(&format!("SELECT OBJECT_ID(N'dbo.{name}')")))
}

/// Everything that the parts of the table show of themselves.
fn shown(client: &mut Client) -> Vec<String> {
    [
        "SELECT name, type, object_id FROM sys.objects ORDER BY name",
        "SELECT name, index_id FROM sys.indexes ORDER BY object_id, index_id",
        "SELECT name FROM sys.stats ORDER BY object_id, stats_id",
        "SELECT major_id, permission_name FROM sys.database_permissions",
        "SELECT OBJECT_NAME(object_id), name FROM sys.columns ORDER BY object_id, column_id",
        "SELECT id, u, p, v FROM t ORDER BY id",
        "SELECT v FROM w WHERE id = 1",
        "SELECT object_id, rows FROM sys.partitions ORDER BY object_id, index_id",
    ]
    .iter()
    .flat_map(|look| client.rows(look))
    .collect()
}

#[test]
fn a_dropped_table_is_gone_for_its_session_alone() {
    let (_engine, mut a, mut b) = shop();
    let [t, pk, ck, df, tr, other] = ids(&mut a);
    a.ok("BEGIN TRANSACTION; DROP TABLE t");
    for name in ["t", "pk_t", "tr_t"] {
        assert_eq!(a.one(&format!("SELECT OBJECT_ID(N'{name}')")), "NULL");
    }
    assert_eq!(a.error("SELECT * FROM t"), 208);
    assert!(a.rows("SELECT 1 FROM sys.database_permissions").is_empty());
    let mut looks: Vec<String> = [&t, &pk, &ck, &df, &tr]
        .iter()
        .flat_map(|id| {
            [
                format!("SELECT OBJECT_NAME({id})"),
                format!("SELECT name FROM sys.objects WHERE object_id = {id}"),
            ]
        })
        .collect();
    for name in ["t", "pk_t", "uq_t", "ck_t", "df_t", "fk_t", "tr_t"] {
        looks.push(format!("SELECT OBJECT_ID(N'dbo.{name}')"));
    }
    for look in [
        "OBJECT_SCHEMA_NAME({t})",
        "COL_NAME({t}, 1)",
        "COLUMNPROPERTY({t}, 'id', 'IsIdentity')",
        "OBJECTPROPERTY({t}, 'TableHasPrimaryKey')",
        "OBJECTPROPERTYEX({t}, 'Cardinality')",
        "INDEXPROPERTY({t}, 'ix_t', 'IsUnique')",
        "COL_LENGTH('t', 'id')",
        "IDENT_CURRENT('t')",
    ] {
        looks.push(format!("SELECT {}", look.replace("{t}", &t)));
    }
    for view in ["tables", "columns", "indexes", "triggers", "foreign_keys"] {
        looks.push(format!("SELECT name FROM sys.{view}"));
    }
    for view in ["columns", "indexes", "partitions", "identity_columns"] {
        looks.push(format!("SELECT 1 FROM sys.{view} WHERE object_id = {t}"));
    }
    looks.extend(
        [
            "SELECT TABLE_NAME FROM INFORMATION_SCHEMA.TABLES",
            "SELECT COLUMN_NAME FROM INFORMATION_SCHEMA.COLUMNS WHERE TABLE_NAME = 'w'",
            "SELECT 1 FROM sys.columns WHERE object_id = OBJECT_ID('w')",
            "SELECT 1 FROM sys.database_permissions",
            "SELECT * FROM t",
            "SELECT * FROM w",
            "SELECT * FROM t WITH (NOLOCK)",
            "INSERT t (u) VALUES (1)",
            "SET TRANSACTION ISOLATION LEVEL SNAPSHOT; SELECT * FROM t",
            "EXEC sp_describe_first_result_set N'SELECT * FROM t'",
            "EXEC sp_executesql N'SELECT * FROM t'",
            "IF OBJECT_ID('t') IS NULL CREATE TABLE t (id int)",
            "DROP TABLE IF EXISTS t",
            "DROP TRIGGER IF EXISTS tr_t",
            "DELETE FROM parent WHERE id = 1",
            "DROP TABLE parent",
        ]
        .map(String::from),
    );
    for look in &looks {
        assert_eq!(b.error(look), 1222, "{look}");
    }
    // Who asks for another object does not wait.
    b.ok("SET TRANSACTION ISOLATION LEVEL READ COMMITTED");
    assert_eq!(b.one("SELECT COUNT(*) FROM other"), "0");
    for look in [
        format!("SELECT OBJECT_NAME({other})"),
        format!("SELECT name FROM sys.objects WHERE object_id = {other}"),
        "SELECT OBJECT_ID('other')".into(),
        "SELECT OBJECT_ID('nowhere')".into(),
        "SELECT name FROM sys.objects WHERE object_id = 1".into(),
    ] {
        b.ok(&look);
    }
    a.ok("ROLLBACK");
    assert_eq!(ids(&mut b), [t, pk, ck, df, tr, other]);
}

#[test]
fn what_waits_for_a_drop_meets_its_outcome() {
    for versions in [false, true] {
        for (end, left) in [("ROLLBACK", Some("2")), ("COMMIT", None)] {
            let engine = with_versions(versions);
            let (mut a, mut b) = (connect(&engine), connect(&engine));
            a.ok("CREATE TABLE t (id int); INSERT t VALUES (1), (2)");
            a.ok("BEGIN TRANSACTION; DROP TABLE t");
            let waiter = thread::spawn(move || {
                let known = b.one("SELECT COUNT(OBJECT_ID('t'))");
                let listed = b.one("SELECT COUNT(*) FROM sys.tables");
                (known, listed, b.batch("SELECT COUNT(*) FROM t"))
            });
            thread::sleep(Duration::from_millis(60));
            assert!(!waiter.is_finished());
            a.ok(end);
            let (known, listed, reply) = waiter.join().unwrap();
            let there = if left.is_some() { "1" } else { "0" };
            assert_eq!((known.as_str(), listed.as_str()), (there, there), "{end}");
            match left {
                Some(count) => {
                    let (columns, rows) = &reply.sets[0];
                    assert_eq!(super::show_row(columns, &rows[0]), count);
                }
                None => assert_eq!(reply.errors[0].number, 208),
            }
        }
    }
}

/// Each change of a definition: what waits for it, and that its rollback leaves nothing behind.
#[test]
fn uncommitted_ddl_is_waited_for_and_rolls_back_without_a_trace() {
    const TABLE: &str = "SELECT name FROM sys.columns WHERE object_id = OBJECT_ID('t')";
    let (_engine, mut a, mut b) = shop();
    let before = shown(&mut b);
    for (change, looks) in [
        ("DROP TABLE t", vec![TABLE]),
        (
            "DROP VIEW w",
            vec![
                "SELECT OBJECT_ID('w')",
                "SELECT * FROM w",
                "SELECT name FROM sys.views",
            ],
        ),
        (
            "EXEC (N'ALTER VIEW w AS SELECT v FROM t')",
            vec!["SELECT * FROM w", "SELECT name FROM sys.views"],
        ),
        ("ALTER TABLE t ADD more int", vec![TABLE, "SELECT * FROM t"]),
        ("ALTER TABLE t ALTER COLUMN n bigint", vec![TABLE]),
        (
            "ALTER TABLE t DROP CONSTRAINT ck_t",
            vec!["SELECT OBJECT_ID('ck_t')", TABLE],
        ),
        (
            "ALTER TABLE t ADD CONSTRAINT ck_new CHECK (u > 0)",
            vec![
                "SELECT OBJECT_ID('ck_new')",
                "SELECT name FROM sys.check_constraints",
            ],
        ),
        (
            "ALTER TABLE t DROP CONSTRAINT fk_t",
            vec![
                "SELECT OBJECT_ID('fk_t')",
                "DELETE FROM parent WHERE id = 1",
            ],
        ),
        (
            "CREATE INDEX ix_new ON t (u)",
            vec!["SELECT name FROM sys.indexes", "SELECT * FROM t"],
        ),
        (
            "DROP INDEX ix_t ON t",
            vec!["SELECT name FROM sys.indexes", "SELECT * FROM t"],
        ),
        ("DROP STATISTICS t.st_t", vec!["SELECT name FROM sys.stats"]),
        (
            "EXEC sp_rename 't', 'renamed'",
            vec![
                "SELECT * FROM t",
                "SELECT * FROM renamed",
                "SELECT OBJECT_ID('renamed')",
                TABLE,
            ],
        ),
        (
            "EXEC sp_rename 't.u', 'x', 'COLUMN'",
            vec!["SELECT u FROM t", TABLE],
        ),
        (
            "EXEC sp_rename 'ck_t', 'ck_renamed'",
            vec!["SELECT OBJECT_ID('ck_t')", "SELECT OBJECT_ID('ck_renamed')"],
        ),
        (
            "DROP TRIGGER tr_t",
            vec![
                "SELECT OBJECT_ID('tr_t')",
                "SELECT name FROM sys.triggers",
                "DROP TRIGGER tr_t",
            ],
        ),
        (
            "TRUNCATE TABLE t",
            vec![
                "SELECT * FROM t",
                "SELECT OBJECT_ID('t')",
                "SELECT rows FROM sys.partitions",
                "SELECT row_count FROM sys.dm_db_partition_stats",
            ],
        ),
        (
            "CREATE TABLE fresh (id int CONSTRAINT pk_fresh PRIMARY KEY)",
            vec!["SELECT OBJECT_ID('pk_fresh')"],
        ),
        (
            "CREATE TABLE child (id int CONSTRAINT fk_child REFERENCES t (id))",
            vec!["SELECT OBJECT_ID('fk_child')", "DELETE FROM t"],
        ),
        (
            "CREATE SEQUENCE s",
            vec!["SELECT OBJECT_ID('s')", "SELECT NEXT VALUE FOR s"],
        ),
    ] {
        a.ok(&format!("BEGIN TRANSACTION; {change}"));
        for look in looks {
            assert_eq!(b.error(look), 1222, "{change}; {look}");
        }
        a.ok("ROLLBACK");
        assert_eq!(shown(&mut b), before, "{change}");
    }
    // Everything still works as it did.
    assert_eq!(b.error("INSERT t (u) VALUES (10)"), 2627);
    assert_eq!(b.error("INSERT t (u, p) VALUES (30, 9)"), 547);
    assert_eq!(b.error("INSERT t (u, v) VALUES (30, 100)"), 547);
    assert_eq!(b.error("DELETE FROM parent WHERE id = 1"), 547);
    b.ok("DELETE FROM log; INSERT t (u) VALUES (30), (40)");
    assert_eq!(b.one("SELECT n FROM log"), "2");
    // The three values of the failed inserts stay used.
    assert_eq!(
        b.rows("SELECT id, v FROM t WITH (INDEX (ix_t)) WHERE u > 20 ORDER BY id"),
        ["6|7", "7|7"]
    );
}

#[test]
fn a_table_comes_back_with_what_its_transaction_did_before_the_drop() {
    let (_engine, mut a, mut b) = shop();
    a.ok("BEGIN TRANSACTION; UPDATE t SET v = 50 WHERE id = 1; SAVE TRANSACTION s; DROP TABLE t");
    a.ok("ROLLBACK TRANSACTION s");
    assert_eq!(a.rows("SELECT v FROM t ORDER BY id"), ["50", "7"]);
    // The locks taken behind the savepoint may be kept.
    assert_eq!(b.error("SELECT v FROM t WITH (READCOMMITTEDLOCK)"), 1222);
    a.ok("DROP TABLE t; CREATE TABLE t (v int); INSERT t VALUES (1); ROLLBACK");
    assert_eq!(b.rows("SELECT v FROM t ORDER BY id"), ["7", "7"]);
}

#[test]
fn a_committed_drop_takes_the_permissions_along() {
    let (_engine, mut a, mut b) = shop();
    a.ok("GRANT UPDATE ON other TO reader; BEGIN TRANSACTION; DROP TABLE t; COMMIT");
    assert_eq!(
        b.rows("SELECT OBJECT_NAME(major_id) FROM sys.database_permissions"),
        ["other"]
    );
    // What was a part of it can be made anew, and its parent is free.
    b.ok("DELETE FROM parent WHERE id = 1; CREATE TABLE t (id int CONSTRAINT pk_t PRIMARY KEY)");
    assert_eq!(
        b.one("SELECT COUNT(*) FROM sys.objects WHERE name = 'pk_t'"),
        "1"
    );
}

/// A schema or type is not dropped from under a table that may come back.
#[test]
fn what_a_dropped_table_needs_is_kept_until_the_drop_is_committed() {
    let engine = engine();
    let (mut a, mut b) = (connect(&engine), connect(&engine));
    a.ok("EXEC (N'CREATE SCHEMA s'); CREATE TYPE code FROM varchar(3); CREATE TABLE s.t (c code)");
    a.ok("CREATE TABLE o (id int)");
    b.ok("SET LOCK_TIMEOUT 0");
    a.ok("BEGIN TRANSACTION; DROP TABLE s.t");
    assert_eq!(b.error("DROP SCHEMA s"), 1222);
    assert_eq!(b.error("DROP TYPE code"), 1222);
    a.ok("ROLLBACK");
    assert_eq!(b.error("DROP SCHEMA s"), 3729);
    assert_eq!(b.error("DROP TYPE code"), 3732);
    a.ok("DROP TABLE s.t; BEGIN TRANSACTION; DROP TABLE o");
    b.ok("DROP SCHEMA s");
    a.ok("COMMIT");
    b.ok("DROP TYPE code");
}
