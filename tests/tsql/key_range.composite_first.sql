-- @P1 nvarchar "z"
SELECT t.[區域], t.[modified], t.[at], CONVERT(nvarchar(20), t.[code]) AS [code] FROM [sales].[訂單] AS t WHERE t.[區域] < CONVERT(nvarchar(10), @P1) OPTION (RECOMPILE);
