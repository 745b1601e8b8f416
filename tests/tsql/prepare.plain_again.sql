-- @p1 nvarchar Some("dbo.orders")
-- @p2 nvarchar Some("sales.orders")
-- @p3 nvarchar Some("6f1c2a34-0000-4000-8000-000000000001")
-- @p4 bigint Some(-1)
-- @p5 bigint Some(0)
-- @p6 nvarchar Some("018f0000000070008000000000000001")
-- @p7 bigint Some(-1)
-- @p8 bigint Some(1237579447)
-- @p9 nvarchar Some("2024-05-01T10:00:00.123")
-- @p10 nvarchar None
SET XACT_ABORT ON; SET LOCK_TIMEOUT 60000;
BEGIN TRANSACTION;
UPDATE s SET s.[lake_table] = @p2, s.[table_uuid] = @p3, s.[snapshot_id] = @p4, s.[sequence_number] = @p5, s.[run_id] = @p6, s.[loaded_at] = SYSUTCDATETIME() FROM [icesync].[load_state] AS s WITH (UPDLOCK, ROWLOCK) WHERE s.[target] = @p1 AND s.[snapshot_id] = @p7;
IF @@ROWCOUNT <> 1 THROW 51003, N'the load state has moved', 1;
UPDATE s SET s.[inserted] = 0, s.[updated] = 0, s.[deleted] = 0, s.[unchanged] = 0, s.[target_object_id] = @p8, s.[target_created] = @p9, s.[loaded_columns] = @p10 FROM [icesync].[load_state] AS s WHERE s.[target] = @p1;
COMMIT TRANSACTION;
SET LOCK_TIMEOUT -1;
