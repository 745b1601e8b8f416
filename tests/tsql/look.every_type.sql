-- @P1 nvarchar "[dbo].[every_type]"
-- @P2 nvarchar "dbo.every_type"
SET LOCK_TIMEOUT 10000;
SELECT o.object_id, CONVERT(nvarchar(30), o.create_date, 126) AS create_date, RTRIM(o.type) AS object_type FROM sys.objects AS o WHERE o.object_id = OBJECT_ID(@P1);
DECLARE @rows bigint = 0;
IF OBJECT_ID(N'[icesync].[quarantine]') IS NOT NULL
BEGIN
    SELECT @rows = COUNT_BIG(*) FROM [icesync].[quarantine] AS q WHERE q.[target] = @P2;
END;
SELECT @rows AS in_quarantine;
IF COL_LENGTH(N'[icesync].[load_state]', N'pending_whole') IS NOT NULL
BEGIN
    EXEC sp_executesql N'SELECT s.[lake_table], s.[table_uuid], s.[snapshot_id], s.[sequence_number], s.[run_id], CONVERT(nvarchar(30), s.[loaded_at], 126) AS loaded_at, s.[inserted], s.[updated], s.[deleted], s.[unchanged], s.[target_object_id], s.[target_created], s.[merge_mode], s.[pending_snapshot_id], s.[pending_sequence_number], s.[pending_rows], s.[pending_applied], s.[loaded_columns], CONVERT(int, s.[pending_whole]) AS pending_whole FROM [icesync].[load_state] AS s WHERE s.[target] = @target;', N'@target nvarchar(300)', @target = @P2;
END
ELSE IF COL_LENGTH(N'[icesync].[load_state]', N'pending_applied') IS NOT NULL
BEGIN
    EXEC sp_executesql N'SELECT s.[lake_table], s.[table_uuid], s.[snapshot_id], s.[sequence_number], s.[run_id], CONVERT(nvarchar(30), s.[loaded_at], 126) AS loaded_at, s.[inserted], s.[updated], s.[deleted], s.[unchanged], s.[target_object_id], s.[target_created], s.[merge_mode], s.[pending_snapshot_id], s.[pending_sequence_number], s.[pending_rows], s.[pending_applied], s.[loaded_columns], CONVERT(int, NULL) AS pending_whole FROM [icesync].[load_state] AS s WHERE s.[target] = @target;', N'@target nvarchar(300)', @target = @P2;
END
ELSE IF COL_LENGTH(N'[icesync].[load_state]', N'target_object_id') IS NOT NULL
BEGIN
    EXEC sp_executesql N'SELECT s.[lake_table], s.[table_uuid], s.[snapshot_id], s.[sequence_number], s.[run_id], CONVERT(nvarchar(30), s.[loaded_at], 126) AS loaded_at, s.[inserted], s.[updated], s.[deleted], s.[unchanged], s.[target_object_id], s.[target_created], CONVERT(nvarchar(2000), NULL) AS merge_mode, CONVERT(bigint, NULL) AS pending_snapshot_id, CONVERT(bigint, NULL) AS pending_sequence_number, CONVERT(bigint, NULL) AS pending_rows, CONVERT(bigint, NULL) AS pending_applied, CONVERT(nvarchar(max), NULL) AS loaded_columns, CONVERT(int, NULL) AS pending_whole FROM [icesync].[load_state] AS s WHERE s.[target] = @target;', N'@target nvarchar(300)', @target = @P2;
END
ELSE IF OBJECT_ID(N'[icesync].[load_state]') IS NOT NULL
BEGIN
    SELECT s.[lake_table], s.[table_uuid], s.[snapshot_id], s.[sequence_number], s.[run_id], CONVERT(nvarchar(30), s.[loaded_at], 126) AS loaded_at, s.[inserted], s.[updated], s.[deleted], s.[unchanged], CONVERT(int, NULL) AS target_object_id, CONVERT(nvarchar(30), NULL) AS target_created, CONVERT(nvarchar(2000), NULL) AS merge_mode, CONVERT(bigint, NULL) AS pending_snapshot_id, CONVERT(bigint, NULL) AS pending_sequence_number, CONVERT(bigint, NULL) AS pending_rows, CONVERT(bigint, NULL) AS pending_applied, CONVERT(nvarchar(max), NULL) AS loaded_columns, CONVERT(int, NULL) AS pending_whole FROM [icesync].[load_state] AS s WHERE s.[target] = @P2;
END;
SET LOCK_TIMEOUT -1;
