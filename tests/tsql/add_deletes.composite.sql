-- @p1 bigint Some(7)
-- @p2 nvarchar Some("value 0")
-- @p3 nvarchar Some("value 2")
-- @p4 nvarchar Some("value 3")
-- @p5 bigint Some(8)
-- @p6 nvarchar Some("value 0")
-- @p7 nvarchar Some("value 2")
-- @p8 nvarchar Some("value 3")
SET NOCOUNT ON;
INSERT INTO [icesync].[stg_00000000000000ff_018f0000000070008000000000000001_net] ([區域], [at], [code], [_op_], [_row]) SELECT k.[c1], k.[c2], k.[c3], N'D', 1000 + ROW_NUMBER() OVER (ORDER BY k.[id]) FROM (SELECT @p1 AS [id], CONVERT(nvarchar(10), @p2) COLLATE Chinese_Taiwan_Stroke_CI_AS AS [c1], CONVERT(datetime, @p3, 121) AS [c2], CONVERT(varchar(20), @p4 COLLATE Chinese_Taiwan_Stroke_CI_AS) COLLATE Chinese_Taiwan_Stroke_CI_AS AS [c3] UNION ALL SELECT @p5 AS [id], CONVERT(nvarchar(10), @p6) COLLATE Chinese_Taiwan_Stroke_CI_AS AS [c1], CONVERT(datetime, @p7, 121) AS [c2], CONVERT(varchar(20), @p8 COLLATE Chinese_Taiwan_Stroke_CI_AS) COLLATE Chinese_Taiwan_Stroke_CI_AS AS [c3]) AS k WHERE NOT EXISTS (SELECT 1 FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001_net] AS s WHERE s.[區域] = k.[c1] AND s.[at] = k.[c2] AND s.[code] = k.[c3]);
SELECT ROWCOUNT_BIG() AS added;
