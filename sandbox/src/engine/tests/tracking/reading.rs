//! CHANGETABLE: what it returns and refuses.

use super::*;

/// "CHANGETABLE", Remarks.
#[test]
fn a_key_has_one_row_that_depends_on_the_baseline() {
    let (_engine, mut a) = with_table();
    a.ok("INSERT t VALUES (1, 1), (2, 1), (3, 1)"); // 1
    a.ok("UPDATE t SET v = 2 WHERE id = 2"); // 2
    a.ok("DELETE t WHERE id = 3"); // 3
    a.ok("INSERT t VALUES (3, 9)"); // 4
    a.ok("UPDATE t SET v = v WHERE id = 1"); // 5: the same values are a change, too
    a.ok("INSERT t VALUES (4, 1)"); // 6
    a.ok("DELETE t WHERE id = 4"); // 7
    assert_eq!(a.one(CURRENT), "7");
    assert_eq!(
        changes(&mut a, "0"),
        ["5|1|I|1", "2|1|I|2", "4|4|I|3", "7|6|D|4"]
    );
    assert_eq!(
        changes(&mut a, "1"),
        ["5|NULL|U|1", "2|NULL|U|2", "4|4|U|3", "7|6|D|4"]
    );
    assert_eq!(changes(&mut a, "3"), ["5|NULL|U|1", "4|4|I|3", "7|6|D|4"]);
    assert_eq!(changes(&mut a, "6"), ["7|NULL|D|4"]);
    assert_eq!(changes(&mut a, "7"), [] as [&str; 0]);
    assert_eq!(changes(&mut a, "1000"), [] as [&str; 0]);
    // NULL is all there is.
    let all = changes(&mut a, "0");
    assert_eq!(changes(&mut a, "NULL"), all);
    assert_eq!(changes(&mut a, "-5"), all);
    let by_variable = format!(
        "DECLARE @last bigint = 0; SELECT {COLUMNS} FROM CHANGETABLE(CHANGES t, @last, FORCESEEK) AS ct ORDER BY id"
    );
    assert_eq!(a.rows(&by_variable), all);
}

/// "CHANGETABLE": a changed key is a delete and an insert.
#[test]
fn a_key_that_moves_is_deleted_and_inserted() {
    let (_engine, mut a) = with_table();
    a.ok("INSERT t VALUES (1, 1), (2, 2), (3, 3)");
    a.ok("UPDATE t SET id = id + 1 WHERE id IN (2, 3)");
    assert_eq!(changes(&mut a, "1"), ["2|NULL|D|2", "2|2|U|3", "2|2|I|4"]);
    // Setting a key to itself.
    a.ok("UPDATE t SET id = id WHERE id = 1");
    assert_eq!(changes(&mut a, "2"), ["3|3|U|1"]);
    // One transaction: deleted and inserted, inserted and deleted.
    a.ok("BEGIN TRAN; DELETE t WHERE id = 1; INSERT t VALUES (1, 7); INSERT t VALUES (8, 8); DELETE t WHERE id = \
        8; COMMIT");
    assert_eq!(changes(&mut a, "3"), ["4|4|U|1", "4|4|D|8"]);
}

/// "CHANGETABLE", SYS_CHANGE_COLUMNS; "CHANGE_TRACKING_IS_COLUMN_IN_MASK".
#[test]
fn updated_columns_are_in_a_mask_unless_all_are() {
    let engine = tracking(false);
    let mut a = connect(&engine);
    a.ok("CREATE TABLE t (a int NULL, id int NOT NULL PRIMARY KEY, b int NULL, twice AS b * 2)");
    a.ok("ALTER TABLE t ENABLE CHANGE_TRACKING WITH (TRACK_COLUMNS_UPDATED = ON); INSERT t VALUES (1, 1, 1)");
    let mask = |after: u64| {
        format!(
            "SELECT SYS_CHANGE_OPERATION, SYS_CHANGE_COLUMNS, \
            CHANGE_TRACKING_IS_COLUMN_IN_MASK(COLUMNPROPERTY(OBJECT_ID('t'), 'a', 'ColumnId'), SYS_CHANGE_COLUMNS), \
            CHANGE_TRACKING_IS_COLUMN_IN_MASK(COLUMNPROPERTY(OBJECT_ID('t'), 'b', 'ColumnId'), SYS_CHANGE_COLUMNS), \
            CHANGE_TRACKING_IS_COLUMN_IN_MASK(COLUMNPROPERTY(OBJECT_ID('t'), 'twice', 'ColumnId'), SYS_CHANGE_COLUMNS) \
            FROM CHANGETABLE(CHANGES t, {after}) AS ct"
        )
    };
    assert_eq!(a.one(&mask(0)), "I|NULL|1|1|1");
    a.ok("UPDATE t SET b = b");
    assert_eq!(a.one(&mask(1)), "U|0x0000000003000000|0|1|0");
    a.ok("UPDATE t SET a = 2");
    assert_eq!(a.one(&mask(1)), "U|0x000000000300000001000000|1|1|0");
    assert_eq!(a.one(&mask(2)), "U|0x0000000001000000|1|0|0");
    a.ok("UPDATE t SET a = 3, b = 3");
    assert_eq!(a.one(&mask(1)), "U|NULL|1|1|1");
    a.ok("DELETE t");
    assert_eq!(a.one(&mask(2)), "D|NULL|1|1|1");
    assert_eq!(
        a.error("SELECT CHANGE_TRACKING_IS_COLUMN_IN_MASK(1, 0x01)"),
        22101
    );
    // Nothing is recorded without the option.
    let (_engine, mut a) = with_table();
    a.ok("ALTER TABLE t ADD w int NULL");
    a.ok("INSERT t VALUES (1, 1, 1); UPDATE t SET v = 2");
    assert_eq!(
        a.one("SELECT SYS_CHANGE_COLUMNS FROM CHANGETABLE(CHANGES t, 1) AS ct"),
        "NULL"
    );
}

/// A rowversion changes with every update.
#[test]
fn a_rowversion_is_always_in_the_mask() {
    let engine = tracking(false);
    let mut a = connect(&engine);
    a.ok("CREATE TABLE t (id int NOT NULL PRIMARY KEY, v int NULL, w int NULL, rv rowversion)");
    a.ok("ALTER TABLE t ENABLE CHANGE_TRACKING WITH (TRACK_COLUMNS_UPDATED = ON)");
    a.ok("INSERT t (id, v) VALUES (1, 1); UPDATE t SET v = 2");
    assert_eq!(
        a.one("SELECT SYS_CHANGE_COLUMNS FROM CHANGETABLE(CHANGES t, 1) AS ct"),
        "0x000000000200000004000000"
    );
}

/// "WITH CHANGE_TRACKING_CONTEXT".
#[test]
fn a_context_is_the_last_statements() {
    let (_engine, mut a) = with_table();
    let contexts = |client: &mut Client, after: u64| {
        client.rows(&format!(
            "SELECT id, SYS_CHANGE_CONTEXT FROM CHANGETABLE(CHANGES t, {after}) AS ct ORDER BY id"
        ))
    };
    a.ok("WITH CHANGE_TRACKING_CONTEXT (0x0102) INSERT t VALUES (1, 1), (2, 2)");
    a.ok("DECLARE @c varbinary(128) = 0xAB; WITH CHANGE_TRACKING_CONTEXT (@c) UPDATE t SET v = 3 WHERE id = 1");
    assert_eq!(contexts(&mut a, 0), ["1|0xAB", "2|0x0102"]);
    a.ok("WITH CHANGE_TRACKING_CONTEXT (0xCD) DELETE t WHERE id = 2; UPDATE t SET v = 4 WHERE id = 1");
    assert_eq!(contexts(&mut a, 2), ["1|NULL", "2|0xCD"]);
    a.ok(
        "WITH CHANGE_TRACKING_CONTEXT (0xEF) MERGE t USING (VALUES (1), (5)) AS s (id) ON t.id = s.id WHEN MATCHED \
        THEN UPDATE SET v = 9 WHEN NOT MATCHED THEN INSERT (id) VALUES (s.id);",
    );
    assert_eq!(contexts(&mut a, 4), ["1|0xEF", "5|0xEF"]);
    // One transaction: the later statement's, which may be none.
    a.ok("BEGIN TRAN; WITH CHANGE_TRACKING_CONTEXT (0x01) UPDATE t SET v = 1 WHERE id = 1; UPDATE t SET v = 2 WHERE \
        id = 1; COMMIT");
    assert_eq!(contexts(&mut a, 5), ["1|NULL"]);
    for (written, number) in [
        ("NULL", 22109),
        ("'text'", 22109),
        ("12", 22109),
        ("0x01 + 0x02", 22109),
    ] {
        let sql = format!("WITH CHANGE_TRACKING_CONTEXT ({written}) UPDATE t SET v = 1");
        assert_eq!(a.error(&sql), number, "{written}");
    }
    let long =
        "DECLARE @c varbinary(129) = 0x01; WITH CHANGE_TRACKING_CONTEXT (@c) UPDATE t SET v = 1";
    assert_eq!(a.error(long), 22109);
    let null = "DECLARE @c varbinary(128); WITH CHANGE_TRACKING_CONTEXT (@c) UPDATE t SET v = 1";
    assert_eq!(a.error(null), 22109);
    assert_eq!(a.one("SELECT v FROM t WHERE id = 1"), "2");
}

/// "CHANGETABLE(VERSION ..)".
#[test]
fn a_row_is_asked_for_its_version() {
    let engine = tracking(false);
    let mut a = connect(&engine);
    a.ok("CREATE TABLE t (v int NULL, b varchar(5) NOT NULL, a int NOT NULL, PRIMARY KEY (a, b DESC))");
    a.ok("INSERT t VALUES (1, 'x', 1), (1, 'y', 1)");
    a.ok("ALTER TABLE t ENABLE CHANGE_TRACKING");
    a.ok("WITH CHANGE_TRACKING_CONTEXT (0x07) UPDATE t SET v = 2 WHERE b = 'x'");
    let of = |key: &str| format!("SELECT * FROM CHANGETABLE(VERSION t, (b, a), ({key})) AS ct");
    assert_eq!(a.rows(&of("'X', 1")), ["1|0x07|1|x"]);
    assert_eq!(a.rows(&of("'y', 1")), ["NULL|NULL|1|y"]);
    assert_eq!(a.rows(&of("'y', 2")), [] as [&str; 0]);
    assert_eq!(a.rows(&of("NULL, 1")), [] as [&str; 0]);
    let applied = "SELECT e.b, c.SYS_CHANGE_VERSION FROM t AS e CROSS APPLY CHANGETABLE(VERSION t, (a, b), (e.a, e.b)) \
        AS c ORDER BY e.b";
    assert_eq!(a.rows(applied), ["x|1", "y|NULL"]);
    // The conflict check of "Work with change tracking".
    let guarded = "DECLARE @last bigint = 0; UPDATE t SET v = 5 FROM t AS p WHERE @last >= ISNULL((SELECT \
        ct.SYS_CHANGE_VERSION FROM CHANGETABLE(VERSION t, (a, b), (p.a, p.b)) AS ct), 0)";
    a.ok(guarded);
    assert_eq!(a.rows("SELECT b, v FROM t ORDER BY b"), ["x|2", "y|5"]);
    for (written, number) in [
        ("(a), (1)", 22110),
        ("(a, v), (1, 1)", 22111),
        ("(a, a), (1, 1)", 22112),
        ("(a, b), (1)", 22103),
    ] {
        let sql = format!("SELECT * FROM CHANGETABLE(VERSION t, {written}) AS ct");
        assert_eq!(a.error(&sql), number, "{written}");
    }
}

/// Where CHANGETABLE stands in a query.
#[test]
fn changes_are_a_source_like_any_other() {
    let (_engine, mut a) = with_table();
    a.ok("INSERT t VALUES (1, 10), (2, 20), (3, 30); UPDATE t SET v = 11 WHERE id = 1; DELETE t WHERE id = 2");
    let joined = "SELECT ct.SYS_CHANGE_OPERATION, ct.id, p.v FROM CHANGETABLE(CHANGES dbo.t, 1) AS ct LEFT JOIN \
        dbo.t AS p ON p.id = ct.id ORDER BY ct.id";
    assert_eq!(a.rows(joined), ["U|1|11", "D|2|NULL"]);
    let right = "SELECT ct.id, p.v FROM t AS p RIGHT OUTER JOIN CHANGETABLE(CHANGES t, 1) ct ON p.id = ct.id \
        ORDER BY 1";
    assert_eq!(a.rows(right), ["1|11", "2|NULL"]);
    let named = "SELECT x.k, x.o FROM CHANGETABLE(CHANGES t, 1) AS x (ver, made, o, cols, ctx, k) WHERE x.ver > 2";
    assert_eq!(a.rows(named), ["2|D"]);
    let cte = "WITH c AS (SELECT id, SYS_CHANGE_OPERATION AS op FROM CHANGETABLE(CHANGES t, 1) AS ct) SELECT t.id, \
        c.op FROM t LEFT JOIN c ON c.id = t.id ORDER BY t.id";
    assert_eq!(a.rows(cte), ["1|U", "3|NULL"]);
    let semi = "SELECT id FROM t WHERE EXISTS (SELECT 1 FROM CHANGETABLE(CHANGES t, 1) AS ct WHERE ct.id = t.id)";
    assert_eq!(a.rows(semi), ["1"]);
    let counted = "SELECT COUNT(*), MAX(SYS_CHANGE_VERSION) FROM CHANGETABLE(CHANGES t, 0) AS ct WHERE \
        SYS_CHANGE_OPERATION <> N'D'";
    assert_eq!(a.one(counted), "2|2");
    a.ok("SELECT id, SYS_CHANGE_OPERATION AS op INTO copied FROM CHANGETABLE(CHANGES t, 1) AS ct");
    assert_eq!(
        a.rows("SELECT id, op FROM copied ORDER BY id"),
        ["1|U", "2|D"]
    );
    let from_elsewhere =
        "USE master; SELECT COUNT(*) FROM CHANGETABLE(CHANGES shop.dbo.t, 1) AS ct";
    assert_eq!(a.one(from_elsewhere), "2");
}

/// Errors 22104 to 22107, and names that are not there.
#[test]
fn only_tracked_tables_have_changes() {
    let (_engine, mut a) = with_table();
    a.ok("CREATE TABLE u (id int NOT NULL PRIMARY KEY)");
    a.ok("CREATE VIEW v AS SELECT id FROM dbo.t");
    for (written, number) in [
        ("u, 0) AS ct", 22105),
        ("nowhere, 0) AS ct", 208),
        ("v, 0) AS ct", 22107),
        ("sys.objects, 0) AS ct", 22107),
        ("t, 0)", 22104),
        ("elsewhere.shop.dbo.t, 0) AS ct", 22106),
        ("t, 1 + 1) AS ct", 102),
        ("t, (1)) AS ct", 102),
        ("t, ABS(1)) AS ct", 102),
    ] {
        let sql = format!("SELECT * FROM CHANGETABLE(CHANGES {written}");
        assert_eq!(a.error(&sql), number, "{written}");
    }
    assert_eq!(
        a.one("SELECT CHANGE_TRACKING_MIN_VALID_VERSION(OBJECT_ID('u'))"),
        "NULL"
    );
    assert_eq!(a.one("SELECT CHANGE_TRACKING_MIN_VALID_VERSION(1)"), "NULL");
    assert_eq!(
        a.one("SELECT CHANGE_TRACKING_MIN_VALID_VERSION(NULL)"),
        "NULL"
    );
    // Found when the batch is compiled: no TRY of it catches, and nothing of it runs.
    let batch = "BEGIN TRY INSERT u VALUES (1); SELECT * FROM CHANGETABLE(CHANGES u, 0) AS ct; END TRY BEGIN CATCH \
        SELECT 1; END CATCH";
    assert_eq!(a.error(batch), 22105);
    assert_eq!(a.one("SELECT COUNT(*) FROM u"), "0");
}

/// A database on a secondary replica.
#[test]
fn a_secondary_has_no_changes() {
    let (engine, mut a) = with_table();
    engine
        .set_replica("shop", crate::engine::Replica::Secondary)
        .unwrap();
    assert_eq!(
        a.error("SELECT * FROM CHANGETABLE(CHANGES t, 0) AS ct"),
        22117
    );
}
