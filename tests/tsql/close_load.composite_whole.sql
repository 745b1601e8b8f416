-- @P1 nvarchar "[sales].[訂單]"
-- @P2 bigint 1237579447
-- @P3 nvarchar "2024-05-02T10:00:00.123"
-- @P4 nvarchar "sales.訂單"
-- @P5 nvarchar "sales.orders"
-- @P6 nvarchar "6f1c2a34-0000-4000-8000-000000000001"
-- @P7 bigint 4611686018427387904
-- @P8 bigint 2
-- @P9 nvarchar "upsert"
-- @P10 bigint 1237579447
-- @P11 nvarchar "2024-05-01T10:00:00.123"
-- @P12 bigint 3
-- @P13 bigint 2
-- @P14 bigint 1
-- @P15 bigint 0
-- @P16 nvarchar "018f0000000070008000000000000001"
-- @P17 nvarchar "icesync:apply:dbo.orders"
SET NOCOUNT ON; SET XACT_ABORT ON; SET LOCK_TIMEOUT 60000;
DECLARE @target_only bigint = 0;
IF NOT EXISTS (SELECT 1 FROM sys.objects AS o WHERE o.object_id = @P2 AND o.object_id = OBJECT_ID(@P1) AND CONVERT(nvarchar(30), o.modify_date, 126) = @P3) THROW 51010, N'the target table was recreated or altered', 1;
UPDATE s SET s.[inserted] = @P12, s.[updated] = @P13, s.[deleted] = @P14, s.[unchanged] = @P15, s.[merge_mode] = @P9, s.[lake_table] = @P5, s.[table_uuid] = @P6, s.[snapshot_id] = @P7, s.[sequence_number] = @P8, s.[pending_snapshot_id] = NULL, s.[pending_sequence_number] = NULL, s.[pending_rows] = NULL, s.[pending_applied] = NULL, s.[pending_whole] = NULL, s.[target_object_id] = @P10, s.[target_created] = @P11, s.[loaded_columns] = CONVERT(nvarchar(4000), NULL) FROM [icesync].[load_state] AS s WHERE s.[target] = @P4 AND s.[run_id] = @P16;
IF @@ROWCOUNT <> 1 OR APPLOCK_MODE(N'public', @P17, N'Transaction') <> N'Exclusive' THROW 51012, N'a trigger has ended the transaction of the load', 1;
SELECT @target_only = COUNT_BIG(*) FROM [sales].[訂單] AS d WHERE NOT EXISTS (SELECT 1 FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001_net] AS s WHERE d.[區域] = s.[區域] AND d.[at] = s.[at] AND d.[code] = s.[code]);
DROP TABLE [icesync].[stg_00000000000000ff_018f0000000070008000000000000001_net];
SET LOCK_TIMEOUT -1;
SELECT @target_only AS target_only;
