-- @p1 bigint Some(50000)
-- @p2 nvarchar Some("2024-05-01 10:00:00.003")
-- @p3 nvarchar Some("2024-05-02 00:00:00.000")
SELECT TOP (@p1) t.[k]]], t.['when'], t.[[_rank]]], t.[_op] FROM [a]]b.c].[it's "odd"; DROP TABLE x --] AS t WITH (TABLOCK, HOLDLOCK) WHERE t.['when'] >= CONVERT(datetime, @p2, 121) AND t.['when'] < CONVERT(datetime, @p3, 121) ORDER BY t.['when'], t.[k]]] OPTION (RECOMPILE);
