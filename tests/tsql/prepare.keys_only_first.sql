-- @P1 nvarchar "dbo.follows"
-- @P2 bigint -1
-- @P3 bigint 0
-- @P4 nvarchar "018f0000000070008000000000000001"
-- @P5 nvarchar "sales.orders"
-- @P6 nvarchar "6f1c2a34-0000-4000-8000-000000000001"
-- @P7 nvarchar "upsert"
-- @P8 bigint 1237579447
-- @P9 nvarchar "2024-05-01T10:00:00.123"
SET XACT_ABORT ON; SET LOCK_TIMEOUT 60000;
BEGIN TRANSACTION;
BEGIN TRY
    INSERT [icesync].[load_state] ([target], [lake_table], [table_uuid], [snapshot_id], [sequence_number], [run_id], [loaded_at], [inserted], [updated], [deleted], [unchanged], [merge_mode]) VALUES (@P1, @P5, @P6, @P2, @P3, @P4, SYSUTCDATETIME(), 0, 0, 0, 0, @P7);
END TRY
BEGIN CATCH
    IF ERROR_NUMBER() IN (2601, 2627) THROW 51003, N'the load state has moved', 1;
    THROW;
END CATCH;
DELETE q FROM [icesync].[quarantine] AS q WHERE q.[target] = @P1;
UPDATE s SET s.[inserted] = 0, s.[updated] = 0, s.[deleted] = 0, s.[unchanged] = 0, s.[target_object_id] = @P8, s.[target_created] = @P9, s.[loaded_columns] = CONVERT(nvarchar(4000), NULL) FROM [icesync].[load_state] AS s WHERE s.[target] = @P1;
COMMIT TRANSACTION;
SET LOCK_TIMEOUT -1;
