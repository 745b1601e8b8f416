-- @p1 nvarchar Some("1")
-- @p2 nvarchar Some("100")
SELECT t.[order_id], t.[rv], t.[quantity], CONVERT(nvarchar(200), t.[note]) AS [note] FROM [dbo].[orders] AS t WHERE t.[order_id] >= CONVERT(int, @p1) AND t.[order_id] < CONVERT(int, @p2) OPTION (RECOMPILE);
