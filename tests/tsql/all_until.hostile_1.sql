-- @P1 nvarchar "2024-05-02 00:00:00.000"
SELECT t.[k]]], t.['when'], t.[[_rank]]], t.[_op] FROM [a]]b.c].[it's "odd"; DROP TABLE x --] AS t WHERE t.['when'] < CONVERT(datetime, @P1, 121) OR t.['when'] IS NULL OPTION (RECOMPILE);
