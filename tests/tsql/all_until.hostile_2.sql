-- @P1 nvarchar "100"
SELECT t.[k]]], t.['when'], t.[[_rank]]], t.[_op] FROM [a]]b.c].[it's "odd"; DROP TABLE x --] AS t WHERE t.[[_rank]]] <= CONVERT(int, @P1) OR t.[[_rank]]] IS NULL OPTION (RECOMPILE);
