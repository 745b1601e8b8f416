-- @P1 bigint -5
-- @P2 bigint 64
-- @P3 bigint -68
-- @P4 bigint 58
-- @P5 bigint 443
-- @P6 bigint 506
-- @P7 bigint 571
-- @P8 bigint 826
SELECT d.bucket, COUNT_BIG(*) AS row_count, SUM(CONVERT(decimal(38, 0), d.addend)) AS checksum FROM (SELECT (CONVERT(bigint, t.[order_id]) - @P1) / @P2 AS bucket, CONVERT(bigint, SUBSTRING(HASHBYTES('SHA2_256', ISNULL(0x01 + CONVERT(varbinary(8), CONVERT(bigint, t.[order_id])), 0x00) + ISNULL(0x01 + CONVERT(varbinary(4), CONVERT(int, DATALENGTH(CONVERT(varbinary(8), t.[rv])))) + CONVERT(varbinary(8), t.[rv]), 0x00) + ISNULL(0x01 + CONVERT(varbinary(8), CONVERT(bigint, t.[quantity])), 0x00) + ISNULL(0x01 + CONVERT(varbinary(4), CONVERT(int, DATALENGTH(CONVERT(varbinary(400), CONVERT(nvarchar(200), t.[note]))))) + CONVERT(varbinary(400), CONVERT(nvarchar(200), t.[note])), 0x00)), 1, 8)) AS addend FROM [dbo].[orders] AS t WHERE ((t.[order_id] >= @P3 AND t.[order_id] <= @P4) OR (t.[order_id] >= @P5 AND t.[order_id] <= @P6) OR (t.[order_id] >= @P7 AND t.[order_id] <= @P8)) AND t.[is]]deleted] = 0) AS d GROUP BY d.bucket OPTION (RECOMPILE);
