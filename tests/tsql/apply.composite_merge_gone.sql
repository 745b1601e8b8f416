-- @P1 nvarchar "sales.訂單"
-- @P2 nvarchar "[sales].[訂單]"
-- @P3 bigint 1237579447
-- @P4 nvarchar "2024-05-02T10:00:00.123"
-- @P5 bigint 1237579447
-- @P6 nvarchar "2024-05-01T10:00:00.123"
-- @P7 nvarchar "sales.orders"
-- @P8 nvarchar "6f1c2a34-0000-4000-8000-000000000001"
-- @P9 bigint 4611686018427387904
-- @P10 bigint 2
-- @P11 nvarchar "upsert"
-- @P12 nvarchar "018f0000000070008000000000000001"
-- @P13 nvarchar "icesync:apply:dbo.orders"
SET NOCOUNT ON; SET XACT_ABORT ON; SET LOCK_TIMEOUT 60000;
DECLARE @rc int, @staged bigint = 0, @inserted bigint = 0, @updated bigint = 0, @deleted bigint = 0;
DECLARE @unchanged bigint = 0, @target_only bigint = 0;
DECLARE @example nvarchar(1000), @message nvarchar(2000);
DELETE d FROM [sales].[訂單] AS d WITH (UPDLOCK, SERIALIZABLE) JOIN (SELECT n.[區域], n.[modified], n.[at], n.[code], n.[_op_] FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001_net] AS n) AS s ON d.[區域] = s.[區域] AND d.[at] = s.[at] AND d.[code] = s.[code] WHERE s.[_op_] = 'D' AND EXISTS (SELECT CONVERT(varbinary(20), s.[區域]), DATALENGTH(s.[區域]), CONVERT(varbinary(20), s.[code]), DATALENGTH(s.[code]) INTERSECT SELECT CONVERT(varbinary(20), d.[區域]), DATALENGTH(d.[區域]), CONVERT(varbinary(20), d.[code]), DATALENGTH(d.[code]));
SET @deleted = @deleted + ROWCOUNT_BIG();
SELECT @target_only = COUNT_BIG(*) - 2000000 FROM [sales].[訂單] AS d;
IF NOT EXISTS (SELECT 1 FROM sys.objects AS o WHERE o.object_id = @P3 AND o.object_id = OBJECT_ID(@P2) AND CONVERT(nvarchar(30), o.modify_date, 126) = @P4) THROW 51010, N'the target table was recreated or altered', 1;
IF @staged > @inserted + @updated SET @unchanged = @staged - @inserted - @updated;
UPDATE s SET s.[inserted] = s.[inserted] + @inserted, s.[updated] = s.[updated] + @updated, s.[deleted] = s.[deleted] + @deleted, s.[unchanged] = s.[unchanged] + @unchanged, s.[merge_mode] = @P11, s.[lake_table] = @P7, s.[table_uuid] = @P8, s.[snapshot_id] = @P9, s.[sequence_number] = @P10, s.[pending_snapshot_id] = NULL, s.[pending_sequence_number] = NULL, s.[pending_rows] = NULL, s.[pending_applied] = NULL, s.[pending_whole] = NULL, s.[target_object_id] = @P5, s.[target_created] = @P6, s.[loaded_columns] = CONVERT(nvarchar(4000), NULL) FROM [icesync].[load_state] AS s WHERE s.[target] = @P1 AND s.[run_id] = @P12;
IF @@ROWCOUNT <> 1 OR APPLOCK_MODE(N'public', @P13, N'Transaction') <> N'Exclusive' THROW 51012, N'a trigger has ended the transaction of the load', 1;
DROP TABLE [icesync].[stg_00000000000000ff_018f0000000070008000000000000001_net];
SELECT @inserted AS inserted, @updated AS updated, @deleted AS deleted, @unchanged AS unchanged, @target_only AS target_only;
