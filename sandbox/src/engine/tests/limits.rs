//! How much a table, a key, a row and a sent value may hold.

use super::{Client, connect, engine};
use crate::session::{Login, Server};

#[test]
fn keys_have_so_many_bytes_and_columns() {
    let engine = engine();
    let mut c = connect(&engine);
    c.ok("CREATE TABLE t (id int PRIMARY KEY, a varchar(2000), n nvarchar(900), f char(901), g char(1701), v \
        sql_variant)");
    for (sql, number) in [
        ("CREATE TABLE x (a char(901) PRIMARY KEY)", 1944),
        (
            "CREATE TABLE x (a binary(900), b bit, PRIMARY KEY (a, b))",
            1944,
        ),
        ("CREATE TABLE x (a char(901), INDEX ix CLUSTERED (a))", 1944),
        ("CREATE INDEX ix ON t (g)", 1944),
        ("DECLARE @t TABLE (a char(901) PRIMARY KEY)", 1944),
    ] {
        assert_eq!(c.error(sql), number, "{sql}");
    }
    c.ok("CREATE INDEX f ON t (f); CREATE INDEX a ON t (a); CREATE INDEX n ON t (n); CREATE INDEX v ON t (v)");
    // What varies counts as it is.
    let fits = "INSERT t (id, a, n) VALUES (1, REPLICATE('x', 1700), REPLICATE(N'x', 850))";
    c.ok(fits);
    assert_eq!(
        c.error("INSERT t (id, a) VALUES (2, REPLICATE('x', 1701))"),
        1946
    );
    assert_eq!(c.error("UPDATE t SET n = REPLICATE(N'x', 851)"), 1946);
    c.ok("INSERT t (id, v) VALUES (3, 1)");
    c.ok("CREATE TABLE filled (a varchar(2000)); INSERT filled VALUES (REPLICATE('x', 901))");
    assert_eq!(c.error("CREATE CLUSTERED INDEX ix ON filled (a)"), 1946);
    c.ok("CREATE INDEX ix ON filled (a)");

    let columns = |count: usize| -> Vec<String> { (0..count).map(|n| format!("c{n}")).collect() };
    let declared = columns(33).join(" int NOT NULL, ") + " int NOT NULL";
    c.ok(&format!("CREATE TABLE wide ({declared})"));
    for (count, wanted) in [(33, Some(1904)), (32, None)] {
        let key = format!(
            "CREATE INDEX k{count} ON wide ({})",
            columns(count).join(", ")
        );
        let said = c.batch(&key).errors.first().map(|error| error.number);
        assert_eq!(said, wanted, "{count}");
    }
    let key = columns(33).join(", ");
    assert_eq!(
        c.error(&format!("CREATE TABLE x ({declared}, PRIMARY KEY ({key}))")),
        1904
    );
}

#[test]
fn tables_have_so_many_bytes_and_columns() {
    let engine = engine();
    let mut c = connect(&engine);
    // 4 + 2 + 1 bytes are not the columns'.
    c.ok("CREATE TABLE t (a char(8000), b char(53), v varchar(8000), m nvarchar(max))");
    assert_eq!(c.error("CREATE TABLE u (a char(8000), b char(54))"), 1701);
    assert_eq!(c.error("ALTER TABLE t ADD c tinyint"), 1701);
    let columns = |count: usize| -> String {
        let columns: Vec<String> = (0..count).map(|n| format!("c{n} tinyint")).collect();
        columns.join(", ")
    };
    assert_eq!(
        c.error(&format!("CREATE TABLE u ({})", columns(1025))),
        1702
    );
    c.ok(&format!("CREATE TABLE u ({})", columns(1024)));
    assert_eq!(c.error("ALTER TABLE u ADD more tinyint"), 1702);
}

#[test]
fn textsize_cuts_what_is_sent() {
    let engine = engine();
    let mut c = connect(&engine);
    c.ok("CREATE TABLE t (n nvarchar(max), v varchar(max) COLLATE Latin1_General_100_CI_AS_SC_UTF8, b varbinary(max), \
        s nvarchar(100))");
    c.ok("INSERT t VALUES (REPLICATE(CONVERT(nvarchar(max), N'é'), 5000), N'ééé', 0x010203040506, N'short stays')");
    let lengths = "SELECT n, v, b, s FROM t";
    let whole = c.rows(lengths);
    assert_eq!(c.one("SELECT @@TEXTSIZE"), "2147483647");
    assert_eq!(whole[0].chars().filter(|c| *c == 'é').count(), 5003);
    c.ok("SET TEXTSIZE 5");
    assert_eq!(c.rows(lengths), ["éé|éé|0x0102030405|short stays"]);
    // What is only worked with stays whole.
    assert_eq!(c.one("SELECT DATALENGTH(n) FROM t"), "10000");
    assert_eq!(
        c.one("DECLARE @n nvarchar(max); SELECT @n = n FROM t; SELECT LEN(@n)"),
        "5000"
    );
    c.ok("SELECT n INTO copied FROM t");
    assert_eq!(c.one("SELECT DATALENGTH(n) FROM copied"), "10000");
    c.ok("SET TEXTSIZE 0");
    assert_eq!(c.one("SELECT @@TEXTSIZE"), "4096");
    assert_eq!(c.one("SELECT n FROM t").chars().count(), 2048);
    for all in ["-1", "2147483647"] {
        c.ok(&format!("SET TEXTSIZE {all}"));
        assert_eq!(c.rows(lengths), whole);
    }
}

/// fODBC of LOGIN7.
#[test]
fn a_login_that_is_not_odbc_gets_large_values_cut() {
    let engine = engine();
    let login = Login {
        user: "sa",
        password: "pw",
        database: "shop",
        app_name: "test",
        host_name: "here",
        read_only: false,
        odbc: false,
    };
    let mut plain = Client(engine.login(login).unwrap());
    let long = "SELECT REPLICATE(CONVERT(varchar(max), 'x'), 5000)";
    let options = "SELECT @@OPTIONS & (8 | 16 | 32 | 256 | 1024)";
    for _ in 0..2 {
        assert_eq!(plain.one("SELECT @@TEXTSIZE"), "4096");
        assert_eq!(plain.one(long).len(), 4096);
        assert_eq!(plain.one(options), "0");
        plain.ok("SET TEXTSIZE -1; SET ANSI_WARNINGS ON");
        assert_eq!(plain.one(long).len(), 5000);
        plain.0.reset();
    }
    let mut odbc = connect(&engine);
    assert_eq!(odbc.one(options), "1336");
    assert_eq!(odbc.one(long).len(), 5000);
}
