use super::{connect, engine};

#[test]
fn errors_carry_the_servers_numbers() {
    let engine = engine();
    let mut c = connect(&engine);
    c.ok("CREATE TABLE p (id int PRIMARY KEY); CREATE TABLE t (id int PRIMARY KEY, s varchar(3) NOT NULL, n tinyint \
        CHECK (n < 9), p int REFERENCES p (id)); INSERT p VALUES (1)");
    for (sql, number) in [
        ("SELECT * FROM missing", 208),
        ("SELECT x FROM t", 207),
        ("SELECT FROM t", 156),
        ("INSERT t VALUES (1, 'abcd', 1, NULL)", 2628),
        ("INSERT t VALUES (1, NULL, 1, NULL)", 515),
        ("INSERT t VALUES (1, 'a', 9, NULL)", 547),
        ("INSERT t VALUES (1, 'a', 1, 2)", 547),
        ("INSERT t VALUES (1, 'a', 300, 1)", 220),
        ("SELECT CAST('x' AS int)", 245),
        ("SELECT CAST('x' AS date)", 241),
        ("SELECT CAST('x' AS decimal(5,2))", 8114),
        ("SELECT 2147483647 + 1", 8115),
        ("SELECT 1 / 0", 8134),
        ("SELECT @x", 137),
        ("EXEC nothing_here", 2812),
        ("CREATE TABLE t (x int)", 2714),
        ("DROP TABLE missing", 3701),
        ("RAISERROR('no %s', 16, 1, 'way')", 50000),
        ("THROW 51000, 'stop', 1", 51000),
        ("SELECT id, COUNT(*) FROM t", 8120),
        ("INSERT t (id) VALUES (1, 2)", 110),
        ("SELECT no_such_function(1)", 195),
        ("USE nowhere", 911),
    ] {
        assert_eq!(c.error(sql), number, "{sql}");
    }
}

#[test]
fn statements_fail_alone_unless_xact_abort() {
    let engine = engine();
    let mut c = connect(&engine);
    c.ok("CREATE TABLE t (id int PRIMARY KEY)");
    let reply = c.batch(
        "BEGIN TRAN; INSERT t VALUES (1); INSERT t VALUES (1); INSERT t VALUES (2); COMMIT; SELECT \
        COUNT(*) FROM t",
    );
    assert_eq!(reply.errors[0].number, 2627);
    assert_eq!(c.one("SELECT COUNT(*) FROM t"), "2");
    let reply = c.batch("SET XACT_ABORT ON; BEGIN TRAN; INSERT t VALUES (3); INSERT t VALUES (3); INSERT t VALUES (4); \
        COMMIT");
    assert_eq!(reply.errors.len(), 1);
    assert_eq!(c.one("SELECT COUNT(*) + @@TRANCOUNT FROM t"), "2");
    // A failed conversion ends the batch and the transaction.
    c.ok("SET XACT_ABORT OFF");
    let reply = c.batch(
        "BEGIN TRAN; INSERT t VALUES (5); SELECT CAST('x' AS int); INSERT t VALUES (6); COMMIT",
    );
    assert_eq!(reply.errors[0].number, 245);
    assert_eq!(c.one("SELECT COUNT(*) + @@TRANCOUNT FROM t"), "2");
}

#[test]
fn try_and_catch() {
    let engine = engine();
    let mut c = connect(&engine);
    c.ok("CREATE TABLE t (id int PRIMARY KEY); INSERT t VALUES (1)");
    assert_eq!(
        c.one("BEGIN TRY INSERT t VALUES (1); SELECT 'no'; END TRY BEGIN CATCH SELECT CAST(ERROR_NUMBER() AS \
            varchar(9)) + '/' + CAST(XACT_STATE() AS varchar(2)) + '/' + CAST(ERROR_LINE() AS varchar(3)); END CATCH"),
        "2627/0/1"
    );
    assert_eq!(
        c.one("SET XACT_ABORT ON; BEGIN TRAN; BEGIN TRY INSERT t VALUES (1); END TRY BEGIN CATCH SELECT XACT_STATE(); \
            ROLLBACK; END CATCH"),
        "-1"
    );
    assert_eq!(c.one("SELECT @@TRANCOUNT"), "0");
    let reply =
        c.batch("BEGIN TRY THROW 50001, 'a', 3; END TRY BEGIN CATCH THROW; END CATCH; SELECT 1");
    assert_eq!(
        (
            reply.errors[0].number,
            reply.errors[0].state,
            reply.sets.len()
        ),
        (50001, 3, 0)
    );
    let doomed = c.batch(
        "SET XACT_ABORT ON; BEGIN TRAN; BEGIN TRY SELECT 1/0; END TRY BEGIN CATCH INSERT t VALUES \
        (7); END CATCH",
    );
    assert_eq!(doomed.errors[0].number, 3930);
    assert_eq!(c.one("SELECT COUNT(*) + @@TRANCOUNT FROM t"), "1");
    assert_eq!(c.one("SET XACT_ABORT OFF; BEGIN TRY EXEC sp_executesql N'SELECT * FROM gone'; END TRY BEGIN CATCH \
        SELECT ERROR_NUMBER(); END CATCH"), "208");
}

#[test]
fn what_a_nested_text_sets_ends_with_it() {
    let engine = engine();
    let mut c = connect(&engine);
    c.ok("CREATE TABLE t (id int IDENTITY PRIMARY KEY, v int)");
    for (call, end) in [("EXEC sp_executesql N'", "'"), ("EXEC (N'", "')")] {
        let inside =
            "SET XACT_ABORT ON; SET IDENTITY_INSERT t ON; INSERT t (id, v) VALUES (7, 7); DELETE t";
        c.ok(&format!("{call}{inside}{end}"));
        assert_eq!(c.error("INSERT t (id, v) VALUES (8, 8)"), 544);
        assert_eq!(c.error("BEGIN TRAN; SELECT 1/0"), 8134);
        assert_eq!(c.one("SELECT @@TRANCOUNT"), "1");
        c.ok("ROLLBACK");
        // It decides about the transaction as long as it is set.
        let failing = format!("{call}SET XACT_ABORT ON; SELECT 1/0{end}");
        assert_eq!(c.error(&format!("BEGIN TRAN; {failing}")), 8134);
        assert_eq!(c.one("SELECT @@TRANCOUNT"), "0");
        c.ok(&format!(
            "BEGIN TRAN; BEGIN TRY {failing}; END TRY BEGIN CATCH IF XACT_STATE() <> -1 THROW 50000, 'not doomed', 1; \
            END CATCH; ROLLBACK"
        ));
    }
}

#[test]
fn each_statement_of_a_trigger_looks_for_itself() {
    let engine = engine();
    let mut c = connect(&engine);
    c.ok("CREATE TABLE t (id int PRIMARY KEY, v int)");
    c.ok("CREATE TRIGGER tr ON t AFTER INSERT AS BEGIN
          IF EXISTS (SELECT 1 FROM inserted WHERE v = 1) THROW 50011, 'one', 1;
          IF EXISTS (SELECT 1 FROM inserted WHERE v = 2) THROW 50012, 'two', 1;
          IF EXISTS (SELECT 1 FROM inserted WHERE v = 3) BEGIN ROLLBACK TRANSACTION; RETURN; END; END");
    assert_eq!(c.error("INSERT t VALUES (1, 1)"), 50011);
    assert_eq!(c.error("INSERT t VALUES (2, 2)"), 50012);
    assert_eq!(c.error("INSERT t VALUES (3, 3)"), 3609);
    c.ok("INSERT t VALUES (4, 4)");
    assert_eq!(c.one("SELECT COUNT(*) FROM t"), "1");
}

#[test]
fn triggers_see_both_images_and_undo_their_statement() {
    let engine = engine();
    let mut c = connect(&engine);
    c.ok("CREATE TABLE t (id int PRIMARY KEY, v int); CREATE TABLE q (seq int IDENTITY PRIMARY KEY, id int, op \
        char(1))");
    c.ok("CREATE TRIGGER tr ON t AFTER INSERT, UPDATE, DELETE AS BEGIN SET NOCOUNT ON;
          INSERT q (id, op) SELECT id, 'i' FROM inserted UNION ALL SELECT id, 'd' FROM deleted;
          IF UPDATE(v) AND EXISTS (SELECT 1 FROM inserted WHERE v < 0) THROW 50010, 'negative', 1; END");
    c.ok("INSERT t VALUES (1, 1), (2, 2); UPDATE t SET v = 5 WHERE id = 2; DELETE FROM t WHERE id = 1");
    assert_eq!(
        c.rows("SELECT id, op FROM q ORDER BY seq"),
        ["1|i", "2|i", "2|i", "2|d", "1|d"]
    );
    assert_eq!(c.error("UPDATE t SET v = -1"), 50010);
    assert_eq!(c.one("SELECT v FROM t"), "5");
    assert_eq!(c.one("SELECT COUNT(*) FROM q"), "5");
    assert_eq!(c.error("UPDATE t SET v = 1 OUTPUT inserted.v"), 334);
    c.ok("DISABLE TRIGGER tr ON t; UPDATE t SET v = -1");
    assert_eq!(c.one("SELECT COUNT(*) FROM q"), "5");
}

/// The batch goes on in the transaction that the trigger has begun; nothing that came before is in it.
#[test]
fn a_trigger_that_begins_another_transaction_lets_the_batch_go_on() {
    let engine = engine();
    let mut c = connect(&engine);
    c.ok("CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE q (id int)");
    c.ok("CREATE TRIGGER tr ON t AFTER INSERT AS
          IF EXISTS (SELECT 1 FROM inserted WHERE id = 2) BEGIN ROLLBACK TRANSACTION; BEGIN TRANSACTION; END");
    let lock = "DECLARE @rc int; EXEC @rc = sp_getapplock @Resource = N'r', @LockMode = N'Exclusive', @LockOwner = \
        N'Transaction', @LockTimeout = 0";
    let held = |c: &mut super::Client| c.one("SELECT APPLOCK_MODE('public', 'r', 'Transaction')");
    c.ok(&format!(
        "SET XACT_ABORT ON; BEGIN TRAN; {lock}; INSERT q VALUES (1)"
    ));
    assert_eq!(held(&mut c), "Exclusive");
    c.ok("INSERT t VALUES (1)");
    assert_eq!(held(&mut c), "Exclusive");
    c.ok("INSERT t VALUES (2); INSERT q VALUES (3)");
    assert_eq!(held(&mut c), "NoLock");
    assert_eq!(c.one("SELECT @@TRANCOUNT"), "1");
    c.ok("COMMIT");
    assert_eq!(c.one("SELECT COUNT(*) FROM t"), "0");
    assert_eq!(c.rows("SELECT id FROM q"), ["3"]);
    // In a TRY, too, and where there was no transaction before.
    c.ok("BEGIN TRY BEGIN TRAN; INSERT q VALUES (4); INSERT t VALUES (2); INSERT q VALUES (5); COMMIT; END TRY BEGIN \
        CATCH THROW; END CATCH");
    assert_eq!(c.rows("SELECT id FROM q ORDER BY id"), ["3", "5"]);
    c.ok("INSERT t VALUES (2)");
    assert_eq!(c.one("SELECT COUNT(*) + @@TRANCOUNT FROM t"), "1");
    c.ok("COMMIT");
}

const COMPLAINS: &str = "CREATE TRIGGER tr ON t AFTER INSERT AS BEGIN
    IF EXISTS (SELECT 1 FROM inserted WHERE v = 1) RAISERROR('one', 16, 1);
    IF EXISTS (SELECT 1 FROM inserted WHERE v = 2) BEGIN RAISERROR('two', 16, 1); ROLLBACK TRANSACTION; END;
    IF EXISTS (SELECT 1 FROM inserted WHERE v = 3) ROLLBACK TRANSACTION;
    IF EXISTS (SELECT 1 FROM inserted WHERE v = 4) RAISERROR('four', 10, 1);
    INSERT q SELECT id FROM inserted; END";

/// XACT_ABORT takes no notice of it.
#[test]
fn a_trigger_that_raises_an_error_goes_on_and_so_does_the_batch() {
    let engine = engine();
    let mut c = connect(&engine);
    c.ok("CREATE TABLE t (id int PRIMARY KEY, v int); CREATE TABLE q (id int)");
    c.ok(COMPLAINS);
    let numbers = |reply: &super::Reply| -> Vec<i32> {
        reply.errors.iter().map(|error| error.number).collect()
    };
    let reply = c.batch(
        "SET XACT_ABORT ON; BEGIN TRAN; INSERT t VALUES (1, 1); INSERT t VALUES (9, 9); COMMIT",
    );
    assert_eq!(numbers(&reply), [50000]);
    assert_eq!(c.rows("SELECT id FROM t ORDER BY id"), ["1", "9"]);
    assert_eq!(c.rows("SELECT id FROM q ORDER BY id"), ["1", "9"]);
    // A rollback ends the batch, and the client has both errors.
    let reply = c.batch("BEGIN TRAN; INSERT t VALUES (2, 2); INSERT t VALUES (8, 8); COMMIT");
    assert_eq!(numbers(&reply), [50000, 3609]);
    assert_eq!(c.one("SELECT COUNT(*) + @@TRANCOUNT FROM t"), "2");
    c.ok("BEGIN TRAN; INSERT t VALUES (4, 4); COMMIT");
    assert_eq!(c.one("SELECT COUNT(*) FROM q"), "3");
}

#[test]
fn a_try_around_a_statement_has_the_errors_of_its_trigger() {
    let engine = engine();
    let mut c = connect(&engine);
    c.ok("CREATE TABLE t (id int PRIMARY KEY, v int); CREATE TABLE q (id int)");
    c.ok(COMPLAINS);
    for (value, expected) in [(1, "50000/1"), (2, "50000/1"), (3, "3609/0")] {
        let caught = c.one(&format!(
            "SET XACT_ABORT ON; BEGIN TRY BEGIN TRAN; INSERT t VALUES ({value}, {value}); COMMIT; END TRY BEGIN CATCH \
                SELECT CAST(ERROR_NUMBER() AS varchar(9)) + '/' + CAST(XACT_STATE() AS varchar(2)); IF XACT_STATE() <> \
                0 ROLLBACK TRANSACTION; END CATCH"
        ));
        assert_eq!(caught, expected, "{value}");
        assert_eq!(c.one("SELECT COUNT(*) + @@TRANCOUNT FROM t"), "0");
    }
    // A loader's transaction: nothing stays, and the error is told once, as it was raised.
    let reply = c.batch(
        "SET XACT_ABORT ON; BEGIN TRY BEGIN TRAN; INSERT t VALUES (8, 8); INSERT t VALUES (1, 1); COMMIT; END TRY \
            BEGIN CATCH IF XACT_STATE() <> 0 ROLLBACK TRANSACTION; SET LOCK_TIMEOUT -1; THROW; END CATCH; SELECT 1",
    );
    let said: Vec<_> = reply.errors.iter().map(|e| (e.number, e.class)).collect();
    assert_eq!((said.as_slice(), reply.sets.len()), (&[(50000, 16)][..], 0));
    assert_eq!(c.one("SELECT COUNT(*) + @@TRANCOUNT FROM t"), "0");
}

/// What it has committed stays. The batch goes on in the transaction that the trigger begins, or ends.
#[test]
fn a_trigger_that_commits_ends_the_transaction_of_its_statement() {
    let engine = engine();
    let mut c = connect(&engine);
    c.ok("CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE q (id int)");
    c.ok("CREATE TRIGGER tr ON t AFTER INSERT AS BEGIN
          IF EXISTS (SELECT 1 FROM inserted WHERE id = 1) BEGIN COMMIT TRANSACTION; BEGIN TRANSACTION; END;
          IF EXISTS (SELECT 1 FROM inserted WHERE id = 2) COMMIT TRANSACTION; END");
    c.ok("BEGIN TRAN; SAVE TRANSACTION p; INSERT q VALUES (1); INSERT t VALUES (1); INSERT q VALUES (2)");
    assert_eq!(c.one("SELECT @@TRANCOUNT"), "1");
    assert_eq!(c.error("ROLLBACK TRANSACTION p"), 6401);
    c.ok("ROLLBACK");
    assert_eq!(c.rows("SELECT id FROM q"), ["1"]);
    let batch = "BEGIN TRAN; INSERT q VALUES (3); INSERT t VALUES (2); INSERT q VALUES (4)";
    assert_eq!(c.error(batch), 3609);
    assert_eq!(c.one("SELECT COUNT(*) + @@TRANCOUNT FROM t"), "2");
    assert_eq!(c.rows("SELECT id FROM q ORDER BY id"), ["1", "3"]);
}

#[test]
fn a_row_version_becomes_no_unicode_text() {
    let engine = engine();
    let mut c = connect(&engine);
    c.ok("CREATE TABLE t (id int PRIMARY KEY, rv rowversion); INSERT t (id) VALUES (1)");
    for ty in ["nvarchar(100)", "nchar(20)"] {
        let refused = format!("SELECT CONVERT({ty}, MIN(rv), 1) FROM t");
        assert_eq!(c.error(&refused), 529);
    }
    for shown in [
        "CONVERT(nvarchar(100), CONVERT(binary(8), MIN(rv)), 1)",
        "CONVERT(varchar(100), MIN(rv), 1)",
    ] {
        assert_eq!(c.one(&format!("SELECT LEN({shown}) FROM t")), "18");
    }
}

#[test]
fn a_collation_without_a_code_page_is_one_of_unicode_text() {
    let engine = engine();
    let mut c = connect(&engine);
    let indic = "COLLATE Indic_General_90_CI_AS";
    for refused in ["SELECT CONVERT(varchar(1), NULL)", "SELECT 'x'"] {
        assert_eq!(c.error(&format!("{refused} {indic}")), 459);
    }
    let refused = format!("CREATE TABLE v (a varchar(9) {indic} NULL)");
    assert_eq!(c.error(&refused), 459);
    c.ok(&format!("CREATE TABLE n (a nvarchar(9) {indic} NULL)"));
    assert_eq!(
        c.one(&format!("SELECT CONVERT(nvarchar(1), N'x') {indic}")),
        "x"
    );
}
