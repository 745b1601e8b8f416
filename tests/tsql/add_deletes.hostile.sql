-- @p1 bigint Some(7)
-- @p2 nvarchar Some("value 0")
-- @p3 bigint Some(8)
-- @p4 nvarchar Some("value 0")
SET NOCOUNT ON;
INSERT INTO [icesync].[stg_00000000000000ff_018f0000000070008000000000000001_net] ([k]]], [_op_], [_row]) SELECT k.[c1], N'D', 1000 + ROW_NUMBER() OVER (ORDER BY k.[id]) FROM (SELECT @p1 AS [id], CONVERT(int, @p2) AS [c1] UNION ALL SELECT @p3 AS [id], CONVERT(int, @p4) AS [c1]) AS k WHERE NOT EXISTS (SELECT 1 FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001_net] AS s WHERE s.[k]]] = k.[c1]);
SELECT ROWCOUNT_BIG() AS added;
