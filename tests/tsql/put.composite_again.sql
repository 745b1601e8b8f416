-- @p1 nvarchar Some("2024-05-01T10:00:00.123")
-- @p2 nvarchar Some("sales.orders")
-- @p3 nvarchar Some("6f1c2a34-0000-4000-8000-000000000001")
-- @p4 bigint Some(4611686018427387904)
-- @p5 bigint Some(2)
-- @p6 nvarchar Some("018f0000000070008000000000000002")
-- @p7 bigint Some(3)
-- @p8 bigint Some(2)
-- @p9 bigint Some(1)
-- @p10 bigint Some(0)
-- @p11 bigint Some(1237579447)
-- @p12 nvarchar Some("2024-05-01T10:00:00.123")
-- @p13 nvarchar None
-- @p14 nvarchar Some("upsert")
-- @p15 nvarchar Some("sales.訂單")
-- @p16 bigint Some(8070450532247928832)
-- @p17 nvarchar Some("018f0000000070008000000000000001")
SET XACT_ABORT ON; SET LOCK_TIMEOUT 60000;
BEGIN TRANSACTION;
UPDATE s SET s.[lake_table] = @p2, s.[table_uuid] = @p3, s.[snapshot_id] = @p4, s.[sequence_number] = @p5, s.[run_id] = @p6, s.[loaded_at] = CONVERT(datetime2(3), @p1, 126), s.[inserted] = @p7, s.[updated] = @p8, s.[deleted] = @p9, s.[unchanged] = @p10, s.[target_object_id] = @p11, s.[target_created] = @p12, s.[loaded_columns] = @p13, s.[merge_mode] = @p14, s.[pending_snapshot_id] = NULL, s.[pending_sequence_number] = NULL, s.[pending_rows] = NULL, s.[pending_applied] = NULL FROM [icesync].[load_state] AS s WITH (UPDLOCK, ROWLOCK) WHERE s.[target] = @p15 AND s.[snapshot_id] = @p16 AND s.[run_id] = @p17;
IF @@ROWCOUNT <> 1 THROW 51003, N'the load state has moved', 1;
COMMIT TRANSACTION;
SET LOCK_TIMEOUT -1;
