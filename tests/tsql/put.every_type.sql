-- @P1 nvarchar "2024-05-01T10:00:00.123"
-- @P2 nvarchar "sales.orders"
-- @P3 nvarchar "6f1c2a34-0000-4000-8000-000000000001"
-- @P4 bigint 4611686018427387904
-- @P5 bigint 2
-- @P6 nvarchar "018f0000000070008000000000000002"
-- @P7 bigint 3
-- @P8 bigint 2
-- @P9 bigint 1
-- @P10 bigint 0
-- @P11 bigint 1237579447
-- @P12 nvarchar "2024-05-01T10:00:00.123"
-- @P13 nvarchar "upsert"
-- @P14 nvarchar "dbo.every_type"
SET XACT_ABORT ON; SET LOCK_TIMEOUT 60000;
BEGIN TRANSACTION;
BEGIN TRY
    INSERT [icesync].[load_state] ([target], [lake_table], [table_uuid], [snapshot_id], [sequence_number], [run_id], [loaded_at], [inserted], [updated], [deleted], [unchanged], [target_object_id], [target_created], [loaded_columns], [merge_mode]) VALUES (@P14, @P2, @P3, @P4, @P5, @P6, CONVERT(datetime2(3), @P1, 126), @P7, @P8, @P9, @P10, @P11, @P12, CONVERT(nvarchar(4000), NULL), @P13);
END TRY
BEGIN CATCH
    IF ERROR_NUMBER() IN (2601, 2627) THROW 51003, N'the load state has moved', 1;
    THROW;
END CATCH;
COMMIT TRANSACTION;
SET LOCK_TIMEOUT -1;
