//! What `sp_executesql`, `EXEC (...)` and triggers leave behind in their session, and what statements leave in
//! `@@ROWCOUNT`.

use super::{Client, Reply, connect, engine};
use crate::engine::types::string;
use crate::session::Param;
use crate::value::SqlType;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

const SETTINGS: &str = "SELECT s.transaction_isolation_level, @@LOCK_TIMEOUT, @@DATEFIRST, @@LANGUAGE, \
    CONVERT(char(8), CONVERT(datetime, '03-04-2024'), 112) FROM sys.dm_exec_sessions AS s WHERE s.session_id = @@SPID";

const SETS: &str = "SET TRANSACTION ISOLATION LEVEL SNAPSHOT; SET LOCK_TIMEOUT 70; SET DATEFIRST 1; \
    SET DATEFORMAT dmy; SET XACT_ABORT ON; SET IDENTITY_INSERT dbo.t ON; SET CONTEXT_INFO 0x07;";

/// `sp_executesql` as a client calls it.
fn call(client: &mut Client, sql: &str) -> Reply {
    let mut reply = Reply::default();
    let given = Param {
        name: "@p1".into(),
        ty: SqlType::NVarChar(Some(10)),
        value: string("x"),
        output: false,
    };
    let cancel = Arc::new(AtomicBool::new(false));
    let params = vec![given];
    client
        .0
        .execute_sql(sql, "@p1 nvarchar(10)", params, &cancel, &mut reply);
    reply
}

#[test]
fn what_a_module_sets_ends_with_it() {
    let engine = engine();
    let mut c = connect(&engine);
    c.ok("CREATE TABLE dbo.t (id int IDENTITY PRIMARY KEY, n int)");
    let before = c.one(SETTINGS);
    assert_eq!(before, "2|-1|7|us_english|20240304");
    let inside = format!("{SETS} {SETTINGS}");
    let literal = inside.replace('\'', "''");
    for module in [
        format!("EXEC (N'{literal}')"),
        format!("EXEC sp_executesql N'{literal}'"),
        format!(
            "EXEC sp_executesql N'EXEC (N''{}'')'",
            literal.replace('\'', "''")
        ),
    ] {
        let reply = c.ok(&module);
        let (columns, rows) = reply.sets.last().unwrap();
        assert_eq!(
            super::show_row(columns, &rows[0]),
            "5|70|1|us_english|20240403",
            "{module}"
        );
        assert_eq!(c.one(SETTINGS), before, "{module}");
    }
    let reply = call(&mut c, &inside);
    assert!(reply.errors.is_empty(), "{:?}", reply.errors);
    assert_eq!(c.one(SETTINGS), before);
    assert_eq!(c.error("INSERT dbo.t (id, n) VALUES (9, 9)"), 544);
    // XACT_ABORT is off again: the second statement runs after the first has failed.
    c.batch("INSERT dbo.t (id, n) VALUES (9, 9); INSERT dbo.t (n) VALUES (1)");
    assert_eq!(c.one("SELECT COUNT(*) FROM dbo.t"), "1");
    assert_eq!(
        c.one("SELECT CONVERT(varbinary(1), CONTEXT_INFO())"),
        "0x07"
    );
}

#[test]
fn a_module_that_fails_leaves_no_settings_either() {
    let engine = engine();
    let mut c = connect(&engine);
    c.ok("CREATE TABLE dbo.t (id int IDENTITY PRIMARY KEY, n int)");
    let before = c.one(SETTINGS);
    let caught = c.one(&format!(
        "BEGIN TRY EXEC (N'{SETS} THROW 50001, N''no'', 1;'); END TRY BEGIN CATCH SELECT ERROR_NUMBER(); END CATCH"
    ));
    assert_eq!(caught, "50001");
    assert_eq!(c.one(SETTINGS), before);
    let reply = call(&mut c, &format!("{SETS} THROW 50001, N'no', 1;"));
    assert_eq!(reply.errors[0].number, 50001);
    assert_eq!(c.one(SETTINGS), before);
}

#[test]
fn a_batch_keeps_what_it_sets() {
    let engine = engine();
    let mut c = connect(&engine);
    c.ok("SET TRANSACTION ISOLATION LEVEL SNAPSHOT; SET LOCK_TIMEOUT 70");
    assert_eq!(c.one(SETTINGS), "5|70|7|us_english|20240304");
}

#[test]
fn statements_of_no_rows_set_the_row_count_to_0() {
    let engine = engine();
    let mut c = connect(&engine);
    c.ok("CREATE TABLE t (id int PRIMARY KEY); INSERT t VALUES (1), (2), (3)");
    let changes = "UPDATE t SET id = id + 10";
    assert_eq!(c.one(&format!("{changes}; SELECT @@ROWCOUNT")), "3");
    for (between, expected) in [
        ("PRINT N'x'", "0"),
        ("BEGIN TRAN", "0"),
        ("BEGIN TRAN; UPDATE t SET id = id; COMMIT", "0"),
        ("SET NOCOUNT ON", "0"),
        ("SET LOCK_TIMEOUT -1", "0"),
        ("USE shop", "0"),
        ("RAISERROR('x', 10, 1)", "0"),
        ("IF 1 = 1 SET NOCOUNT OFF", "0"),
        ("DECLARE @a int", "3"),
        ("DECLARE @a int; SET @a = 5", "1"),
        ("EXEC (N'SELECT TOP (2) id FROM t')", "2"),
    ] {
        let shown = c.one(&format!("{changes}; {between}; SELECT @@ROWCOUNT"));
        assert_eq!(shown, expected, "{between}");
        c.ok("WHILE @@TRANCOUNT > 0 ROLLBACK; SET NOCOUNT OFF");
    }
    assert_eq!(
        c.one(&format!(
            "{changes}; IF @@ROWCOUNT = 3 SELECT @@ROWCOUNT ELSE SELECT 9"
        )),
        "0"
    );
}

#[test]
fn a_trigger_begins_with_the_row_count_of_its_statement() {
    let engine = engine();
    let mut c = connect(&engine);
    c.ok("CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE q (n int)");
    c.ok(
        "CREATE TRIGGER tr ON t AFTER INSERT, UPDATE, DELETE AS BEGIN
          DECLARE @n int = @@ROWCOUNT; INSERT q VALUES (@n); END",
    );
    c.ok("INSERT t VALUES (1), (2); UPDATE t SET id = 7 WHERE id = 2; DELETE FROM t WHERE id = 5");
    assert_eq!(c.rows("SELECT n FROM q ORDER BY n DESC"), ["2", "1", "0"]);
    assert_eq!(c.one("UPDATE t SET id = id + 20; SELECT @@ROWCOUNT"), "2");
}

#[test]
fn a_snapshot_transaction_changes_no_definition() {
    let engine = engine();
    let mut c = connect(&engine);
    c.ok("CREATE TABLE t (id int PRIMARY KEY, n int); CREATE INDEX ix ON t (n)");
    for change in [
        "ALTER TABLE t ADD m int",
        "CREATE INDEX iy ON t (n)",
        "ALTER INDEX ix ON t REBUILD",
        "DROP INDEX ix ON t",
    ] {
        let text = format!("SET TRANSACTION ISOLATION LEVEL SNAPSHOT; BEGIN TRAN; {change}");
        assert_eq!(c.error(&text), 3964, "{change}");
        c.ok("IF @@TRANCOUNT > 0 ROLLBACK");
        c.ok(&format!(
            "SET TRANSACTION ISOLATION LEVEL SNAPSHOT; {change}"
        ));
    }
}
