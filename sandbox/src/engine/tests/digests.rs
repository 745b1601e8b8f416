//! Checksums of rows: the expressions have the bytes that SQL Server gives them, and long ones are not cut.

use super::{connect, engine};

/// The numbers are those of SHA-256 over the bytes, computed elsewhere.
#[test]
fn rows_are_summed_up_by_the_hash_of_their_bytes() {
    let engine = engine();
    let mut c = connect(&engine);
    c.ok(
        "CREATE TABLE dbo.t (id int NOT NULL PRIMARY KEY, d decimal(5,2) NULL, m datetime2(3) NULL, s nvarchar(20) \
         NULL, n varbinary(20) NULL); INSERT dbo.t VALUES (7, -0.5, '2024-02-29 01:02:03.004', N'é ', NULL)",
    );
    let row = "ISNULL(0x01 + CONVERT(varbinary(8), CONVERT(bigint, t.[id])), 0x00) + \
        ISNULL(0x01 + CONVERT(varbinary(41), CONVERT(char(41), t.[d])), 0x00) + \
        ISNULL(0x01 + CONVERT(varbinary(23), CONVERT(varchar(23), t.[m], 121)), 0x00) + \
        ISNULL(0x01 + CONVERT(varbinary(4), CONVERT(int, DATALENGTH(CONVERT(varbinary(40), CONVERT(nvarchar(20), \
        t.[s]))))) + CONVERT(varbinary(40), CONVERT(nvarchar(20), t.[s])), 0x00) + \
        ISNULL(0x01 + CONVERT(varbinary(4), CONVERT(int, DATALENGTH(CONVERT(varbinary(20), t.[n])))) + \
        CONVERT(varbinary(20), t.[n]), 0x00)";
    let key = "ISNULL(0x01 + CONVERT(varbinary(8), CONVERT(bigint, t.[id])), 0x00)";
    let sums = format!(
        "SELECT d.bucket, d.part, COUNT_BIG(*) AS row_count, SUM(CONVERT(decimal(38, 0), d.addend)) AS checksum FROM \
         (SELECT CONVERT(bigint, SUBSTRING(HASHBYTES('SHA2_256', {key}), 1, 3)) % 1000 AS bucket, CONVERT(bigint, \
         SUBSTRING(HASHBYTES('SHA2_256', {key}), 4, 3)) % 1000 AS part, CONVERT(bigint, \
         SUBSTRING(HASHBYTES('SHA2_256', {row}), 1, 8)) AS addend FROM [dbo].[t] AS t WHERE (CONVERT(bigint, \
         SUBSTRING(HASHBYTES('SHA2_256', {key}), 1, 3)) % 1000 IN (1, 696))) AS d GROUP BY d.bucket, d.part OPTION \
         (RECOMPILE)"
    );
    assert_eq!(c.rows(&sums), ["696|259|1|-6581919730481064174"]);
}

#[test]
fn moments_dates_and_numbers_have_bytes_of_one_length() {
    let engine = engine();
    let mut c = connect(&engine);
    c.ok(
        "CREATE TABLE dbo.t (o datetimeoffset(7) NULL, d date NULL, m smallmoney NULL, f float NULL, z time(0) NULL, \
         s smalldatetime NULL, g uniqueidentifier NULL); INSERT dbo.t VALUES ('2024-02-29 01:02:03.0000001 +02:00', \
         '2024-02-29', -0.5, -1.5E0, '01:02:03', '2024-02-29 01:02:00', '00010203-0405-0607-0809-0A0B0C0D0E0F')",
    );
    let row = "CONVERT(varbinary(max), 0x) + ISNULL(0x01 + CONVERT(varbinary(27), LEFT(CONVERT(varchar(34), \
        SWITCHOFFSET(t.[o], '+00:00'), 121), 27)), 0x00) + ISNULL(0x01 + CONVERT(varbinary(4), DATEDIFF(day, \
        CONVERT(date, '0001-01-01', 121), t.[d])), 0x00) + ISNULL(0x01 + CONVERT(varbinary(8), CONVERT(money, \
        t.[m])), 0x00) + ISNULL(0x01 + CONVERT(varbinary(8), t.[f]), 0x00)";
    let hash =
        format!("SELECT CONVERT(varchar(64), HASHBYTES('SHA2_256', {row}), 2) FROM dbo.t AS t");
    assert_eq!(
        c.one(&hash),
        "78FA33511823B0BC62D6AF2E257155E654D07BC47DDD7F0013C23E9E3EB6CAAB"
    );
    assert_eq!(
        c.rows(
            "SELECT CONVERT(varchar(34), t.[o], 121), CONVERT(varchar(8), t.[z], 121), CONVERT(varchar(19), t.[s], \
             120), CONVERT(varchar(32), CONVERT(varbinary(16), t.[g]), 2) FROM dbo.t AS t"
        ),
        ["2024-02-29 01:02:03.0000001 +02:00|01:02:03|2024-02-29 01:02:00|030201000504070608090A0B0C0D0E0F"]
    );
}

/// Sized values are cut at 8,000 bytes where they are put together, values of a max type are not.
#[test]
fn a_concatenation_is_as_long_as_its_type_allows() {
    let engine = engine();
    let mut c = connect(&engine);
    let half = "CONVERT(varbinary(5000), REPLICATE('x', 5000))";
    assert_eq!(
        c.one(&format!("SELECT DATALENGTH({half} + {half})")),
        "8000"
    );
    assert_eq!(
        c.one(&format!(
            "SELECT DATALENGTH(CONVERT(varbinary(max), 0x) + {half} + {half})"
        )),
        "10000"
    );
}
