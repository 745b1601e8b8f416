-- @P1 bigint 2000
-- @P2 nvarchar "1"
-- @P3 nvarchar "100"
SELECT TOP (@P1) t.[k]]], t.['when'], t.[[_rank]]], t.[_op] FROM [a]]b.c].[it's "odd"; DROP TABLE x --] AS t WHERE t.[[_rank]]] > CONVERT(int, @P2) AND t.[[_rank]]] <= CONVERT(int, @P3) ORDER BY t.[[_rank]]], t.[k]]] OPTION (RECOMPILE);
