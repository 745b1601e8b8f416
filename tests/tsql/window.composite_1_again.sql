-- @P1 nvarchar "2024-05-01 10:00:00.1234567"
-- @P2 nvarchar "2024-05-02 00:00:00.0000000"
SELECT t.[區域], t.[modified], t.[at], CONVERT(nvarchar(20), t.[code]) AS [code] FROM [sales].[訂單] AS t WHERE t.[modified] >= CONVERT(datetime2(7), @P1, 121) AND t.[modified] <= CONVERT(datetime2(7), @P2, 121) OPTION (RECOMPILE);
