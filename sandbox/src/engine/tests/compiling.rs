//! What a batch is refused for before it runs, and what is left to the run.

use super::{Reply, connect, engine};

fn numbers(reply: &Reply) -> Vec<i32> {
    reply.errors.iter().map(|error| error.number).collect()
}

#[test]
fn a_batch_that_names_a_missing_column_runs_not_at_all() {
    let engine = engine();
    let mut c = connect(&engine);
    c.ok("CREATE TABLE t (id int PRIMARY KEY)");
    for wrong in [
        "ALTER TABLE t ADD c int; UPDATE t SET c = 1",
        "ALTER TABLE t ADD c int; INSERT t (id, c) VALUES (1, 1)",
        "ALTER TABLE t ADD c int; DELETE t WHERE c = 1",
        "ALTER TABLE t ADD c int; SELECT c FROM t",
        "ALTER TABLE t ADD c int; IF EXISTS (SELECT 1 FROM t WHERE c = 1) PRINT 'x'",
        "ALTER TABLE t ADD c int; DECLARE @n int = (SELECT MAX(c) FROM t)",
        "ALTER TABLE t ADD c int; MERGE t AS d USING (VALUES (1)) AS s (id) ON d.id = s.id WHEN MATCHED THEN UPDATE \
            SET c = 1;",
        "ALTER TABLE t ADD c int; BEGIN TRY SELECT c FROM t END TRY BEGIN CATCH SELECT 1 END CATCH",
        "INSERT t VALUES (1); IF 1 = 0 SELECT c FROM t",
    ] {
        let reply = c.batch(wrong);
        assert_eq!(
            (numbers(&reply), reply.sets.len()),
            (vec![207], 0),
            "{wrong}"
        );
        assert_eq!(
            c.one("SELECT COUNT(*) FROM sys.columns WHERE object_id = OBJECT_ID('t')"),
            "1",
            "{wrong}"
        );
        assert_eq!(c.one("SELECT COUNT(*) FROM t"), "0", "{wrong}");
    }
    // A text of its own is compiled when it runs.
    c.ok("ALTER TABLE t ADD c int; EXEC (N'INSERT t (id, c) VALUES (1, 1)')");
    assert_eq!(c.one("SELECT c FROM t"), "1");
}

#[test]
fn a_table_that_is_not_there_is_missed_when_its_statement_runs() {
    let engine = engine();
    let mut c = connect(&engine);
    c.ok("CREATE TABLE t (id int)");
    let reply = c.batch("INSERT t VALUES (1); SELECT x FROM gone; INSERT t VALUES (2)");
    assert_eq!(numbers(&reply), [208]);
    assert_eq!(c.rows("SELECT id FROM t"), ["1"]);
    c.ok("IF OBJECT_ID('gone') IS NOT NULL SELECT x FROM gone");
    c.ok("CREATE TABLE made (x int); INSERT made (x) VALUES (1); SELECT x INTO #copy FROM made; SELECT x FROM #copy");
    // A column of it is missed then as well, and what ran before has run.
    let reply = c.batch("CREATE TABLE late (x int); INSERT t VALUES (3); SELECT y FROM late");
    assert_eq!(numbers(&reply), [207]);
    assert_eq!(c.rows("SELECT id FROM t ORDER BY id"), ["1", "3"]);
}

#[test]
fn variables_are_declared_once_and_above_their_use() {
    let engine = engine();
    let mut c = connect(&engine);
    c.ok("CREATE TABLE t (id int)");
    for (wrong, number) in [
        ("INSERT t VALUES (1); SELECT @x", 137),
        ("INSERT t VALUES (1); SET @x = 1", 137),
        ("INSERT t VALUES (1); SELECT @x = id FROM gone", 137),
        ("INSERT t VALUES (1); SELECT @x; DECLARE @x int", 137),
        ("INSERT t VALUES (1); DECLARE @a int = 1, @b int = @a", 137),
        (
            "INSERT t VALUES (1); EXEC @rc = sp_executesql N'SELECT 1'",
            137,
        ),
        ("INSERT t VALUES (1); EXEC (@x)", 137),
        ("INSERT t VALUES (1); SELECT * FROM @x", 1087),
        ("INSERT t VALUES (1); INSERT @x VALUES (1)", 1087),
        ("INSERT t VALUES (1); DECLARE @x int; DECLARE @x int", 134),
        ("INSERT t VALUES (1); DECLARE @x int, @X int", 134),
        (
            "INSERT t VALUES (1); DECLARE @x int; DECLARE @x TABLE (id int)",
            134,
        ),
        (
            "INSERT t VALUES (1); IF 1 = 0 DECLARE @x int; ELSE DECLARE @x int",
            134,
        ),
    ] {
        let reply = c.batch(wrong);
        assert_eq!(
            (numbers(&reply), reply.sets.len()),
            (vec![number], 0),
            "{wrong}"
        );
        assert_eq!(c.one("SELECT COUNT(*) FROM t"), "0", "{wrong}");
    }
    // Whether a DECLARE is reached does not matter.
    assert_eq!(c.one("IF 1 = 0 DECLARE @x int = 1; SELECT @x"), "NULL");
    assert_eq!(
        c.one(
            "DECLARE @n int = 0; WHILE @n < 3 BEGIN DECLARE @kept int; DECLARE @t TABLE (id int); DECLARE @set int = \
                0; SET @kept = ISNULL(@kept, 0) + 1; SET @set = @set + 1; INSERT @t VALUES (@n); SET @n = @n + 1; END; \
                SELECT @kept * 100 + @set * 10 + (SELECT COUNT(*) FROM @t)"
        ),
        "313"
    );
    // A parameter is declared, and its name is not one of the batch.
    c.ok("EXEC sp_executesql N'SELECT @p', N'@p int', @p = 1");
    let reply = c.batch("EXEC sp_executesql N'DECLARE @p int', N'@p int', @p = 1; SELECT 1");
    assert_eq!((numbers(&reply), reply.sets.len()), (vec![134], 1));
}

#[test]
fn a_try_does_not_catch_what_its_own_scope_is_refused_for() {
    let engine = engine();
    let mut c = connect(&engine);
    let caught = "BEGIN CATCH SELECT ERROR_NUMBER() END CATCH";
    let reply = c.batch(&format!(
        "BEGIN TRY BEGIN TRY SELECT * FROM gone END TRY {caught} END TRY {caught} SELECT 1"
    ));
    assert_eq!((numbers(&reply), reply.sets.len()), (vec![208], 0));
    // In a text that a TRY stands around, and in the CATCH of one.
    for text in [
        "SELECT * FROM gone",
        "BEGIN TRY SELECT * FROM gone END TRY BEGIN CATCH SELECT 1 END CATCH",
        "BEGIN TRY SELECT 1/0 END TRY BEGIN CATCH SELECT * FROM gone END CATCH",
    ] {
        for call in [
            format!("EXEC (N'{text}')"),
            format!("EXEC sp_executesql N'{text}'"),
        ] {
            let answer = c.one(&format!("BEGIN TRY {call} END TRY {caught}"));
            assert_eq!(answer, "208", "{call}");
        }
    }
    for (text, number) in [
        ("SELECT x FROM sys.objects", 207),
        ("SELECT @x", 137),
        ("SELECT FROM", 156),
    ] {
        let answer = c.one(&format!("BEGIN TRY EXEC (N'{text}') END TRY {caught}"));
        assert_eq!(answer, number.to_string());
    }
    // Without a TRY the batch goes on behind the text.
    let reply = c.batch("EXEC (N'SELECT * FROM gone; SELECT 1'); SELECT 2");
    assert_eq!((numbers(&reply), reply.sets.len()), (vec![208], 1));
}

/// "Compile errors, such as syntax errors, are not affected by SET XACT_ABORT."
#[test]
fn a_batch_that_does_not_compile_leaves_the_transaction_alone() {
    let engine = engine();
    let mut c = connect(&engine);
    c.ok("CREATE TABLE t (id int); SET XACT_ABORT ON");
    for (wrong, number) in [
        ("SELECT FROM", 156),
        ("SELECT 1; SELECT x FROM t", 207),
        ("SELECT @x", 137),
    ] {
        c.ok("BEGIN TRANSACTION; INSERT t VALUES (1)");
        assert_eq!(c.error(wrong), number);
        assert_eq!(c.one("SELECT @@TRANCOUNT"), "1", "{wrong}");
        c.ok("ROLLBACK");
    }
    // A table that is missed when its statement runs ends it.
    c.ok("BEGIN TRANSACTION; INSERT t VALUES (1)");
    assert_eq!(c.error("SELECT 1; SELECT * FROM gone"), 208);
    assert_eq!(c.one("SELECT @@TRANCOUNT"), "0");
}

#[test]
fn use_counts_for_what_is_compiled_behind_it() {
    let engine = engine();
    let mut c = connect(&engine);
    c.ok("CREATE DATABASE other; CREATE TABLE dbo.t (here int); EXEC (N'USE other; CREATE TABLE dbo.t (there int)')");
    c.ok("USE other; SELECT there FROM t");
    assert_eq!(c.error("USE shop; PRINT 'x'; SELECT there FROM t"), 207);
    assert_eq!(c.one("SELECT DB_NAME()"), "other");
}

#[test]
fn another_count_of_transactions_than_before_is_told() {
    let engine = engine();
    let mut c = connect(&engine);
    c.ok("CREATE TABLE t (id int)");
    for call in ["EXEC (N'{}')", "EXEC sp_executesql N'{}'"] {
        let call = |text: &str| call.replace("{}", text);
        let reply = c.batch(&format!(
            "{}; SELECT @@TRANCOUNT",
            call("BEGIN TRANSACTION")
        ));
        assert_eq!(numbers(&reply), [266]);
        assert!(
            reply.errors[0]
                .message
                .ends_with("Previous count = 0, current count = 1.")
        );
        assert_eq!((reply.errors[0].class, reply.sets.len()), (16, 1));
        // XACT_ABORT takes no notice of it.
        let reply = c.batch(&format!(
            "SET XACT_ABORT ON; INSERT t VALUES (1); {}; SET XACT_ABORT OFF; SELECT @@TRANCOUNT",
            call("COMMIT")
        ));
        assert_eq!((numbers(&reply), reply.sets.len()), (vec![266], 1));
        assert_eq!(c.one("SELECT @@TRANCOUNT"), "0");
        assert_eq!(
            c.one(&format!(
                "BEGIN TRANSACTION; BEGIN TRY {} END TRY BEGIN CATCH SELECT ERROR_NUMBER() END CATCH",
                call("ROLLBACK")
            )),
            "266"
        );
        c.ok(&format!(
            "BEGIN TRANSACTION; {}; COMMIT",
            call("BEGIN TRANSACTION; COMMIT")
        ));
        // What fails is told alone.
        let reply = c.batch(&format!(
            "BEGIN TRANSACTION; {}; SELECT 1",
            call("SET XACT_ABORT ON; SELECT 1/0")
        ));
        assert_eq!(numbers(&reply), [8134]);
    }
    assert_eq!(c.one("SELECT COUNT(*) FROM t"), "2");
}

/// Error 266 ends no transaction and dooms none, whatever XACT_ABORT says.
#[test]
fn another_count_of_transactions_leaves_the_transaction_as_it_is() {
    let engine = engine();
    let mut c = connect(&engine);
    c.ok("CREATE TABLE t (id int)");
    for abort in ["OFF", "ON"] {
        for call in ["EXEC (N'{}')", "EXEC sp_executesql N'{}'"] {
            c.ok(&format!("DELETE FROM t; SET XACT_ABORT {abort}"));
            let call = |text: &str| call.replace("{}", text);
            // What a TRY catches: the count, the state, and whether the work can be committed.
            for (text, state, rows) in [
                ("BEGIN TRANSACTION; INSERT t VALUES (1)", "2|1", "2"),
                ("COMMIT", "0|0", "1"),
                ("ROLLBACK", "0|0", "0"),
            ] {
                c.ok("DELETE FROM t");
                let caught = c.rows(&format!(
                    "BEGIN TRANSACTION; INSERT t VALUES (7); BEGIN TRY {}; SELECT 0 END TRY
                     BEGIN CATCH SELECT ERROR_NUMBER(), ERROR_SEVERITY(), @@TRANCOUNT, XACT_STATE() END CATCH",
                    call(text)
                ));
                assert_eq!(caught, [format!("266|16|{state}")], "{abort} {text}");
                c.ok("WHILE @@TRANCOUNT > 0 COMMIT");
                assert_eq!(c.one("SELECT COUNT(*) FROM t"), rows, "{abort} {text}");
            }
            // Without a TRY the batch goes on behind it.
            let reply = c.batch(&format!(
                "BEGIN TRANSACTION; {}; DECLARE @error int = @@ERROR; INSERT t VALUES (9);
                 SELECT @error, @@TRANCOUNT, XACT_STATE()",
                call("BEGIN TRANSACTION")
            ));
            assert_eq!(numbers(&reply), [266]);
            let (columns, rows) = &reply.sets[0];
            assert_eq!(super::show_row(columns, &rows[0]), "266|2|1");
            c.ok("COMMIT; COMMIT");
            assert_eq!(c.one("SELECT COUNT(*) FROM t WHERE id = 9"), "1");
            // What the scope raised itself is told first, and caught alone.
            let raise = call("ROLLBACK; RAISERROR (''gone'', 16, 1)");
            let reply = c.batch(&format!("BEGIN TRANSACTION; {raise}"));
            assert_eq!(numbers(&reply), [50000, 266]);
            let caught = format!(
                "BEGIN TRANSACTION; BEGIN TRY {raise} END TRY BEGIN CATCH SELECT ERROR_NUMBER(), XACT_STATE() END CATCH"
            );
            assert_eq!(c.one(&caught), "50000|0");
        }
    }
    // The scope's own TRY does not catch it: the scope ends after it.
    let inner = "EXEC (N'BEGIN TRY BEGIN TRANSACTION END TRY BEGIN CATCH PRINT 1 END CATCH')";
    assert_eq!(numbers(&c.batch(inner)), [266]);
    c.ok("ROLLBACK");
}

#[test]
fn implicit_transactions_and_triggers_tell_of_no_other_count() {
    let engine = engine();
    let mut c = connect(&engine);
    c.ok("CREATE TABLE t (id int)");
    for call in ["EXEC (N'{}')", "EXEC sp_executesql N'{}'"] {
        let insert = call.replace("{}", "INSERT t VALUES (1)");
        c.ok(&format!("SET IMPLICIT_TRANSACTIONS ON; {insert}"));
        assert_eq!(c.one("SELECT @@TRANCOUNT"), "1");
        c.ok("COMMIT; SET IMPLICIT_TRANSACTIONS OFF");
    }
    assert_eq!(c.one("SELECT COUNT(*) FROM t"), "2");
    c.ok("CREATE TRIGGER tr ON t AFTER DELETE AS EXEC (N'BEGIN TRANSACTION'); COMMIT");
    c.ok("BEGIN TRANSACTION; DELETE FROM t");
    assert_eq!(c.one("SELECT @@TRANCOUNT"), "1");
    c.ok("COMMIT");
    assert_eq!(c.one("SELECT COUNT(*) FROM t"), "0");
}

#[test]
fn names_that_are_missing_or_twice_are_refused() {
    let engine = engine();
    let mut c = connect(&engine);
    c.ok("CREATE TABLE t (id int); CREATE TABLE u (id int); EXEC (N'CREATE SCHEMA s'); CREATE TABLE s.t (id int)");
    for (sql, number) in [
        ("SELECT 1 FROM t AS a JOIN u AS a ON 1 = 1", 1011),
        (
            "SELECT 1 FROM t AS a CROSS APPLY (SELECT 1 AS x) AS A",
            1011,
        ),
        ("SELECT 1 FROM t, t", 1013),
        ("SELECT 1 FROM t AS u, u", 1013),
        ("UPDATE a SET id = 1 FROM t AS a JOIN u AS a ON 1 = 1", 1011),
        ("SELECT 1 FROM (SELECT 1) AS d", 8155),
        ("SELECT 1 FROM (VALUES (1)) AS d", 8155),
        ("SELECT 1 FROM (SELECT 1 AS x, 2 AS X) AS d", 8156),
        (
            "SELECT 1 FROM (SELECT * FROM t AS a CROSS JOIN u AS b) AS d",
            8156,
        ),
        ("SELECT 1 FROM (VALUES (1, 2)) AS d (x, x)", 8156),
        ("WITH d AS (SELECT 1) SELECT 1 FROM d", 8155),
        ("WITH d AS (SELECT 1 AS x, 2 AS x) SELECT 1 FROM d", 8156),
        ("SELECT TOP (1) id FROM t ORDER BY id OFFSET 1 ROWS", 10741),
        ("EXEC sp_executesql 'SELECT 1'", 214),
        ("EXEC sp_executesql N'SELECT @p', '@p int', @p = 1", 214),
        (
            "DECLARE @sql varchar(20) = 'SELECT 1'; EXEC sp_executesql @sql",
            214,
        ),
    ] {
        assert_eq!(c.error(sql), number, "{sql}");
    }
    for sql in [
        "SELECT 1 FROM t AS a JOIN t AS b ON 1 = 1",
        "SELECT 1 FROM t JOIN s.t AS other ON 1 = 1",
        "SELECT 1 FROM dbo.t JOIN s.t ON 1 = 1",
        "SELECT 1 FROM t AS a WHERE EXISTS (SELECT 1 FROM t AS a)",
        "SELECT 1 FROM (SELECT 1) AS d (x)",
        "WITH d (x) AS (SELECT 1) SELECT x FROM d",
        "SELECT id FROM t ORDER BY id OFFSET 1 ROWS",
        "EXEC sp_executesql N'SELECT 1'",
    ] {
        c.ok(sql);
    }
    let rows = |count: usize| vec!["(1)"; count].join(", ");
    assert_eq!(c.error(&format!("INSERT t VALUES {}", rows(1001))), 10738);
    c.ok(&format!("INSERT t VALUES {}", rows(1000)));
    c.ok(&format!(
        "INSERT t SELECT x FROM (VALUES {}) AS d (x)",
        rows(1001)
    ));
}
