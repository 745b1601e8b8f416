-- @P1 bigint 7
-- @P2 nvarchar "value 0"
-- @P3 nvarchar "value 1"
-- @P4 bigint 8
-- @P5 nvarchar "value 0"
-- @P6 nvarchar "value 1"
SET NOCOUNT ON;
INSERT INTO [icesync].[stg_00000000000000ff_018f0000000070008000000000000001_net] ([a], [b], [_op_], [_row]) SELECT k.[c1], k.[c2], N'D', 1000 + ROW_NUMBER() OVER (ORDER BY k.[id]) FROM (SELECT @P1 AS [id], CONVERT(int, @P2) AS [c1], CONVERT(int, @P3) AS [c2] UNION ALL SELECT @P4 AS [id], CONVERT(int, @P5) AS [c1], CONVERT(int, @P6) AS [c2]) AS k WHERE NOT EXISTS (SELECT 1 FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001_net] AS s WHERE s.[a] = k.[c1] AND s.[b] = k.[c2]);
SELECT ROWCOUNT_BIG() AS added;
