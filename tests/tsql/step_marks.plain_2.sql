-- @P1 bigint 10000000
-- @P2 nvarchar "1"
-- @P3 nvarchar "100"
SET TRANSACTION ISOLATION LEVEL SNAPSHOT; SET LOCK_TIMEOUT 60000; SELECT CONVERT(nvarchar(100), MAX(s.mark)) AS mark FROM (SELECT t.[quantity] AS mark, (RANK() OVER (ORDER BY t.[quantity]) - 1) / @P1 AS step FROM [dbo].[orders] AS t WHERE t.[quantity] > CONVERT(bigint, @P2) AND t.[quantity] <= CONVERT(bigint, @P3)) AS s GROUP BY s.step ORDER BY s.step OPTION (RECOMPILE);
