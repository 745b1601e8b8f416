-- @p1 nvarchar Some("1")
SELECT t.[a], t.[b] FROM [dbo].[follows] AS t WHERE t.[a] >= CONVERT(int, @p1) OPTION (RECOMPILE);
