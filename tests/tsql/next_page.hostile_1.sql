-- @P1 bigint 2000
-- @P2 nvarchar "2024-05-02 00:00:00.000"
-- @P3 nvarchar "2024-05-01 10:00:00.003"
-- @P4 nvarchar "1"
SELECT TOP (@P1) t.[k]]], t.['when'], t.[[_rank]]], t.[_op] FROM [a]]b.c].[it's "odd"; DROP TABLE x --] AS t WHERE t.['when'] >= CONVERT(datetime, @P3, 121) AND (t.['when'] > CONVERT(datetime, @P3, 121) OR (t.['when'] = CONVERT(datetime, @P3, 121) AND (t.[k]]] > CONVERT(int, @P4)))) AND t.['when'] < CONVERT(datetime, @P2, 121) ORDER BY t.['when'], t.[k]]] OPTION (RECOMPILE);
