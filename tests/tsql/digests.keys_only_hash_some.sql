-- @P1 bigint 4096
-- @P2 bigint 4096
-- @P3 bigint 0
-- @P4 bigint 7
-- @P5 bigint 9
-- @P6 bigint 12
SELECT d.bucket, COUNT_BIG(*) AS row_count, SUM(CONVERT(decimal(38, 0), d.addend)) AS checksum FROM (SELECT CONVERT(bigint, SUBSTRING(HASHBYTES('SHA2_256', ISNULL(0x01 + CONVERT(varbinary(8), CONVERT(bigint, t.[a])), 0x00) + ISNULL(0x01 + CONVERT(varbinary(8), CONVERT(bigint, t.[b])), 0x00)), 1, 3)) % @P1 AS bucket, CONVERT(bigint, SUBSTRING(HASHBYTES('SHA2_256', ISNULL(0x01 + CONVERT(varbinary(8), CONVERT(bigint, t.[a])), 0x00) + ISNULL(0x01 + CONVERT(varbinary(8), CONVERT(bigint, t.[b])), 0x00)), 1, 8)) AS addend FROM [dbo].[follows] AS t WHERE (CONVERT(bigint, SUBSTRING(HASHBYTES('SHA2_256', ISNULL(0x01 + CONVERT(varbinary(8), CONVERT(bigint, t.[a])), 0x00) + ISNULL(0x01 + CONVERT(varbinary(8), CONVERT(bigint, t.[b])), 0x00)), 1, 3)) % @P2 IN (@P3, @P4) OR CONVERT(bigint, SUBSTRING(HASHBYTES('SHA2_256', ISNULL(0x01 + CONVERT(varbinary(8), CONVERT(bigint, t.[a])), 0x00) + ISNULL(0x01 + CONVERT(varbinary(8), CONVERT(bigint, t.[b])), 0x00)), 1, 3)) % @P2 BETWEEN @P5 AND @P6) AND t.[is]]deleted] = 0) AS d GROUP BY d.bucket OPTION (RECOMPILE);
