use super::{connect, engine};

const TABLES: &str = "CREATE TABLE d (id int NOT NULL PRIMARY KEY, a nvarchar(10) NULL, n int NULL); CREATE TABLE s \
    (id int, a nvarchar(10), n int, op char(1));
    INSERT d VALUES (1, N'x', 1), (2, N'y', NULL), (3, N'z', 3);";

#[test]
fn merge_updates_only_what_differs() {
    let engine = engine();
    let mut c = connect(&engine);
    c.ok(TABLES);
    c.ok("INSERT s VALUES (1, N'x', 1, 'U'), (2, N'y', 5, 'U'), (3, NULL, NULL, 'D'), (4, N'new', 4, 'U'), (5, NULL, \
        NULL, 'D')");
    let sql = "MERGE dbo.d WITH (HOLDLOCK) AS d USING s AS s ON d.id = s.id
        WHEN MATCHED AND s.op = 'D' THEN DELETE
        WHEN MATCHED AND EXISTS (SELECT s.a, s.n EXCEPT SELECT d.a, d.n) THEN UPDATE SET a = s.a, n = s.n
        WHEN NOT MATCHED BY TARGET AND s.op = 'U' THEN INSERT (id, a, n) VALUES (s.id, s.a, s.n)
        OUTPUT $action, inserted.id, deleted.id, s.op;";
    let mut rows = c.rows(sql);
    rows.sort();
    assert_eq!(rows, ["DELETE|NULL|3|D", "INSERT|4|NULL|U", "UPDATE|2|2|U"]);
    assert_eq!(
        c.rows("SELECT * FROM d ORDER BY id"),
        ["1|x|1", "2|y|5", "4|new|4"]
    );
    assert_eq!(c.ok(sql).counts, [0]);
}

#[test]
fn a_row_matched_twice_is_an_error_and_nothing_changes() {
    let engine = engine();
    let mut c = connect(&engine);
    c.ok(TABLES);
    c.ok("INSERT s VALUES (9, N'q', 1, 'U'), (1, N'q', 1, 'U'), (1, N'r', 2, 'U')");
    let sql = "MERGE d USING s ON d.id = s.id WHEN MATCHED THEN UPDATE SET a = s.a WHEN NOT MATCHED THEN INSERT (id) \
        VALUES (s.id);";
    assert_eq!(c.error(sql), 8672);
    assert_eq!(
        c.rows("SELECT id, a FROM d ORDER BY id"),
        ["1|x", "2|y", "3|z"]
    );
    assert_eq!(c.ok("MERGE d USING (SELECT DISTINCT id FROM s) s ON d.id = s.id WHEN NOT MATCHED BY SOURCE THEN \
        DELETE;").counts, [2]);
}

#[test]
fn update_then_insert_as_two_statements() {
    let engine = engine();
    let mut c = connect(&engine);
    c.ok(TABLES);
    c.ok("INSERT s VALUES (1, N'x', 1, 'U'), (2, N'y', 7, 'U'), (4, N'w', 4, 'U'), (3, NULL, NULL, 'D')");
    let reply = c.ok("SET XACT_ABORT ON; BEGIN TRAN;
        DECLARE @rc int; EXEC @rc = sp_getapplock @Resource = N'icesync:dbo.d', @LockMode = N'Exclusive', @LockOwner = \
        N'Transaction', @LockTimeout = 1000;
        IF @rc < 0 THROW 51002, N'applock', 1;
        UPDATE d SET d.n = s.n FROM dbo.d AS d WITH (UPDLOCK, SERIALIZABLE) JOIN s ON s.id = d.id WHERE s.op = 'U' AND \
        EXISTS (SELECT s.n EXCEPT SELECT d.n);
        INSERT dbo.d (id, a, n) SELECT s.id, s.a, s.n FROM s WHERE s.op = 'U' AND NOT EXISTS (SELECT 1 FROM dbo.d AS d \
        WITH (UPDLOCK, SERIALIZABLE) WHERE d.id = s.id);
        DELETE d FROM dbo.d AS d JOIN s ON s.id = d.id WHERE s.op = 'D'; COMMIT;");
    assert_eq!(reply.counts, [1, 1, 1]);
    assert_eq!(
        c.rows("SELECT * FROM d ORDER BY id"),
        ["1|x|1", "2|y|7", "4|w|4"]
    );
}
