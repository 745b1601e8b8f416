-- @P1 bigint 0
-- @P2 nvarchar "1"
-- @P3 nvarchar "1"
-- @P4 bigint 1
-- @P5 nvarchar "100"
-- @P6 nvarchar "100"
SELECT @P1 AS place, SUBSTRING(HASHBYTES('SHA2_256', ISNULL(0x01 + CONVERT(varbinary(8), CONVERT(bigint, t.[a])), 0x00) + ISNULL(0x01 + CONVERT(varbinary(8), CONVERT(bigint, t.[b])), 0x00)), 1, 16) AS digest FROM [dbo].[follows] AS t WHERE (t.[a] = CONVERT(int, @P2) AND t.[b] = CONVERT(int, @P3)) UNION ALL SELECT @P4 AS place, SUBSTRING(HASHBYTES('SHA2_256', ISNULL(0x01 + CONVERT(varbinary(8), CONVERT(bigint, t.[a])), 0x00) + ISNULL(0x01 + CONVERT(varbinary(8), CONVERT(bigint, t.[b])), 0x00)), 1, 16) AS digest FROM [dbo].[follows] AS t WHERE (t.[a] = CONVERT(int, @P5) AND t.[b] = CONVERT(int, @P6));
