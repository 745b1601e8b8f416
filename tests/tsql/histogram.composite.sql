-- @P1 nvarchar "[sales].[訂單]"
-- @P2 bigint 1
SELECT CONVERT(nvarchar(4000), CONVERT(nvarchar(10), h.range_high_key)) AS high, CONVERT(bigint, h.range_rows + h.equal_rows) AS row_count FROM (SELECT TOP (1) s.object_id, s.stats_id FROM sys.stats AS s JOIN sys.stats_columns AS c ON c.object_id = s.object_id AND c.stats_id = s.stats_id WHERE s.object_id = OBJECT_ID(@P1) AND s.has_filter = 0 AND c.stats_column_id = 1 AND c.column_id = @P2 ORDER BY s.stats_id) AS s CROSS APPLY sys.dm_db_stats_histogram(s.object_id, s.stats_id) AS h ORDER BY h.step_number;
