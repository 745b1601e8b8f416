-- @P1 nvarchar "dbo.orders"
-- @P2 bigint -1
-- @P3 bigint 0
-- @P4 nvarchar "018f0000000070008000000000000001"
-- @P5 nvarchar "sales.orders"
-- @P6 nvarchar "6f1c2a34-0000-4000-8000-000000000001"
-- @P7 nvarchar "upsert"
-- @P8 nvarchar "[dbo].[orders]"
SET XACT_ABORT ON; SET LOCK_TIMEOUT 20000;
DECLARE @object int, @created nvarchar(30);
BEGIN TRANSACTION;
CREATE TABLE [dbo].[orders] (
    [order_id] int IDENTITY(1,1) NOT NULL,
    [rv] binary(8) NOT NULL,
    [quantity] bigint NULL,
    [note] varchar(200) COLLATE Chinese_Taiwan_Stroke_CI_AS NULL,
    CONSTRAINT [PK_orders] PRIMARY KEY ([order_id])
);
BEGIN TRY
    INSERT [icesync].[load_state] ([target], [lake_table], [table_uuid], [snapshot_id], [sequence_number], [run_id], [loaded_at], [inserted], [updated], [deleted], [unchanged], [merge_mode]) VALUES (@P1, @P5, @P6, @P2, @P3, @P4, SYSUTCDATETIME(), 0, 0, 0, 0, @P7);
END TRY
BEGIN CATCH
    IF ERROR_NUMBER() IN (2601, 2627) THROW 51003, N'the load state has moved', 1;
    THROW;
END CATCH;
SET @object = OBJECT_ID(@P8);
SELECT @created = CONVERT(nvarchar(30), o.create_date, 126) FROM sys.objects AS o WHERE o.object_id = @object;
UPDATE s SET s.[inserted] = 0, s.[updated] = 0, s.[deleted] = 0, s.[unchanged] = 0, s.[target_object_id] = @object, s.[target_created] = @created, s.[loaded_columns] = CONVERT(nvarchar(4000), NULL) FROM [icesync].[load_state] AS s WHERE s.[target] = @P1;
COMMIT TRANSACTION;
SET LOCK_TIMEOUT -1;
