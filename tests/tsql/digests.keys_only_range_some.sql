-- @P1 bigint -5
-- @P2 bigint 64
-- @P3 bigint -68
-- @P4 bigint 58
-- @P5 bigint 443
-- @P6 bigint 506
-- @P7 bigint 571
-- @P8 bigint 826
SELECT d.bucket, COUNT_BIG(*) AS row_count, SUM(CONVERT(decimal(38, 0), d.addend)) AS checksum FROM (SELECT (CONVERT(bigint, t.[a]) - @P1) / @P2 AS bucket, CONVERT(bigint, SUBSTRING(HASHBYTES('SHA2_256', ISNULL(0x01 + CONVERT(varbinary(8), CONVERT(bigint, t.[a])), 0x00) + ISNULL(0x01 + CONVERT(varbinary(8), CONVERT(bigint, t.[b])), 0x00)), 1, 8)) AS addend FROM [dbo].[follows] AS t WHERE ((t.[a] >= @P3 AND t.[a] <= @P4) OR (t.[a] >= @P5 AND t.[a] <= @P6) OR (t.[a] >= @P7 AND t.[a] <= @P8)) AND t.[is]]deleted] = 0) AS d GROUP BY d.bucket OPTION (RECOMPILE);
