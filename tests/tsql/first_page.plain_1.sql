-- @p1 bigint Some(50000)
-- @p2 nvarchar Some("0x00000000000007D0")
-- @p3 nvarchar Some("0x00000000000007DA")
SELECT TOP (@p1) t.[order_id], t.[rv], t.[quantity], CONVERT(nvarchar(200), t.[note]) AS [note] FROM [dbo].[orders] AS t WITH (TABLOCK, HOLDLOCK) WHERE t.[rv] >= CONVERT(binary(8), @p2, 1) AND t.[rv] < CONVERT(binary(8), @p3, 1) ORDER BY t.[rv], t.[order_id] OPTION (RECOMPILE);
