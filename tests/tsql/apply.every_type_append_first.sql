-- @P1 nvarchar "dbo.every_type"
-- @P2 nvarchar "icesync:apply:dbo.orders"
-- @P3 nvarchar "018f0000000070008000000000000001"
-- @P4 nvarchar "sales.orders"
-- @P5 nvarchar "6f1c2a34-0000-4000-8000-000000000001"
-- @P6 nvarchar "upsert"
-- @P7 bigint 4611686018427387904
-- @P8 bigint 2
-- @P9 bigint 1000
-- @P10 bigint 1000
-- @P11 nvarchar "c19"
-- @P12 nvarchar "c20"
-- @P13 nvarchar "c21"
-- @P14 nvarchar "c22"
-- @P15 nvarchar "[dbo].[every_type]"
-- @P16 bigint 1237579447
-- @P17 nvarchar "2024-05-02T10:00:00.123"
-- @P18 bigint 1237579447
-- @P19 nvarchar "2024-05-01T10:00:00.123"
-- @P20 nvarchar "sales.orders"
-- @P21 nvarchar "6f1c2a34-0000-4000-8000-000000000001"
-- @P22 bigint 4611686018427387904
-- @P23 bigint 2
-- @P24 nvarchar "upsert"
-- @P25 nvarchar "018f0000000070008000000000000001"
-- @P26 nvarchar "icesync:apply:dbo.orders"
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
IF EXISTS (SELECT 1 FROM [dbo].[every_type] WITH (TABLOCKX, HOLDLOCK)) THROW 51008, N'the target has rows', 1;
SELECT TOP (1) @example = CONVERT(nvarchar(100), s.[c19]) FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001] AS s WHERE CONVERT(varbinary(max), CONVERT(nvarchar(max), CONVERT(varchar(max), s.[c19]))) <> CONVERT(varbinary(max), s.[c19]) OR DATALENGTH(CONVERT(varchar(max), s.[c19])) > 10;
IF @example IS NOT NULL
BEGIN
    SET @message = CONCAT(@P11, N': ', @example);
    THROW 51006, @message, 1;
END;
SELECT TOP (1) @example = CONVERT(nvarchar(100), s.[c20]) FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001] AS s WHERE CONVERT(varbinary(max), CONVERT(nvarchar(max), CONVERT(varchar(max), s.[c20]))) <> CONVERT(varbinary(max), s.[c20]) OR DATALENGTH(CONVERT(varchar(max), s.[c20])) > 8000;
IF @example IS NOT NULL
BEGIN
    SET @message = CONCAT(@P12, N': ', @example);
    THROW 51006, @message, 1;
END;
SELECT TOP (1) @example = CONVERT(nvarchar(100), s.[c21]) FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001] AS s WHERE CONVERT(varbinary(max), CONVERT(nvarchar(max), CONVERT(varchar(max), s.[c21]))) <> CONVERT(varbinary(max), s.[c21]);
IF @example IS NOT NULL
BEGIN
    SET @message = CONCAT(@P13, N': ', @example);
    THROW 51006, @message, 1;
END;
SELECT TOP (1) @example = CONVERT(nvarchar(100), s.[c22]) FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001] AS s WHERE CONVERT(varbinary(max), CONVERT(nvarchar(max), CONVERT(varchar(max), s.[c22]))) <> CONVERT(varbinary(max), s.[c22]);
IF @example IS NOT NULL
BEGIN
    SET @message = CONCAT(@P14, N': ', @example);
    THROW 51006, @message, 1;
END;
SELECT @staged = COUNT_BIG(*) FROM (SELECT s.[c1] AS [c1], s.[c2] AS [c2], s.[c3] AS [c3], s.[c4] AS [c4], s.[c5] AS [c5], s.[c6] AS [c6], s.[c7] AS [c7], s.[c8] AS [c8], s.[c9] AS [c9], s.[c10] AS [c10], s.[c11] AS [c11], s.[c12] AS [c12], s.[c13] AS [c13], s.[c14] AS [c14], s.[c15] AS [c15], s.[c16] AS [c16], s.[c17] AS [c17], s.[c18] AS [c18], CONVERT(char(10), s.[c19]) AS [c19], CONVERT(varchar(8000), s.[c20]) AS [c20], CONVERT(varchar(max), s.[c21]) AS [c21], CONVERT(text, s.[c22]) AS [c22], CONVERT(nchar(10), s.[c23]) AS [c23], s.[c24] AS [c24], s.[c25] AS [c25], CONVERT(ntext, s.[c26]) AS [c26], s.[c27] AS [c27], s.[c28] AS [c28], s.[c29] AS [c29], CONVERT(image, s.[c30]) AS [c30], s.[c31] AS [c31], CONVERT(xml, s.[c32], 1) AS [c32], CONVERT(hierarchyid, s.[c33]) AS [c33], CONVERT(geometry, s.[c34]) AS [c34], CONVERT(geography, s.[c35]) AS [c35], CONVERT(json, s.[c36]) AS [c36], CASE s.[_type37] WHEN N'int' THEN CONVERT(sql_variant, CONVERT(int, s.[c37])) WHEN N'decimal(10,2)' THEN CONVERT(sql_variant, CONVERT(decimal(10,2), s.[c37])) WHEN N'varchar(20) COLLATE Polish_CI_AS' THEN CONVERT(sql_variant, CONVERT(varchar(20), s.[c37] COLLATE Polish_CI_AS)) WHEN N'binary(4)' THEN CONVERT(sql_variant, CONVERT(binary(4), s.[c37], 1)) END AS [c37], CONVERT(vector(3), s.[c38]) AS [c38], s.[_op_] FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001] AS s) AS s;
INSERT INTO [dbo].[every_type] WITH (TABLOCK) ([c1], [c2], [c3], [c4], [c5], [c6], [c7], [c8], [c9], [c10], [c11], [c12], [c13], [c14], [c15], [c16], [c17], [c18], [c19], [c20], [c21], [c22], [c23], [c24], [c25], [c26], [c27], [c28], [c29], [c30], [c31], [c32], [c33], [c34], [c35], [c36], [c37], [c38]) SELECT s.[c1], s.[c2], s.[c3], s.[c4], s.[c5], s.[c6], s.[c7], s.[c8], s.[c9], s.[c10], s.[c11], s.[c12], s.[c13], s.[c14], s.[c15], s.[c16], s.[c17], s.[c18], s.[c19], s.[c20], s.[c21], s.[c22], s.[c23], s.[c24], s.[c25], s.[c26], s.[c27], s.[c28], s.[c29], s.[c30], s.[c31], s.[c32], s.[c33], s.[c34], s.[c35], s.[c36], s.[c37], s.[c38] FROM (SELECT s.[c1] AS [c1], s.[c2] AS [c2], s.[c3] AS [c3], s.[c4] AS [c4], s.[c5] AS [c5], s.[c6] AS [c6], s.[c7] AS [c7], s.[c8] AS [c8], s.[c9] AS [c9], s.[c10] AS [c10], s.[c11] AS [c11], s.[c12] AS [c12], s.[c13] AS [c13], s.[c14] AS [c14], s.[c15] AS [c15], s.[c16] AS [c16], s.[c17] AS [c17], s.[c18] AS [c18], CONVERT(char(10), s.[c19]) AS [c19], CONVERT(varchar(8000), s.[c20]) AS [c20], CONVERT(varchar(max), s.[c21]) AS [c21], CONVERT(text, s.[c22]) AS [c22], CONVERT(nchar(10), s.[c23]) AS [c23], s.[c24] AS [c24], s.[c25] AS [c25], CONVERT(ntext, s.[c26]) AS [c26], s.[c27] AS [c27], s.[c28] AS [c28], s.[c29] AS [c29], CONVERT(image, s.[c30]) AS [c30], s.[c31] AS [c31], CONVERT(xml, s.[c32], 1) AS [c32], CONVERT(hierarchyid, s.[c33]) AS [c33], CONVERT(geometry, s.[c34]) AS [c34], CONVERT(geography, s.[c35]) AS [c35], CONVERT(json, s.[c36]) AS [c36], CASE s.[_type37] WHEN N'int' THEN CONVERT(sql_variant, CONVERT(int, s.[c37])) WHEN N'decimal(10,2)' THEN CONVERT(sql_variant, CONVERT(decimal(10,2), s.[c37])) WHEN N'varchar(20) COLLATE Polish_CI_AS' THEN CONVERT(sql_variant, CONVERT(varchar(20), s.[c37] COLLATE Polish_CI_AS)) WHEN N'binary(4)' THEN CONVERT(sql_variant, CONVERT(binary(4), s.[c37], 1)) END AS [c37], CONVERT(vector(3), s.[c38]) AS [c38], s.[_op_] FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001] AS s) AS s;
SET @inserted = ROWCOUNT_BIG();
IF @inserted <> @staged THROW 51007, N'the target did not take every row', 1;
IF NOT EXISTS (SELECT 1 FROM sys.objects AS o WHERE o.object_id = @P16 AND o.object_id = OBJECT_ID(@P15) AND CONVERT(nvarchar(30), o.modify_date, 126) = @P17) THROW 51010, N'the target table was recreated or altered', 1;
IF @staged > @inserted + @updated SET @unchanged = @staged - @inserted - @updated;
UPDATE s SET s.[inserted] = @inserted, s.[updated] = @updated, s.[deleted] = @deleted, s.[unchanged] = @unchanged, s.[merge_mode] = @P24, s.[lake_table] = @P20, s.[table_uuid] = @P21, s.[snapshot_id] = @P22, s.[sequence_number] = @P23, s.[pending_snapshot_id] = NULL, s.[pending_sequence_number] = NULL, s.[pending_rows] = NULL, s.[pending_applied] = NULL, s.[pending_whole] = NULL, s.[target_object_id] = @P18, s.[target_created] = @P19, s.[loaded_columns] = CONVERT(nvarchar(4000), NULL) FROM [icesync].[load_state] AS s WHERE s.[target] = @P1 AND s.[run_id] = @P25;
IF @@ROWCOUNT <> 1 OR APPLOCK_MODE(N'public', @P26, N'Transaction') <> N'Exclusive' THROW 51012, N'a trigger has ended the transaction of the load', 1;
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
