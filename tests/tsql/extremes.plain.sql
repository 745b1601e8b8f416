SELECT CONVERT(bigint, MIN([order_id])) AS low, CONVERT(bigint, MAX([order_id])) AS high FROM [dbo].[orders];
