-- @P1 bigint 10000000
-- @P2 nvarchar "0x00000000000007D0"
-- @P3 nvarchar "0x00000000000007DA"
SET TRANSACTION ISOLATION LEVEL SNAPSHOT; SET LOCK_TIMEOUT 60000; SELECT CONVERT(nvarchar(100), CONVERT(binary(8), MIN(s.mark)), 1) AS mark FROM (SELECT t.[rv] AS mark, (RANK() OVER (ORDER BY t.[rv]) - 1) / @P1 AS step FROM [dbo].[orders] AS t WHERE t.[rv] >= CONVERT(binary(8), @P2, 1) AND t.[rv] < CONVERT(binary(8), @P3, 1)) AS s GROUP BY s.step ORDER BY s.step OPTION (RECOMPILE);
