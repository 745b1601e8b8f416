-- @p1 nvarchar Some("0x00000000000007DA")
SELECT t.[order_id], t.[rv], t.[quantity], CONVERT(nvarchar(200), t.[note]) AS [note] FROM [dbo].[orders] AS t WHERE t.[rv] < CONVERT(binary(8), @p1, 1) OR t.[rv] IS NULL OPTION (RECOMPILE);
