//! What change data capture makes of changes.

use super::{Client, connect, engine};
use crate::engine::Engine;
use std::sync::Arc;

/// An enabled database with its capture job stopped: tests scan.
pub fn enabled() -> (Arc<Engine>, Client) {
    let engine = engine();
    let mut c = connect(&engine);
    c.ok("EXEC sys.sp_cdc_enable_db");
    (engine, c)
}

pub fn enable(c: &mut Client, table: &str, more: &str) {
    c.ok(&format!(
        "EXEC sys.sp_cdc_enable_table @source_schema = N'dbo', @source_name = N'{table}', @role_name = NULL{more}"
    ));
}

/// The change table's rows, in the order of the log: operation, mask, captured columns.
pub fn changes(engine: &Arc<Engine>, c: &mut Client, instance: &str, columns: &str) -> Vec<String> {
    engine.capture_now("shop").unwrap();
    c.rows(&format!(
        "SELECT __$operation, __$update_mask, {columns} FROM cdc.{instance}_CT ORDER BY __$start_lsn, __$command_id, \
            __$seqval, __$operation"
    ))
}

#[test]
fn each_change_has_its_operation_mask_and_images() {
    let (engine, mut c) = enabled();
    c.ok("CREATE TABLE t (id int NOT NULL PRIMARY KEY, a int NULL, b nvarchar(10) NULL)");
    c.ok("INSERT t VALUES (9, 9, N'before')");
    enable(&mut c, "t", "");
    c.ok("INSERT t VALUES (1, 10, N'x'), (2, 20, NULL)");
    c.ok("UPDATE t SET a = a + 1 WHERE id < 3");
    c.ok("UPDATE t SET a = 5, b = N'y' WHERE id = 9; DELETE FROM t WHERE id = 2");
    assert_eq!(
        changes(&engine, &mut c, "dbo_t", "id, a, b"),
        [
            "2|0x07|1|10|x",
            "2|0x07|2|20|NULL",
            "3|0x02|1|10|x",
            "4|0x02|1|11|x",
            "3|0x02|2|20|NULL",
            "4|0x02|2|21|NULL",
            "3|0x06|9|9|before",
            "4|0x06|9|5|y",
            "1|0x07|2|21|NULL",
        ]
    );
}

#[test]
fn a_transaction_has_one_lsn_and_the_order_of_commits_is_that_of_lsns() {
    let (engine, mut a) = enabled();
    let mut b = connect(&engine);
    a.ok("CREATE TABLE t (id int NOT NULL PRIMARY KEY, v int NULL)");
    enable(&mut a, "t", "");
    a.ok("BEGIN TRAN; INSERT t VALUES (1, 1)");
    b.ok("INSERT t VALUES (2, 2)");
    a.ok("INSERT t VALUES (3, 3); UPDATE t SET v = 4 WHERE id = 3; COMMIT");
    engine.capture_now("shop").unwrap();
    // The first writer commits last. Its own order within the transaction is kept.
    assert_eq!(
        a.rows(
            "SELECT DENSE_RANK() OVER (ORDER BY __$start_lsn), __$operation, id, v, __$command_id FROM cdc.dbo_t_CT \
                ORDER BY __$start_lsn, __$seqval, __$operation"
        ),
        [
            "1|2|2|2|1",
            "2|2|1|1|1",
            "2|2|3|3|2",
            "2|3|3|3|3",
            "2|4|3|4|3"
        ]
    );
    // The commit's LSN is above those of the transaction's changes, and the images of an update share one.
    let shared = "SELECT COUNT(*), COUNT(DISTINCT __$seqval), SUM(CASE WHEN __$seqval < __$start_lsn THEN 1 ELSE 0 \
        END), COUNT(__$end_lsn) FROM cdc.dbo_t_CT";
    assert_eq!(a.one(shared), "5|4|5|0");
    assert_eq!(
        a.one("SELECT COUNT(*) FROM cdc.lsn_time_mapping AS m JOIN (SELECT DISTINCT __$start_lsn AS lsn FROM \
            cdc.dbo_t_CT) AS c ON c.lsn = m.start_lsn WHERE m.tran_begin_time <= m.tran_end_time"),
        "2"
    );
}

#[test]
fn what_is_rolled_back_leaves_nothing() {
    let (engine, mut c) = enabled();
    c.ok("CREATE TABLE t (id int NOT NULL PRIMARY KEY)");
    enable(&mut c, "t", "");
    c.ok("BEGIN TRAN; INSERT t VALUES (1); SAVE TRAN s; INSERT t VALUES (2); ROLLBACK TRAN s; INSERT t VALUES (3); \
        COMMIT");
    c.ok("BEGIN TRAN; INSERT t VALUES (4); ROLLBACK");
    assert_eq!(c.error("INSERT t VALUES (5), (1)"), 2627);
    c.ok("BEGIN TRAN; INSERT t VALUES (6)");
    c.batch("INSERT t VALUES (7), (1)");
    c.ok("COMMIT");
    assert_eq!(
        changes(&engine, &mut c, "dbo_t", "id"),
        ["2|0x01|1", "2|0x01|3", "2|0x01|6"]
    );
}

#[test]
fn an_update_of_a_unique_key_is_deletes_and_inserts_in_the_order_of_the_keys() {
    let (engine, mut c) = enabled();
    c.ok("CREATE TABLE t (id int NOT NULL PRIMARY KEY, u int NOT NULL UNIQUE, v int NULL)");
    c.ok("INSERT t VALUES (1, 10, 1), (2, 20, 2), (3, 30, 3)");
    enable(&mut c, "t", "");
    c.ok("UPDATE t SET id = id + 1 WHERE id > 1");
    // A key is left before another row takes it, so that who applies the changes in order loses no row.
    assert_eq!(
        changes(&engine, &mut c, "dbo_t", "id, u, v"),
        [
            "1|0x07|2|20|2",
            "1|0x07|3|30|3",
            "2|0x07|3|20|2",
            "2|0x07|4|30|3"
        ]
    );
    c.ok("DELETE FROM cdc.dbo_t_CT");
    c.ok("UPDATE t SET u = 11 WHERE id = 1");
    assert_eq!(
        changes(&engine, &mut c, "dbo_t", "id, u, v"),
        ["1|0x07|1|10|1", "2|0x07|1|11|1"]
    );
    c.ok("DELETE FROM cdc.dbo_t_CT");
    // A key that is set to what it was is no change of it.
    c.ok("UPDATE t SET id = id, v = 7 WHERE id = 1");
    assert_eq!(
        changes(&engine, &mut c, "dbo_t", "id, u, v"),
        ["3|0x04|1|11|1", "4|0x04|1|11|7"]
    );
}

#[test]
fn an_update_that_changes_no_captured_column_is_not_captured() {
    let (engine, mut c) = enabled();
    c.ok("CREATE TABLE t (id int NOT NULL PRIMARY KEY, a int NULL, b int NULL); INSERT t VALUES (1, 1, 1)");
    enable(&mut c, "t", ", @captured_column_list = N'[id], a'");
    c.ok("UPDATE t SET a = a; UPDATE t SET b = 2");
    assert_eq!(changes(&engine, &mut c, "dbo_t", "id, a"), [] as [&str; 0]);
    c.ok("UPDATE t SET a = 3, b = 3");
    assert_eq!(
        changes(&engine, &mut c, "dbo_t", "id, a"),
        ["3|0x02|1|1", "4|0x02|1|3"]
    );
    assert_eq!(c.error("SELECT b FROM cdc.dbo_t_CT"), 207);
}

#[test]
fn large_objects_are_null_where_the_log_does_not_have_them() {
    let (engine, mut c) = enabled();
    c.ok(
        "CREATE TABLE t (id int NOT NULL PRIMARY KEY, v int NULL, m varchar(max) NULL, x xml NULL, o text NULL, \
            c AS (v * 2), rv rowversion)",
    );
    enable(&mut c, "t", "");
    c.ok("INSERT t (id, v, m, x, o) VALUES (1, 1, 'm', '<a/>', 'o')");
    c.ok("UPDATE t SET v = 2");
    c.ok("UPDATE t SET m = 'n', o = 'p'");
    c.ok("DELETE FROM t");
    let columns = "v, m, CAST(x AS nvarchar(20)), CAST(o AS varchar(10)), c, CASE WHEN rv IS NULL THEN 0 ELSE 1 END";
    assert_eq!(
        changes(&engine, &mut c, "dbo_t", columns),
        [
            "2|0x7F|1|m|<a/>|o|NULL|1",
            "3|0x42|1|NULL|NULL|NULL|NULL|1",
            "4|0x42|2|NULL|NULL|NULL|NULL|1",
            "3|0x54|2|m|NULL|NULL|NULL|1",
            "4|0x54|2|n|NULL|p|NULL|1",
            "1|0x7F|2|n|<a/>|NULL|NULL|1",
        ]
    );
    assert_eq!(
        c.one("SELECT CONCAT(TYPE_NAME(system_type_id), '(', max_length, ')') FROM sys.columns WHERE object_id = \
            OBJECT_ID('cdc.dbo_t_CT') AND name = 'rv'"),
        "binary(8)"
    );
}

#[test]
fn merges_bulk_loads_and_cascades_are_captured() {
    let (engine, mut c) = enabled();
    c.ok("CREATE TABLE p (id int NOT NULL PRIMARY KEY, v int NULL)");
    c.ok("CREATE TABLE k (id int NOT NULL PRIMARY KEY, p int NULL REFERENCES p (id) ON DELETE CASCADE ON UPDATE \
        CASCADE)");
    c.ok("INSERT p VALUES (1, 1), (2, 2), (3, 3); INSERT k VALUES (10, 1), (20, 2), (30, 3)");
    enable(&mut c, "p", "");
    enable(&mut c, "k", "");
    c.ok("MERGE p AS t USING (VALUES (2, 22), (4, 44)) AS s (id, v) ON s.id = t.id WHEN MATCHED THEN UPDATE SET v = \
        s.v WHEN NOT MATCHED THEN INSERT (id, v) VALUES (s.id, s.v) WHEN NOT MATCHED BY SOURCE AND t.id = 1 THEN \
        DELETE;");
    assert_eq!(
        changes(&engine, &mut c, "dbo_p", "id, v"),
        ["1|0x03|1|1", "3|0x02|2|2", "4|0x02|2|22", "2|0x03|4|44"]
    );
    assert_eq!(changes(&engine, &mut c, "dbo_k", "id, p"), ["1|0x03|10|1"]);
    c.ok("DELETE FROM cdc.dbo_k_CT; UPDATE p SET id = 5 WHERE id = 2");
    assert_eq!(
        changes(&engine, &mut c, "dbo_k", "id, p"),
        ["3|0x02|20|2", "4|0x02|20|5"]
    );
}

#[test]
fn all_changes_are_those_within_the_bounds() {
    let (engine, mut c) = enabled();
    c.ok("CREATE TABLE t (id int NOT NULL PRIMARY KEY, v int NULL)");
    enable(&mut c, "t", "");
    engine.capture_now("shop").unwrap();
    c.ok("INSERT t VALUES (1, 1)");
    c.ok("UPDATE t SET v = 2");
    c.ok("DELETE FROM t");
    engine.capture_now("shop").unwrap();
    let call = |from: &str, to: &str, option: &str| {
        format!(
            "DECLARE @min binary(10) = sys.fn_cdc_get_min_lsn('dbo_t'), @max binary(10) = sys.fn_cdc_get_max_lsn(); \
                SELECT __$operation, __$update_mask, id, v FROM cdc.fn_cdc_get_all_changes_dbo_t({from}, {to}, \
                N'{option}') ORDER BY __$start_lsn, __$seqval, __$operation"
        )
    };
    let all = ["2|0x03|1|1", "4|0x02|1|2", "1|0x03|1|2"];
    assert_eq!(c.rows(&call("@min", "@max", "all")), all);
    assert_eq!(c.rows(&call("@min", "@max", " ALL ")), all);
    assert_eq!(
        c.rows(&call("@min", "@max", "all update old")),
        ["2|0x03|1|1", "3|0x02|1|1", "4|0x02|1|2", "1|0x03|1|2"]
    );
    assert_eq!(c.rows(&call("@max", "@max", "all")), ["1|0x03|1|2"]);
    for (from, to, option) in [
        ("sys.fn_cdc_decrement_lsn(@min)", "@max", "all"),
        ("@min", "sys.fn_cdc_increment_lsn(@max)", "all"),
        ("@max", "@min", "all"),
        ("NULL", "@max", "all"),
        ("@min", "NULL", "all"),
        ("@min", "@max", "all with mask"),
    ] {
        let reply = c.batch(&call(from, to, option));
        assert_eq!(reply.errors[0].number, 313, "{from} {to} {option}");
    }
    let star =
        c.ok(&call("@min", "@max", "all").replace("__$operation, __$update_mask, id, v", "*"));
    let names: Vec<&str> = star.sets[0].0.iter().map(|column| &*column.name).collect();
    assert_eq!(
        names,
        [
            "__$start_lsn",
            "__$seqval",
            "__$operation",
            "__$update_mask",
            "id",
            "v"
        ]
    );
    assert_eq!(
        c.error("SELECT * FROM cdc.fn_cdc_get_all_changes_dbo_t(0x01, 0x02)"),
        313
    );
    assert_eq!(
        c.error("SELECT * FROM cdc.fn_cdc_get_all_changes_dbo_u(0x01, 0x02, 'all')"),
        208
    );
}

#[test]
fn net_changes_are_one_row_for_each_key() {
    let (engine, mut c) = enabled();
    c.ok("CREATE TABLE t (id int NOT NULL PRIMARY KEY, v int NULL, w int NULL)");
    c.ok("INSERT t VALUES (1, 1, 1), (2, 2, 2), (3, 3, 3), (6, 6, 6)");
    enable(&mut c, "t", "");
    engine.capture_now("shop").unwrap();
    c.ok("UPDATE t SET v = 10 WHERE id = 1; UPDATE t SET w = 10 WHERE id = 1");
    c.ok("DELETE FROM t WHERE id = 2");
    c.ok("INSERT t VALUES (4, 4, 4); UPDATE t SET v = 44 WHERE id = 4");
    c.ok("INSERT t VALUES (5, 5, 5); DELETE FROM t WHERE id = 5");
    c.ok("DELETE FROM t WHERE id = 3; INSERT t VALUES (3, 33, 3)");
    c.ok("UPDATE t SET id = 7 WHERE id = 6");
    engine.capture_now("shop").unwrap();
    let mut net = |option: &str| {
        c.rows(&format!(
            "DECLARE @min binary(10) = sys.fn_cdc_get_min_lsn('dbo_t'), @max binary(10) = sys.fn_cdc_get_max_lsn(); \
                SELECT __$operation, __$update_mask, id, v, w FROM cdc.fn_cdc_get_net_changes_dbo_t(@min, @max, \
                '{option}') ORDER BY id"
        ))
    };
    assert_eq!(
        net("all"),
        [
            "4|NULL|1|10|10",
            "1|NULL|2|2|2",
            "4|NULL|3|33|3",
            "2|NULL|4|44|4",
            "1|NULL|6|6|6",
            "2|NULL|7|6|6"
        ]
    );
    assert_eq!(
        net("all with mask"),
        [
            "4|0x06|1|10|10",
            "1|NULL|2|2|2",
            "4|0x07|3|33|3",
            "2|NULL|4|44|4",
            "1|NULL|6|6|6",
            "2|NULL|7|6|6"
        ]
    );
    assert_eq!(
        net("all with merge"),
        [
            "5|NULL|1|10|10",
            "1|NULL|2|2|2",
            "5|NULL|3|33|3",
            "5|NULL|4|44|4",
            "1|NULL|6|6|6",
            "5|NULL|7|6|6"
        ]
    );
}

#[test]
fn a_table_without_a_key_has_no_net_changes() {
    let (engine, mut c) = enabled();
    c.ok("CREATE TABLE t (v int NULL); CREATE TABLE u (a int NOT NULL, b int NOT NULL, INDEX ux UNIQUE (b))");
    enable(&mut c, "t", "");
    enable(&mut c, "u", ", @index_name = N'ux'");
    engine.capture_now("shop").unwrap();
    let bounds = "DECLARE @f binary(10) = sys.fn_cdc_get_min_lsn('dbo_u'), @t binary(10) = sys.fn_cdc_get_max_lsn();";
    c.ok(&format!(
        "{bounds} SELECT * FROM cdc.fn_cdc_get_net_changes_dbo_u(@f, @t, 'all')"
    ));
    assert_eq!(
        c.error(&format!(
            "{bounds} SELECT * FROM cdc.fn_cdc_get_net_changes_dbo_t(@f, @t, 'all')"
        )),
        208
    );
    assert_eq!(
        c.rows("SELECT capture_instance, supports_net_changes, index_name FROM cdc.change_tables ORDER BY 1"),
        ["dbo_t|0|NULL", "dbo_u|1|ux"]
    );
}
