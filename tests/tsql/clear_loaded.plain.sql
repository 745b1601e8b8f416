-- @P1 nvarchar "dbo.orders"
-- @P2 bigint 7
-- @P3 nvarchar "value 0"
-- @P4 bigint 8
-- @P5 nvarchar "value 0"
DELETE q FROM [icesync].[quarantine] AS q JOIN (SELECT @P2 AS [id], CONVERT(int, @P3) AS [c1] UNION ALL SELECT @P4 AS [id], CONVERT(int, @P5) AS [c1]) AS k ON k.[id] = q.[id] WHERE q.[target] = @P1 AND EXISTS (SELECT 1 FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001_net] AS s WHERE s.[order_id] = k.[c1]);
