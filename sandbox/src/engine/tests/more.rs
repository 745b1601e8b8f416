use super::{connect, engine};

#[test]
fn snapshot_must_be_chosen_before_the_transaction() {
    let engine = engine();
    let (mut a, mut b) = (connect(&engine), connect(&engine));
    a.ok("CREATE TABLE t (id int PRIMARY KEY, v int); INSERT t VALUES (1, 1)");
    assert_eq!(
        a.error("BEGIN TRAN; SET TRANSACTION ISOLATION LEVEL SNAPSHOT; SELECT * FROM t"),
        3951
    );
    assert_eq!(a.one("SELECT @@TRANCOUNT"), "0");
    a.ok("BEGIN TRAN; SELECT v FROM t");
    b.ok("UPDATE t SET v = 2");
    assert_eq!(a.error("SELECT v FROM t WITH (UPDLOCK)"), 3960);
}

#[test]
fn altering_a_table_ends_older_snapshots() {
    let engine = engine();
    let (mut a, mut b) = (connect(&engine), connect(&engine));
    a.ok("CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE u (id int); INSERT t VALUES (1)");
    b.ok("SET TRANSACTION ISOLATION LEVEL SNAPSHOT; BEGIN TRAN; SELECT * FROM u");
    a.ok("ALTER TABLE t ADD n int NULL");
    assert_eq!(b.error("SELECT * FROM t"), 3961);
}

#[test]
fn temporary_tables_follow_rollbacks_and_scopes() {
    let engine = engine();
    let (mut a, mut b) = (connect(&engine), connect(&engine));
    a.ok("BEGIN TRAN; CREATE TABLE #t (x int); ROLLBACK; CREATE TABLE #t (y int); INSERT #t VALUES (1)");
    assert_eq!(a.one("SELECT y FROM #t"), "1");
    a.ok("BEGIN TRAN; DROP TABLE #t; CREATE TABLE #t (z int); ROLLBACK");
    assert_eq!(a.one("SELECT y FROM #t"), "1");
    assert_eq!(b.error("SELECT * FROM #t"), 208);
    a.ok("EXEC sp_executesql N'CREATE TABLE #inner (q int)'");
    assert_eq!(a.error("SELECT * FROM #inner"), 208);
    a.ok("SELECT 1 AS g INTO ##shared");
    assert_eq!(b.one("SELECT g FROM ##shared"), "1");
    a.0.close();
    assert_eq!(b.error("SELECT g FROM ##shared"), 208);
}

#[test]
fn a_name_under_uncommitted_ddl_makes_others_wait() {
    let engine = engine();
    let (mut a, mut b) = (connect(&engine), connect(&engine));
    a.ok("BEGIN TRAN; CREATE TABLE n (id int); INSERT n VALUES (1)");
    assert_eq!(b.error("SET LOCK_TIMEOUT 30; SELECT * FROM n"), 1222);
    a.ok("EXEC sp_rename 'n', 'm'; COMMIT");
    assert_eq!(b.one("SELECT id FROM m"), "1");
    assert_eq!(b.error("SELECT * FROM n"), 208);
}

#[test]
fn a_trigger_that_catches_keeps_no_half_statement() {
    let engine = engine();
    let mut c = connect(&engine);
    c.ok("CREATE TABLE t (id int); CREATE TABLE u (id int PRIMARY KEY)");
    c.ok("CREATE TRIGGER tr ON t AFTER INSERT AS BEGIN SET XACT_ABORT OFF; BEGIN TRY INSERT u VALUES (1), (2), (1); \
        END TRY BEGIN CATCH INSERT u VALUES (ERROR_NUMBER()); END CATCH END");
    c.ok("INSERT t VALUES (1)");
    assert_eq!(c.rows("SELECT id FROM u"), ["2627"]);
}

#[test]
fn foreign_keys_cascade() {
    let engine = engine();
    let mut c = connect(&engine);
    c.ok("CREATE TABLE p (id int PRIMARY KEY); CREATE TABLE ch (id int PRIMARY KEY, p int NULL CONSTRAINT fk FOREIGN \
        KEY REFERENCES p (id) ON DELETE CASCADE ON UPDATE CASCADE)");
    c.ok("INSERT p VALUES (1), (2); INSERT ch VALUES (10, 1), (20, 2), (30, NULL); DELETE FROM p WHERE id = 1; UPDATE \
        p SET id = 5 WHERE id = 2");
    assert_eq!(
        c.rows("SELECT id, p FROM ch ORDER BY id"),
        ["20|5", "30|NULL"]
    );
    assert_eq!(c.error("TRUNCATE TABLE p"), 4712);
    assert_eq!(c.error("DROP TABLE p"), 3726);
}

#[test]
fn keys_may_move_through_one_another() {
    let engine = engine();
    let mut c = connect(&engine);
    c.ok("CREATE TABLE t (id int PRIMARY KEY, v int); INSERT t VALUES (1, 1), (2, 2), (3, 3); UPDATE t SET id = id + \
        1");
    assert_eq!(
        c.rows("SELECT id, v FROM t ORDER BY id"),
        ["2|1", "3|2", "4|3"]
    );
    assert_eq!(c.error("UPDATE t SET id = 3 WHERE id = 4"), 2627);
    assert_eq!(c.rows("SELECT id FROM t ORDER BY id"), ["2", "3", "4"]);
    c.ok("CREATE TABLE f (a int NULL, live bit, INDEX uf UNIQUE (a) WHERE live = 1)");
    c.ok("INSERT f VALUES (1, 0), (1, 0), (1, 1)");
    assert_eq!(c.error("INSERT f VALUES (1, 1)"), 2601);
    assert_eq!(c.error("UPDATE f SET live = 1"), 2601);
}

#[test]
fn decimals_and_dates_compute_exactly() {
    let engine = engine();
    let mut c = connect(&engine);
    assert_eq!(
        c.one("SELECT CAST(1 AS decimal(38,10)) / 3"),
        "0.3333333333"
    );
    assert_eq!(c.one("SELECT 2.0 / 3"), "0.666666");
    assert_eq!(
        c.one("SELECT CAST(0.1 AS decimal(20,18)) * 3"),
        "0.300000000000000000"
    );
    assert_eq!(c.one("SELECT SUM(v) FROM (VALUES (CAST(99999999999999999999999999999999999.99 AS decimal(38,2))), \
        (0.01)) x (v)"), "100000000000000000000000000000000000.00");
    // A datetime and a datetime2 that look alike differ from compatibility level 130 on.
    assert_eq!(c.one("DECLARE @a datetime = '2024-01-01 00:00:00.003', @b datetime2(3) = '2024-01-01 00:00:00.003'; \
        SELECT CASE WHEN @a = @b THEN 1 ELSE 0 END"), "0");
    assert_eq!(c.one("DECLARE @o datetimeoffset = '2024-01-01 01:00 +01:00'; SELECT CASE WHEN @o = '2024-01-01 00:00 \
        +00:00' THEN 1 ELSE 0 END"), "1");
    assert_eq!(
        c.one(
            "SELECT CONVERT(varchar(30), CAST('2024-02-29 13:14:15.678' AS datetime), 112) + \
        CONVERT(varchar(30), CAST('13:14' AS time(0)), 108)"
        ),
        "2024022913:14:00"
    );
    assert_eq!(c.one("DECLARE @v sql_variant = CAST(1.50 AS decimal(5,2)); SELECT CASE WHEN @v = CAST(CAST(1.5 AS \
        money) AS sql_variant) THEN 'same' END"), "same");
    assert_eq!(c.rows("SELECT TRY_CAST('x' AS int), TRY_CONVERT(date, '2024-13-01'), ISNULL(NULL, 5), NULLIF(1, 1), \
        IIF(1 > 0, 'a', 'b')"), ["NULL|NULL|5|NULL|a"]);
}

#[test]
fn parameters_come_and_go_through_rpc() {
    use crate::engine::types::string;
    use crate::session::{Param, Sink};
    use crate::value::{SqlType, Value};
    let engine = engine();
    let mut c = connect(&engine);
    c.ok(
        "CREATE TABLE t (id int PRIMARY KEY, s nvarchar(10)); INSERT t VALUES (1, N'a'), (2, N'b')",
    );
    let cancel = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let mut reply = super::Reply::default();
    let param = |name: &str, ty, value, output| Param {
        name: name.into(),
        ty,
        value,
        output,
    };
    let params = vec![
        param("@id", SqlType::BigInt, Value::BigInt(2), false),
        param("@s", SqlType::NVarChar(Some(4000)), string("b"), false),
        param("@n", SqlType::Int, Value::Null, true),
    ];
    let out = c.0.execute_sql(
        "SELECT id FROM t WHERE id = @id AND s = @s; SET @n = @@ROWCOUNT",
        "@id bigint, @s nvarchar(4000), @n int OUTPUT",
        params,
        &cancel,
        &mut reply,
    );
    assert_eq!(out.unwrap()[0].value, Value::Int(1));
    assert_eq!(reply.sets[0].1, [[Value::Int(2)]]);
    let failed =
        c.0.execute_sql("SELECT * FROM gone", "", Vec::new(), &cancel, &mut reply);
    assert!(failed.is_none());
    assert!(reply.send(crate::session::Event::TranBegin(0)));
    let missing = c.0.execute_sql(
        "SELECT @x",
        "@x int",
        Vec::new(),
        &cancel,
        &mut super::Reply::default(),
    );
    assert!(missing.is_none());
}
