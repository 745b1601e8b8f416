-- @p1 bigint Some(50000)
-- @p2 nvarchar Some("2024-05-02 00:00:00.0000000")
-- @p3 nvarchar Some("2024-05-01 10:00:00.1234567")
-- @p4 nvarchar Some("a]'b")
-- @p5 nvarchar Some("2024-05-01 10:00:00.003")
-- @p6 nvarchar Some("a]'b")
SELECT TOP (@p1) t.[區域], t.[modified], t.[at], CONVERT(nvarchar(20), t.[code]) AS [code] FROM [sales].[訂單] AS t WHERE t.[modified] >= CONVERT(datetime2(7), @p3, 121) AND (t.[modified] > CONVERT(datetime2(7), @p3, 121) OR (t.[modified] = CONVERT(datetime2(7), @p3, 121) AND (t.[區域] > CONVERT(nvarchar(10), @p4) OR (t.[區域] = CONVERT(nvarchar(10), @p4) AND (t.[at] > CONVERT(datetime, @p5, 121) OR (t.[at] = CONVERT(datetime, @p5, 121) AND (t.[code] > CONVERT(varchar(20), @p6 COLLATE Chinese_Taiwan_Stroke_CI_AS)))))))) AND t.[modified] < CONVERT(datetime2(7), @p2, 121) ORDER BY t.[modified], t.[區域], t.[at], t.[code] OPTION (RECOMPILE);
