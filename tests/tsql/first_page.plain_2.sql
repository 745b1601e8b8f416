-- @P1 bigint 2000
-- @P2 nvarchar "1"
-- @P3 nvarchar "100"
SELECT TOP (@P1) t.[order_id], t.[rv], t.[quantity], CONVERT(nvarchar(200), t.[note]) AS [note] FROM [dbo].[orders] AS t WHERE t.[quantity] > CONVERT(bigint, @P2) AND t.[quantity] <= CONVERT(bigint, @P3) ORDER BY t.[quantity], t.[order_id] OPTION (RECOMPILE);
