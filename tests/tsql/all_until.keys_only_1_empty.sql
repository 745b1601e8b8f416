SELECT t.[a], t.[b] FROM [dbo].[follows] AS t WHERE t.[b] IS NULL OPTION (RECOMPILE);
