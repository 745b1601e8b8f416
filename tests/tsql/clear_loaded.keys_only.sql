-- @P1 nvarchar "dbo.follows"
-- @P2 bigint 7
-- @P3 nvarchar "value 0"
-- @P4 nvarchar "value 1"
-- @P5 bigint 8
-- @P6 nvarchar "value 0"
-- @P7 nvarchar "value 1"
DELETE q FROM [icesync].[quarantine] AS q JOIN (SELECT @P2 AS [id], CONVERT(int, @P3) AS [c1], CONVERT(int, @P4) AS [c2] UNION ALL SELECT @P5 AS [id], CONVERT(int, @P6) AS [c1], CONVERT(int, @P7) AS [c2]) AS k ON k.[id] = q.[id] WHERE q.[target] = @P1 AND EXISTS (SELECT 1 FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001_net] AS s WHERE s.[a] = k.[c1] AND s.[b] = k.[c2]);
