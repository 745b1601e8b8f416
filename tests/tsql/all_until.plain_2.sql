-- @p1 nvarchar Some("100")
SELECT t.[order_id], t.[rv], t.[quantity], CONVERT(nvarchar(200), t.[note]) AS [note] FROM [dbo].[orders] AS t WHERE t.[quantity] <= CONVERT(bigint, @p1) OR t.[quantity] IS NULL OPTION (RECOMPILE);
