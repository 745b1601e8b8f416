-- @P1 nvarchar "100"
SELECT t.[a], t.[b] FROM [dbo].[follows] AS t WHERE t.[a] < CONVERT(int, @P1) OPTION (RECOMPILE);
