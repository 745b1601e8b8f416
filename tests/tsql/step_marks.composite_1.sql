-- @P1 bigint 10000000
-- @P2 nvarchar "2024-05-01 10:00:00.1234567"
-- @P3 nvarchar "2024-05-02 00:00:00.0000000"
SET TRANSACTION ISOLATION LEVEL SNAPSHOT; SET LOCK_TIMEOUT 60000; SELECT CONVERT(nvarchar(100), MIN(s.mark), 121) AS mark FROM (SELECT t.[modified] AS mark, (RANK() OVER (ORDER BY t.[modified]) - 1) / @P1 AS step FROM [sales].[訂單] AS t WHERE t.[modified] >= CONVERT(datetime2(7), @P2, 121) AND t.[modified] < CONVERT(datetime2(7), @P3, 121)) AS s GROUP BY s.step ORDER BY s.step OPTION (RECOMPILE);
