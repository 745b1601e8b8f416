-- @p1 bigint Some(50000)
-- @p2 nvarchar Some("1")
-- @p3 nvarchar Some("100")
SELECT TOP (@p1) t.[order_id], t.[rv], t.[quantity], CONVERT(nvarchar(200), t.[note]) AS [note] FROM [dbo].[orders] AS t WITH (TABLOCK, HOLDLOCK) WHERE t.[quantity] > CONVERT(bigint, @p2) AND t.[quantity] <= CONVERT(bigint, @p3) ORDER BY t.[quantity], t.[order_id] OPTION (RECOMPILE);
