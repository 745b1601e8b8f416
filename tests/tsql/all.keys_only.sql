SELECT t.[a], t.[b] FROM [dbo].[follows] AS t;
