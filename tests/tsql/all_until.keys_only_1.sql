-- @P1 nvarchar "100"
SELECT t.[a], t.[b] FROM [dbo].[follows] AS t WHERE t.[b] < CONVERT(int, @P1) OR t.[b] IS NULL OPTION (RECOMPILE);
