-- @P1 nvarchar "dbo.every_type"
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
-- @P12 nvarchar "c19"
-- @P13 nvarchar "c20"
-- @P14 nvarchar "c21"
-- @P15 nvarchar "c22"
-- @P16 nvarchar "[dbo].[every_type]"
-- @P17 bigint 1237579447
-- @P18 nvarchar "2024-05-02T10:00:00.123"
-- @P19 bigint 1237579447
-- @P20 nvarchar "2024-05-01T10:00:00.123"
-- @P21 nvarchar "sales.orders"
-- @P22 nvarchar "6f1c2a34-0000-4000-8000-000000000001"
-- @P23 bigint 4611686018427387904
-- @P24 bigint 2
-- @P25 nvarchar "upsert"
-- @P26 nvarchar "018f0000000070008000000000000001"
-- @P27 nvarchar "icesync:apply:dbo.orders"
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
SELECT TOP (1) @example = CONVERT(nvarchar(100), s.[c19]) FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001] AS s WHERE CONVERT(varbinary(max), CONVERT(nvarchar(max), CONVERT(varchar(max), s.[c19]))) <> CONVERT(varbinary(max), s.[c19]) OR DATALENGTH(CONVERT(varchar(max), s.[c19])) > 10;
IF @example IS NOT NULL
BEGIN
    SET @message = CONCAT(@P12, N': ', @example);
    THROW 51006, @message, 1;
END;
SELECT TOP (1) @example = CONVERT(nvarchar(100), s.[c20]) FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001] AS s WHERE CONVERT(varbinary(max), CONVERT(nvarchar(max), CONVERT(varchar(max), s.[c20]))) <> CONVERT(varbinary(max), s.[c20]) OR DATALENGTH(CONVERT(varchar(max), s.[c20])) > 8000;
IF @example IS NOT NULL
BEGIN
    SET @message = CONCAT(@P13, N': ', @example);
    THROW 51006, @message, 1;
END;
SELECT TOP (1) @example = CONVERT(nvarchar(100), s.[c21]) FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001] AS s WHERE CONVERT(varbinary(max), CONVERT(nvarchar(max), CONVERT(varchar(max), s.[c21]))) <> CONVERT(varbinary(max), s.[c21]);
IF @example IS NOT NULL
BEGIN
    SET @message = CONCAT(@P14, N': ', @example);
    THROW 51006, @message, 1;
END;
SELECT TOP (1) @example = CONVERT(nvarchar(100), s.[c22]) FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001] AS s WHERE CONVERT(varbinary(max), CONVERT(nvarchar(max), CONVERT(varchar(max), s.[c22]))) <> CONVERT(varbinary(max), s.[c22]);
IF @example IS NOT NULL
BEGIN
    SET @message = CONCAT(@P15, N': ', @example);
    THROW 51006, @message, 1;
END;
SELECT TOP (1) @example = CONCAT(N'(', CONVERT(nvarchar(100), n.[c1]), N')') FROM (SELECT s.[c1] AS [c1], s.[_seg] FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001] AS s WHERE s.[_op_] = 'U') AS n GROUP BY n.[c1], n.[_seg] HAVING COUNT_BIG(*) > 1;
IF @example IS NOT NULL THROW 51004, @example, 1;
SELECT @staged = COUNT_BIG(*) FROM (SELECT s.[c1] AS [c1], s.[c2] AS [c2], s.[c3] AS [c3], s.[c4] AS [c4], s.[c5] AS [c5], s.[c6] AS [c6], s.[c7] AS [c7], s.[c8] AS [c8], s.[c9] AS [c9], s.[c10] AS [c10], s.[c11] AS [c11], s.[c12] AS [c12], s.[c13] AS [c13], s.[c14] AS [c14], s.[c15] AS [c15], s.[c16] AS [c16], s.[c17] AS [c17], s.[c18] AS [c18], CONVERT(char(10), s.[c19]) AS [c19], CONVERT(varchar(8000), s.[c20]) AS [c20], CONVERT(varchar(max), s.[c21]) AS [c21], CONVERT(text, s.[c22]) AS [c22], CONVERT(nchar(10), s.[c23]) AS [c23], s.[c24] AS [c24], s.[c25] AS [c25], CONVERT(ntext, s.[c26]) AS [c26], s.[c27] AS [c27], s.[c28] AS [c28], s.[c29] AS [c29], CONVERT(image, s.[c30]) AS [c30], s.[c31] AS [c31], CONVERT(xml, s.[c32], 1) AS [c32], CONVERT(hierarchyid, s.[c33]) AS [c33], CONVERT(geometry, s.[c34]) AS [c34], CONVERT(geography, s.[c35]) AS [c35], CONVERT(json, s.[c36]) AS [c36], CASE s.[_type37] WHEN N'int' THEN CONVERT(sql_variant, CONVERT(int, s.[c37])) WHEN N'decimal(10,2)' THEN CONVERT(sql_variant, CONVERT(decimal(10,2), s.[c37])) WHEN N'varchar(20) COLLATE Polish_CI_AS' THEN CONVERT(sql_variant, CONVERT(varchar(20), s.[c37] COLLATE Polish_CI_AS)) WHEN N'binary(4)' THEN CONVERT(sql_variant, CONVERT(binary(4), s.[c37], 1)) END AS [c37], CONVERT(vector(3), s.[c38]) AS [c38], s.[_op_] FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001] AS s) AS s;
SELECT TOP (1) @example = CONCAT(N'(', CONVERT(nvarchar(100), s.[c1]), N')') FROM (SELECT s.[c1] AS [c1], s.[c2] AS [c2], s.[c3] AS [c3], s.[c4] AS [c4], s.[c5] AS [c5], s.[c6] AS [c6], s.[c7] AS [c7], s.[c8] AS [c8], s.[c9] AS [c9], s.[c10] AS [c10], s.[c11] AS [c11], s.[c12] AS [c12], s.[c13] AS [c13], s.[c14] AS [c14], s.[c15] AS [c15], s.[c16] AS [c16], s.[c17] AS [c17], s.[c18] AS [c18], CONVERT(char(10), s.[c19]) AS [c19], CONVERT(varchar(8000), s.[c20]) AS [c20], CONVERT(varchar(max), s.[c21]) AS [c21], CONVERT(text, s.[c22]) AS [c22], CONVERT(nchar(10), s.[c23]) AS [c23], s.[c24] AS [c24], s.[c25] AS [c25], CONVERT(ntext, s.[c26]) AS [c26], s.[c27] AS [c27], s.[c28] AS [c28], s.[c29] AS [c29], CONVERT(image, s.[c30]) AS [c30], s.[c31] AS [c31], CONVERT(xml, s.[c32], 1) AS [c32], CONVERT(hierarchyid, s.[c33]) AS [c33], CONVERT(geometry, s.[c34]) AS [c34], CONVERT(geography, s.[c35]) AS [c35], CONVERT(json, s.[c36]) AS [c36], CASE s.[_type37] WHEN N'int' THEN CONVERT(sql_variant, CONVERT(int, s.[c37])) WHEN N'decimal(10,2)' THEN CONVERT(sql_variant, CONVERT(decimal(10,2), s.[c37])) WHEN N'varchar(20) COLLATE Polish_CI_AS' THEN CONVERT(sql_variant, CONVERT(varchar(20), s.[c37] COLLATE Polish_CI_AS)) WHEN N'binary(4)' THEN CONVERT(sql_variant, CONVERT(binary(4), s.[c37], 1)) END AS [c37], CONVERT(vector(3), s.[c38]) AS [c38], s.[_op_] FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001] AS s) AS s JOIN [dbo].[every_type] AS d WITH (UPDLOCK, SERIALIZABLE) ON d.[c1] = s.[c1] GROUP BY s.[c1] HAVING COUNT_BIG(*) > 1;
IF @example IS NOT NULL THROW 51009, @example, 1;
DELETE d FROM [dbo].[every_type] AS d WITH (UPDLOCK, SERIALIZABLE) WHERE NOT EXISTS (SELECT 1 FROM (SELECT s.[c1] AS [c1], s.[c2] AS [c2], s.[c3] AS [c3], s.[c4] AS [c4], s.[c5] AS [c5], s.[c6] AS [c6], s.[c7] AS [c7], s.[c8] AS [c8], s.[c9] AS [c9], s.[c10] AS [c10], s.[c11] AS [c11], s.[c12] AS [c12], s.[c13] AS [c13], s.[c14] AS [c14], s.[c15] AS [c15], s.[c16] AS [c16], s.[c17] AS [c17], s.[c18] AS [c18], CONVERT(char(10), s.[c19]) AS [c19], CONVERT(varchar(8000), s.[c20]) AS [c20], CONVERT(varchar(max), s.[c21]) AS [c21], CONVERT(text, s.[c22]) AS [c22], CONVERT(nchar(10), s.[c23]) AS [c23], s.[c24] AS [c24], s.[c25] AS [c25], CONVERT(ntext, s.[c26]) AS [c26], s.[c27] AS [c27], s.[c28] AS [c28], s.[c29] AS [c29], CONVERT(image, s.[c30]) AS [c30], s.[c31] AS [c31], CONVERT(xml, s.[c32], 1) AS [c32], CONVERT(hierarchyid, s.[c33]) AS [c33], CONVERT(geometry, s.[c34]) AS [c34], CONVERT(geography, s.[c35]) AS [c35], CONVERT(json, s.[c36]) AS [c36], CASE s.[_type37] WHEN N'int' THEN CONVERT(sql_variant, CONVERT(int, s.[c37])) WHEN N'decimal(10,2)' THEN CONVERT(sql_variant, CONVERT(decimal(10,2), s.[c37])) WHEN N'varchar(20) COLLATE Polish_CI_AS' THEN CONVERT(sql_variant, CONVERT(varchar(20), s.[c37] COLLATE Polish_CI_AS)) WHEN N'binary(4)' THEN CONVERT(sql_variant, CONVERT(binary(4), s.[c37], 1)) END AS [c37], CONVERT(vector(3), s.[c38]) AS [c38], s.[_op_] FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001] AS s) AS s WHERE d.[c1] = s.[c1]);
SET @deleted = @deleted + ROWCOUNT_BIG();
CREATE TABLE #actions ([action] nvarchar(10) COLLATE DATABASE_DEFAULT NOT NULL);
MERGE [dbo].[every_type] WITH (HOLDLOCK) AS d
USING (SELECT s.[c1] AS [c1], s.[c2] AS [c2], s.[c3] AS [c3], s.[c4] AS [c4], s.[c5] AS [c5], s.[c6] AS [c6], s.[c7] AS [c7], s.[c8] AS [c8], s.[c9] AS [c9], s.[c10] AS [c10], s.[c11] AS [c11], s.[c12] AS [c12], s.[c13] AS [c13], s.[c14] AS [c14], s.[c15] AS [c15], s.[c16] AS [c16], s.[c17] AS [c17], s.[c18] AS [c18], CONVERT(char(10), s.[c19]) AS [c19], CONVERT(varchar(8000), s.[c20]) AS [c20], CONVERT(varchar(max), s.[c21]) AS [c21], CONVERT(text, s.[c22]) AS [c22], CONVERT(nchar(10), s.[c23]) AS [c23], s.[c24] AS [c24], s.[c25] AS [c25], CONVERT(ntext, s.[c26]) AS [c26], s.[c27] AS [c27], s.[c28] AS [c28], s.[c29] AS [c29], CONVERT(image, s.[c30]) AS [c30], s.[c31] AS [c31], CONVERT(xml, s.[c32], 1) AS [c32], CONVERT(hierarchyid, s.[c33]) AS [c33], CONVERT(geometry, s.[c34]) AS [c34], CONVERT(geography, s.[c35]) AS [c35], CONVERT(json, s.[c36]) AS [c36], CASE s.[_type37] WHEN N'int' THEN CONVERT(sql_variant, CONVERT(int, s.[c37])) WHEN N'decimal(10,2)' THEN CONVERT(sql_variant, CONVERT(decimal(10,2), s.[c37])) WHEN N'varchar(20) COLLATE Polish_CI_AS' THEN CONVERT(sql_variant, CONVERT(varchar(20), s.[c37] COLLATE Polish_CI_AS)) WHEN N'binary(4)' THEN CONVERT(sql_variant, CONVERT(binary(4), s.[c37], 1)) END AS [c37], CONVERT(vector(3), s.[c38]) AS [c38], s.[_op_] FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001] AS s) AS s
ON d.[c1] = s.[c1]
WHEN MATCHED AND 1 = 1 THEN UPDATE SET d.[c2] = s.[c2], d.[c3] = s.[c3], d.[c4] = s.[c4], d.[c5] = s.[c5], d.[c6] = s.[c6], d.[c7] = s.[c7], d.[c8] = s.[c8], d.[c9] = s.[c9], d.[c10] = s.[c10], d.[c11] = s.[c11], d.[c12] = s.[c12], d.[c13] = s.[c13], d.[c14] = s.[c14], d.[c15] = s.[c15], d.[c16] = s.[c16], d.[c17] = s.[c17], d.[c18] = s.[c18], d.[c19] = s.[c19], d.[c20] = s.[c20], d.[c21] = s.[c21], d.[c22] = s.[c22], d.[c23] = s.[c23], d.[c24] = s.[c24], d.[c25] = s.[c25], d.[c26] = s.[c26], d.[c27] = s.[c27], d.[c28] = s.[c28], d.[c29] = s.[c29], d.[c30] = s.[c30], d.[c31] = s.[c31], d.[c32] = s.[c32], d.[c33] = s.[c33], d.[c34] = s.[c34], d.[c35] = s.[c35], d.[c36] = s.[c36], d.[c37] = s.[c37], d.[c38] = s.[c38]
WHEN NOT MATCHED BY TARGET THEN INSERT ([c1], [c2], [c3], [c4], [c5], [c6], [c7], [c8], [c9], [c10], [c11], [c12], [c13], [c14], [c15], [c16], [c17], [c18], [c19], [c20], [c21], [c22], [c23], [c24], [c25], [c26], [c27], [c28], [c29], [c30], [c31], [c32], [c33], [c34], [c35], [c36], [c37], [c38]) VALUES (s.[c1], s.[c2], s.[c3], s.[c4], s.[c5], s.[c6], s.[c7], s.[c8], s.[c9], s.[c10], s.[c11], s.[c12], s.[c13], s.[c14], s.[c15], s.[c16], s.[c17], s.[c18], s.[c19], s.[c20], s.[c21], s.[c22], s.[c23], s.[c24], s.[c25], s.[c26], s.[c27], s.[c28], s.[c29], s.[c30], s.[c31], s.[c32], s.[c33], s.[c34], s.[c35], s.[c36], s.[c37], s.[c38])
OUTPUT $action INTO #actions ([action]);
SELECT @inserted = COUNT_BIG(CASE WHEN a.[action] = N'INSERT' THEN 1 END), @updated = COUNT_BIG(CASE WHEN a.[action] = N'UPDATE' THEN 1 END), @deleted = @deleted + COUNT_BIG(CASE WHEN a.[action] = N'DELETE' THEN 1 END) FROM #actions AS a;
DROP TABLE #actions;
IF NOT EXISTS (SELECT 1 FROM sys.objects AS o WHERE o.object_id = @P17 AND o.object_id = OBJECT_ID(@P16) AND CONVERT(nvarchar(30), o.modify_date, 126) = @P18) THROW 51010, N'the target table was recreated or altered', 1;
IF @staged > @inserted + @updated SET @unchanged = @staged - @inserted - @updated;
UPDATE s SET s.[inserted] = @inserted, s.[updated] = @updated, s.[deleted] = @deleted, s.[unchanged] = @unchanged, s.[merge_mode] = @P25, s.[lake_table] = @P21, s.[table_uuid] = @P22, s.[snapshot_id] = @P23, s.[sequence_number] = @P24, s.[pending_snapshot_id] = NULL, s.[pending_sequence_number] = NULL, s.[pending_rows] = NULL, s.[pending_applied] = NULL, s.[pending_whole] = NULL, s.[target_object_id] = @P19, s.[target_created] = @P20, s.[loaded_columns] = CONVERT(nvarchar(4000), NULL) FROM [icesync].[load_state] AS s WHERE s.[target] = @P1 AND s.[run_id] = @P26;
IF @@ROWCOUNT <> 1 OR APPLOCK_MODE(N'public', @P27, N'Transaction') <> N'Exclusive' THROW 51012, N'a trigger has ended the transaction of the load', 1;
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
