use super::{Client, Reply, connect, engine};
use crate::engine::types::string;
use crate::value::Value;

fn load(client: &mut Client, sql: &str, rows: Vec<Vec<Value>>, abort: bool) -> Reply {
    let reply = client.batch(sql);
    assert!(reply.errors.is_empty(), "{:?}", reply.errors);
    let mut done = Reply::default();
    for chunk in rows.chunks(2) {
        // Errors come again at the end.
        let _ = client.0.bulk_rows(chunk.to_vec());
    }
    client.0.bulk_end(abort, &mut done);
    done
}

#[test]
fn a_bulk_load_is_one_statement() {
    let engine = engine();
    let mut c = connect(&engine);
    c.ok("CREATE TABLE b (id int NOT NULL, s nvarchar(3) NULL, d int NOT NULL DEFAULT 7, rv rowversion)");
    let sql = "INSERT BULK b ([id] int, [s] nvarchar(10)) WITH (TABLOCK, CHECK_CONSTRAINTS)";
    let good = vec![
        vec![Value::Int(1), string("a")],
        vec![Value::Int(2), Value::Null],
        vec![Value::Int(3), string("c")],
    ];
    assert_eq!(load(&mut c, sql, good.clone(), false).counts, [3]);
    assert_eq!(
        c.rows("SELECT id, s, d FROM b ORDER BY id"),
        ["1|a|7", "2|NULL|7", "3|c|7"]
    );
    assert_eq!(c.one("SELECT COUNT(DISTINCT rv) FROM b"), "3");
    let mut bad = good.clone();
    bad.push(vec![Value::Null, Value::Null]);
    assert_eq!(load(&mut c, sql, bad, false).errors[0].number, 515);
    let long = vec![vec![Value::Int(8), string("abcd")]];
    assert_eq!(load(&mut c, sql, long, false).errors[0].number, 4815);
    load(&mut c, sql, good.clone(), true);
    assert_eq!(c.one("SELECT COUNT(*) FROM b"), "3");
    // Inside a transaction the load rolls back with it.
    c.ok("BEGIN TRAN");
    load(&mut c, sql, good, false);
    assert_eq!(c.one("SELECT COUNT(*) FROM b"), "6");
    c.ok("ROLLBACK");
    assert_eq!(c.one("SELECT COUNT(*) FROM b"), "3");
}

#[test]
fn parallel_loads_share_a_heap() {
    let engine = engine();
    let mut first = connect(&engine);
    let mut second = connect(&engine);
    first.ok("CREATE TABLE h (id int)");
    let sql = "INSERT BULK h ([id] int) WITH (TABLOCK)";
    assert!(first.batch(sql).errors.is_empty());
    assert!(second.batch(sql).errors.is_empty());
    for number in 0..10 {
        first.0.bulk_rows(vec![vec![Value::Int(number)]]).unwrap();
        second
            .0
            .bulk_rows(vec![vec![Value::Int(100 + number)]])
            .unwrap();
    }
    let mut done = Reply::default();
    first.0.bulk_end(false, &mut done);
    second.0.bulk_end(false, &mut done);
    assert_eq!(done.counts, [10, 10]);
    assert_eq!(first.one("SELECT COUNT(*) FROM h"), "20");
}

#[test]
fn identity_values_are_kept_only_when_asked() {
    let engine = engine();
    let mut c = connect(&engine);
    c.ok("CREATE TABLE i (id int IDENTITY(1,1) PRIMARY KEY, v int)");
    let rows = vec![vec![Value::Int(50), Value::Int(1)]];
    load(
        &mut c,
        "INSERT BULK i ([id] int, [v] int) WITH (KEEP_IDENTITY)",
        rows.clone(),
        false,
    );
    load(
        &mut c,
        "INSERT BULK i ([v] int)",
        vec![vec![Value::Int(2)]],
        false,
    );
    assert_eq!(c.rows("SELECT id, v FROM i ORDER BY id"), ["50|1", "51|2"]);
}

#[test]
fn a_filled_heap_becomes_another_table() {
    let engine = engine();
    let (mut c, mut other) = (connect(&engine), connect(&engine));
    c.ok("EXEC ('CREATE SCHEMA own')");
    c.ok("CREATE TABLE own.f (id int IDENTITY(1,1) NOT NULL, s varchar(10) COLLATE Polish_CI_AS NOT NULL)");
    let rows = vec![
        vec![Value::Int(7), string("Łódź")],
        vec![Value::Int(3), string("Rzym")],
    ];
    let sql = "INSERT BULK own.f ([id] int, [s] varchar(10) COLLATE Polish_CI_AS) WITH (KEEP_NULLS, TABLOCK)";
    assert_eq!(load(&mut c, sql, rows, false).counts, [2]);
    let id = c.one("SELECT OBJECT_ID('own.f')");
    c.ok("ALTER TABLE own.f ADD CONSTRAINT pk_f PRIMARY KEY (id)");
    let publish = "BEGIN TRAN; ALTER SCHEMA dbo TRANSFER OBJECT::own.f; EXEC sp_rename @objname = N'[dbo].[f]', \
        @newname = N'odd]name', @objtype = N'OBJECT'";
    c.ok(publish);
    assert_eq!(c.one("SELECT OBJECT_ID('own.f')"), "NULL");
    assert_eq!(
        other.error("SET LOCK_TIMEOUT 30; SELECT * FROM [odd]]name]"),
        1222
    );
    c.ok("ROLLBACK");
    assert_eq!(
        c.rows("SELECT id, s FROM own.f ORDER BY id"),
        ["3|Rzym", "7|Łódź"]
    );
    assert_eq!(c.one("SELECT OBJECT_ID('dbo.f')"), "NULL");
    c.ok(publish);
    c.ok("COMMIT");
    assert_eq!(
        other.rows("SELECT id FROM [odd]]name] ORDER BY id"),
        ["3", "7"]
    );
    assert_eq!(c.one("SELECT OBJECT_ID('[odd]]name]')"), id);
    assert_eq!(
        c.one("SELECT s.name FROM sys.key_constraints k JOIN sys.schemas s ON s.schema_id = k.schema_id"),
        "dbo"
    );
    // The identity goes on after the greatest value.
    let more = "INSERT [odd]]name] (s) VALUES ('x'); SELECT MAX(id) FROM [odd]]name]";
    assert_eq!(c.one(more), "8");
    assert_eq!(c.error("SELECT * FROM own.f"), 208);
}

#[test]
fn a_transfer_meets_names_and_permissions() {
    use crate::session::{Login, Server};
    let engine = engine();
    let mut c = connect(&engine);
    c.ok("EXEC ('CREATE SCHEMA own'); CREATE TABLE own.t (id int NOT NULL CONSTRAINT pk_t PRIMARY KEY); CREATE TABLE \
        own.u (id int NOT NULL CONSTRAINT pk_u PRIMARY KEY); CREATE TABLE own.v (id int); CREATE TABLE dbo.t (id int); \
        CREATE TABLE dbo.w (id int NOT NULL CONSTRAINT pk_u PRIMARY KEY)");
    assert_eq!(c.error("ALTER SCHEMA dbo TRANSFER own.t"), 15530);
    assert_eq!(c.error("ALTER SCHEMA dbo TRANSFER own.u"), 15530);
    assert_eq!(c.error("ALTER SCHEMA nowhere TRANSFER own.u"), 15151);
    assert_eq!(c.error("ALTER SCHEMA dbo TRANSFER own.nothing"), 15151);
    let reply = c.batch("SET XACT_ABORT ON; EXEC sp_rename 'own.t', 'u'; SELECT 1");
    assert_eq!(reply.errors[0].number, 15335);
    assert_eq!(
        reply.sets.len(),
        1,
        "sp_rename raises its refusals, which end no batch"
    );

    c.ok("CREATE LOGIN bob WITH PASSWORD = 'Secret1'; CREATE USER bob FOR LOGIN bob; GRANT ALTER ON SCHEMA::own TO \
        bob; GRANT ALTER ON SCHEMA::dbo TO bob; GRANT SELECT ON own.v TO bob");
    let bob = Login {
        user: "bob",
        password: "Secret1",
        database: "shop",
        app_name: "",
        host_name: "",
        read_only: false,
        odbc: true,
    };
    let mut bob = Client(engine.login(bob).unwrap());
    assert_eq!(bob.error("ALTER SCHEMA dbo TRANSFER own.v"), 15151);
    let rights = "SELECT HAS_PERMS_BY_NAME(N'[own]', N'SCHEMA', N'CONTROL'), HAS_PERMS_BY_NAME(N'[dbo]', N'SCHEMA', \
        N'ALTER'), HAS_PERMS_BY_NAME(N'[nowhere]', N'SCHEMA', N'ALTER')";
    assert_eq!(bob.rows(rights), ["0|1|NULL"]);
    c.ok("GRANT CONTROL ON SCHEMA::own TO bob");
    assert_eq!(bob.rows(rights), ["1|1|NULL"]);
    bob.ok("ALTER SCHEMA dbo TRANSFER own.v");
    // Permissions on the table itself are gone.
    assert_eq!(bob.error("SELECT * FROM dbo.v"), 229);
    bob.ok("EXEC sp_rename 'dbo.v', 'x'");
    // The owner of a schema needs no grant.
    c.ok("CREATE TABLE own.y (id int); REVOKE CONTROL ON SCHEMA::own FROM bob; REVOKE ALTER ON SCHEMA::own FROM bob");
    assert_eq!(bob.error("ALTER SCHEMA dbo TRANSFER own.y"), 15151);
    c.ok("EXEC ('CREATE SCHEMA bobs AUTHORIZATION bob'); CREATE TABLE bobs.y (id int)");
    bob.ok("ALTER SCHEMA dbo TRANSFER bobs.y");
}

#[test]
fn a_key_is_built_over_rows() {
    let engine = engine();
    let mut c = connect(&engine);
    c.ok("CREATE TABLE t (a int NOT NULL, b nvarchar(5) COLLATE Latin1_General_CI_AS NOT NULL, n int NULL); INSERT t \
        VALUES (1, N'x', 1), (2, N'y', 1), (2, N'Y', NULL)");
    let reply = c.batch("ALTER TABLE t ADD CONSTRAINT pk_t PRIMARY KEY (a, b)");
    assert_eq!(reply.errors[0].number, 1505);
    assert!(
        reply.errors[0]
            .message
            .contains("'dbo.t' and the index name 'pk_t'. The duplicate key value is (2, "),
        "{}",
        reply.errors[0].message
    );
    assert_eq!(
        c.one("SELECT COUNT(*) FROM sys.indexes WHERE name = 'pk_t'"),
        "0"
    );
    assert_eq!(
        c.error("ALTER TABLE t ADD CONSTRAINT pk_t PRIMARY KEY (a, n)"),
        8111
    );
    c.ok("DELETE t WHERE b = N'Y' COLLATE Latin1_General_BIN2");
    c.ok("BEGIN TRAN; ALTER TABLE t ADD CONSTRAINT pk_t PRIMARY KEY (a, b); ROLLBACK; INSERT t VALUES (1, N'X', 1)");
    assert_eq!(c.error("CREATE UNIQUE INDEX u ON t (a, b)"), 1505);
    c.ok("DELETE t WHERE b = N'X' COLLATE Latin1_General_BIN2; ALTER TABLE t ADD CONSTRAINT pk_t PRIMARY KEY (a, b)");
    assert_eq!(c.error("INSERT t VALUES (1, N'X', 1)"), 2627);
    assert_eq!(c.rows("SELECT a FROM t WHERE a = 2"), ["2"]);
}
