-- @p1 nvarchar Some("sales.訂單")
-- @p2 nvarchar Some("018f0000000070008000000000000001")
-- @p3 nvarchar Some("sales.orders")
-- @p4 nvarchar Some("6f1c2a34-0000-4000-8000-000000000001")
-- @p5 bigint Some(-1)
-- @p6 bigint Some(0)
-- @p7 nvarchar Some("upsert")
-- @p8 bigint Some(-1)
-- @p9 nvarchar Some("018f0000000070008000000000000000")
-- @p10 bigint Some(-1)
-- @p11 bigint Some(1237579447)
-- @p12 nvarchar Some("2024-05-01T10:00:00.123")
-- @p13 nvarchar None
SET XACT_ABORT ON; SET LOCK_TIMEOUT 60000;
BEGIN TRANSACTION;
UPDATE s SET s.[merge_mode] = @p7, s.[lake_table] = @p3, s.[table_uuid] = @p4, s.[snapshot_id] = @p5, s.[sequence_number] = @p6, s.[pending_snapshot_id] = NULL, s.[pending_sequence_number] = NULL, s.[pending_rows] = NULL, s.[pending_applied] = NULL, s.[run_id] = @p2, s.[loaded_at] = SYSUTCDATETIME() FROM [icesync].[load_state] AS s WITH (UPDLOCK, ROWLOCK) WHERE s.[target] = @p1 AND s.[snapshot_id] = @p8 AND s.[run_id] = @p9 AND ISNULL(s.[pending_applied], -1) = @p10;
IF @@ROWCOUNT <> 1 THROW 51003, N'the load state has moved', 1;
DELETE q FROM [icesync].[quarantine] AS q WHERE q.[target] = @p1;
UPDATE s SET s.[inserted] = 0, s.[updated] = 0, s.[deleted] = 0, s.[unchanged] = 0, s.[target_object_id] = @p11, s.[target_created] = @p12, s.[loaded_columns] = @p13 FROM [icesync].[load_state] AS s WHERE s.[target] = @p1;
COMMIT TRANSACTION;
SET LOCK_TIMEOUT -1;
