-- @p1 nvarchar Some("100")
SELECT t.[a], t.[b] FROM [dbo].[follows] AS t WHERE t.[b] < CONVERT(int, @p1) OR t.[b] IS NULL OPTION (RECOMPILE);
