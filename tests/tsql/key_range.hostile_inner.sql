-- @p1 nvarchar Some("1")
-- @p2 nvarchar Some("100")
SELECT t.[k]]], t.['when'], t.[[_rank]]], t.[_op] FROM [a]]b.c].[it's "odd"; DROP TABLE x --] AS t WHERE t.[k]]] >= CONVERT(int, @p1) AND t.[k]]] < CONVERT(int, @p2) OPTION (RECOMPILE);
