-- @P1 bigint -5
-- @P2 bigint 64
SELECT d.bucket, COUNT_BIG(*) AS row_count, SUM(CONVERT(decimal(38, 0), d.addend)) AS checksum FROM (SELECT (CONVERT(bigint, t.[a]) - @P1) / @P2 AS bucket, CONVERT(bigint, SUBSTRING(HASHBYTES('SHA2_256', ISNULL(0x01 + CONVERT(varbinary(8), CONVERT(bigint, t.[a])), 0x00) + ISNULL(0x01 + CONVERT(varbinary(8), CONVERT(bigint, t.[b])), 0x00)), 1, 8)) AS addend FROM [dbo].[follows] AS t) AS d GROUP BY d.bucket OPTION (RECOMPILE);
