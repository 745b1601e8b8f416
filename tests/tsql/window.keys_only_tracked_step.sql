-- @P1 bigint 41
-- @P2 bigint 73
SELECT c.k1, c.k2, t.[a], t.[b] FROM (SELECT x.[a] AS k1, x.[b] AS k2, x.SYS_CHANGE_VERSION AS v FROM CHANGETABLE(CHANGES [dbo].[follows], @P1) AS x) AS c LEFT JOIN [dbo].[follows] AS t ON t.[a] = c.k1 AND t.[b] = c.k2 WHERE c.v <= @P2 OPTION (RECOMPILE);
