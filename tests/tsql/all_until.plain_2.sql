-- @P1 nvarchar "100"
SELECT t.[order_id], t.[rv], t.[quantity], CONVERT(nvarchar(200), t.[note]) AS [note] FROM [dbo].[orders] AS t WHERE t.[quantity] <= CONVERT(bigint, @P1) OR t.[quantity] IS NULL OPTION (RECOMPILE);
