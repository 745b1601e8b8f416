//! Enabling, disabling, permissions, and changes of a source's definition.

use super::capture::{changes, enable, enabled};
use super::{Client, connect, engine};
use crate::engine::Engine;
use crate::session::{Login, Server};
use std::sync::Arc;

fn connect_as(engine: &Arc<Engine>, user: &str) -> Client {
    let login = Login {
        user,
        password: "pw",
        database: "shop",
        app_name: "test",
        host_name: "here",
        read_only: false,
        odbc: true,
    };
    Client(engine.login(login).unwrap())
}

const ENABLED: &str = "SELECT is_cdc_enabled FROM sys.databases WHERE name = DB_NAME()";
const TRACKED: &str = "SELECT name, is_tracked_by_cdc, is_ms_shipped FROM sys.tables ORDER BY name";

#[test]
fn the_catalog_tells_what_is_enabled() {
    let engine = engine();
    let mut c = connect(&engine);
    c.ok("CREATE TABLE t (id int NOT NULL PRIMARY KEY)");
    let enable_t = "EXEC sys.sp_cdc_enable_table N'dbo', N't', @role_name = NULL";
    assert_eq!(c.error(enable_t), 22901);
    assert_eq!(c.one(ENABLED), "0");
    assert_eq!(c.error("SELECT * FROM cdc.change_tables"), 208);
    assert_eq!(c.error("USE master; EXEC sys.sp_cdc_enable_db"), 22989);
    c.ok("USE shop; EXEC sys.sp_cdc_enable_db");
    let again = c.ok("EXEC sys.sp_cdc_enable_db");
    assert!(
        again.infos[0].contains("already enabled"),
        "{again:?}",
        again = again.infos
    );
    assert_eq!(
        c.error("EXEC sys.sp_cdc_help_change_data_capture @source_name = N't'"),
        22972
    );
    assert_eq!(c.error("EXEC sys.sp_cdc_start_job"), 22997);
    assert_eq!(c.one(ENABLED), "1");
    let reply = c.ok(enable_t);
    assert_eq!(reply.infos.len(), 2, "{:?}", reply.infos);
    assert_eq!(
        c.rows(TRACKED),
        [
            "captured_columns|0|1",
            "change_tables|0|1",
            "dbo_t_CT|0|1",
            "ddl_history|0|1",
            "index_columns|0|1",
            "lsn_time_mapping|0|1",
            "t|1|0"
        ]
    );
    assert_eq!(
        c.rows("SELECT name FROM sys.columns WHERE object_id = OBJECT_ID('cdc.dbo_t_CT') ORDER BY column_id"),
        [
            "__$start_lsn",
            "__$end_lsn",
            "__$seqval",
            "__$operation",
            "__$update_mask",
            "id",
            "__$command_id"
        ]
    );
    let help = c.rows(
        "EXEC sys.sp_cdc_help_change_data_capture @source_schema = N'dbo', @source_name = N't'",
    );
    assert_eq!(help.len(), 1);
    assert!(help[0].starts_with("dbo|t|dbo_t|"), "{help:?}");
    assert!(help[0].ends_with("|[id]|[id]"), "{help:?}");
    c.ok("EXEC sys.sp_cdc_disable_db");
    assert_eq!(c.one(ENABLED), "0");
    assert_eq!(c.rows(TRACKED), ["t|0|0"]);
    assert_eq!(
        c.one("SELECT COUNT(*) FROM sys.schemas WHERE name = 'cdc'"),
        "0"
    );
    c.ok("CREATE SCHEMA cdc");
    assert_eq!(c.error("EXEC sys.sp_cdc_enable_db"), 22906);
}

#[test]
fn a_table_has_two_capture_instances_of_different_names() {
    let (_, mut c) = enabled();
    c.ok("CREATE TABLE t (id int NOT NULL PRIMARY KEY, v int NULL, UNIQUE (v)); CREATE TABLE heap (v int NULL, INDEX \
        ix (v))");
    enable(&mut c, "t", "");
    let mut number = |more: &str| {
        c.error(&format!(
            "EXEC sys.sp_cdc_enable_table @source_schema = N'dbo', @role_name = NULL{more}"
        ))
    };
    assert_eq!(number(", @source_name = N't'"), 22926);
    assert_eq!(number(", @source_name = N'nowhere'"), 22931);
    let long = "x".repeat(101);
    assert_eq!(
        number(&format!(
            ", @source_name = N't', @capture_instance = N'{long}'"
        )),
        22927
    );
    assert_eq!(
        number(", @source_name = N'heap', @supports_net_changes = 1"),
        22939
    );
    assert_eq!(
        number(", @source_name = N'heap', @index_name = N'ix'"),
        22929
    );
    assert_eq!(
        number(", @source_name = N't', @capture_instance = N'b', @captured_column_list = N'v'"),
        22943
    );
    assert_eq!(
        number(", @source_name = N't', @capture_instance = N'b', @captured_column_list = N'id, w'"),
        22930
    );
    assert_eq!(
        number(", @source_name = N't', @index_name = N'nowhere', @capture_instance = N'b'"),
        22928
    );
    assert_eq!(
        number(
            ", @source_name = N't', @capture_instance = N'b', @captured_column_list = N'[id], [v'"
        ),
        22965
    );
    assert_eq!(
        number(", @source_name = N't', @capture_instance = N'b', @filegroup_name = N'cold'"),
        22973
    );
    assert_eq!(
        c.error("EXEC sys.sp_cdc_enable_table @source_schema = N'dbo', @source_name = N'heap'"),
        201
    );
    assert_eq!(
        c.error("EXEC sys.sp_cdc_enable_table @source_schema = N'dbo', @source_name = N'heap', @role_name = N''"),
        22907
    );
    enable(&mut c, "t", ", @capture_instance = N'two  '");
    assert_eq!(
        c.error("EXEC sys.sp_cdc_enable_table N'dbo', N't', N'three', @role_name = NULL"),
        22962
    );
    assert_eq!(
        c.rows("SELECT capture_instance FROM cdc.change_tables ORDER BY 1"),
        ["dbo_t", "two"]
    );
    let disable = |table: &str, instance: &str| {
        format!(
            "EXEC sys.sp_cdc_disable_table @source_schema = N'dbo', @source_name = N'{table}', @capture_instance = \
            N'{instance}'"
        )
    };
    assert_eq!(c.error(&disable("heap", "all")), 22985);
    assert_eq!(c.error(&disable("t", "three")), 22960);
    c.ok(&disable("t", "dbo_t"));
    assert_eq!(
        c.rows("SELECT capture_instance FROM cdc.change_tables"),
        ["two"]
    );
    assert_eq!(c.error("SELECT * FROM cdc.dbo_t_CT"), 208);
    c.ok(&disable("t", "all"));
    assert_eq!(
        c.one("SELECT (SELECT COUNT(*) FROM cdc.captured_columns) + (SELECT COUNT(*) FROM cdc.index_columns)"),
        "0"
    );
}

#[test]
fn enabling_is_part_of_the_transaction() {
    let (engine, mut c) = enabled();
    c.ok("CREATE TABLE t (id int NOT NULL PRIMARY KEY)");
    c.ok("BEGIN TRAN; EXEC sys.sp_cdc_enable_table N'dbo', N't', @role_name = NULL; INSERT t VALUES (1); ROLLBACK");
    assert_eq!(
        c.one("SELECT is_tracked_by_cdc, (SELECT COUNT(*) FROM cdc.change_tables) FROM sys.tables WHERE name = 't'"),
        "0|0"
    );
    c.ok("INSERT t VALUES (2)");
    enable(&mut c, "t", "");
    c.ok("INSERT t VALUES (3); BEGIN TRAN; EXEC sys.sp_cdc_disable_table N'dbo', N't', N'all'; ROLLBACK");
    c.ok("INSERT t VALUES (4)");
    assert_eq!(
        changes(&engine, &mut c, "dbo_t", "id"),
        ["2|0x01|3", "2|0x01|4"]
    );
}

#[test]
fn a_table_that_is_enabled_again_has_only_what_comes_after() {
    let (engine, mut c) = enabled();
    c.ok("CREATE TABLE t (id int NOT NULL PRIMARY KEY)");
    enable(&mut c, "t", "");
    c.ok("EXEC sys.sp_cdc_stop_job; INSERT t VALUES (1)");
    c.ok("EXEC sys.sp_cdc_disable_table N'dbo', N't', N'dbo_t'; INSERT t VALUES (2)");
    enable(&mut c, "t", "");
    c.ok("INSERT t VALUES (3)");
    assert_eq!(changes(&engine, &mut c, "dbo_t", "id"), ["2|0x01|3"]);
    let end = c.one("SELECT sys.fn_cdc_get_max_lsn()");
    c.ok("EXEC sys.sp_cdc_disable_db; EXEC sys.sp_cdc_enable_db");
    assert_eq!(c.one("SELECT sys.fn_cdc_get_max_lsn()"), "NULL");
    enable(&mut c, "t", "");
    engine.capture_now("shop").unwrap();
    assert!(c.one("SELECT sys.fn_cdc_get_min_lsn('dbo_t')") > end);
}

#[test]
fn instances_keep_their_shape_when_the_source_changes() {
    let (engine, mut c) = enabled();
    c.ok("CREATE TABLE t (id int NOT NULL PRIMARY KEY, a int NULL, b varchar(5) NULL)");
    enable(&mut c, "t", "");
    c.ok("INSERT t VALUES (1, 1, 'x')");
    c.ok("ALTER TABLE t ADD c int NULL");
    enable(&mut c, "t", ", @capture_instance = N'two'");
    c.ok("INSERT t VALUES (2, 2, 'y', 2)");
    c.ok("ALTER TABLE t DROP COLUMN a");
    c.ok("INSERT t VALUES (3, 'z', 3)");
    c.ok("ALTER TABLE dbo.t ALTER COLUMN b varchar(20) NULL");
    c.ok("INSERT t VALUES (4, 'longer than 5', 4)");
    assert_eq!(
        changes(&engine, &mut c, "dbo_t", "id, a, b"),
        [
            "2|0x07|1|1|x",
            "2|0x07|2|2|y",
            "2|0x07|3|NULL|z",
            "2|0x07|4|NULL|longer than 5"
        ]
    );
    assert_eq!(
        changes(&engine, &mut c, "two", "id, a, b, c"),
        [
            "2|0x0F|2|2|y|2",
            "2|0x0F|3|NULL|z|3",
            "2|0x0F|4|NULL|longer than 5|4"
        ]
    );
    assert_eq!(
        c.rows("SELECT t.capture_instance, h.required_column_update, h.ddl_command FROM cdc.ddl_history AS h JOIN \
            cdc.change_tables AS t ON t.object_id = h.object_id WHERE h.source_object_id = OBJECT_ID('t') AND \
            h.ddl_time \
            IS NOT NULL ORDER BY h.ddl_lsn, 1"),
        [
            "dbo_t|0|ALTER TABLE t ADD c int NULL",
            "two|0|ALTER TABLE t ADD c int NULL",
            "dbo_t|0|ALTER TABLE t DROP COLUMN a",
            "two|0|ALTER TABLE t DROP COLUMN a",
            "dbo_t|1|ALTER TABLE dbo.t ALTER COLUMN b varchar(20) NULL",
            "two|1|ALTER TABLE dbo.t ALTER COLUMN b varchar(20) NULL"
        ]
    );
    c.ok("BEGIN TRAN; ALTER TABLE t ADD d int NULL; ROLLBACK");
    engine.capture_now("shop").unwrap();
    assert_eq!(c.one("SELECT COUNT(*) FROM cdc.ddl_history"), "6");
}

#[test]
fn a_captured_table_refuses_what_the_log_cannot_tell() {
    let (_, mut c) = enabled();
    c.ok("CREATE TABLE t (id int NOT NULL CONSTRAINT pk PRIMARY KEY, a int NOT NULL, INDEX ux UNIQUE (a))");
    c.ok("CREATE TABLE k (id int NOT NULL CONSTRAINT pk_k PRIMARY KEY)");
    enable(&mut c, "k", "");
    enable(&mut c, "t", ", @index_name = N'ux'");
    assert_eq!(c.error("TRUNCATE TABLE t"), 4711);
    assert_eq!(c.error("DROP INDEX ux ON t"), 22983);
    assert_eq!(c.error("ALTER TABLE k DROP CONSTRAINT pk_k"), 22979);
    assert_eq!(c.error("EXEC sp_rename 'dbo.t.a', 'b', 'COLUMN'"), 4928);
    c.ok("DROP TABLE t");
    assert_eq!(
        c.one("SELECT COUNT(*), OBJECT_ID('cdc.dbo_t_CT') FROM cdc.change_tables"),
        "1|NULL"
    );
    c.ok("CREATE TABLE r (id int NOT NULL PRIMARY KEY, [__$seqval] int NULL)");
    assert_eq!(
        c.error("EXEC sys.sp_cdc_enable_table N'dbo', N'r', @role_name = NULL"),
        22975
    );
    enable(&mut c, "r", ", @captured_column_list = N'id'");
    assert_eq!(
        c.error("EXEC sys.sp_cdc_enable_table N'cdc', N'dbo_r_CT', @role_name = NULL"),
        22974
    );
}

#[test]
fn readers_need_the_source_and_the_role() {
    let (engine, mut c) = enabled();
    c.ok("CREATE TABLE t (id int NOT NULL PRIMARY KEY)");
    c.ok("EXEC sys.sp_cdc_enable_table N'dbo', N't', @role_name = N'gate'");
    c.ok("INSERT t VALUES (1)");
    engine.capture_now("shop").unwrap();
    c.ok("CREATE LOGIN reader WITH PASSWORD = 'pw'; CREATE USER reader FOR LOGIN reader");
    let mut reader = connect_as(&engine, "reader");
    let read = "DECLARE @f binary(10) = (SELECT MIN(start_lsn) FROM cdc.lsn_time_mapping), @t binary(10) = \
        sys.fn_cdc_get_max_lsn(); SELECT id FROM cdc.fn_cdc_get_all_changes_dbo_t(@f, @t, 'all')";
    let min = "SELECT sys.fn_cdc_get_min_lsn('dbo_t')";
    c.ok("GRANT SELECT ON cdc.lsn_time_mapping TO reader");
    assert_eq!(reader.error(read), 229);
    assert_eq!(reader.one(min), "0x00000000000000000000");
    c.ok("ALTER ROLE gate ADD MEMBER reader");
    assert_eq!(reader.error(read), 229);
    assert_eq!(
        reader.rows("EXEC sys.sp_cdc_help_change_data_capture"),
        [] as [&str; 0]
    );
    c.ok("GRANT SELECT ON dbo.t TO reader");
    assert_eq!(reader.rows(read), ["1"]);
    assert_eq!(
        reader
            .rows("EXEC sys.sp_cdc_help_change_data_capture")
            .len(),
        1
    );
    assert_ne!(reader.one(min), "0x00000000000000000000");
    // The change table is a table like others.
    assert_eq!(reader.error("SELECT * FROM cdc.dbo_t_CT"), 229);
    assert_eq!(reader.error("EXEC sys.sp_cdc_stop_job"), 22904);
    assert_eq!(
        reader.error("EXEC sys.sp_cdc_enable_table N'dbo', N't', @role_name = NULL"),
        22904
    );
    assert_eq!(reader.error("EXEC sys.sp_cdc_disable_db"), 22902);
    c.ok("ALTER ROLE gate DROP MEMBER reader");
    assert_eq!(reader.error(read), 229);
}

#[test]
fn an_identity_is_captured_as_int_or_bigint() {
    let (engine, mut c) = enabled();
    c.ok("CREATE TABLE t (id smallint IDENTITY PRIMARY KEY, v int); CREATE TABLE u (id decimal(12, 0) IDENTITY PRIMARY \
        KEY, v int)");
    enable(&mut c, "t", "");
    enable(&mut c, "u", "");
    c.ok("INSERT t (v) VALUES (1); INSERT u (v) VALUES (1)");
    assert_eq!(changes(&engine, &mut c, "dbo_t", "id, v"), ["2|0x03|1|1"]);
    assert_eq!(changes(&engine, &mut c, "dbo_u", "id, v"), ["2|0x03|1|1"]);
    assert_eq!(
        c.rows("SELECT TYPE_NAME(system_type_id), is_identity FROM sys.columns WHERE name = 'id' AND object_id IN \
            (OBJECT_ID('cdc.dbo_t_CT'), OBJECT_ID('cdc.dbo_u_CT')) ORDER BY 1"),
        ["bigint|0", "int|0"]
    );
}
