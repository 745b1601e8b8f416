//! What system-versioned tables keep, and how they are asked for it.

use super::{Client, connect, engine};
use std::thread;
use std::time::Duration;

const TABLE: &str = "CREATE TABLE t (id int NOT NULL PRIMARY KEY, v int NULL, s datetime2(7) GENERATED ALWAYS AS ROW \
    START NOT NULL, e datetime2(7) GENERATED ALWAYS AS ROW END NOT NULL, PERIOD FOR SYSTEM_TIME (s, e)) WITH \
    (SYSTEM_VERSIONING = ON (HISTORY_TABLE = dbo.h))";

fn client() -> Client {
    let mut c = connect(&engine());
    c.ok(TABLE);
    c
}

/// Lets the clock go on, and tells the time.
fn tick(c: &mut Client) -> String {
    thread::sleep(Duration::from_millis(2));
    let now = c.one("SELECT SYSUTCDATETIME()");
    thread::sleep(Duration::from_millis(2));
    now
}

#[test]
fn changes_leave_the_rows_as_they_were_in_the_history() {
    let mut c = client();
    c.ok("INSERT t (id, v) VALUES (1, 1), (2, 2)");
    let first = tick(&mut c);
    c.ok("UPDATE t SET v = 10 WHERE id = 1");
    let second = tick(&mut c);
    c.ok("DELETE FROM t WHERE id = 2");
    let third = tick(&mut c);
    c.ok("MERGE t USING (VALUES (1, 100), (3, 3)) AS x (id, v) ON x.id = t.id WHEN MATCHED THEN UPDATE SET v = x.v \
    WHEN \
        NOT MATCHED THEN INSERT (id, v) VALUES (x.id, x.v);");
    assert_eq!(
        c.rows("SELECT id, v, CASE WHEN e = '9999-12-31 23:59:59.9999999' THEN 1 ELSE 0 END FROM t ORDER BY id"),
        ["1|100|1", "3|3|1"]
    );
    assert_eq!(
        c.rows("SELECT id, v FROM h ORDER BY e, id"),
        ["1|1", "2|2", "1|10"]
    );
    // A row ends when the next version of it begins.
    assert_eq!(
        c.one("SELECT COUNT(*) FROM h JOIN (SELECT id, s FROM t UNION ALL SELECT id, s FROM h) AS n ON n.id = h.id AND \
            n.s = h.e"),
        "2"
    );
    let mut at = |period: &str| {
        c.rows(&format!(
            "SELECT id, v FROM t FOR SYSTEM_TIME {period} ORDER BY id, v"
        ))
    };
    assert_eq!(at(&format!("AS OF '{first}'")), ["1|1", "2|2"]);
    assert_eq!(at(&format!("AS OF '{second}'")), ["1|10", "2|2"]);
    assert_eq!(at(&format!("AS OF '{third}'")), ["1|10"]);
    assert_eq!(at("AS OF '2000-01-01'"), [] as [&str; 0]);
    assert_eq!(at("ALL"), ["1|1", "1|10", "1|100", "2|2", "3|3"]);
    assert_eq!(
        at(&format!("FROM '{first}' TO '{second}'")),
        ["1|1", "1|10", "2|2"]
    );
    assert_eq!(
        at(&format!("CONTAINED IN ('{first}', '{third}')")),
        [] as [&str; 0]
    );
    assert_eq!(
        at(&format!("CONTAINED IN ('2000-01-01', '{second}')")),
        ["1|1"]
    );
}

#[test]
fn bounds_of_a_period_are_in_or_out() {
    let mut c = client();
    c.ok("INSERT t (id, v) VALUES (1, 1)");
    tick(&mut c);
    c.ok("UPDATE t SET v = 2");
    let rows = |c: &mut Client, period: &str| {
        c.rows(&format!(
            "DECLARE @s datetime2(7) = (SELECT s FROM h), @e datetime2(7) = (SELECT e FROM h); SELECT x.v FROM dbo.t \
            FOR \
                SYSTEM_TIME {period} AS x ORDER BY 1"
        ))
    };
    assert_eq!(rows(&mut c, "AS OF @s"), ["1"]);
    assert_eq!(rows(&mut c, "AS OF @e"), ["2"]);
    assert_eq!(rows(&mut c, "FROM @s TO @e"), ["1"]);
    assert_eq!(rows(&mut c, "BETWEEN @s AND @e"), ["1", "2"]);
    assert_eq!(rows(&mut c, "CONTAINED IN (@s, @e)"), ["1"]);
    c.ok("CREATE TABLE plain (id int)");
    assert_eq!(c.error("SELECT * FROM plain FOR SYSTEM_TIME ALL"), 13544);
    assert_eq!(c.error("SELECT * FROM h FOR SYSTEM_TIME ALL"), 13544);
}

#[test]
fn a_transaction_has_one_time_and_leaves_rows_of_no_length() {
    let mut c = client();
    c.ok("BEGIN TRAN; INSERT t (id, v) VALUES (1, 1)");
    tick(&mut c);
    c.ok("INSERT t (id, v) VALUES (2, 2); UPDATE t SET v = 3 WHERE id = 1; UPDATE t SET v = 4 WHERE id = 1; COMMIT");
    assert_eq!(c.one("SELECT COUNT(DISTINCT s), COUNT(*) FROM t"), "1|2");
    assert_eq!(
        c.rows("SELECT id, v, CASE WHEN s = e THEN 1 ELSE 0 END FROM h ORDER BY v"),
        ["1|1|1", "1|3|1"]
    );
    assert_eq!(
        c.rows("SELECT v FROM t FOR SYSTEM_TIME ALL ORDER BY 1"),
        ["2", "4"]
    );
    c.ok("BEGIN TRAN; DELETE FROM t; ROLLBACK");
    assert_eq!(
        c.one("SELECT COUNT(*), (SELECT COUNT(*) FROM h) FROM t"),
        "2|2"
    );
}

#[test]
fn a_row_that_began_later_cannot_be_changed() {
    let engine = engine();
    let (mut a, mut b) = (connect(&engine), connect(&engine));
    a.ok(TABLE);
    a.ok("BEGIN TRAN; SELECT COUNT(*) FROM t");
    thread::sleep(Duration::from_millis(5));
    b.ok("INSERT t (id, v) VALUES (1, 1)");
    assert_eq!(a.error("UPDATE t SET v = 2"), 13535);
    assert_eq!(a.error("DELETE FROM t"), 13535);
    a.ok("COMMIT; UPDATE t SET v = 3");
    assert_eq!(a.rows("SELECT v FROM h"), ["1"]);
    // As after a clock that was set back.
    a.ok("BEGIN TRAN; INSERT t (id, v) VALUES (2, 2)");
    engine.age_transactions("shop", 5);
    assert_eq!(a.error("UPDATE t SET v = 4 WHERE id = 1"), 13535);
    a.ok("ROLLBACK");
}

#[test]
fn the_server_alone_writes_periods_and_history() {
    let mut c = client();
    assert_eq!(
        c.error("INSERT t (id, v, s) VALUES (1, 1, '2024-01-01')"),
        13536
    );
    assert_eq!(
        c.error("INSERT t VALUES (1, 1, '2024-01-01', '2024-01-02')"),
        13536
    );
    assert_eq!(
        c.error("INSERT t (id, s) SELECT 1, SYSUTCDATETIME()"),
        13536
    );
    c.ok("INSERT t VALUES (1, 1, DEFAULT, DEFAULT); INSERT t (id, v, s, e) VALUES (2, 2, DEFAULT, DEFAULT)");
    assert_eq!(c.error("UPDATE t SET s = '2024-01-01'"), 13537);
    assert_eq!(c.error("UPDATE t SET e = DEFAULT"), 13537);
    c.ok("UPDATE t SET v = 2");
    assert_eq!(c.error("INSERT h SELECT * FROM h"), 13559);
    assert_eq!(c.error("DELETE FROM h"), 13560);
    assert_eq!(c.error("UPDATE h SET v = 3"), 13561);
    assert_eq!(
        c.error("MERGE h USING t ON t.id = h.id WHEN MATCHED THEN DELETE;"),
        13562
    );
    assert_eq!(
        c.error("CREATE TRIGGER th ON h AFTER INSERT AS SELECT 1"),
        13569
    );
    assert_eq!(c.error("TRUNCATE TABLE t"), 13545);
    assert_eq!(c.error("TRUNCATE TABLE h"), 13545);
    assert_eq!(c.error("DROP TABLE t"), 13552);
    assert_eq!(c.error("DROP TABLE h"), 13552);
}

#[test]
fn hidden_columns_are_there_for_those_who_name_them() {
    let mut c = connect(&engine());
    c.ok("CREATE TABLE t (id int NOT NULL PRIMARY KEY, v int NULL, s datetime2(2) GENERATED ALWAYS AS ROW START HIDDEN \
        NOT NULL, e datetime2(2) GENERATED ALWAYS AS ROW END HIDDEN NOT NULL, PERIOD FOR SYSTEM_TIME (s, e)) WITH \
        (SYSTEM_VERSIONING = ON)");
    c.ok("INSERT t VALUES (1, 1); UPDATE t SET v = 2");
    assert_eq!(c.rows("SELECT * FROM t"), ["1|2"]);
    assert_eq!(c.rows("SELECT x.* FROM t AS x"), ["1|2"]);
    assert_eq!(
        c.rows("SELECT * FROM t FOR SYSTEM_TIME AS OF '9000-01-01'"),
        ["1|2"]
    );
    assert_eq!(c.one("SELECT e FROM t"), "9999-12-31 23:59:59.99");
    assert_eq!(
        c.one(
            "SELECT CASE WHEN DATEDIFF(second, s, SYSUTCDATETIME()) < 60 THEN 1 ELSE 0 END FROM t"
        ),
        "1"
    );
    c.ok("SELECT * INTO u FROM t");
    assert_eq!(
        c.one("SELECT COUNT(*) FROM sys.columns WHERE object_id = OBJECT_ID('u')"),
        "2"
    );
    assert_eq!(
        c.rows("SELECT name, is_hidden, generated_always_type, generated_always_type_desc FROM sys.columns WHERE \
            object_id = OBJECT_ID('t') AND is_hidden = 1 ORDER BY column_id"),
        ["s|1|1|AS_ROW_START", "e|1|2|AS_ROW_END"]
    );
    let reply = c.ok("UPDATE t SET v = 3 OUTPUT inserted.*");
    assert_eq!(reply.sets[0].0.len(), 2);
}

#[test]
fn cascades_and_triggers_reach_temporal_tables() {
    let mut c = client();
    c.ok("CREATE TABLE k (id int NOT NULL PRIMARY KEY, t int NULL REFERENCES t (id) ON DELETE CASCADE, s datetime2 \
        GENERATED ALWAYS AS ROW START NOT NULL, e datetime2 GENERATED ALWAYS AS ROW END NOT NULL, PERIOD FOR \
        SYSTEM_TIME \
        (s, e)) WITH (SYSTEM_VERSIONING = ON (HISTORY_TABLE = dbo.kh))");
    c.ok("CREATE TABLE q (id int, s datetime2)");
    c.ok("CREATE TRIGGER tr ON t AFTER DELETE AS INSERT q SELECT id, s FROM deleted");
    c.ok("INSERT t (id, v) VALUES (1, 1); INSERT k (id, t) VALUES (10, 1); DELETE FROM t");
    assert_eq!(c.rows("SELECT id, t FROM kh"), ["10|1"]);
    assert_eq!(
        c.one("SELECT COUNT(*) FROM q JOIN h ON h.id = q.id AND h.s = q.s"),
        "1"
    );
}

#[test]
fn old_history_goes_when_it_is_cleaned() {
    let engine = engine();
    let mut c = connect(&engine);
    c.ok(TABLE);
    c.ok("ALTER TABLE t SET (SYSTEM_VERSIONING = OFF)");
    c.ok(
        "INSERT h VALUES (1, 1, '2020-01-01', '2020-02-01'), (1, 2, '2020-02-01', DATEADD(day, -1, \
    SYSUTCDATETIME()))",
    );
    c.ok("ALTER TABLE t SET (SYSTEM_VERSIONING = ON (HISTORY_TABLE = dbo.h))");
    engine.clean_history("shop").unwrap();
    assert_eq!(c.one("SELECT COUNT(*) FROM h"), "2");
    c.ok("ALTER TABLE t SET (SYSTEM_VERSIONING = ON (HISTORY_RETENTION_PERIOD = 2 WEEKS))");
    engine.clean_history("shop").unwrap();
    assert_eq!(c.rows("SELECT v FROM h"), ["2"]);
}

#[test]
fn a_temporal_table_is_captured_without_its_history() {
    let engine = engine();
    let mut c = connect(&engine);
    c.ok(TABLE);
    c.ok("EXEC sys.sp_cdc_enable_db; EXEC sys.sp_cdc_enable_table N'dbo', N't', @role_name = NULL");
    assert_eq!(
        c.error("EXEC sys.sp_cdc_enable_table N'dbo', N'h', @role_name = NULL"),
        40000
    );
    c.ok("INSERT t (id, v) VALUES (1, 1); UPDATE t SET v = 2");
    engine.capture_now("shop").unwrap();
    assert_eq!(
        c.rows("SELECT __$operation, __$update_mask, id, v FROM cdc.dbo_t_CT ORDER BY __$start_lsn, __$operation"),
        ["2|0x0F|1|1", "3|0x06|1|1", "4|0x06|1|2"]
    );
}
