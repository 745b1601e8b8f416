-- @P1 bigint 2000
-- @P2 nvarchar "100"
-- @P3 nvarchar "1"
-- @P4 nvarchar "1"
SELECT TOP (@P1) t.[k]]], t.['when'], t.[[_rank]]], t.[_op] FROM [a]]b.c].[it's "odd"; DROP TABLE x --] AS t WHERE t.[[_rank]]] >= CONVERT(int, @P3) AND (t.[[_rank]]] > CONVERT(int, @P3) OR (t.[[_rank]]] = CONVERT(int, @P3) AND (t.[k]]] > CONVERT(int, @P4)))) AND t.[[_rank]]] <= CONVERT(int, @P2) ORDER BY t.[[_rank]]], t.[k]]] OPTION (RECOMPILE);
