-- @P1 bigint -5
-- @P2 bigint 64
-- @P3 bigint 256
-- @P4 bigint -68
-- @P5 bigint 58
-- @P6 bigint 443
-- @P7 bigint 506
SELECT d.bucket, d.part, COUNT_BIG(*) AS row_count, SUM(CONVERT(decimal(38, 0), d.addend)) AS checksum FROM (SELECT (CONVERT(bigint, t.[a]) - @P1) / @P2 AS bucket, CONVERT(bigint, SUBSTRING(HASHBYTES('SHA2_256', ISNULL(0x01 + CONVERT(varbinary(8), CONVERT(bigint, t.[a])), 0x00) + ISNULL(0x01 + CONVERT(varbinary(8), CONVERT(bigint, t.[b])), 0x00)), 4, 3)) % @P3 AS part, CONVERT(bigint, SUBSTRING(HASHBYTES('SHA2_256', ISNULL(0x01 + CONVERT(varbinary(8), CONVERT(bigint, t.[a])), 0x00) + ISNULL(0x01 + CONVERT(varbinary(8), CONVERT(bigint, t.[b])), 0x00)), 1, 8)) AS addend FROM [dbo].[follows] AS t WHERE ((t.[a] >= @P4 AND t.[a] <= @P5) OR (t.[a] >= @P6 AND t.[a] <= @P7))) AS d GROUP BY d.bucket, d.part OPTION (RECOMPILE);
