-- @P1 bigint 0
-- @P2 nvarchar "1"
-- @P3 bigint 1
-- @P4 nvarchar "100"
SELECT @P1 AS place, SUBSTRING(HASHBYTES('SHA2_256', ISNULL(0x01 + CONVERT(varbinary(8), CONVERT(bigint, t.[order_id])), 0x00)), 1, 16) AS digest FROM [dbo].[orders] AS t WHERE (t.[order_id] = CONVERT(int, @P2)) UNION ALL SELECT @P3 AS place, SUBSTRING(HASHBYTES('SHA2_256', ISNULL(0x01 + CONVERT(varbinary(8), CONVERT(bigint, t.[order_id])), 0x00)), 1, 16) AS digest FROM [dbo].[orders] AS t WHERE (t.[order_id] = CONVERT(int, @P4));
