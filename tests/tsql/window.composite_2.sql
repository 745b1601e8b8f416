-- @P1 nvarchar "2024-05-01 10:00:00.003"
-- @P2 nvarchar "2024-05-02 00:00:00.000"
SELECT t.[區域], t.[modified], t.[at], CONVERT(nvarchar(20), t.[code]) AS [code] FROM [sales].[訂單] AS t WHERE t.[at] > CONVERT(datetime, @P1, 121) AND t.[at] <= CONVERT(datetime, @P2, 121) OPTION (RECOMPILE);
