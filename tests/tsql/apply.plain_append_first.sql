-- @p1 nvarchar Some("dbo.orders")
-- @p2 nvarchar Some("icesync:apply:dbo.orders")
-- @p3 nvarchar Some("018f0000000070008000000000000001")
-- @p4 nvarchar Some("sales.orders")
-- @p5 nvarchar Some("6f1c2a34-0000-4000-8000-000000000001")
-- @p6 bigint Some(4611686018427387904)
-- @p7 bigint Some(2)
-- @p8 nvarchar Some("upsert")
-- @p9 bigint Some(1000)
-- @p10 nvarchar Some("note")
-- @p11 nvarchar Some("[dbo].[orders]")
-- @p12 bigint Some(1237579447)
-- @p13 nvarchar Some("2024-05-02T10:00:00.123")
-- @p14 bigint Some(1237579447)
-- @p15 nvarchar Some("2024-05-01T10:00:00.123")
-- @p16 nvarchar None
SET NOCOUNT ON; SET XACT_ABORT ON; SET LOCK_TIMEOUT 60000;
DECLARE @rc int, @staged bigint = 0, @inserted bigint = 0, @updated bigint = 0, @deleted bigint = 0;
DECLARE @unchanged bigint = 0, @target_only bigint = 0;
DECLARE @example nvarchar(1000), @message nvarchar(2000);
BEGIN TRY
BEGIN TRANSACTION;
EXEC @rc = sp_getapplock @Resource = @p2, @LockMode = N'Exclusive', @LockOwner = N'Transaction', @LockTimeout = 60000;
IF @rc < 0 THROW 51002, N'another load of this target is in its transaction', 1;
BEGIN TRY
    INSERT [icesync].[load_state] ([target], [lake_table], [table_uuid], [snapshot_id], [sequence_number], [run_id], [loaded_at], [inserted], [updated], [deleted], [unchanged], [merge_mode]) VALUES (@p1, @p4, @p5, @p6, @p7, @p3, SYSUTCDATETIME(), 0, 0, 0, 0, @p8);
END TRY
BEGIN CATCH
    IF ERROR_NUMBER() IN (2601, 2627) THROW 51003, N'the load state has moved', 1;
    THROW;
END CATCH;
SELECT @staged = COUNT_BIG(*) FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001] AS s WITH (TABLOCK);
IF @staged <> @p9
BEGIN
    SET @message = CONCAT(N'', @p9, N' rows were sent to the staging table and it holds ', @staged);
    THROW 51007, @message, 1;
END;
SET @staged = 0;
IF EXISTS (SELECT 1 FROM [dbo].[orders] WITH (TABLOCKX, HOLDLOCK)) THROW 51008, N'the target has rows', 1;
SELECT TOP (1) @example = CONVERT(nvarchar(100), s.[note]) FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001] AS s WHERE CONVERT(varbinary(max), CONVERT(nvarchar(max), CONVERT(varchar(max), s.[note]))) <> CONVERT(varbinary(max), s.[note]) OR DATALENGTH(CONVERT(varchar(max), s.[note])) > 200;
IF @example IS NOT NULL
BEGIN
    SET @message = CONCAT(@p10, N': ', @example);
    THROW 51006, @message, 1;
END;
SELECT @staged = COUNT_BIG(*) FROM (SELECT s.[order_id] AS [order_id], s.[rv] AS [rv], s.[quantity] AS [quantity], CONVERT(varchar(200), s.[note]) AS [note], s.[_op_] FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001] AS s) AS s;
SET IDENTITY_INSERT [dbo].[orders] ON;
INSERT INTO [dbo].[orders] WITH (TABLOCK) ([order_id], [rv], [quantity], [note]) SELECT s.[order_id], s.[rv], s.[quantity], s.[note] FROM (SELECT s.[order_id] AS [order_id], s.[rv] AS [rv], s.[quantity] AS [quantity], CONVERT(varchar(200), s.[note]) AS [note], s.[_op_] FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001] AS s) AS s;
SET @inserted = ROWCOUNT_BIG();
IF @inserted <> @staged THROW 51007, N'the target did not take every row', 1;
SET IDENTITY_INSERT [dbo].[orders] OFF;
IF NOT EXISTS (SELECT 1 FROM sys.objects AS o WHERE o.object_id = @p12 AND o.object_id = OBJECT_ID(@p11) AND CONVERT(nvarchar(30), o.modify_date, 126) = @p13) THROW 51010, N'the target table was recreated or altered', 1;
IF @staged > @inserted + @updated SET @unchanged = @staged - @inserted - @updated;
UPDATE s SET s.[inserted] = @inserted, s.[updated] = @updated, s.[deleted] = @deleted, s.[unchanged] = @unchanged, s.[target_object_id] = @p14, s.[target_created] = @p15, s.[loaded_columns] = @p16 FROM [icesync].[load_state] AS s WHERE s.[target] = @p1;
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
