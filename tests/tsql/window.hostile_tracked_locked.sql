-- @P1 bigint 41
SELECT c.k1, t.[k]]], t.['when'], t.[[_rank]]], t.[_op] FROM (SELECT x.[k]]] AS k1, x.SYS_CHANGE_VERSION AS v FROM CHANGETABLE(CHANGES [a]]b.c].[it's "odd"; DROP TABLE x --], @P1) AS x) AS c LEFT JOIN [a]]b.c].[it's "odd"; DROP TABLE x --] AS t WITH (TABLOCK, HOLDLOCK) ON t.[k]]] = c.k1 OPTION (RECOMPILE);
