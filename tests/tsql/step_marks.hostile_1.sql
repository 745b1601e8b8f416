-- @P1 bigint 10000000
-- @P2 nvarchar "2024-05-01 10:00:00.003"
-- @P3 nvarchar "2024-05-02 00:00:00.000"
SET TRANSACTION ISOLATION LEVEL SNAPSHOT; SET LOCK_TIMEOUT 60000; SELECT CONVERT(nvarchar(100), MIN(s.mark), 121) AS mark FROM (SELECT t.['when'] AS mark, (RANK() OVER (ORDER BY t.['when']) - 1) / @P1 AS step FROM [a]]b.c].[it's "odd"; DROP TABLE x --] AS t WHERE t.['when'] >= CONVERT(datetime, @P2, 121) AND t.['when'] < CONVERT(datetime, @P3, 121)) AS s GROUP BY s.step ORDER BY s.step OPTION (RECOMPILE);
