-- @P1 bigint 2000
-- @P2 nvarchar "1"
-- @P3 nvarchar "100"
SELECT TOP (@P1) t.[a], t.[b] FROM [dbo].[follows] AS t WHERE t.[b] >= CONVERT(int, @P2) AND t.[b] < CONVERT(int, @P3) ORDER BY t.[b], t.[a] OPTION (RECOMPILE);
