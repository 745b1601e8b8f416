-- @P1 bigint 7
-- @P2 nvarchar "value 0"
-- @P3 nvarchar "value 2"
-- @P4 nvarchar "value 3"
-- @P5 bigint 8
-- @P6 nvarchar "value 0"
-- @P7 nvarchar "value 2"
-- @P8 nvarchar "value 3"
UPDATE s SET s.[區域] = d.[區域], s.[at] = d.[at], s.[code] = d.[code] FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001_net] AS s JOIN [sales].[訂單] AS d ON d.[區域] = s.[區域] AND d.[at] = s.[at] AND d.[code] = s.[code] JOIN (SELECT @P1 AS [id], CONVERT(nvarchar(10), @P2) COLLATE Chinese_Taiwan_Stroke_CI_AS AS [c1], CONVERT(datetime, @P3, 121) AS [c2], CONVERT(varchar(20), @P4 COLLATE Chinese_Taiwan_Stroke_CI_AS) COLLATE Chinese_Taiwan_Stroke_CI_AS AS [c3] UNION ALL SELECT @P5 AS [id], CONVERT(nvarchar(10), @P6) COLLATE Chinese_Taiwan_Stroke_CI_AS AS [c1], CONVERT(datetime, @P7, 121) AS [c2], CONVERT(varchar(20), @P8 COLLATE Chinese_Taiwan_Stroke_CI_AS) COLLATE Chinese_Taiwan_Stroke_CI_AS AS [c3]) AS k ON s.[區域] = k.[c1] AND s.[at] = k.[c2] AND s.[code] = k.[c3] WHERE s.[_op_] = 'D' AND NOT EXISTS (SELECT 1 FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001_net] AS o WHERE o.[_op_] = 'D' AND o.[區域] = d.[區域] AND o.[at] = d.[at] AND o.[code] = d.[code] AND (o.[_row] < s.[_row] OR EXISTS (SELECT CONVERT(varbinary(20), o.[區域]), DATALENGTH(o.[區域]), CONVERT(varbinary(20), o.[code]), DATALENGTH(o.[code]) INTERSECT SELECT CONVERT(varbinary(20), d.[區域]), DATALENGTH(d.[區域]), CONVERT(varbinary(20), d.[code]), DATALENGTH(d.[code]))));
