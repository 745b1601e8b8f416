-- @p1 bigint Some(50000)
-- @p2 nvarchar Some("100")
-- @p3 nvarchar Some("1")
-- @p4 nvarchar Some("1")
-- @p5 nvarchar Some("1")
SELECT TOP (@p1) t.[a], t.[b] FROM [dbo].[follows] AS t WHERE t.[b] >= CONVERT(int, @p3) AND (t.[b] > CONVERT(int, @p3) OR (t.[b] = CONVERT(int, @p3) AND (t.[a] > CONVERT(int, @p4) OR (t.[a] = CONVERT(int, @p4) AND (t.[b] > CONVERT(int, @p5)))))) AND t.[b] < CONVERT(int, @p2) ORDER BY t.[b], t.[a] OPTION (RECOMPILE);
