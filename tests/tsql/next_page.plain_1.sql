-- @p1 bigint Some(50000)
-- @p2 nvarchar Some("0x00000000000007DA")
-- @p3 nvarchar Some("0x00000000000007D0")
-- @p4 nvarchar Some("1")
SELECT TOP (@p1) t.[order_id], t.[rv], t.[quantity], CONVERT(nvarchar(200), t.[note]) AS [note] FROM [dbo].[orders] AS t WHERE t.[rv] >= CONVERT(binary(8), @p3, 1) AND (t.[rv] > CONVERT(binary(8), @p3, 1) OR (t.[rv] = CONVERT(binary(8), @p3, 1) AND (t.[order_id] > CONVERT(int, @p4)))) AND t.[rv] < CONVERT(binary(8), @p2, 1) ORDER BY t.[rv], t.[order_id] OPTION (RECOMPILE);
