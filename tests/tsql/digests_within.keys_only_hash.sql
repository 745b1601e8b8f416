-- @P1 bigint 4096
-- @P2 bigint 256
-- @P3 bigint 4096
-- @P4 bigint 0
-- @P5 bigint 7
SELECT d.bucket, d.part, COUNT_BIG(*) AS row_count, SUM(CONVERT(decimal(38, 0), d.addend)) AS checksum FROM (SELECT CONVERT(bigint, SUBSTRING(HASHBYTES('SHA2_256', ISNULL(0x01 + CONVERT(varbinary(8), CONVERT(bigint, t.[a])), 0x00) + ISNULL(0x01 + CONVERT(varbinary(8), CONVERT(bigint, t.[b])), 0x00)), 1, 3)) % @P1 AS bucket, CONVERT(bigint, SUBSTRING(HASHBYTES('SHA2_256', ISNULL(0x01 + CONVERT(varbinary(8), CONVERT(bigint, t.[a])), 0x00) + ISNULL(0x01 + CONVERT(varbinary(8), CONVERT(bigint, t.[b])), 0x00)), 4, 3)) % @P2 AS part, CONVERT(bigint, SUBSTRING(HASHBYTES('SHA2_256', ISNULL(0x01 + CONVERT(varbinary(8), CONVERT(bigint, t.[a])), 0x00) + ISNULL(0x01 + CONVERT(varbinary(8), CONVERT(bigint, t.[b])), 0x00)), 1, 8)) AS addend FROM [dbo].[follows] AS t WHERE (CONVERT(bigint, SUBSTRING(HASHBYTES('SHA2_256', ISNULL(0x01 + CONVERT(varbinary(8), CONVERT(bigint, t.[a])), 0x00) + ISNULL(0x01 + CONVERT(varbinary(8), CONVERT(bigint, t.[b])), 0x00)), 1, 3)) % @P3 IN (@P4, @P5))) AS d GROUP BY d.bucket, d.part OPTION (RECOMPILE);
