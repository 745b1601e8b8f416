-- @P1 nvarchar "1"
-- @P2 nvarchar "100"
SELECT t.[a], t.[b] FROM [dbo].[follows] AS t WHERE t.[b] >= CONVERT(int, @P1) AND t.[b] <= CONVERT(int, @P2) OPTION (RECOMPILE);
