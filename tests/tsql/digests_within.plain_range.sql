-- @P1 bigint -5
-- @P2 bigint 64
-- @P3 bigint 256
-- @P4 bigint -68
-- @P5 bigint 58
-- @P6 bigint 443
-- @P7 bigint 506
SELECT d.bucket, d.part, COUNT_BIG(*) AS row_count, SUM(CONVERT(decimal(38, 0), d.addend)) AS checksum FROM (SELECT (CONVERT(bigint, t.[order_id]) - @P1) / @P2 AS bucket, CONVERT(bigint, SUBSTRING(HASHBYTES('SHA2_256', ISNULL(0x01 + CONVERT(varbinary(8), CONVERT(bigint, t.[order_id])), 0x00)), 4, 3)) % @P3 AS part, CONVERT(bigint, SUBSTRING(HASHBYTES('SHA2_256', ISNULL(0x01 + CONVERT(varbinary(8), CONVERT(bigint, t.[order_id])), 0x00) + ISNULL(0x01 + CONVERT(varbinary(4), CONVERT(int, DATALENGTH(CONVERT(varbinary(8), t.[rv])))) + CONVERT(varbinary(8), t.[rv]), 0x00) + ISNULL(0x01 + CONVERT(varbinary(8), CONVERT(bigint, t.[quantity])), 0x00) + ISNULL(0x01 + CONVERT(varbinary(4), CONVERT(int, DATALENGTH(CONVERT(varbinary(400), CONVERT(nvarchar(200), t.[note]))))) + CONVERT(varbinary(400), CONVERT(nvarchar(200), t.[note])), 0x00)), 1, 8)) AS addend FROM [dbo].[orders] AS t WHERE ((t.[order_id] >= @P4 AND t.[order_id] <= @P5) OR (t.[order_id] >= @P6 AND t.[order_id] <= @P7))) AS d GROUP BY d.bucket, d.part OPTION (RECOMPILE);
