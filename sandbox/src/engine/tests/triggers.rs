//! AFTER triggers as a change log that another reader takes rows from.

use super::{Client, connect, engine, with_versions};

const LOG: &str = "CREATE TABLE t (id int NOT NULL PRIMARY KEY, v int NULL); CREATE TABLE q (n int IDENTITY PRIMARY \
KEY, \
    op char(1) NOT NULL, id int NOT NULL, taken bit NOT NULL DEFAULT 0)";
const TRIGGER: &str = "CREATE TRIGGER tr ON t AFTER INSERT, UPDATE, DELETE AS BEGIN
    IF @@ROWCOUNT = 0 RETURN;
    SET NOCOUNT ON;
    INSERT q (op, id) SELECT CASE WHEN d.id IS NULL THEN 'I' WHEN i.id IS NULL THEN 'D' ELSE 'U' END, \
        COALESCE(i.id, d.id) FROM inserted AS i FULL JOIN deleted AS d ON d.id = i.id ORDER BY COALESCE(i.id, d.id);
    END";

fn client() -> Client {
    let mut c = connect(&engine());
    c.ok(LOG);
    c.ok(TRIGGER);
    c
}

const ROWS: &str = "SELECT op, id FROM q ORDER BY n";

#[test]
fn a_trigger_sees_every_row_of_its_statement() {
    let mut c = client();
    c.ok("INSERT t VALUES (1, 1), (2, 2), (3, 3)");
    c.ok("UPDATE t SET v = v + 1 WHERE id < 3");
    c.ok("UPDATE t SET v = 0 WHERE id > 100; DELETE FROM t WHERE id > 100");
    c.ok("DELETE FROM t WHERE id <> 2");
    assert_eq!(
        c.rows(ROWS),
        ["I|1", "I|2", "I|3", "U|1", "U|2", "D|1", "D|3"]
    );
    // A key that is changed has no partner under its old name.
    c.ok("DELETE FROM q; UPDATE t SET id = 20");
    assert_eq!(c.rows(ROWS), ["D|2", "I|20"]);
    c.ok("DELETE FROM q; BEGIN TRAN; DELETE FROM t; ROLLBACK");
    assert_eq!(c.rows(ROWS), [] as [&str; 0]);
}

#[test]
fn a_merge_fires_once_for_each_of_its_actions() {
    let mut c = client();
    c.ok("CREATE TABLE fired (i int, d int)");
    c.ok("CREATE TRIGGER counts ON t AFTER INSERT, UPDATE, DELETE AS INSERT fired SELECT (SELECT COUNT(*) FROM \
        inserted), (SELECT COUNT(*) FROM deleted)");
    c.ok("INSERT t VALUES (1, 1), (2, 2), (3, 3); DELETE FROM fired; DELETE FROM q");
    c.ok("MERGE t USING (VALUES (2, 20), (3, 30), (4, 40)) AS s (id, v) ON s.id = t.id WHEN MATCHED THEN UPDATE SET \
    v = \
        s.v WHEN NOT MATCHED THEN INSERT (id, v) VALUES (s.id, s.v) WHEN NOT MATCHED BY SOURCE THEN DELETE;");
    assert_eq!(
        c.rows("SELECT i, d FROM fired ORDER BY i, d"),
        ["0|1", "1|0", "2|2"]
    );
    assert_eq!(
        c.rows("SELECT op, id FROM q ORDER BY op, id"),
        ["D|1", "I|4", "U|2", "U|3"]
    );
    // Actions that meet no row fire, too.
    c.ok("DELETE FROM fired; MERGE t USING (VALUES (4, 41)) AS s (id, v) ON s.id = t.id WHEN MATCHED THEN UPDATE SET \
    v = \
        s.v WHEN NOT MATCHED THEN INSERT (id, v) VALUES (s.id, s.v);");
    assert_eq!(
        c.rows("SELECT i, d FROM fired ORDER BY i, d"),
        ["0|0", "1|1"]
    );
}

#[test]
fn a_disabled_trigger_is_shown_and_does_not_fire() {
    let mut c = client();
    let shown = "SELECT name, is_disabled, is_not_for_replication, is_instead_of_trigger, parent_class_desc FROM \
        sys.triggers WHERE parent_id = OBJECT_ID('t')";
    assert_eq!(c.one(shown), "tr|0|0|0|OBJECT_OR_COLUMN");
    for (disable, enable) in [
        ("DISABLE TRIGGER tr ON t", "ENABLE TRIGGER tr ON t"),
        (
            "DISABLE TRIGGER ALL ON dbo.t",
            "ENABLE TRIGGER ALL ON dbo.t",
        ),
        (
            "ALTER TABLE t DISABLE TRIGGER tr",
            "ALTER TABLE t ENABLE TRIGGER tr",
        ),
    ] {
        c.ok(disable);
        assert_eq!(c.one(shown), "tr|1|0|0|OBJECT_OR_COLUMN", "{disable}");
        c.ok("DELETE FROM t; INSERT t VALUES (1, 1)");
        assert_eq!(c.rows(ROWS), [] as [&str; 0], "{disable}");
        c.ok(&format!("{enable};"));
        assert_eq!(c.one(shown), "tr|0|0|0|OBJECT_OR_COLUMN", "{enable}");
    }
    c.ok("INSERT t VALUES (2, 2)");
    assert_eq!(c.rows(ROWS), ["I|2"]);
    assert_eq!(
        c.rows("SELECT e.type_desc FROM sys.trigger_events AS e JOIN sys.triggers AS t ON t.object_id = e.object_id \
        ORDER \
            BY e.type"),
        ["INSERT", "UPDATE", "DELETE"]
    );
}

#[test]
fn a_trigger_that_is_not_for_replication_says_so() {
    let mut c = connect(&engine());
    c.ok(LOG);
    c.ok("CREATE TRIGGER tr ON t AFTER INSERT NOT FOR REPLICATION AS INSERT q (op, id) SELECT 'I', id FROM inserted");
    assert_eq!(
        c.one("SELECT is_not_for_replication FROM sys.triggers"),
        "1"
    );
    c.ok("INSERT t VALUES (1, 1)");
    assert_eq!(c.rows(ROWS), ["I|1"]);
}

#[test]
fn triggers_of_a_queue_fire_in_turn() {
    let mut c = client();
    c.ok("CREATE TABLE total (n int NOT NULL); INSERT total VALUES (0)");
    c.ok("CREATE TRIGGER tq ON q AFTER INSERT AS UPDATE total SET n = n + (SELECT COUNT(*) FROM inserted)");
    c.ok("INSERT t VALUES (1, 1), (2, 2); DELETE FROM t WHERE id = 1");
    assert_eq!(c.one("SELECT n FROM total"), "3");
    // What fails in the inner trigger takes the outer statement with it.
    c.ok("ALTER TABLE total ADD CHECK (n < 4)");
    assert_eq!(c.error("INSERT t VALUES (5, 5)"), 547);
    assert_eq!(
        c.one("SELECT (SELECT COUNT(*) FROM t), (SELECT COUNT(*) FROM q), n FROM total"),
        "1|3|3"
    );
}

#[test]
fn readers_take_rows_from_a_queue_past_each_other() {
    for versions in [true, false] {
        let engine = with_versions(versions);
        let (mut a, mut b) = (connect(&engine), connect(&engine));
        a.ok(LOG);
        a.ok("INSERT q (op, id) VALUES ('I', 1), ('I', 2), ('I', 3), ('I', 4), ('I', 5)");
        let hints = "WITH (ROWLOCK, READPAST, READCOMMITTEDLOCK)";
        let take =
            format!("UPDATE TOP (2) q {hints} SET taken = 1 OUTPUT inserted.id WHERE taken = 0");
        let ids = |c: &mut Client, sql: &str| {
            let mut ids = c.rows(sql);
            ids.sort();
            ids
        };
        a.ok("BEGIN TRAN");
        assert_eq!(ids(&mut a, &take), ["1", "2"]);
        b.ok("SET LOCK_TIMEOUT 0; BEGIN TRAN");
        assert_eq!(ids(&mut b, &take), ["3", "4"]);
        assert_eq!(
            ids(&mut b, &format!("SELECT id FROM q {hints} WHERE taken = 0")),
            ["5"]
        );
        a.ok("ROLLBACK");
        assert_eq!(ids(&mut b, &take), ["1", "2"]);
        b.ok("COMMIT");
        a.ok("BEGIN TRAN");
        assert_eq!(
            ids(
                &mut a,
                &format!("DELETE TOP (3) FROM q {hints} OUTPUT deleted.id WHERE taken = 1")
            ),
            ["1", "2", "3"]
        );
        assert_eq!(
            ids(&mut b, &format!("DELETE FROM q {hints} OUTPUT deleted.id")),
            ["4", "5"]
        );
        a.ok("COMMIT");
        assert_eq!(b.one("SELECT COUNT(*) FROM q"), "0");
    }
}

#[test]
fn rows_taken_may_go_into_another_table() {
    let mut c = client();
    c.ok("INSERT t VALUES (1, 1), (2, 2); CREATE TABLE done (n int, id int)");
    c.ok("DELETE TOP (1) FROM q OUTPUT deleted.n, deleted.id INTO done (n, id)");
    assert_eq!(c.rows("SELECT n, id FROM done"), ["1|1"]);
    // OUTPUT without INTO needs a table without triggers.
    assert_eq!(c.error("DELETE FROM t OUTPUT deleted.id"), 334);
    c.ok("DECLARE @gone TABLE (id int); DELETE FROM t OUTPUT deleted.id INTO @gone; SELECT id FROM @gone");
}

#[test]
fn in_a_trigger_a_transaction_is_open() {
    let mut c = connect(&engine());
    c.ok(LOG);
    c.ok("CREATE TABLE seen (c int, x int, n int)");
    c.ok("CREATE TRIGGER tr ON t AFTER INSERT AS INSERT seen SELECT @@TRANCOUNT, XACT_STATE(), TRIGGER_NESTLEVEL()");
    c.ok("INSERT t VALUES (1, 1); BEGIN TRAN; INSERT t VALUES (2, 2); COMMIT");
    assert_eq!(c.rows("SELECT c, x, n FROM seen"), ["1|1|1", "1|1|1"]);
    assert_eq!(c.one("SELECT @@TRANCOUNT"), "0");
}

#[test]
fn an_error_that_a_trigger_catches_takes_the_statement_with_it() {
    let mut c = connect(&engine());
    c.ok(LOG);
    c.ok("CREATE TRIGGER tr ON t AFTER INSERT AS BEGIN TRY INSERT q (op, id) SELECT NULL, id FROM inserted; END TRY \
        BEGIN CATCH DECLARE @s int = XACT_STATE(); PRINT CONCAT('state ', @s); END CATCH");
    assert_eq!(c.error("INSERT t VALUES (1, 1)"), 3616);
    let reply =
        c.batch("BEGIN TRAN; INSERT q (op, id) VALUES ('X', 0); INSERT t VALUES (1, 1); SELECT 1");
    assert_eq!(reply.errors[0].number, 3616);
    assert!(reply.sets.is_empty());
    assert_eq!(
        c.one("SELECT @@TRANCOUNT, (SELECT COUNT(*) FROM t), (SELECT COUNT(*) FROM q)"),
        "0|0|0"
    );
}
