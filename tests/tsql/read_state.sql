-- @p1 nvarchar Some("dbo.orders")
IF OBJECT_ID(N'[icesync].[load_state]') IS NOT NULL SELECT s.[lake_table], s.[table_uuid], s.[snapshot_id], s.[sequence_number], s.[run_id], CONVERT(nvarchar(30), s.[loaded_at], 126) AS loaded_at, s.[inserted], s.[updated], s.[deleted], s.[unchanged] FROM [icesync].[load_state] AS s WHERE s.[target] = @p1;
