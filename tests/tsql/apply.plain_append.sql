-- @P1 nvarchar "dbo.orders"
-- @P2 nvarchar "icesync:apply:dbo.orders"
-- @P3 bigint 4611686018427387904
-- @P4 bigint 2
-- @P5 bigint 1000
-- @P6 bigint 0
-- @P7 nvarchar "018f0000000070008000000000000001"
-- @P8 bigint 8070450532247928832
-- @P9 nvarchar "018f0000000070008000000000000000"
-- @P10 bigint -1
-- @P11 bigint 1000
-- @P12 nvarchar "note"
-- @P13 nvarchar "[dbo].[orders]"
-- @P14 bigint 1237579447
-- @P15 nvarchar "2024-05-02T10:00:00.123"
-- @P16 bigint 1237579447
-- @P17 nvarchar "2024-05-01T10:00:00.123"
-- @P18 nvarchar "sales.orders"
-- @P19 nvarchar "6f1c2a34-0000-4000-8000-000000000001"
-- @P20 bigint 4611686018427387904
-- @P21 bigint 2
-- @P22 nvarchar "upsert"
-- @P23 nvarchar "018f0000000070008000000000000001"
-- @P24 nvarchar "icesync:apply:dbo.orders"
SET NOCOUNT ON; SET XACT_ABORT ON; SET LOCK_TIMEOUT 60000;
DECLARE @rc int, @staged bigint = 0, @inserted bigint = 0, @updated bigint = 0, @deleted bigint = 0;
DECLARE @unchanged bigint = 0, @target_only bigint = 0;
DECLARE @example nvarchar(1000), @message nvarchar(2000);
BEGIN TRY
BEGIN TRANSACTION;
EXEC @rc = sp_getapplock @Resource = @P2, @LockMode = N'Exclusive', @LockOwner = N'Transaction', @LockTimeout = 60000;
IF @rc < 0 THROW 51002, N'another load of this target is in its transaction', 1;
UPDATE s SET s.[pending_snapshot_id] = @P3, s.[pending_sequence_number] = @P4, s.[pending_rows] = @P5, s.[pending_applied] = @P6, s.[pending_whole] = 1, s.[run_id] = @P7, s.[loaded_at] = SYSUTCDATETIME() FROM [icesync].[load_state] AS s WITH (UPDLOCK, ROWLOCK) WHERE s.[target] = @P1 AND s.[snapshot_id] = @P8 AND s.[run_id] = @P9 AND ISNULL(s.[pending_applied], -1) = @P10;
IF @@ROWCOUNT <> 1 THROW 51003, N'the load state has moved', 1;
SELECT @staged = COUNT_BIG(*) FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001] AS s WITH (TABLOCK);
IF @staged <> @P11
BEGIN
    SET @message = CONCAT(N'', @P11, N' rows were sent to the staging table and it holds ', @staged);
    THROW 51007, @message, 1;
END;
SET @staged = 0;
SELECT TOP (1) @example = CONVERT(nvarchar(100), s.[note]) FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001] AS s WHERE CONVERT(varbinary(max), CONVERT(nvarchar(max), CONVERT(varchar(max), s.[note]))) <> CONVERT(varbinary(max), s.[note]) OR DATALENGTH(CONVERT(varchar(max), s.[note])) > 200;
IF @example IS NOT NULL
BEGIN
    SET @message = CONCAT(@P12, N': ', @example);
    THROW 51006, @message, 1;
END;
SELECT @staged = COUNT_BIG(*) FROM (SELECT s.[order_id] AS [order_id], s.[rv] AS [rv], s.[quantity] AS [quantity], CONVERT(varchar(200), s.[note]) AS [note], s.[_op_] FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001] AS s) AS s;
SET IDENTITY_INSERT [dbo].[orders] ON;
INSERT INTO [dbo].[orders] ([order_id], [rv], [quantity], [note]) SELECT s.[order_id], s.[rv], s.[quantity], s.[note] FROM (SELECT s.[order_id] AS [order_id], s.[rv] AS [rv], s.[quantity] AS [quantity], CONVERT(varchar(200), s.[note]) AS [note], s.[_op_] FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001] AS s) AS s;
SET @inserted = ROWCOUNT_BIG();
IF @inserted <> @staged THROW 51007, N'the target did not take every row', 1;
SET IDENTITY_INSERT [dbo].[orders] OFF;
IF NOT EXISTS (SELECT 1 FROM sys.objects AS o WHERE o.object_id = @P14 AND o.object_id = OBJECT_ID(@P13) AND CONVERT(nvarchar(30), o.modify_date, 126) = @P15) THROW 51010, N'the target table was recreated or altered', 1;
IF @staged > @inserted + @updated SET @unchanged = @staged - @inserted - @updated;
UPDATE s SET s.[inserted] = @inserted, s.[updated] = @updated, s.[deleted] = @deleted, s.[unchanged] = @unchanged, s.[merge_mode] = @P22, s.[lake_table] = @P18, s.[table_uuid] = @P19, s.[snapshot_id] = @P20, s.[sequence_number] = @P21, s.[pending_snapshot_id] = NULL, s.[pending_sequence_number] = NULL, s.[pending_rows] = NULL, s.[pending_applied] = NULL, s.[pending_whole] = NULL, s.[target_object_id] = @P16, s.[target_created] = @P17, s.[loaded_columns] = CONVERT(nvarchar(4000), NULL) FROM [icesync].[load_state] AS s WHERE s.[target] = @P1 AND s.[run_id] = @P23;
IF @@ROWCOUNT <> 1 OR APPLOCK_MODE(N'public', @P24, N'Transaction') <> N'Exclusive' THROW 51012, N'a trigger has ended the transaction of the load', 1;
DROP TABLE [icesync].[stg_00000000000000ff_018f0000000070008000000000000001];
COMMIT TRANSACTION;
END TRY
BEGIN CATCH
    IF XACT_STATE() <> 0 ROLLBACK TRANSACTION;
    SET LOCK_TIMEOUT -1;
    THROW;
END CATCH;
SET LOCK_TIMEOUT -1;
SELECT @inserted AS inserted, @updated AS updated, @deleted AS deleted, @unchanged AS unchanged, @target_only AS target_only;
