-- @P1 bigint -5
-- @P2 bigint 64
-- @P3 bigint -68
-- @P4 bigint 58
-- @P5 bigint 443
-- @P6 bigint 506
-- @P7 bigint 571
-- @P8 bigint 826
SELECT d.bucket, COUNT_BIG(*) AS row_count, SUM(CONVERT(decimal(38, 0), d.addend)) AS checksum FROM (SELECT (CONVERT(bigint, t.[k]]]) - @P1) / @P2 AS bucket, CONVERT(bigint, SUBSTRING(HASHBYTES('SHA2_256', CONVERT(varbinary(max), 0x) + ISNULL(0x01 + CONVERT(varbinary(8), CONVERT(bigint, t.[k]]])), 0x00) + ISNULL(0x01 + CONVERT(varbinary(23), CONVERT(varchar(23), t.['when'], 121)), 0x00) + ISNULL(0x01 + CONVERT(varbinary(8), CONVERT(bigint, t.[[_rank]]])), 0x00) + ISNULL(0x01 + CONVERT(varbinary(4), CONVERT(int, DATALENGTH(CONVERT(varbinary(max), CONVERT(nvarchar(max), t.[_op]))))) + CONVERT(varbinary(max), CONVERT(nvarchar(max), t.[_op])), 0x00)), 1, 8)) AS addend FROM [a]]b.c].[it's "odd"; DROP TABLE x --] AS t WHERE ((t.[k]]] >= @P3 AND t.[k]]] <= @P4) OR (t.[k]]] >= @P5 AND t.[k]]] <= @P6) OR (t.[k]]] >= @P7 AND t.[k]]] <= @P8)) AND t.[is]]deleted] = 0) AS d GROUP BY d.bucket OPTION (RECOMPILE);
