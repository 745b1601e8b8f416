-- @P1 bigint 2000
-- @P2 nvarchar "100"
-- @P3 nvarchar "1"
-- @P4 nvarchar "1"
-- @P5 nvarchar "1"
SELECT TOP (@P1) t.[a], t.[b] FROM [dbo].[follows] AS t WHERE t.[b] >= CONVERT(int, @P3) AND (t.[b] > CONVERT(int, @P3) OR (t.[b] = CONVERT(int, @P3) AND (t.[a] > CONVERT(int, @P4) OR (t.[a] = CONVERT(int, @P4) AND (t.[b] > CONVERT(int, @P5)))))) AND t.[b] < CONVERT(int, @P2) ORDER BY t.[b], t.[a] OPTION (RECOMPILE);
