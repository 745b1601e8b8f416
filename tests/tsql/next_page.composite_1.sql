-- @P1 bigint 2000
-- @P2 nvarchar "2024-05-02 00:00:00.0000000"
-- @P3 nvarchar "2024-05-01 10:00:00.1234567"
-- @P4 nvarchar "a]'b"
-- @P5 nvarchar "2024-05-01 10:00:00.003"
-- @P6 nvarchar "a]'b"
SELECT TOP (@P1) t.[區域], t.[modified], t.[at], CONVERT(nvarchar(20), t.[code]) AS [code] FROM [sales].[訂單] AS t WHERE t.[modified] >= CONVERT(datetime2(7), @P3, 121) AND (t.[modified] > CONVERT(datetime2(7), @P3, 121) OR (t.[modified] = CONVERT(datetime2(7), @P3, 121) AND (t.[區域] > CONVERT(nvarchar(10), @P4) OR (t.[區域] = CONVERT(nvarchar(10), @P4) AND (t.[at] > CONVERT(datetime, @P5, 121) OR (t.[at] = CONVERT(datetime, @P5, 121) AND (t.[code] > CONVERT(varchar(20), @P6 COLLATE Chinese_Taiwan_Stroke_CI_AS)))))))) AND t.[modified] < CONVERT(datetime2(7), @P2, 121) ORDER BY t.[modified], t.[區域], t.[at], t.[code] OPTION (RECOMPILE);
