-- @p1 nvarchar Some("sales.訂單")
-- @p2 nvarchar Some("icesync:apply:dbo.orders")
-- @p3 nvarchar Some("018f0000000070008000000000000001")
-- @p4 nvarchar Some("sales.orders")
-- @p5 nvarchar Some("6f1c2a34-0000-4000-8000-000000000001")
-- @p6 bigint Some(4611686018427387904)
-- @p7 bigint Some(2)
-- @p8 nvarchar Some("upsert")
-- @p9 bigint Some(8070450532247928832)
-- @p10 nvarchar Some("018f0000000070008000000000000000")
-- @p11 bigint Some(-1)
-- @p12 bigint Some(2500000)
-- @p13 nvarchar Some("[sales].[訂單]")
-- @p14 bigint Some(1237579447)
-- @p15 nvarchar Some("2024-05-02T10:00:00.123")
-- @p16 bigint Some(1237579447)
-- @p17 nvarchar Some("2024-05-01T10:00:00.123")
-- @p18 nvarchar None
SET NOCOUNT ON; SET XACT_ABORT ON; SET LOCK_TIMEOUT 60000;
DECLARE @rc int, @staged bigint = 0, @inserted bigint = 0, @updated bigint = 0, @deleted bigint = 0;
DECLARE @unchanged bigint = 0, @target_only bigint = 0;
DECLARE @example nvarchar(1000), @message nvarchar(2000);
BEGIN TRY
BEGIN TRANSACTION;
EXEC @rc = sp_getapplock @Resource = @p2, @LockMode = N'Exclusive', @LockOwner = N'Transaction', @LockTimeout = 60000;
IF @rc < 0 THROW 51002, N'another load of this target is in its transaction', 1;
UPDATE s SET s.[merge_mode] = @p8, s.[lake_table] = @p4, s.[table_uuid] = @p5, s.[snapshot_id] = @p6, s.[sequence_number] = @p7, s.[pending_snapshot_id] = NULL, s.[pending_sequence_number] = NULL, s.[pending_rows] = NULL, s.[pending_applied] = NULL, s.[run_id] = @p3, s.[loaded_at] = SYSUTCDATETIME() FROM [icesync].[load_state] AS s WITH (UPDLOCK, ROWLOCK) WHERE s.[target] = @p1 AND s.[snapshot_id] = @p9 AND s.[run_id] = @p10 AND ISNULL(s.[pending_applied], -1) = @p11;
IF @@ROWCOUNT <> 1 THROW 51003, N'the load state has moved', 1;
SELECT @staged = COUNT_BIG(*) FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001_net] AS s WITH (TABLOCK);
IF @staged <> @p12
BEGIN
    SET @message = CONCAT(N'', @p12, N' rows were sent to the staging table and it holds ', @staged);
    THROW 51007, @message, 1;
END;
SET @staged = 0;
SELECT @staged = COUNT_BIG(*) FROM (SELECT n.[區域], n.[modified], n.[at], n.[code], n.[_op_] FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001_net] AS n) AS s WHERE s.[_op_] = 'U';
DELETE d FROM [sales].[訂單] AS d WITH (UPDLOCK, SERIALIZABLE) JOIN (SELECT n.[區域], n.[modified], n.[at], n.[code], n.[_op_] FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001_net] AS n) AS s ON d.[區域] = s.[區域] AND d.[at] = s.[at] AND d.[code] = s.[code] WHERE s.[_op_] = 'D' AND EXISTS (SELECT CONVERT(varbinary(20), s.[區域]), DATALENGTH(s.[區域]), CONVERT(varbinary(20), s.[code]), DATALENGTH(s.[code]) INTERSECT SELECT CONVERT(varbinary(20), d.[區域]), DATALENGTH(d.[區域]), CONVERT(varbinary(20), d.[code]), DATALENGTH(d.[code]));
SET @deleted = @deleted + ROWCOUNT_BIG();
UPDATE d SET d.[區域] = s.[區域], d.[modified] = s.[modified], d.[code] = s.[code] FROM [sales].[訂單] AS d WITH (UPDLOCK, SERIALIZABLE) JOIN (SELECT n.[區域], n.[modified], n.[at], n.[code], n.[_op_] FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001_net] AS n) AS s ON d.[區域] = s.[區域] AND d.[at] = s.[at] AND d.[code] = s.[code] WHERE s.[_op_] = 'U' AND EXISTS (SELECT CONVERT(varbinary(20), s.[區域]), DATALENGTH(s.[區域]), s.[modified], CONVERT(varbinary(20), s.[code]), DATALENGTH(s.[code]) EXCEPT SELECT CONVERT(varbinary(20), d.[區域]), DATALENGTH(d.[區域]), d.[modified], CONVERT(varbinary(20), d.[code]), DATALENGTH(d.[code]));
SET @updated = ROWCOUNT_BIG();
INSERT INTO [sales].[訂單] ([區域], [modified], [at], [code]) SELECT s.[區域], s.[modified], s.[at], s.[code] FROM (SELECT n.[區域], n.[modified], n.[at], n.[code], n.[_op_] FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001_net] AS n) AS s WHERE s.[_op_] = 'U' AND NOT EXISTS (SELECT 1 FROM [sales].[訂單] AS d WITH (UPDLOCK, SERIALIZABLE) WHERE d.[區域] = s.[區域] AND d.[at] = s.[at] AND d.[code] = s.[code]);
SET @inserted = ROWCOUNT_BIG();
SELECT @target_only = COUNT_BIG(*) - 2000000 FROM [sales].[訂單] AS d;
IF NOT EXISTS (SELECT 1 FROM sys.objects AS o WHERE o.object_id = @p14 AND o.object_id = OBJECT_ID(@p13) AND CONVERT(nvarchar(30), o.modify_date, 126) = @p15) THROW 51010, N'the target table was recreated or altered', 1;
IF @staged > @inserted + @updated SET @unchanged = @staged - @inserted - @updated;
UPDATE s SET s.[inserted] = @inserted, s.[updated] = @updated, s.[deleted] = @deleted, s.[unchanged] = @unchanged, s.[target_object_id] = @p16, s.[target_created] = @p17, s.[loaded_columns] = @p18 FROM [icesync].[load_state] AS s WHERE s.[target] = @p1;
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
