-- @P1 bigint 41
SELECT c.k1, c.k2, CONVERT(nvarchar(20), c.k3) AS [k3], t.[區域], t.[modified], t.[at], CONVERT(nvarchar(20), t.[code]) AS [code] FROM (SELECT x.[區域] AS k1, x.[at] AS k2, x.[code] AS k3, x.SYS_CHANGE_VERSION AS v FROM CHANGETABLE(CHANGES [sales].[訂單], @P1) AS x) AS c LEFT JOIN [sales].[訂單] AS t ON t.[區域] = c.k1 AND t.[at] = c.k2 AND t.[code] = c.k3 OPTION (RECOMPILE);
