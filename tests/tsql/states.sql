IF OBJECT_ID(N'[icesync].[load_state]') IS NOT NULL
BEGIN
    SELECT s.[target], s.[lake_table], s.[snapshot_id], s.[sequence_number], s.[run_id], CONVERT(nvarchar(30), s.[loaded_at], 126) AS loaded_at FROM [icesync].[load_state] AS s ORDER BY s.[target];
END;
