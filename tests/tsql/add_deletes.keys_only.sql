-- @p1 bigint Some(7)
-- @p2 nvarchar Some("value 0")
-- @p3 nvarchar Some("value 1")
-- @p4 bigint Some(8)
-- @p5 nvarchar Some("value 0")
-- @p6 nvarchar Some("value 1")
SET NOCOUNT ON;
INSERT INTO [icesync].[stg_00000000000000ff_018f0000000070008000000000000001_net] ([a], [b], [_op_], [_row]) SELECT k.[c1], k.[c2], N'D', 1000 + ROW_NUMBER() OVER (ORDER BY k.[id]) FROM (SELECT @p1 AS [id], CONVERT(int, @p2) AS [c1], CONVERT(int, @p3) AS [c2] UNION ALL SELECT @p4 AS [id], CONVERT(int, @p5) AS [c1], CONVERT(int, @p6) AS [c2]) AS k WHERE NOT EXISTS (SELECT 1 FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001_net] AS s WHERE s.[a] = k.[c1] AND s.[b] = k.[c2]);
SELECT ROWCOUNT_BIG() AS added;
