-- @P1 bigint 0
-- @P2 nvarchar "a]'b"
-- @P3 nvarchar "2024-05-01 10:00:00.003"
-- @P4 nvarchar "a]'b"
-- @P5 bigint 1
-- @P6 nvarchar "z"
-- @P7 nvarchar "2024-05-02 00:00:00.000"
-- @P8 nvarchar "z"
SELECT @P1 AS place, SUBSTRING(HASHBYTES('SHA2_256', ISNULL(0x01 + CONVERT(varbinary(4), CONVERT(int, DATALENGTH(CONVERT(varbinary(20), CONVERT(nvarchar(10), t.[區域]))))) + CONVERT(varbinary(20), CONVERT(nvarchar(10), t.[區域])), 0x00) + ISNULL(0x01 + CONVERT(varbinary(23), CONVERT(varchar(23), t.[at], 121)), 0x00) + ISNULL(0x01 + CONVERT(varbinary(4), CONVERT(int, DATALENGTH(CONVERT(varbinary(40), CONVERT(nvarchar(20), t.[code]))))) + CONVERT(varbinary(40), CONVERT(nvarchar(20), t.[code])), 0x00)), 1, 16) AS digest FROM [sales].[訂單] AS t WHERE (t.[區域] = CONVERT(nvarchar(10), @P2) AND t.[at] = CONVERT(datetime, @P3, 121) AND t.[code] = CONVERT(varchar(20), @P4 COLLATE Chinese_Taiwan_Stroke_CI_AS)) UNION ALL SELECT @P5 AS place, SUBSTRING(HASHBYTES('SHA2_256', ISNULL(0x01 + CONVERT(varbinary(4), CONVERT(int, DATALENGTH(CONVERT(varbinary(20), CONVERT(nvarchar(10), t.[區域]))))) + CONVERT(varbinary(20), CONVERT(nvarchar(10), t.[區域])), 0x00) + ISNULL(0x01 + CONVERT(varbinary(23), CONVERT(varchar(23), t.[at], 121)), 0x00) + ISNULL(0x01 + CONVERT(varbinary(4), CONVERT(int, DATALENGTH(CONVERT(varbinary(40), CONVERT(nvarchar(20), t.[code]))))) + CONVERT(varbinary(40), CONVERT(nvarchar(20), t.[code])), 0x00)), 1, 16) AS digest FROM [sales].[訂單] AS t WHERE (t.[區域] = CONVERT(nvarchar(10), @P6) AND t.[at] = CONVERT(datetime, @P7, 121) AND t.[code] = CONVERT(varchar(20), @P8 COLLATE Chinese_Taiwan_Stroke_CI_AS));
