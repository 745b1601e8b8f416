-- @p1 nvarchar Some("[a]]b.c].[it's \"odd\"; DROP TABLE x --]")
-- @p2 bigint Some(7)
-- @p3 nvarchar Some("value 0")
-- @p4 bigint Some(8)
-- @p5 nvarchar Some("value 0")
DELETE q FROM [icesync].[quarantine] AS q JOIN (SELECT @p2 AS [id], CONVERT(int, @p3) AS [c1] UNION ALL SELECT @p4 AS [id], CONVERT(int, @p5) AS [c1]) AS k ON k.[id] = q.[id] WHERE q.[target] = @p1 AND EXISTS (SELECT 1 FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001_net] AS s WHERE s.[k]]] = k.[c1]);
