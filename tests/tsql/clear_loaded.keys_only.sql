-- @p1 nvarchar Some("dbo.follows")
-- @p2 bigint Some(7)
-- @p3 nvarchar Some("value 0")
-- @p4 nvarchar Some("value 1")
-- @p5 bigint Some(8)
-- @p6 nvarchar Some("value 0")
-- @p7 nvarchar Some("value 1")
DELETE q FROM [icesync].[quarantine] AS q JOIN (SELECT @p2 AS [id], CONVERT(int, @p3) AS [c1], CONVERT(int, @p4) AS [c2] UNION ALL SELECT @p5 AS [id], CONVERT(int, @p6) AS [c1], CONVERT(int, @p7) AS [c2]) AS k ON k.[id] = q.[id] WHERE q.[target] = @p1 AND EXISTS (SELECT 1 FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001_net] AS s WHERE s.[a] = k.[c1] AND s.[b] = k.[c2]);
