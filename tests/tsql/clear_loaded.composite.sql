-- @P1 nvarchar "sales.訂單"
-- @P2 bigint 7
-- @P3 nvarchar "value 0"
-- @P4 nvarchar "value 2"
-- @P5 nvarchar "value 3"
-- @P6 bigint 8
-- @P7 nvarchar "value 0"
-- @P8 nvarchar "value 2"
-- @P9 nvarchar "value 3"
DELETE q FROM [icesync].[quarantine] AS q JOIN (SELECT @P2 AS [id], CONVERT(nvarchar(10), @P3) COLLATE Chinese_Taiwan_Stroke_CI_AS AS [c1], CONVERT(datetime, @P4, 121) AS [c2], CONVERT(varchar(20), @P5 COLLATE Chinese_Taiwan_Stroke_CI_AS) COLLATE Chinese_Taiwan_Stroke_CI_AS AS [c3] UNION ALL SELECT @P6 AS [id], CONVERT(nvarchar(10), @P7) COLLATE Chinese_Taiwan_Stroke_CI_AS AS [c1], CONVERT(datetime, @P8, 121) AS [c2], CONVERT(varchar(20), @P9 COLLATE Chinese_Taiwan_Stroke_CI_AS) COLLATE Chinese_Taiwan_Stroke_CI_AS AS [c3]) AS k ON k.[id] = q.[id] WHERE q.[target] = @P1 AND EXISTS (SELECT 1 FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001_net] AS s WHERE s.[區域] = k.[c1] AND s.[at] = k.[c2] AND s.[code] = k.[c3]);
