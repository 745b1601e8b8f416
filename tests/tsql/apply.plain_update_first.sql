-- @P1 nvarchar "dbo.orders"
-- @P2 nvarchar "icesync:apply:dbo.orders"
-- @P3 nvarchar "018f0000000070008000000000000001"
-- @P4 nvarchar "sales.orders"
-- @P5 nvarchar "6f1c2a34-0000-4000-8000-000000000001"
-- @P6 nvarchar "upsert"
-- @P7 bigint 4611686018427387904
-- @P8 bigint 2
-- @P9 bigint 1000
-- @P10 bigint 1000
-- @P11 nvarchar "note"
-- @P12 nvarchar "[dbo].[orders]"
-- @P13 bigint 1237579447
-- @P14 nvarchar "2024-05-02T10:00:00.123"
-- @P15 bigint 1237579447
-- @P16 nvarchar "2024-05-01T10:00:00.123"
-- @P17 nvarchar "sales.orders"
-- @P18 nvarchar "6f1c2a34-0000-4000-8000-000000000001"
-- @P19 bigint 4611686018427387904
-- @P20 bigint 2
-- @P21 nvarchar "upsert"
-- @P22 nvarchar "018f0000000070008000000000000001"
-- @P23 nvarchar "icesync:apply:dbo.orders"
SET NOCOUNT ON; SET XACT_ABORT ON; SET LOCK_TIMEOUT 60000;
DECLARE @rc int, @staged bigint = 0, @inserted bigint = 0, @updated bigint = 0, @deleted bigint = 0;
DECLARE @unchanged bigint = 0, @target_only bigint = 0;
DECLARE @example nvarchar(1000), @message nvarchar(2000);
BEGIN TRY
BEGIN TRANSACTION;
EXEC @rc = sp_getapplock @Resource = @P2, @LockMode = N'Exclusive', @LockOwner = N'Transaction', @LockTimeout = 60000;
IF @rc < 0 THROW 51002, N'another load of this target is in its transaction', 1;
BEGIN TRY
    INSERT [icesync].[load_state] ([target], [lake_table], [table_uuid], [snapshot_id], [sequence_number], [run_id], [loaded_at], [inserted], [updated], [deleted], [unchanged], [merge_mode], [pending_snapshot_id], [pending_sequence_number], [pending_rows], [pending_applied], [pending_whole]) VALUES (@P1, @P4, @P5, -1, 0, @P3, SYSUTCDATETIME(), 0, 0, 0, 0, @P6, @P7, @P8, @P9, 0, 1);
END TRY
BEGIN CATCH
    IF ERROR_NUMBER() IN (2601, 2627) THROW 51003, N'the load state has moved', 1;
    THROW;
END CATCH;
SELECT @staged = COUNT_BIG(*) FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001] AS s WITH (TABLOCK);
IF @staged <> @P10
BEGIN
    SET @message = CONCAT(N'', @P10, N' rows were sent to the staging table and it holds ', @staged);
    THROW 51007, @message, 1;
END;
SET @staged = 0;
SELECT TOP (1) @example = CONVERT(nvarchar(100), s.[note]) FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001] AS s WHERE CONVERT(varbinary(max), CONVERT(nvarchar(max), CONVERT(varchar(max), s.[note]))) <> CONVERT(varbinary(max), s.[note]) OR DATALENGTH(CONVERT(varchar(max), s.[note])) > 200;
IF @example IS NOT NULL
BEGIN
    SET @message = CONCAT(@P11, N': ', @example);
    THROW 51006, @message, 1;
END;
SELECT TOP (1) @example = CONCAT(N'(', CONVERT(nvarchar(100), n.[order_id]), N')') FROM (SELECT s.[order_id] AS [order_id], s.[_seg] FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001] AS s WHERE s.[_op_] = 'U') AS n GROUP BY n.[order_id], n.[_seg] HAVING COUNT_BIG(*) > 1;
IF @example IS NOT NULL THROW 51004, @example, 1;
SELECT @staged = COUNT_BIG(*) FROM (SELECT n.[order_id], n.[rv], n.[quantity], n.[note], n.[_op_] FROM (SELECT s.[order_id] AS [order_id], s.[rv] AS [rv], s.[quantity] AS [quantity], CONVERT(varchar(200), s.[note]) AS [note], s.[_op_], ROW_NUMBER() OVER (PARTITION BY s.[order_id] ORDER BY s.[_seg] DESC, s.[_op_] DESC) AS [_rank] FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001] AS s) AS n WHERE n.[_rank] = 1) AS s WHERE s.[_op_] = 'U';
SET IDENTITY_INSERT [dbo].[orders] ON;
IF NOT EXISTS (SELECT 1 FROM [dbo].[orders] WITH (TABLOCKX, HOLDLOCK))
BEGIN
INSERT INTO [dbo].[orders] WITH (TABLOCK) ([order_id], [rv], [quantity], [note]) SELECT s.[order_id], s.[rv], s.[quantity], s.[note] FROM (SELECT n.[order_id], n.[rv], n.[quantity], n.[note], n.[_op_] FROM (SELECT s.[order_id] AS [order_id], s.[rv] AS [rv], s.[quantity] AS [quantity], CONVERT(varchar(200), s.[note]) AS [note], s.[_op_], ROW_NUMBER() OVER (PARTITION BY s.[order_id] ORDER BY s.[_seg] DESC, s.[_op_] DESC) AS [_rank] FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001] AS s) AS n WHERE n.[_rank] = 1) AS s WHERE s.[_op_] = 'U';
SET @inserted = ROWCOUNT_BIG();
IF @inserted <> @staged THROW 51007, N'the target did not take every row', 1;
END
ELSE
BEGIN
DELETE d FROM [dbo].[orders] AS d WITH (UPDLOCK, SERIALIZABLE) JOIN (SELECT n.[order_id], n.[rv], n.[quantity], n.[note], n.[_op_] FROM (SELECT s.[order_id] AS [order_id], s.[rv] AS [rv], s.[quantity] AS [quantity], CONVERT(varchar(200), s.[note]) AS [note], s.[_op_], ROW_NUMBER() OVER (PARTITION BY s.[order_id] ORDER BY s.[_seg] DESC, s.[_op_] DESC) AS [_rank] FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001] AS s) AS n WHERE n.[_rank] = 1) AS s ON d.[order_id] = s.[order_id] WHERE s.[_op_] = 'D';
SET @deleted = @deleted + ROWCOUNT_BIG();
UPDATE d SET d.[rv] = s.[rv], d.[quantity] = s.[quantity], d.[note] = s.[note] FROM [dbo].[orders] AS d WITH (UPDLOCK, SERIALIZABLE) JOIN (SELECT n.[order_id], n.[rv], n.[quantity], n.[note], n.[_op_] FROM (SELECT s.[order_id] AS [order_id], s.[rv] AS [rv], s.[quantity] AS [quantity], CONVERT(varchar(200), s.[note]) AS [note], s.[_op_], ROW_NUMBER() OVER (PARTITION BY s.[order_id] ORDER BY s.[_seg] DESC, s.[_op_] DESC) AS [_rank] FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001] AS s) AS n WHERE n.[_rank] = 1) AS s ON d.[order_id] = s.[order_id] WHERE s.[_op_] = 'U' AND EXISTS (SELECT s.[rv], s.[quantity], CONVERT(varbinary(200), s.[note]), DATALENGTH(s.[note]) EXCEPT SELECT d.[rv], d.[quantity], CONVERT(varbinary(200), d.[note]), DATALENGTH(d.[note]));
SET @updated = ROWCOUNT_BIG();
INSERT INTO [dbo].[orders] ([order_id], [rv], [quantity], [note]) SELECT s.[order_id], s.[rv], s.[quantity], s.[note] FROM (SELECT n.[order_id], n.[rv], n.[quantity], n.[note], n.[_op_] FROM (SELECT s.[order_id] AS [order_id], s.[rv] AS [rv], s.[quantity] AS [quantity], CONVERT(varchar(200), s.[note]) AS [note], s.[_op_], ROW_NUMBER() OVER (PARTITION BY s.[order_id] ORDER BY s.[_seg] DESC, s.[_op_] DESC) AS [_rank] FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001] AS s) AS n WHERE n.[_rank] = 1) AS s WHERE s.[_op_] = 'U' AND NOT EXISTS (SELECT 1 FROM [dbo].[orders] AS d WITH (UPDLOCK, SERIALIZABLE) WHERE d.[order_id] = s.[order_id]);
SET @inserted = ROWCOUNT_BIG();
SELECT @target_only = COUNT_BIG(*) - @staged FROM [dbo].[orders] AS d;
END;
SET IDENTITY_INSERT [dbo].[orders] OFF;
IF NOT EXISTS (SELECT 1 FROM sys.objects AS o WHERE o.object_id = @P13 AND o.object_id = OBJECT_ID(@P12) AND CONVERT(nvarchar(30), o.modify_date, 126) = @P14) THROW 51010, N'the target table was recreated or altered', 1;
IF @staged > @inserted + @updated SET @unchanged = @staged - @inserted - @updated;
UPDATE s SET s.[inserted] = @inserted, s.[updated] = @updated, s.[deleted] = @deleted, s.[unchanged] = @unchanged, s.[merge_mode] = @P21, s.[lake_table] = @P17, s.[table_uuid] = @P18, s.[snapshot_id] = @P19, s.[sequence_number] = @P20, s.[pending_snapshot_id] = NULL, s.[pending_sequence_number] = NULL, s.[pending_rows] = NULL, s.[pending_applied] = NULL, s.[pending_whole] = NULL, s.[target_object_id] = @P15, s.[target_created] = @P16, s.[loaded_columns] = CONVERT(nvarchar(4000), NULL) FROM [icesync].[load_state] AS s WHERE s.[target] = @P1 AND s.[run_id] = @P22;
IF @@ROWCOUNT <> 1 OR APPLOCK_MODE(N'public', @P23, N'Transaction') <> N'Exclusive' THROW 51012, N'a trigger has ended the transaction of the load', 1;
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
