-- @P1 nvarchar "100"
SELECT t.[order_id], t.[rv], t.[quantity], CONVERT(nvarchar(200), t.[note]) AS [note] FROM [dbo].[orders] AS t WHERE t.[order_id] < CONVERT(int, @P1) OPTION (RECOMPILE);
