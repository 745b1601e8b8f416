-- @P1 nvarchar "sales.訂單"
-- @P2 nvarchar "icesync:apply:dbo.orders"
-- @P3 nvarchar "018f0000000070008000000000000001"
-- @P4 nvarchar "sales.orders"
-- @P5 nvarchar "6f1c2a34-0000-4000-8000-000000000001"
-- @P6 nvarchar "upsert"
-- @P7 bigint 4611686018427387904
-- @P8 bigint 2
-- @P9 bigint 1000
-- @P10 bigint 1000
-- @P11 nvarchar "code"
-- @P12 nvarchar "[sales].[訂單]"
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
SELECT TOP (1) @example = CONVERT(nvarchar(100), s.[code]) FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001] AS s WHERE CONVERT(varbinary(max), CONVERT(nvarchar(max), CONVERT(varchar(max), s.[code]))) <> CONVERT(varbinary(max), s.[code]) OR DATALENGTH(CONVERT(varchar(max), s.[code])) > 20;
IF @example IS NOT NULL
BEGIN
    SET @message = CONCAT(@P11, N': ', @example);
    THROW 51006, @message, 1;
END;
SELECT TOP (1) @example = CONCAT(N'(', CONVERT(nvarchar(100), n.[區域]), N', ', CONVERT(nvarchar(100), n.[at], 121), N', ', CONVERT(nvarchar(100), n.[code]), N')') FROM (SELECT s.[區域] AS [區域], s.[at] AS [at], CONVERT(varchar(20), s.[code]) AS [code], s.[_seg] FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001] AS s WHERE s.[_op_] = 'U') AS n GROUP BY n.[區域], n.[at], n.[code], n.[_seg] HAVING COUNT_BIG(*) > 1;
IF @example IS NOT NULL THROW 51004, @example, 1;
SELECT @staged = COUNT_BIG(*) FROM (SELECT n.[區域], n.[modified], n.[at], n.[code], n.[_op_] FROM (SELECT l.[區域], l.[modified], l.[at], l.[code], l.[_op_], ROW_NUMBER() OVER (PARTITION BY l.[區域], l.[at], l.[code] ORDER BY l.[_op_] DESC, l.[_seg] DESC) AS [_rank], MAX(l.[_op_]) OVER (PARTITION BY l.[區域], l.[at], l.[code]) AS [_kept] FROM (SELECT s.[區域] AS [區域], s.[modified] AS [modified], s.[at] AS [at], CONVERT(varchar(20), s.[code]) AS [code], s.[_op_], s.[_seg], ROW_NUMBER() OVER (PARTITION BY CONVERT(varbinary(20), s.[區域]), DATALENGTH(s.[區域]), s.[at], CONVERT(varbinary(20), CONVERT(varchar(20), s.[code])), DATALENGTH(CONVERT(varchar(20), s.[code])) ORDER BY s.[_seg] DESC, s.[_op_] DESC) AS [_last] FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001] AS s) AS l WHERE l.[_last] = 1) AS n WHERE n.[_rank] = 1 OR n.[_kept] = 'D') AS s WHERE s.[_op_] = 'U';
IF NOT EXISTS (SELECT 1 FROM [sales].[訂單] WITH (TABLOCKX, HOLDLOCK))
BEGIN
INSERT INTO [sales].[訂單] WITH (TABLOCK) ([區域], [modified], [at], [code]) SELECT s.[區域], s.[modified], s.[at], s.[code] FROM (SELECT n.[區域], n.[modified], n.[at], n.[code], n.[_op_] FROM (SELECT l.[區域], l.[modified], l.[at], l.[code], l.[_op_], ROW_NUMBER() OVER (PARTITION BY l.[區域], l.[at], l.[code] ORDER BY l.[_op_] DESC, l.[_seg] DESC) AS [_rank], MAX(l.[_op_]) OVER (PARTITION BY l.[區域], l.[at], l.[code]) AS [_kept] FROM (SELECT s.[區域] AS [區域], s.[modified] AS [modified], s.[at] AS [at], CONVERT(varchar(20), s.[code]) AS [code], s.[_op_], s.[_seg], ROW_NUMBER() OVER (PARTITION BY CONVERT(varbinary(20), s.[區域]), DATALENGTH(s.[區域]), s.[at], CONVERT(varbinary(20), CONVERT(varchar(20), s.[code])), DATALENGTH(CONVERT(varchar(20), s.[code])) ORDER BY s.[_seg] DESC, s.[_op_] DESC) AS [_last] FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001] AS s) AS l WHERE l.[_last] = 1) AS n WHERE n.[_rank] = 1 OR n.[_kept] = 'D') AS s WHERE s.[_op_] = 'U';
SET @inserted = ROWCOUNT_BIG();
IF @inserted <> @staged THROW 51007, N'the target did not take every row', 1;
END
ELSE
BEGIN
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
SELECT @target_only = COUNT_BIG(*) - @staged FROM [sales].[訂單] AS d;
END;
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
