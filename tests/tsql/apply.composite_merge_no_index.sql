-- @P1 nvarchar "sales.訂單"
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
-- @P12 nvarchar "code"
-- @P13 nvarchar "[sales].[訂單]"
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
SELECT TOP (1) @example = CONVERT(nvarchar(100), s.[code]) FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001] AS s WHERE CONVERT(varbinary(max), CONVERT(nvarchar(max), CONVERT(varchar(max), s.[code]))) <> CONVERT(varbinary(max), s.[code]) OR DATALENGTH(CONVERT(varchar(max), s.[code])) > 20;
IF @example IS NOT NULL
BEGIN
    SET @message = CONCAT(@P12, N': ', @example);
    THROW 51006, @message, 1;
END;
SELECT TOP (1) @example = CONCAT(N'(', CONVERT(nvarchar(100), n.[區域]), N', ', CONVERT(nvarchar(100), n.[at], 121), N', ', CONVERT(nvarchar(100), n.[code]), N')') FROM (SELECT s.[區域] AS [區域], s.[at] AS [at], CONVERT(varchar(20), s.[code]) AS [code], s.[_seg] FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001] AS s WHERE s.[_op_] = 'U') AS n GROUP BY n.[區域], n.[at], n.[code], n.[_seg] HAVING COUNT_BIG(*) > 1;
IF @example IS NOT NULL THROW 51004, @example, 1;
SELECT @staged = COUNT_BIG(*) FROM (SELECT n.[區域], n.[modified], n.[at], n.[code], n.[_op_] FROM (SELECT l.[區域], l.[modified], l.[at], l.[code], l.[_op_], ROW_NUMBER() OVER (PARTITION BY l.[區域], l.[at], l.[code] ORDER BY l.[_op_] DESC, l.[_seg] DESC) AS [_rank], MAX(l.[_op_]) OVER (PARTITION BY l.[區域], l.[at], l.[code]) AS [_kept] FROM (SELECT s.[區域] AS [區域], s.[modified] AS [modified], s.[at] AS [at], CONVERT(varchar(20), s.[code]) AS [code], s.[_op_], s.[_seg], ROW_NUMBER() OVER (PARTITION BY CONVERT(varbinary(20), s.[區域]), DATALENGTH(s.[區域]), s.[at], CONVERT(varbinary(20), CONVERT(varchar(20), s.[code])), DATALENGTH(CONVERT(varchar(20), s.[code])) ORDER BY s.[_seg] DESC, s.[_op_] DESC) AS [_last] FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001] AS s) AS l WHERE l.[_last] = 1) AS n WHERE n.[_rank] = 1 OR n.[_kept] = 'D') AS s WHERE s.[_op_] = 'U';
SELECT TOP (1) @example = CONCAT(N'(', CONVERT(nvarchar(100), s.[區域]), N', ', CONVERT(nvarchar(100), s.[at], 121), N', ', CONVERT(nvarchar(100), s.[code]), N')') FROM (SELECT n.[區域], n.[modified], n.[at], n.[code], n.[_op_] FROM (SELECT l.[區域], l.[modified], l.[at], l.[code], l.[_op_], ROW_NUMBER() OVER (PARTITION BY l.[區域], l.[at], l.[code] ORDER BY l.[_op_] DESC, l.[_seg] DESC) AS [_rank], MAX(l.[_op_]) OVER (PARTITION BY l.[區域], l.[at], l.[code]) AS [_kept] FROM (SELECT s.[區域] AS [區域], s.[modified] AS [modified], s.[at] AS [at], CONVERT(varchar(20), s.[code]) AS [code], s.[_op_], s.[_seg], ROW_NUMBER() OVER (PARTITION BY CONVERT(varbinary(20), s.[區域]), DATALENGTH(s.[區域]), s.[at], CONVERT(varbinary(20), CONVERT(varchar(20), s.[code])), DATALENGTH(CONVERT(varchar(20), s.[code])) ORDER BY s.[_seg] DESC, s.[_op_] DESC) AS [_last] FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001] AS s) AS l WHERE l.[_last] = 1) AS n WHERE n.[_rank] = 1 OR n.[_kept] = 'D') AS s JOIN [sales].[訂單] AS d WITH (UPDLOCK, SERIALIZABLE) ON d.[區域] = s.[區域] AND d.[at] = s.[at] AND d.[code] = s.[code] GROUP BY s.[區域], s.[at], s.[code] HAVING COUNT_BIG(*) > 1;
IF @example IS NOT NULL THROW 51009, @example, 1;
CREATE TABLE #actions ([action] nvarchar(10) COLLATE DATABASE_DEFAULT NOT NULL);
MERGE [sales].[訂單] WITH (HOLDLOCK) AS d
USING (SELECT n.[區域], n.[modified], n.[at], n.[code], n.[_op_] FROM (SELECT l.[區域], l.[modified], l.[at], l.[code], l.[_op_], ROW_NUMBER() OVER (PARTITION BY l.[區域], l.[at], l.[code] ORDER BY l.[_op_] DESC, l.[_seg] DESC) AS [_rank], MAX(l.[_op_]) OVER (PARTITION BY l.[區域], l.[at], l.[code]) AS [_kept] FROM (SELECT s.[區域] AS [區域], s.[modified] AS [modified], s.[at] AS [at], CONVERT(varchar(20), s.[code]) AS [code], s.[_op_], s.[_seg], ROW_NUMBER() OVER (PARTITION BY CONVERT(varbinary(20), s.[區域]), DATALENGTH(s.[區域]), s.[at], CONVERT(varbinary(20), CONVERT(varchar(20), s.[code])), DATALENGTH(CONVERT(varchar(20), s.[code])) ORDER BY s.[_seg] DESC, s.[_op_] DESC) AS [_last] FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001] AS s) AS l WHERE l.[_last] = 1) AS n WHERE n.[_rank] = 1 OR n.[_kept] = 'D') AS s
ON d.[區域] = s.[區域] AND d.[at] = s.[at] AND d.[code] = s.[code] AND (s.[_op_] = 'U' OR EXISTS (SELECT CONVERT(varbinary(20), s.[區域]), DATALENGTH(s.[區域]), CONVERT(varbinary(20), s.[code]), DATALENGTH(s.[code]) INTERSECT SELECT CONVERT(varbinary(20), d.[區域]), DATALENGTH(d.[區域]), CONVERT(varbinary(20), d.[code]), DATALENGTH(d.[code])))
WHEN MATCHED AND s.[_op_] = 'D' THEN DELETE
WHEN MATCHED AND s.[_op_] = 'U' AND EXISTS (SELECT CONVERT(varbinary(20), s.[區域]), DATALENGTH(s.[區域]), s.[modified], CONVERT(varbinary(20), s.[code]), DATALENGTH(s.[code]) EXCEPT SELECT CONVERT(varbinary(20), d.[區域]), DATALENGTH(d.[區域]), d.[modified], CONVERT(varbinary(20), d.[code]), DATALENGTH(d.[code])) THEN UPDATE SET d.[區域] = s.[區域], d.[modified] = s.[modified], d.[code] = s.[code]
WHEN NOT MATCHED BY TARGET AND s.[_op_] = 'U' THEN INSERT ([區域], [modified], [at], [code]) VALUES (s.[區域], s.[modified], s.[at], s.[code])
OUTPUT $action INTO #actions ([action]);
SELECT @inserted = COUNT_BIG(CASE WHEN a.[action] = N'INSERT' THEN 1 END), @updated = COUNT_BIG(CASE WHEN a.[action] = N'UPDATE' THEN 1 END), @deleted = @deleted + COUNT_BIG(CASE WHEN a.[action] = N'DELETE' THEN 1 END) FROM #actions AS a;
DROP TABLE #actions;
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
