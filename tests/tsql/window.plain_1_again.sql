-- @P1 nvarchar "0x00000000000007D0"
-- @P2 nvarchar "0x00000000000007DA"
SELECT t.[order_id], t.[rv], t.[quantity], CONVERT(nvarchar(200), t.[note]) AS [note] FROM [dbo].[orders] AS t WHERE t.[rv] >= CONVERT(binary(8), @P1, 1) AND t.[rv] <= CONVERT(binary(8), @P2, 1) OPTION (RECOMPILE);
