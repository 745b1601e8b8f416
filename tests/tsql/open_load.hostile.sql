-- @P1 nvarchar "icesync:apply:dbo.orders"
-- @P2 nvarchar "[a]]b.c].[it's \"odd\"; DROP TABLE x --]"
-- @P3 nvarchar "018f0000000070008000000000000001"
-- @P4 nvarchar "sales.orders"
-- @P5 nvarchar "6f1c2a34-0000-4000-8000-000000000001"
-- @P6 bigint 4611686018427387904
-- @P7 bigint 2
-- @P8 nvarchar "upsert"
-- @P9 bigint 8070450532247928832
-- @P10 nvarchar "018f0000000070008000000000000000"
-- @P11 bigint -1
-- @P12 bigint 1000
SET NOCOUNT ON; SET XACT_ABORT ON; SET LOCK_TIMEOUT 60000;
DECLARE @rc int, @staged bigint = 0, @message nvarchar(2000);
EXEC @rc = sp_getapplock @Resource = @P1, @LockMode = N'Exclusive', @LockOwner = N'Transaction', @LockTimeout = 60000;
IF @rc < 0 THROW 51002, N'another load of this target is in its transaction', 1;
UPDATE s SET s.[merge_mode] = @P8, s.[lake_table] = @P4, s.[table_uuid] = @P5, s.[snapshot_id] = @P6, s.[sequence_number] = @P7, s.[pending_snapshot_id] = NULL, s.[pending_sequence_number] = NULL, s.[pending_rows] = NULL, s.[pending_applied] = NULL, s.[run_id] = @P3, s.[loaded_at] = SYSUTCDATETIME() FROM [icesync].[load_state] AS s WITH (UPDLOCK, ROWLOCK) WHERE s.[target] = @P2 AND s.[snapshot_id] = @P9 AND s.[run_id] = @P10 AND ISNULL(s.[pending_applied], -1) = @P11;
IF @@ROWCOUNT <> 1 THROW 51003, N'the load state has moved', 1;
SELECT @staged = COUNT_BIG(*) FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001_net] AS s WITH (TABLOCK);
IF @staged <> @P12
BEGIN
    SET @message = CONCAT(N'', @P12, N' rows were sent to the staging table and it holds ', @staged);
    THROW 51007, @message, 1;
END;
SET @staged = 0;
SET LOCK_TIMEOUT -1;
