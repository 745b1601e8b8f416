-- @p1 bigint Some(50000)
-- @p2 nvarchar Some("1")
-- @p3 nvarchar Some("100")
SELECT TOP (@p1) t.[k]]], t.['when'], t.[[_rank]]], t.[_op] FROM [a]]b.c].[it's "odd"; DROP TABLE x --] AS t WITH (TABLOCK, HOLDLOCK) WHERE t.[[_rank]]] > CONVERT(int, @p2) AND t.[[_rank]]] <= CONVERT(int, @p3) ORDER BY t.[[_rank]]], t.[k]]] OPTION (RECOMPILE);
