-- @P1 bigint 10000000
-- @P2 nvarchar "1"
-- @P3 nvarchar "100"
SET TRANSACTION ISOLATION LEVEL SNAPSHOT; SET LOCK_TIMEOUT 60000; SELECT CONVERT(nvarchar(100), MAX(s.mark)) AS mark FROM (SELECT t.[[_rank]]] AS mark, (RANK() OVER (ORDER BY t.[[_rank]]]) - 1) / @P1 AS step FROM [a]]b.c].[it's "odd"; DROP TABLE x --] AS t WHERE t.[[_rank]]] > CONVERT(int, @P2) AND t.[[_rank]]] <= CONVERT(int, @P3)) AS s GROUP BY s.step ORDER BY s.step OPTION (RECOMPILE);
