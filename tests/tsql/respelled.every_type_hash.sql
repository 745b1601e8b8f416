-- @P1 bigint 0
-- @P2 bigint 1
SELECT @P1 AS place, SUBSTRING(HASHBYTES('SHA2_256', ISNULL(0x01 + CONVERT(varbinary(16), t.[c1]), 0x00)), 1, 16) AS digest FROM [dbo].[every_type] AS t WHERE (t.[c1] IS NULL) UNION ALL SELECT @P2 AS place, SUBSTRING(HASHBYTES('SHA2_256', ISNULL(0x01 + CONVERT(varbinary(16), t.[c1]), 0x00)), 1, 16) AS digest FROM [dbo].[every_type] AS t WHERE (t.[c1] IS NULL);
