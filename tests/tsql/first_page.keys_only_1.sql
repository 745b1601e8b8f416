-- @p1 bigint Some(50000)
-- @p2 nvarchar Some("1")
-- @p3 nvarchar Some("100")
SELECT TOP (@p1) t.[a], t.[b] FROM [dbo].[follows] AS t WITH (TABLOCK, HOLDLOCK) WHERE t.[b] >= CONVERT(int, @p2) AND t.[b] < CONVERT(int, @p3) ORDER BY t.[b], t.[a] OPTION (RECOMPILE);
