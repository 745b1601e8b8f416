-- @P1 nvarchar "dbo.orders"
-- @P2 nvarchar "icesync:apply:dbo.orders"
SET XACT_ABORT ON;
DECLARE @rc int;
BEGIN TRANSACTION;
EXEC @rc = sp_getapplock @Resource = @P2, @LockMode = N'Exclusive', @LockOwner = N'Transaction', @LockTimeout = 300000;
SELECT @rc AS rc;
SELECT s.[lake_table], s.[table_uuid], s.[snapshot_id], s.[sequence_number], s.[run_id], CONVERT(nvarchar(30), s.[loaded_at], 126) AS loaded_at, s.[inserted], s.[updated], s.[deleted], s.[unchanged], s.[target_object_id], s.[target_created], s.[merge_mode], s.[pending_snapshot_id], s.[pending_sequence_number], s.[pending_rows], s.[pending_applied], s.[loaded_columns], CONVERT(int, s.[pending_whole]) AS pending_whole FROM [icesync].[load_state] AS s WHERE s.[target] = @P1;
COMMIT TRANSACTION;
