-- @P1 bigint 10000000
-- @P2 nvarchar "1"
-- @P3 nvarchar "100"
SET TRANSACTION ISOLATION LEVEL SNAPSHOT; SET LOCK_TIMEOUT 60000; SELECT CONVERT(nvarchar(100), MIN(s.mark)) AS mark FROM (SELECT t.[b] AS mark, (RANK() OVER (ORDER BY t.[b]) - 1) / @P1 AS step FROM [dbo].[follows] AS t WHERE t.[b] >= CONVERT(int, @P2) AND t.[b] < CONVERT(int, @P3)) AS s GROUP BY s.step ORDER BY s.step OPTION (RECOMPILE);
