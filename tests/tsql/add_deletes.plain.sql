-- @P1 bigint 7
-- @P2 nvarchar "value 0"
-- @P3 bigint 8
-- @P4 nvarchar "value 0"
SET NOCOUNT ON;
INSERT INTO [icesync].[stg_00000000000000ff_018f0000000070008000000000000001_net] ([order_id], [_op_], [_row]) SELECT k.[c1], N'D', 1000 + ROW_NUMBER() OVER (ORDER BY k.[id]) FROM (SELECT @P1 AS [id], CONVERT(int, @P2) AS [c1] UNION ALL SELECT @P3 AS [id], CONVERT(int, @P4) AS [c1]) AS k WHERE NOT EXISTS (SELECT 1 FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001_net] AS s WHERE s.[order_id] = k.[c1]);
SELECT ROWCOUNT_BIG() AS added;
