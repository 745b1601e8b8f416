-- @P1 bigint 10000000
-- @P2 nvarchar "1"
-- @P3 nvarchar "100"
SET TRANSACTION ISOLATION LEVEL SNAPSHOT; SET LOCK_TIMEOUT 60000; SELECT CONVERT(nvarchar(100), MAX(s.mark)) AS mark FROM (SELECT t.[c3] AS mark, (RANK() OVER (ORDER BY t.[c3]) - 1) / @P1 AS step FROM [dbo].[every_type] AS t WHERE t.[c3] > CONVERT(tinyint, @P2) AND t.[c3] <= CONVERT(tinyint, @P3)) AS s GROUP BY s.step ORDER BY s.step OPTION (RECOMPILE);
