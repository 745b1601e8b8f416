-- @p1 bigint Some(50000)
-- @p2 nvarchar Some("2024-05-01 10:00:00.003")
-- @p3 nvarchar Some("2024-05-02 00:00:00.000")
SELECT TOP (@p1) t.[區域], t.[modified], t.[at], CONVERT(nvarchar(20), t.[code]) AS [code] FROM [sales].[訂單] AS t WITH (TABLOCK, HOLDLOCK) WHERE t.[at] > CONVERT(datetime, @p2, 121) AND t.[at] <= CONVERT(datetime, @p3, 121) ORDER BY t.[at], t.[區域], t.[code] OPTION (RECOMPILE);
