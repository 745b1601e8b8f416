-- @P1 bigint 0
-- @P2 nvarchar "1"
-- @P3 bigint 1
-- @P4 nvarchar "100"
SELECT @P1 AS place, SUBSTRING(HASHBYTES('SHA2_256', ISNULL(0x01 + CONVERT(varbinary(8), CONVERT(bigint, t.[k]]])), 0x00)), 1, 16) AS digest FROM [a]]b.c].[it's "odd"; DROP TABLE x --] AS t WHERE (t.[k]]] = CONVERT(int, @P2)) UNION ALL SELECT @P3 AS place, SUBSTRING(HASHBYTES('SHA2_256', ISNULL(0x01 + CONVERT(varbinary(8), CONVERT(bigint, t.[k]]])), 0x00)), 1, 16) AS digest FROM [a]]b.c].[it's "odd"; DROP TABLE x --] AS t WHERE (t.[k]]] = CONVERT(int, @P4));
