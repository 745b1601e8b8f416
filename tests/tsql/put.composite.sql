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
SET XACT_ABORT ON; SET LOCK_TIMEOUT 60000;
BEGIN TRANSACTION;
BEGIN TRY
    INSERT [icesync].[load_state] ([target], [lake_table], [table_uuid], [snapshot_id], [sequence_number], [run_id], [loaded_at], [inserted], [updated], [deleted], [unchanged], [target_object_id], [target_created], [loaded_columns], [merge_mode]) VALUES (@p15, @p2, @p3, @p4, @p5, @p6, CONVERT(datetime2(3), @p1, 126), @p7, @p8, @p9, @p10, @p11, @p12, @p13, @p14);
END TRY
BEGIN CATCH
    IF ERROR_NUMBER() IN (2601, 2627) THROW 51003, N'the load state has moved', 1;
    THROW;
END CATCH;
COMMIT TRANSACTION;
SET LOCK_TIMEOUT -1;
