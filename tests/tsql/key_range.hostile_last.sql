-- @P1 nvarchar "1"
SELECT t.[k]]], t.['when'], t.[[_rank]]], t.[_op] FROM [a]]b.c].[it's "odd"; DROP TABLE x --] AS t WHERE t.[k]]] >= CONVERT(int, @P1) OPTION (RECOMPILE);
