-- @p1 nvarchar Some("a]'b")
-- @p2 nvarchar Some("z")
SELECT t.[區域], t.[modified], t.[at], CONVERT(nvarchar(20), t.[code]) AS [code] FROM [sales].[訂單] AS t WHERE t.[區域] >= CONVERT(nvarchar(10), @p1) AND t.[區域] < CONVERT(nvarchar(10), @p2) OPTION (RECOMPILE);
