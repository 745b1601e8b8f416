//! Bytes of values, and digests of rows made of them.

use super::{connect, engine};

/// SQL Server 2022 answers the same.
#[test]
fn values_have_the_bytes_of_a_server() {
    let engine = engine();
    let mut c = connect(&engine);
    c.ok("CREATE TABLE o (z datetimeoffset(0))
INSERT o VALUES ('2024-01-01 00:30:00 +01:00')");
    for (value, bytes) in [
        (
            "CONVERT(binary(8), CONVERT(bigint, -2))",
            "0xFFFFFFFFFFFFFFFE",
        ),
        (
            "CONVERT(binary(8), CONVERT(bigint, CONVERT(bit, 1)))",
            "0x0000000000000001",
        ),
        (
            "CONVERT(binary(8), CONVERT(float, 1))",
            "0x3FF0000000000000",
        ),
        ("CONVERT(binary(4), CONVERT(real, -1))", "0xBF800000"),
        (
            "CONVERT(varbinary(41), CONVERT(varchar(41), CONVERT(decimal(5,2), -0.5)))",
            "0x2D302E3530",
        ),
        (
            "CONVERT(varbinary(6), CONVERT(nvarchar(3), N'a '))",
            "0x61002000",
        ),
        ("0x00000002 + CONVERT(binary(2), 0xAB)", "0x00000002AB00"),
        (
            "CASE WHEN 1 = 1 THEN 0xFFFFFFFF ELSE 0x00000002 + CONVERT(binary(2), 0xAB) END",
            "0xFFFFFFFF",
        ),
        (
            "CONVERT(binary(4), CONVERT(int, DATALENGTH(CONVERT(varbinary(max), N'abc'))))",
            "0x00000006",
        ),
        (
            "SUBSTRING(HASHBYTES('SHA2_256', CONVERT(varbinary(max), 0x)), 1, 4)",
            "0xE3B0C442",
        ),
        (
            "CONVERT(varbinary(41), CONVERT(varchar(41), (SELECT SWITCHOFFSET(z, '+00:00') FROM o), 121))",
            "0x323032332D31322D33312032333A33303A3030202B30303A3030",
        ),
    ] {
        let text = c.one(&format!("SELECT CONVERT(varchar(200), {value}, 1)"));
        assert_eq!(text.trim_matches('\''), bytes, "{value}");
    }
    for (number, value) in [
        ("CONVERT(bigint, 0xFFFFFFFF)", "4294967295"),
        ("CONVERT(int, SUBSTRING(0xFF01AB, 1, 2)) / 4096", "15"),
    ] {
        assert_eq!(c.one(&format!("SELECT {number}")), value, "{number}");
    }
}

#[test]
fn what_is_longer_than_8000_bytes_is_hashed_whole() {
    let engine = engine();
    let mut c = connect(&engine);
    c.ok("CREATE TABLE t (id int PRIMARY KEY, v nvarchar(max) NULL)
INSERT t VALUES (1, REPLICATE(CONVERT(nvarchar(max), N'x'), 5000)), (3, NULL), \
(2, REPLICATE(CONVERT(nvarchar(max), N'x'), 5001))");
    let row = "CONVERT(varbinary(max), 0x) + CASE WHEN t.v IS NULL THEN 0xFFFFFFFF ELSE CONVERT(varbinary(max), \
CONVERT(binary(4), CONVERT(int, DATALENGTH(CONVERT(varbinary(max), t.v))))) + CONVERT(varbinary(max), t.v) END";
    let lengths = c.rows(&format!("SELECT DATALENGTH({row}) FROM t ORDER BY id"));
    assert_eq!(lengths, ["10004", "10006", "4"]);
    let sums = c.one(&format!(
        "SELECT COUNT(DISTINCT b.s) FROM (SELECT SUM(CONVERT(bigint, SUBSTRING(r.h, 1, 4))) AS s FROM (SELECT id, \
HASHBYTES('SHA2_256', {row}) AS h FROM t) AS r GROUP BY r.id) AS b"
    ));
    assert_eq!(sums, "3");
}
