-- @P1 bigint 41
SELECT c.k1, t.[order_id], t.[rv], t.[quantity], CONVERT(nvarchar(200), t.[note]) AS [note] FROM (SELECT x.[order_id] AS k1, x.SYS_CHANGE_VERSION AS v FROM CHANGETABLE(CHANGES [dbo].[orders], @P1) AS x) AS c LEFT JOIN [dbo].[orders] AS t ON t.[order_id] = c.k1 OPTION (RECOMPILE);
