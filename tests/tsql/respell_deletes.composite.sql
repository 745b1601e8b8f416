-- @p1 bigint Some(7)
-- @p2 nvarchar Some("value 0")
-- @p3 nvarchar Some("value 2")
-- @p4 nvarchar Some("value 3")
-- @p5 bigint Some(8)
-- @p6 nvarchar Some("value 0")
-- @p7 nvarchar Some("value 2")
-- @p8 nvarchar Some("value 3")
UPDATE s SET s.[區域] = d.[區域], s.[at] = d.[at], s.[code] = d.[code] FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001_net] AS s JOIN [sales].[訂單] AS d ON d.[區域] = s.[區域] AND d.[at] = s.[at] AND d.[code] = s.[code] JOIN (SELECT @p1 AS [id], CONVERT(nvarchar(10), @p2) COLLATE Chinese_Taiwan_Stroke_CI_AS AS [c1], CONVERT(datetime, @p3, 121) AS [c2], CONVERT(varchar(20), @p4 COLLATE Chinese_Taiwan_Stroke_CI_AS) COLLATE Chinese_Taiwan_Stroke_CI_AS AS [c3] UNION ALL SELECT @p5 AS [id], CONVERT(nvarchar(10), @p6) COLLATE Chinese_Taiwan_Stroke_CI_AS AS [c1], CONVERT(datetime, @p7, 121) AS [c2], CONVERT(varchar(20), @p8 COLLATE Chinese_Taiwan_Stroke_CI_AS) COLLATE Chinese_Taiwan_Stroke_CI_AS AS [c3]) AS k ON s.[區域] = k.[c1] AND s.[at] = k.[c2] AND s.[code] = k.[c3] WHERE s.[_op_] = 'D' AND NOT EXISTS (SELECT 1 FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001_net] AS o WHERE o.[_op_] = 'D' AND o.[區域] = d.[區域] AND o.[at] = d.[at] AND o.[code] = d.[code] AND (o.[_row] < s.[_row] OR EXISTS (SELECT CONVERT(varbinary(20), o.[區域]), DATALENGTH(o.[區域]), CONVERT(varbinary(20), o.[code]), DATALENGTH(o.[code]) INTERSECT SELECT CONVERT(varbinary(20), d.[區域]), DATALENGTH(d.[區域]), CONVERT(varbinary(20), d.[code]), DATALENGTH(d.[code]))));
