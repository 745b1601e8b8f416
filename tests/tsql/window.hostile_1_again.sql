-- @P1 nvarchar "2024-05-01 10:00:00.003"
-- @P2 nvarchar "2024-05-02 00:00:00.000"
SELECT t.[k]]], t.['when'], t.[[_rank]]], t.[_op] FROM [a]]b.c].[it's "odd"; DROP TABLE x --] AS t WHERE t.['when'] >= CONVERT(datetime, @P1, 121) AND t.['when'] <= CONVERT(datetime, @P2, 121) OPTION (RECOMPILE);
