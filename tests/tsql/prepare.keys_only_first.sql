-- @p1 nvarchar Some("dbo.follows")
-- @p2 nvarchar Some("018f0000000070008000000000000001")
-- @p3 nvarchar Some("sales.orders")
-- @p4 nvarchar Some("6f1c2a34-0000-4000-8000-000000000001")
-- @p5 bigint Some(-1)
-- @p6 bigint Some(0)
-- @p7 nvarchar Some("upsert")
-- @p8 bigint Some(1237579447)
-- @p9 nvarchar Some("2024-05-01T10:00:00.123")
-- @p10 nvarchar None
SET XACT_ABORT ON; SET LOCK_TIMEOUT 60000;
BEGIN TRANSACTION;
BEGIN TRY
    INSERT [icesync].[load_state] ([target], [lake_table], [table_uuid], [snapshot_id], [sequence_number], [run_id], [loaded_at], [inserted], [updated], [deleted], [unchanged], [merge_mode]) VALUES (@p1, @p3, @p4, @p5, @p6, @p2, SYSUTCDATETIME(), 0, 0, 0, 0, @p7);
END TRY
BEGIN CATCH
    IF ERROR_NUMBER() IN (2601, 2627) THROW 51003, N'the load state has moved', 1;
    THROW;
END CATCH;
DELETE q FROM [icesync].[quarantine] AS q WHERE q.[target] = @p1;
UPDATE s SET s.[inserted] = 0, s.[updated] = 0, s.[deleted] = 0, s.[unchanged] = 0, s.[target_object_id] = @p8, s.[target_created] = @p9, s.[loaded_columns] = @p10 FROM [icesync].[load_state] AS s WHERE s.[target] = @p1;
COMMIT TRANSACTION;
SET LOCK_TIMEOUT -1;
