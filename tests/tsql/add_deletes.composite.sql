-- @P1 bigint 7
-- @P2 nvarchar "value 0"
-- @P3 nvarchar "value 2"
-- @P4 nvarchar "value 3"
-- @P5 bigint 8
-- @P6 nvarchar "value 0"
-- @P7 nvarchar "value 2"
-- @P8 nvarchar "value 3"
SET NOCOUNT ON;
INSERT INTO [icesync].[stg_00000000000000ff_018f0000000070008000000000000001_net] ([區域], [at], [code], [_op_], [_row]) SELECT k.[c1], k.[c2], k.[c3], N'D', 1000 + ROW_NUMBER() OVER (ORDER BY k.[id]) FROM (SELECT @P1 AS [id], CONVERT(nvarchar(10), @P2) COLLATE Chinese_Taiwan_Stroke_CI_AS AS [c1], CONVERT(datetime, @P3, 121) AS [c2], CONVERT(varchar(20), @P4 COLLATE Chinese_Taiwan_Stroke_CI_AS) COLLATE Chinese_Taiwan_Stroke_CI_AS AS [c3] UNION ALL SELECT @P5 AS [id], CONVERT(nvarchar(10), @P6) COLLATE Chinese_Taiwan_Stroke_CI_AS AS [c1], CONVERT(datetime, @P7, 121) AS [c2], CONVERT(varchar(20), @P8 COLLATE Chinese_Taiwan_Stroke_CI_AS) COLLATE Chinese_Taiwan_Stroke_CI_AS AS [c3]) AS k WHERE NOT EXISTS (SELECT 1 FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001_net] AS s WHERE s.[區域] = k.[c1] AND s.[at] = k.[c2] AND s.[code] = k.[c3]);
SELECT ROWCOUNT_BIG() AS added;
