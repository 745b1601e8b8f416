SELECT CONVERT(bigint, MIN([a])) AS low, CONVERT(bigint, MAX([a])) AS high FROM [dbo].[follows];
