-- @p1 nvarchar Some("dbo.every_type")
-- @p2 nvarchar Some("sales.orders")
-- @p3 nvarchar Some("6f1c2a34-0000-4000-8000-000000000001")
-- @p4 bigint Some(-1)
-- @p5 bigint Some(0)
-- @p6 nvarchar Some("018f0000000070008000000000000001")
-- @p7 bigint Some(1237579447)
-- @p8 nvarchar Some("2024-05-01T10:00:00.123")
-- @p9 nvarchar None
SET XACT_ABORT ON; SET LOCK_TIMEOUT 60000;
BEGIN TRANSACTION;
BEGIN TRY
    INSERT [icesync].[load_state] ([target], [lake_table], [table_uuid], [snapshot_id], [sequence_number], [run_id], [loaded_at], [inserted], [updated], [deleted], [unchanged]) VALUES (@p1, @p2, @p3, @p4, @p5, @p6, SYSUTCDATETIME(), 0, 0, 0, 0);
END TRY
BEGIN CATCH
    IF ERROR_NUMBER() IN (2601, 2627) THROW 51003, N'the load state has moved', 1;
    THROW;
END CATCH;
UPDATE s SET s.[inserted] = 0, s.[updated] = 0, s.[deleted] = 0, s.[unchanged] = 0, s.[target_object_id] = @p7, s.[target_created] = @p8, s.[loaded_columns] = @p9 FROM [icesync].[load_state] AS s WHERE s.[target] = @p1;
COMMIT TRANSACTION;
SET LOCK_TIMEOUT -1;
