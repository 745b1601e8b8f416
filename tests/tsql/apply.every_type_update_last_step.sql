-- @P1 nvarchar "dbo.every_type"
-- @P2 nvarchar "icesync:apply:dbo.orders"
-- @P3 bigint 4611686018427387904
-- @P4 bigint 2
-- @P5 bigint 2500000
-- @P6 bigint 2000000
-- @P7 nvarchar "018f0000000070008000000000000001"
-- @P8 bigint 8070450532247928832
-- @P9 nvarchar "018f0000000070008000000000000000"
-- @P10 bigint -1
-- @P11 bigint 500000
-- @P12 nvarchar "[dbo].[every_type]"
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
UPDATE s SET s.[pending_snapshot_id] = @P3, s.[pending_sequence_number] = @P4, s.[pending_rows] = @P5, s.[pending_applied] = @P6, s.[pending_whole] = 1, s.[run_id] = @P7, s.[loaded_at] = SYSUTCDATETIME() FROM [icesync].[load_state] AS s WITH (UPDLOCK, ROWLOCK) WHERE s.[target] = @P1 AND s.[snapshot_id] = @P8 AND s.[run_id] = @P9 AND ISNULL(s.[pending_applied], -1) = @P10;
IF @@ROWCOUNT <> 1 THROW 51003, N'the load state has moved', 1;
SELECT @staged = COUNT_BIG(*) FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001_net] AS s WITH (TABLOCK) WHERE (s.[_row] BETWEEN 2000001 AND 2500000);
IF @staged <> @P11
BEGIN
    SET @message = CONCAT(N'', @P11, N' rows were sent to the staging table and it holds ', @staged);
    THROW 51007, @message, 1;
END;
SET @staged = 0;
SELECT @staged = COUNT_BIG(*) FROM (SELECT n.[c1], n.[c2], n.[c3], n.[c4], n.[c5], n.[c6], n.[c7], n.[c8], n.[c9], n.[c10], n.[c11], n.[c12], n.[c13], n.[c14], n.[c15], n.[c16], n.[c17], n.[c18], n.[c19], n.[c20], n.[c21], n.[c22], n.[c23], n.[c24], n.[c25], n.[c26], n.[c27], n.[c28], n.[c29], n.[c30], n.[c31], n.[c32], n.[c33], n.[c34], n.[c35], n.[c36], n.[c37], n.[c38], n.[_op_] FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001_net] AS n WHERE (n.[_row] BETWEEN 2000001 AND 2500000)) AS s WHERE s.[_op_] = 'U';
DELETE d FROM [dbo].[every_type] AS d WITH (UPDLOCK, SERIALIZABLE) JOIN (SELECT n.[c1], n.[c2], n.[c3], n.[c4], n.[c5], n.[c6], n.[c7], n.[c8], n.[c9], n.[c10], n.[c11], n.[c12], n.[c13], n.[c14], n.[c15], n.[c16], n.[c17], n.[c18], n.[c19], n.[c20], n.[c21], n.[c22], n.[c23], n.[c24], n.[c25], n.[c26], n.[c27], n.[c28], n.[c29], n.[c30], n.[c31], n.[c32], n.[c33], n.[c34], n.[c35], n.[c36], n.[c37], n.[c38], n.[_op_] FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001_net] AS n WHERE (n.[_row] BETWEEN 2000001 AND 2500000)) AS s ON d.[c1] = s.[c1] WHERE s.[_op_] = 'D';
SET @deleted = @deleted + ROWCOUNT_BIG();
UPDATE d SET d.[c2] = s.[c2], d.[c3] = s.[c3], d.[c4] = s.[c4], d.[c5] = s.[c5], d.[c6] = s.[c6], d.[c7] = s.[c7], d.[c8] = s.[c8], d.[c9] = s.[c9], d.[c10] = s.[c10], d.[c11] = s.[c11], d.[c12] = s.[c12], d.[c13] = s.[c13], d.[c14] = s.[c14], d.[c15] = s.[c15], d.[c16] = s.[c16], d.[c17] = s.[c17], d.[c18] = s.[c18], d.[c19] = s.[c19], d.[c20] = s.[c20], d.[c21] = s.[c21], d.[c22] = s.[c22], d.[c23] = s.[c23], d.[c24] = s.[c24], d.[c25] = s.[c25], d.[c26] = s.[c26], d.[c27] = s.[c27], d.[c28] = s.[c28], d.[c29] = s.[c29], d.[c30] = s.[c30], d.[c31] = s.[c31], d.[c32] = s.[c32], d.[c33] = s.[c33], d.[c34] = s.[c34], d.[c35] = s.[c35], d.[c36] = s.[c36], d.[c37] = s.[c37], d.[c38] = s.[c38] FROM [dbo].[every_type] AS d WITH (UPDLOCK, SERIALIZABLE) JOIN (SELECT n.[c1], n.[c2], n.[c3], n.[c4], n.[c5], n.[c6], n.[c7], n.[c8], n.[c9], n.[c10], n.[c11], n.[c12], n.[c13], n.[c14], n.[c15], n.[c16], n.[c17], n.[c18], n.[c19], n.[c20], n.[c21], n.[c22], n.[c23], n.[c24], n.[c25], n.[c26], n.[c27], n.[c28], n.[c29], n.[c30], n.[c31], n.[c32], n.[c33], n.[c34], n.[c35], n.[c36], n.[c37], n.[c38], n.[_op_] FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001_net] AS n WHERE (n.[_row] BETWEEN 2000001 AND 2500000)) AS s ON d.[c1] = s.[c1] WHERE s.[_op_] = 'U' AND 1 = 1;
SET @updated = ROWCOUNT_BIG();
INSERT INTO [dbo].[every_type] ([c1], [c2], [c3], [c4], [c5], [c6], [c7], [c8], [c9], [c10], [c11], [c12], [c13], [c14], [c15], [c16], [c17], [c18], [c19], [c20], [c21], [c22], [c23], [c24], [c25], [c26], [c27], [c28], [c29], [c30], [c31], [c32], [c33], [c34], [c35], [c36], [c37], [c38]) SELECT s.[c1], s.[c2], s.[c3], s.[c4], s.[c5], s.[c6], s.[c7], s.[c8], s.[c9], s.[c10], s.[c11], s.[c12], s.[c13], s.[c14], s.[c15], s.[c16], s.[c17], s.[c18], s.[c19], s.[c20], s.[c21], s.[c22], s.[c23], s.[c24], s.[c25], s.[c26], s.[c27], s.[c28], s.[c29], s.[c30], s.[c31], s.[c32], s.[c33], s.[c34], s.[c35], s.[c36], s.[c37], s.[c38] FROM (SELECT n.[c1], n.[c2], n.[c3], n.[c4], n.[c5], n.[c6], n.[c7], n.[c8], n.[c9], n.[c10], n.[c11], n.[c12], n.[c13], n.[c14], n.[c15], n.[c16], n.[c17], n.[c18], n.[c19], n.[c20], n.[c21], n.[c22], n.[c23], n.[c24], n.[c25], n.[c26], n.[c27], n.[c28], n.[c29], n.[c30], n.[c31], n.[c32], n.[c33], n.[c34], n.[c35], n.[c36], n.[c37], n.[c38], n.[_op_] FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001_net] AS n WHERE (n.[_row] BETWEEN 2000001 AND 2500000)) AS s WHERE s.[_op_] = 'U' AND NOT EXISTS (SELECT 1 FROM [dbo].[every_type] AS d WITH (UPDLOCK, SERIALIZABLE) WHERE d.[c1] = s.[c1]);
SET @inserted = ROWCOUNT_BIG();
SELECT @target_only = COUNT_BIG(*) - 2000000 FROM [dbo].[every_type] AS d;
IF NOT EXISTS (SELECT 1 FROM sys.objects AS o WHERE o.object_id = @P13 AND o.object_id = OBJECT_ID(@P12) AND CONVERT(nvarchar(30), o.modify_date, 126) = @P14) THROW 51010, N'the target table was recreated or altered', 1;
IF @staged > @inserted + @updated SET @unchanged = @staged - @inserted - @updated;
UPDATE s SET s.[inserted] = s.[inserted] + @inserted, s.[updated] = s.[updated] + @updated, s.[deleted] = s.[deleted] + @deleted, s.[unchanged] = s.[unchanged] + @unchanged, s.[merge_mode] = @P21, s.[lake_table] = @P17, s.[table_uuid] = @P18, s.[snapshot_id] = @P19, s.[sequence_number] = @P20, s.[pending_snapshot_id] = NULL, s.[pending_sequence_number] = NULL, s.[pending_rows] = NULL, s.[pending_applied] = NULL, s.[pending_whole] = NULL, s.[target_object_id] = @P15, s.[target_created] = @P16, s.[loaded_columns] = CONVERT(nvarchar(4000), NULL) FROM [icesync].[load_state] AS s WHERE s.[target] = @P1 AND s.[run_id] = @P22;
IF @@ROWCOUNT <> 1 OR APPLOCK_MODE(N'public', @P23, N'Transaction') <> N'Exclusive' THROW 51012, N'a trigger has ended the transaction of the load', 1;
DROP TABLE [icesync].[stg_00000000000000ff_018f0000000070008000000000000001_net];
COMMIT TRANSACTION;
END TRY
BEGIN CATCH
    IF XACT_STATE() <> 0 ROLLBACK TRANSACTION;
    SET LOCK_TIMEOUT -1;
    THROW;
END CATCH;
SET LOCK_TIMEOUT -1;
SELECT @inserted AS inserted, @updated AS updated, @deleted AS deleted, @unchanged AS unchanged, @target_only AS target_only;
