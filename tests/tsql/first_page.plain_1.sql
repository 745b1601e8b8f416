-- @P1 bigint 2000
-- @P2 nvarchar "0x00000000000007D0"
-- @P3 nvarchar "0x00000000000007DA"
SELECT TOP (@P1) t.[order_id], t.[rv], t.[quantity], CONVERT(nvarchar(200), t.[note]) AS [note] FROM [dbo].[orders] AS t WHERE t.[rv] >= CONVERT(binary(8), @P2, 1) AND t.[rv] < CONVERT(binary(8), @P3, 1) ORDER BY t.[rv], t.[order_id] OPTION (RECOMPILE);
